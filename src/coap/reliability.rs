//! The message layer of one device (RFC 7252 section 4): acknowledgements, RST, pings, duplicates, retransmission, message
//! ids. It knows of requests and responses only what decides how they are acknowledged.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use bytes::Bytes;

use super::{
    blockwise::{Asked, serve},
    deduplication::{Deduplication, IncomingId, Reaction},
    encode::{self, Response},
    event::CoapStats,
    message::{Message, MessageId, MessageType, ParseError, Token},
    parameters::TransmissionParameters,
    random::Random,
    rate_limit::RateLimit,
    retransmission::{Confirmable, Due, Purpose, Retransmissions, later},
};

/// The message layer's state for one device. `P` is the peer's address.
#[derive(Debug)]
pub(super) struct Reliability<P> {
    /// The only source of randomness of a device.
    pub(super) random: Random,
    /// The only counters of a device.
    pub(super) stats: CoapStats,
    parameters: Arc<TransmissionParameters>,
    next_message_id: MessageId,
    incoming: Deduplication<Waiting<P>>,
    retransmissions: Retransmissions<P>,
    /// The latest non-confirmable notifications of ours, [`NOTIFICATIONS`] at most: RST may answer them.
    notifications: VecDeque<(P, MessageId, Token)>,
    pings: RateLimit,
    transmits: VecDeque<(P, Bytes)>,
}

/// What the message layer leaves to the layer above.
#[derive(Debug)]
pub(super) enum Received {
    /// A confirmable message was acknowledged without a response.
    Acknowledged(Purpose),
    /// A confirmable message, or a notification, was rejected.
    Reset(Purpose),
    /// The response to the request with its token came in the acknowledgement.
    Piggybacked(Message),
    /// A request that is no duplicate and may be processed.
    Request(Message),
    /// A separate response or notification that is no duplicate.
    Response(Message),
}

/// What time brings that concerns the layer above.
#[derive(Debug)]
pub(super) enum Overdue<P> {
    /// A message was sent for the last time, and its last wait is over.
    GivenUp(Purpose),
    /// [`TIMEOUTS_UNTIL_SMALLER`] waits of a request are over: it may be too large for the path. The owner sends a smaller
    /// one in its place, or has this one repeated.
    Unanswered {
        token: Token,
        peer: P,
        datagram: Bytes,
    },
}

/// When a response or notification is acknowledged, if it is confirmable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledge {
    /// At once.
    Now,
    /// When [`Reliability::acknowledge`] is called.
    Later,
}

impl<P: Copy + Eq> Reliability<P> {
    pub(super) fn new(parameters: Arc<TransmissionParameters>, seed: [u8; 32]) -> Self {
        let mut random = Random::from_seed(seed);
        let mut first_id = [0; 2];
        random.fill(&mut first_id);
        Self {
            random,
            stats: CoapStats::default(),
            next_message_id: MessageId(u16::from_be_bytes(first_id)),
            incoming: Deduplication::new(parameters.dedup_ring),
            retransmissions: Retransmissions::new(),
            notifications: VecDeque::new(),
            pings: RateLimit::new(parameters.pings_per_second, parameters.pings_per_second),
            transmits: VecDeque::new(),
            parameters,
        }
    }

    /// Takes a datagram as it was parsed; `None` when the message layer is done with it.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        peer: P,
        parsed: Result<Message, ParseError>,
    ) -> Option<Received> {
        count(&mut self.stats.received);
        let message = match parsed {
            Ok(message) => message,
            Err(error) => {
                count(&mut self.stats.format_errors);
                if let Some(reset) = error.reset() {
                    count(&mut self.stats.resets_sent);
                    self.transmit(peer, reset);
                }
                return None;
            }
        };
        match message.message_type() {
            MessageType::Acknowledgement => self.handle_acknowledgement(peer, message),
            MessageType::Reset => self.handle_reset(peer, &message),
            MessageType::Confirmable | MessageType::NonConfirmable if message.code().is_empty() => {
                self.handle_ping(now, peer, &message);
                None
            }
            MessageType::Confirmable | MessageType::NonConfirmable => {
                if self.handle_duplicate(now, peer, &message) || self.refuse(peer, &message) {
                    None
                } else if message.code().is_request() {
                    Some(Received::Request(message))
                } else {
                    Some(Received::Response(message))
                }
            }
        }
    }

    /// Acknowledges the requests whose answer takes long.
    pub(super) fn acknowledge_slow_requests(&mut self, now: Instant) {
        for (message_id, waiting) in self.incoming.all_waiting_mut() {
            if let WaitingFor::Piggyback { token, until } = waiting.answer
                && until <= now
            {
                waiting.answer = WaitingFor::Separate { token };
                let datagram = encode::empty(MessageType::Acknowledgement, message_id);
                count(&mut self.stats.sent);
                self.transmits.push_back((waiting.peer, datagram));
            }
        }
    }

    /// Retransmits what is due until the owner has to decide; `None` when nothing is left to do.
    pub(super) fn retransmit(&mut self, now: Instant) -> Option<Overdue<P>> {
        loop {
            match self.retransmissions.next_due(now)? {
                Due::Repeat {
                    peer,
                    datagram,
                    purpose,
                    timeouts,
                } => {
                    if let (Purpose::Request(token), TIMEOUTS_UNTIL_SMALLER) = (purpose, timeouts) {
                        return Some(Overdue::Unanswered {
                            token,
                            peer,
                            datagram,
                        });
                    }
                    self.repeat(peer, datagram);
                }
                Due::GivenUp(purpose) => return Some(Overdue::GivenUp(purpose)),
            }
        }
    }

    /// Sends a message again.
    pub(super) fn repeat(&mut self, peer: P, datagram: Bytes) {
        count(&mut self.stats.retransmissions);
        self.transmit(peer, datagram);
    }

    /// NSTART
    pub(super) fn nstart(&self) -> usize {
        self.parameters.nstart.max(1).into()
    }

    /// The parameters of transmission.
    pub(super) fn parameters(&self) -> &TransmissionParameters {
        &self.parameters
    }

    pub(super) fn poll_transmit(&mut self) -> Option<(P, Bytes)> {
        self.transmits.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.incoming
            .all_waiting()
            .filter_map(|waiting| match waiting.answer {
                WaitingFor::Piggyback { until, .. } => Some(until),
                WaitingFor::Separate { .. }
                | WaitingFor::NonConfirmable { .. }
                | WaitingFor::Durability => None,
            })
            .chain(self.retransmissions.poll_timeout())
            .min()
    }

    /// Sends a confirmable message until it is answered. `encode` makes it, given its id.
    pub(super) fn send_confirmable(
        &mut self,
        now: Instant,
        peer: P,
        purpose: Purpose,
        encode: impl FnOnce(MessageId) -> Bytes,
    ) {
        let message_id = self.fresh_message_id();
        let datagram = encode(message_id);
        let message = Confirmable {
            peer,
            message_id,
            purpose,
            datagram: datagram.clone(),
        };
        let timeout = self.parameters.initial_timeout(&mut self.random);
        self.retransmissions
            .start(now, message, timeout, self.parameters.max_retransmit);
        self.transmit(peer, datagram);
    }

    /// Sends a non-confirmable message once; its id. `encode` makes it, given that.
    fn send_non_confirmable(
        &mut self,
        peer: P,
        encode: impl FnOnce(MessageId) -> Bytes,
    ) -> MessageId {
        let message_id = self.fresh_message_id();
        self.transmit(peer, encode(message_id));
        message_id
    }

    /// Sends a notification; see [`super::Exchanges::notify`].
    pub(super) fn notify(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        notification: &Response,
        confirmable: bool,
    ) {
        let szx = self.parameters.preferred_szx();
        let notification = &serve(notification, Asked::default(), szx);
        if confirmable {
            let purpose = Purpose::Notification(token);
            return self.send_confirmable(now, peer, purpose, |message_id| {
                encode::response(notification, MessageType::Confirmable, message_id, token)
            });
        }
        let message_id = self.send_non_confirmable(peer, |message_id| {
            encode::response(notification, MessageType::NonConfirmable, message_id, token)
        });
        self.notifications.push_front((peer, message_id, token));
        self.notifications.truncate(NOTIFICATIONS);
    }

    /// Stops sending the request with this token.
    pub(super) fn stop_request(&mut self, token: Token) {
        self.retransmissions.stop_request(token);
    }

    /// How many requests are sent and neither acknowledged nor stopped.
    pub(super) fn outstanding_requests(&self) -> usize {
        self.retransmissions.requests()
    }

    /// Sends everything to another address from here on, answers that are still due included.
    pub(super) fn rebind(&mut self, peer: P) {
        self.retransmissions.rebind(peer);
        for (_, waiting) in self.incoming.all_waiting_mut() {
            waiting.peer = peer;
        }
    }

    /// Takes on a request that will be answered; `None`: it is dropped, for want of room to remember it.
    pub(super) fn accept_request(
        &mut self,
        now: Instant,
        peer: P,
        request: &Message,
    ) -> Option<IncomingId> {
        let token = request.token();
        let answer = match request.message_type() {
            MessageType::Confirmable => WaitingFor::Piggyback {
                token,
                until: later(now, self.parameters.separate_response_after()),
            },
            MessageType::NonConfirmable | MessageType::Acknowledgement | MessageType::Reset => {
                WaitingFor::NonConfirmable { token }
            }
        };
        let asked = Asked::by(request);
        let waiting = Waiting {
            peer,
            answer,
            asked,
        };
        self.remember(now, request, Reaction::Waiting(waiting))
    }

    /// Takes on a response or notification; `None`: it is dropped, for want of room to remember it.
    pub(super) fn accept_response(
        &mut self,
        now: Instant,
        peer: P,
        response: &Message,
        acknowledge: Acknowledge,
    ) -> Option<IncomingId> {
        if response.message_type() != MessageType::Confirmable {
            return self.remember(now, response, Reaction::Silent);
        }
        match acknowledge {
            Acknowledge::Now => {
                let datagram = encode::empty(MessageType::Acknowledgement, response.message_id());
                let id = self.remember(now, response, Reaction::Answered(datagram.clone()))?;
                self.transmit(peer, datagram);
                Some(id)
            }
            Acknowledge::Later => {
                let waiting = Waiting {
                    peer,
                    answer: WaitingFor::Durability,
                    asked: Asked::default(),
                };
                self.remember(now, response, Reaction::Waiting(waiting))
            }
        }
    }

    /// Rejects a message with RST.
    pub(super) fn reject(&mut self, peer: P, message: &Message) {
        count(&mut self.stats.resets_sent);
        self.transmit(
            peer,
            encode::empty(MessageType::Reset, message.message_id()),
        );
    }

    /// Answers a request that waits; see [`super::Exchanges::respond`].
    pub(super) fn respond(&mut self, now: Instant, request: IncomingId, response: &Response) {
        let Some((
            message_id,
            &Waiting {
                peer,
                answer,
                asked,
            },
        )) = self.incoming.waiting(now, request)
        else {
            return;
        };
        let response = &serve(response, asked, self.parameters.preferred_szx());
        match answer {
            WaitingFor::Piggyback { token, .. } => {
                let datagram =
                    encode::response(response, MessageType::Acknowledgement, message_id, token);
                self.incoming
                    .settle(request, Reaction::Answered(datagram.clone()));
                self.transmit(peer, datagram);
            }
            WaitingFor::Separate { token } => {
                let acknowledgement = encode::empty(MessageType::Acknowledgement, message_id);
                self.incoming
                    .settle(request, Reaction::Answered(acknowledgement));
                self.send_confirmable(now, peer, Purpose::Response, |message_id| {
                    encode::response(response, MessageType::Confirmable, message_id, token)
                });
                if self
                    .retransmissions
                    .limit_responses(self.parameters.dedup_ring)
                {
                    count(&mut self.stats.timeouts);
                }
            }
            WaitingFor::NonConfirmable { token } => {
                self.incoming.settle(request, Reaction::Silent);
                self.send_non_confirmable(peer, |message_id| {
                    encode::response(response, MessageType::NonConfirmable, message_id, token)
                });
            }
            WaitingFor::Durability => {}
        }
    }

    /// Never answers a message that waits.
    pub(super) fn ignore(&mut self, incoming: IncomingId) {
        self.incoming.settle(incoming, Reaction::Silent);
    }

    /// Takes the repetition of a message that waits for a new message.
    pub(super) fn forget(&mut self, incoming: IncomingId) {
        self.incoming.forget(incoming);
    }

    /// Acknowledges a message that was accepted with [`Acknowledge::Later`].
    pub(super) fn acknowledge(&mut self, now: Instant, incoming: IncomingId) {
        if let Some((message_id, &Waiting { peer, answer, .. })) =
            self.incoming.waiting(now, incoming)
            && matches!(answer, WaitingFor::Durability)
        {
            let datagram = encode::empty(MessageType::Acknowledgement, message_id);
            self.incoming
                .settle(incoming, Reaction::Answered(datagram.clone()));
            self.transmit(peer, datagram);
        }
    }

    /// How many message ids are remembered.
    pub(super) fn remembered(&self) -> usize {
        self.incoming.len()
    }

    fn handle_acknowledgement(&mut self, peer: P, message: Message) -> Option<Received> {
        let message_id = message.message_id();
        match self.retransmissions.find(peer, message_id) {
            Some(purpose) if message.code().is_empty() => {
                self.retransmissions.stop(message_id);
                return Some(Received::Acknowledged(purpose));
            }
            Some(Purpose::Request(token))
                if message.code().is_response() && message.token() == token =>
            {
                if message.refusal().is_none() {
                    return Some(Received::Piggybacked(message));
                }
                // Rejecting an acknowledgement means to ignore it (section 4.2).
                count(&mut self.stats.bad_options);
            }
            Some(_) | None => count(&mut self.stats.unmatched),
        }
        None
    }

    fn handle_reset(&mut self, peer: P, message: &Message) -> Option<Received> {
        if !message.code().is_empty() {
            count(&mut self.stats.format_errors);
            return None;
        }
        count(&mut self.stats.resets_received);
        let message_id = message.message_id();
        if let Some(purpose) = self.retransmissions.find(peer, message_id) {
            self.retransmissions.stop(message_id);
            return Some(Received::Reset(purpose));
        }
        let notification = self
            .notifications
            .iter()
            .position(|&(to, id, _)| id == message_id && to == peer)
            .and_then(|index| self.notifications.remove(index));
        if notification.is_none() {
            count(&mut self.stats.unmatched);
        }
        notification.map(|(_, _, token)| Received::Reset(Purpose::Notification(token)))
    }

    /// An empty CON asks for a RST (section 4.3); an empty NON says nothing.
    fn handle_ping(&mut self, now: Instant, peer: P, message: &Message) {
        if message.message_type() == MessageType::NonConfirmable {
            count(&mut self.stats.format_errors);
            return;
        }
        count(&mut self.stats.pings);
        if self.pings.admit(now) {
            self.reject(peer, message);
        }
    }

    /// Gives a duplicate what it gets; `false` if the message is new.
    fn handle_duplicate(&mut self, now: Instant, peer: P, message: &Message) -> bool {
        let answer = match self
            .incoming
            .duplicate(now, message.message_id(), message.token())
        {
            None => return false,
            Some(Reaction::Answered(answer)) => Some(answer.clone()),
            Some(Reaction::Waiting(waiting)) => match waiting.answer {
                WaitingFor::Separate { .. } => Some(encode::empty(
                    MessageType::Acknowledgement,
                    message.message_id(),
                )),
                WaitingFor::Piggyback { .. }
                | WaitingFor::NonConfirmable { .. }
                | WaitingFor::Durability => None,
            },
            Some(Reaction::Silent) => None,
        };
        count(&mut self.stats.duplicates);
        if let Some(answer) = answer {
            self.transmit(peer, answer);
        }
        true
    }

    /// Refuses a message whose options forbid to process it (section 5.4.1); `false` if it may be processed. What is sent
    /// depends on the message alone, so its duplicates need not be remembered.
    fn refuse(&mut self, peer: P, message: &Message) -> bool {
        let Some(code) = message.refusal() else {
            return false;
        };
        count(&mut self.stats.bad_options);
        if message.message_type() == MessageType::Confirmable {
            if message.code().is_request() {
                let response = Response::new(code);
                self.transmit(
                    peer,
                    encode::response(
                        &response,
                        MessageType::Acknowledgement,
                        message.message_id(),
                        message.token(),
                    ),
                );
            } else {
                self.reject(peer, message);
            }
        }
        true
    }

    /// Enters a new message into the ring.
    fn remember(
        &mut self,
        now: Instant,
        message: &Message,
        reaction: Reaction<Waiting<P>>,
    ) -> Option<IncomingId> {
        let lifetime = if message.message_type() == MessageType::Confirmable {
            self.parameters.exchange_lifetime()
        } else {
            self.parameters.non_lifetime()
        };
        let id = self.incoming.insert(
            now,
            message.message_id(),
            message.token(),
            lifetime,
            reaction,
        );
        if id.is_none() {
            count(&mut self.stats.ring_full);
        }
        id
    }

    fn transmit(&mut self, peer: P, datagram: Bytes) {
        count(&mut self.stats.sent);
        self.transmits.push_back((peer, datagram));
    }

    /// The next message id that is not outstanding.
    fn fresh_message_id(&mut self) -> MessageId {
        let MessageId(next) = self.next_message_id;
        let fresh = (0..=u16::MAX)
            .map(|step| MessageId(next.wrapping_add(step)))
            .find(|&id| !self.retransmissions.holds(id))
            .unwrap_or(self.next_message_id);
        self.next_message_id = MessageId(fresh.0.wrapping_add(1));
        fresh
    }
}

/// What is kept of a message that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting<P> {
    peer: P,
    answer: WaitingFor,
    asked: Asked,
}

/// What a message waits for.
#[derive(Clone, Copy, Debug)]
enum WaitingFor {
    /// A confirmable request: its response rides on the acknowledgement, which goes alone at `until`.
    Piggyback { token: Token, until: Instant },
    /// A confirmable request that was acknowledged: its response.
    Separate { token: Token },
    /// A non-confirmable request: its response.
    NonConfirmable { token: Token },
    /// A confirmable notification: that its content is durable.
    Durability,
}

/// After how many timeouts of one request its blocks get smaller (`rulings` 2.13).
const TIMEOUTS_UNTIL_SMALLER: u8 = 2;
/// How many non-confirmable notifications are remembered.
const NOTIFICATIONS: usize = 16;

/// Adds one to a counter.
pub(super) fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    #[test]
    fn c10_an_outstanding_message_id_is_passed_over() {
        let mut messages = Reliability::new(Arc::new(TransmissionParameters::default()), [5; 32]);
        messages.next_message_id = MessageId(0xfffe);
        let send = |messages: &mut Reliability<u8>| {
            let mut sent = None;
            messages.send_confirmable(start(), 1, Purpose::Response, |id| {
                sent = Some(id.0);
                encode::empty(MessageType::Confirmable, id)
            });
            sent
        };
        assert_eq!(send(&mut messages), Some(0xfffe));
        assert_eq!(send(&mut messages), Some(0xffff));
        assert_eq!(send(&mut messages), Some(0), "the ids wrap");
        messages.next_message_id = MessageId(0xfffe);
        assert_eq!(send(&mut messages), Some(1));
        messages.retransmissions.stop(MessageId(0xffff));
        messages.next_message_id = MessageId(0xfffe);
        assert_eq!(send(&mut messages), Some(0xffff));
    }
}
