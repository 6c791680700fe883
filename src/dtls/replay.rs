//! The replay window (RFC 6347 section 4.1.2.6): 64 sequence numbers, updated only by records that proved authentic.

/// The sequence numbers of one epoch that were received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReplayWindow {
    /// The highest one plus 1; 0: none yet.
    next: u64,
    /// Bit n: `next - 1 - n` was received.
    seen: u64,
}

impl ReplayWindow {
    /// Nothing was received.
    pub(super) const NEW: Self = Self { next: 0, seen: 0 };

    /// Whether a record with this number may still be accepted.
    pub(super) fn admits(&self, sequence: u64) -> bool {
        if sequence >= self.next {
            return true;
        }
        let age = self.next.saturating_sub(sequence).saturating_sub(1);
        age < u64::from(u64::BITS) && self.seen >> age & 1 == 0
    }

    /// Whether the record is newer than all before it.
    pub(super) const fn is_newest(&self, sequence: u64) -> bool {
        sequence >= self.next
    }

    /// Notes an authentic record that was admitted.
    pub(super) fn insert(&mut self, sequence: u64) {
        if sequence >= self.next {
            let step = sequence.saturating_sub(self.next).saturating_add(1);
            let step = u32::try_from(step).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
            self.next = sequence.saturating_add(1);
        } else {
            let age = self.next.saturating_sub(sequence).saturating_sub(1);
            self.seen |= 1_u64
                .checked_shl(u32::try_from(age).unwrap_or(u32::MAX))
                .unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a13_the_window_is_exact(steps in vec((any::<bool>(), 0_u64..200), 0..400)) {
            let mut window = ReplayWindow::default();
            let mut seen = BTreeSet::new();
            for (far, offset) in steps {
                let top = seen.last().copied().unwrap_or(0);
                let sequence = if far { top + offset } else { (top + 5).saturating_sub(offset) };
                let admitted = !seen.contains(&sequence) && (seen.is_empty() || sequence + 64 > top);
                prop_assert_eq!(window.admits(sequence), admitted);
                prop_assert_eq!(window.is_newest(sequence), seen.is_empty() || sequence > top);
                if admitted {
                    window.insert(sequence);
                    seen.insert(sequence);
                }
            }
        }
    }

    #[test]
    fn a13_the_last_sequence_number_is_nothing_special() {
        let mut window = ReplayWindow::default();
        let last = (1 << 48) - 1;
        window.insert(last);
        assert!(!window.admits(last) && window.admits(last - 63) && !window.admits(last - 64));
    }
}
