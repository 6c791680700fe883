//! The older shapes of three replies (`rpc.md` 12).

use super::*;

fn legacy(mut fixture: Fixture) -> Fixture {
    fixture.settings.legacy_shapes = true;
    fixture
}

#[test]
fn a_deleted_instance_is_called_delete() {
    let mut fixture = legacy(Fixture::f());
    let operation = fixture.parse("Delete", &at("/3303_1.0/12")).unwrap();
    let outcome = fixture.run(&operation);
    assert_eq!(outcome.reply.body(), payload(r#"{"result":"DELETE"}"#));
    assert_eq!(outcome.removed, Some(Path::instance(3303, 12)));
    assert_eq!(
        fixture.rpc("Delete", &at("/3303_1.0/12")),
        payload(r#"{"result":"NOT_FOUND"}"#)
    );
}

#[test]
fn observe_read_all_lists_bare_paths() {
    let mut fixture = legacy(Fixture::f());
    assert_eq!(fixture.rpc("ObserveReadAll", "null"), content("[]"));
    fixture.rpc("Observe", &at("/5_1.2/0/7"));
    assert_eq!(
        fixture.rpc("ObserveReadAll", "null"),
        payload(r#"{"result":"CONTENT","value":"[\"/5/0/7\"]"}"#)
    );
    fixture.rpc("ObserveComposite", r#"{"ids":["/3/0/9","/5/0/3"]}"#);
    let body = fixture.rpc("ObserveReadAll", "null");
    for path in ["/5/0/7", "/3/0/9", "/5/0/3"] {
        assert_contains(&body, &format!(r#"\"{path}\""#));
    }
}

#[test]
fn discover_all_lists_objects_of_url_and_attributes() {
    let links =
        "</3/0>,</1>;ver=1.1,</1/0>,</31024>;ver=1.0,</31024/10>;x,</>;ct=110;rt=\"oma.lwm2m\"";
    assert_eq!(
        legacy(Fixture::new("lwm2m=1.1", links, "{}")).rpc("DiscoverAll", "null"),
        content(
            r#"[{"url":"/","attributes":{"ct":"110","rt":"\"oma.lwm2m\""}},{"url":"/1","attributes":{"ver":"1.1"}},{"url":"/1/0","attributes":{}},{"url":"/3/0","attributes":{}},{"url":"/31024","attributes":{"ver":"1.0"}},{"url":"/31024/10","attributes":{"x":null}}]"#
        )
    );
}

#[test]
fn other_replies_stay_as_they_are() {
    for (method, params) in [
        ("Read", r#"{"id":"/3_1.2/0/9"}"#),
        ("ObserveCancelAll", "null"),
        ("Discover", r#"{"id":"/3_1.2"}"#),
        ("WriteReplace", r#"{"id":"/3_1.2/0/14","value":"+12"}"#),
    ] {
        assert_eq!(
            legacy(Fixture::f()).rpc(method, params),
            Fixture::f().rpc(method, params)
        );
    }
}
