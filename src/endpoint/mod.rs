//! (under construction)

pub mod rpc;
pub mod settings;
