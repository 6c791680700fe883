//! What the exchange layer tells its owner: events and counters.

#[cfg(doc)]
use super::exchange::Exchanges;
use super::{
    deduplication::IncomingId,
    message::{Message, Token},
};

/// What the owner of [`Exchanges`] learns.
#[derive(Clone, Debug)]
pub enum Event<P> {
    /// A request from the device, handed over once. A confirmable one that nobody answers within
    /// `separate_response_after_ms` is acknowledged empty, and its answer then goes separately.
    Request {
        /// To be given to [`Exchanges::respond`] or [`Exchanges::ignore`].
        id: IncomingId,
        /// Where it came from.
        peer: P,
        /// The request.
        message: Message,
    },
    /// The final response to [`Exchanges::request`], or the first one to [`Exchanges::observe`].
    Response {
        /// The token of the request.
        token: Token,
        /// The response.
        message: Message,
        /// An observation exists.
        observing: bool,
        /// To be given to [`Exchanges::acknowledge`] once its content is durable. It is confirmable and makes an
        /// observation: whether it is the answer or a notification that overtook it, nobody can tell.
        deferred: Option<IncomingId>,
    },
    /// A notification of an observation.
    Notification {
        /// The token of the observation.
        token: Token,
        /// The notification.
        message: Message,
        /// To be given to [`Exchanges::acknowledge`] once its content is durable; `None` for a non-confirmable one.
        deferred: Option<IncomingId>,
        /// It is newer than all before it (RFC 7641 section 3.4).
        fresh: bool,
        /// It was the last one: an error, or without Observe.
        ended: bool,
    },
    /// An empty ACK came: the response follows separately, the NSTART slot is free.
    Acknowledged {
        /// The token of the request.
        token: Token,
    },
    /// A request failed.
    Failed {
        /// The token of the request.
        token: Token,
        /// Why.
        failure: Failure,
    },
    /// A confirmable notification of ours was acknowledged.
    NotificationAcknowledged {
        /// The token of the peer's observation.
        token: Token,
    },
    /// A notification of ours was rejected, or a confirmable one never acknowledged: the observation is over (RFC 7641
    /// sections 3.6 and 4.5).
    NotificationFailed {
        /// The token of the peer's observation.
        token: Token,
    },
}

/// Why a request got no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// No acknowledgement after the last retransmission, or no response within the exchange's time.
    Timeout,
    /// The device answered with RST.
    Reset,
    /// [`Exchanges::cancel_all`] or [`Exchanges::cancel_requests`] was called.
    Cancelled,
    /// The device does not keep to block-wise transfer, or its response is too long.
    Blockwise,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What [`Exchanges`] counts.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CoapStats {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl CoapStats {
            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)+ }
            }
        }

        impl std::ops::AddAssign for CoapStats {
            fn add_assign(&mut self, other: Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)+
            }
        }
    };
}

counters! {
    /// Datagrams received.
    received,
    /// Datagrams sent, retransmissions and repeated answers included.
    sent,
    /// Messages received that were duplicates.
    duplicates,
    /// Retransmissions sent.
    retransmissions,
    /// Datagrams that were no well-formed message, and messages whose type and code do not go together.
    format_errors,
    /// Messages refused for an option that was unknown, out of bounds or repeated.
    bad_options,
    /// RST sent.
    resets_sent,
    /// RST received.
    resets_received,
    /// ACK and RST that answer nothing outstanding.
    unmatched,
    /// Responses and notifications with a token that is not known from this peer.
    unknown_tokens,
    /// Notifications handed over, stale ones included.
    notifications,
    /// Notifications that were older than one before them.
    stale_notifications,
    /// Requests, notifications and separate responses that stayed unacknowledged, and requests without response.
    timeouts,
    /// Messages dropped because the ring was full of messages that wait.
    ring_full,
    /// Pings received.
    pings,
    /// Blocks of requests that were refused: out of order, malformed, or of a body that is too long.
    refused_blocks,
    /// Notifications whose further blocks could not be fetched.
    incomplete_notifications,
}
