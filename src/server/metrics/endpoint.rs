//! What endpoints count, published as differences.

use prometheus_client::metrics::counter::Counter;

use crate::{
    bootstrap::BootstrapStats, coap::stranger::Reason, endpoint::EndpointStats,
    platform::uplink::UplinkKind,
};

use super::{
    BootstrapResult, Limit, Malformed, Message, Metrics, NotificationResult, OtaState,
    RegistrationEvent, RpcResult, SendResult,
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
            self.limit_rejections.of(Limit::EndpointFlapping),
            since.flapping,
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
        add(&self.rpc_received, since.rpc);
        add(self.rpc.of(RpcResult::Cancelled), since.cancelled_rpc);
        add(self.rpc.of(RpcResult::Duplicate), since.duplicate_rpc);
        add(self.rpc.of(RpcResult::Error), since.failed_rpc);
        add(self.rpc.of(RpcResult::Expired), since.expired_rpc);
        add(self.rpc.of(RpcResult::Ok), since.answered_rpc);
        add(self.rpc.of(RpcResult::Overflow), since.overflowed_rpc);
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
        self.add_coap(&before.coap, &after.coap);
        let add = |counter: &Counter, count: fn(&BootstrapStats) -> u64| {
            counter.inc_by(count(after).saturating_sub(count(before)));
        };
        let sessions = &self.bootstrap;
        add(sessions.of(BootstrapResult::Ok), |s| s.finished);
        add(sessions.of(BootstrapResult::Rejected), |s| s.rejected);
        add(sessions.of(BootstrapResult::Failed), |s| {
            s.failed.saturating_sub(s.timed_out)
        });
        add(sessions.of(BootstrapResult::Timeout), |s| s.timed_out);
        add(self.limit_rejections.of(Limit::EndpointMessages), |s| {
            s.limited
        });
        add(
            self.limit_rejections.of(Limit::EndpointRegistrations),
            |s| s.dropped_requests,
        );
        add(&self.bootstrap_secrets_over_nosec, |s| s.secrets_over_nosec);
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
