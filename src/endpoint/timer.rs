//! The deadlines of one endpoint, in one table.

use std::time::Instant;

/// What an endpoint waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The time of an RPC passes that waits.
    Expiration,
    /// The registration's lifetime ends (OMA LwM2M Core, "Register").
    Lifetime,
    /// A registration has ended, but its last answer may be asked for again (RFC 7252 section 4.5).
    Linger,
    /// The platform could not say which object models it has: it is asked again.
    Models,
    /// The record has changed and is to be handed over.
    Record,
    /// The device has given up its observations, because a notification stayed unacknowledged (RFC 7641 section 4.5).
    Observe,
    /// The oldest Send that waits for the platform is told that this takes too long.
    Send,
    /// The window ends in which a device that saves power is awake.
    Sleep,
}

/// One deadline per [`Timer`], of which `Sleep` is the last; the message layer keeps its own.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::Sleep as usize + 1]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, deadline: Instant) {
        self.0[timer as usize] = Some(deadline);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// Stops and reports `timer` if its deadline has come.
    pub(super) fn expired(&mut self, timer: Timer, now: Instant) -> bool {
        let due = self.0[timer as usize].is_some_and(|deadline| deadline <= now);
        if due {
            self.stop(timer);
        }
        due
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
