//! Every record of a kind that we produce comes out of our code as the reference wrote it.
//!
//! A captured record is decoded, taken for a value of the seam, and encoded by our code under the same ids and times.
//! Topic, key, headers and value must then be equal byte for byte, with one liberty: the entries of the metadata map,
//! whose order means nothing, are sorted on both sides before values are compared.

use std::{collections::BTreeMap, sync::Arc};

use lightship::platform::{
    package::PackageKind,
    session::{DeviceInfo, PlatformId, SessionId, SessionInfo},
    thingsboard::{
        convert::{
            ApiQuestion, CoreMessage, Form, RuleEngineMessage, Usage, core_message, question,
            rule_engine_message, usage_message,
        },
        partition::partition,
        settings::{CoreSettings, KafkaSettings},
        topics::Topics,
    },
    time::UnixMillis,
    uplink::{KeyValue, RpcBody, RpcId, RpcStatus},
};
use prost::Message;
use uuid::Uuid;

use crate::{
    golden::{GROUPS, Golden, records},
    wire::{
        SessionInfoProto, TbMsgProto, ToCoreMsg, ToRuleEngineMsg, ToUsageStatsServiceMsg,
        TransportApiRequestMsg, TransportToDeviceActorMsg,
    },
};

const SERVICE: &str = "tb-lwm2m-0";

/// The shapes in which a LwM2M transport writes: the members of a question, of a message for a device actor, and the rest.
const SHAPES: [&str; 15] = [
    "question 4: profile or tenant",
    "question 8: credentials",
    "question 9: model",
    "question 10: package",
    "question 14: queues",
    "actor 1,2: session closed",
    "actor 1,2,4,5: session opened",
    "actor 1,3: attributes wanted",
    "actor 1,6: reply",
    "actor 1,7: activity",
    "actor 1,10: status",
    "actor 1,11: commands wanted",
    "telemetry",
    "attributes",
    "usage",
];

#[test]
fn every_shape_of_record_is_written_as_the_reference_writes_it() {
    let mut counts = BTreeMap::new();
    for record in GROUPS.iter().filter_map(|group| records(group)).flatten() {
        if record.producer != "transport" {
            continue;
        }
        let shape = match record.message.as_str() {
            "ToCoreMsg" => core(&record),
            "ToRuleEngineMsg" => rule_engine(&record),
            "TransportApiRequestMsg" => api_request(&record),
            "ToUsageStatsServiceMsg" => usage(&record),
            other => panic!("{other} is never sent by a LwM2M transport"),
        };
        *counts.entry(shape).or_insert(0_u32) += 1;
    }
    if counts.is_empty() {
        return;
    }
    for (shape, count) in &counts {
        println!("{count:5} {shape}");
    }
    println!("{} records compared", counts.values().sum::<u32>());
    let shapes: Vec<_> = counts.into_keys().collect();
    let mut expected = SHAPES;
    expected.sort_unstable();
    assert_eq!(shapes, expected);
}

fn topics() -> Topics {
    Topics::new(&KafkaSettings::default(), SERVICE).unwrap()
}

/// Number of the topic, of ten, for a device or an owner.
fn number(device: Uuid) -> u32 {
    let core = CoreSettings::default();
    partition(device, core.partitions, core.hash_function)
}

fn id(msb: i64, lsb: i64) -> Uuid {
    Uuid::from_u64_pair(msb.cast_unsigned(), lsb.cast_unsigned())
}

fn session(info: &SessionInfoProto) -> SessionInfo {
    SessionInfo {
        id: SessionId(id(info.session_id_msb, info.session_id_lsb)),
        device: Arc::new(DeviceInfo {
            tenant: PlatformId(id(info.tenant_id_msb, info.tenant_id_lsb)),
            customer: PlatformId(id(info.customer_id_msb, info.customer_id_lsb)),
            device: PlatformId(id(info.device_id_msb, info.device_id_lsb)),
            profile: PlatformId(id(info.device_profile_id_msb, info.device_profile_id_lsb)),
            name: info.device_name.clone(),
            kind: info.device_type.clone(),
        }),
    }
}

fn core(record: &Golden) -> &'static str {
    let value = record.value();
    let actor = ToCoreMsg::decode(value.as_slice())
        .unwrap()
        .to_device_actor_msg
        .unwrap();
    let info = actor.session_info.clone().unwrap();
    assert_eq!(info.node_id, SERVICE);
    let session = session(&info);
    let device = session.device.device.0;
    assert_eq!(record.topic, topics().core(number(device)));
    assert_eq!(record.key, device.to_string());
    let (kind, encoded) = encode_core(&session, &actor);
    assert_eq!(encoded, value, "{actor:?}");
    kind
}

/// The same message from our code.
fn encode_core(
    session: &SessionInfo,
    actor: &TransportToDeviceActorMsg,
) -> (&'static str, Vec<u8>) {
    let encode = |message| core_message(session, SERVICE, message);
    if let Some(event) = &actor.session_event {
        return if event.event == 1 {
            ("actor 1,2: session closed", encode(CoreMessage::Closed))
        } else {
            ("actor 1,2,4,5: session opened", encode(CoreMessage::Opened))
        };
    }
    if let Some(report) = &actor.subscription_info {
        if !report.rpc_subscription {
            // Of a bootstrap session (`measured.md` M11). The reference writes it after CLOSED as well (M20), which we never do.
            let at = UnixMillis(report.last_activity_time);
            return (
                "actor 1,7: activity",
                encode(CoreMessage::BootstrapReport(at)),
            );
        }
        let at = UnixMillis(report.last_activity_time);
        return ("actor 1,7: activity", encode(CoreMessage::Activity(at)));
    }
    if let Some(wanted) = &actor.get_attributes {
        let wanted = CoreMessage::AttributesWanted {
            request: wanted.request_id,
            keys: &wanted.shared_attribute_names,
        };
        return ("actor 1,3: attributes wanted", encode(wanted));
    }
    if let Some(status) = &actor.rpc_response_status_msg {
        let message = CoreMessage::RpcStatus {
            rpc: RpcId {
                request: status.request_id,
                uuid: id(status.request_id_msb, status.request_id_lsb),
            },
            status: match status.status.as_str() {
                "SENT" => RpcStatus::Sent,
                "DELIVERED" => RpcStatus::Delivered,
                "TIMEOUT" => RpcStatus::Timeout,
                other => panic!("status {other}"),
            },
        };
        return ("actor 1,10: status", encode(message));
    }
    if let Some(reply) = &actor.to_device_rpc_call_response {
        let body = if reply.error.is_empty() {
            RpcBody::Payload(reply.payload.clone())
        } else {
            RpcBody::Error(reply.error.clone())
        };
        let rpc = RpcId {
            request: reply.request_id,
            uuid: Uuid::nil(),
        };
        return (
            "actor 1,6: reply",
            encode(CoreMessage::RpcReply { rpc, body: &body }),
        );
    }
    assert!(actor.send_pending_rpc.is_some(), "{actor:?}");
    (
        "actor 1,11: commands wanted",
        encode(CoreMessage::PendingRpcWanted),
    )
}

fn rule_engine(record: &Golden) -> &'static str {
    let value = record.value();
    let outer = ToRuleEngineMsg::decode(value.as_slice()).unwrap();
    let inner = outer.tb_msg_proto.clone().unwrap();
    let device = id(inner.entity_id_msb, inner.entity_id_lsb);
    let metadata = &inner.meta_data.as_ref().unwrap().data;
    let optional = |msb, lsb| (msb != 0).then(|| PlatformId(id(msb, lsb)));
    let session = SessionInfo {
        id: SessionId(Uuid::nil()),
        device: Arc::new(DeviceInfo {
            tenant: PlatformId(id(outer.tenant_id_msb, outer.tenant_id_lsb)),
            customer: optional(inner.customer_id_msb, inner.customer_id_lsb)
                .unwrap_or(PlatformId::NULL),
            device: PlatformId(device),
            profile: PlatformId::NULL,
            name: metadata["deviceName"].clone(),
            kind: metadata["deviceType"].clone(),
        }),
    };
    let copy = optional(inner.correlation_id_msb, inner.correlation_id_lsb).map(|correlation| {
        let partition = u32::try_from(inner.partition).unwrap();
        (correlation.0, partition)
    });
    let telemetry = metadata.get("ts").map(|ts| UnixMillis(ts.parse().unwrap()));
    let values = values(&inner);
    let message = RuleEngineMessage {
        id: inner.id.parse().unwrap(),
        session: &session,
        telemetry,
        values: &values,
        rule_chain: optional(inner.rule_chain_id_msb, inner.rule_chain_id_lsb),
        created: UnixMillis(inner.ts),
        copy,
    };
    let ours = rule_engine_message(&message, Form::Modern);
    assert_eq!(sorted_metadata(&ours), sorted_metadata(&value), "{inner:?}");
    assert_eq!(record.key, inner.id);
    if telemetry.is_some() {
        "telemetry"
    } else {
        "attributes"
    }
}

/// The values of a message, as the seam holds them.
fn values(message: &TbMsgProto) -> Vec<(String, KeyValue)> {
    use serde_json::Value;
    let data: serde_json::Map<String, Value> = serde_json::from_str(&message.data).unwrap();
    data.into_iter()
        .map(|(key, value)| {
            let value = match value {
                Value::Bool(value) => KeyValue::Boolean(value),
                Value::Number(number) => number.as_i64().map_or_else(
                    || KeyValue::Double(number.as_f64().unwrap()),
                    KeyValue::Long,
                ),
                Value::String(text) => KeyValue::String(text),
                json @ (Value::Array(_) | Value::Object(_) | Value::Null) => {
                    KeyValue::Json(json.to_string())
                }
            };
            (key, value)
        })
        .collect()
}

fn api_request(record: &Golden) -> &'static str {
    let value = record.value();
    let message = TransportApiRequestMsg::decode(value.as_slice()).unwrap();
    assert_eq!(record.topic, topics().api_requests());
    record.key.parse::<Uuid>().unwrap();
    let headers = record.headers();
    let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["expireTs", "requestId", "responseTopic"]);
    assert_eq!(headers[0].1.len(), 8);
    assert_eq!(headers[1].1.len(), 16);
    assert_eq!(headers[2].1, topics().api_responses().into_bytes());
    let (kind, asked) =
        if let Some(request) = message.validate_device_lw_m2m_credentials_request_msg {
            (
                "question 8: credentials",
                ApiQuestion::Credentials(request.credentials_id),
            )
        } else if let Some(request) = message.entity_profile_request_msg {
            let id = PlatformId(id(request.entity_id_msb, request.entity_id_lsb));
            match request.entity_type.as_str() {
                "TENANT" => ("question 4: profile or tenant", ApiQuestion::Tenant(id)),
                "DEVICE_PROFILE" => (
                    "question 4: profile or tenant",
                    ApiQuestion::DeviceProfile(id),
                ),
                other => panic!("entity type {other}"),
            }
        } else if let Some(request) = message.resource_request_msg {
            let (object, version) = request.resource_key.split_once('_').unwrap();
            (
                "question 9: model",
                ApiQuestion::Model {
                    tenant: PlatformId(id(request.tenant_id_msb, request.tenant_id_lsb)),
                    object: object.parse().unwrap(),
                    version: version.parse().unwrap(),
                },
            )
        } else if message.get_all_queue_routing_info_request_msg.is_some() {
            ("question 14: queues", ApiQuestion::Routing)
        } else {
            let request = message.ota_package_request_msg.unwrap();
            let package = ApiQuestion::Package {
                device: PlatformId(id(request.device_id_msb, request.device_id_lsb)),
                tenant: PlatformId(id(request.tenant_id_msb, request.tenant_id_lsb)),
                kind: match request.r#type.as_str() {
                    "FIRMWARE" => PackageKind::Firmware,
                    "SOFTWARE" => PackageKind::Software,
                    other => panic!("type {other}"),
                },
            };
            ("question 10: package", package)
        };
    assert_eq!(question(&asked), value, "{asked:?}");
    kind
}

fn usage(record: &Golden) -> &'static str {
    let value = record.value();
    let message = ToUsageStatsServiceMsg::decode(value.as_slice()).unwrap();
    assert_eq!(message.service_id, SERVICE);
    let optional = |msb, lsb| (msb != 0).then(|| PlatformId(id(msb, lsb)));
    let usages: Vec<_> = message
        .msgs
        .iter()
        .map(|entry| {
            let count = |key: i32| -> u64 {
                let counters = entry.values.iter().filter(|value| value.record_key == key);
                let sum: i64 = counters.map(|value| value.value).sum();
                sum.unsigned_abs()
            };
            Usage {
                tenant: PlatformId(id(entry.tenant_id_msb, entry.tenant_id_lsb)),
                customer: optional(entry.customer_id_msb, entry.customer_id_lsb),
                messages: count(0),
                data_points: count(1),
            }
        })
        .collect();
    for Usage {
        tenant, customer, ..
    } in &usages
    {
        let owner = customer.unwrap_or(*tenant).0;
        assert_eq!(record.topic, topics().usage_stats(number(owner)));
    }
    record.key.parse::<Uuid>().unwrap();
    assert_eq!(usage_message(SERVICE, &usages), value, "{message:?}");
    "usage"
}

/// The record with the entries of its metadata map in sorted order; everything else stays where it is.
fn sorted_metadata(value: &[u8]) -> Vec<u8> {
    edit(value, 6, |message| {
        edit(message, 11, |metadata| {
            let mut entries: Vec<&[u8]> = fields(metadata)
                .into_iter()
                .map(|(_, raw, _)| raw)
                .collect();
            entries.sort_unstable();
            entries.concat()
        })
    })
}

/// Replaces the content of a length-delimited field by one of the same length.
fn edit(message: &[u8], field: u64, change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    fields(message)
        .into_iter()
        .flat_map(|(number, raw, content)| {
            if number == field {
                let changed = change(content);
                assert_eq!(changed.len(), content.len());
                let (head, _) = raw.split_at(raw.len() - content.len());
                [head, &changed].concat()
            } else {
                raw.to_vec()
            }
        })
        .collect()
}

/// The fields of a message: number, all bytes, and the content of a length-delimited one.
fn fields(mut message: &[u8]) -> Vec<(u64, &[u8], &[u8])> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let start = message;
        let key = varint(&mut message);
        let content = match key & 7 {
            0 => {
                varint(&mut message);
                &[][..]
            }
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                let (content, rest) = message.split_at(length);
                message = rest;
                content
            }
            other => panic!("wire type {other}"),
        };
        let (raw, _) = start.split_at(start.len() - message.len());
        fields.push((key >> 3, raw, content));
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
