//! The Constrained Application Protocol (RFC 7252, 7641, 8132), free of I/O and clocks.
//!
//! | file | what it holds |
//! |---|---|
//! | [`code`], [`content_format`], [`option`], [`block`] | the numbers of the protocol and what is known of each |
//! | [`message`], [`encode`] | messages received, read in place; messages to be sent |
//! | [`parameters`], [`random`] | transmission parameters; the seeded generator of ids, tokens and jitter |

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod block;
pub mod code;
pub mod content_format;
pub mod encode;
pub mod message;
pub mod option;
pub mod parameters;
pub mod random;

pub use block::Block;
pub use code::Code;
pub use content_format::ContentFormat;
pub use encode::{Request, Response};
pub use message::{Message, MessageId, MessageType, ParseError, ParseErrorKind, Token};
pub use parameters::TransmissionParameters;
pub use random::Random;
