//! What is known of profiles, tenants, queues, models and strangers, and who waits for more.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::{
    profile::DeviceProfile,
    session::{PlatformId, SessionInfo},
    uplink::Uplink,
};
use super::{
    book::{Book, Lookup},
    convert::{ApiQuestion, Form, ProfileRecord, TenantProfile, TenantRecord, TenantState},
    limits::TenantLimits,
    model_desk::ModelDesk,
    routing::{Queue, RoutingTable},
    settings::{CoreVersion, KafkaSettings},
    waiting::WaitingRoom,
};

/// The way of a device's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The queue for telemetry and attributes.
    pub(super) queue: Queue,
    /// Its owner.
    pub(super) owner: PlatformId,
    /// Rule chain of the profile.
    pub(super) rule_chain: Option<PlatformId>,
    /// How messages are wrapped.
    pub(super) form: Form,
    /// What the tenant's devices may send.
    pub(super) allowance: Allowance,
}

/// What the devices of a tenant may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Whether anything.
    pub(super) enabled: bool,
    /// How much.
    pub(super) limits: Arc<TenantLimits>,
}

impl From<&TenantRecord> for Allowance {
    fn from(tenant: &TenantRecord) -> Self {
        Self {
            enabled: tenant.state.is_none_or(|state| state.enabled),
            limits: Arc::clone(&tenant.profile.limits),
        }
    }
}

/// Why there is no way (yet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// Something is not known yet; these questions must be asked.
    Wait(Vec<ApiQuestion>),
    /// The core knows no such profile or tenant, or no queue.
    Nowhere,
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) routing: RoutingTable,
    pub(super) profiles: Book<PlatformId, Arc<ProfileRecord>>,
    pub(super) tenants: Book<PlatformId, TenantRecord>,
    pub(super) desk: ModelDesk,
    pub(super) room: WaitingRoom,
    /// Devices that changed to a profile which is being asked for.
    pub(super) moved: Vec<Moved>,
    strangers: HashMap<String, Instant>,
    core_version: CoreVersion,
}

/// A device that has another profile now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) device: PlatformId,
    pub(super) profile: PlatformId,
}

impl Caches {
    pub(super) fn new(settings: &KafkaSettings, core_version: CoreVersion) -> Self {
        let profile_age = Duration::from_secs(settings.profile_refresh_s.into());
        let model_age = Duration::from_secs(settings.model_refresh_s.into());
        Self {
            routing: RoutingTable::default(),
            profiles: Book::new(profile_age, CAPACITY),
            tenants: Book::new(profile_age, CAPACITY),
            desk: ModelDesk::new(model_age),
            room: WaitingRoom::new(CAPACITY),
            moved: Vec::new(),
            strangers: HashMap::new(),
            core_version,
        }
    }

    /// The way of a session's messages.
    ///
    /// # Errors
    /// [`NoRoute`]. Its questions count as asked.
    pub(super) fn route(&mut self, now: Instant, session: &SessionInfo) -> Result<Route, NoRoute> {
        let device = &session.device;
        let profile = self.profiles.look_up(now, &device.profile);
        let tenant = self.tenants.look_up(now, &device.tenant);
        let (profile, tenant) = match (profile, tenant) {
            (Lookup::Found(profile), Lookup::Found(tenant)) => (profile, tenant),
            (Lookup::Absent, tenant) => {
                // Nobody asks now, so it must not count as asked.
                if tenant == Lookup::Ask {
                    self.tenants.unanswered(now, &device.tenant);
                }
                return Err(NoRoute::Nowhere);
            }
            (profile, Lookup::Absent) => {
                if profile == Lookup::Ask {
                    self.profiles.unanswered(now, &device.profile);
                }
                return Err(NoRoute::Nowhere);
            }
            (profile, tenant) => {
                let mut questions = Vec::new();
                if profile == Lookup::Ask {
                    questions.push(ApiQuestion::DeviceProfile(device.profile));
                }
                if tenant == Lookup::Ask {
                    questions.push(ApiQuestion::Tenant(device.tenant));
                }
                return Err(NoRoute::Wait(questions));
            }
        };
        let (owner, queue) = self
            .routing
            .choose(
                profile.queue.as_deref(),
                device.tenant,
                tenant.profile.isolated,
            )
            .ok_or(NoRoute::Nowhere)?;
        Ok(Route {
            queue: queue.clone(),
            owner,
            rule_chain: profile.rule_chain,
            form: self.form(tenant.state),
            allowance: Allowance::from(&tenant),
        })
    }

    /// How messages are wrapped. A core that counts the changes of a tenant's state is 4.0 or newer; which of both it
    /// does not tell.
    fn form(&self, state: Option<TenantState>) -> Form {
        match self.core_version {
            CoreVersion::V3_7 | CoreVersion::V4_0 => Form::Legacy,
            CoreVersion::V4_1 => Form::Modern,
            CoreVersion::Auto => match state {
                Some(state) if state.version == 0 => Form::Legacy,
                Some(_) | None => Form::Both,
            },
        }
    }

    /// Whether the core is older than 4.0, as far as is known. It is one for all tenants.
    pub(super) fn is_before_4_0(&mut self) -> bool {
        match self.core_version {
            CoreVersion::V3_7 => true,
            CoreVersion::V4_0 | CoreVersion::V4_1 => false,
            CoreVersion::Auto => self
                .tenants
                .values_mut()
                .filter_map(|(_, record)| record.state)
                .all(|state| state.version == 0),
        }
    }

    /// The core told of a profile. An older version than the known one is not believed: answers and notifications
    /// overtake each other. Returns the profile if it differs from what was known.
    pub(super) fn learn_profile(
        &mut self,
        now: Instant,
        record: ProfileRecord,
    ) -> Option<Arc<DeviceProfile>> {
        let id = record.profile.id;
        let known = self.profiles.value(&id).cloned();
        let newest = match &known {
            Some(known) if record.version < known.version => Arc::clone(known),
            Some(_) | None => Arc::new(record),
        };
        let changed = known.is_some_and(|known| known.profile != newest.profile);
        self.profiles.learn(now, id, Some(Arc::clone(&newest)));
        changed.then(|| Arc::clone(&newest.profile))
    }

    /// The core told what a tenant may use.
    pub(super) fn learn_state(&mut self, state: TenantState) {
        let known = self.tenants.values_mut();
        for (_, record) in known.filter(|(tenant, _)| **tenant == state.tenant) {
            if record.state.is_none_or(|old| old.version <= state.version) {
                record.state = Some(state);
            }
        }
    }

    /// The core told what a tenant profile says.
    pub(super) fn learn_tenant_profile(&mut self, profile: &TenantProfile) {
        let known = self.tenants.values_mut();
        for (_, record) in known.filter(|(_, record)| record.profile.id == profile.id) {
            record.profile = profile.clone();
        }
    }

    /// Takes out the devices that wait for `profile` because it became theirs.
    pub(super) fn arrived(&mut self, profile: PlatformId) -> Vec<PlatformId> {
        let (arrived, moved) = std::mem::take(&mut self.moved)
            .into_iter()
            .partition(|moved| moved.profile == profile);
        self.moved = moved;
        let arrived: Vec<Moved> = arrived;
        arrived.into_iter().map(|moved| moved.device).collect()
    }

    /// Notes that a device waits for its new profile.
    pub(super) fn note_move(&mut self, moved: Moved) {
        if self.moved.len() < CAPACITY && !self.moved.contains(&moved) {
            self.moved.push(moved);
        }
    }

    /// Questions that waiting uplinks and moved devices depend on and that are not open.
    pub(super) fn questions_of_the_waiting(&mut self, now: Instant) -> Vec<ApiQuestion> {
        let mut questions = Vec::new();
        for device in self.room.devices() {
            let session = self.room.first(device).and_then(session_of).map(Arc::clone);
            if let Some(session) = session
                && let Err(NoRoute::Wait(ask)) = self.route(now, &session)
            {
                questions.extend(ask);
            }
        }
        for moved in self.moved.clone() {
            if self.profiles.look_up(now, &moved.profile) == Lookup::Ask {
                questions.push(ApiQuestion::DeviceProfile(moved.profile));
            }
        }
        questions
    }

    /// Questions that old knowledge asks for, a few at a time. Forgets what nobody uses.
    pub(super) fn questions_of_age(&mut self, now: Instant) -> Vec<ApiQuestion> {
        self.strangers.retain(|_, until| now < *until);
        let profiles = self.profiles.refresh(now, REFRESH_AT_ONCE);
        let tenants = self.tenants.refresh(now, REFRESH_AT_ONCE);
        let models = self.desk.models.refresh(now, REFRESH_AT_ONCE);
        let profiles = profiles.into_iter().map(ApiQuestion::DeviceProfile);
        let tenants = tenants.into_iter().map(ApiQuestion::Tenant);
        let models = models.into_iter().map(|key| ApiQuestion::Model {
            tenant: key.tenant,
            object: key.object,
            version: key.version,
        });
        profiles.chain(tenants).chain(models).collect()
    }

    /// The core does not know these credentials.
    pub(super) fn note_stranger(&mut self, now: Instant, credentials_id: String) {
        if self.strangers.len() < CAPACITY {
            self.strangers.insert(credentials_id, now + STRANGER);
        }
    }

    /// Whether the core said a moment ago that it does not know these credentials.
    pub(super) fn is_stranger(&self, now: Instant, credentials_id: &str) -> bool {
        self.strangers
            .get(credentials_id)
            .is_some_and(|until| now < *until)
    }
}

/// The session of an uplink that has one.
pub(super) const fn session_of(uplink: &Uplink) -> Option<&Arc<SessionInfo>> {
    match uplink {
        Uplink::SessionOpened { session }
        | Uplink::SessionClosed { session }
        | Uplink::Activity { session, .. }
        | Uplink::BootstrapReport { session, .. }
        | Uplink::Telemetry { session, .. }
        | Uplink::Attributes { session, .. }
        | Uplink::RpcStatus { session, .. }
        | Uplink::RpcReply { session, .. }
        | Uplink::AttributesWanted { session, .. }
        | Uplink::PendingRpcWanted { session } => Some(session),
        Uplink::Question { .. } => None,
    }
}

/// Pages of a book, uplinks that wait, strangers: far more than a healthy installation has.
const CAPACITY: usize = 10_000;
/// How long a stranger stays one (`rulings.md` 3.8).
const STRANGER: Duration = Duration::from_secs(10);
/// Values of one book that are asked for again per second.
const REFRESH_AT_ONCE: usize = 50;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::platform::{
        session::{DeviceInfo, SessionId},
        thingsboard::{
            clock,
            limits::{LevelLimits, Rates},
            routing::QueueInfo,
        },
    };

    const TENANT: PlatformId = PlatformId(Uuid::from_u128(1));
    const PROFILE: PlatformId = PlatformId(Uuid::from_u128(2));

    fn session() -> SessionInfo {
        SessionInfo {
            id: SessionId(Uuid::nil()),
            device: Arc::new(DeviceInfo {
                tenant: TENANT,
                customer: PlatformId::NULL,
                device: PlatformId(Uuid::from_u128(3)),
                profile: PROFILE,
                name: String::new(),
                kind: String::new(),
            }),
        }
    }

    fn profile(version: i64, name: &str) -> ProfileRecord {
        ProfileRecord {
            tenant: TENANT,
            profile: Arc::new(DeviceProfile {
                id: PROFILE,
                name: name.to_owned(),
                ..DeviceProfile::default()
            }),
            rule_chain: None,
            queue: None,
            version,
        }
    }

    fn tenant(version: i64) -> TenantRecord {
        TenantRecord {
            profile: TenantProfile {
                id: PlatformId(Uuid::from_u128(4)),
                isolated: false,
                limits: Arc::default(),
            },
            state: Some(TenantState {
                tenant: TENANT,
                enabled: true,
                version,
            }),
        }
    }

    fn caches() -> (Caches, Instant) {
        let mut caches = Caches::new(&KafkaSettings::default(), CoreVersion::Auto);
        caches.routing.insert(QueueInfo {
            owner: PlatformId::NULL,
            name: "Main".to_owned(),
            queue: Queue {
                topic: "tb_rule_engine.main".to_owned(),
                partitions: 10,
                duplicate: false,
            },
        });
        (caches, clock::now().mono)
    }

    #[test]
    fn a_route_needs_profile_and_tenant_and_asks_once_for_each() {
        let (mut caches, now) = caches();
        assert_eq!(
            caches.route(now, &session()),
            Err(NoRoute::Wait(vec![
                ApiQuestion::DeviceProfile(PROFILE),
                ApiQuestion::Tenant(TENANT)
            ]))
        );
        assert_eq!(
            caches.route(now, &session()),
            Err(NoRoute::Wait(Vec::new()))
        );
        caches.learn_profile(now, profile(1, "lw"));
        caches.tenants.learn(now, TENANT, Some(tenant(1)));
        let route = caches.route(now, &session()).unwrap();
        assert_eq!(route.queue.topic, "tb_rule_engine.main");
        assert!(route.allowance.enabled);
    }

    #[test]
    fn a_deleted_tenant_leads_nowhere() {
        let (mut caches, now) = caches();
        caches.learn_profile(now, profile(1, "lw"));
        caches.tenants.learn(now, TENANT, None);
        assert_eq!(caches.route(now, &session()), Err(NoRoute::Nowhere));
    }

    #[test]
    fn what_nobody_asks_for_is_asked_for_later() {
        for (profile_absent, missing) in [
            (true, ApiQuestion::Tenant(TENANT)),
            (false, ApiQuestion::DeviceProfile(PROFILE)),
        ] {
            let mut caches = Caches::new(&KafkaSettings::default(), CoreVersion::Auto);
            let now = clock::now().mono;
            if profile_absent {
                caches.profiles.learn(now, PROFILE, None);
            } else {
                caches.tenants.learn(now, TENANT, None);
            }
            assert_eq!(caches.route(now, &session()), Err(NoRoute::Nowhere));
            // The core has learned of it since.
            if profile_absent {
                caches.learn_profile(now, profile(1, "lw"));
            } else {
                caches.tenants.learn(now, TENANT, Some(tenant(1)));
            }
            let route = caches.route(now, &session());
            assert_eq!(route, Err(NoRoute::Wait(vec![missing])));
        }
    }

    #[test]
    fn an_older_profile_does_not_replace_a_newer_one() {
        let (mut caches, now) = caches();
        assert_eq!(caches.learn_profile(now, profile(2, "new")), None);
        assert_eq!(caches.learn_profile(now, profile(1, "old")), None);
        let known = caches.profiles.value(&PROFILE).unwrap();
        assert_eq!(known.profile.name, "new");
        let newer = caches.learn_profile(now, profile(3, "newer")).unwrap();
        assert_eq!(newer.name, "newer");
    }

    #[test]
    fn the_form_follows_the_setting_or_the_tenants_state() {
        let (mut caches, _) = caches();
        let state = |version| tenant(version).state;
        assert_eq!(caches.form(state(0)), Form::Legacy);
        assert_eq!(caches.form(state(1)), Form::Both);
        assert_eq!(caches.form(None), Form::Both);
        for (version, form) in [
            (CoreVersion::V3_7, Form::Legacy),
            (CoreVersion::V4_0, Form::Legacy),
            (CoreVersion::V4_1, Form::Modern),
        ] {
            caches.core_version = version;
            assert_eq!(caches.form(state(1)), form);
        }
    }

    #[test]
    fn a_tenants_state_and_profile_change_in_place() {
        let (mut caches, now) = caches();
        caches.learn_profile(now, profile(1, "lw"));
        caches.tenants.learn(now, TENANT, Some(tenant(5)));
        let disabled = |version| TenantState {
            tenant: TENANT,
            enabled: false,
            version,
        };
        caches.learn_state(disabled(4));
        assert!(caches.route(now, &session()).unwrap().allowance.enabled);
        caches.learn_state(disabled(6));
        assert!(!caches.route(now, &session()).unwrap().allowance.enabled);
        let limits = Arc::new(TenantLimits {
            tenant: LevelLimits {
                messages: Rates::parse("1:1").unwrap(),
                ..LevelLimits::default()
            },
            ..TenantLimits::default()
        });
        let saved = TenantProfile {
            isolated: true,
            limits: Arc::clone(&limits),
            ..tenant(0).profile
        };
        caches.learn_tenant_profile(&saved);
        let route = caches.route(now, &session()).unwrap();
        assert_eq!(route.allowance.limits, limits);
        assert!(caches.tenants.value(&TENANT).unwrap().profile.isolated);
    }

    #[test]
    fn a_stranger_is_one_for_ten_seconds() {
        let (mut caches, now) = caches();
        caches.note_stranger(now, "ep".to_owned());
        assert!(caches.is_stranger(now + Duration::from_millis(9_999), "ep"));
        assert!(!caches.is_stranger(now + Duration::from_secs(10), "ep"));
        assert!(!caches.is_stranger(now, "other"));
    }

    #[test]
    fn devices_wait_for_their_new_profile() {
        let (mut caches, _) = caches();
        let device = |id| PlatformId(Uuid::from_u128(id));
        for moved in [(10, 2), (11, 7), (10, 2)] {
            caches.note_move(Moved {
                device: device(moved.0),
                profile: device(moved.1),
            });
        }
        let now = clock::now().mono;
        let ask = |id| ApiQuestion::DeviceProfile(device(id));
        assert_eq!(caches.questions_of_the_waiting(now), [ask(2), ask(7)]);
        assert_eq!(caches.questions_of_the_waiting(now), []);
        assert_eq!(caches.arrived(PROFILE), [device(10)]);
        assert_eq!(caches.moved.len(), 1);
    }
}
