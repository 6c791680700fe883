//! The simulated device: registers, keeps its registration alive, answers, notifies.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    coap::{
        Code, ContentFormat, Event, Exchanges, Message, Request, Token, TransmissionParameters,
    },
    dtls::{CipherSuite, client::ClientEnd},
    lwm2m::{
        format::{self, EncodeError, Sample},
        path::Path,
        value::Value,
    },
};

use super::{
    bootstrap::Bootstrap,
    objects::{SimObjects, parse_value},
    observer::Observer,
    updates::Updates,
};

/// How a simulated device behaves.
#[derive(Clone, Debug)]
pub struct SimSettings {
    /// Endpoint client name.
    pub endpoint: String,
    /// Registration lifetime.
    pub lifetime: Duration,
    /// Whether notifications are confirmable.
    pub confirmable: bool,
    /// Whether to register in Queue Mode. The device answers at any time all the same.
    pub queue_mode: bool,
    /// Whether packages for Objects 5 and 9 are installed; else what the server writes there is kept, and no more.
    pub updates: bool,
    /// RFC 7252 section 4.8.
    pub coap: Arc<TransmissionParameters>,
}

/// What happened to a simulated device.
#[derive(Clone, Debug, PartialEq)]
pub enum SimEvent {
    /// A DTLS handshake with a server is complete.
    Secured(CipherSuite),
    /// A DTLS handshake or association with a server has ended; the device begins another one when it has something to
    /// say.
    Unsecured(ClientEnd),
    /// The server accepted the Register.
    Registered {
        /// Registration id.
        id: String,
    },
    /// The server refused it; the device tries again later.
    Refused {
        /// Its answer, with its diagnostic text.
        code: Code,
        /// Diagnostic text, possibly empty.
        text: String,
    },
    /// The server does not answer; the device tries again later.
    Unanswered,
    /// The server accepted an Update.
    Updated,
    /// The server accepted the De-register.
    Deregistered,
    /// The server has taken a Send.
    Sent,
    /// The server refused a Send.
    SendRefused {
        /// Its answer, with its diagnostic text.
        code: Code,
        /// Diagnostic text, possibly empty.
        text: String,
    },
    /// The server did not answer a Send.
    SendUnanswered,
    /// The bootstrap server has given the device its accounts: it is to register at this URI, by
    /// [`SimDevice::register_at`].
    Bootstrapped {
        /// `coap://host:port`
        server: String,
    },
    /// The server observes a path.
    Observed(Path),
    /// The server observes a path no longer.
    Unobserved(Path),
    /// The server read a path.
    Read(Path),
    /// The server wrote a value.
    Written(Path, Value),
    /// The server set or took away notification attributes: the query of its request.
    Attributed(Path, String),
    /// The server added an object instance.
    Created(Path),
    /// The server removed an object instance or resource instance.
    Deleted(Path),
    /// The server executed a resource.
    Executed(Path, String),
    /// A confirmable notification was acknowledged.
    Acknowledged(Path),
    /// A confirmable notification was not acknowledged, and the observation is given up (RFC 7641 section 4.5).
    Unacknowledged(Path),
}

/// See the module's description. `P` is the transport's address type.
#[derive(Debug)]
pub struct SimDevice<P> {
    pub(super) settings: SimSettings,
    pub(super) server: P,
    pub(super) objects: SimObjects,
    pub(super) exchanges: Exchanges<P>,
    pub(super) state: State,
    pub(super) bootstrap: Option<Bootstrap<P>>,
    pub(super) observers: Vec<Observer<P>>,
    /// Confirmable notifications under way, by the token of their observation.
    pub(super) notified: Vec<(Token, Path)>,
    /// Sends without answer.
    sends: Vec<Token>,
    /// What is being updated, if the device does that.
    pub(super) updates: Option<Updates>,
    /// The server is to learn of other instances.
    pub(super) relist: bool,
    pub(super) events: VecDeque<SimEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Bootstrapping {
        /// The Bootstrap-Request, until it is answered.
        request: Option<Token>,
        /// When the device gives up waiting for the Finish.
        until: Instant,
    },
    Registering(Token),
    Registered {
        id: String,
        update_at: Instant,
        under_way: Option<Token>,
    },
    Deregistering(Token),
    Waiting {
        until: Instant,
    },
}

impl<P: Copy + Eq + Debug> SimDevice<P> {
    /// A device that has not registered yet; everything random follows from `seed`.
    pub fn new(settings: SimSettings, objects: SimObjects, server: P, seed: [u8; 32]) -> Self {
        let coap = Arc::clone(&settings.coap);
        let bodies = coap.bodies();
        let updates = settings.updates.then(Updates::default);
        let exchanges = Exchanges::new(coap, bodies, seed, [0; 2]);
        Self {
            settings,
            server,
            objects,
            exchanges,
            state: State::Idle,
            bootstrap: None,
            observers: Vec::new(),
            notified: Vec::new(),
            sends: Vec::new(),
            updates,
            relist: false,
            events: VecDeque::new(),
        }
    }

    /// Asks its bootstrap server, if it must, else registers.
    pub fn start(&mut self, now: Instant) {
        if self.bootstrap.as_ref().is_some_and(|own| own.wanted) {
            self.ask_for_bootstrap(now);
        } else {
            self.register(now);
        }
    }

    /// Registers.
    pub fn register(&mut self, now: Instant) {
        let server = self.server;
        self.observers.retain(|observer| observer.peer != server);
        let mut query = vec![
            format!("ep={}", self.settings.endpoint),
            format!("lt={}", self.settings.lifetime.as_secs()),
            "lwm2m=1.1".to_owned(),
            "b=U".to_owned(),
        ];
        if self.settings.queue_mode {
            query.push("Q".to_owned());
        }
        let request = Request {
            method: Code::POST,
            path: vec!["rd".to_owned()],
            query,
            content_format: Some(ContentFormat::LINK),
            payload: Bytes::from(self.objects.links()),
            ..Request::default()
        };
        self.state =
            State::Registering(
                self.exchanges
                    .request(now, self.server, &request, REQUEST_TIMEOUT),
            );
    }

    /// Sends an Update, if registered.
    pub fn update(&mut self, now: Instant) {
        let State::Registered { id, update_at, .. } = &self.state else {
            return;
        };
        let (id, update_at) = (id.clone(), *update_at);
        let mut request = Request {
            method: Code::POST,
            path: vec!["rd".to_owned(), id.clone()],
            ..Request::default()
        };
        if std::mem::take(&mut self.relist) {
            request.content_format = Some(ContentFormat::LINK);
            request.payload = Bytes::from(self.objects.links());
        }
        let token = self
            .exchanges
            .request(now, self.server, &request, REQUEST_TIMEOUT);
        self.state = State::Registered {
            id,
            update_at,
            under_way: Some(token),
        };
    }

    /// De-registers, if registered.
    pub fn deregister(&mut self, now: Instant) {
        let State::Registered { id, .. } = &self.state else {
            return;
        };
        let path = vec!["rd".to_owned(), id.clone()];
        let request = Request {
            method: Code::DELETE,
            path,
            ..Request::default()
        };
        self.state = State::Deregistering(self.exchanges.request(
            now,
            self.server,
            &request,
            REQUEST_TIMEOUT,
        ));
    }

    /// Sends values of several paths, at several times if need be.
    ///
    /// # Errors
    /// As [`format::encode_samples`]; nothing is sent.
    pub fn send(
        &mut self,
        now: Instant,
        format: ContentFormat,
        samples: &[Sample],
    ) -> Result<(), EncodeError> {
        let request = Request {
            method: Code::POST,
            path: vec!["dp".to_owned()],
            content_format: Some(format),
            payload: format::encode_samples(format, samples)?,
            ..Request::default()
        };
        let token = self
            .exchanges
            .request(now, self.server, &request, REQUEST_TIMEOUT);
        self.sends.push(token);
        Ok(())
    }

    /// Sends what is at a path, in SenML CBOR; `false` when nothing is there.
    pub fn send_path(&mut self, now: Instant, path: Path) -> bool {
        let Ok(node) = self.objects.read(&path) else {
            return false;
        };
        let sample = Sample {
            time: None,
            nodes: vec![(path, node)],
        };
        self.send(now, ContentFormat::SENML_CBOR, &[sample]).is_ok()
    }

    /// Sets a value and notifies whoever observes it.
    pub fn set(&mut self, now: Instant, path: Path, value: Value) {
        if self.objects.set(path, value) {
            self.notify(now, &path);
        }
    }

    /// Sets a value from the text a person types; `false` when it is none for that resource.
    pub fn set_text(&mut self, now: Instant, path: Path, text: &str) -> bool {
        let model = self
            .objects
            .models()
            .find(|model| Some(model.id) == path.object_id());
        let kind = model
            .and_then(|model| model.resources.get(&path.resource_id()?))
            .map(|resource| resource.kind);
        let Some(value) = kind.and_then(|kind| parse_value(kind, text)) else {
            return false;
        };
        self.set(now, path, value);
        true
    }

    /// Takes a datagram, from the server as a rule.
    pub fn handle_datagram(&mut self, now: Instant, peer: P, datagram: Bytes) {
        self.exchanges.handle_datagram(now, peer, datagram);
        self.handle_events(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.exchanges.handle_timeout(now);
        self.handle_events(now);
        self.finish_installs(now);
        match &self.state {
            State::Waiting { until } if *until <= now => self.start(now),
            State::Bootstrapping { until, .. } if *until <= now => {
                self.events.push_back(SimEvent::Unanswered);
                self.ask_for_bootstrap(now);
            }
            State::Registered {
                update_at,
                under_way: None,
                ..
            } if *update_at <= now => self.update(now),
            State::Idle
            | State::Bootstrapping { .. }
            | State::Registering(_)
            | State::Registered { .. }
            | State::Deregistering(_)
            | State::Waiting { .. } => {}
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<(P, Bytes)> {
        self.exchanges.poll_transmit()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<SimEvent> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Waiting { until } | State::Bootstrapping { until, .. } => Some(*until),
            State::Registered {
                update_at,
                under_way: None,
                ..
            } => Some(*update_at),
            State::Idle
            | State::Registering(_)
            | State::Registered { .. }
            | State::Deregistering(_) => None,
        };
        let others = self.exchanges.poll_timeout().into_iter();
        own.into_iter()
            .chain(others)
            .chain(self.next_install())
            .min()
    }

    /// The device's objects.
    pub fn objects(&self) -> &SimObjects {
        &self.objects
    }

    /// How many observations there are of it.
    pub fn observers(&self) -> usize {
        self.observers.len()
    }

    /// Whether the server knows the device.
    pub fn is_registered(&self) -> bool {
        matches!(self.state, State::Registered { .. })
    }

    fn handle_events(&mut self, now: Instant) {
        while let Some(event) = self.exchanges.poll_event() {
            match event {
                Event::Request {
                    id, peer, message, ..
                } => {
                    let is_bootstrap = |own: &Bootstrap<P>| own.server == peer;
                    let response = if self.bootstrap.as_ref().is_some_and(is_bootstrap) {
                        self.answer_bootstrap(now, &message)
                    } else {
                        self.answer(now, peer, &message)
                    };
                    self.exchanges.respond(now, id, &response);
                }
                Event::Response { token, message, .. } => {
                    self.handle_response(now, token, &message)
                }
                Event::Failed { token, .. } => self.handle_failure(now, token),
                Event::NotificationAcknowledged { token } => {
                    if let Some(path) = self.forget_notification(token) {
                        self.events.push_back(SimEvent::Acknowledged(path));
                    }
                }
                Event::NotificationFailed { token } => {
                    self.observers.retain(|observer| observer.token != token);
                    if let Some(path) = self.forget_notification(token) {
                        self.events.push_back(SimEvent::Unacknowledged(path));
                    }
                }
                Event::Notification { deferred, .. } => {
                    if let Some(id) = deferred {
                        self.exchanges.acknowledge(now, id);
                    }
                }
                Event::Acknowledged { .. } => {}
            }
        }
        let is_idle = matches!(
            self.state,
            State::Registered {
                under_way: None,
                ..
            }
        );
        if is_idle && self.bootstrap.as_ref().is_some_and(|own| own.wanted) {
            // Asked by an Execute of the Bootstrap-Request Trigger, which is answered by now.
            self.deregister(now);
        } else if self.relist && is_idle {
            self.update(now);
        }
    }

    fn handle_response(&mut self, now: Instant, token: Token, message: &Message) {
        if self.update_fetched(now, token, Some(message)) {
            return;
        }
        if self.forget_send(token) {
            return self.events.push_back(if message.code() == Code::CHANGED {
                SimEvent::Sent
            } else {
                let text = message.diagnostic().unwrap_or_default().to_owned();
                SimEvent::SendRefused {
                    code: message.code(),
                    text,
                }
            });
        }
        match &self.state {
            State::Registering(own) if *own == token => {
                if message.code() == Code::CREATED {
                    let id = message
                        .location_path()
                        .nth(1)
                        .unwrap_or_default()
                        .to_owned();
                    self.events
                        .push_back(SimEvent::Registered { id: id.clone() });
                    let update_at = now + self.settings.lifetime.mul_f64(UPDATE_AT);
                    self.state = State::Registered {
                        id,
                        update_at,
                        under_way: None,
                    };
                } else {
                    let text = message.diagnostic().unwrap_or_default().to_owned();
                    self.events.push_back(SimEvent::Refused {
                        code: message.code(),
                        text,
                    });
                    let pause = message
                        .max_age()
                        .map_or(RETRY_AFTER, |age| Duration::from_secs(age.into()));
                    self.state = State::Waiting { until: now + pause };
                }
            }
            State::Registered {
                id,
                under_way: Some(own),
                ..
            } if *own == token => {
                if message.code() == Code::CHANGED {
                    let update_at = now + self.settings.lifetime.mul_f64(UPDATE_AT);
                    self.state = State::Registered {
                        id: id.clone(),
                        update_at,
                        under_way: None,
                    };
                    self.events.push_back(SimEvent::Updated);
                } else {
                    // 4.04: the server has forgotten the registration (OMA LwM2M Core, "Update").
                    self.register(now);
                }
            }
            State::Deregistering(own) if *own == token => {
                self.state = State::Idle;
                self.events.push_back(SimEvent::Deregistered);
                if self.bootstrap.as_ref().is_some_and(|own| own.wanted) {
                    self.ask_for_bootstrap(now);
                }
            }
            State::Bootstrapping { .. } => self.handle_bootstrap_answer(now, token, message),
            State::Idle
            | State::Registering(_)
            | State::Registered { .. }
            | State::Deregistering(_)
            | State::Waiting { .. } => {}
        }
    }

    fn handle_failure(&mut self, now: Instant, token: Token) {
        if self.update_fetched(now, token, None) {
            return;
        }
        if self.forget_send(token) {
            return self.events.push_back(SimEvent::SendUnanswered);
        }
        let open = match &self.state {
            State::Registering(own) | State::Deregistering(own) => Some(*own),
            State::Registered { under_way, .. } => *under_way,
            State::Bootstrapping { request, .. } => *request,
            State::Idle | State::Waiting { .. } => None,
        };
        if open != Some(token) {
            return;
        }
        self.events.push_back(SimEvent::Unanswered);
        let wanted = self.bootstrap.as_ref().is_some_and(|own| own.wanted);
        self.state = match self.state {
            State::Deregistering(_) if !wanted => State::Idle,
            State::Idle
            | State::Bootstrapping { .. }
            | State::Registering(_)
            | State::Registered { .. }
            | State::Deregistering(_)
            | State::Waiting { .. } => State::Waiting {
                until: now + RETRY_AFTER,
            },
        };
    }

    /// Whether this was a Send.
    fn forget_send(&mut self, token: Token) -> bool {
        let before = self.sends.len();
        self.sends.retain(|own| *own != token);
        self.sends.len() < before
    }
}

pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Share of the lifetime after which the registration is updated.
const UPDATE_AT: f64 = 0.8;
/// Pause after a refusal without Max-Age, or after no answer.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);
