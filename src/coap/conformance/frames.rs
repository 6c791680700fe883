//! The worked frames of LwM2M operations, read and written.

use bytes::Bytes;

use crate::coap::{
    Block, Code, ContentFormat, Message, MessageId, MessageType, Request, Response, Token, encode,
    test_support::{hex, request_of, response_of, to_hex},
};

const LINKS: &str = "</>;rt=\"oma.lwm2m\";ct=\"60 112\",</1/0>,</3/0>";

/// `bytes` with the characters of `text` after them, in hexadecimal.
fn with_text(bytes: &str, text: &str) -> String {
    format!("{bytes} {}", to_hex(text.as_bytes()))
}

fn parts(frame: &str) -> (Message, MessageType, MessageId, Token) {
    let message = Message::parse(hex(frame).into()).unwrap();
    assert_eq!(message.refusal(), None);
    let (message_type, id, token) = (
        message.message_type(),
        message.message_id(),
        message.token(),
    );
    (message, message_type, id, token)
}

/// Asserts that `frame` is the request, both ways.
fn request(frame: &str, message_type: MessageType, id: u16, token: &str, request: &Request) {
    let (message, read_type, read_id, read_token) = parts(frame);
    assert_eq!(
        (read_type, read_id.0, read_token.to_string().as_str()),
        (message_type, id, token)
    );
    assert_eq!(&request_of(&message), request);
    assert_eq!(
        to_hex(&encode::request(request, read_type, read_id, read_token)),
        frame
    );
}

/// Asserts that `frame` is the response, both ways.
fn response(frame: &str, message_type: MessageType, id: u16, token: &str, response: &Response) {
    let (message, read_type, read_id, read_token) = parts(frame);
    assert_eq!(
        (read_type, read_id.0, read_token.to_string().as_str()),
        (message_type, id, token)
    );
    assert_eq!(&response_of(&message), response);
    assert_eq!(
        to_hex(&encode::response(response, read_type, read_id, read_token)),
        frame
    );
}

fn con(frame: &str, id: u16, token: &str, expected: &Request) {
    request(frame, MessageType::Confirmable, id, token, expected);
}

fn ack(frame: &str, id: u16, token: &str, expected: &Response) {
    response(frame, MessageType::Acknowledgement, id, token, expected);
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn to(method: Code, path: &[&str]) -> Request {
    Request {
        method,
        path: strings(path),
        ..Request::default()
    }
}

fn with_payload(request: Request, format: ContentFormat, payload: &str) -> Request {
    Request {
        content_format: Some(format),
        payload: hex(payload).into(),
        ..request
    }
}

fn block(number: u32, more: bool, szx: u8) -> Option<Block> {
    Some(Block { number, more, szx })
}

#[test]
fn register_and_its_2_01() {
    let frame = with_text(
        "41 02 00 01 a1 b2 72 64 11 28 37 65 70 3d 64 65 76 31 06 6c 74 3d 33 30 30 \
         09 6c 77 6d 32 6d 3d 31 2e 31 03 62 3d 55 ff",
        LINKS,
    );
    let register = Request {
        query: strings(&["ep=dev1", "lt=300", "lwm2m=1.1", "b=U"]),
        content_format: Some(ContentFormat::LINK),
        payload: LINKS.into(),
        ..to(Code::POST, &["rd"])
    };
    con(&frame, 1, "a1", &register);
    let created = Response {
        location_path: strings(&["rd", "5a3f"]),
        ..Response::new(Code::CREATED)
    };
    ack("61 41 00 01 a1 82 72 64 04 35 61 33 66", 1, "a1", &created);
}

#[test]
fn register_as_wakaama_sends_it() {
    let links = "</>;rt=\"oma.lwm2m\";ct=11543,</1/0>,</31024/12>";
    let queries = [
        to_hex(b"lwm2m=1.0"),
        with_text("0d 00", "ep=urn:test:1"),
        with_text("03", "b=U"),
        with_text("06", "lt=300"),
    ]
    .join(" ");
    let frame = with_text(
        &format!("44 02 be ef 01 02 03 04 b2 72 64 11 28 39 {queries} ff"),
        links,
    );
    let register = Request {
        query: strings(&["lwm2m=1.0", "ep=urn:test:1", "b=U", "lt=300"]),
        content_format: Some(ContentFormat::LINK),
        payload: links.into(),
        ..to(Code::POST, &["rd"])
    };
    con(&frame, 0xbeef, "01020304", &register);
}

#[test]
fn update_its_2_04_and_deregister() {
    con(
        "41 02 00 02 a2 b2 72 64 04 35 61 33 66",
        2,
        "a2",
        &to(Code::POST, &["rd", "5a3f"]),
    );
    ack("61 44 00 02 a2", 2, "a2", &Response::new(Code::CHANGED));
    con(
        "41 04 00 03 a3 b2 72 64 04 35 61 33 66",
        3,
        "a3",
        &to(Code::DELETE, &["rd", "5a3f"]),
    );
}

#[test]
fn read_and_its_2_05() {
    let read = Request {
        accept: Some(ContentFormat::TLV),
        ..to(Code::GET, &["3", "0"])
    };
    con("41 01 01 00 51 b1 33 01 30 62 2d 16", 0x100, "51", &read);
    let content = Response {
        content_format: Some(ContentFormat::TLV),
        payload: hex("c1 09 64").into(),
        ..Response::new(Code::CONTENT)
    };
    ack("61 45 01 00 51 c2 2d 16 ff c1 09 64", 0x100, "51", &content);
}

#[test]
fn writes() {
    let replace = with_payload(
        to(Code::PUT, &["1", "0", "1"]),
        ContentFormat::TEXT,
        "36 30",
    );
    con(
        "41 03 01 03 53 b1 31 01 30 01 31 10 ff 36 30",
        0x103,
        "53",
        &replace,
    );
    let update = with_payload(
        to(Code::POST, &["3", "0"]),
        ContentFormat::TLV,
        "c6 0e 2b 30 32 3a 30 30",
    );
    con(
        "41 02 01 04 54 b1 33 01 30 12 2d 16 ff c6 0e 2b 30 32 3a 30 30",
        0x104,
        "54",
        &update,
    );
    let attributes = Request {
        query: strings(&["pmin=10", "pmax=60", "gt=25.5"]),
        ..to(Code::PUT, &["3303", "0", "5700"])
    };
    con(
        "41 03 01 05 55 b4 33 33 30 33 01 30 04 35 37 30 30 47 70 6d 69 6e 3d 31 30 07 70 6d 61 78 3d 36 30 \
         07 67 74 3d 32 35 2e 35",
        0x105,
        "55",
        &attributes,
    );
}

#[test]
fn executes() {
    let execute = to(Code::POST, &["3", "0", "4"]);
    con("41 02 01 06 56 b1 33 01 30 01 34", 0x106, "56", &execute);
    let arguments = with_payload(execute, ContentFormat::TEXT, "30 3d 27 61 27 2c 31");
    con(
        "41 02 01 07 57 b1 33 01 30 01 34 10 ff 30 3d 27 61 27 2c 31",
        0x107,
        "57",
        &arguments,
    );
}

#[test]
fn create_delete_and_discover() {
    let create = with_payload(
        to(Code::POST, &["16"]),
        ContentFormat::TLV,
        "03 00 c1 00 61",
    );
    con(
        "41 02 01 08 58 b2 31 36 12 2d 16 ff 03 00 c1 00 61",
        0x108,
        "58",
        &create,
    );
    con(
        "41 04 01 09 59 b2 31 36 01 30",
        0x109,
        "59",
        &to(Code::DELETE, &["16", "0"]),
    );
    let discover = Request {
        accept: Some(ContentFormat::LINK),
        ..to(Code::GET, &["3"])
    };
    con("41 01 01 0a 5a b1 33 61 28", 0x10a, "5a", &discover);
}

#[test]
fn composites() {
    let read = Request {
        accept: Some(ContentFormat::SENML_CBOR),
        ..with_payload(
            to(Code::FETCH, &[]),
            ContentFormat::SENML_CBOR,
            "82 a1 00 66 2f 33 2f 30 2f 30 a1 00 66 2f 31 2f 30 2f 31",
        )
    };
    con(
        "41 05 01 0b 5b c1 70 51 70 ff 82 a1 00 66 2f 33 2f 30 2f 30 a1 00 66 2f 31 2f 30 2f 31",
        0x10b,
        "5b",
        &read,
    );
    let write = with_payload(
        to(Code::IPATCH, &[]),
        ContentFormat::SENML_CBOR,
        "81 a2 00 66 2f 31 2f 30 2f 31 02 18 3c",
    );
    con(
        "41 07 01 0d 5d c1 70 ff 81 a2 00 66 2f 31 2f 30 2f 31 02 18 3c",
        0x10d,
        "5d",
        &write,
    );
    let observe = Request {
        observe: Some(0),
        accept: Some(ContentFormat::SENML_CBOR),
        ..with_payload(
            to(Code::FETCH, &[]),
            ContentFormat::SENML_CBOR,
            "81 a1 00 66 2f 33 2f 30 2f 30",
        )
    };
    con(
        "41 05 01 0c 5c 60 61 70 51 70 ff 81 a1 00 66 2f 33 2f 30 2f 30",
        0x10c,
        "5c",
        &observe,
    );
}

#[test]
fn block1_requests_and_their_answers() {
    let first = Request {
        block1: block(0, true, 6),
        size1: Some(5_000_000),
        ..with_payload(to(Code::PUT, &["5", "0", "0"]), ContentFormat::OPAQUE, "00")
    };
    con(
        "41 03 03 00 71 b1 35 01 30 01 30 11 2a d1 02 0e d3 14 4c 4b 40 ff 00",
        0x300,
        "71",
        &first,
    );
    let late = Request {
        block1: block(4096, true, 6),
        ..with_payload(to(Code::PUT, &["5", "0", "0"]), ContentFormat::OPAQUE, "00")
    };
    con(
        "41 03 03 01 71 b1 35 01 30 01 30 11 2a d3 02 01 00 0e ff 00",
        0x301,
        "71",
        &late,
    );
    let answer = |code, block1, size1| Response {
        block1,
        size1,
        ..Response::new(code)
    };
    let on = answer(Code::CONTINUE, block(0, true, 6), None);
    ack("61 5f 03 00 71 d1 0e 0e", 0x300, "71", &on);
    let smaller = answer(Code::CONTINUE, block(0, true, 2), None);
    ack("61 5f 03 00 71 d1 0e 0a", 0x300, "71", &smaller);
    let too_large = answer(
        Code::REQUEST_ENTITY_TOO_LARGE,
        block(0, true, 4),
        Some(65_536),
    );
    ack(
        "61 8d 03 00 71 d1 0e 0c d3 14 01 00 00",
        0x300,
        "71",
        &too_large,
    );
}

#[test]
fn observe_notify_and_cancel() {
    let observe = Request {
        observe: Some(0),
        accept: Some(ContentFormat::SENML_CBOR),
        ..to(Code::GET, &["3303", "0", "5700"])
    };
    con(
        "42 01 01 01 52 01 60 54 33 33 30 33 01 30 04 35 37 30 30 61 70",
        0x101,
        "5201",
        &observe,
    );
    let notification = Response {
        observe: Some(5),
        content_format: Some(ContentFormat::SENML_CBOR),
        payload: hex("81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0").into(),
        ..Response::new(Code::CONTENT)
    };
    response(
        "52 45 70 01 52 01 61 05 61 70 ff 81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0",
        MessageType::NonConfirmable,
        0x7001,
        "5201",
        &notification,
    );
    let cancel = Request {
        observe: Some(1),
        ..to(Code::GET, &["3303", "0", "5700"])
    };
    con(
        "42 01 01 02 52 01 61 01 54 33 33 30 33 01 30 04 35 37 30 30",
        0x102,
        "5201",
        &cancel,
    );
}

#[test]
fn send() {
    let send = with_payload(
        to(Code::POST, &["dp"]),
        ContentFormat::SENML_CBOR,
        "81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0",
    );
    con(
        "41 02 70 02 b1 b2 64 70 11 70 ff 81 a2 21 6c 2f 33 33 30 33 2f 30 2f 35 37 30 30 02 f9 4d a0",
        0x7002,
        "b1",
        &send,
    );
}

#[test]
fn empty_messages() {
    for (frame, message_type, id) in [
        ("40 00 00 09", MessageType::Confirmable, 9),
        ("70 00 00 09", MessageType::Reset, 9),
        ("60 00 00 09", MessageType::Acknowledgement, 9),
        ("70 00 70 01", MessageType::Reset, 0x7001),
    ] {
        let (message, read_type, read_id, token) = parts(frame);
        assert_eq!(
            (read_type, read_id.0, token),
            (message_type, id, Token::default())
        );
        assert!(message.code().is_empty());
        assert_eq!(message.payload(), Bytes::new());
        assert_eq!(to_hex(&encode::empty(message_type, MessageId(id))), frame);
    }
}
