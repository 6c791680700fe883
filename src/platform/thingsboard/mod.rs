//! The platform core over Kafka.
