//! Observations and the order of their notifications (RFC 7641 section 3.4).

use std::time::{Duration, Instant};

use super::{encode::Request, message::Token, retransmission::later};

/// A resource that the device reports on.
#[derive(Clone, Debug)]
pub(super) struct Observation<P> {
    /// Its identity.
    pub(super) token: Token,
    /// Where its notifications come from.
    pub(super) peer: P,
    /// The freshest notification so far.
    pub(super) order: NotificationOrder,
    /// What made it: the blocks of a notification are fetched with the same options.
    pub(super) request: Box<MadeBy>,
}

/// The request that made an observation.
#[derive(Clone, Debug)]
pub(super) struct MadeBy {
    pub(super) request: Request,
    /// How long its exchange might take.
    pub(super) timeout: Duration,
}

/// The freshest notification of an observation: its Observe value and the time it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotificationOrder {
    value: u32,
    at: Instant,
}

impl NotificationOrder {
    /// The first notification, which is the response to the registration.
    pub(super) const fn new(now: Instant, value: u32) -> Self {
        Self { value, at: now }
    }

    /// The Observe value of the freshest notification.
    pub(super) const fn value(&self) -> u32 {
        self.value
    }

    /// Takes a further notification; whether it is fresher than all before it. A stale one changes nothing.
    ///
    /// It is fresher when its value follows within half of the 24-bit circle, or when more than 128 s have passed:
    /// values may not wrap around in that time, so the older one says nothing.
    pub(super) fn accept(&mut self, now: Instant, value: u32) -> bool {
        let (old, new) = (self.value, value);
        let fresh = (old < new && new.wrapping_sub(old) < HALF_CIRCLE)
            || (old > new && old.wrapping_sub(new) > HALF_CIRCLE)
            || now > later(self.at, MAX_ORDER_AGE);
        if fresh {
            *self = Self::new(now, value);
        }
        fresh
    }
}

/// Half of the 24-bit circle of Observe values.
const HALF_CIRCLE: u32 = 1 << 23;
/// How long the order of Observe values is meaningful.
const MAX_ORDER_AGE: Duration = Duration::from_secs(128);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    fn fresh(old: u32, new: u32, after: Duration) -> bool {
        let begin = start();
        NotificationOrder::new(begin, old).accept(begin + after, new)
    }

    #[test]
    fn o04_a_higher_value_within_half_the_circle_is_fresh() {
        let soon = Duration::from_secs(1);
        assert!(fresh(5, 6, soon));
        assert!(fresh(0, (1 << 23) - 1, soon));
        assert!(!fresh(0, 1 << 23, soon));
        assert!(!fresh(6, 5, soon));
        assert!(!fresh(5, 5, soon));
    }

    #[test]
    fn o04_values_wrap_at_24_bits() {
        let soon = Duration::from_secs(1);
        assert!(fresh((1 << 24) - 1, 0, soon));
        assert!(fresh((1 << 23) + 1, 0, soon));
        assert!(!fresh(1 << 23, 0, soon));
        assert!(!fresh(0, (1 << 24) - 1, soon));
    }

    #[test]
    fn o04_after_128_seconds_any_value_is_fresh() {
        assert!(!fresh(6, 5, Duration::from_secs(128)));
        assert!(fresh(6, 5, Duration::from_millis(128_001)));
    }

    #[test]
    fn o04_a_stale_notification_does_not_move_the_order() {
        let begin = start();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut order = NotificationOrder::new(begin, 10);
        assert!(!order.accept(at(100), 9));
        assert!(
            order.accept(at(129), 9),
            "the age counts from the freshest one"
        );
        assert!(order.accept(at(130), 10));
    }
}
