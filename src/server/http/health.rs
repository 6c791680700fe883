//! Liveness, start and readiness (`/livez`, `/startupz`, `/readyz`).
//!
//! The threads that serve devices beat; whoever starts and stops the server sets the state; what stands outside this
//! process appears among the checks and changes neither liveness nor readiness.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::server::metrics::{Label, State};

/// What the health endpoints tell; shared by all threads.
#[derive(Debug)]
pub struct Health {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    workers: Vec<(String, Arc<AtomicU64>)>,
    checks: BTreeMap<&'static str, Check>,
}

/// One line of a health report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    name: String,
    status: Status,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Fail,
}

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Does every worker still run?
    Live,
    /// Has the start finished, even if a stop has begun?
    Started,
    /// May new devices be sent here?
    Ready,
}

/// The answer to a [`Probe`].
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    status: Status,
    state: &'static str,
    checks: Vec<Check>,
}

impl Health {
    /// A process that began to start at `now`.
    pub const fn new(now: Instant) -> Self {
        Self {
            start: now,
            inner: Mutex::new(Inner {
                state: State::Starting,
                workers: Vec::new(),
                checks: BTreeMap::new(),
            }),
        }
    }

    /// Enters a state.
    pub fn set_state(&self, state: State) {
        self.inner().state = state;
    }

    /// The current state.
    pub fn state(&self) -> State {
        self.inner().state
    }

    /// Adds a thread that must beat; it counts as having done so at `now`.
    pub fn add_worker(&self, name: impl Into<String>, now: Instant) -> Heartbeat {
        let heartbeat = Heartbeat {
            start: self.start,
            last_ms: Arc::default(),
        };
        heartbeat.beat(now);
        self.inner()
            .workers
            .push((name.into(), heartbeat.last_ms.clone()));
        heartbeat
    }

    /// Sets what is known of something outside this process (`kafka`, `core`): what is wrong with it, if anything.
    pub fn set_check(&self, name: &'static str, problem: Option<&str>) {
        let check = Check {
            name: name.to_owned(),
            status: problem.map_or(Status::Ok, |_| Status::Fail),
            detail: problem.unwrap_or_default().to_owned(),
        };
        self.inner().checks.insert(name, check);
    }

    pub(super) fn report(&self, probe: Probe, now: Instant) -> Report {
        let inner = self.inner();
        let late: Vec<_> = inner
            .workers
            .iter()
            .filter_map(|(name, last_ms)| {
                let last = self.start + Duration::from_millis(last_ms.load(Ordering::Relaxed));
                let silence = now.saturating_duration_since(last);
                (silence > HEARTBEAT_LIMIT).then(|| Check {
                    name: name.clone(),
                    status: Status::Fail,
                    detail: format!("no heartbeat for {} s", silence.as_secs()),
                })
            })
            .collect();
        let well = match probe {
            Probe::Live => late.is_empty(),
            Probe::Started => !matches!(inner.state, State::Starting | State::Restoring),
            Probe::Ready => inner.state == State::Ready,
        };
        Report {
            status: if well { Status::Ok } else { Status::Fail },
            state: State::VALUES[inner.state.index()],
            checks: late
                .into_iter()
                .chain(inner.checks.values().cloned())
                .collect(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    pub(super) fn is_ok(&self) -> bool {
        self.status == Status::Ok
    }
}

/// The sign of life of one thread.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    start: Instant,
    /// Milliseconds after `start`.
    last_ms: Arc<AtomicU64>,
}

impl Heartbeat {
    /// The thread is alive at `now`; to be called every second.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start).as_millis();
        self.last_ms
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// Silence after which a worker counts as stuck.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need some instant")]
mod tests {
    use super::*;

    #[test]
    fn a_silent_worker_is_named() {
        let start = Instant::now();
        let health = Health::new(start);
        let first = health.add_worker("shard-0", start);
        health.add_worker("shard-1", start);
        let later = start + Duration::from_secs(11);
        first.beat(later);
        let report = health.report(Probe::Live, later);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"status":"fail","state":"starting","checks":[{"name":"shard-1","status":"fail","detail":"no heartbeat for 11 s"}]}"#
        );
        let earlier = start + Duration::from_secs(10);
        assert!(health.report(Probe::Live, earlier).is_ok());
    }

    #[test]
    fn states_decide_start_and_readiness() {
        let now = Instant::now();
        let health = Health::new(now);
        let probes = |state| {
            health.set_state(state);
            [Probe::Live, Probe::Started, Probe::Ready]
                .map(|probe| health.report(probe, now).is_ok())
        };
        assert_eq!(probes(State::Starting), [true, false, false]);
        assert_eq!(probes(State::Restoring), [true, false, false]);
        assert_eq!(probes(State::Ready), [true, true, true]);
        assert_eq!(probes(State::Draining), [true, true, false]);
    }

    #[test]
    fn a_failing_check_is_shown_but_changes_nothing() {
        let now = Instant::now();
        let health = Health::new(now);
        health.set_state(State::Ready);
        health.set_check("kafka", Some("no broker"));
        let report = health.report(Probe::Ready, now);
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"status":"ok","state":"ready","checks":[{"name":"kafka","status":"fail","detail":"no broker"}]}"#
        );
    }
}
