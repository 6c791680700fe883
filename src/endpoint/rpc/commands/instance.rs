//! Create and Delete.

use serde_json::{Map, Value as Json};

use crate::{
    coap::ContentFormat,
    endpoint::{
        operation::{Operation, format::for_writing},
        text,
    },
    lwm2m::{
        model::ObjectModel,
        node::{Node, Object, ObjectInstance},
        path::{InstanceId, Path},
        version::Lwm2mVersion,
    },
};

use super::{
    super::{Task, members, reply::Rejection},
    Call, bad_request, internal, unencodable,
};

/// `Create`
pub(super) fn create(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let invalid = |error: String| Rejection::invalid("CreateRequest", &id, &error);
    let path = call.versioned(&id).map_err(bad_request)?;
    let model = path
        .object_id()
        .and_then(|id| call.device.models.object(id));
    let model = model.ok_or_else(|| invalid(text::resource_not_configured(&id)))?;
    if !model.multiple {
        return Err(bad_request(text::create_multiple_only(&id)));
    }
    let object = Path::object(model.id);
    let format = call.format(for_writing(&object, call.device))?;
    let nodes = call.params.object("nodes").map_err(bad_request)?;
    let node = match (path.instance_id(), call.params.value(), nodes) {
        (_, _, _) if path.depth() > 2 => return Err(invalid(text::create_multiple_only(&id))),
        (Some(instance), value, _) => {
            let value = members_of(value).map_err(bad_request)?;
            let instance = instance_of(model, instance, value).map_err(bad_request)?;
            of_object(model, vec![instance])
        }
        (None, Json::Null, Some(nodes)) => {
            let instances = nodes.iter().map(|(instance, value)| {
                let instance = instance
                    .parse()
                    .map_err(|_| text::path_elements(&format!("{}/{instance}", model.id)))?;
                instance_of(model, instance, members_of(value)?)
            });
            let instances = instances.collect::<Result<_, _>>().map_err(bad_request)?;
            of_object(model, instances)
        }
        (None, Json::Null, None) => return Err(invalid(text::create_multiple_only(&id))),
        (None, value, _) => {
            if format != ContentFormat::TLV {
                return Err(internal(text::create_without_id(&object, format)));
            }
            let value = members_of(value).map_err(bad_request)?;
            // The id is not sent.
            Node::ObjectInstance(instance_of(model, 0, value).map_err(bad_request)?)
        }
    };
    Operation::create(id.as_str(), object, format, node)
        .map(Task::from)
        .map_err(|error| unencodable(error, &object))
}

/// `Delete`
pub(super) fn delete(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let path = call.versioned(&id).map_err(bad_request)?;
    let is_deletable = match path.depth() {
        2 => true,
        4 => call.device.registration.version >= Lwm2mVersion::V1_2,
        _ => false,
    };
    if !is_deletable {
        let error = text::delete_instance_only(&path);
        return Err(Rejection::invalid("DeleteRequest", &id, &error));
    }
    Ok(Operation::delete(id, path).into())
}

fn of_object(model: &ObjectModel, instances: Vec<ObjectInstance>) -> Node {
    Node::Object(Object {
        id: model.id,
        instances,
    })
}

fn members_of(value: &Json) -> Result<&Map<String, Json>, String> {
    match value {
        Json::Null => Err(text::VALUE_NULL.to_owned()),
        Json::Object(members) => Ok(members),
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Err(text::VALUE_NO_MAP.to_owned())
        }
    }
}

/// An instance with everything that must be written in it.
fn instance_of(
    model: &ObjectModel,
    id: InstanceId,
    members: &Map<String, Json>,
) -> Result<ObjectInstance, String> {
    let path = Path::object(model.id).child(id).filter(|_| id != u16::MAX);
    let path = path.ok_or_else(|| text::path_range(1, id.into()))?;
    let resources = members::resources(model, &path, members)?;
    let mut needed = model
        .resources
        .values()
        .filter(|resource| resource.mandatory && resource.operations.write);
    match needed.find(|needed| resources.iter().all(|own| own.id != needed.id)) {
        Some(missing) => Err(text::resource_mandatory(missing.id)),
        None => Ok(ObjectInstance { id, resources }),
    }
}
