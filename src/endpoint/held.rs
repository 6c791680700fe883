//! RPC held for devices, counted over all endpoints of the process (`rulings` 2.11).
//!
//! A sleeping device may have RPC waiting for days: the limit of one device does not bound what a million of them hold.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The count of all endpoints; clones share it.
#[derive(Clone, Debug)]
pub struct HeldRpc(Arc<Count>);

#[derive(Debug)]
struct Count {
    limit: usize,
    held: AtomicUsize,
}

/// What one endpoint holds of it, given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    all: HeldRpc,
    own: usize,
}

impl HeldRpc {
    /// Nothing is held, and at most `limit` RPC may be.
    pub fn new(limit: usize) -> Self {
        let held = AtomicUsize::new(0);
        Self(Arc::new(Count { limit, held }))
    }

    /// RPC that wait for a device or are under way to one.
    pub fn count(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }
}

impl Default for HeldRpc {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Share {
    /// The share of an endpoint that holds nothing.
    pub(super) const fn of(all: HeldRpc) -> Self {
        Self { all, own: 0 }
    }

    /// Takes a place for one RPC; `false` when there is none.
    pub(super) fn take(&mut self) -> bool {
        let Count { limit, held } = &*self.all.0;
        let one_more = |count: usize| (count < *limit).then(|| count + 1);
        let taken = held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok();
        self.own += usize::from(taken);
        taken
    }

    /// Gives back the places of RPC that are held no longer; `held` remain.
    pub(super) fn keep(&mut self, held: usize) {
        let free = self.own.saturating_sub(held);
        if free > 0 {
            self.own -= free;
            self.all.0.held.fetch_sub(free, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.keep(0);
    }
}

/// RPC held in all, unless the settings say otherwise (`limits.held_rpc`).
pub(crate) const DEFAULT_LIMIT: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shared_and_given_back_with_the_endpoint() {
        let all = HeldRpc::new(3);
        let (mut one, mut other) = (Share::of(all.clone()), Share::of(all.clone()));
        assert!(one.take() && one.take() && other.take());
        assert!(!one.take() && !other.take());
        one.keep(1);
        assert_eq!(all.count(), 2);
        assert!(other.take());
        drop(other);
        assert_eq!(all.count(), 1);
        one.keep(5);
        assert_eq!(all.count(), 1, "no more than were taken");
        drop(one);
        assert_eq!(all.count(), 0);
    }
}
