//! Records of the core that cannot be read: counted, said once with their place, and skipped.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use rdkafka::{Message, message::BorrowedMessage};
use tracing::warn;

use super::{clock, stats::Counter};

/// What is said of the unreadable records of one topic. Who fills a topic with garbage does not fill the log as well.
#[derive(Debug, Default)]
pub(super) struct Poison {
    /// When the first of the current lines was written.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Poison {
    /// Counts a record that cannot be read, and says so.
    pub(super) fn note(
        &mut self,
        counter: &Counter,
        record: &BorrowedMessage<'_>,
        error: &dyn Display,
    ) {
        counter.add();
        if let Some(left_out) = self.line(clock::now().mono) {
            warn!(
                topic = record.topic(),
                partition = record.partition(),
                offset = record.offset(),
                %error,
                left_out,
                "a record of the core cannot be read and is skipped"
            );
        }
    }

    /// Whether this record gets a line; if so, how many before it got none.
    fn line(&mut self, now: Instant) -> Option<u64> {
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

/// Lines of one topic in one period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_records_a_minute_get_a_line_and_the_others_are_counted() {
        let start = clock::now().mono;
        let mut poison = Poison::default();
        for _ in 0..LINES {
            assert_eq!(poison.line(start), Some(0));
        }
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(poison.line(later(1)), None);
        assert_eq!(poison.line(later(59)), None);
        assert_eq!(poison.line(later(60)), Some(2));
        assert_eq!(poison.line(later(60)), Some(0));
    }
}
