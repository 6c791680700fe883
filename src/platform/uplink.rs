//! What goes towards the platform core.

use std::sync::Arc;

use uuid::Uuid;

use crate::lwm2m::path::{ObjectId, ObjectVersion};

use super::{
    downlink::ReplyTo,
    package::{PackageId, PackageKind},
    session::{PlatformId, SessionInfo},
    time::UnixMillis,
};

/// The core's side of the seam.
pub trait Platform: Send + Sync {
    /// Accepts an uplink; never blocks. Questions and uplinks with an [`UplinkId`] are answered through `reply_to`,
    /// exactly once, if and only if the result is `Ok`.
    ///
    /// # Errors
    /// [`SubmitError`] when the uplink was not accepted.
    fn submit(&self, uplink: Uplink, reply_to: &ReplyTo) -> Result<(), SubmitError>;
}

/// Identifies an uplink whose fate a device waits for; unique within one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UplinkId(pub u64);

/// Identifies a question; unique within one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A value as the platform stores it.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyValue {
    /// `BOOLEAN_V`
    Boolean(bool),
    /// `LONG_V`
    Long(i64),
    /// `DOUBLE_V`; finite.
    Double(f64),
    /// `STRING_V`
    String(String),
    /// `JSON_V`, compact JSON text.
    Json(String),
}

/// Values of one moment, in the order in which they are to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// Their time.
    pub ts: UnixMillis,
    /// Key and value; keys are unique.
    pub values: Vec<(String, KeyValue)>,
}

/// An RPC as the core identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RpcId {
    /// Counter per device, restarts with the core; echoed in replies.
    pub request: i32,
    /// Stable identity.
    pub uuid: Uuid,
}

/// How far an RPC has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RpcStatus {
    /// The request leaves.
    Sent,
    /// The device answered.
    Delivered,
    /// The device did not answer.
    Timeout,
}

/// A message towards the core.
#[derive(Clone, Debug, PartialEq)]
pub enum Uplink {
    /// A session begins: OPEN with both subscriptions.
    SessionOpened {
        /// The new session.
        session: Arc<SessionInfo>,
    },
    /// A session ends.
    SessionClosed {
        /// The session.
        session: Arc<SessionInfo>,
    },
    /// The device was active. `heartbeat` also repeats OPEN, which repairs what a restarted core forgot.
    Activity {
        /// The session.
        session: Arc<SessionInfo>,
        /// When it was last active.
        last_activity: UnixMillis,
        /// Whether to repeat OPEN.
        heartbeat: bool,
    },
    /// A device was bootstrapped, or tried to be: the report of a session of which the core hears nothing else.
    BootstrapReport {
        /// The session, which is no registration's.
        session: Arc<SessionInfo>,
        /// When the device was last active.
        last_activity: UnixMillis,
    },
    /// Time series. One entry per timestamp.
    Telemetry {
        /// Set when a device waits for durability; answered once for all entries.
        id: Option<UplinkId>,
        /// The session.
        session: Arc<SessionInfo>,
        /// Values by time, ascending.
        readings: Vec<Readings>,
    },
    /// Client-scope attributes.
    Attributes {
        /// Set when a device waits for durability.
        id: Option<UplinkId>,
        /// The session.
        session: Arc<SessionInfo>,
        /// Key and value; keys are unique.
        values: Vec<(String, KeyValue)>,
        /// When they were read.
        ts: UnixMillis,
    },
    /// Progress of an RPC.
    RpcStatus {
        /// The session.
        session: Arc<SessionInfo>,
        /// Which RPC.
        rpc: RpcId,
        /// How far.
        status: RpcStatus,
    },
    /// The answer to an RPC: the JSON body of `rpc.md` 1.2, as payload or as error.
    RpcReply {
        /// The session.
        session: Arc<SessionInfo>,
        /// Which RPC.
        rpc: RpcId,
        /// JSON text, payload or error.
        body: RpcBody,
    },
    /// Shared attributes are wanted; they arrive as [`super::Downlink::Attributes`].
    AttributesWanted {
        /// The session.
        session: Arc<SessionInfo>,
        /// Keys; empty means all.
        keys: Vec<String>,
    },
    /// The device woke up: queued RPC may come.
    PendingRpcWanted {
        /// The session.
        session: Arc<SessionInfo>,
    },
    /// A question; answered by [`super::Reply::Answer`].
    Question {
        /// Echoed in the answer.
        id: RequestId,
        /// What is asked.
        question: Question,
    },
}

/// What sort of uplink one is, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UplinkKind {
    /// [`Uplink::SessionOpened`]
    SessionOpened,
    /// [`Uplink::SessionClosed`]
    SessionClosed,
    /// [`Uplink::Activity`], [`Uplink::BootstrapReport`]
    Activity,
    /// [`Uplink::Telemetry`]
    Telemetry,
    /// [`Uplink::Attributes`]
    Attributes,
    /// [`Uplink::RpcStatus`]
    RpcStatus,
    /// [`Uplink::RpcReply`]
    RpcReply,
    /// [`Uplink::AttributesWanted`]
    AttributesWanted,
    /// [`Uplink::PendingRpcWanted`]
    PendingRpcWanted,
    /// [`Uplink::Question`]
    Question,
}

impl Uplink {
    /// What sort of uplink this is.
    pub const fn kind(&self) -> UplinkKind {
        match self {
            Self::SessionOpened { .. } => UplinkKind::SessionOpened,
            Self::SessionClosed { .. } => UplinkKind::SessionClosed,
            Self::Activity { .. } | Self::BootstrapReport { .. } => UplinkKind::Activity,
            Self::Telemetry { .. } => UplinkKind::Telemetry,
            Self::Attributes { .. } => UplinkKind::Attributes,
            Self::RpcStatus { .. } => UplinkKind::RpcStatus,
            Self::RpcReply { .. } => UplinkKind::RpcReply,
            Self::AttributesWanted { .. } => UplinkKind::AttributesWanted,
            Self::PendingRpcWanted { .. } => UplinkKind::PendingRpcWanted,
            Self::Question { .. } => UplinkKind::Question,
        }
    }
}

/// A reply body and the member in which it travels (`rpc.md` 1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcBody {
    /// `payload`: the body has no `error` member, or an empty one.
    Payload(String),
    /// `error`
    Error(String),
}

impl RpcBody {
    /// The JSON text.
    pub fn text(&self) -> &str {
        match self {
            Self::Payload(text) | Self::Error(text) => text,
        }
    }
}

/// What an endpoint or a handshake may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who is this? `id` is an endpoint name, a PSK identity or a certificate hash.
    Credentials {
        /// `credentialsId`
        id: String,
    },
    /// The models of these objects in these versions.
    Models {
        /// Whose models.
        tenant: PlatformId,
        /// Object ids with version.
        keys: Vec<(ObjectId, ObjectVersion)>,
    },
    /// Which package is assigned to this device? [`QuestionError::NotFound`]: none; [`QuestionError::Invalid`]: one that
    /// the platform does not hold itself; [`QuestionError::Limited`]: it may be asked later.
    Package {
        /// The device's tenant.
        tenant: PlatformId,
        /// The device.
        device: PlatformId,
        /// What it is to update.
        kind: PackageKind,
    },
    /// The bytes of a package. [`QuestionError::NotFound`]: they are not where the platform puts them;
    /// [`QuestionError::Invalid`]: they can never be had; [`QuestionError::Unavailable`]: not this time.
    PackageBytes(PackageId),
}

/// How an uplink ended for which a device waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It survives a crash of this process: acknowledge.
    Durable,
    /// It will never be stored (limit, too large): acknowledge and count.
    Rejected(RejectReason),
    /// It could not be stored: do not acknowledge.
    Unavailable,
}

/// Why an uplink will never be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// A rate limit or quota of the tenant.
    Limit,
    /// Larger than the broker accepts.
    TooLarge,
}

/// Why an uplink was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Queues are full or the broker is away.
    #[error("the platform cannot take it now")]
    Busy,
    /// The platform side has stopped.
    #[error("the platform side has stopped")]
    Stopped,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum QuestionError {
    /// The core was asked and refuses or does not know.
    #[error("unknown to the platform")]
    NotFound,
    /// The core knows, but what it said cannot be used.
    #[error("the platform's answer cannot be used")]
    Invalid,
    /// The core did not answer in time, or cannot be reached.
    #[error("the platform does not answer")]
    Unavailable,
    /// The core was not asked: the tenant's state or limits forbid it now.
    #[error("beyond the limits of the tenant")]
    Limited,
}
