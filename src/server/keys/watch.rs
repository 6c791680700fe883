//! Files that are replaced while they are used.

use std::{fs, path::PathBuf};

use sha2::{Digest, Sha256};

/// Tells when the content of files has changed: Kubernetes replaces them by a symbolic link, which leaves dates alone. A
/// file that is not there counts as empty.
#[derive(Debug)]
pub struct Watch {
    files: Vec<PathBuf>,
    known: [u8; 32],
}

impl Watch {
    /// Watches these files from what they hold at this moment.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let known = digest(&files);
        Self { files, known }
    }

    /// Whether they hold something else than at the last call.
    pub fn has_changed(&mut self) -> bool {
        let digest = digest(&self.files);
        std::mem::replace(&mut self.known, digest) != digest
    }
}

fn digest(files: &[PathBuf]) -> [u8; 32] {
    let mut all = Sha256::new();
    for file in files {
        let content = fs::read(file).unwrap_or_default();
        all.update((content.len() as u64).to_be_bytes());
        all.update(content);
    }
    all.finalize().into()
}
