//! What the answers of a device become, and what failures.

use bytes::Bytes;

use super::*;
use crate::{
    coap::{Code, Failure, Message, Response},
    endpoint::{
        fixture::{Fixture, message},
        rpc::Reply,
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
    fixture.peer.identity = PeerIdentity::PreSharedKey("id".to_owned());
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
