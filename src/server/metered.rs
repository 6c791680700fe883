//! Counts what crosses the platform seam, so that neither side has to know of metrics.

use std::{sync::Arc, time::Instant};

use crate::platform::{
    Downlink, DownlinkSink, Outcome, Platform, Question, QuestionError, Reply, ReplySink, ReplyTo,
    SessionId, SubmitError, Undeliverable, Uplink, downlink::Scope, time::Clock,
};

use super::metrics::{
    CommandResult, Message, MessageResult, Metrics, Request, RequestResult, RpcMethod,
};

/// A platform whose uplinks and answers are counted.
pub(super) struct MeteredPlatform {
    platform: Arc<dyn Platform>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl MeteredPlatform {
    /// Counts for `platform`.
    pub(super) const fn new(
        platform: Arc<dyn Platform>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self {
            platform,
            metrics,
            clock,
        }
    }

    /// A sink that counts the reply on its way, for uplinks that have one.
    fn watch(&self, uplink: &Uplink, reply_to: &ReplyTo) -> Option<ReplyTo> {
        let subject = match uplink {
            Uplink::Question { question, .. } => Subject::Question {
                request: question.into(),
                asked: (self.clock)().mono,
            },
            Uplink::Telemetry { id: Some(_), .. } | Uplink::Attributes { id: Some(_), .. } => {
                Subject::Message(uplink.kind().into())
            }
            Uplink::SessionOpened { .. }
            | Uplink::SessionClosed { .. }
            | Uplink::Activity { .. }
            | Uplink::BootstrapReport { .. }
            | Uplink::Telemetry { id: None, .. }
            | Uplink::Attributes { id: None, .. }
            | Uplink::RpcStatus { .. }
            | Uplink::RpcReply { .. }
            | Uplink::AttributesWanted { .. }
            | Uplink::PendingRpcWanted { .. } => return None,
        };
        Some(Arc::new(MeteredReply {
            reply_to: Arc::clone(reply_to),
            metrics: Arc::clone(&self.metrics),
            clock: self.clock,
            subject,
        }))
    }
}

impl Platform for MeteredPlatform {
    fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
        let message = Message::from(uplink.kind());
        let asks = matches!(uplink, Uplink::Question { .. });
        let pending = &self.metrics.platform_pending_requests;
        if asks {
            // Before the answer can come.
            pending.inc();
        }
        let watched = self.watch(&uplink, reply_to);
        let submitted = self
            .platform
            .submit(uplink, watched.as_ref().unwrap_or(reply_to));
        let result = match submitted {
            Ok(()) => MessageResult::Accepted,
            Err(_) => MessageResult::Refused,
        };
        self.metrics.platform_messages.of((message, result)).inc();
        if asks && submitted.is_err() {
            pending.dec();
        }
        submitted
    }
}

/// Counts one reply and passes it on.
struct MeteredReply {
    reply_to: ReplyTo,
    metrics: Arc<Metrics>,
    clock: Clock,
    subject: Subject,
}

enum Subject {
    Message(Message),
    Question { request: Request, asked: Instant },
}

impl ReplySink for MeteredReply {
    fn reply(&self, reply: Reply) {
        match (&self.subject, &reply) {
            (Subject::Question { request, asked }, Reply::Answer { result, .. }) => {
                let waited = (self.clock)().mono.saturating_duration_since(*asked);
                self.metrics
                    .platform_request_duration
                    .of(*request)
                    .observe(waited.as_secs_f64());
                let result = match result {
                    Ok(_) => RequestResult::Ok,
                    Err(QuestionError::NotFound) => RequestResult::NotFound,
                    Err(QuestionError::Invalid) => RequestResult::Invalid,
                    Err(QuestionError::Unavailable) => RequestResult::Unavailable,
                    Err(QuestionError::Limited) => RequestResult::Limited,
                };
                self.metrics.platform_requests.of((*request, result)).inc();
                self.metrics.platform_pending_requests.dec();
            }
            (Subject::Message(message), Reply::Done { outcome, .. }) => {
                let result = match outcome {
                    Outcome::Durable => MessageResult::Durable,
                    Outcome::Rejected(_) => MessageResult::Rejected,
                    Outcome::Unavailable => MessageResult::Unavailable,
                };
                self.metrics.platform_messages.of((*message, result)).inc();
            }
            // A reply of the other sort: the asker will notice.
            (Subject::Question { .. }, Reply::Done { .. })
            | (Subject::Message(_), Reply::Answer { .. }) => {}
        }
        self.reply_to.reply(reply);
    }
}

impl std::fmt::Debug for MeteredReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MeteredReply").field(&self.reply_to).finish()
    }
}

/// A way to the endpoints that counts the commands of the platform.
pub struct MeteredSink<S> {
    sink: Arc<S>,
    metrics: Arc<Metrics>,
}

impl<S> MeteredSink<S> {
    /// Counts for `sink`.
    pub const fn new(sink: Arc<S>, metrics: Arc<Metrics>) -> Self {
        Self { sink, metrics }
    }
}

impl<S: DownlinkSink> DownlinkSink for MeteredSink<S> {
    fn deliver(&self, session: SessionId, downlink: Downlink) -> Result<(), Undeliverable> {
        let Downlink::Rpc(request) = &downlink else {
            return self.sink.deliver(session, downlink);
        };
        let method = RpcMethod::named(&request.method);
        let delivered = self.sink.deliver(session, downlink);
        let result = match &delivered {
            Ok(()) => CommandResult::Delivered,
            Err(Undeliverable::UnknownSession(_)) => CommandResult::NoSession,
            Err(Undeliverable::Full(_)) => CommandResult::MailboxFull,
        };
        self.metrics.commands.of((method, result)).inc();
        delivered
    }

    fn broadcast(&self, scope: Scope, downlink: &Downlink) {
        self.sink.broadcast(scope, downlink);
    }
}

impl<S> std::fmt::Debug for MeteredSink<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeteredSink").finish_non_exhaustive()
    }
}

impl From<&Question> for Request {
    fn from(question: &Question) -> Self {
        match question {
            Question::Credentials { .. } => Self::Credentials,
            Question::Models { .. } => Self::Models,
            Question::Package { .. } => Self::Package,
            Question::PackageBytes(_) => Self::PackageBytes,
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need some clock")]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use uuid::Uuid;

    use crate::platform::{
        Answer, DeviceInfo, PlatformId, RequestId, RpcRequest, SessionInfo, UplinkId,
        time::{Now, UnixMillis},
        uplink::{KeyValue, RpcId},
    };

    use super::*;

    /// Accepts what it is told to and keeps who asked.
    #[derive(Default)]
    struct Core {
        full: bool,
        askers: Mutex<Vec<ReplyTo>>,
    }

    impl Platform for Core {
        fn submit(&self, _: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
            if self.full {
                return Err(SubmitError::Busy);
            }
            let mut askers = self.askers.lock().unwrap_or_else(PoisonError::into_inner);
            askers.push(Arc::clone(reply_to));
            Ok(())
        }
    }

    #[derive(Debug, Default)]
    struct Replies(Mutex<Vec<Reply>>);

    impl ReplySink for Replies {
        fn reply(&self, reply: Reply) {
            self.0.lock().unwrap().push(reply);
        }
    }

    /// Knows one session and takes one message.
    struct OneSession;

    impl DownlinkSink for OneSession {
        fn deliver(&self, session: SessionId, downlink: Downlink) -> Result<(), Undeliverable> {
            if session.0.is_nil() {
                return Err(Undeliverable::UnknownSession(Box::new(downlink)));
            }
            Ok(())
        }

        fn broadcast(&self, _: Scope, _: &Downlink) {}
    }

    fn clock() -> Now {
        Now {
            mono: Instant::now(),
            wall: UnixMillis(0),
        }
    }

    fn metered(core: &Arc<Core>) -> (MeteredPlatform, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new(UnixMillis(0)));
        let platform = Arc::<Core>::clone(core);
        let metered = MeteredPlatform::new(platform, Arc::clone(&metrics), clock);
        (metered, metrics)
    }

    fn question() -> Uplink {
        Uplink::Question {
            id: RequestId(1),
            question: Question::Models {
                tenant: PlatformId::NULL,
                keys: Vec::new(),
            },
        }
    }

    fn telemetry(id: Option<UplinkId>) -> Uplink {
        let device = DeviceInfo {
            tenant: PlatformId::NULL,
            customer: PlatformId::NULL,
            device: PlatformId::NULL,
            profile: PlatformId::NULL,
            name: String::new(),
            kind: String::new(),
        };
        Uplink::Attributes {
            id,
            session: Arc::new(SessionInfo {
                id: SessionId(Uuid::nil()),
                device: Arc::new(device),
            }),
            values: vec![("key".to_owned(), KeyValue::Long(1))],
            ts: UnixMillis(0),
        }
    }

    #[test]
    fn questions_are_counted_by_their_answers() {
        let core = Arc::new(Core::default());
        let (metered, metrics) = metered(&core);
        let replies = Arc::new(Replies::default());
        let asker: ReplyTo = Arc::<Replies>::clone(&replies);
        metered.submit(question(), &asker).unwrap();
        assert_eq!(metrics.platform_pending_requests.get(), 1);
        let answer = Reply::Answer {
            id: RequestId(1),
            result: Ok(Answer::Models(Vec::new())),
        };
        core.askers.lock().unwrap()[0].reply(answer.clone());
        assert_eq!(*replies.0.lock().unwrap(), [answer]);
        assert_eq!(metrics.platform_pending_requests.get(), 0);
        let counted = metrics
            .platform_requests
            .of((Request::Models, RequestResult::Ok));
        assert_eq!(counted.get(), 1);
        let text = metrics.encode().unwrap();
        let line = "lightship_platform_request_duration_seconds_count{request=\"models\"} 1";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn what_is_refused_is_not_pending() {
        let core = Arc::new(Core {
            full: true,
            ..Core::default()
        });
        let (metered, metrics) = metered(&core);
        let asker: ReplyTo = Arc::new(Replies::default());
        assert_eq!(metered.submit(question(), &asker), Err(SubmitError::Busy));
        assert_eq!(metrics.platform_pending_requests.get(), 0);
        let refused = metrics
            .platform_messages
            .of((Message::Question, MessageResult::Refused));
        assert_eq!(refused.get(), 1);
    }

    #[test]
    fn readings_are_counted_by_their_outcome() {
        let core = Arc::new(Core::default());
        let (metered, metrics) = metered(&core);
        let asker: ReplyTo = Arc::new(Replies::default());
        metered
            .submit(telemetry(Some(UplinkId(1))), &asker)
            .unwrap();
        metered.submit(telemetry(None), &asker).unwrap();
        core.askers.lock().unwrap()[0].reply(Reply::Done {
            id: UplinkId(1),
            outcome: Outcome::Durable,
        });
        let count = |result| {
            metrics
                .platform_messages
                .of((Message::Attributes, result))
                .get()
        };
        assert_eq!(
            (
                count(MessageResult::Accepted),
                count(MessageResult::Durable)
            ),
            (2, 1)
        );
    }

    #[test]
    fn commands_are_counted_by_method() {
        let metrics = Arc::new(Metrics::new(UnixMillis(0)));
        let sink = MeteredSink::new(Arc::new(OneSession), Arc::clone(&metrics));
        let rpc = |method: &str| {
            Downlink::Rpc(RpcRequest {
                id: RpcId {
                    request: 1,
                    uuid: Uuid::nil(),
                },
                method: method.to_owned(),
                params: "null".to_owned(),
                expires: UnixMillis(0),
                oneway: false,
                persisted: false,
            })
        };
        let known = SessionId(Uuid::from_u128(1));
        sink.deliver(known, rpc("Read")).unwrap();
        sink.deliver(SessionId(Uuid::nil()), rpc("Reboot"))
            .unwrap_err();
        sink.deliver(known, Downlink::DeviceDeleted).unwrap();
        let count = |labels| metrics.commands.of(labels).get();
        assert_eq!(count((RpcMethod::Read, CommandResult::Delivered)), 1);
        assert_eq!(count((RpcMethod::Other, CommandResult::NoSession)), 1);
    }
}
