//! What the server spends on a handshake and on a record: the figures that the design of the DTLS engine names. What an idle
//! association takes is counted by `tests/dtls_memory.rs`.
//!
//! Only the server's calls are timed. The best round of several counts.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "this is a measurement"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lightship::dtls::client::{Client, ClientConfig, ClientCredential, ClientOutput};
use lightship::dtls::{
    AssociationId, CipherSuite, Config, CredentialAnswer, CredentialQuery, Credentials, Output,
    PeerAddress, PreSharedKey, PrincipalTag, Server,
};
use rand::{SeedableRng as _, rngs::ChaCha8Rng};
use rcgen::KeyPair;

fn main() {
    // `cargo test --benches` only wants to know whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("| handshake, server's part, cookie included | microseconds |\n|---|--:|");
    for suite in [
        CipherSuite::PskWithAes128Ccm8,
        CipherSuite::PskWithAes128CbcSha256,
        CipherSuite::EcdhePskWithAes128Ccm8Sha256,
        CipherSuite::EcdheEcdsaWithAes128Ccm8,
    ] {
        println!("| {} | {:.1} |", suite.name(), best(|| handshakes(suite)));
    }
    println!("\n| record of 100 bytes, received and answered | microseconds |\n|---|--:|");
    for suite in [
        CipherSuite::PskWithAes128Ccm8,
        CipherSuite::PskWithAes128GcmSha256,
        CipherSuite::PskWithAes128CbcSha256,
    ] {
        for encrypt_then_mac in [true, false] {
            let is_cbc = suite == CipherSuite::PskWithAes128CbcSha256;
            if is_cbc || encrypt_then_mac {
                let order = if is_cbc && !encrypt_then_mac {
                    ", MAC inside"
                } else {
                    ""
                };
                let took = best(|| records(suite, encrypt_then_mac));
                println!("| {}{order} | {took:.2} |", suite.name());
            }
        }
    }
}

/// The least of several rounds, in microseconds.
fn best(round: impl Fn() -> Duration) -> f64 {
    (0..ROUNDS)
        .map(|_| round())
        .min()
        .unwrap_or_default()
        .as_secs_f64()
        * 1e6
}

/// One server and what it spends.
struct World {
    server: Server,
    now: Instant,
    spent: Duration,
    keys: Arc<Credentials>,
}

impl World {
    fn new() -> Self {
        let config = Config {
            ecdhe_psk: true,
            psk_gcm: true,
            ..Config::default()
        };
        let now = Instant::now();
        let random = Box::new(ChaCha8Rng::seed_from_u64(1));
        let mut server = Server::new(Arc::new(config), random, now, Duration::ZERO);
        let credentials = || {
            let key = KeyPair::generate().expect("a key");
            Arc::new(Credentials::new(Vec::new(), key.serialized_der()).expect("a key"))
        };
        server.set_credentials(Some(credentials()), Arc::default());
        Self {
            server,
            now,
            spent: Duration::ZERO,
            keys: credentials(),
        }
    }

    /// A whole handshake.
    fn connect(
        &mut self,
        number: u32,
        suite: CipherSuite,
        encrypt_then_mac: bool,
    ) -> (Client, PeerAddress, AssociationId) {
        let host = Ipv4Addr::from_bits(0x0a00_0000 | number << 8 | 1);
        let peer = PeerAddress {
            remote: SocketAddr::new(IpAddr::V4(host), 5684),
            local: None,
        };
        let credential = if suite.name().contains("ECDSA") {
            ClientCredential::RawPublicKey(Arc::clone(&self.keys))
        } else {
            ClientCredential::PreSharedKey {
                identity: b"device".to_vec(),
                key: key(),
            }
        };
        let mut config = ClientConfig::new(vec![suite], credential);
        config.encrypt_then_mac = encrypt_then_mac;
        let random = Box::new(ChaCha8Rng::seed_from_u64(u64::from(number) + 2));
        let mut client = Client::new(self.now, Arc::new(config), random);
        let mut established = None;
        while established.is_none() || !client.is_established() {
            while let Some(output) = client.poll_output() {
                if let ClientOutput::Transmit(datagram) = output {
                    let mut datagram = datagram.to_vec();
                    self.timed(|server, now| server.handle_datagram(now, peer, &mut datagram));
                }
            }
            while let Some(output) = self.timed(|server, _| server.poll_output()) {
                match output {
                    Output::Transmit { datagram, .. } => {
                        client.handle_datagram(self.now, &mut datagram.to_vec())
                    }
                    Output::NeedCredential {
                        association, query, ..
                    } => {
                        let tag = PrincipalTag(number.into());
                        let answer = match query {
                            CredentialQuery::PreSharedKey { .. } => {
                                CredentialAnswer::PreSharedKey { key: key(), tag }
                            }
                            CredentialQuery::RawPublicKey { .. }
                            | CredentialQuery::Certificate(_) => CredentialAnswer::Accept { tag },
                        };
                        self.timed(|server, now| {
                            server.handle_credential(now, association, answer)
                        });
                    }
                    Output::Established(new) => established = Some(new.association),
                    Output::Data { .. }
                    | Output::PeerMoved { .. }
                    | Output::NeedsHandshake { .. }
                    | Output::Closed { .. }
                    | Output::HandshakeFailed { .. } => {}
                }
            }
        }
        (client, peer, established.expect("the loop ended"))
    }

    fn timed<R>(&mut self, call: impl FnOnce(&mut Server, Instant) -> R) -> R {
        let begin = Instant::now();
        let result = call(&mut self.server, self.now);
        self.spent += begin.elapsed();
        result
    }
}

/// What the server spends on one of many handshakes.
fn handshakes(suite: CipherSuite) -> Duration {
    let mut world = World::new();
    for number in 0..HANDSHAKES {
        world.connect(number, suite, true);
    }
    world.spent / HANDSHAKES
}

/// What the server spends on one of many records, each answered by another.
fn records(suite: CipherSuite, encrypt_then_mac: bool) -> Duration {
    let mut world = World::new();
    let (mut client, peer, association) = world.connect(0, suite, encrypt_then_mac);
    world.spent = Duration::ZERO;
    for _ in 0..RECORDS {
        client.send(&[1; 100]).expect("there is an association");
        while let Some(output) = client.poll_output() {
            if let ClientOutput::Transmit(datagram) = output {
                let mut datagram = datagram.to_vec();
                world.timed(|server, now| {
                    server.handle_datagram(now, peer, &mut datagram);
                    let received = server.poll_output();
                    assert!(matches!(received, Some(Output::Data { .. })));
                    server
                        .send(now, association, &[2; 100])
                        .expect("there is an association");
                    assert!(server.poll_output().is_some());
                });
            }
        }
    }
    world.spent / RECORDS
}

fn key() -> PreSharedKey {
    PreSharedKey::new(b"0123456789abcdef").expect("16 bytes")
}

const ROUNDS: u32 = 5;
const HANDSHAKES: u32 = 500;
const RECORDS: u32 = 20_000;
