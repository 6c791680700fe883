//! Updates of firmware (Object 5) and software (Object 9) over the air (`ota.md`).
//!
//! `firmware` and `software` say what their objects look like; `update` is the machine that brings a package to
//! either. This file gives it what the device and the platform say, and does what it wants done.

mod attempt;
mod firmware;
mod object;
mod record;
mod request;
mod settings;
mod slots;
mod software;
mod target;
mod update;

use std::collections::BTreeMap;

use crate::{
    lwm2m::node::{Resource, ResourceContent},
    platform::package::{PackageId, PackageKind},
};

use super::{operation::Paths, text::ota as text, *};

use attempt::Terms;
use object::Object;
use target::Target;
use update::{Action, Outcome as StepOutcome, Update};

pub(super) use attempt::Way;
pub(super) use object::Status;
pub use record::{Progress, UpdateRecord};
pub use settings::{OtaSettings, SoftwarePath};
pub use slots::PushSlots;
pub(super) use update::Step;

/// The updates of one device.
#[derive(Debug, Default)]
pub(super) struct Ota {
    firmware: Option<Box<Update>>,
    software: Option<Box<Update>>,
    /// The profile's work is done.
    ready: bool,
    /// What is assigned is to be asked for.
    wanted: bool,
    /// The kinds for which that was done.
    asked: Vec<PackageKind>,
    /// What the platform was asked.
    questions: Vec<(RequestId, PackageKind)>,
    /// Observations for updates alone.
    watched: Vec<(Token, Path)>,
    /// What the device may fetch, and from where.
    shared: Vec<(PackageKind, PackageId, PeerId)>,
}

impl Ota {
    fn slot(&mut self, kind: PackageKind) -> &mut Option<Box<Update>> {
        match kind {
            PackageKind::Firmware => &mut self.firmware,
            PackageKind::Software => &mut self.software,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Update> {
        [&self.firmware, &self.software]
            .into_iter()
            .flatten()
            .map(Box::as_ref)
    }

    /// The device registered: what is assigned is asked for when the profile's work is done.
    pub(super) fn registered(&mut self) {
        (self.ready, self.wanted) = (false, true);
        self.asked.clear();
        let all = [&mut self.firmware, &mut self.software];
        all.into_iter()
            .flatten()
            .for_each(|update| update.registered());
    }

    /// The registration has ended; what the device could fetch.
    pub(super) fn unregistered(&mut self) -> Vec<Key> {
        (self.ready, self.wanted) = (false, false);
        self.watched.clear();
        let shared = self.shared.drain(..);
        shared.map(|(_, id, peer)| Key::Package(id, peer)).collect()
    }

    /// What is assigned is to be asked for again.
    pub(super) const fn want_again(&mut self) {
        self.wanted = true;
    }

    /// The command to install never left.
    pub(super) fn not_executed(&mut self, kind: PackageKind) {
        if let Some(update) = self.slot(kind) {
            update.not_executed();
        }
    }

    /// Whether a package is on its way to the device, so that it does not sleep.
    pub(super) fn keeps_awake(&self) -> bool {
        self.all().any(Update::is_downloading)
    }

    /// The path that is observed with this token for updates alone.
    pub(super) fn watches(&self, token: Token) -> Option<Path> {
        let mut watched = self.watched.iter();
        watched
            .find(|(own, _)| *own == token)
            .map(|(_, path)| *path)
    }

    /// When something is due, if the device can be spoken to.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let due = self.all().filter_map(Update::poll_timeout).min();
        due.filter(|_| self.ready)
    }
}

impl Endpoint {
    /// Asks what is assigned and takes up what was interrupted, once the profile's work is done.
    pub(super) fn begin_ota(&mut self, now: Now) {
        let Some(registration) = &self.registration else {
            return;
        };
        if !self.resources.are_known()
            || self.downlink.has_profile_work()
            || self.attributes.are_wanted()
        {
            return;
        }
        let (session, peer) = (Arc::clone(&registration.session), registration.peer.id);
        self.share_at(peer);
        if std::mem::take(&mut self.ota.wanted) {
            let known = |kind: &PackageKind| {
                let update = self.ota.all().find(|own| own.kind() == *kind);
                update.is_some_and(Update::is_known)
            };
            let kinds: Vec<_> = PackageKind::ALL.into_iter().filter(known).collect();
            self.ask_assigned(&session, &kinds);
        }
        if !std::mem::replace(&mut self.ota.ready, true) {
            for kind in PackageKind::ALL {
                if self.ota.slot(kind).is_some() {
                    self.update_ota(now, kind, |update, terms| update.resume(now.mono, terms));
                }
            }
        }
    }

    /// Takes shared attributes: those of packages say what is assigned.
    pub(super) fn assign_packages(&mut self, now: Now, updated: &[(String, KeyValue, UnixMillis)]) {
        for kind in PackageKind::ALL {
            let find = |name: &str| {
                let name = kind.attribute(name);
                let (_, value, ts) = updated.iter().find(|(own, ..)| *own == name)?;
                if let KeyValue::String(text) = value {
                    Some((text.clone(), *ts))
                } else {
                    None
                }
            };
            let (title, version) = (find("title"), find("version"));
            let Some(ts) = [&title, &version]
                .into_iter()
                .flatten()
                .map(|(_, ts)| *ts)
                .max()
            else {
                continue;
            };
            let text = |found: Option<(String, UnixMillis)>| found.map(|(text, _)| text);
            let before = self.ota.all().find(|own| own.kind() == kind);
            let before = before.and_then(Update::target).cloned().unwrap_or_default();
            let target = Target {
                title: text(title).unwrap_or(before.title),
                version: text(version).unwrap_or(before.version),
                tag: text(find("tag")),
                url: text(find("url")),
                ts,
            };
            self.update_ota(now, kind, |update, terms| {
                update.assign(now.mono, target, terms);
            });
        }
    }

    /// Shared attributes were deleted: without title or version nothing is assigned.
    pub(super) fn withdraw_packages(&mut self, now: Now, deleted: &[String]) {
        for kind in PackageKind::ALL {
            let names = ["title", "version"].map(|name| kind.attribute(name));
            if self.ota.slot(kind).is_some() && names.iter().any(|name| deleted.contains(name)) {
                self.update_ota(now, kind, |update, _| update.withdraw());
            }
        }
    }

    /// The profile has changed.
    pub(super) fn reconsider_packages(&mut self, now: Now) {
        for kind in PackageKind::ALL {
            if self.ota.slot(kind).is_some() {
                self.update_ota(now, kind, |update, terms| {
                    update.reconsider(now.mono, terms);
                });
            }
        }
    }

    /// Shows what the device said to the updates.
    pub(super) fn show_to_ota(
        &mut self,
        now: Now,
        latest: &BTreeMap<Path, (Resource, UnixMillis)>,
    ) {
        for kind in PackageKind::ALL {
            let concerns = |path: &Path| object(kind).concerns(path);
            for (path, (resource, _)) in latest.iter().filter(|(path, _)| concerns(path)) {
                if let ResourceContent::Single(value) = &resource.content {
                    self.update_ota(now, kind, |update, terms| {
                        update.value(now.mono, path, value, terms);
                    });
                }
            }
            self.ask_when_known(kind);
        }
    }

    /// Takes the answer to a question of an update; `false`: it is none.
    pub(super) fn handle_ota_answer(
        &mut self,
        now: Now,
        id: RequestId,
        result: &Result<Answer, QuestionError>,
    ) -> bool {
        let mut questions = self.ota.questions.iter();
        let Some(index) = questions.position(|(own, _)| *own == id) else {
            return false;
        };
        let (_, kind) = self.ota.questions.swap_remove(index);
        let (package, bytes) = match result {
            Ok(Answer::Package(info)) => (Some(Ok(info.clone())), None),
            Ok(Answer::PackageBytes(bytes)) => (None, Some(Ok(Arc::clone(bytes)))),
            Ok(Answer::Credentials(_) | Answer::Models(_)) => {
                (Some(Err(QuestionError::Invalid)), None)
            }
            Err(error) => (Some(Err(*error)), Some(Err(*error))),
        };
        self.update_ota(now, kind, |update, terms| {
            // An error is for the stage that waits.
            let asks = update.asks_for_package();
            if let Some(found) = package.filter(|_| asks) {
                update.package_found(now.mono, found, terms);
            } else if let Some(found) = bytes {
                update.bytes_found(now.mono, found, terms);
            }
        });
        true
    }

    /// Takes a notification of an observation that is for updates alone.
    pub(super) fn handle_ota_notification(
        &mut self,
        now: Now,
        path: Path,
        message: &Message,
        fresh: bool,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let device = self.context(registration);
        if let (true, Ok(decoded)) = (
            fresh,
            operation::decode_notification(message, &Paths::One(path), &device),
        ) {
            let nodes = decoded.samples.into_iter().flat_map(|sample| sample.nodes);
            self.show_nodes_to_ota(now, nodes.collect());
        }
    }

    /// Does what is due.
    pub(super) fn handle_ota_timeout(&mut self, now: Now) {
        let due = self.ota.poll_timeout();
        if due.is_none_or(|due| due > now.mono) {
            return;
        }
        for kind in PackageKind::ALL {
            if self.ota.slot(kind).is_some() {
                self.update_ota(now, kind, |update, terms| update.timeout(now.mono, terms));
            }
        }
    }

    fn show_nodes_to_ota(&mut self, now: Now, nodes: Vec<(Path, Node)>) {
        let resources = nodes
            .into_iter()
            .flat_map(|(path, node)| telemetry::resources(&path, node));
        let latest = resources.map(|(path, resource)| (path, (resource, now.wall)));
        self.show_to_ota(now, &latest.collect());
    }

    /// Lets the update of a kind decide, and does what it wants.
    fn update_ota(
        &mut self,
        now: Now,
        kind: PackageKind,
        decide: impl FnOnce(&mut Update, &Terms<'_>),
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let (profile, settings) = (
            Arc::clone(&registration.profile),
            Arc::clone(&self.settings),
        );
        let client = &profile.transport.client;
        let object = object(kind);
        let (strategy, base) = match kind {
            PackageKind::Firmware => (client.fw_update_strategy, &client.fw_update_resource),
            PackageKind::Software => (client.sw_update_strategy, &client.sw_update_resource),
        };
        let observed = [object.state, object.result].map(|path| {
            let mut observed = self.observations.iter();
            observed.any(|(_, own)| own.paths.as_slice().iter().any(|own| own.contains(&path)))
        });
        let terms = Terms {
            settings: &settings.ota,
            slots: &settings.push_slots,
            ready: self.ota.ready,
            strategy: strategy.unwrap_or(1),
            base: base.as_deref(),
            describes: client.use_object_19_for_info
                && self.resources.models().object(19).is_some(),
            secured: registration.peer.identity != PeerIdentity::Unsecured,
            observed,
            jitter: u32::try_from(self.random.uniform(800..=1200)).unwrap_or(1000),
        };
        let update = self
            .ota
            .slot(kind)
            .get_or_insert_with(|| Box::new(Update::new(object)));
        decide(update, &terms);
        self.perform_ota(now, kind);
    }

    fn perform_ota(&mut self, now: Now, kind: PackageKind) {
        while let Some(action) = self
            .ota
            .slot(kind)
            .as_mut()
            .and_then(|own| own.poll_action())
        {
            let Some(registration) = &self.registration else {
                return;
            };
            let session = Arc::clone(&registration.session);
            match action {
                Action::AskPackage => {
                    let device = &session.device;
                    let question = Question::Package {
                        tenant: device.tenant,
                        device: device.device,
                        kind,
                    };
                    self.ask_for_ota(kind, question);
                }
                Action::AskBytes(id) => self.ask_for_ota(kind, Question::PackageBytes(id)),
                Action::Request(step) => self.request_for_ota(now, kind, step),
                Action::Abandon => {
                    for token in self.downlink.abandon_ota(kind) {
                        self.exchanges.cancel(now.mono, token);
                    }
                }
                Action::Share(id) => {
                    let peer = registration.peer.id;
                    self.share(kind, id, peer);
                }
                Action::Unwatch => self.unwatch(kind),
                Action::Report(status, text) => self.report_ota(now, &session, kind, status, text),
                Action::Log(line) => self.log(now, &session, line),
            }
        }
    }

    /// Asks the platform; what was asked before may be about another package.
    fn ask_for_ota(&mut self, kind: PackageKind, question: Question) {
        let id = self.ask(question);
        self.ota.questions.retain(|(_, own)| *own != kind);
        self.ota.questions.push((id, kind));
    }

    /// Tells the platform how far an update is.
    fn report_ota(
        &mut self,
        now: Now,
        session: &Arc<SessionInfo>,
        kind: PackageKind,
        status: Status,
        text: String,
    ) {
        self.stats.count_ota(status);
        let name = KeyValue::String(status.name().to_owned());
        let mut values = vec![(kind.attribute("state"), name)];
        if self.settings.ota.report_error_key && status == Status::Failed {
            values.push((kind.attribute("error"), KeyValue::String(text.clone())));
        }
        self.post_with_line(now, session, values, text);
    }

    /// What is assigned is asked for once more when the device first says what it runs: until then it was thought to be
    /// one that cannot be updated.
    fn ask_when_known(&mut self, kind: PackageKind) {
        let known = self
            .ota
            .slot(kind)
            .as_ref()
            .is_some_and(|own| own.is_known());
        if !known || !self.ota.ready || self.ota.asked.contains(&kind) {
            return;
        }
        if let Some(registration) = &self.registration {
            let session = Arc::clone(&registration.session);
            self.ask_assigned(&session, &[kind]);
        }
    }

    fn ask_assigned(&mut self, session: &Arc<SessionInfo>, kinds: &[PackageKind]) {
        let names = ["title", "version", "tag", "url"];
        let keys: Vec<_> = kinds
            .iter()
            .flat_map(|kind| names.map(|name| kind.attribute(name)))
            .collect();
        if keys.is_empty() {
            return;
        }
        self.ota.asked.extend(kinds);
        self.outputs
            .push_back(Output::Uplink(Uplink::AttributesWanted {
                session: Arc::clone(session),
                keys,
            }));
    }

    fn share(&mut self, kind: PackageKind, id: Option<PackageId>, peer: PeerId) {
        let ended = self.ota.shared.extract_if(.., |(own, ..)| *own == kind);
        let ended = ended.map(|(_, id, peer)| Output::Unbind(Key::Package(id, peer)));
        self.bindings.extend(ended);
        if let Some(id) = id {
            self.ota.shared.push((kind, id, peer));
            self.bindings
                .push_back(Output::Bind(Key::Package(id, peer)));
        }
    }

    /// What the device may fetch, it may fetch where it is.
    fn share_at(&mut self, peer: PeerId) {
        let mut shared = self.ota.shared.iter();
        while let Some((kind, id, _)) = shared.find(|(.., at)| *at != peer).copied() {
            self.share(kind, Some(id), peer);
            shared = self.ota.shared.iter();
        }
    }

    fn unwatch(&mut self, kind: PackageKind) {
        let object = object(kind);
        let is_own = |(_, path): &mut (Token, Path)| object.concerns(path);
        let ended: Vec<_> = self.ota.watched.extract_if(.., is_own).collect();
        for (token, path) in ended {
            self.end_watch(token, path);
        }
    }
}

/// The object of a kind.
fn object(kind: PackageKind) -> &'static Object {
    match kind {
        PackageKind::Firmware => &firmware::OBJECT,
        PackageKind::Software => &software::OBJECT,
    }
}

/// Whether a resource takes packages or tells of them: what is written there is neither remembered nor reported.
pub(super) fn is_package_resource(path: &Path) -> bool {
    PackageKind::ALL.into_iter().any(|kind| {
        let object = object(kind);
        object.package.contains(path) || object.description.contains(path)
    })
}
