//! Notifications as devices may send them, beside those of the simulated one.

use std::time::Duration;

use bytes::Bytes;
use lightship::{
    coap::{
        Code, ContentFormat, Message, MessageId, MessageType, RateLimit, Response, Token, encode,
    },
    lwm2m::value::Value,
    platform::{Outcome, uplink::KeyValue},
};

use crate::{
    PROFILE, requests, seconds,
    world::{World, peer},
};

/// The token with which the server observes the temperature.
fn token(world: &World) -> Token {
    let observe = world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .find(|message| {
            message.observe() == Some(0) && message.uri_path().eq(["3303", "0", "5700"])
        });
    observe.expect("the profile observes it").token()
}

fn temperature(celsius: &'static str) -> Response {
    Response {
        content_format: Some(ContentFormat::TEXT),
        payload: celsius.into(),
        ..Response::new(Code::CONTENT)
    }
}

/// Sends a confirmable message with this token as the device; what the server sends within a second.
fn notify(world: &mut World, id: u16, token: Token, notification: &Response) -> Vec<Message> {
    let before = world.sent_by_server.len();
    let datagram = encode::response(notification, MessageType::Confirmable, MessageId(id), token);
    world.inject(peer(5683), datagram);
    world.run(seconds(1));
    let sent = world.sent_by_server.split_off(before);
    sent.into_iter()
        .filter_map(|(_, datagram): (_, Bytes)| Message::parse(datagram).ok())
        .filter(|message| message.message_id() == MessageId(id))
        .collect()
}

fn types(messages: &[Message]) -> Vec<MessageType> {
    messages.iter().map(Message::message_type).collect()
}

#[test]
fn o5_an_error_ends_the_observation_and_is_acknowledged() {
    let mut world = World::registered(PROFILE, 61);
    let token = token(&world);
    let gone = Response::new(Code::NOT_FOUND);
    let answer = notify(&mut world, 9000, token, &gone);
    assert_eq!(types(&answer), [MessageType::Acknowledgement]);
    assert_eq!(
        world.posted("transportLog").last(),
        Some(&KeyValue::String(
            "error: Single Observation Cancel: /3303/0/5700: NOT_FOUND(404)".to_owned()
        ))
    );
    let answer = notify(&mut world, 9001, token, &temperature("40.5"));
    assert_eq!(types(&answer), [MessageType::Reset]);
}

#[test]
fn o5_a_value_without_observe_is_the_last_one_and_reported_before_it_is_acknowledged() {
    let mut world = World::registered(PROFILE, 62);
    let token = token(&world);
    world.platform.outcome = Outcome::Unavailable;
    let answer = notify(&mut world, 9000, token, &temperature("40.5"));
    assert_eq!(types(&answer), []);
    let mut world = World::registered(PROFILE, 62);
    let answer = notify(&mut world, 9000, token, &temperature("40.5"));
    assert_eq!(types(&answer), [MessageType::Acknowledgement]);
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(40.5))
    );
    let answer = notify(&mut world, 9001, token, &temperature("41.5"));
    assert_eq!(types(&answer), [MessageType::Reset]);
}

#[test]
fn o5_a_last_value_that_cannot_be_read_ends_the_observation_too() {
    let mut world = World::registered(PROFILE, 64);
    let token = token(&world);
    let answer = notify(&mut world, 9000, token, &temperature(""));
    assert_eq!(types(&answer), [MessageType::Acknowledgement]);
    world.rpc(1, "ObserveReadAll", "null");
    world.run(seconds(1));
    let left = r#"{"result":"CONTENT","value":"[\"SingleObservation:/3/0/9\"]"}"#;
    assert_eq!(world.rpc_history(1), ["DELIVERED", left]);
}

#[test]
fn a45_an_unknown_format_or_nothing_at_all_is_no_value() {
    let mut world = World::registered(PROFILE, 63);
    let token = token(&world);
    let unknown_format = Response {
        observe: Some(1_001),
        content_format: Some(ContentFormat(64_999)),
        ..temperature("41.5")
    };
    let empty = Response {
        observe: Some(1_002),
        ..temperature("")
    };
    for (id, notification) in [(9001, unknown_format), (9002, empty)] {
        let answer = notify(&mut world, id, token, &notification);
        assert_eq!(types(&answer), [MessageType::Acknowledgement]);
    }
    assert_eq!(world.posted("temperature"), [KeyValue::Double(21.5)]);
    assert_eq!(world.endpoint.stats().undecodable, 2);
}

#[test]
fn a_notification_whose_observation_is_cancelled_meanwhile_is_acknowledged_when_it_is_durable() {
    for (outcome, expected) in [
        (Outcome::Durable, [MessageType::Acknowledgement].as_slice()),
        (Outcome::Unavailable, &[]),
    ] {
        let mut world = World::registered(PROFILE, 64);
        let token = token(&world);
        world.platform.delay = seconds(3);
        world.platform.outcome = outcome;
        let reading = Response {
            observe: Some(1_000),
            ..temperature("40.5")
        };
        assert_eq!(types(&notify(&mut world, 9000, token, &reading)), []);
        world.rpc(1, "ObserveCancel", r#"{"id":"/3303_1.1/0/5700"}"#);
        let before = world.sent_by_server.len();
        world.run(seconds(5));
        let sent = world.sent_by_server[before..].iter();
        let answers: Vec<_> = sent
            .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
            .filter(|message| message.message_id() == MessageId(9000))
            .collect();
        assert_eq!(types(&answers), expected, "{outcome:?}");
        assert_eq!(
            world.posted("temperature").last(),
            Some(&KeyValue::Double(40.5))
        );
        assert_eq!(world.endpoint.unfinished(), 0);
    }
}

#[test]
fn the_observation_of_an_instance_that_a_command_deletes_ends_and_its_values_are_forgotten() {
    let mut world = World::registered(PROFILE, 65);
    world.rpc(1, "Observe", r#"{"id":"/19_1.1/0/0"}"#);
    world.run(seconds(1));
    world.rpc(2, "Delete", r#"{"id":"/19_1.1/0"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(2),
        ["SENT", "DELIVERED", r#"{"result":"DELETED"}"#]
    );
    let summary = world.endpoint.summary().unwrap();
    assert!(!summary.observed.contains(&"/19/0/0".to_owned()));
    assert!(!summary.values.iter().any(|own| own.path == "/19/0/0"));
    let line = "error: Single Observation Cancel: /19/0/0: NOT_FOUND(404)".to_owned();
    assert!(
        world
            .posted("transportLog")
            .contains(&KeyValue::String(line))
    );
    world.rpc(3, "ObserveCancel", r#"{"id":"/19_1.1/0/0"}"#);
    world.run(seconds(1));
    assert!(world.rpc_history(3)[0].contains("BAD_REQUEST"));
}

#[test]
fn observations_that_commands_made_are_made_again_after_an_outage_too() {
    let profile = PROFILE.replacen(r#", "/3303_1.1/0/5700"],"#, "],", 1);
    let mut world = World::registered(&profile, 66);
    let ids = r#"{"ids":["/19_1.1/0/0","/3_1.2/0/14"]}"#;
    world.rpc(1, "Observe", r#"{"id":"/3303_1.1/0/5700"}"#);
    world.rpc(2, "ObserveComposite", ids);
    world.run(seconds(1));
    world.platform.outcome = Outcome::Unavailable;
    let before = requests(&world).len();
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(seconds(100));
    world.platform.outcome = Outcome::Durable;
    let mut again = requests(&world).split_off(before);
    again.sort();
    assert_eq!(
        again,
        [
            "FETCH / observe=0",
            "GET /3/0/9 observe=0",
            "GET /3303/0/5700 observe=0"
        ]
    );
    world.set("/3303/0/5700", Value::Float(23.0));
    world.run(seconds(1));
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(23.0))
    );
}

#[test]
fn attributes_of_a_profile_that_do_not_belong_to_their_path_are_not_written() {
    let profile = PROFILE.replace(
        r#""attributeLwm2m": {"#,
        r#""attributeLwm2m": {"/3_1.2/0": {"gt": 5.0},"#,
    );
    let world = World::registered(&profile, 67);
    let written: Vec<_> = requests(&world)
        .into_iter()
        .filter(|request| request.starts_with("PUT"))
        .collect();
    assert_eq!(written, ["PUT /3/0/9?pmax=300&pmin=10&st=5"]);
    let line = "Failed to process write attribute requests. Possible profile misconfiguration.";
    assert!(
        world
            .posted("transportLog")
            .contains(&KeyValue::String(line.to_owned()))
    );
}

#[test]
fn a51_a_storm_of_notifications_is_cut_to_the_rate_of_one_device_and_no_value_is_merged() {
    let mut world = World::with(PROFILE, 68, |settings| {
        settings.rate = Some(RateLimit::new(100, 200));
    });
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let token = token(&world);
    let before = world.posted("temperature").len();
    for number in 0..1_000_u16 {
        let reading = Response {
            observe: Some(1_000 + u32::from(number)),
            ..temperature("40.5")
        };
        let (kind, id) = (MessageType::NonConfirmable, MessageId(9_000 + number));
        world.inject(peer(5683), encode::response(&reading, kind, id, token));
        world.run(Duration::from_millis(1));
    }
    let posted = world.posted("temperature").len() - before;
    // The burst, and 100 in that second.
    assert!((298..=302).contains(&posted), "{posted}");
    assert_eq!(
        world.endpoint.stats().limited,
        1_000 - u64::try_from(posted).unwrap()
    );
    // One that is confirmable is not acknowledged, and gets through when it comes again.
    let reading = Response {
        observe: Some(3_000),
        ..temperature("41.5")
    };
    let datagram = encode::response(&reading, MessageType::Confirmable, MessageId(100), token);
    let mut limited = world.endpoint.stats().limited;
    let ping = encode::empty(MessageType::Confirmable, MessageId(99));
    while world.endpoint.stats().limited == limited {
        world.inject(peer(5683), ping.clone());
    }
    limited = world.endpoint.stats().limited;
    world.inject(peer(5683), datagram);
    assert_eq!(world.endpoint.stats().limited, limited + 1);
    world.run(seconds(2));
    let answer = notify(&mut world, 100, token, &reading);
    assert_eq!(types(&answer), [MessageType::Acknowledgement]);
    assert_eq!(
        world.posted("temperature").last(),
        Some(&KeyValue::Double(41.5))
    );
}

#[test]
fn a_notification_that_overtakes_the_answer_to_observe_waits_for_the_platform() {
    let mut world = World::registered(PROFILE, 72);
    world.network.cut = true;
    world.rpc(1, "Observe", r#"{"id":"/3303_1.1/0/5700"}"#);
    world.run(seconds(1));
    let (_, observe) = world.sent_by_server.last().unwrap();
    let observe = Message::parse(observe.clone()).unwrap();
    assert_eq!((observe.code(), observe.observe()), (Code::GET, Some(0)));
    let first = Response {
        observe: Some(1),
        ..temperature("23.5")
    };
    world.network.cut = false;
    world.platform.outcome = Outcome::Unavailable;
    let sent = notify(&mut world, 40_000, observe.token(), &first);
    assert_eq!(types(&sent), []);
    assert_eq!(world.rpc_history(1).len(), 3, "it answers all the same");
    world.platform.outcome = Outcome::Durable;
    let before = world.posted("temperature").len();
    let sent = notify(&mut world, 40_000, observe.token(), &first);
    assert_eq!(types(&sent), [MessageType::Acknowledgement]);
    assert_eq!(
        world.posted("temperature")[before..],
        [KeyValue::Double(23.5)]
    );
}
