//! Who is at the far end of a socket.

use std::{fmt, net::IpAddr, net::SocketAddr};

use bytes::Bytes;

/// The far end of a transport: equal ids reach the same security context, so an answer to a `PeerId` leaves by the path
/// on which the question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PeerId {
    /// Plain UDP: the device's address, and ours to which it wrote (`None` where the system does not tell).
    Udp {
        /// The device's address.
        remote: SocketAddr,
        /// Our address.
        local: Option<IpAddr>,
    },
}

impl PeerId {
    /// The device's address.
    pub const fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp { remote, .. } => *remote,
        }
    }

    /// Our address to which it wrote, where the system tells.
    pub const fn local(&self) -> Option<IpAddr> {
        match self {
            Self::Udp { local, .. } => *local,
        }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote().fmt(f)
    }
}

/// How a peer proved who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerIdentity {
    /// It did not: plain UDP.
    Unsecured,
    /// By a pre-shared key with this identity.
    PreSharedKey(String),
    /// By this public key (DER SubjectPublicKeyInfo).
    RawPublicKey(Bytes),
    /// By a certificate.
    Certificate {
        /// Its subject common name.
        common_name: String,
        /// The endpoint client name of the credentials by which the handshake accepted it.
        endpoint: String,
        /// The id by which the platform knows these credentials: a common name or a fingerprint.
        credentials_id: String,
    },
}

impl PeerIdentity {
    /// The id by which the platform is asked for the credentials of `endpoint`, as the peer names itself
    /// (`security.md` 4).
    pub fn credentials_id<'a>(&'a self, endpoint: &'a str) -> &'a str {
        match self {
            Self::Unsecured | Self::RawPublicKey(_) => endpoint,
            Self::PreSharedKey(identity) => identity,
            Self::Certificate { credentials_id, .. } => credentials_id,
        }
    }
}

/// Which of our servers a peer talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerRole {
    /// The bootstrap server.
    Bootstrap,
    /// The LwM2M server.
    Lwm2m,
}

/// A peer as the transport hands it over.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Where answers go.
    pub id: PeerId,
    /// The server it addressed.
    pub role: ServerRole,
    /// What it proved.
    pub identity: PeerIdentity,
}

/// A datagram from a peer, decrypted.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The sender.
    pub peer: Peer,
    /// One CoAP message.
    pub payload: Bytes,
}

/// The way down: sends one CoAP message to a peer.
pub trait Outbound {
    /// Hands `payload` to the transport. What it cannot send is lost, as the network loses datagrams, and counted there.
    fn send(&self, peer: PeerId, payload: Bytes);
}
