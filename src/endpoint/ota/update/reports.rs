//! What the device reports of an update: states, results, and what it runs (`ota.md` 6).

use super::*;

impl Update {
    /// The device said the value of a resource.
    pub(in crate::endpoint::ota) fn value(
        &mut self,
        now: Instant,
        path: &Path,
        value: &Value,
        terms: &Terms<'_>,
    ) {
        let object = self.object;
        let text = || {
            let Value::String(text) = value else {
                return None;
            };
            (!text.is_empty()).then(|| text.clone())
        };
        let number = if let Value::Integer(number) = value {
            Some(*number)
        } else {
            None
        };
        if *path == object.name {
            self.current.name = text();
        } else if *path == object.version {
            self.current.version = text();
        } else if *path == object.device_version {
            self.current.device_version = text();
        } else if Some(path) == object.delivery.as_ref() {
            self.delivery = number;
        } else if let (true, Some(code)) = (*path == object.state, number) {
            self.handle_state(now, code, terms);
        } else if let (true, Some(code)) = (*path == object.result, number) {
            self.handle_result(now, code, terms);
        }
    }

    pub(super) fn handle_state(&mut self, now: Instant, code: i64, terms: &Terms<'_>) {
        self.state = Some(code);
        let Some((name, phase)) = self.object.state(code) else {
            return self.actions.push_back(Action::Log(text::state(
                self.object.kind,
                format_args!("UNKNOWN({code})"),
            )));
        };
        let in_transfer = matches!(self.stage, Stage::Writing | Stage::AwaitState);
        match (self.stage, phase) {
            (_, Phase::Downloading) if in_transfer => {
                self.settling = None;
                self.attempt.moved = true;
                if self.stage == Stage::AwaitState && !self.attempt.interrupted {
                    // It says nothing more until it has all of it.
                    self.deadline = now.checked_add(terms.settings.push_max());
                }
                self.report(Status::Downloading, text::state(self.object.kind, name));
            }
            (_, Phase::Ready) if in_transfer => self.ready(now, terms),
            // The last answer was lost, the package was not.
            (Stage::Backoff, Phase::Ready) if self.attempt.lost => self.ready(now, terms),
            (_, Phase::Idle) if in_transfer && self.status == Some(Status::Downloading) => {
                self.settling = now.checked_add(SETTLING);
            }
            (Stage::AwaitUpdate | Stage::Updating, Phase::Updating) => {
                self.enter(
                    Stage::Updating,
                    now.checked_add(terms.settings.update_max()),
                );
                self.report(Status::Updating, text::state(self.object.kind, name));
            }
            (Stage::Uninstalling, Phase::Idle) => self.go_on(now, terms),
            (Stage::Idle, Phase::Idle | Phase::Ready) => self.decide(now, terms),
            _ => {}
        }
    }

    pub(super) fn handle_result(&mut self, now: Instant, code: i64, terms: &Terms<'_>) {
        let first = self.result.replace(code).is_none();
        let Some((name, meaning)) = self.object.result(code) else {
            return self.actions.push_back(Action::Log(text::result(
                self.object.kind,
                format_args!("UNKNOWN({code})"),
            )));
        };
        let line = text::result(self.object.kind, name);
        let installs = self.installs();
        let in_transfer = matches!(self.stage, Stage::Writing | Stage::AwaitState);
        // Before the device has said anything of this attempt, the result is that of the one before.
        let is_stale = self.stage == Stage::Writing && !self.attempt.moved;
        if !(installs || in_transfer) || (is_stale && self.stale == Some(code)) {
            return;
        }
        match meaning {
            Meaning::Initial if installs && self.rebooted && first => {
                if terms.ready {
                    self.judge_reboot(now, terms);
                }
            }
            Meaning::Initial => self.attempt.moved = true,
            Meaning::Progress(status) => self.report(status, line),
            Meaning::Success if installs => self.succeed(now, line, terms),
            // No command of ours led there.
            Meaning::Success => {}
            Meaning::Deferred => self.actions.push_back(Action::Log(line)),
            Meaning::Temporary => self.fail(now, line, Retry::Yes, Some(name), terms),
            Meaning::Fatal => self.fail(now, line, Retry::No, Some(name), terms),
        }
    }

    /// After a reboot the result is 0 and the version tells how it ended.
    pub(super) fn judge_reboot(&mut self, now: Instant, terms: &Terms<'_>) {
        let initial = self.result.and_then(|code| self.object.result(code));
        let (Some((name, Meaning::Initial)), Some(target)) = (initial, &self.target) else {
            return;
        };
        let is_at_it = matches!(self.phase(), Some(Phase::Ready | Phase::Updating));
        if !self.rebooted || is_at_it {
            return;
        }
        let kind = self.object.kind;
        if self.current.is_known() && self.current.differs_from(target) {
            let text = text::version_unchanged(kind);
            self.fail(now, text, Retry::No, Some(name), terms);
        } else {
            self.succeed(now, text::result(kind, name), terms);
        }
    }
}
