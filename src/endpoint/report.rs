//! Information reporting: how values of the device become uplinks, and when a notification is acknowledged.

use crate::lwm2m::format::{Sample, Samples};

use super::{
    delivery::Deferred,
    history::{History, Reported, TooLarge},
    observation::Stale,
    timer::Timer,
    *,
};

impl Endpoint {
    pub(super) fn handle_notification(
        &mut self,
        now: Now,
        token: Token,
        message: &Message,
        deferred: Option<IncomingId>,
        fresh: bool,
        ended: bool,
    ) {
        let acknowledge = |own: &mut Self| {
            if let Some(id) = deferred {
                own.exchanges.acknowledge(now.mono, id);
            }
        };
        if let Some(path) = self.ota.watches(token) {
            self.handle_ota_notification(now, path, message, fresh);
            return acknowledge(self);
        }
        let Some(observed) = self.observations.get(token).cloned() else {
            // Nobody wants it any more, and the device is being told so. It is not acknowledged, for it is not stored.
            if let Some(id) = deferred {
                self.exchanges.forget(id);
            }
            return;
        };
        let Some(registration) = &self.registration else {
            return acknowledge(self);
        };
        let session = Arc::clone(&registration.session);
        if !ended && !self.resources.are_known() {
            return self.put_notification_off(token, message, deferred);
        }
        if ended {
            self.observations.remove(token);
        }
        if ended && message.code().is_error() {
            let reason = message
                .diagnostic()
                .map_or_else(|| text::code(message.code()), str::to_owned);
            self.log(
                now,
                &session,
                text::notification_failed(&observed.paths, &reason),
            );
            return acknowledge(self);
        }
        // A value without Observe is the last one, and as good as the others (RFC 7641 section 4.2).
        let observe = message.observe();
        let stale = (!fresh).then(|| observed.stale(observe));
        let device = self.context(registration);
        let Ok(Samples { samples, rejected }) =
            operation::decode_notification(message, &observed.paths, &device)
        else {
            self.stats.undecodable += 1;
            return acknowledge(self);
        };
        let mut history = History::new(samples, now.wall);
        // Values that state when they were taken are never too late (`protocol.md` O-4).
        let is_late = matches!(stale, Some(Stale::Superseded | Stale::Lost));
        if is_late {
            let is_whole = history.keep_stated();
            match (history.is_empty(), stale, deferred) {
                (true, Some(Stale::Lost), Some(id)) => return self.exchanges.forget(id),
                (true, ..) => return acknowledge(self),
                // What it holds beside is lost, so it may not be acknowledged.
                (false, Some(Stale::Lost), Some(id)) if !is_whole => self.exchanges.forget(id),
                (false, ..) => {}
            }
        }
        self.stats.undecodable += rejected.len() as u64;
        if let (false, Some(observed)) = (is_late, self.observations.get_mut(token)) {
            observed.reported(observe);
        }
        let deferred = deferred.map(|message| Deferred::Notification {
            message,
            token,
            observe,
        });
        let standing = if is_late {
            Standing::Late
        } else {
            Standing::Newest
        };
        match self.report_history(now, history, standing, deferred) {
            Ok(0) => {
                self.stats.unmapped_notifications += 1;
                if let Some(Deferred::Notification { message, .. }) = deferred {
                    self.exchanges.acknowledge(now.mono, message);
                }
            }
            Ok(_) => self.stats.notifications += 1,
            Err(TooLarge) => {
                self.stats.undecodable += 1;
                if let Some(Deferred::Notification { message, .. }) = deferred {
                    self.exchanges.acknowledge(now.mono, message);
                }
            }
        }
    }

    /// Leaves a notification unacknowledged that cannot be read yet, so that the device repeats it.
    fn put_notification_off(
        &mut self,
        token: Token,
        message: &Message,
        deferred: Option<IncomingId>,
    ) {
        self.stats.unacknowledged += 1;
        if let Some(id) = deferred {
            self.exchanges.forget(id);
        }
        if let (Some(observed), Some(observe)) =
            (self.observations.get_mut(token), message.observe())
        {
            observed.reported(Some(observe));
            observed.unstored(observe);
        }
    }

    /// Remembers values that are the case and hands those to the platform that the profile maps. `deferred` names the
    /// message that waits for them.
    pub(super) fn report(
        &mut self,
        now: Now,
        mut nodes: Vec<(Path, Node)>,
        deferred: Option<Deferred>,
    ) {
        nodes.retain(|(path, _)| !ota::is_package_resource(path));
        let sample = Sample { time: None, nodes };
        let history = History::new(vec![sample], now.wall);
        let reported = self.report_history(now, history, Standing::Newest, deferred);
        self.stats.undecodable += u64::from(reported.is_err());
        if let (Ok(0) | Err(TooLarge), Some(Deferred::Notification { message, .. })) =
            (reported, deferred)
        {
            self.exchanges.acknowledge(now.mono, message);
        }
    }

    /// Remembers values received at `received` and hands those that the profile maps to the platform. Returns the number
    /// of uplinks; each carries an id when `deferred` names the message that waits for them.
    ///
    /// # Errors
    /// [`TooLarge`], and nothing is handed over.
    pub(super) fn report_history(
        &mut self,
        received: Now,
        history: History,
        standing: Standing,
        deferred: Option<Deferred>,
    ) -> Result<usize, TooLarge> {
        let Some(registration) = &self.registration else {
            return Ok(0);
        };
        let session = Arc::clone(&registration.session);
        self.stats.implausible_times += history.implausible;
        let Reported {
            latest,
            mut attributes,
            attributes_ts,
            readings,
        } = history.publish(
            &self.context(registration),
            self.settings.time_form,
            |path| self.resources.get(path).cloned(),
        )?;
        match standing {
            Standing::Newest => {
                for (path, (resource, ts)) in &latest {
                    self.resources.store(*path, resource, *ts);
                }
                // What comes of it goes before the values themselves, as with the platform's own transport.
                self.show_to_ota(received, &latest);
            }
            Standing::Late => attributes.clear(),
        }
        let uplinks = usize::from(!attributes.is_empty()) + usize::from(!readings.is_empty());
        if uplinks == 0 {
            return Ok(0);
        }
        let id = deferred.map(|message| self.deliveries.wait(received.mono, message, uplinks));
        if !attributes.is_empty() {
            self.outputs.push_back(Output::Uplink(Uplink::Attributes {
                id,
                session: Arc::clone(&session),
                values: attributes,
                ts: attributes_ts,
            }));
        }
        if !readings.is_empty() {
            self.outputs.push_back(Output::Uplink(Uplink::Telemetry {
                id,
                session,
                readings,
            }));
        }
        Ok(uplinks)
    }

    pub(super) fn handle_done(&mut self, now: Now, id: UplinkId, outcome: Outcome) {
        match self.deliveries.done(now.mono, id, outcome) {
            Some(Verdict::Acknowledge { message, waited }) => {
                match message {
                    Deferred::Notification { message, .. } => {
                        self.exchanges.acknowledge(now.mono, message);
                    }
                    Deferred::Send(id) => {
                        self.exchanges
                            .respond(now.mono, id, &Response::new(Code::CHANGED));
                    }
                }
                self.outputs.push_back(Output::Delivered { waited });
            }
            Some(Verdict::GiveUp {
                message:
                    Deferred::Notification {
                        message,
                        token,
                        observe,
                    },
            }) => {
                self.stats.unacknowledged += 1;
                self.exchanges.forget(message);
                if let (Some(observed), Some(observe)) = (self.observations.get_mut(token), observe)
                {
                    observed.unstored(observe);
                }
            }
            Some(Verdict::GiveUp {
                message: Deferred::Send(id),
            }) => self.put_send_off(now, id),
            None => {}
        }
        self.watch_sends();
        self.watch_observations();
    }

    /// Keeps the timer at the end of the device's patience (MAX_TRANSMIT_WAIT): it has given its observations up then.
    pub(super) fn watch_observations(&mut self) {
        match self.deliveries.unacknowledged_since() {
            Some(since) => {
                let deadline = since + self.settings.coap.max_transmit_wait();
                self.timers.set(Timer::Observe, deadline);
            }
            None => self.timers.stop(Timer::Observe),
        }
    }
}

/// How the values of a message stand to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They are what is the case.
    Newest,
    /// A later message was reported before: they belong to the time series alone.
    Late,
}
