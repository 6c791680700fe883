//! What a server changes on a simulated device: values, instances, attributes. A request is carried out in whole or not
//! at all.

use std::sync::Arc;

use crate::lwm2m::{
    attributes::NotificationAttributes,
    model::{ObjectModel, ResourceModel},
    node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
    path::Path,
};

use super::objects::{Refusal, SimObjects};

impl SimObjects {
    /// Writes what a request says at `path`; `replace` also removes what it does not say: other instances of a multiple
    /// resource, other writable resources of an instance. Returns the paths of the values written.
    pub(super) fn write(
        &mut self,
        path: &Path,
        node: &Node,
        replace: bool,
    ) -> Result<Vec<Path>, Refusal> {
        self.check_write(path, node)?;
        let mut written = Vec::new();
        match node {
            Node::ObjectInstance(instance) => {
                if replace {
                    self.clear_writable(path);
                }
                for resource in &instance.resources {
                    let path = path.child(resource.id).ok_or(Refusal::BadValue)?;
                    self.put(&path, resource, replace, &mut written);
                }
            }
            Node::Resource(resource) => self.put(path, resource, replace, &mut written),
            Node::ResourceInstance(ResourceInstance { value, .. }) => {
                self.values.insert(*path, value.clone());
                written.push(*path);
            }
            Node::Object(_) => return Err(Refusal::NotAllowed),
        }
        Ok(written)
    }

    /// Whether all of a write is possible.
    pub(super) fn check_write(&self, path: &Path, node: &Node) -> Result<(), Refusal> {
        let object = self.model_of(path)?;
        let (Some(instance), true) = (path.instance_id(), path.depth() > 1) else {
            return Err(Refusal::NotAllowed);
        };
        if !self.has_instance(object.id, instance) {
            return Err(Refusal::NotFound);
        }
        let writable = |id: &u16| {
            let model = object.resources.get(id).ok_or(Refusal::NotFound)?;
            if model.operations.write {
                Ok(model)
            } else {
                Err(Refusal::NotAllowed)
            }
        };
        match node {
            Node::ObjectInstance(instance) => instance
                .resources
                .iter()
                .try_for_each(|resource| check_shape(writable(&resource.id)?, resource)),
            Node::Resource(resource) => check_shape(writable(&resource.id)?, resource),
            Node::ResourceInstance(_) => {
                let model = writable(&path.resource_id().ok_or(Refusal::NotFound)?)?;
                if model.multiple {
                    Ok(())
                } else {
                    Err(Refusal::NotFound)
                }
            }
            Node::Object(_) => Err(Refusal::NotAllowed),
        }
    }

    /// The path of an instance that a Create without id gets.
    pub(super) fn free_instance(&self, object: &Path) -> Option<Path> {
        let id = object.object_id()?;
        (0..u16::MAX)
            .find(|instance| !self.has_instance(id, *instance))
            .and_then(|instance| object.child(instance))
    }

    /// Adds instances to an object of several.
    pub(super) fn create(&mut self, created: &Object) -> Result<(), Refusal> {
        let object = self.creatable(&Path::object(created.id))?;
        for instance in &created.instances {
            if self.has_instance(created.id, instance.id) {
                return Err(Refusal::Exists(instance.id));
            }
            for resource in &instance.resources {
                let model = object.resources.get(&resource.id);
                check_shape(model.ok_or(Refusal::NotFound)?, resource)?;
            }
        }
        for instance in &created.instances {
            self.add(created.id, instance);
        }
        Ok(())
    }

    /// The model of an object that may have further instances.
    pub(super) fn creatable(&self, object: &Path) -> Result<Arc<ObjectModel>, Refusal> {
        let model = self.model_of(object)?;
        if object.depth() == 1 && model.multiple {
            Ok(Arc::clone(model))
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// Puts an instance in the place of whatever was at its path.
    pub(super) fn replace_instance(&mut self, path: &Path, instance: &ObjectInstance) {
        self.remove(path);
        if let Some(object) = path.object_id() {
            self.add(object, instance);
        }
    }

    /// Removes what is at a path and below.
    pub(super) fn remove(&mut self, path: &Path) {
        self.instances.retain(|own| !path.contains(own));
        self.values.retain(|own, _| !path.contains(own));
        self.attributes.retain(|own, _| !path.contains(own));
    }

    fn add(&mut self, object: u16, instance: &ObjectInstance) {
        let path = Path::instance(object, instance.id);
        self.add_instance(object, instance.id);
        for resource in &instance.resources {
            if let Some(path) = path.child(resource.id) {
                self.put(&path, resource, true, &mut Vec::new());
            }
        }
    }

    /// Removes an object instance, or one instance of a multiple resource.
    pub(super) fn delete(&mut self, path: &Path) -> Result<(), Refusal> {
        let object = self.model_of(path)?;
        match *path.segments() {
            [object_id, instance] if object.multiple => {
                if !self.has_instance(object_id, instance) {
                    return Err(Refusal::NotFound);
                }
                self.instances.remove(path);
            }
            [_, _, resource, _] => {
                let model = object.resources.get(&resource).ok_or(Refusal::NotFound)?;
                if !model.operations.write {
                    return Err(Refusal::NotAllowed);
                }
                if !self.values.contains_key(path) {
                    return Err(Refusal::NotFound);
                }
            }
            _ => return Err(Refusal::NotAllowed),
        }
        self.values.retain(|own, _| !path.contains(own));
        self.attributes.retain(|own, _| !path.contains(own));
        Ok(())
    }

    /// Sets and unsets notification attributes of a path (OMA LwM2M Core, "Write-Attributes").
    pub(super) fn write_attributes(
        &mut self,
        path: &Path,
        change: &NotificationAttributes,
    ) -> Result<(), Refusal> {
        if !self.exists(path) {
            return Err(Refusal::NotFound);
        }
        let object = self.model_of(path)?;
        let resource = path.resource_id().and_then(|id| object.resources.get(&id));
        let attributes = self.attributes.get(path).cloned().unwrap_or_default();
        let attributes = attributes.updated(change);
        change
            .check_level(path, resource.map(|resource| resource.kind))
            .and_then(|()| attributes.check())
            .map_err(|_| Refusal::BadValue)?;
        self.attributes.insert(*path, attributes);
        Ok(())
    }

    /// Stores a resource.
    fn put(&mut self, path: &Path, resource: &Resource, replace: bool, written: &mut Vec<Path>) {
        let is_multiple = self.model_of(path).is_ok_and(|object| {
            object
                .resources
                .get(&resource.id)
                .is_some_and(|own| own.multiple)
        });
        if replace {
            self.values.retain(|own, _| !path.contains(own));
        }
        let values: Vec<_> = match &resource.content {
            ResourceContent::Single(value) if is_multiple => vec![(path.child(0), value)],
            ResourceContent::Single(value) => vec![(Some(*path), value)],
            ResourceContent::Multiple { instances, .. } => instances
                .iter()
                .map(|instance| (path.child(instance.id), &instance.value))
                .collect(),
        };
        for (path, value) in values {
            if let Some(path) = path {
                self.values.insert(path, value.clone());
                written.push(path);
            }
        }
    }

    /// Empties an instance but for what a server cannot write.
    fn clear_writable(&mut self, instance: &Path) {
        let Ok(object) = self.model_of(instance).cloned() else {
            return;
        };
        self.values.retain(|own, _| {
            let model = own.resource_id().and_then(|id| object.resources.get(&id));
            !instance.contains(own) || model.is_none_or(|model| !model.operations.write)
        });
    }

    /// Whether there is anything at a path.
    fn exists(&self, path: &Path) -> bool {
        let Ok(object) = self.model_of(path) else {
            return false;
        };
        match *path.segments() {
            [_] => true,
            [_, instance] => self.has_instance(object.id, instance),
            [_, instance, resource] => {
                self.has_instance(object.id, instance) && object.resources.contains_key(&resource)
            }
            _ => self.values.contains_key(path),
        }
    }
}

/// Whether a resource has instances exactly when its model says so; one value may stand for one instance.
fn check_shape(model: &ResourceModel, resource: &Resource) -> Result<(), Refusal> {
    match &resource.content {
        ResourceContent::Multiple { .. } if !model.multiple => Err(Refusal::BadValue),
        ResourceContent::Single(_) | ResourceContent::Multiple { .. } => Ok(()),
    }
}
