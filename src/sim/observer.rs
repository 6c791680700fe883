//! Who observes a simulated device, and what they are told (RFC 7641; OMA LwM2M Core, "Information Reporting").

use std::{fmt::Debug, time::Instant};

use crate::{
    coap::{ContentFormat, Response, Token},
    lwm2m::path::Path,
};

use super::{SimDevice, SimEvent};

/// One observation, of the server as a rule.
#[derive(Clone, Debug)]
pub(super) struct Observer<P> {
    /// Who observes; another peer may have chosen the same token (RFC 7641 section 1.2).
    pub(super) peer: P,
    pub(super) token: Token,
    /// One path, or those of a composite observation.
    pub(super) observed: Observed,
    /// The format asked for.
    pub(super) accept: Option<ContentFormat>,
    pub(super) sequence: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Observed {
    One(Path),
    Several(Vec<Path>),
}

impl Observed {
    pub(super) fn paths(&self) -> &[Path] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }
}

impl<P: Copy + Eq + Debug> SimDevice<P> {
    /// Does what the Observe option of a request demands, once its answer is known; gives the option of the answer.
    pub(super) fn observe(
        &mut self,
        option: Option<u32>,
        (peer, token): (P, Token),
        observed: Observed,
        accept: Option<ContentFormat>,
    ) -> Option<u32> {
        let paths = observed.paths().to_vec();
        let is_own = |own: &Observer<P>| own.peer == peer && own.token == token;
        let event = match option {
            Some(0) => {
                self.observers.retain(|observer| !is_own(observer));
                self.observers.push(Observer {
                    peer,
                    token,
                    observed,
                    accept,
                    sequence: 0,
                });
                SimEvent::Observed
            }
            // A request to end an observation bears the token that began it (RFC 7641 section 3.6).
            Some(1) if self.observers.iter().any(is_own) => {
                self.observers.retain(|observer| !is_own(observer));
                SimEvent::Unobserved
            }
            _ => SimEvent::Read,
        };
        self.events.extend(paths.into_iter().map(event));
        option.filter(|option| *option == 0)
    }

    /// Sends the present state of everything observed at, above or below `changed`. An observation of what is gone ends
    /// with an error.
    pub(super) fn notify(&mut self, now: Instant, changed: &Path) {
        let concerned: Vec<_> = self
            .observers
            .iter()
            .filter(|observer| {
                let mut paths = observer.observed.paths().iter();
                paths.any(|path| path.contains(changed) || changed.contains(path))
            })
            .map(|observer| (observer.peer, observer.token))
            .collect();
        for (peer, token) in concerned {
            self.notify_observer(now, peer, token);
        }
    }

    fn notify_observer(&mut self, now: Instant, peer: P, token: Token) {
        let mut observers = self.observers.iter_mut();
        let is_own = |own: &Observer<P>| own.peer == peer && own.token == token;
        let Some(observer) = observers.find(|observer| is_own(observer)) else {
            return;
        };
        observer.sequence = (observer.sequence + 1) & 0xff_ffff;
        let Observer {
            observed,
            accept,
            sequence,
            ..
        } = observer.clone();
        let response = match self.state_of(&observed, accept) {
            Ok(state) => Response {
                observe: Some(sequence),
                ..state
            },
            Err(refusal) => {
                self.observers.retain(|observer| !is_own(observer));
                Response::new(refusal.code())
            }
        };
        let confirmable = self.settings.confirmable;
        self.exchanges
            .notify(now, peer, token, &response, confirmable);
        if let (true, Some(path)) = (confirmable, observed.paths().first()) {
            self.notified.push((token, *path));
        }
    }

    pub(super) fn forget_notification(&mut self, token: Token) -> Option<Path> {
        let index = self.notified.iter().position(|(own, _)| *own == token)?;
        Some(self.notified.remove(index).1)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;

    use super::*;
    use crate::{
        coap::TransmissionParameters,
        lwm2m::{model::core, path::ObjectVersion, value::Value},
        sim::{SimObjects, SimSettings},
    };

    /// The Uri-Path options of /3/0/9 after Observe.
    const PATH: &[u8] = b"\x513\x010\x019";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need some instant")]
    fn peers_with_one_token_observe_each_for_themselves() {
        let settings = SimSettings {
            endpoint: "dev".to_owned(),
            lifetime: Duration::from_secs(300),
            confirmable: false,
            queue_mode: false,
            updates: false,
            coap: Arc::new(TransmissionParameters::default()),
        };
        let mut objects = SimObjects::default();
        let catalog = core::catalog();
        let model = catalog.exact(3, ObjectVersion::new(1, 2)).unwrap();
        objects.add_object(Arc::clone(model));
        objects.set(Path::resource(3, 0, 9), Value::Integer(95));
        let now = Instant::now();
        let mut device = SimDevice::new(settings, objects, 1, [1; 32]);
        // CON GET of /3/0/9 with the token 0x01 and Observe 0 or 1.
        let register =
            |message_id| Bytes::from([&[0x41, 1, 0x12, message_id, 1, 0x60], PATH].concat());
        let deregister =
            |message_id| Bytes::from([&[0x41, 1, 0x12, message_id, 1, 0x61, 1], PATH].concat());
        let told = |device: &mut SimDevice<i32>| {
            let sent = std::iter::from_fn(|| device.poll_transmit());
            sent.map(|(peer, _)| peer).collect::<Vec<_>>()
        };
        device.handle_datagram(now, 7, register(1));
        device.handle_datagram(now, 8, register(2));
        assert_eq!(told(&mut device), [7, 8]);
        device.set(now, Path::resource(3, 0, 9), Value::Integer(94));
        assert_eq!(told(&mut device), [7, 8]);
        device.handle_datagram(now, 7, deregister(3));
        assert_eq!(told(&mut device), [7]);
        device.set(now, Path::resource(3, 0, 9), Value::Integer(93));
        assert_eq!(told(&mut device), [8]);
    }
}
