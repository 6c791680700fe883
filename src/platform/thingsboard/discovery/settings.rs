//! `zookeeper`: where the services of a platform find each other.

use serde::{Deserialize, Serialize};

/// `zookeeper`: registration for what the core broadcasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZooKeeperSettings {
    /// Whether this instance registers. Default false: what the core broadcasts is asked for by age alone.
    /// Upstream: `ZOOKEEPER_ENABLED`.
    pub enabled: bool,
    /// Servers, `host:port`, comma-separated, perhaps with a path at the end under which all nodes are.
    /// Default `localhost:2181`. Upstream: `ZOOKEEPER_URL`.
    pub url: String,
    /// Folder of the platform, equal on all its services. Default `/thingsboard`. Upstream: `ZOOKEEPER_NODES_DIR`.
    pub dir: String,
    /// Pause before the next attempt after a failure, milliseconds. Default 3000.
    /// Upstream: `ZOOKEEPER_RETRY_INTERVAL_MS`.
    pub retry_ms: u32,
    /// Silence after which a connection is given up, milliseconds; above three fifths of the session timeout it counts
    /// as two fifths of that. Default 3000. Upstream: `ZOOKEEPER_CONNECTION_TIMEOUT_MS`.
    pub connect_timeout_ms: u32,
    /// Silence after which the servers forget this instance, milliseconds; they have limits of their own for it.
    /// Default 3000. Upstream: `ZOOKEEPER_SESSION_TIMEOUT_MS`.
    pub session_timeout_ms: u32,
}

impl Default for ZooKeeperSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            url: "localhost:2181".to_owned(),
            dir: "/thingsboard".to_owned(),
            retry_ms: 3_000,
            connect_timeout_ms: 3_000,
            session_timeout_ms: 3_000,
        }
    }
}
