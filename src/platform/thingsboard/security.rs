//! How the Kafka client proves itself, and whom it trusts (`operations.md` 3.2, `platform-wire.md` 1.8).
//!
//! Key stores go by their content: PEM and PKCS#12 are read, a Java key store (JKS) is an error that names the conversion.

use std::fs;

use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};

use super::super::secret::Secret;
use super::settings::KafkaSettings;

/// How the connection to a broker is secured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "snake_case")]
pub enum SecurityProtocol {
    /// Not at all.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL in plain text.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    const fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl TryFrom<String> for SecurityProtocol {
    type Error = &'static str;

    /// In upper case as well, as the Java client wants it.
    fn try_from(text: String) -> Result<Self, &'static str> {
        [
            Self::Plaintext,
            Self::Ssl,
            Self::SaslPlaintext,
            Self::SaslSsl,
        ]
        .into_iter()
        .find(|protocol| text.eq_ignore_ascii_case(protocol.name()))
        .ok_or("expected `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`")
    }
}

/// `kafka.ssl`: TLS to the brokers; needs a program built with the feature `kafka-tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SslSettings {
    /// Certificates that are trusted, PEM; none = those of the system. Default empty.
    /// Upstream: `TB_KAFKA_SSL_TRUSTSTORE_LOCATION`.
    pub ca_file: String,
    /// Own certificate with its chain, PEM; none = brokers ask for none. Default empty.
    pub cert_file: String,
    /// Key of the own certificate, PEM. Default empty.
    pub key_file: String,
    /// Password of the key. Default empty. Upstream: `TB_KAFKA_SSL_KEY_PASSWORD`.
    pub key_password: Secret,
    /// Own certificate and key in one file, PKCS#12 or PEM. Default empty. Upstream: `TB_KAFKA_SSL_KEYSTORE_LOCATION`.
    pub keystore_file: String,
    /// Password of that file. Default empty. Upstream: `TB_KAFKA_SSL_KEYSTORE_PASSWORD`.
    pub keystore_password: Secret,
    /// Whether the name of a broker must be in its certificate. Default true.
    /// Upstream: `TB_QUEUE_KAFKA_CONFLUENT_SSL_ALGORITHM`.
    pub verify_hostname: bool,
}

impl Default for SslSettings {
    fn default() -> Self {
        Self {
            ca_file: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            key_password: Secret::default(),
            keystore_file: String::new(),
            keystore_password: Secret::default(),
            verify_hostname: true,
        }
    }
}

/// `kafka.sasl`: user and password for the brokers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaslSettings {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. Default `SCRAM-SHA-512`.
    /// Upstream: `TB_QUEUE_KAFKA_CONFLUENT_SASL_MECHANISM`, `TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD`.
    pub mechanism: String,
    /// User. Default empty. Upstream: `TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG`, its user name.
    pub username: String,
    /// Password. Default empty. Upstream: `TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG`, its password.
    pub password: Secret,
}

impl Default for SaslSettings {
    fn default() -> Self {
        Self {
            mechanism: "SCRAM-SHA-512".to_owned(),
            username: String::new(),
            password: Secret::default(),
        }
    }
}

/// What is wrong with the settings of security: key and message.
pub fn problems(settings: &KafkaSettings) -> Vec<(&'static str, String)> {
    let protocol = settings.security_protocol;
    let mut problems = Vec::new();
    let mut complain = |key, message: String| problems.push((key, message));
    if protocol.has_tls() && !HAS_TLS {
        complain("kafka.security_protocol", NO_TLS.to_owned());
    }
    if protocol.has_sasl() {
        let mechanism = settings.sasl.mechanism.as_str();
        if !MECHANISMS.contains(&mechanism) {
            let message = format!("`{mechanism}` is none of {}", MECHANISMS.join(", "));
            complain("kafka.sasl.mechanism", message);
        } else if mechanism != PLAIN && !HAS_TLS {
            complain("kafka.sasl.mechanism", NO_TLS.to_owned());
        }
        if settings.sasl.username.is_empty() {
            complain("kafka.sasl.username", "must be set".to_owned());
        }
    }
    if protocol.has_tls() {
        let SslSettings {
            ca_file,
            cert_file,
            key_file,
            keystore_file,
            ..
        } = &settings.ssl;
        if cert_file.is_empty() != key_file.is_empty() {
            let message = "kafka.ssl.cert_file and kafka.ssl.key_file belong together";
            complain("kafka.ssl.key_file", message.to_owned());
        }
        for (key, file, pem_only) in [
            ("kafka.ssl.ca_file", ca_file, true),
            ("kafka.ssl.cert_file", cert_file, true),
            ("kafka.ssl.key_file", key_file, true),
            ("kafka.ssl.keystore_file", keystore_file, false),
        ] {
            let usable = match file.as_str() {
                "" => Ok(()),
                file => usable(file, pem_only),
            };
            if let Err(message) = usable {
                complain(key, message);
            }
        }
    }
    problems
}

/// Sets the properties of a client.
pub(super) fn apply(config: &mut ClientConfig, settings: &KafkaSettings) {
    let protocol = settings.security_protocol;
    if protocol == SecurityProtocol::Plaintext {
        return;
    }
    config.set("security.protocol", protocol.name());
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            config.set(name, value);
        }
    };
    if protocol.has_tls() {
        let ssl = &settings.ssl;
        let algorithm = if ssl.verify_hostname { "https" } else { "none" };
        set("ssl.endpoint.identification.algorithm", algorithm);
        set("ssl.ca.location", &ssl.ca_file);
        set("ssl.certificate.location", &ssl.cert_file);
        set("ssl.key.location", &ssl.key_file);
        set("ssl.key.password", ssl.key_password.expose());
        if content(&ssl.keystore_file) == Ok(Content::Pem) {
            set("ssl.certificate.location", &ssl.keystore_file);
            set("ssl.key.location", &ssl.keystore_file);
        } else {
            set("ssl.keystore.location", &ssl.keystore_file);
            set("ssl.keystore.password", ssl.keystore_password.expose());
        }
    }
    if protocol.has_sasl() {
        set("sasl.mechanisms", &settings.sasl.mechanism);
        set("sasl.username", &settings.sasl.username);
        set("sasl.password", settings.sasl.password.expose());
    }
}

/// What a key store is, whatever its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Jks,
    Pem,
    Pkcs12,
}

fn content(file: &str) -> Result<Content, String> {
    let bytes = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    Ok(if bytes.starts_with(&JKS_MAGIC) {
        Content::Jks
    } else if bytes.first() == Some(&DER_SEQUENCE) {
        Content::Pkcs12
    } else {
        Content::Pem
    })
}

fn usable(file: &str, pem_only: bool) -> Result<(), String> {
    match content(file)? {
        Content::Jks => Err(format!(
            "{file} is a Java key store; convert it by `keytool -importkeystore -srckeystore {file} -destkeystore \
             {file}.p12 -deststoretype pkcs12`, and that to PEM by `openssl pkcs12 -in {file}.p12 -out {file}.pem`"
        )),
        Content::Pkcs12 if pem_only => Err(format!(
            "{file} is PKCS#12 and PEM is needed; convert it by `openssl pkcs12 -in {file} -nokeys -out {file}.pem`"
        )),
        Content::Pem | Content::Pkcs12 => Ok(()),
    }
}

/// A value inside a line of the Java client's login configuration, such as `.. required username="u" password="p";`.
pub fn jaas_value(line: &str, name: &str) -> Option<String> {
    let mut rest = line;
    loop {
        let (before, after) = rest.split_once(name)?;
        let begins = before.ends_with(|c: char| c.is_whitespace());
        let value = after.trim_start().strip_prefix('=');
        if let (true, Some(value)) = (begins, value) {
            let mut value = value.trim_start().strip_prefix('"')?.chars();
            let mut text = String::new();
            loop {
                match value.next()? {
                    '"' => return Some(text),
                    '\\' => text.push(value.next()?),
                    c => text.push(c),
                }
            }
        }
        rest = after;
    }
}

const HAS_TLS: bool = cfg!(feature = "kafka-tls");
const NO_TLS: &str = "this program was built without the feature `kafka-tls`";
const PLAIN: &str = "PLAIN";
const MECHANISMS: [&str; 3] = [PLAIN, "SCRAM-SHA-256", "SCRAM-SHA-512"];
const JKS_MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
const DER_SEQUENCE: u8 = 0x30;

#[cfg(test)]
mod tests {
    use super::*;

    fn secured(protocol: SecurityProtocol) -> KafkaSettings {
        KafkaSettings {
            security_protocol: protocol,
            sasl: SaslSettings {
                mechanism: PLAIN.to_owned(),
                username: "u".to_owned(),
                password: Secret::new("p"),
            },
            ..KafkaSettings::default()
        }
    }

    fn properties(settings: &KafkaSettings) -> Vec<(String, String)> {
        let mut config = ClientConfig::new();
        apply(&mut config, settings);
        // The map itself masks passwords.
        let names = config.config_map().into_keys();
        let mut properties: Vec<_> = names
            .map(|name| (name.to_owned(), config.get(name).unwrap().to_owned()))
            .collect();
        properties.sort();
        properties
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn plain_text_sets_nothing_and_sasl_its_user() {
        assert_eq!(properties(&secured(SecurityProtocol::Plaintext)), []);
        assert_eq!(
            properties(&secured(SecurityProtocol::SaslPlaintext)),
            pairs(&[
                ("sasl.mechanisms", "PLAIN"),
                ("sasl.password", "p"),
                ("sasl.username", "u"),
                ("security.protocol", "sasl_plaintext"),
            ])
        );
        assert_eq!(problems(&secured(SecurityProtocol::SaslPlaintext)), []);
    }

    #[test]
    fn the_name_of_the_broker_is_verified_by_default() {
        let properties = properties(&secured(SecurityProtocol::Ssl));
        let name = "ssl.endpoint.identification.algorithm";
        assert!(properties.contains(&(name.to_owned(), "https".to_owned())));
    }

    #[test]
    fn a_key_store_goes_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let pem = file("store.jks", b"-----BEGIN CERTIFICATE-----\n");
        let pkcs12 = file("store.pem", &[0x30, 0x82, 0x01]);
        let jks = file("store.p12", &[0xfe, 0xed, 0xfe, 0xed, 0, 0]);
        let with = |keystore_file: &str| KafkaSettings {
            ssl: SslSettings {
                keystore_file: keystore_file.to_owned(),
                keystore_password: Secret::new("k"),
                verify_hostname: false,
                ..SslSettings::default()
            },
            ..secured(SecurityProtocol::Ssl)
        };
        let common = [
            ("security.protocol", "ssl"),
            ("ssl.endpoint.identification.algorithm", "none"),
        ];
        let expect = |more: &[(&str, &str)]| {
            let mut all = pairs(&common);
            all.extend(pairs(more));
            all.sort();
            all
        };
        assert_eq!(
            properties(&with(&pem)),
            expect(&[
                ("ssl.certificate.location", &pem),
                ("ssl.key.location", &pem)
            ])
        );
        assert_eq!(
            properties(&with(&pkcs12)),
            expect(&[
                ("ssl.keystore.location", &pkcs12),
                ("ssl.keystore.password", "k")
            ])
        );
        let problem = |settings: &KafkaSettings, key: &str| {
            let found = problems(settings).into_iter().find(|(own, _)| *own == key);
            found.map(|(_, message)| message).unwrap_or_default()
        };
        assert_eq!(problem(&with(&pkcs12), "kafka.ssl.keystore_file"), "");
        assert!(
            problem(&with(&jks), "kafka.ssl.keystore_file").contains("keytool -importkeystore")
        );
        let mut trust = with("");
        trust.ssl.ca_file = pkcs12;
        assert!(problem(&trust, "kafka.ssl.ca_file").contains("openssl pkcs12"));
        trust.ssl.ca_file = "/nowhere".to_owned();
        assert!(problem(&trust, "kafka.ssl.ca_file").starts_with("/nowhere: "));
        trust.ssl.cert_file = pem;
        assert!(problem(&trust, "kafka.ssl.key_file").contains("belong together"));
    }

    #[test]
    fn what_cannot_be_had_is_a_problem() {
        let keys = |settings: &KafkaSettings| -> Vec<&str> {
            problems(settings).into_iter().map(|(key, _)| key).collect()
        };
        let without_tls: &[&str] = if HAS_TLS {
            &[]
        } else {
            &["kafka.security_protocol"]
        };
        assert_eq!(keys(&secured(SecurityProtocol::Ssl)), without_tls);
        assert_eq!(keys(&secured(SecurityProtocol::SaslSsl)), without_tls);
        let mut sasl = secured(SecurityProtocol::SaslPlaintext);
        sasl.sasl.mechanism = "OAUTHBEARER".to_owned();
        sasl.sasl.username = String::new();
        assert_eq!(keys(&sasl), ["kafka.sasl.mechanism", "kafka.sasl.username"]);
    }

    #[test]
    fn user_and_password_are_found_in_the_line_of_the_java_client() {
        let line = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="a \"b\"" password = "c\\d=";"#;
        assert_eq!(jaas_value(line, "username"), Some("a \"b\"".to_owned()));
        assert_eq!(jaas_value(line, "password"), Some("c\\d=".to_owned()));
        assert_eq!(jaas_value(line, "required"), None);
        assert_eq!(jaas_value("username=\"unended", "username"), None);
        assert_eq!(
            jaas_value("xusername=\"u\" username=\"v\"", "username"),
            Some("v".to_owned())
        );
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read_without_panic(line: String) {
            drop(jaas_value(&line, "username"));
        }
    }
}
