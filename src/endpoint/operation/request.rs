//! The CoAP request of an operation (`protocol.md` 3.3), and how log lines show it.

use std::fmt;

use bytes::Bytes;

use crate::{
    coap::{self, Code, ContentFormat},
    endpoint::{context::DeviceContext, rpc::render, text},
};

use super::{Action, Content, Operation, Selection, WriteMode};

impl Operation {
    /// The name of its request in log lines.
    pub const fn class_name(&self) -> &'static str {
        match self.action {
            Action::Read { .. } => "ReadRequest",
            Action::ReadComposite(_) => "ReadCompositeRequest",
            Action::Discover => "DiscoverRequest",
            Action::Observe { .. } => "ObserveRequest",
            Action::ObserveComposite(_) => "ObserveCompositeRequest",
            Action::WriteAttributes(_) => "WriteAttributesRequest",
            Action::Write { .. } => "WriteRequest",
            Action::WriteComposite { .. } => "WriteCompositeRequest",
            Action::Execute { .. } => "ExecuteRequest",
            Action::Create(_) => "CreateRequest",
            Action::Delete => "DeleteRequest",
        }
    }

    /// The CoAP request; `root` are the segments of the device's root path.
    pub fn request(&self, root: &[String]) -> coap::Request {
        // Composite operations are aimed at the root.
        let segments = match &self.paths {
            super::Paths::One(path) => path.segments(),
            super::Paths::Several(_) => &[],
        };
        let segments = segments.iter().map(u16::to_string);
        let request = coap::Request {
            path: root.iter().cloned().chain(segments).collect(),
            ..coap::Request::default()
        };
        match &self.action {
            Action::Read { accept } => coap::Request {
                accept: Some(*accept),
                ..request
            },
            Action::ReadComposite(selection) => selection.request(request),
            Action::Discover => coap::Request {
                accept: Some(ContentFormat::LINK),
                ..request
            },
            Action::Observe { accept } => coap::Request {
                observe: Some(0),
                accept: Some(*accept),
                ..request
            },
            Action::ObserveComposite(selection) => coap::Request {
                observe: Some(0),
                ..selection.request(request)
            },
            Action::WriteAttributes(attributes) => coap::Request {
                method: Code::PUT,
                query: attributes.to_query(),
                ..request
            },
            Action::Write { mode, content } => coap::Request {
                method: match mode {
                    WriteMode::Replace => Code::PUT,
                    WriteMode::Update => Code::POST,
                },
                ..content.request(request)
            },
            Action::WriteComposite {
                format, payload, ..
            } => coap::Request {
                method: Code::IPATCH,
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
            Action::Create(content) => coap::Request {
                method: Code::POST,
                ..content.request(request)
            },
            Action::Delete => coap::Request {
                method: Code::DELETE,
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
            &self.paths,
        )
    }

    /// The URI of the request, as failures print it.
    pub(super) fn uri(&self, device: &DeviceContext<'_>) -> String {
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

impl Selection {
    fn request(&self, request: coap::Request) -> coap::Request {
        coap::Request {
            method: Code::FETCH,
            content_format: Some(self.format),
            accept: Some(self.format),
            payload: self.payload.clone(),
            ..request
        }
    }
}

impl Content {
    fn request(&self, request: coap::Request) -> coap::Request {
        coap::Request {
            content_format: Some(self.format),
            payload: self.payload.clone(),
            ..request
        }
    }
}

impl fmt::Display for Operation {
    /// `ReadRequest [path=/3/0/9 format=CBOR(60)]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, paths) = (self.class_name(), &self.paths);
        match &self.action {
            Action::Read { accept } | Action::Observe { accept } => {
                write!(f, "{class} [path={paths} format={accept}]")
            }
            Action::ReadComposite(Selection { format, .. })
            | Action::ObserveComposite(Selection { format, .. })
            | Action::WriteComposite { format, .. } => {
                write!(f, "{class} [paths={paths} format={format}]")
            }
            Action::Discover | Action::Delete => write!(f, "{class} [{paths}]"),
            Action::WriteAttributes(attributes) => {
                let attributes = attributes.to_query().join(",");
                write!(f, "{class} [{paths}, attributes={attributes}]")
            }
            Action::Write { mode, content } => {
                let mode = match mode {
                    WriteMode::Replace => "REPLACE",
                    WriteMode::Update => "UPDATE",
                };
                write!(f, "{class} [mode={mode}, path={paths}, {content}]")
            }
            Action::Execute { arguments } => {
                write!(
                    f,
                    "{class} [path={paths}, arguments=Arguments [argumentMap={{{arguments}}}]]"
                )
            }
            Action::Create(content) => write!(f, "{class} [path={paths}, {content}]"),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "format={}, node={}",
            self.format,
            render::Text(&self.node)
        )
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        endpoint::fixture::Fixture,
        lwm2m::{
            attributes::{Attribute, NotificationAttributes},
            node::{Node, Resource},
            path::Path,
            value::Value,
        },
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
        let (id, mode) = ("/3_1.2/0/14", WriteMode::Replace);
        let write = Operation::write(id, path, mode, ContentFormat::TEXT, node);
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
        let (id, mode) = ("/3_1.2/0/9", WriteMode::Replace);
        let write = Operation::write(id, BATTERY, mode, ContentFormat::CBOR, node);
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
