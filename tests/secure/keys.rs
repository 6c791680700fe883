//! Pre-shared keys and raw public keys, and devices without security beside them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use lightship::{
    coap::Code,
    dtls::{
        CipherSuite, Config, Credentials,
        client::{ClientCredential, ClientEnd},
    },
    platform::credentials::ClientCredentials,
    server::{
        keys::Keys,
        metrics::{HandshakeMode, HandshakeResult},
    },
};
use rcgen::KeyPair;

use crate::fixture::*;

#[test]
fn s1_a_device_without_security_registers_at_the_plain_port() {
    with_server(1, quick(), Keys::default(), |world| {
        world.core.know("plain", no_security("plain"));
        assert_eq!(register_plain(world.coap, "plain"), Code::CREATED);
        assert_eq!(world.core.sessions.lock().unwrap().len(), 1);
    });
}

#[test]
fn s2_a_device_with_a_pre_shared_key_registers_and_the_platform_is_asked_once() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (code, id) = device.register("dev1");
        assert_eq!(code, Code::CREATED);
        assert_eq!(world.core.asked(), ["id-1"]);
        assert_eq!(device.update(&id), Code::CHANGED);
        assert_eq!(world.core.sessions.lock().unwrap().len(), 1);
        let ok = world.handshakes(HandshakeMode::Psk, HandshakeResult::Ok);
        assert_eq!(ok, 1);
        let metrics = world.metrics.encode().unwrap();
        for line in [
            "lightship_dtls_hello_verify_requests_total 1",
            "lightship_dtls_suites_total{suite=\"TLS_PSK_WITH_AES_128_CCM_8\"} 1",
            "lightship_dtls_handshake_duration_seconds_count{mode=\"psk\"} 1",
            "lightship_dtls_associations{cid=\"yes\"} 1",
            "lightship_dtls_credential_queries_total 1",
        ] {
            assert!(metrics.contains(line), "{line} in {metrics}");
        }
    });
}

#[test]
fn s2_a_device_that_proved_who_it_is_may_leave_its_name_out() {
    with_server(1, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let answer = device.ask(Code::POST, &["rd"], &["lwm2m=1.1"]);
        assert_eq!(answer.code(), Code::CREATED);
    });
}

#[test]
fn s3_a_wrong_key_makes_no_association_and_is_counted() {
    with_server(1, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let wrong = psk("id-1", b"anotherPSKanothe");
        assert_eq!(
            Device::connect(world.coaps, wrong).err(),
            Some(ClientEnd::Timeout)
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        while world.handshakes(HandshakeMode::Unknown, HandshakeResult::BadMac) == 0 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(50));
        }
        // A15: the right one succeeds at once.
        assert!(Device::connect(world.coaps, psk("id-1", KEY)).is_ok());
    });
}

#[test]
fn s4_an_unknown_identity_gets_alert_115_and_is_asked_for_once() {
    with_server(1, quick(), Keys::default(), |world| {
        // One that is another mode's is unknown as well.
        world.core.know("plain", no_security("plain"));
        for identity in ["nobody", "plain", "nobody"] {
            let end = Device::connect(world.coaps, psk(identity, KEY)).err();
            assert_eq!(end, Some(ClientEnd::Alert(115)), "{identity}");
        }
        assert_eq!(world.core.asked(), ["nobody", "plain"]);
    });
}

#[test]
fn s5_and_s6_an_association_of_one_device_does_not_register_another() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-a", psk_document("a", "id-a"));
        world.core.know("id-b", psk_document("b", "id-b"));
        world.core.know("plain", no_security("plain"));
        let mut b = Device::connect(world.coaps, psk("id-b", KEY)).ok().unwrap();
        let (code, id_of_b) = b.register("b");
        assert_eq!(code, Code::CREATED);
        let mut a = Device::connect(world.coaps, psk("id-a", KEY)).ok().unwrap();
        for other in ["b", "plain"] {
            assert_eq!(a.register(other).0, Code::FORBIDDEN, "{other}");
        }
        assert_eq!(a.register("a").0, Code::CREATED);
        // The same once it is registered, and by the id of the other one's registration.
        for other in ["b", "plain"] {
            assert_eq!(a.register(other).0, Code::FORBIDDEN, "{other}");
        }
        assert_eq!(a.update(&id_of_b), Code::BAD_REQUEST);
        assert_eq!(b.update(&id_of_b), Code::CHANGED);
    });
}

#[test]
fn s7_a_device_with_a_key_does_not_register_without_it() {
    with_server(1, quick(), Keys::default(), |world| {
        // Its identity is its name, so that the core finds the document.
        world.core.know("dev1", psk_document("dev1", "dev1"));
        assert_eq!(register_plain(world.coap, "dev1"), Code::FORBIDDEN);
    });
}

pub(crate) fn raw_key(key: &KeyPair) -> Credentials {
    Credentials::new(Vec::new(), key.serialized_der()).unwrap()
}

fn rpk_document(endpoint: &str, key: &KeyPair) -> ClientCredentials {
    ClientCredentials::Rpk {
        endpoint: endpoint.to_owned(),
        key: STANDARD.encode(raw_key(key).spki()),
    }
}

fn rpk(key: &KeyPair) -> lightship::dtls::client::ClientConfig {
    ecdsa(ClientCredential::RawPublicKey(Arc::new(raw_key(key))))
}

#[test]
fn s8_and_s9_a_raw_public_key_registers_its_own_device_alone() {
    let server = raw_key(&KeyPair::generate().unwrap());
    with_server(2, quick(), server_keys(server, &[]), |world| {
        let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        world.core.know("dev1", rpk_document("dev1", &own));
        let mut stranger = Device::connect(world.coaps, rpk(&other)).ok().unwrap();
        assert_eq!(world.core.asked(), [""; 0], "the handshake asks nobody");
        // Until it has registered it may do nothing else.
        for path in [&["dp"][..], &["3"], &["rd", "!"]] {
            let answer = stranger.ask(Code::POST, path, &[]);
            assert_eq!(answer.code(), Code::UNAUTHORIZED, "{path:?}");
        }
        let mut device = Device::connect(world.coaps, rpk(&own)).ok().unwrap();
        let (code, id) = device.register("dev1");
        assert_eq!(code, Code::CREATED);
        assert_eq!(device.update(&id), Code::CHANGED);
        assert_eq!(stranger.update(&id), Code::BAD_REQUEST);
        assert_eq!(stranger.register("dev1").0, Code::FORBIDDEN);
        assert_eq!(stranger.wait_for_end(), ClientEnd::ByServer);
        assert_eq!(device.update(&id), Code::CHANGED);
        let ok = world.handshakes(HandshakeMode::Rpk, HandshakeResult::Ok);
        assert_eq!(ok, 2);
    });
}

#[test]
fn s20_while_the_platform_is_away_plain_devices_get_5_03_and_handshakes_silence() {
    with_server(1, quick(), Keys::default(), |world| {
        world.core.know("plain", no_security("plain"));
        world.core.know("id-1", psk_document("dev1", "id-1"));
        world.core.is_away.store(true, Ordering::Relaxed);
        let code = register_plain(world.coap, "plain");
        assert_eq!(code, Code::SERVICE_UNAVAILABLE);
        let end = Device::connect(world.coaps, psk("id-1", KEY)).err();
        assert_eq!(end, Some(ClientEnd::Timeout));
        // It is not remembered.
        world.core.is_away.store(false, Ordering::Relaxed);
        assert!(Device::connect(world.coaps, psk("id-1", KEY)).is_ok());
    });
}

#[test]
fn s22_with_recommended_ciphers_a_device_with_cbc_alone_gets_alert_40() {
    let config = Config {
        recommended_ciphers: true,
        ..quick()
    };
    with_server(1, config, Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let cbc = psk_with(CipherSuite::PskWithAes128CbcSha256, "id-1", KEY);
        let end = Device::connect(world.coaps, cbc).err();
        assert_eq!(end, Some(ClientEnd::Alert(40)));
        assert!(Device::connect(world.coaps, psk("id-1", KEY)).is_ok());
    });
}

#[test]
fn the_four_suites_of_the_platform_are_served_on_one_port() {
    let server = raw_key(&KeyPair::generate().unwrap());
    with_server(2, quick(), server_keys(server, &[]), |world| {
        let key = KeyPair::generate().unwrap();
        world.core.know("id-1", psk_document("dev1", "id-1"));
        world.core.know("dev2", rpk_document("dev2", &key));
        for suite in [
            CipherSuite::PskWithAes128Ccm8,
            CipherSuite::PskWithAes128CbcSha256,
            CipherSuite::EcdheEcdsaWithAes128Ccm8,
            CipherSuite::EcdheEcdsaWithAes128CbcSha256,
        ] {
            let (config, name) = match suite {
                CipherSuite::PskWithAes128Ccm8 | CipherSuite::PskWithAes128CbcSha256 => {
                    (psk_with(suite, "id-1", KEY), "dev1")
                }
                _ => (rpk(&key), "dev2"),
            };
            let config = lightship::dtls::client::ClientConfig {
                suites: vec![suite],
                ..config
            };
            let mut device = Device::connect(world.coaps, config).ok().unwrap();
            let (code, id) = device.register(name);
            assert_eq!(code, Code::CREATED, "{suite:?}");
            assert_eq!(device.update(&id), Code::CHANGED, "{suite:?}");
        }
    });
}

#[test]
fn a_device_with_a_pre_shared_key_is_bootstrapped_over_dtls() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.bootstrap, psk("id-1", KEY))
            .ok()
            .unwrap();
        let refused = device.ask(Code::POST, &["bs"], &["ep=other"]);
        assert_eq!(refused.code(), Code::BAD_REQUEST);
        let taken = device.ask(Code::POST, &["bs"], &["ep=dev1"]);
        assert_eq!(taken.code(), Code::CHANGED);
        assert_eq!(world.core.asked(), ["id-1"]);
        // The session goes on over the association.
        assert!(device.serve().code().is_request());
    });
}
