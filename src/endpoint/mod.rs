//! (under construction)

pub mod context;
pub mod operation;
pub mod rpc;
pub mod settings;
pub mod text;
