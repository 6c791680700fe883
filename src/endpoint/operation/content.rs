//! Values and links that a device sends, read in the light of what was asked for.

use crate::{
    coap::{
        ContentFormat, Message,
        link_format::{self, Link, Mode},
    },
    endpoint::{context::DeviceContext, rpc::render},
    lwm2m::{
        format::{self, DecodeError, DecodeErrorKind, Decoded, Samples, Scope},
        path::Path,
        version::Lwm2mVersion,
    },
};

use super::Paths;

/// Reads the values of a response for `path`, in the order in which the platform prints them.
///
/// A message without Content-Format is taken for text where `path` names one value, and for TLV on LwM2M 1.0 devices.
///
/// # Errors
/// When nothing of the payload can be read.
pub fn decode(
    message: &Message,
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<Decoded, DecodeError> {
    let format = format_of(message, path, device)?;
    let mut decoded = format::decode(format, path, &message.payload(), scope(device))?;
    render::arrange(&mut decoded.node, format);
    Ok(decoded)
}

/// Reads the values of a notification for `paths`, or of any answer for several, in the order in which the platform
/// prints them. Of several paths those may be missing that the device does not have.
///
/// # Errors
/// As [`decode`]. Several values need a Content-Format.
pub fn decode_notification(
    message: &Message,
    paths: &Paths,
    device: &DeviceContext<'_>,
) -> Result<Samples, DecodeError> {
    let payload = message.payload();
    let (format, decoded) = match paths {
        Paths::One(path) => {
            let format = format_of(message, path, device)?;
            let decoded = format::decode_history(format, path, &payload, scope(device));
            (format, decoded)
        }
        Paths::Several(paths) => {
            let format = format_of(message, &Path::ROOT, device)?;
            let decoded = format::decode_composite(format, paths, &payload, scope(device));
            (format, decoded)
        }
    };
    let mut decoded = decoded?;
    for sample in &mut decoded.samples {
        for (_, node) in &mut sample.nodes {
            render::arrange(node, format);
        }
    }
    Ok(decoded)
}

/// The links of an answer to Discover; `None` when they cannot be read.
pub(super) fn links(message: &Message) -> Option<Vec<Link>> {
    let mut found = link_format::parse(&message.payload(), Mode::Lenient).ok()?;
    render::show_bare_versions(&mut found.links);
    Some(found.links)
}

fn scope<'a>(device: &'a DeviceContext<'_>) -> Scope<'a> {
    Scope {
        models: device.models,
        root: device.registration.objects.root(),
    }
}

/// The format of a message.
fn format_of(
    message: &Message,
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<ContentFormat, DecodeError> {
    let is_single = device
        .resource_model(path)
        .is_some_and(|model| !model.multiple || path.resource_instance_id().is_some());
    match (message.content_format(), device.registration.version) {
        (Some(format), _) => Ok(format),
        (None, _) if is_single => Ok(ContentFormat::TEXT),
        (None, Lwm2mVersion::V1_0) => Ok(ContentFormat::TLV),
        (None, Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => {
            Err(DecodeErrorKind::UnsupportedFormat.at(0))
        }
    }
}
