//! What the server tells its owner, and what the owner answers.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

#[cfg(doc)]
use super::{Config, Server};
use super::{alert::Alert, keys::PreSharedKey, suite::CipherSuite};

/// One end of the path to a peer, and ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress {
    /// The peer's address.
    pub remote: SocketAddr,
    /// Our address to which it writes; `None` where the system does not tell.
    pub local: Option<IpAddr>,
}

/// Names an association, from its handshake until it is closed, whatever address the peer moves to. No two associations of
/// one [`Server`] have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AssociationId(pub(super) u64);

impl AssociationId {
    /// The number behind the name.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The name with this number; no association needs to have it.
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}

/// What the world must do, or should know.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram.
    Transmit {
        /// To whom, and from where.
        peer: PeerAddress,
        /// The datagram.
        datagram: Bytes,
    },
    /// Look up a credential and call [`Server::handle_credential`], once, at any time. There is one question for each
    /// handshake at most.
    NeedCredential {
        /// The association that the handshake is to make.
        association: AssociationId,
        /// Where the device is.
        peer: PeerAddress,
        /// What it claims, or has proved.
        query: CredentialQuery,
    },
    /// A handshake is complete.
    Established(Box<Established>),
    /// Application data, from one record.
    Data {
        /// On which association.
        association: AssociationId,
        /// Where the record came from. It need not be where the peer is: an older record may arrive late.
        peer: PeerAddress,
        /// The data; never empty.
        payload: Bytes,
    },
    /// The peer of an association with a connection id has another address; replies go there.
    PeerMoved {
        /// Which.
        association: AssociationId,
        /// Where it was.
        from: PeerAddress,
        /// Where it is.
        to: PeerAddress,
    },
    /// So many forged records with a tag of 8 bytes were tried on an association that its keys should be replaced. It goes
    /// on: to end it would be what the forger wants.
    NeedsHandshake {
        /// Which.
        association: AssociationId,
    },
    /// An association is over. Its id means nothing from here on.
    Closed {
        /// Which.
        association: AssociationId,
        /// Why.
        reason: CloseReason,
    },
    /// A handshake ended without an association.
    HandshakeFailed {
        /// The association that it was to make; `None`: it ended where it began.
        association: Option<AssociationId>,
        /// Where the device is.
        peer: PeerAddress,
        /// Why.
        failure: HandshakeFailure,
    },
}

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Established {
    /// The association.
    pub association: AssociationId,
    /// Where the device is.
    pub peer: PeerAddress,
    /// Who it is.
    pub principal: Principal,
    /// As it was given with the credential.
    pub tag: PrincipalTag,
    /// The cipher suite.
    pub suite: CipherSuite,
    /// Whether it keeps the association when its address changes.
    pub has_connection_id: bool,
    /// Whether the master secret is bound to the handshake.
    pub extended_master_secret: bool,
    /// From the hello with a good cookie to Finished, the wait for a credential included.
    pub duration: Duration,
}

/// What the peer of an association proved to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The holder of the key with this identity.
    PreSharedKey(Box<str>),
    /// The holder of this P-256 key (DER SubjectPublicKeyInfo, 91 bytes).
    RawPublicKey(Box<[u8]>),
    /// The holder of a certificate.
    Certificate {
        /// The subject's common name, if there is exactly one.
        common_name: Option<Box<str>>,
        /// The certificate's fingerprint.
        fingerprint: Fingerprint,
    },
}

/// The owner's handle to what it knows of a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalTag(pub u64);

/// A question for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialQuery {
    /// Which key belongs to this identity (1 to 256 bytes)? Nothing is proved yet.
    PreSharedKey {
        /// As the device sent it.
        identity: Box<str>,
    },
    /// May the holder of this key come in? It proved to hold it.
    RawPublicKey {
        /// The DER SubjectPublicKeyInfo.
        spki: Box<[u8]>,
    },
    /// May the holder of this certificate come in? It proved to hold its key, and the certificate is within its period or
    /// [`Config::skip_validity_check`] is set.
    Certificate(Box<CertificateInfo>),
}

/// What is known of a device's certificate. Only the leaf is: who presents a chain does not prove to hold the other keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The certificate.
    pub der: Box<[u8]>,
    /// The subject's common name, if there is exactly one.
    pub common_name: Option<Box<str>>,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Whether its issuer is trusted.
    pub path: CertificatePath,
}

/// Whether a chain leads from a certificate to one that is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificatePath {
    /// It does.
    Trusted,
    /// It does not: the certificate may only be accepted if it is known itself.
    Untrusted,
    /// Nothing is trusted; likewise.
    NoTrustStore,
}

/// SHA3-256 over the base64 text of a DER certificate, as the platform forms it; shown as it writes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The answer to a [`CredentialQuery`].
#[derive(Clone, Debug)]
pub enum CredentialAnswer {
    /// The key of an identity.
    PreSharedKey {
        /// The key.
        key: PreSharedKey,
        /// Comes back with [`Output::Established`].
        tag: PrincipalTag,
    },
    /// The key or certificate is accepted.
    Accept {
        /// Comes back with [`Output::Established`].
        tag: PrincipalTag,
    },
    /// The device is refused. This is remembered for a while.
    Deny(DenyReason),
    /// It could not be found out. The device is not answered, and may try again.
    Unavailable,
}

/// Why a device is refused; each is told by an alert of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenyReason {
    /// There is no key for the identity.
    UnknownIdentity,
    /// No device has this key or certificate.
    CertificateUnknown,
    /// The certificate's issuer is not trusted, and the certificate is not known.
    UnknownCa,
    /// The certificate is no use.
    BadCertificate,
    /// The certificate is too old, or too new.
    CertificateExpired,
    /// The device is known and may not come in.
    AccessDenied,
}

impl DenyReason {
    pub(super) const fn alert(self) -> Alert {
        match self {
            Self::UnknownIdentity => Alert::UnknownPskIdentity,
            Self::CertificateUnknown => Alert::CertificateUnknown,
            Self::UnknownCa => Alert::UnknownCa,
            Self::BadCertificate => Alert::BadCertificate,
            Self::CertificateExpired => Alert::CertificateExpired,
            Self::AccessDenied => Alert::AccessDenied,
        }
    }
}

/// Why a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFailure {
    /// The device did not answer in time.
    Timeout,
    /// The device's Finished was not made with the key: usually a wrong PSK.
    BadFinished,
    /// What the device sent ended it; this alert says why.
    Refused(Alert),
    /// The owner said no.
    Denied(DenyReason),
    /// The same, remembered.
    DeniedAgain,
    /// No answer to the question for the credential, or it could not be found out.
    CredentialUnavailable,
    /// The question could not be asked within the limits.
    TooManyQueries,
    /// There are too many associations.
    TooManyAssociations,
    /// The device began another one.
    Replaced,
    /// The device sent this alert.
    Alert(u8),
    /// The credential was withdrawn while the handshake went on.
    Invalidated,
}

/// Why an association ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// [`Server::close`] was called.
    Local,
    /// The peer closed it.
    ByPeer,
    /// The peer sent this fatal alert.
    Alert(u8),
    /// The peer made another one from the same address.
    Replaced,
    /// [`Server::invalidate`] was called.
    Invalidated,
    /// It was silent longer than others, and its place was needed.
    Evicted,
    /// Its record numbers are used up.
    Exhausted,
}

/// Why data was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SendError {
    /// There is no such association.
    #[error("the association is closed")]
    Closed,
    /// The data does not fit in a datagram, or in a record that the peer takes.
    #[error("more than {max} bytes")]
    TooLarge {
        /// How many bytes do.
        max: usize,
    },
    /// The peer has moved and sent only one record from there. Until the second, three times as much is sent there at most.
    #[error("the peer's new address is not confirmed")]
    Unconfirmed,
}
