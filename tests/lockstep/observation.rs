//! Notifications as devices may send them, beside those of the simulated one.

use bytes::Bytes;
use lightship::{
    coap::{Code, ContentFormat, Message, MessageId, MessageType, Response, Token, encode},
    platform::{Outcome, uplink::KeyValue},
};

use crate::{
    PROFILE, seconds,
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
