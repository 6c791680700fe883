//! Packages that the device fetches: which address it gets, and who may fetch there.

use super::*;

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
