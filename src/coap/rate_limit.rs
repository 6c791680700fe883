//! Limits on how often something is done for peers: on one thing, and on each of very many sources in fixed memory.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::retransmission::later;

/// A token bucket: so many a second in the long run, and a burst at once after a pause.
#[derive(Clone, Copy, Debug)]
pub struct RateLimit {
    /// From one event to the next in the long run; `None` admits none.
    interval: Option<Duration>,
    burst: u32,
    /// When the bucket is full again; full when that is past or absent.
    full_at: Option<Instant>,
}

impl RateLimit {
    /// Admits `per_second` events a second and `burst` of them at once; 0 a second admits none.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        let interval = match 1_000_000_000_u64.checked_div(per_second as u64) {
            Some(nanoseconds) => Some(Duration::from_nanos(nanoseconds)),
            None => None,
        };
        Self {
            interval,
            burst,
            full_at: None,
        }
    }

    /// Admits one event an `interval` and `burst` of them at once.
    pub const fn every(interval: Duration, burst: u32) -> Self {
        Self {
            interval: Some(interval),
            burst,
            full_at: None,
        }
    }

    /// Whether an event at this time is within the limit; it counts if so.
    pub fn admit(&mut self, now: Instant) -> bool {
        let Some(interval) = self.interval else {
            return false;
        };
        let full_at = self.full_at.unwrap_or(now).max(now);
        let admitted = full_at.saturating_duration_since(now)
            <= interval.saturating_mul(self.burst.saturating_sub(1));
        if admitted {
            self.full_at = Some(later(full_at, interval));
        }
        admitted
    }
}

/// The moments of a minute past, to admit no more events than so many in any minute.
#[derive(Clone, Debug, Default)]
pub struct LastMinute(VecDeque<Instant>);

impl LastMinute {
    /// Whether an event at this time is one of at most `max` in a minute; it counts if so.
    pub fn admit(&mut self, now: Instant, max: usize) -> bool {
        let is_past = |at: &Instant| now.saturating_duration_since(*at) >= MINUTE;
        while self.0.front().is_some_and(is_past) {
            self.0.pop_front();
        }
        let admitted = self.0.len() < max;
        if admitted {
            self.0.push_back(now);
        }
        admitted
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A [`RateLimit`] for each source, in a table of fixed size: sources that fall into the same place share one, and who does
/// not know the key cannot choose with whom.
#[derive(Debug)]
pub struct SourceLimits {
    limit: RateLimit,
    key: u64,
    buckets: Box<[RateLimit]>,
}

impl SourceLimits {
    /// Admits `per_second` events a second of each source and twice as many at once. `key` is secret.
    pub fn new(per_second: u32, key: u64) -> Self {
        let limit = RateLimit::new(per_second, per_second.saturating_mul(2));
        Self {
            limit,
            key,
            buckets: vec![limit; 1 << SOURCE_BITS].into_boxed_slice(),
        }
    }

    /// Whether an event of this source at this time is within its limit; it counts if so.
    pub fn admit(&mut self, now: Instant, source: u64) -> bool {
        let place = mixed(self.key ^ source) >> (u64::BITS.saturating_sub(SOURCE_BITS));
        usize::try_from(place)
            .ok()
            .and_then(|place| self.buckets.get_mut(place))
            .unwrap_or(&mut self.limit)
            .admit(now)
    }
}

/// The finaliser of SplitMix64: every bit of the input changes half of the output's.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Sources told apart: 4096.
const SOURCE_BITS: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let begin = start();
        let mut limit = RateLimit::new(10, 3);
        let mut admitted = |milliseconds| limit.admit(begin + Duration::from_millis(milliseconds));
        assert!(admitted(0) && admitted(0) && admitted(0) && !admitted(0));
        assert!(!admitted(99) && admitted(100) && !admitted(100));
        assert!(admitted(10_000) && admitted(10_000) && admitted(10_000) && !admitted(10_000));
    }

    #[test]
    fn a_rate_of_none_admits_none() {
        assert!(!RateLimit::new(0, 5).admit(start()));
    }

    #[test]
    fn a01_one_source_does_not_use_up_the_share_of_another() {
        let begin = start();
        let mut limits = SourceLimits::new(5, 42);
        let admitted = (0..1000).filter(|_| limits.admit(begin, 1)).count();
        assert_eq!(admitted, 10);
        let others = (2..102)
            .filter(|&source| limits.admit(begin, source))
            .count();
        assert!(others >= 95, "{others}: few share a place");
    }

    #[test]
    fn a01_who_shares_a_place_depends_on_the_key() {
        let places = |key| -> Vec<u64> {
            (0..1000_u64)
                .map(|source| mixed(key ^ source) >> 52)
                .collect()
        };
        let distinct: std::collections::BTreeSet<_> = places(1 << 40).into_iter().collect();
        assert!(distinct.len() > 800);
        assert!(places(1 << 40) != places(1 << 41));
    }
}
