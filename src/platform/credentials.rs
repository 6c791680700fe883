//! Device credentials (`LWM2M_CREDENTIALS`) and what admits a device.

use std::{fmt, sync::Arc};

use serde::Deserialize;

use super::{profile::DeviceProfile, session::DeviceInfo};

/// What the platform says of a device that may come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// The device.
    pub device: Arc<DeviceInfo>,
    /// How it must prove itself.
    pub client: ClientCredentials,
    /// Its profile.
    pub profile: Arc<DeviceProfile>,
    /// Device-level power settings.
    pub power: super::profile::PowerSettings,
}

/// The `client` part of the credentials document. Unknown members are ignored.
///
/// Source: `common/data/.../device/credentials/lwm2m/*` of thingsboard.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "securityConfigClientMode")]
pub enum ClientCredentials {
    /// No security: the endpoint name alone.
    #[serde(rename = "NO_SEC")]
    NoSec {
        /// Endpoint client name.
        endpoint: String,
    },
    /// Pre-shared key.
    #[serde(rename = "PSK")]
    Psk {
        /// Endpoint client name.
        endpoint: String,
        /// PSK identity.
        identity: String,
        /// Key, hexadecimal.
        key: String,
    },
    /// Raw public key.
    #[serde(rename = "RPK")]
    Rpk {
        /// Endpoint client name.
        endpoint: String,
        /// Base64 of the DER SubjectPublicKeyInfo.
        key: String,
    },
    /// Certificate.
    #[serde(rename = "X509")]
    X509 {
        /// Endpoint client name.
        endpoint: String,
        /// Base64 of the DER certificate; blank: any trusted certificate whose common name is the endpoint.
        #[serde(default)]
        cert: Option<String>,
    },
}

impl ClientCredentials {
    /// The endpoint client name.
    pub fn endpoint(&self) -> &str {
        match self {
            Self::NoSec { endpoint }
            | Self::Psk { endpoint, .. }
            | Self::Rpk { endpoint, .. }
            | Self::X509 { endpoint, .. } => endpoint,
        }
    }

    /// The mode, as the document writes it.
    pub const fn mode(&self) -> &'static str {
        match self {
            Self::NoSec { .. } => "NO_SEC",
            Self::Psk { .. } => "PSK",
            Self::Rpk { .. } => "RPK",
            Self::X509 { .. } => "X509",
        }
    }
}

impl fmt::Debug for ClientCredentials {
    /// Prints mode and endpoint, never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.mode(), self.endpoint())
    }
}
