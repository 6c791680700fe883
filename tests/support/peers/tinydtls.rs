//! A DTLS client on Eclipse tinydtls, the library of small devices, by way of the Python package DTLSSocket.
//!
//! The program is `tests/interop/tinydtls/client.py`.

use std::process::Command;

use super::cache::{self, AUTORECONF, CC, PIP, PYTHON, Recipe};
use super::process::Process;

/// Starts a client with these arguments. `None`: it cannot be had here, as said on standard error.
pub(crate) fn start(arguments: &[&str]) -> Option<Process> {
    let packages = RECIPE.prepare(|folder| {
        let mut pip = Command::new("pip3");
        pip.args(["install", "--quiet", "--no-compile", "--target"])
            .arg(folder)
            .arg("DTLSSocket==0.2.3");
        cache::run(&mut pip)
    })?;
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/interop/tinydtls/client.py"
        ))
        .args(arguments);
    Some(Process::spawn("tinydtls client", &mut command))
}

const RECIPE: Recipe<'static> = Recipe {
    peer: "tinydtls",
    folder: "dtlssocket-0.2.3",
    to_run: &[PYTHON],
    to_make: &[PIP, CC, AUTORECONF],
    fetches: true,
};
