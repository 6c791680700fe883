//! The Constrained Application Protocol (RFC 7252, 7641, 7959, 8132, 9175), free of I/O and clocks.
//!
//! | file | what it holds |
//! |---|---|
//! | [`code`], [`content_format`], [`option`] | the numbers of the protocol and what is known of each |
//! | [`message`], [`encode`] | messages received, read in place; messages to be sent |
//! | [`exchange`] | requests and responses in both roles: the state machine of one device |
//! | [`event`] | what that machine tells its owner |
//! | `reliability` | the message layer under it, with `retransmission` (CON back-off) and `deduplication` (ids seen) |
//! | [`blockwise`] | bodies larger than a message, in both directions and both roles |
//! | `observe` | observations and the order of their notifications |
//! | [`stranger`] | what peers without a registration get |
//! | [`link_format`] | RFC 6690: lists of links, generic |
//! | [`parameters`], [`random`] | transmission parameters; the seeded generator of ids, tokens and jitter |
//! | [`rate_limit`], [`freshness`] | limits for what anybody can ask for; proof that a peer is where it claims to be |

// Tests compute with times as they please.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod blockwise;
pub mod code;
pub mod content_format;
mod deduplication;
pub mod encode;
pub mod event;
pub mod exchange;
pub mod freshness;
pub mod link_format;
pub mod message;
mod observe;
pub mod option;
pub mod parameters;
pub mod random;
pub mod rate_limit;
mod reliability;
mod retransmission;
pub mod stranger;

pub use blockwise::{Block, Bodies};
pub use code::Code;
pub use content_format::ContentFormat;
pub use deduplication::IncomingId;
pub use encode::{Request, Response};
pub use event::{CoapStats, Event, Failure};
pub use exchange::{Exchanges, TokenPrefix};
pub use freshness::Freshness;
pub use message::{Message, MessageId, MessageType, ParseError, ParseErrorKind, Token};
pub use parameters::TransmissionParameters;
pub use random::Random;
pub use rate_limit::{LastMinute, RateLimit, SourceLimits};

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod test_support;
