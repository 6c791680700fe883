//! The commands that the README shows to makers of devices, run as they stand.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::Process;
use crate::server::{PATIENCE, Server, get, poll, run};

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
        let said = if let Some(url) = command.strip_prefix("curl http://127.0.0.1:8083") {
            let (status, body) = get(&format!("{}{url}", server.http), None);
            assert_eq!(status, 200, "{command}: {body}");
            body
        } else {
            let url = format!(" --url {}", server.http);
            let url = if command.starts_with("lightship rpc") {
                &url
            } else {
                ""
            };
            let ended = run(&mut reader.shell(&format!("{command}{url}")));
            assert_eq!(ended.status, Some(0), "{command}: {ended:?}");
            ended.stdout
        };
        let expected = match command {
            _ if command.starts_with("grep") => r#""values":{"temperature":23.5}"#,
            _ if command.contains(" Read ") => "value=95, type=INTEGER",
            _ if command.contains(" WriteReplace ") => r#"{"result":"CHANGED"}"#,
            _ => r#""endpoint":"kitchen""#,
        };
        assert!(said.contains(expected), "{command}: {said}");
    }
    poll("the attribute", || {
        let text = std::fs::read_to_string(reader.folder.path().join("telemetry.jsonl"));
        text.expect("it is there")
            .contains(r#""manufacturer":"Lightship""#)
            .then_some(())
    });
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
