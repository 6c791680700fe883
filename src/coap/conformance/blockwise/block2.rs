//! Responses of the device that come in blocks (RFC 7959 section 2.4).

use super::*;

#[test]
fn b10_the_rest_of_a_response_is_fetched_with_the_same_options() {
    let mut scene = Scene::new();
    let content = body(2500);
    let request = Request {
        accept: Some(crate::coap::ContentFormat::SENML_CBOR),
        ..read("/3/0")
    };
    let handle = scene.request(&request);
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let asked = scene.sent_message();
        assert!(asked.uri_path().eq(["3", "0"]));
        assert_eq!(asked.accept(), request.accept);
        numbers.push(asked.block2().map(|block| (block.number, block.more)));
        scene.serve(&asked, &content, 6, b"v1");
    }
    assert_eq!(numbers, [None, Some((1, false)), Some((2, false))]);
    let Event::Response { token, message, .. } = scene.event() else {
        panic!("no response");
    };
    assert_eq!((token, message.payload()), (handle, content));
}

#[test]
fn b10_a_representation_that_changes_is_fetched_anew_once_a33() {
    let mut scene = Scene::new();
    let content = body(1500);
    scene.request(&read("/3/0"));
    let first = scene.sent_message();
    scene.serve(&first, &content, 6, b"v1");
    let second = scene.sent_message();
    scene.serve(&second, &content, 6, b"v2");
    let restarted = scene.sent_message();
    assert_eq!(restarted.block2(), None);
    scene.serve(&restarted, &content, 6, b"v2");
    let second = scene.sent_message();
    scene.serve(&second, &content, 6, b"v3");
    assert_eq!(scene.failure(), Failure::Blockwise);
}

#[test]
fn b11_a_smaller_block_size_is_asked_for_in_the_first_request() {
    let mut scene = Scene::with(TransmissionParameters {
        preferred_block_size_bytes: 512,
        ..TransmissionParameters::default()
    });
    scene.request(&read("/3/0"));
    assert_eq!(scene.sent_message().block2(), block(0, false, 5));
}

#[test]
fn b02_a_device_that_serves_smaller_blocks_is_asked_for_those() {
    let mut scene = Scene::new();
    let content = body(200);
    scene.request(&read("/3/0"));
    let mut asked = Vec::new();
    while scene.exchanges.open_requests() > 0 {
        let message = scene.sent_message();
        asked.extend(message.block2());
        scene.serve(&message, &content, 2, b"v1");
    }
    let numbers: Vec<_> = asked
        .iter()
        .map(|block| (block.number, block.szx))
        .collect();
    assert_eq!(numbers, [(1, 2), (2, 2), (3, 2)]);
    assert_eq!(scene.response().payload(), content);
}

#[test]
fn b14_a_long_path_list_is_sent_first_and_then_the_long_response_fetched() {
    let mut scene = Scene::new();
    let content = body(1500);
    let request = Request {
        method: Code::FETCH,
        payload: body(1100),
        ..Request::default()
    };
    scene.request(&request);
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    let last = scene.sent_message();
    let served = Response {
        block1: last.block1(),
        block2: block(0, true, 6),
        payload: content.slice(..1024),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&last, &served);
    let more = scene.sent_message();
    assert_eq!(more.code(), Code::FETCH);
    assert_eq!(
        (more.block1(), more.block2()),
        (block(1, false, 6), block(1, false, 6))
    );
    assert!(more.payload().is_empty());
    let served = Response {
        block2: block(1, false, 6),
        payload: content.slice(1024..),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&more, &served);
    assert_eq!(scene.response().payload(), content);
}

#[test]
fn b14_a_short_path_list_is_repeated_with_every_block() {
    let mut scene = Scene::new();
    let content = body(1500);
    scene.request(&Request {
        method: Code::FETCH,
        payload: body(20),
        ..Request::default()
    });
    let first = scene.sent_message();
    scene.serve(&first, &content, 6, b"v1");
    let more = scene.sent_message();
    assert_eq!((more.payload(), more.block1()), (body(20), None));
}

#[test]
fn a34_a_device_that_always_answers_the_same_block_fails_that_request_alone() {
    let mut scene = Scene::new();
    scene.request(&read("/3/0"));
    for _ in 0..5 {
        let asked = scene.sent_message();
        let response = Response {
            block2: block(0, true, 6),
            payload: body(1024),
            ..Response::new(Code::CONTENT)
        };
        scene.answer(&asked, &response);
    }
    assert_eq!(scene.failure(), Failure::Blockwise);
    scene.assert_silent();
    assert_eq!(scene.exchanges.poll_timeout(), None);
    scene.get();
}

#[test]
fn a_response_longer_than_the_limit_is_not_fetched() {
    let parameters = TransmissionParameters {
        max_response_body_bytes: 3000,
        ..TransmissionParameters::default()
    };
    let mut scene = Scene::with(parameters.clone());
    scene.request(&read("/3/0"));
    for _ in 0..3 {
        let asked = scene.sent_message();
        scene.serve(&asked, &body(4000), 6, b"v1");
    }
    assert_eq!(scene.failure(), Failure::Blockwise);
    let mut scene = Scene::with(parameters);
    scene.request(&read("/3/0"));
    let asked = scene.sent_message();
    let announced = Response {
        block2: block(0, true, 6),
        size2: Some(3001),
        payload: body(1024),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&asked, &announced);
    assert_eq!(scene.failure(), Failure::Blockwise, "at the first block");
}

#[test]
fn a_request_that_does_more_than_to_read_is_not_sent_again_when_its_response_changes() {
    let mut scene = Scene::new();
    scene.request(&Request {
        method: Code::POST,
        ..read("/3/0/4")
    });
    let first = scene.sent_message();
    scene.serve(&first, &body(1500), 6, b"v1");
    let second = scene.sent_message();
    scene.serve(&second, &body(1500), 6, b"v2");
    assert_eq!(scene.failure(), Failure::Blockwise);
    scene.assert_silent();
}
