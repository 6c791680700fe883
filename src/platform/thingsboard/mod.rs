//! The platform core over Kafka.

pub mod settings;
