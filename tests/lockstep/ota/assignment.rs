//! What the platform assigns, takes back and assigns instead.

use super::*;

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
    begin_to_push(&mut world, 60_000, 400);
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
