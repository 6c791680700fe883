//! All versions of all object models, side by side.

use std::{collections::BTreeMap, sync::Arc};

use super::ObjectModel;
use crate::lwm2m::path::{ObjectId, ObjectVersion};

/// Object models by id and version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelCatalog {
    models: BTreeMap<(ObjectId, ObjectVersion), Arc<ObjectModel>>,
}

impl ModelCatalog {
    /// Adds a model and returns the one it replaces, which has the same id and version.
    pub fn insert(&mut self, model: Arc<ObjectModel>) -> Option<Arc<ObjectModel>> {
        self.models.insert((model.id, model.version), model)
    }

    /// Forgets a model.
    pub fn remove(&mut self, id: ObjectId, version: ObjectVersion) -> Option<Arc<ObjectModel>> {
        self.models.remove(&(id, version))
    }

    /// The model of exactly this version.
    pub fn exact(&self, id: ObjectId, version: ObjectVersion) -> Option<&Arc<ObjectModel>> {
        self.models.get(&(id, version))
    }

    /// The model of this version or else the newest with the same major version.
    pub fn best(&self, id: ObjectId, version: ObjectVersion) -> Option<&Arc<ObjectModel>> {
        self.exact(id, version).or_else(|| {
            let first = ObjectVersion::new(version.major, 0);
            let last = ObjectVersion::new(version.major, u8::MAX);
            let (_, newest) = self.models.range((id, first)..=(id, last)).next_back()?;
            Some(newest)
        })
    }

    /// The models by id, then version.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ObjectModel>> {
        self.models.values()
    }
}

impl Extend<Arc<ObjectModel>> for ModelCatalog {
    fn extend<I: IntoIterator<Item = Arc<ObjectModel>>>(&mut self, models: I) {
        for model in models {
            self.insert(model);
        }
    }
}

impl FromIterator<Arc<ObjectModel>> for ModelCatalog {
    fn from_iter<I: IntoIterator<Item = Arc<ObjectModel>>>(models: I) -> Self {
        let mut catalog = Self::default();
        catalog.extend(models);
        catalog
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: ObjectId, major: u8, minor: u8, name: &str) -> Arc<ObjectModel> {
        Arc::new(ObjectModel {
            id,
            version: ObjectVersion::new(major, minor),
            name: name.into(),
            multiple: false,
            mandatory: false,
            resources: BTreeMap::new(),
        })
    }

    fn catalog() -> ModelCatalog {
        ModelCatalog::from_iter([
            model(3, 1, 0, "a"),
            model(3, 1, 2, "b"),
            model(3, 2, 0, "c"),
            model(4, 1, 9, "d"),
        ])
    }

    #[test]
    fn p42_finds_the_exact_version_or_the_newest_of_its_major() {
        let catalog = catalog();
        let best = |id, major, minor| {
            let version = ObjectVersion::new(major, minor);
            catalog.best(id, version).map(|model| model.name.clone())
        };
        assert_eq!(best(3, 1, 0).as_deref(), Some("a"));
        assert_eq!(best(3, 1, 1).as_deref(), Some("b"));
        assert_eq!(best(3, 1, 7).as_deref(), Some("b"));
        assert_eq!(best(3, 2, 1).as_deref(), Some("c"));
        assert_eq!(best(3, 3, 0), None);
        assert_eq!(best(5, 1, 0), None);
        assert!(catalog.exact(3, ObjectVersion::new(1, 1)).is_none());
    }

    #[test]
    fn a44_versions_live_side_by_side_and_only_the_same_one_is_replaced() {
        let mut catalog = catalog();
        let replaced = catalog.insert(model(3, 1, 2, "new"));
        assert_eq!(replaced.unwrap().name, "b");
        assert_eq!(catalog.iter().count(), 4);
        assert!(catalog.remove(3, ObjectVersion::V1_0).is_some());
        assert!(catalog.remove(3, ObjectVersion::V1_0).is_none());
        let versions: Vec<String> = catalog
            .iter()
            .map(|model| format!("{}_{}", model.id, model.version))
            .collect();
        assert_eq!(versions, ["3_1.2", "3_2.0", "4_1.9"]);
    }
}
