//! The bootstrap server: gives a device the accounts of its servers (OMA LwM2M Core, "Bootstrap Interface").
//!
//! [`Bootstrap`] is a state machine without I/O or clock for one endpoint name. After every input drain
//! [`Bootstrap::poll_output`] to `None`, then call [`Bootstrap::handle_timeout`] at [`Bootstrap::poll_timeout`]. A device
//! asks by Bootstrap-Request; the platform says in one answer who it is and what it is to get; then Discover, Deletes,
//! Writes and Finish follow, one at a time. [`actor`] is the actix shell around it.
//!
//! Invariants: nobody learns of an endpoint but who proves to be it, and the accounts come from the very document that
//! admitted it; a bootstrap session under way ends for another one only when the platform has admitted that; keys leave by
//! Write alone, and nothing survives the session; `now` never goes backwards, and nothing a device sends makes a call fail
//! or panic.

mod accounts;
pub mod actor;
mod admission;
#[cfg(test)]
mod fixture;
mod plan;
mod request;
mod session;
mod settings;
mod stats;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::VecDeque,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    coap::{
        Code, ContentFormat, Event, Exchanges, Failure, IncomingId, Message, ParseError, Random,
        RateLimit, Response, Token, message,
    },
    platform::{
        Answer, Question, QuestionError, Reply, RequestId, SessionId, SessionInfo, Uplink,
        credentials::Admission,
        log_line::{self, LOG_KEY},
        name::EndpointName,
        peer::{Peer, PeerId, PeerIdentity},
        time::{Now, UnixMillis},
        uplink::{KeyValue, Readings},
    },
};

use admission::Candidate;
use session::BootstrapSession;

pub use request::{BootstrapRequest, Target};
pub use session::Cause;
pub use settings::BootstrapSessionSettings;
pub use stats::BootstrapStats;

/// Bootstrap of one endpoint. See the module's description.
#[derive(Debug)]
pub struct Bootstrap {
    name: EndpointName,
    settings: Arc<BootstrapSessionSettings>,
    random: Random,
    /// The message layers of the peers that ask for this endpoint.
    layers: Vec<Layer>,
    candidate: Option<Candidate>,
    session: Option<BootstrapSession>,
    /// When a session that has ended is forgotten: repetitions of its messages are answered until then.
    linger: Option<Instant>,
    /// Bootstrap-Requests that are taken up, without security and with it: who has none cannot keep the others out.
    requests: [RateLimit; 2],
    /// Messages of all peers.
    rate: Option<RateLimit>,
    /// What leads here, to be known before anything leaves: the device may answer at once.
    bindings: VecDeque<Output>,
    outputs: VecDeque<Output>,
    next_question: u64,
    last_log: UnixMillis,
    stats: BootstrapStats,
    closed: bool,
}

/// The message layer of one peer: message ids of different peers are not comparable (RFC 7252 section 4.4).
#[derive(Debug)]
struct Layer {
    peer: PeerId,
    exchanges: Exchanges<PeerId>,
    bound: bool,
}

/// What the world must do.
#[derive(Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// To whom.
        peer: PeerId,
        /// One CoAP message.
        payload: Bytes,
    },
    /// Hand a message to the platform. A question that is not accepted is answered by the shell in the platform's place.
    Uplink(Uplink),
    /// From now on this peer leads here.
    Bind(PeerId),
    /// This peer leads here no longer.
    Unbind(PeerId),
    /// A request that names another endpoint came from a peer of this one: route it by what it names.
    Misrouted {
        /// The sender.
        peer: Peer,
        /// The datagram.
        payload: Bytes,
    },
    /// Nothing is left to do; nothing follows.
    Closed,
}

impl Bootstrap {
    /// Nothing is under way. Tokens, message ids and session ids follow from `seed`.
    pub fn new(
        name: EndpointName,
        settings: Arc<BootstrapSessionSettings>,
        seed: [u8; 32],
    ) -> Self {
        Self {
            name,
            random: Random::from_seed(seed),
            layers: Vec::new(),
            candidate: None,
            session: None,
            linger: None,
            requests: [RateLimit::every(REQUEST_INTERVAL, REQUEST_BURST); 2],
            rate: settings.rate,
            settings,
            bindings: VecDeque::new(),
            outputs: VecDeque::new(),
            next_question: 0,
            last_log: UnixMillis::default(),
            stats: BootstrapStats::default(),
            closed: false,
        }
    }

    /// Takes a datagram from `peer`. What exceeds the rate of a device is dropped unread: a confirmable message comes
    /// again.
    pub fn handle_datagram(&mut self, now: Now, peer: &Peer, payload: Bytes) {
        if let Some(rate) = &mut self.rate
            && message::expects_work(&payload)
            && !rate.admit(now.mono)
        {
            self.stats.limited += 1;
            return;
        }
        self.handle_message(now, peer, Message::parse(payload), None);
    }

    /// Takes a message from `peer`. `admission` is what the security layer found out about it, if it did; else the platform
    /// is asked.
    pub fn handle_message(
        &mut self,
        now: Now,
        peer: &Peer,
        parsed: Result<Message, ParseError>,
        admission: Option<&Arc<Admission>>,
    ) {
        if let Ok(message) = &parsed
            && Target::of(message) == Target::BootstrapRequest
            && BootstrapRequest::read(message, admission.map(AsRef::as_ref))
                .is_ok_and(|request| request.endpoint != self.name)
        {
            let payload = message.datagram().clone();
            let peer = peer.clone();
            return self.outputs.push_back(Output::Misrouted { peer, payload });
        }
        let Some(layer) = self.layer_for(peer.id) else {
            self.stats.dropped_requests += 1;
            return;
        };
        layer.exchanges.handle_parsed(now.mono, peer.id, parsed);
        self.handle_events(now, peer, admission);
        self.close_if_done();
    }

    /// Takes the platform's reply to a question.
    pub fn handle_reply(&mut self, now: Now, reply: Reply) {
        // Log lines carry no id, so nothing else is answered.
        if let Reply::Answer { id, result } = reply
            && let Some(candidate) = self.candidate.take_if(|own| own.question == id)
        {
            let admission = match result {
                Ok(Answer::Credentials(admission)) => Ok(admission),
                Ok(_) => Err(QuestionError::Invalid),
                Err(error) => Err(error),
            };
            self.decide(now, candidate, admission);
        }
        self.close_if_done();
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        for index in 0..self.layers.len() {
            let Some(layer) = self.layers.get_mut(index) else {
                break;
            };
            layer.exchanges.handle_timeout(now.mono);
            let peer = layer.peer;
            if let Some(peer) = self.identity_of(peer) {
                self.handle_events(now, &peer, None);
            }
        }
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.deadline <= now.mono)
        {
            self.end(now, Err(Cause::RequestFailed));
        }
        if self.linger.is_some_and(|end| end <= now.mono) {
            self.linger = None;
        }
        self.close_if_done();
    }

    /// The security context of `peer` has gone, so nothing reaches it any more.
    pub fn handle_disconnect(&mut self, now: Now, peer: PeerId) {
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.peer.id == peer)
        {
            self.end(now, Err(Cause::RequestFailed));
        }
        self.candidate.take_if(|own| own.peer.id == peer);
        self.layers.retain(|layer| layer.peer != peer);
        self.outputs.push_back(Output::Unbind(peer));
        self.close_if_done();
    }

    /// Ends what is under way because the server stops; nothing is said to the device.
    pub fn stop(&mut self, now: Now) {
        self.end(now, Err(Cause::Cancelled));
        (self.candidate, self.linger) = (None, None);
        self.close_if_done();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(binding) = self.bindings.pop_front() {
            return Some(binding);
        }
        for layer in &mut self.layers {
            if let Some((peer, payload)) = layer.exchanges.poll_transmit() {
                return Some(Output::Transmit { peer, payload });
            }
        }
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        let layers = self.layers.iter();
        layers
            .filter_map(|layer| layer.exchanges.poll_timeout())
            .chain(self.session.as_ref().map(|session| session.deadline))
            .chain(self.linger)
            .min()
    }

    /// Counters since the machine was made.
    pub fn stats(&self) -> BootstrapStats {
        let mut stats = self.stats;
        for layer in &self.layers {
            stats.coap += layer.exchanges.stats();
        }
        stats
    }

    /// Whether a device is being bootstrapped, or asks to be.
    pub const fn is_busy(&self) -> bool {
        self.session.is_some() || self.candidate.is_some()
    }

    /// The endpoint's name.
    pub const fn name(&self) -> &EndpointName {
        &self.name
    }

    fn layer(&mut self, peer: PeerId) -> Option<&mut Layer> {
        self.layers.iter_mut().find(|layer| layer.peer == peer)
    }

    /// The layer of a peer, which is made if there is room: those that matter are not given up.
    fn layer_for(&mut self, peer: PeerId) -> Option<&mut Layer> {
        if self.layer(peer).is_none() {
            if self.layers.len() >= MAX_PEERS {
                let unused = self
                    .layers
                    .iter()
                    .position(|layer| self.identity_of(layer.peer).is_none())?;
                let unused = self.layers.remove(unused);
                self.stats.coap += unused.exchanges.stats();
                if unused.bound {
                    self.bindings.push_back(Output::Unbind(unused.peer));
                }
            }
            let exchanges = self.settings.exchanges(&mut self.random);
            self.layers.push(Layer {
                peer,
                exchanges,
                bound: false,
            });
        }
        self.layer(peer)
    }

    /// Who is at a peer that matters: that of the session, or of the candidate.
    fn identity_of(&self, peer: PeerId) -> Option<Peer> {
        let session = self.session.as_ref().map(|session| &session.peer);
        let candidate = self.candidate.as_ref().map(|candidate| &candidate.peer);
        let mut known = session.into_iter().chain(candidate);
        known.find(|known| known.id == peer).cloned()
    }

    fn handle_events(&mut self, now: Now, peer: &Peer, admission: Option<&Arc<Admission>>) {
        while let Some(event) = self
            .layer(peer.id)
            .and_then(|layer| layer.exchanges.poll_event())
        {
            match event {
                Event::Request { id, message, .. } => {
                    self.handle_request(now, peer, id, &message, admission);
                }
                Event::Response { token, message, .. } => {
                    self.handle_response(now, token, &message);
                }
                Event::Failed { token, failure } => self.handle_failure(now, token, failure),
                // Nothing is observed, on either side.
                Event::Acknowledged { .. }
                | Event::Notification { .. }
                | Event::NotificationAcknowledged { .. }
                | Event::NotificationFailed { .. } => {}
            }
        }
    }

    fn handle_request(
        &mut self,
        now: Now,
        peer: &Peer,
        id: IncomingId,
        message: &Message,
        admission: Option<&Arc<Admission>>,
    ) {
        let read = match Target::of(message) {
            Target::BootstrapRequest => {
                BootstrapRequest::read(message, admission.map(AsRef::as_ref))
            }
            Target::WrongMethod => Err(Box::new(Response::new(Code::METHOD_NOT_ALLOWED))),
            Target::Unknown => Err(Box::new(Response::new(Code::NOT_FOUND))),
        };
        let format = match read {
            Ok(request) => request.format,
            Err(response) => return self.respond(now, peer.id, id, &response),
        };
        if let Some(candidate) = &mut self.candidate {
            if candidate.peer == *peer {
                // It has asked again before the answer came, which goes to the later request.
                let before = std::mem::replace(&mut candidate.request, id);
                candidate.format = format;
                if let Some(layer) = self.layer(peer.id) {
                    layer.exchanges.ignore(before);
                }
            } else {
                // An impostor must not push out who was first; whoever is serious asks again.
                self.stats.dropped_requests += 1;
                if let Some(layer) = self.layer(peer.id) {
                    layer.exchanges.forget(id);
                }
            }
            return;
        }
        let secured = usize::from(peer.identity != PeerIdentity::Unsecured);
        if !self.requests[secured].admit(now.mono) {
            self.stats.limited += 1;
            let response = Response {
                max_age: Some(RETRY_AFTER_RATE_S),
                ..Response::new(Code::TOO_MANY_REQUESTS)
            };
            return self.respond(now, peer.id, id, &response);
        }
        let candidate = Candidate {
            peer: peer.clone(),
            request: id,
            format,
            question: RequestId(self.next_question),
        };
        self.next_question += 1;
        if let Some(admission) = admission {
            let admission = Ok(Arc::clone(admission));
            return self.decide(now, candidate, admission);
        }
        let credentials_id = peer.identity.credentials_id(self.name.as_str()).to_owned();
        self.outputs.push_back(Output::Uplink(Uplink::Question {
            id: candidate.question,
            question: Question::Credentials { id: credentials_id },
        }));
        self.candidate = Some(candidate);
    }

    fn request(
        &mut self,
        now: Now,
        peer: PeerId,
        operation: text::Operation,
        path: String,
        request: &crate::coap::Request,
    ) {
        let token = self.layer(peer).map(|layer| {
            layer
                .exchanges
                .request(now.mono, peer, request, STEP_TIMEOUT)
        });
        if let (Some(session), Some(token)) = (&mut self.session, token) {
            session.sent(token, operation, path);
        }
    }

    fn handle_response(&mut self, now: Now, token: Token, response: &Message) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some((operation, path)) = session.take(token) else {
            return;
        };
        let (peer, platform) = (session.peer.id, Arc::clone(&session.platform));
        let mut lines = Vec::new();
        let answered = session.answered(operation, &path, response, &self.name, |line| {
            lines.push(line);
        });
        let next = match answered {
            ControlFlow::Continue(()) => session.next().map_err(Err),
            ControlFlow::Break(result) => Err(result),
        };
        for line in lines {
            self.log(now, &platform, line);
        }
        match next {
            Ok((operation, path, request)) => self.request(now, peer, operation, path, &request),
            Err(result) => self.end(now, result),
        }
    }

    fn handle_failure(&mut self, now: Now, token: Token, failure: Failure) {
        let Some(session) = &mut self.session else {
            return;
        };
        let Some((operation, path)) = session.take(token) else {
            return;
        };
        let platform = Arc::clone(&session.platform);
        self.log(now, &platform, text::no_answer(operation, &path, failure));
        let cause = match operation {
            text::Operation::Finish => Cause::FinishFailed,
            text::Operation::Discover | text::Operation::Delete | text::Operation::Write => {
                Cause::RequestFailed
            }
        };
        self.stats.timed_out += u64::from(failure == Failure::Timeout);
        self.end(now, Err(cause));
    }

    /// Ends the session, if there is one. The core hears of it once (`measured.md` M11).
    fn end(&mut self, now: Now, result: Result<(), Cause>) {
        let Some(session) = self.session.take() else {
            return;
        };
        if let Some(layer) = self.layer(session.peer.id) {
            layer.exchanges.cancel_requests();
        }
        self.log(now, &session.platform, text::ended(result));
        self.outputs
            .push_back(Output::Uplink(Uplink::BootstrapReport {
                session: session.platform,
                last_activity: now.wall,
            }));
        match result {
            Ok(()) => self.stats.finished += 1,
            Err(Cause::NoBootstrapConfig) => self.stats.rejected += 1,
            Err(
                Cause::Cancelled
                | Cause::FinishFailed
                | Cause::InternalServerError
                | Cause::RequestFailed,
            ) => self.stats.failed += 1,
        }
        self.linger = Some(now.mono + self.settings.coap.exchange_lifetime());
    }

    fn respond(&mut self, now: Now, peer: PeerId, id: IncomingId, response: &Response) {
        if let Some(layer) = self.layer(peer) {
            layer.exchanges.respond(now.mono, id, response);
        }
    }

    /// Ends when nothing is under way and nothing may be asked for again.
    fn close_if_done(&mut self) {
        if self.is_busy() || self.linger.is_some() || std::mem::replace(&mut self.closed, true) {
            return;
        }
        let bound = self.layers.iter().filter(|layer| layer.bound);
        self.outputs
            .extend(bound.map(|layer| Output::Unbind(layer.peer)));
        self.outputs.push_back(Output::Closed);
    }

    /// Writes a line to the `transportLog` series; lines of one device never share a millisecond.
    fn log(&mut self, now: Now, session: &Arc<SessionInfo>, line: String) {
        if !self.settings.log_enabled {
            return;
        }
        let ts = now.wall.max(UnixMillis(self.last_log.0.saturating_add(1)));
        self.last_log = ts;
        let line = log_line::truncated(line, self.settings.log_max_length);
        let readings = vec![Readings {
            ts,
            values: vec![(LOG_KEY.to_owned(), KeyValue::String(line))],
        }];
        self.outputs.push_back(Output::Uplink(Uplink::Telemetry {
            id: None,
            session: Arc::clone(session),
            readings,
        }));
    }
}

/// Peers with which one endpoint may talk at a time; more than one only if several claim to be it, or one has moved.
const MAX_PEERS: usize = 4;
/// How long the device may take for one request.
const STEP_TIMEOUT: Duration = Duration::from_secs(120);
/// How many Bootstrap-Requests for one endpoint are taken up: six at once, six a minute.
const REQUEST_BURST: u32 = 6;
const REQUEST_INTERVAL: Duration = Duration::from_secs(10);
/// When a device may try again that has asked too often, seconds.
const RETRY_AFTER_RATE_S: u32 = 30;
