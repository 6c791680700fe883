//! Where telemetry and attributes go.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
};

use super::{event::Event, settings::OutputTarget};

/// The open output.
#[derive(Debug)]
pub(super) struct Output {
    target: Target,
}

#[derive(Debug)]
enum Target {
    Log,
    JsonLines(JsonLines),
    None,
}

#[derive(Debug)]
struct JsonLines {
    file: File,
    /// Lines not yet written.
    pending: Vec<u8>,
    /// Whether the last write failed, perhaps in the middle of a line.
    torn: bool,
}

impl Output {
    /// Opens the output; a file is created or appended to.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(super) fn open(target: &OutputTarget) -> io::Result<Self> {
        let target = match target {
            OutputTarget::Log => Target::Log,
            OutputTarget::None => Target::None,
            OutputTarget::JsonLines(path) => Target::JsonLines(JsonLines {
                file: OpenOptions::new().create(true).append(true).open(path)?,
                pending: Vec::new(),
                torn: false,
            }),
        };
        Ok(Self { target })
    }

    /// Whether nothing of what is written arrives anywhere.
    pub(super) const fn discards(&self) -> bool {
        matches!(self.target, Target::None)
    }

    /// Takes one event; [`Output::flush`] tells whether it is written.
    pub(super) fn write(&mut self, event: &Event) {
        match &mut self.target {
            Target::Log => tracing::info!(
                endpoint = event.endpoint,
                kind = event.name(),
                "{}",
                event.json()
            ),
            Target::JsonLines(lines) => {
                lines.pending.extend_from_slice(event.json().as_bytes());
                lines.pending.push(b'\n');
            }
            Target::None => {}
        }
    }

    /// Hands what was taken to the operating system, so that it survives the end of this process (not that of the
    /// machine). The log and no output at all count as written at once.
    ///
    /// # Errors
    /// When it could not be written; it is then forgotten, and the next line begins on a line of its own.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::JsonLines(lines) => lines.flush(),
            Target::Log | Target::None => Ok(()),
        }
    }
}

impl JsonLines {
    fn flush(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.pending.insert(0, b'\n');
        }
        let written = self.file.write_all(&self.pending);
        self.pending.clear();
        self.torn = written.is_err();
        written
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::platform::{embedded::event::EventKind, time::UnixMillis, uplink::KeyValue};

    fn event(values: Vec<(&str, KeyValue)>) -> Event {
        Event {
            ts: UnixMillis(1_700_000_000_000),
            endpoint: "urn:dev:1".to_owned(),
            device: "Meter \"1\"".to_owned(),
            kind: EventKind::Telemetry(
                values
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect(),
            ),
        }
    }

    #[test]
    fn appends_one_json_object_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        fs::write(&path, "{}\n").unwrap();
        let mut output = Output::open(&OutputTarget::JsonLines(path.clone())).unwrap();
        output.write(&event(vec![
            ("batteryLevel", KeyValue::Long(95)),
            ("on", KeyValue::Boolean(true)),
            ("temperature", KeyValue::Double(21.5)),
            ("text", KeyValue::String("a\nb".to_owned())),
            ("json", KeyValue::Json(r#"{"b":1,"a":[2]}"#.to_owned())),
        ]));
        output.write(&event(vec![]));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n");
        output.flush().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            concat!(
                "{}\n",
                r#"{"ts":1700000000000,"endpoint":"urn:dev:1","device":"Meter \"1\"","kind":"telemetry","#,
                r#""values":{"batteryLevel":95,"on":true,"temperature":21.5,"text":"a\nb","json":{"b":1,"a":[2]}}}"#,
                "\n",
                r#"{"ts":1700000000000,"endpoint":"urn:dev:1","device":"Meter \"1\"","kind":"telemetry","values":{}}"#,
                "\n",
            )
        );
    }

    #[test]
    fn a_failed_write_is_reported() {
        let full = OutputTarget::JsonLines("/dev/full".into());
        let Ok(mut output) = Output::open(&full) else {
            return;
        };
        output.write(&event(vec![]));
        assert!(output.flush().is_err());
        output.flush().unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/out.jsonl");
        assert!(Output::open(&OutputTarget::JsonLines(path)).is_err());
    }
}
