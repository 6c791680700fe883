//! One entry of `devices/*.json`: what it holds, what is wrong with it, by which id a device is asked for.

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use sha3::{Digest, Sha3_256};
use uuid::Uuid;

use crate::platform::{
    credentials::{AccountCredentials, BootstrapCredentials, ClientCredentials},
    key_text::{self, KeyKind, bare_base64},
    profile::PowerSettings,
    session::PlatformId,
};

/// A device of the registry.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DeviceEntry {
    /// Name, unique; the device's id follows from it.
    pub device_name: String,
    /// Tenant, a UUID; none = the system tenant.
    #[serde(default)]
    tenant_id: Option<String>,
    /// Profile: the name of its file without `.json`.
    pub profile: String,
    /// Credentials as the platform stores them.
    credentials: Credentials,
    /// Power settings of the device as the platform stores them.
    #[serde(default)]
    pub transport_configuration: PowerSettings,
    /// Shared attributes that the device has from the start.
    #[serde(default)]
    pub shared: Map<String, Json>,
}

/// The credentials document; unknown members are ignored. Without a `bootstrap` part every account is without security.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Credentials {
    client: ClientCredentials,
    #[serde(default)]
    bootstrap: BootstrapCredentials,
}

impl DeviceEntry {
    /// How the device must prove itself.
    pub(super) const fn client(&self) -> &ClientCredentials {
        &self.credentials.client
    }

    /// What bootstrap gives the device.
    pub(super) const fn bootstrap(&self) -> &BootstrapCredentials {
        &self.credentials.bootstrap
    }

    /// The tenant, the system tenant when none is given.
    pub(super) fn tenant(&self) -> PlatformId {
        self.tenant_id
            .as_deref()
            .and_then(|text| Uuid::parse_str(text).ok())
            .map_or(PlatformId::NULL, PlatformId)
    }

    /// The id under which the core would store the credentials: endpoint name, PSK identity or the SHA3-256 of a
    /// certificate's base64 text in hexadecimal.
    ///
    /// Source: `dao/.../device/DeviceCredentialsServiceImpl.java` of thingsboard.
    pub(super) fn credentials_id(&self) -> String {
        match self.client() {
            ClientCredentials::Psk { identity, .. } => identity.clone(),
            ClientCredentials::X509 {
                cert: Some(cert), ..
            } if !cert.trim().is_empty() => Sha3_256::digest(bare_base64(cert))
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            ClientCredentials::NoSec { endpoint }
            | ClientCredentials::Rpk { endpoint, .. }
            | ClientCredentials::X509 { endpoint, .. } => endpoint.clone(),
        }
    }

    /// What is wrong with the values: JSON pointer below the entry, and text.
    pub(super) fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, pointer: &str, message: &str| {
            if !holds {
                problems.push((pointer.to_owned(), message.to_owned()));
            }
        };
        require(
            !self.device_name.trim().is_empty(),
            "/deviceName",
            "the device name is blank",
        );
        require(
            self.tenant_id
                .as_deref()
                .is_none_or(|text| Uuid::parse_str(text).is_ok()),
            "/tenantId",
            "the tenant id is not a UUID",
        );
        require(
            !self.client().endpoint().trim().is_empty(),
            "/credentials/client/endpoint",
            "the endpoint is blank",
        );
        let mut require_key = |kind: KeyKind, text: &str, pointer: &str| {
            if let Err(wrong) = kind.read(text) {
                require(false, pointer, &wrong.to_string());
            }
        };
        match self.client() {
            ClientCredentials::NoSec { .. } => {}
            ClientCredentials::Psk { identity, key, .. } => {
                require(
                    !identity.trim().is_empty() && identity != "NO_SEC",
                    "/credentials/client/identity",
                    "the PSK identity is blank or the reserved word NO_SEC",
                );
                require(
                    key.bytes().all(|byte| byte.is_ascii_hexdigit()),
                    "/credentials/client/key",
                    "the PSK key is not hexadecimal",
                );
                require(
                    matches!(key.len(), 32 | 64 | 96 | 128),
                    "/credentials/client/key",
                    &format!(
                        "the PSK key has {} characters; 32, 64, 96 or 128 hexadecimal digits are needed",
                        key.len()
                    ),
                );
            }
            ClientCredentials::Rpk { key, .. } => {
                require_key(KeyKind::PublicKey, key, "/credentials/client/key");
            }
            ClientCredentials::X509 { cert, .. } => {
                let pinned = cert.as_deref().filter(|cert| !cert.trim().is_empty());
                if let Some(cert) = pinned {
                    require_key(KeyKind::Certificate, cert, "/credentials/client/cert");
                }
            }
        }
        let bootstrap = self.bootstrap();
        for (account, credentials) in [
            ("bootstrapServer", &bootstrap.bootstrap_server),
            ("lwm2mServer", &bootstrap.lwm2m_server),
        ] {
            problems.extend(
                account_problems(credentials)
                    .into_iter()
                    .map(|(member, message)| {
                        let pointer = format!("/credentials/bootstrap/{account}/{member}");
                        (pointer, message)
                    }),
            );
        }
        problems
    }
}

/// What is wrong with what bootstrap gives the device for an account: member, and text.
fn account_problems(credentials: &AccountCredentials) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let mut require = |holds: bool, member, message: &str| {
        if !holds {
            problems.push((member, message.to_owned()));
        }
    };
    let mut require_key = |kind: KeyKind, text: &str, member| {
        if let Err(wrong) = kind.read(text) {
            require(false, member, &wrong.to_string());
        }
    };
    match credentials {
        AccountCredentials::NoSec => {}
        AccountCredentials::Psk {
            client_public_key_or_id: identity,
            client_secret_key: key,
        } => {
            require(
                !identity.trim().is_empty(),
                "clientPublicKeyOrId",
                "the PSK identity is blank",
            );
            require(
                matches!(key.expose().len(), 32 | 64 | 96 | 128)
                    && key_text::hex(key.expose()).is_some(),
                "clientSecretKey",
                "the PSK key is not 32, 64, 96 or 128 hexadecimal digits",
            );
        }
        AccountCredentials::Rpk {
            client_public_key_or_id: own,
            client_secret_key: private,
        } => {
            require_key(KeyKind::PublicKey, own, "clientPublicKeyOrId");
            require_key(KeyKind::PrivateKey, private.expose(), "clientSecretKey");
        }
        AccountCredentials::X509 {
            client_public_key_or_id: own,
            client_secret_key: private,
        } => {
            require_key(KeyKind::Certificate, own, "clientPublicKeyOrId");
            require_key(KeyKind::PrivateKey, private.expose(), "clientSecretKey");
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use crate::platform::key_text::samples;

    use super::*;

    fn entry(client: &str) -> DeviceEntry {
        serde_json::from_str(&format!(
            r#"{{"deviceName":"d","profile":"p","credentials":{{"client":{client},"bootstrap":{{}}}}}}"#
        ))
        .unwrap()
    }

    fn pointers(client: &str) -> Vec<String> {
        entry(client)
            .problems()
            .into_iter()
            .map(|(pointer, _)| pointer)
            .collect()
    }

    /// A SubjectPublicKeyInfo on the curve P-256.
    const SPKI: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAElJfS0HPBCWSHkUcHrjEb4AL4np12uU6i1UQ6uSSNmZTD6cAEdEKNazqmQUKH8yZuvXOKLNECS2NUjipUneUN7g==";

    #[test]
    fn s14_psk_keys_have_32_64_96_or_128_hex_digits() {
        let psk = |key: &str| {
            format!(
                r#"{{"securityConfigClientMode":"PSK","endpoint":"e","identity":"i","key":"{key}"}}"#
            )
        };
        for length in [32, 64, 96, 128] {
            assert!(pointers(&psk(&"aB".repeat(length / 2))).is_empty());
        }
        let wrong = entry(&psk(&"0".repeat(36))).problems();
        assert_eq!(wrong[0].0, "/credentials/client/key");
        assert!(wrong[0].1.contains("32, 64, 96 or 128"), "{}", wrong[0].1);
        assert_eq!(
            pointers(&psk("-0000000000000000000000000000000")),
            ["/credentials/client/key"]
        );
    }

    #[test]
    fn s15_raw_public_keys_are_base64_not_hex() {
        let rpk = |key: &str| {
            format!(r#"{{"securityConfigClientMode":"RPK","endpoint":"e","key":"{key}"}}"#)
        };
        assert!(pointers(&rpk(SPKI)).is_empty());
        let hex = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        assert_eq!(pointers(&rpk(hex)), ["/credentials/client/key"]);
    }

    #[test]
    fn s16_keys_for_accounts_have_the_form_of_their_mode() {
        let pointers = |account: &str| -> Vec<String> {
            let entry: DeviceEntry = serde_json::from_str(&format!(
                r#"{{"deviceName":"d","profile":"p","credentials":{{
                    "client":{{"securityConfigClientMode":"NO_SEC","endpoint":"e"}},
                    "bootstrap":{{"lwm2mServer":{account}}}}}}}"#
            ))
            .unwrap();
            entry
                .problems()
                .into_iter()
                .map(|(pointer, _)| pointer)
                .collect()
        };
        let account = |mode: &str, public: &str, secret: &str| {
            format!(
                r#"{{"securityMode":"{mode}","clientPublicKeyOrId":"{public}","clientSecretKey":"{secret}"}}"#
            )
        };
        let hex = "00".repeat(16);
        let key = "/credentials/bootstrap/lwm2mServer/clientSecretKey";
        let id = "/credentials/bootstrap/lwm2mServer/clientPublicKeyOrId";
        for sound in [
            r#"{"securityMode":"NO_SEC"}"#.to_owned(),
            account("PSK", "id", &hex),
            account("RPK", samples::PUBLIC_KEY, samples::PRIVATE_KEY),
            account("X509", samples::CERTIFICATE, samples::PRIVATE_KEY),
        ] {
            assert_eq!(pointers(&sound), [""; 0], "{sound}");
        }
        assert_eq!(pointers(&account("PSK", " ", "00ff")), [id, key]);
        assert_eq!(pointers(&account("RPK", samples::PUBLIC_KEY, &hex)), [key]);
        assert_eq!(
            pointers(&account("X509", samples::PUBLIC_KEY, &hex)),
            [id, key]
        );
    }

    #[test]
    fn blank_names_and_the_reserved_identity_are_refused() {
        let psk = format!(
            r#"{{"securityConfigClientMode":"PSK","endpoint":" ","identity":"NO_SEC","key":"{}"}}"#,
            "00".repeat(16)
        );
        assert_eq!(
            pointers(&psk),
            [
                "/credentials/client/endpoint",
                "/credentials/client/identity"
            ]
        );
    }

    #[test]
    fn credentials_ids_follow_the_mode() {
        let id = |client: &str| entry(client).credentials_id();
        assert_eq!(
            id(r#"{"securityConfigClientMode":"NO_SEC","endpoint":"e"}"#),
            "e"
        );
        assert_eq!(
            id(r#"{"securityConfigClientMode":"PSK","endpoint":"e","identity":"i","key":""}"#),
            "i"
        );
        assert_eq!(
            id(r#"{"securityConfigClientMode":"X509","endpoint":"e","cert":""}"#),
            "e"
        );
        // The example of FIPS 202 for the text `abc`.
        assert_eq!(
            id(r#"{"securityConfigClientMode":"X509","endpoint":"e","cert":"ab\nc"}"#),
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"
        );
    }
}
