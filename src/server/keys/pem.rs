//! PEM files (RFC 7468): certificates, and keys in PKCS#8 (RFC 5958), SEC1 (RFC 5915) or
//! PKCS#1 (RFC 8017).

use pem::Pem;
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::{Contents, KeyFault};

/// Reads a PEM file; what is neither certificate nor key is passed over.
pub(super) fn read(text: &[u8], password: &str) -> Result<Contents, KeyFault> {
    let sections = pem::parse_many(text).map_err(|_| KeyFault::Form)?;
    if sections.is_empty() {
        return Err(KeyFault::Form);
    }
    let mut contents = Contents::default();
    for section in sections {
        match section.tag() {
            "CERTIFICATE" => contents.certificates.push(section.into_contents()),
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

fn key(section: Pem, password: &str) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    if section.headers().get("DEK-Info").is_some() {
        return Err(KeyFault::LegacyEncryption);
    }
    let is_encrypted = section.tag() == "ENCRYPTED PRIVATE KEY";
    let der = Zeroizing::new(section.into_contents());
    if !is_encrypted {
        return Ok(der);
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der.as_slice());
    let decrypted = encrypted
        .map_err(|_| KeyFault::Form)?
        .decrypt(password)
        .map_err(|_| KeyFault::Decrypt)?;
    Ok(Zeroizing::new(decrypted.as_bytes().to_vec()))
}
