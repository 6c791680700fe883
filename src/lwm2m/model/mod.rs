//! Object models: what an object's resources are called, what they hold, what may be done with them.

pub mod core;
pub mod ddf;

mod catalog;

pub use catalog::ModelCatalog;

use std::{collections::BTreeMap, sync::Arc};

use super::{
    path::{ObjectId, ObjectVersion, ResourceId},
    value::ResourceType,
};

/// The definition of one object in one version.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectModel {
    /// Object id.
    pub id: ObjectId,
    /// Object version.
    pub version: ObjectVersion,
    /// Name, as in the registry.
    pub name: String,
    /// Whether there may be several instances.
    pub multiple: bool,
    /// Whether every client must have it.
    pub mandatory: bool,
    /// Resources by id.
    pub resources: BTreeMap<ResourceId, ResourceModel>,
}

/// The definition of one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceModel {
    /// Resource id.
    pub id: ResourceId,
    /// Name, as in the registry.
    pub name: String,
    /// What may be done with it.
    pub operations: Operations,
    /// Whether it has numbered instances.
    pub multiple: bool,
    /// Whether every instance of the object must have it.
    pub mandatory: bool,
    /// Type of its value.
    pub kind: ResourceType,
    /// Range or enumeration, free text, a hint only.
    pub range: String,
    /// Units, free text.
    pub units: String,
}

/// The operations a resource supports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operations {
    /// May be read and observed.
    pub read: bool,
    /// May be written.
    pub write: bool,
    /// May be executed.
    pub execute: bool,
}

/// The models by which one endpoint's values are read: at most one version per object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Models {
    by_object: BTreeMap<ObjectId, Arc<ObjectModel>>,
}

impl Models {
    /// Adds a model, replacing another version of the same object.
    pub fn insert(&mut self, model: Arc<ObjectModel>) {
        self.by_object.insert(model.id, model);
    }

    /// Forgets an object's model.
    pub fn remove(&mut self, object: ObjectId) {
        self.by_object.remove(&object);
    }

    /// The model of an object.
    pub fn object(&self, object: ObjectId) -> Option<&Arc<ObjectModel>> {
        self.by_object.get(&object)
    }

    /// The model of a resource.
    pub fn resource(&self, object: ObjectId, resource: ResourceId) -> Option<&ResourceModel> {
        self.by_object.get(&object)?.resources.get(&resource)
    }
}

impl FromIterator<Arc<ObjectModel>> for Models {
    fn from_iter<I: IntoIterator<Item = Arc<ObjectModel>>>(models: I) -> Self {
        let mut all = Self::default();
        models.into_iter().for_each(|model| all.insert(model));
        all
    }
}
