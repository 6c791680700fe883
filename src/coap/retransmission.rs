//! Retransmission of confirmable messages (RFC 7252 section 4.2): exponential back-off until an ACK, a RST or a response
//! arrives.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::message::{MessageId, Token};

/// The confirmable messages that nobody has acknowledged yet, in the order of sending.
#[derive(Debug)]
pub(super) struct Retransmissions<P>(Vec<Outstanding<P>>);

/// A confirmable message to be sent until it is acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Confirmable<P> {
    /// Where it goes.
    pub(super) peer: P,
    /// Its id.
    pub(super) message_id: MessageId,
    /// What it is.
    pub(super) purpose: Purpose,
    /// Its bytes.
    pub(super) datagram: Bytes,
}

/// What a confirmable message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A request with this token.
    Request(Token),
    /// A separate response. Its token was chosen by the device and may equal one of ours.
    Response,
    /// A notification on the observation that the peer named by this token.
    Notification(Token),
}

/// What a timeout brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due<P> {
    /// Send these bytes again.
    Repeat {
        peer: P,
        datagram: Bytes,
        purpose: Purpose,
        /// How many waits have ended.
        timeouts: u8,
    },
    /// The last wait is over.
    GivenUp(Purpose),
}

#[derive(Debug)]
struct Outstanding<P> {
    message: Confirmable<P>,
    /// When the current wait ends.
    due: Instant,
    /// How long the current wait is.
    timeout: Duration,
    /// How many retransmissions are left.
    left: u8,
    /// How many waits have ended.
    timeouts: u8,
}

impl<P: Copy + Eq> Retransmissions<P> {
    /// Nothing is outstanding.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Starts the first wait, of `timeout`, for a message that was just sent.
    pub(super) fn start(
        &mut self,
        now: Instant,
        message: Confirmable<P>,
        timeout: Duration,
        max_retransmit: u8,
    ) {
        self.0.push(Outstanding {
            message,
            due: later(now, timeout),
            timeout,
            left: max_retransmit,
            timeouts: 0,
        });
    }

    /// The message that an ACK or RST with this id from this peer belongs to.
    pub(super) fn find(&self, peer: P, message_id: MessageId) -> Option<Purpose> {
        self.0
            .iter()
            .find(|outstanding| {
                outstanding.message.message_id == message_id && outstanding.message.peer == peer
            })
            .map(|outstanding| outstanding.message.purpose)
    }

    /// Whether a message with this id is outstanding.
    pub(super) fn holds(&self, message_id: MessageId) -> bool {
        self.0
            .iter()
            .any(|outstanding| outstanding.message.message_id == message_id)
    }

    /// Stops sending the message with this id.
    pub(super) fn stop(&mut self, message_id: MessageId) {
        self.0
            .retain(|outstanding| outstanding.message.message_id != message_id);
    }

    /// Stops sending the request with this token.
    pub(super) fn stop_request(&mut self, token: Token) {
        self.0
            .retain(|outstanding| outstanding.message.purpose != Purpose::Request(token));
    }

    /// Gives up the oldest separate response when there are more than `most`; whether it did.
    pub(super) fn limit_responses(&mut self, most: usize) -> bool {
        let is_response =
            |outstanding: &Outstanding<P>| outstanding.message.purpose == Purpose::Response;
        if self
            .0
            .iter()
            .filter(|outstanding| is_response(outstanding))
            .count()
            <= most
        {
            return false;
        }
        if let Some(oldest) = self.0.iter().position(is_response) {
            self.0.remove(oldest);
        }
        true
    }

    /// How many requests are outstanding.
    pub(super) fn requests(&self) -> usize {
        self.0
            .iter()
            .filter(|outstanding| matches!(outstanding.message.purpose, Purpose::Request(_)))
            .count()
    }

    /// Sends everything to another address from here on.
    pub(super) fn rebind(&mut self, peer: P) {
        for outstanding in &mut self.0 {
            outstanding.message.peer = peer;
        }
    }

    /// One wait that has ended; to be called until it returns `None`.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<Due<P>> {
        let index = self
            .0
            .iter()
            .position(|outstanding| outstanding.due <= now)?;
        let outstanding = self.0.get_mut(index)?;
        let Some(left) = outstanding.left.checked_sub(1) else {
            let given_up = self.0.remove(index);
            return Some(Due::GivenUp(given_up.message.purpose));
        };
        outstanding.left = left;
        outstanding.timeout = outstanding.timeout.saturating_mul(2);
        outstanding.due = later(now, outstanding.timeout);
        outstanding.timeouts = outstanding.timeouts.saturating_add(1);
        Some(Due::Repeat {
            peer: outstanding.message.peer,
            datagram: outstanding.message.datagram.clone(),
            purpose: outstanding.message.purpose,
            timeouts: outstanding.timeouts,
        })
    }

    /// When the next wait ends.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.iter().map(|outstanding| outstanding.due).min()
    }
}

/// `now` and `duration` later; a time that cannot be written down counts as a year.
pub(super) fn later(now: Instant, duration: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    now.checked_add(duration.min(YEAR)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    fn confirmable(message_id: u16, purpose: Purpose) -> Confirmable<u8> {
        Confirmable {
            peer: 1,
            message_id: MessageId(message_id),
            purpose,
            datagram: Bytes::from_static(b"datagram"),
        }
    }

    fn request() -> Purpose {
        Purpose::Request(Token::new(b"token").unwrap())
    }

    #[test]
    fn c07_waits_double_until_max_retransmit() {
        let (mut retransmissions, begin) = (Retransmissions::new(), start());
        retransmissions.start(
            begin,
            confirmable(1, request()),
            Duration::from_millis(2500),
            4,
        );
        let mut now = begin;
        let mut seen = Vec::new();
        while let Some(due) = retransmissions.poll_timeout() {
            assert_eq!(
                retransmissions.next_due(due - Duration::from_nanos(1)),
                None
            );
            let wait = due - now;
            now = due;
            seen.push((wait.as_millis(), retransmissions.next_due(now).unwrap()));
        }
        let repeat = |timeouts| Due::Repeat {
            peer: 1,
            datagram: Bytes::from_static(b"datagram"),
            purpose: request(),
            timeouts,
        };
        assert_eq!(
            seen,
            [
                (2_500, repeat(1)),
                (5_000, repeat(2)),
                (10_000, repeat(3)),
                (20_000, repeat(4)),
                (40_000, Due::GivenUp(request())),
            ]
        );
    }

    #[test]
    fn a_late_call_repeats_once_and_waits_anew() {
        let (mut retransmissions, begin) = (Retransmissions::new(), start());
        retransmissions.start(begin, confirmable(1, request()), Duration::from_secs(2), 4);
        let late = begin + Duration::from_secs(30);
        assert!(matches!(
            retransmissions.next_due(late),
            Some(Due::Repeat { .. })
        ));
        assert_eq!(retransmissions.next_due(late), None);
        assert_eq!(
            retransmissions.poll_timeout(),
            Some(late + Duration::from_secs(4))
        );
    }

    #[test]
    fn only_the_peer_that_was_asked_can_answer() {
        let (mut retransmissions, now) = (Retransmissions::new(), start());
        retransmissions.start(now, confirmable(1, request()), Duration::from_secs(2), 4);
        assert_eq!(retransmissions.find(2, MessageId(1)), None);
        assert_eq!(retransmissions.find(1, MessageId(2)), None);
        assert_eq!(retransmissions.find(1, MessageId(1)), Some(request()));
        retransmissions.rebind(2);
        assert_eq!(retransmissions.find(2, MessageId(1)), Some(request()));
    }

    #[test]
    fn stopping_leaves_other_messages_alone() {
        let (mut retransmissions, now) = (Retransmissions::new(), start());
        retransmissions.start(now, confirmable(1, request()), Duration::from_secs(2), 4);
        retransmissions.start(
            now,
            confirmable(2, Purpose::Response),
            Duration::from_secs(2),
            4,
        );
        retransmissions.stop(MessageId(2));
        assert!(retransmissions.holds(MessageId(1)) && !retransmissions.holds(MessageId(2)));
        retransmissions.stop_request(Token::new(b"token").unwrap());
        assert_eq!(retransmissions.poll_timeout(), None);
    }

    #[test]
    fn separate_responses_are_bounded() {
        let (mut retransmissions, now) = (Retransmissions::new(), start());
        retransmissions.start(now, confirmable(0, request()), Duration::from_secs(2), 4);
        for id in 1..=3 {
            retransmissions.start(
                now,
                confirmable(id, Purpose::Response),
                Duration::from_secs(2),
                4,
            );
        }
        assert!(retransmissions.limit_responses(2));
        assert!(!retransmissions.limit_responses(2));
        assert!(!retransmissions.holds(MessageId(1)) && retransmissions.holds(MessageId(2)));
        assert_eq!(retransmissions.requests(), 1);
    }
}
