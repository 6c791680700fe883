//! Read, ReadComposite, Discover, DiscoverAll.

use crate::{
    coap::{
        Code,
        link_format::{self, Link},
    },
    endpoint::{
        operation::{
            Operation,
            format::{for_composite, for_reading},
        },
        rpc::{Reply, render},
        text,
    },
    lwm2m::{path::Path, registration::ObjectList},
};

use super::{
    super::{Answer, Task, reply::Rejection},
    Call, bad_request, internal, list,
};

/// `Read`
pub(super) fn read(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let path = call.versioned(&id).map_err(bad_request)?;
    let accept = call.format(for_reading(&path, call.device))?;
    Ok(Operation::read(id, path, accept).into())
}

/// `ReadComposite`
pub(super) fn read_composite(call: &Call<'_>) -> Result<Task, Rejection> {
    let (ids, paths) = call.ids()?;
    let id = list(&ids);
    let Some(format) = for_composite(call.device) else {
        return Err(internal(text::thrown_no_composite()));
    };
    if let Some((first, second)) = paths.overlapping() {
        let error = text::paths_overlap(&first, &second);
        return Err(Rejection::invalid("ReadCompositeRequest", &id, &error));
    }
    let operation = Operation::read_composite(id, paths, format);
    operation
        .map(Task::from)
        .map_err(|error| internal(error.to_string()))
}

/// `Discover`
pub(super) fn discover(call: &Call<'_>) -> Result<Task, Rejection> {
    let id = call.id()?;
    let path = call.versioned(&id).map_err(bad_request)?;
    if path.resource_instance_id().is_some() {
        return Err(internal(text::discover_resource_instance(&path)));
    }
    Ok(Operation::discover(id, path).into())
}

/// `DiscoverAll`
pub(super) fn discover_all(call: &Call<'_>) -> Result<Task, Rejection> {
    let objects = &call.device.registration.objects;
    let mut links = objects.links().to_vec();
    links.sort_by_key(|link| path_of(link, objects));
    if call.device.settings.legacy_shapes {
        let links: Vec<_> = links.iter().map(text::LegacyLink::from).collect();
        return Ok(Answer::of(Reply::value(Code::CONTENT, text::json_list(&links))).into());
    }
    render::show_bare_versions(&mut links);
    quote_lists(&mut links);
    let links: Vec<_> = links.iter().map(Link::to_string).collect();
    Ok(Answer::of(Reply::value(Code::CONTENT, text::json_list(&links))).into())
}

/// The path of a link below the root; what lies elsewhere comes last.
fn path_of(link: &Link, objects: &ObjectList) -> (bool, Path) {
    let mut segments = link.segments();
    let is_below = objects
        .root()
        .iter()
        .all(|segment| segments.next().as_deref() == Some(segment));
    let rest: Vec<_> = segments.collect();
    let path = rest.join("/").parse().ok().filter(|_| is_below);
    (path.is_none(), path.unwrap_or_default())
}

/// Writes the content formats of a link in quotes when they are several, else bare.
fn quote_lists(links: &mut [Link]) {
    let attributes = links.iter_mut().flat_map(|link| &mut link.attributes);
    for attribute in attributes.filter(|attribute| attribute.name == "ct") {
        // What is no token is written in quotes.
        let formats = attribute
            .value
            .as_ref()
            .map(|value| value.as_str().to_owned());
        attribute.value = formats.map(link_format::Value::Token);
    }
}
