//! A simulated device on a UDP socket.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{net::UdpSocket, sync::mpsc};

use crate::{dtls::client::ClientConfig, lwm2m::path::Path};

use super::{LinkOutput, SecureLink, SimDevice, SimEvent, SimObjects, SimSettings};

/// What a running device is told to do.
#[derive(Clone, Debug, PartialEq)]
pub enum SimCommand {
    /// Set a value, from the text a person types.
    Set(Path, String),
    /// Send what is at a path, without being asked.
    Send(Path),
    /// Send an Update.
    Update,
    /// De-register, then end.
    Deregister,
}

/// Runs a device that talks to its server alone, by DTLS if `security` says how, until it is told to de-register, or until
/// `commands` is closed. `clock` reads the time; events go to `events`.
///
/// # Errors
/// Those of the socket.
pub async fn run(
    server: SocketAddr,
    security: Option<ClientConfig>,
    settings: SimSettings,
    objects: SimObjects,
    clock: impl Fn() -> std::time::Instant,
    commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    let socket = UdpSocket::bind(unspecified(server)).await?;
    socket.connect(server).await?;
    let device = SimDevice::new(settings, objects, server, seed()?);
    let links = match security {
        Some(config) => vec![(server, SecureLink::new(Arc::new(config), seed()?))],
        None => Vec::new(),
    };
    let from = From::Connected;
    drive(socket, device, links, from, clock, commands, events).await
}

/// As [`run`], on a socket that is there already. Unless it is connected, whoever reaches it is answered as the server
/// would be. They share one ring of message ids: two peers that send the same id and token are taken for one.
///
/// # Errors
/// When there is no randomness.
pub async fn run_on(
    socket: UdpSocket,
    server: SocketAddr,
    settings: SimSettings,
    objects: SimObjects,
    clock: impl Fn() -> std::time::Instant,
    commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    // A connected socket takes no other address.
    let from = if socket.peer_addr().is_err() {
        From::Anybody
    } else {
        From::Connected
    };
    let device = SimDevice::new(settings, objects, server, seed()?);
    drive(socket, device, Vec::new(), from, clock, commands, events).await
}

/// Runs a device that asks a bootstrap server where to register, which `uri` names, and talks to these servers alone; else
/// as [`run`]. `security` is for the bootstrap server alone.
///
/// # Errors
/// Those of the socket.
pub async fn run_bootstrapped(
    (server, uri): (SocketAddr, &str),
    security: Option<ClientConfig>,
    settings: SimSettings,
    objects: SimObjects,
    clock: impl Fn() -> std::time::Instant,
    commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    let socket = UdpSocket::bind(unspecified(server)).await?;
    let mut device = SimDevice::new(settings, objects, server, seed()?);
    device.know_bootstrap_server(server, uri);
    let links = match security {
        Some(config) => vec![(server, SecureLink::new(Arc::new(config), seed()?))],
        None => Vec::new(),
    };
    let from = From::Servers;
    drive(socket, device, links, from, clock, commands, events).await
}

/// Whose datagrams a device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Everybody's.
    Anybody,
    /// Those of the address to which the socket is connected.
    Connected,
    /// Those of its servers.
    Servers,
}

async fn drive(
    socket: UdpSocket,
    mut device: SimDevice<SocketAddr>,
    mut links: Vec<(SocketAddr, SecureLink)>,
    from: From,
    clock: impl Fn() -> std::time::Instant,
    mut commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    device.start(clock());
    let mut buffer = vec![0; 65_536];
    let mut ending = false;
    loop {
        while let Some((peer, datagram)) = device.poll_transmit() {
            match links.iter_mut().find(|(server, _)| *server == peer) {
                Some((_, link)) => link.send(clock(), datagram),
                None => send(&socket, from, peer, &datagram).await,
            }
        }
        let mut heard = false;
        for (server, link) in &mut links {
            while let Some(output) = link.poll_output() {
                let event = match output {
                    LinkOutput::Transmit(datagram) => {
                        send(&socket, from, *server, &datagram).await;
                        continue;
                    }
                    LinkOutput::Data(message) => {
                        device.handle_datagram(clock(), *server, message);
                        heard = true;
                        continue;
                    }
                    LinkOutput::Established(suite) => SimEvent::Secured(suite),
                    LinkOutput::Ended(end) => SimEvent::Unsecured(end),
                };
                if events.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
        while let Some(event) = device.poll_event() {
            let end = ending && matches!(event, SimEvent::Deregistered | SimEvent::Unanswered);
            if let SimEvent::Bootstrapped { server } = &event {
                match resolve(server, socket.local_addr()?.is_ipv4()).await {
                    Some(server) => device.register_at(clock(), server),
                    None => {
                        tracing::warn!(%server, "not a server that can be reached without security")
                    }
                }
            }
            if events.send(event).await.is_err() || end {
                for (server, link) in &mut links {
                    link.close();
                    while let Some(output) = link.poll_output() {
                        if let LinkOutput::Transmit(datagram) = output {
                            send(&socket, from, *server, &datagram).await;
                        }
                    }
                }
                return Ok(());
            }
        }
        if heard {
            continue;
        }
        let due = links
            .iter()
            .filter_map(|(_, link)| link.poll_timeout())
            .chain(device.poll_timeout())
            .min()
            .map_or(IDLE, |at| at.saturating_duration_since(clock()));
        tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok((_, stranger)) if from == From::Servers && device.servers().all(|own| own != stranger) => {}
                Ok((length, peer)) => {
                    let datagram = buffer.get_mut(..length).unwrap_or_default();
                    match links.iter_mut().find(|(server, _)| *server == peer) {
                        Some((_, link)) => link.handle_datagram(clock(), datagram),
                        None => device.handle_datagram(clock(), peer, Bytes::copy_from_slice(datagram)),
                    }
                }
                Err(error) => tracing::debug!(%error, "receiving failed"),
            },
            () = tokio::time::sleep(due) => {
                for (_, link) in &mut links {
                    link.handle_timeout(clock());
                }
                device.handle_timeout(clock());
            }
            command = commands.recv(), if !ending => match command {
                Some(SimCommand::Set(path, text)) => {
                    if !device.set_text(clock(), path, &text) {
                        tracing::warn!(%path, %text, "not a value for this resource");
                    }
                }
                Some(SimCommand::Send(path)) => {
                    if !device.send_path(clock(), path) {
                        tracing::warn!(%path, "nothing is there to be sent");
                    }
                }
                Some(SimCommand::Update) => device.update(clock()),
                Some(SimCommand::Deregister) | None => {
                    if !device.is_registered() {
                        return Ok(());
                    }
                    ending = true;
                    device.deregister(clock());
                }
            },
        }
    }
}

/// Sends a datagram. A refused port is no error here: the message layer repeats.
async fn send(socket: &UdpSocket, from: From, peer: SocketAddr, datagram: &[u8]) {
    let sent = if from == From::Connected {
        socket.send(datagram).await
    } else {
        socket.send_to(datagram, peer).await
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "sending failed");
    }
}

/// Any port of any local address of the family of `server`.
fn unspecified(server: SocketAddr) -> SocketAddr {
    if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    }
}

/// The address behind `coap://host:port`.
async fn resolve(uri: &str, v4: bool) -> Option<SocketAddr> {
    let host = uri.strip_prefix("coap://")?;
    let mut found = tokio::net::lookup_host(host).await.ok()?;
    found.find(|address| address.is_ipv4() == v4)
}

fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed).map_err(io::Error::other)?;
    Ok(seed)
}

/// How long to sleep when the device waits for nothing.
const IDLE: Duration = Duration::from_secs(3600);
