//! Creates missing topics before the first record (`platform-wire.md` 1.5, `operations.md` 10.3).
//!
//! Only topics of this instance, of the core and of the current routing table are ever named here, so a topic that
//! vanished with its queue or tenant does not come back (A76). Senders do not wait: the producer holds a record for a
//! missing topic back until the topic is there.

use std::{
    collections::{BTreeMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use tracing::{debug, info, warn};

use super::{
    client::Logged,
    settings::{KafkaSettings, TopicSettings},
    sync::lock,
    topics::{PropertiesError, TopicProperties},
};

/// What a topic is for; decides its properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TopicKind {
    /// Questions to the core.
    ApiRequests,
    /// Answers to this instance: one Kafka partition.
    ApiResponses,
    /// Device-actor messages.
    Core,
    /// Notifications to this instance.
    Notifications,
    /// Rule-engine messages.
    RuleEngine,
}

/// The senders' side: remembers which topics were seen to.
#[derive(Debug)]
pub(super) struct TopicKeeper {
    jobs: mpsc::SyncSender<(String, TopicKind)>,
    known: Arc<Mutex<HashSet<String>>>,
}

impl TopicKeeper {
    /// Makes both sides.
    ///
    /// # Errors
    /// [`TopicError`] when the settings are not usable.
    pub(super) fn new(
        settings: &KafkaSettings,
        config: &ClientConfig,
    ) -> Result<(Self, TopicMaker), TopicError> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let known = Arc::default();
        let keeper = Self {
            jobs,
            known: Arc::clone(&known),
        };
        let maker = TopicMaker {
            admin: AdminClient::from_config_and_context(config, Logged)?,
            create: settings.create_topics,
            replication: i32::from(settings.replication_factor),
            properties: Properties::new(&settings.topics)?,
            queue,
            known,
        };
        Ok((keeper, maker))
    }

    /// Has a topic created if it is missing, the first time it is named. Never blocks.
    pub(super) fn ensure(&self, topic: &str, kind: TopicKind) {
        let mut known = lock(&self.known);
        if !known.contains(topic) && self.jobs.try_send((topic.to_owned(), kind)).is_ok() {
            known.insert(topic.to_owned());
        }
    }
}

/// The side that talks to the broker, on a thread of its own.
pub(super) struct TopicMaker {
    admin: AdminClient<Logged>,
    create: bool,
    replication: i32,
    properties: Properties,
    queue: mpsc::Receiver<(String, TopicKind)>,
    known: Arc<Mutex<HashSet<String>>>,
}

impl TopicMaker {
    /// Works until the [`TopicKeeper`] is gone.
    pub(super) fn run(self) {
        while let Ok(first) = self.queue.recv() {
            let topics: Vec<_> = std::iter::once(first)
                .chain(self.queue.try_iter().take(QUEUE))
                .collect();
            if let Err(error) = self.make(&topics) {
                warn!(%error, ?topics, "topics could not be looked at or created");
                // The next record for one of them has it looked at again.
                let mut known = lock(&self.known);
                for (topic, _) in &topics {
                    known.remove(topic);
                }
            }
        }
    }

    /// Looks at `topics` and creates the missing ones.
    ///
    /// # Errors
    /// [`TopicError`] when the broker does not answer. A topic that cannot be created is only logged.
    pub(super) fn make(&self, topics: &[(String, TopicKind)]) -> Result<(), TopicError> {
        let metadata = self.admin.inner().fetch_metadata(None, METADATA_TIMEOUT)?;
        let existing: BTreeMap<&str, usize> = metadata
            .topics()
            .iter()
            .map(|topic| (topic.name(), topic.partitions().len()))
            .collect();
        for (topic, kind) in topics {
            match existing.get(topic.as_str()) {
                Some(partitions) if *partitions > 1 && *kind == TopicKind::RuleEngine => warn!(
                    topic,
                    partitions,
                    "the order of a device's telemetry is kept only while its topic has one Kafka partition"
                ),
                Some(_) => debug!(topic, "the topic is there"),
                None if self.create => self.create(topic, *kind),
                None => warn!(topic, "the topic is missing and is not to be created"),
            }
        }
        Ok(())
    }

    /// Whether all of `topics` are there.
    ///
    /// # Errors
    /// [`TopicError`] when the broker does not answer.
    pub(super) fn exist(&self, topics: &[(String, TopicKind)]) -> Result<bool, TopicError> {
        let metadata = self.admin.inner().fetch_metadata(None, METADATA_TIMEOUT)?;
        let existing: HashSet<&str> = metadata
            .topics()
            .iter()
            .filter(|topic| !topic.partitions().is_empty())
            .map(|topic| topic.name())
            .collect();
        Ok(topics
            .iter()
            .all(|(topic, _)| existing.contains(topic.as_str())))
    }

    fn create(&self, topic: &str, kind: TopicKind) {
        let properties = self.properties.of(kind);
        let partitions = match kind {
            TopicKind::ApiResponses => 1,
            TopicKind::ApiRequests
            | TopicKind::Core
            | TopicKind::Notifications
            | TopicKind::RuleEngine => i32::from(properties.partitions),
        };
        let new = properties.config.iter().fold(
            NewTopic::new(topic, partitions, TopicReplication::Fixed(self.replication)),
            |new, (name, value)| new.set(name, value),
        );
        let options = AdminOptions::new()
            .request_timeout(Some(CREATE_TIMEOUT))
            .operation_timeout(Some(CREATE_TIMEOUT));
        let created = block_on(self.admin.create_topics([&new], &options)).and_then(|results| {
            results
                .into_iter()
                .collect::<Result<Vec<_>, _>>()
                .map_err(|(_, code)| KafkaError::AdminOp(code))
        });
        match created.map_err(|error| (error.rdkafka_error_code(), error)) {
            Ok(_) => info!(topic, "created"),
            Err((Some(RDKafkaErrorCode::TopicAlreadyExists), _)) => debug!(topic, "is there"),
            Err((_, error)) => warn!(topic, %error, "the topic could not be created"),
        }
    }
}

/// Why topics cannot be looked after.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The broker does not answer, or a property is not usable.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Topic properties cannot be read.
    #[error(transparent)]
    Properties(#[from] PropertiesError),
}

/// The properties of every kind.
#[derive(Debug)]
struct Properties {
    core: TopicProperties,
    rule_engine: TopicProperties,
    transport_api: TopicProperties,
    notifications: TopicProperties,
}

impl Properties {
    fn new(settings: &TopicSettings) -> Result<Self, PropertiesError> {
        Ok(Self {
            core: TopicProperties::parse(&settings.core_properties)?,
            rule_engine: TopicProperties::parse(&settings.rule_engine_properties)?,
            transport_api: TopicProperties::parse(&settings.transport_api_properties)?,
            notifications: TopicProperties::parse(&settings.notifications_properties)?,
        })
    }

    const fn of(&self, kind: TopicKind) -> &TopicProperties {
        match kind {
            TopicKind::ApiRequests | TopicKind::ApiResponses => &self.transport_api,
            TopicKind::Core => &self.core,
            TopicKind::Notifications => &self.notifications,
            TopicKind::RuleEngine => &self.rule_engine,
        }
    }
}

/// Waits for a future on this thread, which no runtime owns.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Topics that may wait to be looked at; more than one installation has.
const QUEUE: usize = 10_000;
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
const CREATE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::client;
    use super::*;

    #[test]
    fn a_topic_that_could_not_be_looked_at_is_looked_at_again() {
        let settings = KafkaSettings {
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            ..KafkaSettings::default()
        };
        let config = client::admin(&settings, "ls-0").unwrap();
        let (keeper, maker) = TopicKeeper::new(&settings, &config).unwrap();
        let known = Arc::clone(&keeper.known);
        let knows = |topic| lock(&known).contains(topic);
        keeper.ensure("tb_core.1", TopicKind::Core);
        assert!(knows("tb_core.1"));
        thread::scope(|scope| {
            scope.spawn(move || maker.run());
            while knows("tb_core.1") {
                thread::yield_now();
            }
            drop(keeper);
        });
    }
}
