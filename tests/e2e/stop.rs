//! How a running server stops.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::server::{Home, PATIENCE, Server, device, poll};
use crate::wire::{Client, Code};

const EP: &str = "urn:dev:one";
const ACKNOWLEDGED: &str = "the server has acknowledged the new value of /3303/0/5700";

#[test]
fn sigterm_stops_in_order_and_closes_the_session_of_a_registered_device() {
    let home = Home::with_device(EP);
    let mut server = Server::start(&home);
    let agent = ureq::Agent::new_with_defaults();
    let events = agent
        .get(format!("{}/api/events", server.http))
        .call()
        .expect("it answers");
    let events = BufReader::new(events.into_body().into_reader()).lines();
    let mut device = server.registered_device(&home, EP);
    device.send_line("set /3303/0/5700 24.5");
    device.expect(PATIENCE, |line| {
        line.starts_with("the server has acknowledged")
    });

    server.process.signal("TERM");
    server.expect_log("stopped");
    let status = server.process.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{:#?}", server.process.lines());
    assert!(
        home.telemetry()
            .iter()
            .any(|line| line["values"]["temperature"] == 24.5)
    );
    let closed = events
        .map_while(Result::ok)
        .find(|line| line.contains(r#""kind":"closed""#));
    let closed = closed.expect("the session was closed");
    assert!(
        closed.contains(&format!(r#""endpoint":"{EP}""#)),
        "{closed}"
    );
}

#[test]
fn every_value_that_was_acknowledged_when_a_stop_came_is_written() {
    let names = ["urn:dev:one", "urn:dev:two", "urn:dev:three"];
    let home = Home::new();
    let entries: Vec<_> = names.iter().map(|name| device(name)).collect();
    home.write(
        "registry/devices/all.json",
        &format!("[{}]", entries.join(",")),
    );
    let mut server = Server::start(&home);
    let mut devices: Vec<_> = names
        .iter()
        .map(|name| server.registered_device(&home, name))
        .collect();
    // The stop comes while they work these off.
    for step in 0..500 {
        for device in &mut devices {
            device.send_line(&format!("set /3303/0/5700 {step}.5"));
        }
    }
    for device in &mut devices {
        device.expect(PATIENCE, |line| line == ACKNOWLEDGED);
    }
    server.process.signal("TERM");
    server.expect_log("stopped");
    assert_eq!(server.process.wait(PATIENCE).code(), Some(0));
    let written = home.telemetry();
    for (name, device) in names.iter().zip(&devices) {
        let acknowledged = device
            .lines()
            .iter()
            .filter(|line| *line == ACKNOWLEDGED)
            .count();
        let written = written.iter().filter(|line| {
            line["endpoint"] == *name
                && line["kind"] == "telemetry"
                && !line["values"]["temperature"].is_null()
        });
        // The first value came with the answer to Observe.
        let written = written.count() - 1;
        assert!(
            written >= acknowledged,
            "{name}: {written} of {acknowledged}"
        );
    }
}

#[test]
fn a_second_signal_hurries_a_stop_that_waits_for_a_device() {
    let home = Home::with_device(EP);
    // More than the test's patience.
    let mut server = Server::start_with(&home, &["--set", "shutdown.inflight_timeout_s=120"]);
    let mut client = Client::connect(server.coap);
    // It never answers.
    let created = client.register(&format!("ep={EP}&lt=300&lwm2m=1.1&b=U"));
    assert_eq!(created.code(), Code::CREATED);
    let mut command = home.lightship(&["rpc", "--url", &server.http, EP, "Read", "/3/0/9"]);
    let _rpc = Process::spawn("rpc", &mut command);
    client.receive(PATIENCE).expect("a request to the device");

    server.process.signal("TERM");
    server.expect_log("another signal hurries");
    poll("draining", || {
        (server.get("/readyz").0 == 503).then_some(())
    });
    let hurried = Instant::now();
    server.process.signal("TERM");
    server.expect_log("hurrying");
    let status = server.process.wait(PATIENCE);
    assert_eq!(status.code(), Some(0), "{:#?}", server.process.lines());
    assert!(
        hurried.elapsed() < Duration::from_secs(10),
        "it took {:?}",
        hurried.elapsed()
    );
}

#[cfg(feature = "kafka")]
#[test]
fn a_signal_ends_a_start_that_waits_for_a_broker() {
    let home = Home::new();
    let broker = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = broker.local_addr().expect("it is bound").to_string();
    let mut command = home.lightship(&["serve"]);
    let mut process = Process::spawn("lightship", command.env("TB_KAFKA_SERVERS", address));
    // It is connected, and never answered.
    let connection = broker.accept().expect("the server connects");
    let signalled = Instant::now();
    process.signal("TERM");
    crate::server::expect_log(&mut process, "stopped before anything was served");
    assert_eq!(
        process.wait(PATIENCE).code(),
        Some(0),
        "{:#?}",
        process.lines()
    );
    assert!(
        signalled.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        signalled.elapsed()
    );
    drop(connection);
}
