//! Whole conversations between one device and its endpoint, in virtual time, over a network that may lose, repeat and
//! reorder. Expected texts come from the specifications, never from a run.

mod attributes;
mod bootstrap;
mod clock;
mod commands;
mod composite;
mod observation;
mod ota;
mod presence;
mod profile;
mod registration;
mod restart;
mod send;
mod world;

use std::time::Duration;

use lightship::{
    coap::{Code, Message},
    endpoint::CloseReason,
    lwm2m::value::Value,
    platform::{
        Downlink, Outcome, QuestionError, Uplink, credentials::ClientCredentials,
        downlink::SessionCloseReason, uplink::KeyValue,
    },
    sim::SimEvent,
};

use world::{World, admission, peer, rpc_request, waits};

pub(crate) const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3_1.2/0/9", "/3303_1.1/0/5700"],
        "attribute": ["/3_1.2/0/0"],
        "telemetry": ["/3_1.2/0/9", "/3303_1.1/0/5700", "/3_1.2/0/6"],
        "keyName": {"/3_1.2/0/0": "manufacturer", "/3_1.2/0/9": "batteryLevel",
                    "/3303_1.1/0/5700": "temperature", "/3_1.2/0/6": "powerSources"},
        "attributeLwm2m": {"/3_1.2/0/9": {"pmin": 10, "pmax": 300, "st": 5.0}}
    }
}"#;

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `GET /3/0/9 observe=0`, in the order in which the server sent them.
pub(crate) fn requests(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .filter(|message| message.code().is_request())
        .filter(|message| {
            let new = !seen.contains(&message.message_id());
            seen.push(message.message_id());
            new
        })
        .map(|message| {
            let path: Vec<_> = message.uri_path().collect();
            let query: Vec<_> = message.uri_query().collect();
            let observe = message
                .observe()
                .map(|value| format!(" observe={value}"))
                .unwrap_or_default();
            let query = if query.is_empty() {
                String::new()
            } else {
                format!("?{}", query.join("&"))
            };
            format!(
                "{} /{}{query}{observe}",
                method(message.code()),
                path.join("/")
            )
        })
        .collect()
}

fn method(code: Code) -> &'static str {
    match code {
        Code::GET => "GET",
        Code::POST => "POST",
        Code::PUT => "PUT",
        Code::DELETE => "DELETE",
        Code::FETCH => "FETCH",
        Code::IPATCH => "iPATCH",
        _ => "other",
    }
}

#[test]
fn l1_register_opens_the_session_then_observes_and_reads_what_the_profile_names() {
    let world = World::registered(PROFILE, 1);
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionOpened { .. })),
        1
    );
    assert_eq!(
        requests(&world),
        [
            "PUT /3/0/9?pmax=300&pmin=10&st=5",
            "GET /3/0/9 observe=0",
            "GET /3303/0/5700 observe=0",
            "GET /3/0/0",
            "GET /3/0/6",
        ]
    );
    assert_eq!(world.posted("batteryLevel"), [KeyValue::Long(95)]);
    assert_eq!(world.posted("temperature"), [KeyValue::Double(21.5)]);
    assert_eq!(
        world.posted("manufacturer"),
        [KeyValue::String("Lightship Labs".to_owned())]
    );
    assert_eq!(
        world.posted("powerSources"),
        [KeyValue::Json(r#"{"0":1,"1":5}"#.to_owned())]
    );
}

#[test]
fn l2_an_object_in_another_version_is_left_alone() {
    let profile = PROFILE.replace("/3_1.2/", "/3_1.1/");
    let world = World::registered(&profile, 2);
    assert_eq!(requests(&world), ["GET /3303/0/5700 observe=0"]);
}

#[test]
fn the_answer_to_a_register_leaves_before_the_first_request() {
    let world = World::registered(PROFILE, 3);
    let codes: Vec<_> = world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .map(|message| message.code())
        .filter(|code| !code.is_empty())
        .collect();
    assert_eq!(codes.first(), Some(&Code::CREATED));
}

#[test]
fn l17_lifetime_expiry_closes_session() {
    let mut world = World::registered(PROFILE, 4);
    world.network.cut = true;
    world.run(seconds(294));
    assert_eq!(world.closed, None, "not before the lifetime of 300 s ends");
    world.run(seconds(2));
    assert_eq!(world.closed, Some(CloseReason::Expired));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. })),
        1
    );
}

#[test]
fn an_update_prolongs_the_registration_without_repeating_the_profile_work() {
    let mut world = World::registered(PROFILE, 5);
    let before = requests(&world).len();
    world.run(seconds(3000));
    assert_eq!(world.closed, None);
    assert!(
        world
            .events
            .iter()
            .filter(|event| **event == SimEvent::Updated)
            .count()
            >= 10
    );
    assert_eq!(requests(&world).len(), before);
    let is_log = |value: &KeyValue| matches!(value, KeyValue::String(line) if line.ends_with("Updated registration."));
    assert!(
        world
            .posted("transportLog")
            .iter()
            .filter(|value| is_log(value))
            .count()
            >= 10
    );
}

#[test]
fn a_registration_of_thirty_days_takes_no_real_time() {
    let mut world = World::registered(PROFILE, 6);
    world.run(seconds(30 * 24 * 3600));
    assert_eq!(world.closed, None);
    assert!(world.device.is_registered());
}

#[test]
fn deregister_closes_the_session_and_answers_repetitions_alike() {
    let mut world = World::registered(PROFILE, 7);
    world.device.deregister(world.now.mono);
    world.run(seconds(1));
    assert_eq!(world.events.last(), Some(&SimEvent::Deregistered));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. })),
        1
    );
    let (_, repeated) = world.sent_by_device.last().unwrap().clone();
    let (_, first) = world.sent_by_server.last().unwrap().clone();
    world.inject(peer(5683), repeated);
    world.run(seconds(1));
    assert_eq!(world.sent_by_server.last().unwrap().1, first);
    world.run(seconds(60));
    assert_eq!(world.closed, Some(CloseReason::Deregistered));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. })),
        1
    );
}

#[test]
fn a_stop_closes_the_session() {
    let mut world = World::registered(PROFILE, 33);
    world.endpoint.stop(world.now);
    world.run(Duration::ZERO);
    assert_eq!(world.closed, Some(CloseReason::Stopped));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. })),
        1
    );
}

#[test]
fn an_unknown_endpoint_gets_4_03() {
    let mut world = World::new(PROFILE, 8);
    world.platform.admission = Err(QuestionError::NotFound);
    world.device.register(world.now.mono);
    world.run(seconds(1));
    assert!(
        matches!(
            world.events.as_slice(),
            [SimEvent::Refused {
                code: Code::FORBIDDEN,
                ..
            }]
        ),
        "{:?}",
        world.events
    );
    assert_eq!(world.closed, Some(CloseReason::Refused));
}

#[test]
fn a60_a_core_that_does_not_answer_makes_5_03() {
    let mut world = World::new(PROFILE, 9);
    world.platform.admission = Err(QuestionError::Unavailable);
    world.platform.delay = seconds(10);
    world.device.register(world.now.mono);
    world.run(seconds(12));
    assert!(
        matches!(
            world.events.as_slice(),
            [SimEvent::Refused {
                code: Code::SERVICE_UNAVAILABLE,
                ..
            }]
        ),
        "{:?}",
        world.events
    );
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionOpened { .. })),
        0
    );
}

#[test]
fn a_psk_device_may_not_register_unsecured() {
    let mut world = World::new(PROFILE, 10);
    let mut psk = admission("dev1", PROFILE);
    psk.client = ClientCredentials::Psk {
        endpoint: "dev1".to_owned(),
        identity: "id".to_owned(),
        key: "00".repeat(16),
    };
    world.platform.admission = Ok(std::sync::Arc::new(psk));
    world.device.register(world.now.mono);
    world.run(seconds(1));
    assert!(matches!(
        world.events.as_slice(),
        [SimEvent::Refused {
            code: Code::FORBIDDEN,
            ..
        }]
    ));
}

#[test]
fn a23_duplicate_con_handled_once() {
    let mut world = World::registered(PROFILE, 11);
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(seconds(1));
    let (_, notification) = world.sent_by_device.last().unwrap().clone();
    let answers = world.sent_by_server.len();
    for port in [5683, 5683, 6000] {
        world.inject(peer(port), notification.clone());
        world.run(seconds(1));
    }
    assert_eq!(
        world.posted("temperature"),
        [KeyValue::Double(21.5), KeyValue::Double(22.0)]
    );
    assert_eq!(
        world.sent_by_server.len(),
        answers + 3,
        "each repetition gets the acknowledgement again"
    );
}

#[test]
fn a_confirmable_notification_is_acknowledged_when_its_value_is_durable() {
    let mut world = World::registered(PROFILE, 12);
    world.platform.delay = Duration::from_millis(800);
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(Duration::from_millis(700));
    let is_ack = |event: &SimEvent| matches!(event, SimEvent::Acknowledged(_));
    assert!(!world.events.iter().any(is_ack));
    assert_eq!(world.platform.uplinks.iter().filter_map(waits).count(), 1);
    world.run(Duration::from_millis(300));
    assert_eq!(world.events.iter().filter(|event| is_ack(event)).count(), 1);
}

#[test]
fn a_value_that_cannot_be_stored_is_never_acknowledged() {
    let mut world = World::registered(PROFILE, 13);
    world.platform.outcome = Outcome::Unavailable;
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(seconds(100));
    let events = world.events.iter();
    assert!(
        !events
            .clone()
            .any(|event| matches!(event, SimEvent::Acknowledged(_)))
    );
    assert_eq!(
        events
            .filter(|event| matches!(event, SimEvent::Unacknowledged(_)))
            .count(),
        1
    );
}

#[test]
fn a_repetition_is_acknowledged_once_the_platform_is_back() {
    let mut world = World::registered(PROFILE, 31);
    world.platform.outcome = Outcome::Unavailable;
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(seconds(10));
    world.platform.outcome = Outcome::Durable;
    world.run(seconds(30));
    let path = "/3303/0/5700".parse().unwrap();
    assert!(
        world.events.contains(&SimEvent::Acknowledged(path)),
        "{:?}",
        world.events
    );
    assert!(
        world.posted("temperature").len() > 2,
        "published at least once"
    );
}

#[test]
fn observations_are_made_again_after_max_transmit_wait_though_the_device_says_no_more() {
    let mut world = World::registered(PROFILE, 14);
    let before = requests(&world).len();
    world.platform.outcome = Outcome::Unavailable;
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(seconds(50));
    // Nobody has anything left to repeat: the last repetition came before this.
    world.platform.outcome = Outcome::Durable;
    world.run(seconds(42));
    assert_eq!(requests(&world).len(), before);
    world.run(seconds(5));
    let new: Vec<_> = requests(&world).split_off(before);
    assert_eq!(new, ["GET /3/0/9 observe=0", "GET /3303/0/5700 observe=0"]);
    world.set("/3303/0/5700", Value::Float(23.0));
    world.run(seconds(1));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(23.0))
    );
}

#[test]
fn l18_register_from_another_port_leaves_one_session_and_sets_the_observations_again() {
    let mut world = World::registered(PROFILE, 15);
    let before = requests(&world).len();
    world.peer = peer(6000);
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let opened = world.count(|uplink| matches!(uplink, Uplink::SessionOpened { .. }));
    let closed = world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. }));
    assert_eq!((opened, closed), (2, 1));
    assert_eq!(requests(&world).split_off(before).len(), 5);
    world.set("/3303/0/5700", Value::Float(30.0));
    world.run(seconds(1));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(30.0))
    );
}

#[test]
fn a_register_from_elsewhere_replaces_nothing_until_the_platform_accepts_it() {
    let mut world = World::registered(PROFILE, 16);
    world.platform.admission = Err(QuestionError::NotFound);
    let register = world.sent_by_device.first().unwrap().1.clone();
    world.inject(peer(7000), register);
    world.run(seconds(1));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. })),
        0
    );
    world.set("/3303/0/5700", Value::Float(24.0));
    world.run(seconds(1));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(24.0))
    );
}

#[test]
fn an_update_from_another_address_moves_the_registration() {
    let mut world = World::registered(PROFILE, 17);
    world.peer = peer(6001);
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert!(world.events.contains(&SimEvent::Updated));
    world.set("/3303/0/5700", Value::Float(25.0));
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(25.0))
    );
    assert_eq!(world.rpc_history(1).len(), 3);
}

#[test]
fn rpc_127_statuses_come_in_order_then_the_reply() {
    let mut world = World::registered(PROFILE, 19);
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        [
            "SENT",
            "DELIVERED",
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=95, type=INTEGER]"}"#
        ]
    );
}

#[test]
fn rpc_074_write_replace_then_read_shows_the_value() {
    let mut world = World::registered(PROFILE, 20);
    world.rpc(1, "WriteReplace", r#"{"id":"/3_1.2/0/14","value":"+12"}"#);
    world.rpc(2, "Read", r#"{"id":"/3_1.2/0/14"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        ["SENT", "DELIVERED", r#"{"result":"CHANGED"}"#]
    );
    assert_eq!(
        world.rpc_history(2).last().unwrap(),
        r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=14, value=+12, type=STRING]"}"#
    );
}

#[test]
fn a_value_of_one_instance_is_posted_with_those_known_of_its_resource() {
    let mut world = World::registered(PROFILE, 35);
    let before = world.posted("powerSources").len();
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/6/1"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.posted("powerSources")[before..],
        [KeyValue::Json(r#"{"0":1,"1":5}"#.to_owned())]
    );
}

#[test]
fn rpc_103_execute_reaches_the_device() {
    let mut world = World::registered(PROFILE, 21);
    world.rpc(1, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    world.rpc(2, "Execute", r#"{"id":"/3_1.2/0/5","value":"2='60'"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        ["SENT", "DELIVERED", r#"{"result":"CHANGED"}"#]
    );
    let executed: Vec<_> = world
        .events
        .iter()
        .filter(|event| matches!(event, SimEvent::Executed(..)))
        .collect();
    assert_eq!(
        executed,
        [
            &SimEvent::Executed("/3/0/4".parse().unwrap(), String::new()),
            &SimEvent::Executed("/3/0/5".parse().unwrap(), "2='60'".to_owned())
        ]
    );
}

#[test]
fn rpc_126_a_silent_device_makes_sent_and_timeout_and_the_command_may_come_again() {
    let mut world = World::registered(PROFILE, 22);
    world.network.cut = true;
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(130));
    assert_eq!(world.rpc_history(1), ["SENT", "TIMEOUT"]);
    world.network.cut = false;
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(5));
    assert_eq!(world.rpc_history(1).len(), 5, "{:?}", world.rpc_history(1));
}

#[test]
fn rpc_128_the_same_command_twice_is_sent_once() {
    let mut world = World::registered(PROFILE, 23);
    let before = requests(&world).len();
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(requests(&world).len(), before + 1);
    assert_eq!(world.rpc_history(1).len(), 3);
}

#[test]
fn an_answer_from_before_a_restart_of_the_core_reaches_nobody_and_what_waited_is_dropped() {
    let mut world = World::registered(PROFILE, 23);
    let before = requests(&world).len();
    world.rpc(7, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.rpc(8, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    // The core begins to number anew: number 0 is another caller's.
    let mut first = rpc_request(90, "Read", r#"{"id":"/3_1.2/0/0"}"#);
    first.id.request = 0;
    world.rpc_with(first);
    world.run(seconds(1));
    assert_eq!(world.rpc_history(7), ["SENT"]);
    assert_eq!(world.rpc_history(8), [] as [&str; 0]);
    assert_eq!(world.endpoint.stats().cancelled_rpc, 1);
    assert_eq!(world.rpc_history(90).len(), 3);
    assert_eq!(
        requests(&world).split_off(before),
        ["GET /3/0/9", "GET /3/0/0"]
    );
    let wanted = |uplink: &Uplink| matches!(uplink, Uplink::PendingRpcWanted { .. });
    assert_eq!(world.count(wanted), 1);

    // It kept the one that was never sent, and says it again under a new number.
    let mut kept = rpc_request(8, "Execute", r#"{"id":"/3_1.2/0/4"}"#);
    kept.id.request = 1;
    world.rpc_with(kept);
    world.run(seconds(1));
    assert_eq!(world.rpc_history(8).len(), 3);
}

#[test]
fn rpc_019_an_unknown_method_is_refused_without_status() {
    let mut world = World::registered(PROFILE, 24);
    world.rpc(1, "ReadAll", "{}");
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        [r#"{"result":"METHOD_NOT_ALLOWED","error":"Unsupported operation type: ReadAll"}"#]
    );
}

#[test]
fn an_expired_command_is_not_sent() {
    let mut world = World::registered(PROFILE, 25);
    let before = requests(&world).len();
    let mut request = rpc_request(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    request.expires = world.now.wall;
    world.rpc_with(request);
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1), [] as [&str; 0]);
    assert_eq!(requests(&world).len(), before);
}

#[test]
fn commands_beyond_the_queue_are_refused_at_once() {
    let mut world = World::registered(PROFILE, 26);
    world.network.cut = true;
    for number in 1..=200 {
        world.rpc(number, "Read", r#"{"id":"/3_1.2/0/9"}"#);
        world.run(Duration::ZERO);
    }
    let refused = (1..=200)
        .filter(|number| {
            world.rpc_history(*number)
                == [r#"{"result":"INTERNAL_SERVER_ERROR","error":"Downlink queue is full"}"#]
        })
        .count();
    // One is under way, 127 wait.
    assert_eq!(refused, 200 - 128);
}

#[test]
fn a_persistent_command_that_timed_out_is_asked_for_at_the_next_uplink() {
    let mut world = World::registered(PROFILE, 27);
    world.network.cut = true;
    let mut request = rpc_request(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    request.persisted = true;
    world.rpc_with(request);
    world.run(seconds(130));
    let wanted =
        |world: &World| world.count(|uplink| matches!(uplink, Uplink::PendingRpcWanted { .. }));
    assert_eq!(wanted(&world), 0);
    world.network.cut = false;
    world.device.update(world.now.mono);
    world.run(seconds(1));
    assert_eq!(wanted(&world), 1);
}

#[test]
fn l20_changed_credentials_end_the_registration() {
    let mut world = World::registered(PROFILE, 28);
    world
        .endpoint
        .handle_downlink(world.now, Downlink::CredentialsChanged);
    world.run(Duration::ZERO);
    assert_eq!(world.closed, Some(CloseReason::Removed));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::SessionClosed { .. })),
        1
    );
}

#[test]
fn a_session_that_the_core_timed_out_is_opened_again_under_the_same_id() {
    let mut world = World::registered(PROFILE, 29);
    world.endpoint.handle_downlink(
        world.now,
        Downlink::SessionClosed(SessionCloseReason::SessionTimeout),
    );
    world.run(Duration::ZERO);
    assert_eq!(world.closed, None);
    assert_eq!(
        world.count(|uplink| matches!(
            uplink,
            Uplink::Activity {
                heartbeat: true,
                ..
            }
        )),
        1
    );
}

#[test]
fn a29_loss_jitter_and_duplication_lose_no_acknowledged_value() {
    let mut through = 0;
    for seed in 0..20 {
        let mut world = World::new(PROFILE, seed);
        world.network.loss = 20;
        world.network.duplication = 10;
        world.network.jitter = Duration::from_millis(500);
        world.device.register(world.now.mono);
        world.run(seconds(60));
        let mut acknowledged = Vec::new();
        for step in 0..50_i32 {
            let before = world.events.len();
            let value = f64::from(step) + 100.0;
            world.set("/3303/0/5700", Value::Float(value));
            world.run(seconds(60));
            let path = "/3303/0/5700".parse().unwrap();
            if world
                .events
                .iter()
                .skip(before)
                .any(|event| *event == SimEvent::Acknowledged(path))
            {
                acknowledged.push(KeyValue::Double(value));
            }
        }
        let posted = world.posted("temperature");
        for value in &acknowledged {
            let times = posted.iter().filter(|own| *own == value).count();
            assert_eq!(
                times, 1,
                "seed {seed}: {value:?} was acknowledged and posted {times} times"
            );
        }
        through += acknowledged.len();
    }
    // A device gives an observation up when all transmissions of one notification are lost, 0.6 % of them here.
    assert!(through >= 800, "only {through} of 1000 got through");
}

#[test]
fn a17_garbage_from_the_device_changes_nothing() {
    let mut world = World::registered(PROFILE, 30);
    let mut random = lightship::coap::Random::from_seed([9; 32]);
    for _ in 0..20_000 {
        let mut garbage = vec![0; usize::try_from(random.uniform(0..=64)).unwrap()];
        random.fill(&mut garbage);
        world.inject(peer(5683), garbage.into());
        world.run(Duration::ZERO);
    }
    world.set("/3303/0/5700", Value::Float(26.0));
    world.run(seconds(5));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(26.0))
    );
}
