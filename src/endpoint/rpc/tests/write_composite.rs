//! WriteComposite.

use super::{composite::g_with_senml, *};

#[test]
fn rpc_096_write_composite_of_instance_key_and_resource() {
    let mut fixture = Fixture::f();
    assert_changed(
        &mut fixture,
        "WriteComposite",
        r#"{"nodes":{"/19_1.1/0":{"0":{"0":"00ad45675600","25":"25ad45675600cdef"}},"UtfOffset":"+04",
            "/3_1.2/0/15":"Kiyv/Europe"}}"#,
    );
    for (id, part) in [
        ("/19_1.1/0/0/0", "6Bytes"),
        ("/19_1.1/0/0/25", "8Bytes"),
        ("/3_1.2/0/14", "value=+04,"),
        ("/3_1.2/0/15", "value=Kiyv/Europe,"),
    ] {
        assert_shows(&mut fixture, id, part);
    }
}

#[test]
fn rpc_097_write_composite_of_a_multiple_resource() {
    let mut fixture = Fixture::f();
    assert_changed(
        &mut fixture,
        "WriteComposite",
        r#"{"nodes":{"/19_1.1/0/0":{"0":"00ad45675600","25":"25ad45675600cdef"}}}"#,
    );
    assert_shows(&mut fixture, "/19_1.1/0/0/0", "6Bytes");
    assert_shows(&mut fixture, "/19_1.1/0/0/25", "8Bytes");
}

#[test]
fn rpc_098_write_composite_of_a_resource_instance() {
    let mut fixture = Fixture::f();
    assert_changed(
        &mut fixture,
        "WriteComposite",
        r#"{"nodes":{"/19_1.1/1/0/2":"00001234","UtfOffset":"+04","/3_1.2/0/15":"Kiyv/Europe"}}"#,
    );
    assert_eq!(
        fixture.rpc("Read", r#"{"id":"/19_1.1/1/0/2"}"#),
        content("LwM2mResourceInstance [id=2, value=4Bytes, type=OPAQUE]")
    );
}

#[test]
fn rpc_099_write_composite_that_the_device_refuses_is_not_delivered() {
    let mut fixture = Fixture::f();
    let params =
        r#"{"nodes":{"/19_1.1/2/0/2":"00001234","UtfOffset":"+04","/3_1.2/0/15":"Kiyv/Europe"}}"#;
    let operation = fixture.parse("WriteComposite", params).unwrap();
    let outcome = fixture.run(&operation);
    assert_eq!(
        outcome.reply.body(),
        bad_request("object instance /19/2 not found")
    );
    assert!(!outcome.delivered);
    assert_eq!(outcome.nodes, []);
    let bare = message(&coap::Response::new(Code::METHOD_NOT_ALLOWED));
    let outcome = operation.outcome(&bare, &fixture.context());
    assert_eq!(outcome.reply.body(), payload(r#"{"result":"BAD_REQUEST"}"#));
}

#[test]
fn rpc_100_write_composite_on_a_1_0_device() {
    let mut fixture = g_with_senml();
    fixture.learn_object_1();
    fixture.device.set("/1/0/2", &1.into());
    assert_changed(
        &mut fixture,
        "WriteComposite",
        r#"{"nodes":{"/3/0/14":"+04","/1/0/2":100,"/5/0/1":"coap://localhost:5685"}}"#,
    );
}

#[test]
fn write_composite_of_what_it_cannot_write() {
    let invalid = |nodes: &str| {
        format!(
            "nodes: {nodes} is not validate value. The WriteComposite operation is only used for SingleResources \
             or/and ResourceInstance."
        )
    };
    for (nodes, error) in [
        ("{}", "nodes: {} is not validate value".to_owned()),
        ("null", "nodes: {} is not validate value".to_owned()),
        (
            r#"{"/3_1.2":{"0":{"14":"x"}}}"#,
            invalid("{/3_1.2={0={14=x}}}"),
        ),
        (r#"{"/3_1.2/0":"x"}"#, invalid("{/3_1.2/0=x}")),
        (r#"{"/3_1.2/0":{"a":"x"}}"#, invalid("{/3_1.2/0={a=x}}")),
        (r#"{"/3_1.2/0":{}}"#, invalid("{/3_1.2/0={}}")),
        (r#"{"/3_1.2/0/14":null}"#, invalid("{/3_1.2/0/14=null}")),
        (
            r#"{"/3_1.2/0/14":[1]}"#,
            "Unsupported type: ArrayList".to_owned(),
        ),
        (
            r#"{"UtfOffset":{"0":1}}"#,
            "Unsupported type: LinkedHashMap".to_owned(),
        ),
        (
            r#"{"nope":1}"#,
            "nope is not configured in the device profile!".to_owned(),
        ),
        (
            r#"{"/3_1.1/0/14":"x"}"#,
            "Resource /3_1.1/0/14 is not configured in the device profile!".to_owned(),
        ),
        (
            r#"{"/3_1.2/0/99":"x"}"#,
            "Resource /3/0/99 is not configured in the device profile!".to_owned(),
        ),
        (
            r#"{"/19_1.1/0/1":"x"}"#,
            "Invalid value type for resource /19/0/1, expected INTEGER, got STRING".to_owned(),
        ),
        (
            r#"{"/19_1.1/0/0/0":"+!"}"#,
            "Unable to convert hexastring or base64 [+!] to byte array for resource /19/0/0/0"
                .to_owned(),
        ),
    ] {
        let rejection = Fixture::f()
            .task("WriteComposite", &format!(r#"{{"nodes":{nodes}}}"#))
            .unwrap_err();
        assert_eq!(rejection.reply.body(), bad_request(&error), "{nodes}");
        assert_eq!(rejection.log, None);
    }
}
