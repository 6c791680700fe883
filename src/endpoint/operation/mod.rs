//! One request to a device, whoever wants it: the profile, a platform command or a shared attribute.
//!
//! An [`Operation`] knows its CoAP request, the names by which log lines speak of it, and how to read what comes back
//! ([`Outcome`], [`Failed`]).

mod content;
pub mod format;
mod outcome;
mod paths;
mod request;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use content::{decode, decode_notification};
pub use outcome::{Failed, Outcome};
pub use paths::Paths;

use crate::{
    coap::ContentFormat,
    lwm2m::{
        attributes::NotificationAttributes,
        format::{EncodeError, Sample, encode, encode_paths, encode_samples},
        node::Node,
        path::Path,
    },
};

/// One request to a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    id: String,
    paths: Paths,
    action: Action,
}

/// What a request does at its paths.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Reads values.
    Read {
        /// The format asked for.
        accept: ContentFormat,
    },
    /// Reads values of several paths.
    ReadComposite(Selection),
    /// Lists what is there, with attributes.
    Discover,
    /// Reads values and asks for notifications.
    Observe {
        /// The format asked for.
        accept: ContentFormat,
    },
    /// Reads values of several paths and asks for notifications of all together.
    ObserveComposite(Selection),
    /// Writes notification attributes.
    WriteAttributes(NotificationAttributes),
    /// Writes values.
    Write {
        /// What becomes of values that are there and not written.
        mode: WriteMode,
        /// What is written.
        content: Content,
    },
    /// Writes values of several paths.
    WriteComposite {
        /// The format of the payload.
        format: ContentFormat,
        /// What is written: resources and resource instances, in the order of the paths.
        nodes: Vec<(Path, Node)>,
        /// The same, encoded.
        payload: Bytes,
    },
    /// Runs an executable resource.
    Execute {
        /// The arguments as they are sent; empty for none.
        arguments: String,
    },
    /// Adds object instances: those of an object, which have ids, or one without, to which the device gives an id.
    Create(Content),
    /// Removes an object instance or a resource instance.
    Delete,
}

/// A list of paths as it is sent. Request and response have the same format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The format.
    pub format: ContentFormat,
    /// The paths, encoded.
    pub payload: Bytes,
}

/// A node as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The format of the payload.
    pub format: ContentFormat,
    /// The node.
    pub node: Node,
    /// The same, encoded.
    pub payload: Bytes,
}

/// What a Write does with values that are there and not written (OMA LwM2M Core, "Write").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// Removes them.
    Replace,
    /// Leaves them.
    Update,
}

impl Operation {
    /// Whether doing it twice is no worse than doing it once, for all that is known.
    pub fn is_repeatable(&self) -> bool {
        match self.action {
            Action::Execute { .. } | Action::Create(_) => false,
            Action::Read { .. }
            | Action::ReadComposite(_)
            | Action::Discover
            | Action::Observe { .. }
            | Action::ObserveComposite(_)
            | Action::WriteAttributes(_)
            | Action::Write { .. }
            | Action::WriteComposite { .. }
            | Action::Delete => true,
        }
    }

    // `id` is the path as users gave it, or with the version as profiles have it: `/3_1.2/0/9`; of several paths it is
    // their list in brackets. Replies and log lines print it; `paths` is what the device sees.

    /// A Read; see [`format::for_reading`] for `accept`.
    pub fn read(id: impl Into<String>, path: Path, accept: ContentFormat) -> Self {
        Self::one(id, path, Action::Read { accept })
    }

    /// A Read-Composite; see [`format::for_composite`] for `format`.
    ///
    /// # Errors
    /// [`EncodeError`] when the format names no paths.
    pub fn read_composite(
        id: impl Into<String>,
        paths: Paths,
        format: ContentFormat,
    ) -> Result<Self, EncodeError> {
        let action = Action::ReadComposite(Selection::of(&paths, format)?);
        Ok(Self::new(id, paths, action))
    }

    /// A Discover.
    pub fn discover(id: impl Into<String>, path: Path) -> Self {
        Self::one(id, path, Action::Discover)
    }

    /// An Observe; see [`format::for_reading`] for `accept`.
    pub fn observe(id: impl Into<String>, path: Path, accept: ContentFormat) -> Self {
        Self::one(id, path, Action::Observe { accept })
    }

    /// An Observe-Composite; see [`format::for_composite`] for `format`.
    ///
    /// # Errors
    /// [`EncodeError`] when the format names no paths.
    pub fn observe_composite(
        id: impl Into<String>,
        paths: Paths,
        format: ContentFormat,
    ) -> Result<Self, EncodeError> {
        let action = Action::ObserveComposite(Selection::of(&paths, format)?);
        Ok(Self::new(id, paths, action))
    }

    /// A Write-Attributes.
    pub fn write_attributes(
        id: impl Into<String>,
        path: Path,
        attributes: NotificationAttributes,
    ) -> Self {
        Self::one(id, path, Action::WriteAttributes(attributes))
    }

    /// A Write; see [`format::for_writing`] for `format`.
    ///
    /// # Errors
    /// [`EncodeError`] when the format cannot carry the node.
    pub fn write(
        id: impl Into<String>,
        path: Path,
        mode: WriteMode,
        format: ContentFormat,
        node: Node,
    ) -> Result<Self, EncodeError> {
        let content = Content::of(&path, format, node)?;
        Ok(Self::one(id, path, Action::Write { mode, content }))
    }

    /// A Write-Composite of resources and resource instances; see [`format::for_composite`] for `format`.
    ///
    /// # Errors
    /// [`EncodeError`] when the format names no paths or cannot carry a value.
    pub fn write_composite(
        id: impl Into<String>,
        nodes: Vec<(Path, Node)>,
        format: ContentFormat,
    ) -> Result<Self, EncodeError> {
        let sample = Sample { time: None, nodes };
        let payload = encode_samples(format, std::slice::from_ref(&sample))?;
        let nodes = sample.nodes;
        let paths = Paths::Several(nodes.iter().map(|(path, _)| *path).collect());
        let action = Action::WriteComposite {
            format,
            nodes,
            payload,
        };
        Ok(Self::new(id, paths, action))
    }

    /// An Execute.
    pub fn execute(id: impl Into<String>, path: Path, arguments: impl Into<String>) -> Self {
        let arguments = arguments.into();
        Self::one(id, path, Action::Execute { arguments })
    }

    /// A Create of the instances of `node`, an object; or of `node`, an object instance, under an id that the device
    /// chooses. See [`format::for_writing`] for `format`; only TLV can leave the id open.
    ///
    /// # Errors
    /// [`EncodeError`] when the format cannot carry the node.
    pub fn create(
        id: impl Into<String>,
        object: Path,
        format: ContentFormat,
        node: Node,
    ) -> Result<Self, EncodeError> {
        let encoded_at = match (&node, object.object_id()) {
            // At its own path an instance is written without its id.
            (Node::ObjectInstance(instance), Some(object)) => Path::instance(object, instance.id),
            _ => object,
        };
        let content = Content::of(&encoded_at, format, node)?;
        Ok(Self::one(id, object, Action::Create(content)))
    }

    /// A Delete.
    pub fn delete(id: impl Into<String>, path: Path) -> Self {
        Self::one(id, path, Action::Delete)
    }

    fn one(id: impl Into<String>, path: Path, action: Action) -> Self {
        Self::new(id, Paths::One(path), action)
    }

    fn new(id: impl Into<String>, paths: Paths, action: Action) -> Self {
        Self {
            id: id.into(),
            paths,
            action,
        }
    }

    /// The path, or the list of paths, as log lines and replies print it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The paths below the device's root.
    pub const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// What it does.
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// Whether it reads values and asks for nothing more.
    pub const fn reads(&self) -> bool {
        matches!(self.action, Action::Read { .. } | Action::ReadComposite(_))
    }

    /// Whether both do the same kind of thing at the same paths.
    pub fn is_like(&self, other: &Self) -> bool {
        let kind = std::mem::discriminant(&self.action);
        kind == std::mem::discriminant(&other.action) && self.paths.equal(&other.paths)
    }

    /// One request for this one and `next`, which [is like](Self::is_like) it and would follow.
    #[must_use]
    pub fn followed_by(&self, mut next: Self) -> Self {
        if let (Action::WriteAttributes(own), Action::WriteAttributes(other)) =
            (&self.action, &mut next.action)
        {
            *other = own.followed_by(other);
        }
        next
    }

    /// Whether it asks for notifications, and in which format.
    pub const fn observes(&self) -> Option<ContentFormat> {
        match &self.action {
            Action::Observe { accept } => Some(*accept),
            Action::ObserveComposite(Selection { format, .. }) => Some(*format),
            Action::Read { .. }
            | Action::ReadComposite(_)
            | Action::Discover
            | Action::WriteAttributes(_)
            | Action::Write { .. }
            | Action::WriteComposite { .. }
            | Action::Execute { .. }
            | Action::Create(_)
            | Action::Delete => None,
        }
    }
}

impl Selection {
    fn of(paths: &Paths, format: ContentFormat) -> Result<Self, EncodeError> {
        let payload = encode_paths(format, paths.as_slice())?;
        Ok(Self { format, payload })
    }
}

impl Content {
    fn of(path: &Path, format: ContentFormat, node: Node) -> Result<Self, EncodeError> {
        let payload = encode(format, path, &node)?;
        Ok(Self {
            format,
            node,
            payload,
        })
    }
}
