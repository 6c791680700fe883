//! Many runs over a network that loses, repeats, reorders and delays, with devices that move, start anew and wait for late
//! credentials (`dtls.md` section 11.1).
//!
//! `LIGHTSHIP_DTLS_SEEDS` says how many runs; each is repeated by its seed alone, but for key agreement and signatures.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng as _, RngExt as _, rngs::ChaCha8Rng};

use super::*;
use crate::dtls::channel::nonces;

#[test]
fn handshakes_end_whatever_the_network_does() {
    let seeds = std::env::var("LIGHTSHIP_DTLS_SEEDS")
        .ok()
        .and_then(|seeds| seeds.parse().ok())
        .unwrap_or(2_000);
    let (mut associations, mut data) = (0, 0);
    for seed in 0..seeds {
        let run = std::panic::AssertUnwindSafe(|| Run::new(seed).run());
        let Ok((established, received)) = std::panic::catch_unwind(run) else {
            panic!("seed {seed}");
        };
        associations += established;
        data += received;
        nonces::take();
    }
    // Most get through, or this would show nothing.
    assert!(
        associations > seeds && data > seeds,
        "{associations} {data}"
    );
}

/// What happens at a time.
#[derive(Debug)]
enum Happening {
    Arrives(Packet),
    Answer(AssociationId, CredentialAnswer),
    /// A device does something.
    Acts(usize),
}

struct Run {
    random: ChaCha8Rng,
    world: World,
    /// In the order of time, then of their making.
    agenda: BTreeMap<(Instant, u64), Happening>,
    made: u64,
    loss: u32,
    asked: BTreeSet<AssociationId>,
    /// What devices sent as data and the server did not receive.
    under_way: BTreeSet<Vec<u8>>,
    received: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = test_support::random(seed);
        let config = Config {
            connection_id_length: [None, Some(0), Some(1), Some(8)][random.random_range(0..4)],
            retransmission_timeout: Duration::from_secs(random.random_range(1..10)),
            retransmission_jitter_percent: random.random_range(0..2) * 50,
            mtu: [1232, 200, 120][random.random_range(0..3)],
            ecdhe_psk: true,
            ..Config::default()
        };
        let mut world = World::new(config);
        world.answers = Box::new(|_| None);
        world.seed = seed * 1000;
        Self {
            loss: random.random_range(0..31),
            random,
            world,
            agenda: BTreeMap::new(),
            made: 0,
            asked: BTreeSet::new(),
            under_way: BTreeSet::new(),
            received: 0,
        }
    }

    /// How many handshakes succeeded, and how much data came.
    fn run(mut self) -> (u64, u64) {
        let devices = self.random.random_range(1..4);
        for device in 0..devices {
            let config = self.device();
            self.world.connect(config);
            self.plan(Duration::from_secs(20), Happening::Acts(device));
        }
        let begin = self.world.now;
        self.take();
        while let Some(now) = self
            .next_time()
            .filter(|now| *now < begin + Duration::from_secs(400))
        {
            self.world.now = now;
            self.world.server.handle_timeout(now);
            for device in &mut self.world.devices {
                device.client.handle_timeout(now);
            }
            self.world.drain();
            while self
                .agenda
                .first_key_value()
                .is_some_and(|((time, _), _)| *time <= now)
            {
                let (_, happening) = self.agenda.pop_first().expect("one is first");
                self.happen(happening);
            }
            self.take();
        }
        self.end()
    }

    /// What a device offers.
    fn device(&mut self) -> ClientConfig {
        let suites = [
            CipherSuite::PskWithAes128Ccm8,
            CipherSuite::PskWithAes128CbcSha256,
            CipherSuite::PskWithAes128Ccm,
        ];
        let mut suite = suites[self.random.random_range(0..3)];
        if self.random.random_range(0..20) == 0 {
            suite = CipherSuite::EcdhePskWithAes128Ccm8Sha256;
        }
        let wrong = self.random.random_range(0..10) == 0;
        let mut config = if wrong {
            psk_with(b"device", b"wrong")
        } else {
            psk()
        };
        config.suites = vec![suite];
        config.extended_master_secret = self.random.random();
        config.encrypt_then_mac = self.random.random();
        config.connection_id =
            [None, Some(vec![]), Some(vec![1, 2, 3])][self.random.random_range(0..3)].clone();
        config.retransmission_timeout = Duration::from_secs(self.random.random_range(1..10));
        config.max_retransmissions = 5;
        config
    }

    fn next_time(&self) -> Option<Instant> {
        let clients = self
            .world
            .devices
            .iter()
            .filter_map(|device| device.client.poll_timeout());
        let planned = self.agenda.first_key_value().map(|((time, _), _)| *time);
        clients
            .chain(planned)
            .chain(self.world.server.poll_timeout())
            .min()
            .map(|next| next.max(self.world.now))
    }

    fn plan(&mut self, within: Duration, happening: Happening) {
        let delay = Duration::from_micros(
            self.random
                .random_range(0..u64::try_from(within.as_micros()).expect("short")),
        );
        self.made += 1;
        self.agenda
            .insert((self.world.now + delay, self.made), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives(packet) => self.world.deliver(packet),
            Happening::Answer(association, answer) => {
                self.world
                    .server
                    .handle_credential(self.world.now, association, answer);
            }
            Happening::Acts(device) => self.act(device),
        }
        self.world.drain();
        self.take();
    }

    fn act(&mut self, index: usize) {
        let number = self.made.to_be_bytes().to_vec();
        let device = &mut self.world.devices[index];
        match self.random.random_range(0..10) {
            0..=5 => {
                if device.client.send(&number).is_ok() {
                    self.under_way.insert(number);
                }
            }
            6 | 7 => {
                // A device that moves cannot be reached at the old address; one without connection id is lost.
                let port = 30_000 + self.random.next_u32() as u16 % 1000;
                device.address.remote.set_port(port);
            }
            8 => device.client.close(),
            _ => {
                let config = self.device();
                self.world.seed += 1;
                let random = Box::new(test_support::random(self.world.seed));
                self.world.devices[index].client =
                    Client::new(self.world.now, Arc::new(config), random);
            }
        }
        if self.made < 3000 {
            self.plan(Duration::from_secs(60), Happening::Acts(index));
        }
        self.world.drain();
    }

    /// Plans what comes of what was put out, and checks it.
    fn take(&mut self) {
        for packet in std::mem::take(&mut self.world.network) {
            for _ in 0..1 + u32::from(self.random.random_range(0..10) == 0) {
                if self.random.random_range(0..100) >= self.loss {
                    self.plan(
                        Duration::from_millis(500),
                        Happening::Arrives(packet.clone()),
                    );
                }
            }
        }
        for event in std::mem::take(&mut self.world.events) {
            match event {
                Output::NeedCredential {
                    association, query, ..
                } => {
                    assert!(self.asked.insert(association), "a second question");
                    let late = [Duration::from_millis(100), Duration::from_secs(30)]
                        [self.random.random_range(0..2)];
                    self.plan(late, Happening::Answer(association, known(&query)));
                    if self.random.random() {
                        self.plan(
                            late,
                            Happening::Answer(association, CredentialAnswer::Unavailable),
                        );
                    }
                }
                Output::Data {
                    association,
                    payload,
                    ..
                } => {
                    assert!(
                        self.under_way.remove(&payload.to_vec()),
                        "data that nobody sent, or twice"
                    );
                    self.received += 1;
                    let sent = self
                        .world
                        .server
                        .send(self.world.now, association, &payload);
                    assert!(
                        matches!(
                            sent,
                            Ok(()) | Err(SendError::Unconfirmed | SendError::Closed)
                        ),
                        "{sent:?}"
                    );
                    self.world.drain();
                }
                Output::Established(_)
                | Output::PeerMoved { .. }
                | Output::NeedsHandshake { .. }
                | Output::Closed { .. }
                | Output::HandshakeFailed { .. }
                | Output::Transmit { .. } => {}
            }
        }
        let stats = self.world.server.stats();
        assert!(stats.handshakes_started == 0 || stats.hello_verify_requests > 0);
        assert_eq!(
            stats.handshakes_started,
            stats.handshakes_completed
                + stats.handshakes_failed
                + self.world.server.handshakes() as u64
        );
    }

    /// Whatever happened, nothing is left.
    fn end(mut self) -> (u64, u64) {
        self.world.devices.clear();
        self.agenda.clear();
        while let Some(due) = self.world.server.poll_timeout() {
            self.world.now = self.world.now.max(due);
            self.world.server.handle_timeout(self.world.now);
            self.world.drain();
        }
        self.world.assert_no_handshakes();
        for id in self.world.server.all_associations() {
            self.world.server.close(self.world.now, id);
        }
        self.world.drain();
        assert_eq!(
            (
                self.world.server.associations(),
                self.world.server.addresses_known()
            ),
            (0, 0)
        );
        assert_eq!(self.world.server.poll_timeout(), None);
        self.world.assert_no_handshakes();
        (
            self.world.server.stats().handshakes_completed,
            self.received,
        )
    }
}
