//! WriteAttributes.

use super::*;

#[test]
fn rpc_063_write_attributes_show_in_discover() {
    let mut fixture = Fixture::f();
    let params = r#"{"id":"/3_1.2/0/6","attributes":{"pmax":100,"pmin":10}}"#;
    assert_changed(&mut fixture, "WriteAttributes", params);
    assert_contains(
        &fixture.rpc("Discover", r#"{"id":"/3_1.2/0/6"}"#),
        "</3/0/6>;pmax=100;pmin=10;dim=3",
    );
}

pub(super) const OF_AN_INSTANCE_AND_A_RESOURCE: [&str; 2] = [
    r#"{"id":"/3_1.2/0","attributes":{"pmax":65,"pmin":5}}"#,
    r#"{"id":"/3_1.2/0/7","attributes":{"gt":50,"lt":42.2,"st":0.5}}"#,
];

#[test]
fn rpc_063b_write_attributes_of_an_instance_and_a_resource() {
    let mut fixture = Fixture::f();
    for params in OF_AN_INSTANCE_AND_A_RESOURCE {
        assert_changed(&mut fixture, "WriteAttributes", params);
    }
    let body = fixture.rpc("Discover", r#"{"id":"/3_1.2"}"#);
    assert_contains(&body, "</3>;ver=1.2,</3/0>;pmax=65;pmin=5");
    assert_contains(&body, "</3/0/7>;gt=50;lt=42.2;st=0.5;dim=3");
}

#[test]
fn rpc_064_write_attributes_on_a_1_0_device() {
    let params = r#"{"id":"/19/0/0","attributes":{"pmax":120, "pmin":10}}"#;
    assert_changed(&mut Fixture::g(), "WriteAttributes", params);
}

#[test]
fn rpc_065_write_attributes_that_are_properties() {
    for (params, name) in [
        (r#"{"id":"/3_1.2","attributes":{"ver":1.3}}"#, "ver"),
        (
            r#"{"id":"/3_1.2/0/9","attributes":{"uri":"x","pmin":1,"ssid":1}}"#,
            "ssid",
        ),
    ] {
        assert_eq!(
            Fixture::f().rpc("WriteAttributes", params),
            bad_request(&format!(
                "Attribute {name} is of class PROPERTIES but only NOTIFICATION attribute can be used in WRITE \
                 ATTRIBUTE request."
            ))
        );
    }
}

#[test]
fn rpc_066_write_attributes_of_none() {
    for params in [
        r#"{"id":"/3_1.2/0/6"}"#,
        r#"{"id":"/3_1.2/0/6","attributes":{"dim":null}}"#,
    ] {
        assert_eq!(
            Fixture::f().rpc("WriteAttributes", params),
            bad_request("Attributes to write are not specified!")
        );
    }
}

#[test]
fn thresholds_are_for_resources() {
    let params = r#"{"id":"/3_1.2/0","attributes":{"gt":1}}"#;
    assert_eq!(
        Fixture::f().rpc("WriteAttributes", params),
        bad_request("Some attributes are not valid for the path /3/0.")
    );
}

#[test]
fn attributes_of_another_name_or_type_cannot_be_transformed() {
    for attributes in [
        r#"{"zzz":3}"#,
        r#"{"pmin":"x"}"#,
        r#"{"pmin":-1}"#,
        r#"{"st":[]}"#,
        r#"{"ver":{}}"#,
        "5",
    ] {
        let params = format!(r#"{{"id":"/3_1.2/0/9","attributes":{attributes}}}"#);
        assert_eq!(
            Fixture::f().rpc("WriteAttributes", &params),
            bad_request(&format!(
                "The given string value cannot be transformed to Json object: {params}"
            ))
        );
    }
}

#[test]
fn an_attribute_that_is_null_is_taken_away() {
    let params = r#"{"id":"/3_1.2/0/9","attributes":{"pmin":null,"st":null,"pmax":"60"}}"#;
    let operation = Fixture::f().parse("WriteAttributes", params).unwrap();
    assert_eq!(operation.request(&[]).query, ["pmax=60", "pmin", "st"]);
}

#[test]
fn attributes_of_lwm2m_1_2_are_for_such_devices() {
    let params = r#"{"id":"/3_1.2/0/9","attributes":{"edge":1,"con":false,"hqmax":5}}"#;
    assert_contains(
        &Fixture::f().rpc("WriteAttributes", params),
        "cannot be transformed to Json object",
    );
    let mut fixture = Fixture::f();
    fixture.registration.version = crate::lwm2m::version::Lwm2mVersion::V1_2;
    let operation = fixture.parse("WriteAttributes", params).unwrap();
    assert_eq!(operation.request(&[]).query, ["edge=1", "con=0", "hqmax=5"]);
    let params = r#"{"id":"/3_1.2/0","attributes":{"edge":true}}"#;
    assert_eq!(
        fixture.rpc("WriteAttributes", params),
        bad_request("Some attributes are not valid for the path /3/0.")
    );
}
