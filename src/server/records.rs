//! The records of this process's endpoints: how they are kept, and how endpoints come back from them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use actix::Addr;
use tokio::sync::mpsc;

use crate::{
    endpoint::{EndpointName, FileGeneration, Urgency, actor::EndpointActor},
    platform::time::{Now, UnixMillis},
    store::{Moment, OpenError, Store, Watch, record::Endpoint as Record, settings::StateSettings},
};

use super::{
    clock, deliver,
    metrics::{Metrics, StateOperation},
};

/// What the shards share; without a store it keeps nothing.
#[derive(Debug)]
pub(super) struct Records {
    store: Option<Arc<Store>>,
    metrics: Arc<Metrics>,
    /// Restored endpoints that the platform has not confirmed.
    unconfirmed: AtomicUsize,
    /// When an endpoint's actor last panicked.
    panics: Mutex<HashMap<EndpointName, Instant>>,
}

/// A record on its way to the shard that restores it.
pub(super) type Kept = (EndpointName, Record);

/// Opens the store of the instance with this service id, of which endpoints know the `generation`; `None`: the settings
/// keep nothing.
///
/// # Errors
/// [`OpenError`]
pub fn open(
    settings: &StateSettings,
    service_id: &str,
    metrics: &Arc<Metrics>,
    generation: &FileGeneration,
) -> Result<Option<Arc<Store>>, OpenError> {
    let watch = Arc::new(Watcher {
        metrics: Arc::clone(metrics),
        generation: generation.clone(),
    });
    Ok(Store::open(settings, service_id, moment, watch)?.map(Arc::new))
}

impl Records {
    pub(super) fn new(store: Option<Arc<Store>>, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            metrics,
            unconfirmed: AtomicUsize::new(0),
            panics: Mutex::default(),
        }
    }

    /// Keeps a record; false: there is no room.
    pub(super) fn save(
        &self,
        name: &EndpointName,
        record: &Record,
        urgency: Urgency,
        actor: &Addr<EndpointActor>,
    ) -> bool {
        let Some(store) = &self.store else {
            return true;
        };
        match urgency {
            Urgency::Soon => {
                let taken = store.put(name.as_str(), record).is_ok();
                if !taken {
                    self.metrics.state_refused_records.inc();
                }
                taken
            }
            Urgency::Now(ticket) => {
                let done = deliver::record_kept(actor.clone(), ticket);
                store.put_surely(name.as_str(), record, done);
                true
            }
            Urgency::Last => {
                store.put_last(name.as_str(), record);
                true
            }
        }
    }

    pub(super) fn forget(&self, name: &EndpointName) {
        if let Some(store) = &self.store {
            store.remove(name.as_str());
        }
    }

    /// The record from which an endpoint may continue whose actor panicked. One that panics again soon may not: what the
    /// device says, or what is kept of it, is to blame.
    pub(super) fn after_panic(&self, now: Instant, name: &EndpointName) -> Option<Record> {
        let store = self.store.as_ref()?;
        let mut panics = self.panics.lock().unwrap_or_else(PoisonError::into_inner);
        panics.retain(|_, last| now.saturating_duration_since(*last) < PANIC_PAUSE);
        if panics.insert(name.clone(), now).is_some() {
            store.remove(name.as_str());
            return None;
        }
        store.get(name.as_str())
    }

    /// A restored endpoint is about to ask the platform about itself.
    pub(super) fn count_unconfirmed(&self) {
        self.unconfirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// The platform has confirmed a restored endpoint.
    pub(super) fn count_confirmed(&self) {
        self.unconfirmed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a record of which no endpoint could be made, and removes it.
    pub(super) fn discard(&self, name: &EndpointName) {
        tracing::warn!(endpoint = %name, "what is kept of an endpoint cannot be used: it must register again");
        self.metrics.state_unusable_records.inc();
        self.forget(name);
    }

    /// When this instance was last known to serve its devices.
    pub(super) fn last_alive(&self, now: Now) -> UnixMillis {
        let alive = self.store.as_ref().and_then(|store| store.last_alive());
        alive.map_or(now.wall, UnixMillis)
    }

    /// Sends every record to the shard that served the endpoint, at most [`PER_PAUSE`] each [`PAUSE`], so that the core can
    /// follow. Blocks.
    pub(super) fn hand_out(&self, shards: &[mpsc::Sender<Kept>]) {
        let Some(store) = &self.store else {
            return;
        };
        let mut sent = 0_u64;
        let bad = store.load(|name, record| {
            let index = usize::try_from(record.shard).unwrap_or_default() % shards.len().max(1);
            if let Some(shard) = shards.get(index) {
                // A shard that has ended restores nothing.
                shard.blocking_send((EndpointName::new(name), record)).ok();
            }
            sent += 1;
            if sent.is_multiple_of(PER_PAUSE) {
                thread::sleep(PAUSE);
            }
        });
        self.metrics.state_unusable_records.inc_by(bad);
        let restored = i64::try_from(sent).unwrap_or(i64::MAX);
        self.metrics.state_restored_endpoints.set(restored);
        tracing::info!(
            event = "restored",
            endpoints = sent,
            "endpoints continue from the state file"
        );
    }

    /// Waits until the platform has confirmed every restored endpoint, at most for `limit`. Returns how many it has not.
    pub(super) async fn confirmed(&self, limit: Duration) -> usize {
        let confirmed = async {
            while self.unconfirmed.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(POLL).await;
            }
        };
        // What is late is reported by number.
        tokio::time::timeout(limit, confirmed).await.ok();
        self.unconfirmed.load(Ordering::Relaxed)
    }
}

/// Counts what the store does.
struct Watcher {
    metrics: Arc<Metrics>,
    generation: FileGeneration,
}

impl Watch for Watcher {
    fn committed(&self, puts: usize, deletes: usize, took: Duration) {
        let metrics = &self.metrics;
        for (operation, rows) in [
            (StateOperation::Put, puts),
            (StateOperation::Delete, deletes),
        ] {
            metrics.state_writes.of(operation).inc_by(rows as u64);
        }
        metrics.state_commit_duration.observe(took.as_secs_f64());
    }

    fn failed(&self) {
        self.metrics.state_failures.inc();
    }

    fn replaced(&self) {
        self.generation.advance();
    }
}

fn moment() -> Moment {
    let now = clock::now();
    Moment {
        mono: now.mono,
        wall: now.wall.0,
    }
}

/// An endpoint whose actor panics twice in this time must register again.
const PANIC_PAUSE: Duration = Duration::from_secs(60);
/// Endpoints restored before a pause: with it, 5,000 a second.
const PER_PAUSE: u64 = 500;
const PAUSE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_millis(10);
