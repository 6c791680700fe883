//! ReadComposite, ObserveComposite, ObserveCompositeCancel.

use super::*;

/// Fixture G that announces SenML.
pub(super) fn g_with_senml() -> Fixture {
    let mut fixture = Fixture::g_announcing("</>;ct=\"110 112\",");
    fixture.device.set("/5/0/1", &"".into());
    fixture
}

#[track_caller]
fn composite(fixture: &mut Fixture, method: &str, ids: &[&str]) -> RpcBody {
    fixture.rpc(method, &serde_json::json!({ "ids": ids }).to_string())
}

pub(super) fn observed(fixture: &mut Fixture) -> Vec<String> {
    let body = fixture.rpc("ObserveReadAll", "null");
    let reply: serde_json::Value = serde_json::from_str(body.text()).unwrap();
    serde_json::from_str(reply["value"].as_str().unwrap()).unwrap()
}

/// Paths that rows 50, 57 and 58 observe together.
const FIVE: [&str; 5] = [
    "/5_1.2/0/7",
    "/5_1.2/0/5",
    "/5_1.2/0/3",
    "/3_1.2/0/9",
    "/19_1.1/1/0/0",
];

/// Fixture F that observes these paths together.
#[track_caller]
fn observing_together(ids: &[&str]) -> Fixture {
    let mut fixture = Fixture::f();
    let body = composite(&mut fixture, "ObserveComposite", ids);
    assert_contains(&body, r#"{"result":"CONTENT","value":"#);
    fixture
}

#[track_caller]
fn assert_holds(method: &str, ids: &[&str], parts: &[&str]) {
    let body = composite(&mut Fixture::f(), method, ids);
    assert_contains(&body, r#"{"result":"CONTENT","value":"{"#);
    for part in parts {
        assert_contains(&body, part);
    }
}

#[test]
fn rpc_050_observe_composite_of_resources_and_a_resource_instance() {
    assert_holds(
        "ObserveComposite",
        &FIVE,
        &[
            "/5/0/7=LwM2mSingleResource",
            "/5/0/5=LwM2mSingleResource",
            "/5/0/3=LwM2mSingleResource",
            "/3/0/9=LwM2mSingleResource",
            "/19/1/0/0=LwM2mResourceInstance",
        ],
    );
}

#[test]
fn rpc_051_observe_composite_of_a_multiple_resource_and_an_instance() {
    assert_holds(
        "ObserveComposite",
        &["/19_1.1/1/0", "/5_1.2/0"],
        &["/19/1/0=LwM2mMultipleResource", "/5/0=LwM2mObjectInstance"],
    );
}

#[test]
fn rpc_052_observe_composite_of_what_is_executed_too() {
    assert_holds(
        "ObserveComposite",
        &["/5_1.2/0/7", "/5_1.2/0/2"],
        &["/5/0/7=LwM2mSingleResource", "/5/0/2=null"],
    );
}

#[test]
fn rpc_053_observe_composite_of_paths_that_overlap() {
    assert_eq!(
        composite(
            &mut Fixture::f(),
            "ObserveComposite",
            &["/5_1.2/0", "/5_1.2/0/2"]
        ),
        bad_request("Invalid path list :  /5/0 and /5/0/2 are overlapped paths")
    );
}

#[test]
fn rpc_054_observe_composite_of_what_is_observed() {
    let mut fixture = Fixture::f();
    fixture.rpc("Observe", r#"{"id":"/3_1.2/0/9"}"#);
    assert_eq!(
        composite(&mut fixture, "ObserveComposite", &FIVE[..4]),
        bad_request("Resource [/3/0/9] is already registered as SingleObservation.")
    );
}

#[test]
fn rpc_055_observe_of_what_is_observed_together() {
    let mut fixture = observing_together(&FIVE[..3]);
    assert_eq!(
        fixture.rpc("Observe", r#"{"id":"/5_1.2/0/7"}"#),
        bad_request("Resource [/5/0/7] is already registered in CompositeObservation.")
    );
    assert_eq!(
        composite(&mut fixture, "ObserveComposite", &["/5_1.2/0/5"]),
        bad_request("Resource [/5/0/5] is already registered in CompositeObservation.")
    );
}

#[test]
fn rpc_056_observe_composite_by_keys() {
    let mut fixture = Fixture::f();
    let params = r#"{"keys":["batteryLevel","UtfOffset","dataRead","dataWrite"]}"#;
    assert_contains(&fixture.rpc("ObserveComposite", params), "CONTENT");
    let observed = observed(&mut fixture);
    let [one] = &observed[..] else {
        panic!("{observed:?}");
    };
    assert!(one.starts_with("CompositeObservation: ["), "{one}");
    for path in ["/3/0/9", "/3/0/14", "/19/0/0", "/19/1/0"] {
        assert!(one.contains(path), "{one}");
    }
}

#[test]
fn rpc_057_observe_composite_cancel() {
    let mut fixture = observing_together(&FIVE);
    assert_eq!(
        composite(&mut fixture, "ObserveCompositeCancel", &FIVE),
        payload(r#"{"result":"CONTENT","value":"1"}"#)
    );
    assert_eq!(observed(&mut fixture), [""; 0]);
}

#[test]
fn rpc_058_observe_composite_cancel_of_other_paths() {
    let ids = ["/5_1.2/0", "/19_1.1/1/0/0"];
    assert_eq!(
        composite(
            &mut observing_together(&FIVE),
            "ObserveCompositeCancel",
            &ids
        ),
        bad_request(
            "Could not find active Observe Composite component with paths: [/5_1.2/0, /19_1.1/1/0/0]"
        )
    );
}

#[test]
fn rpc_059_observe_composite_cancel_of_fewer_paths() {
    let mut fixture = observing_together(&["/3_1.2", "/5_1.2/0/3", "/19_1.1/1/0/0"]);
    let ids = ["/19_1.1/1/0/0", "/3_1.2/0/9"];
    assert_eq!(
        composite(&mut fixture, "ObserveCompositeCancel", &ids),
        bad_request(
            "Could not find active Observe Composite component with paths: [/19_1.1/1/0/0, /3_1.2/0/9]"
        )
    );
}

#[test]
fn any_permutation_of_a_composite_is_cancelled() {
    let mut fixture = Fixture::f();
    composite(
        &mut fixture,
        "ObserveComposite",
        &["/3_1.2/0/10", "/3_1.2/0/21", "/3_1.2/0/9"],
    );
    assert_eq!(
        composite(
            &mut fixture,
            "ObserveCompositeCancel",
            &["/3_1.2/0/9", "/3_1.2/0/21", "/3_1.2/0/10"]
        ),
        content("1")
    );
}

#[test]
fn paths_that_only_begin_alike_can_both_be_observed() {
    let mut fixture = Fixture::f();
    let ids = ["/3_1.2/0/11", "/5_1.2/0/3"];
    assert_contains(
        &composite(&mut fixture, "ObserveComposite", &ids),
        "CONTENT",
    );
    assert_contains(&fixture.rpc("Observe", r#"{"id":"/3_1.2/0/1"}"#), "CONTENT");
}

#[test]
fn rpc_067_read_composite_prints_in_the_order_of_the_platform() {
    let mut fixture = g_with_senml();
    fixture.learn_object_1();
    for (id, value) in [
        ("0", serde_json::json!(123)),
        ("1", 300.into()),
        ("6", false.into()),
        ("7", "U".into()),
        ("22", true.into()),
    ] {
        fixture.device.set(&format!("/1/0/{id}"), &value);
    }
    let body = composite(&mut fixture, "ReadComposite", &["/3/0/9", "/1_1.2"]);
    let begin = r#"{"result":"CONTENT","value":"{/3/0/9=LwM2mSingleResource [id=9, value="#;
    assert!(body.text().starts_with(begin), "{}", body.text());
    assert_contains(
        &body,
        "/1=LwM2mObject [id=1, instances={0=LwM2mObjectInstance [id=0, resources={0=LwM2mSingleResource [id=0, \
         value=123, type=INTEGER], 1=LwM2mSingleResource [id=1, value=300, type=INTEGER], 6=LwM2mSingleResource \
         [id=6, value=false, type=BOOLEAN], 22=LwM2mSingleResource [id=22, value=true, type=BOOLEAN], \
         7=LwM2mSingleResource [id=7, value=U, type=STRING]}]}]",
    );
}

#[test]
fn rpc_068_read_composite_by_keys_prints_in_the_order_of_the_platform() {
    let params = r#"{"keys":["state","updateResult","pkgversion","batteryLevel"]}"#;
    assert_eq!(
        g_with_senml().rpc("ReadComposite", params),
        content(
            "{/5/0/7=LwM2mSingleResource [id=7, value=, type=STRING], /5/0/5=LwM2mSingleResource [id=5, value=0, \
             type=INTEGER], /5/0/3=LwM2mSingleResource [id=3, value=0, type=INTEGER], /3/0/9=LwM2mSingleResource \
             [id=9, value=42, type=INTEGER]}"
        )
    );
}

#[test]
fn rpc_069_read_composite_of_an_object_and_resources() {
    assert_holds(
        "ReadComposite",
        &["/19_1.1", "/3_1.2/0/1", "/3_1.2/0/11"],
        &[
            "/19=LwM2mObject [id=19, instances={",
            "/3/0/1=LwM2mSingleResource [id=1, value=",
            "/3/0/11=LwM2mMultipleResource [id=11, values={",
        ],
    );
}

#[test]
fn rpc_070_read_composite_of_what_the_device_leaves_out() {
    let mut fixture = Fixture::f();
    fixture.learn_object_1();
    fixture.device.set("/1/0/1", &300.into());
    let ids = ["/1_1.1/0/1", "/1_1.1/0/2", "/3_1.2/0"];
    let body = composite(&mut fixture, "ReadComposite", &ids);
    for part in [
        "/1/0/1=LwM2mSingleResource [id=1, value=",
        "/1/0/2=null",
        "/3/0=LwM2mObjectInstance [id=0, resources={",
    ] {
        assert_contains(&body, part);
    }
}

#[test]
fn rpc_071_read_composite_by_keys() {
    let mut fixture = Fixture::f();
    fixture
        .device
        .set("/19/1/0", &serde_json::json!({"0": "01"}));
    let params = r#"{"keys":["batteryLevel","UtfOffset","dataRead","dataWrite"]}"#;
    let body = fixture.rpc("ReadComposite", params);
    for path in ["/19/0/0", "/19/1/0"] {
        assert_contains(
            &body,
            &format!(
                "{path}=LwM2mMultipleResource [id=0, values={{0=LwM2mResourceInstance [id=0, value=1Bytes, \
                 type=OPAQUE]"
            ),
        );
    }
}

#[test]
fn rpc_072_read_composite_with_an_unknown_key() {
    let params = r#"{"keys":["batteryLevel","UtfOffset","dataDescription"]}"#;
    assert_eq!(
        Fixture::f().rpc("ReadComposite", params),
        bad_request("dataDescription is not configured in the device profile!")
    );
}

#[test]
fn rpc_073_composite_commands_need_a_composite_format() {
    let thrown = "RuntimeException: This device does not support Composite Operation";
    for (method, params, text) in [
        ("ReadComposite", r#"{"ids":["/3/0/9"]}"#, thrown),
        ("ObserveComposite", r#"{"ids":["/3/0/9"]}"#, thrown),
        (
            "WriteComposite",
            r#"{"nodes":{"/3/0/14":"+04"}}"#,
            "This device does not support Composite Operation",
        ),
    ] {
        assert_eq!(
            Fixture::g().rpc(method, params),
            error("INTERNAL_SERVER_ERROR", text)
        );
    }
}

#[test]
fn composite_commands_need_paths() {
    for params in ["{}", "null", r#"{"ids":[]}"#, r#"{"keys":[],"id":"/3"}"#] {
        assert_eq!(
            Fixture::f().rpc("ReadComposite", params),
            bad_request("Can't find 'key' or 'id' in the requestParams parameters!")
        );
    }
    let params = r#"{"ids":"/3/0/9"}"#;
    assert_contains(
        &Fixture::f().rpc("ReadComposite", params),
        "cannot be transformed to Json object",
    );
    assert_contains(
        &Fixture::f().rpc("ReadComposite", r#"{"ids":["/"]}"#),
        "Specified object id null absent",
    );
}

#[test]
fn what_a_composite_answer_leaves_out_is_logged() {
    let mut fixture = Fixture::f();
    let params = r#"{"ids":["/3_1.2/0/9","/3_1.2/0/2"]}"#;
    let operation = fixture.parse("ReadComposite", params).unwrap();
    let request = operation.request(&[]);
    assert_eq!((request.method, request.path.len()), (Code::FETCH, 0));
    assert_eq!(request.content_format, Some(ContentFormat::SENML_JSON));
    assert_eq!(request.accept, Some(ContentFormat::SENML_JSON));
    let outcome = fixture.run(&operation);
    assert_eq!(
        outcome.log[1],
        "error: /3/0/2: value in composite response is null"
    );
    assert_eq!(outcome.nodes.len(), 1);
}
