//! Every text that platform users see: reply errors and `transportLog` lines (`rpc.md` 5 to 10,
//! `device-lifecycle.md` 6, `rulings.md` 5.4).
//!
//! They follow the platform's released code letter by letter, because dashboards and rule chains compare them: odd
//! grammar and doubled blanks are kept on purpose.

pub mod ota;
mod replies;

use std::{fmt::Display, net::SocketAddr};

use crate::{
    coap::Code,
    lwm2m::{path::Path, registration::RegistrationData, version::Lwm2mVersion},
};

pub use replies::*;

use super::{operation::Paths, rpc::java};

/// The name of a response code (`rpc.md` 10.1).
pub const fn code_name(code: Code) -> &'static str {
    code.name()
}

/// A response code as log lines show it, `CONTENT(205)`.
pub fn code(code: Code) -> String {
    let number = u16::from(code.class()) * 100 + u16::from(code.detail());
    format!("{}({number})", code_name(code))
}

// transportLog: the life of a registration (device-lifecycle.md 6, measured.md M13).

pub use crate::platform::log_line::LOG_KEY;

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

/// A path of a composite operation that the device's answer does not have.
pub fn composite_value_missing(path: &Path) -> String {
    format!("error: {path}: value in composite response is null")
}

/// ObserveCancel was carried out.
pub fn observe_cancelled(id: &str, count: usize) -> String {
    format!("[info]: Cancel Observe for [{id}] successful. Result: [{count}]")
}

/// ObserveCompositeCancel was carried out; `ids` is the list in brackets.
pub fn composite_observe_cancelled(ids: &str, count: usize) -> String {
    format!("[info]: Cancel Composite Observe for [{ids}] successful. Result: [{count}]")
}

/// ObserveCancelAll was carried out.
pub fn all_observes_cancelled(count: usize) -> String {
    format!("[info]: Cancel of all observations was successful. Result: [{count}]")
}

/// A notification that ended its observation.
pub fn notification_failed(paths: &Paths, message: &str) -> String {
    let kind = match paths {
        Paths::One(_) => "Single",
        Paths::Several(_) => "Composite",
    };
    format!("error: {kind} Observation Cancel: {paths}: {message}")
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

/// A shared attribute that has no value. The text has a doubled blank.
pub fn attribute_bad(id: &str, value: &str) -> String {
    format!("error: Failed update resource versionedId - {id} value - {value}. New value is  bad")
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
    fn the_end_of_an_observation_names_its_paths() {
        let paths = [Path::resource(3, 0, 9), Path::resource(5, 0, 3)];
        assert_eq!(
            notification_failed(&Paths::Several(paths.to_vec()), "NOT_FOUND(404)"),
            "error: Composite Observation Cancel: [/3/0/9, /5/0/3]: NOT_FOUND(404)"
        );
        assert_eq!(
            notification_failed(&Paths::One(Path::resource(3, 0, 9)), "gone"),
            "error: Single Observation Cancel: /3/0/9: gone"
        );
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
        assert_eq!(
            attribute_bad("/3_1.2/0/15", "null"),
            "error: Failed update resource versionedId - /3_1.2/0/15 value - null. New value is  bad"
        );
    }
}
