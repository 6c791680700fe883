//! One file of `packages/*.json`: an update package, where its bytes are, and to whom it is assigned.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::platform::{
    package::{PackageId, PackageInfo, PackageKind},
    time::UnixMillis,
    uplink::KeyValue,
};

/// A package of the registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PackageEntry {
    /// What it updates.
    #[serde(rename = "type")]
    kind: EntryKind,
    /// Title.
    pub title: String,
    /// Version.
    pub version: String,
    /// Another name by which a device may show that it runs it.
    #[serde(default)]
    tag: Option<String>,
    /// The file with its bytes, in the same folder.
    #[serde(default)]
    pub file: Option<String>,
    /// Where devices fetch it, in place of `file`.
    #[serde(default)]
    pub url: Option<String>,
    /// SHA-256 of the file, hexadecimal; a file that does not have it is not given to devices.
    #[serde(default)]
    pub checksum: Option<String>,
    /// Names of devices to which it is assigned.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Profiles to whose devices it is assigned.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// When the file was written: that is when it was assigned.
    #[serde(skip)]
    pub written: UnixMillis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum EntryKind {
    #[serde(rename = "FIRMWARE")]
    Firmware,
    #[serde(rename = "SOFTWARE")]
    Software,
}

impl PackageEntry {
    /// What it updates.
    pub(super) const fn kind(&self) -> PackageKind {
        match self.kind {
            EntryKind::Firmware => PackageKind::Firmware,
            EntryKind::Software => PackageKind::Software,
        }
    }

    /// Its id, the same in every run: a UUID of version 8 (RFC 9562 section 5.8) from the SHA-256 of what it is.
    pub(super) fn id(&self) -> PackageId {
        let mut digest = Sha256::new_with_prefix("package");
        for part in [
            self.kind().attribute(""),
            self.title.clone(),
            self.version.clone(),
        ] {
            digest.update([0]);
            digest.update(part);
        }
        let mut bytes = [0; 16];
        for (byte, hash) in bytes.iter_mut().zip(digest.finalize()) {
            *byte = hash;
        }
        let id = uuid::Builder::from_bytes(bytes)
            .with_variant(uuid::Variant::RFC4122)
            .with_version(uuid::Version::Custom);
        PackageId(id.into_uuid())
    }

    /// As endpoints see it.
    pub(super) fn info(&self) -> PackageInfo {
        PackageInfo {
            id: self.id(),
            title: self.title.clone(),
            version: self.version.clone(),
            file_name: self.file.clone().unwrap_or_default(),
        }
    }

    /// The shared attributes that say that it is assigned.
    pub(super) fn attributes(&self) -> Vec<(String, KeyValue, UnixMillis)> {
        let values = [
            ("title", Some(&self.title)),
            ("version", Some(&self.version)),
            ("tag", self.tag.as_ref()),
            ("url", self.url.as_ref()),
        ];
        let attribute = |(name, value): (&str, Option<&String>)| {
            let value = KeyValue::String(value?.clone());
            Some((self.kind().attribute(name), value, self.written))
        };
        values.into_iter().filter_map(attribute).collect()
    }

    /// What is wrong with the values: JSON pointer and text.
    pub(super) fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, pointer, message| {
            if !holds {
                problems.push((pointer, message));
            }
        };
        require(
            !self.title.trim().is_empty(),
            "/title",
            "the title is blank",
        );
        require(
            !self.version.trim().is_empty(),
            "/version",
            "the version is blank",
        );
        require(
            self.file.is_some() != self.url.is_some(),
            "",
            "either `file` or `url` is needed",
        );
        let is_name = |file: &String| {
            Path::new(file)
                .file_name()
                .is_some_and(|name| name == file.as_str())
        };
        require(
            self.file.as_ref().is_none_or(is_name),
            "/file",
            "not the name of a file in packages/",
        );
        let is_hash =
            |text: &String| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        require(
            self.checksum.as_ref().is_none_or(is_hash),
            "/checksum",
            "not the 64 hexadecimal digits of a SHA-256",
        );
        problems
    }
}
