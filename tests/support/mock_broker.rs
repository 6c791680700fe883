//! A broker inside the test process: librdkafka's mock cluster, which cannot create topics by request.

use std::{thread, time::Duration};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use super::strict_core::StrictCore;

/// One broker that holds the topics of a core and of one transport.
pub(crate) struct MockBroker(pub(crate) MockCluster<'static, DefaultProducerContext>);

impl MockBroker {
    /// Starts it with every topic that `prefix` and `service_id` need.
    pub(crate) fn start(prefix: &str, service_id: &str) -> Self {
        let broker = Self::empty();
        for (topic, partitions) in StrictCore::topics(prefix, service_id) {
            broker.create(&topic, partitions);
        }
        broker
    }

    /// Starts it without topics.
    pub(crate) fn empty() -> Self {
        Self(MockCluster::new(1).unwrap())
    }

    pub(crate) fn create(&self, topic: &str, partitions: i32) {
        // The mock's thread sleeps through a call that comes while it finishes the one before, up to a second.
        thread::sleep(Duration::from_millis(2));
        self.0.create_topic(topic, partitions, 1).unwrap();
    }

    pub(crate) fn bootstrap_servers(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Refuses connections and drops the open ones.
    pub(crate) fn down(&self) {
        self.0.broker_down(1).unwrap();
    }

    /// Serves again.
    pub(crate) fn up(&self) {
        self.0.broker_up(1).unwrap();
    }
}
