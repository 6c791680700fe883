//! A LwM2M 1.1 client on aiocoap (Python), steered by lines.
//!
//! The program is `tests/interop/aiocoap/device.py`; its header lists options, commands and events.

use std::time::Duration;

use super::cache::{self, PIP, PYTHON, Recipe};
use super::process::Process;

/// A running client. Dropping it ends it without a word to the server.
#[derive(Debug)]
pub(crate) struct Client {
    process: Process,
}

impl Client {
    /// Starts a client that registers at `server` (`127.0.0.1:5685`) at once; `options` are those of the program. `None`:
    /// it cannot be had here, as said on standard error.
    pub(crate) fn start(server: &str, endpoint: &str, options: &[&str]) -> Option<Self> {
        let packages = RECIPE.prepare(|folder| cache::fetch_python(folder, &PACKAGES))?;
        let mut command = cache::python(&packages);
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/interop/aiocoap/device.py"
            ))
            .arg(format!("server={server}"))
            .arg(format!("endpoint={endpoint}"))
            .args(options);
        Some(Self {
            process: Process::spawn("aiocoap client", &mut command),
        })
    }

    /// Gives the client a command, such as `set /3303/0/5700 21.5`.
    pub(crate) fn command(&mut self, command: &str) {
        self.process.send_line(command);
    }

    /// Waits for an event that begins with these words, such as `written /3/0/14`; returns the rest of its line.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`].
    pub(crate) fn expect_event(&mut self, words: &str) -> String {
        self.process.expect_words(PATIENCE, words)
    }
}

/// How long an event may take, a start of Python on a busy machine included.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const PACKAGES: [&str; 2] = ["aiocoap==0.4.17", "cbor2==6.3.0"];
const RECIPE: Recipe<'static> = Recipe {
    peer: "aiocoap",
    folder: "aiocoap-0.4.17",
    to_run: &[PYTHON],
    to_make: &[PIP],
    fetches: true,
};
