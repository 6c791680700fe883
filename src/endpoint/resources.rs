//! The object models by which the device's values are read, and the last values seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    lwm2m::{
        model::{Models, ObjectModel},
        node::{Resource, ResourceContent},
        path::{ObjectId, Path},
        value::Value,
    },
    platform::{RequestId, time::UnixMillis},
    store::record,
};

use super::persistence::values;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Resources {
    models: Models,
    /// The questions that are to bring models; commands wait for all of them.
    awaited: BTreeSet<RequestId>,
    known: bool,
    /// Objects and object instances for which the profile's work has begun.
    begun: BTreeSet<Path>,
    /// Whether it has begun for all that the device has.
    all_begun: bool,
    values: BTreeMap<Path, (Resource, UnixMillis)>,
    /// Bytes that `values` takes, about.
    used: usize,
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
        self.all_begun = false;
    }

    /// Whether the profile's work has begun for all that the device has.
    pub(super) const fn all_begun(&self) -> bool {
        self.all_begun
    }

    /// Notes that `question` replaces those that are awaited.
    pub(super) fn await_instead(&mut self, question: RequestId) {
        self.awaited = BTreeSet::from([question]);
    }

    /// Whether `question` is awaited.
    pub(super) fn awaits(&self, question: RequestId) -> bool {
        self.awaited.contains(&question)
    }

    /// Whether models are to come still.
    pub(super) fn are_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Takes the models that `question` has brought.
    pub(super) fn learn(&mut self, question: RequestId, models: Vec<Arc<ObjectModel>>) {
        self.awaited.remove(&question);
        self.known |= self.awaited.is_empty();
        models
            .into_iter()
            .for_each(|model| self.models.insert(model));
    }

    /// Notes which objects and object instances the device has now, and answers those for which the profile's work is
    /// still to begin. What comes back after it was gone is new.
    pub(super) fn begin(&mut self, there: BTreeSet<Path>) -> Vec<Path> {
        self.all_begun = true;
        let begun = std::mem::replace(&mut self.begun, there);
        self.begun.difference(&begun).copied().collect()
    }

    /// Whether the profile's work has begun for what lies at this path.
    pub(super) fn has_begun(&self, path: &Path) -> bool {
        self.begun.iter().any(|own| own.contains(path))
    }

    /// Takes a changed or deleted model.
    pub(super) fn change_model(&mut self, object: ObjectId, model: Option<Arc<ObjectModel>>) {
        match model {
            Some(model) => self.models.insert(model),
            None => self.models.remove(object),
        }
    }

    /// Remembers a resource, unless the device has used up its room.
    pub(super) fn store(&mut self, path: Path, resource: &Resource, ts: UnixMillis) {
        if let Some((old, _)) = self.values.remove(&path) {
            self.used = self.used.saturating_sub(size(&old));
        }
        let size = size(resource);
        if self.used.saturating_add(size) <= MAX_VALUES_BYTES {
            self.used = self.used.saturating_add(size);
            self.values.insert(path, (detached(resource), ts));
        }
    }

    /// Forgets what was at a path and below.
    pub(super) fn forget(&mut self, gone: &Path) {
        let used = &mut self.used;
        self.values.retain(|path, (resource, _)| {
            let stays = !gone.contains(path);
            if !stays {
                *used = used.saturating_sub(size(resource));
            }
            stays
        });
        let (Some(parent), Some(id)) = (gone.parent(), gone.resource_instance_id()) else {
            return;
        };
        if let Some((mut resource, ts)) = self.values.get(&parent).cloned() {
            if let ResourceContent::Multiple { instances, .. } = &mut resource.content {
                instances.retain(|instance| instance.id != id);
            }
            self.store(parent, &resource, ts);
        }
    }

    /// What is kept of the values.
    pub(super) fn record(&self) -> Vec<record::LastValue> {
        let mut room = MAX_KEPT_BYTES;
        let mut kept = Vec::new();
        for (path, resource, ts) in self.values() {
            if let Some(left) = room.checked_sub(size(resource)) {
                room = left;
                kept.push(values::record(path, resource, ts));
            }
        }
        kept
    }

    /// What was kept: the values, and that the profile's work is done for all of `there`, or for nothing. `question` will
    /// bring more.
    pub(super) fn restored(
        record: &[record::LastValue],
        there: Option<BTreeSet<Path>>,
        question: RequestId,
    ) -> Self {
        let mut restored = Self {
            all_begun: there.is_some(),
            begun: there.unwrap_or_default(),
            ..Self::awaiting(question)
        };
        for value in record {
            if let Some((path, resource, ts)) = values::restored(value) {
                restored.store(path, &resource, ts);
            }
        }
        restored
    }

    /// The profile's work is to begin for everything.
    pub(super) fn begin_anew(&mut self) {
        self.begun.clear();
        self.all_begun = false;
    }

    /// The last value of a resource.
    pub(super) fn get(&self, path: &Path) -> Option<&Resource> {
        self.values.get(path).map(|(resource, _)| resource)
    }

    /// Last values, by path.
    pub(super) fn values(&self) -> impl Iterator<Item = (&Path, &Resource, UnixMillis)> {
        self.values
            .iter()
            .map(|(path, (resource, ts))| (path, resource, *ts))
    }
}

/// About how much memory a remembered resource takes, bytes.
fn size(resource: &Resource) -> usize {
    let value = |value: &Value| {
        let own = match value {
            Value::String(text) | Value::CoreLink(text) => text.len(),
            Value::Opaque(bytes) => bytes.len(),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Time(_)
            | Value::ObjectLink(..)
            | Value::UnsignedInteger(_) => 0,
        };
        own.saturating_add(size_of::<Value>())
    };
    let content = match &resource.content {
        ResourceContent::Single(own) => value(own),
        ResourceContent::Multiple { instances, .. } => {
            instances.iter().map(|own| value(&own.value)).sum()
        }
    };
    content.saturating_add(ENTRY_BYTES)
}

/// A copy that does not hold the datagram in which an opaque value came.
fn detached(resource: &Resource) -> Resource {
    let mut copy = resource.clone();
    let detach = |value: &mut Value| {
        if let Value::Opaque(bytes) = value {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    };
    match &mut copy.content {
        ResourceContent::Single(value) => detach(value),
        ResourceContent::Multiple { instances, .. } => {
            instances.iter_mut().for_each(|own| detach(&mut own.value));
        }
    }
    copy
}

/// Memory for the last values of one endpoint.
const MAX_VALUES_BYTES: usize = 64 * 1024;
/// Room for the last values in the record of one endpoint, in the same measure.
const MAX_KEPT_BYTES: usize = 16 * 1024;
/// What an entry costs beside its values.
const ENTRY_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lwm2m::{node::ResourceInstance, value::ResourceType};

    #[test]
    fn last_values_have_a_byte_budget() {
        let mut resources = Resources::default();
        let text = |length| Resource::single(0, Value::String("x".repeat(length)));
        for instance in 0..1000 {
            let path = Path::resource(3, instance, 0);
            resources.store(path, &text(1000), UnixMillis(0));
        }
        let kept = resources.values().count();
        assert!((50..64).contains(&kept), "{kept}");
        let first = Path::resource(3, 0, 0);
        resources.store(first, &text(10), UnixMillis(1));
        assert_eq!(resources.values().count(), kept, "a known path is replaced");
        let total: usize = resources.values().map(|(_, own, _)| size(own)).sum();
        assert_eq!(resources.used, total);
    }

    #[test]
    fn what_is_gone_from_the_device_is_forgotten() {
        let mut resources = Resources::default();
        let instances = [0, 1].map(|id| ResourceInstance {
            id,
            value: Value::Integer(7),
        });
        let multiple = Resource::multiple(0, ResourceType::Integer, instances.to_vec());
        let path = |instance| Path::resource(19, instance, 0);
        resources.store(path(0), &multiple, UnixMillis(0));
        resources.store(path(1), &multiple, UnixMillis(0));
        resources.forget(&Path::instance(19, 1));
        resources.forget(&Path::resource_instance(19, 0, 0, 1));
        let left: Vec<_> = resources.values().collect();
        let [instance, _] = instances;
        let single = Resource::multiple(0, ResourceType::Integer, vec![instance]);
        assert_eq!(left, [(&path(0), &single, UnixMillis(0))]);
        assert_eq!(resources.used, size(&single));
    }
}
