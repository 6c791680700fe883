//! What is known of the devices behind a DTLS port, by association.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    dtls::{AssociationId, PeerAddress},
    platform::{
        credentials::Admission,
        name::EndpointName,
        peer::{Association, Peer, PeerId, PeerIdentity, ServerRole},
    },
};

use super::Caller;

/// What a handshake found out about a device.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// What the device proves, once the handshake is complete.
    pub(super) identity: PeerIdentity,
    /// The endpoint that the credentials are for; `None` where they are looked at later.
    pub(super) endpoint: Option<EndpointName>,
    /// What the platform said.
    pub(super) admission: Option<Arc<Admission>>,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Associations {
    shard: u8,
    role: ServerRole,
    entries: HashMap<AssociationId, Entry>,
    /// Associations that were made a moment ago, the oldest first, and how many there may be.
    fresh: VecDeque<(Instant, AssociationId)>,
    max_fresh: usize,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    /// Where the device is; `None`: its handshake goes on.
    address: Option<PeerAddress>,
    has_connection_id: bool,
    /// Whether it has registered, or was bootstrapped.
    is_admitted: bool,
}

impl Associations {
    /// Nothing is known. At most so many associations are there.
    pub(super) fn new(shard: u8, role: ServerRole, associations: usize) -> Self {
        Self {
            shard,
            role,
            entries: HashMap::new(),
            fresh: VecDeque::new(),
            max_fresh: associations.div_ceil(FRESH_SHARE),
        }
    }

    /// A handshake goes on with a credential. The engine bounds how many do, and tells how each of them ends.
    pub(super) fn accept(&mut self, id: AssociationId, known: Known) {
        let entry = Entry {
            known,
            address: None,
            has_connection_id: false,
            is_admitted: false,
        };
        self.entries.insert(id, entry);
    }

    /// A handshake is complete. Returns what it makes too many: they are to be closed.
    pub(super) fn establish(
        &mut self,
        now: Instant,
        id: AssociationId,
        address: PeerAddress,
        has_connection_id: bool,
    ) -> Vec<AssociationId> {
        if let Some(entry) = self.entries.get_mut(&id) {
            (entry.address, entry.has_connection_id) = (Some(address), has_connection_id);
        }
        self.fresh.push_back((now + REGISTER_WITHIN, id));
        let mut over = Vec::new();
        while self.fresh.len() > self.max_fresh {
            over.extend(self.settle_oldest());
        }
        over
    }

    /// The device has another address.
    pub(super) fn move_to(&mut self, id: AssociationId, address: PeerAddress) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.address = Some(address);
        }
    }

    /// The device has registered, or is being bootstrapped.
    pub(super) fn admit(&mut self, id: AssociationId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.is_admitted = true;
            // It serves one Register: the credentials may change before the next.
            entry.known.admission = None;
        }
    }

    /// Forgets an association or handshake; whether it was an association, and then whether it had a connection id.
    pub(super) fn remove(&mut self, id: AssociationId) -> Option<bool> {
        let entry = self.entries.remove(&id)?;
        entry.address.map(|_| entry.has_connection_id)
    }

    /// The associations with this endpoint for which what the platform said in the handshake still serves.
    pub(super) fn by_old_answer(&self, endpoint: &EndpointName) -> Vec<AssociationId> {
        let fresh = self.fresh.iter().map(|(_, id)| *id);
        fresh
            .filter(|id| {
                let entry = self.entries.get(id);
                entry.is_some_and(|entry| entry.known.endpoint.as_ref() == Some(endpoint))
            })
            .collect()
    }

    /// Who sends on an association.
    pub(super) fn caller(&self, id: AssociationId) -> Option<Caller> {
        let entry = self.entries.get(&id)?;
        let known = &entry.known;
        Some(Caller {
            peer: Peer {
                id: self.peer_id(id, entry.address?),
                role: self.role,
                identity: known.identity.clone(),
            },
            endpoint: known.endpoint.clone(),
            admission: known.admission.clone(),
        })
    }

    /// An association as the other side of the server knows it.
    pub(super) const fn peer_id(&self, id: AssociationId, address: PeerAddress) -> PeerId {
        PeerId::Dtls(Association {
            shard: self.shard,
            number: id.number(),
            remote: address.remote,
            local: address.local,
        })
    }

    /// Forgets answers that are out of date. Returns the associations that have not registered in time: they are to be
    /// closed.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<AssociationId> {
        let mut over = Vec::new();
        while self.fresh.front().is_some_and(|(due, _)| *due <= now) {
            over.extend(self.settle_oldest());
        }
        over
    }

    /// When to call [`Self::expire`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.fresh.front().map(|(due, _)| *due)
    }

    /// From here on the platform is asked again. A device whose key or certificate says who it is may stay only if it
    /// has registered; one with a pre-shared key was known before it came.
    fn settle_oldest(&mut self) -> Option<AssociationId> {
        let (_, id) = self.fresh.pop_front()?;
        let entry = self.entries.get_mut(&id)?;
        entry.known.admission = None;
        let is_psk = matches!(entry.known.identity, PeerIdentity::PreSharedKey(_));
        (!is_psk && !entry.is_admitted).then_some(id)
    }
}

/// How long the platform's answer to a handshake serves the Register that follows, and how long a device with a key or
/// certificate of its own may take for it.
const REGISTER_WITHIN: Duration = Duration::from_secs(60);
/// Of how many associations one may be that has not registered yet.
const FRESH_SHARE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from a number"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn known(identity: PeerIdentity) -> Known {
        Known {
            identity,
            endpoint: None,
            admission: None,
        }
    }

    fn address() -> PeerAddress {
        PeerAddress {
            remote: ([192, 0, 2, 1], 5684).into(),
            local: None,
        }
    }

    #[test]
    fn s9_who_has_a_key_of_its_own_registers_within_a_minute_or_goes() {
        let begin = start();
        let mut table = Associations::new(0, ServerRole::Lwm2m, 100);
        let [psk, rpk, registered] = [1, 2, 3].map(AssociationId::from_number);
        let key = || PeerIdentity::RawPublicKey(vec![1].into());
        table.accept(psk, known(PeerIdentity::PreSharedKey("id".into())));
        table.accept(rpk, known(key()));
        table.accept(registered, known(key()));
        for id in [psk, rpk, registered] {
            assert!(table.caller(id).is_none(), "it has not proved anything yet");
            assert!(table.establish(begin, id, address(), true).is_empty());
            assert!(table.caller(id).is_some());
        }
        table.admit(registered);
        assert_eq!(table.due(), Some(begin + REGISTER_WITHIN));
        assert_eq!(table.expire(begin + REGISTER_WITHIN / 2), []);
        assert_eq!(table.expire(begin + REGISTER_WITHIN), [rpk]);
        assert_eq!(table.remove(rpk), Some(true));
        assert_eq!(table.expire(begin + 3 * REGISTER_WITHIN), []);
        assert!(table.caller(psk).is_some() && table.caller(registered).is_some());
    }

    #[test]
    fn a9_handshakes_that_fail_are_forgotten_and_others_are_not() {
        let begin = start();
        let mut table = Associations::new(0, ServerRole::Lwm2m, 100_000);
        let psk = || known(PeerIdentity::PreSharedKey("id".into()));
        let slow = AssociationId::from_number(10_000);
        table.accept(slow, psk());
        for number in 0..10_000 {
            let id = AssociationId::from_number(number);
            table.accept(id, psk());
            if number % 2 == 0 {
                assert!(table.establish(begin, id, address(), true).is_empty());
            } else {
                assert_eq!(table.remove(id), None, "it was no association yet");
            }
        }
        assert_eq!(table.entries.len(), 5_001);
        // However many others came in the meantime.
        table.expire(begin + 10 * REGISTER_WITHIN);
        table.establish(begin, slow, address(), true);
        assert!(table.caller(slow).is_some());
        assert_eq!(table.remove(slow), Some(true));
    }

    #[test]
    fn devices_that_have_not_registered_are_a_share_of_all() {
        let begin = start();
        let mut table = Associations::new(0, ServerRole::Lwm2m, 8);
        let mut closed = Vec::new();
        for number in 0..4 {
            let id = AssociationId::from_number(number);
            table.accept(id, known(PeerIdentity::RawPublicKey(vec![1].into())));
            closed.extend(table.establish(begin, id, address(), false));
        }
        assert_eq!(closed, [0, 1].map(AssociationId::from_number));
    }
}
