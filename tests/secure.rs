//! Devices that speak DTLS, over loopback, against the whole device side and a platform with a table of credentials
//! (`security.md` 14). The device's side is the engine's client, the sockets are real.
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::panic,
    reason = "a test fails by panicking, says what it compared, and lives in real time"
)]

#[path = "secure/associations.rs"]
mod associations;
#[path = "secure/certificates.rs"]
mod certificates;
#[path = "secure/fixture.rs"]
mod fixture;
#[path = "secure/keys.rs"]
mod keys;
