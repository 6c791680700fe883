//! The double's side of Kafka.

use std::time::Duration;

use lightship::platform::thingsboard::topics::record_key;
use prost::Message as _;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, Headers, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use uuid::Uuid;

use super::super::wire::ToTransportMsg;

/// Kafka partitions of the topic for questions.
const API_PARTITIONS: i32 = 10;
/// Numbered topics of the core and of every queue.
pub(super) const PARTITIONS: u32 = 10;

/// A record that was received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Kafka partitions of its topic.
    pub(super) partitions: u32,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) value: Vec<u8>,
}

/// What follows from a record.
#[derive(Clone, Debug)]
pub(super) enum Action {
    /// Answers a question.
    Answer { request: Received, value: Vec<u8> },
    /// Sends a notification to a transport.
    Notify {
        node: String,
        message: Box<ToTransportMsg>,
    },
}

pub(super) struct Bus {
    consumer: BaseConsumer,
    producer: ThreadedProducer<DefaultProducerContext>,
    prefix: String,
    partitions: Vec<(String, u32)>,
}

/// A topic name with its prefix.
pub(super) fn full(prefix: &str, topic: &str) -> String {
    if prefix.is_empty() {
        topic.to_owned()
    } else {
        format!("{prefix}.{topic}")
    }
}

/// The topics that the double reads, with their Kafka partitions.
pub(super) fn core_topics(prefix: &str) -> Vec<(String, i32)> {
    let numbered = ["tb_core", "tb_rule_engine.main", "tb_usage_stats"]
        .into_iter()
        .flat_map(|topic| (0..PARTITIONS).map(move |number| (format!("{topic}.{number}"), 1)));
    let requests = ("tb_transport.api.requests".to_owned(), API_PARTITIONS);
    std::iter::once(requests)
        .chain(numbered)
        .map(|(topic, partitions)| (full(prefix, &topic), partitions))
        .collect()
}

impl Bus {
    /// The bus of one of several instances: it reads the topics whose number is its own, and partitions likewise.
    pub(super) fn connect(
        bootstrap_servers: &str,
        prefix: &str,
        instance: usize,
        instances: usize,
    ) -> Self {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap_servers)
            .set("allow.auto.create.topics", "false")
            .set("reconnect.backoff.max.ms", "1000");
        let topics = core_topics(prefix);
        create_missing(&config, &topics);
        let consumer: BaseConsumer = config
            .clone()
            .set("group.id", full(prefix, "strict-core"))
            .set("fetch.wait.max.ms", "20")
            .set("auto.offset.reset", "earliest")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        for (topic, partitions) in &topics {
            let number = topic.rsplit('.').next().and_then(|text| text.parse().ok());
            for partition in 0..*partitions {
                let share: i32 = number.unwrap_or(partition);
                if share as usize % instances != instance {
                    continue;
                }
                assignment
                    .add_partition_offset(topic, partition, Offset::Beginning)
                    .unwrap();
            }
        }
        consumer.assign(&assignment).unwrap();
        let producer = config
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let partitions = topics
            .into_iter()
            .map(|(topic, partitions)| (topic, partitions.unsigned_abs()))
            .collect();
        Self {
            consumer,
            producer,
            prefix: prefix.to_owned(),
            partitions,
        }
    }

    /// Reads one more topic, of one Kafka partition, that is there.
    pub(super) fn also_read(&self, topic: &str) {
        let mut assignment = TopicPartitionList::new();
        assignment
            .add_partition_offset(topic, 0, Offset::Beginning)
            .unwrap();
        self.consumer.incremental_assign(&assignment).unwrap();
    }

    /// The next record, if one comes in time.
    pub(super) fn receive(&self, patience: Duration) -> Option<Received> {
        // Errors are the broker going down, which tests do on purpose.
        let message = self.consumer.poll(patience)?.ok()?;
        let headers = message.headers().map(|headers| {
            let all = headers.iter();
            all.map(|Header { key, value }| (key.to_owned(), value.unwrap_or_default().to_vec()))
                .collect()
        });
        let partitions = self
            .partitions
            .iter()
            .find(|(topic, _)| topic == message.topic())
            .map_or(1, |(_, partitions)| *partitions);
        Some(Received {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            partitions,
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            value: message.payload().unwrap_or_default().to_vec(),
        })
    }

    pub(super) fn act(&self, action: Action) {
        match action {
            Action::Answer { request, value } => self.answer(&request, &value),
            // The questions behind it do not wait until it is stored.
            Action::Notify { node, message } => self.put(&node, &message),
        }
    }

    /// Writes an answer as the core does: key and headers of the question.
    fn answer(&self, request: &Received, value: &[u8]) {
        let topic = request
            .headers
            .iter()
            .find(|(name, _)| name == "responseTopic");
        let Some((_, topic)) = topic else { return };
        let topic = String::from_utf8(topic.clone()).unwrap();
        let headers = request
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: Some(value),
                })
            });
        let key = request.key.clone().unwrap_or_default();
        let record = BaseRecord::to(&topic)
            .key(&key)
            .payload(value)
            .headers(headers);
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
    }

    /// Writes a notification for the transport `node`.
    pub(super) fn notify(&self, node: &str, message: &ToTransportMsg) {
        self.notify_all(&[(node.to_owned(), message.clone())]);
    }

    /// Writes notifications in one burst.
    pub(super) fn notify_all(&self, messages: &[(String, ToTransportMsg)]) {
        for (node, message) in messages {
            self.put(node, message);
        }
        self.flush();
    }

    fn put(&self, node: &str, message: &ToTransportMsg) {
        let topic = full(&self.prefix, &format!("tb_transport.notifications.{node}"));
        let key = if message.session_id_msb == 0 {
            record_key(Uuid::new_v4())
        } else {
            "13814000-1dd2-11b2-8080-808080808080".to_owned()
        };
        self.produce(&topic, Some(&key), &message.encode_to_vec());
    }

    pub(super) fn send_raw(&self, topic: &str, key: Option<&str>, value: &[u8]) {
        self.produce(topic, key, value);
        self.flush();
    }

    fn produce(&self, topic: &str, key: Option<&str>, value: &[u8]) {
        let mut record = BaseRecord::<str, [u8]>::to(topic).payload(value);
        record.key = key;
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .unwrap();
    }

    fn flush(&self) {
        // Tests stop brokers: this waits for the next one.
        self.producer.flush(Duration::from_secs(120)).unwrap();
    }
}

fn create_missing(config: &ClientConfig, topics: &[(String, i32)]) {
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let existing = || -> Vec<String> {
        let metadata = admin
            .inner()
            .fetch_metadata(None, Duration::from_secs(10))
            .unwrap();
        let topics = metadata.topics().iter();
        topics.map(|topic| topic.name().to_owned()).collect()
    };
    let there = existing();
    let missing: Vec<_> = topics
        .iter()
        .filter(|(topic, _)| !there.contains(topic))
        .map(|(topic, partitions)| NewTopic::new(topic, *partitions, TopicReplication::Fixed(1)))
        .collect();
    if missing.is_empty() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    for created in runtime
        .block_on(admin.create_topics(&missing, &options))
        .unwrap()
    {
        // The metadata may lag behind whoever made it a moment ago.
        if let Err((topic, error)) = created
            && error != RDKafkaErrorCode::TopicAlreadyExists
        {
            panic!("{topic}: {error}");
        }
    }
    while !topics.iter().all(|(topic, _)| existing().contains(topic)) {
        std::thread::sleep(Duration::from_millis(50));
    }
}
