//! The registry folder: who is admitted, and what is said of files that are wrong.

use crate::server::{Home, PATIENCE, Server, device, run};
use crate::wire::{Client, Code};

#[test]
fn an_unknown_endpoint_is_refused_and_admitted_by_the_json_that_the_log_shows() {
    let home = Home::new();
    let mut server = Server::start(&home);
    let mut stranger = server.device(&home, "urn:dev:new", &[]);
    stranger.expect(PATIENCE, |line| {
        line.starts_with("refused by the server: 4.03")
    });
    let record = server.expect_log("unknown endpoint refused");
    assert_eq!(record["level"], "WARN");
    let message = record["message"].as_str().expect("it has a message");
    let (_, entry) = message
        .split_once("admits it: ")
        .expect("it shows the JSON");
    assert!(entry.contains(r#""endpoint":"urn:dev:new""#), "{entry}");
    home.write("registry/devices/new.json", entry);
    server.expect_log("registry read again");
    // It tries again by itself.
    stranger.expect(PATIENCE, |line| line.starts_with("registered;"));
}

#[test]
fn accept_unknown_admits_every_endpoint_with_the_default_profile() {
    let home = Home::new();
    let server = Server::start_with(&home, &["--set", "embedded.accept_unknown=true"]);
    let _device = server.registered_device(&home, "urn:dev:anybody");
    home.expect_telemetry(|line| line["values"]["batteryLevel"] == 95);
}

#[test]
fn a_device_that_is_removed_from_the_registry_is_gone() {
    let home = Home::with_device("urn:dev:short");
    let mut server = Server::start(&home);
    let mut client = Client::connect(server.coap);
    let created = client.register("ep=urn:dev:short&lt=300&lwm2m=1.1&b=U");
    assert_eq!(created.code(), Code::CREATED);
    std::fs::remove_file(home.path("registry/devices/urn:dev:short.json")).expect("it is there");
    server.expect_log("registry read again");
    server.expect_log("endpoint ended");
    assert_eq!(client.update(&created).code(), Code::NOT_FOUND);
}

#[test]
fn a44_files_that_are_wrong_end_the_start_with_file_line_and_column() {
    let ddf = "registry/models/3303.xml";
    for (name, content, complaint) in [
        (
            "registry/devices/a.json",
            "{\n  \"deviceName\": 5\n}".to_owned(),
            "registry/devices/a.json:2:17: invalid type: integer, expected a string",
        ),
        (
            "registry/devices/b.json",
            "[\n {,".to_owned(),
            "registry/devices/b.json:2:3: key must be a string",
        ),
        (
            "registry/devices/c.json",
            device("x").replace("default", "defualt"),
            "registry/devices/c.json: /profile: ",
        ),
        (
            "registry/profiles/p.json",
            crate::server::PROFILE.replacen("/3_1.2/0/9", "/3_1.2/x", 1),
            "registry/profiles/p.json:4:",
        ),
        (
            "registry/profiles/q.json",
            crate::server::PROFILE.replace("\"observe\": [", "\"observe\": 7, \"x\": ["),
            "registry/profiles/q.json:4:",
        ),
        (
            ddf,
            "<html>\n  <body>not a model</body>\n</html>".to_owned(),
            "registry/models/3303.xml:1:1: ",
        ),
        (
            ddf,
            "<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ENTITY a \"b\">]>\n<LWM2M>&a;</LWM2M>"
                .to_owned(),
            "registry/models/3303.xml:2:1: ",
        ),
        (
            ddf,
            "<LWM2M>\n  <Object".to_owned(),
            "registry/models/3303.xml:1:1: the root node was opened but never closed",
        ),
    ] {
        let home = Home::new();
        home.write(name, &content);
        let served = run(&mut home.lightship(&["serve", "--set", "log.format=text"]));
        assert_eq!(served.status, Some(2), "{served:?}");
        assert!(served.stdout.contains(complaint), "{complaint}: {served:?}");
        assert!(served.stdout.contains("ERROR"), "{served:?}");
        let checked = run(&mut home.lightship(&["config", "check"]));
        assert_eq!(checked.status, Some(2), "{checked:?}");
        assert!(
            checked.stdout.contains(&format!("error: ./{complaint}")),
            "{complaint}: {checked:?}"
        );
    }
}

#[test]
fn a44_a_file_that_becomes_wrong_is_named_and_changes_nothing() {
    let home = Home::with_device("urn:dev:steady");
    let mut server = Server::start(&home);
    home.write("registry/devices/urn:dev:steady.json", "{");
    let record = server.expect_log("urn:dev:steady.json:1:1: ");
    assert_eq!(record["level"], "ERROR");
    let mut client = Client::connect(server.coap);
    let created = client.register("ep=urn:dev:steady&lt=300&lwm2m=1.1&b=U");
    assert_eq!(created.code(), Code::CREATED);
}

#[test]
fn a_registry_that_is_not_there_is_said_to_be_missing() {
    let home = Home::new();
    let mut server = Server::start_with(&home, &["--set", "embedded.registry_dir=regsitry"]);
    let record = server.expect_log("regsitry");
    assert_eq!(record["level"], "WARN");
    let checked =
        run(&mut home.lightship(&["config", "check", "--set", "embedded.registry_dir=regsitry"]));
    assert_eq!(checked.status, Some(0));
    assert!(checked.stdout.starts_with("warning: "), "{checked:?}");
}
