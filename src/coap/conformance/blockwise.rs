//! RFC 7959 and RFC 9175 as seen from the wire: requests of ours whose bodies or responses take several blocks, and
//! requests of the device that do.

use std::time::Duration;

use bytes::Bytes;

use crate::coap::{
    Block, Code, Event, Failure, Message, MessageId, MessageType, Request, Response, Token,
    TransmissionParameters, encode,
    test_support::{Scene, read},
};

/// Bytes that differ from their neighbours.
fn body(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn block(number: u32, more: bool, szx: u8) -> Option<Block> {
    Some(Block { number, more, szx })
}

fn write(length: usize) -> Request {
    Request {
        method: Code::PUT,
        payload: body(length),
        ..read("/5/0/0")
    }
}

impl Scene {
    /// Sends a request; its handle.
    fn request(&mut self, request: &Request) -> Token {
        self.exchanges
            .request(self.now, Self::DEVICE, request, Self::TIMEOUT)
    }

    /// Answers a message of ours in its acknowledgement.
    fn answer(&mut self, to: &Message, response: &Response) {
        let (id, token) = (to.message_id(), to.token());
        let datagram = encode::response(response, MessageType::Acknowledgement, id, token);
        self.exchanges
            .handle_datagram(self.now, Self::DEVICE, datagram);
    }

    /// Answers with a code and a Block1.
    fn answer_block1(&mut self, to: &Message, code: Code, block1: Option<Block>) {
        let response = Response {
            block1,
            ..Response::new(code)
        };
        self.answer(to, &response);
    }

    /// Answers as a device that serves `body` in blocks, in the size asked for or a smaller one.
    fn serve(&mut self, to: &Message, body: &Bytes, szx: u8, etag: &'static [u8]) {
        let asked = to.block2().unwrap_or_else(|| Block::with_szx(szx));
        let szx = szx.min(asked.szx);
        let number = (asked.offset() / Block::with_szx(szx).size()) as u32;
        let piece = Block {
            number,
            more: false,
            szx,
        };
        let end = body.len().min(piece.offset() + piece.size());
        let response = Response {
            block2: block(number, end < body.len(), szx),
            etag: Some(Bytes::from_static(etag)),
            payload: body.slice(piece.offset()..end),
            ..Response::new(Code::CONTENT)
        };
        self.answer(to, &response);
    }

    /// Lets a device take a body whole; the numbers, M and SZX of the blocks, and what arrived.
    fn take_all(&mut self, szx: u8) -> (Vec<(u32, bool, u8)>, Vec<u8>) {
        let (mut blocks, mut arrived) = (Vec::new(), Vec::new());
        loop {
            let message = self.sent_message();
            let sent = message.block1().expect("a block");
            blocks.push((sent.number, sent.more, sent.szx));
            assert_eq!(sent.offset(), arrived.len(), "in order, without gaps");
            arrived.extend_from_slice(&message.payload());
            let answer = Some(Block {
                szx: szx.min(sent.szx),
                ..sent
            });
            if !sent.more {
                self.answer_block1(&message, Code::CHANGED, answer);
                return (blocks, arrived);
            }
            self.answer_block1(&message, Code::CONTINUE, answer);
        }
    }

    fn response(&mut self) -> Message {
        let Event::Response { message, .. } = self.event() else {
            panic!("no response");
        };
        message
    }

    fn failure(&mut self) -> Failure {
        let Event::Failed { failure, .. } = self.event() else {
            panic!("no failure");
        };
        failure
    }
}

#[test]
fn b01_a_body_leaves_in_confirmable_blocks_one_after_the_other() {
    let mut scene = Scene::new();
    let handle = scene.request(&write(2500));
    assert_eq!(scene.exchanges.open_requests(), 1);
    let (blocks, arrived) = scene.take_all(6);
    assert_eq!(blocks, [(0, true, 6), (1, true, 6), (2, false, 6)]);
    assert_eq!(arrived, body(2500));
    let Event::Response { token, message, .. } = scene.event() else {
        panic!("no response");
    };
    assert_eq!((token, message.code()), (handle, Code::CHANGED));
    assert_eq!(scene.exchanges.open_requests(), 0);
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

#[test]
fn b02_a_smaller_block_size_in_the_first_answer_is_used_from_then_on() {
    let mut scene = Scene::new();
    scene.request(&write(1500));
    let (blocks, arrived) = scene.take_all(5);
    // 1024 bytes have arrived: the next block of 512 bytes is number 2.
    assert_eq!(blocks, [(0, true, 6), (2, false, 5)]);
    assert_eq!(arrived, body(1500));
}

#[test]
fn b03_too_large_with_a_smaller_size_starts_anew_and_without_one_is_final() {
    let mut scene = Scene::new();
    scene.request(&write(2000));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::REQUEST_ENTITY_TOO_LARGE, block(0, true, 2));
    let again = scene.sent_message();
    assert_eq!(again.block1(), block(0, true, 2));
    scene.answer_block1(&again, Code::REQUEST_ENTITY_TOO_LARGE, block(0, true, 2));
    assert_eq!(scene.response().code(), Code::REQUEST_ENTITY_TOO_LARGE);
}

#[test]
fn b03_a_request_without_blocks_that_is_too_large_is_sent_in_blocks() {
    let mut scene = Scene::new();
    let handle = scene.request(&write(300));
    let whole = scene.sent_message();
    assert_eq!((whole.block1(), whole.token()), (None, handle));
    scene.answer_block1(&whole, Code::REQUEST_ENTITY_TOO_LARGE, block(0, false, 3));
    let (blocks, arrived) = scene.take_all(3);
    assert_eq!(blocks, [(0, true, 3), (1, true, 3), (2, false, 3)]);
    assert_eq!(arrived, body(300));
    assert_eq!(scene.response().code(), Code::CHANGED);
}

#[test]
fn b04_a_device_that_lost_its_state_gets_the_body_once_more() {
    let mut scene = Scene::new();
    scene.request(&write(2500));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    let second = scene.sent_message();
    scene.answer_block1(&second, Code::REQUEST_ENTITY_INCOMPLETE, second.block1());
    let restarted = scene.sent_message();
    assert_eq!(restarted.block1(), block(0, true, 6));
    scene.answer_block1(
        &restarted,
        Code::REQUEST_ENTITY_INCOMPLETE,
        restarted.block1(),
    );
    assert_eq!(scene.response().code(), Code::REQUEST_ENTITY_INCOMPLETE);
}

#[test]
fn b05_the_first_block_states_the_size_of_the_body() {
    let mut scene = Scene::new();
    scene.request(&write(1025));
    let first = scene.sent_message();
    assert_eq!(first.size1(), Some(1025));
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    assert_eq!(scene.sent_message().size1(), None);
}

#[test]
fn b06_a_device_that_takes_each_block_by_itself_gets_the_next_one() {
    for more in [false, true] {
        let mut scene = Scene::new();
        scene.request(&write(1500));
        let first = scene.sent_message();
        scene.answer_block1(&first, Code::CHANGED, block(0, more, 6));
        let second = scene.sent_message();
        assert_eq!(second.block1(), block(1, false, 6));
        scene.answer_block1(&second, Code::CHANGED, block(1, false, 6));
        assert_eq!(scene.response().code(), Code::CHANGED);
    }
}

#[test]
fn a_device_that_ignores_blocks_did_not_take_the_body() {
    let mut scene = Scene::new();
    scene.request(&write(1500));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CHANGED, None);
    assert_eq!(scene.failure(), Failure::Blockwise);
}

#[test]
fn b07_every_block_has_a_token_of_its_own_and_the_same_options() {
    let mut scene = Scene::new();
    let handle = scene.request(&Request {
        query: vec!["a=1".to_owned()],
        ..write(1500)
    });
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    let second = scene.sent_message();
    assert_ne!(first.token(), second.token());
    assert_eq!(second.token(), handle, "the last one has the request's");
    for message in [first, second] {
        assert!(message.uri_path().eq(["5", "0", "0"]) && message.uri_query().eq(["a=1"]));
        assert_eq!(message.code(), Code::PUT);
    }
}

#[test]
fn b17_block_numbers_above_4095_take_three_bytes() {
    let mut scene = Scene::with(TransmissionParameters {
        preferred_block_size_bytes: 16,
        ..TransmissionParameters::default()
    });
    scene.request(&write(16 * 4098));
    let (blocks, arrived) = scene.take_all(0);
    assert_eq!(arrived.len(), 16 * 4098);
    assert_eq!(blocks[4096..], [(4096, true, 0), (4097, false, 0)]);
}

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
fn a35_a_device_that_acknowledges_and_never_advances_fails_the_transfer() {
    let mut scene = Scene::new();
    scene.request(&write(2500));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    for _ in 0..4 {
        let second = scene.sent_message();
        assert_eq!(second.block1(), block(1, true, 6));
        scene.answer_block1(&second, Code::CONTINUE, block(0, true, 6));
    }
    assert_eq!(scene.failure(), Failure::Blockwise);
}

#[test]
fn a35_a_device_that_only_acknowledges_a_block_times_the_transfer_out() {
    let mut scene = Scene::new();
    scene.request(&write(2500));
    let first = scene.sent_message();
    scene.receive(&format!("60 00 {:04x}", first.message_id().0));
    scene.events();
    scene.wait(Scene::TIMEOUT - Duration::from_secs(1));
    scene.assert_silent();
    scene.wait(Duration::from_secs(1));
    assert_eq!(scene.failure(), Failure::Timeout);
}

#[test]
fn a32_the_reserved_block_size_is_refused_in_both_directions() {
    let mut scene = Scene::new();
    // GET with Block2 0/0/7; POST with Block1 0/1/7.
    scene.receive("40 01 00 01 d1 0a 07");
    assert_eq!(scene.sent(), ["60 80 00 01"]);
    scene.receive("40 02 00 02 d1 0e 0f ff 00");
    assert_eq!(scene.sent(), ["60 80 00 02"]);
    scene.request(&read("/3/0"));
    let asked = scene.sent_message();
    let response = Response {
        block2: block(0, true, 7),
        payload: body(2048),
        ..Response::new(Code::CONTENT)
    };
    scene.answer(&asked, &response);
    assert_eq!(scene.failure(), Failure::Blockwise);
}

#[test]
fn a33_a_block_beyond_the_end_is_refused() {
    let mut scene = Scene::new();
    // GET with Block2 2/0/0: bytes 32 to 47.
    scene.receive("40 01 00 01 d1 0a 20");
    let id = scene.incoming();
    let response = Response {
        payload: body(32),
        ..Response::new(Code::CONTENT)
    };
    scene.exchanges.respond(scene.now, id, &response);
    assert_eq!(scene.sent(), ["60 80 00 01"]);
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
fn b08_a_body_of_the_device_is_put_together_and_its_last_block_acknowledged_by_number() {
    let mut scene = Scene::new();
    let send = |number, more, id, payload: &Bytes| {
        let request = Request {
            method: Code::POST,
            block1: block(number, more, 0),
            payload: payload.clone(),
            ..read("/dp")
        };
        let token = Token::new(&[id as u8]).unwrap();
        encode::request(&request, MessageType::Confirmable, MessageId(id), token)
    };
    let content = body(20);
    let first = send(0, true, 1, &content.slice(..16));
    let last = send(1, false, 2, &content.slice(16..));
    for _ in 0..2 {
        scene
            .exchanges
            .handle_datagram(scene.now, Scene::DEVICE, first.clone());
        // 2.31, Block1 0/1/0
        assert_eq!(scene.sent(), ["61 5f 00 01 01 d1 0e 08"]);
    }
    scene
        .exchanges
        .handle_datagram(scene.now, Scene::DEVICE, last.clone());
    let Event::Request { id, message, .. } = scene.event() else {
        panic!("no request");
    };
    assert_eq!(message.payload(), content);
    scene
        .exchanges
        .respond(scene.now, id, &Response::new(Code::CHANGED));
    // 2.04, Block1 1/0/0
    assert_eq!(scene.sent(), ["61 44 00 02 02 d1 0e 10"]);
    scene
        .exchanges
        .handle_datagram(scene.now, Scene::DEVICE, last);
    assert_eq!(scene.sent(), ["61 44 00 02 02 d1 0e 10"], "b09");
}

#[test]
fn a24_a_body_above_its_limit_is_refused_at_its_first_block_when_the_device_says_so() {
    let mut scene = Scene::new();
    let request = Request {
        method: Code::POST,
        block1: block(0, true, 0),
        size1: Some(256 << 20),
        payload: body(16),
        ..read("/rd")
    };
    let datagram = encode::request(
        &request,
        MessageType::Confirmable,
        MessageId(1),
        Token::default(),
    );
    scene
        .exchanges
        .handle_datagram(scene.now, Scene::DEVICE, datagram);
    // 4.13, Block1 0/1/0, Size1 65536
    assert_eq!(scene.sent(), ["60 8d 00 01 d1 0e 08 d3 14 01 00 00"]);
    assert_eq!(scene.exchanges.stats().refused_blocks, 1);
}

#[test]
fn a30_a_block_that_gets_lost_twice_is_sent_in_halves() {
    let mut scene = Scene::new();
    scene.request(&write(2000));
    let first = scene.sent_message();
    assert_eq!(first.block1(), block(0, true, 6));
    scene.wait(Duration::from_secs(3));
    assert_eq!(scene.sent().len(), 1, "the first repetition");
    scene.wait(Duration::from_secs(6));
    let smaller = scene.sent_message();
    assert_eq!(smaller.block1(), block(0, true, 5));
    assert_eq!(smaller.payload().len(), 512);
    scene.answer_block1(&smaller, Code::CONTINUE, smaller.block1());
    assert_eq!(scene.sent_message().block1(), block(1, true, 5));
    assert_eq!(scene.exchanges.open_requests(), 1);
}

#[test]
fn p17_1_a_challenge_for_freshness_is_answered_once() {
    let mut scene = Scene::new();
    let handle = scene.request(&read("/3/0"));
    let asked = scene.sent_message();
    let challenge = Response {
        echo: Some(Bytes::from_static(b"fresh")),
        ..Response::new(Code::UNAUTHORIZED)
    };
    scene.answer(&asked, &challenge);
    let again = scene.sent_message();
    assert_eq!(again.echo(), Some(&b"fresh"[..]));
    scene.answer(&again, &challenge);
    let Event::Response { token, message, .. } = scene.event() else {
        panic!("no response");
    };
    assert_eq!((token, message.code()), (handle, Code::UNAUTHORIZED));
}

#[test]
fn c13_the_next_block_waits_for_a_free_slot() {
    let mut scene = Scene::new();
    scene.request(&write(1500));
    let first = scene.sent_message();
    scene.receive(&format!("60 00 {:04x}", first.message_id().0));
    scene.events();
    assert_eq!(scene.exchanges.open_requests(), 0, "acknowledged");
    let (other, other_id) = scene.get();
    // The separate answer to the first block: acknowledged, but the slot is taken.
    let separate = Response {
        block1: first.block1(),
        ..Response::new(Code::CONTINUE)
    };
    let datagram = encode::response(
        &separate,
        MessageType::Confirmable,
        MessageId(9),
        first.token(),
    );
    scene
        .exchanges
        .handle_datagram(scene.now, Scene::DEVICE, datagram);
    assert_eq!(scene.sent(), ["60 00 00 09"]);
    assert_eq!(scene.exchanges.open_requests(), 2);
    scene.receive(&format!("68 45 {:04x} {other}", other_id.0));
    assert_eq!(scene.sent_message().block1(), block(1, false, 6));
}

#[test]
fn cancelling_a_transfer_ends_it_wherever_it_is() {
    let mut scene = Scene::new();
    let handle = scene.request(&write(2500));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    let second = scene.sent_message();
    assert_ne!(second.token(), handle);
    assert!(scene.exchanges.cancel(scene.now, handle));
    scene.answer_block1(&second, Code::CONTINUE, second.block1());
    scene.assert_silent();
    assert_eq!(scene.exchanges.poll_timeout(), None);
}

impl Scene {
    /// Receives a non-confirmable notification on an observation.
    fn notify(&mut self, id: u16, observation: Token, notification: &Response) {
        let message_type = MessageType::NonConfirmable;
        let datagram = encode::response(notification, message_type, MessageId(id), observation);
        self.exchanges
            .handle_datagram(self.now, Self::DEVICE, datagram);
    }

    /// Has a device acknowledge the first block of a body without its answer, and another request take the slot; the block,
    /// and the other request.
    fn slot_taken(&mut self, body: usize) -> (Message, (Token, MessageId)) {
        self.request(&write(body));
        let first = self.sent_message();
        self.receive(&format!("60 00 {:04x}", first.message_id().0));
        self.events();
        let other = self.get();
        (first, other)
    }
}

/// The first block of a notification of 1500 bytes.
fn first_of_notification(observe: u32) -> Response {
    Response {
        observe: Some(observe),
        block2: block(0, true, 6),
        etag: Some(Bytes::from_static(b"v1")),
        payload: body(1500).slice(..1024),
        ..Response::new(Code::CONTENT)
    }
}

#[test]
fn an_answer_that_comes_twice_is_none_to_the_block_that_waits() {
    let mut scene = Scene::new();
    let (first, (other, other_id)) = scene.slot_taken(2500);
    // 2.31 without Block1, separate and not confirmable, under two message ids
    let token = first.token();
    scene.receive(&format!("58 5f 00 09 {token}"));
    scene.receive(&format!("58 5f 00 0a {token}"));
    assert_eq!(scene.sent(), ["70 00 00 0a"]);
    scene.receive(&format!("68 45 {:04x} {other}", other_id.0));
    assert_eq!(scene.sent_message().block1(), block(1, true, 6));
}

#[test]
fn c13_a_slot_that_a_cancelled_request_had_goes_to_the_block_that_waits() {
    let mut scene = Scene::new();
    let (first, (other, _)) = scene.slot_taken(1500);
    scene.receive(&format!("58 5f 00 09 {}", first.token()));
    scene.assert_silent();
    assert!(scene.exchanges.cancel(scene.now, other));
    assert_eq!(scene.sent_message().block1(), block(1, false, 6));
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

#[test]
fn a35_a_device_that_waits_for_more_than_there_is_did_not_take_the_body() {
    let mut scene = Scene::new();
    scene.request(&write(10));
    let whole = scene.sent_message();
    scene.answer_block1(&whole, Code::CONTINUE, None);
    assert_eq!(scene.failure(), Failure::Blockwise);
    scene.request(&write(1500));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    let last = scene.sent_message();
    scene.answer_block1(&last, Code::CONTINUE, block(0, true, 6));
    let last = scene.sent_message();
    assert_eq!(last.block1(), block(1, false, 6), "asked again");
    scene.answer_block1(&last, Code::CONTINUE, last.block1());
    assert_eq!(scene.failure(), Failure::Blockwise);
}

#[test]
fn a35_a_short_last_block_whose_acknowledgement_gets_lost_keeps_its_message_id() {
    let mut scene = Scene::new();
    scene.request(&write(1500));
    let first = scene.sent_message();
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    let last = scene.sent_message();
    for wait in [3, 6, 12] {
        scene.wait(Duration::from_secs(wait));
        assert_eq!(scene.sent_message().datagram(), last.datagram());
    }
    scene.answer_block1(&last, Code::CHANGED, last.block1());
    assert_eq!(scene.response().code(), Code::CHANGED);
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

#[test]
fn b07_two_bodies_for_one_path_go_one_after_the_other() {
    let mut scene = Scene::new();
    scene.request(&write(1500));
    let first = scene.sent_message();
    scene.receive(&format!("60 00 {:04x}", first.message_id().0));
    scene.events();
    scene.request(&write(1100));
    scene.assert_silent();
    // 2.31 with Block1 0/1/6, separate
    scene.receive(&format!("58 5f 00 09 {} d1 0e 0e", first.token()));
    let last = scene.sent_message();
    assert_eq!(last.block1(), block(1, false, 6));
    scene.answer_block1(&last, Code::CHANGED, last.block1());
    assert_eq!(scene.response().code(), Code::CHANGED);
    let (blocks, arrived) = scene.take_all(6);
    assert_eq!((blocks.len(), arrived), (2, body(1100).to_vec()));
}
