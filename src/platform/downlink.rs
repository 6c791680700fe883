//! What comes from the platform core.

use std::{fmt, sync::Arc};

use crate::lwm2m::{
    model::ObjectModel,
    path::{ObjectId, ObjectVersion},
};

use super::{
    credentials::Admission,
    package::{Package, PackageInfo},
    profile::{DeviceProfile, PowerSettings},
    session::{DeviceInfo, PlatformId, SessionId},
    time::UnixMillis,
    uplink::{KeyValue, Outcome, QuestionError, RequestId, RpcId, UplinkId},
};

/// A message for one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Downlink {
    /// A command.
    Rpc(RpcRequest),
    /// Shared attributes were set.
    Attributes {
        /// Key, value and when it was set.
        updated: Vec<(String, KeyValue, UnixMillis)>,
        /// Whether this answers [`super::Uplink::AttributesWanted`].
        requested: bool,
    },
    /// Shared attributes were deleted: their keys.
    AttributesDeleted(Vec<String>),
    /// The core closed the session.
    SessionClosed(SessionCloseReason),
    /// The credentials changed: the endpoint must register again.
    CredentialsChanged,
    /// The device was deleted.
    DeviceDeleted,
    /// The device's name, type, customer, profile or power settings changed. When it has another profile,
    /// [`Downlink::ProfileChanged`] follows.
    DeviceChanged {
        /// The device as it is.
        device: Arc<DeviceInfo>,
        /// Its own power settings.
        power: PowerSettings,
    },
    /// The profile changed.
    ProfileChanged(Arc<DeviceProfile>),
    /// An object model changed or was deleted.
    ModelChanged {
        /// Object id.
        object: ObjectId,
        /// Object version.
        version: ObjectVersion,
        /// The new model, `None` when deleted.
        model: Option<Arc<ObjectModel>>,
    },
}

/// Why the core closed a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionCloseReason {
    /// No reason given, or one that is not known here.
    Unknown,
    /// The credentials changed.
    CredentialsUpdated,
    /// Another session took the device over.
    MaxConcurrentSessions,
    /// No activity report for too long.
    SessionTimeout,
    /// RPC could not be delivered.
    RpcDeliveryTimeout,
}

/// A command for a device (`rpc.md` 1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcRequest {
    /// Its identity.
    pub id: RpcId,
    /// Command name.
    pub method: String,
    /// JSON text, possibly empty or `null`.
    pub params: String,
    /// When the core gives up, wall clock.
    pub expires: UnixMillis,
    /// Whether the caller wants no result.
    pub oneway: bool,
    /// Whether the core stores it.
    pub persisted: bool,
}

/// Answers that belong to one accepted submit.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To a question.
    Answer {
        /// Which question.
        id: RequestId,
        /// What was found.
        result: Result<Answer, QuestionError>,
    },
    /// To an uplink that carried an id.
    Done {
        /// Which uplink.
        id: UplinkId,
        /// How it ended.
        outcome: Outcome,
    },
}

/// What a question found.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`super::Question::Credentials`].
    Credentials(Arc<Admission>),
    /// To [`super::Question::Models`]: those of the asked that exist. Embedded mode gives the newest with the same major
    /// version in place of one that does not.
    Models(Vec<Arc<ObjectModel>>),
    /// To [`super::Question::Package`].
    Package(PackageInfo),
    /// To [`super::Question::PackageBytes`].
    PackageBytes(Arc<Package>),
}

/// Receives the replies to one asker's submits. Never blocks; a reply to an asker that is gone is dropped.
pub trait ReplySink: Send + Sync + fmt::Debug {
    /// Hands a reply over.
    fn reply(&self, reply: Reply);
}

/// The asker's side of a submit.
pub type ReplyTo = Arc<dyn ReplySink>;

/// The way to the endpoints.
pub trait DownlinkSink: Send + Sync {
    /// Hands a message to the endpoint that holds `session`. A command is refused when there is no room; with anything
    /// else it may wait for room, because nobody would say it again. Runs on the platform's own thread.
    ///
    /// # Errors
    /// [`Undeliverable`] with the message.
    fn deliver(&self, session: SessionId, downlink: Downlink) -> Result<(), Undeliverable>;

    /// Hands a message to every endpoint of the given scope. May wait for room; runs on the platform's own thread.
    fn broadcast(&self, scope: Scope, downlink: &Downlink);
}

/// Which endpoints a broadcast is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Those of one device.
    Device(PlatformId),
    /// Those of one profile.
    Profile(PlatformId),
    /// Those of one tenant.
    Tenant(PlatformId),
    /// All.
    All,
}

/// A message that reached no endpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Undeliverable {
    /// No endpoint holds the session.
    #[error("no endpoint holds the session")]
    UnknownSession(Box<Downlink>),
    /// The endpoint's mailbox is full.
    #[error("the endpoint's mailbox is full")]
    Full(Box<Downlink>),
}
