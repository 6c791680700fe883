//! Handshake messages in fragments and out of order (RFC 6347 section 4.2.3), in bounded memory.

use std::ops::Range;

use super::{codec::Malformed, message::Fragment};

/// The messages of a peer that are not complete, or come before their turn.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    messages: Vec<Partial>,
}

/// A message of which not all has come.
#[derive(Debug)]
struct Partial {
    message_type: u8,
    message_seq: u16,
    body: Vec<u8>,
    /// What of it has come, in order, with gaps between.
    received: Vec<Range<usize>>,
}

/// A whole message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) message_type: u8,
    pub(super) message_seq: u16,
    pub(super) body: Vec<u8>,
}

impl Reassembly {
    /// Takes a fragment of a message whose turn has not passed; `expected` is whose turn it is. What does not fit in the
    /// bounds, or contradicts what came before, is malformed and left out.
    pub(super) fn insert(
        &mut self,
        fragment: &Fragment<'_>,
        expected: u16,
        max_message: usize,
    ) -> Result<(), Malformed> {
        let ahead = fragment
            .message_seq
            .checked_sub(expected)
            .ok_or(Malformed)?;
        if ahead > MAX_AHEAD
            || fragment.length > max_message
            || fragment.body.is_empty() && fragment.length > 0
        {
            return Err(Malformed);
        }
        let is_known = |own: &Partial| own.message_seq == fragment.message_seq;
        let known = self.messages.iter().position(is_known);
        if known.is_none() {
            while !self.has_room(fragment.length) {
                // Whose turn it is goes before those that are not: else anybody could keep it out.
                if ahead > 0 || self.messages.pop().is_none() {
                    return Err(Malformed);
                }
            }
            self.messages.push(Partial {
                message_type: fragment.message_type,
                message_seq: fragment.message_seq,
                body: vec![0; fragment.length],
                received: Vec::new(),
            });
        }
        let message = match known {
            Some(index) => self.messages.get_mut(index),
            None => self.messages.last_mut(),
        };
        message.ok_or(Malformed)?.insert(fragment)
    }

    /// Forgets what is not of this type.
    pub(super) fn keep_only(&mut self, message_type: u8) {
        self.messages
            .retain(|message| message.message_type == message_type);
    }

    fn has_room(&self, length: usize) -> bool {
        let held: usize = self.messages.iter().map(|own| own.body.len()).sum();
        self.messages.len() < MAX_MESSAGES && held.saturating_add(length) <= MAX_BYTES
    }

    /// Takes out the message whose turn it is, once it is whole.
    pub(super) fn take(&mut self, expected: u16) -> Option<Whole> {
        let index = self
            .messages
            .iter()
            .position(|message| message.message_seq == expected && message.is_whole())?;
        let Partial {
            message_type,
            message_seq,
            body,
            ..
        } = self.messages.swap_remove(index);
        Some(Whole {
            message_type,
            message_seq,
            body,
        })
    }

    /// How many bytes it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.messages.iter().map(|message| message.body.len()).sum()
    }
}

impl Partial {
    fn insert(&mut self, fragment: &Fragment<'_>) -> Result<(), Malformed> {
        if fragment.message_type != self.message_type || fragment.length != self.body.len() {
            return Err(Malformed);
        }
        let new = fragment.offset..fragment.offset.saturating_add(fragment.body.len());
        let mut merged = new.clone();
        let mut kept = Vec::with_capacity(self.received.len().saturating_add(1));
        for old in &self.received {
            let overlap = old.start.max(new.start)..old.end.min(new.end);
            if overlap.start < overlap.end {
                let inside =
                    overlap.start.saturating_sub(new.start)..overlap.end.saturating_sub(new.start);
                if self.body.get(overlap) != fragment.body.get(inside) {
                    return Err(Malformed);
                }
            }
            if old.end < merged.start || merged.end < old.start {
                kept.push(old.clone());
            } else {
                merged = old.start.min(merged.start)..old.end.max(merged.end);
            }
        }
        if kept.len() >= MAX_GAPS {
            return Err(Malformed);
        }
        let place = self.body.get_mut(new).ok_or(Malformed)?;
        place.copy_from_slice(fragment.body);
        kept.push(merged);
        self.received = kept;
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let whole = 0..self.body.len();
        self.body.is_empty() || self.received.first() == Some(&whole)
    }
}

/// So far ahead of its turn a message is kept.
const MAX_AHEAD: u16 = 8;
const MAX_MESSAGES: usize = 4;
const MAX_BYTES: usize = 12 * 1024;
/// So many separate pieces of one message are kept.
const MAX_GAPS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const BODY: [u8; 100] = {
        let mut body = [0; 100];
        let mut index = 0;
        while index < 100 {
            body[index] = index as u8;
            index += 1;
        }
        body
    };

    fn fragment(message_seq: u16, range: Range<usize>) -> Fragment<'static> {
        Fragment {
            message_type: 11,
            length: 100,
            message_seq,
            offset: range.start,
            body: &BODY[range],
        }
    }

    proptest! {
        #[test]
        fn fragments_in_any_order_and_overlap_make_the_message(ranges in vec((0_usize..100, 1_usize..60), 0..40)) {
            let mut reassembly = Reassembly::default();
            let mut covered = [false; 100];
            for (start, length) in ranges {
                let range = start..(start + length).min(100);
                covered[range.clone()].fill(true);
                prop_assert_eq!(reassembly.insert(&fragment(3, range), 3, 200), Ok(()));
                if covered.iter().all(|&covered| covered) {
                    let whole = reassembly.take(3).expect("all of it came");
                    prop_assert_eq!(whole.body, BODY);
                    return Ok(());
                }
                prop_assert_eq!(reassembly.take(3), None);
            }
        }
    }

    #[test]
    fn a07_messages_of_all_numbers_take_bounded_memory() {
        let mut reassembly = Reassembly::default();
        let body = [0; 1000];
        for message_seq in 0..=u16::MAX {
            for (length, body) in [(8000, &body[..]), (1, &body[..1])] {
                let fragment = Fragment {
                    message_type: 11,
                    length,
                    message_seq,
                    offset: 0,
                    body,
                };
                let inserted = reassembly.insert(&fragment, 2, 8192);
                assert!(inserted.is_err() || (2..=10).contains(&message_seq));
            }
        }
        assert!(reassembly.messages.len() <= 4 && reassembly.held() <= 12 * 1024);
        assert!(reassembly.held() >= 8000);
    }

    #[test]
    fn a08_empty_contradicting_and_too_long_fragments_are_left_out() {
        let mut reassembly = Reassembly::default();
        let good = fragment(0, 0..50);
        assert_eq!(reassembly.insert(&good, 0, 200), Ok(()));
        for bad in [
            Fragment { body: &[], ..good },
            Fragment { length: 99, ..good },
            Fragment {
                message_type: 12,
                ..good
            },
            Fragment {
                body: &[9; 50],
                ..good
            },
            Fragment {
                offset: 49,
                body: &[9; 2],
                ..good
            },
        ] {
            assert_eq!(reassembly.insert(&bad, 0, 200), Err(Malformed));
        }
        assert_eq!(
            reassembly.insert(&fragment(1, 0..50), 1, 99),
            Err(Malformed)
        );
        assert_eq!(reassembly.insert(&fragment(0, 50..100), 0, 200), Ok(()));
        assert_eq!(
            reassembly.take(0).map(|whole| whole.body),
            Some(BODY.to_vec())
        );
    }

    #[test]
    fn a07_messages_ahead_do_not_keep_out_whose_turn_it_is() {
        let mut reassembly = Reassembly::default();
        for message_seq in 3..10 {
            let _full = reassembly.insert(&fragment(message_seq, 0..50), 2, 200);
        }
        assert_eq!(reassembly.messages.len(), 4);
        assert_eq!(reassembly.insert(&fragment(2, 0..100), 2, 200), Ok(()));
        assert_eq!(
            reassembly.take(2).map(|whole| whole.body),
            Some(BODY.to_vec())
        );
    }

    #[test]
    fn an_empty_message_is_whole_at_once() {
        let mut reassembly = Reassembly::default();
        let done = Fragment {
            message_type: 14,
            length: 0,
            message_seq: 5,
            offset: 0,
            body: &[],
        };
        assert_eq!(reassembly.insert(&done, 5, 200), Ok(()));
        assert_eq!(reassembly.take(5).map(|whole| whole.message_type), Some(14));
    }
}
