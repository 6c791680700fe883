//! The broker of the harness itself: it starts, keeps records through both kinds of end, and creates no topic unasked.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::peers::kafka::Broker;

#[test]
fn broker_keeps_records_through_stop_and_kill() {
    let Some(mut broker) = Broker::start() else {
        return;
    };
    broker.create_topics(&[("kept", 3)]);
    let payloads: Vec<String> = (0..300).map(|number| format!("value {number}")).collect();

    let mut written = payloads
        .iter()
        .map(|payload| ("device", payload.as_bytes()));
    let mut batch = || written.by_ref().take(100).collect::<Vec<_>>();
    broker.produce("kept", &batch());
    broker.stop();
    broker.restart();
    broker.produce("kept", &batch());
    broker.kill();
    broker.restart();
    broker.produce("kept", &batch());

    let read: Vec<_> = broker
        .records("kept")
        .into_iter()
        .map(|record| record.payload)
        .collect();
    let expected: Vec<_> = payloads.into_iter().map(String::into_bytes).collect();
    assert_eq!(
        read, expected,
        "one key is one partition, so the order is kept as well"
    );
}

#[test]
fn broker_creates_no_topic_by_use() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", "curious")
        .set("allow.auto.create.topics", "true")
        .create()
        .expect("valid");
    consumer
        .subscribe(&["never_made"])
        .expect("any name can be subscribed to");
    for _ in 0..5 {
        if let Some(result) = consumer.poll(Duration::from_millis(200)) {
            assert!(result.is_err(), "a record in a topic that nobody made");
        }
    }
    let metadata = consumer
        .fetch_metadata(None, Duration::from_secs(10))
        .expect("the broker answers");
    assert!(
        metadata
            .topics()
            .iter()
            .all(|topic| topic.name() != "never_made")
    );
}

#[test]
fn shared_broker_is_one_broker() {
    let Some(first) = Broker::shared() else {
        return;
    };
    let second = Broker::shared().expect("it runs");
    assert_eq!(first.bootstrap_servers(), second.bootstrap_servers());
    first.create_topics(&[("shared", 1)]);
    first.produce("shared", &[("", b"once")]);
    assert_eq!(second.records("shared").len(), 1);
}
