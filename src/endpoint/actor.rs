//! The actix shell around [`Endpoint`]: one actor per endpoint name. It reads the clock, feeds the machine, does what
//! the machine puts out, and keeps one timer. No decision about the protocol is made here.

use std::{fmt, rc::Rc, sync::Arc, time::Instant};

use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, SpawnHandle,
};
use bytes::Bytes;

use crate::{
    coap,
    platform::{
        Downlink, Outcome, Platform, QuestionError, Reply, ReplyTo, Uplink,
        credentials::Admission,
        peer::{Inbound, Outbound, Peer, PeerId},
        time::Clock,
    },
    store::record,
};

use super::{
    CloseReason, Endpoint, EndpointName, EndpointStats, EndpointSummary, Key, Output, Ticket,
    Urgency,
};

/// What the actor needs of the server it runs in.
pub trait Shell {
    /// The way into this actor's mailbox for the platform's replies.
    fn reply_to(&self, actor: &Addr<EndpointActor>) -> ReplyTo;
    /// From now on `key` leads to `actor`.
    fn bind(&self, key: &Key, actor: &Addr<EndpointActor>);
    /// `key` leads to `actor` no longer.
    fn unbind(&self, key: &Key, actor: &Addr<EndpointActor>);
    /// The endpoint has ended; `reason` is `None` when its actor died of a panic.
    fn closed(&self, endpoint: &Endpoint, actor: &Addr<EndpointActor>, reason: Option<CloseReason>);
    /// Counters before and after an input.
    fn publish(&self, before: &EndpointStats, after: &EndpointStats);
    /// A request that names another endpoint or registration came to this one.
    fn misrouted(&self, peer: Peer, payload: Bytes);
    /// A message of the device waited this long for the platform.
    fn delivered(&self, waited: std::time::Duration);
    /// Keeps a record of the endpoint; false: there is no room. The actor hears of a record that somebody waits for.
    fn save(
        &self,
        endpoint: &EndpointName,
        record: &record::Endpoint,
        urgency: Urgency,
        actor: &Addr<EndpointActor>,
    ) -> bool;
    /// Keeps no record of the endpoint any more.
    fn forget(&self, endpoint: &EndpointName);
    /// A restored endpoint knows its profile, or has ended.
    fn restored(&self);
}

/// See the module's description.
pub struct EndpointActor {
    machine: Endpoint,
    platform: Arc<dyn Platform>,
    outbound: Rc<dyn Outbound>,
    clock: Clock,
    shell: Rc<dyn Shell>,
    reply_to: Option<ReplyTo>,
    wake: Option<(Instant, SpawnHandle)>,
    published: EndpointStats,
    /// Keys bound and not yet unbound, for the case that the actor dies of a panic.
    bound: Vec<Key>,
    /// It was restored, and has not said that its device is confirmed.
    unconfirmed: bool,
    closed: bool,
    address: Option<Addr<Self>>,
}

impl EndpointActor {
    /// An actor for `machine`, to be started on the shard that owns `outbound`.
    pub fn new(
        machine: Endpoint,
        platform: Arc<dyn Platform>,
        outbound: Rc<dyn Outbound>,
        clock: Clock,
        shell: Rc<dyn Shell>,
    ) -> Self {
        Self {
            unconfirmed: machine.is_unconfirmed(),
            machine,
            platform,
            outbound,
            clock,
            shell,
            reply_to: None,
            wake: None,
            published: EndpointStats::default(),
            bound: Vec::new(),
            closed: false,
            address: None,
        }
    }

    fn drain(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.machine.poll_output() {
            self.perform(output, ctx);
        }
        let stats = self.machine.stats();
        self.shell.publish(&self.published, &stats);
        for state in stats.ota_states_since(&self.published) {
            tracing::info!(endpoint = %self.machine.name(), state, "update reported");
        }
        self.published = stats;
        self.arm(ctx);
    }

    fn perform(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Transmit { peer, payload } => self.outbound.send(peer, payload),
            Output::Uplink(uplink) => self.submit(uplink),
            Output::Bind(key) => {
                if let Key::Registration(registration, security) = &key {
                    let endpoint = self.machine.name();
                    if self.machine.is_unconfirmed() {
                        tracing::debug!(%endpoint, %registration, "endpoint restored");
                    } else {
                        tracing::info!(%endpoint, %registration, ?security, "endpoint registered");
                    }
                }
                self.shell.bind(&key, &ctx.address());
                self.bound.retain(|own| !own.replaces(&key));
                self.bound.push(key);
            }
            Output::Unbind(key) => {
                self.shell.unbind(&key, &ctx.address());
                self.bound.retain(|own| !own.replaces(&key));
            }
            Output::Misrouted { peer, payload } => self.shell.misrouted(peer, payload),
            Output::Disconnect { peer, cause } => self.outbound.disconnect(peer, cause),
            Output::Delivered { waited } => self.shell.delivered(waited),
            Output::Save { record, urgency } => {
                let (name, address) = (self.machine.name(), ctx.address());
                if !self.shell.save(name, &record, urgency, &address) {
                    self.machine.handle_refused_record((self.clock)());
                }
            }
            Output::Forget => self.shell.forget(self.machine.name()),
            Output::Restored => {
                self.unconfirmed = false;
                self.shell.restored();
            }
            Output::Closed(reason) => {
                self.closed = true;
                self.shell
                    .closed(&self.machine, &ctx.address(), Some(reason));
                ctx.stop();
            }
        }
    }

    /// An uplink that is not accepted is answered here, so that the machine hears of every one exactly once.
    fn submit(&mut self, uplink: Uplink) {
        let Some(reply_to) = &self.reply_to else {
            return;
        };
        let answer = match &uplink {
            Uplink::Question { id, .. } => Some(Reply::Answer {
                id: *id,
                result: Err(QuestionError::Unavailable),
            }),
            Uplink::Telemetry { id: Some(id), .. } | Uplink::Attributes { id: Some(id), .. } => {
                Some(Reply::Done {
                    id: *id,
                    outcome: Outcome::Unavailable,
                })
            }
            Uplink::SessionOpened { .. }
            | Uplink::SessionClosed { .. }
            | Uplink::Activity { .. }
            | Uplink::BootstrapReport { .. }
            | Uplink::Telemetry { id: None, .. }
            | Uplink::Attributes { id: None, .. }
            | Uplink::RpcStatus { .. }
            | Uplink::RpcReply { .. }
            | Uplink::AttributesWanted { .. }
            | Uplink::PendingRpcWanted { .. } => None,
        };
        let accepted = self.platform.submit(uplink, reply_to).is_ok();
        if let (false, Some(reply)) = (accepted, answer) {
            reply_to.reply(reply);
        }
    }

    /// Keeps exactly one timer. One that is early finds nothing due and is armed anew, so a deadline that moves away
    /// with every message costs nothing.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let Some(deadline) = self.machine.poll_timeout() else {
            return;
        };
        if self
            .wake
            .as_ref()
            .is_some_and(|(armed, _)| *armed <= deadline)
        {
            return;
        }
        if let Some((_, handle)) = self.wake.take() {
            ctx.cancel_future(handle);
        }
        let delay = deadline.saturating_duration_since((self.clock)().mono);
        let handle = ctx.run_later(delay, |actor, ctx| {
            actor.wake = None;
            actor.machine.handle_timeout((actor.clock)());
            actor.drain(ctx);
        });
        self.wake = Some((deadline, handle));
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
        self.reply_to = Some(self.shell.reply_to(&ctx.address()));
        self.address = Some(ctx.address());
        // One that was restored has something to say.
        self.drain(ctx);
    }
}

impl Drop for EndpointActor {
    /// A panic in the machine ends the actor alone: its keys are freed and its session is closed.
    fn drop(&mut self) {
        let (false, Some(address)) = (self.closed, self.address.take()) else {
            return;
        };
        for key in std::mem::take(&mut self.bound) {
            self.shell.unbind(&key, &address);
            if let (Key::Session(session), Some(reply_to)) = (key, &self.reply_to) {
                let closed = Uplink::SessionClosed { session };
                // Refused means that the platform side has stopped.
                self.platform.submit(closed, reply_to).ok();
            }
        }
        if self.unconfirmed {
            self.shell.restored();
        }
        self.shell.closed(&self.machine, &address, None);
    }
}

impl fmt::Debug for EndpointActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointActor")
            .field("name", self.machine.name())
            .finish_non_exhaustive()
    }
}

/// A datagram for the endpoint.
#[derive(Debug)]
pub struct Datagram(pub Inbound);

impl Message for Datagram {
    type Result = ();
}

/// A request for the endpoint that was read already, its body put together if it came in blocks.
#[derive(Debug)]
pub struct Request {
    /// Who sent it.
    pub peer: Peer,
    /// The request.
    pub message: coap::Message,
    /// What the security layer found out about the sender, if it did.
    pub admission: Option<Arc<Admission>>,
}

impl Message for Request {
    type Result = ();
}

/// A message of the platform.
#[derive(Debug)]
pub struct PlatformMessage(pub Downlink);

impl Message for PlatformMessage {
    type Result = ();
}

/// A reply of the platform.
#[derive(Debug)]
pub struct PlatformReply(pub Reply);

impl Message for PlatformReply {
    type Result = ();
}

impl From<Reply> for PlatformReply {
    fn from(reply: Reply) -> Self {
        Self(reply)
    }
}

/// A record that the endpoint waited for is kept.
#[derive(Clone, Copy, Debug)]
pub struct RecordKept(pub Ticket);

impl Message for RecordKept {
    type Result = ();
}

/// Another endpoint is at this peer from here on.
#[derive(Clone, Copy, Debug)]
pub struct PeerTaken(pub PeerId);

impl Message for PeerTaken {
    type Result = ();
}

/// Asks what the endpoint is about.
#[derive(Clone, Copy, Debug)]
pub struct Describe;

impl Message for Describe {
    type Result = Option<EndpointSummary>;
}

/// Asks how much the endpoint has open: requests to the device and messages that wait for the platform.
#[derive(Clone, Copy, Debug)]
pub struct Unfinished;

impl Message for Unfinished {
    type Result = usize;
}

/// Ends the endpoint because the server stops.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

impl Message for Stop {
    type Result = ();
}

impl Handler<Datagram> for EndpointActor {
    type Result = ();

    fn handle(&mut self, Datagram(inbound): Datagram, ctx: &mut Context<Self>) {
        self.machine
            .handle_datagram((self.clock)(), &inbound.peer, inbound.payload);
        self.drain(ctx);
    }
}

impl Handler<Request> for EndpointActor {
    type Result = ();

    fn handle(&mut self, request: Request, ctx: &mut Context<Self>) {
        let Request {
            peer,
            message,
            admission,
        } = request;
        self.machine
            .handle_message((self.clock)(), &peer, Ok(message), admission.as_ref());
        self.drain(ctx);
    }
}

impl Handler<PlatformMessage> for EndpointActor {
    type Result = ();

    fn handle(&mut self, PlatformMessage(downlink): PlatformMessage, ctx: &mut Context<Self>) {
        self.machine.handle_downlink((self.clock)(), downlink);
        self.drain(ctx);
    }
}

impl Handler<PlatformReply> for EndpointActor {
    type Result = ();

    fn handle(&mut self, PlatformReply(reply): PlatformReply, ctx: &mut Context<Self>) {
        self.machine.handle_reply((self.clock)(), reply);
        self.drain(ctx);
    }
}

impl Handler<RecordKept> for EndpointActor {
    type Result = ();

    fn handle(&mut self, RecordKept(ticket): RecordKept, ctx: &mut Context<Self>) {
        self.machine.handle_kept_record((self.clock)(), ticket);
        self.drain(ctx);
    }
}

impl Handler<PeerTaken> for EndpointActor {
    type Result = ();

    fn handle(&mut self, PeerTaken(peer): PeerTaken, ctx: &mut Context<Self>) {
        let key = Key::Peer(peer);
        self.shell.unbind(&key, &ctx.address());
        self.bound.retain(|own| *own != key);
        self.machine.handle_peer_taken((self.clock)(), peer);
        self.drain(ctx);
    }
}

impl Handler<Describe> for EndpointActor {
    type Result = MessageResult<Describe>;

    fn handle(&mut self, _: Describe, _: &mut Context<Self>) -> MessageResult<Describe> {
        MessageResult(self.machine.summary())
    }
}

impl Handler<Unfinished> for EndpointActor {
    type Result = MessageResult<Unfinished>;

    fn handle(&mut self, _: Unfinished, _: &mut Context<Self>) -> MessageResult<Unfinished> {
        MessageResult(self.machine.unfinished())
    }
}

impl Handler<Stop> for EndpointActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.machine.stop((self.clock)());
        self.drain(ctx);
    }
}

/// Datagrams and commands that may wait for one endpoint; more are dropped and counted, as UDP would.
const MAILBOX_CAPACITY: usize = 64;
