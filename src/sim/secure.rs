//! The device's way to one server by DTLS. It shakes hands when there is something to say, and again when the server has
//! ended the association; what is to be said waits for that.

use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use rand::{SeedableRng as _, rngs::ChaCha20Rng};

use crate::dtls::{
    CipherSuite,
    client::{Client, ClientConfig, ClientEnd, ClientOutput},
};

/// See the module's description.
pub struct SecureLink {
    config: Arc<ClientConfig>,
    random: ChaCha20Rng,
    client: Option<Client>,
    /// What waits for the handshake.
    waiting: VecDeque<Bytes>,
}

/// What the owner of a [`SecureLink`] must do, or should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkOutput {
    /// Send a datagram to the server.
    Transmit(Bytes),
    /// The server says this.
    Data(Bytes),
    /// A handshake is complete.
    Established(CipherSuite),
    /// A handshake or association has ended.
    Ended(ClientEnd),
}

impl SecureLink {
    /// Nothing has been said. Everything random follows from `seed`, but for keys.
    pub fn new(config: Arc<ClientConfig>, seed: [u8; 32]) -> Self {
        Self {
            config,
            random: ChaCha20Rng::from_seed(seed),
            client: None,
            waiting: VecDeque::new(),
        }
    }

    /// Says something, after a handshake if need be. Of much that waits for one, the oldest is given up.
    pub fn send(&mut self, now: Instant, message: Bytes) {
        let client = self.client.get_or_insert_with(|| {
            let random = ChaCha20Rng::from_rng(&mut self.random);
            Client::new(now, Arc::clone(&self.config), Box::new(random))
        });
        if client.is_established() {
            if let Err(error) = client.send(&message) {
                tracing::debug!(%error, "a message could not be sent");
            }
            return;
        }
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(message);
    }

    /// Takes a datagram of the server and decrypts it in place.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8]) {
        if let Some(client) = &mut self.client {
            client.handle_datagram(now, datagram);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(client) = &mut self.client {
            client.handle_timeout(now);
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.client.as_ref()?.poll_timeout()
    }

    /// What is to be done.
    pub fn poll_output(&mut self) -> Option<LinkOutput> {
        let output = self.client.as_mut()?.poll_output()?;
        Some(match output {
            ClientOutput::Transmit(datagram) => LinkOutput::Transmit(datagram),
            ClientOutput::Data(message) => LinkOutput::Data(message),
            ClientOutput::Established { suite, .. } => {
                if let Some(client) = &mut self.client {
                    for message in self.waiting.drain(..) {
                        if let Err(error) = client.send(&message) {
                            tracing::debug!(%error, "a message could not be sent");
                        }
                    }
                }
                LinkOutput::Established(suite)
            }
            ClientOutput::Closed(end) => {
                self.client = None;
                self.waiting.clear();
                LinkOutput::Ended(end)
            }
        })
    }

    /// Ends the association and tells the server.
    pub fn close(&mut self) {
        if let Some(client) = &mut self.client {
            client.close();
        }
    }
}

impl fmt::Debug for SecureLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureLink")
            .field("client", &self.client)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// Messages that wait for a handshake.
const WAITING: usize = 16;
