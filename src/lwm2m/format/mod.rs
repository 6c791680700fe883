//! Content formats: payload bytes to nodes and back.
//!
//! One file per format. A decoder reads a payload in the light of the path that was asked for and the models of the
//! device; a value it cannot read is reported beside the values it can, so that one bad resource does not cost its
//! neighbours. What a decoder allocates is bounded by the size of its input.

mod cbor;
mod date_time;
mod link;
mod opaque;
#[cfg(test)]
mod properties;
mod sample;
mod text;
mod tlv;

pub use sample::{Sample, SampleTime, Samples};

use bytes::Bytes;

use super::{
    model::Models,
    node::{Node, Resource, ResourceContent, ResourceInstance},
    path::Path,
    value::{ResourceType, Value},
};
use crate::coap::content_format::ContentFormat;

/// What a payload is read in the light of.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The types of the resources. A resource without a model is read as the format allows (text gives String, TLV gives
    /// Opaque, CBOR and SenML follow the type on the wire). Whether built-in models take part is decided by the caller.
    pub models: &'a Models,
    /// The segments of the device's alternate root path, which may stand in front of the paths that a payload names.
    pub root: &'a [String],
}

impl<'a> From<&'a Models> for Scope<'a> {
    /// The root of the device is `/`.
    fn from(models: &'a Models) -> Self {
        Self { models, root: &[] }
    }
}

/// Reads a payload as the representation of `path`, the answer to a Read.
///
/// # Errors
/// When nothing at `path` can be made of the payload, or when it holds values of more than one time. Where some values
/// can be read, those that cannot are listed in [`Decoded::rejected`] instead.
pub fn decode<'a>(
    format: ContentFormat,
    path: &Path,
    payload: &Bytes,
    scope: impl Into<Scope<'a>>,
) -> Result<Decoded, DecodeError> {
    let Scope { models, .. } = scope.into();
    match format {
        ContentFormat::TEXT => text::decode(path, payload, models),
        ContentFormat::LINK => link::decode(path, payload, models),
        ContentFormat::OPAQUE => opaque::decode(path, payload, models),
        ContentFormat::CBOR => cbor::decode(path, payload, models),
        ContentFormat::TLV | ContentFormat::OLD_TLV => tlv::decode(path, payload, models),
        _ => Err(DecodeErrorKind::UnsupportedFormat.at(0)),
    }
}

/// Reads a payload as the representation of `path` at one or several times, a notification: every sample has one node,
/// that of `path`.
///
/// # Errors
/// As [`decode`], but for the times.
pub fn decode_history<'a>(
    format: ContentFormat,
    path: &Path,
    payload: &Bytes,
    scope: impl Into<Scope<'a>>,
) -> Result<Samples, DecodeError> {
    let Decoded { node, rejected } = decode(format, path, payload, scope)?;
    Ok(Samples {
        samples: vec![Sample {
            time: None,
            nodes: vec![(*path, node)],
        }],
        rejected,
    })
}

/// Reads the answer to a composite request, or a composite notification: in every sample the nodes of those `paths` that
/// the device has, in the order of `paths`.
///
/// # Errors
/// When the format does not name paths, or the payload breaks its grammar. Values that lie below none of the paths, and
/// those that cannot be read, are listed in [`Samples::rejected`].
pub fn decode_composite<'a>(
    _format: ContentFormat,
    _paths: &[Path],
    _payload: &Bytes,
    _scope: impl Into<Scope<'a>>,
) -> Result<Samples, DecodeError> {
    Err(DecodeErrorKind::UnsupportedFormat.at(0))
}

/// Reads what a device sent by itself (Send): every value is a node of its own, a resource or a resource instance.
///
/// # Errors
/// As [`decode_composite`].
pub fn decode_send<'a>(
    _format: ContentFormat,
    _payload: &Bytes,
    _scope: impl Into<Scope<'a>>,
) -> Result<Samples, DecodeError> {
    Err(DecodeErrorKind::UnsupportedFormat.at(0))
}

/// Reads the list of paths in a Read-Composite or Observe-Composite request.
///
/// # Errors
/// When the format does not name paths, the payload breaks its grammar, or a name is no path.
pub fn decode_paths(
    _format: ContentFormat,
    _payload: &Bytes,
    _root: &[String],
) -> Result<Vec<Path>, DecodeError> {
    Err(DecodeErrorKind::UnsupportedFormat.at(0))
}

/// Writes `node` as the representation of `path`.
///
/// # Errors
/// [`EncodeError`] when the format is unknown or cannot carry such a node, or when the node does not belong to the
/// path.
pub fn encode(format: ContentFormat, path: &Path, node: &Node) -> Result<Bytes, EncodeError> {
    match format {
        ContentFormat::TEXT => text::encode(single_value(path, node)?),
        ContentFormat::LINK => link::encode(single_value(path, node)?),
        ContentFormat::OPAQUE => opaque::encode(single_value(path, node)?),
        ContentFormat::CBOR => Ok(cbor::encode(single_value(path, node)?)),
        ContentFormat::TLV | ContentFormat::OLD_TLV => tlv::encode(path, node),
        _ => Err(EncodeError::UnsupportedFormat),
    }
}

/// Writes nodes of several paths, at one or several times: Write-Composite, Send, and the answers to composite requests.
///
/// # Errors
/// [`EncodeError`] when the format names no paths, has no times though a sample states one, cannot carry a value, or when
/// a node does not belong to its path.
pub fn encode_samples(_format: ContentFormat, _samples: &[Sample]) -> Result<Bytes, EncodeError> {
    Err(EncodeError::UnsupportedFormat)
}

/// Writes the list of paths of a Read-Composite or Observe-Composite request.
///
/// # Errors
/// [`EncodeError::UnsupportedFormat`] when the format names no paths.
pub fn encode_paths(_format: ContentFormat, _paths: &[Path]) -> Result<Bytes, EncodeError> {
    Err(EncodeError::UnsupportedFormat)
}

/// The formats in which values can be read.
pub const fn supported_for_reading() -> &'static [ContentFormat] {
    &[
        ContentFormat::TEXT,
        ContentFormat::LINK,
        ContentFormat::OPAQUE,
        ContentFormat::CBOR,
        ContentFormat::OLD_TLV,
        ContentFormat::TLV,
    ]
}

/// The formats in which values can be written.
pub const fn supported_for_writing() -> &'static [ContentFormat] {
    supported_for_reading()
}

/// What was read from a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The values that could be read.
    pub node: Node,
    /// The values that could not, in payload order, with the most exact path known.
    pub rejected: Vec<(Path, DecodeError)>,
}

impl From<Node> for Decoded {
    fn from(node: Node) -> Self {
        Self {
            node,
            rejected: Vec::new(),
        }
    }
}

/// Why a payload, or one value in it, cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (at byte {offset})")]
pub struct DecodeError {
    /// The rule that was broken.
    pub kind: DecodeErrorKind,
    /// Where in the payload, in bytes from its start.
    pub offset: usize,
}

/// The rule a payload breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// An id is repeated among siblings.
    #[error("an id is repeated")]
    Duplicate,
    /// An id differs from the one in the path.
    #[error("an id differs from the one that was asked for")]
    IdConflict,
    /// The value has a length that its type does not have.
    #[error("a value has a length its type does not have")]
    Length,
    /// A structure stands where it may not.
    #[error("the payload has a structure that this path does not have")]
    Structure,
    /// The format cannot represent what the path names.
    #[error("this content format carries a single value only")]
    SingleValueOnly,
    /// A value is not written as its type demands.
    #[error("a value is not written as its type demands")]
    Syntax,
    /// More bytes follow where nothing may follow.
    #[error("bytes follow the value")]
    Trailing,
    /// The payload ends inside a value, or states a length beyond its end.
    #[error("the payload ends too early")]
    Truncated,
    /// No decoder for this content format.
    #[error("the content format is not supported")]
    UnsupportedFormat,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// The number does not fit its type, or is not finite.
    #[error("a number is out of range")]
    ValueRange,
    /// The value has another type than the model gives it.
    #[error("a value has another type than its model")]
    WrongType,
}

impl DecodeErrorKind {
    /// This kind of error at a byte offset.
    pub const fn at(self, offset: usize) -> DecodeError {
        DecodeError { kind: self, offset }
    }
}

/// Why a node cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The format has no form for an infinite number or one that is none.
    #[error("the content format cannot carry this number")]
    NotFinite,
    /// The node is not what the path names.
    #[error("the value does not belong to the path")]
    PathMismatch,
    /// The format carries one value, and the node holds several or has instances.
    #[error("the content format carries a single value only")]
    SingleValueOnly,
    /// The value is longer than the format can say.
    #[error("the value is too long")]
    TooLong,
    /// No encoder for this content format.
    #[error("the content format is not supported")]
    UnsupportedFormat,
    /// The format has no form for this type.
    #[error("the content format cannot carry this type")]
    UnsupportedType,
}

/// Makes the node of a format that carries one value.
fn single_node(path: &Path, value: Value) -> Result<Node, DecodeError> {
    match (path.resource_id(), path.resource_instance_id()) {
        (Some(_), Some(id)) => Ok(Node::ResourceInstance(ResourceInstance { id, value })),
        (Some(id), None) => Ok(Node::Resource(Resource::single(id, value))),
        (None, _) => Err(DecodeErrorKind::SingleValueOnly.at(0)),
    }
}

/// The one value of a resource or resource instance, which `path` has to name.
fn single_value<'a>(path: &Path, node: &'a Node) -> Result<&'a Value, EncodeError> {
    let (id, expected, value) = match node {
        Node::Resource(Resource {
            id,
            content: ResourceContent::Single(value),
        }) => (*id, (path.depth() == 3).then(|| path.resource_id()), value),
        Node::ResourceInstance(ResourceInstance { id, value }) => {
            (*id, Some(path.resource_instance_id()), value)
        }
        Node::Resource(_) | Node::ObjectInstance(_) | Node::Object(_) => {
            return Err(EncodeError::SingleValueOnly);
        }
    };
    if expected.flatten() == Some(id) {
        Ok(value)
    } else {
        Err(EncodeError::PathMismatch)
    }
}

/// The type the models give to what a path names; `None` without a model.
fn modelled_type(path: &Path, models: &Models) -> Option<ResourceType> {
    Some(
        models
            .resource(path.object_id()?, path.resource_id()?)?
            .kind,
    )
}

/// The payload as text that starts at byte `offset`.
fn utf8(bytes: &[u8], offset: usize) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes)
        .map_err(|error| DecodeErrorKind::Utf8.at(offset.saturating_add(error.valid_up_to())))
}

/// Reads `oid:iid`, the text form of an object link.
fn object_link(text: &str) -> Result<Value, DecodeErrorKind> {
    let id = |digits: &str| {
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(DecodeErrorKind::Syntax);
        }
        digits.parse().map_err(|_| DecodeErrorKind::ValueRange)
    };
    let (object, instance) = text.split_once(':').ok_or(DecodeErrorKind::Syntax)?;
    Ok(Value::ObjectLink(id(object)?, id(instance)?))
}

/// Turns the seconds of the wire into the milliseconds of [`Value::Time`].
fn time_from_seconds(seconds: i64) -> Result<Value, DecodeErrorKind> {
    seconds
        .checked_mul(1000)
        .map(Value::Time)
        .ok_or(DecodeErrorKind::ValueRange)
}

/// The whole seconds of a time in milliseconds, rounded towards the past.
const fn seconds(millis: i64) -> i64 {
    millis.div_euclid(1000)
}

/// Admits finite numbers only; neither telemetry nor JSON has a form for the others.
fn finite(number: f64) -> Result<Value, DecodeErrorKind> {
    if number.is_finite() {
        Ok(Value::Float(number))
    } else {
        Err(DecodeErrorKind::ValueRange)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lwm2m::{
        model::{ObjectModel, Operations, ResourceModel},
        path::{ObjectId, ObjectVersion, ResourceId},
    };

    /// Object 1000 in several instances, whose resource 1 is single and resource 2 multiple, both of this type.
    pub(super) fn model(kind: ResourceType) -> Models {
        models(1000, true, &[(1, kind, false), (2, kind, true)])
    }

    /// One object with these resources: id, type, whether multiple.
    pub(super) fn models(
        id: ObjectId,
        multiple: bool,
        resources: &[(ResourceId, ResourceType, bool)],
    ) -> Models {
        let resource = |&(id, kind, multiple)| ResourceModel {
            id,
            name: format!("Resource {id}"),
            operations: Operations::default(),
            multiple,
            mandatory: false,
            kind,
            range: String::new(),
            units: String::new(),
        };
        Models::from_iter([Arc::new(ObjectModel {
            id,
            version: ObjectVersion::V1_0,
            name: "Test".into(),
            multiple,
            mandatory: false,
            resources: resources
                .iter()
                .map(|entry| (entry.0, resource(entry)))
                .collect(),
        })])
    }

    /// The value of a single resource or resource instance.
    pub(super) fn value_at(node: &Node) -> Value {
        match node {
            Node::ResourceInstance(ResourceInstance { value, .. })
            | Node::Resource(Resource {
                content: ResourceContent::Single(value),
                ..
            }) => value.clone(),
            Node::Object(_) | Node::ObjectInstance(_) | Node::Resource(_) => {
                panic!("not a single value: {node:?}")
            }
        }
    }

    /// Bytes written as in the specifications, `c1 09 64`.
    pub(super) fn hex(text: &str) -> Bytes {
        text.split_ascii_whitespace()
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect()
    }

    #[test]
    fn a45_an_unknown_format_is_refused() {
        let unknown = ContentFormat(4711);
        let path = Path::resource(3, 0, 9);
        assert_eq!(
            decode(unknown, &path, &Bytes::new(), &Models::default()),
            Err(DecodeErrorKind::UnsupportedFormat.at(0))
        );
        let node = Node::Resource(Resource::single(9, Value::Integer(1)));
        assert_eq!(
            encode(unknown, &path, &node),
            Err(EncodeError::UnsupportedFormat)
        );
    }

    #[test]
    fn every_supported_format_reads_and_writes_an_opaque_or_link_value() {
        let path = Path::resource(1000, 0, 1);
        let opaque = Value::Opaque(Bytes::from_static(b"x"));
        let link = Value::CoreLink("</3>".into());
        for format in supported_for_reading() {
            let value = if *format == ContentFormat::LINK {
                &link
            } else {
                &opaque
            };
            let node = Node::Resource(Resource::single(1, value.clone()));
            let payload = encode(*format, &path, &node).unwrap();
            let models = model(value.resource_type());
            let decoded = decode(*format, &path, &payload, &models).unwrap();
            assert_eq!(decoded, Decoded::from(node), "{format}");
        }
    }

    #[test]
    fn formats_for_single_values_refuse_everything_else() {
        let payload = Bytes::from_static(&[0x00]);
        let instance = Node::ObjectInstance(crate::lwm2m::node::ObjectInstance {
            id: 0,
            resources: Vec::new(),
        });
        let multiple = Node::Resource(Resource::multiple(2, ResourceType::Integer, Vec::new()));
        for format in [
            ContentFormat::TEXT,
            ContentFormat::LINK,
            ContentFormat::OPAQUE,
            ContentFormat::CBOR,
        ] {
            for path in [Path::ROOT, Path::object(1000), Path::instance(1000, 0)] {
                let error = decode(format, &path, &payload, &Models::default()).unwrap_err();
                assert_eq!(error.kind, DecodeErrorKind::SingleValueOnly, "{format}");
            }
            assert_eq!(
                encode(format, &Path::instance(1000, 0), &instance),
                Err(EncodeError::SingleValueOnly)
            );
            assert_eq!(
                encode(format, &Path::resource(1000, 0, 2), &multiple),
                Err(EncodeError::SingleValueOnly)
            );
        }
    }

    #[test]
    fn a_node_is_written_only_at_its_own_path() {
        let resource = Node::Resource(Resource::single(9, Value::Integer(1)));
        let instance = Node::ResourceInstance(ResourceInstance {
            id: 9,
            value: Value::Integer(1),
        });
        for format in [ContentFormat::TEXT, ContentFormat::CBOR, ContentFormat::TLV] {
            for (path, node) in [
                (Path::resource(3, 0, 8), &resource),
                (Path::instance(3, 9), &resource),
                (Path::resource_instance(3, 0, 9, 9), &resource),
                (Path::resource(3, 0, 9), &instance),
                (Path::resource_instance(3, 0, 9, 8), &instance),
            ] {
                assert_eq!(
                    encode(format, &path, node),
                    Err(EncodeError::PathMismatch),
                    "{format} {path}"
                );
            }
        }
    }

    #[test]
    fn opaque_and_link_demand_their_type() {
        let path = Path::resource(1000, 0, 1);
        let payload = Bytes::from_static(b"1");
        for format in [ContentFormat::OPAQUE, ContentFormat::LINK] {
            let models = model(ResourceType::Integer);
            let error = decode(format, &path, &payload, &models).unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::WrongType);
            let node = Node::Resource(Resource::single(1, Value::Integer(1)));
            assert_eq!(
                encode(format, &path, &node),
                Err(EncodeError::UnsupportedType)
            );
        }
        let opaque = decode(ContentFormat::OPAQUE, &path, &payload, &Models::default()).unwrap();
        assert_eq!(value_at(&opaque.node), Value::Opaque(payload.clone()));
        let link = decode(ContentFormat::LINK, &path, &payload, &Models::default()).unwrap();
        assert_eq!(value_at(&link.node), Value::CoreLink("1".into()));
    }
}
