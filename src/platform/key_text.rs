//! Keys and certificates as the platform stores them: base64 or hexadecimal text, DER inside.
//!
//! Only the outer shape of a DER structure is looked at, enough to tell one kind from another: what it holds is checked by
//! whoever uses it.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

/// Base64 text without PEM markers and line breaks, as the platform stores it.
pub fn bare_base64(text: &str) -> String {
    text.lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(str::split_whitespace)
        .collect()
}

/// The bytes behind base64 text, with or without PEM markers; `None` when it is none.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(bare_base64(text)).ok()
}

/// The bytes behind hexadecimal digits of either case; `None` when it is no even number of them.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok())
        .collect()
}

/// What a DER structure with an elliptic curve key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// An X.509 certificate (RFC 5280 section 4.1).
    Certificate,
    /// A private key in PKCS#8 (RFC 5958 section 2).
    PrivateKey,
    /// A SubjectPublicKeyInfo (RFC 5280 section 4.1).
    PublicKey,
}

impl KeyKind {
    /// What stands for it in text.
    pub const fn form(self) -> &'static str {
        match self {
            Self::Certificate => "the base64 of a DER X.509 certificate with an EC key",
            Self::PrivateKey => "the base64 of a DER PKCS#8 with an EC key",
            Self::PublicKey => "the base64 of a DER SubjectPublicKeyInfo with an EC key",
        }
    }

    /// The DER behind a text that stands for one of this kind.
    ///
    /// # Errors
    /// [`WrongKey`]
    pub fn read(self, text: &str) -> Result<Vec<u8>, WrongKey> {
        let der = base64(text).filter(|der| kind(der) == Some(self));
        der.ok_or(WrongKey(self))
    }
}

/// A text does not stand for what is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKey(pub KeyKind);

impl fmt::Display for WrongKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = match self.0 {
            KeyKind::Certificate => "certificate",
            KeyKind::PrivateKey => "private key",
            KeyKind::PublicKey => "public key",
        };
        write!(f, "the {wanted} is not {}", self.0.form())
    }
}

impl std::error::Error for WrongKey {}

/// What `der` is; `None` when it is nothing of this, or has another algorithm.
pub fn kind(der: &[u8]) -> Option<KeyKind> {
    let (body, rest) = element(SEQUENCE, der)?;
    if !rest.is_empty() {
        return None;
    }
    if let Some((_, rest)) = element(INTEGER, body) {
        let (algorithm, rest) = element(SEQUENCE, rest)?;
        element(OCTET_STRING, rest)?;
        return is_ec(algorithm).then_some(KeyKind::PrivateKey);
    }
    let (first, rest) = element(SEQUENCE, body)?;
    if is_ec(first) {
        element(BIT_STRING, rest)?;
        return Some(KeyKind::PublicKey);
    }
    let (_, rest) = element(SEQUENCE, rest)?;
    element(BIT_STRING, rest)?;
    first
        .windows(ID_EC_PUBLIC_KEY.len())
        .any(|window| window == ID_EC_PUBLIC_KEY)
        .then_some(KeyKind::Certificate)
}

/// Whether an AlgorithmIdentifier is that of an elliptic curve key (RFC 5480 section 2.1.1).
fn is_ec(algorithm: &[u8]) -> bool {
    algorithm.starts_with(&ID_EC_PUBLIC_KEY)
}

/// The content of the element at the beginning, which must have this tag, and what follows it.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = der.split_first_chunk()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => {
            let (&[length], rest) = rest.split_first_chunk()?;
            (usize::from(length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const ID_EC_PUBLIC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

#[cfg(test)]
pub(crate) mod samples {
    //! Keys of a capture, worthless elsewhere.

    /// A SubjectPublicKeyInfo on the curve P-256.
    pub(crate) const PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE22w6hkXQr1RRl3s46ga600t+fhuCe15XrBA2RED4ZQAohvviVONRJvfaMFWVIWwN1ZqmscPWThl7xl0tqnXojQ==";
    /// Its private key in PKCS#8.
    pub(crate) const PRIVATE_KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgONtgU+5r8nxk6rIQ1fp+RBtGe8aD2bXSt7n3n/JHaaqhRANCAATbbDqGRdCvVFGXezjqBrrTS35+G4J7XlesEDZEQPhlACiG++JU41Em99owVZUhbA3Vmqaxw9ZOGXvGXS2qdeiN";
    /// A certificate with a key on P-256.
    pub(crate) const CERTIFICATE: &str = "MIICBzCCAa2gAwIBAgIUFrSG2lgqJHbQ2UA69UrYv1bRl6QwCgYIKoZIzj0EAwIwOjEXMBUGA1UECgwOTGlnaHRzaGlwIFRlc3QxHzAdBgNVBAMMFkxpZ2h0c2hpcCBUZXN0IFJvb3QgQ0EwHhcNMjYxMTIyMTM1MDA2WhcNMzYxMTE5MTM1MDA2WjAxMRcwFQYDVQQKDA5MaWdodHNoaXAgVGVzdDEWMBQGA1UEAwwNbHMteDUwOS10cnVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJqjR1YWyUM/DU6stS12v9meYD3Trdo6qplzVCMa1WOyc+f53mON5sX0+JJPpWa2IkGMgpL9FF0xBvnwGIs9e1+jgZkwgZYwCQYDVR0TBAIwADAOBgNVHQ8BAf8EBAMCA4gwHQYDVR0lBBYwFAYIKwYBBQUHAwEGCCsGAQUFBwMCMBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAdBgNVHQ4EFgQU95mdgYTexmq0TRRAHZJSsKxVXvkwHwYDVR0jBBgwFoAUWbMwSE01XjAHjv0hDTPtL58NswkwCgYIKoZIzj0EAwIDSAAwRQIhAMJCVQREKX/Ap1aKS048sP+lMiw8j7h0l/buDwYL+W9DAiAd8O6t2GzkXv06GMxAaz2e4ahFWXrLyJBL01fbiarwIQ==";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_certificates_are_told_apart() {
        for (text, expected) in [
            (samples::PUBLIC_KEY, KeyKind::PublicKey),
            (samples::PRIVATE_KEY, KeyKind::PrivateKey),
            (samples::CERTIFICATE, KeyKind::Certificate),
        ] {
            let der = base64(text).unwrap();
            assert_eq!(kind(&der), Some(expected));
            for cut in 0..der.len() {
                assert_eq!(kind(&der[..cut]), None, "{expected:?} cut at {cut}");
            }
            assert_eq!(kind(&[der.as_slice(), &[0]].concat()), None);
        }
    }

    #[test]
    fn pem_markers_do_not_matter() {
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            samples::PUBLIC_KEY
        );
        assert_eq!(base64(&pem), base64(samples::PUBLIC_KEY));
        assert_eq!(base64("not base64!"), None);
    }

    #[test]
    fn hexadecimal_digits_come_in_pairs_and_either_case() {
        assert_eq!(hex("00aFF0"), Some(vec![0, 0xaf, 0xf0]));
        assert_eq!(hex(""), Some(vec![]));
        for wrong in ["0", "0g", "-0", "0x00"] {
            assert_eq!(hex(wrong), None, "{wrong}");
        }
    }
}
