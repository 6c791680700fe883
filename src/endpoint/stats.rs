//! Counters of an endpoint, and its description for people.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    coap::CoapStats,
    lwm2m::{
        node::ResourceContent,
        path::{ObjectId, Path},
    },
};

use super::{
    EndpointName, observation::Observations, ota::Status, presence::Presence,
    registration::Registration, resources::Resources, rpc::render,
};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What an endpoint has counted since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct EndpointStats {
            /// The message layer's counters.
            pub coap: CoapStats,
            $($(#[$doc])* pub $name: u64,)+
        }

        impl EndpointStats {
            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { coap: self.coap.since(&earlier.coap), $($name: self.$name - earlier.$name,)+ }
            }
        }
    };
}

counters! {
    /// Registers accepted.
    registered,
    /// Registers refused by the platform, or because it does not answer.
    refused,
    /// Registrations that a new Register replaced.
    replaced,
    /// Registers dropped because another one of the same name is being decided.
    dropped_registers,
    /// Registers answered 4.29 because the name registers too often.
    flapping,
    /// Messages dropped because the device sends too many.
    limited,
    /// Updates accepted.
    updated,
    /// Deviations from the link format that were forgiven in the object lists of accepted Registers and Updates.
    link_deviations,
    /// De-registers accepted.
    deregistered,
    /// Lifetimes that ended.
    expired,
    /// Notifications whose values went to the platform.
    notifications,
    /// Notifications that map to no key.
    unmapped_notifications,
    /// Payloads or values that could not be decoded.
    undecodable,
    /// Notifications that were not acknowledged because the platform could not store them.
    unacknowledged,
    /// Times stated by devices that cannot be: before 1970, or more than a day ahead.
    implausible_times,
    /// Sends whose values went to the platform.
    sends,
    /// Sends that map to no key.
    unmapped_sends,
    /// Sends refused for what they hold.
    refused_sends,
    /// Sends answered 5.03 because the platform could not store them in time.
    unavailable_sends,
    /// RPC received.
    rpc,
    /// RPC answered.
    answered_rpc,
    /// RPC answered with an error, of the device or because they cannot be carried out.
    failed_rpc,
    /// RPC that ended with their registration, or that a move of the device cut off.
    cancelled_rpc,
    /// RPC received twice.
    duplicate_rpc,
    /// RPC refused because too many wait, for the device or in all.
    overflowed_rpc,
    /// RPC dropped unsent because their time had passed.
    expired_rpc,
    /// RPC to which the device did not answer.
    timed_out_rpc,
    /// Persistent RPC left to the core, unsent, because the device was asleep or its registration ended.
    postponed_rpc,
    /// How often the device fell asleep.
    asleep,
    /// Updates reported as DOWNLOADING.
    ota_downloading,
    /// Updates reported as DOWNLOADED.
    ota_downloaded,
    /// Updates reported as VERIFIED.
    ota_verified,
    /// Updates reported as UPDATING.
    ota_updating,
    /// Updates reported as UPDATED.
    ota_updated,
    /// Updates reported as FAILED.
    ota_failed,
}

impl EndpointStats {
    /// The states of updates that were reported since `earlier`.
    pub fn ota_states_since(&self, earlier: &Self) -> impl Iterator<Item = &'static str> + use<> {
        let states = [
            (
                Status::Downloading,
                self.ota_downloading - earlier.ota_downloading,
            ),
            (
                Status::Downloaded,
                self.ota_downloaded - earlier.ota_downloaded,
            ),
            (Status::Verified, self.ota_verified - earlier.ota_verified),
            (Status::Updating, self.ota_updating - earlier.ota_updating),
            (Status::Updated, self.ota_updated - earlier.ota_updated),
            (Status::Failed, self.ota_failed - earlier.ota_failed),
        ];
        let reported = states.into_iter().filter(|(_, count)| *count > 0);
        reported.map(|(status, _)| status.name())
    }

    /// Counts a report on an update.
    pub(super) const fn count_ota(&mut self, status: Status) {
        let counter = match status {
            Status::Downloading => &mut self.ota_downloading,
            Status::Downloaded => &mut self.ota_downloaded,
            Status::Verified => &mut self.ota_verified,
            Status::Updating => &mut self.ota_updating,
            Status::Updated => &mut self.ota_updated,
            Status::Failed => &mut self.ota_failed,
        };
        *counter += 1;
    }
}

/// What an endpoint has open at one moment, message layer included. All of it is bounded, and ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenWork {
    /// RPC that wait or are under way.
    pub rpc: usize,
    /// Requests to the device that wait or are under way, RPC included.
    pub requests: usize,
    /// Requests without response, as the message layer has them.
    pub exchanges: usize,
    /// Observations.
    pub observations: usize,
    /// Observations as the message layer has them: those that the device is still to be told of are in.
    pub relations: usize,
    /// Messages of the device that wait for the platform.
    pub messages: usize,
    /// Message ids of the device that are remembered.
    pub remembered: usize,
    /// Last known values.
    pub values: usize,
}

/// An endpoint as a person sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EndpointSummary {
    /// Endpoint client name.
    pub endpoint: String,
    /// Device name at the platform.
    pub device: String,
    /// Registration id.
    pub registration: String,
    /// Address of the device.
    pub address: String,
    /// Enabler version.
    pub version: String,
    /// Binding, as registered.
    pub binding: String,
    /// Lifetime in seconds; `None` for ever.
    pub lifetime_s: Option<u64>,
    /// Last Register or Update, ms since 1970.
    pub last_update: i64,
    /// Last message of any kind, ms since 1970.
    pub last_heard: i64,
    /// Whether it sleeps: requests wait until it says something.
    pub asleep: bool,
    /// Object links, as registered.
    pub objects: Vec<String>,
    /// The version in which it has each object.
    pub versions: BTreeMap<ObjectId, String>,
    /// Paths observed.
    pub observed: Vec<String>,
    /// Last values, by path.
    pub values: Vec<ValueSummary>,
}

/// A value as a person sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ValueSummary {
    /// Its path.
    pub path: String,
    /// The value, as text.
    pub value: String,
    /// When it was read, ms since 1970.
    pub ts: i64,
}

impl EndpointSummary {
    pub(super) fn of(
        name: &EndpointName,
        registration: &Registration,
        presence: &Presence,
        observations: &Observations,
        resources: &Resources,
    ) -> Self {
        let data = &registration.data;
        Self {
            endpoint: name.to_string(),
            device: registration.session.device.name.clone(),
            registration: registration.id.to_string(),
            address: registration.peer.id.to_string(),
            version: data.version.to_string(),
            binding: data.binding.to_string(),
            lifetime_s: data.lifetime.duration().map(|lifetime| lifetime.as_secs()),
            last_update: registration.last_update.0,
            last_heard: presence.last_heard().max(registration.last_update).0,
            asleep: presence.is_asleep(),
            objects: data
                .objects
                .links()
                .iter()
                .map(|link| link.uri.clone())
                .collect(),
            versions: data
                .objects
                .objects()
                .iter()
                .map(|(id, object)| (*id, object.version.to_string()))
                .collect(),
            observed: observations
                .iter()
                .flat_map(|(_, observed)| observed.paths.as_slice())
                .map(Path::to_string)
                .collect(),
            values: resources
                .values()
                .map(|(path, resource, ts)| ValueSummary {
                    path: path.to_string(),
                    value: value_text(&resource.content),
                    ts: ts.0,
                })
                .collect(),
        }
    }
}

fn value_text(content: &ResourceContent) -> String {
    match content {
        ResourceContent::Single(value) => render::Text(value).to_string(),
        ResourceContent::Multiple { instances, .. } => {
            let all: Vec<_> = instances
                .iter()
                .map(|instance| format!("{}: {}", instance.id, render::Text(&instance.value)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
    }
}
