//! The producer: records out, delivery reports back to the receipts of their uplinks.
//!
//! Nothing here waits for the broker but the producer's own thread, which serves delivery reports and, after a fatal
//! error of the idempotent producer, replaces it and submits again what was not delivered, in the old order.

use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;

use rdkafka::{
    ClientConfig, ClientContext, Message, Statistics,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, DeliveryResult, Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig},
};
use tracing::{error, warn};
use uuid::Uuid;

use super::super::uplink::{Outcome, RejectReason};
use super::{
    client,
    receipt::Receipt,
    stats::{FailureReason, RecordKind, Stats},
    sync::{guarded, lock},
};

/// A record to be written.
#[derive(Debug)]
pub(super) struct Record {
    /// Full topic name.
    pub(super) topic: String,
    /// A UUID in its text form.
    pub(super) key: String,
    /// Protobuf bytes.
    pub(super) value: Vec<u8>,
}

/// Why the producer did not take a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No room, or it is being replaced.
    Busy,
    /// The record is too large.
    TooLarge,
}

/// The producer of this process.
pub(super) struct Producer {
    config: ClientConfig,
    current: RwLock<BaseProducer<Deliveries>>,
    ledger: Arc<Ledger>,
    next_sequence: AtomicU64,
    stopping: AtomicBool,
}

impl Producer {
    /// Makes a producer; [`Self::run`] must be called on a thread of its own.
    ///
    /// # Errors
    /// [`KafkaError`] when a property is not usable.
    pub(super) fn new(config: ClientConfig, stats: Arc<Stats>) -> Result<Self, KafkaError> {
        let ledger = Arc::new(Ledger {
            stats,
            orphans: Mutex::default(),
            failed_questions: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        Ok(Self {
            current: RwLock::new(connect(&config, &ledger)?),
            config,
            ledger,
            next_sequence: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Hands a record over; never blocks. The receipt gets a part that ends with the record, here or later.
    ///
    /// # Errors
    /// [`Refusal`] when the record was not taken.
    pub(super) fn send(
        &self,
        record: &Record,
        kind: RecordKind,
        receipt: Option<&Arc<Receipt>>,
    ) -> Result<(), Refusal> {
        let ticket = Ticket {
            kind,
            sequence: self.next_sequence(),
            receipt: receipt.map(Arc::clone),
            question: None,
        };
        self.enqueue(record, None, ticket)
    }

    /// Hands a question over; never blocks.
    ///
    /// # Errors
    /// [`Refusal`] when the record was not taken.
    pub(super) fn ask(
        &self,
        record: &Record,
        headers: &[(&str, Vec<u8>)],
        question: Uuid,
    ) -> Result<(), Refusal> {
        let ticket = Ticket {
            kind: RecordKind::Question,
            sequence: self.next_sequence(),
            receipt: None,
            question: Some(question),
        };
        let headers = headers.iter().fold(
            OwnedHeaders::new_with_capacity(headers.len()),
            |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: Some(value),
                })
            },
        );
        self.enqueue(record, Some(headers), ticket)
    }

    /// The questions whose records failed since the last call.
    pub(super) fn failed_questions(&self) -> Vec<Uuid> {
        std::mem::take(&mut *lock(&self.ledger.failed_questions))
    }

    /// Serves delivery reports until [`Self::close`].
    pub(super) fn run(&self) {
        while !self.stopping.load(Relaxed) {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            // A reply goes out from here into code of others.
            guarded(|| current.poll(POLL_INTERVAL));
            let fatal = current.client().fatal_error();
            drop(current);
            let orphaned = !lock(&self.ledger.orphans).is_empty();
            if fatal.is_some() || orphaned {
                warn!(error = ?fatal, "the Kafka producer is replaced");
                self.rebuild();
            }
        }
    }

    /// Waits until everything is delivered or failed; false when `timeout` comes first.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.flush(timeout).is_ok() && lock(&self.ledger.orphans).is_empty()
    }

    /// Fails what is still there and ends [`Self::run`].
    pub(super) fn close(&self) {
        self.ledger.closing.store(true, Relaxed);
        self.stopping.store(true, Relaxed);
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        discard(&current);
    }

    /// Records that are neither delivered nor failed.
    pub(super) fn queued(&self) -> usize {
        let queued = self
            .current
            .try_read()
            .map_or(0, |current| current.in_flight_count());
        usize::try_from(queued).unwrap_or(0)
    }

    fn next_sequence(&self) -> u64 {
        self.next_sequence.fetch_add(1, Relaxed)
    }

    fn enqueue(
        &self,
        record: &Record,
        headers: Option<OwnedHeaders>,
        ticket: Ticket,
    ) -> Result<(), Refusal> {
        if let Some(receipt) = &ticket.receipt {
            receipt.add_part();
        }
        let Ok(current) = self.current.try_read() else {
            self.ledger.failed(ticket, FailureReason::QueueFull);
            return Err(Refusal::Busy);
        };
        let stats = &self.ledger.stats;
        enqueue(&current, record, headers, Box::new(ticket), stats).map_err(|(error, ticket)| {
            let reason = failure_reason(&error);
            self.ledger.failed(*ticket, reason);
            match reason {
                FailureReason::TooLarge => Refusal::TooLarge,
                FailureReason::NotAuthorised
                | FailureReason::Other
                | FailureReason::QueueFull
                | FailureReason::TimedOut
                | FailureReason::TopicMissing => Refusal::Busy,
            }
        })
    }

    /// Replaces the producer. Senders are refused meanwhile.
    fn rebuild(&self) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = match connect(&self.config, &self.ledger) {
            Ok(fresh) => fresh,
            Err(error) => {
                error!(%error, "the Kafka producer cannot be replaced");
                return;
            }
        };
        discard(&current);
        *current = fresh;
        self.ledger.stats.producer_rebuilds.add();
        let mut orphans = std::mem::take(&mut *lock(&self.ledger.orphans));
        orphans.sort_by_key(|orphan| orphan.ticket.sequence);
        for Orphan {
            record,
            headers,
            ticket,
        } in orphans
        {
            let stats = &self.ledger.stats;
            if let Err((error, ticket)) = enqueue(&current, &record, headers, ticket, stats) {
                self.ledger.failed(*ticket, failure_reason(&error));
            }
        }
    }
}

fn connect(
    config: &ClientConfig,
    ledger: &Arc<Ledger>,
) -> Result<BaseProducer<Deliveries>, KafkaError> {
    BaseProducer::from_config_and_context(config, Deliveries(Arc::clone(ledger)))
}

/// Fails every record in `producer`; their delivery reports are served here.
fn discard(producer: &BaseProducer<Deliveries>) {
    producer.purge(PurgeConfig::default().queue().inflight());
    if let Err(error) = producer.flush(DISCARD_TIMEOUT) {
        warn!(%error, "records of the Kafka producer were lost from sight");
    }
}

fn enqueue(
    producer: &BaseProducer<Deliveries>,
    record: &Record,
    headers: Option<OwnedHeaders>,
    ticket: Box<Ticket>,
    stats: &Stats,
) -> Result<(), (KafkaError, Box<Ticket>)> {
    let kind = ticket.kind;
    let mut base = BaseRecord::with_opaque_to(&record.topic, ticket)
        .key(&record.key)
        .payload(&record.value);
    base.headers = headers;
    producer
        .send(base)
        .map(|()| stats.sent(kind))
        .map_err(|(error, base)| (error, base.delivery_opaque))
}

/// What is known of a record while librdkafka has it.
#[derive(Debug)]
struct Ticket {
    kind: RecordKind,
    /// Orders records that are submitted again.
    sequence: u64,
    receipt: Option<Arc<Receipt>>,
    question: Option<Uuid>,
}

/// A record that lost its producer.
#[derive(Debug)]
struct Orphan {
    record: Record,
    headers: Option<OwnedHeaders>,
    ticket: Box<Ticket>,
}

impl Orphan {
    fn new(message: &BorrowedMessage<'_>, ticket: Box<Ticket>) -> Self {
        Self {
            record: Record {
                topic: message.topic().to_owned(),
                key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
                value: message.payload().unwrap_or_default().to_vec(),
            },
            headers: message.headers().map(|headers| headers.detach()),
            ticket,
        }
    }
}

/// What outlives a producer.
#[derive(Debug)]
struct Ledger {
    stats: Arc<Stats>,
    orphans: Mutex<Vec<Orphan>>,
    failed_questions: Mutex<Vec<Uuid>>,
    closing: AtomicBool,
}

impl Ledger {
    fn failed(&self, ticket: Ticket, reason: FailureReason) {
        self.stats.failed(ticket.kind, reason);
        if let Some(receipt) = ticket.receipt {
            receipt.end_part(match reason {
                FailureReason::TooLarge => Outcome::Rejected(RejectReason::TooLarge),
                FailureReason::NotAuthorised
                | FailureReason::Other
                | FailureReason::QueueFull
                | FailureReason::TimedOut
                | FailureReason::TopicMissing => Outcome::Unavailable,
            });
        }
        if let Some(question) = ticket.question {
            lock(&self.failed_questions).push(question);
        }
    }
}

/// Receives the delivery reports of one producer.
struct Deliveries(Arc<Ledger>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.stats.broker_away.store(true, Relaxed);
        }
        client::log_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let reached = statistics
            .brokers
            .values()
            .any(|broker| broker.state == "UP");
        self.0.stats.broker_away.store(!reached, Relaxed);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        match result {
            Ok(_) => {
                self.0.stats.delivered(ticket.kind);
                self.0.stats.broker_away.store(false, Relaxed);
                if let Some(receipt) = ticket.receipt {
                    receipt.end_part(Outcome::Durable);
                }
            }
            Err((error, message)) if lost_its_producer(error) && !self.0.closing.load(Relaxed) => {
                lock(&self.0.orphans).push(Orphan::new(message, ticket));
            }
            Err((error, _)) => self.0.failed(*ticket, failure_reason(error)),
        }
    }
}

/// Whether a record failed only because its producer is no longer usable.
fn lost_its_producer(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::PurgeQueue
                | RDKafkaErrorCode::PurgeInflight
                | RDKafkaErrorCode::OutOfOrderSequenceNumber
                | RDKafkaErrorCode::UnknownProducerId
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::InvalidProducerIdMapping
        )
    )
}

fn failure_reason(error: &KafkaError) -> FailureReason {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed,
        ) => FailureReason::NotAuthorised,
        Some(RDKafkaErrorCode::QueueFull) => FailureReason::QueueFull,
        Some(RDKafkaErrorCode::MessageTimedOut) => FailureReason::TimedOut,
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
            FailureReason::TooLarge
        }
        Some(
            RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition,
        ) => FailureReason::TopicMissing,
        _ => FailureReason::Other,
    }
}

/// Bounds how long a fatal error or a stop goes unnoticed.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long discarded records may take to come back.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);
