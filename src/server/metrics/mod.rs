//! Every metric of this process: a field of one struct, named once, with a closed set of labels.
//!
//! Counters and gauges may be shared and changed by any thread; reaching one takes neither lock nor hash. A scrape reads
//! them as they are. `docs/metrics.md` is generated from here by a test.

mod dtls;
mod endpoint;
mod labels;
mod process;
mod table;

use std::fmt;

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};

use crate::{coap::CoapStats, dtls::CipherSuite, platform::time::UnixMillis};

use process::ProcessCollector;

pub use labels::*;
pub use table::{Label, LabelSet, Table};

/// A counter for each combination of labels.
pub type Counters<L> = Table<L, Counter>;
/// A gauge for each combination of labels.
pub type Gauges<L> = Table<L, Gauge>;
/// A histogram for each combination of labels.
pub type Histograms<L> = Table<L, Histogram>;

/// The metrics. Cloning is not needed: share it by `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `lightship_up_since_seconds`
    pub up_since: Gauge,
    /// `lightship_state`
    pub state: Gauges<State>,
    /// `lightship_registrations`
    pub registrations: Gauges<Security>,
    /// `lightship_registration_events_total`
    pub registration_events: Counters<RegistrationEvent>,
    /// `lightship_link_deviations_total`
    pub link_deviations: Counter,
    /// `lightship_bootstrap_total`
    pub bootstrap: Counters<BootstrapResult>,
    /// `lightship_bootstrap_secrets_over_nosec_total`
    pub bootstrap_secrets_over_nosec: Counter,
    /// `lightship_notifications_total`
    pub notifications: Counters<NotificationResult>,
    /// `lightship_sends_total`
    pub sends: Counters<SendResult>,
    /// `lightship_implausible_times_total`
    pub implausible_times: Counter,
    /// `lightship_sleeps_total`
    pub sleeps: Counter,
    /// `lightship_durable_duration_seconds`
    pub durable_duration: Histogram,
    /// `lightship_rpc_received_total`
    pub rpc_received: Counter,
    /// `lightship_rpc_held`
    pub rpc_held: Gauge,
    /// `lightship_rpc_total`
    pub rpc: Counters<RpcResult>,
    /// `lightship_commands_total`
    pub commands: Counters<(RpcMethod, CommandResult)>,
    /// `lightship_ota_states_total`
    pub ota_states: Counters<OtaState>,
    /// `lightship_downloads_total`
    pub downloads: Counters<DownloadResult>,
    /// `lightship_udp_datagrams_total`
    pub udp_datagrams: Counters<Direction>,
    /// `lightship_udp_bytes_total`
    pub udp_bytes: Counters<Direction>,
    /// `lightship_udp_dropped_total`
    pub udp_dropped: Counters<DropReason>,
    /// `lightship_dtls_handshakes_total`
    pub dtls_handshakes: Counters<(HandshakeMode, HandshakeResult)>,
    /// `lightship_dtls_handshake_duration_seconds`
    pub dtls_handshake_duration: Histograms<HandshakeMode>,
    /// `lightship_dtls_suites_total`
    pub dtls_suites: Counters<CipherSuite>,
    /// `lightship_dtls_hello_verify_requests_total`
    pub dtls_hello_verify_requests: Counter,
    /// `lightship_dtls_associations`
    pub dtls_associations: Gauges<ConnectionId>,
    /// `lightship_dtls_records_dropped_total`
    pub dtls_records_dropped: Counters<RecordDrop>,
    /// `lightship_dtls_limited_total`
    pub dtls_limited: Counters<DtlsLimit>,
    /// `lightship_dtls_retransmissions_total`
    pub dtls_retransmissions: Counter,
    /// `lightship_dtls_credential_queries_total`
    pub dtls_credential_queries: Counter,
    /// `lightship_dtls_address_changes_total`
    pub dtls_address_changes: Counter,
    /// `lightship_coap_messages_total`
    pub coap_messages: Counters<Direction>,
    /// `lightship_coap_retransmissions_total`
    pub coap_retransmissions: Counter,
    /// `lightship_coap_duplicates_total`
    pub coap_duplicates: Counter,
    /// `lightship_coap_malformed_total`
    pub coap_malformed: Counters<Malformed>,
    /// `lightship_coap_resets_total`
    pub coap_resets: Counters<Direction>,
    /// `lightship_coap_unmatched_total`
    pub coap_unmatched: Counter,
    /// `lightship_coap_timeouts_total`
    pub coap_timeouts: Counter,
    /// `lightship_coap_ring_full_total`
    pub coap_ring_full: Counter,
    /// `lightship_coap_pings_total`
    pub coap_pings: Counter,
    /// `lightship_actor_mailbox_full_total`
    pub mailbox_full: Counters<Actor>,
    /// `lightship_actor_panics_total`
    pub actor_panics: Counter,
    /// `lightship_limit_rejections_total`
    pub limit_rejections: Counters<Limit>,
    /// `lightship_https_handshakes_total`
    pub https_handshakes: Counters<HttpsHandshake>,
    /// `lightship_platform_messages_total`
    pub platform_messages: Counters<(Message, MessageResult)>,
    /// `lightship_platform_requests_total`
    pub platform_requests: Counters<(Request, RequestResult)>,
    /// `lightship_platform_request_duration_seconds`
    pub platform_request_duration: Histograms<Request>,
    /// `lightship_platform_pending_requests`
    pub platform_pending_requests: Gauge,
    /// `lightship_state_writes_total`
    pub state_writes: Counters<StateOperation>,
    /// `lightship_state_commit_duration_seconds`
    pub state_commit_duration: Histogram,
    /// `lightship_state_failures_total`
    pub state_failures: Counter,
    /// `lightship_state_pending_writes`
    pub state_pending_writes: Gauge,
    /// `lightship_state_refused_records_total`
    pub state_refused_records: Counter,
    /// `lightship_state_restored_endpoints`
    pub state_restored_endpoints: Gauge,
    /// `lightship_state_unusable_records_total`
    pub state_unusable_records: Counter,
    /// `lightship_kafka_records_total`
    pub kafka_records: Counters<(RecordKind, RecordResult)>,
    /// `lightship_kafka_failures_total`
    pub kafka_failures: Counters<RecordFailure>,
    /// `lightship_kafka_queued_records`
    pub kafka_queued_records: Gauge,
    /// `lightship_kafka_waiting_uplinks`
    pub kafka_waiting_uplinks: Gauge,
    /// `lightship_kafka_forbidden_uplinks_total`
    pub kafka_forbidden_uplinks: Counter,
    /// `lightship_kafka_limited_uplinks_total`
    pub kafka_limited_uplinks: Counter,
    /// `lightship_kafka_notifications_total`
    pub kafka_notifications: Counter,
    /// `lightship_kafka_notifications_dropped_total`
    pub kafka_notifications_dropped: Counters<CoreDrop>,
    /// `lightship_kafka_late_answers_total`
    pub kafka_late_answers: Counter,
    /// `lightship_kafka_unreadable_answers_total`
    pub kafka_unreadable_answers: Counter,
    /// `lightship_kafka_producer_rebuilds_total`
    pub kafka_producer_rebuilds: Counter,
    /// `lightship_zookeeper_connected`
    pub zookeeper_connected: Gauge,
}

impl Metrics {
    /// All metrics at zero, for a process that started at `start`.
    pub fn new(start: UnixMillis) -> Self {
        let start_seconds = start.0.div_euclid(1000);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ProcessCollector { start_seconds }));
        let r = registry.sub_registry_with_prefix("lightship");
        r.register(
            "build",
            "Version of this program; always 1",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let metrics = Self {
            up_since: add(r, "up_since_seconds", "When the process started, Unix time"),
            state: add(r, "state", "1 for the state the process is in, else 0"),
            registrations: add(r, "registrations", "Registered endpoints"),
            registration_events: add(r, "registration_events", "What happened to registrations"),
            link_deviations: add(
                r,
                "link_deviations",
                "Deviations from the link format in object lists that were forgiven",
            ),
            bootstrap: add(r, "bootstrap", "Bootstrap-Requests by how they ended"),
            bootstrap_secrets_over_nosec: add(
                r,
                "bootstrap_secrets_over_nosec",
                "Bootstrap sessions that gave keys to a device without security",
            ),
            notifications: add(
                r,
                "notifications",
                "Notifications received, by what became of them",
            ),
            sends: add(r, "sends", "Sends received, by what became of them"),
            implausible_times: add(
                r,
                "implausible_times",
                "Times stated by devices that cannot be; the server's clock stood in for them",
            ),
            sleeps: add(
                r,
                "sleeps",
                "How often a device fell asleep: its window ended, or it did not answer",
            ),
            durable_duration: add_seconds(
                r,
                "durable_duration_seconds",
                "From the arrival of a reading that a device waits for to its being durable",
            ),
            rpc_received: add(r, "rpc_received", "Commands that reached an endpoint"),
            rpc_held: add(
                r,
                "rpc_held",
                "Commands that wait for a device or are under way to one",
            ),
            rpc: add(
                r,
                "rpc",
                "Commands by how they ended: answered (ok, error), without answer (timeout), ended with the registration (cancelled), not sent (overflow, expired, duplicate, postponed)",
            ),
            commands: add(
                r,
                "commands",
                "Commands of the platform, by whether they reached an endpoint",
            ),
            ota_states: add(
                r,
                "ota_states",
                "States of updates reported to the platform",
            ),
            downloads: add(
                r,
                "downloads",
                "Requests for blocks of update packages, by what became of them",
            ),
            udp_datagrams: add(
                r,
                "udp_datagrams",
                "Datagrams received and sent on device ports",
            ),
            udp_bytes: add(r, "udp_bytes", "Bytes received and sent on device ports"),
            udp_dropped: add(r, "udp_dropped", "Datagrams dropped unhandled"),
            dtls_handshakes: add(r, "dtls_handshakes", "DTLS handshakes by how they ended"),
            dtls_handshake_duration: add_seconds_by(
                r,
                "dtls_handshake_duration_seconds",
                "From the hello with a cookie to the end of a DTLS handshake that succeeds, the wait for its credential included",
            ),
            dtls_suites: add(
                r,
                "dtls_suites",
                "DTLS handshakes that succeeded, by cipher suite",
            ),
            dtls_hello_verify_requests: add(
                r,
                "dtls_hello_verify_requests",
                "Hellos without a good cookie that were answered with one",
            ),
            dtls_associations: add(r, "dtls_associations", "DTLS associations with devices"),
            dtls_records_dropped: add(
                r,
                "dtls_records_dropped",
                "DTLS records dropped without an answer",
            ),
            dtls_limited: add(r, "dtls_limited", "What limits of DTLS held back"),
            dtls_retransmissions: add(
                r,
                "dtls_retransmissions",
                "Flights of DTLS handshakes sent again",
            ),
            dtls_credential_queries: add(
                r,
                "dtls_credential_queries",
                "Credentials that handshakes asked for",
            ),
            dtls_address_changes: add(
                r,
                "dtls_address_changes",
                "Devices that went on with their association from another address",
            ),
            coap_messages: add(
                r,
                "coap_messages",
                "CoAP messages of registered endpoints and bootstrap sessions",
            ),
            coap_retransmissions: add(r, "coap_retransmissions", "Retransmissions sent"),
            coap_duplicates: add(r, "coap_duplicates", "Messages received again"),
            coap_malformed: add(r, "coap_malformed", "Messages that could not be read"),
            coap_resets: add(r, "coap_resets", "RST received and sent"),
            coap_unmatched: add(
                r,
                "coap_unmatched",
                "ACK and RST that answer nothing outstanding",
            ),
            coap_timeouts: add(
                r,
                "coap_timeouts",
                "Requests and separate responses given up",
            ),
            coap_ring_full: add(
                r,
                "coap_ring_full",
                "Messages dropped because too many before them wait for the platform",
            ),
            coap_pings: add(r, "coap_pings", "CoAP pings received"),
            mailbox_full: add(
                r,
                "actor_mailbox_full",
                "Messages dropped because a mailbox was full",
            ),
            actor_panics: add(
                r,
                "actor_panics",
                "Endpoints and datagrams lost because handling them panicked",
            ),
            limit_rejections: add(r, "limit_rejections", "What a limit refused"),
            https_handshakes: add(
                r,
                "https_handshakes",
                "Connections to the HTTP side, where it serves HTTPS, by how they began",
            ),
            platform_messages: add(
                r,
                "platform_messages",
                "Messages to the platform: accepted or refused at submit; durable, rejected or unavailable where a device waits",
            ),
            platform_requests: add(r, "platform_requests", "Questions to the platform"),
            platform_request_duration: add_seconds_by(
                r,
                "platform_request_duration_seconds",
                "From a question to the platform to its answer",
            ),
            platform_pending_requests: add(
                r,
                "platform_pending_requests",
                "Questions that wait for the platform",
            ),
            state_writes: add(
                r,
                "state_writes",
                "Records of endpoints written and removed",
            ),
            state_commit_duration: add_seconds(
                r,
                "state_commit_duration_seconds",
                "How long a transaction of the state file took",
            ),
            state_failures: add(
                r,
                "state_failures",
                "Transactions of the state file that failed; what they held is kept and tried again",
            ),
            state_pending_writes: add(
                r,
                "state_pending_writes",
                "Records that wait to be written or removed",
            ),
            state_refused_records: add(
                r,
                "state_refused_records",
                "Records held back by their endpoints because too much waits to be written",
            ),
            state_restored_endpoints: add(
                r,
                "state_restored_endpoints",
                "Endpoints found on record at the start",
            ),
            state_unusable_records: add(
                r,
                "state_unusable_records",
                "Records of which no endpoint could be made",
            ),
            kafka_records: add(r, "kafka_records", "Records to the core"),
            kafka_failures: add(
                r,
                "kafka_failures",
                "Records that did not reach their topic",
            ),
            kafka_queued_records: add(r, "kafka_queued_records", "Records in the producer"),
            kafka_waiting_uplinks: add(
                r,
                "kafka_waiting_uplinks",
                "Uplinks that wait for a profile or a tenant",
            ),
            kafka_forbidden_uplinks: add(
                r,
                "kafka_forbidden_uplinks",
                "Uplinks that the state of their tenant forbids",
            ),
            kafka_limited_uplinks: add(
                r,
                "kafka_limited_uplinks",
                "Uplinks beyond the rate limits of their tenant",
            ),
            kafka_notifications: add(r, "kafka_notifications", "Notifications of the core"),
            kafka_notifications_dropped: add(
                r,
                "kafka_notifications_dropped",
                "Records of the core that were not handed on",
            ),
            kafka_late_answers: add(
                r,
                "kafka_late_answers",
                "Answers of the core that came late, twice or to another process",
            ),
            kafka_unreadable_answers: add(
                r,
                "kafka_unreadable_answers",
                "Answers of the core that could not be read or used",
            ),
            kafka_producer_rebuilds: add(
                r,
                "kafka_producer_rebuilds",
                "Times that the producer was rebuilt after a fatal error",
            ),
            zookeeper_connected: add(
                r,
                "zookeeper_connected",
                "1 while this instance is registered in ZooKeeper, else 0",
            ),
            registry,
        };
        metrics.up_since.set(start_seconds);
        metrics
    }

    /// Adds what the CoAP layer of one endpoint counted since the last time.
    pub fn add_coap(&self, since: &CoapStats) {
        let messages = &self.coap_messages;
        raise(messages.of(Direction::In), since.received);
        raise(messages.of(Direction::Out), since.sent);
        raise(&self.coap_retransmissions, since.retransmissions);
        raise(&self.coap_duplicates, since.duplicates);
        let malformed = &self.coap_malformed;
        raise(malformed.of(Malformed::Format), since.format_errors);
        raise(malformed.of(Malformed::Option), since.bad_options);
        raise(malformed.of(Malformed::Block), since.refused_blocks);
        let resets = &self.coap_resets;
        raise(resets.of(Direction::In), since.resets_received);
        raise(resets.of(Direction::Out), since.resets_sent);
        raise(&self.coap_unmatched, since.unmatched);
        raise(&self.coap_timeouts, since.timeouts);
        raise(&self.coap_ring_full, since.ring_full);
        raise(&self.coap_pings, since.pings);
        let notifications = &self.notifications;
        raise(
            notifications.of(NotificationResult::UnknownToken),
            since.unknown_tokens,
        );
        raise(
            notifications.of(NotificationResult::Incomplete),
            since.incomplete_notifications,
        );
        raise(
            notifications.of(NotificationResult::Stale),
            since.stale_notifications,
        );
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// Never: writing to a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let dropped = self.udp_dropped.of(DropReason::KernelBuffer);
        dropped.inc_by(process::udp_drops().saturating_sub(dropped.get()));
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Adds to a counter; adding nothing does not touch what other threads write to.
fn raise(counter: &Counter, count: u64) {
    if count > 0 {
        counter.inc_by(count);
    }
}

/// Registers a metric.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn add_seconds(registry: &mut Registry, name: &str, help: &str) -> Histogram {
    let histogram = seconds();
    registry.register(name, help, histogram.clone());
    histogram
}

fn add_seconds_by<L: LabelSet>(registry: &mut Registry, name: &str, help: &str) -> Histograms<L> {
    let table = Table::new(seconds);
    registry.register(name, help, table.clone());
    table
}

/// A histogram of latencies, 1 ms to 120 s.
fn seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
        120.0,
    ])
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, env, fmt::Write, fs};

    use super::*;

    #[test]
    fn docs_metrics_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        let page = reference(&Metrics::new(UnixMillis(0)).encode().unwrap());
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, &page).unwrap();
        }
        assert_eq!(
            fs::read_to_string(path).unwrap_or_default(),
            page,
            "docs/metrics.md is stale: run the tests with UPDATE_DOCS=1"
        );
    }

    /// The page, from a scrape: what is documented is what is served.
    fn reference(scrape: &str) -> String {
        let mut help = BTreeMap::new();
        let mut rows: BTreeMap<&str, (&str, BTreeMap<&str, Vec<&str>>)> = BTreeMap::new();
        let mut current = "";
        for line in scrape.lines() {
            if let Some((name, text)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
            {
                help.insert(name, text.trim_end_matches('.'));
            } else if let Some((name, kind)) =
                line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
            {
                rows.insert(name, (kind, BTreeMap::new()));
                current = name;
            } else if let Some((_, labels)) = line
                .split_once('{')
                .and_then(|(n, l)| Some((n, l.split_once('}')?.0)))
            {
                for (key, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
                    let values = rows.get_mut(current).unwrap().1.entry(key).or_default();
                    let value = value.trim_matches('"');
                    if key != "le" && !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
        }
        let mut page = HEAD.to_owned();
        rows.retain(|name, _| !name.starts_with("process_"));
        for (name, (kind, labels)) in rows {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let labels: Vec<_> = labels
                .iter()
                .filter(|(key, _)| **key != "le")
                .map(|(key, values)| match *key {
                    "version" if kind == "info" => "`version`".to_owned(),
                    _ => format!("`{key}`: {}", values.join(", ")),
                })
                .collect();
            writeln!(
                page,
                "| `{name}{suffix}` | {kind} | {} | {} |",
                labels.join("; "),
                help[name]
            )
            .unwrap();
        }
        page
    }

    const HEAD: &str = "\
# Metrics

<!-- Generated by a test from src/server/metrics; UPDATE_DOCS=1 writes it anew. -->

Served in the OpenMetrics text format at `/metrics` and `/actuator/prometheus` of the HTTP port. Every label has a fixed
set of values, and every series exists from the start. On Linux the usual `process_*` metrics come with them.

| Metric | Type | Labels and their values | Meaning |
|---|---|---|---|
";

    #[test]
    fn every_series_exists_from_the_start() {
        let text = Metrics::new(UnixMillis(0)).encode().unwrap();
        for line in [
            "lightship_udp_dropped_total{reason=\"kernel_buffer\"} 0",
            "lightship_udp_dropped_total{reason=\"multicast\"} 0",
            "lightship_registrations{security=\"nosec\"} 0",
            "lightship_commands_total{method=\"Read\",result=\"no_session\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn coap_counters_grow_by_the_difference() {
        let metrics = Metrics::new(UnixMillis(0));
        let before = CoapStats {
            duplicates: 3,
            ..CoapStats::default()
        };
        let after = CoapStats {
            duplicates: 5,
            resets_sent: 1,
            ..CoapStats::default()
        };
        metrics.add_coap(&after.since(&before));
        assert_eq!(metrics.coap_duplicates.get(), 2);
        assert_eq!(metrics.coap_resets.of(Direction::Out).get(), 1);
        assert_eq!(metrics.coap_resets.of(Direction::In).get(), 0);
    }

    #[test]
    fn histograms_carry_their_labels() {
        let metrics = Metrics::new(UnixMillis(0));
        metrics
            .platform_request_duration
            .of(Request::Credentials)
            .observe(0.003);
        let text = metrics.encode().unwrap();
        let line = "lightship_platform_request_duration_seconds_bucket{le=\"0.005\",request=\"credentials\"} 1";
        assert!(text.contains(line), "{text}");
    }
}
