//! Sockets, threads, directory, clock, shutdown, HTTP.

pub mod http;
pub mod metrics;
pub mod settings;
