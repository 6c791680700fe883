//! `application/link-format` (40) as the value of one Corelnk resource or resource instance.

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind, Decoded, EncodeError, modelled_type, single_node, utf8};
use crate::lwm2m::{
    model::Models,
    path::Path,
    value::{ResourceType, Value},
};

/// Takes the payload as link text; the model, if there is one, has to say Corelnk.
pub(super) fn decode(
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Result<Decoded, DecodeError> {
    match modelled_type(path, models) {
        Some(ResourceType::CoreLink) | None => {
            single_node(path, Value::CoreLink(utf8(payload, 0)?.to_owned())).map(Decoded::from)
        }
        Some(_) => Err(DecodeErrorKind::WrongType.at(0)),
    }
}

pub(super) fn encode(value: &Value) -> Result<Bytes, EncodeError> {
    let Value::CoreLink(links) = value else {
        return Err(EncodeError::UnsupportedType);
    };
    Ok(Bytes::copy_from_slice(links.as_bytes()))
}
