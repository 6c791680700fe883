//! JSON (RFC 8259) as items.
//!
//! The grammar is that of `serde_json`, used one level at a time: so every item has its place in the payload, repeated
//! names are seen, and integers do not pass through floats.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    DecodeError, DecodeErrorKind,
    item::{Content, Item, Limits, Raw},
    utf8,
};

/// Reads one JSON text.
pub(super) fn read(payload: &Bytes) -> Result<Item, DecodeError> {
    let text = utf8(payload, 0)?;
    let start = text.trim_start_matches(BLANKS);
    let offset = text.len().saturating_sub(start.len());
    let limits = &mut Limits::default();
    item(start.trim_end_matches(BLANKS), offset, 0, limits)
}

/// Writes an item; what JSON has no form for (bytes, infinite numbers) is null.
pub(super) fn write(item: &Item) -> Bytes {
    serde_json::to_vec(&Written(item))
        .expect("a vector takes everything")
        .into()
}

/// Reads `text`, which starts at byte `offset` of the payload and has no blanks around it.
fn item(text: &str, offset: usize, depth: usize, limits: &mut Limits) -> Result<Item, DecodeError> {
    limits.admit(depth, offset)?;
    // Raw values borrow from the text, so the distance of their addresses is that of their places.
    let place = |raw: &RawValue| {
        let distance = raw.get().as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        offset.saturating_add(distance)
    };
    let mut inner = |raw: &RawValue| item(raw.get(), place(raw), depth.saturating_add(1), limits);
    let content = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = parsed(text, offset)?;
            let mut names = BTreeSet::new();
            if let Some((_, raw)) = members.iter().find(|(name, _)| !names.insert(name)) {
                return Err(DecodeErrorKind::Duplicate.at(place(raw)));
            }
            let mut entries = Vec::with_capacity(members.len());
            for (name, raw) in members {
                let value = inner(raw)?;
                let content = Content::Value(Raw::Text(name));
                let offset = value.offset;
                entries.push((Item { offset, content }, value));
            }
            Content::Map(entries)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = parsed(text, offset)?;
            Content::Array(items.into_iter().map(inner).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Content::Value(Raw::Text(parsed(text, offset)?)),
        Some(b't' | b'f') => Content::Value(Raw::Boolean(parsed(text, offset)?)),
        Some(b'n') => {
            let (): () = parsed(text, offset)?;
            Content::Null
        }
        _ => {
            let _: IgnoredAny = parsed(text, offset)?;
            Content::Value(number(text).ok_or_else(|| DecodeErrorKind::Syntax.at(offset))?)
        }
    };
    Ok(Item { offset, content })
}

/// A number as an integer where it is written as one. A number beyond the range of floats is infinite.
fn number(text: &str) -> Option<Raw> {
    text.parse()
        .map(Raw::Integer)
        .or_else(|_| text.parse().map(Raw::Float))
        .ok()
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a str, offset: usize) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| {
        let lines = text.split_inclusive('\n').map(str::len);
        let before: usize = lines.take(error.line().saturating_sub(1)).sum();
        let place = before.saturating_add(error.column()).min(text.len());
        let kind = if error.is_eof() {
            DecodeErrorKind::Truncated
        } else {
            DecodeErrorKind::Syntax
        };
        kind.at(offset.saturating_add(place))
    })
}

/// The members of an object in the order of the payload.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// An item as it is written.
struct Written<'a>(&'a Item);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.content {
            Content::Null | Content::Other => serializer.serialize_unit(),
            Content::Array(items) => serializer.collect_seq(items.iter().map(Written)),
            Content::Map(entries) => {
                serializer.collect_map(entries.iter().filter_map(|(key, item)| {
                    let Content::Value(Raw::Text(name)) = &key.content else {
                        return None;
                    };
                    Some((name, Written(item)))
                }))
            }
            Content::Value(raw) => match raw {
                Raw::Boolean(flag) => serializer.serialize_bool(*flag),
                Raw::Integer(number) => serializer.serialize_i128(*number),
                Raw::Float(number) => serializer.serialize_f64(*number),
                Raw::Text(text) | Raw::Base64Text(text) | Raw::Link(text) => {
                    serializer.serialize_str(text)
                }
                Raw::Time(millis) => serializer.serialize_i64(*millis),
                Raw::Bytes(_) => serializer.serialize_unit(),
            },
        }
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
