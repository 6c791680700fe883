//! De-duplication of what a device sends (RFC 7252 section 4.5): a bounded ring of message ids, each with what a
//! duplicate of it gets.
//!
//! The ring belongs to a registration, not to an address: a retransmission that arrives through a new NAT binding is
//! still the same message. Entries that wait for their answer are never evicted, so an answer that is due cannot be
//! lost to a flood; a ring full of them refuses new messages, and the device sends again.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    message::{MessageId, Token},
    retransmission::later,
};

/// Handle of one message that was received and waits for its answer. It never names a later message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IncomingId(u64);

/// The message ids seen of late. `W` is what is kept of a message while it waits for its answer.
#[derive(Debug)]
pub(super) struct Deduplication<W> {
    /// In the order of reception.
    entries: VecDeque<Entry<W>>,
    capacity: usize,
    next: u64,
}

/// What became of a message, and so what a duplicate of it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction<W> {
    /// Its answer is not known yet: nothing, or what `W` says.
    Waiting(W),
    /// It was answered: the same bytes again.
    Answered(Bytes),
    /// It has no answer: nothing.
    Silent,
}

#[derive(Debug)]
struct Entry<W> {
    id: IncomingId,
    message_id: MessageId,
    token: Token,
    expires: Instant,
    reaction: Reaction<W>,
}

impl<W> Deduplication<W> {
    /// An empty ring of at most `capacity` entries, at least one.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            capacity: capacity.max(1),
            next: 0,
        }
    }

    /// What a message with this id and token gets if it is a duplicate; `None` if it is new.
    ///
    /// A repetition has the token of the original, too. Comparing it tells a device that rebooted and begins with the
    /// message id it began with before from one that repeats itself.
    pub(super) fn duplicate(
        &self,
        now: Instant,
        message_id: MessageId,
        token: Token,
    ) -> Option<&Reaction<W>> {
        self.entries
            .iter()
            .rev()
            .find(|entry| {
                entry.message_id == message_id && entry.token == token && entry.expires > now
            })
            .map(|entry| &entry.reaction)
    }

    /// Remembers a new message for `lifetime`. The oldest entry that does not wait makes room if need be; `None` when
    /// all wait.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        message_id: MessageId,
        token: Token,
        lifetime: Duration,
        reaction: Reaction<W>,
    ) -> Option<IncomingId> {
        while self
            .entries
            .front()
            .is_some_and(|entry| entry.expires <= now)
        {
            self.entries.pop_front();
        }
        if self.entries.len() >= self.capacity {
            // What waits stays; the front alone is looked at first, since it hardly ever does.
            let oldest = self.entries.iter().position(|entry| {
                entry.expires <= now || !matches!(entry.reaction, Reaction::Waiting(_))
            })?;
            self.entries.remove(oldest);
        }
        let id = IncomingId(self.next);
        self.next = self.next.wrapping_add(1);
        self.entries.push_back(Entry {
            id,
            message_id,
            token,
            expires: later(now, lifetime),
            reaction,
        });
        Some(id)
    }

    /// A message that still waits and has not aged: its id, and what is kept of it.
    pub(super) fn waiting(&self, now: Instant, id: IncomingId) -> Option<(MessageId, &W)> {
        let entry = self
            .entries
            .iter()
            .rev()
            .find(|entry| entry.id == id && entry.expires > now)?;
        match &entry.reaction {
            Reaction::Waiting(waiting) => Some((entry.message_id, waiting)),
            Reaction::Answered(_) | Reaction::Silent => None,
        }
    }

    /// All messages that still wait, oldest first.
    pub(super) fn all_waiting(&self) -> impl Iterator<Item = &W> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.reaction {
                Reaction::Waiting(waiting) => Some(waiting),
                Reaction::Answered(_) | Reaction::Silent => None,
            })
    }

    /// The same with their ids, to be changed.
    pub(super) fn all_waiting_mut(&mut self) -> impl Iterator<Item = (MessageId, &mut W)> {
        self.entries
            .iter_mut()
            .filter_map(|entry| match &mut entry.reaction {
                Reaction::Waiting(waiting) => Some((entry.message_id, waiting)),
                Reaction::Answered(_) | Reaction::Silent => None,
            })
    }

    /// Ends the waiting of a message; one that does not wait is left alone.
    pub(super) fn settle(&mut self, id: IncomingId, reaction: Reaction<W>) {
        if let Some(entry) = self.entries.iter_mut().rev().find(|entry| entry.id == id)
            && matches!(entry.reaction, Reaction::Waiting(_))
        {
            entry.reaction = reaction;
        }
    }

    /// Forgets a message that waits: its repetition is new.
    pub(super) fn forget(&mut self, id: IncomingId) {
        self.entries
            .retain(|entry| entry.id != id || !matches!(entry.reaction, Reaction::Waiting(_)));
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    const LIFETIME: Duration = Duration::from_secs(247);

    fn answer(byte: u8) -> Reaction<()> {
        Reaction::Answered(Bytes::from(vec![byte]))
    }

    fn insert(
        ring: &mut Deduplication<()>,
        now: Instant,
        id: u16,
        reaction: Reaction<()>,
    ) -> Option<IncomingId> {
        ring.insert(now, MessageId(id), Token::default(), LIFETIME, reaction)
    }

    #[test]
    fn c11_a_duplicate_within_the_lifetime_gets_the_same_answer() {
        let (mut ring, now) = (Deduplication::new(4), start());
        assert_eq!(ring.duplicate(now, MessageId(1), Token::default()), None);
        insert(&mut ring, now, 1, answer(7)).unwrap();
        let just_before = now + LIFETIME - Duration::from_millis(1);
        assert_eq!(
            ring.duplicate(just_before, MessageId(1), Token::default()),
            Some(&answer(7))
        );
        assert_eq!(
            ring.duplicate(now + LIFETIME, MessageId(1), Token::default()),
            None
        );
    }

    #[test]
    fn the_oldest_answer_makes_room() {
        let (mut ring, now) = (Deduplication::new(2), start());
        for id in 1..=3 {
            insert(&mut ring, now, id, answer(0)).unwrap();
        }
        assert_eq!(ring.len(), 2);
        assert_eq!(ring.duplicate(now, MessageId(1), Token::default()), None);
        assert!(
            ring.duplicate(now, MessageId(2), Token::default())
                .is_some()
        );
    }

    #[test]
    fn a_waiting_message_is_never_evicted_and_a_ring_full_of_them_refuses() {
        let (mut ring, now) = (Deduplication::new(2), start());
        let first = insert(&mut ring, now, 1, Reaction::Waiting(())).unwrap();
        insert(&mut ring, now, 2, answer(0)).unwrap();
        insert(&mut ring, now, 3, Reaction::Waiting(())).unwrap();
        assert!(
            ring.duplicate(now, MessageId(1), Token::default())
                .is_some()
        );
        assert_eq!(insert(&mut ring, now, 4, answer(0)), None);
        ring.settle(first, Reaction::Silent);
        assert!(insert(&mut ring, now, 4, answer(0)).is_some());
        assert_eq!(ring.duplicate(now, MessageId(1), Token::default()), None);
    }

    #[test]
    fn age_frees_even_waiting_messages() {
        let (mut ring, now) = (Deduplication::new(1), start());
        let id = insert(&mut ring, now, 1, Reaction::Waiting(())).unwrap();
        assert!(insert(&mut ring, now + LIFETIME, 2, answer(0)).is_some());
        assert_eq!(ring.waiting(now, id), None);
    }

    #[test]
    fn a_handle_does_not_name_a_later_message_of_the_same_id() {
        let (mut ring, now) = (Deduplication::new(4), start());
        let old = insert(&mut ring, now, 1, Reaction::Waiting(())).unwrap();
        let new = insert(&mut ring, now + LIFETIME, 1, Reaction::Waiting(())).unwrap();
        let later = now + LIFETIME;
        assert_eq!(ring.waiting(later, old), None);
        assert!(ring.waiting(later, new).is_some());
    }

    #[test]
    fn a_rebooted_device_that_begins_with_the_same_message_id_is_no_duplicate() {
        let mut ring: Deduplication<()> = Deduplication::new(4);
        let (now, id) = (start(), MessageId(1));
        let token = |byte| Token::new(&[byte]).unwrap();
        ring.insert(now, id, token(1), LIFETIME, answer(1)).unwrap();
        assert_eq!(ring.duplicate(now, id, token(2)), None);
        ring.insert(now, id, token(2), LIFETIME, answer(2)).unwrap();
        assert_eq!(ring.duplicate(now, id, token(1)), Some(&answer(1)));
        assert_eq!(ring.duplicate(now, id, token(2)), Some(&answer(2)));
    }
}
