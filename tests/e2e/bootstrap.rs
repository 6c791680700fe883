//! A device that knows nothing but its bootstrap server.

use crate::process::Process;
use crate::server::{Home, PATIENCE, Server, device};

#[test]
fn a_device_is_told_by_the_bootstrap_server_where_to_register() {
    let home = Home::new();
    home.write("registry/devices/new.json", &device("urn:dev:new"));
    let mut server = Server::start(&home);
    let record = server.expect_log("serving LwM2M bootstrap over CoAP");
    let bootstrap = record["address"].as_str().expect("it is told").to_owned();
    // The port of the LwM2M server is known only by now.
    let profile = crate::server::PROFILE.replacen(
        '{',
        &format!(
            r#"{{ "bootstrap": [{{"securityMode": "NO_SEC", "shortServerId": 123, "host": "127.0.0.1", "port": {}}}],"#,
            server.coap.port()
        ),
        1,
    );
    home.write("registry/profiles/default.json", &profile);
    server.expect_log("registry read again");
    let uri = format!("coap://{bootstrap}");
    let mut command = home.lightship(&["device", "--bootstrap", &uri, "--endpoint", "urn:dev:new"]);
    let mut device = Process::spawn("device", &mut command);
    let told = format!("bootstrapped; registers at coap://{}", server.coap);
    device.expect(PATIENCE, |line| line == told);
    device.expect(PATIENCE, |line| line.starts_with("registered;"));
    server.expect_log("endpoint bootstrapped");
    assert_eq!(
        server.metric(r#"lightship_bootstrap_total{result="ok"}"#),
        1
    );
    home.expect_telemetry(|line| {
        line["values"]["transportLog"] == "info: Bootstrap session finished."
    });

    // Triggered by a command, it asks again.
    let done = server.rpc(&home, &["urn:dev:new", "Execute", "/1/0/9"]);
    assert_eq!(done.status, Some(0), "{done:?}");
    device.expect(PATIENCE, |line| line == "de-registered");
    device.expect(PATIENCE, |line| line == told);
    device.expect(PATIENCE, |line| line.starts_with("registered;"));
    device.send_line("quit");
    device.wait(PATIENCE);
}

#[test]
fn a56_a_stranger_learns_nothing_from_the_bootstrap_server() {
    let home = Home::new();
    let mut server = Server::start(&home);
    let record = server.expect_log("serving LwM2M bootstrap over CoAP");
    let bootstrap = record["address"].as_str().expect("it is told").to_owned();
    let uri = format!("coap://{bootstrap}");
    let mut command = home.lightship(&["device", "--bootstrap", &uri, "--endpoint", "urn:dev:who"]);
    let mut device = Process::spawn("device", &mut command);
    device.expect(PATIENCE, |line| {
        line == "refused by the server: 4.00 Unauthorized"
    });
}
