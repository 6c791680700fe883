//! A profile that changes while the device is registered: the difference is carried out (`device-lifecycle.md` 9.1 and
//! 9.4).
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::sync::Arc;

use lightship::{
    lwm2m::value::Value,
    platform::{Downlink, profile::DeviceProfile, uplink::KeyValue},
};

use crate::{
    PROFILE, requests, seconds,
    world::{World, admission},
};

/// A profile which observes `paths`, that is JSON strings, by a strategy and maps nothing.
fn observing(strategy: &str, paths: &str) -> String {
    format!(
        r#"{{"type": "LWM2M", "observeAttr": {{"observeStrategy": "{strategy}", "observe": [{paths}]}}}}"#
    )
}

/// Tells the endpoint of another profile.
fn change(world: &mut World, profile: &str) {
    let profile: Arc<DeviceProfile> = admission("dev1", profile).profile;
    let changed = Downlink::ProfileChanged(profile);
    world.endpoint.handle_downlink(world.now, changed);
}

/// Changes the profile of a registered device; what is asked of it then.
fn asked_after(world: &mut World, profile: &str) -> Vec<String> {
    let before = requests(world).len();
    change(world, profile);
    world.run(seconds(5));
    requests(world).split_off(before)
}

/// What is observed, as the platform is told and as the device has it: `/3/0/9`, `[/3/0/9, /5/0/3]`.
fn observed(world: &mut World) -> Vec<String> {
    let number = 1_000_000 + u128::try_from(world.platform.uplinks.len()).unwrap();
    world.rpc(number, "ObserveReadAll", "null");
    world.run(seconds(0));
    let history = world.rpc_history(number);
    let reply: serde_json::Value = serde_json::from_str(history.last().unwrap()).unwrap();
    let listed: Vec<String> = serde_json::from_str(reply["value"].as_str().unwrap()).unwrap();
    let mut observed: Vec<_> = listed
        .iter()
        .map(|own| {
            let paths = own.split_once(':').unwrap().1.trim();
            let Some(several) = paths.strip_prefix('[') else {
                return paths.to_owned();
            };
            let mut several: Vec<_> = several.trim_end_matches(']').split(", ").collect();
            several.sort_unstable();
            format!("[{}]", several.join(", "))
        })
        .collect();
    observed.sort();
    assert_eq!(world.device.observers(), observed.len(), "{observed:?}");
    observed
}

#[test]
fn l23_single_paths_are_added_and_removed_one_by_one() {
    let one = observing("SINGLE", r#""/3_1.2/0/9""#);
    let six = observing(
        "SINGLE",
        r#""/3_1.2/0/9", "/3_1.2/0/0", "/3_1.2/0/14", "/3303_1.1/0/5700", "/3303_1.1/12/5700", "/19_1.1/0/0""#,
    );
    let two = observing("SINGLE", r#""/3_1.2/0/14", "/3303_1.1/12/5700""#);
    let mut world = World::registered(&one, 201);
    let asked = asked_after(&mut world, &six);
    assert_eq!(asked.len(), 5, "{asked:?}");
    assert!(!asked.contains(&"GET /3/0/9 observe=0".to_owned()));
    assert_eq!(observed(&mut world).len(), 6);
    let mut asked = asked_after(&mut world, &two);
    asked.sort();
    assert_eq!(
        asked,
        [
            "GET /19/0/0 observe=1",
            "GET /3/0/0 observe=1",
            "GET /3/0/9 observe=1",
            "GET /3303/0/5700 observe=1",
        ]
    );
    assert_eq!(observed(&mut world), ["/3/0/14", "/3303/12/5700"]);
    assert_eq!(asked_after(&mut world, &two), Vec::<String>::new());
}

#[test]
fn l23_composites_by_object_change_for_the_objects_that_changed() {
    let two = r#""/3_1.2/0/9", "/3303_1.1/0/5700""#;
    let three = format!(r#"{two}, "/19_1.1/0/0""#);
    let mut world = World::registered(&observing("COMPOSITE_BY_OBJECT", two), 202);
    assert_eq!(observed(&mut world), ["[/3/0/9]", "[/3303/0/5700]"]);
    let asked = asked_after(&mut world, &observing("COMPOSITE_BY_OBJECT", &three));
    assert_eq!(asked, ["FETCH / observe=0"]);
    assert_eq!(
        observed(&mut world),
        ["[/19/0/0]", "[/3/0/9]", "[/3303/0/5700]"]
    );
    // Of object 3 another set, of object 19 nothing any more.
    let changed = r#""/3_1.2/0/9", "/3_1.2/0/14", "/3303_1.1/0/5700""#;
    let mut asked = asked_after(&mut world, &observing("COMPOSITE_BY_OBJECT", changed));
    asked.sort();
    assert_eq!(
        asked,
        [
            "FETCH / observe=0",
            "FETCH / observe=1",
            "FETCH / observe=1"
        ]
    );
    let left = observed(&mut world);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&"[/3303/0/5700]".to_owned()));
}

#[test]
fn l23_another_strategy_begins_with_nothing() {
    for (from, to, expected) in [
        (
            "COMPOSITE_BY_OBJECT",
            "SINGLE",
            ["/3/0/9", "/3303/0/5700"].as_slice(),
        ),
        (
            "SINGLE",
            "COMPOSITE_BY_OBJECT",
            &["[/3/0/9]", "[/3303/0/5700]"],
        ),
        ("SINGLE", "COMPOSITE_ALL", &["[/3/0/9, /3303/0/5700]"]),
    ] {
        let paths = r#""/3_1.2/0/9", "/3303_1.1/0/5700""#;
        let mut world = World::registered(&observing(from, paths), 203);
        world.rpc(1, "Observe", r#"{"id":"/19_1.1/0/0"}"#);
        world.run(seconds(1));
        asked_after(&mut world, &observing(to, paths));
        assert_eq!(observed(&mut world), expected, "{from} -> {to}");
    }
}

#[test]
fn l23_composite_all_has_exactly_one_of_the_new_set() {
    let before = observing("COMPOSITE_ALL", r#""/3_1.2/0/9", "/3303_1.1/0/5700""#);
    let after = observing("COMPOSITE_ALL", r#""/3_1.2/0/14", "/3303_1.1/0/5700""#);
    let mut world = World::registered(&before, 204);
    let asked = asked_after(&mut world, &after);
    assert_eq!(asked, ["FETCH / observe=1", "FETCH / observe=0"]);
    assert_eq!(observed(&mut world), ["[/3/0/14, /3303/0/5700]"]);
}

#[test]
fn l23_an_observation_made_by_a_command_outlives_a_change_of_single_paths() {
    let one = observing("SINGLE", r#""/3_1.2/0/9""#);
    let other = observing("SINGLE", r#""/3_1.2/0/14""#);
    let mut world = World::registered(&one, 205);
    world.rpc(1, "Observe", r#"{"id":"/19_1.1/0/0"}"#);
    world.run(seconds(1));
    asked_after(&mut world, &other);
    assert_eq!(observed(&mut world), ["/19/0/0", "/3/0/14"]);
}

#[test]
fn l23_attributes_of_paths_that_changed_are_written_and_those_that_went_are_unset() {
    let with = |attributes: &str| {
        format!(r#"{{"type": "LWM2M", "observeAttr": {{"attributeLwm2m": {{{attributes}}}}}}}"#)
    };
    let before = with(
        r#""/3_1.2/0/9": {"pmin": 10, "pmax": 300, "st": 5.0}, "/3303_1.1/0/5700": {"pmax": 60, "gt": 40}, "/3_1.2/0": {"pmin": 1}"#,
    );
    let after = with(
        r#""/3_1.2/0": {"pmin": 1}, "/3_1.2/0/9": {"pmin": 20, "pmax": 300}, "/3303_1.1/12/5700": {"lt": 3.5}"#,
    );
    let mut world = World::registered(&before, 206);
    assert_eq!(
        asked_after(&mut world, &after),
        [
            "PUT /3/0/9?pmax=300&pmin=20&st",
            "PUT /3303/12/5700?lt=3.5",
            "PUT /3303/0/5700?pmax&gt",
        ]
    );
    let everything = asked_after(&mut world, r#"{"type": "LWM2M"}"#);
    assert_eq!(
        everything,
        [
            "PUT /3/0?pmin",
            "PUT /3/0/9?pmax&pmin",
            "PUT /3303/12/5700?lt"
        ]
    );
}

#[test]
fn l23_paths_that_are_posted_newly_or_under_another_name_are_read() {
    let after = PROFILE
        // Observed from now on, so not read as well.
        .replace(
            r#"["/3_1.2/0/9", "/3303_1.1/0/5700"],"#,
            r#"["/3_1.2/0/9", "/3303_1.1/0/5700", "/3303_1.1/12/5700"],"#,
        )
        .replace(
            r#""/3_1.2/0/6"],"#,
            r#""/3_1.2/0/6", "/3303_1.1/12/5700", "/3_1.2/0/14", "/4_1.3/0/2"],"#,
        )
        .replace(
            r#""/3_1.2/0/6": "powerSources""#,
            r#""/3_1.2/0/6": "powerSources", "/3303_1.1/12/5700": "outside", "/3_1.2/0/14": "utcOffset""#,
        )
        .replace(r#""batteryLevel""#, r#""charge""#);
    let mut world = World::registered(PROFILE, 207);
    assert_eq!(
        asked_after(&mut world, &after),
        ["GET /3/0/9", "GET /3/0/14", "GET /3303/12/5700 observe=0"]
    );
    assert_eq!(world.posted("charge"), [KeyValue::Long(95)]);
    assert_eq!(world.posted("outside"), [KeyValue::Double(25.0)]);
    let offset = KeyValue::String("+02:00".to_owned());
    assert_eq!(world.posted("utcOffset"), [offset]);
}

#[test]
fn l23_what_waits_for_a_sleeping_device_is_the_difference_between_its_first_and_its_last_profile() {
    let first = observing("SINGLE", r#""/3_1.2/0/9", "/3_1.2/0/14""#);
    let second = observing("SINGLE", r#""/3_1.2/0/9", "/3303_1.1/0/5700""#);
    let third = observing("SINGLE", r#""/3_1.2/0/14", "/3303_1.1/12/5700""#);
    let mut world = World::in_queue_mode(&first, 208);
    world.device.register(world.now.mono);
    world.run(seconds(100));
    let before = requests(&world).len();
    for profile in [&second, &third, &first, &second, &third] {
        change(&mut world, profile);
    }
    world.run(seconds(10));
    assert_eq!(requests(&world).len(), before);
    world.device.update(world.now.mono);
    world.run(seconds(5));
    let mut asked = requests(&world).split_off(before);
    asked.sort();
    assert_eq!(
        asked,
        ["GET /3/0/9 observe=1", "GET /3303/12/5700 observe=0"]
    );
    assert_eq!(observed(&mut world), ["/3/0/14", "/3303/12/5700"]);
    world.set("/3/0/14", Value::String("+05:00".to_owned()));
    world.run(seconds(1));
    assert_eq!(world.endpoint.unfinished(), 0);
}

#[test]
fn l23_attributes_that_wait_for_a_sleeping_device_are_written_in_one_request() {
    let with = |attributes: &str| {
        format!(
            r#"{{"type": "LWM2M", "observeAttr": {{"attributeLwm2m": {{"/3_1.2/0/9": {{{attributes}}}}}}}}}"#
        )
    };
    let mut world = World::in_queue_mode(&with(r#""pmin": 10, "st": 2"#), 209);
    world.device.register(world.now.mono);
    world.run(seconds(100));
    let before = requests(&world).len();
    for attributes in [r#""pmin": 20"#, r#""pmax": 60"#, r#""pmax": 70"#] {
        change(&mut world, &with(attributes));
    }
    world.device.update(world.now.mono);
    world.run(seconds(5));
    let asked = requests(&world).split_off(before);
    assert_eq!(asked, ["PUT /3/0/9?pmax=70&pmin&st"]);
}
