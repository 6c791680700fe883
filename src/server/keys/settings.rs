//! `lwm2m.server.credentials`, `lwm2m.bootstrap.credentials` and `lwm2m.trust` (`security.md` 6.1).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::platform::secret::Secret;

/// A key of the server's own, and the certificates for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CredentialSettings {
    /// Whether devices with raw public keys and certificates are served; otherwise only those with pre-shared keys.
    /// Default false. Upstream: `LWM2M_SERVER_CREDENTIALS_ENABLED`, `LWM2M_BS_CREDENTIALS_ENABLED`.
    pub enabled: bool,
    /// Which file is looked at first: `PEM` or `KEYSTORE`. Default `PEM`. Upstream: `LWM2M_SERVER_CREDENTIALS_TYPE`, `LWM2M_BS_CREDENTIALS_TYPE`.
    pub form: StoreForm,
    /// PEM file with the certificates, the server's own first; the key may be in it as well.
    /// Default `lwm2mserver.pem`. Upstream: `LWM2M_SERVER_PEM_CERT`, `LWM2M_BS_PEM_CERT`.
    pub cert_file: PathBuf,
    /// PEM file with the key (PKCS#8, encrypted or not, or SEC1), read when `cert_file` has none.
    /// Default `lwm2mserver_key.pem`. Upstream: `LWM2M_SERVER_PEM_KEY`, `LWM2M_BS_PEM_KEY`.
    pub key_file: PathBuf,
    /// Password of the key in `cert_file` or `key_file`, where it is encrypted; blank: the platform's default,
    /// `server_key_password`. Upstream: `LWM2M_SERVER_PEM_KEY_PASSWORD`, `LWM2M_BS_PEM_KEY_PASSWORD`.
    pub key_password: Secret,
    /// PKCS#12 file, whatever its name says. Default `lwm2mserver.jks`. Upstream: `LWM2M_SERVER_KEY_STORE`, `LWM2M_BS_KEY_STORE`.
    pub keystore_file: PathBuf,
    /// Password of the keystore. Blank: the platform's default, `server_ks_password`. Upstream: `LWM2M_SERVER_KEY_STORE_PASSWORD`, `LWM2M_BS_KEY_STORE_PASSWORD`.
    pub keystore_password: Secret,
    /// Name of the key in the keystore; blank: the first one.
    /// Default `server`, of the bootstrap server `bootstrap`. Upstream: `LWM2M_SERVER_KEY_ALIAS`, `LWM2M_BS_KEY_ALIAS`.
    pub key_alias: Option<String>,
}

/// Certificates of issuers whose devices are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustSettings {
    /// Whether certificates of devices may be trusted by their issuer. Default false.
    /// Upstream: `LWM2M_TRUST_CREDENTIALS_ENABLED`.
    pub enabled: bool,
    /// Which file is looked at first: `PEM` or `KEYSTORE`. Default `PEM`. Upstream: `LWM2M_TRUST_CREDENTIALS_TYPE`.
    pub form: StoreForm,
    /// PEM file with the certificates; those that may not issue others do not count.
    /// Default `lwm2mtruststorechain.pem`. Upstream: `LWM2M_TRUST_PEM_CERT`.
    pub cert_file: PathBuf,
    /// PKCS#12 file, whatever its name says. Default `lwm2mtruststorechain.jks`. Upstream: `LWM2M_TRUST_KEY_STORE`.
    pub keystore_file: PathBuf,
    /// Password of the keystore. Blank: the platform's default, `server_ks_password`. Upstream: `LWM2M_TRUST_KEY_STORE_PASSWORD`.
    pub keystore_password: Secret,
}

/// Form of a file with keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE", try_from = "String")]
pub enum StoreForm {
    /// Text.
    #[default]
    Pem,
    /// PKCS#12.
    Keystore,
}

impl TryFrom<String> for StoreForm {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.to_ascii_uppercase().as_str() {
            "PEM" => Ok(Self::Pem),
            "KEYSTORE" => Ok(Self::Keystore),
            _ => Err("expected `PEM` or `KEYSTORE`"),
        }
    }
}

impl Default for CredentialSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            form: StoreForm::Pem,
            cert_file: "lwm2mserver.pem".into(),
            key_file: "lwm2mserver_key.pem".into(),
            key_password: Secret::default(),
            keystore_file: "lwm2mserver.jks".into(),
            keystore_password: Secret::default(),
            key_alias: None,
        }
    }
}

impl Default for TrustSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            form: StoreForm::Pem,
            cert_file: "lwm2mtruststorechain.pem".into(),
            keystore_file: "lwm2mtruststorechain.jks".into(),
            keystore_password: Secret::default(),
        }
    }
}
