//! Whether a peer can receive where it claims to be (RFC 9175 section 2): a challenge in Echo, without state.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Makes and checks the values of Echo. A value holds for its peer until it is [`Self::VALIDITY`] to twice that old.
pub struct Freshness {
    key: [u8; 32],
    begin: Instant,
}

impl Freshness {
    /// How long a value holds at least.
    pub const VALIDITY: Duration = Duration::from_secs(60);

    /// `key` is random and secret; times count from `begin`.
    pub const fn new(key: [u8; 32], begin: Instant) -> Self {
        Self { key, begin }
    }

    /// The challenge for a peer, 8 bytes. `peer` is its address as bytes.
    pub fn challenge(&self, now: Instant, peer: &[u8]) -> [u8; 8] {
        self.value(self.period(now), peer)
    }

    /// Whether a peer has given back a challenge that was sent to it of late.
    pub fn is_proof(&self, now: Instant, peer: &[u8], echo: &[u8]) -> bool {
        let period = self.period(now);
        [period, period.wrapping_sub(1)]
            .into_iter()
            .any(|period| same(&self.value(period, peer), echo))
    }

    fn period(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.begin).as_secs();
        age.checked_div(Self::VALIDITY.as_secs()).unwrap_or(0)
    }

    fn value(&self, period: u64, peer: &[u8]) -> [u8; 8] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            // HMAC takes keys of any length.
            return [0; 8];
        };
        mac.update(&period.to_be_bytes());
        mac.update(peer);
        let tag = mac.finalize().into_bytes();
        tag.first_chunk().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for Freshness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Freshness").finish_non_exhaustive()
    }
}

/// Compares in a time that does not depend on the content.
fn same(own: &[u8], other: &[u8]) -> bool {
    own.len() == other.len()
        && own
            .iter()
            .zip(other)
            .fold(0, |difference, (own, other)| difference | (own ^ other))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    #[test]
    fn a01_only_the_peer_that_was_challenged_can_prove_it_and_for_a_while() {
        let begin = start();
        let freshness = Freshness::new([7; 32], begin);
        let at = |seconds| begin + Duration::from_secs(seconds);
        let echo = freshness.challenge(at(59), b"peer");
        assert!(freshness.is_proof(at(59), b"peer", &echo));
        assert!(freshness.is_proof(at(119), b"peer", &echo));
        assert!(!freshness.is_proof(at(120), b"peer", &echo));
        assert!(!freshness.is_proof(at(59), b"other", &echo));
        assert!(!freshness.is_proof(at(59), b"peer", &echo[..7]));
        assert!(!freshness.is_proof(at(59), b"peer", b""));
        let stranger = Freshness::new([8; 32], begin);
        assert!(!stranger.is_proof(at(59), b"peer", &echo));
    }
}
