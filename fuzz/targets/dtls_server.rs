//! A DTLS server with devices and an attacker, by script: the output before a good cookie is bounded by the input, state is
//! bounded by what came, and everything ends.
//!
//! The first byte chooses settings. Then each step is a byte, and what it needs.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use lightship::dtls::{
    AssociationId, CipherSuite, Config, CredentialAnswer, DenyReason, Output, PeerAddress,
    PreSharedKey, PrincipalTag, Server,
    client::{Client, ClientConfig, ClientCredential, ClientOutput},
};
use rand::{SeedableRng as _, rngs::ChaCha8Rng};

/// Plays `data`.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new(script.byte());
    while !script.0.is_empty() && world.steps < 500 {
        world.step(&mut script);
        world.drain();
        world.check();
    }
    world.end();
}

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes.to_vec()
    }

    fn index(&mut self, length: usize) -> usize {
        usize::from(self.byte()) % length.max(1)
    }
}

struct World {
    now: Instant,
    server: Server,
    clients: Vec<(Client, PeerAddress)>,
    /// Datagrams to the server and to devices, the latest first.
    to_server: VecDeque<(PeerAddress, Vec<u8>)>,
    to_clients: VecDeque<(PeerAddress, Vec<u8>)>,
    questions: VecDeque<AssociationId>,
    associations: Vec<AssociationId>,
    received: usize,
    sent: usize,
    steps: u32,
}

impl World {
    fn new(settings: u8) -> Self {
        let config = Config {
            connection_id_length: [None, Some(0), Some(1), Some(8)][usize::from(settings & 3)],
            hide_unknown_identity: settings & 4 != 0,
            quiet_after_forgeries: u32::from(settings >> 3 & 1),
            max_associations: 3,
            max_handshakes: 4,
            max_credential_queries: 2,
            stale_after: Duration::from_secs(60),
            ..Config::default()
        };
        #[expect(clippy::disallowed_methods, reason = "a base to which the script adds")]
        let now = Instant::now();
        let random = Box::new(ChaCha8Rng::seed_from_u64(1));
        Self {
            now,
            server: Server::new(Arc::new(config), random, now, Duration::from_secs(1 << 30)),
            clients: Vec::new(),
            to_server: VecDeque::new(),
            to_clients: VecDeque::new(),
            questions: VecDeque::new(),
            associations: Vec::new(),
            received: 0,
            sent: 0,
            steps: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        self.steps += 1;
        match script.byte() % 16 {
            0 => {
                let (from, datagram) = (address(script.byte()), script.bytes());
                self.receive(from, datagram);
            }
            1 if self.clients.len() < 6 => {
                let identity = [&b"device"[..], b"nobody"][script.index(2)].to_vec();
                let key =
                    PreSharedKey::new([&b"key"[..], b"wrong"][script.index(2)]).expect("short");
                let suite = CipherSuite::ALL[script.index(2)];
                let mut config = ClientConfig::new(
                    vec![suite],
                    ClientCredential::PreSharedKey { identity, key },
                );
                let flags = script.byte();
                config.connection_id =
                    [None, Some(vec![]), Some(vec![1, 2])][usize::from(flags % 3)].clone();
                config.extended_master_secret = flags & 8 == 0;
                config.encrypt_then_mac = flags & 16 == 0;
                let random = Box::new(ChaCha8Rng::seed_from_u64(u64::from(self.steps) + 2));
                let client = Client::new(self.now, Arc::new(config), random);
                self.clients.push((client, address(script.byte() % 4)));
            }
            2..=5 => {
                // The oldest goes first, so that handshakes can go on.
                if let Some((from, datagram)) = self.to_server.pop_back() {
                    self.receive(from, datagram);
                }
                if let Some((to, mut datagram)) = self.to_clients.pop_back() {
                    for (client, _) in self
                        .clients
                        .iter_mut()
                        .filter(|(_, address)| *address == to)
                    {
                        client.handle_datagram(self.now, &mut datagram.clone());
                    }
                    datagram.clear();
                }
            }
            6 => {
                let index = script.index(self.to_server.len());
                let flip = (script.byte(), script.byte());
                if let Some((from, datagram)) = self.to_server.get(index) {
                    let (from, mut datagram) = (*from, datagram.clone());
                    let at = usize::from(flip.0) % datagram.len().max(1);
                    datagram[at] ^= flip.1;
                    self.receive(from, datagram);
                }
            }
            7 => {
                let index = script.index(self.to_server.len());
                let from = address(script.byte());
                if let Some((_, datagram)) = self.to_server.get(index).cloned() {
                    self.receive(from, datagram);
                }
            }
            8 => self.pass(Duration::from_millis(50) * u32::from(script.byte())),
            9 => self.pass(Duration::from_secs(1) * u32::from(script.byte())),
            10 | 11 => {
                let answer = match script.byte() % 8 {
                    0 => CredentialAnswer::Unavailable,
                    1 => CredentialAnswer::Deny(DenyReason::UnknownIdentity),
                    2 => CredentialAnswer::Accept {
                        tag: PrincipalTag(2),
                    },
                    _ => CredentialAnswer::PreSharedKey {
                        key: PreSharedKey::new(b"key").expect("short"),
                        tag: PrincipalTag(1),
                    },
                };
                let index = script.index(self.questions.len());
                if let Some(question) = self.questions.get(index).copied() {
                    self.server.handle_credential(self.now, question, answer);
                }
            }
            12 => {
                let index = script.index(self.clients.len());
                let payload = script.bytes();
                if let Some((client, _)) = self.clients.get_mut(index) {
                    // Whether there is an association is the script's affair.
                    client.send(&payload).ok();
                }
            }
            13 => {
                let index = script.index(self.associations.len());
                let payload = script.bytes();
                if let Some(association) = self.associations.get(index).copied() {
                    self.server.send(self.now, association, &payload).ok();
                }
            }
            14 => {
                let index = script.index(self.associations.len());
                match (script.byte() % 3, self.associations.get(index).copied()) {
                    (0, _) => _ = self.server.invalidate(self.now, PrincipalTag(1)),
                    (1, Some(association)) => self.server.close(self.now, association),
                    _ => {
                        let index = script.index(self.clients.len());
                        if let Some((client, _)) = self.clients.get_mut(index) {
                            client.close();
                        }
                    }
                }
            }
            _ => {
                let index = script.index(self.clients.len());
                let to = address(script.byte());
                if let Some((_, address)) = self.clients.get_mut(index) {
                    *address = to;
                }
            }
        }
    }

    fn receive(&mut self, from: PeerAddress, mut datagram: Vec<u8>) {
        self.received += datagram.len();
        self.server.handle_datagram(self.now, from, &mut datagram);
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.server.handle_timeout(self.now);
        for (client, _) in &mut self.clients {
            client.handle_timeout(self.now);
        }
    }

    fn drain(&mut self) {
        for (client, address) in &mut self.clients {
            while let Some(output) = client.poll_output() {
                if let ClientOutput::Transmit(datagram) = output {
                    self.to_server.push_front((*address, datagram.to_vec()));
                }
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    assert!(datagram.len() <= 1232);
                    self.sent += datagram.len();
                    self.to_clients.push_front((peer, datagram.to_vec()));
                }
                Output::NeedCredential { association, .. } => {
                    assert!(!self.questions.contains(&association), "a second question");
                    self.questions.push_back(association);
                }
                Output::Established(established) => {
                    assert_eq!(established.tag, PrincipalTag(1), "a wrong key is no key");
                    self.associations.push(established.association);
                }
                Output::Closed { association, .. } => {
                    let index = self.associations.iter().position(|own| *own == association);
                    self.associations.remove(index.expect("it was open"));
                }
                Output::Data { association, .. } => {
                    assert!(self.associations.contains(&association))
                }
                Output::PeerMoved {
                    association,
                    from,
                    to,
                } => {
                    assert!(self.associations.contains(&association) && from != to);
                }
                Output::NeedsHandshake { .. } | Output::HandshakeFailed { .. } => {}
            }
        }
        self.to_server.truncate(32);
        self.to_clients.truncate(32);
    }

    fn check(&self) {
        let stats = self.server.stats();
        if stats.handshakes_started == 0 {
            assert!(
                self.sent <= self.received * 3,
                "more is sent than received before a good cookie"
            );
            assert_eq!(
                self.server.poll_timeout(),
                None,
                "a timer before a good cookie"
            );
        }
        assert!(self.server.handshakes() <= 4 && self.server.open_queries() <= 2);
        assert!(self.server.associations() <= 3 && self.associations.len() <= 3);
        let ended = stats.handshakes_completed + stats.handshakes_failed;
        assert_eq!(
            stats.handshakes_started,
            ended + self.server.handshakes() as u64
        );
    }

    /// Whatever happened, handshakes end.
    fn end(mut self) {
        self.clients.clear();
        while let Some(due) = self.server.poll_timeout() {
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        assert_eq!(
            (self.server.handshakes(), self.server.open_queries()),
            (0, 0)
        );
        assert_eq!(self.server.associations(), self.associations.len());
    }
}

/// One of few addresses, so that they recur.
fn address(number: u8) -> PeerAddress {
    let host = IpAddr::V4(Ipv4Addr::new(192, 0, 2, number & 7));
    PeerAddress {
        remote: SocketAddr::new(host, 5684),
        local: None,
    }
}
