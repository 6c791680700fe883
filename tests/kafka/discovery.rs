//! The node in ZooKeeper, on Apache ZooKeeper; skipped with a reason where it cannot be had.

use std::time::{Duration, Instant};

use lightship::platform::thingsboard::discovery::{Discovery, ZooKeeperSettings};
use prost::Message as _;

use crate::{
    fixture::{SERVICE, eventually},
    peers::zookeeper::ZooKeeper,
    support::wire::ServiceInfo,
};

/// Waits for exactly one node, whose name satisfies `wanted`.
fn await_node(server: &ZooKeeper, wanted: impl Fn(&str) -> bool) -> (String, ServiceInfo) {
    eventually(
        "the node",
        || matches!(server.ephemerals(FOLDER).as_slice(), [(name, ..)] if wanted(name)),
    );
    let (name, _, data) = server.ephemerals(FOLDER).remove(0);
    let info = ServiceInfo::decode(data.as_slice()).unwrap();
    assert_eq!(info.encode_to_vec(), data, "unknown members");
    (name, info)
}

const FOLDER: &str = "/thingsboard/nodes";

fn settings(server: &ZooKeeper) -> ZooKeeperSettings {
    ZooKeeperSettings {
        enabled: true,
        url: server.address(),
        retry_ms: 200,
        ..ZooKeeperSettings::default()
    }
}

#[test]
fn the_node_is_as_the_core_wants_it_at_every_refresh_and_ends_with_the_service() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let refresh = Duration::from_millis(100);
    let discovery = Discovery::start(&settings(&server), SERVICE, refresh).unwrap();
    let (name, info) = await_node(&server, |_| true);
    assert!(
        name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit()),
        "{name}"
    );
    assert_eq!(info.service_id, SERVICE);
    assert_eq!(info.service_types, ["TB_TRANSPORT"]);
    assert!(info.ready && info.system_info.is_some());
    eventually("registration to be noticed", || discovery.is_registered());

    // `measured.md` 3: the Java transport forgets its transports at the first of these.
    eventually("three refreshes", || {
        let nodes = server.ephemerals(FOLDER);
        matches!(nodes.as_slice(), [(_, version, _)] if *version >= 3)
    });
    let (_, info) = await_node(&server, |own| own == name);
    assert_eq!(info.transports, ["LWM2M"]);

    let start = Instant::now();
    discovery.stop();
    assert_eq!(server.ephemerals(FOLDER), []);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn the_node_comes_back_after_a_deletion_a_restart_and_the_end_of_its_session() {
    let Some(mut server) = ZooKeeper::start() else {
        return;
    };
    let discovery = Discovery::start(&settings(&server), SERVICE, Duration::from_secs(60)).unwrap();
    let (first, _) = await_node(&server, |_| true);

    server.delete(&format!("{FOLDER}/{first}"));
    let (second, info) = await_node(&server, |name| name != first);
    assert_eq!(info.transports, ["LWM2M"]);

    // Longer than the session lives: the server forgets it as soon as it goes on.
    server.freeze(true);
    eventually("the silence to be noticed", || !discovery.is_registered());
    std::thread::sleep(Duration::from_secs(5));
    server.freeze(false);
    let (third, _) = await_node(&server, |name| name != first && name != second);
    eventually("registration", || discovery.is_registered());

    server.stop();
    eventually("the absence to be noticed", || !discovery.is_registered());
    server.launch();
    eventually("registration", || discovery.is_registered());
    // The session may have outlived the restart, and its node with it.
    let (_, info) = await_node(&server, |name| name >= third.as_str());
    assert_eq!(info.service_id, SERVICE);

    server.stop();
    let start = Instant::now();
    discovery.stop();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}
