//! The commands: parameters to operations or to answers, with every condition under which they are refused
//! (`rpc.md` 6).

mod attributes;
mod execute;
mod instance;
mod observe;
mod read;
mod write;
mod write_composite;

use crate::{
    coap::{Code, ContentFormat},
    endpoint::{
        context::DeviceContext,
        observation::Observations,
        operation::{Paths, format::NoUsableFormat},
        text,
    },
    lwm2m::{format::EncodeError, path::Path},
};

pub(in crate::endpoint) use write::value_node;

use super::{Task, params::Params, reply::Rejection, target::Target};

/// A command with everything it is carried out in the light of.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) params: &'a Params<'a>,
    pub(super) device: &'a DeviceContext<'a>,
    pub(super) observations: &'a Observations,
}

/// Decides what comes of a command.
pub(super) type Command = fn(&Call<'_>) -> Result<Task, Rejection>;

/// The platform's commands in the order of their codes (`rpc.md` 3).
pub(super) const CATALOGUE: [(&str, Command); 17] = [
    ("Read", read::read),
    ("ReadComposite", read::read_composite),
    ("Discover", read::discover),
    ("DiscoverAll", read::discover_all),
    ("ObserveReadAll", observe::read_all),
    ("Observe", observe::observe),
    ("ObserveComposite", observe::observe_composite),
    ("ObserveCancel", observe::cancel),
    ("ObserveCompositeCancel", observe::cancel_composite),
    ("ObserveCancelAll", observe::cancel_all),
    ("Execute", execute::execute),
    ("WriteReplace", write::write_replace),
    ("WriteUpdate", write::write_update),
    ("WriteComposite", write_composite::write_composite),
    ("WriteAttributes", attributes::write_attributes),
    ("Delete", instance::delete),
    ("Create", instance::create),
];

impl Call<'_> {
    /// The id that the command names.
    fn id(&self) -> Result<String, Rejection> {
        self.params.id(self.device).map_err(bad_request)
    }

    /// The ids that a composite command names, and their paths in the order in which they are sent. Versions are not
    /// looked at.
    fn ids(&self) -> Result<(Vec<String>, Paths), Rejection> {
        let ids = self.params.ids(self.device).map_err(bad_request)?;
        let paths = ids
            .iter()
            .map(|id| Ok(Target::parse(id)?.path))
            .collect::<Result<Vec<_>, _>>()
            .map_err(bad_request)?;
        if paths.contains(&Path::ROOT) {
            return Err(bad_request(text::object_absent(None)));
        }
        Ok((ids, Paths::together(paths)))
    }

    /// The path of an id, once its version was checked.
    fn versioned(&self, id: &str) -> Result<Path, String> {
        let target = Target::parse(id)?;
        target.check_version(self.device)?;
        Ok(target.path)
    }

    /// The format the command asks for, else the usual one.
    fn format(
        &self,
        usual: Result<ContentFormat, NoUsableFormat>,
    ) -> Result<ContentFormat, Rejection> {
        let asked_for = self.params.content_format(self.device);
        match asked_for.map_err(bad_request)? {
            Some(format) => Ok(format),
            None => usual.map_err(|error| internal(error.to_string())),
        }
    }
}

/// A list of ids as replies and log lines print it.
fn list(ids: &[String]) -> String {
    format!("[{}]", ids.join(", "))
}

fn bad_request(error: String) -> Rejection {
    Rejection::thrown(Code::BAD_REQUEST, error)
}

fn internal(error: String) -> Rejection {
    Rejection::thrown(Code::INTERNAL_SERVER_ERROR, error)
}

/// A format that cannot carry what is to be sent.
fn unencodable(error: EncodeError, path: &Path) -> Rejection {
    internal(if error == EncodeError::SingleValueOnly {
        text::single_value_format(path)
    } else {
        error.to_string()
    })
}
