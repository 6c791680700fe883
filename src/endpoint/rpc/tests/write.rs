//! WriteReplace.

use super::*;

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
