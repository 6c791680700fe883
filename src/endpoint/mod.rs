//! (under construction)

pub mod rpc;
