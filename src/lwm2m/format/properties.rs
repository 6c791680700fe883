//! Properties that hold for every format: no input panics, what is written is read back, and what is read is bounded by
//! the payload.

#![expect(clippy::arithmetic_side_effects, reason = "test code")]

use bytes::Bytes;
use proptest::{collection::btree_map, prelude::*};

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
    proptest::collection::vec(resource(), 0..4).prop_map(move |mut resources| {
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

/// Bytes at random, and good payloads with a few bytes changed or cut off.
fn any_payload() -> impl Strategy<Value = Bytes> {
    let damaged = (
        proptest::sample::select(supported_for_writing()),
        node(),
        any::<proptest::sample::Index>(),
        any::<u8>(),
        any::<proptest::sample::Index>(),
    )
        .prop_map(|(format, (path, node), at, byte, end)| {
            let payload = encode(format, &path, &node).unwrap_or_default();
            let mut payload = payload.to_vec();
            if !payload.is_empty() {
                let index = at.index(payload.len());
                payload[index] = byte;
                payload.truncate(end.index(payload.len()) + 1);
            }
            Bytes::from(payload)
        });
    prop_oneof![any::<Vec<u8>>().prop_map(Bytes::from), damaged]
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

proptest! {
    #[test]
    fn any_payload_is_read_within_bounds_or_refused(
        format in any_format(),
        path in any_path(),
        payload in any_payload(),
        with_model in any::<bool>(),
    ) {
        let models = if with_model { all_types() } else { Models::default() };
        match decode(format, &path, &payload, &models) {
            Ok(decoded) => {
                let (values, bytes) = weight(&decoded.node);
                prop_assert!(values + decoded.rejected.len() <= payload.len().max(1));
                prop_assert!(bytes <= payload.len());
                for (rejected, error) in decoded.rejected {
                    prop_assert!(path.contains(&rejected));
                    prop_assert!(error.offset <= payload.len());
                }
            }
            Err(error) => prop_assert!(error.offset <= payload.len()),
        }
    }

    #[test]
    fn what_is_read_can_be_written_and_read_again(
        format in any_format(),
        path in any_path(),
        payload in any_payload(),
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
    fn every_single_value_survives_text_and_cbor((path, node) in resource_instance()) {
        for format in [ContentFormat::TEXT, ContentFormat::CBOR] {
            let payload = encode(format, &path, &node).unwrap();
            let decoded = decode(format, &path, &payload, &all_types());
            prop_assert_eq!(decoded, Ok(node.clone().into()), "{}", format);
        }
    }
}

/// Times of CBOR may have fractions of a second, which are not written.
fn to_seconds(mut node: Node) -> Node {
    if let Node::Resource(Resource {
        content: ResourceContent::Single(Value::Time(millis)),
        ..
    })
    | Node::ResourceInstance(ResourceInstance {
        value: Value::Time(millis),
        ..
    }) = &mut node
    {
        *millis = seconds(*millis) * 1000;
    }
    node
}
