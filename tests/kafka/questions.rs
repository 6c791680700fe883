//! Questions to the core and their answers.

use std::time::{Duration, Instant};

use lightship::{
    lwm2m::path::ObjectVersion,
    platform::{
        Answer, PlatformId, Question, QuestionError,
        credentials::ClientCredentials,
        package::{PackageId, PackageKind},
    },
};

use crate::fixture::{Fixture, PATIENCE, SERVICE, eventually};

const MODEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<LWM2M><Object ObjectType="MODefinition"><Name>Thermometer</Name><Description1/><ObjectID>33000</ObjectID>
<ObjectURN>urn:oma:lwm2m:x:33000:1.1</ObjectURN><LWM2MVersion>1.1</LWM2MVersion><ObjectVersion>1.1</ObjectVersion>
<MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory><Resources><Item ID="1">
<Name>Level</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration/><Units/><Description/></Item></Resources>
<Description2/></Object></LWM2M>"#;

#[test]
fn a_device_is_admitted_with_its_credentials_and_profile() {
    let fixture = Fixture::start();
    let admission = fixture.endpoint().credentials("ep1").unwrap();
    assert_eq!(admission.device.device, PlatformId(fixture.device));
    assert_eq!(
        (
            admission.device.name.as_str(),
            admission.device.kind.as_str()
        ),
        ("ep1", "lw")
    );
    assert_eq!(admission.device.customer, PlatformId::NULL);
    assert_eq!(
        admission.client,
        ClientCredentials::NoSec {
            endpoint: "ep1".to_owned()
        }
    );
    assert_eq!(admission.profile.id, PlatformId(fixture.profile));
    let observed = &admission.profile.transport.observe_attr.observe;
    assert_eq!(observed.len(), 1);
}

#[test]
fn credentials_of_every_form_are_found_by_their_id() {
    let fixture = Fixture::start();
    let endpoint = || "ep2".to_owned();
    let hash = "4a".repeat(32);
    for (id, document, expected) in [
        (
            "identity",
            r#"{"securityConfigClientMode":"PSK","endpoint":"ep2","identity":"identity","key":"00ff"}"#,
            ClientCredentials::Psk {
                endpoint: endpoint(),
                identity: "identity".to_owned(),
                key: "00ff".to_owned(),
            },
        ),
        (
            "ep2",
            r#"{"securityConfigClientMode":"RPK","endpoint":"ep2","key":"MFk="}"#,
            ClientCredentials::Rpk {
                endpoint: endpoint(),
                key: "MFk=".to_owned(),
            },
        ),
        (
            &hash,
            r#"{"securityConfigClientMode":"X509","endpoint":"ep2","cert":"MIIB"}"#,
            ClientCredentials::X509 {
                endpoint: endpoint(),
                cert: Some("MIIB".to_owned()),
            },
        ),
    ] {
        let device = fixture
            .core
            .add_device("name", fixture.profile, id, document);
        let admission = fixture.endpoint().credentials(id).unwrap();
        assert_eq!(admission.client, expected);
        assert_eq!(admission.device.device, PlatformId(device));
    }
}

#[test]
fn a_stranger_is_not_found_and_asked_for_once() {
    let fixture = Fixture::start();
    let endpoint = fixture.endpoint();
    for _ in 0..3 {
        assert_eq!(endpoint.credentials("nobody"), Err(QuestionError::NotFound));
    }
    assert_eq!(fixture.core.questions("credentials"), 1);
}

#[test]
fn the_package_of_a_device_is_asked_for_by_kind() {
    let fixture = Fixture::start();
    let admission = fixture.endpoint().credentials("ep1").unwrap();
    let id = uuid::Uuid::from_u128(7);
    fixture
        .core
        .assign_package(fixture.device, "FIRMWARE", (id, "fw", "2"));
    let ask = |kind| {
        fixture.endpoint().ask(Question::Package {
            tenant: admission.device.tenant,
            device: admission.device.device,
            kind,
        })
    };
    let Ok(Answer::Package(package)) = ask(PackageKind::Firmware) else {
        panic!("no package");
    };
    assert_eq!(package.id, PackageId(id));
    assert_eq!(
        (package.title.as_str(), package.version.as_str()),
        ("fw", "2")
    );
    assert_eq!(ask(PackageKind::Software), Err(QuestionError::NotFound));
    assert_eq!(fixture.core.questions("package"), 2);
}

#[test]
fn models_come_in_exactly_the_version_asked_for() {
    let fixture = Fixture::start();
    fixture.core.add_model(MODEL);
    let admission = fixture.endpoint().credentials("ep1").unwrap();
    let ask = |keys: &[(u16, ObjectVersion)]| {
        let question = Question::Models {
            tenant: admission.device.tenant,
            keys: keys.to_vec(),
        };
        match fixture.endpoint().ask(question).unwrap() {
            Answer::Models(models) => models,
            Answer::Credentials(_) | Answer::Package(_) | Answer::PackageBytes(_) => {
                panic!("not asked for")
            }
        }
    };
    let (v1_0, v1_1) = (ObjectVersion::V1_0, ObjectVersion::new(1, 1));
    let models = ask(&[(33000, v1_1), (33000, v1_0), (33001, v1_0)]);
    let found: Vec<_> = models
        .iter()
        .map(|model| (model.id, model.version))
        .collect();
    assert_eq!(found, [(33000, v1_1)]);
    assert_eq!(ask(&[(33000, v1_1), (33001, v1_0)]).len(), 1);
    assert!(ask(&[]).is_empty());
    assert_eq!(fixture.core.questions("model"), 3, "each is asked for once");
}

#[test]
fn a60_a_silent_core_is_unavailable_after_the_timeout() {
    let fixture = Fixture::start_with(|settings| settings.kafka.api_timeout_ms = 1_000);
    fixture.core.silent(true);
    let start = Instant::now();
    let result = fixture.endpoint().credentials("ep1");
    let elapsed = start.elapsed();
    assert_eq!(result, Err(QuestionError::Unavailable));
    assert!(elapsed >= Duration::from_secs(1), "{elapsed:?}");
    // Exact to a tick of 50 ms; the rest is for a busy machine.
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    assert_eq!(fixture.health().timed_out, 1);
    assert_eq!(fixture.health().open_questions, 0);
}

#[test]
fn a60_an_answer_that_comes_twice_is_taken_once() {
    let fixture = Fixture::start();
    fixture.core.repeat_answers(3);
    let endpoint = fixture.endpoint();
    endpoint.credentials("ep1").unwrap();
    // The answers about device and tenant come two times too often.
    eventually("four late answers", || fixture.health().late_answers == 4);
    assert!(endpoint.reply_within(Duration::from_millis(100)).is_none());
}

#[test]
fn a60_an_answer_that_comes_late_or_to_nobody_is_only_counted() {
    let fixture = Fixture::start_with(|settings| settings.kafka.api_timeout_ms = 500);
    fixture.core.delay(Duration::from_secs(3));
    let endpoint = fixture.endpoint();
    let asked = endpoint.credentials("ep1");
    assert_eq!(asked, Err(QuestionError::Unavailable));
    eventually("the late answer", || fixture.health().late_answers == 1);
    assert!(endpoint.reply_within(Duration::from_millis(100)).is_none());
    fixture.core.delay(Duration::ZERO);
    // An answer to a question of somebody else.
    fixture.core.answer_nobody(SERVICE);
    eventually("another one", || fixture.health().late_answers == 2);
    assert_eq!(fixture.health().unreadable_answers, 0);
    // Half a second may be short on a busy machine.
    eventually("an answer in time", || endpoint.credentials("ep1").is_ok());
}

#[test]
fn a_core_that_is_late_is_waited_for_and_asked_for_its_queues_first() {
    let mut fixture = Fixture::start_with(|settings| settings.kafka.api_timeout_ms = 500);
    fixture.platform.stop();
    let before = fixture.core.questions("routing");
    fixture.core.silent(true);
    std::thread::scope(|scope| {
        let core = &fixture.core;
        scope.spawn(move || {
            core.await_questions("routing", before + 1, PATIENCE);
            core.silent(false);
        });
        let settings = fixture.settings.clone();
        let sink = std::sync::Arc::clone(&fixture.sink);
        fixture.platform = crate::fixture::connect(&settings, &sink);
    });
    assert_eq!(fixture.core.questions("routing"), before + 2);
    assert_eq!(fixture.core.questions("tenant"), 0);
    fixture.endpoint().credentials("ep1").unwrap();
}

#[test]
fn more_questions_than_allowed_are_refused_at_once() {
    let fixture = Fixture::start_with(|settings| settings.kafka.api_max_pending = 2);
    fixture.core.silent(true);
    let endpoint = fixture.endpoint();
    let ask = |name: &str| {
        endpoint.submit(lightship::platform::Uplink::Question {
            id: lightship::platform::RequestId(1),
            question: Question::Credentials {
                id: name.to_owned(),
            },
        })
    };
    assert_eq!(ask("a"), Ok(()));
    assert_eq!(ask("b"), Ok(()));
    assert_eq!(ask("c"), Err(lightship::platform::SubmitError::Busy));
    fixture.core.await_questions("credentials", 2, PATIENCE);
    assert_eq!(fixture.health().refused_questions, 1);
}

#[test]
fn the_tenant_is_asked_for_together_with_the_first_of_its_devices() {
    let fixture = Fixture::start();
    fixture.core.add_nosec_device("ep2", fixture.profile);
    let endpoint = fixture.endpoint();
    endpoint.credentials("ep1").unwrap();
    endpoint.credentials("ep2").unwrap();
    fixture.core.await_questions("tenant", 1, PATIENCE);
    assert_eq!(fixture.core.questions("tenant"), 1);
    assert_eq!(
        fixture.core.questions("profile"),
        0,
        "it came with the device"
    );
}

#[test]
fn what_is_known_is_asked_for_again_when_it_is_old() {
    let fixture = Fixture::start_with(|settings| settings.kafka.profile_refresh_s = 1);
    let (_, _) = fixture.registered();
    for name in ["profile", "tenant", "routing"] {
        fixture.core.await_questions(name, 2, PATIENCE);
    }
}
