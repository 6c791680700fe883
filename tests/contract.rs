//! What a real platform wrote and read, byte for byte: see `contract/`.
#![cfg(feature = "kafka")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and says what it compared"
)]

#[path = "contract/attributes.rs"]
mod attributes;
#[path = "contract/bootstrap.rs"]
mod bootstrap;
#[path = "contract/from_core.rs"]
mod from_core;
#[path = "contract/golden.rs"]
mod golden;
#[path = "support/murmur2.rs"]
mod murmur2;
#[path = "contract/ota.rs"]
mod ota;
#[path = "contract/partitions.rs"]
mod partitions;
#[path = "contract/to_core.rs"]
mod to_core;
#[path = "support/wire.rs"]
mod wire;
#[path = "lockstep/world.rs"]
#[expect(dead_code, reason = "only some of it is needed to repeat a capture")]
mod world;
