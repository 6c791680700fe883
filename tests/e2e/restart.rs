//! What a server with a state file takes up again (`device-lifecycle.md` L25, `operations.md` O6).

use crate::process::Process;
use crate::server::{Home, PATIENCE, Server, device, poll, run};

const NAMES: [&str; 3] = ["urn:dev:one", "urn:dev:two", "urn:dev:three"];

fn home() -> Home {
    let home = Home::new();
    let entries: Vec<_> = NAMES.iter().map(|name| device(name)).collect();
    home.write(
        "registry/devices/all.json",
        &format!("[{}]", entries.join(",")),
    );
    home
}

const STATE: [&str; 2] = ["--set", "state.dir=state"];

fn start(home: &Home) -> Server {
    Server::start_with(home, &STATE)
}

/// Starts on the port at which the devices know the server.
fn start_again(home: &Home, before: &Server) -> Server {
    let port = format!("lwm2m.server.port={}", before.coap.port());
    Server::start_with(home, &[&STATE[..], &["--set", &port]].concat())
}

/// Sets a value on each device; the server must get it, and no device may have registered twice.
fn assert_served(home: &Home, server: &Server, devices: &mut [Process], temperature: f64) {
    for (name, device) in NAMES.iter().zip(&mut *devices) {
        device.send_line(&format!("set /3303/0/5700 {temperature}"));
        device.expect(PATIENCE, |line| {
            line.contains("has acknowledged the new value of /3303/0/5700")
        });
        home.expect_telemetry(|line| {
            line["endpoint"] == *name && line["values"]["temperature"] == temperature
        });
        let answer = server.rpc(home, &[name, "Read", "/3/0/9"]);
        assert!(answer.stdout.contains("CONTENT"), "{answer:?}");
        let registered = device.lines();
        let registered = registered
            .iter()
            .filter(|line| line.starts_with("registered;"));
        assert_eq!(registered.count(), 1, "{:#?}", device.lines());
    }
}

#[test]
fn l25_after_kill_9_devices_are_served_without_a_register() {
    let home = home();
    let mut server = start(&home);
    let mut devices: Vec<_> = NAMES
        .iter()
        .map(|name| server.registered_device(&home, name))
        .collect();
    for name in NAMES {
        // It is on record once its id is, and with it all that was before.
        let answer = server.rpc(&home, &[name, "Execute", "/3/0/12"]);
        assert!(answer.stdout.contains("CHANGED"), "{answer:?}");
    }
    for round in 0..3 {
        server.process.signal("KILL");
        server.process.wait(PATIENCE);
        // A device that speaks while nobody listens says it again.
        devices[1].send_line(&format!("set /3/0/9 {round}"));
        server = start_again(&home, &server);
        assert_eq!(server.metric("lightship_state_restored_endpoints"), 3);
        home.expect_telemetry(|line| {
            line["endpoint"] == NAMES[1] && line["values"]["batteryLevel"] == round
        });
        assert_served(&home, &server, &mut devices, f64::from(round) + 30.5);
    }
    // What ends while the server lives is not taken up again.
    devices[0].send_line("quit");
    devices[0].expect(PATIENCE, |line| line.starts_with("de-registered"));
    poll("the record to be removed", || {
        let removed = server.metric(r#"lightship_state_writes_total{op="delete"}"#);
        (removed >= 1).then_some(())
    });
    server.process.signal("KILL");
    server.process.wait(PATIENCE);
    server = start_again(&home, &server);
    assert_eq!(server.metric("lightship_state_restored_endpoints"), 2);
}

#[test]
fn a63_kill_9_under_load_costs_no_acknowledged_value_and_no_registration() {
    const ACKNOWLEDGED: &str = "the server has acknowledged the new value of /3303/0/5700";
    let home = home();
    let mut server = start(&home);
    let mut devices: Vec<_> = NAMES
        .iter()
        .map(|name| server.registered_device(&home, name))
        .collect();
    for name in NAMES {
        let answer = server.rpc(&home, &[name, "Execute", "/3/0/12"]);
        assert!(answer.stdout.contains("CHANGED"), "{answer:?}");
    }
    // Each time the server dies while the devices have values under way.
    for (round, acknowledged) in [1, 17, 4, 31, 9, 2, 23, 13].into_iter().enumerate() {
        for step in 0..60 {
            for device in &mut devices {
                device.send_line(&format!("set /3303/0/5700 {round}{step:02}.5"));
            }
        }
        for _ in 0..acknowledged {
            devices[round % 3].expect(PATIENCE, |line| line == ACKNOWLEDGED);
        }
        server.process.signal("KILL");
        server.process.wait(PATIENCE);
        server = start_again(&home, &server);
    }
    assert_served(&home, &server, &mut devices, 1.5);
    let written = home.telemetry();
    for (name, device) in NAMES.iter().zip(&devices) {
        let acknowledged = device.lines();
        let acknowledged = acknowledged.iter().filter(|line| *line == ACKNOWLEDGED);
        let written = written
            .iter()
            .filter(|line| line["endpoint"] == *name && !line["values"]["temperature"].is_null());
        // The first value came with the answer to Observe.
        let (written, acknowledged) = (written.count() - 1, acknowledged.count());
        assert!(
            written >= acknowledged,
            "{name}: {written} of {acknowledged}"
        );
    }
}

#[test]
fn l25_a_stop_keeps_sessions_and_devices_are_served_after_the_next_start() {
    let home = home();
    let mut server = start(&home);
    let mut devices: Vec<_> = NAMES
        .iter()
        .map(|name| server.registered_device(&home, name))
        .collect();
    server.process.signal("TERM");
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0));
    let server = start_again(&home, &server);
    assert_served(&home, &server, &mut devices, 40.5);
}

#[test]
fn a_state_file_is_one_instances_alone() {
    let home = home();
    let mut first = start(&home);
    let mut second = home.lightship(&["serve"]);
    let ended = run(second.args(STATE));
    assert_eq!(ended.status, Some(5), "{ended:?}");
    first.process.signal("TERM");
    assert_eq!(first.process.wait(PATIENCE).code(), Some(0));
    let mut other = home.lightship(&["serve", "--set", "service.id=other-1"]);
    let ended = run(other.args(STATE));
    assert_eq!(ended.status, Some(2), "{ended:?}");
    assert!(ended.stdout.contains("other-1"), "{ended:?}");
}

#[test]
fn a65_a_damaged_file_costs_registrations_and_no_start() {
    let home = home();
    home.write("state/state.redb", "what was left of it");
    let server = start(&home);
    assert_eq!(server.metric("lightship_state_restored_endpoints"), 0);
    let mut device = server.registered_device(&home, NAMES[0]);
    device.send_line("set /3303/0/5700 1.5");
    home.expect_telemetry(|line| line["values"]["temperature"] == 1.5);
}
