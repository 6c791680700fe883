//! Warnings that others can provoke, ten a minute at most.

use std::time::{Duration, Instant};

/// Says when a warning may be written: who fills a topic with garbage does not fill the log as well.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    /// When the first of the current lines was written.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Seldom {
    /// Whether the warning is due; if so, how many before it were not.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let is_over = |since| now.saturating_duration_since(since) >= PERIOD;
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines < LINES {
            self.lines += 1;
            Some(std::mem::take(&mut self.left_out))
        } else {
            self.left_out += 1;
            None
        }
    }
}

/// Lines in one period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::thingsboard::clock;

    #[test]
    fn ten_warnings_a_minute_are_written_and_the_others_are_counted() {
        let start = clock::now().mono;
        let mut seldom = Seldom::default();
        for _ in 0..LINES {
            assert_eq!(seldom.due(start), Some(0));
        }
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(seldom.due(later(1)), None);
        assert_eq!(seldom.due(later(59)), None);
        assert_eq!(seldom.due(later(60)), Some(2));
        assert_eq!(seldom.due(later(60)), Some(0));
    }
}
