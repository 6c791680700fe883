//! Execute.

use serde_json::Value as Json;

use crate::endpoint::{operation::Operation, text};

use super::{
    super::{Task, arguments, json, reply::Rejection},
    Call,
};

/// `Execute`
pub(super) fn execute(call: &Call<'_>) -> Result<Task, Rejection> {
    let device = call.device;
    let id = call.id()?;
    let invalid = |error: String| Rejection::invalid("ExecuteRequest", &id, &error);
    let path = call.versioned(&id).map_err(invalid)?;
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
    let given = match call.params.value() {
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
    Ok(Operation::execute(id.as_str(), path, arguments).into())
}
