//! Sockets, threads, directory, clock, shutdown, HTTP.

pub mod metrics;
pub mod settings;
