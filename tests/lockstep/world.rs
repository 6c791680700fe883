//! One endpoint, its simulated device, a lossy network and a scripted platform, all in virtual time.
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "test support: a panic here is a failed test, and only some variants matter to it"
)]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    coap::{Random, TransmissionParameters},
    endpoint::{
        CloseReason, Endpoint, EndpointName, EndpointSettings, HeldRpc, Key, Output, Ticket,
        Urgency,
    },
    lwm2m::{
        model::{ObjectModel, Operations, core},
        path::{ObjectVersion, Path},
        value::Value,
    },
    platform::{
        Answer, DeviceInfo, Downlink, Outcome, PlatformId, Question, QuestionError, Reply,
        RpcRequest, Uplink, UplinkId,
        credentials::{Admission, BootstrapCredentials, ClientCredentials},
        package::{Package, PackageInfo},
        peer::{Peer, PeerId, PeerIdentity, ServerRole},
        profile::{DeviceProfile, PowerSettings},
        time::{Now, UnixMillis},
        uplink::{KeyValue, RpcBody, RpcId, RpcStatus},
    },
    sim::{SimDevice, SimEvent, SimObjects, SimSettings},
    store::record,
};
use uuid::Uuid;

/// One device, its endpoint, and what lies between them.
pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) endpoint: Endpoint,
    pub(crate) device: SimDevice<()>,
    /// Where the device is; changing it is a NAT rebinding.
    pub(crate) peer: PeerId,
    pub(crate) network: Network,
    pub(crate) platform: ScriptedPlatform,
    pub(crate) events: Vec<SimEvent>,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) store: KeptRecord,
    pub(crate) settings: Arc<EndpointSettings>,
    /// What leads to the endpoint.
    pub(crate) bound: Vec<Key>,
    /// Datagrams that the endpoint did not take for its own.
    pub(crate) misrouted: Vec<Bytes>,
    /// Every datagram that left the device, with its time.
    pub(crate) sent_by_device: Vec<(Instant, Bytes)>,
    /// Every datagram that left the server.
    pub(crate) sent_by_server: Vec<(Instant, Bytes)>,
    in_flight: VecDeque<(Instant, (Towards, PeerId, Bytes))>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Towards {
    Device,
    Server,
}

/// What is kept of the endpoint, and how that goes on.
#[derive(Default)]
pub(crate) struct KeptRecord {
    pub(crate) record: Option<record::Endpoint>,
    /// How often one was handed over.
    pub(crate) written: usize,
    /// There is no room.
    pub(crate) full: bool,
    /// How long it takes to be on disk.
    pub(crate) delay: Duration,
    /// Restored endpoints that said that they are ready, or gone.
    pub(crate) restored: usize,
    due: VecDeque<(Instant, Ticket)>,
}

/// What a datagram may meet with.
pub(crate) struct Network {
    pub(crate) delay: Duration,
    pub(crate) jitter: Duration,
    /// Percent.
    pub(crate) loss: u64,
    /// Percent.
    pub(crate) duplication: u64,
    /// Nothing gets through either way.
    pub(crate) cut: bool,
    random: Random,
}

/// Answers as told, and remembers everything.
pub(crate) struct ScriptedPlatform {
    pub(crate) admission: Result<Arc<Admission>, QuestionError>,
    pub(crate) models: Vec<Arc<ObjectModel>>,
    /// Questions for models end in a timeout.
    pub(crate) models_unavailable: bool,
    /// The package that is assigned, and its bytes; questions for bytes fail so often before.
    pub(crate) package: Result<PackageInfo, QuestionError>,
    pub(crate) bytes: Result<Bytes, QuestionError>,
    pub(crate) bytes_missing: usize,
    /// How uplinks with an id end, and after how long.
    pub(crate) outcome: Outcome,
    pub(crate) delay: Duration,
    pub(crate) uplinks: Vec<Uplink>,
    due: VecDeque<(Instant, Reply)>,
}

impl World {
    pub(crate) fn new(profile: &str, seed: u8) -> Self {
        Self::with_parameters(profile, seed, TransmissionParameters::default())
    }

    pub(crate) fn with_parameters(
        profile: &str,
        seed: u8,
        parameters: TransmissionParameters,
    ) -> Self {
        Self::build(profile, seed, parameters, false, objects(), |_| {})
    }

    /// A world with other settings of endpoints.
    pub(crate) fn with(
        profile: &str,
        seed: u8,
        change: impl FnOnce(&mut EndpointSettings),
    ) -> Self {
        let parameters = TransmissionParameters::default();
        Self::build(profile, seed, parameters, false, objects(), change)
    }

    /// A world with objects for updates beside the usual ones, and other settings.
    pub(crate) fn with_updates(
        profile: &str,
        seed: u8,
        change: impl FnOnce(&mut EndpointSettings),
    ) -> Self {
        let parameters = TransmissionParameters::default();
        Self::build(profile, seed, parameters, false, updatable(), change)
    }

    /// The same, and the device answers 4.05 at these resources; the platform's models say nothing of it.
    pub(crate) fn with_refusals(profile: &str, seed: u8, resources: &[&str]) -> Self {
        let mut world = Self::with_updates(profile, seed, |_| {});
        let mut refused = updatable();
        for path in resources {
            let path: Path = path.parse().unwrap();
            let object = path.object_id().unwrap();
            let own = refused.models().find(|model| model.id == object);
            let mut model = ObjectModel::clone(own.unwrap());
            let resource = model.resources.get_mut(&path.resource_id().unwrap());
            resource.unwrap().operations = Operations::default();
            refused.add_object(Arc::new(model));
        }
        world.device = sim_device(seed, false, world.settings.coap.clone(), refused);
        world
    }

    /// A world whose device registers in Queue Mode.
    pub(crate) fn in_queue_mode(profile: &str, seed: u8) -> Self {
        Self::build(
            profile,
            seed,
            TransmissionParameters::default(),
            true,
            objects(),
            |_| {},
        )
    }

    /// The same, and nothing is written to `transportLog`.
    pub(crate) fn in_queue_mode_without_log(profile: &str, seed: u8) -> Self {
        Self::build(
            profile,
            seed,
            TransmissionParameters::default(),
            true,
            objects(),
            |settings| settings.log_enabled = false,
        )
    }

    /// A world whose device registers in Queue Mode and shares the places of its commands with others.
    pub(crate) fn in_queue_mode_holding(profile: &str, seed: u8, held: HeldRpc) -> Self {
        Self::build(
            profile,
            seed,
            TransmissionParameters::default(),
            true,
            objects(),
            |settings| settings.held_rpc = held,
        )
    }

    /// A world in which the endpoint is kept, and whose device has registered.
    pub(crate) fn kept(profile: &str, seed: u8) -> Self {
        Self::kept_with(profile, seed, false)
    }

    pub(crate) fn kept_with(profile: &str, seed: u8, queue_mode: bool) -> Self {
        let parameters = TransmissionParameters::default();
        let settings = |settings: &mut EndpointSettings| {
            settings.record_delay = Some(Duration::from_millis(500));
        };
        let mut world = Self::build(profile, seed, parameters, queue_mode, objects(), settings);
        world.device.register(world.now.mono);
        world.run(Duration::from_secs(5));
        assert!(world.device.is_registered(), "{:?}", world.events);
        world
    }

    /// The server's process ends without a word, and another one starts after `down`: the endpoint continues from what
    /// was kept of it.
    pub(crate) fn crash(&mut self, down: Duration) {
        self.closed = Some(CloseReason::Stopped);
        let alive = self.now.wall;
        self.platform.due.clear();
        self.store.due.clear();
        self.run(down);
        self.restore(alive);
    }

    /// The server stops as it should, and starts again after `down`.
    pub(crate) fn restart(&mut self, down: Duration) {
        self.endpoint.stop(self.now);
        self.run(Duration::ZERO);
        assert_eq!(self.closed, Some(CloseReason::Stopped));
        self.crash(down);
    }

    fn restore(&mut self, alive: UnixMillis) {
        let record = self.store.record.clone().unwrap();
        let name = EndpointName::new("dev1");
        let settings = Arc::clone(&self.settings);
        let restored = Endpoint::restore(name, &record, settings, [77; 32], self.now, alive);
        self.endpoint = restored.unwrap();
        self.closed = None;
        self.bound.clear();
        self.drain();
    }

    fn build(
        profile: &str,
        seed: u8,
        parameters: TransmissionParameters,
        queue_mode: bool,
        objects: SimObjects,
        change: impl FnOnce(&mut EndpointSettings),
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "any instant will do as the base of virtual time"
        )]
        let start = Instant::now();
        let now = Now {
            mono: start,
            wall: UnixMillis(1_700_000_000_000),
        };
        let parameters = Arc::new(parameters);
        let mut settings = EndpointSettings {
            coap: Arc::clone(&parameters),
            bodies: parameters.bodies(),
            ..EndpointSettings::default()
        };
        change(&mut settings);
        let settings = Arc::new(settings);
        Self {
            now,
            endpoint: Endpoint::new(EndpointName::new("dev1"), Arc::clone(&settings), [seed; 32]),
            settings,
            store: KeptRecord::default(),
            platform: ScriptedPlatform::new(profile, &objects),
            device: sim_device(seed, queue_mode, parameters, objects),
            peer: peer(5683),
            network: Network {
                delay: Duration::from_millis(20),
                jitter: Duration::ZERO,
                loss: 0,
                duplication: 0,
                cut: false,
                random: Random::from_seed([seed.wrapping_add(50); 32]),
            },
            events: Vec::new(),
            closed: None,
            bound: Vec::new(),
            misrouted: Vec::new(),
            sent_by_device: Vec::new(),
            sent_by_server: Vec::new(),
            in_flight: VecDeque::new(),
        }
    }

    /// A world whose device has registered and whose profile work is done.
    pub(crate) fn registered(profile: &str, seed: u8) -> Self {
        let mut world = Self::new(profile, seed);
        world.device.register(world.now.mono);
        world.run(Duration::from_secs(5));
        assert!(world.device.is_registered(), "{:?}", world.events);
        world
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        loop {
            self.drain();
            let Some(next) = self.next_moment().filter(|next| *next <= end) else {
                break;
            };
            self.advance_to(next.max(self.now.mono));
            self.step();
        }
        self.advance_to(end);
    }

    pub(crate) fn set(&mut self, path: &str, value: Value) {
        self.device.set(self.now.mono, path.parse().unwrap(), value);
    }

    pub(crate) fn rpc(&mut self, number: u128, method: &str, params: &str) {
        self.rpc_with(rpc_request(number, method, params));
    }

    pub(crate) fn rpc_with(&mut self, request: RpcRequest) {
        self.endpoint
            .handle_downlink(self.now, Downlink::Rpc(request));
    }

    /// What became of an RPC: statuses and reply, in order.
    pub(crate) fn rpc_history(&self, number: u128) -> Vec<String> {
        let is_it = |rpc: &RpcId| rpc.uuid == Uuid::from_u128(number);
        self.platform
            .uplinks
            .iter()
            .filter_map(|uplink| match uplink {
                Uplink::RpcStatus { rpc, status, .. } if is_it(rpc) => Some(match status {
                    RpcStatus::Sent => "SENT".to_owned(),
                    RpcStatus::Delivered => "DELIVERED".to_owned(),
                    RpcStatus::Timeout => "TIMEOUT".to_owned(),
                }),
                Uplink::RpcReply {
                    rpc,
                    body: RpcBody::Payload(text) | RpcBody::Error(text),
                    ..
                } if is_it(rpc) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// Values posted under a key, attributes and telemetry alike.
    pub(crate) fn posted(&self, key: &str) -> Vec<KeyValue> {
        let mut found = Vec::new();
        for uplink in &self.platform.uplinks {
            let values: Vec<_> = match uplink {
                Uplink::Telemetry { readings, .. } => {
                    readings.iter().flat_map(|own| own.values.clone()).collect()
                }
                Uplink::Attributes { values, .. } => values.clone(),
                _ => Vec::new(),
            };
            found.extend(
                values
                    .into_iter()
                    .filter(|(own, _)| own == key)
                    .map(|(_, value)| value),
            );
        }
        found
    }

    pub(crate) fn count(&self, is_it: impl Fn(&Uplink) -> bool) -> usize {
        self.platform
            .uplinks
            .iter()
            .filter(|uplink| is_it(uplink))
            .count()
    }

    /// A datagram of the device's, sent once more by the network.
    pub(crate) fn inject(&mut self, from: PeerId, datagram: Bytes) {
        self.endpoint
            .handle_datagram(self.now, &as_peer(from), datagram);
    }

    fn step(&mut self) {
        let now = self.now.mono;
        while let Some((towards, peer, datagram)) = pop_due(&mut self.in_flight, now) {
            match towards {
                Towards::Server if self.closed.is_none() => {
                    self.endpoint
                        .handle_datagram(self.now, &as_peer(peer), datagram);
                }
                Towards::Device if peer == self.peer => {
                    self.device.handle_datagram(self.now.mono, (), datagram)
                }
                Towards::Server | Towards::Device => {}
            }
            self.drain();
        }
        while let Some(reply) = pop_due(&mut self.platform.due, now) {
            self.endpoint.handle_reply(self.now, reply);
            self.drain();
        }
        while let Some(ticket) = pop_due(&mut self.store.due, now) {
            self.endpoint.handle_kept_record(self.now, ticket);
            self.drain();
        }
        if self
            .endpoint
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono)
            && self.closed.is_none()
        {
            self.endpoint.handle_timeout(self.now);
        }
        if self
            .device
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono)
        {
            self.device.handle_timeout(self.now.mono);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { peer, payload } => {
                    self.sent_by_server.push((self.now.mono, payload.clone()));
                    self.send(Towards::Device, peer, payload);
                }
                Output::Uplink(uplink) => self.platform.take(self.now.mono, uplink),
                Output::Closed(reason) => self.closed = Some(reason),
                Output::Bind(key) => self.bound.push(key),
                Output::Unbind(key) => self.bound.retain(|own| *own != key),
                Output::Misrouted { payload, .. } => self.misrouted.push(payload),
                Output::Disconnect { .. } | Output::Delivered { .. } => {}
                Output::Save { record, urgency } => self.keep(*record, urgency),
                Output::Forget => self.store.record = None,
                Output::Restored => self.store.restored += 1,
            }
        }
        while let Some(((), payload)) = self.device.poll_transmit() {
            self.sent_by_device.push((self.now.mono, payload.clone()));
            self.send(Towards::Server, self.peer, payload);
        }
        while let Some(event) = self.device.poll_event() {
            self.events.push(event);
        }
    }

    fn keep(&mut self, record: record::Endpoint, urgency: Urgency) {
        match urgency {
            Urgency::Soon if self.store.full => {
                return self.endpoint.handle_refused_record(self.now);
            }
            Urgency::Now(ticket) => {
                let at = self.now.mono + self.store.delay;
                self.store.due.push_back((at, ticket));
            }
            Urgency::Soon | Urgency::Last => {}
        }
        self.store.written += 1;
        // As it would come back from the file.
        self.store.record = record::Endpoint::from_row(&record.to_row()).ok();
    }

    fn send(&mut self, towards: Towards, peer: PeerId, payload: Bytes) {
        let network = &mut self.network;
        if network.cut {
            return;
        }
        let copies = if network.percent(network.duplication) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if network.percent(network.loss) {
                continue;
            }
            let jitter = network
                .random
                .uniform(0..=network.jitter.as_millis() as u64);
            let at = self.now.mono + network.delay + Duration::from_millis(jitter);
            let index = self.in_flight.partition_point(|(other, ..)| *other <= at);
            self.in_flight
                .insert(index, (at, (towards, peer, payload.clone())));
        }
    }

    fn next_moment(&self) -> Option<Instant> {
        let endpoint = self
            .closed
            .is_none()
            .then(|| self.endpoint.poll_timeout())
            .flatten();
        [
            self.in_flight.front().map(|(at, ..)| *at),
            self.platform.due.front().map(|(at, _)| *at),
            self.store.due.front().map(|(at, _)| *at),
            endpoint,
            self.device.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn advance_to(&mut self, moment: Instant) {
        let passed = moment.saturating_duration_since(self.now.mono);
        self.now = self.now.after(passed);
    }
}

impl Network {
    fn percent(&mut self, percent: u64) -> bool {
        self.random.uniform(0..=99) < percent
    }
}

impl ScriptedPlatform {
    fn new(profile: &str, objects: &SimObjects) -> Self {
        Self {
            admission: Ok(Arc::new(admission("dev1", profile))),
            models: objects.models().cloned().collect(),
            models_unavailable: false,
            package: Err(QuestionError::NotFound),
            bytes: Ok(Bytes::from_static(&[1])),
            bytes_missing: 0,
            outcome: Outcome::Durable,
            delay: Duration::from_millis(10),
            uplinks: Vec::new(),
            due: VecDeque::new(),
        }
    }

    fn take(&mut self, now: Instant, uplink: Uplink) {
        let reply = match &uplink {
            Uplink::Question {
                id,
                question: Question::Credentials { .. },
            } => Some(Reply::Answer {
                id: *id,
                result: self.admission.clone().map(Answer::Credentials),
            }),
            Uplink::Question {
                id,
                question: Question::Models { .. },
            } if self.models_unavailable => Some(Reply::Answer {
                id: *id,
                result: Err(QuestionError::Unavailable),
            }),
            Uplink::Question {
                id,
                question: Question::Models { keys, .. },
            } => {
                let known = self
                    .models
                    .iter()
                    .filter(|model| keys.contains(&(model.id, model.version)));
                Some(Reply::Answer {
                    id: *id,
                    result: Ok(Answer::Models(known.cloned().collect())),
                })
            }
            Uplink::Question {
                id,
                question: Question::Package { .. },
            } => Some(Reply::Answer {
                id: *id,
                result: self.package.clone().map(Answer::Package),
            }),
            Uplink::Question {
                id,
                question: Question::PackageBytes(_),
            } => {
                let missing = self.bytes_missing.checked_sub(1);
                let result = match missing {
                    Some(left) => {
                        self.bytes_missing = left;
                        Err(QuestionError::NotFound)
                    }
                    None => self
                        .bytes
                        .clone()
                        .map(|bytes| Answer::PackageBytes(Arc::new(Package::new(bytes)))),
                };
                Some(Reply::Answer { id: *id, result })
            }
            Uplink::Telemetry { id: Some(id), .. } | Uplink::Attributes { id: Some(id), .. } => {
                Some(Reply::Done {
                    id: *id,
                    outcome: self.outcome,
                })
            }
            _ => None,
        };
        if let Some(reply) = reply {
            let at = now + self.delay;
            let index = self.due.partition_point(|(other, _)| *other <= at);
            self.due.insert(index, (at, reply));
        }
        self.uplinks.push(uplink);
    }
}

pub(crate) fn rpc_request(number: u128, method: &str, params: &str) -> RpcRequest {
    RpcRequest {
        id: RpcId {
            request: i32::try_from(number).unwrap(),
            uuid: Uuid::from_u128(number),
        },
        method: method.to_owned(),
        params: params.to_owned(),
        expires: UnixMillis(i64::MAX),
        oneway: false,
        persisted: false,
    }
}

pub(crate) fn peer(port: u16) -> PeerId {
    PeerId::Udp {
        remote: ([192, 0, 2, 1], port).into(),
        local: None,
    }
}

pub(crate) fn as_peer(id: PeerId) -> Peer {
    Peer {
        id,
        role: ServerRole::Lwm2m,
        identity: PeerIdentity::Unsecured,
    }
}

pub(crate) fn admission(endpoint: &str, profile: &str) -> Admission {
    Admission {
        device: Arc::new(DeviceInfo {
            tenant: PlatformId(Uuid::from_u128(1)),
            customer: PlatformId::NULL,
            device: PlatformId(Uuid::from_u128(2)),
            profile: PlatformId(Uuid::from_u128(3)),
            name: "Device 1".to_owned(),
            kind: "profile".to_owned(),
        }),
        client: ClientCredentials::NoSec {
            endpoint: endpoint.to_owned(),
        },
        bootstrap: Some(BootstrapCredentials::default()),
        profile: Arc::new(DeviceProfile {
            id: PlatformId(Uuid::from_u128(3)),
            name: "profile".to_owned(),
            transport: serde_json::from_str(profile).unwrap(),
        }),
        power: PowerSettings::default(),
    }
}

/// Object 3 in version 1.2 and objects 19 and 3303 in version 1.1, with values.
pub(crate) fn objects() -> SimObjects {
    let catalog = core::catalog();
    let mut objects = SimObjects::default();
    for (object, version) in [
        (3, ObjectVersion::new(1, 2)),
        (19, ObjectVersion::new(1, 1)),
        (3303, ObjectVersion::new(1, 1)),
    ] {
        objects.add_object(Arc::clone(catalog.exact(object, version).unwrap()));
    }
    let values: BTreeMap<&str, Value> = [
        ("/3/0/0", Value::String("Lightship Labs".to_owned())),
        ("/3/0/9", Value::Integer(95)),
        ("/3/0/14", Value::String("+02:00".to_owned())),
        ("/3/0/6/0", Value::Integer(1)),
        ("/3/0/6/1", Value::Integer(5)),
        ("/19/0/0/0", Value::Opaque(Bytes::from_static(&[1]))),
        ("/19/0/0/1", Value::Opaque(Bytes::from_static(&[2]))),
        ("/3303/0/5700", Value::Float(21.5)),
        ("/3303/12/5700", Value::Float(25.0)),
    ]
    .into();
    for (path, value) in values {
        objects.set(path.parse::<Path>().unwrap(), value);
    }
    objects
}

fn sim_device(
    seed: u8,
    queue_mode: bool,
    coap: Arc<TransmissionParameters>,
    objects: SimObjects,
) -> SimDevice<()> {
    let settings = SimSettings {
        endpoint: "dev1".to_owned(),
        lifetime: Duration::from_secs(300),
        confirmable: true,
        queue_mode,
        updates: false,
        coap,
    };
    SimDevice::new(settings, objects, (), [seed.wrapping_add(100); 32])
}

/// The first of what is due at `now`.
pub(crate) fn pop_due<T>(queue: &mut VecDeque<(Instant, T)>, now: Instant) -> Option<T> {
    let is_due = queue.front().is_some_and(|(at, _)| *at <= now);
    let (_, first) = is_due.then(|| queue.pop_front()).flatten()?;
    Some(first)
}

/// The same, and Objects 5 and 9 with nothing installed.
pub(crate) fn updatable() -> SimObjects {
    let catalog = core::catalog();
    let mut objects = objects();
    for (object, version) in [(5, ObjectVersion::new(1, 2)), (9, ObjectVersion::new(1, 1))] {
        objects.add_object(Arc::clone(catalog.exact(object, version).unwrap()));
    }
    let text = |text: &str| Value::String(text.to_owned());
    for (path, value) in [
        ("/5/0/3", Value::Integer(0)),
        ("/5/0/5", Value::Integer(0)),
        ("/5/0/6", text("")),
        ("/5/0/7", text("")),
        ("/5/0/9", Value::Integer(2)),
        ("/9/0/0", text("")),
        ("/9/0/1", text("")),
        ("/9/0/7", Value::Integer(0)),
        ("/9/0/9", Value::Integer(0)),
    ] {
        objects.set(path.parse().unwrap(), value);
    }
    objects
}

/// Whether an uplink is telemetry of this kind that a device waits for.
pub(crate) fn waits(uplink: &Uplink) -> Option<UplinkId> {
    match uplink {
        Uplink::Telemetry { id, .. } | Uplink::Attributes { id, .. } => *id,
        _ => None,
    }
}
