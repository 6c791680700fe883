//! What an attacker on or off the path can send: rows A5 to A13 of the hardening specification.

use super::*;
use crate::dtls::{
    alert::CLOSE_NOTIFY,
    client::ClientEnd,
    codec::Put as _,
    record::{ALERT, CHANGE_CIPHER_SPEC},
};

/// A world with one handshake whose flight 4 is on its way.
fn half_way() -> (World, usize) {
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    world.step(3);
    assert_eq!(world.server.handshakes(), 1);
    (world, device)
}

#[test]
fn a05_a_hello_that_would_resume_needs_a_cookie_as_well() {
    let mut world = World::new(Config::default());
    let hello = message::ClientHello {
        session_id: &[7; 32],
        ..message::ClientHello::new([1; 32], &[], &[0xc0, 0xa8])
    };
    let body = hello.write(&extension::Extensions::default());
    world.deliver(message(address(0), MessageType::ClientHello, 0, &body));
    assert_eq!(world.network.len(), 1);
    assert_eq!(
        world.network[0].bytes[13],
        MessageType::HelloVerifyRequest as u8
    );
    world.assert_no_handshakes();
}

#[test]
fn a05_a_cookie_is_good_for_nobody_else() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    world.step(2);
    let mut hello = world.next();
    hello.address = address(77);
    world.deliver(hello);
    assert_eq!(world.server.stats().hello_verify_requests, 2);
    assert_eq!(
        world.network[0].bytes[13],
        MessageType::HelloVerifyRequest as u8
    );
    world.assert_no_handshakes();
}

#[test]
fn a06_handshakes_of_one_network_leave_room_for_others() {
    let config = Config {
        max_handshakes: 100,
        max_handshakes_per_address: 20,
        max_handshakes_per_network: 50,
        ..Config::default()
    };
    let mut world = World::new(config);
    world.answers = Box::new(|_| None);
    for host in 1..=10 {
        for port in 0..30 {
            world.connect_from(at([203, 0, 113, host], 1000 + port), psk());
        }
    }
    world.run();
    assert_eq!(world.server.handshakes(), 50);
    assert_eq!(world.server.stats().handshakes_limited, 250);
    world.answers = Box::new(|query| Some(known(query)));
    let device = world.connect(psk());
    world.run();
    assert!(world.devices[device].client.is_established());
}

#[test]
fn a06_one_network_leaves_room_on_one_of_several_servers() {
    let config = Config {
        max_handshakes: 400,
        max_handshakes_per_address: 80,
        max_handshakes_per_network: 100,
        ..Config::default()
    };
    let mut world = World::new(config.share(4));
    world.answers = Box::new(|_| None);
    for host in 1..=10 {
        for port in 0..15 {
            world.connect_from(at([203, 0, 113, host], 1000 + port), psk());
        }
    }
    world.run();
    assert_eq!(world.server.handshakes(), 25);
    world.answers = Box::new(|query| Some(known(query)));
    let device = world.connect(psk());
    world.run();
    assert!(world.devices[device].client.is_established());
}

#[test]
fn every_limit_is_shared_and_none_becomes_nothing() {
    let default = Config::default();
    let one = default.share(1);
    assert_eq!(format!("{one:?}"), format!("{default:?}"));
    let few = default.share(3);
    assert_eq!(few.max_associations, 50_000);
    assert_eq!(few.max_handshakes, 6_667);
    assert_eq!(few.max_handshakes_per_address, 86);
    assert_eq!(few.hello_verify_requests_per_second, 667);
    let many = default.share(1_000_000);
    assert_eq!(
        (
            many.max_handshakes,
            many.max_credential_queries,
            many.alerts_per_second
        ),
        (1, 1, 1)
    );
    assert_eq!(
        (
            many.alerts_per_second_per_address,
            many.credential_queries_per_second_per_address
        ),
        (1, 1)
    );
}

#[test]
fn a06_hello_verify_requests_are_limited_for_each_network() {
    let config = Config {
        hello_verify_requests_per_second: 10,
        ..Config::default()
    };
    let mut world = World::new(config);
    for port in 0..100 {
        world.connect_from(at([203, 0, 113, 1], 1000 + port), psk());
    }
    world.run();
    assert_eq!(world.server.stats().hello_verify_requests, 10);
    let device = world.connect(psk());
    world.run();
    assert!(world.devices[device].client.is_established());
}

#[test]
fn a07_messages_of_all_numbers_are_kept_in_bounds_and_the_handshake_goes_on() {
    let (mut world, device) = half_way();
    let place = world.devices[device].address;
    let body = vec![0; 1000];
    for message_seq in 0..=u16::MAX {
        // Two is the message whose turn it is: it would be taken for the client's.
        if message_seq != 2 {
            let content = fragment(MessageType::ClientKeyExchange, message_seq, 8000, 0, &body);
            world.server.handle_datagram(
                world.now,
                place,
                &mut plain(place, HANDSHAKE, 9, &content).bytes,
            );
        }
    }
    assert!(world.server.stats().malformed > 65_000);
    world.run();
    assert!(world.devices[device].client.is_established());
}

#[test]
fn a07_records_before_the_keys_are_kept_in_bounds() {
    let (mut world, device) = half_way();
    world.answers = Box::new(|_| None);
    world.run();
    let place = world.devices[device].address;
    let own = world
        .sent
        .iter()
        .rev()
        .find(|packet| packet.to_server)
        .expect("flight 5")
        .bytes
        .clone();
    // The last record of flight 5: Finished, with the connection id.
    let finished = own[own.len() - (13 + 8 + 2 + 48)..].to_vec();
    let start = finished
        .iter()
        .position(|&byte| byte == 25)
        .expect("a record with connection id");
    let finished = finished[start..].to_vec();
    for _ in 0..1000 {
        world
            .server
            .handle_datagram(world.now, place, &mut finished.clone());
    }
    assert!(world.server.stats().early >= 998);
    assert_eq!(world.server.handshakes(), 1);
}

#[test]
fn a08_odd_fragments_are_dropped() {
    let (mut world, device) = half_way();
    let place = world.devices[device].address;
    let turn = MessageType::ClientKeyExchange;
    let mut beyond = fragment(turn, 2, 10, 0, &[1; 10]);
    beyond[8] = 9;
    let mut overflow = fragment(turn, 2, 10, 0, &[1; 10]);
    overflow[6..9].copy_from_slice(&[0xff; 3]);
    for content in [
        fragment(turn, 2, 10, 0, &[]),
        fragment(turn, 2, 10, 10, &[]),
        fragment(turn, 2, 8193, 0, &[0; 100]),
        fragment(turn, 2, 0xff_ffff, 0, &[0; 100]),
        beyond,
        overflow,
        vec![],
        vec![16; 11],
    ] {
        let sent = world.sent.len();
        world.deliver(plain(place, HANDSHAKE, 9, &content));
        assert_eq!(world.sent.len(), sent);
    }
    world.run();
    assert!(world.devices[device].client.is_established());
}

#[test]
fn a08_a_hello_in_fragments_is_dropped() {
    let mut world = World::new(Config::default());
    world.connect(psk());
    let hello = world.next().bytes;
    let body = &hello[25..];
    for (offset, part) in [(0, &body[..40]), (40, &body[40..])] {
        let content = fragment(MessageType::ClientHello, 0, body.len(), offset, part);
        world.deliver(plain(address(0), HANDSHAKE, 0, &content));
    }
    assert!(world.network.is_empty());
    assert_eq!(world.server.stats().malformed, 2);
    world.assert_no_handshakes();
}

#[test]
fn a10_records_at_random_are_met_with_silence() {
    use rand::Rng as _;
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    let fixed = world.connect(without_cid());
    world.run();
    let ids = world.associations();
    let cid_record = {
        world.devices[device].client.send(b"data").expect("sent");
        world.drain();
        world.network.pop_back().expect("a datagram").bytes
    };
    let sent = world.sent.len();
    let mut random = test_support::random(99);
    for round in 0..20_000_u32 {
        let mut bytes = if round % 2 == 0 {
            cid_record.clone()
        } else {
            vec![0; 60]
        };
        let from = if round % 2 == 0 { 21 } else { 13 };
        random.fill_bytes(&mut bytes[from..]);
        if round % 2 == 1 {
            bytes[..13].copy_from_slice(&[
                23,
                254,
                253,
                0,
                1,
                0,
                0,
                0,
                0,
                1,
                (round >> 8) as u8,
                0,
                47,
            ]);
        }
        let place = if round % 2 == 0 {
            address(500)
        } else {
            world.devices[fixed].address
        };
        world.server.handle_datagram(world.now, place, &mut bytes);
    }
    world.run();
    assert_eq!(world.sent.len(), sent);
    assert!(world.server.stats().forged >= 10_000);
    world.talk(device, ids[0]);
    world.talk(fixed, ids[1]);
}

#[test]
fn a11_what_does_not_belong_here_changes_nothing() {
    // Before any handshake.
    let mut world = World::new(Config::default());
    world.deliver(plain(address(0), CHANGE_CIPHER_SPEC, 0, &[1]));
    world.deliver(message(address(0), MessageType::Finished, 0, &[0; 12]));
    let turn = MessageType::ClientKeyExchange;
    world.deliver(message(address(0), turn, 2, &[0, 2, 1, 1]));
    assert!(world.sent.is_empty());
    world.assert_no_handshakes();

    // In a handshake: CCS early, Finished in epoch 0, messages with keys that do not exist, epochs that do not either.
    let (mut world, device) = half_way();
    let place = world.devices[device].address;
    let finished = message(place, MessageType::Finished, 2, &[0; 12]);
    world.deliver(plain(place, CHANGE_CIPHER_SPEC, 9, &[1]));
    world.deliver(finished.clone());
    for epoch in [1, 2, 0xffff] {
        let mut packet = finished.clone();
        packet.bytes[3..5].copy_from_slice(&u16::to_be_bytes(epoch));
        world.deliver(packet);
    }
    world.run();
    assert!(world.devices[device].client.is_established());
    let association = world.association();
    world.talk(device, association);
}

#[test]
fn a11_a_message_out_of_turn_gets_alert_10() {
    let (mut world, device) = half_way();
    let place = world.devices[device].address;
    world.network.clear();
    let turn = MessageType::CertificateVerify;
    world.deliver(message(place, turn, 2, &[4, 3, 0, 0]));
    assert_eq!(world.network[0].bytes[13..], [2, 10]);
    world.run();
    assert_eq!(world.devices[device].end(), Some(ClientEnd::Alert(10)));
    world.assert_no_handshakes();
}

#[test]
fn a12_alerts_in_clear_do_not_end_an_association() {
    let mut world = World::new(Config::default());
    let device = world.connect(without_cid());
    world.run();
    let association = world.association();
    let place = world.devices[device].address;
    for content in [&CLOSE_NOTIFY[..], &[2, 40], &[2], &[]] {
        world.deliver(plain(place, ALERT, 9, content));
    }
    assert!(world.closed().is_empty());
    world.talk(device, association);
}

#[test]
fn a12_close_notify_right_after_the_hello_ends_the_handshake() {
    let (mut world, device) = half_way();
    let place = world.devices[device].address;
    world.network.clear();
    world.deliver(plain(place, ALERT, 9, &CLOSE_NOTIFY));
    assert_eq!(world.failures(), [HandshakeFailure::Alert(0)]);
    assert!(world.network.is_empty());
    world.assert_no_handshakes();
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a13_everything_that_was_sent_is_sent_again() {
    for config in [psk(), without_cid()] {
        let mut world = World::new(Config::default());
        let device = world.connect(config);
        world.run();
        let association = world.association();
        for _ in 0..100 {
            world.talk(device, association);
        }
        let delivered = world.data().len();
        let captured: Vec<_> = world
            .sent
            .iter()
            .filter(|packet| packet.to_server)
            .cloned()
            .collect();
        for packet in captured.iter().chain(captured.iter().rev()) {
            world.deliver(packet.clone());
        }
        world.network.clear();
        assert_eq!(world.data().len(), delivered);
        assert!(world.closed().is_empty());
        assert!(world.server.stats().replayed >= 200);
        world.talk(device, association);
    }
}

#[test]
fn a13_reordering_across_the_window() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    world.run();
    for number in 0..100_u8 {
        world.devices[device].client.send(&[number]).expect("sent");
    }
    world.drain();
    let packets: Vec<_> = std::mem::take(&mut world.network).into();
    world.deliver(packets[99].clone());
    for packet in packets {
        world.deliver(packet);
    }
    let numbers: Vec<_> = world.data().into_iter().map(|(_, data)| data[0]).collect();
    let expected: Vec<_> = [99].into_iter().chain(36..99).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn foreign_datagrams_are_dropped() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    world.run();
    let sent = world.sent.len();
    for first in 0..=255_u8 {
        world.deliver(Packet {
            to_server: true,
            address: address(0),
            bytes: vec![first; 40],
        });
    }
    assert_eq!(world.sent.len(), sent);
    assert_eq!(world.server.stats().foreign, 256 - 5);
    let association = world.association();
    world.talk(device, association);
}

#[test]
fn the_rest_of_a_datagram_is_read_when_a_record_is_not_understood() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    world.run();
    world.devices[device].client.send(b"data").expect("sent");
    world.drain();
    let packet = world.network.pop_back().expect("a datagram");
    let mut bytes = plain(address(0), ALERT, 1, &[9; 5]).bytes;
    bytes.bytes(&packet.bytes);
    world.deliver(Packet { bytes, ..packet });
    assert_eq!(world.data().len(), 1);
}

#[test]
fn alerts_in_clear_are_limited() {
    let mut world = World::new(Config {
        negative_cache_time: Duration::ZERO,
        ..Config::default()
    });
    for _ in 0..50 {
        world.connect(psk_with(b"nobody", KEY));
    }
    world.run();
    let alerts = world.sent.iter().filter(|packet| packet.bytes[0] == ALERT);
    assert_eq!(alerts.count(), 10);
    assert_eq!(world.server.stats().alerts_limited, 40);
    world.assert_no_handshakes();
}

#[test]
fn questions_of_one_address_are_limited() {
    let mut world = World::new(Config {
        max_handshakes_per_address: 1000,
        ..Config::default()
    });
    for _ in 0..250 {
        world.connect(psk());
    }
    world.run();
    let stats = world.server.stats();
    assert_eq!(
        (stats.credential_queries, stats.credential_queries_limited),
        (200, 50)
    );
    assert_eq!(world.established().len(), 200);
    world.assert_no_handshakes();
}

#[test]
fn limits_that_ran_out_come_back() {
    let mut world = World::new(Config {
        max_handshakes: 8,
        max_handshakes_per_address: 4,
        max_handshakes_per_network: 6,
        credential_queries_per_second_per_address: 10,
        alerts_per_second_per_address: 2,
        negative_cache_time: Duration::ZERO,
        ..Config::default()
    });
    let rest = |world: &mut World, seconds| {
        world.devices.clear();
        world.pass(Duration::from_secs(seconds));
        world.assert_no_handshakes();
    };
    for round in 1..=3 {
        // Two addresses of one network and one elsewhere want four handshakes each; none is answered.
        world.answers = Box::new(|_| None);
        for ip in [[203, 0, 113, 1], [203, 0, 113, 2], [198, 51, 100, 1]] {
            for port in 1..=4 {
                world.connect_from(at(ip, port), psk());
            }
        }
        world.run();
        assert_eq!(world.server.handshakes(), 8);
        assert_eq!(world.server.stats().handshakes_limited, 4 * round);
        rest(&mut world, 200);

        // Questions and alerts: the burst, then what a second brings.
        world.answers = Box::new(|_| Some(CredentialAnswer::Deny(DenyReason::UnknownIdentity)));
        let before = world.server.stats();
        for _ in 0..50 {
            world.connect_from(address(0), psk_with(b"nobody", KEY));
            world.run();
            world.devices.clear();
        }
        rest(&mut world, 1);
        for _ in 0..50 {
            world.connect_from(address(0), psk_with(b"nobody", KEY));
            world.run();
            world.devices.clear();
        }
        let stats = world.server.stats().since(&before);
        assert_eq!(
            (stats.credential_queries, stats.credential_queries_limited),
            (40 + 10, 50)
        );
        assert_eq!(stats.alerts_limited, 40 + 10 - 2 * 2);
        rest(&mut world, 200);
    }
    world.answers = Box::new(|query| Some(known(query)));
    let device = world.connect(psk());
    world.run();
    let association = world.association();
    world.talk(device, association);
}
