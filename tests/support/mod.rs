//! Shared by the test programs; each uses its own part.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test program uses its own part"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "brokers and threads live in real time"
)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "test support fails by panicking"
)]

pub(crate) mod ddf;
pub(crate) mod mock_broker;
pub(crate) mod murmur2;
pub(crate) mod strict_core;
pub(crate) mod wire;
