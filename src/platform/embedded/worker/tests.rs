use std::fs;

use crate::platform::{
    PlatformId, RequestId, SessionId, SessionInfo,
    downlink::Scope,
    embedded::test_support::{Endpoints, PROFILE, RegistryFolder, Replies, clock, device},
    package::PackageId,
    time::UnixMillis,
    uplink::{KeyValue, Readings},
};

use super::*;

struct Fixture {
    folder: RegistryFolder,
    endpoints: Arc<Endpoints>,
    replies: Arc<Replies>,
    worker: Worker,
}

fn fixture() -> Fixture {
    let folder = RegistryFolder::new();
    folder.write("profiles/p.json", PROFILE);
    folder.write("devices/a.json", &device("Meter", "p", "ep-1"));
    let settings = EmbeddedSettings {
        registry_dir: folder.path().to_owned(),
        output: super::super::OutputTarget::JsonLines(folder.path().join("out.jsonl")),
        ..EmbeddedSettings::default()
    };
    let endpoints = Arc::new(Endpoints::default());
    let output = Output::open(&settings.output).unwrap();
    let sink = Arc::<Endpoints>::clone(&endpoints);
    let worker = Worker::new(settings, 1 << 20, output, sink, clock).unwrap();
    Fixture {
        folder,
        endpoints,
        replies: Replies::new(),
        worker,
    }
}

impl Fixture {
    fn submit(&mut self, uplink: Uplink) {
        let reply_to = self.replies.reply_to();
        self.worker
            .handle(clock(), Message::Uplink(uplink, reply_to));
    }

    fn ask(&mut self, question: Question) -> Result<Answer, QuestionError> {
        let id = RequestId(7);
        self.submit(Uplink::Question { id, question });
        match self.replies.take().pop() {
            Some(Reply::Answer {
                id: RequestId(7),
                result,
            }) => result,
            other => panic!("no answer: {other:?}"),
        }
    }

    fn register(&mut self) -> Arc<SessionInfo> {
        let id = "ep-1".to_owned();
        let Ok(Answer::Credentials(admission)) = self.ask(Question::Credentials { id }) else {
            panic!("not admitted");
        };
        let session = Arc::new(SessionInfo {
            id: SessionId(Uuid::from_u128(1)),
            device: admission.device.clone(),
        });
        *self.endpoints.session.lock().unwrap() = Some(session.id);
        self.submit(Uplink::SessionOpened {
            session: session.clone(),
        });
        session
    }

    fn telemetry(&mut self, session: &Arc<SessionInfo>, id: Option<UplinkId>) {
        let readings = [1, 2].map(|ts| Readings {
            ts: UnixMillis(ts),
            values: vec![("batteryLevel".to_owned(), KeyValue::Long(ts))],
        });
        self.submit(Uplink::Telemetry {
            id,
            session: session.clone(),
            readings: readings.to_vec(),
        });
    }

    fn call(&mut self, endpoint: &str) -> oneshot::Receiver<Result<RpcBody, RpcError>> {
        let (done, ended) = oneshot::channel();
        let call = RpcCall {
            endpoint: endpoint.to_owned(),
            method: "Read".to_owned(),
            params: r#"{"id":"/3/0/9"}"#.to_owned(),
            timeout: Duration::from_secs(5),
            done,
        };
        self.worker.handle(clock(), Message::Rpc(call));
        ended
    }

    fn sent_rpc(&self) -> RpcRequest {
        match self.endpoints.delivered.lock().unwrap().pop() {
            Some(Downlink::Rpc(request)) => request,
            other => panic!("no RPC: {other:?}"),
        }
    }
}

#[test]
fn answers_who_may_come_in_and_which_models_there_are() {
    let mut fixture = fixture();
    fixture.register();
    let unknown = Question::Credentials {
        id: "stranger".to_owned(),
    };
    assert_eq!(fixture.ask(unknown), Err(QuestionError::NotFound));
    let models = Question::Models {
        tenant: PlatformId::NULL,
        keys: vec![(3, "1.2".parse().unwrap()), (3, "9.9".parse().unwrap())],
    };
    let Ok(Answer::Models(models)) = fixture.ask(models) else {
        panic!("no models");
    };
    let found: Vec<_> = models.iter().map(|model| model.id).collect();
    assert_eq!(found, [3]);
}

#[test]
fn p42_a_model_is_the_exact_one_or_the_newest_of_its_major_version_or_none() {
    let mut fixture = fixture();
    for (object, version, expected) in [
        (3, "1.1", Some("1.1")),
        (3, "1.9", Some("1.2")),
        (3, "2.0", None),
        (21, "1.7", Some("1.1")),
        (21, "2.3", Some("2.0")),
        (4711, "1.0", None),
    ] {
        let question = Question::Models {
            tenant: PlatformId::NULL,
            keys: vec![(object, version.parse().unwrap())],
        };
        let Ok(Answer::Models(models)) = fixture.ask(question) else {
            panic!("no answer");
        };
        let found = models.first().map(|model| model.version.to_string());
        assert_eq!(found.as_deref(), expected, "{object} {version}");
    }
}

#[test]
fn readings_are_durable_once_they_are_written() {
    let mut fixture = fixture();
    let session = fixture.register();
    fixture.telemetry(&session, Some(UplinkId(3)));
    assert_eq!(fixture.replies.take(), []);
    fixture.worker.flush();
    let done = Reply::Done {
        id: UplinkId(3),
        outcome: Outcome::Durable,
    };
    assert_eq!(fixture.replies.take(), [done]);
    let written = fs::read_to_string(fixture.folder.path().join("out.jsonl")).unwrap();
    assert_eq!(
        written,
        concat!(
            r#"{"ts":1,"endpoint":"ep-1","device":"Meter","kind":"telemetry","values":{"batteryLevel":1}}"#,
            "\n",
            r#"{"ts":2,"endpoint":"ep-1","device":"Meter","kind":"telemetry","values":{"batteryLevel":2}}"#,
            "\n",
        )
    );
}

#[test]
fn readings_that_cannot_be_written_stay_unacknowledged() {
    let mut fixture = fixture();
    let Ok(full) = Output::open(&super::super::OutputTarget::JsonLines("/dev/full".into())) else {
        return;
    };
    fixture.worker.output = full;
    let session = fixture.register();
    fixture.telemetry(&session, Some(UplinkId(3)));
    fixture.telemetry(&session, None);
    fixture.worker.flush();
    let done = Reply::Done {
        id: UplinkId(3),
        outcome: Outcome::Unavailable,
    };
    assert_eq!(fixture.replies.take(), [done]);
}

#[test]
fn a_command_ends_with_the_reply() {
    let mut fixture = fixture();
    let session = fixture.register();
    let mut ended = fixture.call("ep-1");
    let request = fixture.sent_rpc();
    assert_eq!(
        (request.method.as_str(), request.params.as_str()),
        ("Read", r#"{"id":"/3/0/9"}"#)
    );
    assert_eq!(request.expires, clock().wall.plus(Duration::from_secs(5)));
    let body = RpcBody::Payload(r#"{"result":"CONTENT"}"#.to_owned());
    fixture.submit(Uplink::RpcStatus {
        session: session.clone(),
        rpc: request.id,
        status: RpcStatus::Sent,
    });
    assert!(ended.try_recv().is_err());
    fixture.submit(Uplink::RpcReply {
        session,
        rpc: request.id,
        body: body.clone(),
    });
    assert_eq!(ended.try_recv(), Ok(Ok(body)));
}

#[test]
fn a_command_ends_with_the_timeout_of_the_device() {
    let mut fixture = fixture();
    let session = fixture.register();
    let mut ended = fixture.call("ep-1");
    fixture.submit(Uplink::RpcStatus {
        session,
        rpc: fixture.sent_rpc().id,
        status: RpcStatus::Timeout,
    });
    assert_eq!(ended.try_recv(), Ok(Err(RpcError::Timeout)));
}

#[test]
fn a_command_needs_a_registered_endpoint() {
    let mut fixture = fixture();
    let mut ended = fixture.call("ep-1");
    assert_eq!(ended.try_recv(), Ok(Err(RpcError::UnknownEndpoint)));
    let session = fixture.register();
    fixture.submit(Uplink::SessionClosed { session });
    let mut ended = fixture.call("ep-1");
    assert_eq!(ended.try_recv(), Ok(Err(RpcError::UnknownEndpoint)));
}

#[test]
fn abandoned_commands_are_forgotten() {
    let mut fixture = fixture();
    fixture.register();
    drop(fixture.call("ep-1"));
    assert_eq!(fixture.worker.rpcs.len(), 1);
    fixture.worker.poll();
    assert_eq!(fixture.worker.rpcs.len(), 0);
}

#[test]
fn changes_of_the_folder_reach_the_endpoints() {
    let mut fixture = fixture();
    let session = fixture.register();
    fixture.worker.poll();
    assert_eq!(*fixture.endpoints.broadcast.lock().unwrap(), []);
    fixture.folder.write("devices/a.json", "{ half");
    fixture.worker.poll();
    assert_eq!(*fixture.endpoints.broadcast.lock().unwrap(), []);
    fixture
        .folder
        .write("devices/a.json", &device("Other", "p", "ep-2"));
    fixture.worker.poll();
    assert_eq!(
        *fixture.endpoints.broadcast.lock().unwrap(),
        [(
            Scope::Device(session.device.device),
            Downlink::DeviceDeleted
        )]
    );
    fixture
        .folder
        .write("devices/a.json", &device("Other", "missing", "ep-2"));
    fixture.worker.poll();
    let id = "ep-2".to_owned();
    assert!(fixture.ask(Question::Credentials { id }).is_ok());
}

/// What came of attributes that somebody set: all of them as JSON text, or why not.
fn set(fixture: &mut Fixture, endpoint: &str, changes: &str) -> String {
    let (done, mut ended) = oneshot::channel();
    let call = AttributesCall {
        endpoint: endpoint.to_owned(),
        changes: serde_json::from_str(changes).unwrap(),
        done,
    };
    fixture.worker.handle(clock(), Message::Attributes(call));
    match ended.try_recv().unwrap() {
        Ok(all) => Json::from(all).to_string(),
        Err(error) => error.to_string(),
    }
}

/// What the device was told meanwhile.
fn told(fixture: &Fixture) -> Vec<Downlink> {
    std::mem::take(&mut *fixture.endpoints.delivered.lock().unwrap())
}

/// A battery level that was set so many milliseconds after the fixture's time; whether the device had asked.
fn level(value: i64, after: i64, requested: bool) -> Downlink {
    let ts = UnixMillis(clock().wall.0 + after);
    Downlink::Attributes {
        updated: vec![("batteryLevel".to_owned(), KeyValue::Long(value), ts)],
        requested,
    }
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn deleted(names: &[&str]) -> Downlink {
    Downlink::AttributesDeleted(keys(names))
}

#[test]
fn attributes_wait_for_the_device_and_reach_it_while_it_is_registered() {
    let mut fixture = fixture();
    assert_eq!(
        set(&mut fixture, "stranger", "{}"),
        "no such endpoint is registered"
    );
    assert_eq!(
        set(&mut fixture, "ep-1", r#"{"batteryLevel":7,"other":"x"}"#),
        r#"{"batteryLevel":7,"other":"x"}"#
    );
    assert_eq!(told(&fixture), []);
    let session = fixture.register();
    fixture.submit(Uplink::AttributesWanted {
        session: session.clone(),
        keys: vec!["batteryLevel".to_owned(), "unset".to_owned()],
    });
    assert_eq!(told(&fixture), [level(7, 0, true)]);
    assert_eq!(
        set(&mut fixture, "ep-1", r#"{"batteryLevel":8,"other":null}"#),
        r#"{"batteryLevel":8}"#
    );
    assert_eq!(told(&fixture), [deleted(&["other"]), level(8, 1, false)]);
    assert_eq!(set(&mut fixture, "ep-1", "{}"), r#"{"batteryLevel":8}"#);
    assert_eq!(told(&fixture), []);
    fixture.submit(Uplink::SessionClosed { session });
    assert_eq!(set(&mut fixture, "ep-1", "{}"), r#"{"batteryLevel":8}"#);
}

#[test]
fn attributes_of_files_are_there_from_the_start_and_change_with_the_file() {
    let mut fixture = fixture();
    let with = |shared: &str| {
        let device = device("Meter", "p", "ep-1");
        let (device, _) = device.rsplit_once('}').unwrap();
        format!(r#"{device},"shared":{shared}}}"#)
    };
    fixture
        .folder
        .write("devices/a.json", &with(r#"{"batteryLevel":7}"#));
    fixture.worker.poll();
    let all = set(&mut fixture, "ep-1", r#"{"batteryLevel":9}"#);
    assert_eq!(all, r#"{"batteryLevel":9}"#);
    fixture.register();
    // What the file says has not changed: what was set since stands.
    fixture
        .folder
        .write("devices/a.json", &with(r#"{ "batteryLevel":7}"#));
    fixture.worker.poll();
    assert_eq!(told(&fixture), []);
    fixture
        .folder
        .write("devices/a.json", &with(r#"{"batteryLevel":8}"#));
    fixture.worker.poll();
    assert_eq!(told(&fixture), [level(8, 2, false)]);
    fixture.folder.write("devices/a.json", &with("{}"));
    fixture.worker.poll();
    assert_eq!(set(&mut fixture, "ep-1", "{}"), "{}");
    assert_eq!(told(&fixture), [deleted(&["batteryLevel"])]);
}

#[test]
fn an_update_is_withdrawn_by_taking_its_attributes_away() {
    let mut fixture = fixture();
    fixture.register();
    set(
        &mut fixture,
        "ep-1",
        r#"{"fw_title":"fw","fw_version":"2"}"#,
    );
    told(&fixture);
    let null = r#"{"fw_title":null,"fw_version":null,"fw_tag":null}"#;
    assert_eq!(set(&mut fixture, "ep-1", null), "{}");
    let withdrawn = deleted(&["fw_title", "fw_version"]);
    assert_eq!(told(&fixture), [withdrawn], "it never had a tag");
    set(&mut fixture, "ep-1", null);
    assert_eq!(told(&fixture), []);
}

#[test]
fn wanted_attributes_may_be_none() {
    let mut fixture = fixture();
    let session = fixture.register();
    let keys = vec!["batteryLevel".to_owned()];
    fixture.submit(Uplink::AttributesWanted { session, keys });
    let none = Downlink::Attributes {
        updated: Vec::new(),
        requested: true,
    };
    assert_eq!(told(&fixture), [none]);
}

#[test]
fn events_tell_of_every_uplink_of_a_session() {
    let mut fixture = fixture();
    let mut events = fixture.worker.events().subscribe();
    let session = fixture.register();
    fixture.telemetry(&session, None);
    fixture.submit(Uplink::SessionClosed { session });
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(event.name());
    }
    assert_eq!(seen, ["opened", "telemetry", "telemetry", "closed"]);
}

const PACKAGE: &str =
    r#"{"type":"FIRMWARE","title":"fw","version":"2","file":"fw.bin","devices":["Meter"]}"#;

#[test]
fn an_assigned_package_is_told_described_and_handed_out() {
    let mut fixture = fixture();
    fixture.folder.write("packages/fw.bin", "package");
    fixture.folder.write("packages/fw.json", PACKAGE);
    let session = fixture.register();
    fixture.worker.poll();
    let Some(Downlink::Attributes {
        updated,
        requested: false,
    }) = fixture.endpoints.delivered.lock().unwrap().pop()
    else {
        panic!("the device was not told");
    };
    let told: Vec<_> = updated
        .iter()
        .map(|(key, value, _)| (key.as_str(), value))
        .collect();
    let text = |text: &str| KeyValue::String(text.to_owned());
    assert_eq!(
        told,
        [("fw_title", &text("fw")), ("fw_version", &text("2"))]
    );

    fixture.submit(Uplink::AttributesWanted {
        session: session.clone(),
        keys: keys(&["fw_title", "sw_title"]),
    });
    let Some(Downlink::Attributes {
        updated,
        requested: true,
    }) = fixture.endpoints.delivered.lock().unwrap().pop()
    else {
        panic!("not answered");
    };
    assert_eq!(updated.len(), 1);

    let question = |kind| Question::Package {
        tenant: session.device.tenant,
        device: session.device.device,
        kind,
    };
    let software = fixture.ask(question(PackageKind::Software));
    assert_eq!(software, Err(QuestionError::NotFound));
    let Ok(Answer::Package(info)) = fixture.ask(question(PackageKind::Firmware)) else {
        panic!("no package");
    };
    assert_eq!(
        (info.title.as_str(), info.file_name.as_str()),
        ("fw", "fw.bin")
    );
    let Ok(Answer::PackageBytes(package)) = fixture.ask(Question::PackageBytes(info.id)) else {
        panic!("no bytes");
    };
    assert_eq!(package.bytes(), "package");

    fixture.folder.remove("packages/fw.json");
    fixture.worker.poll();
    assert_eq!(
        fixture.endpoints.delivered.lock().unwrap().pop(),
        Some(deleted(&["fw_title", "fw_version", "fw_tag", "fw_url"]))
    );
    let gone = fixture.ask(Question::PackageBytes(PackageId(Uuid::from_u128(1))));
    assert_eq!(gone, Err(QuestionError::NotFound));
}

#[test]
fn the_package_of_a_device_goes_before_that_of_its_profile() {
    let mut fixture = fixture();
    let all = PACKAGE
        .replace("\"2\"", "\"3\"")
        .replace(r#""devices":["Meter"]"#, r#""profiles":["p"]"#);
    fixture.folder.write("packages/all.json", &all);
    fixture.folder.write("packages/fw.json", PACKAGE);
    let session = fixture.register();
    fixture.worker.poll();
    let assigned = fixture
        .worker
        .registry
        .assigned(&session.device, PackageKind::Firmware);
    assert_eq!(assigned.map(|entry| entry.version.as_str()), Some("2"));
    fixture.folder.remove("packages/fw.json");
    fixture.worker.poll();
    let assigned = fixture
        .worker
        .registry
        .assigned(&session.device, PackageKind::Firmware);
    assert_eq!(assigned.map(|entry| entry.version.as_str()), Some("3"));
}

#[test]
fn an_assigned_package_shows_again_once_what_was_set_over_it_is_taken_away() {
    let mut fixture = fixture();
    fixture.folder.write("packages/fw.json", PACKAGE);
    fixture.register();
    fixture.worker.poll();
    let set_over = r#"{"fw_title":"other","fw_tag":"other 1"}"#;
    set(&mut fixture, "ep-1", set_over);
    let assigned = told(&fixture).remove(0);
    set(&mut fixture, "ep-1", r#"{"fw_title":null,"fw_tag":null}"#);
    let Downlink::Attributes { mut updated, .. } = assigned else {
        panic!("not assigned: {assigned:?}");
    };
    updated.retain(|(key, ..)| key == "fw_title");
    let shown = Downlink::Attributes {
        updated,
        requested: false,
    };
    assert_eq!(told(&fixture), [deleted(&["fw_tag"]), shown]);
}

#[test]
fn a_package_elsewhere_is_not_held_here() {
    let mut fixture = fixture();
    let elsewhere = PACKAGE.replace(
        r#""file":"fw.bin""#,
        r#""url":"https://example.org/fw.bin""#,
    );
    fixture.folder.write("packages/fw.json", &elsewhere);
    let session = fixture.register();
    fixture.worker.poll();
    let question = Question::Package {
        tenant: session.device.tenant,
        device: session.device.device,
        kind: PackageKind::Firmware,
    };
    assert_eq!(fixture.ask(question), Err(QuestionError::Invalid));
}
