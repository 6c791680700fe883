//! What is known of a device when a request to it is made, and when its answer is read.

use std::net::SocketAddr;

use crate::{
    lwm2m::{
        model::{Models, ResourceModel},
        path::Path,
        registration::RegistrationData,
    },
    platform::{
        peer::{Peer, PeerIdentity},
        profile::DeviceProfile,
    },
};

use super::rpc::RpcSettings;

/// A device as operations see it.
#[derive(Clone, Copy, Debug)]
pub struct DeviceContext<'a> {
    /// Endpoint name.
    pub endpoint: &'a str,
    /// Registration id, without `rd/`.
    pub registration_id: &'a str,
    /// Where the device is.
    pub peer: &'a Peer,
    /// What the device registered.
    pub registration: &'a RegistrationData,
    /// Its profile.
    pub profile: &'a DeviceProfile,
    /// The models by which its values are read: exactly the versions it supports.
    pub models: &'a Models,
    /// The built-in models; they only say what can be executed (`rulings.md` 4.6).
    pub core_models: &'a Models,
    /// Settings.
    pub settings: &'a RpcSettings,
}

impl DeviceContext<'_> {
    /// The device's address.
    pub fn address(&self) -> SocketAddr {
        self.peer.id.remote()
    }

    /// The URI scheme of requests to the device.
    pub fn scheme(&self) -> &'static str {
        match self.peer.identity {
            PeerIdentity::Unsecured => "coap",
            PeerIdentity::PreSharedKey(_)
            | PeerIdentity::RawPublicKey(_)
            | PeerIdentity::Certificate { .. } => "coaps",
        }
    }

    /// The model of the resource that a path names or lies in.
    pub fn resource_model(&self, path: &Path) -> Option<&ResourceModel> {
        self.models.resource(path.object_id()?, path.resource_id()?)
    }
}
