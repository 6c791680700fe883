//! Registrations that meet each other: new ones beside old ones, old peers beside new ones, ends in the middle of work.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use lightship::{
    coap::{
        Block, Code, Message, MessageId, MessageType, RateLimit, Request, Response, Token, encode,
    },
    endpoint::{CloseReason, Endpoint, EndpointName, EndpointSettings, Key},
    lwm2m::value::Value,
    platform::{
        Downlink, Question, Uplink,
        credentials::ClientCredentials,
        peer::{Peer, PeerIdentity},
        uplink::KeyValue,
    },
    sim::SimEvent,
};

use crate::{
    PROFILE, requests, seconds,
    world::{World, admission, as_peer, peer, rpc_request},
};

fn datagram(id: u16, token: u8, request: &Request) -> Bytes {
    let token = Token::new(&[token]).unwrap_or_default();
    encode::request(request, MessageType::Confirmable, MessageId(id), token)
}

fn register(id: u16, token: u8) -> Bytes {
    datagram(
        id,
        token,
        &Request {
            method: Code::POST,
            path: vec!["rd".to_owned()],
            query: vec!["ep=dev1".to_owned(), "lwm2m=1.1".to_owned()],
            payload: "</3>;ver=1.2,</3/0>".into(),
            ..Request::default()
        },
    )
}

fn at_registration(method: Code, registration: &str, payload: &'static str) -> Request {
    Request {
        method,
        path: vec!["rd".to_owned(), registration.to_owned()],
        payload: payload.into(),
        ..Request::default()
    }
}

/// Answers of the server with their tokens, in order.
fn answers(world: &World) -> Vec<(Vec<u8>, Code)> {
    world
        .sent_by_server
        .iter()
        .filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .filter(|message| message.code().is_response())
        .map(|message| (message.token().as_bytes().to_vec(), message.code()))
        .collect()
}

fn registration_id(world: &World) -> String {
    let id = world.bound.iter().find_map(|key| match key {
        Key::Registration(id, _) => Some(id.to_string()),
        Key::Package(..) | Key::Peer(_) | Key::Session(_) => None,
    });
    id.expect("a registration is in force")
}

fn is_opened(uplink: &Uplink) -> bool {
    matches!(uplink, Uplink::SessionOpened { .. })
}

fn is_closed(uplink: &Uplink) -> bool {
    matches!(uplink, Uplink::SessionClosed { .. })
}

#[test]
fn c11_a_register_from_another_peer_is_no_repetition_of_the_last_device_there() {
    let mut world = World::registered(PROFILE, 31);
    world.device.deregister(world.now.mono);
    world.run(seconds(1));
    let again = world.sent_by_device.first().unwrap().1.clone();
    world.inject(peer(7000), again);
    world.run(seconds(1));
    assert_eq!(
        world.count(is_opened),
        2,
        "the message id came from another peer before"
    );
    assert!(world.bound.contains(&Key::Peer(peer(7000))));
    assert!(!world.bound.contains(&Key::Peer(peer(5683))));
    world.run(seconds(60));
    assert_eq!(world.closed, None, "the new registration is in force");
}

#[test]
fn c11_the_peer_leads_to_the_endpoint_while_its_deregister_may_be_repeated() {
    let mut world = World::registered(PROFILE, 32);
    world.device.deregister(world.now.mono);
    world.run(seconds(40));
    assert_eq!(world.bound, [Key::Peer(peer(5683))]);
    world.run(seconds(10));
    assert_eq!(world.bound, []);
    assert_eq!(world.closed, Some(CloseReason::Deregistered));
}

#[test]
fn an_outcome_for_the_old_message_layer_acknowledges_nothing_on_the_new_one() {
    let mut world = World::registered(PROFILE, 33);
    world.platform.delay = seconds(10);
    world.set("/3303/0/5700", Value::Float(22.0));
    world.run(seconds(1));
    world.platform.delay = Duration::from_millis(10);
    world.peer = peer(6000);
    world.device.register(world.now.mono);
    world.run(seconds(2));
    assert_eq!(world.count(is_opened), 2);
    world.platform.delay = seconds(100);
    world.set("/3303/0/5700", Value::Float(23.0));
    world.run(seconds(20));
    let acknowledged = world
        .events
        .iter()
        .filter(|event| matches!(event, SimEvent::Acknowledged(_)));
    assert_eq!(acknowledged.count(), 0, "23.0 is not durable yet");
}

#[test]
fn an_update_that_overtakes_the_object_models_leaves_the_first_ones_awaited() {
    let mut world = World::new(PROFILE, 34);
    world.device.register(world.now.mono);
    world.run(Duration::from_millis(25));
    world.platform.delay = seconds(2);
    world.run(Duration::from_millis(40));
    let id = registration_id(&world);
    let links = "</3>;ver=1.2,</3/0>,</3303>;ver=1.1,</3303/0>,</9>;ver=1.0,</9/0>";
    world.inject(
        peer(5683),
        datagram(9000, 1, &at_registration(Code::POST, &id, links)),
    );
    world.run(seconds(10));
    assert_eq!(requests(&world).len(), 5);
    assert_eq!(world.posted("batteryLevel"), [KeyValue::Long(95)]);
}

#[test]
fn a_core_that_has_no_time_for_object_models_is_asked_again() {
    let mut world = World::new(PROFILE, 42);
    world.platform.models_unavailable = true;
    world.device.register(world.now.mono);
    world.run(seconds(25));
    assert!(world.device.is_registered());
    assert_eq!(requests(&world), [""; 0]);
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.platform.models_unavailable = false;
    world.run(seconds(15));
    assert_eq!(requests(&world).len(), 6);
    assert_eq!(world.rpc_history(1).len(), 3);
    assert!(!world.posted("temperature").is_empty());
    let asked = world.count(|uplink| matches!(uplink, Uplink::Question { .. }));
    world.run(seconds(100));
    assert_eq!(
        world.count(|uplink| matches!(uplink, Uplink::Question { .. })),
        asked
    );
}

#[test]
fn a_command_that_waits_for_object_models_is_cancelled_with_the_registration() {
    let mut world = World::new(PROFILE, 35);
    world.device.register(world.now.mono);
    world.run(Duration::from_millis(25));
    world.platform.delay = seconds(5);
    world.run(Duration::from_millis(40));
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.rpc_with(lightship::platform::RpcRequest {
        persisted: true,
        ..rpc_request(2, "Read", r#"{"id":"/3_1.2/0/9"}"#)
    });
    world.device.deregister(world.now.mono);
    world.run(seconds(1));
    let [reply] = world.rpc_history(1).try_into().unwrap();
    assert!(reply.contains("/3/0/9 cancelled"), "{reply}");
    assert_eq!(world.rpc_history(2), [""; 0], "the core keeps it");
}

#[test]
fn the_newest_register_of_a_peer_is_the_one_that_is_answered() {
    for (seed, port, before) in [(36, 5683, 0), (37, 6000, 1)] {
        let mut world = if before == 0 {
            World::new(PROFILE, seed)
        } else {
            World::registered(PROFILE, seed)
        };
        world.platform.delay = seconds(5);
        world.inject(peer(port), register(100, 0xa1));
        world.run(seconds(2));
        world.inject(peer(port), register(101, 0xa2));
        world.run(seconds(5));
        let mut created = answers(&world)
            .into_iter()
            .filter(|(token, code)| *code == Code::CREATED && token.len() == 1);
        assert_eq!(
            created.next_back(),
            Some((vec![0xa2], Code::CREATED)),
            "port {port}"
        );
        let asked = world.count(|uplink| {
            matches!(
                uplink,
                Uplink::Question {
                    question: Question::Credentials { .. },
                    ..
                }
            )
        });
        assert_eq!(asked, before + 1, "the platform is asked once, port {port}");
    }
}

#[test]
fn a_stop_ends_an_endpoint_whose_next_registration_is_being_decided() {
    let mut world = World::registered(PROFILE, 38);
    world.platform.delay = seconds(5);
    world.inject(peer(6000), register(100, 0xa1));
    world.endpoint.stop(world.now);
    world.run(seconds(1));
    assert_eq!(world.closed, Some(CloseReason::Stopped));
    assert_eq!((world.count(is_opened), world.count(is_closed)), (1, 1));
    assert_eq!(world.bound, []);
}

#[test]
fn p31_5_an_update_or_deregister_of_another_registration_is_passed_on() {
    let mut world = World::registered(PROFILE, 39);
    let answered = world.sent_by_server.len();
    for (id, method) in [(9000, Code::POST), (9001, Code::DELETE)] {
        let request = datagram(id, 1, &at_registration(method, "0000000000", ""));
        world.inject(peer(5683), request.clone());
        world.run(seconds(1));
        assert_eq!(world.misrouted.last(), Some(&request));
    }
    assert_eq!(world.sent_by_server.len(), answered);
    assert_eq!(world.count(is_closed), 0);
}

#[test]
fn p31_3_update_and_deregister_by_another_identity_get_4_00() {
    let mut world = World::registered(PROFILE, 40);
    let id = registration_id(&world);
    let stranger = Peer {
        identity: PeerIdentity::PreSharedKey("other".into()),
        ..as_peer(peer(6000))
    };
    for (number, method) in [(9000, Code::POST), (9001, Code::DELETE)] {
        let request = datagram(number, 1, &at_registration(method, &id, ""));
        world
            .endpoint
            .handle_datagram(world.now, &stranger, request);
        world.run(seconds(1));
        let answer = Message::parse(world.sent_by_server.last().unwrap().1.clone()).unwrap();
        assert_eq!(answer.code(), Code::BAD_REQUEST);
        assert_eq!(answer.diagnostic(), Some("forbidden"));
    }
    assert_eq!(world.count(is_closed), 0);
}

#[test]
fn p112_1_register_and_update_have_to_be_confirmable() {
    let non = |id, request: &Request| {
        let (id, token) = (MessageId(id), Token::default());
        encode::request(request, MessageType::NonConfirmable, id, token)
    };
    let answer = |world: &World| Message::parse(world.sent_by_server.last().unwrap().1.clone());
    let mut world = World::new(PROFILE, 66);
    let register = Request {
        method: Code::POST,
        path: vec!["rd".to_owned()],
        query: vec!["ep=dev1".to_owned(), "lwm2m=1.1".to_owned()],
        payload: "</3/0>".into(),
        ..Request::default()
    };
    world.inject(peer(5683), non(9000, &register));
    world.run(seconds(1));
    assert_eq!(answer(&world).unwrap().code(), Code::BAD_REQUEST);
    assert_eq!(world.count(is_opened), 0);
    let mut world = World::registered(PROFILE, 67);
    let id = registration_id(&world);
    for (method, code) in [
        (Code::POST, Code::BAD_REQUEST),
        (Code::DELETE, Code::DELETED),
    ] {
        let request = at_registration(method, &id, "");
        world.inject(peer(5683), non(9001 + u16::from(method.0), &request));
        world.run(seconds(1));
        assert_eq!(answer(&world).unwrap().code(), code);
    }
}

#[test]
fn p12_2_what_exceeds_the_rate_of_a_device_is_dropped_unread() {
    let mut world = World::new(PROFILE, 65);
    let settings = EndpointSettings {
        rate: Some(RateLimit::new(10, 20)),
        ..EndpointSettings::default()
    };
    world.endpoint = Endpoint::new(EndpointName::new("dev1"), Arc::new(settings), [65; 32]);
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let unknown = Request {
        path: vec!["nothing".to_owned()],
        ..Request::default()
    };
    let not_found = |world: &World| {
        let answers = answers(world).into_iter();
        answers.filter(|(_, code)| *code == Code::NOT_FOUND).count()
    };
    for id in 0..100 {
        world.inject(peer(5683), datagram(id, 1, &unknown));
    }
    world.run(seconds(1));
    assert_eq!(not_found(&world), 20);
    assert_eq!(world.endpoint.stats().limited, 80);
    for id in 100..200 {
        world.inject(peer(5683), datagram(id, 1, &unknown));
    }
    world.run(seconds(1));
    assert_eq!(not_found(&world), 30);
}

#[test]
fn b08_a_register_in_blocks_is_one_register() {
    let mut world = World::new(PROFILE, 41);
    let links = "</3>;ver=1.2,</3/0>,</3303>;ver=1.1,</3303/0>";
    let mut number = 0;
    for piece in links.as_bytes().chunks(16) {
        let request = Request {
            method: Code::POST,
            path: vec!["rd".to_owned()],
            query: vec!["ep=dev1".to_owned(), "lwm2m=1.1".to_owned()],
            block1: Some(Block {
                number,
                more: piece.len() == 16,
                szx: 0,
            }),
            payload: piece.to_vec().into(),
            ..Request::default()
        };
        assert_eq!(world.count(is_opened), 0, "before the last block");
        number += 1;
        world.inject(peer(5683), datagram(number as u16, number as u8, &request));
        world.run(seconds(1));
    }
    assert_eq!(
        answers(&world),
        [
            (vec![1], Code::CONTINUE),
            (vec![2], Code::CONTINUE),
            (vec![3], Code::CREATED),
        ]
    );
    assert_eq!(world.count(is_opened), 1);
}

#[test]
fn an_update_with_a_new_object_begins_the_profile_work_for_that_one_alone() {
    let mut world = World::new(PROFILE, 42);
    world.inject(peer(5683), register(1, 1));
    world.run(seconds(5));
    let before = requests(&world);
    assert!(before.iter().all(|request| request.contains(" /3/")));
    let links = "</3>;ver=1.2,</3/0>,</3303>;ver=1.1,</3303/0>";
    let update = at_registration(Code::POST, &registration_id(&world), links);
    world.inject(peer(5683), datagram(2, 2, &update));
    world.run(seconds(5));
    assert_eq!(
        requests(&world)[before.len()..],
        ["GET /3303/0/5700 observe=0"]
    );
}

#[test]
fn rpc_130_a_command_that_meets_the_end_of_the_registration_is_answered() {
    let mut world = World::registered(PROFILE, 43);
    world.device.deregister(world.now.mono);
    world.run(seconds(1));
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    assert_eq!(
        world.rpc_history(1),
        [r#"{"result":"INTERNAL_SERVER_ERROR","error":"Registration is empty"}"#]
    );
}

/// The observe requests of this profile leave one after another: the first at 80 ms.
fn while_the_first_observe_is_under_way(seed: u8, cut: bool) -> World {
    let mut world = World::new(PROFILE, seed);
    world.device.register(world.now.mono);
    world.run(Duration::from_millis(75));
    world.network.cut = cut;
    world.run(Duration::from_millis(10));
    assert!(requests(&world).ends_with(&["GET /3/0/9 observe=0".to_owned()]));
    world.network.cut = false;
    world
}

#[test]
fn p31_15_an_update_that_moves_the_device_costs_no_work_of_the_profile() {
    let mut world = while_the_first_observe_is_under_way(44, true);
    world.peer = peer(6001);
    world.device.update(world.now.mono);
    world.run(seconds(5));
    let mut observed = world.endpoint.summary().unwrap().observed;
    observed.sort();
    assert_eq!(observed, ["/3/0/9", "/3303/0/5700"]);
    assert_eq!(
        requests(&world)[1..],
        [
            "GET /3/0/9 observe=0",
            "GET /3/0/9 observe=0",
            "GET /3303/0/5700 observe=0",
            "GET /3/0/0",
            "GET /3/0/6",
        ],
        "in the order of the profile"
    );
}

#[test]
fn a_command_that_is_under_way_when_the_device_moves_is_cancelled() {
    let mut world = World::registered(PROFILE, 45);
    world.network.cut = true;
    world.rpc(1, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    world.run(seconds(1));
    world.network.cut = false;
    world.peer = peer(6001);
    world.device.update(world.now.mono);
    world.run(seconds(1));
    let [sent, reply] = world.rpc_history(1).try_into().unwrap();
    assert_eq!(sent, "SENT");
    assert!(reply.contains("/3/0/9 cancelled"), "{reply}");
}

#[test]
fn a_profile_that_changes_while_it_is_worked_on_leaves_nothing_of_the_old_one() {
    let mut world = while_the_first_observe_is_under_way(46, false);
    let changed = admission("dev1", r#"{"type": "LWM2M"}"#).profile;
    world
        .endpoint
        .handle_downlink(world.now, Downlink::ProfileChanged(changed));
    world.run(seconds(5));
    assert_eq!(world.endpoint.summary().unwrap().observed, [""; 0]);
    assert_eq!(world.endpoint.unfinished(), 0);
    let resets = world.endpoint.stats().coap.resets_sent;
    world.set("/3/0/9", Value::Integer(1));
    world.run(seconds(1));
    assert_eq!(world.endpoint.stats().coap.resets_sent, resets + 1);
}

#[test]
fn an_update_with_a_new_instance_begins_the_profile_work_for_that_one_alone() {
    let profile = PROFILE.replace("/3303_1.1/0/5700", "/3303_1.1/12/5700");
    let mut world = World::new(&profile, 47);
    world.inject(peer(5683), register(1, 1));
    world.run(seconds(5));
    let id = registration_id(&world);
    let mut known = requests(&world).len();
    for (number, links, expected) in [
        (2, "</3>;ver=1.2,</3/0>,</3303>;ver=1.1", 1),
        (3, "</3>;ver=1.2,</3/0>,</3303/12>", 1),
        (4, "</3>;ver=1.2,</3/0>,</3303/12>", 0),
        (5, "</3>;ver=1.2,</3/0>", 0),
        (6, "</3>;ver=1.2,</3/0>,</3303>;ver=1.1,</3303/12>", 1),
    ] {
        let update = at_registration(Code::POST, &id, links);
        world.inject(peer(5683), datagram(number, number as u8, &update));
        world.run(seconds(5));
        assert_eq!(
            requests(&world)[known..],
            vec!["GET /3303/12/5700 observe=0"; expected],
            "{links}"
        );
        known += expected;
    }
}

#[test]
fn p31_11_a_register_of_the_same_name_closes_the_old_session_first_and_gets_a_new_id() {
    for port in [5683, 6000] {
        let mut world = World::registered(PROFILE, 48);
        let (old, token) = (registration_id(&world), observe_token(&world));
        let known = world.platform.uplinks.len();
        world.peer = peer(port);
        world.device.register(world.now.mono);
        world.run(seconds(5));
        let uplinks = world.platform.uplinks[known..].iter();
        let mut sessions = uplinks.filter_map(|uplink| {
            let session = match uplink {
                Uplink::SessionClosed { session } | Uplink::SessionOpened { session } => session,
                Uplink::Activity { .. }
                | Uplink::BootstrapReport { .. }
                | Uplink::Telemetry { .. }
                | Uplink::Attributes { .. }
                | Uplink::RpcStatus { .. }
                | Uplink::RpcReply { .. }
                | Uplink::AttributesWanted { .. }
                | Uplink::PendingRpcWanted { .. }
                | Uplink::Question { .. } => return None,
            };
            Some((is_opened(uplink), session.id))
        });
        let (closed, opened) = (sessions.next().unwrap(), sessions.next().unwrap());
        assert_eq!((closed.0, opened.0), (false, true));
        assert_ne!(closed.1, opened.1);
        assert_eq!(sessions.next(), None);
        assert_ne!(registration_id(&world), old);
        let before = world.sent_by_server.len();
        let stale = Response {
            observe: Some(9),
            ..Response::new(Code::CONTENT)
        };
        let kind = MessageType::Confirmable;
        let datagram = encode::response(&stale, kind, MessageId(9000), token);
        world.inject(peer(port), datagram);
        world.run(seconds(1));
        let answer = Message::parse(world.sent_by_server[before].1.clone()).unwrap();
        assert_eq!(answer.message_type(), MessageType::Reset);
    }
}

/// The token of the first observation.
fn observe_token(world: &World) -> Token {
    let sent = world.sent_by_server.iter();
    sent.filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .find(|message| message.observe() == Some(0))
        .map(|message| message.token())
        .expect("something is observed")
}

#[test]
fn p31_14_the_lifetime_counts_from_the_last_update_and_takes_the_observations_along() {
    let mut world = World::new(PROFILE, 49);
    world.inject(peer(5683), register(1, 1));
    world.run(seconds(5));
    let id = registration_id(&world);
    let update = Request {
        query: vec!["lt=60".to_owned()],
        ..at_registration(Code::POST, &id, "")
    };
    world.inject(peer(5683), datagram(2, 2, &update));
    world.run(seconds(40));
    world.inject(
        peer(5683),
        datagram(3, 3, &at_registration(Code::POST, &id, "")),
    );
    world.run(Duration::from_millis(59_900));
    assert_eq!(world.closed, None);
    assert!(!world.endpoint.summary().unwrap().observed.is_empty());
    world.run(Duration::from_millis(200));
    assert_eq!(world.closed, Some(CloseReason::Expired));
    assert_eq!(world.count(is_closed), 1);
    assert_eq!(world.endpoint.summary(), None);
    assert_eq!(world.bound, []);
}

#[test]
fn p111_deviations_in_the_links_of_register_and_update_are_counted() {
    let mut world = World::new(PROFILE, 50);
    world.inject(peer(5683), register(1, 1));
    world.run(seconds(5));
    assert_eq!(world.endpoint.stats().link_deviations, 0);
    // A link without angle bracket.
    let update = at_registration(
        Code::POST,
        &registration_id(&world),
        "</3>;ver=1.2, <3/0>,</3303/0>",
    );
    world.inject(peer(5683), datagram(2, 2, &update));
    world.run(seconds(1));
    let counted = world.endpoint.stats().link_deviations;
    assert!(counted > 0);
    let again = Request {
        payload: "</3>;ver=1.2, <3/0>,</3303/0>".into(),
        ..at_registration(Code::POST, "", "")
    };
    let again = Request {
        path: vec!["rd".to_owned()],
        query: vec!["ep=dev1".to_owned(), "lwm2m=1.1".to_owned()],
        ..again
    };
    world.inject(peer(5683), datagram(3, 3, &again));
    world.run(seconds(1));
    assert_eq!(world.endpoint.stats().link_deviations, 2 * counted);
}

/// How the Registers of these peers were answered, a line up of one every `pause`.
fn registered_in_turn(
    world: &mut World,
    peers: &[u16],
    pause: Duration,
) -> Vec<(Code, Option<u32>)> {
    let before = world.sent_by_server.len();
    for (number, port) in (1_000..).zip(peers) {
        world.inject(peer(*port), register(number, 1));
        world.run(pause);
    }
    let sent = world.sent_by_server[before..].iter();
    sent.filter_map(|(_, datagram)| Message::parse(datagram.clone()).ok())
        .filter(|message| message.message_type() == MessageType::Acknowledgement)
        .map(|message| (message.code(), message.max_age()))
        .collect()
}

#[test]
fn a49_two_devices_of_one_name_cost_the_platform_six_registers_a_minute() {
    let mut world = World::with(PROFILE, 48, |settings| {
        settings.registers = std::num::NonZeroU32::new(6);
    });
    let peers: Vec<u16> = (0..60).map(|number| 7000 + number % 2).collect();
    let answers = registered_in_turn(&mut world, &peers, seconds(1));
    let (accepted, refused) = answers.split_at(6);
    assert!(accepted.iter().all(|(code, _)| *code == Code::CREATED));
    assert_eq!(refused.len(), 54);
    let too_many = (Code::TOO_MANY_REQUESTS, Some(30));
    assert!(refused.iter().all(|answer| *answer == too_many));
    let questions = |uplink: &Uplink| {
        matches!(
            uplink,
            Uplink::Question {
                question: Question::Credentials { .. },
                ..
            }
        )
    };
    assert_eq!(world.count(questions), 6);
    assert_eq!(world.count(is_opened), 6);
    assert_eq!(world.count(is_closed), 5);
    assert_eq!(world.endpoint.stats().flapping, 54);
    // A minute after the first one, another is admitted, and the registration in force was never touched.
    let answers = registered_in_turn(&mut world, &[7000], seconds(1));
    assert_eq!(answers, [(Code::CREATED, None)]);
}

#[test]
fn a49_a_device_that_registers_and_deregisters_all_the_time_is_slowed_down_too() {
    let mut world = World::with(PROFILE, 49, |settings| {
        settings.registers = std::num::NonZeroU32::new(6);
    });
    for _ in 0..30 {
        world.device.register(world.now.mono);
        world.run(seconds(1));
        world.device.deregister(world.now.mono);
        world.run(seconds(1));
    }
    assert_eq!(world.count(is_opened), 6);
    assert_eq!(world.count(is_closed), 6);
}

#[test]
fn a47_a_register_by_a_peer_that_proved_to_be_another_gets_4_03() {
    let psk = |identity: &str| Peer {
        identity: PeerIdentity::PreSharedKey(identity.into()),
        ..as_peer(peer(6000))
    };
    let mut world = World::new(PROFILE, 50);
    let mut known = admission("dev1", PROFILE);
    known.client = ClientCredentials::Psk {
        endpoint: "dev1".to_owned(),
        identity: "dev1-key".to_owned(),
        key: "00".to_owned(),
    };
    world.platform.admission = Ok(Arc::new(known));
    for (number, identity, expected) in [
        (1, psk("dev2-key"), Code::FORBIDDEN),
        (2, as_peer(peer(6000)), Code::FORBIDDEN),
        (3, psk("dev1-key"), Code::CREATED),
    ] {
        let before = world.sent_by_server.len();
        let register = register(9000 + number, 1);
        world
            .endpoint
            .handle_datagram(world.now, &identity, register);
        world.run(seconds(1));
        let answer = Message::parse(world.sent_by_server[before].1.clone()).unwrap();
        assert_eq!(answer.code(), expected);
    }
    assert_eq!(world.endpoint.stats().refused, 2);
    assert_eq!(world.count(is_opened), 1);
}

#[test]
fn a50_a_device_that_reboots_while_it_is_observed_is_observed_once_for_each_path() {
    let mut world = while_the_first_observe_is_under_way(51, true);
    for again in 1..=3 {
        let before = requests(&world).len();
        world.inject(peer(5683), register(9000 + again, 1));
        world.run(seconds(5));
        let observes: Vec<_> = requests(&world)
            .split_off(before)
            .into_iter()
            .filter(|request| request.ends_with("observe=0"))
            .collect();
        assert_eq!(observes, ["GET /3/0/9 observe=0"], "of what was announced");
        assert_eq!(world.endpoint.summary().unwrap().observed, ["/3/0/9"]);
    }
}

#[test]
fn a50_a_reset_of_the_acknowledgement_of_a_notification_changes_nothing() {
    let mut world = World::registered(PROFILE, 52);
    let before = requests(&world).len();
    for value in 80..90 {
        world.set("/3/0/9", Value::Integer(value));
        world.run(seconds(1));
        let notification = Message::parse(world.sent_by_device.last().unwrap().1.clone()).unwrap();
        assert_eq!(notification.message_type(), MessageType::Confirmable);
        let reset = encode::empty(MessageType::Reset, notification.message_id());
        world.inject(peer(5683), reset);
        world.run(seconds(1));
    }
    assert_eq!(requests(&world).len(), before);
    let last = world.posted("batteryLevel").pop();
    assert_eq!(last, Some(KeyValue::Long(89)));
    assert_eq!(world.endpoint.summary().unwrap().observed.len(), 2);
}

#[test]
fn a50_what_a_device_forgot_without_a_word_is_observed_again_when_it_registers() {
    let mut world = World::registered(PROFILE, 53);
    // Its tokens are gone: what it answers to the next request is all the server learns.
    let mut other = World::new(PROFILE, 54);
    std::mem::swap(&mut world.device, &mut other.device);
    world.set("/3/0/9", Value::Integer(50));
    world.run(seconds(10));
    assert_eq!(world.posted("batteryLevel"), [KeyValue::Long(95)]);
    let before = requests(&world).len();
    world.device.register(world.now.mono);
    world.run(seconds(5));
    let asked = requests(&world).split_off(before);
    let observes = asked.iter().filter(|own| own.ends_with("observe=0"));
    assert_eq!(observes.count(), 2, "{asked:?}");
    assert_eq!(
        world.posted("batteryLevel").last(),
        Some(&KeyValue::Long(50))
    );
}
