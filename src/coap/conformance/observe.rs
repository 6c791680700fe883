//! RFC 7641, rows O.

use std::time::Duration;

use crate::coap::{
    Code, Event, Failure, Request, Response, Token,
    test_support::{Scene, hex, read},
};

/// What a notification event says: token, deferred, fresh, ended.
fn notification(scene: &mut Scene) -> (Token, bool, bool, bool) {
    let Event::Notification {
        token,
        deferred,
        fresh,
        ended,
        ..
    } = scene.event()
    else {
        panic!("no notification");
    };
    (token, deferred.is_some(), fresh, ended)
}

#[test]
fn o01_an_observation_is_asked_for_with_observe_0_and_a_fresh_token() {
    let mut scene = Scene::new();
    let one = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &read("/3/0"), Scene::TIMEOUT);
    let request = scene.sent_message();
    assert_eq!((request.code(), request.observe()), (Code::GET, Some(0)));
    assert_eq!(request.token(), one);
    let fetch = Request {
        method: Code::FETCH,
        payload: hex("81 a1 00 66 2f 33 2f 30 2f 30").into(),
        ..Request::default()
    };
    let two = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &fetch, Scene::TIMEOUT);
    assert_eq!(scene.sent_message().observe(), Some(0));
    assert_ne!(one, two);
    assert_eq!(scene.exchanges.observations(), 0);
}

#[test]
fn o02_a_response_without_observe_makes_no_observation() {
    let mut scene = Scene::new();
    let token = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &read("/3/0"), Scene::TIMEOUT);
    let id = scene.sent_message().message_id().0;
    scene.receive(&format!("68 45 {id:04x} {token} ff 31"));
    let Event::Response {
        message, observing, ..
    } = scene.event()
    else {
        panic!("no response");
    };
    assert_eq!((&message.payload()[..], observing), (&b"1"[..], false));
    assert_eq!(scene.exchanges.observations(), 0);
    scene.receive(&format!("58 45 00 07 {token} 61 05 ff 31"));
    assert_eq!(scene.sent(), ["70 00 00 07"]);
}

#[test]
fn o02_an_error_makes_no_observation() {
    let mut scene = Scene::new();
    let token = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &read("/3/0"), Scene::TIMEOUT);
    let id = scene.sent_message().message_id().0;
    scene.receive(&format!("68 84 {id:04x} {token} 61 05"));
    assert!(matches!(
        scene.event(),
        Event::Response {
            observing: false,
            ..
        }
    ));
    assert_eq!(scene.exchanges.observations(), 0);
}

#[test]
fn a_confirmable_answer_that_may_be_a_notification_is_acknowledged_by_the_owner() {
    let mut scene = Scene::new();
    let token = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &read("/3/0"), Scene::TIMEOUT);
    scene.sent_message();
    let notification = format!("48 45 00 07 {token} 61 06 ff 31");
    scene.receive(&notification);
    let Event::Response {
        observing: true,
        deferred: Some(id),
        ..
    } = scene.event()
    else {
        panic!("no response");
    };
    scene.assert_silent();
    scene.receive(&notification);
    scene.assert_silent();
    scene.exchanges.acknowledge(scene.now, id);
    assert_eq!(scene.sent(), ["60 00 00 07"]);
}

#[test]
fn o03_2_04_is_tolerated_as_response_and_as_notification() {
    let mut scene = Scene::new();
    let token = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &read("/3/0"), Scene::TIMEOUT);
    let id = scene.sent_message().message_id().0;
    scene.receive(&format!("68 44 {id:04x} {token} 61 05 ff 31"));
    assert!(matches!(
        scene.event(),
        Event::Response {
            observing: true,
            ..
        }
    ));
    scene.receive(&format!("58 44 00 07 {token} 61 06 ff 31"));
    assert_eq!(notification(&mut scene), (token, false, true, false));
}

#[test]
fn o04_a_stale_notification_is_handed_over_as_stale() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    scene.receive(&format!("58 45 00 07 {token} 61 07 ff 31"));
    assert_eq!(notification(&mut scene), (token, false, true, false));
    scene.receive(&format!("58 45 00 08 {token} 61 06 ff 30"));
    assert_eq!(notification(&mut scene), (token, false, false, false));
    assert_eq!(scene.exchanges.stats().stale_notifications, 1);
    scene.wait(Duration::from_millis(128_001));
    scene.receive(&format!("58 45 00 09 {token} 61 01 ff 30"));
    assert_eq!(notification(&mut scene), (token, false, true, false));
}

#[test]
fn o04_the_order_wraps_at_24_bits() {
    let mut scene = Scene::new();
    let token = scene.observe("63 ff ff ff");
    scene.receive(&format!("58 45 00 07 {token} 60 ff 31"));
    assert_eq!(notification(&mut scene), (token, false, true, false));
}

#[test]
fn o05_an_error_ends_the_observation() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    scene.receive(&format!("48 84 00 07 {token}"));
    assert_eq!(notification(&mut scene), (token, true, true, true));
    assert_eq!(scene.exchanges.observations(), 0);
    scene.receive(&format!("58 45 00 08 {token} 61 07"));
    assert_eq!(scene.sent(), ["70 00 00 08"]);
}

#[test]
fn o05_a_success_without_observe_ends_the_observation() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    scene.receive(&format!("58 45 00 07 {token} ff 31"));
    assert_eq!(notification(&mut scene), (token, false, true, true));
    assert_eq!(scene.exchanges.observations(), 0);
}

#[test]
fn o06_after_a_passive_cancel_a_notification_gets_rst_con_and_non() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    assert!(scene.exchanges.cancel(scene.now, token));
    assert!(!scene.exchanges.cancel(scene.now, token));
    scene.assert_silent();
    scene.receive(&format!("58 45 70 01 {token} 61 06"));
    assert_eq!(scene.sent(), ["70 00 70 01"]);
    scene.receive(&format!("48 45 70 02 {token} 61 07"));
    assert_eq!(scene.sent(), ["70 00 70 02"]);
    assert!(scene.events().is_empty());
}

#[test]
fn o07_an_active_cancel_repeats_the_request_with_observe_1_and_the_same_token() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    let cancel = |scene: &mut Scene| {
        scene.exchanges.cancel_observation(
            scene.now,
            Scene::DEVICE,
            token,
            &read("/3/0"),
            Scene::TIMEOUT,
        )
    };
    assert!(cancel(&mut scene));
    let request = scene.sent_message();
    assert_eq!((request.observe(), request.token()), (Some(1), token));
    assert!(!cancel(&mut scene), "it is under way");

    scene.receive(&format!("58 45 00 07 {token} 61 06 ff 31"));
    assert_eq!(
        notification(&mut scene),
        (token, false, true, false),
        "one that was under way too"
    );
    scene.receive(&format!(
        "68 45 {:04x} {token} ff 31",
        request.message_id().0
    ));
    assert!(matches!(
        scene.event(),
        Event::Response {
            observing: false,
            ..
        }
    ));
    assert_eq!(scene.exchanges.observations(), 0);
    assert!(!cancel(&mut scene), "there is nothing to cancel");
    scene.assert_silent();
}

#[test]
fn o08_a_cancelled_observation_does_not_disturb_its_successor() {
    let mut scene = Scene::new();
    let old = scene.observe("61 05");
    scene.exchanges.cancel(scene.now, old);
    let new = scene.observe("61 01");
    scene.receive(&format!("58 45 00 07 {old} 61 06 ff 31"));
    assert_eq!(scene.sent(), ["70 00 00 07"]);
    scene.receive(&format!("58 45 00 08 {new} 61 02 ff 31"));
    assert_eq!(notification(&mut scene), (new, false, true, false));
}

#[test]
fn o09_a_notification_of_an_unknown_token_gets_rst_con_and_non() {
    let mut scene = Scene::new();
    // The example of the specification
    scene.receive("52 45 70 01 52 01 61 05 61 70 ff 81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0");
    assert_eq!(scene.sent(), ["70 00 70 01"]);
    scene.receive("42 45 70 02 52 01 61 06");
    assert_eq!(scene.sent(), ["70 00 70 02"]);
    assert_eq!(scene.exchanges.stats().unknown_tokens, 2);
    let token = scene.observe("61 05");
    scene.receive_from(9, &format!("58 45 00 07 {token} 61 06"));
    assert_eq!(scene.sent_to(), [(9, "70 00 00 07".to_owned())]);
    assert!(scene.events().is_empty());
}

#[test]
fn o10_a_con_notification_is_acknowledged_when_it_is_durable_and_not_before() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    let datagram = format!("48 45 00 07 {token} 61 06 ff 31");
    scene.receive(&datagram);
    let Event::Notification {
        deferred: Some(id), ..
    } = scene.event()
    else {
        panic!("no confirmable notification");
    };
    assert_eq!(
        scene.exchanges.poll_timeout(),
        None,
        "nothing acknowledges it by itself"
    );
    scene.wait(Duration::from_secs(60));
    scene.receive(&datagram);
    scene.assert_silent();
    scene.exchanges.acknowledge(scene.now, id);
    assert_eq!(scene.sent(), ["60 00 00 07"]);
    scene.receive(&datagram);
    assert_eq!(scene.sent(), ["60 00 00 07"]);
    scene.exchanges.acknowledge(scene.now, id);
    scene.assert_silent();
}

#[test]
fn o10_a_notification_that_is_ignored_stays_unacknowledged() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    let datagram = format!("48 45 00 07 {token} 61 06 ff 31");
    scene.receive(&datagram);
    let Event::Notification {
        deferred: Some(id), ..
    } = scene.event()
    else {
        panic!("no confirmable notification");
    };
    scene.exchanges.ignore(id);
    scene.exchanges.acknowledge(scene.now, id);
    scene.receive(&datagram);
    scene.assert_silent();
}

#[test]
fn o12_an_observation_has_no_timer_and_max_age_is_ignored() {
    let mut scene = Scene::new();
    // Observe 5, Max-Age 1
    scene.observe("61 05 81 01");
    assert_eq!(scene.exchanges.poll_timeout(), None);
    scene.wait(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(scene.exchanges.observations(), 1);
    scene.assert_silent();
}

#[test]
fn o13_a_new_registration_drops_all_observations() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    scene.observe("61 05");
    let (open, _) = scene.get();
    scene.exchanges.cancel_all();
    assert_eq!(scene.exchanges.observations(), 0);
    assert!(
        matches!(scene.event(), Event::Failed { token, failure: Failure::Cancelled } if token == open)
    );
    scene.receive(&format!("58 45 00 07 {token} 61 06"));
    assert_eq!(scene.sent(), ["70 00 00 07"]);
}

#[test]
fn o13_an_update_from_another_address_keeps_observations_and_requests() {
    let mut scene = Scene::new();
    let token = scene.observe("61 05");
    let (open, id) = scene.get();
    scene.exchanges.rebind(9);
    scene.receive_from(9, &format!("48 45 00 07 {token} 61 06 ff 31"));
    let Event::Notification {
        deferred: Some(deferred),
        ..
    } = scene.event()
    else {
        panic!("no notification");
    };
    scene.exchanges.acknowledge(scene.now, deferred);
    assert_eq!(scene.sent_to(), [(9, "60 00 00 07".to_owned())]);
    scene.wait(Duration::from_secs(3));
    assert!(scene.sent_to().iter().all(|&(peer, _)| peer == 9));
    scene.receive_from(9, &format!("68 45 {:04x} {open}", id.0));
    assert!(matches!(scene.event(), Event::Response { .. }));
}

/// A device that notifies on the observation `b1`; the notification it sent.
fn notify(confirmable: bool) -> (Scene, String) {
    let mut scene = Scene::new();
    let notification = Response {
        observe: Some(5),
        payload: "1".into(),
        ..Response::new(Code::CONTENT)
    };
    let token = Token::new(&[0xb1]).unwrap();
    scene
        .exchanges
        .notify(scene.now, Scene::DEVICE, token, &notification, confirmable);
    let sent = scene.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(
        scene.exchanges.open_requests(),
        0,
        "it takes no NSTART slot"
    );
    (scene, sent[0].clone())
}

/// The message id of a datagram.
fn id(datagram: &str) -> &str {
    datagram.get(6..11).unwrap()
}

#[test]
fn a_non_notification_is_sent_once() {
    let (mut scene, sent) = notify(false);
    assert_eq!(sent, format!("51 45 {} b1 61 05 ff 31", id(&sent)));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    scene.assert_silent();
}

#[test]
fn o06_a_non_notification_that_gets_rst_ends_the_observation() {
    let (mut scene, sent) = notify(false);
    scene.receive_from(9, &format!("70 00 {}", id(&sent)));
    scene.assert_silent();
    scene.receive(&format!("70 00 {}", id(&sent)));
    let b1 = Token::new(&[0xb1]).unwrap();
    assert!(matches!(scene.event(), Event::NotificationFailed { token } if token == b1));
}

#[test]
fn a_con_notification_is_retransmitted_until_acknowledged() {
    let (mut scene, sent) = notify(true);
    assert_eq!(sent, format!("41 45 {} b1 61 05 ff 31", id(&sent)));
    scene.wait(Duration::from_secs(3));
    assert_eq!(scene.sent(), std::slice::from_ref(&sent));
    scene.receive(&format!("60 00 {}", id(&sent)));
    assert!(matches!(
        scene.event(),
        Event::NotificationAcknowledged { .. }
    ));
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn o06_a_con_notification_that_gets_rst_or_no_answer_ends_the_observation() {
    let (mut scene, sent) = notify(true);
    scene.receive(&format!("70 00 {}", id(&sent)));
    assert!(matches!(scene.event(), Event::NotificationFailed { .. }));
    assert_eq!(scene.exchanges.poll_timeout(), None);

    let (mut scene, _) = notify(true);
    scene.wait(Duration::from_secs(93));
    assert!(matches!(scene.event(), Event::NotificationFailed { .. }));
    assert_eq!(scene.exchanges.poll_timeout(), None);
    assert_eq!(scene.exchanges.stats().timeouts, 1);
}
