//! Handshakes that succeed, are refused, are lost on the way, wait.

use super::*;
use crate::dtls::{
    channel::nonces,
    client::ClientEnd,
    codec::Reader,
    record::{CID_RECORD, Record},
};

/// The handshake messages and content types of a datagram in clear.
fn shape(packet: &Packet) -> Vec<(u8, u16, Option<u8>)> {
    let mut bytes = packet.bytes.clone();
    let mut rest = &mut bytes[..];
    let mut shape = Vec::new();
    while let Ok((record, more)) = Record::split_first(rest, 8) {
        let fragment = Fragment::read(&mut Reader::new(record.fragment));
        let message = fragment
            .ok()
            .filter(|_| record.header.epoch == 0 && record.header.content_type == 22);
        let header = record.header;
        shape.push((
            header.content_type,
            header.epoch,
            message.map(|fragment| fragment.message_type),
        ));
        rest = more;
    }
    shape
}

#[test]
fn s02_a_psk_handshake_goes_by_the_book() {
    let mut world = World::new(Config::default());
    let device = world.connect(without_cid());
    world.run();
    let shapes: Vec<_> = world.sent.iter().map(shape).collect();
    assert_eq!(
        shapes,
        [
            vec![(22, 0, Some(1))],
            vec![(22, 0, Some(3))],
            vec![(22, 0, Some(1))],
            vec![(22, 0, Some(2)), (22, 0, Some(14))],
            vec![(22, 0, Some(16)), (20, 0, None), (22, 1, None)],
            vec![(20, 0, None), (22, 1, None)],
        ]
    );
    let established = world.established().remove(0);
    assert_eq!(
        established.principal,
        Principal::PreSharedKey("device".into())
    );
    assert_eq!(established.tag, PrincipalTag(7));
    assert_eq!(established.suite, CipherSuite::PskWithAes128Ccm8);
    assert!(established.extended_master_secret && !established.has_connection_id);
    world.talk(device, established.association);
    world.assert_no_handshakes();
    let stats = world.server.stats();
    assert_eq!(
        (
            stats.handshakes_started,
            stats.handshakes_completed,
            stats.handshakes_failed
        ),
        (1, 1, 0)
    );
    assert_eq!(
        (stats.forged, stats.malformed, stats.stray, stats.early),
        (0, 0, 0, 0)
    );
}

#[test]
fn every_psk_suite_with_and_without_ems_etm_and_cid() {
    let config = Config {
        ecdhe_psk: true,
        psk_gcm: true,
        ..Config::default()
    };
    let suites = CipherSuite::ALL
        .into_iter()
        .filter(|suite| suite.name().contains("PSK"));
    for suite in suites {
        for case in 0..16 {
            let mut world = World::new(config.clone());
            let device = world.connect(ClientConfig {
                suites: vec![suite],
                extended_master_secret: case & 1 == 1,
                encrypt_then_mac: case & 2 == 2,
                connection_id: (case & 4 == 4).then(|| {
                    if case & 8 == 8 {
                        vec![5; 3]
                    } else {
                        Vec::new()
                    }
                }),
                ..psk()
            });
            world.run();
            let established = world.established().pop().expect("an association");
            assert_eq!(established.suite, suite);
            assert_eq!(established.extended_master_secret, case & 1 == 1);
            assert_eq!(established.has_connection_id, case & 4 == 4);
            world.talk(device, established.association);
            let epoch_1 = |to_server, content_type| {
                world
                    .sent
                    .iter()
                    .filter(|packet| packet.to_server == to_server)
                    .flat_map(shape_of_last)
                    .any(|found| found == content_type)
            };
            assert_eq!(epoch_1(true, CID_RECORD), case & 4 == 4, "{suite:?} {case}");
            assert_eq!(
                epoch_1(false, CID_RECORD),
                case & 12 == 12,
                "{suite:?} {case}"
            );
        }
    }
    assert!(nonces::take() > 3);
}

/// The content type of a datagram's first record, if it is all that matters.
fn shape_of_last(packet: &Packet) -> Option<u8> {
    packet.bytes.first().copied()
}

#[test]
fn s17_connection_ids_of_all_lengths() {
    for (own, peer) in [(0, 0), (1, 1), (4, 8), (5, 32), (8, 0), (20, 9)] {
        let config = Config {
            connection_id_length: Some(own),
            node: 3,
            shard: 4,
            ..Config::default()
        };
        let mut world = World::new(config);
        let device = world.connect(ClientConfig {
            connection_id: Some(vec![9; peer]),
            ..psk()
        });
        world.run();
        let association = world.association();
        world.talk(device, association);
        assert_eq!(world.established()[0].has_connection_id, own > 0);
        let last = |to_server| {
            let mut sent = world.sent.iter().rev();
            sent.find(|packet| packet.to_server == to_server)
                .expect("something was sent")
                .bytes
                .clone()
        };
        let (up, down) = (last(true), last(false));
        assert_eq!(up[0] == CID_RECORD, own > 0);
        assert_eq!(down[0] == CID_RECORD, peer > 0);
        assert_eq!(down[11..11 + peer], vec![9; peer]);
        if own >= 5 {
            assert_eq!(up[11..13], [3, 4]);
        }
    }
    let mut world = World::new(Config {
        connection_id_length: None,
        ..Config::default()
    });
    let device = world.connect(psk());
    world.run();
    let association = world.association();
    world.talk(device, association);
}

#[test]
fn s03_a_wrong_key_is_met_with_silence() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk_with(b"device", b"another key"));
    world.run();
    let sent = world.sent.len();
    world.run();
    assert_eq!(world.server.handshakes(), 1);
    assert!(
        world.sent[sent - 1].to_server,
        "the last word is the client's"
    );
    world.pass(Duration::from_secs(130));
    assert_eq!(world.failures(), [HandshakeFailure::BadFinished]);
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Timeout));
    assert!(world.server.stats().forged >= 1);
    world.assert_no_handshakes();
}

#[test]
fn s04_an_unknown_identity_gets_alert_115() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk_with(b"nobody", KEY));
    world.run();
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(115)));
    assert_eq!(
        world.failures(),
        [HandshakeFailure::Denied(DenyReason::UnknownIdentity)]
    );
    world.assert_no_handshakes();
}

#[test]
fn an_unknown_identity_can_be_hidden() {
    let mut world = World::new(Config {
        hide_unknown_identity: true,
        ..Config::default()
    });
    let device = world.connect(psk_with(b"nobody", KEY));
    world.run();
    world.pass(Duration::from_secs(130));
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Timeout));
    assert_eq!(world.failures(), [HandshakeFailure::BadFinished]);
    world.assert_no_handshakes();
}

#[test]
fn a16_identities_that_cannot_be_are_not_asked_for() {
    let long = vec![b'a'; 257];
    for identity in [&b""[..], b"\xff\xfe", &long] {
        let mut world = World::new(Config::default());
        let device = world.connect(psk_with(identity, KEY));
        world.run();
        assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(115)));
        assert!(world.queries().is_empty());
        world.assert_no_handshakes();
    }
    // Those that can be are asked for as they are.
    let long = vec![b'a'; 256];
    for identity in [&b"a\0b"[..], b"*", &long] {
        let mut world = World::new(Config::default());
        world.connect(psk_with(identity, KEY));
        world.run();
        let identity = String::from_utf8(identity.to_vec()).expect("text").into();
        assert_eq!(
            world.queries(),
            [CredentialQuery::PreSharedKey { identity }]
        );
    }
}

#[test]
fn a16_a_refused_identity_is_not_asked_for_again_at_once() {
    let mut world = World::new(Config::default());
    for _ in 0..5 {
        let device = world.connect(psk_with(b"nobody", KEY));
        world.run();
        assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(115)));
    }
    assert_eq!(world.queries().len(), 1);
    world.pass(Duration::from_secs(10));
    world.connect(psk_with(b"nobody", KEY));
    world.run();
    assert_eq!(world.queries().len(), 2);
}

#[test]
fn a16_two_devices_with_one_identity_have_an_association_each() {
    let mut world = World::new(Config::default());
    let one = world.connect(psk());
    world.run();
    let first = world.association();
    let two = world.connect(psk());
    world.run();
    let second = world.association();
    assert!(first != second);
    world.talk(one, first);
    world.talk(two, second);
}

#[test]
fn a_credential_after_5_seconds_is_asked_for_once() {
    let mut world = World::new(Config::default());
    world.answers = Box::new(|_| None);
    let device = world.connect(ClientConfig {
        retransmission_timeout: Duration::from_secs(1),
        ..psk()
    });
    world.run();
    let quiet = world.sent.len();
    world.pass(Duration::from_secs(5));
    assert!(
        world.sent[quiet..].iter().all(|packet| packet.to_server),
        "nothing is sent meanwhile"
    );
    assert!(world.sent.len() > quiet, "the client repeats its flight");
    let question = world.questions().remove(0);
    let association = question.0;
    assert!(
        world.answer(question.clone()) && !world.answer(question),
        "only once"
    );
    world.run();
    assert_eq!(world.queries().len(), 1);
    assert_eq!(world.association(), association);
    assert_eq!(world.established()[0].duration, Duration::from_secs(5));
    world.talk(device, association);
}

#[test]
fn a_credential_that_never_comes_ends_the_handshake() {
    let mut world = World::new(Config::default());
    world.answers = Box::new(|_| None);
    world.connect(psk());
    world.run();
    world.pass(Duration::from_secs(9));
    assert_eq!(
        (world.server.handshakes(), world.server.open_queries()),
        (1, 1)
    );
    let sent = world.sent.iter().filter(|packet| !packet.to_server).count();
    world.now += Duration::from_secs(1);
    world.server.handle_timeout(world.now);
    world.drain();
    assert_eq!(world.failures(), [HandshakeFailure::CredentialUnavailable]);
    assert_eq!(
        world.sent.iter().filter(|packet| !packet.to_server).count(),
        sent,
        "silently"
    );
    world.assert_no_handshakes();
    let question = world.questions().remove(0);
    assert!(!world.answer(question));
    world.drain();
    assert!(world.established().is_empty());
}

#[test]
fn s20_a_credential_that_cannot_be_found_out_is_met_with_silence() {
    let mut world = World::new(Config::default());
    world.answers = Box::new(|_| Some(CredentialAnswer::Unavailable));
    let device = world.connect(psk());
    world.run();
    assert_eq!(world.failures(), [HandshakeFailure::CredentialUnavailable]);
    assert_eq!(world.devices[device].end(), None);
    // Nothing is remembered: the next try is asked for.
    world.answers = Box::new(|query| Some(known(query)));
    world.pass(Duration::from_secs(1));
    let device = world.connect(psk());
    world.run();
    let association = world.association();
    world.talk(device, association);
}

#[test]
fn each_lost_datagram_is_made_good() {
    for lost in 0..6 {
        for config in [psk(), without_cid()] {
            let mut world = World::new(Config::default());
            let device = world.connect(config);
            let mut delivered = 0;
            while let Some(packet) = world.network.pop_front() {
                if delivered != lost {
                    world.deliver(packet);
                }
                delivered += 1;
            }
            world.pass(Duration::from_secs(40));
            let association = world.association();
            assert_eq!(world.established().len(), 1, "{lost}");
            assert_eq!(world.queries().len(), 1);
            world.talk(device, association);
            world.assert_no_handshakes();
        }
    }
}

#[test]
fn a_handshake_that_is_left_alone_ends_at_its_deadline() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    // HelloVerifyRequest and the second hello get through, then nothing.
    world.step(3);
    world.network.clear();
    world.devices.clear();
    let began = world.now;
    let mut sent = Vec::new();
    while let Some(due) = world.server.poll_timeout() {
        world.now = due;
        world.server.handle_timeout(due);
        world.drain();
        sent.push(((due - began).as_secs(), world.network.len()));
        world.network.clear();
    }
    assert_eq!(sent, [(9, 1), (27, 1), (63, 1), (120, 0)]);
    assert_eq!(world.failures(), [HandshakeFailure::Timeout]);
    world.assert_no_handshakes();
}

#[test]
fn a_retransmission_has_fresh_record_numbers() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    world.step(3);
    let first = world.next();
    world.pass(Duration::from_secs(9));
    let again = world
        .sent
        .iter()
        .rev()
        .find(|packet| !packet.to_server && packet.bytes[13] == 2);
    let again = again.expect("flight 4 once more");
    assert_ne!(first.bytes[3..11], again.bytes[3..11]);
    assert_eq!(first.bytes[13..80], again.bytes[13..80]);
}

#[test]
fn a_repeated_hello_is_answered_once_a_second() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    world.step(2);
    let hello = world.next();
    world.devices.clear();
    for (wait, sent) in [(0, 1), (0, 0), (999, 0), (1, 1), (0, 0), (1000, 1)] {
        world.network.clear();
        world.now += Duration::from_millis(wait);
        world.deliver(hello.clone());
        assert_eq!(world.network.len(), sent);
    }
    assert_eq!(world.server.stats().handshakes_started, 1);
}

#[test]
fn the_hello_verify_request_has_the_version_and_numbers_of_the_hello() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    let mut hello = world.next();
    // The record's version, its number, and the message's.
    hello.bytes[1..3].copy_from_slice(&[254, 255]);
    hello.bytes[10] = 77;
    world.deliver(hello.clone());
    let reply = world.next().bytes;
    assert_eq!(reply.len(), 60);
    assert!(reply.len() < hello.bytes.len());
    assert_eq!(reply[..13], [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 77, 0, 47]);
    assert_eq!(
        reply[13..28],
        [3, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 35, 254, 253, 32]
    );
    // A client of 1.0 gets that version, and an alert once it comes with the cookie.
    hello.bytes[25..27].copy_from_slice(&[254, 255]);
    world.deliver(hello.clone());
    let reply = world.next().bytes;
    assert_eq!(
        (&reply[1..3], &reply[25..27]),
        (&[254, 255][..], &[254, 255][..])
    );
}

#[test]
fn a_client_of_dtls_1_0_gets_alert_70() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    world.network.clear();
    let hello = |cookie: &[u8]| {
        let hello = message::ClientHello {
            version: [254, 255],
            ..message::ClientHello::new([1; 32], cookie, &[0xc0, 0xa8])
        };
        let body = hello.write(&extension::Extensions::default());
        let message_seq = u16::from(!cookie.is_empty());
        message(address(500), MessageType::ClientHello, message_seq, &body)
    };
    world.deliver(hello(&[]));
    let cookie = world.next().bytes[28..].to_vec();
    world.deliver(hello(&cookie));
    let alert = world.next().bytes;
    assert_eq!(alert, [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 70]);
    assert_eq!(
        world.failures(),
        [HandshakeFailure::Refused(Alert::ProtocolVersion)]
    );
    world.assert_no_handshakes();
}

#[test]
fn no_suite_in_common_gets_alert_40() {
    let mut world = World::new(Config::default());
    let suites = vec![CipherSuite::PskWithAes128GcmSha256];
    let device = world.connect(ClientConfig { suites, ..psk() });
    world.run();
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(40)));
}

#[test]
fn limits_on_records_are_kept() {
    for (fragment, record, expected) in [
        (Some(1), None, 512),
        (Some(2), Some(100), 100),
        (None, Some(64), 64),
    ] {
        let mut world = World::new(Config::default());
        let device = world.connect(ClientConfig {
            max_fragment_length: fragment,
            record_size_limit: record,
            connection_id: Some(vec![1]),
            ..psk()
        });
        world.run();
        let association = world.association();
        // The inner type counts.
        let max = expected - 1;
        assert_eq!(
            world.server.send(world.now, association, &vec![1; max + 1]),
            Err(SendError::TooLarge { max })
        );
        world
            .server
            .send(world.now, association, &vec![1; max])
            .expect("within the limit");
        world.run();
        assert_eq!(world.devices[device].data(), [vec![1; max]]);
        world.talk(device, association);
    }
    let mut world = World::new(Config::default());
    world.connect(without_cid());
    world.run();
    // 1232 less a header of 13, a nonce of 8, a tag of 8.
    let sent = world
        .server
        .send(world.now, world.association(), &[0; 1300]);
    assert_eq!(sent, Err(SendError::TooLarge { max: 1203 }));
}

#[test]
fn questions_wait_their_turn() {
    let config = Config {
        max_credential_queries: 2,
        ..Config::default()
    };
    let mut world = World::new(config);
    world.answers = Box::new(|_| None);
    let devices: Vec<_> = (0..5).map(|_| world.connect(psk())).collect();
    world.run();
    assert_eq!((world.queries().len(), world.server.open_queries()), (2, 2));
    world.pass(Duration::from_secs(5));
    world.answers = Box::new(|query| Some(known(query)));
    for question in world.questions() {
        world.answer(question);
    }
    world.run();
    assert_eq!(world.queries().len(), 5);
    assert_eq!(world.established().len(), 5);
    assert!(
        devices
            .iter()
            .all(|&device| world.devices[device].client.is_established())
    );
    world.assert_no_handshakes();
}
