//! Values that must not be shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// A secret setting, empty when there is none. `Debug` and `Serialize` print `***` in place of a value; an error in
/// reading it does not quote it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, to be used and not to be shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that depends on the lengths alone.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let difference = self
            .0
            .bytes()
            .zip(candidate)
            .fold(self.0.len() ^ candidate.len(), |difference, (a, b)| {
                difference | usize::from(a ^ b)
            });
        difference == 0
    }

    const fn mask(&self) -> &'static str {
        if self.is_empty() { "" } else { "***" }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mask())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.mask())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a58_is_never_shown() {
        let secret = Secret::new("s3cr3t");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).unwrap(), r#""***""#);
        assert_eq!(secret.expose(), "s3cr3t");
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), r#""""#);
    }

    #[test]
    fn matches_only_the_whole_value() {
        let secret = Secret::new("token");
        assert!(secret.matches(b"token"));
        for wrong in ["", "toke", "tokens", "Token"] {
            assert!(!secret.matches(wrong.as_bytes()), "{wrong}");
        }
    }
}
