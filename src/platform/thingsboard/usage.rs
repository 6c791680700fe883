//! What tenants use, counted when the broker has it and reported to the core from time to time (`platform-wire.md` 4.12).
//!
//! The core enforces its quotas by these reports. What was counted and not yet reported when the process ends is lost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::super::session::{DeviceInfo, PlatformId};
use super::{
    convert::{Usage, legacy_usage_message, usage_message},
    engine::Engine,
    partition::partition,
    producer::Record,
    settings::UsageSettings,
    stats::RecordKind,
    sync::lock,
    topic_keeper::TopicKind,
    topics::record_key,
};

/// The counters since the last report.
#[derive(Debug)]
pub(super) struct UsageCounter {
    settings: UsageSettings,
    counts: Mutex<HashMap<Owner, Counts>>,
}

/// Whose counters: a tenant, a customer of it, or, as the system tenant, all tenants together.
type Owner = (PlatformId, Option<PlatformId>);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    messages: u64,
    data_points: u64,
}

impl UsageCounter {
    pub(super) fn new(settings: UsageSettings) -> Self {
        Self {
            settings,
            counts: Mutex::default(),
        }
    }

    /// What a message of a device will add once the broker has it; `None` when nothing is reported.
    pub(super) fn bill(self: &Arc<Self>, device: &DeviceInfo, data_points: usize) -> Option<Bill> {
        let customer = Some(device.customer)
            .filter(|customer| self.settings.per_customer && *customer != PlatformId::NULL);
        self.settings.report.then(|| Bill {
            counter: Arc::clone(self),
            tenant: device.tenant,
            customer,
            data_points: u64::try_from(data_points).unwrap_or(u64::MAX),
        })
    }

    fn add(&self, owners: impl IntoIterator<Item = Owner>, added: Counts) {
        let mut counts = lock(&self.counts);
        for owner in owners {
            let counts = counts.entry(owner).or_default();
            counts.messages += added.messages;
            counts.data_points += added.data_points;
        }
    }

    /// Takes all counters.
    fn take(&self) -> Vec<Usage> {
        let counts = std::mem::take(&mut *lock(&self.counts));
        let mut usages: Vec<_> = counts
            .into_iter()
            .map(|((tenant, customer), counts)| Usage {
                tenant,
                customer,
                messages: counts.messages,
                data_points: counts.data_points,
            })
            .collect();
        usages.sort_by_key(|usage| (usage.tenant, usage.customer));
        usages
    }

    /// Counters that could not be reported: the next report has them.
    fn give_back(&self, usages: &[Usage]) {
        for usage in usages {
            let counts = Counts {
                messages: usage.messages,
                data_points: usage.data_points,
            };
            self.add([(usage.tenant, usage.customer)], counts);
        }
    }
}

/// What one message adds.
#[derive(Debug)]
pub(super) struct Bill {
    counter: Arc<UsageCounter>,
    tenant: PlatformId,
    customer: Option<PlatformId>,
    data_points: u64,
}

impl Bill {
    /// The broker has the message.
    pub(super) fn charge(&self) {
        let added = Counts {
            messages: 1,
            data_points: self.data_points,
        };
        let customer = self.customer.map(|_| (self.tenant, self.customer));
        let owners = [(self.tenant, None), (PlatformId::NULL, None)];
        self.counter.add(owners.into_iter().chain(customer), added);
    }
}

impl Engine {
    /// Writes what was counted since the last call.
    pub(super) fn report_usage(&self) {
        let usages = self.usage.take();
        if usages.is_empty() {
            return;
        }
        let core = &self.settings.core;
        let is_legacy = lock(&self.caches).is_before_4_0();
        let mut by_topic: HashMap<u32, Vec<Usage>> = HashMap::new();
        for usage in usages {
            let owner = usage.customer.unwrap_or(usage.tenant).0;
            let number = partition(owner, core.partitions, core.hash_function);
            by_topic.entry(number).or_default().push(usage);
        }
        let pack = if is_legacy {
            1
        } else {
            self.settings.usage.pack_size.max(1)
        };
        for (number, usages) in by_topic {
            let topic = self.topics.usage_stats(number);
            self.keeper.ensure(&topic, TopicKind::Core);
            for usages in usages.chunks(pack) {
                let service_id = &self.settings.service_id;
                let record = Record {
                    topic: topic.clone(),
                    key: record_key(uuid::Uuid::new_v4()),
                    value: match usages {
                        [usage] if is_legacy => legacy_usage_message(service_id, usage),
                        usages => usage_message(service_id, usages),
                    },
                };
                if self
                    .producer
                    .send(&record, RecordKind::Usage, None)
                    .is_err()
                {
                    self.usage.give_back(usages);
                }
            }
        }
    }

    /// When usage is reported for the first time: at a random moment, so that not all instances report together.
    pub(super) fn first_usage_report(&self, start: Instant) -> Instant {
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let interval = u64::from(self.settings.usage.interval_s.max(1)) * 1_000;
        start + Duration::from_millis(random % interval)
    }

    /// Time between two reports.
    pub(super) fn usage_interval(&self) -> Duration {
        Duration::from_secs(self.settings.usage.interval_s.max(1).into())
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const fn id(number: u128) -> PlatformId {
        PlatformId(Uuid::from_u128(number))
    }

    fn device(tenant: PlatformId, customer: PlatformId) -> DeviceInfo {
        DeviceInfo {
            tenant,
            customer,
            device: PlatformId::default(),
            profile: PlatformId::default(),
            name: String::new(),
            kind: String::new(),
        }
    }

    fn counter(per_customer: bool) -> Arc<UsageCounter> {
        Arc::new(UsageCounter::new(UsageSettings {
            per_customer,
            ..UsageSettings::default()
        }))
    }

    fn usage(tenant: PlatformId, customer: Option<PlatformId>, counts: (u64, u64)) -> Usage {
        Usage {
            tenant,
            customer,
            messages: counts.0,
            data_points: counts.1,
        }
    }

    #[test]
    fn tenants_and_their_sum_are_counted_and_customers_where_wanted() {
        let (one, two, customer) = (id(1), id(2), id(3));
        for per_customer in [false, true] {
            let counter = counter(per_customer);
            for (tenant, customer, points) in [
                (one, PlatformId::NULL, 3),
                (one, customer, 4),
                (two, PlatformId::NULL, 1),
            ] {
                counter
                    .bill(&device(tenant, customer), points)
                    .unwrap()
                    .charge();
            }
            let mut expected = vec![usage(one, None, (2, 7))];
            if per_customer {
                expected.push(usage(one, Some(customer), (1, 4)));
            }
            expected.push(usage(two, None, (1, 1)));
            expected.push(usage(PlatformId::NULL, None, (3, 8)));
            assert_eq!(counter.take(), expected);
            assert_eq!(counter.take(), []);
        }
    }

    #[test]
    fn what_could_not_be_reported_is_reported_next_time() {
        let counter = counter(false);
        let bill = counter.bill(&device(id(1), PlatformId::NULL), 2).unwrap();
        bill.charge();
        let usages = counter.take();
        bill.charge();
        counter.give_back(&usages);
        let expected = [
            usage(id(1), None, (2, 4)),
            usage(PlatformId::NULL, None, (2, 4)),
        ];
        assert_eq!(counter.take(), expected);
    }

    #[test]
    fn nothing_is_counted_when_nothing_is_reported() {
        let counter = Arc::new(UsageCounter::new(UsageSettings {
            report: false,
            ..UsageSettings::default()
        }));
        assert!(counter.bill(&device(id(1), PlatformId::NULL), 1).is_none());
    }
}
