//! Observe, ObserveCancel, ObserveCancelAll, ObserveReadAll.

use super::*;

/// Fixture F with observations of these paths.
fn observing(ids: &[&str]) -> Fixture {
    let mut fixture = Fixture::f();
    for id in ids {
        let params = format!(r#"{{"id":"{id}"}}"#);
        assert_contains(&fixture.rpc("Observe", &params), "CONTENT");
    }
    fixture
}

fn observed(fixture: &Fixture) -> Vec<String> {
    let observations = fixture.observations.iter();
    observations
        .map(|(_, observed)| observed.paths.to_string())
        .collect()
}

#[test]
fn rpc_031_observe_reads_the_value() {
    assert_contains(
        &Fixture::f().rpc("Observe", r#"{"id":"/3_1.2/0/9"}"#),
        "LwM2mSingleResource [id=9, value=",
    );
}

#[test]
fn rpc_032_observe_read_all_lists_what_is_observed() {
    assert_eq!(
        observing(&["/3_1.2/0/9"]).rpc("ObserveReadAll", "null"),
        payload(r#"{"result":"CONTENT","value":"[\"SingleObservation:/3/0/9\"]"}"#)
    );
}

#[test]
fn rpc_033_observe_read_all_of_nothing() {
    assert_eq!(
        Fixture::f().rpc("ObserveReadAll", "null"),
        payload(r#"{"result":"CONTENT","value":"[]"}"#)
    );
}

#[test]
fn rpc_034_observing_twice_leaves_one_observation() {
    let mut fixture = observing(&["/3_1.2/0/0"]);
    assert_contains(
        &fixture.rpc("Observe", r#"{"id":"/3_1.2/0/0"}"#),
        "LwM2mSingleResource [id=0",
    );
    assert_eq!(observed(&fixture), ["/3/0/0"]);
}

#[test]
fn rpc_035_observe_of_another_version() {
    assert_eq!(
        Fixture::f().rpc("Observe", r#"{"id":"/3_9.9/0/9"}"#),
        bad_request("Specified resource id /3_9.9/0/9 is not valid version! Must be version: 1.2")
    );
}

#[track_caller]
fn assert_not_observed(id: &str, body: &RpcBody) {
    let mut fixture = Fixture::f();
    assert_eq!(fixture.rpc("Observe", &at(id)), *body);
    assert_eq!(observed(&fixture), [""; 0]);
}

#[test]
fn rpc_036_observe_of_what_is_not_there() {
    assert_not_observed("/2_1.0/0", &payload(r#"{"result":"NOT_FOUND"}"#));
}

#[test]
fn rpc_037_observe_of_what_has_no_value() {
    assert_not_observed("/19_1.1/0/3", &bad_request("value MUST NOT be null"));
}

#[test]
fn rpc_038_observe_of_what_is_only_written() {
    assert_not_observed("/5_1.2/0/0", &payload(r#"{"result":"METHOD_NOT_ALLOWED"}"#));
}

#[test]
fn rpc_039_observe_of_what_is_executed() {
    assert_not_observed("/5_1.2/0/2", &payload(r#"{"result":"METHOD_NOT_ALLOWED"}"#));
}

#[track_caller]
fn assert_conflict(observed: &str, id: &str, text: &str) {
    let mut fixture = observing(&[observed]);
    assert_eq!(fixture.rpc("Observe", &at(id)), bad_request(text));
}

#[test]
fn rpc_040_observe_of_the_object_of_what_is_observed() {
    assert_conflict(
        "/19_1.1/0/0",
        "/19_1.1",
        "Resource [/19] conflict with is already registered as SingleObservation [/19/0/0].",
    );
}

#[test]
fn rpc_041_observe_of_the_instance_of_what_is_observed() {
    assert_conflict(
        "/19_1.1/0/0",
        "/19_1.1/0",
        "Resource [/19/0] conflict with is already registered as SingleObservation [/19/0/0].",
    );
}

#[test]
fn rpc_042_observe_of_another_instance() {
    let mut fixture = observing(&["/19_1.1/0/0"]);
    let body = fixture.rpc("Observe", r#"{"id":"/19_1.1/1"}"#);
    assert_contains(&body, r#"{"result":"CONTENT","value":"LwM2mObjectInstance"#);
}

#[test]
fn rpc_043_observe_within_what_is_observed() {
    assert_conflict(
        "/19_1.1/1",
        "/19_1.1/1/0",
        "Resource [/19/1/0] conflict with is already registered as SingleObservation [/19/1].",
    );
}

#[test]
fn rpc_044_observe_cancel() {
    let mut fixture = observing(&["/3_1.2/0/9"]);
    assert_eq!(
        fixture.rpc("ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#),
        content("1")
    );
    assert_eq!(observed(&fixture), [""; 0]);
}

#[test]
fn rpc_045_observe_cancel_by_key() {
    let mut fixture = Fixture::g();
    assert_contains(&fixture.rpc("Observe", r#"{"id":"/5/0/5"}"#), "CONTENT");
    let params = r#"{"key":"updateResult"}"#;
    assert_eq!(fixture.rpc("ObserveCancel", params), content("1"));
    assert_eq!(
        fixture.rpc("ObserveCancel", params),
        bad_request("Could not find active Observe component with path: /5_1.0/0/5")
    );
}

#[test]
fn rpc_046_observe_cancel_within_what_is_observed() {
    let mut fixture = observing(&["/3_1.2"]);
    assert_eq!(
        fixture.rpc("ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#),
        bad_request("Could not find active Observe component with path: /3_1.2/0/9")
    );
    assert_eq!(observed(&fixture), ["/3"]);
}

#[test]
fn rpc_047_observe_cancel_of_the_object_of_what_is_observed() {
    let mut fixture = observing(&["/3_1.2/0/0", "/3_1.2/0/9"]);
    assert_eq!(
        fixture.rpc("ObserveCancel", r#"{"id":"/3_1.2"}"#),
        bad_request("Could not find active Observe component with path: /3_1.2")
    );
    assert_eq!(observed(&fixture).len(), 2);
}

#[test]
fn rpc_048_observe_cancel_all() {
    let resources = [0, 1, 6, 7, 8, 9, 14, 20].map(|id| format!("/3_1.2/0/{id}"));
    let mut fixture = observing(&resources.each_ref().map(String::as_str));
    assert_eq!(
        fixture.rpc("ObserveCancelAll", "null"),
        payload(r#"{"result":"CONTENT","value":"8"}"#)
    );
    assert_eq!(observed(&fixture), [""; 0]);
}

#[test]
fn rpc_049_observe_cancel_all_of_nothing() {
    assert_eq!(
        Fixture::f().rpc("ObserveCancelAll", "{}"),
        payload(r#"{"result":"CONTENT","value":"0"}"#)
    );
}

#[test]
fn cancels_are_logged() {
    let fixture = observing(&["/3_1.2/0/9"]);
    let log = |method, params| match fixture.task(method, params) {
        Ok(Task::Answer(answer)) => answer.log.unwrap(),
        other => panic!("not answered: {other:?}"),
    };
    assert_eq!(
        log("ObserveCancel", r#"{"id":"/3_1.2/0/9"}"#),
        "[info]: Cancel Observe for [/3_1.2/0/9] successful. Result: [1]"
    );
    assert_eq!(
        log("ObserveCancelAll", ""),
        "[info]: Cancel of all observations was successful. Result: [1]"
    );
}
