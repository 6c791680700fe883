//! Settings of the store.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// `state`: what is kept across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateSettings {
    /// Where registrations are kept: `memory` (devices register again after a restart) or `embedded` (a file in
    /// `state.dir`). Default: `embedded` if `state.dir` is set, else `memory`.
    pub backend: Option<StateBackend>,
    /// The folder of the file `state.redb`. Default: none; with `state.backend=embedded` it is `./data`.
    pub dir: Option<PathBuf>,
    /// How long a change may take to reach the file, milliseconds. Default 1000.
    pub commit_interval_ms: u64,
    /// Cache of the file in memory, bytes. Default 67108864.
    pub cache_bytes: usize,
    /// What may wait to be written, bytes; endpoints hold back what exceeds it. Default 67108864.
    pub pending_bytes: usize,
}

impl StateSettings {
    /// The folder of the file; `None`: registrations are kept in memory alone.
    pub fn folder(&self) -> Option<&Path> {
        match (self.backend, &self.dir) {
            (Some(StateBackend::Memory), _) | (None, None) => None,
            (_, Some(dir)) => Some(dir),
            (Some(StateBackend::Embedded), None) => Some(Path::new("data")),
        }
    }
}

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            backend: None,
            dir: None,
            commit_interval_ms: 1000,
            cache_bytes: 64 << 20,
            pending_bytes: 64 << 20,
        }
    }
}

/// Where registrations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum StateBackend {
    /// In a file.
    Embedded,
    /// Nowhere else.
    Memory,
}

impl TryFrom<String> for StateBackend {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "embedded" => Ok(Self::Embedded),
            "memory" => Ok(Self::Memory),
            _ => Err("expected `memory` or `embedded`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_used_when_it_is_named_or_the_backend_needs_one() {
        let folder = |backend, dir: Option<&str>| {
            let settings = StateSettings {
                backend,
                dir: dir.map(PathBuf::from),
                ..StateSettings::default()
            };
            settings.folder().map(Path::to_owned)
        };
        assert_eq!(folder(None, None), None);
        assert_eq!(folder(None, Some("/x")), Some("/x".into()));
        assert_eq!(folder(Some(StateBackend::Memory), Some("/x")), None);
        assert_eq!(
            folder(Some(StateBackend::Embedded), None),
            Some("data".into())
        );
    }
}
