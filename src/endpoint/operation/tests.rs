//! What the answers of a device become, and what failures.

use bytes::Bytes;

use super::*;
use crate::{
    coap::{Code, Failure, Message, MessageId, MessageType, Response, Token, encode},
    endpoint::{
        fixture::{Fixture, message},
        rpc::Reply,
    },
    lwm2m::{
        attributes::{Attribute, NotificationAttributes},
        node::{Node, Object, ObjectInstance, Resource, ResourceInstance},
        path::Path,
        value::Value,
    },
    platform::{peer::PeerIdentity, uplink::RpcBody},
};

const BATTERY: Path = Path::resource(3, 0, 9);

fn read() -> Operation {
    Operation::read("/3_1.2/0/9", BATTERY, ContentFormat::CBOR)
}

fn response(code: Code, format: Option<ContentFormat>, payload: &'static [u8]) -> Message {
    message(&Response {
        content_format: format,
        payload: Bytes::from_static(payload),
        ..Response::new(code)
    })
}

#[test]
fn an_error_is_delivered_with_its_text() {
    let answer = response(Code::BAD_REQUEST, None, b"value MUST NOT be null");
    let outcome = read().outcome(&answer, &Fixture::f().context());
    assert!(outcome.delivered);
    assert_eq!(outcome.nodes, []);
    assert_eq!(
        outcome.reply,
        Reply::error(Code::BAD_REQUEST, "value MUST NOT be null")
    );
    assert_eq!(
        outcome.log[0],
        "[error]: ReadRequest [/3_1.2/0/9] failed to process successful. Result: ReadResponse \
         [code=BAD_REQUEST(400), errormessage=value MUST NOT be null]"
    );
}

#[test]
fn an_error_without_text_keeps_its_empty_place_in_the_line() {
    let answer = response(Code::TOO_MANY_REQUESTS, None, b"");
    let outcome = read().outcome(&answer, &Fixture::f().context());
    assert_eq!(
        outcome.reply.body(),
        RpcBody::Payload(r#"{"result":"UNKNOWN"}"#.to_owned())
    );
    assert!(outcome.log[0].ends_with("ReadResponse [code=UNKNOWN(429), errormessage=]"));
}

#[test]
fn an_answer_that_cannot_be_used_is_an_internal_error() {
    let fixture = Fixture::f();
    let discover = Operation::discover("/3_1.2", Path::object(3));
    let links = Some(ContentFormat::LINK);
    for (operation, answer, error) in [
        (
            read(),
            response(Code::CONTENT, Some(ContentFormat::CBOR), b"\xff"),
            "Unable to decode response payload of request [ReadRequest [path=/3/0/9 format=CBOR(60)]] from client \
             [deviceEndpointRpc1]",
        ),
        (
            read(),
            response(Code::CHANGED, None, b""),
            "Client [deviceEndpointRpc1] returned unexpected response code [2.04] for [ReadRequest [path=/3/0/9 \
             format=CBOR(60)]]",
        ),
        (
            discover.clone(),
            response(Code::CONTENT, Some(ContentFormat::TEXT), b"</3>"),
            "Client [deviceEndpointRpc1] returned unexpected content format [0] for [DiscoverRequest [/3]]",
        ),
        (
            discover.clone(),
            response(Code::CONTENT, None, b"</3>"),
            "Client [deviceEndpointRpc1] returned unexpected content format [-1] for [DiscoverRequest [/3]]",
        ),
        (
            discover,
            response(Code::CONTENT, links, b"\xff"),
            "Unable to decode response payload of request [DiscoverRequest [/3]] from client [deviceEndpointRpc1]",
        ),
    ] {
        let outcome = operation.outcome(&answer, &fixture.context());
        assert!(!outcome.delivered);
        assert_eq!(
            outcome.reply,
            Reply::error(Code::INTERNAL_SERVER_ERROR, error)
        );
        assert_eq!(
            outcome.log[0],
            format!(
                "[error]: Request [{operation}] processing failed. Reason: \
                 org.eclipse.leshan.core.request.exception.InvalidResponseException: {error}"
            )
        );
    }
}

#[test]
fn a_missing_content_format_is_taken_for_text_or_tlv() {
    let fixture = Fixture::f();
    let outcome = read().outcome(&response(Code::CONTENT, None, b"42"), &fixture.context());
    assert_eq!(
        outcome.reply.value.as_deref(),
        Some("LwM2mSingleResource [id=9, value=42, type=INTEGER]")
    );
    let object = Operation::read("/3_1.2", Path::object(3), ContentFormat::TLV);
    let tlv = b"\x08\x00\x03\xc1\x09\x2a";
    let outcome = object.outcome(&response(Code::CONTENT, None, tlv), &fixture.context());
    assert!(!outcome.delivered);
    let fixture = Fixture::g();
    let outcome = object.outcome(&response(Code::CONTENT, None, tlv), &fixture.context());
    assert_eq!(
        outcome.reply.value.as_deref(),
        Some(
            "LwM2mObject [id=3, instances={0=LwM2mObjectInstance [id=0, resources={9=LwM2mSingleResource [id=9, \
             value=42, type=INTEGER]}]}]"
        )
    );
}

#[test]
fn a45_an_answer_is_read_in_its_own_format_whatever_was_asked_for() {
    let fixture = Fixture::f();
    for (format, payload) in [
        (ContentFormat::TEXT, &b"42"[..]),
        (ContentFormat::TLV, b"\xc1\x09\x2a"),
        (ContentFormat::SENML_JSON, br#"[{"bn":"/3/0/9","v":42}]"#),
    ] {
        let answer = response(Code::CONTENT, Some(format), payload);
        let outcome = read().outcome(&answer, &fixture.context());
        assert!(outcome.delivered, "{format}");
        assert_eq!(
            outcome.reply.value.as_deref(),
            Some("LwM2mSingleResource [id=9, value=42, type=INTEGER]"),
            "{format}"
        );
    }
    let unknown = response(Code::CONTENT, Some(ContentFormat(64_999)), b"42");
    assert!(!read().outcome(&unknown, &fixture.context()).delivered);
}

#[test]
fn a_value_that_cannot_be_read_does_not_cost_its_neighbours() {
    // /3/0 with resource 9 = 42 and resource 10, an INTEGER, of three bytes.
    let tlv = b"\xc1\x09\x2a\xc3\x0a\x01\x02\x03";
    let instance = Operation::read("/3_1.2/0", Path::instance(3, 0), ContentFormat::TLV);
    let answer = response(Code::CONTENT, Some(ContentFormat::TLV), tlv);
    let outcome = instance.outcome(&answer, &Fixture::f().context());
    assert!(outcome.delivered);
    let rejected: Vec<_> = outcome.rejected.iter().map(|(path, _)| *path).collect();
    assert_eq!(rejected, [Path::resource(3, 0, 10)]);
    assert!(
        outcome
            .reply
            .value
            .unwrap()
            .contains("{9=LwM2mSingleResource")
    );
}

#[test]
fn an_observe_without_observation_is_still_answered() {
    let observe = Operation::observe("/3_1.2/0/9", BATTERY, ContentFormat::CBOR);
    let answer = response(Code::CHANGED, Some(ContentFormat::CBOR), b"\x18\x2a");
    let outcome = observe.outcome(&answer, &Fixture::f().context());
    assert_eq!(outcome.nodes.len(), 1);
    assert!(
        outcome.log[0].ends_with("type=INTEGER], observation=null]"),
        "{}",
        outcome.log[0]
    );
}

#[test]
fn failures_name_the_uri() {
    let mut fixture = Fixture::f();
    let failed = read().failed(Failure::Cancelled, &fixture.context());
    let error = "Request coap://127.0.0.1:35960/3/0/9 cancelled";
    assert_eq!(
        failed.reply,
        Some(Reply::error(Code::INTERNAL_SERVER_ERROR, error))
    );
    assert_eq!(
        failed.log,
        "[error]: Request [ReadRequest [path=/3/0/9 format=CBOR(60)]] processing failed. Reason: \
         org.eclipse.leshan.core.request.exception.RequestCanceledException: Request \
         coap://127.0.0.1:35960/3/0/9 cancelled"
    );
    fixture.peer.identity = PeerIdentity::PreSharedKey("id".into());
    let failed = read().failed(Failure::Reset, &fixture.context());
    assert_eq!(
        failed.reply.unwrap().error.as_deref(),
        Some("Request coaps://127.0.0.1:35960/3/0/9 rejected")
    );
    assert_eq!(
        read().failed(Failure::Timeout, &fixture.context()).reply,
        None
    );
}

/// Every operation with the code it succeeds with, in the order of the table in `protocol.md` 3.3; observes last.
fn operations() -> Vec<(Operation, Code)> {
    let (device, offset) = (Path::instance(3, 0), Path::resource(3, 0, 14));
    let text = |id| Node::Resource(Resource::single(id, Value::String("x".to_owned())));
    let instance = Node::ObjectInstance(ObjectInstance {
        id: 0,
        resources: Vec::new(),
    });
    let (tlv, senml) = (ContentFormat::TLV, ContentFormat::SENML_CBOR);
    let write = |mode| Operation::write("/3/0", device, mode, tlv, instance.clone()).unwrap();
    let attributes = NotificationAttributes::default();
    let paths = || Paths::together([BATTERY, offset]);
    vec![
        (read(), Code::CONTENT),
        (Operation::discover("/3", Path::object(3)), Code::CONTENT),
        (write(WriteMode::Replace), Code::CHANGED),
        (write(WriteMode::Update), Code::CHANGED),
        (
            Operation::write_attributes("/3", Path::object(3), attributes),
            Code::CHANGED,
        ),
        (
            Operation::execute("/3/0/4", Path::resource(3, 0, 4), ""),
            Code::CHANGED,
        ),
        (
            Operation::create("/19", Path::object(19), tlv, instance.clone()).unwrap(),
            Code::CREATED,
        ),
        (
            Operation::delete("/19/0", Path::instance(19, 0)),
            Code::DELETED,
        ),
        (
            Operation::read_composite("[]", paths(), senml).unwrap(),
            Code::CONTENT,
        ),
        (
            Operation::write_composite("null", vec![(offset, text(14))], senml).unwrap(),
            Code::CHANGED,
        ),
        (
            Operation::observe("/3/0/9", BATTERY, ContentFormat::CBOR),
            Code::CONTENT,
        ),
        (
            Operation::observe_composite("[]", paths(), senml).unwrap(),
            Code::CONTENT,
        ),
    ]
}

#[test]
fn p33_1_to_10_requests_have_the_method_and_target_of_the_operation() {
    let requests: Vec<_> = operations()
        .iter()
        .map(|(operation, _)| {
            let request = operation.request(&["lwm2m".to_owned()]);
            format!("{} {}", request.method, request.path.join("/"))
        })
        .collect();
    assert_eq!(
        requests,
        [
            "0.01 lwm2m/3/0/9",
            "0.01 lwm2m/3",
            "0.03 lwm2m/3/0",
            "0.02 lwm2m/3/0",
            "0.03 lwm2m/3",
            "0.02 lwm2m/3/0/4",
            "0.02 lwm2m/19",
            "0.04 lwm2m/19/0",
            "0.05 lwm2m",
            "0.07 lwm2m",
            "0.01 lwm2m/3/0/9",
            "0.05 lwm2m",
        ]
    );
}

#[test]
fn p33_1_to_10_another_success_code_is_reported_as_unexpected() {
    let fixture = Fixture::f();
    for (operation, success) in operations() {
        for code in [
            Code::CREATED,
            Code::DELETED,
            Code::CHANGED,
            Code::CONTENT,
            Code::VALID,
        ] {
            let outcome = operation.outcome(&response(code, None, b""), &fixture.context());
            let unexpected =
                format!("returned unexpected response code [{code}] for [{operation}]");
            let is_observe = operation.observes().is_some() && code == Code::CHANGED;
            let is_reported = outcome
                .reply
                .error
                .is_some_and(|error| error.contains(&unexpected));
            assert_eq!(
                is_reported,
                code != success && !is_observe,
                "{operation} {code}"
            );
        }
    }
}

#[test]
fn p33_1_to_10_every_error_of_the_device_is_handed_on() {
    let fixture = Fixture::f();
    for (operation, _) in operations() {
        if operation.class_name() == "WriteCompositeRequest" {
            continue;
        }
        for (code, result) in [
            (Code::BAD_REQUEST, "BAD_REQUEST"),
            (Code::UNAUTHORIZED, "UNAUTHORIZED"),
            (Code::NOT_FOUND, "NOT_FOUND"),
            (Code::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            (Code::NOT_ACCEPTABLE, "NOT_ACCEPTABLE"),
            (Code::REQUEST_ENTITY_INCOMPLETE, "REQUEST_ENTITY_INCOMPLETE"),
            (Code::REQUEST_ENTITY_TOO_LARGE, "REQUEST_ENTITY_TOO_LARGE"),
            (
                Code::UNSUPPORTED_CONTENT_FORMAT,
                "UNSUPPORTED_CONTENT_FORMAT",
            ),
            (Code::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        ] {
            let outcome = operation.outcome(&response(code, None, b""), &fixture.context());
            assert_eq!(outcome.reply.result, result);
            assert!(outcome.delivered && outcome.nodes.is_empty() && outcome.removed.is_none());
        }
    }
}

/// Operations as frames: message id, token, bytes (`protocol.md` 3.3; the payload of the last one 2.4).
#[test]
fn p33_1_to_10_requests_are_the_frames_of_the_standard() {
    let (tlv, senml) = (ContentFormat::TLV, ContentFormat::SENML_CBOR);
    let text = |id, text: &str| Resource::single(id, Value::String(text.to_owned()));
    let number = |id, number| Node::Resource(Resource::single(id, Value::Integer(number)));
    let instance = |resource| {
        Node::ObjectInstance(ObjectInstance {
            id: 0,
            resources: vec![resource],
        })
    };
    let device = Path::instance(3, 0);
    let set = |number| Some(Attribute::Set(number));
    let attributes = NotificationAttributes {
        pmin: set(10),
        ..NotificationAttributes::default()
    };
    let created = Node::Object(Object {
        id: 16,
        instances: vec![ObjectInstance {
            id: 0,
            resources: vec![text(0, "a")],
        }],
    });
    let lifetime = Path::resource(1, 0, 1);
    let flag = Node::Resource(Resource::single(6, Value::Boolean(true)));
    let flag = (Path::resource(1, 0, 6), flag);
    let paths = Paths::Several(vec![Path::resource(3, 0, 0), lifetime]);
    let replace = |format, node| Operation::write("", lifetime, WriteMode::Replace, format, node);
    for (operation, message_id, token, frame) in [
        (
            Operation::read("", device, tlv),
            0x0101,
            0x51,
            "41 01 01 01 51 b1 33 01 30 62 2d 16",
        ),
        (
            replace(ContentFormat::TEXT, number(1, 60)).unwrap(),
            0x0103,
            0x53,
            "41 03 01 03 53 b1 31 01 30 01 31 10 ff 36 30",
        ),
        (
            Operation::write(
                "",
                device,
                WriteMode::Update,
                tlv,
                instance(text(14, "+02:00")),
            )
            .unwrap(),
            0x0104,
            0x54,
            "41 02 01 04 54 b1 33 01 30 12 2d 16 ff c6 0e 2b 30 32 3a 30 30",
        ),
        (
            Operation::write_attributes("", Path::resource(3303, 0, 5700), attributes),
            0x0105,
            0x55,
            "41 03 01 05 55 b4 33 33 30 33 01 30 04 35 37 30 30 47 70 6d 69 6e 3d 31 30",
        ),
        (
            Operation::execute("", Path::resource(3, 0, 4), "0='a',1"),
            0x0107,
            0x57,
            "41 02 01 07 57 b1 33 01 30 01 34 10 ff 30 3d 27 61 27 2c 31",
        ),
        (
            Operation::create("", Path::object(16), tlv, created).unwrap(),
            0x0108,
            0x58,
            "41 02 01 08 58 b2 31 36 12 2d 16 ff 03 00 c1 00 61",
        ),
        (
            Operation::delete("", Path::instance(16, 0)),
            0x0109,
            0x59,
            "41 04 01 09 59 b2 31 36 01 30",
        ),
        (
            Operation::discover("", Path::object(3)),
            0x010a,
            0x5a,
            "41 01 01 0a 5a b1 33 61 28",
        ),
        (
            Operation::read_composite("", paths, senml).unwrap(),
            0x010b,
            0x5b,
            "41 05 01 0b 5b c1 70 51 70 ff 82 a1 00 66 2f 33 2f 30 2f 30 a1 00 66 2f 31 2f 30 2f 31",
        ),
        (
            Operation::write_composite("", vec![(lifetime, number(1, 60)), flag], senml).unwrap(),
            0x010d,
            0x5d,
            "41 07 01 0d 5d c1 70 ff 82 a2 00 66 2f 31 2f 30 2f 31 02 18 3c a2 00 66 2f 31 2f 30 2f 36 04 f5",
        ),
    ] {
        let token = Token::new(&[token]).unwrap();
        let request = operation.request(&[]);
        let confirmable = MessageType::Confirmable;
        let bytes = encode::request(&request, confirmable, MessageId(message_id), token);
        let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes.join(" "), frame, "{operation}");
    }
}

#[test]
fn p33_11_a_1_0_device_answers_the_read_of_an_object_with_its_instances_in_tlv() {
    let fixture = Fixture::g();
    let read = Operation::read("/3", Path::object(3), ContentFormat::TLV);
    // Instances 0 and 1 with resource 9; what cannot be read is left out by the device.
    let payload = b"\x08\x00\x03\xc1\x09\x64\x08\x01\x03\xc1\x09\x32";
    let answer = response(Code::CONTENT, Some(ContentFormat::TLV), payload);
    let outcome = read.outcome(&answer, &fixture.context());
    let instance = |id, level| ObjectInstance {
        id,
        resources: vec![Resource::single(9, Value::Integer(level))],
    };
    let object = Node::Object(Object {
        id: 3,
        instances: vec![instance(0, 100), instance(1, 50)],
    });
    assert_eq!(outcome.nodes, [(Path::object(3), object)]);
    assert!(outcome.delivered && outcome.rejected.is_empty());
}

#[test]
fn p33_12_replace_is_put_and_update_is_post_at_every_depth() {
    let level = || Resource::single(9, Value::Integer(1));
    let instance = Node::ObjectInstance(ObjectInstance {
        id: 0,
        resources: vec![level()],
    });
    let member = Node::ResourceInstance(ResourceInstance {
        id: 2,
        value: Value::Integer(1),
    });
    for (path, node) in [
        (Path::instance(3, 0), instance),
        (BATTERY, Node::Resource(level())),
        (Path::resource_instance(3, 0, 9, 2), member),
    ] {
        for (mode, method) in [
            (WriteMode::Replace, Code::PUT),
            (WriteMode::Update, Code::POST),
        ] {
            let node = node.clone();
            let write = Operation::write("", path, mode, ContentFormat::SENML_CBOR, node);
            let request = write.unwrap().request(&[]);
            assert_eq!(request.method, method, "{path}");
            assert_eq!(request.content_format, Some(ContentFormat::SENML_CBOR));
        }
    }
}

#[test]
fn of_several_times_in_a_composite_answer_the_newest_holds() {
    let fixture = Fixture::f();
    let paths = Paths::Several(vec![BATTERY]);
    let read = Operation::read_composite("", paths, ContentFormat::SENML_JSON).unwrap();
    for (payload, level) in [
        (
            &br#"[{"bn":"/3/0/9","t":1699999995,"v":2},{"t":1699999990,"v":1}]"#[..],
            2,
        ),
        (br#"[{"bn":"/3/0/9","v":3},{"t":1699999990,"v":1}]"#, 3),
        (br#"[{"bn":"/3/0/9","t":-5,"v":4},{"t":-10,"v":1}]"#, 4),
    ] {
        let answer = response(Code::CONTENT, Some(ContentFormat::SENML_JSON), payload);
        let outcome = read.outcome(&answer, &fixture.context());
        let resource = Node::Resource(Resource::single(9, Value::Integer(level)));
        assert_eq!(outcome.nodes, [(BATTERY, resource)]);
    }
}
