//! The way of a package that is sent: block by block, between commands, and in line with other devices.

use super::*;

#[test]
fn commands_go_between_the_blocks_of_a_package() {
    let mut world = world("", 32);
    begin_to_push(&mut world, 60_000, 300);
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
fn devices_wait_in_line_for_their_package() {
    let slots = lightship::endpoint::ota::PushSlots::new(1);
    let make = |seed| {
        ready(World::with_updates(&profile(""), seed, |settings| {
            settings.push_slots = slots.clone();
        }))
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
fn packages_are_neither_remembered_nor_reported() {
    let profile = r#"{"observeAttr":{"observe":["/5_1.2/0/7","/5_1.2/0/3","/5_1.2/0/5"],
        "attribute":["/5_1.2/0/0"],"keyName":{"/5_1.2/0/0":"package"}}}"#;
    let mut world = ready(World::with_updates(profile, 40, |_| {}));
    assign(&mut world);
    assert_eq!(sent(&world, "PUT /5/0/0"), 1);
    world.rpc(1, "WriteReplace", r#"{"id":"/5_1.2/0/0","value":"0102"}"#);
    world.run(seconds(1));
    assert_eq!(world.posted("package"), []);
    let summary = world.endpoint.summary().unwrap();
    assert!(summary.values.iter().all(|value| value.path != "/5/0/0"));
}
