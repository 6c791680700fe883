//! WriteUpdate.

use super::*;

#[test]
fn rpc_092_write_update_of_an_instance() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/3_1.2/0","value":{"14":"+5","15":"Kiyv/Europe"}}"#;
    assert_changed(&mut fixture, "WriteUpdate", params);
    for (id, value) in [
        ("/3_1.2/0/14", "value=+5,"),
        ("/3_1.2/0/15", "value=Kiyv/Europe,"),
    ] {
        assert_shows(&mut fixture, id, value);
    }
}

#[test]
fn rpc_093_write_update_of_an_instance_with_a_multiple_resource() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/19_1.1/0","value":{"0":{"0":"00ad45675600","25":"25ad45675600cdef"}}}"#;
    assert_changed(&mut fixture, "WriteUpdate", params);
    for (id, length) in [("/19_1.1/0/0/0", "6Bytes"), ("/19_1.1/0/0/25", "8Bytes")] {
        assert_shows(&mut fixture, id, length);
    }
}

#[test]
fn rpc_094_write_update_of_a_multiple_resource() {
    let mut fixture = Fixture::g();
    let operation = fixture
        .parse(
            "WriteUpdate",
            r#"{"id":"/19/0/0","value":{"0":"00ad456756","25":"25ad456756"}}"#,
        )
        .unwrap();
    let request = operation.request(&[]);
    assert_eq!(request.method, Code::POST);
    assert_eq!(request.path, ["19", "0", "0"]);
    let outcome = fixture.run(&operation);
    assert_eq!(outcome.reply.body(), payload(r#"{"result":"CHANGED"}"#));
    let known: Vec<_> = outcome
        .nodes
        .iter()
        .map(|(path, _)| path.to_string())
        .collect();
    assert_eq!(known, ["/19/0/0/0", "/19/0/0/25"], "what was there stays");
}

#[track_caller]
fn assert_refused(id: &str, value: &str, error: &str) {
    let mut fixture = Fixture::f();
    let params = format!(r#"{{"id":"{id}","value":{value}}}"#);
    assert_eq!(
        fixture.rpc("WriteUpdate", &params),
        bad_request(error),
        "{params}"
    );
    let log = fixture.parse("WriteUpdate", &params).unwrap_err().log;
    assert!(
        log.unwrap()
            .ends_with(&format!("validation failed. Reason: {error}"))
    );
}

#[test]
fn rpc_095_write_update_of_a_single_resource() {
    assert_refused(
        "/3_1.2/0/14",
        r#""+5""#,
        "Resource /3_1.2/0/14. This operation can only be used for ObjectInstance or Multi-Instance Resource !",
    );
}

#[test]
fn write_update_of_what_it_cannot_write() {
    for (id, value, error) in [
        (
            "/3_1.2/0/99",
            "1",
            "Resource /3_1.2/0/99. This operation can only be used for ObjectInstance or Multi-Instance Resource ! \
             Resource /3_1.2/0/99 is not configured in the device profile!",
        ),
        (
            "/19_1.1/0/0",
            r#""00ad""#,
            "Resource /19_1.1/0/0. This operation can only be used for ObjectInstance or Multi-Instance Resource ! \
             Resource id=/19/0/0, class = String, value = 00ad is bad. Value of Multi-Instance Resource must be in \
             Json format!",
        ),
        (
            "/19_1.1",
            "{}",
            "Resource /19_1.1. This operation can only be used for ObjectInstance or Resource (multiple)",
        ),
        (
            "/19_1.1/0/0/0",
            "1",
            "Resource /19_1.1/0/0/0. This operation can only be used for ObjectInstance or Resource (multiple)",
        ),
        (
            "/3_1.2/0",
            "null",
            "The value of this resource must not be null.",
        ),
        (
            "/3_1.2/0",
            "{}",
            "The value of this resource must be in Map format and size > 0",
        ),
        (
            "/3_1.2/0",
            r#"{"99":1}"#,
            "Resource /3_1.2/0. This operation can only be used for ObjectInstance or Multi-Instance Resource ! No \
             resources to update!",
        ),
        (
            "/3_1.2/0",
            r#"{"14":null}"#,
            "The value of this resource must not be null.",
        ),
        (
            "/19_1.1/0",
            r#"{"0":"00"}"#,
            "Resource id=0, class = String, value = 00 is bad. Value of Multi-Instance Resource must be in Json format!",
        ),
        (
            "/19_1.1/0",
            r#"{"1":true}"#,
            "Invalid value type for resource /19/0/1, expected INTEGER, got BOOLEAN",
        ),
        (
            "/19_1.1/0",
            r#"{"2":"soon"}"#,
            "Unable to convert string (soon) to TIME for resource /19/0/2",
        ),
    ] {
        assert_refused(id, value, error);
    }
}

#[test]
fn write_update_does_not_ask_for_mandatory_resources() {
    let mut fixture = Fixture::f();
    fixture.make_mandatory(19, 1);
    assert_changed(
        &mut fixture,
        "WriteUpdate",
        r#"{"id":"/19_1.1/0","value":{"4":"x","99":1}}"#,
    );
}
