//! The generated messages of `proto/`; they stay inside this folder.

#![expect(
    unreachable_pub,
    reason = "generated; the documentation is in the proto files"
)]

include!(concat!(env!("OUT_DIR"), "/thingsboard.rs"));
