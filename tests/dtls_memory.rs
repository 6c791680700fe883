//! What an idle association costs: a server has very many. In a program of its own, because allocations are counted.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test program of its own"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use lightship::dtls::client::{Client, ClientConfig, ClientCredential, ClientOutput};
use lightship::dtls::{
    CipherSuite, CredentialAnswer, Output, PeerAddress, PreSharedKey, PrincipalTag, Server,
};
use rand::{SeedableRng as _, rngs::ChaCha8Rng};

/// Bytes of heap for each association, tables included.
const LIMIT: i64 = 1024;

#[test]
fn ten_thousand_associations_take_at_most_a_kilobyte_each() {
    for (suite, has_cid, associations) in [
        (CipherSuite::PskWithAes128Ccm8, true, 10_000),
        (CipherSuite::PskWithAes128Ccm8, false, 2_000),
        (CipherSuite::PskWithAes128CbcSha256, true, 2_000),
    ] {
        let mut now = Instant::now();
        let random = Box::new(ChaCha8Rng::seed_from_u64(1));
        let mut server = Server::new(Arc::default(), random, now, Duration::ZERO);
        let counted = measure(|| {
            for number in 0..associations {
                connect(&mut server, now, number, suite, has_cid);
                now += Duration::from_millis(10);
                server.handle_timeout(now);
            }
            now += Duration::from_secs(60);
            server.handle_timeout(now);
            assert!(server.poll_output().is_none());
        });
        assert_eq!(server.associations(), associations as usize);
        assert_eq!(
            server.poll_timeout(),
            None,
            "an idle association has no timer"
        );
        let each = counted.bytes_current / i64::from(associations);
        println!("{} {has_cid}: {each} bytes an association", suite.name());
        assert!(each <= LIMIT, "{each} bytes");
    }
}

/// One whole handshake; the client is forgotten.
fn connect(server: &mut Server, now: Instant, number: u32, suite: CipherSuite, has_cid: bool) {
    // Each device is in a network of its own: limits are another matter.
    let host = Ipv4Addr::from_bits(0x0a00_0000 | number << 8 | 1);
    let peer = PeerAddress {
        remote: SocketAddr::new(IpAddr::V4(host), 5684),
        local: None,
    };
    let identity = format!("urn:dev:{number:08}").into_bytes();
    let key = || PreSharedKey::new(b"0123456789abcdef").expect("16 bytes");
    let credential = ClientCredential::PreSharedKey {
        identity,
        key: key(),
    };
    let mut config = ClientConfig::new(vec![suite], credential);
    if !has_cid {
        config.connection_id = None;
    }
    let random = Box::new(ChaCha8Rng::seed_from_u64(u64::from(number) + 2));
    let mut client = Client::new(now, Arc::new(config), random);
    let mut established = false;
    while !established {
        let mut progress = false;
        while let Some(output) = client.poll_output() {
            progress = true;
            if let ClientOutput::Transmit(datagram) = output {
                server.handle_datagram(now, peer, &mut datagram.to_vec());
            }
        }
        while let Some(output) = server.poll_output() {
            progress = true;
            match output {
                Output::Transmit { ref datagram, .. } => {
                    client.handle_datagram(now, &mut datagram.to_vec())
                }
                Output::NeedCredential { association, .. } => {
                    let answer = CredentialAnswer::PreSharedKey {
                        key: key(),
                        tag: PrincipalTag(number.into()),
                    };
                    server.handle_credential(now, association, answer);
                }
                Output::Established(_) => established = true,
                Output::Data { .. }
                | Output::PeerMoved { .. }
                | Output::NeedsHandshake { .. }
                | Output::Closed { .. }
                | Output::HandshakeFailed { .. } => panic!("{output:?}"),
            }
        }
        assert!(progress);
    }
}
