//! De-register, and every other end of a registration.

use super::{super::*, Registration};

impl Endpoint {
    /// The message layer outlives the registration for a while, so a repeated De-register gets the same answer.
    pub(in crate::endpoint) fn deregister(
        &mut self,
        now: Now,
        peer: &Peer,
        target: Option<RegistrationId>,
    ) -> Response {
        let Some(registration) = self
            .registration
            .as_ref()
            .filter(|own| Some(own.id) == target)
        else {
            return Response::new(Code::NOT_FOUND);
        };
        if registration.peer.identity != peer.identity {
            return Response::with_diagnostic(Code::BAD_REQUEST, "forbidden");
        }
        self.stats.deregistered += 1;
        self.end(now, CloseReason::Deregistered);
        Response::new(Code::DELETED)
    }

    /// Ends the registration. The message layer stays a while, to answer what the device repeats.
    pub(in crate::endpoint) fn end(&mut self, now: Now, reason: CloseReason) {
        self.read_unread(now);
        self.exchanges.cancel_all();
        let Some(registration) = self.registration.take() else {
            self.stop_lingering();
            return self.outputs.push_back(Output::Closed(reason));
        };
        self.cancel_commands(now, &registration);
        if matches!(reason, CloseReason::Deregistered | CloseReason::Expired) {
            self.log(now, &registration.session, text::UNREGISTERED);
        }
        self.release(now, &registration);
        self.close_session(&registration);
        if reason == CloseReason::Removed {
            self.outputs.push_back(Output::Disconnect {
                peer: registration.peer.id,
                cause: Disconnect::Withdrawn,
            });
        }
        self.timers.stop(Timer::Lifetime);
        // The peer leads here until the message layer goes: only so do repetitions of the De-register find it.
        self.lingering = Some(registration);
        if reason == CloseReason::Deregistered {
            self.timers.set(Timer::Linger, now.mono + LINGER);
            return;
        }
        self.stop_lingering();
        if self.candidate.is_none() || reason == CloseReason::Stopped {
            self.outputs.push_back(Output::Closed(reason));
        }
    }

    /// The message layer of an ended registration need not be found any more.
    pub(in crate::endpoint) fn stop_lingering(&mut self) {
        self.timers.stop(Timer::Linger);
        if let Some(ended) = self.lingering.take() {
            let peer = Key::Peer(ended.peer.id);
            self.bindings.push_back(Output::Unbind(peer));
        }
    }

    /// Forgets what belonged to a registration and tells the directory. Its peer stays bound.
    pub(in crate::endpoint) fn release(&mut self, now: Now, registration: &Registration) {
        self.timers.stop(Timer::Models);
        self.timers.stop(Timer::Sleep);
        self.timers.stop(Timer::Record);
        self.forget_restoring();
        self.persistence.begin_anew();
        self.observations = Observations::default();
        let shared = self.ota.unregistered().into_iter();
        self.bindings.extend(shared.map(Output::Unbind));
        self.downlink = self.downlink.successor();
        for send in self.deliveries.abandon() {
            self.put_send_off(now, send);
        }
        self.watch_sends();
        self.watch_observations();
        let session = Arc::clone(&registration.session);
        let mode = registration.peer.identity.mode();
        self.bindings
            .push_back(Output::Unbind(Key::Registration(registration.id, mode)));
        self.bindings
            .push_back(Output::Unbind(Key::Session(session)));
    }

    /// Tells the platform that the session is over; there is nothing to continue from after a restart.
    pub(super) fn close_session(&mut self, registration: &Registration) {
        self.outputs
            .push_back(Output::Uplink(Uplink::SessionClosed {
                session: Arc::clone(&registration.session),
            }));
        self.outputs.push_back(Output::Forget);
    }
}

/// How long an ended registration answers repetitions: MAX_TRANSMIT_SPAN (RFC 7252 section 4.8.2).
const LINGER: Duration = Duration::from_secs(45);
