//! Entries: kind, identifier, length and value.

use std::ops::Range;

use crate::lwm2m::format::{DecodeError, DecodeErrorKind, EncodeError};

/// The kind of an entry, bits 7 and 6 of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ObjectInstance,
    ResourceInstance,
    Multiple,
    Value,
}

/// One entry: kind, identifier, length and value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) id: u16,
    /// Where the value lies in the payload.
    pub(super) value: Range<usize>,
    /// Where the entry starts in the payload.
    pub(super) offset: usize,
}

/// The entries of a part of the payload. Ends after the first that does not fit into it.
#[derive(Clone)]
pub(super) struct Entries<'a> {
    payload: &'a [u8],
    rest: Range<usize>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.rest.start;
        let entry = self.entry(offset);
        if entry.is_none() {
            self.rest.start = self.rest.end;
        }
        Some(entry.ok_or_else(|| DecodeErrorKind::Truncated.at(offset)))
    }
}

impl<'a> Entries<'a> {
    /// The entries of this part of the payload.
    pub(super) const fn new(payload: &'a [u8], part: Range<usize>) -> Self {
        Self {
            payload,
            rest: part,
        }
    }

    /// Looks into a wrapper of this kind, if the first entry is one; it has to stand alone and to carry this id.
    pub(super) fn without_wrapper(self, kind: Kind, id: u16) -> Result<Self, DecodeError> {
        match self.clone().next() {
            Some(Ok(first)) if first.kind == kind => {
                let payload = self.payload;
                let wrapper = self.only()?;
                if wrapper.id != id {
                    return Err(DecodeErrorKind::IdConflict.at(wrapper.offset));
                }
                Ok(Self::new(payload, wrapper.value))
            }
            _ => Ok(self),
        }
    }

    /// Where the next entry starts in the payload.
    pub(super) const fn offset(&self) -> usize {
        self.rest.start
    }

    /// Takes the one entry that is there.
    pub(super) fn only(mut self) -> Result<Entry, DecodeError> {
        let end = self.rest.end;
        let entry = self
            .next()
            .unwrap_or_else(|| Err(DecodeErrorKind::Truncated.at(end)))?;
        match self.next() {
            None => Ok(entry),
            Some(_) => Err(DecodeErrorKind::Structure.at(entry.value.end)),
        }
    }

    /// Takes one entry, or nothing if it does not fit.
    fn entry(&mut self, offset: usize) -> Option<Entry> {
        let initial = self.number(1)?;
        let kind = match initial >> 6 {
            0 => Kind::ObjectInstance,
            1 => Kind::ResourceInstance,
            2 => Kind::Multiple,
            _ => Kind::Value,
        };
        let id = self.number(if initial & 0x20 == 0 { 1 } else { 2 })?;
        let length = match initial >> 3 & 0x03 {
            0 => initial & 0x07,
            bytes => self.number(bytes)?,
        };
        let value = self.take(length)?;
        Some(Entry {
            kind,
            id: u16::try_from(id).ok()?,
            value,
            offset,
        })
    }

    /// Takes a big-endian number of up to three bytes.
    fn number(&mut self, length: usize) -> Option<usize> {
        let bytes = self.take(length)?;
        let bytes = self.payload.get(bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte)),
        )
    }

    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let start = self.rest.start;
        let end = start.checked_add(length)?;
        if end > self.rest.end {
            return None;
        }
        self.rest.start = end;
        Some(start..end)
    }
}

/// Writes an entry with the shortest identifier and length.
pub(super) fn write_entry(
    output: &mut Vec<u8>,
    kind: Kind,
    id: u16,
    value: &[u8],
) -> Result<(), EncodeError> {
    let kind = match kind {
        Kind::ObjectInstance => 0x00,
        Kind::ResourceInstance => 0x40,
        Kind::Multiple => 0x80,
        Kind::Value => 0xc0,
    };
    let length = u32::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
    let [beyond, length @ ..] = length.to_be_bytes();
    let length_type = match length {
        _ if beyond > 0 => return Err(EncodeError::TooLong),
        [0, 0, low] if low < 8 => low,
        [0, 0, _] => 0x08,
        [0, ..] => 0x10,
        _ => 0x18,
    };
    match u8::try_from(id) {
        Ok(id) => output.extend([kind | length_type, id]),
        Err(_) => {
            output.push(kind | 0x20 | length_type);
            output.extend(id.to_be_bytes());
        }
    }
    match (length_type, length) {
        (0x08, [.., low]) => output.push(low),
        (0x10, [_, middle, low]) => output.extend([middle, low]),
        (0x18, length) => output.extend(length),
        _ => {}
    }
    output.extend_from_slice(value);
    Ok(())
}
