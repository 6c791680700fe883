//! Settings of the Kafka side. Defaults equal the platform's unless a field says otherwise.

use serde::{Deserialize, Serialize};

use super::{
    super::secret::Secret,
    discovery::ZooKeeperSettings,
    security::{SaslSettings, SecurityProtocol, SslSettings},
};

/// Everything [`super::ThingsBoard::start`] needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThingsBoardSettings {
    /// Unique name of this instance: `nodeId` of its sessions and suffix of its topics.
    pub service_id: String,
    /// `kafka`
    pub kafka: KafkaSettings,
    /// `core`
    pub core: CoreSettings,
    /// `compat.core_version`
    pub core_version: CoreVersion,
    /// The parts of `transport` that concern sessions.
    pub activity: ActivitySettings,
    /// `usage`
    pub usage: UsageSettings,
    /// `redis`
    pub redis: RedisSettings,
    /// `ota.cache_bytes`
    pub package_cache_bytes: usize,
    /// `zookeeper`
    pub zookeeper: ZooKeeperSettings,
}

/// `redis`: the Redis or Valkey server in which the platform leaves update packages. Nothing else is kept there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    /// The platform's cache; with anything but `redis` no other process can read its packages. Default `redis`.
    /// Upstream: `CACHE_TYPE`.
    pub cache_type: String,
    /// Host. Default `localhost`. Upstream: `REDIS_HOST`.
    pub host: String,
    /// Port. Default 6379. Upstream: `REDIS_PORT`.
    pub port: u16,
    /// Number of the database. Default 0. Upstream: `REDIS_DB`.
    pub db: u16,
    /// User name; empty for none. Default empty. Upstream: `REDIS_USERNAME`.
    pub username: String,
    /// Password; empty for none. Default empty. Upstream: `REDIS_PASSWORD`.
    pub password: Secret,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            cache_type: "redis".to_owned(),
            host: "localhost".to_owned(),
            port: 6379,
            db: 0,
            username: String::new(),
            password: Secret::default(),
        }
    }
}

/// `kafka`: the client and its topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaSettings {
    /// Brokers, `host:port`, comma-separated. Default `localhost:9092`. Upstream: `TB_KAFKA_SERVERS`.
    pub bootstrap_servers: String,
    /// Put before every topic and group name with a dot; blank = none. Default empty. Upstream: `TB_QUEUE_PREFIX`.
    pub prefix: String,
    /// Which replicas confirm a record. Default `all`; anything else switches the idempotent producer off.
    /// Upstream: `TB_KAFKA_ACKS`.
    pub acks: Acks,
    /// How long the producer gathers records, milliseconds. Default 5. Upstream: `TB_KAFKA_LINGER_MS`.
    pub linger_ms: u32,
    /// Compression of batches. Default `lz4`. Upstream: `TB_KAFKA_COMPRESSION_TYPE`.
    pub compression: Compression,
    /// Size of a batch, bytes; raised to 65536 when smaller. Default 1000000. Upstream: `TB_KAFKA_BATCH_SIZE`.
    pub batch_size_bytes: u32,
    /// Largest record, bytes. Default 1048576. Upstream: `TB_KAFKA_MAX_REQUEST_SIZE`.
    pub max_message_bytes: u32,
    /// What may wait in the producer, bytes. Default 268435456. Upstream: `TB_BUFFER_MEMORY`.
    pub buffer_bytes: u64,
    /// How long a broker may take to answer, milliseconds. Default 30000. Upstream: `TB_QUEUE_KAFKA_REQUEST_TIMEOUT_MS`.
    pub request_timeout_ms: u32,
    /// Where a new group begins to read notifications. Default `earliest`. Upstream: `TB_QUEUE_KAFKA_AUTO_OFFSET_RESET`.
    pub auto_offset_reset: AutoOffsetReset,
    /// Replicas of the topics created here. Default 1. Upstream: `TB_QUEUE_KAFKA_REPLICATION_FACTOR`.
    pub replication_factor: u16,
    /// Whether missing topics are created. Default true.
    pub create_topics: bool,
    /// How long the core may take to answer a question, milliseconds. Default 10000.
    /// Upstream: `TB_QUEUE_TRANSPORT_MAX_REQUEST_TIMEOUT`.
    pub api_timeout_ms: u32,
    /// Questions that may be open. Default 10000. Upstream: `TB_QUEUE_TRANSPORT_MAX_PENDING_REQUESTS`.
    pub api_max_pending: usize,
    /// Age at which profiles and queues are asked for again, seconds. Default 300.
    pub profile_refresh_s: u32,
    /// Age at which object models are asked for again, seconds. Default 3600.
    pub model_refresh_s: u32,
    /// How connections to brokers are secured: `plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`. Default `plaintext`.
    /// Upstream: `TB_KAFKA_SSL_ENABLED`, `TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD`,
    /// `TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL`.
    pub security_protocol: SecurityProtocol,
    /// TLS.
    pub ssl: SslSettings,
    /// User and password.
    pub sasl: SaslSettings,
    /// Properties for every client, `name:value;..`, applied last; shown as `***`, because passwords may be among them.
    /// Default empty. Upstream: `TB_QUEUE_KAFKA_OTHER_PROPERTIES`.
    pub extra: Secret,
    /// Properties for the reader of a topic, `topic:name=value;..`, by the full name of the topic or its longest
    /// beginning; shown as `***` as well. Default empty. Upstream: `TB_QUEUE_KAFKA_CONSUMER_PROPERTIES_PER_TOPIC_INLINE`.
    pub consumer_extra: Secret,
    /// Names and properties of topics.
    pub topics: TopicSettings,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            prefix: String::new(),
            acks: Acks::All,
            linger_ms: 5,
            compression: Compression::Lz4,
            batch_size_bytes: 1_000_000,
            max_message_bytes: 1_048_576,
            buffer_bytes: 268_435_456,
            request_timeout_ms: 30_000,
            auto_offset_reset: AutoOffsetReset::Earliest,
            replication_factor: 1,
            create_topics: true,
            api_timeout_ms: 10_000,
            api_max_pending: 10_000,
            profile_refresh_s: 300,
            model_refresh_s: 3_600,
            security_protocol: SecurityProtocol::Plaintext,
            ssl: SslSettings::default(),
            sasl: SaslSettings::default(),
            extra: Secret::default(),
            consumer_extra: Secret::default(),
            topics: TopicSettings::default(),
        }
    }
}

/// `kafka.topics`: names without prefix and suffix, and the properties with which missing topics are created, in the
/// platform's form `name:value;..` where `partitions` is the partition count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// Questions. Default `tb_transport.api.requests`. Upstream: `TB_QUEUE_TRANSPORT_API_REQUEST_TOPIC`.
    pub api_requests: String,
    /// Answers. Default `tb_transport.api.responses`. Upstream: `TB_QUEUE_TRANSPORT_API_RESPONSE_TOPIC`.
    pub api_responses: String,
    /// Notifications. Default `tb_transport.notifications`. Upstream: `TB_QUEUE_TRANSPORT_NOTIFICATIONS_TOPIC`.
    pub notifications: String,
    /// Device-actor messages. Default `tb_core`. Upstream: `TB_QUEUE_CORE_TOPIC`.
    pub core: String,
    /// What tenants used. Default `tb_usage_stats`. Upstream: `TB_QUEUE_US_TOPIC` (read by the core alone there).
    pub usage_stats: String,
    /// Properties of core and usage topics. Upstream: `TB_QUEUE_KAFKA_CORE_TOPIC_PROPERTIES`.
    pub core_properties: String,
    /// Properties of rule-engine topics. Upstream: `TB_QUEUE_KAFKA_RE_TOPIC_PROPERTIES`.
    pub rule_engine_properties: String,
    /// Properties of the two API topics; answers have one partition. Upstream: `TB_QUEUE_KAFKA_TA_TOPIC_PROPERTIES`.
    pub transport_api_properties: String,
    /// Properties of notification topics. Upstream: `TB_QUEUE_KAFKA_NOTIFICATIONS_TOPIC_PROPERTIES`.
    pub notifications_properties: String,
}

impl Default for TopicSettings {
    fn default() -> Self {
        let properties = |partitions: u8| {
            format!(
                "retention.ms:604800000;segment.bytes:52428800;retention.bytes:1048576000;\
                 partitions:{partitions};min.insync.replicas:1"
            )
        };
        Self {
            api_requests: "tb_transport.api.requests".to_owned(),
            api_responses: "tb_transport.api.responses".to_owned(),
            notifications: "tb_transport.notifications".to_owned(),
            core: "tb_core".to_owned(),
            usage_stats: "tb_usage_stats".to_owned(),
            core_properties: properties(1),
            rule_engine_properties: properties(1),
            transport_api_properties: properties(10),
            notifications_properties: properties(1),
        }
    }
}

/// Which replicas confirm a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// None: a lost record is not noticed.
    #[serde(rename = "0")]
    None,
    /// The leader alone.
    #[serde(rename = "1")]
    Leader,
    /// All that are in sync.
    #[default]
    #[serde(rename = "all", alias = "-1")]
    All,
}

/// Compression of batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Off.
    None,
    /// gzip
    Gzip,
    /// LZ4
    #[default]
    Lz4,
    /// Snappy
    Snappy,
}

/// Where a group without a committed offset begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AutoOffsetReset {
    /// At the oldest record.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
}

/// `core`: how the core shards its work; equal on all services of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CoreSettings {
    /// Partition topics of the core, at least 1. Default 10. Upstream: `TB_QUEUE_CORE_PARTITIONS`.
    pub partitions: u32,
    /// The hash that chooses a partition. Default `murmur3_128`. Upstream: `TB_QUEUE_PARTITIONS_HASH_FUNCTION_NAME`.
    pub hash_function: HashFunction,
}

impl Default for CoreSettings {
    fn default() -> Self {
        Self {
            partitions: 10,
            hash_function: HashFunction::Murmur3_128,
        }
    }
}

/// The hash that chooses a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashFunction {
    /// murmur3, 128 bits, x64 variant, seed 0.
    #[default]
    #[serde(rename = "murmur3_128")]
    Murmur3_128,
    /// murmur3, 32 bits, seed 0.
    #[serde(rename = "murmur3_32")]
    Murmur3_32,
    /// SHA-256
    #[serde(rename = "sha256")]
    Sha256,
}

/// `compat.core_version`: which core is on the other side; decides the form of rule-engine messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoreVersion {
    /// Guessed from what the core says; in doubt both forms are sent.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    /// 3.7 to 3.9
    #[serde(rename = "3.7")]
    V3_7,
    /// 4.0
    #[serde(rename = "4.0")]
    V4_0,
    /// 4.1 and newer
    #[serde(rename = "4.1")]
    V4_1,
}

/// When activity is reported and when the core forgets a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivitySettings {
    /// Shortest time between two reports of one session, milliseconds. Default 3000.
    /// Upstream: `TB_TRANSPORT_SESSIONS_REPORT_TIMEOUT`.
    pub report_ms: u32,
    /// Silence after which the core closes a session, milliseconds. Default 600000.
    /// Upstream: `TB_TRANSPORT_SESSIONS_INACTIVITY_TIMEOUT`.
    pub inactivity_ms: u32,
}

impl Default for ActivitySettings {
    fn default() -> Self {
        Self {
            report_ms: 3_000,
            inactivity_ms: 600_000,
        }
    }
}

/// `usage`: what tenants use is reported to the core, which enforces its quotas by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UsageSettings {
    /// Whether usage is reported. Default true. Upstream: `USAGE_STATS_REPORT_ENABLED`.
    pub report: bool,
    /// Whether it is reported for each customer as well. Default false.
    /// Upstream: `USAGE_STATS_REPORT_PER_CUSTOMER_ENABLED`.
    pub per_customer: bool,
    /// Time between two reports, seconds. Default 60. Upstream: `USAGE_STATS_REPORT_INTERVAL`.
    pub interval_s: u32,
    /// Most tenants and customers in one record. Default 1024. Upstream: `USAGE_STATS_REPORT_PACK_SIZE`.
    pub pack_size: usize,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self {
            report: true,
            per_customer: false,
            interval_s: 60,
            pack_size: 1_024,
        }
    }
}
