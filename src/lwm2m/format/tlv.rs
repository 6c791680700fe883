//! `application/vnd.oma.lwm2m+tlv` (11542, formerly 1542): OMA LwM2M Core, "TLV".
//!
//! The reader is as tolerant as devices need: wrappers that only repeat the path are accepted, an object of one
//! instance may leave that instance out, and a multiple resource may come as its bare instances.

use std::{collections::BTreeSet, ops::Range};

use bytes::Bytes;

use super::{
    DecodeError, DecodeErrorKind, Decoded, EncodeError, finite, modelled_type, seconds,
    time_from_seconds, utf8,
};
use crate::lwm2m::{
    model::Models,
    node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
    path::{InstanceId, Path},
    value::{ResourceType, Value},
};

/// Reads a payload as the representation of an object or of anything below it.
pub(super) fn decode(
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder {
        payload,
        models,
        rejected: Vec::new(),
    };
    let node = decoder.node(path)?;
    let rejected = decoder.rejected;
    match (node, rejected.first()) {
        (Some(node), _) => Ok(Decoded { node, rejected }),
        (None, Some((_, error))) => Err(*error),
        (None, None) => Err(DecodeErrorKind::Structure.at(0)),
    }
}

/// Writes a node. At an object's path an instance is written with its id, at its own path as bare resources.
pub(super) fn encode(path: &Path, node: &Node) -> Result<Bytes, EncodeError> {
    let mut output = Vec::new();
    match (path.segments(), node) {
        ([id], Node::Object(object)) if object.id == *id => object
            .instances
            .iter()
            .try_for_each(|instance| write_instance(&mut output, instance))?,
        ([_], Node::ObjectInstance(instance)) => write_instance(&mut output, instance)?,
        ([_, id], Node::ObjectInstance(instance)) if instance.id == *id => {
            write_resources(&mut output, &instance.resources)?;
        }
        ([_, _, id], Node::Resource(resource)) if resource.id == *id => {
            write_resource(&mut output, resource)?;
        }
        ([_, _, _, id], Node::ResourceInstance(instance)) if instance.id == *id => {
            write_resource_instance(&mut output, instance)?;
        }
        _ => return Err(EncodeError::PathMismatch),
    }
    Ok(output.into())
}

struct Decoder<'a> {
    payload: &'a Bytes,
    models: &'a Models,
    rejected: Vec<(Path, DecodeError)>,
}

impl Decoder<'_> {
    /// What the path names; `None` when every value of it was rejected.
    fn node(&mut self, path: &Path) -> Result<Option<Node>, DecodeError> {
        let top = self.entries(0..self.payload.len());
        match *path.segments() {
            [id] => self
                .object(path, top)
                .map(|instances| instances.map(|instances| Node::Object(Object { id, instances }))),
            [_, id] => {
                let resources = self.without_wrapper(top, Kind::ObjectInstance, id)?;
                Ok(self
                    .resources(path, resources)
                    .map(|resources| Node::ObjectInstance(ObjectInstance { id, resources })))
            }
            [_, instance, _] => {
                let resources = self.without_wrapper(top, Kind::ObjectInstance, instance)?;
                self.addressed_resource(path, resources)
                    .map(|resource| resource.map(Node::Resource))
            }
            [_, instance, resource, id] => {
                let resources = self.without_wrapper(top, Kind::ObjectInstance, instance)?;
                let instances = self.without_wrapper(resources, Kind::Multiple, resource)?;
                let entry = only(instances)?;
                if entry.kind != Kind::ResourceInstance {
                    return Err(DecodeErrorKind::Structure.at(entry.offset));
                }
                if entry.id != id {
                    return Err(DecodeErrorKind::IdConflict.at(entry.offset));
                }
                let value = self.value(path, &entry)?;
                Ok(Some(Node::ResourceInstance(ResourceInstance { id, value })))
            }
            _ => Err(DecodeErrorKind::Structure.at(0)),
        }
    }

    /// The instances of an object; bare resources belong to instance 0 of an object that has no other.
    fn object(
        &mut self,
        path: &Path,
        entries: Entries,
    ) -> Result<Option<Vec<ObjectInstance>>, DecodeError> {
        let bare = match entries.clone().next() {
            Some(Ok(first)) if first.kind != Kind::ObjectInstance => Some(first.offset),
            _ => None,
        };
        let Some(offset) = bare else {
            return Ok(self.object_instances(path, entries));
        };
        let multiple = path
            .object_id()
            .and_then(|object| self.models.object(object))
            .is_some_and(|model| model.multiple);
        if multiple {
            return Err(DecodeErrorKind::Structure.at(offset));
        }
        let instance = path.child(0).unwrap_or(*path);
        let resources = self.resources(&instance, entries);
        Ok(resources.map(|resources| vec![ObjectInstance { id: 0, resources }]))
    }

    fn object_instances(&mut self, path: &Path, entries: Entries) -> Option<Vec<ObjectInstance>> {
        self.children(path, entries, |decoder, path, entry| {
            if entry.kind != Kind::ObjectInstance {
                return Err(DecodeErrorKind::Structure.at(entry.offset));
            }
            if entry.id == InstanceId::MAX {
                return Err(DecodeErrorKind::ValueRange.at(entry.offset));
            }
            let resources = decoder.resources(path, decoder.entries(entry.value.clone()));
            Ok(resources.map(|resources| ObjectInstance {
                id: entry.id,
                resources,
            }))
        })
    }

    fn resources(&mut self, path: &Path, entries: Entries) -> Option<Vec<Resource>> {
        self.children(path, entries, Self::resource)
    }

    fn resource(&mut self, path: &Path, entry: &Entry) -> Result<Option<Resource>, DecodeError> {
        match entry.kind {
            Kind::Value => Ok(Some(Resource::single(entry.id, self.value(path, entry)?))),
            Kind::Multiple => {
                let instances = self.instances(path, self.entries(entry.value.clone()));
                let kind = self.kind(path);
                Ok(instances.map(|instances| Resource::multiple(entry.id, kind, instances)))
            }
            Kind::ObjectInstance | Kind::ResourceInstance => {
                Err(DecodeErrorKind::Structure.at(entry.offset))
            }
        }
    }

    fn instances(&mut self, path: &Path, entries: Entries) -> Option<Vec<ResourceInstance>> {
        self.children(path, entries, |decoder, path, entry| {
            if entry.kind != Kind::ResourceInstance {
                return Err(DecodeErrorKind::Structure.at(entry.offset));
            }
            let value = decoder.value(path, entry)?;
            Ok(Some(ResourceInstance {
                id: entry.id,
                value,
            }))
        })
    }

    /// The resource that was asked for, complete or as bare instances. Nothing at all is an empty multiple resource,
    /// unless the model says that the resource is single.
    fn addressed_resource(
        &mut self,
        path: &Path,
        entries: Entries,
    ) -> Result<Option<Resource>, DecodeError> {
        let id = path.resource_id().unwrap_or_default();
        let bare = match entries.clone().next() {
            None => {
                let single = path
                    .object_id()
                    .and_then(|object| self.models.resource(object, id))
                    .is_some_and(|model| !model.multiple);
                if single {
                    return Err(DecodeErrorKind::Truncated.at(entries.rest.start));
                }
                true
            }
            Some(first) => first?.kind == Kind::ResourceInstance,
        };
        if bare {
            let instances = self.instances(path, entries);
            let kind = self.kind(path);
            return Ok(instances.map(|instances| Resource::multiple(id, kind, instances)));
        }
        let entry = only(entries)?;
        if entry.id != id {
            return Err(DecodeErrorKind::IdConflict.at(entry.offset));
        }
        self.resource(path, &entry)
    }

    /// Reads siblings one by one; what cannot be read is rejected alone. `None` when nothing but rejected ones is there.
    fn children<T>(
        &mut self,
        path: &Path,
        entries: Entries,
        mut read: impl FnMut(&mut Self, &Path, &Entry) -> Result<Option<T>, DecodeError>,
    ) -> Option<Vec<T>> {
        let before = self.rejected.len();
        let mut children = Vec::new();
        let mut seen = BTreeSet::new();
        for entry in entries {
            let (path, child) = match entry {
                Ok(entry) => {
                    let path = path.child(entry.id).unwrap_or(*path);
                    let child = if seen.insert(entry.id) {
                        read(self, &path, &entry)
                    } else {
                        Err(DecodeErrorKind::Duplicate.at(entry.offset))
                    };
                    (path, child)
                }
                Err(error) => (*path, Err(error)),
            };
            match child {
                Ok(child) => children.extend(child),
                Err(error) => self.rejected.push((path, error)),
            }
        }
        let nothing_but_rejected = children.is_empty() && self.rejected.len() > before;
        (!nothing_but_rejected).then_some(children)
    }

    /// Looks into a wrapper of this kind, if the first entry is one; it has to stand alone and to carry this id.
    fn without_wrapper(
        &self,
        entries: Entries,
        kind: Kind,
        id: u16,
    ) -> Result<Entries, DecodeError> {
        match entries.clone().next() {
            Some(Ok(first)) if first.kind == kind => {
                let wrapper = only(entries)?;
                if wrapper.id != id {
                    return Err(DecodeErrorKind::IdConflict.at(wrapper.offset));
                }
                Ok(self.entries(wrapper.value))
            }
            _ => Ok(entries),
        }
    }

    fn value(&self, path: &Path, entry: &Entry) -> Result<Value, DecodeError> {
        let bytes = self.payload.slice(entry.value.clone());
        read_value(self.kind(path), bytes, entry.value.start)
    }

    /// Without a model a value is Opaque.
    fn kind(&self, path: &Path) -> ResourceType {
        modelled_type(path, self.models).unwrap_or(ResourceType::Opaque)
    }

    fn entries(&self, rest: Range<usize>) -> Entries {
        Entries {
            payload: self.payload.clone(),
            rest,
        }
    }
}

/// The kind of an entry, bits 7 and 6 of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ObjectInstance,
    ResourceInstance,
    Multiple,
    Value,
}

/// One entry: kind, identifier, length and value.
#[derive(Debug)]
struct Entry {
    kind: Kind,
    id: u16,
    /// Where the value lies in the payload.
    value: Range<usize>,
    /// Where the entry starts in the payload.
    offset: usize,
}

/// The entries of a part of the payload. Ends after the first that does not fit into it.
#[derive(Clone)]
struct Entries {
    payload: Bytes,
    rest: Range<usize>,
}

impl Iterator for Entries {
    type Item = Result<Entry, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.rest.start;
        let entry = self.entry(offset);
        if entry.is_none() {
            self.rest.start = self.rest.end;
        }
        Some(entry.ok_or_else(|| DecodeErrorKind::Truncated.at(offset)))
    }
}

impl Entries {
    /// Takes one entry, or nothing if it does not fit.
    fn entry(&mut self, offset: usize) -> Option<Entry> {
        let initial = self.number(1)?;
        let kind = match initial >> 6 {
            0 => Kind::ObjectInstance,
            1 => Kind::ResourceInstance,
            2 => Kind::Multiple,
            _ => Kind::Value,
        };
        let id = self.number(if initial & 0x20 == 0 { 1 } else { 2 })?;
        let length = match initial >> 3 & 0x03 {
            0 => initial & 0x07,
            bytes => self.number(bytes)?,
        };
        let value = self.take(length)?;
        Some(Entry {
            kind,
            id: u16::try_from(id).ok()?,
            value,
            offset,
        })
    }

    /// Takes a big-endian number of up to three bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?;
        let bytes = self.payload.get(bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let start = self.rest.start;
        let end = start.checked_add(length)?;
        if end > self.rest.end {
            return None;
        }
        self.rest.start = end;
        Some(start..end)
    }
}

/// The one entry that is there.
fn only(mut entries: Entries) -> Result<Entry, DecodeError> {
    let end = entries.rest.end;
    let entry = entries
        .next()
        .unwrap_or_else(|| Err(DecodeErrorKind::Truncated.at(end)))?;
    match entries.next() {
        None => Ok(entry),
        Some(_) => Err(DecodeErrorKind::Structure.at(entry.value.end)),
    }
}

/// Reads the bytes of a value, which start at byte `offset` of the payload.
fn read_value(kind: ResourceType, bytes: Bytes, offset: usize) -> Result<Value, DecodeError> {
    let text = || utf8(&bytes, offset).map(str::to_owned);
    match kind {
        ResourceType::String => return text().map(Value::String),
        ResourceType::CoreLink => return text().map(Value::CoreLink),
        ResourceType::Opaque => return Ok(Value::Opaque(bytes)),
        ResourceType::Integer => signed(&bytes).map(Value::Integer),
        ResourceType::Time => signed(&bytes).and_then(time_from_seconds),
        ResourceType::UnsignedInteger => unsigned(&bytes).map(Value::UnsignedInteger),
        ResourceType::Float => match *bytes {
            [a, b, c, d] => finite(f32::from_be_bytes([a, b, c, d]).into()),
            [a, b, c, d, e, f, g, h] => finite(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
            _ => Err(DecodeErrorKind::Length),
        },
        ResourceType::Boolean => match *bytes {
            [0] => Ok(Value::Boolean(false)),
            [1] => Ok(Value::Boolean(true)),
            [_] => Err(DecodeErrorKind::Syntax),
            _ => Err(DecodeErrorKind::Length),
        },
        ResourceType::ObjectLink => match *bytes {
            [a, b, c, d] => Ok(Value::ObjectLink(
                u16::from_be_bytes([a, b]),
                u16::from_be_bytes([c, d]),
            )),
            _ => Err(DecodeErrorKind::Length),
        },
        ResourceType::None => Err(DecodeErrorKind::WrongType),
    }
    .map_err(|kind| kind.at(offset))
}

fn signed(bytes: &[u8]) -> Result<i64, DecodeErrorKind> {
    Ok(match *bytes {
        [a] => i8::from_be_bytes([a]).into(),
        [a, b] => i16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::Length),
    })
}

fn unsigned(bytes: &[u8]) -> Result<u64, DecodeErrorKind> {
    Ok(match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::Length),
    })
}

fn write_instance(output: &mut Vec<u8>, instance: &ObjectInstance) -> Result<(), EncodeError> {
    let mut resources = Vec::new();
    write_resources(&mut resources, &instance.resources)?;
    write_entry(output, Kind::ObjectInstance, instance.id, &resources)
}

fn write_resources(output: &mut Vec<u8>, resources: &[Resource]) -> Result<(), EncodeError> {
    resources
        .iter()
        .try_for_each(|resource| write_resource(output, resource))
}

fn write_resource(output: &mut Vec<u8>, resource: &Resource) -> Result<(), EncodeError> {
    match &resource.content {
        ResourceContent::Single(value) => {
            write_entry(output, Kind::Value, resource.id, &value_bytes(value))
        }
        ResourceContent::Multiple { instances, .. } => {
            let mut values = Vec::new();
            instances
                .iter()
                .try_for_each(|instance| write_resource_instance(&mut values, instance))?;
            write_entry(output, Kind::Multiple, resource.id, &values)
        }
    }
}

fn write_resource_instance(
    output: &mut Vec<u8>,
    instance: &ResourceInstance,
) -> Result<(), EncodeError> {
    write_entry(
        output,
        Kind::ResourceInstance,
        instance.id,
        &value_bytes(&instance.value),
    )
}

/// Writes an entry with the shortest identifier and length.
fn write_entry(output: &mut Vec<u8>, kind: Kind, id: u16, value: &[u8]) -> Result<(), EncodeError> {
    let kind = match kind {
        Kind::ObjectInstance => 0x00,
        Kind::ResourceInstance => 0x40,
        Kind::Multiple => 0x80,
        Kind::Value => 0xc0,
    };
    let length = u32::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
    let [beyond, length @ ..] = length.to_be_bytes();
    let length_type = match length {
        _ if beyond > 0 => return Err(EncodeError::TooLong),
        [0, 0, low] if low < 8 => low,
        [0, 0, _] => 0x08,
        [0, ..] => 0x10,
        _ => 0x18,
    };
    match u8::try_from(id) {
        Ok(id) => output.extend([kind | length_type, id]),
        Err(_) => {
            output.push(kind | 0x20 | length_type);
            output.extend(id.to_be_bytes());
        }
    }
    match (length_type, length) {
        (0x08, [.., low]) => output.push(low),
        (0x10, [_, middle, low]) => output.extend([middle, low]),
        (0x18, length) => output.extend(length),
        _ => {}
    }
    output.extend_from_slice(value);
    Ok(())
}

/// The bytes of a value, numbers as short as they can be without loss.
fn value_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.as_bytes().to_vec(),
        Value::Opaque(bytes) => bytes.to_vec(),
        Value::Integer(number) => signed_bytes(*number),
        Value::Time(millis) => signed_bytes(seconds(*millis)),
        Value::UnsignedInteger(number) => {
            if let Ok(number) = u8::try_from(*number) {
                vec![number]
            } else if let Ok(number) = u16::try_from(*number) {
                number.to_be_bytes().to_vec()
            } else if let Ok(number) = u32::try_from(*number) {
                number.to_be_bytes().to_vec()
            } else {
                number.to_be_bytes().to_vec()
            }
        }
        Value::Float(number) => {
            let single = *number as f32;
            if f64::from(single) == *number {
                single.to_be_bytes().to_vec()
            } else {
                number.to_be_bytes().to_vec()
            }
        }
        Value::Boolean(flag) => vec![u8::from(*flag)],
        Value::ObjectLink(object, instance) => {
            [object.to_be_bytes(), instance.to_be_bytes()].concat()
        }
    }
}

fn signed_bytes(number: i64) -> Vec<u8> {
    if let Ok(number) = i8::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}
