//! Updates over the air in embedded mode: a file in the registry folder, and the simulated device runs it.

use crate::process::Process;
use crate::server::{Home, PATIENCE, Server};

/// A profile that lets firmware and software be updated, by these strategies.
fn profile(strategy: u8) -> String {
    let paths = r#"["/5_1.1/0/6", "/5_1.1/0/7", "/9_1.1/0/0", "/9_1.1/0/1"]"#;
    format!(
        r#"{{"type": "LWM2M", "observeAttr": {{"observe": {paths}, "telemetry": {paths},
            "keyName": {{"/5_1.1/0/7": "firmware", "/9_1.1/0/1": "software"}}}},
            "clientLwM2mSettings": {{"fwUpdateStrategy": {strategy}, "swUpdateStrategy": {strategy},
            "fwUpdateResource": "coap://this-server", "swUpdateResource": "coap://this-server"}}}}"#
    )
}

fn package(kind: &str, name: &str) -> String {
    format!(
        r#"{{"type": "{kind}", "title": "{name}", "version": "2.0", "file": "{name}.bin", "profiles": ["default"]}}"#
    )
}

/// A package of 20 kB that says what it is.
fn contents(name: &str) -> String {
    format!("{name} 2.0\n{}", "x".repeat(20_000))
}

fn start(strategy: u8) -> (Home, Server, Process) {
    let home = Home::with_device("urn:dev:updated");
    home.write("registry/profiles/default.json", &profile(strategy));
    let server = Server::start(&home);
    let device = register(&home, &server);
    (home, server, device)
}

fn register(home: &Home, server: &Server) -> Process {
    let mut device = server.device(home, "urn:dev:updated", &[]);
    device.expect(PATIENCE, |line| line == "the server observes /9/0/1");
    device
}

fn expect(home: &Home, key: &str, value: &str) {
    home.expect_telemetry(|line| line["values"][key] == value);
}

#[test]
fn firmware_and_software_that_are_put_into_the_folder_are_installed() {
    for strategy in [1, 2] {
        let (home, mut server, _device) = start(strategy);
        for (kind, name, states, version) in [
            ("FIRMWARE", "fw", "fw_state", "firmware"),
            ("SOFTWARE", "sw", "sw_state", "software"),
        ] {
            home.write(&format!("registry/packages/{name}.bin"), &contents(name));
            home.write(
                &format!("registry/packages/{name}.json"),
                &package(kind, name),
            );
            server.expect_log("registry read again");
            expect(&home, states, "UPDATED");
            expect(&home, version, "2.0");
            let lines = home.telemetry();
            let failed = lines.iter().any(|line| line["values"][states] == "FAILED");
            assert!(!failed, "{strategy}: {lines:#?}");
        }
    }
}

#[test]
fn a_package_whose_file_is_damaged_is_not_given_to_devices() {
    let (home, mut server, _device) = start(1);
    home.write("registry/packages/fw.bin", &contents("fw"));
    let checksum = "0".repeat(64);
    let entry =
        package("FIRMWARE", "fw").replacen('{', &format!(r#"{{"checksum": "{checksum}","#), 1);
    home.write("registry/packages/fw.json", &entry);
    let record = server.expect_log("is not given to devices");
    assert_eq!(record["level"], "WARN");
    assert_eq!(record["event"], "package_damaged");
    expect(&home, "fw_state", "FAILED");
}

#[test]
fn a_device_that_registers_later_gets_what_was_assigned_before() {
    let home = Home::with_device("urn:dev:updated");
    home.write("registry/profiles/default.json", &profile(1));
    home.write("registry/packages/fw.bin", &contents("fw"));
    home.write("registry/packages/fw.json", &package("FIRMWARE", "fw"));
    let server = Server::start(&home);
    let mut device = register(&home, &server);
    device.expect(PATIENCE, |line| line == "the server executes /5/0/2");
    expect(&home, "fw_state", "UPDATED");
}
