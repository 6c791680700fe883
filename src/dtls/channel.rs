//! The record layer of one peer: numbers and keys of both directions, from the first hello until the association ends.

use super::{
    cid::Cid,
    codec::Malformed,
    protection::Protection,
    random::{self, Random},
    record::{
        ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, Header, MAX_PLAINTEXT,
        PLAIN_HEADER, Record,
    },
    replay::ReplayWindow,
};

/// What is written to and read from one peer. Epoch 0 is not protected; epoch 1 is, once there are keys.
#[derive(Debug)]
pub(super) struct Channel {
    /// On records that we write in epoch 1.
    pub(super) peer_cid: Cid,
    /// On records that the peer writes in epoch 1.
    pub(super) own_cid: Cid,
    /// The longest plaintext of a record that we write, the inner type included, and of one that we take.
    pub(super) limit: u16,
    pub(super) receive_limit: u16,
    plain_sequence: u64,
    sequence: u64,
    write: Option<Protection>,
    read: Option<Protection>,
    window: ReplayWindow,
}

/// A record of epoch 1 that proved authentic.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    pub(super) content_type: u8,
    pub(super) content: &'a mut [u8],
    /// It is newer than all before it.
    pub(super) is_newest: bool,
}

/// Why a record is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// There is no key yet.
    NoKeys,
    /// It should have come with a connection id, or without one, or with another one.
    ConnectionId,
    /// It was received before, or is too old to know.
    Replayed,
    /// It is not authentic.
    Forged,
    /// It is authentic, and its content is not what may be in it.
    Malformed,
}

impl From<Malformed> for Dropped {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl Channel {
    /// The first record written gets the number `plain_sequence`.
    pub(super) const fn new(plain_sequence: u64) -> Self {
        Self {
            peer_cid: Cid::EMPTY,
            own_cid: Cid::EMPTY,
            limit: MAX_LIMIT,
            receive_limit: MAX_LIMIT,
            plain_sequence,
            sequence: 0,
            write: None,
            read: None,
            window: ReplayWindow::NEW,
        }
    }

    /// Starts epoch 1 in both directions.
    pub(super) fn set_keys(&mut self, write: Protection, read: Protection) {
        self.write = Some(write);
        self.read = Some(read);
    }

    pub(super) const fn has_keys(&self) -> bool {
        self.read.is_some()
    }

    /// Whether forged records are found out by a tag of 8 bytes only.
    pub(super) fn has_short_tag(&self) -> bool {
        self.read.as_ref().is_some_and(Protection::has_short_tag)
    }

    /// By how much a record of this epoch grows at most.
    pub(super) fn overhead(&self, epoch: u16) -> usize {
        match (epoch, &self.write) {
            (1, Some(write)) => write.overhead(self.peer_cid.as_bytes().len()),
            _ => PLAIN_HEADER,
        }
    }

    /// The longest content of a record.
    pub(super) fn max_content(&self) -> usize {
        usize::from(self.limit).saturating_sub(usize::from(!self.peer_cid.is_empty()))
    }

    /// Writes a record of epoch 0.
    pub(super) fn write_plain(&mut self, content_type: u8, content: &[u8], out: &mut Vec<u8>) {
        Header::new(content_type, 0, self.plain_sequence).write(content.len(), out);
        out.extend_from_slice(content);
        self.plain_sequence = self.plain_sequence.saturating_add(1);
    }

    /// Writes a record of epoch 1. `false`: there are no keys, or no more numbers; nothing was written.
    pub(super) fn seal(
        &mut self,
        content_type: u8,
        content: &[u8],
        random: &mut dyn Random,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(write) = self
            .write
            .as_ref()
            .filter(|_| self.sequence < LAST_SEQUENCE)
        else {
            return false;
        };
        let header = Header {
            cid: self.peer_cid.as_bytes(),
            ..Header::new(content_type, 1, self.sequence)
        };
        #[cfg(test)]
        nonces::note(write, self.sequence);
        let iv = if write.needs_iv() {
            random::array(random)
        } else {
            [0; 16]
        };
        write.seal(header, content, iv, out);
        self.sequence = self.sequence.saturating_add(1);
        true
    }

    /// Decrypts a record of epoch 1 in place and notes that it came.
    pub(super) fn open<'a>(&mut self, record: Record<'a>) -> Result<Opened<'a>, Dropped> {
        let read = self.read.as_ref().ok_or(Dropped::NoKeys)?;
        if record.header.cid != self.own_cid.as_bytes() {
            return Err(Dropped::ConnectionId);
        }
        let sequence = record.header.sequence;
        if !self.window.admits(sequence) {
            return Err(Dropped::Replayed);
        }
        let (content_type, content) = read.open(record).ok_or(Dropped::Forged)?;
        let is_known = matches!(
            content_type,
            CHANGE_CIPHER_SPEC | ALERT | HANDSHAKE | APPLICATION_DATA
        );
        if !is_known || content.len() > usize::from(self.receive_limit) {
            return Err(Dropped::Malformed);
        }
        let is_newest = self.window.is_newest(sequence);
        self.window.insert(sequence);
        Ok(Opened {
            content_type,
            content,
            is_newest,
        })
    }

    /// Pretends that so many records were written.
    #[cfg(test)]
    pub(super) const fn set_written(&mut self, records: u64) {
        self.sequence = records;
    }
}

/// As long as records can be.
const MAX_LIMIT: u16 = 1 << 14;
const _: () = assert!(MAX_LIMIT as usize == MAX_PLAINTEXT);

/// No number from here on is used: the association is closed well before they are used up.
pub(super) const LAST_SEQUENCE: u64 = (1 << 48) - (1 << 16);

/// No key may be used twice with one record number.
#[cfg(test)]
pub(super) mod nonces {
    use std::{cell::RefCell, collections::HashSet};

    use super::Protection;

    thread_local! {
        static SEEN: RefCell<HashSet<([u8; 20], u64)>> = RefCell::default();
    }

    pub(super) fn note(protection: &Protection, sequence: u64) {
        let (key, implicit, _) = protection.parts();
        let key = [key, implicit].concat().try_into().expect("16 and 4 bytes");
        let is_first = SEEN.with_borrow_mut(|seen| seen.insert((key, sequence)));
        assert!(is_first, "number {sequence} is used twice with one key");
    }

    /// How many records were protected since the last call.
    pub(in crate::dtls) fn take() -> usize {
        SEEN.with_borrow_mut(std::mem::take).len()
    }
}
