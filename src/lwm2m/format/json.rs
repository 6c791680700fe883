//! JSON (RFC 8259) as items.
//!
//! The grammar is that of `serde_json`, used one level at a time: so every item has its place in the payload, repeated
//! names are seen, and integers do not pass through floats.

use std::{collections::BTreeSet, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
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
    value(item).to_string().into()
}

/// Reads `text`, which starts at byte `offset` of the payload and has no blanks around it.
fn item(text: &str, offset: usize, depth: usize, limits: &mut Limits) -> Result<Item, DecodeError> {
    limits.admit(depth, offset)?;
    let mut inner = |raw: &RawValue| {
        // Raw values borrow from the text, so the distance of their addresses is that of their places.
        let distance = raw.get().as_ptr().addr().wrapping_sub(text.as_ptr().addr());
        let offset = offset.saturating_add(distance);
        item(raw.get(), offset, depth.saturating_add(1), limits)
    };
    let content = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = parsed(text, offset)?;
            let mut names = BTreeSet::new();
            let mut entries = Vec::new();
            for (name, raw) in &members {
                let value = inner(raw)?;
                if !names.insert(name) {
                    return Err(DecodeErrorKind::Duplicate.at(value.offset));
                }
                let content = Content::Value(Raw::Text(name.clone()));
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

fn value(item: &Item) -> serde_json::Value {
    match &item.content {
        Content::Null | Content::Other => serde_json::Value::Null,
        Content::Array(items) => items.iter().map(value).collect(),
        Content::Map(entries) => entries
            .iter()
            .filter_map(|(key, item)| {
                let Content::Value(Raw::Text(name)) = &key.content else {
                    return None;
                };
                Some((name.clone(), value(item)))
            })
            .collect(),
        Content::Value(raw) => match raw {
            Raw::Boolean(flag) => (*flag).into(),
            Raw::Integer(number) => serde_json::Number::from_i128(*number).into(),
            Raw::Float(number) => (*number).into(),
            Raw::Text(text) | Raw::Base64Text(text) | Raw::Link(text) => text.as_str().into(),
            Raw::Time(millis) => (*millis).into(),
            Raw::Bytes(_) => serde_json::Value::Null,
        },
    }
}

const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
