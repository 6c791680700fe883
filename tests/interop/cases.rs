//! Cases by name, the list of those that pass, and what happens when the two disagree.
//!
//! * A case in `allow-list.txt` must run and pass.
//! * A case that passes and is not in it is named on standard error: it belongs there. The list only grows.
//! * Any other case is a gap, and `FINDINGS.md` names it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{self, AssertUnwindSafe};

use crate::peers::cache::say;

/// The cases of one peer, run one after the other.
pub(crate) struct Cases {
    peer: &'static str,
    /// Whether each passed.
    outcomes: BTreeMap<String, bool>,
}

impl Cases {
    pub(crate) const fn of(peer: &'static str) -> Self {
        Self {
            peer,
            outcomes: BTreeMap::new(),
        }
    }

    /// Runs one case; that it panics is an outcome like another.
    pub(crate) fn case(&mut self, name: &str, run: impl FnOnce()) {
        let name = format!("{}: {name}", self.peer);
        let passed = panic::catch_unwind(AssertUnwindSafe(run)).is_ok();
        if !passed {
            say(&format!("does not pass: {name}"));
        }
        let earlier = self.outcomes.insert(name.clone(), passed);
        assert_eq!(earlier, None, "two cases have the name `{name}`");
    }

    /// Holds the outcomes against the lists.
    ///
    /// # Panics
    /// When they do not agree.
    pub(crate) fn finish(self) {
        let prefix = format!("{}: ", self.peer);
        let listed: BTreeSet<_> = allow_list()
            .filter(|name| name.starts_with(&prefix))
            .collect();
        let passes = |name: &str| self.outcomes.get(name) == Some(&true);
        let broken: Vec<_> = listed.iter().filter(|name| !passes(name)).collect();
        let unexplained: Vec<_> = self
            .outcomes
            .iter()
            .filter(|(name, passed)| !**passed && !listed.contains(name.as_str()))
            .map(|(name, _)| name)
            .filter(|name| !FINDINGS.contains(&format!("`{name}`")))
            .collect();
        for (name, _) in self.outcomes.iter().filter(|(_, passed)| **passed) {
            if !listed.contains(name.as_str()) {
                say(&format!("passes, and belongs into allow-list.txt: {name}"));
            }
        }
        assert!(
            broken.is_empty() && unexplained.is_empty(),
            "listed, but not passed: {broken:#?}\nfailed, but not in FINDINGS.md: {unexplained:#?}"
        );
    }
}

fn allow_list() -> impl Iterator<Item = &'static str> {
    let lines = include_str!("allow-list.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

const FINDINGS: &str = include_str!("FINDINGS.md");

#[test]
fn every_case_that_passes_is_listed_once_and_is_no_finding() {
    let mut seen = BTreeSet::new();
    for name in allow_list() {
        assert!(seen.insert(name), "listed twice: {name}");
        assert!(
            !FINDINGS.contains(&format!("`{name}`")),
            "it passes and is a gap: {name}"
        );
    }
}
