//! Device profiles, tenant profiles and tenant states.

use std::sync::Arc;

use serde::Deserialize;
use tracing::warn;

use super::{ConvertError, TRANSPORT_TYPE, optional_id, platform_id};
use crate::platform::{
    profile::{DeviceProfile, PowerSettings, TransportConfiguration},
    session::PlatformId,
    thingsboard::{
        limits::{LevelLimits, Rates, TenantLimits},
        proto,
    },
};

/// A device profile with what the way to the rule engine needs of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRecord {
    /// Owner.
    pub tenant: PlatformId,
    /// The profile.
    pub profile: Arc<DeviceProfile>,
    /// Its rule chain, if not the tenant's root chain.
    pub rule_chain: Option<PlatformId>,
    /// Its queue, if not `Main`.
    pub queue: Option<String>,
    /// Counts the changes; 0 before core 3.8.
    pub version: i64,
}

impl TryFrom<proto::DeviceProfileProto> for ProfileRecord {
    type Error = ConvertError;

    fn try_from(profile: proto::DeviceProfileProto) -> Result<Self, ConvertError> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(rename = "transportConfiguration")]
            transport: TransportConfiguration,
        }
        if profile.transport_type != TRANSPORT_TYPE {
            return Err(ConvertError::Transport(profile.transport_type));
        }
        let data = profile
            .device_profile_data
            .ok_or(ConvertError::Missing("deviceProfileData"))?;
        let data: Data =
            serde_json::from_slice(&data).map_err(|error| ConvertError::Json(error.to_string()))?;
        Ok(Self {
            tenant: platform_id(profile.tenant_id_msb, profile.tenant_id_lsb),
            profile: Arc::new(DeviceProfile {
                id: platform_id(profile.device_profile_id_msb, profile.device_profile_id_lsb),
                name: profile.name,
                transport: data.transport,
            }),
            rule_chain: optional_id(
                profile.default_rule_chain_id_msb.unwrap_or(0),
                profile.default_rule_chain_id_lsb.unwrap_or(0),
            ),
            queue: profile.default_queue_name.filter(|name| !name.is_empty()),
            version: profile.version.unwrap_or(0),
        })
    }
}

/// A tenant profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantProfile {
    /// Its id.
    pub id: PlatformId,
    /// Whether its tenants have queues of their own.
    pub isolated: bool,
    /// What its tenants and their devices may send.
    pub limits: Arc<TenantLimits>,
}

impl From<proto::TenantProfileProto> for TenantProfile {
    fn from(profile: proto::TenantProfileProto) -> Self {
        let id = platform_id(profile.tenant_profile_id_msb, profile.tenant_profile_id_lsb);
        let data = profile.profile_data.unwrap_or_default();
        Self {
            id,
            isolated: profile.isolated_tb_rule_engine,
            limits: Arc::new(tenant_limits(id, &data)),
        }
    }
}

/// The limits inside a tenant profile's JSON. What cannot be read limits nothing: it is the core's to refuse it.
fn tenant_limits(profile: PlatformId, data: &[u8]) -> TenantLimits {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Data {
        configuration: Option<serde_json::Map<String, serde_json::Value>>,
    }
    let data: Data = serde_json::from_slice(data).unwrap_or_default();
    let configuration = data.configuration.unwrap_or_default();
    let rates = |key: &str| {
        let text = configuration.get(key).and_then(serde_json::Value::as_str);
        Rates::parse(text.unwrap_or_default()).unwrap_or_else(|error| {
            warn!(%profile, key, %error, "a rate limit cannot be read and limits nothing");
            Rates::default()
        })
    };
    TenantLimits {
        tenant: LevelLimits {
            messages: rates("transportTenantMsgRateLimit"),
            telemetry_messages: rates("transportTenantTelemetryMsgRateLimit"),
            data_points: rates("transportTenantTelemetryDataPointsRateLimit"),
        },
        device: LevelLimits {
            messages: rates("transportDeviceMsgRateLimit"),
            telemetry_messages: rates("transportDeviceTelemetryMsgRateLimit"),
            data_points: rates("transportDeviceTelemetryDataPointsRateLimit"),
        },
    }
}

/// A tenant as its messages need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its tenant profile.
    pub profile: TenantProfile,
    /// What it may use; `None` when the core did not say.
    pub state: Option<TenantState>,
}

/// What a tenant may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantState {
    /// The tenant.
    pub tenant: PlatformId,
    /// Whether its devices may send.
    pub enabled: bool,
    /// Counts the changes; 0 before core 4.0.
    pub version: i64,
}

impl From<proto::ApiUsageStateProto> for TenantState {
    fn from(state: proto::ApiUsageStateProto) -> Self {
        Self {
            tenant: platform_id(state.tenant_id_msb, state.tenant_id_lsb),
            enabled: state.transport_state != "DISABLED",
            version: state.version,
        }
    }
}

/// The power settings inside a device's JSON; anything unusable counts as "not set".
pub(super) fn device_power(data: &[u8]) -> PowerSettings {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Data {
        #[serde(rename = "transportConfiguration")]
        transport: Option<PowerSettings>,
    }
    let data: Data = serde_json::from_slice(data).unwrap_or_default();
    data.transport.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::profile::PowerMode;

    fn lwm2m_profile(json: &str) -> proto::DeviceProfileProto {
        proto::DeviceProfileProto {
            name: "lw".to_owned(),
            transport_type: "LWM2M".to_owned(),
            device_profile_data: Some(json.as_bytes().to_vec()),
            ..proto::DeviceProfileProto::default()
        }
    }

    #[test]
    fn reads_the_configuration_inside_the_profile() {
        let json = r#"{"configuration":{"type":"DEFAULT"},"transportConfiguration":{"type":"LWM2M",
            "observeAttr":{"observe":["/3_1.2/0/9"]}},"alarms":null}"#;
        let record = ProfileRecord::try_from(proto::DeviceProfileProto {
            default_queue_name: Some(String::new()),
            ..lwm2m_profile(json)
        })
        .unwrap();
        assert_eq!(record.profile.transport.observe_attr.observe.len(), 1);
        assert_eq!((record.queue, record.rule_chain), (None, None));
    }

    #[test]
    fn refuses_profiles_that_are_not_for_us() {
        let mqtt = proto::DeviceProfileProto {
            transport_type: "MQTT".to_owned(),
            ..lwm2m_profile("{}")
        };
        assert_eq!(
            ProfileRecord::try_from(mqtt),
            Err(ConvertError::Transport("MQTT".to_owned()))
        );
        for json in ["", "{}", "{\"transportConfiguration\":7}"] {
            assert!(
                matches!(
                    ProfileRecord::try_from(lwm2m_profile(json)),
                    Err(ConvertError::Json(_))
                ),
                "{json}"
            );
        }
    }

    #[test]
    fn limits_of_a_tenant_profile_are_read_where_they_can_be() {
        let profile = |data: &str| {
            TenantProfile::from(proto::TenantProfileProto {
                profile_data: Some(data.as_bytes().to_vec()),
                ..proto::TenantProfileProto::default()
            })
        };
        let read = profile(
            r#"{"configuration":{"type":"DEFAULT","transportTenantMsgRateLimit":"1000:1,20000:60",
            "transportDeviceTelemetryDataPointsRateLimit":"5:1","transportDeviceMsgRateLimit":null,
            "transportTenantTelemetryMsgRateLimit":"many"},"queueConfiguration":null}"#,
        );
        let expected = TenantLimits {
            tenant: LevelLimits {
                messages: Rates::parse("1000:1,20000:60").unwrap(),
                ..LevelLimits::default()
            },
            device: LevelLimits {
                data_points: Rates::parse("5:1").unwrap(),
                ..LevelLimits::default()
            },
        };
        assert_eq!(*read.limits, expected);
        for none in ["", "{}", r#"{"configuration":null}"#, "nonsense"] {
            assert_eq!(*profile(none).limits, TenantLimits::default(), "{none}");
        }
    }

    #[test]
    fn power_settings_of_a_device_are_optional() {
        let json =
            br#"{"configuration":{},"transportConfiguration":{"type":"LWM2M","powerMode":"PSM",
            "psmActivityTimer":10000,"edrxCycle":null}}"#;
        let power = device_power(json);
        assert_eq!(power.power_mode, Some(PowerMode::Psm));
        assert_eq!(power.psm_activity_timer, Some(10_000));
        assert_eq!(device_power(b"nonsense"), PowerSettings::default());
        assert_eq!(
            device_power(br#"{"transportConfiguration":null}"#),
            PowerSettings::default()
        );
    }
}
