//! Brokers and clients that nobody here wrote, and the harness that runs them.

#[path = "../support/peers/mod.rs"]
mod peers;

mod clients;
#[cfg(feature = "kafka")]
mod kafka;
