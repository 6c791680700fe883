//! The acceptance cases of `rpc.md` 13 for the commands that are built, by their numbers.

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
fn rpc_001_and_002_read_on_a_1_0_device() {
    let mut fixture = Fixture::g();
    fixture.device.set("/3/0/9", &100.into());
    let value = "LwM2mSingleResource [id=9, value=100, type=INTEGER]";
    assert_eq!(fixture.rpc("Read", r#"{"id":"/3/0/9"}"#), content(value));
    fixture.device.set("/3/0/9", &20.into());
    let value = "LwM2mSingleResource [id=9, value=20, type=INTEGER]";
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/3_1.0/0/9"}"#),
        content(value)
    );
}

#[test]
fn rpc_003_to_006_and_008_and_009_read_by_key_and_path() {
    let mut fixture = Fixture::f();
    for (params, part) in [
        (
            r#"{"key":"batteryLevel"}"#,
            "\"LwM2mSingleResource [id=9, value=",
        ),
        (
            r#"{"id":"/3_1.2/0/14"}"#,
            "\"LwM2mSingleResource [id=14, value=",
        ),
        (
            r#"{"key":"UtfOffset"}"#,
            "\"LwM2mSingleResource [id=14, value=",
        ),
        (
            r#"{"id":"/3_1.2/0/11"}"#,
            "\"LwM2mMultipleResource [id=11, values={",
        ),
        (
            r#"{"id":"/5_1.2/0"}"#,
            "\"LwM2mObjectInstance [id=0, resources={",
        ),
        (
            r#"{"id":"/6_1.0"}"#,
            "\"LwM2mObject [id=6, instances={0=LwM2mObjectInstance [id=0, resources=",
        ),
    ] {
        let body = fixture.rpc("Read", params);
        assert_contains(&body, r#"{"result":"CONTENT","value":"#);
        assert_contains(&body, part);
    }
}

#[test]
fn rpc_010_path_without_version_means_1_0_unless_lenient() {
    let text = "Specified resource id /3/0/9 is not valid version! Must be version: 1.2";
    assert_eq!(
        strict().rpc("Read", r#"{"id":"/3/0/9"}"#),
        bad_request(text)
    );
    assert_contains(&Fixture::f().rpc("Read", r#"{"id":"/3/0/9"}"#), "CONTENT");
    assert_contains(&strict().rpc("Read", r#"{"id":"/6/0/0"}"#), "CONTENT");
}

#[test]
fn rpc_011_and_012_objects_the_device_does_not_announce() {
    let absent = |id: &str| {
        bad_request(&format!(
            "Specified object id {id} absent in the list supported objects of the client or is security object!"
        ))
    };
    let mut fixture = Fixture::f();
    assert_eq!(fixture.rpc("Read", r#"{"id":"/50/0/1"}"#), absent("50"));
    assert_eq!(fixture.rpc("Read", r#"{"id":"/0_1.2/0/0"}"#), absent("0"));
    assert_eq!(fixture.rpc("Read", r#"{"id":"/"}"#), absent("null"));
}

#[test]
fn rpc_013_and_014_unknown_key_and_no_target() {
    let mut fixture = Fixture::f();
    assert_eq!(
        fixture.rpc("Read", r#"{"key":"nope","id":"/3_1.2/0/9"}"#),
        bad_request("nope is not configured in the device profile!")
    );
    for params in ["{}", "", "null", r#"{"id":""}"#, r#"{"key":"","id":null}"#] {
        assert_eq!(
            fixture.rpc("Read", params),
            bad_request("Can't find 'key' or 'id' in the requestParams parameters!"),
            "{params}"
        );
    }
}

#[test]
fn a_key_of_another_version_is_passed_over() {
    let mut fixture = Fixture::f();
    fixture.profile.transport.observe_attr = serde_json::from_str(
        r#"{"keyName":{"/3_1.1/0/9":"level","/3_1.2/0/20":"level","/1_1.0/0/8":"update"}}"#,
    )
    .unwrap();
    assert_contains(&fixture.rpc("Read", r#"{"key":"level"}"#), "[id=20, ");
    assert_changed(&mut fixture, "Execute", r#"{"key":"update"}"#);
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
    for method in ["Read", "Discover", "Execute", "WriteReplace"] {
        for (id, text) in [
            ("/3_1.2/0/9/1/2", "Invalid length for path 3/0/9/1/2"),
            ("/3_1.2/0/x", "Invalid elements in path 3/0/x"),
        ] {
            let body = Fixture::f().rpc(method, &format!(r#"{{"id":"{id}","value":1}}"#));
            assert_eq!(body, bad_request(text));
        }
    }
}

#[test]
fn rpc_015_error_without_text_travels_as_payload() {
    let body = Fixture::f().rpc("Read", r#"{"id":"/2_1.0/0"}"#);
    assert_eq!(body, payload(r#"{"result":"NOT_FOUND"}"#));
}

#[test]
fn rpc_016_to_018_read_opaque() {
    let mut fixture = Fixture::f();
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/6_1.0/0/4"}"#),
        content("LwM2mSingleResource id=4 value=00ad type=OPAQUE")
    );
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/19_1.1/0/0/0"}"#),
        content("LwM2mResourceInstance [id=0, value=1Bytes, type=OPAQUE]")
    );
    let two = serde_json::json!({"0": "00ad", "25": "25ad"});
    fixture.device.set("/19/0/0", &two);
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/19_1.1/0/0"}"#),
        content(
            "LwM2mMultipleResource id=0 values={ id=0 value=00ad,  id=25 value=25ad} type=OPAQUE"
        )
    );
}

#[test]
fn commands_that_are_not_built_are_refused() {
    for method in [
        "ReadComposite",
        "DiscoverAll",
        "ObserveReadAll",
        "Observe",
        "ObserveComposite",
        "ObserveCancel",
        "ObserveCompositeCancel",
        "ObserveCancelAll",
        "WriteUpdate",
        "WriteComposite",
        "WriteAttributes",
        "Delete",
        "Create",
    ] {
        assert_eq!(
            Fixture::f().rpc(method, r#"{"id":"/3_1.2/0/9","ids":["/3_1.2/0/9"]}"#),
            error(
                "METHOD_NOT_ALLOWED",
                &format!("Unsupported operation type: {method}")
            )
        );
    }
}

#[test]
fn rpc_019_to_021_methods_are_exact_and_in_the_catalogue() {
    for method in ["ReadAll", "read", "FirmwareUpdate", "", "Observe"] {
        assert_eq!(
            Fixture::f().rpc(method, r#"{"id":"/3/0/9"}"#),
            error(
                "METHOD_NOT_ALLOWED",
                &format!("Unsupported operation type: {method}")
            )
        );
    }
}

#[test]
fn rpc_022_to_024_discover_on_a_1_0_device() {
    let mut fixture = Fixture::g();
    assert_eq!(
        fixture.rpc("Discover", r#"{"id":"/3/0/1"}"#),
        content("</3/0/1>")
    );
    assert_eq!(
        fixture.rpc("Discover", r#"{"key":"batteryLevel"}"#),
        content("</3/0/9>")
    );
    // A device that does not list its instances.
    let operation = fixture.parse("Discover", r#"{"id":"/3"}"#).unwrap();
    let response = coap::Response {
        content_format: Some(ContentFormat::LINK),
        payload: "</3>,</3/0/0>,</3/0/1>".into(),
        ..coap::Response::new(Code::CONTENT)
    };
    let outcome = operation.outcome(&message(&response), &fixture.context());
    assert_eq!(outcome.reply.body(), content("</3>,</3/0/0>,</3/0/1>"));
}

#[test]
fn rpc_025_and_026_discover_shows_version_and_dimensions() {
    let mut fixture = Fixture::f();
    let body = fixture.rpc("Discover", r#"{"id":"/3_1.2"}"#);
    for part in [
        "</3>;ver=1.2,",
        "</3/0/6>;dim=3",
        "</3/0/7>;dim=3",
        "</3/0/8>;dim=3",
        "</3/0/11>;dim=1",
    ] {
        assert_contains(&body, part);
    }
    assert_contains(
        &fixture.rpc("Discover", r#"{"id":"/3_1.2/0/6"}"#),
        "</3/0/6>;dim=3,</3/0/6/0>,</3/0/6/1>,</3/0/6/2>",
    );
}

#[test]
fn a_quoted_version_is_shown_bare_and_other_quotes_stay() {
    let fixture = Fixture::f();
    let operation = fixture.parse("Discover", r#"{"id":"/3_1.2"}"#).unwrap();
    let response = coap::Response {
        content_format: Some(ContentFormat::LINK),
        payload: "</3>;ver=\"1.2\";ct=\"60 110\",</3/0>;lt=42.2".into(),
        ..coap::Response::new(Code::CONTENT)
    };
    let outcome = operation.outcome(&message(&response), &fixture.context());
    assert_eq!(
        outcome.reply.value.as_deref(),
        Some("</3>;ver=1.2;ct=\"60 110\",</3/0>;lt=42.2")
    );
    assert_eq!(
        outcome.log,
        "[info]: DiscoverRequest [/3_1.2] successful. Result: DiscoverResponse [code=CONTENT(205), \
         content=[</3>;ver=1.2;ct=60 110, </3/0>;lt=42.2]]"
    );
}

#[test]
fn rpc_027_to_029_discover_of_what_is_not_there() {
    let mut fixture = Fixture::f();
    for params in [r#"{"id":"/2_1.0/0"}"#, r#"{"id":"/2_1.0/0/2"}"#] {
        assert_eq!(
            fixture.rpc("Discover", params),
            payload(r#"{"result":"NOT_FOUND"}"#)
        );
    }
    assert_eq!(
        fixture.rpc("Discover", r#"{"id":"/3_1.2/0/6/1"}"#),
        error(
            "INTERNAL_SERVER_ERROR",
            "InvalidRequestException: Discover request cannot target resource instance path: /3/0/6/1 "
        )
    );
}

#[test]
fn rpc_074_and_075_write_replace_of_text() {
    let mut fixture = Fixture::f();
    assert_changed(
        &mut fixture,
        "WriteReplace",
        r#"{"id":"/3_1.2/0/14","value":"+12"}"#,
    );
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/3_1.2/0/14"}"#),
        content("LwM2mSingleResource [id=14, value=+12, type=STRING]")
    );
    assert_changed(
        &mut fixture,
        "WriteReplace",
        r#"{"key":"UtfOffset","value":"+09"}"#,
    );
    assert_contains(&fixture.rpc("Read", r#"{"key":"UtfOffset"}"#), "value=+09,");
}

#[test]
fn rpc_076_multiple_resource_takes_a_single_value() {
    let mut fixture = Fixture::g();
    assert_changed(
        &mut fixture,
        "WriteReplace",
        r#"{"id":"/19/0/0","value":"0081"}"#,
    );
}

#[test]
fn rpc_077_write_replace_of_instances() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/19_1.1/0/0","value":{"0":"1525ad45675600cdef","15":2147483647}}"#;
    assert_changed(&mut fixture, "WriteReplace", params);
    for (id, part) in [("/19_1.1/0/0/0", "9Bytes"), ("/19_1.1/0/0/15", "4Bytes")] {
        assert_contains(&fixture.rpc("Read", &format!(r#"{{"id":"{id}"}}"#)), part);
    }
}

#[test]
fn rpc_078_to_086_write_replace_of_one_instance() {
    for (value, length) in [
        (r#""QUJDREVGRw""#, "7Bytes"),
        (r#""ABCDEFG""#, "5Bytes"),
        (r#""01ABCDEF""#, "4Bytes"),
        ("1234566", "4Bytes"),
        ("-2147483648", "4Bytes"),
        ("4406483977", "8Bytes"),
        ("8.02", "4Bytes"),
        ("1022.5906", "4Bytes"),
        ("1.7976931348623157E308", "8Bytes"),
    ] {
        let mut fixture = Fixture::f();
        let two = serde_json::json!({"0": "00ad", "25": "25ad"});
        fixture.device.set("/19/0/0", &two);
        let params = format!(r#"{{"id":"/19_1.1/0/0/0","value":{value}}}"#);
        assert_changed(&mut fixture, "WriteReplace", &params);
        assert_contains(&fixture.rpc("Read", r#"{"id":"/19_1.1/0/0/0"}"#), length);
        assert_contains(&fixture.rpc("Read", r#"{"id":"/19_1.1/0/0/25"}"#), "2Bytes");
    }
}

#[test]
fn rpc_087_and_088_text_of_odd_length_is_base64() {
    for (value, length) in [("01234567890", "8Bytes"), ("01234567890CABFF", "8Bytes")] {
        let mut fixture = Fixture::f();
        let params = format!(r#"{{"id":"/19_1.1/0/0","value":{{"0":"{value}"}}}}"#);
        assert_changed(&mut fixture, "WriteReplace", &params);
        assert_contains(&fixture.rpc("Read", r#"{"id":"/19_1.1/0/0/0"}"#), length);
    }
}

#[test]
fn rpc_089_to_091_write_replace_that_is_refused() {
    let mut fixture = Fixture::f();
    assert_eq!(
        fixture.rpc("WriteReplace", r#"{"id":"/3_1.2/0/9","value":90}"#),
        payload(r#"{"result":"METHOD_NOT_ALLOWED"}"#)
    );
    for id in ["/3_1.2/0", "/3_1.2"] {
        assert_eq!(
            fixture.rpc("WriteReplace", &format!(r#"{{"id":"{id}","value":1}}"#)),
            bad_request(&format!(
                "Resource {id}. This operation can only be used for Resource or ResourceInstance!"
            ))
        );
    }
    for (value, shown, class) in [
        (r#""abc""#, "abc", "String"),
        (r#"{"0":"x"}"#, "{0=x}", "LinkedHashMap"),
        ("1.5", "1.5", "Double"),
    ] {
        assert_eq!(
            fixture.rpc(
                "WriteReplace",
                &format!(r#"{{"id":"/19_1.1/0/1","value":{value}}}"#)
            ),
            bad_request(&format!(
                "Resource id=/19/0/1, value = {shown}, class = {class}. Format value is bad. \
                 Value for this Single Resource must be INTEGER!"
            ))
        );
    }
}

#[test]
fn write_replace_needs_a_value_a_model_and_the_right_version() {
    let mut fixture = Fixture::f();
    assert_eq!(
        fixture.rpc("WriteReplace", r#"{"id":"/3_1.2/0/14"}"#),
        bad_request("The value of this resource must not be null.")
    );
    assert_eq!(
        fixture.rpc("WriteReplace", r#"{"id":"/3_1.2/0/99","value":1}"#),
        bad_request("Resource /3_1.2/0/99 is not configured in the device profile!")
    );
    assert_eq!(
        fixture.rpc("WriteReplace", r#"{"id":"/3_1.0/0/14","value":"x"}"#),
        bad_request("Specified resource id /3_1.0/0/14 is not valid version! Must be version: 1.2")
    );
    for value in [r#"{"x":"00"}"#, r#"{"0":null}"#, r#"{"0":{"1":"00"}}"#] {
        let params = format!(r#"{{"id":"/19_1.1/0/0","value":{value}}}"#);
        let body = fixture.rpc("WriteReplace", &params);
        assert_contains(&body, "class = LinkedHashMap. Format value is bad.");
        assert_contains(&body, "must be OPAQUE!");
    }
}

#[test]
fn write_replace_of_time_is_in_milliseconds() {
    let mut fixture = Fixture::f();
    let params = r#"{"key":"dataCreationTime","value":1700000005000}"#;
    assert_changed(&mut fixture, "WriteReplace", params);
    assert_contains(
        &fixture.rpc("Read", r#"{"key":"dataCreationTime"}"#),
        "value=Tue Nov 14 22:13:25 UTC 2023, type=TIME",
    );
}

#[test]
fn rpc_101_to_104_execute() {
    for params in [
        r#"{"id":"/5_1.2/0/2"}"#,
        r#"{"id":"/9_1.1/0/4"}"#,
        r#"{"id":"/3_1.2/0/4"}"#,
        r#"{"id":"/1_1.1/0/8"}"#,
        r#"{"id":"/1/0/8"}"#,
    ] {
        assert_changed(&mut Fixture::f(), "Execute", params);
        assert_changed(&mut strict(), "Execute", params);
    }
}

#[test]
fn rpc_105_to_108_execute_sends_the_arguments() {
    for (value, sent) in [
        ("5", "5"),
        (r#""2='60'""#, "2='60'"),
        (
            r#""2,0='https://thingsboard.io/docs/reference/lwm2m-api/'""#,
            "2,0='https://thingsboard.io/docs/reference/lwm2m-api/'",
        ),
        (r#""0,1,2,3,4,5,6,7,8,9""#, "0,1,2,3,4,5,6,7,8,9"),
        (r#""""#, ""),
        ("null", ""),
    ] {
        let mut fixture = Fixture::f();
        let params = format!(r#"{{"id":"/3_1.2/0/5","value":{value}}}"#);
        assert_changed(&mut fixture, "Execute", &params);
        assert_eq!(
            fixture.device.executed,
            [(Path::resource(3, 0, 5), sent.into())]
        );
    }
}

#[test]
fn rpc_109_and_110_execute_with_broken_arguments() {
    for (value, detail) in [
        (
            "'60'",
            "Invalid digit ['] (an integer between 0 and 9 is expected)",
        ),
        (
            "0,1,2,3,4,5,6,7,8,9,60",
            "[,] separator expected at index 21 after [0,1,2,3,4,5,6,7,8,9,6]",
        ),
    ] {
        assert_eq!(
            Fixture::f().rpc(
                "Execute",
                &format!(r#"{{"id":"/3_1.2/0/5","value":"{value}"}}"#)
            ),
            bad_request(&format!(
                "Invalid Execute request : [Unable to parse Arguments [{value}] : {detail}]"
            ))
        );
    }
    for (value, shown) in [("1.5", "1.5"), ("true", "true"), ("60", "60")] {
        assert_contains(
            &Fixture::f().rpc(
                "Execute",
                &format!(r#"{{"id":"/3_1.2/0/5","value":{value}}}"#),
            ),
            &format!("Unable to parse Arguments [{shown}] : "),
        );
    }
}

#[test]
fn rpc_111_execute_that_the_device_explains() {
    assert_eq!(
        Fixture::f().rpc("Execute", r#"{"id":"/1_1.1/0/9"}"#),
        bad_request("probably no bootstrap server configured")
    );
}

#[test]
fn rpc_112_to_115_execute_that_is_refused() {
    let mut fixture = Fixture::f();
    assert_eq!(
        fixture.rpc("Execute", r#"{"id":"/5_1.2/0/3"}"#),
        bad_request("Resource with /5_1.2/0/3 is not executable.")
    );
    for (id, object) in [("/50/0/3", 50), ("/0_1.2/0/3", 0)] {
        assert_eq!(
            fixture.rpc("Execute", &format!(r#"{{"id":"{id}"}}"#)),
            bad_request(&format!(
                "Specified object id {object} absent in the list supported objects of the client or is security \
                 object!"
            ))
        );
    }
    for (value, class) in [(r#"{"a":1}"#, "LinkedHashMap"), ("[1]", "ArrayList")] {
        assert_eq!(
            fixture.rpc(
                "Execute",
                &format!(r#"{{"id":"/3_1.2/0/4","value":{value}}}"#)
            ),
            bad_request(&format!(
                "Unsupported parameter type: {class}. Only simple types (String, Integer, Boolean, etc.) are allowed \
                 for Execute arguments."
            ))
        );
    }
}

#[test]
fn execute_of_what_is_no_resource_or_has_no_model() {
    let mut fixture = Fixture::f();
    for (id, path) in [
        ("/3_1.2/0", "/3/0"),
        ("/3_1.2", "/3"),
        ("/3_1.2/0/4/0", "/3/0/4/0"),
    ] {
        assert_eq!(
            fixture.rpc("Execute", &format!(r#"{{"id":"{id}"}}"#)),
            bad_request(&format!(
                "Invalid path {path} : Only resource can be executed."
            ))
        );
    }
    assert_eq!(
        fixture.rpc("Execute", r#"{"id":"/3_1.2/0/99"}"#),
        bad_request(
            "ResourceModel with /3_1.2/0/99 is absent in system. Need ddd Lwm2m Model with id=3 ver=1.2 to profile."
        )
    );
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
        let params = format!(r#"{{"id":"{id}","value":{value}}}"#);
        match Fixture::f().parse(method, &params) {
            Ok(operation) => prop_assert_eq!(operation.id(), id),
            Err(rejection) => prop_assert!(rejection.reply.error.is_some()),
        }
    }

    #[test]
    fn no_text_can_panic(params in ".{0,40}") {
        prop_assert!(Fixture::f().parse("Read", &params).is_err());
    }
}
