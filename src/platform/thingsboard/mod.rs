//! The platform core over Kafka (`platform-wire.md`).
//!
//! | thread | works on |
//! |---|---|
//! | callers of `submit` | `engine`: an uplink becomes records, by [`convert`], [`routing`], [`limits`] and [`partition`] |
//! | `kafka-producer` | `producer`: delivery reports end receipts; a broken producer is replaced |
//! | `kafka-responses` | `question`: answers of the core reach `caches` and who asked |
//! | `kafka-notifications` | `notifications`: what the core sends unasked reaches endpoints and caches |
//! | `kafka-timer` | deadlines, `activity`, `usage`, knowledge that grew old |
//! | `kafka-topics` | `topic_keeper`: missing topics |
//! | `redis-packages` | `package_store`: the bytes of update packages |
//! | `zookeeper` | [`discovery`]: the node by which the core finds this instance |
//!
//! Invariants: no caller waits for the broker; the records of a device are produced in the order of its submits, also
//! while they wait for a profile; one [`Reply`](super::downlink::Reply) per question and per uplink with an id; what a
//! tenant's state or limits forbid is not written.

mod activity;
mod book;
mod caches;
mod client;
mod clock;
mod consumer;
pub mod convert;
pub mod discovery;
mod engine;
pub mod extra;
mod json;
pub mod limits;
mod model_desk;
mod notifications;
mod package_store;
pub mod partition;
mod poison;
mod producer;
mod proto;
mod question;
mod receipt;
mod request;
mod responses;
pub mod routing;
pub mod security;
mod seldom;
pub mod settings;
mod stats;
mod sync;
mod topic_keeper;
pub mod topics;
mod usage;
mod waiting;

pub use settings::ThingsBoardSettings;
pub use stats::{FailureReason, Health, RecordCounts, RecordKind};
pub use topic_keeper::TopicError;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::error::KafkaError;
use tracing::{info, warn};

use self::{
    consumer::{Begin, Consumer},
    convert::ApiQuestion,
    discovery::Discovery,
    engine::Engine,
    notifications::Notifications,
    package_store::PackageStore,
    producer::Producer,
    responses::Responses,
    settings::AutoOffsetReset,
    stats::Stats,
    sync::{guarded, lock},
    topic_keeper::{TopicKeeper, TopicKind, TopicMaker},
    topics::{PropertiesError, ServiceIdError, Topics},
};
use super::{
    downlink::{DownlinkSink, ReplyTo},
    uplink::{Platform, SubmitError, Uplink},
};

/// The platform core, reached over Kafka.
pub struct ThingsBoard {
    engine: Arc<Engine>,
    stop: Arc<AtomicBool>,
    stop_notifications: Arc<AtomicBool>,
    discovery: Mutex<Option<Discovery>>,
    notifications: Mutex<Option<JoinHandle<()>>>,
    responses: Mutex<Option<JoinHandle<()>>>,
    timer: Mutex<Option<JoinHandle<()>>>,
    producer: Mutex<Option<JoinHandle<()>>>,
    packages: Mutex<Option<JoinHandle<()>>>,
}

impl ThingsBoard {
    /// Connects to the core: creates this instance's topics if they are missing, begins to read answers, waits until
    /// the core has told its queues, begins to read notifications, and registers for them in ZooKeeper if that is wanted.
    ///
    /// Blocks, up to some 200 s while there is no core. `sink` is called from threads of this object.
    ///
    /// # Errors
    /// [`StartError`] when the settings are not usable, or broker or core do not answer.
    pub fn start(
        settings: &ThingsBoardSettings,
        sink: Arc<dyn DownlinkSink>,
    ) -> Result<Self, StartError> {
        let kafka = &settings.kafka;
        let service_id = &settings.service_id;
        let topics = Topics::new(kafka, service_id)?;
        if kafka.acks != settings::Acks::All {
            warn!(
                "`kafka.acks` is not `all`: a reading that was acknowledged to the device may be lost"
            );
        }
        let admin = client::admin(kafka, service_id)?;
        let (keeper, maker) = TopicKeeper::new(kafka, &admin)?;
        prepare(&maker, &topics).inspect_err(|_| client::explain(&admin))?;

        let stats = Arc::new(Stats::default());
        let producer = Producer::new(client::producer(kafka, service_id)?, Arc::clone(&stats))?;
        let responses = Consumer::new(
            &client::consumer(
                kafka,
                &format!("transport-api-response-{service_id}"),
                &topics.group(),
                &topics.api_responses(),
                AutoOffsetReset::Latest,
            )?,
            topics.api_responses(),
            Begin::End,
        )?;
        let notification_config = client::consumer(
            kafka,
            &format!("transport-api-notifications-{service_id}"),
            &topics.group(),
            &topics.notifications(),
            kafka.auto_offset_reset,
        )?;
        let (packages, reader) =
            PackageStore::new(settings.redis.clone(), settings.package_cache_bytes);
        let engine = Arc::new(Engine::new(
            settings.clone(),
            topics,
            sink,
            producer,
            keeper,
            packages,
            stats,
        ));

        let started = Self {
            stop: Arc::new(AtomicBool::new(false)),
            stop_notifications: Arc::new(AtomicBool::new(false)),
            discovery: Mutex::default(),
            notifications: Mutex::default(),
            responses: Mutex::default(),
            timer: Mutex::default(),
            producer: Mutex::default(),
            packages: Mutex::default(),
            engine: Arc::clone(&engine),
        };
        // From here on an error drops `started`, which stops what runs already.
        spawn("kafka-topics", move || maker.run())?;
        let thread = spawn("redis-packages", move || reader.run())?;
        *lock(&started.packages) = Some(thread);
        started.spawn_producer()?;
        started.spawn_timer()?;
        let stop = Arc::clone(&started.stop);
        let mut handler = Responses::new(Arc::clone(&engine));
        let thread = spawn("kafka-responses", move || {
            responses.run(&stop, &mut handler)
        })?;
        *lock(&started.responses) = Some(thread);

        started.await_routing()?;
        let notifications = Consumer::new(
            &notification_config,
            engine.topics.notifications(),
            Begin::Committed,
        )?;
        let stop = Arc::clone(&started.stop_notifications);
        let mut handler = Notifications::new(engine);
        let thread = spawn("kafka-notifications", move || {
            notifications.run(&stop, &mut handler);
        })?;
        *lock(&started.notifications) = Some(thread);
        if settings.zookeeper.enabled {
            let discovery = Discovery::start(&settings.zookeeper, service_id, REGISTRATION_AGE)?;
            *lock(&started.discovery) = Some(discovery);
        }
        info!(service_id, "connected to the platform core");
        Ok(started)
    }

    /// Leaves ZooKeeper, stops reading notifications, and commits what was read. Uplinks and questions go on.
    pub fn stop_notifications(&self) {
        // First, so that whatever the core still sends here is read.
        drop(lock(&self.discovery).take());
        self.stop_notifications.store(true, Relaxed);
        join(&self.notifications);
    }

    /// Waits until every record is delivered or failed. False when `timeout` comes first.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.engine.producer.flush(timeout)
    }

    /// Stops. Uplinks are refused from here on; whoever waits is told that the platform is unavailable.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
        self.stop_notifications();
        join(&self.timer);
        join(&self.responses);
        self.engine.stop();
        self.engine.packages.close();
        join(&self.packages);
        self.engine.producer.close();
        join(&self.producer);
    }

    /// The counters.
    pub fn health(&self) -> Health {
        let engine = &self.engine;
        Health {
            open_questions: lock(&engine.requests).len(),
            sessions: lock(&engine.sessions).len(),
            waiting: lock(&engine.caches).room.len(),
            queued: engine.producer.queued(),
            registered: lock(&self.discovery).as_ref().map(Discovery::is_registered),
            ..engine.stats.health()
        }
    }

    fn spawn_producer(&self) -> io::Result<()> {
        let engine = Arc::clone(&self.engine);
        let thread = spawn("kafka-producer", move || engine.producer.run())?;
        *lock(&self.producer) = Some(thread);
        Ok(())
    }

    fn spawn_timer(&self) -> io::Result<()> {
        let engine = Arc::clone(&self.engine);
        let stop = Arc::clone(&self.stop);
        let thread = spawn("kafka-timer", move || run_timer(&engine, &stop))?;
        *lock(&self.timer) = Some(thread);
        Ok(())
    }

    /// Asks for the queues until the core tells them.
    fn await_routing(&self) -> Result<(), StartError> {
        let engine = &self.engine;
        let patience = Duration::from_millis(engine.settings.kafka.api_timeout_ms.into());
        for attempt in 1..=ROUTING_ATTEMPTS {
            engine.ask_all([ApiQuestion::Routing]);
            let caches = lock(&engine.caches);
            let waited = engine.routing_changed.wait_timeout_while(
                caches,
                patience + ROUTING_PAUSE,
                |caches| caches.routing.is_empty(),
            );
            let (caches, timeout) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
            drop(caches);
            if !timeout.timed_out() {
                return Ok(());
            }
            warn!(attempt, "the platform core does not tell its queues");
        }
        Err(StartError::NoCore)
    }
}

impl Platform for ThingsBoard {
    fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
        self.engine.submit(uplink, reply_to)
    }
}

impl fmt::Debug for ThingsBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service_id = &self.engine.settings.service_id;
        f.debug_struct("ThingsBoard")
            .field("service_id", service_id)
            .finish_non_exhaustive()
    }
}

impl Drop for ThingsBoard {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why the Kafka side cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The broker does not answer.
    #[error(transparent)]
    Kafka(KafkaError),
    /// The core did not answer.
    #[error("the platform core did not answer: it tells no queues")]
    NoCore,
    /// `kafka.extra` or `kafka.consumer_extra` cannot be read.
    #[error("`kafka.extra` or `kafka.consumer_extra`")]
    Properties(#[from] PropertiesError),
    /// The Kafka client refuses a property. Its value may be a secret and is not shown.
    #[error(
        "`kafka.extra` or `kafka.consumer_extra`: `{0}` is no property of the Kafka client, or its value is not usable"
    )]
    Property(String),
    /// Topics cannot be named.
    #[error(transparent)]
    ServiceId(#[from] ServiceIdError),
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[from] io::Error),
    /// Topics cannot be looked after.
    #[error(transparent)]
    Topics(TopicError),
}

impl From<KafkaError> for StartError {
    fn from(error: KafkaError) -> Self {
        if let KafkaError::ClientConfig(_, _, name, _) = error {
            Self::Property(name)
        } else {
            Self::Kafka(error)
        }
    }
}

impl From<TopicError> for StartError {
    fn from(error: TopicError) -> Self {
        match error {
            TopicError::Kafka(error) => Self::from(error),
            TopicError::Properties(_) => Self::Topics(error),
        }
    }
}

impl StartError {
    /// Whether other settings are needed, rather than a broker or a core.
    pub const fn is_of_settings(&self) -> bool {
        match self {
            Self::Property(_)
            | Self::Properties(_)
            | Self::ServiceId(_)
            | Self::Topics(TopicError::Properties(_)) => true,
            Self::Kafka(_) | Self::Topics(_) | Self::NoCore | Self::Thread(_) => false,
        }
    }
}

/// Creates what this instance reads and the topic of its questions, and waits until they are there.
fn prepare(maker: &TopicMaker, topics: &Topics) -> Result<(), TopicError> {
    let own = [
        (topics.api_requests(), TopicKind::ApiRequests),
        (topics.api_responses(), TopicKind::ApiResponses),
        (topics.notifications(), TopicKind::Notifications),
    ];
    maker.make(&own)?;
    let deadline = clock::now().mono + TOPIC_PATIENCE;
    while !maker.exist(&own)? {
        if clock::now().mono >= deadline {
            warn!("topics of this instance are still missing");
            break;
        }
        thread::sleep(TOPIC_INTERVAL);
    }
    Ok(())
}

/// What happens without an outside event.
fn run_timer(engine: &Engine, stop: &AtomicBool) {
    let start = clock::now().mono;
    let mut next_second = start;
    let mut next_routing = start + routing_age(engine);
    let mut next_usage = engine.first_usage_report(start);
    let mut next_log = start + LOG_INTERVAL;
    let mut logged = BTreeMap::new();
    while !stop.load(Relaxed) {
        thread::sleep(TICK);
        let now = clock::now();
        guarded(|| engine.expire_questions(now.mono));
        guarded(|| engine.expire_uplinks(now.mono));
        guarded(|| engine.report_activity(now));
        if now.mono >= next_second {
            next_second = now.mono + Duration::from_secs(1);
            guarded(|| engine.ask_what_is_wanted(now.mono));
        }
        if now.mono >= next_usage {
            next_usage = now.mono + engine.usage_interval();
            guarded(|| engine.report_usage());
        }
        if now.mono >= next_routing {
            next_routing = now.mono + routing_age(engine);
            guarded(|| engine.ask_all([ApiQuestion::Routing]));
        }
        if now.mono >= next_log {
            next_log = now.mono + LOG_INTERVAL;
            lock(&engine.limiter).forget_idle(now.mono);
            log_failures(engine, &mut logged);
        }
    }
}

/// Says what failed since the last time.
fn log_failures(engine: &Engine, logged: &mut BTreeMap<FailureReason, u64>) {
    let failures = engine.stats.failures();
    for (reason, total) in &failures {
        let new = total - logged.get(reason).copied().unwrap_or(0);
        if new > 0 {
            warn!(
                ?reason,
                records = new,
                "records did not reach the platform core"
            );
        }
    }
    *logged = failures;
}

fn routing_age(engine: &Engine) -> Duration {
    Duration::from_secs(engine.settings.kafka.profile_refresh_s.max(1).into())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    let thread = lock(thread).take();
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        warn!("a thread of the Kafka side panicked");
    }
}

/// Bounds how late a deadline is noticed.
const TICK: Duration = Duration::from_millis(50);
/// As the reference.
const REGISTRATION_AGE: Duration = Duration::from_secs(60);
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// As the reference: about 200 s in all.
const ROUTING_ATTEMPTS: u32 = 10;
const ROUTING_PAUSE: Duration = Duration::from_secs(10);
const TOPIC_PATIENCE: Duration = Duration::from_secs(30);
const TOPIC_INTERVAL: Duration = Duration::from_millis(100);
