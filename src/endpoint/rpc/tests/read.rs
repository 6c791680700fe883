//! Read.

use super::*;

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
