//! One million datagrams of chance (hardening A17).

use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt, SeedableRng, rngs::ChaCha8Rng};

use crate::server::{Home, Server, poll};

#[test]
fn a17_one_million_random_datagrams_leave_memory_where_it_was() {
    let home = Home::with_device("urn:dev:after");
    // Without the limit on strangers: every datagram is to be read.
    let mut server = Server::start_with(&home, &["--set", "limits.source_messages_per_s=0"]);
    let mut flood = Flood::new(&server);

    flood.send(&server, WARM_UP);
    let before = resident_kib(&server);
    let start = Instant::now();
    flood.send(&server, DATAGRAMS);
    let after = resident_kib(&server);

    let arrived = flood.arrived(&server);
    eprintln!(
        "a17: {} datagrams sent, {arrived} arrived, {:?}; resident {before} KiB before, {after} KiB after",
        flood.sent,
        start.elapsed(),
    );
    assert!(server.process.is_running());
    assert!(
        arrived * 100 >= flood.sent * 95,
        "{arrived} of {} arrived",
        flood.sent
    );
    assert!(
        after <= before + GROWTH_KIB,
        "{before} KiB before, {after} KiB after"
    );
    for counted in [
        r#"lightship_coap_malformed_total{reason="format"}"#,
        r#"lightship_coap_malformed_total{reason="option"}"#,
        "lightship_coap_unmatched_total",
        r#"lightship_notifications_total{result="unknown_token"}"#,
    ] {
        assert!(server.metric(counted) > 1000, "{counted} moved");
    }
    assert_eq!(server.metric("lightship_actor_panics_total"), 0);
    assert_eq!(server.get("/livez").0, 200);
    // Life goes on: a device registers and its values arrive.
    let _device = server.registered_device(&home, "urn:dev:after");
    home.expect_telemetry(|line| line["values"]["temperature"] == 21.5);
}

struct Flood {
    random: ChaCha8Rng,
    /// Chance made in advance, from which datagrams are cut: making it takes longer than sending it.
    chance: Vec<u8>,
    sockets: Vec<UdpSocket>,
    sent: u64,
}

impl Flood {
    fn new(server: &Server) -> Self {
        let sockets = (0..SOCKETS)
            .map(|_| {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
                socket.connect(server.coap).expect("loopback is reached");
                socket
            })
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(17);
        let mut chance = vec![0; 4 << 20];
        random.fill_bytes(&mut chance);
        Self {
            random,
            chance,
            sockets,
            sent: 0,
        }
    }

    /// Sends `count` datagrams, in batches that the server has taken before the next one follows.
    fn send(&mut self, server: &Server, count: u64) {
        let until = self.sent + count;
        while self.sent < until {
            for _ in 0..BATCH.min(until - self.sent) {
                self.send_one();
                self.sent += 1;
            }
            self.await_taken(server);
        }
    }

    /// Sends one: half of them are nothing but chance, half of them were valid before chance came over them.
    fn send_one(&mut self) {
        let Self {
            random,
            chance,
            sockets,
            ..
        } = self;
        let socket = &sockets[random.random_range(0..sockets.len())];
        let kind = random.random_range(0..1000);
        let sent = if kind < 500 {
            let length = if kind == 0 {
                LONGEST
            } else {
                random.random_range(0..=1400)
            };
            let begin = random.random_range(0..chance.len() - length);
            socket.send(&chance[begin..begin + length])
        } else {
            let mut datagram = VALID[random.random_range(0..VALID.len())].to_vec();
            // Fresh ids, or everything would be a duplicate.
            random.fill_bytes(&mut datagram[2..4]);
            for _ in 0..random.random_range(0..4) {
                let at = random.random_range(0..datagram.len());
                datagram[at] = random.random();
            }
            if random.random_ratio(1, 3) {
                datagram.truncate(random.random_range(0..datagram.len()));
            }
            socket.send(&datagram)
        };
        // A full send buffer is a loss like any other.
        sent.ok();
    }

    /// Waits until the server has nothing left to take.
    fn await_taken(&self, server: &Server) {
        let queued = || {
            let sockets = fs::read_to_string("/proc/net/udp").expect("Linux tells its sockets");
            let port = format!(":{:04X}", server.coap.port());
            sockets
                .lines()
                .filter_map(|line| {
                    let mut fields = line.split_whitespace().skip(1);
                    let local = fields.next()?;
                    let queues = fields.nth(2)?;
                    local
                        .ends_with(&port)
                        .then(|| queues.ends_with(":00000000"))
                })
                .all(|empty| empty)
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !queued() {
            assert!(
                Instant::now() < deadline,
                "the server takes no more datagrams"
            );
            thread::sleep(Duration::from_micros(200));
        }
    }

    fn arrived(&self, server: &Server) -> u64 {
        let name = r#"lightship_udp_datagrams_total{direction="in"}"#;
        let mut before = u64::MAX;
        poll("the last datagrams", || {
            let arrived = server.metric(name);
            (std::mem::replace(&mut before, arrived) == arrived).then_some(arrived)
        })
    }
}

fn resident_kib(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.process.pid());
    let status = fs::read_to_string(path).expect("Linux tells about its processes");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("VmRSS is told in kB")
}

/// Messages that a server sees: Register (of an unknown endpoint), Update, De-register, a notification, Send, a read,
/// a ping, ACK, RST.
const VALID: [&[u8]; 9] = [
    b"\x44\x02\x12\x34tokn\xb2rd\x11\x28\x38ep=chan!\x06lt=300\x09lwm2m=1.1\x03b=U\xff</1/0>,</3/0>,</3303/0>",
    b"\x44\x02\x12\x35tokn\xb2rd\x0a00aaaaaaaa",
    b"\x44\x04\x12\x36tokn\xb2rd\x0a00aaaaaaaa",
    b"\x48\x45\x12\x37\x00\x01abcdef\x61\x07\x60\xff21.5",
    b"\x44\x02\x12\x38tokn\xb2dp\x11\x70\xff\x80",
    b"\x44\x01\x12\x39tokn\xb13\x010\x019",
    b"\x40\x00\x12\x3a",
    b"\x60\x00\x12\x3b",
    b"\x70\x00\x12\x3c",
];

const DATAGRAMS: u64 = 1_000_000;
/// Fills what is bounded: caches, buffers, the allocator's own.
const WARM_UP: u64 = 100_000;
/// What UDP over IPv4 can carry.
const LONGEST: usize = 65_507;
const BATCH: u64 = 500;
const SOCKETS: usize = 8;
/// A leak of six bytes a datagram would show.
const GROWTH_KIB: u64 = 6 << 10;
