//! Execute.

use super::*;

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
