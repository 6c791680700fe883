//! Commands: one file each.

pub mod bench;
pub mod config;
pub mod demo;
pub mod device;
pub mod healthcheck;
mod https;
#[cfg(feature = "kafka")]
mod kafka_metrics;
pub mod keygen;
mod logging;
pub mod rpc;
mod security;
pub mod serve;
mod service;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A Lightweight M2M server: devices over CoAP, the platform over Kafka or a folder of files.
#[derive(Debug, Parser)]
#[command(
    name = "lightship",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// Without a command, the service runs.
    #[command(flatten)]
    serve: serve::Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows everything on one machine: a server, a simulated device, values arriving, a command and its answer.
    Demo(demo::Demo),
    /// Runs the service; the default command.
    Serve(serve::Serve),
    /// Sends one command to a device of a server in embedded mode, and prints the answer.
    Rpc(rpc::Rpc),
    /// Runs one simulated device against any LwM2M server.
    Device(device::Device),
    /// Measures the server beside a bare socket, on this machine.
    Bench(bench::Bench),
    /// Checks or prints the settings.
    Config(config::Config),
    /// Makes keys and certificates for trials.
    Keygen(keygen::Keygen),
    /// Asks a running server whether it is ready; exit status 0 or 1.
    Healthcheck(healthcheck::Healthcheck),
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let Arguments { serve, command } = Arguments::parse();
    match command.unwrap_or(Command::Serve(serve)) {
        Command::Demo(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Rpc(command) => command.run(),
        Command::Device(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Keygen(command) => command.run(),
        Command::Healthcheck(command) => command.run(),
    }
}
