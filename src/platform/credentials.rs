//! Device credentials (`LWM2M_CREDENTIALS`) and what admits a device.

use std::{fmt, sync::Arc};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    key_text, peer::PeerIdentity, profile::DeviceProfile, secret::Secret, session::DeviceInfo,
};

/// What the platform says of a device that may come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Admission {
    /// The device.
    pub device: Arc<DeviceInfo>,
    /// How it must prove itself.
    pub client: ClientCredentials,
    /// What it is given by bootstrap; `None` when that part of its credentials cannot be read.
    pub bootstrap: Option<BootstrapCredentials>,
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
            (Self::Psk { identity, key, .. }, PeerIdentity::PreSharedKey(own)) => {
                // The peer may have shown its key long ago, before this document.
                let key = Zeroizing::new(key_text::hex(key.trim()).unwrap_or_default());
                **own == **identity && own.had(&key)
            }
            (Self::Rpk { key, .. }, PeerIdentity::RawPublicKey(own)) => {
                key_text::base64(key).is_some_and(|key| key == *own)
            }
            (
                Self::X509 { cert, .. },
                PeerIdentity::Certificate {
                    common_name,
                    endpoint: accepted,
                    ..
                },
            ) => {
                // A certificate that is pinned may say what it likes (`rulings` 6.7).
                let pinned = cert.as_deref().is_some_and(|cert| !cert.trim().is_empty());
                **accepted == *endpoint && (pinned || **common_name == *endpoint)
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

/// How a peer and a server prove to each other who they are; in the order of the numbers of `/0/x/2` (OMA LwM2M Core,
/// "LwM2M Object: LwM2M Security").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum SecurityMode {
    /// Pre-shared key.
    #[serde(rename = "PSK")]
    Psk,
    /// Raw public key.
    #[serde(rename = "RPK")]
    Rpk,
    /// Certificate.
    #[serde(rename = "X509")]
    X509,
    /// No security.
    #[serde(rename = "NO_SEC")]
    NoSec,
}

impl SecurityMode {
    /// The number in `/0/x/2`.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// The `bootstrap` part of the credentials document: what the device is given for its server accounts. What is absent is
/// without security; unknown members are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BootstrapCredentials {
    /// For the account of the bootstrap server.
    pub bootstrap_server: AccountCredentials,
    /// For all accounts of LwM2M servers.
    #[serde(rename = "lwm2mServer")]
    pub lwm2m_server: AccountCredentials,
}

/// What a device is given to prove itself to a server.
///
/// Source: `common/data/.../device/credentials/lwm2m/*BootstrapClientCredential.java` of thingsboard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "securityMode", rename_all_fields = "camelCase")]
pub enum AccountCredentials {
    /// Nothing.
    #[default]
    #[serde(rename = "NO_SEC")]
    NoSec,
    /// A pre-shared key.
    #[serde(rename = "PSK")]
    Psk {
        /// PSK identity.
        client_public_key_or_id: String,
        /// Key, hexadecimal.
        client_secret_key: Secret,
    },
    /// A key pair.
    #[serde(rename = "RPK")]
    Rpk {
        /// Base64 of the DER SubjectPublicKeyInfo.
        client_public_key_or_id: String,
        /// Base64 of the private key in PKCS#8.
        client_secret_key: Secret,
    },
    /// A certificate and its key.
    #[serde(rename = "X509")]
    X509 {
        /// Base64 of the DER certificate.
        client_public_key_or_id: String,
        /// Base64 of the private key in PKCS#8.
        client_secret_key: Secret,
    },
}

impl AccountCredentials {
    /// The mode.
    pub const fn mode(&self) -> SecurityMode {
        match self {
            Self::NoSec => SecurityMode::NoSec,
            Self::Psk { .. } => SecurityMode::Psk,
            Self::Rpk { .. } => SecurityMode::Rpk,
            Self::X509 { .. } => SecurityMode::X509,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::peer::PskIdentity;

    #[test]
    fn what_a_device_is_given_is_read_and_never_shown() {
        let json = r#"{"bootstrapServer": {"securityMode": "PSK", "clientPublicKeyOrId": "id-1", "clientSecretKey": "00ff"},
            "lwm2mServer": {"securityMode": "NO_SEC", "clientSecretKey": ""}, "more": 1}"#;
        let read: BootstrapCredentials = serde_json::from_str(json).unwrap();
        assert_eq!(read.bootstrap_server.mode(), SecurityMode::Psk);
        assert_eq!(read.lwm2m_server, AccountCredentials::NoSec);
        let shown = format!("{read:?}");
        assert!(shown.contains("id-1") && !shown.contains("00ff"), "{shown}");
        assert_eq!(
            serde_json::from_str::<BootstrapCredentials>("{}").unwrap(),
            BootstrapCredentials::default()
        );
        for wrong in [
            r#"{"lwm2mServer": {"securityMode": "EST"}}"#,
            r#"{"lwm2mServer": {"securityMode": "PSK", "clientPublicKeyOrId": "id-1"}}"#,
        ] {
            assert!(
                serde_json::from_str::<BootstrapCredentials>(wrong).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn modes_have_the_numbers_of_the_security_object() {
        let modes = [
            SecurityMode::Psk,
            SecurityMode::Rpk,
            SecurityMode::X509,
            SecurityMode::NoSec,
        ];
        assert_eq!(modes.map(SecurityMode::number), [0, 1, 2, 3]);
    }

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
            common_name: common_name.into(),
            endpoint: endpoint.into(),
            credentials_id: endpoint.into(),
        }
    }

    #[test]
    fn a47_each_way_of_proving_oneself_opens_its_own_mode_alone() {
        let identities = [
            PeerIdentity::Unsecured,
            PeerIdentity::PreSharedKey("id".into()),
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
        assert!(!psk.admit("dev1", &PeerIdentity::PreSharedKey("other".into())));
        assert!(!rpk.admit("dev1", &PeerIdentity::RawPublicKey(vec![1, 2, 4].into())));
        assert!(!chain.admit("dev1", &certificate("dev2", "dev1")));
        assert!(!chain.admit("dev1", &certificate("dev1", "dev2")));
        let ClientCredentials::Psk { identity, key, .. } = &psk else {
            panic!("a document for PSK");
        };
        let key = key_text::hex(key).unwrap();
        for (had, expected) in [(&*key, true), (b"the key before", false)] {
            let peer = PeerIdentity::PreSharedKey(PskIdentity::with_key(identity, had));
            assert_eq!(psk.admit("dev1", &peer), expected);
        }
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
