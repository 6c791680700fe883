//! `application/vnd.oma.lwm2m+json` (11543, formerly 1543): OMA LwM2M Core 1.0, "JSON".

use base64::Engine;

use super::{
    DecodeError, DecodeErrorKind, EncodeError, Sample, SampleTime,
    item::{BASE64, Content, Item, Raw},
    record::{MAX_RECORDS, Record, name_below, path_of, values},
    senml::{sample_time, written_time},
};
use crate::lwm2m::{node::Node, path::Path};

/// Reads the answer to a request for `path`, which is the base of names where the payload states none.
pub(super) fn read(
    payload: Item,
    path: &Path,
    root: &[String],
) -> Result<Vec<Record>, DecodeError> {
    let offset = payload.offset;
    let (mut base, mut base_time, mut entries) = (None, None, None);
    for (name, item) in payload.into_map()? {
        match name.into_text()?.as_str() {
            "bn" => {
                let offset = item.offset;
                base = Some((item.into_text()?, offset)).filter(|(name, _)| !name.is_empty());
            }
            "bt" => base_time = Some(item.into_millis()?),
            "e" => entries = Some(item.into_array()?),
            _ => {}
        }
    }
    let entries = entries.ok_or_else(|| DecodeErrorKind::Structure.at(offset))?;
    if let Some(beyond) = entries.get(MAX_RECORDS) {
        return Err(DecodeErrorKind::TooMany.at(beyond.offset));
    }
    let stated = base.map(|(name, offset)| path_of(&name, root).map_err(|kind| kind.at(offset)));
    let base = stated.transpose()?;
    entries
        .into_iter()
        .map(|item| record(item, base, base_time, path, root))
        .collect()
}

fn record(
    entry: Item,
    base: Option<Path>,
    base_time: Option<i64>,
    asked: &Path,
    root: &[String],
) -> Result<Record, DecodeError> {
    let offset = entry.offset;
    let (mut name, mut time) = (String::new(), None);
    let mut value = None;
    for (label, item) in entry.into_map()? {
        let read = match label.into_text()?.as_str() {
            "n" => {
                name = item.into_text()?;
                continue;
            }
            "t" => {
                time = Some(item.into_millis()?);
                continue;
            }
            label @ ("v" | "bv" | "sv" | "ov") => {
                item.into_raw().and_then(|raw| match (label, raw) {
                    ("v", raw @ (Raw::Integer(_) | Raw::Float(_)))
                    | ("bv", raw @ Raw::Boolean(_)) => Ok(raw),
                    ("sv", Raw::Text(text)) => Ok(Raw::Base64Text(text)),
                    ("ov", Raw::Text(text)) => Ok(Raw::Link(text)),
                    _ => Err(DecodeErrorKind::WrongType),
                })
            }
            _ => continue,
        };
        value = Some(match value {
            None => read,
            Some(_) => Err(DecodeErrorKind::Structure),
        });
    }
    let path = match base {
        None if name.starts_with('/') => path_of(&name, root),
        _ => join(&base.unwrap_or(*asked), &name),
    };
    let time = match (base_time, time.unwrap_or_default()) {
        // A base time is one since 1970, however small; one of zero is none.
        (Some(base), own) if base != 0 => Some(SampleTime::At(base.saturating_add(own))),
        (_, own) => sample_time(own),
    };
    Ok(Record {
        offset,
        path,
        time,
        value: value.unwrap_or(Err(DecodeErrorKind::Missing)),
    })
}

/// A name below a base, with one slash between them.
fn join(base: &Path, name: &str) -> Result<Path, DecodeErrorKind> {
    let base = base.to_string();
    let (base, name) = (base.trim_end_matches('/'), name.trim_start_matches('/'));
    path_of(&format!("{base}/{name}"), &[])
}

/// Writes one node, whose path is the base name.
pub(super) fn write(path: &Path, node: &Node) -> Result<Item, EncodeError> {
    let mut below = false;
    let mut entries = Vec::new();
    for (own, value) in values(path, node)? {
        let name = name_below(path, &own);
        below |= !name.is_empty();
        let name = Some(name).filter(|name| !name.is_empty());
        entries.push(entry(name, None, Raw::from_value(value)?));
    }
    let slash = if below { "/" } else { "" };
    let members = vec![
        ("bn".into(), format!("{path}{slash}").into()),
        ("e".into(), Content::Array(entries).into()),
    ];
    Ok(Content::Map(members).into())
}

/// Writes nodes at several times, with whole names and no base.
pub(super) fn write_samples(samples: &[Sample]) -> Result<Item, EncodeError> {
    let mut entries = Vec::new();
    for sample in samples {
        let time = sample.time.map(written_time).transpose()?;
        for (path, node) in &sample.nodes {
            for (own, value) in values(path, node)? {
                let raw = Raw::from_value(value)?;
                entries.push(entry(Some(own.to_string()), time.clone(), raw));
            }
        }
    }
    let members = vec![("e".into(), Content::Array(entries).into())];
    Ok(Content::Map(members).into())
}

fn entry(name: Option<String>, time: Option<Item>, raw: Raw) -> Item {
    let (label, raw) = match raw.time_as_seconds() {
        raw @ Raw::Boolean(_) => ("bv", raw),
        raw @ (Raw::Integer(_) | Raw::Float(_) | Raw::Time(_)) => ("v", raw),
        raw @ (Raw::Text(_) | Raw::Base64Text(_)) => ("sv", raw),
        Raw::Bytes(bytes) => ("sv", Raw::Text(BASE64.encode(bytes))),
        raw @ Raw::Link(_) => ("ov", raw),
    };
    let mut members = Vec::with_capacity(3);
    members.extend(name.map(|name| ("n".into(), name.into())));
    members.push((label.into(), raw.into()));
    members.extend(time.map(|time| ("t".into(), time)));
    Content::Map(members).into()
}
