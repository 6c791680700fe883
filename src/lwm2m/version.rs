//! Versions of the LwM2M enabler.

use std::{fmt, str::FromStr};

/// The enabler version by which a device registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lwm2mVersion {
    /// OMA LwM2M 1.0
    #[default]
    V1_0,
    /// OMA LwM2M 1.1
    V1_1,
    /// OMA LwM2M 1.2
    V1_2,
}

impl fmt::Display for Lwm2mVersion {
    /// `1.1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        })
    }
}

impl FromStr for Lwm2mVersion {
    type Err = Lwm2mVersionError;

    /// Reads `major.minor`, without leading zeros. A minor version above 1.2 is served as 1.2, because minor versions
    /// are compatible.
    fn from_str(text: &str) -> Result<Self, Lwm2mVersionError> {
        let (major, minor) = text.split_once('.').ok_or(Lwm2mVersionError::Syntax)?;
        let is_number = |digits: &str| {
            !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits == "0" || !digits.starts_with('0'))
        };
        if !is_number(major) || !is_number(minor) {
            return Err(Lwm2mVersionError::Syntax);
        }
        match (major, minor) {
            ("1", "0") => Ok(Self::V1_0),
            ("1", "1") => Ok(Self::V1_1),
            ("1", _) => Ok(Self::V1_2),
            _ => Err(Lwm2mVersionError::Unsupported),
        }
    }
}

/// Why a text is not an enabler version that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lwm2mVersionError {
    /// Not `major.minor`.
    #[error("a version is two decimal numbers without leading zeros, joined by a dot")]
    Syntax,
    /// A major version other than 1.
    #[error("this LwM2M version is not supported")]
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_the_three_versions() {
        for (text, version) in [
            ("1.0", Lwm2mVersion::V1_0),
            ("1.1", Lwm2mVersion::V1_1),
            ("1.2", Lwm2mVersion::V1_2),
        ] {
            assert_eq!(text.parse(), Ok(version));
            assert_eq!(version.to_string(), text);
        }
        assert_eq!("1.3".parse(), Ok(Lwm2mVersion::V1_2));
    }

    #[test]
    fn tells_bad_syntax_from_an_unsupported_version() {
        for text in [
            "", "1", "1.", ".1", "01.1", "1.01", "1.1.0", "v1.1", "+1.1", "1 .1",
        ] {
            assert_eq!(
                text.parse::<Lwm2mVersion>(),
                Err(Lwm2mVersionError::Syntax),
                "{text}"
            );
        }
        for text in ["0.9", "2.0", "9.9", "18446744073709551616.0"] {
            assert_eq!(
                text.parse::<Lwm2mVersion>(),
                Err(Lwm2mVersionError::Unsupported),
                "{text}"
            );
        }
    }
}
