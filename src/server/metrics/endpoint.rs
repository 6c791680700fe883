//! What endpoints count, published as differences.

use prometheus_client::metrics::counter::Counter;

use crate::{endpoint::EndpointStats, platform::uplink::UplinkKind};

use super::{
    Limit, Message, Metrics, NotificationResult, OtaState, RegistrationEvent, RpcResult, SendResult,
};

impl Metrics {
    /// Adds what one endpoint counted between two moments.
    pub(crate) fn add_endpoint(&self, before: &EndpointStats, after: &EndpointStats) {
        if before == after {
            return;
        }
        self.add_coap(&before.coap, &after.coap);
        let since = after.since(before);
        let add = |counter: &Counter, count: u64| {
            if count > 0 {
                counter.inc_by(count);
            }
        };
        let events = &self.registration_events;
        add(events.of(RegistrationEvent::Register), since.registered);
        add(events.of(RegistrationEvent::Update), since.updated);
        add(events.of(RegistrationEvent::Deregister), since.deregistered);
        add(events.of(RegistrationEvent::Expire), since.expired);
        add(events.of(RegistrationEvent::Rejected), since.refused);
        add(events.of(RegistrationEvent::Replaced), since.replaced);
        add(&self.link_deviations, since.link_deviations);
        add(
            self.limit_rejections.of(Limit::EndpointRegistrations),
            since.dropped_registers,
        );
        add(
            self.limit_rejections.of(Limit::EndpointMessages),
            since.limited,
        );
        let notifications = &self.notifications;
        add(
            notifications.of(NotificationResult::Delivered),
            since.notifications,
        );
        add(
            notifications.of(NotificationResult::Unmapped),
            since.unmapped_notifications,
        );
        add(
            notifications.of(NotificationResult::BadPayload),
            since.undecodable,
        );
        add(
            notifications.of(NotificationResult::Unacknowledged),
            since.unacknowledged,
        );
        add(self.rpc.of(RpcResult::Duplicate), since.duplicate_rpc);
        add(self.rpc.of(RpcResult::Expired), since.expired_rpc);
        add(self.rpc.of(RpcResult::Postponed), since.postponed_rpc);
        add(self.rpc.of(RpcResult::Timeout), since.timed_out_rpc);
        let sends = &self.sends;
        add(sends.of(SendResult::Delivered), since.sends);
        add(sends.of(SendResult::Refused), since.refused_sends);
        add(sends.of(SendResult::Unavailable), since.unavailable_sends);
        add(sends.of(SendResult::Unmapped), since.unmapped_sends);
        add(&self.implausible_times, since.implausible_times);
        add(&self.sleeps, since.asleep);
        let states = &self.ota_states;
        add(states.of(OtaState::Downloading), since.ota_downloading);
        add(states.of(OtaState::Downloaded), since.ota_downloaded);
        add(states.of(OtaState::Verified), since.ota_verified);
        add(states.of(OtaState::Updating), since.ota_updating);
        add(states.of(OtaState::Updated), since.ota_updated);
        add(states.of(OtaState::Failed), since.ota_failed);
    }
}

impl From<UplinkKind> for Message {
    fn from(kind: UplinkKind) -> Self {
        match kind {
            UplinkKind::SessionOpened => Self::SessionOpened,
            UplinkKind::SessionClosed => Self::SessionClosed,
            UplinkKind::Activity => Self::Activity,
            UplinkKind::Telemetry => Self::Telemetry,
            UplinkKind::Attributes => Self::Attributes,
            UplinkKind::RpcStatus => Self::RpcStatus,
            UplinkKind::RpcReply => Self::RpcReply,
            UplinkKind::AttributesWanted => Self::AttributesWanted,
            UplinkKind::PendingRpcWanted => Self::PendingRpcWanted,
            UplinkKind::Question => Self::Question,
        }
    }
}
