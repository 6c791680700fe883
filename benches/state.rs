//! What records cost: on the way of an Update, in the file, and at a start.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "this is a measurement"
)]

use std::{
    hint::black_box,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    time::{Duration, Instant},
};

use lightship::{
    coap::{Code, Message, MessageId, MessageType, Request, Token, encode},
    endpoint::{Endpoint, EndpointName, EndpointSettings, Output},
    platform::{
        Answer, DeviceInfo, PlatformId, Question, Reply, Uplink,
        credentials::{Admission, ClientCredentials},
        peer::{Peer, PeerId, PeerIdentity, ServerRole},
        profile::{DeviceProfile, PowerSettings},
        time::{Now, UnixMillis},
    },
    store::{Moment, Store, Watch, record, settings::StateSettings},
};

fn main() {
    // `cargo test --benches` only wants to know whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("\n| endpoint | ns each |\n|---|--:|");
    for (what, delay) in [("no records", None), ("records", Some(Duration::ZERO))] {
        let mut device = Device::new(delay);
        let unchanged = per_item(UPDATES, |_| device.update(None));
        println!("| unchanged Update, {what} | {unchanged} |");
        let changed = per_item(UPDATES, |index| device.update(Some(60 + index % 2)));
        println!("| Update that changes the lifetime, {what} | {changed} |");
    }
    let row = kept().to_row();
    let read = per_item(UPDATES, |_| record::Endpoint::from_row(&row).unwrap());
    let record = kept();
    let restored = per_item(UPDATES, |_| restore(&record, Some(Duration::ZERO), now()));
    println!("| reading a row of {} bytes | {read} |", row.len());
    println!("| continuing from it | {restored} |");
    println!("\n| file | ms |\n|---|--:|");
    for rows in [1, 1000, 10_000, 100_000] {
        file(rows);
    }
}

/// Nanoseconds for each of `count` calls.
fn per_item<T>(count: u32, mut each: impl FnMut(u32) -> T) -> u128 {
    let start = Instant::now();
    for index in 0..count {
        black_box(each(index));
    }
    start.elapsed().as_nanos() / u128::from(count)
}

/// An endpoint that continues from a record, and its device.
struct Device {
    endpoint: Endpoint,
    now: Now,
    next: u16,
    registration: String,
}

impl Device {
    fn new(delay: Option<Duration>) -> Self {
        let record = kept();
        let now = now();
        let mut own = Self {
            endpoint: restore(&record, delay, now),
            now,
            next: 0,
            registration: record.registration.unwrap().id,
        };
        own.drain();
        own
    }

    fn update(&mut self, lifetime: Option<u32>) {
        self.now = self.now.after(Duration::from_secs(1));
        self.next = self.next.wrapping_add(1);
        let request = Request {
            method: Code::POST,
            path: vec!["rd".to_owned(), self.registration.clone()],
            query: lifetime.iter().map(|lt| format!("lt={lt}")).collect(),
            ..Request::default()
        };
        let (kind, id) = (MessageType::Confirmable, MessageId(self.next));
        let datagram = encode::request(&request, kind, id, Token::default());
        self.endpoint.handle_datagram(self.now, &peer(), datagram);
        self.drain();
        self.endpoint.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Uplink(Uplink::Question { id, question }) => {
                    let answer = match question {
                        Question::Credentials { id } => Answer::Credentials(admission(id)),
                        Question::Models { .. } => Answer::Models(Vec::new()),
                        Question::Package { .. } | Question::PackageBytes(_) => continue,
                    };
                    let result = Ok(answer);
                    self.endpoint
                        .handle_reply(self.now, Reply::Answer { id, result });
                }
                Output::Save { record, .. } => {
                    black_box(record.to_row());
                }
                Output::Transmit { payload, .. } => {
                    let answer = Message::parse(payload).unwrap();
                    assert!(answer.code() == Code::CHANGED || answer.code().is_request());
                }
                _ => {}
            }
        }
    }
}

/// Writes so many records, and reads them again.
fn file(rows: u32) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (committed, commits) = channel();
    let open = || {
        let settings = StateSettings {
            dir: Some(folder.path().to_owned()),
            pending_bytes: usize::MAX,
            ..StateSettings::default()
        };
        let watch = Arc::new(Commits(committed.clone()));
        Store::open(&settings, "ls-0", moment, watch)
            .unwrap()
            .unwrap()
    };
    let store = open();
    let record = kept();
    for index in 0..rows {
        store.put(&format!("urn:dev:{index}"), &record).unwrap();
    }
    drop(store);
    let took: Duration = commits.try_iter().map(|(_, took)| took).sum();
    println!("| {rows} records, new | {} |", millis(took));
    let opening = Instant::now();
    let store = open();
    println!("| opening | {} |", millis(opening.elapsed()));
    let loading = Instant::now();
    let mut loaded = 0;
    store.load(|_, record| loaded += u32::from(record.settled));
    assert_eq!(loaded, rows);
    println!("| reading {rows} | {} |", millis(loading.elapsed()));
    for index in (0..rows).step_by(10) {
        store.put(&format!("urn:dev:{index}"), &record).unwrap();
    }
    store.close();
    let took: Duration = commits.try_iter().map(|(_, took)| took).sum();
    println!(
        "| {} of {rows} written again | {} |",
        rows.div_ceil(10),
        millis(took)
    );
    let size = folder.path().join("state.redb").metadata().unwrap().len();
    println!("| (KiB of file for {rows}) | {} |", size >> 10);
}

fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1000.0)
}

struct Commits(Sender<(usize, Duration)>);

impl Watch for Commits {
    fn committed(&self, puts: usize, _: usize, took: Duration) {
        self.0.send((puts, took)).ok();
    }

    fn failed(&self) {}

    fn replaced(&self) {}
}

fn kept() -> record::Endpoint {
    let message = include_bytes!("../fuzz/corpus/state_record/observing");
    record::Endpoint::from_message(message).unwrap()
}

fn restore(record: &record::Endpoint, record_delay: Option<Duration>, now: Now) -> Endpoint {
    let settings = EndpointSettings {
        record_delay,
        rate: None,
        ..EndpointSettings::default()
    };
    let name = EndpointName::new("dev1");
    Endpoint::restore(name, record, Arc::new(settings), [1; 32], now, now.wall).unwrap()
}

fn admission(endpoint: String) -> Arc<Admission> {
    Arc::new(Admission {
        device: Arc::new(DeviceInfo {
            tenant: PlatformId::NULL,
            customer: PlatformId::NULL,
            device: PlatformId::NULL,
            profile: PlatformId::NULL,
            name: endpoint.clone(),
            kind: "profile".to_owned(),
        }),
        client: ClientCredentials::NoSec { endpoint },
        bootstrap: None,
        profile: Arc::new(DeviceProfile::default()),
        power: PowerSettings::default(),
    })
}

fn peer() -> Peer {
    Peer {
        id: PeerId::Udp {
            remote: ([192, 0, 2, 1], 5683).into(),
            local: None,
        },
        role: ServerRole::Lwm2m,
        identity: PeerIdentity::Unsecured,
    }
}

fn now() -> Now {
    Now {
        mono: Instant::now(),
        wall: UnixMillis(1_700_000_000_000),
    }
}

fn moment() -> Moment {
    Moment {
        mono: Instant::now(),
        wall: 1_700_000_000_000,
    }
}

const UPDATES: u32 = 100_000;
