//! Settings: composed here from the structs of the components, read from layers, checked as a whole.
//!
//! Layers, lowest first: defaults; files; the platform's environment names ([`compat`]); `LIGHTSHIP__SECTION__KEY`
//! variables; `--set` flags. Unknown keys are refused. `docs/configuration.md` is generated from the structs by a test.

pub mod compat;
mod layers;
#[cfg(test)]
#[cfg(feature = "kafka")]
mod reference;
mod settings;
mod values;

use std::{fmt, path::PathBuf};

use crate::server::http::ApiAccess;

use layers::Layers;

#[cfg(feature = "kafka")]
pub use settings::CompatSettings;
pub use settings::{LogFormat, LogSettings, Mode, Settings};

/// Where settings come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Files named on the command line, later ones win; none = `LIGHTSHIP_CONFIG`, else the usual places if they exist.
    pub files: Vec<PathBuf>,
    /// `key=value` flags, later ones win.
    pub set: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// Files and flags of the command line with the environment of this process.
    pub fn new(files: Vec<PathBuf>, set: Vec<String>) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self {
            files,
            set,
            environment: std::env::vars_os()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        }
    }
}

/// Settings that passed all checks.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings. `mode`, `service.id`, `service.node_id`, `http.api` and
    /// `ota.open_download` are set.
    pub settings: Settings,
    /// Every value with the layer it comes from, by key; secrets masked.
    pub values: Vec<EffectiveValue>,
    /// What is worth a WARN line: names that contradict each other, names without effect.
    pub warnings: Vec<String>,
    /// The platform's variables that are set, by name.
    pub variables: Vec<PlatformVariable>,
}

/// A variable of the platform that is set, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformVariable {
    /// Its name.
    pub name: String,
    /// Whether anything does.
    pub has_effect: bool,
    /// What does, or why nothing does.
    pub effect: String,
}

impl fmt::Display for PlatformVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.effect)
    }
}

/// One effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveValue {
    /// Key, dots between sections.
    pub key: String,
    /// Value; secrets masked.
    pub value: serde_json::Value,
    /// File, variable or flag that set it, or `default`.
    pub origin: String,
}

impl fmt::Display for EffectiveValue {
    /// A line of TOML with the origin as comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}  # {}", self.key, self.value, self.origin)
    }
}

/// Reads all layers and checks the result.
///
/// # Errors
/// Everything that is wrong, each naming key and layer.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let mut layers = Layers::read(sources);
    let mut settings = layers.settings()?;
    let unfit = resolve(&mut settings, &host_name());
    let problems: Vec<_> = settings
        .problems()
        .into_iter()
        .chain(unfit)
        .map(|(key, message)| format!("{key}: {message} (from {})", layers.origin(key)))
        .collect();
    if !problems.is_empty() {
        return Err(ConfigErrors(problems));
    }
    Ok(Loaded {
        values: layers.effective(&settings),
        warnings: layers
            .take_warnings()
            .into_iter()
            .chain(settings.warnings())
            .collect(),
        variables: layers.variables(),
        settings,
    })
}

/// Fills in what depends on other settings or on the machine. Returns what cannot be filled in.
fn resolve(settings: &mut Settings, host_name: &str) -> Option<(&'static str, String)> {
    let access = match settings.mode {
        Mode::Embedded => ApiAccess::Loopback,
        Mode::Kafka => ApiAccess::Off,
    };
    settings.http.api.get_or_insert(access);
    let open = settings.mode == Mode::Kafka;
    settings.ota.open_download.get_or_insert(open);
    let id = settings.service.id(host_name).to_owned();
    // Two instances must not share an ordinal, so one that does not fit is not replaced by 0.
    let unfit = settings.service.node_id.is_none()
        && id.rsplit_once('-').is_some_and(|(_, digits)| {
            digits.parse::<u64>().is_ok() && digits.parse::<u8>().is_err()
        });
    settings.service.node_id = Some(settings.service.node_id(host_name));
    settings.service.id = Some(id);
    unfit.then(|| {
        let message = "must be set, because the number at the end of service.id is above 255";
        ("service.node_id", message.to_owned())
    })
}

/// The machine's name; in a pod that of the pod.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "lightship".to_owned())
}

/// What is wrong with the settings, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[cfg(feature = "kafka")]
    use crate::platform::thingsboard::security::SecurityProtocol;
    use crate::{
        dtls::ExtendedMasterSecret, platform::embedded::OutputTarget,
        server::keys::settings::StoreForm,
    };

    use super::*;

    fn load_with(environment: &[(&str, &str)], set: &[&str]) -> Result<Loaded, ConfigErrors> {
        load(&Sources {
            files: vec![PathBuf::from("/dev/null")],
            set: set.iter().map(|flag| (*flag).to_owned()).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        })
    }

    fn errors(environment: &[(&str, &str)], set: &[&str]) -> Vec<String> {
        load_with(environment, set).unwrap_err().0
    }

    fn origin<'a>(loaded: &'a Loaded, key: &str) -> &'a str {
        let value = loaded.values.iter().find(|value| value.key == key);
        &value.unwrap().origin
    }

    #[test]
    fn nothing_given_starts_embedded_mode_with_upstream_ports() {
        let loaded = load_with(&[], &[]).unwrap();
        let Loaded { settings, .. } = &loaded;
        assert_eq!(settings.mode, Mode::Embedded);
        assert_eq!(settings.lwm2m.server.address().to_string(), "0.0.0.0:5685");
        assert_eq!(settings.http.bind.to_string(), "0.0.0.0:8083");
        assert_eq!(settings.http.api, Some(ApiAccess::Loopback));
        assert_eq!(settings.coap.max_retransmit, 4);
        assert!(settings.service.id.is_some() && settings.service.node_id.is_some());
        assert_eq!(loaded.warnings, Vec::<String>::new());
        assert_eq!(origin(&loaded, "lwm2m.timeout_ms"), "default");
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn a58_properties_that_may_hold_passwords_are_not_shown() {
        let extra = "sasl.username:u;sasl.password:s3cr3t";
        let loaded = load_with(&[("TB_QUEUE_KAFKA_OTHER_PROPERTIES", extra)], &[]).unwrap();
        assert_eq!(loaded.settings.kafka.extra.expose(), extra);
        let shown = loaded.values.iter().map(ToString::to_string);
        let shown: Vec<_> = shown
            .filter(|line| line.starts_with("kafka.extra"))
            .collect();
        assert_eq!(
            shown,
            [r#"kafka.extra = "***"  # environment variable TB_QUEUE_KAFKA_OTHER_PROPERTIES"#]
        );
        let error = crate::platform::thingsboard::topics::parse_properties("a:1;s3cr3t");
        assert_eq!(
            error.unwrap_err().to_string(),
            "entry 2 of `name:value;name:value` has no such form"
        );
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn encryption_that_cannot_be_had_is_an_error() {
        let tls = [
            ("TB_KAFKA_SERVERS", "kafka:9093"),
            ("TB_KAFKA_SSL_ENABLED", "true"),
        ];
        if cfg!(feature = "kafka-tls") {
            let loaded = load_with(&tls, &[]).unwrap();
            let protocol = loaded.settings.kafka.security_protocol;
            assert_eq!(protocol, SecurityProtocol::Ssl);
        } else {
            assert_eq!(
                errors(&tls, &[]),
                [
                    "kafka.security_protocol: this program was built without the feature `kafka-tls` \
                    (from environment variable TB_KAFKA_SSL_ENABLED)"
                ]
            );
        }
        let off = [("TB_KAFKA_SSL_ENABLED", "false")];
        let loaded = load_with(&off, &[]).unwrap();
        let protocol = loaded.settings.kafka.security_protocol;
        assert_eq!(protocol, SecurityProtocol::Plaintext);
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn users_and_passwords_of_a_cloud_count_only_with_its_switch() {
        let login = r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";"#;
        let cloud = |switch| {
            let names = [
                ("TB_KAFKA_SERVERS", "kafka:9092"),
                ("TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD", switch),
                ("TB_QUEUE_KAFKA_CONFLUENT_SSL_ALGORITHM", "https"),
                (
                    "TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL",
                    "SASL_PLAINTEXT",
                ),
                ("TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG", login),
            ];
            load_with(&names, &[]).unwrap()
        };
        let loaded = cloud("true");
        let kafka = &loaded.settings.kafka;
        assert_eq!(kafka.security_protocol, SecurityProtocol::SaslPlaintext);
        assert_eq!(kafka.sasl.mechanism, "PLAIN");
        assert_eq!(kafka.sasl.username, "u");
        assert_eq!(kafka.sasl.password.expose(), "p");
        assert!(kafka.ssl.verify_hostname);
        let effect = |loaded: &Loaded, name: &str| {
            let variable = loaded.variables.iter().find(|own| own.name == name);
            variable.unwrap().effect.clone()
        };
        assert_eq!(
            effect(&loaded, "TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG"),
            "sets kafka.sasl.username; sets kafka.sasl.password"
        );
        assert_eq!(
            effect(&loaded, "TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD"),
            "no effect on kafka.security_protocol: environment variable \
             TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL sets it; sets kafka.sasl.mechanism"
        );
        let loaded = cloud("false");
        assert_eq!(loaded.settings.kafka.sasl.username, "");
        assert_eq!(
            loaded.settings.kafka.security_protocol,
            SecurityProtocol::Plaintext
        );
        assert_eq!(
            effect(&loaded, "TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG"),
            "no effect: TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD is not true"
        );
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn a_slip_of_the_pen_does_not_switch_tls_or_the_check_of_the_hosts_name_off() {
        for yes in ["true", "TRUE", " yes", "on", "1"] {
            let loaded = load_with(&[("TB_KAFKA_SSL_ENABLED", yes)], &[]).unwrap();
            let protocol = loaded.settings.kafka.security_protocol;
            assert_eq!(protocol, SecurityProtocol::Ssl, "{yes}");
        }
        let wrong = errors(&[("TB_KAFKA_SSL_ENABLED", "ture")], &[]);
        assert!(wrong[0].contains("TB_KAFKA_SSL_ENABLED"), "{wrong:?}");

        let algorithm = |name: &'static str| {
            [
                ("TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD", "true"),
                ("TB_QUEUE_KAFKA_CONFLUENT_SSL_ALGORITHM", name),
            ]
        };
        for (name, verified) in [("https", true), (" HTTPS", true), ("none", false)] {
            let loaded = load_with(&algorithm(name), &[]).unwrap();
            let ssl = loaded.settings.kafka.ssl;
            assert_eq!(ssl.verify_hostname, verified, "{name}");
        }
        let wrong = errors(&algorithm("htps"), &[]);
        assert!(wrong[0].contains("verify_hostname"), "{wrong:?}");
    }

    /// All of them at once, each with the default of its key.
    #[cfg(feature = "kafka")]
    #[test]
    fn o1_every_name_of_the_platform_sets_its_key() {
        let defaults = load_with(&[], &["service.id=id"]).unwrap().values;
        let environment: Vec<_> = compat::ALIASES
            .iter()
            .map(|alias| {
                let default = || {
                    let default = defaults.iter().find(|value| value.key == alias.key);
                    match default.map(|default| (default.value.as_str(), &default.value)) {
                        None | Some((Some(""), _)) => "a:b=c".to_owned(),
                        Some((Some(text), _)) => text.to_owned(),
                        Some((None, other)) => other.to_string(),
                    }
                };
                let value = match alias.kind {
                    compat::Kind::Switch(_) => "true".to_owned(),
                    compat::Kind::Https(_) => "https".to_owned(),
                    compat::Kind::Login { .. } => {
                        r#"x required username="u" password="p";"#.to_owned()
                    }
                    compat::Kind::Host => "127.0.0.1".to_owned(),
                    compat::Kind::Never => "false".to_owned(),
                    compat::Kind::Port => "8083".to_owned(),
                    compat::Kind::Queue => "kafka".to_owned(),
                    compat::Kind::Compression
                    | compat::Kind::Copy
                    | compat::Kind::Optional
                    | compat::Kind::When(_) => default(),
                };
                (alias.name.to_owned(), value)
            })
            .collect();
        let layers = Layers::read(&Sources {
            files: vec![PathBuf::from("/dev/null")],
            set: Vec::new(),
            environment,
        });
        layers.settings().unwrap();
        for alias in compat::ALIASES {
            let origin = layers.origin(alias.key);
            let mut names = compat::ALIASES.iter().filter(|own| own.key == alias.key);
            let last = names.next_back().unwrap().name;
            assert_eq!(origin, format!("environment variable {last}"));
        }
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn every_variable_that_is_set_is_explained() {
        let loaded = load_with(
            &[
                ("TB_KAFKA_SERVERS", "kafka:9092"),
                ("TB_KAFKA_COMPRESSION_TYPE", "zstd"),
                ("TB_QUEUE_KAFKA_OTHER_PROPERTIES", "max.poll.records:5"),
                ("LWM2M_TIMEOUT", "5000"),
                ("HTTP_BIND_PORT", "8081"),
                ("HTTP_BIND_ADDRESS", "127.0.0.1"),
                ("JAVA_OPTS", "-Xmx1g"),
                ("PATH", "/bin"),
            ],
            &["lwm2m.timeout_ms=6000"],
        )
        .unwrap();
        let variables: Vec<_> = loaded.variables.iter().map(ToString::to_string).collect();
        assert_eq!(
            variables,
            [
                "HTTP_BIND_ADDRESS: sets http.bind",
                "HTTP_BIND_PORT: sets http.bind",
                "JAVA_OPTS: no effect: every endpoint has its own timers, and runtime.workers says how many threads \
                 serve them",
                "LWM2M_TIMEOUT: no effect on lwm2m.timeout_ms: --set lwm2m.timeout_ms sets it",
                "TB_KAFKA_COMPRESSION_TYPE: sets kafka.compression",
                "TB_KAFKA_SERVERS: sets kafka.bootstrap_servers",
                "TB_QUEUE_KAFKA_OTHER_PROPERTIES: sets kafka.extra",
            ]
        );
        let is_told = |start: &str| loaded.warnings.iter().any(|own| own.starts_with(start));
        assert!(is_told("kafka.compression: zstd is not built in"));
        assert!(is_told("without effect: max.poll.records in kafka.extra"));
        assert!(is_told("without effect: JAVA_OPTS: "));
        let wrong = [
            "kafka.prefix=a b",
            "kafka.topics.core_properties=partitions",
            "kafka.consumer_extra=topic:name",
        ];
        let keys: Vec<_> = errors(&[], &wrong)
            .into_iter()
            .map(|error| error.split(':').next().unwrap().to_owned())
            .collect();
        let expected = [
            "kafka.prefix",
            "kafka.topics.core_properties",
            "kafka.consumer_extra",
        ];
        assert_eq!(keys, expected);
        let older = ["compat.core_version=3.7", "kafka.topics.notifications=n"];
        let loaded = load_with(&[], &older).unwrap();
        assert!(loaded.warnings[0].starts_with("kafka.topics.notifications: cores before 4.0"));
    }

    #[test]
    fn later_layers_win() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        fs::write(&first, "[lwm2m]\ntimeout_ms = 1\n[lwm2m.server]\nport = 1\nid = 7\n[limits]\nmax_endpoints = 5\n").unwrap();
        fs::write(
            &second,
            "lwm2m.server.port = 2\nlwm2m.server.id = 8\n[http]\nmetrics = false\n",
        )
        .unwrap();
        let sources = Sources {
            files: vec![first, second.clone()],
            set: vec!["lwm2m.server.port=5".to_owned()],
            environment: [
                ("LWM2M_BIND_PORT", "3"),
                ("LWM2M_TIMEOUT", "10000"),
                ("LIGHTSHIP__LWM2M__SERVER__PORT", "4"),
                ("LIGHTSHIP__LWM2M__SERVER__BIND", "127.0.0.1"),
                ("LIGHTSHIP_PORT_5685_UDP", "udp://10.0.0.1:5685"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        };
        let loaded = load(&sources).unwrap();
        let lwm2m = &loaded.settings.lwm2m;
        assert_eq!((lwm2m.server.port, lwm2m.timeout_ms), (5, 10_000));
        assert_eq!(lwm2m.server.address().to_string(), "127.0.0.1:5");
        assert_eq!(
            (lwm2m.server.id, loaded.settings.limits.max_endpoints),
            (8, 5)
        );
        assert!(!loaded.settings.http.metrics);
        assert_eq!(
            origin(&loaded, "lwm2m.server.port"),
            "--set lwm2m.server.port"
        );
        assert_eq!(
            origin(&loaded, "lwm2m.timeout_ms"),
            "environment variable LWM2M_TIMEOUT"
        );
        assert_eq!(
            origin(&loaded, "lwm2m.server.bind"),
            "environment variable LIGHTSHIP__LWM2M__SERVER__BIND"
        );
        assert_eq!(
            origin(&loaded, "http.metrics"),
            second.display().to_string()
        );
        assert!(loaded.warnings.contains(
            &"lwm2m.server.port: LIGHTSHIP__LWM2M__SERVER__PORT wins over environment variable LWM2M_BIND_PORT"
                .to_owned()
        ));
    }

    #[test]
    fn the_files_of_the_variable_are_read_when_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        fs::write(&file, "[lwm2m.server]\nport = 9\n").unwrap();
        let list = format!("/dev/null:{}", file.display());
        let mut sources = Sources {
            environment: vec![("LIGHTSHIP_CONFIG".to_owned(), list)],
            ..Sources::default()
        };
        assert_eq!(load(&sources).unwrap().settings.lwm2m.server.port, 9);
        sources.environment[0].1.push_str(":/nonexistent.toml");
        assert!(load(&sources).unwrap_err().0[0].contains("/nonexistent.toml"));
    }

    #[test]
    fn every_error_names_key_and_layer_and_all_come_at_once() {
        let errors = errors(
            &[
                ("LIGHTSHIP__LWM2M__SERVER__PORT", "70000"),
                ("LIGHTSHIP__HTTP__BINDD", "x"),
                ("TB_TRANSPORT_LOG_ENABLED", "maybe"),
            ],
            &[
                "embedded.output=paper",
                "state.backend=redis",
                "oops",
                "http=1",
            ],
        );
        for expected in [
            "lwm2m.server.port: 64-bit unsigned integer `70000` where an unsigned 16 bit integer is expected (from environment variable LIGHTSHIP__LWM2M__SERVER__PORT)",
            "http.bindd: no such setting (from environment variable LIGHTSHIP__HTTP__BINDD)",
            "transport.log_enabled: string \"maybe\" where a boolean is expected (from environment variable TB_TRANSPORT_LOG_ENABLED)",
            "embedded.output: expected `log`, `jsonl:<path>` or `none` (from --set embedded.output)",
            "state.backend: expected `memory` or `embedded` (from --set state.backend)",
            "--set oops: key=value is needed",
            "http: no such setting (from --set http)",
        ] {
            assert!(
                errors.iter().any(|error| error == expected),
                "{expected}\n{errors:#?}"
            );
        }
        assert_eq!(errors.len(), 7, "{errors:#?}");
    }

    #[test]
    fn checks_across_settings_come_all_at_once() {
        let errors = errors(
            &[],
            &[
                "service.id=a b",
                "http.api=all",
                "log.level=[x=y",
                "coap.ack_random_factor=0.5",
                "coap.separate_response_after_ms=2000",
            ],
        );
        let keys: Vec<_> = errors
            .iter()
            .map(|error| error.split_once(':').unwrap().0)
            .collect();
        assert_eq!(
            keys,
            [
                "service.id",
                "http.api",
                "log.level",
                "coap.ack_random_factor",
                "coap.separate_response_after_ms"
            ]
        );
        assert!(errors[0].ends_with("(from --set service.id)"));
    }

    #[test]
    fn the_ordinal_comes_from_the_service_id_or_is_asked_for() {
        let node_id = |set: &[&str]| load_with(&[], set).unwrap().settings.service.node_id;
        assert_eq!(node_id(&["service.id=lightship-7"]), Some(7));
        assert_eq!(node_id(&["service.id=lightship"]), Some(0));
        assert_eq!(
            errors(&[], &["service.id=lightship-256"]),
            [
                "service.node_id: must be set, because the number at the end of service.id is above 255 (from default)"
            ]
        );
        let set = ["service.id=lightship-256", "service.node_id=6"];
        assert_eq!(node_id(&set), Some(6));
    }

    #[test]
    fn text_values_keep_leading_zeros() {
        let loaded = load_with(&[("LIGHTSHIP__HTTP__API_TOKEN", "0123456")], &[]).unwrap();
        assert_eq!(loaded.settings.http.api_token.expose(), "0123456");
    }

    #[test]
    fn a58_secrets_are_masked_and_may_come_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "s3cr3t\n").unwrap();
        let file = file.to_str().unwrap();
        let by_file = format!("http.api_token_file={file}");
        let loaded = load_with(&[], &[&by_file]).unwrap();
        assert_eq!(loaded.settings.http.api_token.expose(), "s3cr3t");
        let shown: Vec<_> = loaded.values.iter().map(ToString::to_string).collect();
        assert!(shown.contains(&format!("http.api_token = \"***\"  # file {file}")));
        assert!(!format!("{loaded:?}").contains("s3cr3t"));
        assert_eq!(
            errors(&[], &[&by_file, "http.api_token=x"]),
            ["http.api_token_file: http.api_token is set as well (from --set http.api_token_file)"]
        );
    }

    #[test]
    fn host_and_port_of_http_come_from_two_names() {
        let bind = |environment| load_with(environment, &[]).unwrap().settings.http.bind;
        assert_eq!(
            bind(&[("HTTP_BIND_PORT", "8081")]).to_string(),
            "0.0.0.0:8081"
        );
        assert_eq!(
            bind(&[("HTTP_BIND_ADDRESS", "::1"), ("HTTP_BIND_PORT", "8081")]).to_string(),
            "[::1]:8081"
        );
        assert_eq!(
            bind(&[("HTTP_BIND_ADDRESS", "")]).to_string(),
            "0.0.0.0:8083"
        );
    }

    #[test]
    fn the_names_of_keys_and_dtls_have_their_effect() {
        let loaded = load_with(
            &[
                ("LWM2M_SERVER_CREDENTIALS_ENABLED", "true"),
                ("LWM2M_SERVER_CREDENTIALS_TYPE", "keystore"),
                ("LWM2M_BS_PEM_CERT", "bs.pem"),
                ("LWM2M_TRUST_KEY_STORE", "trust.p12"),
                ("LWM2M_DTLS_CONNECTION_ID_LENGTH", ""),
                ("TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_ENABLED", "FALSE"),
                ("LWM2M_SERVER_KEY_STORE_TYPE", "JKS"),
            ],
            &[],
        )
        .unwrap();
        let lwm2m = &loaded.settings.lwm2m;
        let credentials = &lwm2m.server.credentials;
        assert!(credentials.enabled && credentials.form == StoreForm::Keystore);
        assert_eq!(lwm2m.bootstrap.credentials.cert_file, Path::new("bs.pem"));
        assert_eq!(lwm2m.trust.keystore_file, Path::new("trust.p12"));
        assert_eq!(lwm2m.dtls.connection_id_length, None);
        assert_eq!(lwm2m.credentials_reload_s, 0);
        let told = "without effect: LWM2M_SERVER_KEY_STORE_TYPE: ";
        assert!(
            loaded.warnings[0].starts_with(told),
            "{:?}",
            loaded.warnings
        );
        let cid = |text| {
            let loaded = load_with(&[("LWM2M_DTLS_CONNECTION_ID_LENGTH", text)], &[]);
            loaded.map(|own| own.settings.lwm2m.dtls.connection_id_length)
        };
        assert_eq!(cid("0").unwrap(), Some(0));
        assert_eq!(cid("16").unwrap(), Some(16));
        assert!(cid("21").is_err());
        assert!(cid("many").is_err());
        let ems = |text| {
            let key = ("LIGHTSHIP__LWM2M__DTLS__EXTENDED_MASTER_SECRET", text);
            let loaded = load_with(&[key], &[])?;
            Ok::<_, ConfigErrors>(loaded.settings.lwm2m.dtls.config(0).extended_master_secret)
        };
        assert_eq!(ems("required").unwrap(), ExtendedMasterSecret::Required);
        assert!(ems("sometimes").is_err());
    }

    #[test]
    fn the_preset_gives_a_default_only() {
        let retransmit = |flags: &[&str]| {
            let loaded = load_with(&[], flags).unwrap();
            loaded.settings.coap.max_retransmit
        };
        assert_eq!(retransmit(&["coap.preset=thingsboard"]), 10);
        assert_eq!(retransmit(&["coap.preset=rfc7252"]), 4);
        assert_eq!(
            retransmit(&["coap.max_retransmit=6", "coap.preset=thingsboard"]),
            6
        );
        assert_eq!(errors(&[], &["coap.preset=fast"]).len(), 1);
    }

    #[test]
    fn names_without_effect_are_told_once_per_reason() {
        let loaded = load_with(
            &[
                ("LWM2M_UPLINK_POOL_SIZE", "10"),
                ("LWM2M_OTA_POOL_SIZE", "10"),
                ("LWM2M_SERVER_ID", "124"),
                ("SOMETHING_ELSE", "1"),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
        assert!(
            loaded.warnings[0]
                .starts_with("without effect: LWM2M_UPLINK_POOL_SIZE, LWM2M_OTA_POOL_SIZE: ")
        );
        assert!(loaded.warnings[1].starts_with(
            "without effect: lwm2m.server.id (from environment variable LWM2M_SERVER_ID): "
        ));
    }

    #[test]
    #[cfg(feature = "kafka")]
    fn a_platform_environment_chooses_kafka_mode() {
        let mode = |environment, set| load_with(environment, set).unwrap().settings.mode;
        assert_eq!(mode(&[("TB_QUEUE_TYPE", "kafka")], &[]), Mode::Kafka);
        assert_eq!(mode(&[("TB_KAFKA_SERVERS", "k:9092")], &[]), Mode::Kafka);
        assert_eq!(
            mode(&[("TB_KAFKA_SERVERS", "k:9092")], &["mode=embedded"]),
            Mode::Embedded
        );
        let loaded = load_with(
            &[("TB_KAFKA_SERVERS", "k:9092"), ("TB_KAFKA_ACKS", "1")],
            &[],
        )
        .unwrap();
        assert_eq!(loaded.settings.kafka.bootstrap_servers, "k:9092");
        assert_eq!(loaded.settings.http.api, Some(ApiAccess::Off));
        assert_eq!(
            errors(&[("TB_QUEUE_TYPE", "rabbitmq")], &[]),
            ["mode: expected `embedded` or `kafka` (from environment variable TB_QUEUE_TYPE)"]
        );
        assert_eq!(
            errors(&[("TB_KAFKA_COMPRESSION_TYPE", "zip")], &[]),
            [
                "kafka.compression: `zip` is none of its values (from environment variable TB_KAFKA_COMPRESSION_TYPE)"
            ]
        );
    }

    #[test]
    #[cfg(feature = "kafka")]
    fn the_names_of_zookeeper_have_their_effect() {
        let loaded = load_with(
            &[
                ("ZOOKEEPER_ENABLED", "true"),
                ("ZOOKEEPER_URL", "zookeeper:2181"),
                ("ZOOKEEPER_NODES_DIR", "/tb"),
                ("ZOOKEEPER_RETRY_INTERVAL_MS", "1"),
                ("ZOOKEEPER_CONNECTION_TIMEOUT_MS", "2"),
                ("ZOOKEEPER_SESSION_TIMEOUT_MS", "3"),
                ("ZOOKEEPER_RECALCULATE_DELAY_MS", "4"),
            ],
            &[],
        )
        .unwrap();
        let expected = crate::platform::thingsboard::discovery::ZooKeeperSettings {
            enabled: true,
            url: "zookeeper:2181".to_owned(),
            dir: "/tb".to_owned(),
            retry_ms: 1,
            connect_timeout_ms: 2,
            session_timeout_ms: 3,
        };
        assert_eq!(loaded.settings.zookeeper, expected);
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert!(loaded.warnings[0].contains("ZOOKEEPER_RECALCULATE_DELAY_MS"));
        assert_eq!(
            errors(&[], &["zookeeper.dir=tb", "zookeeper.retry_ms=0"]),
            [
                "zookeeper.dir: must begin with `/` (from --set zookeeper.dir)",
                "zookeeper.retry_ms: must be above 0 (from --set zookeeper.retry_ms)"
            ]
        );
    }

    #[test]
    #[cfg(not(feature = "kafka"))]
    fn a_program_without_kafka_says_so() {
        assert_eq!(
            errors(&[("TB_QUEUE_TYPE", "kafka")], &[]),
            [
                "mode: this program was built without the feature `kafka` (from environment variable TB_QUEUE_TYPE)"
            ]
        );
    }

    #[test]
    fn outputs_are_read_from_text() {
        let loaded = load_with(&[], &["embedded.output=jsonl:/tmp/x"]).unwrap();
        assert_eq!(
            loaded.settings.embedded.output,
            OutputTarget::JsonLines("/tmp/x".into())
        );
    }
}
