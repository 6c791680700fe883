//! Raw public keys and certificates: rows A14, A15, S8 to S13, S21.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::*;
use crate::dtls::client::ClientEnd;

/// An authority of devices.
struct Authority {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let der = params
            .self_signed(&key)
            .expect("a certificate")
            .der()
            .to_vec();
        Self {
            der,
            issuer: Issuer::new(params, key),
        }
    }

    fn trust(&self) -> Arc<TrustStore> {
        Arc::new(TrustStore::new([&*self.der]).expect("well-formed"))
    }

    /// A device's certificate, and its key.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let params = params(name, change);
        (
            params
                .signed_by(&key, &self.issuer)
                .expect("a certificate")
                .der()
                .to_vec(),
            key,
        )
    }
}

fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    params
}

fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let der = params(name, change)
        .self_signed(&key)
        .expect("a certificate")
        .der()
        .to_vec();
    (der, key)
}

fn credentials(chain: Vec<Vec<u8>>, key: &KeyPair) -> Arc<Credentials> {
    Arc::new(Credentials::new(chain, key.serialized_der()).expect("they fit"))
}

/// A server with a certificate, and what it trusts.
fn world(config: Config, trust: Arc<TrustStore>) -> World {
    let mut world = World::new(config);
    let (der, key) = self_signed("server", |_| {});
    world
        .server
        .set_credentials(Some(credentials(vec![der], &key)), trust);
    world
}

const ECDSA: CipherSuite = CipherSuite::EcdheEcdsaWithAes128Ccm8;

fn with_certificate(chain: Vec<Vec<u8>>, key: &KeyPair) -> ClientConfig {
    ClientConfig::new(
        vec![ECDSA],
        ClientCredential::Certificate(credentials(chain, key)),
    )
}

fn with_raw_key(key: &KeyPair) -> ClientConfig {
    ClientConfig::new(
        vec![ECDSA],
        ClientCredential::RawPublicKey(credentials(vec![], key)),
    )
}

fn certificate_query(world: &World) -> CertificateInfo {
    match world.queries().pop() {
        Some(CredentialQuery::Certificate(info)) => *info,
        other => panic!("{other:?}"),
    }
}

#[test]
fn s08_a_raw_public_key_with_every_suite() {
    let key = KeyPair::generate().expect("a key");
    for suite in CipherSuite::ALL
        .into_iter()
        .filter(|suite| suite.name().contains("ECDHE_ECDSA"))
    {
        for extended_master_secret in [true, false] {
            let mut world = world(Config::default(), Arc::default());
            let config = with_raw_key(&key);
            let device = world.connect(ClientConfig {
                suites: vec![suite],
                extended_master_secret,
                ..config
            });
            world.run();
            let established = world.established().pop().expect("an association");
            let spki = certificate::p256_spki(key.public_key_raw());
            assert_eq!(established.suite, suite);
            assert_eq!(established.tag, PrincipalTag(8));
            assert_eq!(
                world.queries(),
                [CredentialQuery::RawPublicKey { spki: spki.clone() }]
            );
            assert_eq!(established.principal, Principal::RawPublicKey(spki));
            world.talk(device, established.association);
        }
    }
}

#[test]
fn s09_a_key_that_is_refused_gets_an_alert() {
    for (reason, code) in [
        (DenyReason::BadCertificate, 42),
        (DenyReason::CertificateExpired, 45),
        (DenyReason::CertificateUnknown, 46),
        (DenyReason::UnknownCa, 48),
        (DenyReason::AccessDenied, 49),
    ] {
        let mut world = world(Config::default(), Arc::default());
        world.answers = Box::new(move |_| Some(CredentialAnswer::Deny(reason)));
        let device = world.connect(with_raw_key(&KeyPair::generate().expect("a key")));
        world.run();
        assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(code)));
        assert_eq!(world.failures(), [HandshakeFailure::Denied(reason)]);
        world.assert_no_handshakes();
    }
}

#[test]
fn s10_a_certificate_with_a_chain_is_trusted() {
    let root = Authority::new("root");
    let intermediate = {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "intermediate");
        let der = params
            .clone()
            .signed_by(&key, &root.issuer)
            .expect("a certificate")
            .der()
            .to_vec();
        Authority {
            der,
            issuer: Issuer::new(params, key),
        }
    };
    let (leaf, key) = intermediate.issue("LwX50900000000", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let mut world = world(Config::default(), root.trust());
    let device = world.connect(with_certificate(vec![leaf.clone(), intermediate.der], &key));
    world.run();
    let info = certificate_query(&world);
    assert_eq!(info.common_name.as_deref(), Some("LwX50900000000"));
    assert_eq!(info.path, CertificatePath::Trusted);
    assert_eq!(*info.der, *leaf);
    let established = world.established().pop().expect("an association");
    let principal = Principal::Certificate {
        common_name: Some("LwX50900000000".into()),
        fingerprint: info.fingerprint,
    };
    assert_eq!(established.principal, principal);
    world.talk(device, established.association);

    // A14: without the intermediate no path leads anywhere.
    world.connect(with_certificate(vec![leaf], &key));
    world.run();
    assert_eq!(certificate_query(&world).path, CertificatePath::Untrusted);
}

#[test]
fn s11_a_certificate_that_nobody_vouches_for_may_be_known_itself() {
    let root = Authority::new("root");
    let (leaf, key) = self_signed("LwX509TrustNo", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let mut with_trust = world(Config::default(), root.trust());
    let device = with_trust.connect(with_certificate(vec![leaf.clone()], &key));
    with_trust.run();
    assert_eq!(
        certificate_query(&with_trust).path,
        CertificatePath::Untrusted
    );
    let association = with_trust.association();
    with_trust.talk(device, association);

    let mut without = world(Config::default(), Arc::default());
    without.connect(with_certificate(vec![leaf], &key));
    without.run();
    assert_eq!(
        certificate_query(&without).path,
        CertificatePath::NoTrustStore
    );
}

#[test]
fn s12_a_foreign_certificate_in_the_chain_identifies_nobody() {
    let root = Authority::new("root");
    let (victim, _) = root.issue("victim", |_| {});
    let (forged, key) = self_signed("victim", |_| {});
    let mut world = world(Config::default(), root.trust());
    let known = victim.clone();
    world.answers = Box::new(move |query| match query {
        CredentialQuery::Certificate(info)
            if *info.der == *known || info.path == CertificatePath::Trusted =>
        {
            Some(CredentialAnswer::Accept {
                tag: PrincipalTag(1),
            })
        }
        CredentialQuery::Certificate(_)
        | CredentialQuery::PreSharedKey { .. }
        | CredentialQuery::RawPublicKey { .. } => {
            Some(CredentialAnswer::Deny(DenyReason::UnknownCa))
        }
    });
    let device = world.connect(with_certificate(vec![forged.clone(), victim], &key));
    world.run();
    assert_eq!(*certificate_query(&world).der, *forged);
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(48)));
    assert!(world.established().is_empty());
}

#[test]
fn s13_an_expired_certificate_is_refused_or_only_known_itself() {
    let root = Authority::new("root");
    let (leaf, key) = root.issue("old", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 11, 23);
    });
    let mut strict = world(Config::default(), root.trust());
    let device = strict.connect(with_certificate(vec![leaf.clone()], &key));
    strict.run();
    assert_eq!(strict.devices[device].end(), Some(ClientEnd::Alert(45)));
    assert!(strict.queries().is_empty());

    let mut lenient = world(
        Config {
            skip_validity_check: true,
            ..Config::default()
        },
        root.trust(),
    );
    lenient.connect(with_certificate(vec![leaf], &key));
    lenient.run();
    assert_eq!(certificate_query(&lenient).path, CertificatePath::Untrusted);
    assert_eq!(lenient.established().len(), 1);

    // A certificate of tomorrow becomes good as time passes.
    let (leaf, key) = root.issue("new", |params| {
        params.not_before = rcgen::date_time_ymd(2026, 11, 25)
    });
    let device = strict.connect(with_certificate(vec![leaf.clone()], &key));
    strict.run();
    assert_eq!(strict.devices[device].end(), Some(ClientEnd::Alert(45)));
    strict.pass(Duration::from_secs(24 * 60 * 60));
    strict.connect(with_certificate(vec![leaf], &key));
    strict.run();
    assert_eq!(certificate_query(&strict).path, CertificatePath::Trusted);
}

#[test]
fn a14_certificates_for_another_use_get_alert_42() {
    let root = Authority::new("root");
    let changes: [fn(&mut CertificateParams); 2] = [
        |params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement],
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
    ];
    for change in changes {
        let (leaf, key) = root.issue("device", change);
        let mut world = world(Config::default(), root.trust());
        let device = world.connect(with_certificate(vec![leaf], &key));
        world.run();
        assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(42)));
        assert!(world.queries().is_empty());
        world.assert_no_handshakes();
    }
}

#[test]
fn a14_a_signature_by_another_key_gets_alert_51() {
    let key = KeyPair::generate().expect("a key");
    let kind = message::MessageType::CertificateVerify;
    let mut world = world(Config::default(), Arc::default());
    let device = world.connect(with_raw_key(&key));
    for _ in 0..4 {
        let packet = world.network.pop_front().expect("a datagram");
        world.deliver(packet);
    }
    // Flight 5, with a byte of the signature changed.
    let mut flight = world.network.pop_front().expect("flight 5");
    let at = flight
        .bytes
        .windows(13)
        .position(|bytes| bytes[0] == kind as u8 && bytes[1] == 0 && bytes[12] == 4);
    let at = at.expect("CertificateVerify") + 12;
    flight.bytes[at + 20] ^= 1;
    world.deliver(flight);
    world.run();
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(51)));
    assert!(world.queries().is_empty() && world.established().is_empty());
    world.assert_no_handshakes();
}

#[test]
fn a14_without_certificate_verify_there_is_no_association() {
    let key = KeyPair::generate().expect("a key");
    let mut world = world(Config::default(), Arc::default());
    world.connect(with_raw_key(&key));
    for _ in 0..4 {
        let packet = world.network.pop_front().expect("a datagram");
        world.deliver(packet);
    }
    let flight = world.network.pop_front().expect("flight 5");
    let mut bytes = flight.bytes.clone();
    let mut kept = Vec::new();
    let mut rest = &mut bytes[..];
    while let Ok((record, more)) = record::Record::split_first(rest, 8) {
        if record.header.epoch == 1
            || record.fragment[0] != message::MessageType::CertificateVerify as u8
        {
            record.header.write(record.fragment.len(), &mut kept);
            kept.extend_from_slice(record.fragment);
        }
        rest = more;
    }
    assert!(kept.len() < flight.bytes.len());
    world.devices.clear();
    world.deliver(Packet {
        bytes: kept,
        ..flight
    });
    world.run();
    world.pass(Duration::from_secs(130));
    assert!(world.queries().is_empty() && world.established().is_empty());
    assert_eq!(world.failures(), [HandshakeFailure::Timeout]);
    world.assert_no_handshakes();
}

#[test]
fn a14_a_client_without_certificate_gets_alert_40() {
    let mut world = world(Config::default(), Arc::default());
    // It is asked for its key and has none to show.
    let config = ClientConfig {
        suites: vec![ECDSA],
        ..psk()
    };
    let device = world.connect(config);
    world.run();
    assert!(world.established().is_empty());
    assert!(!world.devices[device].client.is_established());
}

#[test]
fn a15_a_good_certificate_succeeds_right_after_a_bad_one() {
    let root = Authority::new("root");
    let mut world = world(Config::default(), root.trust());
    let (bad, bad_key) = root.issue("bad", |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyAgreement]
    });
    let (good, good_key) = root.issue("good", |_| {});
    let place = address(0);
    world.connect_from(place, with_certificate(vec![bad], &bad_key));
    world.run();
    world.devices.clear();
    world.connect_from(place, with_certificate(vec![good], &good_key));
    world.run();
    let association = world.association();
    world.talk(0, association);
}

#[test]
fn s21_new_credentials_are_for_new_handshakes() {
    let root = Authority::new("root");
    let (leaf, key) = root.issue("device", |_| {});
    let mut world = world(Config::default(), root.trust());
    let one = world.connect(with_certificate(vec![leaf.clone()], &key));
    world.run();
    let first = world.association();
    assert_eq!(certificate_query(&world).path, CertificatePath::Trusted);

    // The second handshake begins before, and ends after the change.
    let two = world.connect(with_certificate(vec![leaf.clone()], &key));
    for _ in 0..3 {
        let packet = world.network.pop_front().expect("a datagram");
        world.deliver(packet);
    }
    let (der, server_key) = self_signed("another server", |_| {});
    let other = Authority::new("another root");
    world
        .server
        .set_credentials(Some(credentials(vec![der], &server_key)), other.trust());
    world.run();
    let second = world.association();
    world.talk(one, first);
    world.talk(two, second);

    let spki = certificate::p256_spki(server_key.public_key_raw()).to_vec();
    let pinned = ClientConfig {
        server_spki: Some(spki),
        ..with_certificate(vec![leaf], &key)
    };
    let three = world.connect(pinned.clone());
    world.run();
    assert_eq!(certificate_query(&world).path, CertificatePath::Untrusted);
    let third = world.association();
    world.talk(three, third);

    world.server.set_credentials(None, Arc::default());
    let four = world.connect(pinned);
    world.run();
    assert_eq!(world.devices[four].end(), Some(ClientEnd::Alert(40)));
    world.talk(three, third);
}

#[test]
fn all_kinds_of_devices_on_one_port() {
    let root = Authority::new("root");
    let (leaf, key) = root.issue("device", |_| {});
    let mut world = world(
        Config {
            ecdhe_psk: true,
            ..Config::default()
        },
        root.trust(),
    );
    for config in [
        psk(),
        ClientConfig {
            suites: vec![CipherSuite::PskWithAes128CbcSha256],
            ..psk()
        },
        ClientConfig {
            suites: vec![CipherSuite::EcdhePskWithAes128CbcSha256],
            ..psk()
        },
        with_raw_key(&key),
        with_certificate(vec![leaf.clone()], &key),
        ClientConfig {
            suites: vec![CipherSuite::EcdheEcdsaWithAes128CbcSha256],
            ..with_certificate(vec![leaf], &key)
        },
    ] {
        let device = world.connect(config);
        world.run();
        let association = world.association();
        world.talk(device, association);
    }
    assert_eq!(world.server.associations(), 6);
}

#[test]
fn long_chains_are_sent_and_read_in_fragments() {
    let root = Authority::new("root");
    let (leaf, key) = root.issue("device", |params| {
        let long = (0..80).map(|number| format!("name-{number}.example.com"));
        params.subject_alt_names = long
            .map(|name| rcgen::SanType::DnsName(name.try_into().expect("a name")))
            .collect();
    });
    assert!(leaf.len() > 1500);
    let mut world = World::new(Config::default());
    world.server.set_credentials(
        Some(credentials(vec![leaf.clone(), root.der.clone()], &key)),
        root.trust(),
    );
    for (mtu, max_fragment_length) in [(1232, None), (400, None), (1232, Some(1))] {
        let config = with_certificate(vec![leaf.clone(), root.der.clone()], &key);
        let device = world.connect(ClientConfig {
            mtu,
            max_fragment_length,
            ..config
        });
        world.run();
        let association = world.association();
        world.talk(device, association);
    }
    assert!(world.sent.iter().all(|packet| packet.bytes.len() <= 1232));
    assert_eq!(world.established().len(), 3);
}
