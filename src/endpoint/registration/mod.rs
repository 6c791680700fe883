//! The registration interface (OMA LwM2M Core, section "Registration Interface"): one file per operation, and expiry.

mod deregister;
mod expiry;
mod id;
mod interface;
mod record;
mod register;
mod update;

use std::sync::Arc;

use crate::{
    coap::{Exchanges, IncomingId},
    lwm2m::registration::RegistrationData,
    platform::{
        RequestId, SessionInfo,
        peer::{Peer, PeerId, PeerIdentity},
        profile::{DeviceProfile, PowerSettings},
        time::UnixMillis,
    },
};

use super::Key;

pub use crate::platform::name::EndpointName;

pub use id::RegistrationId;
pub(super) use interface::read_register;
pub use interface::{Target, register_name};
pub(super) use register::{RETRY_AFTER_S, versions};

/// A registration in force.
#[derive(Debug)]
pub(in crate::endpoint) struct Registration {
    pub(in crate::endpoint) id: RegistrationId,
    pub(in crate::endpoint) data: RegistrationData,
    pub(in crate::endpoint) peer: Peer,
    /// The address of `peer` as text, which every Update is logged with.
    pub(in crate::endpoint) address: Box<str>,
    pub(in crate::endpoint) session: Arc<SessionInfo>,
    pub(in crate::endpoint) profile: Arc<DeviceProfile>,
    /// Power settings of the device's own.
    pub(in crate::endpoint) power: PowerSettings,
    pub(in crate::endpoint) last_update: UnixMillis,
    /// How often an Update changed something.
    pub(in crate::endpoint) changes: u64,
}

impl Registration {
    /// What leads to the endpoint while this registration is in force.
    pub(in crate::endpoint) fn keys(&self) -> [Key; 3] {
        [
            Key::Peer(self.peer.id),
            Key::Registration(self.id, self.peer.identity.mode()),
            Key::Session(Arc::clone(&self.session)),
        ]
    }

    /// The id by which the platform is asked for its credentials.
    pub(in crate::endpoint) fn credentials_id(&self) -> &str {
        self.peer.identity.credentials_id(&self.data.endpoint)
    }

    /// Whether a message of this peer is one of the device: it proves the same identity, or without any comes from the
    /// same address.
    pub(in crate::endpoint) fn is_of(&self, peer: &Peer) -> bool {
        self.peer.identity == peer.identity
            && (self.peer.identity != PeerIdentity::Unsecured || self.peer.id == peer.id)
    }
}

/// A Register whose credentials the platform is asked for. It replaces nothing until they are accepted.
#[derive(Debug)]
pub(in crate::endpoint) struct Candidate {
    pub(in crate::endpoint) peer: Peer,
    pub(in crate::endpoint) request: IncomingId,
    pub(in crate::endpoint) data: RegistrationData,
    /// What the platform was asked; `None`: the security layer had asked before.
    pub(in crate::endpoint) question: Option<RequestId>,
    /// Its own message layer when it comes from another peer than the registration in force.
    pub(in crate::endpoint) exchanges: Option<Box<Exchanges<PeerId>>>,
}
