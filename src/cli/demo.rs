//! `lightship demo`: everything on one machine with nothing configured, shown step by step.
#![expect(clippy::print_stdout, reason = "showing is what the command is for")]

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use tokio::sync::{broadcast, mpsc};

use crate::{
    coap::TransmissionParameters,
    config::{LogFormat, LogSettings, Mode, Settings},
    dtls::client::ClientConfig,
    platform::{
        embedded::{Embedded, Event, EventKind, OutputTarget},
        uplink::KeyValue,
    },
    server::{clock, http::ApiAccess},
    sim::{
        SimEvent, SimSettings,
        run::{self, SimCommand},
    },
};

use super::{
    device, keygen, logging,
    security::pre_shared_key,
    serve::{Signals, complain, stop},
    service::{PlatformSide, Ports, Service, StartOptions},
};

/// Arguments of `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// How many simulated devices to run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=1000))]
    devices: u16,
    /// Let the devices ask the bootstrap server first where to register.
    #[arg(long)]
    bootstrap: bool,
}

impl Demo {
    /// Runs until interrupted.
    pub fn run(&self) -> ExitCode {
        let log = LogSettings {
            format: Some(LogFormat::Text),
            level: "warn".to_owned(),
        };
        if let Err(error) = logging::init(&log) {
            complain(&error);
            return ExitCode::FAILURE;
        }
        match actix::System::new().block_on(self.show()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    async fn show(&self) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        let options = StartOptions {
            next_free_port: true,
        };
        let registry = Registry::new()?;
        let mut wanted = settings(&registry.folder);
        let (wanted_coap, wanted_http) = (wanted.lwm2m.server.port, wanted.http.bind.port());
        // The profile tells devices the port, so it has to be known before the start.
        let coap = Ports::new(options).find(wanted.lwm2m.server.address())?;
        wanted.lwm2m.server.port = coap.port();
        registry
            .fill(coap)
            .context("a temporary folder cannot be made")?;
        let service = Service::start(wanted, options).await?;
        // Without the feature `kafka` there is nothing else.
        #[allow(
            irrefutable_let_patterns,
            clippy::allow_attributes,
            reason = "depends on the feature `kafka`"
        )]
        let PlatformSide::Embedded(embedded) = &service.platform else {
            anyhow::bail!("demo is embedded mode")
        };
        let (coap, http) = (service.server.address(), service.http.address());
        let bootstrap = service.server.bootstrap_address();
        let coaps = service.server.secure_address();
        introduce(coap, wanted_coap, bootstrap, coaps, &registry.psk);
        let mut arriving = embedded.events();
        let mut devices = self.start_devices(coap, bootstrap.filter(|_| self.bootstrap));
        if let (Some(coaps), Some(security)) = (coaps, pre_shared_key(&registry.psk))
            && self.devices > 0
        {
            println!("   Another one does so over DTLS, with a pre-shared key:");
            let sim = SimDevice {
                name: SECURED.to_owned(),
                number: 0,
                server: coaps,
                security: Some(security),
                bootstrap: None,
            };
            devices.push(start_device(sim));
        }
        let tour = async {
            watch_values(&mut arriving, VALUES_SHOWN).await;
            if self.devices > 0 {
                command(embedded, "demo-1").await;
            }
            println!(
                "\n6. The HTTP side is at http://{http}{}",
                taken(wanted_http, http.port())
            );
            println!("     endpoints and their values   curl http://{http}/api/endpoints");
            println!(
                "     a command from the shell     {} rpc demo-1 Read /3/0/9 --url http://{http}",
                program()
            );
            println!("     events as they happen        curl -N http://{http}/api/events");
            println!("     metrics                      curl http://{http}/metrics");
            println!(
                "\n7. New firmware goes to every device when its description is in the folder:"
            );
            let packages = registry.folder.join("packages");
            let packages = packages.display();
            println!("     echo 'demo-firmware 2.0' > {packages}/fw.bin");
            println!("     echo '{PACKAGE}' > {packages}/fw.json");
            println!("\nValues keep arriving; Ctrl-C ends it.\n");
            watch_values(&mut arriving, usize::MAX).await;
        };
        tokio::select! {
            () = tour => {}
            () = signals.next() => {}
        }
        println!("\nStopping.");
        drop(devices);
        stop(service, &mut signals).await;
        Ok(())
    }

    /// Starts the simulated devices; they end when what is returned is dropped.
    fn start_devices(
        &self,
        server: SocketAddr,
        bootstrap: Option<SocketAddr>,
    ) -> Vec<mpsc::Sender<SimCommand>> {
        let device = if self.devices == 1 {
            "A simulated device"
        } else {
            "Each simulated device"
        };
        match bootstrap {
            Some(bootstrap) => {
                println!("\n3. {device} asks coap://{bootstrap} for its server, then registers:");
            }
            None => println!("\n3. {device} registers by itself:"),
        }
        (1..=self.devices)
            .map(|number| {
                start_device(SimDevice {
                    name: format!("demo-{number}"),
                    number,
                    server,
                    security: None,
                    bootstrap,
                })
            })
            .collect()
    }
}

/// A simulated device to be started.
struct SimDevice {
    name: String,
    number: u16,
    server: SocketAddr,
    security: Option<ClientConfig>,
    bootstrap: Option<SocketAddr>,
}

/// Starts a device; it ends when what is returned is dropped.
fn start_device(
    SimDevice {
        name,
        number,
        server,
        security,
        bootstrap,
    }: SimDevice,
) -> mpsc::Sender<SimCommand> {
    let settings = SimSettings {
        endpoint: name.clone(),
        lifetime: Duration::from_secs(300),
        confirmable: true,
        queue_mode: false,
        updates: true,
        coap: Arc::new(TransmissionParameters::default()),
    };
    let (commands, told) = mpsc::channel(16);
    let (events, mut happened) = mpsc::channel::<SimEvent>(64);
    actix::spawn(async move {
        let (objects, clock) = (device::objects(), || clock::now().mono);
        let ended = match bootstrap {
            Some(bootstrap) => {
                let uri = format!("coap://{bootstrap}");
                let server = (bootstrap, uri.as_str());
                run::run_bootstrapped(server, None, settings, objects, clock, told, events).await
            }
            None => run::run(server, security, settings, objects, clock, told, events).await,
        };
        if let Err(error) = ended {
            tracing::error!(%error, "a simulated device ended");
        }
    });
    let values = commands.clone();
    actix::spawn(async move {
        while let Some(event) = happened.recv().await {
            match event {
                SimEvent::Registered { .. } => {
                    println!("     {name}: {}", device::describe(&event));
                    actix::spawn(vary(number, values.clone()));
                }
                SimEvent::Secured(_)
                | SimEvent::Unsecured(_)
                | SimEvent::Bootstrapped { .. }
                | SimEvent::Refused { .. }
                | SimEvent::Unanswered
                | SimEvent::Written(..)
                | SimEvent::Created(_)
                | SimEvent::Deleted(_)
                | SimEvent::Executed(..) => {
                    println!("     {name}: {}", device::describe(&event));
                }
                SimEvent::Updated
                | SimEvent::Deregistered
                | SimEvent::Sent
                | SimEvent::SendRefused { .. }
                | SimEvent::SendUnanswered
                | SimEvent::Observed(_)
                | SimEvent::Unobserved(_)
                | SimEvent::Attributed(..)
                | SimEvent::Read(_)
                | SimEvent::Acknowledged(_)
                | SimEvent::Unacknowledged(_) => {}
            }
        }
    });
    commands
}

/// Makes the temperature drift.
async fn vary(number: u16, commands: mpsc::Sender<SimCommand>) {
    let Ok(path) = "/3303/0/5700".parse() else {
        return;
    };
    for step in 1_u32.. {
        tokio::time::sleep(PERIOD).await;
        let temperature = 21.0 + f64::from(number % 10) / 10.0 + f64::from(step % 20) / 10.0;
        if commands
            .send(SimCommand::Set(path, format!("{temperature:.1}")))
            .await
            .is_err()
        {
            return;
        }
    }
}

fn introduce(
    coap: SocketAddr,
    wanted: u16,
    bootstrap: Option<SocketAddr>,
    coaps: Option<SocketAddr>,
    psk: &str,
) {
    println!(
        "Lightship {}: a LwM2M server on this machine, to look around.\n",
        env!("CARGO_PKG_VERSION")
    );
    println!(
        "1. It listens for devices at coap://{coap}{}",
        taken(wanted, coap.port())
    );
    println!(
        "   (UDP without security, reachable from this machine only; every endpoint name is let in)."
    );
    println!("\n2. Connect a client of your own, in another terminal:");
    println!(
        "     {} device --server coap://{coap} --endpoint my-device",
        program()
    );
    println!("   or point any LwM2M 1.0 or 1.1 client there: no security, any endpoint name.");
    if let Some(coaps) = coaps {
        println!("   One with DTLS can be {SECURED}, at coaps://{coaps} with identity and key");
        println!("     {psk}");
    }
    if let Some(bootstrap) = bootstrap {
        println!(
            "   One that wants to be bootstrapped asks coap://{bootstrap} (device --bootstrap)."
        );
    }
}

fn taken(wanted: u16, got: u16) -> String {
    if wanted == got {
        String::new()
    } else {
        format!(" (port {wanted} is taken)")
    }
}

/// Shows values as the platform side gets them, this many lines.
async fn watch_values(events: &mut broadcast::Receiver<Arc<Event>>, lines: usize) {
    let mut shown = 0;
    while shown < lines {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return,
        };
        let (kind, values) = match &event.kind {
            EventKind::Telemetry(values) => ("telemetry", values),
            EventKind::Attributes(values) => ("attribute", values),
            EventKind::Activity
            | EventKind::Closed
            | EventKind::Opened
            | EventKind::RpcReply { .. }
            | EventKind::RpcStatus { .. } => continue,
        };
        for (key, value) in values
            .iter()
            .filter(|(key, _)| key != crate::endpoint::text::LOG_KEY)
        {
            if shown == 0 && lines != usize::MAX {
                println!("\n4. Values arrive, as the profile maps them:");
            }
            println!("     {} {kind} {key} = {}", event.endpoint, show(value));
            shown += 1;
        }
    }
}

fn show(value: &KeyValue) -> String {
    match value {
        KeyValue::Boolean(value) => value.to_string(),
        KeyValue::Long(value) => value.to_string(),
        KeyValue::Double(value) => value.to_string(),
        KeyValue::String(value) | KeyValue::Json(value) => value.clone(),
    }
}

/// One command and its answer.
async fn command(embedded: &Embedded, endpoint: &str) {
    let (method, params) = ("Read", r#"{"id":"/3_1.2/0/9"}"#);
    println!("\n5. A command reaches the device, and its answer comes back as platforms see it:");
    println!("     {method} {params}");
    match embedded
        .rpc(endpoint, method, params, COMMAND_TIMEOUT)
        .await
    {
        Ok(body) => println!("     {}", body.text()),
        Err(error) => println!("     no answer: {error}"),
    }
}

/// How this program was called.
fn program() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| "lightship".to_owned())
}

fn settings(registry: &Path) -> Settings {
    let mut settings = Settings {
        mode: Mode::Embedded,
        ..Settings::default()
    };
    settings.service.node_id = Some(0);
    settings.lwm2m.server.bind = [127, 0, 0, 1].into();
    settings.lwm2m.server.secure_bind = [127, 0, 0, 1].into();
    settings.lwm2m.bootstrap.bind = [127, 0, 0, 1].into();
    settings.lwm2m.bootstrap.secure_bind = [127, 0, 0, 1].into();
    settings.http.bind.set_ip([127, 0, 0, 1].into());
    settings.http.api = Some(ApiAccess::Loopback);
    settings.embedded.registry_dir = registry.to_owned();
    settings.embedded.output = OutputTarget::None;
    settings.embedded.accept_unknown = true;
    settings.embedded.default_profile = PROFILE_NAME.to_owned();
    // Nothing but the simulated devices waits for an answer.
    settings.shutdown.inflight_timeout_s = 0;
    settings
}

/// A temporary registry folder with the demo profile, removed when dropped.
struct Registry {
    folder: PathBuf,
    /// Identity and key of the device with security.
    psk: String,
}

impl Registry {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("lightship-demo-{}", std::process::id()));
        let psk = format!("{SECURED}:{}", keygen::random_key()?);
        Ok(Self { folder, psk })
    }

    /// Writes the profile, by which a device that is bootstrapped registers at `server`.
    fn fill(&self, server: SocketAddr) -> io::Result<()> {
        let mut profile: serde_json::Value = serde_json::from_str(PROFILE)?;
        profile["bootstrap"] = serde_json::json!([{
            "securityMode": "NO_SEC",
            "shortServerId": 123,
            "host": server.ip().to_string(),
            "port": server.port(),
        }]);
        let profiles = self.folder.join("profiles");
        fs::create_dir_all(&profiles)?;
        fs::create_dir_all(self.folder.join("packages"))?;
        let file = profiles.join(format!("{PROFILE_NAME}.json"));
        fs::write(file, format!("{profile:#}\n"))?;
        let (identity, key) = self.psk.rsplit_once(':').unwrap_or_default();
        let device = serde_json::json!({
            "deviceName": SECURED,
            "profile": PROFILE_NAME,
            "credentials": { "client": {
                "securityConfigClientMode": "PSK",
                "endpoint": SECURED,
                "identity": identity,
                "key": key,
            } },
        });
        let devices = self.folder.join("devices");
        fs::create_dir_all(&devices)?;
        let file = devices.join(format!("{SECURED}.json"));
        fs::write(file, format!("{device:#}\n"))
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "the temporary folder could not be removed");
        }
    }
}

/// The device with security.
const SECURED: &str = "demo-psk";
const PROFILE_NAME: &str = "demo";
/// What describes the package that the tour shows.
const PACKAGE: &str = r#"{"type":"FIRMWARE","title":"demo-firmware","version":"2.0","file":"fw.bin","profiles":["demo"]}"#;
/// Device, Temperature and Firmware Update, in every version that clients announce.
const PROFILE: &str = include_str!("demo_profile.json");
const PERIOD: Duration = Duration::from_secs(2);
/// Lines of values before the tour goes on.
const VALUES_SHOWN: usize = 8;
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
