//! A datagram is cut into records and fragments, and none of it is taken for authentic.

use lightship::dtls::fuzzing;

/// Reads `data`.
pub(crate) fn run(data: &[u8]) {
    fuzzing::records(data);
}
