//! Associations: moving, closing, making room, wearing out.

use super::*;
use crate::dtls::{
    channel::LAST_SEQUENCE,
    client::ClientEnd,
    record::{APPLICATION_DATA, CID_RECORD, HANDSHAKE},
};

fn elsewhere(port: u16) -> PeerAddress {
    let remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), port);
    PeerAddress {
        remote,
        local: None,
    }
}

/// A world with one device and its association.
fn connected(config: ClientConfig) -> (World, usize, AssociationId) {
    let mut world = World::new(Config::default());
    let device = world.connect(config);
    world.run();
    let association = world.association();
    (world, device, association)
}

/// What a device sends, not delivered.
fn record_of(world: &mut World, device: usize, payload: &[u8]) -> Packet {
    world.devices[device]
        .client
        .send(payload)
        .expect("there is an association");
    world.drain();
    world.network.pop_back().expect("a datagram")
}

#[test]
fn s18_a_device_with_connection_id_moves() {
    let (mut world, device, association) = connected(psk());
    let before = world.devices[device].address;
    world.devices[device].address = elsewhere(1);
    world.talk(device, association);
    let moved = world.events.iter().any(|output| {
        matches!(output, Output::PeerMoved { association: own, from, to }
            if *own == association && *from == before && *to == elsewhere(1))
    });
    assert!(moved);
    assert_eq!(world.server.stats().peers_moved, 1);
    assert_eq!(world.server.stats().handshakes_started, 1);
}

#[test]
fn a_device_without_connection_id_does_not() {
    let (mut world, device, _) = connected(without_cid());
    world.devices[device].address = elsewhere(1);
    world.devices[device].client.send(b"hello").expect("sent");
    world.run();
    assert!(world.data().is_empty());
    assert_eq!(world.server.stats().stray, 1);
}

#[test]
fn a36_only_the_newest_authentic_record_moves_a_peer() {
    let (mut world, device, association) = connected(psk());
    let old = record_of(&mut world, device, b"old");
    let new = record_of(&mut world, device, b"new");
    world.deliver(new.clone());
    // An attacker replays what it saw, forges, and holds back an older record.
    world.deliver(Packet {
        address: elsewhere(1),
        ..new
    });
    let mut forged = record_of(&mut world, device, b"forged");
    *forged.bytes.last_mut().expect("bytes") ^= 1;
    world.deliver(Packet {
        address: elsewhere(1),
        ..forged
    });
    world.deliver(Packet {
        address: elsewhere(1),
        ..old
    });
    assert_eq!(world.server.stats().peers_moved, 0);
    let stats = world.server.stats();
    assert_eq!((stats.replayed, stats.forged), (1, 1));
    assert_eq!(world.data().len(), 2, "the old one is data all the same");
    world.talk(device, association);
}

#[test]
fn a36_unknown_and_foreign_connection_ids_are_ignored() {
    let (mut world, device, association) = connected(psk());
    let packet = record_of(&mut world, device, b"data");
    let sent = world.sent.len();
    for change in [11, 12, 15] {
        let mut foreign = packet.clone();
        foreign.bytes[change] ^= 1;
        world.deliver(foreign);
    }
    assert_eq!(world.server.stats().stray, 3);
    assert_eq!(world.sent.len(), sent);
    // A plain record where one with connection id was agreed on.
    let mut plain = packet;
    plain.bytes[0] = APPLICATION_DATA;
    plain.bytes.drain(11..19);
    world.deliver(plain);
    assert_eq!(world.server.stats().wrong_connection_id, 1);
    world.talk(device, association);
}

#[test]
fn a36_a_peer_with_empty_connection_id_is_known_by_its_address() {
    let mut world = World::new(Config {
        connection_id_length: Some(0),
        ..Config::default()
    });
    let device = world.connect(ClientConfig {
        connection_id: Some(vec![1, 2]),
        ..psk()
    });
    world.run();
    let association = world.association();
    world.talk(device, association);
    world.deliver(Packet {
        to_server: true,
        address: address(0),
        bytes: [&[CID_RECORD][..], &[0; 40]].concat(),
    });
    assert_eq!(world.server.stats().malformed, 1);
}

#[test]
fn a36_every_record_from_another_address() {
    let (mut world, device, association) = connected(psk());
    for port in 1..1000 {
        world.devices[device].address = elsewhere(port);
        world.devices[device].client.send(b"data").expect("sent");
        world.run();
    }
    assert_eq!(world.server.stats().peers_moved, 999);
    assert_eq!(world.server.addresses_known(), 1);
    world.talk(device, association);
}

#[test]
fn a36_a_new_address_gets_little_until_it_is_confirmed() {
    let (mut world, device, association) = connected(psk());
    world.devices[device].address = elsewhere(1);
    let packet = record_of(&mut world, device, &[1; 100]);
    let length = packet.bytes.len();
    world.deliver(packet);
    let mut sent = 0;
    while world.server.send(world.now, association, &[2; 50]).is_ok() {
        world.drain();
        sent += world.network.pop_back().expect("a datagram").bytes.len();
    }
    assert_eq!(
        world.server.send(world.now, association, &[2; 50]),
        Err(SendError::Unconfirmed)
    );
    assert!(sent <= 3 * length && sent > 2 * length, "{sent} {length}");
    world.talk(device, association);
    assert_eq!(
        world.server.send(world.now, association, &[2; 1000]),
        Ok(())
    );
}

#[test]
fn a_moved_device_does_not_take_the_address_of_one_without_connection_id() {
    let mut world = World::new(Config::default());
    let fixed = world.connect(without_cid());
    world.run();
    let fixed_association = world.association();
    let mover = world.connect(psk());
    world.run();
    let association = world.association();
    let mut packet = record_of(&mut world, mover, b"spoofed");
    packet.address = world.devices[fixed].address;
    world.deliver(packet);
    assert_eq!(
        world.data().last(),
        Some(&(association, b"spoofed".to_vec()))
    );
    world.talk(fixed, fixed_association);
}

#[test]
fn close_notify_is_answered_and_ends_it() {
    for config in [psk(), without_cid()] {
        let (mut world, device, association) = connected(config);
        world.devices[device].client.close();
        world.run();
        assert_eq!(world.closed(), [(association, CloseReason::ByPeer)]);
        assert_eq!(world.server.associations(), 0);
        assert_eq!(
            world.server.send(world.now, association, b"data"),
            Err(SendError::Closed)
        );
        let answers = world
            .sent
            .iter()
            .rev()
            .take_while(|packet| !packet.to_server)
            .count();
        assert_eq!(answers, 1);
    }
}

#[test]
fn the_server_closes() {
    let (mut world, device, association) = connected(psk());
    world.server.close(world.now, association);
    world.server.close(world.now, association);
    world.run();
    assert_eq!(world.closed(), [(association, CloseReason::Local)]);
    assert_eq!(world.devices[device].end(), Some(ClientEnd::ByServer));
    assert_eq!(world.server.addresses_known(), 0);
}

#[test]
fn a37_a_withdrawn_credential_ends_associations_at_once_and_again() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    let sleeper = world.connect(psk());
    world.run();
    let ids: Vec<_> = world
        .established()
        .iter()
        .map(|established| established.association)
        .collect();
    // What is sent to the sleeper is lost.
    let asleep = world.devices.pop().expect("the sleeper");
    assert_eq!(world.server.invalidate(world.now, PrincipalTag(7)), 2);
    assert_eq!(world.server.invalidate(world.now, PrincipalTag(7)), 0);
    assert_eq!(world.server.invalidate(world.now, PrincipalTag(6)), 0);
    world.run();
    let mut closed = world.closed();
    closed.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(
        closed,
        [
            (ids[0], CloseReason::Invalidated),
            (ids[1], CloseReason::Invalidated)
        ]
    );
    assert_eq!(world.devices[device].end(), Some(ClientEnd::ByServer));
    assert_eq!(
        world.server.send(world.now, ids[1], b"data"),
        Err(SendError::Closed)
    );
    world.devices.push(asleep);
    world.pass(Duration::from_secs(23 * 60 * 60));
    world.devices[sleeper].address = elsewhere(1);
    world.devices[sleeper]
        .client
        .send(b"good morning")
        .expect("it does not know");
    world.run();
    assert_eq!(world.devices[sleeper].end(), Some(ClientEnd::ByServer));
    assert!(world.data().is_empty());
    assert_eq!(world.closed().len(), 2, "told once");
    assert!(
        !world
            .events
            .iter()
            .any(|output| matches!(output, Output::PeerMoved { .. }))
    );
    assert_eq!(world.server.associations(), 0);
}

#[test]
fn a37_keys_of_a_withdrawn_credential_are_kept_for_a_day() {
    let (mut world, _, _) = connected(psk());
    world.devices.clear();
    world.server.invalidate(world.now, PrincipalTag(7));
    world.run();
    world.pass(Duration::from_secs(24 * 60 * 60 - 1));
    assert_eq!(world.server.associations(), 1);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.server.associations(), 0);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a37_a_handshake_whose_credential_is_withdrawn_ends() {
    let mut world = World::new(Config::default());
    world.connect(psk_with(b"device", b"another key"));
    world.run();
    assert_eq!(world.server.invalidate(world.now, PrincipalTag(7)), 1);
    world.run();
    assert_eq!(world.failures(), [HandshakeFailure::Invalidated]);
    world.assert_no_handshakes();
}

#[test]
fn a_device_that_lost_its_state_replaces_its_association_when_the_new_one_stands() {
    for config in [psk(), without_cid()] {
        let mut world = World::new(Config::default());
        let old = world.connect(config.clone());
        world.run();
        let first = world.association();
        let place = world.devices[old].address;
        // The second handshake waits for its credential: the first association goes on meanwhile.
        world.answers = Box::new(|_| None);
        let mut asleep = world.devices.remove(old);
        world.connect_from(place, config);
        world.run();
        asleep
            .client
            .send(b"still here")
            .expect("there is an association");
        let Some(ClientOutput::Transmit(bytes)) = asleep.client.poll_output() else {
            panic!("a datagram");
        };
        world.deliver(Packet {
            to_server: true,
            address: place,
            bytes: bytes.to_vec(),
        });
        assert_eq!(world.data(), [(first, b"still here".to_vec())]);
        let Some(Output::NeedCredential {
            association, query, ..
        }) = world
            .events
            .iter()
            .rev()
            .find(|output| matches!(output, Output::NeedCredential { .. }))
            .cloned()
        else {
            panic!("a question");
        };
        world
            .server
            .handle_credential(world.now, association, known(&query));
        world.run();
        assert_eq!(world.association(), association);
        assert_eq!(world.closed(), [(first, CloseReason::Replaced)]);
        assert_eq!(world.server.associations(), 1);
        assert_eq!(world.server.stats().forged, 0);
        world.talk(0, association);
    }
}

#[test]
fn a_hello_inside_an_association_is_declined() {
    let (mut world, device, association) = connected(psk());
    world.devices[device]
        .client
        .seal_for_test(HANDSHAKE, &[1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0]);
    world.drain();
    let sent = world.sent.len();
    world.run();
    assert_eq!(world.sent.len(), sent + 1, "no_renegotiation");
    world.talk(device, association);
}

#[test]
fn a13_an_association_ends_before_its_numbers_do() {
    let (mut world, device, association) = connected(psk());
    world.server.set_written(association, LAST_SEQUENCE - 1);
    world.talk(device, association);
    assert_eq!(
        world.server.send(world.now, association, b"more"),
        Err(SendError::Closed)
    );
    world.run();
    assert_eq!(world.closed(), [(association, CloseReason::Exhausted)]);
}

#[test]
fn a10_many_forgeries_ask_for_a_handshake_and_close_nothing() {
    let (mut world, device, association) = connected(psk());
    let mut packet = record_of(&mut world, device, b"data");
    *packet.bytes.last_mut().expect("bytes") ^= 1;
    for _ in 0..20_000 {
        let mut bytes = packet.bytes.clone();
        world
            .server
            .handle_datagram(world.now, elsewhere(9), &mut bytes);
    }
    world.run();
    assert_eq!(world.server.stats().forged, 20_000);
    world.talk(device, association);
    world.server.set_forged(association, (1 << 20) - 1);
    world.deliver(packet);
    let asked = world
        .events
        .iter()
        .filter(|output| matches!(output, Output::NeedsHandshake { .. }));
    assert_eq!(asked.count(), 1);
    world.talk(device, association);
}

#[test]
fn a10_the_quiet_time_is_an_option() {
    let config = Config {
        quiet_after_forgeries: 5,
        ..Config::default()
    };
    let mut world = World::new(config);
    let device = world.connect(psk());
    world.run();
    let association = world.association();
    let mut packet = record_of(&mut world, device, b"data");
    *packet.bytes.last_mut().expect("bytes") ^= 1;
    for _ in 0..5 {
        world.deliver(packet.clone());
    }
    let unheard = record_of(&mut world, device, b"unheard");
    world.deliver(unheard.clone());
    assert!(world.data().is_empty());
    world.pass(Duration::from_secs(10));
    world.deliver(unheard);
    assert_eq!(world.data(), [(association, b"unheard".to_vec())]);
}

#[test]
fn the_stalest_association_makes_room() {
    let config = Config {
        max_associations: 3,
        ..Config::default()
    };
    let mut world = World::new(config);
    let devices: Vec<_> = (0..3)
        .map(|_| {
            let device = world.connect(psk());
            world.run();
            world.pass(Duration::from_secs(60));
            device
        })
        .collect();
    let ids: Vec<_> = world
        .established()
        .iter()
        .map(|established| established.association)
        .collect();
    let refused = world.connect(psk());
    world.run();
    assert!(!world.devices[refused].client.is_established());
    assert_eq!(world.server.stats().handshakes_limited, 1);
    world.devices.truncate(3);
    world.pass(Duration::from_secs(30 * 60 - 100));
    world.talk(devices[0], ids[0]);
    world.pass(Duration::from_secs(40));
    let late = world.connect(psk());
    world.run();
    assert!(world.devices[late].client.is_established());
    assert_eq!(world.closed(), [(ids[1], CloseReason::Evicted)]);
    world.talk(devices[0], ids[0]);
    world.talk(devices[2], ids[2]);
}

#[test]
fn short_connection_ids_run_out_and_come_back() {
    let config = Config {
        connection_id_length: Some(1),
        max_handshakes_per_address: 1000,
        credential_queries_per_second_per_address: 1000,
        ..Config::default()
    };
    let mut world = World::new(config);
    let mut last = None;
    for _ in 0..300 {
        world.connect(psk());
        world.run();
        last = world
            .established()
            .last()
            .map(|established| established.association);
    }
    assert!(world.server.associations() > 180 && world.server.associations() <= 256);
    assert!(
        world
            .failures()
            .contains(&HandshakeFailure::TooManyAssociations)
    );
    let before = world.server.associations();
    world.server.close(world.now, last.expect("an association"));
    world.run();
    assert_eq!(world.server.cids_known(), before, "a tombstone");
    world.assert_no_handshakes();
}

#[test]
fn the_last_flight_is_repeated_until_data_comes() {
    let mut world = World::new(Config::default());
    let device = world.connect(psk());
    for _ in 0..5 {
        let packet = world.network.pop_front().expect("a datagram");
        world.deliver(packet);
    }
    assert_eq!(world.established().len(), 1);
    world.network.clear();
    world.pass(Duration::from_secs(9));
    assert!(world.devices[device].client.is_established());
    assert_eq!(world.established().len(), 1);
    let association = world.association();
    world.talk(device, association);
    assert_eq!(
        world.server.poll_timeout(),
        None,
        "nothing is kept for a repetition"
    );
}
