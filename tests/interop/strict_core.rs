//! The strict core as a program, as `docs/strict-core.md` tells.

use std::process::Command;

use crate::{
    peers::process::Process,
    scene::{Lightship, PATIENCE, PROFILE},
    support::ddf,
};
use lightship::lwm2m::path::ObjectVersion;

#[test]
fn the_strict_core_as_a_program_serves_a_transport_that_it_does_not_know() {
    let folder = tempfile::tempdir().expect("a scratch folder can be made");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("the scratch folder can be written");
        path.display().to_string()
    };
    let profile = file("profile.json", PROFILE.as_bytes());
    let model = file(
        "3.xml",
        ddf::built_in(3, ObjectVersion::new(1, 2)).as_bytes(),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_strict-core"));
    command.args(["--prefix", "program", "--instances", "2"]);
    let mut core = Process::spawn("strict-core", &mut command);
    let address = core.expect_words(PATIENCE, "a strict core on");
    core.send_line(&format!("profile thermometer {profile}"));
    core.send_line(&format!("model {model}"));
    core.send_line("device urn:program:1 thermometer");
    core.send_line("device urn:program:2 unheard-of");
    core.expect_words(PATIENCE, "error no such profile");

    let lightship = Lightship::start(&address, "program");
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .args(["device", "--server", &lightship.uri()])
        .args(["--endpoint", "urn:program:1"]);
    let _device = Process::spawn("device", &mut command);
    core.expect(PATIENCE, |line| line == "session urn:program:1 open");
    core.expect(PATIENCE, |line| {
        line.starts_with("telemetry urn:program:1") && line.ends_with(r#"{"batteryLevel":95}"#)
    });
    core.expect(PATIENCE, |line| {
        line == r#"attribute urn:program:1 manufacturer "Lightship""#
    });
    core.send_line(r#"rpc urn:program:1 Read {"id":"/3_1.2/0/9"}"#);
    core.expect(PATIENCE, |line| {
        line.starts_with("reply ") && line.contains("value=95")
    });
    core.send_line("restart lost");
    core.expect(PATIENCE, |line| line == "session urn:program:1 closed");
    core.send_line("quit");
    assert!(core.wait(PATIENCE).success());
}
