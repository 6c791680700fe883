//! The composite strategies of profiles.

use super::{composite::observed, *};
use crate::endpoint::{fixture::observe_profile, observation::profile_work};

/// The observations of fixture F by this profile.
fn observed_by_profile(observe: &[&str], strategy: &str) -> Vec<String> {
    let mut fixture = Fixture::f();
    let observe_attr = serde_json::json!({ "observe": observe, "observeStrategy": strategy });
    fixture.profile.transport.observe_attr = serde_json::from_value(observe_attr).unwrap();
    observe_profile(&mut fixture);
    observed(&mut fixture)
}

const SIX: [&str; 6] = [
    "/3_1.2/0/9",
    "/5_1.2/0/3",
    "/5_1.2/0/5",
    "/5_1.2/0/6",
    "/5_1.2/0/7",
    "/5_1.2/0/9",
];

#[test]
fn rpc_060_a_profile_observes_all_together() {
    assert_eq!(
        observed_by_profile(&SIX, "COMPOSITE_ALL"),
        ["CompositeObservation: [/5/0/9, /3/0/9, /5/0/5, /5/0/6, /5/0/7, /5/0/3]"]
    );
}

#[test]
fn rpc_061_another_profile_observes_all_together() {
    let three = ["/3_1.2/0/9", "/3_1.2/0/20", "/19_1.1/0/2"];
    assert_eq!(
        observed_by_profile(&three, "COMPOSITE_ALL"),
        ["CompositeObservation: [/19/0/2, /3/0/20, /3/0/9]"]
    );
}

#[test]
fn rpc_062_a_profile_observes_by_object() {
    let mut observed = observed_by_profile(&SIX, "COMPOSITE_BY_OBJECT");
    observed.sort();
    assert_eq!(
        observed,
        [
            "CompositeObservation: [/3/0/9]",
            "CompositeObservation: [/5/0/9, /5/0/5, /5/0/6, /5/0/7, /5/0/3]"
        ]
    );
}

/// What a profile asks of fixture F, and what it cannot.
fn work(fixture: &mut Fixture, observe_attr: &str) -> (Vec<String>, Vec<&'static str>) {
    fixture.profile.transport.observe_attr = serde_json::from_str(observe_attr).unwrap();
    let work = profile_work(&fixture.context(), |_| true);
    let operations = work.operations.iter();
    let operations = operations.map(|own| format!("{} {}", own.class_name(), own.paths()));
    (operations.collect(), work.impossible)
}

#[test]
fn l3_and_l4_the_initial_read_follows_the_observe_strategy() {
    let profile = |observe: &str, strategy: u8, follows: bool| {
        format!(
            r#"{{"observe":["{observe}"],"telemetry":["/3_1.2/0/9","/3_1.2/0/20","/5_1.2/0/9","/19_1.1/0/2"],
                "attribute":["/5_1.2/0/6","/5_1.2/0/7"],"observeStrategy":{strategy},
                "initAttrTelAsObsStrategy":{follows}}}"#
        )
    };
    let mut fixture = Fixture::f();
    let (operations, impossible) = work(&mut fixture, &profile("/3_1.2/0/20", 1, true));
    assert_eq!(
        operations,
        [
            "ObserveCompositeRequest [/3/0/20]",
            "ReadCompositeRequest [/19/0/2, /5/0/9, /3/0/9, /5/0/6, /5/0/7]"
        ]
    );
    assert_eq!(impossible, [""; 0]);
    let (operations, _) = work(&mut fixture, &profile("/3_1.2/0/9", 2, true));
    assert_eq!(
        operations,
        [
            "ObserveCompositeRequest [/3/0/9]",
            "ReadCompositeRequest [/3/0/20]",
            "ReadCompositeRequest [/5/0/9, /5/0/6, /5/0/7]",
            "ReadCompositeRequest [/19/0/2]"
        ]
    );
    let (operations, _) = work(&mut fixture, &profile("/3_1.2/0/9", 2, false));
    assert_eq!(operations.len(), 6, "reads one by one: {operations:?}");
}

#[test]
fn l26_a_composite_strategy_needs_a_composite_format_and_separate_paths() {
    let profile =
        r#"{"observe":["/3_1.0/0/9","/5_1.0/0/3"],"observeStrategy":"COMPOSITE_BY_OBJECT"}"#;
    assert_eq!(
        work(&mut Fixture::g(), profile),
        (Vec::new(), vec!["observe"])
    );
    let profile = r#"{"observe":["/3_1.2/0/9","/3_1.2/0"],"observeStrategy":1}"#;
    assert_eq!(
        work(&mut Fixture::f(), profile),
        (Vec::new(), vec!["observe"])
    );
}
