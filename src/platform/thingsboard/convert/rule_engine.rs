//! Telemetry and attributes for the rule engine (`platform-wire.md` 3.7, 4.4, 4.5, 8).

use std::collections::BTreeMap;

use prost::Message;
use uuid::Uuid;

use super::{DEVICE, halves};
use crate::platform::{
    session::{PlatformId, SessionInfo},
    thingsboard::{
        json,
        proto::{TbMsgMetaDataProto, TbMsgProcessingCtxProto, TbMsgProto, ToRuleEngineMsg},
    },
    time::UnixMillis,
    uplink::KeyValue,
};

/// How a message is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In both ways: understood by every core, at twice the size.
    Both,
    /// As bytes, for cores before 4.1.
    Legacy,
    /// As a message, since core 4.1.
    Modern,
}

/// A message for the rule engine.
#[derive(Clone, Copy, Debug)]
pub struct RuleEngineMessage<'a> {
    /// Random; also the key of the record.
    pub id: Uuid,
    /// Whose values.
    pub session: &'a SessionInfo,
    /// Time of the values when they are telemetry, `None` when they are client attributes.
    pub telemetry: Option<UnixMillis>,
    /// Key and value.
    pub values: &'a [(String, KeyValue)],
    /// Rule chain of the profile, if not the tenant's root chain.
    pub rule_chain: Option<PlatformId>,
    /// When the message was made.
    pub created: UnixMillis,
    /// Common id and partition, when the queue wants a copy in every partition.
    pub copy: Option<(Uuid, u32)>,
}

/// The bytes of a message (`ToRuleEngineMsg`).
pub fn rule_engine_message(message: &RuleEngineMessage<'_>, form: Form) -> Vec<u8> {
    let device = &message.session.device;
    let id = |id: Option<PlatformId>| id.map_or((0, 0), |id| halves(id.0));
    let (entity_id_msb, entity_id_lsb) = halves(device.device.0);
    let (rule_chain_id_msb, rule_chain_id_lsb) = id(message.rule_chain);
    let customer = (device.customer != PlatformId::NULL).then_some(device.customer);
    let (customer_id_msb, customer_id_lsb) = id(customer);
    let (correlation, partition) = message.copy.unwrap_or_default();
    let (correlation_id_msb, correlation_id_lsb) = halves(correlation);
    let (kind, (key, value)) = match message.telemetry {
        Some(ts) => ("POST_TELEMETRY_REQUEST", ("ts", ts.to_string())),
        None => (
            "POST_ATTRIBUTES_REQUEST",
            ("notifyDevice", "false".to_owned()),
        ),
    };
    let inner = TbMsgProto {
        id: message.id.as_hyphenated().to_string(),
        r#type: kind.to_owned(),
        entity_type: DEVICE.to_owned(),
        entity_id_msb,
        entity_id_lsb,
        rule_chain_id_msb,
        rule_chain_id_lsb,
        meta_data: Some(TbMsgMetaDataProto {
            data: BTreeMap::from([
                ("deviceName".to_owned(), device.name.clone()),
                ("deviceType".to_owned(), device.kind.clone()),
                (key.to_owned(), value),
            ]),
        }),
        data: json::object(message.values),
        ts: message.created.0,
        customer_id_msb,
        customer_id_lsb,
        ctx: Some(TbMsgProcessingCtxProto {}),
        correlation_id_msb,
        correlation_id_lsb,
        partition: i32::try_from(partition).unwrap_or(0),
    };
    let (tenant_id_msb, tenant_id_lsb) = halves(device.tenant.0);
    ToRuleEngineMsg {
        tenant_id_msb,
        tenant_id_lsb,
        tb_msg: match form {
            Form::Both | Form::Legacy => inner.encode_to_vec(),
            Form::Modern => Vec::new(),
        },
        tb_msg_proto: match form {
            Form::Both | Form::Modern => Some(inner),
            Form::Legacy => None,
        },
    }
    .encode_to_vec()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::platform::session::{DeviceInfo, SessionId};

    const DEVICE_ID: &str = "784f394c-42b6-435a-983c-b7beff2784f9";

    fn session(customer: PlatformId) -> SessionInfo {
        SessionInfo {
            id: SessionId(Uuid::nil()),
            device: Arc::new(DeviceInfo {
                tenant: PlatformId("a1b2c3d4-e5f6-4789-abcd-ef0123456789".parse().unwrap()),
                customer,
                device: PlatformId(DEVICE_ID.parse().unwrap()),
                profile: PlatformId::default(),
                name: "ep1".to_owned(),
                kind: "lw".to_owned(),
            }),
        }
    }

    fn example<'a>(
        session: &'a SessionInfo,
        values: &'a [(String, KeyValue)],
    ) -> RuleEngineMessage<'a> {
        RuleEngineMessage {
            id: DEVICE_ID.parse().unwrap(),
            session,
            telemetry: Some(UnixMillis(1_700_000_000_000)),
            values,
            rule_chain: None,
            created: UnixMillis(1_700_000_000_000),
            copy: None,
        }
    }

    #[test]
    fn telemetry_has_the_bytes_of_the_example() {
        // platform-wire.md 4.4; its metadata is in the order that is written here.
        let expected = "08898fd9afcefab0d9a1011089cf959a92e0fbe6ab0132ab010a2437383466333934632d34326236\
            2d343335612d393833632d6237626566663237383466391216504f53545f54454c454d455452595f\
            524551554553541a0644455649434520da86d995c4a9cea77828f9899ef9eff7ad9e98015a3a0a11\
            0a0a6465766963654e616d6512036570310a100a0a6465766963655479706512026c770a130a0274\
            73120d3137303030303030303030303072087b2262223a31327d7880d095ffbc319a0100";
        let session = session(PlatformId::NULL);
        let values = [("b".to_owned(), KeyValue::Long(12))];
        let bytes = rule_engine_message(&example(&session, &values), Form::Modern);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn both_forms_say_the_same() {
        let session = session(PlatformId(Uuid::from_u128(9)));
        let values = [("b".to_owned(), KeyValue::Long(12))];
        let message = RuleEngineMessage {
            telemetry: None,
            rule_chain: Some(PlatformId(DEVICE_ID.parse().unwrap())),
            copy: Some((DEVICE_ID.parse().unwrap(), 3)),
            ..example(&session, &values)
        };
        let decode =
            |form| ToRuleEngineMsg::decode(rule_engine_message(&message, form).as_slice()).unwrap();
        let both = decode(Form::Both);
        let inner = TbMsgProto::decode(both.tb_msg.as_slice()).unwrap();
        assert_eq!(both.tb_msg_proto.as_ref(), Some(&inner));
        assert_eq!(decode(Form::Legacy).tb_msg, both.tb_msg);
        assert_eq!(decode(Form::Legacy).tb_msg_proto, None);
        assert_eq!(decode(Form::Modern).tb_msg_proto, Some(inner.clone()));
        assert_eq!(decode(Form::Modern).tb_msg, Vec::<u8>::new());
        assert_eq!(inner.r#type, "POST_ATTRIBUTES_REQUEST");
        assert_eq!(inner.meta_data.unwrap().data["notifyDevice"], "false");
        assert_eq!((inner.customer_id_lsb, inner.partition), (9, 3));
        assert_eq!(inner.rule_chain_id_msb, inner.correlation_id_msb);
        assert_ne!(inner.rule_chain_id_msb, 0);
    }
}
