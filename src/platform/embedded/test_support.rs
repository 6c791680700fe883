//! Folders, sinks and clocks for the tests of this module.

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::platform::{
    Downlink, DownlinkSink, Reply, ReplySink, ReplyTo, SessionId, Undeliverable,
    downlink::Scope,
    time::{Now, UnixMillis},
};

/// A small profile, bare.
pub(super) const PROFILE: &str = r#"{"type":"LWM2M","observeAttr":{"observe":["/3_1.2/0/9"],"telemetry":["/3_1.2/0/9"],"attribute":[],"keyName":{"/3_1.2/0/9":"batteryLevel"},"attributeLwm2m":{}},"clientLwM2mSettings":{}}"#;

/// A device entry without security.
pub(super) fn device(name: &str, profile: &str, endpoint: &str) -> String {
    format!(
        r#"{{"deviceName":"{name}","profile":"{profile}","credentials":{{"client":{{"securityConfigClientMode":"NO_SEC","endpoint":"{endpoint}"}}}}}}"#
    )
}

/// An object definition with one resource.
pub(super) fn model(id: u16, version: &str, name: &str) -> String {
    format!(
        r#"<LWM2M><Object ObjectType="MODefinition"><Name>{name}</Name><ObjectID>{id}</ObjectID>
<ObjectVersion>{version}</ObjectVersion><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory>
<Resources><Item ID="0"><Name>Value</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration/><Units/></Item></Resources></Object></LWM2M>"#
    )
}

/// A registry folder of its own.
#[derive(Debug)]
pub(super) struct RegistryFolder {
    folder: tempfile::TempDir,
    /// Files written get increasing times, whatever the resolution of the file system.
    writes: AtomicU64,
}

impl RegistryFolder {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["devices", "models", "packages", "profiles"] {
            fs::create_dir(folder.path().join(kind)).unwrap();
        }
        Self {
            folder,
            writes: AtomicU64::new(0),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        let seconds = self.writes.fetch_add(1, Ordering::Relaxed);
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            .unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }
}

/// Keeps what is sent to endpoints; delivers to `session` alone.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    pub(super) session: Mutex<Option<SessionId>>,
    pub(super) delivered: Mutex<Vec<Downlink>>,
    pub(super) broadcast: Mutex<Vec<(Scope, Downlink)>>,
}

impl DownlinkSink for Endpoints {
    fn deliver(&self, session: SessionId, downlink: Downlink) -> Result<(), Undeliverable> {
        if *lock(&self.session) != Some(session) {
            return Err(Undeliverable::UnknownSession(Box::new(downlink)));
        }
        lock(&self.delivered).push(downlink);
        Ok(())
    }

    fn broadcast(&self, scope: Scope, downlink: &Downlink) {
        self.broadcast
            .lock()
            .unwrap()
            .push((scope, downlink.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// Keeps replies.
#[derive(Debug, Default)]
pub(super) struct Replies(Mutex<Vec<Reply>>);

impl Replies {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn reply_to(self: &Arc<Self>) -> ReplyTo {
        Arc::<Self>::clone(self)
    }

    pub(super) fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl ReplySink for Replies {
    fn reply(&self, reply: Reply) {
        self.0.lock().unwrap().push(reply);
    }
}

/// Some time.
#[expect(clippy::disallowed_methods, reason = "tests need some clock")]
pub(super) fn clock() -> Now {
    Now {
        mono: Instant::now(),
        wall: UnixMillis(1_700_000_000_000),
    }
}
