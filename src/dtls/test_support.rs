//! What the tests of this folder share.

use std::time::Instant;

use rand::{SeedableRng as _, rngs::ChaCha8Rng};

/// Bytes from hexadecimal digits; others are skipped.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|letter| letter.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// A generator that gives the same for the same seed.
pub(super) fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A base to which tests add.
#[expect(clippy::disallowed_methods, reason = "a base to which tests add")]
pub(super) fn start() -> Instant {
    Instant::now()
}
