//! A simulated LwM2M client on the same codecs: for `demo`, `device`, tests and load.
//!
//! [`SimDevice`] is a state machine like the server's: no I/O, no clock. [`run`] puts it on a UDP socket.

mod answer;
mod bootstrap;
mod changes;
mod device;
mod objects;
mod observer;
pub mod run;
mod secure;
#[cfg(test)]
mod tests;
mod updates;

pub use device::{SimDevice, SimEvent, SimSettings};
pub use objects::SimObjects;
pub use secure::{LinkOutput, SecureLink};
