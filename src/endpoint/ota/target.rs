//! Whether an update is due: what the platform assigned, held against what the device says it runs (`ota.md` 5).

use crate::platform::time::UnixMillis;

/// What the platform wants a device to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) title: String,
    pub(super) version: String,
    pub(super) tag: Option<String>,
    /// Where the package is, if the platform does not hold it.
    pub(super) url: Option<String>,
    /// When it was assigned.
    pub(super) ts: UnixMillis,
}

/// What a device says that it runs; empty texts count as not said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    /// That of Object 3.
    pub(super) device_version: Option<String>,
}

impl Target {
    /// Whether both are the same title and version.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.title == other.title && self.version == other.version
    }

    /// Whether there is anything to run.
    pub(super) const fn is_complete(&self) -> bool {
        !self.title.is_empty() && !self.version.is_empty()
    }

    fn id(&self) -> String {
        format!("{}{}", self.title, self.version)
    }
}

impl Current {
    /// Whether anything is known.
    pub(super) const fn is_known(&self) -> bool {
        self.name.is_some() || self.version.is_some() || self.device_version.is_some()
    }

    /// Whether the object names no package, or this one.
    pub(super) fn names(&self, target: &Target) -> bool {
        match (&self.name, &self.version) {
            (None, None) => true,
            _ => self.is(target),
        }
    }

    /// Whether the device runs something else than `target`.
    pub(super) fn differs_from(&self, target: &Target) -> bool {
        if self.is(target) {
            return false;
        }
        let tag = target.tag.as_deref().filter(|tag| !tag.is_empty());
        if tag.is_some_and(|tag| self.has_object() && tag == self.id()) {
            return false;
        }
        match (&self.device_version, tag) {
            (Some(own), Some(tag)) if own.contains(tag) || tag.contains(own.as_str()) => false,
            (Some(own), _) => !own.contains(&target.id()),
            (None, _) => true,
        }
    }

    /// Whether the object names this package. The platform compares title and version as one text, which tells (`fw1`,
    /// `2`) and (`fw`, `12`) not apart; that is done only when one of the two is missing.
    fn is(&self, target: &Target) -> bool {
        match (&self.name, &self.version) {
            (Some(name), Some(version)) => *name == target.title && *version == target.version,
            _ => self.has_object() && self.id() == target.id(),
        }
    }

    const fn has_object(&self) -> bool {
        self.name.is_some() || self.version.is_some()
    }

    fn id(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        let version = self.version.as_deref().unwrap_or_default();
        format!("{name}{version}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(title: &str, version: &str, tag: &str) -> Target {
        Target {
            title: title.to_owned(),
            version: version.to_owned(),
            tag: (!tag.is_empty()).then(|| tag.to_owned()),
            ..Target::default()
        }
    }

    fn current(name: &str, version: &str, device_version: &str) -> Current {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Current {
            name: known(name),
            version: known(version),
            device_version: known(device_version),
        }
    }

    #[test]
    fn what_runs_already_is_not_due() {
        assert!(!current("fw", "1.1", "").differs_from(&target("fw", "1.1", "")));
        assert!(current("fw", "1.0", "").differs_from(&target("fw", "1.1", "")));
        // By the version alone, when it is all there is.
        assert!(!current("", "fw1.1", "").differs_from(&target("fw", "1.1", "")));
    }

    #[test]
    fn titles_and_versions_that_join_to_the_same_text_are_told_apart() {
        assert!(current("fw1", "2", "").differs_from(&target("fw", "12", "")));
    }

    #[test]
    fn a_tag_that_the_device_shows_is_not_due() {
        assert!(!current("fw", "1.1", "").differs_from(&target("New", "2", "fw1.1")));
        assert!(current("fw", "1.0", "").differs_from(&target("New", "2", "fw1.1")));
    }

    #[test]
    fn o22_a_tag_within_the_version_of_the_device_object_is_not_due() {
        let tagged = target("fwX", "9", "fwX");
        assert!(!current("", "", "1.2 fwX").differs_from(&tagged));
        assert!(
            !current("", "", "fw").differs_from(&tagged),
            "the other way"
        );
        assert!(current("", "", "1.2").differs_from(&tagged));
        assert!(!current("", "", "is fw2.0 now").differs_from(&target("fw", "2.0", "")));
    }

    #[test]
    fn an_object_without_names_may_hold_any_package() {
        let wanted = target("fw", "1", "");
        assert!(current("", "", "7").names(&wanted));
        assert!(current("fw", "1", "").names(&wanted));
        assert!(!current("fw", "0", "").names(&wanted));
    }
}
