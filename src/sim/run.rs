//! A simulated device on a UDP socket.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use tokio::{net::UdpSocket, sync::mpsc};

use crate::lwm2m::path::Path;

use super::{SimDevice, SimEvent, SimObjects, SimSettings};

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

/// Runs a device that talks to its server alone, until it is told to de-register, or until `commands` is closed. `clock`
/// reads the time; events go to `events`.
///
/// # Errors
/// Those of the socket.
pub async fn run(
    server: SocketAddr,
    settings: SimSettings,
    objects: SimObjects,
    clock: impl Fn() -> std::time::Instant,
    commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    let socket = UdpSocket::bind(unspecified(server)).await?;
    socket.connect(server).await?;
    run_on(socket, server, settings, objects, clock, commands, events).await
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
    drive(socket, device, from, clock, commands, events).await
}

/// Runs a device that asks a bootstrap server where to register, which `uri` names, and talks to these servers alone; else
/// as [`run`].
///
/// # Errors
/// Those of the socket.
pub async fn run_bootstrapped(
    (server, uri): (SocketAddr, &str),
    settings: SimSettings,
    objects: SimObjects,
    clock: impl Fn() -> std::time::Instant,
    commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    let socket = UdpSocket::bind(unspecified(server)).await?;
    let mut device = SimDevice::new(settings, objects, server, seed()?);
    device.know_bootstrap_server(server, uri);
    drive(socket, device, From::Servers, clock, commands, events).await
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
            let sent = if from == From::Connected {
                socket.send(&datagram).await
            } else {
                socket.send_to(&datagram, peer).await
            };
            // A refused port is no error here: the message layer repeats.
            if let Err(error) = sent {
                tracing::debug!(%error, "sending failed");
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
                return Ok(());
            }
        }
        let due = device
            .poll_timeout()
            .map_or(IDLE, |at| at.saturating_duration_since(clock()));
        tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok((_, stranger)) if from == From::Servers && device.servers().all(|own| own != stranger) => {}
                Ok((length, peer)) => {
                    let datagram = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                    device.handle_datagram(clock(), peer, datagram);
                }
                Err(error) => tracing::debug!(%error, "receiving failed"),
            },
            () = tokio::time::sleep(due) => device.handle_timeout(clock()),
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
