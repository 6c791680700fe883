//! Every record against `platform-wire.md`. What breaks a rule is noted and not acted upon.

use lightship::platform::thingsboard::{partition::partition, settings::HashFunction};
use prost::Message;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    super::{
        murmur2,
        wire::{
            SessionInfoProto, TbMsgProto, ToCoreMsg, ToDeviceRpcResponseMsg,
            ToDeviceRpcResponseStatusMsg, ToRuleEngineMsg, ToUsageStatsServiceMsg,
            TransportApiRequestMsg, TransportToDeviceActorMsg, UsageStatsServiceMsg,
        },
    },
    bus::{Action, Received, full},
    life::Memory,
    state::{NULL, Reading, Rpc, State, TENANT, UsageReport, now_millis, uuid},
};

/// A broken rule.
type Broken = String;

macro_rules! rule {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}

impl State {
    /// Takes a record in: notes what is wrong with it, or does what a core would do.
    pub(super) fn take(&mut self, record: &Received) -> Vec<Action> {
        let taken = if record.topic == full(&self.prefix, "tb_transport.api.requests") {
            self.take_question(record)
        } else if record.topic.starts_with(&full(&self.prefix, "tb_core.")) {
            self.take_actor_message(record)
        } else if record
            .topic
            .starts_with(&full(&self.prefix, "tb_usage_stats."))
        {
            self.take_usage(record).map(|()| Vec::new())
        } else {
            self.take_rule_engine_message(record).map(|()| Vec::new())
        };
        taken.unwrap_or_else(|broken| {
            let Received {
                topic,
                partition,
                offset,
                ..
            } = record;
            self.violations
                .push(format!("{topic}[{partition}]@{offset}: {broken}"));
            Vec::new()
        })
    }

    fn take_question(&mut self, record: &Received) -> Result<Vec<Action>, Broken> {
        let key = key(record)?;
        let names: Vec<&str> = record
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        rule!(
            names == ["expireTs", "requestId", "responseTopic"],
            "headers {names:?}"
        );
        let [(_, expires), (_, id), (_, topic)] = record.headers.as_slice() else {
            return Err("three headers".to_owned());
        };
        let expires = i64::from_be_bytes(expires.as_slice().try_into().map_err(|_| "expireTs")?);
        let left = expires - now_millis();
        rule!(left <= 10_000, "the question expires in {left} ms");
        let id = Uuid::from_slice(id).map_err(|_| "requestId".to_owned())?;
        rule!(id != key, "correlation id and key are the same");
        rule!(
            self.request_ids.insert(id.as_bytes().to_vec()),
            "correlation id {id} was used before"
        );
        let topic = String::from_utf8_lossy(topic);
        let expected = full(&self.prefix, "tb_transport.api.responses.");
        rule!(topic.starts_with(&expected), "response topic {topic}");
        let chosen =
            murmur2::partition(record.key.as_deref().unwrap_or_default(), record.partitions);
        rule!(
            i32::try_from(chosen) == Ok(record.partition),
            "murmur2 chooses partition {chosen}"
        );
        let message: TransportApiRequestMsg = exact(&record.value)?;
        let members = [
            message.entity_profile_request_msg.is_some(),
            message
                .validate_device_lw_m2m_credentials_request_msg
                .is_some(),
            message.resource_request_msg.is_some(),
            message.ota_package_request_msg.is_some(),
            message.get_all_queue_routing_info_request_msg.is_some(),
        ];
        let count = members.iter().filter(|present| **present).count();
        rule!(count == 1, "{count} questions in one message");
        if let Some(asked) = &message.entity_profile_request_msg {
            let kind = asked.entity_type.as_str();
            rule!(
                ["TENANT", "DEVICE_PROFILE"].contains(&kind),
                "entity type {kind}"
            );
        }
        if let Some(asked) = &message.resource_request_msg {
            rule!(
                asked.resource_type == "LWM2M_MODEL",
                "{}",
                asked.resource_type
            );
        }
        if let Some(asked) = &message.ota_package_request_msg {
            let kind = asked.r#type.as_str();
            rule!(
                ["FIRMWARE", "SOFTWARE"].contains(&kind),
                "package type {kind}"
            );
            let tenant = uuid(asked.tenant_id_msb, asked.tenant_id_lsb);
            rule!(tenant == TENANT, "tenant {tenant}");
        }
        Ok(self.answer(record, &message))
    }

    fn take_actor_message(&mut self, record: &Received) -> Result<Vec<Action>, Broken> {
        let key = key(record)?;
        rule!(record.headers.is_empty(), "headers {:?}", record.headers);
        let message: ToCoreMsg = exact(&record.value)?;
        let actor = message
            .to_device_actor_msg
            .ok_or("toDeviceActorMsg is missing")?;
        let info = actor.session_info.clone().ok_or("sessionInfo is missing")?;
        let device = uuid(info.device_id_msb, info.device_id_lsb);
        rule!(key == device, "key {key} is not the device {device}");
        let number = partition(device, 10, HashFunction::Murmur3_128);
        let topic = full(&self.prefix, &format!("tb_core.{number}"));
        rule!(record.topic == topic, "belongs on {topic}");
        self.check_session_info(&info, device)?;
        let session = uuid(info.session_id_msb, info.session_id_lsb);
        self.check_members(&actor, session, device)?;
        if let Some(status) = &actor.rpc_response_status_msg {
            self.take_status(device, status)?;
        }
        if let Some(reply) = &actor.to_device_rpc_call_response {
            self.take_reply(device, reply)?;
        }
        Ok(self.act(session, device, &actor))
    }

    fn check_session_info(&self, info: &SessionInfoProto, device: Uuid) -> Result<(), Broken> {
        rule!(
            !info.node_id.is_empty(),
            "nodeId is empty: the core would drop this"
        );
        let known = self.devices.get(&device).ok_or("the device is unknown")?;
        let tenant = uuid(info.tenant_id_msb, info.tenant_id_lsb);
        rule!(tenant == TENANT, "tenant {tenant}");
        let customer = uuid(info.customer_id_msb, info.customer_id_lsb);
        rule!(customer == NULL, "customer {customer}");
        let profile = uuid(info.device_profile_id_msb, info.device_profile_id_lsb);
        let fits = known.names.iter().any(|(name, of)| {
            *name == info.device_name
                && *of == profile
                && self.profiles[of].name == info.device_type
        });
        rule!(
            fits,
            "{} of type {} with profile {profile} is not what the device is called",
            info.device_name,
            info.device_type
        );
        Ok(())
    }

    /// Which members come together, and in which state of the session.
    fn check_members(
        &self,
        actor: &TransportToDeviceActorMsg,
        session: Uuid,
        device: Uuid,
    ) -> Result<(), Broken> {
        let opens = actor
            .session_event
            .as_ref()
            .is_some_and(|event| event.event == 0);
        let closes = actor.session_event.is_some() && !opens;
        let present = [
            actor.session_event.is_some(),
            actor.subscribe_to_attributes.is_some(),
            actor.subscribe_to_rpc.is_some(),
            actor.subscription_info.is_some(),
            actor.get_attributes.is_some(),
            actor.to_device_rpc_call_response.is_some(),
            actor.rpc_response_status_msg.is_some(),
            actor.send_pending_rpc.is_some(),
        ];
        let legal = [
            [true, true, true, false, false, false, false, false],
            [true, false, false, true, false, false, false, false],
            [true, false, false, false, false, false, false, false],
        ];
        let alone = present.iter().filter(|present| **present).count() == 1;
        rule!(legal.contains(&present) || alone, "members {present:?}");
        rule!(
            actor.session_event.is_none() || closes || present != legal[2],
            "OPEN without subscriptions and without report"
        );
        rule!(!closes || alone, "CLOSED together with something");
        let kinds = [
            actor.session_event.as_ref().map(|event| event.session_type),
            actor
                .subscribe_to_attributes
                .as_ref()
                .map(|sub| sub.session_type),
            actor.subscribe_to_rpc.as_ref().map(|sub| sub.session_type),
        ];
        rule!(
            kinds.iter().flatten().all(|kind| *kind == 1),
            "session types {kinds:?} are not ASYNC"
        );
        let known = self.life.known_sessions.get(&session);
        // Of a bootstrap session the core hears one report without subscriptions, and nothing else.
        let mut is_bootstrap = false;
        if let Some(report) = &actor.subscription_info {
            let flags = [report.attribute_subscription, report.rpc_subscription];
            is_bootstrap = alone && known.is_none() && flags == [false; 2];
            rule!(
                flags == [true; 2] || is_bootstrap,
                "a report with false flags: commands would be lost"
            );
            let ahead = report.last_activity_time - now_millis();
            rule!(ahead <= 1_000, "the activity is {ahead} ms ahead");
            rule!(ahead > -600_000, "the core would close the session at once");
        }
        rule!(
            known.is_none_or(|known| *known == device),
            "session {session} belongs to another device"
        );
        rule!(
            opens || known.is_some() || is_bootstrap,
            "session {session} was not opened"
        );
        Ok(())
    }

    fn take_status(
        &mut self,
        device: Uuid,
        status: &ToDeviceRpcResponseStatusMsg,
    ) -> Result<(), Broken> {
        let id = uuid(status.request_id_msb, status.request_id_lsb);
        let rpc = self
            .rpcs
            .get_mut(&id)
            .ok_or("status of an unknown command")?;
        rule!(
            rpc.pushed
                && rpc.device == device
                && (rpc.request == status.request_id || rpc.memory == Memory::Gone),
            "status of command {id} does not belong to it"
        );
        let progress = &mut rpc.progress;
        let before = progress.statuses.last().map(String::as_str);
        let legal = match status.status.as_str() {
            "SENT" => matches!(before, None | Some("TIMEOUT")),
            "DELIVERED" | "TIMEOUT" => before == Some("SENT"),
            _ => false,
        };
        rule!(
            legal && progress.reply.is_none(),
            "{} of command {id} after {progress:?}",
            status.status
        );
        progress.statuses.push(status.status.clone());
        Ok(())
    }

    fn take_reply(&mut self, device: Uuid, reply: &ToDeviceRpcResponseMsg) -> Result<(), Broken> {
        let is_it = |rpc: &Rpc| {
            rpc.pushed
                && rpc.device == device
                && rpc.request == reply.request_id
                && rpc.progress.reply.is_none()
        };
        let forgotten = |rpc: &Rpc| is_it(rpc) && rpc.memory == Memory::Gone;
        let is_late = self.rpcs.values().any(forgotten);
        let open = self
            .rpcs
            .iter_mut()
            .find(|(_, rpc)| is_it(rpc) && rpc.memory == Memory::Numbered);
        let Some((id, rpc)) = open else {
            rule!(is_late, "reply to no open command");
            return Ok(());
        };
        rule!(
            reply.payload.is_empty() != reply.error.is_empty(),
            "reply to {id} with payload and error, or neither"
        );
        let failed = !reply.error.is_empty();
        let text = if failed { &reply.error } else { &reply.payload };
        let body: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("reply to {id}: {error}"))?;
        rule!(
            body.keys()
                .all(|key| ["result", "value", "error"].contains(&key.as_str()))
                && body.values().all(Value::is_string),
            "reply to {id}: {text}"
        );
        let says_error = body.get("error").is_some_and(|error| error != "");
        rule!(
            failed == says_error,
            "reply to {id} in the wrong member: {text}"
        );
        let delivered = rpc.progress.statuses.last().map(String::as_str);
        rule!(
            failed && delivered.is_none() || delivered == Some("DELIVERED"),
            "reply to {id} after {:?}",
            rpc.progress.statuses
        );
        rpc.progress.reply = Some(if failed {
            Err(text.clone())
        } else {
            Ok(text.clone())
        });
        Ok(())
    }

    fn take_usage(&mut self, record: &Received) -> Result<(), Broken> {
        key(record)?;
        rule!(record.headers.is_empty(), "headers {:?}", record.headers);
        let message: ToUsageStatsServiceMsg = exact(&record.value)?;
        rule!(!message.service_id.is_empty(), "serviceId is empty");
        let legacy = message.msgs.is_empty();
        let entries = if legacy {
            vec![UsageStatsServiceMsg {
                tenant_id_msb: message.tenant_id_msb,
                tenant_id_lsb: message.tenant_id_lsb,
                values: message.values,
                customer_id_msb: message.customer_id_msb,
                customer_id_lsb: message.customer_id_lsb,
            }]
        } else {
            rule!(message.values.is_empty(), "both forms in one record");
            message.msgs
        };
        for entry in entries {
            let tenant = uuid(entry.tenant_id_msb, entry.tenant_id_lsb);
            rule!([TENANT, NULL].contains(&tenant), "tenant {tenant}");
            let number = partition(tenant, 10, HashFunction::Murmur3_128);
            let topic = full(&self.prefix, &format!("tb_usage_stats.{number}"));
            rule!(record.topic == topic, "belongs on {topic}");
            let count = |name: &str, number: i32| {
                let counters = entry.values.iter().filter(|value| {
                    if legacy {
                        value.key == name
                    } else {
                        value.key.is_empty() && value.record_key == number
                    }
                });
                counters.map(|value| value.value).sum()
            };
            rule!(
                entry.values.iter().all(|value| value.value > 0),
                "a counter of nothing"
            );
            self.usages.push(UsageReport {
                legacy,
                tenant,
                messages: count("TRANSPORT_MSG_COUNT", 0),
                data_points: count("TRANSPORT_DP_COUNT", 1),
            });
        }
        Ok(())
    }

    fn take_rule_engine_message(&mut self, record: &Received) -> Result<(), Broken> {
        let key = key(record)?;
        rule!(record.headers.is_empty(), "headers {:?}", record.headers);
        let outer: ToRuleEngineMsg = exact(&record.value)?;
        let form = (!outer.tb_msg.is_empty(), outer.tb_msg_proto.is_some());
        self.forms.insert(form);
        let message = match (&outer.tb_msg_proto, outer.tb_msg.as_slice()) {
            (Some(message), []) => message.clone(),
            (None, []) => return Err("an empty message".to_owned()),
            (None, bytes) => exact(bytes)?,
            (Some(message), bytes) => {
                let legacy: TbMsgProto = exact(bytes)?;
                rule!(legacy == *message, "the two forms differ");
                legacy
            }
        };
        rule!(
            message.id == key.to_string(),
            "key {key} is not the id {}",
            message.id
        );
        let tenant = uuid(outer.tenant_id_msb, outer.tenant_id_lsb);
        rule!(tenant == TENANT, "tenant {tenant}");
        rule!(
            message.entity_type == "DEVICE",
            "entity {}",
            message.entity_type
        );
        let device = uuid(message.entity_id_msb, message.entity_id_lsb);
        rule!(
            self.devices.contains_key(&device),
            "device {device} is unknown"
        );
        self.check_topic(record, device, &message)?;
        rule!(
            message.meta_data.is_some() && message.ctx.is_some(),
            "metaData and ctx must be there"
        );
        rule!(
            (message.customer_id_msb, message.customer_id_lsb) == (0, 0),
            "a customer"
        );
        let age = now_millis() - message.ts;
        rule!((-1_000..300_000).contains(&age), "made {age} ms ago");
        let metadata = message.meta_data.clone().unwrap_or_default().data;
        let names: Vec<&str> = metadata.keys().map(String::as_str).collect();
        let values: Map<String, Value> =
            serde_json::from_str(&message.data).map_err(|error| error.to_string())?;
        rule!(!values.is_empty(), "no values");
        rule!(
            !message.data.contains(['<', '>', '&', '=', '\'']),
            "data is not HTML-safe: {}",
            message.data
        );
        // A record that comes twice is the same record.
        let before = self.messages.insert(
            (record.topic.clone(), message.id.clone()),
            record.value.clone(),
        );
        if let Some(before) = before {
            rule!(
                before == record.value,
                "id {} was used for something else",
                message.id
            );
            return Ok(());
        }
        let known = self.devices.get_mut(&device).unwrap();
        match message.r#type.as_str() {
            "POST_TELEMETRY_REQUEST" => {
                rule!(
                    names == ["deviceName", "deviceType", "ts"],
                    "metadata {names:?}"
                );
                let ts = metadata["ts"]
                    .parse()
                    .map_err(|_| "ts is no number".to_owned())?;
                known.telemetry.push(Reading { ts, values });
            }
            "POST_ATTRIBUTES_REQUEST" => {
                rule!(
                    names == ["deviceName", "deviceType", "notifyDevice"]
                        && metadata["notifyDevice"] == "false",
                    "metadata {metadata:?}"
                );
                known.attributes.extend(values);
            }
            other => return Err(format!("type {other}")),
        }
        Ok(())
    }

    /// The topic belongs to a queue of one of the device's profiles, and its number to the device.
    fn check_topic(
        &self,
        record: &Received,
        device: Uuid,
        message: &TbMsgProto,
    ) -> Result<(), Broken> {
        let profiles = self.devices[&device].names.iter();
        let queues = profiles.filter_map(|(_, profile)| {
            let name = self.profiles[profile].queue.as_deref().unwrap_or("Main");
            let get = |owner, name: &str| {
                let queue = self.queues.get(&(owner, name.to_owned()))?;
                Some((owner, queue))
            };
            let own = self.tenant_isolated.then(|| get(TENANT, name)).flatten();
            own.or_else(|| get(NULL, name))
                .or_else(|| get(NULL, "Main"))
        });
        // A change of a queue or of the isolation becomes known a little later.
        let former = self
            .former_queues
            .iter()
            .map(|(owner, queue)| (*owner, queue));
        let shared = self
            .queues
            .iter()
            .map(|((owner, _), queue)| (*owner, queue));
        let shared = shared.filter(|(owner, _)| self.tenant_isolated && *owner == NULL);
        let copy = (message.correlation_id_msb, message.correlation_id_lsb) != (0, 0);
        for (owner, queue) in queues.chain(former).chain(shared) {
            let number = partition(device, queue.partitions, HashFunction::Murmur3_128);
            let numbers = if queue.duplicate {
                0..queue.partitions
            } else {
                number..number + 1
            };
            let isolated = if owner == NULL {
                String::new()
            } else {
                format!(".isolated.{owner}")
            };
            for number in numbers {
                let topic = full(&self.prefix, &format!("{}{isolated}.{number}", queue.topic));
                if record.topic == topic && copy == queue.duplicate {
                    rule!(
                        !copy || message.partition == number.cast_signed(),
                        "a copy for partition {}",
                        message.partition
                    );
                    return Ok(());
                }
            }
        }
        Err("the device's values belong on another topic".to_owned())
    }
}

/// The key, which every receiver of the platform parses strictly.
fn key(record: &Received) -> Result<Uuid, Broken> {
    let key = record.key.as_deref().ok_or("no key")?;
    let text = str::from_utf8(key).map_err(|_| "the key is no text")?;
    let id: Uuid = text.parse().map_err(|_| format!("key {text} is no UUID"))?;
    rule!(
        id.to_string() == text,
        "key {text} is not in its usual form"
    );
    Ok(id)
}

/// A message that holds known members only, in the one usual encoding.
fn exact<M: Message + Default>(bytes: &[u8]) -> Result<M, Broken> {
    let message = M::decode(bytes).map_err(|error| error.to_string())?;
    rule!(
        message.encode_to_vec() == bytes,
        "unknown members, or an unusual encoding"
    );
    Ok(message)
}
