//! Registration ids.

use std::{fmt, str::FromStr};

use crate::coap::Random;

/// A registration id: two characters that name the service instance, eight random ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId([u8; 10]);

impl RegistrationId {
    /// A new id of the instance with this ordinal.
    pub(super) fn random(ordinal: u8, random: &mut Random) -> Self {
        let letter =
            |number: u64| ALPHABET[usize::try_from(number).unwrap_or_default() % ALPHABET.len()];
        let mut id = [0; 10];
        id[0] = letter(u64::from(ordinal) / ALPHABET.len() as u64);
        id[1] = letter(u64::from(ordinal));
        for byte in &mut id[2..] {
            *byte = letter(random.uniform(0..=ALPHABET.len() as u64 - 1));
        }
        Self(id)
    }

    /// The ten characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII letters and digits")
    }
}

impl FromStr for RegistrationId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes: [u8; 10] = text.as_bytes().try_into().map_err(|_| ())?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(bytes))
            .ok_or(())
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn p31_13_an_id_names_the_instance_and_cannot_be_guessed() {
        let mut random = Random::from_seed([7; 32]);
        let mut ids = BTreeSet::new();
        let mut letters = [const { BTreeSet::new() }; 8];
        for _ in 0..10_000 {
            let id = RegistrationId::random(62, &mut random);
            let (instance, rest) = id.as_str().split_at(2);
            assert_eq!((instance, rest.len()), ("10", 8));
            assert_eq!(id.as_str().parse(), Ok(id));
            for (seen, letter) in letters.iter_mut().zip(rest.bytes()) {
                seen.insert(letter);
            }
            ids.insert(id);
        }
        assert_eq!(ids.len(), 10_000);
        assert!(letters.iter().all(|seen| seen.len() == ALPHABET.len()));
        assert!("10abcdef!2".parse::<RegistrationId>().is_err());
    }
}
