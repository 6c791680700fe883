//! What replies to commands say (`rpc.md` 5 to 10).

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::{
    coap::{Code, ContentFormat, link_format::Link},
    endpoint::{operation::Paths, rpc::render},
    lwm2m::{
        path::{ObjectId, ObjectVersion, Path, ResourceId},
        value::ResourceType,
    },
};

// Reply errors: commands and their parameters (rpc.md 2 and 4).

/// The endpoint holds a session but no registration.
pub const REGISTRATION_EMPTY: &str = "Registration is empty";
/// Too many commands wait for one device.
pub const QUEUE_FULL: &str = "Downlink queue is full";
/// Neither `id` nor `key`, or neither `ids` nor `keys`.
pub const TARGET_MISSING: &str = "Can't find 'key' or 'id' in the requestParams parameters!";

/// A command that is not in the catalogue.
pub fn unsupported_operation(method: &str) -> String {
    format!("Unsupported operation type: {method}")
}

/// Parameters that are not JSON, or of a wrong type.
pub fn malformed_parameters(params: &str) -> String {
    format!("The given string value cannot be transformed to Json object: {params}")
}

/// A `contentFormat` that is not a name or number of a format.
pub fn unknown_content_format(format: &str) -> String {
    format!("Unsupported content format: {format}")
}

// Reply errors: targets (rpc.md 5).

/// A path of more than four segments; `path` stands without its outer slashes.
pub fn path_length(path: &str) -> String {
    format!("Invalid length for path {path}")
}

/// A path with a segment that is not a number; `path` stands without its outer slashes.
pub fn path_elements(path: &str) -> String {
    format!("Invalid elements in path {path}")
}

/// A path segment that is a number but no id; `depth` is 0 for the object id.
pub fn path_range(depth: usize, number: u32) -> String {
    let (what, note) = match depth {
        0 => ("object id", ""),
        1 => ("object instance id", " (65535 is reserved)"),
        2 => ("resource id", ""),
        _ => ("resource instance id", ""),
    };
    format!("Invalid {what} {number}, It MUST be an unsigned int.{note}")
}

/// An object that the device did not announce; `None` for the root path.
pub fn object_absent(object: Option<ObjectId>) -> String {
    let object = object.map_or_else(|| "null".to_owned(), |object| object.to_string());
    format!(
        "Specified object id {object} absent in the list supported objects of the client or is security object!"
    )
}

/// A path with another version than the device supports.
pub fn version_invalid(id: &str, supported: ObjectVersion) -> String {
    format!("Specified resource id {id} is not valid version! Must be version: {supported}")
}

/// A key name, or the name of a shared attribute, that the profile does not map.
pub fn key_not_configured(key: &str) -> String {
    format!("{key} is not configured in the device profile!")
}

// Reply errors: single commands (rpc.md 6).

/// Discover of a resource instance. The trailing blank is part of the text.
pub fn discover_resource_instance(path: &Path) -> String {
    format!(
        "InvalidRequestException: Discover request cannot target resource instance path: {path} "
    )
}

/// Execute of a resource that no model describes.
pub fn execute_model_absent(id: &str, object: ObjectId, version: ObjectVersion) -> String {
    format!(
        "ResourceModel with {id} is absent in system. Need ddd Lwm2m Model with id={object} ver={version} to profile."
    )
}

/// Execute of a resource whose model does not allow it.
pub fn not_executable(id: &str) -> String {
    format!("Resource with {id} is not executable.")
}

/// Execute of anything but a resource.
pub fn execute_resource_only(path: &Path) -> String {
    format!("Invalid path {path} : Only resource can be executed.")
}

/// An Execute argument that is an object or array; `class` is its Java class.
pub fn execute_argument_type(class: &str) -> String {
    format!(
        "Unsupported parameter type: {class}. Only simple types (String, Integer, Boolean, etc.) are allowed for Execute arguments."
    )
}

/// Execute arguments that break the grammar of OMA LwM2M Core.
pub fn execute_arguments_invalid(arguments: &str, detail: &str) -> String {
    format!("Invalid Execute request : [Unable to parse Arguments [{arguments}] : {detail}]")
}

/// WriteReplace of an object or object instance.
pub fn write_replace_resource_only(id: &str) -> String {
    format!("Resource {id}. This operation can only be used for Resource or ResourceInstance!")
}

/// A write to a resource that no model describes.
pub fn resource_not_configured(id: &str) -> String {
    format!("Resource {id} is not configured in the device profile!")
}

/// A write without a value.
pub const VALUE_NULL: &str = "The value of this resource must not be null.";

/// A value that cannot become the model's type; `class` is its Java class.
pub fn value_format_bad(path: &Path, value: &str, class: &str, kind: ResourceType) -> String {
    let kind = render::type_name(kind);
    format!(
        "Resource id={path}, value = {value}, class = {class}. Format value is bad. Value for this Single Resource must be {kind}!"
    )
}

/// A target of several values, and a device that announced no format for such.
pub const NO_COMPLEX_FORMAT: &str = "RuntimeException: The client does not support any of SenML CBOR, SenML JSON, TLV or JSON formats. Can't send complex requests. Try using singe-instance requests.";

/// A format of one value for a target of several.
pub fn single_value_format(path: &Path) -> String {
    format!("Invalid format for path {path}: format must be used only for single resources")
}

// Reply errors and values: composite operations and observations (rpc.md 6.1a and 6.4 to 6.7).

/// A device that announced no format in which several paths can be named.
pub const NO_COMPOSITE: &str = "This device does not support Composite Operation";

/// [`NO_COMPOSITE`] as reads and observes put it.
pub fn thrown_no_composite() -> String {
    format!("RuntimeException: {NO_COMPOSITE}")
}

/// Two paths of one composite operation of which one contains the other. The second blank is part of the text.
pub fn paths_overlap(first: &Path, second: &Path) -> String {
    format!("Invalid path list :  {first} and {second} are overlapped paths")
}

/// Observe above or below a path that is observed.
pub fn observed_nearby(path: &Path, other: &Path) -> String {
    format!("Resource [{path}] conflict with is already registered as SingleObservation [{other}].")
}

/// ObserveComposite of a path that is observed by itself.
pub fn observed_single(path: &Path) -> String {
    format!("Resource [{path}] is already registered as SingleObservation.")
}

/// Observe or ObserveComposite of a path that is observed together with others.
pub fn observed_composite(path: &Path) -> String {
    format!("Resource [{path}] is already registered in CompositeObservation.")
}

/// ObserveCancel of what is not observed.
pub fn not_observed(id: &str) -> String {
    format!("Could not find active Observe component with path: {id}")
}

/// ObserveCompositeCancel of what is not observed together; `ids` is the list in brackets.
pub fn not_observed_together(ids: &str) -> String {
    format!("Could not find active Observe Composite component with paths: {ids}")
}

/// An observation in the value of ObserveReadAll.
pub fn observation(paths: &Paths) -> String {
    match paths {
        Paths::One(path) => format!("SingleObservation:{path}"),
        Paths::Several(_) => format!("CompositeObservation: {paths}"),
    }
}

/// What a deleted instance was called once (`rpc.md` 12).
pub const LEGACY_DELETED: &str = "DELETE";

/// A link in the value of DiscoverAll as it once was: attributes are as the device wrote them, quotes and all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LegacyLink {
    url: String,
    attributes: Map<String, Json>,
}

impl From<&Link> for LegacyLink {
    fn from(link: &Link) -> Self {
        let attributes = link.attributes.iter().map(|attribute| {
            let value = attribute.value.as_ref().map(ToString::to_string);
            (attribute.name.clone(), value.map_or(Json::Null, Json::from))
        });
        Self {
            url: link.uri.clone(),
            attributes: attributes.collect(),
        }
    }
}

/// A list, of texts for instance, as the value of a reply.
pub fn json_list<T: Serialize>(texts: &[T]) -> String {
    // Texts, and objects of them, always have a JSON form.
    serde_json::to_string(texts).unwrap_or_default()
}

// Reply errors: writes, attributes and instances (rpc.md 6.9 to 6.14).

/// WriteUpdate of an object or resource instance.
pub fn write_update_target(id: &str) -> String {
    format!(
        "Resource {id}. This operation can only be used for ObjectInstance or Resource (multiple)"
    )
}

/// WriteUpdate that cannot be made; `reason` may be empty.
pub fn write_update_refused(id: &str, reason: &str) -> String {
    let gap = if reason.is_empty() { "" } else { " " };
    format!(
        "Resource {id}. This operation can only be used for ObjectInstance or Multi-Instance Resource !{gap}{reason}"
    )
}

/// Nothing of what is to be written to an instance has a model.
pub const NO_RESOURCES: &str = "No resources to update!";
/// An instance from something else than an object with members.
pub const VALUE_NO_MAP: &str = "The value of this resource must be in Map format and size > 0";

/// Instances of a multiple resource that are none; `class` is the Java class of `value`.
pub fn instances_bad(path: &Path, class: &str, value: &str) -> String {
    format!(
        "Resource id={path}, class = {class}, value = {value} is bad. Value of Multi-Instance Resource must be in Json format!"
    )
}

/// The same within an object instance.
pub fn member_instances_bad(resource: ResourceId, class: &str, value: &str) -> String {
    format!(
        "Resource id={resource}, class = {class}, value = {value} is bad. Value of Multi-Instance Resource must be in Json format!"
    )
}

/// A resource that must be written when its instance is created.
pub fn resource_mandatory(resource: ResourceId) -> String {
    format!("Resource id={resource} is mandatory. {VALUE_NULL}")
}

/// A value of a type that the resource cannot take.
pub fn value_type_invalid(path: &Path, expected: ResourceType, got: &str) -> String {
    let expected = render::type_name(expected);
    format!("Invalid value type for resource {path}, expected {expected}, got {got}")
}

/// A text that is neither hexadecimal nor base64.
pub fn opaque_invalid(value: &str, path: &Path) -> String {
    format!("Unable to convert hexastring or base64 [{value}] to byte array for resource {path}")
}

/// A text that is no time.
pub fn time_invalid(value: &str, path: &Path) -> String {
    format!("Unable to convert string ({value}) to TIME for resource {path}")
}

/// WriteComposite of nothing.
pub const NODES_EMPTY: &str = "nodes: {} is not validate value";

/// WriteComposite of what it cannot write; `nodes` is the text of all.
pub fn nodes_invalid(nodes: &str) -> String {
    format!(
        "nodes: {nodes} is not validate value. The WriteComposite operation is only used for SingleResources or/and ResourceInstance."
    )
}

/// WriteComposite of an object or array where one value is due; `class` is its Java class.
pub fn unsupported_type(class: &str) -> String {
    format!("Unsupported type: {class}")
}

/// WriteAttributes without attributes.
pub const ATTRIBUTES_MISSING: &str = "Attributes to write are not specified!";

/// An attribute that cannot be written.
pub fn attribute_property(name: &str) -> String {
    format!(
        "Attribute {name} is of class PROPERTIES but only NOTIFICATION attribute can be used in WRITE ATTRIBUTE request."
    )
}

/// Attributes that a path of this depth does not have.
pub fn attributes_not_applicable(path: &Path) -> String {
    format!("Some attributes are not valid for the path {path}.")
}

/// Delete of anything but an object instance.
pub fn delete_instance_only(path: &Path) -> String {
    format!("Invalid path {path} : Only object instances can be delete")
}

/// Create of what cannot have several instances.
pub fn create_multiple_only(id: &str) -> String {
    format!("Path {id}. Object must be Multiple !")
}

/// Create under an id that the device chooses, in a format that always names one.
pub fn create_without_id(object: &Path, format: ContentFormat) -> String {
    format!(
        "InvalidRequestException: Missing object instance id for CREATE request ({object}) using {format} content format."
    )
}

// Reply errors: what came of a request (rpc.md 10.2).

/// A payload that cannot be decoded.
pub fn undecodable(request: &str, endpoint: &str) -> String {
    format!("Unable to decode response payload of request [{request}] from client [{endpoint}]")
}

/// A payload in a format that the request does not allow; `None` when the response states none.
pub fn unexpected_content_format(endpoint: &str, format: Option<u16>, request: &str) -> String {
    let format = format.map_or_else(|| "-1".to_owned(), |format| format.to_string());
    format!("Client [{endpoint}] returned unexpected content format [{format}] for [{request}]")
}

/// A success code that the request does not allow.
pub fn unexpected_code(endpoint: &str, code: Code, request: &str) -> String {
    format!("Client [{endpoint}] returned unexpected response code [{code}] for [{request}]")
}

/// The device answered with RST.
pub fn rejected(uri: &str) -> String {
    format!("Request {uri} rejected")
}

/// The request ended with the registration, or with the address it was sent to.
pub fn cancelled(uri: &str) -> String {
    format!("Request {uri} cancelled")
}

/// A block-wise transfer that the device broke off, or whose response was too long.
pub fn blockwise_failed(uri: &str) -> String {
    format!("Request {uri} failed in block-wise transfer")
}

/// The device did not answer.
pub fn timed_out(uri: &str) -> String {
    format!("Request {uri} timed out : no response received")
}
