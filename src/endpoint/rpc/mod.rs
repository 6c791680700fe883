//! Platform commands: method and parameters to an [`Operation`], or to the answer that needs no device (`rpc.md`).
//!
//! What comes of an operation is the matter of [`super::operation`], because the profile's own requests are read and
//! logged in the same way.

mod arguments;
mod commands;
mod convert;
mod golden;
pub mod java;
mod json;
mod manual;
mod members;
mod params;
pub mod render;
mod reply;
mod settings;
mod target;
#[cfg(test)]
mod tests;

pub use manual::{MANUAL, Manual};
pub use reply::{Rejection, Reply};
pub use settings::RpcSettings;

use crate::{
    coap::{Code, Token},
    platform::{RpcRequest, profile::VersionedPath},
};

use super::{context::DeviceContext, observation::Observations, operation::Operation, text};
pub(super) use commands::value_node;
use commands::{CATALOGUE, Call};
use params::Params;
use target::Target;

/// What comes of a command that is understood.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Task {
    /// The device is to be asked.
    Operation(Box<Operation>),
    /// The answer is known.
    Answer(Answer),
}

/// An answer that needs no request to the device.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// The reply.
    pub(super) reply: Reply,
    /// Observations that are given up.
    pub(super) ended: Vec<Token>,
    /// The line for `transportLog`.
    pub(super) log: Option<String>,
}

impl Answer {
    /// A reply, and nothing else.
    const fn of(reply: Reply) -> Self {
        Self {
            reply,
            ended: Vec::new(),
            log: None,
        }
    }
}

impl From<Operation> for Task {
    fn from(operation: Operation) -> Self {
        Self::Operation(Box::new(operation))
    }
}

impl From<Answer> for Task {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// The first path of the profile with this key name whose version the device supports.
pub(super) fn path_of_key(key: &str, device: &DeviceContext<'_>) -> Option<VersionedPath> {
    Target::of_key(key, device)
}

/// Decides what comes of a command.
///
/// # Errors
/// [`Rejection`] when the command cannot be carried out.
pub(super) fn parse(
    request: &RpcRequest,
    device: &DeviceContext<'_>,
    observations: &Observations,
) -> Result<Task, Rejection> {
    let (_, command) = CATALOGUE
        .iter()
        .find(|(name, _)| *name == request.method)
        .ok_or_else(|| {
            let error = text::unsupported_operation(&request.method);
            Rejection::thrown(Code::METHOD_NOT_ALLOWED, error)
        })?;
    let params = Params::read(&request.params)
        .map_err(|error| Rejection::thrown(Code::BAD_REQUEST, error))?;
    command(&Call {
        params: &params,
        device,
        observations,
    })
}
