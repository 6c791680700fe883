//! The steps of an attempt, from the question for the package to the command to install (`ota.md` 7 and 9.1).

use super::*;

impl Update {
    /// Takes the next step of an attempt: whatever is still open, in this order.
    pub(super) fn go_on(&mut self, now: Instant, terms: &Terms<'_>) {
        let Some(target) = self.target.clone() else {
            return;
        };
        let open = self.watch(terms);
        if open > 0 {
            return self.enter(Stage::Watching(open), now.checked_add(STEP));
        }
        if self.object.uninstall.is_some()
            && !self.attempt.cleared
            && self.phase() == Some(Phase::Installed)
        {
            self.attempt.cleared = true;
            self.enter(Stage::Uninstalling, None);
            return self.request(Step::Uninstall);
        }
        let way = match &self.attempt.way {
            Some(way) => Ok(way.clone()),
            None => choose(self.object, &target, &self.attempt, self.delivery, terms),
        };
        let way = match way {
            Ok(way) => way,
            Err(Open::Info) => {
                self.enter(Stage::Asking, None);
                return self.actions.push_back(Action::AskPackage);
            }
            Err(Open::Package) => return self.ask_bytes(),
            Err(Open::Protocols) => {
                self.enter(Stage::Protocols, now.checked_add(STEP));
                return self.request(Step::Protocols);
            }
            Err(Open::Impossible(text)) => return self.fail(now, text, Retry::No, None, terms),
        };
        self.attempt.way = Some(way.clone());
        let pushes = matches!(way, Way::Push(_));
        if pushes {
            let slot = self.attempt.slot.get_or_insert_with(|| terms.slots.join());
            if !slot.is_free() {
                return self.enter(Stage::Queued, now.checked_add(QUEUED));
            }
        }
        let describes = terms.describes && self.attempt.info.is_some();
        if (pushes || describes) && self.attempt.package.is_none() {
            return self.ask_bytes();
        }
        if describes && !self.attempt.described {
            self.attempt.described = true;
            self.enter(Stage::Describing, now.checked_add(STEP));
            return self.request(Step::Describe);
        }
        let holds = matches!(self.phase(), Some(Phase::Downloading | Phase::Ready));
        if holds && self.object.cancel.is_some() && !self.attempt.reset {
            self.attempt.reset = true;
            self.enter(Stage::Resetting, now.checked_add(STEP));
            return self.request(Step::Reset);
        }
        self.attempt.tries = 0;
        let limit = pushes.then(|| now.checked_add(terms.settings.push_max()));
        self.enter(Stage::Writing, limit.flatten());
        let id = self.attempt.info.as_ref().map(|info| info.id);
        if !pushes {
            self.actions.push_back(Action::Share(id));
        }
        self.request(Step::Write(way));
    }

    /// The platform said which package it is.
    pub(in crate::endpoint::ota) fn package_found(
        &mut self,
        now: Instant,
        found: Result<PackageInfo, QuestionError>,
        terms: &Terms<'_>,
    ) {
        if self.stage != Stage::Asking {
            return;
        }
        match found {
            Ok(info) => {
                self.attempt.info = Some(info);
                self.go_on(now, terms);
            }
            Err(error @ (QuestionError::Unavailable | QuestionError::Limited)) => {
                self.attempt.tries += 1;
                if self.attempt.tries < QUESTIONS {
                    self.deadline = now.checked_add(QUESTION_PAUSE);
                } else {
                    let text = text::not_processed(self.object.kind, error);
                    self.fail(now, text, Retry::No, None, terms);
                }
            }
            Err(error @ (QuestionError::NotFound | QuestionError::Invalid)) => {
                self.fail(now, text::not_fetched(error), Retry::No, None, terms);
            }
        }
    }

    /// The platform gave the bytes.
    pub(in crate::endpoint::ota) fn bytes_found(
        &mut self,
        now: Instant,
        found: Result<Arc<Package>, QuestionError>,
        terms: &Terms<'_>,
    ) {
        if self.stage != Stage::Loading {
            return;
        }
        match found {
            Ok(package) => {
                self.attempt.package = Some(package);
                self.go_on(now, terms);
            }
            Err(QuestionError::NotFound) if self.attempt.tries == 0 => {
                // Asked for the package once more, the platform puts its bytes there.
                self.attempt.tries = 1;
                self.attempt.info = None;
                self.enter(Stage::Asking, None);
                self.actions.push_back(Action::AskPackage);
            }
            Err(QuestionError::NotFound | QuestionError::Unavailable)
                if usize::from(self.attempt.tries) <= BYTES_PAUSES.len() =>
            {
                let pause = BYTES_PAUSES.get(usize::from(self.attempt.tries.saturating_sub(1)));
                self.attempt.tries = self.attempt.tries.max(1) + 1;
                self.deadline = pause.and_then(|pause| now.checked_add(*pause));
            }
            Err(_) => self.fail(now, text::NO_DATA.to_owned(), Retry::No, None, terms),
        }
    }

    /// A request to the device came to an end.
    pub(in crate::endpoint::ota) fn outcome(
        &mut self,
        now: Instant,
        step: &Step,
        outcome: &Outcome,
        terms: &Terms<'_>,
    ) {
        match (self.stage, step) {
            (Stage::Watching(open), Step::Observe(_)) => {
                self.stage = Stage::Watching(open.saturating_sub(1));
                if open <= 1 {
                    self.go_on(now, terms);
                }
            }
            (Stage::Uninstalling, Step::Uninstall) => {
                if let Outcome::Refused(code) = outcome {
                    let text = text::uninstall_rejected(*code);
                    return self.fail(now, text, Retry::No, None, terms);
                }
                if self.phase() == Some(Phase::Idle) {
                    self.go_on(now, terms);
                } else {
                    self.deadline = now.checked_add(UNINSTALLING);
                }
            }
            (Stage::Protocols, Step::Protocols) => {
                let numbers = match outcome {
                    Outcome::Done(numbers) => numbers.clone(),
                    Outcome::Refused(_) | Outcome::Lost => Vec::new(),
                };
                self.attempt.protocols = Some(numbers);
                self.go_on(now, terms);
            }
            (Stage::Describing, Step::Describe) => self.go_on(now, terms),
            (Stage::Resetting, Step::Reset) => {
                self.state = None;
                self.go_on(now, terms);
            }
            (Stage::Writing, Step::Write(way)) if self.attempt.way.as_ref() == Some(way) => {
                self.written(now, way, outcome, terms);
            }
            (Stage::AwaitUpdate, Step::Execute) => {
                let Outcome::Refused(code) = outcome else {
                    return;
                };
                self.attempt.execution = Execution::Refused;
                if self.attempt.tries < EXECUTES {
                    self.attempt.tries += 1;
                    self.deadline = now.checked_add(EXECUTE_PAUSE);
                } else {
                    let text = text::update_rejected(*code);
                    self.fail(now, text, Retry::No, None, terms);
                }
            }
            _ => {}
        }
    }

    /// Observes what has to be known and the profile does not observe; how many answers are to come.
    pub(super) fn watch(&mut self, terms: &Terms<'_>) -> u8 {
        if std::mem::replace(&mut self.attempt.watched, true) || !terms.settings.auto_observe {
            return 0;
        }
        let paths = [self.object.state, self.object.result];
        let missing = paths.into_iter().zip(terms.observed);
        let mut open = 0;
        for (path, _) in missing.filter(|(_, observed)| !observed) {
            open += 1;
            self.request(Step::Observe(path));
        }
        open
    }

    pub(super) fn written(
        &mut self,
        now: Instant,
        way: &Way,
        outcome: &Outcome,
        terms: &Terms<'_>,
    ) {
        match outcome {
            Outcome::Done(_) => {
                (self.attempt.slot, self.attempt.package) = (None, None);
                let limit = terms.settings.await_state();
                self.enter(Stage::AwaitState, now.checked_add(limit));
            }
            Outcome::Refused(code) if code.class() == 4 => {
                let text = match way {
                    Way::Push(_) => text::package_rejected(*code),
                    Way::Fetch(_) => text::uri_rejected(*code),
                };
                self.fail(now, text, Retry::No, None, terms);
            }
            Outcome::Refused(_) | Outcome::Lost => self.lose(now, terms),
        }
    }

    /// The device has the package: it is told to install it.
    pub(super) fn ready(&mut self, now: Instant, terms: &Terms<'_>) {
        if self.stage == Stage::Writing {
            // Its answer would change nothing, and the command must not wait for it.
            self.actions.push_back(Action::Abandon);
        }
        (self.attempt.slot, self.attempt.package) = (None, None);
        self.attempt.tries = 0;
        self.settling = None;
        let limit = terms.settings.update_max();
        self.enter(Stage::AwaitUpdate, now.checked_add(limit));
        self.execute();
        let name = self.state.and_then(|code| self.object.state(code));
        let name = name.map_or("DOWNLOADED", |(name, _)| name);
        self.report(Status::Downloaded, text::state(self.object.kind, name));
    }

    pub(super) fn execute(&mut self) {
        self.attempt.execution = Execution::Sent;
        self.request(Step::Execute);
    }

    pub(super) fn ask_bytes(&mut self) {
        if let Some(info) = &self.attempt.info {
            let id = info.id;
            self.enter(Stage::Loading, None);
            self.actions.push_back(Action::AskBytes(id));
        }
    }
}
