//! The double itself: a rule that is broken makes a test fail, even one that looked elsewhere.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use lightship::platform::{
    DeviceInfo, PlatformId, SessionId, SessionInfo,
    thingsboard::{
        convert::{CoreMessage, Form, RuleEngineMessage, core_message, rule_engine_message},
        partition::partition,
        settings::HashFunction,
        topics::record_key,
    },
    time::UnixMillis,
    uplink::{KeyValue, RpcBody, RpcId, RpcStatus},
};
use uuid::Uuid;

use crate::{
    fixture::{CONFIGURATION, PATIENCE, PREFIX, SERVICE, eventually},
    support::{
        mock_broker::MockBroker,
        strict_core::{CoreOptions, StrictCore},
    },
};

/// The double, one device, and a transport that is played by the test.
pub(crate) struct Scene {
    pub(crate) core: StrictCore,
    pub(crate) device: Uuid,
    pub(crate) session: SessionInfo,
    pub(crate) broker: MockBroker,
}

impl Scene {
    fn new() -> Self {
        Self::with(CoreOptions::default())
    }

    pub(crate) fn with(options: CoreOptions) -> Self {
        let broker = MockBroker::start(PREFIX, SERVICE);
        let core = StrictCore::start_with(&broker.bootstrap_servers(), PREFIX, options);
        let profile = core.add_profile("lw", CONFIGURATION, None);
        let device = core.add_nosec_device("ep1", profile);
        let session = SessionInfo {
            id: SessionId(Uuid::new_v4()),
            device: Arc::new(DeviceInfo {
                tenant: PlatformId("a1b2c3d4-e5f6-4789-abcd-ef0123456789".parse().unwrap()),
                customer: PlatformId::NULL,
                device: PlatformId(device),
                profile: PlatformId(profile),
                name: "ep1".to_owned(),
                kind: "lw".to_owned(),
            }),
        };
        Self {
            core,
            device,
            session,
            broker,
        }
    }

    fn number(&self) -> u32 {
        partition(self.device, 10, HashFunction::Murmur3_128)
    }

    fn say(&self, message: CoreMessage<'_>) {
        self.say_as(&self.session, SERVICE, message);
    }

    /// Says something of another session, or from another node.
    pub(crate) fn say_as(&self, session: &SessionInfo, node: &str, message: CoreMessage<'_>) {
        let value = core_message(session, node, message);
        let topic = format!("{PREFIX}.tb_core.{}", self.number());
        self.core
            .send_raw(&topic, Some(&record_key(self.device)), &value);
    }

    /// The scene ends as a failure because of exactly one broken rule, whose text has these words.
    fn ends_with(self, words: &str) {
        eventually("a violation", || !self.core.violations().is_empty());
        let violations = self.core.violations();
        assert!(
            violations.len() == 1 && violations[0].contains(words),
            "{violations:?}"
        );
        let core = self.core;
        assert!(catch_unwind(AssertUnwindSafe(|| drop(core))).is_err());
    }
}

#[test]
fn a_record_without_key_is_a_violation() {
    let scene = Scene::new();
    scene
        .core
        .send_raw(&format!("{PREFIX}.tb_core.0"), None, b"");
    scene.ends_with("no key");
}

#[test]
fn a_question_without_headers_is_a_violation() {
    let scene = Scene::new();
    let topic = format!("{PREFIX}.tb_transport.api.requests");
    let key = record_key(Uuid::new_v4());
    scene.core.send_raw(&topic, Some(&key), &[0x72, 0]);
    scene.ends_with("headers");
}

#[test]
fn a_session_that_was_not_opened_is_a_violation() {
    let scene = Scene::new();
    scene.say(CoreMessage::PendingRpcWanted);
    scene.ends_with("was not opened");
}

#[test]
fn a_record_on_the_wrong_topic_is_a_violation() {
    let scene = Scene::new();
    let value = core_message(&scene.session, SERVICE, CoreMessage::Opened);
    let wrong = (scene.number() + 1) % 10;
    let key = record_key(scene.device);
    scene
        .core
        .send_raw(&format!("{PREFIX}.tb_core.{wrong}"), Some(&key), &value);
    scene.ends_with("belongs on");
}

#[test]
fn an_unknown_member_is_a_violation() {
    let scene = Scene::new();
    let mut value = core_message(&scene.session, SERVICE, CoreMessage::Opened);
    value.extend([0xf8, 0x07, 0x01]);
    let topic = format!("{PREFIX}.tb_core.{}", scene.number());
    scene
        .core
        .send_raw(&topic, Some(&record_key(scene.device)), &value);
    scene.ends_with("unknown members");
}

#[test]
fn a_status_out_of_order_is_a_violation() {
    let scene = Scene::new();
    scene.say(CoreMessage::Opened);
    scene.core.await_session(scene.device, PATIENCE);
    let uuid = scene.core.rpc(scene.device, "Read", "{}");
    let rpc = RpcId { request: 0, uuid };
    scene.say(CoreMessage::RpcStatus {
        rpc,
        status: RpcStatus::Delivered,
    });
    scene.ends_with("DELIVERED of command");
}

#[test]
fn a_result_without_delivery_is_a_violation() {
    let scene = Scene::new();
    scene.say(CoreMessage::Opened);
    scene.core.await_session(scene.device, PATIENCE);
    let uuid = scene.core.rpc(scene.device, "Read", "{}");
    let rpc = RpcId { request: 0, uuid };
    let body = RpcBody::Payload(r#"{"result":"CONTENT"}"#.to_owned());
    scene.say(CoreMessage::RpcReply { rpc, body: &body });
    scene.ends_with("reply to");
}

#[test]
fn values_of_a_device_that_never_had_a_session_are_a_violation() {
    let scene = Scene::new();
    let id = Uuid::new_v4();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let message = RuleEngineMessage {
        id,
        session: &scene.session,
        telemetry: Some(UnixMillis(5)),
        values: &[("n".to_owned(), KeyValue::Long(1))],
        rule_chain: None,
        created: UnixMillis(i64::try_from(now.as_millis()).unwrap()),
        copy: None,
    };
    let value = rule_engine_message(&message, Form::Both);
    let topic = format!("{PREFIX}.tb_rule_engine.main.{}", scene.number());
    scene.core.send_raw(&topic, Some(&record_key(id)), &value);
    scene.core.await_values(scene.device, 1, PATIENCE);
    assert!(scene.core.violations().is_empty(), "it shows at the end");
    let core = scene.core;
    assert!(catch_unwind(AssertUnwindSafe(|| drop(core))).is_err());
}
