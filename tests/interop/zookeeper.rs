//! The built binary and ZooKeeper: there, or not there.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    peers::{process::Process, zookeeper::ZooKeeper},
    scene::{Lightship, PATIENCE, core},
    support::mock_broker::MockBroker,
};

const FOLDER: &str = "/elsewhere/nodes";

#[test]
fn the_service_registers_says_so_and_leaves_zookeeper_first_when_it_stops() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let broker = MockBroker::empty();
    let (_core, _) = core(&broker, "zookeeper");
    let mut lightship = Lightship::start_with(
        &broker.bootstrap_servers(),
        "zookeeper",
        &[
            ("ZOOKEEPER_ENABLED", "true"),
            ("ZOOKEEPER_URL", &server.address()),
            ("ZOOKEEPER_NODES_DIR", "/elsewhere"),
        ],
    );
    let registered = |line: &str| line.contains("registered in ZooKeeper");
    lightship.process.expect(PATIENCE, registered);
    let nodes = server.ephemerals(FOLDER);
    let [(_, _, data)] = nodes.as_slice() else {
        panic!("{nodes:?}");
    };
    // Members 1, 2 and 6 of the platform's ServiceInfo, as bytes.
    assert!(data.starts_with(b"\x0a\x04ls-0\x12\x0cTB_TRANSPORT\x32\x05LWM2M"));
    let metrics = lightship.get("/metrics");
    assert!(metrics.contains("lightship_zookeeper_connected 1"));
    let ready = lightship.get("/readyz");
    assert!(
        ready.contains(r#"{"name":"zookeeper","status":"ok","detail":""}"#),
        "{ready}"
    );
    lightship.process.signal("TERM");
    assert!(lightship.process.wait(PATIENCE).success());
    assert_eq!(server.ephemerals(FOLDER), []);
    let lines = lightship.process.output();
    let place = |words: &str| lines.iter().position(|line| line.contains(words));
    assert!(place("stopping;") < place("no longer registered in ZooKeeper"));
    assert!(place("no longer registered in ZooKeeper") < place("stopped"));
}

#[test]
fn a_wrong_address_of_zookeeper_delays_neither_devices_nor_the_stop() {
    let broker = MockBroker::empty();
    let (core, profile) = core(&broker, "wrong");
    let device = core.add_nosec_device("urn:wrong:1", profile);
    let mut lightship = Lightship::start_with(
        &broker.bootstrap_servers(),
        "wrong",
        &[
            ("ZOOKEEPER_ENABLED", "true"),
            // The discard port: nobody listens.
            ("ZOOKEEPER_URL", "127.0.0.1:9"),
            (
                "RUST_LOG",
                "info,lightship::platform::thingsboard::discovery=debug",
            ),
        ],
    );
    let start = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .args(["device", "--server", &lightship.uri()])
        .args(["--endpoint", "urn:wrong:1"]);
    let mut client = Process::spawn("device", &mut command);
    client.expect(PATIENCE, |line| line.starts_with("registered;"));
    core.await_session(device, PATIENCE);
    core.await_values(device, 1, PATIENCE);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");

    let not_registered = |line: &str| line.contains("WARN not registered in ZooKeeper");
    lightship.process.expect(PATIENCE, not_registered);
    // Later attempts fail as well, and are not worth a line but for those who look for one.
    for _ in 0..2 {
        let again = |line: &str| line.contains("DEBUG still not registered in ZooKeeper");
        lightship.process.expect(PATIENCE, again);
    }
    let lines = lightship.process.lines();
    assert_eq!(lines.iter().filter(|line| not_registered(line)).count(), 1);
    let metrics = lightship.get("/metrics");
    assert!(metrics.contains("lightship_zookeeper_connected 0"));
    let ready = lightship.get("/readyz");
    assert!(
        ready.contains(r#""status":"ok","state":"ready""#)
            && ready.contains(r#"{"name":"zookeeper","status":"fail""#),
        "{ready}"
    );
    let start = Instant::now();
    assert!(lightship.stop().success());
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
