//! The commands: parameters to operations, with every condition under which they are refused (`rpc.md` 6).

use serde_json::{Map, Value as Json};

use crate::{
    coap::{Code, ContentFormat},
    endpoint::{
        context::DeviceContext,
        operation::{
            Operation,
            format::{NoUsableFormat, for_reading, for_writing},
        },
        text,
    },
    lwm2m::{
        format::EncodeError,
        model::ResourceModel,
        node::{Node, Resource, ResourceInstance},
        path::Path,
    },
};

use super::{arguments, convert, java, json, params::Params, reply::Rejection, target::Target};

/// Turns the parameters of one command into an operation.
pub(super) type Command = fn(&Params<'_>, &DeviceContext<'_>) -> Result<Operation, Rejection>;

/// `Read`
pub(super) fn read(
    params: &Params<'_>,
    device: &DeviceContext<'_>,
) -> Result<Operation, Rejection> {
    let id = params.id(device).map_err(bad_request)?;
    let path = versioned(&id, device).map_err(bad_request)?;
    let accept = chosen_format(params, device, for_reading(&path, device))?;
    Ok(Operation::read(id, path, accept))
}

/// `Discover`
pub(super) fn discover(
    params: &Params<'_>,
    device: &DeviceContext<'_>,
) -> Result<Operation, Rejection> {
    let id = params.id(device).map_err(bad_request)?;
    let path = versioned(&id, device).map_err(bad_request)?;
    if path.resource_instance_id().is_some() {
        return Err(internal(text::discover_resource_instance(&path)));
    }
    Ok(Operation::discover(id, path))
}

/// `Execute`
pub(super) fn execute(
    params: &Params<'_>,
    device: &DeviceContext<'_>,
) -> Result<Operation, Rejection> {
    let id = params.id(device).map_err(bad_request)?;
    let invalid = |error: String| Rejection::invalid("ExecuteRequest", &id, &error);
    let path = versioned(&id, device).map_err(invalid)?;
    let (Some(object), Some(resource)) = (path.object_id(), path.resource_id()) else {
        return Err(invalid(text::execute_resource_only(&path)));
    };
    let Some(model) = device
        .models
        .resource(object, resource)
        .or_else(|| device.core_models.resource(object, resource))
    else {
        let version = device
            .registration
            .supported_version(object)
            .unwrap_or_default();
        return Err(invalid(text::execute_model_absent(&id, object, version)));
    };
    if !model.operations.execute {
        return Err(invalid(text::not_executable(&id)));
    }
    let given = match params.value() {
        Json::Null => String::new(),
        value @ (Json::Array(_) | Json::Object(_)) => {
            return Err(invalid(text::execute_argument_type(json::class(value))));
        }
        value @ (Json::Bool(_) | Json::Number(_) | Json::String(_)) => json::text(value),
    };
    // The reference drops the arguments of a multiple resource silently.
    let arguments = if model.multiple { String::new() } else { given };
    arguments::check(&arguments)
        .map_err(|detail| invalid(text::execute_arguments_invalid(&arguments, &detail)))?;
    if path.resource_instance_id().is_some() {
        return Err(invalid(text::execute_resource_only(&path)));
    }
    Ok(Operation::execute(id.as_str(), path, arguments))
}

/// `WriteReplace`
pub(super) fn write_replace(
    params: &Params<'_>,
    device: &DeviceContext<'_>,
) -> Result<Operation, Rejection> {
    let id = params.id(device).map_err(bad_request)?;
    let (path, model) = writable(&id, device)?;
    let format = chosen_format(params, device, for_writing(&path, device))?;
    write(&id, path, model, params.value(), format)
}

/// The resource or resource instance that is to be written, and its model.
fn writable<'a>(
    id: &str,
    device: &'a DeviceContext<'_>,
) -> Result<(Path, &'a ResourceModel), Rejection> {
    let target = Target::parse(id).map_err(bad_request)?;
    if target.path.depth() < 3 {
        return Err(Rejection::invalid(
            WRITE,
            id,
            &text::write_replace_resource_only(id),
        ));
    }
    target.check_version(device).map_err(bad_request)?;
    let model = device
        .resource_model(&target.path)
        .ok_or_else(|| Rejection::invalid(WRITE, id, &text::resource_not_configured(id)))?;
    Ok((target.path, model))
}

fn write(
    id: &str,
    path: Path,
    model: &ResourceModel,
    value: &Json,
    format: ContentFormat,
) -> Result<Operation, Rejection> {
    if value.is_null() {
        return Err(Rejection::invalid(WRITE, id, text::VALUE_NULL));
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
        (None, Json::Object(members)) if model.multiple => multiple(model, members),
        // A multiple resource, too, is written as a single value when it is given one.
        (None, value) => convert::single(model.kind, value)
            .map(|value| Node::Resource(Resource::single(model.id, value))),
    };
    let Some(node) = node else {
        let (shown, class) = (json::text(value), json::class(value));
        let error = text::value_format_bad(&path, &shown, class, model.kind);
        return Err(Rejection::invalid(WRITE, id, &error));
    };
    Operation::write_replace(id, path, format, node).map_err(|error| {
        internal(if error == EncodeError::SingleValueOnly {
            text::single_value_format(&path)
        } else {
            error.to_string()
        })
    })
}

/// A multiple resource from `{"<resource instance>": value}`.
fn multiple(model: &ResourceModel, members: &Map<String, Json>) -> Option<Node> {
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
    Some(Node::Resource(Resource::multiple(
        model.id, model.kind, instances,
    )))
}

/// The path of an id, once its version was checked.
fn versioned(id: &str, device: &DeviceContext<'_>) -> Result<Path, String> {
    let target = Target::parse(id)?;
    target.check_version(device)?;
    Ok(target.path)
}

/// The format a command asks for, else the usual one.
fn chosen_format(
    params: &Params<'_>,
    device: &DeviceContext<'_>,
    usual: Result<ContentFormat, NoUsableFormat>,
) -> Result<ContentFormat, Rejection> {
    match params.content_format(device).map_err(bad_request)? {
        Some(format) => Ok(format),
        None => usual.map_err(|error| internal(error.to_string())),
    }
}

fn bad_request(error: String) -> Rejection {
    Rejection::thrown(Code::BAD_REQUEST, error)
}

fn internal(error: String) -> Rejection {
    Rejection::thrown(Code::INTERNAL_SERVER_ERROR, error)
}

/// The request of `WriteReplace` in log lines.
const WRITE: &str = "WriteRequest";
