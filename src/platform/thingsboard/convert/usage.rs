//! What tenants and customers used, as the core counts it (`platform-wire.md` 3.6, 4.12, 8).

use prost::Message;

use super::halves;
use crate::platform::{
    session::PlatformId,
    thingsboard::proto::{
        ApiUsageRecordKeyProto, ToUsageStatsServiceMsg, UsageStatsKvProto, UsageStatsServiceMsg,
    },
};

/// What one tenant or customer used since the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The tenant; [`PlatformId::NULL`] for the sum of all tenants.
    pub tenant: PlatformId,
    /// The customer, when these are a customer's counters.
    pub customer: Option<PlatformId>,
    /// Messages.
    pub messages: u64,
    /// Values in them.
    pub data_points: u64,
}

/// The bytes of a record (`ToUsageStatsServiceMsg`) with the counters of all `usages`, since core 4.0.
pub fn usage_message(service_id: &str, usages: &[Usage]) -> Vec<u8> {
    let entries = usages.iter().map(|usage| {
        let ids = ids(usage);
        UsageStatsServiceMsg {
            tenant_id_msb: ids.tenant.0,
            tenant_id_lsb: ids.tenant.1,
            values: values(usage, |key| UsageStatsKvProto {
                record_key: key.into(),
                ..UsageStatsKvProto::default()
            }),
            customer_id_msb: ids.customer.0,
            customer_id_lsb: ids.customer.1,
        }
    });
    ToUsageStatsServiceMsg {
        service_id: service_id.to_owned(),
        msgs: entries.collect(),
        ..ToUsageStatsServiceMsg::default()
    }
    .encode_to_vec()
}

/// The bytes of a record with the counters of one tenant or customer, for cores before 4.0.
pub fn legacy_usage_message(service_id: &str, usage: &Usage) -> Vec<u8> {
    let ids = ids(usage);
    ToUsageStatsServiceMsg {
        tenant_id_msb: ids.tenant.0,
        tenant_id_lsb: ids.tenant.1,
        values: values(usage, |key| UsageStatsKvProto {
            key: key.as_str_name().to_owned(),
            ..UsageStatsKvProto::default()
        }),
        customer_id_msb: ids.customer.0,
        customer_id_lsb: ids.customer.1,
        service_id: service_id.to_owned(),
        msgs: Vec::new(),
    }
    .encode_to_vec()
}

struct Ids {
    tenant: (i64, i64),
    customer: (i64, i64),
}

fn ids(usage: &Usage) -> Ids {
    Ids {
        tenant: halves(usage.tenant.0),
        customer: usage.customer.map_or((0, 0), |customer| halves(customer.0)),
    }
}

/// The counters that are not 0.
fn values(
    usage: &Usage,
    named: impl Fn(ApiUsageRecordKeyProto) -> UsageStatsKvProto,
) -> Vec<UsageStatsKvProto> {
    [
        (ApiUsageRecordKeyProto::TransportMsgCount, usage.messages),
        (ApiUsageRecordKeyProto::TransportDpCount, usage.data_points),
    ]
    .into_iter()
    .filter(|(_, value)| *value > 0)
    .map(|(key, value)| UsageStatsKvProto {
        value: i64::try_from(value).unwrap_or(i64::MAX),
        ..named(key)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const USAGE: Usage = Usage {
        tenant: PlatformId(Uuid::from_u128(1 << 64 | 2)),
        customer: Some(PlatformId(Uuid::from_u128(3 << 64 | 4))),
        messages: 5,
        data_points: 6,
    };

    #[test]
    fn the_list_has_numbers_and_the_older_form_names() {
        // Worked out by hand from the tables: field 9 { 1: 1, 2: 2, 5: { 2: 5 }, 5: { 2: 6, 3: 1 }, 6: 3, 7: 4 }.
        let expected = b"\x42\x04ls-0\x4a\x12\x08\x01\x10\x02\x2a\x02\x10\x05\x2a\x04\x10\x06\x18\x01\x30\x03\x38\x04";
        assert_eq!(usage_message("ls-0", &[USAGE]), expected);
        let expected = [
            &b"\x08\x01\x10\x02\x2a\x17\x0a\x13TRANSPORT_MSG_COUNT\x10\x05"[..],
            b"\x2a\x16\x0a\x12TRANSPORT_DP_COUNT\x10\x06\x30\x03\x38\x04\x42\x04ls-0",
        ]
        .concat();
        assert_eq!(legacy_usage_message("ls-0", &USAGE), expected);
    }

    #[test]
    fn a_counter_of_nothing_is_left_out() {
        let usage = Usage {
            customer: None,
            messages: 0,
            ..USAGE
        };
        let expected = b"\x42\x00\x4a\x0a\x08\x01\x10\x02\x2a\x04\x10\x06\x18\x01";
        let bytes = usage_message("", &[usage]);
        // An empty service id is not written.
        assert_eq!(bytes, expected[2..]);
    }
}
