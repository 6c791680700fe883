//! The client's side of one association: for the simulated device and for tests.
//!
//! A state machine like the server's, with the same records, keys and messages and a handshake of its own (`handshake`).
//! Servers are known by their public key, as LwM2M devices know them; no path is validated.

mod handshake;

use std::{
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use self::handshake::Handshake;
use super::{
    alert::{self, Alert, CLOSE_NOTIFY},
    channel::{Channel, Opened},
    cid::Cid,
    config::Config,
    credentials::Credentials,
    event::SendError,
    flight::Unanswered,
    keys::PreSharedKey,
    random::Random,
    record::{ALERT, APPLICATION_DATA, HANDSHAKE, Record},
    suite::CipherSuite,
};

/// What a client offers, and who it is.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The suites offered, in this order.
    pub suites: Vec<CipherSuite>,
    /// How it proves who it is.
    pub credential: ClientCredential,
    /// The server's public key (DER SubjectPublicKeyInfo); `None`: any.
    pub server_spki: Option<Vec<u8>>,
    /// The connection id that it wants on records to it, of at most 32 bytes; `None`: connection ids are not offered.
    pub connection_id: Option<Vec<u8>>,
    /// RFC 7627
    pub extended_master_secret: bool,
    /// RFC 7366
    pub encrypt_then_mac: bool,
    /// RFC 6066: 1 to 4 for 512 to 4096 bytes.
    pub max_fragment_length: Option<u8>,
    /// RFC 8449
    pub record_size_limit: Option<u16>,
    /// Bytes of a datagram at most.
    pub mtu: usize,
    /// From a flight to its first retransmission; doubled each time, up to 60 s.
    pub retransmission_timeout: Duration,
    /// How often a flight is sent again.
    pub max_retransmissions: u32,
}

impl ClientConfig {
    /// What a modern client offers.
    pub fn new(suites: Vec<CipherSuite>, credential: ClientCredential) -> Self {
        let server = Config::default();
        Self {
            suites,
            credential,
            server_spki: None,
            connection_id: Some(Vec::new()),
            extended_master_secret: true,
            encrypt_then_mac: true,
            max_fragment_length: None,
            record_size_limit: None,
            mtu: server.mtu,
            retransmission_timeout: server.retransmission_timeout,
            max_retransmissions: server.max_retransmissions,
        }
    }
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum ClientCredential {
    /// A key with its identity.
    PreSharedKey {
        /// The identity.
        identity: Vec<u8>,
        /// The key.
        key: PreSharedKey,
    },
    /// A key whose public half the server knows.
    RawPublicKey(Arc<Credentials>),
    /// A key with a certificate.
    Certificate(Arc<Credentials>),
}

/// What the owner of a [`Client`] must do, or should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientOutput {
    /// Send a datagram to the server.
    Transmit(Bytes),
    /// The handshake is complete.
    Established {
        /// The suite.
        suite: CipherSuite,
        /// Whether records to the server carry a connection id.
        has_connection_id: bool,
        /// Whether the master secret is bound to the handshake.
        extended_master_secret: bool,
    },
    /// Application data, from one record.
    Data(Bytes),
    /// The association, or the handshake, is over.
    Closed(ClientEnd),
}

/// Why a client is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientEnd {
    /// [`Client::close`] was called.
    Local,
    /// The server closed the association.
    ByServer,
    /// The server sent this fatal alert.
    Alert(u8),
    /// What the server sent is refused.
    Refused(Alert),
    /// The server did not answer in time.
    Timeout,
}

/// The client's side of one association, from its handshake on.
///
/// After every input drain [`Self::poll_output`] to `None`, then arm one timer for [`Self::poll_timeout`].
pub struct Client {
    config: Arc<ClientConfig>,
    random: Box<dyn Random>,
    channel: Channel,
    state: State,
    outputs: VecDeque<ClientOutput>,
}

#[derive(Debug)]
enum State {
    Handshake(Box<Handshake>),
    Established,
    Closed,
}

impl Client {
    /// Begins a handshake.
    pub fn new(now: Instant, config: Arc<ClientConfig>, mut random: Box<dyn Random>) -> Self {
        let mut channel = Channel::new(0);
        let handshake = Handshake::new(now, &config, &mut *random);
        let outputs = handshake.transmit(&mut channel, &config, &mut *random);
        Self {
            config,
            random,
            channel,
            state: State::Handshake(Box::new(handshake)),
            outputs: outputs.into(),
        }
    }

    /// Takes one datagram of the server and decrypts it in place.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        let own_cid = self.config.connection_id.as_ref().map_or(0, Vec::len);
        let mut rest = datagram;
        while !rest.is_empty() {
            let Ok((record, more)) = Record::split_first(rest, own_cid) else {
                return;
            };
            match record.header.epoch {
                0 => self.handle_plain(now, &record),
                _ => self.handle_protected(now, record),
            }
            rest = more;
        }
    }

    /// What the world must do, or should know.
    pub fn poll_output(&mut self) -> Option<ClientOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Handshake(handshake) => handshake.retransmission.due,
            State::Established | State::Closed => None,
        }
    }

    /// Does what is due: sends a flight again, or gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let State::Handshake(handshake) = &mut self.state else {
            return;
        };
        match handshake
            .retransmission
            .handle_timeout(now, self.config.max_retransmissions)
        {
            Unanswered::Nothing => {}
            Unanswered::SendAgain => {
                self.outputs.extend(handshake.transmit(
                    &mut self.channel,
                    &self.config,
                    &mut *self.random,
                ));
            }
            Unanswered::GiveUp => self.end(ClientEnd::Timeout),
        }
    }

    /// Sends application data in one record.
    ///
    /// # Errors
    /// There is no association, or the data is too large.
    pub fn send(&mut self, payload: &[u8]) -> Result<(), SendError> {
        if !self.is_established() {
            return Err(SendError::Closed);
        }
        let room = self.config.mtu.saturating_sub(self.channel.overhead(1));
        let max = self.channel.max_content().min(room);
        if payload.len() > max {
            return Err(SendError::TooLarge { max });
        }
        if self.seal(APPLICATION_DATA, payload) {
            Ok(())
        } else {
            Err(SendError::Closed)
        }
    }

    /// Ends the association and tells the server.
    pub fn close(&mut self) {
        if self.is_established() {
            self.seal(ALERT, &CLOSE_NOTIFY);
        }
        self.end(ClientEnd::Local);
    }

    /// Whether application data can be sent.
    pub const fn is_established(&self) -> bool {
        matches!(self.state, State::Established)
    }

    fn handle_plain(&mut self, now: Instant, record: &Record<'_>) {
        let State::Handshake(handshake) = &mut self.state else {
            return;
        };
        match record.header.content_type {
            HANDSHAKE => {
                let end = handshake.handle_record(
                    now,
                    0,
                    record.fragment,
                    &mut self.channel,
                    &self.config,
                );
                self.follow(end);
            }
            ALERT => {
                if let Ok(alert::Received::Fatal(code)) = alert::read(record.fragment) {
                    self.end(ClientEnd::Alert(code));
                }
            }
            _ => {}
        }
    }

    fn handle_protected(&mut self, now: Instant, record: Record<'_>) {
        let Ok(Opened {
            content_type,
            content,
            ..
        }) = self.channel.open(record)
        else {
            return;
        };
        match (content_type, &mut self.state) {
            (HANDSHAKE, State::Handshake(handshake)) => {
                let end = handshake.handle_record(now, 1, content, &mut self.channel, &self.config);
                self.follow(end);
            }
            (APPLICATION_DATA, State::Established) if !content.is_empty() => {
                self.outputs
                    .push_back(ClientOutput::Data(Bytes::copy_from_slice(content)));
            }
            (ALERT, _) => match alert::read(content) {
                Ok(alert::Received::CloseNotify) if !matches!(self.state, State::Closed) => {
                    self.seal(ALERT, &CLOSE_NOTIFY);
                    self.end(ClientEnd::ByServer);
                }
                Ok(alert::Received::Fatal(code)) => self.end(ClientEnd::Alert(code)),
                Ok(alert::Received::CloseNotify | alert::Received::Warning) | Err(_) => {}
            },
            _ => {}
        }
    }

    /// Does what a handshake message led to.
    fn follow(&mut self, step: Result<handshake::Step, Alert>) {
        match step {
            Ok(handshake::Step::Wait) => {}
            Ok(handshake::Step::Transmit) => {
                if let State::Handshake(handshake) = &mut self.state {
                    self.outputs.extend(handshake.transmit(
                        &mut self.channel,
                        &self.config,
                        &mut *self.random,
                    ));
                }
            }
            Ok(handshake::Step::Done {
                suite,
                extended_master_secret,
            }) => {
                self.state = State::Established;
                self.outputs.push_back(ClientOutput::Established {
                    suite,
                    has_connection_id: !self.channel.peer_cid.is_empty(),
                    extended_master_secret,
                });
            }
            Err(alert) => {
                let mut datagram = Vec::new();
                self.channel
                    .write_plain(ALERT, &alert.fatal(), &mut datagram);
                self.outputs
                    .push_back(ClientOutput::Transmit(datagram.into()));
                self.end(ClientEnd::Refused(alert));
            }
        }
    }

    /// Sends any record.
    #[cfg(test)]
    pub(super) fn seal_for_test(&mut self, content_type: u8, content: &[u8]) {
        assert!(self.seal(content_type, content));
    }

    fn seal(&mut self, content_type: u8, content: &[u8]) -> bool {
        let mut datagram = Vec::new();
        let sealed = self
            .channel
            .seal(content_type, content, &mut *self.random, &mut datagram);
        if sealed {
            self.outputs
                .push_back(ClientOutput::Transmit(datagram.into()));
        }
        sealed
    }

    fn end(&mut self, end: ClientEnd) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.outputs.push_back(ClientOutput::Closed(end));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The connection id of a configuration.
fn own_cid(config: &ClientConfig) -> Cid {
    config
        .connection_id
        .as_deref()
        .and_then(Cid::new)
        .unwrap_or(Cid::EMPTY)
}
