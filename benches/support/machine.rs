//! Datagrams through the state machines: the message layer of one device, and the whole endpoint.
//!
//! Each datagram is copied from a buffer first, one allocation, as it is from that of the socket.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    coap::{
        Code, ContentFormat, Event, Exchanges, Message, MessageId, MessageType, Request, Response,
        Token, TransmissionParameters, encode,
    },
    endpoint::{Endpoint, EndpointName, EndpointSettings, Output},
    platform::{
        Answer, DeviceInfo, PlatformId, Question, QuestionError, Reply, Uplink,
        credentials::{Admission, ClientCredentials},
        peer::{Peer, PeerId, PeerIdentity, ServerRole},
        profile::{DeviceProfile, PowerSettings},
        time::{Now, UnixMillis},
    },
};
use uuid::Uuid;

use super::Contest;

pub(super) fn contests() -> [Contest; 4] {
    let contest = |subject, work, run| {
        Contest::new(subject, work, 1, Box::new(run) as super::Run, Vec::new())
    };
    [
        contest("CON POST", "answer 2.04", {
            let mut machine = Layer::new();
            let mut datagrams = Numbered::new(&post(&["rd", "0123456789"], 0));
            Box::new(move || machine.answer(datagrams.next())) as super::Run
        }),
        contest("CON POST again", "answer 2.04", {
            let mut machine = Layer::new();
            let datagram = post(&["rd", "0123456789"], 1);
            machine.answer(datagram.clone());
            Box::new(move || {
                machine.handle(Bytes::copy_from_slice(&datagram));
                assert!(machine.exchanges.poll_event().is_none());
                machine.sent();
            })
        }),
        contest("CON notification", "ACK, deferred", {
            let mut machine = Layer::new();
            let mut datagrams = machine.observe();
            Box::new(move || machine.acknowledge(datagrams.next()))
        }),
        contest("Update, whole endpoint", "answer 2.04", {
            let mut registered = Registered::new();
            Box::new(move || registered.update())
        }),
    ]
}

/// A confirmable POST without payload.
pub(super) fn post(path: &[&str], id: u16) -> Bytes {
    let request = Request {
        method: Code::POST,
        path: path.iter().copied().map(str::to_owned).collect(),
        ..Request::default()
    };
    let token = Token::from([1, 2, 3, 4, 5, 6, 7, 8]);
    encode::request(&request, MessageType::Confirmable, MessageId(id), token)
}

/// Copies of one message with ascending message ids.
struct Numbered {
    buffer: Vec<u8>,
    id: u16,
}

impl Numbered {
    fn new(datagram: &[u8]) -> Self {
        Self {
            buffer: datagram.to_vec(),
            id: 0,
        }
    }

    fn next(&mut self) -> Bytes {
        self.id = self.id.wrapping_add(1);
        self.buffer[2..4].copy_from_slice(&self.id.to_be_bytes());
        Bytes::copy_from_slice(&self.buffer)
    }
}

/// The message layer of one device.
struct Layer {
    exchanges: Exchanges<u8>,
    now: Instant,
}

impl Layer {
    fn new() -> Self {
        let parameters = TransmissionParameters::default();
        let bodies = parameters.bodies();
        Self {
            exchanges: Exchanges::new(Arc::new(parameters), bodies, [7; 32], [0, 0]),
            now: Instant::now(),
        }
    }

    fn handle(&mut self, datagram: Bytes) {
        self.exchanges.handle_datagram(self.now, 1, datagram);
    }

    /// The one datagram that is to be sent.
    fn sent(&mut self) -> Bytes {
        let (_, datagram) = self.exchanges.poll_transmit().unwrap();
        assert!(self.exchanges.poll_transmit().is_none());
        datagram
    }

    fn answer(&mut self, datagram: Bytes) {
        self.handle(datagram);
        let Some(Event::Request { id, .. }) = self.exchanges.poll_event() else {
            panic!("no request");
        };
        let response = Response::new(Code::CHANGED);
        self.exchanges.respond(self.now, id, &response);
        self.sent();
    }

    /// Begins an observation; its notifications. All have one sequence number, each comes when the last is too old to
    /// be compared with (RFC 7641 section 3.4).
    fn observe(&mut self) -> Numbered {
        let read = Request {
            path: vec!["3303".to_owned()],
            ..Request::default()
        };
        let timeout = Duration::from_secs(60);
        let token = self.exchanges.observe(self.now, 1, &read, timeout);
        let request = Message::parse(self.sent()).unwrap();
        let content = Response {
            observe: Some(7),
            content_format: Some(ContentFormat::SENML_JSON),
            payload: Bytes::from_static(br#"[{"bn":"/3303/0/5700","v":21.5}]"#),
            ..Response::new(Code::CONTENT)
        };
        let id = request.message_id();
        let first = encode::response(&content, MessageType::Acknowledgement, id, token);
        self.handle(first);
        assert!(matches!(
            self.exchanges.poll_event(),
            Some(Event::Response {
                observing: true,
                ..
            })
        ));
        let confirmable = MessageType::Confirmable;
        Numbered::new(&encode::response(&content, confirmable, id, token))
    }

    fn acknowledge(&mut self, datagram: Bytes) {
        self.now += Duration::from_secs(129);
        self.handle(datagram);
        let Some(Event::Notification {
            deferred: Some(id),
            fresh: true,
            ..
        }) = self.exchanges.poll_event()
        else {
            panic!("no notification");
        };
        assert!(self.exchanges.poll_transmit().is_none());
        self.exchanges.acknowledge(self.now, id);
        self.sent();
    }
}

/// A registered endpoint and the Updates of its device.
struct Registered {
    endpoint: Endpoint,
    peer: Peer,
    now: Now,
    updates: Numbered,
}

impl Registered {
    fn new() -> Self {
        let register = Request {
            method: Code::POST,
            path: vec!["rd".to_owned()],
            query: ["ep=bench", "lt=300", "lwm2m=1.1", "b=U"]
                .map(str::to_owned)
                .to_vec(),
            content_format: Some(ContentFormat::LINK),
            payload: Bytes::from_static(b"</>;rt=\"oma.lwm2m\",</1/0>,</3/0>,</3303/0>"),
            ..Request::default()
        };
        let token = Token::from([1; 8]);
        let register = encode::request(&register, MessageType::Confirmable, MessageId(0), token);
        let name = EndpointName::new("bench");
        let mut own = Self {
            endpoint: Endpoint::new(name, Arc::new(EndpointSettings::default()), [9; 32]),
            peer: Peer {
                id: PeerId::Udp {
                    remote: ([192, 0, 2, 1], 5683).into(),
                    local: None,
                },
                role: ServerRole::Lwm2m,
                identity: PeerIdentity::Unsecured,
            },
            now: Now {
                mono: Instant::now(),
                wall: UnixMillis(1_700_000_000_000),
            },
            updates: Numbered::new(&[]),
        };
        own.endpoint.handle_datagram(own.now, &own.peer, register);
        let created = own.sent();
        let path: Vec<_> = created.location_path().collect();
        own.updates = Numbered::new(&post(&path, 0));
        own
    }

    fn update(&mut self) {
        let datagram = self.updates.next();
        self.endpoint
            .handle_datagram(self.now, &self.peer, datagram);
        assert_eq!(self.sent().code(), Code::CHANGED);
    }

    /// Does what the endpoint asks for; the one message it sends.
    fn sent(&mut self) -> Message {
        let mut sent = None;
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Transmit { payload, .. } => sent = Some(payload),
                Output::Uplink(Uplink::Question { id, question }) => {
                    let result = match question {
                        Question::Credentials { .. } => Ok(Answer::Credentials(admission())),
                        Question::Models { .. } => Ok(Answer::Models(Vec::new())),
                        Question::Package { .. } | Question::PackageBytes(_) => {
                            Err(QuestionError::NotFound)
                        }
                    };
                    self.endpoint
                        .handle_reply(self.now, Reply::Answer { id, result });
                }
                _ => {}
            }
        }
        Message::parse(sent.unwrap()).unwrap()
    }
}

fn admission() -> Arc<Admission> {
    let id = |number| PlatformId(Uuid::from_u128(number));
    Arc::new(Admission {
        device: Arc::new(DeviceInfo {
            tenant: id(1),
            customer: PlatformId::NULL,
            device: id(2),
            profile: id(3),
            name: "Device 1".to_owned(),
            kind: "profile".to_owned(),
        }),
        client: ClientCredentials::NoSec {
            endpoint: "bench".to_owned(),
        },
        bootstrap: None,
        profile: Arc::new(DeviceProfile::default()),
        power: PowerSettings::default(),
    })
}
