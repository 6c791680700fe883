//! protocol 2.1: every data type in every format that carries single values.

use super::{
    super::tests::{hex, model},
    *,
};

const PATH: Path = Path::resource(1000, 0, 1);
/// The head of a SenML CBOR record named by [`PATH`], and of LwM2M CBOR.
const SENML_HEAD: &str = "81 a2 21 69 2f 31 30 30 30 2f 30 2f 31";
const LWM2M_HEAD: &str = "a1 83 19 03 e8 00 01";

/// One value as it is written in each format: text, the TLV entry of resource 1, the member of SenML JSON, label and
/// value in SenML CBOR, the data item of CBOR.
struct Row {
    value: Value,
    text: &'static str,
    tlv: &'static str,
    json: &'static str,
    senml: &'static str,
    cbor: &'static str,
}

impl Row {
    /// Checks that the forms are read as the value, and the value written so.
    #[track_caller]
    fn check(self) {
        for (format, payload) in [
            (ContentFormat::TEXT, json(self.text)),
            (ContentFormat::TLV, hex(self.tlv)),
            (
                ContentFormat::SENML_JSON,
                json(&format!(r#"[{{"bn":"/1000/0/1",{}}}]"#, self.json)),
            ),
            (
                ContentFormat::SENML_CBOR,
                hex(&format!("{SENML_HEAD} {}", self.senml)),
            ),
            (ContentFormat::CBOR, hex(self.cbor)),
            (
                ContentFormat::LWM2M_CBOR,
                hex(&format!("{LWM2M_HEAD} {}", self.cbor)),
            ),
        ] {
            let kind = self.value.resource_type();
            assert_read(kind, format, &payload, Ok(self.value.clone()));
            let written = encode(format, &PATH, &single(1, self.value.clone()));
            assert_eq!(written, Ok(payload), "{format}");
        }
    }
}

#[track_caller]
fn assert_read(
    kind: ResourceType,
    format: ContentFormat,
    payload: &Bytes,
    expected: Result<Value, DecodeErrorKind>,
) {
    let read = decode(format, &PATH, payload, &model(kind)).map_err(|error| error.kind);
    let expected = expected.map(|value| Decoded::from(single(1, value)));
    assert_eq!(read, expected, "{format} {payload:x?}");
}

/// Checks that CBOR items are read as the value, alone and in LwM2M CBOR.
#[track_caller]
fn assert_items(value: &Value, items: &[&str]) {
    let kind = value.resource_type();
    for item in items {
        assert_read(kind, ContentFormat::CBOR, &hex(item), Ok(value.clone()));
        let nested = hex(&format!("{LWM2M_HEAD} {item}"));
        assert_read(kind, ContentFormat::LWM2M_CBOR, &nested, Ok(value.clone()));
    }
}

/// Checks that the TLV entry is refused for a type.
#[track_caller]
fn assert_tlv_refused(kind: ResourceType, entry: &str, error: DecodeErrorKind) {
    assert_read(kind, ContentFormat::TLV, &hex(entry), Err(error));
}

#[test]
fn p21_1_a_string() {
    Row {
        value: text("é1"),
        text: "é1",
        tlv: "c3 01 c3 a9 31",
        json: r#""vs":"é1""#,
        senml: "03 63 c3 a9 31",
        cbor: "63 c3 a9 31",
    }
    .check();
}

#[test]
fn p21_2_an_integer() {
    Row {
        value: Value::Integer(-70_000),
        text: "-70000",
        tlv: "c4 01 ff fe ee 90",
        json: r#""v":-70000"#,
        senml: "02 3a 00 01 11 6f",
        cbor: "3a 00 01 11 6f",
    }
    .check();
    for (entry, value) in [
        ("c1 01 80", -128),
        ("c2 01 80 00", -32_768),
        ("c8 01 08 7f ff ff ff ff ff ff ff", i64::MAX),
    ] {
        let value = Value::Integer(value);
        assert_read(
            ResourceType::Integer,
            ContentFormat::TLV,
            &hex(entry),
            Ok(value.clone()),
        );
        assert_eq!(
            encode(ContentFormat::TLV, &PATH, &single(1, value)),
            Ok(hex(entry))
        );
    }
    for entry in [
        "c0 01",
        "c3 01 01 02 03",
        "c5 01 01 02 03 04 05",
        "c6 01 01 02 03 04 05 06",
        "c7 01 01 02 03 04 05 06 07",
    ] {
        for kind in [
            ResourceType::Integer,
            ResourceType::UnsignedInteger,
            ResourceType::Time,
        ] {
            assert_tlv_refused(kind, entry, DecodeErrorKind::Length);
        }
    }
}

#[test]
fn p21_3_an_unsigned_integer() {
    Row {
        value: Value::UnsignedInteger(u64::MAX),
        text: "18446744073709551615",
        tlv: "c8 01 08 ff ff ff ff ff ff ff ff",
        json: r#""v":18446744073709551615"#,
        senml: "02 1b ff ff ff ff ff ff ff ff",
        cbor: "1b ff ff ff ff ff ff ff ff",
    }
    .check();
    // The highest bit is no sign.
    Row {
        value: Value::UnsignedInteger(200),
        text: "200",
        tlv: "c1 01 c8",
        json: r#""v":200"#,
        senml: "02 18 c8",
        cbor: "18 c8",
    }
    .check();
}

#[test]
fn p21_4_a_float() {
    Row {
        value: Value::Float(22.5),
        text: "22.5",
        tlv: "c4 01 41 b4 00 00",
        json: r#""v":22.5"#,
        senml: "02 f9 4d a0",
        cbor: "f9 4d a0",
    }
    .check();
    let (kind, value) = (ResourceType::Float, Value::Float(22.5));
    assert_read(
        kind,
        ContentFormat::TEXT,
        &json("2.25e1"),
        Ok(value.clone()),
    );
    let double = hex("c8 01 08 40 36 80 00 00 00 00 00");
    assert_read(kind, ContentFormat::TLV, &double, Ok(value.clone()));
    assert_items(
        &value,
        &[
            "fa 41 b4 00 00",
            "fb 40 36 80 00 00 00 00 00",
            "c4 82 20 18 e1",
        ],
    );
    // An integer.
    assert_items(&Value::Float(23.0), &["17"]);
}

#[test]
fn p21_5_a_boolean() {
    for (value, text, tlv, json, senml, cbor) in [
        (true, "1", "c1 01 01", r#""vb":true"#, "04 f5", "f5"),
        (false, "0", "c1 01 00", r#""vb":false"#, "04 f4", "f4"),
    ] {
        Row {
            value: Value::Boolean(value),
            text,
            tlv,
            json,
            senml,
            cbor,
        }
        .check();
    }
    assert_tlv_refused(ResourceType::Boolean, "c1 01 02", DecodeErrorKind::Syntax);
}

#[test]
fn p21_6_opaque_bytes() {
    let value = Value::Opaque(Bytes::from_static(&[0xfb, 0xff]));
    Row {
        value: value.clone(),
        text: "+/8=",
        tlv: "c2 01 fb ff",
        json: r#""vd":"-_8""#,
        senml: "08 42 fb ff",
        cbor: "42 fb ff",
    }
    .check();
    assert_items(&value, &["5f 41 fb 41 ff ff"]);
}

#[test]
fn p21_7_a_time() {
    let value = Value::Time(1_700_000_000_000);
    Row {
        value: value.clone(),
        text: "1700000000",
        tlv: "c4 01 65 53 f1 00",
        json: r#""v":1700000000"#,
        senml: "02 1a 65 53 f1 00",
        cbor: "c1 1a 65 53 f1 00",
    }
    .check();
    assert_items(
        &value,
        &[
            "1a 65 53 f1 00",
            "c1 fb 41 d9 54 fc 40 00 00 00",
            "c0 74 32 30 32 33 2d 31 31 2d 31 34 54 32 32 3a 31 33 3a 32 30 5a",
        ],
    );
}

#[test]
fn p21_8_an_object_link() {
    Row {
        value: Value::ObjectLink(66, 0),
        text: "66:0",
        tlv: "c4 01 00 42 00 00",
        json: r#""vlo":"66:0""#,
        senml: "63 76 6c 6f 64 36 36 3a 30",
        cbor: "64 36 36 3a 30",
    }
    .check();
    Row {
        value: Value::ObjectLink(u16::MAX, u16::MAX),
        text: "65535:65535",
        tlv: "c4 01 ff ff ff ff",
        json: r#""vlo":"65535:65535""#,
        senml: "63 76 6c 6f 6b 36 35 35 33 35 3a 36 35 35 33 35",
        cbor: "6b 36 35 35 33 35 3a 36 35 35 33 35",
    }
    .check();
}

#[test]
fn p21_9_core_links() {
    Row {
        value: Value::CoreLink("</3>".into()),
        text: "</3>",
        tlv: "c4 01 3c 2f 33 3e",
        json: r#""vs":"</3>""#,
        senml: "03 64 3c 2f 33 3e",
        cbor: "64 3c 2f 33 3e",
    }
    .check();
}

#[test]
fn p21_10_what_is_executed_has_no_value() {
    let kind = ResourceType::None;
    for (format, payload) in [
        (ContentFormat::TEXT, json("1")),
        (ContentFormat::TLV, hex("c1 01 01")),
        (
            ContentFormat::SENML_JSON,
            json(r#"[{"bn":"/1000/0/1","v":1}]"#),
        ),
        (
            ContentFormat::SENML_CBOR,
            hex(&format!("{SENML_HEAD} 02 01")),
        ),
        (ContentFormat::CBOR, hex("01")),
        (ContentFormat::LWM2M_CBOR, hex(&format!("{LWM2M_HEAD} 01"))),
    ] {
        assert_read(kind, format, &payload, Err(DecodeErrorKind::WrongType));
    }
}
