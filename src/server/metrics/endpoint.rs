//! What endpoints count, published as differences.

use crate::{
    bootstrap::BootstrapStats, coap::stranger::Reason, endpoint::EndpointStats,
    platform::uplink::UplinkKind,
};

use super::{
    BootstrapResult, Limit, Malformed, Message, Metrics, NotificationResult, OtaState,
    RegistrationEvent, RpcResult, SendResult, raise,
};

impl Metrics {
    /// Adds what one endpoint counted between two moments.
    pub(crate) fn add_endpoint(&self, before: &EndpointStats, after: &EndpointStats) {
        if before == after {
            return;
        }
        let since = after.since(before);
        self.add_coap(&since.coap);
        let events = &self.registration_events;
        raise(events.of(RegistrationEvent::Register), since.registered);
        raise(events.of(RegistrationEvent::Update), since.updated);
        raise(events.of(RegistrationEvent::Deregister), since.deregistered);
        raise(events.of(RegistrationEvent::Expire), since.expired);
        raise(events.of(RegistrationEvent::Rejected), since.refused);
        raise(events.of(RegistrationEvent::Replaced), since.replaced);
        raise(&self.link_deviations, since.link_deviations);
        raise(
            self.limit_rejections.of(Limit::EndpointRegistrations),
            since.dropped_registers,
        );
        raise(
            self.limit_rejections.of(Limit::EndpointFlapping),
            since.flapping,
        );
        raise(
            self.limit_rejections.of(Limit::EndpointMessages),
            since.limited,
        );
        let notifications = &self.notifications;
        raise(
            notifications.of(NotificationResult::Delivered),
            since.notifications,
        );
        raise(
            notifications.of(NotificationResult::Unmapped),
            since.unmapped_notifications,
        );
        raise(
            notifications.of(NotificationResult::BadPayload),
            since.undecodable,
        );
        raise(
            notifications.of(NotificationResult::Unacknowledged),
            since.unacknowledged,
        );
        raise(&self.rpc_received, since.rpc);
        raise(self.rpc.of(RpcResult::Cancelled), since.cancelled_rpc);
        raise(self.rpc.of(RpcResult::Duplicate), since.duplicate_rpc);
        raise(self.rpc.of(RpcResult::Error), since.failed_rpc);
        raise(self.rpc.of(RpcResult::Expired), since.expired_rpc);
        raise(self.rpc.of(RpcResult::Ok), since.answered_rpc);
        raise(self.rpc.of(RpcResult::Overflow), since.overflowed_rpc);
        raise(self.rpc.of(RpcResult::Postponed), since.postponed_rpc);
        raise(self.rpc.of(RpcResult::Timeout), since.timed_out_rpc);
        let sends = &self.sends;
        raise(sends.of(SendResult::Delivered), since.sends);
        raise(sends.of(SendResult::Refused), since.refused_sends);
        raise(sends.of(SendResult::Unavailable), since.unavailable_sends);
        raise(sends.of(SendResult::Unmapped), since.unmapped_sends);
        raise(&self.implausible_times, since.implausible_times);
        raise(&self.sleeps, since.asleep);
        let states = &self.ota_states;
        raise(states.of(OtaState::Downloading), since.ota_downloading);
        raise(states.of(OtaState::Downloaded), since.ota_downloaded);
        raise(states.of(OtaState::Verified), since.ota_verified);
        raise(states.of(OtaState::Updating), since.ota_updating);
        raise(states.of(OtaState::Updated), since.ota_updated);
        raise(states.of(OtaState::Failed), since.ota_failed);
    }
}

impl Metrics {
    /// Counts a datagram of a stranger that the message layer dropped.
    pub(crate) fn add_dropped(&self, reason: Reason) {
        match reason {
            Reason::BadOption => self.coap_malformed.of(Malformed::Option).inc(),
            Reason::Duplicate => self.coap_duplicates.inc(),
            Reason::FormatError => self.coap_malformed.of(Malformed::Format).inc(),
            Reason::Ping => self.coap_pings.inc(),
            Reason::Unmatched => self.coap_unmatched.inc(),
            Reason::UnknownToken => self
                .notifications
                .of(NotificationResult::UnknownToken)
                .inc(),
        };
    }

    /// Adds what the bootstrap of one endpoint counted between two moments.
    pub(crate) fn add_bootstrap(&self, before: &BootstrapStats, after: &BootstrapStats) {
        if before == after {
            return;
        }
        let since = after.since(before);
        self.add_coap(&since.coap);
        let sessions = &self.bootstrap;
        raise(sessions.of(BootstrapResult::Ok), since.finished);
        raise(sessions.of(BootstrapResult::Rejected), since.rejected);
        let failed = since.failed.saturating_sub(since.timed_out);
        raise(sessions.of(BootstrapResult::Failed), failed);
        raise(sessions.of(BootstrapResult::Timeout), since.timed_out);
        raise(
            self.limit_rejections.of(Limit::EndpointMessages),
            since.limited,
        );
        raise(
            self.limit_rejections.of(Limit::EndpointRegistrations),
            since.dropped_requests,
        );
        raise(&self.bootstrap_secrets_over_nosec, since.secrets_over_nosec);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::time::UnixMillis;

    #[test]
    fn a_command_is_shown_by_its_one_end() {
        let metrics = Metrics::new(UnixMillis(0));
        let after = EndpointStats {
            rpc: 36,
            answered_rpc: 1,
            failed_rpc: 2,
            cancelled_rpc: 3,
            duplicate_rpc: 4,
            overflowed_rpc: 5,
            expired_rpc: 6,
            timed_out_rpc: 7,
            postponed_rpc: 8,
            ..EndpointStats::default()
        };
        metrics.add_endpoint(&EndpointStats::default(), &after);
        let shown = [
            RpcResult::Ok,
            RpcResult::Error,
            RpcResult::Cancelled,
            RpcResult::Duplicate,
            RpcResult::Overflow,
            RpcResult::Expired,
            RpcResult::Timeout,
            RpcResult::Postponed,
        ]
        .map(|result| metrics.rpc.of(result).get());
        assert_eq!(shown, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(metrics.rpc_received.get(), 36);
    }
}
