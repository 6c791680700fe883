//! One list of links: what the strict mode reads, the lenient mode reads too, and what was written reads the same.

use lightship::coap::link_format::{MAX_LENGTH, Mode, parse, write};

/// Reads `data` as a list of links.
pub(crate) fn run(data: &[u8]) {
    let strict = parse(data, Mode::Strict);
    let lenient = parse(data, Mode::Lenient);
    if strict.is_ok() {
        assert_eq!(strict, lenient);
    }
    match lenient {
        Err(error) => assert!(error.offset <= data.len()),
        Ok(read) => {
            for link in &read.links {
                assert!(link.segments().all(|segment| segment.len() <= data.len()));
            }
            let text = write(&read.links);
            let again = parse(text.as_bytes(), Mode::Lenient);
            match again {
                Ok(again) => assert_eq!(write(&again.links), text),
                Err(_) => assert!(text.len() > MAX_LENGTH, "escapes made it longer"),
            }
        }
    }
}
