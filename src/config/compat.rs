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
    /// As it is, but for a compression that this program does not have.
    Compression,
    /// As the host of a `host:port` key.
    Host,
    /// Whether it is `https`, when the given switch is on.
    Https(&'static str),
    /// The member of this name of a line for the login of the Java client, when the given switch is on.
    Login {
        /// `username` or `password`.
        member: &'static str,
        /// The switch.
        switch: &'static str,
    },
    /// As the port of a `host:port` key.
    Port,
    /// As the mode: the name of the platform's queue.
    Queue,
    /// A switch: `false` sets a number of seconds to 0, "never".
    Never,
    /// As it is, also when it is empty, which says "none".
    Optional,
    /// A switch: the given value when it is on, else nothing.
    Switch(&'static str),
    /// As it is, when the given switch is on.
    When(&'static str),
}

impl Kind {
    /// The switch without which the name has no effect.
    pub const fn switch(self) -> Option<&'static str> {
        match self {
            Self::Https(switch) | Self::Login { switch, .. } | Self::When(switch) => Some(switch),
            Self::Copy
            | Self::Compression
            | Self::Host
            | Self::Never
            | Self::Optional
            | Self::Port
            | Self::Queue
            | Self::Switch(_) => None,
        }
    }
}

const fn alias(name: &'static str, key: &'static str, kind: Kind) -> Alias {
    Alias { name, key, kind }
}

const fn copy(name: &'static str, key: &'static str) -> Alias {
    alias(name, key, Kind::Copy)
}

const CLOUD: &str = "TB_QUEUE_KAFKA_USE_CONFLUENT_CLOUD";
const TLS: &str = "TB_KAFKA_SSL_ENABLED";

/// The names that have an effect, in the order in which they are read.
pub const ALIASES: &[Alias] = &[
    alias("TB_QUEUE_TYPE", "mode", Kind::Queue),
    copy("TB_SERVICE_ID", "service.id"),
    alias("HTTP_BIND_ADDRESS", "http.bind", Kind::Host),
    alias("HTTP_BIND_PORT", "http.bind", Kind::Port),
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
    alias(
        "LWM2M_DTLS_CONNECTION_ID_LENGTH",
        "lwm2m.dtls.connection_id_length",
        Kind::Optional,
    ),
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
    alias(
        "TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_ENABLED",
        "lwm2m.credentials_reload_s",
        Kind::Never,
    ),
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
    alias(
        "TB_KAFKA_COMPRESSION_TYPE",
        "kafka.compression",
        Kind::Compression,
    ),
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
    // A cloud first: with both switches on the Java client uses TLS alone.
    alias(CLOUD, "kafka.security_protocol", Kind::Switch("sasl_ssl")),
    alias(CLOUD, "kafka.sasl.mechanism", Kind::Switch("PLAIN")),
    alias(
        "TB_QUEUE_KAFKA_CONFLUENT_SECURITY_PROTOCOL",
        "kafka.security_protocol",
        Kind::When(CLOUD),
    ),
    alias(
        "TB_QUEUE_KAFKA_CONFLUENT_SSL_ALGORITHM",
        "kafka.ssl.verify_hostname",
        Kind::Https(CLOUD),
    ),
    alias(
        "TB_QUEUE_KAFKA_CONFLUENT_SASL_MECHANISM",
        "kafka.sasl.mechanism",
        Kind::When(CLOUD),
    ),
    alias(
        "TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG",
        "kafka.sasl.username",
        Kind::Login {
            member: "username",
            switch: CLOUD,
        },
    ),
    alias(
        "TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG",
        "kafka.sasl.password",
        Kind::Login {
            member: "password",
            switch: CLOUD,
        },
    ),
    alias(TLS, "kafka.security_protocol", Kind::Switch("ssl")),
    alias(
        "TB_KAFKA_SSL_TRUSTSTORE_LOCATION",
        "kafka.ssl.ca_file",
        Kind::When(TLS),
    ),
    alias(
        "TB_KAFKA_SSL_KEYSTORE_LOCATION",
        "kafka.ssl.keystore_file",
        Kind::When(TLS),
    ),
    alias(
        "TB_KAFKA_SSL_KEYSTORE_PASSWORD",
        "kafka.ssl.keystore_password",
        Kind::When(TLS),
    ),
    alias(
        "TB_KAFKA_SSL_KEY_PASSWORD",
        "kafka.ssl.key_password",
        Kind::When(TLS),
    ),
    copy("TB_QUEUE_KAFKA_OTHER_PROPERTIES", "kafka.extra"),
    copy(
        "TB_QUEUE_KAFKA_CONSUMER_PROPERTIES_PER_TOPIC_INLINE",
        "kafka.consumer_extra",
    ),
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
            "TB_KAFKA_SSL_TRUSTSTORE_PASSWORD",
            "TB_QUEUE_KAFKA_CONFLUENT_USERNAME",
            "TB_QUEUE_KAFKA_CONFLUENT_PASSWORD",
            "TB_QUEUE_KAFKA_CONFLUENT_OAUTH_CLIENT_ID",
            "TB_QUEUE_KAFKA_CONFLUENT_OAUTH_CLIENT_SECRET",
            "TB_QUEUE_KAFKA_CONFLUENT_OAUTH_ENDPOINT_URL",
            "TB_QUEUE_KAFKA_CONFLUENT_OAUTH_SCOPE",
        ],
        "trusted certificates are PEM and need no password; user and password come from \
         TB_QUEUE_KAFKA_CONFLUENT_SASL_JAAS_CONFIG, and there is no OAuth",
    ),
    (
        &[
            "REDIS_CONNECTION_TYPE",
            "REDIS_NODES",
            "REDIS_MAX_REDIRECTS",
            "REDIS_MASTER",
            "REDIS_SENTINELS",
            "REDIS_SENTINEL_PASSWORD",
            "REDIS_CLIENT_NAME",
            "REDIS_CLIENT_CONNECT_TIMEOUT",
            "REDIS_CLIENT_READ_TIMEOUT",
            "REDIS_CLIENT_USE_POOL_CONFIG",
            "REDIS_USE_DEFAULT_CLIENT_CONFIG",
            "REDIS_USE_DEFAULT_POOL_CONFIG",
            "REDIS_POOL_CONFIG_MAX_TOTAL",
            "REDIS_POOL_CONFIG_MAX_IDLE",
            "REDIS_POOL_CONFIG_MIN_IDLE",
            "REDIS_POOL_CONFIG_TEST_ON_BORROW",
            "REDIS_POOL_CONFIG_TEST_ON_RETURN",
            "REDIS_POOL_CONFIG_TEST_WHILE_IDLE",
            "REDIS_POOL_CONFIG_MIN_EVICTABLE_MS",
            "REDIS_POOL_CONFIG_EVICTION_RUNS_MS",
            "REDIS_POOL_CONFIG_MAX_WAIT_MS",
            "REDIS_POOL_CONFIG_NUMBER_TESTS_PER_EVICTION_RUN",
            "REDIS_POOL_CONFIG_BLOCK_WHEN_EXHAUSTED",
            "CACHE_SPECS_ENTITY_LIMITS_TTL",
            "CACHE_SPECS_ENTITY_LIMITS_MAX_SIZE",
            "TB_REDIS_SSL_ENABLED",
            "TB_REDIS_SSL_PEM_CERT",
            "TB_REDIS_SSL_PEM_KEY",
            "TB_REDIS_SSL_PEM_KEY_PASSWORD",
        ],
        "update packages alone are read from Redis, from one server without TLS",
    ),
    (
        &[
            "LWM2M_UPLINK_POOL_SIZE",
            "LWM2M_DOWNLINK_POOL_SIZE",
            "LWM2M_OTA_POOL_SIZE",
            "LWM2M_CLEAN_PERIOD_IN_SEC",
            "LWM2M_PROTOCOL_STAGE_THREAD_COUNT",
            "TB_QUEUE_TRANSPORT_MAX_CALLBACK_THREADS",
            "JAVA_OPTS",
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
            "TB_QUEUE_KAFKA_HOUSEKEEPER_TOPIC_PROPERTIES",
            "TB_QUEUE_TRANSPORT_RESPONSE_POLL_INTERVAL_MS",
            "TB_QUEUE_TRANSPORT_REQUEST_POLL_INTERVAL_MS",
            "TB_QUEUE_TRANSPORT_NOTIFICATIONS_POLL_INTERVAL_MS",
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
            "REMOTE_JS_EVAL_REQUEST_TOPIC",
            "REMOTE_JS_EVAL_RESPONSE_TOPIC",
            "REMOTE_JS_MAX_PENDING_REQUESTS",
            "REMOTE_JS_MAX_REQUEST_TIMEOUT",
            "REMOTE_JS_RESPONSE_AUTO_COMMIT_INTERVAL_MS",
            "REMOTE_JS_RESPONSE_POLL_INTERVAL_MS",
            "TB_NOTIFICATION_RULES_DEDUPLICATION_DURATIONS",
            "TB_QUEUE_CORE_NOTIFICATIONS_TOPIC",
            "TB_QUEUE_CORE_PACK_PROCESSING_TIMEOUT_MS",
            "TB_QUEUE_CORE_POLL_INTERVAL_MS",
            "TB_QUEUE_CORE_STATS_ENABLED",
            "TB_QUEUE_CORE_STATS_PRINT_INTERVAL_MS",
            "TB_QUEUE_KAFKA_JE_TOPIC_PROPERTIES",
            "TB_QUEUE_RULE_ENGINE_NOTIFICATIONS_TOPIC",
            "TB_QUEUE_RULE_ENGINE_PACK_PROCESSING_TIMEOUT_MS",
            "TB_QUEUE_RULE_ENGINE_POLL_INTERVAL_MS",
            "TB_QUEUE_RULE_ENGINE_STATS_ENABLED",
            "TB_QUEUE_RULE_ENGINE_STATS_PRINT_INTERVAL_MS",
            "USAGE_STATS_REPORT_URGENT_INTERVAL",
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
