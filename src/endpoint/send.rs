//! Send (OMA LwM2M Core, "Send"): values that a device reports by itself, answered when the platform has them
//! (`device-lifecycle.md` 4.5, `rulings` 2.7).

use crate::lwm2m::format::{DecodeErrorKind, Sample, Samples, Scope, decode_send};

use super::{
    delivery::{Deferred, UnreadSend},
    history::{History, TooLarge},
    registration::RETRY_AFTER_S,
    report::Standing,
    *,
};

impl Endpoint {
    /// Takes a Send. It waits for object models that are still to come if it needs them: without, its values would be
    /// nothing.
    pub(super) fn handle_send(&mut self, now: Now, peer: &Peer, id: IncomingId, message: &Message) {
        if !self
            .registration
            .as_ref()
            .is_some_and(|own| own.is_of(peer))
        {
            let response = Response::with_diagnostic(Code::BAD_REQUEST, "no registration found");
            return self.refuse_send(now, id, &response);
        }
        let send = UnreadSend {
            received: now,
            id,
            message: message.clone(),
        };
        if self.resources.are_known() {
            self.read_send(now, send);
        } else {
            self.deliveries.keep_unread(send);
        }
        self.watch_sends();
    }

    /// Reads the Sends that waited for the object models.
    pub(super) fn read_unread_sends(&mut self, now: Now) {
        for send in self.deliveries.take_unread() {
            self.read_send(now, send);
        }
        self.watch_sends();
    }

    fn read_send(&mut self, now: Now, send: UnreadSend) {
        let UnreadSend { received, id, .. } = send;
        let Some(registration) = &self.registration else {
            return;
        };
        let message = &send.message;
        let Samples { samples, rejected } = match read(message, &self.context(registration)) {
            Ok(samples) => samples,
            Err(response) => {
                self.stats.undecodable += 1;
                return self.refuse_send(now, id, &response);
            }
        };
        if let Some(response) = unregistered(&samples, &registration.data) {
            return self.refuse_send(now, id, &response);
        }
        if self.resources.are_awaited() && self.lacks_model(&samples) {
            return self.deliveries.keep_unread(send);
        }
        self.stats.undecodable += rejected.len() as u64;
        let history = History::new(samples, received.wall);
        let deferred = Some(Deferred::Send(id));
        match self.report_history(received, history, Standing::Newest, deferred) {
            Ok(0) => {
                self.stats.unmapped_sends += 1;
                self.exchanges
                    .respond(now.mono, id, &Response::new(Code::CHANGED));
            }
            Ok(_) => self.stats.sends += 1,
            Err(TooLarge) => {
                let response = Response::new(Code::REQUEST_ENTITY_TOO_LARGE);
                self.refuse_send(now, id, &response);
            }
        }
    }

    fn lacks_model(&self, samples: &[Sample]) -> bool {
        let models = self.resources.models();
        let nodes = samples.iter().flat_map(|sample| &sample.nodes);
        let mut objects = nodes.filter_map(|(path, _)| path.object_id());
        objects.any(|object| models.object(object).is_none())
    }

    fn refuse_send(&mut self, now: Now, id: IncomingId, response: &Response) {
        self.stats.refused_sends += 1;
        self.exchanges.respond(now.mono, id, response);
    }

    /// Tells a device that its Send could not be stored in time. What still becomes of it does no harm: the platform
    /// keeps one value for each time.
    pub(super) fn put_send_off(&mut self, now: Now, id: IncomingId) {
        self.stats.unavailable_sends += 1;
        let response = Response {
            max_age: Some(RETRY_AFTER_S),
            ..Response::new(Code::SERVICE_UNAVAILABLE)
        };
        self.exchanges.respond(now.mono, id, &response);
    }

    /// Answers the Sends that have waited too long.
    pub(super) fn put_overdue_sends_off(&mut self, now: Now) {
        for id in self.deliveries.overdue(now.mono) {
            self.put_send_off(now, id);
        }
        self.watch_sends();
    }

    /// Keeps the timer at the Send that has waited longest.
    pub(super) fn watch_sends(&mut self) {
        match self.deliveries.next_overdue() {
            Some(deadline) => self.timers.set(Timer::Send, deadline),
            None => self.timers.stop(Timer::Send),
        }
    }
}

/// Reads the payload of a Send; one value that cannot be read does not cost the others.
fn read(message: &Message, device: &DeviceContext<'_>) -> Result<Samples, Box<Response>> {
    let refusal = |text: &'static str| Box::new(Response::with_diagnostic(Code::BAD_REQUEST, text));
    let Some(format) = message.content_format() else {
        return Err(refusal(UNSUPPORTED_FORMAT));
    };
    let scope = Scope {
        models: device.models,
        root: device.registration.objects.root(),
    };
    match decode_send(format, &message.payload(), scope) {
        Ok(samples) if samples.samples.is_empty() && !samples.rejected.is_empty() => {
            Err(refusal(INVALID_PAYLOAD))
        }
        Ok(samples) => Ok(samples),
        Err(error) if error.kind == DecodeErrorKind::UnsupportedFormat => {
            Err(refusal(UNSUPPORTED_FORMAT))
        }
        Err(_) => Err(refusal(INVALID_PAYLOAD)),
    }
}

/// The refusal of a Send that holds a value of something the device did not register.
fn unregistered(samples: &[Sample], registration: &RegistrationData) -> Option<Response> {
    let objects = registration.objects.objects();
    let nodes = samples.iter().flat_map(|sample| &sample.nodes);
    let text = nodes.into_iter().find_map(|(path, _)| {
        let registered = objects.get(&path.object_id()?);
        match path.instance_id() {
            Some(id) => {
                let is_known = registered.is_some_and(|object| object.instances.contains(&id));
                let [object, ..] = path.segments() else {
                    return None;
                };
                (!is_known).then(|| format!("object instance /{object}/{id} not registered"))
            }
            None => registered
                .is_none()
                .then(|| format!("object {path} not registered")),
        }
    })?;
    Some(Response::with_diagnostic(Code::NOT_FOUND, text))
}

const UNSUPPORTED_FORMAT: &str = "Unsupported content format";
const INVALID_PAYLOAD: &str = "Invalid Payload";
