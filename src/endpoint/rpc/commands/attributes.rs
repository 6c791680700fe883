//! WriteAttributes.

use serde_json::Value as Json;

use crate::{
    endpoint::{operation::Operation, text},
    lwm2m::attributes::{Attribute, NotificationAttributes},
};

use super::{
    super::{Task, json, reply::Rejection},
    Call, bad_request,
};

/// `WriteAttributes`
pub(super) fn write_attributes(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let given = call.params.object("attributes").map_err(bad_request)?;
    let malformed = || bad_request(call.params.malformed());
    let mut attributes = NotificationAttributes::default();
    let mut properties = Vec::new();
    for (name, value) in given.into_iter().flatten() {
        match name.as_str() {
            "pmin" => attributes.pmin = Some(period(value).ok_or_else(malformed)?),
            "pmax" => attributes.pmax = Some(period(value).ok_or_else(malformed)?),
            "epmin" => attributes.epmin = Some(period(value).ok_or_else(malformed)?),
            "epmax" => attributes.epmax = Some(period(value).ok_or_else(malformed)?),
            "gt" => attributes.gt = Some(number(value).ok_or_else(malformed)?),
            "lt" => attributes.lt = Some(number(value).ok_or_else(malformed)?),
            "st" => attributes.st = Some(number(value).ok_or_else(malformed)?),
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
    let NotificationAttributes { gt, lt, st, .. } = attributes;
    if path.depth() < 3 && [gt, lt, st].iter().any(Option::is_some) {
        return Err(invalid(text::attributes_not_applicable(&path)));
    }
    Ok(Operation::write_attributes(id.as_str(), path, attributes).into())
}

/// Seconds; `null` takes the attribute away.
fn period(value: &Json) -> Option<Attribute<u32>> {
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
