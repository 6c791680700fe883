//! A consumer of one topic that belongs to this instance alone (`operations.md` 10.2): partitions are assigned, not
//! subscribed to, and offsets are committed after the records were handed over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, ClientContext, Message, Offset, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext},
    error::{KafkaError, KafkaResult},
    message::BorrowedMessage,
};
use tracing::{debug, warn};

use super::{client, clock, sync::guarded};

/// Where a consumer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Where its group committed last.
    Committed,
    /// After the last record that is there now.
    End,
}

/// What is done with records.
pub(super) trait Handler: Send {
    /// A record that was read.
    type Item;

    /// Reads a record; `None` for one that cannot be read, which is then skipped.
    fn read(&mut self, message: &BorrowedMessage<'_>) -> Option<Self::Item>;

    /// Whether an item may be handed over only when it is certain that it will not come again.
    fn at_most_once(&self, item: &Self::Item) -> bool;

    /// Hands an item over.
    fn handle(&mut self, item: Self::Item);

    /// Gives an item up that could not be committed.
    fn give_up(&mut self, item: Self::Item);
}

/// A consumer that is ready to run.
pub(super) struct Consumer {
    client: BaseConsumer<Commits>,
    topic: String,
    /// Next offset of every assigned partition; `None` until a record was read.
    positions: BTreeMap<i32, Option<i64>>,
    uncommitted: bool,
    /// Asynchronous commits that were begun.
    begun: u64,
    next_commit: Instant,
    next_look: Instant,
}

impl Consumer {
    /// Connects and takes the partitions of `topic`.
    ///
    /// # Errors
    /// [`KafkaError`] when the broker does not answer or a property is not usable.
    pub(super) fn new(
        config: &ClientConfig,
        topic: String,
        begin: Begin,
    ) -> Result<Self, KafkaError> {
        let client = BaseConsumer::from_config_and_context(config, Commits::default())?;
        let now = clock::now().mono;
        let mut consumer = Self {
            client,
            topic,
            positions: BTreeMap::new(),
            uncommitted: false,
            begun: 0,
            next_commit: now + COMMIT_INTERVAL,
            next_look: now + LOOK_INTERVAL,
        };
        let mut partitions = consumer.partitions()?;
        if partitions.is_empty() {
            // The topic is not there yet; its first partition is read as soon as it is.
            partitions.push(0);
        }
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            let offset = match begin {
                Begin::Committed => Offset::Stored,
                Begin::End => Offset::Offset(consumer.end(partition)?),
            };
            assignment.add_partition_offset(&consumer.topic, partition, offset)?;
            consumer.positions.insert(partition, None);
        }
        consumer.client.assign(&assignment)?;
        Ok(consumer)
    }

    /// Reads until `stop`, then commits.
    pub(super) fn run(mut self, stop: &Arc<AtomicBool>, handler: &mut impl Handler) {
        let mut batch = Vec::new();
        while !stop.load(Relaxed) {
            self.fill(&mut batch, handler);
            let careful = batch.iter().any(|item| handler.at_most_once(item));
            let committed = !careful || self.commit_surely(stop);
            for item in batch.drain(..) {
                if !committed && handler.at_most_once(&item) {
                    handler.give_up(item);
                } else {
                    guarded(|| handler.handle(item));
                }
            }
            let now = clock::now().mono;
            if now >= self.next_commit {
                self.next_commit = now + COMMIT_INTERVAL;
                self.commit(CommitMode::Async);
            }
            if now >= self.next_look {
                self.next_look = now + LOOK_INTERVAL;
                self.take_new_partitions();
            }
        }
        self.commit_last();
    }

    /// Waits a moment for a record and takes what else is there.
    fn fill<H: Handler>(&mut self, batch: &mut Vec<H::Item>, handler: &mut H) {
        let mut wait = POLL_TIMEOUT;
        for _ in 0..BATCH {
            match self.client.poll(wait) {
                None => return,
                Some(Err(error)) => {
                    debug!(topic = self.topic, %error, "the consumer reports an error");
                    return;
                }
                Some(Ok(message)) => {
                    self.positions
                        .insert(message.partition(), Some(message.offset() + 1));
                    self.uncommitted = true;
                    batch.extend(guarded(|| handler.read(&message)).flatten());
                }
            }
            wait = Duration::ZERO;
        }
    }

    /// Commits what was read and waits for the answer; false when that fails for too long.
    fn commit_surely(&mut self, stop: &Arc<AtomicBool>) -> bool {
        let deadline = clock::now().mono + COMMIT_PATIENCE;
        while !self.commit(CommitMode::Sync) {
            if stop.load(Relaxed) || clock::now().mono >= deadline {
                return false;
            }
            thread::sleep(COMMIT_RETRY);
        }
        true
    }

    /// Commits what was read before the consumer ends; gives up soon when the broker is away. What is read meanwhile
    /// is read again by the next process.
    fn commit_last(mut self) {
        self.commit(CommitMode::Async);
        let deadline = clock::now().mono + LAST_COMMIT_PATIENCE;
        let ended = |consumer: &Self| consumer.client.context().ended.load(Relaxed);
        while ended(&self) < self.begun && clock::now().mono < deadline {
            drop(self.client.poll(LAST_COMMIT_POLL));
        }
    }

    /// Commits what was read; an asynchronous commit that fails is noticed before the next one.
    fn commit(&mut self, mode: CommitMode) -> bool {
        self.uncommitted |= self.client.context().failed.swap(false, Relaxed);
        if !self.uncommitted {
            return true;
        }
        let mut offsets = TopicPartitionList::new();
        let read = self
            .positions
            .iter()
            .filter_map(|(partition, next)| Some((*partition, (*next)?)));
        let listed = read.map(|(partition, next)| {
            offsets.add_partition_offset(&self.topic, partition, Offset::Offset(next))
        });
        let listed: Result<(), KafkaError> = listed.collect();
        let committed = listed.and_then(|()| self.client.commit(&offsets, mode));
        self.client.context().note(&committed);
        self.begun += u64::from(matches!((mode, &committed), (CommitMode::Async, Ok(()))));
        self.uncommitted = committed.is_err();
        committed.is_ok()
    }

    /// Assigns partitions that were added since; they are read from their beginning.
    fn take_new_partitions(&mut self) {
        let new = self.partitions().and_then(|mut partitions| {
            partitions.retain(|partition| !self.positions.contains_key(partition));
            let mut assignment = TopicPartitionList::new();
            for partition in &partitions {
                assignment.add_partition_offset(&self.topic, *partition, Offset::Beginning)?;
            }
            if !partitions.is_empty() {
                self.client.incremental_assign(&assignment)?;
            }
            Ok(partitions)
        });
        match new {
            Ok(partitions) => self
                .positions
                .extend(partitions.into_iter().map(|partition| (partition, None))),
            Err(error) => debug!(topic = self.topic, %error, "partitions could not be looked at"),
        }
    }

    fn partitions(&self) -> Result<Vec<i32>, KafkaError> {
        let metadata = self
            .client
            .fetch_metadata(Some(&self.topic), METADATA_TIMEOUT)?;
        Ok(metadata
            .topics()
            .iter()
            .filter(|topic| topic.name() == self.topic)
            .flat_map(|topic| topic.partitions())
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect())
    }

    fn end(&self, partition: i32) -> Result<i64, KafkaError> {
        // The partition of a topic that was just created has no leader for a moment.
        let deadline = clock::now().mono + LEADER_PATIENCE;
        loop {
            match self
                .client
                .fetch_watermarks(&self.topic, partition, METADATA_TIMEOUT)
            {
                Ok((_, end)) => return Ok(end),
                Err(error) if clock::now().mono >= deadline => return Err(error),
                Err(error) => {
                    debug!(topic = self.topic, %error, "the end of a topic is not known yet")
                }
            }
            thread::sleep(LEADER_RETRY);
        }
    }
}

/// Hears how asynchronous commits end.
#[derive(Debug, Default)]
struct Commits {
    /// How many have ended.
    ended: AtomicU64,
    /// Whether one failed since the last look.
    failed: AtomicBool,
    /// Whether the last one failed: that is said once.
    failing: AtomicBool,
}

impl Commits {
    fn note(&self, result: &KafkaResult<()>) {
        let failing = self.failing.swap(result.is_err(), Relaxed);
        if let (Err(error), false) = (result, failing) {
            warn!(%error, "offsets cannot be committed; does another process use this service id?");
        }
    }
}

impl ClientContext for Commits {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }
}

impl ConsumerContext for Commits {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        self.ended.fetch_add(1, Relaxed);
        self.failed.fetch_or(result.is_err(), Relaxed);
        self.note(&result);
    }
}

/// How long a stop may go unnoticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Records handed over before the next look at stop and commit.
const BATCH: usize = 500;
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
const COMMIT_PATIENCE: Duration = Duration::from_secs(5);
const COMMIT_RETRY: Duration = Duration::from_millis(500);
const LAST_COMMIT_PATIENCE: Duration = Duration::from_secs(2);
const LAST_COMMIT_POLL: Duration = Duration::from_millis(50);
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// How long a partition may be without a leader at the start.
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
const LEADER_RETRY: Duration = Duration::from_millis(200);
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
