//! The spine as an operator runs it: the built binary, a real Kafka broker, the double of the core, a real client.

use std::{
    net::TcpListener,
    process::{Command, ExitStatus},
    time::Duration,
};

use lightship::lwm2m::path::ObjectVersion;
use serde_json::json;
use uuid::Uuid;

use crate::{
    peers::{free_udp_port, kafka::Broker, leshan, process::Process, wakaama},
    support::{
        ddf,
        strict_core::{RpcProgress, StrictCore},
    },
};

const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3303_1.0/0/5700", "/3_1.2/0/9"],
        "attribute": ["/3_1.2/0/0"],
        "telemetry": ["/3303_1.0/0/5700", "/3_1.2/0/9"],
        "keyName": {"/3303_1.0/0/5700": "temperature", "/3_1.2/0/9": "batteryLevel", "/3_1.2/0/0": "manufacturer"},
        "attributeLwm2m": {}
    },
    "clientLwM2mSettings": {"powerMode": "DRX"}
}"#;
const PATIENCE: Duration = Duration::from_secs(60);

/// Our service as a process, in Kafka mode, configured by the environment of the Java transport.
struct Lightship {
    process: Process,
    port: u16,
    http: u16,
}

impl Lightship {
    fn start(broker: &Broker, prefix: &str, service_id: &str) -> Self {
        let port = free_udp_port();
        let http = TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a port")
            .port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
        command
            .arg("serve")
            .env_clear()
            .env("TB_QUEUE_TYPE", "kafka")
            .env("TB_KAFKA_SERVERS", broker.bootstrap_servers())
            .env("TB_QUEUE_PREFIX", prefix)
            .env("TB_SERVICE_ID", service_id)
            .env("LWM2M_BIND_ADDRESS", "127.0.0.1")
            .env("LWM2M_BIND_PORT", port.to_string())
            .env("HTTP_BIND_ADDRESS", "127.0.0.1")
            .env("HTTP_BIND_PORT", http.to_string())
            .env("LIGHTSHIP__SHUTDOWN__DRAIN_DELAY_S", "0")
            .env("LIGHTSHIP__LOG__FORMAT", "text");
        let mut process = Process::spawn("lightship", &mut command);
        process.expect(PATIENCE, |line| line.contains("serving LwM2M over CoAP"));
        Self {
            process,
            port,
            http,
        }
    }

    fn uri(&self) -> String {
        format!("coap://127.0.0.1:{}", self.port)
    }

    fn get(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.http);
        ureq::get(&url)
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .expect("an answer")
    }

    fn stop(mut self) -> ExitStatus {
        self.process.terminate(PATIENCE)
    }
}

/// A broker with the topics of the core, the core, and one profile with its models.
fn core(broker: &Broker, prefix: &str) -> (StrictCore, Uuid) {
    let topics = StrictCore::topics(prefix, "ls-0");
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| (name.as_str(), *partitions))
        .collect();
    broker.create_topics(&topics);
    let core = StrictCore::start(&broker.bootstrap_servers(), prefix);
    for (object, version) in [
        (3, ObjectVersion::new(1, 2)),
        (3303, ObjectVersion::new(1, 0)),
    ] {
        core.add_model(&ddf::built_in(object, version));
    }
    let profile = core.add_profile("profile", PROFILE, None);
    (core, profile)
}

fn answered(progress: &RpcProgress) -> (&[String], &str) {
    let reply = match progress.reply.as_ref().expect("a reply") {
        Ok(text) | Err(text) => text,
    };
    (&progress.statuses, reply)
}

#[test]
fn a_real_client_registers_reports_and_is_commanded_over_a_real_broker() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&broker, "spine");
    let device = core.add_nosec_device("urn:spine:1", profile);
    let lightship = Lightship::start(&broker, "spine", "ls-0");
    let options = leshan::Options {
        lifetime: 300,
        ..leshan::Options::default()
    };
    let Some(mut client) = leshan::Client::start(&lightship.uri(), "urn:spine:1", options) else {
        return;
    };

    client.expect_event("registered");
    core.await_session(device, PATIENCE);
    assert_eq!(
        core.await_attribute(device, "manufacturer", PATIENCE),
        json!("Lightship Labs")
    );
    let first = core.await_values(device, 2, PATIENCE);
    for key in ["temperature", "batteryLevel"] {
        assert!(
            first.iter().any(|(own, _)| own == key),
            "{key} in {first:?}"
        );
    }

    client.command("set /3303/0/5700 25.5");
    client.command("set /3/0/9 77");
    core.await_telemetry(device, PATIENCE, |readings| {
        let has = |key: &str, value: serde_json::Value| {
            readings
                .iter()
                .any(|own| own.values.get(key) == Some(&value))
        };
        has("temperature", json!(25.5)) && has("batteryLevel", json!(77))
    });

    let read = core.rpc(device, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    let progress = core.await_rpc(read, PATIENCE);
    assert_eq!(
        answered(&progress),
        (
            &["SENT".to_owned(), "DELIVERED".to_owned()][..],
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=77, type=INTEGER]"}"#
        )
    );
    let write = core.rpc(
        device,
        "WriteReplace",
        r#"{"id":"/3_1.2/0/14","value":"+09"}"#,
    );
    assert_eq!(
        answered(&core.await_rpc(write, PATIENCE)).1,
        r#"{"result":"CHANGED"}"#
    );
    assert_eq!(client.expect_event("written /3/0/14"), "+09");
    let execute = core.rpc(device, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    assert_eq!(
        answered(&core.await_rpc(execute, PATIENCE)).1,
        r#"{"result":"CHANGED"}"#
    );
    client.expect_event("executed /3/0/4");
    let discover = core.rpc(device, "Discover", r#"{"id":"/3_1.2/0/9"}"#);
    assert_eq!(
        answered(&core.await_rpc(discover, PATIENCE)).1,
        r#"{"result":"CONTENT","value":"</3/0/9>"}"#
    );
    let unknown = core.rpc(device, "Read", r#"{"id":"/3_1.2/0/999"}"#);
    assert_eq!(
        answered(&core.await_rpc(unknown, PATIENCE)).1,
        r#"{"result":"NOT_FOUND"}"#
    );
    assert!(lightship.get("/readyz").contains("\"ready\""));

    client.command("deregister");
    client.expect_event("deregistered");
    core.await_no_session(device, PATIENCE);
    assert_eq!(core.violations(), [] as [String; 0]);
    assert!(lightship.stop().success());
}

#[test]
fn l17_a_client_that_falls_silent_expires() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&broker, "expiry");
    let device = core.add_nosec_device("urn:expiry:1", profile);
    let lightship = Lightship::start(&broker, "expiry", "ls-0");
    let options = leshan::Options {
        lifetime: 20,
        ..leshan::Options::default()
    };
    let Some(mut client) = leshan::Client::start(&lightship.uri(), "urn:expiry:1", options) else {
        return;
    };
    client.expect_event("registered");
    core.await_session(device, PATIENCE);
    client.command("freeze");
    core.await_no_session(device, PATIENCE);
    assert!(
        lightship
            .get("/metrics")
            .contains("lightship_registration_events_total{event=\"expire\"} 1")
    );
    assert!(lightship.stop().success());
}

#[test]
fn an_unknown_endpoint_is_refused_and_wakaama_is_served() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, _) = core(&broker, "wakaama");
    // Wakaama announces no versions: object 3 is 1.0 for it.
    core.add_model(&ddf::built_in(3, ObjectVersion::new(1, 0)));
    let profile = core.add_profile("wakaama", &PROFILE.replace("/3_1.2/", "/3_1.0/"), None);
    let device = core.add_nosec_device("wakaama-1", profile);
    let lightship = Lightship::start(&broker, "wakaama", "ls-0");
    let Some(mut stranger) =
        leshan::Client::start(&lightship.uri(), "urn:nobody", leshan::Options::default())
    else {
        return;
    };
    stranger.expect_event("registration-failed 4.03");
    let Some(mut client) = wakaama::Client::start(lightship.port, "wakaama-1", 60) else {
        return;
    };
    client.expect("STATE_READY");
    core.await_session(device, PATIENCE);
    core.await_values(device, 1, PATIENCE);
    let read = core.rpc(device, "Read", r#"{"id":"/3_1.0/0/6"}"#);
    assert_eq!(
        answered(&core.await_rpc(read, PATIENCE)).1,
        "{\"result\":\"CONTENT\",\"value\":\"LwM2mMultipleResource [id=6, values={0=LwM2mResourceInstance [id=0, \
         value=1, type=INTEGER], 1=LwM2mResourceInstance [id=1, value=5, type=INTEGER]}, type=INTEGER]\"}"
    );
    assert!(lightship.stop().success());
}

#[test]
fn every_acknowledged_value_outlives_an_outage_of_the_broker() {
    let Some(mut broker) = Broker::start() else {
        return;
    };
    let (core, profile) = core(&broker, "outage");
    let device = core.add_nosec_device("urn:outage:1", profile);
    let lightship = Lightship::start(&broker, "outage", "ls-0");
    let options = leshan::Options {
        lifetime: 3600,
        ..leshan::Options::default()
    };
    let Some(mut client) = leshan::Client::start(&lightship.uri(), "urn:outage:1", options) else {
        return;
    };
    client.expect_event("registered");
    core.await_values(device, 2, PATIENCE);

    let mut value = 100;
    let mut set_and_wait = |client: &mut leshan::Client, count: usize| {
        for _ in 0..count {
            value += 1;
            client.command(&format!("set /3303/0/5700 {value}.5"));
            client.expect(Duration::from_secs(120), |line| {
                line.starts_with("acked /3303/0/5700")
            });
        }
    };
    set_and_wait(&mut client, 30);
    broker.stop();
    client.command("set /3303/0/5700 1000.5");
    std::thread::sleep(Duration::from_secs(10));
    broker.restart();
    client.expect(Duration::from_secs(120), |line| {
        line.starts_with("acked /3303/0/5700")
    });
    set_and_wait(&mut client, 30);

    let acknowledged = client.values("acked /3303/0/5700");
    assert!(
        acknowledged.len() >= 50,
        "only {} were acknowledged",
        acknowledged.len()
    );
    core.await_telemetry(device, PATIENCE, |readings| {
        acknowledged.iter().all(|value| {
            let value: f64 = value.parse().expect("a number");
            readings
                .iter()
                .any(|own| own.values.get("temperature") == Some(&json!(value)))
        })
    });
    println!(
        "{} values acknowledged, all of them in Kafka after 10 s without a broker",
        acknowledged.len()
    );
    assert!(lightship.stop().success());
}

#[test]
fn sigterm_under_load_stops_in_order_and_loses_nothing_acknowledged() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&broker, "sigterm");
    let device = core.add_nosec_device("urn:sigterm:1", profile);
    let lightship = Lightship::start(&broker, "sigterm", "ls-0");
    let options = leshan::Options {
        lifetime: 3600,
        ..leshan::Options::default()
    };
    let Some(mut client) = leshan::Client::start(&lightship.uri(), "urn:sigterm:1", options) else {
        return;
    };
    client.expect_event("registered");
    core.await_values(device, 2, PATIENCE);
    let mut lightship = lightship;
    for step in 0..200 {
        client.command(&format!("set /3303/0/5700 {step}.25"));
        if step == 100 {
            lightship.process.signal("TERM");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(lightship.process.wait(PATIENCE).success());
    core.await_no_session(device, PATIENCE);
    let acknowledged = client.values("acked /3303/0/5700");
    assert!(!acknowledged.is_empty());
    core.await_telemetry(device, PATIENCE, |readings| {
        acknowledged.iter().all(|value| {
            let value: f64 = value.parse().expect("a number");
            readings
                .iter()
                .any(|own| own.values.get("temperature") == Some(&json!(value)))
        })
    });
    println!(
        "{} values acknowledged, all of them in Kafka",
        acknowledged.len()
    );
}

#[test]
fn a60_a_poison_record_is_named_once_with_its_place_counted_and_skipped() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&broker, "poison");
    core.add_nosec_device("urn:poison:1", profile);
    let mut lightship = Lightship::start(&broker, "poison", "ls-0");
    for topic in ["tb_transport.api.responses", "tb_transport.notifications"] {
        let topic = format!("poison.{topic}.ls-0");
        let offset = broker.records(&topic).len();
        core.send_raw(&topic, Some("no key of ours"), b"\xff\xff no protobuf");
        let is_named = |line: &str| line.contains("is skipped") && line.contains(&topic);
        let line = lightship.process.expect(PATIENCE, is_named);
        assert!(line.contains("partition=0"), "{line}");
        assert!(line.contains(&format!("offset={offset}")), "{line}");
        let lines = lightship.process.lines();
        assert_eq!(lines.iter().filter(|line| is_named(line)).count(), 1);
    }
    let metrics = lightship.get("/metrics");
    for counter in [
        "lightship_kafka_unreadable_answers_total 1",
        "lightship_kafka_notifications_dropped_total{reason=\"unreadable\"} 1",
    ] {
        assert!(metrics.contains(counter), "{counter} in {metrics}");
    }
    assert!(lightship.stop().success());
}

#[test]
fn a_user_that_the_broker_refuses_ends_the_start_and_is_named() {
    let Some(broker) = Broker::start_secured() else {
        return;
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .arg("serve")
        .env_clear()
        .env("TB_KAFKA_SERVERS", broker.sasl_servers())
        .env("LIGHTSHIP__KAFKA__SECURITY_PROTOCOL", "sasl_plaintext")
        .env("LIGHTSHIP__KAFKA__SASL__MECHANISM", "PLAIN")
        .env("LIGHTSHIP__KAFKA__SASL__USERNAME", "stranger")
        .env("LIGHTSHIP__KAFKA__SASL__PASSWORD", "guess-0815")
        .env("HTTP_BIND_ADDRESS", "127.0.0.1")
        .env("HTTP_BIND_PORT", "0")
        .env("LIGHTSHIP__LOG__FORMAT", "text");
    let mut process = Process::spawn("lightship", &mut command);
    assert_eq!(process.wait(PATIENCE).code(), Some(4));
    let lines = process.lines();
    let told = lines
        .iter()
        .any(|line| line.contains("SASL authentication error"));
    assert!(told, "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("guess-0815")));
}

/// The environment of the platform's published deployment, of which addresses and ports alone are overridden.
#[test]
fn the_environment_of_the_published_deployment_serves_a_device() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let topics = StrictCore::topics("", "tb-lwm2m-transport");
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| (name.as_str(), *partitions))
        .collect();
    broker.create_topics(&topics);
    let core = StrictCore::start(&broker.bootstrap_servers(), "");
    for (object, version) in [
        (3, ObjectVersion::new(1, 2)),
        (3303, ObjectVersion::new(1, 0)),
    ] {
        core.add_model(&ddf::built_in(object, version));
    }
    let profile = core.add_profile("profile", PROFILE, None);
    let device = core.add_nosec_device("urn:deployment:1", profile);
    let variables = include_str!("../data/deployment.env")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split_once('='));
    let port = free_udp_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
    command
        .arg("serve")
        .env_clear()
        .envs(variables)
        .env(
            "LIGHTSHIP__KAFKA__BOOTSTRAP_SERVERS",
            broker.bootstrap_servers(),
        )
        .env("LIGHTSHIP__LWM2M__SERVER__BIND", "127.0.0.1")
        .env("LIGHTSHIP__LWM2M__SERVER__PORT", port.to_string())
        .env("LIGHTSHIP__HTTP__BIND", "127.0.0.1:0");
    let mut process = Process::spawn("lightship", &mut command);
    process.expect(PATIENCE, |line| line.contains("serving LwM2M over CoAP"));
    let options = leshan::Options::default();
    let uri = format!("coap://127.0.0.1:{port}");
    let Some(mut client) = leshan::Client::start(&uri, "urn:deployment:1", options) else {
        return;
    };
    client.expect_event("registered");
    core.await_session(device, PATIENCE);
    core.await_values(device, 1, PATIENCE);
    assert_eq!(core.violations(), [] as [String; 0]);
    assert!(process.terminate(PATIENCE).success());
}
