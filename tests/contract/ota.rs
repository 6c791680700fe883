//! The updates of the capture, done again: what becomes of them is what the reference made of them, record by record.

use std::time::Duration;

use bytes::Bytes;
use lightship::{
    lwm2m::value::Value,
    platform::{
        Downlink, Uplink,
        thingsboard::convert::{Answer, Notification, answer, notification},
        uplink::KeyValue,
    },
    sim::SimEvent,
};
use prost::Message;

use crate::{
    golden::{Golden, records},
    wire::{ToRuleEngineMsg, ToTransportMsg, entity_update_msg::EntityUpdate},
    world::World,
};

/// Keys and values of one record, in order.
type Posted = Vec<(String, String)>;

/// One device of the capture while it is updated.
struct Scene {
    world: World,
    /// What the core sends to it from the assignment on.
    downlinks: Vec<Downlink>,
    /// What the reference posts from the assignment on.
    theirs: Vec<Posted>,
    before: usize,
}

/// The device of this number, registered as it was when its package was assigned.
fn scene(number: u8) -> Option<Scene> {
    let records = records("40-ota")?;
    let profile = records.iter().find_map(|record| profile(record, number))?;
    let mut world = World::with_updates(&profile, number, |_| {});
    world.platform.bytes = Ok(Bytes::from(vec![7; 3000]));
    world.device.register(world.now.mono);
    world.run(Duration::from_secs(5));
    // The captured device also said its name, and said it again at the end; this one notifies changes alone.
    world.set("/5/0/7", Value::String("1.0".to_owned()));
    world.run(Duration::from_secs(5));
    let step = format!("43-ota{number}-");
    let records = of_step(&records, &step);
    let mut downlinks = Vec::new();
    let mut theirs = Vec::new();
    for record in records {
        match (record.message.as_str(), record.producer.as_str()) {
            ("ToTransportMsg", _) if record.topic.ends_with("tb-lwm2m-0") => {
                if let Notification::Session(_, own) = notification(&record.value()).unwrap() {
                    downlinks.extend(own);
                }
            }
            ("TransportApiResponseMsg", _) => {
                let Ok(Answer::Package(found)) = answer(&record.value()) else {
                    panic!("only a package is asked for");
                };
                world.platform.package = found;
            }
            ("ToRuleEngineMsg", "transport") => theirs.push(posted_there(record)),
            _ => {}
        }
    }
    theirs.retain(concerns_the_update);
    let before = world.platform.uplinks.len();
    Some(Scene {
        world,
        downlinks,
        theirs,
        before,
    })
}

impl Scene {
    fn assign(&mut self) {
        for downlink in std::mem::take(&mut self.downlinks) {
            self.world
                .endpoint
                .handle_downlink(self.world.now, downlink);
        }
        self.pass();
    }

    fn pass(&mut self) {
        self.world.run(Duration::from_secs(1));
    }

    fn set(&mut self, path: &str, value: impl Into<Shown>) {
        self.world.set(path, value.into().0);
        self.pass();
    }

    fn executed(&self) -> bool {
        let is_it = |event: &SimEvent| matches!(event, SimEvent::Executed(path, _) if path.to_string() == "/5/0/2");
        self.world.events.iter().any(is_it)
    }

    /// From the command to install to the end, as the captured device went about it.
    fn install(&mut self, title: &str) {
        self.set("/5/0/3", 2);
        assert!(self.executed());
        self.set("/5/0/3", 3);
        self.set("/5/0/6", title);
        self.set("/5/0/7", "1.1");
        self.set("/5/0/5", 1);
        self.set("/5/0/3", 0);
    }

    fn compare(&self) {
        let uplinks = self.world.platform.uplinks[self.before..].iter();
        let ours = uplinks.filter_map(posted).filter(concerns_the_update);
        let ours: Vec<_> = ours.collect();
        for (index, (ours, theirs)) in ours.iter().zip(&self.theirs).enumerate() {
            assert_eq!(ours, theirs, "record {index}");
        }
        assert_eq!(ours.len(), self.theirs.len(), "{ours:?}");
    }
}

/// Registrations are updated when the device wants it.
fn concerns_the_update(posted: &Posted) -> bool {
    !posted[0].1.ends_with("Updated registration.")
}

struct Shown(Value);

impl From<i64> for Shown {
    fn from(number: i64) -> Self {
        Self(Value::Integer(number))
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self(Value::String(text.to_owned()))
    }
}

#[test]
fn a_package_that_is_pushed_makes_the_records_of_the_reference() {
    let Some(mut scene) = scene(1) else { return };
    scene.assign();
    scene.install("fwTitle");
    assert_eq!(scene.theirs.len(), 13);
    scene.compare();
}

#[test]
fn a_package_that_is_fetched_makes_the_records_of_the_reference() {
    let Some(mut scene) = scene(2) else { return };
    scene.assign();
    let uri = scene
        .world
        .device
        .objects()
        .value(&"/5/0/1".parse().unwrap());
    assert_eq!(
        uri,
        Some(&Value::String(
            "coap://127.0.0.1:5685/tbfw/de25e810-e67e-11f1-992b-8361f3aac1fb".to_owned()
        ))
    );
    scene.set("/5/0/3", 1);
    scene.install("fwTitle2");
    assert_eq!(scene.theirs.len(), 15);
    scene.compare();
}

#[test]
fn a_package_in_object_19_makes_the_records_of_the_reference() {
    let Some(mut scene) = scene(3) else { return };
    scene.assign();
    assert_eq!(scene.theirs.len(), 2);
    scene.compare();
    // Nobody says what becomes of it; nothing is tried again.
    scene.world.run(Duration::from_secs(8000));
    scene.compare();
}

#[test]
fn what_is_taken_back_outside_a_transfer_reaches_no_device() {
    let Some(records) = records("40-ota") else {
        return;
    };
    let Some(mut scene) = scene(1) else { return };
    scene.assign();
    scene.install("fwTitle");
    let sent = scene.world.sent_by_server.len();
    for record in of_step(&records, "44-ota1-") {
        if record.message == "ToTransportMsg"
            && let Notification::Session(_, downlinks) = notification(&record.value()).unwrap()
        {
            for downlink in downlinks {
                scene
                    .world
                    .endpoint
                    .handle_downlink(scene.world.now, downlink);
            }
        }
    }
    scene.pass();
    assert_eq!(scene.world.sent_by_server.len(), sent);
    scene.compare();
}

fn of_step<'a>(records: &'a [Golden], step: &'a str) -> impl Iterator<Item = &'a Golden> {
    records
        .iter()
        .filter(move |record| record.step.starts_with(step))
}

/// The `transportConfiguration` of the device profile of this number.
fn profile(record: &Golden, number: u8) -> Option<String> {
    if record.message != "ToTransportMsg" {
        return None;
    }
    let message = ToTransportMsg::decode(record.value().as_slice()).unwrap();
    let Some(EntityUpdate::DeviceProfile(profile)) = message.entity_update_msg?.entity_update
    else {
        return None;
    };
    if profile.name != format!("lw-ota{number}") {
        return None;
    }
    let data: serde_json::Value = serde_json::from_slice(&profile.device_profile_data?).unwrap();
    Some(data["transportConfiguration"].to_string())
}

/// What the reference posted.
fn posted_there(record: &Golden) -> Posted {
    let message = ToRuleEngineMsg::decode(record.value().as_slice()).unwrap();
    let data = message.tb_msg_proto.unwrap().data;
    let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&data).unwrap();
    let values = data.into_iter();
    values
        .map(|(key, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (key, without_place(&text))
        })
        .collect()
}

fn posted(uplink: &Uplink) -> Option<Posted> {
    let Uplink::Telemetry { readings, .. } = uplink else {
        return None;
    };
    let values = readings.first()?.values.iter();
    let text = |value: &KeyValue| match value {
        KeyValue::String(text) | KeyValue::Json(text) => without_place(text),
        KeyValue::Long(number) => number.to_string(),
        KeyValue::Boolean(_) | KeyValue::Double(_) => panic!("none is posted here"),
    };
    Some(
        values
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    )
}

/// A line without registration id and address, which are others here.
fn without_place(line: &str) -> String {
    match line.split_once("] Sending request: ") {
        Some((_, request)) => request.to_owned(),
        None => line.to_owned(),
    }
}
