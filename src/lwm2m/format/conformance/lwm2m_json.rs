//! protocol 2.3.

use super::*;

const FORMATS: [ContentFormat; 2] = [ContentFormat::JSON, ContentFormat::OLD_JSON];

/// The resources of the example.
fn resources() -> Vec<Resource> {
    vec![
        Resource::single(0, text("ACME")),
        Resource::single(9, Value::Integer(100)),
        multiple(6, &[1, 5]),
    ]
}

#[test]
fn p23_the_example_is_read_and_written() {
    let path = Path::instance(3, 0);
    let node = instance(0, resources());
    let timed = json(
        r#"{"bn":"/3/0/","e":[{"n":"0","sv":"ACME"},{"n":"9","v":100},{"n":"6/0","v":1},{"n":"6/1","v":5}],"bt":1700000000}"#,
    );
    let time = Some(SampleTime::At(1_700_000_000_000));
    let plain = json(
        r#"{"bn":"/3/0/","e":[{"n":"0","sv":"ACME"},{"n":"9","v":100},{"n":"6/0","v":1},{"n":"6/1","v":5}]}"#,
    );
    for format in FORMATS {
        assert_eq!(
            history(format, path, &timed),
            [sample(time, path, node.clone())]
        );
        assert_eq!(read(format, path, &timed), Ok(node.clone()));
        both_ways(format, path, node.clone(), &plain);
    }
}

#[test]
fn p23_the_base_may_be_absent_or_lack_its_slash() {
    let path = Path::resource(3, 0, 9);
    let node = single(9, Value::Integer(100));
    for payload in [
        r#"{"e":[{"n":"","v":100}]}"#,
        r#"{"e":[{"v":100}]}"#,
        r#"{"bn":"","e":[{"v":100}]}"#,
        r#"{"e":[{"n":"/3/0/9","v":100}]}"#,
        r#"{"bn":"/3/0","e":[{"n":"9","v":100}]}"#,
        r#"{"bn":"/3/0/","e":[{"n":"9","v":100}]}"#,
        r#"{"bn":"/","e":[{"n":"3/0/9","v":100}]}"#,
        r#"{"bn":"/3/0","e":[{"n":"/9","v":100}]}"#,
        r#"{"bn":"/3/0/9","e":[{"v":100}]}"#,
    ] {
        let read = read(ContentFormat::JSON, path, &json(payload));
        assert_eq!(read, Ok(node.clone()), "{payload}");
    }
    both_ways(
        ContentFormat::JSON,
        path,
        node,
        &json(r#"{"bn":"/3/0/9","e":[{"v":100}]}"#),
    );
    let payload = json(r#"{"e":[{"n":"9","v":100},{"n":"6/0","v":1}]}"#);
    let resources = vec![Resource::single(9, Value::Integer(100)), multiple(6, &[1])];
    assert_eq!(
        read(ContentFormat::JSON, Path::instance(3, 0), &payload),
        Ok(instance(0, resources))
    );
}

#[test]
fn p23_every_type_has_its_member() {
    for (path, value, payload) in [
        (
            Path::resource(1, 0, 6),
            Value::Boolean(true),
            r#"{"bn":"/1/0/6","e":[{"bv":true}]}"#,
        ),
        (
            Path::resource(5, 0, 0),
            Value::Opaque(Bytes::from_static(&[0xfb, 0xff])),
            r#"{"bn":"/5/0/0","e":[{"sv":"+/8="}]}"#,
        ),
        (
            Path::resource(10, 0, 0),
            Value::ObjectLink(66, 0),
            r#"{"bn":"/10/0/0","e":[{"ov":"66:0"}]}"#,
        ),
        (
            Path::resource(3, 0, 13),
            Value::Time(1_367_491_215_000),
            r#"{"bn":"/3/0/13","e":[{"v":1367491215}]}"#,
        ),
        (
            Path::resource(3303, 0, 5700),
            Value::Float(22.5),
            r#"{"bn":"/3303/0/5700","e":[{"v":22.5}]}"#,
        ),
    ] {
        let node = single(path.resource_id().unwrap(), value);
        both_ways(ContentFormat::JSON, path, node, &json(payload));
    }
}

#[test]
fn p23_without_a_model_the_member_decides() {
    let payload = json(
        r#"{"bn":"/1000/0","e":[{"n":"1","v":1},{"n":"2","v":1.5},{"n":"3","bv":true},{"n":"4","sv":"AQI="},{"n":"5","ov":"3:0"}]}"#,
    );
    let resources = vec![
        Resource::single(1, Value::Integer(1)),
        Resource::single(2, Value::Float(1.5)),
        Resource::single(3, Value::Boolean(true)),
        Resource::single(4, text("AQI=")),
        Resource::single(5, Value::ObjectLink(3, 0)),
    ];
    assert_eq!(
        read(ContentFormat::JSON, Path::instance(1000, 0), &payload),
        Ok(instance(0, resources))
    );
}

#[test]
fn p23_entries_of_one_name_are_a_history() {
    // The history that the standard shows (OMA LwM2M 1.0, "JSON"), with its old base time.
    let payload = json(
        r#"{"bn":"/72/","e":[{"n":"1/2","v":22.4,"t":-5},{"n":"1/2","v":22.9,"t":-30},{"n":"1/2","v":24.1,"t":-50}],"bt":25462634}"#,
    );
    let path = Path::resource(72, 1, 2);
    let at = |seconds: i64, value| {
        let time = Some(SampleTime::At(seconds * 1000));
        sample(time, path, single(2, Value::Float(value)))
    };
    assert_eq!(
        history(ContentFormat::JSON, path, &payload),
        [
            at(25_462_629, 22.4),
            at(25_462_604, 22.9),
            at(25_462_584, 24.1)
        ]
    );
    // Without a base time, times are relative to that of receipt.
    let payload = json(r#"{"bn":"/72/1/2","e":[{"v":22.5,"t":-5},{"v":23.5}]}"#);
    let relative = Some(SampleTime::Relative(-5000));
    let samples = [
        sample(relative, path, single(2, Value::Float(22.5))),
        sample(None, path, single(2, Value::Float(23.5))),
    ];
    assert_eq!(history(ContentFormat::JSON, path, &payload), samples);
    let written = json(r#"{"e":[{"n":"/72/1/2","v":22.5,"t":-5},{"n":"/72/1/2","v":23.5}]}"#);
    assert_eq!(encode_samples(ContentFormat::JSON, &samples), Ok(written));
}

#[test]
fn p23_a_time_of_zero_is_no_time() {
    let path = Path::resource(72, 1, 2);
    for payload in [
        r#"{"bn":"/72/1/2","e":[{"v":22.5,"t":0}]}"#,
        r#"{"bn":"/72/1/2","e":[{"v":22.5}],"bt":0}"#,
        r#"{"bn":"/72/1/2","e":[{"v":22.5,"t":0}],"bt":0}"#,
    ] {
        let undated = [sample(None, path, single(2, Value::Float(22.5)))];
        let read = history(ContentFormat::JSON, path, &json(payload));
        assert_eq!(read, undated, "{payload}");
    }
    let at_the_base = json(r#"{"bn":"/72/1/2","e":[{"v":22.5,"t":0}],"bt":1700000000}"#);
    let time = Some(SampleTime::At(1_700_000_000_000));
    assert_eq!(
        history(ContentFormat::JSON, path, &at_the_base),
        [sample(time, path, single(2, Value::Float(22.5)))]
    );
}

#[test]
fn lwm2m_json_is_no_format_for_composite_operations() {
    let payload = json(r#"{"e":[{"n":"/3/0/9","v":100}]}"#);
    let unsupported = DecodeErrorKind::UnsupportedFormat.at(0);
    for format in FORMATS {
        assert_eq!(decode_send(format, &payload, &device()), Err(unsupported));
        assert_eq!(
            decode_composite(format, &[], &payload, &device()),
            Err(unsupported)
        );
        assert_eq!(decode_paths(format, &payload, &[]), Err(unsupported));
        assert_eq!(
            encode_paths(format, &[]),
            Err(EncodeError::UnsupportedFormat)
        );
    }
}
