//! Datagrams to be sent, in batches: one system call for many (`sendmmsg`) where the system has it.
//!
//! The answers of one batch of received datagrams are queued by their actors, one after the other, and leave together. Half
//! of what a plain answer costs is its own system call.

use bytes::Bytes;

use crate::platform::peer::PeerId;

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Datagrams that the system took.
    pub(super) datagrams: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Datagrams that it did not take.
    pub(super) failed: u64,
}

impl Sent {
    fn took(&mut self, payload: &Bytes) {
        self.datagrams += 1;
        self.bytes += payload.len() as u64;
    }
}

/// Datagrams sent with one system call at most; what is queued beyond that leaves at once.
pub(super) const BATCH: usize = 64;

pub(super) use system::{Sender, expect_one_address};

#[cfg(target_os = "linux")]
mod system {
    use std::{
        fmt,
        io::{self, IoSlice},
        net::{IpAddr, SocketAddr},
        os::fd::AsRawFd,
    };

    use nix::{
        cmsg_space,
        errno::Errno,
        libc,
        sys::socket::{
            ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, setsockopt, sockopt,
        },
    };
    use tokio::net::UdpSocket;

    use super::{BATCH, Bytes, PeerId, Sent};

    /// Sends batches; keeps the memory in which the system call is prepared.
    pub(in super::super) struct Sender {
        plain: MultiHeaders<SockaddrStorage>,
        from_v4: MultiHeaders<SockaddrStorage>,
        from_v6: MultiHeaders<SockaddrStorage>,
    }

    impl Sender {
        pub(in super::super) fn new(_socket: &std::net::UdpSocket) -> io::Result<Self> {
            Ok(Self {
                plain: MultiHeaders::preallocate(BATCH, None),
                from_v4: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(libc::in_pktinfo))),
                from_v6: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(libc::in6_pktinfo))),
            })
        }

        /// Sends datagrams, each from `local` if that is given. An error of one peer costs its datagram alone.
        pub(in super::super) fn send(
            &mut self,
            socket: &UdpSocket,
            local: Option<IpAddr>,
            batch: &[(PeerId, Bytes)],
        ) -> Sent {
            let mut sent = Sent::default();
            let mut rest = batch;
            while !rest.is_empty() {
                let part = rest.get(..BATCH).unwrap_or(rest);
                let taken = match self.call(socket, local, part) {
                    Ok(taken) => taken,
                    Err(Errno::EINTR) => continue,
                    // The buffers are full: the next would find them so as well.
                    Err(Errno::EAGAIN) => {
                        sent.failed += rest.len() as u64;
                        return sent;
                    }
                    Err(_) => 0,
                };
                part.iter()
                    .take(taken)
                    .for_each(|(_, payload)| sent.took(payload));
                // The system stops at the first datagram that it does not take, and says why when it is asked again.
                let skip = if taken == 0 {
                    sent.failed += 1;
                    1
                } else {
                    taken
                };
                rest = rest.get(skip..).unwrap_or_default();
            }
            sent
        }

        fn call(
            &mut self,
            socket: &UdpSocket,
            local: Option<IpAddr>,
            batch: &[(PeerId, Bytes)],
        ) -> Result<usize, Errno> {
            let mut slices = [[IoSlice::new(&[])]; BATCH];
            let mut addresses = [None; BATCH];
            for (((peer, payload), slice), address) in
                batch.iter().zip(&mut slices).zip(&mut addresses)
            {
                *slice = [IoSlice::new(payload)];
                *address = Some(storage(peer.remote()));
            }
            let slices = slices.get(..batch.len()).unwrap_or_default();
            let addresses = addresses.get(..batch.len()).unwrap_or_default();
            let fd = socket.as_raw_fd();
            let flags = MsgFlags::empty();
            let taken = match local {
                None => {
                    let none: [ControlMessage<'_>; 0] = [];
                    sendmmsg(fd, &mut self.plain, slices, addresses, none, flags)?.count()
                }
                Some(IpAddr::V4(address)) => {
                    let from = libc::in_pktinfo {
                        ipi_ifindex: 0,
                        ipi_spec_dst: libc::in_addr {
                            s_addr: u32::from_ne_bytes(address.octets()),
                        },
                        ipi_addr: libc::in_addr { s_addr: 0 },
                    };
                    let from = [ControlMessage::Ipv4PacketInfo(&from)];
                    sendmmsg(fd, &mut self.from_v4, slices, addresses, from, flags)?.count()
                }
                Some(IpAddr::V6(address)) => {
                    let from = libc::in6_pktinfo {
                        ipi6_ifindex: 0,
                        ipi6_addr: libc::in6_addr {
                            s6_addr: address.octets(),
                        },
                    };
                    let from = [ControlMessage::Ipv6PacketInfo(&from)];
                    sendmmsg(fd, &mut self.from_v6, slices, addresses, from, flags)?.count()
                }
            };
            Ok(taken)
        }
    }

    /// Tells the system not to say with every datagram to which address it came and how it was marked: what is known need
    /// not be copied.
    pub(in super::super) fn expect_one_address(socket: &std::net::UdpSocket) -> io::Result<()> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => {
                setsockopt(socket, sockopt::Ipv4PacketInfo, &false)?;
                socket2::SockRef::from(socket).set_recv_tos_v4(false)
            }
            SocketAddr::V6(_) => {
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &false)?;
                socket2::SockRef::from(socket).set_recv_tclass_v6(false)
            }
        }
    }

    fn storage(address: SocketAddr) -> SockaddrStorage {
        match address {
            SocketAddr::V4(address) => address.into(),
            SocketAddr::V6(address) => address.into(),
        }
    }

    impl fmt::Debug for Sender {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Sender").finish_non_exhaustive()
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{
        io::{self, ErrorKind},
        net::IpAddr,
    };

    use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
    use tokio::net::UdpSocket;

    use super::{Bytes, PeerId, Sent};

    /// Does nothing: what the system says with every datagram is not turned off here.
    pub(in super::super) fn expect_one_address(_socket: &std::net::UdpSocket) -> io::Result<()> {
        Ok(())
    }

    /// Sends datagrams one by one.
    #[derive(Debug)]
    pub(in super::super) struct Sender(UdpSocketState);

    impl Sender {
        pub(in super::super) fn new(socket: &std::net::UdpSocket) -> io::Result<Self> {
            UdpSocketState::new(UdpSockRef::from(socket)).map(Self)
        }

        /// Sends datagrams, each from `local` if that is given.
        pub(in super::super) fn send(
            &mut self,
            socket: &UdpSocket,
            local: Option<IpAddr>,
            batch: &[(PeerId, Bytes)],
        ) -> Sent {
            let mut sent = Sent::default();
            for (index, (peer, payload)) in batch.iter().enumerate() {
                let transmit = Transmit {
                    destination: peer.remote(),
                    ecn: None,
                    contents: payload,
                    segment_size: None,
                    src_ip: local,
                };
                match self.0.try_send(UdpSockRef::from(socket), &transmit) {
                    Ok(()) => sent.took(payload),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        sent.failed += (batch.len() - index) as u64;
                        return sent;
                    }
                    Err(_) => sent.failed += 1,
                }
            }
            sent
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn to(address: SocketAddr) -> (PeerId, Bytes) {
        let peer = PeerId::Udp {
            remote: address,
            local: None,
        };
        (peer, Bytes::from_static(b"x"))
    }

    #[tokio::test]
    async fn a28_a_peer_that_cannot_be_reached_costs_its_own_datagram_alone() {
        let receiver = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut sender = Sender::new(&socket).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        let good = receiver.local_addr().unwrap();
        // Without SO_BROADCAST the system refuses this one.
        let bad = SocketAddr::from(([255, 255, 255, 255], 9));
        let mut batch: Vec<_> = (0..BATCH + 10).map(|_| to(good)).collect();
        for place in [0, 5, 6, BATCH] {
            batch[place] = to(bad);
        }
        let sent = sender.send(&socket, None, &batch);
        let good = (BATCH + 6) as u64;
        assert_eq!((sent.datagrams, sent.bytes, sent.failed), (good, good, 4));
        let mut buffer = [0; 4];
        for _ in 0..good {
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 1);
        }
    }

    #[tokio::test]
    async fn answers_leave_from_the_address_that_was_asked() {
        let receiver = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut sender = Sender::new(&socket).unwrap();
        let socket = tokio::net::UdpSocket::from_std(socket).unwrap();
        let batch = [to(receiver.local_addr().unwrap())];
        for last in [1, 7] {
            let local = Ipv4Addr::new(127, 0, 0, last);
            let sent = sender.send(&socket, Some(local.into()), &batch);
            assert_eq!((sent.datagrams, sent.failed), (1, 0));
            let (_, from) = receiver.recv_from(&mut [0; 4]).unwrap();
            assert_eq!(from.ip(), local);
        }
    }
}
