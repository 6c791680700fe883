//! Settings of the HTTP server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::platform::secret::Secret;

/// `http`: health, metrics and the API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port. Default `0.0.0.0:8083`. Upstream: `HTTP_BIND_ADDRESS`, `HTTP_BIND_PORT`.
    pub bind: SocketAddr,
    /// Whether `/actuator/prometheus` is served; `/metrics` always is. Default true. Upstream: `METRICS_ENABLED`.
    pub metrics: bool,
    /// Who may use `/api`: `off`, `loopback` (callers on this machine) or `all` (needs `http.api_token` or
    /// `http.tls.client_ca_file` unless `http.bind` is a loopback address). Default: `loopback` in embedded mode, `off` in
    /// Kafka mode.
    pub api: Option<ApiAccess>,
    /// Token that callers of `/api` must send as `Authorization: Bearer <token>`; none by default.
    pub api_token: Secret,
    /// HTTPS.
    pub tls: HttpTlsSettings,
}

impl HttpSettings {
    /// Whether strangers could use the API (hardening A73).
    pub fn is_unprotected(&self) -> bool {
        self.api == Some(ApiAccess::All)
            && !self.bind.ip().is_loopback()
            && self.api_token.is_empty()
            && self.tls.client_ca_file.is_none()
    }
}

/// `http.tls`: HTTPS in place of HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpTlsSettings {
    /// File with the certificates, the server's own first; the key may be in it as well (PEM or PKCS#12). Where it is set,
    /// only HTTPS is served on `http.bind`.
    pub cert_file: Option<PathBuf>,
    /// File with the key (PEM: PKCS#8, encrypted or not, SEC1 or PKCS#1), read when `http.tls.cert_file` has none.
    pub key_file: Option<PathBuf>,
    /// Password of the key, or of the PKCS#12 file, where it has one.
    pub key_password: Secret,
    /// PEM file with certificates of issuers. Where it is set, callers must show a certificate by one of them for
    /// everything but `/livez`, `/startupz` and `/readyz`.
    pub client_ca_file: Option<PathBuf>,
}

impl HttpTlsSettings {
    /// Whether something is set and yet HTTP would be served in plain text.
    pub fn lacks_certificate(&self) -> bool {
        self.cert_file.is_none() && *self != Self::default()
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8083)),
            metrics: true,
            api: None,
            api_token: Secret::default(),
            tls: HttpTlsSettings::default(),
        }
    }
}

/// Who may use the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum ApiAccess {
    /// Nobody.
    Off,
    /// Callers on this machine.
    Loopback,
    /// Everybody who has the token, and the certificate where one is asked for.
    All,
}

impl TryFrom<String> for ApiAccess {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "off" => Ok(Self::Off),
            "loopback" => Ok(Self::Loopback),
            "all" => Ok(Self::All),
            _ => Err("expected `off`, `loopback` or `all`"),
        }
    }
}
