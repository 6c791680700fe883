//! Values of each type as bytes (OMA LwM2M Core, appendix "Data Types").

use bytes::Bytes;

use crate::lwm2m::{
    format::{DecodeError, DecodeErrorKind, finite, seconds, time_from_seconds, utf8},
    value::{ResourceType, Value},
};

/// Reads the bytes of a value, which start at byte `offset` of the payload. Opaque bytes are copied, so that a value that
/// is kept does not keep the whole payload.
pub(super) fn read_value(
    kind: ResourceType,
    bytes: &[u8],
    offset: usize,
) -> Result<Value, DecodeError> {
    let text = || utf8(bytes, offset).map(str::to_owned);
    match kind {
        ResourceType::String => return text().map(Value::String),
        ResourceType::CoreLink => return text().map(Value::CoreLink),
        ResourceType::Opaque => return Ok(Value::Opaque(Bytes::copy_from_slice(bytes))),
        ResourceType::Integer => signed(bytes).map(Value::Integer),
        ResourceType::Time => signed(bytes).and_then(time_from_seconds),
        ResourceType::UnsignedInteger => unsigned(bytes).map(Value::UnsignedInteger),
        ResourceType::Float => match *bytes {
            [a, b, c, d] => finite(f32::from_be_bytes([a, b, c, d]).into()),
            [a, b, c, d, e, f, g, h] => finite(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
            _ => Err(DecodeErrorKind::Length),
        },
        ResourceType::Boolean => match *bytes {
            [0] => Ok(Value::Boolean(false)),
            [1] => Ok(Value::Boolean(true)),
            [_] => Err(DecodeErrorKind::Syntax),
            _ => Err(DecodeErrorKind::Length),
        },
        ResourceType::ObjectLink => match *bytes {
            [a, b, c, d] => Ok(Value::ObjectLink(
                u16::from_be_bytes([a, b]),
                u16::from_be_bytes([c, d]),
            )),
            _ => Err(DecodeErrorKind::Length),
        },
        ResourceType::None => Err(DecodeErrorKind::WrongType),
    }
    .map_err(|kind| kind.at(offset))
}

fn signed(bytes: &[u8]) -> Result<i64, DecodeErrorKind> {
    Ok(match *bytes {
        [a] => i8::from_be_bytes([a]).into(),
        [a, b] => i16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::Length),
    })
}

fn unsigned(bytes: &[u8]) -> Result<u64, DecodeErrorKind> {
    Ok(match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_be_bytes([a, b, c, d]).into(),
        [a, b, c, d, e, f, g, h] => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return Err(DecodeErrorKind::Length),
    })
}

/// The bytes of a value, numbers as short as they can be without loss.
pub(super) fn value_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) | Value::CoreLink(text) => text.as_bytes().to_vec(),
        Value::Opaque(bytes) => bytes.to_vec(),
        Value::Integer(number) => signed_bytes(*number),
        Value::Time(millis) => signed_bytes(seconds(*millis)),
        Value::UnsignedInteger(number) => {
            if let Ok(number) = u8::try_from(*number) {
                vec![number]
            } else if let Ok(number) = u16::try_from(*number) {
                number.to_be_bytes().to_vec()
            } else if let Ok(number) = u32::try_from(*number) {
                number.to_be_bytes().to_vec()
            } else {
                number.to_be_bytes().to_vec()
            }
        }
        Value::Float(number) => {
            let single = *number as f32;
            if f64::from(single) == *number {
                single.to_be_bytes().to_vec()
            } else {
                number.to_be_bytes().to_vec()
            }
        }
        Value::Boolean(flag) => vec![u8::from(*flag)],
        Value::ObjectLink(object, instance) => {
            [object.to_be_bytes(), instance.to_be_bytes()].concat()
        }
    }
}

fn signed_bytes(number: i64) -> Vec<u8> {
    if let Ok(number) = i8::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i16::try_from(number) {
        number.to_be_bytes().to_vec()
    } else if let Ok(number) = i32::try_from(number) {
        number.to_be_bytes().to_vec()
    } else {
        number.to_be_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::read, *};
    use crate::lwm2m::{
        format::tests::{model, value_at},
        path::Path,
    };

    #[test]
    fn a39_values_that_are_out_of_range_are_refused() {
        for (kind, bytes, error) in [
            (
                ResourceType::Float,
                "c4 01 7f c0 00 00",
                DecodeErrorKind::ValueRange,
            ),
            (
                ResourceType::Float,
                "c4 01 ff 80 00 00",
                DecodeErrorKind::ValueRange,
            ),
            (ResourceType::Float, "c2 01 00 00", DecodeErrorKind::Length),
            (ResourceType::Boolean, "c1 01 02", DecodeErrorKind::Syntax),
            (
                ResourceType::Boolean,
                "c2 01 00 01",
                DecodeErrorKind::Length,
            ),
            (
                ResourceType::ObjectLink,
                "c2 01 00 01",
                DecodeErrorKind::Length,
            ),
            (
                ResourceType::Time,
                "c8 01 08 7f ff ff ff ff ff ff ff",
                DecodeErrorKind::ValueRange,
            ),
            (ResourceType::None, "c1 01 01", DecodeErrorKind::WrongType),
        ] {
            let error = read(Path::resource(1000, 0, 1), bytes, &model(kind))
                .map_err(|found| (found.kind, error));
            assert!(
                matches!(error, Err((found, wanted)) if found == wanted),
                "{bytes}"
            );
        }
        let time = read(
            Path::resource(1000, 0, 1),
            "c8 01 08 00 00 00 00 51 82 42 8f",
            &model(ResourceType::Time),
        );
        assert_eq!(value_at(&time.unwrap()), Value::Time(1_367_491_215_000));
    }
}
