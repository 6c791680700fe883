//! Fragments in any order take bounded memory.

use lightship::dtls::fuzzing;

/// Reads `data`.
pub(crate) fn run(data: &[u8]) {
    fuzzing::reassembly(data);
}
