//! The commands that the README shows to makers of devices, and those of the page on embedded mode, run as they stand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::server::{PATIENCE, Server, get, poll, post, run};

#[test]
fn what_the_readme_shows_to_makers_of_devices_works() {
    let readme = include_str!("../../README.md");
    let section = section(readme, "## I make a device");
    let [setup, device, commands] = blocks(section)[..] else {
        panic!("three terminals are shown: {section}");
    };
    let reader = Reader::new();

    let (prepare, serve) = setup.rsplit_once('\n').expect("serve is the last line");
    let prepared = run(&mut reader.shell(&format!("set -e\n{prepare}")));
    assert_eq!(prepared.status, Some(0), "{prepared:?}");
    assert_eq!(prepared.stdout, "the settings are valid\n");
    let server = Server::of(Process::spawn(
        "serve",
        &mut reader.shell(&format!("exec {serve}")),
    ));

    let coap = format!(" --server coap://{}", server.coap);
    let mut device = Process::spawn("device", &mut reader.shell(&format!("exec {device}{coap}")));
    device.expect(PATIENCE, |line| line == "the server observes /3303/0/5700");
    device.send_line("set /3303/0/5700 23.5");
    device.expect(PATIENCE, |line| {
        line.starts_with("the server has acknowledged")
    });

    for command in commands.lines() {
        let (status, said) = reader.type_in(command, &server);
        assert_eq!(status, 0, "{command}: {said}");
        let expected = match command {
            _ if command.starts_with("grep") => r#""values":{"temperature":23.5}"#,
            _ if command.contains(" Read ") => "value=95, type=INTEGER",
            _ if command.contains(" WriteReplace ") => r#"{"result":"CHANGED"}"#,
            _ if command.contains(" -d ") => r#"{"timezone":"Europe/Kyiv"}"#,
            _ => r#""endpoint":"kitchen""#,
        };
        assert!(said.contains(expected), "{command}: {said}");
    }
    poll("the attribute", || {
        let text = fs::read_to_string(reader.folder.path().join("telemetry.jsonl"));
        text.expect("it is there")
            .contains(r#""manufacturer":"Lightship""#)
            .then_some(())
    });
}

#[test]
fn commands_and_attributes_of_the_page_on_embedded_mode_are_answered_as_it_says() {
    let page = include_str!("../../docs/embedded.md");
    let reader = Reader::new();
    for file in ["devices/kitchen.json", "profiles/thermometer.json"] {
        let (_, rest) = page
            .split_once(&format!("`registry/{file}`:\n"))
            .expect("it is shown");
        let path = reader.folder.path().join("registry").join(file);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("folders can be made");
        fs::write(path, format!("{}\n", blocks(rest)[0])).expect("files can be written");
    }
    let mut serve = reader.shell("exec lightship serve");
    let server = Server::of(Process::spawn("serve", &mut serve));
    let device = format!(
        "exec lightship device --endpoint kitchen --server coap://{}",
        server.coap
    );
    let mut device = Process::spawn("device", &mut reader.shell(&device));
    device.expect(PATIENCE, |line| line == "the server observes /3303/0/5700");
    device.send_line("set /3303/0/5700 23.5");
    device.expect(PATIENCE, |line| {
        line.starts_with("the server has acknowledged")
    });

    for heading in ["## Commands", "## Shared attributes"] {
        for pair in blocks(section(page, heading)).chunks(2) {
            let [commands, answers] = pair else {
                panic!("commands without answers: {pair:?}");
            };
            let mut said = String::new();
            for command in commands.lines() {
                said.push_str(&reader.type_in(command, &server).1);
                if command.contains(" -d ") {
                    device.expect(PATIENCE, |line| {
                        line == "the server writes /3/0/15 = Europe/Kyiv"
                    });
                }
            }
            assert_eq!(said.trim_end(), *answers);
        }
    }
    let (status, description) = get(&format!("{}/api/openapi.json", server.http), None);
    let description: Value = serde_json::from_str(&description).expect("it is JSON");
    assert_eq!((status, &description["openapi"]), (200, &"3.1.0".into()));
}

/// Somebody with a shell, in a folder of their own, with `lightship` on the path.
struct Reader {
    folder: TempDir,
    path: String,
}

impl Reader {
    fn new() -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_lightship"));
        let place = binary
            .parent()
            .map(PathBuf::from)
            .expect("it is in a folder");
        let rest = std::env::var("PATH").expect("there is a path");
        Self {
            folder: tempfile::tempdir().expect("there is a temporary folder"),
            path: format!("{}:{rest}", place.display()),
        }
    }

    /// Types in a command that talks to this server: `curl` with `-d` or without, or a program. Exit status, and what it
    /// said on both outputs.
    fn type_in(&self, command: &str, server: &Server) -> (i32, String) {
        let Some(arguments) = command.strip_prefix("curl ") else {
            let url = format!(" --url {}", server.http);
            let is_rpc = command.starts_with("lightship rpc");
            let command = format!("{command}{}", if is_rpc { &url } else { "" });
            let ended = run(&mut self.shell(&command));
            let said = format!("{}{}", ended.stdout, ended.stderr);
            return (ended.status.expect("it exited"), said);
        };
        let (options, path) = arguments
            .split_once("http://127.0.0.1:8083")
            .expect("it is our HTTP side");
        let url = format!("{}{path}", server.http);
        let (status, body) = match options.split_once(" -d '") {
            None => get(&url, None),
            Some((header, body)) => {
                assert_eq!(header, "-H 'Content-Type: application/json'");
                post(&url, body.trim_end().trim_end_matches('\''))
            }
        };
        (i32::from(status != 200), format!("{body}\n"))
    }

    /// A shell that runs `script` here. Ports are free ones of this machine alone; all else is as it is by default.
    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("LIGHTSHIP__LWM2M__SERVER__BIND", "127.0.0.1")
            .env("LIGHTSHIP__LWM2M__SERVER__PORT", "0")
            .env("LIGHTSHIP__LWM2M__BOOTSTRAP__BIND", "127.0.0.1")
            .env("LIGHTSHIP__LWM2M__BOOTSTRAP__PORT", "0")
            .env("LIGHTSHIP__LWM2M__SERVER__SECURE_PORT", "0")
            .env("LIGHTSHIP__LWM2M__BOOTSTRAP__SECURE_PORT", "0")
            .env("LIGHTSHIP__HTTP__BIND", "127.0.0.1:0")
            .current_dir(self.folder.path())
            .args(["-c", script]);
        command
    }
}

/// What stands between a heading and the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text
        .split_once(heading)
        .unwrap_or_else(|| panic!("{heading} is missing"));
    rest.split_once("\n## ")
        .map_or(rest, |(section, _)| section)
}

/// The fenced blocks, without their fences.
fn blocks(section: &str) -> Vec<&str> {
    let parts = section.split("\n```");
    let fenced = parts.skip(1).step_by(2);
    fenced
        .map(|block| block.split_once('\n').map_or("", |(_, text)| text))
        .collect()
}
