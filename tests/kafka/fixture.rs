//! A broker, the double of the core and the Kafka side under test, with an endpoint played by the test.

use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    time::{Duration, Instant},
};

use lightship::platform::{
    Answer, Downlink, DownlinkSink, Outcome, Platform, Question, QuestionError, Reply, ReplySink,
    ReplyTo, RequestId, SessionId, SessionInfo, SubmitError, Undeliverable, Uplink, UplinkId,
    credentials::Admission,
    downlink::Scope,
    thingsboard::{
        Health, ThingsBoard, ThingsBoardSettings,
        settings::{ActivitySettings, KafkaSettings},
    },
    time::UnixMillis,
    uplink::{KeyValue, Readings},
};
use uuid::Uuid;

use crate::support::{mock_broker::MockBroker, strict_core::StrictCore};

pub(crate) const SERVICE: &str = "ls-0";
pub(crate) const PREFIX: &str = "test";
/// Longer than anything takes here, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const CONFIGURATION: &str = r#"{"type":"LWM2M","observeAttr":{"observe":["/3_1.2/0/9"],
    "telemetry":["/3_1.2/0/9"],"keyName":{"/3_1.2/0/9":"battery"}}}"#;

/// Fields are dropped in this order: the double last checks what the Kafka side still wrote.
pub(crate) struct Fixture<B = MockBroker> {
    pub(crate) platform: Arc<ThingsBoard>,
    pub(crate) sink: Arc<Sink>,
    pub(crate) core: StrictCore,
    pub(crate) broker: B,
    pub(crate) profile: Uuid,
    pub(crate) device: Uuid,
    pub(crate) settings: ThingsBoardSettings,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts all with other settings, and one NoSec device `ep1`.
    pub(crate) fn start_with(change: impl FnOnce(&mut ThingsBoardSettings)) -> Self {
        let broker = MockBroker::start(PREFIX, SERVICE);
        let bootstrap_servers = broker.bootstrap_servers();
        Self::start_on(broker, &bootstrap_servers, change)
    }
}

impl<B> Fixture<B> {
    /// Starts all on a broker that is there.
    pub(crate) fn start_on(
        broker: B,
        bootstrap_servers: &str,
        change: impl FnOnce(&mut ThingsBoardSettings),
    ) -> Self {
        let mut settings = ThingsBoardSettings {
            service_id: SERVICE.to_owned(),
            kafka: KafkaSettings {
                bootstrap_servers: bootstrap_servers.to_owned(),
                prefix: PREFIX.to_owned(),
                ..KafkaSettings::default()
            },
            activity: ActivitySettings {
                report_ms: 60_000,
                inactivity_ms: 600_000,
            },
            ..ThingsBoardSettings::default()
        };
        change(&mut settings);
        let core = StrictCore::start(bootstrap_servers, PREFIX);
        let profile = core.add_profile("lw", CONFIGURATION, None);
        let device = core.add_nosec_device("ep1", profile);
        let sink = Arc::new(Sink::default());
        let platform = connect(&settings, &sink);
        Self {
            platform,
            sink,
            core,
            broker,
            profile,
            device,
            settings,
        }
    }

    /// Stops the Kafka side and starts another one under the same name.
    pub(crate) fn restart(&mut self) {
        self.platform.stop();
        self.platform = connect(&self.settings, &self.sink);
    }

    /// Starts another Kafka side under the same name.
    pub(crate) fn twin(&self, sink: &Arc<Sink>) -> Arc<ThingsBoard> {
        connect(&self.settings, sink)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.platform)
    }

    /// An endpoint whose session is open.
    pub(crate) fn registered(&self) -> (Endpoint, Arc<SessionInfo>) {
        let endpoint = self.endpoint();
        let session = self.open(&endpoint, "ep1");
        self.core.await_session(self.device, PATIENCE);
        (endpoint, session)
    }

    /// Opens a session for a device by its NoSec endpoint name.
    pub(crate) fn open(&self, endpoint: &Endpoint, name: &str) -> Arc<SessionInfo> {
        endpoint.open(&self.sink, name)
    }

    pub(crate) fn health(&self) -> Health {
        self.platform.health()
    }
}

pub(crate) fn connect(settings: &ThingsBoardSettings, sink: &Arc<Sink>) -> Arc<ThingsBoard> {
    let sink = Arc::clone(sink) as Arc<dyn DownlinkSink>;
    Arc::new(ThingsBoard::start(settings, sink).unwrap())
}

/// Plays an endpoint: submits and collects its replies.
#[derive(Clone)]
pub(crate) struct Endpoint {
    platform: Arc<ThingsBoard>,
    reply_to: ReplyTo,
    replies: Arc<Mutex<mpsc::Receiver<Reply>>>,
    next: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Mailbox(mpsc::Sender<Reply>);

impl ReplySink for Mailbox {
    fn reply(&self, reply: Reply) {
        drop(self.0.send(reply));
    }
}

impl Endpoint {
    fn new(platform: &Arc<ThingsBoard>) -> Self {
        let (sender, replies) = mpsc::channel();
        Self {
            platform: Arc::clone(platform),
            reply_to: Arc::new(Mailbox(sender)),
            replies: Arc::new(Mutex::new(replies)),
            next: Arc::new(AtomicU64::new(1)),
        }
    }

    pub(crate) fn submit(&self, uplink: Uplink) -> Result<(), SubmitError> {
        self.platform.submit(uplink, &self.reply_to)
    }

    pub(crate) fn reply(&self) -> Reply {
        self.reply_within(PATIENCE)
            .unwrap_or_else(|| panic!("no reply within {PATIENCE:?}"))
    }

    pub(crate) fn reply_within(&self, patience: Duration) -> Option<Reply> {
        self.replies.lock().unwrap().recv_timeout(patience).ok()
    }

    pub(crate) fn ask(&self, question: Question) -> Result<Answer, QuestionError> {
        let id = RequestId(self.next.fetch_add(1, Relaxed));
        self.submit(Uplink::Question { id, question }).unwrap();
        match self.reply() {
            Reply::Answer { id: of, result } => {
                assert_eq!(of, id);
                result
            }
            Reply::Done { .. } => panic!("no uplink was submitted"),
        }
    }

    pub(crate) fn credentials(&self, name: &str) -> Result<Arc<Admission>, QuestionError> {
        let question = Question::Credentials {
            id: name.to_owned(),
        };
        self.ask(question).map(|answer| match answer {
            Answer::Credentials(admission) => admission,
            Answer::Models(_) | Answer::Package(_) | Answer::PackageBytes(_) => {
                panic!("not asked for")
            }
        })
    }

    /// Asks who `name` is and makes a session for it.
    pub(crate) fn admit(&self, name: &str) -> Result<Arc<SessionInfo>, QuestionError> {
        let admission = self.credentials(name)?;
        Ok(Arc::new(SessionInfo {
            id: SessionId(Uuid::new_v4()),
            device: Arc::clone(&admission.device),
        }))
    }

    /// Opens a session for `name` and has `sink` take what comes for it.
    pub(crate) fn open(&self, sink: &Sink, name: &str) -> Arc<SessionInfo> {
        let session = self.admit(name).unwrap();
        sink.sessions.lock().unwrap().insert(session.id);
        let session_opened = Uplink::SessionOpened {
            session: Arc::clone(&session),
        };
        self.submit(session_opened).unwrap();
        session
    }

    /// Submits one reading for which a device waits.
    pub(crate) fn post(
        &self,
        session: &Arc<SessionInfo>,
        key: &str,
        value: KeyValue,
    ) -> Result<UplinkId, SubmitError> {
        let id = UplinkId(self.next.fetch_add(1, Relaxed));
        self.submit(Uplink::Telemetry {
            id: Some(id),
            session: Arc::clone(session),
            readings: vec![Readings {
                ts: UnixMillis(1_700_000_000_000),
                values: vec![(key.to_owned(), value)],
            }],
        })?;
        Ok(id)
    }

    /// Waits for the outcome of an uplink.
    pub(crate) fn outcome(&self, id: UplinkId) -> Outcome {
        match self.reply() {
            Reply::Done { id: of, outcome } => {
                assert_eq!(of, id);
                outcome
            }
            Reply::Answer { .. } => panic!("no question was asked"),
        }
    }
}

/// Collects what comes for endpoints.
#[derive(Default)]
pub(crate) struct Sink {
    pub(crate) sessions: Mutex<HashSet<SessionId>>,
    /// Whether every mailbox is full.
    pub(crate) full: AtomicBool,
    received: Mutex<Vec<Received>>,
    arrived: Condvar,
}

/// What came, and for whom.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Received {
    Session(SessionId, Downlink),
    Broadcast(Scope, Downlink),
}

impl Sink {
    /// Takes the first message that satisfies `wanted`.
    pub(crate) fn take(&self, wanted: impl Fn(&Received) -> bool) -> Received {
        self.take_within(PATIENCE, wanted)
            .unwrap_or_else(|| panic!("not received: {:#?}", self.received.lock().unwrap()))
    }

    pub(crate) fn take_within(
        &self,
        patience: Duration,
        wanted: impl Fn(&Received) -> bool,
    ) -> Option<Received> {
        let deadline = Instant::now() + patience;
        let mut received = self.received.lock().unwrap();
        loop {
            if let Some(at) = received.iter().position(&wanted) {
                return Some(received.remove(at));
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            (received, _) = self.arrived.wait_timeout(received, left).unwrap();
        }
    }

    /// Takes the next command.
    pub(crate) fn take_rpc(&self) -> lightship::platform::RpcRequest {
        let received = self.take(is_rpc);
        let Received::Session(_, Downlink::Rpc(rpc)) = received else {
            panic!("{received:?}");
        };
        rpc
    }

    fn add(&self, received: Received) {
        self.received.lock().unwrap().push(received);
        self.arrived.notify_all();
    }
}

pub(crate) fn is_rpc(received: &Received) -> bool {
    matches!(received, Received::Session(_, Downlink::Rpc(_)))
}

impl DownlinkSink for Sink {
    fn deliver(&self, session: SessionId, downlink: Downlink) -> Result<(), Undeliverable> {
        if !self.sessions.lock().unwrap().contains(&session) {
            return Err(Undeliverable::UnknownSession(Box::new(downlink)));
        }
        if self.full.load(Relaxed) {
            return Err(Undeliverable::Full(Box::new(downlink)));
        }
        self.add(Received::Session(session, downlink));
        Ok(())
    }

    fn broadcast(&self, scope: Scope, downlink: &Downlink) {
        self.add(Received::Broadcast(scope, downlink.clone()));
    }
}

/// Waits until `condition` holds; for counters, which tell nobody that they changed.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
