//! What of an update survives a restart of the server, and how it continues (`ota.md` 9.3).

use super::{
    attempt::{Attempt, Execution},
    update::Stage,
    *,
};

/// An update as it is to be kept. It changes with every step that a restart must not forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateRecord {
    /// What is updated.
    pub kind: PackageKind,
    /// Title of the package that is assigned.
    pub title: String,
    /// Its version.
    pub version: String,
    /// Its tag.
    pub tag: Option<String>,
    /// Where it is, if the platform does not hold it.
    pub url: Option<String>,
    /// When it was assigned.
    pub assigned_at: UnixMillis,
    /// How many attempts have begun.
    pub attempts: u8,
    /// How far the update is.
    pub progress: Progress,
}

/// How far an update is that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing of it has left, or what has left came to nothing.
    Open,
    /// The package, or its address, has left.
    Transfer {
        /// Where the package was written; `None`: the device fetches it.
        pushed_to: Option<Path>,
        /// The device said that the package is on its way.
        downloading: bool,
    },
    /// The command to install has left.
    Installing {
        /// The device said that it installs.
        updating: bool,
    },
    /// It failed for good.
    Failed {
        /// The name of the result that the device reported.
        result: Option<String>,
    },
    /// It is done.
    Done,
}

impl Endpoint {
    /// The updates to be kept.
    pub fn ota_records(&self) -> Vec<UpdateRecord> {
        self.ota.all().filter_map(Update::record).collect()
    }

    /// Continues updates as they were when `records` were made, once the device has registered or was restored.
    pub fn restore_ota(&mut self, now: Now, records: Vec<UpdateRecord>) {
        for record in records {
            let kind = record.kind;
            let limit = self.settings.ota.await_state();
            let update = Update::restored(object(kind), record, now.mono.checked_add(limit));
            *self.ota.slot(kind) = Some(Box::new(update));
        }
    }
}

impl Update {
    /// What is to be kept; `None` when nothing is assigned.
    fn record(&self) -> Option<UpdateRecord> {
        let target = self.target.as_ref()?;
        let progress = match self.stage {
            Stage::Writing | Stage::AwaitState => Progress::Transfer {
                pushed_to: match self.attempt.way {
                    Some(Way::Push(path)) => Some(path),
                    Some(Way::Fetch(_)) | None => None,
                },
                downloading: self.status == Some(Status::Downloading),
            },
            Stage::AwaitUpdate if self.attempt.execution == Execution::Unsent => Progress::Open,
            Stage::AwaitUpdate => Progress::Installing { updating: false },
            Stage::Updating => Progress::Installing { updating: true },
            Stage::Failed => Progress::Failed {
                result: self.failed.map(str::to_owned),
            },
            Stage::Done => Progress::Done,
            Stage::Idle
            | Stage::Watching(_)
            | Stage::Uninstalling
            | Stage::Asking
            | Stage::Queued
            | Stage::Loading
            | Stage::Protocols
            | Stage::Describing
            | Stage::Resetting
            | Stage::Backoff => Progress::Open,
        };
        Some(UpdateRecord {
            kind: self.object.kind,
            title: target.title.clone(),
            version: target.version.clone(),
            tag: target.tag.clone(),
            url: target.url.clone(),
            assigned_at: target.ts,
            attempts: self.attempts,
            progress,
        })
    }

    /// An update as it was. A stage that has no other end ends at `limit`.
    fn restored(object: &'static Object, record: UpdateRecord, limit: Option<Instant>) -> Self {
        let mut own = Self::new(object);
        own.target = Some(Target {
            title: record.title,
            version: record.version,
            tag: record.tag,
            url: record.url,
            ts: record.assigned_at,
        });
        own.attempts = record.attempts;
        match record.progress {
            // The attempt that had begun begins once more.
            Progress::Open => own.attempts = record.attempts.saturating_sub(1),
            Progress::Transfer {
                pushed_to,
                downloading,
            } => {
                own.stage = Stage::AwaitState;
                own.deadline = limit;
                own.status = downloading.then_some(Status::Downloading);
                own.attempt = Attempt {
                    way: Some(pushed_to.map_or_else(|| Way::Fetch(String::new()), Way::Push)),
                    ..Attempt::default()
                };
            }
            Progress::Installing { updating } => {
                own.stage = if updating {
                    Stage::Updating
                } else {
                    Stage::AwaitUpdate
                };
                own.deadline = limit;
                own.attempt.execution = Execution::Sent;
                own.status = updating.then_some(Status::Updating);
            }
            Progress::Failed { result } => {
                let mut known = object.results.iter().map(|(_, name, _)| *name);
                own.failed = known.find(|name| Some(*name) == result.as_deref());
                own.stage = Stage::Failed;
            }
            Progress::Done => own.stage = Stage::Done,
        }
        own
    }
}
