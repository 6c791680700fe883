//! What all threads of the Kafka side share: uplinks to records, in the order of each device.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::super::{
    downlink::{DownlinkSink, ReplyTo},
    session::{DeviceInfo, PlatformId, SessionInfo},
    time::{Now, UnixMillis},
    uplink::{
        KeyValue, Outcome, QuestionError, RejectReason, RpcStatus, SubmitError, Uplink, UplinkId,
    },
};
use super::{
    activity::{Sessions, Word},
    caches::{Allowance, Caches, NoRoute, Route, session_of},
    clock,
    convert::{CoreMessage, RuleEngineMessage, core_message, rule_engine_message},
    limits::{Cost, Limiter, TenantLimits},
    package_store::PackageStore,
    partition::partition,
    producer::{Producer, Record, Refusal},
    question::Asker,
    receipt::{Deadlines, Receipt, expire_all},
    request::Requests,
    settings::ThingsBoardSettings,
    stats::{Counter, FailureReason, RecordKind, Stats},
    sync::lock,
    topic_keeper::{TopicKeeper, TopicKind},
    topics::{Topics, record_key},
    usage::UsageCounter,
    waiting::Waiting,
};

/// The shared state. Locks are held for moments and never while a reply goes out.
pub(super) struct Engine {
    pub(super) settings: ThingsBoardSettings,
    pub(super) topics: Topics,
    pub(super) sink: Arc<dyn DownlinkSink>,
    pub(super) producer: Producer,
    pub(super) keeper: TopicKeeper,
    pub(super) stats: Arc<Stats>,
    pub(super) caches: Mutex<Caches>,
    /// Signalled when the routing table changes.
    pub(super) routing_changed: Condvar,
    pub(super) requests: Mutex<Requests<Asker>>,
    pub(super) sessions: Mutex<Sessions>,
    pub(super) limiter: Mutex<Limiter>,
    pub(super) usage: Arc<UsageCounter>,
    pub(super) packages: PackageStore,
    deadlines: Mutex<Deadlines>,
    next_attribute_request: AtomicI32,
    stopped: AtomicBool,
}

impl Engine {
    pub(super) fn new(
        settings: ThingsBoardSettings,
        topics: Topics,
        sink: Arc<dyn DownlinkSink>,
        producer: Producer,
        keeper: TopicKeeper,
        packages: PackageStore,
        stats: Arc<Stats>,
    ) -> Self {
        let timeout = Duration::from_millis(settings.kafka.api_timeout_ms.into());
        Self {
            topics,
            sink,
            producer,
            keeper,
            stats,
            packages,
            caches: Mutex::new(Caches::new(&settings.kafka, settings.core_version)),
            routing_changed: Condvar::new(),
            requests: Mutex::new(Requests::new(timeout, settings.kafka.api_max_pending)),
            sessions: Mutex::new(Sessions::new(settings.activity)),
            limiter: Mutex::default(),
            usage: Arc::new(UsageCounter::new(settings.usage)),
            deadlines: Mutex::default(),
            next_attribute_request: AtomicI32::new(1),
            stopped: AtomicBool::new(false),
            settings,
        }
    }

    /// Accepts an uplink, see [`super::super::uplink::Platform::submit`].
    pub(super) fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
        if self.stopped.load(Relaxed) {
            return Err(SubmitError::Stopped);
        }
        let now = clock::now();
        if let Uplink::Question { id, question } = uplink {
            return self.question(now, id, question, reply_to);
        }
        let waits = uplink_id(&uplink).map(|id| (id, Arc::clone(reply_to)));
        let bill = session_of(&uplink)
            .zip(data_points(&uplink))
            .and_then(|(session, points)| self.usage.bill(&session.device, points));
        let receipt = Receipt::new(waits, bill).map(Arc::new);
        self.submit_in_session(now, uplink, receipt)
    }

    fn submit_in_session(
        &self,
        now: Now,
        uplink: Uplink,
        receipt: Option<Arc<Receipt>>,
    ) -> Result<(), SubmitError> {
        let Some(session) = session_of(&uplink) else {
            return Ok(());
        };
        let device = session.device.device;
        let mut caches = lock(&self.caches);
        let route = caches.route(now.mono, session);
        let in_line = caches.room.has_line(device);
        match route {
            Ok(route) if !in_line => {
                drop(caches);
                let sent = self.transmit(now, &uplink, &route, receipt.as_ref());
                if let (Err(_), Some(receipt)) = (sent, &receipt) {
                    receipt.cancel();
                }
                sent?;
                if let Some(receipt) = receipt {
                    self.watch(now, &receipt);
                    receipt.end_part(Outcome::Durable);
                }
            }
            Err(NoRoute::Nowhere) if !in_line => {
                drop(caches);
                self.lead_nowhere(&uplink, receipt.as_ref());
            }
            Ok(_) | Err(_) => {
                let waiting = Waiting {
                    uplink,
                    receipt: receipt.clone(),
                };
                let joined = caches.room.join(device, waiting);
                drop(caches);
                if let Err(NoRoute::Wait(questions)) = route {
                    self.ask_all(questions);
                }
                joined.map_err(|_| SubmitError::Busy)?;
                if let Some(receipt) = receipt {
                    self.watch(now, &receipt);
                }
            }
        }
        Ok(())
    }

    /// Gives a receipt its deadline; at once if the end has come.
    fn watch(&self, now: Now, receipt: &Arc<Receipt>) {
        if receipt.is_awaited() && !lock(&self.deadlines).add(now.mono, receipt) {
            receipt.expire();
        }
    }

    /// Lets out the uplinks whose way has become known.
    pub(super) fn release(&self) {
        let devices = lock(&self.caches).room.devices();
        for device in devices {
            self.release_device(device);
        }
    }

    fn release_device(&self, device: PlatformId) {
        if !lock(&self.caches).room.open(device) {
            return;
        }
        loop {
            let now = clock::now();
            let mut caches = lock(&self.caches);
            let session = caches
                .room
                .first(device)
                .and_then(session_of)
                .map(Arc::clone);
            let route = session.map(|session| caches.route(now.mono, &session));
            let (route, questions) = match route {
                None => (None, Vec::new()),
                Some(Ok(route)) => (Some(Some(route)), Vec::new()),
                Some(Err(NoRoute::Nowhere)) => (Some(None), Vec::new()),
                Some(Err(NoRoute::Wait(questions))) => (None, questions),
            };
            let Some(route) = route else {
                caches.room.close(device);
                drop(caches);
                self.ask_all(questions);
                return;
            };
            let waiting = caches.room.leave(device);
            drop(caches);
            let Some(Waiting { uplink, receipt }) = waiting else {
                continue;
            };
            match route {
                Some(route) => {
                    let sent = self.transmit(now, &uplink, &route, receipt.as_ref());
                    if let Some(receipt) = receipt {
                        receipt.end_part(if sent.is_ok() {
                            Outcome::Durable
                        } else {
                            Outcome::Unavailable
                        });
                    }
                }
                None => self.lead_nowhere(&uplink, receipt.as_ref()),
            }
        }
    }

    /// An uplink for which there is neither profile nor tenant nor queue.
    fn lead_nowhere(&self, uplink: &Uplink, receipt: Option<&Arc<Receipt>>) {
        if let Uplink::SessionClosed { session } = uplink {
            // Without a heartbeat the core, if it knows it still, closes it by itself.
            lock(&self.sessions).closed(session.id);
        }
        self.stats
            .failed(kind_of(uplink), FailureReason::TopicMissing);
        if let Some(receipt) = receipt {
            receipt.end_part(Outcome::Unavailable);
        }
    }

    /// Whether the tenant's state and limits let an uplink pass; takes from the limits what it costs.
    ///
    /// The begin and the end of a session pass in any case: of one that the core does not know its device could not be
    /// reached later, and one that it does not close looks connected.
    fn admits(&self, now: Now, uplink: &Uplink, route: &Route) -> bool {
        let Some((device, cost)) = charge_of(uplink) else {
            return true;
        };
        let reason = self.objection(now, device.tenant, device.device, &route.allowance, cost);
        match reason.filter(|_| !is_of_session(uplink)) {
            Some(counter) => {
                counter.add();
                false
            }
            None => true,
        }
    }

    /// What stands against a message of a device, as the counter of what it stands against. Takes from the limits what
    /// the message costs.
    pub(super) fn objection(
        &self,
        now: Now,
        tenant: PlatformId,
        device: PlatformId,
        allowance: &Allowance,
        cost: Cost,
    ) -> Option<&Counter> {
        let limits = &*allowance.limits;
        if !allowance.enabled {
            Some(&self.stats.forbidden)
        } else if *limits == TenantLimits::default() {
            None
        } else {
            let passes = lock(&self.limiter).take(now.mono, tenant, device, limits, cost);
            (!passes).then_some(&self.stats.limited)
        }
    }

    /// Writes the records of an uplink, if it may pass. The receipt's own part stays open.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] when nothing of the uplink was taken and the producer has no room.
    fn transmit(
        &self,
        now: Now,
        uplink: &Uplink,
        route: &Route,
        receipt: Option<&Arc<Receipt>>,
    ) -> Result<(), SubmitError> {
        if !self.admits(now, uplink, route) {
            if let Some(receipt) = receipt {
                receipt.add_part();
                receipt.end_part(Outcome::Rejected(RejectReason::Limit));
            }
            return Ok(());
        }
        let written = self.write(now, uplink, route, receipt);
        if written.is_err()
            && !is_of_session(uplink)
            && let Some((device, cost)) = charge_of(uplink)
        {
            // The device comes again, and pays then.
            lock(&self.limiter).give_back(device.tenant, device.device, cost);
        }
        written
    }

    /// Writes the records of an uplink; see [`Self::transmit`].
    fn write(
        &self,
        now: Now,
        uplink: &Uplink,
        route: &Route,
        receipt: Option<&Arc<Receipt>>,
    ) -> Result<(), SubmitError> {
        let kind = kind_of(uplink);
        let to_core = |session, message| match self.to_core(session, kind, message, receipt) {
            // It would be too large the next time as well.
            Ok(()) | Err(Refusal::TooLarge) => Ok(()),
            Err(Refusal::Busy) => Err(SubmitError::Busy),
        };
        match uplink {
            Uplink::SessionOpened { session } => {
                let mut sessions = lock(&self.sessions);
                sessions.opened(now, session);
                if to_core(session, CoreMessage::Opened).is_err() {
                    sessions.open_soon(session.id);
                }
                Ok(())
            }
            Uplink::SessionClosed { session } => {
                // Under the lock, so that no heartbeat comes after it. A core that cannot be told closes it by itself.
                let mut sessions = lock(&self.sessions);
                sessions.closed(session.id);
                to_core(session, CoreMessage::Closed)
            }
            Uplink::Activity {
                session,
                last_activity,
                heartbeat,
            } => {
                let mut sessions = lock(&self.sessions);
                sessions.active(now, session, *last_activity);
                if *heartbeat {
                    sessions.revive(session.id);
                }
                Ok(())
            }
            Uplink::BootstrapReport {
                session,
                last_activity,
            } => to_core(session, CoreMessage::BootstrapReport(*last_activity)),
            Uplink::Telemetry {
                session, readings, ..
            } => {
                lock(&self.sessions).active(now, session, now.wall);
                let groups = readings
                    .iter()
                    .map(|readings| (Some(readings.ts), readings.values.as_slice()));
                self.to_rule_engine(now, session, kind, route, receipt, groups)
            }
            Uplink::Attributes {
                session, values, ..
            } => {
                lock(&self.sessions).active(now, session, now.wall);
                let group = std::iter::once((None, values.as_slice()));
                self.to_rule_engine(now, session, kind, route, receipt, group)
            }
            Uplink::RpcStatus {
                session,
                rpc,
                status,
            } => {
                if *status == RpcStatus::Delivered {
                    lock(&self.sessions).active(now, session, now.wall);
                }
                to_core(
                    session,
                    CoreMessage::RpcStatus {
                        rpc: *rpc,
                        status: *status,
                    },
                )
            }
            Uplink::RpcReply { session, rpc, body } => {
                lock(&self.sessions).active(now, session, now.wall);
                to_core(session, CoreMessage::RpcReply { rpc: *rpc, body })
            }
            Uplink::AttributesWanted { session, keys } => {
                lock(&self.sessions).active(now, session, now.wall);
                let request = self.next_attribute_request.fetch_add(1, Relaxed);
                to_core(session, CoreMessage::AttributesWanted { request, keys })
            }
            Uplink::PendingRpcWanted { session } => to_core(session, CoreMessage::PendingRpcWanted),
            Uplink::Question { .. } => Ok(()),
        }
    }

    /// Writes a message for the actor of the session's device.
    ///
    /// # Errors
    /// [`Refusal`] when the producer does not take it.
    pub(super) fn to_core(
        &self,
        session: &SessionInfo,
        kind: RecordKind,
        message: CoreMessage<'_>,
        receipt: Option<&Arc<Receipt>>,
    ) -> Result<(), Refusal> {
        let device = session.device.device.0;
        let core = &self.settings.core;
        let topic = self
            .topics
            .core(partition(device, core.partitions, core.hash_function));
        self.keeper.ensure(&topic, TopicKind::Core);
        let record = Record {
            topic,
            key: record_key(device),
            value: core_message(session, &self.settings.service_id, message),
        };
        self.producer.send(&record, kind, receipt)
    }

    /// Writes one message per group of values, in every partition if the queue wants that.
    fn to_rule_engine<'a>(
        &self,
        now: Now,
        session: &SessionInfo,
        kind: RecordKind,
        route: &Route,
        receipt: Option<&Arc<Receipt>>,
        groups: impl Iterator<Item = (Option<UnixMillis>, &'a [(String, KeyValue)])>,
    ) -> Result<(), SubmitError> {
        let first = partition(
            session.device.device.0,
            route.queue.partitions,
            self.settings.core.hash_function,
        );
        let others = (0..route.queue.partitions).filter(|other| *other != first);
        let partitions: Vec<u32> = std::iter::once(first)
            .chain(others.filter(|_| route.queue.duplicate))
            .collect();
        let mut taken = false;
        for (ts, values) in groups {
            let correlation = Uuid::new_v4();
            for number in &partitions {
                let topic = self.topics.queue(&route.queue.topic, route.owner, *number);
                self.keeper.ensure(&topic, TopicKind::RuleEngine);
                let message = RuleEngineMessage {
                    id: Uuid::new_v4(),
                    session,
                    telemetry: ts,
                    values,
                    rule_chain: route.rule_chain,
                    created: now.wall,
                    copy: route.queue.duplicate.then_some((correlation, *number)),
                };
                let record = Record {
                    topic,
                    key: record_key(message.id),
                    value: rule_engine_message(&message, route.form),
                };
                match self.producer.send(&record, kind, receipt) {
                    Ok(()) => taken = true,
                    Err(Refusal::Busy) if !taken => return Err(SubmitError::Busy),
                    // The receipt has the outcome of this record; the others may still go.
                    Err(Refusal::Busy | Refusal::TooLarge) => {}
                }
            }
        }
        Ok(())
    }

    /// Answers the uplinks whose device has waited long enough.
    pub(super) fn expire_uplinks(&self, now: Instant) {
        let due = lock(&self.deadlines).due(now);
        expire_all(due);
    }

    /// Writes the activity reports and heartbeats that are due.
    pub(super) fn report_activity(&self, now: Now) {
        // Under the lock, so that no heartbeat comes after the session was closed.
        let mut sessions = lock(&self.sessions);
        for due in sessions.due(now) {
            let (kind, message) = match due.word {
                Word::Heartbeat(at) => (RecordKind::Activity, CoreMessage::Heartbeat(at)),
                Word::Open => (RecordKind::Session, CoreMessage::Opened),
                Word::Report(at) => (RecordKind::Activity, CoreMessage::Activity(at)),
            };
            if self.to_core(&due.session, kind, message, None).is_err() {
                match due.word {
                    Word::Heartbeat(_) => sessions.revive(due.session.id),
                    Word::Open => sessions.open_soon(due.session.id),
                    // The next one makes up for it.
                    Word::Report(_) => {}
                }
            }
        }
    }

    /// Refuses new uplinks and answers all that wait.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        let askers = lock(&self.requests).close_all();
        for asker in askers {
            self.answered(asker, Err(QuestionError::Unavailable));
        }
        let receipts = lock(&self.deadlines).close();
        expire_all(receipts);
    }
}

const fn uplink_id(uplink: &Uplink) -> Option<UplinkId> {
    match uplink {
        Uplink::Telemetry { id, .. } | Uplink::Attributes { id, .. } => *id,
        Uplink::SessionOpened { .. }
        | Uplink::SessionClosed { .. }
        | Uplink::Activity { .. }
        | Uplink::BootstrapReport { .. }
        | Uplink::RpcStatus { .. }
        | Uplink::RpcReply { .. }
        | Uplink::AttributesWanted { .. }
        | Uplink::PendingRpcWanted { .. }
        | Uplink::Question { .. } => None,
    }
}

/// How many values an uplink counts as in the usage of its tenant; `None` for what is not counted.
fn data_points(uplink: &Uplink) -> Option<usize> {
    match uplink {
        Uplink::Telemetry { readings, .. } => {
            Some(readings.iter().map(|readings| readings.values.len()).sum())
        }
        Uplink::Attributes { values, .. } => Some(values.len()),
        Uplink::RpcStatus { .. } | Uplink::RpcReply { .. } | Uplink::AttributesWanted { .. } => {
            Some(1)
        }
        Uplink::SessionOpened { .. }
        | Uplink::SessionClosed { .. }
        | Uplink::Activity { .. }
        | Uplink::BootstrapReport { .. }
        | Uplink::PendingRpcWanted { .. }
        | Uplink::Question { .. } => None,
    }
}

/// What an uplink takes from the limits, and of which device; `None`: nothing.
fn charge_of(uplink: &Uplink) -> Option<(&DeviceInfo, Cost)> {
    let cost = match uplink {
        Uplink::Telemetry { .. } | Uplink::Attributes { .. } => {
            Cost::Values(data_points(uplink).unwrap_or(0).max(1))
        }
        Uplink::SessionOpened { .. }
        | Uplink::SessionClosed { .. }
        | Uplink::RpcStatus { .. }
        | Uplink::RpcReply { .. }
        | Uplink::AttributesWanted { .. }
        | Uplink::PendingRpcWanted { .. } => Cost::Message,
        Uplink::Activity { .. } | Uplink::BootstrapReport { .. } | Uplink::Question { .. } => {
            return None;
        }
    };
    Some((&session_of(uplink)?.device, cost))
}

/// Whether it is the begin or the end of a session.
const fn is_of_session(uplink: &Uplink) -> bool {
    matches!(
        uplink,
        Uplink::SessionOpened { .. } | Uplink::SessionClosed { .. }
    )
}

const fn kind_of(uplink: &Uplink) -> RecordKind {
    match uplink {
        Uplink::SessionOpened { .. } | Uplink::SessionClosed { .. } => RecordKind::Session,
        Uplink::Activity { .. } | Uplink::BootstrapReport { .. } => RecordKind::Activity,
        Uplink::Telemetry { .. } => RecordKind::Telemetry,
        Uplink::Attributes { .. } => RecordKind::Attributes,
        Uplink::RpcStatus { .. } | Uplink::RpcReply { .. } | Uplink::PendingRpcWanted { .. } => {
            RecordKind::Rpc
        }
        Uplink::AttributesWanted { .. } => RecordKind::SharedAttributes,
        Uplink::Question { .. } => RecordKind::Question,
    }
}
