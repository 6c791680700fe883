//! Which handshake or association a record belongs to (`dtls.md` sections 4.6, 5.3 and 6).
//!
//! Cheap checks come first; nothing is answered that is not understood. A record that one key does not open is tried with
//! another only where both may be meant: at an address where a device with an association shakes hands again.

use std::time::Instant;

use super::{
    Server,
    association::Outcome,
    handshake::{Awaits, Step},
};
use crate::dtls::{
    alert,
    channel::{Dropped, Opened},
    event::{AssociationId, HandshakeFailure, PeerAddress},
    message::DTLS_1_2,
    record::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, CID_RECORD, HANDSHAKE, Record},
    stats::{Stats, count},
};

impl Server {
    /// Takes one datagram from `peer` and decrypts it in place. Whatever it contains, it is answered or dropped.
    pub fn handle_datagram(&mut self, now: Instant, peer: PeerAddress, datagram: &mut [u8]) {
        let length = datagram.len();
        let mut rest = datagram;
        while !rest.is_empty() {
            if !matches!(
                rest.first(),
                Some(CHANGE_CIPHER_SPEC..=APPLICATION_DATA | &CID_RECORD)
            ) {
                return count(&mut self.core.stats.foreign);
            }
            let Ok((record, more)) = Record::split_first(rest, self.cid_length()) else {
                return count(&mut self.core.stats.malformed);
            };
            self.handle_record(now, peer, length, record);
            rest = more;
        }
    }

    /// The length of our connection ids.
    fn cid_length(&self) -> usize {
        self.core
            .config
            .connection_id_length
            .map_or(0, |length| length.min(MAX_OWN_CID).into())
    }

    fn handle_record(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        length: usize,
        record: Record<'_>,
    ) {
        let header = record.header;
        if header.sequence >= MAX_SEQUENCE || header.epoch == 1 && header.version != DTLS_1_2 {
            return count(&mut self.core.stats.stray);
        }
        match (header.content_type, header.epoch) {
            (CID_RECORD, 1) => match self.cids.get(header.cid) {
                Some(Some(id)) => {
                    let id = Some(*id);
                    self.handle_protected(now, peer, length, record, id, id);
                }
                Some(None) | None => count(&mut self.core.stats.stray),
            },
            (CID_RECORD, _) => count(&mut self.core.stats.stray),
            (_, 0) => self.handle_plain(now, peer, &record),
            (_, 1) => {
                let handshake = self.handshakes.get(&peer).copied();
                let association = self.addresses.get(&peer).copied();
                self.handle_protected(now, peer, length, record, handshake, association);
            }
            _ => count(&mut self.core.stats.stray),
        }
    }

    /// A record of epoch 0. An association knows none.
    fn handle_plain(&mut self, now: Instant, peer: PeerAddress, record: &Record<'_>) {
        let handshake = self.handshakes.get(&peer).copied();
        match (record.header.content_type, handshake) {
            (HANDSHAKE, _) if record.fragment.first() == Some(&1) => {
                self.handle_hello(now, peer, record)
            }
            // It carries no meaning: records say themselves which epoch they are of.
            (CHANGE_CIPHER_SPEC, Some(_)) => {}
            (HANDSHAKE, Some(id)) if record.header.version == DTLS_1_2 => {
                let Some(handshake) = self.table.handshake(id) else {
                    return;
                };
                let step = handshake.handle_record(now, 0, record.fragment, &mut self.core);
                self.follow(now, id, step);
            }
            (ALERT, Some(id)) => match alert::read(record.fragment) {
                Ok(alert::Received::Fatal(code)) => {
                    self.fail_handshake(now, id, HandshakeFailure::Alert(code));
                }
                Ok(alert::Received::CloseNotify) => {
                    self.fail_handshake(now, id, HandshakeFailure::Alert(0))
                }
                Ok(alert::Received::Warning) => {}
                Err(_) => count(&mut self.core.stats.malformed),
            },
            _ => count(&mut self.core.stats.stray),
        }
    }

    /// A record of epoch 1 that may belong to either.
    fn handle_protected(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        length: usize,
        record: Record<'_>,
        handshake: Option<AssociationId>,
        association: Option<AssociationId>,
    ) {
        let header = record.header;
        let handshake = handshake.filter(|&id| {
            self.table
                .handshake(id)
                .is_some_and(|known| known.channel.own_cid.as_bytes() == header.cid)
        });
        let association = association.filter(|&id| {
            self.table
                .association(id)
                .is_some_and(|known| known.channel.own_cid.as_bytes() == header.cid)
        });
        let has_keys = handshake
            .and_then(|id| self.table.handshake(id))
            .is_some_and(|handshake| handshake.channel.has_keys());
        // A failed attempt may spoil the record.
        let copy = (handshake.is_some() && (association.is_some() || !has_keys))
            .then(|| record.fragment.to_vec());
        match (handshake, association, copy) {
            (None, None, _) => {
                let is_known =
                    self.handshakes.contains_key(&peer) || self.addresses.contains_key(&peer);
                let counter = |stats: &mut Stats| {
                    count(if is_known {
                        &mut stats.wrong_connection_id
                    } else {
                        &mut stats.stray
                    });
                };
                counter(&mut self.core.stats);
            }
            (None, Some(id), _) => {
                let opened = self.try_association(now, peer, length, id, record);
                self.note_dropped(now, None, Some(id), opened);
            }
            (Some(id), None, _) if has_keys => {
                let opened = self.try_handshake(now, peer, id, record);
                self.note_dropped(now, Some(id), None, opened);
            }
            (Some(id), Some(other), Some(mut copy)) if has_keys => {
                let mut opened = self.try_handshake(now, peer, id, record);
                if opened.is_err() {
                    let fragment = &mut copy[..];
                    opened =
                        self.try_association(now, peer, length, other, Record { header, fragment });
                }
                self.note_dropped(now, Some(id), Some(other), opened);
            }
            (Some(id), other, Some(copy)) => {
                if let Some(other) = other
                    && self
                        .try_association(now, peer, length, other, record)
                        .is_ok()
                {
                    return;
                }
                let mut held = Vec::with_capacity(copy.len().saturating_add(64));
                header.write(copy.len(), &mut held);
                held.extend(copy);
                // Application data has no business here yet.
                let is_kept = header.content_type != APPLICATION_DATA
                    && self
                        .table
                        .handshake(id)
                        .is_some_and(|handshake| handshake.hold(held));
                if !is_kept {
                    count(&mut self.core.stats.early);
                }
            }
            (Some(_), _, None) => {}
        }
    }

    fn try_handshake(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        id: AssociationId,
        record: Record<'_>,
    ) -> Result<(), Dropped> {
        let handshake = self.table.handshake(id).ok_or(Dropped::NoKeys)?;
        let Opened {
            content_type,
            content,
            ..
        } = handshake.channel.open(record)?;
        match content_type {
            HANDSHAKE => {
                if handshake.awaits == Awaits::Finished {
                    // With a connection id, Finished may come from where the client has moved to.
                    handshake.peer = peer;
                }
                let step = handshake.handle_record(now, 1, content, &mut self.core);
                self.follow(now, id, step);
            }
            ALERT => {
                if let Ok(alert::Received::Fatal(code)) = alert::read(content) {
                    self.fail_handshake(now, id, HandshakeFailure::Alert(code));
                }
            }
            // Application data may overtake Finished, but comes again.
            _ => count(&mut self.core.stats.early),
        }
        Ok(())
    }

    fn try_association(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        length: usize,
        id: AssociationId,
        record: Record<'_>,
    ) -> Result<(), Dropped> {
        let association = self.table.association(id).ok_or(Dropped::NoKeys)?;
        if association.is_deaf(now) {
            count(&mut self.core.stats.unheard);
            return Ok(());
        }
        let opened = association.channel.open(record)?;
        let before = association.peer;
        let outcome = association.handle(now, id, peer, length, opened, &mut self.core);
        let after = association.peer;
        if before != after {
            self.move_association(id, before, after);
        }
        match outcome {
            Outcome::Open => self.rearm(id),
            Outcome::Over(reason) => self.end_association(now, id, reason),
        }
        Ok(())
    }

    /// Counts a record that nothing could be done with, once.
    fn note_dropped(
        &mut self,
        now: Instant,
        handshake: Option<AssociationId>,
        association: Option<AssociationId>,
        opened: Result<(), Dropped>,
    ) {
        let Err(dropped) = opened else { return };
        let stats = &mut self.core.stats;
        match dropped {
            Dropped::NoKeys => count(&mut stats.early),
            Dropped::ConnectionId => count(&mut stats.wrong_connection_id),
            Dropped::Replayed => count(&mut stats.replayed),
            Dropped::Malformed => count(&mut stats.malformed),
            Dropped::Forged => {
                count(&mut stats.forged);
                if let Some(handshake) = handshake.and_then(|id| self.table.handshake(id)) {
                    handshake.saw_forgery = true;
                }
                if let Some(id) = association
                    && let Some(association) = self.table.association(id)
                {
                    association.handle_forged(now, id, &mut self.core);
                }
            }
        }
    }

    /// Does what a handshake message led to.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        id: AssociationId,
        step: Result<Step, alert::Alert>,
    ) {
        match step {
            Ok(Step::Wait) => self.rearm(id),
            Ok(Step::Ask) => self.need_credential(now, id),
            Ok(Step::Done) => self.establish(now, id),
            Err(alert) => self.refuse_handshake(now, id, alert, HandshakeFailure::Refused(alert)),
        }
    }

    /// Tries the records again that came before the keys.
    pub(super) fn release_held(&mut self, now: Instant, id: AssociationId) {
        let Some(handshake) = self.table.handshake(id) else {
            return;
        };
        let peer = handshake.peer;
        let cid_length = handshake.channel.own_cid.as_bytes().len();
        for mut held in std::mem::take(&mut handshake.held) {
            if let Ok((record, _)) = Record::split_first(&mut held, cid_length) {
                let opened = self.try_handshake(now, peer, id, record);
                self.note_dropped(now, Some(id), None, opened);
            }
        }
    }
}

/// Records with a higher number are dropped unread: no association lives to send so many.
const MAX_SEQUENCE: u64 = 1 << 32;
/// The longest connection id of ours.
pub(super) const MAX_OWN_CID: u8 = 20;
