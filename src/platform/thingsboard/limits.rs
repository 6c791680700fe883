//! What a tenant's profile lets its devices send (`platform-wire.md` 6).
//!
//! Token buckets with continuous refill, one for each pair of a rate; all must have enough. They are per process and
//! counted in whole numbers, so nothing is lost to rounding. A bucket that is full is as good as none, so full ones are
//! forgotten.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::super::session::PlatformId;

/// Capacity and period of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    /// Above 0.
    capacity: u32,
    /// Above 0.
    seconds: u32,
}

/// A rate, read from `capacity:seconds,..`; the default has no bucket and limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates(Vec<Rate>);

impl Rates {
    /// Reads the platform's form; an empty text limits nothing.
    ///
    /// # Errors
    /// [`RateError`] when an entry is not two whole numbers above 0.
    pub fn parse(text: &str) -> Result<Self, RateError> {
        let entries = text.split(',').filter(|_| !text.trim().is_empty());
        entries
            .map(|entry| {
                let (capacity, seconds) = entry.split_once(':')?;
                let number = |text: &str| text.trim().parse().ok().filter(|number| *number > 0);
                Some(Rate {
                    capacity: number(capacity)?,
                    seconds: number(seconds)?,
                })
            })
            .collect::<Option<_>>()
            .map(Self)
            .ok_or(RateError)
    }
}

/// A rate that is not `capacity:seconds,capacity:seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form `capacity:seconds,capacity:seconds`")]
pub struct RateError;

/// The rates of one level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelLimits {
    /// Messages without values.
    pub messages: Rates,
    /// Messages with values.
    pub telemetry_messages: Rates,
    /// Their values.
    pub data_points: Rates,
}

/// The limits of a tenant profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// For all devices of a tenant together.
    pub tenant: LevelLimits,
    /// For each device.
    pub device: LevelLimits,
}

/// What a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// A message without values.
    Message,
    /// A message with so many values, at least one.
    Values(usize),
}

/// What tenants and devices have left.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    levels: HashMap<PlatformId, Level>,
}

impl Limiter {
    /// Takes what a message costs: from the tenant, then from the device. False when one of them has not enough; what
    /// was taken before that is not given back.
    pub(super) fn take(
        &mut self,
        now: Instant,
        tenant: PlatformId,
        device: PlatformId,
        limits: &TenantLimits,
        cost: Cost,
    ) -> bool {
        [(tenant, &limits.tenant), (device, &limits.device)]
            .into_iter()
            .filter(|(_, limits)| **limits != LevelLimits::default())
            .all(|(id, limits)| self.levels.entry(id).or_default().take(now, limits, cost))
    }

    /// Gives back what [`Self::take`] took for a message that was not sent.
    pub(super) fn give_back(&mut self, tenant: PlatformId, device: PlatformId, cost: Cost) {
        for id in [tenant, device] {
            if let Some(level) = self.levels.get_mut(&id) {
                level.give_back(cost);
            }
        }
    }

    /// Forgets who has everything left.
    pub(super) fn forget_idle(&mut self, now: Instant) {
        self.levels.retain(|_, level| !level.is_full(now));
    }
}

#[derive(Debug, Default)]
struct Level {
    messages: Meter,
    telemetry_messages: Meter,
    data_points: Meter,
}

impl Level {
    fn take(&mut self, now: Instant, limits: &LevelLimits, cost: Cost) -> bool {
        match cost {
            Cost::Message => self.messages.take(now, &limits.messages, 1),
            Cost::Values(count) => {
                self.telemetry_messages
                    .take(now, &limits.telemetry_messages, 1)
                    && self.data_points.take(now, &limits.data_points, count)
            }
        }
    }

    fn give_back(&mut self, cost: Cost) {
        match cost {
            Cost::Message => self.messages.give_back(1),
            Cost::Values(count) => {
                self.telemetry_messages.give_back(1);
                self.data_points.give_back(count);
            }
        }
    }

    fn is_full(&mut self, now: Instant) -> bool {
        [
            &mut self.messages,
            &mut self.telemetry_messages,
            &mut self.data_points,
        ]
        .into_iter()
        .all(|meter| meter.is_full(now))
    }
}

/// The buckets of one rate.
#[derive(Debug, Default)]
struct Meter(Vec<Bucket>);

impl Meter {
    /// Takes `count` from every bucket, or nothing from any.
    fn take(&mut self, now: Instant, rates: &Rates, count: usize) -> bool {
        // Buckets of another rate are made anew, full.
        if !self
            .0
            .iter()
            .map(|bucket| bucket.rate)
            .eq(rates.0.iter().copied())
        {
            self.0 = rates.0.iter().map(|rate| Bucket::new(now, *rate)).collect();
        }
        self.0.iter_mut().for_each(|bucket| bucket.refill(now));
        let enough = self.0.iter().all(|bucket| bucket.has(count));
        if enough {
            self.0.iter_mut().for_each(|bucket| bucket.take(count));
        }
        enough
    }

    fn give_back(&mut self, count: usize) {
        for bucket in &mut self.0 {
            let level = bucket.level.saturating_add(bucket.price(count));
            bucket.level = level.min(bucket.brim());
        }
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.0.iter_mut().all(|bucket| {
            bucket.refill(now);
            bucket.level == bucket.brim()
        })
    }
}

/// A bucket whose level is counted in tokens times nanoseconds of the period.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    level: u128,
    filled: Instant,
}

impl Bucket {
    fn new(now: Instant, rate: Rate) -> Self {
        let mut bucket = Self {
            rate,
            level: 0,
            filled: now,
        };
        bucket.level = bucket.brim();
        bucket
    }

    fn period(&self) -> u128 {
        Duration::from_secs(self.rate.seconds.into()).as_nanos()
    }

    fn brim(&self) -> u128 {
        u128::from(self.rate.capacity) * self.period()
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled).as_nanos();
        self.filled = self.filled.max(now);
        let level = self.level + elapsed * u128::from(self.rate.capacity);
        self.level = level.min(self.brim());
    }

    fn price(&self, count: usize) -> u128 {
        u128::try_from(count)
            .unwrap_or(u128::MAX)
            .saturating_mul(self.period())
    }

    fn has(&self, count: usize) -> bool {
        self.price(count) <= self.level
    }

    fn take(&mut self, count: usize) {
        self.level -= self.price(count);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::platform::thingsboard::clock;

    const TENANT: PlatformId = PlatformId(Uuid::from_u128(1));
    const DEVICE: PlatformId = PlatformId(Uuid::from_u128(2));
    const OTHER: PlatformId = PlatformId(Uuid::from_u128(3));

    fn rates(text: &str) -> Rates {
        Rates::parse(text).unwrap()
    }

    fn messages(text: &str) -> LevelLimits {
        LevelLimits {
            messages: rates(text),
            ..LevelLimits::default()
        }
    }

    #[test]
    fn the_platforms_form_is_read() {
        let rate = |capacity, seconds| Rate { capacity, seconds };
        assert_eq!(
            Rates::parse("1000:1,20000:60"),
            Ok(Rates(vec![rate(1000, 1), rate(20_000, 60)]))
        );
        assert_eq!(Rates::parse(""), Ok(Rates::default()));
        for broken in ["1000", "1000:1,", "a:1", "0:1", "1:0", "-1:1", "1:1:1"] {
            assert_eq!(Rates::parse(broken), Err(RateError), "{broken}");
        }
    }

    #[test]
    fn what_was_not_sent_costs_nothing() {
        let now = clock::now().mono;
        let mut limiter = Limiter::default();
        let limits = TenantLimits {
            tenant: messages("1:3600"),
            device: LevelLimits {
                telemetry_messages: rates("1:3600"),
                data_points: rates("3:3600"),
                ..LevelLimits::default()
            },
        };
        for cost in [Cost::Message, Cost::Values(3)] {
            assert!(limiter.take(now, TENANT, DEVICE, &limits, cost));
            limiter.give_back(TENANT, DEVICE, cost);
            limiter.give_back(TENANT, DEVICE, cost);
            assert!(limiter.take(now, TENANT, DEVICE, &limits, cost));
            assert!(!limiter.take(now, TENANT, DEVICE, &limits, cost));
        }
    }

    #[test]
    fn a_bucket_refills_continuously_and_not_beyond_its_brim() {
        let start = clock::now().mono;
        let mut limiter = Limiter::default();
        let limits = TenantLimits {
            tenant: messages("2:1"),
            ..TenantLimits::default()
        };
        let mut take = |milliseconds| {
            let now = start + Duration::from_millis(milliseconds);
            limiter.take(now, TENANT, DEVICE, &limits, Cost::Message)
        };
        assert!(take(0) && take(0) && !take(0));
        assert!(!take(499) && take(500) && !take(500));
        // A minute later there are two, and no more.
        assert!(take(60_000) && take(60_000) && !take(60_000));
    }

    #[test]
    fn every_pair_of_a_rate_holds() {
        let start = clock::now().mono;
        let mut limiter = Limiter::default();
        let limits = TenantLimits {
            tenant: messages("2:1,3:60"),
            ..TenantLimits::default()
        };
        let mut take = |seconds| {
            let now = start + Duration::from_secs(seconds);
            limiter.take(now, TENANT, DEVICE, &limits, Cost::Message)
        };
        assert!(take(0) && take(0) && !take(0), "two a second");
        assert!(take(1) && !take(1), "three a minute");
        assert!(take(20) && !take(20), "one came back after 20 s");
    }

    #[test]
    fn values_are_counted_apart_from_messages_and_devices_from_each_other() {
        let start = clock::now().mono;
        let mut limiter = Limiter::default();
        let limits = TenantLimits {
            device: LevelLimits {
                messages: rates("1:60"),
                telemetry_messages: rates("2:60"),
                data_points: rates("3:60"),
            },
            ..TenantLimits::default()
        };
        let mut take = |device, cost| limiter.take(start, TENANT, device, &limits, cost);
        assert!(take(DEVICE, Cost::Message) && !take(DEVICE, Cost::Message));
        assert!(take(DEVICE, Cost::Values(3)));
        assert!(take(OTHER, Cost::Message));
        // The message counts although its values find no room.
        assert!(!take(OTHER, Cost::Values(4)));
        assert!(take(OTHER, Cost::Values(3)));
        assert!(!take(OTHER, Cost::Values(1)));
    }

    #[test]
    fn the_tenant_comes_first_and_what_was_taken_stays_taken() {
        let start = clock::now().mono;
        let mut limiter = Limiter::default();
        let limits = TenantLimits {
            tenant: messages("2:60"),
            device: messages("1:60"),
        };
        let mut take = |device| limiter.take(start, TENANT, device, &limits, Cost::Message);
        assert!(take(DEVICE));
        assert!(
            !take(DEVICE),
            "the device has nothing left, the tenant paid"
        );
        assert!(!take(OTHER), "so the tenant has nothing left");
    }

    #[test]
    fn a_changed_rate_begins_full_and_an_unchanged_one_goes_on() {
        let start = clock::now().mono;
        let mut limiter = Limiter::default();
        let mut take = |text: &str, cost| {
            let tenant = LevelLimits {
                messages: rates(text),
                data_points: rates("1:60"),
                ..LevelLimits::default()
            };
            let limits = TenantLimits {
                tenant,
                ..TenantLimits::default()
            };
            limiter.take(start, TENANT, DEVICE, &limits, cost)
        };
        assert!(take("1:60", Cost::Message) && take("1:60", Cost::Values(1)));
        assert!(!take("1:60", Cost::Message));
        assert!(take("1:61", Cost::Message) && !take("1:61", Cost::Message));
        assert!(!take("1:61", Cost::Values(1)));
    }

    #[test]
    fn who_has_everything_left_is_forgotten() {
        let start = clock::now().mono;
        let mut limiter = Limiter::default();
        let limits = TenantLimits {
            device: messages("2:60"),
            ..TenantLimits::default()
        };
        limiter.take(start, TENANT, DEVICE, &limits, Cost::Message);
        limiter.forget_idle(start + Duration::from_secs(29));
        assert_eq!(limiter.levels.len(), 1);
        limiter.forget_idle(start + Duration::from_secs(30));
        assert_eq!(limiter.levels.len(), 0);
        let none = TenantLimits::default();
        assert!(limiter.take(start, TENANT, DEVICE, &none, Cost::Values(usize::MAX)));
        assert_eq!(limiter.levels.len(), 0);
    }
}
