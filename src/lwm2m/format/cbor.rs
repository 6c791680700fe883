//! CBOR (RFC 8949) as items, and `application/cbor` (60): one resource or resource instance as one data item (OMA LwM2M
//! Core 1.1, "CBOR").

use std::convert::Infallible;

use bytes::Bytes;
use minicbor::{
    Decoder, Encoder,
    data::{IanaTag, Int, Type},
    decode::Error as ReadError,
    encode::Error as WriteError,
};

use super::{
    DecodeError, DecodeErrorKind, Decoded, EncodeError, date_time,
    item::{Content, Item, Limits, Raw},
    modelled_type, seconds, single_node,
};
use crate::lwm2m::{model::Models, path::Path, value::Value};

/// Reads the item as the model's type; without a model the item's own type decides.
pub(super) fn decode(
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Result<Decoded, DecodeError> {
    let value = read(payload)?
        .into_raw()
        .and_then(|raw| raw.typed(modelled_type(path, models)))
        .map_err(|kind| kind.at(0))?;
    single_node(path, value).map(Decoded::from)
}

/// Writes the value as one item.
pub(super) fn encode(value: &Value) -> Result<Bytes, EncodeError> {
    Raw::from_value(value).map(|raw| write(&raw.into()))
}

/// Reads one data item, in which integers have 64 bits and a sign, and tags are those of times and decimal fractions.
pub(super) fn read(payload: &Bytes) -> Result<Item, DecodeError> {
    let mut reader = Reader {
        decoder: Decoder::new(payload),
        limits: Limits::default(),
    };
    let item = reader.item(0)?;
    let end = reader.decoder.position();
    if end < payload.len() {
        return Err(DecodeErrorKind::Trailing.at(end));
    }
    Ok(item)
}

/// Writes an item with definite lengths and the shortest numbers that lose nothing; a time as tag 1 and seconds.
pub(super) fn write(item: &Item) -> Bytes {
    let mut encoder = Encoder::new(Vec::new());
    write_item(&mut encoder, item).expect("a vector takes everything");
    encoder.into_writer().into()
}

struct Reader<'a> {
    decoder: Decoder<'a>,
    limits: Limits,
}

impl Reader<'_> {
    fn item(&mut self, depth: usize) -> Result<Item, DecodeError> {
        let offset = self.decoder.position();
        self.limits.admit(depth, offset)?;
        let depth = depth.saturating_add(1);
        let content = match self.datatype()? {
            Type::Bool => self.plain(|decoder| decoder.bool().map(Raw::Boolean)),
            Type::U8
            | Type::U16
            | Type::U32
            | Type::U64
            | Type::I8
            | Type::I16
            | Type::I32
            | Type::I64
            | Type::Int => self.plain(|decoder| decoder.int().map(i128::from).map(Raw::Integer)),
            Type::F16 | Type::F32 | Type::F64 => {
                self.plain(|decoder| decoder.f64().map(Raw::Float))
            }
            Type::Bytes | Type::BytesIndef => self.plain(|decoder| {
                let chunks: Vec<&[u8]> = decoder.bytes_iter()?.collect::<Result<_, _>>()?;
                Ok(Raw::Bytes(chunks.concat().into()))
            }),
            Type::String | Type::StringIndef => self.plain(|decoder| {
                let chunks = decoder.str_iter()?;
                chunks.collect::<Result<_, _>>().map(Raw::Text)
            }),
            Type::Array | Type::ArrayIndef => {
                let length = self
                    .decoder
                    .array()
                    .map_err(|error| kind(&error).at(offset))?;
                self.sequence(length, |reader| reader.item(depth))
                    .map(Content::Array)
            }
            Type::Map | Type::MapIndef => {
                let length = self
                    .decoder
                    .map()
                    .map_err(|error| kind(&error).at(offset))?;
                self.sequence(length, |reader| {
                    Ok((reader.item(depth)?, reader.item(depth)?))
                })
                .map(Content::Map)
            }
            Type::Tag => self.tagged(depth),
            Type::Null => self
                .decoder
                .null()
                .map(|()| Content::Null)
                .map_err(at(offset)),
            Type::Undefined | Type::Simple => self
                .decoder
                .skip()
                .map(|()| Content::Other)
                .map_err(at(offset)),
            Type::Break | Type::Unknown(_) => Err(DecodeErrorKind::Syntax.at(offset)),
        }?;
        Ok(Item { offset, content })
    }

    /// Reads what holds no other items.
    fn plain(
        &mut self,
        read: impl FnOnce(&mut Decoder<'_>) -> Result<Raw, ReadError>,
    ) -> Result<Content, DecodeError> {
        let offset = self.decoder.position();
        read(&mut self.decoder)
            .map(Content::Value)
            .map_err(at(offset))
    }

    /// Reads so many elements, or (`None`) those up to a break. The length that a payload states reserves nothing.
    fn sequence<T>(
        &mut self,
        length: Option<u64>,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let mut elements = Vec::new();
        match length {
            Some(length) => {
                for _ in 0..length {
                    elements.push(element(self)?);
                }
            }
            None => {
                while self.datatype()? != Type::Break {
                    elements.push(element(self)?);
                }
                self.decoder
                    .set_position(self.decoder.position().saturating_add(1));
            }
        }
        Ok(elements)
    }

    /// Reads what follows a tag: a time or a decimal fraction.
    fn tagged(&mut self, depth: usize) -> Result<Content, DecodeError> {
        let offset = self.decoder.position();
        let tag = self.decoder.tag().map_err(at(offset))?;
        let Item { offset, content } = self.item(depth)?;
        let raw = match (IanaTag::try_from(tag), content) {
            (Ok(IanaTag::DateTime), Content::Value(Raw::Text(text))) => {
                date_time::parse(&text).map(Raw::Time)
            }
            (Ok(IanaTag::Timestamp), Content::Value(Raw::Integer(seconds))) => seconds
                .checked_mul(1000)
                .and_then(|millis| millis.try_into().ok())
                .map(Raw::Time)
                .ok_or(DecodeErrorKind::ValueRange),
            (Ok(IanaTag::Timestamp), Content::Value(Raw::Float(seconds))) => {
                epoch_float(seconds).map(Raw::Time)
            }
            (Ok(IanaTag::Decimal), Content::Array(parts)) => decimal(&parts),
            _ => return Ok(Content::Other),
        };
        raw.map(Content::Value).map_err(|kind| kind.at(offset))
    }

    fn datatype(&self) -> Result<Type, DecodeError> {
        self.decoder.datatype().map_err(at(self.decoder.position()))
    }
}

fn at(offset: usize) -> impl Fn(ReadError) -> DecodeError {
    move |error| kind(&error).at(offset)
}

fn kind(error: &ReadError) -> DecodeErrorKind {
    if error.is_end_of_input() {
        DecodeErrorKind::Truncated
    } else if error.is_type_mismatch() {
        DecodeErrorKind::Syntax
    } else {
        DecodeErrorKind::Utf8
    }
}

/// Milliseconds from seconds with a fraction.
fn epoch_float(seconds: f64) -> Result<i64, DecodeErrorKind> {
    let millis = (seconds * 1000.0).round();
    // 2^63 is the first float beyond the range; NaN fails as well.
    if millis.abs() < 9_223_372_036_854_775_808.0 {
        Ok(millis as i64)
    } else {
        Err(DecodeErrorKind::ValueRange)
    }
}

/// A decimal fraction (RFC 8949 section 3.4.4): exponent and mantissa.
fn decimal(parts: &[Item]) -> Result<Raw, DecodeErrorKind> {
    let [exponent, mantissa] = parts else {
        return Err(DecodeErrorKind::WrongType);
    };
    let (Content::Value(Raw::Integer(exponent)), Content::Value(Raw::Integer(mantissa))) =
        (&exponent.content, &mantissa.content)
    else {
        return Err(DecodeErrorKind::WrongType);
    };
    // The text form gives the nearest float; its length is bounded by that of the two numbers.
    format!("{mantissa}e{exponent}")
        .parse()
        .map(Raw::Float)
        .map_err(|_| DecodeErrorKind::ValueRange)
}

type Written = Result<(), WriteError<Infallible>>;

fn write_item(encoder: &mut Encoder<Vec<u8>>, item: &Item) -> Written {
    match &item.content {
        Content::Null | Content::Other => encoder.null()?.ok(),
        Content::Array(items) => {
            encoder.array(items.len() as u64)?;
            items.iter().try_for_each(|item| write_item(encoder, item))
        }
        Content::Map(entries) => {
            encoder.map(entries.len() as u64)?;
            entries.iter().try_for_each(|(key, item)| {
                write_item(encoder, key)?;
                write_item(encoder, item)
            })
        }
        Content::Value(raw) => match raw {
            Raw::Boolean(flag) => encoder.bool(*flag)?.ok(),
            Raw::Integer(number) => match Int::try_from(*number) {
                Ok(number) => encoder.int(number)?.ok(),
                Err(_) => write_float(encoder, *number as f64),
            },
            Raw::Float(number) => write_float(encoder, *number),
            Raw::Text(text) | Raw::Base64Text(text) | Raw::Link(text) => encoder.str(text)?.ok(),
            Raw::Bytes(bytes) => encoder.bytes(bytes)?.ok(),
            Raw::Time(millis) => encoder.tag(IanaTag::Timestamp)?.i64(seconds(*millis))?.ok(),
        },
    }
}

fn write_float(encoder: &mut Encoder<Vec<u8>>, number: f64) -> Written {
    let single = number as f32;
    if f64::from(single) != number {
        encoder.f64(number)?.ok()
    } else if half::f16::from_f32(single).to_f32() == single {
        encoder.f16(single)?.ok()
    } else {
        encoder.f32(single)?.ok()
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::lwm2m::{
        format::tests::{hex, model, value_at},
        value::ResourceType,
    };

    const PATH: Path = Path::resource(1000, 0, 1);

    fn read(kind: Option<ResourceType>, bytes: &str) -> Result<Value, DecodeErrorKind> {
        let models = kind.map(model).unwrap_or_default();
        decode(&PATH, &hex(bytes), &models)
            .map(|decoded| value_at(&decoded.node))
            .map_err(|error| error.kind)
    }

    /// The examples of the specification, with the type a model gives.
    fn vectors() -> Vec<(ResourceType, &'static str, Value)> {
        vec![
            (ResourceType::Integer, "18 64", Value::Integer(100)),
            (ResourceType::Integer, "24", Value::Integer(-5)),
            (ResourceType::Float, "f9 4d a0", Value::Float(22.5)),
            (
                ResourceType::Float,
                "fb 3f b9 99 99 99 99 99 9a",
                Value::Float(0.1),
            ),
            (ResourceType::Boolean, "f5", Value::Boolean(true)),
            (ResourceType::String, "61 55", Value::String("U".into())),
            (
                ResourceType::Opaque,
                "42 01 02",
                Value::Opaque(Bytes::from_static(&[1, 2])),
            ),
            (
                ResourceType::Time,
                "c1 1a 65 53 f1 00",
                Value::Time(1_700_000_000_000),
            ),
            (
                ResourceType::ObjectLink,
                "63 33 3a 30",
                Value::ObjectLink(3, 0),
            ),
            (
                ResourceType::CoreLink,
                "66 3c 2f 33 2f 30 3e",
                Value::CoreLink("</3/0>".into()),
            ),
            (
                ResourceType::UnsignedInteger,
                "1b ff ff ff ff ff ff ff ff",
                Value::UnsignedInteger(u64::MAX),
            ),
        ]
    }

    #[test]
    fn the_examples_are_read_and_written() {
        for (kind, bytes, value) in vectors() {
            assert_eq!(read(Some(kind), bytes), Ok(value.clone()), "{bytes}");
            assert_eq!(encode(&value), Ok(hex(bytes)), "{bytes}");
        }
    }

    #[test]
    fn numbers_of_rfc_8949_appendix_a_are_read_and_written() {
        for (bytes, number) in [
            ("00", 0),
            ("17", 23),
            ("18 18", 24),
            ("18 ff", 255),
            ("19 03 e8", 1000),
            ("1a 00 0f 42 40", 1_000_000),
            ("1b 00 00 00 e8 d4 a5 10 00", 1_000_000_000_000),
            ("20", -1),
            ("38 63", -100),
            ("39 03 e7", -1000),
            ("3b 7f ff ff ff ff ff ff ff", i64::MIN),
        ] {
            assert_eq!(
                read(Some(ResourceType::Integer), bytes),
                Ok(Value::Integer(number))
            );
            assert_eq!(encode(&Value::Integer(number)), Ok(hex(bytes)));
        }
        for (bytes, number) in [
            ("f9 00 00", 0.0),
            ("f9 80 00", -0.0),
            ("f9 3c 00", 1.0),
            ("f9 3e 00", 1.5),
            ("f9 7b ff", 65504.0),
            ("f9 00 01", 5.960_464_477_539_063e-8),
            ("f9 03 ff", 6.097_555_160_522_461e-5),
            ("f9 04 00", 6.103_515_625e-5),
            ("f9 c4 00", -4.0),
            ("fa 47 c3 50 00", 100_000.0),
            ("fa 7f 7f ff ff", 3.402_823_466_385_288_6e38),
            ("fa 33 00 00 00", 2.980_232_238_769_531_3e-8),
            ("fb 3f f1 99 99 99 99 99 9a", 1.1),
            ("fb 7e 37 e4 3c 88 00 75 9c", 1.0e300),
            ("fb c0 10 66 66 66 66 66 66", -4.1),
        ] {
            let value = read(Some(ResourceType::Float), bytes).unwrap();
            let Value::Float(read) = value else {
                panic!("not a float: {value:?}");
            };
            assert_eq!(read.to_bits(), f64::to_bits(number), "{bytes}");
            assert_eq!(encode(&value), Ok(hex(bytes)), "{bytes}");
        }
    }

    #[test]
    fn without_a_model_the_item_decides() {
        for (bytes, value) in [
            ("61 55", Value::String("U".into())),
            ("18 64", Value::Integer(100)),
            ("24", Value::Integer(-5)),
            (
                "1b ff ff ff ff ff ff ff ff",
                Value::UnsignedInteger(u64::MAX),
            ),
            ("f9 4d a0", Value::Float(22.5)),
            ("f4", Value::Boolean(false)),
            ("42 01 02", Value::Opaque(Bytes::from_static(&[1, 2]))),
            ("c1 1a 65 53 f1 00", Value::Time(1_700_000_000_000)),
        ] {
            assert_eq!(read(None, bytes), Ok(value), "{bytes}");
        }
    }

    #[test]
    fn times_come_in_four_forms() {
        for bytes in [
            "c1 1a 65 53 f1 00",
            "1a 65 53 f1 00",
            "c1 fb 41 d9 54 fc 40 00 00 00",
            "c0 74 32 30 32 33 2d 31 31 2d 31 34 54 32 32 3a 31 33 3a 32 30 5a",
        ] {
            assert_eq!(
                read(Some(ResourceType::Time), bytes),
                Ok(Value::Time(1_700_000_000_000)),
                "{bytes}"
            );
        }
        assert_eq!(
            read(Some(ResourceType::Time), "c1 fb c0 04 00 00 00 00 00 00"),
            Ok(Value::Time(-2500))
        );
    }

    #[test]
    fn floats_may_be_integers_or_decimal_fractions() {
        let float = Some(ResourceType::Float);
        assert_eq!(read(float, "18 64"), Ok(Value::Float(100.0)));
        assert_eq!(read(float, "24"), Ok(Value::Float(-5.0)));
        // 27315 * 10^-2, the example of RFC 8949 section 3.4.4.
        assert_eq!(read(float, "c4 82 21 19 6a b3"), Ok(Value::Float(273.15)));
        assert_eq!(
            read(float, "c4 82 1b ff ff ff ff ff ff ff ff 01"),
            Err(DecodeErrorKind::ValueRange)
        );
        assert_eq!(
            read(float, "c4 82 21 f9 4d a0"),
            Err(DecodeErrorKind::WrongType)
        );
    }

    #[test]
    fn strings_may_have_indefinite_length() {
        assert_eq!(
            read(Some(ResourceType::Opaque), "5f 42 01 02 40 41 03 ff"),
            Ok(Value::Opaque(Bytes::from_static(&[1, 2, 3])))
        );
        assert_eq!(
            read(Some(ResourceType::String), "7f 61 61 62 62 63 ff"),
            Ok(Value::String("abc".into()))
        );
        assert_eq!(
            read(Some(ResourceType::String), "7f ff"),
            Ok(Value::String(String::new()))
        );
    }

    #[test]
    fn a38_hostile_items_are_refused() {
        for (bytes, kind) in [
            ("", DecodeErrorKind::Truncated),
            ("5b ff ff ff ff ff ff ff ff", DecodeErrorKind::Truncated),
            ("7b 7f ff ff ff ff ff ff ff 61", DecodeErrorKind::Truncated),
            ("5f 5f 41 01 ff ff", DecodeErrorKind::Syntax),
            ("5f 61 61 ff", DecodeErrorKind::Syntax),
            ("5f 41 01", DecodeErrorKind::Truncated),
            ("1c", DecodeErrorKind::Syntax),
            ("19 01", DecodeErrorKind::Truncated),
            (
                "c2 49 01 00 00 00 00 00 00 00 00",
                DecodeErrorKind::WrongType,
            ),
            ("c1 c1 00", DecodeErrorKind::WrongType),
            ("c4 82 c4 82 00 00 00", DecodeErrorKind::WrongType),
            ("9b ff ff ff ff ff ff ff ff", DecodeErrorKind::Truncated),
            ("bf 00 01 00 02 ff", DecodeErrorKind::Structure),
            ("f6", DecodeErrorKind::Missing),
            ("81 00", DecodeErrorKind::Structure),
            ("81", DecodeErrorKind::Truncated),
            ("ff", DecodeErrorKind::Syntax),
            ("61 ff", DecodeErrorKind::Utf8),
            ("c0 61 31", DecodeErrorKind::Syntax),
            ("18 64 00", DecodeErrorKind::Trailing),
        ] {
            assert_eq!(read(None, bytes), Err(kind), "{bytes}");
        }
        for opening in [0x81, 0x9f, 0xc1, 0xbf] {
            let nested = Bytes::from(vec![opening; 10_000]);
            let error = decode(&PATH, &nested, &Models::default()).unwrap_err();
            assert_eq!(error, DecodeErrorKind::TooDeep.at(16), "{opening:x}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        for (kind, bytes, error) in [
            (
                ResourceType::Integer,
                "1b 80 00 00 00 00 00 00 00",
                DecodeErrorKind::ValueRange,
            ),
            (
                ResourceType::Integer,
                "3b 80 00 00 00 00 00 00 00",
                DecodeErrorKind::ValueRange,
            ),
            (
                ResourceType::UnsignedInteger,
                "20",
                DecodeErrorKind::ValueRange,
            ),
            (
                ResourceType::Integer,
                "f9 4d a0",
                DecodeErrorKind::WrongType,
            ),
            (ResourceType::Integer, "61 31", DecodeErrorKind::WrongType),
            (ResourceType::Boolean, "01", DecodeErrorKind::WrongType),
            (ResourceType::Float, "f9 7e 00", DecodeErrorKind::ValueRange),
            (
                ResourceType::Float,
                "fa ff 80 00 00",
                DecodeErrorKind::ValueRange,
            ),
            (
                ResourceType::Time,
                "1b 7f ff ff ff ff ff ff ff",
                DecodeErrorKind::ValueRange,
            ),
            (
                ResourceType::Time,
                "c1 f9 7c 00",
                DecodeErrorKind::ValueRange,
            ),
            (ResourceType::Time, "f9 4d a0", DecodeErrorKind::WrongType),
            (ResourceType::ObjectLink, "61 33", DecodeErrorKind::Syntax),
            (ResourceType::None, "00", DecodeErrorKind::WrongType),
        ] {
            assert_eq!(read(Some(kind), bytes), Err(error), "{bytes}");
        }
    }
}
