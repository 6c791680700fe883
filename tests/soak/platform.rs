//! The platform: its core as far as devices notice it, with all its habits (`spec/measured.md` 5).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lightship::{
    lwm2m::model::ObjectModel,
    platform::{
        Answer, DeviceInfo, Downlink, Outcome, PlatformId, Question, QuestionError, Reply,
        SessionId, Uplink, UplinkId,
        credentials::{Admission, ClientCredentials},
        peer::PeerId,
        profile::DeviceProfile,
        time::UnixMillis,
        uplink::{KeyValue, Readings, RejectReason},
    },
};
use uuid::Uuid;

use crate::{
    device::{Device, EDRX_CYCLE, Kind, objects},
    history::{Checked, CoreState, violation},
    world::{Event, World},
};

/// What the platform has.
pub(crate) struct Core {
    pub(crate) records: Vec<Record>,
    models: Vec<Arc<ObjectModel>>,
    /// It does not answer and stores nothing.
    pub(crate) is_away: bool,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
}

/// A device as the platform knows it.
pub(crate) struct Record {
    pub(crate) admission: Arc<Admission>,
    /// It was deleted, and is created again then.
    pub(crate) missing_until: Option<Instant>,
    pub(crate) session: Option<SessionId>,
    pub(crate) shared: Option<(KeyValue, UnixMillis)>,
    /// Persistent commands that may still be given.
    pub(crate) pending: Vec<usize>,
    /// An observation was given up because the platform said so: readings may be, too.
    pub(crate) is_unwatched: bool,
}

impl Core {
    pub(crate) fn new(devices: &[Device]) -> Self {
        let records = devices.iter().enumerate().map(|(index, device)| Record {
            admission: Arc::new(admission(index, device)),
            missing_until: None,
            session: None,
            shared: None,
            pending: Vec::new(),
            is_unwatched: false,
        });
        Self {
            records: records.collect(),
            models: objects().models().cloned().collect(),
            is_away: false,
            opened: 0,
            closed: 0,
        }
    }
}

impl World {
    /// Takes an uplink of an endpoint.
    pub(crate) fn take(&mut self, endpoint: u64, device: usize, uplink: Uplink) -> Checked {
        self.trace(device, || shown(&uplink));
        match uplink {
            Uplink::SessionOpened { session } => {
                let record = &mut self.core.records[device];
                if let Some(open) = record.session {
                    return violation(None, format!("a session is opened beside {open}"));
                }
                if !self.server.sessions.contains_key(&session.id) {
                    return violation(None, "a session is opened to which nothing leads");
                }
                record.session = Some(session.id);
                record.is_unwatched = false;
                self.core.opened += 1;
                self.give_pending(device);
            }
            Uplink::SessionClosed { session } => {
                let record = &mut self.core.records[device];
                if record.session.take_if(|own| *own == session.id).is_none() {
                    return violation(None, "a session is closed that is not open");
                }
                self.core.closed += 1;
                self.history.session_closed(endpoint, session.id)?;
            }
            Uplink::Activity { session, .. } => self.is_open(device, session.id)?,
            Uplink::Telemetry {
                id,
                session,
                readings,
            } => {
                let is_log =
                    |own: &Readings| own.values.iter().all(|(key, _)| key == "transportLog");
                if !readings.iter().all(is_log) {
                    self.is_open(device, session.id)?;
                }
                if let Some(id) = id {
                    self.take_readings(endpoint, device, id, &readings)?;
                }
            }
            Uplink::Attributes { id, session, .. } => {
                self.is_open(device, session.id)?;
                if let Some(id) = id {
                    self.take_readings(endpoint, device, id, &[])?;
                }
            }
            Uplink::RpcStatus { rpc, status, .. } => self.history.status(endpoint, rpc, status)?,
            Uplink::RpcReply { rpc, body, .. } => self.history.replied(endpoint, rpc, &body)?,
            Uplink::AttributesWanted { session, .. } => {
                self.is_open(device, session.id)?;
                let shared = self.core.records[device].shared.clone();
                let named = shared.map(|(value, ts)| (SHARED_KEY.to_owned(), value, ts));
                let downlink = Downlink::Attributes {
                    updated: named.into_iter().collect(),
                    requested: true,
                };
                self.downlink(session.id, downlink, None);
            }
            Uplink::BootstrapReport { .. } => {
                return violation(None, "an endpoint reports a bootstrap");
            }
            Uplink::PendingRpcWanted { session } => {
                self.is_open(device, session.id)?;
                self.give_pending(device);
            }
            Uplink::Question { id, question } => {
                let result = self.answer(device, question);
                let delay = match result {
                    Err(QuestionError::Unavailable) => Duration::from_secs(5),
                    _ => self.delay(),
                };
                let reply = Reply::Answer { id, result };
                self.after(delay, Event::Reply(endpoint, reply));
            }
        }
        Ok(())
    }

    fn is_open(&self, device: usize, session: SessionId) -> Checked {
        if self.core.records[device].session == Some(session) {
            return Ok(());
        }
        violation(None, format!("session {session} is used and not open"))
    }

    /// Takes readings for which the device waits.
    fn take_readings(
        &mut self,
        endpoint: u64,
        device: usize,
        id: UplinkId,
        readings: &[Readings],
    ) -> Checked {
        let outcome = match self.random.uniform(0..=99) {
            _ if self.core.is_away => Outcome::Unavailable,
            0 => Outcome::Unavailable,
            1 => Outcome::Rejected(RejectReason::Limit),
            _ => Outcome::Durable,
        };
        let of = |name: &str| -> Vec<u64> {
            let values = readings.iter().flat_map(|own| &own.values);
            let own = values.filter(|(key, _)| key == name);
            own.filter_map(|(_, value)| match value {
                KeyValue::Double(number) => Some(*number as u64),
                _ => None,
            })
            .collect()
        };
        let (notified, sent) = (of("temperature"), of("lowest"));
        for reading in &notified {
            self.notified[device].reported(*reading)?;
        }
        let delay = self.delay();
        let stored = outcome != Outcome::Unavailable;
        let stored = stored.then_some((device, notified, sent));
        self.after(
            delay,
            Event::Stored(endpoint, Reply::Done { id, outcome }, stored),
        );
        Ok(())
    }

    fn answer(&self, device: usize, question: Question) -> Result<Answer, QuestionError> {
        if self.core.is_away {
            return Err(QuestionError::Unavailable);
        }
        let record = &self.core.records[device];
        match question {
            Question::Credentials { .. } if record.missing_until.is_some() => {
                Err(QuestionError::NotFound)
            }
            Question::Credentials { .. } => Ok(Answer::Credentials(Arc::clone(&record.admission))),
            Question::Models { keys, .. } => {
                let models = self.core.models.iter();
                let known = models.filter(|model| keys.contains(&(model.id, model.version)));
                Ok(Answer::Models(known.cloned().collect()))
            }
            // None is assigned.
            Question::Package { .. } | Question::PackageBytes(_) => Err(QuestionError::NotFound),
        }
    }

    /// Gives the persistent commands again that are queued.
    pub(crate) fn give_pending(&mut self, device: usize) {
        let wall = self.now.wall;
        let rpcs = &self.history.rpcs;
        let pending = &mut self.core.records[device].pending;
        pending.retain(|rpc| {
            let own = &rpcs[*rpc];
            own.state != CoreState::Final
                && (own.request.expires.0 == 0 || own.request.expires > wall)
        });
        let queued = pending
            .iter()
            .filter(|rpc| rpcs[**rpc].state == CoreState::Queued);
        for rpc in queued.copied().collect::<Vec<_>>() {
            self.give(rpc);
        }
    }

    /// Gives a command to whoever holds the session of its device, now and then twice.
    pub(crate) fn give(&mut self, rpc: usize) {
        let own = &self.history.rpcs[rpc];
        let (device, request) = (own.device, own.request.clone());
        let Some(session) = self.core.records[device].session else {
            return;
        };
        for _ in 0..=u32::from(self.random.uniform(0..=49) == 0) {
            self.downlink(session, Downlink::Rpc(request.clone()), Some(rpc));
        }
    }

    pub(crate) fn downlink(&mut self, session: SessionId, downlink: Downlink, rpc: Option<usize>) {
        let delay = self.delay();
        self.after(delay, Event::Downlink(session, downlink, rpc));
    }

    /// How long the platform takes.
    fn delay(&mut self) -> Duration {
        let longest = match self.random.uniform(0..=49) {
            0 => 15_000,
            1..=5 => 2000,
            _ => 200,
        };
        Duration::from_millis(self.random.uniform(5..=longest))
    }

    /// Another profile, or the same again.
    pub(crate) fn change_profile(&mut self, index: usize) {
        let kind = self.devices[index].kind;
        let profile = Arc::new(profile(index, kind, self.random.uniform(0..=3)));
        let record = &mut self.core.records[index];
        record.admission = Arc::new(Admission {
            profile: Arc::clone(&profile),
            ..(*record.admission).clone()
        });
        if let Some(session) = record.session {
            self.downlink(session, Downlink::ProfileChanged(profile), None);
        }
    }

    /// Another name.
    pub(crate) fn change_device(&mut self, index: usize) {
        let name = format!("Device {}", self.random.uniform(0..=9999));
        let record = &mut self.core.records[index];
        let device = Arc::new(DeviceInfo {
            name,
            ..(*record.admission.device).clone()
        });
        record.admission = Arc::new(Admission {
            device: Arc::clone(&device),
            ..(*record.admission).clone()
        });
        let power = record.admission.power.clone();
        if let Some(session) = record.session {
            self.downlink(session, Downlink::DeviceChanged { device, power }, None);
        }
    }
}

fn admission(index: usize, device: &Device) -> Admission {
    let id = |kind: u128| PlatformId(Uuid::from_u128(kind << 64 | index as u128));
    Admission {
        device: Arc::new(DeviceInfo {
            tenant: id(1),
            customer: PlatformId::NULL,
            device: id(2),
            profile: id(3),
            name: device.name.clone(),
            kind: "profile".to_owned(),
        }),
        client: ClientCredentials::NoSec {
            endpoint: device.name.clone(),
        },
        bootstrap: None,
        profile: Arc::new(profile(index, device.kind, index as u64 % 4)),
        power: device.power(),
    }
}

/// One of four profiles: single observations with attributes, without, and two sorts of composite ones.
fn profile(index: usize, kind: Kind, variant: u64) -> DeviceProfile {
    let cycle = EDRX_CYCLE.as_millis();
    let client = if kind == Kind::Edrx {
        format!(r#"{{"powerMode":"E_DRX","edrxCycle":{cycle},"pagingTransmissionWindow":10000}}"#)
    } else {
        "{}".to_owned()
    };
    let (strategy, attributes) = match variant {
        0 => ("SINGLE", r#"{"/3_1.2/0/9": {"pmin": 10, "pmax": 300}}"#),
        1 => ("SINGLE", "{}"),
        2 => ("COMPOSITE_ALL", "{}"),
        _ => ("COMPOSITE_BY_OBJECT", "{}"),
    };
    let json = format!(
        r#"{{"type": "LWM2M", "clientLwM2mSettings": {client}, "observeAttr": {{
            "observeStrategy": "{strategy}", "observe": ["/3303_1.1/0/5700", "/3_1.2/0/9"],
            "attribute": ["/3_1.2/0/0", "/3_1.2/0/14"],
            "telemetry": ["/3303_1.1/0/5700", "/3303_1.1/0/5601", "/3_1.2/0/9"],
            "keyName": {{"/3_1.2/0/0": "manufacturer", "/3_1.2/0/9": "batteryLevel", "/3_1.2/0/14": "{SHARED_KEY}",
                "/3303_1.1/0/5700": "temperature", "/3303_1.1/0/5601": "lowest"}},
            "attributeLwm2m": {attributes}}}}}"#
    );
    DeviceProfile {
        id: PlatformId(Uuid::from_u128(3 << 64 | index as u128)),
        name: "profile".to_owned(),
        transport: serde_json::from_str(&json).unwrap(),
    }
}

/// An uplink for people.
fn shown(uplink: &Uplink) -> String {
    match uplink {
        Uplink::Telemetry { id, readings, .. } => {
            let values: Vec<_> = readings.iter().flat_map(|own| &own.values).collect();
            format!("telemetry {id:?} {values:?}")
        }
        Uplink::Attributes { id, values, .. } => format!("attributes {id:?} {values:?}"),
        Uplink::RpcStatus { rpc, status, .. } => format!("command {}: {status:?}", rpc.request),
        Uplink::RpcReply { rpc, body, .. } => format!("command {}: {body:?}", rpc.request),
        Uplink::SessionOpened { session } => format!("session {} is opened", session.id),
        Uplink::SessionClosed { session } => format!("session {} is closed", session.id),
        other => format!("{:?}", other.kind()),
    }
}

/// Address number `number`.
pub(crate) fn address(number: u32) -> PeerId {
    let [_, high, middle, low] = number.to_be_bytes();
    PeerId::Udp {
        remote: ([10, high, middle, low], 5683).into(),
        local: None,
    }
}

/// The shared attribute that devices have a resource for.
pub(crate) const SHARED_KEY: &str = "utcOffset";
