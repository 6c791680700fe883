//! The servers that a device profile gives to its devices by bootstrap.

use serde::{Deserialize, Deserializer};

use super::{credentials::SecurityMode, profile::null_is_default};

/// One entry of `bootstrap` in a profile: the account of one server. Unknown members are ignored. Numbers are kept as they
/// stand; whether they can be written to a device is seen when one asks for them.
///
/// Source: `common/data/.../device/profile/lwm2m/bootstrap/LwM2MServerSecurityConfig.java` of thingsboard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerAccount {
    /// How device and server prove themselves.
    pub security_mode: SecurityMode,
    /// `None`: absent. `Some(None)`: null.
    #[serde(default, deserialize_with = "present")]
    short_server_id: Option<Option<i64>>,
    /// Whether it is the account of the bootstrap server.
    #[serde(default, deserialize_with = "null_is_default")]
    pub bootstrap_server_is: bool,
    /// Host name or address; `0.0.0.0` stands for `localhost`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub host: String,
    /// UDP port.
    #[serde(default, deserialize_with = "null_is_default")]
    pub port: i64,
    /// Base64 of what the server proves itself with: SubjectPublicKeyInfo or certificate.
    #[serde(default, deserialize_with = "null_is_default")]
    pub server_public_key: String,
    /// How long the device waits before its first Register or Bootstrap-Request, seconds.
    #[serde(default = "one")]
    pub client_hold_off_time: i64,
    /// When the device drops its bootstrap account, seconds; 0 never.
    #[serde(default, deserialize_with = "null_is_default")]
    pub bootstrap_server_account_timeout: i64,
    /// Lifetime of registrations, seconds.
    #[serde(default = "three_hundred")]
    pub lifetime: i64,
    /// Shortest time between two notifications, seconds, where nothing else says so.
    #[serde(default = "one")]
    pub default_min_period: i64,
    /// Whether notifications are kept while the device cannot send them.
    #[serde(default = "yes")]
    pub notif_if_disabled: bool,
    /// Binding letters.
    #[serde(default = "udp")]
    pub binding: String,
}

impl ServerAccount {
    /// The short server id, 1 to 65534; a bootstrap server has none, and platforms of other releases store that as null or
    /// as 0 (`measured.md` M9). Upstream's default is that of its LwM2M server.
    ///
    /// # Errors
    /// [`ShortIdError`]
    pub fn short_server_id(&self) -> Result<Option<u16>, ShortIdError> {
        let default = || (!self.bootstrap_server_is).then_some(DEFAULT_SHORT_SERVER_ID);
        match (
            self.bootstrap_server_is,
            self.short_server_id.unwrap_or_else(default),
        ) {
            (true, None | Some(0)) => Ok(None),
            (true, Some(_)) => Err(ShortIdError::OfBootstrapServer),
            (false, None) => Err(ShortIdError::Missing),
            (false, Some(id)) => match u16::try_from(id) {
                Ok(id @ 1..=65534) => Ok(Some(id)),
                Ok(_) | Err(_) => Err(ShortIdError::OutOfRange),
            },
        }
    }
}

/// What is wrong with a short server id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShortIdError {
    /// A bootstrap server has one.
    #[error("short ID must be 0 for the bootstrap server")]
    OfBootstrapServer,
    /// An LwM2M server has none.
    #[error("a LwM2M server has no short ID")]
    Missing,
    /// It is not one that an LwM2M server may have.
    #[error("short ID must be 1 to 65534 for a LwM2M server")]
    OutOfRange,
}

/// Tells a null from an absent member.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

const fn one() -> i64 {
    1
}

const fn three_hundred() -> i64 {
    300
}

const fn yes() -> bool {
    true
}

fn udp() -> String {
    "U".to_owned()
}

const DEFAULT_SHORT_SERVER_ID: i64 = 123;

#[cfg(test)]
mod tests {
    use super::*;

    fn account(json: &str) -> ServerAccount {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn absent_members_have_the_defaults_of_the_platform() {
        let read = account(r#"{"securityMode": "NO_SEC", "host": "h", "port": 5685, "other": {}}"#);
        assert_eq!(read.short_server_id(), Ok(Some(123)));
        assert_eq!(
            (
                read.lifetime,
                read.default_min_period,
                read.notif_if_disabled
            ),
            (300, 1, true)
        );
        assert_eq!(
            (
                read.client_hold_off_time,
                read.bootstrap_server_account_timeout
            ),
            (1, 0)
        );
        assert_eq!(
            (read.binding.as_str(), read.bootstrap_server_is),
            ("U", false)
        );
    }

    #[test]
    fn b20_a_bootstrap_server_has_no_short_id_and_others_have_one_of_16_bits() {
        let of = |is_bootstrap: bool, id: &str| {
            let json = format!(
                r#"{{{id} "securityMode": "PSK", "bootstrapServerIs": {is_bootstrap}, "host": "h", "port": 1}}"#
            );
            account(&json).short_server_id()
        };
        let stated = |id: i64| format!(r#""shortServerId": {id},"#);
        for id in [r#""shortServerId": null,"#, &stated(0), ""] {
            assert_eq!(of(true, id), Ok(None), "{id}");
        }
        for id in [-1, 1, 111, 65535] {
            let refused = Err(ShortIdError::OfBootstrapServer);
            assert_eq!(of(true, &stated(id)), refused, "{id}");
        }
        assert_eq!(
            of(false, r#""shortServerId": null,"#),
            Err(ShortIdError::Missing)
        );
        for id in [1, 65534] {
            assert_eq!(of(false, &stated(id.into())), Ok(Some(id)));
        }
        for id in [-1, 0, 65535, 65537] {
            let refused = Err(ShortIdError::OutOfRange);
            assert_eq!(of(false, &stated(id)), refused, "{id}");
        }
    }
}
