//! Numbers of topics and Kafka partitions are those of the platform: for every captured record, and for a thousand UUIDs
//! that Guava and Apache's Java client were asked about (`tests/data/README.md`).

use std::collections::BTreeMap;

use lightship::platform::thingsboard::{partition::partition, settings::HashFunction};
use prost::Message;
use uuid::Uuid;

use crate::{
    golden::{GROUPS, Golden, records},
    murmur2,
    wire::{TbMsgProto, ToCoreMsg, ToRuleEngineMsg, ToUsageStatsServiceMsg},
};

const FIXTURE: &str = include_str!("../data/partitions.csv");

#[test]
fn a_thousand_uuids_have_the_numbers_that_guava_and_kafka_give_them() {
    let mut lines = FIXTURE.lines();
    assert_eq!(
        lines.next(),
        Some("uuid,murmur3_128,murmur3_32,sha256,kafka")
    );
    let mut compared = 0;
    for line in lines {
        let (id, numbers) = line.split_once(',').unwrap();
        let numbers: Vec<u32> = numbers.split(',').map(|n| n.parse().unwrap()).collect();
        let uuid: Uuid = id.parse().unwrap();
        let ours = [
            partition(uuid, 10, HashFunction::Murmur3_128),
            partition(uuid, 10, HashFunction::Murmur3_32),
            partition(uuid, 10, HashFunction::Sha256),
            murmur2::partition(id.as_bytes(), 10),
        ];
        assert_eq!(ours.as_slice(), numbers, "{id}");
        compared += 1;
    }
    assert_eq!(compared, 1_000);
}

#[test]
fn every_captured_record_is_in_the_topic_and_partition_that_its_owner_has() {
    let mut counts = BTreeMap::new();
    for record in GROUPS.iter().filter_map(|group| records(group)).flatten() {
        let numbered = record.topic.rsplit_once('.');
        let numbered = numbered.and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
        let (topic, number): (&str, Option<u32>) = match numbered {
            Some((topic, number)) => (topic, Some(number)),
            None => (&record.topic, None),
        };
        match (topic, number) {
            ("tb_core", Some(number)) => {
                // Of what the core writes to itself, what is for a device has its key.
                let id: Uuid = match device(&record) {
                    Some(id) => id,
                    None => continue,
                };
                assert_eq!(number, ten(id), "{}", record.topic);
            }
            ("tb_usage_stats", Some(number)) => {
                let message = ToUsageStatsServiceMsg::decode(record.value().as_slice()).unwrap();
                for entry in message.msgs {
                    let tenant = id(entry.tenant_id_msb, entry.tenant_id_lsb);
                    let customer = id(entry.customer_id_msb, entry.customer_id_lsb);
                    let owner = if customer.is_nil() { tenant } else { customer };
                    assert_eq!(number, ten(owner), "{}", record.topic);
                }
            }
            (_, Some(number)) => {
                let message = rule_engine_message(&record);
                if message.correlation_id_msb == 0 {
                    let entity = id(message.entity_id_msb, message.entity_id_lsb);
                    // At the end a queue had eleven partitions.
                    let eleven = partition(entity, 11, HashFunction::Murmur3_128);
                    let numbers = [ten(entity), eleven];
                    assert!(numbers.contains(&number), "{}", record.topic);
                } else {
                    assert_eq!(number.cast_signed(), message.partition, "{}", record.topic);
                }
            }
            // Topics with ten Kafka partitions.
            ("tb_transport.api.requests" | "tb_housekeeper", None) => {
                let partition = murmur2::partition(record.key.as_bytes(), 10);
                assert_eq!(record.partition, partition, "{}", record.key);
            }
            // Topics of one instance.
            (_, None) => assert_eq!(record.partition, 0, "{}", record.topic),
        }
        *counts.entry(topic.to_owned()).or_insert(0) += 1;
    }
    println!("records in their topic and partition: {counts:?}");
}

fn ten(id: Uuid) -> u32 {
    partition(id, 10, HashFunction::Murmur3_128)
}

fn id(msb: i64, lsb: i64) -> Uuid {
    Uuid::from_u64_pair(msb.cast_unsigned(), lsb.cast_unsigned())
}

/// The device of a message for a device actor.
fn device(record: &Golden) -> Option<Uuid> {
    let message = ToCoreMsg::decode(record.value().as_slice()).unwrap();
    let info = message.to_device_actor_msg?.session_info?;
    Some(id(info.device_id_msb, info.device_id_lsb))
}

fn rule_engine_message(record: &Golden) -> TbMsgProto {
    let outer = ToRuleEngineMsg::decode(record.value().as_slice()).unwrap();
    outer
        .tb_msg_proto
        .unwrap_or_else(|| TbMsgProto::decode(outer.tb_msg.as_slice()).unwrap())
}
