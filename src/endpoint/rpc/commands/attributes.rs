//! WriteAttributes.

use serde_json::Value as Json;

use crate::{
    endpoint::{operation::Operation, text},
    lwm2m::{
        attributes::{Attribute, NotificationAttributes},
        version::Lwm2mVersion,
    },
};

use super::{
    super::{Task, json, reply::Rejection},
    Call, bad_request,
};

/// `WriteAttributes`
pub(super) fn write_attributes(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let given = call.params.object("attributes").map_err(bad_request)?;
    // The platform does not know the attributes of LwM2M 1.2.
    let is_1_2 = call.device.registration.version >= Lwm2mVersion::V1_2;
    let malformed = || bad_request(call.params.malformed());
    let mut attributes = NotificationAttributes::default();
    let mut properties = Vec::new();
    for (name, value) in given.into_iter().flatten() {
        match name.as_str() {
            "pmin" => attributes.pmin = Some(whole(value).ok_or_else(malformed)?),
            "pmax" => attributes.pmax = Some(whole(value).ok_or_else(malformed)?),
            "epmin" => attributes.epmin = Some(whole(value).ok_or_else(malformed)?),
            "epmax" => attributes.epmax = Some(whole(value).ok_or_else(malformed)?),
            "gt" => attributes.gt = Some(number(value).ok_or_else(malformed)?),
            "lt" => attributes.lt = Some(number(value).ok_or_else(malformed)?),
            "st" => attributes.st = Some(number(value).ok_or_else(malformed)?),
            "edge" if is_1_2 => attributes.edge = Some(flag(value).ok_or_else(malformed)?),
            "con" if is_1_2 => attributes.con = Some(flag(value).ok_or_else(malformed)?),
            "hqmax" if is_1_2 => attributes.hqmax = Some(whole(value).ok_or_else(malformed)?),
            name if PROPERTIES.contains(&name) => match value {
                Json::Null => {}
                Json::Array(_) | Json::Object(_) => return Err(malformed()),
                Json::Bool(_) | Json::Number(_) | Json::String(_) => properties.push(name),
            },
            _ => return Err(malformed()),
        }
    }
    let path = call.versioned(&id).map_err(bad_request)?;
    let invalid = |error: String| Rejection::invalid("WriteAttributesRequest", &id, &error);
    if let Some(name) = PROPERTIES.iter().find(|name| properties.contains(name)) {
        return Err(invalid(text::attribute_property(name)));
    }
    if attributes == NotificationAttributes::default() {
        return Err(bad_request(text::ATTRIBUTES_MISSING.to_owned()));
    }
    // The type of the resource is the device's to judge.
    if attributes.check_level(&path, None).is_err() {
        return Err(invalid(text::attributes_not_applicable(&path)));
    }
    Ok(Operation::write_attributes(id.as_str(), path, attributes).into())
}

/// A boolean, or 0 or 1; `null` takes the attribute away.
fn flag(value: &Json) -> Option<Attribute<u32>> {
    match json::text(value).as_str() {
        "null" => Some(Attribute::Unset),
        "true" | "1" => Some(Attribute::Set(1)),
        "false" | "0" => Some(Attribute::Set(0)),
        _ => None,
    }
}

/// A whole number, seconds for instance; `null` takes the attribute away.
fn whole(value: &Json) -> Option<Attribute<u32>> {
    if value.is_null() {
        return Some(Attribute::Unset);
    }
    json::text(value).parse().ok().map(Attribute::Set)
}

/// A finite number; `null` takes the attribute away.
fn number(value: &Json) -> Option<Attribute<f64>> {
    if value.is_null() {
        return Some(Attribute::Unset);
    }
    let number: f64 = json::text(value).parse().ok()?;
    number.is_finite().then_some(Attribute::Set(number))
}

/// What the platform knows of attributes that cannot be written, in the order in which it looks at them.
const PROPERTIES: [&str; 5] = ["dim", "ssid", "uri", "lwm2m", "ver"];
