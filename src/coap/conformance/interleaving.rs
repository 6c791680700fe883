//! Requests, observations and a device that keeps to nothing, in random order: every request ends once, no body is mixed,
//! nothing is left behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::coap::{
    Block, Bodies, Code, Event, Exchanges, Message, MessageId, MessageType, Random, Request,
    Response, Token, TransmissionParameters, encode,
    test_support::{read, start},
};

/// A body that shows if it was mixed: its bytes are all alike, and say how many there are.
fn body(version: u8) -> Bytes {
    vec![version; usize::from(version) * 40 + 1].into()
}

fn assert_whole(payload: &[u8]) {
    let version = payload.first().copied().unwrap_or_default();
    assert!(*payload == *body(version), "mixed, or a part: {version}");
}

/// The server under test, its owner, and the device.
struct Play {
    now: Instant,
    random: Random,
    exchanges: Exchanges<u8>,
    bodies: Bodies,
    /// Requests that have not ended.
    pending: BTreeMap<Token, Kind>,
    observing: BTreeSet<Token>,
    /// Bodies of more than one block that arrived whole: read, notified, written.
    whole: [u32; 3],
    device: Device,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Observe,
    Cancel,
}

#[derive(Default)]
struct Device {
    /// Of what is read.
    version: u8,
    uploads: BTreeMap<String, Vec<u8>>,
    relations: BTreeSet<Token>,
    next_id: u16,
    observe: u32,
    /// On their way to the server, in no order.
    under_way: Vec<Bytes>,
    /// How little it keeps to the protocol, and the network to its datagrams: 0 to 3.
    mischief: u64,
}

impl Play {
    fn new(seed: u8) -> Self {
        let parameters = TransmissionParameters {
            preferred_block_size_bytes: if seed.is_multiple_of(2) { 1024 } else { 64 },
            ..TransmissionParameters::default()
        };
        let bodies = parameters.bodies();
        Self {
            now: start(),
            random: Random::from_seed([seed; 32]),
            exchanges: Exchanges::new(Arc::new(parameters), bodies.clone(), [seed; 32], [1, 2]),
            bodies,
            pending: BTreeMap::new(),
            observing: BTreeSet::new(),
            whole: [0; 3],
            device: Device {
                version: 1,
                mischief: u64::from(seed % 4),
                ..Device::default()
            },
        }
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.random.uniform(0..=99) < percent
    }

    /// Whether something goes wrong that does so in these percent of all cases where the device is at its worst.
    fn goes_wrong(&mut self, percent: u64) -> bool {
        self.random.uniform(0..=299) < percent * self.device.mischief
    }

    fn step(&mut self) {
        match self.random.uniform(0..=9) {
            0..=1 => self.ask(),
            2..=6 => self.deliver(),
            7 if self.percent(50) => self.notify(),
            7 => self.deliver(),
            8 => {
                let pause = Duration::from_millis(self.random.uniform(1..=4000));
                self.pass(pause);
            }
            _ if self.percent(20) => {
                let tokens: Vec<_> = self
                    .pending
                    .keys()
                    .chain(&self.observing)
                    .copied()
                    .collect();
                let index = self.random.uniform(0..=tokens.len() as u64) as usize;
                if let Some(token) = tokens.get(index) {
                    self.exchanges.cancel(self.now, *token);
                    self.pending.remove(token);
                    self.observing.remove(token);
                }
            }
            _ if self.percent(30) => self.device.version = self.random.uniform(1..=70) as u8,
            _ => {}
        }
        self.settle();
    }

    fn pass(&mut self, pause: Duration) {
        let end = self.now + pause;
        while let Some(due) = self.exchanges.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.exchanges.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// The owner asks for something if NSTART admits it.
    fn ask(&mut self) {
        if self.exchanges.open_requests() > 0 || self.pending.len() > 4 {
            return;
        }
        let (now, timeout) = (self.now, Duration::from_secs(120));
        let (token, kind) = match self.random.uniform(0..=4) {
            0 => {
                let write = Request {
                    method: Code::PUT,
                    payload: body(self.random.uniform(1..=70) as u8),
                    ..read("/5/0/0")
                };
                let token = self.exchanges.request(now, 1, &write, timeout);
                (token, Kind::Plain)
            }
            1 => {
                let token = self.exchanges.observe(now, 1, &read("/3/0"), timeout);
                (token, Kind::Observe)
            }
            2 if self.percent(20) => {
                let Some(&token) = self.observing.first() else {
                    return;
                };
                let request = read("/3/0");
                let exchanges = &mut self.exchanges;
                if !exchanges.cancel_observation(now, 1, token, &request, timeout) {
                    return;
                }
                (token, Kind::Cancel)
            }
            _ => {
                let token = self.exchanges.request(now, 1, &read("/3/0"), timeout);
                (token, Kind::Plain)
            }
        };
        assert!(
            self.pending.insert(token, kind).is_none(),
            "a token of its own"
        );
    }

    /// Something arrives, perhaps twice.
    fn deliver(&mut self) {
        let waiting = self.device.under_way.len() as u64;
        if waiting == 0 {
            return;
        }
        let index = self.random.uniform(0..=waiting - 1) as usize;
        let datagram = self.device.under_way.swap_remove(index);
        if self.goes_wrong(15) {
            self.device.under_way.push(datagram.clone());
        }
        self.exchanges.handle_datagram(self.now, 1, datagram);
    }

    fn notify(&mut self) {
        let tokens: Vec<_> = self.device.relations.iter().copied().collect();
        let last = (tokens.len() as u64).saturating_sub(1);
        let Some(&token) = tokens.get(self.random.uniform(0..=last) as usize) else {
            return;
        };
        self.device.observe += 1;
        let mut notification = self.device.block_of(Block::with_szx(6), 6);
        notification.observe = Some(self.device.observe);
        if self.percent(3) {
            self.device.relations.remove(&token);
            notification = Response::new(Code::NOT_FOUND);
        }
        let message_type = if self.percent(50) {
            MessageType::Confirmable
        } else {
            MessageType::NonConfirmable
        };
        self.device.send(message_type, token, &notification);
    }

    /// Carries to the device what is sent, and to the owner what happens.
    fn settle(&mut self) {
        while let Some((_, datagram)) = self.exchanges.poll_transmit() {
            let message = Message::parse(datagram).unwrap();
            if message.code().is_request() && !self.goes_wrong(15) {
                self.take(&message);
            }
        }
        while let Some(event) = self.exchanges.poll_event() {
            match event {
                Event::Response {
                    token,
                    message,
                    observing,
                    deferred,
                } => {
                    let kind = self.pending.remove(&token).expect("it was pending");
                    if kind == Kind::Cancel {
                        self.observing.remove(&token);
                    } else if message.code() == Code::CONTENT {
                        assert_whole(&message.payload());
                        self.whole[0] += u32::from(message.block2().is_some_and(|own| own.more));
                    } else if message.code() == Code::CHANGED {
                        self.whole[2] +=
                            u32::from(message.block1().is_some_and(|own| own.number > 0));
                    }
                    assert!(!observing || kind == Kind::Observe);
                    if observing {
                        self.observing.insert(token);
                    }
                    if let Some(id) = deferred {
                        self.exchanges.acknowledge(self.now, id);
                    }
                }
                Event::Failed { token, .. } => {
                    assert!(self.pending.remove(&token).is_some(), "it was pending");
                }
                Event::Notification {
                    token,
                    message,
                    deferred,
                    ended,
                    ..
                } => {
                    assert!(self.observing.contains(&token), "it was observed");
                    if ended {
                        self.observing.remove(&token);
                    } else {
                        assert_whole(&message.payload());
                        self.whole[1] += u32::from(message.block2().is_some_and(|own| own.more));
                    }
                    if let Some(id) = deferred {
                        self.exchanges.acknowledge(self.now, id);
                    }
                }
                Event::Acknowledged { .. } => {}
                Event::Request { .. }
                | Event::NotificationAcknowledged { .. }
                | Event::NotificationFailed { .. } => panic!("{event:?}"),
            }
        }
        assert_eq!(self.exchanges.observations(), self.observing.len());
    }

    /// The device takes a request, and keeps to the protocol or not.
    fn take(&mut self, request: &Message) {
        let mischief = if self.goes_wrong(20) {
            self.random.uniform(0..=17)
        } else {
            99
        };
        let szx = [6, 5, 2][self.random.uniform(0..=2) as usize];
        let (block1, token) = (request.block1(), request.token());
        let mut response = match mischief {
            0..=1 => {
                let reset = encode::empty(MessageType::Reset, request.message_id());
                return self.device.under_way.push(reset);
            }
            2..=3 => Response::new(Code::REQUEST_ENTITY_INCOMPLETE),
            4..=5 => Response {
                block1: Some(Block::with_szx(3)),
                ..Response::new(Code::REQUEST_ENTITY_TOO_LARGE)
            },
            6..=8 => Response::new(Code::CONTINUE),
            // The first block again, whatever was asked for.
            9..=14 if request.code() != Code::PUT => self.device.block_of(Block::with_szx(6), szx),
            15..=17 => Response {
                echo: Some(Bytes::from_static(b"echo")),
                ..Response::new(Code::UNAUTHORIZED)
            },
            _ if request.code() == Code::PUT => self.device.write(request),
            _ => self
                .device
                .block_of(request.block2().unwrap_or(Block::with_szx(6)), szx),
        };
        if response.code == Code::CONTENT {
            match request.observe() {
                Some(0) => {
                    self.device.observe += 1;
                    response.observe = Some(self.device.observe);
                    self.device.relations.insert(token);
                }
                Some(_) => {
                    self.device.relations.remove(&token);
                }
                None => {}
            }
        } else if response.block1.is_none() && mischief > 8 {
            response.block1 = block1;
        }
        let id = request.message_id();
        if self.goes_wrong(30) {
            let acknowledgement = encode::empty(MessageType::Acknowledgement, id);
            self.device.under_way.push(acknowledgement);
            // Separately, and perhaps under two message ids.
            for _ in 0..self.random.uniform(1..=2) {
                self.device
                    .send(MessageType::NonConfirmable, token, &response);
            }
        } else if !self.goes_wrong(15) {
            let answer = encode::response(&response, MessageType::Acknowledgement, id, token);
            self.device.under_way.push(answer);
        }
    }
}

impl Device {
    fn send(&mut self, message_type: MessageType, token: Token, response: &Response) {
        self.next_id = self.next_id.wrapping_add(1);
        let id = MessageId(self.next_id);
        self.under_way
            .push(encode::response(response, message_type, id, token));
    }

    /// A block of what is read, of the size asked for or a smaller one.
    fn block_of(&self, asked: Block, szx: u8) -> Response {
        let (body, szx) = (body(self.version), szx.min(asked.szx));
        let block = Block {
            number: (asked.offset() / Block::with_szx(szx).size()) as u32,
            more: false,
            szx,
        };
        let begin = block.offset().min(body.len());
        let end = body.len().min(begin + block.size());
        Response {
            block2: Some(Block {
                more: end < body.len(),
                ..block
            }),
            etag: Some(Bytes::copy_from_slice(&[self.version])),
            payload: body.slice(begin..end),
            ..Response::new(Code::CONTENT)
        }
    }

    fn write(&mut self, request: &Message) -> Response {
        let path: Vec<_> = request.uri_path().collect();
        let upload = self.uploads.entry(path.join("/")).or_default();
        let Some(block) = request.block1() else {
            assert_whole(&request.payload());
            return Response::new(Code::CHANGED);
        };
        if block.number == 0 {
            upload.clear();
        }
        if upload.len() != block.offset() {
            return Response::new(Code::REQUEST_ENTITY_INCOMPLETE);
        }
        upload.extend_from_slice(&request.payload());
        if block.more {
            return Response::new(Code::CONTINUE);
        }
        assert_whole(upload);
        Response::new(Code::CHANGED)
    }
}

#[test]
fn whatever_a_device_does_requests_end_once_and_bodies_are_whole() {
    let mut whole = [0; 3];
    for seed in 0..20 {
        let mut play = Play::new(seed);
        for _ in 0..2000 {
            play.step();
        }
        play.device.mischief = 0;
        play.device.under_way.clear();
        for _ in 0..100 {
            play.pass(Duration::from_secs(20));
            while !play.device.under_way.is_empty() {
                play.deliver();
                play.settle();
            }
        }
        assert!(play.pending.is_empty(), "{seed}: a request without end");
        assert_eq!(play.exchanges.open_requests(), 0, "{seed}");
        assert_eq!(play.exchanges.poll_timeout(), None, "{seed}");
        assert_eq!(play.bodies.used(), 0, "{seed}");
        for (sum, own) in whole.iter_mut().zip(play.whole) {
            *sum += own;
        }
    }
    assert!(whole.iter().all(|&count| count > 20), "{whole:?}");
}
