//! The shared attributes of the capture, set again: what becomes of them is what the reference made of them.

use std::time::Duration;

use lightship::{
    lwm2m::value::Value,
    platform::{
        Uplink,
        thingsboard::convert::{Notification, notification},
        uplink::KeyValue,
    },
};
use prost::Message;

use crate::{
    golden::{Golden, records},
    wire::ToRuleEngineMsg,
    world::World,
};

/// Of the profile of the capture what these attributes meet.
const PROFILE: &str = r#"{"observeAttr": {
    "observe": ["/3_1.2/0/9"], "attribute": ["/3_1.2/0/15"], "telemetry": ["/3_1.2/0/9"],
    "keyName": {"/3_1.2/0/9": "batteryLevel", "/3_1.2/0/15": "timezone"}}}"#;

#[test]
fn l13_and_l15_shared_attributes_have_the_effect_that_they_had_at_the_reference() {
    let Some(records) = records("16-shared-attributes") else {
        return;
    };
    let mut world = World::new(PROFILE, 1);
    world.set("/3/0/15", Value::String("Europe/Athens".to_owned()));
    world.device.register(world.now.mono);
    world.run(Duration::from_secs(5));
    let before = world.platform.uplinks.len();
    for record in &records {
        if record.message != "ToTransportMsg" {
            continue;
        }
        let Notification::Session(_, downlinks) = notification(&record.value()).unwrap() else {
            panic!("{} is for a session", record.topic);
        };
        for downlink in downlinks {
            world.endpoint.handle_downlink(world.now, downlink);
        }
        world.run(Duration::from_secs(2));
    }
    let posts =
        |record: &&Golden| record.producer == "transport" && record.message == "ToRuleEngineMsg";
    let theirs = records.iter().filter(posts).map(posted_there);
    let ours = world.platform.uplinks[before..].iter().filter_map(posted);
    let (theirs, ours): (Vec<_>, Vec<_>) = (theirs.collect(), ours.collect());
    assert_eq!(theirs.len(), 9);
    assert_eq!(ours, theirs);
}

/// Key and text of what the reference posted.
fn posted_there(record: &Golden) -> (String, String) {
    let message = ToRuleEngineMsg::decode(record.value().as_slice()).unwrap();
    let data = message.tb_msg_proto.unwrap().data;
    let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&data).unwrap();
    let (key, value) = data.into_iter().next().unwrap();
    (key, without_place(value.as_str().unwrap()))
}

fn posted(uplink: &Uplink) -> Option<(String, String)> {
    let (key, value) = if let Uplink::Attributes { values, .. } = uplink {
        values.first()?
    } else if let Uplink::Telemetry { readings, .. } = uplink {
        readings.first()?.values.first()?
    } else {
        return None;
    };
    let KeyValue::String(text) = value else {
        panic!("{key} is a text");
    };
    Some((key.clone(), without_place(text)))
}

/// A line without registration id and address, which are others here.
fn without_place(line: &str) -> String {
    match line.split_once("] Sending request: ") {
        Some((_, request)) => request.to_owned(),
        None => line.to_owned(),
    }
}
