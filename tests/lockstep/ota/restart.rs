//! Updates that the start of a device or of the server interrupts.

use super::*;

#[test]
fn o17_a_push_that_a_new_registration_interrupts_starts_again_and_succeeds_once() {
    let mut world = world("", 24);
    begin_to_push(&mut world, 30_000, 400);
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
