//! Update packages: what the platform says of one, its bytes, and the memory that these may take.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a package updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackageKind {
    /// The firmware, Object 5.
    Firmware,
    /// A software component, Object 9.
    Software,
}

impl PackageKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Firmware, Self::Software];

    /// The name of a shared attribute of this kind, `fw_title` for `title`.
    pub fn attribute(self, name: &str) -> String {
        format!("{}{name}", self.prefix())
    }

    /// The kind to which a shared attribute belongs; of the names that begin as those of packages only the ones that the
    /// platform uses (`ota.md` 2).
    pub fn of_attribute(attribute: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| {
            let name = attribute.strip_prefix(kind.prefix());
            name.is_some_and(|name| ATTRIBUTES.contains(&name))
        })
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Firmware => "fw_",
            Self::Software => "sw_",
        }
    }
}

/// The shared attributes of a package, without what says its kind.
const ATTRIBUTES: [&str; 9] = [
    "title",
    "version",
    "ts",
    "state",
    "size",
    "checksum",
    "checksum_algorithm",
    "url",
    "tag",
];

/// The id of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(pub Uuid);

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A package that is assigned to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageInfo {
    /// Its id.
    pub id: PackageId,
    /// Title.
    pub title: String,
    /// Version.
    pub version: String,
    /// Name of its file.
    pub file_name: String,
}

/// The bytes of a package, shared by all who need them.
#[derive(Clone, PartialEq, Eq)]
pub struct Package {
    bytes: Bytes,
    sha256: [u8; 32],
}

impl Package {
    /// A package of these bytes; reads all of them.
    pub fn new(bytes: Bytes) -> Self {
        let sha256 = Sha256::digest(&bytes).into();
        Self { bytes, sha256 }
    }

    /// The bytes; clones share them.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    pub const fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// SHA-256 of the bytes, hexadecimal.
    pub fn checksum(&self) -> String {
        self.sha256
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package")
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The packages in memory, at most so many bytes of them. Those that nobody uses make room for others.
#[derive(Debug)]
pub struct PackageCache {
    budget: usize,
    /// The one used last comes last.
    packages: Vec<(PackageId, Arc<Package>)>,
}

impl PackageCache {
    /// An empty cache of at most `budget` bytes.
    pub const fn new(budget: usize) -> Self {
        Self {
            budget,
            packages: Vec::new(),
        }
    }

    /// A package that is in memory.
    pub fn get(&mut self, id: PackageId) -> Option<Arc<Package>> {
        let index = self.packages.iter().position(|(own, _)| *own == id)?;
        let found = self.packages.remove(index);
        let package = Arc::clone(&found.1);
        self.packages.push(found);
        Some(package)
    }

    /// Makes room for a package of `length` bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit, or when those that are in use leave no room.
    pub fn make_room(&mut self, length: usize) -> Result<(), NoRoom> {
        if length > self.budget {
            return Err(NoRoom::Ever);
        }
        while self.used().saturating_add(length) > self.budget {
            let unused = |(_, package): &(PackageId, Arc<Package>)| Arc::strong_count(package) == 1;
            let Some(index) = self.packages.iter().position(unused) else {
                return Err(NoRoom::Now);
            };
            self.packages.remove(index);
        }
        Ok(())
    }

    /// Keeps a package, in the place of an older one with its id.
    ///
    /// # Errors
    /// As [`Self::make_room`].
    pub fn insert(&mut self, id: PackageId, package: Package) -> Result<Arc<Package>, NoRoom> {
        self.packages.retain(|(own, _)| *own != id);
        self.make_room(package.bytes.len())?;
        let package = Arc::new(package);
        self.packages.push((id, Arc::clone(&package)));
        Ok(package)
    }

    fn used(&self) -> usize {
        self.packages
            .iter()
            .map(|(_, package)| package.bytes.len())
            .sum()
    }
}

/// Why a package cannot be taken into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// It is larger than `ota.cache_bytes`.
    #[error("the package is larger than `ota.cache_bytes`")]
    Ever,
    /// The packages in use take up `ota.cache_bytes`.
    #[error("the packages in use take up `ota.cache_bytes`")]
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> PackageId {
        PackageId(Uuid::from_u128(number))
    }

    fn package(length: usize) -> Package {
        Package::new(vec![7; length].into())
    }

    #[test]
    fn o18_only_the_exact_names_belong_to_packages() {
        let of = PackageKind::of_attribute;
        for (firmware, software) in [
            ("fw_title", "sw_title"),
            ("fw_version", "sw_version"),
            ("fw_checksum_algorithm", "sw_checksum_algorithm"),
            ("fw_ts", "sw_ts"),
        ] {
            assert_eq!(of(firmware), Some(PackageKind::Firmware), "{firmware}");
            assert_eq!(of(software), Some(PackageKind::Software), "{software}");
        }
        for name in ["pkgversion", "state", "lights", "fw_titles", "fw_", "title"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn a_checksum_is_the_sha_256_of_the_bytes() {
        // ota.md, acceptance case O2.
        assert_eq!(
            Package::new(Bytes::from_static(&[1])).checksum(),
            "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
        );
    }

    #[test]
    fn o19_all_users_of_a_package_share_its_bytes() {
        let mut cache = PackageCache::new(30 << 20);
        let first = cache.insert(id(1), package(20 << 20)).unwrap();
        let users: Vec<_> = (0..500).map(|_| cache.get(id(1)).unwrap()).collect();
        let start = first.bytes().as_ptr();
        assert!(users.iter().all(|user| user.bytes().as_ptr() == start));
        assert_eq!(cache.used(), 20 << 20);
    }

    #[test]
    fn packages_in_use_stay_and_the_others_make_room() {
        let mut cache = PackageCache::new(100);
        let used = cache.insert(id(1), package(40)).unwrap();
        cache.insert(id(2), package(30)).unwrap();
        cache.insert(id(3), package(30)).unwrap();
        assert!(cache.get(id(2)).is_some());
        cache.insert(id(4), package(30)).unwrap();
        assert!(
            cache.get(id(3)).is_none(),
            "the one that was used longest ago"
        );
        assert!(cache.get(id(1)).is_some() && cache.get(id(2)).is_some());
        assert_eq!(cache.insert(id(5), package(61)), Err(NoRoom::Now));
        assert_eq!(cache.insert(id(5), package(101)), Err(NoRoom::Ever));
        drop(used);
        assert!(cache.insert(id(5), package(100)).is_ok());
    }
}
