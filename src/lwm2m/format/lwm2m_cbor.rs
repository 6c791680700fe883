//! `application/vnd.oma.lwm2m+cbor` (11544): OMA LwM2M Core 1.2, "LwM2M CBOR".
//!
//! Maps whose keys are segments of paths, or arrays of them, and whose innermost values are those of resources. The format
//! has no times.

use std::slice;

use super::{
    DecodeError, DecodeErrorKind, EncodeError, Sample,
    item::{Content, Item, Raw},
    record::{MAX_RECORDS, Record, own_path},
};
use crate::lwm2m::{
    node::{Node, ObjectInstance, Resource, ResourceContent, ResourceInstance},
    path::{InstanceId, Path},
    value::Value,
};

/// Reads a payload. An entry whose key is none becomes a record without path, whatever lies below it.
pub(super) fn read(payload: Item, root: &[String]) -> Result<Vec<Record>, DecodeError> {
    let mut records = Vec::new();
    read_map(payload, Prefix::default(), root, &mut records)?;
    Ok(records)
}

/// Writes one node, with the path as one key.
pub(super) fn write(path: &Path, node: &Node) -> Result<Item, EncodeError> {
    Ok(Content::Map(vec![entry(path, node)?]).into())
}

/// Writes nodes of several paths.
pub(super) fn write_samples(samples: &[Sample]) -> Result<Item, EncodeError> {
    if samples.iter().any(|sample| sample.time.is_some()) {
        return Err(EncodeError::Time);
    }
    let entries = samples
        .iter()
        .flat_map(|sample| &sample.nodes)
        .map(|(path, node)| entry(path, node))
        .collect::<Result<_, _>>()?;
    Ok(Content::Map(entries).into())
}

/// Writes a list of paths, each with null.
pub(super) fn write_paths(paths: &[Path]) -> Result<Item, EncodeError> {
    if paths.contains(&Path::ROOT) {
        return Err(EncodeError::PathMismatch);
    }
    let entries = paths.iter().map(|path| (key(path), Content::Null.into()));
    Ok(Content::Map(entries.collect()).into())
}

/// The keys that lead to an item.
#[derive(Clone, Copy, Default)]
struct Prefix {
    /// How many segments of the root came first.
    root: usize,
    path: Path,
}

impl Prefix {
    /// The prefix with one more key, which is a segment or an array of them.
    fn with(self, key: &Item, root: &[String]) -> Result<Self, DecodeErrorKind> {
        let segments = if let Content::Array(segments) = &key.content {
            segments
        } else {
            slice::from_ref(key)
        };
        if segments.is_empty() {
            return Err(DecodeErrorKind::Name);
        }
        segments
            .iter()
            .try_fold(self, |prefix, segment| prefix.with_segment(segment, root))
    }

    fn with_segment(mut self, segment: &Item, root: &[String]) -> Result<Self, DecodeErrorKind> {
        if let Content::Value(Raw::Integer(id)) = &segment.content {
            let id = u16::try_from(*id).map_err(|_| DecodeErrorKind::ValueRange)?;
            self.path = self.path.child(id).ok_or(DecodeErrorKind::Name)?;
            if self.path.instance_id() == Some(InstanceId::MAX) {
                return Err(DecodeErrorKind::ValueRange);
            }
            return Ok(self);
        }
        let is_root = self.path.depth() == 0
            && matches!(&segment.content, Content::Value(Raw::Text(text)) if root.get(self.root) == Some(text));
        if !is_root {
            return Err(DecodeErrorKind::Name);
        }
        self.root = self.root.saturating_add(1);
        Ok(self)
    }

    /// The path, which stands below the whole root or none of it.
    const fn path(&self, root: &[String]) -> Result<Path, DecodeErrorKind> {
        if self.root == 0 || self.root == root.len() {
            Ok(self.path)
        } else {
            Err(DecodeErrorKind::Name)
        }
    }
}

/// Goes down into a map; the grammar has bounded the depth.
fn read_map(
    map: Item,
    prefix: Prefix,
    root: &[String],
    records: &mut Vec<Record>,
) -> Result<(), DecodeError> {
    for (key, item) in map.into_map()? {
        let offset = key.offset;
        let (path, value) = match (prefix.with(&key, root), item.content) {
            (Ok(prefix), Content::Map(entries)) => {
                let content = Content::Map(entries);
                read_map(Item { offset, content }, prefix, root, records)?;
                continue;
            }
            (Ok(prefix), content) => (prefix.path(root), Item { offset, content }.into_raw()),
            (Err(kind), _) => (Err(kind), Err(kind)),
        };
        if records.len() == MAX_RECORDS {
            return Err(DecodeErrorKind::TooMany.at(offset));
        }
        records.push(Record {
            offset,
            path,
            time: None,
            value,
        });
    }
    Ok(())
}

fn entry(path: &Path, node: &Node) -> Result<(Item, Item), EncodeError> {
    let own = own_path(path, node)?;
    let content = match node {
        Node::Object(object) => Content::Map(
            object
                .instances
                .iter()
                .map(|instance| Ok((instance.id.into(), instance_map(instance)?)))
                .collect::<Result<_, _>>()?,
        )
        .into(),
        Node::ObjectInstance(instance) => instance_map(instance)?,
        Node::Resource(resource) => resource_item(resource)?,
        Node::ResourceInstance(instance) => value_item(&instance.value)?,
    };
    Ok((key(&own), content))
}

/// One segment as itself, several as an array.
fn key(path: &Path) -> Item {
    match *path.segments() {
        [segment] => segment.into(),
        ref segments => Content::Array(segments.iter().copied().map(Item::from).collect()).into(),
    }
}

fn instance_map(instance: &ObjectInstance) -> Result<Item, EncodeError> {
    let resources = instance
        .resources
        .iter()
        .map(|resource| Ok((resource.id.into(), resource_item(resource)?)))
        .collect::<Result<_, _>>()?;
    Ok(Content::Map(resources).into())
}

fn resource_item(resource: &Resource) -> Result<Item, EncodeError> {
    match &resource.content {
        ResourceContent::Single(value) => value_item(value),
        ResourceContent::Multiple { instances, .. } => {
            let instances = instances
                .iter()
                .map(|ResourceInstance { id, value }| Ok(((*id).into(), value_item(value)?)))
                .collect::<Result<_, _>>()?;
            Ok(Content::Map(instances).into())
        }
    }
}

fn value_item(value: &Value) -> Result<Item, EncodeError> {
    Raw::from_value(value).map(Item::from)
}
