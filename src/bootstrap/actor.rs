//! The actix shell around [`Bootstrap`]: one actor per endpoint name that is being bootstrapped. It reads the clock, feeds
//! the machine, does what the machine puts out, and keeps one timer. No decision about the protocol is made here.

use std::{fmt, rc::Rc, sync::Arc, time::Instant};

use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, SpawnHandle,
};

use crate::{
    coap,
    platform::{
        Platform, QuestionError, Reply, ReplyTo, Uplink,
        credentials::Admission,
        name::EndpointName,
        peer::{Inbound, Outbound, Peer, PeerId},
        time::Clock,
    },
};

use super::{Bootstrap, BootstrapStats, Output};

/// What the actor needs of the server it runs in.
pub trait Shell {
    /// The way into this actor's mailbox for the platform's replies.
    fn reply_to(&self, actor: &Addr<BootstrapActor>) -> ReplyTo;
    /// From now on `peer` leads to `actor`.
    fn bind(&self, peer: PeerId, actor: &Addr<BootstrapActor>);
    /// `peer` leads to `actor` no longer.
    fn unbind(&self, peer: PeerId, actor: &Addr<BootstrapActor>);
    /// Nothing is left to do for the endpoint; `panicked`: its actor died.
    fn closed(&self, name: &EndpointName, actor: &Addr<BootstrapActor>, panicked: bool);
    /// Counters before and after an input.
    fn publish(&self, name: &EndpointName, before: &BootstrapStats, after: &BootstrapStats);
    /// A request that names another endpoint came to this one.
    fn misrouted(&self, peer: Peer, payload: bytes::Bytes);
}

/// See the module's description.
pub struct BootstrapActor {
    machine: Bootstrap,
    platform: Arc<dyn Platform>,
    outbound: Rc<dyn Outbound>,
    clock: Clock,
    shell: Rc<dyn Shell>,
    reply_to: Option<ReplyTo>,
    wake: Option<(Instant, SpawnHandle)>,
    published: BootstrapStats,
    /// Peers bound and not yet unbound, for the case that the actor dies of a panic.
    bound: Vec<PeerId>,
    closed: bool,
    address: Option<Addr<Self>>,
}

impl BootstrapActor {
    /// An actor for `machine`, to be started on the shard that owns `outbound`.
    pub fn new(
        machine: Bootstrap,
        platform: Arc<dyn Platform>,
        outbound: Rc<dyn Outbound>,
        clock: Clock,
        shell: Rc<dyn Shell>,
    ) -> Self {
        Self {
            machine,
            platform,
            outbound,
            clock,
            shell,
            reply_to: None,
            wake: None,
            published: BootstrapStats::default(),
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
        self.shell
            .publish(self.machine.name(), &self.published, &stats);
        self.published = stats;
        self.arm(ctx);
    }

    fn perform(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Transmit { peer, payload } => self.outbound.send(peer, payload),
            Output::Uplink(uplink) => self.submit(uplink),
            Output::Bind(peer) => {
                self.shell.bind(peer, &ctx.address());
                self.bound.push(peer);
            }
            Output::Unbind(peer) => {
                self.shell.unbind(peer, &ctx.address());
                self.bound.retain(|own| *own != peer);
            }
            Output::Misrouted { peer, payload } => self.shell.misrouted(peer, payload),
            Output::Closed => {
                self.closed = true;
                self.shell
                    .closed(self.machine.name(), &ctx.address(), false);
                ctx.stop();
            }
        }
    }

    /// A question that is not accepted is answered here, so that the machine hears of every one exactly once.
    fn submit(&mut self, uplink: Uplink) {
        let Some(reply_to) = &self.reply_to else {
            return;
        };
        let question = if let Uplink::Question { id, .. } = &uplink {
            Some(*id)
        } else {
            None
        };
        let accepted = self.platform.submit(uplink, reply_to).is_ok();
        if let (false, Some(id)) = (accepted, question) {
            let result = Err(QuestionError::Unavailable);
            reply_to.reply(Reply::Answer { id, result });
        }
    }

    /// Keeps exactly one timer; one that is early finds nothing due and is armed anew.
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

impl Actor for BootstrapActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.reply_to = Some(self.shell.reply_to(&ctx.address()));
        self.address = Some(ctx.address());
    }
}

impl Drop for BootstrapActor {
    /// A panic in the machine ends the actor alone: its peers are freed, and the device asks again.
    fn drop(&mut self) {
        let (false, Some(address)) = (self.closed, self.address.take()) else {
            return;
        };
        for peer in std::mem::take(&mut self.bound) {
            self.shell.unbind(peer, &address);
        }
        self.shell.closed(self.machine.name(), &address, true);
    }
}

impl fmt::Debug for BootstrapActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootstrapActor")
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

/// A Bootstrap-Request for the endpoint that was read already.
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

/// The security context of a peer is no more.
#[derive(Clone, Copy, Debug)]
pub struct Disconnected(pub PeerId);

impl Message for Disconnected {
    type Result = ();
}

/// Asks whether a device is being bootstrapped.
#[derive(Clone, Copy, Debug)]
pub struct IsBusy;

impl Message for IsBusy {
    type Result = bool;
}

/// Ends what is under way because the server stops.
#[derive(Clone, Copy, Debug)]
pub struct Stop;

impl Message for Stop {
    type Result = ();
}

impl Handler<Datagram> for BootstrapActor {
    type Result = ();

    fn handle(&mut self, Datagram(inbound): Datagram, ctx: &mut Context<Self>) {
        self.machine
            .handle_datagram((self.clock)(), &inbound.peer, inbound.payload);
        self.drain(ctx);
    }
}

impl Handler<Request> for BootstrapActor {
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

impl Handler<PlatformReply> for BootstrapActor {
    type Result = ();

    fn handle(&mut self, PlatformReply(reply): PlatformReply, ctx: &mut Context<Self>) {
        self.machine.handle_reply((self.clock)(), reply);
        self.drain(ctx);
    }
}

impl Handler<Disconnected> for BootstrapActor {
    type Result = ();

    fn handle(&mut self, Disconnected(peer): Disconnected, ctx: &mut Context<Self>) {
        self.machine.handle_disconnect((self.clock)(), peer);
        self.drain(ctx);
    }
}

impl Handler<IsBusy> for BootstrapActor {
    type Result = MessageResult<IsBusy>;

    fn handle(&mut self, _: IsBusy, _: &mut Context<Self>) -> MessageResult<IsBusy> {
        MessageResult(self.machine.is_busy())
    }
}

impl Handler<Stop> for BootstrapActor {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        self.machine.stop((self.clock)());
        self.drain(ctx);
    }
}
