//! How a simulated device proves who it is.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    dtls::{
        CipherSuite, Credentials, PreSharedKey,
        client::{ClientConfig, ClientCredential},
    },
    platform::key_text,
    server::keys,
};

/// Arguments for the security of a device.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Security {
    /// Speak DTLS with a pre-shared key: its identity, and the key in hexadecimal.
    #[arg(long, value_name = "IDENTITY:KEY", conflicts_with = "key")]
    psk: Option<String>,
    /// Speak DTLS with the key in this PEM file; without --cert its public half is shown as it is.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Show the certificates in this PEM file, the device's own first.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Take only the server that has the key of the certificate in this PEM file; by default any.
    #[arg(long, value_name = "FILE", requires = "key")]
    server_cert: Option<PathBuf>,
}

impl Security {
    /// What the device offers, if it has any security.
    pub(crate) fn config(&self) -> anyhow::Result<Option<ClientConfig>> {
        if let Some(psk) = &self.psk {
            return Ok(Some(pre_shared_key(psk).context(
                "--psk must be an identity, a colon and up to 64 bytes in hexadecimal",
            )?));
        }
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let private = keys::private_key(key, "")?;
        let make = |chain| {
            let credentials = Credentials::new(chain, &private);
            credentials.with_context(|| format!("{} cannot be used", key.display()))
        };
        let credential = match &self.cert {
            Some(cert) => {
                let chain = keys::certificates(cert, "")?;
                ClientCredential::Certificate(Arc::new(make(chain)?))
            }
            None => ClientCredential::RawPublicKey(Arc::new(make(Vec::new())?)),
        };
        let suites = vec![
            CipherSuite::EcdheEcdsaWithAes128Ccm8,
            CipherSuite::EcdheEcdsaWithAes128GcmSha256,
            CipherSuite::EcdheEcdsaWithAes128CbcSha256,
        ];
        let mut config = ClientConfig::new(suites, credential);
        if let Some(file) = &self.server_cert {
            let certificates = keys::certificates(file, "")?;
            let first = certificates
                .first()
                .and_then(|der| X509Certificate::from_der(der).ok());
            let (_, certificate) =
                first.with_context(|| format!("no certificate in {}", file.display()))?;
            config.server_spki = Some(certificate.public_key().raw.to_vec());
        }
        Ok(Some(config))
    }
}

/// A device with a pre-shared key, from `IDENTITY:KEY`.
pub(crate) fn pre_shared_key(text: &str) -> Option<ClientConfig> {
    let (identity, key) = text.rsplit_once(':')?;
    let key = PreSharedKey::new(&key_text::hex(key)?)?;
    let identity = identity.as_bytes().to_vec();
    let suites = vec![
        CipherSuite::PskWithAes128Ccm8,
        CipherSuite::PskWithAes128CbcSha256,
    ];
    let credential = ClientCredential::PreSharedKey { identity, key };
    Some(ClientConfig::new(suites, credential))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_the_certificates_it_should_have_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.key.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&file, key.serialize_pem()).unwrap();
        let with = |cert, server_cert| Security {
            key: Some(file.clone()),
            cert,
            server_cert,
            ..Security::default()
        };
        assert!(with(None, None).config().unwrap().is_some());
        for (cert, server_cert) in [(Some(file.clone()), None), (None, Some(file.clone()))] {
            let error = with(cert, server_cert).config().unwrap_err().to_string();
            let told = format!("{}: there is no certificate in it", file.display());
            assert_eq!(error, told);
        }
    }
}
