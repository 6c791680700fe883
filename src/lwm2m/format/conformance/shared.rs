//! What all formats that name paths have in common: containment, absence, duplicates, the alternate root.

use super::{super::tests::hex, *};

const ALL: [ContentFormat; 4] = [
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::JSON,
    ContentFormat::LWM2M_CBOR,
];

#[test]
fn a_payload_without_values_is_an_empty_object_instance_or_multiple_resource() {
    let empty_object = Node::Object(Object {
        id: 3,
        instances: Vec::new(),
    });
    for (format, payload) in [
        (ContentFormat::SENML_JSON, json("[]")),
        (ContentFormat::SENML_CBOR, hex("80")),
        (ContentFormat::SENML_CBOR, hex("9f ff")),
        (ContentFormat::JSON, json(r#"{"bn":"/3/0/","e":[]}"#)),
        (ContentFormat::LWM2M_CBOR, hex("a0")),
        (ContentFormat::LWM2M_CBOR, hex("a1 03 a1 00 a0")),
    ] {
        let read = |path| read(format, path, &payload);
        assert_eq!(read(Path::object(3)), Ok(empty_object.clone()));
        assert_eq!(read(Path::instance(3, 0)), Ok(instance(0, Vec::new())));
        let resource = Node::Resource(multiple(6, &[]));
        assert_eq!(read(Path::resource(3, 0, 6)), Ok(resource));
        for path in [
            Path::resource(3, 0, 9),
            Path::resource(1000, 0, 1),
            Path::resource_instance(3, 0, 6, 0),
        ] {
            assert_eq!(read(path), Err(DecodeErrorKind::Missing.at(0)), "{path}");
        }
        let samples = decode_history(format, &Path::instance(3, 0), &payload, &device());
        assert_eq!(samples.unwrap().samples.len(), 1);
    }
    let none = decode_send(ContentFormat::SENML_JSON, &json("[]"), &device());
    assert_eq!(none, Ok(Samples::default()));
    let paths = [Path::object(3)];
    let none = decode_composite(ContentFormat::SENML_CBOR, &paths, &hex("80"), &device());
    assert_eq!(none, Ok(Samples::default()));
}

#[test]
fn nodes_without_values_are_written_as_such() {
    let path = Path::resource(3, 0, 6);
    let node = Node::Resource(multiple(6, &[]));
    let [senml_json, senml_cbor, json_, cbor] =
        ALL.map(|format| encode(format, &path, &node).unwrap());
    assert_eq!(senml_json, json("[]"));
    assert_eq!(senml_cbor, hex("80"));
    assert_eq!(json_, json(r#"{"bn":"/3/0/6","e":[]}"#));
    assert_eq!(cbor, hex("a1 83 03 00 06 a0"));
}

#[test]
fn an_answer_to_a_read_has_one_time_at_most() {
    for (format, payload, other) in [
        (
            ContentFormat::SENML_JSON,
            r#"[{"n":"/3/0/9","v":1,"t":-1},{"n":"/3/0/9","v":2,"t":-2}]"#,
            r#"{"n":"/3/0/9","v":2"#,
        ),
        (
            ContentFormat::SENML_JSON,
            r#"[{"n":"/3/0/9","v":1,"t":-1},{"n":"/3/0/16","vs":"U"}]"#,
            r#"{"n":"/3/0/16""#,
        ),
        (
            ContentFormat::JSON,
            r#"{"e":[{"n":"/3/0/9","v":1,"t":-1},{"n":"/3/0/16","sv":"U"}]}"#,
            r#"{"n":"/3/0/16""#,
        ),
    ] {
        let payload = json(payload);
        let error = DecodeErrorKind::SeveralTimes.at(place(&payload, other));
        assert_eq!(read(format, Path::instance(3, 0), &payload), Err(error));
        assert_eq!(history(format, Path::instance(3, 0), &payload).len(), 2);
    }
}

#[test]
fn the_first_of_two_values_counts() {
    let payload = json(
        r#"[{"n":"/3/0/9","v":1},{"n":"/3/0/9","v":2},{"n":"/3/0/6/0","v":3},{"n":"/3/0/6","v":4},{"n":"/3/0/6/0","v":5}]"#,
    );
    let read = decode(
        ContentFormat::SENML_JSON,
        &Path::instance(3, 0),
        &payload,
        &device(),
    )
    .unwrap();
    let record = |value| {
        let end = place(&payload, &format!(r#""v":{value}"#));
        payload[..end]
            .iter()
            .rposition(|byte| *byte == b'{')
            .unwrap()
    };
    let resources = vec![Resource::single(9, Value::Integer(1)), multiple(6, &[3])];
    assert_eq!(read.node, instance(0, resources));
    assert_eq!(
        read.rejected,
        [
            (
                Path::resource(3, 0, 9),
                DecodeErrorKind::Duplicate.at(record(2))
            ),
            (
                Path::resource(3, 0, 6),
                DecodeErrorKind::Structure.at(record(4))
            ),
            (
                Path::resource_instance(3, 0, 6, 0),
                DecodeErrorKind::Duplicate.at(record(5))
            ),
        ]
    );
}

#[test]
fn instances_of_one_resource_have_one_type() {
    let payload = json(r#"[{"bn":"/1000/0/1/","n":"0","v":1},{"n":"1","vs":"x"},{"n":"2","v":3}]"#);
    let path = Path::resource(1000, 0, 1);
    let read = decode(ContentFormat::SENML_JSON, &path, &payload, &device()).unwrap();
    let Node::Resource(resource) = read.node else {
        panic!("no resource");
    };
    assert_eq!(resource.resource_type(), ResourceType::Integer);
    let wrong = DecodeErrorKind::WrongType.at(place(&payload, r#"{"n":"1""#));
    assert_eq!(
        read.rejected,
        [(Path::resource_instance(1000, 0, 1, 1), wrong)]
    );
}

#[test]
fn objects_and_instances_have_no_values_of_their_own() {
    for path in ["/", "/3", "/3/0"] {
        let payload = json(&format!(r#"[{{"n":"{path}","v":1}}]"#));
        let read = decode_send(ContentFormat::SENML_JSON, &payload, &device()).unwrap();
        let structure = DecodeErrorKind::Structure.at(1);
        assert_eq!(read.rejected, [(path.parse().unwrap(), structure)]);
    }
    for format in ALL {
        let root = decode(format, &Path::ROOT, &json("[]"), &device());
        assert!(root.is_err());
    }
}

#[test]
fn overlapping_paths_of_a_composite_share_no_values() {
    let payload = json(r#"[{"n":"/3/0/9","v":1},{"n":"/3/0/16","vs":"U"},{"n":"/1/0/1","v":60}]"#);
    let paths = [Path::resource(3, 0, 9), Path::instance(3, 0)];
    let read = decode_composite(ContentFormat::SENML_JSON, &paths, &payload, &device()).unwrap();
    let nodes = vec![
        (paths[0], single(9, Value::Integer(1))),
        (paths[1], instance(0, vec![Resource::single(16, text("U"))])),
    ];
    assert_eq!(read.samples, [Sample { time: None, nodes }]);
    let stray = DecodeErrorKind::IdConflict.at(place(&payload, r#"{"n":"/1/0/1""#));
    assert_eq!(read.rejected, [(Path::resource(1, 0, 1), stray)]);
}

#[test]
fn the_alternate_root_may_stand_in_front() {
    let models = device();
    let root = ["a".to_owned(), "b".to_owned()];
    let scope = Scope {
        models: &models,
        root: &root,
    };
    let path = Path::resource(3, 0, 9);
    for (format, payload) in [
        (
            ContentFormat::SENML_JSON,
            json(r#"[{"n":"/a/b/3/0/9","v":100}]"#),
        ),
        (
            ContentFormat::SENML_JSON,
            json(r#"[{"n":"/3/0/9","v":100}]"#),
        ),
        (
            ContentFormat::JSON,
            json(r#"{"bn":"/a/b/3/0","e":[{"n":"9","v":100}]}"#),
        ),
        (
            ContentFormat::JSON,
            json(r#"{"e":[{"n":"/a/b/3/0/9","v":100}]}"#),
        ),
        (
            ContentFormat::LWM2M_CBOR,
            hex("a1 61 61 a1 84 61 62 03 00 09 18 64"),
        ),
        (ContentFormat::LWM2M_CBOR, hex("a1 83 03 00 09 18 64")),
    ] {
        let read = decode(format, &path, &payload, scope).unwrap();
        assert_eq!(read, single(9, Value::Integer(100)).into(), "{payload:?}");
    }
    for (format, payload) in [
        (
            ContentFormat::SENML_JSON,
            json(r#"[{"n":"/a/3/0/9","v":100}]"#),
        ),
        (
            ContentFormat::SENML_JSON,
            json(r#"[{"n":"/a/bb/3/0/9","v":1}]"#),
        ),
        (ContentFormat::LWM2M_CBOR, hex("a1 84 61 61 03 00 09 18 64")),
        (ContentFormat::LWM2M_CBOR, hex("a1 84 61 62 03 00 09 18 64")),
    ] {
        let error = decode(format, &path, &payload, scope).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Name, "{payload:?}");
    }
    let list = json(r#"[{"n":"/a/b/3/0/9"},{"n":"/a/b"}]"#);
    assert_eq!(
        decode_paths(ContentFormat::SENML_JSON, &list, &root),
        Ok(vec![path, Path::ROOT])
    );
}

#[test]
fn whole_floats_are_taken_as_integers_up_to_2_to_the_53() {
    let path = Path::resource(3, 0, 9);
    for (number, value) in [
        ("100.0", Ok(100)),
        ("1e2", Ok(100)),
        ("9007199254740992.0", Ok(1 << 53)),
        ("9007199254740994.0", Err(DecodeErrorKind::ValueRange)),
        ("1.5", Err(DecodeErrorKind::WrongType)),
        ("9223372036854775807", Ok(i64::MAX)),
        ("9223372036854775808", Err(DecodeErrorKind::ValueRange)),
        (
            "123456789012345678901234567890123456789012345",
            Err(DecodeErrorKind::ValueRange),
        ),
    ] {
        let payload = json(&format!(r#"[{{"n":"/3/0/9","v":{number}}}]"#));
        let read = read(ContentFormat::SENML_JSON, path, &payload);
        let expected = value.map(|value| single(9, Value::Integer(value)));
        assert_eq!(read.map_err(|error| error.kind), expected, "{number}");
    }
}
