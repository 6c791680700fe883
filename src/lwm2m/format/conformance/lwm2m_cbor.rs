//! protocol 2.6.

use super::{super::tests::hex, *};

const FORMAT: ContentFormat = ContentFormat::LWM2M_CBOR;
const TEMPERATURE: Path = Path::resource(3303, 0, 5700);

fn device_resources() -> Vec<Resource> {
    vec![
        Resource::single(9, Value::Integer(100)),
        Resource::single(16, text("U")),
    ]
}

fn object(id: u16, resources: Vec<Resource>) -> Node {
    let instances = vec![ObjectInstance { id: 0, resources }];
    Node::Object(Object { id, instances })
}

#[test]
fn p26_1_nested_maps() {
    let payload = hex("a1 03 a1 00 a2 09 18 64 10 61 55");
    both_ways(
        FORMAT,
        Path::object(3),
        object(3, device_resources()),
        &payload,
    );
}

#[test]
fn p26_2_an_array_of_segments() {
    let payload = hex("a1 82 03 00 a2 09 18 64 10 61 55");
    let path = Path::instance(3, 0);
    both_ways(FORMAT, path, instance(0, device_resources()), &payload);
}

#[test]
fn p26_3_a_whole_path() {
    let payload = hex("a1 83 19 0c e7 00 19 16 44 f9 4d a0");
    let node = single(5700, Value::Float(22.5));
    both_ways(FORMAT, TEMPERATURE, node, &payload);
}

#[test]
fn p26_4_an_indefinite_map() {
    let node = single(5700, Value::Float(22.5));
    for payload in [
        "bf 83 19 0c e7 00 19 16 44 f9 4d a0 ff",
        "bf 9f 19 0c e7 00 19 16 44 ff f9 4d a0 ff",
        "bf 9f 19 0c e7 ff bf 9f 00 ff bf 9f 19 16 44 ff f9 4d a0 ff ff ff",
    ] {
        assert_eq!(
            read(FORMAT, TEMPERATURE, &hex(payload)),
            Ok(node.clone()),
            "{payload}"
        );
    }
}

#[test]
fn p26_5_a_multiple_resource() {
    let payload = hex("a1 03 a1 00 a1 06 a2 00 01 01 05");
    let resources = vec![multiple(6, &[1, 5])];
    both_ways(FORMAT, Path::object(3), object(3, resources), &payload);
    let payload = hex("a1 83 03 00 06 a2 00 01 01 05");
    let node = Node::Resource(multiple(6, &[1, 5]));
    both_ways(FORMAT, Path::resource(3, 0, 6), node, &payload);
}

#[test]
fn p26_a_prefix_may_be_repeated() {
    let node = instance(0, device_resources());
    for payload in [
        "a2 82 03 00 a1 09 18 64 82 03 00 a1 10 61 55",
        "a2 83 03 00 09 18 64 82 03 00 a1 81 10 61 55",
        "a2 03 a1 00 a1 09 18 64 03 a1 00 a1 10 61 55",
    ] {
        let read = read(FORMAT, Path::instance(3, 0), &hex(payload));
        assert_eq!(read, Ok(node.clone()), "{payload}");
    }
}

#[test]
fn p26_every_type_is_read_and_written() {
    for (path, value, bytes) in [
        (Path::resource(1, 0, 6), Value::Boolean(true), "f5"),
        (
            Path::resource(5, 0, 0),
            Value::Opaque(Bytes::from_static(&[1, 2])),
            "42 01 02",
        ),
        (
            Path::resource(10, 0, 0),
            Value::ObjectLink(3, 0),
            "63 33 3a 30",
        ),
        (
            Path::resource(3, 0, 13),
            Value::Time(1_700_000_000_000),
            "c1 1a 65 53 f1 00",
        ),
        (Path::resource(3, 0, 9), Value::Integer(-5), "24"),
    ] {
        let [object, _, id] = *path.segments() else {
            panic!("no resource: {path}");
        };
        let payload = hex(&format!("a1 83 {object:02x} 00 {id:02x} {bytes}"));
        both_ways(FORMAT, path, single(id, value), &payload);
    }
    // Strings in chunks, a time without tag.
    let payload = hex("a1 82 03 00 a2 10 7f 61 55 61 51 ff 0d 1a 65 53 f1 00");
    let resources = vec![
        Resource::single(16, text("UQ")),
        Resource::single(13, Value::Time(1_700_000_000_000)),
    ];
    assert_eq!(
        read(FORMAT, Path::instance(3, 0), &payload),
        Ok(instance(0, resources))
    );
}

#[test]
fn p26_a_composite_holds_several_objects() {
    let payload = hex("a2 83 03 00 09 18 64 83 01 00 06 f5");
    let paths = [Path::resource(1, 0, 6), Path::object(5), Path::object(3)];
    let read = decode_composite(FORMAT, &paths, &payload, &device()).unwrap();
    assert_eq!(read.rejected, []);
    let nodes = vec![
        (paths[0], single(6, Value::Boolean(true))),
        (
            paths[2],
            object(3, vec![Resource::single(9, Value::Integer(100))]),
        ),
    ];
    assert_eq!(read.samples, [Sample { time: None, nodes }]);
    let nodes = vec![
        (Path::resource(3, 0, 9), single(9, Value::Integer(100))),
        (paths[0], single(6, Value::Boolean(true))),
    ];
    let samples = [Sample { time: None, nodes }];
    assert_eq!(encode_samples(FORMAT, &samples), Ok(payload));
}

#[test]
fn p26_a_path_list_has_nulls() {
    let payload = hex("a2 83 03 00 00 f6 01 f6");
    let paths = [Path::resource(3, 0, 0), Path::object(1)];
    assert_eq!(decode_paths(FORMAT, &payload, &[]), Ok(paths.to_vec()));
    assert_eq!(encode_paths(FORMAT, &paths), Ok(payload));
}

#[test]
fn p26_keys_that_are_no_segments_are_refused() {
    for (payload, kind) in [
        // 65536, also within an array.
        (
            "a1 82 03 00 a1 1a 00 01 00 00 05",
            DecodeErrorKind::ValueRange,
        ),
        ("a1 83 03 00 1a 00 01 00 00 05", DecodeErrorKind::ValueRange),
        ("a1 83 03 19 ff ff 09 05", DecodeErrorKind::ValueRange),
        ("a1 83 03 00 20 05", DecodeErrorKind::ValueRange),
        // Five segments.
        ("a1 85 03 00 06 00 00 05", DecodeErrorKind::Name),
        ("a1 03 a1 00 a1 06 a1 00 a1 00 05", DecodeErrorKind::Name),
        // An empty array, a float, texts.
        ("a1 80 05", DecodeErrorKind::Name),
        ("a1 03 a1 80 05", DecodeErrorKind::Name),
        ("a1 83 03 f9 3c 00 09 05", DecodeErrorKind::Name),
        ("a1 03 a1 61 30 a1 09 05", DecodeErrorKind::Name),
        (
            "a1 64 64 65 76 31 a1 03 a1 00 a1 09 05",
            DecodeErrorKind::Name,
        ),
        ("a1 82 03 81 00 05", DecodeErrorKind::Name),
        // No map, and an array where a value belongs.
        ("00", DecodeErrorKind::Structure),
        ("84 03 00 09 05", DecodeErrorKind::Structure),
        ("a1 03 a1 00 81 a1 09 05", DecodeErrorKind::Structure),
        // Outside of what was asked.
        ("a1 83 03 01 09 05", DecodeErrorKind::IdConflict),
        ("a1 83 0d 00 09 05", DecodeErrorKind::IdConflict),
        // No value.
        ("a1 83 03 00 09 f6", DecodeErrorKind::Missing),
        // Cut off.
        ("a1 82 03 00 a1", DecodeErrorKind::Truncated),
    ] {
        let error = read(FORMAT, Path::instance(3, 0), &hex(payload)).unwrap_err();
        assert_eq!(error.kind, kind, "{payload}");
    }
}

#[test]
fn p26_a_bad_entry_does_not_cost_its_neighbours() {
    let payload = hex("a3 80 05 82 03 00 a2 09 18 64 10 05 83 03 00 09 01");
    let read = decode(FORMAT, &Path::instance(3, 0), &payload, &device()).unwrap();
    let resources = vec![Resource::single(9, Value::Integer(100))];
    assert_eq!(read.node, instance(0, resources));
    assert_eq!(
        read.rejected,
        [
            (Path::instance(3, 0), DecodeErrorKind::Name.at(1)),
            (Path::resource(3, 0, 16), DecodeErrorKind::WrongType.at(10)),
            (Path::resource(3, 0, 9), DecodeErrorKind::Duplicate.at(12)),
        ]
    );
}
