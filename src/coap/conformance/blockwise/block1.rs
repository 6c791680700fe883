//! Bodies of our requests, sent in blocks (RFC 7959 section 2.5), and what disturbs them.

use super::*;

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

#[test]
fn a_body_that_yields_lets_other_requests_between_its_blocks() {
    let mut scene = Scene::new();
    let body = write(2500);
    scene
        .exchanges
        .request_yielding(scene.now, Scene::DEVICE, &body, Scene::TIMEOUT);
    let first = scene.sent_message();
    assert_eq!(scene.exchanges.open_requests(), 1);
    scene.answer_block1(&first, Code::CONTINUE, first.block1());
    assert_eq!(scene.exchanges.open_requests(), 0, "the slot is free");
    let other = scene.request(&read("/3/0/9"));
    let between = scene.sent_message();
    assert_eq!(between.token(), other);
    scene.exchanges.send_yielding(scene.now);
    assert!(scene.sent().is_empty(), "the slot is taken");
    scene.answer(&between, &Response::new(Code::CONTENT));
    assert_eq!(scene.response().token(), other);
    // However long the others take, the body is not late.
    scene.wait(Scene::TIMEOUT * 3);
    assert_eq!(scene.exchanges.poll_timeout(), None);
    scene.exchanges.send_yielding(scene.now);
    let second = scene.sent_message();
    assert_eq!(second.block1(), block(1, true, 6));
    scene.answer_block1(&second, Code::CONTINUE, second.block1());
    scene.exchanges.send_yielding(scene.now);
    let last = scene.sent_message();
    scene.answer_block1(&last, Code::CHANGED, last.block1());
    assert_eq!(scene.response().code(), Code::CHANGED);
}
