//! `application/octet-stream` (42): the bytes of one opaque resource or resource instance.

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind, Decoded, EncodeError, modelled_type, single_node};
use crate::lwm2m::{
    model::Models,
    path::Path,
    value::{ResourceType, Value},
};

/// Takes the payload as it is; the model, if there is one, has to say Opaque.
pub(super) fn decode(
    path: &Path,
    payload: &Bytes,
    models: &Models,
) -> Result<Decoded, DecodeError> {
    match modelled_type(path, models) {
        Some(ResourceType::Opaque) | None => {
            single_node(path, Value::Opaque(payload.clone())).map(Decoded::from)
        }
        Some(_) => Err(DecodeErrorKind::WrongType.at(0)),
    }
}

pub(super) fn encode(value: &Value) -> Result<Bytes, EncodeError> {
    let Value::Opaque(bytes) = value else {
        return Err(EncodeError::UnsupportedType);
    };
    Ok(bytes.clone())
}
