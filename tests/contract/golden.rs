//! Records captured between an unmodified platform and its own LwM2M transport (core 4.2.1), one JSON object a line.

use std::{fs, path::PathBuf, sync::Once};

use serde::Deserialize;

/// A captured record.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    pub(crate) step: String,
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) producer: String,
    pub(crate) message: String,
    #[serde(rename = "keyText")]
    pub(crate) key: String,
    headers: Vec<(String, String)>,
    value: String,
}

impl Golden {
    pub(crate) fn value(&self) -> Vec<u8> {
        unhex(&self.value)
    }

    pub(crate) fn headers(&self) -> Vec<(&str, Vec<u8>)> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| (name.as_str(), unhex(value)))
            .collect()
    }
}

/// The records of one group, `None` after one line of reason when the capture is not on this machine.
pub(crate) fn records(group: &str) -> Option<Vec<Golden>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/golden/records");
    if !folder.is_dir() {
        static SAID: Once = Once::new();
        SAID.call_once(|| eprintln!("skipped: no captured records in {}", folder.display()));
        return None;
    }
    let file = folder.join(format!("{group}.jsonl"));
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
    Some(records.collect())
}

/// Every group of the capture.
pub(crate) const GROUPS: [&str; 15] = [
    "00-start",
    "02-provision",
    "10-nosec-lifecycle",
    "14-rpc",
    "15-rpc-persistent-oneway",
    "16-shared-attributes",
    "17-profile-device-updates",
    "18-deregister-offline-credentials",
    "20-security-modes",
    "30-bootstrap",
    "40-ota",
    "50-sleep-modes",
    "58-rpc-timeout",
    "85-restart-expiry-idle-corefrozen",
    "90-broadcasts-limits-quota-deletes",
];

fn unhex(text: &str) -> Vec<u8> {
    let digits = |byte: u8| char::from(byte).to_digit(16).unwrap();
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| u8::try_from(digits(pair[0]) << 4 | digits(pair[1])).unwrap())
        .collect()
}
