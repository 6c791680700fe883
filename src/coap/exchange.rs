//! Requests and responses in both roles (RFC 7252 section 5, RFC 7641): all CoAP state of one device.
//!
//! A state machine: datagrams, time and calls come in, datagrams and events go out. The message layer under it
//! (`reliability`) sees to acknowledgements, duplicates and retransmission; here tokens are matched, and bodies that take
//! several messages (`blockwise`) are sent and put together, so the owner sees whole requests and whole responses.
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
    blockwise::{Block, Bodies, Reassembled, Reassembly, Step, Transfer},
    code::Code,
    deduplication::IncomingId,
    encode::{self, Request, Response},
    event::{CoapStats, Event, Failure},
    message::{Message, MessageType, ParseError, Token},
    observe::{MadeBy, NotificationOrder, Observation},
    parameters::TransmissionParameters,
    reliability::{Acknowledge, Overdue, Received, Reliability, count},
    retransmission::{Purpose, later},
};

/// All CoAP state that belongs to one registration, or to one simulated device. `P` is the peer's address.
///
/// After every input (`handle_*`, `request` and its like, `respond` and its like) drain [`Self::poll_transmit`] and
/// [`Self::poll_event`] to `None`, then arm one timer for [`Self::poll_timeout`]. `now` never goes backwards.
#[derive(Debug)]
pub struct Exchanges<P> {
    messages: Reliability<P>,
    token_prefix: TokenPrefix,
    bodies: Bodies,
    reassembly: Reassembly<()>,
    requests: Vec<OpenRequest<P>>,
    observations: Vec<Observation<P>>,
    events: VecDeque<Event<P>>,
}

impl<P: Copy + Eq + Debug> Exchanges<P> {
    /// Nothing is open. The same `seed` and inputs give the same outputs. `bodies` is shared with other devices.
    pub fn new(
        parameters: Arc<TransmissionParameters>,
        bodies: Bodies,
        seed: [u8; 32],
        token_prefix: TokenPrefix,
    ) -> Self {
        Self {
            messages: Reliability::new(parameters, seed),
            token_prefix,
            reassembly: Reassembly::new(bodies.clone(), MAX_BODIES),
            bodies,
            requests: Vec::new(),
            observations: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes one datagram from `peer`. Whatever it contains, the message layer answers or drops it.
    pub fn handle_datagram(&mut self, now: Instant, peer: P, datagram: Bytes) {
        self.handle_parsed(now, peer, Message::parse(datagram));
    }

    /// Like [`Self::handle_datagram`], for an owner that had to look into the datagram.
    pub fn handle_parsed(&mut self, now: Instant, peer: P, parsed: Result<Message, ParseError>) {
        match self.messages.handle(now, peer, parsed) {
            None => {}
            Some(Received::Acknowledged(purpose)) => match purpose {
                Purpose::Request(token) => {
                    if let Some(request) = self.requests.iter().find(|own| own.token == token)
                        && request.is_the_owners()
                    {
                        let token = request.handle;
                        self.events.push_back(Event::Acknowledged { token });
                    }
                }
                Purpose::Notification(token) => {
                    self.events
                        .push_back(Event::NotificationAcknowledged { token });
                }
                Purpose::Response => {}
            },
            Some(Received::Reset(purpose)) => self.give_up(purpose, Failure::Reset),
            Some(Received::Piggybacked(message)) => self.complete(now, peer, message, None),
            Some(Received::Request(message)) => self.handle_request(now, peer, message),
            Some(Received::Response(message)) => self.handle_response(now, peer, message),
        }
        self.send_next_blocks(now, false);
    }

    /// Does what is due: retransmits, gives up, acknowledges requests whose answer takes long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.messages.acknowledge_slow_requests(now);
        while let Some(overdue) = self.messages.retransmit(now) {
            match overdue {
                Overdue::GivenUp(purpose) => self.give_up(purpose, Failure::Timeout),
                Overdue::Unanswered {
                    token,
                    peer,
                    datagram,
                } => {
                    let request = self.requests.iter_mut().find(|own| own.token == token);
                    if let Some(request) = request
                        && request.transfer.shrink()
                    {
                        request.waits = true;
                        self.messages.stop_request(token);
                    } else {
                        self.messages.repeat(peer, datagram);
                    }
                }
            }
        }
        while let Some(token) = self
            .requests
            .iter()
            .find(|request| request.due().is_some_and(|deadline| deadline <= now))
            .map(|request| request.token)
        {
            self.fail(token, Failure::Timeout);
        }
        self.send_next_blocks(now, false);
    }

    /// The next datagram to send, and to whom.
    pub fn poll_transmit(&mut self) -> Option<(P, Bytes)> {
        self.messages.poll_transmit()
    }

    /// The next event for the owner.
    pub fn poll_event(&mut self) -> Option<Event<P>> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next; `None` while nothing is open.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.requests
            .iter()
            .filter_map(OpenRequest::due)
            .chain(self.messages.poll_timeout())
            .min()
    }

    /// Sends a confirmable request at once, with a fresh token, which is returned and names it from here on.
    ///
    /// The caller keeps NSTART (see [`Self::open_requests`]). A body that does not fit into one message leaves in blocks,
    /// each with a token of its own but the last, once no older one is under way to the same path; a response in blocks is
    /// fetched to its end. `timeout` bounds the
    /// exchange of each block, from its sending until its response; the request also fails when MAX_RETRANSMIT
    /// retransmissions stay unacknowledged. One [`Event::Response`] or [`Event::Failed`] follows.
    pub fn request(
        &mut self,
        now: Instant,
        peer: P,
        request: &Request,
        timeout: Duration,
    ) -> Token {
        let token = self.fresh_token();
        self.open(now, peer, request.clone(), timeout, token, Kind::Plain);
        token
    }

    /// Like [`Self::request`], but after the first block each one waits for [`Self::send_yielding`], so that the owner can
    /// send others in between. While it waits it takes no NSTART slot, and `timeout` does not run.
    pub fn request_yielding(
        &mut self,
        now: Instant,
        peer: P,
        request: &Request,
        timeout: Duration,
    ) -> Token {
        let token = self.fresh_token();
        self.open(now, peer, request.clone(), timeout, token, Kind::Yielding);
        token
    }

    /// Sends the next block of the requests that yielded, as far as slots are free.
    pub fn send_yielding(&mut self, now: Instant) {
        self.send_next_blocks(now, true);
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
        self.open(now, peer, request, timeout, token, Kind::Observe);
        token
    }

    /// Asks the device to end an observation: `request` with Observe 1 and the token of the observation (RFC 7641
    /// section 3.6). It should be the request that made the observation.
    ///
    /// The observation lives until the answer, whatever its code, arrives. `false`: no observation has this token, or it
    /// is being cancelled already; nothing was sent.
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
            .any(|observation| observation.token == token);
        let pending = self.requests.iter().any(|request| request.handle == token);
        if !known || pending {
            return false;
        }
        let request = Request {
            observe: Some(1),
            ..request.clone()
        };
        self.open(now, peer, request, timeout, token, Kind::CancelObservation);
        true
    }

    /// Takes an observation up that was made before this process began: `request` made it, with `token`, and `order` is the
    /// Observe value of the freshest notification that is known.
    pub fn resume_observation(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        request: &Request,
        timeout: Duration,
        order: u32,
    ) {
        let request = Request {
            observe: Some(0),
            ..request.clone()
        };
        self.observations.push(Observation {
            token,
            peer,
            order: NotificationOrder::new(now, order),
            request: Box::new(MadeBy { request, timeout }),
        });
    }

    /// The Observe value of the freshest notification of an observation.
    pub fn notification_order(&self, token: Token) -> Option<u32> {
        let mut observations = self.observations.iter();
        let observation = observations.find(|observation| observation.token == token)?;
        Some(observation.order.value())
    }

    /// Forgets an observation or an open request, without an event; what still arrives for it gets RST. `false`:
    /// nothing has this token.
    pub fn cancel(&mut self, now: Instant, token: Token) -> bool {
        let mut known = self.end_observation(token);
        if let Some(index) = self.requests.iter().position(|own| own.handle == token) {
            let request = self.requests.remove(index);
            self.messages.stop_request(request.token);
            known = true;
        }
        // What was cancelled may have had the slot that another one waits for.
        self.send_next_blocks(now, false);
        known
    }

    /// Fails every open request with [`Failure::Cancelled`] and forgets all observations: the device registered anew,
    /// or is gone.
    pub fn cancel_all(&mut self) {
        self.observations.clear();
        self.cancel_those(|_| true);
    }

    /// Fails every open request with [`Failure::Cancelled`]. Observations stay, and notifications are fetched to their
    /// end: their first block was acknowledged.
    pub fn cancel_requests(&mut self) {
        self.cancel_those(OpenRequest::is_the_owners);
    }

    fn cancel_those(&mut self, ends: impl Fn(&OpenRequest<P>) -> bool) {
        while let Some(request) = self.requests.iter().find(|request| ends(request)) {
            let token = request.token;
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
        self.messages.rebind(peer);
    }

    /// Answers a request: in the acknowledgement while none was sent, else with a confirmable message of its own; a
    /// non-confirmable request with a non-confirmable response (RFC 7252 section 5.2).
    ///
    /// A request that was answered before, or has aged away, is left alone.
    pub fn respond(&mut self, now: Instant, request: IncomingId, response: &Response) {
        self.messages.respond(now, request, response);
    }

    /// Notifies the peer on the observation that it named by `token` (RFC 7641 section 4.5); the owner keeps observers and
    /// their sequence numbers. [`Event::NotificationAcknowledged`] or [`Event::NotificationFailed`] follows a confirmable
    /// notification; [`Event::NotificationFailed`] may follow the others.
    pub fn notify(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        notification: &Response,
        confirmable: bool,
    ) {
        self.messages
            .notify(now, peer, token, notification, confirmable);
    }

    /// Never answers this request or notification: no acknowledgement, and duplicates stay silent while the ring
    /// remembers it.
    pub fn ignore(&mut self, incoming: IncomingId) {
        self.messages.ignore(incoming);
    }

    /// Gives up on a notification whose content could not be made durable: it stays unacknowledged, and when the device
    /// repeats it, it is handed over anew.
    pub fn forget(&mut self, notification: IncomingId) {
        self.messages.forget(notification);
    }

    /// Acknowledges a notification whose acknowledgement was deferred; duplicates are acknowledged from here on too.
    pub fn acknowledge(&mut self, now: Instant, notification: IncomingId) {
        self.messages.acknowledge(now, notification);
    }

    /// Requests that occupy an NSTART slot: sent, and neither acknowledged nor answered, or waiting to send their next
    /// block.
    pub fn open_requests(&self) -> usize {
        let waiting = self
            .requests
            .iter()
            .filter(|request| request.waits && !request.yields());
        self.messages
            .outstanding_requests()
            .saturating_add(waiting.count())
    }

    /// Whether an observation has this token.
    pub fn is_observing(&self, token: Token) -> bool {
        let mut observations = self.observations.iter();
        observations.any(|observation| observation.token == token)
    }

    /// Requests without response, whether they occupy a slot or not.
    pub fn unanswered_requests(&self) -> usize {
        self.requests.len()
    }

    /// How many observations there are.
    pub fn observations(&self) -> usize {
        let beginning = |token: Token| {
            self.requests
                .iter()
                .any(|request| request.handle == token && request.kind == Kind::Observe)
        };
        self.observations
            .iter()
            .filter(|observation| !beginning(observation.token))
            .count()
    }

    /// How many message ids of the device are remembered; at most `dedup_ring`.
    pub fn remembered_messages(&self) -> usize {
        self.messages.remembered()
    }

    /// What has been counted since the start.
    pub const fn stats(&self) -> CoapStats {
        self.messages.stats
    }

    /// A request, or a block of one.
    fn handle_request(&mut self, now: Instant, peer: P, message: Message) {
        let Some(id) = self.messages.accept_request(now, peer, &message) else {
            return;
        };
        let is_reserved = |block: Block| block.szx > Block::MAX_SZX;
        let reassembled = if message.block2().is_some_and(is_reserved) {
            Reassembled::Answer(Response::new(Code::BAD_REQUEST))
        } else if message.is_assembled() {
            Reassembled::Whole(message)
        } else {
            let limit = self.messages.parameters().max_body(&message);
            self.reassembly.receive(now, (), message, limit)
        };
        match reassembled {
            Reassembled::Whole(message) => {
                self.events.push_back(Event::Request { id, peer, message });
            }
            Reassembled::Answer(response) => {
                if response.code.is_error() {
                    count(&mut self.messages.stats.refused_blocks);
                }
                self.messages.respond(now, id, &response);
            }
        }
    }

    /// A separate response, a notification, or a stray.
    fn handle_response(&mut self, now: Instant, peer: P, message: Message) {
        let token = message.token();
        let request = self
            .requests
            .iter()
            .find(|request| request.token == token && request.peer == peer);
        let observed = self
            .observations
            .iter()
            .any(|observation| observation.token == token && observation.peer == peer);
        if let Some(request) = request.filter(|request| request.is_answered_by(&message)) {
            let is_reading = request.is_observed_by(&message);
            let acknowledge = if is_reading {
                Acknowledge::Later
            } else {
                Acknowledge::Now
            };
            if let Some(id) = self
                .messages
                .accept_response(now, peer, &message, acknowledge)
            {
                self.complete(now, peer, message, is_reading.then_some(id));
            }
        } else if observed {
            self.handle_notification(now, peer, message);
        } else {
            count(&mut self.messages.stats.unknown_tokens);
            self.messages.reject(peer, &message);
        }
    }

    fn handle_notification(&mut self, now: Instant, peer: P, message: Message) {
        let token = message.token();
        if self
            .requests
            .iter()
            .any(|request| request.handle == token && request.kind == Kind::Observe)
        {
            // The first representation is still being fetched: the owner does not know the observation yet, so the
            // device is left to repeat this one.
            return;
        }
        // An error, or a success without Observe, is the last message of an observation (RFC 7641 section 3.2).
        let value = message.observe().filter(|_| message.code().is_success());
        let is_part = message.code().is_success()
            && message
                .block2()
                .is_some_and(|block| block.more || block.number > 0);
        let continues = value.is_some() && is_part;
        // The first block is acknowledged at once, or the device would not serve the others (`rulings` 2.7).
        let acknowledge = if continues {
            Acknowledge::Now
        } else {
            Acknowledge::Later
        };
        let Some(id) = self
            .messages
            .accept_response(now, peer, &message, acknowledge)
        else {
            return;
        };
        let fresh = match value {
            None => {
                self.end_observation(token);
                true
            }
            Some(value) => self
                .observations
                .iter_mut()
                .find(|observation| observation.token == token)
                .is_some_and(|observation| observation.order.accept(now, value)),
        };
        count(&mut self.messages.stats.notifications);
        if !fresh {
            count(&mut self.messages.stats.stale_notifications);
        }
        if fresh {
            self.abandon_rest(token);
        }
        if continues {
            if fresh {
                self.fetch_rest(now, peer, message);
            }
            return;
        }
        let message = if is_part {
            // There is no observation any more whose rest could be fetched, and a part is no value.
            count(&mut self.messages.stats.incomplete_notifications);
            message.with_body(Bytes::new())
        } else {
            message
        };
        let confirmable = message.message_type() == MessageType::Confirmable;
        self.events.push_back(Event::Notification {
            token,
            message,
            deferred: confirmable.then_some(id),
            fresh,
            ended: value.is_none(),
        });
    }

    /// Forgets an observation; `false`: there was none.
    fn end_observation(&mut self, token: Token) -> bool {
        let before = self.observations.len();
        self.observations
            .retain(|observation| observation.token != token);
        self.abandon_rest(token);
        before != self.observations.len()
    }

    /// Fetches no more of a notification of this observation.
    fn abandon_rest(&mut self, observation: Token) {
        let kind = Kind::Notification(observation);
        if let Some(index) = self.requests.iter().position(|own| own.kind == kind) {
            let request = self.requests.remove(index);
            self.messages.stop_request(request.token);
            count(&mut self.messages.stats.incomplete_notifications);
        }
    }

    /// Fetches the other blocks of a notification with a request of its own (RFC 7959 section 2.6).
    fn fetch_rest(&mut self, now: Instant, peer: P, message: Message) {
        let observation = message.token();
        let Some(made_by) = self
            .observations
            .iter()
            .find(|own| own.token == observation)
            .map(|own| &own.request)
        else {
            return;
        };
        let szx = self.messages.parameters().preferred_szx();
        let transfer = Transfer::of_notification(&made_by.request, szx);
        let timeout = made_by.timeout;
        let token = self.fresh_token();
        self.requests.push(OpenRequest {
            handle: token,
            token,
            peer,
            deadline: later(now, timeout),
            timeout,
            kind: Kind::Notification(observation),
            waits: false,
            transfer: Box::new(transfer),
        });
        self.advance(now, peer, token, message, None);
    }

    /// Takes the response to an open request. `deferred`: its acknowledgement is put off.
    fn complete(&mut self, now: Instant, peer: P, message: Message, deferred: Option<IncomingId>) {
        let token = message.token();
        self.messages.stop_request(token);
        let Some(request) = self.requests.iter().find(|own| own.token == token) else {
            return;
        };
        if let (Kind::Observe, Some(value), true) =
            (request.kind, message.observe(), token == request.handle)
            && matches!(message.code(), Code::CONTENT | Code::CHANGED)
        {
            self.observations.push(Observation {
                token,
                peer,
                order: NotificationOrder::new(now, value),
                request: Box::new(MadeBy {
                    request: request.transfer.request().clone(),
                    timeout: request.timeout,
                }),
            });
        }
        self.advance(now, peer, token, message, deferred);
    }

    /// Gives a response to the transfer that waits for it.
    fn advance(
        &mut self,
        now: Instant,
        peer: P,
        token: Token,
        message: Message,
        deferred: Option<IncomingId>,
    ) {
        let limit = self.messages.parameters().max_response_body_bytes;
        let Some(request) = self.requests.iter_mut().find(|own| own.token == token) else {
            return;
        };
        let step = match request.kind {
            // The answer ends the observation, whatever it holds.
            Kind::CancelObservation if request.transfer.is_decisive() => Step::Done(message),
            Kind::Notification(observation) if message.token() == observation => request
                .transfer
                .begin_download(now, message, &self.bodies, limit),
            Kind::Plain
            | Kind::Yielding
            | Kind::Observe
            | Kind::CancelObservation
            | Kind::Notification(_) => {
                request
                    .transfer
                    .handle_response(now, message, &self.bodies, limit)
            }
        };
        match step {
            Step::Send => {
                request.waits = true;
                request.peer = peer;
                request.deadline = later(now, request.timeout);
            }
            Step::Failed => self.fail(token, Failure::Blockwise),
            Step::Done(message) => return self.finish(token, message, deferred),
        }
        if let Some(id) = deferred {
            self.messages.acknowledge(now, id);
        }
    }

    /// Hands over a response that is whole.
    fn finish(&mut self, token: Token, message: Message, deferred: Option<IncomingId>) {
        let Some(index) = self.requests.iter().position(|own| own.token == token) else {
            return;
        };
        let request = self.requests.remove(index);
        let handle = request.handle;
        let observing = match request.kind {
            Kind::Notification(observation) => {
                if message.code().is_error() {
                    count(&mut self.messages.stats.incomplete_notifications);
                    return;
                }
                return self.events.push_back(Event::Notification {
                    token: observation,
                    message,
                    deferred: None,
                    fresh: true,
                    ended: false,
                });
            }
            Kind::Plain | Kind::Yielding => false,
            Kind::Observe => {
                if message.code().is_error() {
                    // The first block may have begun one.
                    self.observations.retain(|own| own.token != handle);
                }
                self.observations.iter().any(|own| own.token == handle)
            }
            Kind::CancelObservation => {
                self.end_observation(handle);
                false
            }
        };
        self.events.push_back(Event::Response {
            token: handle,
            message,
            observing,
            deferred,
        });
    }

    /// Ends what a confirmable message was sent for.
    fn give_up(&mut self, purpose: Purpose, failure: Failure) {
        match purpose {
            Purpose::Request(token) => return self.fail(token, failure),
            Purpose::Notification(token) => {
                self.events.push_back(Event::NotificationFailed { token })
            }
            Purpose::Response => {}
        }
        if failure == Failure::Timeout {
            count(&mut self.messages.stats.timeouts);
        }
    }

    /// Ends an open request without a response.
    fn fail(&mut self, token: Token, failure: Failure) {
        self.messages.stop_request(token);
        if failure == Failure::Timeout {
            count(&mut self.messages.stats.timeouts);
        }
        let Some(index) = self.requests.iter().position(|own| own.token == token) else {
            return;
        };
        let request = self.requests.remove(index);
        if !request.is_the_owners() {
            return count(&mut self.messages.stats.incomplete_notifications);
        }
        let token = request.handle;
        if request.kind == Kind::Observe {
            self.observations.retain(|own| own.token != token);
        }
        self.events.push_back(Event::Failed { token, failure });
    }

    fn open(
        &mut self,
        now: Instant,
        peer: P,
        request: Request,
        timeout: Duration,
        handle: Token,
        kind: Kind,
    ) {
        let szx = self.messages.parameters().preferred_szx();
        let transfer = Transfer::new(request, szx);
        // The blocks of two bodies for one path would mix in the device (RFC 9175 section 3.3): one after the other.
        let waits = self
            .requests
            .iter()
            .any(|own| own.transfer.shares_target(&transfer));
        self.requests.push(OpenRequest {
            handle,
            token: handle,
            peer,
            deadline: later(now, timeout),
            timeout,
            kind,
            waits,
            transfer: Box::new(transfer),
        });
        if !waits {
            self.send_block(now, handle);
        }
    }

    /// Sends the next block of every transfer that waits for a free slot (RFC 7252 section 4.7): of those that yielded, or
    /// of the others.
    fn send_next_blocks(&mut self, now: Instant, yielding: bool) {
        while self.messages.outstanding_requests() < self.messages.nstart()
            && let Some(token) = self.next_waiting(yielding)
        {
            self.send_block(now, token);
        }
    }

    /// The request whose block is to be sent next, if one waits and no older one has a body for the same path.
    fn next_waiting(&self, yielding: bool) -> Option<Token> {
        let mut waiting = self
            .requests
            .iter()
            .filter(|request| request.waits && request.yields() == yielding);
        let next = waiting.find(|request| {
            self.requests
                .iter()
                .take_while(|older| older.handle != request.handle)
                .all(|older| !older.transfer.shares_target(&request.transfer))
        });
        next.map(|request| request.token)
    }

    /// Sends what the request with this token has to send, with its handle as the token if the response may be final: that
    /// token will name the observation.
    fn send_block(&mut self, now: Instant, token: Token) {
        let Some(index) = self.requests.iter().position(|own| own.token == token) else {
            return;
        };
        let decisive = |own: &OpenRequest<P>| own.transfer.is_decisive();
        let fresh = if self.requests.get(index).is_some_and(decisive) {
            None
        } else {
            Some(self.fresh_token())
        };
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        request.waits = false;
        if request.yields() {
            request.deadline = later(now, request.timeout);
        }
        request.token = fresh.unwrap_or(request.handle);
        let (peer, token) = (request.peer, request.token);
        let message = request.transfer.next();
        self.messages
            .send_confirmable(now, peer, Purpose::Request(token), |message_id| {
                encode::request(&message, MessageType::Confirmable, message_id, token)
            });
    }

    fn fresh_token(&mut self) -> Token {
        let mut bytes = [0; Token::MAX_LENGTH];
        self.messages.random.fill(&mut bytes);
        for (target, prefix) in bytes.iter_mut().zip(self.token_prefix) {
            *target = prefix;
        }
        Token::from(bytes)
    }
}

/// The first bytes of every token: they say which server, and which of its shards, is to get the response.
pub type TokenPrefix = [u8; 2];

/// A request without its response.
#[derive(Debug)]
struct OpenRequest<P> {
    /// The token that the owner knows.
    handle: Token,
    /// The token of the message that is under way, or was last.
    token: Token,
    peer: P,
    deadline: Instant,
    timeout: Duration,
    kind: Kind,
    /// Its next block is to be sent.
    waits: bool,
    transfer: Box<Transfer>,
}

impl<P> OpenRequest<P> {
    /// Whether a message with its token and peer is its response. While a block waits to be sent, none is due. Notifications
    /// may still arrive on the token of an observation that is being cancelled; its answer is what carries no Observe.
    fn is_answered_by(&self, message: &Message) -> bool {
        !self.waits && (self.kind != Kind::CancelObservation || message.observe().is_none())
    }

    /// Whether a message that answers it is as good as a notification: it makes the observation, and is whole.
    fn is_observed_by(&self, message: &Message) -> bool {
        self.kind == Kind::Observe
            && message.message_type() == MessageType::Confirmable
            && message.observe().is_some()
            && matches!(message.code(), Code::CONTENT | Code::CHANGED)
            && !message.block2().is_some_and(|block| block.more)
    }

    /// Whether each block waits for the owner.
    fn yields(&self) -> bool {
        self.kind == Kind::Yielding
    }

    /// When it fails.
    fn due(&self) -> Option<Instant> {
        (!(self.waits && self.yields())).then_some(self.deadline)
    }

    /// Whether the owner asked for it.
    const fn is_the_owners(&self) -> bool {
        self.kind.observation().is_none()
    }
}

/// What a response means for observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing.
    Plain,
    /// Nothing; its blocks wait for the owner.
    Yielding,
    /// It may start one.
    Observe,
    /// It ends the one with its token.
    CancelObservation,
    /// It continues a notification of this one.
    Notification(Token),
}

impl Kind {
    const fn observation(self) -> Option<Token> {
        match self {
            Self::Notification(token) => Some(token),
            Self::Plain | Self::Yielding | Self::Observe | Self::CancelObservation => None,
        }
    }
}

/// Bodies that one device may send at the same time.
const MAX_BODIES: usize = 2;
