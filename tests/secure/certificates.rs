//! Certificates: trusted by their issuer, or known themselves.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use lightship::{
    coap::Code,
    dtls::{
        Config, Credentials,
        client::{ClientConfig, ClientCredential, ClientEnd},
    },
    platform::credentials::ClientCredentials,
    server::keys::BothKeys,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use sha3::{Digest, Sha3_256};

use crate::{fixture::*, keys::raw_key};

/// An authority that signs.
struct Authority {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let issuer = Issuer::new(params, key);
        Self { der, issuer }
    }

    /// A key with a certificate for it.
    fn sign(&self, params: &CertificateParams) -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (key, certificate.der().to_vec())
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn certificate(key: &KeyPair, chain: Vec<Vec<u8>>) -> ClientConfig {
    let credentials = Credentials::new(chain, key.serialized_der()).unwrap();
    ecdsa(ClientCredential::Certificate(Arc::new(credentials)))
}

/// A document without certificate, or for one, with the id under which the core has it.
fn document(endpoint: &str, pinned: Option<&[u8]>) -> (String, ClientCredentials) {
    let cert = pinned.map(|der| STANDARD.encode(der));
    let id = match &cert {
        Some(text) => Sha3_256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        None => endpoint.to_owned(),
    };
    let endpoint = endpoint.to_owned();
    (id, ClientCredentials::X509 { endpoint, cert })
}

fn know(world: &World, endpoint: &str, pinned: Option<&[u8]>) {
    let (id, document) = document(endpoint, pinned);
    world.core.know(&id, document);
}

/// A server that trusts `authority`.
fn trusting(authority: &Authority) -> lightship::server::keys::Keys {
    server_keys(
        raw_key(&KeyPair::generate().unwrap()),
        &[authority.der.as_slice()],
    )
}

/// A server's own certificate: devices of certificates expect one.
fn own_certificate() -> Credentials {
    let (key, der) = Authority::new("servers").sign(&named("server"));
    Credentials::new(vec![der], key.serialized_der()).unwrap()
}

fn keys(authority: &Authority) -> lightship::server::keys::Keys {
    lightship::server::keys::Keys {
        credentials: Some(Arc::new(own_certificate())),
        ..trusting(authority)
    }
}

#[test]
fn s10_a_trusted_certificate_registers_the_device_of_its_name() {
    let authority = Authority::new("trusted");
    with_server(2, quick(), keys(&authority), move |world| {
        know(&world, "dev1", None);
        let (key, der) = authority.sign(&named("dev1"));
        let mut device = Device::connect(world.coaps, certificate(&key, vec![der]))
            .ok()
            .unwrap();
        assert_eq!(device.register("dev2").0, Code::FORBIDDEN);
        assert_eq!(device.register("dev1").0, Code::CREATED);
        assert_eq!(world.core.asked(), ["dev1"]);
        // Nobody of this name is known.
        let (key, der) = authority.sign(&named("dev3"));
        let end = Device::connect(world.coaps, certificate(&key, vec![der])).err();
        assert_eq!(end, Some(ClientEnd::Alert(46)));
    });
}

#[test]
fn s11_a_certificate_that_is_known_itself_needs_no_issuer() {
    let authority = Authority::new("trusted");
    with_server(1, quick(), keys(&authority), move |world| {
        let elsewhere = Authority::new("elsewhere");
        let (key, der) = elsewhere.sign(&named("any name"));
        know(&world, "dev1", Some(&der));
        let mut device = Device::connect(world.coaps, certificate(&key, vec![der]))
            .ok()
            .unwrap();
        assert_eq!(device.register("dev1").0, Code::CREATED);
        // Another one of the same authority is not.
        let (key, der) = elsewhere.sign(&named("dev1"));
        let end = Device::connect(world.coaps, certificate(&key, vec![der])).err();
        assert_eq!(end, Some(ClientEnd::Alert(48)));
    });
}

#[test]
fn s12_a_forged_certificate_before_that_of_a_device_is_refused() {
    let authority = Authority::new("trusted");
    with_server(1, quick(), keys(&authority), move |world| {
        let elsewhere = Authority::new("elsewhere");
        let (_, victims) = elsewhere.sign(&named("victim"));
        know(&world, "victim", Some(&victims));
        let (key, forged) = Authority::new("attacker").sign(&named("victim"));
        let chain = certificate(&key, vec![forged, victims]);
        let end = Device::connect(world.coaps, chain).err();
        assert_eq!(end, Some(ClientEnd::Alert(48)));
        // Neither does a trusted one that the platform knows nothing of.
        know(&world, "chain", None);
        let (key, forged) = Authority::new("attacker").sign(&named("chain"));
        let end = Device::connect(world.coaps, certificate(&key, vec![forged])).err();
        assert_eq!(end, Some(ClientEnd::Alert(48)));
    });
}

#[test]
fn s13_an_expired_certificate_is_refused_or_must_be_known_itself() {
    for skip_validity_check in [false, true] {
        let authority = Authority::new("trusted");
        let config = Config {
            skip_validity_check,
            ..quick()
        };
        with_server(1, config, keys(&authority), move |world| {
            let mut expired = named("dev1");
            expired.not_before = date_time_ymd(2001, 1, 1);
            expired.not_after = date_time_ymd(2002, 1, 1);
            let (key, der) = authority.sign(&expired);
            know(&world, "dev1", None);
            let end = Device::connect(world.coaps, certificate(&key, vec![der])).err();
            let alert = if skip_validity_check { 48 } else { 45 };
            assert_eq!(end, Some(ClientEnd::Alert(alert)));
            let (key, der) = authority.sign(&expired);
            know(&world, "dev1", Some(&der));
            let connected = Device::connect(world.coaps, certificate(&key, vec![der]));
            assert_eq!(connected.is_ok(), skip_validity_check);
        });
    }
}

#[test]
fn s21_a_new_key_is_shown_from_the_next_handshake_on() {
    let authority = Authority::new("trusted");
    let (before, after) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let spki = [&before, &after].map(|key| raw_key(key).spki().to_vec());
    let keys = server_keys(raw_key(&before), &[authority.der.as_slice()]);
    with_server(2, quick(), keys, move |world| {
        let key = KeyPair::generate().unwrap();
        let knows = |server_spki: &Vec<u8>| ClientConfig {
            server_spki: Some(server_spki.clone()),
            ..ecdsa(ClientCredential::RawPublicKey(Arc::new(raw_key(&key))))
        };
        world.core.know(
            "dev1",
            ClientCredentials::Rpk {
                endpoint: "dev1".to_owned(),
                key: STANDARD.encode(raw_key(&key).spki()),
            },
        );
        let mut device = Device::connect(world.coaps, knows(&spki[0])).ok().unwrap();
        let (_, id) = device.register("dev1");
        let fresh = server_keys(raw_key(&after), &[]);
        world.keys.send_replace(BothKeys {
            server: fresh.clone(),
            bootstrap: fresh,
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while Device::connect(world.coaps, knows(&spki[1])).is_err() {
            assert!(std::time::Instant::now() < deadline);
        }
        assert!(Device::connect(world.coaps, knows(&spki[0])).is_err());
        // What was there before goes on.
        assert_eq!(device.update(&id), Code::CHANGED);
    });
}
