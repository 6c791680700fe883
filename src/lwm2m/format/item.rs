//! What the grammars JSON and CBOR have in common: trees of items, and what single items mean as values.

use base64::{
    alphabet::{self, Alphabet},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;

use super::{
    DecodeError, DecodeErrorKind, EncodeError, finite, object_link, seconds, time_from_seconds,
};
use crate::lwm2m::value::{ResourceType, Value};

/// One item of a payload, with everything in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// Where it starts in the payload, in bytes.
    pub offset: usize,
    pub content: Content,
}

/// The content of an item.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Null,
    Value(Raw),
    Array(Vec<Item>),
    /// Entries in payload order; keys may repeat in CBOR.
    Map(Vec<(Item, Item)>),
    /// What has no meaning here, such as an unknown tag.
    Other,
}

/// A value before its type is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Boolean(bool),
    Integer(i128),
    /// May be infinite or not a number.
    Float(f64),
    Text(String),
    /// Text that is the base64 of a value of type Opaque.
    Base64Text(String),
    Bytes(Bytes),
    /// Milliseconds since 1970-01-01 UTC.
    Time(i64),
    /// The text of an object link.
    Link(String),
}

impl Item {
    pub(super) fn into_array(self) -> Result<Vec<Self>, DecodeError> {
        let Content::Array(items) = self.content else {
            return Err(DecodeErrorKind::Structure.at(self.offset));
        };
        Ok(items)
    }

    pub(super) fn into_map(self) -> Result<Vec<(Self, Self)>, DecodeError> {
        let Content::Map(entries) = self.content else {
            return Err(DecodeErrorKind::Structure.at(self.offset));
        };
        Ok(entries)
    }

    pub(super) fn into_text(self) -> Result<String, DecodeError> {
        let Content::Value(Raw::Text(text)) = self.content else {
            return Err(DecodeErrorKind::Structure.at(self.offset));
        };
        Ok(text)
    }

    /// The value; null is none.
    pub(super) fn into_raw(self) -> Result<Raw, DecodeErrorKind> {
        match self.content {
            Content::Value(raw) => Ok(raw),
            Content::Null => Err(DecodeErrorKind::Missing),
            Content::Array(_) | Content::Map(_) => Err(DecodeErrorKind::Structure),
            Content::Other => Err(DecodeErrorKind::WrongType),
        }
    }

    /// A number of seconds in milliseconds. Those beyond all range become the outermost, which are as wrong.
    pub(super) fn into_millis(self) -> Result<i64, DecodeError> {
        let offset = self.offset;
        if let Content::Value(Raw::Integer(seconds)) = self.content {
            return Ok(saturated(seconds.saturating_mul(1000)));
        }
        let Content::Value(Raw::Float(seconds)) = self.content else {
            return Err(DecodeErrorKind::Structure.at(offset));
        };
        if seconds.is_finite() {
            // The conversion saturates.
            Ok((seconds * 1000.0).round() as i64)
        } else {
            Err(DecodeErrorKind::ValueRange.at(offset))
        }
    }
}

/// Items to be written have no offset.
impl From<Content> for Item {
    fn from(content: Content) -> Self {
        Self { offset: 0, content }
    }
}

impl From<Raw> for Item {
    fn from(raw: Raw) -> Self {
        Content::Value(raw).into()
    }
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Raw::Text(text.to_owned()).into()
    }
}

impl From<u16> for Item {
    fn from(number: u16) -> Self {
        Raw::Integer(number.into()).into()
    }
}

impl Raw {
    /// The form of a value in which it is written.
    pub(super) fn from_value(value: &Value) -> Result<Self, EncodeError> {
        Ok(match value {
            Value::String(text) | Value::CoreLink(text) => Self::Text(text.clone()),
            Value::Integer(number) => Self::Integer((*number).into()),
            Value::UnsignedInteger(number) => Self::Integer((*number).into()),
            Value::Float(number) if number.is_finite() => Self::Float(*number),
            Value::Float(_) => return Err(EncodeError::NotFinite),
            Value::Boolean(flag) => Self::Boolean(*flag),
            Value::Opaque(bytes) => Self::Bytes(bytes.clone()),
            Value::Time(millis) => Self::Time(*millis),
            Value::ObjectLink(object, instance) => Self::Link(format!("{object}:{instance}")),
        })
    }

    /// A time as the seconds that formats without a type for times carry.
    pub(super) fn time_as_seconds(self) -> Self {
        if let Self::Time(millis) = self {
            Self::Integer(seconds(millis).into())
        } else {
            self
        }
    }

    /// Makes the value that the model asks for, or without a model (`None`) the one that the wire suggests. Integers are
    /// taken as floats and, in seconds, as times; floats that are whole numbers as integers.
    pub(super) fn typed(self, kind: Option<ResourceType>) -> Result<Value, DecodeErrorKind> {
        let out_of_range = |_| DecodeErrorKind::ValueRange;
        let wants_integer = matches!(
            kind,
            Some(ResourceType::Integer | ResourceType::UnsignedInteger | ResourceType::Time)
        );
        let raw = if let Self::Float(number) = self
            && wants_integer
        {
            Self::Integer(whole(number)?)
        } else {
            self
        };
        match (kind, raw) {
            (Some(ResourceType::String) | None, Self::Text(text) | Self::Base64Text(text)) => {
                Ok(Value::String(text))
            }
            (Some(ResourceType::CoreLink), Self::Text(text) | Self::Base64Text(text)) => {
                Ok(Value::CoreLink(text))
            }
            (
                Some(ResourceType::ObjectLink),
                Self::Link(text) | Self::Text(text) | Self::Base64Text(text),
            )
            | (None, Self::Link(text)) => object_link(&text),
            (Some(ResourceType::Integer), Self::Integer(number)) => {
                number.try_into().map(Value::Integer).map_err(out_of_range)
            }
            (Some(ResourceType::UnsignedInteger), Self::Integer(number)) => number
                .try_into()
                .map(Value::UnsignedInteger)
                .map_err(out_of_range),
            (None, Self::Integer(number)) => number
                .try_into()
                .map(Value::Integer)
                .or_else(|_| number.try_into().map(Value::UnsignedInteger))
                .map_err(out_of_range),
            (Some(ResourceType::Float), Self::Integer(number)) => Ok(Value::Float(number as f64)),
            (Some(ResourceType::Float) | None, Self::Float(number)) => finite(number),
            (Some(ResourceType::Time), Self::Integer(number)) => number
                .try_into()
                .map_err(out_of_range)
                .and_then(time_from_seconds),
            (Some(ResourceType::Time) | None, Self::Time(millis)) => Ok(Value::Time(millis)),
            (Some(ResourceType::Boolean) | None, Self::Boolean(flag)) => Ok(Value::Boolean(flag)),
            (Some(ResourceType::Opaque) | None, Self::Bytes(bytes)) => Ok(Value::Opaque(bytes)),
            (Some(ResourceType::Opaque), Self::Base64Text(text)) => {
                decode_base64(&BASE64, &text).map(Value::Opaque)
            }
            _ => Err(DecodeErrorKind::WrongType),
        }
    }
}

/// The nearest 64-bit number.
fn saturated(number: i128) -> i64 {
    number.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// The integer that a float stands for. Beyond 2^53 it might stand for any of several.
fn whole(number: f64) -> Result<i128, DecodeErrorKind> {
    if !number.is_finite() || number.abs() > 9_007_199_254_740_992.0 {
        Err(DecodeErrorKind::ValueRange)
    } else if number.fract() != 0.0 {
        Err(DecodeErrorKind::WrongType)
    } else {
        Ok(number as i128)
    }
}

pub(super) fn decode_base64(engine: &GeneralPurpose, text: &str) -> Result<Bytes, DecodeErrorKind> {
    base64::Engine::decode(engine, text)
        .map(Bytes::from)
        .map_err(|_| DecodeErrorKind::Syntax)
}

/// Base64 as in text and LwM2M JSON: padding is written, and not demanded of devices.
pub(super) const BASE64: GeneralPurpose = base64(&alphabet::STANDARD, true);
/// Base64 as in SenML JSON (RFC 8428 section 5): no padding is written, and it is tolerated.
pub(super) const BASE64_URL: GeneralPurpose = base64(&alphabet::URL_SAFE, false);

const fn base64(alphabet: &Alphabet, padding: bool) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new()
        .with_encode_padding(padding)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config)
}

/// What bounds the work and memory that a payload costs.
#[derive(Default)]
pub(super) struct Limits {
    /// How many items were read.
    items: usize,
}

impl Limits {
    /// Admits one more item, which lies in `depth` others and starts at byte `offset`.
    pub(super) fn admit(&mut self, depth: usize, offset: usize) -> Result<(), DecodeError> {
        if depth >= MAX_DEPTH {
            return Err(DecodeErrorKind::TooDeep.at(offset));
        }
        if self.items >= MAX_ITEMS {
            return Err(DecodeErrorKind::TooMany.at(offset));
        }
        self.items = self.items.saturating_add(1);
        Ok(())
    }
}

/// How deep arrays, maps and tags may nest. LwM2M CBOR needs six levels, an unknown field of SenML may be deeper.
const MAX_DEPTH: usize = 16;
/// How many items there may be: twenty for each record. An item takes 64 bytes of memory, and may have one on the wire.
const MAX_ITEMS: usize = 200_000;
