//! A server with DTLS ports, a platform that knows credentials, and devices.

use std::{
    collections::{HashMap, VecDeque},
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use lightship::{
    bootstrap::BootstrapSessionSettings,
    coap::{Code, Message, MessageId, MessageType, Request, Response, Token, encode},
    dtls::{
        CipherSuite, Config, Credentials, PreSharedKey, TrustStore,
        client::{Client, ClientConfig, ClientCredential, ClientEnd, ClientOutput},
    },
    endpoint::EndpointSettings,
    platform::{
        Answer, DeviceInfo, Downlink, Platform, PlatformId, Question, QuestionError, Reply,
        ReplyTo, RpcRequest, SessionInfo, SubmitError, Uplink,
        credentials::{Admission, BootstrapCredentials, ClientCredentials},
        downlink::{DownlinkSink, Scope},
        profile::{DeviceProfile, PowerSettings},
        time::UnixMillis,
        uplink::RpcId,
    },
    server::{
        Foundation, SecureSettings, Server, ServerParts, clock,
        directory::Directory,
        http::Health,
        keys::{BothKeys, Keys},
        metrics::{HandshakeMode, HandshakeResult, Metrics},
        settings::{LimitSettings, NoSecSettings, RuntimeSettings},
    },
};
use rand::{SeedableRng, rngs::ChaCha20Rng};
use tokio::sync::watch;
use uuid::Uuid;

/// Knows documents by the id under which the core would have them.
#[derive(Debug, Default)]
pub(crate) struct Core {
    documents: Mutex<HashMap<String, ClientCredentials>>,
    asked: Mutex<Vec<String>>,
    /// It answers no question.
    pub(crate) is_away: AtomicBool,
    pub(crate) sessions: Mutex<Vec<Arc<SessionInfo>>>,
    pub(crate) replies: Mutex<Vec<String>>,
}

impl Core {
    pub(crate) fn know(&self, id: &str, document: ClientCredentials) {
        self.documents
            .lock()
            .unwrap()
            .insert(id.to_owned(), document);
    }

    /// What was asked for since the last call.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Platform for Core {
    fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError> {
        match uplink {
            Uplink::Question {
                id,
                question: Question::Credentials { id: asked },
            } => {
                let document = self.documents.lock().unwrap().get(&asked).cloned();
                self.asked.lock().unwrap().push(asked);
                let result = match document {
                    _ if self.is_away.load(Ordering::Relaxed) => Err(QuestionError::Unavailable),
                    None => Err(QuestionError::NotFound),
                    Some(client) => Ok(Answer::Credentials(Arc::new(admission(client)))),
                };
                reply_to.reply(Reply::Answer { id, result });
            }
            Uplink::Question { id, .. } => reply_to.reply(Reply::Answer {
                id,
                result: Ok(Answer::Models(Vec::new())),
            }),
            Uplink::SessionOpened { session } => self.sessions.lock().unwrap().push(session),
            Uplink::SessionClosed { session } => self
                .sessions
                .lock()
                .unwrap()
                .retain(|own| own.id != session.id),
            Uplink::RpcReply { body, .. } => {
                self.replies.lock().unwrap().push(body.text().to_owned());
            }
            _ => {}
        }
        Ok(())
    }
}

fn admission(client: ClientCredentials) -> Admission {
    let name = client.endpoint().to_owned();
    Admission {
        device: Arc::new(DeviceInfo {
            tenant: PlatformId(Uuid::from_u128(1)),
            customer: PlatformId::NULL,
            device: device_id(&name),
            profile: PlatformId(Uuid::from_u128(3)),
            name,
            kind: "profile".to_owned(),
        }),
        client,
        bootstrap: Some(BootstrapCredentials::default()),
        profile: Arc::new(DeviceProfile::default()),
        power: PowerSettings::default(),
    }
}

/// The platform's id of the device with this endpoint name.
fn device_id(name: &str) -> PlatformId {
    let mut bytes = [0; 16];
    for (target, byte) in bytes.iter_mut().zip(name.bytes()) {
        *target = byte;
    }
    PlatformId(Uuid::from_bytes(bytes))
}

/// A running server as tests see it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) core: Arc<Core>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) coap: SocketAddr,
    pub(crate) coaps: SocketAddr,
    pub(crate) bootstrap: SocketAddr,
    pub(crate) keys: watch::Sender<BothKeys>,
    directory: Arc<Directory>,
}

impl World {
    pub(crate) fn handshakes(&self, mode: HandshakeMode, result: HandshakeResult) -> u64 {
        self.metrics.dtls_handshakes.of((mode, result)).get()
    }

    /// Tells the endpoints of a device something.
    pub(crate) fn tell(&self, endpoint: &str, downlink: &Downlink) {
        let scope = Scope::Device(device_id(endpoint));
        self.directory.broadcast(scope, downlink);
    }

    /// Commands the only device that has a session to be read.
    pub(crate) fn read(&self, path: &str) {
        let session = self.core.sessions.lock().unwrap().first().unwrap().id;
        let request = RpcRequest {
            id: RpcId {
                request: 1,
                uuid: Uuid::from_u128(rand::random()),
            },
            method: "Read".to_owned(),
            params: format!(r#"{{"id":"{path}"}}"#),
            expires: UnixMillis(i64::MAX),
            oneway: false,
            persisted: false,
        };
        self.directory
            .deliver(session, Downlink::Rpc(request))
            .unwrap();
    }
}

/// Runs `test` beside a server with this many shards.
pub(crate) fn with_server(
    workers: usize,
    config: Config,
    keys: Keys,
    test: impl FnOnce(World) + Send + 'static,
) {
    actix::System::new().block_on(async move {
        let core = Arc::new(Core::default());
        let metrics = Arc::new(Metrics::new(clock::now().wall));
        let both = BothKeys {
            server: keys.clone(),
            bootstrap: keys,
        };
        let (sender, receiver) = watch::channel(both);
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let parts = ServerParts {
            store: None,
            address: any,
            bootstrap: Some((any, BootstrapSessionSettings::default())),
            platform: Arc::<Core>::clone(&core),
            clock: clock::now,
            metrics: Arc::clone(&metrics),
            health: Arc::new(Health::new(clock::now().mono)),
            limits: LimitSettings::default(),
            nosec: NoSecSettings::default(),
            endpoint: EndpointSettings::default(),
            secure: Some(SecureSettings {
                address: any,
                bootstrap_address: Some(any),
                dtls: config,
                keys: receiver,
            }),
        };
        let runtime = RuntimeSettings {
            workers,
            ..RuntimeSettings::default()
        };
        let server: Server = Foundation::new(runtime).start(parts).await.unwrap();
        let world = World {
            core,
            metrics,
            coap: server.address(),
            coaps: server.secure_address().unwrap(),
            bootstrap: server.secure_bootstrap_address().unwrap(),
            keys: sender,
            directory: server.directory(),
        };
        let done = actix::clock::timeout(
            Duration::from_secs(60),
            tokio::task::spawn_blocking(move || test(world)),
        );
        done.await.unwrap().unwrap();
        server.stop_reading();
        server.stop_endpoints().await;
        server.close();
    });
}

/// Handshakes that fail do so while a test waits.
pub(crate) fn quick() -> Config {
    Config {
        handshake_timeout: Duration::from_secs(1),
        retransmission_timeout: Duration::from_millis(400),
        ..Config::default()
    }
}

/// A device with a socket and an association, used as a device would.
pub(crate) struct Device {
    pub(crate) socket: UdpSocket,
    server: SocketAddr,
    client: Client,
    heard: VecDeque<Bytes>,
    /// What was sent.
    pub(crate) sent: Vec<Bytes>,
    pub(crate) end: Option<ClientEnd>,
    next: u16,
}

impl Device {
    /// Shakes hands.
    pub(crate) fn connect(server: SocketAddr, config: ClientConfig) -> Result<Self, ClientEnd> {
        let config = Arc::new(ClientConfig {
            retransmission_timeout: Duration::from_millis(300),
            max_retransmissions: 3,
            ..config
        });
        let random = Box::new(ChaCha20Rng::from_seed(rand::random()));
        let mut device = Self {
            socket: socket(),
            server,
            client: Client::new(Instant::now(), config, random),
            heard: VecDeque::new(),
            sent: Vec::new(),
            end: None,
            next: rand::random(),
        };
        while !device.client.is_established() {
            device.turn();
            if let Some(end) = device.end {
                return Err(end);
            }
        }
        Ok(device)
    }

    /// The device is behind another address from here on. Returns the socket it had.
    pub(crate) fn rebind(&mut self) -> UdpSocket {
        std::mem::replace(&mut self.socket, socket())
    }

    pub(crate) fn ask(&mut self, method: Code, path: &[&str], query: &[&str]) -> Message {
        let payload = if path == ["rd"] { "</3/0>" } else { "" };
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let request = Request {
            method,
            path: owned(path),
            query: owned(query),
            payload: payload.into(),
            ..Request::default()
        };
        self.next = self.next.wrapping_add(1);
        let id = MessageId(self.next);
        let request = encode::request(&request, MessageType::Confirmable, id, Token::default());
        for _ in 0..50 {
            self.client.send(&request).unwrap();
            let deadline = Instant::now() + Duration::from_millis(300);
            while let Some(message) = self.hear(deadline) {
                if message.message_id() == id && !message.code().is_request() {
                    return message;
                }
            }
        }
        panic!("not answered");
    }

    /// Registers; the answer's code, and the registration id.
    pub(crate) fn register(&mut self, endpoint: &str) -> (Code, String) {
        let name = format!("ep={endpoint}");
        let answer = self.ask(Code::POST, &["rd"], &[&name, "lwm2m=1.1"]);
        let id = answer.location_path().nth(1).unwrap_or_default().to_owned();
        (answer.code(), id)
    }

    pub(crate) fn update(&mut self, registration: &str) -> Code {
        self.ask(Code::POST, &["rd", registration], &[]).code()
    }

    /// The next message of the server, until a time.
    pub(crate) fn hear(&mut self, deadline: Instant) -> Option<Message> {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return Some(Message::parse(message).unwrap());
            }
            if Instant::now() >= deadline || self.end.is_some() {
                return None;
            }
            self.turn();
        }
    }

    /// Answers the next request of the server with 4.04.
    pub(crate) fn serve(&mut self) -> Message {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let request = self.hear(deadline).expect("the server asks");
            if request.code().is_request() {
                let answer = encode::response(
                    &Response::new(Code::NOT_FOUND),
                    MessageType::Acknowledgement,
                    request.message_id(),
                    request.token(),
                );
                self.client.send(&answer).unwrap();
                self.flush();
                return request;
            }
        }
    }

    /// Waits for the end of the association.
    pub(crate) fn wait_for_end(&mut self) -> ClientEnd {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.end.is_none() {
            assert!(Instant::now() < deadline, "the association goes on");
            self.turn();
        }
        self.end.unwrap()
    }

    /// Ends the association.
    pub(crate) fn close(&mut self) {
        self.client.close();
        self.flush();
    }

    /// Sends what is to be sent, and takes what comes.
    fn turn(&mut self) {
        self.flush();
        let mut buffer = [0; 4096];
        let received = self.socket.recv(&mut buffer);
        let now = Instant::now();
        if let Ok(length) = received {
            self.client.handle_datagram(now, &mut buffer[..length]);
        }
        if self.client.poll_timeout().is_some_and(|due| due <= now) {
            self.client.handle_timeout(now);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit(datagram) => {
                    self.socket.send_to(&datagram, self.server).unwrap();
                    self.sent.push(datagram);
                }
                ClientOutput::Data(message) => self.heard.push_back(message),
                ClientOutput::Established { .. } => {}
                ClientOutput::Closed(end) => self.end = Some(end),
            }
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    socket
}

/// The code of the answer to a Register without security.
pub(crate) fn register_plain(server: SocketAddr, endpoint: &str) -> Code {
    let socket = socket();
    let request = Request {
        method: Code::POST,
        path: vec!["rd".to_owned()],
        query: vec![format!("ep={endpoint}"), "lwm2m=1.1".to_owned()],
        payload: "</3/0>".into(),
        ..Request::default()
    };
    let id = MessageId(7);
    let request = encode::request(&request, MessageType::Confirmable, id, Token::default());
    let mut buffer = [0; 2048];
    for _ in 0..200 {
        socket.send_to(&request, server).unwrap();
        if let Ok(length) = socket.recv(&mut buffer) {
            let answer = Message::parse(Bytes::copy_from_slice(&buffer[..length])).unwrap();
            return answer.code();
        }
    }
    panic!("not answered");
}

pub(crate) const KEY: &[u8] = b"secretPSKsecretP";
pub(crate) const KEY_HEX: &str = "73656372657450534B73656372657450";

pub(crate) fn psk_document(endpoint: &str, identity: &str) -> ClientCredentials {
    ClientCredentials::Psk {
        endpoint: endpoint.to_owned(),
        identity: identity.to_owned(),
        key: KEY_HEX.to_owned(),
    }
}

pub(crate) fn no_security(endpoint: &str) -> ClientCredentials {
    ClientCredentials::NoSec {
        endpoint: endpoint.to_owned(),
    }
}

pub(crate) fn psk(identity: &str, key: &[u8]) -> ClientConfig {
    psk_with(CipherSuite::PskWithAes128Ccm8, identity, key)
}

pub(crate) fn psk_with(suite: CipherSuite, identity: &str, key: &[u8]) -> ClientConfig {
    let identity = identity.as_bytes().to_vec();
    let key = PreSharedKey::new(key).unwrap();
    ClientConfig::new(
        vec![suite],
        ClientCredential::PreSharedKey { identity, key },
    )
}

/// A key pair of a device or server, with the certificates for it.
pub(crate) fn ecdsa(credential: ClientCredential) -> ClientConfig {
    ClientConfig::new(vec![CipherSuite::EcdheEcdsaWithAes128Ccm8], credential)
}

/// A server's key without a certificate of anyone, and these issuers.
pub(crate) fn server_keys(credentials: Credentials, issuers: &[&[u8]]) -> Keys {
    Keys {
        credentials: Some(Arc::new(credentials)),
        trust: Arc::new(TrustStore::new(issuers.iter().copied()).unwrap()),
    }
}
