//! `lightship demo`, as the README's first line runs it.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::server::{PATIENCE, get, lightship, run};

/// `demo` begins at fixed ports and takes the next free ones; two at once would make each other move on.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn demo_shows_its_six_things_in_order_and_an_interrupt_ends_it_within_2_s() {
    let mut demo = Demo::start();
    for (step, beginning) in SIX_THINGS.iter().enumerate() {
        demo.process
            .expect(PATIENCE, |line| line.starts_with(beginning));
        let number = format!("{}. ", step + 1);
        assert!(beginning.starts_with(&number));
    }
    demo.process
        .expect(PATIENCE, |line| line.contains("Ctrl-C ends it"));
    let lines = demo.process.lines();
    let positions: Vec<_> = SIX_THINGS
        .iter()
        .map(|beginning| lines.iter().position(|line| line.starts_with(beginning)))
        .collect();
    assert!(
        positions.is_sorted() && positions.iter().all(Option::is_some),
        "{lines:#?}"
    );
    let text = lines.join("\n");
    for shown in [
        " demo-1: registered; ",
        "demo-1 telemetry batteryLevel = 95\n",
        "demo-1 telemetry temperature = 21.5\n",
        "demo-1 attribute manufacturer = Lightship\n",
        r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=95, type=INTEGER]"}"#,
    ] {
        assert!(text.contains(shown), "{shown} is not in:\n{text}");
    }
    let folder = demo.registry();
    assert!(folder.join("profiles/demo.json").exists());
    // What it offers to be copied works: the HTTP side, a command, a client of one's own.
    let http = demo.after("6. The HTTP side is at ");
    let (status, endpoints) = get(&format!("{http}/api/endpoints"), None);
    assert!(
        status == 200 && endpoints.contains(r#""endpoint":"demo-1""#),
        "{endpoints}"
    );
    let answer = run(&mut demo.copied(" rpc demo-1 "));
    assert_eq!((answer.status, answer.stderr.as_str()), (Some(0), ""));
    let mut device = Process::spawn("my-device", &mut demo.copied(" device --server "));
    device.expect(PATIENCE, |line| line.starts_with("registered;"));
    demo.process.expect(PATIENCE, |line| {
        line.contains("my-device telemetry temperature")
    });

    let interrupted = Instant::now();
    demo.process.signal("INT");
    let status = demo.process.wait(PATIENCE);
    let took = interrupted.elapsed();
    assert_eq!(status.code(), Some(0), "{:#?}", demo.process.lines());
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn demo_takes_the_next_free_ports_and_says_so() {
    let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever has the ports already is as good as this test.
    let taken = (
        UdpSocket::bind("127.0.0.1:5685"),
        TcpListener::bind("127.0.0.1:8083"),
    );
    let mut demo = Demo::start_alone(one);
    let coap = demo.after("1. It listens for devices at coap://127.0.0.1:");
    let http = demo.after("6. The HTTP side is at http://127.0.0.1:");
    for (shown, wanted) in [(coap, 5685), (http, 8083)] {
        let (port, note) = shown.split_once(' ').expect("there is a note");
        assert!(port.parse::<u16>().expect("it is a port") > wanted);
        assert_eq!(note, format!("(port {wanted} is taken)"));
    }
    drop(taken);
    // The sim's own ports are as free as ever: it still ends in order.
    demo.process.signal("TERM");
    assert_eq!(demo.process.wait(PATIENCE).code(), Some(0));
}

#[test]
fn every_example_of_the_help_of_rpc_works_on_the_demo_device() {
    let mut demo = Demo::start();
    let http = demo.after("6. The HTTP side is at ");
    let http = http.split(' ').next().expect("it is an address");
    let help = run(&mut lightship(&demo.folder, &["rpc", "--help"])).stdout;
    let examples: Vec<_> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("lightship rpc demo-1 "))
        .collect();
    assert_eq!(examples.len(), 17, "{help}");
    for example in examples {
        let program = env!("CARGO_BIN_EXE_lightship");
        let mut shell = Command::new("sh");
        let ended = run(shell.args([
            "-c",
            &format!("{program} rpc --url {http} demo-1 {example}"),
        ]));
        assert_eq!(
            (ended.status, ended.stderr.as_str()),
            (Some(0), ""),
            "{example}: {ended:?}"
        );
        let reply: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
        assert!(reply["result"].is_string(), "{example}: {reply}");
        assert!(reply.get("error").is_none(), "{example}: {reply}");
    }
}

#[test]
fn b1_demo_shows_a_bootstrap_in_one_command() {
    let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut demo = Demo::start_with(one, &["demo", "--bootstrap"]);
    for beginning in [
        "3. A simulated device asks coap://127.0.0.1:",
        "     demo-1: bootstrapped; registers at coap://127.0.0.1:",
        "     demo-1: registered; ",
        "4. Values arrive",
    ] {
        demo.process
            .expect(PATIENCE, |line| line.starts_with(beginning));
    }
    demo.process.signal("INT");
    assert_eq!(demo.process.wait(PATIENCE).code(), Some(0));
}

struct Demo {
    process: Process,
    folder: TempDir,
    _one: MutexGuard<'static, ()>,
}

impl Demo {
    fn start() -> Self {
        Self::start_alone(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn start_alone(one: MutexGuard<'static, ()>) -> Self {
        Self::start_with(one, &["demo"])
    }

    fn start_with(one: MutexGuard<'static, ()>, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let mut command = lightship(&folder, arguments);
        command.env("TMPDIR", folder.path());
        Self {
            process: Process::spawn("demo", &mut command),
            folder,
            _one: one,
        }
    }

    /// What follows `beginning` on its line.
    fn after(&mut self, beginning: &str) -> String {
        if let Some(line) = self
            .process
            .lines()
            .iter()
            .find(|line| line.starts_with(beginning))
        {
            return line.replacen(beginning, "", 1);
        }
        let line = self
            .process
            .expect(PATIENCE, |line| line.starts_with(beginning));
        line.replacen(beginning, "", 1)
    }

    /// The temporary folder it made.
    fn registry(&self) -> PathBuf {
        let mut made = fs::read_dir(self.folder.path()).expect("it can be listed");
        let first = made
            .next()
            .expect("there is a folder")
            .expect("it can be listed");
        assert!(made.next().is_none(), "there is one folder");
        first.path()
    }

    /// The command that it shows with `part` in it, as a shell runs it.
    fn copied(&self, part: &str) -> Command {
        let lines = self.process.lines();
        let line = lines
            .iter()
            .find(|line| line.contains(part))
            .expect("it is shown");
        let program = env!("CARGO_BIN_EXE_lightship");
        let begin = line.find(program).expect("it begins with the program");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", line.split_at(begin).1)]);
        command
    }
}

const SIX_THINGS: [&str; 6] = [
    "1. It listens for devices at coap://127.0.0.1:",
    "2. Connect a client of your own",
    "3. A simulated device registers",
    "4. Values arrive",
    "5. A command reaches the device",
    "6. The HTTP side is at http://127.0.0.1:",
];
