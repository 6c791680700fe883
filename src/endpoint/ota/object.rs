//! What an object of updates looks like: its resources, and what the numbers of its states and results mean.

use crate::{
    lwm2m::path::{ObjectId, Path},
    platform::package::PackageKind,
};

/// Object 5 or Object 9, instance 0.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: PackageKind,
    pub(super) id: ObjectId,
    /// Takes a package.
    pub(super) package: Path,
    /// Takes the address of one.
    pub(super) uri: Path,
    /// Executed to install it.
    pub(super) update: Path,
    /// Executed to remove what is installed, if that has to be done before.
    pub(super) uninstall: Option<Path>,
    pub(super) state: Path,
    pub(super) result: Path,
    pub(super) name: Path,
    pub(super) version: Path,
    /// The protocols by which the device can fetch.
    pub(super) protocols: Option<Path>,
    /// Whether it fetches or is sent packages.
    pub(super) delivery: Option<Path>,
    /// Executed to give a package up, since version 1.1 of the object. An empty address does the same.
    pub(super) cancel: Option<Path>,
    /// The resource of Object 3 that may say what is installed.
    pub(super) device_version: Path,
    /// Where Object 19 takes a description of the package.
    pub(super) description: Path,
    pub(super) states: &'static [(i64, &'static str, Phase)],
    pub(super) results: &'static [(i64, &'static str, Meaning)],
}

/// What a state means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no package.
    Idle,
    /// A package is on its way.
    Downloading,
    /// A package is there, to be installed.
    Ready,
    /// It is being installed.
    Updating,
    /// It was installed.
    Installed,
}

/// What a result means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// There is none yet.
    Initial,
    /// Something to report on the way.
    Progress(Status),
    /// The package runs.
    Success,
    /// The device waits before it installs.
    Deferred,
    /// It failed; another attempt may help.
    Temporary,
    /// It failed.
    Fatal,
}

/// What is reported of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Status {
    Downloading,
    Downloaded,
    Verified,
    Updating,
    Updated,
    Failed,
}

impl Status {
    pub(in crate::endpoint) const fn name(self) -> &'static str {
        match self {
            Self::Downloading => "DOWNLOADING",
            Self::Downloaded => "DOWNLOADED",
            Self::Verified => "VERIFIED",
            Self::Updating => "UPDATING",
            Self::Updated => "UPDATED",
            Self::Failed => "FAILED",
        }
    }
}

impl Object {
    pub(super) fn state(&self, code: i64) -> Option<(&'static str, Phase)> {
        let found = self.states.iter().find(|(own, ..)| *own == code);
        found.map(|(_, name, phase)| (*name, *phase))
    }

    pub(super) fn result(&self, code: i64) -> Option<(&'static str, Meaning)> {
        let found = self.results.iter().find(|(own, ..)| *own == code);
        found.map(|(_, name, meaning)| (*name, *meaning))
    }

    /// Whether the value of a resource matters here.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        [
            self.state,
            self.result,
            self.name,
            self.version,
            self.device_version,
        ]
        .contains(path)
            || self.delivery.as_ref() == Some(path)
    }
}
