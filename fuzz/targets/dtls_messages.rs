//! The body of any handshake message is read or refused; what is read is written alike.

use lightship::dtls::fuzzing;

/// Reads `data`.
pub(crate) fn run(data: &[u8]) {
    fuzzing::messages(data);
}
