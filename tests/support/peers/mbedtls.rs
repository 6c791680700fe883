//! A DTLS client on Mbed TLS, with connection ids, built from the sources inside a crate.
//!
//! The program is `tests/interop/mbedtls/client.c`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

use super::cache::{self, CARGO, CC, Recipe};
use super::process::Process;

/// Starts a client with these arguments. `None`: it cannot be had here, as said on standard error.
pub(crate) fn start(arguments: &[String]) -> Option<Process> {
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let recipe = Recipe {
        peer: "Mbed TLS client",
        folder: &format!("mbedtls-3.6.5-{:016x}", hasher.finish()),
        to_run: &[],
        to_make: &[CARGO, CC],
        fetches: true,
    };
    let folder = recipe.prepare(|folder| {
        let script = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/interop/mbedtls/build.sh"
        );
        cache::run(Command::new("sh").arg(script).arg(folder))
    })?;
    let mut command = Command::new(folder.join("client"));
    command.args(arguments);
    Some(Process::spawn("Mbed TLS client", &mut command))
}

const SOURCE: &str = concat!(
    include_str!("../../interop/mbedtls/build.sh"),
    include_str!("../../interop/mbedtls/client.c")
);
