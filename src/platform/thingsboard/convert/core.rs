//! Messages for device actors (`platform-wire.md` 3.6, 4.3, 4.6, 4.7).

use prost::Message;

use super::halves;
use crate::platform::{
    session::SessionInfo,
    thingsboard::proto::{
        self, SessionEvent, SessionEventMsg, SessionType, ToCoreMsg, TransportToDeviceActorMsg,
    },
    time::UnixMillis,
    uplink::{RpcBody, RpcId, RpcStatus},
};

/// What is said to a device actor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CoreMessage<'a> {
    /// The device was active at this time.
    Activity(UnixMillis),
    /// Shared attributes are wanted.
    AttributesWanted {
        /// Echoed in the answer.
        request: i32,
        /// Keys; empty means all.
        keys: &'a [String],
    },
    /// A device of which the core has no session was bootstrapped, and was last active at this time.
    BootstrapReport(UnixMillis),
    /// The session ends.
    Closed,
    /// The session lives: OPEN again, with an activity report.
    Heartbeat(UnixMillis),
    /// The session begins, with both subscriptions.
    Opened,
    /// Waiting commands are wanted.
    PendingRpcWanted,
    /// The result of a command.
    RpcReply {
        /// Which.
        rpc: RpcId,
        /// The result.
        body: &'a RpcBody,
    },
    /// How far a command has come.
    RpcStatus {
        /// Which.
        rpc: RpcId,
        /// How far.
        status: RpcStatus,
    },
}

/// The bytes of a message for the actor of the session's device (`ToCoreMsg`); `node_id` is our service id.
pub fn core_message(session: &SessionInfo, node_id: &str, message: CoreMessage<'_>) -> Vec<u8> {
    let mut actor = TransportToDeviceActorMsg {
        session_info: Some(session_info(session, node_id)),
        ..TransportToDeviceActorMsg::default()
    };
    match message {
        CoreMessage::Activity(at) => actor.subscription_info = Some(report(at)),
        CoreMessage::AttributesWanted { request, keys } => {
            actor.get_attributes = Some(proto::GetAttributeRequestMsg {
                request_id: request,
                shared_attribute_names: keys.to_vec(),
            });
        }
        CoreMessage::BootstrapReport(at) => {
            actor.subscription_info = Some(proto::SubscriptionInfoProto {
                last_activity_time: at.0,
                ..proto::SubscriptionInfoProto::default()
            });
        }
        CoreMessage::Closed => actor.session_event = Some(event(SessionEvent::Closed)),
        CoreMessage::Heartbeat(at) => {
            actor.session_event = Some(event(SessionEvent::Open));
            actor.subscription_info = Some(report(at));
        }
        CoreMessage::Opened => {
            let session_type = SessionType::Async.into();
            actor.session_event = Some(event(SessionEvent::Open));
            actor.subscribe_to_attributes =
                Some(proto::SubscribeToAttributeUpdatesMsg { session_type });
            actor.subscribe_to_rpc = Some(proto::SubscribeToRpcMsg { session_type });
        }
        CoreMessage::PendingRpcWanted => {
            actor.send_pending_rpc = Some(proto::SendPendingRpcMsg {});
        }
        CoreMessage::RpcReply { rpc, body } => {
            let (payload, error) = match body {
                RpcBody::Payload(text) => (text.clone(), String::new()),
                RpcBody::Error(text) => (String::new(), text.clone()),
            };
            actor.to_device_rpc_call_response = Some(proto::ToDeviceRpcResponseMsg {
                request_id: rpc.request,
                payload,
                error,
            });
        }
        CoreMessage::RpcStatus { rpc, status } => {
            let (request_id_msb, request_id_lsb) = halves(rpc.uuid);
            actor.rpc_response_status_msg = Some(proto::ToDeviceRpcResponseStatusMsg {
                request_id: rpc.request,
                request_id_msb,
                request_id_lsb,
                status: match status {
                    RpcStatus::Sent => "SENT",
                    RpcStatus::Delivered => "DELIVERED",
                    RpcStatus::Timeout => "TIMEOUT",
                }
                .to_owned(),
            });
        }
    }
    ToCoreMsg {
        to_device_actor_msg: Some(actor),
    }
    .encode_to_vec()
}

fn event(event: SessionEvent) -> SessionEventMsg {
    SessionEventMsg {
        session_type: SessionType::Async.into(),
        event: event.into(),
    }
}

/// Both subscriptions of a registered device are always reported: the core would store false ones and lose commands after its restart
/// (`measured.md` 5).
const fn report(at: UnixMillis) -> proto::SubscriptionInfoProto {
    proto::SubscriptionInfoProto {
        last_activity_time: at.0,
        attribute_subscription: true,
        rpc_subscription: true,
    }
}

fn session_info(session: &SessionInfo, node_id: &str) -> proto::SessionInfoProto {
    let device = &session.device;
    let (session_id_msb, session_id_lsb) = halves(session.id.0);
    let (tenant_id_msb, tenant_id_lsb) = halves(device.tenant.0);
    let (device_id_msb, device_id_lsb) = halves(device.device.0);
    let (device_profile_id_msb, device_profile_id_lsb) = halves(device.profile.0);
    let (customer_id_msb, customer_id_lsb) = halves(device.customer.0);
    proto::SessionInfoProto {
        node_id: node_id.to_owned(),
        session_id_msb,
        session_id_lsb,
        tenant_id_msb,
        tenant_id_lsb,
        device_id_msb,
        device_id_lsb,
        device_name: device.name.clone(),
        device_type: device.kind.clone(),
        device_profile_id_msb,
        device_profile_id_lsb,
        customer_id_msb,
        customer_id_lsb,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::platform::session::{DeviceInfo, PlatformId, SessionId};

    const DEVICE: &str = "784f394c-42b6-435a-983c-b7beff2784f9";

    fn session() -> SessionInfo {
        SessionInfo {
            id: SessionId("1ec9b3a0-7c5b-11ee-8f3a-4f3f6a3b2c1d".parse().unwrap()),
            device: Arc::new(DeviceInfo {
                tenant: PlatformId("a1b2c3d4-e5f6-4789-abcd-ef0123456789".parse().unwrap()),
                customer: PlatformId::NULL,
                device: PlatformId(DEVICE.parse().unwrap()),
                profile: PlatformId("d7a0c3f2-55aa-4c1e-9b7d-0e1f2a3b4c5d".parse().unwrap()),
                name: "ep1".to_owned(),
                kind: "lw".to_owned(),
            }),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn an_opened_session_has_the_bytes_of_the_example() {
        // platform-wire.md 4.3
        let expected = "0a88010a7a0a046c732d3010eea3ece287f4ece41e189dd8ecd1f6e7939d8f0120898fd9afcefab0\
            d9a1012889cf959a92e0fbe6ab0130da86d995c4a9cea77838f9899ef9eff7ad9e98014203657031\
            4a026c77609e98a9ada5feb0d0d70168dd98edd1f2c3c3be9b0170b2a3c8ee8180d0c01378808182\
            848890a0c0800112020801220210012a021001";
        let bytes = core_message(&session(), "ls-0", CoreMessage::Opened);
        assert_eq!(bytes.len(), 139);
        assert_eq!(hex(&bytes), expected);
    }

    /// The message without its session, as the shorter examples print it.
    fn without_session(message: CoreMessage<'_>) -> String {
        let bytes = core_message(&session(), "ls-0", message);
        let mut message = ToCoreMsg::decode(bytes.as_slice()).unwrap();
        message.to_device_actor_msg.as_mut().unwrap().session_info = None;
        hex(&message.encode_to_vec())
    }

    #[test]
    fn an_activity_report_has_the_bytes_of_the_example() {
        // platform-wire.md 4.6
        let report = CoreMessage::Activity(UnixMillis(1_700_000_000_000));
        assert_eq!(without_session(report), "0a0d3a0b0880d095ffbc3110011801");
    }

    #[test]
    fn a_status_has_the_bytes_of_the_example() {
        // platform-wire.md 4.7
        let status = CoreMessage::RpcStatus {
            rpc: RpcId {
                request: 7,
                uuid: DEVICE.parse::<Uuid>().unwrap(),
            },
            status: RpcStatus::Delivered,
        };
        assert_eq!(
            without_session(status),
            "0a245222080710da86d995c4a9cea77818f9899ef9eff7ad9e9801220944454c495645524544"
        );
    }

    #[test]
    fn a_heartbeat_opens_and_reports_but_does_not_subscribe() {
        let bytes = core_message(
            &session(),
            "ls-0",
            CoreMessage::Heartbeat(UnixMillis(1_700_000_000_000)),
        );
        let message = ToCoreMsg::decode(bytes.as_slice())
            .unwrap()
            .to_device_actor_msg
            .unwrap();
        assert_eq!(message.session_event.unwrap().event(), SessionEvent::Open);
        assert!(message.subscription_info.unwrap().rpc_subscription);
        assert_eq!(
            (message.subscribe_to_attributes, message.subscribe_to_rpc),
            (None, None)
        );
    }
}
