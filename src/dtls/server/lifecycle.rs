//! From handshake to association to nothing, and the tables by which records find them.

use std::time::{Duration, Instant};

use super::{
    Server, association::Association, demultiplex::MAX_OWN_CID, handshake::Handshake,
    limits::network, table::State,
};
use crate::dtls::{
    alert::{Alert, CLOSE_NOTIFY},
    cid::Cid,
    event::{AssociationId, CloseReason, Established, HandshakeFailure, Output, PeerAddress},
    record::ALERT,
    stats::count,
};

impl Server {
    /// A connection id that is not in use; the empty one when none is wanted. `None`: all are.
    pub(super) fn new_cid(&mut self, now: Instant, is_wanted: bool) -> Option<Cid> {
        while let Some((until, cid)) = self.tombstones.front()
            && *until <= now
        {
            self.cids.remove(cid);
            self.tombstones.pop_front();
        }
        let config = &self.core.config;
        let length = config
            .connection_id_length
            .filter(|_| is_wanted)
            .unwrap_or(0)
            .min(MAX_OWN_CID);
        if length == 0 {
            return Some(Cid::EMPTY);
        }
        (0..64).find_map(|_| {
            let mut bytes = [0; MAX_OWN_CID as usize];
            let id = bytes.get_mut(..length.into())?;
            self.core.random.fill(id);
            if let [node, shard, _, _, _, ..] = id {
                (*node, *shard) = (config.node, config.shard);
            }
            Cid::new(id).filter(|cid| !self.cids.contains_key(cid))
        })
    }

    /// Keeps a handshake that has begun.
    pub(super) fn begin_handshake(&mut self, handshake: Handshake) {
        let (peer, cid) = (handshake.peer, handshake.channel.own_cid.clone());
        let Some(id) = self.table.insert(Box::new(handshake)) else {
            return self.note_failure(None, peer, HandshakeFailure::TooManyAssociations);
        };
        self.handshakes.insert(peer, id);
        if !cid.is_empty() {
            self.cids.insert(cid, Some(id));
        }
        let ip = peer.remote.ip();
        self.by_address.add(ip);
        self.by_network.add(network(ip));
        self.rearm(id);
    }

    /// The client's Finished was right and ours is sent.
    pub(super) fn establish(&mut self, now: Instant, id: AssociationId) {
        if self.table.associations() >= self.core.config.max_associations && !self.evict(now) {
            return self.fail_handshake(now, id, HandshakeFailure::TooManyAssociations);
        }
        let Some(handshake) = self.table.take_handshake(id) else {
            return;
        };
        let began_at = self.release_handshake(id, &handshake);
        let (peer, suite) = (handshake.peer, handshake.suite());
        let extended_master_secret = handshake.extended_master_secret();
        let duration = now.saturating_duration_since(handshake.began);
        let has_connection_id = !handshake.channel.own_cid.is_empty();
        let Some(finished) = handshake.finish() else {
            return;
        };
        let association = Association::new(now, peer, finished, &self.core);
        let (principal, tag) = (association.principal.clone(), association.tag);
        self.replace_at(now, began_at, &association);
        if began_at != peer {
            self.replace_at(now, peer, &association);
        }
        self.table.establish(id, Box::new(association));
        self.addresses.insert(peer, id);
        self.rearm(id);
        count(&mut self.core.stats.handshakes_completed);
        self.core
            .outputs
            .push_back(Output::Established(Box::new(Established {
                association: id,
                peer,
                principal,
                tag,
                suite,
                has_connection_id,
                extended_master_secret,
                duration,
            })));
    }

    /// Ends the association that the device at this address had, now that it has another one: without a connection id it
    /// cannot be reached any more; with one it may be another device's that was here before.
    fn replace_at(&mut self, now: Instant, address: PeerAddress, by: &Association) {
        if let Some(&old) = self.addresses.get(&address)
            && let Some(known) = self.table.association(old)
            && (known.channel.own_cid.is_empty() || known.principal == by.principal)
        {
            let reason = known
                .invalid_until
                .is_none()
                .then_some(CloseReason::Replaced);
            self.end_association(now, old, reason);
        }
    }

    /// A device with a connection id writes from another address. It does not take away that of a device without.
    pub(super) fn move_association(
        &mut self,
        id: AssociationId,
        from: PeerAddress,
        to: PeerAddress,
    ) {
        if self.addresses.get(&from) == Some(&id) {
            self.addresses.remove(&from);
        }
        let needs_it = self
            .addresses
            .get(&to)
            .and_then(|&other| self.table.association(other))
            .is_some_and(|other| other.channel.own_cid.is_empty());
        if !needs_it {
            self.addresses.insert(to, id);
        }
    }

    /// Forgets an association. Without a reason the owner knows already.
    pub(super) fn end_association(
        &mut self,
        now: Instant,
        id: AssociationId,
        reason: Option<CloseReason>,
    ) {
        let State::Association(association) = self.table.remove(id) else {
            return;
        };
        if self.addresses.get(&association.peer) == Some(&id) {
            self.addresses.remove(&association.peer);
        }
        let cid = association.channel.own_cid;
        if !cid.is_empty() {
            self.cids.insert(cid.clone(), None);
            let until = now.checked_add(TOMBSTONE).unwrap_or(now);
            self.tombstones.push_back((until, cid));
        }
        if let Some(reason) = reason {
            self.core.outputs.push_back(Output::Closed {
                association: id,
                reason,
            });
        }
    }

    /// Ends a handshake with an alert in clear.
    pub(super) fn refuse_handshake(
        &mut self,
        now: Instant,
        id: AssociationId,
        alert: Alert,
        failure: HandshakeFailure,
    ) {
        if let Some(handshake) = self.table.handshake(id) {
            let peer = handshake.peer;
            let mut channel = std::mem::replace(
                &mut handshake.channel,
                crate::dtls::channel::Channel::new(0),
            );
            self.send_plain_alert(now, peer, alert, &mut channel);
            if let Some(handshake) = self.table.handshake(id) {
                handshake.channel = channel;
            }
        }
        self.fail_handshake(now, id, failure);
    }

    /// Ends a handshake silently.
    pub(super) fn fail_handshake(
        &mut self,
        now: Instant,
        id: AssociationId,
        failure: HandshakeFailure,
    ) {
        let State::Handshake(handshake) = self.table.remove(id) else {
            return;
        };
        self.release_handshake(id, &handshake);
        self.cids.remove(&handshake.channel.own_cid);
        self.note_failure(Some(id), handshake.peer, failure);
        if handshake.is_asked() {
            self.queries.open = self.queries.open.saturating_sub(1);
            self.ask_waiting(now);
        }
    }

    /// Takes a handshake out of what counts handshakes; where it began.
    fn release_handshake(&mut self, id: AssociationId, handshake: &Handshake) -> PeerAddress {
        let began_at = handshake.began_at;
        if self.handshakes.get(&began_at) == Some(&id) {
            self.handshakes.remove(&began_at);
        }
        let ip = began_at.remote.ip();
        self.by_address.remove(ip);
        self.by_network.remove(network(ip));
        began_at
    }

    pub(super) fn note_failure(
        &mut self,
        association: Option<AssociationId>,
        peer: PeerAddress,
        failure: HandshakeFailure,
    ) {
        count(&mut self.core.stats.handshakes_failed);
        self.core.outputs.push_back(Output::HandshakeFailed {
            association,
            peer,
            failure,
        });
    }

    /// Whether an association could make room for another one.
    pub(super) fn has_stale(&mut self, now: Instant) -> bool {
        self.find_stale(now);
        !self.stale.is_empty()
    }

    /// Ends the stalest association, if one is stale.
    fn evict(&mut self, now: Instant) -> bool {
        self.find_stale(now);
        let Some(id) = self.stale.pop() else {
            return false;
        };
        if let Some(association) = self.table.association(id) {
            let reason = association
                .invalid_until
                .is_none()
                .then_some(CloseReason::Evicted);
            association.seal(ALERT, &CLOSE_NOTIFY, &mut self.core);
            count(&mut self.core.stats.associations_evicted);
            self.end_association(now, id, reason);
        }
        true
    }

    /// Fills the list of stale associations, when none of those in it is stale any more. All are looked at, so this is not
    /// repeated before another one can be stale.
    fn find_stale(&mut self, now: Instant) {
        let stale_after = self.core.config.stale_after;
        let is_stale = |activity: Instant| now.saturating_duration_since(activity) >= stale_after;
        while let Some(&last) = self.stale.last() {
            if self
                .table
                .association(last)
                .is_some_and(|association| is_stale(association.last_activity))
            {
                return;
            }
            self.stale.pop();
        }
        if self
            .none_stale_before
            .is_some_and(|earliest| now < earliest)
        {
            return;
        }
        let mut all: Vec<_> = self
            .table
            .all()
            .filter_map(|(id, state)| match state {
                State::Association(association) => Some((association.last_activity, id)),
                State::Handshake(_) | State::Free => None,
            })
            .collect();
        all.sort_unstable();
        let earliest = all.first().map_or(now, |(activity, _)| *activity);
        self.none_stale_before = earliest.checked_add(stale_after);
        all.retain(|(activity, _)| is_stale(*activity));
        all.truncate(MAX_STALE);
        self.stale = all.into_iter().rev().map(|(_, id)| id).collect();
    }
}

/// How long a connection id is not used again after its association.
const TOMBSTONE: Duration = Duration::from_secs(60);
/// How many stale associations are noted at a time.
const MAX_STALE: usize = 1024;
