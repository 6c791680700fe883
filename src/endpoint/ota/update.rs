//! The update of one object, from what the platform assigns to the device's word that it runs it (`ota.md` 5, 6 and 9).
//!
//! Invariants: one update at a time; the command to install leaves only while the device says that a package is ready, and
//! once for each attempt, unless the device refused it; what a device reports beside an attempt of ours starts and
//! reports nothing; a package that failed, or that does not become what the device shows, is not tried again until the
//! platform assigns anew.

mod reports;
mod steps;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    attempt::{Attempt, Execution, Open, PACKAGE_IN_OBJECT_19, Terms, Way, choose},
    object::{Meaning, Object, Phase, Status},
    target::{Current, Target},
};
use crate::{
    coap::Code,
    endpoint::text::ota as text,
    lwm2m::{path::Path, value::Value},
    platform::{
        QuestionError,
        package::{Package, PackageId, PackageInfo, PackageKind},
        time::UnixMillis,
    },
};

/// See the module's description.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) object: &'static Object,
    pub(super) target: Option<Target>,
    /// What was assigned, or taken away, while the device installed: for afterwards.
    next: Option<Option<Target>>,
    current: Current,
    delivery: Option<i64>,
    state: Option<i64>,
    result: Option<i64>,
    /// What was last reported of this attempt.
    pub(super) status: Option<Status>,
    pub(super) stage: Stage,
    pub(super) attempts: u8,
    pub(super) attempt: Attempt,
    /// The result that the device had when the attempt began.
    stale: Option<i64>,
    /// The result with which the target failed.
    pub(super) failed: Option<&'static str>,
    /// The assignment of which was said that the device cannot do it.
    unsupported: Option<UnixMillis>,
    /// The end of the stage, or of a pause in it.
    pub(super) deadline: Option<Instant>,
    /// Until when a result is awaited that explains a state.
    settling: Option<Instant>,
    /// The device registered anew since it began to install.
    rebooted: bool,
    actions: VecDeque<Action>,
}

/// How far an update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none.
    Idle,
    /// State and result are about to be observed; so many answers are to come.
    Watching(u8),
    /// What is installed is being removed.
    Uninstalling,
    /// The platform is asked for the package.
    Asking,
    /// Too many devices are sent packages; or the device itself waits for its turn.
    Queued,
    /// The platform is asked for the bytes.
    Loading,
    /// The device is asked for its protocols.
    Protocols,
    /// Object 19 is being told of the package.
    Describing,
    /// What the device holds of another package is being given up.
    Resetting,
    /// The package, or its address, is on its way to the device.
    Writing,
    /// The device has it, and is to say so.
    AwaitState,
    /// The device is to install it.
    AwaitUpdate,
    /// It does.
    Updating,
    /// An attempt failed; the next one follows.
    Backoff,
    /// The target failed.
    Failed,
    /// The target was installed.
    Done,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Ask the platform for the package of the device.
    AskPackage,
    /// Ask it for bytes.
    AskBytes(PackageId),
    /// Make a request to the device; its outcome is awaited.
    Request(Step),
    /// Give up the write of the package that waits or is under way.
    Abandon,
    /// Let the device fetch this package, or none.
    Share(Option<PackageId>),
    /// Observe state and result no longer.
    Unwatch,
    /// Tell the platform.
    Report(Status, String),
    /// Write a line.
    Log(String),
}

/// A request to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::endpoint) enum Step {
    /// Observe state or result.
    Observe(Path),
    /// Remove what is installed.
    Uninstall,
    /// Read the protocols.
    Protocols,
    /// Tell Object 19 of the package.
    Describe,
    /// Give up what is there of a package.
    Reset,
    /// Send the package, or its address.
    Write(Way),
    /// Install.
    Execute,
}

/// What came of a request to the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was carried out; the numbers are those that were read.
    Done(Vec<i64>),
    /// The device refused it.
    Refused(Code),
    /// Nobody knows.
    Lost,
}

impl Update {
    /// Nothing is known.
    pub(super) fn new(object: &'static Object) -> Self {
        Self {
            object,
            target: None,
            next: None,
            current: Current::default(),
            delivery: None,
            state: None,
            result: None,
            status: None,
            stage: Stage::Idle,
            attempts: 0,
            attempt: Attempt::default(),
            stale: None,
            failed: None,
            unsupported: None,
            deadline: None,
            settling: None,
            rebooted: false,
            actions: VecDeque::new(),
        }
    }

    /// What it updates.
    pub(super) const fn kind(&self) -> PackageKind {
        self.object.kind
    }

    /// Whether the platform is asked which package it is.
    pub(super) fn asks_for_package(&self) -> bool {
        self.stage == Stage::Asking
    }

    /// The next thing to do.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Self::timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadline.into_iter().chain(self.settling).min()
    }

    /// Whether the device said what it runs.
    pub(super) const fn is_known(&self) -> bool {
        self.current.is_known()
    }

    /// Whether a package is on its way, so that the device does not sleep.
    pub(super) fn is_downloading(&self) -> bool {
        self.stage == Stage::Writing
            || (self.stage == Stage::AwaitState && self.status == Some(Status::Downloading))
    }

    /// Description and bytes of the package that is being brought to the device.
    pub(super) fn package(&self) -> Option<(&PackageInfo, &Arc<Package>)> {
        Some((self.attempt.info.as_ref()?, self.attempt.package.as_ref()?))
    }

    /// The platform assigned `target`, or says again that it did.
    pub(super) fn assign(&mut self, now: Instant, target: Target, terms: &Terms<'_>) {
        let same = self.target.as_ref().is_some_and(|own| own.is_same(&target));
        let newer = self.target.as_ref().is_none_or(|own| own.ts < target.ts);
        if self.installs() {
            self.next = (!same).then_some(Some(target));
            return;
        }
        if self.is_active() {
            if same {
                self.target = Some(target);
                return;
            }
            self.cancel();
        } else if !same || (self.stage == Stage::Failed && newer) {
            self.forget();
        }
        self.target = Some(target);
        self.decide(now, terms);
    }

    /// What is assigned.
    pub(super) const fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The platform assigns nothing any more.
    pub(super) fn withdraw(&mut self) {
        if self.installs() {
            self.next = Some(None);
            return;
        }
        self.cancel();
        self.target = None;
    }

    /// The profile has changed: what could not be done by the one before may be possible.
    pub(super) fn reconsider(&mut self, now: Instant, terms: &Terms<'_>) {
        if self.stage == Stage::Failed && self.failed.is_none() {
            self.forget();
        }
        if self.stage == Stage::Idle {
            self.decide(now, terms);
        }
    }

    /// The device registered: what was known of it counts no more.
    pub(super) fn registered(&mut self) {
        self.current = Current::default();
        (self.delivery, self.state, self.result) = (None, None, None);
        self.settling = None;
        self.attempt.watched = false;
        self.rebooted = self.installs();
    }

    /// The profile's work is done after a registration, or the device woke up.
    pub(super) fn resume(&mut self, now: Instant, terms: &Terms<'_>) {
        let phase = self.phase();
        match self.stage {
            Stage::Idle | Stage::Failed | Stage::Done => self.decide(now, terms),
            Stage::Asking | Stage::Queued | Stage::Loading | Stage::Backoff => {}
            Stage::Watching(_)
            | Stage::Uninstalling
            | Stage::Protocols
            | Stage::Describing
            | Stage::Resetting => self.again(now, terms),
            Stage::Writing | Stage::AwaitState => {
                let way = self.attempt.way.clone();
                match (way, phase) {
                    (_, Some(Phase::Ready)) => self.ready(now, terms),
                    (Some(Way::Push(PACKAGE_IN_OBJECT_19)), _)
                        if self.stage == Stage::AwaitState => {}
                    (Some(Way::Push(_)), Some(Phase::Downloading)) => {
                        self.attempt.interrupted = true;
                        self.enter(Stage::AwaitState, now.checked_add(INTERRUPTED));
                    }
                    (Some(Way::Fetch(_)), Some(Phase::Downloading)) => {
                        self.enter(
                            Stage::AwaitState,
                            now.checked_add(terms.settings.await_state()),
                        );
                    }
                    (_, Some(Phase::Idle)) if self.status == Some(Status::Downloading) => {
                        self.settling = now.checked_add(SETTLING);
                    }
                    (_, None) if self.stage == Stage::AwaitState => {}
                    _ => self.again(now, terms),
                }
            }
            Stage::AwaitUpdate => {
                if self.attempt.execution == Execution::Unsent && phase == Some(Phase::Ready) {
                    self.execute();
                } else {
                    self.judge_reboot(now, terms);
                }
            }
            Stage::Updating => self.judge_reboot(now, terms),
        }
        if self.is_active() {
            self.watch(terms);
        }
    }

    /// The command to install never left.
    pub(super) fn not_executed(&mut self) {
        self.attempt.execution = Execution::Unsent;
    }

    /// Does what is due at `now`.
    pub(super) fn timeout(&mut self, now: Instant, terms: &Terms<'_>) {
        let is_due = |deadline: &mut Option<Instant>| {
            deadline.take_if(|deadline| *deadline <= now).is_some()
        };
        if is_due(&mut self.settling) {
            let name = self.state.and_then(|code| self.object.state(code));
            let text = text::state(self.object.kind, name.map_or("IDLE", |(name, _)| name));
            return self.fail(now, text, Retry::Yes, None, terms);
        }
        if !is_due(&mut self.deadline) {
            return;
        }
        match self.stage {
            Stage::Idle | Stage::Failed | Stage::Done => {}
            Stage::Asking => self.actions.push_back(Action::AskPackage),
            Stage::Loading => self.ask_bytes(),
            Stage::Watching(_)
            | Stage::Queued
            | Stage::Protocols
            | Stage::Describing
            | Stage::Resetting => {
                if self.stage == Stage::Protocols {
                    self.attempt.protocols = Some(Vec::new());
                }
                self.go_on(now, terms);
            }
            Stage::Uninstalling | Stage::Writing => self.lose(now, terms),
            Stage::AwaitState if self.attempt.interrupted => self.again(now, terms),
            // Nobody says what becomes of a package in Object 19.
            Stage::AwaitState if self.attempt.way == Some(Way::Push(PACKAGE_IN_OBJECT_19)) => {
                self.enter(Stage::Done, None);
                self.finish(now, terms);
            }
            Stage::AwaitState => self.lose(now, terms),
            Stage::AwaitUpdate if self.attempt.execution == Execution::Refused => {
                if self.phase() == Some(Phase::Ready) {
                    self.execute();
                }
                self.deadline = now.checked_add(terms.settings.update_max());
            }
            Stage::AwaitUpdate | Stage::Updating => {
                self.fail(now, text::NOT_FINISHED.to_owned(), Retry::No, None, terms);
            }
            Stage::Backoff => self.begin(now, terms),
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.object.state(self.state?).map(|(_, phase)| phase)
    }

    /// Whether the device was told to install.
    fn installs(&self) -> bool {
        matches!(self.stage, Stage::AwaitUpdate | Stage::Updating)
    }

    fn is_active(&self) -> bool {
        !matches!(self.stage, Stage::Idle | Stage::Failed | Stage::Done)
    }

    /// Begins an update if one is due.
    fn decide(&mut self, now: Instant, terms: &Terms<'_>) {
        let Some(target) = self.target.as_ref().filter(|target| target.is_complete()) else {
            return;
        };
        if !terms.ready || self.stage == Stage::Done || self.is_active() {
            return;
        }
        let kind = self.object.kind;
        if !self.current.is_known() {
            let ts = target.ts;
            if self.unsupported.replace(ts) != Some(ts) {
                self.report(Status::Failed, text::unsupported(kind));
            }
            return;
        }
        if self.stage == Stage::Failed {
            if let Some(name) = self.failed {
                self.actions
                    .push_back(Action::Log(text::failed_before(kind, name)));
            }
            return;
        }
        if self.phase() == Some(Phase::Ready) && self.current.names(target) {
            // It is there, whoever brought it.
            return self.ready(now, terms);
        }
        if self.current.differs_from(target) {
            return self.begin(now, terms);
        }
        let result = self.result.and_then(|code| self.object.result(code));
        if let (Some((name, Meaning::Success)), None) = (result, self.status) {
            // It was installed while nobody here could know of it.
            self.succeed(now, text::result(kind, name), terms);
        }
    }

    /// The next attempt.
    fn begin(&mut self, now: Instant, terms: &Terms<'_>) {
        self.attempts += 1;
        self.attempt = Attempt::default();
        (self.status, self.settling) = (None, None);
        self.stale = self.result;
        self.go_on(now, terms);
    }

    /// The same attempt from its start.
    fn again(&mut self, now: Instant, terms: &Terms<'_>) {
        self.attempts = self.attempts.saturating_sub(1);
        self.actions.push_back(Action::Abandon);
        self.begin(now, terms);
    }

    fn succeed(&mut self, now: Instant, text: String, terms: &Terms<'_>) {
        self.report(Status::Updated, text);
        self.enter(Stage::Done, None);
        self.finish(now, terms);
    }

    /// The connection was lost.
    fn lose(&mut self, now: Instant, terms: &Terms<'_>) {
        self.attempt.lost = self.stage == Stage::Writing;
        let text = text::result(self.object.kind, CONNECTION_LOST);
        self.fail(now, text, Retry::Yes, Some(CONNECTION_LOST), terms);
    }

    fn fail(
        &mut self,
        now: Instant,
        text: String,
        retry: Retry,
        result: Option<&'static str>,
        terms: &Terms<'_>,
    ) {
        if self.stage == Stage::Writing {
            self.actions.push_back(Action::Abandon);
        }
        (self.attempt.slot, self.attempt.package) = (None, None);
        self.report(Status::Failed, text);
        let pause = PAUSES.get(usize::from(self.attempts.saturating_sub(1)));
        if let (Retry::Yes, Some(pause), None) = (retry, pause, &self.next) {
            let pause = pause.saturating_mul(terms.jitter) / 1000;
            return self.enter(Stage::Backoff, now.checked_add(pause));
        }
        self.failed = result;
        self.enter(Stage::Failed, None);
        self.finish(now, terms);
    }

    /// An update has ended, one way or the other.
    fn finish(&mut self, now: Instant, terms: &Terms<'_>) {
        self.attempts = 0;
        self.attempt = Attempt::default();
        self.rebooted = false;
        self.actions.extend([Action::Share(None), Action::Unwatch]);
        match self.next.take() {
            Some(Some(target)) => self.assign(now, target, terms),
            Some(None) => self.withdraw(),
            None => {}
        }
    }

    /// Gives up what is under way; the device gives up what it has of the package.
    fn cancel(&mut self) {
        let begun = matches!(self.stage, Stage::Writing | Stage::AwaitState);
        let holds = begun && self.attempt.way != Some(Way::Push(PACKAGE_IN_OBJECT_19));
        if self.is_active() {
            self.actions.push_back(Action::Abandon);
            if holds && self.object.cancel.is_some() {
                self.request(Step::Reset);
                self.state = None;
            }
            self.actions.extend([Action::Share(None), Action::Unwatch]);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.attempt = Attempt::default();
        (self.attempts, self.failed, self.status) = (0, None, None);
        self.settling = None;
        self.enter(Stage::Idle, None);
    }

    /// `deadline` is the end of the stage.
    fn enter(&mut self, stage: Stage, deadline: Option<Instant>) {
        (self.stage, self.deadline) = (stage, deadline);
        if matches!(stage, Stage::Backoff | Stage::Failed | Stage::Done) {
            self.settling = None;
        }
    }

    fn request(&mut self, step: Step) {
        self.actions.push_back(Action::Request(step));
    }

    fn report(&mut self, status: Status, text: String) {
        self.status = Some(status);
        self.actions.push_back(Action::Report(status, text));
    }
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    No,
    Yes,
}

/// The name of the result in both objects.
const CONNECTION_LOST: &str = "CONNECTION_LOST";
/// Pauses between attempts, of which there are four.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
];
/// How long a result is awaited that explains a state.
const SETTLING: Duration = Duration::from_secs(10);
/// How long a device may take to go on with a package whose transfer was interrupted.
const INTERRUPTED: Duration = Duration::from_secs(30);
/// How long a preparing step may take.
const STEP: Duration = Duration::from_secs(30);
/// How long a device may take to remove what is installed.
const UNINSTALLING: Duration = Duration::from_secs(120);
/// How often who waits in line looks whether its turn has come.
const QUEUED: Duration = Duration::from_secs(1);
/// Questions for a package that the platform does not answer.
const QUESTIONS: u8 = 3;
const QUESTION_PAUSE: Duration = Duration::from_secs(5);
/// Pauses before the bytes are asked for again.
const BYTES_PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// How often a refused command to install is repeated.
const EXECUTES: u8 = 2;
const EXECUTE_PAUSE: Duration = Duration::from_secs(5);
