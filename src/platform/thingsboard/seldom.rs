//! Warnings that others can provoke, once a minute at most.

use std::time::{Duration, Instant};

/// Says when a warning may be repeated: who fills a topic with garbage does not fill the log as well.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    last: Option<Instant>,
}

impl Seldom {
    /// Whether the warning is due.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= PERIOD);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

const PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::thingsboard::clock;

    #[test]
    fn a_warning_comes_once_a_minute() {
        let start = clock::now().mono;
        let mut seldom = Seldom::default();
        let due =
            |seldom: &mut Seldom, seconds| seldom.is_due(start + Duration::from_secs(seconds));
        let seconds = [0, 1, 59, 60, 61, 119, 120];
        let told = seconds.map(|seconds| due(&mut seldom, seconds));
        assert_eq!(told, [true, false, false, true, false, false, true]);
    }
}
