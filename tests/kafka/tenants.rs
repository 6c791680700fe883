//! What the core says of tenants and queues, and what follows: other topics, limits, reports of usage, other forms.

use std::{sync::Arc, time::Duration};

use lightship::platform::{
    Downlink, Outcome, PlatformId, Question, QuestionError, SessionInfo, Uplink,
    downlink::Scope,
    package::PackageKind,
    thingsboard::{
        partition::partition,
        settings::{CoreVersion, HashFunction, UsageSettings},
    },
    uplink::{KeyValue, RejectReason, RpcBody, RpcId, RpcStatus},
};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use uuid::Uuid;

use crate::{
    fixture::{CONFIGURATION, Endpoint, Fixture, PATIENCE, PREFIX, Received, SERVICE, eventually},
    support::strict_core::{TENANT, UsageReport},
};

const NULL: Uuid = PlatformId::NULL.0;
const LIMITED: Outcome = Outcome::Rejected(RejectReason::Limit);

/// Posts one value and waits for its outcome.
fn outcome(endpoint: &Endpoint, session: &Arc<SessionInfo>) -> Outcome {
    let id = endpoint.post(session, "n", KeyValue::Long(1)).unwrap();
    endpoint.outcome(id)
}

/// Posts values until they go to `topic`, which had none.
fn eventually_on(fixture: &Fixture, endpoint: &Endpoint, session: &Arc<SessionInfo>, topic: &str) {
    let before = written(fixture, topic);
    eventually(topic, || {
        assert_eq!(outcome(endpoint, session), Outcome::Durable);
        written(fixture, topic) > before
    });
}

/// How many records a topic has.
fn written(fixture: &Fixture, topic: &str) -> i64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", fixture.broker.bootstrap_servers())
        .create()
        .unwrap();
    let topic = format!("{PREFIX}.{topic}");
    let (_, end) = consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap();
    end
}

fn number(device: Uuid, partitions: u32) -> u32 {
    partition(device, partitions, HashFunction::Murmur3_128)
}

/// Creates the topics of a queue and has the double read them.
fn create_queue(fixture: &Fixture, topic: &str, partitions: u32) {
    for number in 0..partitions {
        let topic = format!("{topic}.{number}");
        fixture.broker.create(&format!("{PREFIX}.{topic}"), 1);
        fixture.core.also_read(&topic);
    }
}

/// Gives the tenant a queue of its own, in two partitions; its topic without number.
fn create_isolated_queue(fixture: &Fixture) -> String {
    let own = format!("tb_rule_engine.main.isolated.{TENANT}");
    create_queue(fixture, &own, 2);
    fixture
        .core
        .save_queue(true, "Main", "tb_rule_engine.main", 2, SERVICE);
    own
}

#[test]
fn a_queue_with_more_partitions_moves_the_values_of_its_devices() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    create_queue(&fixture, "tb_rule_engine.other", 3);
    assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
    fixture
        .core
        .save_queue(false, "Main", "tb_rule_engine.other", 3, SERVICE);
    let topic = format!("tb_rule_engine.other.{}", number(fixture.device, 3));
    eventually_on(&fixture, &endpoint, &session, &topic);
}

#[test]
fn a_profile_has_its_queue_and_when_that_is_deleted_main() {
    let fixture = Fixture::start();
    create_queue(&fixture, "tb_rule_engine.hp", 2);
    fixture
        .core
        .save_queue(false, "HighPriority", "tb_rule_engine.hp", 2, SERVICE);
    let profile = fixture
        .core
        .add_profile("urgent", CONFIGURATION, Some("HighPriority"));
    let device = fixture.core.add_nosec_device("ep2", profile);
    let endpoint = fixture.endpoint();
    let session = fixture.open(&endpoint, "ep2");
    let own = format!("tb_rule_engine.hp.{}", number(device, 2));
    eventually_on(&fixture, &endpoint, &session, &own);
    fixture.core.delete_queue("HighPriority", SERVICE);
    let main = format!("tb_rule_engine.main.{}", number(device, 10));
    eventually_on(&fixture, &endpoint, &session, &main);
    let before = written(&fixture, &own);
    assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
    assert_eq!(written(&fixture, &own), before);
}

#[test]
fn an_isolated_tenant_has_its_own_topics_as_its_profile_says() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let own = create_isolated_queue(&fixture);
    // Its own queue is nothing to a tenant that is not isolated.
    let shared = format!("tb_rule_engine.main.{}", number(fixture.device, 10));
    eventually_on(&fixture, &endpoint, &session, &shared);
    fixture
        .core
        .change_tenant_profile(true, r#"{"type":"DEFAULT"}"#, SERVICE);
    let own = format!("{own}.{}", number(fixture.device, 2));
    eventually_on(&fixture, &endpoint, &session, &own);
}

#[test]
fn a_saved_tenant_is_asked_for_again() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let own = create_isolated_queue(&fixture);
    assert_eq!(fixture.core.questions("tenant"), 1);
    fixture.core.change_tenant(true, SERVICE);
    fixture.core.await_questions("tenant", 2, PATIENCE);
    let own = format!("{own}.{}", number(fixture.device, 2));
    eventually_on(&fixture, &endpoint, &session, &own);
}

#[test]
fn m15_a_deleted_tenant_loses_its_endpoints_and_its_queues() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.core.delete_tenant(SERVICE);
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Broadcast(..)));
    let tenant = Scope::Tenant(PlatformId(TENANT));
    assert_eq!(
        received,
        Received::Broadcast(tenant, Downlink::DeviceDeleted)
    );
    // Its endpoint gives up. The core, which knows it no longer, is not told, and no heartbeat is left.
    endpoint.submit(Uplink::SessionClosed { session }).unwrap();
    eventually("no session", || fixture.health().sessions == 0);
}

#[test]
fn a_deleted_profile_is_asked_for_when_it_is_needed_again() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
    assert_eq!(fixture.core.questions("profile"), 0);
    fixture
        .core
        .delete_entity("DEVICE_PROFILE", fixture.profile, SERVICE);
    // Says nothing to a transport: no tenant has it any more.
    let nobodys = Uuid::from_u128(5);
    fixture
        .core
        .delete_entity("TENANT_PROFILE", nobodys, SERVICE);
    eventually("a question", || {
        assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
        fixture.core.questions("profile") == 1
    });
}

#[test]
fn beyond_its_limits_a_device_is_told_so_and_the_others_are_not() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    fixture.core.add_nosec_device("ep2", fixture.profile);
    let other = fixture.endpoint();
    let other_session = fixture.open(&other, "ep2");
    let limits = r#"{"type":"DEFAULT","transportDeviceTelemetryMsgRateLimit":"3:3600"}"#;
    fixture.core.change_tenant_profile(false, limits, SERVICE);
    eventually("the limit", || outcome(&endpoint, &session) == LIMITED);
    assert!(fixture.health().limited > 0);
    for _ in 0..3 {
        assert_eq!(outcome(&other, &other_session), Outcome::Durable);
    }
    assert_eq!(outcome(&other, &other_session), LIMITED);
    fixture
        .core
        .change_tenant_profile(false, r#"{"type":"DEFAULT"}"#, SERVICE);
    eventually("no limit", || {
        outcome(&endpoint, &session) == Outcome::Durable
    });
}

#[test]
fn limits_count_commands_but_neither_sessions_nor_activity() {
    let fixture = Fixture::start_with(|settings| settings.activity.report_ms = 100);
    let limits = r#"{"type":"DEFAULT","transportTenantMsgRateLimit":"3:3600"}"#;
    fixture.core.change_tenant_profile(false, limits, SERVICE);
    let (endpoint, session) = fixture.registered();
    let rpc = |number: u32| {
        let rpc = fixture.core.rpc(fixture.device, "Read", "{}");
        let request = fixture.sink.take_rpc();
        assert_eq!(request.id.uuid, rpc, "{number}");
        (rpc, request.id)
    };
    let say = |id: RpcId| {
        for status in [RpcStatus::Sent, RpcStatus::Delivered] {
            endpoint
                .submit(Uplink::RpcStatus {
                    session: Arc::clone(&session),
                    rpc: id,
                    status,
                })
                .unwrap();
        }
        endpoint
            .submit(Uplink::RpcReply {
                session: Arc::clone(&session),
                rpc: id,
                body: RpcBody::Payload(r#"{"result":"CONTENT"}"#.to_owned()),
            })
            .unwrap();
    };
    // The begin of the session took one, both statuses the others.
    let (rpc, id) = rpc(1);
    say(id);
    eventually("the limit", || fixture.health().limited == 1);
    eventually("both statuses", || {
        fixture.core.rpc_progress(rpc).statuses.len() == 2
    });
    assert_eq!(fixture.core.rpc_progress(rpc).reply, None);
    // Values have limits of their own, and there are none.
    assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
    fixture.core.await_activity(fixture.device, PATIENCE);
    endpoint.submit(Uplink::SessionClosed { session }).unwrap();
    fixture.core.await_no_session(fixture.device, PATIENCE);
}

#[test]
fn state_and_limits_hold_for_questions_about_packages() {
    let fixture = Fixture::start();
    let limits = r#"{"type":"DEFAULT","transportDeviceMsgRateLimit":"2:3600"}"#;
    fixture.core.change_tenant_profile(false, limits, SERVICE);
    let (endpoint, session) = fixture.registered();
    let ask = || {
        let asked = endpoint.ask(Question::Package {
            tenant: session.device.tenant,
            device: session.device.device,
            kind: PackageKind::Firmware,
        });
        asked.unwrap_err()
    };
    // The begin of the session took one.
    assert_eq!(ask(), QuestionError::NotFound);
    assert_eq!(ask(), QuestionError::Limited);
    assert_eq!(fixture.health().limited, 1);
    let no_limits = r#"{"type":"DEFAULT"}"#;
    fixture
        .core
        .change_tenant_profile(false, no_limits, SERVICE);
    eventually("no limit", || ask() == QuestionError::NotFound);
    fixture.core.enable_tenant(false, SERVICE);
    eventually("the state", || ask() == QuestionError::Limited);
    assert_eq!(fixture.health().forbidden, 1);
    let asked = fixture.core.questions("package");
    assert_eq!(ask(), QuestionError::Limited);
    assert_eq!(fixture.core.questions("package"), asked);
}

fn every_second(settings: &mut lightship::platform::thingsboard::ThingsBoardSettings) {
    settings.usage = UsageSettings {
        interval_s: 1,
        ..UsageSettings::default()
    };
}

/// Posts two values in three messages of which one is an attribute post and one a wish for attributes.
fn use_something(fixture: &Fixture) -> Vec<UsageReport> {
    let (endpoint, session) = fixture.registered();
    assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
    endpoint
        .submit(Uplink::Attributes {
            id: None,
            session: Arc::clone(&session),
            values: ["a", "b"]
                .map(|key| (key.to_owned(), KeyValue::Long(1)))
                .to_vec(),
            ts: lightship::platform::time::UnixMillis(1_700_000_000_000),
        })
        .unwrap();
    endpoint
        .submit(Uplink::AttributesWanted {
            session,
            keys: vec!["c".to_owned()],
        })
        .unwrap();
    fixture.core.await_usage(3, PATIENCE);
    eventually("the sum", || {
        let usages = fixture.core.usages();
        let sums = usages.iter().filter(|usage| usage.tenant == NULL);
        sums.map(|usage| usage.messages).sum::<i64>() == 3
    });
    fixture.core.usages()
}

#[test]
fn usage_is_reported_for_the_tenant_and_for_all() {
    let fixture = Fixture::start_with(every_second);
    let usages = use_something(&fixture);
    for tenant in [TENANT, NULL] {
        let of_tenant: Vec<_> = usages.iter().filter(|u| u.tenant == tenant).collect();
        let messages: i64 = of_tenant.iter().map(|usage| usage.messages).sum();
        let data_points: i64 = of_tenant.iter().map(|usage| usage.data_points).sum();
        // One value, two attributes, one wish; the session and its activity count nothing.
        assert_eq!((messages, data_points), (3, 4));
    }
    assert!(usages.iter().all(|usage| !usage.legacy));
}

#[test]
fn usage_is_not_reported_when_that_is_switched_off() {
    let fixture = Fixture::start_with(|settings| {
        every_second(settings);
        settings.usage.report = false;
    });
    let (endpoint, session) = fixture.registered();
    assert_eq!(outcome(&endpoint, &session), Outcome::Durable);
    std::thread::sleep(Duration::from_millis(2_200));
    assert_eq!(fixture.core.usages(), []);
}

#[test]
fn an_older_core_is_recognised_and_told_everything_in_its_form() {
    let mut fixture = Fixture::start_with(every_second);
    fixture.core.be_older_than_4_0();
    fixture.restart();
    let usages = use_something(&fixture);
    assert!(usages.iter().all(|usage| usage.legacy));
    assert_eq!(fixture.core.forms(), [(true, false)], "bytes alone");
}

#[test]
fn the_form_of_messages_follows_the_release_that_is_set() {
    // Bytes, and as a message.
    for (version, form) in [
        (CoreVersion::V3_7, (true, false)),
        (CoreVersion::V4_0, (true, false)),
        (CoreVersion::V4_1, (false, true)),
        (CoreVersion::Auto, (true, true)),
    ] {
        let fixture = Fixture::start_with(|settings| {
            every_second(settings);
            settings.core_version = version;
        });
        let usages = use_something(&fixture);
        assert_eq!(fixture.core.forms(), [form], "{version:?}");
        let legacy = version == CoreVersion::V3_7;
        assert!(
            usages.iter().all(|usage| usage.legacy == legacy),
            "{version:?}"
        );
    }
}
