//! What is wrong with the server accounts of a profile, by the rules that the platform applies when a profile is saved.
//!
//! Source: `dao/.../validator/DeviceProfileDataValidator.java` of thingsboard. Its rule that ports are those of the platform's
//! own servers is left out: a profile here may name any server.

use std::collections::BTreeSet;

use crate::platform::{
    credentials::SecurityMode, key_text::KeyKind, profile::TransportConfiguration,
    server_account::ShortIdError,
};

/// The first thing that is wrong: JSON pointer below the transport configuration, and text.
pub(super) fn problem(transport: &TransportConfiguration) -> Option<(String, String)> {
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for (index, entry) in transport.bootstrap.iter().enumerate() {
        let at = |member: &str, text: &str| {
            Some((format!("/bootstrap/{index}/{member}"), text.to_owned()))
        };
        if entry.bootstrap_server_is && !transport.bootstrap_server_update_enable {
            return at(
                "bootstrapServerIs",
                "Bootstrap config must not include \"Bootstrap Server\". \"Include Bootstrap Server updates\" (bootstrapServerUpdateEnable) is false.",
            );
        }
        let id = match entry.short_server_id() {
            Ok(id) => id,
            Err(error) => return at("shortServerId", short_id_text(error)),
        };
        if !ids.insert(id) {
            return at(
                "shortServerId",
                "ShortServerId must be a unique value for all servers!",
            );
        }
        if entry.host.trim().is_empty() {
            return at("host", "the host is blank");
        }
        if !(1..=65535).contains(&entry.port) {
            return at("port", "the port is not in range [1 - 65535]");
        }
        if !places.insert((entry.host.trim(), entry.port)) {
            return at(
                "host",
                "\"Host + port\" must be a unique value for all servers!",
            );
        }
        let (name, kind) = match entry.security_mode {
            SecurityMode::NoSec | SecurityMode::Psk => continue,
            SecurityMode::Rpk => ("RPK public key", KeyKind::PublicKey),
            SecurityMode::X509 => ("X509 certificate", KeyKind::Certificate),
        };
        if kind.read(&entry.server_public_key).is_err() {
            let text = format!("{name} must be {}", kind.form());
            return at("serverPublicKey", &text);
        }
    }
    None
}

const fn short_id_text(error: ShortIdError) -> &'static str {
    match error {
        ShortIdError::OfBootstrapServer => "Bootstrap Server ShortServerId must be null!",
        ShortIdError::Missing => "LwM2M Server ShortServerId must not be null!",
        ShortIdError::OutOfRange => "LwM2M Server ShortServerId must be in range [1 - 65534]!",
    }
}

#[cfg(test)]
mod tests {
    use crate::platform::key_text::samples;

    use super::*;

    fn found(update: bool, entries: &str) -> Option<(String, String)> {
        let json =
            format!(r#"{{"bootstrapServerUpdateEnable": {update}, "bootstrap": [{entries}]}}"#);
        problem(&serde_json::from_str(&json).unwrap())
    }

    fn entry(mode: &str, rest: &str) -> String {
        format!(r#"{{"securityMode": "{mode}", "host": "h", "port": 5685, {rest}}}"#)
    }

    #[test]
    fn accounts_are_held_to_the_rules_of_the_platform() {
        let server = |rest: &str| entry("NO_SEC", rest);
        let other = r#"{"securityMode": "NO_SEC", "host": "h", "port": 1, "shortServerId": 123}"#;
        let key = |key: &str| format!(r#""shortServerId": 1, "serverPublicKey": "{key}""#);
        for (update, entries, pointer, text) in [
            (
                false,
                server(r#""bootstrapServerIs": true, "shortServerId": null"#),
                "/bootstrap/0/bootstrapServerIs",
                "Bootstrap config must not include \"Bootstrap Server\".",
            ),
            (
                true,
                server(r#""bootstrapServerIs": true, "shortServerId": 111"#),
                "/bootstrap/0/shortServerId",
                "Bootstrap Server ShortServerId must be null!",
            ),
            (
                false,
                server(r#""shortServerId": null"#),
                "/bootstrap/0/shortServerId",
                "LwM2M Server ShortServerId must not be null!",
            ),
            (
                false,
                server(r#""shortServerId": 65535"#),
                "/bootstrap/0/shortServerId",
                "LwM2M Server ShortServerId must be in range [1 - 65534]!",
            ),
            (
                false,
                format!("{}, {other}", server(r#""shortServerId": 123"#)),
                "/bootstrap/1/shortServerId",
                "must be a unique value for all servers!",
            ),
            (
                false,
                format!(
                    "{}, {}",
                    server(r#""shortServerId": 1"#),
                    server(r#""shortServerId": 2"#)
                ),
                "/bootstrap/1/host",
                "\"Host + port\"",
            ),
            (
                false,
                entry("RPK", &key("")),
                "/bootstrap/0/serverPublicKey",
                "RPK public key must be ",
            ),
            (
                false,
                entry("X509", &key(samples::PUBLIC_KEY)),
                "/bootstrap/0/serverPublicKey",
                "X509 certificate must be ",
            ),
        ] {
            let (at, said) = found(update, &entries).expect(text);
            assert_eq!(at, pointer, "{said}");
            assert!(said.contains(text), "{said}");
        }
    }

    #[test]
    fn b20_sound_accounts_have_no_problem() {
        let bootstrap = r#"{"securityMode": "PSK", "host": "h", "port": 5688, "bootstrapServerIs": true, "shortServerId": 0}"#;
        let rpk = entry(
            "RPK",
            &format!(
                r#""shortServerId": 1, "serverPublicKey": "{}""#,
                samples::PUBLIC_KEY
            ),
        );
        assert_eq!(found(true, &format!("{bootstrap}, {rpk}")), None);
        assert_eq!(found(false, ""), None);
    }
}
