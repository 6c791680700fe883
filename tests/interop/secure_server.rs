//! A small DTLS server on a socket of the loopback address: our engine, a thread, keys that the tests know.
//!
//! CoAP requests are answered with 2.05, anything else is sent back.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use lightship::coap::{Code, Message, Response, encode};
use lightship::dtls::{
    Config, CredentialAnswer, CredentialQuery, Credentials, DenyReason, Established, Output,
    PeerAddress, PreSharedKey, PrincipalTag, Server, TrustStore,
};
use rand::{SeedableRng as _, rngs::ChaCha20Rng};

/// Runs until it is dropped.
pub(crate) struct SecureServer {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) established: Vec<Established>,
    pub(crate) received: Vec<Bytes>,
    pub(crate) moved: usize,
}

impl SecureServer {
    pub(crate) fn start(
        config: Config,
        credentials: Option<Arc<Credentials>>,
        trust: Arc<TrustStore>,
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        let random = Box::new(ChaCha20Rng::from_seed(*b"32 bytes that nobody has to know"));
        let now = Instant::now();
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a time after 1970");
        let config = Config {
            port: address.port(),
            ..config
        };
        let mut engine = Server::new(Arc::new(config), random, now, wall);
        engine.set_credentials(credentials, trust);
        let log = Arc::<Mutex<Log>>::default();
        let stop = Arc::<AtomicBool>::default();
        let thread = {
            let (log, stop) = (Arc::clone(&log), Arc::clone(&stop));
            thread::spawn(move || run(&socket, &mut engine, &log, &stop))
        };
        Self {
            address,
            log,
            stop,
            thread: Some(thread),
        }
    }

    /// The port in a command line.
    pub(crate) fn port(&self) -> String {
        self.address.port().to_string()
    }

    /// Looks at what has happened.
    pub(crate) fn log<R>(&self, look: impl FnOnce(&Log) -> R) -> R {
        look(&self.log.lock().expect("the thread does not panic"))
    }

    /// What the last handshake came to.
    pub(crate) fn last(&self) -> Established {
        self.log(|log| log.established.last().cloned())
            .expect("a handshake succeeded")
    }
}

impl Drop for SecureServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the server's thread panicked");
        }
    }
}

fn run(socket: &UdpSocket, engine: &mut Server, log: &Mutex<Log>, stop: &AtomicBool) {
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a timeout above 0");
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let received = socket.recv_from(&mut buffer);
        let now = Instant::now();
        if let Ok((length, remote)) = received {
            engine.handle_datagram(
                now,
                PeerAddress {
                    remote,
                    local: None,
                },
                &mut buffer[..length],
            );
        }
        engine.handle_timeout(now);
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    // A client that is gone refuses it.
                    socket.send_to(&datagram, peer.remote).ok();
                }
                Output::NeedCredential {
                    association, query, ..
                } => {
                    engine.handle_credential(now, association, answer(&query));
                }
                Output::Data {
                    association,
                    payload,
                    ..
                } => {
                    let reply = coap_reply(&payload).unwrap_or_else(|| payload.clone());
                    log.lock()
                        .expect("no test panics with it")
                        .received
                        .push(payload);
                    engine
                        .send(now, association, &reply)
                        .expect("what came can be sent");
                }
                Output::Established(established) => {
                    log.lock()
                        .expect("no test panics with it")
                        .established
                        .push(*established);
                }
                Output::PeerMoved { .. } => log.lock().expect("no test panics with it").moved += 1,
                Output::NeedsHandshake { .. }
                | Output::Closed { .. }
                | Output::HandshakeFailed { .. } => {}
            }
        }
    }
}

fn answer(query: &CredentialQuery) -> CredentialAnswer {
    match query {
        CredentialQuery::PreSharedKey { identity } if **identity == *IDENTITY => {
            CredentialAnswer::PreSharedKey {
                key: PreSharedKey::new(KEY).expect("16 bytes"),
                tag: PrincipalTag(1),
            }
        }
        CredentialQuery::PreSharedKey { .. } => CredentialAnswer::Deny(DenyReason::UnknownIdentity),
        CredentialQuery::RawPublicKey { .. } | CredentialQuery::Certificate(_) => {
            CredentialAnswer::Accept {
                tag: PrincipalTag(2),
            }
        }
    }
}

/// 2.05 with a text, when it is a CoAP request.
fn coap_reply(payload: &Bytes) -> Option<Bytes> {
    let request = Message::parse(payload.clone())
        .ok()
        .filter(|message| message.code().is_request())?;
    let response = Response {
        payload: "secured".into(),
        ..Response::new(Code::CONTENT)
    };
    let kind = lightship::coap::MessageType::Acknowledgement;
    Some(encode::response(
        &response,
        kind,
        request.message_id(),
        request.token(),
    ))
}

/// Stands between one client and the server, like a router whose port for the client changes.
pub(crate) struct Relay {
    /// What the client takes for the server.
    pub(crate) address: SocketAddr,
    change: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Relay {
    pub(crate) fn start(server: SocketAddr) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = inside.local_addr().expect("a bound socket has an address");
        let (change, stop) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let relay = Self {
            address,
            change: Arc::clone(&change),
            stop: Arc::clone(&stop),
        };
        thread::spawn(move || {
            let connected = || {
                let outside = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
                outside.connect(server).expect("loopback is there");
                outside
                    .set_nonblocking(true)
                    .expect("a socket can be non-blocking");
                outside
            };
            inside
                .set_read_timeout(Some(Duration::from_millis(2)))
                .expect("a timeout above 0");
            let mut outside = connected();
            let mut client = None;
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if change.swap(false, Ordering::Relaxed) {
                    outside = connected();
                }
                if let Ok((length, from)) = inside.recv_from(&mut buffer) {
                    client = Some(from);
                    outside.send(&buffer[..length]).ok();
                }
                while let (Ok(length), Some(client)) = (outside.recv(&mut buffer), client) {
                    inside.send_to(&buffer[..length], client).ok();
                }
            }
        });
        relay
    }

    /// From here on the client comes from another port.
    pub(crate) fn rebind(&self) {
        self.change.store(true, Ordering::Relaxed);
        while self.change.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Who may come in, and with what.
pub(crate) const IDENTITY: &str = "device";
pub(crate) const KEY: &[u8] = b"secretPSKsecretP";
pub(crate) const KEY_HEX: &str = "73656372657450534b73656372657450";
