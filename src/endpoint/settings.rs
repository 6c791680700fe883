//! Settings of registered endpoints, and what all endpoints of a shard share.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    coap::{Bodies, Exchanges, Random, RateLimit, TransmissionParameters},
    lwm2m::model::Models,
    platform::peer::PeerId,
};

use super::{
    FileGeneration,
    held::HeldRpc,
    ota::{OtaSettings, PushSlots},
    rpc::RpcSettings,
    telemetry::TimeForm,
};

/// What the endpoints of one shard share.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// Number of the service instance, in tokens and registration ids.
    pub ordinal: u8,
    /// Number of the shard, in tokens.
    pub shard: u8,
    /// RFC 7252 section 4.8.
    pub coap: Arc<TransmissionParameters>,
    /// Bodies that are being put together, of all endpoints of the process.
    pub bodies: Bodies,
    /// What one device may send (`limits.endpoint_messages_per_s`); `None` = without limit.
    pub rate: Option<RateLimit>,
    /// Registers a minute that one endpoint name is good for (`limits.endpoint_registers_per_min`); `None` = without
    /// limit.
    pub registers: Option<NonZeroU32>,
    /// How long a device may take to answer a request (`lwm2m.timeout_ms`).
    pub request_timeout: Duration,
    /// Whether `transportLog` lines are written (`transport.log_enabled`).
    pub log_enabled: bool,
    /// Longest `transportLog` line, characters (`transport.log_max_length`).
    pub log_max_length: usize,
    /// RPC that wait or are under way, of all endpoints of the process (`limits.held_rpc`).
    pub held_rpc: HeldRpc,
    /// How commands are read.
    pub rpc: RpcSettings,
    /// How updates are done.
    pub ota: Arc<OtaSettings>,
    /// Who is sent packages, in the whole process.
    pub push_slots: PushSlots,
    /// How points in time are published.
    pub time_form: TimeForm,
    /// How long devices that save power are awake after what they say.
    pub awake_windows: AwakeWindows,
    /// How long changes of an endpoint's record gather before it is handed over; `None`: no records are kept.
    pub record_delay: Option<Duration>,
    /// In which file they are kept.
    pub file_generation: FileGeneration,
    /// Built-in object models, for the test whether a resource is executable.
    pub core_models: Arc<Models>,
}

/// How long a device is awake after its last message, where nothing of its own says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwakeWindows {
    /// In Queue Mode (`lwm2m.queue_mode_window_ms`).
    pub queue_mode: Duration,
    /// In PSM (`lwm2m.psm_activity_timer_ms`).
    pub psm: Duration,
    /// In eDRX (`lwm2m.paging_window_ms`).
    pub edrx: Duration,
}

impl Default for AwakeWindows {
    /// MAX_TRANSMIT_WAIT in Queue Mode; in the others what the platform has.
    fn default() -> Self {
        Self {
            queue_mode: Duration::from_secs(93),
            psm: Duration::from_secs(10),
            edrx: Duration::from_secs(10),
        }
    }
}

impl Default for EndpointSettings {
    /// The first shard of the first instance, with the defaults of all settings and no models.
    fn default() -> Self {
        let coap = TransmissionParameters::default();
        let transport = TransportSettings::default();
        Self {
            ordinal: 0,
            shard: 0,
            bodies: coap.bodies(),
            coap: Arc::new(coap),
            rate: None,
            registers: None,
            request_timeout: Duration::from_secs(120),
            awake_windows: AwakeWindows::default(),
            log_enabled: transport.log_enabled,
            log_max_length: transport.log_max_length,
            held_rpc: HeldRpc::default(),
            rpc: RpcSettings::default(),
            ota: Arc::default(),
            push_slots: PushSlots::new(0),
            time_form: TimeForm::default(),
            record_delay: None,
            file_generation: FileGeneration::default(),
            core_models: Arc::default(),
        }
    }
}

impl EndpointSettings {
    /// A message layer for one endpoint.
    pub(super) fn exchanges(&self, random: &mut Random) -> Exchanges<PeerId> {
        Exchanges::new(
            Arc::clone(&self.coap),
            self.bodies.clone(),
            random.seed(),
            [self.ordinal, self.shard],
        )
    }
}

/// `transport`: sessions and the `transportLog` time series (`device-lifecycle.md` 6 and 10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportSettings {
    /// After how many milliseconds without a report the platform closes a session; ours repeat well before.
    /// Default 600000. Upstream: `TB_TRANSPORT_SESSIONS_INACTIVITY_TIMEOUT`.
    pub session_inactivity_ms: u64,
    /// Activity reports of one session come at most this often, in milliseconds. Default 3000.
    /// Upstream: `TB_TRANSPORT_SESSIONS_REPORT_TIMEOUT`.
    pub activity_report_ms: u64,
    /// Whether to publish the `transportLog` time series. Default true. Upstream: `TB_TRANSPORT_LOG_ENABLED`.
    pub log_enabled: bool,
    /// Longest `transportLog` line, in characters. Default 1024. Upstream: `TB_TRANSPORT_LOG_MAX_LENGTH`.
    pub log_max_length: usize,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            session_inactivity_ms: 600_000,
            activity_report_ms: 3000,
            log_enabled: true,
            log_max_length: 1024,
        }
    }
}
