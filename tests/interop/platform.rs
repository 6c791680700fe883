//! The spine as an operator runs it: the built binary, a real Kafka broker, the double of the core, a real client.

use lightship::lwm2m::path::ObjectVersion;
use serde_json::json;

use crate::{
    peers::{kafka::Broker, leshan, wakaama},
    scene::{Lightship, PATIENCE, PROFILE, core},
    support::{ddf, strict_core::RpcProgress},
};

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
