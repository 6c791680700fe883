//! What we write, read from Apache Kafka by kcat and decoded by Google's protobuf library; skipped with a reason where
//! one of them cannot be had.

use std::{collections::BTreeMap, sync::Arc};

use lightship::{
    lwm2m::path::ObjectVersion,
    platform::{
        Question, Uplink,
        thingsboard::settings::UsageSettings,
        time::UnixMillis,
        uplink::{KeyValue, RpcBody, RpcStatus},
    },
};
use serde_json::Value;

use crate::{
    fixture::{CONFIGURATION, Fixture, PATIENCE, PREFIX, SERVICE, eventually},
    peers::{kafka::Broker, kcat, protobuf::Decoder},
    support::strict_core::StrictCore,
};

/// Writes a record of every kind.
fn write_everything(fixture: &Fixture<Arc<Broker>>) {
    let (endpoint, session) = fixture.registered();
    let of = || Arc::clone(&session);
    endpoint.post(&session, "n", KeyValue::Double(1.5)).unwrap();
    endpoint
        .submit(Uplink::Attributes {
            id: None,
            session: of(),
            values: vec![("model".to_owned(), KeyValue::String("=M1".to_owned()))],
            ts: UnixMillis(1_700_000_000_000),
        })
        .unwrap();
    let wanted = Uplink::AttributesWanted {
        session: of(),
        keys: vec!["a".to_owned(), "b".to_owned()],
    };
    endpoint.submit(wanted).unwrap();
    let wanted = Uplink::PendingRpcWanted { session: of() };
    endpoint.submit(wanted).unwrap();
    let rpc = fixture.core.rpc(fixture.device, "Read", "{}");
    let request = fixture.sink.take_rpc();
    for status in [RpcStatus::Sent, RpcStatus::Delivered] {
        endpoint
            .submit(Uplink::RpcStatus {
                session: of(),
                rpc: request.id,
                status,
            })
            .unwrap();
    }
    endpoint
        .submit(Uplink::RpcReply {
            session: of(),
            rpc: request.id,
            body: RpcBody::Payload(r#"{"result":"CONTENT"}"#.to_owned()),
        })
        .unwrap();
    fixture.core.await_rpc(rpc, PATIENCE);
    let question = Question::Models {
        tenant: session.device.tenant,
        keys: vec![(3, ObjectVersion::V1_0)],
    };
    fixture.endpoint().ask(question).unwrap();
    let other = fixture.core.add_profile("other", CONFIGURATION, None);
    fixture
        .core
        .change_device(fixture.device, "renamed", other, SERVICE);
    fixture.core.await_questions("profile", 1, PATIENCE);
    fixture.core.await_activity(fixture.device, PATIENCE);
    fixture.core.await_heartbeats(fixture.device, 1, PATIENCE);
    fixture.core.await_usage(1, PATIENCE);
    endpoint
        .submit(Uplink::SessionClosed { session: of() })
        .unwrap();
    fixture.core.await_no_session(fixture.device, PATIENCE);
    eventually("the end of all records", || fixture.health().queued == 0);
}

/// The message that the records of a topic are, and what tells their kinds apart.
fn message_of(topic: &str) -> Option<&'static str> {
    let topic = topic.strip_prefix(PREFIX)?.strip_prefix('.')?;
    [
        ("tb_core.", "ToCoreMsg"),
        ("tb_rule_engine.", "ToRuleEngineMsg"),
        ("tb_usage_stats.", "ToUsageStatsServiceMsg"),
        ("tb_transport.api.requests", "TransportApiRequestMsg"),
    ]
    .into_iter()
    .find_map(|(start, message)| topic.starts_with(start).then_some(message))
}

/// The kind of a record: its message and the members by which it is one.
fn kind(message: &str, document: &Value) -> String {
    let members = |value: &Value| -> Vec<String> {
        let members = value.as_object().unwrap().keys();
        let telling = members.filter(|name| *name != "session_info" && *name != "service_id");
        telling.cloned().collect()
    };
    let members = match message {
        "ToCoreMsg" => members(&document["to_device_actor_msg"]),
        "ToRuleEngineMsg" => {
            let inner = &document["tb_msg_proto"];
            vec![inner["type"].as_str().unwrap().to_owned()]
        }
        _ => members(document),
    };
    format!("{message} {}", members.join(" "))
}

#[test]
fn every_kind_of_record_is_read_by_programs_that_nobody_here_wrote() {
    let (Some(broker), Some(decoder)) = (Broker::shared(), Decoder::get()) else {
        return;
    };
    let address = broker.bootstrap_servers();
    let fixture = Fixture::start_on(Arc::clone(&broker), &address, |settings| {
        settings.activity.report_ms = 100;
        settings.activity.inactivity_ms = 2_500;
        settings.usage = UsageSettings {
            interval_s: 1,
            ..UsageSettings::default()
        };
    });
    write_everything(&fixture);
    fixture.platform.stop();
    let mut messages = Vec::new();
    for (topic, _) in StrictCore::topics(PREFIX, SERVICE) {
        let Some(message) = message_of(&topic) else {
            continue;
        };
        let Some(records) = kcat::read(&address, &topic) else {
            return;
        };
        for record in records {
            let key = String::from_utf8(record.key.unwrap()).unwrap();
            key.parse::<uuid::Uuid>().unwrap();
            let headers: &[&str] = match message {
                "TransportApiRequestMsg" => &["expireTs", "requestId", "responseTopic"],
                _ => &[],
            };
            assert_eq!(record.headers, headers, "{topic}");
            messages.push((message, record.value));
        }
    }
    let borrowed: Vec<_> = messages
        .iter()
        .map(|(message, value)| (*message, value.as_slice()))
        .collect();
    let documents = decoder.decode(&borrowed);
    let mut kinds = BTreeMap::new();
    let mut wrapped = Vec::new();
    for ((message, _), document) in messages.iter().zip(&documents) {
        *kinds.entry(kind(message, document)).or_insert(0) += 1;
        if *message == "ToRuleEngineMsg" {
            // While the release of the core is not known, the message comes as bytes as well.
            let bytes = document["tb_msg"].as_str().unwrap();
            let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, bytes);
            wrapped.push((bytes.unwrap(), &document["tb_msg_proto"]));
        }
    }
    let bytes: Vec<_> = wrapped
        .iter()
        .map(|(bytes, _)| ("TbMsgProto", bytes.as_slice()))
        .collect();
    for (unwrapped, (_, message)) in decoder.decode(&bytes).iter().zip(&wrapped) {
        assert_eq!(unwrapped, *message);
    }
    println!("records by kind: {kinds:#?}");
    let found: Vec<_> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "ToCoreMsg get_attributes",
            "ToCoreMsg rpc_response_status_msg",
            "ToCoreMsg send_pending_rpc",
            "ToCoreMsg session_event",
            "ToCoreMsg session_event subscribe_to_attributes subscribe_to_rpc",
            "ToCoreMsg session_event subscription_info",
            "ToCoreMsg subscription_info",
            "ToCoreMsg to_device_rpc_call_response",
            "ToRuleEngineMsg POST_ATTRIBUTES_REQUEST",
            "ToRuleEngineMsg POST_TELEMETRY_REQUEST",
            "ToUsageStatsServiceMsg msgs",
            "TransportApiRequestMsg entity_profile_request_msg",
            "TransportApiRequestMsg get_all_queue_routing_info_request_msg",
            "TransportApiRequestMsg resource_request_msg",
            "TransportApiRequestMsg validate_device_lw_m2m_credentials_request_msg",
        ]
    );
}
