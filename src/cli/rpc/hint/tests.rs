//! What is told of which failure.

use serde_json::json;

use super::*;

/// What is told when a command of the device of `lightship demo` fails so; it was heard 95 s ago.
fn told(method: &str, id: &str, status: u16, body: Value) -> String {
    let params = json!({ "id": id });
    let summary = json!({
        "endpoint": "demo-1",
        "last_heard": 1_000_000,
        "asleep": method == "Asleep",
        "objects": ["/", "/3", "/3/0", "/3303", "/3303/0", "/3303/2"],
        "versions": {"3": "1.2", "3303": "1.1", "33000": "1.0"},
        "observed": ["/3/0/9", "/3303/0/5700"],
    });
    let ask = |path: &str| match path {
        "/api/endpoints" => Some(json!([summary, {"endpoint": "hall"}])),
        "/api/endpoints/demo-1" => Some(summary.clone()),
        _ => None,
    };
    let failed = Failed {
        endpoint: if method == "Nobody" {
            "dmo-1"
        } else {
            "demo-1"
        },
        method,
        params: &params,
        timeout: 30,
        status,
        body: &body,
        ask: &ask,
    };
    hint(&failed, UnixMillis(1_095_000)).unwrap_or_default()
}

/// What is told of an error in a reply.
fn of(method: &str, id: &str, error: impl Into<String>) -> String {
    told(
        method,
        id,
        200,
        json!({"result": "BAD_REQUEST", "error": error.into()}),
    )
}

#[test]
fn an_unknown_command_is_told_the_nearest_one() {
    let told = |method| of(method, "/3", text::unsupported_operation(method));
    assert!(told("read").starts_with("did you mean Read? commands are Read, ReadComposite,"));
    assert!(told("WriteAttribute").starts_with("did you mean WriteAttributes? "));
    assert!(told("Reboot").starts_with("commands are "));
}

#[test]
fn a_path_in_another_version_is_told_that_of_the_device() {
    let error = text::version_invalid("/3_1.0/0/9", ObjectVersion::new(1, 2));
    assert_eq!(
        of("Read", "/3_1.0/0/9", error),
        "the device has object 3 in version 1.2: /3_1.2/0/9; with rpc.lenient_version, /3/0/9 means the same"
    );
    assert_eq!(
        of("Read", "/4/0", text::object_absent(Some(4))),
        "the device registered /3_1.2, /3303_1.1, /33000_1.0"
    );
}

#[test]
fn an_endpoint_that_is_not_registered_is_told_those_that_are() {
    let error = json!({"error": CommandError::UnknownEndpoint.to_string()});
    assert_eq!(
        told("Nobody", "/3", 404, error),
        "did you mean demo-1? registered are demo-1, hall"
    );
    let other = json!({"error": "only embedded mode takes commands here"});
    assert_eq!(told("Nobody", "/3", 404, other), "");
}

#[test]
fn a_device_that_does_not_answer_sleeps_or_may_be_gone() {
    let timeout = || json!({"error": "TIMEOUT"});
    let sleeps = told("Asleep", "/3", 504, timeout());
    assert!(
        sleeps.starts_with("the device sleeps; it was heard last 95 s ago. A command waits until"),
        "{sleeps}"
    );
    let gone = told("Read", "/3", 504, timeout());
    assert!(
        gone.starts_with("the device was heard last 95 s ago and did not answer within 30 s"),
        "{gone}"
    );
}

#[test]
fn execute_is_told_what_can_be_executed() {
    let expected = "of Device, executable are /3/0/4 (Reboot), /3/0/5 (Factory Reset), /3/0/12 (Reset Error Code)";
    assert_eq!(
        of("Execute", "/3/0/9", text::not_executable("/3/0/9")),
        expected
    );
    let error = text::execute_resource_only(&Path::instance(3, 0));
    assert_eq!(of("Execute", "/3_1.2/0", error), expected);
    assert_eq!(
        of(
            "Execute",
            "/3303/0/5700",
            text::not_executable("/3303/0/5700")
        ),
        "of Temperature, executable are /3303/0/5605 (Reset Min and Max Measured Values)"
    );
}

#[test]
fn parameters_that_are_missing_are_shown() {
    for error in [
        text::TARGET_MISSING.to_owned(),
        text::malformed_parameters("7"),
        text::VALUE_NULL.to_owned(),
    ] {
        assert_eq!(
            of("WriteReplace", "", error),
            "WriteReplace: Writes a resource; a multiple one takes {\"0\":1,\"1\":5} as value. For example: lightship rpc \
             demo-1 WriteReplace '{\"id\":\"/3/0/14\",\"value\":\"+02:00\"}'"
        );
    }
    let told = of(
        "WriteReplace",
        "/3/0",
        text::write_replace_resource_only("/3/0"),
    );
    assert!(told.starts_with("WriteUpdate: "), "{told}");
    let told = of(
        "WriteUpdate",
        "/3/0/14",
        text::write_update_refused("/3/0/14", ""),
    );
    assert!(told.starts_with("WriteReplace: "), "{told}");
}

#[test]
fn what_has_no_model_needs_one() {
    assert_eq!(
        of(
            "WriteReplace",
            "/33000/0/1",
            text::resource_not_configured("/33000/0/1")
        ),
        "put the definition of object 33000 in version 1.0 into the registry's models/"
    );
    let told = of(
        "WriteReplace",
        "/3/0/99",
        text::resource_not_configured("/3/0/99"),
    );
    assert!(
        told.starts_with("Device in version 1.2 has no resource 99"),
        "{told}"
    );
    let told = of("Read", "", text::key_not_configured("temprature"));
    assert!(
        told.starts_with("the profile's keyName has no such name"),
        "{told}"
    );
}

#[test]
fn observations_and_instances_are_listed() {
    assert_eq!(
        of("ObserveCancel", "/3/0/14", text::not_observed("/3/0/14")),
        "observed are /3/0/9, /3303/0/5700"
    );
    assert_eq!(
        of(
            "Delete",
            "/3303",
            text::delete_instance_only(&Path::object(3303))
        ),
        "of object 3303 the device registered the instances /3303/0, /3303/2"
    );
}

#[test]
fn codes_of_the_device_are_explained() {
    let code = |method, id, code: &str| told(method, id, 200, json!({"result": code}));
    assert_eq!(
        code("Read", "/3/0/10", "NOT_FOUND"),
        "the device has nothing at /3/0/10; what it has: lightship rpc demo-1 Discover /3"
    );
    assert_eq!(
        code("Read", "/3/0/4", "METHOD_NOT_ALLOWED"),
        "the device refuses this; by its model, Reboot of Device can be executed only"
    );
}

/// Each error is made by the function that makes it for replies, so that a part that no text has any more is found.
#[test]
fn every_rule_is_for_a_text_that_there_is() {
    let path = Path::resource(3, 0, 9);
    let texts = [
        text::unsupported_operation("X"),
        text::version_invalid("/3", ObjectVersion::V1_0),
        text::object_absent(None),
        text::TARGET_MISSING.to_owned(),
        text::malformed_parameters("7"),
        text::VALUE_NULL.to_owned(),
        text::VALUE_NO_MAP.to_owned(),
        text::NODES_EMPTY.to_owned(),
        text::ATTRIBUTES_MISSING.to_owned(),
        text::execute_model_absent("/3", 3, ObjectVersion::V1_0),
        text::not_executable("/3"),
        text::execute_resource_only(&path),
        text::not_observed("/3"),
        text::observed_single(&path),
        text::NO_COMPOSITE.to_owned(),
        text::discover_resource_instance(&path),
        text::write_replace_resource_only("/3"),
        text::write_update_target("/3"),
        text::delete_instance_only(&path),
        text::create_multiple_only("/3"),
        text::REGISTRATION_EMPTY.to_owned(),
        text::cancelled("coap://[::1]/3"),
        text::key_not_configured("k"),
    ];
    for ((part, _), error) in RULES.iter().zip(texts) {
        assert!(error.contains(part), "{part}: {error}");
    }
}
