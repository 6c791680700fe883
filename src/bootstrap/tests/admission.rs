//! Who is bootstrapped, and with what.

use crate::{
    lwm2m::{node::ResourceContent, value::Value},
    platform::key_text,
};

use super::*;

/// What was written to resources 2 to 5 of the account of the LwM2M server: mode, what the device shows, what the server
/// shows, the secret (OMA LwM2M Core, "LwM2M Object: LwM2M Security").
fn keys_written(world: &World) -> Vec<Value> {
    let models: Models = core::catalog().iter().cloned().collect();
    let messages = world.sent.iter().map(|(_, message)| message);
    let blocks = messages.filter(|own| own.code() == Code::PUT && own.uri_path().eq(["0", "1"]));
    let payload: Vec<u8> = blocks.flat_map(Message::payload).collect();
    let path = "/0/1".parse().unwrap();
    let read = format::decode(ContentFormat::TLV, &path, &payload.into(), &models).unwrap();
    let Node::ObjectInstance(instance) = read.node else {
        panic!("{:?}", read.node);
    };
    let keys = (instance.resources.into_iter()).filter(|own| (2..=5).contains(&own.id));
    let values = keys.map(|own| match own.content {
        ResourceContent::Single(value) => value,
        other @ ResourceContent::Multiple { .. } => panic!("{other:?}"),
    });
    values.collect()
}

#[test]
fn b8_b9_b10_b11_secured_devices_get_their_keys() {
    let der = |text| Bytes::from(key_text::base64(text).unwrap());
    let (spki, private) = (der(samples::PUBLIC_KEY), der(samples::PRIVATE_KEY));
    let chained = der(samples::CERTIFICATE);
    let pinned = X509
        .credentials
        .replace(r#""cert":"""#, r#""cert":"MIICBzCC""#);
    for (sample, credentials, identity, asked, expected) in [
        (
            PSK,
            PSK.credentials,
            PeerIdentity::PreSharedKey("SOME_PSK_ID".into()),
            "SOME_PSK_ID",
            // In ASCII, as the core's tests have it (`security.md` 13).
            (0, [&b"SOME_PSK_ID"[..], b"", b"secretPSKsecretP"]),
        ),
        (
            RPK,
            RPK.credentials,
            PeerIdentity::RawPublicKey(spki.clone()),
            "dev1",
            (1, [&spki[..], &spki, &private]),
        ),
        (
            X509,
            X509.credentials,
            certificate("dev1", "dev1"),
            "dev1",
            (2, [&chained[..], &chained, &private]),
        ),
        (
            X509,
            &pinned,
            certificate("other", "dev1"),
            "dev1",
            (2, [&chained[..], &chained, &private]),
        ),
    ] {
        let mut world = World::new();
        world.ask(&secured(1, identity), &["ep=dev1"]);
        world.admit(Ok(admission_with(sample.profile, credentials)));
        assert_eq!(world.questions(), [asked]);
        world.complete();
        let (mode, keys) = expected;
        let keys = keys.map(|key| Value::Opaque(Bytes::copy_from_slice(key)));
        let written = [vec![Value::Integer(mode)], keys.to_vec()].concat();
        assert_eq!(keys_written(&world), written);
        assert_eq!(world.machine.stats().finished, 1);
        assert_eq!(world.machine.stats().secrets_over_nosec, 0);
    }
}

/// A certificate with this common name that a handshake found to be that of an endpoint.
fn certificate(common_name: &str, endpoint: &str) -> PeerIdentity {
    PeerIdentity::Certificate {
        common_name: common_name.into(),
        endpoint: endpoint.into(),
        credentials_id: endpoint.into(),
    }
}

#[test]
fn b11_a_pinned_certificate_counts_when_the_handshake_has_seen_it_whatever_it_is_called() {
    let credentials = X509
        .credentials
        .replace(r#""cert":"""#, r#""cert":"MIICBzCC""#);
    let pinned = || admission_with(X509.profile, &credentials);
    let mut world = World::new();
    world.ask(&secured(1, certificate("dev1", "dev2")), &["ep=dev1"]);
    world.admit(Ok(pinned()));
    assert_eq!(world.reply(), UNAUTHORIZED);
    let peer = secured(1, certificate("other", "dev1"));
    let mut world = World::new();
    let datagram = world.ask(&peer, &["ep=dev1"]);
    world.admit(Ok(pinned()));
    assert_eq!(world.request(), "GET /");
    let mut world = World::new();
    let message = Message::parse(datagram);
    world
        .machine
        .handle_message(world.now, &peer, message, Some(&Arc::new(pinned())));
    world.drain();
    assert_eq!(world.questions(), [""; 0]);
    assert_eq!(world.request(), "GET /");
}

#[test]
fn b12_a56_who_is_another_device_learns_nothing() {
    let spki = Bytes::from(key_text::base64(samples::PUBLIC_KEY).unwrap());
    for (sample, peer) in [
        // Its own key, another name: the document it proved is not that of `dev1`.
        (
            Sample {
                credentials: r#"{"client":{"securityConfigClientMode":"PSK","endpoint":"dev2","identity":"ID2","key":"00"},"bootstrap":{}}"#,
                ..PSK
            },
            psk(1, "ID2"),
        ),
        // A document found by an id that is not what the peer proved.
        (PSK, psk(1, "ID2")),
        (PSK, peer(1)),
        (PSK, secured(1, PeerIdentity::RawPublicKey(spki))),
        (
            RPK,
            secured(1, PeerIdentity::RawPublicKey(Bytes::from_static(&[1]))),
        ),
        (RPK, peer(1)),
        (X509, secured(1, certificate("dev2", "dev2"))),
        (X509, peer(1)),
        (NOSEC, psk(1, "SOME_PSK_ID")),
    ] {
        let mut world = World::new();
        world.ask(&peer, &["ep=dev1"]);
        world.admit(Ok(admission(sample)));
        assert_eq!(world.reply(), UNAUTHORIZED, "{peer:?}");
        assert_eq!((world.sent.len(), world.log().len()), (1, 0));
        assert!(world.closed);
    }
}

#[test]
fn b13_an_unknown_endpoint_gets_the_answer_of_a_wrong_one() {
    for error in [QuestionError::NotFound, QuestionError::Invalid] {
        let mut world = World::new();
        world.ask(&peer(1), &["ep=dev1"]);
        world.admit(Err(error));
        assert_eq!(world.reply(), UNAUTHORIZED);
        assert_eq!((world.log().len(), world.reports()), (0, 0));
        assert!(world.closed);
        assert_eq!(world.machine.stats().rejected, 1);
    }
}

#[test]
fn a_device_is_told_to_come_back_while_the_core_is_silent() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Err(QuestionError::Unavailable));
    let answer = world.last();
    assert_eq!(
        (answer.code(), answer.max_age()),
        (Code::SERVICE_UNAVAILABLE, Some(10))
    );
}

#[test]
fn b14_profile_and_credentials_of_different_modes_make_no_accounts() {
    let mixed = Sample {
        profile: PSK.profile,
        ..NOSEC
    };
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(mixed)));
    assert_eq!(world.reply(), NO_CONFIG);
    assert_eq!(
        world.log(),
        [
            "info: Bootstrap session started... /198.51.100.1:5687",
            "error: Different values SecurityMode between of client and profile.",
            "error: Bootstrap session failed because of NO_BOOTSTRAP_CONFIG",
        ]
    );
    assert_eq!(world.reports(), 1);
    assert_eq!(world.machine.stats().rejected, 1);
}

#[test]
fn m9_a_bootstrap_server_with_a_short_id_is_no_configuration_and_the_log_says_why() {
    let profile = NOSEC
        .profile
        .replace(r#""shortServerId":null"#, r#""shortServerId":111"#);
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission_with(&profile, NOSEC.credentials)));
    assert_eq!(world.reply(), NO_CONFIG);
    assert!(
        world.log()[1].contains("short ID must be 0"),
        "{:?}",
        world.log()
    );
}

#[test]
fn a56_keys_go_to_a_device_without_security_only_if_the_settings_say_so() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(PSK_OVER_NOSEC)));
    assert_eq!(world.reply(), NO_CONFIG);
    assert!(world.log()[1].contains("allow_secrets_over_nosec"));
    assert_eq!(world.sent.len(), 1);

    let mut world = World::with(|settings| settings.secrets_over_nosec = true);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(PSK_OVER_NOSEC)));
    world.complete();
    assert_eq!(world.machine.stats().secrets_over_nosec, 1);
}

#[test]
fn a56_no_log_line_holds_a_key() {
    let mut world = World::with(|settings| settings.secrets_over_nosec = true);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(PSK_OVER_NOSEC)));
    let waiting = format!("{:?}", world.machine.session);
    world.answer(Code::CONTENT, "</0/0>");
    let writing = format!("{:?}", world.machine.session);
    for _ in 0..3 {
        world.answer(Code::CHANGED, "");
    }
    world.answer(Code::CHANGED, "");
    let said = format!("{:?} {:?} {waiting} {writing}", world.log(), world.machine);
    assert_eq!(world.machine.stats().finished, 1);
    for key in ["secretPSK", "7365637265", "115, 101, 99"] {
        assert!(!said.contains(key), "{key}");
    }
}

#[test]
fn requests_that_break_a_rule_are_refused_without_a_question() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let datagram = |code: Code, path: &str| {
        let request = Request {
            method: code,
            path: vec![path.to_owned()],
            ..Request::default()
        };
        encode::request(
            &request,
            MessageType::Confirmable,
            MessageId(900),
            Token::default(),
        )
    };
    for (port, code, path, expected) in [
        (
            2,
            Code::POST,
            "bs",
            (Code::BAD_REQUEST, "endpoint is mandatory"),
        ),
        (3, Code::GET, "bs", (Code::METHOD_NOT_ALLOWED, "")),
        (1, Code::GET, "bspack", (Code::NOT_FOUND, "")),
        (4, Code::POST, "rd", (Code::NOT_FOUND, "")),
    ] {
        world.receive(&peer(port), datagram(code, path));
        assert_eq!(world.reply(), expected);
    }
    assert_eq!(world.questions().len(), 1);
}

#[test]
fn a_request_for_another_endpoint_is_handed_on() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let datagram = world.ask(&peer(1), &["ep=dev2"]);
    assert_eq!(world.misrouted, [datagram]);
    assert_eq!(world.questions().len(), 1);
}
