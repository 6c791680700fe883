//! What endpoints count, published as differences.

use prometheus_client::metrics::counter::Counter;

use crate::{endpoint::EndpointStats, platform::uplink::UplinkKind};

use super::{Limit, Message, MessageResult, Metrics, NotificationResult, RegistrationEvent};

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
        add(
            self.limit_rejections.of(Limit::EndpointRegistrations),
            since.dropped_registers,
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
    }

    /// Counts an uplink that was handed to the platform.
    pub(crate) fn add_uplink(&self, kind: UplinkKind, accepted: bool) {
        let message = match kind {
            UplinkKind::SessionOpened => Message::SessionOpened,
            UplinkKind::SessionClosed => Message::SessionClosed,
            UplinkKind::Activity => Message::Activity,
            UplinkKind::Telemetry => Message::Telemetry,
            UplinkKind::Attributes => Message::Attributes,
            UplinkKind::RpcStatus => Message::RpcStatus,
            UplinkKind::RpcReply => Message::RpcReply,
            UplinkKind::AttributesWanted => Message::AttributesWanted,
            UplinkKind::PendingRpcWanted => Message::PendingRpcWanted,
            UplinkKind::Question => Message::Question,
        };
        let result = if accepted {
            MessageResult::Accepted
        } else {
            MessageResult::Refused
        };
        self.platform_messages.of((message, result)).inc();
    }
}
