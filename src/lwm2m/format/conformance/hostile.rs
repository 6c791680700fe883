//! hardening A38 to A42 and A45, for the formats that name paths.

use super::{super::tests::hex, *};

const JSON: ContentFormat = ContentFormat::SENML_JSON;
const CBOR: ContentFormat = ContentFormat::SENML_CBOR;
const BATTERY: Path = Path::resource(3, 0, 9);

#[track_caller]
fn assert_refused(format: ContentFormat, payload: &Bytes, error: DecodeError) {
    let read = decode(format, &Path::instance(3, 0), payload, &device());
    assert_eq!(read, Err(error), "{:?}", payload.get(..40));
    let read = decode_history(format, &Path::instance(3, 0), payload, &device());
    assert_eq!(read.map(|_| ()), Err(error));
}

/// Reads an instance of which resource 9 is good, and returns what was rejected beside it.
fn rejected_beside_battery(format: ContentFormat, payload: &Bytes) -> Vec<(Path, DecodeErrorKind)> {
    let read = decode(format, &Path::instance(3, 0), payload, &device()).unwrap();
    let resources = vec![Resource::single(9, Value::Integer(100))];
    assert_eq!(read.node, instance(0, resources));
    let rejected = read.rejected.into_iter();
    rejected.map(|(path, error)| (path, error.kind)).collect()
}

#[test]
fn a38_senml_cbor_is_bounded_in_depth_and_length() {
    // A record whose unknown field nests 10,000 deep: 16 levels are read.
    for opening in [0x81, 0x9f, 0xbf, 0xc2] {
        let mut payload = hex("81 a1 18 63").to_vec();
        payload.extend([opening; 10_000]);
        assert_refused(CBOR, &payload.into(), DecodeErrorKind::TooDeep.at(18));
    }
    for (payload, error) in [
        (
            "9b ff ff ff ff ff ff ff ff",
            DecodeErrorKind::Truncated.at(9),
        ),
        (
            "81 bb ff ff ff ff ff ff ff ff",
            DecodeErrorKind::Truncated.at(10),
        ),
        (
            "81 a1 00 7b ff ff ff ff ff ff ff ff",
            DecodeErrorKind::Truncated.at(3),
        ),
        (
            "81 a1 08 5b 7f ff ff ff ff ff ff ff 00",
            DecodeErrorKind::Truncated.at(3),
        ),
        ("81 a1 08 5f 5f 41 00 ff ff", DecodeErrorKind::Syntax.at(3)),
        ("9f", DecodeErrorKind::Truncated.at(1)),
        ("81 a1 00 ff", DecodeErrorKind::Syntax.at(3)),
        ("81 a1 00 1c", DecodeErrorKind::Syntax.at(3)),
        ("81 a1 00 62 c3 28", DecodeErrorKind::Utf8.at(3)),
        ("80 80", DecodeErrorKind::Trailing.at(1)),
        // Twice the same label.
        ("81 a2 02 01 02 02", DecodeErrorKind::Duplicate.at(4)),
        ("81 a2 21 61 2f 21 61 2f", DecodeErrorKind::Duplicate.at(5)),
        // No array, no map, a name that is none.
        ("a0", DecodeErrorKind::Structure.at(0)),
        ("81 00", DecodeErrorKind::Structure.at(1)),
        ("81 a1 00 01", DecodeErrorKind::Structure.at(3)),
        ("", DecodeErrorKind::Truncated.at(0)),
    ] {
        assert_refused(CBOR, &hex(payload), error);
    }
}

#[test]
fn a38_lwm2m_cbor_is_bounded_in_depth_and_length() {
    for (payload, error) in [
        (
            "bb ff ff ff ff ff ff ff ff",
            DecodeErrorKind::Truncated.at(9),
        ),
        (
            "a1 9b ff ff ff ff ff ff ff ff",
            DecodeErrorKind::Truncated.at(10),
        ),
        ("bf 03", DecodeErrorKind::Truncated.at(2)),
        ("bf 03 ff", DecodeErrorKind::Syntax.at(2)),
        ("", DecodeErrorKind::Truncated.at(0)),
    ] {
        assert_refused(ContentFormat::LWM2M_CBOR, &hex(payload), error);
    }
    let nested: Bytes = [0xa1, 0x00].repeat(10_000).into();
    assert_refused(
        ContentFormat::LWM2M_CBOR,
        &nested,
        DecodeErrorKind::TooDeep.at(31),
    );
}

#[test]
fn a38_big_numbers_and_tags_are_no_values() {
    for (number, kind) in [
        (
            "c2 49 01 00 00 00 00 00 00 00 00",
            DecodeErrorKind::WrongType,
        ),
        ("1b 80 00 00 00 00 00 00 00", DecodeErrorKind::ValueRange),
        ("f9 7e 00", DecodeErrorKind::ValueRange),
        ("c1 1a 65 53 f1 00", DecodeErrorKind::WrongType),
        ("61 31", DecodeErrorKind::WrongType),
        ("f6", DecodeErrorKind::Missing),
        ("f7", DecodeErrorKind::WrongType),
        ("81 00", DecodeErrorKind::Structure),
    ] {
        let payload = format!("81 a2 00 66 2f 33 2f 30 2f 39 02 {number}");
        let error = decode(CBOR, &BATTERY, &hex(&payload), &device()).unwrap_err();
        assert_eq!(error, kind.at(1), "{number}");
    }
}

#[test]
fn a39_a_float_that_is_no_number_is_rejected_alone() {
    let path = Path::instance(3303, 0);
    for number in ["f9 7e 00", "fa 7f 80 00 00", "fb ff f0 00 00 00 00 00 00"] {
        let payload = hex(&format!(
            "a1 82 19 0c e7 00 a2 19 16 44 {number} 19 16 45 61 43"
        ));
        let read = decode(ContentFormat::LWM2M_CBOR, &path, &payload, &device()).unwrap();
        let resources = vec![Resource::single(5701, text("C"))];
        assert_eq!(read.node, instance(0, resources));
        let rejected = (
            Path::resource(3303, 0, 5700),
            DecodeErrorKind::ValueRange.at(7),
        );
        assert_eq!(read.rejected, [rejected]);
    }
}

#[test]
fn a40_the_base_name_may_change_and_what_lies_outside_is_rejected() {
    let payload = json(
        r#"[{"bn":"/3/0/","n":"9","v":100},{"bn":"/1/0/","n":"1","v":60},{"bn":"/3/1/","n":"9","v":1},{"bn":"urn:","n":"9","v":1},{"bn":"/3/0/0/0/0/","n":"9","v":1}]"#,
    );
    assert_eq!(
        rejected_beside_battery(JSON, &payload),
        [
            (Path::resource(1, 0, 1), DecodeErrorKind::IdConflict),
            (Path::resource(3, 1, 9), DecodeErrorKind::IdConflict),
            (Path::instance(3, 0), DecodeErrorKind::Name),
            (Path::instance(3, 0), DecodeErrorKind::Name),
        ]
    );
    let outside = json(r#"[{"n":"/1/0/1","v":60}]"#);
    assert_refused(JSON, &outside, DecodeErrorKind::IdConflict.at(1));
    let outside = json(r#"{"bn":"/1/0","e":[{"n":"1","v":60}]}"#);
    assert_refused(
        ContentFormat::JSON,
        &outside,
        DecodeErrorKind::IdConflict.at(18),
    );
}

#[test]
fn a40_a_record_without_value_or_with_several_is_rejected_alone() {
    let payload = json(
        r#"[{"bn":"/3/0/"},{"n":"9","v":100},{"n":"0"},{"n":"13","v":1,"vb":true},{"n":"16","vs":null}]"#,
    );
    assert_eq!(
        rejected_beside_battery(JSON, &payload),
        [
            (Path::instance(3, 0), DecodeErrorKind::Structure),
            (Path::resource(3, 0, 0), DecodeErrorKind::Missing),
            (Path::resource(3, 0, 13), DecodeErrorKind::Structure),
            (Path::resource(3, 0, 16), DecodeErrorKind::Missing),
        ]
    );
    let payload =
        json(r#"{"bn":"/3/0","e":[{"n":"9","v":100},{"n":"0"},{"n":"13","v":1,"bv":true}]}"#);
    assert_eq!(
        rejected_beside_battery(ContentFormat::JSON, &payload),
        [
            (Path::resource(3, 0, 0), DecodeErrorKind::Missing),
            (Path::resource(3, 0, 13), DecodeErrorKind::Structure),
        ]
    );
}

#[test]
fn a40_absurd_times_are_read_without_overflow() {
    for (time, expected) in [
        ("-1e300", SampleTime::Relative(i64::MIN)),
        // 1969, the year 2106, 2^53 seconds.
        ("-1", SampleTime::Relative(-1000)),
        ("4294967296", SampleTime::At(4_294_967_296_000)),
        (
            "9007199254740992",
            SampleTime::At(9_007_199_254_740_992_000),
        ),
        ("18446744073709551615", SampleTime::At(i64::MAX)),
        (
            "-170141183460469231731687303715884105728",
            SampleTime::Relative(i64::MIN),
        ),
        ("1e300", SampleTime::At(i64::MAX)),
    ] {
        let payload = json(&format!(r#"[{{"n":"/3/0/9","v":1,"t":{time}}}]"#));
        let [sample] = &history(JSON, BATTERY, &payload)[..] else {
            panic!("not one sample");
        };
        assert_eq!(sample.time, Some(expected), "{time}");
        // Sums and the time of receipt do not overflow either.
        for base in [i64::MIN, i64::MAX] {
            let payload = json(&format!(
                r#"[{{"n":"/3/0/9","v":1,"bt":{base},"t":{time}}}]"#
            ));
            let [sample] = &history(JSON, BATTERY, &payload)[..] else {
                panic!("not one sample");
            };
            sample.time.unwrap().resolve(base);
        }
        let payload = json(&format!(
            r#"{{"bt":{time},"e":[{{"n":"/3/0/9","v":1,"t":{time}}}]}}"#
        ));
        assert_eq!(history(ContentFormat::JSON, BATTERY, &payload).len(), 1);
    }
    let not_finite = json(r#"[{"n":"/3/0/9","v":1,"t":1e400}]"#);
    assert_refused(JSON, &not_finite, DecodeErrorKind::ValueRange.at(25));
    let no_number = hex("81 a3 00 66 2f 33 2f 30 2f 39 02 01 06 f9 7e 00");
    assert_refused(CBOR, &no_number, DecodeErrorKind::ValueRange.at(13));
}

#[test]
fn a40_the_number_of_records_is_capped() {
    let records = |count| json(&format!("[{}]", vec!["{}"; count].join(",")));
    assert_refused(JSON, &records(100_000), DecodeErrorKind::TooMany.at(30_001));
    let at_cap = decode_send(JSON, &records(10_000), &device()).unwrap();
    assert_eq!(at_cap.rejected.len(), 10_000);
    let mut payload = hex("9a 00 01 86 a0").to_vec();
    payload.extend([0xa0; 100_000]);
    assert_refused(CBOR, &payload.into(), DecodeErrorKind::TooMany.at(10_005));
    let entries = vec![r#"{"v":1}"#; 10_001].join(",");
    let payload = json(&format!(r#"{{"e":[{entries}]}}"#));
    assert_refused(
        ContentFormat::JSON,
        &payload,
        DecodeErrorKind::TooMany.at(80_006),
    );
    let mut payload = vec![0xbf];
    payload.extend([0x03, 0x01].repeat(10_001));
    payload.push(0xff);
    assert_refused(
        ContentFormat::LWM2M_CBOR,
        &payload.into(),
        DecodeErrorKind::TooMany.at(20_001),
    );
}

#[test]
fn a38_a40_the_number_of_items_is_capped() {
    // An unknown field with too many numbers. In CBOR the pack, the record, the key and the array are items as well; the
    // names of JSON are none.
    let mut payload = hex("81 a1 18 63 9f").to_vec();
    payload.resize(1_000_000, 0);
    let beyond = DecodeErrorKind::TooMany.at(5 + 200_000 - 4);
    assert_refused(CBOR, &payload.into(), beyond);
    let payload = json(&format!(r#"[{{"x":[0{}]}}]"#, ",0".repeat(500_000)));
    let beyond = DecodeErrorKind::TooMany.at(7 + 2 * (200_000 - 3));
    assert_refused(JSON, &payload, beyond);
}

#[test]
fn a40_long_base_names_do_not_multiply() {
    let base = "a".repeat(60_000);
    let payload = json(&format!(
        r#"[{{"bn":"/3/0/","n":"9","v":100}},{{"bn":"{base}","n":"9","v":1}},{{"n":"9","v":1}}]"#
    ));
    assert_eq!(
        rejected_beside_battery(JSON, &payload),
        [(Path::instance(3, 0), DecodeErrorKind::Name); 2]
    );
}

#[test]
fn a41_broken_json_is_refused_where_it_breaks() {
    for (payload, error) in [
        ("", DecodeErrorKind::Truncated.at(0)),
        (
            r#"[{"n":"/3/0/9","v":1}"#,
            DecodeErrorKind::Truncated.at(21),
        ),
        ("[{\n\"n\":x}]", DecodeErrorKind::Syntax.at(8)),
        ("[] []", DecodeErrorKind::Syntax.at(4)),
        (r#"[{"n":"/3/0/9","v":01}]"#, DecodeErrorKind::Syntax.at(21)),
        (r#"[{"n":"/3/0/9","v":+1}]"#, DecodeErrorKind::Syntax.at(20)),
        (
            r#"[{"n":"/3/0/9","v":NaN}]"#,
            DecodeErrorKind::Syntax.at(20),
        ),
        ("{}", DecodeErrorKind::Structure.at(0)),
        (r#"[{"n":5,"v":1}]"#, DecodeErrorKind::Structure.at(6)),
    ] {
        assert_refused(JSON, &json(payload), error);
    }
    let not_utf8 = Bytes::from_static(b"[{\"n\":\"\xff\"}]");
    assert_refused(JSON, &not_utf8, DecodeErrorKind::Utf8.at(7));
    let nested = json(&"[".repeat(10_000));
    assert_refused(JSON, &nested, DecodeErrorKind::Truncated.at(10_000));
    let nested = json(&["[".repeat(10_000), "]".repeat(10_000)].concat());
    assert_refused(JSON, &nested, DecodeErrorKind::TooDeep.at(16));
}

#[test]
fn a41_lone_surrogates_are_refused() {
    for payload in [
        r#"[{"n":"/3/0/16","vs":"\ud800"}]"#,
        r#"[{"n":"/3/0/16","vs":"\ud800x"}]"#,
        r#"[{"n":"/3/0/16","vs":"\udc00"}]"#,
        r#"[{"n":"/3/0/16","vs":"U","\ud800":1}]"#,
        r#"[{"n":"/3/0/16","vs":"U","x":["\ud800"]}]"#,
    ] {
        let error = read(JSON, Path::instance(3, 0), &json(payload)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Syntax, "{payload}");
    }
    let pair = json(r#"[{"n":"/3/0/16","vs":"\ud83d\ude00"}]"#);
    assert_eq!(
        read(JSON, Path::resource(3, 0, 16), &pair),
        Ok(single(16, text("\u{1f600}")))
    );
}

#[test]
fn a41_repeated_names_are_refused() {
    for (format, payload) in [
        (JSON, r#"[{"n":"/3/0/9","v":1,"v":1}]"#),
        (JSON, r#"[{"n":"/3/0/9","v":1,"\u0076":1}]"#),
        (JSON, r#"[{"n":"/3/0/9","v":1,"x":{"y":1,"y":1}}]"#),
        (ContentFormat::JSON, r#"{"e":[],"e":[]}"#),
        (ContentFormat::JSON, r#"{"e":[{"n":"/3/0/9","v":1,"v":1}]}"#),
    ] {
        let error = read(format, BATTERY, &json(payload)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Duplicate, "{payload}");
    }
}

#[test]
fn a41_numbers_beyond_all_floats_are_rejected_alone() {
    let payload = json(r#"[{"n":"/3303/0/5700","v":1e400},{"n":"/3303/0/5701","vs":"Cel"}]"#);
    let read = decode(JSON, &Path::instance(3303, 0), &payload, &device()).unwrap();
    assert_eq!(
        read.node,
        instance(0, vec![Resource::single(5701, text("Cel"))])
    );
    let rejected = (
        Path::resource(3303, 0, 5700),
        DecodeErrorKind::ValueRange.at(1),
    );
    assert_eq!(read.rejected, [rejected]);
}

#[test]
fn a41_a_string_of_a_megabyte_costs_its_own_length() {
    let long = "x".repeat(1 << 20);
    let payload = json(&format!(r#"[{{"n":"/3/0/16","vs":"{long}"}}]"#));
    let path = Path::resource(3, 0, 16);
    assert_eq!(read(JSON, path, &payload), Ok(single(16, text(&long))));
    // As a name or a number it is none.
    let payload = json(&format!(r#"[{{"n":"{long}","v":1}}]"#));
    assert_refused(JSON, &payload, DecodeErrorKind::Name.at(1));
    let digits = "1".repeat(1 << 20);
    let payload = json(&format!(r#"[{{"n":"/3/0/9","v":{digits}}}]"#));
    assert_refused(JSON, &payload, DecodeErrorKind::ValueRange.at(1));
}

#[test]
fn a42_texts_are_no_numbers_or_booleans() {
    for (format, payload) in [
        (JSON, r#"[{"n":"/3/0/9","v":"1"}]"#),
        (JSON, r#"[{"n":"/3/0/9","vs":"1"}]"#),
        (JSON, r#"[{"n":"/3/0/9","vb":true}]"#),
        (JSON, r#"[{"n":"/3/0/9","vb":1}]"#),
        (ContentFormat::JSON, r#"{"e":[{"n":"/3/0/9","sv":"1"}]}"#),
        (ContentFormat::JSON, r#"{"e":[{"n":"/3/0/9","v":"1"}]}"#),
        (ContentFormat::JSON, r#"{"e":[{"n":"/3/0/9","bv":1}]}"#),
    ] {
        let error = read(format, BATTERY, &json(payload)).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::WrongType, "{payload}");
    }
    let executable = json(r#"[{"n":"/5/0/4","v":1}]"#);
    let error = read(JSON, Path::resource(5, 0, 4), &executable).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::WrongType);
}

#[test]
fn a45_formats_that_name_no_paths_serve_no_composite() {
    let unsupported = DecodeErrorKind::UnsupportedFormat.at(0);
    for format in [
        ContentFormat::TEXT,
        ContentFormat::LINK,
        ContentFormat::OPAQUE,
        ContentFormat::CBOR,
        ContentFormat::TLV,
        ContentFormat(4711),
    ] {
        let payload = Bytes::from_static(b"[]");
        assert_eq!(decode_send(format, &payload, &device()), Err(unsupported));
        assert_eq!(
            decode_composite(format, &[BATTERY], &payload, &device()),
            Err(unsupported)
        );
        assert_eq!(decode_paths(format, &payload, &[]), Err(unsupported));
        assert_eq!(
            encode_samples(format, &[]),
            Err(EncodeError::UnsupportedFormat)
        );
        assert_eq!(
            encode_paths(format, &[BATTERY]),
            Err(EncodeError::UnsupportedFormat)
        );
    }
}

#[test]
fn a45_an_empty_payload_is_an_error() {
    for format in [
        JSON,
        CBOR,
        ContentFormat::JSON,
        ContentFormat::LWM2M_CBOR,
        ContentFormat::CBOR,
    ] {
        let error = decode(format, &BATTERY, &Bytes::new(), &device()).unwrap_err();
        assert_eq!(error, DecodeErrorKind::Truncated.at(0), "{format}");
    }
}
