//! What the platform side costs: the built service, a real broker, the double of the core, and simulated devices on one
//! machine.
//!
//! A device's ACK comes with the broker's delivery report (`acks=all`), so the time to the ACK is the time to a durable
//! record, both network hops to the device included. CPU time is that of all threads of the service.
//!
//! | figure | is taken with |
//! |---|---|
//! | registration | 2,048 devices, 32 at a time, until the resource of the profile is observed |
//! | notifications, closed loop | devices with one confirmable notification under way each |
//! | notifications, half load | the same devices, each at its own times, together half as often; the delay counts from the time due |

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is a measurement"
)]

#[path = "../tests/support/peers/mod.rs"]
mod peers;
#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    net::TcpListener,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use lightship::{
    coap::TransmissionParameters,
    lwm2m::{
        model::core,
        path::{ObjectVersion, Path},
        value::Value,
    },
    sim::{SimEvent, SimObjects, SimSettings, run::SimCommand},
};
use tokio::{sync::mpsc, task::JoinSet, time};

use peers::{free_udp_port, kafka::Broker, process::Process};
use support::{ddf, strict_core::StrictCore};

fn main() {
    // `cargo test --benches` only wants to know whether this builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topics = StrictCore::topics("bench", "bench-0");
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| (name.as_str(), *partitions))
        .collect();
    broker.create_topics(&topics);
    let core = StrictCore::start(&broker.bootstrap_servers(), "bench");
    core.add_model(&ddf::built_in(3303, ObjectVersion::V1_0));
    let profile = core.add_profile("bench", PROFILE, None);
    for device in 0..REGISTRATIONS {
        core.add_nosec_device(&endpoint(device), profile);
    }
    let port = free_udp_port();
    let http = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .arg("serve")
        .args(["--set", "lwm2m.server.secure_port=0"])
        .args(["--set", "lwm2m.bootstrap.secure_port=0"])
        .env("TB_KAFKA_SERVERS", broker.bootstrap_servers())
        .env("TB_QUEUE_PREFIX", "bench")
        .env("TB_SERVICE_ID", "bench-0")
        .env("LWM2M_BIND_ADDRESS", "127.0.0.1")
        .env("LWM2M_BIND_PORT", port.to_string())
        .env("LWM2M_ENABLED_BS", "false")
        .env("HTTP_BIND_ADDRESS", "127.0.0.1")
        .env("HTTP_BIND_PORT", http.port().to_string())
        // Each device sends more than one may.
        .env("LIGHTSHIP__LIMITS__ENDPOINT_MESSAGES_PER_S", "0")
        .env("LIGHTSHIP__LOG__FORMAT", "text");
    let mut service = Process::spawn("lightship", &mut command);
    service.expect(Duration::from_secs(60), |line| {
        line.contains("serving LwM2M over CoAP")
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!(
        "| | per second | CPU of the service, µs each | p50, ms | p99, ms |\n|---|--:|--:|--:|--:|"
    );

    let (begin, before) = (Instant::now(), service.cpu_time());
    let registered = runtime.block_on(register(port));
    let cpu = service.cpu_time() - before;
    println!(
        "| registrations | {:.0} | {:.0} | | |",
        registered.len() as f64 / begin.elapsed().as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / registered.len() as f64
    );
    let mut devices: Vec<_> = registered.into_iter().take(DEVICES).collect();
    let mut notify = |name, interval| {
        let (mut latencies, cpu);
        (devices, latencies, cpu) =
            runtime.block_on(notify(std::mem::take(&mut devices), interval, &service));
        latencies.sort_unstable();
        let at = |share: f64| {
            latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
        };
        let rate = latencies.len() as f64 / DURATION.as_secs_f64();
        println!(
            "| {name} | {rate:.0} | {:.0} | {:.1} | {:.1} |",
            cpu.as_secs_f64() * 1e6 / latencies.len() as f64,
            at(0.5),
            at(0.99)
        );
        rate
    };
    let rate = notify("notifications, closed loop", None);
    let interval = Duration::from_secs_f64(DEVICES as f64 / (rate / 2.0));
    notify("notifications, half load", Some(interval));
    assert_eq!(core.violations(), [] as [String; 0]);
}

/// A simulated device.
struct Device {
    commands: mpsc::Sender<SimCommand>,
    events: mpsc::Receiver<SimEvent>,
    value: u32,
}

impl Device {
    fn start(number: usize, port: u16) -> Self {
        let mut objects = SimObjects::default();
        objects.add_object(Arc::clone(
            core::catalog().exact(3303, ObjectVersion::V1_0).unwrap(),
        ));
        objects.set(path(), Value::Float(0.0));
        let settings = SimSettings {
            endpoint: endpoint(number),
            lifetime: Duration::from_secs(3600),
            confirmable: true,
            queue_mode: false,
            updates: false,
            coap: Arc::new(TransmissionParameters::default()),
        };
        let (commands, told) = mpsc::channel(4);
        let (happened, events) = mpsc::channel(16);
        let server = ([127, 0, 0, 1], port).into();
        tokio::spawn(lightship::sim::run::run(
            server,
            None,
            settings,
            objects,
            Instant::now,
            told,
            happened,
        ));
        Self {
            commands,
            events,
            value: 0,
        }
    }

    async fn wait_for(&mut self, event: SimEvent) {
        while self.events.recv().await.unwrap() != event {}
    }

    /// A new value each time, until `end`; the times to its ACK from when it was due.
    async fn notify(
        mut self,
        start: Instant,
        end: Instant,
        interval: Option<Duration>,
    ) -> (Self, Vec<Duration>) {
        let mut latencies = Vec::new();
        let mut due = start;
        while due < end {
            time::sleep_until(due.into()).await;
            self.value += 1;
            let command = SimCommand::Set(path(), self.value.to_string());
            self.commands.send(command).await.unwrap();
            self.wait_for(SimEvent::Acknowledged(path())).await;
            latencies.push(due.elapsed());
            due = interval.map_or_else(Instant::now, |interval| due + interval);
        }
        (self, latencies)
    }
}

/// Starts devices, [`AT_ONCE`] at a time, until each is registered and observed.
async fn register(port: u16) -> Vec<Device> {
    let mut registered = Vec::new();
    while registered.len() < REGISTRATIONS {
        let next = registered.len()..registered.len() + AT_ONCE;
        let mut devices: Vec<_> = next.map(|number| Device::start(number, port)).collect();
        for device in &mut devices {
            device.wait_for(SimEvent::Observed(path())).await;
        }
        registered.append(&mut devices);
    }
    registered
}

/// The devices, times to the ACK, and the CPU time of the service.
async fn notify(
    devices: Vec<Device>,
    interval: Option<Duration>,
    service: &Process,
) -> (Vec<Device>, Vec<Duration>, Duration) {
    let start = Instant::now() + SETTLE;
    let end = start + DURATION;
    let mut tasks = JoinSet::new();
    for (number, device) in devices.into_iter().enumerate() {
        let offset = interval.unwrap_or_default() * number as u32 / DEVICES as u32;
        tasks.spawn(device.notify(start + offset, end, interval));
    }
    time::sleep_until(start.into()).await;
    let before = service.cpu_time();
    time::sleep_until(end.into()).await;
    let cpu = service.cpu_time() - before;
    let (mut devices, mut all) = (Vec::new(), Vec::new());
    for (device, latencies) in tasks.join_all().await {
        devices.push(device);
        all.extend(latencies);
    }
    (devices, all, cpu)
}

fn endpoint(device: usize) -> String {
    format!("bench-{device}")
}

fn path() -> Path {
    "/3303/0/5700".parse().unwrap()
}

/// Devices that notify.
const DEVICES: usize = 100;
const REGISTRATIONS: usize = 2_048;
const AT_ONCE: usize = 32;
const SETTLE: Duration = Duration::from_secs(3);
const DURATION: Duration = Duration::from_secs(10);
const PROFILE: &str = r#"{"type":"LWM2M","observeAttr":{"observe":["/3303_1.0/0/5700"],"telemetry":["/3303_1.0/0/5700"],
    "attribute":[],"keyName":{"/3303_1.0/0/5700":"temperature"},"attributeLwm2m":{}}}"#;
