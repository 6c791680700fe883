//! A device and commands to it, with `serve`, `device` and `rpc` as three programs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Ended, Home, PATIENCE, PROFILE, Server, device, get, poll, post, run};

const EP: &str = "urn:dev:thermometer";

#[test]
fn a_device_registers_and_its_values_become_lines_of_json() {
    let home = Home::with_device(EP);
    let server = Server::start(&home);
    let mut device = server.registered_device(&home, EP);

    let holds = |kind: &str, key: &str, value: Value| {
        let (kind, key) = (kind.to_owned(), key.to_owned());
        move |line: &Value| line["kind"] == kind && line["values"][&key] == value
    };
    home.expect_telemetry(holds("telemetry", "temperature", json!(21.5)));
    home.expect_telemetry(holds("attributes", "manufacturer", json!("Lightship")));
    device.send_line("set /3303/0/5700 30.25");
    device.expect(PATIENCE, |line| {
        line == "the server has acknowledged the new value of /3303/0/5700"
    });
    // Acknowledged means written: nothing to wait for.
    let line = home.telemetry().into_iter().next_back();
    let line = line.expect("there are lines");
    assert_eq!(line["values"], json!({"temperature": 30.25}));
    assert_eq!(
        (&line["endpoint"], &line["device"]),
        (&json!(EP), &json!(EP))
    );
    let members: Vec<_> = line.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["ts", "endpoint", "device", "kind", "values"]);
    assert_eq!(
        server.metric(r#"lightship_registrations{security="nosec"}"#),
        1
    );

    device.send_line("send /3303/0/5700");
    device.expect(PATIENCE, |line| {
        line == "the server has taken what was sent"
    });
    let again = home.telemetry().into_iter().next_back();
    assert_eq!(
        again.expect("there are lines")["values"],
        json!({"temperature": 30.25})
    );
    assert_eq!(
        server.metric(r#"lightship_sends_total{result="delivered"}"#),
        1
    );

    device.send_line("quit");
    device.expect(PATIENCE, |line| line == "de-registered");
    assert_eq!(device.wait(PATIENCE).code(), Some(0));
}

#[test]
fn commands_print_the_reply_and_exit_with_0() {
    let home = Home::with_device(EP);
    let server = Server::start(&home);
    let mut device = server.registered_device(&home, EP);

    let battery =
        r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=95, type=INTEGER]"}"#;
    for path in [
        "/3/0/9",
        r#"{"id":"/3_1.2/0/9"}"#,
        r#"{"key":"batteryLevel"}"#,
    ] {
        answers(&server.rpc(&home, &[EP, "Read", path]), battery);
    }
    answers(
        &server.rpc(
            &home,
            &[EP, "WriteReplace", r#"{"id":"/3/0/14","value":"+02:00"}"#],
        ),
        r#"{"result":"CHANGED"}"#,
    );
    device.expect(PATIENCE, |line| {
        line == "the server writes /3/0/14 = +02:00"
    });
    answers(
        &server.rpc(&home, &[EP, "Read", "/3/0/14"]),
        r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=14, value=+02:00, type=STRING]"}"#,
    );
    answers(
        &server.rpc(&home, &[EP, "Execute", "/3/0/4"]),
        r#"{"result":"CHANGED"}"#,
    );
    device.expect(PATIENCE, |line| line == "the server executes /3/0/4");
    let discovered = server.rpc(&home, &[EP, "Discover", "/3"]);
    assert_eq!(discovered.status, Some(0), "{discovered:?}");
    let body: Value = serde_json::from_str(&discovered.stdout).expect("it is JSON");
    assert_eq!(body["result"], "CONTENT");
    let links = body["value"].to_string();
    assert!(
        links.contains("</3/0/9>") && links.contains("</3>;ver="),
        "{links}"
    );
}

#[test]
fn a_command_that_fails_prints_the_reply_and_exits_with_1() {
    let home = Home::with_device(EP);
    let server = Server::start(&home);
    let _device = server.registered_device(&home, EP);

    let missing = server.rpc(&home, &[EP, "Read", "/3/0/10"]);
    assert_eq!(missing.status, Some(1), "{missing:?}");
    let body: Value = serde_json::from_str(&missing.stdout).expect("it is JSON");
    assert_eq!(body["result"], "NOT_FOUND");

    let unknown = server.rpc(&home, &[EP, "Reboot", "/3/0/4"]);
    assert_eq!(unknown.status, Some(1), "{unknown:?}");
    assert!(unknown.stdout.contains("Reboot"), "{unknown:?}");
    assert!(
        unknown.stderr.starts_with("hint: commands are Read, "),
        "{unknown:?}"
    );

    let syntax = server.rpc(&home, &[EP, "Read", "{3/0/9"]);
    assert_eq!(syntax.status, Some(1), "{syntax:?}");
    assert!(
        syntax
            .stderr
            .starts_with("PARAMS is neither a path nor JSON"),
        "{syntax:?}"
    );
}

#[test]
fn a_command_to_an_endpoint_that_is_not_registered_says_so() {
    let home = Home::with_device(EP);
    let server = Server::start(&home);
    let ended = server.rpc(&home, &["somebody", "Read", "/3/0/9"]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(ended.stdout, "");
    assert_eq!(
        ended.stderr,
        "no such endpoint is registered\nhint: none is; the server's log says who was refused, and why\n"
    );
}

#[test]
fn a_command_to_a_device_that_is_gone_times_out() {
    let home = Home::with_device(EP);
    let server = Server::start(&home);
    let mut device = server.registered_device(&home, EP);
    device.kill();
    let ended = server.rpc(&home, &[EP, "Read", "/3/0/9", "--timeout", "1"]);
    assert_eq!(ended.status, Some(1));
    assert_eq!(ended.stdout, "");
    let said = ended
        .stderr
        .strip_prefix("TIMEOUT\nhint: the device was heard last ");
    assert!(
        said.is_some_and(|said| said.contains(" within 1 s;")),
        "{ended:?}"
    );
}

#[test]
fn a_command_to_a_device_that_sleeps_waits_and_says_so() {
    let home = Home::with_device(EP);
    let window = ["--set", "lwm2m.queue_mode_window_ms=500"];
    let server = Server::start_with(&home, &window);
    let mut device = server.device(&home, EP, &["--queue-mode"]);
    device.expect(PATIENCE, |line| line.starts_with("registered;"));
    poll("sleep", || {
        let (_, summary) = server.get(&format!("/api/endpoints/{EP}"));
        summary.contains(r#""asleep":true"#).then_some(())
    });
    let ended = server.rpc(&home, &[EP, "Read", "/3/0/9", "--timeout", "1"]);
    assert_eq!(ended.status, Some(1));
    let hint = "TIMEOUT\nhint: the device sleeps; it was heard last ";
    assert!(ended.stderr.starts_with(hint), "{ended:?}");
}

#[test]
fn shared_attributes_reach_a_device_that_registers_later() {
    let home = Home::with_device(EP);
    let manufacturer = r#""/3_1.2/0/0": "manufacturer","#;
    let profile = PROFILE.replace(
        manufacturer,
        &format!(r#"{manufacturer} "/3_1.2/0/15": "timezone","#),
    );
    home.write("registry/profiles/default.json", &profile);
    let file = device(EP);
    let (file, _) = file.rsplit_once('}').expect("it is an object");
    let shared = format!(r#"{file},"shared":{{"timezone":"Europe/Kyiv"}}}}"#);
    home.write(&format!("registry/devices/{EP}.json"), &shared);
    let server = Server::start(&home);
    let url = format!("{}/api/endpoints/{EP}/attributes", server.http);
    for (attributes, written) in [("{}", "Europe/Kyiv"), (r#"{"timezone":"UTC"}"#, "UTC")] {
        let (status, all) = post(&url, attributes);
        assert_eq!(
            (status, all),
            (200, format!(r#"{{"timezone":"{written}"}}"#))
        );
        let mut device = server.registered_device(&home, EP);
        let line = format!("the server writes /3/0/15 = {written}");
        device.expect(PATIENCE, |own| own == line);
        device.send_line("quit");
        device.expect(PATIENCE, |line| line == "de-registered");
    }
    let strange = format!("{}/api/endpoints/stranger/attributes", server.http);
    assert_eq!(get(&strange, None).0, 404);
}

#[test]
fn a_command_without_a_server_says_where_it_looked() {
    let home = Home::new();
    // Port 9 of the loopback address: nobody offers HTTP there.
    let ended = run(&mut home.lightship(&["rpc", "--url", "http://127.0.0.1:9", EP, "Read", "/3"]));
    assert_eq!(ended.status, Some(1));
    assert!(
        ended.stderr.starts_with("http://127.0.0.1:9: "),
        "{ended:?}"
    );
    assert!(ended.stderr.contains("is the server running"), "{ended:?}");
}

#[test]
fn a_device_without_a_server_says_so_and_obeys_an_interrupt() {
    let home = Home::new();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
    let server = format!("coap://{}", socket.local_addr().expect("it is bound"));
    let mut command = home.lightship(&["device", "--server", &server]);
    let mut device = crate::process::Process::spawn("device", &mut command);
    device.expect(PATIENCE, |line| {
        line.starts_with("lightship-device registers at")
    });
    device.signal("INT");
    assert_eq!(device.wait(Duration::from_secs(5)).code(), Some(0));

    let wrong = run(&mut home.lightship(&["device", "--server", "127.0.0.1"]));
    assert_eq!(wrong.status, Some(1));
    assert_eq!(
        wrong.stderr,
        "lightship: --server must begin with coap://; coaps:// goes with --psk or --key\n"
    );
}

fn answers(ended: &Ended, body: &str) {
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), format!("{body}\n").as_str()),
        "{ended:?}"
    );
}
