//! The objects of a simulated device: values by path, and what may be done with them.

use std::{collections::BTreeMap, sync::Arc};

use crate::lwm2m::{
    attributes::NotificationAttributes,
    model::{ObjectModel, ResourceModel},
    node::{Node, Object, ObjectInstance, Resource, ResourceInstance},
    path::{InstanceId, ObjectId, Path},
    value::{ResourceType, Value},
};

/// Objects, their models and their values. Values are kept by the path of the resource, or of the resource instance
/// when the model says that the resource is multiple.
#[derive(Clone, Debug, Default)]
pub struct SimObjects {
    models: BTreeMap<ObjectId, Arc<ObjectModel>>,
    instances: BTreeMap<Path, ()>,
    values: BTreeMap<Path, Value>,
    attributes: BTreeMap<Path, NotificationAttributes>,
}

/// Why a request on a path fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is there.
    NotFound,
    /// It is there, but not for this.
    NotAllowed,
    /// The content is no value for it.
    BadValue,
}

impl SimObjects {
    /// Adds an object without instances.
    pub fn add_object(&mut self, model: Arc<ObjectModel>) {
        self.models.insert(model.id, model);
    }

    /// Adds an instance of an object.
    pub fn add_instance(&mut self, object: ObjectId, instance: InstanceId) {
        self.instances.insert(Path::instance(object, instance), ());
    }

    /// Sets a value; adds the instance when it is new. Returns whether the value changed.
    pub fn set(&mut self, path: Path, value: Value) -> bool {
        if let (Some(object), Some(instance)) = (path.object_id(), path.instance_id()) {
            self.add_instance(object, instance);
        }
        self.values.insert(path, value.clone()) != Some(value)
    }

    /// The value at a path.
    pub fn value(&self, path: &Path) -> Option<&Value> {
        self.values.get(path)
    }

    /// The models, by object.
    pub fn models(&self) -> impl Iterator<Item = &Arc<ObjectModel>> {
        self.models.values()
    }

    /// The object list of a registration payload (OMA LwM2M Core, "Register").
    pub fn links(&self, content_formats: &str) -> String {
        let mut links = format!("</>;rt=\"oma.lwm2m\";ct=\"{content_formats}\"");
        for model in self.models.values() {
            links.push_str(&format!(",</{}>;ver={}", model.id, model.version));
            for instance in self.instances_of(model.id) {
                links.push_str(&format!(",</{}/{instance}>", model.id));
            }
        }
        links
    }

    /// The links below a path (OMA LwM2M Core, "Discover").
    pub(super) fn discover(&self, path: &Path) -> Result<String, Refusal> {
        let mut links = Vec::new();
        let object = path
            .object_id()
            .and_then(|id| self.models.get(&id))
            .ok_or(Refusal::NotFound)?;
        if path.depth() == 1 {
            let attributes = self.link_attributes(path);
            links.push(format!("<{path}>;ver={}{attributes}", object.version));
        }
        for instance in self.instances_of(object.id) {
            let own = Path::instance(object.id, instance);
            if path.contains(&own) {
                links.push(format!("<{own}>{}", self.link_attributes(&own)));
            }
            for resource in object.resources.values() {
                let own = Path::resource(object.id, instance, resource.id);
                if path.contains(&own) && (self.has(&own) || resource.operations.execute) {
                    let dim = self.values.keys().filter(|key| own.contains(key)).count();
                    let attributes = self.link_attributes(&own);
                    links.push(if resource.multiple {
                        format!("<{own}>{attributes};dim={dim}")
                    } else {
                        format!("<{own}>{attributes}")
                    });
                }
            }
        }
        if links.is_empty() {
            Err(Refusal::NotFound)
        } else {
            Ok(links.join(","))
        }
    }

    /// The notification attributes that are set at a path, as link attributes.
    fn link_attributes(&self, path: &Path) -> String {
        let attributes = self.attributes.get(path).into_iter();
        attributes
            .flat_map(NotificationAttributes::to_query)
            .map(|attribute| format!(";{attribute}"))
            .collect()
    }

    /// Sets and unsets notification attributes of a path.
    pub(super) fn write_attributes(
        &mut self,
        path: &Path,
        change: &NotificationAttributes,
    ) -> Result<(), Refusal> {
        self.read(path)?;
        let kind = path
            .object_id()
            .zip(path.resource_id())
            .and_then(|(object, id)| self.models.get(&object)?.resources.get(&id))
            .map(|resource| resource.kind);
        let attributes = self.attributes.get(path).cloned().unwrap_or_default();
        let attributes = attributes.updated(change);
        change
            .check_level(path, kind)
            .and_then(|()| attributes.check())
            .map_err(|_| Refusal::BadValue)?;
        self.attributes.insert(*path, attributes);
        Ok(())
    }

    /// What a Read of `path` finds.
    pub(super) fn read(&self, path: &Path) -> Result<Node, Refusal> {
        let object = path
            .object_id()
            .and_then(|id| self.models.get(&id))
            .ok_or(Refusal::NotFound)?;
        let instance = |id| self.read_instance(object, id);
        match (
            path.instance_id(),
            path.resource_id(),
            path.resource_instance_id(),
        ) {
            (None, _, _) => {
                let instances = self.instances_of(object.id).map(instance).collect();
                Ok(Node::Object(Object {
                    id: object.id,
                    instances,
                }))
            }
            (Some(id), None, _) if self.has_instance(object.id, id) => {
                Ok(Node::ObjectInstance(instance(id)))
            }
            (Some(id), Some(resource), None) => {
                let model = self.readable(object, resource)?;
                let path = Path::resource(object.id, id, resource);
                self.read_resource(&path, model)
                    .map(Node::Resource)
                    .ok_or(Refusal::NotFound)
            }
            (Some(_), Some(resource), Some(id)) => {
                self.readable(object, resource)?;
                let value = self.values.get(path).cloned().ok_or(Refusal::NotFound)?;
                Ok(Node::ResourceInstance(ResourceInstance { id, value }))
            }
            (Some(_), None, _) => Err(Refusal::NotFound),
        }
    }

    /// Writes a resource or a resource instance; `replace` also removes other instances of a multiple resource.
    /// Returns the paths that were written.
    pub(super) fn write(
        &mut self,
        path: &Path,
        node: &Node,
        replace: bool,
    ) -> Result<Vec<Path>, Refusal> {
        let object = path
            .object_id()
            .and_then(|id| self.models.get(&id))
            .cloned()
            .ok_or(Refusal::NotFound)?;
        let resource = |id| object.resources.get(&id).ok_or(Refusal::NotFound);
        match node {
            Node::Resource(written) => {
                writable(resource(written.id)?)?;
                self.write_resource(path, written, replace)
            }
            Node::ResourceInstance(written) => {
                let model = resource(path.resource_id().ok_or(Refusal::NotFound)?)?;
                writable(model)?;
                self.values.insert(*path, written.value.clone());
                Ok(vec![*path])
            }
            Node::ObjectInstance(written) => {
                let mut paths = Vec::new();
                for own in &written.resources {
                    writable(resource(own.id)?)?;
                    let own_path = Path::resource(object.id, written.id, own.id);
                    paths.extend(self.write_resource(&own_path, own, replace)?);
                }
                Ok(paths)
            }
            Node::Object(_) => Err(Refusal::NotAllowed),
        }
    }

    /// Whether `path` may be executed.
    pub(super) fn execute(&self, path: &Path) -> Result<(), Refusal> {
        let object = path
            .object_id()
            .and_then(|id| self.models.get(&id))
            .ok_or(Refusal::NotFound)?;
        let (Some(instance), Some(resource)) = (path.instance_id(), path.resource_id()) else {
            return Err(Refusal::NotAllowed);
        };
        let model = object.resources.get(&resource).ok_or(Refusal::NotFound)?;
        match (
            self.has_instance(object.id, instance),
            model.operations.execute,
        ) {
            (true, true) => Ok(()),
            (true, false) => Err(Refusal::NotAllowed),
            (false, _) => Err(Refusal::NotFound),
        }
    }

    fn write_resource(
        &mut self,
        path: &Path,
        written: &Resource,
        replace: bool,
    ) -> Result<Vec<Path>, Refusal> {
        use crate::lwm2m::node::ResourceContent::{Multiple, Single};
        match &written.content {
            Single(value) => {
                self.values.insert(*path, value.clone());
                Ok(vec![*path])
            }
            Multiple { instances, .. } => {
                if replace {
                    self.values.retain(|own, _| !path.contains(own));
                }
                let mut paths = Vec::new();
                for instance in instances {
                    let own = path.child(instance.id).ok_or(Refusal::BadValue)?;
                    self.values.insert(own, instance.value.clone());
                    paths.push(own);
                }
                Ok(paths)
            }
        }
    }

    fn read_instance(&self, object: &ObjectModel, id: InstanceId) -> ObjectInstance {
        let resources = object
            .resources
            .values()
            .filter(|model| model.operations.read)
            .filter_map(|model| self.read_resource(&Path::resource(object.id, id, model.id), model))
            .collect();
        ObjectInstance { id, resources }
    }

    fn read_resource(&self, path: &Path, model: &ResourceModel) -> Option<Resource> {
        if !model.multiple {
            return self
                .values
                .get(path)
                .map(|value| Resource::single(model.id, value.clone()));
        }
        let instances: Vec<_> = self
            .values
            .iter()
            .filter(|(own, _)| path.contains(own))
            .filter_map(|(own, value)| {
                Some(ResourceInstance {
                    id: own.resource_instance_id()?,
                    value: value.clone(),
                })
            })
            .collect();
        (!instances.is_empty()).then(|| Resource::multiple(model.id, model.kind, instances))
    }

    fn readable<'a>(
        &self,
        object: &'a ObjectModel,
        resource: u16,
    ) -> Result<&'a ResourceModel, Refusal> {
        let model = object.resources.get(&resource).ok_or(Refusal::NotFound)?;
        if model.operations.read {
            Ok(model)
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    fn has(&self, path: &Path) -> bool {
        self.values.keys().any(|own| path.contains(own))
    }

    fn has_instance(&self, object: ObjectId, instance: InstanceId) -> bool {
        self.instances
            .contains_key(&Path::instance(object, instance))
    }

    fn instances_of(&self, object: ObjectId) -> impl Iterator<Item = InstanceId> {
        self.instances
            .keys()
            .filter(move |path| path.object_id() == Some(object))
            .filter_map(Path::instance_id)
    }
}

/// A value of `kind` from the text a person types.
pub(super) fn parse_value(kind: ResourceType, text: &str) -> Option<Value> {
    Some(match kind {
        ResourceType::String => Value::String(text.to_owned()),
        ResourceType::CoreLink => Value::CoreLink(text.to_owned()),
        ResourceType::Integer => Value::Integer(text.parse().ok()?),
        ResourceType::UnsignedInteger => Value::UnsignedInteger(text.parse().ok()?),
        ResourceType::Float => Value::Float(text.parse().ok()?),
        ResourceType::Boolean => Value::Boolean(text.parse().ok()?),
        ResourceType::Time => Value::Time(text.parse().ok()?),
        ResourceType::ObjectLink | ResourceType::Opaque | ResourceType::None => return None,
    })
}

fn writable(model: &ResourceModel) -> Result<(), Refusal> {
    if model.operations.write {
        Ok(())
    } else {
        Err(Refusal::NotAllowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lwm2m::{model::core, path::ObjectVersion};

    fn device() -> SimObjects {
        let mut objects = SimObjects::default();
        let catalog = core::catalog();
        let model = catalog.exact(3, ObjectVersion::new(1, 2)).unwrap();
        objects.add_object(Arc::clone(model));
        objects.set(Path::resource(3, 0, 0), Value::String("Maker".into()));
        objects.set(Path::resource_instance(3, 0, 7, 0), Value::Integer(3800));
        objects
    }

    /// What a Write-Attributes with this query does, and what Discover shows of object 3 then.
    fn write(objects: &mut SimObjects, path: Path, query: &str) -> Result<String, Refusal> {
        let change =
            NotificationAttributes::from_query(query.split('&')).map_err(|_| Refusal::BadValue)?;
        objects.write_attributes(&path, &change)?;
        objects.discover(&Path::resource(3, 0, 7))
    }

    #[test]
    fn p33_attributes_are_shown_at_the_level_where_they_are_set() {
        let mut objects = device();
        let voltage = Path::resource(3, 0, 7);
        assert_eq!(
            write(&mut objects, voltage, "pmin=10&pmax=100").unwrap(),
            "</3/0/7>;pmax=100;pmin=10;dim=1"
        );
        write(&mut objects, Path::instance(3, 0), "pmin=5").unwrap();
        assert_eq!(
            write(&mut objects, voltage, "pmax").unwrap(),
            "</3/0/7>;pmin=10;dim=1"
        );
        let all = objects.discover(&Path::object(3)).unwrap();
        assert!(all.starts_with("</3>;ver=1.2,</3/0>;pmin=5,"), "{all}");
    }

    #[test]
    fn p33_attributes_that_break_a_rule_change_nothing() {
        let mut objects = device();
        let voltage = Path::resource(3, 0, 7);
        write(&mut objects, voltage, "gt=50&lt=40").unwrap();
        for (path, query) in [
            (voltage, "st=5"),
            (voltage, "lt=50"),
            (Path::instance(3, 0), "gt=1"),
            (Path::resource(3, 0, 0), "gt=1"),
        ] {
            let refused = write(&mut objects, path, query);
            assert_eq!(refused, Err(Refusal::BadValue), "{query}");
        }
        let nowhere = write(&mut objects, Path::resource(3, 0, 9), "pmin=1");
        assert_eq!(nowhere, Err(Refusal::NotFound));
        let shown = objects.discover(&voltage).unwrap();
        assert_eq!(shown, "</3/0/7>;gt=50;lt=40;dim=1");
    }
}
