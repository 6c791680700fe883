//! A server that asks a simulated device, without network.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::*;
use crate::{
    coap::{
        Code, ContentFormat, Event, Exchanges, Message, Request, Response, Token,
        TransmissionParameters,
    },
    lwm2m::{
        format,
        model::core,
        path::{ObjectVersion, Path},
        value::Value,
    },
};

struct Pair {
    now: Instant,
    server: Exchanges<()>,
    device: SimDevice<()>,
    /// Answers and notifications that came.
    received: Vec<Message>,
    /// Payloads of Updates.
    updates: Vec<Bytes>,
}

impl Pair {
    /// A registered device with the objects 3 and 19.
    fn registered() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as a base")]
        let now = Instant::now();
        let coap = Arc::new(TransmissionParameters::default());
        let settings = SimSettings {
            endpoint: "dev1".to_owned(),
            lifetime: Duration::from_secs(300),
            confirmable: false,
            queue_mode: false,
            updates: false,
            coap: Arc::clone(&coap),
        };
        let mut objects = SimObjects::default();
        for (object, version) in [
            (3, ObjectVersion::new(1, 2)),
            (19, ObjectVersion::new(1, 1)),
        ] {
            objects.add_object(Arc::clone(core::catalog().exact(object, version).unwrap()));
        }
        for (path, value) in [
            ("/3/0/0", Value::String("Lightship".to_owned())),
            ("/3/0/9", Value::Integer(95)),
            ("/3/0/14", Value::String("+00".to_owned())),
            ("/3/0/15", Value::String("UTC".to_owned())),
            ("/19/0/0/0", Value::Opaque(Bytes::from_static(&[1]))),
            ("/19/0/0/1", Value::Opaque(Bytes::from_static(&[2]))),
        ] {
            objects.set(path.parse().unwrap(), value);
        }
        let mut pair = Self {
            now,
            server: Exchanges::new(Arc::clone(&coap), coap.bodies(), [1; 32], [0; 2]),
            device: SimDevice::new(settings, objects, (), [2; 32]),
            received: Vec::new(),
            updates: Vec::new(),
        };
        pair.device.register(now);
        pair.settle();
        assert!(pair.device.is_registered());
        pair
    }

    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            while let Some(((), datagram)) = self.device.poll_transmit() {
                self.server.handle_datagram(self.now, (), datagram);
                quiet = false;
            }
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::Request { id, message, .. } => {
                        let is_register = message.uri_path().count() == 1;
                        let mut response = Response::new(Code::CHANGED);
                        if is_register {
                            response.code = Code::CREATED;
                            response.location_path = vec!["rd".to_owned(), "1".to_owned()];
                        } else {
                            self.updates.push(message.payload());
                        }
                        self.server.respond(self.now, id, &response);
                    }
                    Event::Response { message, .. } | Event::Notification { message, .. } => {
                        self.received.push(message);
                    }
                    Event::Acknowledged { .. }
                    | Event::Failed { .. }
                    | Event::NotificationAcknowledged { .. }
                    | Event::NotificationFailed { .. } => panic!("{event:?}"),
                }
            }
            while let Some(((), datagram)) = self.server.poll_transmit() {
                self.device.handle_datagram(self.now, (), datagram);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Message {
        self.server.request(self.now, (), request, TIMEOUT);
        self.settle();
        self.received.pop().unwrap()
    }

    /// A request with a text or TLV payload.
    fn send(
        &mut self,
        method: Code,
        path: &str,
        format: ContentFormat,
        payload: &'static [u8],
    ) -> Code {
        let request = Request {
            content_format: Some(format),
            payload: Bytes::from_static(payload),
            ..to(method, path)
        };
        self.ask(&request).code()
    }

    fn observe(&mut self, path: &str) -> Token {
        let request = to(Code::GET, path);
        let token = self.server.observe(self.now, (), &request, TIMEOUT);
        self.settle();
        assert_eq!(self.received.pop().unwrap().observe(), Some(0));
        token
    }

    fn value(&self, path: &str) -> Option<&Value> {
        self.device.objects().value(&path.parse().unwrap())
    }
}

const TIMEOUT: Duration = Duration::from_secs(60);
const TLV: ContentFormat = ContentFormat::TLV;

fn to(method: Code, path: &str) -> Request {
    Request {
        method,
        path: path.split('/').skip(1).map(str::to_owned).collect(),
        ..Request::default()
    }
}

#[test]
fn p2_14_every_format_is_announced_and_answered_in() {
    let mut pair = Pair::registered();
    let links = pair.device.objects().links();
    let rest = links.strip_prefix("</>;rt=\"oma.lwm2m\";ct=\"").unwrap();
    let (formats, _) = rest.split_once('"').unwrap();
    assert_eq!(
        formats,
        "0 40 42 60 110 112 320 322 1542 1543 11542 11543 11544"
    );
    for format in formats.split(' ') {
        let format = ContentFormat(format.parse().unwrap());
        let path = match format {
            ContentFormat::TEXT | ContentFormat::CBOR => "/3/0/0",
            ContentFormat::OPAQUE => "/19/0/0/0",
            _ => "/3/0",
        };
        let request = Request {
            method: Code::GET,
            path: path.split('/').skip(1).map(str::to_owned).collect(),
            accept: Some(format),
            ..Request::default()
        };
        let answer = pair.ask(&request);
        assert_eq!(answer.code(), Code::CONTENT, "{format}");
        assert_eq!(answer.content_format(), Some(format));
    }
}

#[test]
fn a_replaced_instance_keeps_only_what_a_server_cannot_write() {
    let mut pair = Pair::registered();
    // Resource 14 = "+01".
    assert_eq!(
        pair.send(Code::PUT, "/3/0", TLV, b"\xc3\x0e+01"),
        Code::CHANGED
    );
    assert_eq!(
        pair.value("/3/0/14"),
        Some(&Value::String("+01".to_owned()))
    );
    assert_eq!(pair.value("/3/0/15"), None);
    assert_eq!(pair.value("/3/0/9"), Some(&Value::Integer(95)));
}

#[test]
fn an_update_leaves_the_rest_and_a_replacement_of_a_resource_does_not() {
    let mut pair = Pair::registered();
    assert_eq!(
        pair.send(Code::POST, "/3/0", TLV, b"\xc3\x0e+02"),
        Code::CHANGED
    );
    assert_eq!(
        pair.value("/3/0/15"),
        Some(&Value::String("UTC".to_owned()))
    );
    // Instance 1 of resource 0 = 07.
    let one = b"\x83\x00\x41\x01\x07";
    assert_eq!(pair.send(Code::POST, "/19/0/0", TLV, one), Code::CHANGED);
    let bytes = |byte| Value::Opaque(Bytes::copy_from_slice(&[byte]));
    assert_eq!(pair.value("/19/0/0/0"), Some(&bytes(1)));
    assert_eq!(pair.value("/19/0/0/1"), Some(&bytes(7)));
    assert_eq!(pair.send(Code::PUT, "/19/0/0", TLV, one), Code::CHANGED);
    assert_eq!(pair.value("/19/0/0/0"), None);
    let text = ContentFormat::OPAQUE;
    assert_eq!(
        pair.send(Code::PUT, "/19/0/0/3", text, b"\x09"),
        Code::CHANGED
    );
    assert_eq!(pair.value("/19/0/0/3"), Some(&bytes(9)));
}

#[test]
fn a_write_is_refused_in_whole() {
    let mut pair = Pair::registered();
    let text = ContentFormat::TEXT;
    for (method, path, format, payload, code) in [
        (
            Code::PUT,
            "/3/0/9",
            text,
            &b"1"[..],
            Code::METHOD_NOT_ALLOWED,
        ),
        (Code::PUT, "/3/0/99", text, b"1", Code::NOT_FOUND),
        (Code::PUT, "/3/1/14", text, b"1", Code::NOT_FOUND),
        (Code::PUT, "/3", TLV, b"", Code::METHOD_NOT_ALLOWED),
        (Code::PUT, "/3/0/13", text, b"soon", Code::BAD_REQUEST),
        (
            Code::PUT,
            "/3/0/14",
            ContentFormat(999),
            b"1",
            Code::UNSUPPORTED_CONTENT_FORMAT,
        ),
        // Resource 14, and resource 9, which is read only.
        (
            Code::POST,
            "/3/0",
            TLV,
            b"\xc3\x0e+05\xc1\x09\x01",
            Code::METHOD_NOT_ALLOWED,
        ),
    ] {
        assert_eq!(pair.send(method, path, format, payload), code, "{path}");
    }
    assert_eq!(
        pair.value("/3/0/14"),
        Some(&Value::String("+00".to_owned()))
    );
}

#[test]
fn instances_come_and_go_and_the_registration_follows() {
    let mut pair = Pair::registered();
    // Instance 5 with resource 1 = 7.
    assert_eq!(
        pair.send(Code::POST, "/19", TLV, b"\x03\x05\xc1\x01\x07"),
        Code::CREATED
    );
    assert_eq!(pair.value("/19/5/1"), Some(&Value::Integer(7)));
    let links = String::from_utf8(pair.updates.pop().unwrap().to_vec()).unwrap();
    assert!(links.ends_with("</19/0>,</19/5>"), "{links}");
    assert_eq!(
        pair.send(Code::POST, "/19", TLV, b"\x03\x05\xc1\x01\x07"),
        Code::BAD_REQUEST
    );
    let request = Request {
        content_format: Some(TLV),
        payload: Bytes::from_static(b"\xc1\x01\x08"),
        ..to(Code::POST, "/19")
    };
    let answer = pair.ask(&request);
    assert_eq!(answer.code(), Code::CREATED);
    assert_eq!(answer.location_path().collect::<Vec<_>>(), ["19", "1"]);
    for (path, code) in [
        ("/19/5", Code::DELETED),
        ("/19/5", Code::NOT_FOUND),
        ("/19/0/0/1", Code::DELETED),
        ("/19/0/0/1", Code::NOT_FOUND),
        ("/19", Code::METHOD_NOT_ALLOWED),
        ("/19/0/1", Code::METHOD_NOT_ALLOWED),
        ("/3/0", Code::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(pair.ask(&to(Code::DELETE, path)).code(), code, "{path}");
    }
    assert_eq!(
        pair.send(Code::POST, "/3", TLV, b"\xc3\x0e+01"),
        Code::METHOD_NOT_ALLOWED
    );
}

#[test]
fn p33_attributes_are_shown_at_the_level_where_they_are_set() {
    let mut pair = Pair::registered();
    for (path, query, code) in [
        ("/3/0/9", "pmin=10&pmax=60&st=2", Code::CHANGED),
        ("/3/0/9", "st", Code::CHANGED),
        ("/3/0", "pmax=100", Code::CHANGED),
        ("/3/0", "gt=1", Code::BAD_REQUEST),
        ("/3/0/9", "lt=5&gt=1", Code::BAD_REQUEST),
        ("/3/0/9", "epmin=5&epmax=5", Code::BAD_REQUEST),
        ("/3/0/9", "colour=red", Code::BAD_REQUEST),
        ("/3/0/0", "gt=1", Code::BAD_REQUEST),
        ("/3/1", "pmin=1", Code::NOT_FOUND),
    ] {
        let request = Request {
            query: query.split('&').map(str::to_owned).collect(),
            ..to(Code::PUT, path)
        };
        assert_eq!(pair.ask(&request).code(), code, "{path}?{query}");
    }
    let mut discover = |path| {
        let request = Request {
            accept: Some(ContentFormat::LINK),
            ..to(Code::GET, path)
        };
        String::from_utf8(pair.ask(&request).payload().to_vec()).unwrap()
    };
    assert!(discover("/3/0").starts_with("</3/0>;pmax=100,</3/0/0>,"));
    assert_eq!(discover("/3/0/9"), "</3/0/9>;pmax=60;pmin=10");
    assert_eq!(
        discover("/19/0/0"),
        "</19/0/0>;dim=2,</19/0/0/0>,</19/0/0/1>"
    );
}

#[test]
fn o7_observe_1_with_the_same_token_ends_one_observation() {
    let mut pair = Pair::registered();
    let (first, second) = (pair.observe("/3/0/9"), pair.observe("/3/0/14"));
    let request = to(Code::GET, "/3/0/9");
    assert!(
        pair.server
            .cancel_observation(pair.now, (), first, &request, TIMEOUT)
    );
    pair.settle();
    let answer = pair.received.pop().unwrap();
    assert_eq!((answer.code(), answer.observe()), (Code::CONTENT, None));
    pair.device
        .set(pair.now, Path::resource(3, 0, 9), Value::Integer(1));
    let text = Value::String("+03".to_owned());
    pair.device.set(pair.now, Path::resource(3, 0, 14), text);
    pair.settle();
    let tokens: Vec<_> = pair.received.iter().map(Message::token).collect();
    assert_eq!(tokens, [second]);
}

fn paths(paths: &[&str]) -> Request {
    let paths: Vec<_> = paths.iter().map(|path| path.parse().unwrap()).collect();
    Request {
        method: Code::FETCH,
        content_format: Some(ContentFormat::SENML_CBOR),
        accept: Some(ContentFormat::SENML_JSON),
        payload: format::encode_paths(ContentFormat::SENML_CBOR, &paths).unwrap(),
        ..Request::default()
    }
}

#[test]
fn a_composite_read_gives_what_there_is() {
    let mut pair = Pair::registered();
    let answer = pair.ask(&paths(&["/3/0/9", "/3/0/99", "/7/0/0"]));
    assert_eq!(answer.code(), Code::CONTENT);
    assert_eq!(answer.content_format(), Some(ContentFormat::SENML_JSON));
    assert_eq!(answer.payload(), r#"[{"n":"/3/0/9","v":95}]"#);
    let answer = pair.ask(&paths(&["/3/0/99", "/7/0/0"]));
    assert_eq!(answer.code(), Code::NOT_FOUND);
    let request = Request {
        content_format: Some(ContentFormat(999)),
        ..paths(&["/3/0/9"])
    };
    assert_eq!(pair.ask(&request).code(), Code::UNSUPPORTED_CONTENT_FORMAT);
    let request = Request {
        accept: Some(ContentFormat(999)),
        ..paths(&["/3/0/9"])
    };
    assert_eq!(pair.ask(&request).code(), Code::NOT_ACCEPTABLE);
}

#[test]
fn a_composite_write_is_carried_out_in_whole_or_not_at_all() {
    let mut pair = Pair::registered();
    let mut patch = |json: &str| {
        let request = Request {
            method: Code::IPATCH,
            content_format: Some(ContentFormat::SENML_JSON),
            payload: Bytes::copy_from_slice(json.as_bytes()),
            ..Request::default()
        };
        pair.ask(&request).code()
    };
    let read_only = r#"[{"n":"/3/0/14","vs":"+09"},{"n":"/3/0/9","v":1}]"#;
    assert_eq!(patch(read_only), Code::METHOD_NOT_ALLOWED);
    assert_eq!(patch(r#"[{"n":"/19/2/0/0","vd":"AA"}]"#), Code::NOT_FOUND);
    assert_eq!(patch("["), Code::BAD_REQUEST);
    let both = r#"[{"n":"/3/0/14","vs":"+04"},{"n":"/19/0/0/1","vd":"BQ"}]"#;
    assert_eq!(patch(both), Code::CHANGED);
    let bytes = |byte| Value::Opaque(Bytes::copy_from_slice(&[byte]));
    assert_eq!(
        pair.value("/3/0/14"),
        Some(&Value::String("+04".to_owned()))
    );
    assert_eq!(pair.value("/19/0/0/0"), Some(&bytes(1)));
    assert_eq!(pair.value("/19/0/0/1"), Some(&bytes(5)));
}

#[test]
fn o7_a_composite_observation_notifies_of_all_and_ends_by_its_token() {
    let mut pair = Pair::registered();
    let request = paths(&["/3/0/9", "/3/0/14"]);
    let token = pair.server.observe(pair.now, (), &request, TIMEOUT);
    pair.settle();
    pair.received.clear();
    let level = Path::resource(3, 0, 9);
    pair.device.set(pair.now, level, Value::Integer(1));
    pair.settle();
    let notification = pair.received.pop().unwrap();
    assert_eq!(
        (notification.token(), notification.observe()),
        (token, Some(1))
    );
    assert_eq!(
        notification.payload(),
        r#"[{"n":"/3/0/9","v":1},{"n":"/3/0/14","vs":"+00"}]"#
    );
    assert!(
        pair.server
            .cancel_observation(pair.now, (), token, &request, TIMEOUT)
    );
    pair.settle();
    pair.received.clear();
    pair.device.set(pair.now, level, Value::Integer(2));
    pair.settle();
    assert!(pair.received.is_empty());
}

#[test]
fn o5_the_observation_of_a_deleted_instance_ends_with_an_error() {
    let mut pair = Pair::registered();
    pair.observe("/19/0/0");
    assert_eq!(pair.ask(&to(Code::DELETE, "/19/0")).code(), Code::DELETED);
    let [ended] = &pair.received[..] else {
        panic!("{:?}", pair.received);
    };
    assert_eq!((ended.code(), ended.observe()), (Code::NOT_FOUND, None));
}
