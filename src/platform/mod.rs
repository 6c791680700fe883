//! The vocabulary between a device and the platform core, whichever side implements it.
//!
//! Towards the core goes an [`Uplink`] through [`Platform::submit`]; towards a device comes a [`Downlink`] through
//! [`DownlinkSink`]. Nothing above this seam can tell whether Kafka or a folder of files stands behind it.
//!
//! Invariants: `submit` never blocks; every question is answered, with an error if need be; every uplink that carries
//! an [`UplinkId`] is answered by exactly one [`Reply::Done`].

pub mod credentials;
pub mod downlink;
pub mod embedded;
pub mod key_text;
pub mod log_line;
pub mod name;
pub mod package;
pub mod peer;
pub mod profile;
pub mod secret;
pub mod server_account;
pub mod service;
pub mod session;
#[cfg(feature = "kafka")]
pub mod thingsboard;
pub mod time;
pub mod uplink;

pub use downlink::{
    Answer, Downlink, DownlinkSink, Reply, ReplySink, ReplyTo, RpcRequest, Undeliverable,
};
pub use session::{DeviceInfo, PlatformId, SessionId, SessionInfo};
pub use uplink::{
    Outcome, Platform, Question, QuestionError, RequestId, SubmitError, Uplink, UplinkId,
};
