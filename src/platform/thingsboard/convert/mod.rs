//! Between the values of the seam and the platform's protobuf messages: the only place that knows both.
//!
//! Everything enters and leaves as bytes, so generated types stay inside. Decoding never panics; a member that is not
//! known is skipped.

mod api;
mod core;
mod notification;
mod profile;
mod rule_engine;
mod usage;

pub use api::{Answer, ApiQuestion, answer, question};
pub use core::{CoreMessage, core_message};
pub use notification::{Broadcast, EntityKind, Notification, notification};
pub use profile::{ProfileRecord, TenantProfile, TenantRecord, TenantState};
pub use rule_engine::{Form, RuleEngineMessage, rule_engine_message};
pub use usage::{Usage, legacy_usage_message, usage_message};

use uuid::Uuid;

use super::super::session::PlatformId;
use super::routing::{Queue, QueueInfo};
use crate::lwm2m::path::{ObjectId, ObjectVersion};

/// Why bytes from the core are not what they should be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Not the expected message.
    #[error("not the expected protobuf message")]
    Protobuf(#[from] prost::DecodeError),
    /// A JSON document inside is not usable.
    #[error("unusable JSON: {0}")]
    Json(String),
    /// A member that must be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The profile is none of LwM2M devices.
    #[error("the profile is for transport `{0}`")]
    Transport(String),
}

/// Both halves of a UUID, as the messages carry it.
fn halves(id: Uuid) -> (i64, i64) {
    let (most, least) = id.as_u64_pair();
    (most.cast_signed(), least.cast_signed())
}

/// The UUID of two halves.
fn uuid(most: i64, least: i64) -> Uuid {
    Uuid::from_u64_pair(most.cast_unsigned(), least.cast_unsigned())
}

fn platform_id(most: i64, least: i64) -> PlatformId {
    PlatformId(uuid(most, least))
}

/// An id that readers take as absent when either half is 0.
fn optional_id(most: i64, least: i64) -> Option<PlatformId> {
    (most != 0 && least != 0).then(|| platform_id(most, least))
}

/// The customer of a device: none is written as the null UUID, as zeros, or not at all.
fn customer(most: i64, least: i64) -> PlatformId {
    optional_id(most, least).unwrap_or(PlatformId::NULL)
}

/// Reads `<object id>_<version>`.
fn model_key(text: &str) -> Option<(ObjectId, ObjectVersion)> {
    let (object, version) = text.split_once('_')?;
    Some((object.parse().ok()?, version.parse().ok()?))
}

/// A queue; one without name, topic or a sensible partition count is none.
fn queue_info(
    owner: PlatformId,
    name: String,
    topic: String,
    partitions: i32,
    duplicate: Option<bool>,
) -> Option<QueueInfo> {
    let partitions = u32::try_from(partitions)
        .ok()
        .filter(|count| (1..=MAX_PARTITIONS).contains(count))?;
    (!name.is_empty() && !topic.is_empty()).then_some(QueueInfo {
        owner,
        name,
        queue: Queue {
            topic,
            partitions,
            duplicate: duplicate.unwrap_or(false),
        },
    })
}

/// Far above any real installation; bounds what a broken message can make us write.
const MAX_PARTITIONS: u32 = 10_000;

/// What the platform calls the transport, the resource type, the originator.
const TRANSPORT_TYPE: &str = "LWM2M";
const MODEL_TYPE: &str = "LWM2M_MODEL";
const DEVICE: &str = "DEVICE";
