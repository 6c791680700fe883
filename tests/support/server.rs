//! A server of a test's own, and what one does with it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;

/// How long anything may take that is not itself a matter of time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with an environment and a working folder in which nothing of this machine counts.
pub(crate) fn lightship(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir(folder.path())
        .args(arguments);
    command
}

/// What a program that ended has left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let output = command.output().expect("the binary starts");
    Ended {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("it prints UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("it prints UTF-8"),
    }
}

/// A working folder with `lightship.toml` and the registry it names: one profile, no device.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().expect("there is a temporary folder"),
        };
        home.write("lightship.toml", SETTINGS);
        home.write("registry/profiles/default.json", PROFILE);
        home
    }

    pub(crate) fn with_device(endpoint: &str) -> Self {
        let home = Self::new();
        home.write(
            &format!("registry/devices/{endpoint}.json"),
            &device(endpoint),
        );
        home
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file as a whole: nobody sees half of it.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("folders can be made");
        let new = self.path("new");
        fs::write(&new, content).expect("a file can be written");
        fs::rename(new, path).expect("a file can be renamed");
    }

    pub(crate) fn lightship(&self, arguments: &[&str]) -> Command {
        lightship(&self.folder, arguments)
    }

    /// The lines of JSON written so far.
    pub(crate) fn telemetry(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("telemetry.jsonl")).expect("the output is there");
        // A line is whole once its end is written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).expect("each line is JSON"))
            .collect()
    }

    /// Waits until a line of JSON satisfies `predicate`.
    pub(crate) fn expect_telemetry(&self, predicate: impl Fn(&Value) -> bool) -> Value {
        poll("the line of JSON", || {
            self.telemetry().into_iter().find(|line| predicate(line))
        })
    }
}

/// A running `lightship serve` on free ports.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) coap: SocketAddr,
    #[allow(dead_code, reason = "shared with other test programs")]
    pub(crate) coaps: SocketAddr,
    pub(crate) http: String,
}

impl Server {
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_with(home, &[])
    }

    /// Starts with further arguments, and waits until it is ready.
    pub(crate) fn start_with(home: &Home, arguments: &[&str]) -> Self {
        let mut command = home.lightship(&["serve"]);
        Self::of(Process::spawn("lightship", command.args(arguments)))
    }

    /// Waits until a server that has been started is ready.
    pub(crate) fn of(mut process: Process) -> Self {
        let coap = listening(&mut process, "serving LwM2M over CoAP");
        let http = listening(
            &mut process,
            "serving health, metrics and the API over HTTP",
        );
        let coaps = listening(&mut process, "serving LwM2M over DTLS");
        let server = Self {
            process,
            coap,
            coaps,
            http: format!("http://{http}"),
        };
        poll("readiness", || {
            (server.get("/readyz").0 == 200).then_some(())
        });
        server
    }

    /// Status and body of a page.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(&format!("{}{path}", self.http), None)
    }

    /// The value of a metric, its labels in the name.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.get("/metrics");
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no metric {name} in:\n{page}"))
    }

    /// Waits for a log record whose message contains `text`.
    pub(crate) fn expect_log(&mut self, text: &str) -> Value {
        expect_log(&mut self.process, text)
    }

    /// Starts `lightship device` against this server.
    pub(crate) fn device(&self, home: &Home, endpoint: &str, arguments: &[&str]) -> Process {
        let server = format!("coap://{}", self.coap);
        let mut command = home.lightship(&["device", "--server", &server, "--endpoint", endpoint]);
        Process::spawn(endpoint, command.args(arguments))
    }

    /// Starts a device and waits until it is registered and observed.
    pub(crate) fn registered_device(&self, home: &Home, endpoint: &str) -> Process {
        let mut device = self.device(home, endpoint, &[]);
        device.expect(PATIENCE, |line| line.starts_with("registered;"));
        for path in ["/3/0/9", "/3303/0/5700"] {
            let observed = format!("the server observes {path}");
            device.expect(PATIENCE, |line| line == observed);
        }
        device
    }

    /// Runs `lightship rpc` against this server.
    pub(crate) fn rpc(&self, home: &Home, arguments: &[&str]) -> Ended {
        let mut command = home.lightship(&["rpc", "--url", &self.http]);
        run(command.args(arguments))
    }
}

/// Waits for a log record whose message contains `text`.
pub(crate) fn expect_log(process: &mut Process, text: &str) -> Value {
    let is_it = |line: &str| {
        let record: Option<Value> = serde_json::from_str(line).ok();
        record.filter(|record| record["message"].as_str().is_some_and(|m| m.contains(text)))
    };
    let line = process.expect(PATIENCE, |line| is_it(line).is_some());
    is_it(&line).expect("it was it")
}

fn listening(process: &mut Process, text: &str) -> SocketAddr {
    let record = expect_log(process, text);
    let address = record["address"].as_str().expect("the address is logged");
    address.parse().expect("it is an address")
}

/// Status and body of a page, asked for with this token.
pub(crate) fn get(url: &str, token: Option<&str>) -> (u16, String) {
    let mut request = agent().get(url);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    read(request.call())
}

/// Status and body of the answer to JSON.
#[allow(dead_code, reason = "shared with other test programs")]
pub(crate) fn post(url: &str, body: &str) -> (u16, String) {
    let request = agent().post(url).content_type("application/json");
    read(request.send(body))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = answer.expect("the HTTP side answers");
    let body = response.body_mut().read_to_string().expect("it is text");
    (response.status().as_u16(), body)
}

/// Looks again and again until there is something.
///
/// # Panics
/// When there is nothing for too long.
pub(crate) fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A device file without security.
pub(crate) fn device(endpoint: &str) -> String {
    format!(
        r#"{{"deviceName":"{endpoint}","profile":"default","credentials":{{"client":{{"securityConfigClientMode":"NO_SEC","endpoint":"{endpoint}"}}}}}}"#
    )
}

/// What makes a test independent of the machine, and no more.
const SETTINGS: &str = r#"
[lwm2m.server]
bind = "127.0.0.1"
port = 0
secure_bind = "127.0.0.1"
secure_port = 0
[lwm2m.bootstrap]
bind = "127.0.0.1"
port = 0
secure_bind = "127.0.0.1"
secure_port = 0
[http]
bind = "127.0.0.1:0"
[log]
format = "json"
[embedded]
output = "jsonl:telemetry.jsonl"
"#;

/// Battery level and temperature as telemetry, both observed; the manufacturer as attribute.
pub(crate) const PROFILE: &str = r#"{
  "type": "LWM2M",
  "observeAttr": {
    "observe": ["/3_1.2/0/9", "/3303_1.1/0/5700"],
    "attribute": ["/3_1.2/0/0"],
    "telemetry": ["/3_1.2/0/9", "/3303_1.1/0/5700"],
    "keyName": {
      "/3_1.2/0/0": "manufacturer",
      "/3_1.2/0/9": "batteryLevel",
      "/3303_1.1/0/5700": "temperature"
    },
    "attributeLwm2m": {}
  }
}
"#;
