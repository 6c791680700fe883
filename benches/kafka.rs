//! From a notification to its acknowledged Kafka record: the built service, a real broker, the double of the core, and
//! simulated devices that each have one confirmable notification under way.
//!
//! A device's ACK comes with the broker's delivery report (`acks=all`), so the time to the ACK is the time to a durable
//! record, both network hops to the device included.

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
    lwm2m::{model::core, path::ObjectVersion, value::Value},
    sim::{SimEvent, SimObjects, SimSettings, run::SimCommand},
};
use tokio::sync::mpsc;

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
    for device in 0..DEVICES {
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
    let mut latencies = runtime.block_on(measure(port));
    latencies.sort_unstable();
    let at =
        |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "notification to acknowledged Kafka record, {DEVICES} devices with one CON each: {:.0} per second; p50 {:.1} ms, p99 {:.1} ms",
        latencies.len() as f64 / DURATION.as_secs_f64(),
        at(0.5),
        at(0.99)
    );
    assert_eq!(core.violations(), [] as [String; 0]);
}

/// Times from a new value to its ACK.
async fn measure(port: u16) -> Vec<Duration> {
    let start = Instant::now() + SETTLE;
    let mut devices = tokio::task::JoinSet::new();
    for device in 0..DEVICES {
        devices.spawn(drive(device, port, start));
    }
    devices.join_all().await.into_iter().flatten().collect()
}

async fn drive(device: usize, port: u16, start: Instant) -> Vec<Duration> {
    let mut objects = SimObjects::default();
    objects.add_object(Arc::clone(
        core::catalog().exact(3303, ObjectVersion::V1_0).unwrap(),
    ));
    let path = "/3303/0/5700".parse().unwrap();
    objects.set(path, Value::Float(0.0));
    let settings = SimSettings {
        endpoint: endpoint(device),
        lifetime: Duration::from_secs(3600),
        confirmable: true,
        queue_mode: false,
        updates: false,
        coap: Arc::new(TransmissionParameters::default()),
    };
    let (commands, told) = mpsc::channel(4);
    let (events, mut happened) = mpsc::channel(16);
    let server = ([127, 0, 0, 1], port).into();
    tokio::spawn(lightship::sim::run::run(
        server,
        None,
        settings,
        objects,
        Instant::now,
        told,
        events,
    ));
    loop {
        if happened.recv().await.unwrap() == SimEvent::Observed(path) {
            break;
        }
    }
    let mut latencies = Vec::new();
    for step in 1_u32.. {
        let sent = Instant::now();
        if sent >= start + DURATION {
            break;
        }
        commands
            .send(SimCommand::Set(path, step.to_string()))
            .await
            .unwrap();
        while happened.recv().await.unwrap() != SimEvent::Acknowledged(path) {}
        if sent >= start {
            latencies.push(sent.elapsed());
        }
    }
    latencies
}

fn endpoint(device: usize) -> String {
    format!("bench-{device}")
}

const DEVICES: usize = 100;
const SETTLE: Duration = Duration::from_secs(5);
const DURATION: Duration = Duration::from_secs(10);
const PROFILE: &str = r#"{"type":"LWM2M","observeAttr":{"observe":["/3303_1.0/0/5700"],"telemetry":["/3303_1.0/0/5700"],
    "attribute":[],"keyName":{"/3303_1.0/0/5700":"temperature"},"attributeLwm2m":{}}}"#;
