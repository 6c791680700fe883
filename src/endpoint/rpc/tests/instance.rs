//! Create and Delete.

use super::*;

#[test]
fn rpc_116_create_of_an_instance() {
    let mut fixture = Fixture::f();
    assert_eq!(
        fixture.rpc(
            "Create",
            r#"{"id":"/19_1.1/12","value":{"0":{"0":"00AC"},"1":1}}"#
        ),
        payload(r#"{"result":"CREATED"}"#)
    );
    assert_shows(&mut fixture, "/19_1.1/12/0/0", "value=2Bytes,");
    assert_shows(&mut fixture, "/19_1.1/12/1", "value=1,");
}

#[track_caller]
fn assert_refused(params: &str, error: &str) {
    assert_eq!(
        Fixture::f().rpc("Create", params),
        bad_request(error),
        "{params}"
    );
}

#[test]
fn rpc_117_create_of_an_instance_that_is_there() {
    assert_refused(
        r#"{"id":"/19_1.1/0","value":{"0":{"0":"00AC"},"1":1}}"#,
        "instance 0 already exists",
    );
}

#[test]
fn rpc_118_create_of_a_second_device() {
    assert_refused(
        r#"{"id":"/3_1.2/1","value":{"0":{"0":"00AC"}}}"#,
        "Path /3_1.2/1. Object must be Multiple !",
    );
}

#[test]
fn rpc_119_create_of_a_security_instance() {
    assert_refused(
        r#"{"id":"/0_1.2/1","value":{"0":{"2":4}}}"#,
        "Specified object id 0 absent in the list supported objects of the client or is security object!",
    );
}

#[test]
fn rpc_120_create_in_an_object_that_is_not_announced() {
    assert_refused(
        r#"{"id":"/50/1","value":{"0":{"0":"00AC"}}}"#,
        "Specified object id 50 absent in the list supported objects of the client or is security object!",
    );
}

#[test]
fn create_of_what_cannot_be() {
    for (params, error) in [
        (
            r#"{"id":"/19_1.1/1/0","value":{"0":"00"}}"#,
            "Path /19_1.1/1/0. Object must be Multiple !",
        ),
        (
            r#"{"id":"/19_1.1"}"#,
            "Path /19_1.1. Object must be Multiple !",
        ),
        (
            r#"{"id":"/2_1.0/1","value":{"0":1}}"#,
            "Resource /2_1.0/1 is not configured in the device profile!",
        ),
        (
            r#"{"id":"/19_1.1/2","value":{"1":null}}"#,
            "The value of this resource must not be null.",
        ),
        (
            r#"{"id":"/19_1.1/2"}"#,
            "The value of this resource must not be null.",
        ),
    ] {
        assert_refused(params, error);
    }
}

#[test]
fn rpc_121_create_of_the_last_instance_reads_back() {
    let mut fixture = Fixture::f();
    // {"a":1} in base64.
    let params = r#"{"id":"/19_1.1/65533/","value":{"0":{"0":"eyJhIjoxfQ=="}}}"#;
    assert_eq!(
        fixture.rpc("Create", params),
        payload(r#"{"result":"CREATED"}"#)
    );
    let body = fixture.rpc("Read", r#"{"id":"/19_1.1/65533/"}"#);
    assert_contains(&body, "LwM2mObjectInstance [id=65533");
    assert_contains(
        &body,
        "{0=LwM2mMultipleResource [id=0, values={0=LwM2mResourceInstance [id=0, value=7Bytes, type=OPAQUE]}",
    );
}

#[test]
fn the_device_chooses_an_id_when_none_is_given() {
    let mut fixture = Fixture::f();
    let operation = fixture
        .parse("Create", r#"{"id":"/19_1.1","value":{"1":5}}"#)
        .unwrap();
    let request = operation.request(&[]);
    assert_eq!(
        (request.method, &request.path[..]),
        (Code::POST, &["19".to_owned()][..])
    );
    assert_eq!(&request.payload[..], b"\xc1\x01\x05", "no id is sent");
    let outcome = fixture.run(&operation);
    assert_eq!(
        outcome.reply.body(),
        payload(r#"{"result":"CREATED","value":"location=19/2"}"#)
    );
    assert_eq!(outcome.nodes[0].0, Path::instance(19, 2));
}

#[test]
fn several_instances_are_created_at_once() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/19_1.1","nodes":{"5":{"1":5},"7":{"1":7}}}"#;
    let operation = fixture.parse("Create", params).unwrap();
    let outcome = fixture.run(&operation);
    assert_eq!(outcome.reply.body(), payload(r#"{"result":"CREATED"}"#));
    let created: Vec<_> = outcome.nodes.iter().map(|(path, _)| *path).collect();
    assert_eq!(created, [Path::instance(19, 5), Path::instance(19, 7)]);
}

#[test]
fn create_wants_an_id_unless_the_format_is_tlv() {
    let mut fixture = Fixture::f();
    fixture.settings.honour_content_format = true;
    let params = r#"{"id":"/19_1.1","contentFormat":"SENML_JSON","value":{"1":5}}"#;
    assert_eq!(
        fixture.rpc("Create", params),
        error(
            "INTERNAL_SERVER_ERROR",
            "InvalidRequestException: Missing object instance id for CREATE request (/19) using SENML_JSON(110) \
             content format."
        )
    );
}

#[test]
fn create_wants_mandatory_resources() {
    let mut fixture = Fixture::f();
    fixture.make_mandatory(19, 1);
    assert_eq!(
        fixture.rpc("Create", r#"{"id":"/19_1.1/5","value":{"4":"x"}}"#),
        bad_request("Resource id=1 is mandatory. The value of this resource must not be null.")
    );
}

#[test]
fn rpc_122_delete_of_an_instance() {
    let mut fixture = Fixture::f();
    let operation = fixture.parse("Delete", &at("/3303_1.0/12")).unwrap();
    let outcome = fixture.run(&operation);
    assert_eq!(outcome.reply.body(), payload(r#"{"result":"DELETED"}"#));
    assert_eq!(outcome.removed, Some(Path::instance(3303, 12)));
}

#[test]
fn rpc_123_delete_of_an_instance_that_is_not_there() {
    assert_eq!(
        Fixture::f().rpc("Delete", &at("/19_1.1/12")),
        payload(r#"{"result":"NOT_FOUND"}"#)
    );
}

#[test]
fn rpc_124_delete_of_an_object() {
    assert_eq!(
        Fixture::f().rpc("Delete", &at("/19_1.1")),
        bad_request("Invalid path /19 : Only object instances can be delete")
    );
}

#[test]
fn rpc_125_delete_that_the_device_does_not_allow() {
    assert_eq!(
        Fixture::f().rpc("Delete", &at("/3_1.2/07")),
        payload(r#"{"result":"METHOD_NOT_ALLOWED"}"#)
    );
}

#[test]
fn a_resource_instance_is_deleted_on_lwm2m_1_2_only() {
    let params = r#"{"id":"/19_1.1/0/0/0"}"#;
    assert_eq!(
        Fixture::f().rpc("Delete", params),
        bad_request("Invalid path /19/0/0/0 : Only object instances can be delete")
    );
    let mut fixture = Fixture::f();
    fixture.registration.version = crate::lwm2m::version::Lwm2mVersion::V1_2;
    assert_eq!(
        fixture.rpc("Delete", params),
        payload(r#"{"result":"DELETED"}"#)
    );
}
