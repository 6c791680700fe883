//! Updates that fail: what is tried again, what is given up, and what is said of it.

use super::*;

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
fn a_platform_that_does_not_answer_or_may_not_be_asked_is_asked_three_times() {
    for (error, reason) in [
        (QuestionError::Unavailable, "the platform does not answer"),
        (QuestionError::Limited, "beyond the limits of the tenant"),
    ] {
        let mut world = world("", 13);
        world.platform.package = Err(error);
        assign(&mut world);
        world.run(seconds(60));
        assert_eq!(asked_for_packages(&world), 3);
        assert_eq!(
            last_line(&world),
            format!("Failed to process firmware update: {reason}")
        );
        assert_eq!(states(&world), ["FAILED"]);
    }
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

#[test]
fn a_device_that_refuses_the_package_or_the_address_fails_with_its_code() {
    let pull = r#""fwUpdateStrategy":2,"fwUpdateResource":"coap://h:5685""#;
    for (seed, client, refused, line) in [
        (
            35,
            "",
            "/5/0/0",
            "Package write rejected: METHOD_NOT_ALLOWED(405)",
        ),
        (
            36,
            pull,
            "/5/0/1",
            "Package URI rejected: METHOD_NOT_ALLOWED(405)",
        ),
    ] {
        let mut world = ready(World::with_refusals(&profile(client), seed, &[refused]));
        assign(&mut world);
        assert_eq!(states(&world), ["FAILED"], "{refused}");
        assert_eq!(last_line(&world), line);
    }
    // Object 19 takes the package only in an instance that is there.
    let mut nowhere = world(r#""fwUpdateStrategy":3"#, 48);
    nowhere.rpc(1, "Delete", r#"{"id":"/19_1.1/0"}"#);
    nowhere.run(seconds(1));
    assign(&mut nowhere);
    assert_eq!(states(&nowhere), ["FAILED"]);
    assert_eq!(
        last_line(&nowhere),
        "Package write rejected: NOT_FOUND(404)"
    );
}

#[test]
fn failures_can_be_posted_under_a_key_of_their_own() {
    let mut world = ready(World::with_updates(&profile(""), 43, |settings| {
        Arc::make_mut(&mut settings.ota).report_error_key = true;
    }));
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
    for (seed, state, commands) in [(45, 2, 3), (49, 0, 1)] {
        let mut world = ready(World::with_refusals(&profile(""), seed, &["/5/0/2"]));
        assign(&mut world);
        set(&mut world, "/5/0/3", 2);
        assert_eq!(sent(&world, "POST /5/0/2"), 1);
        set(&mut world, "/5/0/3", state);
        world.run(seconds(20));
        assert_eq!(sent(&world, "POST /5/0/2"), commands, "state {state}");
        assert_eq!(executed(&world, "/5/0/2"), [] as [&str; 0]);
    }
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
