//! The server without sockets and threads: what `server::shard` and `server::directory` do for the machines.

use std::{
    collections::BTreeMap,
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    coap::{Code, Message, MessageId, Random, Response, Token},
    endpoint::{
        CloseReason, Endpoint, EndpointName, EndpointSettings, EndpointStats, HeldRpc, Key, Output,
        RegistrationId,
    },
    lwm2m::value::Value,
    platform::{
        Downlink, SessionId,
        peer::{Peer, PeerId, PeerIdentity, ServerRole},
        time::Now,
        uplink::KeyValue,
    },
    server::{
        ingress::{Caller, Decision, Ingress},
        settings::{LimitSettings, NoSecSettings},
    },
};

use crate::{
    device::{Kind, LIFETIME, SHARED, Waiting},
    history::{Checked, Ends, violation},
    world::{Event, World},
};

pub(crate) struct Server {
    settings: Arc<EndpointSettings>,
    ingress: Ingress,
    random: Random,
    pub(crate) endpoints: BTreeMap<u64, Slot>,
    next: u64,
    names: BTreeMap<EndpointName, u64>,
    /// To which endpoint a peer leads, and since when.
    peers: BTreeMap<PeerId, (u64, Instant)>,
    registrations: BTreeMap<RegistrationId, u64>,
    pub(crate) sessions: BTreeMap<SessionId, u64>,
    /// What endpoints that are gone have counted.
    pub(crate) ends: Ends,
    pub(crate) received: u64,
}

/// An endpoint and its actor's timer.
pub(crate) struct Slot {
    pub(crate) endpoint: Endpoint,
    device: usize,
    armed: Option<Instant>,
    stats: EndpointStats,
}

impl Server {
    pub(crate) fn new(seed: [u8; 32], now: Instant) -> Self {
        let mut random = Random::from_seed(seed);
        let settings = EndpointSettings {
            held_rpc: HeldRpc::new(HELD),
            ..EndpointSettings::default()
        };
        Self {
            ingress: ingress(&settings, &mut random, now),
            settings: Arc::new(settings),
            random,
            endpoints: BTreeMap::new(),
            next: 0,
            names: BTreeMap::new(),
            peers: BTreeMap::new(),
            registrations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            ends: Ends::default(),
            received: 0,
        }
    }

    /// Since when the server knows a device to be at `peer`.
    pub(crate) fn knows_since(&self, peer: PeerId, device: usize) -> Option<Instant> {
        let (serial, since) = self.peers.get(&peer)?;
        let slot = self.endpoints.get(serial)?;
        (slot.device == device).then_some(*since)
    }

    /// Nothing may be left.
    pub(crate) fn finish(&mut self, now: Instant) -> Checked {
        let left = [
            ("names", self.names.len()),
            ("peers", self.peers.len()),
            ("registrations", self.registrations.len()),
            ("sessions", self.sessions.len()),
            ("held commands", self.settings.held_rpc.count()),
        ];
        if let Some((what, count)) = left.iter().find(|(_, count)| *count > 0) {
            return violation(None, format!("{count} {what} are left"));
        }
        // What strangers began to send goes with the next ingress.
        self.ingress = ingress(&self.settings, &mut self.random, now);
        match self.settings.bodies.used() {
            0 => Ok(()),
            used => violation(None, format!("{used} bytes of bodies are left")),
        }
    }
}

impl World {
    /// A datagram arrives at the server.
    pub(crate) fn receive(&mut self, peer: PeerId, payload: Bytes) {
        match self.server.peers.get(&peer) {
            Some(&(serial, _)) => self.feed(serial, None, |endpoint, now| {
                endpoint.handle_datagram(now, &unsecured(peer), payload);
            }),
            None => self.admit(peer, payload),
        }
    }

    fn admit(&mut self, peer: PeerId, payload: Bytes) {
        let caller = Caller::unsecured(peer, ServerRole::Lwm2m);
        let decision = self.server.ingress.decide(self.now.mono, &caller, payload);
        let (serial, message) = match decision {
            Decision::Answer(answer) => return self.send_down(peer, answer),
            // Of the bootstrap server nobody wants anything here.
            Decision::Drop(_) | Decision::Limited | Decision::Bootstrap(..) => return,
            Decision::Registered(id, message) => match self.server.registrations.get(&id) {
                Some(serial) => (*serial, message),
                None => {
                    let response = Response::new(Code::NOT_FOUND);
                    let ingress = &mut self.server.ingress;
                    let answer = ingress.answer(self.now.mono, peer, &message, &response);
                    return self.send_down(peer, answer);
                }
            },
            Decision::Register(name, message) => (self.find_or_spawn(&name), message),
        };
        self.feed(serial, None, |endpoint, now| {
            endpoint.handle_message(now, &unsecured(peer), Ok(message), None);
        });
    }

    fn find_or_spawn(&mut self, name: &EndpointName) -> u64 {
        let server = &mut self.server;
        if let Some(serial) = server.names.get(name) {
            return *serial;
        }
        let mut seed = [0; 32];
        server.random.fill(&mut seed);
        server.next += 1;
        let device = name.as_str().trim_start_matches("dev").parse().unwrap();
        let slot = Slot {
            endpoint: Endpoint::new(name.clone(), Arc::clone(&server.settings), seed),
            device,
            armed: None,
            stats: EndpointStats::default(),
        };
        server.endpoints.insert(server.next, slot);
        server.names.insert(name.clone(), server.next);
        server.next
    }

    /// A message of the platform arrives; `rpc` is the command that it is.
    pub(crate) fn deliver(
        &mut self,
        session: SessionId,
        mut downlink: Downlink,
        rpc: Option<usize>,
    ) {
        let Some(&serial) = self.server.sessions.get(&session) else {
            return;
        };
        if let Some(rpc) = rpc {
            self.server.received += 1;
            self.history.delivered(rpc, serial, session);
            if let Downlink::Rpc(request) = &mut downlink {
                request.id.request = self.history.number(rpc, serial);
            }
            let device = self.history.rpcs[rpc].device;
            self.trace(device, || {
                format!("command {rpc} comes to endpoint {serial}")
            });
        }
        self.feed(serial, rpc, |endpoint, now| {
            endpoint.handle_downlink(now, downlink)
        });
    }

    pub(crate) fn endpoint_timeout(&mut self, serial: u64, at: Instant) {
        let Some(slot) = self.server.endpoints.get_mut(&serial) else {
            return;
        };
        if slot.armed != Some(at) {
            return;
        }
        slot.armed = None;
        self.feed(serial, None, |endpoint, now| endpoint.handle_timeout(now));
    }

    /// Gives an input to an endpoint and does what comes of it. `rpc` is the command that it is.
    pub(crate) fn feed(
        &mut self,
        serial: u64,
        rpc: Option<usize>,
        input: impl FnOnce(&mut Endpoint, Now),
    ) {
        let Some(slot) = self.server.endpoints.get_mut(&serial) else {
            return;
        };
        let device = slot.device;
        self.concerned = (device, rpc);
        input(&mut slot.endpoint, self.now);
        let outputs: Vec<_> = iter::from_fn(|| slot.endpoint.poll_output()).collect();
        let stats = slot.endpoint.stats();
        let counted = stats.since(&std::mem::replace(&mut slot.stats, stats));
        let (mut misrouted, mut taken, mut closed) = (Vec::new(), Vec::new(), None);
        for output in outputs {
            match output {
                Output::Transmit { peer, payload } => {
                    self.watch_acknowledgement(device, &payload);
                    self.trace(device, || format!("server sends {}", shown(&payload)));
                    self.send_down(peer, payload);
                }
                Output::Uplink(uplink) => {
                    let taken = self.take(serial, device, uplink);
                    self.check(device, taken);
                }
                Output::Bind(key) => {
                    taken.extend(self.server.bind(&key, serial, self.now.mono));
                }
                Output::Unbind(key) => self.server.unbind(&key, serial),
                // Nothing is kept, and nobody is secured.
                Output::Disconnect { .. }
                | Output::Delivered { .. }
                | Output::Save { .. }
                | Output::Forget
                | Output::Restored => {}
                Output::Misrouted { peer, payload } => misrouted.push((peer, payload)),
                Output::Closed(reason) => closed = Some(reason),
            }
        }
        let accounted = self.history.account(self.now.wall, serial, &counted, rpc);
        self.check(device, accounted);
        let watched = self.watches_expiration(serial);
        self.check(device, watched);
        match closed {
            Some(reason) => {
                let ended = self.close(serial, reason);
                self.check(device, ended);
            }
            None => self.arm(serial),
        }
        for (other, peer) in taken {
            self.lose_peer(other, peer);
        }
        for (peer, payload) in misrouted {
            self.admit(peer.id, payload);
        }
    }

    /// Another endpoint has the peer that led to this one.
    fn lose_peer(&mut self, serial: u64, peer: PeerId) {
        self.feed(serial, None, |endpoint, now| {
            endpoint.handle_peer_taken(now, peer)
        });
    }

    /// The next thing that an endpoint wakes up for is not after the time of a command that it holds.
    fn watches_expiration(&self, serial: u64) -> Checked {
        let endpoint = self
            .server
            .endpoints
            .get(&serial)
            .map(|slot| &slot.endpoint);
        let Some((rpc, expires)) = self.history.next_expiration(serial) else {
            return Ok(());
        };
        let pause = Duration::from_millis((expires.0 - self.now.wall.0) as u64);
        match endpoint.and_then(Endpoint::poll_timeout) {
            Some(next) if next <= self.now.mono + pause => Ok(()),
            next => violation(Some(rpc), format!("not watched: {pause:?}, {next:?}")),
        }
    }

    fn arm(&mut self, serial: u64) {
        let Some(slot) = self.server.endpoints.get_mut(&serial) else {
            return;
        };
        let Some(deadline) = slot.endpoint.poll_timeout() else {
            return;
        };
        if slot.armed.is_none_or(|armed| deadline < armed) {
            let at = deadline.max(self.now.mono);
            slot.armed = Some(at);
            self.at(at, Event::EndpointTimeout(serial));
        }
    }

    /// An endpoint has ended: whatever led to it or was its own must be gone.
    fn close(&mut self, serial: u64, reason: CloseReason) -> Checked {
        let server = &mut self.server;
        let Some(slot) = server.endpoints.remove(&serial) else {
            return Ok(());
        };
        self.trace(slot.device, || {
            format!("endpoint {serial} ends: {reason:?}")
        });
        let server = &mut self.server;
        if server.names.get(slot.endpoint.name()) == Some(&serial) {
            server.names.remove(slot.endpoint.name());
        }
        let peers = server.peers.values().map(|(own, _)| own);
        let leading = peers.chain(server.registrations.values());
        if leading
            .chain(server.sessions.values())
            .any(|own| *own == serial)
        {
            return violation(None, "something leads to an endpoint that has ended");
        }
        let open = slot.endpoint.open_work();
        let (requests, relations) = (open.requests + open.exchanges, open.relations);
        if requests + relations + open.observations + open.messages + open.rpc > 0 {
            return violation(None, format!("ended with {open:?}"));
        }
        server.ends.add(&Ends::of(&slot.stats));
        self.history.gone(serial)
    }

    /// A reading that a device sees acknowledged is stored.
    fn watch_acknowledgement(&mut self, device: usize, datagram: &Bytes) {
        let [first, code, high, low, ..] = **datagram else {
            return;
        };
        let record = &self.core.records[device];
        let checked = if first & 0x30 == 0x20 && code == 0 {
            let id = MessageId(u16::from_be_bytes([high, low]));
            match self.awaited.remove(&(device, Awaited::Notification(id))) {
                Some(reading) if !record.is_unwatched => {
                    self.notified[device].acknowledged(reading)
                }
                _ => Ok(()),
            }
        } else if code == Code::CHANGED.0 {
            let length = usize::from(first & 0xf);
            let token = datagram.get(4..4 + length).and_then(Token::new);
            match token.and_then(|own| self.awaited.remove(&(device, Awaited::Send(own)))) {
                Some(reading) => self.sent[device].acknowledged(reading),
                None => Ok(()),
            }
        } else {
            Ok(())
        };
        self.check(device, checked);
    }

    /// Notes a reading for which a device waits.
    pub(crate) fn await_acknowledgement(&mut self, device: usize, waiting: Waiting) {
        let (awaited, reading) = match waiting {
            Waiting::Notification(id, reading) => (Awaited::Notification(MessageId(id)), reading),
            Waiting::Send(token, reading) => (Awaited::Send(token), reading),
        };
        self.awaited.insert((device, awaited), reading);
    }

    /// What endpoints have open is bounded and adds up.
    pub(crate) fn check_bounds(&mut self) {
        let mut held = 0;
        let mut found = Vec::new();
        for slot in self.server.endpoints.values() {
            let open = slot.endpoint.open_work();
            held += open.rpc;
            let is_bounded = open.rpc <= 128
                && open.requests <= 160
                && open.exchanges <= open.requests
                && open.relations <= 12
                && open.observations <= open.relations
                && open.messages <= 64
                && open.remembered <= 32
                && open.values <= 64;
            if !is_bounded {
                found.push((slot.device, violation(None, format!("{open:?}"))));
            }
        }
        let count = self.server.settings.held_rpc.count();
        if held != count || count > HELD {
            found.push((0, violation(None, format!("{held} held, {count} counted"))));
        }
        for (device, bounds) in found {
            self.check(device, bounds);
        }
    }

    /// Long after the last registration ended, no endpoint is left.
    pub(crate) fn check_gone(&mut self) {
        let left = self.server.endpoints.values().next().map(|slot| {
            let wait = slot.endpoint.poll_timeout().map(|at| at - self.now.mono);
            let (open, is_registered) =
                (slot.endpoint.open_work(), slot.endpoint.summary().is_some());
            let what =
                format!("an endpoint is left: registered {is_registered}, {open:?}, {wait:?}");
            (slot.device, what)
        });
        if let Some((device, what)) = left {
            self.check(device, violation(None, what));
        }
    }

    /// Long after the last thing that happened, registrations and observations are all there is.
    pub(crate) fn check_calm(&mut self) {
        let slots = self.server.endpoints.values();
        let checked: Vec<_> = slots
            .map(|slot| (slot.device, self.is_calm(slot)))
            .collect();
        for (device, calm) in checked {
            self.check(device, calm);
        }
    }

    fn is_calm(&self, slot: &Slot) -> Checked {
        let Some(summary) = slot.endpoint.summary() else {
            return violation(None, "an endpoint without registration");
        };
        let since = Duration::from_millis((self.now.wall.0 - summary.last_update) as u64);
        if since < STILL_AWAKE {
            return Ok(());
        }
        let open = slot.endpoint.open_work();
        // What waits for a device that sleeps may wait.
        if slot.endpoint.unfinished() + open.exchanges > 0 || open.observations != open.relations {
            return violation(None, format!("in calm: {open:?}"));
        }
        // Half a millisecond is lost between the clocks.
        let ends = self.now.mono + LIFETIME - since - Duration::from_millis(2);
        let next = slot.endpoint.poll_timeout();
        if next.is_none_or(|next| next < ends) {
            let wait = next.map(|next| next - self.now.mono);
            return violation(None, format!("in calm a timer: {wait:?}"));
        }
        // One that does not sleep may have missed the newest value.
        let device = &self.devices[slot.device];
        let shared = self.core.records[slot.device].shared.as_ref();
        match (shared, device.sim.objects().value(&SHARED)) {
            (Some((KeyValue::String(own), _)), Some(Value::String(other)))
                if own != other
                    && open.requests == 0
                    && !matches!(device.kind, Kind::Drx { .. }) =>
            {
                violation(None, format!("{other} is written, and should be {own}"))
            }
            _ => Ok(()),
        }
    }
}

impl Server {
    /// The endpoint to which a peer led until now.
    fn bind(&mut self, key: &Key, serial: u64, now: Instant) -> Option<(u64, PeerId)> {
        match key {
            Key::Peer(peer) => {
                let before = self.peers.insert(*peer, (serial, now));
                let other = before.filter(|(own, _)| *own != serial);
                return other.map(|(own, _)| (own, *peer));
            }
            Key::Registration(id, _) => self.registrations.insert(*id, serial),
            Key::Session(session) => self.sessions.insert(session.id, serial),
            // No package is assigned.
            Key::Package(..) => None,
        };
        None
    }

    fn unbind(&mut self, key: &Key, serial: u64) {
        let is_own = |own: &mut u64| *own == serial;
        match key {
            Key::Peer(peer) => remove_if(&mut self.peers, peer, |(own, _)| *own == serial),
            Key::Registration(id, _) => remove_if(&mut self.registrations, id, is_own),
            Key::Session(session) => remove_if(&mut self.sessions, &session.id, is_own),
            Key::Package(..) => {}
        }
    }
}

/// A message layer for strangers that knows nobody.
fn ingress(settings: &EndpointSettings, random: &mut Random, now: Instant) -> Ingress {
    let (coap, bodies) = (Arc::clone(&settings.coap), settings.bodies.clone());
    let (limits, nosec) = (LimitSettings::default(), NoSecSettings::default());
    Ingress::new(
        ServerRole::Lwm2m,
        coap,
        bodies,
        &limits,
        &nosec,
        random,
        now,
    )
}

fn remove_if<K: Ord, V>(map: &mut BTreeMap<K, V>, key: &K, is_it: impl Fn(&mut V) -> bool) {
    if map.get_mut(key).is_some_and(is_it) {
        map.remove(key);
    }
}

/// What a device waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Awaited {
    Notification(MessageId),
    Send(Token),
}

const fn unsecured(id: PeerId) -> Peer {
    Peer {
        id,
        role: ServerRole::Lwm2m,
        identity: PeerIdentity::Unsecured,
    }
}

/// A datagram for people.
pub(crate) fn shown(datagram: &Bytes) -> String {
    match Message::parse(datagram.clone()) {
        Ok(message) => {
            let path: Vec<_> = message.uri_path().collect();
            format!(
                "{:?} {} id {} token {:?} /{} observe {:?} block {:?} {:?} {} bytes",
                message.message_type(),
                message.code(),
                message.message_id().0,
                message.token(),
                path.join("/"),
                message.observe(),
                message.block1(),
                message.block2(),
                message.payload().len(),
            )
        }
        Err(error) => format!("{error:?}"),
    }
}

/// How long after its last Update an endpoint may have something open.
const STILL_AWAKE: Duration = Duration::from_secs(300);
/// Commands held in all: few, so that the limit is met.
const HELD: usize = 300;
