//! What the double knows and how it answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::{SystemTime, UNIX_EPOCH},
};

use lightship::platform::uplink::KeyValue;
use prost::Message;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    super::wire::{
        ApiUsageStateProto, AttributeUpdateNotificationMsg, DeviceInfoProto, DeviceProfileProto,
        DeviceProto, EntityDeleteMsg, EntityUpdateMsg, GetAttributeResponseMsg,
        GetEntityProfileResponseMsg, GetOtaPackageResponseMsg, GetQueueRoutingInfoResponseMsg,
        GetResourceResponseMsg, KeyValueProto, KeyValueType, QueueDeleteMsg, QueueUpdateMsg,
        ResourceDeleteMsg, ResourceUpdateMsg, ResponseStatus, SessionCloseNotificationProto,
        TbResourceProto, TenantProfileProto, TenantProto, ToDeviceRpcRequestMsg, ToTransportMsg,
        ToTransportUpdateCredentialsProto, TransportApiRequestMsg, TransportApiResponseMsg,
        TransportToDeviceActorMsg, TsKvProto, ValidateDeviceCredentialsResponseMsg,
        entity_update_msg::EntityUpdate, get_entity_profile_response_msg::Data,
    },
    Close, RpcOptions,
    bus::{Action, PARTITIONS, Received, full},
    life::{CoreOptions, Life, Memory},
};

/// The tenant of all devices.
pub(crate) const TENANT: Uuid = Uuid::from_u128(0xa1b2_c3d4_e5f6_4789_abcd_ef01_2345_6789);
const TENANT_PROFILE: Uuid = Uuid::from_u128(0xb1b2_c3d4_e5f6_4789_abcd_ef01_2345_6789);
/// The platform's null UUID.
pub(super) const NULL: Uuid = Uuid::from_u128(0x1381_4000_1dd2_11b2_8080_8080_8080_8080);

pub(super) struct State {
    pub(super) prefix: String,
    pub(super) devices: HashMap<Uuid, Device>,
    /// Credentials id to device.
    pub(super) credentials: HashMap<String, Uuid>,
    pub(super) profiles: HashMap<Uuid, Profile>,
    pub(super) models: HashMap<String, Vec<u8>>,
    /// Id, title and version of what is assigned, by device and type.
    pub(super) packages: HashMap<(Uuid, String), (Uuid, String, String)>,
    /// Queues by owner and name.
    pub(super) queues: BTreeMap<(Uuid, String), Queue>,
    /// What queues were before they changed: a transport learns of that a little later.
    pub(super) former_queues: Vec<(Uuid, Queue)>,
    /// Whether the tenant was deleted.
    pub(super) tenant_deleted: bool,
    /// Whether the tenant has queues of its own.
    pub(super) tenant_isolated: bool,
    /// Member `configuration` of the tenant profile, JSON.
    pub(super) tenant_configuration: String,
    /// What the transport reported as used: its form, tenant, messages and values.
    pub(super) usages: Vec<UsageReport>,
    /// Forms in which rule-engine messages came: as bytes, as a message.
    pub(super) forms: BTreeSet<(bool, bool)>,
    pub(super) tenant_enabled: bool,
    pub(super) tenant_version: i64,
    /// Sessions that were opened, and not closed by the transport.
    pub(super) sessions: HashMap<Uuid, Session>,
    pub(super) rpcs: HashMap<Uuid, Rpc>,
    pub(super) rpc_order: Vec<Uuid>,
    pub(super) next_requests: HashMap<Uuid, i32>,
    pub(super) questions: HashMap<&'static str, usize>,
    pub(super) request_ids: HashSet<Vec<u8>>,
    /// Bytes of every rule-engine message by its id: a repetition must be the same.
    pub(super) messages: HashMap<(String, String), Vec<u8>>,
    openings: usize,
    /// Devices that had a session at some time.
    had_session: HashSet<Uuid>,
    pub(super) violations: Vec<String>,
    pub(super) silent: bool,
    /// Names of questions that are not answered.
    pub(super) muted: HashSet<String>,
    pub(super) answer_times: usize,
    pub(super) life: Life,
}

pub(super) struct Device {
    /// What it is and was called, with the profiles it had: a transport learns of a change a little later.
    pub(super) names: Vec<(String, Uuid)>,
    client: String,
    shared: BTreeMap<String, TsKvProto>,
    pub(super) telemetry: Vec<Reading>,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) last_activity: Option<i64>,
    pub(super) heartbeats: usize,
    /// Reports of bootstrap sessions.
    pub(super) bootstraps: usize,
}

/// The values of one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) ts: i64,
    pub(crate) values: Map<String, Value>,
}

pub(super) struct Profile {
    pub(super) name: String,
    pub(super) configuration: String,
    pub(super) queue: Option<String>,
    pub(super) version: i64,
}

/// Usage of one tenant, as one record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsageReport {
    /// Whether it came in the form of cores before 4.0.
    pub(crate) legacy: bool,
    /// The tenant; the null UUID for all tenants.
    pub(crate) tenant: Uuid,
    pub(crate) messages: i64,
    pub(crate) data_points: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) topic: String,
    pub(super) partitions: u32,
    pub(super) duplicate: bool,
}

pub(super) struct Session {
    pub(super) device: Uuid,
    pub(super) node: String,
    pub(super) open: bool,
    pub(super) subscribed: bool,
    /// When the device was last active as the transport reported it, or the session was opened; milliseconds.
    pub(super) last_activity: i64,
    /// Place among all openings.
    opened: usize,
}

pub(super) struct Rpc {
    pub(super) device: Uuid,
    pub(super) request: i32,
    method: String,
    params: String,
    pub(super) options: RpcOptions,
    pub(super) expires: i64,
    pub(super) memory: Memory,
    /// Whether it was ever sent to a transport.
    pub(super) pushed: bool,
    pub(super) progress: RpcProgress,
}

/// How far a command has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RpcProgress {
    /// `SENT`, `DELIVERED`, `TIMEOUT` in the order in which they came.
    pub(crate) statuses: Vec<String>,
    /// The result, or the error.
    pub(crate) reply: Option<Result<String, String>>,
}

impl State {
    pub(super) fn new(prefix: &str, options: CoreOptions) -> Self {
        let main = Queue {
            topic: "tb_rule_engine.main".to_owned(),
            partitions: PARTITIONS,
            duplicate: false,
        };
        Self {
            prefix: prefix.to_owned(),
            devices: HashMap::new(),
            credentials: HashMap::new(),
            profiles: HashMap::new(),
            models: HashMap::new(),
            packages: HashMap::new(),
            queues: BTreeMap::from([((NULL, "Main".to_owned()), main)]),
            former_queues: Vec::new(),
            tenant_deleted: false,
            tenant_isolated: false,
            tenant_configuration: r#"{"type":"DEFAULT"}"#.to_owned(),
            usages: Vec::new(),
            forms: BTreeSet::new(),
            tenant_enabled: true,
            tenant_version: 1,
            sessions: HashMap::new(),
            rpcs: HashMap::new(),
            rpc_order: Vec::new(),
            next_requests: HashMap::new(),
            questions: HashMap::new(),
            request_ids: HashSet::new(),
            messages: HashMap::new(),
            openings: 0,
            had_session: HashSet::new(),
            violations: Vec::new(),
            silent: false,
            muted: HashSet::new(),
            answer_times: 1,
            life: Life::new(options),
        }
    }

    pub(super) fn session_of(&self, device: Uuid) -> Option<(&Uuid, &Session)> {
        self.sessions
            .iter()
            .find(|(_, session)| session.open && session.device == device)
    }

    /// What broke a rule. That values come from an open session shows only at the end: topics are read side by side.
    pub(super) fn all_violations(&self) -> Vec<String> {
        let posted = self.devices.iter().filter(|(device, known)| {
            let values = !known.telemetry.is_empty() || !known.attributes.is_empty();
            values && !self.had_session.contains(device)
        });
        let without_session =
            posted.map(|(device, _)| format!("values of {device}, which never had a session"));
        self.violations
            .iter()
            .cloned()
            .chain(without_session)
            .collect()
    }

    /// Forgets what broke a rule.
    pub(super) fn pardon(&mut self) {
        self.violations.clear();
        self.had_session.extend(self.devices.keys());
    }

    pub(super) fn next_request(&mut self, device: Uuid) -> i32 {
        let next = self.next_requests.entry(device).or_default();
        *next += 1;
        *next - 1
    }

    /// Answers a question that was found to be in order.
    pub(super) fn answer(
        &mut self,
        received: &Received,
        request: &TransportApiRequestMsg,
    ) -> Vec<Action> {
        let (name, answer) = self.answer_to(request);
        *self.questions.entry(name).or_default() += 1;
        if self.silent || self.muted.contains(name) {
            return Vec::new();
        }
        let action = Action::Answer {
            request: received.clone(),
            value: answer.encode_to_vec(),
        };
        vec![action; self.answer_times]
    }

    pub(super) fn answer_to_nobody(&self, service_id: &str) -> Action {
        let topic = full(
            &self.prefix,
            &format!("tb_transport.api.responses.{service_id}"),
        );
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let key = Uuid::new_v4();
        Action::Answer {
            request: Received {
                topic: String::new(),
                partition: 0,
                partitions: 1,
                offset: 0,
                key: Some(key.to_string().into_bytes()),
                headers: vec![
                    header("requestId", key.as_bytes()),
                    header("responseTopic", topic.as_bytes()),
                ],
                value: Vec::new(),
            },
            value: TransportApiResponseMsg::default().encode_to_vec(),
        }
    }

    fn answer_to(
        &self,
        request: &TransportApiRequestMsg,
    ) -> (&'static str, TransportApiResponseMsg) {
        let mut answer = TransportApiResponseMsg::default();
        let mut name = "nothing";
        if let Some(asked) = &request.validate_device_lw_m2m_credentials_request_msg {
            name = "credentials";
            answer.validate_cred_response_msg =
                Some(self.credentials_answer(&asked.credentials_id));
        } else if let Some(asked) = &request.entity_profile_request_msg {
            let id = uuid(asked.entity_id_msb, asked.entity_id_lsb);
            let mut response = GetEntityProfileResponseMsg::default();
            if asked.entity_type == "TENANT" {
                name = "tenant";
                if id == TENANT && !self.tenant_deleted {
                    response.data = Some(Data::TenantProfile(self.tenant_profile()));
                    response.api_state = Some(self.api_state());
                }
            } else {
                name = "profile";
                response.data = self.profile(id).map(Data::DeviceProfile);
            }
            answer.entity_profile_response_msg = Some(response);
        } else if let Some(asked) = &request.resource_request_msg {
            name = "model";
            let data = self.models.get(&asked.resource_key);
            answer.resource_response_msg = Some(GetResourceResponseMsg {
                resource: data.map(|data| TbResourceProto {
                    resource_type: "LWM2M_MODEL".to_owned(),
                    resource_key: asked.resource_key.clone(),
                    data: Some(data.clone()),
                }),
            });
        } else if let Some(asked) = &request.ota_package_request_msg {
            name = "package";
            let device = uuid(asked.device_id_msb, asked.device_id_lsb);
            let mut response = GetOtaPackageResponseMsg::default();
            response.set_response_status(ResponseStatus::NotFound);
            if let Some((id, title, version)) = self.packages.get(&(device, asked.r#type.clone())) {
                response.set_response_status(ResponseStatus::Success);
                (response.ota_package_id_msb, response.ota_package_id_lsb) = halves(*id);
                response.title.clone_from(title);
                response.version.clone_from(version);
                response.file_name = "package.bin".to_owned();
            }
            answer.ota_package_response_msg = Some(response);
        } else if request.get_all_queue_routing_info_request_msg.is_some() {
            name = "routing";
            answer.get_queue_routing_info_response_msgs = self
                .queues
                .iter()
                .map(|((owner, name), queue)| {
                    let (tenant_id_msb, tenant_id_lsb) = halves(*owner);
                    GetQueueRoutingInfoResponseMsg {
                        tenant_id_msb,
                        tenant_id_lsb,
                        queue_name: name.clone(),
                        queue_topic: queue.topic.clone(),
                        partitions: queue.partitions.cast_signed(),
                        duplicate_msg_to_all_partitions: Some(queue.duplicate),
                    }
                })
                .collect();
        }
        (name, answer)
    }

    fn credentials_answer(&self, id: &str) -> ValidateDeviceCredentialsResponseMsg {
        let Some(device_id) = self.credentials.get(id) else {
            return ValidateDeviceCredentialsResponseMsg::default();
        };
        let device = &self.devices[device_id];
        let (name, profile_id) = device.name();
        let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
        let (device_id_msb, device_id_lsb) = halves(*device_id);
        let (device_profile_id_msb, device_profile_id_lsb) = halves(*profile_id);
        let (customer_id_msb, customer_id_lsb) = halves(NULL);
        ValidateDeviceCredentialsResponseMsg {
            device_info: Some(DeviceInfoProto {
                tenant_id_msb,
                tenant_id_lsb,
                device_id_msb,
                device_id_lsb,
                device_name: name.clone(),
                device_type: self.profiles[profile_id].name.clone(),
                device_profile_id_msb,
                device_profile_id_lsb,
                customer_id_msb,
                customer_id_lsb,
                ..DeviceInfoProto::default()
            }),
            credentials_body: format!(r#"{{"client":{},"bootstrap":{{}}}}"#, device.client),
            device_profile: self.profile(*profile_id),
        }
    }

    fn profile(&self, id: Uuid) -> Option<DeviceProfileProto> {
        let profile = self.profiles.get(&id)?;
        let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
        let (device_profile_id_msb, device_profile_id_lsb) = halves(id);
        let data = format!(
            r#"{{"configuration":{{"type":"DEFAULT"}},"transportConfiguration":{}}}"#,
            profile.configuration
        );
        Some(DeviceProfileProto {
            tenant_id_msb,
            tenant_id_lsb,
            device_profile_id_msb,
            device_profile_id_lsb,
            name: profile.name.clone(),
            transport_type: "LWM2M".to_owned(),
            default_queue_name: profile.queue.clone(),
            device_profile_data: Some(data.into_bytes()),
            version: Some(profile.version),
            ..DeviceProfileProto::default()
        })
    }

    fn api_state(&self) -> ApiUsageStateProto {
        let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
        let state = if self.tenant_enabled {
            "ENABLED"
        } else {
            "DISABLED"
        };
        ApiUsageStateProto {
            tenant_id_msb,
            tenant_id_lsb,
            entity_type: 1,
            transport_state: state.to_owned(),
            version: self.tenant_version,
        }
    }

    fn tenant_profile(&self) -> TenantProfileProto {
        let (tenant_profile_id_msb, tenant_profile_id_lsb) = halves(TENANT_PROFILE);
        let data = format!(r#"{{"configuration":{}}}"#, self.tenant_configuration);
        TenantProfileProto {
            tenant_profile_id_msb,
            tenant_profile_id_lsb,
            isolated_tb_rule_engine: self.tenant_isolated,
            profile_data: Some(data.into_bytes()),
        }
    }

    pub(super) fn tenant_profile_saved(&self) -> ToTransportMsg {
        saved(EntityUpdate::TenantProfile(self.tenant_profile()))
    }

    pub(super) fn tenant_saved() -> ToTransportMsg {
        let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
        let (tenant_profile_id_msb, tenant_profile_id_lsb) = halves(TENANT_PROFILE);
        saved(EntityUpdate::Tenant(TenantProto {
            tenant_id_msb,
            tenant_id_lsb,
            tenant_profile_id_msb,
            tenant_profile_id_lsb,
        }))
    }

    /// Adds or replaces a queue.
    pub(super) fn save_queue(&mut self, owner: Uuid, name: &str, queue: Queue) -> ToTransportMsg {
        let (tenant_id_msb, tenant_id_lsb) = halves(owner);
        let message = ToTransportMsg {
            queue_update_msgs: vec![QueueUpdateMsg {
                tenant_id_msb,
                tenant_id_lsb,
                queue_name: name.to_owned(),
                queue_topic: queue.topic.clone(),
                partitions: queue.partitions.cast_signed(),
                duplicate_msg_to_all_partitions: Some(queue.duplicate),
            }],
            ..ToTransportMsg::default()
        };
        let former = self.queues.insert((owner, name.to_owned()), queue);
        self.former_queues
            .extend(former.map(|former| (owner, former)));
        message
    }

    pub(super) fn delete_queue(&mut self, owner: Uuid, name: &str) -> ToTransportMsg {
        let (tenant_id_msb, tenant_id_lsb) = halves(owner);
        let former = self.queues.remove(&(owner, name.to_owned()));
        self.former_queues
            .extend(former.map(|former| (owner, former)));
        ToTransportMsg {
            queue_delete_msgs: vec![QueueDeleteMsg {
                tenant_id_msb,
                tenant_id_lsb,
                queue_name: name.to_owned(),
            }],
            ..ToTransportMsg::default()
        }
    }

    pub(super) fn tenant_state(&self) -> ToTransportMsg {
        saved(EntityUpdate::ApiUsageState(self.api_state()))
    }

    pub(super) fn profile_saved(&self, id: Uuid) -> ToTransportMsg {
        saved(EntityUpdate::DeviceProfile(self.profile(id).unwrap()))
    }

    pub(super) fn device_saved(&self, id: Uuid) -> ToTransportMsg {
        let (name, profile) = self.devices[&id].name();
        let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
        let (device_id_msb, device_id_lsb) = halves(id);
        let (device_profile_id_msb, device_profile_id_lsb) = halves(*profile);
        saved(EntityUpdate::Device(DeviceProto {
            tenant_id_msb,
            tenant_id_lsb,
            device_id_msb,
            device_id_lsb,
            device_name: name.clone(),
            device_type: self.profiles[profile].name.clone(),
            device_profile_id_msb,
            device_profile_id_lsb,
            ..DeviceProto::default()
        }))
    }

    /// The command for the device's session, if one is subscribed.
    pub(super) fn rpc_message(
        &mut self,
        device: Uuid,
        id: Uuid,
    ) -> Option<(String, ToTransportMsg)> {
        let (
            session,
            Session {
                node, subscribed, ..
            },
        ) = self.session_of(device)?;
        let (session, node) = (*session, node.clone());
        if !subscribed || self.is_down(self.instance_of(device)) {
            return None;
        }
        let rpc = self.rpcs.get_mut(&id)?;
        rpc.pushed = true;
        let (request_id_msb, request_id_lsb) = halves(id);
        let message = ToTransportMsg {
            to_device_request: Some(ToDeviceRpcRequestMsg {
                request_id: rpc.request,
                method_name: rpc.method.clone(),
                params: rpc.params.clone(),
                expiration_time: rpc.expires,
                request_id_msb,
                request_id_lsb,
                oneway: rpc.options.oneway,
                persisted: rpc.options.persisted,
            }),
            ..to_session(session)
        };
        Some((node, message))
    }

    /// What a session that subscribed or woke up is sent: every command that waits, oldest first.
    pub(super) fn pending(&mut self, device: Uuid) -> Vec<Action> {
        let waiting = |rpc: &Rpc| {
            rpc.device == device
                && rpc.memory == Memory::Numbered
                && rpc.progress.reply.is_none()
                && rpc.expires > now_millis()
        };
        let ids: Vec<Uuid> = self
            .rpc_order
            .iter()
            .copied()
            .filter(|id| waiting(&self.rpcs[id]))
            .collect();
        ids.into_iter()
            .filter_map(|id| self.rpc_message(device, id))
            .map(|(node, message)| Action::Notify {
                node,
                message: Box::new(message),
            })
            .collect()
    }

    pub(super) fn set_attributes(
        &mut self,
        device: Uuid,
        values: &[(&str, KeyValue)],
    ) -> Option<(String, ToTransportMsg)> {
        let updated: Vec<TsKvProto> = values
            .iter()
            .map(|(key, value)| TsKvProto {
                ts: now_millis(),
                kv: Some(key_value(key, value)),
            })
            .collect();
        let shared = &mut self.devices.get_mut(&device)?.shared;
        for ((key, _), value) in values.iter().zip(&updated) {
            shared.insert((*key).to_owned(), value.clone());
        }
        let (session, Session { node, .. }) = self.session_of(device)?;
        let message = ToTransportMsg {
            attribute_update_notification: Some(AttributeUpdateNotificationMsg {
                shared_updated: updated,
                shared_deleted: Vec::new(),
            }),
            ..to_session(*session)
        };
        Some((node.clone(), message))
    }

    /// Answers the wish for shared attributes; no names means all of them.
    pub(super) fn attributes_answer(
        &self,
        session: Uuid,
        device: Uuid,
        request: i32,
        names: &[String],
    ) -> Option<Action> {
        let node = self.sessions.get(&session)?.node.clone();
        let shared = &self.devices[&device].shared;
        let wanted = shared
            .iter()
            .filter(|(key, _)| names.is_empty() || names.contains(key));
        Some(Action::Notify {
            node,
            message: Box::new(ToTransportMsg {
                get_attributes_response: Some(GetAttributeResponseMsg {
                    request_id: request,
                    shared_attribute_list: wanted.map(|(_, value)| value.clone()).collect(),
                    ..GetAttributeResponseMsg::default()
                }),
                ..to_session(session)
            }),
        })
    }

    pub(super) fn close_session(&mut self, device: Uuid, reason: Close) -> Option<Action> {
        let id = *self.session_of(device)?.0;
        let session = self.sessions.get_mut(&id)?;
        session.open = false;
        session.subscribed = false;
        Some(close(id, &session.node, reason))
    }

    pub(super) fn change_credentials(
        &mut self,
        device: Uuid,
        client: &str,
    ) -> Option<(String, ToTransportMsg)> {
        self.devices.get_mut(&device)?.client = client.to_owned();
        let (session, Session { node, .. }) = self.session_of(device)?;
        let message = ToTransportMsg {
            to_transport_update_credentials_notification: Some(ToTransportUpdateCredentialsProto {
                credentials_id: vec!["changed".to_owned()],
                credentials_value: vec![client.to_owned()],
            }),
            ..to_session(*session)
        };
        Some((node.clone(), message))
    }

    /// The device actor's part: sessions, subscriptions, commands. The message was found to be in order.
    pub(super) fn act(
        &mut self,
        session: Uuid,
        device: Uuid,
        actor: &TransportToDeviceActorMsg,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        self.recall(device);
        if let Some(event) = &actor.session_event {
            if event.event == 1 {
                self.sessions.remove(&session);
                return actions;
            }
            actions.extend(self.open(session, device, actor));
        }
        if actor.subscribe_to_rpc.is_some() || actor.send_pending_rpc.is_some() {
            actions.extend(self.pending(device));
        }
        if let Some(wanted) = &actor.get_attributes {
            actions.extend(self.attributes_answer(
                session,
                device,
                wanted.request_id,
                &wanted.shared_attribute_names,
            ));
        }
        if let Some(report) = &actor.subscription_info {
            let known = self.devices.get_mut(&device).unwrap();
            known.last_activity = Some(report.last_activity_time);
            known.heartbeats += usize::from(actor.session_event.is_some());
            known.bootstraps += usize::from(!report.rpc_subscription);
            // A session that the core has lost stays lost: only OPEN brings it back.
            if let Some(open) = self.sessions.get_mut(&session) {
                open.last_activity = report.last_activity_time;
                open.subscribed = open.open && report.rpc_subscription;
            }
        }
        actions
    }

    /// So many sessions a device may have; older ones are closed. A session that is open stays with its node.
    fn open(&mut self, id: Uuid, device: Uuid, actor: &TransportToDeviceActorMsg) -> Vec<Action> {
        self.had_session.insert(device);
        self.life.known_sessions.insert(id, device);
        self.openings += 1;
        let opened = self.openings;
        let session = self.sessions.entry(id).or_insert_with(|| Session {
            device,
            node: actor.session_info.as_ref().unwrap().node_id.clone(),
            open: false,
            subscribed: false,
            last_activity: 0,
            opened,
        });
        if !session.open {
            session.open = true;
            session.last_activity = now_millis();
            session.opened = opened;
        }
        session.subscribed |= actor.subscribe_to_rpc.is_some();
        let mut others: Vec<(usize, Uuid)> = self
            .sessions
            .iter()
            .filter(|(other, session)| **other != id && session.open && session.device == device)
            .map(|(other, session)| (session.opened, *other))
            .collect();
        others.sort_unstable();
        let excess = (others.len() + 1).saturating_sub(self.life.options.sessions_per_device);
        let closed = others.into_iter().take(excess).map(|(_, other)| {
            let session = self.sessions.get_mut(&other).unwrap();
            session.open = false;
            close(other, &session.node, Close::MaxConcurrentSessions)
        });
        closed.collect()
    }
}

impl Device {
    pub(super) fn new(name: &str, profile: Uuid, client: &str) -> Self {
        Self {
            names: vec![(name.to_owned(), profile)],
            client: client.to_owned(),
            shared: BTreeMap::new(),
            telemetry: Vec::new(),
            attributes: BTreeMap::new(),
            last_activity: None,
            heartbeats: 0,
            bootstraps: 0,
        }
    }

    pub(super) fn change(&mut self, name: &str, profile: Uuid) {
        self.names.push((name.to_owned(), profile));
    }

    fn name(&self) -> &(String, Uuid) {
        self.names.last().unwrap()
    }
}

impl Rpc {
    pub(super) fn new(
        device: Uuid,
        request: i32,
        method: &str,
        params: &str,
        options: RpcOptions,
        now: i64,
    ) -> Self {
        Self {
            device,
            request,
            method: method.to_owned(),
            params: params.to_owned(),
            options,
            expires: now + i64::try_from(options.timeout.as_millis()).unwrap(),
            memory: Memory::Numbered,
            pushed: false,
            progress: RpcProgress::default(),
        }
    }
}

pub(super) fn model_deleted(key: &str) -> ToTransportMsg {
    let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
    ToTransportMsg {
        resource_delete_msg: Some(ResourceDeleteMsg {
            tenant_id_msb,
            tenant_id_lsb,
            resource_type: "LWM2M_MODEL".to_owned(),
            resource_key: key.to_owned(),
        }),
        ..ToTransportMsg::default()
    }
}

pub(super) fn model_saved(key: &str) -> ToTransportMsg {
    let (tenant_id_msb, tenant_id_lsb) = halves(TENANT);
    ToTransportMsg {
        resource_update_msg: Some(ResourceUpdateMsg {
            tenant_id_msb,
            tenant_id_lsb,
            resource_type: "LWM2M_MODEL".to_owned(),
            resource_key: key.to_owned(),
        }),
        ..ToTransportMsg::default()
    }
}

pub(super) fn entity_deleted(kind: &str, id: Uuid) -> ToTransportMsg {
    let (entity_id_msb, entity_id_lsb) = halves(id);
    ToTransportMsg {
        entity_delete_msg: Some(EntityDeleteMsg {
            entity_type: kind.to_owned(),
            entity_id_msb,
            entity_id_lsb,
        }),
        ..ToTransportMsg::default()
    }
}

fn saved(entity: EntityUpdate) -> ToTransportMsg {
    ToTransportMsg {
        entity_update_msg: Some(EntityUpdateMsg {
            entity_update: Some(entity),
        }),
        ..ToTransportMsg::default()
    }
}

/// Tells `node` that its session is closed.
pub(super) fn close(session: Uuid, node: &str, reason: Close) -> Action {
    Action::Notify {
        node: node.to_owned(),
        message: Box::new(ToTransportMsg {
            session_close_notification: Some(SessionCloseNotificationProto {
                message: "closed by the core".to_owned(),
                reason: reason as i32,
            }),
            ..to_session(session)
        }),
    }
}

fn to_session(session: Uuid) -> ToTransportMsg {
    let (session_id_msb, session_id_lsb) = halves(session);
    ToTransportMsg {
        session_id_msb,
        session_id_lsb,
        ..ToTransportMsg::default()
    }
}

fn key_value(key: &str, value: &KeyValue) -> KeyValueProto {
    let mut kv = KeyValueProto {
        key: key.to_owned(),
        ..KeyValueProto::default()
    };
    let kind = match value {
        KeyValue::Boolean(value) => {
            kv.bool_v = *value;
            KeyValueType::BooleanV
        }
        KeyValue::Long(value) => {
            kv.long_v = *value;
            KeyValueType::LongV
        }
        KeyValue::Double(value) => {
            kv.double_v = *value;
            KeyValueType::DoubleV
        }
        KeyValue::String(value) => {
            kv.string_v.clone_from(value);
            KeyValueType::StringV
        }
        KeyValue::Json(value) => {
            kv.json_v.clone_from(value);
            KeyValueType::JsonV
        }
    };
    kv.set_type(kind);
    kv
}

pub(super) fn halves(id: Uuid) -> (i64, i64) {
    let (msb, lsb) = id.as_u64_pair();
    (msb.cast_signed(), lsb.cast_signed())
}

pub(super) fn uuid(msb: i64, lsb: i64) -> Uuid {
    Uuid::from_u64_pair(msb.cast_unsigned(), lsb.cast_unsigned())
}

pub(super) fn now_millis() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}
