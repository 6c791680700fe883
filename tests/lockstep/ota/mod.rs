//! Updates over the air (`ota.md`): what leaves for a device that is updated, and what is reported of it.
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod assignment;
mod failure;
mod pull;
mod push;
mod restart;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lightship::{
    coap::{Code, Message},
    endpoint::{Endpoint, EndpointName, EndpointSettings, Key},
    lwm2m::{path::Path, value::Value},
    platform::{
        Downlink, Question, QuestionError, Uplink,
        package::{PackageId, PackageInfo},
        time::UnixMillis,
        uplink::KeyValue,
    },
    sim::SimEvent,
};
use uuid::Uuid;

use crate::{
    requests, seconds,
    world::{World, peer},
};

const ID: &str = "00000000-0000-0000-0000-000000000007";
const FIRMWARE: [(&str, &str); 2] = [("fw_title", "fw"), ("fw_version", "2")];

/// A profile that observes what the platform's documentation says, with these settings.
fn profile(client: &str) -> String {
    let paths = r#"["/5_1.2/0/3","/5_1.2/0/5","/5_1.2/0/6","/5_1.2/0/7","/5_1.2/0/9",
        "/9_1.1/0/0","/9_1.1/0/1","/9_1.1/0/7","/9_1.1/0/9"]"#;
    format!(
        r#"{{"observeAttr":{{"observe":{paths},"telemetry":{paths},"keyName":{{
            "/5_1.2/0/3":"state","/5_1.2/0/5":"result"}}}},"clientLwM2mSettings":{{{client}}}}}"#
    )
}

/// A registered device with firmware `firmware` `1.0.0`, and software `sw` `1.0`.
fn world(client: &str, seed: u8) -> World {
    ready(World::with_updates(&profile(client), seed, |_| {}))
}

/// Sets these versions, has the device register, and a package lie ready.
fn ready(mut world: World) -> World {
    world.platform.package = Ok(PackageInfo {
        id: PackageId(Uuid::from_u128(7)),
        title: "fw".to_owned(),
        version: "2".to_owned(),
        file_name: "fw.bin".to_owned(),
    });
    for (path, text) in [
        ("/5/0/6", "firmware"),
        ("/5/0/7", "1.0.0"),
        ("/9/0/0", "sw"),
        ("/9/0/1", "1.0"),
    ] {
        world.set(path, Value::String(text.to_owned()));
    }
    world.device.register(world.now.mono);
    world.run(seconds(5));
    assert!(world.device.is_registered());
    world
}

/// Assigns what these attributes say, as the core does.
fn assign_at(world: &mut World, ts: i64, attributes: &[(&str, &str)]) {
    tell_assigned(world, ts, attributes);
    world.run(seconds(1));
}

fn tell_assigned(world: &mut World, ts: i64, attributes: &[(&str, &str)]) {
    let value = |text: &str| KeyValue::String(text.to_owned());
    let updated = attributes
        .iter()
        .map(|(key, text)| ((*key).to_owned(), value(text), UnixMillis(ts)))
        .collect();
    let downlink = Downlink::Attributes {
        updated,
        requested: false,
    };
    world.endpoint.handle_downlink(world.now, downlink);
}

fn assign(world: &mut World) {
    assign_at(world, 1000, &FIRMWARE);
}

/// Assigns a package to a device that falls silent.
fn assign_lost(world: &mut World) {
    world.network.cut = true;
    assign(world);
}

/// Assigns a package of so many bytes, and lets only this time pass.
fn begin_to_push(world: &mut World, length: usize, millis: u64) {
    world.platform.bytes = Ok(vec![7; length].into());
    tell_assigned(world, 1000, &FIRMWARE);
    world.run(Duration::from_millis(millis));
}

fn assign_software(world: &mut World) {
    assign_at(world, 1000, &[("sw_title", "sw"), ("sw_version", "2")]);
}

fn withdraw(world: &mut World) {
    let keys = ["fw_title", "fw_version", "fw_tag", "fw_url"];
    let downlink = Downlink::AttributesDeleted(keys.map(str::to_owned).to_vec());
    world.endpoint.handle_downlink(world.now, downlink);
    world.run(seconds(1));
}

fn set(world: &mut World, path: &str, number: i64) {
    world.set(path, Value::Integer(number));
    world.run(seconds(1));
}

fn texts(world: &World, key: &str) -> Vec<String> {
    let values = world.posted(key).into_iter();
    values
        .filter_map(|value| {
            if let KeyValue::String(text) = value {
                return Some(text);
            }
            None
        })
        .collect()
}

fn states(world: &World) -> Vec<String> {
    texts(world, "fw_state")
}

/// The text of the last report of a failure.
fn last_line(world: &World) -> String {
    let lines = texts(world, "transportLog");
    let is_report =
        |line: &&String| !line.contains("Sending request") && !line.contains("Updated reg");
    lines.iter().rev().find(is_report).unwrap().clone()
}

/// How often a resource was executed, with which arguments.
fn executed(world: &World, path: &str) -> Vec<String> {
    let path: Path = path.parse().unwrap();
    let mut all = Vec::new();
    for event in &world.events {
        if let SimEvent::Executed(own, arguments) = event
            && *own == path
        {
            all.push(arguments.clone());
        }
    }
    all
}

fn on_device(world: &World, path: &str) -> Option<Value> {
    world
        .device
        .objects()
        .value(&path.parse().unwrap())
        .cloned()
}

/// Requests for a path that left, each block counted.
fn sent(world: &World, request: &str) -> usize {
    requests(world).iter().filter(|own| *own == request).count()
}

fn asked_for_packages(world: &World) -> usize {
    world.count(|uplink| {
        matches!(
            uplink,
            Uplink::Question {
                question: Question::Package { .. },
                ..
            }
        )
    })
}

/// The device says that it has the package, is told to install it, and restarts with this result and version.
fn install(world: &mut World, version: &str) {
    set(world, "/5/0/3", 2);
    set(world, "/5/0/3", 3);
    world.set("/5/0/7", Value::String(version.to_owned()));
    set(world, "/5/0/5", 1);
    set(world, "/5/0/3", 0);
}

/// The device starts anew: it registers without having de-registered.
fn reboot(world: &mut World) {
    world.device.register(world.now.mono);
    world.run(seconds(5));
}

#[test]
fn o1_a_device_of_which_nothing_is_known_is_reported_as_not_supported() {
    let unrelated = r#"{"observeAttr":{"observe":["/3_1.2/0/9"]}}"#;
    let mut world = ready(World::with_updates(unrelated, 1, |_| {}));
    assign(&mut world);
    assert_eq!(states(&world), ["FAILED"]);
    assert_eq!(
        last_line(&world),
        "Client does not support firmware update or profile misconfiguration!"
    );
    assert_eq!(asked_for_packages(&world), 0);
    assign_software(&mut world);
    assert_eq!(
        last_line(&world),
        "Client does not support software update or profile misconfiguration!"
    );
}

#[test]
fn o2_firmware_is_pushed_installed_and_reported() {
    let mut world = world(r#""fwUpdateStrategy":1"#, 2);
    set(&mut world, "/5/0/9", 1);
    assign_at(
        &mut world,
        1000,
        &[
            ("fw_title", "My firmware"),
            ("fw_version", "fw.v.1.5.0-update"),
        ],
    );
    assert_eq!(
        on_device(&world, "/5/0/0"),
        Some(Value::Opaque(Bytes::from_static(&[1])))
    );
    set(&mut world, "/5/0/3", 1);
    set(&mut world, "/5/0/3", 2);
    assert_eq!(executed(&world, "/5/0/2"), [""]);
    set(&mut world, "/5/0/3", 3);
    reboot(&mut world);
    set(&mut world, "/5/0/5", 1);
    let mut states = states(&world);
    // It says once more that it installs when it has started.
    states.dedup();
    assert_eq!(states, ["DOWNLOADING", "DOWNLOADED", "UPDATING", "UPDATED"]);
}

#[test]
fn o3_software_is_pushed_installed_and_reported() {
    let mut world = world(r#""swUpdateStrategy":1"#, 3);
    assign_at(
        &mut world,
        1000,
        &[("sw_title", "My sw"), ("sw_version", "v1.0")],
    );
    assert_eq!(
        on_device(&world, "/9/0/2"),
        Some(Value::Opaque(Bytes::from_static(&[1])))
    );
    set(&mut world, "/9/0/7", 1);
    set(&mut world, "/9/0/9", 1);
    set(&mut world, "/9/0/7", 2);
    set(&mut world, "/9/0/7", 3);
    set(&mut world, "/9/0/9", 3);
    assert_eq!(executed(&world, "/9/0/4"), [""]);
    set(&mut world, "/9/0/7", 4);
    set(&mut world, "/9/0/9", 2);
    assert_eq!(
        texts(&world, "sw_state"),
        [
            "DOWNLOADING",
            "DOWNLOADING",
            "DOWNLOADING",
            "DOWNLOADED",
            "VERIFIED",
            "UPDATED"
        ]
    );
    let lines = texts(&world, "transportLog");
    let reports = lines
        .iter()
        .filter(|line| line.starts_with("Software Update"));
    assert_eq!(
        reports.collect::<Vec<_>>(),
        [
            "Software Update State: DOWNLOAD_STARTED",
            "Software Update Result: DOWNLOADING",
            "Software Update State: DOWNLOADED",
            "Software Update State: DELIVERED",
            "Software Update Result: SUCCESSFULLY_DOWNLOADED_VERIFIED",
            "Software Update Result: SUCCESSFULLY_INSTALLED",
        ]
    );
    assert_eq!(states(&world), [] as [&str; 0]);
}

#[test]
fn o4_a_device_that_shows_its_old_version_afterwards_is_not_updated_again() {
    let mut world = world("", 4);
    assign(&mut world);
    install(&mut world, "1.0.0");
    reboot(&mut world);
    world.run(seconds(8000));
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
    assert_eq!(asked_for_packages(&world), 1);
    assert_eq!(sent(&world, "PUT /5/0/0"), 1);
}

#[test]
fn o15_result_0_while_installing_is_no_success() {
    let mut world = world("", 20);
    set(&mut world, "/5/0/5", 1);
    assign(&mut world);
    set(&mut world, "/5/0/3", 2);
    set(&mut world, "/5/0/3", 3);
    set(&mut world, "/5/0/5", 0);
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING"]);
}

#[test]
fn result_0_after_a_restart_is_success_if_the_version_says_so() {
    for (seed, version, end) in [(21, "2", "UPDATED"), (22, "1.0.0", "FAILED")] {
        let mut world = world("", seed);
        assign(&mut world);
        set(&mut world, "/5/0/3", 2);
        set(&mut world, "/5/0/3", 3);
        for (path, value) in [
            ("/5/0/3", Value::Integer(0)),
            (
                "/5/0/6",
                Value::String(if version == "2" { "fw" } else { "firmware" }.to_owned()),
            ),
            ("/5/0/7", Value::String(version.to_owned())),
        ] {
            world.network.cut = true;
            world.set(path, value);
        }
        world.network.cut = false;
        reboot(&mut world);
        assert_eq!(states(&world).last().unwrap(), end);
        let line = match end {
            "UPDATED" => "Firmware Update Result: INITIAL",
            _ => "Firmware Update Result: INITIAL, version unchanged",
        };
        assert_eq!(last_line(&world), line);
    }
}

#[test]
fn o16_a_device_that_waits_before_it_installs_has_not_failed() {
    let mut world = world("", 23);
    assign(&mut world);
    set(&mut world, "/5/0/3", 2);
    set(&mut world, "/5/0/5", 11);
    assert_eq!(states(&world), ["DOWNLOADED"]);
    assert_eq!(last_line(&world), "Firmware Update Result: DEFERRED");
    set(&mut world, "/5/0/3", 3);
    set(&mut world, "/5/0/5", 1);
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
}

#[test]
fn o20_object_19_is_told_of_the_package_before() {
    let mut world = world(r#""useObject19ForOtaInfo":true"#, 25);
    assign(&mut world);
    let json = r#"{"title":"fw","version":"2","checksum":"4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a","dataSize":1,"fileName":"fw.bin"}"#;
    let told = Some(Value::Opaque(Bytes::from_static(json.as_bytes())));
    assert_eq!(on_device(&world, "/19/65533/0/0"), told);
    let order: Vec<_> = requests(&world)
        .into_iter()
        .filter(|own| !own.starts_with("GET"))
        .collect();
    assert_eq!(order, ["POST /19", "PUT /5/0/0"]);
    // The instance is there now, and the device has said so.
    withdraw(&mut world);
    assign_at(&mut world, 2000, &[("fw_title", "fw"), ("fw_version", "3")]);
    let order: Vec<_> = requests(&world)
        .into_iter()
        .filter(|own| !own.starts_with("GET"))
        .collect();
    assert!(
        order.ends_with(&["PUT /19/65533/0".to_owned(), "PUT /5/0/0".to_owned()]),
        "{order:?}"
    );
    assert_eq!(world.posted("appData"), []);
}

#[test]
fn state_and_result_are_observed_for_the_update_where_the_profile_does_not() {
    let bare = r#"{"observeAttr":{"telemetry":["/5_1.2/0/6","/5_1.2/0/7"],
        "keyName":{"/5_1.2/0/6":"name","/5_1.2/0/7":"version"}}}"#;
    let mut world = ready(World::with_updates(bare, 37, |_| {}));
    let lines = world.posted("transportLog").len();
    assign(&mut world);
    assert_eq!(
        world.posted("transportLog").len(),
        lines + 2,
        "of the Write"
    );
    install(&mut world, "2");
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
    assert_eq!(world.posted("state"), []);
    world.run(seconds(5));
    let unobserved: Vec<_> = world
        .events
        .iter()
        .filter(|event| matches!(event, SimEvent::Unobserved(_)))
        .collect();
    assert_eq!(unobserved.len(), 2, "{unobserved:?}");
    let mut off = ready(World::with_updates(bare, 38, |settings| {
        Arc::make_mut(&mut settings.ota).auto_observe = false;
    }));
    assign(&mut off);
    assert_eq!(sent(&off, "GET /5/0/3"), 0);
    assert_eq!(sent(&off, "PUT /5/0/0"), 1);
}
