//! A DTLS client on Scandium, the DTLS of Eclipse Californium, which comes with the Leshan libraries.
//!
//! The program is `tests/interop/scandium/SecureClient.java`.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;

use super::cache::{self, JAVA, JAVAC, Recipe};
use super::leshan;
use super::process::Process;

/// Starts a client with these arguments. `None`: it cannot be had here, as said on standard error.
pub(crate) fn start(arguments: &[String]) -> Option<Process> {
    let jars = leshan::libraries()?;
    let mut hasher = DefaultHasher::new();
    SOURCE.hash(&mut hasher);
    let recipe = Recipe {
        peer: "Scandium client",
        folder: &format!("scandium-client-{:016x}", hasher.finish()),
        to_run: &[JAVA],
        to_make: &[JAVAC],
        fetches: false,
    };
    let classes = recipe.prepare(|folder| {
        let mut javac = Command::new("javac");
        javac.current_dir(folder).args(["-cp", &jars, NAME]);
        fs::write(folder.join(NAME), SOURCE).map_err(|error| format!("{NAME}: {error}"))?;
        cache::run(&mut javac)
    })?;
    let mut command = Command::new("java");
    command
        .args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .args([
            "-cp",
            &format!("{}:{jars}", classes.display()),
            "SecureClient",
        ])
        .args(arguments);
    Some(Process::spawn("Scandium client", &mut command))
}

const NAME: &str = "SecureClient.java";
const SOURCE: &str = include_str!("../../interop/scandium/SecureClient.java");
