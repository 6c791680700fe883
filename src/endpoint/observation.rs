//! What the profile wants observed or read, and which observations are established.

use std::collections::{BTreeMap, VecDeque};

use crate::{coap::message::Token, lwm2m::path::Path, platform::profile::VersionedPath};

use super::{
    context::DeviceContext,
    operation::{
        Operation,
        format::{NoUsableFormat, for_reading},
    },
};

/// Established observations.
#[derive(Debug, Default)]
pub(super) struct Observations {
    by_token: BTreeMap<Token, Observed>,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) path: Path,
    /// Observe value of the newest notification that was reported.
    newest: Option<u32>,
    /// Observe values of notifications that could not be stored and were left unacknowledged, oldest first.
    unstored: VecDeque<u32>,
}

/// How a notification that is not fresh is to be taken (RFC 7641 section 3.4 and delivery promise, rule 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// A newer one was reported: acknowledge, drop.
    Superseded,
    /// The newest, but it could not be stored when it came first: report it again.
    Again,
    /// It could not be stored, and a newer one was reported since: neither report nor acknowledge it.
    Lost,
}

impl Observed {
    pub(super) fn new(path: Path) -> Self {
        Self {
            path,
            newest: None,
            unstored: VecDeque::new(),
        }
    }

    /// Notes that a notification is reported.
    pub(super) fn reported(&mut self, observe: Option<u32>) {
        self.newest = observe;
        self.unstored.retain(|own| Some(*own) != observe);
    }

    /// Notes that a notification could not be stored.
    pub(super) fn unstored(&mut self, observe: u32) {
        if self.unstored.len() == MAX_UNSTORED {
            self.unstored.pop_front();
        }
        self.unstored.push_back(observe);
    }

    pub(super) fn stale(&self, observe: Option<u32>) -> Stale {
        match observe {
            Some(value) if !self.unstored.contains(&value) => Stale::Superseded,
            Some(value) if self.newest == Some(value) => Stale::Again,
            Some(_) => Stale::Lost,
            None => Stale::Superseded,
        }
    }
}

/// Notifications remembered as unstored, per observation; as many as the message layer remembers messages.
const MAX_UNSTORED: usize = 32;

impl Observations {
    /// Notes an observation; answers the tokens of older ones of the same path, which are to be cancelled
    /// (RFC 7641 section 3.1, one relation per path and registration).
    pub(super) fn establish(&mut self, token: Token, observed: Observed) -> Vec<Token> {
        let older: Vec<_> = self
            .by_token
            .iter()
            .filter(|(own, other)| **own != token && other.path == observed.path)
            .map(|(own, _)| *own)
            .collect();
        older.iter().for_each(|own| {
            self.by_token.remove(own);
        });
        self.by_token.insert(token, observed);
        older
    }

    pub(super) fn get(&self, token: Token) -> Option<&Observed> {
        self.by_token.get(&token)
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut Observed> {
        self.by_token.get_mut(&token)
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<Observed> {
        self.by_token.remove(&token)
    }

    /// The tokens of all observations.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.by_token.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Observed> {
        self.by_token.values()
    }
}

/// The requests a profile asks for, and what of it could not be made (`read`, `observe`): nothing the device announced
/// can carry it.
#[derive(Debug, Default)]
pub(super) struct ProfileWork {
    pub(super) operations: Vec<Operation>,
    pub(super) impossible: Vec<&'static str>,
}

/// What a profile asks for, in the order in which it is to be done: Write-Attributes, Observe, Read (`rulings` 5.3).
/// Paths the device does not support are left out, and those that `wanted` refuses.
pub(super) fn profile_work(
    device: &DeviceContext<'_>,
    wanted: impl Fn(&Path) -> bool,
) -> ProfileWork {
    let mapping = &device.profile.transport.observe_attr;
    let supported = |path: &VersionedPath| {
        device.registration.supports(&path.path, path.version) && wanted(&path.path)
    };
    let mut work = ProfileWork::default();
    for (path, attributes) in &mapping.notification_attributes {
        if supported(path) {
            let operation =
                Operation::write_attributes(path.to_string(), path.path, attributes.clone());
            work.operations.push(operation);
        }
    }
    let mut done: Vec<&VersionedPath> = Vec::new();
    let reads = mapping
        .attribute
        .iter()
        .chain(&mapping.telemetry)
        .map(|path| (path, false));
    for (path, observe) in mapping.observe.iter().map(|path| (path, true)).chain(reads) {
        if done.contains(&path) || !supported(path) {
            continue;
        }
        done.push(path);
        match (for_reading(&path.path, device), observe) {
            (Ok(accept), true) => {
                work.operations
                    .push(Operation::observe(path.to_string(), path.path, accept))
            }
            (Ok(accept), false) => {
                work.operations
                    .push(Operation::read(path.to_string(), path.path, accept))
            }
            (Err(NoUsableFormat), true) => work.impossible.push("observe"),
            (Err(NoUsableFormat), false) => work.impossible.push("read"),
        }
    }
    work.impossible.dedup();
    work
}
