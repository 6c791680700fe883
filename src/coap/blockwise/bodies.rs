//! The bodies that are being put together, of all devices: one byte budget, and the one that waited longest gives way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::coap::retransmission::later;

/// The shared store; clones share one budget.
#[derive(Clone, Debug)]
pub struct Bodies(Arc<Mutex<Store>>);

/// One body in the store, removed from it when dropped.
#[derive(Debug)]
pub(super) struct Body {
    store: Bodies,
    id: u64,
}

/// The store gave a body up, for want of room or because nothing was added to it for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evicted;

#[derive(Debug)]
struct Store {
    budget: usize,
    used: usize,
    lifetime: Duration,
    bodies: BTreeMap<u64, Entry>,
    /// The bodies by the time of their last use.
    uses: BTreeMap<u64, u64>,
    next: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    content: Content,
    /// Bytes that count against the budget.
    cost: usize,
    last_use: u64,
    expires: Instant,
}

#[derive(Debug)]
enum Content {
    Growing(Vec<u8>),
    Whole(Bytes),
}

impl Bodies {
    /// An empty store of at most `budget` bytes, in which a body stays for `lifetime` after its last block.
    pub fn new(budget: usize, lifetime: Duration) -> Self {
        Self(Arc::new(Mutex::new(Store {
            budget,
            used: 0,
            lifetime,
            bodies: BTreeMap::new(),
            uses: BTreeMap::new(),
            next: 0,
            evicted: 0,
        })))
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.lock().used
    }

    /// How many bodies were given up unfinished.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }

    /// Begins a body.
    pub(super) fn begin(&self, now: Instant) -> Body {
        let mut store = self.lock();
        let id = store.stamp();
        let entry = Entry {
            content: Content::Growing(Vec::new()),
            cost: ENTRY_BYTES,
            last_use: id,
            expires: later(now, store.lifetime),
        };
        store.used = store.used.saturating_add(ENTRY_BYTES);
        store.bodies.insert(id, entry);
        store.uses.insert(id, id);
        store.make_room(now);
        drop(store);
        Body {
            store: self.clone(),
            id,
        }
    }

    /// What another thread left behind when it panicked is still consistent: every method restores the sums at once.
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body {
    /// Adds a block.
    ///
    /// # Errors
    /// [`Evicted`] when the body is gone, has waited too long, or alone exceeds the budget.
    pub(super) fn append(&self, now: Instant, block: &[u8]) -> Result<(), Evicted> {
        let mut store = self.store.lock();
        store.make_room(now);
        let stamp = store.stamp();
        let expires = later(now, store.lifetime);
        let entry = store.bodies.get_mut(&self.id).ok_or(Evicted)?;
        let Content::Growing(content) = &mut entry.content else {
            return Err(Evicted);
        };
        content.extend_from_slice(block);
        let cost = content.capacity().saturating_add(ENTRY_BYTES);
        let (before, last_use) = (entry.cost, entry.last_use);
        (entry.cost, entry.last_use, entry.expires) = (cost, stamp, expires);
        store.used = store.used.saturating_sub(before).saturating_add(cost);
        store.uses.remove(&last_use);
        store.uses.insert(stamp, self.id);
        store.make_room(now);
        if store.bodies.contains_key(&self.id) {
            Ok(())
        } else {
            Err(Evicted)
        }
    }

    /// Its length so far; `None` when it was given up.
    pub(super) fn len(&self) -> Option<usize> {
        self.store
            .lock()
            .bodies
            .get(&self.id)
            .map(|entry| entry.bytes().len())
    }

    /// Whether it ends with these bytes.
    pub(super) fn ends_with(&self, block: &[u8]) -> bool {
        let store = self.store.lock();
        let entry = store.bodies.get(&self.id);
        entry.is_some_and(|entry| entry.bytes().ends_with(block))
    }

    /// The whole of it; from here on nothing can be added. It stays in the store until it is dropped.
    pub(super) fn whole(&self) -> Option<Bytes> {
        let mut store = self.store.lock();
        let entry = store.bodies.get_mut(&self.id)?;
        let whole = match &mut entry.content {
            Content::Growing(content) => Bytes::from(std::mem::take(content)),
            Content::Whole(whole) => whole.clone(),
        };
        entry.content = Content::Whole(whole.clone());
        Some(whole)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.store.lock().remove(self.id);
    }
}

impl Store {
    fn stamp(&mut self) -> u64 {
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn remove(&mut self, id: u64) {
        if let Some(entry) = self.bodies.remove(&id) {
            self.used = self.used.saturating_sub(entry.cost);
            self.uses.remove(&entry.last_use);
        }
    }

    /// Gives up what has expired, and then the bodies that waited longest until the rest fits.
    fn make_room(&mut self, now: Instant) {
        while let Some(oldest) = self.uses.first_key_value().map(|(_, id)| *id) {
            let expired = self
                .bodies
                .get(&oldest)
                .is_none_or(|entry| entry.expires <= now);
            if !expired && self.used <= self.budget {
                return;
            }
            self.evicted = self.evicted.wrapping_add(1);
            self.remove(oldest);
        }
    }
}

impl Entry {
    fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Growing(content) => content,
            Content::Whole(whole) => whole,
        }
    }
}

/// What a body costs beside its bytes: the tables that lead to it, and the options by which it is known.
const ENTRY_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    const LIFETIME: Duration = Duration::from_secs(300);

    #[test]
    fn a24_the_body_that_waited_longest_gives_way() {
        let (bodies, now) = (Bodies::new(4096, LIFETIME), start());
        let [first, second] = [bodies.begin(now), bodies.begin(now)];
        first.append(now, &[1; 1024]).unwrap();
        second.append(now, &[2; 1024]).unwrap();
        first.append(now, &[1; 1]).unwrap();
        let third = bodies.begin(now);
        third.append(now, &[3; 1024]).unwrap();
        assert_eq!(second.len(), None, "used longest ago");
        assert_eq!(second.append(now, &[2]), Err(Evicted));
        assert_eq!((first.len(), third.len()), (Some(1025), Some(1024)));
        assert_eq!(bodies.evicted(), 1);
        assert!(bodies.used() <= 4096);
        drop((first, second, third));
        assert_eq!(bodies.used(), 0);
    }

    #[test]
    fn a_body_larger_than_the_budget_is_refused() {
        let (bodies, now) = (Bodies::new(1000, LIFETIME), start());
        let body = bodies.begin(now);
        assert_eq!(body.append(now, &[0; 2000]), Err(Evicted));
        assert_eq!(bodies.used(), 0);
    }

    #[test]
    fn b08_a_body_expires_300_seconds_after_its_last_block() {
        let (bodies, now) = (Bodies::new(1 << 20, LIFETIME), start());
        let [old, kept] = [bodies.begin(now), bodies.begin(now)];
        let later = now + LIFETIME - Duration::from_millis(1);
        kept.append(later, b"x").unwrap();
        let _other = bodies.begin(now + LIFETIME);
        assert_eq!((old.len(), kept.len()), (None, Some(1)));
        assert_eq!(kept.append(later + LIFETIME, b"y"), Err(Evicted));
    }

    #[test]
    fn what_is_whole_does_not_grow() {
        let (bodies, now) = (Bodies::new(1 << 20, LIFETIME), start());
        let body = bodies.begin(now);
        body.append(now, b"ab").unwrap();
        assert!(body.ends_with(b"b") && !body.ends_with(b"xab"));
        assert_eq!(body.whole().unwrap(), "ab");
        assert_eq!(body.append(now, b"c"), Err(Evicted));
        assert_eq!(body.whole().unwrap(), "ab");
    }
}
