//! The built binary in Kafka mode under a core that misbehaves: what it sends, how much and when.
#![cfg(all(feature = "kafka", target_os = "linux"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "processes live in real time")]

mod support;

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lightship::coap::{
    Code, Message, MessageType, Response,
    encode::{self, Request},
    message::{MessageId, Token},
};
use support::{mock_broker::MockBroker, strict_core::StrictCore};
use uuid::Uuid;

const SERVICE: &str = "ls-0";
const PREFIX: &str = "abuse";
const PATIENCE: Duration = Duration::from_secs(20);
const PROFILE: &str = r#"{"type":"LWM2M","observeAttr":{"observe":["/3_1.2/0/9"],"telemetry":["/3_1.2/0/9"],
    "keyName":{"/3_1.2/0/9":"battery"}}}"#;

/// The service, its broker and its core.
struct Scene {
    process: Child,
    address: String,
    core: StrictCore,
    device: Uuid,
    log: tempfile::NamedTempFile,
    _broker: MockBroker,
}

impl Scene {
    fn start() -> Self {
        let broker = MockBroker::start(PREFIX, SERVICE);
        let core = StrictCore::start(&broker.bootstrap_servers(), PREFIX);
        let profile = core.add_profile("lw", PROFILE, None);
        let device = core.add_nosec_device("ep1", profile);
        let port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let http = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let log = tempfile::NamedTempFile::new().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_lightship"))
            .arg("serve")
            .args(["--set", "lwm2m.server.secure_port=0"])
            .args(["--set", "lwm2m.bootstrap.secure_port=0"])
            .env_clear()
            .env("TB_QUEUE_TYPE", "kafka")
            .env("TB_KAFKA_SERVERS", broker.bootstrap_servers())
            .env("TB_QUEUE_PREFIX", PREFIX)
            .env("TB_SERVICE_ID", SERVICE)
            .env("LWM2M_BIND_ADDRESS", "127.0.0.1")
            .env("LWM2M_BIND_PORT", port.to_string())
            .env("LWM2M_ENABLED_BS", "false")
            .env("HTTP_BIND_ADDRESS", "127.0.0.1")
            .env("HTTP_BIND_PORT", http.to_string())
            .env("LIGHTSHIP__SHUTDOWN__DRAIN_DELAY_S", "0")
            .env("LIGHTSHIP__SHUTDOWN__INFLIGHT_TIMEOUT_S", "1")
            .stdout(log.reopen().unwrap())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let scene = Self {
            process,
            address: format!("127.0.0.1:{port}"),
            core,
            device,
            log,
            _broker: broker,
        };
        scene.await_log("serving LwM2M over CoAP");
        scene
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap()
    }

    fn await_log(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Resident memory, KiB.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A device that answers every request with a fixed text.
struct Device {
    socket: UdpSocket,
}

impl Device {
    fn register(scene: &Scene) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(&scene.address).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let register = Request {
            method: Code::POST,
            path: vec!["rd".to_owned()],
            query: ["ep=ep1", "lt=300", "lwm2m=1.1", "b=U"]
                .map(str::to_owned)
                .to_vec(),
            content_format: Some(lightship::coap::ContentFormat::LINK),
            payload: "</3/0>;ver=1.2,</1/0>".into(),
            ..Request::default()
        };
        let token = Token::new(b"reg").unwrap();
        let datagram = encode::request(&register, MessageType::Confirmable, MessageId(1), token);
        socket.send(&datagram).unwrap();
        let mut device = Self { socket };
        let deadline = Instant::now() + PATIENCE;
        while device.step().is_none_or(|code| code != Code::CREATED) {
            assert!(Instant::now() < deadline, "not registered: {}", scene.log());
        }
        scene.core.await_session(scene.device, PATIENCE);
        device
    }

    /// Takes one datagram; answers it when it is a request.
    fn step(&mut self) -> Option<Code> {
        let mut buffer = [0; 65536];
        let length = self.socket.recv(&mut buffer).ok()?;
        let message = Message::parse(buffer[..length].to_vec().into()).unwrap();
        if message.code().is_request() {
            let response = Response {
                observe: message.observe(),
                content_format: Some(lightship::coap::ContentFormat::TEXT),
                payload: "42".into(),
                ..Response::new(Code::CONTENT)
            };
            let (id, token) = (message.message_id(), message.token());
            let acknowledgement = MessageType::Acknowledgement;
            let datagram = encode::response(&response, acknowledgement, id, token);
            self.socket.send(&datagram).unwrap();
        }
        Some(message.code())
    }

    /// Has the core send a command and serves until it has a reply.
    fn command(&mut self, scene: &Scene, method: &str, params: &str) -> Result<String, String> {
        let rpc = scene.core.rpc(scene.device, method, params);
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.step();
            if let Some(reply) = scene.core.rpc_progress(rpc).reply {
                return reply;
            }
            assert!(Instant::now() < deadline, "no reply: {}", scene.log());
        }
    }
}

#[test]
fn a60_a61_garbage_and_huge_commands_cost_neither_memory_nor_the_log_nor_the_next_command() {
    let scene = Scene::start();
    let mut device = Device::register(&scene);
    let before = scene.resident();
    let topics = [
        format!("{PREFIX}.tb_transport.notifications.{SERVICE}"),
        format!("{PREFIX}.tb_transport.api.responses.{SERVICE}"),
    ];
    for number in 1..=60_u8 {
        for topic in &topics {
            scene
                .core
                .send_raw(topic, Some("x"), &[number | 0x80; 3000]);
        }
    }
    let huge = "x".repeat(900_000);
    let deep = "[".repeat(100_000);
    for (method, params) in [
        ("", ""),
        ("Read", "\u{0}\u{1b}[2J"),
        ("Read", &huge),
        ("Read", &deep),
        (&huge, "{}"),
        ("Execute", r#"{"id":"/3/0/4","value":-1e999}"#),
    ] {
        let reply = device.command(&scene, method, params);
        assert!(reply.is_err(), "{reply:.100?}");
    }
    let reply = device.command(&scene, "Read", r#"{"id":"/3_1.2/0/9"}"#);
    assert!(
        reply.as_ref().is_ok_and(|body| body.contains("CONTENT")),
        "{reply:?}"
    );
    let grown = scene.resident().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    let log = scene.log();
    let warnings = log.lines().filter(|line| line.contains("cannot be read"));
    // Ten in a minute for each topic.
    assert_eq!(warnings.count(), 20, "{log}");
    assert!(!log.contains("xxxx"), "no content in the log");
}
