//! Eclipse Wakaama's example client (C, LwM2M 1.0, no DTLS), steered by lines.
//!
//! It prints its state (` -> State: STATE_READY` is registered) and a dump of every datagram. Of its commands
//! `change URI VALUE` (notifies), `update 123`, `list` and `quit` (deregisters) matter here.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::cache::{self, CC, NPM, Recipe, TAR};
use super::free_udp_port;
use super::process::Process;

/// A running client. Dropping it ends it without a word to the server.
#[derive(Debug)]
pub(crate) struct Client {
    process: Process,
}

impl Client {
    /// Starts a client that registers at `127.0.0.1:server_port` at once. `None`: it cannot be had here, as said on
    /// standard error.
    pub(crate) fn start(server_port: u16, endpoint: &str, lifetime: u32) -> Option<Self> {
        Self::start_with(server_port, endpoint, lifetime, &[])
    }

    /// Starts a client that asks the bootstrap server at `127.0.0.1:server_port` where to register. `None` as above.
    pub(crate) fn start_bootstrapped(server_port: u16, endpoint: &str) -> Option<Self> {
        Self::start_with(server_port, endpoint, 300, &["-b"])
    }

    fn start_with(
        server_port: u16,
        endpoint: &str,
        lifetime: u32,
        options: &[&str],
    ) -> Option<Self> {
        let folder = RECIPE.prepare(make)?;
        let mut command = Command::new(folder.join(PROGRAM));
        command
            .args([
                "-4",
                "-h",
                "127.0.0.1",
                "-p",
                &server_port.to_string(),
                "-n",
                endpoint,
            ])
            .args([
                "-t",
                &lifetime.to_string(),
                "-l",
                &free_udp_port().to_string(),
            ])
            .args(options);
        Some(Self {
            process: Process::spawn("Wakaama client", &mut command),
        })
    }

    /// Gives the client a command, such as `change /3/0/9 77`.
    pub(crate) fn command(&mut self, command: &str) {
        self.process.send_line(command);
    }

    /// Waits for a line that contains `text` and takes it; others stay for later calls.
    ///
    /// # Panics
    /// When it does not come within 60 s.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        self.process
            .expect(Duration::from_secs(60), |line| line.contains(text))
    }

    /// Returns the client's process, for signals and the end of its life.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn make(folder: &Path) -> Result<(), String> {
    cache::run(
        Command::new("npm")
            .current_dir(folder)
            .args(["pack", "--silent", PACKAGE]),
    )?;
    cache::run(
        Command::new("sh")
            .current_dir(folder)
            .args(["-c", "tar -xzf ./*.tgz"]),
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/wakaama/build.sh");
    cache::run(
        Command::new("sh")
            .arg(script)
            .arg(folder.join("package"))
            .arg(folder.join(PROGRAM)),
    )
}

/// The npm package that carries Wakaama's sources.
const PACKAGE: &str = "node-red-contrib-lwm2m@2.12.3";
const PROGRAM: &str = "lwm2mclient";
const RECIPE: Recipe<'static> = Recipe {
    peer: "Wakaama client",
    folder: "wakaama-2.12.3",
    to_run: &[],
    to_make: &[NPM, TAR, CC],
    fetches: true,
};
