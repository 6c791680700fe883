//! What the server decides for one LwM2M client: registration, observation, telemetry, RPC.
//!
//! [`Endpoint`] is a state machine without I/O or clock. After every input drain [`Endpoint::poll_output`] to `None`,
//! then call [`Endpoint::handle_timeout`] at [`Endpoint::poll_timeout`]. It is composed of small machines that know
//! nothing of each other; this file alone routes between them. [`actor`] is the actix shell around it.
//!
//! Invariants: `now` never goes backwards; nothing a device sends makes a call fail or panic; a registration that is
//! in force is replaced only by one whose credentials the platform accepted; the answer to a Register leaves before
//! the server's own first request; a confirmable notification is acknowledged only when the platform side says that
//! its values are durable.

pub mod actor;
mod attributes;
mod command;
pub mod context;
mod core_memory;
mod delivery;
mod downlink;
#[cfg(test)]
mod fixture;
mod held;
mod history;
mod observation;
pub mod operation;
pub mod ota;
mod persistence;
mod presence;
mod registration;
mod report;
mod resources;
pub mod rpc;
mod send;
pub mod settings;
pub mod stats;
pub mod telemetry;
pub mod text;
mod timer;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    coap::{
        CoapStats, Code, Event, Exchanges, Failure, IncomingId, LastMinute, Message, ParseError,
        Random, RateLimit, Response, Token, message,
    },
    lwm2m::{node::Node, path::Path, registration::RegistrationData},
    platform::{
        Answer, Downlink, Outcome, Question, QuestionError, Reply, RequestId, RpcRequest,
        SessionId, SessionInfo, Uplink, UplinkId,
        credentials::{Admission, SecurityMode},
        downlink::SessionCloseReason,
        package::PackageId,
        peer::{Disconnect, Peer, PeerId, PeerIdentity},
        profile::DeviceProfile,
        time::{Now, UnixMillis},
        uplink::{KeyValue, Readings, RpcBody, RpcId, RpcStatus},
    },
    store::record,
};

use attributes::SharedAttributes;
use context::DeviceContext;
use delivery::{Deliveries, Verdict};
use downlink::{Command, DownlinkQueue, Origin};
use observation::Observations;
use operation::Operation;
use ota::Ota;
use persistence::Persistence;
use presence::Presence;
use registration::{Candidate, Registration, read_register};
use resources::Resources;
use settings::AwakeWindows;
use timer::{Timer, Timers};

pub(crate) use held::DEFAULT_LIMIT as HELD_RPC_LIMIT;
pub use held::HeldRpc;
pub use persistence::{FileGeneration, Ticket, UnusableRecord, Urgency};
pub use registration::{EndpointName, RegistrationId, Target, register_name};
pub use settings::EndpointSettings;
pub use stats::{EndpointStats, EndpointSummary, OpenWork};

/// The registered endpoint. See the module's description.
#[derive(Debug)]
pub struct Endpoint {
    name: EndpointName,
    settings: Arc<EndpointSettings>,
    random: Random,
    /// What the device may send; `None` = without limit.
    rate: Option<RateLimit>,
    /// Registers for which the platform was asked.
    registers: LastMinute,
    /// The message layer of the registration, or of the first Register before there is one.
    exchanges: Exchanges<PeerId>,
    registration: Option<Registration>,
    candidate: Option<Candidate>,
    /// A registration that has ended, while the message layer still answers repetitions of its messages.
    lingering: Option<Registration>,
    downlink: DownlinkQueue,
    /// The places that its RPC take.
    held_rpc: held::Share,
    observations: Observations,
    presence: Presence,
    resources: Resources,
    attributes: SharedAttributes,
    ota: Ota,
    deliveries: Deliveries,
    persistence: Persistence,
    timers: Timers,
    /// What leads here, to be known before anything leaves: the device may answer at once, on any shard.
    bindings: VecDeque<Output>,
    outputs: VecDeque<Output>,
    next_request: u64,
    last_log: UnixMillis,
    /// A persistent RPC timed out: the core sends it again when asked (`rulings` 2.11).
    wants_pending_rpc: bool,
    stats: EndpointStats,
    /// Counters of message layers that were replaced.
    coap_before: CoapStats,
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
    /// Hand a message to the platform. When it is not accepted and carries an [`UplinkId`] or [`RequestId`], the shell
    /// answers in the platform's place.
    Uplink(Uplink),
    /// From now on this key leads here.
    Bind(Key),
    /// This key leads here no longer.
    Unbind(Key),
    /// A message of the device waited this long for the platform.
    Delivered {
        /// From receipt to acknowledgement.
        waited: Duration,
    },
    /// A request that names another endpoint or registration came from this one's peer: route it by what it names.
    Misrouted {
        /// The sender.
        peer: Peer,
        /// The datagram.
        payload: Bytes,
    },
    /// Keep this record of the endpoint, in the place of the one before.
    Save {
        /// The record.
        record: Box<record::Endpoint>,
        /// How to hand it over.
        urgency: Urgency,
    },
    /// There is nothing of the endpoint to be kept any more.
    Forget,
    /// A restored endpoint knows its profile, or has ended.
    Restored,
    /// End the security context of a peer, if it has one.
    Disconnect {
        /// Whose.
        peer: PeerId,
        /// Why.
        cause: Disconnect,
    },
    /// The endpoint has ended; nothing follows.
    Closed(CloseReason),
}

/// What leads to an endpoint, beside its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// Its transport address.
    Peer(PeerId),
    /// The registration id it was given, and how the device proved itself.
    Registration(RegistrationId, SecurityMode),
    /// Its session at the platform.
    Session(Arc<SessionInfo>),
    /// A package that it is to fetch, and where it is.
    Package(PackageId, PeerId),
}

impl Key {
    /// Whether binding one of the two undoes what binding the other did: a session is the same whatever its device is
    /// called by now.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Session(own), Self::Session(other)) => own.id == other.id,
            _ => self == other,
        }
    }
}

/// Why an endpoint has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The device de-registered.
    Deregistered,
    /// The lifetime ended without an Update.
    Expired,
    /// The Register was refused.
    Refused,
    /// The platform took the device away.
    Removed,
    /// The server stops.
    Stopped,
}

impl Endpoint {
    /// An endpoint that has not registered yet. Tokens, message ids, registration ids and session ids follow from
    /// `seed`.
    pub fn new(name: EndpointName, settings: Arc<EndpointSettings>, seed: [u8; 32]) -> Self {
        let mut random = Random::from_seed(seed);
        let exchanges = settings.exchanges(&mut random);
        Self {
            name,
            rate: settings.rate,
            registers: LastMinute::default(),
            held_rpc: held::Share::of(settings.held_rpc.clone()),
            settings,
            random,
            exchanges,
            registration: None,
            candidate: None,
            lingering: None,
            downlink: DownlinkQueue::default(),
            observations: Observations::default(),
            presence: Presence::default(),
            resources: Resources::default(),
            attributes: SharedAttributes::default(),
            ota: Ota::default(),
            deliveries: Deliveries::default(),
            persistence: Persistence::default(),
            timers: Timers::default(),
            bindings: VecDeque::new(),
            outputs: VecDeque::new(),
            next_request: 0,
            last_log: UnixMillis::default(),
            wants_pending_rpc: false,
            stats: EndpointStats::default(),
            coap_before: CoapStats::default(),
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

    /// Takes a message from `peer`, whose payload may have been put together from blocks. `admission` is what the security
    /// layer found out about a device that registers, if it did; else the platform is asked.
    pub fn handle_message(
        &mut self,
        now: Now,
        peer: &Peer,
        parsed: Result<Message, ParseError>,
        admission: Option<&Arc<Admission>>,
    ) {
        match self.layer_for(peer, &parsed) {
            Layer::Own => {
                let is_message = parsed.is_ok();
                if parsed.as_ref().is_ok_and(Target::goes_on) && self.is_elsewhere(peer) {
                    self.follow(peer);
                }
                self.exchanges.handle_parsed(now.mono, peer.id, parsed);
                self.handle_events(now, peer, admission);
                // After the events: what they made the server answer leaves before what waited for the device.
                if is_message
                    && self
                        .registration
                        .as_ref()
                        .is_some_and(|own| own.is_of(peer))
                {
                    self.heard(now);
                }
            }
            Layer::Candidate => {
                if let Some(exchanges) = self
                    .candidate
                    .as_mut()
                    .and_then(|candidate| candidate.exchanges.as_mut())
                {
                    exchanges.handle_parsed(now.mono, peer.id, parsed);
                    self.handle_candidate_events(now);
                }
            }
            Layer::New => self.handle_foreign_register(now, peer, parsed, admission),
            Layer::Busy => self.stats.dropped_registers += 1,
            Layer::Other => {
                if let Ok(message) = parsed {
                    self.outputs.push_back(Output::Misrouted {
                        peer: peer.clone(),
                        payload: message.datagram().clone(),
                    });
                }
            }
        }
        self.pump(now);
    }

    /// Takes a message of the platform.
    pub fn handle_downlink(&mut self, now: Now, downlink: Downlink) {
        match downlink {
            Downlink::Rpc(request) => self.handle_rpc(now, request),
            Downlink::SessionClosed(
                SessionCloseReason::MaxConcurrentSessions | SessionCloseReason::CredentialsUpdated,
            )
            | Downlink::CredentialsChanged
            | Downlink::DeviceDeleted => self.end(now, CloseReason::Removed),
            Downlink::SessionClosed(_) => {
                if let Some(registration) = &self.registration {
                    self.outputs.push_back(Output::Uplink(Uplink::Activity {
                        session: Arc::clone(&registration.session),
                        last_activity: registration.last_update,
                        heartbeat: true,
                    }));
                }
            }
            Downlink::ProfileChanged(profile) => {
                self.change_profile(now, profile);
                self.reconsider_packages(now);
            }
            Downlink::DeviceChanged { device, power } => {
                if let Some(registration) = &mut self.registration {
                    registration.power = power;
                    let session = Arc::new(SessionInfo {
                        id: registration.session.id,
                        device,
                    });
                    registration.session = Arc::clone(&session);
                    self.bindings.push_back(Output::Bind(Key::Session(session)));
                }
            }
            Downlink::ModelChanged {
                object,
                version,
                model,
            } => {
                let supported =
                    |registration: &Registration| registration.data.supported_version(object);
                if self.registration.as_ref().and_then(supported) == Some(version) {
                    self.resources.change_model(object, model);
                }
            }
            Downlink::AttributesDeleted(keys) => self.withdraw_packages(now, &keys),
            Downlink::Attributes { updated, requested } => {
                self.assign_packages(now, &updated);
                self.handle_attributes(now, updated, requested);
            }
        }
        self.pump(now);
    }

    /// Takes the platform's reply to an uplink or a question.
    pub fn handle_reply(&mut self, now: Now, reply: Reply) {
        match reply {
            Reply::Done { id, outcome } => self.handle_done(now, id, outcome),
            Reply::Answer { id, result } => self.handle_answer(now, id, result),
        }
        self.pump(now);
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Now) {
        self.exchanges.handle_timeout(now.mono);
        if let Some(peer) = self
            .registration
            .as_ref()
            .map(|registration| registration.peer.clone())
        {
            self.handle_events(now, &peer, None);
        }
        if let Some(exchanges) = self
            .candidate
            .as_mut()
            .and_then(|candidate| candidate.exchanges.as_mut())
        {
            exchanges.handle_timeout(now.mono);
            self.handle_candidate_events(now);
        }
        self.expire(now);
        if self.timers.expired(Timer::Sleep, now.mono) {
            self.fall_asleep(now);
        }
        if self.timers.expired(Timer::Send, now.mono) {
            self.put_overdue_sends_off(now);
        }
        if self.timers.expired(Timer::Observe, now.mono) {
            self.deliveries.forget_unacknowledged();
            self.observe_again(now);
        }
        if self.timers.expired(Timer::Models, now.mono) {
            if self.is_unconfirmed() {
                self.ask_for_confirmation();
            } else {
                self.ask_models_again();
            }
        }
        if self.timers.expired(Timer::Record, now.mono) {
            self.save_changes();
        }
        self.handle_ota_timeout(now);
        if self.timers.expired(Timer::Linger, now.mono) {
            self.stop_lingering();
            if self.candidate.is_none() {
                self.outputs
                    .push_back(Output::Closed(CloseReason::Deregistered));
            }
        }
        self.pump(now);
    }

    /// Ends the endpoint because the server stops; nothing is said to the device. The session is closed, unless a record
    /// of the endpoint is kept.
    pub fn stop(&mut self, now: Now) {
        if self.settings.record_delay.is_some() && self.registration.is_some() {
            self.suspend(now);
        } else {
            self.end(now, CloseReason::Stopped);
        }
        self.pump(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(binding) = self.bindings.pop_front() {
            return Some(binding);
        }
        if let Some((peer, payload)) = self.exchanges.poll_transmit() {
            return Some(Output::Transmit { peer, payload });
        }
        let candidate = self
            .candidate
            .as_mut()
            .and_then(|candidate| candidate.exchanges.as_mut());
        if let Some((peer, payload)) = candidate.and_then(|exchanges| exchanges.poll_transmit()) {
            return Some(Output::Transmit { peer, payload });
        }
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let candidate = self
            .candidate
            .as_ref()
            .and_then(|candidate| candidate.exchanges.as_ref());
        [
            self.timers.next(),
            self.ota.poll_timeout(),
            self.exchanges.poll_timeout(),
            candidate.and_then(|exchanges| exchanges.poll_timeout()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Counters since the endpoint was made.
    pub fn stats(&self) -> EndpointStats {
        let mut coap = self.coap_before;
        coap += self.exchanges.stats();
        EndpointStats { coap, ..self.stats }
    }

    /// Requests to the device that are under way or wait, but for those that wait for it to wake up, and its messages
    /// that wait for the platform.
    pub fn unfinished(&self) -> usize {
        let requests = if self.presence.admits(self.power_saving()) {
            self.downlink.len()
        } else {
            self.downlink.under_way()
        };
        requests + self.deliveries.len()
    }

    /// What it has open.
    pub fn open_work(&self) -> OpenWork {
        OpenWork {
            rpc: self.downlink.held_rpc(),
            requests: self.downlink.len(),
            exchanges: self.exchanges.unanswered_requests(),
            observations: self.observations.iter().count(),
            relations: self.exchanges.observations(),
            messages: self.deliveries.len(),
            remembered: self.exchanges.remembered_messages(),
            values: self.resources.values().count(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &EndpointName {
        &self.name
    }

    /// What a person wants to know of it; `None` before the first registration and after the last.
    pub fn summary(&self) -> Option<EndpointSummary> {
        let registration = self.registration.as_ref()?;
        Some(EndpointSummary::of(
            &self.name,
            registration,
            &self.presence,
            &self.observations,
            &self.resources,
        ))
    }
}

/// Which message layer a datagram belongs to.
enum Layer {
    /// That of the registration.
    Own,
    /// That of the candidate.
    Candidate,
    /// A new one, for a Register from another peer.
    New,
    /// None: a Register is being decided already. The device repeats its own, an impostor must not push it out.
    Busy,
    /// That of another endpoint, which is now at the address where this one was.
    Other,
}

impl Endpoint {
    /// A registration in force is not disturbed by Registers from elsewhere: those get a message layer of their own
    /// until their credentials are accepted. Everything else that was routed here names this registration.
    fn layer_for(&self, peer: &Peer, parsed: &Result<Message, ParseError>) -> Layer {
        let target = parsed.as_ref().ok().map(Target::of);
        let elsewhere = match (target, parsed, &self.registration) {
            (Some(Target::Register), Ok(message), _) => !self.is_named_by(message),
            (Some(Target::Update(Some(id)) | Target::Deregister(Some(id))), _, Some(own)) => {
                own.id != id
            }
            _ => false,
        };
        if elsewhere {
            return Layer::Other;
        }
        if self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.exchanges.is_some() && candidate.peer.id == peer.id)
        {
            return Layer::Candidate;
        }
        match (self.home(), &self.candidate) {
            _ if target != Some(Target::Register) => Layer::Own,
            (Some(home), _) if home == peer.id => Layer::Own,
            (None, None) => Layer::Own,
            (_, None) => Layer::New,
            (_, Some(_)) => Layer::Busy,
        }
    }

    /// Whether the device of the registration, by what it proved, writes over another security context than before.
    fn is_elsewhere(&self, peer: &Peer) -> bool {
        let own = self.registration.as_ref();
        own.is_some_and(|own| own.peer.id != peer.id && own.is_of(peer))
    }

    /// The peer whose messages the own layer remembers: message ids of another one are not comparable with them (RFC
    /// 7252 section 4.4).
    fn home(&self) -> Option<PeerId> {
        let registered = self.registration.as_ref().map(|own| own.peer.id);
        let first = self
            .candidate
            .as_ref()
            .filter(|candidate| candidate.exchanges.is_none())
            .map(|candidate| candidate.peer.id);
        let ended = self.lingering.as_ref().map(|ended| ended.peer.id);
        registered.or(ended).or(first)
    }

    /// Whether a Register is for this endpoint; one without a name is refused here as well as anywhere.
    fn is_named_by(&self, register: &Message) -> bool {
        let mut names = register
            .uri_query()
            .filter_map(|parameter| parameter.strip_prefix("ep="));
        names.next().is_none_or(|name| name == self.name.as_str())
    }

    /// The name that a device may leave out: it proved to be this endpoint, or will be asked to.
    fn name_of(&self, peer: &Peer) -> Option<EndpointName> {
        (peer.identity != PeerIdentity::Unsecured).then(|| self.name.clone())
    }

    fn handle_events(&mut self, now: Now, peer: &Peer, admission: Option<&Arc<Admission>>) {
        while let Some(event) = self.exchanges.poll_event() {
            match event {
                Event::Request { id, message, .. } => {
                    self.handle_request(now, peer, id, &message, admission);
                }
                Event::Response {
                    token,
                    message,
                    observing,
                    deferred,
                } => self.handle_response(now, token, &message, observing, deferred),
                Event::Notification {
                    token,
                    message,
                    deferred,
                    fresh,
                    ended,
                } => {
                    self.handle_notification(now, token, &message, deferred, fresh, ended);
                }
                // Notifications of ours: the server is not observed.
                Event::Acknowledged { .. }
                | Event::NotificationAcknowledged { .. }
                | Event::NotificationFailed { .. } => {}
                Event::Failed { token, failure } => self.handle_failure(now, token, failure),
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
        let response = match Target::of(message) {
            Target::Register => {
                let known = self.name_of(peer);
                let admitted = |data| self.admit_register(now).map(|()| data);
                match read_register(message, known.as_ref()).and_then(admitted) {
                    Ok(data) => {
                        self.ask_credentials(now, peer.clone(), id, data, None, admission);
                    }
                    Err(response) => self.exchanges.respond(now.mono, id, &response),
                }
                return;
            }
            Target::Update(target) => self.update(now, peer, target, message),
            Target::Deregister(target) => self.deregister(now, peer, target),
            Target::Send => return self.handle_send(now, peer, id, message),
            Target::WrongMethod => Response::new(Code::METHOD_NOT_ALLOWED),
            Target::Unknown => Response::new(Code::NOT_FOUND),
        };
        self.exchanges.respond(now.mono, id, &response);
    }

    /// Writes a line to the `transportLog` series; lines of one device never share a millisecond.
    fn log(&mut self, now: Now, session: &Arc<SessionInfo>, line: impl Into<String>) {
        self.post_with_line(now, session, Vec::new(), line.into());
    }

    /// Posts values together with a line of the `transportLog` series, if that is written.
    fn post_with_line(
        &mut self,
        now: Now,
        session: &Arc<SessionInfo>,
        mut values: Vec<(String, KeyValue)>,
        line: String,
    ) {
        if self.settings.log_enabled {
            let line = text::device_line(line, self.settings.log_max_length);
            values.push((text::LOG_KEY.to_owned(), KeyValue::String(line)));
        }
        if values.is_empty() {
            return;
        }
        let ts = now.wall.max(UnixMillis(self.last_log.0.saturating_add(1)));
        self.last_log = ts;
        self.outputs.push_back(Output::Uplink(Uplink::Telemetry {
            id: None,
            session: Arc::clone(session),
            readings: vec![Readings { ts, values }],
        }));
    }

    fn random_uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    fn ask(&mut self, question: Question) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.outputs
            .push_back(Output::Uplink(Uplink::Question { id, question }));
        id
    }

    fn ask_models_again(&mut self) {
        if let Some(registration) = &self.registration {
            let tenant = registration.session.device.tenant;
            let keys = registration::versions(&registration.data);
            let question = self.ask(Question::Models { tenant, keys });
            self.resources.await_instead(question);
        }
    }

    fn handle_answer(&mut self, now: Now, id: RequestId, result: Result<Answer, QuestionError>) {
        if self
            .candidate
            .as_ref()
            .is_some_and(|candidate| candidate.question == Some(id))
        {
            match result {
                Ok(Answer::Credentials(admission)) => self.decide(now, Ok(admission)),
                Ok(Answer::Models(_) | Answer::Package(_) | Answer::PackageBytes(_)) => {
                    self.decide(now, Err(QuestionError::Invalid));
                }
                Err(error) => self.decide(now, Err(error)),
            }
        } else if self.handle_ota_answer(now, id, &result) {
        } else if self.awaits_confirmation(id) {
            match result {
                Ok(Answer::Credentials(admission)) => self.confirm(now, Ok(admission)),
                Ok(Answer::Models(_) | Answer::Package(_) | Answer::PackageBytes(_)) => {
                    self.confirm(now, Err(QuestionError::Invalid))
                }
                Err(error) => self.confirm(now, Err(error)),
            }
        } else if self.resources.awaits(id) {
            let models = match result {
                Ok(Answer::Models(models)) => models,
                // Without models nothing the device says can be published: whatever waits for them goes on waiting.
                Err(QuestionError::Unavailable | QuestionError::Limited) => {
                    return self.timers.set(Timer::Models, now.mono + MODELS_PAUSE);
                }
                Ok(Answer::Credentials(_) | Answer::Package(_) | Answer::PackageBytes(_))
                | Err(_) => Vec::new(),
            };
            self.resources.learn(id, models);
            if self.resources.are_known() {
                self.begin_work(now);
            }
            if !self.resources.are_awaited() {
                self.read_unread_sends(now);
            }
        }
    }
}

/// How long after a failed question the platform is asked for object models again.
const MODELS_PAUSE: Duration = Duration::from_secs(10);
