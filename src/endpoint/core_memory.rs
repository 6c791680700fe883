//! What the core remembers of the RPC of one device (`measured.md` 5).
//!
//! It numbers them from 0 and knows an answer by its number alone. When it restarts it begins again from 0 and forgets
//! whoever waited: an answer to an RPC from before would reach the caller of a new one that has its number.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::platform::uplink::RpcId;

/// The numbers that were seen, and the RPC whose caller the core has forgotten.
#[derive(Debug, Default)]
pub(super) struct CoreMemory {
    newest: Option<i32>,
    /// Oldest first; one that is pushed again is no news.
    seen: VecDeque<RpcId>,
    forgotten: VecDeque<Uuid>,
}

impl CoreMemory {
    /// Notes an RPC that the core sends. Whether it shows that the core has restarted since the last one: it is new and
    /// its number is not, or it came before under another number.
    pub(super) fn restarted(&mut self, id: RpcId) -> bool {
        if self.seen.contains(&id) {
            return false;
        }
        let renumbered = self.seen.iter().any(|other| other.uuid == id.uuid);
        let restarted = renumbered || self.newest.is_some_and(|newest| id.request <= newest);
        if restarted {
            self.seen.clear();
        }
        remember(&mut self.seen, id);
        self.forgotten.retain(|uuid| *uuid != id.uuid);
        self.newest = Some(id.request);
        restarted
    }

    /// Nobody waits for the answer to this RPC any more.
    pub(super) fn forget(&mut self, uuid: Uuid) {
        remember(&mut self.forgotten, uuid);
    }

    /// Whether nobody waits for the answer to this RPC.
    pub(super) fn has_forgotten(&self, uuid: &Uuid) -> bool {
        self.forgotten.contains(uuid)
    }
}

fn remember<T>(all: &mut VecDeque<T>, one: T) {
    if all.len() == MAX_REMEMBERED {
        all.pop_front();
    }
    all.push_back(one);
}

/// Twice what one device may have open.
const MAX_REMEMBERED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(request: i32, uuid: u128) -> RpcId {
        RpcId {
            request,
            uuid: Uuid::from_u128(uuid),
        }
    }

    #[test]
    fn a_restart_shows_by_a_number_that_is_not_new() {
        let mut core = CoreMemory::default();
        // This process may be the younger one.
        assert!(!core.restarted(id(7, 70)));
        assert!(!core.restarted(id(8, 80)));
        assert!(!core.restarted(id(7, 70)), "pushed again");
        assert!(!core.restarted(id(9, 90)));
        assert!(core.restarted(id(9, 91)));
        assert!(!core.restarted(id(10, 100)));
        assert!(core.restarted(id(0, 101)));
        assert!(!core.restarted(id(1, 102)));
    }

    #[test]
    fn a_restart_shows_by_another_number_of_the_same_rpc() {
        let mut core = CoreMemory::default();
        assert!(!core.restarted(id(0, 70)));
        assert!(core.restarted(id(1, 70)));
    }

    #[test]
    fn an_rpc_that_is_sent_again_is_waited_for_again() {
        let mut core = CoreMemory::default();
        core.restarted(id(3, 70));
        core.forget(Uuid::from_u128(70));
        assert!(core.has_forgotten(&Uuid::from_u128(70)));
        assert!(core.restarted(id(0, 70)));
        assert!(!core.has_forgotten(&Uuid::from_u128(70)));
        assert_eq!(core.newest, Some(0));
    }
}
