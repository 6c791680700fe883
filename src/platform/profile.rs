//! The LwM2M part of a device profile: what is observed, read and posted, and under which names.
//!
//! Source: `common/data/.../device/profile/Lwm2mDeviceProfileTransportConfiguration.java` of thingsboard.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};

pub use crate::lwm2m::attributes::NotificationAttributes;
use crate::lwm2m::path::{ObjectVersion, Path};

use super::{server_account::ServerAccount, session::PlatformId};

/// A device profile. Unknown members of its JSON are ignored; `null` equals the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceProfile {
    /// Profile id.
    pub id: PlatformId,
    /// Profile name.
    pub name: String,
    /// The LwM2M configuration.
    pub transport: TransportConfiguration,
}

/// `transportConfiguration` with `"type":"LWM2M"`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TransportConfiguration {
    /// What is observed, read and posted.
    #[serde(deserialize_with = "null_is_default")]
    pub observe_attr: ObserveAttr,
    /// Strategies and power settings.
    #[serde(rename = "clientLwM2mSettings", deserialize_with = "null_is_default")]
    pub client: ClientSettings,
    /// Whether bootstrap may write the account of the bootstrap server anew.
    #[serde(deserialize_with = "null_is_default")]
    pub bootstrap_server_update_enable: bool,
    /// The accounts that bootstrap gives to a device.
    #[serde(deserialize_with = "null_is_default")]
    pub bootstrap: Vec<ServerAccount>,
}

/// `observeAttr`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObserveAttr {
    /// Paths to observe.
    #[serde(deserialize_with = "null_is_default")]
    pub observe: Vec<VersionedPath>,
    /// Resource values posted as client attributes.
    #[serde(deserialize_with = "null_is_default")]
    pub attribute: Vec<VersionedPath>,
    /// Resource values posted as time series.
    #[serde(deserialize_with = "null_is_default")]
    pub telemetry: Vec<VersionedPath>,
    /// Name under which a path is posted, in document order.
    #[serde(deserialize_with = "ordered_map")]
    pub key_name: Vec<(VersionedPath, String)>,
    /// Notification attributes written to the device, in document order.
    #[serde(rename = "attributeLwm2m", deserialize_with = "ordered_map")]
    pub notification_attributes: Vec<(VersionedPath, NotificationAttributes)>,
    /// Whether the initial read follows the observe strategy.
    #[serde(
        rename = "initAttrTelAsObsStrategy",
        deserialize_with = "null_is_default"
    )]
    pub read_by_observe_strategy: bool,
    /// How paths are grouped into observations.
    #[serde(deserialize_with = "null_is_default")]
    pub observe_strategy: ObserveStrategy,
}

impl ObserveAttr {
    /// The name under which a path is posted; `None` when it has none or an empty one.
    pub fn key(&self, path: &VersionedPath) -> Option<&str> {
        let (_, name) = self
            .key_name
            .iter()
            .find(|(candidate, _)| candidate == path)?;
        (!name.is_empty()).then_some(name)
    }
}

/// How paths are grouped into observations. The JSON holds the name or the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObserveStrategy {
    /// One observation per path.
    #[default]
    Single,
    /// One composite observation.
    CompositeAll,
    /// One composite observation per object.
    CompositeByObject,
}

impl<'de> Deserialize<'de> for ObserveStrategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(number) => match number.as_u64() {
                Some(0) => Ok(Self::Single),
                Some(1) => Ok(Self::CompositeAll),
                Some(2) => Ok(Self::CompositeByObject),
                _ => Err(de::Error::custom("observeStrategy is 0, 1 or 2")),
            },
            serde_json::Value::String(name) => match name.as_str() {
                "SINGLE" => Ok(Self::Single),
                "COMPOSITE_ALL" => Ok(Self::CompositeAll),
                "COMPOSITE_BY_OBJECT" => Ok(Self::CompositeByObject),
                _ => Err(de::Error::unknown_variant(
                    &name,
                    &["SINGLE", "COMPOSITE_ALL", "COMPOSITE_BY_OBJECT"],
                )),
            },
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_) => {
                Err(de::Error::custom("observeStrategy is a name or a number"))
            }
        }
    }
}

/// `clientLwM2mSettings`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientSettings {
    /// Power settings of the profile.
    #[serde(flatten)]
    pub power: PowerSettings,
    /// How firmware reaches the device: 1 by a Write to Object 5, 2 by the address from which the device fetches it, 3 by
    /// a Write to Object 19; absent = 1.
    pub fw_update_strategy: Option<i64>,
    /// How software reaches the device: 1 by a Write to Object 9, 2 by address; absent = 1.
    pub sw_update_strategy: Option<i64>,
    /// What the addresses of firmware begin with, `coap://host:port`.
    pub fw_update_resource: Option<String>,
    /// What the addresses of software begin with.
    pub sw_update_resource: Option<String>,
    /// Whether a description of the package is written to Object 19 before.
    #[serde(rename = "useObject19ForOtaInfo", deserialize_with = "null_is_default")]
    pub use_object_19_for_info: bool,
}

/// Power settings of a profile or of a device; times in milliseconds, 0 and absent mean "not set".
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PowerSettings {
    /// Power mode; absent = DRX in a profile, "use the profile" in a device.
    pub power_mode: Option<PowerMode>,
    /// Awake window in PSM.
    pub psm_activity_timer: Option<u64>,
    /// Request timeout in eDRX.
    pub edrx_cycle: Option<u64>,
    /// Awake window in eDRX.
    pub paging_transmission_window: Option<u64>,
}

/// How a device saves power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PowerMode {
    /// Discontinuous reception: always reachable.
    #[serde(rename = "DRX")]
    Drx,
    /// Extended discontinuous reception.
    #[serde(rename = "E_DRX")]
    Edrx,
    /// Power saving mode.
    #[serde(rename = "PSM")]
    Psm,
}

/// A path with the version of its object, `/3_1.2/0/9`; without one the version is 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VersionedPath {
    /// The path.
    pub path: Path,
    /// Version of its object.
    pub version: ObjectVersion,
}

impl fmt::Display for VersionedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((object, rest)) = self.path.segments().split_first() else {
            return f.write_str("/");
        };
        write!(f, "/{object}_{}", self.version)?;
        rest.iter().try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl FromStr for VersionedPath {
    type Err = VersionedPathError;

    fn from_str(text: &str) -> Result<Self, VersionedPathError> {
        let trimmed = text.strip_prefix('/').unwrap_or(text);
        let (object, rest) = trimmed
            .split_once('/')
            .map_or((trimmed, None), |(object, rest)| (object, Some(rest)));
        let (object, version) = match object.split_once('_') {
            Some((object, version)) => (object, version.parse().map_err(|_| VersionedPathError)?),
            None => (object, ObjectVersion::V1_0),
        };
        let plain = rest.map_or_else(|| object.to_owned(), |rest| format!("{object}/{rest}"));
        Ok(Self {
            path: plain.parse().map_err(|_| VersionedPathError)?,
            version,
        })
    }
}

impl<'de> Deserialize<'de> for VersionedPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            de::Error::custom(format_args!("`{text}` is not a path such as /3_1.2/0/9"))
        })
    }
}

/// A text that is not a versioned path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a path such as /3_1.2/0/9")]
pub struct VersionedPathError;

pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn ordered_map<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<(VersionedPath, T)>, D::Error> {
    struct Ordered<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Ordered<T> {
        type Value = Vec<(VersionedPath, T)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with paths as keys, or null")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = Vec::new();
            while let Some(entry) = map.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_any(Ordered(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l5_observe_strategy_by_name_number_or_default() {
        for (json, strategy) in [
            (r#"{}"#, ObserveStrategy::Single),
            (r#"{"observeStrategy":null}"#, ObserveStrategy::Single),
            (r#"{"observeStrategy":1}"#, ObserveStrategy::CompositeAll),
            (
                r#"{"observeStrategy":"COMPOSITE_ALL"}"#,
                ObserveStrategy::CompositeAll,
            ),
            (
                r#"{"observeStrategy":2}"#,
                ObserveStrategy::CompositeByObject,
            ),
        ] {
            assert_eq!(
                serde_json::from_str::<ObserveAttr>(json)
                    .unwrap()
                    .observe_strategy,
                strategy,
                "{json}"
            );
        }
    }

    #[test]
    fn keeps_key_names_in_document_order() {
        let json = r#"{"keyName":{"/5_1.2/0/3":"state","/3_1.2/0/9":"battery","/3_1.2/0/0":""},"observe":null}"#;
        let mapping: ObserveAttr = serde_json::from_str(json).unwrap();
        let first: VersionedPath = "/5_1.2/0/3".parse().unwrap();
        assert_eq!(mapping.key_name.first().unwrap().0, first);
        assert_eq!(mapping.key(&first), Some("state"));
        assert_eq!(mapping.key(&"/3_1.2/0/0".parse().unwrap()), None);
    }

    #[test]
    fn versioned_paths_read_back_as_printed() {
        for text in ["/3_1.2/0/9", "/3_1.0", "/3303_1.1/12/5700/3"] {
            assert_eq!(text.parse::<VersionedPath>().unwrap().to_string(), text);
        }
        assert_eq!(
            "/3/0/9".parse::<VersionedPath>().unwrap().to_string(),
            "/3_1.0/0/9"
        );
    }
}
