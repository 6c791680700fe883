//! Clients with connection ids, Scandium and Mbed TLS: they keep their association when they come from elsewhere.

use lightship::dtls::{CipherSuite, Principal};

use super::{Bench, all_suites};
use crate::cases::Cases;
use crate::peers::process::Process;
use crate::peers::{mbedtls, scandium};
use crate::secure_server::{IDENTITY, KEY, Relay};
use crate::server::PATIENCE;

/// Starts a client with a suite and more arguments at a port.
type Start = fn(u16, CipherSuite, &[String]) -> Option<Process>;

fn scandium(port: u16, suite: CipherSuite, more: &[String]) -> Option<Process> {
    let arguments = [format!("port={port}"), format!("suite={}", suite.name())];
    scandium::start(&[&arguments, more].concat())
}

fn mbedtls(port: u16, suite: CipherSuite, more: &[String]) -> Option<Process> {
    let arguments = [
        format!("port={port}"),
        format!("suite={:04x}", suite.code()),
    ];
    mbedtls::start(&[&arguments, more].concat())
}

/// The arguments for a pre-shared key, and more.
fn with_psk(more: &[&str]) -> Vec<String> {
    let key = std::str::from_utf8(KEY).expect("text");
    let mut arguments = vec![format!("identity={IDENTITY}"), format!("key={key}")];
    arguments.extend(more.iter().map(ToString::to_string));
    arguments
}

impl Bench {
    /// The arguments for the device's certificate, and more.
    fn with_certificate(&self, more: &[&str]) -> Vec<String> {
        let file = |name| self.file(name).display().to_string();
        let (certificate, key) = (file("certificate.pem"), file("key.pem"));
        let mut arguments = vec![
            format!("certificate={certificate}"),
            format!("private={key}"),
        ];
        arguments.extend(more.iter().map(ToString::to_string));
        arguments
    }

    fn port_number(&self) -> u16 {
        self.server.address.port()
    }

    /// Data goes both ways, and on when the client comes from another port, twice, by the same handshake.
    fn moves(&self, start: Start, suite: CipherSuite, options: &[String]) {
        let relay = Relay::start(self.server.address);
        let mut client = start(relay.address.port(), suite, options).expect("it was there");
        client.send_line("first");
        client.expect(PATIENCE, |line| line == "received first");
        let (handshakes, moves) = self.server.log(|log| (log.established.len(), log.moved));
        assert!(self.server.last().has_connection_id);
        assert_eq!(self.server.last().suite, suite);
        for (times, text) in ["second", "third"].into_iter().enumerate() {
            relay.rebind();
            client.send_line(text);
            client.expect(PATIENCE, |line| line == format!("received {text}"));
            let after = self.server.log(|log| (log.established.len(), log.moved));
            assert_eq!(after, (handshakes, moves + times + 1));
        }
    }
}

#[test]
fn scandium_keeps_its_association_when_it_moves() {
    let bench = Bench::new(all_suites());
    let suite = CipherSuite::PskWithAes128Ccm8;
    if scandium(bench.port_number(), suite, &with_psk(&["cid=0"])).is_none() {
        return;
    }
    let mut cases = Cases::of("Scandium");
    for suite in [
        CipherSuite::PskWithAes128Ccm8,
        CipherSuite::PskWithAes128Ccm,
        CipherSuite::PskWithAes128GcmSha256,
        CipherSuite::PskWithAes128CbcSha256,
        CipherSuite::EcdhePskWithAes128CbcSha256,
        CipherSuite::EcdhePskWithAes128Ccm8Sha256,
    ] {
        for length in [0, 6] {
            let name = format!(
                "{} with a connection id of {length} bytes, moving",
                suite.name()
            );
            let options = with_psk(&[&format!("cid={length}")]);
            cases.case(&name, || bench.moves(scandium, suite, &options));
        }
    }
    for suite in ECDSA {
        cases.case(&format!("{} with raw public keys", suite.name()), || {
            let options = ["cid=6".to_owned()];
            let client = scandium(bench.port_number(), suite, &options).expect("it was there");
            bench.echo(client, suite);
            assert!(matches!(
                bench.server.last().principal,
                Principal::RawPublicKey(_)
            ));
        });
    }
    cases.finish();
}

#[test]
fn mbedtls_keeps_its_association_when_it_moves() {
    let bench = Bench::new(all_suites());
    let ccm_8 = CipherSuite::PskWithAes128Ccm8;
    if mbedtls(bench.port_number(), ccm_8, &with_psk(&[])).is_none() {
        return;
    }
    let mut cases = Cases::of("Mbed TLS");
    let cid = |length: usize| format!("with a connection id of {length} bytes");
    for suite in [
        CipherSuite::PskWithAes128Ccm8,
        CipherSuite::PskWithAes128Ccm,
        CipherSuite::PskWithAes128GcmSha256,
        CipherSuite::PskWithAes128CbcSha256,
        CipherSuite::EcdhePskWithAes128CbcSha256,
    ] {
        for length in [0, 6] {
            let options = with_psk(&[&format!("cid={length}")]);
            cases.case(&format!("{} {}, moving", suite.name(), cid(length)), || {
                bench.moves(mbedtls, suite, &options);
            });
        }
        if suite.name().contains("CBC") {
            let options = with_psk(&["cid=6", "etm=0"]);
            let name = format!("{} {} and the MAC inside, moving", suite.name(), cid(6));
            cases.case(&name, || bench.moves(mbedtls, suite, &options));
        }
    }
    for suite in ECDSA {
        let options = bench.with_certificate(&["cid=6"]);
        cases.case(&format!("{} {}, moving", suite.name(), cid(6)), || {
            bench.moves(mbedtls, suite, &options);
        });
    }
    let start = |suite, options: &[String]| {
        mbedtls(bench.port_number(), suite, options).expect("it was there")
    };
    cases.case("without the extended master secret", || {
        bench.echo(start(ccm_8, &with_psk(&["ems=0"])), ccm_8);
        let last = bench.server.last();
        assert!(!last.extended_master_secret && !last.has_connection_id);
    });
    let name = format!("without the extended master secret, {}, moving", cid(6));
    cases.case(&name, || {
        bench.moves(mbedtls, ccm_8, &with_psk(&["cid=6", "ems=0"]));
        assert!(!bench.server.last().extended_master_secret);
    });
    for (code, length) in [(1, 512), (2, 1024)] {
        cases.case(&format!("max_fragment_length of {length}"), || {
            let options = bench.with_certificate(&["cid=6", &format!("fragment={code}")]);
            let mut client = start(CipherSuite::EcdheEcdsaWithAes128Ccm8, &options);
            // The inner type of a record with connection id counts.
            let text = "x".repeat(length - 1);
            client.send_line(&text);
            client.expect(PATIENCE, |line| line == format!("received {text}"));
        });
    }
    cases.case("an association that is put away and taken up again", || {
        let relay = Relay::start(bench.server.address);
        let options = with_psk(&["cid=6"]);
        let mut client = mbedtls(relay.address.port(), ccm_8, &options).expect("it was there");
        client.expect(PATIENCE, |line| {
            line == "connected, connection id 1 of 8 bytes"
        });
        client.send_line("before");
        client.expect(PATIENCE, |line| line == "received before");
        let handshakes = bench.server.log(|log| log.established.len());
        client.send_line(":sleep");
        client.expect(PATIENCE, |line| line == "awake");
        relay.rebind();
        client.send_line("after");
        client.expect(PATIENCE, |line| line == "received after");
        assert_eq!(bench.server.log(|log| log.established.len()), handshakes);
    });
    cases.case("an unknown identity", || {
        let key = std::str::from_utf8(KEY).expect("text");
        let options = ["identity=nobody".to_owned(), format!("key={key}")];
        // MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE
        start(ccm_8, &options).expect(PATIENCE, |line| line == "failed handshake -0x7780");
    });
    cases.finish();
}

const ECDSA: [CipherSuite; 4] = [
    CipherSuite::EcdheEcdsaWithAes128Ccm8,
    CipherSuite::EcdheEcdsaWithAes128Ccm,
    CipherSuite::EcdheEcdsaWithAes128GcmSha256,
    CipherSuite::EcdheEcdsaWithAes128CbcSha256,
];
