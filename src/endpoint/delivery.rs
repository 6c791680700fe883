//! Which messages of the device wait for the platform before they are acknowledged (delivery promise, rules 1 and 2).
//!
//! A message may yield several uplinks; it is acknowledged when all of them are durable or rejected for good. When one
//! could not be stored it stays unacknowledged, and its repetition is taken as new.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    coap::{IncomingId, Token},
    platform::{Outcome, UplinkId},
};

/// Messages of the device that wait, by the id their uplinks carry.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    next: u64,
    waiting: BTreeMap<UplinkId, Waiting>,
    /// Since when confirmable notifications have stayed unacknowledged.
    unavailable_since: Option<Instant>,
}

/// A confirmable notification whose acknowledgement is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deferred {
    /// Its entry in the message layer.
    pub(super) message: IncomingId,
    /// Its observation.
    pub(super) token: Token,
    /// Its place in the observation.
    pub(super) observe: Option<u32>,
}

#[derive(Debug)]
struct Waiting {
    message: Deferred,
    since: Instant,
    open: usize,
    unavailable: bool,
}

/// What to do with a message whose uplinks have all ended.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Acknowledge; it waited this long. `observe_again`: earlier notifications stayed unacknowledged so long that the
    /// device has given up its observations.
    Acknowledge {
        message: Deferred,
        waited: Duration,
        observe_again: bool,
    },
    /// Leave it unacknowledged; the device repeats it.
    GiveUp { message: Deferred },
}

impl Deliveries {
    /// Starts to wait for `uplinks` outcomes on behalf of `message`.
    pub(super) fn wait(&mut self, now: Instant, message: Deferred, uplinks: usize) -> UplinkId {
        let id = UplinkId(self.next);
        self.next += 1;
        self.waiting.insert(
            id,
            Waiting {
                message,
                since: now,
                open: uplinks,
                unavailable: false,
            },
        );
        id
    }

    /// Takes one outcome; a verdict follows with the last one of a message.
    ///
    /// `give_up` is how long a device keeps an observation whose notifications nobody acknowledges
    /// (MAX_TRANSMIT_WAIT).
    pub(super) fn done(
        &mut self,
        now: Instant,
        id: UplinkId,
        outcome: Outcome,
        give_up: Duration,
    ) -> Option<Verdict> {
        let waiting = self.waiting.get_mut(&id)?;
        waiting.unavailable |= outcome == Outcome::Unavailable;
        waiting.open -= 1;
        if waiting.open > 0 {
            return None;
        }
        let Waiting {
            message,
            since,
            unavailable,
            ..
        } = self.waiting.remove(&id)?;
        if unavailable {
            self.unavailable_since.get_or_insert(since);
            return Some(Verdict::GiveUp { message });
        }
        let outage = self.unavailable_since.take();
        let observe_again =
            outage.is_some_and(|start| now.saturating_duration_since(start) >= give_up);
        Some(Verdict::Acknowledge {
            message,
            waited: now.saturating_duration_since(since),
            observe_again,
        })
    }

    /// Forgets the messages that wait, and that earlier ones stayed unacknowledged: their registration is over, and their
    /// ids mean others in the next message layer.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
        self.unavailable_since = None;
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
