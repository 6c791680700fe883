//! The formats that name paths against the examples and rules of their specifications.

mod hostile;
mod lwm2m_cbor;
mod lwm2m_json;
mod senml;
mod shared;
mod types;

use bytes::Bytes;

use super::{tests::models, *};
use crate::lwm2m::{node::*, path::ObjectId};

/// A few objects, or what is needed of them here.
fn device() -> Models {
    let objects: [(ObjectId, bool, &[_]); 6] = [
        (
            1,
            true,
            &[
                (1, ResourceType::Integer, false),
                (6, ResourceType::Boolean, false),
            ],
        ),
        (
            3,
            false,
            &[
                (0, ResourceType::String, false),
                (6, ResourceType::Integer, true),
                (9, ResourceType::Integer, false),
                (13, ResourceType::Time, false),
                (16, ResourceType::String, false),
            ],
        ),
        (
            5,
            false,
            &[
                (0, ResourceType::Opaque, false),
                (4, ResourceType::None, false),
            ],
        ),
        (10, true, &[(0, ResourceType::ObjectLink, false)]),
        (
            3303,
            true,
            &[
                (5700, ResourceType::Float, false),
                (5701, ResourceType::String, false),
                (5702, ResourceType::CoreLink, false),
                (5703, ResourceType::UnsignedInteger, false),
            ],
        ),
        (72, true, &[(2, ResourceType::Float, false)]),
    ];
    let objects = objects.map(|(id, multiple, resources)| models(id, multiple, resources));
    objects
        .iter()
        .flat_map(|models| (0..4000).filter_map(|id| models.object(id)))
        .cloned()
        .collect()
}

fn json(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Where `part` first stands in a JSON payload.
#[track_caller]
fn place(payload: &Bytes, part: &str) -> usize {
    std::str::from_utf8(payload).unwrap().find(part).unwrap()
}

fn single(id: u16, value: Value) -> Node {
    Node::Resource(Resource::single(id, value))
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn multiple(id: u16, values: &[i64]) -> Resource {
    let instances = (0..).zip(values).map(|(id, value)| ResourceInstance {
        id,
        value: Value::Integer(*value),
    });
    Resource::multiple(id, ResourceType::Integer, instances.collect())
}

fn instance(id: u16, resources: Vec<Resource>) -> Node {
    Node::ObjectInstance(ObjectInstance { id, resources })
}

/// The samples of a payload of which nothing is rejected.
fn history(format: ContentFormat, path: Path, payload: &Bytes) -> Vec<Sample> {
    let samples = decode_history(format, &path, payload, &device()).unwrap();
    assert_eq!(samples.rejected, []);
    samples.samples
}

/// Reads the node of a payload of which nothing is rejected.
fn read(format: ContentFormat, path: Path, payload: &Bytes) -> Result<Node, DecodeError> {
    let decoded = decode(format, &path, payload, &device())?;
    assert_eq!(decoded.rejected, []);
    Ok(decoded.node)
}

/// Checks that a payload is read as this node, and written so.
#[track_caller]
fn both_ways(format: ContentFormat, path: Path, node: Node, payload: &Bytes) {
    assert_eq!(read(format, path, payload), Ok(node.clone()));
    let written = encode(format, &path, &node);
    assert_eq!(written.as_ref(), Ok(payload), "{written:x?}");
}

fn sample(time: Option<SampleTime>, path: Path, node: Node) -> Sample {
    Sample {
        time,
        nodes: vec![(path, node)],
    }
}
