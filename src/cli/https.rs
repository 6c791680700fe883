//! How a command knows the server that it asks over HTTPS, and proves itself to it.

use std::path::PathBuf;

use anyhow::Context;
use pem::Pem;
use rustls::pki_types::PrivateKeyDer;
use ureq::{
    http::{Uri, uri::Scheme},
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig},
};
use zeroize::Zeroizing;

use crate::server::keys::{KeyMaterial, provider, read_issuers};

/// Arguments for an `https` URL.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Https {
    /// Of an https URL: file with the certificates of those who may have issued the server's (PEM).
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Of an https URL: file with the client certificate to show, its key in it or in --key (PEM).
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// Of an https URL: file with the key of the client certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl Https {
    /// TLS for requests to `url`.
    ///
    /// # Errors
    /// A file that cannot be used, or none for a URL that needs one.
    pub(crate) fn config(&self, url: &str) -> anyhow::Result<TlsConfig> {
        let issuers = match &self.ca {
            Some(file) => read_issuers(file, "").context("--ca")?,
            None => Vec::new(),
        };
        let uri: Uri = url.parse().with_context(|| url.to_owned())?;
        anyhow::ensure!(
            !issuers.is_empty() || uri.scheme() != Some(&Scheme::HTTPS),
            "{url}: --ca is needed: a file with the certificates of those who may have issued the server's"
        );
        let roots = issuers.iter().map(|der| certificate(der));
        Ok(TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider())
            .root_certs(RootCerts::from(roots))
            .client_cert(self.client_cert().context("--cert")?)
            .build())
    }

    fn client_cert(&self) -> anyhow::Result<Option<ClientCert>> {
        let Some(cert_file) = &self.cert else {
            return Ok(None);
        };
        let key_file = self.key.as_ref().unwrap_or(cert_file);
        let material = KeyMaterial::read(cert_file, key_file, "")?;
        // What cannot be used must be found here, where it is told.
        material.certified()?;
        let key = material.private_key()?;
        let form = match key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            PrivateKeyDer::Pkcs8(_) | _ => "PRIVATE KEY",
        };
        // By way of PEM: ureq does not export what `from_der` needs.
        let text = Zeroizing::new(pem::encode(&Pem::new(form, key.secret_der())));
        let key = PrivateKey::from_pem(text.as_bytes())?;
        let chain: Vec<_> = material.chain.iter().map(|der| certificate(der)).collect();
        Ok(Some(ClientCert::new_with_certs(&chain, key)))
    }
}

fn certificate(der: &[u8]) -> Certificate<'static> {
    Certificate::from_der(der).to_owned()
}
