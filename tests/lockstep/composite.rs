//! Composite commands and the profile's composite strategies, over the wire.

use lightship::{
    coap::{Code, ContentFormat, Message, MessageId, MessageType, Response, encode},
    lwm2m::value::Value,
    platform::{Uplink, uplink::KeyValue},
    sim::SimEvent,
};

use crate::{
    PROFILE, requests, seconds,
    world::{World, peer},
};

fn composite_profile(strategy: &str) -> String {
    PROFILE.replace(
        r#""observe""#,
        &format!(r#""observeStrategy": "{strategy}", "initAttrTelAsObsStrategy": true, "observe""#),
    )
}

#[test]
fn l3_composite_all_observes_and_reads_in_one_request_each() {
    let mut world = World::registered(&composite_profile("COMPOSITE_ALL"), 90);
    assert_eq!(
        requests(&world),
        [
            "PUT /3/0/9?pmax=300&pmin=10&st=5",
            "FETCH / observe=0",
            "FETCH /"
        ]
    );
    assert_eq!(world.posted("batteryLevel"), [KeyValue::Long(95)]);
    assert_eq!(world.posted("temperature"), [KeyValue::Double(21.5)]);
    assert_eq!(world.posted("powerSources").len(), 1);
    world.set("/3/0/9", Value::Integer(80));
    world.run(seconds(1));
    assert_eq!(
        world.posted("batteryLevel").last(),
        Some(&KeyValue::Long(80))
    );
}

#[test]
fn l4_composite_by_object_observes_each_object() {
    let world = World::registered(&composite_profile("COMPOSITE_BY_OBJECT"), 91);
    assert_eq!(
        requests(&world),
        [
            "PUT /3/0/9?pmax=300&pmin=10&st=5",
            "FETCH / observe=0",
            "FETCH / observe=0",
            "FETCH /",
        ]
    );
}

#[test]
fn o7_a_composite_observation_ends_by_the_request_that_made_it() {
    let mut world = World::registered(r#"{"type": "LWM2M"}"#, 92);
    let ids = r#"{"ids":["/3_1.2/0/9","/3303_1.1/0/5700"]}"#;
    world.rpc(1, "ObserveComposite", ids);
    world.run(seconds(1));
    world.rpc(2, "ObserveReadAll", "null");
    world.rpc(3, "ObserveCompositeCancel", ids);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(2)[1],
        r#"{"result":"CONTENT","value":"[\"CompositeObservation: [/3303/0/5700, /3/0/9]\"]"}"#
    );
    assert_eq!(
        world.rpc_history(3),
        ["DELIVERED", r#"{"result":"CONTENT","value":"1"}"#]
    );
    let fetches: Vec<_> = world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .filter(|message| message.code() == Code::FETCH)
        .collect();
    let [observe, cancel] = &fetches[..] else {
        panic!("{fetches:?}");
    };
    assert_eq!((observe.observe(), cancel.observe()), (Some(0), Some(1)));
    assert_eq!(observe.token(), cancel.token());
    assert_eq!(observe.payload(), cancel.payload());
    assert_eq!(observe.content_format(), cancel.content_format());
    assert_eq!(observe.accept(), cancel.accept());
    assert!(
        world
            .events
            .contains(&SimEvent::Unobserved("/3/0/9".parse().unwrap()))
    );
}

#[test]
fn rpc_096_write_composite_reaches_the_device_and_is_posted() {
    let mut world = World::registered(PROFILE, 93);
    world.rpc(
        1,
        "WriteComposite",
        r#"{"nodes":{"/19_1.1/0":{"0":{"0":"00ad","25":"25ad"}},"/3_1.2/0/14":"+04"}}"#,
    );
    world.rpc(2, "WriteComposite", r#"{"nodes":{"batteryLevel":5}}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        ["SENT", "DELIVERED", r#"{"result":"CHANGED"}"#]
    );
    assert_eq!(
        world.rpc_history(2),
        ["SENT", r#"{"result":"BAD_REQUEST"}"#]
    );
    let value = |path: &str| {
        world
            .device
            .objects()
            .value(&path.parse().unwrap())
            .cloned()
    };
    assert_eq!(value("/3/0/14"), Some(Value::String("+04".to_owned())));
    assert_eq!(value("/19/0/0/1"), Some(Value::Opaque(vec![2].into())));
    assert_eq!(
        value("/19/0/0/25"),
        Some(Value::Opaque(vec![0x25, 0xad].into()))
    );
}

#[test]
fn l26_what_cannot_be_observed_together_is_logged_and_the_registration_stays() {
    let profile = composite_profile("COMPOSITE_ALL").replace("/3303_1.1/0/5700\"]", "/3_1.2/0\"]");
    let world = World::registered(&profile, 94);
    let line = "Failed to process observe requests. Possible profile misconfiguration.";
    assert!(
        world
            .posted("transportLog")
            .contains(&KeyValue::String(line.to_owned()))
    );
    assert_eq!(world.endpoint.summary().unwrap().observed, [""; 0]);
}

#[test]
fn p34_5_a_composite_notification_of_several_times_becomes_a_point_for_each() {
    let mut world = World::registered(&composite_profile("COMPOSITE_ALL"), 95);
    let received = world.now.wall;
    let observe = world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .find(|message| message.observe() == Some(0));
    let notification = Response {
        observe: Some(1_000),
        content_format: Some(ContentFormat::SENML_JSON),
        payload: r#"[{"bn":"/3303/0/5700","bt":1699999990,"v":20.5},{"t":5,"v":21.5},
            {"bn":"/3/0/9","bt":1699999995,"v":70},{"bn":"/3/0/9","bt":0,"v":69}]"#
            .into(),
        ..Response::new(Code::CONTENT)
    };
    let (kind, token) = (MessageType::Confirmable, observe.unwrap().token());
    let datagram = encode::response(&notification, kind, MessageId(900), token);
    let (known, sent) = (world.platform.uplinks.len(), world.sent_by_server.len());
    world.inject(peer(5683), datagram);
    world.run(seconds(1));
    let [uplink] = &world.platform.uplinks[known..] else {
        panic!("one message");
    };
    let Uplink::Telemetry {
        id: Some(_),
        readings,
        ..
    } = uplink
    else {
        panic!("{uplink:?}");
    };
    let mut points: Vec<_> = readings
        .iter()
        .flat_map(|own| own.values.iter().map(|(key, value)| (own.ts.0, key, value)))
        .map(|(ts, key, value)| format!("{ts} {key} {value:?}"))
        .collect();
    points.sort();
    assert_eq!(
        points,
        [
            "1699999990000 temperature Double(20.5)".to_owned(),
            "1699999995000 batteryLevel Long(70)".to_owned(),
            "1699999995000 temperature Double(21.5)".to_owned(),
            format!("{received} batteryLevel Long(69)"),
        ]
    );
    let answer = Message::parse(world.sent_by_server[sent].1.clone()).unwrap();
    assert_eq!(answer.message_type(), MessageType::Acknowledgement);
    assert_eq!(answer.message_id(), MessageId(900));
}
