//! A limit on how often something is done, for answers that anybody can ask for.

use std::time::{Duration, Instant};

/// Admits a number of events in each second, counted from the first one in it.
#[derive(Clone, Debug)]
pub struct RateLimit {
    per_second: u32,
    start: Option<Instant>,
    admitted: u32,
}

impl RateLimit {
    /// Admits `per_second` events in each second; 0 admits none.
    pub const fn new(per_second: u32) -> Self {
        Self {
            per_second,
            start: None,
            admitted: 0,
        }
    }

    /// Whether an event at this time is within the limit; it counts if so.
    pub fn admit(&mut self, now: Instant) -> bool {
        if self
            .start
            .is_none_or(|start| now.saturating_duration_since(start) >= Duration::from_secs(1))
        {
            self.start = Some(now);
            self.admitted = 0;
        }
        let admit = self.admitted < self.per_second;
        if admit {
            self.admitted = self.admitted.saturating_add(1);
        }
        admit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    #[test]
    fn each_second_admits_its_number() {
        let begin = start();
        let mut limit = RateLimit::new(2);
        let mut admitted = |milliseconds| limit.admit(begin + Duration::from_millis(milliseconds));
        assert!(admitted(0) && admitted(999) && !admitted(999));
        assert!(admitted(1000) && admitted(1500) && !admitted(1999));
    }
}
