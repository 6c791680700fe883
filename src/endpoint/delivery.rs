//! Which messages of the device wait for the platform before they are acknowledged (delivery promise, rules 1 and 2).
//!
//! A message may yield several uplinks; it is acknowledged when all of them are durable or rejected for good. A
//! notification that could not be stored stays unacknowledged, and its repetition is taken as new; a Send is told so,
//! and told after [`SEND_PATIENCE`] whatever the platform does. A device whose notification nobody acknowledges gives all
//! its observations up in the end, and says no more: the time alone tells.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    coap::{IncomingId, Message, Token},
    platform::{Outcome, UplinkId, time::Now},
};

/// Messages of the device that wait, by the id their uplinks carry.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    next: u64,
    waiting: BTreeMap<UplinkId, Waiting>,
    /// Sends that came before the object models did, oldest first.
    unread: VecDeque<UnreadSend>,
    /// Since when a confirmable notification of an observation has stayed unacknowledged.
    unacknowledged: BTreeMap<Token, Instant>,
}

/// A message whose acknowledgement or answer is put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deferred {
    /// A confirmable notification.
    Notification {
        /// Its entry in the message layer.
        message: IncomingId,
        /// Its observation.
        token: Token,
        /// Its place in the observation.
        observe: Option<u32>,
    },
    /// A Send, by its entry in the message layer.
    Send(IncomingId),
}

/// A Send that cannot be read yet.
#[derive(Debug)]
pub(super) struct UnreadSend {
    /// When it came.
    pub(super) received: Now,
    /// Its entry in the message layer.
    pub(super) id: IncomingId,
    /// The request.
    pub(super) message: Message,
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
    /// Acknowledge; it waited this long.
    Acknowledge { message: Deferred, waited: Duration },
    /// Its content could not be stored.
    GiveUp { message: Deferred },
}

impl Deliveries {
    /// Starts to wait for `uplinks` outcomes on behalf of `message`.
    pub(super) fn wait(&mut self, since: Instant, message: Deferred, uplinks: usize) -> UplinkId {
        let id = UplinkId(self.next);
        self.next += 1;
        self.waiting.insert(
            id,
            Waiting {
                message,
                since,
                open: uplinks,
                unavailable: false,
            },
        );
        id
    }

    /// Keeps a Send until the object models are known.
    pub(super) fn keep_unread(&mut self, send: UnreadSend) {
        self.unread.push_back(send);
    }

    /// The Sends kept unread, in order.
    pub(super) fn take_unread(&mut self) -> VecDeque<UnreadSend> {
        std::mem::take(&mut self.unread)
    }

    /// Takes one outcome; a verdict follows with the last one of a message.
    pub(super) fn done(&mut self, now: Instant, id: UplinkId, outcome: Outcome) -> Option<Verdict> {
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
            if let Deferred::Notification { token, .. } = message {
                self.unacknowledged.entry(token).or_insert(since);
            }
            return Some(Verdict::GiveUp { message });
        }
        if let Deferred::Notification { token, .. } = message {
            self.unacknowledged.remove(&token);
        }
        Some(Verdict::Acknowledge {
            message,
            waited: now.saturating_duration_since(since),
        })
    }

    /// Since when the device has waited for the acknowledgement of a notification, a later one of the same observation
    /// included.
    pub(super) fn unacknowledged_since(&self) -> Option<Instant> {
        self.unacknowledged.values().min().copied()
    }

    /// The observations are made again: what became of earlier notifications does not matter.
    pub(super) fn forget_unacknowledged(&mut self) {
        self.unacknowledged.clear();
    }

    /// Takes the Sends out that have waited for [`SEND_PATIENCE`]; what still becomes of their uplinks does not matter.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<IncomingId> {
        let is_overdue = |since: Instant| since + SEND_PATIENCE <= now;
        let mut overdue = Vec::new();
        self.unread.retain(|send| {
            let keep = !is_overdue(send.received.mono);
            if !keep {
                overdue.push(send.id);
            }
            keep
        });
        self.waiting.retain(|_, waiting| match waiting.message {
            Deferred::Send(id) if is_overdue(waiting.since) => {
                overdue.push(id);
                false
            }
            Deferred::Send(_) | Deferred::Notification { .. } => true,
        });
        overdue
    }

    /// When the next Send will have waited for [`SEND_PATIENCE`].
    pub(super) fn next_overdue(&self) -> Option<Instant> {
        let unread = self.unread.iter().map(|send| send.received.mono);
        let waiting = self.waiting.values();
        let sends = waiting.filter(|own| matches!(own.message, Deferred::Send(_)));
        let oldest = unread.chain(sends.map(|own| own.since)).min()?;
        Some(oldest + SEND_PATIENCE)
    }

    /// Forgets the messages that wait, and that earlier ones stayed unacknowledged: their registration is over, and their
    /// ids mean others in the next message layer. Returns the Sends among them.
    pub(super) fn abandon(&mut self) -> Vec<IncomingId> {
        self.forget_unacknowledged();
        let unread = std::mem::take(&mut self.unread);
        let waiting = std::mem::take(&mut self.waiting);
        let sends = waiting.into_values().filter_map(|own| match own.message {
            Deferred::Send(id) => Some(id),
            Deferred::Notification { .. } => None,
        });
        unread
            .into_iter()
            .map(|send| send.id)
            .chain(sends)
            .collect()
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.unread.len()
    }
}

/// How long a Send waits for the platform at most (`rulings` 2.7).
pub(super) const SEND_PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        coap::{Code, ContentFormat, Event, Exchanges, MessageId, MessageType, Request, encode},
        platform::uplink::RejectReason,
    };

    fn start() -> Instant {
        #[expect(
            clippy::disallowed_methods,
            reason = "any instant will do as the base of virtual time"
        )]
        Instant::now()
    }

    /// Entries of two Sends in a message layer.
    fn sends(now: Instant) -> [IncomingId; 2] {
        let mut exchanges = Exchanges::new(
            Arc::default(),
            crate::coap::TransmissionParameters::default().bodies(),
            [1; 32],
            [0; 2],
        );
        let request = Request {
            method: Code::POST,
            path: vec!["dp".to_owned()],
            content_format: Some(ContentFormat::SENML_JSON),
            ..Request::default()
        };
        [1, 2].map(|id| {
            let token = Token::new(&[id]).unwrap();
            let id = MessageId(id.into());
            let datagram = encode::request(&request, MessageType::Confirmable, id, token);
            exchanges.handle_datagram(now, (), datagram);
            match exchanges.poll_event() {
                Some(Event::Request { id, .. }) => id,
                other => panic!("{other:?}"),
            }
        })
    }

    #[test]
    fn a_send_is_answered_when_all_its_uplinks_are_durable_or_rejected_for_good() {
        let now = start();
        let [send, _] = sends(now);
        let mut deliveries = Deliveries::default();
        let id = deliveries.wait(now, Deferred::Send(send), 2);
        assert_eq!(deliveries.done(now, id, Outcome::Durable), None);
        let later = now + Duration::from_secs(2);
        assert_eq!(
            deliveries.done(later, id, Outcome::Rejected(RejectReason::TooLarge)),
            Some(Verdict::Acknowledge {
                message: Deferred::Send(send),
                waited: Duration::from_secs(2),
            })
        );
        assert_eq!(deliveries.len(), 0);
    }

    #[test]
    fn a_send_that_cannot_be_stored_is_given_up_and_costs_no_observation() {
        let now = start();
        let [send, other] = sends(now);
        let mut deliveries = Deliveries::default();
        let id = deliveries.wait(now, Deferred::Send(send), 1);
        assert_eq!(
            deliveries.done(now, id, Outcome::Unavailable),
            Some(Verdict::GiveUp {
                message: Deferred::Send(send)
            })
        );
        assert_eq!(deliveries.unacknowledged_since(), None);
        let id = deliveries.wait(now, Deferred::Send(other), 1);
        let verdict = deliveries.done(now, id, Outcome::Durable);
        assert!(matches!(verdict, Some(Verdict::Acknowledge { .. })));
    }

    #[test]
    fn a_send_is_overdue_after_ten_seconds_and_what_follows_does_not_matter() {
        let now = start();
        let [send, other] = sends(now);
        let second = now + Duration::from_secs(1);
        let mut deliveries = Deliveries::default();
        let id = deliveries.wait(now, Deferred::Send(send), 1);
        deliveries.wait(second, Deferred::Send(other), 1);
        assert_eq!(deliveries.next_overdue(), Some(now + SEND_PATIENCE));
        assert_eq!(deliveries.overdue(second), []);
        assert_eq!(deliveries.overdue(now + SEND_PATIENCE), [send]);
        assert_eq!(deliveries.next_overdue(), Some(second + SEND_PATIENCE));
        assert_eq!(deliveries.done(now, id, Outcome::Durable), None);
        assert_eq!(deliveries.abandon(), [other]);
        assert_eq!(deliveries.next_overdue(), None);
    }
}
