//! Uplinks: what reaches the core, in which order, and what the device is told.

use std::{sync::Arc, thread, time::Duration};

use lightship::platform::{
    Outcome, PlatformId, SessionId, SessionInfo, SubmitError, Uplink, UplinkId,
    secret::Secret,
    thingsboard::RecordKind,
    time::UnixMillis,
    uplink::{KeyValue, Readings, RejectReason},
};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{Endpoint, Fixture, PATIENCE, eventually};

#[test]
fn telemetry_is_durable_once_the_broker_has_it() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let values = vec![
        ("battery".to_owned(), KeyValue::Long(95)),
        ("name".to_owned(), KeyValue::String("a=<b>'&".to_owned())),
        (
            "levels".to_owned(),
            KeyValue::Json(r#"{"0":1.5}"#.to_owned()),
        ),
    ];
    let id = UplinkId(77);
    endpoint
        .submit(Uplink::Telemetry {
            id: Some(id),
            session,
            readings: vec![
                Readings {
                    ts: UnixMillis(1_700_000_000_000),
                    values,
                },
                Readings {
                    ts: UnixMillis(1_700_000_000_001),
                    values: vec![("battery".to_owned(), KeyValue::Double(94.0))],
                },
            ],
        })
        .unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
    fixture.core.await_values(fixture.device, 4, PATIENCE);
    let readings = fixture.core.telemetry(fixture.device);
    let times: Vec<i64> = readings.iter().map(|reading| reading.ts).collect();
    assert_eq!(
        times,
        [1_700_000_000_000, 1_700_000_000_001],
        "one record each"
    );
    assert_eq!(
        serde_json::Value::Object(readings[0].values.clone()),
        json!({"battery": 95, "name": "a=<b>'&", "levels": {"0": 1.5}})
    );
    let telemetry = fixture.health().records[&RecordKind::Telemetry];
    assert_eq!(
        (telemetry.sent, telemetry.delivered, telemetry.failed),
        (2, 2, 0)
    );
}

#[test]
fn attributes_are_durable_once_the_broker_has_them() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let id = UplinkId(5);
    endpoint
        .submit(Uplink::Attributes {
            id: Some(id),
            session,
            values: vec![("model".to_owned(), KeyValue::String("M1".to_owned()))],
            ts: UnixMillis(1_700_000_000_000),
        })
        .unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
    let model = fixture
        .core
        .await_attribute(fixture.device, "model", PATIENCE);
    assert_eq!(model, json!("M1"));
}

#[test]
fn o4_the_order_of_a_device_holds_while_several_threads_submit() {
    const DEVICES: usize = 4;
    const READINGS: i64 = 500;
    let fixture = Fixture::start();
    let devices: Vec<_> = (0..DEVICES)
        .map(|number| {
            let name = format!("dev{number}");
            (fixture.core.add_nosec_device(&name, fixture.profile), name)
        })
        .collect();
    thread::scope(|scope| {
        for (_, name) in &devices {
            let (endpoint, sink) = (fixture.endpoint(), Arc::clone(&fixture.sink));
            scope.spawn(move || {
                // The first ones wait for the tenant, the last ones do not.
                let session = endpoint.open(&sink, name);
                for number in 0..READINGS {
                    post(&endpoint, &session, number);
                }
            });
        }
    });
    for (device, _) in devices {
        let all = usize::try_from(READINGS).unwrap();
        let values = fixture.core.await_values(device, all, PATIENCE);
        let numbers: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
        let expected: Vec<_> = (0..READINGS).map(|number| json!(number)).collect();
        assert_eq!(numbers, expected);
    }
}

fn post(endpoint: &Endpoint, session: &Arc<SessionInfo>, number: i64) {
    endpoint
        .submit(Uplink::Telemetry {
            id: None,
            session: Arc::clone(session),
            readings: vec![Readings {
                ts: UnixMillis(1_700_000_000_000 + number),
                values: vec![("n".to_owned(), KeyValue::Long(number))],
            }],
        })
        .unwrap();
}

#[test]
fn uplinks_wait_in_order_until_the_tenant_is_known() {
    let fixture = Fixture::start_with(|settings| settings.kafka.api_timeout_ms = 1_000);
    fixture.core.mute("tenant", true);
    let endpoint = fixture.endpoint();
    let session = fixture.open(&endpoint, "ep1");
    for number in 0..20 {
        post(&endpoint, &session, number);
    }
    fixture.core.await_questions("tenant", 2, PATIENCE);
    assert_eq!(fixture.health().waiting, 21, "asked again, nothing is lost");
    assert!(!fixture.core.has_session(fixture.device));
    fixture.core.mute("tenant", false);
    let values = fixture.core.await_values(fixture.device, 20, PATIENCE);
    let numbers: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
    assert_eq!(
        numbers,
        (0..20).map(|number| json!(number)).collect::<Vec<_>>()
    );
    fixture.core.await_session(fixture.device, PATIENCE);
    assert_eq!(fixture.health().waiting, 0);
}

#[test]
fn who_waited_and_then_found_no_room_is_told_so() {
    // One record fits into the producer, and stays there for a while.
    let small = "queue.buffering.max.messages:1;linger.ms:300";
    let fixture = Fixture::start_with(|settings| settings.kafka.extra = Secret::new(small));
    fixture.core.mute("tenant", true);
    let endpoint = fixture.endpoint();
    let session = fixture.open(&endpoint, "ep1");
    let ids = [1, 2].map(|n| endpoint.post(&session, "n", KeyValue::Long(n)).unwrap());
    assert_eq!(fixture.health().waiting, 3);
    fixture.core.mute("tenant", false);
    // The begin of the session has the room.
    for id in ids {
        assert_eq!(endpoint.outcome(id), Outcome::Unavailable);
    }
    fixture.core.await_session(fixture.device, PATIENCE);
}

#[test]
fn what_belongs_to_nothing_the_core_knows_is_given_up() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let mut device = (*session.device).clone();
    device.profile = PlatformId(Uuid::from_u128(99));
    let session = Arc::new(SessionInfo {
        id: session.id,
        device: Arc::new(device),
    });
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Unavailable);
    assert_eq!(fixture.health().waiting, 0);
    assert_eq!(fixture.health().records[&RecordKind::Telemetry].failed, 1);
}

#[test]
fn a_reading_that_is_too_large_is_rejected_for_good() {
    let fixture = Fixture::start_with(|settings| settings.kafka.max_message_bytes = 10_000);
    let (endpoint, session) = fixture.registered();
    let id = endpoint
        .post(&session, "big", KeyValue::String("x".repeat(20_000)))
        .unwrap();
    let too_large = Outcome::Rejected(RejectReason::TooLarge);
    assert_eq!(endpoint.outcome(id), too_large);
    let id = endpoint.post(&session, "small", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
}

#[test]
fn a_tenant_that_is_switched_off_is_told_so() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.core.enable_tenant(false, crate::fixture::SERVICE);
    eventually("the limit", || {
        let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
        endpoint.outcome(id) == Outcome::Rejected(RejectReason::Limit)
    });
    fixture.core.enable_tenant(true, crate::fixture::SERVICE);
    eventually("the limit's end", || {
        let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
        endpoint.outcome(id) == Outcome::Durable
    });
}

#[test]
fn a_queue_may_want_every_message_in_every_partition() {
    let fixture = Fixture::start();
    fixture
        .core
        .add_queue("Main", "tb_rule_engine.main", 10, true);
    // The queues are asked for when the Kafka side starts.
    let mut fixture = fixture;
    fixture.restart();
    let (endpoint, session) = fixture.registered();
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
    fixture.core.await_values(fixture.device, 10, PATIENCE);
    assert_eq!(
        fixture.health().records[&RecordKind::Telemetry].delivered,
        10
    );
}

#[test]
fn activity_is_reported_and_heartbeats_keep_the_session() {
    let fixture = Fixture::start_with(|settings| {
        settings.activity.report_ms = 100;
        settings.activity.inactivity_ms = 2_500;
    });
    let (endpoint, session) = fixture.registered();
    let first = fixture.core.await_activity(fixture.device, PATIENCE);
    fixture.core.await_heartbeats(fixture.device, 2, PATIENCE);
    endpoint
        .submit(Uplink::Activity {
            session: Arc::clone(&session),
            last_activity: UnixMillis(first + 500),
            heartbeat: false,
        })
        .unwrap();
    eventually("the activity", || {
        fixture.core.last_activity(fixture.device) >= Some(first + 500)
    });
    endpoint.submit(Uplink::SessionClosed { session }).unwrap();
    fixture.core.await_no_session(fixture.device, PATIENCE);
    let heartbeats = fixture.core.heartbeats(fixture.device);
    thread::sleep(Duration::from_millis(1_200));
    assert_eq!(fixture.core.heartbeats(fixture.device), heartbeats);
    assert_eq!(fixture.health().sessions, 0);
}

#[test]
fn m11_a_bootstrap_session_is_reported_once_and_never_opened() {
    let fixture = Fixture::start_with(|settings| settings.activity.report_ms = 100);
    let (endpoint, session) = fixture.registered();
    let bootstrap = Arc::new(SessionInfo {
        id: SessionId(Uuid::new_v4()),
        device: Arc::clone(&session.device),
    });
    let line = KeyValue::String("info: Bootstrap session finished.".to_owned());
    endpoint.post(&bootstrap, "line", line).unwrap();
    endpoint
        .submit(Uplink::BootstrapReport {
            session: bootstrap,
            last_activity: lightship::server::clock::now().wall,
        })
        .unwrap();
    fixture.core.await_values(fixture.device, 1, PATIENCE);
    eventually("the report", || {
        fixture.core.bootstraps(fixture.device) == 1
    });
    // Several periods later nothing else was said of it, and the device's session is there.
    thread::sleep(Duration::from_millis(400));
    assert_eq!(fixture.core.bootstraps(fixture.device), 1);
    assert!(fixture.core.has_session(fixture.device));
    assert_eq!(fixture.core.violations(), [] as [String; 0]);
}

#[test]
fn after_the_stop_nothing_is_accepted_and_nobody_waits() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.core.silent(true);
    let question = lightship::platform::Question::Credentials {
        id: "ep1".to_owned(),
    };
    endpoint
        .submit(Uplink::Question {
            id: lightship::platform::RequestId(9),
            question,
        })
        .unwrap();
    assert!(fixture.platform.flush(PATIENCE));
    fixture.platform.stop_notifications();
    fixture.platform.stop();
    assert_eq!(
        endpoint.reply(),
        lightship::platform::Reply::Answer {
            id: lightship::platform::RequestId(9),
            result: Err(lightship::platform::QuestionError::Unavailable)
        }
    );
    let refused = endpoint.post(&session, "n", KeyValue::Long(1));
    assert_eq!(refused, Err(SubmitError::Stopped));
}
