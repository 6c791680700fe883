//! Brokers and clients that nobody here wrote, and the harness that runs them.

#![allow(
    clippy::disallowed_methods,
    reason = "real processes live in real time"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "the support code of tests fails by panicking"
)]

#[path = "../support/peers/mod.rs"]
mod peers;
#[allow(dead_code, reason = "shared with other test programs")]
#[path = "../support/server.rs"]
mod server;
#[cfg(feature = "kafka")]
#[path = "../support/mod.rs"]
mod support;

mod aiocoap;
mod cases;
mod clients;
mod commander;
mod commands;
mod dtls;
mod formats;
#[cfg(feature = "kafka")]
mod kafka;
mod libcoap;
mod openapi;
#[cfg(feature = "kafka")]
mod outages;
#[cfg(feature = "kafka")]
mod platform;
#[cfg(feature = "kafka")]
mod restarts;
#[cfg(feature = "kafka")]
mod scene;
mod secure_server;
#[cfg(feature = "strict-core")]
mod strict_core;
mod wakaama;
#[cfg(feature = "kafka")]
mod zookeeper;

/// Where `server` expects it.
use peers::process;
