//! Questions for credentials: how many are open, which wait to be asked, and what was refused a moment ago.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};

use crate::dtls::event::{AssociationId, CredentialQuery, DenyReason};

/// What was refused, for a while.
#[derive(Debug)]
pub(super) struct Denials {
    time: Duration,
    entries: usize,
    reasons: HashMap<Key, (Instant, DenyReason)>,
    /// In the order of their end; what was refused again is in it twice.
    order: VecDeque<(Instant, Key)>,
}

/// A digest of what was asked.
type Key = [u8; 16];

impl Denials {
    pub(super) fn new(time: Duration, entries: usize) -> Self {
        Self {
            time,
            entries,
            reasons: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn insert(&mut self, now: Instant, query: &CredentialQuery, reason: DenyReason) {
        let Some(until) = now.checked_add(self.time) else {
            return;
        };
        let key = key(query);
        self.expire(now, self.entries.saturating_sub(1));
        self.reasons.insert(key, (until, reason));
        self.order.push_back((until, key));
    }

    pub(super) fn reason(&mut self, now: Instant, query: &CredentialQuery) -> Option<DenyReason> {
        self.expire(now, self.entries);
        self.reasons.get(&key(query)).map(|(_, reason)| *reason)
    }

    fn expire(&mut self, now: Instant, entries: usize) {
        while let Some((until, key)) = self.order.front()
            && (*until <= now || self.order.len() > entries)
        {
            if self
                .reasons
                .get(key)
                .is_some_and(|(later, _)| later == until)
            {
                self.reasons.remove(key);
            }
            self.order.pop_front();
        }
    }
}

fn key(query: &CredentialQuery) -> Key {
    let (kind, bytes) = match query {
        CredentialQuery::PreSharedKey { identity } => (0, identity.as_bytes()),
        CredentialQuery::RawPublicKey { spki } => (1, &**spki),
        CredentialQuery::Certificate(certificate) => (2, &*certificate.der),
    };
    let digest = digest(&SHA256, &[&[kind], bytes].concat());
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Questions that are open or wait.
#[derive(Debug, Default)]
pub(super) struct Queries {
    /// Asked and not answered, of handshakes that still wait.
    pub(super) open: usize,
    /// To be asked, the oldest first; those whose handshake is gone included.
    pub(super) waiting: VecDeque<AssociationId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::test_support::start;

    fn query(number: u32) -> CredentialQuery {
        CredentialQuery::PreSharedKey {
            identity: number.to_string().into(),
        }
    }

    #[test]
    fn a16_denials_are_remembered_for_a_while_and_in_bounds() {
        let begin = start();
        let second = |number| begin + Duration::from_secs(number);
        let mut denials = Denials::new(Duration::from_secs(10), 100);
        denials.insert(begin, &query(0), DenyReason::UnknownIdentity);
        denials.insert(second(5), &query(0), DenyReason::AccessDenied);
        assert_eq!(
            denials.reason(second(9), &query(0)),
            Some(DenyReason::AccessDenied)
        );
        assert_eq!(
            denials.reason(second(14), &query(0)),
            Some(DenyReason::AccessDenied)
        );
        assert_eq!(denials.reason(second(15), &query(0)), None);
        let spki = CredentialQuery::RawPublicKey {
            spki: b"7".to_vec().into(),
        };
        denials.insert(second(20), &query(7), DenyReason::UnknownIdentity);
        assert_eq!(denials.reason(second(20), &spki), None);
        for number in 0..1000 {
            denials.insert(second(20), &query(number), DenyReason::UnknownIdentity);
        }
        assert!(denials.reasons.len() <= 100 && denials.order.len() <= 100);
        assert_eq!(
            denials.reason(second(20), &query(999)),
            Some(DenyReason::UnknownIdentity)
        );
        assert_eq!(denials.reason(second(30), &query(999)), None);
        assert!(denials.reasons.is_empty() && denials.order.is_empty());
    }
}
