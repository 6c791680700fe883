//! The platform core over Kafka.

mod clock;
pub mod convert;
mod json;
pub mod partition;
mod proto;
pub mod routing;
pub mod settings;
mod sync;
pub mod topics;
