//! PKCS#12 files (RFC 7292).

use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use zeroize::Zeroizing;

use super::{Contents, KeyFault};

/// Reads the key called `alias`, or the first one when that is blank, with its certificates; without any key, all
/// certificates.
pub(super) fn read(file: &[u8], password: &str, alias: &str) -> Result<Contents, KeyFault> {
    let store = KeyStore::from_pkcs12(file, password, Pkcs12ImportPolicy::Relaxed);
    let store = store.map_err(|_| KeyFault::Form)?;
    let mut names = Vec::new();
    let mut loose = Vec::new();
    for (name, entry) in store.entries() {
        match entry {
            // Java's keystores know names in lower case.
            KeyStoreEntry::PrivateKeyChain(chain)
                if alias.is_empty() || name.eq_ignore_ascii_case(alias) =>
            {
                let certificates = chain.certs().iter().map(|own| own.as_der().to_vec());
                return Ok(Contents {
                    certificates: certificates.collect(),
                    key: Some(Zeroizing::new(chain.key().as_der().to_vec())),
                });
            }
            KeyStoreEntry::PrivateKeyChain(_) => names.push(format!("`{name}`")),
            KeyStoreEntry::Certificate(certificate) => loose.push(certificate.as_der().to_vec()),
            KeyStoreEntry::Secret(_) => {}
        }
    }
    if !names.is_empty() {
        return Err(KeyFault::NoAlias(alias.to_owned(), names.join(", ")));
    }
    Ok(Contents {
        certificates: loose,
        key: None,
    })
}
