//! Every record that the core sent to a transport is understood.

use lightship::platform::{
    downlink::Downlink,
    thingsboard::convert::{Answer, Broadcast, Notification, answer, notification},
};
use prost::Message;

use crate::{
    golden::{GROUPS, records},
    wire::{ToTransportMsg, TransportApiResponseMsg},
};

#[test]
fn answers_of_the_core_are_understood() {
    let mut seen = [0; 6];
    for record in GROUPS.iter().filter_map(|group| records(group)).flatten() {
        if record.message != "TransportApiResponseMsg" {
            continue;
        }
        let decoded = TransportApiResponseMsg::decode(record.value().as_slice()).unwrap();
        let headers: Vec<_> = record.headers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(headers, ["expireTs", "requestId", "responseTopic"]);
        match answer(&record.value()).unwrap() {
            Answer::Credentials {
                device, profile, ..
            } => {
                let info = decoded
                    .validate_cred_response_msg
                    .unwrap()
                    .device_info
                    .unwrap();
                assert_eq!(device.name, info.device_name);
                assert_eq!(profile.profile.name, info.device_type);
                assert_eq!(profile.profile.id, device.profile);
                seen[0] += 1;
            }
            Answer::DeviceProfile(_) => seen[1] += 1,
            Answer::Model(xml) => {
                assert!(String::from_utf8(xml).unwrap().contains("<LWM2M"));
                seen[1] += 1;
            }
            Answer::Nothing => {
                let unknown = decoded
                    .validate_cred_response_msg
                    .is_some_and(|answer| answer.device_info.is_none());
                assert!(unknown, "{record:?}");
                seen[2] += 1;
            }
            Answer::Package(found) => {
                let theirs = decoded.ota_package_response_msg.unwrap();
                let found = found.unwrap();
                let id = (theirs.ota_package_id_msb, theirs.ota_package_id_lsb);
                let (msb, lsb) = found.id.0.as_u64_pair();
                assert_eq!((msb.cast_signed(), lsb.cast_signed()), id);
                assert_eq!((found.title, found.version), (theirs.title, theirs.version));
                assert_eq!(found.file_name, theirs.file_name);
                seen[5] += 1;
            }
            Answer::Routing(queues) => {
                assert!(queues.iter().any(|queue| queue.name == "Main"));
                seen[3] += 1;
            }
            Answer::Tenant(tenant) => {
                assert!(tenant.state.unwrap().version > 0, "a core of 4.0 or newer");
                seen[4] += 1;
            }
        }
    }
    println!("answers understood: {}", seen.iter().sum::<u32>());
    assert!(
        seen.iter().all(|count| *count > 0) || seen == [0; 6],
        "{seen:?}"
    );
}

#[test]
fn notifications_of_the_core_are_understood() {
    let (mut sessions, mut broadcasts) = (0, 0);
    for record in GROUPS.iter().filter_map(|group| records(group)).flatten() {
        if record.message != "ToTransportMsg" {
            continue;
        }
        let decoded = ToTransportMsg::decode(record.value().as_slice()).unwrap();
        match notification(&record.value()).unwrap() {
            Notification::Session(session, downlinks) => {
                let (msb, lsb) = session.0.as_u64_pair();
                assert_eq!(
                    (msb.cast_signed(), lsb.cast_signed()),
                    (decoded.session_id_msb, decoded.session_id_lsb)
                );
                assert_eq!(record.key, "13814000-1dd2-11b2-8080-808080808080");
                assert!(!downlinks.is_empty(), "{decoded:?}");
                for downlink in downlinks {
                    same_downlink(&decoded, &downlink);
                }
                sessions += 1;
            }
            Notification::Broadcast(Broadcast::Ignored) => {
                let of_another_transport = matches!(
                    decoded.entity_update_msg.and_then(|update| update.entity_update),
                    Some(crate::wire::entity_update_msg::EntityUpdate::DeviceProfile(profile))
                        if profile.transport_type != "LWM2M"
                );
                assert!(of_another_transport, "{}", record.topic);
            }
            Notification::Broadcast(_) => broadcasts += 1,
        }
    }
    println!("notifications understood: {sessions} for sessions, {broadcasts} for all transports");
}

#[test]
fn a60_records_of_the_core_that_are_cut_or_changed_do_no_harm() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % u64::try_from(below).unwrap()).unwrap()
    };
    let (mut read, mut refused) = (0, 0);
    for record in GROUPS.iter().filter_map(|group| records(group)).flatten() {
        let is_answer = match record.message.as_str() {
            "TransportApiResponseMsg" => true,
            "ToTransportMsg" => false,
            _ => continue,
        };
        let whole = record.value();
        for round in 0..64 {
            let mut value = whole.clone();
            if round % 4 == 0 {
                value.truncate(next(whole.len().max(1)));
            }
            for _ in 0..round % 8 {
                if !value.is_empty() {
                    let at = next(value.len());
                    value[at] = u8::try_from(next(256)).unwrap();
                }
            }
            let is_read = if is_answer {
                answer(&value).is_ok()
            } else {
                notification(&value).is_ok()
            };
            if is_read {
                read += 1;
            } else {
                refused += 1;
            }
        }
    }
    println!("of what was cut or changed, {read} were read and {refused} refused");
}

fn same_downlink(decoded: &ToTransportMsg, downlink: &Downlink) {
    match downlink {
        Downlink::Rpc(rpc) => {
            let request = decoded.to_device_request.as_ref().unwrap();
            assert_eq!(rpc.id.request, request.request_id);
            assert_eq!(
                (&rpc.method, &rpc.params),
                (&request.method_name, &request.params)
            );
            assert_eq!(rpc.expires.0, request.expiration_time);
            assert_eq!(
                (rpc.oneway, rpc.persisted),
                (request.oneway, request.persisted)
            );
        }
        Downlink::Attributes { updated, requested } => {
            let values = if *requested {
                &decoded
                    .get_attributes_response
                    .as_ref()
                    .unwrap()
                    .shared_attribute_list
            } else {
                &decoded
                    .attribute_update_notification
                    .as_ref()
                    .unwrap()
                    .shared_updated
            };
            assert_eq!(updated.len(), values.len());
        }
        Downlink::AttributesDeleted(keys) => {
            let update = decoded.attribute_update_notification.as_ref();
            assert_eq!(*keys, update.unwrap().shared_deleted);
        }
        Downlink::SessionClosed(_) => assert!(decoded.session_close_notification.is_some()),
        Downlink::CredentialsChanged => {
            assert!(
                decoded
                    .to_transport_update_credentials_notification
                    .is_some()
            );
        }
        Downlink::DeviceDeleted
        | Downlink::DeviceChanged { .. }
        | Downlink::ProfileChanged(_)
        | Downlink::ModelChanged { .. } => panic!("not for a session: {downlink:?}"),
    }
}
