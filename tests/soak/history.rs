//! What happened to every command and every reading, held against what may happen (`rulings` 2.7, 2.9 to 2.11, `rpc.md` 11,
//! delivery promise).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
};

use lightship::{
    endpoint::EndpointStats,
    platform::{
        RpcRequest, SessionId,
        time::UnixMillis,
        uplink::{RpcBody, RpcId, RpcStatus},
    },
};
use uuid::Uuid;

/// How one delivery of a command to an endpoint ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Refused,
    TimedOut,
    Expired,
    Overflowed,
    Cancelled,
    LeftWithCore,
    Duplicate,
}

/// How many ended in each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) counts: [u64; 8],
}

/// A command, and what the core thinks of it.
pub(crate) struct Rpc {
    pub(crate) device: usize,
    pub(crate) request: RpcRequest,
    /// By endpoint.
    numbers: BTreeMap<u64, i32>,
    pub(crate) state: CoreState,
    deliveries: Vec<Delivery>,
    sent: u32,
    executed: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CoreState {
    Queued,
    Sent,
    Final,
}

struct Delivery {
    endpoint: u64,
    session: SessionId,
    is_sent: bool,
    is_delivered: bool,
    end: Option<End>,
}

/// What must not happen.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) rpc: Option<usize>,
    pub(crate) what: String,
}

pub(crate) type Checked = Result<(), Violation>;

/// Readings of one resource of one device; they only grow.
#[derive(Default)]
pub(crate) struct Readings {
    newest_reported: u64,
    stored: BTreeSet<u64>,
}

#[derive(Default)]
pub(crate) struct History {
    pub(crate) rpcs: Vec<Rpc>,
    /// The last number that the core gave.
    numbered: i32,
    /// Commands without end, by endpoint.
    open: BTreeMap<u64, Vec<usize>>,
    /// Commands that an endpoint sent and that did not time out, newest last.
    sent: BTreeMap<u64, VecDeque<usize>>,
    /// How many were left with the core during this input.
    left: u64,
    pub(crate) ends: Ends,
}

impl Readings {
    /// Notes a reading that goes to the platform; those of notifications in their order.
    pub(crate) fn reported(&mut self, reading: u64) -> Checked {
        if reading < self.newest_reported {
            let newest = self.newest_reported;
            return violation(
                None,
                format!("reading {reading} is published after {newest}"),
            );
        }
        self.newest_reported = reading;
        Ok(())
    }

    pub(crate) fn stored(&mut self, reading: u64) {
        self.stored.insert(reading);
    }

    /// Notes that the device sees a reading acknowledged. One that a newer overtook is of no use to anybody.
    pub(crate) fn acknowledged(&self, reading: u64) -> Checked {
        if self.stored.contains(&reading) || reading < self.newest_reported {
            return Ok(());
        }
        violation(
            None,
            format!("reading {reading} is acknowledged and was never stored"),
        )
    }

    pub(crate) fn count(&self) -> u64 {
        self.stored.len() as u64
    }
}

impl History {
    /// A new command.
    pub(crate) fn add(&mut self, device: usize, make: impl FnOnce(RpcId) -> RpcRequest) -> usize {
        let number = self.rpcs.len();
        let id = RpcId {
            request: number as i32,
            uuid: Uuid::from_u128(number as u128),
        };
        self.rpcs.push(Rpc {
            device,
            request: make(id),
            numbers: BTreeMap::new(),
            state: CoreState::Queued,
            deliveries: Vec::new(),
            sent: 0,
            executed: 0,
        });
        number
    }

    /// The number under which a command comes to an endpoint: the core sends them in the order of their numbers, what is
    /// pending before all others.
    pub(crate) fn number(&mut self, rpc: usize, endpoint: u64) -> i32 {
        let next = self.numbered + 1;
        let numbers = &mut self.rpcs[rpc].numbers;
        let number = *numbers.entry(endpoint).or_insert(next);
        self.numbered = self.numbered.max(number);
        number
    }

    /// A command comes to an endpoint.
    pub(crate) fn delivered(&mut self, rpc: usize, endpoint: u64, session: SessionId) {
        self.rpcs[rpc].deliveries.push(Delivery {
            endpoint,
            session,
            is_sent: false,
            is_delivered: false,
            end: None,
        });
        self.open.entry(endpoint).or_default().push(rpc);
    }

    pub(crate) fn status(&mut self, endpoint: u64, id: RpcId, status: RpcStatus) -> Checked {
        let rpc = id.uuid.as_u128() as usize;
        let delivery = self.delivery(endpoint, rpc, || format!("{status:?}"))?;
        match status {
            RpcStatus::Sent if delivery.is_sent => violation(Some(rpc), "sent twice"),
            RpcStatus::Sent => {
                delivery.is_sent = true;
                let own = &mut self.rpcs[rpc];
                own.sent += 1;
                own.state = CoreState::Sent;
                self.sent.entry(endpoint).or_default().push_back(rpc);
                Ok(())
            }
            RpcStatus::Delivered if delivery.is_delivered => {
                violation(Some(rpc), "delivered twice")
            }
            RpcStatus::Delivered => {
                delivery.is_delivered = true;
                Ok(())
            }
            RpcStatus::Timeout if !delivery.is_sent || delivery.is_delivered => {
                violation(Some(rpc), "timed out unsent or after its answer")
            }
            RpcStatus::Timeout => {
                let own = &mut self.rpcs[rpc];
                own.state = if own.request.persisted {
                    CoreState::Queued
                } else {
                    CoreState::Final
                };
                if let Some(sent) = self.sent.get_mut(&endpoint) {
                    sent.retain(|other| *other != rpc);
                }
                self.end(endpoint, rpc, End::TimedOut)
            }
        }
    }

    pub(crate) fn replied(&mut self, endpoint: u64, id: RpcId, body: &RpcBody) -> Checked {
        let rpc = id.uuid.as_u128() as usize;
        let delivery = self.delivery(endpoint, rpc, || format!("reply {body:?}"))?;
        let end = match body {
            RpcBody::Payload(_) => End::Answered,
            RpcBody::Error(text) if text.ends_with(r#" cancelled"}"#) => End::Cancelled,
            RpcBody::Error(text) if text.contains("Downlink queue is full") => End::Overflowed,
            RpcBody::Error(_) => End::Refused,
        };
        if end == End::Answered && !delivery.is_delivered {
            return violation(Some(rpc), "answered, and never said to be delivered");
        }
        if end == End::Overflowed && delivery.is_sent {
            return violation(Some(rpc), "overflowed after it was sent");
        }
        self.rpcs[rpc].state = CoreState::Final;
        self.end(endpoint, rpc, end)
    }

    /// A session ends: what was sent has been answered by then, and only persistent commands stay with the core.
    pub(crate) fn session_closed(&mut self, endpoint: u64, session: SessionId) -> Checked {
        for rpc in self.open.get(&endpoint).cloned().unwrap_or_default() {
            let own = &self.rpcs[rpc];
            let mut open = own.deliveries.iter().filter(|own| own.end.is_none());
            let Some(delivery) = open.find(|own| own.session == session) else {
                continue;
            };
            if delivery.is_sent || !own.request.persisted {
                return violation(Some(rpc), "has no end, and its session is closed");
            }
            self.left += 1;
            self.end(endpoint, rpc, End::LeftWithCore)?;
        }
        Ok(())
    }

    /// Holds what an endpoint counted during one input against what was seen of it. `delivered` is the command that was
    /// the input.
    pub(crate) fn account(
        &mut self,
        now: UnixMillis,
        endpoint: u64,
        counted: &EndpointStats,
        delivered: Option<usize>,
    ) -> Checked {
        if let Some(rpc) = delivered {
            self.account_delivery(endpoint, counted, rpc)?;
        }
        let left = std::mem::take(&mut self.left);
        if left != counted.postponed_rpc {
            let counted = counted.postponed_rpc;
            return violation(
                delivered,
                format!("{left} left with core, {counted} counted"),
            );
        }
        let mut expired = 0;
        for rpc in self.open.get(&endpoint).cloned().unwrap_or_default() {
            let own = &self.rpcs[rpc];
            let expires = own.request.expires;
            let mut open = own.deliveries.iter().filter(|own| own.end.is_none());
            if expires != UnixMillis(0) && expires <= now && open.any(|own| !own.is_sent) {
                expired += 1;
                self.rpcs[rpc].state = CoreState::Final;
                self.end(endpoint, rpc, End::Expired)?;
            }
        }
        if expired != counted.expired_rpc {
            let counted = counted.expired_rpc;
            return violation(delivered, format!("{expired} expired, {counted} counted"));
        }
        Ok(())
    }

    fn account_delivery(&mut self, endpoint: u64, counted: &EndpointStats, rpc: usize) -> Checked {
        let own = &self.rpcs[rpc];
        let last = own.deliveries.len() - 1;
        if counted.duplicate_rpc == 1 {
            let mut before = own.deliveries[..last].iter();
            let is_known = before.any(|own| own.endpoint == endpoint && own.end.is_none())
                || self
                    .sent
                    .get(&endpoint)
                    .is_some_and(|sent| sent.contains(&rpc));
            if !is_known {
                return violation(Some(rpc), "is no duplicate");
            }
            return self.end_delivery(endpoint, rpc, last, End::Duplicate);
        }
        let open = own.deliveries.iter().filter(|own| own.end.is_none());
        if open.count() > 1 {
            return violation(Some(rpc), "accepted twice");
        }
        // Its own sending may be the last one by now.
        let is_sent = usize::from(own.deliveries[last].is_sent);
        let sent = self.sent.get(&endpoint).into_iter().flatten();
        let mut before = sent.rev().skip(is_sent).take(REMEMBERED);
        if before.any(|own| *own == rpc) {
            return violation(Some(rpc), "accepted again though it was sent");
        }
        if own.deliveries[last].end.is_some() {
            return Ok(());
        }
        if counted.postponed_rpc > self.left {
            if !own.request.persisted {
                return violation(Some(rpc), "left with a core that does not keep it");
            }
            self.left += 1;
            return self.end_delivery(endpoint, rpc, last, End::LeftWithCore);
        }
        if counted.cancelled_rpc == 1 && !own.deliveries[last].is_sent {
            self.rpcs[rpc].state = CoreState::Final;
            return self.end_delivery(endpoint, rpc, last, End::Cancelled);
        }
        Ok(())
    }

    /// The command that an endpoint holds unsent and whose time passes first.
    pub(crate) fn next_expiration(&self, endpoint: u64) -> Option<(usize, UnixMillis)> {
        let open = self
            .open
            .get(&endpoint)?
            .iter()
            .map(|rpc| (*rpc, &self.rpcs[*rpc]));
        let unsent = open.filter(|(_, own)| {
            let mut open = own.deliveries.iter().filter(|own| own.end.is_none());
            own.request.expires != UnixMillis(0) && open.any(|own| !own.is_sent)
        });
        unsent
            .map(|(rpc, own)| (rpc, own.request.expires))
            .min_by_key(|(_, expires)| *expires)
    }

    /// An endpoint is gone.
    pub(crate) fn gone(&mut self, endpoint: u64) -> Checked {
        self.sent.remove(&endpoint);
        match self
            .open
            .remove(&endpoint)
            .and_then(|open| open.first().copied())
        {
            Some(rpc) => violation(Some(rpc), "has no end, and its endpoint is gone"),
            None => Ok(()),
        }
    }

    /// A device carries an Execute out, the one that is meant or another.
    pub(crate) fn executed(&mut self, rpc: usize, is_meant: bool) -> Checked {
        let own = &mut self.rpcs[rpc];
        own.executed += 1;
        if is_meant && own.executed > own.sent {
            return violation(Some(rpc), "executed more often than sent");
        }
        Ok(())
    }

    /// The end of everything.
    pub(crate) fn finish(&self) -> Checked {
        if let Some((rpc, own)) = self
            .rpcs
            .iter()
            .enumerate()
            .find(|(_, own)| own.deliveries.iter().any(|own| own.end.is_none()))
        {
            let method = &own.request.method;
            return violation(Some(rpc), format!("{method} has no end"));
        }
        for (rpc, own) in self.rpcs.iter().enumerate() {
            // A command that the broker delivers twice and that never reaches the device may be answered twice.
            let sent = own.deliveries.iter().filter(|own| own.is_sent);
            let ends = sent.filter_map(|own| own.end);
            let last: Vec<_> = ends
                .filter(|end| end.is_final(own.request.persisted))
                .collect();
            if last.len() > 1 {
                return violation(Some(rpc), format!("ends more than once: {last:?}"));
            }
            let executes = own.request.method == "Execute" && last == [End::Answered];
            if executes && own.executed == 0 {
                return violation(Some(rpc), "was answered and not carried out");
            }
        }
        Ok(())
    }

    fn delivery(
        &mut self,
        endpoint: u64,
        rpc: usize,
        what: impl FnOnce() -> String,
    ) -> Result<&mut Delivery, Violation> {
        let Some(own) = self.rpcs.get_mut(rpc) else {
            return Err(Violation {
                rpc: None,
                what: format!("{} for a command that nobody gave", what()),
            });
        };
        let mut deliveries = own.deliveries.iter_mut();
        let found = deliveries.find(|own| own.endpoint == endpoint && own.end.is_none());
        found.ok_or_else(|| Violation {
            rpc: Some(rpc),
            what: format!("{} after its end", what()),
        })
    }

    fn end(&mut self, endpoint: u64, rpc: usize, end: End) -> Checked {
        let mut deliveries = self.rpcs[rpc].deliveries.iter();
        match deliveries.position(|own| own.endpoint == endpoint && own.end.is_none()) {
            Some(index) => self.end_delivery(endpoint, rpc, index, end),
            None => violation(Some(rpc), "ended twice"),
        }
    }

    fn end_delivery(&mut self, endpoint: u64, rpc: usize, index: usize, end: End) -> Checked {
        let ended = &mut self.rpcs[rpc].deliveries[index].end;
        assert_eq!(*ended, None);
        *ended = Some(end);
        self.ends.counts[end as usize] += 1;
        if let Some(open) = self.open.get_mut(&endpoint)
            && let Some(index) = open.iter().position(|own| *own == rpc)
        {
            open.remove(index);
        }
        Ok(())
    }
}

impl End {
    /// Whether a command ends with this for good; the core may give a persistent one again after the others.
    fn is_final(self, persisted: bool) -> bool {
        match self {
            Self::Answered | Self::Refused | Self::Expired | Self::Overflowed | Self::Cancelled => {
                true
            }
            Self::TimedOut => !persisted,
            Self::LeftWithCore | Self::Duplicate => false,
        }
    }
}

impl Ends {
    pub(crate) fn add(&mut self, other: &Self) {
        for (own, other) in self.counts.iter_mut().zip(other.counts) {
            *own += other;
        }
    }

    /// As endpoints count them.
    pub(crate) fn of(stats: &EndpointStats) -> Self {
        Self {
            counts: [
                stats.answered_rpc,
                stats.failed_rpc,
                stats.timed_out_rpc,
                stats.expired_rpc,
                stats.overflowed_rpc,
                stats.cancelled_rpc,
                stats.postponed_rpc,
                stats.duplicate_rpc,
            ],
        }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "answered",
            "answered with an error",
            "timed out",
            "expired",
            "overflowed",
            "cancelled",
            "left with core",
            "duplicates",
        ];
        let counts = names.iter().zip(self.counts);
        let all: Vec<_> = counts
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        f.write_str(&all.join(", "))
    }
}

pub(crate) fn violation(rpc: Option<usize>, what: impl Into<String>) -> Checked {
    let what = what.into();
    Err(Violation { rpc, what })
}

/// Ids of sent commands that an endpoint remembers.
const REMEMBERED: usize = 32;
