//! What survives a restart of the server: when it is handed over to be kept, and how the endpoint continues from it.
//!
//! The record changes with registration, session, observations, written attributes, and when the profile's work is done;
//! never with traffic. Changes gather for a moment before the record is handed over. A command that must not be repeated
//! is sent only once its id is on record (delivery promise, rule 3).
//!
//! An endpoint that was restored has its session at once, and opens it again when the platform has confirmed the device,
//! and with it told the profile; object models are asked for next. Until they are known, nothing of the device is
//! acknowledged but Updates, and commands wait.

pub(super) mod values;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{platform::profile::ObserveAttr, store::record};

use super::{observation::Observed, presence::PowerSaving, *};

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    /// What the latest record was made of.
    kept: Option<Kept>,
    /// It has changed since, and will be handed over.
    changed: bool,
    /// A restored endpoint that the platform has not confirmed.
    restoring: Option<Restoring>,
    next_ticket: u64,
    /// Which record the command waits for that is held back.
    awaited: Option<Ticket>,
}

/// What to compare to know whether the record has changed.
#[derive(Debug)]
struct Kept {
    session: Arc<SessionInfo>,
    profile: Arc<DeviceProfile>,
    profile_mark: u64,
    changes: [u64; 4],
    settled: bool,
}

/// Counts the files in which records are kept, one after the other: what the one before held is not in the next. All
/// endpoints of the process share it.
#[derive(Clone, Debug, Default)]
pub struct FileGeneration(Arc<AtomicU64>);

impl FileGeneration {
    /// An empty file has taken the place of the one before: every endpoint hands its record over when it next has
    /// something to do.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn current(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a restored endpoint was when the record was made.
#[derive(Debug)]
struct Restoring {
    question: RequestId,
    profile_mark: u64,
    settled: bool,
    changes: [u64; 4],
    /// The device has said something since.
    heard: bool,
}

/// Names a record that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// How a record is to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// When there is room; else [`Endpoint::handle_refused_record`] says so.
    Soon,
    /// At once; [`Endpoint::handle_kept_record`] says when it is kept.
    Now(Ticket),
    /// It is the last.
    Last,
}

/// A record of which nothing can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record lacks a part, or has one that cannot be read")]
pub struct UnusableRecord;

impl Persistence {
    /// Forgets what belonged to a registration.
    pub(super) fn begin_anew(&mut self) {
        *self = Self {
            next_ticket: self.next_ticket,
            ..Self::default()
        };
    }
}

impl Endpoint {
    /// The endpoint as it was when `record` was made. `alive` is when the server was last known to serve it: until then
    /// the device had kept its registration up.
    ///
    /// # Errors
    /// [`UnusableRecord`]
    pub fn restore(
        name: EndpointName,
        record: &record::Endpoint,
        settings: Arc<EndpointSettings>,
        seed: [u8; 32],
        now: Now,
        alive: UnixMillis,
    ) -> Result<Self, UnusableRecord> {
        let registration = Registration::restored(record)
            .filter(|registration| registration.data.endpoint == name.as_str())
            .ok_or(UnusableRecord)?;
        let mut own = Self::new(name, settings, seed);
        for (kept, (token, observed)) in record
            .observations
            .iter()
            .filter_map(|kept| Some((kept, Observed::restored(kept)?)))
        {
            let Some(operation) = observed.request() else {
                continue;
            };
            own.exchanges.resume_observation(
                now.mono,
                registration.peer.id,
                token,
                &operation.request(registration.data.objects.root()),
                own.settings.request_timeout,
                kept.order,
            );
            own.observations.establish(token, observed);
        }
        own.downlink = DownlinkQueue::restored(&record.rpcs);
        own.attributes = SharedAttributes::restored(&record.attributes);
        for key in registration.keys() {
            own.bindings.push_back(Output::Bind(key));
        }
        if registration.peer.identity != PeerIdentity::Unsecured {
            own.presence.displace();
        }
        let id = registration.credentials_id().to_owned();
        let question = own.ask(Question::Credentials { id });
        let there = record
            .settled
            .then(|| registration.data.objects.paths().collect());
        own.resources = Resources::restored(&record.values, there, question);
        own.persistence.restoring = Some(Restoring {
            question,
            profile_mark: record.profile_mark,
            settled: record.settled,
            changes: own.changes(&registration),
            heard: false,
        });
        own.resume_lifetime(now, alive, &registration);
        own.registration = Some(registration);
        Ok(own)
    }

    /// A lifetime that ran out while nobody could hear the device ends at once, but not before a message that it began to
    /// send in time can have arrived.
    fn resume_lifetime(&mut self, now: Now, alive: UnixMillis, registration: &Registration) {
        let Some(lifetime) = registration.data.lifetime.duration() else {
            return;
        };
        let away = u64::try_from(now.wall.0.saturating_sub(alive.0)).unwrap_or_default();
        let away = Duration::from_millis(away);
        let grace = self.settings.coap.max_transmit_wait();
        let left = match lifetime.checked_sub(away) {
            Some(left) => left.max(grace),
            None if away < lifetime.saturating_add(grace) => grace,
            None => Duration::ZERO,
        };
        self.timers.set(Timer::Lifetime, now.mono + left);
    }

    /// The record is kept.
    pub fn handle_kept_record(&mut self, now: Now, ticket: Ticket) {
        if self
            .persistence
            .awaited
            .take_if(|own| *own == ticket)
            .is_some()
            && let Some(command) = self.downlink.take_held()
        {
            self.dispatch(now, command);
        }
        self.pump(now);
    }

    /// There is no room for the record: it is handed over again later.
    pub fn handle_refused_record(&mut self, now: Now) {
        self.persistence.kept = None;
        self.persistence.changed = true;
        if let Some(delay) = self.settings.record_delay {
            self.timers.set(Timer::Record, now.mono + delay.max(RETRY));
        }
    }

    /// Whether it was restored, and the platform has not confirmed it yet.
    pub const fn is_unconfirmed(&self) -> bool {
        self.persistence.restoring.is_some()
    }

    /// Notes that the device has said something; whether the endpoint knows how to react.
    pub(super) fn is_heard_unconfirmed(&mut self) -> bool {
        match &mut self.persistence.restoring {
            Some(restoring) => {
                restoring.heard = true;
                true
            }
            None => false,
        }
    }

    /// Asks the platform again about a restored endpoint.
    pub(super) fn ask_for_confirmation(&mut self) {
        let Some(registration) = &self.registration else {
            return;
        };
        let id = registration.credentials_id().to_owned();
        let question = self.ask(Question::Credentials { id });
        if let Some(restoring) = &mut self.persistence.restoring {
            restoring.question = question;
        }
    }

    /// Whether the answer to this question confirms a restored endpoint.
    pub(super) fn awaits_confirmation(&self, question: RequestId) -> bool {
        let restoring = self.persistence.restoring.as_ref();
        restoring.is_some_and(|restoring| restoring.question == question)
    }

    /// The platform has spoken on a restored endpoint.
    pub(super) fn confirm(&mut self, now: Now, answer: Result<Arc<Admission>, QuestionError>) {
        let Some(registration) = &mut self.registration else {
            return;
        };
        let admission = match answer {
            Ok(admission)
                if (admission.client)
                    .admit(&registration.data.endpoint, &registration.peer.identity) =>
            {
                admission
            }
            Err(QuestionError::Unavailable | QuestionError::Limited) => {
                return self.timers.set(Timer::Models, now.mono + MODELS_PAUSE);
            }
            Ok(_) | Err(_) => return self.end(now, CloseReason::Removed),
        };
        let Some(restoring) = self.persistence.restoring.take() else {
            return;
        };
        self.outputs.push_back(Output::Restored);
        registration.power = admission.power.clone();
        let (old_session, profile) = (Arc::clone(&registration.session), &admission.profile);
        self.persistence.kept = Some(Kept {
            session: old_session,
            profile: Arc::clone(profile),
            profile_mark: restoring.profile_mark,
            changes: restoring.changes,
            settled: restoring.settled,
        });
        if registration.session.device != admission.device {
            let session = Arc::new(SessionInfo {
                id: registration.session.id,
                device: Arc::clone(&admission.device),
            });
            registration.session = Arc::clone(&session);
            self.bindings.push_back(Output::Bind(Key::Session(session)));
        }
        let session = Arc::clone(&registration.session);
        self.outputs
            .push_back(Output::Uplink(Uplink::SessionOpened { session }));
        let tenant = admission.device.tenant;
        let keys = registration::versions(&registration.data);
        registration.profile = Arc::clone(profile);
        if mark(profile) != restoring.profile_mark {
            // What the former one was is not known, so that all is done anew; what is observed still is reset.
            self.persistence.kept = None;
            self.resources.begin_anew();
            for token in self.observations.tokens() {
                self.exchanges.cancel(now.mono, token);
                self.observations.remove(token);
            }
        }
        let question = self.ask(Question::Models { tenant, keys });
        self.resources.await_instead(question);
        if restoring.heard {
            self.heard(now);
        } else if self.power_saving() != PowerSaving::Never {
            let displaced = self.presence.is_displaced();
            self.presence = Presence::asleep();
            if displaced {
                self.presence.displace();
            }
        }
    }

    /// A restored endpoint has ended before it was confirmed.
    pub(super) fn forget_restoring(&mut self) {
        if self.persistence.restoring.take().is_some() {
            self.outputs.push_back(Output::Restored);
        }
    }

    /// Looks whether the record has changed, and has it handed over in a moment.
    pub(super) fn watch_record(&mut self, now: Now) {
        let Some(delay) = self.settings.record_delay else {
            return;
        };
        if self.persistence.changed || self.is_unconfirmed() || !self.is_record_stale() {
            return;
        }
        self.persistence.changed = true;
        self.timers.set(Timer::Record, now.mono + delay);
    }

    /// Hands the record over, unless all is again as it was.
    pub(super) fn save_changes(&mut self) {
        self.persistence.changed = false;
        if self.is_record_stale() {
            self.save(Urgency::Soon);
        }
    }

    fn is_record_stale(&self) -> bool {
        let Some(registration) = &self.registration else {
            return false;
        };
        self.persistence.kept.as_ref().is_none_or(|kept| {
            !Arc::ptr_eq(&kept.session, &registration.session)
                || !Arc::ptr_eq(&kept.profile, &registration.profile)
                || kept.changes != self.changes(registration)
                || kept.settled != self.is_settled()
        })
    }

    fn changes(&self, registration: &Registration) -> [u64; 4] {
        [
            self.settings.file_generation.current(),
            registration.changes,
            self.observations.changes(),
            self.attributes.changes(),
        ]
    }

    /// Whether nothing that the profile asks for is still to be done.
    fn is_settled(&self) -> bool {
        match &self.persistence.restoring {
            Some(restoring) => restoring.settled,
            None => self.resources.all_begun() && !self.downlink.has_profile_work(),
        }
    }

    /// Hands the record over.
    pub(super) fn save(&mut self, urgency: Urgency) {
        self.timers.stop(Timer::Record);
        self.persistence.changed = false;
        if let Some(record) = self.record() {
            self.outputs.push_back(Output::Save {
                record: Box::new(record),
                urgency,
            });
        }
    }

    fn record(&mut self) -> Option<record::Endpoint> {
        let registration = self.registration.as_ref()?;
        let settled = self.is_settled();
        let profile_mark = match (&self.persistence.restoring, &self.persistence.kept) {
            (Some(restoring), _) => restoring.profile_mark,
            (None, Some(kept)) if Arc::ptr_eq(&kept.profile, &registration.profile) => {
                kept.profile_mark
            }
            (None, _) => mark(&registration.profile),
        };
        self.persistence.kept = Some(Kept {
            session: Arc::clone(&registration.session),
            profile: Arc::clone(&registration.profile),
            profile_mark,
            changes: self.changes(registration),
            settled,
        });
        let observations = self.observations.iter().map(|(token, observed)| {
            let order = self.exchanges.notification_order(*token);
            observed.record(*token, order.unwrap_or_default())
        });
        Some(record::Endpoint {
            registration: Some(registration.record()),
            peer: Some(registration.peer_record()),
            session: Some(registration.session_record()),
            observations: observations.collect(),
            attributes: self.attributes.record(),
            values: self.resources.record(),
            rpcs: self.downlink.record(),
            settled,
            profile_mark,
            shard: self.settings.shard.into(),
        })
    }

    /// Whether a command may be sent only once it is on record.
    pub(super) fn must_be_kept_first(&self, command: &Command) -> bool {
        self.settings.record_delay.is_some()
            && matches!(command.origin, Origin::Rpc { .. })
            && !command.operation.is_repeatable()
    }

    /// Holds a command back until it is on record.
    pub(super) fn send_once_kept(&mut self, command: Command) {
        self.downlink.hold(command);
        let ticket = Ticket(self.persistence.next_ticket);
        self.persistence.next_ticket += 1;
        self.persistence.awaited = Some(ticket);
        self.save(Urgency::Now(ticket));
    }

    /// Ends the endpoint because the server stops, and leaves it to the next start: the device keeps its registration,
    /// the platform its session.
    pub(super) fn suspend(&mut self, now: Now) {
        self.save(Urgency::Last);
        self.read_unread(now);
        self.exchanges.cancel_requests();
        if let Some(registration) = self.registration.take() {
            self.cancel_commands(now, &registration);
            self.release(now, &registration);
            self.lingering = Some(registration);
        }
        self.stop_lingering();
        self.outputs.push_back(Output::Closed(CloseReason::Stopped));
    }
}

/// Stands for what of a profile is work at a device: another one has another mark, but for one case in 2^64. A new name of
/// a key is none (`observation::profile_change`).
fn mark(profile: &DeviceProfile) -> u64 {
    use sha2::{Digest, Sha256};
    let ObserveAttr {
        observe,
        attribute,
        telemetry,
        key_name: _,
        notification_attributes,
        read_by_observe_strategy,
        observe_strategy,
    } = &profile.transport.observe_attr;
    let lists = (observe, attribute, telemetry, notification_attributes);
    let digest = Sha256::digest(format!(
        "{lists:?} {read_by_observe_strategy} {observe_strategy:?}"
    ));
    let start = digest.iter().take(8);
    start.fold(0, |mark, byte| mark << 8 | u64::from(*byte))
}

/// After how long a record is handed over again for which there was no room.
const RETRY: Duration = Duration::from_secs(5);
