//! libcoap's command-line client, `coap-client-notls` of Debian's `libcoap3-bin`.

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::cache::{self, COAP_CLIENT};
use super::process::Process;

/// Tells whether it is there; if not, standard error says so.
pub(crate) fn is_there() -> bool {
    cache::is_installed("libcoap client", COAP_CLIENT)
}

/// Sends a request and waits for the client's end; returns what it printed, the dump of every message included.
///
/// # Panics
/// When the client does not end in time.
pub(crate) fn request(arguments: &[&str]) -> String {
    let mut client = spawn(arguments);
    client.wait(LIMIT);
    client.output().join("\n")
}

/// Starts a client that observes `uri` for so many seconds; each body is a line of its own.
pub(crate) fn observe(uri: &str, seconds: &str, more: &[&str]) -> Process {
    spawn(&[&["-w", "-m", "get", "-s", seconds], more, &[uri]].concat())
}

fn spawn(arguments: &[&str]) -> Process {
    // Every process would begin with the token 1, and be taken for the one before when its message id is the same. The
    // client counts up from the token it is given.
    let token = format!("{:04}0000", STARTED.fetch_add(1, Ordering::Relaxed));
    let mut command = Command::new(COAP_CLIENT.probe[0]);
    // -B: seconds to wait for an answer; -v 6: the dump.
    command
        .args(["-B", "10", "-v", "6", "-T", &token])
        .args(arguments);
    Process::spawn("libcoap client", &mut command)
}

/// How many processes there were.
static STARTED: AtomicU16 = AtomicU16::new(0);

/// Longer than the client itself waits for an answer.
const LIMIT: Duration = Duration::from_secs(20);
