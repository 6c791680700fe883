//! Update: changes what it states and nothing else.

use std::collections::BTreeSet;

use crate::{
    coap::MessageType,
    lwm2m::registration::{RegistrationError, UpdateParameters},
};

use super::{
    super::*,
    interface::{LINK_MODE, refusal},
    register::versions,
};

impl Endpoint {
    /// An Update changes what it states and nothing else.
    pub(in crate::endpoint) fn update(
        &mut self,
        now: Now,
        peer: &Peer,
        target: Option<RegistrationId>,
        message: &Message,
    ) -> Response {
        let Some(registration) = self
            .registration
            .as_mut()
            .filter(|own| Some(own.id) == target)
        else {
            return Response::new(Code::NOT_FOUND);
        };
        if message.message_type() != MessageType::Confirmable {
            return Response::with_diagnostic(Code::BAD_REQUEST, "CON CoAP type expected");
        }
        if registration.peer.identity != peer.identity {
            return Response::with_diagnostic(Code::BAD_REQUEST, "forbidden");
        }
        let known: Option<BTreeSet<_>> = (!message.payload().is_empty())
            .then(|| versions(&registration.data).into_iter().collect());
        let states_something = known.is_some() || message.uri_query().next().is_some();
        let before = states_something.then(|| registration.data.clone());
        if let Err(error) = apply_update(&mut registration.data, message) {
            return refusal(&error);
        }
        let changed = before.is_some_and(|before| before != registration.data);
        registration.changes += u64::from(changed || registration.peer.id != peer.id);
        self.stats.updated += 1;
        if known.is_some() {
            self.stats.link_deviations += u64::from(registration.data.objects.deviations());
        }
        registration.last_update = now.wall;
        let deadline = registration.deadline(now);
        let (is_listed, mut added) = (known.is_some(), Vec::new());
        if let Some(known) = known {
            added = versions(&registration.data);
            added.retain(|object| !known.contains(object));
        }
        let session = Arc::clone(&registration.session);
        self.set_lifetime(deadline);
        if self.presence.is_displaced() {
            // It is back at an address that another endpoint has had since.
            self.bindings.push_back(Output::Bind(Key::Peer(peer.id)));
        }
        self.follow(peer);
        if let Some(own) = &self.registration {
            let line = text::updated(own.id.as_str(), &own.address);
            self.log(now, &session, line);
        }
        if !added.is_empty() {
            let question = self.ask(Question::Models {
                tenant: session.device.tenant,
                keys: added,
            });
            self.resources.await_models(question);
        } else if is_listed && self.resources.are_known() && !self.resources.are_awaited() {
            self.begin_work(now);
        }
        Response::new(Code::CHANGED)
    }

    /// The device is at this peer from here on: its message layer goes there, and what led to the one before does.
    pub(in crate::endpoint) fn follow(&mut self, peer: &Peer) {
        let Some(registration) = &mut self.registration else {
            return;
        };
        let before = registration.peer.id;
        if before == peer.id && before.remote() == peer.id.remote() {
            return;
        }
        registration.peer = peer.clone();
        registration.address = peer.id.to_string().into();
        // A security context is the same wherever the device is.
        if before != peer.id {
            self.exchanges.cancel_requests();
            self.exchanges.rebind(peer.id);
            self.disconnect_before(before, peer.id);
            self.bindings.push_back(Output::Unbind(Key::Peer(before)));
            self.bindings.push_back(Output::Bind(Key::Peer(peer.id)));
        }
    }
}

fn apply_update(data: &mut RegistrationData, message: &Message) -> Result<(), RegistrationError> {
    let parameters = UpdateParameters::from_query(message.uri_query(), data.version)?;
    let payload = message.payload();
    let objects = if payload.is_empty() {
        None
    } else {
        Some(data.objects.updated(&payload, LINK_MODE, data.version)?)
    };
    data.update(parameters, objects);
    Ok(())
}
