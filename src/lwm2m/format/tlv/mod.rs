//! `application/vnd.oma.lwm2m+tlv` (11542, formerly 1542): OMA LwM2M Core, "TLV".
//!
//! The reader is as tolerant as devices need: wrappers that only repeat the path are accepted, an object of one
//! instance may leave that instance out, and a multiple resource may come as its bare instances.

mod decode;
mod encode;
mod entry;
mod value;

pub(super) use decode::decode;
pub(super) use encode::encode;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::lwm2m::{
        format::{
            DecodeError, EncodeError,
            tests::{hex, models, value_at},
        },
        model::Models,
        node::{Node, Object, ObjectInstance, Resource, ResourceInstance},
        path::Path,
        value::{ResourceType, Value},
    };

    pub(super) fn read(path: Path, bytes: &str, models: &Models) -> Result<Node, DecodeError> {
        let decoded = decode(&path, &hex(bytes), models)?;
        assert_eq!(decoded.rejected, [], "{bytes}");
        Ok(decoded.node)
    }

    /// Resources 0 (single String), 7 (multiple Integer), 9 and 13 (single Integer) of a single-instance object.
    pub(super) fn device() -> Models {
        models(
            3,
            false,
            &[
                (0, ResourceType::String, false),
                (7, ResourceType::Integer, true),
                (9, ResourceType::Integer, false),
                (13, ResourceType::Integer, false),
            ],
        )
    }

    pub(super) fn voltages() -> Resource {
        let instance = |id, volt| ResourceInstance {
            id,
            value: Value::Integer(volt),
        };
        Resource::multiple(
            7,
            ResourceType::Integer,
            vec![instance(0, 3800), instance(1, 5000)],
        )
    }

    pub(super) fn battery() -> Resource {
        Resource::single(9, Value::Integer(100))
    }

    pub(super) fn instance(resources: Vec<Resource>) -> Node {
        Node::ObjectInstance(ObjectInstance { id: 0, resources })
    }

    #[test]
    fn the_examples_of_single_resources_are_read_and_written() {
        let float = Value::Float(22.5);
        for (id, kind, bytes, value) in [
            (9, ResourceType::Integer, "c1 09 64", Value::Integer(100)),
            (9, ResourceType::Integer, "c1 09 ff", Value::Integer(-1)),
            (9, ResourceType::Integer, "c2 09 00 80", Value::Integer(128)),
            (
                7,
                ResourceType::Integer,
                "c2 07 0e d8",
                Value::Integer(3800),
            ),
            (
                13,
                ResourceType::Time,
                "c4 0d 51 82 42 8f",
                Value::Time(1_367_491_215_000),
            ),
            (
                14,
                ResourceType::String,
                "c6 0e 2b 30 32 3a 30 30",
                Value::String("+02:00".into()),
            ),
            (
                1,
                ResourceType::String,
                "c8 01 08 61 62 63 64 65 66 67 68",
                Value::String("abcdefgh".into()),
            ),
            (
                5700,
                ResourceType::Float,
                "e4 16 44 41 b4 00 00",
                float.clone(),
            ),
            (
                5850,
                ResourceType::Boolean,
                "e1 16 da 01",
                Value::Boolean(true),
            ),
            (
                0,
                ResourceType::ObjectLink,
                "c4 00 00 42 00 00",
                Value::ObjectLink(66, 0),
            ),
            (
                0,
                ResourceType::ObjectLink,
                "c4 00 ff ff ff ff",
                Value::ObjectLink(u16::MAX, u16::MAX),
            ),
            (
                1,
                ResourceType::UnsignedInteger,
                "c8 01 08 ff ff ff ff ff ff ff ff",
                Value::UnsignedInteger(u64::MAX),
            ),
        ] {
            let path = Path::resource(1, 0, id);
            let node = Node::Resource(Resource::single(id, value));
            let models = models(1, true, &[(id, kind, false)]);
            assert_eq!(read(path, bytes, &models), Ok(node.clone()), "{bytes}");
            assert_eq!(encode(&path, &node), Ok(hex(bytes)), "{bytes}");
        }
        let models = models(1, true, &[(5700, ResourceType::Float, false)]);
        let double = "e8 16 44 08 40 36 80 00 00 00 00 00";
        let node = read(Path::resource(1, 0, 5700), double, &models).unwrap();
        assert_eq!(value_at(&node), float);
    }

    #[test]
    fn the_examples_of_long_values_have_longer_lengths() {
        for (length, header) in [(300, "d0 00 01 2c"), (70_000, "d8 00 01 11 70")] {
            let path = Path::resource(1, 0, 0);
            let content = Bytes::from(vec![0xa5; length]);
            let node = Node::Resource(Resource::single(0, Value::Opaque(content.clone())));
            let payload = encode(&path, &node).unwrap();
            assert_eq!(payload, [hex(header), content].concat());
            assert_eq!(decode(&path, &payload, &Models::default()), Ok(node.into()));
        }
        let too_long = Value::Opaque(Bytes::from(vec![0; 1 << 24]));
        assert_eq!(
            encode(
                &Path::resource(1, 0, 0),
                &Node::Resource(Resource::single(0, too_long))
            ),
            Err(EncodeError::TooLong)
        );
    }

    #[test]
    fn the_examples_of_multiple_resources_are_read_and_written() {
        let models = models(
            3,
            false,
            &[
                (6, ResourceType::Integer, true),
                (7, ResourceType::Integer, true),
                (11, ResourceType::Integer, true),
            ],
        );
        let resource = |id, values: &[i64]| {
            let instances = (0..).zip(values).map(|(id, value)| ResourceInstance {
                id,
                value: Value::Integer(*value),
            });
            Node::Resource(Resource::multiple(
                id,
                ResourceType::Integer,
                instances.collect(),
            ))
        };
        for (id, bytes, node) in [
            (6, "86 06 41 00 01 41 01 05", resource(6, &[1, 5])),
            (
                7,
                "88 07 08 42 00 0e d8 42 01 13 88",
                resource(7, &[3800, 5000]),
            ),
            (11, "80 0b", resource(11, &[])),
        ] {
            let path = Path::resource(3, 0, id);
            assert_eq!(read(path, bytes, &models), Ok(node.clone()), "{bytes}");
            assert_eq!(encode(&path, &node), Ok(hex(bytes)), "{bytes}");
        }
    }

    #[test]
    fn the_examples_of_instances_are_read_and_written() {
        let path = Path::resource_instance(3, 0, 7, 1);
        let node = Node::ResourceInstance(ResourceInstance {
            id: 1,
            value: Value::Integer(5000),
        });
        assert_eq!(read(path, "42 01 13 88", &device()), Ok(node.clone()));
        assert_eq!(encode(&path, &node), Ok(hex("42 01 13 88")));

        let bytes = "06 00 c1 00 58 c1 09 64";
        let resources = vec![Resource::single(0, Value::String("X".into())), battery()];
        let instances = vec![ObjectInstance { id: 0, resources }];
        let node = Node::Object(Object { id: 3, instances });
        assert_eq!(read(Path::object(3), bytes, &device()), Ok(node.clone()));
        assert_eq!(encode(&Path::object(3), &node), Ok(hex(bytes)));
    }
}
