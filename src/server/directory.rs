//! Who is where: endpoint name, registration id, session and peer to the actor that owns them.
//!
//! One directory serves the process. The hot path does not come here: each shard keeps the peers of its own actors
//! (`shard.rs`) and asks only on a miss. Names are inserted or found atomically, so two Registers of one name that
//! arrive on two shards at once meet in one actor.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use actix::{Addr, prelude::SendError};
use tokio::sync::mpsc;

use crate::{
    endpoint::{
        EndpointName, Key, RegistrationId,
        actor::{EndpointActor, PlatformMessage},
    },
    platform::{
        Downlink, DownlinkSink, SessionId, SessionInfo, Undeliverable, downlink::Scope,
        package::PackageId, peer::PeerId,
    },
};

/// Where an endpoint lives: its actor, and the shard that runs it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointAddr {
    pub(crate) actor: Addr<EndpointActor>,
    pub(crate) shard: usize,
}

/// A control message under way to an endpoint of one shard.
pub(crate) type Control = (Addr<EndpointActor>, Downlink);

/// See the module's description.
#[derive(Debug)]
pub struct Directory {
    tables: RwLock<Tables>,
    /// Per shard: closes, profile and attribute updates wait here for room in a mailbox, so that a slow endpoint
    /// delays only its shard.
    control: Vec<mpsc::Sender<Control>>,
    /// Whether the sessions that were open before a restart are known.
    complete: Mutex<bool>,
    completed: Condvar,
}

/// How many endpoints there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Endpoint names with an actor.
    pub names: usize,
    /// Registrations in force.
    pub registered: usize,
    /// Of these, by [`SecurityMode::number`].
    ///
    /// [`SecurityMode::number`]: crate::platform::credentials::SecurityMode::number
    pub registered_by_mode: [usize; 4],
    /// Peers that lead to an endpoint: those of registrations in force, and of some that ended a moment ago.
    pub peers: usize,
}

impl Counts {
    /// Endpoints whose first registration is being decided: no peer leads to them yet.
    pub const fn registering(&self) -> usize {
        self.names.saturating_sub(self.peers)
    }
}

#[derive(Default)]
struct Tables {
    names: BTreeMap<EndpointName, EndpointAddr>,
    peers: HashMap<PeerId, EndpointAddr>,
    registrations: HashMap<RegistrationId, EndpointAddr>,
    /// How many of these there are, by the number of their security mode.
    registered: [usize; 4],
    sessions: HashMap<SessionId, (EndpointAddr, Arc<SessionInfo>)>,
    /// Packages that devices are to fetch.
    packages: HashMap<(PackageId, PeerId), EndpointAddr>,
    /// The addresses of those devices, and how many are there.
    origins: HashMap<(PackageId, IpAddr), usize>,
}

/// The address of a peer, IPv4 as such.
fn origin(peer: &PeerId) -> IpAddr {
    peer.remote().ip().to_canonical()
}

impl Directory {
    /// An empty directory; `control` has one queue per shard, which that shard empties.
    /// Until [`Self::complete`] is called, messages for sessions that are not known wait: these may be open, and about to
    /// be restored.
    pub(crate) fn new(control: Vec<mpsc::Sender<Control>>) -> Self {
        Self {
            tables: RwLock::default(),
            control,
            complete: Mutex::new(false),
            completed: Condvar::new(),
        }
    }

    /// Every session that was open before the start is known.
    pub(crate) fn complete(&self) {
        *self.complete.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.completed.notify_all();
    }

    fn await_complete(&self) {
        let complete = self.complete.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.completed
                .wait_while(complete, |complete| !*complete)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn by_session(&self, session: SessionId) -> Option<EndpointAddr> {
        let tables = self.read();
        tables.sessions.get(&session).map(|(addr, _)| addr.clone())
    }

    /// The actor of `name`; when there is none, the one that `spawn` makes. `None` when `spawn` declines.
    pub(crate) fn find_or_insert(
        &self,
        name: &EndpointName,
        spawn: impl FnOnce() -> Option<EndpointAddr>,
    ) -> Option<EndpointAddr> {
        let mut tables = self.write();
        match tables.names.get(name) {
            Some(addr) if addr.actor.connected() => Some(addr.clone()),
            Some(_) | None => {
                let addr = spawn()?;
                tables.names.insert(name.clone(), addr.clone());
                Some(addr)
            }
        }
    }

    /// Makes `key` lead to `addr`. Returns the other endpoint to which a peer led until then: the shard of that one may
    /// know the peer too.
    pub(crate) fn bind(&self, key: &Key, addr: &EndpointAddr) -> Option<EndpointAddr> {
        let mut tables = self.write();
        match key {
            Key::Peer(peer) => {
                let before = tables.peers.insert(*peer, addr.clone());
                return before.filter(|before| before != addr);
            }
            Key::Registration(id, mode) => {
                if tables.registrations.insert(*id, addr.clone()).is_none() {
                    tables.registered[usize::from(mode.number())] += 1;
                }
            }
            Key::Package(id, peer) => {
                if tables.packages.insert((*id, *peer), addr.clone()).is_none() {
                    *tables.origins.entry((*id, origin(peer))).or_default() += 1;
                }
            }
            Key::Session(session) => {
                tables
                    .sessions
                    .insert(session.id, (addr.clone(), Arc::clone(session)));
            }
        }
        None
    }

    /// Removes `key`, if it leads to `addr`.
    pub(crate) fn unbind(&self, key: &Key, addr: &EndpointAddr) {
        let mut tables = self.write();
        match key {
            Key::Peer(peer) => {
                if tables.peers.get(peer) == Some(addr) {
                    tables.peers.remove(peer);
                }
            }
            Key::Registration(id, mode) => {
                if tables.registrations.get(id) == Some(addr) {
                    tables.registrations.remove(id);
                    tables.registered[usize::from(mode.number())] -= 1;
                }
            }
            Key::Package(id, peer) => {
                if tables.packages.get(&(*id, *peer)) == Some(addr) {
                    tables.packages.remove(&(*id, *peer));
                    let place = (*id, origin(peer));
                    if let Some(count) = tables.origins.get_mut(&place) {
                        *count -= 1;
                        if *count == 0 {
                            tables.origins.remove(&place);
                        }
                    }
                }
            }
            Key::Session(session) => {
                if tables
                    .sessions
                    .get(&session.id)
                    .is_some_and(|(owner, _)| owner == addr)
                {
                    tables.sessions.remove(&session.id);
                }
            }
        }
    }

    /// Removes `name`, if it leads to `addr`.
    pub(crate) fn remove(&self, name: &EndpointName, addr: &EndpointAddr) {
        let mut tables = self.write();
        if tables.names.get(name) == Some(addr) {
            tables.names.remove(name);
        }
    }

    /// The actor bound to a peer.
    pub(crate) fn by_peer(&self, peer: &PeerId) -> Option<EndpointAddr> {
        self.read()
            .peers
            .get(peer)
            .filter(|addr| addr.actor.connected())
            .cloned()
    }

    /// The actor that gave out a registration id.
    pub(crate) fn by_registration(&self, id: &RegistrationId) -> Option<EndpointAddr> {
        self.read()
            .registrations
            .get(id)
            .filter(|addr| addr.actor.connected())
            .cloned()
    }

    /// The actor of an endpoint name.
    pub(crate) fn by_name(&self, name: &str) -> Option<EndpointAddr> {
        self.read()
            .names
            .get(name)
            .filter(|addr| addr.actor.connected())
            .cloned()
    }

    /// Every actor, in the order of names.
    pub(crate) fn actors(&self) -> Vec<Addr<EndpointActor>> {
        let tables = self.read();
        let actors = tables.names.values().map(|addr| &addr.actor);
        actors.filter(|actor| actor.connected()).cloned().collect()
    }

    /// Whether a package is assigned to the device at this peer; with `by_address`, to any device at its address.
    pub(crate) fn may_fetch(&self, id: PackageId, peer: &PeerId, by_address: bool) -> bool {
        let tables = self.read();
        tables.packages.contains_key(&(id, *peer))
            || (by_address && tables.origins.contains_key(&(id, origin(peer))))
    }

    /// How many endpoints there are.
    pub fn counts(&self) -> Counts {
        let tables = self.read();
        Counts {
            names: tables.names.len(),
            registered: tables.registrations.len(),
            registered_by_mode: tables.registered,
            peers: tables.peers.len(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DownlinkSink for Directory {
    fn deliver(&self, session: SessionId, downlink: Downlink) -> Result<(), Undeliverable> {
        let addr = self.by_session(session).or_else(|| {
            self.await_complete();
            self.by_session(session)
        });
        let Some(addr) = addr else {
            return Err(Undeliverable::UnknownSession(Box::new(downlink)));
        };
        if matches!(downlink, Downlink::Rpc(_)) {
            return addr
                .actor
                .try_send(PlatformMessage(downlink))
                .map_err(|error| match error {
                    SendError::Full(message) => Undeliverable::Full(Box::new(message.0)),
                    SendError::Closed(message) => {
                        Undeliverable::UnknownSession(Box::new(message.0))
                    }
                });
        }
        let Some(queue) = self.control.get(addr.shard) else {
            return Err(Undeliverable::UnknownSession(Box::new(downlink)));
        };
        queue
            .blocking_send((addr.actor, downlink))
            // The shard has stopped, and its endpoints with it.
            .map_err(|mpsc::error::SendError((_, downlink))| {
                Undeliverable::UnknownSession(Box::new(downlink))
            })
    }

    fn broadcast(&self, scope: Scope, downlink: &Downlink) {
        let targets: Vec<_> = self
            .read()
            .sessions
            .values()
            .filter(|(_, session)| match scope {
                Scope::Device(id) => session.device.device == id,
                Scope::Profile(id) => session.device.profile == id,
                Scope::Tenant(id) => session.device.tenant == id,
                Scope::All => true,
            })
            .map(|(addr, _)| addr.clone())
            .collect();
        for addr in targets {
            let Some(queue) = self.control.get(addr.shard) else {
                continue;
            };
            if queue.blocking_send((addr.actor, downlink.clone())).is_err() {
                return; // The shard has stopped, and its endpoints with it.
            }
        }
    }
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables")
            .field("names", &self.names.len())
            .field("sessions", &self.sessions.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use actix::{AsyncContext, Context};
    use uuid::Uuid;

    use crate::platform::session::{DeviceInfo, PlatformId};

    use super::*;

    fn session(id: SessionId) -> Arc<SessionInfo> {
        Arc::new(SessionInfo {
            id,
            device: Arc::new(DeviceInfo {
                tenant: PlatformId::NULL,
                customer: PlatformId::NULL,
                device: PlatformId::NULL,
                profile: PlatformId::NULL,
                name: "ep1".to_owned(),
                kind: "lw".to_owned(),
            }),
        })
    }

    #[test]
    fn nothing_but_commands_is_lost_when_a_shard_is_behind() {
        let (sender, mut queue) = mpsc::channel(1);
        let directory = Directory::new(vec![sender]);
        directory.complete();
        let context = Context::<EndpointActor>::new();
        let id = SessionId(Uuid::from_u128(1));
        let session = session(id);
        let addr = EndpointAddr {
            actor: context.address(),
            shard: 0,
        };
        directory.bind(&Key::Session(session), &addr);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..5 {
                    directory.deliver(id, Downlink::CredentialsChanged).unwrap();
                }
            });
            for _ in 0..5 {
                let (_, downlink) = queue.blocking_recv().unwrap();
                assert_eq!(downlink, Downlink::CredentialsChanged);
            }
        });
        drop(queue);
        let gone = directory.deliver(id, Downlink::CredentialsChanged);
        assert!(matches!(gone, Err(Undeliverable::UnknownSession(_))));
    }

    #[test]
    fn a_message_for_a_session_that_may_be_restored_waits() {
        let (sender, _queue) = mpsc::channel(1);
        let directory = Directory::new(vec![sender]);
        let session = session(SessionId(Uuid::from_u128(1)));
        let id = session.id;
        let context = Context::<EndpointActor>::new();
        let addr = EndpointAddr {
            actor: context.address(),
            shard: 0,
        };
        std::thread::scope(|scope| {
            let (done, delivered) = std::sync::mpsc::channel();
            let directory = &directory;
            scope.spawn(move || done.send(directory.deliver(id, Downlink::DeviceDeleted)));
            // Longer than it takes to see that there is no such session.
            let early = delivered.recv_timeout(std::time::Duration::from_millis(200));
            directory.bind(&Key::Session(session), &addr);
            directory.complete();
            assert!(early.is_err(), "it did not wait: {early:?}");
            assert_eq!(delivered.recv().unwrap(), Ok(()));
        });
    }
}
