//! Requests and responses in both roles (RFC 7252 sections 4 and 5, RFC 7641): all CoAP state of one device.
//!
//! A state machine: datagrams, time and calls come in, datagrams and events go out. Retransmission, de-duplication and
//! the order of notifications are each a file of their own; this one ties them to tokens.
//!
//! Invariants: what a device sends can make nothing grow without bound; a timer runs only while something is open; the
//! bytes that a duplicate gets are those that the first message got.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    code::Code,
    deduplication::{Deduplication, IncomingId, Reaction},
    encode::{self, Request, Response},
    message::{Message, MessageId, MessageType, Token},
    observe::{NotificationOrder, Observation},
    parameters::TransmissionParameters,
    random::Random,
    rate_limit::RateLimit,
    retransmission::{Confirmable, Due, Purpose, Retransmissions, later},
};

/// All CoAP state that belongs to one registration, or to one simulated device. `P` is the peer's address.
///
/// After every input (`handle_*`, `request` and its like, `respond` and its like) drain [`Self::poll_transmit`] and
/// [`Self::poll_event`] to `None`, then arm one timer for [`Self::poll_timeout`]. `now` never goes backwards.
#[derive(Debug)]
pub struct Exchanges<P> {
    parameters: Arc<TransmissionParameters>,
    random: Random,
    token_prefix: TokenPrefix,
    next_message_id: MessageId,
    incoming: Deduplication<Waiting<P>>,
    retransmissions: Retransmissions<P>,
    requests: Vec<OpenRequest<P>>,
    observations: Vec<Observation<P>>,
    pings: RateLimit,
    transmits: VecDeque<(P, Bytes)>,
    events: VecDeque<Event<P>>,
    stats: CoapStats,
}

impl<P: Copy + Eq + Debug> Exchanges<P> {
    /// Nothing is open. The same `seed` and inputs give the same outputs.
    pub fn new(
        parameters: Arc<TransmissionParameters>,
        seed: [u8; 32],
        token_prefix: TokenPrefix,
    ) -> Self {
        let mut random = Random::from_seed(seed);
        let mut first_id = [0; 2];
        random.fill(&mut first_id);
        Self {
            incoming: Deduplication::new(parameters.dedup_ring),
            pings: RateLimit::new(parameters.pings_per_second),
            parameters,
            random,
            token_prefix,
            next_message_id: MessageId(u16::from_be_bytes(first_id)),
            retransmissions: Retransmissions::new(),
            requests: Vec::new(),
            observations: Vec::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            stats: CoapStats::default(),
        }
    }

    /// Takes one datagram from `peer`. Whatever it contains, the message layer answers or drops it.
    pub fn handle_datagram(&mut self, now: Instant, peer: P, datagram: Bytes) {
        count(&mut self.stats.received);
        let message = match Message::parse(datagram) {
            Ok(message) => message,
            Err(error) => {
                count(&mut self.stats.format_errors);
                if let Some(reset) = error.reset() {
                    self.reset(peer, reset);
                }
                return;
            }
        };
        match message.message_type() {
            MessageType::Acknowledgement => self.handle_acknowledgement(now, peer, message),
            MessageType::Reset => self.handle_reset(peer, &message),
            MessageType::Confirmable | MessageType::NonConfirmable if message.code().is_empty() => {
                self.handle_ping(now, peer, &message);
            }
            MessageType::Confirmable | MessageType::NonConfirmable => {
                if self.handle_duplicate(now, peer, &message) {
                    count(&mut self.stats.duplicates);
                } else if message.code().is_request() {
                    self.handle_request(now, peer, message);
                } else {
                    self.handle_response(now, peer, message);
                }
            }
        }
    }

    /// Does what is due: retransmits, gives up, acknowledges requests whose answer takes long.
    pub fn handle_timeout(&mut self, now: Instant) {
        let mut acknowledged = Vec::new();
        for (message_id, waiting) in self.incoming.all_waiting_mut() {
            if let WaitingFor::Piggyback { token, until } = waiting.answer
                && until <= now
            {
                waiting.answer = WaitingFor::Separate { token };
                acknowledged.push((waiting.peer, message_id));
            }
        }
        for (peer, message_id) in acknowledged {
            self.transmit(
                peer,
                encode::empty(MessageType::Acknowledgement, message_id),
            );
        }
        while let Some(due) = self.retransmissions.next_due(now) {
            match due {
                Due::Repeat(peer, datagram) => {
                    count(&mut self.stats.retransmissions);
                    self.transmit(peer, datagram);
                }
                Due::GivenUp(Purpose::Response) => count(&mut self.stats.timeouts),
                Due::GivenUp(Purpose::Notification(token)) => {
                    self.stats.timeouts += 1;
                    self.events.push_back(Event::NotificationFailed { token });
                }
                Due::GivenUp(Purpose::Request(token)) => self.fail(token, Failure::Timeout),
            }
        }
        while let Some(token) = self
            .requests
            .iter()
            .find(|request| request.deadline <= now)
            .map(|request| request.token)
        {
            self.fail(token, Failure::Timeout);
        }
    }

    /// The next datagram to send, and to whom.
    pub fn poll_transmit(&mut self) -> Option<(P, Bytes)> {
        self.transmits.pop_front()
    }

    /// The next event for the owner.
    pub fn poll_event(&mut self) -> Option<Event<P>> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next; `None` while nothing is open.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let acknowledgements =
            self.incoming
                .all_waiting()
                .filter_map(|waiting| match waiting.answer {
                    WaitingFor::Piggyback { until, .. } => Some(until),
                    WaitingFor::Separate { .. }
                    | WaitingFor::NonConfirmable { .. }
                    | WaitingFor::Durability => None,
                });
        let deadlines = self.requests.iter().map(|request| request.deadline);
        acknowledgements
            .chain(deadlines)
            .chain(self.retransmissions.poll_timeout())
            .min()
    }

    /// Sends a confirmable request at once, with a fresh token, which is returned.
    ///
    /// The caller keeps NSTART (see [`Self::open_requests`]). `timeout` bounds the whole exchange, from `now` until the
    /// response; the request also fails when MAX_RETRANSMIT retransmissions stay unacknowledged. One
    /// [`Event::Response`] or [`Event::Failed`] follows.
    pub fn request(
        &mut self,
        now: Instant,
        peer: P,
        request: &Request,
        timeout: Duration,
    ) -> Token {
        let token = self.fresh_token();
        self.send_request(now, peer, request, timeout, token, Kind::Plain);
        token
    }

    /// Sends a request with Observe 0 like [`Self::request`] (RFC 7641 section 3.1).
    ///
    /// When the answer is a 2.05 (or 2.04, as old devices send) that carries Observe, `token` is an observation from
    /// then on and lives until it is cancelled or the device ends it.
    pub fn observe(
        &mut self,
        now: Instant,
        peer: P,
        request: &Request,
        timeout: Duration,
    ) -> Token {
        let token = self.fresh_token();
        let request = Request {
            observe: Some(0),
            ..request.clone()
        };
        self.send_request(now, peer, &request, timeout, token, Kind::Observe);
        token
    }

    /// Asks the device to end an observation: `request` with Observe 1 and the token of the observation (RFC 7641
    /// section 3.6). It should be the request that made the observation.
    ///
    /// The observation lives until the answer, whatever its code, arrives. `false`: no observation has this token, and
    /// nothing was sent.
    pub fn cancel_observation(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        request: &Request,
        timeout: Duration,
    ) -> bool {
        let known = self
            .observations
            .iter()
            .any(|observation| observation.token == token)
            && !self.requests.iter().any(|request| request.token == token);
        if known {
            let request = Request {
                observe: Some(1),
                ..request.clone()
            };
            self.send_request(now, peer, &request, timeout, token, Kind::CancelObservation);
        }
        known
    }

    /// Forgets an observation or an open request, without an event; what still arrives for it gets RST. `false`:
    /// nothing has this token.
    pub fn cancel(&mut self, token: Token) -> bool {
        let before = (self.observations.len(), self.requests.len());
        self.observations
            .retain(|observation| observation.token != token);
        self.requests.retain(|request| request.token != token);
        self.retransmissions.stop_request(token);
        before != (self.observations.len(), self.requests.len())
    }

    /// Fails every open request with [`Failure::Cancelled`] and forgets all observations: the device registered anew,
    /// or is gone.
    pub fn cancel_all(&mut self) {
        self.observations.clear();
        self.cancel_requests();
    }

    /// Fails every open request with [`Failure::Cancelled`]; observations stay.
    pub fn cancel_requests(&mut self) {
        while let Some(token) = self.requests.first().map(|request| request.token) {
            self.fail(token, Failure::Cancelled);
        }
    }

    /// The device is reached at another address: observations, open requests and retransmissions continue there.
    pub fn rebind(&mut self, peer: P) {
        for observation in &mut self.observations {
            observation.peer = peer;
        }
        for request in &mut self.requests {
            request.peer = peer;
        }
        self.retransmissions.rebind(peer);
    }

    /// Answers a request: in the acknowledgement while none was sent, else with a confirmable message of its own; a
    /// non-confirmable request with a non-confirmable response (RFC 7252 section 5.2).
    ///
    /// A request that was answered before, or has aged away, is left alone.
    pub fn respond(&mut self, now: Instant, request: IncomingId, response: &Response) {
        let Some((message_id, &Waiting { peer, answer })) = self.incoming.waiting(now, request)
        else {
            return;
        };
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
                let message_id = self.fresh_message_id();
                let datagram =
                    encode::response(response, MessageType::Confirmable, message_id, token);
                self.send_confirmable(now, peer, message_id, Purpose::Response, datagram);
                if self
                    .retransmissions
                    .limit_responses(self.parameters.dedup_ring)
                {
                    count(&mut self.stats.timeouts);
                }
            }
            WaitingFor::NonConfirmable { token } => {
                self.incoming.settle(request, Reaction::Silent);
                let message_id = self.fresh_message_id();
                self.transmit(
                    peer,
                    encode::response(response, MessageType::NonConfirmable, message_id, token),
                );
            }
            WaitingFor::Durability => {}
        }
    }

    /// Notifies the peer on the observation it named by `token` (RFC 7641 section 4.5); the owner keeps observers and
    /// their sequence numbers. A confirmable one is followed by [`Event::NotificationAcknowledged`] or
    /// [`Event::NotificationFailed`].
    pub fn notify(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        notification: &Response,
        confirmable: bool,
    ) {
        let message_id = self.fresh_message_id();
        let message_type = if confirmable {
            MessageType::Confirmable
        } else {
            MessageType::NonConfirmable
        };
        let datagram = encode::response(notification, message_type, message_id, token);
        if confirmable {
            let purpose = Purpose::Notification(token);
            self.send_confirmable(now, peer, message_id, purpose, datagram);
        } else {
            self.transmit(peer, datagram);
        }
    }

    /// Never answers this request or notification: no acknowledgement, and duplicates stay silent while the ring
    /// remembers it.
    pub fn ignore(&mut self, incoming: IncomingId) {
        self.incoming.settle(incoming, Reaction::Silent);
    }

    /// Acknowledges a notification whose acknowledgement was deferred; duplicates are acknowledged from here on too.
    pub fn acknowledge(&mut self, now: Instant, notification: IncomingId) {
        if let Some((message_id, &Waiting { peer, answer })) =
            self.incoming.waiting(now, notification)
            && matches!(answer, WaitingFor::Durability)
        {
            let datagram = encode::empty(MessageType::Acknowledgement, message_id);
            self.incoming
                .settle(notification, Reaction::Answered(datagram.clone()));
            self.transmit(peer, datagram);
        }
    }

    /// Requests that occupy an NSTART slot: sent, and neither acknowledged nor answered.
    pub fn open_requests(&self) -> usize {
        self.retransmissions.requests()
    }

    /// How many observations there are.
    pub fn observations(&self) -> usize {
        self.observations.len()
    }

    /// What has been counted since the start.
    pub const fn stats(&self) -> CoapStats {
        self.stats
    }

    fn handle_acknowledgement(&mut self, now: Instant, peer: P, message: Message) {
        let message_id = message.message_id();
        match self.retransmissions.find(peer, message_id) {
            Some(Purpose::Request(token)) if message.code().is_empty() => {
                self.retransmissions.stop(message_id);
                self.events.push_back(Event::Acknowledged { token });
            }
            Some(Purpose::Request(token))
                if message.code().is_response() && message.token() == token =>
            {
                // Rejecting an acknowledgement means to ignore it (section 4.2).
                if message.refusal().is_some() {
                    count(&mut self.stats.bad_options);
                } else {
                    self.complete(now, peer, token, message);
                }
            }
            Some(Purpose::Response) if message.code().is_empty() => {
                self.retransmissions.stop(message_id)
            }
            Some(Purpose::Notification(token)) if message.code().is_empty() => {
                self.retransmissions.stop(message_id);
                self.events
                    .push_back(Event::NotificationAcknowledged { token });
            }
            Some(_) | None => count(&mut self.stats.unmatched),
        }
    }

    fn handle_reset(&mut self, peer: P, message: &Message) {
        count(&mut self.stats.resets_received);
        let message_id = message.message_id();
        match self.retransmissions.find(peer, message_id) {
            Some(_) | None if !message.code().is_empty() => count(&mut self.stats.format_errors),
            Some(Purpose::Request(token)) => self.fail(token, Failure::Reset),
            Some(Purpose::Response) => self.retransmissions.stop(message_id),
            Some(Purpose::Notification(token)) => {
                self.retransmissions.stop(message_id);
                self.events.push_back(Event::NotificationFailed { token });
            }
            None => count(&mut self.stats.unmatched),
        }
    }

    /// An empty CON asks for a RST (section 4.3); an empty NON says nothing.
    fn handle_ping(&mut self, now: Instant, peer: P, message: &Message) {
        if message.message_type() == MessageType::NonConfirmable {
            count(&mut self.stats.format_errors);
            return;
        }
        count(&mut self.stats.pings);
        if self.pings.admit(now) {
            self.reset(
                peer,
                encode::empty(MessageType::Reset, message.message_id()),
            );
        }
    }

    /// Gives a duplicate what it gets; `false` if the message is new.
    fn handle_duplicate(&mut self, now: Instant, peer: P, message: &Message) -> bool {
        let answer = match self.incoming.duplicate(now, message.message_id()) {
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
        if let Some(answer) = answer {
            self.transmit(peer, answer);
        }
        true
    }

    fn handle_request(&mut self, now: Instant, peer: P, message: Message) {
        let token = message.token();
        let confirmable = message.message_type() == MessageType::Confirmable;
        if let Some(code) = message.refusal() {
            // The answer depends on the message alone, so its duplicates need not be remembered.
            count(&mut self.stats.bad_options);
            if confirmable {
                let response = Response::new(code);
                self.transmit(
                    peer,
                    encode::response(
                        &response,
                        MessageType::Acknowledgement,
                        message.message_id(),
                        token,
                    ),
                );
            }
            return;
        }
        let answer = if confirmable {
            let until = later(now, self.parameters.separate_response_after());
            WaitingFor::Piggyback { token, until }
        } else {
            WaitingFor::NonConfirmable { token }
        };
        if let Some(id) = self.remember(now, &message, Reaction::Waiting(Waiting { peer, answer }))
        {
            self.events.push_back(Event::Request { id, peer, message });
        }
    }

    /// A separate response, a notification, or a stray.
    fn handle_response(&mut self, now: Instant, peer: P, message: Message) {
        let token = message.token();
        let confirmable = message.message_type() == MessageType::Confirmable;
        let message_id = message.message_id();
        if message.refusal().is_some() {
            count(&mut self.stats.bad_options);
            if confirmable {
                self.reset(peer, encode::empty(MessageType::Reset, message_id));
            }
            return;
        }
        let answers_request = self.requests.iter().any(|request| {
            request.token == token && request.peer == peer && request.is_answered_by(&message)
        });
        if answers_request {
            let acknowledgement =
                confirmable.then(|| encode::empty(MessageType::Acknowledgement, message_id));
            let reaction = acknowledgement
                .clone()
                .map_or(Reaction::Silent, Reaction::Answered);
            if self.remember(now, &message, reaction).is_some() {
                if let Some(acknowledgement) = acknowledgement {
                    self.transmit(peer, acknowledgement);
                }
                self.complete(now, peer, token, message);
            }
        } else if self
            .observations
            .iter()
            .any(|observation| observation.token == token && observation.peer == peer)
        {
            self.handle_notification(now, peer, message);
        } else {
            count(&mut self.stats.unknown_tokens);
            self.reset(peer, encode::empty(MessageType::Reset, message_id));
        }
    }

    fn handle_notification(&mut self, now: Instant, peer: P, message: Message) {
        let token = message.token();
        let confirmable = message.message_type() == MessageType::Confirmable;
        let reaction = if confirmable {
            let answer = WaitingFor::Durability;
            Reaction::Waiting(Waiting { peer, answer })
        } else {
            Reaction::Silent
        };
        let Some(id) = self.remember(now, &message, reaction) else {
            return;
        };
        let value = message.observe().filter(|_| message.code().is_success());
        let mut fresh = true;
        match value {
            // An error, or a success without Observe, is the last message of an observation (RFC 7641 section 3.2).
            None => self
                .observations
                .retain(|observation| observation.token != token),
            Some(value) => {
                for observation in &mut self.observations {
                    if observation.token == token {
                        fresh = observation.order.accept(now, value);
                    }
                }
            }
        }
        if !fresh {
            count(&mut self.stats.stale_notifications);
        }
        count(&mut self.stats.notifications);
        self.events.push_back(Event::Notification {
            token,
            message,
            deferred: confirmable.then_some(id),
            fresh,
            ended: value.is_none(),
        });
    }

    /// Hands over the response to an open request.
    fn complete(&mut self, now: Instant, peer: P, token: Token, message: Message) {
        self.retransmissions.stop_request(token);
        let Some(index) = self
            .requests
            .iter()
            .position(|request| request.token == token)
        else {
            return;
        };
        let observing = match self.requests.remove(index).kind {
            Kind::Plain => false,
            Kind::Observe => match message.observe() {
                Some(value) if matches!(message.code(), Code::CONTENT | Code::CHANGED) => {
                    self.observations.push(Observation {
                        token,
                        peer,
                        order: NotificationOrder::new(now, value),
                    });
                    true
                }
                Some(_) | None => false,
            },
            Kind::CancelObservation => {
                self.observations
                    .retain(|observation| observation.token != token);
                false
            }
        };
        self.events.push_back(Event::Response {
            token,
            message,
            observing,
        });
    }

    /// Ends an open request without a response.
    fn fail(&mut self, token: Token, failure: Failure) {
        self.retransmissions.stop_request(token);
        self.requests.retain(|request| request.token != token);
        if failure == Failure::Timeout {
            count(&mut self.stats.timeouts);
        }
        self.events.push_back(Event::Failed { token, failure });
    }

    fn send_request(
        &mut self,
        now: Instant,
        peer: P,
        request: &Request,
        timeout: Duration,
        token: Token,
        kind: Kind,
    ) {
        let message_id = self.fresh_message_id();
        let datagram = encode::request(request, MessageType::Confirmable, message_id, token);
        self.requests.push(OpenRequest {
            token,
            peer,
            deadline: later(now, timeout),
            kind,
        });
        self.send_confirmable(now, peer, message_id, Purpose::Request(token), datagram);
    }

    fn send_confirmable(
        &mut self,
        now: Instant,
        peer: P,
        message_id: MessageId,
        purpose: Purpose,
        datagram: Bytes,
    ) {
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

    /// Enters a new message into the ring; `None` if the ring is full of messages that wait.
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
        let id = self
            .incoming
            .insert(now, message.message_id(), lifetime, reaction);
        if id.is_none() {
            count(&mut self.stats.ring_full);
        }
        id
    }

    fn reset(&mut self, peer: P, datagram: Bytes) {
        count(&mut self.stats.resets_sent);
        self.transmit(peer, datagram);
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

    fn fresh_token(&mut self) -> Token {
        let mut bytes = [0; Token::MAX_LENGTH];
        self.random.fill(&mut bytes);
        for (target, prefix) in bytes.iter_mut().zip(self.token_prefix) {
            *target = prefix;
        }
        Token::from(bytes)
    }
}

fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

/// The first bytes of every token: they say which server, and which of its shards, is to get the response.
pub type TokenPrefix = [u8; 2];

/// What the owner of [`Exchanges`] learns.
#[derive(Clone, Debug)]
pub enum Event<P> {
    /// A request from the device, handed over once. A confirmable one that nobody answers within
    /// `separate_response_after_ms` is acknowledged empty, and its answer then goes separately.
    Request {
        /// To be given to [`Exchanges::respond`] or [`Exchanges::ignore`].
        id: IncomingId,
        /// Where it came from.
        peer: P,
        /// The request.
        message: Message,
    },
    /// The final response to [`Exchanges::request`], or the first one to [`Exchanges::observe`].
    Response {
        /// The token of the request.
        token: Token,
        /// The response.
        message: Message,
        /// An observation exists.
        observing: bool,
    },
    /// A notification of an observation.
    Notification {
        /// The token of the observation.
        token: Token,
        /// The notification.
        message: Message,
        /// To be given to [`Exchanges::acknowledge`] once its content is durable; `None` for a non-confirmable one.
        deferred: Option<IncomingId>,
        /// It is newer than all before it (RFC 7641 section 3.4).
        fresh: bool,
        /// It was the last one: an error, or without Observe.
        ended: bool,
    },
    /// An empty ACK came: the response follows separately, the NSTART slot is free.
    Acknowledged {
        /// The token of the request.
        token: Token,
    },
    /// A request failed.
    Failed {
        /// The token of the request.
        token: Token,
        /// Why.
        failure: Failure,
    },
    /// A confirmable notification of ours was acknowledged.
    NotificationAcknowledged {
        /// The token of the peer's observation.
        token: Token,
    },
    /// A confirmable notification of ours was rejected or never acknowledged: the observation is over (RFC 7641
    /// section 4.5).
    NotificationFailed {
        /// The token of the peer's observation.
        token: Token,
    },
}

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No acknowledgement after the last retransmission, or no response within the exchange's time.
    Timeout,
    /// The device answered with RST.
    Reset,
    /// [`Exchanges::cancel_all`] was called.
    Cancelled,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What [`Exchanges`] counts.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CoapStats {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl CoapStats {
            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)+ }
            }
        }

        impl std::ops::AddAssign for CoapStats {
            fn add_assign(&mut self, other: Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)+
            }
        }
    };
}

counters! {
    /// Datagrams received.
    received,
    /// Datagrams sent, retransmissions and repeated answers included.
    sent,
    /// Messages received that were duplicates.
    duplicates,
    /// Retransmissions sent.
    retransmissions,
    /// Datagrams that were no well-formed message, and messages whose type and code do not go together.
    format_errors,
    /// Messages refused for an option that was unknown, out of bounds or repeated.
    bad_options,
    /// RST sent.
    resets_sent,
    /// RST received.
    resets_received,
    /// ACK and RST that answer nothing outstanding.
    unmatched,
    /// Responses and notifications with a token that is not known from this peer.
    unknown_tokens,
    /// Notifications handed over, stale ones included.
    notifications,
    /// Notifications that were older than one before them.
    stale_notifications,
    /// Requests and separate responses given up.
    timeouts,
    /// Messages dropped because the ring was full of messages that wait.
    ring_full,
    /// Pings received.
    pings,
}

/// A request without its response.
#[derive(Clone, Copy, Debug)]
struct OpenRequest<P> {
    token: Token,
    peer: P,
    deadline: Instant,
    kind: Kind,
}

impl<P> OpenRequest<P> {
    /// Whether a message with its token and peer is its response. Notifications may still arrive on the token of an
    /// observation that is being cancelled; its answer is what carries no Observe.
    fn is_answered_by(&self, message: &Message) -> bool {
        self.kind != Kind::CancelObservation || message.observe().is_none()
    }
}

/// What a response means for observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Plain,
    /// It may start one.
    Observe,
    /// It ends the one with its token.
    CancelObservation,
}

/// What is kept of a message that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting<P> {
    peer: P,
    answer: WaitingFor,
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
