//! Requests of the device that come in blocks, and blocks that it asks for.

use super::*;

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
