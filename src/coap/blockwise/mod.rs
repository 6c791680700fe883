//! Block-wise transfer (RFC 7959) in its four roles, free of I/O and clocks.
//!
//! | role | file |
//! |---|---|
//! | client, Block1: the body of a request of ours leaves in blocks | `transfer` |
//! | client, Block2: the rest of a response or notification is fetched | `transfer` |
//! | server, Block1: the body of a request is put together | `reassembly` |
//! | server, Block2: a response of ours leaves block by block | `serve` |
//!
//! Bodies that are being put together, in either role, lie in `bodies`: one byte budget for all devices, and the body
//! that has waited longest gives way. Nothing a peer states sizes an allocation; a body grows with what has arrived.

mod block;
mod bodies;
mod reassembly;
mod serve;
mod transfer;

pub use block::Block;
pub use bodies::Bodies;
pub(crate) use reassembly::{Reassembled, Reassembly};
pub(crate) use serve::{Asked, serve};
pub(super) use transfer::{Step, Transfer};
