//! Virtual time, the network, and what happens to devices.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    lwm2m::value::Value,
    platform::{
        Downlink, Reply, RpcRequest, SessionId,
        downlink::SessionCloseReason,
        peer::PeerId,
        time::{Now, UnixMillis},
        uplink::KeyValue,
    },
    sim::{SimDevice, SimEvent},
};

use crate::{
    commands::{Sample, execute_argument, pick, reading},
    device::{Device, NOTIFIED, SENT},
    dice::Dice,
    history::{Checked, Ends, History, Readings, violation},
    platform::{Core, SHARED_KEY, address},
    server::{Awaited, Server, shown},
};

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Now,
    start: Now,
    /// When nothing is begun any more.
    end: Instant,
    pub(crate) random: Dice,
    agenda: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) server: Server,
    pub(crate) core: Core,
    pub(crate) history: History,
    /// Readings that devices notified, and those they sent.
    pub(crate) notified: Vec<Readings>,
    pub(crate) sent: Vec<Readings>,
    pub(crate) awaited: BTreeMap<(usize, Awaited), u64>,
    /// Addresses that devices have left: others get them.
    free: VecDeque<PeerId>,
    addresses: u32,
    is_lossy: bool,
    datagrams: u64,
    lost: u64,
    registrations: u64,
    executions: u64,
    /// The device that is concerned, or at fault, and the command.
    pub(crate) concerned: (usize, Option<usize>),
    trace: Option<Vec<VecDeque<(Instant, String)>>>,
}

/// What is to come.
#[derive(Debug)]
pub(crate) enum Event {
    ToServer(PeerId, Bytes),
    ToDevice(PeerId, Bytes),
    DeviceTimeout(usize),
    EndpointTimeout(u64),
    Reply(u64, Reply),
    /// A reply, and the readings of a device, notified and sent, that are stored with it.
    Stored(u64, Reply, Option<(usize, Vec<u64>, Vec<u64>)>),
    Downlink(SessionId, Downlink, Option<usize>),
    /// Something happens to a device.
    Act(usize),
    /// The platform wants something of a device.
    Ask(usize),
    /// A device that was off comes back; `true`: it has lost its state.
    Return(usize, bool),
    /// A device that was deleted is there again.
    Create(usize),
    CoreAway(bool),
    Day,
}

/// What a run, or several, came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    pub(crate) ends: Ends,
    commands: u64,
    deliveries: u64,
    readings: u64,
    sessions: u64,
    datagrams: u64,
    lost: u64,
    executions: u64,
}

impl World {
    pub(crate) fn new(seed: u64, length: Duration, is_traced: bool) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "any instant will do as the base of virtual time"
        )]
        let mono = Instant::now();
        let start = Now {
            mono,
            wall: UnixMillis(1_700_000_000_000),
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let devices: Vec<_> = (0..DEVICES)
            .map(|index| Device::new(seed, index, address(index as u32), mono))
            .collect();
        let mut world = Self {
            now: start,
            start,
            end: mono + length,
            random: Dice::new(seed),
            agenda: BTreeMap::new(),
            next_event: 0,
            server: Server::new(bytes, mono),
            core: Core::new(&devices),
            history: History::default(),
            notified: devices.iter().map(|_| Readings::default()).collect(),
            sent: devices.iter().map(|_| Readings::default()).collect(),
            awaited: BTreeMap::new(),
            free: VecDeque::new(),
            addresses: DEVICES as u32,
            is_lossy: true,
            datagrams: 0,
            lost: 0,
            registrations: 0,
            executions: 0,
            concerned: (0, None),
            trace: is_traced.then(|| devices.iter().map(|_| VecDeque::new()).collect()),
            devices,
        };
        for index in 0..DEVICES {
            let pause = world.up_to(Duration::from_secs(3600));
            world.after(pause, Event::Return(index, true));
            let pause = world.up_to(DAY);
            world.after(pause, Event::Act(index));
            let pause = world.up_to(DAY);
            world.after(pause, Event::Ask(index));
        }
        world.after(DAY, Event::Day);
        for _ in 0..OUTAGES {
            let at = world.up_to(length);
            let pause = world.up_to(Duration::from_secs(900));
            world.after(at, Event::CoreAway(true));
            world.after(at + pause, Event::CoreAway(false));
        }
        world
    }

    /// Lets everything happen, then nothing more, then everything end.
    pub(crate) fn run(&mut self) {
        self.run_until(self.end);
        self.is_lossy = false;
        self.core.is_away = false;
        self.agenda
            .retain(|_, event| !matches!(event, Event::Return(..)));
        for index in 0..DEVICES {
            self.core.records[index].missing_until = None;
            let device = &self.devices[index];
            if !device.is_on || !device.sim.is_registered() {
                let pause = self.up_to(Duration::from_secs(3600));
                self.after(pause, Event::Return(index, true));
            }
        }
        // Every command's time is over by then, and every device has updated its registration.
        self.run_until(self.end + CALM);
        self.check_bounds();
        self.check_calm();
        for index in 0..DEVICES {
            if index % 2 == 0 {
                self.drive(index, |device, now| device.deregister(now));
            } else {
                self.devices[index].is_on = false;
            }
        }
        self.run_until(self.end + CALM + DAY / 24);
        for device in &mut self.devices {
            device.is_on = false;
        }
        self.run_until(self.end + CALM + 2 * DAY);
        self.check_gone();
        let finished = self.finish();
        self.check(0, finished);
    }

    fn finish(&mut self) -> Checked {
        self.server.finish(self.now.mono)?;
        self.history.finish()?;
        if self.core.opened != self.core.closed {
            return violation(None, "not every session was closed");
        }
        if self.history.ends != self.server.ends {
            let (own, counted) = (&self.history.ends, &self.server.ends);
            return violation(None, format!("seen: {own}; counted: {counted}"));
        }
        let ends: u64 = self.history.ends.counts.iter().sum();
        if ends != self.server.received {
            let received = self.server.received;
            return violation(None, format!("{received} commands have {ends} ends"));
        }
        match self.agenda.values().find(|event| !event.is_the_devices()) {
            Some(event) => violation(None, format!("still to come: {event:?}")),
            None => Ok(()),
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let deliveries: u64 = self.history.ends.counts.iter().sum();
        let readings = self.notified.iter().chain(&self.sent);
        Figures {
            seeds: 1,
            ends: self.history.ends.clone(),
            commands: self.history.rpcs.len() as u64,
            deliveries,
            readings: readings.map(Readings::count).sum(),
            sessions: self.core.closed,
            datagrams: self.datagrams,
            lost: self.lost,
            executions: self.executions,
        }
    }

    fn run_until(&mut self, end: Instant) {
        while let Some(entry) = self.agenda.first_entry() {
            let (at, _) = *entry.key();
            if at > end {
                break;
            }
            let event = entry.remove();
            self.go_to(at);
            self.happen(event);
        }
        self.go_to(end);
    }

    fn go_to(&mut self, mono: Instant) {
        self.now = self.start.after(mono - self.start.mono);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::ToServer(peer, datagram) => self.receive(peer, datagram),
            Event::ToDevice(peer, datagram) => self.arrive(peer, datagram),
            Event::DeviceTimeout(index) => {
                let device = &mut self.devices[index];
                if device.is_on && device.armed == Some(self.now.mono) {
                    device.armed = None;
                    self.drive(index, |device, now| device.handle_timeout(now));
                }
            }
            Event::EndpointTimeout(serial) => self.endpoint_timeout(serial, self.now.mono),
            Event::Reply(serial, reply) => {
                self.feed(serial, None, |endpoint, now| {
                    endpoint.handle_reply(now, reply)
                });
            }
            Event::Stored(serial, reply, stored) => {
                if let Some((device, notified, sent)) = stored {
                    for reading in notified {
                        self.notified[device].stored(reading);
                    }
                    for reading in sent {
                        self.sent[device].stored(reading);
                    }
                }
                self.feed(serial, None, |endpoint, now| {
                    endpoint.handle_reply(now, reply)
                });
            }
            Event::Downlink(session, downlink, rpc) => self.deliver(session, downlink, rpc),
            Event::Act(index) => {
                if self.now.mono < self.end {
                    let pause = self.up_to(2 * DAY / ACTS_PER_DAY);
                    self.after(pause, Event::Act(index));
                    if self.devices[index].is_on {
                        self.act(index);
                    }
                }
            }
            Event::Ask(index) => {
                if self.now.mono < self.end {
                    let pause = self.up_to(2 * DAY / ASKS_PER_DAY);
                    self.after(pause, Event::Ask(index));
                    self.ask(index);
                }
            }
            Event::Return(index, is_fresh) => self.come_back(index, is_fresh),
            Event::Create(index) => self.core.records[index].missing_until = None,
            Event::CoreAway(is_away) => self.core.is_away = is_away && self.now.mono < self.end,
            Event::Day => {
                self.check_bounds();
                if self.now.mono < self.end {
                    self.after(DAY, Event::Day);
                }
            }
        }
    }

    /// Something happens to a device.
    fn act(&mut self, index: usize) {
        match self.random.uniform(0..=99) {
            0..=59 => self.measure(index),
            60..=69 => {
                let device = &mut self.devices[index];
                device.sent_reading += 1;
                let value = Value::Float(device.sent_reading as f64);
                self.drive(index, |device, now| {
                    device.set(now, SENT, value);
                    device.send_path(now, SENT);
                });
            }
            70..=72 => {
                for _ in 0..4 {
                    self.measure(index);
                }
            }
            73..=78 => {
                let battery = Value::Integer(self.random.uniform(0..=100) as i64);
                let path = "/3/0/9".parse().unwrap();
                self.drive(index, |device, now| device.set(now, path, battery));
            }
            79..=85 => {
                self.move_away(index);
                if self.random.uniform(0..=2) > 0 {
                    self.drive(index, |device, now| device.update(now));
                }
            }
            86..=89 => self.come_back(index, true),
            90..=93 => {
                self.drive(index, |device, now| device.deregister(now));
                // Time for the last exchange.
                let pause = Duration::from_secs(300) + self.up_to(DAY / 4);
                self.after(pause, Event::Return(index, true));
            }
            94..=97 => self.vanish(index),
            _ => self.drive(index, |device, now| device.update(now)),
        }
    }

    /// A reading like no other, and the platform is told.
    fn measure(&mut self, index: usize) {
        let device = &mut self.devices[index];
        device.reading += 1;
        let value = Value::Float(device.reading as f64);
        self.drive(index, |device, now| device.set(now, NOTIFIED, value));
    }

    /// A NAT gives the device another address, sometimes one that another device had.
    fn move_away(&mut self, index: usize) {
        let reused = (self.random.uniform(0..=2) == 0).then(|| self.free.pop_front());
        let next = reused.flatten().unwrap_or_else(|| {
            self.addresses += 1;
            address(self.addresses)
        });
        let device = &mut self.devices[index];
        let left = std::mem::replace(&mut device.peer, next);
        self.free.push_back(left);
        self.trace(index, || format!("moves from {left} to {next}"));
    }

    /// The device is out of reach for up to two days.
    fn vanish(&mut self, index: usize) {
        self.trace(index, || "vanishes".to_owned());
        self.devices[index].is_on = false;
        self.devices[index].armed = None;
        let pause = self.up_to(2 * DAY);
        let is_fresh = self.random.uniform(0..=1) == 0;
        self.after(pause, Event::Return(index, is_fresh));
        if self.random.uniform(0..=1) == 0 {
            self.move_away(index);
        }
    }

    fn come_back(&mut self, index: usize, is_fresh: bool) {
        self.trace(index, || format!("comes back, fresh: {is_fresh}"));
        let device = &mut self.devices[index];
        device.is_on = true;
        if is_fresh {
            device.reboot();
            self.awaited.retain(|(own, _), _| *own != index);
            self.drive(index, |device, now| device.register(now));
        } else {
            self.drive(index, |device, now| device.handle_timeout(now));
        }
    }

    /// The platform wants something of a device.
    fn ask(&mut self, index: usize) {
        match self.random.uniform(0..=199) {
            0..=129 => self.command(index, None),
            130..=144 => {
                for _ in 0..self.random.uniform(2..=5) {
                    self.command(index, None);
                }
            }
            // More than a device may have open.
            145 => {
                for _ in 0..140 {
                    self.command(index, Some(reading()));
                }
            }
            146..=169 => {
                let value = KeyValue::String(format!("+{:02}:00", self.random.uniform(0..=12)));
                let record = &mut self.core.records[index];
                record.shared = Some((value.clone(), self.now.wall));
                if let Some(session) = record.session {
                    let updated = vec![(SHARED_KEY.to_owned(), value, self.now.wall)];
                    let requested = false;
                    self.downlink(session, Downlink::Attributes { updated, requested }, None);
                }
            }
            170..=179 => self.change_profile(index),
            180..=186 => self.change_device(index),
            choice => {
                let Some(session) = self.core.records[index].session else {
                    return;
                };
                let downlink = match choice {
                    187..=188 => Downlink::SessionClosed(SessionCloseReason::SessionTimeout),
                    189..=190 => Downlink::SessionClosed(SessionCloseReason::RpcDeliveryTimeout),
                    191..=192 => Downlink::SessionClosed(SessionCloseReason::Unknown),
                    193..=194 => Downlink::SessionClosed(SessionCloseReason::MaxConcurrentSessions),
                    195 => Downlink::SessionClosed(SessionCloseReason::CredentialsUpdated),
                    196..=197 => Downlink::CredentialsChanged,
                    _ => {
                        let pause = self.up_to(DAY / 4);
                        self.core.records[index].missing_until = Some(self.now.mono + pause);
                        self.after(pause, Event::Create(index));
                        Downlink::DeviceDeleted
                    }
                };
                self.downlink(session, downlink, None);
            }
        }
    }

    /// A command; without one, any, that the device may carry out or not, and that the core keeps or not.
    fn command(&mut self, index: usize, sample: Option<Sample>) {
        let is_any = sample.is_none();
        let number = self.history.rpcs.len();
        let sample = sample.unwrap_or_else(|| pick(&mut self.random, number));
        let persisted = is_any && self.random.uniform(0..=1) == 0;
        let longest = if persisted { LONGEST } else { LONGEST / 6 };
        let shortest = Duration::from_secs(10);
        let expires = match self.random.uniform(0..=49) {
            0 => UnixMillis(0),
            1..=12 => self
                .now
                .wall
                .plus(shortest + self.up_to(Duration::from_secs(120))),
            _ => self.now.wall.plus(shortest + self.up_to(longest)),
        };
        self.core.records[index].is_unwatched |= sample.ends_observations;
        let oneway = self.random.uniform(0..=3) == 0;
        let rpc = self.history.add(index, |id| RpcRequest {
            id,
            method: sample.method.to_owned(),
            params: sample.params,
            expires,
            oneway,
            persisted,
        });
        if persisted {
            self.core.records[index].pending.push(rpc);
        }
        self.trace(index, || {
            format!("command {rpc}: {}, {persisted}, {expires}", sample.method)
        });
        self.give(rpc);
    }

    /// Lets a device do something, and does what comes of it.
    fn drive(&mut self, index: usize, what: impl FnOnce(&mut SimDevice<()>, Instant)) {
        let now = self.now.mono;
        self.concerned = (index, None);
        what(&mut self.devices[index].sim, now);
        while let Some(((), datagram)) = self.devices[index].sim.poll_transmit() {
            let device = &mut self.devices[index];
            device.used_radio(now);
            let peer = device.peer;
            if let Some(waiting) = device.waits_for(&datagram) {
                self.await_acknowledgement(index, waiting);
            }
            self.trace(index, || format!("device sends {}", shown(&datagram)));
            if self.devices[index].is_on {
                self.carry(|| Event::ToServer(peer, datagram.clone()));
            }
        }
        while let Some(event) = self.devices[index].sim.poll_event() {
            match event {
                SimEvent::Registered { .. } => self.registrations += 1,
                SimEvent::Refused { code, .. } if code == lightship::coap::Code::FORBIDDEN => {
                    self.vanish(index);
                }
                SimEvent::Executed(_, arguments) => {
                    self.executions += 1;
                    let executed = self.executed(index, &arguments);
                    self.check(index, executed);
                }
                _ => {}
            }
        }
        let device = &mut self.devices[index];
        if let Some(deadline) = device.sim.poll_timeout()
            && device.is_on
            && device.armed.is_none_or(|armed| deadline < armed)
        {
            let at = deadline.max(now);
            device.armed = Some(at);
            self.at(at, Event::DeviceTimeout(index));
        }
    }

    /// A device carries an Execute out. It may be meant for the one whose address it has got, until the server knows that.
    fn executed(&mut self, index: usize, arguments: &str) -> Checked {
        let rpcs = &self.history.rpcs;
        let number = arguments.trim_start_matches("0='").trim_end_matches('\'');
        let number = number.parse().unwrap_or(usize::MAX);
        let Some(own) = rpcs
            .get(number)
            .filter(|_| arguments == execute_argument(number))
        else {
            return violation(None, format!("executed with {arguments}"));
        };
        let (is_meant, meant) = (own.device == index, own.device);
        let known = self.server.knows_since(self.devices[index].peer, index);
        if !is_meant && known.is_some_and(|since| since + ON_THE_WAY < self.now.mono) {
            return violation(
                Some(number),
                format!("device {index} executes it, not {meant}"),
            );
        }
        self.history.executed(number, is_meant)
    }

    /// A datagram of the server is on its way.
    pub(crate) fn send_down(&mut self, peer: PeerId, datagram: Bytes) {
        self.carry(|| Event::ToDevice(peer, datagram.clone()));
    }

    /// A datagram comes to an address.
    fn arrive(&mut self, peer: PeerId, datagram: Bytes) {
        let mut devices = self.devices.iter();
        let Some(index) = devices.position(|own| own.is_on && own.peer == peer) else {
            return;
        };
        let (start, now) = (self.start.mono, self.now.mono);
        match self.devices[index].reached_at(start, now) {
            Some(at) if at == now => {
                self.devices[index].used_radio(now);
                self.devices[index].hears(&datagram);
                self.trace(index, || format!("device receives {}", shown(&datagram)));
                self.drive(index, |device, now| {
                    device.handle_datagram(now, (), datagram)
                });
            }
            Some(at) => self.at(at, Event::ToDevice(peer, datagram)),
            None => {}
        }
    }

    /// Loses a datagram, or brings it late, or twice.
    fn carry(&mut self, arrival: impl Fn() -> Event) {
        self.datagrams += 1;
        let copies = 1 + u32::from(self.random.uniform(0..=99) < DUPLICATES);
        for _ in 0..copies {
            if self.is_lossy && self.random.uniform(0..=99) < LOSS {
                self.lost += 1;
                continue;
            }
            let longest = match self.random.uniform(0..=19) {
                0 => 8000,
                1..=3 => 2000,
                _ => 300,
            };
            let delay = Duration::from_millis(self.random.uniform(10..=longest));
            self.after(delay, arrival());
        }
    }

    pub(crate) fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now.mono + pause, event);
    }

    pub(crate) fn at(&mut self, at: Instant, event: Event) {
        self.next_event += 1;
        self.agenda.insert((at, self.next_event), event);
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.random.uniform(0..=longest.as_millis() as u64))
    }

    /// Ends the run when something has happened that must not.
    pub(crate) fn check(&mut self, device: usize, checked: Checked) {
        if let Err(violation) = checked {
            let device = violation
                .rpc
                .map_or(device, |rpc| self.history.rpcs[rpc].device);
            self.concerned = (device, violation.rpc);
            self.trace(device, || "--- this must not be".to_owned());
            let rpc = violation.rpc.map(|rpc| format!(", command {rpc}"));
            let rpc = rpc.unwrap_or_default();
            panic!("device {device}{rpc}: {}", violation.what);
        }
    }

    pub(crate) fn trace(&mut self, device: usize, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let lines = &mut trace[device];
            if lines.len() == TRACED {
                lines.pop_front();
            }
            lines.push_back((self.now.mono, line()));
        }
    }

    /// What happened to the device at fault.
    pub(crate) fn report(&self) -> String {
        let (device, rpc) = self.concerned;
        let kind = self.devices[device].kind;
        let mut lines = vec![format!("device {device} ({kind:?}), command {rpc:?}")];
        if let Some(rpc) = rpc {
            lines.push(format!("{:?}", self.history.rpcs[rpc].request));
        }
        let trace = self.trace.iter().flat_map(|trace| &trace[device]);
        lines.extend(trace.map(|(at, line)| {
            let since = (*at - self.start.mono).as_millis();
            let (seconds, millis) = (since / 1000, since % 1000);
            format!(
                "day {} {:>5}.{millis:03} {line}",
                seconds / 86_400,
                seconds % 86_400
            )
        }));
        lines.join("\n")
    }
}

impl Event {
    /// Whether it is of no concern to the server.
    const fn is_the_devices(&self) -> bool {
        matches!(
            self,
            Self::DeviceTimeout(_) | Self::ToDevice(..) | Self::Create(_) | Self::Return(..)
        )
    }
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.ends.add(&other.ends);
        self.commands += other.commands;
        self.deliveries += other.deliveries;
        self.readings += other.readings;
        self.sessions += other.sessions;
        self.datagrams += other.datagrams;
        self.lost += other.lost;
        self.executions += other.executions;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} datagrams ({} lost), {} sessions opened and closed, {} readings stored, {} commands, \
             {} executions; {} deliveries of commands: {}",
            self.seeds,
            self.datagrams,
            self.lost,
            self.sessions,
            self.readings,
            self.commands,
            self.executions,
            self.deliveries,
            self.ends,
        )
    }
}

const DEVICES: usize = 100;
const DAY: Duration = Duration::from_secs(24 * 3600);
const ACTS_PER_DAY: u32 = 2;
const ASKS_PER_DAY: u32 = 2;
/// Longer than a datagram is on its way, or waits for the next paging.
const ON_THE_WAY: Duration = Duration::from_secs(100);
/// The longest time that a command has.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// How long nothing is begun before the end.
const CALM: Duration = Duration::from_secs(26 * 3600);
const OUTAGES: u32 = 3;
/// Percent of the datagrams.
const LOSS: u64 = 20;
const DUPLICATES: u64 = 5;
/// Lines of history kept for each device.
const TRACED: usize = 400;
