//! (under construction)

pub mod context;
#[cfg(test)]
mod fixture;
pub mod operation;
pub mod rpc;
pub mod settings;
pub mod telemetry;
pub mod text;
