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
