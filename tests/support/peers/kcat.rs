//! kcat, a Kafka client for the command line: an independent reader of what was written.

use std::process::Command;

use super::cache::{self, Tool};

/// A record as kcat prints it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Record {
    /// Key; `None` when there is none.
    pub(crate) key: Option<Vec<u8>>,
    /// Names of the headers, in their order.
    pub(crate) headers: Vec<String>,
    pub(crate) value: Vec<u8>,
}

/// Reads everything that is in a topic now. `None`: kcat cannot be had here, as said on standard error.
///
/// # Panics
/// When kcat fails.
pub(crate) fn read(bootstrap_servers: &str, topic: &str) -> Option<Vec<Record>> {
    if !cache::is_installed("kcat", KCAT) {
        return None;
    }
    let output = Command::new("kcat")
        .args(["-b", bootstrap_servers, "-t", topic, "-C", "-e", "-q"])
        // Lengths first: keys, headers and values hold any bytes.
        .args(["-f", "%K %S %k%s%h\n%T\n"])
        .output()
        .expect("kcat was there a moment ago");
    assert!(
        output.status.success(),
        "kcat -t {topic}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut rest = output.stdout.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let key = number(&mut rest);
        let value = usize::try_from(number(&mut rest)).expect("no record is empty");
        let key = usize::try_from(key)
            .ok()
            .map(|length| bytes(&mut rest, length));
        let value = bytes(&mut rest, value);
        records.push(Record {
            key,
            value,
            headers: headers(&mut rest),
        });
    }
    Some(records)
}

/// A number with the blank after it.
fn number(rest: &mut &[u8]) -> i64 {
    let end = rest.iter().position(|byte| *byte == b' ').expect("a blank");
    let digits = bytes(rest, end);
    *rest = &rest[1..];
    let text = String::from_utf8(digits).expect("digits");
    text.parse().expect("a number")
}

fn bytes(rest: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken.to_vec()
}

/// Names of `name=value,name=value`, and the line with the time that ends the record. Values are any bytes.
fn headers(rest: &mut &[u8]) -> Vec<String> {
    let time = |at: usize| -> Option<usize> {
        let line = rest.get(at..)?.strip_prefix(b"\n")?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits == 13 && line.get(digits) == Some(&b'\n')).then_some(at + digits + 2)
    };
    let (end, next) = (0..rest.len())
        .find_map(|at| Some((at, time(at)?)))
        .expect("a line with the time");
    let text = bytes(rest, end);
    *rest = &rest[next - end..];
    NAMES
        .into_iter()
        .filter_map(|name| {
            let sign = format!("{name}=");
            let at = text
                .windows(sign.len())
                .position(|own| own == sign.as_bytes())?;
            Some((at, name.to_owned()))
        })
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_values()
        .collect()
}

/// The headers that the platform knows.
const NAMES: [&str; 3] = ["expireTs", "requestId", "responseTopic"];
const KCAT: Tool = Tool {
    probe: ["kcat", "-V"],
    version: 0,
};
