//! The server's side: one state machine for all devices of one socket (`dtls.md`).
//!
//! | file | what it holds |
//! |---|---|
//! | this one | calls, events, time |
//! | `demultiplex` | which handshake or association a record belongs to |
//! | `hello` | ClientHello: cookie, limits, a handshake begins |
//! | `negotiation` | what both sides agree on |
//! | `handshake` | one handshake |
//! | `credential` | questions for credentials and their answers |
//! | `association` | one association |
//! | `lifecycle` | from handshake to association to nothing; addresses and connection ids |
//! | `table`, `limits`, `queries`, `cookie`, `core` | what these are made of |
//!
//! Invariants: nothing is kept for an address before a good cookie came from it. Nothing that is not authentic changes or
//! ends an association. A record number is used once. What anybody can make grow is bounded.

mod association;
mod cookie;
mod core;
mod credential;
mod demultiplex;
mod handshake;
mod hello;
mod lifecycle;
mod limits;
mod negotiation;
mod queries;
mod table;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(super) use negotiation::RENEGOTIATION_SCSV;

use self::{
    cookie::Cookies,
    core::Core,
    limits::{Counts, RateLimit, SourceLimits},
    queries::{Denials, Queries},
    table::{State, Table},
};
use super::{
    alert::CLOSE_NOTIFY,
    cid::Cid,
    config::Config,
    credentials::{Credentials, TrustStore},
    event::{
        AssociationId, CloseReason, HandshakeFailure, Output, PeerAddress, PrincipalTag, SendError,
    },
    flight::Unanswered,
    random::{self, Random, Secret},
    record::ALERT,
    stats::{Stats, count},
};

/// All handshakes and associations of one socket.
///
/// After every input (`handle_*`, [`Self::send`], [`Self::close`], [`Self::invalidate`]) drain [`Self::poll_output`] to
/// `None`, then arm one timer for [`Self::poll_timeout`]. `now` never goes backwards.
#[derive(Debug)]
pub struct Server {
    core: Core,
    table: Table,
    /// Handshakes in progress.
    handshakes: HashMap<PeerAddress, AssociationId>,
    /// Associations; those with a connection id are found here by a handshake that replaces them.
    addresses: HashMap<PeerAddress, AssociationId>,
    /// Connection ids of handshakes and associations; `None`: of an association that ended a moment ago.
    cids: HashMap<Cid, Option<AssociationId>>,
    /// When connection ids may be used again, in order.
    tombstones: VecDeque<(Instant, Cid)>,
    cookies: Cookies,
    by_address: Counts<IpAddr>,
    by_network: Counts<u64>,
    hello_limits: SourceLimits,
    query_limits: SourceLimits,
    alert_limits: SourceLimits,
    alert_limit: RateLimit,
    queries: Queries,
    denials: Denials,
    /// Associations to be evicted, the stalest last.
    stale: Vec<AssociationId>,
    /// No association is stale before.
    none_stale_before: Option<Instant>,
}

impl Server {
    /// Nothing is in progress. `wall` is the time since 1970 at `now`: certificates have periods. The same `random` and
    /// inputs give the same outputs, but for key agreement and signatures.
    pub fn new(
        config: Arc<Config>,
        mut random: Box<dyn Random>,
        now: Instant,
        wall: Duration,
    ) -> Self {
        let drawn = Secret(random::array(&mut *random));
        let secret = config
            .cookie_secret
            .as_ref()
            .map_or(drawn, |secret| secret.0.clone());
        let mut limits = |per_second: u32, burst: u32| {
            let limit = RateLimit::new(per_second, burst);
            SourceLimits::new(limit, u64::from_be_bytes(random::array(&mut *random)))
        };
        let hellos = config.hello_verify_requests_per_second;
        let questions = config.credential_queries_per_second_per_address;
        let alerts = config.alerts_per_second_per_address;
        Self {
            table: Table::default(),
            handshakes: HashMap::new(),
            addresses: HashMap::new(),
            cids: HashMap::new(),
            tombstones: VecDeque::new(),
            cookies: Cookies::new(secret),
            by_address: Counts::new(),
            by_network: Counts::new(),
            hello_limits: limits(hellos, hellos),
            query_limits: limits(questions, questions.saturating_mul(4)),
            alert_limits: limits(alerts, alerts),
            alert_limit: RateLimit::new(config.alerts_per_second, config.alerts_per_second),
            queries: Queries::default(),
            denials: Denials::new(config.negative_cache_time, config.negative_cache_entries),
            stale: Vec::new(),
            none_stale_before: None,
            core: Core {
                config,
                credentials: None,
                trust: Arc::default(),
                random,
                stats: Stats::default(),
                outputs: VecDeque::new(),
                wall: (now, wall),
            },
        }
    }

    /// Replaces the keys and certificates that are shown, and those that are trusted; handshakes that begin from here on
    /// go by them. `None`: only PSK suites are spoken.
    pub fn set_credentials(
        &mut self,
        credentials: Option<Arc<Credentials>>,
        trust: Arc<TrustStore>,
    ) {
        self.core.credentials = credentials;
        self.core.trust = trust;
    }

    /// The wall clock was set: `wall` is the time since 1970 at `now`.
    pub const fn set_wall(&mut self, now: Instant, wall: Duration) {
        self.core.wall = (now, wall);
    }

    /// What the world must do, or should know.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.table.next_wake()
    }

    /// Does what is due: retransmits, gives up, forgets.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.table.next_due(now) {
            if let Some(association) = self.table.association(id) {
                if let association::Outcome::Over(reason) = association.handle_timeout(now) {
                    self.end_association(now, id, reason);
                }
            } else if let Some(handshake) = self.table.handshake(id) {
                let waits = matches!(handshake.awaits, handshake::Awaits::Credential { .. });
                if waits {
                    self.fail_handshake(now, id, HandshakeFailure::CredentialUnavailable);
                } else if handshake.deadline <= now {
                    let failure = if handshake.saw_forgery {
                        HandshakeFailure::BadFinished
                    } else {
                        HandshakeFailure::Timeout
                    };
                    self.fail_handshake(now, id, failure);
                } else {
                    let max = self.core.config.max_retransmissions;
                    match handshake.retransmission.handle_timeout(now, max) {
                        Unanswered::Nothing => {}
                        Unanswered::SendAgain => {
                            count(&mut self.core.stats.retransmissions);
                            handshake.transmit(&mut self.core);
                        }
                        Unanswered::GiveUp => {
                            self.fail_handshake(now, id, HandshakeFailure::Timeout)
                        }
                    }
                }
            }
            self.rearm(id);
        }
    }

    /// Sends application data in one record, at once.
    ///
    /// # Errors
    /// The association is closed, or the data may not be sent; see [`SendError`]. An association whose record numbers are
    /// used up is closed by this.
    pub fn send(
        &mut self,
        now: Instant,
        association: AssociationId,
        payload: &[u8],
    ) -> Result<(), SendError> {
        let sent = match self.table.association(association) {
            Some(known) if known.invalid_until.is_none() => known.send(payload, &mut self.core),
            Some(_) | None => return Err(SendError::Closed),
        };
        if sent == Err(SendError::Closed) {
            self.end_association(now, association, Some(CloseReason::Exhausted));
        }
        sent
    }

    /// Ends an association and tells the peer. [`Output::Closed`] follows, unless it was over already.
    pub fn close(&mut self, now: Instant, association: AssociationId) {
        if let Some(known) = self
            .table
            .association(association)
            .filter(|known| known.invalid_until.is_none())
        {
            known.seal(ALERT, &CLOSE_NOTIFY, &mut self.core);
            self.end_association(now, association, Some(CloseReason::Local));
        }
    }

    /// The credential that this is the handle of was changed or withdrawn: ends its associations and handshakes; how many
    /// there were. The peers are told, and again when they send something: a device that sleeps would not know otherwise.
    /// Looks at all associations.
    pub fn invalidate(&mut self, now: Instant, tag: PrincipalTag) -> usize {
        let concerned: Vec<_> = self
            .table
            .all()
            .filter(|(_, state)| match state {
                State::Association(known) => known.tag == tag && known.invalid_until.is_none(),
                State::Handshake(handshake) => handshake.tag == Some(tag),
                State::Free => false,
            })
            .map(|(id, _)| id)
            .collect();
        for &id in &concerned {
            if self.table.association(id).is_some() {
                self.invalidate_association(now, id);
            } else {
                self.fail_handshake(now, id, HandshakeFailure::Invalidated);
            }
        }
        concerned.len()
    }

    /// As [`Self::invalidate`], for one association.
    pub fn invalidate_association(&mut self, now: Instant, id: AssociationId) {
        let Some(association) = self.table.association(id) else {
            return;
        };
        if association.invalid_until.is_some() {
            return;
        }
        association.invalidate(now, &mut self.core);
        self.core.outputs.push_back(Output::Closed {
            association: id,
            reason: CloseReason::Invalidated,
        });
        count(&mut self.core.stats.associations_closed);
        self.rearm(id);
    }

    /// Associations, those included whose credential was withdrawn and whose peer does not know yet.
    pub const fn associations(&self) -> usize {
        self.table.associations()
    }

    /// Handshakes in progress.
    pub const fn handshakes(&self) -> usize {
        self.table.handshakes()
    }

    /// Credentials asked for and not answered.
    pub const fn open_queries(&self) -> usize {
        self.queries.open
    }

    /// What has been counted.
    pub const fn stats(&self) -> Stats {
        self.core.stats
    }

    /// Pretends that so many records were written.
    #[cfg(test)]
    pub(super) fn set_written(&mut self, id: AssociationId, records: u64) {
        self.table
            .association(id)
            .expect("an association")
            .channel
            .set_written(records);
    }

    /// Pretends that so many forged records came.
    #[cfg(test)]
    pub(super) fn set_forged(&mut self, id: AssociationId, records: u32) {
        self.table
            .association(id)
            .expect("an association")
            .set_forged(records);
    }

    #[cfg(test)]
    pub(super) fn all_associations(&self) -> Vec<AssociationId> {
        let is_association = |state: &State| matches!(state, State::Association(_));
        self.table
            .all()
            .filter(|(_, state)| is_association(state))
            .map(|(id, _)| id)
            .collect()
    }

    #[cfg(test)]
    pub(super) fn addresses_known(&self) -> usize {
        self.addresses.len()
    }

    #[cfg(test)]
    pub(super) fn cids_known(&self) -> usize {
        self.cids.len()
    }

    /// Whether no table has anything of a handshake.
    #[cfg(test)]
    pub(super) fn is_without_traces_of_handshakes(&self) -> bool {
        self.handshakes.is_empty()
            && self.by_address.is_empty()
            && self.by_network.is_empty()
            && self.cids.len() <= self.table.associations() + self.tombstones.len()
    }

    /// Sets the timer of a handshake or association as it wants it.
    fn rearm(&mut self, id: AssociationId) {
        let wake = if let Some(handshake) = self.table.handshake(id) {
            handshake.wake(&self.core)
        } else if let Some(association) = self.table.association(id) {
            association.wake()
        } else {
            return;
        };
        self.table.wake_at(id, wake);
    }
}
