//! Replies of the platform to whoever asked: the mailbox of an actor, or the queue of a shard.
//!
//! The one place that may use `do_send` (`clippy.toml`): every reply answers one accepted submit, so their number is
//! bounded by what the actor submitted, and a reply must not be lost because the mailbox is full of datagrams.

use std::{fmt, marker::PhantomData, sync::Arc};

use actix::{Actor, Addr, Context, Handler, Message};

use tokio::sync::mpsc;

use crate::{
    endpoint::{
        Ticket,
        actor::{EndpointActor, RecordKept},
    },
    platform::{Reply, ReplySink, ReplyTo},
};

/// The mailbox of one actor, as the platform sees it; it takes replies as messages `M`.
struct Mailbox<A: Actor, M>(Addr<A>, PhantomData<fn(M)>);

/// The way back to an actor, to be handed over with its submits.
pub(super) fn reply_to<M, A>(actor: Addr<A>) -> ReplyTo
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result = ()> + From<Reply> + Send + 'static,
{
    Arc::new(Mailbox::<A, M>(actor, PhantomData))
}

impl<A, M> ReplySink for Mailbox<A, M>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result = ()> + From<Reply> + Send + 'static,
{
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by accepted submits, see the module's comment"
    )]
    fn reply(&self, reply: Reply) {
        self.0.do_send(M::from(reply));
    }
}

/// Tells an endpoint that a record is kept for which it waits.
#[expect(
    clippy::disallowed_methods,
    reason = "an endpoint waits for one record at a time"
)]
pub(super) fn record_kept(
    endpoint: Addr<EndpointActor>,
    ticket: Ticket,
) -> impl FnOnce() + Send + 'static {
    move || endpoint.do_send(RecordKept(ticket))
}

/// The way back to a shard that asks for its handshakes, and its end. Unbounded for the same reason as a mailbox here.
pub(super) fn reply_channel() -> (ReplyTo, mpsc::UnboundedReceiver<Reply>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Arc::new(Channel(sender)), receiver)
}

/// The questions of one shard's handshakes.
#[derive(Debug)]
struct Channel(mpsc::UnboundedSender<Reply>);

impl ReplySink for Channel {
    fn reply(&self, reply: Reply) {
        // The shard may have stopped.
        self.0.send(reply).ok();
    }
}

impl<A: Actor, M> fmt::Debug for Mailbox<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}
