//! A script of inputs to the exchanges of one device: datagrams of all kinds, calls of the owner, passing time.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::coap::{
    Block, Code, Event, Exchanges, IncomingId, Message, MessageId, MessageType, Request, Response,
    Token, TransmissionParameters, encode,
};

/// Runs the script that `data` is and asserts the invariants after each step.
pub(crate) fn run(data: &[u8]) {
    let mut script = Script(data);
    let mut world = World::new();
    while let Some(step) = script.next() {
        world.step(step, &mut script);
        world.drain();
        world.check();
    }
    world.end();
}

/// The bytes of the script, taken one after the other.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// The next byte; 0 at the end.
    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// The next bytes, as many as the byte before them says and there are.
    fn bytes(&mut self) -> Bytes {
        let length = usize::from(self.byte()).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Bytes::copy_from_slice(bytes)
    }

    /// The position of one of `length` items; 0 if there is none.
    fn index(&mut self, length: usize) -> usize {
        usize::from(self.byte()) % length.max(1)
    }
}

/// The exchanges, and what their owner and the device know of them.
struct World {
    exchanges: Exchanges<u8>,
    now: Instant,
    peer: u8,
    received: u64,
    /// Requests of ours without a response or failure.
    open: BTreeSet<Token>,
    /// Observations that nobody ended.
    observations: BTreeSet<Token>,
    /// Requests of the device that nobody settled.
    requests: VecDeque<IncomingId>,
    /// Confirmable notifications that nobody settled.
    notifications: VecDeque<IncomingId>,
    /// Confirmable messages of ours, for the device to answer.
    confirmables: VecDeque<(MessageId, Token)>,
    /// Datagrams of the device, for the network to repeat.
    datagrams: VecDeque<Bytes>,
    /// Whether a confirmable response or notification was sent, whose retransmission nobody but the device can end.
    responded: bool,
}

const RING: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(60);

impl World {
    fn new() -> Self {
        let parameters = TransmissionParameters {
            dedup_ring: RING,
            preferred_block_size_bytes: 16,
            max_body_bytes: 100,
            max_response_body_bytes: 100,
            body_budget_bytes: 4096,
            ..TransmissionParameters::default()
        };
        #[expect(clippy::disallowed_methods, reason = "a base to which the script adds")]
        let now = Instant::now();
        Self {
            exchanges: Exchanges::new(
                Arc::new(parameters.clone()),
                parameters.bodies(),
                [1; 32],
                [0xa0, 0x01],
            ),
            now,
            peer: 1,
            received: 0,
            open: BTreeSet::new(),
            observations: BTreeSet::new(),
            requests: VecDeque::new(),
            notifications: VecDeque::new(),
            confirmables: VecDeque::new(),
            datagrams: VecDeque::new(),
            responded: false,
        }
    }

    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let (now, peer) = (self.now, self.peer);
        match step % 24 {
            0 => {
                let datagram = script.bytes();
                self.receive(peer, datagram);
            }
            1 => {
                let (message_type, id) = Self::head(script);
                let request = Request {
                    method: Code(script.byte() & 7),
                    path: vec!["rd".to_owned()],
                    ..Self::request(script)
                };
                let token = Token::new(&[script.byte()]).unwrap_or_default();
                self.receive(peer, encode::request(&request, message_type, id, token));
            }
            2 | 3 | 18..=21 => {
                let (message_type, id) = Self::head(script);
                let token = self.token(script);
                let response = Self::response(script);
                self.receive(peer, encode::response(&response, message_type, id, token));
            }
            4 | 5 | 22 => {
                let index = script.index(self.confirmables.len());
                if let Some(&(id, token)) = self.confirmables.get(index) {
                    let answer = match script.byte() % 4 {
                        0 => encode::empty(MessageType::Acknowledgement, id),
                        1 => encode::empty(MessageType::Reset, id),
                        _ => encode::response(
                            &Self::response(script),
                            MessageType::Acknowledgement,
                            id,
                            token,
                        ),
                    };
                    self.receive(peer, answer);
                }
            }
            6 => {
                let index = script.index(self.datagrams.len());
                if let Some(datagram) = self.datagrams.get(index).cloned() {
                    self.receive(script.byte() % 4, datagram);
                }
            }
            7 => self.pass(Duration::from_millis(20) * u32::from(script.byte())),
            8 => self.pass(Duration::from_secs(2) * u32::from(script.byte())),
            9 | 10 => {
                let request = Request {
                    block1: None,
                    block2: None,
                    ..Self::request(script)
                };
                let token = if step.is_multiple_of(2) {
                    self.exchanges.observe(now, peer, &request, TIMEOUT)
                } else {
                    self.exchanges.request(now, peer, &request, TIMEOUT)
                };
                assert!(self.open.insert(token));
            }
            11 => {
                let token = self.token(script);
                let known = self.open.remove(&token) | self.observations.remove(&token);
                assert_eq!(self.exchanges.cancel(now, token), known);
            }
            12 => {
                let token = self.token(script);
                let known = self.observations.contains(&token) && self.open.insert(token);
                let request = Request::default();
                let sent = self
                    .exchanges
                    .cancel_observation(now, peer, token, &request, TIMEOUT);
                assert_eq!(sent, known);
            }
            13 => {
                if script.byte().is_multiple_of(2) {
                    self.exchanges.cancel_requests();
                } else {
                    self.exchanges.cancel_all();
                    self.observations.clear();
                }
            }
            14 => {
                if let Some(id) = self.requests.pop_front() {
                    // None of these is the right call but the last.
                    self.exchanges.acknowledge(now, id);
                    let response = Self::response(script);
                    self.exchanges.respond(now, id, &response);
                    self.exchanges.respond(now, id, &response);
                }
            }
            15 => {
                if let Some(id) = self.notifications.pop_front() {
                    self.exchanges
                        .respond(now, id, &Response::new(Code::CHANGED));
                    self.exchanges.acknowledge(now, id);
                    self.exchanges.acknowledge(now, id);
                }
            }
            16 => {
                let id = self
                    .requests
                    .pop_back()
                    .or_else(|| self.notifications.pop_back());
                if let Some(id) = id {
                    self.exchanges.ignore(id);
                }
            }
            _ => {
                if script.byte().is_multiple_of(2) {
                    self.peer = script.byte() % 4;
                    self.exchanges.rebind(self.peer);
                } else {
                    let confirmable = script.byte().is_multiple_of(2);
                    let token = Token::new(&[script.byte()]).unwrap_or_default();
                    self.exchanges
                        .notify(now, peer, token, &Self::response(script), confirmable);
                }
            }
        }
    }

    /// The type and id of a message of the device; few ids, so that they recur.
    fn head(script: &mut Script<'_>) -> (MessageType, MessageId) {
        let byte = script.byte();
        (
            MessageType::from_bits(byte & 1),
            MessageId(u16::from(byte >> 1) & 0x1f),
        )
    }

    fn request(script: &mut Script<'_>) -> Request {
        let byte = script.byte();
        Request {
            block1: (byte & 1 == 1).then(|| Self::block(script)),
            block2: (byte & 2 == 2).then(|| Self::block(script)),
            payload: Self::payload(byte >> 2, script),
            ..Request::default()
        }
    }

    fn response(script: &mut Script<'_>) -> Response {
        let byte = script.byte();
        Response {
            observe: (byte & 1 == 1).then(|| u32::from(script.byte())),
            payload: Self::payload(byte >> 6, script),
            block1: (byte & 32 == 32).then(|| Self::block(script)),
            block2: (byte & 16 == 16).then(|| Self::block(script)),
            ..Response::new(match byte >> 1 & 7 {
                0..=2 => Code::CONTENT,
                3 => Code::CHANGED,
                4 => Code::CONTINUE,
                5 => Code::REQUEST_ENTITY_INCOMPLETE,
                6 => Code::REQUEST_ENTITY_TOO_LARGE,
                _ => Code::NOT_FOUND,
            })
        }
    }

    /// A block option with low numbers and sizes, so that blocks fit together now and then.
    fn block(script: &mut Script<'_>) -> Block {
        let byte = script.byte();
        Block {
            number: u32::from(byte >> 3 & 7),
            more: byte & 1 == 1,
            szx: match byte >> 6 {
                0 | 1 => 0,
                2 => 1,
                _ => 7,
            },
        }
    }

    /// Nothing, a byte, one block, or as many bytes as the script says.
    fn payload(kind: u8, script: &mut Script<'_>) -> Bytes {
        let length = match kind & 3 {
            0 => 0,
            1 => 1,
            2 => 16,
            _ => usize::from(script.byte() & 0x7f),
        };
        vec![b'1'; length].into()
    }

    /// A token that means something, or one that does not.
    fn token(&self, script: &mut Script<'_>) -> Token {
        let tokens = || self.open.iter().chain(&self.observations);
        let index = script.index(tokens().count() + 1);
        tokens().nth(index).copied().unwrap_or_default()
    }

    fn receive(&mut self, peer: u8, datagram: Bytes) {
        self.received += 1;
        self.datagrams.push_front(datagram.clone());
        self.datagrams.truncate(16);
        self.exchanges.handle_datagram(self.now, peer, datagram);
    }

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
        self.exchanges.handle_timeout(self.now);
    }

    fn drain(&mut self) {
        while let Some((_, datagram)) = self.exchanges.poll_transmit() {
            let message = Message::parse(datagram).expect("what is sent is well-formed");
            if message.message_type() == MessageType::Confirmable {
                self.responded |= message.code().is_response();
                self.confirmables
                    .push_front((message.message_id(), message.token()));
                self.confirmables.truncate(16);
            }
        }
        while let Some(event) = self.exchanges.poll_event() {
            match event {
                Event::Request { id, message, .. } => {
                    assert!(message.code().is_request());
                    self.requests.push_back(id);
                }
                Event::Response {
                    token,
                    observing,
                    deferred,
                    ..
                } => {
                    assert!(self.open.remove(&token), "one end for each request");
                    self.observations.remove(&token);
                    if observing {
                        self.observations.insert(token);
                    }
                    self.notifications.extend(deferred);
                }
                Event::Notification {
                    token,
                    deferred,
                    ended,
                    ..
                } => {
                    assert!(self.observations.contains(&token));
                    if ended {
                        self.observations.remove(&token);
                    }
                    self.notifications.extend(deferred);
                }
                Event::Acknowledged { token } => assert!(self.open.contains(&token)),
                Event::Failed { token, .. } => {
                    assert!(self.open.remove(&token), "one end for each request")
                }
                Event::NotificationAcknowledged { .. } => assert!(self.responded),
                Event::NotificationFailed { .. } => {}
            }
        }
    }

    fn check(&self) {
        assert!(self.exchanges.remembered_messages() <= RING);
        // The rest of a notification is fetched without the owner's knowledge.
        assert!(self.exchanges.open_requests() <= self.open.len() + self.observations.len());
        assert_eq!(self.exchanges.observations(), self.observations.len());
        assert_eq!(self.exchanges.stats().received, self.received);
        let timer = self.exchanges.poll_timeout();
        if !self.open.is_empty() {
            assert!(timer.is_some(), "an open request ends some time");
        } else if self.requests.is_empty() && self.observations.is_empty() && !self.responded {
            assert_eq!(timer, None, "a timer, and nothing is open");
        }
    }

    /// Whatever happened, everything ends.
    fn end(mut self) {
        self.exchanges.cancel_all();
        self.observations.clear();
        self.drain();
        assert!(self.open.is_empty());
        while let Some(due) = self.exchanges.poll_timeout() {
            let before = self.exchanges.stats();
            self.now = self.now.max(due);
            self.exchanges.handle_timeout(self.now);
            let after = self.exchanges.stats();
            assert!(
                after.sent > before.sent || after.timeouts > before.timeouts,
                "a timeout does something"
            );
            self.drain();
        }
        assert_eq!(self.exchanges.open_requests(), 0);
    }
}
