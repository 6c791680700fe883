//! What all handshakes and associations of a server share.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::dtls::{
    config::Config,
    credentials::{Credentials, TrustStore},
    event::Output,
    flight::Retransmission,
    random::{self, Random},
    stats::Stats,
};

/// Settings, keys, randomness, counters, and what is to be done.
pub(super) struct Core {
    pub(super) config: Arc<Config>,
    pub(super) credentials: Option<Arc<Credentials>>,
    pub(super) trust: Arc<TrustStore>,
    pub(super) random: Box<dyn Random>,
    pub(super) stats: Stats,
    pub(super) outputs: VecDeque<Output>,
    /// An instant, and how long after 1970 it was.
    pub(super) wall: (Instant, Duration),
}

impl Core {
    /// The time since 1970.
    pub(super) fn wall(&self, now: Instant) -> Duration {
        let (instant, wall) = self.wall;
        wall.saturating_add(now.saturating_duration_since(instant))
    }

    /// A flight is sent.
    pub(super) fn retransmission(&mut self, now: Instant) -> Retransmission {
        let timeout = self.config.retransmission_timeout;
        let percent = u32::from(self.config.retransmission_jitter_percent);
        let jitter = if percent == 0 {
            Duration::ZERO
        } else {
            let draw = u32::from(u16::from_be_bytes(random::array(&mut *self.random)));
            let longest = timeout
                .saturating_mul(percent)
                .checked_div(100)
                .unwrap_or_default();
            longest
                .saturating_mul(draw)
                .checked_div(1 << 16)
                .unwrap_or_default()
        };
        Retransmission::start(now, timeout.saturating_add(jitter))
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("config", &self.config)
            .field("credentials", &self.credentials)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
