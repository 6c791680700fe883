//! The object models by which the device's values are read, and the last values seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    lwm2m::{
        model::{Models, ObjectModel},
        node::{Resource, ResourceContent},
        path::{ObjectId, Path},
    },
    platform::{RequestId, time::UnixMillis},
};

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Resources {
    models: Models,
    /// The questions that are to bring models; commands wait for all of them.
    awaited: BTreeSet<RequestId>,
    known: bool,
    /// Objects for which the profile's work has begun.
    begun: BTreeSet<ObjectId>,
    values: BTreeMap<Path, (Resource, UnixMillis)>,
}

impl Resources {
    /// Nothing is known yet; `question` will bring the models.
    pub(super) fn awaiting(question: RequestId) -> Self {
        Self {
            awaited: BTreeSet::from([question]),
            ..Self::default()
        }
    }

    /// The models known so far.
    pub(super) fn models(&self) -> &Models {
        &self.models
    }

    /// Whether the platform has said which models it has.
    pub(super) fn are_known(&self) -> bool {
        self.known
    }

    /// Notes that `question` will bring more models.
    pub(super) fn await_models(&mut self, question: RequestId) {
        self.awaited.insert(question);
    }

    /// Notes that `question` replaces those that are awaited.
    pub(super) fn await_instead(&mut self, question: RequestId) {
        self.awaited = BTreeSet::from([question]);
    }

    /// Whether `question` is awaited.
    pub(super) fn awaits(&self, question: RequestId) -> bool {
        self.awaited.contains(&question)
    }

    /// Takes the models that `question` has brought.
    pub(super) fn learn(&mut self, question: RequestId, models: Vec<Arc<ObjectModel>>) {
        self.awaited.remove(&question);
        self.known |= self.awaited.is_empty();
        models
            .into_iter()
            .for_each(|model| self.models.insert(model));
    }

    /// Whether the profile's work for an object has begun.
    pub(super) fn has_begun(&self, object: Option<ObjectId>) -> bool {
        object.is_some_and(|object| self.begun.contains(&object))
    }

    /// Notes for which objects the profile's work begins.
    pub(super) fn begin(&mut self, objects: impl IntoIterator<Item = ObjectId>) {
        self.begun.extend(objects);
    }

    /// Takes a changed or deleted model.
    pub(super) fn change_model(&mut self, object: ObjectId, model: Option<Arc<ObjectModel>>) {
        match model {
            Some(model) => self.models.insert(model),
            None => self.models.remove(object),
        }
    }

    /// Remembers a resource.
    pub(super) fn store(&mut self, path: Path, resource: Resource, ts: UnixMillis) {
        if self.values.len() < MAX_VALUES || self.values.contains_key(&path) {
            self.values.insert(path, (resource, ts));
        }
    }

    /// Adds the instances known of a resource to one of which only some were told.
    pub(super) fn complete(&self, path: &Path, resource: &mut Resource) {
        let (Some((known, _)), ResourceContent::Multiple { instances, .. }) =
            (self.values.get(path), &mut resource.content)
        else {
            return;
        };
        let ResourceContent::Multiple {
            instances: known, ..
        } = &known.content
        else {
            return;
        };
        let new = std::mem::take(instances);
        instances.extend(
            known
                .iter()
                .filter(|old| new.iter().all(|own| own.id != old.id))
                .cloned(),
        );
        instances.extend(new);
        instances.sort_by_key(|instance| instance.id);
    }

    /// Last values, by path.
    pub(super) fn values(&self) -> impl Iterator<Item = (&Path, &Resource, UnixMillis)> {
        self.values
            .iter()
            .map(|(path, (resource, ts))| (path, resource, *ts))
    }
}

/// Resources remembered per endpoint.
const MAX_VALUES: usize = 1024;
