//! Settings of registered endpoints.

use serde::{Deserialize, Serialize};

/// `transport`: sessions and the `transportLog` time series (`device-lifecycle.md` 6 and 10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportSettings {
    /// After how many milliseconds without a report the platform closes a session; ours repeat well before.
    pub session_inactivity_ms: u64,
    /// Activity reports of one session come at most this often, in milliseconds.
    pub activity_report_ms: u64,
    /// Whether to publish the `transportLog` time series.
    pub log_enabled: bool,
    /// Longest value that a `transportLog` line quotes, in characters.
    pub log_max_length: usize,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            session_inactivity_ms: 600_000,
            activity_report_ms: 3000,
            log_enabled: true,
            log_max_length: 1024,
        }
    }
}
