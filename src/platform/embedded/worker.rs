//! The thread of the embedded platform: the one place that holds registry, sessions and open RPC.

use std::{
    collections::HashMap,
    fs, io, iter,
    sync::{Arc, mpsc::RecvTimeoutError},
    time::Duration,
};

use serde_json::{Map, Value as Json};
use tokio::sync::{broadcast, oneshot};
use uuid::Uuid;

use crate::platform::{
    Answer, Downlink, DownlinkSink, Outcome, Question, QuestionError, Reply, ReplyTo, RpcRequest,
    Undeliverable, Uplink, UplinkId,
    package::{NoRoom, Package, PackageCache, PackageId, PackageKind},
    time::{Clock, Now},
    uplink::{RpcBody, RpcId, RpcStatus},
};

use super::{
    RpcError,
    event::{Event, EventKind},
    folder::{Folder, Problem},
    output::Output,
    package::PackageEntry,
    queue::MessageReceiver,
    registry::Registry,
    sessions::Sessions,
    settings::EmbeddedSettings,
    shared::{MAX_ATTRIBUTES, SharedAttributes, TooMany},
    strangers::Strangers,
};

/// What the thread is asked to do.
#[derive(Debug)]
pub(super) enum Message {
    /// Attributes from outside.
    Attributes(AttributesCall),
    /// A command from outside.
    Rpc(RpcCall),
    /// To end, once what was accepted before is done.
    Stop,
    /// An accepted uplink.
    Uplink(Uplink, ReplyTo),
}

/// Shared attributes that are set from outside.
#[derive(Debug)]
pub(super) struct AttributesCall {
    pub endpoint: String,
    pub changes: Map<String, Json>,
    /// Where all attributes are awaited.
    pub done: oneshot::Sender<Result<Map<String, Json>, RpcError>>,
}

/// A command from outside.
#[derive(Debug)]
pub(super) struct RpcCall {
    pub endpoint: String,
    pub method: String,
    pub params: String,
    pub timeout: Duration,
    pub done: RpcDone,
}

/// Where the end of a command is awaited.
type RpcDone = oneshot::Sender<Result<RpcBody, RpcError>>;

/// State of the thread.
pub(super) struct Worker {
    clock: Clock,
    sink: Arc<dyn DownlinkSink>,
    settings: EmbeddedSettings,
    folder: Folder,
    registry: Registry,
    output: Output,
    events: broadcast::Sender<Arc<Event>>,
    sessions: Sessions,
    shared: SharedAttributes,
    rpcs: HashMap<Uuid, RpcDone>,
    last_request: i32,
    strangers: Strangers,
    packages: PackageCache,
    /// Uplinks that are answered once the output is flushed.
    unflushed: Vec<(UplinkId, ReplyTo)>,
    output_fails: bool,
}

impl Worker {
    /// Reads the folder.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub(super) fn new(
        settings: EmbeddedSettings,
        package_cache_bytes: usize,
        output: Output,
        sink: Arc<dyn DownlinkSink>,
        clock: Clock,
    ) -> Result<Self, Vec<Problem>> {
        let (folder, registry) = read(&settings)?;
        let (devices, profiles, models) = registry.counts();
        tracing::info!(
            event = "registry_loaded",
            devices,
            profiles,
            models,
            "registry read from {}",
            settings.registry_dir.display()
        );
        let mut worker = Self {
            clock,
            sink,
            settings,
            folder,
            registry,
            output,
            events: broadcast::Sender::new(EVENTS),
            sessions: Sessions::default(),
            shared: SharedAttributes::default(),
            rpcs: HashMap::new(),
            last_request: 0,
            strangers: Strangers::default(),
            packages: PackageCache::new(package_cache_bytes),
            unflushed: Vec::new(),
            output_fails: false,
        };
        worker.share_files(&Registry::default());
        Ok(worker)
    }

    /// Where events are published.
    pub(super) const fn events(&self) -> &broadcast::Sender<Arc<Event>> {
        &self.events
    }

    /// Works until [`Message::Stop`].
    pub(super) fn run(mut self, messages: &MessageReceiver) {
        let mut next_poll = (self.clock)().mono + POLL_PERIOD;
        loop {
            let now = (self.clock)();
            if now.mono >= next_poll {
                self.poll();
                next_poll = now.mono + POLL_PERIOD;
            }
            match messages.recv_timeout(next_poll.saturating_duration_since(now.mono)) {
                Ok(first) => {
                    let now = (self.clock)();
                    let mut stop = false;
                    // One write of the output serves a whole batch.
                    for message in iter::once(first).chain(messages.try_iter()).take(BATCH) {
                        stop |= self.handle(now, message);
                    }
                    if stop {
                        for message in messages.try_iter() {
                            self.handle(now, message);
                        }
                    }
                    self.flush();
                    if stop {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Returns whether to stop.
    fn handle(&mut self, now: Now, message: Message) -> bool {
        match message {
            Message::Attributes(call) => {
                let result = self.share_call(now, &call.endpoint, call.changes);
                // A caller that has gone needs no answer.
                call.done.send(result).ok();
            }
            Message::Rpc(call) => self.call(now, call),
            Message::Stop => return true,
            Message::Uplink(uplink, reply_to) => self.uplink(now, uplink, &reply_to),
        }
        false
    }

    fn uplink(&mut self, now: Now, uplink: Uplink, reply_to: &ReplyTo) {
        let (session, done) = match &uplink {
            Uplink::Question { id, question } => {
                let (id, result) = (*id, self.answer(now, question));
                return reply_to.reply(Reply::Answer { id, result });
            }
            Uplink::SessionOpened { session } => {
                let endpoint = self.registry.endpoint(&session.device);
                self.sessions.open(endpoint, session);
                (session, None)
            }
            Uplink::SessionClosed { session } => {
                self.sessions.close(session);
                // A stranger that was let in is forgotten with its session.
                let endpoint = self.registry.endpoint(&session.device);
                if !self.is_known(endpoint) {
                    self.shared.forget(endpoint);
                }
                (session, None)
            }
            Uplink::Telemetry { id, session, .. } | Uplink::Attributes { id, session, .. } => {
                (session, *id)
            }
            Uplink::RpcReply { session, rpc, body } => {
                self.finish(rpc.uuid, Ok(body.clone()));
                (session, None)
            }
            Uplink::RpcStatus {
                session,
                rpc,
                status,
            } => {
                if *status == RpcStatus::Timeout {
                    self.finish(rpc.uuid, Err(RpcError::Timeout));
                }
                (session, None)
            }
            Uplink::AttributesWanted { session, keys } => {
                let endpoint = self.registry.endpoint(&session.device);
                let assigned = PackageKind::ALL.into_iter();
                let assigned =
                    assigned.filter_map(|kind| self.registry.assigned(&session.device, kind));
                let mut updated: Vec<_> = assigned.flat_map(PackageEntry::attributes).collect();
                updated.retain(|(key, ..)| keys.contains(key));
                updated.extend(self.shared.some(endpoint, keys));
                // Where there are none, the asker learns that there is nothing to wait for.
                let found = Downlink::Attributes {
                    updated,
                    requested: true,
                };
                self.sink.deliver(session.id, found).ok();
                (session, None)
            }
            Uplink::Activity { session, .. }
            | Uplink::BootstrapReport { session, .. }
            | Uplink::PendingRpcWanted { session } => (session, None),
        };
        self.unflushed
            .extend(done.map(|id| (id, Arc::clone(reply_to))));
        let watched = self.events.receiver_count() > 0;
        if watched || !self.output.discards() {
            let endpoint = self.registry.endpoint(&session.device).to_owned();
            for event in Event::of(uplink, &endpoint, now.wall) {
                if let EventKind::Attributes(_) | EventKind::Telemetry(_) = event.kind {
                    self.output.write(&event);
                }
                if watched {
                    // The last receiver may have gone meanwhile.
                    self.events.send(Arc::new(event)).ok();
                }
            }
        }
    }

    fn answer(&mut self, now: Now, question: &Question) -> Result<Answer, QuestionError> {
        match question {
            Question::Credentials { id } => match self.registry.admission(id) {
                Some(admission) => Ok(Answer::Credentials(admission)),
                None => {
                    let profile = self.registry.any_profile(&self.settings.default_profile);
                    self.strangers.refused(now.mono, id, profile);
                    Err(QuestionError::NotFound)
                }
            },
            Question::Models { keys, .. } => Ok(Answer::Models(
                keys.iter()
                    .filter_map(|&(id, version)| self.registry.models().best(id, version))
                    .cloned()
                    .collect(),
            )),
            Question::Package { device, kind, .. } => {
                // A device that the registry does not name has a session, or it could not ask.
                let unnamed = self.sessions.all().find(|(_, own)| own.device == *device);
                let unnamed = unnamed.and_then(|(_, own)| self.registry.assigned(own, *kind));
                let named = self.registry.assigned_to(*device, *kind);
                let entry = named.or(unnamed).ok_or(QuestionError::NotFound)?;
                if entry.url.is_some() {
                    return Err(QuestionError::Invalid);
                }
                Ok(Answer::Package(entry.info()))
            }
            Question::PackageBytes(id) => self.bytes_of(*id).map(Answer::PackageBytes),
        }
    }

    /// The bytes of a package, read from its file unless they are in memory.
    fn bytes_of(&mut self, id: PackageId) -> Result<Arc<Package>, QuestionError> {
        if let Some(package) = self.packages.get(id) {
            return Ok(package);
        }
        let (entry, file) = self.registry.package(id).ok_or(QuestionError::NotFound)?;
        let failed = |error: &dyn std::error::Error| {
            tracing::warn!(
                event = "package_unreadable",
                %error,
                "{} is not given to devices",
                file.display()
            );
        };
        let read = fs::metadata(&file).and_then(|metadata| {
            let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
            match self.packages.make_room(length) {
                Ok(()) => fs::read(&file).map(Ok),
                Err(error) => Ok(Err(error)),
            }
        });
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                failed(&error);
                return Err(match error {
                    NoRoom::Ever => QuestionError::Invalid,
                    NoRoom::Now => QuestionError::Unavailable,
                });
            }
            Err(error) => {
                failed(&error);
                return Err(QuestionError::Invalid);
            }
        };
        let inserted = self.packages.insert(id, bytes.into());
        let package = inserted.map_err(|_| QuestionError::Unavailable)?;
        let stated = entry.checksum.as_ref();
        if stated.is_some_and(|stated| !stated.eq_ignore_ascii_case(&package.checksum())) {
            tracing::warn!(
                event = "package_damaged",
                "{} has not the checksum that its description states; it is not given to devices",
                file.display()
            );
            return Err(QuestionError::Invalid);
        }
        Ok(package)
    }

    /// Tells devices what became assigned to them, or is no longer, since `old`.
    fn tell_assignments(&self, old: &Registry) {
        for (session, device) in self.sessions.all() {
            for kind in PackageKind::ALL {
                let downlink = match (
                    old.assigned(device, kind),
                    self.registry.assigned(device, kind),
                ) {
                    (before, after) if before == after => continue,
                    (_, Some(entry)) => Downlink::Attributes {
                        updated: entry.attributes(),
                        requested: false,
                    },
                    (_, None) => {
                        let names = ["title", "version", "tag", "url"];
                        let names = names.map(|name| kind.attribute(name));
                        Downlink::AttributesDeleted(names.to_vec())
                    }
                };
                self.sink.deliver(session, downlink).ok();
            }
        }
    }

    fn call(&mut self, now: Now, call: RpcCall) {
        let Some(session) = self.sessions.of_endpoint(&call.endpoint) else {
            return end(call.done, Err(RpcError::UnknownEndpoint));
        };
        if self.rpcs.len() >= MAX_OPEN_RPC {
            self.forget_abandoned();
            if self.rpcs.len() >= MAX_OPEN_RPC {
                return end(call.done, Err(RpcError::Busy));
            }
        }
        self.last_request = self.last_request.wrapping_add(1);
        let id = RpcId {
            request: self.last_request,
            uuid: Uuid::new_v4(),
        };
        self.rpcs.insert(id.uuid, call.done);
        let request = RpcRequest {
            id,
            method: call.method,
            params: call.params,
            expires: now.wall.plus(call.timeout),
            oneway: false,
            persisted: false,
        };
        match self.sink.deliver(session, Downlink::Rpc(request)) {
            Ok(()) => {}
            Err(Undeliverable::UnknownSession(_)) => {
                self.finish(id.uuid, Err(RpcError::UnknownEndpoint));
            }
            Err(Undeliverable::Full(_)) => self.finish(id.uuid, Err(RpcError::Busy)),
        }
    }

    /// What comes of attributes from outside.
    fn share_call(
        &mut self,
        now: Now,
        endpoint: &str,
        changes: Map<String, Json>,
    ) -> Result<Map<String, Json>, RpcError> {
        if !self.is_known(endpoint) {
            return Err(RpcError::UnknownEndpoint);
        }
        self.share(now, endpoint, changes)
            .map_err(|TooMany| RpcError::TooManyAttributes)?;
        Ok(self.shared.all(endpoint))
    }

    /// Changes shared attributes, and tells the device if it is registered.
    fn share(
        &mut self,
        now: Now,
        endpoint: &str,
        changes: Map<String, Json>,
    ) -> Result<(), TooMany> {
        let updated = self.shared.change(endpoint, changes, now.wall)?;
        if let Some(session) = self.sessions.of_endpoint(endpoint)
            && !updated.is_empty()
        {
            let told = Downlink::Attributes {
                updated,
                requested: false,
            };
            // A device that has gone meanwhile asks when it comes again.
            self.sink.deliver(session, told).ok();
        }
        Ok(())
    }

    /// Takes over the shared attributes in which the files differ from `old`.
    fn share_files(&mut self, old: &Registry) {
        for endpoint in old.endpoints() {
            if !self.registry.has_endpoint(endpoint) {
                self.shared.forget(endpoint);
            }
        }
        let now = (self.clock)();
        for (endpoint, changes) in self.registry.shared_since(old) {
            if self.share(now, &endpoint, changes).is_err() {
                tracing::error!(
                    event = "shared_attributes_refused",
                    endpoint,
                    "an endpoint has at most {MAX_ATTRIBUTES} shared attributes; those of its file are left out"
                );
            }
        }
    }

    /// Whether an endpoint is registered or in a file.
    fn is_known(&self, endpoint: &str) -> bool {
        self.registry.has_endpoint(endpoint) || self.sessions.of_endpoint(endpoint).is_some()
    }

    fn finish(&mut self, rpc: Uuid, result: Result<RpcBody, RpcError>) {
        if let Some(done) = self.rpcs.remove(&rpc) {
            end(done, result);
        }
    }

    fn forget_abandoned(&mut self) {
        self.rpcs.retain(|_, done| !done.is_closed());
    }

    fn flush(&mut self) {
        let outcome = match self.output.flush() {
            Ok(()) => {
                self.output_fails = false;
                Outcome::Durable
            }
            Err(error) => {
                self.output_failed(&error);
                Outcome::Unavailable
            }
        };
        for (id, reply_to) in self.unflushed.drain(..) {
            reply_to.reply(Reply::Done { id, outcome });
        }
    }

    /// Logs the first of a row of failures.
    fn output_failed(&mut self, error: &io::Error) {
        if !self.output_fails {
            tracing::error!(
                event = "output_failed",
                %error,
                "{} cannot be written; readings stay unacknowledged",
                self.settings.output
            );
        }
        self.output_fails = true;
    }

    /// Takes over what changed in the folder.
    fn poll(&mut self) {
        self.forget_abandoned();
        let mut problems = Vec::new();
        let changed = self.folder.refresh(&mut problems);
        log_problems(&problems);
        if !changed {
            return;
        }
        match Registry::build(&self.folder, &self.settings) {
            Ok(registry) => {
                let changes = registry.changes_since(&self.registry);
                let old = std::mem::replace(&mut self.registry, registry);
                self.tell_assignments(&old);
                tracing::info!(
                    event = "registry_reloaded",
                    changes = changes.len(),
                    "registry read again"
                );
                for (scope, change) in changes {
                    self.sink.broadcast(scope, &change);
                }
                self.share_files(&old);
            }
            Err(problems) => log_problems(&problems),
        }
    }
}

/// Reads a folder for the first time.
///
/// # Errors
/// Everything that is wrong in it.
pub(super) fn read(settings: &EmbeddedSettings) -> Result<(Folder, Registry), Vec<Problem>> {
    let mut folder = Folder::new(settings.registry_dir.clone());
    let mut problems = Vec::new();
    folder.refresh(&mut problems);
    match Registry::build(&folder, settings) {
        Ok(registry) if problems.is_empty() => Ok((folder, registry)),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

/// A caller that has gone needs no answer.
fn end(done: RpcDone, result: Result<RpcBody, RpcError>) {
    done.send(result).ok();
}

fn log_problems(problems: &[Problem]) {
    for problem in problems {
        tracing::error!(
            event = "registry_invalid",
            "{problem}; the former content stays"
        );
    }
}

/// How often the folder is looked at.
pub(super) const POLL_PERIOD: Duration = Duration::from_secs(2);
/// Messages that are handled between two looks at the clock and writes of the output.
const BATCH: usize = 256;
/// Commands that may be open at a time.
const MAX_OPEN_RPC: usize = 10_000;
/// Events that a slow receiver may lag behind.
const EVENTS: usize = 1024;

#[cfg(test)]
mod tests {
    use crate::platform::{
        PlatformId, RequestId, SessionId, SessionInfo,
        downlink::Scope,
        embedded::test_support::{Endpoints, PROFILE, RegistryFolder, Replies, clock, device},
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
        let Ok(full) = Output::open(&super::super::OutputTarget::JsonLines("/dev/full".into()))
        else {
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

    /// Key, number, milliseconds after the fixture's time, of what the device was told; and whether it had asked.
    type Told = (Vec<(String, KeyValue, i64)>, bool);

    fn told(fixture: &Fixture) -> Vec<Told> {
        let delivered = std::mem::take(&mut *fixture.endpoints.delivered.lock().unwrap());
        let told = delivered.into_iter().map(|downlink| {
            let Downlink::Attributes { updated, requested } = downlink else {
                panic!("no attributes: {downlink:?}");
            };
            let updated = updated.into_iter();
            let updated = updated.map(|(key, value, ts)| (key, value, ts.0 - clock().wall.0));
            (updated.collect(), requested)
        });
        told.collect()
    }

    #[test]
    fn attributes_wait_for_the_device_and_reach_it_while_it_is_registered() {
        let mut fixture = fixture();
        let level = |value, ts| ("batteryLevel".to_owned(), KeyValue::Long(value), ts);
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
        assert_eq!(told(&fixture), [(vec![level(7, 0)], true)]);
        assert_eq!(
            set(&mut fixture, "ep-1", r#"{"batteryLevel":8,"other":null}"#),
            r#"{"batteryLevel":8}"#
        );
        assert_eq!(told(&fixture), [(vec![level(8, 1)], false)]);
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
        let level = ("batteryLevel".to_owned(), KeyValue::Long(8), 2);
        assert_eq!(told(&fixture), [(vec![level], false)]);
        fixture.folder.write("devices/a.json", &with("{}"));
        fixture.worker.poll();
        assert_eq!(set(&mut fixture, "ep-1", "{}"), "{}");
    }

    #[test]
    fn wanted_attributes_may_be_none() {
        let mut fixture = fixture();
        let session = fixture.register();
        let keys = vec!["batteryLevel".to_owned()];
        fixture.submit(Uplink::AttributesWanted { session, keys });
        assert_eq!(told(&fixture), [(Vec::new(), true)]);
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

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

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
            Some(Downlink::AttributesDeleted(keys(&[
                "fw_title",
                "fw_version",
                "fw_tag",
                "fw_url"
            ])))
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
}
