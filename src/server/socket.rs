//! Plain UDP: one socket per shard and port, batches in, single datagrams out.
//!
//! Answers leave from the address on which the question came (IP_PKTINFO, through quinn-udp).

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};

use bytes::Bytes;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};

use crate::platform::peer::{Outbound, OutboundError, PeerId};

/// The plain UDP transport of one shard.
#[derive(Debug)]
pub(crate) struct UdpTransport {
    io: UdpSocket,
    state: UdpSocketState,
    /// The address the socket is bound to, when it is a single one.
    bound: Option<IpAddr>,
}

/// One received datagram.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) peer: PeerId,
    pub(crate) payload: &'a [u8],
}

/// Memory into which a batch of datagrams is received.
pub(crate) struct ReceiveBuffers {
    storage: Vec<u8>,
    meta: [RecvMeta; BATCH_SIZE],
}

impl UdpTransport {
    /// Takes over a socket made by [`bind`]; must run inside the shard's runtime.
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let ip = socket.local_addr()?.ip();
        let bound = (!ip.is_unspecified()).then_some(ip);
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            state,
            bound,
        })
    }

    /// Waits for datagrams, then hands each to `receive`. Returns how many there were.
    pub(crate) async fn receive(
        &self,
        buffers: &mut ReceiveBuffers,
        mut receive: impl FnMut(Datagram<'_>),
    ) -> io::Result<usize> {
        let batch = loop {
            self.io.readable().await?;
            let mut slices: Vec<_> = buffers
                .storage
                .chunks_mut(DATAGRAM_MAX)
                .map(IoSliceMut::new)
                .collect();
            let received = self.io.try_io(Interest::READABLE, || {
                self.state
                    .recv(UdpSockRef::from(&self.io), &mut slices, &mut buffers.meta)
            });
            match received {
                Ok(batch) => break batch,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        };
        let mut count = 0;
        for (meta, buffer) in buffers
            .meta
            .iter()
            .take(batch)
            .zip(buffers.storage.chunks(DATAGRAM_MAX))
        {
            let peer = PeerId::Udp {
                remote: meta.addr,
                local: self.bound.or(meta.dst_ip),
            };
            // The kernel may join datagrams of one peer; `stride` is the length of each but the last.
            let joined = buffer.get(..meta.len).unwrap_or_default();
            if joined.is_empty() {
                receive(Datagram {
                    peer,
                    payload: joined,
                });
                count += 1;
            }
            for payload in joined.chunks(meta.stride.max(1)) {
                receive(Datagram { peer, payload });
                count += 1;
            }
        }
        Ok(count)
    }
}

impl Outbound for UdpTransport {
    fn send(&self, peer: PeerId, payload: Bytes) -> Result<(), OutboundError> {
        let PeerId::Udp { remote, local } = peer;
        let transmit = Transmit {
            destination: remote,
            ecn: None,
            contents: &payload,
            segment_size: None,
            // A socket with one address answers from it by itself, which is cheaper.
            src_ip: local.filter(|_| self.bound.is_none()),
        };
        // Straight to the system call: going through readiness first would cost a second one per answer.
        match self.state.try_send(UdpSockRef::from(&self.io), &transmit) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(OutboundError::Busy),
            Err(_) => Err(OutboundError::Unreachable),
        }
    }
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        Self {
            storage: vec![0; BATCH_SIZE * DATAGRAM_MAX],
            meta: [RecvMeta::default(); BATCH_SIZE],
        }
    }
}

/// Binds `count` sockets to `address`, all to the same port, so that the kernel spreads peers over them.
///
/// The port is first bound once without SO_REUSEPORT, because a second process would else bind it silently
/// (`udp_recv_buffer` is a wish: the kernel may grant less).
///
/// # Errors
/// Those of the system, `AddrInUse` above all.
pub(crate) fn bind(
    address: SocketAddr,
    count: usize,
    udp_recv_buffer: usize,
) -> io::Result<Vec<std::net::UdpSocket>> {
    let probe = std::net::UdpSocket::bind(address)?;
    let address = probe.local_addr()?;
    drop(probe);
    (0..count)
        .map(|_| {
            let socket = Socket::new(
                Domain::for_address(address),
                Type::DGRAM,
                Some(Protocol::UDP),
            )?;
            socket.set_reuse_port(true)?;
            socket.set_recv_buffer_size(udp_recv_buffer)?;
            socket.set_nonblocking(true)?;
            socket.bind(&address.into())?;
            Ok(socket.into())
        })
        .collect()
}

/// Largest UDP payload, rounded up; also room for what the kernel joins.
const DATAGRAM_MAX: usize = 65_536;
