//! From entries to nodes.

use std::{collections::BTreeSet, ops::Range};

use bytes::Bytes;

use super::{
    entry::{Entries, Entry, Kind},
    value::read_value,
};
use crate::lwm2m::{
    format::{DecodeError, DecodeErrorKind, Decoded, modelled_type},
    model::Models,
    node::{Node, Object, ObjectInstance, Resource, ResourceInstance},
    path::{InstanceId, Path},
    value::{ResourceType, Value},
};

/// Reads a payload as the representation of an object or of anything below it.
pub(in crate::lwm2m::format) fn decode(
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

struct Decoder<'a> {
    payload: &'a [u8],
    models: &'a Models,
    rejected: Vec<(Path, DecodeError)>,
}

impl<'a> Decoder<'a> {
    /// What the path names; `None` when every value of it was rejected.
    fn node(&mut self, path: &Path) -> Result<Option<Node>, DecodeError> {
        let top = self.entries(0..self.payload.len());
        match *path.segments() {
            [id] => self
                .object(path, top)
                .map(|instances| instances.map(|instances| Node::Object(Object { id, instances }))),
            [_, id] => {
                let resources = top.without_wrapper(Kind::ObjectInstance, id)?;
                Ok(self
                    .resources(path, resources)
                    .map(|resources| Node::ObjectInstance(ObjectInstance { id, resources })))
            }
            [_, instance, _] => {
                let resources = top.without_wrapper(Kind::ObjectInstance, instance)?;
                self.addressed_resource(path, resources)
                    .map(|resource| resource.map(Node::Resource))
            }
            [_, instance, resource, id] => {
                let resources = top.without_wrapper(Kind::ObjectInstance, instance)?;
                let instances = resources.without_wrapper(Kind::Multiple, resource)?;
                let entry = instances.only()?;
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
        entries: Entries<'_>,
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

    fn object_instances(
        &mut self,
        path: &Path,
        entries: Entries<'_>,
    ) -> Option<Vec<ObjectInstance>> {
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

    fn resources(&mut self, path: &Path, entries: Entries<'_>) -> Option<Vec<Resource>> {
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

    fn instances(&mut self, path: &Path, entries: Entries<'_>) -> Option<Vec<ResourceInstance>> {
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
        entries: Entries<'_>,
    ) -> Result<Option<Resource>, DecodeError> {
        let id = path.resource_id().unwrap_or_default();
        let bare = match entries.clone().next() {
            None => {
                let single = path
                    .object_id()
                    .and_then(|object| self.models.resource(object, id))
                    .is_some_and(|model| !model.multiple);
                if single {
                    return Err(DecodeErrorKind::Truncated.at(entries.offset()));
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
        let entry = entries.only()?;
        if entry.id != id {
            return Err(DecodeErrorKind::IdConflict.at(entry.offset));
        }
        self.resource(path, &entry)
    }

    /// Reads siblings one by one; what cannot be read is rejected alone. `None` when nothing but rejected ones is there.
    fn children<T>(
        &mut self,
        path: &Path,
        entries: Entries<'_>,
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

    fn value(&self, path: &Path, entry: &Entry) -> Result<Value, DecodeError> {
        let bytes = self.payload.get(entry.value.clone()).unwrap_or_default();
        read_value(self.kind(path), bytes, entry.value.start)
    }

    /// Without a model a value is Opaque.
    fn kind(&self, path: &Path) -> ResourceType {
        modelled_type(path, self.models).unwrap_or(ResourceType::Opaque)
    }

    fn entries(&self, part: Range<usize>) -> Entries<'a> {
        Entries::new(self.payload, part)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{battery, device, instance, read, voltages},
        *,
    };
    use crate::lwm2m::format::tests::{hex, model};

    #[test]
    fn without_a_model_values_are_opaque() {
        let node = read(
            Path::instance(3, 0),
            "c1 09 64 83 07 41 00 01",
            &Models::default(),
        );
        let opaque = |bytes| Value::Opaque(Bytes::from_static(bytes));
        let values = vec![ResourceInstance {
            id: 0,
            value: opaque(&[1]),
        }];
        assert_eq!(
            node,
            Ok(instance(vec![
                Resource::single(9, opaque(&[100])),
                Resource::multiple(7, ResourceType::Opaque, values),
            ]))
        );
    }

    #[test]
    fn bare_resources_of_an_object_are_its_only_instance() {
        let object = |resources| {
            let instances = vec![ObjectInstance { id: 0, resources }];
            Ok(Node::Object(Object { id: 3, instances }))
        };
        assert_eq!(
            read(Path::object(3), "c1 09 64", &device()),
            object(vec![battery()])
        );
        let opaque = Resource::single(9, Value::Opaque(Bytes::from_static(&[100])));
        assert_eq!(
            read(Path::object(3), "c1 09 64", &Models::default()),
            object(vec![opaque])
        );
        assert_eq!(
            read(
                Path::object(1000),
                "c1 01 64",
                &model(ResourceType::Integer)
            ),
            Err(DecodeErrorKind::Structure.at(0))
        );
    }

    #[test]
    fn an_instance_may_be_wrapped_when_the_id_matches() {
        let path = Path::instance(3, 0);
        let node = Ok(instance(vec![battery()]));
        assert_eq!(read(path, "c1 09 64", &device()), node);
        assert_eq!(read(path, "03 00 c1 09 64", &device()), node);
        assert_eq!(
            read(path, "03 01 c1 09 64", &device()),
            Err(DecodeErrorKind::IdConflict.at(0))
        );
        assert_eq!(
            read(path, "03 00 c1 09 64 03 01 c1 09 64", &device()),
            Err(DecodeErrorKind::Structure.at(5))
        );
    }

    #[test]
    fn a_resource_may_be_wrapped_when_the_ids_match() {
        let path = Path::resource(3, 0, 9);
        let node = Ok(Node::Resource(battery()));
        assert_eq!(read(path, "03 00 c1 09 64", &device()), node);
        for (bytes, error) in [
            ("03 01 c1 09 64", DecodeErrorKind::IdConflict.at(0)),
            ("c1 08 64", DecodeErrorKind::IdConflict.at(0)),
            ("03 00 c1 08 64", DecodeErrorKind::IdConflict.at(2)),
            ("c1 09 64 c1 0d 01", DecodeErrorKind::Structure.at(3)),
            ("c1 09 64 c1", DecodeErrorKind::Structure.at(3)),
        ] {
            assert_eq!(read(path, bytes, &device()), Err(error), "{bytes}");
        }
    }

    #[test]
    fn a_multiple_resource_may_come_as_bare_instances() {
        let path = Path::resource(3, 0, 7);
        let node = Ok(Node::Resource(voltages()));
        let bare = "42 00 0e d8 42 01 13 88";
        assert_eq!(read(path, bare, &device()), node);
        assert_eq!(read(path, &format!("08 00 08 {bare}"), &device()), node);
        assert_eq!(read(path, &format!("88 07 08 {bare}"), &device()), node);
    }

    #[test]
    fn a_resource_instance_may_be_wrapped_when_the_ids_match() {
        let path = Path::resource_instance(3, 0, 7, 1);
        let node = Ok(Node::ResourceInstance(ResourceInstance {
            id: 1,
            value: Value::Integer(5000),
        }));
        for bytes in ["84 07 42 01 13 88", "06 00 84 07 42 01 13 88"] {
            assert_eq!(read(path, bytes, &device()), node, "{bytes}");
        }
        for (bytes, error) in [
            ("84 06 42 01 13 88", DecodeErrorKind::IdConflict.at(0)),
            ("42 02 13 88", DecodeErrorKind::IdConflict.at(0)),
            ("c2 07 13 88", DecodeErrorKind::Structure.at(0)),
            ("", DecodeErrorKind::Truncated.at(0)),
            (
                "88 07 08 42 00 0e d8 42 01 13 88",
                DecodeErrorKind::Structure.at(7),
            ),
        ] {
            assert_eq!(read(path, bytes, &device()), Err(error), "{bytes}");
        }
    }

    #[test]
    fn nothing_is_an_empty_multiple_resource_and_no_single_one() {
        let empty = |kind| Ok(Node::Resource(Resource::multiple(7, kind, Vec::new())));
        let path = Path::resource(3, 0, 7);
        assert_eq!(read(path, "", &device()), empty(ResourceType::Integer));
        assert_eq!(
            read(path, "", &Models::default()),
            empty(ResourceType::Opaque)
        );
        assert_eq!(
            read(Path::resource(3, 0, 9), "", &device()),
            Err(DecodeErrorKind::Truncated.at(0))
        );
    }

    #[test]
    fn an_object_or_instance_may_be_empty() {
        assert_eq!(
            read(Path::instance(3, 0), "", &device()),
            Ok(instance(Vec::new()))
        );
        let instances = Vec::new();
        assert_eq!(
            read(Path::object(3), "", &device()),
            Ok(Node::Object(Object { id: 3, instances }))
        );
    }

    /// The rules one by one; the tests around this one have their details.
    #[test]
    fn p22_21_answers_may_have_more_or_fewer_wrappers_and_no_other_ids() {
        let object = |resources| {
            let instances = vec![ObjectInstance { id: 0, resources }];
            Node::Object(Object { id: 3, instances })
        };
        let (single, multiple) = (Path::resource(3, 0, 9), Path::resource(3, 0, 7));
        for (path, bytes, node) in [
            (Path::object(3), "c1 09 64", object(vec![battery()])),
            (Path::object(3), "03 00 c1 09 64", object(vec![battery()])),
            (Path::instance(3, 0), "c1 09 64", instance(vec![battery()])),
            (
                Path::instance(3, 0),
                "03 00 c1 09 64",
                instance(vec![battery()]),
            ),
            (single, "03 00 c1 09 64", Node::Resource(battery())),
            (
                multiple,
                "42 00 0e d8 42 01 13 88",
                Node::Resource(voltages()),
            ),
            (
                multiple,
                "",
                Node::Resource(Resource::multiple(7, ResourceType::Integer, Vec::new())),
            ),
        ] {
            assert_eq!(read(path, bytes, &device()), Ok(node), "{path} {bytes}");
        }
        for (path, bytes, kind) in [
            (
                Path::instance(3, 0),
                "03 01 c1 09 64",
                DecodeErrorKind::IdConflict,
            ),
            (single, "03 01 c1 09 64", DecodeErrorKind::IdConflict),
            (single, "c1 0a 64", DecodeErrorKind::IdConflict),
            (single, "", DecodeErrorKind::Truncated),
        ] {
            let error = read(path, bytes, &device()).unwrap_err();
            assert_eq!(error.kind, kind, "{path} {bytes}");
        }
        let twice = decode(&Path::instance(3, 0), &hex("c1 09 64 c1 09 65"), &device());
        assert_eq!(
            twice.unwrap().rejected,
            [(single, DecodeErrorKind::Duplicate.at(3))]
        );
    }

    #[test]
    fn forms_that_are_longer_than_needed_are_read() {
        let path = Path::resource(3, 0, 9);
        for bytes in [
            "e1 00 09 64",
            "c8 09 01 64",
            "d0 09 00 01 64",
            "f8 00 09 00 00 01 64",
            "c8 09 08 00 00 00 00 00 00 00 64",
        ] {
            let node = read(path, bytes, &device());
            assert_eq!(node, Ok(Node::Resource(battery())), "{bytes}");
        }
    }

    #[test]
    fn the_root_has_no_tlv_form() {
        assert_eq!(
            read(Path::ROOT, "c1 09 64", &device()),
            Err(DecodeErrorKind::Structure.at(0))
        );
    }

    /// Reads an instance of which resource 9 is good, and returns what was rejected beside it.
    fn rejected_beside_battery(bytes: &str) -> Vec<(Path, DecodeError)> {
        let decoded = decode(&Path::instance(3, 0), &hex(bytes), &device()).unwrap();
        assert_eq!(decoded.node, instance(vec![battery()]), "{bytes}");
        decoded.rejected
    }

    #[test]
    fn a39_a_bad_value_does_not_cost_its_neighbours() {
        let voltage = Path::resource(3, 0, 7);
        for (bytes, path, error) in [
            // Three bytes, none, and a structure where a value belongs.
            (
                "c3 0d 01 02 03 c1 09 64",
                Path::resource(3, 0, 13),
                DecodeErrorKind::Length.at(2),
            ),
            (
                "c0 0d c1 09 64",
                Path::resource(3, 0, 13),
                DecodeErrorKind::Length.at(2),
            ),
            (
                "c1 00 ff c1 09 64",
                Path::resource(3, 0, 0),
                DecodeErrorKind::Utf8.at(2),
            ),
            (
                "c1 09 64 01 07 00",
                voltage,
                DecodeErrorKind::Structure.at(3),
            ),
            (
                "c1 09 64 41 07 00",
                voltage,
                DecodeErrorKind::Structure.at(3),
            ),
            (
                "83 07 c1 00 01 c1 09 64",
                Path::resource_instance(3, 0, 7, 0),
                DecodeErrorKind::Structure.at(2),
            ),
            (
                "83 07 42 00 01 c1 09 64",
                voltage,
                DecodeErrorKind::Truncated.at(2),
            ),
            // Twice the same id: the first one counts.
            (
                "c1 09 64 c1 09 65",
                Path::resource(3, 0, 9),
                DecodeErrorKind::Duplicate.at(3),
            ),
            // Lengths beyond the payload end it.
            (
                "c1 09 64 d8 0d ff ff ff 01",
                Path::instance(3, 0),
                DecodeErrorKind::Truncated.at(3),
            ),
            (
                "c1 09 64 e1 00",
                Path::instance(3, 0),
                DecodeErrorKind::Truncated.at(3),
            ),
        ] {
            assert_eq!(rejected_beside_battery(bytes), [(path, error)], "{bytes}");
        }
    }

    #[test]
    fn a39_bad_members_of_a_multiple_resource_are_rejected_alone() {
        let bytes = "8a 07 0a 42 00 0e d8 42 01 13 88 40 02";
        let decoded = decode(
            &Path::resource(3, 0, 7),
            &hex(&bytes.replace("8a", "88")),
            &device(),
        );
        let decoded = decoded.unwrap();
        assert_eq!(decoded.node, Node::Resource(voltages()));
        assert_eq!(
            decoded.rejected,
            [(
                Path::resource_instance(3, 0, 7, 2),
                DecodeErrorKind::Length.at(13)
            )]
        );
    }

    #[test]
    fn a39_a_payload_without_any_good_value_is_an_error() {
        for (path, bytes, error) in [
            (Path::instance(3, 0), "c0 09", DecodeErrorKind::Length.at(2)),
            (
                Path::object(3),
                "02 00 c0 09",
                DecodeErrorKind::Length.at(4),
            ),
            (
                Path::resource(3, 0, 9),
                "c0 09",
                DecodeErrorKind::Length.at(2),
            ),
            (
                Path::resource(3, 0, 7),
                "82 07 40 00",
                DecodeErrorKind::Length.at(4),
            ),
            (Path::object(3), "c9", DecodeErrorKind::Truncated.at(0)),
        ] {
            assert_eq!(read(path, bytes, &device()), Err(error), "{bytes}");
        }
    }

    #[test]
    fn a39_other_instances_of_an_object_survive_a_bad_one() {
        let models = model(ResourceType::Integer);
        let bytes =
            hex("03 01 c1 01 07 02 02 c0 01 03 01 c1 01 08 03 03 c1 01 09 23 ff ff c1 01 01");
        let decoded = decode(&Path::object(1000), &bytes, &models).unwrap();
        let instance = |id, value| ObjectInstance {
            id,
            resources: vec![Resource::single(1, Value::Integer(value))],
        };
        let instances = vec![instance(1, 7), instance(3, 9)];
        assert_eq!(
            decoded.node,
            Node::Object(Object {
                id: 1000,
                instances
            })
        );
        assert_eq!(
            decoded.rejected,
            [
                (Path::resource(1000, 2, 1), DecodeErrorKind::Length.at(9)),
                (Path::instance(1000, 1), DecodeErrorKind::Duplicate.at(9)),
                (
                    Path::instance(1000, u16::MAX),
                    DecodeErrorKind::ValueRange.at(19)
                ),
            ]
        );
    }
}
