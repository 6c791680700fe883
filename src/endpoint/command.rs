//! Requests to the device: RPC of the platform and the profile's own work, from queue to answer.

use super::{
    delivery::Deferred,
    downlink::is_over,
    observation::{Ended, Observed},
    operation::{Failed, Paths},
    ota::Step,
    presence::PowerSaving,
    *,
};
use crate::platform::profile::VersionedPath;

impl Endpoint {
    pub(super) fn handle_rpc(&mut self, now: Now, request: RpcRequest) {
        self.stats.rpc += 1;
        if let Some(dropped) = self.downlink.notes_restart(request.id) {
            self.stats.cancelled_rpc += dropped as u64;
            self.wants_pending_rpc = true;
        }
        if self.downlink.knows(&request.id.uuid) {
            self.stats.duplicate_rpc += 1;
            return;
        }
        let Some(registration) = &self.registration else {
            // It was under way when the registration ended.
            if let Some(ended) = &self.lingering {
                let session = Arc::clone(&ended.session);
                let empty =
                    rpc::Reply::error(Code::INTERNAL_SERVER_ERROR, text::REGISTRATION_EMPTY);
                self.answer(&session, request.id, empty.body());
            } else {
                self.stats.cancelled_rpc += 1;
            }
            return;
        };
        if request.persisted && !self.presence.admits(self.power_saving()) {
            // The core keeps it, and says it again when the device wakes up (`rulings` 2.11).
            self.stats.postponed_rpc += 1;
            return;
        }
        let session = Arc::clone(&registration.session);
        self.drop_expired_rpc(now);
        if is_over(request.expires, now.wall) {
            self.stats.expired_rpc += 1;
            return;
        }
        if !self.downlink.has_room() || !self.held_rpc.take() {
            self.stats.overflowed_rpc += 1;
            let full = rpc::Reply::error(Code::INTERNAL_SERVER_ERROR, text::QUEUE_FULL);
            return self.reply(&session, request.id, full.body());
        }
        if self.resources.are_known() {
            self.read_rpc(now, &request);
        } else {
            self.downlink.keep_unread(request);
        }
    }

    fn read_rpc(&mut self, now: Now, request: &RpcRequest) {
        let Some(registration) = &self.registration else {
            return;
        };
        let session = Arc::clone(&registration.session);
        let parsed = rpc::parse(request, &self.context(registration), &self.observations);
        match parsed {
            Ok(rpc::Task::Operation(operation)) => self.downlink.push(Command {
                operation: *operation,
                origin: Origin::Rpc {
                    id: request.id,
                    expires: request.expires,
                    persisted: request.persisted,
                },
            }),
            Ok(rpc::Task::Answer(answer)) => {
                for token in answer.ended {
                    self.end_observation(now, token);
                }
                self.status(&session, request.id, RpcStatus::Delivered);
                self.answer(&session, request.id, answer.reply.body());
                if let Some(line) = answer.log {
                    self.log(now, &session, &line);
                }
            }
            Err(rejection) => {
                self.answer(&session, request.id, rejection.reply.body());
                if let Some(line) = rejection.log {
                    self.log(now, &session, &line);
                }
            }
        }
    }

    /// Gives an observation up: what still arrives for it is not reported, and the device is told.
    fn end_observation(&mut self, now: Now, token: Token) {
        let ended = self.observations.remove(token);
        match ended.and_then(|observed| observed.request()) {
            Some(operation) => self.downlink.push(Command {
                operation,
                origin: Origin::Cancel(token),
            }),
            None => {
                self.exchanges.cancel(now.mono, token);
            }
        }
    }

    /// The models are known: the profile's work begins for the objects and instances that are new, and RPC that waited
    /// are read.
    pub(super) fn begin_work(&mut self, now: Now) {
        let Some(registration) = &self.registration else {
            return;
        };
        let there = registration.data.objects.paths().collect();
        let new = self.resources.begin(there);
        let is_new = |path: &Path| new.iter().any(|own| own.contains(path));
        self.line_up(now, is_new, |_| true);
        self.read_unread(now);
    }

    /// Reads the RPC that waited for the object models, with those that are known.
    pub(super) fn read_unread(&mut self, now: Now) {
        for request in self.downlink.take_unread() {
            self.read_rpc(now, &request);
        }
    }

    /// Observes again what the profile wants observed, and what commands made observed: the device has given its
    /// observations up.
    pub(super) fn observe_again(&mut self, now: Now) {
        self.line_up(now, |_| true, |operation| operation.observes().is_some());
        let observed = self.observations.iter().map(|(_, observed)| observed);
        let others: Vec<_> = observed
            .filter(|observed| !self.downlink.is_to_observe(&observed.paths))
            .filter_map(Observed::request)
            .collect();
        for operation in others {
            self.downlink.push(Command {
                operation,
                origin: Origin::Profile,
            });
        }
    }

    /// Carries out what another profile changes. The difference waits for a device that sleeps.
    pub(super) fn change_profile(&mut self, now: Now, profile: Arc<DeviceProfile>) {
        let Some(registration) = &mut self.registration else {
            return;
        };
        let before = std::mem::replace(&mut registration.profile, Arc::clone(&profile));
        if !self.resources.are_known() {
            return;
        }
        let Some(registration) = &self.registration else {
            return;
        };
        let session = Arc::clone(&registration.session);
        let has_begun = |path: &Path| self.resources.has_begun(path);
        let change = observation::profile_change(&self.context(registration), &before, has_begun);
        match change.ended {
            Ended::Of(paths) => paths.iter().for_each(|own| self.unobserve(now, own)),
            Ended::All => {
                for paths in self.downlink.to_observe() {
                    self.unobserve(now, &paths);
                }
                for token in self.observations.tokens() {
                    self.end_observation(now, token);
                }
            }
        }
        let mapping = &profile.transport.observe_attr;
        self.downlink.keep_reads(|path| {
            let is_it = |own: &VersionedPath| own.path == *path;
            let mut posted = mapping.attribute.iter().chain(&mapping.telemetry);
            posted.any(is_it) && !mapping.observe.iter().any(is_it)
        });
        for operation in change.work.operations {
            if !self.observe_still(&operation) {
                self.downlink.push(Command {
                    operation,
                    origin: Origin::Profile,
                });
            }
        }
        for what in change.work.impossible {
            self.log(now, &session, text::profile_requests_failed(what));
        }
    }

    /// Takes back the end of an observation that is wanted again, if the device has not been told of it yet.
    fn observe_still(&mut self, wanted: &Operation) -> bool {
        let Some(format) = wanted.observes() else {
            return false;
        };
        let Some(token) = self.downlink.take_cancel(wanted.paths()) else {
            return false;
        };
        if self.exchanges.is_observing(token) {
            let observed = Observed::new(wanted.paths().clone(), format);
            self.observations.establish(token, observed);
            return true;
        }
        false
    }

    /// Gives up what observes these paths for the profile: the observation, or the request that is to make it.
    fn unobserve(&mut self, now: Now, paths: &Paths) {
        for token in self.downlink.clear_observe(paths) {
            self.exchanges.cancel(now.mono, token);
        }
        for token in self.observations.of(paths) {
            self.end_observation(now, token);
        }
    }

    fn line_up(
        &mut self,
        now: Now,
        path: impl Fn(&Path) -> bool,
        operation: impl Fn(&Operation) -> bool,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let session = Arc::clone(&registration.session);
        let work = observation::profile_work(&self.context(registration), path);
        for operation in work.operations.into_iter().filter(operation) {
            self.downlink.push(Command {
                operation,
                origin: Origin::Profile,
            });
        }
        for what in work.impossible {
            self.log(now, &session, text::profile_requests_failed(what));
        }
    }

    /// Ends every input: sends what may be sent, and keeps account of the RPC that wait.
    pub(super) fn pump(&mut self, now: Now) {
        self.drop_expired_rpc(now);
        self.send_waiting(now);
        self.held_rpc.keep(self.downlink.held_rpc());
        match self.downlink.next_expiration() {
            Some(expires) => {
                let millis = expires.0.saturating_sub(now.wall.0).max(0).unsigned_abs();
                // A time without end is never due.
                match now.mono.checked_add(Duration::from_millis(millis)) {
                    Some(deadline) => self.timers.set(Timer::Expiration, deadline),
                    None => self.timers.stop(Timer::Expiration),
                }
            }
            None => self.timers.stop(Timer::Expiration),
        }
    }

    /// Drops the RPC whose time has passed while they waited: the core has given up on them, and expects nothing.
    fn drop_expired_rpc(&mut self, now: Now) {
        self.stats.expired_rpc += self.downlink.drop_expired(now.wall) as u64;
    }

    /// Sends waiting commands while the device can be reached and the message layer has a free NSTART slot.
    fn send_waiting(&mut self, now: Now) {
        self.ask_attributes();
        self.begin_ota(now);
        self.send_commands(now);
        self.watch_record(now);
    }

    pub(super) fn send_commands(&mut self, now: Now) {
        let saving = self.power_saving();
        while self.presence.admits(saving)
            && !self.downlink.holds()
            && self.exchanges.open_requests() < usize::from(self.settings.coap.nstart)
        {
            if self.registration.is_none() {
                return;
            }
            let Some(command) = self.downlink.next() else {
                // Packages go after everything else, block by block.
                return self.exchanges.send_yielding(now.mono);
            };
            if self.must_be_kept_first(&command) {
                return self.send_once_kept(command);
            }
            self.dispatch(now, command);
        }
    }

    /// Sends a command.
    pub(super) fn dispatch(&mut self, now: Now, command: Command) {
        let Some(registration) = &self.registration else {
            return;
        };
        let (session, peer) = (Arc::clone(&registration.session), registration.peer.id);
        let request = command.operation.request(registration.data.objects.root());
        let timeout = self
            .power_saving()
            .request_timeout()
            .unwrap_or(self.settings.request_timeout);
        if let Origin::Cancel(token) = command.origin {
            let exchanges = &mut self.exchanges;
            if exchanges.cancel_observation(now.mono, peer, token, &request, timeout) {
                self.downlink.sent(token, command);
                self.presence.requested();
            }
            return;
        }
        let line = command.operation.sending(&self.context(registration));
        if !matches!(&command.origin, Origin::Ota { step, .. } if step.is_quiet()) {
            self.log(now, &session, &line);
        }
        if let Origin::Rpc { id, .. } = command.origin {
            self.status(&session, id, RpcStatus::Sent);
        }
        let is_package =
            matches!(&command.origin, Origin::Ota { step, .. } if step.carries_package());
        let token = if is_package {
            let timeout = self.settings.coap.exchange_lifetime();
            self.exchanges
                .request_yielding(now.mono, peer, &request, timeout)
        } else if command.operation.observes().is_some() {
            self.exchanges.observe(now.mono, peer, &request, timeout)
        } else {
            self.exchanges.request(now.mono, peer, &request, timeout)
        };
        self.downlink.sent(token, command);
        self.presence.requested();
    }

    pub(super) fn handle_response(
        &mut self,
        now: Now,
        token: Token,
        message: &Message,
        observing: bool,
        deferred: Option<IncomingId>,
    ) {
        let command = self.downlink.finished(token);
        let (Some(command), Some(registration)) = (command, &self.registration) else {
            if let Some(id) = deferred {
                self.exchanges.acknowledge(now.mono, id);
            }
            return;
        };
        let session = Arc::clone(&registration.session);
        if matches!(command.origin, Origin::Cancel(_)) {
            return;
        }
        let operation = &command.operation;
        let outcome = operation.outcome(message, &self.context(registration));
        if let Origin::Ota { kind, step } = &command.origin {
            let answer = (message.code(), observing);
            return self.handle_ota_response(now, token, (*kind, step), answer, outcome);
        }
        if let (true, Some(format)) = (observing, operation.observes()) {
            let mut observed = Observed::new(operation.paths().clone(), format);
            observed.reported(message.observe());
            for older in self.observations.establish(token, observed) {
                self.exchanges.cancel(now.mono, older);
            }
        }
        if let Origin::Rpc { id, .. } = command.origin {
            if outcome.delivered {
                self.status(&session, id, RpcStatus::Delivered);
            }
            self.answer(&session, id, outcome.reply.body());
        }
        self.stats.undecodable += outcome.rejected.len() as u64;
        for line in &outcome.log {
            self.log(now, &session, line.as_str());
        }
        if let Some(gone) = &outcome.removed {
            self.resources.forget(gone);
        }
        if let (Origin::Attribute { path, ts }, Code::CHANGED) = (&command.origin, message.code()) {
            self.attributes.taken(*path, *ts);
        }
        let deferred = deferred.map(|id| Deferred::Notification {
            message: id,
            token,
            observe: message.observe(),
        });
        self.report(now, outcome.nodes, deferred);
    }

    pub(super) fn handle_failure(&mut self, now: Now, token: Token, failure: Failure) {
        let Some(command) = self.downlink.finished(token) else {
            return;
        };
        let Some(registration) = &self.registration else {
            return;
        };
        if let Origin::Cancel(token) = command.origin {
            // Without an answer the observation is forgotten here; notifications that still come are rejected.
            self.exchanges.cancel(now.mono, token);
        }
        let session = Arc::clone(&registration.session);
        let failed = command
            .operation
            .failed(failure, &self.context(registration));
        if let Origin::Ota { kind, step } = &command.origin {
            if !step.is_quiet() {
                self.log(now, &session, &failed.log);
            }
            match failure {
                // The device has moved; what was executed may have been.
                Failure::Cancelled if *step != Step::Execute => self.downlink.put_back(command),
                Failure::Blockwise | Failure::Cancelled | Failure::Reset | Failure::Timeout => {
                    self.lose_ota_step(now, *kind, step);
                }
            }
            if failure == Failure::Timeout {
                self.fall_asleep(now);
            }
            return;
        }
        self.fail(now, &session, &command.origin, failure, failed);
        if let Origin::Attribute { path, .. } = &command.origin {
            // The device may have taken the value, though its answer was lost.
            self.resources.forget(path);
        }
        let is_wanted_as_before =
            matches!(command.origin, Origin::Profile | Origin::Attribute { .. });
        match failure {
            // The device has moved.
            Failure::Cancelled if is_wanted_as_before => self.downlink.put_back(command),
            Failure::Timeout if self.power_saving() != PowerSaving::Never => {
                if is_wanted_as_before {
                    // The device has but slept.
                    self.downlink.push(command);
                }
                self.fall_asleep(now);
            }
            Failure::Blockwise | Failure::Cancelled | Failure::Reset | Failure::Timeout => {}
        }
    }

    fn fail(
        &mut self,
        now: Now,
        session: &Arc<SessionInfo>,
        origin: &Origin,
        failure: Failure,
        failed: Failed,
    ) {
        if matches!(origin, Origin::Cancel(_) | Origin::Ota { .. }) {
            return;
        }
        if let Origin::Rpc { id, persisted, .. } = origin {
            if let Some(reply) = failed.reply {
                if failure == Failure::Cancelled {
                    self.stats.cancelled_rpc += 1;
                    self.reply(session, *id, reply.body());
                } else {
                    self.answer(session, *id, reply.body());
                }
            } else {
                self.stats.timed_out_rpc += 1;
                self.downlink.forget(&id.uuid);
                self.wants_pending_rpc |= persisted;
                self.status(session, *id, RpcStatus::Timeout);
            }
        }
        self.log(now, session, &failed.log);
    }

    /// Ends every command of a registration that is over: those under way, and RPC that wait. Persistent RPC that were
    /// never sent stay with the core, which sends them again (`rulings` 2.11).
    pub(super) fn cancel_commands(&mut self, now: Now, registration: &Registration) {
        let mut ended = Vec::new();
        while let Some(event) = self.exchanges.poll_event() {
            if let Event::Failed { token, failure } = event {
                ended.extend(
                    self.downlink
                        .finished(token)
                        .map(|command| (command, failure)),
                );
            }
        }
        for command in self.downlink.drain() {
            match command.origin {
                Origin::Ota {
                    kind,
                    step: Step::Execute,
                } => self.ota.not_executed(kind),
                Origin::Rpc {
                    persisted: true, ..
                } => self.stats.postponed_rpc += 1,
                Origin::Rpc { .. } => ended.push((command, Failure::Cancelled)),
                Origin::Profile
                | Origin::Attribute { .. }
                | Origin::Cancel(_)
                | Origin::Ota { .. } => {}
            }
        }
        for (command, failure) in ended {
            let failed = command
                .operation
                .failed(failure, &self.context(registration));
            self.fail(now, &registration.session, &command.origin, failure, failed);
        }
    }

    pub(super) fn context<'a>(&'a self, registration: &'a Registration) -> DeviceContext<'a> {
        DeviceContext {
            endpoint: self.name.as_str(),
            registration_id: registration.id.as_str(),
            peer: &registration.peer,
            registration: &registration.data,
            profile: &registration.profile,
            models: self.resources.models(),
            core_models: &self.settings.core_models,
            settings: &self.settings.rpc,
        }
    }

    fn status(&mut self, session: &Arc<SessionInfo>, rpc: RpcId, status: RpcStatus) {
        if !self.downlink.is_awaited(&rpc) {
            return;
        }
        let session = Arc::clone(session);
        self.outputs.push_back(Output::Uplink(Uplink::RpcStatus {
            session,
            rpc,
            status,
        }));
    }

    /// Ends an RPC with what became of it.
    fn answer(&mut self, session: &Arc<SessionInfo>, rpc: RpcId, body: RpcBody) {
        match body {
            RpcBody::Payload(_) => self.stats.answered_rpc += 1,
            RpcBody::Error(_) => self.stats.failed_rpc += 1,
        }
        self.reply(session, rpc, body);
    }

    fn reply(&mut self, session: &Arc<SessionInfo>, rpc: RpcId, body: RpcBody) {
        if !self.downlink.is_awaited(&rpc) {
            return;
        }
        let session = Arc::clone(session);
        self.outputs
            .push_back(Output::Uplink(Uplink::RpcReply { session, rpc, body }));
    }
}
