//! Garbage, brokers that go away, topics that are missing, producers that break.

use std::time::{Duration, Instant};

use lightship::platform::{
    Outcome, PlatformId, SubmitError,
    thingsboard::{FailureReason, RecordKind, topics::Topics},
    uplink::KeyValue,
};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use serde_json::json;

use crate::fixture::{Fixture, PATIENCE, SERVICE, eventually, is_rpc};

fn topics(fixture: &Fixture) -> Topics {
    let settings = lightship::platform::thingsboard::settings::KafkaSettings {
        prefix: crate::fixture::PREFIX.to_owned(),
        bootstrap_servers: fixture.broker.bootstrap_servers(),
        ..Default::default()
    };
    Topics::new(&settings, SERVICE).unwrap()
}

#[test]
fn a60_garbage_on_every_consumed_topic_is_counted_and_skipped() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let topics = topics(&fixture);
    let large = vec![0x0a; 900_000];
    // A command whose last byte is missing.
    let truncated = b"\x08\x01\x32\x06\x12\x04Rea";
    let garbage: [&[u8]; 6] = [
        b"",
        &large,
        truncated,
        b"\xff\xff\xff\xff",
        b"no protobuf at all",
        &[0x0a; 3000],
    ];
    for topic in [topics.api_responses(), topics.notifications()] {
        for value in garbage {
            fixture.core.send_raw(&topic, None, value);
            fixture.core.send_raw(&topic, Some("no UUID"), value);
        }
    }
    // An empty notification is a legal message that says nothing.
    eventually("the garbage", || {
        let health = fixture.health();
        (health.unreadable_answers, health.unreadable_notifications) == (12, 10)
    });
    let rpc = fixture.core.rpc(fixture.device, "Read", "{}");
    assert_eq!(fixture.sink.take_rpc().id.uuid, rpc);
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
    endpoint.credentials("ep1").unwrap();
}

#[test]
fn a59_a_broker_that_comes_back_soon_costs_only_time() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.broker.down();
    let ids: Vec<_> = (0..10)
        .map(|number| {
            endpoint
                .post(&session, "n", KeyValue::Long(number))
                .unwrap()
        })
        .collect();
    assert!(endpoint.reply_within(Duration::from_millis(500)).is_none());
    fixture.broker.up();
    for id in ids {
        assert_eq!(endpoint.outcome(id), Outcome::Durable);
    }
    let values = fixture.core.await_values(fixture.device, 10, PATIENCE);
    let numbers: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
    assert_eq!(
        numbers,
        (0..10).map(|number| json!(number)).collect::<Vec<_>>()
    );
    // Commands arrive again as well.
    fixture.core.rpc(fixture.device, "Read", "{}");
    fixture.sink.take_rpc();
}

#[test]
fn a59_an_absent_broker_and_a_silent_core_show_until_they_are_back() {
    let fixture = Fixture::start_with(|settings| settings.kafka.api_timeout_ms = 1000);
    let (endpoint, session) = fixture.registered();
    assert!(!fixture.health().broker_away && !fixture.health().core_silent);
    fixture.broker.down();
    eventually("the broker to be missed", || fixture.health().broker_away);
    endpoint.credentials("ep1").unwrap_err();
    assert!(fixture.health().core_silent);
    fixture.broker.up();
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
    assert!(!fixture.health().broker_away);
    eventually("an answer", || endpoint.credentials("ep1").is_ok());
    assert!(!fixture.health().core_silent);
}

#[test]
fn a59_a_device_is_answered_after_ten_seconds_though_its_reading_may_come_later() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.broker.down();
    let start = Instant::now();
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Unavailable);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_secs(10), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
    fixture.broker.up();
    fixture.core.await_values(fixture.device, 1, PATIENCE);
    assert!(endpoint.reply_within(Duration::from_millis(100)).is_none());
}

#[test]
fn a59_what_the_broker_finds_too_large_is_rejected_for_good() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    fixture
        .broker
        .0
        .request_errors(RDKafkaApiKey::Produce, &[too_large]);
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    let rejected = lightship::platform::uplink::RejectReason::TooLarge;
    assert_eq!(endpoint.outcome(id), Outcome::Rejected(rejected));
    assert_eq!(fixture.health().failures[&FailureReason::TooLarge], 1);
}

#[test]
fn a59_a_forbidden_topic_is_unavailable() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let forbidden = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    fixture
        .broker
        .0
        .request_errors(RDKafkaApiKey::Produce, &[forbidden]);
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Unavailable);
    assert_eq!(fixture.health().failures[&FailureReason::NotAuthorised], 1);
}

#[test]
fn a59_a_broker_that_fails_for_a_moment_is_asked_again() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let moment = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS;
    fixture
        .broker
        .0
        .request_errors(RDKafkaApiKey::Produce, &[moment, moment]);
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    assert_eq!(endpoint.outcome(id), Outcome::Durable);
}

#[test]
fn a76_a_missing_topic_delays_nobody_else() {
    let fixture = Fixture::start_with(|settings| settings.kafka.create_topics = false);
    fixture
        .core
        .add_queue("Gone", "tb_rule_engine.gone", 1, false);
    let gone = fixture
        .core
        .add_profile("gone", crate::fixture::CONFIGURATION, Some("Gone"));
    fixture.core.add_nosec_device("ep2", gone);
    let mut fixture = fixture;
    fixture.restart();
    let (endpoint, session) = fixture.registered();
    let unlucky = fixture.endpoint();
    let lost = fixture.open(&unlucky, "ep2");
    let start = Instant::now();
    let lost = unlucky.post(&lost, "n", KeyValue::Long(1)).unwrap();
    for number in 0..20 {
        let id = endpoint
            .post(&session, "n", KeyValue::Long(number))
            .unwrap();
        assert_eq!(endpoint.outcome(id), Outcome::Durable);
    }
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(unlucky.outcome(lost), Outcome::Unavailable);
    // When the topic is there again, so are the readings.
    let name = topics(&fixture).queue("tb_rule_engine.gone", PlatformId::NULL, 0);
    fixture.broker.create(&name, 1);
    eventually("a reading", || {
        let id = unlucky
            .post(&fixture.open(&unlucky, "ep2"), "n", KeyValue::Long(2))
            .unwrap();
        unlucky.outcome(id) == Outcome::Durable
    });
}

#[test]
fn a59_a_producer_with_a_fatal_error_is_replaced_and_nothing_is_lost() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    fixture
        .broker
        .0
        .request_errors(RDKafkaApiKey::Produce, &[fatal]);
    let mut ids = Vec::new();
    for number in 0..50 {
        loop {
            match endpoint.post(&session, "n", KeyValue::Long(number)) {
                Ok(id) => break ids.push(id),
                // While it is replaced.
                Err(SubmitError::Busy) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("{error}"),
            }
        }
    }
    for _ in &ids {
        match endpoint.reply() {
            lightship::platform::Reply::Done { outcome, .. } => {
                assert_eq!(outcome, Outcome::Durable);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fixture.health().producer_rebuilds, 1);
    let values = fixture.core.await_values(fixture.device, 50, PATIENCE);
    let mut numbers: Vec<_> = values
        .iter()
        .filter_map(|(_, value)| value.as_i64())
        .collect();
    numbers.dedup();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert_eq!(fixture.health().records[&RecordKind::Telemetry].failed, 0);
}

#[test]
fn an_execute_that_cannot_be_committed_is_refused() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    fixture
        .broker
        .0
        .request_errors(RDKafkaApiKey::OffsetCommit, &[refused; 200]);
    let execute = fixture.core.rpc(fixture.device, "Execute", "1");
    let told = fixture.core.await_rpc(execute, PATIENCE);
    assert!(told.statuses.is_empty(), "{told:?}");
    let error = r#"{"result":"INTERNAL_SERVER_ERROR","error":"It is not certain that this would happen only once"}"#;
    assert_eq!(told.reply, Some(Err(error.to_owned())));
    assert_eq!(fixture.sink.take_within(Duration::ZERO, is_rpc), None);
    // Anything else is still handed over.
    fixture.core.rpc(fixture.device, "Read", "2");
    assert_eq!(fixture.sink.take_rpc().params, "2");
    fixture
        .broker
        .0
        .clear_request_errors(RDKafkaApiKey::OffsetCommit);
}

#[test]
fn a64_a_stop_does_not_wait_for_a_broker_that_is_away() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.core.rpc(fixture.device, "Read", "{}");
    fixture.sink.take_rpc();
    fixture.broker.down();
    let id = endpoint.post(&session, "n", KeyValue::Long(1)).unwrap();
    let start = Instant::now();
    assert!(!fixture.platform.flush(Duration::from_millis(200)));
    fixture.platform.stop();
    assert_eq!(endpoint.outcome(id), Outcome::Unavailable);
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    fixture.broker.up();
}
