//! What the tests of this folder share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Event, Exchanges, IncomingId, Message, MessageId, Request, Response, Token,
    TransmissionParameters,
};

/// A base to which tests add.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant cannot be made from a number"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// The bytes that a text such as `40 00 ab` names.
pub(super) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

/// The text that names bytes: lower-case pairs, separated by blanks.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(" ")
}

/// The exchanges of one device at address [`Scene::DEVICE`], and a clock.
pub(super) struct Scene {
    pub(super) exchanges: Exchanges<u8>,
    pub(super) now: Instant,
}

impl Scene {
    /// The device's address.
    pub(super) const DEVICE: u8 = 1;
    /// How long requests of tests may take.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(120);

    pub(super) fn new() -> Self {
        Self::with(TransmissionParameters::default())
    }

    pub(super) fn with(parameters: TransmissionParameters) -> Self {
        Self {
            exchanges: Exchanges::new(
                Arc::new(parameters.clone()),
                parameters.bodies(),
                [5; 32],
                [0xa0, 0x01],
            ),
            now: start(),
        }
    }

    /// Receives a datagram from the device.
    pub(super) fn receive(&mut self, datagram: &str) {
        self.receive_from(Self::DEVICE, datagram);
    }

    pub(super) fn receive_from(&mut self, peer: u8, datagram: &str) {
        self.exchanges
            .handle_datagram(self.now, peer, hex(datagram).into());
    }

    /// All datagrams sent since the last call, in hexadecimal, with their target.
    pub(super) fn sent_to(&mut self) -> Vec<(u8, String)> {
        std::iter::from_fn(|| self.exchanges.poll_transmit())
            .map(|(peer, datagram)| (peer, to_hex(&datagram)))
            .collect()
    }

    /// The same, all of them to the device.
    pub(super) fn sent(&mut self) -> Vec<String> {
        let sent = self.sent_to();
        assert!(sent.iter().all(|&(peer, _)| peer == Self::DEVICE));
        sent.into_iter().map(|(_, datagram)| datagram).collect()
    }

    pub(super) fn events(&mut self) -> Vec<Event<u8>> {
        std::iter::from_fn(|| self.exchanges.poll_event()).collect()
    }

    /// The only event since the last call.
    pub(super) fn event(&mut self) -> Event<u8> {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// Asserts that nothing was sent and nothing happened.
    pub(super) fn assert_silent(&mut self) {
        assert_eq!(self.sent_to(), []);
        assert!(self.events().is_empty());
    }

    /// The id of the only request received.
    pub(super) fn incoming(&mut self) -> IncomingId {
        let Event::Request { id, .. } = self.event() else {
            panic!("no request");
        };
        id
    }

    /// Lets time pass, with all timeouts on the way.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.exchanges.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.exchanges.handle_timeout(self.now);
        }
        self.now = end;
    }

    /// Sends `GET /3/0`; its token and message id.
    pub(super) fn get(&mut self) -> (Token, MessageId) {
        let token = self
            .exchanges
            .request(self.now, Self::DEVICE, &read("/3/0"), Self::TIMEOUT);
        (token, self.sent_message().message_id())
    }

    /// Observes `/3/0` with the answer of the device carrying this Observe value; the token.
    pub(super) fn observe(&mut self, value: &str) -> Token {
        let token = self
            .exchanges
            .observe(self.now, Self::DEVICE, &read("/3/0"), Self::TIMEOUT);
        let id = self.sent_message().message_id().0;
        self.receive(&format!("68 45 {id:04x} {token} {value}"));
        assert!(matches!(
            self.event(),
            Event::Response {
                observing: true,
                ..
            }
        ));
        token
    }

    /// The only message sent since the last call.
    pub(super) fn sent_message(&mut self) -> Message {
        let sent = self.sent();
        assert_eq!(sent.len(), 1);
        Message::parse(hex(&sent[0]).into()).unwrap()
    }
}

/// A request that reads a path.
pub(super) fn read(path: &str) -> Request {
    Request {
        path: path.split('/').skip(1).map(str::to_owned).collect(),
        ..Request::default()
    }
}

/// The request that a message is, read by its getters.
pub(super) fn request_of(message: &Message) -> Request {
    Request {
        method: message.code(),
        path: message.uri_path().map(str::to_owned).collect(),
        query: message.uri_query().map(str::to_owned).collect(),
        observe: message.observe(),
        content_format: message.content_format(),
        accept: message.accept(),
        block1: message.block1(),
        block2: message.block2(),
        size1: message.size1(),
        echo: message.echo().map(Bytes::copy_from_slice),
        payload: message.payload(),
    }
}

/// The response that a message is, read by its getters.
pub(super) fn response_of(message: &Message) -> Response {
    Response {
        code: message.code(),
        observe: message.observe(),
        content_format: message.content_format(),
        location_path: message.location_path().map(str::to_owned).collect(),
        max_age: message.max_age(),
        block1: message.block1(),
        block2: message.block2(),
        size1: message.size1(),
        size2: message.size2(),
        etag: message.etag().map(Bytes::copy_from_slice),
        echo: message.echo().map(Bytes::copy_from_slice),
        payload: message.payload(),
    }
}
