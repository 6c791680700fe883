//! Trees of values, as read from or written to a device.
//!
//! Children keep the order in which the payload gave them, because the text form that platform users see depends on
//! it; ids are unique among siblings (decoders refuse duplicates).

use super::{
    path::{InstanceId, ObjectId, ResourceId, ResourceInstanceId},
    value::{ResourceType, Value},
};

/// What a path can address.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// An object with its instances.
    Object(Object),
    /// An object instance with its resources.
    ObjectInstance(ObjectInstance),
    /// A resource with its value or values.
    Resource(Resource),
    /// One instance of a multiple resource.
    ResourceInstance(ResourceInstance),
}

/// An object and its instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Object id.
    pub id: ObjectId,
    /// Instances in payload order.
    pub instances: Vec<ObjectInstance>,
}

/// An object instance and its resources.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectInstance {
    /// Object instance id.
    pub id: InstanceId,
    /// Resources in payload order.
    pub resources: Vec<Resource>,
}

/// A resource: one value, or numbered instances.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Resource id.
    pub id: ResourceId,
    /// Its content.
    pub content: ResourceContent,
}

/// The content of a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceContent {
    /// A single-instance resource.
    Single(Value),
    /// A multiple-instance resource; all values are of `kind`.
    Multiple {
        /// Type of every instance (needed when there are none).
        kind: ResourceType,
        /// Instances in payload order.
        instances: Vec<ResourceInstance>,
    },
}

/// One instance of a multiple resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceInstance {
    /// Resource instance id.
    pub id: ResourceInstanceId,
    /// Its value.
    pub value: Value,
}

impl Resource {
    /// A single-instance resource.
    pub const fn single(id: ResourceId, value: Value) -> Self {
        Self {
            id,
            content: ResourceContent::Single(value),
        }
    }

    /// A multiple-instance resource.
    pub const fn multiple(
        id: ResourceId,
        kind: ResourceType,
        instances: Vec<ResourceInstance>,
    ) -> Self {
        Self {
            id,
            content: ResourceContent::Multiple { kind, instances },
        }
    }

    /// The type of its value or values.
    pub const fn resource_type(&self) -> ResourceType {
        match &self.content {
            ResourceContent::Single(value) => value.resource_type(),
            ResourceContent::Multiple { kind, .. } => *kind,
        }
    }
}
