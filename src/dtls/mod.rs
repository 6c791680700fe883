//! DTLS 1.2 (RFC 6347) with connection ids (RFC 9146), raw public keys (RFC 7250) and credentials that may take their time,
//! free of I/O and clocks. Why it is our own: `docs/adr/0001-own-dtls-engine.md`.
//!
//! | file | what it holds |
//! |---|---|
//! | `server` | [`Server`]: all handshakes and associations of one socket |
//! | [`client`] | the other side, for the simulated device and tests |
//! | [`config`](Config), [`event`](Output), [`stats`](Stats) | what goes in and comes out |
//! | `codec`, `message`, `extension`, `record`, `alert`, `suite` | what is on the wire |
//! | `keys`, `protection`, `cbc_mac`, `replay`, `channel` | keys, and records under them |
//! | `credentials`, `certificate` | key agreement, signatures, certificates |
//! | `reassembly`, `flight` | messages in fragments; retransmission |
//! | `cid`, `random` | connection ids; randomness and secrets |
//!
//! Primitives are libraries'; ours is how they are put together, and the MAC of CBC in constant time. Key material is wiped
//! when it is dropped and never shown. Not here yet: resumption, and associations that outlive the process; ServerHello
//! has an empty session id until then.

// Tests compute with times as they please.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod alert;
mod cbc_mac;
mod certificate;
mod channel;
mod cid;
pub mod client;
mod codec;
mod config;
#[cfg(test)]
mod conformance;
mod credentials;
mod event;
mod extension;
mod flight;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod message;
mod protection;
mod random;
mod reassembly;
mod record;
mod replay;
mod server;
mod stats;
mod suite;
#[cfg(test)]
mod test_support;
pub use alert::Alert;
pub use cid::owner;
pub use config::{Config, CookieSecret, ExtendedMasterSecret};
pub use credentials::{Credentials, CredentialsError, TrustStore};
pub use event::*;
pub use keys::PreSharedKey;
pub use random::Random;
pub use server::Server;
pub use stats::Stats;
pub use suite::CipherSuite;
