//! The objects of a simulated device: values by path, and what may be done with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    coap::Code,
    lwm2m::{
        attributes::NotificationAttributes,
        format::{supported_for_reading, supported_for_writing},
        model::{ObjectModel, ResourceModel},
        node::{Node, Object, ObjectInstance, Resource, ResourceInstance},
        path::{InstanceId, ObjectId, Path},
        value::{ResourceType, Value},
    },
};

/// Objects, their models and their values. Values are kept by the path of the resource, or of the resource instance
/// when the model says that the resource is multiple.
#[derive(Clone, Debug, Default)]
pub struct SimObjects {
    models: BTreeMap<ObjectId, Arc<ObjectModel>>,
    pub(super) instances: BTreeSet<Path>,
    pub(super) values: BTreeMap<Path, Value>,
    pub(super) attributes: BTreeMap<Path, NotificationAttributes>,
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
    /// The instance is there already.
    Exists(InstanceId),
    /// The content format is not known, or cannot carry what was asked for.
    Format(Code),
}

impl SimObjects {
    /// Adds an object without instances.
    pub fn add_object(&mut self, model: Arc<ObjectModel>) {
        self.models.insert(model.id, model);
    }

    /// Adds an instance of an object.
    pub fn add_instance(&mut self, object: ObjectId, instance: InstanceId) {
        self.instances.insert(Path::instance(object, instance));
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

    /// The model of the object of a path.
    pub(super) fn model_of(&self, path: &Path) -> Result<&Arc<ObjectModel>, Refusal> {
        let id = path.object_id().ok_or(Refusal::NotAllowed)?;
        self.models.get(&id).ok_or(Refusal::NotFound)
    }

    /// The models, by object.
    pub fn models(&self) -> impl Iterator<Item = &Arc<ObjectModel>> {
        self.models.values()
    }

    /// The object list of a registration payload (OMA LwM2M Core, "Register"), with the formats in which values are both
    /// read and written.
    pub fn links(&self) -> String {
        let formats: Vec<_> = supported_for_reading()
            .iter()
            .filter(|format| supported_for_writing().contains(format))
            .map(|format| format.0.to_string())
            .collect();
        let mut links = format!("</>;rt=\"oma.lwm2m\";ct=\"{}\"", formats.join(" "));
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
        let object = self.model_of(path)?;
        if path.depth() == 1 {
            let version = format!(";ver={}", object.version);
            links.push(self.link(path, &version));
        }
        for instance in self.instances_of(object.id) {
            let own = Path::instance(object.id, instance);
            if path.contains(&own) {
                links.push(self.link(&own, ""));
            }
            for resource in object.resources.values() {
                let own = Path::resource(object.id, instance, resource.id);
                if !path.contains(&own) || !(self.has(&own) || resource.operations.execute) {
                    continue;
                }
                let instances: Vec<_> =
                    self.values.keys().filter(|key| own.contains(key)).collect();
                if !resource.multiple {
                    links.push(self.link(&own, ""));
                    continue;
                }
                links.push(self.link(&own, &format!(";dim={}", instances.len())));
                if path.depth() == 3 {
                    links.extend(instances.into_iter().map(|path| self.link(path, "")));
                }
            }
        }
        if links.is_empty() {
            Err(Refusal::NotFound)
        } else {
            Ok(links.join(","))
        }
    }

    /// A link with the attributes set at its very path, and those that follow from what is there.
    fn link(&self, path: &Path, properties: &str) -> String {
        let attributes = self.attributes.get(path).into_iter();
        let attributes: String = attributes
            .flat_map(NotificationAttributes::to_query)
            .map(|attribute| format!(";{attribute}"))
            .collect();
        format!("<{path}>{attributes}{properties}")
    }

    /// What a Read of `path` finds.
    pub(super) fn read(&self, path: &Path) -> Result<Node, Refusal> {
        let object = self.model_of(path)?;
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

    /// Whether `path` may be executed.
    pub(super) fn execute(&self, path: &Path) -> Result<(), Refusal> {
        let object = self.model_of(path)?;
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

    pub(super) fn has_instance(&self, object: ObjectId, instance: InstanceId) -> bool {
        self.instances.contains(&Path::instance(object, instance))
    }

    fn instances_of(&self, object: ObjectId) -> impl Iterator<Item = InstanceId> {
        self.instances
            .iter()
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
