//! Execute.

use super::*;

#[track_caller]
fn assert_executes(params: &str) {
    assert_changed(&mut Fixture::f(), "Execute", params);
    assert_changed(&mut strict(), "Execute", params);
}

#[test]
fn rpc_101_execute_of_the_firmware_update() {
    assert_executes(r#"{"id":"/5_1.2/0/2"}"#);
}

#[test]
fn rpc_102_execute_of_the_software_install() {
    assert_executes(r#"{"id":"/9_1.1/0/4"}"#);
}

#[test]
fn rpc_103_execute_of_the_reboot() {
    assert_executes(r#"{"id":"/3_1.2/0/4"}"#);
}

#[test]
fn rpc_104_execute_of_the_update_trigger_needs_no_version() {
    assert_executes(r#"{"id":"/1_1.1/0/8"}"#);
    assert_executes(r#"{"id":"/1/0/8"}"#);
}

/// Executes with these arguments, as JSON, and gives what arrives.
#[track_caller]
fn assert_arrives(resource: u16, value: &str, sent: &'static str) {
    let mut fixture = Fixture::f();
    let params = format!(r#"{{"id":"/3_1.2/0/{resource}","value":{value}}}"#);
    assert_changed(&mut fixture, "Execute", &params);
    assert_eq!(
        fixture.device.executed,
        [(Path::resource(3, 0, resource), sent.into())]
    );
}

#[test]
fn rpc_105_execute_with_a_number() {
    assert_arrives(4, "5", "5");
}

#[test]
fn rpc_106_execute_with_an_argument() {
    assert_arrives(5, r#""2='60'""#, "2='60'");
}

#[test]
fn rpc_107_execute_with_a_link() {
    let arguments = "2,0='https://thingsboard.io/docs/reference/lwm2m-api/'";
    assert_arrives(5, &format!("\"{arguments}\""), arguments);
}

#[test]
fn rpc_108_execute_with_ten_arguments() {
    assert_arrives(5, r#""0,1,2,3,4,5,6,7,8,9""#, "0,1,2,3,4,5,6,7,8,9");
}

#[test]
fn no_value_means_no_arguments() {
    assert_arrives(5, r#""""#, "");
    assert_arrives(5, "null", "");
}

#[track_caller]
fn assert_arguments_refused(value: &str, detail: &str) {
    let params = format!(r#"{{"id":"/3_1.2/0/5","value":"{value}"}}"#);
    assert_eq!(
        Fixture::f().rpc("Execute", &params),
        bad_request(&format!(
            "Invalid Execute request : [Unable to parse Arguments [{value}] : {detail}]"
        ))
    );
}

#[test]
fn rpc_109_execute_with_a_value_without_digit() {
    assert_arguments_refused(
        "'60'",
        "Invalid digit ['] (an integer between 0 and 9 is expected)",
    );
}

#[test]
fn rpc_110_execute_with_a_digit_of_two() {
    assert_arguments_refused(
        "0,1,2,3,4,5,6,7,8,9,60",
        "[,] separator expected at index 21 after [0,1,2,3,4,5,6,7,8,9,6]",
    );
}

#[test]
fn arguments_of_other_types_are_judged_by_their_text() {
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
fn rpc_112_execute_of_what_is_not_executable() {
    assert_eq!(
        Fixture::f().rpc("Execute", r#"{"id":"/5_1.2/0/3"}"#),
        bad_request("Resource with /5_1.2/0/3 is not executable.")
    );
}

#[track_caller]
fn assert_object_absent(id: &str, object: u16) {
    assert_eq!(
        Fixture::f().rpc("Execute", &at(id)),
        bad_request(&format!(
            "Specified object id {object} absent in the list supported objects of the client or is security object!"
        ))
    );
}

#[test]
fn rpc_113_execute_of_an_object_that_is_not_announced() {
    assert_object_absent("/50/0/3", 50);
}

#[test]
fn rpc_114_execute_of_the_security_object() {
    assert_object_absent("/0_1.2/0/3", 0);
}

#[test]
fn rpc_115_execute_with_arguments_that_are_no_text() {
    for (value, class) in [(r#"{"a":1}"#, "LinkedHashMap"), ("[1]", "ArrayList")] {
        assert_eq!(
            Fixture::f().rpc(
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
