//! The counters of the Kafka side as metrics: it knows nothing of them, and the server nothing of it.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;

use crate::{
    platform::thingsboard::{self, FailureReason, Health},
    server::{
        http,
        metrics::{CoreDrop, Metrics, RecordFailure, RecordKind, RecordResult},
    },
};

/// Says whether broker and core are there.
pub(super) fn check(health: &Health, report: &http::Health) {
    let problem = |is: bool, text| is.then_some(text);
    report.set_check(
        "kafka",
        problem(health.broker_away, "no broker can be reached"),
    );
    report.set_check(
        "core",
        problem(
            health.core_silent,
            "the last question was not answered in time",
        ),
    );
    if let Some(registered) = health.registered {
        report.set_check(
            "zookeeper",
            problem(!registered, "this instance is not registered"),
        );
    }
}

/// Sets the metrics to what the Kafka side has counted.
pub(super) fn publish(health: &Health, metrics: &Metrics) {
    for (kind, counts) in &health.records {
        let kind = RecordKind::from(*kind);
        let records = |result| metrics.kafka_records.of((kind, result));
        set(records(RecordResult::Sent), counts.sent);
        set(records(RecordResult::Delivered), counts.delivered);
        set(records(RecordResult::Failed), counts.failed);
    }
    for (reason, count) in &health.failures {
        set(metrics.kafka_failures.of((*reason).into()), *count);
    }
    set(&metrics.kafka_forbidden_uplinks, health.forbidden);
    set(&metrics.kafka_notifications, health.notifications);
    set(&metrics.kafka_limited_uplinks, health.limited);
    set(&metrics.kafka_late_answers, health.late_answers);
    set(&metrics.kafka_unreadable_answers, health.unreadable_answers);
    set(&metrics.kafka_producer_rebuilds, health.producer_rebuilds);
    let dropped = |reason| metrics.kafka_notifications_dropped.of(reason);
    set(dropped(CoreDrop::UnknownSession), health.unknown_sessions);
    set(dropped(CoreDrop::MailboxFull), health.full_mailboxes);
    set(
        dropped(CoreDrop::Unreadable),
        health.unreadable_notifications,
    );
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.kafka_queued_records.set(gauge(health.queued));
    metrics.kafka_waiting_uplinks.set(gauge(health.waiting));
    let registered = health.registered.unwrap_or(false);
    metrics.zookeeper_connected.set(registered.into());
}

/// The Kafka side's own counters only grow, so a counter may take their value.
fn set(counter: &Counter, value: u64) {
    counter.inner().store(value, Ordering::Relaxed);
}

impl From<thingsboard::RecordKind> for RecordKind {
    fn from(kind: thingsboard::RecordKind) -> Self {
        match kind {
            thingsboard::RecordKind::Activity => Self::Activity,
            thingsboard::RecordKind::Attributes => Self::Attributes,
            thingsboard::RecordKind::Question => Self::Question,
            thingsboard::RecordKind::Rpc => Self::Rpc,
            thingsboard::RecordKind::Session => Self::Session,
            thingsboard::RecordKind::SharedAttributes => Self::SharedAttributes,
            thingsboard::RecordKind::Telemetry => Self::Telemetry,
            thingsboard::RecordKind::Usage => Self::Usage,
        }
    }
}

impl From<FailureReason> for RecordFailure {
    fn from(reason: FailureReason) -> Self {
        match reason {
            FailureReason::NotAuthorised => Self::NotAuthorised,
            FailureReason::Other => Self::Other,
            FailureReason::QueueFull => Self::QueueFull,
            FailureReason::TimedOut => Self::TimedOut,
            FailureReason::TooLarge => Self::TooLarge,
            FailureReason::TopicMissing => Self::TopicMissing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::platform::{thingsboard::RecordCounts, time::UnixMillis};

    use super::*;

    #[test]
    fn metrics_take_the_values_of_the_kafka_side() {
        let metrics = Metrics::new(UnixMillis(0));
        let counts = RecordCounts {
            sent: 5,
            delivered: 4,
            failed: 1,
        };
        let health = Health {
            records: BTreeMap::from([(thingsboard::RecordKind::Telemetry, counts)]),
            failures: BTreeMap::from([(FailureReason::TooLarge, 1)]),
            full_mailboxes: 3,
            queued: 7,
            registered: Some(true),
            ..Health::default()
        };
        publish(&health, &metrics);
        publish(&health, &metrics);
        let text = metrics.encode().unwrap();
        for line in [
            r#"lightship_kafka_records_total{kind="telemetry",result="delivered"} 4"#,
            r#"lightship_kafka_failures_total{reason="too_large"} 1"#,
            r#"lightship_kafka_notifications_dropped_total{reason="mailbox_full"} 3"#,
            "lightship_kafka_queued_records 7",
            "lightship_zookeeper_connected 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
