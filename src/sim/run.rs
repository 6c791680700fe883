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
    let local: SocketAddr = if server.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(local).await?;
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
    mut commands: mpsc::Receiver<SimCommand>,
    events: mpsc::Sender<SimEvent>,
) -> io::Result<()> {
    // A connected socket takes no other address.
    let open = socket.peer_addr().is_err();
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed).map_err(io::Error::other)?;
    let mut device = SimDevice::new(settings, objects, server, seed);
    device.register(clock());
    let mut buffer = vec![0; 65_536];
    let mut ending = false;
    loop {
        while let Some((peer, datagram)) = device.poll_transmit() {
            let sent = if open {
                socket.send_to(&datagram, peer).await
            } else {
                socket.send(&datagram).await
            };
            // A refused port is no error here: the message layer repeats.
            if let Err(error) = sent {
                tracing::debug!(%error, "sending failed");
            }
        }
        while let Some(event) = device.poll_event() {
            let end = ending && matches!(event, SimEvent::Deregistered | SimEvent::Unanswered);
            if events.send(event).await.is_err() || end {
                return Ok(());
            }
        }
        let due = device
            .poll_timeout()
            .map_or(IDLE, |at| at.saturating_duration_since(clock()));
        tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
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

/// How long to sleep when the device waits for nothing.
const IDLE: Duration = Duration::from_secs(3600);
