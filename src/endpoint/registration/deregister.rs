//! De-register, and every other end of a registration.

use super::{super::*, Registration};

impl Endpoint {
    /// The message layer outlives the registration for a while, so a repeated De-register gets the same answer.
    pub(in crate::endpoint) fn deregister(
        &mut self,
        now: Now,
        target: Option<RegistrationId>,
    ) -> Response {
        if self
            .registration
            .as_ref()
            .is_none_or(|own| Some(own.id) != target)
        {
            return Response::new(Code::NOT_FOUND);
        }
        self.stats.deregistered += 1;
        self.end(now, CloseReason::Deregistered);
        Response::new(Code::DELETED)
    }

    /// Ends the registration. The message layer stays a while, to answer what the device repeats.
    pub(in crate::endpoint) fn end(&mut self, now: Now, reason: CloseReason) {
        self.exchanges.cancel_all();
        let Some(registration) = self.registration.take() else {
            if reason != CloseReason::Deregistered {
                self.outputs.push_back(Output::Closed(reason));
            }
            return;
        };
        self.cancel_commands(now, &registration);
        if matches!(reason, CloseReason::Deregistered | CloseReason::Expired) {
            self.log(now, &registration.session, text::UNREGISTERED);
        }
        self.release(&registration);
        self.timers.stop(Timer::Lifetime);
        if reason == CloseReason::Deregistered {
            self.timers.set(Timer::Linger, now.mono + LINGER);
        } else if self.candidate.is_none() {
            self.outputs.push_back(Output::Closed(reason));
        }
    }

    /// Forgets what belonged to a registration and tells the platform and the directory.
    pub(super) fn release(&mut self, registration: &Registration) {
        self.observations = Observations::default();
        self.downlink = self.downlink.successor();
        for key in registration.keys() {
            self.outputs.push_back(Output::Unbind(key));
        }
        self.outputs
            .push_back(Output::Uplink(Uplink::SessionClosed {
                session: Arc::clone(&registration.session),
            }));
    }
}

/// How long an ended registration answers repetitions: MAX_TRANSMIT_SPAN (RFC 7252 section 4.8.2).
const LINGER: Duration = Duration::from_secs(45);
