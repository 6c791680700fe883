//! What the core sends unasked, and commands with their answers.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use lightship::{
    lwm2m::path::ObjectVersion,
    platform::{
        Answer, Downlink, PlatformId, Question, RpcRequest, SessionInfo, Uplink,
        downlink::{Scope, SessionCloseReason},
        profile::PowerSettings,
        uplink::{KeyValue, RpcBody, RpcStatus},
    },
};

use crate::{
    fixture::{
        CONFIGURATION, Endpoint, Fixture, PATIENCE, Received, SERVICE, Sink, eventually, is_rpc,
    },
    support::strict_core::{Close, RpcOptions},
};

/// Plays a device that answers a command.
fn answer(endpoint: &Endpoint, session: &Arc<SessionInfo>, request: &RpcRequest, body: &str) {
    for status in [RpcStatus::Sent, RpcStatus::Delivered] {
        let status = Uplink::RpcStatus {
            session: Arc::clone(session),
            rpc: request.id,
            status,
        };
        endpoint.submit(status).unwrap();
    }
    let reply = Uplink::RpcReply {
        session: Arc::clone(session),
        rpc: request.id,
        body: RpcBody::Payload(body.to_owned()),
    };
    endpoint.submit(reply).unwrap();
}

#[test]
fn a_command_goes_down_and_its_answer_comes_up() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let rpc = fixture
        .core
        .rpc(fixture.device, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    let request = fixture.sink.take_rpc();
    assert_eq!(request.id.uuid, rpc);
    assert_eq!((request.method.as_str(), request.id.request), ("Read", 0));
    assert_eq!(request.params, r#"{"id":"/3_1.2/0/9"}"#);
    assert!(!request.oneway && !request.persisted);
    let body = r#"{"result":"CONTENT","value":"95"}"#;
    answer(&endpoint, &session, &request, body);
    let progress = fixture.core.await_rpc(rpc, PATIENCE);
    assert_eq!(progress.statuses, ["SENT", "DELIVERED"]);
    assert_eq!(progress.reply, Some(Ok(body.to_owned())));
}

#[test]
fn a_command_that_times_out_has_no_reply() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let rpc = fixture.core.rpc(fixture.device, "Read", "{}");
    let request = fixture.sink.take_rpc();
    for status in [RpcStatus::Sent, RpcStatus::Timeout] {
        let status = Uplink::RpcStatus {
            session: Arc::clone(&session),
            rpc: request.id,
            status,
        };
        endpoint.submit(status).unwrap();
    }
    let progress = fixture.core.await_rpc(rpc, PATIENCE);
    assert_eq!((progress.statuses.len(), progress.reply), (2, None));
}

#[test]
fn commands_that_wait_come_with_the_session_and_when_they_are_wanted() {
    let fixture = Fixture::start();
    let options = RpcOptions {
        persisted: true,
        ..RpcOptions::default()
    };
    let rpc = fixture
        .core
        .rpc_with(fixture.device, "Execute", "{}", options);
    let (endpoint, session) = fixture.registered();
    let request = fixture.sink.take_rpc();
    assert!(request.persisted && request.id.uuid == rpc);
    let wanted = Uplink::PendingRpcWanted { session };
    endpoint.submit(wanted).unwrap();
    assert_eq!(
        fixture.sink.take_rpc().id,
        request.id,
        "it was not answered"
    );
}

#[test]
fn a61_a_command_that_finds_a_full_mailbox_is_refused() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    fixture.sink.full.store(true, Relaxed);
    let rpc = fixture.core.rpc(fixture.device, "Read", "{}");
    let progress = fixture.core.await_rpc(rpc, PATIENCE);
    let error = r#"{"result":"INTERNAL_SERVER_ERROR","error":"Downlink queue is full"}"#;
    assert_eq!(progress.reply, Some(Err(error.to_owned())));
    assert_eq!(fixture.health().full_mailboxes, 1);
}

#[test]
fn a_command_for_an_unknown_session_is_only_counted() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    fixture.sink.sessions.lock().unwrap().clear();
    fixture.core.rpc(fixture.device, "Read", "{}");
    eventually("the count", || fixture.health().unknown_sessions == 1);
}

#[test]
fn shared_attributes_come_when_they_change_and_when_they_are_wanted() {
    let fixture = Fixture::start();
    let (endpoint, session) = fixture.registered();
    let set = [
        ("period", KeyValue::Long(60)),
        ("mode", KeyValue::Boolean(true)),
    ];
    fixture.core.set_attributes(fixture.device, &set);
    let attributes = |wanted: bool| {
        let received = fixture.sink.take(|received| {
            matches!(received, Received::Session(_, Downlink::Attributes { requested, .. }) if *requested == wanted)
        });
        let Received::Session(_, Downlink::Attributes { updated, .. }) = received else {
            panic!("{received:?}");
        };
        updated
            .into_iter()
            .map(|(key, value, _)| (key, value))
            .collect::<Vec<_>>()
    };
    let expected = set.map(|(key, value)| (key.to_owned(), value));
    assert_eq!(attributes(false), expected);
    endpoint
        .submit(Uplink::AttributesWanted {
            session,
            keys: vec!["mode".to_owned(), "missing".to_owned()],
        })
        .unwrap();
    assert_eq!(attributes(true), expected[1..]);
}

#[test]
fn a_session_that_timed_out_at_the_core_is_opened_again() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    fixture
        .core
        .close_session(fixture.device, Close::SessionTimeout);
    fixture.core.await_heartbeats(fixture.device, 1, PATIENCE);
    assert!(fixture.core.has_session(fixture.device));
    let closed = Downlink::SessionClosed(SessionCloseReason::SessionTimeout);
    fixture
        .sink
        .take(|received| matches!(received, Received::Session(_, downlink) if *downlink == closed));
}

#[test]
fn a_session_that_another_took_over_stays_closed() {
    let fixture = Fixture::start_with(|settings| settings.activity.inactivity_ms = 1_000);
    let (_, _) = fixture.registered();
    fixture
        .core
        .close_session(fixture.device, Close::MaxConcurrentSessions);
    let closed = Downlink::SessionClosed(SessionCloseReason::MaxConcurrentSessions);
    fixture
        .sink
        .take(|received| matches!(received, Received::Session(_, downlink) if *downlink == closed));
    assert_eq!(fixture.health().sessions, 0);
    let heartbeats = fixture.core.heartbeats(fixture.device);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(fixture.core.heartbeats(fixture.device), heartbeats);
}

#[test]
fn changed_credentials_reach_the_session() {
    let fixture = Fixture::start();
    let (_, session) = fixture.registered();
    fixture.core.change_credentials(fixture.device, "{}");
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Session(..)));
    assert_eq!(
        received,
        Received::Session(session.id, Downlink::CredentialsChanged)
    );
}

#[test]
fn a_changed_profile_reaches_its_endpoints() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    let observe_nothing = r#"{"type":"LWM2M","observeAttr":{"observe":[]}}"#;
    fixture
        .core
        .change_profile(fixture.profile, observe_nothing, SERVICE);
    let received = fixture.sink.take(|received| {
        matches!(
            received,
            Received::Broadcast(_, Downlink::ProfileChanged(_))
        )
    });
    let Received::Broadcast(scope, Downlink::ProfileChanged(profile)) = received else {
        panic!("{received:?}");
    };
    assert_eq!(scope, Scope::Profile(PlatformId(fixture.profile)));
    assert!(profile.transport.observe_attr.observe.is_empty());
    // Who registers now gets the new one.
    let admission = fixture.endpoint().credentials("ep1").unwrap();
    assert_eq!(admission.profile, profile);
}

#[test]
fn a_device_that_moves_to_another_profile_is_given_it() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    let other = fixture.core.add_profile("other", CONFIGURATION, None);
    fixture
        .core
        .change_device(fixture.device, "renamed", other, SERVICE);
    let device = Scope::Device(PlatformId(fixture.device));
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Broadcast(..)));
    let Received::Broadcast(
        scope,
        Downlink::DeviceChanged {
            device: info,
            power,
        },
    ) = received
    else {
        panic!("{received:?}");
    };
    assert_eq!(scope, device);
    assert_eq!(
        (info.name.as_str(), info.kind.as_str()),
        ("renamed", "other")
    );
    assert_eq!(power, PowerSettings::default());
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Broadcast(..)));
    assert!(
        matches!(&received, Received::Broadcast(scope, Downlink::ProfileChanged(profile))
            if *scope == device && profile.id == PlatformId(other)),
        "{received:?}"
    );
    assert_eq!(fixture.core.questions("profile"), 1);
}

#[test]
fn a75_a_deleted_device_is_told_so() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    fixture.core.delete_device(fixture.device, SERVICE);
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Broadcast(..)));
    let device = Scope::Device(PlatformId(fixture.device));
    assert_eq!(
        received,
        Received::Broadcast(device, Downlink::DeviceDeleted)
    );
}

#[test]
fn a_deleted_model_is_taken_from_its_endpoints() {
    let fixture = Fixture::start();
    let model = r#"<LWM2M><Object ObjectType="MODefinition"><Name>X</Name><ObjectID>33000</ObjectID>
        <ObjectVersion>1.0</ObjectVersion><MultipleInstances>Multiple</MultipleInstances>
        <Mandatory>Optional</Mandatory><Resources/></Object></LWM2M>"#;
    fixture.core.add_model(model);
    let admission = fixture.endpoint().credentials("ep1").unwrap();
    let question = Question::Models {
        tenant: admission.device.tenant,
        keys: vec![(33000, ObjectVersion::V1_0)],
    };
    fixture.endpoint().ask(question).unwrap();
    fixture.core.delete_model("33000_1.0", SERVICE);
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Broadcast(..)));
    let gone = Downlink::ModelChanged {
        object: 33000,
        version: ObjectVersion::V1_0,
        model: None,
    };
    assert_eq!(
        received,
        Received::Broadcast(Scope::Tenant(admission.device.tenant), gone)
    );
}

#[test]
fn a_saved_model_is_asked_for_again_and_given_to_its_endpoints() {
    let fixture = Fixture::start();
    let (_, session) = fixture.registered();
    let model = |name: &str| {
        format!(
            r#"<LWM2M><Object ObjectType="MODefinition"><Name>{name}</Name><ObjectID>33000</ObjectID>
            <ObjectVersion>1.0</ObjectVersion><MultipleInstances>Multiple</MultipleInstances>
            <Mandatory>Optional</Mandatory><Resources/></Object></LWM2M>"#
        )
    };
    fixture.core.add_model(&model("Old"));
    let ask = || {
        let question = Question::Models {
            tenant: session.device.tenant,
            keys: vec![(33000, ObjectVersion::V1_0)],
        };
        match fixture.endpoint().ask(question).unwrap() {
            Answer::Models(models) => models[0].name.clone(),
            Answer::Credentials(_) | Answer::Package(_) | Answer::PackageBytes(_) => {
                panic!("not asked for")
            }
        }
    };
    assert_eq!(ask(), "Old");
    fixture
        .core
        .change_model("33000_1.0", &model("New"), SERVICE);
    let received = fixture
        .sink
        .take(|received| matches!(received, Received::Broadcast(..)));
    let Received::Broadcast(scope, Downlink::ModelChanged { model, .. }) = received else {
        panic!("{received:?}");
    };
    assert_eq!(scope, Scope::Tenant(session.device.tenant));
    assert_eq!(model.unwrap().name, "New");
    assert_eq!(ask(), "New");
    assert_eq!(fixture.core.questions("model"), 2);
}

#[test]
fn a62_a_restart_continues_where_the_last_process_stopped() {
    let mut fixture = Fixture::start();
    let (_, _) = fixture.registered();
    fixture.core.rpc(fixture.device, "Execute", "1");
    assert_eq!(fixture.sink.take_rpc().params, "1");
    fixture.platform.stop();
    fixture.core.rpc(fixture.device, "Execute", "2");
    fixture.restart();
    assert_eq!(fixture.sink.take_rpc().params, "2");
    let again = fixture.sink.take_within(Duration::from_millis(500), is_rpc);
    assert_eq!(again, None, "the first one does not happen twice");
}

#[test]
fn a62_a_second_process_of_the_same_name_carries_nothing_out_a_second_time() {
    let fixture = Fixture::start();
    let (_, _) = fixture.registered();
    let sink = Arc::new(Sink::default());
    let twin = fixture.twin(&sink);
    let unknown = || twin.health().unknown_sessions;
    // It begins where the first one committed last, and when it looks is not known: only once it reads does it read all.
    eventually("the other one reads", || {
        fixture.core.rpc(fixture.device, "Read", "{}");
        fixture.sink.take_rpc();
        unknown() > 0
    });
    let before = unknown();
    for number in 0..20 {
        fixture
            .core
            .rpc(fixture.device, "Execute", &number.to_string());
    }
    for number in 0..20 {
        assert_eq!(fixture.sink.take_rpc().params, number.to_string());
    }
    eventually("the other one", || unknown() >= before + 20);
    for sink in [&sink, &fixture.sink] {
        let again = sink.take_within(Duration::from_millis(300), is_rpc);
        assert_eq!(again, None);
    }
}
