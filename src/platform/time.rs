//! The two clocks, read once per input by the shell.

use std::{fmt, time::Duration, time::Instant};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// This time plus a duration, saturating.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The moment of one input: `mono` for timers, `wall` for timestamps. `mono` never goes backwards.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic clock.
    pub mono: Instant,
    /// Wall clock.
    pub wall: UnixMillis,
}

/// Reads both clocks; handed to what runs on a thread of its own.
pub type Clock = fn() -> Now;

impl Now {
    /// This moment and `duration` later, on both clocks.
    pub fn after(self, duration: Duration) -> Self {
        Self {
            mono: self.mono + duration,
            wall: self.wall.plus(duration),
        }
    }
}
