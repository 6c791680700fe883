//! `application/cbor` (60): one resource or resource instance as one data item (RFC 8949; OMA LwM2M Core 1.1, "CBOR").
//!
//! Nothing nests here but a tag around a number, a text or a pair of numbers, so reading needs no recursion.

use bytes::Bytes;

use super::{
    DecodeError, DecodeErrorKind, Decoded, date_time, finite, modelled_type, object_link, seconds,
    single_node, utf8,
};
use crate::lwm2m::{
    model::Models,
    path::Path,
    value::{ResourceType, Value},
};

/// Reads the item as the model's type; without a model the item's own type decides.
pub(super) fn decode(
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Result<Decoded, DecodeError> {
    let mut reader = Reader {
        input: payload,
        position: 0,
    };
    let item = reader.item()?;
    if reader.position < payload.len() {
        return Err(DecodeErrorKind::Trailing.at(reader.position));
    }
    let value = typed(modelled_type(path, models), item).map_err(|kind| kind.at(0))?;
    single_node(path, value).map(Decoded::from)
}

/// Writes the value with definite lengths and the shortest number that loses nothing; a time as tag 1 and seconds.
pub(super) fn encode(value: &Value) -> Bytes {
    let mut output = Vec::new();
    match value {
        Value::String(text) | Value::CoreLink(text) => write_string(&mut output, TEXT, text),
        Value::ObjectLink(object, instance) => {
            write_string(&mut output, TEXT, format!("{object}:{instance}"));
        }
        Value::Opaque(bytes) => write_string(&mut output, BYTES, bytes),
        Value::Integer(number) => write_integer(&mut output, *number),
        Value::UnsignedInteger(number) => write_head(&mut output, UNSIGNED, *number),
        Value::Time(millis) => {
            write_head(&mut output, TAG, TAG_EPOCH);
            write_integer(&mut output, seconds(*millis));
        }
        Value::Float(number) => write_float(&mut output, *number),
        Value::Boolean(flag) => output.push(if *flag { 0xf5 } else { 0xf4 }),
    }
    output.into()
}

/// One data item, as far as values of resources need the distinction.
enum Item {
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Text(String),
    Bytes(Bytes),
    /// Milliseconds since 1970, from tag 0 or 1.
    Time(i64),
}

/// Makes the value that the model asks for; integers are taken as floats and, in seconds, as times.
fn typed(kind: Option<ResourceType>, item: Item) -> Result<Value, DecodeErrorKind> {
    let out_of_range = |_| DecodeErrorKind::ValueRange;
    match (kind, item) {
        (Some(ResourceType::String) | None, Item::Text(text)) => Ok(Value::String(text)),
        (Some(ResourceType::CoreLink), Item::Text(text)) => Ok(Value::CoreLink(text)),
        (Some(ResourceType::ObjectLink), Item::Text(text)) => object_link(&text),
        (Some(ResourceType::Integer), Item::Integer(number)) => {
            number.try_into().map(Value::Integer).map_err(out_of_range)
        }
        (Some(ResourceType::UnsignedInteger), Item::Integer(number)) => number
            .try_into()
            .map(Value::UnsignedInteger)
            .map_err(out_of_range),
        (None, Item::Integer(number)) => number
            .try_into()
            .map(Value::Integer)
            .or_else(|_| number.try_into().map(Value::UnsignedInteger))
            .map_err(out_of_range),
        (Some(ResourceType::Float), Item::Integer(number)) => Ok(Value::Float(number as f64)),
        (Some(ResourceType::Float) | None, Item::Float(number)) => finite(number),
        (Some(ResourceType::Time), Item::Integer(number)) => epoch_integer(number).map(Value::Time),
        (Some(ResourceType::Time) | None, Item::Time(millis)) => Ok(Value::Time(millis)),
        (Some(ResourceType::Boolean) | None, Item::Boolean(flag)) => Ok(Value::Boolean(flag)),
        (Some(ResourceType::Opaque) | None, Item::Bytes(bytes)) => Ok(Value::Opaque(bytes)),
        _ => Err(DecodeErrorKind::WrongType),
    }
}

/// The first bytes of an item: its major type and argument.
struct Head {
    major: u8,
    /// The low five bits of the initial byte.
    info: u8,
    /// `None` for an indefinite length or a break.
    argument: Option<u64>,
    /// Where the item starts.
    offset: usize,
}

struct Reader<'a> {
    input: &'a Bytes,
    position: usize,
}

impl Reader<'_> {
    /// Reads an item, a tagged one included.
    fn item(&mut self) -> Result<Item, DecodeError> {
        let head = self.head()?;
        match head.major {
            UNSIGNED | NEGATIVE => integer(&head).map(Item::Integer),
            BYTES => self.string(&head).map(Item::Bytes),
            TEXT => self.text(&head).map(Item::Text),
            ARRAY | MAP => Err(DecodeErrorKind::Structure.at(head.offset)),
            TAG => self.tagged(&head),
            _ => match head.info {
                20 => Ok(Item::Boolean(false)),
                21 => Ok(Item::Boolean(true)),
                _ => float(&head).map(Item::Float),
            },
        }
    }

    /// Reads what follows a tag: a time or a decimal fraction.
    fn tagged(&mut self, tag: &Head) -> Result<Item, DecodeError> {
        let content = self.head()?;
        let item = match (tag.argument, content.major) {
            (Some(TAG_DATE_TIME), TEXT) => date_time::parse(&self.text(&content)?).map(Item::Time),
            (Some(TAG_EPOCH), UNSIGNED | NEGATIVE) => {
                epoch_integer(integer(&content)?).map(Item::Time)
            }
            (Some(TAG_EPOCH), SIMPLE) => epoch_float(float(&content)?).map(Item::Time),
            (Some(TAG_DECIMAL), ARRAY) if content.argument == Some(2) => {
                let exponent = integer(&self.head()?)?;
                let mantissa = integer(&self.head()?)?;
                // The text form gives the nearest float; its length is bounded by that of the two numbers.
                format!("{mantissa}e{exponent}")
                    .parse()
                    .map(Item::Float)
                    .map_err(|_| DecodeErrorKind::ValueRange)
            }
            _ => Err(DecodeErrorKind::WrongType),
        };
        item.map_err(|kind| kind.at(content.offset))
    }

    fn text(&mut self, head: &Head) -> Result<String, DecodeError> {
        let bytes = self.string(head)?;
        utf8(&bytes, head.offset).map(str::to_owned)
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let offset = self.position;
        let initial = self.take(1)?.first().copied().unwrap_or_default();
        let (major, info) = (initial >> 5, initial & 0x1f);
        let argument = match info {
            0..=23 => Some(info.into()),
            24..=27 => {
                let bytes = self.take(1 << (info & 0x03))?;
                Some(
                    bytes
                        .iter()
                        .fold(0, |number: u64, byte| number << 8 | u64::from(*byte)),
                )
            }
            31 => None,
            _ => return Err(DecodeErrorKind::Syntax.at(offset)),
        };
        Ok(Head {
            major,
            info,
            argument,
            offset,
        })
    }

    /// The content of a byte or text string; one of indefinite length is put together from its chunks.
    fn string(&mut self, head: &Head) -> Result<Bytes, DecodeError> {
        if let Some(length) = head.argument {
            return self.take_long(length);
        }
        let mut content = Vec::new();
        loop {
            let chunk = self.head()?;
            match (chunk.major, chunk.argument) {
                (SIMPLE, None) => return Ok(content.into()),
                (major, Some(length)) if major == head.major => {
                    content.extend_from_slice(&self.take_long(length)?);
                }
                _ => return Err(DecodeErrorKind::Syntax.at(chunk.offset)),
            }
        }
    }

    fn take_long(&mut self, length: u64) -> Result<Bytes, DecodeError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.take(length)
    }

    /// The next bytes, if there are so many.
    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        let end = self
            .position
            .checked_add(length)
            .filter(|end| *end <= self.input.len())
            .ok_or_else(|| DecodeErrorKind::Truncated.at(self.position))?;
        let bytes = self.input.slice(self.position..end);
        self.position = end;
        Ok(bytes)
    }
}

fn integer(head: &Head) -> Result<i128, DecodeError> {
    match (head.major, head.argument) {
        (UNSIGNED, Some(number)) => Ok(number.into()),
        // -1 - n is the bitwise complement.
        (NEGATIVE, Some(number)) => Ok(!i128::from(number)),
        _ => Err(DecodeErrorKind::WrongType.at(head.offset)),
    }
}

fn float(head: &Head) -> Result<f64, DecodeError> {
    match (head.major, head.info, head.argument) {
        (SIMPLE, 25, Some(bits)) => Ok(half_to_float(bits)),
        (SIMPLE, 26, Some(bits)) => Ok(f32::from_bits(bits as u32).into()),
        (SIMPLE, 27, Some(bits)) => Ok(f64::from_bits(bits)),
        _ => Err(DecodeErrorKind::WrongType.at(head.offset)),
    }
}

/// Milliseconds from whole seconds.
fn epoch_integer(seconds: i128) -> Result<i64, DecodeErrorKind> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000))
        .ok_or(DecodeErrorKind::ValueRange)
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

fn write_head(output: &mut Vec<u8>, major: u8, argument: u64) {
    let initial = major << 5;
    if let Ok(byte) = u8::try_from(argument) {
        if byte < 24 {
            output.push(initial | byte);
        } else {
            output.extend([initial | 24, byte]);
        }
    } else if let Ok(number) = u16::try_from(argument) {
        output.push(initial | 25);
        output.extend(number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(argument) {
        output.push(initial | 26);
        output.extend(number.to_be_bytes());
    } else {
        output.push(initial | 27);
        output.extend(argument.to_be_bytes());
    }
}

fn write_integer(output: &mut Vec<u8>, number: i64) {
    match u64::try_from(number) {
        Ok(number) => write_head(output, UNSIGNED, number),
        // -1 - n is the bitwise complement.
        Err(_) => write_head(output, NEGATIVE, (!number).unsigned_abs()),
    }
}

fn write_string(output: &mut Vec<u8>, major: u8, content: impl AsRef<[u8]>) {
    write_head(output, major, content.as_ref().len() as u64);
    output.extend_from_slice(content.as_ref());
}

fn write_float(output: &mut Vec<u8>, number: f64) {
    let single = number as f32;
    if let Some(half) = float_to_half(number) {
        output.push(SIMPLE << 5 | 25);
        output.extend(half.to_be_bytes());
    } else if f64::from(single) == number {
        output.push(SIMPLE << 5 | 26);
        output.extend(single.to_be_bytes());
    } else {
        output.push(SIMPLE << 5 | 27);
        output.extend(number.to_be_bytes());
    }
}

/// The value of a half-precision float, from the low 16 bits (RFC 8949 appendix D).
fn half_to_float(bits: u64) -> f64 {
    let exponent = bits >> 10 & 0x1f;
    let mantissa = (bits & 0x3ff) as f64;
    let magnitude = match exponent {
        0 => mantissa * HALF_SUBNORMAL,
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (mantissa + 1024.0) * HALF_SUBNORMAL / 2.0 * 2_f64.powi(exponent as i32),
    };
    if bits & 0x8000 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The half-precision float that equals `number`, if there is one.
fn float_to_half(number: f64) -> Option<u16> {
    let bits = number.to_bits();
    let sign = (bits >> 48 & 0x8000) as u16;
    let units = number.abs() / HALF_SUBNORMAL;
    // Zero and subnormal numbers are multiples of the smallest step, in the low ten bits.
    if units < 1024.0 {
        return (units.fract() == 0.0).then_some(sign | units as u16);
    }
    // Normal numbers: 15 more than the exponent, which is biased by 1023 here, and at most ten bits of mantissa.
    let exponent = (bits >> 52 & 0x7ff).checked_sub(1023 - 15)?;
    let exact = bits & 0x3ff_ffff_ffff == 0;
    (exact && exponent < 31).then_some(sign | (exponent << 10) as u16 | (bits >> 42 & 0x3ff) as u16)
}

/// The smallest positive half-precision float, 2^-24.
const HALF_SUBNORMAL: f64 = 1.0 / 16_777_216.0;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

const TAG_DATE_TIME: u64 = 0;
const TAG_EPOCH: u64 = 1;
const TAG_DECIMAL: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lwm2m::format::tests::{hex, model, value_at};

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
            assert_eq!(encode(&value), hex(bytes), "{bytes}");
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
            assert_eq!(encode(&Value::Integer(number)), hex(bytes));
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
            assert_eq!(encode(&value), hex(bytes), "{bytes}");
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
            ("9b ff ff ff ff ff ff ff ff", DecodeErrorKind::Structure),
            ("bf 00 01 00 02 ff", DecodeErrorKind::Structure),
            ("f6", DecodeErrorKind::WrongType),
            ("ff", DecodeErrorKind::WrongType),
            ("61 ff", DecodeErrorKind::Utf8),
            ("c0 61 31", DecodeErrorKind::Syntax),
            ("18 64 00", DecodeErrorKind::Trailing),
        ] {
            assert_eq!(read(None, bytes), Err(kind), "{bytes}");
        }
        let nested = Bytes::from(vec![0x81; 10_000]);
        let error = decode(&PATH, &nested, &Models::default()).unwrap_err();
        assert_eq!(error, DecodeErrorKind::Structure.at(0));
        let tags = Bytes::from(vec![0xc1; 10_000]);
        let error = decode(&PATH, &tags, &Models::default()).unwrap_err();
        assert_eq!(error, DecodeErrorKind::WrongType.at(1));
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
