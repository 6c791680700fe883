//! Settings of the embedded platform.

use std::{fmt, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// `embedded`: the platform core played from a folder of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddedSettings {
    /// Folder with `devices/*.json`, `profiles/*.json` and `models/*.xml`; changes are picked up while running.
    /// Default `./registry`.
    pub registry_dir: PathBuf,
    /// Where telemetry and attributes go: `log`, `jsonl:<path>` (one JSON object a line, appended) or `none`.
    /// Default `log`.
    pub output: OutputTarget,
    /// Whether an endpoint that the registry does not name is admitted without security; else it is answered 4.03.
    /// Default false.
    pub accept_unknown: bool,
    /// Profile (file name without `.json`) of endpoints that `accept_unknown` admits. Default `default`.
    pub default_profile: String,
}

impl Default for EmbeddedSettings {
    fn default() -> Self {
        Self {
            registry_dir: PathBuf::from("./registry"),
            output: OutputTarget::Log,
            accept_unknown: false,
            default_profile: "default".to_owned(),
        }
    }
}

/// Where telemetry and attributes go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OutputTarget {
    /// To the log, at INFO.
    Log,
    /// To this file, one JSON object a line.
    JsonLines(PathBuf),
    /// Nowhere.
    None,
}

impl FromStr for OutputTarget {
    type Err = OutputTargetError;

    fn from_str(text: &str) -> Result<Self, OutputTargetError> {
        match (text, text.strip_prefix("jsonl:")) {
            ("log", _) => Ok(Self::Log),
            ("none", _) => Ok(Self::None),
            (_, Some(path)) if !path.is_empty() => Ok(Self::JsonLines(PathBuf::from(path))),
            _ => Err(OutputTargetError),
        }
    }
}

impl TryFrom<String> for OutputTarget {
    type Error = OutputTargetError;

    fn try_from(text: String) -> Result<Self, OutputTargetError> {
        text.parse()
    }
}

impl From<OutputTarget> for String {
    fn from(target: OutputTarget) -> Self {
        target.to_string()
    }
}

impl fmt::Display for OutputTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("log"),
            Self::JsonLines(path) => write!(f, "jsonl:{}", path.display()),
            Self::None => f.write_str("none"),
        }
    }
}

/// A text that names no output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `log`, `jsonl:<path>` or `none`")]
pub struct OutputTargetError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_targets_read_back_as_printed() {
        for text in ["log", "jsonl:/tmp/out.jsonl", "none"] {
            assert_eq!(text.parse::<OutputTarget>().unwrap().to_string(), text);
        }
        for text in ["", "jsonl:", "Log", "file"] {
            assert_eq!(
                text.parse::<OutputTarget>(),
                Err(OutputTargetError),
                "{text}"
            );
        }
    }
}
