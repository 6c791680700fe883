//! The MAC inside CBC: anything but the right one is refused.

use lightship::dtls::fuzzing;

/// Reads `data`.
pub(crate) fn run(data: &[u8]) {
    fuzzing::cbc(data);
}
