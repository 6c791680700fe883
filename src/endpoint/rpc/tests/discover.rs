//! Discover and DiscoverAll.

use super::*;

#[test]
fn rpc_022_discover_of_a_resource_on_a_1_0_device() {
    assert_eq!(
        Fixture::g().rpc("Discover", r#"{"id":"/3/0/1"}"#),
        content("</3/0/1>")
    );
}

#[test]
fn rpc_023_discover_by_key() {
    assert_eq!(
        Fixture::g().rpc("Discover", r#"{"key":"batteryLevel"}"#),
        content("</3/0/9>")
    );
}

#[test]
fn rpc_024_discover_of_an_object_whose_instances_are_not_listed() {
    let fixture = Fixture::g();
    let operation = fixture.parse("Discover", r#"{"id":"/3"}"#).unwrap();
    let response = coap::Response {
        content_format: Some(ContentFormat::LINK),
        payload: "</3>,</3/0/0>,</3/0/1>".into(),
        ..coap::Response::new(Code::CONTENT)
    };
    let outcome = operation.outcome(&message(&response), &fixture.context());
    assert_eq!(outcome.reply.body(), content("</3>,</3/0/0>,</3/0/1>"));
}

#[test]
fn rpc_025_discover_shows_version_and_dimensions() {
    let body = Fixture::f().rpc("Discover", r#"{"id":"/3_1.2"}"#);
    for part in [
        "</3>;ver=1.2,",
        "</3/0/6>;dim=3",
        "</3/0/7>;dim=3",
        "</3/0/8>;dim=3",
        "</3/0/11>;dim=1",
    ] {
        assert_contains(&body, part);
    }
}

#[test]
fn rpc_026_discover_of_a_resource_lists_its_instances() {
    let mut fixture = Fixture::f();
    for params in attributes::OF_AN_INSTANCE_AND_A_RESOURCE {
        assert_changed(&mut fixture, "WriteAttributes", params);
    }
    assert_contains(
        &fixture.rpc("Discover", r#"{"id":"/3_1.2/0/6"}"#),
        "</3/0/6>;dim=3,</3/0/6/0>,</3/0/6/1>,</3/0/6/2>",
    );
}

#[test]
fn a_quoted_version_is_shown_bare_and_other_quotes_stay() {
    let fixture = Fixture::f();
    let operation = fixture.parse("Discover", r#"{"id":"/3_1.2"}"#).unwrap();
    let response = coap::Response {
        content_format: Some(ContentFormat::LINK),
        payload: "</3>;ver=\"1.2\";ct=\"60 110\",</3/0>;lt=42.2".into(),
        ..coap::Response::new(Code::CONTENT)
    };
    let outcome = operation.outcome(&message(&response), &fixture.context());
    assert_eq!(
        outcome.reply.value.as_deref(),
        Some("</3>;ver=1.2;ct=\"60 110\",</3/0>;lt=42.2")
    );
    assert_eq!(
        outcome.log[0],
        "[info]: DiscoverRequest [/3_1.2] successful. Result: DiscoverResponse [code=CONTENT(205), \
         content=[</3>;ver=1.2;ct=60 110, </3/0>;lt=42.2]]"
    );
}

#[test]
fn rpc_027_discover_of_an_instance_that_is_not_there() {
    assert_eq!(
        Fixture::f().rpc("Discover", r#"{"id":"/2_1.0/0"}"#),
        payload(r#"{"result":"NOT_FOUND"}"#)
    );
}

#[test]
fn rpc_028_discover_of_a_resource_that_is_not_there() {
    assert_eq!(
        Fixture::f().rpc("Discover", r#"{"id":"/2_1.0/0/2"}"#),
        payload(r#"{"result":"NOT_FOUND"}"#)
    );
}

#[test]
fn rpc_029_discover_of_a_resource_instance() {
    assert_eq!(
        Fixture::f().rpc("Discover", r#"{"id":"/3_1.2/0/6/1"}"#),
        error(
            "INTERNAL_SERVER_ERROR",
            "InvalidRequestException: Discover request cannot target resource instance path: /3/0/6/1 "
        )
    );
}

#[test]
fn rpc_030_discover_all_lists_what_was_registered() {
    let mut fixture = Fixture::f();
    let body = fixture.rpc("DiscoverAll", "null");
    let reply: serde_json::Value = serde_json::from_str(body.text()).unwrap();
    assert_eq!(reply["result"], "CONTENT");
    let links: Vec<String> = serde_json::from_str(reply["value"].as_str().unwrap()).unwrap();
    assert_eq!(
        links[0],
        "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\""
    );
    let mut instances: Vec<_> = links
        .iter()
        .filter(|link| link.matches('/').count() == 2)
        .collect();
    instances.sort();
    assert_eq!(
        instances,
        [
            "</1/0>",
            "</19/0>",
            "</19/1>",
            "</3/0>",
            "</3303/0>",
            "</3303/12>",
            "</5/0>",
            "</6/0>",
            "</9/0>"
        ]
    );
}

#[test]
fn discover_all_sorts_by_number_and_quotes_lists_only() {
    let links = "</lwm2m/19/0>,</lwm2m/3/0>,</other>,</lwm2m/3>;ver=\"1.2\",</lwm2m>;rt=\"oma.lwm2m\";ct=\"110\"";
    let mut fixture = Fixture::new("lwm2m=1.1", links, "{}");
    assert_eq!(
        fixture.rpc("DiscoverAll", "{}"),
        content(
            r#"["</lwm2m>;rt=\"oma.lwm2m\";ct=110","</lwm2m/3>;ver=1.2","</lwm2m/3/0>","</lwm2m/19/0>","</other>"]"#
        )
    );
}
