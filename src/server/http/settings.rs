//! Settings of the HTTP server.

use std::net::{Ipv4Addr, SocketAddr};

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
    /// Who may use `/api`: `off`, `loopback` (callers on this machine) or `all` (needs `http.api_token` unless `http.bind`
    /// is a loopback address). Default: `loopback` in embedded mode, `off` in Kafka mode.
    pub api: Option<ApiAccess>,
    /// Token that callers of `/api` must send as `Authorization: Bearer <token>`; none by default.
    pub api_token: Secret,
}

impl HttpSettings {
    /// Whether strangers could use the API (hardening A73).
    pub fn is_unprotected(&self) -> bool {
        self.api == Some(ApiAccess::All)
            && !self.bind.ip().is_loopback()
            && self.api_token.is_empty()
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8083)),
            metrics: true,
            api: None,
            api_token: Secret::default(),
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
    /// Everybody who has the token.
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
