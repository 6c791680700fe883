//! A double of the platform core on a real broker.
//!
//! It answers the questions of a transport, sends commands and notifications, and collects what devices post. Every
//! record it receives is held against `platform-wire.md`; what breaks a rule is a violation, and violations make the
//! test fail when the double is dropped, whatever else the test looked at.
//!
//! Waits have deadlines and end as soon as the awaited is there; nothing sleeps for luck.

mod bus;
mod checks;
mod life;
mod state;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lightship::{lwm2m::model::ddf, platform::uplink::KeyValue};
use uuid::Uuid;

use super::wire::ToTransportMsg;

use self::{
    bus::{Action, Bus},
    state::{Device, Profile, Queue, Rpc, State},
};
pub(crate) use self::{
    life::{Cache, CoreOptions},
    state::{Reading, RpcProgress, TENANT, UsageReport},
};

/// The double.
pub(crate) struct StrictCore {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The bus of the first instance, which also says what tests want said.
    bus: Bus,
    /// Those of the other ones.
    others: Vec<Bus>,
    stop: AtomicBool,
}

/// How a command is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RpcOptions {
    pub(crate) oneway: bool,
    pub(crate) persisted: bool,
    pub(crate) timeout: Duration,
}

impl Default for RpcOptions {
    fn default() -> Self {
        Self {
            oneway: false,
            persisted: false,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Why the double closes a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Close {
    CredentialsUpdated = 1,
    MaxConcurrentSessions = 2,
    SessionTimeout = 3,
    RpcDeliveryTimeout = 4,
}

impl StrictCore {
    /// The topics of a core, and those of the transport `service_id`, with their Kafka partitions.
    pub(crate) fn topics(prefix: &str, service_id: &str) -> Vec<(String, i32)> {
        let own = ["tb_transport.api.responses", "tb_transport.notifications"]
            .map(|topic| (bus::full(prefix, &format!("{topic}.{service_id}")), 1));
        bus::core_topics(prefix).into_iter().chain(own).collect()
    }

    /// Starts the double. Topics of the core that are missing are created, where the broker can do that.
    pub(crate) fn start(bootstrap_servers: &str, prefix: &str) -> Self {
        Self::start_with(bootstrap_servers, prefix, CoreOptions::default())
    }

    /// Starts it with options.
    pub(crate) fn start_with(bootstrap_servers: &str, prefix: &str, options: CoreOptions) -> Self {
        let instances = options.instances;
        let connect = |instance| Bus::connect(bootstrap_servers, prefix, instance, instances);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(prefix, options)),
            changed: Condvar::new(),
            bus: connect(0),
            others: (1..instances).map(connect).collect(),
            stop: AtomicBool::new(false),
        });
        let read = |instance| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.read(instance))
        };
        let threads = (0..instances).map(read).collect();
        Self { shared, threads }
    }

    /// Stops an instance: what transports say to it waits.
    pub(crate) fn stop_instance(&self, instance: usize) {
        self.lock().stop(instance);
    }

    /// Starts an instance that was stopped, or starts it anew: its request numbers begin at 0, its callers are gone.
    pub(crate) fn start_instance(&self, instance: usize, cache: Cache) {
        self.lock().start(instance, cache);
    }

    /// Starts every instance anew.
    pub(crate) fn restart(&self, cache: Cache) {
        let mut state = self.lock();
        for instance in 0..state.life.options.instances {
            state.start(instance, cache);
        }
    }

    /// How many instances there are.
    pub(crate) fn instances(&self) -> usize {
        self.lock().life.options.instances
    }

    /// The instance that serves a device.
    pub(crate) fn instance_of(&self, device: Uuid) -> usize {
        self.lock().instance_of(device)
    }

    /// Answers, and what is sent to sessions, leave so late.
    pub(crate) fn delay(&self, delay: Duration) {
        self.lock().life.delay = delay;
    }

    /// Sends what goes to sessions so many times; 1 is normal.
    pub(crate) fn repeat_notifications(&self, times: usize) {
        self.lock().life.notify_times = times;
    }

    /// While garbled, answers are no protobuf.
    pub(crate) fn garble_answers(&self, garbled: bool) {
        self.lock().life.garbled = garbled;
    }

    /// Adds a device profile with a `transportConfiguration` (JSON); `queue` names its rule-engine queue.
    pub(crate) fn add_profile(&self, name: &str, configuration: &str, queue: Option<&str>) -> Uuid {
        let id = Uuid::new_v4();
        let profile = Profile {
            name: name.to_owned(),
            configuration: configuration.to_owned(),
            queue: queue.map(str::to_owned),
            version: 1,
        };
        self.lock().profiles.insert(id, profile);
        id
    }

    /// Adds a device that is known by `credentials_id` and proves itself by the `client` part of its credentials (JSON).
    pub(crate) fn add_device(
        &self,
        name: &str,
        profile: Uuid,
        credentials_id: &str,
        client: &str,
    ) -> Uuid {
        let id = Uuid::new_v4();
        let mut state = self.lock();
        let device = Device::new(name, profile, client);
        state.devices.insert(id, device);
        state.credentials.insert(credentials_id.to_owned(), id);
        id
    }

    /// Adds a NoSec device whose name is its endpoint name.
    pub(crate) fn add_nosec_device(&self, endpoint: &str, profile: Uuid) -> Uuid {
        let client = format!(r#"{{"securityConfigClientMode":"NO_SEC","endpoint":"{endpoint}"}}"#);
        self.add_device(endpoint, profile, endpoint, &client)
    }

    /// Adds every object of an object definition (XML).
    pub(crate) fn add_model(&self, xml: &str) {
        let mut state = self.lock();
        for model in ddf::parse(xml.as_bytes()).unwrap() {
            let key = format!("{}_{}", model.id, model.version);
            state.models.insert(key, xml.as_bytes().to_vec());
        }
    }

    /// Assigns a package to a device; nobody is told.
    pub(crate) fn assign_package(&self, device: Uuid, kind: &str, package: (Uuid, &str, &str)) {
        let (id, title, version) = package;
        let package = (id, title.to_owned(), version.to_owned());
        self.lock()
            .packages
            .insert((device, kind.to_owned()), package);
    }

    /// Adds or replaces the one object of an object definition (XML) and tells the transports.
    pub(crate) fn change_model(&self, key: &str, xml: &str, service_id: &str) {
        self.add_model(xml);
        self.shared.bus.notify(service_id, &state::model_saved(key));
    }

    /// Removes an object model and tells the transports.
    pub(crate) fn delete_model(&self, key: &str, service_id: &str) {
        self.lock().models.remove(key);
        self.shared
            .bus
            .notify(service_id, &state::model_deleted(key));
    }

    /// Adds or replaces a shared rule-engine queue. Its topics are the test's business.
    pub(crate) fn add_queue(&self, name: &str, topic: &str, partitions: u32, duplicate: bool) {
        let queue = Queue {
            topic: topic.to_owned(),
            partitions,
            duplicate,
        };
        self.lock().save_queue(state::NULL, name, queue);
    }

    /// Reads one more topic, which must be there; `topic` without prefix.
    pub(crate) fn also_read(&self, topic: &str) {
        let topic = bus::full(&self.lock().prefix, topic);
        self.shared.bus.also_read(&topic);
    }

    /// Adds or replaces a queue, shared or the tenant's own, and tells the transports.
    pub(crate) fn save_queue(
        &self,
        is_own: bool,
        name: &str,
        topic: &str,
        partitions: u32,
        service_id: &str,
    ) {
        let queue = Queue {
            topic: topic.to_owned(),
            partitions,
            duplicate: false,
        };
        let owner = if is_own { TENANT } else { state::NULL };
        let message = self.lock().save_queue(owner, name, queue);
        self.shared.bus.notify(service_id, &message);
    }

    /// Deletes a shared queue and tells the transports.
    pub(crate) fn delete_queue(&self, name: &str, service_id: &str) {
        let message = self.lock().delete_queue(state::NULL, name);
        self.shared.bus.notify(service_id, &message);
    }

    /// Changes the tenant profile and tells the transports; `configuration` (JSON) holds its limits.
    pub(crate) fn change_tenant_profile(
        &self,
        isolated: bool,
        configuration: &str,
        service_id: &str,
    ) {
        let mut state = self.lock();
        state.tenant_isolated = isolated;
        state.tenant_configuration = configuration.to_owned();
        let message = state.tenant_profile_saved();
        drop(state);
        self.shared.bus.notify(service_id, &message);
    }

    /// Gives the tenant a tenant profile and tells the transports only that the tenant was saved.
    pub(crate) fn change_tenant(&self, isolated: bool, service_id: &str) {
        self.lock().tenant_isolated = isolated;
        self.shared.bus.notify(service_id, &State::tenant_saved());
    }

    /// Deletes the tenant and tells the transports.
    pub(crate) fn delete_tenant(&self, service_id: &str) {
        self.lock().tenant_deleted = true;
        self.delete_entity("TENANT", TENANT, service_id);
    }

    /// Tells the transports that an entity was deleted.
    pub(crate) fn delete_entity(&self, kind: &str, id: Uuid, service_id: &str) {
        self.shared
            .bus
            .notify(service_id, &state::entity_deleted(kind, id));
    }

    /// Changes a profile's configuration and tells the transports.
    pub(crate) fn change_profile(&self, id: Uuid, configuration: &str, service_id: &str) {
        let mut state = self.lock();
        let profile = state.profiles.get_mut(&id).unwrap();
        profile.configuration = configuration.to_owned();
        profile.version += 1;
        let message = state.profile_saved(id);
        drop(state);
        self.shared.bus.notify(service_id, &message);
    }

    /// Gives a device another name and profile and tells the transports.
    pub(crate) fn change_device(&self, id: Uuid, name: &str, profile: Uuid, service_id: &str) {
        let mut state = self.lock();
        state.devices.get_mut(&id).unwrap().change(name, profile);
        let message = state.device_saved(id);
        drop(state);
        self.shared.bus.notify(service_id, &message);
    }

    /// Deletes a device and tells the transports.
    pub(crate) fn delete_device(&self, id: Uuid, service_id: &str) {
        self.lock().credentials.retain(|_, device| *device != id);
        self.delete_entity("DEVICE", id, service_id);
    }

    /// Counts the changes of the tenant's state from 0, as a core before 4.0, which counts none.
    pub(crate) fn be_older_than_4_0(&self) {
        self.lock().tenant_version = 0;
    }

    /// Switches the tenant's transport on or off and tells the transports.
    pub(crate) fn enable_tenant(&self, enabled: bool, service_id: &str) {
        let mut state = self.lock();
        state.tenant_enabled = enabled;
        state.tenant_version += 1;
        let message = state.tenant_state();
        drop(state);
        self.shared.bus.notify(service_id, &message);
    }

    /// Sends a command; it waits here while the device has no subscribed session.
    pub(crate) fn rpc(&self, device: Uuid, method: &str, params: &str) -> Uuid {
        self.rpc_with(device, method, params, RpcOptions::default())
    }

    /// Sends a command with options.
    pub(crate) fn rpc_with(
        &self,
        device: Uuid,
        method: &str,
        params: &str,
        options: RpcOptions,
    ) -> Uuid {
        let id = Uuid::new_v4();
        let mut state = self.lock();
        state.recall(device);
        let request = state.next_request(device);
        state.rpcs.insert(
            id,
            Rpc::new(
                device,
                request,
                method,
                params,
                options,
                state::now_millis(),
            ),
        );
        state.rpc_order.push(id);
        let message = state.rpc_message(device, id);
        self.say(state, message);
        id
    }

    /// Sends so many commands in one burst.
    pub(crate) fn rpc_flood(
        &self,
        device: Uuid,
        method: &str,
        params: &str,
        count: usize,
    ) -> Vec<Uuid> {
        let mut state = self.lock();
        let now = state::now_millis();
        let options = RpcOptions::default();
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = Uuid::new_v4();
            let request = state.next_request(device);
            let rpc = Rpc::new(device, request, method, params, options, now);
            state.rpcs.insert(id, rpc);
            state.rpc_order.push(id);
            ids.push(id);
        }
        let messages: Vec<_> = ids
            .iter()
            .filter_map(|id| state.rpc_message(device, *id))
            .collect();
        drop(state);
        self.shared.bus.notify_all(&messages);
        ids
    }

    /// Sets shared attributes and tells the device's session.
    pub(crate) fn set_attributes(&self, device: Uuid, values: &[(&str, KeyValue)]) {
        let mut state = self.lock();
        let message = state.set_attributes(device, values);
        self.say(state, message);
    }

    /// Closes the session of a device from the core's side.
    pub(crate) fn close_session(&self, device: Uuid, close: Close) {
        let mut state = self.lock();
        let message = state.close_session(device, close);
        drop(state);
        self.shared
            .bus
            .act(message.expect("the device has a session"));
    }

    /// Tells the session of a device that its credentials changed.
    pub(crate) fn change_credentials(&self, device: Uuid, client: &str) {
        let mut state = self.lock();
        let message = state.change_credentials(device, client);
        self.say(state, message);
    }

    /// While silent, questions are read but not answered.
    pub(crate) fn silent(&self, silent: bool) {
        self.lock().silent = silent;
    }

    /// Questions of this name are read but not answered, or answered again.
    pub(crate) fn mute(&self, name: &str, mute: bool) {
        let mut state = self.lock();
        if mute {
            state.muted.insert(name.to_owned());
        } else {
            state.muted.remove(name);
        }
    }

    /// Answers every question so many times; 1 is normal.
    pub(crate) fn repeat_answers(&self, times: usize) {
        self.lock().answer_times = times;
    }

    /// Answers a question that the transport `service_id` never asked.
    pub(crate) fn answer_nobody(&self, service_id: &str) {
        let answer = self.lock().answer_to_nobody(service_id);
        self.shared.bus.act(answer);
    }

    /// Writes a record as it is.
    pub(crate) fn send_raw(&self, topic: &str, key: Option<&str>, value: &[u8]) {
        self.shared.bus.send_raw(topic, key, value);
    }

    /// Telemetry of a device in the order of its topic.
    pub(crate) fn telemetry(&self, device: Uuid) -> Vec<Reading> {
        self.device(device, |device| device.telemetry.clone())
    }

    /// Telemetry of a device without `transportLog`, flattened to key and value.
    pub(crate) fn values(&self, device: Uuid) -> Vec<(String, serde_json::Value)> {
        let readings = self.telemetry(device);
        let values = readings.into_iter().flat_map(|reading| reading.values);
        values.filter(|(key, _)| key != "transportLog").collect()
    }

    /// The latest client attributes of a device.
    pub(crate) fn attributes(&self, device: Uuid) -> BTreeMap<String, serde_json::Value> {
        self.device(device, |device| device.attributes.clone())
    }

    /// Whether a device has an open session.
    pub(crate) fn has_session(&self, device: Uuid) -> bool {
        self.lock().session_of(device).is_some()
    }

    /// The last activity that was reported for a device, milliseconds.
    pub(crate) fn last_activity(&self, device: Uuid) -> Option<i64> {
        self.device(device, |device| device.last_activity)
    }

    /// How many heartbeats (OPEN with a report) came for a device.
    pub(crate) fn heartbeats(&self, device: Uuid) -> usize {
        self.device(device, |device| device.heartbeats)
    }

    /// How many bootstrap sessions of a device were reported.
    pub(crate) fn bootstraps(&self, device: Uuid) -> usize {
        self.device(device, |device| device.bootstraps)
    }

    /// How far a command has come.
    pub(crate) fn rpc_progress(&self, rpc: Uuid) -> RpcProgress {
        self.lock().rpcs[&rpc].progress.clone()
    }

    /// Questions received, by name: `credentials`, `model`, `profile`, `routing`, `tenant`.
    pub(crate) fn questions(&self, name: &str) -> usize {
        self.lock().questions.get(name).copied().unwrap_or(0)
    }

    /// Forms in which rule-engine messages came: as bytes, as a message.
    pub(crate) fn forms(&self) -> Vec<(bool, bool)> {
        self.lock().forms.iter().copied().collect()
    }

    /// What was reported as used.
    pub(crate) fn usages(&self) -> Vec<UsageReport> {
        self.lock().usages.clone()
    }

    /// Waits until so many messages were reported for the tenant.
    pub(crate) fn await_usage(&self, messages: i64, patience: Duration) {
        self.wait(patience, "usage", |state| {
            let of_tenant = state.usages.iter().filter(|usage| usage.tenant == TENANT);
            of_tenant.map(|usage| usage.messages).sum::<i64>() >= messages
        });
    }

    /// What broke a rule so far.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Waits until a device has an open session.
    pub(crate) fn await_session(&self, device: Uuid, patience: Duration) {
        self.wait(patience, "a session", |state| {
            state.session_of(device).is_some()
        });
    }

    /// Waits until a device has no open session.
    pub(crate) fn await_no_session(&self, device: Uuid, patience: Duration) {
        self.wait(patience, "the end of the session", |state| {
            state.session_of(device).is_none()
        });
    }

    /// Waits until a device has posted `count` readings besides `transportLog`.
    pub(crate) fn await_values(
        &self,
        device: Uuid,
        count: usize,
        patience: Duration,
    ) -> Vec<(String, serde_json::Value)> {
        self.wait(patience, "telemetry", |state| {
            let readings = state.devices[&device].telemetry.iter();
            let keys = readings.flat_map(|reading| reading.values.keys());
            keys.filter(|key| *key != "transportLog").count() >= count
        });
        self.values(device)
    }

    /// Waits until `condition` holds for the telemetry of a device.
    pub(crate) fn await_telemetry(
        &self,
        device: Uuid,
        patience: Duration,
        condition: impl Fn(&[Reading]) -> bool,
    ) {
        self.wait(patience, "telemetry", |state| {
            condition(&state.devices[&device].telemetry)
        });
    }

    /// Waits until the client attributes of a device have `key`.
    pub(crate) fn await_attribute(
        &self,
        device: Uuid,
        key: &str,
        patience: Duration,
    ) -> serde_json::Value {
        self.wait(patience, "an attribute", |state| {
            state.devices[&device].attributes.contains_key(key)
        });
        self.attributes(device).remove(key).unwrap()
    }

    /// Waits until a command is answered or has timed out.
    pub(crate) fn await_rpc(&self, rpc: Uuid, patience: Duration) -> RpcProgress {
        self.wait(patience, "the end of a command", |state| {
            let progress = &state.rpcs[&rpc].progress;
            progress.reply.is_some() || progress.statuses.iter().any(|s| s == "TIMEOUT")
        });
        self.rpc_progress(rpc)
    }

    /// Waits until the transport has asked `count` questions of this name.
    pub(crate) fn await_questions(&self, name: &str, count: usize, patience: Duration) {
        self.wait(patience, "a question", |state| {
            state.questions.get(name).copied().unwrap_or(0) >= count
        });
    }

    /// Waits until a device had `count` heartbeats.
    pub(crate) fn await_heartbeats(&self, device: Uuid, count: usize, patience: Duration) {
        self.wait(patience, "a heartbeat", |state| {
            state.devices[&device].heartbeats >= count
        });
    }

    /// Waits until a device was reported active.
    pub(crate) fn await_activity(&self, device: Uuid, patience: Duration) -> i64 {
        self.wait(patience, "an activity report", |state| {
            state.devices[&device].last_activity.is_some()
        });
        self.last_activity(device).unwrap()
    }

    /// Ends the double and returns what broke a rule, which then fails nothing.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let violations = self.stop();
        self.lock().pardon();
        violations
    }

    fn stop(&mut self) -> Vec<String> {
        self.shared.stop.store(true, Relaxed);
        let died = self.threads.drain(..).any(|thread| thread.join().is_err());
        assert!(
            !died || thread::panicking(),
            "a thread of the double panicked"
        );
        self.lock().all_violations()
    }

    /// Sends a message to a node, at once unless it is to be late.
    fn say(
        &self,
        mut state: std::sync::MutexGuard<'_, State>,
        message: Option<(String, ToTransportMsg)>,
    ) {
        let actions = message.map(|(node, message)| Action::Notify {
            node,
            message: Box::new(message),
        });
        let due = state
            .life
            .due(Instant::now(), actions.into_iter().collect());
        drop(state);
        for action in due {
            self.shared.bus.act(action);
        }
    }

    fn wait(&self, patience: Duration, what: &str, condition: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !condition(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{what} did not come within {patience:?}; violations: {:#?}",
                state.violations
            );
            let waited = self.shared.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn device<T>(&self, device: Uuid, read: impl FnOnce(&Device) -> T) -> T {
        read(&self.lock().devices[&device])
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for StrictCore {
    /// Fails the test if a rule was broken.
    fn drop(&mut self) {
        let violations = self.stop();
        if !thread::panicking() {
            assert!(violations.is_empty(), "rules were broken: {violations:#?}");
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Receives until stopped.
    fn read(&self, instance: usize) {
        let bus = match instance.checked_sub(1) {
            None => &self.bus,
            Some(other) => &self.others[other],
        };
        // What came just before the instance was stopped.
        let mut kept = None;
        while !self.stop.load(Relaxed) {
            if kept.is_none() {
                kept = bus.receive(Duration::from_millis(20));
            }
            let mut state = self.lock();
            if state.is_down(instance) {
                drop(state);
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            let mut actions = kept
                .take()
                .map(|record| state.take(&record))
                .unwrap_or_default();
            if instance == 0 {
                actions.extend(state.time_out());
            }
            let due = state.life.due(Instant::now(), actions);
            drop(state);
            self.changed.notify_all();
            for action in due {
                bus.act(action);
            }
        }
    }
}
