//! The strict core as a program: a core for trying a transport by hand or from a script, on any Kafka broker or on one of
//! its own. Built with `--features strict-core`; `docs/strict-core.md` tells how it is used.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to whoever runs it"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what helps tests fails by panicking"
)]

#[path = "../mod.rs"]
mod support;

use std::{
    collections::BTreeMap,
    io::BufRead,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::mpsc,
    time::Duration,
};

use clap::Parser;
use lightship::platform::uplink::KeyValue;
use uuid::Uuid;

use crate::support::{
    mock_broker::MockBroker,
    strict_core::{Cache, Close, CoreOptions, RpcOptions, RpcProgress, StrictCore},
};

/// Plays the platform core and holds what a transport says against the platform's wire format.
#[derive(Debug, Parser)]
#[command(name = "strict-core", after_help = COMMANDS)]
struct Arguments {
    /// Brokers; without them one runs inside this program, with the topics of the transport `ls-0`.
    #[arg(long, value_name = "HOST:PORT,..")]
    bootstrap_servers: Option<String>,
    /// Prefix of topics.
    #[arg(long, default_value = "")]
    prefix: String,
    /// Service id of the transport that is told of changes.
    #[arg(long, default_value = "ls-0")]
    service_id: String,
    /// Instances that share the work.
    #[arg(long, default_value_t = 1)]
    instances: usize,
    /// Seconds without a report after which a session is closed.
    #[arg(long, default_value_t = 600)]
    inactivity: u64,
}

const COMMANDS: &str = "\
Commands on standard input; NAME is a device's:
  profile PROFILE FILE        a device profile; FILE holds its transportConfiguration (JSON). Again: changes it
  model FILE                  object models (XML)
  device NAME PROFILE         a NoSec device whose endpoint name is NAME
  delete NAME                 deletes it
  set NAME KEY TEXT           a shared attribute
  rpc NAME METHOD [PARAMS]    a command; `rpc-persistent` one that is kept
  close NAME                  closes its session, as by a timeout
  restart kept | lost         all instances start anew, with their sessions or without
  stop N | start N            one instance
  silent on | off             questions are not answered
  garble on | off             answers are no protobuf
  delay MS                    answers and notifications are late
  repeat N                    each of them comes N times
  quit                        ends; the exit status is 1 if a rule was broken";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let broker = arguments
        .bootstrap_servers
        .is_none()
        .then(|| MockBroker::start(&arguments.prefix, &arguments.service_id));
    let address = broker.as_ref().map_or_else(
        || arguments.bootstrap_servers.clone().unwrap_or_default(),
        MockBroker::bootstrap_servers,
    );
    let options = CoreOptions {
        instances: arguments.instances.max(1),
        inactivity: Duration::from_secs(arguments.inactivity),
        ..CoreOptions::default()
    };
    let core = StrictCore::start_with(&address, &arguments.prefix, options);
    println!("a strict core on {address}");
    let mut program = Program {
        service_id: arguments.service_id,
        core,
        profiles: BTreeMap::new(),
        devices: BTreeMap::new(),
        rpcs: Vec::new(),
        violations: 0,
    };
    let (typed, commands) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if typed.send(line).is_err() {
                return;
            }
        }
    });
    loop {
        match commands.recv_timeout(Duration::from_millis(100)) {
            Ok(line) if line.trim() == "quit" => break,
            Ok(line) => {
                if let Err(problem) = program.obey(&line) {
                    println!("error {problem}");
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        program.report();
    }
    program.end()
}

struct Program {
    service_id: String,
    core: StrictCore,
    profiles: BTreeMap<String, Uuid>,
    devices: BTreeMap<String, Device>,
    /// Commands that may still make progress, with what was told of them.
    rpcs: Vec<(Uuid, RpcProgress)>,
    violations: usize,
}

/// A device, and what was told of it.
struct Device {
    id: Uuid,
    has_session: bool,
    readings: usize,
    attributes: BTreeMap<String, serde_json::Value>,
}

impl Program {
    fn obey(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.splitn(4, ' ').map(str::trim).collect();
        match words.as_slice() {
            ["" | "#", ..] => {}
            ["profile", name, file] => self.profile(name, &read(file)?),
            ["model", file] => self.core.add_model(&read(file)?),
            ["device", name, profile] => {
                let profile = self.profiles.get(*profile).ok_or("no such profile")?;
                let device = Device {
                    id: self.core.add_nosec_device(name, *profile),
                    has_session: false,
                    readings: 0,
                    attributes: BTreeMap::new(),
                };
                self.devices.insert((*name).to_owned(), device);
            }
            ["delete", name] => self
                .core
                .delete_device(self.device(name)?, &self.service_id),
            ["set", name, key, value] => {
                let value = KeyValue::String((*value).to_owned());
                self.core
                    .set_attributes(self.device(name)?, &[(key, value)]);
            }
            ["rpc", name, method] => self.rpc(name, method, "null", false)?,
            ["rpc", name, method, params] => self.rpc(name, method, params, false)?,
            ["rpc-persistent", name, method] => self.rpc(name, method, "null", true)?,
            ["rpc-persistent", name, method, params] => self.rpc(name, method, params, true)?,
            ["close", name] => {
                let device = self.device(name)?;
                if !self.core.has_session(device) {
                    return Err("it has no session".to_owned());
                }
                self.core.close_session(device, Close::SessionTimeout);
            }
            ["restart", "kept"] => self.core.restart(Cache::Kept),
            ["restart", "lost"] => self.core.restart(Cache::Lost),
            ["stop", instance] => self.core.stop_instance(self.instance(instance)?),
            ["start", instance] => self
                .core
                .start_instance(self.instance(instance)?, Cache::Kept),
            ["silent", switch] => self.core.silent(*switch == "on"),
            ["garble", switch] => self.core.garble_answers(*switch == "on"),
            ["delay", ms] => self.core.delay(Duration::from_millis(number(ms)?)),
            ["repeat", times] => {
                let times = usize::try_from(number(times)?).map_err(|error| error.to_string())?;
                self.core.repeat_answers(times);
                self.core.repeat_notifications(times);
            }
            _ => return Err(format!("no such command: {line}")),
        }
        Ok(())
    }

    fn profile(&mut self, name: &str, configuration: &str) {
        if let Some(id) = self.profiles.get(name) {
            return self
                .core
                .change_profile(*id, configuration, &self.service_id);
        }
        let id = self.core.add_profile(name, configuration, None);
        self.profiles.insert(name.to_owned(), id);
    }

    fn rpc(
        &mut self,
        name: &str,
        method: &str,
        params: &str,
        persisted: bool,
    ) -> Result<(), String> {
        let options = RpcOptions {
            persisted,
            ..RpcOptions::default()
        };
        let id = self
            .core
            .rpc_with(self.device(name)?, method, params, options);
        println!("rpc {id} {name} {method}");
        self.rpcs.push((id, RpcProgress::default()));
        Ok(())
    }

    fn device(&self, name: &str) -> Result<Uuid, String> {
        let device = self.devices.get(name);
        device
            .map(|device| device.id)
            .ok_or_else(|| format!("no device {name}"))
    }

    fn instance(&self, text: &str) -> Result<usize, String> {
        let instance = usize::try_from(number(text)?).map_err(|error| error.to_string())?;
        (instance < self.core.instances())
            .then_some(instance)
            .ok_or_else(|| format!("no instance {instance}"))
    }

    /// Says what is new.
    fn report(&mut self) {
        for (name, device) in &mut self.devices {
            let has_session = self.core.has_session(device.id);
            if std::mem::replace(&mut device.has_session, has_session) != has_session {
                println!(
                    "session {name} {}",
                    if has_session { "open" } else { "closed" }
                );
            }
            for reading in self.core.telemetry(device.id).iter().skip(device.readings) {
                device.readings += 1;
                let values = serde_json::Value::Object(reading.values.clone());
                println!("telemetry {name} {} {values}", reading.ts);
            }
            let attributes = self.core.attributes(device.id);
            for (key, value) in &attributes {
                if device.attributes.get(key) != Some(value) {
                    println!("attribute {name} {key} {value}");
                }
            }
            device.attributes = attributes;
        }
        for (id, told) in &mut self.rpcs {
            let progress = self.core.rpc_progress(*id);
            for status in progress.statuses.iter().skip(told.statuses.len()) {
                println!("status {id} {status}");
            }
            if let (Some(Ok(text) | Err(text)), None) = (&progress.reply, &told.reply) {
                println!("reply {id} {text}");
            }
            *told = progress;
        }
        self.rpcs.retain(|(_, told)| told.reply.is_none());
        let violations = self.core.violations();
        for violation in violations.iter().skip(self.violations) {
            println!("violation {violation}");
        }
        self.violations = violations.len();
    }

    fn end(mut self) -> ExitCode {
        self.report();
        if self.core.finish().is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn read(file: &str) -> Result<String, String> {
    let path: PathBuf = Path::new(file).to_owned();
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
