//! Plain counters of the Kafka side and their snapshot.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// An activity report or a heartbeat.
    Activity,
    /// Client attributes.
    Attributes,
    /// A question to the core.
    Question,
    /// A status or result of a command, or the wish for waiting ones.
    Rpc,
    /// The begin or end of a session.
    Session,
    /// The wish for shared attributes.
    SharedAttributes,
    /// Time series.
    Telemetry,
    /// What tenants used.
    Usage,
}

impl RecordKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Activity,
        Self::Attributes,
        Self::Question,
        Self::Rpc,
        Self::Session,
        Self::SharedAttributes,
        Self::Telemetry,
        Self::Usage,
    ];
}

/// Why a record did not reach its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureReason {
    /// The broker forbids it.
    NotAuthorised,
    /// Anything else.
    Other,
    /// The producer has no room.
    QueueFull,
    /// The broker was away for too long.
    TimedOut,
    /// Larger than the broker or the settings allow.
    TooLarge,
    /// There is no such topic.
    TopicMissing,
}

impl FailureReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::NotAuthorised,
        Self::Other,
        Self::QueueFull,
        Self::TimedOut,
        Self::TooLarge,
        Self::TopicMissing,
    ];
}

/// The state of the Kafka side; counters run from the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Records by what they carry.
    pub records: BTreeMap<RecordKind, RecordCounts>,
    /// Failed records by reason.
    pub failures: BTreeMap<FailureReason, u64>,
    /// Questions asked.
    pub questions: u64,
    /// Questions that the core answered.
    pub answered: u64,
    /// Questions that it did not answer in time.
    pub timed_out: u64,
    /// Questions refused because too many were open.
    pub refused_questions: u64,
    /// Answers that came late, twice, or to another process.
    pub late_answers: u64,
    /// Notifications received.
    pub notifications: u64,
    /// Notifications for a session that no endpoint holds.
    pub unknown_sessions: u64,
    /// Notifications that found a full mailbox.
    pub full_mailboxes: u64,
    /// Notifications that could not be read.
    pub unreadable_notifications: u64,
    /// Answers that could not be read or used.
    pub unreadable_answers: u64,
    /// Uplinks that the tenant's state forbids.
    pub forbidden: u64,
    /// Uplinks beyond the limits of the tenant or its device.
    pub limited: u64,
    /// Times that the producer was rebuilt.
    pub producer_rebuilds: u64,
    /// Whether no broker can be reached.
    pub broker_away: bool,
    /// Whether the last question that ended was not answered in time.
    pub core_silent: bool,
    /// Open questions.
    pub open_questions: usize,
    /// Sessions that are open.
    pub sessions: usize,
    /// Uplinks that wait for a profile or a tenant.
    pub waiting: usize,
    /// Records in the producer.
    pub queued: usize,
    /// Whether this instance is registered in ZooKeeper; nothing where it is not meant to be.
    pub registered: Option<bool>,
}

/// Records of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Handed to the producer.
    pub sent: u64,
    /// Confirmed by the broker.
    pub delivered: u64,
    /// Failed, before or after the producer took them.
    pub failed: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Stats {
    sent: [Counter; RecordKind::ALL.len()],
    delivered: [Counter; RecordKind::ALL.len()],
    failed: [Counter; RecordKind::ALL.len()],
    failures: [Counter; FailureReason::ALL.len()],
    pub(super) questions: Counter,
    pub(super) answered: Counter,
    pub(super) timed_out: Counter,
    pub(super) refused_questions: Counter,
    pub(super) late_answers: Counter,
    pub(super) notifications: Counter,
    pub(super) unknown_sessions: Counter,
    pub(super) full_mailboxes: Counter,
    pub(super) unreadable_notifications: Counter,
    pub(super) unreadable_answers: Counter,
    pub(super) forbidden: Counter,
    pub(super) limited: Counter,
    pub(super) producer_rebuilds: Counter,
    pub(super) broker_away: AtomicBool,
    pub(super) core_silent: AtomicBool,
}

impl Stats {
    pub(super) fn sent(&self, kind: RecordKind) {
        self.sent[kind as usize].add();
    }

    pub(super) fn delivered(&self, kind: RecordKind) {
        self.delivered[kind as usize].add();
    }

    pub(super) fn failed(&self, kind: RecordKind, reason: FailureReason) {
        self.failed[kind as usize].add();
        self.failures[reason as usize].add();
    }

    /// Failed records by reason.
    pub(super) fn failures(&self) -> BTreeMap<FailureReason, u64> {
        FailureReason::ALL
            .into_iter()
            .map(|reason| (reason, self.failures[reason as usize].get()))
            .collect()
    }

    /// A snapshot; what the counters do not know is left 0.
    pub(super) fn health(&self) -> Health {
        let counts = |kind: RecordKind| RecordCounts {
            sent: self.sent[kind as usize].get(),
            delivered: self.delivered[kind as usize].get(),
            failed: self.failed[kind as usize].get(),
        };
        Health {
            records: RecordKind::ALL
                .into_iter()
                .map(|kind| (kind, counts(kind)))
                .collect(),
            failures: self.failures(),
            questions: self.questions.get(),
            answered: self.answered.get(),
            timed_out: self.timed_out.get(),
            refused_questions: self.refused_questions.get(),
            late_answers: self.late_answers.get(),
            notifications: self.notifications.get(),
            unknown_sessions: self.unknown_sessions.get(),
            full_mailboxes: self.full_mailboxes.get(),
            unreadable_notifications: self.unreadable_notifications.get(),
            unreadable_answers: self.unreadable_answers.get(),
            forbidden: self.forbidden.get(),
            limited: self.limited.get(),
            producer_rebuilds: self.producer_rebuilds.get(),
            broker_away: self.broker_away.load(Relaxed),
            core_silent: self.core_silent.load(Relaxed),
            ..Health::default()
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_counts_by_kind_and_by_reason() {
        let stats = Stats::default();
        stats.sent(RecordKind::Telemetry);
        stats.failed(RecordKind::Telemetry, FailureReason::TooLarge);
        stats.delivered(RecordKind::Rpc);
        let health = stats.health();
        assert_eq!(
            health.records[&RecordKind::Telemetry],
            RecordCounts {
                sent: 1,
                delivered: 0,
                failed: 1
            }
        );
        assert_eq!(health.records[&RecordKind::Rpc].delivered, 1);
        assert_eq!(health.failures[&FailureReason::TooLarge], 1);
        assert_eq!(health.failures.values().sum::<u64>(), 1);
    }

    #[test]
    fn the_lists_name_every_variant_in_order() {
        assert!(RecordKind::ALL.is_sorted() && FailureReason::ALL.is_sorted());
        assert_eq!(RecordKind::Usage as usize, RecordKind::ALL.len() - 1);
        assert_eq!(
            FailureReason::TopicMissing as usize,
            FailureReason::ALL.len() - 1
        );
    }
}
