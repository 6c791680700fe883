//! Registration expiry: last Register or Update plus the lifetime, on the monotonic clock.

use super::{super::*, Registration};

impl Registration {
    /// When it ends unless the device updates it; `None`: never.
    pub(super) fn deadline(&self, now: Now) -> Option<Instant> {
        self.data
            .lifetime
            .duration()
            .map(|lifetime| now.mono + lifetime)
    }
}

impl Endpoint {
    /// Starts the lifetime anew.
    pub(super) fn set_lifetime(&mut self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => self.timers.set(Timer::Lifetime, deadline),
            None => self.timers.stop(Timer::Lifetime),
        }
    }

    /// Ends the registration if its lifetime is over.
    pub(in crate::endpoint) fn expire(&mut self, now: Now) {
        if self.timers.expired(Timer::Lifetime, now.mono) {
            self.stats.expired += 1;
            self.end(now, CloseReason::Expired);
        }
    }
}
