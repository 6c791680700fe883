//! Replies of the platform into the mailbox of the endpoint that asked.
//!
//! The one place that may use `do_send` (`clippy.toml`): every reply answers one accepted submit, so their number is
//! bounded by what the endpoint submitted, and a reply must not be lost because the mailbox is full of datagrams.

use std::{fmt, sync::Arc};

use actix::Addr;

use crate::{
    endpoint::{
        Ticket,
        actor::{EndpointActor, PlatformReply, RecordKept},
    },
    platform::{Reply, ReplySink, ReplyTo},
};

/// The mailbox of one endpoint, as the platform sees it.
struct Mailbox(Addr<EndpointActor>);

/// The way back to an endpoint, to be handed over with its submits.
pub(super) fn reply_to(endpoint: Addr<EndpointActor>) -> ReplyTo {
    Arc::new(Mailbox(endpoint))
}

impl ReplySink for Mailbox {
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by accepted submits, see the module's comment"
    )]
    fn reply(&self, reply: Reply) {
        self.0.do_send(PlatformReply(reply));
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

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}
