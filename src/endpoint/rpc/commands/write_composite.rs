//! WriteComposite.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::{
    endpoint::{
        operation::{Operation, format::for_composite},
        text,
    },
    lwm2m::{
        node::{Node, Resource, ResourceInstance},
        path::Path,
    },
};

use super::{
    super::{Task, java, json, members, reply::Rejection, target::Target},
    Call, bad_request, internal,
};

/// `WriteComposite`
pub(super) fn write_composite(call: &Call<'_>) -> Result<Task, Rejection> {
    let given = call.params.object("nodes").map_err(bad_request)?;
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Err(bad_request(text::NODES_EMPTY.to_owned()));
    };
    let mut nodes = Nodes {
        call,
        given,
        found: BTreeMap::new(),
    };
    for (key, value) in given {
        nodes.add(key, value).map_err(bad_request)?;
    }
    let mut nodes: Vec<_> = nodes.found.into_iter().collect();
    if nodes.is_empty() {
        return Err(bad_request(text::nodes_invalid(&map_text(given))));
    }
    java::hash_order(&mut nodes, 16, |(path, _)| java::path_hash(path));
    let Some(format) = for_composite(call.device) else {
        return Err(internal(text::NO_COMPOSITE.to_owned()));
    };
    // The reference's request has no id of its own, and prints that it has none.
    Operation::write_composite("null", nodes, format)
        .map(Task::from)
        .map_err(|error| internal(error.to_string()))
}

/// The values of a command, as they are found.
struct Nodes<'a> {
    call: &'a Call<'a>,
    given: &'a Map<String, Json>,
    /// Of two values for one path the later one counts.
    found: BTreeMap<Path, Node>,
}

impl Nodes<'_> {
    /// Adds what stands at a path or under a key name.
    fn add(&mut self, key: &str, value: &Json) -> Result<(), String> {
        let Ok(target) = Target::parse(key) else {
            let target = Target::of_key(key, self.call.device)
                .ok_or_else(|| text::key_not_configured(key))?;
            return self.add_value(target.path, value);
        };
        if !target.fits(self.call.device) {
            return Err(text::resource_not_configured(key));
        }
        match (target.path.depth(), value) {
            (2, Json::Object(resources)) => resources.iter().try_for_each(|(id, value)| {
                let path = self.child(target.path, id)?;
                self.add_resource(path, value)
            }),
            (3, value) => self.add_resource(target.path, value),
            (4, value) => self.add_value(target.path, value),
            _ => Err(self.invalid()),
        }
    }

    /// Adds a resource: one value, or those of its instances.
    fn add_resource(&mut self, path: Path, value: &Json) -> Result<(), String> {
        let Json::Object(instances) = value else {
            return self.add_value(path, value);
        };
        instances.iter().try_for_each(|(id, value)| {
            let path = self.child(path, id)?;
            self.add_value(path, value)
        })
    }

    /// Adds one value of a resource or resource instance.
    fn add_value(&mut self, path: Path, value: &Json) -> Result<(), String> {
        match value {
            Json::Null => return Err(self.invalid()),
            Json::Array(_) | Json::Object(_) => {
                return Err(text::unsupported_type(json::class(value)));
            }
            Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
        let model = self
            .call
            .device
            .resource_model(&path)
            .ok_or_else(|| text::resource_not_configured(&path.to_string()))?;
        let value = members::member(&path, model.kind, value)?;
        let node = match path.resource_instance_id() {
            Some(id) => Node::ResourceInstance(ResourceInstance { id, value }),
            None => Node::Resource(Resource::single(model.id, value)),
        };
        self.found.insert(path, node);
        Ok(())
    }

    fn child(&self, path: Path, id: &str) -> Result<Path, String> {
        let id = id.parse().ok();
        id.and_then(|id| path.child(id))
            .ok_or_else(|| self.invalid())
    }

    fn invalid(&self) -> String {
        text::nodes_invalid(&map_text(self.given))
    }
}

fn map_text(members: &Map<String, Json>) -> String {
    json::text(&Json::Object(members.clone()))
}
