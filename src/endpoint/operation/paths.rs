//! What an operation is aimed at.

use std::fmt;

use crate::{endpoint::rpc::java, lwm2m::path::Path};

/// One path, or the several of a composite operation. `Display` prints `/3/0/9`, or `[/3/0/9, /5/0/3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Of any operation but a composite one.
    One(Path),
    /// Of a composite operation, in the order in which they are sent.
    Several(Vec<Path>),
}

impl Paths {
    /// Paths that are read or observed together: without repetitions, in the order in which the platform sends them,
    /// that of a hash table of their texts (`rpc.md` 9.4).
    pub fn together(paths: impl IntoIterator<Item = Path>) -> Self {
        let mut unique = Vec::new();
        for path in paths {
            if !unique.contains(&path) {
                unique.push(path);
            }
        }
        java::hash_order(&mut unique, 16, |path| java::string_hash(&path.to_string()));
        Self::Several(unique)
    }

    /// The paths.
    pub fn as_slice(&self) -> &[Path] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Several(paths) => paths,
        }
    }

    /// Whether both are the same, in whatever order.
    pub fn equal(&self, other: &Self) -> bool {
        let (own, other) = match (self, other) {
            (Self::One(own), Self::One(other)) => return own == other,
            (Self::Several(own), Self::Several(other)) => (own, other),
            (Self::One(_), Self::Several(_)) | (Self::Several(_), Self::One(_)) => return false,
        };
        own.len() == other.len() && own.iter().all(|path| other.contains(path))
    }

    /// Whether one of them is `path`, or lies above or below it.
    pub fn overlap(&self, path: &Path) -> bool {
        let mut paths = self.as_slice().iter();
        paths.any(|own| own.contains(path) || path.contains(own))
    }

    /// The first two of which one contains the other.
    pub fn overlapping(&self) -> Option<(Path, Path)> {
        let paths = self.as_slice();
        paths.iter().enumerate().find_map(|(index, first)| {
            let mut others = paths.iter().skip(index + 1);
            let second = others.find(|other| first.contains(other) || other.contains(first))?;
            Some((*first, *second))
        })
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(path) => path.fmt(f),
            Self::Several(paths) => {
                let paths: Vec<_> = paths.iter().map(Path::to_string).collect();
                write!(f, "[{}]", paths.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(paths: &[&str]) -> Paths {
        Paths::together(paths.iter().map(|path| path.parse().unwrap()))
    }

    #[test]
    fn paths_are_sent_in_the_order_of_the_platform() {
        let paths = together(&[
            "/3/0/9", "/5/0/3", "/5/0/5", "/5/0/3", "/5/0/6", "/5/0/7", "/5/0/9",
        ]);
        assert_eq!(
            paths.to_string(),
            "[/5/0/9, /3/0/9, /5/0/5, /5/0/6, /5/0/7, /5/0/3]"
        );
        assert_eq!(Paths::One(Path::resource(3, 0, 9)).to_string(), "/3/0/9");
    }

    #[test]
    fn the_order_makes_no_difference_between_two_lists() {
        // These two share a slot, so that they are sent in the order in which they were given.
        let (one, other) = (["/3/0/10", "/3/0/21"], ["/3/0/21", "/3/0/10"]);
        assert_ne!(together(&one), together(&other));
        assert!(together(&one).equal(&together(&other)));
        assert!(!together(&one).equal(&together(&one[..1])));
        assert!(!together(&one[..1]).equal(&Paths::One(Path::resource(3, 0, 10))));
    }

    #[test]
    fn overlaps_are_found_in_the_order_sent() {
        assert_eq!(
            together(&["/3/0/9", "/3/0"]).overlapping(),
            Some((Path::instance(3, 0), Path::resource(3, 0, 9)))
        );
        let paths = together(&["/3/0/1", "/3/0/11", "/5/0"]);
        assert_eq!(paths.overlapping(), None);
        for (path, overlaps) in [
            ("/3/0/1", true),
            ("/5", true),
            ("/5/0/7", true),
            ("/3/0/2", false),
        ] {
            assert_eq!(paths.overlap(&path.parse().unwrap()), overlaps, "{path}");
        }
    }
}
