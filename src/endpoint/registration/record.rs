//! What is kept of a registration, its peer and its session.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    coap::ContentFormat,
    lwm2m::{path::ObjectVersion, registration::RegistrationParts},
    platform::{DeviceInfo, PlatformId, peer::ServerRole},
    store::record,
};

use super::{super::*, Registration};

impl Registration {
    /// What is kept of it.
    pub(in crate::endpoint) fn record(&self) -> record::Registration {
        let parts = self.data.to_parts();
        let versions = parts.versions.iter().map(|(object, version)| {
            let (major, minor) = (version.major.into(), version.minor.into());
            record::StatedVersion {
                object: u32::from(*object),
                major,
                minor,
            }
        });
        let formats = parts.content_formats.iter();
        record::Registration {
            id: self.id.to_string(),
            versions: versions.collect(),
            content_formats: formats.map(|format| u32::from(format.0)).collect(),
            parameters: parts.parameters,
            links: parts.links,
            root: parts.root,
            last_update: self.last_update.0,
        }
    }

    /// What is kept of its peer.
    pub(in crate::endpoint) fn peer_record(&self) -> record::Peer {
        use record::peer::Identity;
        let PeerId::Udp { remote, local } = self.peer.id;
        record::Peer {
            remote: remote.to_string(),
            local: local.map(|local| local.to_string()).unwrap_or_default(),
            identity: match &self.peer.identity {
                PeerIdentity::Unsecured => None,
                PeerIdentity::PreSharedKey(identity) => {
                    Some(Identity::PreSharedKey(identity.clone()))
                }
                PeerIdentity::RawPublicKey(key) => Some(Identity::RawPublicKey(key.clone())),
                PeerIdentity::Certificate(name) => Some(Identity::Certificate(name.clone())),
            },
        }
    }

    /// What is kept of its session.
    pub(in crate::endpoint) fn session_record(&self) -> record::Session {
        let bytes = |id: Uuid| Bytes::copy_from_slice(id.as_bytes());
        let device = &self.session.device;
        record::Session {
            id: bytes(self.session.id.0),
            tenant: bytes(device.tenant.0),
            customer: bytes(device.customer.0),
            device: bytes(device.device.0),
            profile: bytes(device.profile.0),
            name: device.name.clone(),
            kind: device.kind.clone(),
        }
    }

    /// The registration that was kept. Profile and power settings are not: the platform has them. `None` when a part is
    /// missing or cannot be read.
    pub(in crate::endpoint) fn restored(record: &record::Endpoint) -> Option<Self> {
        let kept = record.registration.as_ref()?;
        let versions: Option<Vec<_>> = kept.versions.iter().map(version).collect();
        let formats: Option<Vec<_>> = kept
            .content_formats
            .iter()
            .map(|format| Some(ContentFormat((*format).try_into().ok()?)))
            .collect();
        let parts = RegistrationParts {
            parameters: kept.parameters.clone(),
            links: kept.links.clone(),
            root: kept.root.clone(),
            content_formats: formats?,
            versions: versions?,
        };
        let peer = peer(record.peer.as_ref()?)?;
        Some(Self {
            id: kept.id.parse().ok()?,
            data: RegistrationData::from_parts(&parts).ok()?,
            address: peer.id.to_string().into(),
            peer,
            session: Arc::new(session(record.session.as_ref()?)?),
            profile: Arc::default(),
            power: Default::default(),
            last_update: UnixMillis(kept.last_update),
            changes: 0,
        })
    }
}

fn version(kept: &record::StatedVersion) -> Option<(u16, ObjectVersion)> {
    let (major, minor) = (kept.major.try_into().ok()?, kept.minor.try_into().ok()?);
    Some((
        kept.object.try_into().ok()?,
        ObjectVersion::new(major, minor),
    ))
}

fn peer(kept: &record::Peer) -> Option<Peer> {
    use record::peer::Identity;
    let remote: SocketAddr = kept.remote.parse().ok()?;
    let local = match kept.local.as_str() {
        "" => None,
        local => Some(local.parse().ok()?),
    };
    Some(Peer {
        id: PeerId::Udp { remote, local },
        role: ServerRole::Lwm2m,
        identity: match &kept.identity {
            None => PeerIdentity::Unsecured,
            Some(Identity::PreSharedKey(identity)) => PeerIdentity::PreSharedKey(identity.clone()),
            Some(Identity::RawPublicKey(key)) => PeerIdentity::RawPublicKey(key.clone()),
            Some(Identity::Certificate(name)) => PeerIdentity::Certificate(name.clone()),
        },
    })
}

fn session(kept: &record::Session) -> Option<SessionInfo> {
    let id = |bytes: &Bytes| Uuid::from_slice(bytes).ok();
    Some(SessionInfo {
        id: SessionId(id(&kept.id)?),
        device: Arc::new(DeviceInfo {
            tenant: PlatformId(id(&kept.tenant)?),
            customer: PlatformId(id(&kept.customer)?),
            device: PlatformId(id(&kept.device)?),
            profile: PlatformId(id(&kept.profile)?),
            name: kept.name.clone(),
            kind: kept.kind.clone(),
        }),
    })
}
