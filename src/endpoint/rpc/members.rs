//! JSON objects to resources and resource instances (`rpc.md` 6.9 to 6.14, 8.4).

use serde_json::{Map, Value as Json};

use crate::{
    endpoint::text,
    lwm2m::{
        model::{ObjectModel, ResourceModel},
        node::{Resource, ResourceInstance},
        path::Path,
        value::{ResourceType, Value},
    },
};

use super::{convert, java, json};

/// The resources of an instance from `{"<resource>": value}`. Members that the model does not know are ignored.
///
/// # Errors
/// The text of the reply.
pub(super) fn resources(
    model: &ObjectModel,
    instance: &Path,
    members: &Map<String, Json>,
) -> Result<Vec<Resource>, String> {
    let known = members.iter().filter_map(|(id, value)| {
        let model = model.resources.get(&id.parse().ok()?)?;
        Some((model, instance.child(model.id)?, value))
    });
    known
        .map(|(model, path, value)| {
            if value.is_null() {
                return Err(text::VALUE_NULL.to_owned());
            }
            if !model.multiple {
                let value = member(&path, model.kind, value)?;
                return Ok(Resource::single(model.id, value));
            }
            let instances = value.as_object();
            let resource = instances.and_then(|instances| multiple(model, instances));
            resource.ok_or_else(|| {
                let (shown, class) = (json::text(value), json::class(value));
                text::member_instances_bad(model.id, class, &shown)
            })
        })
        .collect()
}

/// A multiple resource from `{"<resource instance>": value}`; `None` when an id or a value is none.
pub(super) fn multiple(model: &ResourceModel, members: &Map<String, Json>) -> Option<Resource> {
    let mut instances = members
        .iter()
        .map(|(id, value)| {
            Some(ResourceInstance {
                id: id.parse().ok()?,
                value: convert::member(model.kind, value)?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    java::hash_order(&mut instances, 16, |instance| u32::from(instance.id));
    Some(Resource::multiple(model.id, model.kind, instances))
}

/// One value of a resource or resource instance at `path`.
///
/// # Errors
/// The text of the reply.
pub(super) fn member(path: &Path, kind: ResourceType, value: &Json) -> Result<Value, String> {
    convert::member(kind, value).ok_or_else(|| match (kind, value) {
        (ResourceType::Opaque, Json::String(given)) => text::opaque_invalid(given, path),
        (ResourceType::Time, Json::String(given)) => text::time_invalid(given, path),
        _ => text::value_type_invalid(path, kind, json::type_name(value)),
    })
}
