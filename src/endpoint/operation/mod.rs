//! One request to a device, whoever wants it: the profile, a platform command or a shared attribute.
//!
//! An [`Operation`] knows its CoAP request, the names by which log lines speak of it, and how to read what comes back
//! ([`Outcome`], [`Failed`]).

pub mod format;
mod outcome;

use std::fmt;

use bytes::Bytes;

pub use outcome::{Failed, Outcome, decode};

use crate::{
    coap::{self, Code, ContentFormat},
    lwm2m::{
        attributes::NotificationAttributes,
        format::{EncodeError, encode},
        node::Node,
        path::Path,
    },
};

use super::{context::DeviceContext, rpc::render, text};

/// One request to a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    id: String,
    path: Path,
    action: Action,
}

/// What a request does at its path.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Reads values.
    Read {
        /// The format asked for.
        accept: ContentFormat,
    },
    /// Lists what is there, with attributes.
    Discover,
    /// Reads values and asks for notifications.
    Observe {
        /// The format asked for.
        accept: ContentFormat,
    },
    /// Writes notification attributes.
    WriteAttributes(NotificationAttributes),
    /// Replaces a value.
    WriteReplace {
        /// The format of the payload.
        format: ContentFormat,
        /// What is written.
        node: Node,
        /// The same, encoded.
        payload: Bytes,
    },
    /// Runs an executable resource.
    Execute {
        /// The arguments as they are sent; empty for none.
        arguments: String,
    },
}

impl Operation {
    // `id` is the path as users gave it, or with the version as profiles have it: `/3_1.2/0/9`. Replies and log lines
    // print it; `path` is what the device sees.

    /// A Read; see [`format::for_reading`] for `accept`.
    pub fn read(id: impl Into<String>, path: Path, accept: ContentFormat) -> Self {
        Self::new(id, path, Action::Read { accept })
    }

    /// A Discover.
    pub fn discover(id: impl Into<String>, path: Path) -> Self {
        Self::new(id, path, Action::Discover)
    }

    /// An Observe; see [`format::for_reading`] for `accept`.
    pub fn observe(id: impl Into<String>, path: Path, accept: ContentFormat) -> Self {
        Self::new(id, path, Action::Observe { accept })
    }

    /// A Write-Attributes.
    pub fn write_attributes(
        id: impl Into<String>,
        path: Path,
        attributes: NotificationAttributes,
    ) -> Self {
        Self::new(id, path, Action::WriteAttributes(attributes))
    }

    /// A Write in the mode Replace; see [`format::for_writing`] for `format`.
    ///
    /// # Errors
    /// [`EncodeError`] when the format cannot carry the node.
    pub fn write_replace(
        id: impl Into<String>,
        path: Path,
        format: ContentFormat,
        node: Node,
    ) -> Result<Self, EncodeError> {
        let payload = encode(format, &path, &node)?;
        let action = Action::WriteReplace {
            format,
            node,
            payload,
        };
        Ok(Self::new(id, path, action))
    }

    /// An Execute.
    pub fn execute(id: impl Into<String>, path: Path, arguments: impl Into<String>) -> Self {
        let arguments = arguments.into();
        Self::new(id, path, Action::Execute { arguments })
    }

    fn new(id: impl Into<String>, path: Path, action: Action) -> Self {
        Self {
            id: id.into(),
            path,
            action,
        }
    }

    /// The path as log lines and replies print it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The path below the device's root.
    pub const fn path(&self) -> &Path {
        &self.path
    }

    /// What it does.
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// The name of its request in log lines.
    pub const fn class_name(&self) -> &'static str {
        match self.action {
            Action::Read { .. } => "ReadRequest",
            Action::Discover => "DiscoverRequest",
            Action::Observe { .. } => "ObserveRequest",
            Action::WriteAttributes(_) => "WriteAttributesRequest",
            Action::WriteReplace { .. } => "WriteRequest",
            Action::Execute { .. } => "ExecuteRequest",
        }
    }

    /// The CoAP request; `root` are the segments of the device's root path.
    pub fn request(&self, root: &[String]) -> coap::Request {
        let segments = self.path.segments().iter().map(u16::to_string);
        let request = coap::Request {
            path: root.iter().cloned().chain(segments).collect(),
            ..coap::Request::default()
        };
        match &self.action {
            Action::Read { accept } => coap::Request {
                accept: Some(*accept),
                ..request
            },
            Action::Discover => coap::Request {
                accept: Some(ContentFormat::LINK),
                ..request
            },
            Action::Observe { accept } => coap::Request {
                observe: Some(0),
                accept: Some(*accept),
                ..request
            },
            Action::WriteAttributes(attributes) => coap::Request {
                method: Code::PUT,
                query: attributes.to_query(),
                ..request
            },
            Action::WriteReplace {
                format, payload, ..
            } => coap::Request {
                method: Code::PUT,
                content_format: Some(*format),
                payload: payload.clone(),
                ..request
            },
            Action::Execute { arguments } => coap::Request {
                method: Code::POST,
                content_format: (!arguments.is_empty()).then_some(ContentFormat::TEXT),
                payload: Bytes::copy_from_slice(arguments.as_bytes()),
                ..request
            },
        }
    }

    /// The log line written when the request leaves.
    pub fn sending(&self, device: &DeviceContext<'_>) -> String {
        text::sending(
            device.registration_id,
            device.address(),
            self.class_name(),
            self.path,
        )
    }

    /// The URI of the request, as failures print it.
    fn uri(&self, device: &DeviceContext<'_>) -> String {
        let request = self.request(device.registration.objects.root());
        let mut uri = format!("{}://{}", device.scheme(), device.address());
        for segment in &request.path {
            uri.push('/');
            uri.push_str(segment);
        }
        for (index, parameter) in request.query.iter().enumerate() {
            uri.push(if index == 0 { '?' } else { '&' });
            uri.push_str(parameter);
        }
        uri
    }
}

impl fmt::Display for Operation {
    /// `ReadRequest [path=/3/0/9 format=CBOR(60)]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, path) = (self.class_name(), &self.path);
        match &self.action {
            Action::Read { accept } | Action::Observe { accept } => {
                write!(f, "{class} [path={path} format={accept}]")
            }
            Action::Discover => write!(f, "{class} [{path}]"),
            Action::WriteAttributes(attributes) => {
                let attributes = attributes.to_query().join(",");
                write!(f, "{class} [{path}, attributes={attributes}]")
            }
            Action::WriteReplace { format, node, .. } => {
                let node = render::Text(node);
                write!(
                    f,
                    "{class} [mode=REPLACE, path={path}, format={format}, node={node}]"
                )
            }
            Action::Execute { arguments } => {
                write!(
                    f,
                    "{class} [path={path}, arguments=Arguments [argumentMap={{{arguments}}}]]"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::fixture::Fixture,
        lwm2m::{attributes::Attribute, node::Resource, value::Value},
    };

    const BATTERY: Path = Path::resource(3, 0, 9);

    #[test]
    fn requests_lie_below_the_root_of_the_device() {
        let request = Operation::read("/3_1.2/0/9", BATTERY, ContentFormat::CBOR)
            .request(&["lwm2m".to_owned()]);
        assert_eq!(request.method, Code::GET);
        assert_eq!(request.path, ["lwm2m", "3", "0", "9"]);
        assert_eq!(request.accept, Some(ContentFormat::CBOR));
        assert_eq!(request.observe, None);
    }

    #[test]
    fn discover_asks_for_links_and_observe_registers() {
        let discover = Operation::discover("/3_1.2", Path::object(3)).request(&[]);
        assert_eq!(discover.accept, Some(ContentFormat::LINK));
        let observe = Operation::observe("/3_1.2/0/9", BATTERY, ContentFormat::TEXT).request(&[]);
        assert_eq!((observe.method, observe.observe), (Code::GET, Some(0)));
        assert_eq!(observe.accept, Some(ContentFormat::TEXT));
    }

    #[test]
    fn writes_carry_a_payload_or_a_query() {
        let node = Node::Resource(Resource::single(14, Value::String("+02".to_owned())));
        let path = Path::resource(3, 0, 14);
        let write = Operation::write_replace("/3_1.2/0/14", path, ContentFormat::TEXT, node);
        let write = write.unwrap().request(&[]);
        assert_eq!(
            (write.method, write.content_format),
            (Code::PUT, Some(ContentFormat::TEXT))
        );
        assert_eq!(write.payload, "+02");
        let attributes = NotificationAttributes {
            pmin: Some(Attribute::Set(10)),
            ..NotificationAttributes::default()
        };
        let write = Operation::write_attributes("/3_1.2/0/9", BATTERY, attributes).request(&[]);
        assert_eq!((write.method, write.content_format), (Code::PUT, None));
        assert_eq!(write.query, ["pmin=10"]);
    }

    #[test]
    fn execute_states_a_format_only_with_arguments() {
        let path = Path::resource(3, 0, 4);
        let bare = Operation::execute("/3_1.2/0/4", path, "").request(&[]);
        assert_eq!((bare.method, bare.content_format), (Code::POST, None));
        assert!(bare.payload.is_empty());
        let full = Operation::execute("/3_1.2/0/4", path, "0='a'").request(&[]);
        assert_eq!(full.content_format, Some(ContentFormat::TEXT));
        assert_eq!(full.payload, "0='a'");
    }

    #[test]
    fn log_lines_name_the_request() {
        let fixture = Fixture::f();
        let operation = Operation::read("/3_1.2/0/9", BATTERY, ContentFormat::CBOR);
        assert_eq!(
            operation.sending(&fixture.context()),
            "[NV9l4mMNAf][/127.0.0.1:35960] Sending request: ReadRequest to /3/0/9"
        );
        assert_eq!(
            operation.to_string(),
            "ReadRequest [path=/3/0/9 format=CBOR(60)]"
        );
        let node = Node::Resource(Resource::single(9, Value::Integer(11)));
        let write = Operation::write_replace("/3_1.2/0/9", BATTERY, ContentFormat::CBOR, node);
        assert_eq!(
            write.unwrap().to_string(),
            "WriteRequest [mode=REPLACE, path=/3/0/9, format=CBOR(60), node=LwM2mSingleResource [id=9, value=11, \
             type=INTEGER]]"
        );
        assert_eq!(
            Operation::discover("/3", Path::object(3)).to_string(),
            "DiscoverRequest [/3]"
        );
    }
}
