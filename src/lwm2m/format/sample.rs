//! Values of several paths at several times: what a Send, a composite answer or a notification with history holds.

use super::DecodeError;
use crate::lwm2m::{node::Node, path::Path};

/// What was read from a payload that may name paths and times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The values that could be read, one entry per time, in payload order of the first value of each time.
    pub samples: Vec<Sample>,
    /// The values that could not, in payload order, with the most exact path known.
    pub rejected: Vec<(Path, DecodeError)>,
}

/// The values of one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When they were taken, if the payload says so.
    pub time: Option<SampleTime>,
    /// Nodes with their paths; no path twice.
    pub nodes: Vec<(Path, Node)>,
}

/// A time stated by a payload (RFC 8428 section 4.5.3). Of one kind the later one is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SampleTime {
    /// Milliseconds since 1970-01-01 UTC.
    At(i64),
    /// Milliseconds from the time of receipt, negative for the past.
    Relative(i64),
}

impl SampleTime {
    /// Milliseconds since 1970-01-01 UTC, given the time of receipt in the same unit.
    pub const fn resolve(self, received: i64) -> i64 {
        match self {
            Self::At(millis) => millis,
            Self::Relative(offset) => received.saturating_add(offset),
        }
    }
}
