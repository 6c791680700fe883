//! Commands that observe, write and manage instances, over the wire.

use lightship::{
    coap::{Code, Message, Token},
    lwm2m::value::Value,
    platform::{Uplink, uplink::KeyValue},
    sim::SimEvent,
};

use crate::{PROFILE, requests, seconds, world::World};

const CHANGED: [&str; 3] = ["SENT", "DELIVERED", r#"{"result":"CHANGED"}"#];

/// A device whose profile observes nothing, and gives the bytes of object 19 a name.
fn world(seed: u8) -> World {
    let profile = r#"{"type": "LWM2M", "observeAttr": {
        "telemetry": ["/19_1.1/0/0"], "keyName": {"/19_1.1/0/0": "bytes"}}}"#;
    World::registered(profile, seed)
}

/// Tokens of the requests with this method and Observe option.
fn tokens(world: &World, method: Code, observe: u32) -> Vec<Token> {
    let sent = world.sent_by_server.iter();
    sent.filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .filter(|message| message.code() == method && message.observe() == Some(observe))
        .map(|message| message.token())
        .collect()
}

#[test]
fn rpc_031_observe_then_its_notifications_are_posted() {
    let mut world = world(80);
    world.rpc(1, "Observe", r#"{"id":"/19_1.1/0/0"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        [
            "SENT",
            "DELIVERED",
            r#"{"result":"CONTENT","value":"LwM2mMultipleResource id=0 values={ id=0 value=01,  id=1 value=02} type=OPAQUE"}"#
        ]
    );
    world.set("/19/0/0/1", Value::Opaque(vec![9].into()));
    world.run(seconds(1));
    assert_eq!(
        world.posted("bytes").last(),
        Some(&KeyValue::Json(r#"{"0":"01","1":"09"}"#.to_owned()))
    );
}

#[test]
fn rpc_034_the_second_of_two_observations_of_a_path_replaces_the_first() {
    let mut world = world(81);
    for number in [1, 2] {
        world.rpc(number, "Observe", r#"{"id":"/3_1.2/0/9"}"#);
        world.run(seconds(1));
    }
    world.rpc(3, "ObserveReadAll", "null");
    let list = r#"{"result":"CONTENT","value":"[\"SingleObservation:/3/0/9\"]"}"#;
    world.run(seconds(1));
    assert_eq!(world.rpc_history(3), ["DELIVERED", list]);
}

#[test]
fn o7_observe_cancel_answers_at_once_and_tells_the_device() {
    let mut world = World::registered(PROFILE, 82);
    let observed = tokens(&world, Code::GET, 0);
    world.rpc(1, "ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        ["DELIVERED", r#"{"result":"CONTENT","value":"1"}"#]
    );
    assert_eq!(
        tokens(&world, Code::GET, 1),
        observed[..1],
        "the same token"
    );
    assert_eq!(requests(&world).last().unwrap(), "GET /3/0/9 observe=1");
    assert!(
        world
            .events
            .contains(&SimEvent::Unobserved("/3/0/9".parse().unwrap()))
    );
    let before = world.posted("batteryLevel").len();
    world.set("/3/0/9", Value::Integer(1));
    world.run(seconds(1));
    assert_eq!(world.posted("batteryLevel").len(), before);
    world.rpc(2, "ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(2),
        [
            r#"{"result":"BAD_REQUEST","error":"Could not find active Observe component with path: /3_1.2/0/9"}"#
        ]
    );
}

#[test]
fn c13_commands_leave_one_at_a_time_in_their_order() {
    let mut world = World::registered(PROFILE, 85);
    let before = requests(&world).len();
    world.network.cut = true;
    for (number, id) in [(1, "/3_1.2/0/0"), (2, "/3_1.2/0/9"), (3, "/3_1.2/0/1")] {
        world.rpc(number, "Read", &format!(r#"{{"id":"{id}"}}"#));
    }
    world.run(seconds(10));
    assert_eq!(requests(&world)[before..], ["GET /3/0/0"]);
    world.network.cut = false;
    world.run(seconds(60));
    assert_eq!(
        requests(&world)[before..],
        ["GET /3/0/0", "GET /3/0/9", "GET /3/0/1"]
    );
}

#[test]
fn o6_an_observation_that_the_device_cannot_be_told_of_is_reset() {
    let mut world = World::registered(PROFILE, 83);
    world.network.cut = true;
    world.rpc(1, "ObserveCancelAll", "null");
    world.run(seconds(200));
    assert_eq!(
        world.rpc_history(1),
        ["DELIVERED", r#"{"result":"CONTENT","value":"2"}"#]
    );
    assert!(!world.posted("transportLog").iter().any(|line| {
        matches!(line, KeyValue::String(line) if line.contains("processing failed"))
    }));
    world.network.cut = false;
    let resets = world.endpoint.stats().coap.resets_sent;
    world.set("/3/0/9", Value::Integer(1));
    world.run(seconds(1));
    assert_eq!(world.endpoint.stats().coap.resets_sent, resets + 1);
}

#[test]
fn cancels_go_before_the_work_of_the_profile_and_after_commands() {
    let mut world = World::registered(PROFILE, 84);
    let before = requests(&world).len();
    world.rpc(1, "ObserveCancelAll", "null");
    world.rpc(2, "Read", r#"{"id":"/3_1.2/0/0"}"#);
    world.run(seconds(1));
    assert_eq!(
        requests(&world)[before..],
        [
            "GET /3/0/9 observe=1",
            "GET /3/0/0",
            "GET /3303/0/5700 observe=1"
        ],
        "the first one found the slot free"
    );
}

#[test]
fn an_observation_that_is_made_again_ends_first() {
    let mut world = World::registered(PROFILE, 95);
    let before = requests(&world).len();
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/0"}"#);
    world.rpc(2, "ObserveCancelAll", "null");
    world.rpc(3, "Observe", r#"{"id":"/3303_1.1/0/5700"}"#);
    world.run(seconds(1));
    assert_eq!(
        requests(&world)[before..],
        [
            "GET /3/0/0",
            "GET /3303/0/5700 observe=1",
            "GET /3303/0/5700 observe=0",
            "GET /3/0/9 observe=1"
        ]
    );
}

#[test]
fn a_device_with_many_observations_has_room_for_commands_while_they_are_cancelled() {
    let mut world = World::registered(PROFILE, 85);
    world.network.delay = seconds(1);
    world.rpc(1, "ObserveCancelAll", "null");
    for number in 2..130 {
        world.rpc(number, "Read", r#"{"id":"/3_1.2/0/0"}"#);
    }
    assert_eq!(
        world.count(|uplink| {
            matches!(uplink, Uplink::RpcReply { body, .. } if body.text().contains("queue is full"))
        }),
        0
    );
}

#[test]
fn rpc_092_write_update_merges_on_the_device_and_in_what_is_posted() {
    let mut world = world(86);
    world.rpc(
        1,
        "WriteUpdate",
        r#"{"id":"/3_1.2/0","value":{"14":"+5","15":"Kiyv/Europe"}}"#,
    );
    world.rpc(
        2,
        "WriteUpdate",
        r#"{"id":"/19_1.1/0","value":{"0":{"1":"cafe"}}}"#,
    );
    world.run(seconds(1));
    for number in [1, 2] {
        assert_eq!(world.rpc_history(number), CHANGED);
    }
    assert!(requests(&world).ends_with(&["POST /3/0".to_owned(), "POST /19/0".to_owned()]));
    let value = |path: &str| {
        world
            .device
            .objects()
            .value(&path.parse().unwrap())
            .cloned()
    };
    assert_eq!(value("/3/0/14"), Some(Value::String("+5".to_owned())));
    assert_eq!(value("/19/0/0/0"), Some(Value::Opaque(vec![1].into())));
    assert_eq!(
        world.posted("bytes").last(),
        Some(&KeyValue::Json(r#"{"0":"01","1":"cafe"}"#.to_owned()))
    );
}

#[test]
fn rpc_063_write_attributes_reach_the_device() {
    let mut world = world(87);
    world.rpc(
        1,
        "WriteAttributes",
        r#"{"id":"/3_1.2/0/9","attributes":{"pmin":10,"pmax":null}}"#,
    );
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1), CHANGED);
    assert_eq!(requests(&world).last().unwrap(), "PUT /3/0/9?pmax&pmin=10");
}

#[test]
fn rpc_116_instances_are_created_and_deleted() {
    let mut world = world(88);
    let commands = [
        (
            "Create",
            r#"{"id":"/19_1.1/12","value":{"0":{"0":"00AC"},"1":1}}"#,
        ),
        (
            "Create",
            r#"{"id":"/19_1.1/0","value":{"0":{"0":"00AC"},"1":1}}"#,
        ),
        (
            "Create",
            r#"{"id":"/19_1.1","value":{"0":{"0":"00"},"1":5}}"#,
        ),
        ("Read", r#"{"id":"/19_1.1/12/1"}"#),
        ("Delete", r#"{"id":"/19_1.1/12"}"#),
        ("Delete", r#"{"id":"/19_1.1/12"}"#),
        ("Delete", r#"{"id":"/3_1.2/0"}"#),
    ];
    for (number, (method, params)) in (1..).zip(commands) {
        world.rpc(number, method, params);
        world.run(seconds(1));
    }
    let replies: Vec<_> = (1..=7)
        .map(|number| world.rpc_history(number).pop().unwrap())
        .collect();
    assert_eq!(
        replies,
        [
            r#"{"result":"CREATED"}"#,
            r#"{"result":"BAD_REQUEST","error":"instance 0 already exists"}"#,
            r#"{"result":"CREATED","value":"location=19/1"}"#,
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=1, value=1, type=INTEGER]"}"#,
            r#"{"result":"DELETED"}"#,
            r#"{"result":"NOT_FOUND"}"#,
            r#"{"result":"METHOD_NOT_ALLOWED"}"#,
        ]
    );
    let values = world.endpoint.summary().unwrap().values;
    assert!(values.iter().any(|value| value.path == "/19/1/1"));
    assert!(!values.iter().any(|value| value.path.starts_with("/19/12")));
}

#[test]
fn rpc_030_discover_all_and_observe_read_all_need_no_device() {
    let mut world = World::registered(PROFILE, 89);
    world.network.cut = true;
    let before = requests(&world).len();
    world.rpc(1, "DiscoverAll", "null");
    world.rpc(2, "ObserveReadAll", "null");
    world.run(seconds(1));
    assert_eq!(requests(&world).len(), before);
    let history = world.rpc_history(1);
    assert_eq!(history[0], "DELIVERED");
    assert!(
        history[1].contains(r#"\"</3>;ver=1.2\",\"</3/0>\""#),
        "{}",
        history[1]
    );
    let history = world.rpc_history(2);
    for path in ["/3/0/9", "/3303/0/5700"] {
        assert!(history[1].contains(&format!("SingleObservation:{path}")));
    }
}

#[test]
fn p34_1_an_observation_may_be_of_an_object_an_instance_a_resource_or_an_instance_of_one() {
    let profile = PROFILE.replacen(r#""/3_1.2/0/9", "/3303_1.1/0/5700"],"#, "],", 1);
    for (id, request, path, value, key) in [
        (
            "/3303_1.1",
            "GET /3303 observe=0",
            "/3303/0/5700",
            Value::Float(30.5),
            "temperature",
        ),
        (
            "/3_1.2/0",
            "GET /3/0 observe=0",
            "/3/0/9",
            Value::Integer(7),
            "batteryLevel",
        ),
        (
            "/3_1.2/0/9",
            "GET /3/0/9 observe=0",
            "/3/0/9",
            Value::Integer(7),
            "batteryLevel",
        ),
        (
            "/3_1.2/0/6/1",
            "GET /3/0/6/1 observe=0",
            "/3/0/6/1",
            Value::Integer(7),
            "powerSources",
        ),
    ] {
        let mut world = World::registered(&profile, 96);
        world.rpc(1, "Observe", &format!(r#"{{"id":"{id}"}}"#));
        world.run(seconds(1));
        assert_eq!(requests(&world).last().unwrap(), request);
        let before = world.posted(key).len();
        world.set(path, value);
        world.run(seconds(1));
        assert_eq!(world.posted(key).len(), before + 1, "{id}");
        world.rpc(2, "ObserveCancelAll", "null");
        world.run(seconds(1));
        let cancel = request.replace("observe=0", "observe=1");
        assert_eq!(*requests(&world).last().unwrap(), cancel);
    }
}
