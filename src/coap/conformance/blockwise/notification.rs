//! Notifications that come in blocks (RFC 7959 section 2.6).

use super::*;

#[test]
fn o11_the_rest_of_a_notification_is_fetched_without_observe_and_with_a_fresh_token() {
    let mut scene = Scene::new();
    let observation = scene.observe("61 05");
    let content = body(1500);
    let notification = Response {
        observe: Some(6),
        block2: block(0, true, 6),
        etag: Some(Bytes::from_static(b"v1")),
        payload: content.slice(..1024),
        ..Response::new(Code::CONTENT)
    };
    let datagram = encode::response(
        &notification,
        MessageType::Confirmable,
        MessageId(0x77),
        observation,
    );
    scene
        .exchanges
        .handle_datagram(scene.now, Scene::DEVICE, datagram);
    let sent = scene.sent();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0], "60 00 00 77", "acknowledged at once");
    let asked = Message::parse(crate::coap::test_support::hex(&sent[1]).into()).unwrap();
    assert_eq!(
        (asked.observe(), asked.block2()),
        (None, block(1, false, 6))
    );
    assert_ne!(asked.token(), observation);
    assert!(asked.uri_path().eq(["3", "0"]));
    scene.serve(&asked, &content, 6, b"v1");
    let Event::Notification {
        token,
        message,
        deferred,
        fresh,
        ended,
    } = scene.event()
    else {
        panic!("no notification");
    };
    assert_eq!((token, message.payload()), (observation, content));
    assert_eq!((deferred, fresh, ended), (None, true, false));
    assert_eq!(message.observe(), Some(6));
}

#[test]
fn o13_a_notification_that_is_being_fetched_when_the_device_moves_is_fetched_to_its_end() {
    let mut scene = Scene::new();
    let observation = scene.observe("61 05");
    let content = body(1500);
    let part = |number, more, observe, payload| Response {
        observe,
        block2: block(number, more, 6),
        payload,
        ..Response::new(Code::CONTENT)
    };
    let first = part(0, true, Some(6), content.slice(..1024));
    let kind = MessageType::Confirmable;
    let datagram = encode::response(&first, kind, MessageId(0x77), observation);
    scene
        .exchanges
        .handle_datagram(scene.now, Scene::DEVICE, datagram);
    let sent = scene.sent();
    let asked = Message::parse(crate::coap::test_support::hex(&sent[1]).into()).unwrap();
    // What the owner asked for is over; the first block was acknowledged, so the rest is owed.
    let (plain, _) = scene.get();
    scene.exchanges.cancel_requests();
    scene.exchanges.rebind(9);
    assert!(
        matches!(scene.event(), Event::Failed { token, failure: Failure::Cancelled } if token == plain)
    );
    let rest = part(1, false, None, content.slice(1024..));
    let (kind, id) = (MessageType::Acknowledgement, asked.message_id());
    let datagram = encode::response(&rest, kind, id, asked.token());
    scene.exchanges.handle_datagram(scene.now, 9, datagram);
    let Event::Notification { token, message, .. } = scene.event() else {
        panic!("no notification");
    };
    assert_eq!((token, message.payload()), (observation, content));
    assert_eq!(scene.exchanges.stats().incomplete_notifications, 0);
}

#[test]
fn a_newer_notification_takes_the_place_of_one_that_is_being_fetched() {
    let mut scene = Scene::new();
    let observation = scene.observe("61 05");
    let content = body(1500);
    for (id, value) in [(0x77, 6), (0x78, 7)] {
        let notification = Response {
            observe: Some(value),
            block2: block(0, true, 6),
            payload: content.slice(..1024),
            ..Response::new(Code::CONTENT)
        };
        let datagram = encode::response(
            &notification,
            MessageType::NonConfirmable,
            MessageId(id),
            observation,
        );
        scene
            .exchanges
            .handle_datagram(scene.now, Scene::DEVICE, datagram);
    }
    let sent = scene.sent();
    assert_eq!(sent.len(), 2);
    let newer = Message::parse(crate::coap::test_support::hex(&sent[1]).into()).unwrap();
    let rest = Response {
        block2: block(1, false, 6),
        payload: content.slice(1024..),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&newer, &rest);
    let Event::Notification { message, .. } = scene.event() else {
        panic!("no notification");
    };
    assert_eq!(message.observe(), Some(7));
    assert_eq!(scene.exchanges.stats().incomplete_notifications, 1);
    assert_eq!(scene.exchanges.open_requests(), 0);
}

#[test]
fn an_observation_whose_first_representation_takes_blocks_is_established_with_all_of_it() {
    let mut scene = Scene::new();
    let content = body(1500);
    let handle = scene
        .exchanges
        .observe(scene.now, Scene::DEVICE, &read("/3/0"), Scene::TIMEOUT);
    let asked = scene.sent_message();
    let first = Response {
        observe: Some(1),
        block2: block(0, true, 6),
        payload: content.slice(..1024),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&asked, &first);
    let more = scene.sent_message();
    assert_eq!((asked.observe(), more.observe()), (Some(0), None));
    // A notification in between waits for its repetition.
    scene.receive(&format!("48 45 00 55 {handle} 61 02 ff 31"));
    scene.assert_silent();
    let rest = Response {
        block2: block(1, false, 6),
        payload: content.slice(1024..),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&more, &rest);
    let Event::Response {
        token,
        message,
        observing,
        ..
    } = scene.event()
    else {
        panic!("no response");
    };
    assert_eq!(
        (token, observing, message.payload()),
        (handle, true, content)
    );
    scene.receive(&format!("48 45 00 55 {handle} 61 02 ff 31"));
    assert!(matches!(scene.event(), Event::Notification { token, .. } if token == handle));
}

#[test]
fn what_follows_a_notification_ends_the_fetching_of_its_rest() {
    let newer = Response {
        observe: Some(7),
        payload: Bytes::from_static(b"1"),
        ..Response::new(Code::CONTENT)
    };
    for (following, ends) in [(newer, false), (Response::new(Code::NOT_FOUND), true)] {
        let mut scene = Scene::new();
        let observation = scene.observe("61 05");
        scene.notify(0x77, observation, &first_of_notification(6));
        let asked = scene.sent_message();
        scene.notify(0x78, observation, &following);
        assert!(matches!(scene.event(), Event::Notification { ended, .. } if ended == ends));
        assert_eq!(scene.exchanges.open_requests(), 0);
        scene.serve(&asked, &body(1500), 6, b"v1");
        scene.assert_silent();
        assert_eq!(scene.exchanges.stats().incomplete_notifications, 1);
        assert_eq!(scene.exchanges.poll_timeout(), None);
    }
}

#[test]
fn an_observation_that_is_cancelled_ends_the_fetching_of_its_notification() {
    let mut scene = Scene::new();
    let observation = scene.observe("61 05");
    scene.notify(0x77, observation, &first_of_notification(6));
    let asked = scene.sent_message();
    scene.receive(&format!("60 00 {:04x}", asked.message_id().0));
    let (now, request) = (scene.now, read("/3/0"));
    let (exchanges, device) = (&mut scene.exchanges, Scene::DEVICE);
    assert!(exchanges.cancel_observation(now, device, observation, &request, Scene::TIMEOUT));
    let cancelling = scene.sent_message();
    scene.answer(&cancelling, &Response::new(Code::CONTENT));
    assert_eq!(scene.response().code(), Code::CONTENT);
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn a_part_of_a_notification_is_never_taken_for_the_whole() {
    let mut scene = Scene::new();
    let observation = scene.observe("61 05");
    let last_part = Response {
        block2: block(1, false, 6),
        ..first_of_notification(6)
    };
    scene.notify(0x77, observation, &last_part);
    scene.assert_silent();
    // The last message of the observation: what is left of it cannot be fetched.
    let ending = Response {
        observe: None,
        ..first_of_notification(0)
    };
    scene.notify(0x78, observation, &ending);
    let Event::Notification { message, ended, .. } = scene.event() else {
        panic!("no notification");
    };
    assert!(ended && message.payload().is_empty());
    assert_eq!(scene.exchanges.stats().incomplete_notifications, 2);
}

#[test]
fn a33_a_notification_that_changes_while_it_is_fetched_is_fetched_anew_once() {
    for changes in [1, 2] {
        let mut scene = Scene::new();
        let observation = scene.observe("61 05");
        scene.notify(0x77, observation, &first_of_notification(6));
        let asked = scene.sent_message();
        scene.serve(&asked, &body(1500), 6, b"v2");
        let restarted = scene.sent_message();
        assert_eq!((restarted.block2(), restarted.observe()), (None, None));
        scene.serve(&restarted, &body(1400), 6, b"v2");
        let asked = scene.sent_message();
        let etag = if changes == 1 { b"v2" } else { b"v3" };
        scene.serve(&asked, &body(1400), 6, etag);
        if changes == 1 {
            let Event::Notification { message, ended, .. } = scene.event() else {
                panic!("no notification");
            };
            assert_eq!((message.payload(), ended), (body(1400), false));
        } else {
            scene.assert_silent();
            assert_eq!(scene.exchanges.stats().incomplete_notifications, 1);
        }
        assert_eq!(scene.exchanges.observations(), 1);
        assert_eq!(scene.exchanges.poll_timeout(), None);
    }
}
