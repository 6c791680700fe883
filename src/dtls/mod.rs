//! DTLS 1.2 (RFC 6347), free of I/O and clocks.

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
