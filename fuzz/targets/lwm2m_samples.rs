//! One payload that may name several paths and times: what is read lies below the paths asked for, once for each time,
//! can be written, and then reads the same.

use std::{collections::HashSet, sync::LazyLock};

use bytes::Bytes;
use lightship::{
    coap::content_format::ContentFormat,
    lwm2m::{
        format::{
            DecodeError, Sample, SampleTime, Samples, Scope, decode_composite, decode_history,
            decode_paths, decode_send, encode_paths, encode_samples, supported_for_reading,
        },
        model::{Models, core},
        path::Path,
    },
};

/// Reads `data`: content format (its place among the supported ones, or another), number of paths (bit 7: without models,
/// bit 6: with a root), each path as its depth and two bytes for each segment, payload.
pub(crate) fn run(data: &[u8]) {
    let Some((&[format, flags], mut rest)) = data.split_first_chunk() else {
        return;
    };
    let format = supported_for_reading()
        .get(usize::from(format))
        .copied()
        .unwrap_or_else(|| ContentFormat(u16::from(format)));
    let mut paths = Vec::new();
    for _ in 0..flags & 0x03 {
        let Some(path) = take_path(&mut rest) else {
            return;
        };
        paths.push(path);
    }
    let models: &Models = if flags & 0x80 == 0 { &BUILT_IN } else { &NONE };
    let root: &[String] = if flags & 0x40 == 0 { &[] } else { &ROOT };
    let scope = Scope { models, root };
    let payload = Bytes::copy_from_slice(rest);

    let path = paths.first().copied().unwrap_or_default();
    let history = decode_history(format, &path, &payload, scope);
    if let Some(history) = checked(history, &payload, &[path]) {
        check_again(format, &history, |written| {
            decode_history(format, &path, written, models)
        });
    }
    let composite = decode_composite(format, &paths, &payload, scope);
    if let Some(composite) = checked(composite, &payload, &paths) {
        check_again(format, &composite, |written| {
            decode_composite(format, &paths, written, models)
        });
    }
    if let Ok(sent) = decode_send(format, &payload, scope) {
        let values = sent.samples.iter().flat_map(|sample| &sample.nodes);
        let values: Vec<_> = values.map(|(path, _)| *path).collect();
        assert!(values.iter().all(|path| path.depth() >= 3));
        let sent = checked(Ok(sent), &payload, &values).expect("it was read");
        check_again(format, &sent, |written| {
            decode_send(format, written, models)
        });
    }
    if let Ok(listed) = decode_paths(format, &payload, root)
        && let Ok(written) = encode_paths(format, &listed)
    {
        assert_eq!(decode_paths(format, &written, &[]), Ok(listed));
    }
}

fn take_path(rest: &mut &[u8]) -> Option<Path> {
    let (depth, mut tail) = rest.split_first()?;
    let mut path = Path::ROOT;
    for _ in 0..(*depth).min(4) {
        let (segment, after) = tail.split_first_chunk()?;
        path = path.child(u16::from_be_bytes(*segment))?;
        tail = after;
    }
    *rest = tail;
    Some(path)
}

/// The samples, if there are any, which are of different times and have nodes of different paths among those asked for.
fn checked(
    samples: Result<Samples, DecodeError>,
    payload: &Bytes,
    paths: &[Path],
) -> Option<Vec<Sample>> {
    let samples = match samples {
        Ok(samples) => samples,
        Err(error) => {
            assert!(error.offset <= payload.len());
            return None;
        }
    };
    assert!(samples.rejected.len() <= payload.len());
    for (_, error) in &samples.rejected {
        assert!(error.offset <= payload.len());
    }
    let mut times = HashSet::new();
    for sample in &samples.samples {
        assert!(times.insert(sample.time));
        let mut seen = HashSet::new();
        for (path, _) in &sample.nodes {
            assert!(paths.contains(path));
            assert!(seen.insert(*path));
        }
    }
    Some(samples.samples)
}

/// Writes samples, reads them and writes them again; the second writing is as the first.
fn check_again(
    format: ContentFormat,
    samples: &[Sample],
    read: impl Fn(&Bytes) -> Result<Samples, DecodeError>,
) {
    // Beyond this, times in milliseconds have no exact form in seconds.
    let exact = samples.iter().all(|sample| {
        sample.time.is_none_or(|time| {
            let (SampleTime::At(millis) | SampleTime::Relative(millis)) = time;
            millis.unsigned_abs() < 1 << 50
        })
    });
    let Ok(written) = encode_samples(format, samples) else {
        return;
    };
    if exact {
        let again = read(&written).expect("what was written is good");
        assert!(again.rejected.is_empty());
        assert_eq!(encode_samples(format, &again.samples), Ok(written));
    }
}

static BUILT_IN: LazyLock<Models> = LazyLock::new(|| core::catalog().iter().cloned().collect());
static NONE: LazyLock<Models> = LazyLock::new(Models::default);
static ROOT: LazyLock<Vec<String>> = LazyLock::new(|| vec!["lwm2m".to_owned()]);
