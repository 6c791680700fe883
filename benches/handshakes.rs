//! DTLS beside its rivals, in one run: what a handshake and a record cost the server in CPU time.
//!
//! Each contestant is a process of its own, the clients are ours and the same for all; contestants take turns. Counted is
//! the CPU time of all threads of the server, so a busy machine or a slow client blurs the figures and does not bend them.
//!
//! | contestant | is |
//! |---|---|
//! | `lightship serve` | the whole program in embedded mode, which looks each device up |
//! | engine | our DTLS engine on a socket, which knows the keys |
//! | Scandium | Eclipse Californium's DTLS on its own sockets and threads, warm |
//! | OpenSSL | `openssl s_server`, which serves one client at a time, and no raw public keys |

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "this is a measurement"
)]

#[path = "../tests/support/peers/mod.rs"]
mod peers;

use std::{
    env,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lightship::dtls::client::{Client, ClientConfig, ClientCredential, ClientOutput};
use lightship::dtls::{
    CertificatePath, CipherSuite, Config, CredentialAnswer, CredentialQuery, Credentials,
    DenyReason, Output, PeerAddress, PreSharedKey, PrincipalTag, Server, TrustStore,
};
use rand::{SeedableRng as _, rngs::ChaCha8Rng};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{net, task::JoinSet, time};

use peers::{
    cache::{self, JAVA, JAVAC, MAVEN, OPENSSL, Recipe},
    free_udp_port,
    process::Process,
};

fn main() {
    let arguments: Vec<_> = env::args().collect();
    if let [_, command, folder] = arguments.as_slice()
        && command == SERVE
    {
        serve(Path::new(folder));
    }
    // `cargo test --benches` only wants to know whether this builds.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let keys = Keys::make();
    let Some(scandium) = Contestant::scandium(&keys) else {
        return;
    };
    let contestants: Vec<_> = [
        Some(Contestant::service(&keys)),
        Some(Contestant::engine(&keys)),
        Some(scandium),
        Contestant::openssl(&keys),
    ]
    .into_iter()
    .flatten()
    .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut load = Load { keys, source: 0 };
    println!(
        "| CPU of the server for a handshake, µs (per second of CPU) |{}",
        Kind::heads()
    );
    let mut table = Vec::new();
    for contestant in &contestants {
        let mut cells = Vec::new();
        for kind in Kind::ALL {
            cache::say(&format!("warming {} up: {kind:?}", contestant.name));
            cells.push(contestant.serves(kind).then(|| {
                runtime.block_on(load.run(contestant, kind, contestant.warm_up));
                Vec::new()
            }));
        }
        table.push(cells);
    }
    for round in 1..=ROUNDS {
        cache::say(&format!("round {round} of {ROUNDS}"));
        for (contestant, cells) in contestants.iter().zip(&mut table) {
            for (kind, cell) in Kind::ALL.into_iter().zip(cells) {
                if let Some(cell) = cell {
                    cell.push(runtime.block_on(load.run(contestant, kind, ROUND)));
                }
            }
        }
    }
    for (contestant, cells) in contestants.iter().zip(&table) {
        let cells = cells.iter().map(|cell| cell.as_deref().map(figure));
        println!("| {} |{}", contestant.name, row(cells));
    }
    for (us, which) in contestants
        .iter()
        .zip(&table)
        .take(2)
        .map(|(us, cells)| (cells, us.name))
    {
        let ratios = us.iter().zip(&table[2]);
        let cells = ratios.map(|(own, theirs)| Some(ratio(own.as_ref()?, theirs.as_ref()?)));
        println!("| {which} to Scandium |{}", row(cells));
    }

    println!(
        "\n| CPU of the server for a record of 100 bytes received and sent back, µs (per second of CPU) | PSK |\n|---|--:|"
    );
    let mut rounds = vec![Vec::new(); contestants.len()];
    for round in 0..=ROUNDS {
        for (contestant, rounds) in contestants.iter().zip(&mut rounds) {
            if contestant.echoes {
                let spent = runtime.block_on(load.records(contestant));
                // The first round warms up.
                if round > 0 {
                    rounds.push(spent);
                }
            }
        }
    }
    for (contestant, rounds) in contestants.iter().zip(&rounds) {
        if contestant.echoes {
            println!("| {} | {} |", contestant.name, figure(rounds));
        }
    }
    println!("| engine to Scandium | {} |", ratio(&rounds[1], &rounds[2]));
}

fn row(cells: impl Iterator<Item = Option<String>>) -> String {
    cells.fold(String::new(), |mut row, cell| {
        write!(row, " {} |", cell.unwrap_or_default()).unwrap();
        row
    })
}

/// The median of several rounds in microseconds, and how many that are in a second.
fn figure(rounds: &[f64]) -> String {
    let median = sorted(rounds.iter().copied())[rounds.len() / 2];
    format!("{:.1} ({:.0})", median * 1e6, 1.0 / median)
}

/// How much less ours took: median and range over the rounds.
fn ratio(ours: &[f64], theirs: &[f64]) -> String {
    let ratios = sorted(ours.iter().zip(theirs).map(|(own, other)| other / own));
    let middle = ratios[ratios.len() / 2];
    format!(
        "{middle:.1} ({:.1} to {:.1})",
        ratios[0],
        ratios[ratios.len() - 1]
    )
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// How the clients prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Psk,
    Rpk,
    X509,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Psk, Self::Rpk, Self::X509];

    fn heads() -> &'static str {
        " PSK | RPK | X.509 |\n|---|--:|--:|--:|"
    }
}

/// Keys and certificates of server and clients, and files with them.
struct Keys {
    folder: TempDir,
    raw: Arc<Credentials>,
    certified: Vec<Arc<Credentials>>,
}

impl Keys {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "issuer");
        let issuer_key = KeyPair::generate().unwrap();
        let issuer = params.self_signed(&issuer_key).unwrap();
        let issuer_pem = issuer.pem();
        let signer = Issuer::new(params, issuer_key);
        let certify = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            (params.signed_by(&key, &signer).unwrap(), key)
        };
        let (own, own_key) = certify("server");
        for (name, text) in [
            ("trust.pem", issuer_pem),
            ("cert.pem", own.pem()),
            ("key.pem", own_key.serialize_pem()),
            ("chain.pem", own_key.serialize_pem() + &own.pem()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let raw = KeyPair::generate().unwrap();
        let certified = (0..DEVICES).map(|device| {
            let (certificate, key) = certify(&format!("certified-{device}"));
            let chain = vec![certificate.der().to_vec()];
            Arc::new(Credentials::new(chain, key.serialized_der()).unwrap())
        });
        Self {
            certified: certified.collect(),
            raw: Arc::new(Credentials::new(Vec::new(), raw.serialized_der()).unwrap()),
            folder,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The registry of `lightship serve`.
    fn registry(&self) -> String {
        let devices = self.folder.path().join("registry/devices");
        let profiles = self.folder.path().join("registry/profiles");
        fs::create_dir_all(&devices).unwrap();
        fs::create_dir_all(&profiles).unwrap();
        let profile = r#"{"type":"LWM2M","observeAttr":{"observe":[],"attribute":[],"telemetry":[],"keyName":{},"attributeLwm2m":{}}}"#;
        fs::write(profiles.join("p.json"), profile).unwrap();
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        for device in 0..DEVICES {
            let psk = format!(
                r#"{{"securityConfigClientMode":"PSK","endpoint":"device-{device}","identity":"device-{device}","key":"{key}"}}"#
            );
            let x509 =
                format!(r#"{{"securityConfigClientMode":"X509","endpoint":"certified-{device}"}}"#);
            for (name, client) in [("device", psk), ("certified", x509)] {
                let name = format!("{name}-{device}");
                let entry = format!(
                    r#"{{"deviceName":"{name}","profile":"p","credentials":{{"client":{client}}}}}"#
                );
                fs::write(devices.join(name + ".json"), entry).unwrap();
            }
        }
        self.file("registry")
    }
}

/// A server under measurement.
struct Contestant {
    name: &'static str,
    process: Process,
    address: SocketAddr,
    warm_up: Duration,
    clients: usize,
    has_raw_keys: bool,
    echoes: bool,
}

impl Contestant {
    fn new(name: &'static str, process: Process, port: u16) -> Self {
        Self {
            name,
            process,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            warm_up: Duration::from_secs(1),
            clients: DEVICES,
            has_raw_keys: true,
            echoes: true,
        }
    }

    fn service(keys: &Keys) -> Self {
        let (plain, secure) = (free_udp_port(), free_udp_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_lightship"));
        command.arg("serve").env("LIGHTSHIP__LOG__FORMAT", "text");
        for setting in [
            format!("embedded.registry_dir={}", keys.registry()),
            "embedded.output=none".to_owned(),
            "http.bind=127.0.0.1:0".to_owned(),
            "lwm2m.bootstrap.enabled=false".to_owned(),
            "lwm2m.server.bind=127.0.0.1".to_owned(),
            format!("lwm2m.server.port={plain}"),
            "lwm2m.server.secure_bind=127.0.0.1".to_owned(),
            format!("lwm2m.server.secure_port={secure}"),
            "lwm2m.server.credentials.enabled=true".to_owned(),
            format!(
                "lwm2m.server.credentials.cert_file={}",
                keys.file("cert.pem")
            ),
            format!("lwm2m.server.credentials.key_file={}", keys.file("key.pem")),
            "lwm2m.trust.enabled=true".to_owned(),
            format!("lwm2m.trust.cert_file={}", keys.file("trust.pem")),
            "lwm2m.dtls.connection_id_length=8".to_owned(),
        ] {
            command.args(["--set", &setting]);
        }
        let mut process = Process::spawn("lightship", &mut command);
        process.expect(PATIENCE, |line| line.contains("serving LwM2M over DTLS"));
        Self {
            echoes: false,
            ..Self::new("`lightship serve`", process, secure)
        }
    }

    fn engine(keys: &Keys) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(SERVE).arg(keys.folder.path());
        let mut process = Process::spawn("engine", &mut command);
        let port = process.expect_words(PATIENCE, "serving");
        Self::new("engine", process, port.parse().unwrap())
    }

    /// `None`: it cannot be had here, as said on standard error.
    fn scandium(keys: &Keys) -> Option<Self> {
        let recipe = Recipe {
            peer: "Scandium server",
            folder: &format!("scandium-server-{SCANDIUM}"),
            to_run: &[JAVA],
            to_make: &[JAVA, JAVAC, MAVEN],
            fetches: true,
        };
        let folder = recipe.prepare(|folder| {
            let scandium = format!("org.eclipse.californium:scandium:{SCANDIUM}");
            cache::fetch_jars(folder, &[&scandium, "org.slf4j:slf4j-simple:1.7.36"])
        })?;
        let source = keys.file("ScandiumServer.java");
        fs::write(&source, include_str!("rivals/ScandiumServer.java")).unwrap();
        let jars = format!("{}/lib/*", folder.display());
        let classes = keys.folder.path().display().to_string();
        cache::run(Command::new("javac").args(["-cp", &jars, "-d", &classes, &source])).unwrap();
        let mut command = Command::new("java");
        command
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .args(["-cp", &format!("{classes}:{jars}"), "ScandiumServer"])
            .arg(format!("key={}", str::from_utf8(KEY).unwrap()))
            .arg(format!("identities={DEVICES}"))
            .arg(format!("chain={}", keys.file("chain.pem")))
            .arg(format!("trust={}", keys.file("trust.pem")));
        let mut process = Process::spawn("Scandium server", &mut command);
        let port = process.expect_words(PATIENCE, "serving");
        Some(Self {
            warm_up: Duration::from_secs(10),
            ..Self::new("Scandium 3.14.0", process, port.parse().unwrap())
        })
    }

    /// `None`: it cannot be had here, as said on standard error.
    fn openssl(keys: &Keys) -> Option<Self> {
        if !cache::is_installed("OpenSSL", OPENSSL) {
            return None;
        }
        let port = free_udp_port();
        let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut command = Command::new("openssl");
        // CCM_8 is below the default security level.
        command
            .args(["s_server", "-dtls1_2", "-quiet", "-psk", &key])
            .args([
                "-cipher",
                "PSK-AES128-CCM8:ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0",
            ])
            .args(["-accept", &format!("127.0.0.1:{port}")])
            .args([
                "-cert",
                &keys.file("cert.pem"),
                "-key",
                &keys.file("key.pem"),
            ])
            .args(["-CAfile", &keys.file("trust.pem"), "-Verify", "1"]);
        let process = Process::spawn("openssl s_server", &mut command);
        Some(Self {
            clients: 1,
            has_raw_keys: false,
            echoes: false,
            ..Self::new("`openssl s_server`", process, port)
        })
    }

    fn serves(&self, kind: Kind) -> bool {
        self.has_raw_keys || kind != Kind::Rpk
    }
}

/// The clients.
struct Load {
    keys: Keys,
    source: u32,
}

impl Load {
    /// Shakes hands for so long; what one costs the server, in seconds.
    async fn run(&mut self, contestant: &Contestant, kind: Kind, duration: Duration) -> f64 {
        let before = contestant.process.cpu_time();
        let end = Instant::now() + duration;
        let mut clients = JoinSet::new();
        for device in 0..contestant.clients {
            let config = Arc::new(self.config(kind, device));
            let address = contestant.address;
            // The sources of a fleet: each handshake comes from a network of its own.
            self.source = (self.source + 1) % 250;
            let source = self.source;
            let alone = contestant.clients == 1;
            clients.spawn(async move {
                let mut count = 0_u32;
                while Instant::now() < end {
                    let from = Ipv4Addr::new(127, source as u8 + 1, (count % 250) as u8 + 1, 1);
                    // OpenSSL may still be at the end of the one before, and refuses then.
                    if let Some(mut device) = Device::connect(address, from, config.clone()).await {
                        device.close(alone).await;
                        count += 1;
                    }
                }
                count
            });
        }
        let handshakes: u32 = clients.join_all().await.into_iter().sum();
        (contestant.process.cpu_time() - before).as_secs_f64() / f64::from(handshakes)
    }

    /// Sends records to and fro for a round; what one costs the server, in seconds.
    async fn records(&mut self, contestant: &Contestant) -> f64 {
        let mut devices = Vec::new();
        for device in 0..SENDERS {
            let from = Ipv4Addr::new(127, 1, device as u8 + 1, 1);
            let config = Arc::new(self.config(Kind::Psk, device));
            let device = Device::connect(contestant.address, from, config).await;
            devices.push(device.unwrap());
        }
        let before = contestant.process.cpu_time();
        let end = Instant::now() + ROUND;
        let mut clients = JoinSet::new();
        for mut device in devices {
            clients.spawn(async move {
                let mut count = 0_u32;
                for _ in 0..WINDOW {
                    device.send().await;
                }
                while Instant::now() < end {
                    device.receive().await;
                    device.send().await;
                    count += 1;
                }
                device.close(false).await;
                count
            });
        }
        let records: u32 = clients.join_all().await.into_iter().sum();
        (contestant.process.cpu_time() - before).as_secs_f64() / f64::from(records)
    }

    fn config(&self, kind: Kind, device: usize) -> ClientConfig {
        let (suite, credential) = match kind {
            Kind::Psk => (
                CipherSuite::PskWithAes128Ccm8,
                ClientCredential::PreSharedKey {
                    identity: format!("device-{device}").into_bytes(),
                    key: key(),
                },
            ),
            Kind::Rpk => (
                CipherSuite::EcdheEcdsaWithAes128Ccm8,
                ClientCredential::RawPublicKey(Arc::clone(&self.keys.raw)),
            ),
            Kind::X509 => (
                CipherSuite::EcdheEcdsaWithAes128Ccm8,
                ClientCredential::Certificate(Arc::clone(&self.keys.certified[device])),
            ),
        };
        let mut config = ClientConfig::new(vec![suite], credential);
        // An attempt that comes to nothing, as some at OpenSSL, ends within 4 s.
        config.retransmission_timeout = Duration::from_millis(500);
        config.max_retransmissions = 2;
        config
    }
}

/// A client with its association.
struct Device {
    socket: net::UdpSocket,
    client: Client,
    is_over: bool,
}

impl Device {
    /// `None`: the server refuses.
    async fn connect(
        server: SocketAddr,
        from: Ipv4Addr,
        config: Arc<ClientConfig>,
    ) -> Option<Self> {
        let socket = net::UdpSocket::bind((from, 0)).await.unwrap();
        socket.connect(server).await.unwrap();
        // No two may be alike: to a server that knows the address the second would be a repetition.
        let random = Box::new(ChaCha8Rng::from_seed(rand::random()));
        let client = Client::new(Instant::now(), config, random);
        let mut device = Self {
            socket,
            client,
            is_over: false,
        };
        while !device.client.is_established() && !device.is_over {
            device.turn().await;
        }
        (!device.is_over).then_some(device)
    }

    /// Sends what is due, and takes what comes.
    async fn turn(&mut self) -> bool {
        let mut has_data = self.flush().await;
        let mut buffer = [0; 2048];
        let deadline = self.client.poll_timeout();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + PATIENCE);
        match time::timeout_at(deadline.into(), self.socket.recv(&mut buffer)).await {
            Ok(received) => {
                let length = received.unwrap();
                self.client
                    .handle_datagram(Instant::now(), &mut buffer[..length]);
            }
            Err(_) => self.client.handle_timeout(Instant::now()),
        }
        has_data |= self.flush().await;
        has_data
    }

    /// Whether there was application data.
    async fn flush(&mut self) -> bool {
        let mut has_data = false;
        while let Some(output) = self.client.poll_output() {
            match output {
                ClientOutput::Transmit(datagram) => {
                    self.socket.send(&datagram).await.unwrap();
                }
                ClientOutput::Data(_) => has_data = true,
                ClientOutput::Closed(_) => self.is_over = true,
                ClientOutput::Established { .. } => {}
            }
        }
        has_data
    }

    async fn send(&mut self) {
        self.client.send(&[1; 100]).unwrap();
        self.flush().await;
    }

    async fn receive(&mut self) {
        while !self.turn().await {
            assert!(!self.is_over, "the server ended it");
        }
    }

    /// Ends the association; `wait`: until the server has said so too.
    async fn close(&mut self, wait: bool) {
        self.client.close();
        while let Some(output) = self.client.poll_output() {
            if let ClientOutput::Transmit(datagram) = output {
                self.socket.send(&datagram).await.unwrap();
            }
        }
        if wait {
            let mut buffer = [0; 2048];
            let answer = self.socket.recv(&mut buffer);
            time::timeout(Duration::from_millis(100), answer).await.ok();
        }
    }
}

/// The contestant that is our engine on a socket.
fn serve(folder: &Path) -> ! {
    let der = |name: &str| {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        STANDARD.decode(lines).unwrap()
    };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let config = Config {
        port,
        ..Config::default()
    };
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let random = Box::new(ChaCha8Rng::seed_from_u64(1));
    let mut engine = Server::new(Arc::new(config), random, Instant::now(), wall);
    let credentials = Credentials::new(vec![der("cert.pem")], &der("key.pem")).unwrap();
    let issuer = der("trust.pem");
    let trust = TrustStore::new([issuer.as_slice()]).unwrap();
    engine.set_credentials(Some(Arc::new(credentials)), Arc::new(trust));
    println!("serving {port}");
    let mut buffer = [0; 2048];
    loop {
        let (length, remote) = socket.recv_from(&mut buffer).unwrap();
        let now = Instant::now();
        let peer = PeerAddress {
            remote,
            local: None,
        };
        engine.handle_datagram(now, peer, &mut buffer[..length]);
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
                } => engine.send(now, association, &payload).unwrap(),
                Output::Established(_)
                | Output::PeerMoved { .. }
                | Output::NeedsHandshake { .. }
                | Output::Closed { .. }
                | Output::HandshakeFailed { .. } => {}
            }
        }
    }
}

fn answer(query: &CredentialQuery) -> CredentialAnswer {
    let tag = PrincipalTag(1);
    match query {
        CredentialQuery::PreSharedKey { .. } => CredentialAnswer::PreSharedKey { key: key(), tag },
        CredentialQuery::Certificate(certificate)
            if certificate.path != CertificatePath::Trusted =>
        {
            CredentialAnswer::Deny(DenyReason::UnknownCa)
        }
        CredentialQuery::RawPublicKey { .. } | CredentialQuery::Certificate(_) => {
            CredentialAnswer::Accept { tag }
        }
    }
}

fn key() -> PreSharedKey {
    PreSharedKey::new(KEY).unwrap()
}

const SERVE: &str = "serve-engine";
const KEY: &[u8] = b"0123456789abcdef";
const SCANDIUM: &str = "3.14.0";
/// Clients that shake hands at the same time.
const DEVICES: usize = 64;
/// Clients that send records at the same time, and how many each has under way.
const SENDERS: usize = 16;
const WINDOW: usize = 8;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
