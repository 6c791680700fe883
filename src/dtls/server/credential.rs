//! Questions for credentials and their answers (`dtls.md` section 7): the handshake waits, nothing else does.

use std::time::Instant;

use super::{
    Server,
    handshake::{Awaits, Handshake},
    limits::address,
};
use crate::dtls::{
    event::{
        AssociationId, CredentialAnswer, CredentialQuery, DenyReason, HandshakeFailure, Output,
        PrincipalTag,
    },
    keys::PreSharedKey,
    random,
    stats::count,
};

impl Server {
    /// The answer to [`Output::NeedCredential`]. It may come at any time; one that comes too late, or a second one, is
    /// ignored.
    pub fn handle_credential(
        &mut self,
        now: Instant,
        association: AssociationId,
        answer: CredentialAnswer,
    ) {
        let id = association;
        let Some(handshake) = self.table.handshake(id).filter(|own| own.is_asked()) else {
            return;
        };
        let is_psk = handshake.is_psk();
        match answer {
            CredentialAnswer::PreSharedKey { key, tag } if is_psk => {
                self.accept(now, id, Some(&key), tag)
            }
            CredentialAnswer::Accept { tag } if !is_psk => self.accept(now, id, None, tag),
            CredentialAnswer::Deny(reason) => {
                if let Some(query) = &handshake.query {
                    self.denials.insert(now, query, reason);
                }
                self.deny(now, id, reason, HandshakeFailure::Denied(reason));
            }
            // An answer to another question is none.
            CredentialAnswer::Unavailable
            | CredentialAnswer::PreSharedKey { .. }
            | CredentialAnswer::Accept { .. } => {
                self.fail_handshake(now, id, HandshakeFailure::CredentialUnavailable);
            }
        }
    }

    /// A handshake has a question.
    pub(super) fn need_credential(&mut self, now: Instant, id: AssociationId) {
        let Some(handshake) = self.table.handshake(id) else {
            return;
        };
        let peer = handshake.peer;
        if let Some(query) = &handshake.query
            && let Some(reason) = self.denials.reason(now, query)
        {
            count(&mut self.core.stats.denials_remembered);
            return self.deny(now, id, reason, HandshakeFailure::DeniedAgain);
        }
        if !self.query_limits.admit(now, address(peer.remote.ip())) {
            count(&mut self.core.stats.credential_queries_limited);
            return self.fail_handshake(now, id, HandshakeFailure::TooManyQueries);
        }
        self.rearm(id);
        self.queries.waiting.push_back(id);
        self.ask_waiting(now);
    }

    /// Asks the questions that wait, while there may be more.
    pub(super) fn ask_waiting(&mut self, now: Instant) {
        while self.queries.open < self.core.config.max_credential_queries
            && let Some(id) = self.queries.waiting.pop_front()
        {
            let Some(handshake) = self.table.handshake(id) else {
                continue;
            };
            let (Awaits::Credential { since, .. }, Some(query)) =
                (handshake.awaits, &handshake.query)
            else {
                continue;
            };
            let (peer, query) = (handshake.peer, query.clone());
            handshake.awaits = Awaits::Credential {
                since,
                asked: Some(now),
            };
            self.queries.open = self.queries.open.saturating_add(1);
            count(&mut self.core.stats.credential_queries);
            self.core.outputs.push_back(Output::NeedCredential {
                association: id,
                peer,
                query,
            });
            self.rearm(id);
        }
        // Handshakes that are gone must not fill the queue.
        if self.queries.waiting.len() > self.core.config.max_handshakes {
            let table = &mut self.table;
            self.queries
                .waiting
                .retain(|&id| table.handshake(id).is_some());
        }
    }

    fn accept(
        &mut self,
        now: Instant,
        id: AssociationId,
        key: Option<&PreSharedKey>,
        tag: PrincipalTag,
    ) {
        self.queries.open = self.queries.open.saturating_sub(1);
        if let Some(handshake) = self.table.handshake(id) {
            handshake.accept(now, key, tag);
        }
        self.rearm(id);
        self.release_held(now, id);
        self.ask_waiting(now);
    }

    fn deny(
        &mut self,
        now: Instant,
        id: AssociationId,
        reason: DenyReason,
        failure: HandshakeFailure,
    ) {
        let is_hidden =
            self.core.config.hide_unknown_identity && reason == DenyReason::UnknownIdentity;
        if is_hidden && self.table.handshake(id).is_some_and(|own| own.is_psk()) {
            let key: [u8; 16] = random::array(&mut *self.core.random);
            if let Some(key) = PreSharedKey::new(&key)
                && let Some(handshake) = self.table.handshake(id)
            {
                let was_asked = handshake.is_asked();
                // Nobody can make a Finished with this key, so the tag means nothing.
                handshake.accept(now, Some(&key), PrincipalTag(u64::MAX));
                self.queries.open = self.queries.open.saturating_sub(usize::from(was_asked));
                self.rearm(id);
                self.release_held(now, id);
                return self.ask_waiting(now);
            }
        }
        self.refuse_handshake(now, id, reason.alert(), failure);
    }
}

impl Handshake {
    const fn is_psk(&self) -> bool {
        matches!(self.query, Some(CredentialQuery::PreSharedKey { .. }))
    }

    /// Whether its question was asked and is not answered.
    pub(super) const fn is_asked(&self) -> bool {
        matches!(self.awaits, Awaits::Credential { asked: Some(_), .. })
    }
}
