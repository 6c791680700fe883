//! PKCS#12 files (RFC 7292).

use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12Archive, Pkcs12ImportPolicy};
use zeroize::Zeroizing;

use super::{Contents, KeyFault};

/// Reads the key called `alias`, or the first one when that is blank, with its certificates.
pub(super) fn read(file: &[u8], password: &str, alias: &str) -> Result<Contents, KeyFault> {
    let store = KeyStore::from_pkcs12(file, password, Pkcs12ImportPolicy::Relaxed);
    let store = store.map_err(|_| KeyFault::Form)?;
    let mut names = Vec::new();
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
            KeyStoreEntry::Certificate(_) | KeyStoreEntry::Secret(_) => {}
        }
    }
    if !names.is_empty() {
        return Err(KeyFault::NoAlias(alias.to_owned(), names.join(", ")));
    }
    Err(KeyFault::NoKey)
}

/// Reads all certificates, whether a key is theirs or not, and whether Java marked them as trusted or not.
pub(super) fn certificates(file: &[u8], password: &str) -> Result<Vec<Vec<u8>>, KeyFault> {
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|_| KeyFault::Form)?;
    let certificates = archive.certs.iter();
    Ok(certificates.map(|bag| bag.cert.as_der().to_vec()).collect())
}
