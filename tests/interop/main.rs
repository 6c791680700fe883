//! Brokers and clients that nobody here wrote, and the harness that runs them.

#[path = "../support/peers/mod.rs"]
mod peers;
#[cfg(feature = "kafka")]
#[path = "../support/mod.rs"]
mod support;

mod clients;
mod commands;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod platform;
