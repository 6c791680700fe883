//! A simulated device with a radio that sleeps, and what it waits for.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    coap::{Code, Message, MessageType, Token, TransmissionParameters},
    lwm2m::{
        format,
        model::{Models, core},
        node::{Node, ResourceContent},
        path::{ObjectVersion, Path},
        value::Value,
    },
    platform::{
        peer::PeerId,
        profile::{PowerMode, PowerSettings},
    },
    sim::{SimDevice, SimObjects, SimSettings},
};

/// How a device saves power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not at all; its notifications are confirmable or not.
    Drx {
        confirmable: bool,
    },
    QueueMode,
    Psm,
    Edrx,
}

pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) sim: SimDevice<()>,
    pub(crate) peer: PeerId,
    pub(crate) is_on: bool,
    pub(crate) armed: Option<Instant>,
    /// Its radio listens until then.
    pub(crate) awake_until: Instant,
    /// The last reading of [`NOTIFIED`] and of [`SENT`]; they only grow.
    pub(crate) reading: u64,
    pub(crate) sent_reading: u64,
    /// What the server observes, by token; `None`: several paths.
    observed: BTreeMap<Token, Option<Path>>,
    boots: u8,
    seed: u64,
    index: usize,
    models: Arc<Models>,
}

/// A message with a reading for which a device waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Notification(u16, u64),
    Send(Token, u64),
}

impl Device {
    pub(crate) fn new(seed: u64, index: usize, peer: PeerId, now: Instant) -> Self {
        let kind = match index % 6 {
            0 => Kind::Drx { confirmable: true },
            1 => Kind::Drx { confirmable: false },
            2 => Kind::QueueMode,
            3 => Kind::Psm,
            4 => Kind::Edrx,
            _ => Kind::QueueMode,
        };
        let objects = objects();
        let models = Arc::new(objects.models().cloned().collect());
        let name = format!("dev{index}");
        Self {
            sim: boot(seed, index, 0, &name, kind, objects),
            name,
            kind,
            peer,
            is_on: true,
            armed: None,
            awake_until: now,
            reading: 0,
            sent_reading: 0,
            observed: BTreeMap::new(),
            boots: 0,
            seed,
            index,
            models,
        }
    }

    /// It has lost its state, but for what its objects hold.
    pub(crate) fn reboot(&mut self) {
        self.boots = self.boots.wrapping_add(1);
        let objects = self.sim.objects().clone();
        self.sim = boot(
            self.seed, self.index, self.boots, &self.name, self.kind, objects,
        );
        self.armed = None;
    }

    /// Its settings at the platform.
    pub(crate) fn power(&self) -> PowerSettings {
        match self.kind {
            Kind::Psm => PowerSettings {
                power_mode: Some(PowerMode::Psm),
                psm_activity_timer: Some(10_000),
                ..PowerSettings::default()
            },
            Kind::Drx { .. } | Kind::QueueMode | Kind::Edrx => PowerSettings::default(),
        }
    }

    /// How long its radio listens after it was used.
    pub(crate) fn window(&self) -> Option<Duration> {
        match self.kind {
            Kind::Drx { .. } => None,
            Kind::QueueMode => Some(Duration::from_secs(93)),
            Kind::Psm | Kind::Edrx => Some(Duration::from_secs(10)),
        }
    }

    /// When a datagram that arrives reaches it; `None`: never.
    pub(crate) fn reached_at(&self, start: Instant, now: Instant) -> Option<Instant> {
        if self.window().is_none() || now <= self.awake_until {
            return Some(now);
        }
        let cycle = EDRX_CYCLE.as_millis() as u64;
        let since = (now - start).as_millis() as u64;
        let next = start + Duration::from_millis(since.div_ceil(cycle) * cycle);
        (self.kind == Kind::Edrx).then_some(next.max(now))
    }

    pub(crate) fn used_radio(&mut self, now: Instant) {
        if let Some(window) = self.window() {
            self.awake_until = now + window;
        }
    }

    /// Notes what the server observes.
    pub(crate) fn hears(&mut self, datagram: &Bytes) {
        let code = datagram.get(1).copied().unwrap_or_default();
        if code != Code::GET.0 && code != Code::FETCH.0 {
            return;
        }
        let Ok(message) = Message::parse(datagram.clone()) else {
            return;
        };
        if message.observe() == Some(0) {
            let segments: Vec<_> = message.uri_path().collect();
            let path = (message.code() == Code::GET).then(|| segments.join("/").parse().unwrap());
            self.observed.insert(message.token(), path);
        }
    }

    /// What a datagram of the device waits for with a reading of [`NOTIFIED`] or [`SENT`] in it.
    pub(crate) fn waits_for(&self, datagram: &Bytes) -> Option<Waiting> {
        let [first, code, ..] = **datagram else {
            return None;
        };
        let is_notification = code == Code::CONTENT.0;
        if first & 0x30 != 0 || !(is_notification || code == Code::POST.0) {
            return None;
        }
        let message = Message::parse(datagram.clone()).ok()?;
        assert_eq!(message.message_type(), MessageType::Confirmable);
        let (format, payload) = (message.content_format()?, message.payload());
        if is_notification {
            let path = self.observed.get(&message.token())?;
            let nodes = match path {
                Some(path) => {
                    let decoded = format::decode(format, path, &payload, &*self.models).ok()?;
                    vec![(*path, decoded.node)]
                }
                None => sampled(format::decode_send(format, &payload, &*self.models).ok()?),
            };
            let reading = value_at(&nodes, NOTIFIED)?;
            return Some(Waiting::Notification(message.message_id().0, reading));
        }
        if !message.uri_path().eq(["dp"]) {
            return None;
        }
        let nodes = sampled(format::decode_send(format, &payload, &*self.models).ok()?);
        Some(Waiting::Send(message.token(), value_at(&nodes, SENT)?))
    }
}

fn sampled(samples: format::Samples) -> Vec<(Path, Node)> {
    let samples = samples.samples.into_iter();
    samples.flat_map(|sample| sample.nodes).collect()
}

/// The reading at a path.
fn value_at(nodes: &[(Path, Node)], path: Path) -> Option<u64> {
    nodes.iter().find_map(|(own, node)| match node {
        Node::Resource(resource) if *own == path => match &resource.content {
            ResourceContent::Single(Value::Float(value)) => Some(*value as u64),
            _ => None,
        },
        _ => None,
    })
}

fn boot(
    seed: u64,
    index: usize,
    boots: u8,
    name: &str,
    kind: Kind,
    objects: SimObjects,
) -> SimDevice<()> {
    let settings = SimSettings {
        endpoint: name.to_owned(),
        lifetime: LIFETIME,
        confirmable: kind != Kind::Drx { confirmable: false },
        queue_mode: kind == Kind::QueueMode,
        updates: false,
        coap: Arc::new(TransmissionParameters::default()),
    };
    let mut bytes = [boots; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8..16].copy_from_slice(&(index as u64).to_be_bytes());
    SimDevice::new(settings, objects, (), bytes)
}

/// Objects 3, 19 and 3303 with values.
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
    for (path, value) in [
        ("/3/0/0", Value::String("Lightship Labs".to_owned())),
        ("/3/0/9", Value::Integer(95)),
        ("/3/0/14", Value::String("+02:00".to_owned())),
        ("/3/0/15", Value::String("Europe/Kyiv".to_owned())),
        ("/19/0/0/0", Value::Opaque(Bytes::from_static(&[1]))),
        ("/3303/0/5601", Value::Float(0.0)),
        ("/3303/0/5700", Value::Float(0.0)),
        ("/3303/12/5700", Value::Float(25.0)),
    ] {
        objects.set(path.parse().unwrap(), value);
    }
    objects
}

/// Where a device measures what it notifies.
pub(crate) const NOTIFIED: Path = Path::resource(3303, 0, 5700);
/// Where it measures what it sends by itself.
pub(crate) const SENT: Path = Path::resource(3303, 0, 5601);
/// Where the shared attribute is written that the platform sets.
pub(crate) const SHARED: Path = Path::resource(3, 0, 14);
pub(crate) const EDRX_CYCLE: Duration = Duration::from_millis(81_920);
pub(crate) const LIFETIME: Duration = Duration::from_secs(24 * 3600);
