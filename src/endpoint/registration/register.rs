//! Register: a candidate until the platform has accepted its credentials, then the registration in force.

use crate::lwm2m::path::{ObjectId, ObjectVersion};

use super::{super::*, Candidate, Registration, read_register};

impl Endpoint {
    /// A Register from another peer than the registration in force: it gets a message layer of its own.
    pub(in crate::endpoint) fn handle_foreign_register(
        &mut self,
        now: Now,
        peer: &Peer,
        parsed: Result<Message, ParseError>,
        admission: Option<&Arc<Admission>>,
    ) {
        let mut exchanges = Box::new(self.settings.exchanges(&mut self.random));
        exchanges.handle_parsed(now.mono, peer.id, parsed);
        let known = self.name_of(peer);
        if let Some(Event::Request { id, message, .. }) = exchanges.poll_event() {
            let admitted = |data| self.admit_register(now).map(|()| data);
            match read_register(&message, known.as_ref()).and_then(admitted) {
                Ok(data) => {
                    let exchanges = Some(exchanges);
                    return self.ask_credentials(now, peer.clone(), id, data, exchanges, admission);
                }
                Err(response) => exchanges.respond(now.mono, id, &response),
            }
        }
        while let Some((peer, payload)) = exchanges.poll_transmit() {
            self.outputs.push_back(Output::Transmit { peer, payload });
        }
    }

    /// Takes what came on the candidate's own message layer: only another Register counts while the first one waits.
    pub(in crate::endpoint) fn handle_candidate_events(&mut self, now: Now) {
        let peer = self.candidate.as_ref().map(|candidate| &candidate.peer);
        let known = peer.and_then(|peer| self.name_of(peer));
        let Some(candidate) = &mut self.candidate else {
            return;
        };
        let Some(exchanges) = &mut candidate.exchanges else {
            return;
        };
        while let Some(event) = exchanges.poll_event() {
            let Event::Request { id, message, .. } = event else {
                continue;
            };
            if Target::of(&message) != Target::Register {
                exchanges.ignore(id);
                continue;
            }
            match read_register(&message, known.as_ref()) {
                Ok(data) => {
                    exchanges.ignore(candidate.request);
                    (candidate.request, candidate.data) = (id, data);
                }
                Err(response) => exchanges.respond(now.mono, id, &response),
            }
        }
    }

    /// Whether the platform may be asked about another Register of this name. Two devices that share one, or one that
    /// does not keep its registration, would have it open and close sessions all the time.
    ///
    /// # Errors
    /// The answer to give: 4.29.
    pub(in crate::endpoint) fn admit_register(&mut self, now: Now) -> Result<(), Box<Response>> {
        let Some(max) = self.settings.registers else {
            return Ok(());
        };
        // One that overtakes another costs the platform no question.
        if self.candidate.is_some() || self.registers.admit(now.mono, max.get() as usize) {
            return Ok(());
        }
        self.stats.flapping += 1;
        Err(Box::new(Response {
            max_age: Some(FLAPPING_PAUSE_S),
            ..Response::new(Code::TOO_MANY_REQUESTS)
        }))
    }

    /// Asks the platform about a Register. One that overtakes another of the same peer takes its place: the platform has
    /// been asked, and the one overtaken is never answered.
    pub(in crate::endpoint) fn ask_credentials(
        &mut self,
        now: Now,
        peer: Peer,
        request: IncomingId,
        data: RegistrationData,
        exchanges: Option<Box<Exchanges<PeerId>>>,
        admission: Option<&Arc<Admission>>,
    ) {
        if let Some(candidate) = &mut self.candidate
            && candidate.exchanges.is_none()
            && exchanges.is_none()
        {
            self.exchanges.ignore(candidate.request);
            (candidate.peer, candidate.request, candidate.data) = (peer, request, data);
            return;
        }
        let question = match admission {
            Some(_) => None,
            None => {
                let id = peer.identity.credentials_id(&data.endpoint).to_owned();
                Some(self.ask(Question::Credentials { id }))
            }
        };
        self.candidate = Some(Candidate {
            peer,
            request,
            data,
            question,
            exchanges,
        });
        if let Some(admission) = admission {
            self.decide(now, Ok(Arc::clone(admission)));
        }
    }

    /// The platform has spoken on the candidate.
    pub(in crate::endpoint) fn decide(
        &mut self,
        now: Now,
        answer: Result<Arc<Admission>, QuestionError>,
    ) {
        let Some(mut candidate) = self.candidate.take() else {
            return;
        };
        let admission = match answer {
            Ok(admission)
                if (admission.client).admit(&candidate.data.endpoint, &candidate.peer.identity) =>
            {
                admission
            }
            Ok(_) | Err(QuestionError::NotFound | QuestionError::Invalid) => {
                return self.refuse(now, candidate, &Response::new(Code::FORBIDDEN));
            }
            Err(QuestionError::Unavailable | QuestionError::Limited) => {
                let response = Response {
                    max_age: Some(RETRY_AFTER_S),
                    ..Response::new(Code::SERVICE_UNAVAILABLE)
                };
                return self.refuse(now, candidate, &response);
            }
        };
        self.replace(now, &mut candidate);
        let id = RegistrationId::random(self.settings.ordinal, &mut self.random);
        let session = Arc::new(SessionInfo {
            id: SessionId(self.random_uuid()),
            device: Arc::clone(&admission.device),
        });
        let registration = Registration {
            id,
            data: candidate.data,
            address: candidate.peer.id.to_string().into(),
            peer: candidate.peer,
            session: Arc::clone(&session),
            profile: Arc::clone(&admission.profile),
            power: admission.power.clone(),
            last_update: now.wall,
            changes: 0,
        };
        for key in registration.keys() {
            self.bindings.push_back(Output::Bind(key));
        }
        let location_path = vec!["rd".to_owned(), id.to_string()];
        let response = Response {
            location_path,
            ..Response::new(Code::CREATED)
        };
        self.exchanges
            .respond(now.mono, candidate.request, &response);
        let line = text::registered(id.as_str(), &registration.data);
        self.log(now, &session, &line);
        self.outputs
            .push_back(Output::Uplink(Uplink::SessionOpened { session }));
        let tenant = registration.session.device.tenant;
        let keys = versions(&registration.data);
        self.set_lifetime(registration.deadline(now));
        self.stats.link_deviations += u64::from(registration.data.objects.deviations());
        self.registration = Some(registration);
        self.stats.registered += 1;
        // With the session the core says again what waits for the device.
        self.wants_pending_rpc = false;
        self.presence = Presence::default();
        self.heard(now);
        let question = self.ask(Question::Models { tenant, keys });
        self.resources = Resources::awaiting(question);
        self.attributes = SharedAttributes::wanted();
        self.ota.registered();
    }

    /// Puts the candidate's message layer in the place of the registration's, whose open requests end.
    fn replace(&mut self, now: Now, candidate: &mut Candidate) {
        self.read_unread(now);
        self.exchanges.cancel_all();
        if let Some(old) = self.registration.take() {
            self.stats.replaced += 1;
            self.cancel_commands(now, &old);
            self.release(now, &old);
            self.close_session(&old);
            self.disconnect_before(old.peer.id, candidate.peer.id);
            self.lingering = Some(old);
        }
        self.stop_lingering();
        if let Some(exchanges) = candidate.exchanges.take() {
            self.coap_before += self.exchanges.stats();
            self.exchanges = *exchanges;
        }
    }

    /// The device has moved from one peer to another: it needs no more than one security context.
    pub(super) fn disconnect_before(&mut self, before: PeerId, after: PeerId) {
        if before != after {
            self.outputs.push_back(Output::Disconnect {
                peer: before,
                cause: Disconnect::Replaced,
            });
        }
    }

    fn refuse(&mut self, now: Now, mut candidate: Candidate, response: &Response) {
        self.stats.refused += 1;
        let exchanges = candidate
            .exchanges
            .as_deref_mut()
            .unwrap_or(&mut self.exchanges);
        exchanges.respond(now.mono, candidate.request, response);
        if candidate.exchanges.is_some() {
            while let Some((peer, payload)) = candidate
                .exchanges
                .as_mut()
                .and_then(|own| own.poll_transmit())
            {
                self.outputs.push_back(Output::Transmit { peer, payload });
            }
        }
        if response.code == Code::FORBIDDEN
            && matches!(candidate.peer.identity, PeerIdentity::RawPublicKey(_))
        {
            // Any key gets so far; this one is nobody's, or another one's.
            self.outputs.push_back(Output::Disconnect {
                peer: candidate.peer.id,
                cause: Disconnect::Replaced,
            });
        }
        if self.registration.is_none() && self.lingering.is_none() {
            // The refusal leaves before the end: outputs are drained in order, transmissions first.
            self.outputs.push_back(Output::Closed(CloseReason::Refused));
        }
    }
}

/// The objects of a registration, each with its version; of more than any device has, the first.
pub(in crate::endpoint) fn versions(data: &RegistrationData) -> Vec<(ObjectId, ObjectVersion)> {
    let objects = data.objects.objects().iter().take(MAX_OBJECTS);
    objects.map(|(id, object)| (*id, object.version)).collect()
}

/// Objects of one device whose models are asked for: each may cost the core a question.
const MAX_OBJECTS: usize = 256;

/// When a device may try again after 4.29, seconds.
const FLAPPING_PAUSE_S: u32 = 30;
/// When a device may try again after 5.03, seconds.
pub(in crate::endpoint) const RETRY_AFTER_S: u32 = 10;
