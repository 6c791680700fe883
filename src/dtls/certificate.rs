//! The few fields of an X.509 certificate that decide who a device is (RFC 5280 section 4.1), read in place.
//!
//! Paths are validated by `webpki`, which hands out none of these, and does not look at certificates that are known
//! themselves.

use super::event::Fingerprint;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha3::{Digest as _, Sha3_256};

/// A certificate of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Certificate<'a> {
    /// The SubjectPublicKeyInfo.
    pub(super) spki: &'a [u8],
    /// The subject's common name, if there is exactly one.
    pub(super) common_name: Option<&'a str>,
    /// Seconds since 1970, both included.
    pub(super) validity: (i64, i64),
    /// Whether the key may sign and the certificate may identify a client: keyUsage and extKeyUsage, where present.
    pub(super) is_for_clients: bool,
}

impl<'a> Certificate<'a> {
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Der(der);
        let mut certificate = outer.sequence()?;
        let mut tbs = certificate.sequence()?;
        if !outer.0.is_empty() {
            return None;
        }
        tbs.optional(CONTEXT_0)?;
        tbs.expect(INTEGER)?;
        tbs.sequence()?;
        tbs.sequence()?;
        let mut validity = tbs.sequence()?;
        let validity = (validity.time()?, validity.time()?);
        let common_name = common_name(tbs.sequence()?)?;
        let spki = tbs.element(SEQUENCE)?;
        let mut is_for_clients = true;
        tbs.optional(CONTEXT_1)?;
        tbs.optional(CONTEXT_2)?;
        if let Some(extensions) = tbs.optional(CONTEXT_3)? {
            let mut extensions = Der(extensions).sequence()?;
            while !extensions.0.is_empty() {
                let mut extension = extensions.sequence()?;
                let oid = extension.expect(OBJECT_IDENTIFIER)?;
                extension.optional(BOOLEAN)?;
                let mut value = Der(extension.expect(OCTET_STRING)?);
                if oid == KEY_USAGE {
                    // The first byte counts unused bits; digitalSignature is the first bit.
                    let bits = value.expect(BIT_STRING)?;
                    is_for_clients &= bits.get(1).is_some_and(|byte| byte & 0x80 != 0);
                } else if oid == EXTENDED_KEY_USAGE {
                    let mut purposes = value.sequence()?;
                    let mut allowed = false;
                    while !purposes.0.is_empty() {
                        let purpose = purposes.expect(OBJECT_IDENTIFIER)?;
                        allowed |= purpose == CLIENT_AUTH || purpose == ANY_PURPOSE;
                    }
                    is_for_clients &= allowed;
                }
            }
        }
        Some(Self {
            spki,
            common_name,
            validity,
            is_for_clients,
        })
    }
}

/// The fingerprint of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> Fingerprint {
    Fingerprint(Sha3_256::digest(STANDARD.encode(der)).into())
}

/// The point (65 bytes, uncompressed) in a P-256 SubjectPublicKeyInfo of the one form that is taken.
pub(super) fn p256_point(spki: &[u8]) -> Option<&[u8]> {
    spki.strip_prefix(&P256_SPKI[..])
        .filter(|point| point.len() == 65 && point.first() == Some(&4))
}

/// The SubjectPublicKeyInfo of a P-256 point.
pub(super) fn p256_spki(point: &[u8]) -> Box<[u8]> {
    [&P256_SPKI[..], point].concat().into()
}

/// The value of the only common name in a Name; `None` in the option: there is none, or more than one, or it is no text.
fn common_name(mut name: Der<'_>) -> Option<Option<&str>> {
    let mut found = None;
    let mut names = 0_u32;
    while !name.0.is_empty() {
        let mut set = Der(name.expect(SET)?);
        while !set.0.is_empty() {
            let mut attribute = set.sequence()?;
            if attribute.expect(OBJECT_IDENTIFIER)? == COMMON_NAME {
                let (tag, value) = attribute.next()?;
                names = names.saturating_add(1);
                if matches!(
                    tag,
                    UTF8_STRING | PRINTABLE_STRING | TELETEX_STRING | IA5_STRING
                ) {
                    found = std::str::from_utf8(value).ok();
                }
            }
        }
    }
    Some(found.filter(|_| names == 1))
}

/// Reads DER elements from the front.
#[derive(Clone, Copy)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => rest
                .split_first()
                .map(|(&length, rest)| (usize::from(length), rest))?,
            0x82 => {
                let (length, rest) = rest.split_first_chunk()?;
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .filter(|(found, _)| *found == tag)
            .map(|(_, content)| content)
    }

    fn sequence(&mut self) -> Option<Self> {
        self.expect(SEQUENCE).map(Self)
    }

    /// The next element with its tag and length.
    fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.expect(tag)?;
        before.get(..before.len().checked_sub(self.0.len())?)
    }

    /// The content of the next element, if it has this tag.
    fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&tag) {
            self.expect(tag).map(Some)
        } else {
            Some(None)
        }
    }

    /// UTCTime or GeneralizedTime, in seconds since 1970.
    fn time(&mut self) -> Option<i64> {
        let (tag, text) = self.next()?;
        let digits = text.strip_suffix(b"Z")?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (pairs, []) = digits.as_chunks::<2>() else {
            return None;
        };
        let mut numbers = pairs.iter().map(|[tens, ones]| {
            i64::from(tens.wrapping_sub(b'0'))
                .saturating_mul(10)
                .saturating_add(ones.wrapping_sub(b'0').into())
        });
        let year = match (tag, digits.len()) {
            (UTC_TIME, 12) => {
                let year = numbers.next()?;
                year.saturating_add(if year < 50 { 2000 } else { 1900 })
            }
            (GENERALIZED_TIME, 14) => numbers
                .next()?
                .saturating_mul(100)
                .saturating_add(numbers.next()?),
            _ => return None,
        };
        let (month, day) = (numbers.next()?, numbers.next()?);
        let seconds = numbers.try_fold(0_i64, |sum, number| {
            sum.checked_mul(60)?.checked_add(number)
        })?;
        days_since_1970(year, month, day)?
            .checked_mul(86_400)?
            .checked_add(seconds)
    }
}

/// The number of a day of the Gregorian calendar. Years begin in March here, so that leap days end them.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month < 3 {
        year.checked_sub(1)?
    } else {
        year
    };
    let month = month.checked_add(9)?.checked_rem(12)?;
    let leap_days = year
        .div_euclid(4)
        .checked_sub(year.div_euclid(100))?
        .checked_add(year.div_euclid(400))?;
    let before_month = month.checked_mul(153)?.checked_add(2)?.div_euclid(5);
    year.checked_mul(365)?
        .checked_add(leap_days)?
        .checked_add(before_month)?
        .checked_add(day)?
        .checked_sub(719_469)
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const TELETEX_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0x81;
const CONTEXT_2: u8 = 0x82;
const CONTEXT_3: u8 = 0xa3;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.15
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
/// 2.5.29.37
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
/// 2.5.29.37.0
const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
/// 1.3.6.1.5.5.7.3.2
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// What precedes the point: id-ecPublicKey, prime256v1, a bit string of 65 bytes.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
        date_time_ymd,
    };

    use super::*;

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.not_before = date_time_ymd(1999, 12, 31);
        params.not_after = date_time_ymd(2050, 3, 1);
        change(&mut params);
        (
            params
                .self_signed(&key)
                .expect("a certificate")
                .der()
                .to_vec(),
            key,
        )
    }

    #[test]
    fn the_fields_of_a_certificate_are_read() {
        let (der, key) = certificate(|params| {
            params
                .distinguished_name
                .push(DnType::OrganizationName, "CN=not, this");
            params
                .distinguished_name
                .push(DnType::CommonName, "LwX50900000000");
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        });
        let read = Certificate::read(&der).expect("well-formed");
        assert_eq!(read.common_name, Some("LwX50900000000"));
        // 1999-12-31 and 2050-03-01, midnight.
        assert_eq!(read.validity, (946_598_400, 2_529_705_600));
        assert!(read.is_for_clients);
        let point = p256_point(read.spki).expect("a P-256 key");
        assert_eq!(point, key.public_key_raw());
        assert_eq!(*p256_spki(point), *read.spki);
        for length in 0..der.len() {
            assert_eq!(Certificate::read(&der[..length]), None);
        }
    }

    #[test]
    fn two_common_names_are_none() {
        // An rcgen name has each type once: the second is made of an organisation's.
        let (mut der, _) = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "one");
            params
                .distinguished_name
                .push(DnType::OrganizationName, DnValue::Utf8String("two".into()));
        });
        while let Some(at) = der.windows(3).position(|oid| oid == [0x55, 0x04, 0x0a]) {
            der[at + 2] = 3;
        }
        assert_eq!(
            Certificate::read(&der).map(|read| read.common_name),
            Some(None)
        );
        let (der, _) = certificate(|_| {});
        assert_eq!(
            Certificate::read(&der).map(|read| read.common_name),
            Some(None)
        );
    }

    #[test]
    fn a14_a_key_for_another_use_is_none_for_clients() {
        let usable = |change: fn(&mut CertificateParams)| {
            let (der, _) = certificate(change);
            Certificate::read(&der).expect("well-formed").is_for_clients
        };
        assert!(usable(|_| {}));
        assert!(usable(
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]
        ));
        assert!(!usable(
            |params| params.key_usages = vec![KeyUsagePurpose::KeyAgreement]
        ));
        assert!(!usable(
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
        ));
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(days_since_1970(1970, 1, 1), Some(0));
        assert_eq!(days_since_1970(2000, 2, 29), Some(11_016));
        assert_eq!(days_since_1970(2000, 3, 1), Some(11_017));
        assert_eq!(days_since_1970(1969, 12, 31), Some(-1));
        assert_eq!(days_since_1970(2000, 13, 1), None);
    }

    /// `security.md` section 13
    #[test]
    fn the_fingerprint_is_sha3_256_over_base64() {
        let expected = "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532";
        assert_eq!(
            Fingerprint(Sha3_256::digest("abc").into()).to_string(),
            expected
        );
        let expected = "281c7ba06d0ac2ff651fa968572f26a38c96225ea54644522837b54b9c6144f7";
        assert_eq!(
            Fingerprint(Sha3_256::digest("ThingsBoard").into()).to_string(),
            expected
        );
        let der = STANDARD.decode("ThingsBo").expect("base64");
        assert_eq!(
            fingerprint(&der),
            Fingerprint(Sha3_256::digest("ThingsBo").into())
        );
    }
}
