//! Whom the platform knows a device as.

use std::{fmt, sync::Arc};

use uuid::Uuid;

/// A platform entity id (tenant, customer, device, profile), a UUID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlatformId(pub Uuid);

impl PlatformId {
    /// The platform's null UUID: the system tenant, "no customer".
    pub const NULL: Self = Self(Uuid::from_u128(0x1381_4000_1dd2_11b2_8080_8080_8080_8080));
}

impl fmt::Display for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The platform's session for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub Uuid);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A device as the platform describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Owner.
    pub tenant: PlatformId,
    /// Customer, [`PlatformId::NULL`] when there is none.
    pub customer: PlatformId,
    /// The device.
    pub device: PlatformId,
    /// Its profile.
    pub profile: PlatformId,
    /// Device name.
    pub name: String,
    /// Device type, the profile's name.
    pub kind: String,
}

/// One session: shared by every uplink made in it, replaced as a whole when the device changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Session id, random, one per registration.
    pub id: SessionId,
    /// The device it is for.
    pub device: Arc<DeviceInfo>,
}
