//! What the profile wants observed or read, and which observations are established.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::{
    coap::{ContentFormat, Token},
    lwm2m::{format::EncodeError, path::Path},
    platform::profile::{
        DeviceProfile, NotificationAttributes, ObserveAttr, ObserveStrategy, VersionedPath,
    },
    store::record,
};

use super::{
    context::DeviceContext,
    operation::{
        Operation, Paths,
        format::{for_composite, for_reading},
    },
    rpc::java,
};

/// Established observations.
#[derive(Debug, Default)]
pub(super) struct Observations {
    by_token: BTreeMap<Token, Observed>,
    /// How often one began or ended.
    changes: u64,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) paths: Paths,
    /// The format asked for.
    format: ContentFormat,
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
    pub(super) fn new(paths: Paths, format: ContentFormat) -> Self {
        Self {
            paths,
            format,
            newest: None,
            unstored: VecDeque::new(),
        }
    }

    /// The request that made it, which also ends it (RFC 7641 section 3.6); `None` when it cannot be made any more.
    pub(super) fn request(&self) -> Option<Operation> {
        let (id, paths) = (self.paths.to_string(), self.paths.clone());
        match paths {
            Paths::One(path) => Some(Operation::observe(id, path, self.format)),
            Paths::Several(_) => Operation::observe_composite(id, paths, self.format).ok(),
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

impl Observed {
    /// What is kept of it. `order` is the Observe value of its freshest notification.
    pub(super) fn record(&self, token: Token, order: u32) -> record::Observation {
        record::Observation {
            token: Bytes::copy_from_slice(token.as_bytes()),
            paths: self.paths.as_slice().iter().map(Path::to_string).collect(),
            composite: matches!(self.paths, Paths::Several(_)),
            format: u32::from(self.format.0),
            order,
        }
    }

    /// The observation that was kept, with its token; `None` when it is none.
    pub(super) fn restored(record: &record::Observation) -> Option<(Token, Self)> {
        let paths: Option<Vec<Path>> = record.paths.iter().map(|path| path.parse().ok()).collect();
        let paths = match (record.composite, paths?) {
            (true, paths) if !paths.is_empty() => Paths::Several(paths),
            (false, paths) => Paths::One(*paths.first().filter(|_| paths.len() == 1)?),
            (true, _) => return None,
        };
        let format = ContentFormat(record.format.try_into().ok()?);
        Some((Token::new(&record.token)?, Self::new(paths, format)))
    }
}

/// Notifications remembered as unstored, per observation; as many as the message layer remembers messages.
const MAX_UNSTORED: usize = 32;

impl Observations {
    /// Notes an observation; answers the tokens of older ones of the same paths, which are to be cancelled
    /// (RFC 7641 section 3.1, one relation per path and registration).
    pub(super) fn establish(&mut self, token: Token, observed: Observed) -> Vec<Token> {
        let older: Vec<_> = self
            .by_token
            .iter()
            .filter(|(own, other)| **own != token && other.paths.equal(&observed.paths))
            .map(|(own, _)| *own)
            .collect();
        older.iter().for_each(|own| {
            self.by_token.remove(own);
        });
        self.changes += 1;
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
        self.changes += 1;
        self.by_token.remove(&token)
    }

    /// The tokens of the observations of these paths.
    pub(super) fn of(&self, paths: &Paths) -> Vec<Token> {
        let all = self.by_token.iter();
        let own = all.filter(|(_, observed)| observed.paths.equal(paths));
        own.map(|(token, _)| *token).collect()
    }

    /// Grows whenever an observation begins or ends.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// The tokens of all observations.
    pub(super) fn tokens(&self) -> Vec<Token> {
        self.by_token.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Token, &Observed)> {
        self.by_token.iter()
    }
}

/// The requests a profile asks for, and what of it could not be made (`write attribute`, `observe`, `read`): attributes
/// that do not belong to their path, or nothing the device announced can carry it.
#[derive(Debug, Default)]
pub(super) struct ProfileWork {
    pub(super) operations: Vec<Operation>,
    pub(super) impossible: Vec<&'static str>,
}

/// What another profile changes.
#[derive(Debug)]
pub(super) struct ProfileChange {
    pub(super) work: ProfileWork,
    pub(super) ended: Ended,
}

/// The observations that end with a profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Those of these paths.
    Of(Vec<Paths>),
    /// All, those that commands made among them.
    All,
}

/// What a profile asks for, in the order in which it is to be done: Write-Attributes, Observe, Read (`rulings` 5.3).
/// Paths the device does not support are left out, and those that `wanted` refuses.
pub(super) fn profile_work(
    device: &DeviceContext<'_>,
    wanted: impl Fn(&Path) -> bool,
) -> ProfileWork {
    let mapping = &device.profile.transport.observe_attr;
    let supported = supported(device, wanted);
    let mut work = ProfileWork::default();
    let attributes = mapping.notification_attributes.iter();
    for (path, attributes) in attributes.filter(|(path, _)| supported(path)) {
        work.write(path, attributes);
    }
    let observed = distinct(mapping.observe.iter(), &supported);
    let mut read = distinct(
        mapping.attribute.iter().chain(&mapping.telemetry),
        &supported,
    );
    read.retain(|path| !observed.contains(path));
    work.add(device, &OBSERVE, mapping.observe_strategy, &observed);
    let strategy = if mapping.read_by_observe_strategy {
        mapping.observe_strategy
    } else {
        ObserveStrategy::Single
    };
    work.add(device, &READ, strategy, &read);
    work
}

/// What the device's profile asks for beyond the one it had `before`, in the order in which it is to be done:
/// Write-Attributes, Read, Observe (`device-lifecycle.md` 9.1). Paths the device does not support are left out, and those
/// that `wanted` refuses.
pub(super) fn profile_change(
    device: &DeviceContext<'_>,
    before: &DeviceProfile,
    wanted: impl Fn(&Path) -> bool,
) -> ProfileChange {
    let (old, new) = (
        &before.transport.observe_attr,
        &device.profile.transport.observe_attr,
    );
    let supported = supported(device, wanted);
    let mut work = ProfileWork::default();
    let attributes = |mapping: &'_ ObserveAttr, path: &VersionedPath| {
        let mut all = mapping.notification_attributes.iter();
        all.find(|(own, _)| own == path).map(|(_, own)| own.clone())
    };
    let changed = new.notification_attributes.iter();
    let removed = old.notification_attributes.iter();
    let removed = removed.filter(|(path, _)| attributes(new, path).is_none());
    for (path, _) in changed.chain(removed).filter(|(path, _)| supported(path)) {
        let (had, has) = (attributes(old, path), attributes(new, path));
        if had != has {
            let has = has.unwrap_or_default();
            work.write(path, &has.replacing(&had.unwrap_or_default()));
        }
    }

    let observes = |mapping: &ObserveAttr| {
        let mut work = ProfileWork::default();
        let paths = distinct(mapping.observe.iter(), &supported);
        work.add(device, &OBSERVE, mapping.observe_strategy, &paths);
        work
    };
    let is_in = |operation: &Operation, operations: &[Operation]| {
        let mut others = operations.iter();
        others.any(|other| other.paths().equal(operation.paths()))
    };
    let (had, mut observe) = (observes(old), observes(new));
    let is_equal = |other: &Operation| is_in(other, &observe.operations);
    let gone = had.operations.iter().filter(|own| !is_equal(own));
    let gone: Vec<_> = gone.map(|own| own.paths().clone()).collect();
    let is_changed = !gone.is_empty() || observe.operations.len() != had.operations.len();
    let is_partial = old.observe_strategy == new.observe_strategy
        && new.observe_strategy != ObserveStrategy::CompositeAll;
    let ended = if is_changed && !is_partial {
        Ended::All
    } else {
        observe
            .operations
            .retain(|own| !is_in(own, &had.operations));
        Ended::Of(gone)
    };

    let is_posted = |mapping: &ObserveAttr, path: &VersionedPath| {
        (
            mapping.attribute.contains(path),
            mapping.telemetry.contains(path),
        )
    };
    let about_to_be_observed = |path: &VersionedPath| {
        let mut all = observe.operations.iter();
        all.any(|operation| operation.paths().as_slice().contains(&path.path))
    };
    let mut read = distinct(new.attribute.iter().chain(&new.telemetry), &supported);
    read.retain(|path| {
        let (as_attribute, as_telemetry) = is_posted(new, path);
        let (was_attribute, was_telemetry) = is_posted(old, path);
        let is_new = (as_attribute && !was_attribute) || (as_telemetry && !was_telemetry);
        (is_new || old.key(path) != new.key(path)) && !about_to_be_observed(path)
    });
    work.add(device, &READ, ObserveStrategy::Single, &read);
    work.append(observe);
    ProfileChange { work, ended }
}

/// Whether a path is of an object, in its version, that the device has, and wanted.
fn supported(
    device: &DeviceContext<'_>,
    wanted: impl Fn(&Path) -> bool,
) -> impl Fn(&VersionedPath) -> bool {
    let registration = device.registration;
    move |path| registration.supports(&path.path, path.version) && wanted(&path.path)
}

/// Those of the `listed` paths that are `supported`, each once.
fn distinct<'a>(
    listed: impl Iterator<Item = &'a VersionedPath>,
    supported: impl Fn(&VersionedPath) -> bool,
) -> Vec<VersionedPath> {
    let mut paths = Vec::new();
    for path in listed {
        if !paths.contains(path) && supported(path) {
            paths.push(*path);
        }
    }
    paths
}

impl ProfileWork {
    /// Adds a Write-Attributes. Values and types are the device's to judge.
    fn write(&mut self, path: &VersionedPath, attributes: &NotificationAttributes) {
        if attributes.check_level(&path.path, None).is_err() {
            return self.cannot("write attribute");
        }
        let operation =
            Operation::write_attributes(path.to_string(), path.path, attributes.clone());
        self.operations.push(operation);
    }

    fn append(&mut self, other: Self) {
        self.operations.extend(other.operations);
        other
            .impossible
            .into_iter()
            .for_each(|what| self.cannot(what));
    }

    /// Adds what is asked for at `paths`, together or one by one.
    fn add(
        &mut self,
        device: &DeviceContext<'_>,
        kind: &Kind,
        strategy: ObserveStrategy,
        paths: &[VersionedPath],
    ) {
        let groups = match strategy {
            ObserveStrategy::Single => {
                for path in paths {
                    match for_reading(&path.path, device) {
                        Ok(format) => {
                            let operation = (kind.one)(path.to_string(), path.path, format);
                            self.operations.push(operation);
                        }
                        Err(_) => self.cannot(kind.name),
                    }
                }
                return;
            }
            ObserveStrategy::CompositeAll => BTreeMap::from([(None, in_set_order(paths))]),
            ObserveStrategy::CompositeByObject => {
                let mut groups = BTreeMap::<_, Vec<_>>::new();
                for path in in_set_order(paths) {
                    groups.entry(path.path.object_id()).or_default().push(path);
                }
                groups
            }
        };
        for group in groups.into_values().filter(|group| !group.is_empty()) {
            let ids: Vec<_> = group.iter().map(VersionedPath::to_string).collect();
            let paths = Paths::together(group.iter().map(|path| path.path));
            let operation = for_composite(device)
                .filter(|_| paths.overlapping().is_none())
                .and_then(|format| {
                    (kind.several)(format!("[{}]", ids.join(", ")), paths, format).ok()
                });
            match operation {
                Some(operation) => self.operations.push(operation),
                None => self.cannot(kind.name),
            }
        }
    }

    fn cannot(&mut self, what: &'static str) {
        if self.impossible.last() != Some(&what) {
            self.impossible.push(what);
        }
    }
}

/// The platform has the paths of a profile in a hash set, which decides between those that share a slot when they are
/// sent (`rpc.md` 9.4).
fn in_set_order(paths: &[VersionedPath]) -> Vec<VersionedPath> {
    let mut paths = paths.to_vec();
    java::hash_order(&mut paths, 16, |path| java::string_hash(&path.to_string()));
    paths
}

/// What can be asked for one by one and together.
struct Kind {
    name: &'static str,
    one: fn(String, Path, ContentFormat) -> Operation,
    several: fn(String, Paths, ContentFormat) -> Result<Operation, EncodeError>,
}

const OBSERVE: Kind = Kind {
    name: "observe",
    one: Operation::observe,
    several: Operation::observe_composite,
};
const READ: Kind = Kind {
    name: "read",
    one: Operation::read,
    several: Operation::read_composite,
};
