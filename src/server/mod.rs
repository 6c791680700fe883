//! Sockets, threads, directory, clock, shutdown, HTTP.

pub mod settings;
