//! How many devices are sent packages at a time, in the whole process: the others wait in line.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The line, shared by all endpoints of the process.
#[derive(Clone, Debug)]
pub struct PushSlots(Arc<Mutex<Line>>);

/// A place in the line, given up when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    line: PushSlots,
    number: u64,
}

#[derive(Debug)]
struct Line {
    limit: usize,
    /// Those that send and those that wait, by when they came; the first `limit` of them send.
    numbers: VecDeque<u64>,
    next: u64,
}

impl PushSlots {
    /// A line of which `limit` may send; 0 = all.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Line {
            limit: if limit == 0 { usize::MAX } else { limit },
            numbers: VecDeque::new(),
            next: 0,
        })))
    }

    /// Joins the line.
    pub(super) fn join(&self) -> Slot {
        let mut line = self.lock();
        let number = line.next;
        line.next += 1;
        line.numbers.push_back(number);
        drop(line);
        Slot {
            line: self.clone(),
            number,
        }
    }

    /// What another thread left behind when it panicked is still consistent: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether this one may send.
    pub(super) fn is_free(&self) -> bool {
        let line = self.line.lock();
        // Numbers ascend.
        let before = line.numbers.partition_point(|number| *number < self.number);
        before < line.limit
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut line = self.line.lock();
        let at = line.numbers.partition_point(|number| *number < self.number);
        line.numbers.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_keeps_its_place() {
        let slots = PushSlots::new(1);
        let [first, second, third] = [(); 3].map(|()| slots.join());
        let free = |slots: [&Slot; 2]| slots.map(Slot::is_free);
        assert!(first.is_free());
        assert_eq!(free([&second, &third]), [false, false]);
        drop(first);
        assert_eq!(free([&second, &third]), [true, false]);
        drop(second);
        assert!(third.is_free());
        drop(third);
        assert!(slots.lock().numbers.is_empty());
    }

    #[test]
    fn no_limit_lets_all_send() {
        let slots = PushSlots::new(0);
        let all = [(); 9].map(|()| slots.join());
        assert!(all.iter().all(Slot::is_free));
    }
}
