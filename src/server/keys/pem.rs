//! PEM files (RFC 7468): certificates, and keys in PKCS#8 (RFC 5958), SEC1 (RFC 5915) or
//! PKCS#1 (RFC 8017).

use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::{Contents, KeyFault};

/// Reads a PEM file; what is neither certificate nor key is passed over.
pub(super) fn read(text: &[u8], password: &str) -> Result<Contents, KeyFault> {
    let mut contents = Contents::default();
    for section in sections(text)? {
        match &*section.tag {
            CERTIFICATE => contents.certificates.push(section.der.to_vec()),
            "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"
                if contents.key.is_none() =>
            {
                contents.key = Some(key(section, password)?);
            }
            _ => {}
        }
    }
    Ok(contents)
}

/// Reads the certificates of a PEM file.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, KeyFault> {
    let sections = sections(text)?.into_iter();
    Ok(sections
        .filter(|section| section.tag == CERTIFICATE)
        .map(|section| section.der.to_vec())
        .collect())
}

/// What is between a BEGIN and its END.
struct Section {
    tag: String,
    has_legacy_encryption: bool,
    der: Zeroizing<Vec<u8>>,
}

/// The sections of a file, at least one.
fn sections(text: &[u8]) -> Result<Vec<Section>, KeyFault> {
    let sections = pem::parse_many(text).map_err(|_| KeyFault::Form)?;
    if sections.is_empty() {
        return Err(KeyFault::Form);
    }
    let sections = sections.into_iter().map(|section| Section {
        tag: section.tag().to_owned(),
        has_legacy_encryption: section.headers().get("DEK-Info").is_some(),
        der: Zeroizing::new(section.into_contents()),
    });
    Ok(sections.collect())
}

fn key(section: Section, password: &str) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    if section.has_legacy_encryption {
        return Err(KeyFault::LegacyEncryption);
    }
    if section.tag != "ENCRYPTED PRIVATE KEY" {
        return Ok(section.der);
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(section.der.as_slice());
    let decrypted = encrypted
        .map_err(|_| KeyFault::Form)?
        .decrypt(password)
        .map_err(|_| KeyFault::Decrypt)?;
    Ok(Zeroizing::new(decrypted.as_bytes().to_vec()))
}

const CERTIFICATE: &str = "CERTIFICATE";
