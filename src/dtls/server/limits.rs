//! Limits on what anybody can make the server do (`dtls.md` section 4.7), in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    time::{Duration, Instant},
};

/// A token bucket: so many a second in the long run, and a burst at once after a pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateLimit {
    per_second: u32,
    burst: u32,
    /// When the bucket is full again; full when that is past or absent.
    full_at: Option<Instant>,
}

impl RateLimit {
    pub(super) const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            full_at: None,
        }
    }

    /// Whether an event at this time is within the limit; it counts if so.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        let Some(interval) = Duration::from_secs(1).checked_div(self.per_second) else {
            return false;
        };
        let full_at = self.full_at.unwrap_or(now).max(now);
        let earlier = interval.saturating_mul(self.burst.saturating_sub(1));
        let admitted = full_at.saturating_duration_since(now) <= earlier;
        if admitted {
            self.full_at = full_at.checked_add(interval);
        }
        admitted
    }
}

/// A [`RateLimit`] for each source, in a table of fixed size: sources that fall into the same place share one, and who does
/// not know the key cannot choose with whom.
#[derive(Debug)]
pub(super) struct SourceLimits {
    key: u64,
    limit: RateLimit,
    buckets: Vec<RateLimit>,
}

impl SourceLimits {
    pub(super) fn new(limit: RateLimit, key: u64) -> Self {
        Self {
            key,
            limit,
            buckets: vec![limit; 1 << PLACE_BITS],
        }
    }

    pub(super) fn admit(&mut self, now: Instant, source: u64) -> bool {
        let place = mixed(self.key ^ mixed(source)) >> u64::BITS.saturating_sub(PLACE_BITS);
        usize::try_from(place)
            .ok()
            .and_then(|place| self.buckets.get_mut(place))
            .unwrap_or(&mut self.limit)
            .admit(now)
    }
}

/// How many things each source has in progress. A source with none takes no memory.
#[derive(Debug)]
pub(super) struct Counts<S>(HashMap<S, u32>);

impl<S: Eq + Hash> Counts<S> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn of(&self, source: &S) -> u32 {
        self.0.get(source).copied().unwrap_or(0)
    }

    pub(super) fn add(&mut self, source: S) {
        let count = self.0.entry(source).or_insert(0);
        *count = count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, source: S) {
        if let Some(count) = self.0.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&source);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An address as a number for [`SourceLimits`].
pub(super) fn address(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits().to_be_bytes();
            let (halves, _) = bits.as_chunks();
            halves
                .iter()
                .fold(1, |sum, half| mixed(sum ^ u64::from_be_bytes(*half)))
        }
    }
}

/// The network of an address: /24 or /48.
pub(super) fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            1 << 63 | u64::from(a) << 32 | u64::from(b) << 16 | u64::from(c)
        }
    }
}

/// The finaliser of SplitMix64: every bit of the input changes half of the output's.
const fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Sources told apart: 4096.
const PLACE_BITS: u32 = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::test_support::start;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let begin = start();
        let mut limit = RateLimit::new(10, 3);
        let mut admitted = |milliseconds| limit.admit(begin + Duration::from_millis(milliseconds));
        assert!(admitted(0) && admitted(0) && admitted(0) && !admitted(0));
        assert!(!admitted(99) && admitted(100) && !admitted(100));
        assert!(!RateLimit::new(0, 5).admit(begin));
    }

    #[test]
    fn a06_one_network_does_not_use_up_the_share_of_another() {
        let begin = start();
        let mut limits = SourceLimits::new(RateLimit::new(5, 10), 42);
        let of = |text: &str| network(text.parse().expect("an address"));
        let flood =
            (0..1000).filter(|number| limits.admit(begin, of(&format!("10.0.0.{}", number % 256))));
        assert_eq!(flood.count(), 10);
        let others =
            (0..100).filter(|number| limits.admit(begin, of(&format!("10.0.{}.1", number + 1))));
        assert!(others.count() >= 95);
    }

    #[test]
    fn networks_are_24_and_48_bits() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("10.1.2.3"), of("10.1.2.255"));
        assert_eq!(of("10.1.2.3"), of("::ffff:10.1.2.9"));
        assert_ne!(of("10.1.2.3"), of("10.1.3.3"));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::4"));
        assert_ne!(of("2001:db8:1::"), of("2001:db8:2::"));
    }

    #[test]
    fn a09_counts_return_to_nothing() {
        let mut counts = Counts::new();
        (0..1000).for_each(|number| counts.add(number % 7));
        assert_eq!(counts.of(&3), 143);
        (0..1000).for_each(|number| counts.remove(number % 7));
        assert!(counts.is_empty());
    }
}
