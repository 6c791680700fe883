//! WriteReplace and WriteUpdate.

use serde_json::Value as Json;

use crate::{
    coap::ContentFormat,
    endpoint::{
        context::DeviceContext,
        operation::{Operation, WriteMode, format::for_writing},
        text,
    },
    lwm2m::{
        model::ResourceModel,
        node::{Node, ObjectInstance, Resource, ResourceInstance},
        path::Path,
    },
};

use super::{
    super::{Task, convert, json, members, reply::Rejection, target::Target},
    Call, bad_request, unencodable,
};

/// `WriteReplace`
pub(super) fn write_replace(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let (path, model) = writable(&id, call.device)?;
    let format = call.format(for_writing(&path, call.device))?;
    replace(&id, path, model, call.params.value(), format)
}

/// The resource or resource instance that is to be written, and its model.
fn writable<'a>(
    id: &str,
    device: &'a DeviceContext<'_>,
) -> Result<(Path, &'a ResourceModel), Rejection> {
    let target = Target::parse(id).map_err(bad_request)?;
    if target.path.depth() < 3 {
        return Err(invalid(id, &text::write_replace_resource_only(id)));
    }
    target.check_version(device).map_err(bad_request)?;
    let model = device
        .resource_model(&target.path)
        .ok_or_else(|| invalid(id, &text::resource_not_configured(id)))?;
    Ok((target.path, model))
}

fn replace(
    id: &str,
    path: Path,
    model: &ResourceModel,
    value: &Json,
    format: ContentFormat,
) -> Result<Task, Rejection> {
    let node = node(path, model, value).map_err(|error| invalid(id, &error))?;
    write(id, path, WriteMode::Replace, format, node)
}

/// What is written at a resource or resource instance when it is given this value. `id` is the path with its version.
///
/// # Errors
/// The text of the reply.
pub(in crate::endpoint) fn value_node(
    id: &str,
    path: Path,
    value: &Json,
    device: &DeviceContext<'_>,
) -> Result<Node, String> {
    let model = device
        .resource_model(&path)
        .ok_or_else(|| text::resource_not_configured(id))?;
    node(path, model, value)
}

fn node(path: Path, model: &ResourceModel, value: &Json) -> Result<Node, String> {
    if value.is_null() {
        return Err(text::VALUE_NULL.to_owned());
    }
    let node = match (path.resource_instance_id(), value) {
        (Some(instance), value) => {
            let convert = if model.multiple {
                convert::member
            } else {
                convert::single
            };
            convert(model.kind, value).map(|value| {
                Node::ResourceInstance(ResourceInstance {
                    id: instance,
                    value,
                })
            })
        }
        (None, Json::Object(given)) if model.multiple => {
            members::multiple(model, given).map(Node::Resource)
        }
        // A multiple resource, too, is written as a single value when it is given one.
        (None, value) => convert::single(model.kind, value)
            .map(|value| Node::Resource(Resource::single(model.id, value))),
    };
    node.ok_or_else(|| {
        let (shown, class) = (json::text(value), json::class(value));
        text::value_format_bad(&path, &shown, class, model.kind)
    })
}

/// `WriteUpdate`
pub(super) fn write_update(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let path = call.versioned(&id).map_err(|error| invalid(&id, &error))?;
    let node = match *path.segments() {
        [object, instance] => update_of_instance(call, &id, &path, object, instance),
        [_, _, _] => update_of_resource(call, &id, &path),
        _ => Err(text::write_update_target(&id)),
    };
    let node = node.map_err(|error| invalid(&id, &error))?;
    let format = call.format(for_writing(&path, call.device))?;
    write(&id, path, WriteMode::Update, format, node)
}

fn update_of_instance(
    call: &Call<'_>,
    id: &str,
    path: &Path,
    object: u16,
    instance: u16,
) -> Result<Node, String> {
    let value = call.params.value();
    if value.is_null() {
        return Err(text::VALUE_NULL.to_owned());
    }
    let given = value.as_object().filter(|given| !given.is_empty());
    let given = given.ok_or_else(|| text::VALUE_NO_MAP.to_owned())?;
    let resources = match call.device.models.object(object) {
        Some(model) => members::resources(model, path, given)?,
        None => Vec::new(),
    };
    if resources.is_empty() {
        return Err(text::write_update_refused(id, text::NO_RESOURCES));
    }
    Ok(Node::ObjectInstance(ObjectInstance {
        id: instance,
        resources,
    }))
}

fn update_of_resource(call: &Call<'_>, id: &str, path: &Path) -> Result<Node, String> {
    let refused = |reason: &str| text::write_update_refused(id, reason);
    let Some(model) = call.device.resource_model(path) else {
        return Err(refused(&text::resource_not_configured(id)));
    };
    if !model.multiple {
        return Err(refused(""));
    }
    let value = call.params.value();
    let given = value.as_object();
    let resource = given.and_then(|given| members::multiple(model, given));
    resource.map(Node::Resource).ok_or_else(|| {
        let (shown, class) = (json::text(value), json::class(value));
        refused(&text::instances_bad(path, class, &shown))
    })
}

fn write(
    id: &str,
    path: Path,
    mode: WriteMode,
    format: ContentFormat,
    node: Node,
) -> Result<Task, Rejection> {
    Operation::write(id, path, mode, format, node)
        .map(Task::from)
        .map_err(|error| unencodable(error, &path))
}

fn invalid(id: &str, error: &str) -> Rejection {
    Rejection::invalid("WriteRequest", id, error)
}
