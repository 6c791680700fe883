//! Paths in the LwM2M resource tree (OMA LwM2M Core, section "Identifiers and Resources").

use std::{fmt, str::FromStr};

/// An object id, 0 to 65535.
pub type ObjectId = u16;
/// An object instance id, 0 to 65534.
pub type InstanceId = u16;
/// A resource id, 0 to 65535.
pub type ResourceId = u16;
/// A resource instance id, 0 to 65535.
pub type ResourceInstanceId = u16;

/// A path of zero to four segments: `/`, `/3`, `/3/0`, `/3/0/7`, `/3/0/7/1`.
///
/// `Display` prints the leading slash and no version. Ordering is segment-wise, a shorter path before its
/// extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    segments: [u16; 4],
    depth: u8,
}

impl Path {
    /// The root, `/`.
    pub const ROOT: Self = Self {
        segments: [0; 4],
        depth: 0,
    };

    /// `/object`.
    pub const fn object(object: ObjectId) -> Self {
        Self {
            segments: [object, 0, 0, 0],
            depth: 1,
        }
    }

    /// `/object/instance`.
    pub const fn instance(object: ObjectId, instance: InstanceId) -> Self {
        Self {
            segments: [object, instance, 0, 0],
            depth: 2,
        }
    }

    /// `/object/instance/resource`.
    pub const fn resource(object: ObjectId, instance: InstanceId, resource: ResourceId) -> Self {
        Self {
            segments: [object, instance, resource, 0],
            depth: 3,
        }
    }

    /// `/object/instance/resource/resource instance`.
    pub const fn resource_instance(
        object: ObjectId,
        instance: InstanceId,
        resource: ResourceId,
        resource_instance: ResourceInstanceId,
    ) -> Self {
        Self {
            segments: [object, instance, resource, resource_instance],
            depth: 4,
        }
    }

    /// The segments, zero to four of them.
    pub fn segments(&self) -> &[u16] {
        self.segments
            .get(..usize::from(self.depth))
            .unwrap_or_default()
    }

    /// How many segments there are, 0 to 4.
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    /// The object id, unless this is the root.
    pub fn object_id(&self) -> Option<ObjectId> {
        self.segments().first().copied()
    }

    /// The object instance id, if the path is that deep.
    pub fn instance_id(&self) -> Option<InstanceId> {
        self.segments().get(1).copied()
    }

    /// The resource id, if the path is that deep.
    pub fn resource_id(&self) -> Option<ResourceId> {
        self.segments().get(2).copied()
    }

    /// The resource instance id, if the path is that deep.
    pub fn resource_instance_id(&self) -> Option<ResourceInstanceId> {
        self.segments().get(3).copied()
    }

    /// The path one segment deeper, or `None` when there are four already.
    pub fn child(&self, segment: u16) -> Option<Self> {
        let mut child = *self;
        *child.segments.get_mut(usize::from(self.depth))? = segment;
        child.depth = self.depth.saturating_add(1);
        Some(child)
    }

    /// The path one segment shorter, or `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let depth = self.depth.checked_sub(1)?;
        let mut parent = Self { depth, ..*self };
        *parent.segments.get_mut(usize::from(depth))? = 0;
        Some(parent)
    }

    /// Whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.segments().starts_with(self.segments())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth == 0 {
            return f.write_str("/");
        }
        self.segments()
            .iter()
            .try_for_each(|segment| write!(f, "/{segment}"))
    }
}

impl FromStr for Path {
    type Err = PathError;

    /// Reads `/3/0/9`, `3/0/9` or `/`; one trailing slash is tolerated.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let trimmed = text.strip_prefix('/').unwrap_or(text);
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        let mut path = Self::ROOT;
        if trimmed.is_empty() {
            return Ok(path);
        }
        for segment in trimmed.split('/') {
            if segment.is_empty() || !segment.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(PathError::Segment);
            }
            let number = segment.parse().map_err(|_| PathError::Range)?;
            path = path.child(number).ok_or(PathError::Depth)?;
        }
        if path.instance_id() == Some(u16::MAX) {
            return Err(PathError::Range);
        }
        Ok(path)
    }
}

/// Why a text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More than four segments.
    #[error("more than four segments")]
    Depth,
    /// An id above 65535, or object instance 65535, which is reserved.
    #[error("an id is out of range")]
    Range,
    /// A segment that is not a decimal number.
    #[error("a segment is not a decimal number")]
    Segment,
}

/// An object version, `major.minor` (OMA LwM2M Core, section "Object Versioning").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectVersion {
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
}

impl ObjectVersion {
    /// 1.0, the version of an object that states none.
    pub const V1_0: Self = Self::new(1, 0);

    /// `major.minor`.
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }
}

impl Default for ObjectVersion {
    fn default() -> Self {
        Self::V1_0
    }
}

impl fmt::Display for ObjectVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ObjectVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let (major, minor) = text.split_once('.').ok_or(VersionError)?;
        let number = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(VersionError);
            }
            digits.parse().map_err(|_| VersionError)
        };
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// A text that is not `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version is two decimal numbers joined by a dot")]
pub struct VersionError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_every_depth() {
        for text in ["/", "/3", "/3/0", "/3/0/7", "/3/0/7/1"] {
            assert_eq!(text.parse::<Path>().unwrap().to_string(), text);
        }
        assert_eq!("19/65533/".parse(), Ok(Path::instance(19, 65533)));
    }

    #[test]
    fn refuses_what_is_no_path() {
        assert_eq!("/3/0/7/1/2".parse::<Path>(), Err(PathError::Depth));
        assert_eq!("/3/x".parse::<Path>(), Err(PathError::Segment));
        assert_eq!("//3".parse::<Path>(), Err(PathError::Segment));
        assert_eq!("/65536".parse::<Path>(), Err(PathError::Range));
        assert_eq!("/3/65535".parse::<Path>(), Err(PathError::Range));
        assert_eq!("/+3".parse::<Path>(), Err(PathError::Segment));
    }

    #[test]
    fn knows_what_lies_below_it() {
        assert!(Path::object(3).contains(&Path::resource(3, 0, 9)));
        assert!(!Path::resource(3, 0, 1).contains(&Path::resource(3, 0, 11)));
        assert_eq!(Path::resource(3, 0, 9).parent(), Some(Path::instance(3, 0)));
    }

    #[test]
    fn versions_need_two_numbers() {
        assert_eq!("1.10".parse(), Ok(ObjectVersion::new(1, 10)));
        for text in ["1", "1.", "x", "1.0.0", "-1.0"] {
            assert_eq!(text.parse::<ObjectVersion>(), Err(VersionError), "{text}");
        }
    }
}
