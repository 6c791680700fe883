//! Counters of the bootstrap of one endpoint.

use crate::coap::CoapStats;

/// What was counted since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootstrapStats {
    /// The message layers' counters.
    pub coap: CoapStats,
    /// Bootstrap sessions that ended with the device's consent to the Finish.
    pub finished: u64,
    /// Bootstrap-Requests refused: by the platform, because it does not answer, or because profile and credentials make no
    /// accounts.
    pub rejected: u64,
    /// Bootstrap sessions that ended otherwise; those `timed_out` among them.
    pub failed: u64,
    /// Bootstrap sessions that ended because the device did not answer.
    pub timed_out: u64,
    /// Messages and Bootstrap-Requests beyond what one device may send.
    pub limited: u64,
    /// Bootstrap-Requests dropped because another peer asks for the same endpoint.
    pub dropped_requests: u64,
    /// Bootstrap sessions that give keys to a device without security.
    pub secrets_over_nosec: u64,
}

impl BootstrapStats {
    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            coap: self.coap.since(&earlier.coap),
            finished: self.finished.saturating_sub(earlier.finished),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            failed: self.failed.saturating_sub(earlier.failed),
            timed_out: self.timed_out.saturating_sub(earlier.timed_out),
            limited: self.limited.saturating_sub(earlier.limited),
            dropped_requests: self
                .dropped_requests
                .saturating_sub(earlier.dropped_requests),
            secrets_over_nosec: self
                .secrets_over_nosec
                .saturating_sub(earlier.secrets_over_nosec),
        }
    }
}
