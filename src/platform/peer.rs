//! Who is at the far end of a socket.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{credentials::SecurityMode, name::EndpointName};

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
    /// DTLS: the association, wherever the device is.
    Dtls(Association),
}

/// A DTLS security context, and where its device was last. Equal are those of the same context: addresses change.
#[derive(Clone, Copy, Debug)]
pub struct Association {
    /// The shard whose engine has it.
    pub shard: u8,
    /// Its number there.
    pub number: u64,
    /// The device's address.
    pub remote: SocketAddr,
    /// Ours to which it wrote, where the system tells.
    pub local: Option<IpAddr>,
}

impl Association {
    const fn key(&self) -> (u8, u64) {
        (self.shard, self.number)
    }
}

impl PartialEq for Association {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Association {}

impl Hash for Association {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl PartialOrd for Association {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Association {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PeerId {
    /// The device's address.
    pub const fn remote(&self) -> SocketAddr {
        match self {
            Self::Udp { remote, .. } => *remote,
            Self::Dtls(association) => association.remote,
        }
    }

    /// Our address to which it wrote, where the system tells.
    pub const fn local(&self) -> Option<IpAddr> {
        match self {
            Self::Udp { local, .. } => *local,
            Self::Dtls(association) => association.local,
        }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote().fmt(f)
    }
}

/// How a peer proved who it is; cheap to clone, for it goes with every message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PeerIdentity {
    /// It did not: plain UDP.
    Unsecured,
    /// By a pre-shared key with this identity.
    PreSharedKey(PskIdentity),
    /// By this public key (DER SubjectPublicKeyInfo).
    RawPublicKey(Bytes),
    /// By a certificate.
    Certificate {
        /// Its subject common name.
        common_name: Arc<str>,
        /// The endpoint client name of the credentials by which the handshake accepted it.
        endpoint: Arc<str>,
        /// The id by which the platform knows these credentials: a common name or a fingerprint.
        credentials_id: Arc<str>,
    },
}

/// The identity of a pre-shared key, and which key it was that the peer had. The same identity is the same peer, whatever
/// the key; whether the key is still the right one is for [`Self::had`].
#[derive(Clone)]
pub struct PskIdentity {
    identity: Arc<str>,
    /// The beginning of the key's SHA-256; `None`: the peer has not shown one.
    key: Option<[u8; 16]>,
}

impl PskIdentity {
    /// Of a peer that has this key.
    pub fn with_key(identity: &str, key: &[u8]) -> Self {
        Self {
            identity: identity.into(),
            key: Some(print(key)),
        }
    }

    /// Whether this may be the key that the peer had.
    pub fn had(&self, key: &[u8]) -> bool {
        self.key.is_none_or(|own| own == print(key))
    }
}

fn print(key: &[u8]) -> [u8; 16] {
    let digest: [u8; 32] = Sha256::digest(key).into();
    digest.first_chunk().copied().unwrap_or_default()
}

impl From<&str> for PskIdentity {
    fn from(identity: &str) -> Self {
        Self {
            identity: identity.into(),
            key: None,
        }
    }
}

impl Deref for PskIdentity {
    type Target = str;

    fn deref(&self) -> &str {
        &self.identity
    }
}

impl PartialEq for PskIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for PskIdentity {}

impl Hash for PskIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}

impl fmt::Debug for PskIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.identity, f)
    }
}

impl PeerIdentity {
    /// The mode of security in which it did.
    pub const fn mode(&self) -> SecurityMode {
        match self {
            Self::Unsecured => SecurityMode::NoSec,
            Self::PreSharedKey(_) => SecurityMode::Psk,
            Self::RawPublicKey(_) => SecurityMode::Rpk,
            Self::Certificate { .. } => SecurityMode::X509,
        }
    }

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

    /// Ends the security context of a peer and tells the peer so; without one nothing happens.
    fn disconnect(&self, peer: PeerId, cause: Disconnect);
}

/// Why a security context is ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Disconnect {
    /// The device has another one.
    Replaced,
    /// The device of this name must prove itself anew, on other security contexts as well for which the platform's answer
    /// still serves. It is told again when it sends something: it may be asleep at this moment.
    Withdrawn(EndpointName),
}
