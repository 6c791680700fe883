//! protocol 2.4 and 2.7, and the examples of RFC 8428.

use super::{super::tests::hex, *};

const JSON: ContentFormat = ContentFormat::SENML_JSON;
const CBOR: ContentFormat = ContentFormat::SENML_CBOR;
const TEMPERATURE: Path = Path::resource(3303, 0, 5700);

fn celsius(value: f64) -> Node {
    single(5700, Value::Float(value))
}

/// Reads the payload of a Send of which nothing is rejected.
fn sent(format: ContentFormat, payload: &Bytes) -> Vec<Sample> {
    let samples = decode_send(format, payload, &device()).unwrap();
    assert_eq!(samples.rejected, []);
    samples.samples
}

#[test]
fn p24_1_a_float() {
    let payload = hex("81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0");
    both_ways(CBOR, TEMPERATURE, celsius(22.5), &payload);
    let payload = json(r#"[{"bn":"/3303/0/5700","v":22.5}]"#);
    both_ways(JSON, TEMPERATURE, celsius(22.5), &payload);
}

#[test]
fn p24_2_an_instance_with_a_base_time() {
    let payload = hex(
        "82 a4 21 68 2f 33 33 30 33 2f 30 2f 22 1a 65 53 f1 00 00 64 35 37 30 30 \
                       02 f9 4d a0 a2 00 64 35 37 30 31 03 63 43 65 6c",
    );
    let path = Path::instance(3303, 0);
    let resources = vec![
        Resource::single(5700, Value::Float(22.5)),
        Resource::single(5701, text("Cel")),
    ];
    let node = instance(0, resources);
    let time = Some(SampleTime::At(1_700_000_000_000));
    assert_eq!(
        history(CBOR, path, &payload),
        [sample(time, path, node.clone())]
    );
    // The one time of an answer to a Read is passed over, and not written.
    assert_eq!(read(CBOR, path, &payload), Ok(node.clone()));
    let without_time = hex(
        "82 a3 21 68 2f 33 33 30 33 2f 30 2f 00 64 35 37 30 30 02 f9 4d a0 \
                            a2 00 64 35 37 30 31 03 63 43 65 6c",
    );
    both_ways(CBOR, path, node, &without_time);
}

/// The two samples of rows 3 and 9.
fn two_samples() -> [Sample; 2] {
    [(1_700_000_000_000, 22.5), (1_700_000_010_000, 23.0)]
        .map(|(time, value)| sample(Some(SampleTime::At(time)), TEMPERATURE, celsius(value)))
}

#[test]
fn p24_3_two_samples_in_cbor() {
    let payload = hex(
        "82 a3 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 22 1a 65 53 f1 00 \
                       02 f9 4d a0 a2 06 0a 02 17",
    );
    assert_eq!(history(CBOR, TEMPERATURE, &payload), two_samples());
    assert_eq!(sent(CBOR, &payload), two_samples());
    // Samples are written with whole names and times.
    let written = hex(
        "82 a3 00 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 06 1a 65 53 f1 00 02 f9 4d a0 \
                       a3 00 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 06 1a 65 53 f1 0a 02 f9 4d c0",
    );
    assert_eq!(encode_samples(CBOR, &two_samples()), Ok(written.clone()));
    assert_eq!(sent(CBOR, &written), two_samples());
}

#[test]
fn p24_4_a_boolean() {
    let payload = hex("81 a2 21 66 2f 31 2f 30 2f 36 04 f5");
    let path = Path::resource(1, 0, 6);
    both_ways(CBOR, path, single(6, Value::Boolean(true)), &payload);
    let payload = json(r#"[{"bn":"/1/0/6","vb":true}]"#);
    both_ways(JSON, path, single(6, Value::Boolean(true)), &payload);
}

#[test]
fn p24_5_opaque_bytes_in_cbor() {
    let payload = hex("81 a2 21 66 2f 35 2f 30 2f 30 08 42 01 02");
    let node = single(0, Value::Opaque(Bytes::from_static(&[1, 2])));
    both_ways(CBOR, Path::resource(5, 0, 0), node, &payload);
}

#[test]
fn p24_6_an_object_link() {
    let payload = hex("81 a2 21 67 2f 31 30 2f 30 2f 30 63 76 6c 6f 63 33 3a 30");
    let path = Path::resource(10, 0, 0);
    let node = single(0, Value::ObjectLink(3, 0));
    both_ways(CBOR, path, node.clone(), &payload);
    let payload = json(r#"[{"bn":"/10/0/0","vlo":"3:0"}]"#);
    both_ways(JSON, path, node.clone(), &payload);
    // Some clients send the link as a string.
    let string = json(r#"[{"bn":"/10/0/0","vs":"3:0"}]"#);
    assert_eq!(read(JSON, path, &string), Ok(node));
}

#[test]
fn p24_7_a_path_list() {
    let payload = hex("82 a1 00 66 2f 33 2f 30 2f 30 a1 00 66 2f 31 2f 30 2f 31");
    let paths = [Path::resource(3, 0, 0), Path::resource(1, 0, 1)];
    assert_eq!(decode_paths(CBOR, &payload, &[]), Ok(paths.to_vec()));
    assert_eq!(encode_paths(CBOR, &paths), Ok(payload));
    let payload = json(r#"[{"n":"/3/0/0"},{"n":"/1/0/1"}]"#);
    assert_eq!(decode_paths(JSON, &payload, &[]), Ok(paths.to_vec()));
    assert_eq!(encode_paths(JSON, &paths), Ok(payload));
    let with_base = json(r#"[{"bn":"/3/","n":"0/0"},{"n":"0"},{"bn":"/1"}]"#);
    let paths = vec![
        Path::resource(3, 0, 0),
        Path::instance(3, 0),
        Path::object(1),
    ];
    assert_eq!(decode_paths(JSON, &with_base, &[]), Ok(paths));
    let no_path = json(r#"[{"n":"/3/0/0"},{"n":"urn:x"}]"#);
    assert_eq!(
        decode_paths(JSON, &no_path, &[]),
        Err(DecodeErrorKind::Name.at(16))
    );
}

#[test]
fn p24_8_a_write_composite() {
    let payload = hex("82 a2 00 66 2f 31 2f 30 2f 31 02 18 3c a2 00 66 2f 31 2f 30 2f 36 04 f5");
    let paths = [Path::resource(1, 0, 1), Path::resource(1, 0, 6)];
    let nodes = vec![
        (paths[0], single(1, Value::Integer(60))),
        (paths[1], single(6, Value::Boolean(true))),
    ];
    let samples = vec![Sample { time: None, nodes }];
    assert_eq!(encode_samples(CBOR, &samples), Ok(payload.clone()));
    let read = decode_composite(CBOR, &paths, &payload, &device()).unwrap();
    let rejected = Vec::new();
    assert_eq!(read, Samples { samples, rejected });
}

#[test]
fn p24_9_two_samples_in_json() {
    let payload = json(r#"[{"bn":"/3303/0/5700","bt":1700000000,"v":22.5},{"t":10,"v":23}]"#);
    assert_eq!(history(JSON, TEMPERATURE, &payload), two_samples());
    assert_eq!(sent(JSON, &payload), two_samples());
    let written = json(
        r#"[{"n":"/3303/0/5700","t":1700000000,"v":22.5},{"n":"/3303/0/5700","t":1700000010,"v":23.0}]"#,
    );
    assert_eq!(encode_samples(JSON, &two_samples()), Ok(written.clone()));
    assert_eq!(sent(JSON, &written), two_samples());
}

#[test]
fn p24_10_opaque_bytes_in_json() {
    let path = Path::resource(5, 0, 0);
    let node = single(0, Value::Opaque(Bytes::from_static(&[1, 2])));
    both_ways(
        JSON,
        path,
        node.clone(),
        &json(r#"[{"bn":"/5/0/0","vd":"AQI"}]"#),
    );
    let padded = json(r#"[{"bn":"/5/0/0","vd":"AQI="}]"#);
    assert_eq!(read(JSON, path, &padded), Ok(node));
    let url_safe = json(r#"[{"bn":"/5/0/0","vd":"-_8"}]"#);
    let node = single(0, Value::Opaque(Bytes::from_static(&[0xfb, 0xff])));
    both_ways(JSON, path, node, &url_safe);
    let standard = json(r#"[{"bn":"/5/0/0","vd":"+/8"}]"#);
    assert_eq!(
        read(JSON, path, &standard),
        Err(DecodeErrorKind::Syntax.at(1))
    );
}

#[test]
fn the_other_types_of_the_data_type_table_are_read_and_written() {
    for (path, value, payload) in [
        (
            Path::resource(3, 0, 13),
            Value::Time(1_367_491_215_000),
            r#"[{"bn":"/3/0/13","v":1367491215}]"#,
        ),
        (
            Path::resource(3303, 0, 5702),
            Value::CoreLink("</3/0>".into()),
            r#"[{"bn":"/3303/0/5702","vs":"</3/0>"}]"#,
        ),
        (
            Path::resource(3303, 0, 5703),
            Value::UnsignedInteger(u64::MAX),
            r#"[{"bn":"/3303/0/5703","v":18446744073709551615}]"#,
        ),
        (
            Path::resource(3, 0, 9),
            Value::Integer(i64::MIN),
            r#"[{"bn":"/3/0/9","v":-9223372036854775808}]"#,
        ),
    ] {
        let node = single(path.resource_id().unwrap(), value);
        both_ways(JSON, path, node.clone(), &json(payload));
        let cbor = encode(CBOR, &path, &node).unwrap();
        assert_eq!(read(CBOR, path, &cbor), Ok(node));
    }
}

#[test]
fn indefinite_lengths_are_read() {
    let payload = hex("9f bf 21 7f 63 2f 33 33 69 30 33 2f 30 2f 35 37 30 30 ff 02 f9 4d a0 ff ff");
    assert_eq!(read(CBOR, TEMPERATURE, &payload), Ok(celsius(22.5)));
    let bytes = hex("9f bf 21 66 2f 35 2f 30 2f 30 08 5f 41 01 41 02 ff ff ff");
    let node = single(0, Value::Opaque(Bytes::from_static(&[1, 2])));
    assert_eq!(read(CBOR, Path::resource(5, 0, 0), &bytes), Ok(node));
}

#[test]
fn floats_of_every_width_and_integers_are_read_for_float() {
    for number in [
        "f9 4d a0",
        "fa 41 b4 00 00",
        "fb 40 36 80 00 00 00 00 00",
        // 225 * 10^-1.
        "c4 82 20 18 e1",
    ] {
        let payload = hex(&format!(
            "81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 {number}"
        ));
        assert_eq!(read(CBOR, TEMPERATURE, &payload), Ok(celsius(22.5)));
    }
    for (number, value) in [("23", 23.0), ("-5", -5.0), ("2.25e1", 22.5)] {
        let payload = json(&format!(r#"[{{"bn":"/3303/0/5700","v":{number}}}]"#));
        assert_eq!(read(JSON, TEMPERATURE, &payload), Ok(celsius(value)));
    }
}

#[test]
fn a_multiple_resource_has_a_record_for_each_instance() {
    let path = Path::resource(3, 0, 6);
    let node = Node::Resource(multiple(6, &[1, 5]));
    let payload = json(r#"[{"bn":"/3/0/6/","n":"0","v":1},{"n":"1","v":5}]"#);
    both_ways(JSON, path, node, &payload);
    let payload = json(r#"[{"bn":"/3/0/","n":"9","v":100},{"n":"6/0","v":1},{"n":"6/1","v":5}]"#);
    let resources = vec![
        Resource::single(9, Value::Integer(100)),
        multiple(6, &[1, 5]),
    ];
    both_ways(JSON, Path::instance(3, 0), instance(0, resources), &payload);
}

#[test]
fn one_instance_of_a_resource_is_read_and_written() {
    let path = Path::resource_instance(3, 0, 6, 1);
    let value = Value::Integer(5);
    let node = Node::ResourceInstance(ResourceInstance { id: 1, value });
    both_ways(JSON, path, node, &json(r#"[{"bn":"/3/0/6/1","v":5}]"#));
}

#[test]
fn an_instance_to_be_created_is_written_below_its_object() {
    let node = instance(1, vec![Resource::single(1, Value::Integer(60))]);
    let payload = json(r#"[{"bn":"/1/","n":"1/1","v":60}]"#);
    assert_eq!(encode(JSON, &Path::object(1), &node), Ok(payload));
}

#[test]
fn times_below_2_to_the_28_are_relative() {
    for (times, time) in [
        (r#""t":-5"#, SampleTime::Relative(-5000)),
        (
            r#""t":268435455.999"#,
            SampleTime::Relative(268_435_455_999),
        ),
        (r#""t":268435456"#, SampleTime::At(268_435_456_000)),
        (r#""bt":1700000000.25"#, SampleTime::At(1_700_000_000_250)),
        (
            r#""bt":1.276020076001e+09,"t":-5"#,
            SampleTime::At(1_276_020_071_001),
        ),
    ] {
        let payload = json(&format!(r#"[{{"n":"/3303/0/5700","v":23.5,{times}}}]"#));
        assert_eq!(
            history(JSON, TEMPERATURE, &payload),
            [sample(Some(time), TEMPERATURE, celsius(23.5))],
            "{times}"
        );
    }
}

#[test]
fn rfc_8428_4_5_3_a_time_of_zero_is_no_time() {
    for times in [
        r#""t":0"#,
        r#""t":0.0"#,
        r#""bt":0"#,
        r#""bt":0,"t":0"#,
        r#""bt":5,"t":-5"#,
    ] {
        let payload = json(&format!(r#"[{{"n":"/3303/0/5700","v":23.5,{times}}}]"#));
        assert_eq!(
            history(JSON, TEMPERATURE, &payload),
            [sample(None, TEMPERATURE, celsius(23.5))],
            "{times}"
        );
    }
    // The two values have one time, so that this is an answer to a Read.
    let payload = json(r#"[{"bn":"/3303/0/","n":"5700","v":23.5,"t":0},{"n":"5701","vs":"Cel"}]"#);
    let resources = vec![
        Resource::single(5700, Value::Float(23.5)),
        Resource::single(5701, text("Cel")),
    ];
    assert_eq!(
        read(JSON, Path::instance(3303, 0), &payload),
        Ok(instance(0, resources))
    );
}

#[test]
fn a_time_is_not_written_where_it_would_be_read_as_another() {
    for time in [
        SampleTime::At(268_435_455_999),
        SampleTime::Relative(268_435_456_000),
    ] {
        let samples = [sample(Some(time), TEMPERATURE, celsius(1.5))];
        for format in [JSON, CBOR, ContentFormat::LWM2M_CBOR] {
            assert_eq!(encode_samples(format, &samples), Err(EncodeError::Time));
        }
    }
}

#[test]
fn samples_keep_the_order_of_the_payload() {
    let payload = json(
        r#"[{"bn":"/3303/0/","n":"5701","t":-1,"vs":"b"},{"n":"5700","v":3.5},{"n":"5700","t":-1,"v":2.5},
            {"n":"5700","t":-9,"v":1.5}]"#,
    );
    let path = Path::instance(3303, 0);
    let samples = history(JSON, path, &payload);
    let [unit, value] = [5701, 5700].map(|id| move |value| Resource::single(id, value));
    let node = |resources| vec![(path, instance(0, resources))];
    let expected = [
        (
            Some(SampleTime::Relative(-1000)),
            node(vec![unit(text("b")), value(Value::Float(2.5))]),
        ),
        (None, node(vec![value(Value::Float(3.5))])),
        (
            Some(SampleTime::Relative(-9000)),
            node(vec![value(Value::Float(1.5))]),
        ),
    ];
    let expected = expected.map(|(time, nodes)| Sample { time, nodes });
    assert_eq!(samples, expected);
}

#[test]
fn the_same_values_three_seconds_apart_are_two_samples_of_a_send() {
    // The values of device-lifecycle 4.5.
    let payload = json(r#"[{"bn":"/3303/12/5700","bt":1700000000,"v":25.05},{"t":3,"v":35.12}]"#);
    let path = Path::resource(3303, 12, 5700);
    let at = |millis, value| sample(Some(SampleTime::At(millis)), path, celsius(value));
    assert_eq!(
        sent(JSON, &payload),
        [at(1_700_000_000_000, 25.05), at(1_700_000_003_000, 35.12)]
    );
}

#[test]
fn a_send_has_a_node_for_each_value() {
    let payload = json(r#"[{"bn":"/3/0/","n":"6/1","v":5},{"n":"9","v":100},{"n":"9","v":99}]"#);
    let samples = decode_send(JSON, &payload, &device()).unwrap();
    let instance = ResourceInstance {
        id: 1,
        value: Value::Integer(5),
    };
    let nodes = vec![
        (
            Path::resource_instance(3, 0, 6, 1),
            Node::ResourceInstance(instance),
        ),
        (Path::resource(3, 0, 9), single(9, Value::Integer(100))),
    ];
    assert_eq!(samples.samples, [Sample { time: None, nodes }]);
    let duplicate = DecodeErrorKind::Duplicate.at(place(&payload, r#"{"n":"9","v":99}"#));
    assert_eq!(samples.rejected, [(Path::resource(3, 0, 9), duplicate)]);
}

/// The measurements of RFC 8428 section 5.1.2, whose names are no paths, under names that are.
const MEASUREMENTS: &str = r#"[
    {"bn":"/3303/0/","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"5701","u":"V","vs":"120.1"},
    {"n":"5700","t":-5,"v":1.2},
    {"n":"5700","t":-4,"v":1.3},
    {"n":"5700","t":-3,"v":1.4},
    {"n":"5700","t":-2,"v":1.5},
    {"n":"5700","t":-1,"v":1.6},
    {"n":"5700","v":1.7}
]"#;

#[test]
fn rfc_8428_5_1_2_and_6_base_fields_hold_from_their_record_on() {
    let now = 1_276_020_076_001;
    let current = |ago: i64, value| {
        let time = Some(SampleTime::At(now - ago * 1000));
        sample(time, TEMPERATURE, celsius(value))
    };
    let mut first = current(0, 1.7);
    let unit = Path::resource(3303, 0, 5701);
    first.nodes.insert(0, (unit, single(5701, text("120.1"))));
    let expected = [
        first,
        current(5, 1.2),
        current(4, 1.3),
        current(3, 1.4),
        current(2, 1.5),
        current(1, 1.6),
    ];
    assert_eq!(sent(JSON, &json(MEASUREMENTS)), expected);
    let cbor = hex(
        "87 a7 21 68 2f 33 33 30 33 2f 30 2f 22 fb 41 d3 03 a1 5b 00 10 62 23 61 41 20 05 \
                    00 64 35 37 30 31 01 61 56 03 65 31 32 30 2e 31 \
                    a3 00 64 35 37 30 30 06 24 02 fb 3f f3 33 33 33 33 33 33 \
                    a3 00 64 35 37 30 30 06 23 02 fb 3f f4 cc cc cc cc cc cd \
                    a3 00 64 35 37 30 30 06 22 02 fb 3f f6 66 66 66 66 66 66 \
                    a3 00 64 35 37 30 30 06 21 02 f9 3e 00 \
                    a3 00 64 35 37 30 30 06 20 02 fb 3f f9 99 99 99 99 99 9a \
                    a2 00 64 35 37 30 30 02 fb 3f fb 33 33 33 33 33 33",
    );
    assert_eq!(sent(CBOR, &cbor), expected);
}

#[test]
fn rfc_8428_5_1_4_values_of_every_type() {
    let payload = json(
        r#"[{"bn":"/1000/0/","n":"1","u":"Cel","v":23.1},{"n":"2","vs":"Machine Room"},{"n":"3","vb":false},
            {"n":"4","vd":"aGkgCg"}]"#,
    );
    let read = decode(JSON, &Path::instance(1000, 0), &payload, &Models::default()).unwrap();
    let resources = vec![
        Resource::single(1, Value::Float(23.1)),
        Resource::single(2, text("Machine Room")),
        Resource::single(3, Value::Boolean(false)),
        Resource::single(4, Value::Opaque(Bytes::from_static(b"hi \n"))),
    ];
    assert_eq!(read, instance(0, resources).into());
}

#[test]
fn rfc_8428_4_5_4_a_base_value_is_added() {
    for (base, own, sum) in [
        ("20", "3", "23"),
        ("20", "2.5", "22.5"),
        ("-0.5", "23", "22.5"),
        ("0.25", "0.5", "0.75"),
    ] {
        let sum = sum.parse().unwrap();
        let payload = json(&format!(
            r#"[{{"bv":{base},"n":"/3303/0/5700","v":{own}}}]"#
        ));
        assert_eq!(read(JSON, TEMPERATURE, &payload), Ok(celsius(sum)));
    }
}

#[test]
fn rfc_8428_4_4_fields_that_must_be_understood_are_refused() {
    for payload in [
        r#"[{"n":"/3303/0/5700","v":1,"x_":2}]"#,
        r#"[{"n":"/3303/0/5700","v":1},{"bver":11}]"#,
    ] {
        let error = read(JSON, TEMPERATURE, &json(payload)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::NotUnderstood, "{payload}");
    }
    let payload = hex("81 a3 00 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 01 62 78 5f 00");
    let error = read(CBOR, TEMPERATURE, &payload).unwrap_err();
    assert_eq!(error, DecodeErrorKind::NotUnderstood.at(18));
}

#[test]
fn rfc_8428_4_3_other_fields_are_passed_over() {
    let payload = json(
        r#"[{"bver":10,"bu":"A","bs":1,"n":"/3303/0/5700","u":"V","s":2,"ut":3,"v":1.5,"x":{"y":[1,null]}}]"#,
    );
    assert_eq!(read(JSON, TEMPERATURE, &payload), Ok(celsius(1.5)));
    let payload = hex(
        "81 a5 00 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 01 61 56 02 f9 3e 00 \
                       19 03 e8 a1 00 82 f6 f7 c2 41 01 e0",
    );
    assert_eq!(read(CBOR, TEMPERATURE, &payload), Ok(celsius(1.5)));
}

#[test]
fn etch_is_senml_for_requests() {
    let paths = [Path::resource(3, 0, 0), Path::instance(1, 0)];
    let samples = [sample(None, TEMPERATURE, celsius(22.5))];
    for (etch, plain) in [
        (ContentFormat::SENML_ETCH_JSON, JSON),
        (ContentFormat::SENML_ETCH_CBOR, CBOR),
    ] {
        let payload = encode_paths(etch, &paths).unwrap();
        assert_eq!(decode_paths(etch, &payload, &[]), Ok(paths.to_vec()));
        assert_eq!(Ok(payload), encode_paths(plain, &paths));
        let payload = encode_samples(etch, &samples).unwrap();
        assert_eq!(
            decode_send(etch, &payload, &device()).unwrap().samples,
            samples
        );
        assert_eq!(Ok(payload), encode_samples(plain, &samples));
    }
    // null, which deletes, is no value.
    let delete = json(r#"[{"n":"/3/0/6/0","v":null},{"n":"/3/0/9","v":1}]"#);
    let read = decode_send(ContentFormat::SENML_ETCH_JSON, &delete, &device()).unwrap();
    let path = Path::resource_instance(3, 0, 6, 0);
    assert_eq!(read.rejected, [(path, DecodeErrorKind::Missing.at(1))]);
    assert_eq!(read.samples.len(), 1);
}
