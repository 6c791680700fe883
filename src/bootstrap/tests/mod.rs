//! Conversations of the machine with devices that say exactly what each test states.

mod admission;
mod limits;
mod sequence;

use std::net::SocketAddr;

use crate::{
    coap::{MessageId, MessageType, Request, encode},
    lwm2m::{
        format,
        model::{Models, core},
        node::Node,
    },
    platform::key_text::samples,
};

use super::{
    fixture::{NOSEC, PSK, PSK_OVER_NOSEC, RPK, Sample, X509, admission, admission_with},
    *,
};

/// One machine, and what became of it.
struct World {
    now: Now,
    machine: Bootstrap,
    sent: Vec<(PeerId, Message)>,
    uplinks: Vec<Uplink>,
    bound: Vec<PeerId>,
    misrouted: Vec<Bytes>,
    closed: bool,
    next_id: u16,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut BootstrapSessionSettings)) -> Self {
        let mut settings = BootstrapSessionSettings::default();
        change(&mut settings);
        let name = EndpointName::new("dev1");
        Self {
            now: Now {
                mono: start(),
                wall: UnixMillis(1_700_000_000_000),
            },
            machine: Bootstrap::new(name, Arc::new(settings), [7; 32]),
            sent: Vec::new(),
            uplinks: Vec::new(),
            bound: Vec::new(),
            misrouted: Vec::new(),
            closed: false,
            next_id: 1,
        }
    }

    /// A world whose device has been admitted and was sent its Discover.
    fn discovering(sample: Sample, peer: &Peer) -> Self {
        let mut world = Self::new();
        world.ask(peer, &["ep=dev1"]);
        world.admit(Ok(admission(sample)));
        assert_eq!(world.request(), "GET /");
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            assert!(!self.closed, "nothing follows the end: {output:?}");
            match output {
                Output::Transmit { peer, payload } => {
                    self.sent.push((peer, Message::parse(payload).unwrap()));
                }
                Output::Uplink(uplink) => self.uplinks.push(uplink),
                Output::Bind(peer) => self.bound.push(peer),
                Output::Unbind(peer) => self.bound.retain(|own| *own != peer),
                Output::Misrouted { payload, .. } => self.misrouted.push(payload),
                Output::Closed => self.closed = true,
            }
        }
    }

    /// Sends a Bootstrap-Request, and returns its datagram.
    fn ask(&mut self, peer: &Peer, query: &[&str]) -> Bytes {
        let request = Request {
            method: Code::POST,
            path: vec!["bs".to_owned()],
            query: query
                .iter()
                .map(|&parameter| parameter.to_owned())
                .collect(),
            ..Request::default()
        };
        let id = MessageId(self.next_id);
        let token = Token::new(&self.next_id.to_be_bytes()).unwrap();
        self.next_id += 1;
        let datagram = encode::request(&request, MessageType::Confirmable, id, token);
        self.receive(peer, datagram.clone());
        datagram
    }

    fn receive(&mut self, peer: &Peer, datagram: Bytes) {
        self.machine.handle_datagram(self.now, peer, datagram);
        self.drain();
    }

    /// Answers the last question.
    fn admit(&mut self, result: Result<Admission, QuestionError>) {
        let question = self.uplinks.iter().rev().find_map(|uplink| {
            if let Uplink::Question { id, .. } = uplink {
                Some(*id)
            } else {
                None
            }
        });
        let reply = Reply::Answer {
            id: question.unwrap(),
            result: result.map(|admission| Answer::Credentials(Arc::new(admission))),
        };
        self.machine.handle_reply(self.now, reply);
        self.drain();
    }

    /// Answers the last request of the server.
    fn answer(&mut self, code: Code, text: &'static str) {
        let (peer, request) = self
            .sent
            .iter()
            .rfind(|(_, message)| message.code().is_request())
            .unwrap();
        let (peer, id, token) = (*peer, request.message_id(), request.token());
        let block1 = request.block1();
        let code = match block1 {
            Some(block) if block.more => Code::CONTINUE,
            _ => code,
        };
        let response = Response {
            block1,
            content_format: (code == Code::CONTENT).then_some(ContentFormat::LINK),
            payload: Bytes::from_static(text.as_bytes()),
            ..Response::new(code)
        };
        let datagram = encode::response(&response, MessageType::Acknowledgement, id, token);
        self.now = self.now.after(Duration::from_millis(20));
        let identity = self.identity(peer);
        self.receive(&identity, datagram);
    }

    fn identity(&self, id: PeerId) -> Peer {
        self.machine
            .identity_of(id)
            .unwrap_or_else(|| peer(id.remote().port()))
    }

    /// Answers everything well, from Discover to Finish, and returns what was asked for.
    fn complete(&mut self) -> Vec<String> {
        let mut seen = vec![self.request()];
        self.answer(Code::CONTENT, "</>;lwm2m=1.1,</0/0>");
        for _ in 0..100 {
            let request = self.request();
            let end = request == "POST /bs";
            let code = if request.starts_with("DELETE") {
                Code::DELETED
            } else {
                Code::CHANGED
            };
            seen.push(request);
            self.answer(code, "");
            if end {
                return seen;
            }
        }
        panic!("no end: {seen:?}");
    }

    /// Lets time pass.
    fn run(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.advance_to(at);
            self.machine.handle_timeout(self.now);
            self.drain();
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, moment: Instant) {
        let passed = moment.saturating_duration_since(self.now.mono);
        self.now = self.now.after(passed);
    }

    fn last(&self) -> &Message {
        &self.sent.last().unwrap().1
    }

    /// Code and text of the last message.
    fn reply(&self) -> (Code, &str) {
        let message = self.last();
        (message.code(), message.diagnostic().unwrap_or_default())
    }

    /// The last message, `PUT /0/1`.
    fn request(&self) -> String {
        let message = self.last();
        let method = match message.code() {
            Code::GET => "GET",
            Code::POST => "POST",
            Code::PUT => "PUT",
            Code::DELETE => "DELETE",
            code => panic!("{code} is no request"),
        };
        assert_eq!(message.message_type(), MessageType::Confirmable);
        let path: Vec<_> = message.uri_path().collect();
        format!("{method} /{}", path.join("/"))
    }

    fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last = UnixMillis(0);
        for uplink in &self.uplinks {
            if let Uplink::Telemetry { id, readings, .. } = uplink {
                assert_eq!(*id, None);
                for readings in readings {
                    assert!(readings.ts > last, "lines never share a millisecond");
                    last = readings.ts;
                    let [(key, KeyValue::String(line))] = &readings.values[..] else {
                        panic!("{readings:?}");
                    };
                    assert_eq!(key, "transportLog");
                    lines.push(line.clone());
                }
            }
        }
        lines
    }

    fn reports(&self) -> usize {
        let is_report = |uplink: &&Uplink| matches!(uplink, Uplink::BootstrapReport { .. });
        self.uplinks.iter().filter(is_report).count()
    }

    fn questions(&self) -> Vec<&str> {
        let questions = self.uplinks.iter().filter_map(|uplink| {
            if let Uplink::Question {
                question: Question::Credentials { id },
                ..
            } = uplink
            {
                Some(id.as_str())
            } else {
                None
            }
        });
        questions.collect()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the base of virtual time"
)]
fn start() -> Instant {
    Instant::now()
}

fn peer(port: u16) -> Peer {
    secured(port, PeerIdentity::Unsecured)
}

fn secured(port: u16, identity: PeerIdentity) -> Peer {
    Peer {
        id: PeerId::Udp {
            remote: SocketAddr::from(([192, 0, 2, 1], port)),
            local: Some([198, 51, 100, 1].into()),
        },
        role: crate::platform::peer::ServerRole::Bootstrap,
        identity,
    }
}

fn psk(port: u16, identity: &str) -> Peer {
    secured(port, PeerIdentity::PreSharedKey(identity.into()))
}

const UNAUTHORIZED: (Code, &str) = (Code::BAD_REQUEST, "Unauthorized");
const NO_CONFIG: (Code, &str) = (Code::BAD_REQUEST, "no bootstrap config");
