//! Read.

use super::*;

#[track_caller]
fn assert_reads(fixture: &mut Fixture, params: &str, part: &str) {
    let body = fixture.rpc("Read", params);
    assert_contains(&body, r#"{"result":"CONTENT","value":""#);
    assert_contains(&body, part);
}

fn absent(object: &str) -> RpcBody {
    bad_request(&format!(
        "Specified object id {object} absent in the list supported objects of the client or is security object!"
    ))
}

#[test]
fn rpc_001_read_on_a_1_0_device() {
    let mut fixture = Fixture::g();
    fixture.device.set("/3/0/9", &100.into());
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/3/0/9"}"#),
        payload(
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=100, type=INTEGER]"}"#
        )
    );
}

#[test]
fn rpc_002_read_with_version_on_a_1_0_device() {
    let mut fixture = Fixture::g();
    fixture.device.set("/3/0/9", &20.into());
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/3_1.0/0/9"}"#),
        payload(
            r#"{"result":"CONTENT","value":"LwM2mSingleResource [id=9, value=20, type=INTEGER]"}"#
        )
    );
}

#[test]
fn rpc_003_read_by_key() {
    let part = "\"LwM2mSingleResource [id=9, value=";
    assert_reads(&mut Fixture::f(), r#"{"key":"batteryLevel"}"#, part);
}

#[test]
fn rpc_004_read_of_a_text() {
    let part = "\"LwM2mSingleResource [id=14, value=";
    assert_reads(&mut Fixture::f(), r#"{"id":"/3_1.2/0/14"}"#, part);
}

#[test]
fn rpc_005_read_of_a_text_by_key() {
    let part = "\"LwM2mSingleResource [id=14, value=";
    assert_reads(&mut Fixture::f(), r#"{"key":"UtfOffset"}"#, part);
}

#[test]
fn rpc_006_read_of_a_multiple_resource() {
    let part = "\"LwM2mMultipleResource [id=11, values={";
    assert_reads(&mut Fixture::f(), r#"{"id":"/3_1.2/0/11"}"#, part);
}

#[test]
fn rpc_007_read_of_a_multiple_resource_of_three() {
    assert_eq!(
        Fixture::f().rpc("Read", r#"{"id":"/3_1.2/0/6"}"#),
        content(
            "LwM2mMultipleResource [id=6, values={0=LwM2mResourceInstance [id=0, value=0, type=INTEGER], \
             1=LwM2mResourceInstance [id=1, value=1, type=INTEGER], \
             2=LwM2mResourceInstance [id=2, value=7, type=INTEGER]}, type=INTEGER]"
        )
    );
}

#[test]
fn rpc_008_read_of_an_instance() {
    let part = "\"LwM2mObjectInstance [id=0, resources={";
    assert_reads(&mut Fixture::f(), r#"{"id":"/5_1.2/0"}"#, part);
}

#[test]
fn rpc_009_read_of_an_object() {
    let part = "\"LwM2mObject [id=6, instances={0=LwM2mObjectInstance [id=0, resources=";
    assert_reads(&mut Fixture::f(), r#"{"id":"/6_1.0"}"#, part);
}

#[test]
fn rpc_010_path_without_version_means_1_0_unless_lenient() {
    assert_eq!(
        strict().rpc("Read", r#"{"id":"/3/0/9"}"#),
        RpcBody::Error(
            r#"{"result":"BAD_REQUEST","error":"Specified resource id /3/0/9 is not valid version! Must be version: 1.2"}"#
                .to_owned()
        )
    );
    assert_contains(&Fixture::f().rpc("Read", r#"{"id":"/3/0/9"}"#), "CONTENT");
    assert_contains(&strict().rpc("Read", r#"{"id":"/6/0/0"}"#), "CONTENT");
}

#[test]
fn rpc_011_read_of_an_object_that_is_not_announced() {
    let body = Fixture::f().rpc("Read", r#"{"id":"/50/0/1"}"#);
    assert_eq!(body, absent("50"));
}

#[test]
fn rpc_012_read_of_the_security_object() {
    let body = Fixture::f().rpc("Read", r#"{"id":"/0_1.2/0/0"}"#);
    assert_eq!(body, absent("0"));
}

#[test]
fn the_root_is_no_object() {
    let body = Fixture::f().rpc("Read", r#"{"id":"/"}"#);
    assert_eq!(body, absent("null"));
}

#[test]
fn rpc_013_read_by_an_unknown_key() {
    for params in [r#"{"key":"nope"}"#, r#"{"key":"nope","id":"/3_1.2/0/9"}"#] {
        assert_eq!(
            Fixture::f().rpc("Read", params),
            bad_request("nope is not configured in the device profile!")
        );
    }
}

#[test]
fn rpc_014_read_of_nothing() {
    for params in ["{}", "", "null", r#"{"id":""}"#, r#"{"key":"","id":null}"#] {
        assert_eq!(
            Fixture::f().rpc("Read", params),
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
fn rpc_016_read_of_a_single_opaque_resource() {
    assert_eq!(
        Fixture::f().rpc("Read", r#"{"id":"/6_1.0/0/4"}"#),
        content("LwM2mSingleResource id=4 value=00ad type=OPAQUE")
    );
}

#[test]
fn rpc_017_read_of_a_multiple_opaque_resource() {
    let mut fixture = Fixture::f();
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
fn rpc_018_read_of_an_opaque_resource_instance() {
    assert_eq!(
        Fixture::f().rpc("Read", r#"{"id":"/19_1.1/0/0/0"}"#),
        content("LwM2mResourceInstance [id=0, value=1Bytes, type=OPAQUE]")
    );
}
