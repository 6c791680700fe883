//! Platform commands: method and parameters to an operation, what came of it to the reply text (`rpc.md`).

pub mod java;
pub mod render;
