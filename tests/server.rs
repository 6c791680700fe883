//! The device side as a whole: sockets, shards and directory, over loopback, against a platform that admits everybody.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking and says what it compared"
)]

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use lightship::{
    bootstrap::BootstrapSessionSettings,
    coap::{Code, Message, MessageId, MessageType, Request, Token, encode},
    endpoint::{EndpointSettings, FileGeneration},
    platform::{
        Answer, DeviceInfo, Downlink, Platform, PlatformId, Question, Reply, ReplyTo, SubmitError,
        Uplink,
        credentials::{Admission, BootstrapCredentials, ClientCredentials},
        downlink::{DownlinkSink, Scope},
        profile::{DeviceProfile, PowerSettings},
        time::UnixMillis,
    },
    server::{
        Foundation, Server, ServerParts, clock,
        directory::Directory,
        http::Health,
        metrics::Metrics,
        records,
        settings::{LimitSettings, NoSecSettings, RuntimeSettings},
    },
    store::{Store, settings::StateSettings},
};
use tempfile::TempDir;
use uuid::Uuid;

/// Admits every endpoint unsecured and knows no object model.
#[derive(Debug, Default)]
struct OpenPlatform {
    /// Sessions opened and not closed, by endpoint.
    sessions: Mutex<BTreeMap<String, usize>>,
    /// The way to the endpoints.
    directory: OnceLock<Arc<Directory>>,
    /// The next session that is opened is too much for it.
    panics: AtomicBool,
    /// So is the next log line.
    panics_at_log: AtomicBool,
}

impl Platform for OpenPlatform {
    fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
        match uplink {
            Uplink::Question {
                id,
                question: Question::Credentials { id: endpoint },
            } => {
                let admission = Admission {
                    device: Arc::new(DeviceInfo {
                        tenant: PlatformId(Uuid::from_u128(1)),
                        customer: PlatformId::NULL,
                        device: PlatformId(Uuid::from_u128(2)),
                        profile: PlatformId(Uuid::from_u128(3)),
                        name: endpoint.clone(),
                        kind: "profile".to_owned(),
                    }),
                    client: ClientCredentials::NoSec { endpoint },
                    bootstrap: Some(BootstrapCredentials::default()),
                    profile: Arc::new(DeviceProfile::default()),
                    power: PowerSettings::default(),
                };
                reply_to.reply(Reply::Answer {
                    id,
                    result: Ok(Answer::Credentials(Arc::new(admission))),
                });
            }
            Uplink::Question { id, .. } => reply_to.reply(Reply::Answer {
                id,
                result: Ok(Answer::Models(Vec::new())),
            }),
            Uplink::SessionOpened { session } => {
                let mut sessions = self.sessions.lock().unwrap();
                *sessions.entry(session.device.name.clone()).or_default() += 1;
                drop(sessions);
                assert!(
                    !self.panics.swap(false, Ordering::Relaxed),
                    "as the test wants"
                );
            }
            Uplink::SessionClosed { session } => {
                let mut sessions = self.sessions.lock().unwrap();
                *sessions.get_mut(&session.device.name).unwrap() -= 1;
            }
            Uplink::Telemetry { .. } => assert!(
                !self.panics_at_log.swap(false, Ordering::Relaxed),
                "as the test wants"
            ),
            _ => {}
        }
        Ok(())
    }
}

async fn start(workers: usize, limits: LimitSettings, platform: &Arc<OpenPlatform>) -> Server {
    start_at(([127, 0, 0, 1], 0).into(), workers, limits, None, platform).await
}

async fn start_at(
    address: SocketAddr,
    workers: usize,
    limits: LimitSettings,
    store: Option<Arc<Store>>,
    platform: &Arc<OpenPlatform>,
) -> Server {
    let now = clock::now();
    let record_delay = store.is_some().then_some(Duration::from_millis(5));
    let foundation = Foundation::new(RuntimeSettings {
        workers,
        ..RuntimeSettings::default()
    });
    foundation
        .start(ServerParts {
            address,
            bootstrap: Some((
                ([127, 0, 0, 1], 0).into(),
                BootstrapSessionSettings::default(),
            )),
            platform: Arc::<OpenPlatform>::clone(platform),
            clock: clock::now,
            store,
            metrics: Arc::new(Metrics::new(now.wall)),
            health: Arc::new(Health::new(now.mono)),
            limits,
            nosec: NoSecSettings::default(),
            endpoint: EndpointSettings {
                record_delay,
                ..EndpointSettings::default()
            },
            secure: None,
        })
        .await
        .unwrap()
}

/// A socket of a device, used as a device would: a request, then its answer.
struct Client {
    socket: UdpSocket,
    next: u16,
}

impl Client {
    fn new(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        Self { socket, next: 1 }
    }

    /// One that waits for longer than it takes to print the backtrace of a panic: what is repeated meets another endpoint
    /// after that.
    fn patient(server: SocketAddr) -> Self {
        let client = Self::new(server);
        let patience = Some(Duration::from_secs(10));
        client.socket.set_read_timeout(patience).unwrap();
        client
    }

    fn ask(
        &mut self,
        method: Code,
        path: &[&str],
        query: &[&str],
        payload: &'static str,
    ) -> Message {
        let request = self.request(method, path, query, payload);
        self.send(&request)
    }

    fn request(
        &mut self,
        method: Code,
        path: &[&str],
        query: &[&str],
        payload: &'static str,
    ) -> Bytes {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let request = Request {
            method,
            path: owned(path),
            query: owned(query),
            payload: payload.into(),
            ..Request::default()
        };
        self.next += 1;
        let id = MessageId(self.next);
        encode::request(&request, MessageType::Confirmable, id, Token::default())
    }

    /// Sends a request until it is answered.
    fn send(&self, request: &Bytes) -> Message {
        let mut buffer = [0; 2048];
        let received = (0..60).find_map(|_| {
            self.socket.send(request).unwrap();
            // A request that was sent twice may have been answered twice.
            loop {
                let length = self.socket.recv(&mut buffer).ok()?;
                if buffer[2..4] == request[2..4] {
                    return Some(length);
                }
            }
        });
        Message::parse(Bytes::copy_from_slice(&buffer[..received.unwrap()])).unwrap()
    }

    fn register(&mut self, endpoint: &str) -> String {
        let name = format!("ep={endpoint}");
        let answer = self.ask(Code::POST, &["rd"], &[&name, "lwm2m=1.1"], "</3/0>");
        assert_eq!(answer.code(), Code::CREATED);
        answer.location_path().nth(1).unwrap().to_owned()
    }

    fn update(&mut self, registration: &str) -> Code {
        self.ask(Code::POST, &["rd", registration], &[], "").code()
    }
}

/// Runs `test`, which blocks as devices do, beside a server with this many shards.
fn with_server(workers: usize, test: impl FnOnce(SocketAddr, Arc<OpenPlatform>) + Send + 'static) {
    with_limits(workers, LimitSettings::default(), test);
}

fn with_limits(
    workers: usize,
    limits: LimitSettings,
    test: impl FnOnce(SocketAddr, Arc<OpenPlatform>) + Send + 'static,
) {
    actix::System::new().block_on(async move {
        let platform = Arc::new(OpenPlatform::default());
        let server = start(workers, limits, &platform).await;
        let address = server.address();
        platform.directory.set(server.directory()).unwrap();
        let done = actix::clock::timeout(
            Duration::from_secs(60),
            tokio::task::spawn_blocking(move || test(address, platform)),
        );
        done.await.unwrap().unwrap();
        server.stop_reading();
        server.stop_endpoints().await;
        server.close();
    });
}

#[test]
fn c11_a_repeated_deregister_gets_the_first_answer_again() {
    with_server(1, |server, _| {
        let mut client = Client::new(server);
        let id = client.register("dev1");
        let deregister = client.request(Code::DELETE, &["rd", &id], &[], "");
        for _ in 0..3 {
            assert_eq!(client.send(&deregister).code(), Code::DELETED);
        }
        assert_eq!(client.update(&id), Code::NOT_FOUND);
        client.register("dev1");
    });
}

#[test]
fn p12_1_registers_beyond_the_rate_get_5_03_with_max_age() {
    let limits = LimitSettings {
        registrations_per_s: 1,
        ..LimitSettings::default()
    };
    with_limits(1, limits, |server, _| {
        let mut client = Client::new(server);
        client.register("dev0");
        let refused = (1..20).find_map(|number| {
            let name = format!("ep=dev{number}");
            let answer = client.ask(Code::POST, &["rd"], &[&name, "lwm2m=1.1"], "</3/0>");
            (answer.code() != Code::CREATED).then_some(answer)
        });
        let refused = refused.unwrap();
        assert_eq!(refused.code(), Code::SERVICE_UNAVAILABLE);
        assert!(
            refused
                .max_age()
                .is_some_and(|seconds| (5..=30).contains(&seconds))
        );
    });
}

#[test]
fn a01_strangers_who_fetch_packages_are_limited_and_devices_are_not() {
    let limits = LimitSettings {
        source_messages_per_s: 1,
        ..LimitSettings::default()
    };
    with_limits(1, limits, |server, _| {
        let mut device = Client::new(server);
        device.register("dev1");
        let path = ["tbfw", "00000000-0000-0000-0000-000000000007"];
        let mut stranger = Client::new(server);
        let fetches: Vec<_> = (0..20)
            .map(|_| stranger.request(Code::GET, &path, &[], ""))
            .collect();
        for fetch in &fetches {
            stranger.socket.send(fetch).unwrap();
        }
        // Answers to all come at once, or not at all.
        let mut buffer = [0; 2048];
        let answered = (0..20).take_while(|_| stranger.socket.recv(&mut buffer).is_ok());
        let answered = answered.count();
        assert!(answered <= 3, "{answered} of 20");
        for _ in 0..20 {
            let answer = device.ask(Code::GET, &path, &[], "");
            assert_eq!(answer.code(), Code::NOT_FOUND);
        }
    });
}

#[test]
fn a48_update_and_deregister_of_an_unknown_registration_get_4_04() {
    with_server(1, |server, _| {
        let mut client = Client::new(server);
        client.register("dev1");
        for method in [Code::POST, Code::DELETE] {
            let answer = client.ask(method, &["rd", "0000000000"], &[], "");
            assert_eq!(answer.code(), Code::NOT_FOUND);
        }
    });
}

#[test]
fn l19_and_l20_the_next_update_of_a_device_that_was_taken_away_gets_4_04() {
    with_server(2, |server, platform| {
        for taken in [Downlink::DeviceDeleted, Downlink::CredentialsChanged] {
            let mut client = Client::new(server);
            let id = client.register("dev1");
            let device = Scope::Device(PlatformId(Uuid::from_u128(2)));
            platform.directory.get().unwrap().broadcast(device, &taken);
            // An Update may overtake what the platform said.
            let gone = (0..100).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                client.update(&id) == Code::NOT_FOUND
            });
            assert!(gone, "{taken:?}");
            assert_eq!(platform.sessions.lock().unwrap()["dev1"], 0);
        }
    });
}

#[test]
fn l08_a_send_of_a_stranger_gets_4_00() {
    with_server(2, |server, _| {
        Client::new(server).register("dev1");
        let answer = Client::new(server).ask(Code::POST, &["dp"], &[], "[]");
        assert_eq!(answer.code(), Code::BAD_REQUEST);
        assert_eq!(answer.diagnostic(), Some("no registration found"));
    });
}

#[test]
fn p31_5_an_update_finds_its_registration_behind_an_address_that_was_anothers() {
    with_server(2, |server, _| {
        let mut first = Client::new(server);
        let mut second = Client::new(server);
        let own = first.register("dev1");
        let other = second.register("dev2");
        // The NAT gives the first device the address of the second.
        assert_eq!(second.update(&own), Code::CHANGED);
        assert_eq!(second.update(&own), Code::CHANGED);
        // The second device is elsewhere by now.
        assert_eq!(first.update(&other), Code::CHANGED);
        assert_eq!(first.update(&other), Code::CHANGED);
    });
}

#[test]
fn p31_6_endpoints_may_change_places_across_shards() {
    with_server(4, |server, _| {
        let mut clients: Vec<_> = (0..8).map(|_| Client::new(server)).collect();
        for round in 0..3 {
            for (index, client) in clients.iter_mut().enumerate() {
                let name = format!("dev{}", (index + round) % 8);
                let id = client.register(&name);
                // Requests of the new owner reach it at once, wherever its actor lives.
                assert_eq!(client.update(&id), Code::CHANGED, "round {round}");
            }
        }
    });
}

#[test]
fn p31_6_a_peer_leads_to_its_new_endpoint_though_another_shard_knew_it() {
    with_server(4, |server, _| {
        for pair in 0..8 {
            let (mut client, mut other) = (Client::new(server), Client::new(server));
            client.register(&format!("former{pair}"));
            other.register(&format!("new{pair}"));
            let id = client.register(&format!("new{pair}"));
            assert_eq!(client.update(&id), Code::CHANGED);
            // Only the new endpoint remembers the first of these.
            let deregister = client.request(Code::DELETE, &["rd", &id], &[], "");
            assert_eq!(client.send(&deregister).code(), Code::DELETED);
            assert_eq!(
                client.send(&deregister).code(),
                Code::DELETED,
                "pair {pair}"
            );
        }
    });
}

#[test]
fn p31_1_registers_of_one_name_on_all_shards_leave_one_registration() {
    with_server(4, |server, platform| {
        let clients: Vec<_> = (0..16).map(|_| Client::new(server)).collect();
        let threads: Vec<_> = clients
            .into_iter()
            .map(|mut client| {
                std::thread::spawn(move || {
                    let id = client.register("dev1");
                    (client, id)
                })
            })
            .collect();
        let registered: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        let alive = registered
            .into_iter()
            .map(|(mut client, id)| client.update(&id))
            .filter(|code| *code == Code::CHANGED);
        assert_eq!(alive.count(), 1);
        assert_eq!(platform.sessions.lock().unwrap()["dev1"], 1);
    });
}

#[test]
fn a_panic_ends_one_endpoint_alone_and_closes_its_session() {
    with_server(1, |server, platform| {
        let mut other = Client::new(server);
        let id_of_other = other.register("dev2");
        // Its session is open once its next request is answered.
        assert_eq!(other.update(&id_of_other), Code::CHANGED);
        let mut client = Client::patient(server);
        platform.panics.store(true, Ordering::Relaxed);
        let id = client.register("dev1");
        assert_eq!(client.update(&id), Code::NOT_FOUND);
        assert_eq!(platform.sessions.lock().unwrap()["dev1"], 0);
        assert_eq!(other.update(&id_of_other), Code::CHANGED);
        let id = client.register("dev1");
        assert_eq!(client.update(&id), Code::CHANGED);
    });
}

/// One endpoint is bootstrapped by one actor, whichever shard the kernel gives its datagrams to: six of its requests are
/// taken up in a minute, wherever they arrive.
#[test]
fn a56_requests_of_one_endpoint_on_all_shards_meet_in_one_place() {
    actix::System::new().block_on(async move {
        let platform = Arc::new(OpenPlatform::default());
        let server = start(4, LimitSettings::default(), &platform).await;
        let address = server.bootstrap_address().unwrap();
        platform.directory.set(server.directory()).unwrap();
        let asked = tokio::task::spawn_blocking(move || {
            let answers = (0..12).map(|_| {
                let mut client = Client::new(address);
                let answer = client.ask(Code::POST, &["bs"], &["ep=everywhere"], "");
                let next = client.ask(Code::GET, &["bspack"], &["ep=everywhere"], "");
                assert!(next.code() == Code::NOT_FOUND || next.code().is_request());
                answer.code()
            });
            answers.collect::<Vec<_>>()
        });
        let asked = actix::clock::timeout(Duration::from_secs(60), asked).await;
        let (taken, refused) = ([Code::CHANGED; 6], [Code::TOO_MANY_REQUESTS; 6]);
        assert_eq!(asked.unwrap().unwrap(), [taken, refused].concat());
        server.stop_endpoints().await;
        server.close();
    });
}

/// A store in this folder.
fn store(folder: &TempDir) -> Arc<Store> {
    let settings = StateSettings {
        dir: Some(folder.path().to_owned()),
        commit_interval_ms: 10,
        ..StateSettings::default()
    };
    let metrics = Arc::new(Metrics::new(UnixMillis(0)));
    let generation = FileGeneration::default();
    let store = records::open(&settings, "ls-0", &metrics, &generation);
    store.unwrap().unwrap()
}

/// Waits until there is a record of the endpoint.
fn await_record(store: &Store, endpoint: &str) {
    let deadline = clock::now().mono + Duration::from_secs(30);
    while store.get(endpoint).is_none() {
        assert!(
            clock::now().mono < deadline,
            "there is no record of {endpoint}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn l25_every_registration_is_there_after_a_restart_with_another_number_of_shards() {
    const DEVICES: usize = 40;
    let limits = LimitSettings::default;
    actix::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let platform = Arc::new(OpenPlatform::default());
        let any = ([127, 0, 0, 1], 0).into();
        let kept = store(&folder);
        let server = start_at(any, 3, limits(), Some(Arc::clone(&kept)), &platform).await;
        let address = server.address();
        let mut clients = tokio::task::spawn_blocking(move || {
            let register = |number: usize| {
                let mut client = Client::new(address);
                let id = client.register(&format!("dev{number}"));
                (client, id)
            };
            (0..DEVICES).map(register).collect::<Vec<_>>()
        })
        .await
        .unwrap();
        server.stop_reading();
        server.stop_endpoints().await;
        server.close();
        kept.close();
        drop(kept);

        let kept = store(&folder);
        let server = start_at(address, 2, limits(), Some(Arc::clone(&kept)), &platform).await;
        assert_eq!(server.directory().counts().registered, DEVICES);
        let answers = tokio::task::spawn_blocking(move || {
            let update = |(client, id): &mut (Client, String)| client.update(id);
            clients.iter_mut().map(update).collect::<Vec<_>>()
        });
        assert_eq!(answers.await.unwrap(), [Code::CHANGED; DEVICES]);
        // Opened twice, closed never.
        let sessions = platform.sessions.lock().unwrap().clone();
        assert!(sessions.values().all(|open| *open == 2), "{sessions:?}");
        server.close();
    });
}

#[test]
fn a67_an_endpoint_whose_actor_panics_continues_from_its_record_but_not_twice_in_a_minute() {
    actix::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let platform = Arc::new(OpenPlatform::default());
        let any = ([127, 0, 0, 1], 0).into();
        let kept = store(&folder);
        let limits = LimitSettings::default();
        let server = start_at(any, 2, limits, Some(Arc::clone(&kept)), &platform).await;
        let address = server.address();
        let test = tokio::task::spawn_blocking(move || {
            let mut client = Client::patient(address);
            let id = client.register("dev1");
            await_record(&kept, "dev1");
            // The answer leaves before the actor panics.
            platform.panics_at_log.store(true, Ordering::Relaxed);
            assert_eq!(client.update(&id), Code::CHANGED);
            assert_eq!(client.update(&id), Code::CHANGED);
            assert!(!platform.panics_at_log.load(Ordering::Relaxed));
            let open = || platform.sessions.lock().unwrap()["dev1"];
            assert_eq!(open(), 1, "closed, and open again");
            platform.panics_at_log.store(true, Ordering::Relaxed);
            assert_eq!(client.update(&id), Code::CHANGED);
            assert_eq!(client.update(&id), Code::NOT_FOUND);
            assert_eq!(open(), 0);
            assert!(kept.get("dev1").is_none());
        });
        test.await.unwrap();
        server.close();
    });
}
