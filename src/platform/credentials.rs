//! Device credentials (`LWM2M_CREDENTIALS`) and what admits a device.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{peer::PeerIdentity, profile::DeviceProfile, session::DeviceInfo};

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

    /// Whether a peer that proved `identity` may speak for `endpoint` (`security.md` 5.5). The mode in the document
    /// decides how a device must prove itself, never the id by which the document was found.
    pub fn admit(&self, endpoint: &str, identity: &PeerIdentity) -> bool {
        if self.endpoint() != endpoint {
            return false;
        }
        match (self, identity) {
            (Self::NoSec { .. }, PeerIdentity::Unsecured) => true,
            (Self::Psk { identity, .. }, PeerIdentity::PreSharedKey(own)) => identity == own,
            (Self::Rpk { key, .. }, PeerIdentity::RawPublicKey(own)) => {
                STANDARD.decode(key.trim()).is_ok_and(|key| key == *own)
            }
            (
                Self::X509 { cert, .. },
                PeerIdentity::Certificate {
                    common_name,
                    endpoint: accepted,
                },
            ) => {
                // A certificate that is pinned may say what it likes (`rulings` 6.7).
                let pinned = cert.as_deref().is_some_and(|cert| !cert.trim().is_empty());
                accepted == endpoint && (pinned || common_name == endpoint)
            }
            (
                Self::NoSec { .. } | Self::Psk { .. } | Self::Rpk { .. } | Self::X509 { .. },
                PeerIdentity::Unsecured
                | PeerIdentity::PreSharedKey(_)
                | PeerIdentity::RawPublicKey(_)
                | PeerIdentity::Certificate { .. },
            ) => false,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(endpoint: &str) -> [ClientCredentials; 4] {
        let endpoint = endpoint.to_owned();
        [
            ClientCredentials::NoSec {
                endpoint: endpoint.clone(),
            },
            ClientCredentials::Psk {
                endpoint: endpoint.clone(),
                identity: "id".to_owned(),
                key: "00ff".to_owned(),
            },
            ClientCredentials::Rpk {
                endpoint: endpoint.clone(),
                key: " AQID\n".to_owned(),
            },
            ClientCredentials::X509 {
                endpoint,
                cert: None,
            },
        ]
    }

    fn certificate(common_name: &str, endpoint: &str) -> PeerIdentity {
        PeerIdentity::Certificate {
            common_name: common_name.to_owned(),
            endpoint: endpoint.to_owned(),
        }
    }

    #[test]
    fn a47_each_way_of_proving_oneself_opens_its_own_mode_alone() {
        let identities = [
            PeerIdentity::Unsecured,
            PeerIdentity::PreSharedKey("id".to_owned()),
            PeerIdentity::RawPublicKey(vec![1, 2, 3].into()),
            certificate("dev1", "dev1"),
        ];
        for (row, identity) in identities.iter().enumerate() {
            for (column, document) in documents("dev1").iter().enumerate() {
                assert_eq!(
                    document.admit("dev1", identity),
                    row == column,
                    "{document:?} {identity:?}"
                );
                assert!(!document.admit("dev2", identity));
            }
        }
    }

    #[test]
    fn a47_another_identity_key_or_name_is_refused() {
        let [_, psk, rpk, chain] = documents("dev1");
        assert!(!psk.admit("dev1", &PeerIdentity::PreSharedKey("other".to_owned())));
        assert!(!rpk.admit("dev1", &PeerIdentity::RawPublicKey(vec![1, 2, 4].into())));
        assert!(!chain.admit("dev1", &certificate("dev2", "dev1")));
        assert!(!chain.admit("dev1", &certificate("dev1", "dev2")));
        let pinned = ClientCredentials::X509 {
            endpoint: "dev1".to_owned(),
            cert: Some("MIIB".to_owned()),
        };
        assert!(pinned.admit("dev1", &certificate("anything", "dev1")));
        assert!(!pinned.admit("dev1", &certificate("dev1", "dev2")));
        let blank = ClientCredentials::X509 {
            endpoint: "dev1".to_owned(),
            cert: Some(" ".to_owned()),
        };
        assert!(!blank.admit("dev1", &certificate("anything", "dev1")));
    }
}
