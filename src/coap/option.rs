//! Option numbers and what is known of each (RFC 7252 section 5.10, RFC 7641, 7959, 7967, 8613, 8768, 9175, 9177).

/// If-Match
pub const IF_MATCH: u16 = 1;
/// Uri-Host
pub const URI_HOST: u16 = 3;
/// ETag
pub const ETAG: u16 = 4;
/// If-None-Match
pub const IF_NONE_MATCH: u16 = 5;
/// Observe
pub const OBSERVE: u16 = 6;
/// Uri-Port
pub const URI_PORT: u16 = 7;
/// Location-Path
pub const LOCATION_PATH: u16 = 8;
/// OSCORE
pub const OSCORE: u16 = 9;
/// Uri-Path
pub const URI_PATH: u16 = 11;
/// Content-Format
pub const CONTENT_FORMAT: u16 = 12;
/// Max-Age
pub const MAX_AGE: u16 = 14;
/// Uri-Query
pub const URI_QUERY: u16 = 15;
/// Hop-Limit
pub const HOP_LIMIT: u16 = 16;
/// Accept
pub const ACCEPT: u16 = 17;
/// Q-Block1
pub const Q_BLOCK1: u16 = 19;
/// Location-Query
pub const LOCATION_QUERY: u16 = 20;
/// EDHOC
pub const EDHOC: u16 = 21;
/// Block2
pub const BLOCK2: u16 = 23;
/// Block1
pub const BLOCK1: u16 = 27;
/// Size2
pub const SIZE2: u16 = 28;
/// Q-Block2
pub const Q_BLOCK2: u16 = 31;
/// Proxy-Uri
pub const PROXY_URI: u16 = 35;
/// Proxy-Scheme
pub const PROXY_SCHEME: u16 = 39;
/// Size1
pub const SIZE1: u16 = 60;
/// Echo
pub const ECHO: u16 = 252;
/// No-Response
pub const NO_RESPONSE: u16 = 258;
/// Request-Tag
pub const REQUEST_TAG: u16 = 292;

/// How the value of an option is to be read (RFC 7252 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// No value.
    Empty,
    /// Any bytes.
    Opaque,
    /// UTF-8 text.
    String,
    /// A non-negative integer, big-endian.
    Uint,
}

/// What is known of an option that this implementation processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Definition {
    /// How its value is read.
    pub format: Format,
    /// The shortest valid value, in bytes.
    pub min: usize,
    /// The longest valid value, in bytes.
    pub max: usize,
    /// Whether it may occur more than once.
    pub repeatable: bool,
}

impl Definition {
    /// Whether `value` has a valid length and, for text, is UTF-8.
    pub fn admits(&self, value: &[u8]) -> bool {
        (self.min..=self.max).contains(&value.len())
            && (self.format != Format::String || std::str::from_utf8(value).is_ok())
    }
}

/// Looks up an option; `None` for one that is not processed here.
///
/// Conditional requests (If-Match, If-None-Match), OSCORE, EDHOC and Q-Block are registered but not processed, so they
/// count as unknown; all of them are critical, so a request with one is refused.
pub const fn definition(number: u16) -> Option<Definition> {
    use Format::{Opaque, String, Uint};
    let (format, min, max, repeatable) = match number {
        URI_HOST => (String, 1, 255, false),
        ETAG => (Opaque, 1, 8, true),
        OBSERVE => (Uint, 0, 3, false),
        URI_PORT => (Uint, 0, 2, false),
        LOCATION_PATH | LOCATION_QUERY | URI_PATH | URI_QUERY => (String, 0, 255, true),
        CONTENT_FORMAT | ACCEPT => (Uint, 0, 2, false),
        MAX_AGE => (Uint, 0, 4, false),
        BLOCK1 | BLOCK2 => (Uint, 0, 3, false),
        SIZE1 | SIZE2 => (Uint, 0, 4, false),
        PROXY_URI => (String, 1, 1034, false),
        PROXY_SCHEME => (String, 1, 255, false),
        ECHO => (Opaque, 1, 40, false),
        REQUEST_TAG => (Opaque, 0, 8, true),
        _ => return None,
    };
    Some(Definition {
        format,
        min,
        max,
        repeatable,
    })
}

/// Whether an option must be understood to process the message (section 5.4.1): odd numbers.
pub const fn is_critical(number: u16) -> bool {
    number & 1 == 1
}

/// Reads an unsigned integer of at most four bytes; leading zeros are accepted, an empty value is 0.
pub fn uint(value: &[u8]) -> Option<u32> {
    if value.len() > 4 {
        return None;
    }
    Some(
        value
            .iter()
            .fold(0, |sum, &byte| (sum << 8) | u32::from(byte)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c17_odd_numbers_are_critical() {
        assert!(is_critical(URI_PATH) && is_critical(BLOCK1) && is_critical(OSCORE));
        assert!(!is_critical(OBSERVE) && !is_critical(ECHO) && !is_critical(NO_RESPONSE));
    }

    #[test]
    fn c18_a_value_outside_its_bounds_is_not_admitted() {
        let admits =
            |number, value: &[u8]| definition(number).is_some_and(|option| option.admits(value));
        assert!(admits(URI_PATH, b"") && admits(URI_PATH, &[b'a'; 255]));
        assert!(!admits(URI_PATH, &[b'a'; 256]));
        assert!(!admits(URI_HOST, b""));
        assert!(!admits(URI_QUERY, b"ep=\xff"));
        assert!(admits(ETAG, &[0xff; 8]) && !admits(ETAG, &[]));
        assert!(!admits(CONTENT_FORMAT, &[0, 0, 60]));
        assert!(!admits(BLOCK1, &[0; 4]));
    }

    #[test]
    fn c19_repeatable_options_are_those_of_the_rfc() {
        let repeatable: Vec<u16> = (0..=u16::MAX)
            .filter(|&number| definition(number).is_some_and(|option| option.repeatable))
            .collect();
        assert_eq!(
            repeatable,
            [
                ETAG,
                LOCATION_PATH,
                URI_PATH,
                URI_QUERY,
                LOCATION_QUERY,
                REQUEST_TAG
            ]
        );
    }

    #[test]
    fn c20_integers_may_have_leading_zeros() {
        assert_eq!(uint(&[]), Some(0));
        assert_eq!(uint(&[0, 0, 60]), Some(60));
        assert_eq!(uint(&[0xff; 4]), Some(u32::MAX));
        assert_eq!(uint(&[0; 5]), None);
    }
}
