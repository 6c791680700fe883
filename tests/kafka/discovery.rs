//! The node in ZooKeeper, on Apache ZooKeeper; skipped with a reason where it cannot be had.

use std::time::{Duration, Instant};

use lightship::platform::thingsboard::discovery::{Discovery, ZooKeeperSettings};
use prost::Message as _;
use zookeeper_client::Client;

use crate::{
    fixture::{SERVICE, eventually},
    peers::zookeeper::ZooKeeper,
    support::wire::ServiceInfo,
};

/// Another service of the platform, which looks at the nodes.
struct Observer {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Observer {
    fn new(server: &ZooKeeper) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let client = runtime
            .block_on(Client::connect(&server.address()))
            .unwrap();
        Self { runtime, client }
    }

    /// Names, versions and data of the nodes.
    fn nodes(&self) -> Vec<(String, i32, ServiceInfo)> {
        self.runtime.block_on(async {
            let mut nodes = Vec::new();
            let names = self.client.list_children(FOLDER).await.unwrap_or_default();
            for name in names {
                if let Ok((data, stat)) = self.client.get_data(&format!("{FOLDER}/{name}")).await {
                    assert_ne!(stat.ephemeral_owner, 0, "the node outlives its service");
                    let info = ServiceInfo::decode(data.as_slice()).unwrap();
                    assert_eq!(info.encode_to_vec(), data, "unknown members");
                    nodes.push((name, stat.version, info));
                }
            }
            nodes
        })
    }

    /// Waits for exactly one node, whose name satisfies `wanted`.
    fn await_node(&self, wanted: impl Fn(&str) -> bool) -> (String, ServiceInfo) {
        eventually(
            "the node",
            || matches!(self.nodes().as_slice(), [(name, ..)] if wanted(name)),
        );
        let (name, _, info) = self.nodes().remove(0);
        (name, info)
    }

    fn delete(&self, name: &str) {
        let path = format!("{FOLDER}/{name}");
        self.runtime
            .block_on(self.client.delete(&path, None))
            .unwrap();
    }
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
fn p52_the_node_is_as_the_core_wants_it_at_every_refresh_and_ends_with_the_service() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let observer = Observer::new(&server);
    let refresh = Duration::from_millis(100);
    let discovery = Discovery::start(&settings(&server), SERVICE, refresh).unwrap();
    let (name, info) = observer.await_node(|_| true);
    assert!(
        name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit()),
        "{name}"
    );
    assert_eq!(info.service_id, SERVICE);
    assert_eq!(info.service_types, ["TB_TRANSPORT"]);
    assert!(info.ready && info.system_info.is_some());
    eventually("registration to be noticed", || discovery.is_registered());

    // `measured.md` 3: the Java transport forgets its transports at the first of these.
    let refreshed = || {
        observer
            .nodes()
            .first()
            .is_some_and(|(_, version, _)| *version >= 3)
    };
    eventually("three refreshes", refreshed);
    let (_, _, info) = observer.nodes().remove(0);
    assert_eq!(info.transports, ["LWM2M"]);
    assert_eq!(observer.nodes()[0].0, name);

    let start = Instant::now();
    discovery.stop();
    assert_eq!(observer.nodes(), []);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn p52_the_node_comes_back_after_a_deletion_a_restart_and_the_end_of_its_session() {
    let Some(mut server) = ZooKeeper::start() else {
        return;
    };
    let discovery = Discovery::start(&settings(&server), SERVICE, Duration::from_secs(60)).unwrap();
    let observer = Observer::new(&server);
    let (first, _) = observer.await_node(|_| true);

    observer.delete(&first);
    let (second, info) = observer.await_node(|name| name != first);
    assert_eq!(info.transports, ["LWM2M"]);

    // Longer than the session lives: the server forgets it as soon as it goes on.
    server.freeze(true);
    eventually("the silence to be noticed", || !discovery.is_registered());
    std::thread::sleep(Duration::from_secs(5));
    server.freeze(false);
    let observer = Observer::new(&server);
    let (third, _) = observer.await_node(|name| name != first && name != second);
    eventually("registration", || discovery.is_registered());

    server.stop();
    eventually("the absence to be noticed", || !discovery.is_registered());
    server.launch();
    eventually("registration", || discovery.is_registered());
    let observer = Observer::new(&server);
    // The session may have outlived the restart, and its node with it.
    let (_, info) = observer.await_node(|name| name >= third.as_str());
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
