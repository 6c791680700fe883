//! WriteReplace.

use super::*;

#[test]
fn rpc_074_write_replace_of_a_text() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/3_1.2/0/14","value":"+12"}"#;
    assert_changed(&mut fixture, "WriteReplace", params);
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/3_1.2/0/14"}"#),
        content("LwM2mSingleResource [id=14, value=+12, type=STRING]")
    );
}

#[test]
fn rpc_075_write_replace_by_key() {
    let mut fixture = Fixture::f();
    let params = r#"{"key":"UtfOffset","value":"+09"}"#;
    assert_changed(&mut fixture, "WriteReplace", params);
    assert_contains(&fixture.rpc("Read", r#"{"key":"UtfOffset"}"#), "value=+09,");
}

#[test]
fn rpc_076_multiple_resource_takes_a_single_value() {
    let params = r#"{"id":"/19/0/0","value":"0081"}"#;
    assert_changed(&mut Fixture::g(), "WriteReplace", params);
}

#[test]
fn rpc_077_write_replace_of_instances() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/19_1.1/0/0","value":{"0":"1525ad45675600cdef","15":2147483647}}"#;
    assert_changed(&mut fixture, "WriteReplace", params);
    assert_shows(&mut fixture, "/19_1.1/0/0/0", "value=9Bytes,");
    assert_shows(&mut fixture, "/19_1.1/0/0/15", "value=4Bytes,");
}

/// Writes one of two instances, and reads its length and that of the other one, which stays.
#[track_caller]
fn assert_length(value: &str, length: &str) {
    let mut fixture = Fixture::f();
    let two = serde_json::json!({"0": "00ad", "25": "25ad"});
    fixture.device.set("/19/0/0", &two);
    let params = format!(r#"{{"id":"/19_1.1/0/0/0","value":{value}}}"#);
    assert_changed(&mut fixture, "WriteReplace", &params);
    assert_shows(&mut fixture, "/19_1.1/0/0/0", &format!("value={length},"));
    assert_shows(&mut fixture, "/19_1.1/0/0/25", "value=2Bytes,");
}

#[test]
fn rpc_078_write_replace_of_one_instance_by_base64_without_padding() {
    assert_length(r#""QUJDREVGRw""#, "7Bytes");
}

#[test]
fn rpc_079_write_replace_of_one_instance_by_seven_characters() {
    assert_length(r#""ABCDEFG""#, "5Bytes");
}

#[test]
fn rpc_080_write_replace_of_one_instance_by_hexadecimal_digits() {
    assert_length(r#""01ABCDEF""#, "4Bytes");
}

#[test]
fn rpc_081_write_replace_of_one_instance_by_a_number() {
    assert_length("1234566", "4Bytes");
}

#[test]
fn rpc_082_write_replace_of_one_instance_by_the_least_number_of_32_bits() {
    assert_length("-2147483648", "4Bytes");
}

#[test]
fn rpc_083_write_replace_of_one_instance_by_a_number_beyond_32_bits() {
    assert_length("4406483977", "8Bytes");
}

#[test]
fn rpc_084_write_replace_of_one_instance_by_a_fraction() {
    assert_length("8.02", "4Bytes");
}

#[test]
fn rpc_085_write_replace_of_one_instance_by_a_longer_fraction() {
    assert_length("1022.5906", "4Bytes");
}

#[test]
fn rpc_086_write_replace_of_one_instance_by_the_greatest_double() {
    assert_length("1.7976931348623157E308", "8Bytes");
}

#[test]
fn rpc_087_text_of_odd_length_is_base64() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/19_1.1/0/0","value":{"0":"01234567890"}}"#;
    assert_changed(&mut fixture, "WriteReplace", params);
    assert_shows(&mut fixture, "/19_1.1/0/0/0", "value=8Bytes,");
}

#[test]
fn rpc_088_write_replace_on_a_device_that_knows_senml_only() {
    let mut fixture = Fixture::f_announcing("110 112");
    let params = r#"{"id":"/19_1.1/0/0","value":{"0":"01234567890CABFF"}}"#;
    let operation = fixture.parse("WriteReplace", params).unwrap();
    let format = operation.request(&[]).content_format;
    assert_eq!(format, Some(ContentFormat::SENML_JSON));
    assert_changed(&mut fixture, "WriteReplace", params);
    assert_shows(&mut fixture, "/19_1.1/0/0/0", "value=8Bytes,");
}

#[test]
fn rpc_089_write_replace_of_what_is_only_read() {
    assert_eq!(
        Fixture::f().rpc("WriteReplace", r#"{"id":"/3_1.2/0/9","value":90}"#),
        payload(r#"{"result":"METHOD_NOT_ALLOWED"}"#)
    );
}

#[test]
fn rpc_090_write_replace_of_what_is_no_resource() {
    for id in ["/3_1.2/0", "/3_1.2"] {
        assert_eq!(
            Fixture::f().rpc("WriteReplace", &format!(r#"{{"id":"{id}","value":1}}"#)),
            bad_request(&format!(
                "Resource {id}. This operation can only be used for Resource or ResourceInstance!"
            ))
        );
    }
}

#[test]
fn rpc_091_write_replace_by_a_value_of_another_type() {
    for (value, shown, class) in [
        (r#""abc""#, "abc", "String"),
        (r#"{"0":"x"}"#, "{0=x}", "LinkedHashMap"),
        ("1.5", "1.5", "Double"),
    ] {
        assert_eq!(
            Fixture::f().rpc(
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
