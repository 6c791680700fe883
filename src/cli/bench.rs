//! `lightship bench`: the server beside a bare socket, measured in one run on this machine.
//!
//! The server and the bare echo run as child processes with one worker each; this process generates the load. CPU time
//! of the children is read from the system, so the comparison stands even where the generator is the bottleneck.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what the command is for"
)]

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Write},
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;

use crate::{
    coap::{Code, ContentFormat, Message, MessageId, MessageType, Request, Token, encode},
    server::clock,
};

use super::serve::complain;

/// Arguments of `bench`.
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// Seconds per measurement of throughput, in several rounds.
    #[arg(long, default_value_t = 9)]
    seconds: u64,
    /// Devices that send at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    devices: u16,
    /// Requests each device has open.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=16))]
    window: u16,
    /// Endpoints to register for the figures on registrations and memory.
    #[arg(long, default_value_t = 20_000)]
    endpoints: u32,
    /// Runs the bare echo (for the command itself).
    #[arg(long, hide = true)]
    echo: bool,
}

impl Bench {
    /// Prints a table.
    pub fn run(&self) -> ExitCode {
        let result = if self.echo { echo() } else { self.measure() };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self) -> anyhow::Result<()> {
        println!(
            "{} devices, {} requests open each, {} s a row; server and echo with 1 worker, generator in this process\n",
            self.devices, self.window, self.seconds
        );
        let duration = Duration::from_secs(self.seconds);
        println!("{:<44}{:>14}{:>18}", "", "per second", "server CPU, us");

        let echo = Peer::echo()?;
        let mut to_echo = Load::new(echo.address, self.devices, self.window, |_, _| {
            Ok(vec!["rd".to_owned(), "0123456789".to_owned()])
        })?;
        let server = Peer::server()?;
        let mut to_server = Load::new(
            server.address,
            self.devices,
            self.window,
            |socket, number| register(socket, server.address, &format!("bench-active-{number}")),
        )?;
        // Turn and turn about, so that what else the machine does meets both.
        let (mut bare, mut full) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(to_echo.run(&echo, duration / ROUNDS)?);
            full.push(to_server.run(&server, duration / ROUNDS)?);
        }
        let ratios = |figure: fn(&Rate) -> f64| {
            let mut ratios: Vec<_> = bare
                .iter()
                .zip(&full)
                .map(|(bare, full)| figure(full) / figure(bare))
                .collect();
            ratios.sort_by(f64::total_cmp);
            ratios
        };
        row("bare echo socket (recv_from, send_to)", &Rate::mean(&bare));
        row("CON POST: Update, answered 2.04", &Rate::mean(&full));
        let span = |ratios: &[f64]| match ratios {
            [least, .., most] => format!("{least:.2} to {most:.2}"),
            _ => String::new(),
        };
        let middle = |ratios: &[f64]| ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN);
        let throughput = ratios(|rate| rate.per_second);
        println!(
            "{:<44}{:>14.2}{:>18}",
            "  ratio to the bare socket, throughput",
            middle(&throughput),
            span(&throughput)
        );
        let cpu = ratios(|rate| 1.0 / rate.cpu_us);
        println!(
            "{:<44}{:>14.2}{:>18}",
            "  ratio to the bare socket, CPU",
            middle(&cpu),
            span(&cpu)
        );

        let before = server.resident()?;
        let storm = self.register_all(&server)?;
        let bytes = server.resident()?.saturating_sub(before) / u64::from(self.endpoints.max(1));
        row(
            &format!("registrations ({} endpoints, 64 at a time)", self.endpoints),
            &storm,
        );
        println!(
            "{:<44}{:>14}",
            "bytes per registered endpoint (resident)", bytes
        );
        Ok(())
    }

    /// Registers endpoints, 64 at a time, each from an address of its own.
    fn register_all(&self, server: &Peer) -> anyhow::Result<Rate> {
        let start = clock::now().mono;
        let cpu = server.cpu()?;
        let mut waiting: Vec<(UdpSocket, Bytes, Instant)> = Vec::new();
        let (mut next, mut done) = (0_u32, 0_u32);
        while done < self.endpoints {
            while waiting.len() < 64 && next < self.endpoints {
                let host = u8::try_from(1 + next % 250).unwrap_or(1);
                let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 1, host], 0)))?;
                socket.set_nonblocking(true)?;
                socket.connect(server.address)?;
                let datagram = register_request(&format!("bench-{next}"), next);
                socket.send(&datagram)?;
                waiting.push((socket, datagram, clock::now().mono));
                next += 1;
            }
            let mut buffer = [0; 1500];
            let mut left = Vec::with_capacity(waiting.len());
            for (socket, datagram, sent) in waiting {
                match socket.recv(&mut buffer) {
                    Ok(length) => {
                        expect_code(buffer.get(..length).unwrap_or_default(), Code::CREATED)?;
                        done += 1;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        let now = clock::now().mono;
                        let repeat = now.saturating_duration_since(sent) > Duration::from_secs(2);
                        if repeat {
                            socket.send(&datagram)?;
                        }
                        left.push((socket, datagram, if repeat { now } else { sent }));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            waiting = left;
        }
        Ok(Rate::new(
            self.endpoints.into(),
            start,
            server.cpu()?.saturating_sub(cpu),
        ))
    }
}

/// What was measured.
struct Rate {
    per_second: f64,
    /// CPU time of the server per operation, microseconds.
    cpu_us: f64,
}

impl Rate {
    fn new(count: u64, start: Instant, cpu: Duration) -> Self {
        let seconds = clock::now()
            .mono
            .saturating_duration_since(start)
            .as_secs_f64();
        let count = f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX));
        Self {
            per_second: count / seconds,
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
        }
    }
}

impl Rate {
    /// The mean of rounds of the same length.
    fn mean(rounds: &[Self]) -> Self {
        let count = f64::from(u32::try_from(rounds.len().max(1)).unwrap_or(u32::MAX));
        let sum = |figure: fn(&Self) -> f64| rounds.iter().map(figure).sum::<f64>();
        Self {
            per_second: sum(|rate| rate.per_second) / count,
            cpu_us: sum(|rate| rate.cpu_us) / count,
        }
    }
}

/// Rounds in which server and bare socket take turns.
const ROUNDS: u32 = 9;

fn row(name: &str, rate: &Rate) {
    println!("{name:<44}{:>14.0}{:>18.2}", rate.per_second, rate.cpu_us);
}

/// A child process that is measured; killed when dropped.
struct Peer {
    child: Child,
    address: SocketAddr,
    folder: Option<PathBuf>,
    _stdin: Option<ChildStdin>,
}

impl Peer {
    fn echo() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "--echo"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let stdin = child.stdin.take();
        Ok(Self {
            child,
            address: line.trim().parse()?,
            folder: None,
            _stdin: stdin,
        })
    }

    /// The service as users run it, in embedded mode, with one worker and nothing to write.
    fn server() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("lightship-bench-{}", std::process::id()));
        fs::create_dir_all(folder.join("profiles"))?;
        fs::write(folder.join("profiles/default.json"), r#"{"type":"LWM2M"}"#)?;
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let http = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new(std::env::current_exe()?)
            .args([
                "serve",
                "--set",
                "mode=embedded",
                "--set",
                "runtime.workers=1",
            ])
            .args([
                "--set",
                "embedded.accept_unknown=true",
                "--set",
                "embedded.output=none",
            ])
            .args([
                "--set",
                "lwm2m.server.bind=127.0.0.1",
                "--set",
                "log.level=warn",
            ])
            .args(["--set", "lwm2m.server.secure_port=0"])
            .args(["--set", "lwm2m.bootstrap.secure_port=0"])
            .args(["--set", "limits.registrations_per_s=1000000"])
            .args(["--set", "limits.endpoint_messages_per_s=0"])
            .args(["--set", "limits.source_messages_per_s=0"])
            .arg("--set")
            .arg(format!("embedded.registry_dir={}", folder.display()))
            .arg("--set")
            .arg(format!("lwm2m.server.port={port}"))
            .args(["--set", "lwm2m.bootstrap.enabled=false"])
            .arg("--set")
            .arg(format!("http.bind={http}"))
            .stdin(Stdio::null())
            .spawn()?;
        let server = Self {
            child,
            address: ([127, 0, 0, 1], port).into(),
            folder: Some(folder),
            _stdin: None,
        };
        server.await_pong()?;
        Ok(server)
    }

    /// Pings until the server answers (RFC 7252 section 4.3).
    fn await_pong(&self) -> anyhow::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        for number in 0..100 {
            // While nobody listens the system refuses.
            socket
                .send(&encode::empty(MessageType::Confirmable, MessageId(number)))
                .ok();
            if socket.recv(&mut [0; 64]).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the server does not answer at {}", self.address)
    }

    /// CPU time used so far, user and system.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .context("CPU time needs /proc")?;
        let fields: Vec<_> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or_default()
        };
        Ok(Duration::from_millis(
            (ticks(11) + ticks(12)) * MILLIS_PER_TICK,
        ))
    }

    /// Resident memory, bytes.
    fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if let Some(folder) = &self.folder {
            fs::remove_dir_all(folder).ok();
        }
    }
}

/// Devices that keep a number of requests open.
struct Load {
    devices: Vec<(UdpSocket, Vec<String>, u16)>,
    window: u16,
}

impl Load {
    fn new(
        server: SocketAddr,
        devices: u16,
        window: u16,
        mut path: impl FnMut(&UdpSocket, u16) -> anyhow::Result<Vec<String>>,
    ) -> anyhow::Result<Self> {
        let devices = (0..devices)
            .map(|number| {
                let socket = UdpSocket::bind("127.0.0.1:0")?;
                socket.connect(server)?;
                let path = path(&socket, number)?;
                socket.set_nonblocking(true)?;
                Ok((socket, path, 1000))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { devices, window })
    }

    /// Sends a request for every answer, for this long.
    fn run(&mut self, server: &Peer, duration: Duration) -> anyhow::Result<Rate> {
        for (socket, path, next) in &mut self.devices {
            for _ in 0..self.window {
                socket.send(&update(path, next))?;
            }
        }
        let (start, cpu) = (clock::now().mono, server.cpu()?);
        let mut answered = 0_u64;
        let mut last = start;
        let mut buffer = [0; 1500];
        loop {
            let now = clock::now().mono;
            if now.saturating_duration_since(start) >= duration {
                let rate = Rate::new(answered, start, server.cpu()?.saturating_sub(cpu));
                self.drain()?;
                return Ok(rate);
            }
            for (socket, path, next) in &mut self.devices {
                for _ in 0..self.window {
                    match socket.recv(&mut buffer) {
                        Ok(length) => {
                            if answered.is_multiple_of(4096) {
                                check_answer(buffer.get(..length).unwrap_or_default())?;
                            }
                            answered += 1;
                            last = now;
                            socket.send(&update(path, next))?;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            ensure!(
                now.saturating_duration_since(last) < Duration::from_secs(1),
                "no answer for 1 s after {answered}"
            );
        }
    }
}

impl Load {
    /// Takes the answers that are still to come, so that the next round begins with none.
    fn drain(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 1500];
        for (socket, ..) in &self.devices {
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
            for _ in 0..self.window {
                socket.recv(&mut buffer)?;
            }
            socket.set_nonblocking(true)?;
        }
        Ok(())
    }
}

/// The echo gives the request back, the server 2.04.
fn check_answer(datagram: &[u8]) -> anyhow::Result<()> {
    let message = Message::parse(Bytes::copy_from_slice(datagram))?;
    ensure!(
        matches!(message.code(), Code::CHANGED | Code::POST),
        "answered {}",
        message.code()
    );
    Ok(())
}

fn expect_code(datagram: &[u8], code: Code) -> anyhow::Result<Message> {
    let message = Message::parse(Bytes::copy_from_slice(datagram))?;
    ensure!(
        message.code() == code,
        "answered {} {}",
        message.code(),
        message.diagnostic().unwrap_or_default()
    );
    Ok(message)
}

/// An Update that changes nothing.
fn update(path: &[String], next: &mut u16) -> Bytes {
    *next = next.wrapping_add(1);
    let request = Request {
        method: Code::POST,
        path: path.to_vec(),
        ..Request::default()
    };
    encode::request(
        &request,
        MessageType::Confirmable,
        MessageId(*next),
        Token::default(),
    )
}

fn register_request(endpoint: &str, number: u32) -> Bytes {
    let request = Request {
        method: Code::POST,
        path: vec!["rd".to_owned()],
        query: vec![
            format!("ep={endpoint}"),
            "lt=86400".to_owned(),
            "lwm2m=1.1".to_owned(),
            "b=U".to_owned(),
        ],
        content_format: Some(ContentFormat::LINK),
        payload: Bytes::from_static(
            b"</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542\",</1/0>,</3/0>;ver=1.2,</3303/0>",
        ),
        ..Request::default()
    };
    let message_id = MessageId(u16::try_from(number % 65_536).unwrap_or_default());
    encode::request(
        &request,
        MessageType::Confirmable,
        message_id,
        Token::default(),
    )
}

/// Registers from a blocking socket; the path for Updates.
fn register(socket: &UdpSocket, server: SocketAddr, endpoint: &str) -> anyhow::Result<Vec<String>> {
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send(&register_request(endpoint, 1))?;
    let mut buffer = [0; 1500];
    let length = socket
        .recv(&mut buffer)
        .with_context(|| format!("no answer to a Register at {server}"))?;
    let created = expect_code(buffer.get(..length).unwrap_or_default(), Code::CREATED)?;
    Ok(created.location_path().map(str::to_owned).collect())
}

/// The bare socket: gives back what it gets, until its input ends.
fn echo() -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    println!("{}", socket.local_addr()?);
    std::io::stdout().flush()?;
    let mut buffer = [0; 65_536];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        socket.send_to(buffer.get(..length).unwrap_or_default(), peer)?;
    }
}

/// Linux counts CPU time in hundredths of a second (`USER_HZ`).
const MILLIS_PER_TICK: u64 = 10;
