//! The message layer: reading and writing messages beside `coap-lite`, which knows no more of them than their form, and
//! the machines over it, which no published crate has without its sockets.

use bytes::Bytes;
use coap_lite::{CoapOption, Packet};
use lightship::coap::{
    Code, ContentFormat, Message, MessageId, MessageType, Request, Response, Token, encode,
};

use super::{Contest, machine, run};

pub(crate) fn contests() -> Vec<Contest> {
    let mut contests = Vec::new();
    for (name, datagram) in [
        ("Update", machine::post(&["rd", "0123456789"], 1)),
        ("notification", notification()),
    ] {
        let bytes = datagram.clone();
        let ours = move || {
            let message = Message::parse(datagram.clone()).unwrap();
            let segments = message.uri_path().count();
            (
                message.code(),
                message.token(),
                segments,
                message.observe(),
                message.payload(),
            )
        };
        let theirs = move || {
            let packet = Packet::from_bytes(&bytes).unwrap();
            let segments = packet.get_option(CoapOption::UriPath).map(|own| own.len());
            (segments, packet.get_observe_value(), packet)
        };
        let rivals = vec![("coap-lite", run(theirs))];
        contests.push(Contest::new(name, "read", 1, run(ours), rivals));
    }
    contests.extend(writing());
    contests.extend(machine::contests());
    contests
}

fn writing() -> [Contest; 3] {
    let packet = |class_and_detail: u8| {
        let mut packet = Packet::new();
        packet.header.code = class_and_detail.into();
        packet.header.message_id = 7;
        packet.set_token(TOKEN.to_vec());
        packet
    };
    let changed = Response::new(Code::CHANGED);
    let content = content();
    let read = Request {
        path: ["3", "0", "9"].map(str::to_owned).to_vec(),
        accept: Some(ContentFormat::TLV),
        ..Request::default()
    };
    let id = MessageId(7);
    let contest =
        |name, ours, theirs| Contest::new(name, "write", 1, ours, vec![("coap-lite", theirs)]);
    [
        contest(
            "2.04",
            run(move || encode::response(&changed, MessageType::Acknowledgement, id, token())),
            run(move || packet(Code::CHANGED.0).to_bytes().unwrap()),
        ),
        contest(
            "notification",
            run(move || encode::response(&content, MessageType::Confirmable, id, token())),
            run(move || {
                let mut packet = packet(Code::CONTENT.0);
                packet.set_observe_value(7);
                packet.add_option(CoapOption::ContentFormat, vec![110]);
                packet.payload = PAYLOAD.to_vec();
                packet.to_bytes().unwrap()
            }),
        ),
        contest(
            "GET /3/0/9",
            run(move || encode::request(&read, MessageType::Confirmable, id, token())),
            run(move || {
                let mut packet = packet(Code::GET.0);
                for segment in ["3", "0", "9"] {
                    packet.add_option(CoapOption::UriPath, segment.as_bytes().to_vec());
                }
                packet.add_option(CoapOption::Accept, vec![0x2d, 0x16]);
                packet.to_bytes().unwrap()
            }),
        ),
    ]
}

fn notification() -> Bytes {
    encode::response(&content(), MessageType::Confirmable, MessageId(7), token())
}

fn content() -> Response {
    Response {
        observe: Some(7),
        content_format: Some(ContentFormat::SENML_JSON),
        payload: Bytes::from_static(PAYLOAD),
        ..Response::new(Code::CONTENT)
    }
}

fn token() -> Token {
    TOKEN.into()
}

const TOKEN: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const PAYLOAD: &[u8] = br#"[{"bn":"/3303/0/5700","v":21.5}]"#;
