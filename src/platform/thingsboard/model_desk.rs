//! Object models by tenant, and the questions of endpoints that wait for some of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::super::{
    downlink::{Answer, Reply, ReplyTo},
    session::PlatformId,
    uplink::{QuestionError, RequestId},
};
use super::book::{Book, Lookup};
use crate::lwm2m::{
    model::ObjectModel,
    path::{ObjectId, ObjectVersion},
};

/// A model as a tenant sees it: its own, or the one that serves all tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ModelKey {
    pub(super) tenant: PlatformId,
    pub(super) object: ObjectId,
    pub(super) version: ObjectVersion,
}

/// The models and who waits for them.
#[derive(Debug)]
pub(super) struct ModelDesk {
    pub(super) models: Book<ModelKey, Arc<ObjectModel>>,
    visitors: BTreeMap<u64, Visitor>,
    next_visitor: u64,
    waiting: HashMap<ModelKey, Vec<u64>>,
}

/// An endpoint's question.
#[derive(Debug)]
struct Visitor {
    id: RequestId,
    reply_to: ReplyTo,
    missing: usize,
    found: Vec<Arc<ObjectModel>>,
}

/// A reply to be sent once no lock is held.
pub(super) type Outgoing = (ReplyTo, Reply);

impl ModelDesk {
    pub(super) fn new(refresh_age: Duration) -> Self {
        Self {
            models: Book::new(refresh_age, CAPACITY),
            visitors: BTreeMap::new(),
            next_visitor: 0,
            waiting: HashMap::new(),
        }
    }

    /// Takes an endpoint's question. Returns the keys that must be asked for, and the reply if all is known already.
    pub(super) fn visit(
        &mut self,
        now: Instant,
        tenant: PlatformId,
        keys: &[(ObjectId, ObjectVersion)],
        id: RequestId,
        reply_to: &ReplyTo,
    ) -> (Vec<ModelKey>, Option<Outgoing>) {
        let mut visitor = Visitor {
            id,
            reply_to: Arc::clone(reply_to),
            missing: 0,
            found: Vec::new(),
        };
        let mut ask = Vec::new();
        for (object, version) in keys {
            let key = ModelKey {
                tenant,
                object: *object,
                version: *version,
            };
            let lookup = self.models.look_up(now, &key);
            match lookup {
                Lookup::Found(model) => visitor.found.push(model),
                Lookup::Absent => {}
                Lookup::Ask | Lookup::Asked => {
                    if lookup == Lookup::Ask {
                        ask.push(key);
                    }
                    visitor.missing += 1;
                    self.waiting.entry(key).or_default().push(self.next_visitor);
                }
            }
        }
        if visitor.missing == 0 {
            return (ask, Some(visitor.leave()));
        }
        self.visitors.insert(self.next_visitor, visitor);
        self.next_visitor += 1;
        (ask, None)
    }

    /// The core answered. Returns the replies that are complete, and whether what was known before changed.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        key: ModelKey,
        model: Option<Arc<ObjectModel>>,
    ) -> (Vec<Outgoing>, bool) {
        let mut complete = Vec::new();
        for number in self.waiting.remove(&key).unwrap_or_default() {
            let Some(visitor) = self.visitors.get_mut(&number) else {
                continue;
            };
            visitor.found.extend(model.clone());
            visitor.missing -= 1;
            if visitor.missing == 0 {
                complete.extend(self.visitors.remove(&number).map(Visitor::leave));
            }
        }
        let before = self.models.learn(now, key, model.clone());
        (complete, before.is_some_and(|before| before != model))
    }

    /// The core did not answer, or cannot be asked: whoever waits for this model is told so.
    pub(super) fn unanswered(&mut self, now: Instant, key: ModelKey) -> Vec<Outgoing> {
        self.models.unanswered(now, &key);
        let numbers = self.waiting.remove(&key).unwrap_or_default();
        numbers
            .into_iter()
            .filter_map(|number| self.visitors.remove(&number))
            .map(Visitor::leave_empty)
            .collect()
    }

    /// Keys of the models that a change of `owner`'s model `object` `version` may concern; all are marked as asked.
    pub(super) fn changed(
        &mut self,
        owner: PlatformId,
        object: ObjectId,
        version: ObjectVersion,
    ) -> Vec<ModelKey> {
        let mut keys = self.models.keys(|key| {
            (key.object, key.version) == (object, version)
                && (owner == PlatformId::NULL || key.tenant == owner)
        });
        keys.retain(|key| self.models.ask_again(key));
        keys
    }

    /// How many endpoints wait.
    pub(super) fn waiting(&self) -> usize {
        self.visitors.len()
    }
}

impl Visitor {
    fn leave(self) -> Outgoing {
        let reply = Reply::Answer {
            id: self.id,
            result: Ok(Answer::Models(self.found)),
        };
        (self.reply_to, reply)
    }

    fn leave_empty(self) -> Outgoing {
        let reply = Reply::Answer {
            id: self.id,
            result: Err(QuestionError::Unavailable),
        };
        (self.reply_to, reply)
    }
}

/// Devices choose which models are looked for, so there is an end to them.
const CAPACITY: usize = 10_000;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::platform::{downlink::ReplySink, thingsboard::clock};

    #[derive(Debug)]
    struct Nobody;

    impl ReplySink for Nobody {
        fn reply(&self, _: Reply) {}
    }

    const V1_0: ObjectVersion = ObjectVersion::V1_0;
    const TENANT: PlatformId = PlatformId(Uuid::from_u128(7));

    fn key(object: ObjectId) -> ModelKey {
        ModelKey {
            tenant: TENANT,
            object,
            version: V1_0,
        }
    }

    fn model(id: ObjectId) -> Arc<ObjectModel> {
        Arc::new(ObjectModel {
            id,
            version: V1_0,
            name: String::new(),
            multiple: false,
            mandatory: false,
            resources: BTreeMap::new(),
        })
    }

    fn desk() -> (ModelDesk, Instant, ReplyTo) {
        let desk = ModelDesk::new(Duration::from_secs(3600));
        (desk, clock::now().mono, Arc::new(Nobody))
    }

    fn results(outgoing: impl IntoIterator<Item = Outgoing>) -> Vec<(u64, Option<Vec<ObjectId>>)> {
        outgoing
            .into_iter()
            .map(|(_, reply)| match reply {
                Reply::Answer { id, result } => (
                    id.0,
                    result.ok().map(|answer| match answer {
                        Answer::Models(models) => models.iter().map(|model| model.id).collect(),
                        Answer::Credentials(_) | Answer::Package(_) | Answer::PackageBytes(_) => {
                            panic!("not asked for")
                        }
                    }),
                ),
                Reply::Done { .. } => panic!("no uplink"),
            })
            .collect()
    }

    #[test]
    fn visitors_share_the_question_and_leave_when_all_is_known() {
        let (mut desk, now, reply_to) = desk();
        let (ask, reply) = desk.visit(
            now,
            TENANT,
            &[(3, V1_0), (5, V1_0)],
            RequestId(1),
            &reply_to,
        );
        assert_eq!((ask, reply.is_none()), (vec![key(3), key(5)], true));
        let (ask, reply) = desk.visit(now, TENANT, &[(3, V1_0)], RequestId(2), &reply_to);
        assert_eq!((ask, reply.is_none()), (vec![], true));
        let (complete, changed) = desk.answered(now, key(3), Some(model(3)));
        assert_eq!(
            (results(complete), changed),
            (vec![(2, Some(vec![3]))], false)
        );
        let (complete, _) = desk.answered(now, key(5), None);
        assert_eq!(results(complete), [(1, Some(vec![3]))]);
        let (ask, reply) = desk.visit(
            now,
            TENANT,
            &[(5, V1_0), (3, V1_0)],
            RequestId(3),
            &reply_to,
        );
        assert_eq!((ask, results(reply)), (vec![], vec![(3, Some(vec![3]))]));
        assert_eq!(desk.waiting(), 0);
    }

    #[test]
    fn a_silent_core_is_told_to_everyone_once() {
        let (mut desk, now, reply_to) = desk();
        desk.visit(
            now,
            TENANT,
            &[(3, V1_0), (5, V1_0)],
            RequestId(1),
            &reply_to,
        );
        assert_eq!(results(desk.unanswered(now, key(3))), [(1, None)]);
        assert_eq!(results(desk.unanswered(now, key(5))), []);
        let (ask, _) = desk.visit(now, TENANT, &[(3, V1_0)], RequestId(2), &reply_to);
        assert_eq!(ask, [key(3)], "the next one asks again");
    }

    #[test]
    fn a_change_concerns_the_owner_or_everyone() {
        let (mut desk, now, reply_to) = desk();
        desk.visit(now, TENANT, &[(3, V1_0)], RequestId(1), &reply_to);
        desk.answered(now, key(3), Some(model(3)));
        let stranger = PlatformId(Uuid::from_u128(8));
        assert_eq!(desk.changed(stranger, 3, V1_0), []);
        assert_eq!(desk.changed(TENANT, 3, ObjectVersion::new(1, 1)), []);
        assert_eq!(desk.changed(TENANT, 3, V1_0), [key(3)]);
        assert_eq!(
            desk.changed(PlatformId::NULL, 3, V1_0),
            [],
            "a question is open"
        );
        let (_, changed) = desk.answered(now, key(3), None);
        assert!(changed);
    }
}
