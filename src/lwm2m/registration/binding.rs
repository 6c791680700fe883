//! Binding modes: the transports a device speaks (OMA LwM2M Core, "Register", parameter `b`).

use std::fmt;

use super::error::RegistrationError;
use crate::lwm2m::version::Lwm2mVersion;

/// One letter of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindingMode {
    /// UDP
    U,
    /// TCP, since 1.1
    T,
    /// SMS
    S,
    /// Non-IP, since 1.1
    N,
    /// Queue Mode, in 1.0 only
    Q,
}

/// The binding modes of a device; `Display` lists them as `U, S`, in the order of [`BindingMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingModes(u8);

impl BindingModes {
    /// Reads the letters of `b` as the enabler version defines them.
    ///
    /// Until 1.0 these are U and S, each with Q. Since 1.1 Q is a parameter of its own, and T and N join; M and H of
    /// 1.2 (MQTT and HTTP) are accepted and not kept.
    pub(super) fn parse(letters: &str, version: Lwm2mVersion) -> Result<Self, RegistrationError> {
        let mut modes = Self(0);
        for letter in letters.chars() {
            let mode = match (letter, version) {
                ('U', _) => BindingMode::U,
                ('S', _) => BindingMode::S,
                ('Q', Lwm2mVersion::V1_0) => BindingMode::Q,
                ('T', Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => BindingMode::T,
                ('N', Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => BindingMode::N,
                ('M' | 'H', Lwm2mVersion::V1_2) => continue,
                _ => return Err(RegistrationError::BindingInvalid),
            };
            modes.0 |= mode.bit();
        }
        if letters.is_empty() || modes == Self(BindingMode::Q.bit()) {
            return Err(RegistrationError::BindingInvalid);
        }
        Ok(modes)
    }

    /// Whether a mode is among them.
    pub const fn contains(self, mode: BindingMode) -> bool {
        self.0 & mode.bit() != 0
    }

    /// The modes, in the order of [`BindingMode`].
    pub fn iter(self) -> impl Iterator<Item = BindingMode> {
        BindingMode::ALL
            .into_iter()
            .filter(move |mode| self.contains(*mode))
    }

    /// Whether Queue Mode is part of the binding, as in LwM2M 1.0.
    pub(super) const fn queue_mode(self) -> bool {
        self.contains(BindingMode::Q)
    }
}

impl Default for BindingModes {
    /// U, the binding of a device that states none.
    fn default() -> Self {
        Self(BindingMode::U.bit())
    }
}

impl fmt::Display for BindingModes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(index, mode)| {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{mode:?}")
        })
    }
}

impl BindingMode {
    const ALL: [Self; 5] = [Self::U, Self::T, Self::S, Self::N, Self::Q];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p31_b_is_a_set_of_letters_of_its_version() {
        for (letters, version, text) in [
            ("U", Lwm2mVersion::V1_0, "U"),
            ("UQ", Lwm2mVersion::V1_0, "U, Q"),
            ("S", Lwm2mVersion::V1_0, "S"),
            ("SQ", Lwm2mVersion::V1_0, "S, Q"),
            ("US", Lwm2mVersion::V1_0, "U, S"),
            ("UQS", Lwm2mVersion::V1_0, "U, S, Q"),
            ("NSTU", Lwm2mVersion::V1_1, "U, T, S, N"),
            ("T", Lwm2mVersion::V1_1, "T"),
            ("N", Lwm2mVersion::V1_2, "N"),
            ("UMH", Lwm2mVersion::V1_2, "U"),
        ] {
            let modes = BindingModes::parse(letters, version).unwrap();
            assert_eq!(modes.to_string(), text, "{letters}");
        }
    }

    #[test]
    fn p31_b_with_letters_the_version_does_not_have_is_refused() {
        for (letters, version) in [
            ("", Lwm2mVersion::V1_0),
            ("Q", Lwm2mVersion::V1_0),
            ("UT", Lwm2mVersion::V1_0),
            ("UN", Lwm2mVersion::V1_0),
            ("UQ", Lwm2mVersion::V1_1),
            ("UQ", Lwm2mVersion::V1_2),
            ("UM", Lwm2mVersion::V1_1),
            ("u", Lwm2mVersion::V1_1),
            ("UX", Lwm2mVersion::V1_2),
        ] {
            assert_eq!(
                BindingModes::parse(letters, version),
                Err(RegistrationError::BindingInvalid),
                "{letters}"
            );
        }
    }
}
