//! Properties that hold for every format: no input panics, what is written is read back, and what is read is bounded by
//! the payload.

#![expect(clippy::arithmetic_side_effects, reason = "test code")]

use bytes::Bytes;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};

use super::{tests::models, *};
use crate::lwm2m::{node::*, path::ResourceId};

/// Every type, once as a single resource with its index as id and once as a multiple one ten ids higher.
const TYPES: [ResourceType; 9] = [
    ResourceType::String,
    ResourceType::Integer,
    ResourceType::Float,
    ResourceType::Boolean,
    ResourceType::Opaque,
    ResourceType::Time,
    ResourceType::ObjectLink,
    ResourceType::UnsignedInteger,
    ResourceType::CoreLink,
];
const MULTIPLE: ResourceId = 10;
const OBJECT: u16 = 1000;

fn all_types() -> Models {
    let single = (0..).zip(TYPES).map(|(id, kind)| (id, kind, false));
    let multiple = (MULTIPLE..).zip(TYPES).map(|(id, kind)| (id, kind, true));
    let resources: Vec<_> = single.chain(multiple).collect();
    models(OBJECT, true, &resources)
}

fn value(kind: ResourceType) -> BoxedStrategy<Value> {
    match kind {
        ResourceType::String => any::<String>().prop_map(Value::String).boxed(),
        ResourceType::CoreLink => any::<String>().prop_map(Value::CoreLink).boxed(),
        ResourceType::Integer => any::<i64>().prop_map(Value::Integer).boxed(),
        ResourceType::UnsignedInteger => any::<u64>().prop_map(Value::UnsignedInteger).boxed(),
        ResourceType::Float => prop_oneof![
            any::<f64>(),
            any::<f32>().prop_map(f64::from),
            (-2048_i16..2048).prop_map(|number| f64::from(number) / 64.0),
        ]
        .prop_filter("finite", |number| number.is_finite())
        .prop_map(Value::Float)
        .boxed(),
        ResourceType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        ResourceType::Time => (i64::MIN / 1000..=i64::MAX / 1000)
            .prop_map(|seconds| Value::Time(seconds * 1000))
            .boxed(),
        ResourceType::ObjectLink => any::<(u16, u16)>()
            .prop_map(|(object, instance)| Value::ObjectLink(object, instance))
            .boxed(),
        ResourceType::Opaque | ResourceType::None => any::<Vec<u8>>()
            .prop_map(|bytes| Value::Opaque(bytes.into()))
            .boxed(),
    }
}

fn resource() -> impl Strategy<Value = Resource> {
    (0..TYPES.len(), any::<bool>()).prop_flat_map(|(index, multiple)| {
        let (kind, id) = (TYPES[index], index as ResourceId);
        if multiple {
            btree_map(any::<u16>(), value(kind), 0..4)
                .prop_map(move |values| {
                    let instances = values
                        .into_iter()
                        .map(|(id, value)| ResourceInstance { id, value });
                    Resource::multiple(id + MULTIPLE, kind, instances.collect())
                })
                .boxed()
        } else {
            value(kind)
                .prop_map(move |value| Resource::single(id, value))
                .boxed()
        }
    })
}

fn instance(id: u16) -> impl Strategy<Value = ObjectInstance> {
    vec(resource(), 0..4).prop_map(move |mut resources| {
        resources.sort_by_key(|resource| resource.id);
        resources.dedup_by_key(|resource| resource.id);
        ObjectInstance { id, resources }
    })
}

/// A node and its path.
fn node() -> impl Strategy<Value = (Path, Node)> {
    let object = proptest::collection::btree_set(0..u16::MAX, 0..3)
        .prop_flat_map(|ids| ids.into_iter().map(instance).collect::<Vec<_>>())
        .prop_map(|instances| {
            let id = OBJECT;
            (Path::object(id), Node::Object(Object { id, instances }))
        });
    let object_instance = (0..u16::MAX).prop_flat_map(instance).prop_map(|instance| {
        let path = Path::instance(OBJECT, instance.id);
        (path, Node::ObjectInstance(instance))
    });
    let resource = resource().prop_map(|resource| {
        let path = Path::resource(OBJECT, 0, resource.id);
        (path, Node::Resource(resource))
    });
    prop_oneof![object, object_instance, resource, resource_instance()]
}

fn resource_instance() -> impl Strategy<Value = (Path, Node)> {
    (0..TYPES.len(), any::<u16>()).prop_flat_map(|(index, id)| {
        let path = Path::resource_instance(OBJECT, 0, index as ResourceId + MULTIPLE, id);
        value(TYPES[index]).prop_map(move |value| {
            let node = Node::ResourceInstance(ResourceInstance { id, value });
            (path, node)
        })
    })
}

fn any_path() -> impl Strategy<Value = Path> {
    let segment = || prop_oneof![0_u16..20, any::<u16>()];
    (
        0_usize..=4,
        [
            Just(OBJECT).boxed(),
            segment().boxed(),
            segment().boxed(),
            segment().boxed(),
        ],
    )
        .prop_map(|(depth, segments)| {
            let segments = segments.into_iter().take(depth);
            segments.fold(Path::ROOT, |path, segment| path.child(segment).unwrap())
        })
}

fn any_format() -> impl Strategy<Value = ContentFormat> {
    prop_oneof![
        proptest::sample::select(supported_for_reading()),
        any::<u16>().prop_map(ContentFormat),
    ]
}

/// Bytes at random, and good payloads with a few bytes changed or cut off, with the format to read them in, which is mostly
/// the one they are written in.
fn any_payload() -> impl Strategy<Value = (ContentFormat, Bytes)> {
    let damaged = (
        proptest::sample::select(supported_for_writing()),
        prop_oneof![3 => Just(None), 1 => any_format().prop_map(Some)],
        node(),
        any::<proptest::sample::Index>(),
        any::<u8>(),
        any::<Option<proptest::sample::Index>>(),
    )
        .prop_map(|(format, other, (path, node), at, byte, end)| {
            let payload = encode(format, &path, &node).unwrap_or_default();
            let mut payload = payload.to_vec();
            if !payload.is_empty() {
                let index = at.index(payload.len());
                payload[index] = byte;
                if let Some(end) = end {
                    payload.truncate(end.index(payload.len()) + 1);
                }
            }
            (other.unwrap_or(format), Bytes::from(payload))
        });
    let random = (any_format(), any::<Vec<u8>>().prop_map(Bytes::from));
    prop_oneof![3 => damaged, 1 => random]
}

/// A root and names that begin with it, among others.
fn any_root() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        Just(Vec::new()),
        Just(vec!["lwm2m".to_owned()]),
        vec(any::<String>(), 0..3),
    ]
}

fn time() -> impl Strategy<Value = Option<SampleTime>> {
    prop_oneof![
        Just(None),
        (268_435_456_000..4_000_000_000_000_i64).prop_map(|millis| Some(SampleTime::At(millis))),
        // Zero is no time.
        prop_oneof![-4_000_000_000_000..0_i64, 1..268_435_456_000_i64]
            .prop_map(|millis| Some(SampleTime::Relative(millis))),
    ]
}

/// An object instance that has values, and leaves out what has none.
fn full_instance(id: u16) -> impl Strategy<Value = ObjectInstance> {
    instance(id).prop_filter_map("no values", |instance| {
        let Node::ObjectInstance(instance) = full(Node::ObjectInstance(instance)) else {
            return None;
        };
        (!instance.resources.is_empty()).then_some(instance)
    })
}

/// Samples of different times, each with some of the object instances 0 to 2.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let nodes = proptest::collection::btree_set(0_u16..3, 1..3)
        .prop_flat_map(|ids| ids.into_iter().map(full_instance).collect::<Vec<_>>())
        .prop_map(|instances| {
            let nodes = instances.into_iter();
            nodes
                .map(|instance| {
                    let path = Path::instance(OBJECT, instance.id);
                    (path, Node::ObjectInstance(instance))
                })
                .collect()
        });
    let sample = (time(), nodes).prop_map(|(time, nodes)| Sample { time, nodes });
    vec(sample, 0..4).prop_map(|mut samples: Vec<Sample>| {
        let mut times = std::collections::HashSet::new();
        samples.retain(|sample| times.insert(sample.time));
        samples
    })
}

/// The node without those parts that hold no values, of which flat records know nothing.
fn full(mut node: Node) -> Node {
    fn resources(resources: &mut Vec<Resource>) {
        resources.retain(|resource| {
            !matches!(&resource.content, ResourceContent::Multiple { instances, .. } if instances.is_empty())
        });
    }
    match &mut node {
        Node::Object(object) => {
            for instance in &mut object.instances {
                resources(&mut instance.resources);
            }
            object
                .instances
                .retain(|instance| !instance.resources.is_empty());
        }
        Node::ObjectInstance(instance) => resources(&mut instance.resources),
        Node::Resource(_) | Node::ResourceInstance(_) => {}
    }
    node
}

/// How many values there are, and how many bytes their texts and opaque values hold.
fn weight(node: &Node) -> (usize, usize) {
    fn of_value(value: &Value) -> (usize, usize) {
        match value {
            Value::String(text) | Value::CoreLink(text) => (1, text.len()),
            Value::Opaque(bytes) => (1, bytes.len()),
            Value::Integer(_)
            | Value::UnsignedInteger(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Time(_)
            | Value::ObjectLink(..) => (1, 0),
        }
    }
    fn of_resource(resource: &Resource) -> (usize, usize) {
        match &resource.content {
            ResourceContent::Single(value) => of_value(value),
            ResourceContent::Multiple { instances, .. } => sum(
                1,
                instances.iter().map(|instance| of_value(&instance.value)),
            ),
        }
    }
    fn sum(own: usize, parts: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
        parts.fold((own, 0), |all, part| (all.0 + part.0, all.1 + part.1))
    }
    match node {
        Node::Object(object) => sum(
            0,
            object
                .instances
                .iter()
                .map(|instance| sum(1, instance.resources.iter().map(of_resource))),
        ),
        Node::ObjectInstance(instance) => sum(0, instance.resources.iter().map(of_resource)),
        Node::Resource(resource) => of_resource(resource),
        Node::ResourceInstance(instance) => of_value(&instance.value),
    }
}

/// Checks that values are as few and as short as the payload, and errors lie within it.
fn assert_bounded(
    payload: &Bytes,
    nodes: &[&Node],
    rejected: &[(Path, DecodeError)],
) -> Result<(), TestCaseError> {
    let (mut values, mut bytes) = (rejected.len(), 0);
    for node in nodes {
        let weight = weight(node);
        values += weight.0;
        bytes += weight.1;
    }
    prop_assert!(values <= payload.len().max(1));
    prop_assert!(bytes <= payload.len());
    for (_, error) in rejected {
        prop_assert!(error.offset <= payload.len());
    }
    Ok(())
}

fn assert_samples_bounded(
    payload: &Bytes,
    samples: Result<Samples, DecodeError>,
) -> Result<(), TestCaseError> {
    match samples {
        Ok(Samples { samples, rejected }) => {
            let nodes: Vec<_> = samples
                .iter()
                .flat_map(|sample| sample.nodes.iter().map(|(_, node)| node))
                .collect();
            assert_bounded(payload, &nodes, &rejected)
        }
        Err(error) => {
            prop_assert!(error.offset <= payload.len());
            Ok(())
        }
    }
}

proptest! {
    #[test]
    fn any_payload_is_read_within_bounds_or_refused(
        (format, payload) in any_payload(),
        path in any_path(),
        with_model in any::<bool>(),
        root in any_root(),
    ) {
        let models = &if with_model { all_types() } else { Models::default() };
        let scope = Scope { models, root: &root };
        match decode(format, &path, &payload, scope) {
            Ok(decoded) => {
                assert_bounded(&payload, &[&decoded.node], &decoded.rejected)?;
                for (rejected, error) in decoded.rejected {
                    prop_assert!(path.contains(&rejected) || error.kind == DecodeErrorKind::IdConflict);
                }
            }
            Err(error) => prop_assert!(error.offset <= payload.len()),
        }
        assert_samples_bounded(&payload, decode_history(format, &path, &payload, scope))?;
        let paths = [path, Path::instance(OBJECT, 0)];
        assert_samples_bounded(&payload, decode_composite(format, &paths, &payload, scope))?;
        assert_samples_bounded(&payload, decode_send(format, &payload, scope))?;
        match decode_paths(format, &payload, &root) {
            Ok(paths) => prop_assert!(paths.len() <= payload.len()),
            Err(error) => prop_assert!(error.offset <= payload.len()),
        }
    }

    #[test]
    fn what_is_read_can_be_written_and_read_again(
        (format, payload) in any_payload(),
        path in any_path(),
        with_model in any::<bool>(),
    ) {
        let models = if with_model { all_types() } else { Models::default() };
        if let Ok(decoded) = decode(format, &path, &payload, &models) {
            let written = encode(format, &path, &decoded.node).unwrap();
            let again = decode(format, &path, &written, &models);
            prop_assert_eq!(again, Ok(to_seconds(decoded.node).into()));
        }
    }

    #[test]
    fn every_node_survives_tlv((path, node) in node()) {
        let payload = encode(ContentFormat::TLV, &path, &node).unwrap();
        let decoded = decode(ContentFormat::TLV, &path, &payload, &all_types());
        prop_assert_eq!(decoded, Ok(node.into()));
    }

    #[test]
    fn every_node_with_values_survives_the_formats_that_name_paths((path, node) in node()) {
        let node = full(node);
        for format in PATH_NAMING {
            let payload = encode(format, &path, &node).unwrap();
            let decoded = decode(format, &path, &payload, &all_types());
            prop_assert_eq!(decoded, Ok(node.clone().into()), "{}", format);
        }
    }

    #[test]
    fn every_single_value_survives_text_and_cbor((path, node) in resource_instance()) {
        for format in [ContentFormat::TEXT, ContentFormat::CBOR] {
            let payload = encode(format, &path, &node).unwrap();
            let decoded = decode(format, &path, &payload, &all_types());
            prop_assert_eq!(decoded, Ok(node.clone().into()), "{}", format);
        }
    }

    #[test]
    fn every_sample_survives_the_formats_for_composite_operations(samples in samples()) {
        let paths: Vec<_> = (0..3).map(|id| Path::instance(OBJECT, id)).collect();
        for format in PATH_NAMING {
            let written = encode_samples(format, &samples);
            if format == ContentFormat::LWM2M_CBOR && samples.iter().any(|sample| sample.time.is_some()) {
                prop_assert_eq!(written, Err(EncodeError::Time));
                continue;
            }
            let payload = written.unwrap();
            let expected = Samples { samples: samples.clone(), rejected: Vec::new() };
            if matches!(format, ContentFormat::JSON | ContentFormat::OLD_JSON) {
                let history = decode_history(format, &Path::object(OBJECT), &payload, &all_types());
                let times = history.unwrap().samples.into_iter().map(|sample| sample.time);
                let expected: Vec<_> = samples.iter().map(|sample| sample.time).collect();
                prop_assert!(samples.is_empty() || times.eq(expected));
                continue;
            }
            let composite = decode_composite(format, &paths, &payload, &all_types());
            prop_assert_eq!(composite, Ok(expected), "{}", format);
            let sent = decode_send(format, &payload, &all_types()).unwrap();
            prop_assert_eq!(sent.rejected, []);
            let again = encode_samples(format, &sent.samples).unwrap();
            prop_assert_eq!(decode_send(format, &again, &all_types()).unwrap().samples, sent.samples);
        }
    }

    #[test]
    fn every_list_of_paths_survives(paths in vec(any_path(), 0..6)) {
        let reserved = |path: &Path| path.instance_id() == Some(u16::MAX) || *path == Path::ROOT;
        let paths: Vec<_> = paths.into_iter().filter(|path| !reserved(path)).collect();
        for format in PATH_NAMING {
            if let Ok(payload) = encode_paths(format, &paths) {
                prop_assert_eq!(decode_paths(format, &payload, &[]), Ok(paths.clone()));
            } else {
                prop_assert!(matches!(format, ContentFormat::JSON | ContentFormat::OLD_JSON));
            }
        }
    }
}

/// The node with times in whole seconds: those of CBOR may have fractions, which are not written.
fn to_seconds(mut node: Node) -> Node {
    fn value(value: &mut Value) {
        if let Value::Time(millis) = value {
            *millis = seconds(*millis) * 1000;
        }
    }
    fn resource(resource: &mut Resource) {
        match &mut resource.content {
            ResourceContent::Single(single) => value(single),
            ResourceContent::Multiple { instances, .. } => {
                instances
                    .iter_mut()
                    .for_each(|instance| value(&mut instance.value));
            }
        }
    }
    match &mut node {
        Node::Object(object) => object
            .instances
            .iter_mut()
            .flat_map(|instance| &mut instance.resources)
            .for_each(resource),
        Node::ObjectInstance(instance) => instance.resources.iter_mut().for_each(resource),
        Node::Resource(single) => resource(single),
        Node::ResourceInstance(instance) => value(&mut instance.value),
    }
    node
}

const PATH_NAMING: [ContentFormat; 7] = [
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::SENML_ETCH_JSON,
    ContentFormat::SENML_ETCH_CBOR,
    ContentFormat::JSON,
    ContentFormat::OLD_JSON,
    ContentFormat::LWM2M_CBOR,
];
