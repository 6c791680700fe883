//! Information reporting: how values of the device become uplinks, and when a notification is acknowledged.

use std::collections::BTreeMap;

use super::{delivery::Deferred, observation::Stale, *};

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
        let Some(observed) = self.observations.get(token).cloned() else {
            return acknowledge(self);
        };
        let Some(registration) = &self.registration else {
            return acknowledge(self);
        };
        let session = Arc::clone(&registration.session);
        if ended && message.code().is_error() {
            self.observations.remove(token);
            let reason = message
                .diagnostic()
                .map_or_else(|| text::code(message.code()), str::to_owned);
            self.log(
                now,
                &session,
                &text::notification_failed(&observed.paths, &reason),
            );
            return acknowledge(self);
        }
        let observe = message.observe();
        if !fresh {
            match (observed.stale(observe), deferred) {
                (Stale::Again, _) => {}
                (Stale::Lost, Some(id)) => return self.exchanges.forget(id),
                (Stale::Superseded, _) | (Stale::Lost, None) => return acknowledge(self),
            }
        }
        let device = self.context(registration);
        let Ok(decoded) = operation::decode_notification(message, &observed.paths, &device) else {
            self.stats.undecodable += 1;
            return acknowledge(self);
        };
        self.stats.undecodable += decoded.rejected.len() as u64;
        if let Some(observed) = self.observations.get_mut(token) {
            observed.reported(observe);
        }
        let deferred = deferred.map(|message| Deferred {
            message,
            token,
            observe,
        });
        let samples = decoded.samples.into_iter();
        let nodes = samples.flat_map(|sample| sample.nodes).collect();
        match self.report(now, nodes, deferred) {
            0 => {
                self.stats.unmapped_notifications += 1;
                if let Some(Deferred { message, .. }) = deferred {
                    self.exchanges.acknowledge(now.mono, message);
                }
            }
            _ => self.stats.notifications += 1,
        }
        if ended {
            // A value without Observe: the last one, and as good as the others (RFC 7641 section 4.2).
            self.observations.remove(token);
        }
        self.uplink_seen(&session);
    }

    /// Remembers values and hands those that the profile maps to the platform; of several for one path the last one
    /// counts. Returns the number of uplinks; each carries an id when `deferred` names the message that waits for them.
    pub(super) fn report(
        &mut self,
        now: Now,
        nodes: Vec<(Path, Node)>,
        deferred: Option<Deferred>,
    ) -> usize {
        let mut updated = BTreeMap::new();
        for (path, node) in nodes {
            let partial = matches!(node, Node::ResourceInstance(_));
            for (path, mut resource) in telemetry::resources(&path, node) {
                if partial {
                    self.resources.complete(&path, &mut resource);
                }
                self.resources.store(path, &resource, now.wall);
                updated.insert(path, resource);
            }
        }
        let Some(registration) = &self.registration else {
            return 0;
        };
        let session = Arc::clone(&registration.session);
        let updated: Vec<_> = updated
            .iter()
            .map(|(path, resource)| (*path, resource))
            .collect();
        let posts = telemetry::publish(
            &updated,
            &self.context(registration),
            self.settings.time_form,
        );
        let uplinks =
            usize::from(!posts.attributes.is_empty()) + usize::from(!posts.telemetry.is_empty());
        if uplinks == 0 {
            return 0;
        }
        let id = deferred.map(|message| self.deliveries.wait(now.mono, message, uplinks));
        if !posts.attributes.is_empty() {
            let session = Arc::clone(&session);
            let uplink = Uplink::Attributes {
                id,
                session,
                values: posts.attributes,
                ts: now.wall,
            };
            self.outputs.push_back(Output::Uplink(uplink));
        }
        if !posts.telemetry.is_empty() {
            let readings = vec![Readings {
                ts: now.wall,
                values: posts.telemetry,
            }];
            self.outputs.push_back(Output::Uplink(Uplink::Telemetry {
                id,
                session,
                readings,
            }));
        }
        uplinks
    }

    pub(super) fn handle_done(&mut self, now: Now, id: UplinkId, outcome: Outcome) {
        let give_up = self.settings.coap.max_transmit_wait();
        match self.deliveries.done(now.mono, id, outcome, give_up) {
            Some(Verdict::Acknowledge {
                message,
                waited,
                observe_again,
            }) => {
                self.exchanges.acknowledge(now.mono, message.message);
                self.outputs.push_back(Output::Delivered { waited });
                if observe_again {
                    self.observe_again(now);
                }
            }
            Some(Verdict::GiveUp { message }) => {
                self.stats.unacknowledged += 1;
                self.exchanges.forget(message.message);
                if let (Some(observed), Some(observe)) =
                    (self.observations.get_mut(message.token), message.observe)
                {
                    observed.unstored(observe);
                }
            }
            None => {}
        }
    }

    /// The device is there: what was put off until then is asked for.
    pub(super) fn uplink_seen(&mut self, session: &Arc<SessionInfo>) {
        if std::mem::take(&mut self.wants_pending_rpc) {
            let session = Arc::clone(session);
            self.outputs
                .push_back(Output::Uplink(Uplink::PendingRpcWanted { session }));
        }
    }
}
