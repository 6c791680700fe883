//! Google's protobuf library (Python) with descriptors that protoc makes of our proto files: an independent decoder.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::cache::{self, PIP, PYTHON, Recipe};

/// The decoder.
#[derive(Debug)]
pub(crate) struct Decoder {
    packages: PathBuf,
}

impl Decoder {
    /// The decoder. `None`: it cannot be had here, as said on standard error.
    pub(crate) fn get() -> Option<Self> {
        let packages = RECIPE.prepare(|folder| {
            let mut pip = Command::new("pip3");
            pip.args(["install", "--quiet", "--no-compile", "--target"])
                .arg(folder)
                .args(PACKAGES);
            cache::run(&mut pip)
        })?;
        Some(Self { packages })
    }

    /// Decodes messages, each given by its name and its bytes; see `tests/kafka/decode.py`.
    ///
    /// # Panics
    /// When one of them is refused.
    pub(crate) fn decode(&self, messages: &[(&str, &[u8])]) -> Vec<serde_json::Value> {
        let mut python = Command::new("python3")
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/kafka/decode.py"
            ))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/proto"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python was there a moment ago");
        let mut stdin = python.stdin.take().expect("stdin is piped");
        let lines: String = messages
            .iter()
            .map(|(name, bytes)| {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{name} {hex}\n")
            })
            .collect();
        let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
        let output = python.wait_with_output().expect("python ends");
        let written = writer.join().expect("the writer does not panic");
        let text = String::from_utf8_lossy(&output.stdout);
        let documents = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<_>, _>>();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && written.is_ok(),
            "the decoder refuses a message after {text}: {complaint}"
        );
        let documents = documents.expect("JSON");
        assert_eq!(documents.len(), messages.len());
        documents
    }
}

const PACKAGES: [&str; 2] = ["grpcio-tools==1.71.0", "protobuf==5.29.6"];
const RECIPE: Recipe<'static> = Recipe {
    peer: "protobuf",
    folder: "protobuf-5.29.6",
    to_run: &[PYTHON],
    to_make: &[PIP],
    fetches: true,
};
