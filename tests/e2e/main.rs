//! The built binary as newcomers and operators run it: its commands, its texts, its exit statuses, its ports.
//!
//! Every test has servers, folders and free ports of its own on the loopback address.
#![allow(
    clippy::disallowed_methods,
    reason = "real processes live in real time"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "the support code of tests fails by panicking"
)]

#[allow(dead_code, reason = "shared with other test programs")]
#[path = "../support/peers/process.rs"]
mod process;

mod bootstrap;
mod commands;
mod demo;
#[cfg(feature = "kafka")]
mod deployment;
mod docs;
mod flood;
mod http;
mod https;
mod registry;
mod restart;
mod secure;
#[path = "../support/server.rs"]
mod server;
mod settings;
mod stop;
mod updates;
mod wire;
