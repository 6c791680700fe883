//! Send, and notifications that say when their values were taken (`device-lifecycle.md` 4.1 and 4.5).
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use lightship::{
    coap::{
        Code, ContentFormat, Message, MessageId, MessageType, Request, Response, Token, encode,
    },
    lwm2m::{
        format::{Sample, SampleTime},
        node::{Node, Resource},
        value::Value,
    },
    platform::{Outcome, Uplink, uplink::KeyValue},
    sim::SimEvent,
};

use crate::{
    PROFILE, seconds,
    world::{World, peer, rpc_request},
};

/// [`PROFILE`] and the second sensor.
fn profile() -> String {
    PROFILE
        .replace(
            r#""telemetry": ["#,
            r#""telemetry": ["/3303_1.1/12/5700", "/3_1.2/0/0", "#,
        )
        .replace(
            r#""keyName": {"#,
            r#""keyName": {"/3303_1.1/12/5700": "sensorValue12", "#,
        )
}

fn registered(seed: u8) -> World {
    World::registered(&profile(), seed)
}

/// A POST to `/dp`.
fn request(kind: MessageType, id: u16, format: Option<u16>, payload: &str) -> Bytes {
    let request = Request {
        method: Code::POST,
        path: vec!["dp".to_owned()],
        content_format: format.map(ContentFormat),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Request::default()
    };
    let token = Token::new(&id.to_be_bytes()).unwrap();
    encode::request(&request, kind, MessageId(id), token)
}

/// A confirmable Send of SenML JSON.
fn json(id: u16, payload: &str) -> Bytes {
    request(MessageType::Confirmable, id, Some(SENML_JSON), payload)
}

/// What the server sends with the token of message `id` within `time`, empty messages with its id included.
fn answers(world: &mut World, id: u16, datagram: Bytes, time: Duration) -> Vec<Message> {
    let before = world.sent_by_server.len();
    let token = Token::new(&id.to_be_bytes()).unwrap();
    world.inject(peer(5683), datagram);
    world.run(time);
    let sent = world.sent_by_server[before..].iter();
    sent.filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .filter(|message| {
            let is_empty = message.code().is_empty() && message.message_id() == MessageId(id);
            is_empty || message.token() == token
        })
        .collect()
}

/// The code and text of the one answer.
fn answer(world: &mut World, id: u16, datagram: Bytes) -> (Code, String) {
    let answers = answers(world, id, datagram, seconds(1));
    assert_eq!(answers.len(), 1, "{answers:?}");
    let answer = answers.first().unwrap();
    let text = answer.diagnostic().unwrap_or_default().to_owned();
    (answer.code(), text)
}

/// The points of a time series for which a device waited: ms since 1970, value.
fn points(world: &World, key: &str) -> Vec<(i64, KeyValue)> {
    let mut found = Vec::new();
    for uplink in &world.platform.uplinks {
        if let Uplink::Telemetry {
            id: Some(_),
            readings,
            ..
        } = uplink
        {
            for own in readings {
                let values = own.values.iter().filter(|(name, _)| name == key);
                found.extend(values.map(|(_, value)| (own.ts.0, value.clone())));
            }
        }
    }
    found
}

fn float(value: f64) -> KeyValue {
    KeyValue::Double(value)
}

const SENML_JSON: u16 = 110;
const TEMPERATURE: &str = r#"[{"n":"/3303/12/5700","v":25.05}]"#;

#[test]
fn l06_two_records_at_two_times_become_two_points_of_one_message() {
    let mut world = registered(100);
    let sends = |world: &World| {
        world.count(|uplink| matches!(uplink, Uplink::Telemetry { id: Some(_), .. }))
    };
    let before = sends(&world);
    let payload = r#"[{"bn":"/3303/12/5700","bt":1699999990,"v":25.05},{"t":3,"v":35.12}]"#;
    let answer = answer(&mut world, 900, json(900, payload));
    assert_eq!(answer, (Code::CHANGED, String::new()));
    assert_eq!(
        points(&world, "sensorValue12"),
        [
            (1_699_999_990_000, float(25.05)),
            (1_699_999_993_000, float(35.12))
        ]
    );
    assert_eq!(sends(&world), before + 1);
    assert_eq!(world.endpoint.stats().sends, 1);
}

#[test]
fn l07_a_value_of_an_instance_that_is_not_registered_refuses_the_whole_message() {
    let mut world = registered(101);
    for (id, payload, text) in [
        (
            900,
            r#"[{"n":"/3303/12/5700","v":25.05},{"n":"/3303/99/5700","v":1}]"#,
            "object instance /3303/99 not registered",
        ),
        (
            901,
            r#"[{"n":"/3304/0/5700","v":25.05}]"#,
            "object instance /3304/0 not registered",
        ),
    ] {
        let answer = answer(&mut world, id, json(id, payload));
        assert_eq!(answer, (Code::NOT_FOUND, text.to_owned()));
    }
    assert_eq!(points(&world, "sensorValue12"), []);
    assert_eq!(world.endpoint.stats().refused_sends, 2);
}

#[test]
fn l08_a_send_from_an_unknown_address_gets_4_00() {
    let mut world = registered(102);
    world.inject(peer(6000), json(900, TEMPERATURE));
    world.run(seconds(1));
    let (_, last) = world.sent_by_server.last().unwrap();
    let answer = Message::parse(last.clone()).unwrap();
    assert_eq!(answer.code(), Code::BAD_REQUEST);
    assert_eq!(answer.diagnostic(), Some("no registration found"));
    assert_eq!(points(&world, "sensorValue12"), []);
}

#[test]
fn p34_6_a_send_in_senml_cbor_is_answered_2_04() {
    let mut world = registered(103);
    let frame = "41 02 70 02 b1 b2 64 70 11 70 ff 81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0";
    let frame: Bytes = frame
        .split(' ')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    world.inject(peer(5683), frame);
    world.run(seconds(1));
    let (_, last) = world.sent_by_server.last().unwrap();
    assert_eq!(last[..], [0x61, 0x44, 0x70, 0x02, 0xb1]);
    let now = world.now.wall.0 - 1000;
    assert_eq!(
        points(&world, "temperature").last(),
        Some(&(now, float(22.5)))
    );
}

#[test]
fn p34_6_a_send_of_the_simulated_device_arrives() {
    let mut world = registered(104);
    let path = "/3303/12/5700".parse().unwrap();
    let sample = |time, value| Sample {
        time,
        nodes: vec![(
            path,
            Node::Resource(Resource::single(5700, Value::Float(value))),
        )],
    };
    for (format, first) in [
        (ContentFormat::SENML_CBOR, 1.5),
        (ContentFormat::SENML_JSON, 3.5),
    ] {
        let samples = [
            sample(Some(SampleTime::At(1_600_000_000_000)), first),
            sample(None, first + 1.0),
        ];
        world.device.send(world.now.mono, format, &samples).unwrap();
        world.run(seconds(1));
        assert_eq!(world.events.last(), Some(&SimEvent::Sent));
        let (now, then) = (world.now.wall.0 - 980, 1_600_000_000_000);
        let points = points(&world, "sensorValue12");
        assert_eq!(
            points[points.len() - 2..],
            [(then, float(first)), (now, float(first + 1.0))]
        );
    }
}

#[test]
fn a45_a_send_in_an_unknown_format_or_without_one_gets_4_00_and_is_counted() {
    let mut world = registered(105);
    for (id, format) in [(900, None), (901, Some(64_999)), (902, Some(0))] {
        let datagram = request(MessageType::Confirmable, id, format, TEMPERATURE);
        let refusal = (Code::BAD_REQUEST, "Unsupported content format".to_owned());
        assert_eq!(answer(&mut world, id, datagram), refusal);
    }
    for (id, payload) in [
        (903, "[{"),
        (904, ""),
        (905, r#"[{"n":"/3303/12/5700","vs":"warm"}]"#),
    ] {
        let refusal = (Code::BAD_REQUEST, "Invalid Payload".to_owned());
        assert_eq!(answer(&mut world, id, json(id, payload)), refusal);
    }
    assert_eq!(points(&world, "sensorValue12"), []);
    assert_eq!(world.endpoint.stats().undecodable, 6);
}

#[test]
fn a_value_that_cannot_be_read_does_not_cost_its_neighbours() {
    let mut world = registered(106);
    let payload = r#"[{"n":"/3303/0/5700","vs":"warm"},{"n":"/3303/12/5700","v":25.05}]"#;
    assert_eq!(answer(&mut world, 900, json(900, payload)).0, Code::CHANGED);
    assert_eq!(points(&world, "sensorValue12").len(), 1);
    assert_eq!(world.endpoint.stats().undecodable, 1);
}

#[test]
fn p34_6_a_send_in_lwm2m_cbor_is_answered_2_04() {
    let mut world = registered(125);
    // {3303: {12: {5700: 25.5}}}
    let payload: &[u8] = b"\xa1\x19\x0c\xe7\xa1\x0c\xa1\x19\x16\x44\xf9\x4e\x60";
    let request = Request {
        method: Code::POST,
        path: vec!["dp".to_owned()],
        content_format: Some(ContentFormat::LWM2M_CBOR),
        payload: payload.into(),
        ..Request::default()
    };
    let token = Token::new(&900_u16.to_be_bytes()).unwrap();
    let datagram = encode::request(&request, MessageType::Confirmable, MessageId(900), token);
    assert_eq!(answer(&mut world, 900, datagram).0, Code::CHANGED);
    let (_, value) = &points(&world, "sensorValue12")[0];
    assert_eq!(*value, float(25.5));
}

#[test]
fn p34_6_a_send_that_waits_while_the_device_moves_is_answered_where_it_is() {
    let mut world = registered(126);
    world.platform.delay = seconds(4);
    world
        .device
        .send_path(world.now.mono, "/3303/12/5700".parse().unwrap());
    world.run(seconds(1));
    world.peer = peer(6001);
    world.device.update(world.now.mono);
    world.run(seconds(5));
    assert!(world.events.contains(&SimEvent::Sent), "{:?}", world.events);
    assert_eq!(points(&world, "sensorValue12").len(), 1);
    assert_eq!(world.endpoint.unfinished(), 0);
}

#[test]
fn p34_6_a_send_that_maps_to_nothing_is_answered_2_04() {
    let mut world = registered(107);
    let payload = r#"[{"n":"/3/0/14","vs":"+01:00"}]"#;
    assert_eq!(answer(&mut world, 900, json(900, payload)).0, Code::CHANGED);
    assert_eq!(world.endpoint.stats().unmapped_sends, 1);
}

#[test]
fn p34_6_a_send_is_answered_when_the_platform_has_its_values() {
    let mut world = registered(108);
    world.platform.delay = seconds(4);
    let answers = answers(&mut world, 900, json(900, TEMPERATURE), seconds(5));
    let [acknowledgement, answer, ..] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(acknowledgement.message_type(), MessageType::Acknowledgement);
    assert!(acknowledgement.code().is_empty());
    assert_eq!(answer.message_type(), MessageType::Confirmable);
    assert_eq!(answer.code(), Code::CHANGED);
}

#[test]
fn p34_6_a_non_confirmable_send_is_answered_non_confirmably() {
    let mut world = registered(109);
    world.platform.delay = seconds(4);
    let datagram = request(
        MessageType::NonConfirmable,
        900,
        Some(SENML_JSON),
        TEMPERATURE,
    );
    let answers = answers(&mut world, 900, datagram, seconds(5));
    let [answer] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(answer.message_type(), MessageType::NonConfirmable);
    assert_eq!(answer.code(), Code::CHANGED);
}

#[test]
fn a23_a_send_that_comes_twice_is_published_once() {
    let mut world = registered(110);
    for kind in [MessageType::Confirmable, MessageType::NonConfirmable] {
        world.platform.delay = seconds(2);
        let id = 900 + kind as u16;
        let before = points(&world, "sensorValue12").len();
        for _ in 0..4 {
            world.inject(peer(5683), request(kind, id, Some(SENML_JSON), TEMPERATURE));
            world.run(seconds(1));
        }
        world.run(seconds(3));
        assert_eq!(points(&world, "sensorValue12").len(), before + 1);
    }
}

#[test]
fn a_send_that_cannot_be_stored_gets_5_03_with_max_age() {
    let mut world = registered(111);
    world.platform.outcome = Outcome::Unavailable;
    let answers = answers(&mut world, 900, json(900, TEMPERATURE), seconds(1));
    let [answer] = answers.as_slice() else {
        panic!("{answers:?}");
    };
    assert_eq!(answer.code(), Code::SERVICE_UNAVAILABLE);
    assert_eq!(answer.max_age(), Some(10));
    assert_eq!(world.endpoint.stats().unavailable_sends, 1);
}

#[test]
fn a_send_gets_5_03_after_ten_seconds_and_a_late_outcome_changes_nothing() {
    let mut world = registered(112);
    world.platform.delay = seconds(30);
    let first = answers(
        &mut world,
        900,
        json(900, TEMPERATURE),
        Duration::from_millis(9_900),
    );
    assert!(
        first.iter().all(|message| message.code().is_empty()),
        "{first:?}"
    );
    let before = world.sent_by_server.len();
    world.run(Duration::from_millis(200));
    let (_, last) = &world.sent_by_server[before];
    let answer = Message::parse(last.clone()).unwrap();
    assert_eq!(answer.code(), Code::SERVICE_UNAVAILABLE);
    assert_eq!(answer.max_age(), Some(10));
    let acknowledgement = encode::empty(MessageType::Acknowledgement, answer.message_id());
    world.inject(peer(5683), acknowledgement);
    let before = world.sent_by_server.len();
    world.run(seconds(30));
    assert_eq!(world.sent_by_server.len(), before);
    assert_eq!(world.endpoint.unfinished(), 0);
}

#[test]
fn a_send_waits_for_the_object_models() {
    let mut world = World::new(&profile(), 113);
    world.platform.delay = seconds(1);
    world.device.register(world.now.mono);
    world.run(Duration::from_millis(1_500));
    assert!(world.device.is_registered());
    let received = world.now.wall.0;
    let answers = answers(&mut world, 900, json(900, TEMPERATURE), seconds(3));
    assert_eq!(answers.last().unwrap().code(), Code::CHANGED);
    assert_eq!(points(&world, "sensorValue12")[0], (received, float(25.05)));

    let mut world = World::new(&profile(), 113);
    world.platform.models_unavailable = true;
    world.device.register(world.now.mono);
    world.run(seconds(1));
    let answers = self::answers(&mut world, 900, json(900, TEMPERATURE), seconds(11));
    let answer = answers.iter().find(|message| !message.code().is_empty());
    assert_eq!(answer.unwrap().code(), Code::SERVICE_UNAVAILABLE);
    assert_eq!(points(&world, "sensorValue12"), []);
}

#[test]
fn a_send_of_objects_whose_models_are_known_does_not_wait_for_others() {
    let mut world = registered(124);
    world.platform.models_unavailable = true;
    let id = world.endpoint.summary().unwrap().registration;
    let update = Request {
        method: Code::POST,
        path: vec!["rd".to_owned(), id],
        content_format: Some(ContentFormat::LINK),
        payload: "</3>;ver=1.2,</3/0>,</3303>;ver=1.1,</3303/0>,</3303/12>,</3304/0>".into(),
        ..Request::default()
    };
    let token = Token::new(&[9]).unwrap();
    let kind = MessageType::Confirmable;
    world.inject(
        peer(5683),
        encode::request(&update, kind, MessageId(899), token),
    );
    world.run(seconds(1));
    assert_eq!(
        answer(&mut world, 900, json(900, TEMPERATURE)).0,
        Code::CHANGED
    );
    let humidity = r#"[{"n":"/3304/0/5700","v":40}]"#;
    let answers = answers(&mut world, 901, json(901, humidity), seconds(11));
    let answer = answers.iter().find(|message| !message.code().is_empty());
    assert_eq!(answer.unwrap().code(), Code::SERVICE_UNAVAILABLE);
}

#[test]
fn a_send_that_meets_the_end_of_the_registration_gets_5_03() {
    let mut world = registered(114);
    world.platform.delay = seconds(30);
    world.inject(peer(5683), json(900, TEMPERATURE));
    world.run(seconds(1));
    let before = world.sent_by_server.len();
    world.device.deregister(world.now.mono);
    world.run(seconds(1));
    let codes: Vec<_> = world.sent_by_server[before..]
        .iter()
        .map(|(_, datagram)| Message::parse(datagram.clone()).unwrap().code())
        .collect();
    assert_eq!(codes, [Code::SERVICE_UNAVAILABLE, Code::DELETED]);
}

#[test]
fn values_of_instances_are_joined_with_their_resource() {
    let mut world = registered(115);
    let payload = r#"[{"bn":"/3/0/6/","n":"1","v":7},{"n":"4","v":2}]"#;
    assert_eq!(answer(&mut world, 900, json(900, payload)).0, Code::CHANGED);
    assert_eq!(
        world.posted("powerSources").last(),
        Some(&KeyValue::Json(r#"{"0":1,"1":7,"4":2}"#.to_owned()))
    );
}

#[test]
fn attributes_get_the_newest_value_of_a_send() {
    let mut world = registered(116);
    let before = world.posted("manufacturer").len();
    let payload = r#"[{"n":"/3/0/0","bt":1699999990,"vs":"old"},{"n":"/3/0/0","t":5,"vs":"new"}]"#;
    assert_eq!(answer(&mut world, 900, json(900, payload)).0, Code::CHANGED);
    let text = |text: &str| KeyValue::String(text.to_owned());
    let is_attribute = |uplink: &&Uplink| matches!(uplink, Uplink::Attributes { .. });
    let attributes = world.platform.uplinks.iter().rev().find(is_attribute);
    let Some(Uplink::Attributes { values, .. }) = attributes else {
        panic!("no attributes");
    };
    assert_eq!(*values, [("manufacturer".to_owned(), text("new"))]);
    assert_eq!(world.posted("manufacturer").len(), before + 3);
    assert_eq!(
        points(&world, "manufacturer"),
        [
            (1_699_999_990_000, text("old")),
            (1_699_999_995_000, text("new"))
        ]
    );
}

#[test]
fn a40_a_time_that_cannot_be_becomes_the_servers_clock_and_is_counted() {
    let mut world = registered(117);
    for (id, time) in [
        (900, "4294967296"),
        (901, "-3155673600"),
        (902, "9007199254740992"),
    ] {
        let received = world.now.wall.0;
        let payload = format!(r#"[{{"n":"/3303/12/5700","t":{time},"v":1}}]"#);
        assert_eq!(answer(&mut world, id, json(id, &payload)).0, Code::CHANGED);
        let points = points(&world, "sensorValue12");
        assert_eq!(points.last(), Some(&(received, float(1.0))), "{time}");
    }
    assert_eq!(world.endpoint.stats().implausible_times, 3);
}

#[test]
fn a40_a_relative_time_counts_from_receipt() {
    let mut world = registered(118);
    let received = world.now.wall.0;
    let payload = r#"[{"n":"/3303/12/5700","t":-60,"v":1}]"#;
    assert_eq!(answer(&mut world, 900, json(900, payload)).0, Code::CHANGED);
    assert_eq!(
        points(&world, "sensorValue12"),
        [(received - 60_000, float(1.0))]
    );
}

#[test]
fn a29_loss_jitter_and_duplication_publish_no_send_twice_and_lose_none_that_was_answered() {
    let mut answered = 0;
    for seed in 0..10 {
        let mut world = registered(seed);
        world.network.loss = 20;
        world.network.duplication = 10;
        world.network.jitter = Duration::from_millis(500);
        // The message layer acknowledges by itself meanwhile.
        world.platform.delay = seconds(2);
        let path = "/3303/12/5700".parse().unwrap();
        for step in 0..30_i32 {
            let value = f64::from(step) + 100.0;
            let before = world.events.len();
            let node = Node::Resource(Resource::single(5700, Value::Float(value)));
            let sample = Sample {
                time: None,
                nodes: vec![(path, node)],
            };
            let format = ContentFormat::SENML_CBOR;
            world
                .device
                .send(world.now.mono, format, &[sample])
                .unwrap();
            world.run(seconds(130));
            let points = points(&world, "sensorValue12");
            let times = points
                .iter()
                .filter(|(_, own)| *own == float(value))
                .count();
            let taken = world.events[before..].contains(&SimEvent::Sent);
            assert!(
                times == 1 || (times == 0 && !taken),
                "seed {seed}, {value}: {times}"
            );
            answered += usize::from(taken);
        }
    }
    assert!(answered >= 290, "only {answered} of 300 got through");
}

#[test]
fn a17_garbage_in_a_send_changes_nothing() {
    let mut world = registered(123);
    let mut random = lightship::coap::Random::from_seed([8; 32]);
    for number in 0..5_000_u16 {
        let mut garbage = vec![0; usize::try_from(random.uniform(0..=64)).unwrap()];
        random.fill(&mut garbage);
        let formats = [110, 112, 11_543, 11_544, 60];
        let request = Request {
            method: Code::POST,
            path: vec!["dp".to_owned()],
            content_format: Some(ContentFormat(formats[usize::from(number % 5)])),
            payload: garbage.into(),
            ..Request::default()
        };
        let token = Token::new(&number.to_be_bytes()).unwrap();
        let kind = MessageType::NonConfirmable;
        world.inject(
            peer(5683),
            encode::request(&request, kind, MessageId(number), token),
        );
        world.run(Duration::from_millis(100));
    }
    assert_eq!(
        answer(&mut world, 9_000, json(9_000, TEMPERATURE)).0,
        Code::CHANGED
    );
    assert_eq!(points(&world, "sensorValue12").len(), 1);
}

#[test]
fn p35_2_a_send_wakes_a_device_up() {
    let mut world = World::in_queue_mode(&profile(), 119);
    world.device.register(world.now.mono);
    world.run(seconds(100));
    world.rpc_with(rpc_request(1, "Read", r#"{"id":"/3_1.2/0/9"}"#));
    world.run(seconds(1));
    assert_eq!(world.rpc_history(1), [] as [&str; 0]);
    assert!(
        world
            .device
            .send_path(world.now.mono, "/3303/12/5700".parse().unwrap())
    );
    world.run(seconds(2));
    assert_eq!(world.rpc_history(1).len(), 3);
    assert!(world.events.contains(&SimEvent::Sent));
}

/// A confirmable notification of the temperature in SenML JSON; what the server sends to it within a second.
fn notify(world: &mut World, id: u16, observe: u32, payload: &'static str) -> Vec<Message> {
    let is_observe = |message: &Message| {
        message.observe() == Some(0) && message.uri_path().eq(["3303", "0", "5700"])
    };
    let mut sent = world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok());
    let token = sent.find(is_observe).unwrap().token();
    let notification = Response {
        observe: Some(observe),
        content_format: Some(ContentFormat::SENML_JSON),
        payload: payload.into(),
        ..Response::new(Code::CONTENT)
    };
    let kind = MessageType::Confirmable;
    let datagram = encode::response(&notification, kind, MessageId(id), token);
    answers(world, id, datagram, seconds(1))
}

#[test]
fn p34_5_a_notification_of_several_times_becomes_a_point_for_each() {
    let mut world = registered(120);
    let received = world.now.wall.0;
    let before = points(&world, "temperature").len();
    let history = r#"[{"bn":"/3303/0/5700","bt":1699999990,"v":20.5},{"t":5,"v":21.5}]"#;
    assert_eq!(notify(&mut world, 900, 1_000, history).len(), 1);
    let plain = r#"[{"bn":"/3303/0/5700","v":22.5}]"#;
    assert_eq!(notify(&mut world, 901, 1_001, plain).len(), 1);
    assert_eq!(
        points(&world, "temperature")[before..],
        [
            (1_699_999_990_000, float(20.5)),
            (1_699_999_995_000, float(21.5)),
            (received + 1000, float(22.5))
        ]
    );
}

#[test]
fn a52_an_out_of_order_notification_counts_only_as_far_as_it_states_its_times() {
    let mut world = registered(121);
    let newest = r#"[{"bn":"/3303/0/5700","v":22.5}]"#;
    notify(&mut world, 900, 1_005, newest);
    let before = points(&world, "temperature").len();
    let undated = r#"[{"bn":"/3303/0/5700","v":1}]"#;
    assert_eq!(notify(&mut world, 901, 1_003, undated).len(), 1);
    // A time of zero is none.
    let undated = r#"[{"bn":"/3303/0/5700","t":0,"v":1}]"#;
    assert_eq!(notify(&mut world, 903, 1_002, undated).len(), 1);
    assert_eq!(points(&world, "temperature").len(), before);
    assert_eq!(world.endpoint.stats().coap.stale_notifications, 2);
    let dated = r#"[{"bn":"/3303/0/5700","bt":1699999990,"v":20.5}]"#;
    assert_eq!(notify(&mut world, 902, 1_004, dated).len(), 1);
    assert_eq!(
        points(&world, "temperature")[before..],
        [(1_699_999_990_000, float(20.5))]
    );
    let summary = world.endpoint.summary().unwrap();
    let last = summary.values.iter().find(|own| own.path == "/3303/0/5700");
    assert_eq!(last.unwrap().value, "22.5", "not the latest value");
}

#[test]
fn a52_an_out_of_order_notification_is_acknowledged_when_its_values_are_durable() {
    let mut world = registered(122);
    notify(
        &mut world,
        900,
        1_005,
        r#"[{"bn":"/3303/0/5700","v":22.5}]"#,
    );
    world.platform.outcome = Outcome::Unavailable;
    let dated = r#"[{"bn":"/3303/0/5700","bt":1699999990,"v":20.5}]"#;
    assert_eq!(notify(&mut world, 901, 1_004, dated).len(), 0);
    world.platform.outcome = Outcome::Durable;
    assert_eq!(notify(&mut world, 901, 1_004, dated).len(), 1);
}
