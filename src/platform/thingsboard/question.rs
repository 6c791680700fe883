//! Questions to the core: asked once for all who want to know, answered to each.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tracing::{debug, warn};

use super::super::{
    credentials::Admission,
    downlink::{Answer as SeamAnswer, Downlink, Reply, ReplyTo, Scope},
    session::PlatformId,
    time::Now,
    uplink::{Question, QuestionError, RequestId, SubmitError},
};
use super::{
    book::Lookup,
    caches::Allowance,
    clock,
    convert::{Answer, ApiQuestion, question},
    engine::Engine,
    limits::Cost,
    model_desk::{ModelKey, Outgoing},
    producer::Record,
    request::headers,
    sync::lock,
    topics::record_key,
};
use crate::lwm2m::model::{ObjectModel, ddf};

/// Who wants an answer.
#[derive(Debug)]
pub(super) enum Asker {
    /// An endpoint or a handshake.
    Credentials {
        credentials_id: String,
        id: RequestId,
        reply_to: ReplyTo,
    },
    /// The profiles.
    DeviceProfile(PlatformId),
    /// The models, for endpoints.
    Model(ModelKey),
    /// An endpoint, for a package.
    Package { id: RequestId, reply_to: ReplyTo },
    /// The queues.
    Routing,
    /// The tenants.
    Tenant(PlatformId),
}

impl Engine {
    /// Takes the question of an endpoint or a handshake.
    pub(super) fn question(
        &self,
        now: Now,
        id: RequestId,
        question: Question,
        reply_to: &ReplyTo,
    ) -> Result<(), SubmitError> {
        match question {
            Question::Credentials { id: credentials_id } => {
                if lock(&self.caches).is_stranger(now.mono, &credentials_id) {
                    reply_to.reply(Reply::Answer {
                        id,
                        result: Err(QuestionError::NotFound),
                    });
                    return Ok(());
                }
                let asker = Asker::Credentials {
                    credentials_id: credentials_id.clone(),
                    id,
                    reply_to: Arc::clone(reply_to),
                };
                self.ask(&ApiQuestion::Credentials(credentials_id), asker)
                    .map_err(|_| SubmitError::Busy)
            }
            Question::Models { tenant, keys } => {
                let mut caches = lock(&self.caches);
                if caches.desk.waiting() >= self.settings.kafka.api_max_pending {
                    return Err(SubmitError::Busy);
                }
                let (ask, reply) = caches.desk.visit(now.mono, tenant, &keys, id, reply_to);
                drop(caches);
                send(reply);
                self.ask_all(ask.into_iter().map(|key| key.question()));
                Ok(())
            }
            Question::Package {
                tenant,
                device,
                kind,
            } => {
                // Its session was opened, for which the tenant had to be known.
                let caches = lock(&self.caches);
                let allowance = caches.tenants.value(&tenant).map(Allowance::from);
                drop(caches);
                let objection = allowance.and_then(|allowance| {
                    self.objection(now, tenant, device, &allowance, Cost::Message)
                });
                if let Some(counter) = objection {
                    counter.add();
                    reply_to.reply(Reply::Answer {
                        id,
                        result: Err(QuestionError::Limited),
                    });
                    return Ok(());
                }
                let asker = Asker::Package {
                    id,
                    reply_to: Arc::clone(reply_to),
                };
                let question = ApiQuestion::Package {
                    tenant,
                    device,
                    kind,
                };
                self.ask(&question, asker).map_err(|_| SubmitError::Busy)
            }
            Question::PackageBytes(package) => self.packages.ask(package, id, reply_to),
        }
    }

    /// Asks the core for knowledge; a question that cannot be asked counts as not answered.
    pub(super) fn ask_all(&self, questions: impl IntoIterator<Item = ApiQuestion>) {
        for question in questions {
            let asker = match &question {
                ApiQuestion::DeviceProfile(id) => Asker::DeviceProfile(*id),
                ApiQuestion::Model {
                    tenant,
                    object,
                    version,
                } => Asker::Model(ModelKey {
                    tenant: *tenant,
                    object: *object,
                    version: *version,
                }),
                ApiQuestion::Routing => Asker::Routing,
                ApiQuestion::Tenant(id) => Asker::Tenant(*id),
                // Asked by endpoints only, who wait for the answer themselves.
                ApiQuestion::Credentials(_) | ApiQuestion::Package { .. } => continue,
            };
            if let Err(asker) = self.ask(&question, asker) {
                self.answered(asker, Err(QuestionError::Unavailable));
            }
        }
    }

    /// Asks for what waiting uplinks depend on and for what grew old.
    pub(super) fn ask_what_is_wanted(&self, now: std::time::Instant) {
        let mut caches = lock(&self.caches);
        let mut questions = caches.questions_of_the_waiting(now);
        questions.extend(caches.questions_of_age(now));
        drop(caches);
        self.ask_all(questions);
    }

    /// Sends a question.
    ///
    /// # Errors
    /// The asker, when too many questions are open or the producer has no room.
    fn ask(&self, asked: &ApiQuestion, asker: Asker) -> Result<(), Asker> {
        let now = clock::now();
        let id = lock(&self.requests)
            .open(now.mono, asker)
            .inspect_err(|_| self.stats.refused_questions.add())?;
        let timeout = std::time::Duration::from_millis(self.settings.kafka.api_timeout_ms.into());
        let record = Record {
            topic: self.topics.api_requests(),
            key: record_key(uuid::Uuid::new_v4()),
            value: question(asked),
        };
        let headers = headers(id, &self.topics.api_responses(), now.wall.plus(timeout));
        self.stats.questions.add();
        if self.producer.ask(&record, &headers, id).is_ok() {
            return Ok(());
        }
        // Unless somebody else closed it meanwhile, it is still open.
        lock(&self.requests).close(id).map_or(Ok(()), Err)
    }

    /// Ends the questions that nobody answered in time and those that did not reach the core.
    pub(super) fn expire_questions(&self, now: std::time::Instant) {
        let expired = lock(&self.requests).expired(now);
        for asker in expired {
            self.stats.timed_out.add();
            self.stats.core_silent.store(true, Relaxed);
            self.answered(asker, Err(QuestionError::Unavailable));
        }
        for id in self.producer.failed_questions() {
            let asker = lock(&self.requests).close(id);
            if let Some(asker) = asker {
                self.answered(asker, Err(QuestionError::Unavailable));
            }
        }
    }

    /// Takes an answer from the core; one to no open question is only counted.
    pub(super) fn take_answer(&self, id: uuid::Uuid, answer: Result<Answer, QuestionError>) {
        let asker = lock(&self.requests).close(id);
        match asker {
            Some(asker) => {
                self.stats.answered.add();
                self.stats.core_silent.store(false, Relaxed);
                self.answered(asker, answer);
            }
            None => self.stats.late_answers.add(),
        }
    }

    /// Brings an answer to who asked.
    pub(super) fn answered(&self, asker: Asker, answer: Result<Answer, QuestionError>) {
        let now = clock::now();
        match asker {
            Asker::Credentials {
                credentials_id,
                id,
                reply_to,
            } => {
                let result = self.admission(now, credentials_id, answer);
                reply_to.reply(Reply::Answer { id, result });
            }
            Asker::DeviceProfile(id) => self.profile_answered(now, id, answer),
            Asker::Model(key) => self.model_answered(now, key, answer),
            Asker::Package { id, reply_to } => {
                let result = match answer {
                    Ok(Answer::Package(found)) => found.map(SeamAnswer::Package),
                    Ok(Answer::Nothing) => Err(QuestionError::NotFound),
                    Ok(_) => Err(QuestionError::Invalid),
                    Err(error) => Err(error),
                };
                reply_to.reply(Reply::Answer { id, result });
            }
            Asker::Routing => {
                if let Ok(Answer::Routing(queues)) = answer {
                    lock(&self.caches).routing = queues.into_iter().collect();
                    self.routing_changed.notify_all();
                    self.release();
                }
            }
            Asker::Tenant(id) => {
                let mut caches = lock(&self.caches);
                let tenant = match answer {
                    Ok(Answer::Tenant(tenant)) => Some(tenant),
                    Ok(Answer::Nothing) => None,
                    // Who waits goes on waiting: the timer asks again.
                    Ok(_) | Err(_) => return caches.tenants.unanswered(now.mono, &id),
                };
                caches.tenants.learn(now.mono, id, tenant);
                drop(caches);
                self.release();
            }
        }
    }

    fn admission(
        &self,
        now: Now,
        credentials_id: String,
        answer: Result<Answer, QuestionError>,
    ) -> Result<SeamAnswer, QuestionError> {
        match answer? {
            Answer::Credentials {
                device,
                client,
                bootstrap,
                power,
                profile,
            } => {
                let id = profile.profile.id;
                let mut caches = lock(&self.caches);
                let changed = caches.learn_profile(now.mono, *profile);
                let newest = caches
                    .profiles
                    .value(&id)
                    .map(|record| Arc::clone(&record.profile));
                // The session's first uplink will need it.
                let ask = caches.tenants.look_up(now.mono, &device.tenant) == Lookup::Ask;
                drop(caches);
                if ask {
                    self.ask_all([ApiQuestion::Tenant(device.tenant)]);
                }
                self.tell_profile(changed);
                Ok(SeamAnswer::Credentials(Arc::new(Admission {
                    device: Arc::new(device),
                    client,
                    bootstrap: bootstrap.map(|bootstrap| *bootstrap),
                    profile: newest.ok_or(QuestionError::Invalid)?,
                    power,
                })))
            }
            Answer::Nothing => {
                lock(&self.caches).note_stranger(now.mono, credentials_id);
                Err(QuestionError::NotFound)
            }
            Answer::DeviceProfile(_)
            | Answer::Model(_)
            | Answer::Package(_)
            | Answer::Routing(_)
            | Answer::Tenant(_) => Err(QuestionError::Invalid),
        }
    }

    fn profile_answered(&self, now: Now, id: PlatformId, answer: Result<Answer, QuestionError>) {
        let mut caches = lock(&self.caches);
        let changed = match answer {
            Ok(Answer::DeviceProfile(record)) if record.profile.id == id => {
                caches.learn_profile(now.mono, *record)
            }
            Ok(Answer::Nothing) => {
                caches.profiles.learn(now.mono, id, None);
                None
            }
            // Who waits goes on waiting: the timer asks again.
            Ok(_) | Err(_) => return caches.profiles.unanswered(now.mono, &id),
        };
        let arrived = caches.arrived(id);
        let profile = caches
            .profiles
            .value(&id)
            .map(|record| Arc::clone(&record.profile));
        drop(caches);
        self.tell_profile(changed);
        if let Some(profile) = profile {
            for device in arrived {
                let changed = Downlink::ProfileChanged(Arc::clone(&profile));
                self.sink.broadcast(Scope::Device(device), &changed);
            }
        }
        self.release();
    }

    /// Tells the endpoints of a profile that it changed.
    pub(super) fn tell_profile(&self, changed: Option<Arc<super::super::profile::DeviceProfile>>) {
        if let Some(profile) = changed {
            let scope = Scope::Profile(profile.id);
            self.sink
                .broadcast(scope, &Downlink::ProfileChanged(profile));
        }
    }

    fn model_answered(&self, now: Now, key: ModelKey, answer: Result<Answer, QuestionError>) {
        let model = match answer {
            Ok(Answer::Model(xml)) => Some(read_model(&xml, key)),
            Ok(Answer::Nothing) => Some(None),
            Ok(_) | Err(_) => None,
        };
        let Some(model) = model else {
            let replies = lock(&self.caches).desk.unanswered(now.mono, key);
            send(replies);
            return;
        };
        let (replies, changed) = lock(&self.caches)
            .desk
            .answered(now.mono, key, model.clone());
        send(replies);
        if changed {
            self.sink.broadcast(
                Scope::Tenant(key.tenant),
                &Downlink::ModelChanged {
                    object: key.object,
                    version: key.version,
                    model,
                },
            );
        }
    }
}

impl ModelKey {
    /// The question for this model.
    pub(super) const fn question(self) -> ApiQuestion {
        ApiQuestion::Model {
            tenant: self.tenant,
            object: self.object,
            version: self.version,
        }
    }
}

fn send(replies: impl IntoIterator<Item = Outgoing>) {
    for (reply_to, reply) in replies {
        reply_to.reply(reply);
    }
}

/// The model of `key` in an object definition; a file that cannot be read, or is of another object, is none.
fn read_model(xml: &[u8], key: ModelKey) -> Option<Arc<ObjectModel>> {
    let ModelKey {
        object, version, ..
    } = key;
    match ddf::parse(xml) {
        Ok(models) => {
            let model = models
                .into_iter()
                .find(|model| (model.id, model.version) == (object, version));
            if model.is_none() {
                debug!(object, %version, "the core sent the definition of another object");
            }
            model.map(Arc::new)
        }
        Err(error) => {
            warn!(object, %version, %error, "an object definition of the core cannot be read");
            None
        }
    }
}
