//! Associations that move, and that end.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lightship::{
    coap::Code,
    dtls::{
        Config,
        client::{ClientConfig, ClientEnd},
    },
    platform::{Downlink, credentials::ClientCredentials},
    server::{keys::Keys, metrics::RecordDrop},
};

use crate::fixture::*;

#[test]
fn s17_connection_ids_of_all_lengths_are_agreed_on() {
    let lengths = [None, Some(0), Some(1), Some(2), Some(4), Some(16)];
    for server in lengths {
        let config = Config {
            connection_id_length: server,
            ..quick()
        };
        with_server(2, config, Keys::default(), move |world| {
            world.core.know("id-1", psk_document("dev1", "id-1"));
            for client in lengths {
                let config = ClientConfig {
                    connection_id: client.map(|length| vec![7; length.into()]),
                    ..psk("id-1", KEY)
                };
                let mut device = Device::connect(world.coaps, config).ok().unwrap();
                let (code, id) = device.register("dev1");
                assert_eq!(code, Code::CREATED, "{server:?} {client:?}");
                assert_eq!(device.update(&id), Code::CHANGED);
                let carried = device.sent.last().unwrap()[0] == 25;
                let expected = client.is_some() && server.is_some_and(|length| length > 0);
                assert_eq!(carried, expected, "{server:?} {client:?}");
            }
        });
    }
}

#[test]
fn s18_downlinks_follow_a_device_to_its_next_port() {
    with_server(4, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = device.register("dev1");
        for _ in 0..12 {
            // Most of these ports belong to other shards than the one with the association.
            let before = device.rebind();
            assert_eq!(device.update(&id), Code::CHANGED);
            world.read("/3/0/9");
            assert_eq!(device.serve().code(), Code::GET);
            let mut buffer = [0; 64];
            assert!(
                before.recv(&mut buffer).is_err(),
                "nothing goes to the old port"
            );
        }
        assert_eq!(world.metrics.dtls_address_changes.get(), 12);
        assert_eq!(world.core.asked(), ["id-1"], "the association is the same");
    });
}

#[test]
fn a36_records_of_strangers_move_nobody() {
    with_server(4, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = device.register("dev1");
        assert_eq!(device.update(&id), Code::CHANGED);
        let record = device.sent.last().unwrap().to_vec();
        assert_eq!(record[0], 25);
        let attacker = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        attacker
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        // The same again; a newer one that is forged; one of another node, of a shard that is not there, of nobody.
        let mut forged = record.clone();
        forged[10] = forged[10].wrapping_add(9);
        let changed = |at: usize, value: u8| {
            let mut record = record.clone();
            record[at] = value;
            record
        };
        let all = [
            record.clone(),
            forged,
            changed(11, 77),
            changed(12, 200),
            changed(18, record[18] ^ 1),
        ];
        for datagram in &all {
            attacker.send_to(datagram, world.coaps).unwrap();
        }
        assert!(attacker.recv(&mut [0; 64]).is_err(), "nobody answers");
        world.read("/3/0/9");
        assert_eq!(device.serve().code(), Code::GET);
        let dropped = |reason| world.metrics.dtls_records_dropped.of(reason).get();
        assert_eq!(dropped(RecordDrop::Replay), 1);
        assert_eq!(dropped(RecordDrop::BadMac), 1);
        assert_eq!(dropped(RecordDrop::NoAssociation), 3);
        assert_eq!(world.metrics.dtls_address_changes.get(), 0);
    });
}

#[test]
fn a36_many_devices_that_change_their_ports_at_once_lose_nothing() {
    with_server(4, quick(), Keys::default(), |world| {
        let mut ports = BTreeSet::new();
        let mut devices: Vec<_> = (0..40)
            .map(|number| {
                let (identity, name) = (format!("id-{number}"), format!("dev{number}"));
                world.core.know(&identity, psk_document(&name, &identity));
                let mut device = Device::connect(world.coaps, psk(&identity, KEY))
                    .ok()
                    .unwrap();
                let (_, id) = device.register(&name);
                (device, id)
            })
            .collect();
        for (device, id) in &mut devices {
            ports.insert(device.rebind().local_addr().unwrap());
            assert_eq!(device.update(id), Code::CHANGED);
        }
        assert_eq!(world.metrics.dtls_address_changes.get(), 40);
        assert_eq!(ports.len(), 40);
    });
}

#[test]
fn s19_and_a37_changed_credentials_end_the_association_within_a_second() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = device.register("dev1");
        assert_eq!(device.update(&id), Code::CHANGED);
        world.read("/3/0/9");
        let asked = device
            .hear(Instant::now() + Duration::from_secs(10))
            .unwrap();
        assert_eq!(asked.code(), Code::GET);
        let new_key = b"another key of 16";
        let hex: String = new_key.iter().map(|byte| format!("{byte:02x}")).collect();
        world.core.know(
            "id-1",
            ClientCredentials::Psk {
                endpoint: "dev1".to_owned(),
                identity: "id-1".to_owned(),
                key: hex,
            },
        );
        let told = Instant::now();
        world.tell("dev1", &Downlink::CredentialsChanged);
        assert_eq!(device.wait_for_end(), ClientEnd::ByServer);
        assert!(told.elapsed() < Duration::from_secs(1));
        assert!(world.core.sessions.lock().unwrap().is_empty());
        let replies = world.core.replies.lock().unwrap().clone();
        assert!(
            replies.iter().any(|body| body.contains("cancelled")),
            "{replies:?}"
        );
        let old = Device::connect(world.coaps, psk("id-1", KEY)).err();
        assert_eq!(old, Some(ClientEnd::Timeout));
        let mut device = Device::connect(world.coaps, psk("id-1", new_key))
            .ok()
            .unwrap();
        // L20: its registration is gone.
        assert_eq!(device.update(&id), Code::NOT_FOUND);
        assert_eq!(device.register("dev1").0, Code::CREATED);
    });
}

#[test]
fn a37_changed_credentials_end_associations_that_have_not_registered_as_well() {
    with_server(4, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        world.core.know("id-2", psk_document("dev2", "id-2"));
        let mut other = Device::connect(world.coaps, psk("id-2", KEY)).ok().unwrap();
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        device.register("dev1");
        // Whoever learned the key, on every shard in all likelihood.
        let mut thieves: Vec<_> = (0..16)
            .map(|_| Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap())
            .collect();
        let told = Instant::now();
        world.tell("dev1", &Downlink::CredentialsChanged);
        for thief in &mut thieves {
            assert_eq!(thief.wait_for_end(), ClientEnd::ByServer);
        }
        assert!(told.elapsed() < Duration::from_secs(1));
        assert_eq!(device.wait_for_end(), ClientEnd::ByServer);
        assert_eq!(other.register("dev2").0, Code::CREATED);
    });
}

#[test]
fn a37_an_association_made_with_the_old_key_does_not_register_when_the_key_has_changed() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = device.register("dev1");
        let deregister = device.ask(Code::DELETE, &["rd", &id], &[]);
        assert_eq!(deregister.code(), Code::DELETED);
        // Nobody is registered, so the core tells nobody.
        let changed = ClientCredentials::Psk {
            endpoint: "dev1".to_owned(),
            identity: "id-1".to_owned(),
            key: "00".repeat(16),
        };
        world.core.know("id-1", changed);
        assert_eq!(device.register("dev1").0, Code::FORBIDDEN);
    });
}

#[test]
fn a37_a_deleted_device_loses_its_association() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        device.register("dev1");
        world.tell("dev1", &Downlink::DeviceDeleted);
        assert_eq!(device.wait_for_end(), ClientEnd::ByServer);
    });
}

#[test]
fn a16_of_two_devices_with_one_identity_the_later_one_stays() {
    with_server(4, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        for _ in 0..4 {
            let mut first = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
            first.register("dev1");
            let mut second = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
            let (code, id) = second.register("dev1");
            assert_eq!(code, Code::CREATED);
            assert_eq!(first.wait_for_end(), ClientEnd::ByServer);
            assert_eq!(second.update(&id), Code::CHANGED);
            let deregister = second.ask(Code::DELETE, &["rd", &id], &[]);
            assert_eq!(deregister.code(), Code::DELETED);
            // The association stays: the device may register again without another handshake.
            assert_eq!(second.register("dev1").0, Code::CREATED);
        }
    });
}

#[test]
fn an_update_over_another_association_of_the_device_moves_its_registration_there() {
    with_server(4, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut before = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = before.register("dev1");
        let mut after = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        assert_eq!(after.update(&id), Code::CHANGED);
        assert_eq!(before.wait_for_end(), ClientEnd::ByServer);
        world.read("/3/0/9");
        assert_eq!(after.serve().code(), Code::GET);
    });
}

#[test]
fn what_a_device_says_after_another_handshake_reaches_its_registration() {
    with_server(4, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut before = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = before.register("dev1");
        let mut after = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        // A Send of a stranger were answered that there is no registration.
        let answer = after.ask(Code::POST, &["dp"], &[]);
        assert_ne!(answer.diagnostic(), Some("no registration found"));
        assert_eq!(before.wait_for_end(), ClientEnd::ByServer);
        world.read("/3/0/9");
        assert_eq!(after.serve().code(), Code::GET);
        assert_eq!(after.update(&id), Code::CHANGED);
    });
}

#[test]
fn p19_3_and_p35_4_the_server_begins_no_handshake() {
    with_server(2, quick(), Keys::default(), |world| {
        world.core.know("id-1", psk_document("dev1", "id-1"));
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        let (_, id) = device.register("dev1");
        device.close();
        // What the server answers to close_notify.
        while device.socket.recv(&mut [0; 256]).is_ok() {}
        world.read("/3/0/9");
        device
            .socket
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        assert!(device.socket.recv(&mut [0; 256]).is_err());
        // The registration waits for the device to come back.
        let mut device = Device::connect(world.coaps, psk("id-1", KEY)).ok().unwrap();
        assert_eq!(device.update(&id), Code::CHANGED);
    });
}
