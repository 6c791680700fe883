//! The platform's environment names: an environment made for its LwM2M transport works unchanged.
//!
//! Source: `transport/lwm2m/src/main/resources/tb-lwm2m-transport.yml` of thingsboard. An empty variable counts as not
//! set; names that are not listed here are not ours to judge.

/// A name and the key it sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The variable.
    pub name: &'static str,
    /// The key.
    pub key: &'static str,
    /// How the value is carried over.
    pub kind: Kind,
}

/// How the value is carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Copy,
    /// As the host of a `host:port` key.
    Host,
    /// As the port of a `host:port` key.
    Port,
    /// As the mode: the name of the platform's queue.
    Queue,
}

const fn copy(name: &'static str, key: &'static str) -> Alias {
    Alias {
        name,
        key,
        kind: Kind::Copy,
    }
}

/// The names that have an effect.
pub const ALIASES: &[Alias] = &[
    Alias {
        name: "TB_QUEUE_TYPE",
        key: "mode",
        kind: Kind::Queue,
    },
    copy("TB_SERVICE_ID", "service.id"),
    Alias {
        name: "HTTP_BIND_ADDRESS",
        key: "http.bind",
        kind: Kind::Host,
    },
    Alias {
        name: "HTTP_BIND_PORT",
        key: "http.bind",
        kind: Kind::Port,
    },
    copy("METRICS_ENABLED", "http.metrics"),
    copy("RUST_LOG", "log.level"),
    copy("LWM2M_SERVER_ID", "lwm2m.server.id"),
    copy("LWM2M_BIND_ADDRESS", "lwm2m.server.bind"),
    copy("LWM2M_BIND_PORT", "lwm2m.server.port"),
    copy("LWM2M_SECURITY_BIND_ADDRESS", "lwm2m.server.secure_bind"),
    copy("LWM2M_SECURITY_BIND_PORT", "lwm2m.server.secure_port"),
    copy("LWM2M_ENABLED_BS", "lwm2m.bootstrap.enabled"),
    copy("LWM2M_SERVER_ID_BS", "lwm2m.bootstrap.id"),
    copy("LWM2M_BS_BIND_ADDRESS", "lwm2m.bootstrap.bind"),
    copy("LWM2M_BS_BIND_PORT", "lwm2m.bootstrap.port"),
    copy(
        "LWM2M_BS_SECURITY_BIND_ADDRESS",
        "lwm2m.bootstrap.secure_bind",
    ),
    copy("LWM2M_BS_SECURITY_BIND_PORT", "lwm2m.bootstrap.secure_port"),
    copy("LWM2M_TIMEOUT", "lwm2m.timeout_ms"),
    copy("LWM2M_PSM_ACTIVITY_TIMER", "lwm2m.psm_activity_timer_ms"),
    copy("LWM2M_PAGING_TRANSMISSION_WINDOW", "lwm2m.paging_window_ms"),
    copy(
        "TB_TRANSPORT_SESSIONS_INACTIVITY_TIMEOUT",
        "transport.session_inactivity_ms",
    ),
    copy(
        "TB_TRANSPORT_SESSIONS_REPORT_TIMEOUT",
        "transport.activity_report_ms",
    ),
    copy("TB_TRANSPORT_LOG_ENABLED", "transport.log_enabled"),
    copy("TB_TRANSPORT_LOG_MAX_LENGTH", "transport.log_max_length"),
    copy("TB_KAFKA_SERVERS", "kafka.bootstrap_servers"),
    copy("TB_QUEUE_PREFIX", "kafka.prefix"),
    copy("TB_KAFKA_ACKS", "kafka.acks"),
    copy("TB_KAFKA_LINGER_MS", "kafka.linger_ms"),
    copy("TB_KAFKA_COMPRESSION_TYPE", "kafka.compression"),
    copy("TB_KAFKA_BATCH_SIZE", "kafka.batch_size_bytes"),
    copy("TB_KAFKA_MAX_REQUEST_SIZE", "kafka.max_message_bytes"),
    copy("TB_BUFFER_MEMORY", "kafka.buffer_bytes"),
    copy(
        "TB_QUEUE_KAFKA_REQUEST_TIMEOUT_MS",
        "kafka.request_timeout_ms",
    ),
    copy(
        "TB_QUEUE_KAFKA_AUTO_OFFSET_RESET",
        "kafka.auto_offset_reset",
    ),
    copy(
        "TB_QUEUE_KAFKA_REPLICATION_FACTOR",
        "kafka.replication_factor",
    ),
    copy(
        "TB_QUEUE_TRANSPORT_MAX_REQUEST_TIMEOUT",
        "kafka.api_timeout_ms",
    ),
    copy(
        "TB_QUEUE_TRANSPORT_MAX_PENDING_REQUESTS",
        "kafka.api_max_pending",
    ),
    copy("TB_QUEUE_KAFKA_OTHER_PROPERTIES", "kafka.extra"),
    copy(
        "TB_QUEUE_TRANSPORT_API_REQUEST_TOPIC",
        "kafka.topics.api_requests",
    ),
    copy(
        "TB_QUEUE_TRANSPORT_API_RESPONSE_TOPIC",
        "kafka.topics.api_responses",
    ),
    copy(
        "TB_QUEUE_TRANSPORT_NOTIFICATIONS_TOPIC",
        "kafka.topics.notifications",
    ),
    copy("TB_QUEUE_CORE_TOPIC", "kafka.topics.core"),
    copy("TB_QUEUE_US_TOPIC", "kafka.topics.usage_stats"),
    copy(
        "TB_QUEUE_KAFKA_CORE_TOPIC_PROPERTIES",
        "kafka.topics.core_properties",
    ),
    copy(
        "TB_QUEUE_KAFKA_RE_TOPIC_PROPERTIES",
        "kafka.topics.rule_engine_properties",
    ),
    copy(
        "TB_QUEUE_KAFKA_TA_TOPIC_PROPERTIES",
        "kafka.topics.transport_api_properties",
    ),
    copy(
        "TB_QUEUE_KAFKA_NOTIFICATIONS_TOPIC_PROPERTIES",
        "kafka.topics.notifications_properties",
    ),
    copy("USAGE_STATS_REPORT_ENABLED", "usage.report"),
    copy(
        "USAGE_STATS_REPORT_PER_CUSTOMER_ENABLED",
        "usage.per_customer",
    ),
    copy("USAGE_STATS_REPORT_INTERVAL", "usage.interval_s"),
    copy("USAGE_STATS_REPORT_PACK_SIZE", "usage.pack_size"),
    copy("TB_QUEUE_CORE_PARTITIONS", "core.partitions"),
    copy(
        "TB_QUEUE_PARTITIONS_HASH_FUNCTION_NAME",
        "core.hash_function",
    ),
];

/// Names that the platform's transport knows and that have no effect here, and why.
pub const WITHOUT_EFFECT: &[(&[&str], &str)] = &[
    (
        &[
            "LWM2M_SERVER_CREDENTIALS_ENABLED",
            "LWM2M_SERVER_CREDENTIALS_TYPE",
            "LWM2M_SERVER_PEM_CERT",
            "LWM2M_SERVER_PEM_KEY",
            "LWM2M_SERVER_PEM_KEY_PASSWORD",
            "LWM2M_SERVER_KEY_STORE_TYPE",
            "LWM2M_SERVER_KEY_STORE",
            "LWM2M_SERVER_KEY_STORE_PASSWORD",
            "LWM2M_SERVER_KEY_ALIAS",
            "LWM2M_SERVER_KEY_PASSWORD",
            "LWM2M_BS_CREDENTIALS_ENABLED",
            "LWM2M_BS_CREDENTIALS_TYPE",
            "LWM2M_BS_PEM_CERT",
            "LWM2M_BS_PEM_KEY",
            "LWM2M_BS_PEM_KEY_PASSWORD",
            "LWM2M_BS_KEY_STORE_TYPE",
            "LWM2M_BS_KEY_STORE",
            "LWM2M_BS_KEY_STORE_PASSWORD",
            "LWM2M_BS_KEY_ALIAS",
            "LWM2M_BS_KEY_PASSWORD",
            "LWM2M_TRUST_CREDENTIALS_ENABLED",
            "LWM2M_TRUST_CREDENTIALS_TYPE",
            "LWM2M_TRUST_PEM_CERT",
            "LWM2M_TRUST_KEY_STORE_TYPE",
            "LWM2M_TRUST_KEY_STORE",
            "LWM2M_TRUST_KEY_STORE_PASSWORD",
            "LWM2M_RECOMMENDED_CIPHERS",
            "LWM2M_RECOMMENDED_SUPPORTED_GROUPS",
            "LWM2M_DTLS_RETRANSMISSION_TIMEOUT_MS",
            "LWM2M_DTLS_CONNECTION_ID_LENGTH",
            "TB_LWM2M_SERVER_SECURITY_SKIP_VALIDITY_CHECK_FOR_CLIENT_CERT",
            "TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_ENABLED",
            "TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_CHECK_INTERVAL_SECONDS",
        ],
        "this release serves no DTLS",
    ),
    (
        &[
            "ZOOKEEPER_ENABLED",
            "ZOOKEEPER_URL",
            "ZOOKEEPER_NODES_DIR",
            "ZOOKEEPER_RETRY_INTERVAL_MS",
            "ZOOKEEPER_CONNECTION_TIMEOUT_MS",
            "ZOOKEEPER_SESSION_TIMEOUT_MS",
            "ZOOKEEPER_RECALCULATE_DELAY_MS",
        ],
        "this release does not register in ZooKeeper; what the core broadcasts is asked for again by age",
    ),
    (
        &[
            "TB_KAFKA_SSL_ENABLED",
            "TB_KAFKA_SSL_TRUSTSTORE_LOCATION",
            "TB_KAFKA_SSL_TRUSTSTORE_PASSWORD",
            "TB_KAFKA_SSL_KEYSTORE_LOCATION",
            "TB_KAFKA_SSL_KEYSTORE_PASSWORD",
            "TB_KAFKA_SSL_KEY_PASSWORD",
            "TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD",
            "TB_QUEUE_KAFKA_CONFLUENT_SSL_ALGORITHM",
            "TB_QUEUE_KAFKA_CONFLUENT_SASL_MECHANISM",
            "TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG",
            "TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL",
        ],
        "this release speaks to Kafka without TLS and SASL",
    ),
    (
        &[
            "CACHE_TYPE",
            "REDIS_CONNECTION_TYPE",
            "REDIS_HOST",
            "REDIS_PORT",
            "REDIS_NODES",
            "REDIS_MAX_REDIRECTS",
            "REDIS_MASTER",
            "REDIS_SENTINELS",
            "REDIS_SENTINEL_PASSWORD",
            "REDIS_DB",
            "REDIS_USERNAME",
            "REDIS_PASSWORD",
            "TB_REDIS_SSL_ENABLED",
            "TB_REDIS_SSL_PEM_CERT",
            "TB_REDIS_SSL_PEM_KEY",
            "TB_REDIS_SSL_PEM_KEY_PASSWORD",
        ],
        "state is not kept in Redis, and this release fetches no packages from it",
    ),
    (
        &[
            "LWM2M_UPLINK_POOL_SIZE",
            "LWM2M_DOWNLINK_POOL_SIZE",
            "LWM2M_OTA_POOL_SIZE",
            "LWM2M_CLEAN_PERIOD_IN_SEC",
            "TB_TRANSPORT_CALLBACK_THREAD_POOL_SIZE",
        ],
        "every endpoint has its own timers, and runtime.workers says how many threads serve them",
    ),
    (
        &[
            "TB_KAFKA_RETRIES",
            "TB_KAFKA_MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION",
            "TB_QUEUE_KAFKA_MAX_POLL_RECORDS",
            "TB_QUEUE_KAFKA_MAX_POLL_INTERVAL_MS",
            "TB_QUEUE_KAFKA_MAX_PARTITION_FETCH_BYTES",
            "TB_QUEUE_KAFKA_FETCH_MAX_BYTES",
            "TB_QUEUE_KAFKA_SESSION_TIMEOUT_MS",
            "TB_QUEUE_KAFKA_TOPICS_CACHE_TTL_MS",
            "TB_QUEUE_KAFKA_CONSUMER_PROPERTIES_PER_TOPIC_INLINE",
            "TB_QUEUE_KAFKA_HOUSEKEEPER_TOPIC_PROPERTIES",
            "TB_QUEUE_TRANSPORT_RESPONSE_POLL_INTERVAL_MS",
            "TB_QUEUE_RULE_ENGINE_TOPIC",
            "TB_HOUSEKEEPER_TOPIC",
        ],
        "the Kafka client here has no such setting or needs none",
    ),
    (
        &[
            "LWM2M_ENABLED",
            "TB_SERVICE_TYPE",
            "METRICS_ENDPOINTS_EXPOSE",
            "WEB_APPLICATION_ENABLE",
            "WEB_APPLICATION_TYPE",
            "TB_TRANSPORT_STATS_ENABLED",
            "TB_TRANSPORT_STATS_PRINT_INTERVAL_MS",
            "JSON_TYPE_CAST_ENABLED",
            "JSON_MAX_STRING_VALUE_LENGTH",
            "CLIENT_SIDE_RPC_TIMEOUT",
        ],
        "it concerns other programs of the platform or other protocols",
    ),
];

/// Keys that are read and have no effect in this release, by their beginning, and why.
pub const UNSERVED: &[(&str, &str)] = &[
    ("lwm2m.bootstrap.", "this release has no bootstrap server"),
    ("lwm2m.server.id", "this release has no bootstrap server"),
    ("lwm2m.server.secure_", "this release serves no DTLS"),
];
