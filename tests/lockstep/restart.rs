//! What survives the end of the server's process, and what does not (`device-lifecycle.md` L25, `operations.md` 4).

use std::{sync::Arc, time::Duration};

use lightship::{
    coap::{Code, Message},
    endpoint::{CloseReason, EndpointSummary, Key},
    lwm2m::value::Value,
    platform::{Downlink, QuestionError, SessionId, Uplink, time::UnixMillis, uplink::KeyValue},
    sim::SimEvent,
};

use crate::{
    PROFILE, requests, seconds,
    world::{World, admission, peer, rpc_request},
};

/// The sessions opened and closed, in order.
fn sessions(world: &World) -> (Vec<SessionId>, Vec<SessionId>) {
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    for uplink in &world.platform.uplinks {
        if let Uplink::SessionOpened { session } = uplink {
            opened.push(session.id);
        } else if let Uplink::SessionClosed { session } = uplink {
            closed.push(session.id);
        }
    }
    (opened, closed)
}

fn registers(world: &World) -> usize {
    let is_it = |event: &&SimEvent| matches!(event, SimEvent::Registered { .. });
    world.events.iter().filter(is_it).count()
}

fn kept_its_registration(world: &World) -> bool {
    registers(world) == 1 && world.device.is_registered()
}

#[test]
fn l25_after_a_crash_observations_commands_and_updates_go_on_without_a_register() {
    let mut world = World::kept(PROFILE, 200);
    let before = requests(&world).len();
    world.crash(seconds(10));
    world.run(seconds(1));
    let (opened, closed) = sessions(&world);
    assert_eq!((opened.len(), closed.len()), (2, 0));
    assert_eq!(opened[0], opened[1], "the same session");
    assert_eq!(world.bound.len(), 3);
    assert!(world.bound.contains(&Key::Peer(peer(5683))));
    assert_eq!(world.store.restored, 1);
    assert_eq!(requests(&world).len(), before, "the device is left alone");

    world.set("/3303/0/5700", Value::Float(30.5));
    world.set("/3/0/9", Value::Integer(12));
    world.run(seconds(2));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(30.5))
    );
    assert_eq!(
        world.posted("batteryLevel").last(),
        Some(&KeyValue::Long(12))
    );
    let path = "/3303/0/5700".parse().unwrap();
    assert!(world.events.contains(&SimEvent::Acknowledged(path)));

    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/14"}"#);
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1)[..2], ["SENT", "DELIVERED"]);

    world.run(seconds(600));
    assert!(world.events.contains(&SimEvent::Updated));
    assert!(kept_its_registration(&world), "{:?}", world.events);
}

#[test]
fn l25_a_stop_closes_no_session_and_the_next_start_goes_on() {
    let mut world = World::kept(PROFILE, 201);
    world.set("/3/0/9", Value::Integer(50));
    world.run(seconds(2));
    world.restart(seconds(60));
    assert_eq!(sessions(&world).1, []);
    world.run(seconds(1));
    let values = world.endpoint.summary().unwrap().values;
    let battery = values.iter().find(|value| value.path == "/3/0/9").unwrap();
    assert_eq!(battery.value, "50", "a stop keeps the values too");
    world.set("/3/0/9", Value::Integer(51));
    world.run(seconds(2));
    assert_eq!(
        world.posted("batteryLevel").last(),
        Some(&KeyValue::Long(51))
    );
    assert!(kept_its_registration(&world), "{:?}", world.events);
}

#[test]
fn l25_what_an_endpoint_is_stays_the_same_over_a_restart() {
    let mut world = World::kept(PROFILE, 202);
    // When it was last heard is known from its last Update alone.
    let summary = |world: &World| EndpointSummary {
        last_heard: 0,
        ..world.endpoint.summary().unwrap()
    };
    let before = summary(&world);
    world.restart(seconds(1));
    world.run(seconds(1));
    assert_eq!(summary(&world), before);
    // And over another, with nothing heard in between.
    world.restart(seconds(1));
    world.run(seconds(1));
    assert_eq!(summary(&world), before);
}

#[test]
fn l25_a_lifetime_that_ran_out_while_down_closes_the_session_at_once() {
    let mut world = World::kept(PROFILE, 203);
    world.network.cut = true;
    // Lifetime 300 s, and 93 s for what was under way.
    world.crash(seconds(394));
    world.run(Duration::ZERO);
    assert_eq!(world.closed, Some(CloseReason::Expired));
    assert_eq!(sessions(&world).1.len(), 1);
    assert_eq!(world.store.restored, 1);
    assert_eq!(world.store.record, None);
}

#[test]
fn l25_a_lifetime_that_ran_out_a_moment_ago_ends_when_no_update_can_be_under_way() {
    let mut world = World::kept(PROFILE, 204);
    world.network.cut = true;
    world.crash(seconds(301));
    world.run(seconds(92));
    assert_eq!(world.closed, None);
    world.run(seconds(2));
    assert_eq!(world.closed, Some(CloseReason::Expired));
}

#[test]
fn l25_without_an_update_the_lifetime_ends_as_if_nothing_had_been() {
    let mut world = World::kept(PROFILE, 205);
    world.network.cut = true;
    world.crash(seconds(10));
    world.run(seconds(284));
    assert_eq!(world.closed, None);
    world.run(seconds(10));
    assert_eq!(world.closed, Some(CloseReason::Expired));
}

#[test]
fn o14_a_notification_is_acknowledged_once_it_can_be_read() {
    let mut world = World::kept(PROFILE, 206);
    // The core is slow to say which profile and which models there are.
    world.platform.delay = seconds(4);
    world.crash(seconds(10));
    world.set("/3303/0/5700", Value::Float(40.0));
    world.run(seconds(7));
    let posted = world.posted("temperature").len();
    let path = "/3303/0/5700".parse().unwrap();
    assert!(!world.events.contains(&SimEvent::Acknowledged(path)));
    world.run(seconds(60));
    assert!(world.events.contains(&SimEvent::Acknowledged(path)));
    assert_eq!(
        world.posted("temperature")[posted..],
        [KeyValue::Double(40.0)]
    );
}

#[test]
fn o14_a_core_that_is_away_is_asked_until_it_answers() {
    let mut world = World::kept(PROFILE, 207);
    let known = std::mem::replace(
        &mut world.platform.admission,
        Err(QuestionError::Unavailable),
    );
    world.crash(seconds(1));
    world.run(seconds(60));
    assert_eq!((world.closed, world.store.restored), (None, 0));
    world.platform.admission = known;
    world.run(seconds(11));
    assert_eq!(world.store.restored, 1);
    world.set("/3/0/9", Value::Integer(7));
    world.run(seconds(2));
    assert_eq!(
        world.posted("batteryLevel").last(),
        Some(&KeyValue::Long(7))
    );
}

#[test]
fn l25_a_profile_that_changed_while_down_is_carried_out() {
    let mut world = World::kept(PROFILE, 208);
    let before = requests(&world).len();
    let profile = PROFILE.replace(
        r#""observe": ["/3_1.2/0/9", "#,
        r#""observe": ["/3303_1.1/12/5700", "#,
    );
    world.platform.admission = Ok(Arc::new(admission("dev1", &profile)));
    world.crash(seconds(1));
    world.run(seconds(5));
    let sent = &requests(&world)[before..];
    assert!(
        sent.contains(&"GET /3303/12/5700 observe=0".to_owned()),
        "{sent:?}"
    );
    assert!(
        !sent.contains(&"GET /3/0/9 observe=0".to_owned()),
        "{sent:?}"
    );
    assert!(kept_its_registration(&world), "{:?}", world.events);
}

#[test]
fn l25_a_profile_whose_names_alone_changed_while_down_costs_the_device_nothing() {
    let mut world = World::kept(PROFILE, 212);
    let before = requests(&world).len();
    let profile = PROFILE.replace("batteryLevel", "battery");
    assert_ne!(profile, PROFILE);
    world.platform.admission = Ok(Arc::new(admission("dev1", &profile)));
    world.crash(seconds(1));
    world.run(seconds(5));
    assert_eq!(requests(&world)[before..], [""; 0]);
    world.set("/3/0/9", Value::Integer(7));
    world.run(seconds(2));
    assert_eq!(world.posted("battery"), [KeyValue::Long(7)]);
}

#[test]
fn l25_work_of_the_profile_that_was_not_done_is_done_after_the_restart() {
    let mut world = World::kept(PROFILE, 209);
    // Another profile comes while the device is out of reach, and the server goes.
    let profile = PROFILE.replace("/3_1.2/0/6", "/3303_1.1/12/5700");
    let admitted = admission("dev1", &profile);
    let changed = Downlink::ProfileChanged(Arc::clone(&admitted.profile));
    world.platform.admission = Ok(Arc::new(admitted));
    world.network.cut = true;
    world.endpoint.handle_downlink(world.now, changed);
    world.run(seconds(2));
    world.crash(seconds(1));
    world.network.cut = false;
    let before = requests(&world).len();
    world.run(seconds(5));
    let sent = &requests(&world)[before..];
    assert!(sent.contains(&"GET /3303/12/5700".to_owned()), "{sent:?}");
}

#[test]
fn l25_a_device_that_was_deleted_while_down_is_gone() {
    let mut world = World::kept(PROFILE, 210);
    world.platform.admission = Err(QuestionError::NotFound);
    world.crash(seconds(1));
    world.run(seconds(1));
    assert_eq!(world.closed, Some(CloseReason::Removed));
    assert_eq!(sessions(&world).1.len(), 1);
    assert_eq!((world.store.restored, &world.store.record), (1, &None));
}

#[test]
fn l25_a_deregistered_device_leaves_no_record() {
    let mut world = World::kept(PROFILE, 211);
    assert!(world.store.record.is_some());
    world.device.deregister(world.now.mono);
    world.run(seconds(1));
    assert_eq!(world.store.record, None);
    world.run(seconds(60));
    assert_eq!(world.store.record, None);
}

#[test]
fn a63_an_execute_is_sent_once_it_is_on_record_and_never_again_after_a_crash() {
    let mut world = World::kept(PROFILE, 212);
    world.store.delay = seconds(3);
    let mut reboot = rpc_request(1, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    reboot.persisted = true;
    let reboots = |world: &World| {
        let sent = requests(world);
        sent.iter().filter(|own| *own == "POST /3/0/4").count()
    };
    world.rpc_with(reboot.clone());
    world.run(seconds(2));
    assert_eq!((reboots(&world), world.rpc_history(1)), (0, Vec::new()));
    // Others wait behind it.
    world.rpc(2, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    // The request reaches the device, and nothing comes back.
    world.run(Duration::from_millis(1010));
    assert_eq!(reboots(&world), 1);
    assert_eq!(world.rpc_history(1), ["SENT"]);
    world.crash(seconds(1));
    world.run(seconds(5));
    // The core says again what it has no answer to.
    world.rpc_with(reboot);
    world.run(seconds(5));
    assert_eq!(reboots(&world), 1);
    assert_eq!(world.endpoint.stats().duplicate_rpc, 1);
}

#[test]
fn a63_a_read_without_an_answer_is_made_again_after_a_crash() {
    let mut world = World::kept(PROFILE, 213);
    world.network.cut = true;
    let read = rpc_request(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.rpc_with(read.clone());
    world.run(seconds(1));
    world.crash(seconds(1));
    world.network.cut = false;
    world.rpc_with(read);
    world.run(seconds(2));
    let history = world.rpc_history(1);
    assert_eq!(history[..3], ["SENT", "SENT", "DELIVERED"], "{history:?}");
}

#[test]
fn a63_an_execute_that_was_held_back_ends_with_its_registration() {
    let mut world = World::kept(PROFILE, 214);
    world.store.delay = seconds(60);
    world.rpc(1, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    world.run(seconds(1));
    world
        .endpoint
        .handle_downlink(world.now, Downlink::DeviceDeleted);
    world.run(seconds(1));
    let history = world.rpc_history(1);
    assert!(history[0].contains("cancelled"), "{history:?}");
}

#[test]
fn traffic_and_unchanged_updates_write_nothing() {
    let mut world = World::kept(PROFILE, 215);
    let written = world.store.written;
    assert!(written <= 2, "a Register and its work: {written}");
    for step in 0..20 {
        world.set("/3/0/9", Value::Integer(step));
        world.rpc(step as u128 + 1, "Read", r#"{"id":"/3_1.2/0/14"}"#);
        world.run(seconds(20));
    }
    assert!(world.events.contains(&SimEvent::Updated));
    assert_eq!(world.store.written, written);
}

#[test]
fn a_restart_alone_writes_nothing() {
    let mut world = World::kept(PROFILE, 221);
    let written = world.store.written;
    world.crash(seconds(1));
    world.run(seconds(300));
    assert!(world.events.contains(&SimEvent::Updated));
    assert_eq!(world.store.written, written);
    // And what changes before the platform has answered is not lost.
    world.platform.delay = seconds(5);
    world.crash(seconds(1));
    world.peer = peer(5684);
    world.device.update(world.now.mono);
    world.run(seconds(20));
    assert_eq!(world.store.written, written + 1);
    let record = world.store.record.as_ref().unwrap();
    assert_eq!(record.peer.as_ref().unwrap().remote, "192.0.2.1:5684");
}

#[test]
fn changes_are_written_a_moment_later_and_together() {
    let mut world = World::kept(PROFILE, 216);
    let written = world.store.written;
    world.rpc(1, "Observe", r#"{"id":"/3_1.2/0/14"}"#);
    world.run(Duration::from_millis(100));
    world.peer = peer(5684);
    world.device.update(world.now.mono);
    world.run(Duration::from_millis(300));
    assert_eq!(world.store.written, written);
    world.run(seconds(5));
    assert_eq!(world.store.written, written + 1);
    world.crash(seconds(1));
    world.run(seconds(1));
    world.set("/3/0/14", Value::String("+03:00".to_owned()));
    world.run(seconds(1));
    let path = "/3/0/14".parse().unwrap();
    assert!(world.events.contains(&SimEvent::Acknowledged(path)));
}

#[test]
fn a_record_without_room_is_handed_over_again() {
    let mut world = World::kept(PROFILE, 217);
    let written = world.store.written;
    world.store.full = true;
    world.rpc(1, "Observe", r#"{"id":"/3_1.2/0/14"}"#);
    world.run(seconds(3));
    assert_eq!(world.store.written, written);
    world.store.full = false;
    world.run(seconds(5));
    assert_eq!(world.store.written, written + 1);
}

#[test]
fn a_device_that_saves_power_counts_as_asleep_until_it_says_something() {
    let mut world = World::kept_with(PROFILE, 218, true);
    let before = requests(&world).len();
    world.crash(seconds(1));
    world.run(seconds(1));
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(requests(&world).len(), before);
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!(requests(&world).len(), before + 1);
}

#[test]
fn a65_a_record_that_has_not_changed_is_written_to_another_file() {
    let mut world = World::kept(PROFILE, 213);
    let written = world.store.written;
    world.store.record = None;
    world.settings.file_generation.advance();
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.store.written, written + 1);
    assert!(world.store.record.is_some());
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.store.written, written + 1);
}

#[test]
fn shared_attributes_that_the_device_took_are_not_written_again() {
    let profile = PROFILE.replace(
        r#""keyName": {"#,
        r#""keyName": {"/3_1.2/0/14": "utcOffset", "#,
    );
    let mut world = World::kept(&profile, 219);
    let tell = |world: &mut World, requested| {
        let value = KeyValue::String("+05:00".to_owned());
        let updated = vec![("utcOffset".to_owned(), value, UnixMillis(1000))];
        let attributes = Downlink::Attributes { updated, requested };
        world.endpoint.handle_downlink(world.now, attributes);
        world.run(seconds(2));
    };
    tell(&mut world, false);
    assert_eq!(requests(&world).last().unwrap(), "PUT /3/0/14");
    let before = requests(&world).len();
    let asked =
        |world: &World| world.count(|uplink| matches!(uplink, Uplink::AttributesWanted { .. }));
    let asked_before = asked(&world);
    world.crash(seconds(1));
    world.run(seconds(1));
    assert_eq!(asked(&world), asked_before + 1, "they may have changed");
    tell(&mut world, true);
    assert_eq!(requests(&world).len(), before);
}

#[test]
fn a_register_from_a_device_that_was_restored_is_as_good_as_any() {
    let mut world = World::kept(PROFILE, 220);
    world.crash(seconds(1));
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let (opened, closed) = sessions(&world);
    assert_eq!((opened.len(), closed.len()), (3, 1));
    assert_eq!(closed[0], opened[0]);
    assert_ne!(opened[2], opened[0]);
    assert_eq!(world.store.restored, 1);
    let record = world.store.record.clone().unwrap();
    assert_eq!(
        record.session.unwrap().id,
        *opened[2].0.as_bytes().as_slice()
    );
    let codes = world.sent_by_server.iter();
    let codes = codes.filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok());
    assert_eq!(codes.filter(|own| own.code() == Code::CREATED).count(), 2);
}
