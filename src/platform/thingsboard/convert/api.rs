//! Questions to the core and its answers (`platform-wire.md` 2, 3.5).

use prost::Message;
use serde::Deserialize;

use super::{
    ConvertError, MODEL_TYPE, ProfileRecord, TenantRecord, customer, halves, platform_id,
    queue_info, uuid,
};
use crate::{
    lwm2m::path::{ObjectId, ObjectVersion},
    platform::{
        credentials::{BootstrapCredentials, ClientCredentials},
        package::{PackageId, PackageInfo, PackageKind},
        profile::{PowerMode, PowerSettings},
        session::{DeviceInfo, PlatformId},
        thingsboard::{
            proto::{
                self, ResponseStatus, TransportApiRequestMsg, TransportApiResponseMsg,
                get_entity_profile_response_msg::Data,
            },
            routing::QueueInfo,
        },
        uplink::QuestionError,
    },
};

/// A question to the core.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ApiQuestion {
    /// Who has these LwM2M credentials?
    Credentials(String),
    /// What does this device profile say?
    DeviceProfile(PlatformId),
    /// Which object model is this?
    Model {
        /// Whose.
        tenant: PlatformId,
        /// Object id.
        object: ObjectId,
        /// Object version.
        version: ObjectVersion,
    },
    /// Which package is assigned to this device?
    Package {
        /// Its tenant.
        tenant: PlatformId,
        /// The device.
        device: PlatformId,
        /// What the package updates.
        kind: PackageKind,
    },
    /// Which queues are there?
    Routing,
    /// What does the profile of this tenant say?
    Tenant(PlatformId),
}

/// The bytes of a question (`TransportApiRequestMsg`).
pub fn question(question: &ApiQuestion) -> Vec<u8> {
    let mut message = TransportApiRequestMsg::default();
    match question {
        ApiQuestion::Credentials(id) => {
            message.validate_device_lw_m2m_credentials_request_msg =
                Some(proto::ValidateDeviceLwM2mCredentialsRequestMsg {
                    credentials_id: id.clone(),
                });
        }
        ApiQuestion::DeviceProfile(id) => {
            message.entity_profile_request_msg = Some(entity_profile("DEVICE_PROFILE", *id));
        }
        ApiQuestion::Model {
            tenant,
            object,
            version,
        } => {
            let (tenant_id_msb, tenant_id_lsb) = halves(tenant.0);
            message.resource_request_msg = Some(proto::GetResourceRequestMsg {
                tenant_id_msb,
                tenant_id_lsb,
                resource_type: MODEL_TYPE.to_owned(),
                resource_key: format!("{object}_{version}"),
            });
        }
        ApiQuestion::Package {
            tenant,
            device,
            kind,
        } => {
            let (device_id_msb, device_id_lsb) = halves(device.0);
            let (tenant_id_msb, tenant_id_lsb) = halves(tenant.0);
            let r#type = match kind {
                PackageKind::Firmware => "FIRMWARE",
                PackageKind::Software => "SOFTWARE",
            };
            message.ota_package_request_msg = Some(proto::GetOtaPackageRequestMsg {
                device_id_msb,
                device_id_lsb,
                tenant_id_msb,
                tenant_id_lsb,
                r#type: r#type.to_owned(),
            });
        }
        ApiQuestion::Routing => {
            message.get_all_queue_routing_info_request_msg =
                Some(proto::GetAllQueueRoutingInfoRequestMsg {});
        }
        ApiQuestion::Tenant(id) => {
            message.entity_profile_request_msg = Some(entity_profile("TENANT", *id));
        }
    }
    message.encode_to_vec()
}

fn entity_profile(entity_type: &str, id: PlatformId) -> proto::GetEntityProfileRequestMsg {
    let (entity_id_msb, entity_id_lsb) = halves(id.0);
    proto::GetEntityProfileRequestMsg {
        entity_type: entity_type.to_owned(),
        entity_id_msb,
        entity_id_lsb,
    }
}

/// An answer of the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A device with its credentials and its profile.
    Credentials {
        /// The device.
        device: DeviceInfo,
        /// How it must prove itself.
        client: ClientCredentials,
        /// What bootstrap gives it; `None` when that cannot be read.
        bootstrap: Option<Box<BootstrapCredentials>>,
        /// Its own power settings.
        power: PowerSettings,
        /// Its profile.
        profile: Box<ProfileRecord>,
    },
    /// A device profile.
    DeviceProfile(Box<ProfileRecord>),
    /// An object definition, XML.
    Model(Vec<u8>),
    /// What was asked for is not there.
    Nothing,
    /// A package, or what the core says in its place.
    Package(Result<PackageInfo, QuestionError>),
    /// All queues.
    Routing(Vec<QueueInfo>),
    /// A tenant.
    Tenant(TenantRecord),
}

/// Reads an answer (`TransportApiResponseMsg`).
///
/// # Errors
/// [`ConvertError`] when it is no such message or what it holds cannot be used.
pub fn answer(bytes: &[u8]) -> Result<Answer, ConvertError> {
    let message = TransportApiResponseMsg::decode(bytes)?;
    if let Some(credentials) = message.validate_cred_response_msg {
        return credentials_answer(credentials);
    }
    if let Some(profile) = message.entity_profile_response_msg {
        return Ok(match profile.data {
            Some(Data::TenantProfile(tenant)) => Answer::Tenant(TenantRecord {
                profile: tenant.into(),
                state: profile.api_state.map(Into::into),
            }),
            Some(Data::DeviceProfile(profile)) => {
                Answer::DeviceProfile(Box::new(profile.try_into()?))
            }
            None => Answer::Nothing,
        });
    }
    if let Some(resource) = message.resource_response_msg {
        return Ok(resource
            .resource
            .and_then(|resource| resource.data)
            .map_or(Answer::Nothing, Answer::Model));
    }
    if let Some(package) = message.ota_package_response_msg {
        return Ok(Answer::Package(package_answer(package)));
    }
    let queues: Vec<_> = message
        .get_queue_routing_info_response_msgs
        .into_iter()
        .filter_map(|queue| {
            queue_info(
                platform_id(queue.tenant_id_msb, queue.tenant_id_lsb),
                queue.queue_name,
                queue.queue_topic,
                queue.partitions,
                queue.duplicate_msg_to_all_partitions,
            )
        })
        .collect();
    Ok(if queues.is_empty() {
        Answer::Nothing
    } else {
        Answer::Routing(queues)
    })
}

fn package_answer(answer: proto::GetOtaPackageResponseMsg) -> Result<PackageInfo, QuestionError> {
    match answer.response_status() {
        ResponseStatus::Success => Ok(PackageInfo {
            id: PackageId(uuid(answer.ota_package_id_msb, answer.ota_package_id_lsb)),
            title: answer.title,
            version: answer.version,
            file_name: answer.file_name,
        }),
        ResponseStatus::Unknown | ResponseStatus::NotFound => Err(QuestionError::NotFound),
        ResponseStatus::Failure => Err(QuestionError::Invalid),
    }
}

fn credentials_answer(
    answer: proto::ValidateDeviceCredentialsResponseMsg,
) -> Result<Answer, ConvertError> {
    #[derive(Deserialize)]
    struct Document {
        client: ClientCredentials,
        #[serde(default)]
        bootstrap: serde_json::Value,
    }
    let Some(info) = answer.device_info else {
        return Ok(Answer::Nothing);
    };
    let profile = answer
        .device_profile
        .ok_or(ConvertError::Missing("deviceProfile"))?;
    // The error of the parser may quote the document, which holds keys.
    let document: Document = serde_json::from_str(&answer.credentials_body)
        .map_err(|_| ConvertError::Json("the credentials document".to_owned()))?;
    Ok(Answer::Credentials {
        power: power(&info),
        device: DeviceInfo {
            tenant: platform_id(info.tenant_id_msb, info.tenant_id_lsb),
            customer: customer(info.customer_id_msb, info.customer_id_lsb),
            device: platform_id(info.device_id_msb, info.device_id_lsb),
            profile: platform_id(info.device_profile_id_msb, info.device_profile_id_lsb),
            name: info.device_name,
            kind: info.device_type,
        },
        client: document.client,
        // A device can register whatever is wrong here.
        bootstrap: serde_json::from_value(document.bootstrap).ok(),
        profile: Box::new(profile.try_into()?),
    })
}

fn power(info: &proto::DeviceInfoProto) -> PowerSettings {
    let set = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    PowerSettings {
        power_mode: match info.power_mode.as_str() {
            "DRX" => Some(PowerMode::Drx),
            "E_DRX" => Some(PowerMode::Edrx),
            "PSM" => Some(PowerMode::Psm),
            _ => None,
        },
        psm_activity_timer: set(info.psm_activity_timer),
        edrx_cycle: set(info.edrx_cycle),
        paging_transmission_window: set(info.paging_transmission_window),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn questions_have_the_bytes_of_the_examples() {
        // platform-wire.md 2
        assert_eq!(
            hex(&question(&ApiQuestion::Credentials("ep1".to_owned()))),
            "42050a03657031"
        );
        assert_eq!(hex(&question(&ApiQuestion::Routing)), "7200");
    }

    #[test]
    fn a_package_without_success_is_told_from_none() {
        let asked = |status: ResponseStatus| {
            let message = TransportApiResponseMsg {
                ota_package_response_msg: Some(proto::GetOtaPackageResponseMsg {
                    response_status: status.into(),
                    ..Default::default()
                }),
                ..Default::default()
            };
            answer(&message.encode_to_vec())
        };
        for (status, error) in [
            (ResponseStatus::Unknown, QuestionError::NotFound),
            (ResponseStatus::NotFound, QuestionError::NotFound),
            (ResponseStatus::Failure, QuestionError::Invalid),
        ] {
            assert_eq!(asked(status), Ok(Answer::Package(Err(error))), "{status:?}");
        }
    }

    #[test]
    fn an_empty_credentials_answer_means_unknown() {
        assert_eq!(answer(&[0x0a, 0x00]), Ok(Answer::Nothing));
    }

    #[test]
    fn a_device_without_profile_is_refused() {
        let message = TransportApiResponseMsg {
            validate_cred_response_msg: Some(proto::ValidateDeviceCredentialsResponseMsg {
                device_info: Some(proto::DeviceInfoProto::default()),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(
            answer(&message.encode_to_vec()),
            Err(ConvertError::Missing("deviceProfile"))
        );
    }

    #[test]
    fn a_broken_document_is_not_quoted() {
        let message = TransportApiResponseMsg {
            validate_cred_response_msg: Some(proto::ValidateDeviceCredentialsResponseMsg {
                device_info: Some(proto::DeviceInfoProto::default()),
                credentials_body: r#"{"client":{"securityConfigClientMode":"top-secret"}}"#
                    .to_owned(),
                device_profile: Some(proto::DeviceProfileProto::default()),
            }),
            ..Default::default()
        };
        let error = answer(&message.encode_to_vec()).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn queues_that_make_no_sense_are_left_out() {
        let queue = |name: &str, partitions| proto::GetQueueRoutingInfoResponseMsg {
            queue_name: name.to_owned(),
            queue_topic: "tb_rule_engine.main".to_owned(),
            partitions,
            ..Default::default()
        };
        let message = TransportApiResponseMsg {
            get_queue_routing_info_response_msgs: vec![
                queue("Main", 10),
                queue("", 10),
                queue("None", 0),
                queue("Less", -1),
                queue("Huge", i32::MAX),
            ],
            ..Default::default()
        };
        let Ok(Answer::Routing(queues)) = answer(&message.encode_to_vec()) else {
            panic!("no queues");
        };
        let names: Vec<_> = queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(names, ["Main"]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            drop(answer(&bytes));
        }
    }
}
