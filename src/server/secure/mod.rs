//! DTLS on one shard and port: a socket, the engine behind it, and the way from a record to whoever handles what is in it.
//!
//! Everything here runs on the shard's Arbiter. A device keeps its association when its address changes, so its datagrams may
//! reach another shard than the one that has the association: connection ids name the shard, and the datagram is handed on.

mod desk;
mod outbound;
mod port;
mod table;

use std::{
    cell::{Cell, OnceCell, RefCell},
    fmt,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    dtls::{
        self, AssociationId, CloseReason, Config, CredentialAnswer, Output, PeerAddress,
        PrincipalTag, SendError, Stats,
    },
    platform::{
        Platform, Reply,
        credentials::Admission,
        name::EndpointName,
        peer::{Disconnect, Peer, PeerId, PeerIdentity, ServerRole},
        time::{Clock, Now, UnixMillis},
    },
};

use super::{
    Phase, deliver,
    keys::{BothKeys, Keys},
    listen,
    metrics::{self, Metrics},
    socket::{self, UdpTransport},
};

use desk::{Desk, Verdict};
use table::Associations;

pub(super) use outbound::{Command, Links, Transports};
pub(super) use port::{SecurePort, SecureShard};

/// Who sends a message, as far as the transport knows.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The sender.
    pub(super) peer: Peer,
    /// The endpoint that its credentials are for, where they have been looked at.
    pub(super) endpoint: Option<EndpointName>,
    /// What the platform said of it a moment ago.
    pub(super) admission: Option<Arc<Admission>>,
}

impl Caller {
    /// A device of which nothing more is known.
    pub(super) const fn of(peer: Peer) -> Self {
        Self {
            peer,
            endpoint: None,
            admission: None,
        }
    }

    /// A device on plain UDP.
    pub const fn unsecured(id: PeerId, role: ServerRole) -> Self {
        Self::of(Peer {
            id,
            role,
            identity: PeerIdentity::Unsecured,
        })
    }
}

/// Whoever handles what devices say.
pub(super) trait Upward {
    /// A device sent a message.
    fn receive(&self, caller: Caller, payload: Bytes);
    /// The security context of a peer is no more.
    fn disconnected(&self, peer: PeerId);
}

/// What the DTLS side of a shard and port is given.
pub(super) struct SecureParts {
    pub(super) role: ServerRole,
    /// With port and shard.
    pub(super) config: Config,
    pub(super) keys: watch::Receiver<BothKeys>,
    pub(super) platform: Arc<dyn Platform>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) links: Links,
}

/// What reaches the DTLS side of a shard other than by its socket.
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    replies: mpsc::UnboundedReceiver<Reply>,
}

/// See the module's description.
pub(super) struct Secure {
    parts: SecureParts,
    transport: Rc<UdpTransport>,
    engine: RefCell<dtls::Server>,
    desk: RefCell<Desk>,
    associations: RefCell<Associations>,
    /// A datagram, which the engine decrypts in place.
    buffer: RefCell<Vec<u8>>,
    upward: OnceCell<Weak<dyn Upward>>,
    /// Outputs are being worked off.
    draining: Cell<bool>,
    /// What the timer is set to.
    armed: Cell<Option<Instant>>,
    /// The timer is set too late.
    earlier: Notify,
    published: Cell<Stats>,
}

impl Secure {
    /// An engine on the current Arbiter, and what feeds it beside the socket. `random` is for it alone.
    pub(super) fn new(
        parts: SecureParts,
        transport: UdpTransport,
        random: Box<dyn dtls::Random>,
        commands: mpsc::Receiver<Command>,
    ) -> (Rc<Self>, Inbox) {
        let now = (parts.clock)();
        let config = Arc::new(parts.config.clone());
        let wall = since_1970(now.wall);
        let mut engine = dtls::Server::new(Arc::clone(&config), random, now.mono, wall);
        let Keys { credentials, trust } = parts.keys.borrow().of(parts.role).clone();
        engine.set_credentials(credentials, trust);
        let (reply_to, replies) = deliver::reply_channel();
        let associations = Associations::new(config.shard, parts.role, config.max_associations);
        let secure = Rc::new(Self {
            desk: RefCell::new(Desk::new(Arc::clone(&parts.platform), reply_to)),
            parts,
            transport: Rc::new(transport),
            engine: RefCell::new(engine),
            associations: RefCell::new(associations),
            buffer: RefCell::default(),
            upward: OnceCell::new(),
            draining: Cell::new(false),
            armed: Cell::new(None),
            earlier: Notify::new(),
            published: Cell::default(),
        });
        (secure, Inbox { commands, replies })
    }

    /// Starts to receive, and hands what devices say to `upward`.
    pub(super) fn start(self: &Rc<Self>, inbox: Inbox, upward: Rc<dyn Upward>) {
        if self.upward.set(Rc::downgrade(&upward)).is_err() {
            return;
        }
        actix::spawn(Rc::clone(&self.transport).send_queued());
        actix::spawn(Rc::clone(self).receive());
        actix::spawn(Rc::clone(self).run(inbox));
    }

    /// The shard it belongs to.
    pub(super) const fn shard(&self) -> u8 {
        self.parts.config.shard
    }

    /// Sends on an association of this shard.
    pub(super) fn send(&self, id: AssociationId, payload: &[u8]) {
        let now = (self.parts.clock)().mono;
        let sent = self.engine.borrow_mut().send(now, id, payload);
        match sent {
            Ok(()) => {}
            Err(SendError::Closed | SendError::Unconfirmed | SendError::TooLarge { .. }) => {
                self.parts
                    .metrics
                    .udp_dropped
                    .of(metrics::DropReason::Association)
                    .inc();
            }
        }
        self.drain();
    }

    /// Ends an association of this shard.
    pub(super) fn disconnect(&self, id: AssociationId, cause: Disconnect) {
        let now = (self.parts.clock)().mono;
        match cause {
            Disconnect::Replaced => self.engine.borrow_mut().close(now, id),
            Disconnect::Withdrawn(_) => self.engine.borrow_mut().invalidate_association(now, id),
        }
        self.drain();
    }

    /// The credentials of an endpoint were withdrawn: nobody registers by what the platform said of them before.
    fn withdraw(&self, endpoint: &EndpointName) {
        let now = (self.parts.clock)().mono;
        let concerned = self.associations.borrow().by_old_answer(endpoint);
        for id in concerned {
            self.engine.borrow_mut().invalidate_association(now, id);
        }
        self.drain();
    }

    /// The device of an association has registered, or is being bootstrapped.
    pub(super) fn admitted(&self, id: AssociationId) {
        self.associations.borrow_mut().admit(id);
    }

    async fn receive(self: Rc<Self>) {
        let phase = self.parts.phase.clone();
        listen::receive(&self.transport, phase, &self.parts.metrics, |datagram| {
            self.take(datagram);
        })
        .await;
    }

    /// Does what is due, and what others ask for.
    async fn run(self: Rc<Self>, mut inbox: Inbox) {
        let mut keys = self.parts.keys.clone();
        loop {
            let due = self.due();
            self.armed.set(due);
            let wait = due.map_or(IDLE, |due| {
                due.saturating_duration_since((self.parts.clock)().mono)
            });
            tokio::select! {
                () = self.earlier.notified() => {}
                () = tokio::time::sleep(wait) => self.handle_timeout(),
                Some(reply) = inbox.replies.recv() => {
                    let decided = self.desk.borrow_mut().answer(reply);
                    if let Some((id, verdict)) = decided {
                        self.decide(id, verdict);
                        self.drain();
                    }
                }
                Some(command) = inbox.commands.recv() => self.perform_command(command),
                Ok(()) = keys.changed() => {
                    let Keys { credentials, trust } = keys.borrow_and_update().of(self.parts.role).clone();
                    self.engine.borrow_mut().set_credentials(credentials, trust);
                }
            }
        }
    }

    fn perform_command(&self, command: Command) {
        match command {
            Command::Datagram { peer, mut payload } => self.feed(peer, &mut payload),
            Command::Send(id, payload) => self.send(id, &payload),
            Command::Disconnect(id, cause) => self.disconnect(id, cause),
            Command::Withdraw(endpoint) => self.withdraw(&endpoint),
            Command::Admitted(id) => self.admitted(id),
        }
    }

    /// Takes a datagram, or hands it to the shard that its connection id names.
    fn take(&self, datagram: &socket::Datagram<'_>) {
        let peer = PeerAddress {
            remote: datagram.peer.remote(),
            local: datagram.peer.local(),
        };
        if *self.parts.phase.borrow() >= Phase::Refusing && begins_handshake(datagram.payload) {
            // Silence: the device's retransmission reaches whoever is next.
            return;
        }
        let config = &self.parts.config;
        if config
            .connection_id_length
            .is_some_and(|length| length >= ROUTED)
            && let Some((node, shard)) = dtls::owner(datagram.payload)
            && node == config.node
            && shard != config.shard
            && usize::from(shard) < self.parts.links.len()
        {
            let payload = datagram.payload.to_vec();
            return self
                .parts
                .links
                .send(shard, Command::Datagram { peer, payload });
        }
        let mut buffer = self.buffer.take();
        buffer.clear();
        buffer.extend_from_slice(datagram.payload);
        self.feed(peer, &mut buffer);
        self.buffer.replace(buffer);
    }

    fn feed(&self, peer: PeerAddress, datagram: &mut [u8]) {
        let now = (self.parts.clock)().mono;
        self.engine
            .borrow_mut()
            .handle_datagram(now, peer, datagram);
        self.drain();
    }

    fn handle_timeout(&self) {
        let Now { mono: now, wall } = (self.parts.clock)();
        let mut engine = self.engine.borrow_mut();
        // The system's clock may have been set since.
        engine.set_wall(now, since_1970(wall));
        engine.handle_timeout(now);
        drop(engine);
        let over = self.associations.borrow_mut().expire(now);
        self.close_all(now, over);
        self.drain();
    }

    /// Ends associations that have not registered.
    fn close_all(&self, now: Instant, associations: Vec<AssociationId>) {
        for id in associations {
            self.engine.borrow_mut().close(now, id);
        }
    }

    /// Works off what the engine puts out. What is handed on may lead here again: outputs are taken one at a time, and by
    /// one loop.
    fn drain(&self) {
        if self.draining.replace(true) {
            return;
        }
        loop {
            let output = self.engine.borrow_mut().poll_output();
            let Some(output) = output else {
                break;
            };
            self.perform(output);
        }
        self.draining.set(false);
        let stats = self.engine.borrow().stats();
        self.parts
            .metrics
            .add_dtls(&self.published.replace(stats), &stats);
        let due = self.due();
        if due.is_some_and(|due| self.armed.get().is_none_or(|armed| due < armed)) {
            self.earlier.notify_one();
        }
    }

    fn perform(&self, output: Output) {
        let now = (self.parts.clock)().mono;
        let metrics = &self.parts.metrics;
        match output {
            Output::Transmit { peer, datagram } => self.transport.send(address(peer), datagram),
            Output::NeedCredential {
                association, query, ..
            } => {
                let verdict = self.desk.borrow_mut().ask(association, query);
                if let Some(verdict) = verdict {
                    self.decide(association, verdict);
                }
            }
            Output::Established(established) => {
                metrics.add_handshake(&established);
                let over = self.associations.borrow_mut().establish(
                    now,
                    established.association,
                    established.peer,
                    established.has_connection_id,
                );
                self.close_all(now, over);
            }
            Output::Data {
                association,
                payload,
                ..
            } => {
                let caller = self.associations.borrow().caller(association);
                if let (Some(caller), Some(upward)) = (caller, self.upward()) {
                    upward.receive(caller, payload);
                }
            }
            Output::PeerMoved {
                association,
                from,
                to,
            } => {
                tracing::debug!(from = %from.remote, to = %to.remote, "a device has another address");
                self.associations.borrow_mut().move_to(association, to);
            }
            Output::NeedsHandshake { association } => {
                tracing::warn!(
                    association = association.number(),
                    "a device should shake hands again: many forged records were tried on its keys"
                );
            }
            Output::Closed {
                association,
                reason,
            } => self.closed(association, reason),
            Output::HandshakeFailed {
                association,
                peer,
                failure,
            } => {
                if let Some(association) = association {
                    self.associations.borrow_mut().remove(association);
                }
                tracing::debug!(peer = %peer.remote, ?failure, "a handshake failed");
                metrics.add_handshake_failure(failure);
            }
        }
    }

    fn closed(&self, id: AssociationId, reason: CloseReason) {
        let mut associations = self.associations.borrow_mut();
        let peer = associations.caller(id).map(|caller| caller.peer.id);
        if let Some(has_cid) = associations.remove(id) {
            let count = &self.parts.metrics.dtls_associations;
            count.of(has_cid.into()).dec();
        }
        drop(associations);
        if let (Some(peer), Some(upward)) = (peer, self.upward()) {
            tracing::debug!(%peer, ?reason, "an association ended");
            upward.disconnected(peer);
        }
    }

    fn decide(&self, id: AssociationId, verdict: Verdict) {
        let now = (self.parts.clock)().mono;
        let tag = PrincipalTag(id.number());
        let (answer, known) = match verdict {
            Verdict::Key(key, known) => (CredentialAnswer::PreSharedKey { key, tag }, Some(known)),
            Verdict::Accept(known) => (CredentialAnswer::Accept { tag }, Some(known)),
            Verdict::Deny(reason) => (CredentialAnswer::Deny(reason), None),
            Verdict::Unavailable => (CredentialAnswer::Unavailable, None),
        };
        let is_awaited = self.engine.borrow_mut().handle_credential(now, id, answer);
        // The end of a handshake that is over already is told no more: nothing would ever take out its entry.
        if let Some(known) = known.filter(|_| is_awaited) {
            self.associations.borrow_mut().accept(id, known);
        }
    }

    fn upward(&self) -> Option<Rc<dyn Upward>> {
        self.upward.get()?.upgrade()
    }

    fn due(&self) -> Option<Instant> {
        let engine = self.engine.borrow().poll_timeout();
        let table = self.associations.borrow().due();
        [engine, table].into_iter().flatten().min()
    }
}

fn since_1970(wall: UnixMillis) -> Duration {
    Duration::from_millis(u64::try_from(wall.0).unwrap_or_default())
}

/// An address as the socket knows it.
const fn address(peer: PeerAddress) -> PeerId {
    PeerId::Udp {
        remote: peer.remote,
        local: peer.local,
    }
}

/// Whether a datagram is a ClientHello without protection: content type, version, epoch and number, length, message type.
fn begins_handshake(datagram: &[u8]) -> bool {
    matches!(datagram, [22, _, _, 0, 0, ..]) && datagram.get(13) == Some(&1)
}

impl fmt::Debug for Secure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secure")
            .field("role", &self.parts.role)
            .field("shard", &self.parts.config.shard)
            .finish_non_exhaustive()
    }
}

/// Bytes of a connection id from which on it names node and shard.
const ROUTED: u8 = 5;
/// How long to sleep when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_message_without_protection_begins_a_handshake() {
        let hello = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 50, 1, 0, 0, 38];
        assert!(begins_handshake(&hello));
        // A later message, a protected record, an alert, less than a header.
        for (at, value) in [(13, 16), (4, 1), (0, 21)] {
            let mut other = hello;
            other[at] = value;
            assert!(!begins_handshake(&other));
        }
        assert!(!begins_handshake(&hello[..13]));
    }
}
