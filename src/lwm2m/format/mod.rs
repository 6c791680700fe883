//! Content formats: payload bytes to nodes and back.
//!
//! One file per format. Those that name paths (SenML, LwM2M JSON, LwM2M CBOR) have the grammars JSON and CBOR in common,
//! are read into the same flat records, and share what makes nodes of these. A decoder reads a payload in the light of the path that was asked for and the models of the
//! device; a value it cannot read is reported beside the values it can, so that one bad resource does not cost its
//! neighbours. What a decoder allocates is bounded by the size of its input.

mod cbor;
#[cfg(test)]
mod conformance;
mod date_time;
mod item;
mod json;
mod link;
mod lwm2m_cbor;
mod lwm2m_json;
mod opaque;
#[cfg(test)]
mod properties;
mod record;
mod sample;
mod senml;
mod text;
mod tlv;

pub use sample::{Sample, SampleTime, Samples};

use bytes::Bytes;

use self::{record::Record, senml::Grammar};
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
    let scope = scope.into();
    if let Some(decoded) = decode_plain(format, path, payload, scope.models) {
        return decoded;
    }
    let records = records(format, path, payload, scope)?;
    let time = records.first().and_then(|first| first.time);
    if let Some(other) = records.iter().find(|record| record.time != time) {
        return Err(DecodeErrorKind::SeveralTimes.at(other.offset));
    }
    let Samples { samples, rejected } = record::history(path, records, scope.models)?;
    let mut nodes = samples.into_iter().flat_map(|sample| sample.nodes);
    let (_, node) = nodes.next().ok_or_else(|| DecodeErrorKind::Missing.at(0))?;
    Ok(Decoded { node, rejected })
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
    let scope = scope.into();
    let Some(decoded) = decode_plain(format, path, payload, scope.models) else {
        let records = records(format, path, payload, scope)?;
        return record::history(path, records, scope.models);
    };
    let Decoded { node, rejected } = decoded?;
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
/// When the format is none for composite operations, or the payload breaks its grammar. Values that lie below none of the
/// paths, and those that cannot be read, are listed in [`Samples::rejected`].
pub fn decode_composite<'a>(
    format: ContentFormat,
    paths: &[Path],
    payload: &Bytes,
    scope: impl Into<Scope<'a>>,
) -> Result<Samples, DecodeError> {
    let scope = scope.into();
    let records = composite_records(format, payload, scope)?;
    Ok(record::composite(paths, records, scope.models))
}

/// Reads what a device sent by itself (Send): every value is a node of its own, a resource or a resource instance.
///
/// # Errors
/// As [`decode_composite`].
pub fn decode_send<'a>(
    format: ContentFormat,
    payload: &Bytes,
    scope: impl Into<Scope<'a>>,
) -> Result<Samples, DecodeError> {
    let scope = scope.into();
    let records = composite_records(format, payload, scope)?;
    Ok(record::separate(records, scope.models))
}

/// Reads the list of paths in a Read-Composite or Observe-Composite request. Values are passed over.
///
/// # Errors
/// When the format is none for composite operations, the payload breaks its grammar, or a name is no path.
pub fn decode_paths(
    format: ContentFormat,
    payload: &Bytes,
    root: &[String],
) -> Result<Vec<Path>, DecodeError> {
    let models = &Models::default();
    composite_records(format, payload, Scope { models, root })?
        .into_iter()
        .map(|record| record.path.map_err(|kind| kind.at(record.offset)))
        .collect()
}

/// Reads a payload in a format that does not name paths, or `None` in others.
fn decode_plain(
    format: ContentFormat,
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Option<Result<Decoded, DecodeError>> {
    Some(match format {
        ContentFormat::TEXT => text::decode(path, payload, models),
        ContentFormat::LINK => link::decode(path, payload, models),
        ContentFormat::OPAQUE => opaque::decode(path, payload, models),
        ContentFormat::CBOR => cbor::decode(path, payload, models),
        ContentFormat::TLV | ContentFormat::OLD_TLV => tlv::decode(path, payload, models),
        _ => return None,
    })
}

/// The records of a payload in a format that names paths. `path` is what was asked for.
fn records(
    format: ContentFormat,
    path: &Path,
    payload: &Bytes,
    scope: Scope<'_>,
) -> Result<Vec<Record>, DecodeError> {
    match format {
        ContentFormat::JSON | ContentFormat::OLD_JSON => {
            lwm2m_json::read(json::read(payload)?, path, scope.root)
        }
        _ => composite_records(format, payload, scope),
    }
}

/// The records of a payload in a format for composite operations and Send.
fn composite_records(
    format: ContentFormat,
    payload: &Bytes,
    scope: Scope<'_>,
) -> Result<Vec<Record>, DecodeError> {
    match format {
        ContentFormat::SENML_JSON | ContentFormat::SENML_ETCH_JSON => {
            senml::read(json::read(payload)?, scope.root)
        }
        ContentFormat::SENML_CBOR | ContentFormat::SENML_ETCH_CBOR => {
            senml::read(cbor::read(payload)?, scope.root)
        }
        ContentFormat::LWM2M_CBOR => lwm2m_cbor::read(cbor::read(payload)?, scope.root),
        _ => Err(DecodeErrorKind::UnsupportedFormat.at(0)),
    }
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
        ContentFormat::CBOR => cbor::encode(single_value(path, node)?),
        ContentFormat::TLV | ContentFormat::OLD_TLV => tlv::encode(path, node),
        ContentFormat::JSON | ContentFormat::OLD_JSON => {
            Ok(json::write(&lwm2m_json::write(path, node)?))
        }
        ContentFormat::SENML_JSON | ContentFormat::SENML_ETCH_JSON => {
            Ok(json::write(&senml::write(Grammar::Json, path, node)?))
        }
        ContentFormat::SENML_CBOR | ContentFormat::SENML_ETCH_CBOR => {
            Ok(cbor::write(&senml::write(Grammar::Cbor, path, node)?))
        }
        ContentFormat::LWM2M_CBOR => Ok(cbor::write(&lwm2m_cbor::write(path, node)?)),
        _ => Err(EncodeError::UnsupportedFormat),
    }
}

/// Writes nodes of several paths, at one or several times: Write-Composite, Send, and the answers to composite requests.
///
/// # Errors
/// [`EncodeError`] when the format names no paths, has no times though a sample states one, cannot carry a value, or when
/// a node does not belong to its path.
pub fn encode_samples(format: ContentFormat, samples: &[Sample]) -> Result<Bytes, EncodeError> {
    match format {
        ContentFormat::JSON | ContentFormat::OLD_JSON => {
            Ok(json::write(&lwm2m_json::write_samples(samples)?))
        }
        ContentFormat::SENML_JSON | ContentFormat::SENML_ETCH_JSON => {
            Ok(json::write(&senml::write_samples(Grammar::Json, samples)?))
        }
        ContentFormat::SENML_CBOR | ContentFormat::SENML_ETCH_CBOR => {
            Ok(cbor::write(&senml::write_samples(Grammar::Cbor, samples)?))
        }
        ContentFormat::LWM2M_CBOR => Ok(cbor::write(&lwm2m_cbor::write_samples(samples)?)),
        _ => Err(EncodeError::UnsupportedFormat),
    }
}

/// Writes the list of paths of a Read-Composite or Observe-Composite request.
///
/// # Errors
/// [`EncodeError::UnsupportedFormat`] when the format is none for composite operations,
/// [`EncodeError::PathMismatch`] when it has no form for the root.
pub fn encode_paths(format: ContentFormat, paths: &[Path]) -> Result<Bytes, EncodeError> {
    match format {
        ContentFormat::SENML_JSON | ContentFormat::SENML_ETCH_JSON => {
            Ok(json::write(&senml::write_paths(Grammar::Json, paths)))
        }
        ContentFormat::SENML_CBOR | ContentFormat::SENML_ETCH_CBOR => {
            Ok(cbor::write(&senml::write_paths(Grammar::Cbor, paths)))
        }
        ContentFormat::LWM2M_CBOR => Ok(cbor::write(&lwm2m_cbor::write_paths(paths)?)),
        _ => Err(EncodeError::UnsupportedFormat),
    }
}

/// The formats in which values can be read.
pub const fn supported_for_reading() -> &'static [ContentFormat] {
    &[
        ContentFormat::TEXT,
        ContentFormat::LINK,
        ContentFormat::OPAQUE,
        ContentFormat::CBOR,
        ContentFormat::SENML_JSON,
        ContentFormat::SENML_CBOR,
        ContentFormat::SENML_ETCH_JSON,
        ContentFormat::SENML_ETCH_CBOR,
        ContentFormat::OLD_TLV,
        ContentFormat::OLD_JSON,
        ContentFormat::TLV,
        ContentFormat::JSON,
        ContentFormat::LWM2M_CBOR,
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
    /// A record has no value, or what must have one is not there.
    #[error("a value is missing")]
    Missing,
    /// A name is no path.
    #[error("a name is not a path")]
    Name,
    /// The payload demands that something be understood which is not (RFC 8428 section 4.4).
    #[error("the payload demands what is not understood")]
    NotUnderstood,
    /// Values of more than one time where there may be one.
    #[error("the payload has values of more than one time")]
    SeveralTimes,
    /// A structure stands where it may not.
    #[error("the payload has a structure that this path does not have")]
    Structure,
    /// The format cannot represent what the path names.
    #[error("this content format carries a single value only")]
    SingleValueOnly,
    /// A value is not written as its type demands.
    #[error("a value is not written as its type demands")]
    Syntax,
    /// Arrays and maps nest too deep.
    #[error("the payload nests too deep")]
    TooDeep,
    /// More records than are taken.
    #[error("the payload has too many records")]
    TooMany,
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
    /// The format has no times, or would give this one another meaning.
    #[error("the content format cannot carry this time")]
    Time,
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
