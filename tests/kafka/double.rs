//! The double behaves as the platform was seen to behave (`measured.md` 5), whoever the transport is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lightship::platform::{
    SessionId, SessionInfo,
    thingsboard::convert::CoreMessage,
    time::UnixMillis,
    uplink::{RpcBody, RpcId, RpcStatus},
};
use prost::Message as _;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use uuid::Uuid;

use crate::{
    fixture::{PATIENCE, PREFIX, SERVICE, eventually},
    strictness::Scene,
    support::{
        strict_core::{Cache, CoreOptions, RpcOptions},
        wire::ToTransportMsg,
    },
};

const PERSISTED: RpcOptions = RpcOptions {
    oneway: false,
    persisted: true,
    timeout: Duration::from_secs(30),
};

/// A transport that only listens.
struct Ear(BaseConsumer);

impl Ear {
    /// Listens to what comes for a node, whose topic is there.
    fn of(scene: &Scene, node: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", scene.broker.bootstrap_servers())
            .set("group.id", "ear")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        let topic = format!("{PREFIX}.tb_transport.notifications.{node}");
        assignment
            .add_partition_offset(&topic, 0, Offset::Beginning)
            .unwrap();
        consumer.assign(&assignment).unwrap();
        Self(consumer)
    }

    fn hear(&self, patience: Duration) -> Option<ToTransportMsg> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(Ok(record)) = self.0.poll(Duration::from_millis(50)) {
                return Some(ToTransportMsg::decode(record.payload().unwrap()).unwrap());
            }
        }
        None
    }

    /// The next command.
    fn rpc(&self) -> RpcId {
        let request = self.hear(PATIENCE).unwrap().to_device_request.unwrap();
        let (msb, lsb) = (request.request_id_msb, request.request_id_lsb);
        RpcId {
            request: request.request_id,
            uuid: Uuid::from_u64_pair(msb.cast_unsigned(), lsb.cast_unsigned()),
        }
    }

    /// Why a session was closed, and which.
    fn close(&self) -> (i32, Uuid) {
        let message = self.hear(PATIENCE).unwrap();
        let (msb, lsb) = (message.session_id_msb, message.session_id_lsb);
        let session = Uuid::from_u64_pair(msb.cast_unsigned(), lsb.cast_unsigned());
        (message.session_close_notification.unwrap().reason, session)
    }

    fn hears_nothing(&self) {
        let message = self.hear(Duration::from_millis(500));
        assert_eq!(message, None);
    }
}

impl Scene {
    fn opened(options: CoreOptions) -> Self {
        let scene = Self::with(options);
        scene.says(CoreMessage::Opened);
        scene.core.await_session(scene.device, PATIENCE);
        scene
    }

    fn says(&self, message: CoreMessage<'_>) {
        self.say_as(&self.session, SERVICE, message);
    }

    /// Another session of the same device.
    fn other_session(&self) -> SessionInfo {
        SessionInfo {
            id: SessionId(Uuid::new_v4()),
            ..self.session.clone()
        }
    }

    fn has_status(&self, rpc: RpcId, status: RpcStatus, so_far: &[&str]) {
        self.says(CoreMessage::RpcStatus { rpc, status });
        eventually("a status", || {
            self.core.rpc_progress(rpc.uuid).statuses == so_far
        });
    }
}

fn now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(now.as_millis()).unwrap())
}

#[test]
fn every_subscription_pushes_all_pending_commands_again() {
    let scene = Scene::opened(CoreOptions::default());
    let ear = Ear::of(&scene, SERVICE);
    let rpc = scene.core.rpc(scene.device, "Read", "{}");
    let first = ear.rpc();
    assert_eq!((first.uuid, first.request), (rpc, 0));
    scene.says(CoreMessage::Opened);
    assert_eq!(ear.rpc(), first);
    // A heartbeat subscribes to nothing.
    scene.says(CoreMessage::Heartbeat(now()));
    ear.hears_nothing();
}

#[test]
fn a_restart_numbers_anew_and_keeps_what_was_never_sent() {
    let scene = Scene::opened(CoreOptions::default());
    let ear = Ear::of(&scene, SERVICE);
    scene.core.rpc(scene.device, "Read", "transient");
    assert_eq!(ear.rpc().request, 0);
    let sent = scene.core.rpc_with(scene.device, "Read", "sent", PERSISTED);
    let sent = RpcId {
        uuid: sent,
        ..ear.rpc()
    };
    let queued = scene
        .core
        .rpc_with(scene.device, "Read", "queued", PERSISTED);
    assert_eq!(ear.rpc().request, 2);
    scene.has_status(sent, RpcStatus::Sent, &["SENT"]);

    scene.core.restart(Cache::Kept);
    assert!(scene.core.has_session(scene.device));
    scene.says(CoreMessage::Opened);
    let again = ear.rpc();
    assert_eq!((again.uuid, again.request), (queued, 0));
    ear.hears_nothing();
    // What was sent is stuck: its answer reaches nobody.
    scene.has_status(sent, RpcStatus::Delivered, &["SENT", "DELIVERED"]);
    let body = &RpcBody::Payload(r#"{"result":"CONTENT"}"#.to_owned());
    scene.says(CoreMessage::RpcReply { rpc: sent, body });
    scene.has_status(again, RpcStatus::Sent, &["SENT"]);
    assert_eq!(scene.core.rpc_progress(sent.uuid).reply, None);
}

#[test]
fn a_lost_session_comes_back_by_open_and_not_by_a_report() {
    let scene = Scene::opened(CoreOptions::default());
    let ear = Ear::of(&scene, SERVICE);
    scene.core.restart(Cache::Lost);
    assert!(!scene.core.has_session(scene.device));
    scene.says(CoreMessage::Activity(now()));
    scene.core.await_activity(scene.device, PATIENCE);
    assert!(!scene.core.has_session(scene.device));
    scene.core.rpc(scene.device, "Read", "lost");
    scene.says(CoreMessage::Heartbeat(now()));
    scene.core.await_session(scene.device, PATIENCE);
    let rpc = scene.core.rpc(scene.device, "Read", "{}");
    assert_eq!(ear.rpc().uuid, rpc);
}

#[test]
fn only_reports_keep_a_session_from_timing_out() {
    let inactivity = Duration::from_secs(2);
    let scene = Scene::opened(CoreOptions {
        inactivity,
        ..CoreOptions::default()
    });
    let ear = Ear::of(&scene, SERVICE);
    let start = Instant::now();
    while start.elapsed() < 2 * inactivity {
        scene.says(CoreMessage::Activity(now()));
        std::thread::sleep(inactivity / 4);
    }
    assert!(scene.core.has_session(scene.device));
    // Being open already, it does not count as active.
    let start = Instant::now();
    while start.elapsed() < 2 * inactivity {
        scene.says(CoreMessage::PendingRpcWanted);
        std::thread::sleep(inactivity / 4);
    }
    assert_eq!(ear.close(), (3, scene.session.id.0));
    // What is older than the core's patience closes it at once.
    scene.says(CoreMessage::Heartbeat(UnixMillis(now().0 - 5_000)));
    assert_eq!(ear.close(), (3, scene.session.id.0));
    scene.says(CoreMessage::Heartbeat(now()));
    scene.core.await_session(scene.device, PATIENCE);
}

#[test]
fn a_second_session_closes_the_first_and_an_open_one_stays_with_its_node() {
    let scene = Scene::with(CoreOptions::default());
    scene
        .broker
        .create(&format!("{PREFIX}.tb_transport.notifications.ls-1"), 1);
    let (here, there) = (Ear::of(&scene, SERVICE), Ear::of(&scene, "ls-1"));
    scene.says(CoreMessage::Opened);
    scene.core.await_session(scene.device, PATIENCE);
    // The same session from elsewhere: OPEN does not move it.
    scene.say_as(&scene.session, "ls-1", CoreMessage::Opened);
    scene.core.rpc(scene.device, "Read", "1");
    here.rpc();
    there.hears_nothing();
    let other = scene.other_session();
    scene.say_as(&other, "ls-1", CoreMessage::Opened);
    assert_eq!(here.close(), (2, scene.session.id.0));
    assert!(there.rpc().request == 0, "what is pending goes there");
    // The older one takes the device back.
    scene.says(CoreMessage::Opened);
    assert_eq!(there.close(), (2, other.id.0));
    // CLOSED and OPEN move it.
    scene.says(CoreMessage::Closed);
    scene.core.await_no_session(scene.device, PATIENCE);
    scene.say_as(&scene.session, "ls-1", CoreMessage::Opened);
    scene.core.await_session(scene.device, PATIENCE);
    there.rpc();
}

#[test]
fn two_sessions_live_where_two_are_allowed() {
    let scene = Scene::opened(CoreOptions {
        sessions_per_device: 2,
        ..CoreOptions::default()
    });
    let ear = Ear::of(&scene, SERVICE);
    let (second, third) = (scene.other_session(), scene.other_session());
    scene.say_as(&second, SERVICE, CoreMessage::Opened);
    ear.hears_nothing();
    scene.say_as(&third, SERVICE, CoreMessage::Opened);
    assert_eq!(ear.close(), (2, scene.session.id.0));
}

#[test]
fn an_instance_that_stands_still_keeps_others_going_and_reads_on_later() {
    let scene = Scene::with(CoreOptions {
        instances: 3,
        ..CoreOptions::default()
    });
    let instance = scene.core.instance_of(scene.device);
    for other in (0..3).filter(|other| *other != instance) {
        scene.core.stop_instance(other);
    }
    scene.says(CoreMessage::Opened);
    scene.core.await_session(scene.device, PATIENCE);
    scene.core.stop_instance(instance);
    scene.says(CoreMessage::Closed);
    std::thread::sleep(Duration::from_millis(300));
    assert!(scene.core.has_session(scene.device));
    scene.core.start_instance(instance, Cache::Kept);
    scene.core.await_no_session(scene.device, PATIENCE);
}

#[test]
fn notifications_may_come_late_and_more_than_once() {
    let scene = Scene::opened(CoreOptions::default());
    let ear = Ear::of(&scene, SERVICE);
    scene.core.delay(Duration::from_secs(1));
    scene.core.repeat_notifications(2);
    let start = Instant::now();
    let rpc = scene.core.rpc(scene.device, "Read", "{}");
    assert_eq!([ear.rpc().uuid, ear.rpc().uuid], [rpc; 2]);
    assert!(start.elapsed() >= Duration::from_secs(1));
    ear.hears_nothing();
}
