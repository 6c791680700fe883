//! On Apache Kafka; skipped with a reason where it cannot be had.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lightship::platform::{
    Downlink, Outcome, PlatformId, SessionInfo, SubmitError,
    thingsboard::{
        partition::partition,
        settings::{HashFunction, KafkaSettings},
        topics::Topics,
    },
    uplink::KeyValue,
};
use serde_json::json;

use crate::{
    fixture::{CONFIGURATION, Endpoint, Fixture, PATIENCE, PREFIX, Received, SERVICE, eventually},
    peers::kafka::Broker,
};

#[test]
fn a59_topics_are_created_and_readings_survive_the_end_of_the_broker() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let address = broker.bootstrap_servers();
    let mut fixture = Fixture::start_on(broker, &address, |_| {});
    let (endpoint, session) = fixture.registered();
    let post = |number| loop {
        match endpoint.post(&session, "n", KeyValue::Long(number)) {
            Ok(id) => break id,
            Err(SubmitError::Busy) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let first = post(0);
    assert_eq!(endpoint.outcome(first), Outcome::Durable);
    fixture.broker.kill();
    let waiting: Vec<_> = (1..100).map(&post).collect();
    fixture.broker.restart();
    let mut outcomes = waiting.into_iter().map(|id| endpoint.outcome(id));
    assert!(outcomes.all(|outcome| outcome == Outcome::Durable || outcome == Outcome::Unavailable));
    // Told or not, all of them arrive, in their order.
    let values = fixture.core.await_values(fixture.device, 100, PATIENCE);
    let numbers: Vec<_> = values.into_iter().map(|(_, value)| value).collect();
    assert_eq!(
        numbers,
        (0..100).map(|number| json!(number)).collect::<Vec<_>>()
    );
    // Until offsets can be committed again an Execute is refused, and must be sent again.
    eventually("an Execute is handed over", || is_handed_over(&fixture));
}

/// Sends an Execute; false when it is refused.
fn is_handed_over(fixture: &Fixture<Broker>) -> bool {
    let rpc = fixture.core.rpc(fixture.device, "Execute", "{}");
    let is_it = |received: &Received| matches!(received, Received::Session(_, Downlink::Rpc(request)) if request.id.uuid == rpc);
    let mut handed_over = false;
    let end = Instant::now() + PATIENCE;
    while !handed_over && fixture.core.rpc_progress(rpc).reply.is_none() {
        assert!(Instant::now() < end, "a command without an end");
        handed_over = fixture
            .sink
            .take_within(Duration::from_millis(100), is_it)
            .is_some();
    }
    handed_over
}

#[test]
fn a76_a_topic_that_vanishes_fails_its_own_readings_alone_and_they_come_back_with_it() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let address = broker.bootstrap_servers();
    let mut fixture = Fixture::start_on(broker, &address, |_| {});
    let gone = "tb_rule_engine.gone";
    fixture.core.add_queue("Gone", gone, 10, false);
    let profile = fixture
        .core
        .add_profile("gone", CONFIGURATION, Some("Gone"));
    let device = fixture.core.add_nosec_device("ep2", profile);
    fixture.restart();
    let (endpoint, session) = fixture.registered();
    let unlucky = fixture.endpoint();
    let lost = fixture.open(&unlucky, "ep2");
    // What the Kafka client refuses at once, the endpoint learns as the same outcome.
    let post = |of: &Endpoint, session: &Arc<SessionInfo>, number| {
        of.post(session, "n", KeyValue::Long(number))
            .map_or(Outcome::Unavailable, |id| of.outcome(id))
    };
    assert_eq!(post(&unlucky, &lost, 0), Outcome::Durable);

    let settings = KafkaSettings {
        prefix: PREFIX.to_owned(),
        ..KafkaSettings::default()
    };
    let number = partition(device, 10, HashFunction::Murmur3_128);
    let topic = Topics::new(&settings, SERVICE)
        .unwrap()
        .queue(gone, PlatformId::NULL, number);
    fixture.broker.delete_topic(&topic);
    let waiting = thread::spawn({
        let (unlucky, lost) = (unlucky.clone(), Arc::clone(&lost));
        move || post(&unlucky, &lost, 1)
    });
    let mut slowest = Duration::ZERO;
    // Its producer is given up when the reading is, so that the others are looked at for some time after that too.
    let deadline = Instant::now() + PATIENCE;
    let mut left = 100;
    while left > 0 {
        assert!(Instant::now() < deadline, "it waits for ever");
        let start = Instant::now();
        assert_eq!(post(&endpoint, &session, 1), Outcome::Durable);
        slowest = slowest.max(start.elapsed());
        left -= i32::from(waiting.is_finished());
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(waiting.join().unwrap(), Outcome::Unavailable);
    println!(
        "slowest reading of another device {slowest:?}, {} producers replaced",
        fixture.health().producer_rebuilds
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");

    fixture.broker.create_topics(&[(&topic, 1)]);
    eventually("a reading", || post(&unlucky, &lost, 2) == Outcome::Durable);
    assert!(!fixture.broker.records(&topic).is_empty());
}
