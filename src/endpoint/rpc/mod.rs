//! Platform commands: method and parameters to an [`Operation`], or the reply that needs no device (`rpc.md`).
//!
//! What comes of an operation is the matter of [`super::operation`], because the profile's own requests are read and
//! logged in the same way.

mod arguments;
mod commands;
mod convert;
mod golden;
pub mod java;
mod json;
mod params;
pub mod render;
mod reply;
mod settings;
mod target;
#[cfg(test)]
mod tests;

pub use reply::{Rejection, Reply};
pub use settings::RpcSettings;

use crate::{coap::Code, platform::RpcRequest};

use super::{context::DeviceContext, operation::Operation, text};
use commands::Command;
use params::Params;

/// Turns a command into the operation to carry out.
///
/// # Errors
/// [`Rejection`] when the command is answered at once.
pub fn parse(request: &RpcRequest, device: &DeviceContext<'_>) -> Result<Operation, Rejection> {
    let command = CATALOGUE
        .iter()
        .find(|(name, _)| *name == request.method)
        .and_then(|(_, command)| *command)
        .ok_or_else(|| {
            let error = text::unsupported_operation(&request.method);
            Rejection::thrown(Code::METHOD_NOT_ALLOWED, error)
        })?;
    let params = Params::read(&request.params)
        .map_err(|error| Rejection::thrown(Code::BAD_REQUEST, error))?;
    command(&params, device)
}

/// The platform's commands in the order of their codes (`rpc.md` 3); those without a function are not built.
const CATALOGUE: [(&str, Option<Command>); 17] = [
    ("Read", Some(commands::read)),
    ("ReadComposite", None),
    ("Discover", Some(commands::discover)),
    ("DiscoverAll", None),
    ("ObserveReadAll", None),
    ("Observe", None),
    ("ObserveComposite", None),
    ("ObserveCancel", None),
    ("ObserveCompositeCancel", None),
    ("ObserveCancelAll", None),
    ("Execute", Some(commands::execute)),
    ("WriteReplace", Some(commands::write_replace)),
    ("WriteUpdate", None),
    ("WriteComposite", None),
    ("WriteAttributes", None),
    ("Delete", None),
    ("Create", None),
];
