//! DTLS clients before our engine: OpenSSL, GnuTLS, libcoap over both, tinydtls, and Scandium, the one with connection ids.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lightship::dtls::{CipherSuite, Config, Credentials, Principal, TrustStore};
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData as _};
use tempfile::TempDir;

use crate::cases::Cases;
use crate::peers::cache::{self, GNUTLS, OPENSSL, Tool};
use crate::peers::process::Process;
use crate::peers::{scandium, tinydtls};
use crate::secure_server::{IDENTITY, KEY, KEY_HEX, Relay, SecureServer};
use crate::server::PATIENCE;

/// Keys and certificates of a device, in files, and a server that has its own.
struct Bench {
    server: SecureServer,
    folder: TempDir,
    key: KeyPair,
}

impl Bench {
    fn new(config: Config) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (certificate, key) = self_signed("device");
        let write =
            |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("certificate.pem", &pem("CERTIFICATE", certificate.der()));
        write("key.pem", &pem("PRIVATE KEY", key.serialized_der()));
        write(
            "public.pem",
            &pem("PUBLIC KEY", &key.subject_public_key_info()),
        );
        let (own, own_key) = self_signed("server");
        let own =
            Credentials::new(vec![own.der().to_vec()], own_key.serialized_der()).expect("they fit");
        let server = SecureServer::start(config, Some(Arc::new(own)), Arc::<TrustStore>::default());
        Self {
            server,
            folder,
            key,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The client sends a line, which comes back.
    fn echo(&self, mut client: Process, suite: CipherSuite) {
        client.send_line("there and back");
        client.expect(PATIENCE, |line| line.contains("there and back"));
        assert_eq!(self.server.last().suite, suite);
    }
}

fn self_signed(name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.self_signed(&key).expect("a certificate"), key)
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der).into_bytes();
    let lines: Vec<_> = text.chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn all_suites() -> Config {
    Config {
        ecdhe_psk: true,
        psk_gcm: true,
        ..Config::default()
    }
}

#[test]
fn openssl_shakes_hands() {
    if !cache::is_installed("OpenSSL", OPENSSL) {
        return;
    }
    let bench = Bench::new(all_suites());
    let client = |ciphers: &str, more: &[&str]| {
        let mut command = Command::new(OPENSSL.probe[0]);
        // CCM_8 is below the default security level.
        command
            .args([
                "s_client",
                "-dtls1_2",
                "-quiet",
                "-cipher",
                &format!("{ciphers}:@SECLEVEL=0"),
            ])
            .args(["-connect", &bench.server.address.to_string()])
            .args(more);
        Process::spawn("openssl s_client", &mut command)
    };
    let psk = ["-psk_identity", IDENTITY, "-psk", KEY_HEX];
    let (certificate, key) = (bench.file("certificate.pem"), bench.file("key.pem"));
    let text = |path: &PathBuf| path.to_str().expect("a plain name").to_owned();
    let (certificate, key) = (text(&certificate), text(&key));
    let certificate = ["-cert", &certificate, "-key", &key];

    let mut cases = Cases::of("OpenSSL");
    for (ciphers, suite) in [
        ("PSK-AES128-CCM8", CipherSuite::PskWithAes128Ccm8),
        ("PSK-AES128-CCM", CipherSuite::PskWithAes128Ccm),
        ("PSK-AES128-GCM-SHA256", CipherSuite::PskWithAes128GcmSha256),
        ("PSK-AES128-CBC-SHA256", CipherSuite::PskWithAes128CbcSha256),
        (
            "ECDHE-PSK-AES128-CBC-SHA256",
            CipherSuite::EcdhePskWithAes128CbcSha256,
        ),
    ] {
        cases.case(suite.name(), || bench.echo(client(ciphers, &psk), suite));
        if suite.name().contains("CBC") {
            let name = format!("{} with the MAC inside", suite.name());
            cases.case(&name, || {
                bench.echo(client(ciphers, &[&psk[..], &["-no_etm"]].concat()), suite)
            });
        }
    }
    for (ciphers, suite) in [
        (
            "ECDHE-ECDSA-AES128-CCM8",
            CipherSuite::EcdheEcdsaWithAes128Ccm8,
        ),
        (
            "ECDHE-ECDSA-AES128-CCM",
            CipherSuite::EcdheEcdsaWithAes128Ccm,
        ),
        (
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            CipherSuite::EcdheEcdsaWithAes128GcmSha256,
        ),
        (
            "ECDHE-ECDSA-AES128-SHA256",
            CipherSuite::EcdheEcdsaWithAes128CbcSha256,
        ),
    ] {
        cases.case(suite.name(), || {
            bench.echo(client(ciphers, &certificate), suite);
            let Principal::Certificate { common_name, .. } = bench.server.last().principal else {
                panic!("a certificate");
            };
            assert_eq!(common_name.as_deref(), Some("device"));
        });
    }
    let suite = CipherSuite::EcdheEcdsaWithAes128Ccm8;
    cases.case("a certificate in fragments", || {
        bench.echo(
            client(
                "ECDHE-ECDSA-AES128-CCM8",
                &[&certificate[..], &["-mtu", "300"]].concat(),
            ),
            suite,
        );
    });
    cases.case("max_fragment_length", || {
        bench.echo(
            client(
                "ECDHE-ECDSA-AES128-CCM8",
                &[&certificate[..], &["-maxfraglen", "512"]].concat(),
            ),
            suite,
        );
    });
    cases.case("an unknown identity", || {
        let mut client = client(
            "PSK-AES128-CCM8",
            &["-psk_identity", "nobody", "-psk", KEY_HEX],
        );
        client.expect(PATIENCE, |line| line.contains("alert number 115"));
    });
    cases.finish();
}

#[test]
fn gnutls_shakes_hands() {
    if !cache::is_installed("GnuTLS", GNUTLS) {
        return;
    }
    let bench = Bench::new(all_suites());
    let client = |priority: &str, more: &[&str]| {
        let mut command = Command::new(GNUTLS.probe[0]);
        command
            .args([
                "--udp",
                "--insecure",
                "--port",
                &bench.server.port(),
                "--priority",
            ])
            .arg(format!(
                "NONE:+VERS-DTLS1.2:+COMP-NULL:+SIGN-ECDSA-SHA256:+GROUP-SECP256R1:{priority}"
            ))
            .args(more)
            .arg("127.0.0.1");
        let mut client = Process::spawn("gnutls-cli", &mut command);
        client.expect(PATIENCE, |line| line.contains("Simple Client Mode"));
        client
    };
    let psk = ["--pskusername", IDENTITY, "--pskkey", KEY_HEX];
    let path = |name: &str| bench.file(name).to_str().expect("a plain name").to_owned();
    let (certificate, key, public) = (path("certificate.pem"), path("key.pem"), path("public.pem"));
    let certificate = ["--x509certfile", &certificate, "--x509keyfile", &key];
    let raw = ["--rawpkkeyfile", &key, "--rawpkfile", &public];

    let mut cases = Cases::of("GnuTLS");
    for (priority, suite) in [
        ("+PSK:+AES-128-CCM-8:+AEAD", CipherSuite::PskWithAes128Ccm8),
        ("+PSK:+AES-128-CCM:+AEAD", CipherSuite::PskWithAes128Ccm),
        (
            "+PSK:+AES-128-CBC:+SHA256",
            CipherSuite::PskWithAes128CbcSha256,
        ),
        (
            "+PSK:+AES-128-GCM:+AEAD",
            CipherSuite::PskWithAes128GcmSha256,
        ),
        (
            "+ECDHE-PSK:+AES-128-CBC:+SHA256",
            CipherSuite::EcdhePskWithAes128CbcSha256,
        ),
    ] {
        cases.case(suite.name(), || bench.echo(client(priority, &psk), suite));
    }
    for (priority, suite) in [
        (
            "+AES-128-CCM-8:+AEAD",
            CipherSuite::EcdheEcdsaWithAes128Ccm8,
        ),
        ("+AES-128-CCM:+AEAD", CipherSuite::EcdheEcdsaWithAes128Ccm),
        (
            "+AES-128-CBC:+SHA256",
            CipherSuite::EcdheEcdsaWithAes128CbcSha256,
        ),
    ] {
        cases.case(suite.name(), || {
            let priority = format!("+ECDHE-ECDSA:+CTYPE-X509:{priority}");
            bench.echo(client(&priority, &certificate), suite);
            assert!(matches!(
                bench.server.last().principal,
                Principal::Certificate { .. }
            ));
        });
        cases.case(&format!("{} with raw public keys", suite.name()), || {
            let priority = format!("+ECDHE-ECDSA:+CTYPE-CLI-RAWPK:+CTYPE-SRV-RAWPK:{priority}");
            bench.echo(client(&priority, &raw), suite);
            let expected = bench.key.subject_public_key_info();
            assert_eq!(
                bench.server.last().principal,
                Principal::RawPublicKey(expected.into())
            );
        });
    }
    cases.case("without the extended master secret", || {
        let suite = CipherSuite::PskWithAes128Ccm8;
        bench.echo(
            client("+PSK:+AES-128-CCM-8:+AEAD:%NO_EXTENSIONS", &psk),
            suite,
        );
        assert!(!bench.server.last().extended_master_secret);
    });
    cases.finish();
}

#[test]
fn libcoap_speaks_over_dtls() {
    let bench = Bench::new(Config::default());
    let path = |name: &str| bench.file(name).to_str().expect("a plain name").to_owned();
    let (certificate, key) = (path("certificate.pem"), path("key.pem"));
    let uri = format!("coaps://{}/3/0/0", bench.server.address);
    let key_text = std::str::from_utf8(KEY).expect("text");
    for (peer, program) in [
        ("libcoap over OpenSSL", "coap-client-openssl"),
        ("libcoap over GnuTLS", "coap-client-gnutls"),
    ] {
        let tool = Tool {
            probe: [program, "-h"],
            version: 0,
        };
        if !cache::is_installed(peer, tool) {
            continue;
        }
        let get = |more: &[&str]| {
            let mut command = Command::new(program);
            command.args(["-B", "10", "-m", "get"]).args(more).arg(&uri);
            let mut client = Process::spawn(program, &mut command);
            client.wait(PATIENCE);
            assert!(client.output().iter().any(|line| line.contains("secured")));
        };
        let mut cases = Cases::of(peer);
        cases.case("GET with a shared key", || {
            get(&["-u", IDENTITY, "-k", key_text]);
            assert_eq!(
                bench.server.last().principal,
                Principal::PreSharedKey(IDENTITY.into())
            );
        });
        cases.case("GET with a certificate", || {
            get(&["-c", &certificate, "-j", &key, "-n"]);
            assert!(matches!(
                bench.server.last().principal,
                Principal::Certificate { .. }
            ));
        });
        cases.finish();
    }
}

#[test]
fn scandium_keeps_its_association_when_it_moves() {
    let bench = Bench::new(all_suites());
    let start_at = |port: u16, suite: CipherSuite, more: &[String]| {
        let arguments = [format!("port={port}"), format!("suite={}", suite.name())];
        scandium::start(&[&arguments, more].concat())
    };
    let start = |suite, more: &[String]| start_at(bench.server.address.port(), suite, more);
    let key = std::str::from_utf8(KEY).expect("text");
    let psk = [format!("identity={IDENTITY}"), format!("key={key}")];
    let with_cid = |length: usize| [&psk[..], &[format!("cid={length}")]].concat();
    if start(CipherSuite::PskWithAes128Ccm8, &with_cid(0)).is_none() {
        return;
    }

    let mut cases = Cases::of("Scandium");
    let suites = [
        CipherSuite::PskWithAes128Ccm8,
        CipherSuite::PskWithAes128Ccm,
        CipherSuite::PskWithAes128GcmSha256,
        CipherSuite::PskWithAes128CbcSha256,
        CipherSuite::EcdhePskWithAes128CbcSha256,
        CipherSuite::EcdhePskWithAes128Ccm8Sha256,
    ];
    for suite in suites {
        for length in [0, 6] {
            cases.case(
                &format!(
                    "{} with a connection id of {length} bytes, moving",
                    suite.name()
                ),
                || {
                    let relay = Relay::start(bench.server.address);
                    let options = with_cid(length);
                    let mut client =
                        start_at(relay.address.port(), suite, &options).expect("it was there");
                    client.send_line("first");
                    client.expect(PATIENCE, |line| line == "received first");
                    let (handshakes, moves) =
                        bench.server.log(|log| (log.established.len(), log.moved));
                    assert!(bench.server.last().has_connection_id);
                    assert_eq!(bench.server.last().suite, suite);
                    for (times, text) in ["second", "third"].into_iter().enumerate() {
                        relay.rebind();
                        client.send_line(text);
                        client.expect(PATIENCE, |line| line == format!("received {text}"));
                        let after = bench.server.log(|log| (log.established.len(), log.moved));
                        assert_eq!(after, (handshakes, moves + times + 1));
                    }
                },
            );
        }
    }
    for suite in [
        CipherSuite::EcdheEcdsaWithAes128Ccm8,
        CipherSuite::EcdheEcdsaWithAes128Ccm,
        CipherSuite::EcdheEcdsaWithAes128GcmSha256,
        CipherSuite::EcdheEcdsaWithAes128CbcSha256,
    ] {
        cases.case(&format!("{} with raw public keys", suite.name()), || {
            let client = start(suite, &["cid=6".to_owned()]).expect("it was there");
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
fn tinydtls_shakes_hands() {
    let bench = Bench::new(Config::default());
    let key = std::str::from_utf8(KEY).expect("text");
    let port = bench.server.port();
    let start = || tinydtls::start(&[&port, IDENTITY, key]);
    if start().is_none() {
        return;
    }
    let mut cases = Cases::of("tinydtls");
    let suite = CipherSuite::PskWithAes128Ccm8;
    cases.case(suite.name(), || {
        bench.echo(start().expect("it was there"), suite);
        assert!(!bench.server.last().has_connection_id);
    });
    cases.finish();
}
