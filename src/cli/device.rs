//! `lightship device`: one simulated device against any LwM2M server, over plain UDP or DTLS.
#![expect(
    clippy::print_stdout,
    reason = "what happens is what the command is for"
)]

use std::{
    io::BufRead,
    net::{SocketAddr, ToSocketAddrs},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::{net::UdpSocket, sync::mpsc};

use crate::{
    coap::TransmissionParameters,
    dtls::client::ClientEnd,
    lwm2m::{model::core, path::ObjectVersion, value::Value},
    server::clock,
    sim::{
        SimEvent, SimObjects, SimSettings,
        run::{self, SimCommand},
    },
};

use super::{
    security::Security,
    serve::{Signals, complain},
};

/// Arguments of `device`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
While it runs it takes commands on standard input:
  set /3303/0/5700 23.5    sets a value and notifies who observes it
  send /3303/0/5700        sends a value without being asked (Send)
  update                   sends a registration Update
  quit                     de-registers and ends")]
pub struct Device {
    /// The server, `coap://HOST[:PORT]`, or with security `coaps://HOST[:PORT]`; the port is 5685 or 5686 unless given, the
    /// host this machine.
    #[arg(long, value_name = "URI")]
    server: Option<String>,
    #[command(flatten)]
    security: Security,
    /// Ask this bootstrap server which server to register at without security, `coap://HOST[:PORT]`, or with security
    /// `coaps://HOST[:PORT]`; the port is 5687 or 5688 unless given.
    #[arg(long, value_name = "URI", conflicts_with_all = ["server", "listen"])]
    bootstrap: Option<String>,
    /// Endpoint client name.
    #[arg(long, default_value = "lightship-device")]
    endpoint: String,
    /// Registration lifetime in seconds.
    #[arg(long, default_value_t = 300)]
    lifetime: u64,
    /// Notify non-confirmably.
    #[arg(long)]
    non: bool,
    /// Local address; with it the device answers everybody, not its server alone. Port 0 is any free one.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["psk", "key"])]
    listen: Option<SocketAddr>,
    /// Register in Queue Mode: the server keeps requests back once the device was silent for 93 s.
    #[arg(long)]
    queue_mode: bool,
}

impl Device {
    /// Runs until told to quit.
    pub fn run(&self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let result = runtime
            .map_err(anyhow::Error::from)
            .and_then(|runtime| runtime.block_on(self.serve()));
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let security = self.security.config()?;
        let scheme = if security.is_some() { "coaps" } else { "coap" };
        let own = format!("{scheme}://127.0.0.1");
        let (option, uri, ports) = match (&self.bootstrap, &self.server) {
            (Some(uri), _) => ("--bootstrap", uri, [5687, 5688]),
            (None, Some(uri)) => ("--server", uri, [5685, 5686]),
            (None, None) => ("--server", &own, [5685, 5686]),
        };
        let port = ports[usize::from(security.is_some())];
        let server = resolve(option, uri, scheme, port)?;
        let settings = SimSettings {
            endpoint: self.endpoint.clone(),
            lifetime: Duration::from_secs(self.lifetime.max(1)),
            confirmable: !self.non,
            queue_mode: self.queue_mode,
            updates: true,
            coap: Arc::new(TransmissionParameters::default()),
        };
        // Whoever reads the first line may interrupt at once.
        let mut signals = Signals::new()?;
        let socket = match self.listen {
            Some(address) => {
                let socket = UdpSocket::bind(address).await;
                let socket = socket.with_context(|| format!("--listen {address}"))?;
                println!("{} listens on {}", self.endpoint, socket.local_addr()?);
                Some(socket)
            }
            None => None,
        };
        match &self.bootstrap {
            Some(_) => println!("{} asks {server} where to register", self.endpoint),
            None => println!("{} registers at {server}", self.endpoint),
        }
        let (commands, told) = mpsc::channel(16);
        let (events, mut happened) = mpsc::channel(64);
        let typed = commands.clone();
        std::thread::spawn(move || read_commands(&typed));
        let clock = || clock::now().mono;
        let device = async {
            match (socket, &self.bootstrap) {
                (_, Some(uri)) => {
                    let server = (server, uri.as_str());
                    run::run_bootstrapped(
                        server,
                        security,
                        settings,
                        objects(),
                        clock,
                        told,
                        events,
                    )
                    .await
                }
                (Some(socket), None) => {
                    run::run_on(socket, server, settings, objects(), clock, told, events).await
                }
                (None, None) => {
                    run::run(server, security, settings, objects(), clock, told, events).await
                }
            }
        };
        let report = async {
            while let Some(event) = happened.recv().await {
                println!("{}", describe(&event));
            }
        };
        let interrupted = async {
            signals.next().await;
            // The device may have ended by itself.
            commands.send(SimCommand::Deregister).await.ok();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            (result, ()) = async { tokio::join!(device, report) } => Ok(result?),
            () = interrupted => Ok(()),
        }
    }
}

/// The address that `uri` names; `option` is where it was given.
fn resolve(option: &str, uri: &str, scheme: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let host = uri
        .strip_prefix(scheme)
        .and_then(|rest| rest.strip_prefix("://"))
        .with_context(|| {
            format!("{option} must begin with {scheme}://; coaps:// goes with --psk or --key")
        })?;
    let host = host.trim_end_matches('/');
    let host = if host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    host.to_socket_addrs()
        .with_context(|| format!("{option} {uri}"))?
        .next()
        .with_context(|| format!("{option} {uri}: no address"))
}

/// The objects Device, Firmware Update, Software Management and Temperature, with values.
pub(crate) fn objects() -> SimObjects {
    let catalog = core::catalog();
    let mut objects = SimObjects::default();
    for (object, version) in [
        (3, ObjectVersion::new(1, 2)),
        (5, ObjectVersion::new(1, 1)),
        (9, ObjectVersion::new(1, 1)),
        (3303, ObjectVersion::new(1, 1)),
    ] {
        if let Some(model) = catalog.exact(object, version) {
            objects.add_object(Arc::clone(model));
        }
    }
    for (path, value) in [
        ("/3/0/0", Value::String("Lightship".to_owned())),
        ("/3/0/1", Value::String("Simulated device".to_owned())),
        ("/3/0/3", Value::String("1.0".to_owned())),
        ("/3/0/9", Value::Integer(95)),
        ("/3/0/14", Value::String("+00:00".to_owned())),
        ("/3/0/16", Value::String("U".to_owned())),
        ("/3/0/19", Value::String("1.0".to_owned())),
        ("/5/0/3", Value::Integer(0)),
        ("/5/0/5", Value::Integer(0)),
        ("/5/0/6", Value::String("firmware".to_owned())),
        ("/5/0/7", Value::String("1.0".to_owned())),
        ("/5/0/8/0", Value::Integer(0)),
        ("/5/0/9", Value::Integer(2)),
        ("/9/0/0", Value::String("software".to_owned())),
        ("/9/0/1", Value::String("1.0".to_owned())),
        ("/9/0/7", Value::Integer(0)),
        ("/9/0/9", Value::Integer(0)),
        ("/3303/0/5700", Value::Float(21.5)),
        ("/3303/0/5701", Value::String("Cel".to_owned())),
    ] {
        if let Ok(path) = path.parse() {
            objects.set(path, value);
        }
    }
    objects
}

/// What happened, in words.
pub(crate) fn describe(event: &SimEvent) -> String {
    match event {
        SimEvent::Secured(suite) => format!("speaks DTLS with {}", suite.name()),
        SimEvent::Unsecured(end) => format!("DTLS ended: {}", ending(*end)),
        SimEvent::Registered { id } => {
            format!("registered; the server calls the registration {id}")
        }
        SimEvent::Refused { code, text } if text.is_empty() => {
            format!("refused by the server: {code}")
        }
        SimEvent::Refused { code, text } => format!("refused by the server: {code} {text}"),
        SimEvent::Unanswered => "the server does not answer; trying again".to_owned(),
        SimEvent::Updated => "registration updated".to_owned(),
        SimEvent::Deregistered => "de-registered".to_owned(),
        SimEvent::Sent => "the server has taken what was sent".to_owned(),
        SimEvent::SendRefused { code, text } => {
            format!("the server did not take what was sent: {code} {text}")
        }
        SimEvent::SendUnanswered => "the server did not answer what was sent".to_owned(),
        SimEvent::Bootstrapped { server } => {
            format!("bootstrapped; registers at {server}")
        }
        SimEvent::Observed(path) => format!("the server observes {path}"),
        SimEvent::Unobserved(path) => format!("the server observes {path} no more"),
        SimEvent::Attributed(path, query) => {
            format!("the server sets attributes of {path}: {query}")
        }
        SimEvent::Created(path) => format!("the server creates {path}"),
        SimEvent::Deleted(path) => format!("the server deletes {path}"),
        SimEvent::Read(path) => format!("the server reads {path}"),
        SimEvent::Written(path, value) => format!("the server writes {path} = {}", show(value)),
        SimEvent::Executed(path, arguments) if arguments.is_empty() => {
            format!("the server executes {path}")
        }
        SimEvent::Executed(path, arguments) => {
            format!("the server executes {path} with {arguments}")
        }
        SimEvent::Acknowledged(path) => {
            format!("the server has acknowledged the new value of {path}")
        }
        SimEvent::Unacknowledged(path) => {
            format!("the server did not acknowledge {path}; it is observed no more")
        }
    }
}

fn ending(end: ClientEnd) -> String {
    match end {
        ClientEnd::Local => "closed".to_owned(),
        ClientEnd::ByServer => "the server closed it".to_owned(),
        ClientEnd::Alert(code) => format!("the server sent alert {code}"),
        ClientEnd::Refused(alert) => format!("what the server said is refused: {alert:?}"),
        ClientEnd::Timeout => "the server does not answer".to_owned(),
    }
}

fn show(value: &Value) -> String {
    crate::endpoint::rpc::render::Text(value).to_string()
}

fn read_commands(commands: &mpsc::Sender<SimCommand>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let words: Vec<_> = line.splitn(3, ' ').map(str::trim).collect();
        let command = match words.as_slice() {
            ["set", path, value] => match path.parse() {
                Ok(path) => SimCommand::Set(path, (*value).to_owned()),
                Err(error) => {
                    println!("{path}: {error}");
                    continue;
                }
            },
            ["send", path] => match path.parse() {
                Ok(path) => SimCommand::Send(path),
                Err(error) => {
                    println!("{path}: {error}");
                    continue;
                }
            },
            ["update"] => SimCommand::Update,
            ["quit"] => SimCommand::Deregister,
            [""] => continue,
            _ => {
                println!("commands: set PATH VALUE, send PATH, update, quit");
                continue;
            }
        };
        if commands.blocking_send(command).is_err() {
            return;
        }
    }
    // End of input is no command: the device goes on.
}
