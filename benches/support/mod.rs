//! What `benches/codecs.rs` times, and `benches/allocations.rs` counts the allocations of.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "this is a measurement"
)]

pub(crate) mod formats;
mod machine;
pub(crate) mod messages;

use std::hint::black_box;

/// One piece of work, and who does it.
pub(crate) struct Contest {
    /// What is worked on.
    pub(crate) subject: String,
    pub(crate) work: &'static str,
    /// How many values (links, messages) one run of a contestant deals with.
    pub(crate) units: u32,
    pub(crate) ours: Run,
    pub(crate) rivals: Vec<Rival>,
}

/// Does the work once.
pub(crate) type Run = Box<dyn FnMut()>;
/// A contestant that is not ours, with its name.
pub(crate) type Rival = (&'static str, Run);

impl Contest {
    fn new(
        subject: impl Into<String>,
        work: &'static str,
        units: u32,
        ours: Run,
        rivals: Vec<Rival>,
    ) -> Self {
        Self {
            subject: subject.into(),
            work,
            units,
            ours,
            rivals,
        }
    }
}

/// A contestant that makes a result of nothing but what it owns.
fn run<T>(mut work: impl FnMut() -> T + 'static) -> Run {
    Box::new(move || {
        black_box(work());
    })
}
