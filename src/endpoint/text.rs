//! Every text that platform users see: reply errors and `transportLog` lines (`rpc.md` 5 to 10,
//! `device-lifecycle.md` 6, `rulings.md` 5.4).
//!
//! They follow the platform's released code letter by letter, because dashboards and rule chains compare them: odd
//! grammar and doubled blanks are kept on purpose.

use std::{fmt::Display, net::SocketAddr};

use crate::{
    coap::Code,
    lwm2m::{
        path::{ObjectId, ObjectVersion, Path},
        registration::RegistrationData,
        value::ResourceType,
        version::Lwm2mVersion,
    },
};

use super::rpc::{java, render};

// Reply errors: commands and their parameters (rpc.md 2 and 4).

/// The endpoint holds a session but no registration.
pub const REGISTRATION_EMPTY: &str = "Registration is empty";
/// Too many commands wait for one device.
pub const QUEUE_FULL: &str = "Downlink queue is full";
/// Neither `id` nor `key`, or neither `ids` nor `keys`.
pub const TARGET_MISSING: &str = "Can't find 'key' or 'id' in the requestParams parameters!";

/// A command that is not in the catalogue, or not built.
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

/// The name of a response code (`rpc.md` 10.1).
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::CREATED => "CREATED",
        Code::DELETED => "DELETED",
        Code::CHANGED => "CHANGED",
        Code::CONTENT => "CONTENT",
        Code::BAD_REQUEST => "BAD_REQUEST",
        Code::UNAUTHORIZED => "UNAUTHORIZED",
        Code::FORBIDDEN => "FORBIDDEN",
        Code::NOT_FOUND => "NOT_FOUND",
        Code::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
        Code::NOT_ACCEPTABLE => "NOT_ACCEPTABLE",
        Code::REQUEST_ENTITY_INCOMPLETE => "REQUEST_ENTITY_INCOMPLETE",
        Code::PRECONDITION_FAILED => "PRECONDITION_FAILED",
        Code::REQUEST_ENTITY_TOO_LARGE => "REQUEST_ENTITY_TOO_LARGE",
        Code::UNSUPPORTED_CONTENT_FORMAT => "UNSUPPORTED_CONTENT_FORMAT",
        Code::INTERNAL_SERVER_ERROR => "INTERNAL_SERVER_ERROR",
        _ => "UNKNOWN",
    }
}

/// A response code as log lines show it, `CONTENT(205)`.
pub fn code(code: Code) -> String {
    let number = u16::from(code.class()) * 100 + u16::from(code.detail());
    format!("{}({number})", code_name(code))
}

// transportLog: the life of a registration (device-lifecycle.md 6, measured.md M13).

/// The time series that holds the log lines.
pub const LOG_KEY: &str = "transportLog";

/// A line about a device in the form in which it is published: at most `max` UTF-16 units, without `<` and `>`.
pub fn device_line(line: String, max: usize) -> String {
    // Most lines are short and plain; UTF-8 has at least as many bytes as UTF-16 has units.
    if line.len() <= max && !line.bytes().any(|byte| matches!(byte, b'<' | b'>')) {
        return line;
    }
    let mut units = 0usize;
    line.chars()
        .take_while(|character| {
            units += character.len_utf16();
            units <= max
        })
        .filter(|character| !matches!(character, '<' | '>'))
        .collect()
}

/// A device registered; `id` is the registration id.
pub fn registered(id: &str, registration: &RegistrationData) -> String {
    let mut objects: Vec<_> = registration.objects.objects().iter().collect();
    java::hash_order(&mut objects, 16, |(object, _)| u32::from(**object));
    let objects: Vec<_> = objects
        .iter()
        .map(|(object, registered)| format!("{object}={}", registered.version))
        .collect();
    // In LwM2M 1.0 Queue Mode is part of the binding.
    let queue_mode = match registration.version {
        Lwm2mVersion::V1_0 => "null".to_owned(),
        Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2 => registration.queue_mode.to_string(),
    };
    format!(
        "info: Endpoint [{}] Client registered with registration id: [{id}] LwM2mVersion: [{}], SupportedObjectIdVer [{{{}}}] QueueMode [{queue_mode}], BindingMode [{}]\n",
        registration.endpoint,
        registration.version,
        objects.join(", "),
        registration.binding,
    )
}

/// A device updated its registration.
pub fn updated(registration: &str, address: &str) -> String {
    format!("[{registration}][/{address}] Updated registration.")
}

/// A registration ended: de-registered, expired, replaced.
pub const UNREGISTERED: &str = "info: Client unRegistration";

/// The device fell asleep.
pub const SLEEPING: &str = "Info : Client is sleeping!";

/// The device woke up.
pub const AWAKE: &str = "Info : Client is awake!";

// transportLog: requests to a device.

/// A request leaves; `target` is a path, or a list of paths in brackets.
pub fn sending(
    registration: &str,
    address: SocketAddr,
    class: &str,
    target: impl Display,
) -> String {
    format!("[{registration}][/{address}] Sending request: {class} to {target}")
}

/// The device answered; `success` for codes up to 2.05.
pub fn answered(class: &str, id: &str, success: bool, response: &str) -> String {
    if success {
        format!("[info]: {class} [{id}] successful. Result: {response}")
    } else {
        format!("[error]: {class} [{id}] failed to process successful. Result: {response}")
    }
}

/// A command was refused before anything was sent.
pub fn validation_failed(class: &str, id: &str, reason: &str) -> String {
    format!("[error]: Request [{class} [{id}]] validation failed. Reason: {reason}")
}

/// A request came to nothing; `exception` names the kind of failure and its text.
pub fn processing_failed(request: &str, exception: &str) -> String {
    format!("[error]: Request [{request}] processing failed. Reason: {exception}")
}

/// A notification that ended its observation.
pub fn notification_failed(path: &Path, message: &str) -> String {
    format!("error: Single Observation Cancel: {path}: {message}")
}

/// Some request of the profile's start-up could not be made; `what` is `read`, `observe` or `write attribute`.
pub fn profile_requests_failed(what: &str) -> String {
    format!("Failed to process {what} requests. Possible profile misconfiguration.")
}

// transportLog: shared attributes (device-lifecycle.md 5).

/// A shared attribute that the profile does not map. The text ends in `!.`.
pub fn attribute_not_configured(name: &str) -> String {
    format!(
        "error: Failed update resource onAttributesUpdate {}.",
        key_not_configured(name)
    )
}

/// A shared attribute that equals what the device has; `multiple` when the resource has instances.
pub fn attribute_unchanged(id: &str, value: &str, multiple: bool) -> String {
    let what = if multiple {
        "resource versionedId"
    } else {
        "the versionedId resource"
    };
    format!("warn: Didn't update {what} - {id} value - {value}. Value is not changed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        coap::link_format::Mode,
        lwm2m::registration::{ObjectList, RegisterParameters},
    };

    fn registration(query: &str, links: &str) -> RegistrationData {
        let parameters = RegisterParameters::from_query(query.split('&')).unwrap();
        let objects =
            ObjectList::parse(links.as_bytes(), Mode::Strict, parameters.version).unwrap();
        RegistrationData::new(parameters, objects).unwrap()
    }

    #[test]
    fn registration_line_is_that_of_the_platform() {
        let links = "</>;rt=\"oma.lwm2m\";ct=\"60 110\",</1/0>,</3>;ver=1.2,</3/0>,</5>;ver=1.2,</5/0>,</6/0>,\
                     </19>;ver=1.1,</19/0>,</3303/0>,</3303/1>";
        let registration_1_1 = registration("ep=ls-nosec&lwm2m=1.1&b=U", links);
        assert_eq!(
            registered("71by2D7hN3", &registration_1_1),
            "info: Endpoint [ls-nosec] Client registered with registration id: [71by2D7hN3] LwM2mVersion: [1.1], \
             SupportedObjectIdVer [{1=1.1, 3=1.2, 19=1.1, 5=1.2, 6=1.0, 3303=1.0}] QueueMode [false], \
             BindingMode [U]\n"
        );
        let registration_1_0 = registration("ep=e&lwm2m=1.0&b=UQ", "</3/0>");
        let line = registered("r", &registration_1_0);
        assert!(
            line.ends_with("[{3=1.0}] QueueMode [null], BindingMode [U, Q]\n"),
            "{line}"
        );
    }

    #[test]
    fn device_lines_are_cut_and_lose_angle_brackets() {
        assert_eq!(
            device_line("content=[</3>;ver=1.2, </3/0>]".to_owned(), 1024),
            "content=[/3;ver=1.2, /3/0]"
        );
        assert_eq!(device_line("size > 0".to_owned(), 1024), "size  0");
        assert_eq!(device_line("x".repeat(2000), 1024).len(), 1024);
        // A character outside the basic plane counts twice and is not split.
        assert_eq!(device_line("ab\u{1F600}".to_owned(), 3), "ab");
    }

    #[test]
    fn codes_show_name_and_number() {
        assert_eq!(code(Code::CONTENT), "CONTENT(205)");
        assert_eq!(code(Code::METHOD_NOT_ALLOWED), "METHOD_NOT_ALLOWED(405)");
        assert_eq!(code(Code::TOO_MANY_REQUESTS), "UNKNOWN(429)");
    }

    #[test]
    fn attribute_lines_keep_their_odd_shape() {
        assert_eq!(
            attribute_not_configured("foo"),
            "error: Failed update resource onAttributesUpdate foo is not configured in the device profile!."
        );
        assert_eq!(
            attribute_unchanged("/3_1.2/0/15", "UTC", false),
            "warn: Didn't update the versionedId resource - /3_1.2/0/15 value - UTC. Value is not changed"
        );
        assert_eq!(
            attribute_unchanged("/19_1.1/0/0", "{}", true),
            "warn: Didn't update resource versionedId - /19_1.1/0/0 value - {}. Value is not changed"
        );
    }
}
