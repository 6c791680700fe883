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
    /// As it is, also when it is empty, which says "none".
    Optional,
    /// `false` sets a number of seconds to 0, "never".
    Switch,
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
    Alias {
        name: "LWM2M_DTLS_CONNECTION_ID_LENGTH",
        key: "lwm2m.dtls.connection_id_length",
        kind: Kind::Optional,
    },
    copy(
        "LWM2M_DTLS_RETRANSMISSION_TIMEOUT_MS",
        "lwm2m.dtls.retransmission_ms",
    ),
    copy(
        "LWM2M_RECOMMENDED_CIPHERS",
        "lwm2m.dtls.recommended_ciphers",
    ),
    copy(
        "TB_LWM2M_SERVER_SECURITY_SKIP_VALIDITY_CHECK_FOR_CLIENT_CERT",
        "lwm2m.dtls.skip_validity_check",
    ),
    copy(
        "TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_CHECK_INTERVAL_SECONDS",
        "lwm2m.credentials_reload_s",
    ),
    Alias {
        name: "TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_ENABLED",
        key: "lwm2m.credentials_reload_s",
        kind: Kind::Switch,
    },
    copy(
        "LWM2M_SERVER_CREDENTIALS_ENABLED",
        "lwm2m.server.credentials.enabled",
    ),
    copy(
        "LWM2M_SERVER_CREDENTIALS_TYPE",
        "lwm2m.server.credentials.form",
    ),
    copy(
        "LWM2M_SERVER_PEM_CERT",
        "lwm2m.server.credentials.cert_file",
    ),
    copy("LWM2M_SERVER_PEM_KEY", "lwm2m.server.credentials.key_file"),
    copy(
        "LWM2M_SERVER_PEM_KEY_PASSWORD",
        "lwm2m.server.credentials.key_password",
    ),
    copy(
        "LWM2M_SERVER_KEY_STORE",
        "lwm2m.server.credentials.keystore_file",
    ),
    copy(
        "LWM2M_SERVER_KEY_STORE_PASSWORD",
        "lwm2m.server.credentials.keystore_password",
    ),
    copy(
        "LWM2M_SERVER_KEY_ALIAS",
        "lwm2m.server.credentials.key_alias",
    ),
    copy(
        "LWM2M_BS_CREDENTIALS_ENABLED",
        "lwm2m.bootstrap.credentials.enabled",
    ),
    copy(
        "LWM2M_BS_CREDENTIALS_TYPE",
        "lwm2m.bootstrap.credentials.form",
    ),
    copy("LWM2M_BS_PEM_CERT", "lwm2m.bootstrap.credentials.cert_file"),
    copy("LWM2M_BS_PEM_KEY", "lwm2m.bootstrap.credentials.key_file"),
    copy(
        "LWM2M_BS_PEM_KEY_PASSWORD",
        "lwm2m.bootstrap.credentials.key_password",
    ),
    copy(
        "LWM2M_BS_KEY_STORE",
        "lwm2m.bootstrap.credentials.keystore_file",
    ),
    copy(
        "LWM2M_BS_KEY_STORE_PASSWORD",
        "lwm2m.bootstrap.credentials.keystore_password",
    ),
    copy(
        "LWM2M_BS_KEY_ALIAS",
        "lwm2m.bootstrap.credentials.key_alias",
    ),
    copy("LWM2M_TRUST_CREDENTIALS_ENABLED", "lwm2m.trust.enabled"),
    copy("LWM2M_TRUST_CREDENTIALS_TYPE", "lwm2m.trust.form"),
    copy("LWM2M_TRUST_PEM_CERT", "lwm2m.trust.cert_file"),
    copy("LWM2M_TRUST_KEY_STORE", "lwm2m.trust.keystore_file"),
    copy(
        "LWM2M_TRUST_KEY_STORE_PASSWORD",
        "lwm2m.trust.keystore_password",
    ),
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
    copy("TB_QUEUE_CORE_PARTITIONS", "core.partitions"),
    copy("CACHE_TYPE", "redis.cache_type"),
    copy("REDIS_HOST", "redis.host"),
    copy("REDIS_PORT", "redis.port"),
    copy("REDIS_DB", "redis.db"),
    copy("REDIS_USERNAME", "redis.username"),
    copy("REDIS_PASSWORD", "redis.password"),
    copy(
        "TB_QUEUE_PARTITIONS_HASH_FUNCTION_NAME",
        "core.hash_function",
    ),
    copy("ZOOKEEPER_ENABLED", "zookeeper.enabled"),
    copy("ZOOKEEPER_URL", "zookeeper.url"),
    copy("ZOOKEEPER_NODES_DIR", "zookeeper.dir"),
    copy("ZOOKEEPER_RETRY_INTERVAL_MS", "zookeeper.retry_ms"),
    copy(
        "ZOOKEEPER_CONNECTION_TIMEOUT_MS",
        "zookeeper.connect_timeout_ms",
    ),
    copy(
        "ZOOKEEPER_SESSION_TIMEOUT_MS",
        "zookeeper.session_timeout_ms",
    ),
];

/// Names that the platform's transport knows and that have no effect here, and why.
pub const WITHOUT_EFFECT: &[(&[&str], &str)] = &[
    (
        &[
            "LWM2M_SERVER_KEY_STORE_TYPE",
            "LWM2M_BS_KEY_STORE_TYPE",
            "LWM2M_TRUST_KEY_STORE_TYPE",
        ],
        "files are told apart by what they hold: PEM or PKCS#12",
    ),
    (
        &["LWM2M_SERVER_KEY_PASSWORD", "LWM2M_BS_KEY_PASSWORD"],
        "a PKCS#12 file has one password, that of the keystore",
    ),
    (
        &["LWM2M_RECOMMENDED_SUPPORTED_GROUPS"],
        "keys are agreed on the curve P-256, which is a recommended one",
    ),
    (
        &["ZOOKEEPER_RECALCULATE_DELAY_MS"],
        "a transport does not react to other services that come and go",
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
            "REDIS_CONNECTION_TYPE",
            "REDIS_NODES",
            "REDIS_MAX_REDIRECTS",
            "REDIS_MASTER",
            "REDIS_SENTINELS",
            "REDIS_SENTINEL_PASSWORD",
            "TB_REDIS_SSL_ENABLED",
            "TB_REDIS_SSL_PEM_CERT",
            "TB_REDIS_SSL_PEM_KEY",
            "TB_REDIS_SSL_PEM_KEY_PASSWORD",
        ],
        "update packages alone are read from Redis, from one server without TLS",
    ),
    (
        &[
            "USAGE_STATS_REPORT_ENABLED",
            "USAGE_STATS_REPORT_PER_CUSTOMER_ENABLED",
            "USAGE_STATS_REPORT_INTERVAL",
        ],
        "this release reports no usage to the core",
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
    (
        "lwm2m.bootstrap.id",
        "a bootstrap server has no short server id",
    ),
    (
        "lwm2m.server.id",
        "short server ids come from device profiles",
    ),
];
