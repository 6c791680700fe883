//! Open sessions and their activity (`platform-wire.md` 4.6, `measured.md` 5).
//!
//! The core forgets a session when no activity is reported for too long, and what it knew when it restarts. So the last
//! activity of every session is reported at most once per period, and every session is opened again by a heartbeat
//! well within the core's patience.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::{
    session::{PlatformId, SessionId, SessionInfo},
    time::{Now, UnixMillis},
};
use super::settings::ActivitySettings;

/// The sessions that are open at the core.
#[derive(Debug)]
pub(super) struct Sessions {
    open: HashMap<SessionId, Session>,
    by_device: HashMap<PlatformId, SessionId>,
    /// Sessions with unreported activity, by when the report is due.
    reports: VecDeque<(Instant, SessionId)>,
    /// Sessions by when their heartbeat is due; one whose time is not the session's own is out of date.
    heartbeats: VecDeque<(Instant, SessionId)>,
    /// Sessions to which something must be said as soon as the pace allows.
    soon: VecDeque<SessionId>,
    report_period: Duration,
    heartbeat_period: Duration,
    /// The oldest activity that a heartbeat reports: with an older one the core would close the session before the
    /// next heartbeat.
    oldest_report: Duration,
}

#[derive(Debug)]
struct Session {
    info: Arc<SessionInfo>,
    last_activity: UnixMillis,
    report_due: bool,
    heartbeat_at: Instant,
    soon: Option<Word>,
}

/// What is to be said of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It lives, and was active last at this time.
    Heartbeat(UnixMillis),
    /// It begins.
    Open,
    /// It was active last at this time.
    Report(UnixMillis),
}

/// What is to be said to the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) session: Arc<SessionInfo>,
    pub(super) word: Word,
}

impl Sessions {
    pub(super) fn new(settings: ActivitySettings) -> Self {
        let inactivity = Duration::from_millis(settings.inactivity_ms.into());
        Self {
            open: HashMap::new(),
            by_device: HashMap::new(),
            reports: VecDeque::new(),
            heartbeats: VecDeque::new(),
            soon: VecDeque::new(),
            report_period: Duration::from_millis(settings.report_ms.into()),
            heartbeat_period: inactivity * 2 / 5,
            oldest_report: inactivity / 2,
        }
    }

    /// A session begins.
    pub(super) fn opened(&mut self, now: Now, session: &Arc<SessionInfo>) {
        let heartbeat_at = now.mono + self.heartbeat_period;
        self.by_device.insert(session.device.device, session.id);
        self.open.insert(
            session.id,
            Session {
                info: Arc::clone(session),
                last_activity: now.wall,
                report_due: true,
                heartbeat_at,
                soon: None,
            },
        );
        self.reports
            .push_back((now.mono + self.report_period, session.id));
        self.heartbeats.push_back((heartbeat_at, session.id));
    }

    /// The device of an open session was active at `at`.
    pub(super) fn active(&mut self, now: Now, session: &Arc<SessionInfo>, at: UnixMillis) {
        let Some(open) = self.open.get_mut(&session.id) else {
            return;
        };
        if !Arc::ptr_eq(&open.info, session) {
            open.info = Arc::clone(session);
        }
        // A time ahead of the clock would become the device's last activity for as long as it lies ahead.
        open.last_activity = open.last_activity.max(at.min(now.wall));
        if !std::mem::replace(&mut open.report_due, true) {
            self.reports
                .push_back((now.mono + self.report_period, session.id));
        }
    }

    /// A session ends.
    pub(super) fn closed(&mut self, session: SessionId) {
        if let Some(closed) = self.open.remove(&session) {
            let device = closed.info.device.device;
            if self.by_device.get(&device) == Some(&session) {
                self.by_device.remove(&device);
            }
        }
    }

    /// The core closed a session that lives on, or may have forgotten it: its heartbeat comes soon.
    pub(super) fn revive(&mut self, session: SessionId) {
        self.say_soon(session, Word::Heartbeat(UnixMillis(0)));
    }

    /// The begin of a session could not be told yet.
    pub(super) fn open_soon(&mut self, session: SessionId) {
        self.say_soon(session, Word::Open);
    }

    fn say_soon(&mut self, session: SessionId, word: Word) {
        if let Some(open) = self.open.get_mut(&session) {
            if open.soon.is_none() {
                self.soon.push_back(session);
            }
            // Whatever else is to be said, the begin comes first, and it says all.
            if open.soon != Some(Word::Open) {
                open.soon = Some(word);
            }
        }
    }

    /// The session, if it is open.
    pub(super) fn get(&self, session: SessionId) -> Option<Arc<SessionInfo>> {
        self.open.get(&session).map(|open| Arc::clone(&open.info))
    }

    /// The session of a device, if it has one.
    pub(super) fn of_device(&self, device: PlatformId) -> Option<Arc<SessionInfo>> {
        self.by_device
            .get(&device)
            .and_then(|session| self.get(*session))
    }

    /// How many sessions are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes what is due, not too much at a time.
    pub(super) fn due(&mut self, now: Now) -> Vec<Due> {
        let mut due = Vec::new();
        for _ in 0..AT_ONCE {
            let Some(session) = self.soon.pop_front() else {
                break;
            };
            let word = self
                .open
                .get_mut(&session)
                .and_then(|open| open.soon.take());
            due.extend(word.and_then(|word| self.heartbeat(now, session, word == Word::Open)));
        }
        while due.len() < AT_ONCE
            && let Some((at, session)) = self.heartbeats.front().copied()
            && at <= now.mono
        {
            self.heartbeats.pop_front();
            let current = self.open.get(&session).map(|open| open.heartbeat_at);
            if current == Some(at) {
                due.extend(self.heartbeat(now, session, false));
            }
        }
        while due.len() < AT_ONCE
            && let Some((at, session)) = self.reports.front().copied()
            && at <= now.mono
        {
            self.reports.pop_front();
            if let Some(open) = self.open.get_mut(&session)
                && std::mem::take(&mut open.report_due)
            {
                due.push(Due {
                    session: Arc::clone(&open.info),
                    word: Word::Report(open.last_activity),
                });
            }
        }
        due
    }

    /// The heartbeat of a session, or its begin; the next one counts from here.
    fn heartbeat(&mut self, now: Now, session: SessionId, begin: bool) -> Option<Due> {
        let open = self.open.get_mut(&session)?;
        open.heartbeat_at = now.mono + self.heartbeat_period;
        self.heartbeats.push_back((open.heartbeat_at, session));
        let oldest = i64::try_from(self.oldest_report.as_millis()).unwrap_or(i64::MAX);
        let oldest = UnixMillis(now.wall.0.saturating_sub(oldest));
        let word = if begin {
            Word::Open
        } else {
            open.report_due = false;
            Word::Heartbeat(open.last_activity.max(oldest))
        };
        Some(Due {
            session: Arc::clone(&open.info),
            word,
        })
    }
}

/// With one call every 50 ms this is 10,000 a second.
const AT_ONCE: usize = 500;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::platform::{session::DeviceInfo, thingsboard::clock};

    const SECOND: Duration = Duration::from_secs(1);

    fn session(id: u128) -> Arc<SessionInfo> {
        Arc::new(SessionInfo {
            id: SessionId(Uuid::from_u128(id)),
            device: Arc::new(DeviceInfo {
                tenant: PlatformId::default(),
                customer: PlatformId::NULL,
                device: PlatformId(Uuid::from_u128(id)),
                profile: PlatformId::default(),
                name: String::new(),
                kind: String::new(),
            }),
        })
    }

    fn due(session: &Arc<SessionInfo>, word: Word) -> Due {
        Due {
            session: Arc::clone(session),
            word,
        }
    }

    fn report(session: &Arc<SessionInfo>, last_activity: UnixMillis) -> Due {
        due(session, Word::Report(last_activity))
    }

    fn heartbeat(session: &Arc<SessionInfo>, last_activity: UnixMillis) -> Due {
        due(session, Word::Heartbeat(last_activity))
    }

    #[test]
    fn reports_the_last_activity_once_per_period() {
        let start = clock::now();
        let mut sessions = Sessions::new(ActivitySettings::default());
        let device = session(1);
        sessions.opened(start, &device);
        let later = start.after(SECOND);
        sessions.active(later, &device, later.wall);
        assert_eq!(sessions.due(start.after(SECOND * 2)), []);
        let period = start.after(SECOND * 3);
        assert_eq!(sessions.due(period), [report(&device, later.wall)]);
        assert_eq!(sessions.due(start.after(SECOND * 60)), []);
        let again = start.after(SECOND * 60);
        sessions.active(again, &device, again.wall);
        assert_eq!(sessions.due(again), []);
        assert_eq!(
            sessions.due(again.after(SECOND * 3)),
            [report(&device, again.wall)]
        );
    }

    #[test]
    fn a_time_ahead_of_the_clock_is_not_reported() {
        let start = clock::now();
        let mut sessions = Sessions::new(ActivitySettings::default());
        let device = session(1);
        sessions.opened(start, &device);
        sessions.active(start, &device, start.wall.plus(SECOND * 3600));
        assert_eq!(
            sessions.due(start.after(SECOND * 3)),
            [report(&device, start.wall)]
        );
    }

    #[test]
    fn every_session_has_a_heartbeat_within_the_cores_patience() {
        let start = clock::now();
        let mut sessions = Sessions::new(ActivitySettings::default());
        let device = session(1);
        sessions.opened(start, &device);
        sessions.due(start.after(SECOND * 3));
        let first = start.after(SECOND * 240);
        assert_eq!(sessions.due(first), [heartbeat(&device, start.wall)]);
        // Silent for longer than the core waits: the report stays young enough until the next heartbeat.
        let second = start.after(SECOND * 480);
        let young = UnixMillis(second.wall.0 - 300_000);
        assert_eq!(sessions.due(second), [heartbeat(&device, young)]);
        sessions.closed(device.id);
        assert_eq!(sessions.due(start.after(SECOND * 720)), []);
        assert_eq!(sessions.len(), 0);
    }

    #[test]
    fn a_session_that_the_core_closed_is_opened_again_soon_and_paced() {
        let start = clock::now();
        let mut sessions = Sessions::new(ActivitySettings::default());
        for id in 1..=600 {
            sessions.opened(start, &session(id));
            // However often it is asked for, one heartbeat comes.
            sessions.revive(session(id).id);
            sessions.revive(session(id).id);
        }
        sessions.revive(session(601).id);
        let soon = start.after(Duration::from_millis(50));
        assert_eq!(sessions.due(soon).len(), AT_ONCE);
        assert_eq!(sessions.due(soon).len(), 600 - AT_ONCE);
        // Their next heartbeat counts from here.
        assert_eq!(sessions.due(start.after(SECOND * 240)).len(), 0);
        assert_eq!(sessions.due(soon.after(SECOND * 240)).len(), AT_ONCE);
        assert_eq!(sessions.due(soon.after(SECOND * 240)).len(), 600 - AT_ONCE);
    }

    #[test]
    fn a_begin_that_could_not_be_told_is_told_soon_instead_of_a_heartbeat() {
        let start = clock::now();
        let mut sessions = Sessions::new(ActivitySettings::default());
        let device = session(1);
        sessions.opened(start, &device);
        sessions.open_soon(device.id);
        sessions.revive(device.id);
        assert_eq!(sessions.due(start), [due(&device, Word::Open)]);
        assert_eq!(
            sessions.due(start.after(SECOND * 3)),
            [report(&device, start.wall)]
        );
    }

    #[test]
    fn knows_the_session_of_a_device() {
        let start = clock::now();
        let mut sessions = Sessions::new(ActivitySettings::default());
        let (old, new) = (
            session(1),
            Arc::new(SessionInfo {
                id: SessionId(Uuid::from_u128(2)),
                device: Arc::clone(&session(1).device),
            }),
        );
        sessions.opened(start, &old);
        sessions.opened(start, &new);
        sessions.closed(old.id);
        assert_eq!(
            sessions.of_device(new.device.device),
            Some(Arc::clone(&new))
        );
        sessions.closed(new.id);
        assert_eq!(sessions.of_device(new.device.device), None);
    }
}
