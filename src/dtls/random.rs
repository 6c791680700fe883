//! Where random bytes come from, and bytes that must not be seen.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A cryptographic generator for cookies, connection ids, server randoms, initialisation vectors and jitter. Ephemeral keys
/// and signatures draw from the crypto library's own.
pub trait Random: Send {
    /// Fills `target` with bytes that nobody can foretell.
    fn fill(&mut self, target: &mut [u8]);
}

impl<R: rand::CryptoRng + Send> Random for R {
    fn fill(&mut self, target: &mut [u8]) {
        self.fill_bytes(target);
    }
}

/// Draws an array.
pub(super) fn array<const N: usize>(random: &mut dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

/// Key bytes: wiped when dropped, not shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct Secret<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Secret bytes whose number is not known beforehand: wiped when dropped, not shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!(
            "{:?} {:?}",
            Secret([0x41; 4]),
            SecretBytes::new(vec![0x41; 4])
        );
        assert_eq!(shown, "Secret(..) SecretBytes(..)");
    }
}
