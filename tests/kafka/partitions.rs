//! The Kafka partition of a key is the one that Apache's Java client chooses.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer},
};

use crate::fixture::PATIENCE;

const FIXTURE: &str = include_str!("../data/partitions.csv");
const TOPIC: &str = "requests";

#[test]
fn o9_a_thousand_keys_go_where_the_java_client_sends_them() {
    let cluster = MockCluster::<'static, DefaultProducerContext>::new(1).unwrap();
    cluster.create_topic(TOPIC, 10, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers());
    // As `client::producer` sets it.
    let producer: BaseProducer = config
        .clone()
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap();
    let expected: BTreeMap<&str, i32> = FIXTURE
        .lines()
        .skip(1)
        .map(|line| {
            let (key, _) = line.split_once(',').unwrap();
            let (_, partition) = line.rsplit_once(',').unwrap();
            (key, partition.parse().unwrap())
        })
        .collect();
    assert_eq!(expected.len(), 1_000);
    for key in expected.keys() {
        let record = BaseRecord::to(TOPIC).key(*key).payload("");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let consumer: BaseConsumer = config.set("group.id", "o9").create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..10 {
        all.add_partition_offset(TOPIC, partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    let mut compared = 0;
    while compared < expected.len() {
        let message = consumer.poll(Duration::from_secs(30)).unwrap().unwrap();
        let key = str::from_utf8(message.key().unwrap()).unwrap();
        assert_eq!(message.partition(), expected[key], "{key}");
        compared += 1;
    }
}
