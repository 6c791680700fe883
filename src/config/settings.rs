//! All settings, and the checks that concern more than one.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

#[cfg(feature = "kafka")]
use crate::platform::thingsboard::{
    discovery::ZooKeeperSettings,
    extra, security,
    settings::{
        CoreSettings, CoreVersion, KafkaSettings, RedisSettings, TopicSettings, UsageSettings,
    },
    topics::{TopicProperties, Topics, parse_properties},
};
use crate::{
    coap::TransmissionParameters,
    endpoint::{ota::OtaSettings, rpc::RpcSettings, settings::TransportSettings},
    platform::{embedded::EmbeddedSettings, service::ServiceSettings},
    server::{
        http::HttpSettings,
        settings::{
            LimitSettings, Lwm2mSettings, NoSecSettings, RuntimeSettings, ShutdownSettings,
        },
    },
    store::settings::StateSettings,
};

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The platform side: `embedded` (a folder of files) or `kafka` (a platform core). Default `embedded`; `kafka` if
    /// `TB_KAFKA_SERVERS` is set. Upstream: `TB_QUEUE_TYPE`.
    pub mode: Mode,
    /// Identity of this instance.
    pub service: ServiceSettings,
    /// Threads and sockets.
    pub runtime: RuntimeSettings,
    /// HTTP.
    pub http: HttpSettings,
    /// Logging.
    pub log: LogSettings,
    /// Stopping.
    pub shutdown: ShutdownSettings,
    /// The LwM2M servers.
    pub lwm2m: Lwm2mSettings,
    /// CoAP transmission.
    pub coap: TransmissionParameters,
    /// Sessions and their log.
    pub transport: TransportSettings,
    /// Limits.
    pub limits: LimitSettings,
    /// Devices without transport security.
    pub nosec: NoSecSettings,
    /// Commands.
    pub rpc: RpcSettings,
    /// Updates over the air.
    pub ota: OtaSettings,
    /// The Kafka client.
    #[cfg(feature = "kafka")]
    pub kafka: KafkaSettings,
    /// The platform core.
    #[cfg(feature = "kafka")]
    pub core: CoreSettings,
    /// Reports of what tenants use.
    #[cfg(feature = "kafka")]
    pub usage: UsageSettings,
    /// Where the platform leaves update packages.
    #[cfg(feature = "kafka")]
    pub redis: RedisSettings,
    /// Registration in ZooKeeper.
    #[cfg(feature = "kafka")]
    pub zookeeper: ZooKeeperSettings,
    /// Differences between releases of the platform.
    #[cfg(feature = "kafka")]
    pub compat: CompatSettings,
    /// What is kept across restarts.
    pub state: StateSettings,
    /// Embedded mode.
    pub embedded: EmbeddedSettings,
}

/// The platform side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum Mode {
    /// A folder of files.
    #[default]
    Embedded,
    /// A platform core over Kafka.
    Kafka,
}

impl TryFrom<String> for Mode {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "embedded" => Ok(Self::Embedded),
            "kafka" if cfg!(feature = "kafka") => Ok(Self::Kafka),
            "kafka" => Err("this program was built without the feature `kafka`"),
            _ => Err("expected `embedded` or `kafka`"),
        }
    }
}

/// `log`: the log, on standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// `text` or `json` (one object a line). Default: `text` on a terminal, else `json`.
    pub format: Option<LogFormat>,
    /// Level, or a list of directives such as `info,lightship::coap=trace`. Default `info`. Upstream: `RUST_LOG`.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: None,
            level: "info".to_owned(),
        }
    }
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl TryFrom<String> for LogFormat {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected `text` or `json`"),
        }
    }
}

/// `compat`: differences between releases of the platform.
#[cfg(feature = "kafka")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompatSettings {
    /// Release of the core: `auto`, `3.7`, `4.0` or `4.1`. Default `auto`.
    pub core_version: CoreVersion,
    /// Whether points in time are published as text (`Nov 14, 2023 22:13 PM`, UTC), as the platform's transport did
    /// before release 4.3; else as milliseconds since 1970. Default false.
    pub time_as_text: bool,
}

impl Settings {
    /// What is wrong although every value for itself can be read: key and message.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, key: &'static str, message: &str| {
            if !holds {
                problems.push((key, message.to_owned()));
            }
        };
        let id = self.service.id.as_deref().unwrap_or_default();
        require(
            !id.is_empty() && id.bytes().all(is_topic_byte) && id.len() <= 200,
            "service.id",
            "1 to 200 letters, digits, `.`, `_` or `-` are needed, because it is part of topic names",
        );
        require(
            !self.http.is_unprotected(),
            "http.api",
            "`all` on an address that is not loopback needs http.api_token or http.tls.client_ca_file",
        );
        require(
            !self.http.tls.lacks_certificate(),
            "http.tls.cert_file",
            "must be set where other keys of http.tls are, or HTTP would be served in plain text",
        );
        require(
            EnvFilter::try_new(&self.log.level).is_ok(),
            "log.level",
            "not a level or a list of directives such as `info,lightship::coap=trace`",
        );
        let lwm2m = &self.lwm2m;
        for (value, key) in [
            (lwm2m.timeout_ms, "lwm2m.timeout_ms"),
            (lwm2m.queue_mode_window_ms, "lwm2m.queue_mode_window_ms"),
            (lwm2m.psm_activity_timer_ms, "lwm2m.psm_activity_timer_ms"),
            (lwm2m.paging_window_ms, "lwm2m.paging_window_ms"),
        ] {
            require(value > 0, key, "must be above 0");
        }
        require(
            lwm2m.dtls.retransmission_ms > 0,
            "lwm2m.dtls.retransmission_ms",
            "must be above 0",
        );
        require(
            lwm2m.dtls.connection_id_length.unwrap_or_default() <= 20,
            "lwm2m.dtls.connection_id_length",
            "must be 20 at most",
        );
        let coap = &self.coap;
        require(
            coap.ack_timeout_ms > 0,
            "coap.ack_timeout_ms",
            "must be above 0",
        );
        require(
            coap.ack_random_factor >= 1.0 && coap.ack_random_factor.is_finite(),
            "coap.ack_random_factor",
            "must be at least 1",
        );
        require(coap.nstart > 0, "coap.nstart", "must be above 0");
        require(coap.dedup_ring > 0, "coap.dedup_ring", "must be above 0");
        require(
            coap.separate_response_after_ms < coap.ack_timeout_ms,
            "coap.separate_response_after_ms",
            "must be below coap.ack_timeout_ms, or devices retransmit before they are answered",
        );
        require(
            self.limits.registrations_per_s > 0,
            "limits.registrations_per_s",
            "must be above 0",
        );
        let ota = &self.ota;
        for (base, scheme, key) in [
            (&ota.public_coap_base, "coap://", "ota.public_coap_base"),
            (&ota.public_coaps_base, "coaps://", "ota.public_coaps_base"),
        ] {
            require(
                base.is_empty() || base.starts_with(scheme),
                key,
                &format!("must begin with {scheme}"),
            );
        }
        for (value, key) in [
            (ota.push_max_s, "ota.push_max_s"),
            (ota.await_state_s, "ota.await_state_s"),
            (ota.update_max_s, "ota.update_max_s"),
            (
                ota.download_blocks_per_s.into(),
                "ota.download_blocks_per_s",
            ),
        ] {
            require(value > 0, key, "must be above 0");
        }
        #[cfg(feature = "kafka")]
        {
            require(
                !self.kafka.bootstrap_servers.trim().is_empty(),
                "kafka.bootstrap_servers",
                "at least one host:port is needed",
            );
            require(
                self.core.partitions > 0,
                "core.partitions",
                "must be above 0",
            );
            require(
                self.zookeeper.dir.starts_with('/'),
                "zookeeper.dir",
                "must begin with `/`",
            );
            require(
                !self.zookeeper.url.trim().is_empty(),
                "zookeeper.url",
                "at least one host:port is needed",
            );
            for (value, key) in [
                (self.zookeeper.retry_ms, "zookeeper.retry_ms"),
                (
                    self.zookeeper.session_timeout_ms,
                    "zookeeper.session_timeout_ms",
                ),
            ] {
                require(value > 0, key, "must be above 0");
            }
            problems.extend(self.kafka_problems());
        }
        problems
    }

    #[cfg(feature = "kafka")]
    fn kafka_problems(&self) -> Vec<(&'static str, String)> {
        let kafka = &self.kafka;
        let mut problems = match self.mode {
            Mode::Embedded => Vec::new(),
            Mode::Kafka => security::problems(kafka),
        };
        // The id itself is checked by itself.
        if let Err(error) = Topics::new(kafka, "0") {
            problems.push(("kafka.prefix", error.to_string()));
        }
        let topics = &kafka.topics;
        let properties = [
            ("kafka.topics.core_properties", &topics.core_properties),
            (
                "kafka.topics.rule_engine_properties",
                &topics.rule_engine_properties,
            ),
            (
                "kafka.topics.transport_api_properties",
                &topics.transport_api_properties,
            ),
            (
                "kafka.topics.notifications_properties",
                &topics.notifications_properties,
            ),
        ];
        let checked = properties
            .into_iter()
            .map(|(key, text)| (key, TopicProperties::parse(text).map(|_| ())))
            .chain([
                (
                    "kafka.extra",
                    parse_properties(kafka.extra.expose()).map(|_| ()),
                ),
                (
                    "kafka.consumer_extra",
                    extra::check_of_topics(kafka.consumer_extra.expose()),
                ),
            ]);
        for (key, result) in checked {
            if let Err(error) = result {
                problems.push((key, error.to_string()));
            }
        }
        problems
    }

    /// What is worth a WARN line though nothing is wrong.
    #[cfg(feature = "kafka")]
    pub(super) fn warnings(&self) -> Vec<String> {
        let kafka = &self.kafka;
        let mut warnings = Vec::new();
        let idle = extra::without_effect(kafka.extra.expose(), kafka.consumer_extra.expose());
        if !idle.is_empty() {
            warnings.push(format!(
                "without effect: {} in kafka.extra or kafka.consumer_extra: only the Java client has that",
                idle.join(", ")
            ));
        }
        let default = TopicSettings::default().notifications;
        if self.compat.core_version == CoreVersion::V3_7 && kafka.topics.notifications != default {
            warnings.push(format!(
                "kafka.topics.notifications: cores before 4.0 write to `{default}` whatever is set"
            ));
        }
        warnings
    }

    /// Nothing, without brokers.
    #[cfg(not(feature = "kafka"))]
    pub(super) const fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What Kafka allows in the name of a topic.
const fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}
