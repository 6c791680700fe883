//! JSON values to values of a resource's type (`rpc.md` 8.3 and 8.4, with the repairs of its section 14).

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde_json::{Number, Value as Json};

use crate::lwm2m::value::{ResourceType, Value};

use super::json;

/// The value of a single resource (`rpc.md` 8.3); `None` when it cannot become the type.
///
/// Numbers of TIME are milliseconds; OPAQUE is written in hexadecimal digits.
pub(super) fn single(kind: ResourceType, value: &Json) -> Option<Value> {
    Some(match kind {
        ResourceType::String => Value::String(json::text(value)),
        ResourceType::Time => Value::Time(match value.as_str() {
            Some(text) => whole_number(text)?,
            None => value.as_i64()?,
        }),
        ResourceType::Opaque => Value::Opaque(hex(value.as_str()?)?),
        ResourceType::CoreLink => Value::CoreLink(value.as_str()?.to_owned()),
        ResourceType::Integer
        | ResourceType::Float
        | ResourceType::Boolean
        | ResourceType::ObjectLink
        | ResourceType::UnsignedInteger
        | ResourceType::None => return common(kind, value),
    })
}

/// The value of one instance of a multiple resource (`rpc.md` 8.4); `None` when it cannot become the type.
///
/// Numbers of TIME below 10^11 are seconds, others milliseconds (`rpc.md` 14.3). OPAQUE takes hexadecimal digits, else
/// base64, and numbers as their bytes.
pub(super) fn member(kind: ResourceType, value: &Json) -> Option<Value> {
    Some(match (kind, value) {
        (ResourceType::String, Json::Bool(_) | Json::Number(_) | Json::String(_)) => {
            Value::String(json::text(value))
        }
        (ResourceType::Time, Json::Number(number)) => {
            let number = number.as_i64()?;
            let is_seconds = number < 100_000_000_000;
            Value::Time(if is_seconds {
                number.checked_mul(1000)?
            } else {
                number
            })
        }
        (ResourceType::Time, Json::String(text)) => Value::Time(whole_number(text)?),
        (ResourceType::Opaque, Json::Bool(flag)) => {
            Value::Opaque(Bytes::copy_from_slice(&[u8::from(*flag)]))
        }
        (ResourceType::Opaque, Json::Number(number)) => Value::Opaque(number_bytes(number)?),
        (ResourceType::Opaque, Json::String(text)) => {
            Value::Opaque(hex(text).or_else(|| BASE64.decode(text).ok().map(Bytes::from))?)
        }
        (ResourceType::CoreLink, Json::String(text)) => Value::CoreLink(text.clone()),
        (
            ResourceType::Integer
            | ResourceType::Float
            | ResourceType::Boolean
            | ResourceType::ObjectLink
            | ResourceType::UnsignedInteger,
            value,
        ) => return common(kind, value),
        (
            ResourceType::String
            | ResourceType::Time
            | ResourceType::Opaque
            | ResourceType::CoreLink
            | ResourceType::None,
            _,
        ) => return None,
    })
}

/// Types that are read alike in both places.
fn common(kind: ResourceType, value: &Json) -> Option<Value> {
    Some(match (kind, value) {
        (ResourceType::Integer, Json::Number(number)) => Value::Integer(integer(number)?),
        (ResourceType::Integer, Json::String(text)) => Value::Integer(text.parse().ok()?),
        (ResourceType::UnsignedInteger, Json::Number(number)) => {
            Value::UnsignedInteger(number.as_u64()?)
        }
        (ResourceType::UnsignedInteger, Json::String(text)) => {
            Value::UnsignedInteger(text.parse().ok()?)
        }
        (ResourceType::Float, Json::Number(number)) => Value::Float(number.as_f64()?),
        (ResourceType::Float, Json::String(text)) => Value::Float(
            text.trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())?,
        ),
        (ResourceType::Boolean, Json::Bool(flag)) => Value::Boolean(*flag),
        (ResourceType::Boolean, Json::Number(number)) => Value::Boolean(match number.as_u64()? {
            0 => false,
            1 => true,
            _ => return None,
        }),
        (ResourceType::Boolean, Json::String(text)) => {
            Value::Boolean(text.to_ascii_lowercase().parse().ok()?)
        }
        (ResourceType::ObjectLink, Json::String(text)) => object_link(text)?,
        _ => return None,
    })
}

/// An integer, or a fraction that is integral and exact.
fn integer(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|_| number.is_f64())?;
        // Up to 2^53 every integer has its own double.
        let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
        exact.then(|| format!("{float:.0}").parse().ok()).flatten()
    })
}

/// An integer in decimal, in hexadecimal behind `0x` or `#`, or in octal behind `0` (`Long.decode`).
fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = if let Some(digits) = ["0x", "0X", "#"]
        .iter()
        .find_map(|prefix| digits.strip_prefix(prefix))
    {
        (16, digits)
    } else {
        match digits.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => (8, octal),
            _ => (10, digits),
        }
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// A link `/object/instance`; `/` and nothing at all are the null link.
fn object_link(text: &str) -> Option<Value> {
    let path = text.strip_prefix('/').unwrap_or(text);
    if path.is_empty() {
        return Some(Value::ObjectLink(u16::MAX, u16::MAX));
    }
    let (object, instance) = path.split_once('/')?;
    Some(Value::ObjectLink(
        object.parse().ok()?,
        instance.parse().ok()?,
    ))
}

/// Big-endian bytes of a number: 4 where 32 bits hold it, else 8. Fractions are of single precision where they are
/// positive and in its range.
fn number_bytes(number: &Number) -> Option<Bytes> {
    if let Some(integer) = number.as_i64() {
        return Some(match i32::try_from(integer) {
            Ok(short) => Bytes::copy_from_slice(&short.to_be_bytes()),
            Err(_) => Bytes::copy_from_slice(&integer.to_be_bytes()),
        });
    }
    let float = number.as_f64().filter(|_| number.is_f64())?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to single precision is the point"
    )]
    let rounded = float as f32;
    Some(if rounded > 0.0 && rounded.is_finite() {
        Bytes::copy_from_slice(&rounded.to_be_bytes())
    } else {
        Bytes::copy_from_slice(&float.to_be_bytes())
    })
}

/// Bytes from hexadecimal digits of either case.
fn hex(text: &str) -> Option<Bytes> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        })
        .collect()
}

/// As the reference reads it: padding may be missing, and bits that complete no byte are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ResourceType, json: &str) -> Option<Value> {
        single(kind, &serde_json::from_str(json).unwrap())
    }

    fn read_member(kind: ResourceType, json: &str) -> Option<Value> {
        member(kind, &serde_json::from_str(json).unwrap())
    }

    fn length(json: &str) -> Option<usize> {
        let value = read_member(ResourceType::Opaque, json)?;
        let Value::Opaque(bytes) = value else {
            panic!("{value:?} is not OPAQUE");
        };
        Some(bytes.len())
    }

    #[test]
    fn strings_take_the_text_of_anything() {
        for (json, text) in [
            (r#""+12""#, "+12"),
            ("5", "5"),
            ("1e10", "1.0E10"),
            ("true", "true"),
            (r#"{"a":1}"#, "{a=1}"),
        ] {
            assert_eq!(
                read(ResourceType::String, json),
                Some(Value::String(text.to_owned()))
            );
        }
        assert_eq!(read_member(ResourceType::String, r#"["a"]"#), None);
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        // Neighbours of what a reader that stops early makes of them.
        for number in [
            1.920_019_418_552_926_2,
            1.664_304_451_226_264_1,
            1.757_585_158_770_427_5_f64,
        ] {
            let json = number.to_string();
            assert_eq!(read(ResourceType::Float, &json), Some(Value::Float(number)));
        }
    }

    #[test]
    fn integers_have_64_bits_and_a_sign() {
        for (json, number) in [
            ("-1", -1),
            ("4294967296", 4_294_967_296),
            (r#""-9223372036854775808""#, i64::MIN),
            ("5.0", 5),
        ] {
            assert_eq!(
                read(ResourceType::Integer, json),
                Some(Value::Integer(number))
            );
        }
        for json in [
            r#""abc""#,
            "1.5",
            "1e300",
            "true",
            r#""""#,
            "18446744073709551615",
            "null",
        ] {
            assert_eq!(read(ResourceType::Integer, json), None, "{json}");
        }
        assert_eq!(
            read(ResourceType::UnsignedInteger, "18446744073709551615"),
            Some(Value::UnsignedInteger(u64::MAX))
        );
        assert_eq!(read(ResourceType::UnsignedInteger, "-1"), None);
    }

    #[test]
    fn floats_take_numbers_and_their_text() {
        for json in ["42.5", r#""42.5""#, r#"" 42.50 ""#] {
            assert_eq!(read(ResourceType::Float, json), Some(Value::Float(42.5)));
        }
        assert_eq!(read(ResourceType::Float, "7"), Some(Value::Float(7.0)));
        assert_eq!(read(ResourceType::Float, r#""x""#), None);
        assert_eq!(read(ResourceType::Float, r#""inf""#), None);
    }

    #[test]
    fn booleans_refuse_what_is_neither_true_nor_false() {
        for (json, flag) in [
            ("true", true),
            (r#""FALSE""#, false),
            ("1", true),
            ("0", false),
        ] {
            assert_eq!(
                read(ResourceType::Boolean, json),
                Some(Value::Boolean(flag))
            );
        }
        for json in [r#""yes""#, "2", "0.5"] {
            assert_eq!(read(ResourceType::Boolean, json), None, "{json}");
        }
    }

    #[test]
    fn times_are_milliseconds_but_small_members_are_seconds() {
        for (json, millis) in [
            ("1700000005000", 1_700_000_005_000),
            ("5", 5),
            (r#""0x10""#, 16),
            (r#""010""#, 8),
            (r#""-10""#, -10),
            (r#""0""#, 0),
        ] {
            assert_eq!(read(ResourceType::Time, json), Some(Value::Time(millis)));
        }
        for json in [
            r#""""#,
            r#""0x""#,
            r#""+-1""#,
            r#""9223372036854775808""#,
            "1.5",
        ] {
            assert_eq!(read(ResourceType::Time, json), None, "{json}");
        }
        for (json, millis) in [
            ("99999999999", 99_999_999_999_000),
            ("100000000000", 100_000_000_000),
            (r#""5""#, 5),
        ] {
            assert_eq!(
                read_member(ResourceType::Time, json),
                Some(Value::Time(millis))
            );
        }
    }

    #[test]
    fn opaque_single_takes_hexadecimal_digits_only() {
        assert_eq!(
            read(ResourceType::Opaque, r#""00aD""#),
            Some(Value::Opaque(Bytes::from_static(&[0, 0xad])))
        );
        for json in [r#""00a""#, r#""QUJD""#, "12"] {
            assert_eq!(read(ResourceType::Opaque, json), None, "{json}");
        }
    }

    #[test]
    fn bytes_of_opaque_members() {
        for (json, bytes) in [
            (r#""1525ad45675600cdef""#, 9),
            ("2147483647", 4),
            (r#""QUJDREVGRw""#, 7),
            (r#""ABCDEFG""#, 5),
            (r#""01ABCDEF""#, 4),
            ("1234566", 4),
            ("-2147483648", 4),
            ("4406483977", 8),
            ("8.02", 4),
            ("1022.5906", 4),
            ("1.7976931348623157E308", 8),
            ("-8.5", 8),
            (r#""01234567890""#, 8),
            (r#""01234567890CABFF""#, 8),
            (r#""1234567890""#, 5),
            ("true", 1),
        ] {
            assert_eq!(length(json), Some(bytes), "{json}");
        }
        for json in [r#""ABCDE""#, r#""+!""#, "[]"] {
            assert_eq!(length(json), None, "{json}");
        }
    }

    #[test]
    fn object_links_are_paths_of_two() {
        for (json, object, instance) in [
            (r#""/3/0""#, 3, 0),
            (r#""/""#, 65535, 65535),
            (r#""""#, 65535, 65535),
            (r#""/65535/65535""#, 65535, 65535),
        ] {
            assert_eq!(
                read(ResourceType::ObjectLink, json),
                Some(Value::ObjectLink(object, instance))
            );
        }
        for json in [r#""/3""#, r#""/3/0/1""#, r#""/3/65536""#, "3"] {
            assert_eq!(read(ResourceType::ObjectLink, json), None, "{json}");
        }
    }

    #[test]
    fn executable_resources_have_no_value() {
        assert_eq!(read(ResourceType::None, "1"), None);
        assert_eq!(read_member(ResourceType::None, r#""1""#), None);
    }
}
