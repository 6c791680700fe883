//! The acceptance cases of `rpc.md` 13, by their numbers.

mod attributes;
mod composite;
mod discover;
mod execute;
mod instance;
mod legacy;
mod observe;
mod read;
mod strategies;
mod update;
mod write;
mod write_composite;

use proptest::prelude::*;

use super::*;
use crate::{
    coap::{self, ContentFormat},
    endpoint::fixture::{Fixture, message},
    lwm2m::path::Path,
    platform::uplink::RpcBody,
};

/// A body without `error`.
fn payload(text: &str) -> RpcBody {
    RpcBody::Payload(text.to_owned())
}

/// A body with `error`.
fn error(result: &str, error: &str) -> RpcBody {
    let error = serde_json::Value::from(error);
    RpcBody::Error(format!(r#"{{"result":"{result}","error":{error}}}"#))
}

fn bad_request(text: &str) -> RpcBody {
    error("BAD_REQUEST", text)
}

fn content(value: &str) -> RpcBody {
    let value = serde_json::Value::from(value);
    payload(&format!(r#"{{"result":"CONTENT","value":{value}}}"#))
}

#[track_caller]
fn assert_contains(body: &RpcBody, part: &str) {
    assert!(body.text().contains(part), "{} in {}", part, body.text());
}

/// Parameters that name one path.
fn at(id: &str) -> String {
    serde_json::json!({ "id": id }).to_string()
}

/// Reads a path back.
#[track_caller]
fn assert_shows(fixture: &mut Fixture, id: &str, part: &str) {
    assert_contains(&fixture.rpc("Read", &at(id)), part);
}

#[track_caller]
fn assert_changed(fixture: &mut Fixture, method: &str, params: &str) {
    assert_eq!(
        fixture.rpc(method, params),
        payload(r#"{"result":"CHANGED"}"#),
        "{params}"
    );
}

/// Fixture F that takes a path without version for version 1.0.
fn strict() -> Fixture {
    let mut fixture = Fixture::f();
    fixture.settings.lenient_version = false;
    fixture
}

#[test]
fn parameters_that_are_no_object_cannot_be_transformed() {
    for params in ["\"\"", "\"/3/0/9\"", "[]", "5", "{", r#"{"id":["/3"]}"#] {
        assert_eq!(
            Fixture::f().rpc("Read", params),
            bad_request(&format!(
                "The given string value cannot be transformed to Json object: {params}"
            ))
        );
    }
}

#[test]
fn paths_that_are_none_are_bad_requests_for_every_command() {
    for method in [
        "Read",
        "Discover",
        "Execute",
        "WriteReplace",
        "WriteUpdate",
        "WriteAttributes",
        "Observe",
        "ObserveCancel",
        "Create",
        "Delete",
    ] {
        for (id, text) in [
            ("/3_1.2/0/9/1/2", "Invalid length for path 3/0/9/1/2"),
            ("/3_1.2/0/x", "Invalid elements in path 3/0/x"),
        ] {
            let body = Fixture::f().rpc(method, &format!(r#"{{"id":"{id}","value":1}}"#));
            assert_eq!(body, bad_request(text));
        }
    }
}

#[track_caller]
fn assert_unsupported(method: &str, params: &str) {
    for mut fixture in [Fixture::f(), Fixture::g()] {
        assert_eq!(
            fixture.rpc(method, params),
            error(
                "METHOD_NOT_ALLOWED",
                &format!("Unsupported operation type: {method}")
            )
        );
    }
}

#[test]
fn rpc_019_there_is_no_read_all() {
    assert_unsupported("ReadAll", "{}");
    assert_unsupported("", "{}");
}

#[test]
fn rpc_020_methods_are_case_sensitive() {
    assert_unsupported("read", r#"{"id":"/3/0/9"}"#);
}

#[test]
fn rpc_021_there_is_no_firmware_update() {
    assert_unsupported("FirmwareUpdate", "null");
}

#[test]
fn only_failed_validations_are_logged() {
    let fixture = Fixture::f();
    let log = |method, params| fixture.parse(method, params).unwrap_err().log;
    assert_eq!(log("Read", r#"{"id":"/50/0/1"}"#), None);
    assert_eq!(log("Discover", r#"{"id":"/3_1.2/0/6/1"}"#), None);
    assert_eq!(log("Execute", "{}"), None);
    assert_eq!(
        log("WriteReplace", r#"{"id":"/3_1.1/0/14","value":1}"#),
        None
    );
    assert_eq!(
        log("Execute", r#"{"id":"/3_1.2/0/9"}"#).unwrap(),
        "[error]: Request [ExecuteRequest [/3_1.2/0/9]] validation failed. Reason: Resource with /3_1.2/0/9 is not \
         executable."
    );
    assert!(log("Execute", r#"{"id":"/50/0/1"}"#).is_some());
    assert!(log("WriteReplace", r#"{"id":"/3_1.2/0","value":1}"#).is_some());
}

#[test]
fn content_format_is_honoured_only_where_it_is_allowed() {
    let accept = |honour, params: &str| {
        let mut fixture = Fixture::f();
        fixture.settings.honour_content_format = honour;
        let operation = fixture.parse("Read", params);
        operation.map(|operation| operation.request(&[]).accept)
    };
    let params = r#"{"id":"/3_1.2/0/9","contentFormat":"TLV"}"#;
    assert_eq!(accept(false, params), Ok(Some(ContentFormat::CBOR)));
    assert_eq!(accept(true, params), Ok(Some(ContentFormat::TLV)));
    let params = r#"{"id":"/3_1.2/0/9","contentFormat":0}"#;
    assert_eq!(accept(true, params), Ok(Some(ContentFormat::TEXT)));
    let params = r#"{"id":"/3_1.2/0/9","contentFormat":"XML"}"#;
    assert_eq!(
        accept(true, params).unwrap_err().reply.body(),
        bad_request("Unsupported content format: XML")
    );
    let mut fixture = Fixture::f();
    fixture.settings.honour_content_format = true;
    let params = r#"{"id":"/19_1.1/0/0","contentFormat":"TEXT","value":{"0":"00"}}"#;
    assert_eq!(
        fixture.rpc("WriteReplace", params),
        error(
            "INTERNAL_SERVER_ERROR",
            "Invalid format for path /19/0/0: format must be used only for single resources"
        )
    );
}

#[test]
fn settings_refuse_unknown_keys() {
    let settings: RpcSettings = serde_json::from_str(r#"{"lenient_version":false}"#).unwrap();
    assert!(!settings.lenient_version);
    assert!(!settings.honour_content_format);
    assert!(serde_json::from_str::<RpcSettings>(r#"{"lenient":false}"#).is_err());
}

proptest! {
    #[test]
    fn no_parameters_can_panic(
        command in 0..CATALOGUE.len(),
        id in "/?[0-9]{1,5}(_[0-9.]{0,4})?(/[0-9x]{0,5}){0,5}/?",
        value in prop_oneof![
            Just("null".to_owned()),
            "-?[1-9][0-9]{0,25}(\\.[0-9]{1,3})?(e[0-9]{1,2})?",
            "\"[0-9a-zA-Z=+/,' \u{e4}]{0,12}\"",
            "\\{\"[0-9]{1,6}\":\"?[0-9]{1,20}\"?\\}",
        ],
    ) {
        let (method, _) = CATALOGUE[command];
        let members = format!(
            r#""value":{value},"nodes":{{"{id}":{value}}},"attributes":{{"pmin":{value},"st":{value}}}"#
        );
        let params = format!(r#"{{"id":"{id}","ids":["{id}","/3/0/9"],{members}}}"#);
        match Fixture::f().task(method, &params) {
            Ok(Task::Operation(operation)) => {
                let request = operation.request(&[]);
                prop_assert!(request.method.is_request() && !operation.id().is_empty());
            }
            Ok(Task::Answer(answer)) => prop_assert!(answer.reply.error.is_none()),
            Err(rejection) => prop_assert!(rejection.reply.error.is_some()),
        }
    }

    #[test]
    fn no_text_can_panic(params in ".{0,40}") {
        prop_assert!(Fixture::f().parse("Read", &params).is_err());
    }
}
