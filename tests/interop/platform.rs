//! The spine as an operator runs it: the built binary, a real Kafka broker, the double of the core, a real client.

use std::process::Command;

use lightship::lwm2m::path::ObjectVersion;
use serde_json::json;

use crate::{
    peers::{free_udp_port, kafka::Broker, leshan, process::Process, wakaama},
    scene::{Lightship, PATIENCE, PROFILE, core},
    support::{
        ddf,
        strict_core::{RpcProgress, StrictCore},
    },
};

fn answered(progress: &RpcProgress) -> (&[String], &str) {
    let reply = match progress.reply.as_ref().expect("a reply") {
        Ok(text) | Err(text) => text,
    };
    (&progress.statuses, reply)
}

#[test]
fn b1_m11_a_real_client_is_bootstrapped_over_a_real_broker_and_registers_where_it_was_told() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, _) = core(&*broker, "bootstrap");
    let lightship = Lightship::start(&broker.bootstrap_servers(), "bootstrap");
    let account = format!(
        r#"{{ "bootstrap": [{{"securityMode": "NO_SEC", "shortServerId": 123, "host": "127.0.0.1", "port": {}}}],"#,
        lightship.port
    );
    let profile = core.add_profile("bootstrap", &PROFILE.replacen('{', &account, 1), None);
    let device = core.add_nosec_device("urn:bootstrap:1", profile);
    let options = leshan::Options {
        bootstrap: true,
        ..leshan::Options::default()
    };
    let server = format!("coap://127.0.0.1:{}", lightship.bootstrap);
    let Some(mut client) = leshan::Client::start(&server, "urn:bootstrap:1", options) else {
        return;
    };
    client.expect_event("bootstrapped");
    client.expect_event("registered");
    core.await_session(device, PATIENCE);
    core.await_telemetry(device, PATIENCE, |readings| {
        let mut lines = readings
            .iter()
            .filter_map(|own| own.values.get("transportLog")?.as_str());
        lines.any(|line| line == "info: Bootstrap session finished.")
    });
    assert_eq!(core.bootstraps(device), 1);
    assert_eq!(client.values("bootstrap-failed"), [""; 0]);

    // Asked by a command, it comes again.
    let trigger = core.rpc(device, "Execute", r#"{"id":"/1_1.1/0/9"}"#);
    assert_eq!(
        answered(&core.await_rpc(trigger, PATIENCE)).1,
        r#"{"result":"CHANGED"}"#
    );
    client.expect_event("deregistered");
    client.expect_event("bootstrapped");
    client.expect_event("registered");
    assert_eq!(core.violations(), [] as [String; 0]);
    assert!(lightship.stop().success());
}

#[test]
fn a_real_client_registers_reports_and_is_commanded_over_a_real_broker() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&*broker, "spine");
    let device = core.add_nosec_device("urn:spine:1", profile);
    let lightship = Lightship::start(&broker.bootstrap_servers(), "spine");
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
    let (core, profile) = core(&*broker, "expiry");
    let device = core.add_nosec_device("urn:expiry:1", profile);
    let lightship = Lightship::start(&broker.bootstrap_servers(), "expiry");
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
    let (core, _) = core(&*broker, "wakaama");
    // Wakaama announces no versions: object 3 is 1.0 for it.
    core.add_model(&ddf::built_in(3, ObjectVersion::new(1, 0)));
    let profile = core.add_profile("wakaama", &PROFILE.replace("/3_1.2/", "/3_1.0/"), None);
    let device = core.add_nosec_device("wakaama-1", profile);
    let lightship = Lightship::start(&broker.bootstrap_servers(), "wakaama");
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
fn l25_after_kill_9_a_client_goes_on_and_o8_a_command_sent_meanwhile_is_carried_out_once() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&*broker, "kill9");
    let device = core.add_nosec_device("urn:kill9:1", profile);
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    let port = free_udp_port();
    let state = folder.path().to_str().expect("it is UTF-8");
    let environment = [("LIGHTSHIP__STATE__DIR", state)];
    let servers = broker.bootstrap_servers();
    let start = || Lightship::start_at(&servers, "kill9", port, &environment);
    let mut lightship = start();
    let options = leshan::Options {
        lifetime: 3600,
        ..leshan::Options::default()
    };
    let Some(mut client) = leshan::Client::start(&lightship.uri(), "urn:kill9:1", options) else {
        return;
    };
    client.expect_event("registered");
    core.await_values(device, 2, PATIENCE);
    // It is on disk once its id is, and with it all that was before.
    let execute = core.rpc(device, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    core.await_rpc(execute, PATIENCE);
    client.expect_event("executed /3/0/4");

    lightship.process.signal("KILL");
    lightship.process.wait(PATIENCE);
    let meanwhile = core.rpc(device, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    let lightship = start();
    let progress = core.await_rpc(meanwhile, PATIENCE);
    assert_eq!(
        answered(&progress),
        (
            &["SENT".to_owned(), "DELIVERED".to_owned()][..],
            r#"{"result":"CHANGED"}"#
        )
    );
    client.command("set /3303/0/5700 44.5");
    core.await_telemetry(device, PATIENCE, |readings| {
        let is_it = |value: Option<&serde_json::Value>| value == Some(&json!(44.5));
        readings
            .iter()
            .any(|own| is_it(own.values.get("temperature")))
    });
    let lines = client.process().lines();
    let count = |words: &str| lines.iter().filter(|line| line.starts_with(words)).count();
    assert_eq!(count("executed /3/0/4"), 2);
    assert_eq!(count("registered"), 1);
    assert!(core.has_session(device));
    assert_eq!(core.violations(), [] as [String; 0]);
    assert!(lightship.stop().success());
    assert!(core.has_session(device), "a stop closes no session either");
}

#[test]
fn a60_a_poison_record_is_named_once_with_its_place_counted_and_skipped() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let (core, profile) = core(&*broker, "poison");
    core.add_nosec_device("urn:poison:1", profile);
    let mut lightship = Lightship::start(&broker.bootstrap_servers(), "poison");
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
        .env("LIGHTSHIP__LWM2M__SERVER__SECURE_PORT", "0")
        .env(
            "LIGHTSHIP__LWM2M__BOOTSTRAP__PORT",
            free_udp_port().to_string(),
        )
        .env("LIGHTSHIP__LWM2M__BOOTSTRAP__SECURE_PORT", "0")
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
