//! SenML (RFC 8428) as items: `application/senml+json` (110) and `application/senml+cbor` (112), and for composite
//! requests SenML-ETCH (RFC 8790), 320 and 322, in which null stands for a value to be deleted.
//!
//! Names are paths of resources or resource instances (OMA LwM2M Core, "SenML JSON" and "SenML CBOR").

use base64::Engine;

use super::{
    DecodeError, DecodeErrorKind, EncodeError, Sample, SampleTime,
    item::{BASE64_URL, Content, Item, Raw, decode_base64},
    record::{MAX_RECORDS, Record, name_below, path_of, values},
};
use crate::lwm2m::{node::Node, path::Path};

/// How labels and bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    Cbor,
    Json,
}

/// Reads a pack. Base fields are resolved; a record without value, or with several, has an error in place of it.
pub(super) fn read(pack: Item, root: &[String]) -> Result<Vec<Record>, DecodeError> {
    let items = pack.into_array()?;
    if let Some(beyond) = items.get(MAX_RECORDS) {
        return Err(DecodeErrorKind::TooMany.at(beyond.offset));
    }
    let mut base = Base::default();
    items
        .into_iter()
        .map(|item| base.record(item, root))
        .collect()
}

/// Writes one node, whose path is the base name.
pub(super) fn write(grammar: Grammar, path: &Path, node: &Node) -> Result<Item, EncodeError> {
    let values = values(path, node)?;
    let mut records = Vec::new();
    for (own, value) in values {
        let name = name_below(path, &own);
        let mut fields = Vec::with_capacity(3);
        if records.is_empty() {
            let slash = if name.is_empty() { "" } else { "/" };
            let base = format!("{path}{slash}").into();
            fields.push((Label::BaseName.written(grammar), base));
        }
        if !name.is_empty() {
            fields.push((Label::Name.written(grammar), name.into()));
        }
        fields.push(value_field(grammar, Raw::from_value(value)?));
        records.push(Content::Map(fields).into());
    }
    Ok(Content::Array(records).into())
}

/// Writes nodes of several paths and times, with whole names and times in every record.
pub(super) fn write_samples(grammar: Grammar, samples: &[Sample]) -> Result<Item, EncodeError> {
    let mut records = Vec::new();
    for sample in samples {
        let time = sample.time.map(written_time).transpose()?;
        for (path, node) in &sample.nodes {
            for (own, value) in values(path, node)? {
                let mut fields = vec![named(grammar, &own)];
                if let Some(time) = &time {
                    fields.push((Label::Time.written(grammar), time.clone()));
                }
                fields.push(value_field(grammar, Raw::from_value(value)?));
                records.push(Content::Map(fields).into());
            }
        }
    }
    Ok(Content::Array(records).into())
}

/// Writes a list of paths, the content of a Read-Composite.
pub(super) fn write_paths(grammar: Grammar, paths: &[Path]) -> Item {
    let records = paths
        .iter()
        .map(|path| Content::Map(vec![named(grammar, path)]).into());
    Content::Array(records.collect()).into()
}

fn named(grammar: Grammar, path: &Path) -> (Item, Item) {
    (Label::Name.written(grammar), path.to_string().into())
}

fn value_field(grammar: Grammar, raw: Raw) -> (Item, Item) {
    let label = match raw {
        Raw::Boolean(_) => Label::BooleanValue,
        Raw::Integer(_) | Raw::Float(_) | Raw::Time(_) => Label::Value,
        Raw::Text(_) | Raw::Base64Text(_) => Label::StringValue,
        Raw::Bytes(_) => Label::DataValue,
        Raw::Link(_) => Label::LinkValue,
    };
    let raw = match (grammar, raw.time_as_seconds()) {
        (Grammar::Json, Raw::Bytes(bytes)) => Raw::Text(BASE64_URL.encode(bytes)),
        (_, raw) => raw,
    };
    (label.written(grammar), raw.into())
}

/// A time in seconds; with a fraction only where it has one.
pub(super) fn written_time(time: SampleTime) -> Result<Item, EncodeError> {
    let (millis, fits) = match time {
        SampleTime::At(millis) => (millis, millis >= RELATIVE_MILLIS),
        SampleTime::Relative(millis) => (millis, millis < RELATIVE_MILLIS),
    };
    if !fits {
        return Err(EncodeError::Time);
    }
    Ok(if millis.rem_euclid(1000) == 0 {
        Raw::Integer(millis.div_euclid(1000).into()).into()
    } else {
        Raw::Float(millis as f64 / 1000.0).into()
    })
}

/// A time is relative to that of receipt when it is below 2^28 seconds. One of zero is the same as none: the device does
/// not know it (RFC 8428 section 4.5.3).
pub(super) const fn sample_time(millis: i64) -> Option<SampleTime> {
    match millis {
        0 => None,
        ..RELATIVE_MILLIS => Some(SampleTime::Relative(millis)),
        _ => Some(SampleTime::At(millis)),
    }
}

/// The base fields, which hold from their record on.
#[derive(Default)]
struct Base {
    name: String,
    time: i64,
    value: Option<Raw>,
}

impl Base {
    fn record(&mut self, item: Item, root: &[String]) -> Result<Record, DecodeError> {
        let offset = item.offset;
        let mut fields = Fields::read(item)?;
        if let Some(version) = fields.take(Label::BaseVersion) {
            let understood = matches!(version.content, Content::Value(Raw::Integer(number)) if number <= VERSION);
            if !understood {
                return Err(DecodeErrorKind::NotUnderstood.at(version.offset));
            }
        }
        if let Some(name) = fields.take(Label::BaseName) {
            self.name = name.into_text()?;
        }
        if let Some(time) = fields.take(Label::BaseTime) {
            self.time = time.into_millis()?;
        }
        if let Some(value) = fields.take(Label::BaseValue) {
            self.value = Some(value.into_raw().map_err(|kind| kind.at(offset))?);
        }
        let name = fields.take(Label::Name).map(Item::into_text);
        let name = name.transpose()?.unwrap_or_default();
        let own_time = fields.take(Label::Time).map(Item::into_millis);
        let own_time = own_time.transpose()?.unwrap_or_default();
        let time = self.time.saturating_add(own_time);
        Ok(Record {
            offset,
            path: self.path(&name, root),
            time: sample_time(time),
            value: self.value_of(fields),
        })
    }

    fn path(&self, name: &str, root: &[String]) -> Result<Path, DecodeErrorKind> {
        if self.name.len().saturating_add(name.len()) > MAX_NAME {
            return Err(DecodeErrorKind::Name);
        }
        path_of(&format!("{}{name}", self.name), root)
    }

    /// The one value among the fields that are left.
    fn value_of(&self, fields: Fields) -> Result<Raw, DecodeErrorKind> {
        let mut fields = fields.0.into_iter();
        let (label, item) = fields.next().ok_or(DecodeErrorKind::Missing)?;
        if fields.next().is_some() {
            return Err(DecodeErrorKind::Structure);
        }
        match (label, item.into_raw()?) {
            (Label::Value, raw @ (Raw::Integer(_) | Raw::Float(_))) => {
                Ok(sum(self.value.as_ref(), raw))
            }
            (Label::StringValue, raw @ Raw::Text(_))
            | (Label::BooleanValue, raw @ Raw::Boolean(_))
            | (Label::DataValue, raw @ Raw::Bytes(_)) => Ok(raw),
            (Label::DataValue, Raw::Text(text)) => {
                decode_base64(&BASE64_URL, &text).map(Raw::Bytes)
            }
            (Label::LinkValue, Raw::Text(text)) => Ok(Raw::Link(text)),
            _ => Err(DecodeErrorKind::WrongType),
        }
    }
}

/// A value and the base value (RFC 8428 section 4.5.4).
fn sum(base: Option<&Raw>, value: Raw) -> Raw {
    match (base, value) {
        (Some(Raw::Integer(base)), Raw::Integer(value)) => Raw::Integer(base.saturating_add(value)),
        (Some(Raw::Integer(base)), Raw::Float(value)) => Raw::Float(*base as f64 + value),
        (Some(Raw::Float(base)), Raw::Integer(value)) => Raw::Float(base + value as f64),
        (Some(Raw::Float(base)), Raw::Float(value)) => Raw::Float(base + value),
        (_, value) => value,
    }
}

/// The fields of a record that have a meaning here, each label once.
struct Fields(Vec<(Label, Item)>);

impl Fields {
    /// One that is not known is passed over, unless its label ends in `_` (RFC 8428 section 4.4).
    fn read(record: Item) -> Result<Self, DecodeError> {
        let entries = record.into_map()?;
        let mut fields = Self(Vec::with_capacity(entries.len().min(Label::ALL.len())));
        for (key, item) in entries {
            let Content::Value(raw) = &key.content else {
                continue;
            };
            if matches!(raw, Raw::Text(name) if name.ends_with('_')) {
                return Err(DecodeErrorKind::NotUnderstood.at(key.offset));
            }
            let Some(label) = Label::read(raw) else {
                continue;
            };
            if fields.place(label).is_some() {
                return Err(DecodeErrorKind::Duplicate.at(key.offset));
            }
            fields.0.push((label, item));
        }
        Ok(fields)
    }

    fn take(&mut self, label: Label) -> Option<Item> {
        self.place(label).map(|place| self.0.swap_remove(place).1)
    }

    fn place(&self, label: Label) -> Option<usize> {
        self.0.iter().position(|(own, _)| *own == label)
    }
}

/// The fields that are used; units, sums and update times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    BaseName,
    BaseTime,
    BaseValue,
    BaseVersion,
    Name,
    Time,
    Value,
    StringValue,
    BooleanValue,
    DataValue,
    LinkValue,
}

impl Label {
    /// Every label, its name, and the number that stands for it in CBOR (RFC 8428 section 6; `vlo` is LwM2M's own).
    const ALL: [(Self, &'static str, Option<i128>); 11] = [
        (Self::BaseName, "bn", Some(-2)),
        (Self::BaseTime, "bt", Some(-3)),
        (Self::BaseValue, "bv", Some(-5)),
        (Self::BaseVersion, "bver", Some(-1)),
        (Self::Name, "n", Some(0)),
        (Self::Time, "t", Some(6)),
        (Self::Value, "v", Some(2)),
        (Self::StringValue, "vs", Some(3)),
        (Self::BooleanValue, "vb", Some(4)),
        (Self::DataValue, "vd", Some(8)),
        (Self::LinkValue, "vlo", None),
    ];

    fn read(raw: &Raw) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, name, number)| {
                matches!(raw, Raw::Text(text) if text == name)
                    || matches!(raw, Raw::Integer(found) if Some(*found) == *number)
            })
            .map(|(label, ..)| *label)
    }

    fn written(self, grammar: Grammar) -> Item {
        let known = Self::ALL.iter().find(|(label, ..)| *label == self);
        match (grammar, known) {
            (Grammar::Cbor, Some((_, _, Some(number)))) => Raw::Integer(*number).into(),
            (_, Some((_, name, _))) => (*name).into(),
            (_, None) => Content::Other.into(),
        }
    }
}

/// 2^28 seconds.
const RELATIVE_MILLIS: i64 = (1 << 28) * 1000;
/// The version of SenML that RFC 8428 defines; later ones are not understood.
const VERSION: i128 = 10;
/// A path has at most 24 characters, a root in front of it may have more.
const MAX_NAME: usize = 1024;
