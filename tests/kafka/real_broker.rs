//! On Apache Kafka; skipped with a reason where it cannot be had.

use lightship::platform::{Outcome, SubmitError, uplink::KeyValue};
use serde_json::json;

use crate::{
    fixture::{Fixture, PATIENCE},
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
            Err(SubmitError::Busy) => std::thread::yield_now(),
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
    let rpc = fixture.core.rpc(fixture.device, "Execute", "{}");
    assert_eq!(fixture.sink.take_rpc().id.uuid, rpc);
}
