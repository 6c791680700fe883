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
