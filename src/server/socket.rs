//! Plain UDP: one socket per shard and port, batches in and out.
//!
//! What is sent waits until the tasks that are due have run, so that the answers of a batch leave together. Answers leave
//! from the address on which the question came (IP_PKTINFO).

use std::{
    cell::RefCell,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket, sync::Notify};

use crate::platform::peer::PeerId;

use super::{
    metrics::{Direction, DropReason, Metrics},
    outbox::{self, BATCH, Sender},
};

/// The plain UDP transport of one shard.
#[derive(Debug)]
pub(crate) struct UdpTransport {
    io: UdpSocket,
    state: UdpSocketState,
    /// The address the socket is bound to, when it is a single one: answers leave from it by themselves.
    bound: Option<IpAddr>,
    metrics: Arc<Metrics>,
    queue: RefCell<Vec<(PeerId, Bytes)>>,
    sender: RefCell<Sender>,
    /// Something is in the queue.
    queued: Notify,
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
    pub(crate) fn new(socket: std::net::UdpSocket, metrics: Arc<Metrics>) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let ip = socket.local_addr()?.ip();
        let bound = (!ip.is_unspecified()).then_some(ip);
        if bound.is_some() {
            outbox::expect_one_address(&socket)?;
        }
        let sender = RefCell::new(Sender::new(&socket)?);
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            state,
            bound,
            metrics,
            queue: RefCell::new(Vec::with_capacity(BATCH)),
            sender,
            queued: Notify::new(),
        })
    }

    /// Sends what is queued, whenever something is.
    pub(crate) async fn send_queued(self: Rc<Self>) {
        loop {
            self.queued.notified().await;
            self.flush();
        }
    }

    /// Sends what is queued.
    fn flush(&self) {
        let mut queue = self.queue.borrow_mut();
        let mut sender = self.sender.borrow_mut();
        // Who answers from one address answers all from it; runs of the same one go together.
        for batch in queue.chunk_by(|(one, _), (other, _)| self.source(*one) == self.source(*other))
        {
            let source = batch.first().and_then(|(peer, _)| self.source(*peer));
            let sent = sender.send(&self.io, source, batch);
            let metrics = &self.metrics;
            metrics
                .udp_datagrams
                .of(Direction::Out)
                .inc_by(sent.datagrams);
            metrics.udp_bytes.of(Direction::Out).inc_by(sent.bytes);
            if sent.failed > 0 {
                metrics.udp_dropped.of(DropReason::Send).inc_by(sent.failed);
            }
        }
        queue.clear();
    }

    /// The address from which a peer is to be answered, if the socket does not answer from it by itself.
    fn source(&self, peer: PeerId) -> Option<IpAddr> {
        peer.local().filter(|_| self.bound.is_none())
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

impl UdpTransport {
    /// Queues a datagram for the address of `peer`.
    pub(crate) fn send(&self, peer: PeerId, payload: Bytes) {
        let length = {
            let mut queue = self.queue.borrow_mut();
            queue.push((peer, payload));
            queue.len()
        };
        if length >= BATCH {
            self.flush();
        } else if length == 1 {
            self.queued.notify_one();
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
