//! Which content format a request asks for or carries (`rpc.md` 7).

use crate::{
    coap::ContentFormat,
    endpoint::{context::DeviceContext, text},
    lwm2m::{
        format::{supported_for_reading, supported_for_writing},
        path::Path,
        value::ResourceType,
        version::Lwm2mVersion,
    },
};

/// The format in which a path is read or observed.
///
/// # Errors
/// [`NoUsableFormat`] when the path names several values and the device announced no format for such.
pub fn for_reading(
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<ContentFormat, NoUsableFormat> {
    choose(path, device, supported_for_reading())
}

/// The format in which a path is written.
///
/// # Errors
/// As [`for_reading`].
pub fn for_writing(
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<ContentFormat, NoUsableFormat> {
    choose(path, device, supported_for_writing())
}

/// The device announced no format that can carry what the path names. `Display` is the text of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", text::NO_COMPLEX_FORMAT)]
pub struct NoUsableFormat;

fn choose(
    path: &Path,
    device: &DeviceContext<'_>,
    built: &[ContentFormat],
) -> Result<ContentFormat, NoUsableFormat> {
    let version = device.registration.version;
    let single = device
        .resource_model(path)
        .filter(|model| !model.multiple)
        .map(|model| model.kind);
    let wanted = match (single, version) {
        (Some(ResourceType::Opaque), _) => OPAQUE,
        (Some(_), _) => SINGLE,
        (None, Lwm2mVersion::V1_0) => return Ok(ContentFormat::TLV),
        (None, Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => COMPLEX,
    };
    let announced = device.registration.content_formats();
    let found = wanted
        .iter()
        .find(|format| announced.contains(format) && built.contains(format));
    match (found, single, version) {
        (Some(format), _, _) => Ok(*format),
        (None, Some(_), Lwm2mVersion::V1_0) => Ok(ContentFormat::TLV),
        (None, Some(_), Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => Ok(ContentFormat::TEXT),
        (None, None, _) => Err(NoUsableFormat),
    }
}

// In the order in which the platform prefers formats that a device announced: TLV, JSON, OPAQUE, CBOR, SENML_JSON,
// SENML_CBOR.

/// One value.
const SINGLE: &[ContentFormat] = &[
    ContentFormat::CBOR,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
];
/// One value of type OPAQUE.
const OPAQUE: &[ContentFormat] = &[
    ContentFormat::OPAQUE,
    ContentFormat::CBOR,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
];
/// Several values, or a value of which nothing is known.
const COMPLEX: &[ContentFormat] = &[
    ContentFormat::TLV,
    ContentFormat::JSON,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
];
