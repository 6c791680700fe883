//! Updates over the air (`ota.md`): what leaves for a device that is updated, and what is reported of it.
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

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
    let mut world = World::with_updates(&profile(client), seed, |_| {});
    prepare(&mut world);
    world
}

fn prepare(world: &mut World) {
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
}

/// Assigns what these attributes say, as the core does.
fn assign_at(world: &mut World, ts: i64, attributes: &[(&str, &str)]) {
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
    world.run(seconds(1));
}

fn assign(world: &mut World) {
    assign_at(world, 1000, &[("fw_title", "fw"), ("fw_version", "2")]);
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
    let mut world = World::with_updates(r#"{"observeAttr":{"observe":["/3_1.2/0/9"]}}"#, 1, |_| {});
    prepare(&mut world);
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
fn o5_an_address_of_the_platform_is_written_and_no_package_asked_for() {
    let mut world = world("", 5);
    let url = "https://example.org/fw.bin";
    assign_at(
        &mut world,
        1000,
        &[("fw_title", "fw"), ("fw_version", "2"), ("fw_url", url)],
    );
    assert_eq!(
        on_device(&world, "/5/0/1"),
        Some(Value::String(url.to_owned()))
    );
    assert_eq!(asked_for_packages(&world), 0);
    let written = world.sent_by_server.iter().rev();
    let written = written.map(|(_, datagram)| Message::parse(datagram.clone()).unwrap());
    let written = written
        .filter(|message| message.code() == Code::PUT)
        .last()
        .unwrap();
    assert_eq!(written.content_format().map(|format| format.0), Some(0));
}

#[test]
fn o6_the_address_is_that_of_the_profile_and_the_device_may_fetch_there() {
    let client = r#""fwUpdateStrategy":2,"fwUpdateResource":"coap://h:5685""#;
    let mut world = world(client, 6);
    assign(&mut world);
    let address = format!("coap://h:5685/tbfw/{ID}");
    assert_eq!(on_device(&world, "/5/0/1"), Some(Value::String(address)));
    let may_fetch = |world: &World| {
        let key = Key::Package(PackageId(Uuid::from_u128(7)), world.peer);
        world.bound.contains(&key)
    };
    assert!(may_fetch(&world));
    // Where it is.
    let before = std::mem::replace(&mut world.peer, peer(40_000));
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert!(may_fetch(&world));
    let key = Key::Package(PackageId(Uuid::from_u128(7)), before);
    assert!(!world.bound.contains(&key));
    set(&mut world, "/5/0/3", 1);
    install(&mut world, "2");
    assert!(!may_fetch(&world), "the update is over");
    assert_eq!(
        states(&world),
        ["DOWNLOADING", "DOWNLOADED", "UPDATING", "UPDATED"]
    );
}

#[test]
fn o7_a_device_that_only_fetches_gets_an_address_and_one_that_cannot_fails() {
    let mut with_base = world(r#""fwUpdateResource":"coap://h:5685""#, 7);
    set(&mut with_base, "/5/0/9", 0);
    assign(&mut with_base);
    assert_eq!(
        (
            sent(&with_base, "PUT /5/0/1"),
            sent(&with_base, "PUT /5/0/0")
        ),
        (1, 0)
    );
    let mut without = world("", 8);
    set(&mut without, "/5/0/9", 0);
    assign(&mut without);
    assert_eq!(
        last_line(&without),
        "No package download address configured"
    );
    assert_eq!(states(&without), ["FAILED"]);
}

#[test]
fn the_protocols_of_the_device_are_read_without_a_trace() {
    let mut world = world(r#""fwUpdateStrategy":2,"fwUpdateResource":"coap://h""#, 9);
    world.set("/5/0/8/0", Value::Integer(2));
    let lines = world.posted("transportLog").len();
    assign(&mut world);
    assert_eq!(sent(&world, "GET /5/0/8"), 1);
    // The device has HTTP alone, and is sent the package.
    assert_eq!(
        (sent(&world, "PUT /5/0/1"), sent(&world, "PUT /5/0/0")),
        (0, 1)
    );
    assert_eq!(
        world.posted("transportLog").len(),
        lines + 2,
        "of the Write"
    );
    let mut pull = self::world(r#""fwUpdateStrategy":2,"fwUpdateResource":"coap://h""#, 10);
    pull.set("/5/0/8/0", Value::Integer(2));
    set(&mut pull, "/5/0/9", 0);
    assign(&mut pull);
    assert_eq!(last_line(&pull), "No common download protocol");
}

#[test]
fn o10_a_platform_without_package_fails_the_update() {
    for (seed, error, status) in [
        (11, QuestionError::NotFound, "NOT_FOUND"),
        (12, QuestionError::Invalid, "FAILURE"),
    ] {
        let mut world = world("", seed);
        world.platform.package = Err(error);
        assign(&mut world);
        assert_eq!(states(&world), ["FAILED"]);
        assert_eq!(
            last_line(&world),
            format!("Failed to fetch OTA package: {status}")
        );
    }
}

#[test]
fn a_platform_that_does_not_answer_is_asked_three_times() {
    let mut world = world("", 13);
    world.platform.package = Err(QuestionError::Unavailable);
    assign(&mut world);
    world.run(seconds(60));
    assert_eq!(asked_for_packages(&world), 3);
    assert_eq!(
        last_line(&world),
        "Failed to process firmware update: the platform does not answer"
    );
    assert_eq!(states(&world), ["FAILED"]);
}

#[test]
fn o11_a_temporary_failure_is_tried_four_times_in_all() {
    let mut world = world("", 14);
    assign(&mut world);
    for failure in 1..=4 {
        assert_eq!(sent(&world, "PUT /5/0/0"), failure);
        set(&mut world, "/5/0/3", 1);
        set(&mut world, "/5/0/5", 4);
        set(&mut world, "/5/0/3", 0);
        set(&mut world, "/5/0/5", 0);
        // The longest pause is of 144 s.
        world.run(seconds(150));
    }
    assert_eq!(sent(&world, "PUT /5/0/0"), 4, "no more attempts");
    let failed = states(&world).into_iter().filter(|state| state == "FAILED");
    assert_eq!(failed.count(), 4);
}

#[test]
fn o11_success_after_three_failures_is_success() {
    let mut world = world("", 15);
    assign(&mut world);
    for _ in 0..3 {
        set(&mut world, "/5/0/5", 4);
        set(&mut world, "/5/0/5", 0);
        world.run(seconds(150));
    }
    install(&mut world, "2");
    assert_eq!(
        states(&world),
        [
            "FAILED",
            "FAILED",
            "FAILED",
            "DOWNLOADED",
            "UPDATING",
            "UPDATED"
        ]
    );
}

#[test]
fn o12_the_order_of_state_and_result_does_not_matter() {
    for (seed, order) in [
        (16, [("/5/0/3", 0), ("/5/0/5", 4)]),
        (17, [("/5/0/5", 4), ("/5/0/3", 0)]),
    ] {
        let mut world = world("", seed);
        assign(&mut world);
        set(&mut world, "/5/0/3", 1);
        for (path, value) in order {
            set(&mut world, path, value);
        }
        world.run(seconds(8));
        assert_eq!(sent(&world, "PUT /5/0/0"), 2, "{order:?}");
        assert_eq!(states(&world), ["DOWNLOADING", "FAILED"]);
        assert_eq!(
            last_line(&world),
            "[info]: WriteRequest [/5_1.2/0/0] successful. Result: WriteResponse [code=CHANGED(204)]"
        );
    }
}

#[test]
fn a_download_that_ends_without_a_result_was_interrupted() {
    let mut world = world("", 18);
    assign(&mut world);
    set(&mut world, "/5/0/3", 1);
    set(&mut world, "/5/0/3", 0);
    assert_eq!(states(&world), ["DOWNLOADING"]);
    world.run(seconds(10));
    assert_eq!(states(&world), ["DOWNLOADING", "FAILED"]);
    assert_eq!(last_line(&world), "Firmware Update State: IDLE");
    world.run(seconds(8));
    assert_eq!(sent(&world, "PUT /5/0/0"), 2);
}

#[test]
fn o13_a_final_failure_is_remembered_and_o14_forgotten_when_the_platform_assigns_anew() {
    let mut world = world("", 19);
    assign(&mut world);
    set(&mut world, "/5/0/5", 2);
    world.run(seconds(200));
    assert_eq!(states(&world), ["FAILED"]);
    assert_eq!(sent(&world, "PUT /5/0/0"), 1);
    reboot(&mut world);
    assert_eq!(
        last_line(&world),
        "Previous update firmware failed. Result: NOT_ENOUGH"
    );
    assert_eq!(asked_for_packages(&world), 1);
    set(&mut world, "/5/0/5", 0);
    assign_at(&mut world, 2000, &[("fw_title", "fw"), ("fw_version", "2")]);
    assert_eq!(sent(&world, "PUT /5/0/0"), 2);
    install(&mut world, "2");
    assert_eq!(
        states(&world),
        ["FAILED", "DOWNLOADED", "UPDATING", "UPDATED"]
    );
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
fn o17_a_push_that_a_new_registration_interrupts_starts_again_and_succeeds_once() {
    let mut world = world("", 24);
    world.platform.bytes = Ok(vec![7; 30_000].into());
    let text = |text: &str| KeyValue::String(text.to_owned());
    let updated = vec![
        ("fw_title".to_owned(), text("fw"), UnixMillis(1)),
        ("fw_version".to_owned(), text("2"), UnixMillis(1)),
    ];
    let downlink = Downlink::Attributes {
        updated,
        requested: false,
    };
    world.endpoint.handle_downlink(world.now, downlink);
    world.run(Duration::from_millis(400));
    let blocks = sent(&world, "PUT /5/0/0");
    assert!((2..30).contains(&blocks), "{blocks}");
    reboot(&mut world);
    assert_eq!(
        on_device(&world, "/5/0/0"),
        Some(Value::Opaque(vec![7; 30_000].into()))
    );
    install(&mut world, "2");
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
}

/// The server starts anew with what it kept of updates, and the device registers again.
fn restart(world: &mut World, seed: u8) {
    let records = world.endpoint.ota_records();
    let mut endpoint = Endpoint::new(
        EndpointName::new("dev1"),
        Arc::new(EndpointSettings::default()),
        [seed; 32],
    );
    endpoint.restore_ota(world.now, records);
    world.endpoint = endpoint;
    reboot(world);
}

#[test]
fn o17_a_restart_of_the_server_takes_an_update_up_where_it_was() {
    // Before the package has left.
    let mut early = world("", 50);
    let package = early.platform.package.clone();
    early.platform.package = Err(QuestionError::Unavailable);
    assign(&mut early);
    early.platform.package = package;
    restart(&mut early, 201);
    install(&mut early, "2");
    assert_eq!(states(&early), ["DOWNLOADED", "UPDATING", "UPDATED"]);
    // While the device has part of it: it is given up, and sent anew.
    let mut middle = world("", 52);
    assign(&mut middle);
    set(&mut middle, "/5/0/3", 1);
    restart(&mut middle, 202);
    middle.run(seconds(31));
    assert_eq!(executed(&middle, "/5/0/10"), [""]);
    assert_eq!(sent(&middle, "PUT /5/0/0"), 2);
    install(&mut middle, "2");
    let states_of = |world: &World| states(world).last().cloned();
    assert_eq!(states_of(&middle).as_deref(), Some("UPDATED"));
    // When the device has it, it is told to install it once.
    let mut there = world("", 53);
    assign(&mut there);
    there.network.cut = true;
    there.set("/5/0/3", Value::Integer(2));
    there.network.cut = false;
    restart(&mut there, 203);
    assert_eq!(executed(&there, "/5/0/2"), [""]);
    // While it installs, nothing is repeated.
    restart(&mut there, 204);
    there.run(seconds(60));
    assert_eq!(executed(&there, "/5/0/2"), [""]);
    install(&mut there, "2");
    assert_eq!(states_of(&there).as_deref(), Some("UPDATED"));
    // Nor afterwards.
    restart(&mut there, 205);
    there.run(seconds(600));
    assert_eq!(sent(&there, "PUT /5/0/0"), 1);
    assert_eq!(states_of(&there).as_deref(), Some("UPDATED"));
}

#[test]
fn what_failed_is_remembered_over_a_restart_of_the_server() {
    let mut world = world("", 54);
    assign(&mut world);
    set(&mut world, "/5/0/5", 2);
    restart(&mut world, 206);
    assign(&mut world);
    assert_eq!(
        last_line(&world),
        "Previous update firmware failed. Result: NOT_ENOUGH"
    );
    assert_eq!(sent(&world, "PUT /5/0/0"), 1);
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
fn o21_software_that_is_installed_is_removed_before_another_version_comes() {
    let mut world = world("", 26);
    set(&mut world, "/9/0/7", 4);
    assign_software(&mut world);
    assert_eq!(executed(&world, "/9/0/6"), ["1"]);
    assert_eq!(sent(&world, "PUT /9/0/2"), 0);
    set(&mut world, "/9/0/7", 0);
    assert_eq!(sent(&world, "PUT /9/0/2"), 1);
}

#[test]
fn o23_a_package_that_is_taken_back_is_given_up_by_both_sides() {
    let mut world = world("", 27);
    world.platform.bytes = Ok(vec![7; 60_000].into());
    let text = |text: &str| KeyValue::String(text.to_owned());
    let updated = vec![
        ("fw_title".to_owned(), text("fw"), UnixMillis(1)),
        ("fw_version".to_owned(), text("2"), UnixMillis(1)),
    ];
    let downlink = Downlink::Attributes {
        updated,
        requested: false,
    };
    world.endpoint.handle_downlink(world.now, downlink);
    world.run(Duration::from_millis(400));
    assert!(sent(&world, "PUT /5/0/0") > 1);
    withdraw(&mut world);
    let blocks = sent(&world, "PUT /5/0/0");
    world.run(seconds(600));
    assert_eq!(sent(&world, "PUT /5/0/0"), blocks, "it stopped");
    assert_eq!(executed(&world, "/5/0/10"), [""]);
    assert_eq!(states(&world), [] as [&str; 0]);
}

#[test]
fn what_is_taken_back_while_the_device_installs_ends_as_it_ends() {
    let mut world = world("", 28);
    assign(&mut world);
    set(&mut world, "/5/0/3", 2);
    withdraw(&mut world);
    set(&mut world, "/5/0/3", 3);
    set(&mut world, "/5/0/5", 1);
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
    assert_eq!(executed(&world, "/5/0/10"), [] as [&str; 0]);
}

#[test]
fn another_package_takes_the_place_of_one_that_is_not_installed_yet() {
    let mut world = world("", 29);
    assign(&mut world);
    set(&mut world, "/5/0/3", 1);
    assign_at(&mut world, 2000, &[("fw_title", "fw"), ("fw_version", "3")]);
    assert_eq!(executed(&world, "/5/0/10"), [""]);
    assert_eq!(sent(&world, "PUT /5/0/0"), 2);
    // While the device installs it waits.
    set(&mut world, "/5/0/3", 2);
    assign_at(&mut world, 3000, &[("fw_title", "fw"), ("fw_version", "4")]);
    assert_eq!(sent(&world, "PUT /5/0/0"), 2);
    set(&mut world, "/5/0/3", 3);
    set(&mut world, "/5/0/5", 1);
    set(&mut world, "/5/0/3", 0);
    assert_eq!(sent(&world, "PUT /5/0/0"), 3);
}

#[test]
fn o24_bytes_that_are_missing_are_asked_for_again_and_then_the_update_fails() {
    let mut world = world("", 30);
    world.platform.bytes_missing = 3;
    assign(&mut world);
    world.run(seconds(10));
    assert_eq!(sent(&world, "PUT /5/0/0"), 1);
    assert_eq!(
        asked_for_packages(&world),
        2,
        "the platform puts the bytes there when it is asked"
    );
    let mut gone = self::world("", 31);
    gone.platform.bytes = Err(QuestionError::NotFound);
    assign(&mut gone);
    gone.run(seconds(10));
    assert_eq!(states(&gone), ["FAILED"]);
    assert_eq!(
        last_line(&gone),
        "Package data is not available in the cache"
    );
}

#[test]
fn commands_go_between_the_blocks_of_a_package() {
    let mut world = world("", 32);
    world.platform.bytes = Ok(vec![7; 60_000].into());
    let text = |text: &str| KeyValue::String(text.to_owned());
    let updated = vec![
        ("fw_title".to_owned(), text("fw"), UnixMillis(1)),
        ("fw_version".to_owned(), text("2"), UnixMillis(1)),
    ];
    let downlink = Downlink::Attributes {
        updated,
        requested: false,
    };
    world.endpoint.handle_downlink(world.now, downlink);
    world.run(Duration::from_millis(300));
    for number in 1..=3 {
        world.rpc(number, "Read", r#"{"id":"/3_1.2/0/9"}"#);
        world.run(Duration::from_millis(200));
        let history = world.rpc_history(number);
        assert_eq!(history.len(), 3, "{history:?}");
    }
    assert!(
        sent(&world, "PUT /5/0/0") < 59,
        "the package is still on its way"
    );
    world.run(seconds(10));
    assert_eq!(
        on_device(&world, "/5/0/0"),
        Some(Value::Opaque(vec![7; 60_000].into()))
    );
}

#[test]
fn a_package_is_pushed_over_a_lossy_network() {
    let mut world = world("", 33);
    world.platform.bytes = Ok(vec![7; 20_000].into());
    (world.network.loss, world.network.duplication) = (10, 10);
    assign(&mut world);
    world.run(seconds(300));
    assert_eq!(
        on_device(&world, "/5/0/0"),
        Some(Value::Opaque(vec![7; 20_000].into()))
    );
    world.network.loss = 0;
    install(&mut world, "2");
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
}

#[test]
fn a35_a_device_that_has_the_package_though_its_answer_was_lost_installs_it() {
    let mut world = world("", 34);
    assign_lost(&mut world);
    world.run(seconds(100));
    assert_eq!(states(&world), ["FAILED"]);
    assert_eq!(last_line(&world), "Firmware Update Result: CONNECTION_LOST");
    world.network.cut = false;
    set(&mut world, "/5/0/3", 2);
    assert_eq!(executed(&world, "/5/0/2"), [""]);
    assert_eq!(states(&world), ["FAILED", "DOWNLOADED"]);
}

/// Assigns a package to a device that falls silent.
fn assign_lost(world: &mut World) {
    world.network.cut = true;
    assign(world);
}

#[test]
fn a_device_that_refuses_the_package_or_the_address_fails_with_its_code() {
    let mut world = world("", 35);
    // Object 5 is no longer what it registered: nothing is at the path.
    let objects = r#""fwUpdateStrategy":3"#;
    let mut nowhere = World::with_updates(&profile(objects), 36, |_| {});
    prepare(&mut nowhere);
    nowhere.rpc(1, "Delete", r#"{"id":"/19_1.1/0"}"#);
    nowhere.run(seconds(1));
    assign(&mut nowhere);
    assert_eq!(states(&nowhere), ["FAILED"]);
    assert_eq!(
        last_line(&nowhere),
        "Package write rejected: NOT_FOUND(404)"
    );
    assign(&mut world);
    assert_eq!(states(&world), [] as [&str; 0]);
}

#[test]
fn state_and_result_are_observed_for_the_update_where_the_profile_does_not() {
    let bare = r#"{"observeAttr":{"telemetry":["/5_1.2/0/6","/5_1.2/0/7"],
        "keyName":{"/5_1.2/0/6":"name","/5_1.2/0/7":"version"}}}"#;
    let mut world = World::with_updates(bare, 37, |_| {});
    prepare(&mut world);
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
    let mut off = World::with_updates(bare, 38, |settings| {
        let ota = Arc::make_mut(&mut settings.ota);
        ota.auto_observe = false;
    });
    prepare(&mut off);
    assign(&mut off);
    assert_eq!(sent(&off, "GET /5/0/3"), 0);
    assert_eq!(sent(&off, "PUT /5/0/0"), 1);
}

#[test]
fn what_is_assigned_is_asked_for_after_the_profiles_work_and_when_a_kind_becomes_known() {
    let mut world = World::with_updates(&profile(""), 39, |_| {});
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let wanted = |world: &World| {
        let mut all = Vec::new();
        for uplink in &world.platform.uplinks {
            if let Uplink::AttributesWanted { keys, .. } = uplink {
                all.push(keys.clone());
            }
        }
        all
    };
    assert_eq!(
        wanted(&world),
        [vec!["result".to_owned(), "state".to_owned()]]
    );
    world.set("/5/0/7", Value::String("1".to_owned()));
    world.run(seconds(1));
    let firmware = ["fw_title", "fw_version", "fw_tag", "fw_url"].map(str::to_owned);
    assert_eq!(wanted(&world).last().unwrap(), &firmware);
    world.set("/9/0/1", Value::String("1".to_owned()));
    world.run(seconds(1));
    assert_eq!(wanted(&world).len(), 3);
    reboot(&mut world);
    let wanted = wanted(&world);
    let software = ["sw_title", "sw_version", "sw_tag", "sw_url"].map(str::to_owned);
    let both: Vec<_> = firmware.into_iter().chain(software).collect();
    assert_eq!(
        wanted[3..],
        [vec!["result".to_owned(), "state".to_owned()], both]
    );
}

#[test]
fn packages_are_neither_remembered_nor_reported() {
    let profile = r#"{"observeAttr":{"observe":["/5_1.2/0/7","/5_1.2/0/3","/5_1.2/0/5"],
        "attribute":["/5_1.2/0/0"],"keyName":{"/5_1.2/0/0":"package"}}}"#;
    let mut world = World::with_updates(profile, 40, |_| {});
    prepare(&mut world);
    assign(&mut world);
    assert_eq!(sent(&world, "PUT /5/0/0"), 1);
    world.rpc(1, "WriteReplace", r#"{"id":"/5_1.2/0/0","value":"0102"}"#);
    world.run(seconds(1));
    assert_eq!(world.posted("package"), []);
    let summary = world.endpoint.summary().unwrap();
    assert!(summary.values.iter().all(|value| value.path != "/5/0/0"));
}

#[test]
fn devices_wait_in_line_for_their_package() {
    let slots = lightship::endpoint::ota::PushSlots::new(1);
    let make = |seed| {
        let mut world = World::with_updates(&profile(""), seed, |settings| {
            settings.push_slots = slots.clone();
        });
        prepare(&mut world);
        world
    };
    let (mut first, mut second) = (make(41), make(42));
    assign_lost(&mut first);
    assign(&mut second);
    second.run(seconds(20));
    assert_eq!(sent(&second, "PUT /5/0/0"), 0);
    // Nobody answers the first one: its attempt ends, and with it its turn.
    first.run(seconds(95));
    second.run(seconds(2));
    assert_eq!(sent(&second, "PUT /5/0/0"), 1);
}

#[test]
fn failures_can_be_posted_under_a_key_of_their_own() {
    let mut world = World::with_updates(&profile(""), 43, |settings| {
        Arc::make_mut(&mut settings.ota).report_error_key = true;
    });
    prepare(&mut world);
    world.platform.package = Err(QuestionError::NotFound);
    assign(&mut world);
    assert_eq!(
        texts(&world, "fw_error"),
        ["Failed to fetch OTA package: NOT_FOUND"]
    );
}

#[test]
fn a55_a_package_that_is_not_there_is_never_installed() {
    let mut world = world("", 44);
    assign(&mut world);
    set(&mut world, "/5/0/3", 1);
    set(&mut world, "/5/0/5", 9);
    set(&mut world, "/5/0/3", 3);
    set(&mut world, "/5/0/5", 1);
    set(&mut world, "/5/0/3", 0);
    world.run(seconds(600));
    assert_eq!(executed(&world, "/5/0/2"), [] as [&str; 0]);
    assert_eq!(
        states(&world),
        ["DOWNLOADING", "FAILED"],
        "the jumps report nothing"
    );
}

#[test]
fn a55_a_refused_command_is_not_repeated_when_the_package_is_gone() {
    let mut world = world("", 45);
    assign(&mut world);
    // The device takes no commands: the resource is none of its.
    world.network.cut = true;
    world.set("/5/0/3", Value::Integer(2));
    world.network.cut = false;
    world.run(seconds(3));
    assert_eq!(executed(&world, "/5/0/2").len(), 1);
    for code in [2, 7, 1, 2] {
        set(&mut world, "/5/0/3", code);
    }
    assert_eq!(executed(&world, "/5/0/2").len(), 1, "once for each attempt");
}

#[test]
fn a55_results_that_jump_do_not_end_an_update() {
    let mut world = world("", 46);
    set(&mut world, "/5/0/5", 9);
    set(&mut world, "/5/0/5", 1);
    assert_eq!(states(&world), [] as [&str; 0], "there is no update");
    assign(&mut world);
    // Success before the command to install is none; numbers that do not exist are said and ignored.
    set(&mut world, "/5/0/5", 0);
    set(&mut world, "/5/0/5", 1);
    set(&mut world, "/5/0/5", 99);
    assert_eq!(last_line(&world), "Firmware Update Result: UNKNOWN(99)");
    set(&mut world, "/5/0/3", 77);
    assert_eq!(last_line(&world), "Firmware Update State: UNKNOWN(77)");
    assert_eq!(states(&world), [] as [&str; 0]);
    install(&mut world, "2");
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "UPDATED"]);
}

#[test]
fn a55_a_device_that_restarts_with_the_same_version_again_and_again_is_left_alone() {
    let mut world = world("", 47);
    assign(&mut world);
    set(&mut world, "/5/0/3", 2);
    set(&mut world, "/5/0/3", 3);
    for _ in 0..5 {
        world.network.cut = true;
        world.set("/5/0/3", Value::Integer(0));
        world.network.cut = false;
        reboot(&mut world);
        // The platform says what is assigned at each registration.
        let updated = [("fw_title", "fw"), ("fw_version", "2")];
        assign_at(&mut world, 1000, &updated);
    }
    world.run(seconds(8000));
    assert_eq!(states(&world), ["DOWNLOADED", "UPDATING", "FAILED"]);
    assert_eq!(asked_for_packages(&world), 1);
    assert_eq!(executed(&world, "/5/0/2").len(), 1);
    let lines = texts(&world, "transportLog");
    assert!(lines.contains(&"Firmware Update Result: INITIAL, version unchanged".to_owned()));
}
