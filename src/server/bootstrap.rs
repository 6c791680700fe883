//! The bootstrap server's part of one shard: a socket, the way from a datagram to the actor that bootstraps its endpoint,
//! and the process-wide directory of these actors.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    rc::{Rc, Weak},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use actix::{Actor, Addr, prelude::SendError};
use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    bootstrap::{
        Bootstrap, BootstrapSessionSettings, BootstrapStats,
        actor::{
            BootstrapActor, Datagram, Disconnected, IsBusy, PlatformReply, Request, Shell, Stop,
        },
    },
    coap::{Message, Random, RateLimit},
    platform::{
        Platform, ReplyTo,
        name::EndpointName,
        peer::{Inbound, Outbound, Peer, PeerId, ServerRole},
        time::Clock,
    },
};

use super::{
    Phase, ask_all, deliver,
    ingress::{Decision, Ingress},
    listen,
    metrics::{self, Metrics},
    secure::{Caller, Transports, Upward},
    settings::{LimitSettings, NoSecSettings},
};

/// Which actor bootstraps an endpoint, and whom a peer is bootstrapped by. One for the process: a device that asks again
/// from another port may reach another shard.
#[derive(Debug, Default)]
pub(super) struct BootstrapDirectory(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    names: HashMap<EndpointName, Addr<BootstrapActor>>,
    peers: HashMap<PeerId, Addr<BootstrapActor>>,
}

impl BootstrapDirectory {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn by_peer(&self, peer: &PeerId) -> Option<Addr<BootstrapActor>> {
        self.tables().peers.get(peer).cloned()
    }

    /// The actor of `name`; when there is none, the one that `spawn` makes. `None` when there are too many already.
    fn find_or_insert(
        &self,
        name: &EndpointName,
        spawn: impl FnOnce() -> Option<Addr<BootstrapActor>>,
    ) -> Option<Addr<BootstrapActor>> {
        let mut tables = self.tables();
        match tables.names.get(name) {
            Some(actor) if actor.connected() => Some(actor.clone()),
            Some(_) | None if tables.names.len() >= MAX_ENDPOINTS => None,
            Some(_) | None => {
                let actor = spawn()?;
                tables.names.insert(name.clone(), actor.clone());
                Some(actor)
            }
        }
    }

    /// How many devices are being bootstrapped.
    pub(super) async fn busy(&self) -> usize {
        let busy = ask_all(self.all(), IsBusy).await;
        busy.into_iter().filter(|busy| *busy).count()
    }

    /// Ends everything.
    pub(super) async fn stop(&self) {
        ask_all(self.all(), Stop).await;
    }

    fn all(&self) -> Vec<Addr<BootstrapActor>> {
        self.tables().names.values().cloned().collect()
    }
}

/// What the bootstrap server's part of a shard is given.
pub(super) struct BootstrapParts {
    pub(super) shards: usize,
    pub(super) directory: Arc<BootstrapDirectory>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) limits: LimitSettings,
    pub(super) nosec: NoSecSettings,
    pub(super) settings: Arc<BootstrapSessionSettings>,
}

/// See the module's description.
pub(super) struct BootstrapShard {
    me: Weak<Self>,
    parts: BootstrapParts,
    transports: Rc<Transports>,
    random: RefCell<Random>,
    ingress: RefCell<Ingress>,
    requests: RefCell<RateLimit>,
}

impl BootstrapShard {
    /// The part on the current Arbiter. `random` seeds everything its actors choose at random.
    pub(super) fn new(
        parts: BootstrapParts,
        transports: Transports,
        mut random: Random,
    ) -> Rc<Self> {
        let share = parts.limits.registrations_share(parts.shards);
        let ingress = Ingress::new(
            ServerRole::Bootstrap,
            Arc::clone(&parts.settings.coap),
            parts.settings.bodies.clone(),
            &parts.limits,
            &parts.nosec,
            &mut random,
            (parts.clock)().mono,
        );
        Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            ingress: RefCell::new(ingress),
            requests: RefCell::new(RateLimit::new(share, share)),
            transports: Rc::new(transports),
            random: RefCell::new(random),
            parts,
        })
    }

    /// Sends what its actors and it have to send.
    pub(super) async fn send(self: Rc<Self>) {
        Rc::clone(&self.transports.plain).send_queued().await;
    }

    /// Receives datagrams until the server stops reading.
    pub(super) async fn receive(self: Rc<Self>) {
        let phase = self.parts.phase.clone();
        let plain = &self.transports.plain;
        listen::receive(plain, phase, &self.parts.metrics, |datagram| {
            let payload = Bytes::copy_from_slice(datagram.payload);
            self.dispatch(
                Caller::unsecured(datagram.peer, ServerRole::Bootstrap),
                payload,
            );
        })
        .await;
    }

    fn dispatch(self: &Rc<Self>, caller: Caller, payload: Bytes) {
        let Some(actor) = self.parts.directory.by_peer(&caller.peer.id) else {
            return self.admit(&caller, payload);
        };
        let peer = caller.peer.clone();
        match actor.try_send(Datagram(Inbound { peer, payload })) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.mailbox_full(),
            Err(SendError::Closed(Datagram(inbound))) => self.admit(&caller, inbound.payload),
        }
    }

    /// A datagram from a peer that nobody bootstraps.
    fn admit(self: &Rc<Self>, caller: &Caller, payload: Bytes) {
        let now = (self.parts.clock)();
        let decision = self.ingress.borrow_mut().decide(now.mono, caller, payload);
        let limits = &self.parts.metrics.limit_rejections;
        match decision {
            Decision::Answer(answer) => self.transports.send(caller.peer.id, answer),
            Decision::Drop(reason) => self.parts.metrics.add_dropped(reason),
            Decision::Limited => {
                limits.of(metrics::Limit::SourceMessages).inc();
            }
            Decision::Bootstrap(name, message) => self.admit_request(&name, caller, message),
            // Not at this server's ports.
            Decision::Register(..) | Decision::Registered(..) => {}
        }
    }

    fn admit_request(self: &Rc<Self>, name: &EndpointName, caller: &Caller, message: Message) {
        let peer = caller.peer.id;
        if *self.parts.phase.borrow() >= Phase::Refusing {
            // Silence: the device's retransmission reaches whoever is next.
            return;
        }
        let now = (self.parts.clock)().mono;
        let within_rate = self.requests.borrow_mut().admit(now);
        let actor = self
            .parts
            .directory
            .find_or_insert(name, || within_rate.then(|| self.spawn(name.clone())));
        let Some(actor) = actor else {
            let limit = if within_rate {
                metrics::Limit::Bootstraps
            } else {
                metrics::Limit::Registrations
            };
            self.parts.metrics.limit_rejections.of(limit).inc();
            let (mut ingress, mut random) = (self.ingress.borrow_mut(), self.random.borrow_mut());
            let answer = ingress.busy(now, peer, &message, &mut random);
            return self.transports.send(peer, answer);
        };
        let request = Request {
            peer: caller.peer.clone(),
            message,
            admission: caller.admission.clone(),
        };
        match actor.try_send(request) {
            Ok(()) => {}
            Err(SendError::Full(_)) => self.mailbox_full(),
            Err(SendError::Closed(_)) => {
                tracing::debug!(%peer, "a bootstrap ended before a request for it arrived");
            }
        }
    }

    fn spawn(self: &Rc<Self>, name: EndpointName) -> Addr<BootstrapActor> {
        let seed = self.random.borrow_mut().seed();
        let parts = &self.parts;
        let machine = Bootstrap::new(name, Arc::clone(&parts.settings), seed);
        let outbound: Rc<dyn Outbound> = Rc::<Transports>::clone(&self.transports);
        let shell: Rc<dyn Shell> = Rc::<Self>::clone(self);
        let platform = Arc::clone(&parts.platform);
        BootstrapActor::new(machine, platform, outbound, parts.clock, shell).start()
    }

    fn mailbox_full(&self) {
        let full = &self.parts.metrics.mailbox_full;
        full.of(metrics::Actor::Bootstrap).inc();
    }
}

impl Shell for BootstrapShard {
    fn reply_to(&self, actor: &Addr<BootstrapActor>) -> ReplyTo {
        deliver::reply_to::<PlatformReply, _>(actor.clone())
    }

    fn bind(&self, peer: PeerId, actor: &Addr<BootstrapActor>) {
        let mut tables = self.parts.directory.tables();
        tables.peers.insert(peer, actor.clone());
        self.transports.admitted(peer);
    }

    fn unbind(&self, peer: PeerId, actor: &Addr<BootstrapActor>) {
        let mut tables = self.parts.directory.tables();
        if tables.peers.get(&peer) == Some(actor) {
            tables.peers.remove(&peer);
        }
    }

    fn closed(&self, name: &EndpointName, actor: &Addr<BootstrapActor>, panicked: bool) {
        let mut tables = self.parts.directory.tables();
        if tables.names.get(name) == Some(actor) {
            tables.names.remove(name);
        }
        drop(tables);
        if panicked {
            self.parts.metrics.actor_panics.inc();
            tracing::error!(endpoint = %name, "a bootstrap's actor panicked; the device must ask again");
        }
    }

    fn publish(&self, name: &EndpointName, before: &BootstrapStats, after: &BootstrapStats) {
        if after.finished > before.finished {
            tracing::info!(endpoint = %name, "endpoint bootstrapped");
        }
        if after.failed > before.failed {
            tracing::info!(endpoint = %name, "bootstrap failed");
        }
        if after.secrets_over_nosec > before.secrets_over_nosec {
            tracing::warn!(endpoint = %name, "keys are sent to a device without security");
        }
        self.parts.metrics.add_bootstrap(before, after);
    }

    fn misrouted(&self, peer: Peer, payload: Bytes) {
        if let Some(shard) = self.me.upgrade() {
            shard.admit(&Caller::of(peer), payload);
        }
    }
}

impl Upward for BootstrapShard {
    fn receive(&self, caller: Caller, payload: Bytes) {
        if let Some(shard) = self.me.upgrade() {
            shard.dispatch(caller, payload);
        }
    }

    fn disconnected(&self, peer: PeerId) {
        if let Some(actor) = self.parts.directory.by_peer(&peer)
            && let Err(SendError::Full(_)) = actor.try_send(Disconnected(peer))
        {
            self.mailbox_full();
        }
    }
}

impl fmt::Debug for BootstrapShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapShard").finish_non_exhaustive()
    }
}

/// Endpoints that are bootstrapped, or were within EXCHANGE_LIFETIME.
const MAX_ENDPOINTS: usize = 50_000;
