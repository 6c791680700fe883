//! The Kafka side of the platform seam against the strict double of the core, on a broker inside this process; what that
//! broker cannot do (create topics, keep records through its own end) is shown on Apache Kafka.
#![cfg(feature = "kafka")]
#![expect(
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "broker and threads live in real time"
)]

#[path = "kafka/discovery.rs"]
mod discovery;
#[path = "kafka/double.rs"]
mod double;
#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/fixture.rs"]
mod fixture;
#[path = "kafka/independent.rs"]
mod independent;
#[path = "kafka/notifications.rs"]
mod notifications;
#[path = "kafka/partitions.rs"]
mod partitions;
#[path = "support/peers/mod.rs"]
mod peers;
#[path = "kafka/questions.rs"]
mod questions;
#[path = "kafka/real_broker.rs"]
mod real_broker;
#[path = "kafka/security.rs"]
mod security;
#[path = "kafka/strictness.rs"]
mod strictness;
mod support;
#[path = "kafka/tenants.rs"]
mod tenants;
#[path = "kafka/uplinks.rs"]
mod uplinks;
