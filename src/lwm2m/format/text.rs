//! `text/plain` (0): one resource or resource instance (OMA LwM2M Core, "Plain Text"; Data Types appendix).

use base64::Engine;
use bytes::Bytes;

use super::{
    DecodeError, DecodeErrorKind, Decoded, EncodeError, finite,
    item::{BASE64, decode_base64},
    modelled_type, object_link, seconds, single_node, time_from_seconds, utf8,
};
use crate::lwm2m::{
    model::Models,
    path::Path,
    value::{ResourceType, Value},
};

/// Reads the text as the model's type, as String without a model.
pub(super) fn decode(
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Result<Decoded, DecodeError> {
    let kind = modelled_type(path, models).unwrap_or(ResourceType::String);
    let value = parse(kind, utf8(payload, 0)?).map_err(|kind| kind.at(0))?;
    single_node(path, value).map(Decoded::from)
}

pub(super) fn encode(value: &Value) -> Result<Bytes, EncodeError> {
    Ok(Bytes::from(match value {
        Value::String(text) | Value::CoreLink(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_finite() => number.to_string(),
        Value::Float(_) => return Err(EncodeError::NotFinite),
        Value::Boolean(flag) => String::from(if *flag { "1" } else { "0" }),
        Value::Opaque(bytes) => BASE64.encode(bytes),
        Value::Time(millis) => seconds(*millis).to_string(),
        Value::ObjectLink(object, instance) => format!("{object}:{instance}"),
        Value::UnsignedInteger(number) => number.to_string(),
    }))
}

/// Reads one value. Blanks around it and an exponent in a float are tolerated, `true` and `false` are taken as
/// booleans; texts are taken as they are.
fn parse(kind: ResourceType, text: &str) -> Result<Value, DecodeErrorKind> {
    let trimmed = text.trim_ascii();
    match kind {
        ResourceType::String => Ok(Value::String(text.to_owned())),
        ResourceType::Integer => integer(trimmed).map(Value::Integer),
        ResourceType::Float => float(trimmed),
        ResourceType::Boolean => match trimmed {
            "1" | "true" => Ok(Value::Boolean(true)),
            "0" | "false" => Ok(Value::Boolean(false)),
            _ => Err(DecodeErrorKind::Syntax),
        },
        ResourceType::Opaque => decode_base64(&BASE64, trimmed).map(Value::Opaque),
        ResourceType::Time => time_from_seconds(integer(trimmed)?),
        ResourceType::ObjectLink => object_link(trimmed),
        ResourceType::UnsignedInteger => unsigned(trimmed).map(Value::UnsignedInteger),
        ResourceType::CoreLink => Ok(Value::CoreLink(text.to_owned())),
        ResourceType::None => Err(DecodeErrorKind::WrongType),
    }
}

/// Reads `[-]digits`.
fn integer(text: &str) -> Result<i64, DecodeErrorKind> {
    if !are_digits(text.strip_prefix('-').unwrap_or(text)) {
        return Err(DecodeErrorKind::Syntax);
    }
    text.parse().map_err(|_| DecodeErrorKind::ValueRange)
}

/// Reads `digits`.
fn unsigned(text: &str) -> Result<u64, DecodeErrorKind> {
    if !are_digits(text) {
        return Err(DecodeErrorKind::Syntax);
    }
    text.parse().map_err(|_| DecodeErrorKind::ValueRange)
}

/// Reads `[-]digits[.digits][e[+-]digits]`; the digits on one side of the dot may be missing.
fn float(text: &str) -> Result<Value, DecodeErrorKind> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let starts_as_number =
        unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    // What is left to refuse after this are only malformed numbers: names such as `inf` start with a letter.
    if !starts_as_number {
        return Err(DecodeErrorKind::Syntax);
    }
    finite(text.parse().map_err(|_| DecodeErrorKind::Syntax)?)
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lwm2m::format::tests::{model, value_at};

    const PATH: Path = Path::resource(1000, 0, 1);

    fn read(kind: ResourceType, text: &str) -> Result<Value, DecodeErrorKind> {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        decode(&PATH, &payload, &model(kind))
            .map(|decoded| value_at(&decoded.node))
            .map_err(|error| error.kind)
    }

    #[test]
    fn every_type_is_read_and_written() {
        for (kind, text, value) in [
            (ResourceType::String, " ü", Value::String(" ü".into())),
            (
                ResourceType::Integer,
                "-9223372036854775808",
                Value::Integer(i64::MIN),
            ),
            (
                ResourceType::UnsignedInteger,
                "18446744073709551615",
                Value::UnsignedInteger(u64::MAX),
            ),
            (ResourceType::Float, "-22.5", Value::Float(-22.5)),
            (ResourceType::Boolean, "1", Value::Boolean(true)),
            (ResourceType::Boolean, "0", Value::Boolean(false)),
            (
                ResourceType::Opaque,
                "AQI=",
                Value::Opaque(Bytes::from_static(&[1, 2])),
            ),
            (
                ResourceType::Time,
                "1367491215",
                Value::Time(1_367_491_215_000),
            ),
            (ResourceType::ObjectLink, "66:0", Value::ObjectLink(66, 0)),
            (
                ResourceType::ObjectLink,
                "65535:65535",
                Value::ObjectLink(u16::MAX, u16::MAX),
            ),
            (
                ResourceType::CoreLink,
                "</3/0>",
                Value::CoreLink("</3/0>".into()),
            ),
        ] {
            assert_eq!(read(kind, text), Ok(value.clone()), "{text}");
            assert_eq!(encode(&value).unwrap(), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn without_a_model_text_is_a_string() {
        let decoded = decode(&PATH, &Bytes::from_static(b"100"), &Models::default()).unwrap();
        assert_eq!(value_at(&decoded.node), Value::String("100".into()));
    }

    #[test]
    fn a42_blanks_exponents_and_boolean_names_are_tolerated() {
        assert_eq!(read(ResourceType::Float, " 1 \n"), Ok(Value::Float(1.0)));
        assert_eq!(
            read(ResourceType::Float, "1.5E+3"),
            Ok(Value::Float(1500.0))
        );
        assert_eq!(read(ResourceType::Float, "1e-3"), Ok(Value::Float(0.001)));
        assert_eq!(read(ResourceType::Integer, "\t7 "), Ok(Value::Integer(7)));
        assert_eq!(
            read(ResourceType::Boolean, "true"),
            Ok(Value::Boolean(true))
        );
        assert_eq!(
            read(ResourceType::Boolean, " false"),
            Ok(Value::Boolean(false))
        );
    }

    #[test]
    fn a42_other_spellings_are_refused() {
        for (kind, text) in [
            (ResourceType::Float, "1,5"),
            (ResourceType::Float, "0x10"),
            (ResourceType::Float, "+Inf"),
            (ResourceType::Float, "-inf"),
            (ResourceType::Float, "NaN"),
            (ResourceType::Float, ""),
            (ResourceType::Float, "."),
            (ResourceType::Float, "1e"),
            (ResourceType::Integer, "1.0"),
            (ResourceType::Integer, "--1"),
            (ResourceType::Integer, "-"),
            (ResourceType::Integer, ""),
            (ResourceType::UnsignedInteger, "-1"),
            (ResourceType::Boolean, "TRUE"),
            (ResourceType::Boolean, "2"),
            (ResourceType::Opaque, "A"),
            (ResourceType::Opaque, "0102zz!"),
            (ResourceType::Time, "2013-05-02"),
            (ResourceType::ObjectLink, "66"),
            (ResourceType::ObjectLink, "66:"),
            (ResourceType::ObjectLink, "/66/0"),
        ] {
            assert_eq!(read(kind, text), Err(DecodeErrorKind::Syntax), "{text}");
        }
    }

    #[test]
    fn numbers_beyond_their_type_are_refused() {
        for (kind, text) in [
            (ResourceType::Integer, "9223372036854775808"),
            (ResourceType::UnsignedInteger, "18446744073709551616"),
            (ResourceType::Float, "1e400"),
            (ResourceType::Time, "9223372036854775807"),
            (ResourceType::ObjectLink, "65536:0"),
        ] {
            assert_eq!(read(kind, text), Err(DecodeErrorKind::ValueRange), "{text}");
        }
    }

    #[test]
    fn base64_may_lack_its_padding() {
        assert_eq!(
            read(ResourceType::Opaque, "AQI"),
            Ok(Value::Opaque(Bytes::from_static(&[1, 2])))
        );
    }

    #[test]
    fn bad_utf8_is_refused_where_it_stands() {
        let error = decode(&PATH, &Bytes::from_static(b"ab\xff"), &Models::default()).unwrap_err();
        assert_eq!(error, DecodeErrorKind::Utf8.at(2));
    }

    #[test]
    fn an_executable_has_no_value() {
        assert_eq!(
            read(ResourceType::None, "1"),
            Err(DecodeErrorKind::WrongType)
        );
    }

    #[test]
    fn a_float_that_is_not_finite_is_not_written() {
        assert_eq!(
            encode(&Value::Float(f64::INFINITY)),
            Err(EncodeError::NotFinite)
        );
    }
}
