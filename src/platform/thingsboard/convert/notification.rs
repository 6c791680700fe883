//! What the core sends unasked (`platform-wire.md` 3.8, 4.10).

use prost::Message;

use super::{
    ConvertError, MODEL_TYPE, ProfileRecord, TenantProfile, TenantState, customer, model_key,
    platform_id, profile::device_power, queue_info, uuid,
};
use crate::{
    lwm2m::path::{ObjectId, ObjectVersion},
    platform::{
        downlink::{Downlink, RpcRequest, SessionCloseReason},
        profile::PowerSettings,
        session::{DeviceInfo, PlatformId, SessionId},
        thingsboard::{
            proto::{self, KeyValueType, ToTransportMsg, entity_update_msg::EntityUpdate},
            routing::QueueInfo,
        },
        time::UnixMillis,
        uplink::{KeyValue, RpcId},
    },
};

/// A notification.
#[derive(Clone, Debug, PartialEq)]
pub enum Notification {
    /// For all transports.
    Broadcast(Broadcast),
    /// For one session: what to hand over, in this order.
    Session(SessionId, Vec<Downlink>),
}

/// A notification for all transports.
#[derive(Clone, Debug, PartialEq)]
pub enum Broadcast {
    /// An entity was deleted.
    Deleted(EntityKind, PlatformId),
    /// A device was saved.
    Device {
        /// The device.
        device: DeviceInfo,
        /// Its own power settings.
        power: PowerSettings,
    },
    /// A LwM2M device profile was saved.
    DeviceProfile(Box<ProfileRecord>),
    /// Nothing that concerns this transport.
    Ignored,
    /// An object model was saved or deleted.
    Model {
        /// Owner; [`PlatformId::NULL`] when it serves all tenants.
        owner: PlatformId,
        /// Object id.
        object: ObjectId,
        /// Object version.
        version: ObjectVersion,
    },
    /// Queues were deleted: owner and name.
    QueuesDeleted(Vec<(PlatformId, String)>),
    /// Queues were saved.
    QueuesSaved(Vec<QueueInfo>),
    /// A tenant was saved; it may have another profile.
    Tenant(PlatformId),
    /// A tenant profile was saved.
    TenantProfile(TenantProfile),
    /// What a tenant may use changed.
    TenantState(TenantState),
}

/// The kind of a deleted entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityKind {
    /// A device.
    Device,
    /// A device profile.
    DeviceProfile,
    /// A tenant.
    Tenant,
    /// A tenant profile.
    TenantProfile,
}

/// Reads a notification (`ToTransportMsg`).
///
/// With a session id only the members for sessions count, several at a time; without one exactly one member for all
/// transports does.
///
/// # Errors
/// [`ConvertError`] when it is no such message or what it holds cannot be used.
pub fn notification(bytes: &[u8]) -> Result<Notification, ConvertError> {
    let message = ToTransportMsg::decode(bytes)?;
    if (message.session_id_msb, message.session_id_lsb) == (0, 0) {
        return broadcast(message).map(Notification::Broadcast);
    }
    let session = SessionId(uuid(message.session_id_msb, message.session_id_lsb));
    let attributes = message
        .get_attributes_response
        .filter(|response| response.error.is_empty())
        .map(|response| Downlink::Attributes {
            updated: values(response.shared_attribute_list),
            requested: true,
        });
    let (updated, deleted) = message
        .attribute_update_notification
        .map(|update| (values(update.shared_updated), update.shared_deleted))
        .unwrap_or_default();
    let deleted = (!deleted.is_empty()).then_some(Downlink::AttributesDeleted(deleted));
    let update = (!updated.is_empty()).then_some(Downlink::Attributes {
        updated,
        requested: false,
    });
    let close = message
        .session_close_notification
        .map(|close| Downlink::SessionClosed(close_reason(close.reason())));
    let credentials = message
        .to_transport_update_credentials_notification
        .map(|_| Downlink::CredentialsChanged);
    let rpc = message
        .to_device_request
        .map(|request| Downlink::Rpc(rpc(request)));
    let downlinks = [attributes, deleted, update, close, credentials, rpc];
    Ok(Notification::Session(
        session,
        downlinks.into_iter().flatten().collect(),
    ))
}

const fn close_reason(reason: proto::SessionCloseReason) -> SessionCloseReason {
    match reason {
        proto::SessionCloseReason::UnknownReason => SessionCloseReason::Unknown,
        proto::SessionCloseReason::CredentialsUpdated => SessionCloseReason::CredentialsUpdated,
        proto::SessionCloseReason::MaxConcurrentSessionsLimitReached => {
            SessionCloseReason::MaxConcurrentSessions
        }
        proto::SessionCloseReason::SessionTimeout => SessionCloseReason::SessionTimeout,
        proto::SessionCloseReason::RpcDeliveryTimeout => SessionCloseReason::RpcDeliveryTimeout,
    }
}

fn rpc(request: proto::ToDeviceRpcRequestMsg) -> RpcRequest {
    RpcRequest {
        id: RpcId {
            request: request.request_id,
            uuid: uuid(request.request_id_msb, request.request_id_lsb),
        },
        method: request.method_name,
        params: request.params,
        expires: UnixMillis(request.expiration_time),
        oneway: request.oneway,
        persisted: request.persisted,
    }
}

/// Attributes with their values; one whose type is not known is left out.
fn values(attributes: Vec<proto::TsKvProto>) -> Vec<(String, KeyValue, UnixMillis)> {
    attributes
        .into_iter()
        .filter_map(|attribute| {
            let kv = attribute.kv?;
            let value = match KeyValueType::try_from(kv.r#type).ok()? {
                KeyValueType::BooleanV => KeyValue::Boolean(kv.bool_v),
                KeyValueType::LongV => KeyValue::Long(kv.long_v),
                KeyValueType::DoubleV => KeyValue::Double(kv.double_v),
                KeyValueType::StringV => KeyValue::String(kv.string_v),
                KeyValueType::JsonV => KeyValue::Json(kv.json_v),
            };
            Some((kv.key, value, UnixMillis(attribute.ts)))
        })
        .collect()
}

fn broadcast(message: ToTransportMsg) -> Result<Broadcast, ConvertError> {
    if let Some(update) = message.entity_update_msg {
        return update
            .entity_update
            .map_or(Ok(Broadcast::Ignored), entity_update);
    }
    if let Some(deleted) = message.entity_delete_msg {
        return Ok(entity_deleted(&deleted));
    }
    if let Some(resource) = message.resource_update_msg {
        return Ok(model(
            platform_id(resource.tenant_id_msb, resource.tenant_id_lsb),
            &resource.resource_type,
            &resource.resource_key,
        ));
    }
    if let Some(resource) = message.resource_delete_msg {
        return Ok(model(
            platform_id(resource.tenant_id_msb, resource.tenant_id_lsb),
            &resource.resource_type,
            &resource.resource_key,
        ));
    }
    if !message.queue_update_msgs.is_empty() {
        let queues = message.queue_update_msgs.into_iter();
        return Ok(Broadcast::QueuesSaved(
            queues
                .filter_map(|queue| {
                    queue_info(
                        platform_id(queue.tenant_id_msb, queue.tenant_id_lsb),
                        queue.queue_name,
                        queue.queue_topic,
                        queue.partitions,
                        queue.duplicate_msg_to_all_partitions,
                    )
                })
                .collect(),
        ));
    }
    if message.queue_delete_msgs.is_empty() {
        return Ok(Broadcast::Ignored);
    }
    let queues = message.queue_delete_msgs.into_iter();
    Ok(Broadcast::QueuesDeleted(
        queues
            .map(|queue| {
                let owner = platform_id(queue.tenant_id_msb, queue.tenant_id_lsb);
                (owner, queue.queue_name)
            })
            .collect(),
    ))
}

fn entity_update(update: EntityUpdate) -> Result<Broadcast, ConvertError> {
    Ok(match update {
        EntityUpdate::Tenant(tenant) => {
            Broadcast::Tenant(platform_id(tenant.tenant_id_msb, tenant.tenant_id_lsb))
        }
        EntityUpdate::TenantProfile(profile) => Broadcast::TenantProfile(profile.into()),
        EntityUpdate::Device(device) => Broadcast::Device {
            power: device
                .device_data
                .as_deref()
                .map(device_power)
                .unwrap_or_default(),
            device: DeviceInfo {
                tenant: platform_id(device.tenant_id_msb, device.tenant_id_lsb),
                customer: customer(
                    device.customer_id_msb.unwrap_or(0),
                    device.customer_id_lsb.unwrap_or(0),
                ),
                device: platform_id(device.device_id_msb, device.device_id_lsb),
                profile: platform_id(device.device_profile_id_msb, device.device_profile_id_lsb),
                name: device.device_name,
                kind: device.device_type,
            },
        },
        EntityUpdate::DeviceProfile(profile) => match profile.try_into() {
            Ok(profile) => Broadcast::DeviceProfile(Box::new(profile)),
            // Profiles of all transports are broadcast.
            Err(ConvertError::Transport(_)) => Broadcast::Ignored,
            Err(error) => return Err(error),
        },
        // A customer's state says nothing about its tenant.
        EntityUpdate::ApiUsageState(state) if state.entity_type == CUSTOMER => Broadcast::Ignored,
        EntityUpdate::ApiUsageState(state) => Broadcast::TenantState(state.into()),
    })
}

fn entity_deleted(deleted: &proto::EntityDeleteMsg) -> Broadcast {
    let kind = match deleted.entity_type.as_str() {
        "DEVICE" => EntityKind::Device,
        "DEVICE_PROFILE" => EntityKind::DeviceProfile,
        "TENANT" => EntityKind::Tenant,
        "TENANT_PROFILE" => EntityKind::TenantProfile,
        _ => return Broadcast::Ignored,
    };
    Broadcast::Deleted(
        kind,
        platform_id(deleted.entity_id_msb, deleted.entity_id_lsb),
    )
}

fn model(owner: PlatformId, resource_type: &str, key: &str) -> Broadcast {
    match model_key(key).filter(|_| resource_type == MODEL_TYPE) {
        Some((object, version)) => Broadcast::Model {
            owner,
            object,
            version,
        },
        None => Broadcast::Ignored,
    }
}

/// `EntityTypeProto`
const CUSTOMER: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &ToTransportMsg) -> Notification {
        notification(&message.encode_to_vec()).unwrap()
    }

    fn kv(key: &str, kind: i32) -> proto::TsKvProto {
        proto::TsKvProto {
            ts: 5,
            kv: Some(proto::KeyValueProto {
                key: key.to_owned(),
                r#type: kind,
                long_v: 7,
                ..Default::default()
            }),
        }
    }

    #[test]
    fn session_members_come_in_their_order() {
        let message = ToTransportMsg {
            session_id_msb: 1,
            session_close_notification: Some(proto::SessionCloseNotificationProto {
                message: "gone".to_owned(),
                reason: 3,
            }),
            get_attributes_response: Some(proto::GetAttributeResponseMsg {
                shared_attribute_list: vec![kv("a", 1), kv("unknown type", 99)],
                ..Default::default()
            }),
            attribute_update_notification: Some(proto::AttributeUpdateNotificationMsg {
                shared_updated: vec![kv("b", 0)],
                shared_deleted: Vec::new(),
            }),
            to_device_request: Some(proto::ToDeviceRpcRequestMsg {
                method_name: "Read".to_owned(),
                ..Default::default()
            }),
            // Belongs to broadcasts and is not looked at.
            entity_delete_msg: Some(proto::EntityDeleteMsg::default()),
            ..Default::default()
        };
        let Notification::Session(session, downlinks) = read(&message) else {
            panic!("not for a session");
        };
        assert_eq!(session.0.as_u64_pair(), (1, 0));
        let updated = |key: &str, value| vec![(key.to_owned(), value, UnixMillis(5))];
        assert_eq!(
            downlinks[..3],
            [
                Downlink::Attributes {
                    updated: updated("a", KeyValue::Long(7)),
                    requested: true
                },
                Downlink::Attributes {
                    updated: updated("b", KeyValue::Boolean(false)),
                    requested: false
                },
                Downlink::SessionClosed(SessionCloseReason::SessionTimeout),
            ]
        );
        assert!(matches!(&downlinks[3], Downlink::Rpc(rpc) if rpc.method == "Read"));
        assert_eq!(downlinks.len(), 4);
    }

    #[test]
    fn deletions_reach_a_device_and_failed_answers_do_not() {
        let deleted = ToTransportMsg {
            session_id_msb: 1,
            attribute_update_notification: Some(proto::AttributeUpdateNotificationMsg {
                shared_updated: Vec::new(),
                shared_deleted: vec!["a".to_owned()],
            }),
            get_attributes_response: Some(proto::GetAttributeResponseMsg {
                error: "no".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let Notification::Session(_, all) = read(&deleted) else {
            panic!("not for a session");
        };
        assert_eq!(all, [Downlink::AttributesDeleted(vec!["a".to_owned()])]);
    }

    #[test]
    fn a_reason_from_the_future_is_unknown() {
        let message = ToTransportMsg {
            session_id_lsb: 1,
            session_close_notification: Some(proto::SessionCloseNotificationProto {
                message: String::new(),
                reason: 77,
            }),
            ..Default::default()
        };
        let Notification::Session(_, downlinks) = read(&message) else {
            panic!("not for a session");
        };
        assert_eq!(
            downlinks,
            [Downlink::SessionClosed(SessionCloseReason::Unknown)]
        );
    }

    #[test]
    fn resources_are_models_only_with_type_and_key() {
        let update = |kind: &str, key: &str| {
            read(&ToTransportMsg {
                resource_update_msg: Some(proto::ResourceUpdateMsg {
                    resource_type: kind.to_owned(),
                    resource_key: key.to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            })
        };
        assert_eq!(
            update("LWM2M_MODEL", "3_1.2"),
            Notification::Broadcast(Broadcast::Model {
                owner: PlatformId::default(),
                object: 3,
                version: ObjectVersion::new(1, 2)
            })
        );
        for (kind, key) in [
            ("IMAGE", "3_1.2"),
            ("LWM2M_MODEL", "3"),
            ("LWM2M_MODEL", "x_1.0"),
            ("LWM2M_MODEL", "70000_1.0"),
        ] {
            assert_eq!(
                update(kind, key),
                Notification::Broadcast(Broadcast::Ignored)
            );
        }
    }

    #[test]
    fn the_state_of_a_customer_is_not_that_of_its_tenant() {
        let update = |entity_type| {
            read(&ToTransportMsg {
                entity_update_msg: Some(proto::EntityUpdateMsg {
                    entity_update: Some(EntityUpdate::ApiUsageState(proto::ApiUsageStateProto {
                        tenant_id_lsb: 1,
                        entity_type,
                        transport_state: "DISABLED".to_owned(),
                        ..Default::default()
                    })),
                }),
                ..Default::default()
            })
        };
        assert!(matches!(
            update(1),
            Notification::Broadcast(Broadcast::TenantState(state)) if !state.enabled
        ));
        assert_eq!(update(2), Notification::Broadcast(Broadcast::Ignored));
    }

    #[test]
    fn members_for_other_transports_are_passed_over() {
        // toServerResponse (7), provisionResponse (10), uplinkNotificationMsg (14), each with something in it.
        let others = [0x3a, 2, 8, 5, 0x52, 2, 8, 1, 0x72, 2, 8, 9];
        let for_session = [&[8, 1][..], &others].concat();
        assert!(
            matches!(notification(&for_session), Ok(Notification::Session(_, all)) if all.is_empty())
        );
        assert_eq!(
            notification(&others),
            Ok(Notification::Broadcast(Broadcast::Ignored))
        );
    }

    #[test]
    fn a_core_of_the_future_is_understood() {
        // Members that nobody knows yet: 100 of each wire type.
        let unknown = [
            &[0xa0, 6, 1][..],
            &[0xa1, 6, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0xa2, 6, 1, 0xff],
            &[0xa5, 6, 0, 0, 0, 0],
        ]
        .concat();
        let deletion = ToTransportMsg {
            entity_delete_msg: Some(proto::EntityDeleteMsg {
                entity_type: "DEVICE".to_owned(),
                entity_id_msb: 1,
                entity_id_lsb: 2,
            }),
            ..Default::default()
        };
        let bytes = deletion.encode_to_vec();
        let extended = [bytes.as_slice(), &unknown].concat();
        assert_eq!(notification(&extended), notification(&bytes));
        // An entity, and a kind of entity, that transports were not told of before.
        let saved = [&[0x42, 19, 0xa2, 6, 16][..], &[0; 16]].concat();
        let deleted = b"\x4a\x0c\x0a\x0aSOMETHING_";
        for bytes in [&saved[..], deleted] {
            assert_eq!(
                notification(bytes),
                Ok(Notification::Broadcast(Broadcast::Ignored))
            );
        }
    }

    #[test]
    fn profiles_of_other_transports_are_ignored() {
        let message = ToTransportMsg {
            entity_update_msg: Some(proto::EntityUpdateMsg {
                entity_update: Some(EntityUpdate::DeviceProfile(proto::DeviceProfileProto {
                    transport_type: "MQTT".to_owned(),
                    ..Default::default()
                })),
            }),
            ..Default::default()
        };
        assert_eq!(read(&message), Notification::Broadcast(Broadcast::Ignored));
        assert_eq!(
            read(&ToTransportMsg::default()),
            Notification::Broadcast(Broadcast::Ignored)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            drop(notification(&bytes));
        }
    }
}
