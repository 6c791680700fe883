//! The platform's messages as a test sees them: the same generated code, compiled once more.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "generated; every test program uses its own part"
)]

include!(concat!(env!("OUT_DIR"), "/thingsboard.rs"));
