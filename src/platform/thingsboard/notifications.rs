//! Notifications from the core to endpoints and caches (`platform-wire.md` 4.10).

use std::sync::Arc;

use rdkafka::{Message, message::BorrowedMessage};
use tracing::{debug, warn};

use super::super::{
    downlink::{Downlink, RpcRequest, Scope, SessionCloseReason, Undeliverable},
    session::{DeviceInfo, PlatformId, SessionId},
    uplink::RpcBody,
};
use super::{
    book::Lookup,
    caches::Moved,
    clock,
    consumer::Handler,
    convert::{ApiQuestion, Broadcast, CoreMessage, EntityKind, Notification, notification},
    engine::Engine,
    model_desk::ModelKey,
    poison::Poison,
    stats::RecordKind,
    sync::lock,
};

/// Handles the records of the notification topic.
pub(super) struct Notifications {
    engine: Arc<Engine>,
    poison: Poison,
}

impl Notifications {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            poison: Poison::default(),
        }
    }
}

impl Handler for Notifications {
    type Item = Notification;

    fn read(&mut self, message: &BorrowedMessage<'_>) -> Option<Notification> {
        let stats = &self.engine.stats;
        stats.notifications.add();
        match notification(message.payload().unwrap_or_default()) {
            Ok(notification) => Some(notification),
            Err(error) => {
                self.poison
                    .note(&stats.unreadable_notifications, message, &error);
                None
            }
        }
    }

    /// Execute must not happen twice.
    fn at_most_once(&self, item: &Notification) -> bool {
        match item {
            Notification::Session(_, downlinks) => {
                downlinks.iter().any(|own| execute(own).is_some())
            }
            Notification::Broadcast(_) => false,
        }
    }

    fn handle(&mut self, item: Notification) {
        match item {
            Notification::Session(session, downlinks) => {
                for downlink in downlinks {
                    self.engine.deliver(session, downlink);
                }
            }
            Notification::Broadcast(broadcast) => self.engine.take_broadcast(broadcast),
        }
    }

    /// The core is told, as every command has an end; what else the notification holds is delivered.
    fn give_up(&mut self, item: Notification) {
        let Notification::Session(session, downlinks) = item else {
            return self.handle(item);
        };
        for downlink in downlinks {
            match execute(&downlink) {
                Some(request) => {
                    warn!(%session, rpc = %request.id.uuid, "an Execute was refused: its offset cannot be committed");
                    self.engine.refuse(session, request, NOT_ONCE);
                }
                None => self.engine.deliver(session, downlink),
            }
        }
    }
}

/// The command, if it is one that must not happen twice.
fn execute(downlink: &Downlink) -> Option<&RpcRequest> {
    let Downlink::Rpc(request) = downlink else {
        return None;
    };
    (request.method == "Execute").then_some(request)
}

impl Engine {
    fn deliver(&self, session: SessionId, downlink: Downlink) {
        if let Downlink::SessionClosed(reason) = &downlink {
            let mut sessions = lock(&self.sessions);
            match reason {
                // The endpoint lives on: its session is opened again.
                SessionCloseReason::Unknown
                | SessionCloseReason::SessionTimeout
                | SessionCloseReason::RpcDeliveryTimeout => sessions.revive(session),
                SessionCloseReason::CredentialsUpdated
                | SessionCloseReason::MaxConcurrentSessions => sessions.closed(session),
            }
        }
        match self.sink.deliver(session, downlink) {
            Ok(()) => {}
            Err(Undeliverable::UnknownSession(_)) => {
                self.stats.unknown_sessions.add();
                debug!(%session, "a notification is for a session that no endpoint holds");
            }
            Err(Undeliverable::Full(downlink)) => {
                self.stats.full_mailboxes.add();
                if let Downlink::Rpc(request) = *downlink {
                    self.refuse(session, &request, QUEUE_IS_FULL);
                }
            }
        }
    }

    /// Answers a command that reaches no endpoint with an error.
    fn refuse(&self, session: SessionId, request: &RpcRequest, error: &str) {
        let info = lock(&self.sessions).get(session);
        if let Some(info) = info {
            let body = RpcBody::Error(error.to_owned());
            let message = CoreMessage::RpcReply {
                rpc: request.id,
                body: &body,
            };
            if self.to_core(&info, RecordKind::Rpc, message, None).is_err() {
                debug!(%session, "a command was refused and the core could not be told");
            }
        }
    }

    fn take_broadcast(&self, broadcast: Broadcast) {
        let now = clock::now().mono;
        match broadcast {
            Broadcast::Ignored => {}
            Broadcast::Deleted(kind, id) => self.take_deletion(kind, id),
            Broadcast::Device { device, power } => {
                let device = Arc::new(device);
                let changed = Downlink::DeviceChanged {
                    device: Arc::clone(&device),
                    power,
                };
                self.sink.broadcast(Scope::Device(device.device), &changed);
                self.follow_move(now, &device);
            }
            Broadcast::DeviceProfile(record) => {
                let mut caches = lock(&self.caches);
                // One that nobody asked for concerns none of our devices.
                let known = caches.profiles.contains(&record.profile.id);
                let changed = known.then(|| caches.learn_profile(now, *record)).flatten();
                drop(caches);
                self.tell_profile(changed);
                self.release();
            }
            Broadcast::Model {
                owner,
                object,
                version,
            } => {
                let keys = lock(&self.caches).desk.changed(owner, object, version);
                self.ask_all(keys.into_iter().map(ModelKey::question));
            }
            Broadcast::QueuesDeleted(queues) => {
                let mut caches = lock(&self.caches);
                for (owner, name) in queues {
                    caches.routing.remove(owner, &name);
                }
            }
            Broadcast::QueuesSaved(queues) => {
                let mut caches = lock(&self.caches);
                for queue in queues {
                    caches.routing.insert(queue);
                }
                drop(caches);
                self.release();
            }
            Broadcast::Tenant(tenant) => {
                let ask = lock(&self.caches).tenants.ask_again(&tenant);
                self.ask_all(ask.then_some(ApiQuestion::Tenant(tenant)));
            }
            Broadcast::TenantProfile(profile) => {
                lock(&self.caches).learn_tenant_profile(&profile);
            }
            Broadcast::TenantState(state) => lock(&self.caches).learn_state(state),
        }
    }

    fn take_deletion(&self, kind: EntityKind, id: PlatformId) {
        match kind {
            EntityKind::Device => {
                self.sink
                    .broadcast(Scope::Device(id), &Downlink::DeviceDeleted);
            }
            EntityKind::DeviceProfile => lock(&self.caches).profiles.forget(&id),
            EntityKind::Tenant => {
                let mut caches = lock(&self.caches);
                caches.routing.remove_owner(id);
                caches.tenants.forget(&id);
                drop(caches);
                self.sink
                    .broadcast(Scope::Tenant(id), &Downlink::DeviceDeleted);
            }
            // No tenant has it any more.
            EntityKind::TenantProfile => {}
        }
    }

    /// Gives a device of ours its new profile, once that is known.
    fn follow_move(&self, now: std::time::Instant, device: &DeviceInfo) {
        let session = lock(&self.sessions).of_device(device.device);
        if session.is_none_or(|session| session.device.profile == device.profile) {
            return;
        }
        let mut caches = lock(&self.caches);
        let lookup = caches.profiles.look_up(now, &device.profile);
        let ask = lookup == Lookup::Ask;
        match lookup {
            Lookup::Found(record) => {
                drop(caches);
                let changed = Downlink::ProfileChanged(Arc::clone(&record.profile));
                self.sink.broadcast(Scope::Device(device.device), &changed);
            }
            Lookup::Absent => {}
            Lookup::Ask | Lookup::Asked => {
                caches.note_move(Moved {
                    device: device.device,
                    profile: device.profile,
                });
                drop(caches);
                self.ask_all(ask.then_some(ApiQuestion::DeviceProfile(device.profile)));
            }
        }
    }
}

/// `rulings.md` 2.11
const QUEUE_IS_FULL: &str =
    r#"{"result":"INTERNAL_SERVER_ERROR","error":"Downlink queue is full"}"#;
const NOT_ONCE: &str = r#"{"result":"INTERNAL_SERVER_ERROR","error":"It is not certain that this would happen only once"}"#;
