//! What a command is aimed at: paths with versions, and key names (`rpc.md` 5).

use crate::{
    endpoint::{context::DeviceContext, text},
    lwm2m::path::{ObjectVersion, Path},
    platform::profile::VersionedPath,
};

/// A path as a command gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The path as given.
    pub(super) id: &'a str,
    /// The same without version.
    pub(super) path: Path,
    version: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads `/3_1.2/0/9`: one to four ids, the first one with or without a version. The leading slash may be missing,
    /// one trailing slash is tolerated.
    ///
    /// # Errors
    /// The text of the reply.
    pub(super) fn parse(id: &'a str) -> Result<Self, String> {
        let inner = id.strip_prefix('/').unwrap_or(id);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let (object, rest) = inner
            .split_once('/')
            .map_or((inner, None), |(object, rest)| (object, Some(rest)));
        let (object, version) = object
            .split_once('_')
            .map_or((object, None), |(object, version)| (object, Some(version)));
        let plain = rest.map_or_else(|| object.to_owned(), |rest| format!("{object}/{rest}"));
        let path = path(&plain)?;
        Ok(Self { id, path, version })
    }

    /// The first path of the profile with this key name whose version the device supports.
    pub(super) fn of_key(key: &str, device: &DeviceContext<'_>) -> Option<VersionedPath> {
        let mapping = &device.profile.transport.observe_attr.key_name;
        let mut paths = mapping.iter().filter(|(_, name)| name == key);
        paths
            .find(|(path, _)| {
                is_exempt(&path.path) || supported_version(&path.path, device) == Some(path.version)
            })
            .map(|(path, _)| *path)
    }

    /// Whether the version given, if any, is the one that the device supports.
    pub(super) fn fits(&self, device: &DeviceContext<'_>) -> bool {
        let supported = supported_version(&self.path, device);
        self.version.is_none_or(|version| {
            supported.is_some_and(|supported| supported.to_string() == version)
        })
    }

    /// Checks that the device has the object, in the version given.
    ///
    /// # Errors
    /// The text of the reply.
    pub(super) fn check_version(&self, device: &DeviceContext<'_>) -> Result<(), String> {
        if is_exempt(&self.path) {
            return Ok(());
        }
        let supported = supported_version(&self.path, device)
            .ok_or_else(|| text::object_absent(self.path.object_id()))?;
        let fits = match self.version {
            None if device.settings.lenient_version => true,
            None => supported == ObjectVersion::V1_0,
            Some(version) => supported.to_string() == version,
        };
        if fits {
            Ok(())
        } else {
            Err(text::version_invalid(self.id, supported))
        }
    }
}

/// Two executable resources of the Server object can be reached without a version: Registration Update Trigger and
/// Bootstrap-Request Trigger.
fn is_exempt(path: &Path) -> bool {
    matches!(path.segments(), [1, 0, 8 | 9])
}

fn supported_version(path: &Path, device: &DeviceContext<'_>) -> Option<ObjectVersion> {
    device.registration.supported_version(path.object_id()?)
}

/// Reads `3/0/9`; nothing at all is the root.
fn path(plain: &str) -> Result<Path, String> {
    if plain.is_empty() {
        return Ok(Path::ROOT);
    }
    let segments: Vec<_> = plain.split('/').collect();
    if segments.len() > 4 {
        return Err(text::path_length(plain));
    }
    let mut path = Path::ROOT;
    for (depth, segment) in segments.into_iter().enumerate() {
        let is_number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = Some(segment)
            .filter(|_| is_number)
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| text::path_elements(plain))?;
        let is_reserved = depth == 1 && number == u32::from(u16::MAX);
        path = u16::try_from(number)
            .ok()
            .filter(|_| !is_reserved)
            .and_then(|segment| path.child(segment))
            .ok_or_else(|| text::path_range(depth, number))?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_with_or_without_version_and_slashes() {
        for (id, path, version) in [
            ("/3_1.2/0/9", Path::resource(3, 0, 9), Some("1.2")),
            ("3_1.2/0/9", Path::resource(3, 0, 9), Some("1.2")),
            ("/3/0/9", Path::resource(3, 0, 9), None),
            ("/19_1.1/65533/", Path::instance(19, 65533), Some("1.1")),
            ("/3_1.2/07", Path::instance(3, 7), Some("1.2")),
            ("/3_1.2", Path::object(3), Some("1.2")),
            ("/", Path::ROOT, None),
            (
                "/3/0/6/65535",
                Path::resource_instance(3, 0, 6, 65535),
                None,
            ),
        ] {
            assert_eq!(Target::parse(id), Ok(Target { id, path, version }));
        }
    }

    #[test]
    fn what_is_no_path_is_explained() {
        for (id, error) in [
            ("/3_1.2/0/9/1/2/3", "Invalid length for path 3/0/9/1/2/3"),
            ("/3_1.2/0/x", "Invalid elements in path 3/0/x"),
            ("/3//9", "Invalid elements in path 3//9"),
            ("/3/+1", "Invalid elements in path 3/+1"),
            ("/3/99999999999", "Invalid elements in path 3/99999999999"),
            (
                "/65536",
                "Invalid object id 65536, It MUST be an unsigned int.",
            ),
            (
                "/3/65535",
                "Invalid object instance id 65535, It MUST be an unsigned int. (65535 is reserved)",
            ),
        ] {
            assert_eq!(Target::parse(id), Err(error.to_owned()));
        }
    }
}
