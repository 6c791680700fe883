//! One payload in one content format: what is read lies below the path, can be written, and then reads the same.

use std::sync::LazyLock;

use bytes::Bytes;
use lightship::{
    coap::content_format::ContentFormat,
    lwm2m::{
        format::{DecodeErrorKind, decode, encode, supported_for_reading},
        model::{Models, core},
        path::Path,
    },
};

/// Reads `data`: content format (its place among the supported ones, or another), depth of the path (the highest bit:
/// without models), two bytes for each segment, payload.
pub(crate) fn run(data: &[u8]) {
    let Some((&[format, depth], mut rest)) = data.split_first_chunk() else {
        return;
    };
    let format = supported_for_reading()
        .get(usize::from(format))
        .copied()
        .unwrap_or_else(|| ContentFormat(u16::from(format)));
    let mut path = Path::ROOT;
    for _ in 0..(depth & 0x7f).min(4) {
        let Some((&segment, tail)) = rest.split_first_chunk() else {
            return;
        };
        rest = tail;
        let Some(child) = path.child(u16::from_be_bytes(segment)) else {
            return;
        };
        path = child;
    }
    if path.instance_id() == Some(u16::MAX) {
        // A reserved id: no request has such a path.
        return;
    }
    let models: &Models = if depth & 0x80 == 0 { &BUILT_IN } else { &NONE };
    let payload = Bytes::copy_from_slice(rest);

    match decode(format, &path, &payload, models) {
        Err(error) => assert!(error.offset <= payload.len()),
        Ok(decoded) => {
            assert!(decoded.rejected.len() <= payload.len());
            for (rejected, error) in &decoded.rejected {
                assert!(path.contains(rejected) || error.kind == DecodeErrorKind::IdConflict);
                assert!(error.offset <= payload.len());
            }
            let written = encode(format, &path, &decoded.node).expect("what was read is writable");
            let again = decode(format, &path, &written, models).expect("what was written is good");
            assert!(again.rejected.is_empty());
            let rewritten = encode(format, &path, &again.node);
            assert_eq!(rewritten, Ok(written));
        }
    }
}

static BUILT_IN: LazyLock<Models> = LazyLock::new(|| core::catalog().iter().cloned().collect());
static NONE: LazyLock<Models> = LazyLock::new(Models::default);
