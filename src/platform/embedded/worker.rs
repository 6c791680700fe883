//! The thread of the embedded platform: the one place that holds registry, sessions and open RPC.

use std::{
    collections::HashMap,
    io, iter,
    sync::{Arc, mpsc::RecvTimeoutError},
    time::Duration,
};

use serde_json::{Map, Value as Json};
use tokio::sync::{broadcast, oneshot};
use uuid::Uuid;

use crate::platform::{
    Answer, DeviceInfo, Downlink, DownlinkSink, Outcome, Question, QuestionError, Reply, ReplyTo,
    RpcRequest, Undeliverable, Uplink, UplinkId,
    package::PackageKind,
    time::{Clock, Now},
    uplink::{RpcBody, RpcId, RpcStatus},
};

use super::{
    RpcError,
    event::{Event, EventKind},
    folder::{Folder, Problem},
    output::Output,
    package::PackageEntry,
    package_files::PackageFiles,
    queue::MessageReceiver,
    registry::Registry,
    sessions::Sessions,
    settings::EmbeddedSettings,
    shared::{Attribute, Changed, MAX_ATTRIBUTES, SharedAttributes, TooMany},
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
    packages: PackageFiles,
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
            packages: PackageFiles::new(package_cache_bytes),
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
                let mut updated = self.of_packages(&session.device, keys);
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
                let named = self.registry.device(*device);
                let device = named.or_else(|| self.sessions.device(*device));
                let entry = device.and_then(|device| self.registry.assigned(device, *kind));
                let entry = entry.ok_or(QuestionError::NotFound)?;
                if entry.url.is_some() {
                    return Err(QuestionError::Invalid);
                }
                Ok(Answer::Package(entry.info()))
            }
            Question::PackageBytes(id) => {
                let found = self.registry.package(*id);
                let (entry, file) = found.ok_or(QuestionError::NotFound)?;
                let bytes = self.packages.bytes(*id, entry, &file);
                bytes.map(Answer::PackageBytes)
            }
        }
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
        let Some((session, _)) = self.sessions.of_endpoint(&call.endpoint) else {
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
        let Changed {
            mut set,
            mut removed,
        } = self.shared.change(endpoint, changes, now.wall)?;
        if let Some((session, device)) = self.sessions.of_endpoint(endpoint) {
            // What was set from outside hid what an assigned package says.
            let shown = self.of_packages(device, &removed);
            removed.retain(|key| shown.iter().all(|(own, ..)| own != key));
            set.extend(shown);
            let deleted = (!removed.is_empty()).then_some(Downlink::AttributesDeleted(removed));
            let updated = (!set.is_empty()).then_some(Downlink::Attributes {
                updated: set,
                requested: false,
            });
            for told in deleted.into_iter().chain(updated) {
                // A device that has gone meanwhile asks when it comes again.
                self.sink.deliver(session, told).ok();
            }
        }
        Ok(())
    }

    /// Those of these attributes that the packages assigned to a device bring.
    fn of_packages(&self, device: &DeviceInfo, keys: &[String]) -> Vec<Attribute> {
        let kinds = PackageKind::ALL.into_iter();
        let assigned = kinds.filter_map(|kind| self.registry.assigned(device, kind));
        let mut attributes: Vec<_> = assigned.flat_map(PackageEntry::attributes).collect();
        attributes.retain(|(key, ..)| keys.contains(key));
        attributes
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
                self.packages
                    .retain(|id| self.registry.package(id).is_some());
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
mod tests;
