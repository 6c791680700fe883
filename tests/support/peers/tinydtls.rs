//! A DTLS client on Eclipse tinydtls, the library of small devices, by way of the Python package DTLSSocket.
//!
//! The program is `tests/interop/tinydtls/client.py`.

use super::cache::{self, AUTORECONF, CC, PIP, PYTHON, Recipe};
use super::process::Process;

/// Starts a client with these arguments. `None`: it cannot be had here, as said on standard error.
pub(crate) fn start(arguments: &[&str]) -> Option<Process> {
    let packages = RECIPE.prepare(|folder| cache::fetch_python(folder, &["DTLSSocket==0.2.3"]))?;
    let mut command = cache::python(&packages);
    command
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
