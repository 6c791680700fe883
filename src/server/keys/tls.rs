//! Keys and issuers as TLS takes them (RFC 8446, RFC 5246).

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};

use crate::dtls::CredentialsError;

use super::{KeyError, KeyFault, KeyMaterial, read_issuers};

impl KeyMaterial {
    /// The key in the form that it has.
    ///
    /// # Errors
    /// It has no form that is known.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'_>, KeyError> {
        PrivateKeyDer::try_from(self.key.as_slice())
            .map_err(|_| KeyFault::NotForTls.of(&self.key_file))
    }

    /// Made ready for TLS.
    ///
    /// # Errors
    /// The key cannot be used, or the certificates are no use with it.
    pub fn certified(&self) -> Result<CertifiedKey, KeyError> {
        let chain = self.chain.iter().cloned().map(CertificateDer::from);
        let key = provider()
            .key_provider
            .load_private_key(self.private_key()?.clone_key())
            .map_err(|_| KeyFault::NotForTls.of(&self.key_file))?;
        let certified = CertifiedKey::new(chain.collect(), key);
        certified.keys_match().map_err(|error| {
            let fault = if matches!(error, rustls::Error::InconsistentKeys(_)) {
                KeyFault::Unusable(CredentialsError::Mismatch)
            } else {
                KeyFault::Tls(error)
            };
            fault.of(&self.cert_file)
        })?;
        Ok(certified)
    }
}

/// Takes client certificates by the issuers in a file, and callers who show none.
///
/// # Errors
/// The file cannot be used, or no certificate in it is one of an issuer.
pub fn client_verifier(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, KeyError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(issuers(file)?), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|_| KeyFault::NoIssuer.of(file))
}

/// The issuers in a file.
///
/// # Errors
/// The file cannot be used, or no certificate in it is one of an issuer.
fn issuers(file: &Path) -> Result<RootCertStore, KeyError> {
    let mut roots = RootCertStore::empty();
    for der in read_issuers(file, "")? {
        roots
            .add(der.into())
            .map_err(|error| KeyFault::Tls(error).of(file))?;
    }
    Ok(roots)
}

/// The cryptography of this program.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
