//! A small seeded generator: the same seed yields the same message ids, tokens and jitter.

use std::{fmt, ops::RangeInclusive};

use rand::{Rng as _, SeedableRng as _, rngs::ChaCha8Rng};

/// A cryptographic generator that keeps 40 bytes: a key and the position in its ChaCha8 key stream.
///
/// The usual generator buffers four blocks, 300 bytes that every idle endpoint would carry; a draw here computes its
/// blocks anew, which is cheap beside the datagram it is drawn for.
#[derive(Clone)]
pub struct Random {
    key: [u8; 32],
    /// Position in the key stream, in words of 8 bytes.
    position: u64,
}

impl Random {
    /// Starts the stream that belongs to `seed`.
    pub const fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            key: seed,
            position: 0,
        }
    }

    /// Fills `target` with random bytes.
    pub fn fill(&mut self, target: &mut [u8]) {
        let mut stream = ChaCha8Rng::from_seed(self.key);
        // ChaCha8Rng counts words of 4 bytes.
        stream.set_word_pos(u128::from(self.position) << 1);
        stream.fill_bytes(target);
        let words = u64::try_from(target.len().div_ceil(8)).unwrap_or(u64::MAX);
        self.position = self.position.wrapping_add(words);
    }

    /// What another generator may begin with.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        seed
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number from `range`, each with the same probability up to 2^-64; the start of an empty range.
    pub fn uniform(&mut self, range: RangeInclusive<u64>) -> u64 {
        let span = u128::from(range.end().saturating_sub(*range.start())).saturating_add(1);
        // The high half of a 64 x 65 bit product is below `span`, so the sum is at most the end of the range.
        let offset = u128::from(self.next_u64()).saturating_mul(span) >> 64;
        range
            .start()
            .saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Random {
    /// Shows no state: tokens that are still to be drawn must not be found in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams() {
        let mut one = Random::from_seed([7; 32]);
        let mut two = Random::from_seed([7; 32]);
        let mut other = Random::from_seed([8; 32]);
        let draws: Vec<u64> = (0..100).map(|_| one.next_u64()).collect();
        assert!(draws.iter().all(|&draw| draw == two.next_u64()));
        assert!(draws.iter().all(|&draw| draw != other.next_u64()));
    }

    #[test]
    fn the_stream_is_chacha8_read_on() {
        let mut reference = ChaCha8Rng::from_seed([9; 32]);
        let mut random = Random::from_seed([9; 32]);
        for _ in 0..100 {
            assert_eq!(random.next_u64(), reference.next_u64());
        }
    }

    #[test]
    fn no_byte_of_the_stream_is_used_twice() {
        let mut random = Random::from_seed([1; 32]);
        let mut short = [0; 3];
        random.fill(&mut short);
        let mut long = [0; 16];
        random.fill(&mut long);
        let mut stream = [0; 24];
        Random::from_seed([1; 32]).fill(&mut stream);
        assert_eq!(short, stream[..3]);
        assert_eq!(long, stream[8..]);
    }

    #[test]
    fn uniform_stays_in_its_range_and_reaches_both_ends() {
        let mut random = Random::from_seed([2; 32]);
        let draws: Vec<u64> = (0..1000).map(|_| random.uniform(3..=6)).collect();
        assert!((3..=6).all(|value| draws.contains(&value)));
        assert!(draws.iter().all(|draw| (3..=6).contains(draw)));
        assert_eq!(random.uniform(5..=5), 5);
        random.uniform(0..=u64::MAX);
    }

    #[test]
    fn an_idle_generator_is_40_bytes() {
        assert_eq!(size_of::<Random>(), 40);
    }
}
