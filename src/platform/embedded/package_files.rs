//! The bytes of the registry's packages: read from their files, and kept in memory while the files stay as they are.

use std::{collections::HashMap, fs, io, path::Path, sync::Arc, time::SystemTime};

use crate::platform::{
    QuestionError,
    package::{NoRoom, Package, PackageCache, PackageId},
};

use super::package::PackageEntry;

/// The packages in memory, and what was found in their files.
#[derive(Debug)]
pub(super) struct PackageFiles {
    cache: PackageCache,
    found: HashMap<PackageId, Found>,
}

/// What a file held when it was read.
#[derive(Debug)]
struct Found {
    stamp: Stamp,
    checksum: String,
}

/// What tells a changed file: modification time and length.
type Stamp = (SystemTime, u64);

impl PackageFiles {
    /// None yet, and never more than so many bytes of them in memory.
    pub(super) fn new(budget: usize) -> Self {
        Self {
            cache: PackageCache::new(budget),
            found: HashMap::new(),
        }
    }

    /// The bytes of a package, read from its file unless they are in memory.
    ///
    /// # Errors
    /// What the asker is told; the reason is logged.
    pub(super) fn bytes(
        &mut self,
        id: PackageId,
        entry: &PackageEntry,
        file: &Path,
    ) -> Result<Arc<Package>, QuestionError> {
        self.find(id, entry, file).map_err(|error| {
            tracing::warn!(
                event = error.event(),
                %error,
                "{} is not given to devices",
                file.display()
            );
            error.into()
        })
    }

    /// Forgets the packages that the registry no longer has.
    pub(super) fn retain(&mut self, has: impl Fn(PackageId) -> bool) {
        self.found.retain(|id, _| has(*id));
    }

    fn find(
        &mut self,
        id: PackageId,
        entry: &PackageEntry,
        file: &Path,
    ) -> Result<Arc<Package>, Error> {
        // Before the bytes: a file that is written meanwhile differs the next time.
        let metadata = fs::metadata(file)?;
        let stamp = (metadata.modified()?, metadata.len());
        if let Some(found) = self.found.get(&id).filter(|found| found.stamp == stamp) {
            // A file known to be damaged is not read again for everyone who asks.
            entry.check(&found.checksum)?;
            if let Some(package) = self.cache.get(id) {
                return Ok(package);
            }
        }
        let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        self.cache.make_room(length)?;
        let package = Package::new(fs::read(file)?.into());
        let checksum = package.checksum();
        let checked = entry.check(&checksum);
        self.found.insert(id, Found { stamp, checksum });
        checked?;
        Ok(self.cache.insert(id, package)?)
    }
}

impl PackageEntry {
    /// Compares the checksum of a file with the one that is stated, if any is.
    fn check(&self, checksum: &str) -> Result<(), Error> {
        match &self.checksum {
            Some(stated) if !stated.eq_ignore_ascii_case(checksum) => Err(Error::Damaged),
            Some(_) | None => Ok(()),
        }
    }
}

/// Why a package is not given out.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("it has not the checksum that its description states")]
    Damaged,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

impl Error {
    const fn event(&self) -> &'static str {
        match self {
            Self::Damaged => "package_damaged",
            Self::NoRoom(_) | Self::Unreadable(_) => "package_unreadable",
        }
    }
}

impl From<Error> for QuestionError {
    fn from(error: Error) -> Self {
        match error {
            Error::Damaged | Error::NoRoom(NoRoom::Ever) | Error::Unreadable(_) => Self::Invalid,
            Error::NoRoom(NoRoom::Now) => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::platform::embedded::test_support::RegistryFolder;

    use super::*;

    /// A firmware `fw` in version 2 that is `fw.bin`, with these further members.
    fn entry(more: &str) -> PackageEntry {
        let text =
            format!(r#"{{"type":"FIRMWARE","title":"fw","version":"2","file":"fw.bin"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    /// As [`entry`], with the checksum of these bytes.
    fn stating(bytes: &'static str) -> PackageEntry {
        let checksum = Package::new(bytes.into()).checksum().to_uppercase();
        entry(&format!(r#","checksum":"{checksum}""#))
    }

    struct Fixture {
        folder: RegistryFolder,
        files: PackageFiles,
    }

    fn fixture(content: &str) -> Fixture {
        let folder = RegistryFolder::new();
        folder.write("packages/fw.bin", content);
        let files = PackageFiles::new(100);
        Fixture { folder, files }
    }

    impl Fixture {
        fn bytes(&mut self, entry: &PackageEntry) -> Result<Arc<Package>, QuestionError> {
            let file = self.folder.path().join("packages/fw.bin");
            self.files.bytes(entry.id(), entry, &file)
        }
    }

    #[test]
    fn all_askers_share_what_was_read_once() {
        let mut fixture = fixture("package");
        let first = fixture.bytes(&stating("package")).unwrap();
        let second = fixture.bytes(&stating("package")).unwrap();
        assert_eq!(first.bytes(), "package");
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn nobody_gets_a_damaged_package() {
        let mut fixture = fixture("damaged");
        for asker in 0..3 {
            let got = fixture.bytes(&stating("package"));
            assert_eq!(got, Err(QuestionError::Invalid), "asker {asker}");
        }
        fixture.folder.write("packages/fw.bin", "package");
        let mended = fixture.bytes(&stating("package")).unwrap();
        assert_eq!(mended.bytes(), "package");
    }

    #[test]
    fn a_file_that_was_replaced_is_read_again() {
        let mut fixture = fixture("before");
        let entry = entry("");
        let before = fixture.bytes(&entry).unwrap();
        fixture.folder.write("packages/fw.bin", "after!");
        assert_eq!(fixture.bytes(&entry).unwrap().bytes(), "after!");
        assert_eq!(before.bytes(), "before", "a transfer goes on with its own");
    }

    #[test]
    fn a_description_that_changed_counts_for_what_is_in_memory() {
        let mut fixture = fixture("package");
        assert!(fixture.bytes(&entry("")).is_ok());
        let other = fixture.bytes(&stating("other"));
        assert_eq!(other, Err(QuestionError::Invalid));
        assert!(fixture.bytes(&stating("package")).is_ok());
    }

    #[test]
    fn what_is_not_there_or_too_large_is_not_given_out() {
        let mut fixture = fixture(&"x".repeat(101));
        assert_eq!(fixture.bytes(&entry("")), Err(QuestionError::Invalid));
        fixture.folder.remove("packages/fw.bin");
        assert_eq!(fixture.bytes(&entry("")), Err(QuestionError::Invalid));
    }
}
