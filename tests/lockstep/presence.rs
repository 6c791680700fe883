//! Devices that sleep: Queue Mode, PSM and eDRX (`protocol.md` 3.5, `device-lifecycle.md` 8, `rulings` 2.10 and 2.11).
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use bytes::Bytes;
use lightship::{
    coap::{
        Code, ContentFormat, Message, MessageId, MessageType, Request, Response, Token,
        TransmissionParameters, encode,
    },
    endpoint::{HeldRpc, Key},
    lwm2m::value::Value,
    platform::{Downlink, RpcRequest, Uplink, uplink::KeyValue},
    sim::SimEvent,
};

use crate::{
    PROFILE, requests, seconds,
    world::{World, admission, peer, rpc_request},
};

/// Makes the device say something.
type Cause = fn(&mut World);

const READ: &str = r#"{"id":"/3_1.2/0/9"}"#;

/// A device in Queue Mode with its registration and profile work done.
fn queue_mode(seed: u8) -> World {
    let mut world = World::in_queue_mode(PROFILE, seed);
    world.device.register(world.now.mono);
    world.run(seconds(5));
    assert!(world.device.is_registered(), "{:?}", world.events);
    world
}

/// [`PROFILE`] with these members of `clientLwM2mSettings`.
fn profile_with(client: &str) -> String {
    PROFILE.replacen(
        '{',
        &format!(r#"{{"clientLwM2mSettings": {{{client}}},"#),
        1,
    )
}

fn persistent(number: u128) -> RpcRequest {
    RpcRequest {
        persisted: true,
        ..rpc_request(number, "Read", READ)
    }
}

/// How often each sleep line was logged: sleeping, awake.
fn lines(world: &World) -> (usize, usize) {
    let log = world.posted("transportLog");
    let count = |line: &str| {
        let line = KeyValue::String(line.to_owned());
        log.iter().filter(|own| **own == line).count()
    };
    (
        count("Info : Client is sleeping!"),
        count("Info : Client is awake!"),
    )
}

fn pending_wanted(world: &World) -> usize {
    world.count(|uplink| matches!(uplink, Uplink::PendingRpcWanted { .. }))
}

/// What the server sent from this datagram on: codes, acknowledgements as `ack`.
fn sent_since(world: &World, index: usize) -> Vec<Code> {
    world.sent_by_server[index..]
        .iter()
        .map(|(_, datagram)| Message::parse(datagram.clone()).unwrap().code())
        .collect()
}

/// A Register of LwM2M 1.0.
fn register_1_0(binding: &str) -> Bytes {
    let request = Request {
        method: Code::POST,
        path: vec!["rd".to_owned()],
        query: vec![
            "ep=dev1".to_owned(),
            "lwm2m=1.0".to_owned(),
            format!("b={binding}"),
        ],
        content_format: Some(ContentFormat::LINK),
        payload: "</3>;ver=1.2,</3/0>".into(),
        ..Request::default()
    };
    let token = Token::new(&[7]).unwrap();
    encode::request(&request, MessageType::Confirmable, MessageId(500), token)
}

#[test]
fn p35_1_queue_mode_is_a_flag_since_1_1_and_part_of_the_binding_before() {
    for (binding, sleeps) in [("UQ", 1), ("U", 0)] {
        let mut world = World::new(PROFILE, 70);
        // The simulated device knows nothing of it: every request stays without answer.
        world.platform.models.clear();
        world.inject(peer(5683), register_1_0(binding));
        world.run(seconds(92));
        assert_eq!(lines(&world).0, 0, "{binding}");
        world.run(seconds(2));
        assert_eq!(lines(&world).0, sleeps, "{binding}");
    }
    let mut world = World::registered(PROFILE, 70);
    world.run(seconds(200));
    assert_eq!(lines(&world), (0, 0));
    let mut world = queue_mode(70);
    world.run(seconds(94));
    assert_eq!(lines(&world), (1, 0));
}

#[test]
fn p35_1_the_window_lasts_93_s_from_the_last_exchange() {
    let mut world = queue_mode(71);
    world.run(seconds(80));
    world.rpc(1, "Read", READ);
    world.run(seconds(92));
    assert_eq!(lines(&world), (0, 0));
    world.run(seconds(2));
    assert_eq!(lines(&world), (1, 0));
}

#[test]
fn p35_2_every_message_of_the_device_opens_the_window_anew() {
    let messages: [(&str, Cause); 4] = [
        ("an Update", |world| world.device.update(world.now.mono)),
        ("a notification", |world| {
            world.set("/3303/0/5700", Value::Float(30.0));
        }),
        ("an answer", |world| world.rpc(1, "Read", READ)),
        ("a Send", |world| {
            // Refused for its format; it was said all the same.
            let request = Request {
                method: Code::POST,
                path: vec!["dp".to_owned()],
                ..Request::default()
            };
            let token = Token::new(&[9]).unwrap();
            let datagram =
                encode::request(&request, MessageType::Confirmable, MessageId(900), token);
            world.inject(peer(5683), datagram);
        }),
    ];
    for (name, message) in messages {
        let mut world = queue_mode(72);
        world.run(seconds(85));
        message(&mut world);
        world.run(seconds(92));
        assert_eq!(lines(&world), (0, 0), "{name}");
        world.run(seconds(2));
        assert_eq!(lines(&world), (1, 0), "{name}");
    }
}

#[test]
fn p35_3_commands_wait_for_a_sleeping_device_and_go_one_after_another_when_it_wakes() {
    let mut world = queue_mode(73);
    world.run(seconds(100));
    let before = requests(&world).len();
    for number in 1..=3 {
        world.rpc(number, "Read", READ);
    }
    world.run(seconds(30));
    assert_eq!(requests(&world).len(), before);
    assert_eq!(world.rpc_history(1), [] as [&str; 0]);
    world.device.update(world.now.mono);
    world.run(seconds(2));
    for number in 1..=3 {
        assert_eq!(world.rpc_history(number).len(), 3, "{number}");
    }
    assert_eq!(requests(&world).len(), before + 3);
    assert_eq!(lines(&world), (1, 1));
}

#[test]
fn p35_3_a_command_past_its_time_is_dropped_and_counted() {
    let mut world = queue_mode(74);
    world.run(seconds(100));
    world.rpc_with(RpcRequest {
        expires: world.now.wall.plus(seconds(60)),
        ..rpc_request(1, "Read", READ)
    });
    world.run(seconds(61));
    world.rpc(2, "Read", READ);
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(1), [] as [&str; 0]);
    assert_eq!(world.endpoint.stats().expired_rpc, 1);
    assert_eq!(world.rpc_history(2).len(), 3);
}

#[test]
fn p35_3_a_persistent_command_is_left_to_the_core_and_asked_for_at_wake_up() {
    let mut world = queue_mode(75);
    world.run(seconds(100));
    world.rpc_with(persistent(1));
    world.rpc_with(persistent(2));
    world.run(seconds(10));
    assert_eq!(world.endpoint.unfinished(), 0);
    assert_eq!(world.endpoint.stats().postponed_rpc, 2);
    assert_eq!(pending_wanted(&world), 0);
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!(pending_wanted(&world), 1);
    world.rpc_with(persistent(1));
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1).len(), 3, "it was never sent before");
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!(pending_wanted(&world), 1, "the device was awake");
}

#[test]
fn rpc_129_a_persistent_command_for_a_device_in_psm_is_asked_for_at_wake_up() {
    let profile = profile_with(r#""powerMode": "PSM", "psmActivityTimer": 10000"#);
    let mut world = World::registered(&profile, 87);
    world.run(seconds(30));
    assert_eq!(lines(&world), (1, 0));
    let before = requests(&world).len();
    world.rpc_with(persistent(1));
    world.run(seconds(60));
    assert_eq!(world.rpc_history(1), [] as [&str; 0]);
    assert_eq!(
        (requests(&world).len(), pending_wanted(&world)),
        (before, 0)
    );
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!((lines(&world), pending_wanted(&world)), ((1, 1), 1));
    world.rpc_with(persistent(1));
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1).len(), 3);
}

#[test]
fn p35_5_the_answer_to_the_update_leaves_before_what_waited() {
    let mut world = queue_mode(76);
    world.run(seconds(100));
    world.rpc(1, "Read", READ);
    let before = world.sent_by_server.len();
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(sent_since(&world, before), [Code::CHANGED, Code::GET]);
}

#[test]
fn p35_6_ets_108_and_109_a_device_wakes_by_update_and_by_notification() {
    let wakes: [Cause; 3] = [
        |world| world.device.update(world.now.mono),
        |world| world.set("/3303/0/5700", Value::Float(30.0)),
        // Of an observation that is forgotten here: it gets RST, and the device is there.
        |world| {
            let unknown = Response {
                observe: Some(1),
                ..Response::new(Code::CONTENT)
            };
            let token = Token::new(&[1, 2, 3]).unwrap();
            let kind = MessageType::NonConfirmable;
            world.inject(
                peer(5683),
                encode::response(&unknown, kind, MessageId(900), token),
            );
        },
    ];
    for wake in wakes {
        let mut world = queue_mode(77);
        world.run(seconds(100));
        world.rpc(1, "Read", READ);
        world.run(seconds(10));
        assert_eq!(world.rpc_history(1), [] as [&str; 0]);
        wake(&mut world);
        world.run(seconds(2));
        assert_eq!(world.rpc_history(1).len(), 3);
        assert_eq!((lines(&world), pending_wanted(&world)), ((1, 1), 1));
    }
}

#[test]
fn p35_2_a_request_without_answer_marks_a_device_that_sleeps_asleep_and_no_other() {
    for (mut world, expected) in [
        (queue_mode(78), (1, 0)),
        (World::registered(PROFILE, 78), (0, 0)),
    ] {
        world.network.cut = true;
        world.rpc(1, "Read", READ);
        world.rpc(2, "Read", READ);
        world.run(seconds(100));
        assert_eq!(world.rpc_history(1), ["SENT", "TIMEOUT"]);
        assert_eq!(lines(&world), expected);
        let second = usize::from(expected == (0, 0));
        assert_eq!(world.rpc_history(2).len(), second, "held, or sent in vain");
    }
}

#[test]
fn profile_work_that_a_sleeping_device_missed_is_done_when_it_wakes() {
    let mut world = World::in_queue_mode(r#"{"type": "LWM2M"}"#, 79);
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let before = requests(&world).len();
    world.network.cut = true;
    let profile = admission("dev1", PROFILE).profile;
    world
        .endpoint
        .handle_downlink(world.now, Downlink::ProfileChanged(profile));
    world.run(seconds(100));
    assert_eq!(requests(&world).len(), before + 1, "then it was asleep");
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(5));
    let mut done = requests(&world).split_off(before + 1);
    done.sort();
    assert_eq!(
        done,
        [
            "GET /3/0/0",
            "GET /3/0/6",
            "GET /3/0/9 observe=0",
            "GET /3303/0/5700 observe=0",
            "PUT /3/0/9?pmax=300&pmin=10&st=5",
        ]
    );
}

#[test]
fn a53_commands_for_a_sleeping_device_are_bounded_and_those_past_their_time_make_room() {
    let mut world = queue_mode(80);
    world.run(seconds(100));
    let expires = world.now.wall.plus(seconds(60));
    for number in 1..=10_000 {
        world.rpc_with(RpcRequest {
            expires,
            ..rpc_request(number, "Read", READ)
        });
        world.run(seconds(0));
    }
    assert_eq!(world.endpoint.stats().overflowed_rpc, 10_000 - 128);
    assert_eq!(world.endpoint.unfinished(), 0, "no stop waits for them");
    assert_eq!(
        world.rpc_history(129),
        [r#"{"result":"INTERNAL_SERVER_ERROR","error":"Downlink queue is full"}"#]
    );
    world.run(seconds(61));
    assert_eq!(world.endpoint.stats().expired_rpc, 128);
    world.rpc(10_001, "Read", READ);
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(10_001).len(), 3);
}

#[test]
fn a54_a_request_leaves_at_once_when_the_device_wakes() {
    let mut world = queue_mode(81);
    world.run(seconds(100));
    world.rpc(1, "Read", READ);
    world.device.update(world.now.mono);
    world.run(world.network.delay);
    let (at, last) = world.sent_by_server.last().unwrap();
    assert_eq!(Message::parse(last.clone()).unwrap().code(), Code::GET);
    assert_eq!(*at, world.now.mono);
}

#[test]
fn the_window_dies_with_the_registration() {
    let mut world = queue_mode(82);
    world.run(seconds(80));
    world.device.deregister(world.now.mono);
    world.run(seconds(20));
    assert_eq!(world.events.last(), Some(&SimEvent::Deregistered));
    assert_eq!(lines(&world), (0, 0));
}

#[test]
fn sleep_lines_obey_the_switch() {
    let mut world = World::in_queue_mode_without_log(PROFILE, 83);
    world.device.register(world.now.mono);
    world.run(seconds(100));
    assert_eq!(world.endpoint.stats().asleep, 1);
    assert_eq!(world.posted("transportLog"), []);
}

#[test]
fn l21_a_device_in_psm_gets_a_changed_profile_when_it_wakes_up() {
    let power = r#""powerMode": "PSM", "psmActivityTimer": 10000"#;
    let profile = format!(r#"{{"type": "LWM2M", "clientLwM2mSettings": {{{power}}}}}"#);
    let mut world = World::registered(&profile, 84);
    world.run(seconds(6));
    assert_eq!(lines(&world), (1, 0));
    let before = requests(&world).len();
    let changed = admission("dev1", &profile_with(power)).profile;
    world
        .endpoint
        .handle_downlink(world.now, Downlink::ProfileChanged(changed));
    world.run(seconds(60));
    assert_eq!(requests(&world).len(), before);
    world.device.update(world.now.mono);
    world.run(seconds(5));
    assert_eq!(requests(&world).len(), before + 5);
    assert_eq!((lines(&world), pending_wanted(&world)), ((1, 1), 1));
}

#[test]
fn times_without_end_in_a_profile_do_no_harm() {
    let times = format!(
        r#""psmActivityTimer": {0}, "pagingTransmissionWindow": {0}, "edrxCycle": {0}"#,
        u64::MAX
    );
    for mode in ["PSM", "E_DRX"] {
        let profile = profile_with(&format!(r#""powerMode": "{mode}", {times}"#));
        let mut world = World::registered(&profile, 86);
        world.rpc(1, "Read", READ);
        world.run(seconds(1000));
        assert_eq!(world.rpc_history(1).len(), 3);
        assert_eq!(lines(&world), (0, 0), "{mode}");
    }
}

#[test]
fn l22_an_edrx_device_is_paged_with_one_request_that_may_take_the_cycle() {
    let profile = profile_with(
        r#""powerMode": "E_DRX", "pagingTransmissionWindow": 10000, "edrxCycle": 81000"#,
    );
    let mut world = World::with_parameters(
        &profile,
        85,
        TransmissionParameters {
            max_retransmit: 10,
            ..TransmissionParameters::default()
        },
    );
    world.device.register(world.now.mono);
    world.run(seconds(25));
    assert_eq!(lines(&world), (1, 0));
    world.network.cut = true;
    world.rpc_with(persistent(1));
    world.rpc_with(persistent(2));
    world.rpc(3, "Read", READ);
    world.run(seconds(80));
    assert_eq!(world.rpc_history(1), ["SENT"]);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(1), ["SENT", "TIMEOUT"]);
    assert_eq!(world.endpoint.stats().postponed_rpc, 1);
    assert_eq!(world.rpc_history(3), [] as [&str; 0]);
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(3).len(), 3);
    assert_eq!((lines(&world), pending_wanted(&world)), ((1, 1), 1));
}

#[test]
fn the_end_of_an_observation_is_a_page_of_an_edrx_device_like_any_request() {
    let profile = profile_with(
        r#""powerMode": "E_DRX", "pagingTransmissionWindow": 10000, "edrxCycle": 81000"#,
    );
    let mut world = World::registered(&profile, 87);
    world.run(seconds(20));
    assert_eq!(lines(&world), (1, 0));
    world.network.cut = true;
    let before = requests(&world).len();
    world.rpc(1, "ObserveCancelAll", "null");
    world.run(seconds(200));
    assert_eq!(requests(&world).len(), before + 1);
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(requests(&world).len(), before + 2);
}

#[test]
fn a_device_that_sleeps_is_told_of_the_end_of_its_observations_when_it_wakes() {
    let mut world = queue_mode(88);
    world.run(seconds(100));
    let before = requests(&world).len();
    world.rpc(1, "ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(10));
    assert_eq!(
        world.rpc_history(1),
        ["DELIVERED", r#"{"result":"CONTENT","value":"1"}"#]
    );
    assert_eq!(requests(&world).len(), before);
    assert_eq!(world.endpoint.unfinished(), 0, "no stop waits for it");
    let battery = world.posted("batteryLevel").len();
    world.set("/3/0/9", Value::Integer(50));
    world.run(seconds(2));
    assert_eq!(world.posted("batteryLevel").len(), battery);
    assert_eq!(requests(&world)[before..], ["GET /3/0/9 observe=1"]);
    assert!(
        world
            .events
            .contains(&SimEvent::Unobserved("/3/0/9".parse().unwrap()))
    );
}

#[test]
fn a_command_ends_when_its_time_passes_though_nothing_else_happens() {
    let mut world = queue_mode(84);
    world.run(seconds(100));
    let start = world.now.wall;
    for (number, after) in [(1, 90), (2, 30), (3, 3600)] {
        world.rpc_with(RpcRequest {
            expires: start.plus(seconds(after)),
            ..rpc_request(number, "Read", READ)
        });
    }
    let expired = |world: &World| world.endpoint.stats().expired_rpc;
    world.run(seconds(29));
    assert_eq!(expired(&world), 0);
    for (pause, count) in [(1, 1), (59, 1), (2, 2)] {
        world.run(seconds(pause));
        assert_eq!(expired(&world), count);
    }
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(3).len(), 3);
    for number in [1, 2] {
        assert_eq!(world.rpc_history(number), [""; 0], "the core knows");
    }
}

#[test]
fn commands_for_all_devices_together_are_limited() {
    let held = HeldRpc::new(2);
    let mut sleeper = World::in_queue_mode_holding(PROFILE, 85, held.clone());
    let mut other = World::in_queue_mode_holding(PROFILE, 86, held.clone());
    for world in [&mut sleeper, &mut other] {
        world.device.register(world.now.mono);
        world.run(seconds(100));
        assert_eq!(held.count(), 0);
    }
    sleeper.rpc(1, "Read", READ);
    other.rpc(1, "Read", READ);
    other.rpc(2, "Read", READ);
    assert_eq!(held.count(), 2);
    let full = r#"{"result":"INTERNAL_SERVER_ERROR","error":"Downlink queue is full"}"#;
    other.run(seconds(0));
    assert_eq!(other.rpc_history(2), [full]);
    assert_eq!(other.endpoint.stats().overflowed_rpc, 1);
    sleeper.device.update(sleeper.now.mono);
    sleeper.run(seconds(2));
    assert_eq!(held.count(), 1, "the answered one makes room");
    other.rpc(3, "Read", READ);
    assert_eq!(held.count(), 2);
    drop(other);
    assert_eq!(held.count(), 0);
}

#[test]
fn every_command_is_counted_by_its_one_end() {
    let mut world = queue_mode(87);
    world.run(seconds(100));
    let persisted = |number| RpcRequest {
        persisted: true,
        ..rpc_request(number, "Read", READ)
    };
    let expires = world.now.wall.plus(seconds(60));
    world.rpc_with(persisted(1));
    world.rpc_with(RpcRequest {
        expires,
        ..rpc_request(2, "Read", READ)
    });
    world.run(seconds(100));
    world.rpc(3, "Read", READ);
    world.rpc(3, "Read", READ);
    world.device.update(world.now.mono);
    world.run(seconds(2));
    world.rpc(4, "Reboot", "null");
    world.network.cut = true;
    world.rpc(5, "Read", READ);
    world.rpc(6, "Read", READ);
    world.rpc_with(persisted(7));
    world.run(seconds(1));
    world.endpoint.stop(world.now);
    let stats = world.endpoint.stats();
    let ends = [
        stats.answered_rpc,
        stats.failed_rpc,
        stats.cancelled_rpc,
        stats.duplicate_rpc,
        stats.overflowed_rpc,
        stats.expired_rpc,
        stats.timed_out_rpc,
        stats.postponed_rpc,
    ];
    // 3; 4; 5 and 6; 3 again; none; 2; none; 1 and 7.
    assert_eq!(ends, [1, 1, 2, 1, 0, 1, 0, 2]);
    assert_eq!(stats.rpc, 8);
}

#[test]
fn nothing_is_sent_to_an_address_that_another_endpoint_has() {
    let mut world = World::registered(PROFILE, 88);
    world.network.cut = true;
    world.rpc(1, "Read", READ);
    world.run(seconds(1));
    world.endpoint.handle_peer_taken(world.now, peer(5683));
    world.rpc(2, "Read", READ);
    world.rpc_with(persistent(3));
    let before = world.sent_by_server.len();
    world.run(seconds(100));
    assert_eq!(world.sent_by_server.len(), before);
    assert_eq!(
        world.rpc_history(1)[1..],
        [
            r#"{"result":"INTERNAL_SERVER_ERROR","error":"Request coap://192.0.2.1:5683/3/0/9 cancelled"}"#
        ]
    );
    assert_eq!(world.endpoint.stats().postponed_rpc, 1);
    world.peer = peer(6000);
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(2).len(), 3);
    assert_eq!(pending_wanted(&world), 1);
    world.endpoint.handle_peer_taken(world.now, peer(5683));
    world.rpc(4, "Read", READ);
    world.run(seconds(2));
    assert_eq!(world.rpc_history(4).len(), 3, "it is elsewhere");
}

#[test]
fn a_device_that_comes_back_to_an_address_that_another_had_is_found_there() {
    let mut world = World::registered(PROFILE, 89);
    let bound = |world: &World| {
        let own = Key::Peer(peer(5683));
        world.bound.iter().filter(|key| **key == own).count()
    };
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!(bound(&world), 1);
    world.endpoint.handle_peer_taken(world.now, peer(5683));
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!(bound(&world), 2);
    world.rpc(1, "Read", READ);
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1).len(), 3);
}

#[test]
fn a_notification_that_nobody_wants_any_more_is_not_acknowledged() {
    let power = r#""powerMode": "PSM", "psmActivityTimer": 10000"#;
    let mut world = World::registered(&profile_with(power), 88);
    world.run(seconds(60));
    let profile = format!(r#"{{"type": "LWM2M", "clientLwM2mSettings": {{{power}}}}}"#);
    let changed = Downlink::ProfileChanged(admission("dev1", &profile).profile);
    world.endpoint.handle_downlink(world.now, changed);
    let (before, posted) = (world.sent_by_server.len(), world.posted("temperature"));
    world.set("/3303/0/5700", Value::Float(55.5));
    world.run(seconds(60));
    let answers = world.sent_by_server.split_off(before);
    let mut answers = answers
        .into_iter()
        .map(|(_, own)| Message::parse(own).unwrap());
    assert!(answers.all(|own| own.message_type() != MessageType::Acknowledgement));
    assert_eq!(world.device.observers(), 0);
    assert_eq!(world.posted("temperature"), posted);
}
