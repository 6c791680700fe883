//! What is kept of a registration, its peer and its session.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{
    coap::ContentFormat,
    lwm2m::{path::ObjectVersion, registration::RegistrationParts},
    platform::{
        DeviceInfo, PlatformId,
        peer::{Association, ServerRole},
    },
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
        let (remote, local) = (self.peer.id.remote(), self.peer.id.local());
        record::Peer {
            remote: remote.to_string(),
            local: local.map(|local| local.to_string()).unwrap_or_default(),
            identity: match &self.peer.identity {
                PeerIdentity::Unsecured => None,
                PeerIdentity::PreSharedKey(identity) => {
                    Some(Identity::PreSharedKey(identity.to_string()))
                }
                PeerIdentity::RawPublicKey(key) => Some(Identity::RawPublicKey(key.clone())),
                PeerIdentity::Certificate {
                    common_name,
                    endpoint,
                    credentials_id,
                } => Some(Identity::Certificate(record::peer::Certificate {
                    common_name: common_name.to_string(),
                    endpoint: endpoint.to_string(),
                    credentials_id: credentials_id.to_string(),
                })),
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
        let session = session(record.session.as_ref()?)?;
        let peer = peer(record.peer.as_ref()?, &session)?;
        Some(Self {
            id: kept.id.parse().ok()?,
            data: RegistrationData::from_parts(&parts).ok()?,
            address: peer.id.to_string().into(),
            peer,
            session: Arc::new(session),
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

/// The peer of an endpoint with this session. No security context outlives the process: a secured device is nowhere until it
/// has made another one.
fn peer(kept: &record::Peer, session: &SessionInfo) -> Option<Peer> {
    use record::peer::Identity;
    let remote: SocketAddr = kept.remote.parse().ok()?;
    let local = match kept.local.as_str() {
        "" => None,
        local => Some(local.parse().ok()?),
    };
    Some(Peer {
        id: match kept.identity {
            None => PeerId::Udp { remote, local },
            Some(_) => PeerId::Dtls(Association {
                shard: u8::MAX,
                number: session.id.0.as_u64_pair().1,
                remote,
                local,
            }),
        },
        role: ServerRole::Lwm2m,
        identity: match &kept.identity {
            None => PeerIdentity::Unsecured,
            Some(Identity::PreSharedKey(identity)) => {
                PeerIdentity::PreSharedKey(identity.as_str().into())
            }
            Some(Identity::RawPublicKey(key)) => PeerIdentity::RawPublicKey(key.clone()),
            Some(Identity::Certificate(own)) => PeerIdentity::Certificate {
                common_name: own.common_name.as_str().into(),
                endpoint: own.endpoint.as_str().into(),
                credentials_id: own.credentials_id.as_str().into(),
            },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::fixture::Fixture;

    fn registration(remote: &str, identity: PeerIdentity) -> Registration {
        let fixture = Fixture::f();
        let id = |number| PlatformId(Uuid::from_u128(number));
        let device = DeviceInfo {
            tenant: id(1),
            customer: PlatformId::NULL,
            device: id(2),
            profile: id(3),
            name: "Zähler 7".to_owned(),
            kind: "meter".to_owned(),
        };
        Registration {
            id: "00NV9l4mMN".parse().unwrap(),
            address: remote.into(),
            peer: Peer {
                id: PeerId::Udp {
                    remote: remote.parse().unwrap(),
                    local: Some("192.0.2.9".parse().unwrap()),
                },
                role: ServerRole::Lwm2m,
                identity,
            },
            data: fixture.registration,
            session: Arc::new(SessionInfo {
                id: SessionId(Uuid::from_u128(9)),
                device: Arc::new(device),
            }),
            profile: Arc::default(),
            power: Default::default(),
            last_update: UnixMillis(1_700_000_000_000),
            changes: 0,
        }
    }

    fn kept(registration: &Registration) -> record::Endpoint {
        record::Endpoint {
            registration: Some(registration.record()),
            peer: Some(registration.peer_record()),
            session: Some(registration.session_record()),
            ..record::Endpoint::default()
        }
    }

    #[test]
    fn peers_of_every_kind_and_their_sessions_are_restored() {
        for (remote, identity) in [
            ("192.0.2.1:5683", PeerIdentity::Unsecured),
            (
                "[2001:db8::1]:56830",
                PeerIdentity::PreSharedKey("id".into()),
            ),
            (
                "[::ffff:192.0.2.1]:1",
                PeerIdentity::RawPublicKey(Bytes::from_static(b"\0\xff")),
            ),
            (
                "192.0.2.1:2",
                PeerIdentity::Certificate {
                    common_name: "cn".into(),
                    endpoint: "ep".into(),
                    credentials_id: "id".into(),
                },
            ),
        ] {
            let before = registration(remote, identity);
            let after = Registration::restored(&kept(&before)).unwrap();
            assert_eq!(after.peer.identity, before.peer.identity);
            assert_eq!(after.peer.id.remote(), before.peer.id.remote());
            assert_eq!(after.peer.id.local(), before.peer.id.local());
            // No security context outlives the process: this one leads nowhere.
            let is_plain = matches!(after.peer.id, PeerId::Udp { .. });
            assert_eq!(is_plain, after.peer.identity == PeerIdentity::Unsecured);
            assert_eq!(after.address, before.address);
            assert_eq!(after.session, before.session);
            assert_eq!(
                (after.id, after.last_update),
                (before.id, before.last_update)
            );
            assert_eq!(after.data, before.data);
        }
    }

    #[test]
    fn a_record_that_lacks_a_part_or_has_a_wrong_one_is_none() {
        let good = kept(&registration("192.0.2.1:5683", PeerIdentity::Unsecured));
        let changes: [fn(&mut record::Endpoint); 8] = [
            |own| own.registration = None,
            |own| own.peer = None,
            |own| own.session = None,
            |own| own.registration.as_mut().unwrap().id = "short".to_owned(),
            |own| own.registration.as_mut().unwrap().links = String::new(),
            |own| own.registration.as_mut().unwrap().content_formats = vec![65_536],
            |own| own.peer.as_mut().unwrap().remote = "nowhere".to_owned(),
            |own| own.session.as_mut().unwrap().id = Bytes::from_static(b"short"),
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(Registration::restored(&bad).is_none(), "{bad:?}");
        }
    }
}
