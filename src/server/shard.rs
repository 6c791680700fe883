//! One shard: an Arbiter with its own socket, its endpoints' actors, and the way from a datagram to its actor.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, Addr, prelude::SendError};
use bytes::Bytes;
use futures_util::future::Either;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    coap::{Code, Message, Random, RateLimit, Response, encode},
    endpoint::{
        CloseReason, Endpoint, EndpointName, EndpointSettings, EndpointStats, Key, Target, Urgency,
        actor::{
            Datagram, EndpointActor, PeerTaken, PlatformMessage, PlatformReply, Request, Shell,
        },
    },
    platform::{
        Platform, ReplyTo,
        peer::{Inbound, Outbound, Peer, PeerId, ServerRole},
        time::{Clock, UnixMillis},
    },
    store::record::Endpoint as Record,
};

use super::{
    Phase, deliver,
    directory::{Control, Directory, EndpointAddr},
    download::{self, Downloads, Verdict},
    http::Heartbeat,
    ingress::{Decision, Ingress},
    listen,
    metrics::{self, Metrics},
    records::{Kept, Records},
    secure::{Caller, Transports, Upward},
    settings::{LimitSettings, NoSecSettings},
};

/// What a shard is made of; see the module's description.
pub(super) struct Shard {
    me: Weak<Self>,
    parts: ShardParts,
    transports: Rc<Transports>,
    random: RefCell<Random>,
    ingress: RefCell<Ingress>,
    registers: RefCell<RateLimit>,
    /// Peers of this shard's own endpoints: the hot path asks nobody else.
    peers: RefCell<HashMap<PeerId, Addr<EndpointActor>>>,
}

/// What a shard is given.
pub(super) struct ShardParts {
    pub(super) index: usize,
    pub(super) shards: usize,
    pub(super) directory: Arc<Directory>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) downloads: Arc<Downloads>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) heartbeat: Heartbeat,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) records: Arc<Records>,
    pub(super) limits: LimitSettings,
    pub(super) nosec: NoSecSettings,
    pub(super) endpoint_settings: Arc<EndpointSettings>,
}

impl Shard {
    /// A shard on the current Arbiter. `random` seeds everything its endpoints choose at random.
    pub(super) fn new(parts: ShardParts, transports: Transports, mut random: Random) -> Rc<Self> {
        let share = parts.limits.registrations_share(parts.shards);
        let settings = &parts.endpoint_settings;
        let ingress = Ingress::new(
            ServerRole::Lwm2m,
            Arc::clone(&settings.coap),
            settings.bodies.clone(),
            &parts.limits,
            &parts.nosec,
            &mut random,
            (parts.clock)().mono,
        );
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            ingress: RefCell::new(ingress),
            registers: RefCell::new(RateLimit::new(share, share)),
            transports: Rc::new(transports),
            random: RefCell::new(random),
            peers: RefCell::default(),
            parts,
        })
    }

    /// Sends what its endpoints and it have to send.
    pub(super) async fn send(self: Rc<Self>) {
        Rc::clone(&self.transports.plain).send_queued().await;
    }

    /// Makes endpoints of records, and says when all are there.
    pub(super) async fn restore(
        self: Rc<Self>,
        mut kept: mpsc::Receiver<Kept>,
        done: oneshot::Sender<()>,
    ) {
        let alive = self.parts.records.last_alive((self.parts.clock)());
        while let Some((name, record)) = kept.recv().await {
            self.revive(&name, &record, alive);
        }
        // Fails only when the start was given up.
        done.send(()).ok();
    }

    /// Makes an endpoint of its record.
    fn revive(self: &Rc<Self>, name: &EndpointName, record: &Record, alive: UnixMillis) {
        let parts = &self.parts;
        let restore = || {
            let settings = Arc::clone(&parts.endpoint_settings);
            let now = (parts.clock)();
            Endpoint::restore(name.clone(), record, settings, self.seed(), now, alive)
        };
        // A record that is too much for us must not keep the others from being restored.
        let Ok(Ok(machine)) = catch_unwind(AssertUnwindSafe(restore)) else {
            return parts.records.discard(name);
        };
        parts.directory.find_or_insert(name, || {
            parts.records.count_unconfirmed();
            Some(EndpointAddr {
                actor: self.start(machine),
                shard: parts.index,
            })
        });
    }

    /// Receives datagrams until the server stops reading.
    pub(super) async fn receive(self: Rc<Self>) {
        let phase = self.parts.phase.clone();
        let plain = &self.transports.plain;
        listen::receive(plain, phase, &self.parts.metrics, |datagram| {
            let payload = Bytes::copy_from_slice(datagram.payload);
            self.dispatch(Caller::unsecured(datagram.peer, ServerRole::Lwm2m), payload);
        })
        .await;
    }

    /// Hands control messages to endpoints of this shard, waiting for room in their mailboxes.
    pub(super) async fn control(mut queue: mpsc::Receiver<Control>) {
        while let Some((actor, downlink)) = queue.recv().await {
            if let Err(error) = actor.send(PlatformMessage(downlink)).await {
                tracing::debug!(%error, "an endpoint ended before a message for it arrived");
            }
        }
    }

    /// Tells `/livez` that this shard's thread still turns; the first one also looks after the packages.
    pub(super) async fn beat(self: Rc<Self>) {
        loop {
            let now = (self.parts.clock)().mono;
            self.parts.heartbeat.beat(now);
            if self.parts.index == 0 {
                self.parts.downloads.tidy(now);
            }
            tokio::time::sleep(HEARTBEAT).await;
        }
    }

    fn dispatch(self: &Rc<Self>, caller: Caller, payload: Bytes) {
        if download::may_be_request(&payload)
            && let Ok(message) = Message::parse(payload.clone())
            && download::is_request(&message)
        {
            return self.download(&caller.peer, message);
        }
        let id = caller.peer.id;
        // Borrowed, not cloned: cloning an actix address allocates.
        let refused = match self.peers.borrow().get(&id) {
            Some(actor) => self.forward(actor, caller, payload),
            None => match self
                .parts
                .directory
                .by_peer(&id)
                .or_else(|| self.same_device(&caller, &payload))
            {
                Some(addr) => self.forward(&addr.actor, caller, payload),
                None => Some((caller, payload)),
            },
        };
        if let Some((caller, payload)) = refused {
            self.admit(&caller, payload);
        }
    }

    /// A request for an update package.
    fn download(self: &Rc<Self>, peer: &Peer, message: Message) {
        let (now, from) = ((self.parts.clock)().mono, peer);
        let peer = peer.id;
        if self.parts.directory.by_peer(&peer).is_none() {
            let hindrance = self.ingress.borrow_mut().hinders(now, from, &message);
            if let Some(decision) = hindrance {
                return self.settle(peer, decision);
            }
        }
        let downloads = &self.parts.downloads;
        let verdict = downloads.decide(now, from, &message);
        let (pause, found) = match verdict {
            Verdict::Answer(response) => {
                return self
                    .transports
                    .send(peer, encode::reply(&message, &response));
            }
            Verdict::Serve(pause, package) if pause.is_zero() => {
                let response = downloads.answer(&message, Ok(package));
                return self
                    .transports
                    .send(peer, encode::reply(&message, &response));
            }
            Verdict::Serve(pause, package) => (pause, Either::Left(package)),
            Verdict::Wait(pause, found) => (pause, Either::Right(found)),
        };
        let shard = Rc::clone(self);
        actix::spawn(async move {
            tokio::time::sleep(pause).await;
            let found = match found {
                Either::Left(package) => Ok(package),
                // Without an answer the process stops.
                Either::Right(found) => match found.await {
                    Ok(found) => found,
                    Err(_) => return,
                },
            };
            let response = shard.parts.downloads.answer(&message, found);
            shard
                .transports
                .send(peer, encode::reply(&message, &response));
        });
    }

    /// The endpoint that a device goes on with after another handshake, without a word on its registration: a notification,
    /// for instance, which would be rejected, and its observation ended, if nobody knew it.
    fn same_device(&self, caller: &Caller, payload: &Bytes) -> Option<EndpointAddr> {
        let name = caller.endpoint.as_ref()?;
        let message = Message::parse(payload.clone()).ok()?;
        Target::goes_on(&message).then(|| self.parts.directory.by_name(name.as_str()))?
    }

    /// Hands a datagram to an actor; gives it back when the actor has ended.
    fn forward(
        &self,
        actor: &Addr<EndpointActor>,
        caller: Caller,
        payload: Bytes,
    ) -> Option<(Caller, Bytes)> {
        let Caller {
            peer,
            endpoint,
            admission,
        } = caller;
        match actor.try_send(Datagram(Inbound { peer, payload })) {
            Ok(()) => None,
            Err(SendError::Full(_)) => {
                self.mailbox_full();
                None
            }
            Err(SendError::Closed(Datagram(Inbound { peer, payload }))) => {
                let caller = Caller {
                    peer,
                    endpoint,
                    admission,
                };
                Some((caller, payload))
            }
        }
    }

    /// Hands a request to an actor; what meets one that has just ended is lost, and the device sends again.
    fn hand_over(&self, actor: &Addr<EndpointActor>, caller: &Caller, message: Message) {
        let request = Request {
            peer: caller.peer.clone(),
            message,
            admission: caller.admission.clone(),
        };
        match actor.try_send(request) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.mailbox_full(),
            Err(SendError::Closed(_)) => {
                tracing::debug!(peer = %caller.peer.id, "an endpoint ended before a request for it arrived");
            }
        }
    }

    fn mailbox_full(&self) {
        let full = &self.parts.metrics.mailbox_full;
        full.of(metrics::Actor::Endpoint).inc();
    }

    /// A datagram from a peer that no endpoint owns.
    fn admit(self: &Rc<Self>, caller: &Caller, payload: Bytes) {
        let now = (self.parts.clock)();
        let peer = caller.peer.id;
        let decision = self.ingress.borrow_mut().decide(now.mono, caller, payload);
        match decision {
            Decision::Registered(id, message) => match self.parts.directory.by_registration(&id) {
                Some(addr) => self.hand_over(&addr.actor, caller, message),
                None => self.refuse(peer, &message, &Response::new(Code::NOT_FOUND)),
            },
            Decision::Register(name, message) => {
                self.admit_register(&name, caller, message, now.mono);
            }
            settled @ (Decision::Answer(_)
            | Decision::Drop(_)
            | Decision::Limited
            | Decision::Bootstrap(..)) => self.settle(peer, settled),
        }
    }

    /// Does what a decision asks for that needs no endpoint.
    fn settle(&self, peer: PeerId, decision: Decision) {
        match decision {
            Decision::Answer(answer) => self.transports.send(peer, answer),
            Decision::Drop(reason) => self.parts.metrics.add_dropped(reason),
            Decision::Limited => {
                let limits = &self.parts.metrics.limit_rejections;
                limits.of(metrics::Limit::SourceMessages).inc();
            }
            // Those for endpoints are not settled here, and bootstrap is not asked for at this server's ports.
            Decision::Registered(..) | Decision::Register(..) | Decision::Bootstrap(..) => {}
        }
    }

    fn admit_register(
        self: &Rc<Self>,
        name: &EndpointName,
        caller: &Caller,
        message: Message,
        now: Instant,
    ) {
        if *self.parts.phase.borrow() >= Phase::Refusing {
            // Silence: the device's retransmission reaches whoever is next.
            return;
        }
        let limits = &self.parts.limits;
        let registered = self.parts.directory.counts();
        let full = if limits.max_endpoints > 0 && registered.names >= limits.max_endpoints {
            Some(metrics::Limit::Endpoints)
        } else if registered.registering() >= MAX_REGISTERING {
            Some(metrics::Limit::Registering)
        } else if !self.registers.borrow_mut().admit(now) {
            Some(metrics::Limit::Registrations)
        } else {
            None
        };
        let addr = self.parts.directory.find_or_insert(name, || {
            full.is_none().then(|| EndpointAddr {
                actor: self.spawn(name.clone()),
                shard: self.parts.index,
            })
        });
        match (addr, full) {
            (Some(addr), _) => self.hand_over(&addr.actor, caller, message),
            (None, limit) => {
                if let Some(limit) = limit {
                    self.parts.metrics.limit_rejections.of(limit).inc();
                }
                let (mut ingress, mut random) =
                    (self.ingress.borrow_mut(), self.random.borrow_mut());
                let answer = ingress.busy(now, caller.peer.id, &message, &mut random);
                self.transports.send(caller.peer.id, answer);
            }
        }
    }

    fn spawn(self: &Rc<Self>, name: EndpointName) -> Addr<EndpointActor> {
        let settings = Arc::clone(&self.parts.endpoint_settings);
        self.start(Endpoint::new(name, settings, self.seed()))
    }

    fn seed(&self) -> [u8; 32] {
        self.random.borrow_mut().seed()
    }

    fn start(self: &Rc<Self>, machine: Endpoint) -> Addr<EndpointActor> {
        let parts = &self.parts;
        let outbound: Rc<dyn Outbound> = Rc::<Transports>::clone(&self.transports);
        let shell: Rc<dyn Shell> = Rc::<Self>::clone(self);
        EndpointActor::new(
            machine,
            Arc::clone(&parts.platform),
            outbound,
            parts.clock,
            shell,
        )
        .start()
    }

    fn refuse(&self, peer: PeerId, message: &Message, response: &Response) {
        let now = (self.parts.clock)().mono;
        let answer = self
            .ingress
            .borrow_mut()
            .answer(now, peer, message, response);
        self.transports.send(peer, answer);
    }
}

impl Shell for Shard {
    fn reply_to(&self, actor: &Addr<EndpointActor>) -> ReplyTo {
        deliver::reply_to::<PlatformReply, _>(actor.clone())
    }

    fn bind(&self, key: &Key, actor: &Addr<EndpointActor>) {
        if let Key::Peer(peer) = key {
            self.peers.borrow_mut().insert(*peer, actor.clone());
            self.transports.admitted(*peer);
        }
        let before = self.parts.directory.bind(
            key,
            &EndpointAddr {
                actor: actor.clone(),
                shard: self.parts.index,
            },
        );
        if let (Some(before), Key::Peer(peer)) = (before, key)
            && let Err(SendError::Full(_)) = before.actor.try_send(PeerTaken(*peer))
        {
            self.mailbox_full();
        }
    }

    fn unbind(&self, key: &Key, actor: &Addr<EndpointActor>) {
        if let Key::Peer(peer) = key {
            let mut peers = self.peers.borrow_mut();
            if peers.get(peer) == Some(actor) {
                peers.remove(peer);
            }
        }
        self.parts.directory.unbind(
            key,
            &EndpointAddr {
                actor: actor.clone(),
                shard: self.parts.index,
            },
        );
    }

    fn closed(
        &self,
        endpoint: &Endpoint,
        actor: &Addr<EndpointActor>,
        reason: Option<CloseReason>,
    ) {
        self.parts.directory.remove(
            endpoint.name(),
            &EndpointAddr {
                actor: actor.clone(),
                shard: self.parts.index,
            },
        );
        match reason {
            // A stranger's mistake, or forgery: what anybody can cause with one datagram makes no line.
            Some(CloseReason::Refused) => {
                tracing::debug!(endpoint = %endpoint.name(), "registration refused");
            }
            Some(reason) => tracing::info!(endpoint = %endpoint.name(), ?reason, "endpoint ended"),
            None => {
                self.parts.metrics.actor_panics.inc();
                let now = (self.parts.clock)();
                let record = self.parts.records.after_panic(now.mono, endpoint.name());
                let Some((record, shard)) = record.zip(self.me.upgrade()) else {
                    tracing::error!(endpoint = %endpoint.name(), "an endpoint's actor panicked; the endpoint must register again");
                    return;
                };
                tracing::error!(endpoint = %endpoint.name(), "an endpoint's actor panicked; the endpoint continues from its record");
                let name = endpoint.name().clone();
                // Not from within the actor that ends.
                actix::spawn(async move { shard.revive(&name, &record, now.wall) });
            }
        }
    }

    fn publish(&self, before: &EndpointStats, after: &EndpointStats) {
        self.parts.metrics.add_endpoint(before, after);
    }

    fn misrouted(&self, peer: Peer, payload: Bytes) {
        if let Some(shard) = self.me.upgrade() {
            shard.admit(&Caller::of(peer), payload);
        }
    }

    fn delivered(&self, waited: Duration) {
        self.parts
            .metrics
            .durable_duration
            .observe(waited.as_secs_f64());
    }

    fn save(
        &self,
        endpoint: &EndpointName,
        record: &Record,
        urgency: Urgency,
        actor: &Addr<EndpointActor>,
    ) -> bool {
        self.parts.records.save(endpoint, record, urgency, actor)
    }

    fn forget(&self, endpoint: &EndpointName) {
        self.parts.records.forget(endpoint);
    }

    fn restored(&self) {
        self.parts.records.count_confirmed();
    }
}

impl Upward for Shard {
    fn receive(&self, caller: Caller, payload: Bytes) {
        if let Some(shard) = self.me.upgrade() {
            shard.dispatch(caller, payload);
        }
    }

    /// The registration stays: the device shakes hands again when it has something to say.
    fn disconnected(&self, _: PeerId) {}
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.parts.index)
            .finish_non_exhaustive()
    }
}

/// Endpoints that may wait for their first registration to be decided.
const MAX_REGISTERING: usize = 10_000;
const HEARTBEAT: Duration = Duration::from_secs(1);
