//! The rule-engine queues and the choice among them (`platform-wire.md` 1.4).

use std::collections::BTreeMap;

use super::super::session::PlatformId;

/// One queue: its numbered topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Base topic, without prefix and number.
    pub topic: String,
    /// How many numbered topics there are, at least 1.
    pub partitions: u32,
    /// Whether every message goes to all of them.
    pub duplicate: bool,
}

/// A queue with its identity, as the core describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueInfo {
    /// Tenant; [`PlatformId::NULL`] for shared queues.
    pub owner: PlatformId,
    /// Name, such as `Main`.
    pub name: String,
    /// The queue.
    pub queue: Queue,
}

/// All queues of the installation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    by_owner: BTreeMap<PlatformId, BTreeMap<String, Queue>>,
}

impl RoutingTable {
    /// Adds a queue or replaces it.
    pub fn insert(&mut self, info: QueueInfo) {
        self.by_owner
            .entry(info.owner)
            .or_default()
            .insert(info.name, info.queue);
    }

    /// Removes a queue.
    pub fn remove(&mut self, owner: PlatformId, name: &str) {
        if let Some(queues) = self.by_owner.get_mut(&owner) {
            queues.remove(name);
        }
    }

    /// Removes all queues of a tenant.
    pub fn remove_owner(&mut self, owner: PlatformId) {
        self.by_owner.remove(&owner);
    }

    /// Whether there is no queue at all.
    pub fn is_empty(&self) -> bool {
        self.by_owner.values().all(BTreeMap::is_empty)
    }

    /// The queue for messages of `tenant` whose profile names `queue`, with its owner.
    ///
    /// An isolated tenant's own queue comes first, then the shared queue of that name, then the shared `Main`. `None`
    /// when there is not even that.
    pub fn choose(
        &self,
        queue: Option<&str>,
        tenant: PlatformId,
        isolated: bool,
    ) -> Option<(PlatformId, &Queue)> {
        let name = queue.filter(|name| !name.is_empty()).unwrap_or(MAIN);
        let own = isolated.then_some((tenant, name));
        own.into_iter()
            .chain([(PlatformId::NULL, name), (PlatformId::NULL, MAIN)])
            .find_map(|(owner, name)| Some((owner, self.by_owner.get(&owner)?.get(name)?)))
    }
}

impl FromIterator<QueueInfo> for RoutingTable {
    fn from_iter<I: IntoIterator<Item = QueueInfo>>(queues: I) -> Self {
        let mut table = Self::default();
        queues.into_iter().for_each(|queue| table.insert(queue));
        table
    }
}

const MAIN: &str = "Main";

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const TENANT: PlatformId = PlatformId(Uuid::from_u128(7));

    fn queue(owner: PlatformId, name: &str) -> QueueInfo {
        QueueInfo {
            owner,
            name: name.to_owned(),
            queue: Queue {
                topic: format!("{owner}/{name}"),
                partitions: 10,
                duplicate: false,
            },
        }
    }

    fn chosen(
        table: &RoutingTable,
        name: Option<&str>,
        isolated: bool,
    ) -> Option<(PlatformId, String)> {
        let (owner, queue) = table.choose(name, TENANT, isolated)?;
        let (_, name) = queue.topic.rsplit_once('/')?;
        Some((owner, name.to_owned()))
    }

    #[test]
    fn chooses_own_then_shared_then_main() {
        let table: RoutingTable = [
            queue(PlatformId::NULL, "Main"),
            queue(PlatformId::NULL, "HighPriority"),
            queue(TENANT, "Main"),
        ]
        .into_iter()
        .collect();
        let system = |name: &str| Some((PlatformId::NULL, name.to_owned()));
        let own = |name: &str| Some((TENANT, name.to_owned()));
        assert_eq!(chosen(&table, None, false), system("Main"));
        assert_eq!(chosen(&table, Some(""), false), system("Main"));
        assert_eq!(
            chosen(&table, Some("HighPriority"), false),
            system("HighPriority")
        );
        assert_eq!(chosen(&table, Some("Gone"), false), system("Main"));
        assert_eq!(chosen(&table, None, true), own("Main"));
        assert_eq!(
            chosen(&table, Some("HighPriority"), true),
            system("HighPriority")
        );
        assert_eq!(chosen(&table, Some("Gone"), true), system("Main"));
    }

    #[test]
    fn finds_nothing_once_all_queues_are_gone() {
        let mut table: RoutingTable = [queue(PlatformId::NULL, "Main"), queue(TENANT, "Main")]
            .into_iter()
            .collect();
        table.remove(PlatformId::NULL, "Main");
        table.remove_owner(TENANT);
        assert!(table.is_empty());
        assert_eq!(chosen(&table, None, true), None);
    }
}
