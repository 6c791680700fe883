//! A DTLS client on Scandium, the DTLS of Eclipse Californium, which comes with the Leshan libraries.
//!
//! The program is `tests/interop/scandium/SecureClient.java`.

use super::leshan;
use super::process::Process;

/// Starts a client with these arguments. `None`: it cannot be had here, as said on standard error.
pub(crate) fn start(arguments: &[String]) -> Option<Process> {
    let mut command = leshan::program("Scandium client", "scandium-client", &[SOURCE])?;
    Some(Process::spawn("Scandium client", command.args(arguments)))
}

const SOURCE: (&str, &str) = (
    "SecureClient.java",
    include_str!("../../interop/scandium/SecureClient.java"),
);
