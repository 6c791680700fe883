//! Shared attributes on their way to the device (`device-lifecycle.md` 5), and what the platform changes or takes away.
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lightship::{
    endpoint::CloseReason,
    lwm2m::{
        path::{ObjectVersion, Path},
        value::{ResourceType, Value},
    },
    platform::{Downlink, Uplink, time::UnixMillis, uplink::KeyValue},
};

use crate::{
    requests, seconds,
    world::{World, admission},
};

const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3303_1.1/0/5700"],
        "attribute": ["/3_1.2/0/14", "/19_1.1/0/0"],
        "telemetry": ["/3_1.2/0/9", "/3303_1.1/0/5700"],
        "keyName": {"/3_1.2/0/14": "utcOffset", "/19_1.1/0/0": "appData", "/3_1.2/0/9": "batteryLevel",
                    "/3303_1.1/0/5700": "temperature", "/3_1.2/0/13": "pkgversion", "/3_1.1/0/15": "timezone",
                    "/5_1.1/0/6": "fw_title", "/3_1.2/0/0": ""}
    }
}"#;

fn text(text: &str) -> KeyValue {
    KeyValue::String(text.to_owned())
}

fn json(text: &str) -> KeyValue {
    KeyValue::Json(text.to_owned())
}

/// Sets shared attributes at a time, and says so as the core does.
fn update(world: &mut World, ts: i64, values: &[(&str, KeyValue)]) {
    tell(world, ts, values, false);
}

fn tell(world: &mut World, ts: i64, values: &[(&str, KeyValue)], requested: bool) {
    let values = values.iter();
    let updated = values
        .map(|(key, value)| ((*key).to_owned(), value.clone(), UnixMillis(ts)))
        .collect();
    let attributes = Downlink::Attributes { updated, requested };
    world.endpoint.handle_downlink(world.now, attributes);
    world.run(seconds(2));
}

/// The keys that were asked for, each time.
fn wanted(world: &World) -> Vec<Vec<String>> {
    let uplinks = world.platform.uplinks.iter();
    uplinks
        .filter_map(|uplink| {
            if let Uplink::AttributesWanted { keys, .. } = uplink {
                return Some(keys.clone());
            }
            None
        })
        .collect()
}

/// The requests and log lines of what `action` brings about.
fn during(world: &mut World, action: impl FnOnce(&mut World)) -> (Vec<String>, Vec<KeyValue>) {
    let (sent, logged) = (requests(world).len(), world.posted("transportLog").len());
    action(world);
    let log = world.posted("transportLog").split_off(logged);
    (requests(world).split_off(sent), log)
}

fn on_device<'a>(world: &'a World, path: &str) -> Option<&'a Value> {
    let path: Path = path.parse().unwrap();
    world.device.objects().value(&path)
}

fn bytes(value: &'static [u8]) -> Value {
    Value::Opaque(Bytes::from_static(value))
}

#[test]
fn the_attributes_of_the_profile_are_asked_for_once_when_its_work_is_done() {
    let mut world = World::registered(PROFILE, 140);
    // Those of firmware have a question of their own, and a path without name is none.
    let keys = [
        "appData",
        "batteryLevel",
        "pkgversion",
        "temperature",
        "timezone",
        "utcOffset",
    ];
    assert_eq!(wanted(&world), [keys]);
    let position = |is_it: fn(&Uplink) -> bool| {
        let mut uplinks = world.platform.uplinks.iter();
        uplinks.position(is_it).unwrap()
    };
    let asked = position(|uplink| matches!(uplink, Uplink::AttributesWanted { .. }));
    let known = position(
        |uplink| matches!(uplink, Uplink::Attributes { values, .. } if values.iter().any(|(key, _)| key == "appData")),
    );
    assert!(known < asked);
    world.device.update(world.now.mono);
    world.run(seconds(5));
    assert_eq!(wanted(&world).len(), 1);
}

#[test]
fn nothing_is_asked_for_when_nothing_is_named() {
    let profile = r#"{"observeAttr": {"keyName": {"/5_1.1/0/6": "fw_title", "/3_1.2/0/0": ""}}}"#;
    let world = World::registered(profile, 141);
    assert_eq!(wanted(&world), [] as [Vec<String>; 0]);
    assert_eq!(world.posted("transportLog").len(), 1);
}

#[test]
fn l13_a_changed_attribute_is_written_and_becomes_the_client_attribute() {
    let mut world = World::registered(PROFILE, 142);
    let (sent, log) = during(&mut world, |world| {
        update(world, 1000, &[("utcOffset", text("+05"))]);
    });
    assert_eq!(sent, ["PUT /3/0/14"]);
    assert_eq!(
        on_device(&world, "/3/0/14"),
        Some(&Value::String("+05".to_owned()))
    );
    assert_eq!(world.posted("utcOffset"), [text("+02:00"), text("+05")]);
    let [sending, answered] = log.as_slice() else {
        panic!("{log:?}");
    };
    let KeyValue::String(sending) = sending else {
        panic!("{sending:?}");
    };
    assert!(
        sending.ends_with("] Sending request: WriteRequest to /3/0/14"),
        "{sending}"
    );
    assert_eq!(
        *answered,
        text(
            "[info]: WriteRequest [/3_1.2/0/14] successful. Result: WriteResponse [code=CHANGED(204)]"
        )
    );
}

#[test]
fn l14_what_the_device_has_is_not_written() {
    let mut world = World::registered(PROFILE, 143);
    let unchanged = |what: &str| text(&format!("warn: Didn't update {what}. Value is not changed"));
    let found = during(&mut world, |world| {
        update(world, 1000, &[("utcOffset", text("+02:00"))]);
    });
    let line = unchanged("the versionedId resource - /3_1.2/0/14 value - +02:00");
    assert_eq!(found, (vec![], vec![line]));
    let found = during(&mut world, |world| {
        update(world, 1000, &[("appData", json(r#"{"1":"02"}"#))]);
    });
    let line = unchanged(r#"resource versionedId - /19_1.1/0/0 value - {"1":"02"}"#);
    assert_eq!(found, (vec![], vec![line]));
    // Numbers are compared as numbers: 21.5 is what the device measured.
    let found = during(&mut world, |world| {
        update(world, 1000, &[("temperature", text("21.50"))]);
    });
    let line = unchanged("the versionedId resource - /3303_1.1/0/5700 value - 21.50");
    assert_eq!(found, (vec![], vec![line]));
}

#[test]
fn l15_and_l16_attributes_that_are_not_mapped_are_named_in_lines_of_their_own_time() {
    let mut world = World::registered(PROFILE, 144);
    let before = world.platform.uplinks.len();
    // The device has object 3 in version 1.2 alone.
    let found = during(&mut world, |world| {
        update(
            world,
            1000,
            &[("foo", KeyValue::Long(1)), ("timezone", text("UTC"))],
        );
    });
    let line = |name: &str| {
        text(&format!(
            "error: Failed update resource onAttributesUpdate {name} is not configured in the device profile!."
        ))
    };
    assert_eq!(found, (vec![], vec![line("foo"), line("timezone")]));
    let times = world.platform.uplinks[before..].iter();
    let times: Vec<_> = times
        .filter_map(|uplink| {
            if let Uplink::Telemetry { readings, .. } = uplink {
                return Some(readings[0].ts.0);
            }
            None
        })
        .collect();
    assert!(times[0] < times[1], "{times:?}");
}

#[test]
fn names_that_only_contain_the_name_of_a_package_key_are_written() {
    let mut world = World::registered(PROFILE, 145);
    let (sent, log) = during(&mut world, |world| {
        let set = [
            ("fw_title", text("a")),
            ("sw_checksum_algorithm", text("CRC32")),
            ("pkgversion", KeyValue::Long(1_700_000_000_000)),
        ];
        update(world, 1000, &set);
    });
    assert_eq!(sent, ["PUT /3/0/13"]);
    assert_eq!(
        on_device(&world, "/3/0/13"),
        Some(&Value::Time(1_700_000_000_000))
    );
    assert_eq!(log.len(), 2, "{log:?}");
    let (sent, _) = during(&mut world, |world| {
        update(
            world,
            2000,
            &[("pkgversion", KeyValue::Long(1_700_000_000_000))],
        );
    });
    assert_eq!(sent, [] as [&str; 0]);
}

#[test]
fn only_the_changed_instances_are_written_and_the_others_survive() {
    let mut world = World::registered(PROFILE, 146);
    let (sent, _) = during(&mut world, |world| {
        update(world, 1000, &[("appData", json(r#"{"1":"ff","2":"03"}"#))]);
    });
    assert_eq!(sent, ["POST /19/0/0"]);
    assert_eq!(on_device(&world, "/19/0/0/0"), Some(&bytes(&[1])));
    assert_eq!(on_device(&world, "/19/0/0/1"), Some(&bytes(&[0xff])));
    assert_eq!(on_device(&world, "/19/0/0/2"), Some(&bytes(&[3])));
    assert_eq!(
        world.posted("appData").last(),
        Some(&json(r#"{"0":"01","1":"ff","2":"03"}"#))
    );
}

#[test]
fn the_newest_value_wins_and_a_value_that_was_taken_is_not_written_again() {
    let mut world = World::registered(PROFILE, 147);
    let (sent, log) = during(&mut world, |world| {
        update(world, 2000, &[("utcOffset", text("+05"))]);
        update(world, 1999, &[("utcOffset", text("+04"))]);
        update(world, 2000, &[("utcOffset", text("+03"))]);
    });
    assert_eq!((sent.len(), log.len()), (1, 2));
    // While the network is cut: the last one is sent when the first has come to its end.
    let (sent, _) = during(&mut world, |world| {
        world.network.cut = true;
        update(world, 3000, &[("utcOffset", text("+06"))]);
        update(world, 3002, &[("utcOffset", text("+08"))]);
        update(world, 3001, &[("utcOffset", text("+07"))]);
        world.network.cut = false;
        world.run(seconds(60));
    });
    assert_eq!(sent, ["PUT /3/0/14"; 2]);
    assert_eq!(
        on_device(&world, "/3/0/14"),
        Some(&Value::String("+08".to_owned()))
    );
}

#[test]
fn a_refused_value_is_logged_not_posted_and_tried_again() {
    let mut world = World::registered(PROFILE, 148);
    for _ in 0..2 {
        let (sent, log) = during(&mut world, |world| {
            update(world, 1000, &[("batteryLevel", KeyValue::Long(11))]);
        });
        assert_eq!(sent, ["PUT /3/0/9"]);
        assert_eq!(
            log.last(),
            Some(&text(
                "[error]: WriteRequest [/3_1.2/0/9] failed to process successful. Result: WriteResponse \
                 [code=METHOD_NOT_ALLOWED(405), errormessage=]"
            ))
        );
    }
    assert_eq!(world.posted("batteryLevel"), [KeyValue::Long(95)]);
}

#[test]
fn values_that_cannot_be_written_cost_their_neighbours_nothing() {
    let mut world = World::registered(PROFILE, 149);
    let (sent, log) = during(&mut world, |world| {
        let set = [
            ("appData", json("null")),
            ("batteryLevel", text("full")),
            ("temperature", KeyValue::Boolean(true)),
            ("utcOffset", text("+05")),
        ];
        update(world, 1000, &set);
    });
    assert_eq!(sent, ["PUT /3/0/14"]);
    assert_eq!(
        log[0],
        text(
            "error: Failed update resource versionedId - /19_1.1/0/0 value - null. New value is  bad"
        )
    );
    for (line, path) in log[1..3].iter().zip(["/3_1.2/0/9", "/3303_1.1/0/5700"]) {
        let KeyValue::String(line) = line else {
            panic!("{line:?}");
        };
        let start = format!("[error]: Request [WriteRequest [{path}]] validation failed. Reason: ");
        assert!(line.starts_with(&start), "{line}");
    }
}

#[test]
fn a_resource_without_model_costs_the_others_nothing() {
    let mut world = World::new(PROFILE, 156);
    world.platform.models.retain(|model| model.id != 19);
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let (sent, log) = during(&mut world, |world| {
        let set = [
            ("appData", json(r#"{"1":"ff"}"#)),
            ("utcOffset", text("+05")),
        ];
        update(world, 1000, &set);
    });
    assert_eq!(sent, ["PUT /3/0/14"]);
    let KeyValue::String(line) = &log[0] else {
        panic!("{log:?}");
    };
    let start = "[error]: Request [WriteRequest [/19_1.1/0/0]] validation failed. Reason: ";
    assert!(line.starts_with(start), "{line}");
}

#[test]
fn attributes_go_behind_commands_and_before_the_work_of_the_profile() {
    let mut world = World::registered(PROFILE, 150);
    let (sent, _) = during(&mut world, |world| {
        world.network.cut = true;
        world.rpc(1, "Read", r#"{"id":"/3_1.2/0/0"}"#);
        world.run(Duration::ZERO);
        let changed = PROFILE.replace("/3303_1.1/0/5700\"],", "/3303_1.1/12/5700\"],");
        let changed = Downlink::ProfileChanged(admission("dev1", &changed).profile);
        world.endpoint.handle_downlink(world.now, changed);
        update(world, 1000, &[("utcOffset", text("+05"))]);
        world.rpc(2, "Read", r#"{"id":"/3_1.2/0/1"}"#);
        world.network.cut = false;
        world.run(seconds(60));
    });
    assert_eq!(
        sent,
        [
            "GET /3/0/0",
            "GET /3/0/1",
            "PUT /3/0/14",
            "GET /3303/0/5700 observe=1",
            "GET /3303/12/5700 observe=0"
        ]
    );
}

#[test]
fn what_is_set_before_the_models_are_known_comes_with_the_answer_to_the_question() {
    let mut world = World::new(PROFILE, 151);
    world.platform.models_unavailable = true;
    world.device.register(world.now.mono);
    world.run(seconds(5));
    update(&mut world, 1000, &[("utcOffset", text("+05"))]);
    assert_eq!((wanted(&world).len(), requests(&world).len()), (0, 0));
    world.platform.models_unavailable = false;
    world.run(seconds(15));
    assert_eq!(wanted(&world).len(), 1);
    tell(&mut world, 1000, &[("utcOffset", text("+05"))], true);
    assert_eq!(
        on_device(&world, "/3/0/14"),
        Some(&Value::String("+05".to_owned()))
    );
}

#[test]
fn a_sleeping_device_gets_its_attributes_when_it_wakes_up() {
    let psm = r#"{"clientLwM2mSettings": {"powerMode": "PSM", "psmActivityTimer": 10000},"#;
    let mut world = World::registered(&PROFILE.replacen('{', psm, 1), 152);
    world.run(seconds(20));
    let (sent, _) = during(&mut world, |world| {
        update(world, 1000, &[("utcOffset", text("+05"))]);
        update(world, 1001, &[("utcOffset", text("+06"))]);
    });
    assert_eq!(sent, [] as [&str; 0]);
    assert_eq!(wanted(&world).len(), 1);
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(
        on_device(&world, "/3/0/14"),
        Some(&Value::String("+06".to_owned()))
    );
    // The answer tells of nothing that the device has already.
    assert_eq!(wanted(&world).len(), 2);
    let set = [
        ("utcOffset", text("+06")),
        ("temperature", KeyValue::Double(21.5)),
    ];
    let found = during(&mut world, |world| tell(world, 1001, &set, true));
    assert_eq!(found, (vec![], vec![]));
}

#[test]
fn an_attribute_that_met_a_sleeping_device_waits_for_it() {
    let mut world = World::in_queue_mode(PROFILE, 153);
    world.device.register(world.now.mono);
    world.run(seconds(5));
    world.network.cut = true;
    update(&mut world, 1000, &[("utcOffset", text("+05"))]);
    world.run(seconds(200));
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(
        on_device(&world, "/3/0/14"),
        Some(&Value::String("+05".to_owned()))
    );
    assert_eq!(wanted(&world).len(), 1);
}

#[test]
fn l19_and_l20_a_device_that_is_taken_away_is_told_nothing() {
    for taken in [Downlink::DeviceDeleted, Downlink::CredentialsChanged] {
        let mut world = World::registered(PROFILE, 154);
        let sent = world.sent_by_server.len();
        world.endpoint.handle_downlink(world.now, taken);
        world.run(seconds(10));
        assert_eq!(world.closed, Some(CloseReason::Removed));
        let closed = world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. }));
        // Nothing leads here, so that the next Update is one of an unknown registration.
        assert_eq!(
            (closed, world.bound.len(), world.sent_by_server.len()),
            (1, 0, sent)
        );
    }
}

#[test]
fn l24_values_are_read_by_the_model_that_the_tenant_uploads() {
    let mut world = World::registered(PROFILE, 155);
    let mut models = world.platform.models.iter();
    let mut model = models.find(|own| own.id == 3).unwrap().as_ref().clone();
    model.resources.get_mut(&9).unwrap().kind = ResourceType::Float;
    for version in [ObjectVersion::new(1, 1), ObjectVersion::new(1, 2)] {
        let changed = Downlink::ModelChanged {
            object: 3,
            version,
            model: Some(Arc::new(model.clone())),
        };
        world.rpc(u128::from(version.minor), "Read", r#"{"id":"/3_1.2/0/9"}"#);
        world.run(seconds(2));
        world.endpoint.handle_downlink(world.now, changed);
    }
    world.rpc(9, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(2));
    let level = KeyValue::Long(95);
    assert_eq!(
        world.posted("batteryLevel"),
        [level.clone(), level.clone(), level, KeyValue::Double(95.0)]
    );
}

#[test]
fn a_value_that_the_device_may_have_taken_unheard_is_not_taken_for_the_old_one() {
    let mut world = World::registered(PROFILE, 170);
    world.network.cut = true;
    update(&mut world, 1000, &[("utcOffset", text("+05"))]);
    // It took the value; its answers are lost.
    world.set("/3/0/14", Value::String("+05".to_owned()));
    world.run(seconds(200));
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(5));
    let (sent, _) = during(&mut world, |world| {
        update(world, 2000, &[("utcOffset", text("+02:00"))]);
    });
    assert_eq!(sent, ["PUT /3/0/14"]);
    assert_eq!(
        on_device(&world, "/3/0/14"),
        Some(&Value::String("+02:00".to_owned()))
    );
}
