//! The accounts a device is to get: its profile and its credentials joined, and checked as a whole.
//!
//! Resources and their types are those of the Security and Server objects (OMA LwM2M Core, annex E.1 and E.2), which are
//! the same in all versions of these objects as far as they are written here; no object definition is needed.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;

use crate::{
    lwm2m::{node::Resource, value::Value},
    platform::{
        credentials::{AccountCredentials, Admission, SecurityMode},
        key_text::{self, KeyKind, WrongKey},
        secret::Secret,
        server_account::{ServerAccount, ShortIdError},
    },
};

/// The account of one server.
#[derive(Clone, PartialEq)]
pub(super) struct Account {
    /// `None`: that of the bootstrap server.
    pub(super) short_server_id: Option<u16>,
    /// Resources of its Security instance.
    pub(super) security: Vec<Resource>,
    /// Resources of its Server instance; none for the bootstrap server.
    pub(super) server: Vec<Resource>,
    /// Whether `security` holds a key that nobody else may learn.
    pub(super) secret: bool,
}

/// Why a profile and credentials make no accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AccountError {
    #[error("the binding of a server is not made of the letters U, M, H, T, S, N and Q")]
    Binding,
    #[error("the credentials for bootstrap cannot be read")]
    Credentials,
    #[error(transparent)]
    Key(#[from] WrongKey),
    #[error("Different values SecurityMode between of client and profile.")]
    Mode,
    #[error("a PSK identity is empty, or its key is not hexadecimal or empty")]
    Psk,
    #[error("two servers have one short ID")]
    Repeated,
    #[error(transparent)]
    ShortId(#[from] ShortIdError),
    #[error("a server has no host, or a port outside 1 to 65535")]
    Uri,
}

/// The accounts that the profile of an admitted device has for it, in the order of the profile. The account of the
/// bootstrap server is among them only if the profile allows to write it anew.
pub(super) fn accounts(admission: &Admission) -> Result<Vec<Account>, AccountError> {
    let credentials = admission
        .bootstrap
        .as_ref()
        .ok_or(AccountError::Credentials)?;
    let transport = &admission.profile.transport;
    let entries: Vec<_> = transport
        .bootstrap
        .iter()
        .filter(|entry| !entry.bootstrap_server_is || transport.bootstrap_server_update_enable)
        .map(|entry| {
            let own = if entry.bootstrap_server_is {
                &credentials.bootstrap_server
            } else {
                &credentials.lwm2m_server
            };
            (entry, own)
        })
        .collect();
    if entries
        .iter()
        .any(|(entry, own)| entry.security_mode != own.mode())
    {
        return Err(AccountError::Mode);
    }
    let mut ids = BTreeSet::new();
    entries
        .into_iter()
        .map(|(entry, own)| {
            let account = Account::new(entry, own)?;
            if ids.insert(account.short_server_id) {
                Ok(account)
            } else {
                Err(AccountError::Repeated)
            }
        })
        .collect()
}

impl fmt::Debug for Account {
    /// Prints whose it is, never a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account")
            .field(&self.short_server_id)
            .finish()
    }
}

impl Account {
    fn new(entry: &ServerAccount, credentials: &AccountCredentials) -> Result<Self, AccountError> {
        let short_server_id = entry.short_server_id()?;
        let keys = Keys::new(credentials, &entry.server_public_key)?;
        let opaque = |bytes: Vec<u8>| Value::Opaque(Bytes::from(bytes));
        let mut security = vec![
            Resource::single(0, Value::String(uri(entry)?)),
            Resource::single(1, Value::Boolean(entry.bootstrap_server_is)),
            Resource::single(2, Value::Integer(entry.security_mode.number().into())),
            Resource::single(3, opaque(keys.public_key_or_identity)),
            Resource::single(4, opaque(keys.server_public_key)),
            Resource::single(5, opaque(keys.secret_key)),
            Resource::single(6, Value::Integer(NO_SMS_SECURITY)),
            Resource::single(7, opaque(Vec::new())),
            Resource::single(8, opaque(Vec::new())),
            Resource::single(9, Value::String(String::new())),
        ];
        if let Some(id) = short_server_id {
            security.push(Resource::single(10, Value::Integer(id.into())));
        }
        security.extend([
            Resource::single(11, Value::Integer(entry.client_hold_off_time)),
            Resource::single(12, Value::Integer(entry.bootstrap_server_account_timeout)),
        ]);
        let server = match short_server_id {
            None => Vec::new(),
            Some(id) => vec![
                Resource::single(0, Value::Integer(id.into())),
                Resource::single(1, Value::Integer(entry.lifetime)),
                Resource::single(2, Value::Integer(entry.default_min_period)),
                Resource::single(6, Value::Boolean(entry.notif_if_disabled)),
                Resource::single(7, Value::String(binding(entry)?)),
            ],
        };
        Ok(Self {
            short_server_id,
            security,
            server,
            secret: entry.security_mode != SecurityMode::NoSec,
        })
    }
}

fn uri(entry: &ServerAccount) -> Result<String, AccountError> {
    let host = match entry.host.trim() {
        "" => return Err(AccountError::Uri),
        "0.0.0.0" => "localhost".to_owned(),
        // A literal address of IPv6 (RFC 3986 section 3.2.2).
        address if address.contains(':') && !address.starts_with('[') => format!("[{address}]"),
        host => host.to_owned(),
    };
    let scheme = match entry.security_mode {
        SecurityMode::NoSec => "coap",
        SecurityMode::Psk | SecurityMode::Rpk | SecurityMode::X509 => "coaps",
    };
    match u16::try_from(entry.port) {
        Ok(port @ 1..) => Ok(format!("{scheme}://{host}:{port}")),
        Ok(0) | Err(_) => Err(AccountError::Uri),
    }
}

fn binding(entry: &ServerAccount) -> Result<String, AccountError> {
    let letters = &entry.binding;
    if !letters.is_empty() && letters.chars().all(|letter| "UMHTSNQ".contains(letter)) {
        Ok(letters.clone())
    } else {
        Err(AccountError::Binding)
    }
}

/// Resources 3 to 5 of a Security instance.
#[derive(Default)]
struct Keys {
    public_key_or_identity: Vec<u8>,
    server_public_key: Vec<u8>,
    secret_key: Vec<u8>,
}

impl Keys {
    fn new(
        credentials: &AccountCredentials,
        server_public_key: &str,
    ) -> Result<Self, AccountError> {
        let pair = |kind: KeyKind, own: &str, private: &Secret| {
            Ok(Self {
                public_key_or_identity: kind.read(own)?,
                server_public_key: kind.read(server_public_key)?,
                secret_key: KeyKind::PrivateKey.read(private.expose())?,
            })
        };
        match credentials {
            AccountCredentials::NoSec => Ok(Self::default()),
            AccountCredentials::Psk {
                client_public_key_or_id: identity,
                client_secret_key: key,
            } => {
                let key = key_text::hex(key.expose()).filter(|key| !key.is_empty());
                match key {
                    Some(secret_key) if !identity.is_empty() => Ok(Self {
                        public_key_or_identity: identity.clone().into_bytes(),
                        server_public_key: key_text::base64(server_public_key)
                            .ok_or(WrongKey(KeyKind::PublicKey))?,
                        secret_key,
                    }),
                    Some(_) | None => Err(AccountError::Psk),
                }
            }
            AccountCredentials::Rpk {
                client_public_key_or_id: own,
                client_secret_key: private,
            } => pair(KeyKind::PublicKey, own, private),
            AccountCredentials::X509 {
                client_public_key_or_id: own,
                client_secret_key: private,
            } => pair(KeyKind::Certificate, own, private),
        }
    }
}

/// `/0/x/6`: NoSec.
const NO_SMS_SECURITY: i64 = 3;

#[cfg(test)]
mod tests {
    use crate::{
        bootstrap::fixture::{NOSEC, PSK, RPK, X509, admission, admission_with},
        lwm2m::node::ResourceContent,
        platform::key_text::samples,
    };

    use super::*;

    fn text(account: &[Resource]) -> Vec<(u16, String)> {
        account
            .iter()
            .map(|resource| {
                let ResourceContent::Single(value) = &resource.content else {
                    panic!("all are single: {resource:?}");
                };
                let text = match value {
                    Value::Opaque(bytes) => {
                        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
                    }
                    Value::String(text) => format!("'{text}'"),
                    Value::Integer(number) => number.to_string(),
                    Value::Boolean(flag) => flag.to_string(),
                    other @ (Value::Float(_)
                    | Value::Time(_)
                    | Value::ObjectLink(..)
                    | Value::UnsignedInteger(_)
                    | Value::CoreLink(_)) => panic!("no such type is written: {other:?}"),
                };
                (resource.id, text)
            })
            .collect()
    }

    fn expected(resources: &[(u16, &str)]) -> Vec<(u16, String)> {
        resources
            .iter()
            .map(|(id, text)| (*id, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn an_unsecured_account_has_empty_keys() {
        let accounts = accounts(&admission(NOSEC)).unwrap();
        let [server, bootstrap] = &accounts[..] else {
            panic!("{accounts:?}");
        };
        assert_eq!(
            text(&server.security),
            expected(&[
                (0, "'coap://lwm2m.example.org:5685'"),
                (1, "false"),
                (2, "3"),
                (3, ""),
                (4, ""),
                (5, ""),
                (6, "3"),
                (7, ""),
                (8, ""),
                (9, "''"),
                (10, "123"),
                (11, "1"),
                (12, "0"),
            ])
        );
        assert_eq!(
            text(&server.server),
            expected(&[(0, "123"), (1, "300"), (2, "1"), (6, "true"), (7, "'U'")])
        );
        assert_eq!(bootstrap.short_server_id, None);
        let resources = text(&bootstrap.security);
        assert_eq!(resources[1], (1, "true".to_owned()));
        assert!(resources.iter().all(|(id, _)| *id != 10), "{resources:?}");
        assert_eq!(bootstrap.server, []);
        assert!(accounts.iter().all(|account| !account.secret));
    }

    #[test]
    fn a_pre_shared_key_is_written_as_bytes() {
        let accounts = accounts(&admission(PSK)).unwrap();
        let resources = text(&accounts[0].security);
        assert_eq!(resources[0].1, "'coaps://lwm2m.example.org:5686'");
        // "SOME_PSK_ID" and "secretPSKsecretP" in ASCII (`security.md` 13).
        assert_eq!(
            resources[2..6],
            expected(&[
                (2, "0"),
                (3, "534f4d455f50534b5f4944"),
                (4, ""),
                (5, "73656372657450534b73656372657450"),
            ])
        );
        assert!(accounts[0].secret);
    }

    #[test]
    fn key_pairs_and_certificates_are_written_as_der() {
        let der = |text| {
            let der = key_text::base64(text).unwrap();
            der.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let private: String = der(samples::PRIVATE_KEY);
        for (profile, mode, public) in [
            (RPK, "1", samples::PUBLIC_KEY),
            (X509, "2", samples::CERTIFICATE),
        ] {
            let accounts = accounts(&admission(profile)).unwrap();
            let public: String = der(public);
            assert_eq!(
                text(&accounts[0].security)[2..6],
                expected(&[(2, mode), (3, &public), (4, &public), (5, &private)])
            );
        }
    }

    #[test]
    fn b21_hold_off_time_and_timeout_of_the_profile_are_honoured() {
        let profile = NOSEC
            .profile
            .replace(r#""clientHoldOffTime":1"#, r#""clientHoldOffTime":10"#)
            .replace(
                r#""bootstrapServerAccountTimeout":0"#,
                r#""bootstrapServerAccountTimeout":86400"#,
            );
        let accounts = accounts(&admission_with(&profile, NOSEC.credentials)).unwrap();
        let resources = text(&accounts[0].security);
        assert_eq!(resources[11..], expected(&[(11, "10"), (12, "86400")]));
    }

    #[test]
    fn b2_the_bootstrap_account_is_left_out_unless_the_profile_allows_it() {
        let profile = NOSEC.profile.replace("true", "false");
        assert!(profile.contains(r#""bootstrapServerUpdateEnable":false"#));
        let profile = profile.replacen(
            r#""bootstrapServerIs":false,"shortServerId":null"#,
            r#""bootstrapServerIs":true,"shortServerId":111"#,
            1,
        );
        let accounts = accounts(&admission_with(&profile, NOSEC.credentials)).unwrap();
        let ids: Vec<_> = accounts.iter().map(|own| own.short_server_id).collect();
        assert_eq!(ids, [Some(123)]);
    }

    #[test]
    fn hosts_become_uris() {
        let uri_of = |host: &str| {
            let profile = NOSEC.profile.replace("lwm2m.example.org", host);
            accounts(&admission_with(&profile, NOSEC.credentials))
                .map(|accounts| text(&accounts[0].security)[0].1.clone())
        };
        assert_eq!(uri_of("0.0.0.0"), Ok("'coap://localhost:5685'".to_owned()));
        assert_eq!(uri_of("::1"), Ok("'coap://[::1]:5685'".to_owned()));
        assert_eq!(uri_of("[::1]"), Ok("'coap://[::1]:5685'".to_owned()));
        assert_eq!(uri_of(" "), Err(AccountError::Uri));
    }

    #[test]
    fn b20_m9_a_short_id_of_the_bootstrap_server_is_null_absent_or_0() {
        let with = |id: &str| {
            let profile = NOSEC.profile.replace(r#""shortServerId":null,"#, id);
            accounts(&admission_with(&profile, NOSEC.credentials)).map(|own| own.len())
        };
        for id in ["", r#""shortServerId":null,"#, r#""shortServerId":0,"#] {
            assert_eq!(with(id), Ok(2), "{id}");
        }
        let refused = with(r#""shortServerId":111,"#);
        assert_eq!(refused, Err(ShortIdError::OfBootstrapServer.into()));
    }

    #[test]
    fn what_contradicts_itself_makes_no_accounts() {
        let with = |from: &str, to: &str| {
            let profile = NOSEC.profile.replace(from, to);
            assert_ne!(profile, NOSEC.profile, "{from}");
            accounts(&admission_with(&profile, NOSEC.credentials)).unwrap_err()
        };
        for (id, expected) in [
            ("null", ShortIdError::Missing),
            ("0", ShortIdError::OutOfRange),
        ] {
            let id = format!(r#""shortServerId":{id}"#);
            assert_eq!(with(r#""shortServerId":123"#, &id), expected.into());
        }
        assert_eq!(with("5685", "0"), AccountError::Uri);
        assert_eq!(with("5685", "65536"), AccountError::Uri);
        assert_eq!(
            with(r#""binding":"U""#, r#""binding":"X""#),
            AccountError::Binding
        );
        assert_eq!(
            with(r#""binding":"U""#, r#""binding":"""#),
            AccountError::Binding
        );
        assert_eq!(
            with(
                r#""bootstrapServerIs":true,"shortServerId":null"#,
                r#""bootstrapServerIs":false,"shortServerId":123"#
            ),
            AccountError::Repeated
        );
        // What a device is given is without security, what the profile says is not.
        let mixed = admission_with(PSK.profile, NOSEC.credentials);
        assert_eq!(accounts(&mixed), Err(AccountError::Mode));
        let unreadable = Admission {
            bootstrap: None,
            ..admission(NOSEC)
        };
        assert_eq!(accounts(&unreadable), Err(AccountError::Credentials));
    }

    #[test]
    fn keys_that_are_none_are_refused_and_not_quoted() {
        let wrong = |kind| AccountError::Key(WrongKey(kind));
        for (security, from, to, expected) in [
            (PSK, "SOME_PSK_ID", "", AccountError::Psk),
            (PSK, "7365", "xx65", AccountError::Psk),
            (RPK, "MIGH", "MIGI", wrong(KeyKind::PrivateKey)),
            (RPK, "MFkw", "MFkx", wrong(KeyKind::PublicKey)),
            (X509, "MIICBzCC", "MIICBzCD", wrong(KeyKind::Certificate)),
        ] {
            let credentials = security.credentials.replace(from, to);
            assert_ne!(credentials, security.credentials);
            let error = accounts(&admission_with(security.profile, &credentials)).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains(to) || to.is_empty());
        }
        let server = RPK.profile.replace("MFkw", "MIGH");
        let refused = accounts(&admission_with(&server, RPK.credentials));
        assert_eq!(refused, Err(wrong(KeyKind::PublicKey)));
    }
}
