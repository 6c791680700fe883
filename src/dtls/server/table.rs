//! Where handshakes and associations are kept, by number, and when each of them wants to be woken.

use std::{collections::BTreeSet, time::Instant};

use super::{association::Association, handshake::Handshake};
use crate::dtls::event::AssociationId;

/// All handshakes and associations. An association has the number of its handshake.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    timers: BTreeSet<(Instant, u32)>,
    associations: usize,
    handshakes: usize,
}

#[derive(Debug)]
struct Slot {
    /// How often the place was given away.
    generation: u32,
    wake: Option<Instant>,
    state: State,
}

/// What is in a place.
#[derive(Debug)]
pub(super) enum State {
    Free,
    Handshake(Box<Handshake>),
    Association(Box<Association>),
}

impl Table {
    /// `None`: the numbers are used up.
    pub(super) fn insert(&mut self, handshake: Box<Handshake>) -> Option<AssociationId> {
        let state = State::Handshake(handshake);
        let index = match self.free.pop() {
            Some(index) => {
                let slot = self.slot_mut(index)?;
                slot.generation = slot.generation.wrapping_add(1);
                slot.state = state;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot {
                    generation: 0,
                    wake: None,
                    state,
                });
                index
            }
        };
        self.handshakes = self.handshakes.saturating_add(1);
        self.id_of(index)
    }

    /// Takes out a handshake whose place its association will have.
    pub(super) fn take_handshake(&mut self, id: AssociationId) -> Option<Box<Handshake>> {
        let slot = self.live_mut(id)?;
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Handshake(handshake) => {
                self.handshakes = self.handshakes.saturating_sub(1);
                Some(handshake)
            }
            other @ (State::Association(_) | State::Free) => {
                slot.state = other;
                None
            }
        }
    }

    /// Puts an association where its handshake was.
    pub(super) fn establish(&mut self, id: AssociationId, association: Box<Association>) {
        if let Some(slot) = self.live_mut(id) {
            slot.state = State::Association(association);
            self.associations = self.associations.saturating_add(1);
        }
    }

    /// Empties a place; what was in it.
    pub(super) fn remove(&mut self, id: AssociationId) -> State {
        self.wake_at(id, None);
        let Some(slot) = self.live_mut(id) else {
            return State::Free;
        };
        let state = std::mem::replace(&mut slot.state, State::Free);
        match state {
            State::Handshake(_) => self.handshakes = self.handshakes.saturating_sub(1),
            State::Association(_) => self.associations = self.associations.saturating_sub(1),
            State::Free => return State::Free,
        }
        self.free.push(index_of(id));
        state
    }

    pub(super) fn handshake(&mut self, id: AssociationId) -> Option<&mut Handshake> {
        match &mut self.live_mut(id)?.state {
            State::Handshake(handshake) => Some(handshake),
            State::Association(_) | State::Free => None,
        }
    }

    pub(super) fn association(&mut self, id: AssociationId) -> Option<&mut Association> {
        match &mut self.live_mut(id)?.state {
            State::Association(association) => Some(association),
            State::Handshake(_) | State::Free => None,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (AssociationId, &State)> {
        (0..)
            .zip(&self.slots)
            .map(|(index, slot)| (id(slot.generation, index), &slot.state))
    }

    pub(super) const fn handshakes(&self) -> usize {
        self.handshakes
    }

    pub(super) const fn associations(&self) -> usize {
        self.associations
    }

    /// Sets the one timer of a place.
    pub(super) fn wake_at(&mut self, id: AssociationId, wake: Option<Instant>) {
        let index = index_of(id);
        let Some(slot) = self.live_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut slot.wake, wake);
        if before != wake {
            if let Some(before) = before {
                self.timers.remove(&(before, index));
            }
            self.timers.extend(wake.map(|wake| (wake, index)));
        }
    }

    /// The earliest timer.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.timers.first().map(|(wake, _)| *wake)
    }

    /// Takes a place whose timer is due; its timer is off.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<AssociationId> {
        let (_, index) = self
            .timers
            .first()
            .copied()
            .filter(|(wake, _)| *wake <= now)?;
        let id = self.id_of(index)?;
        self.wake_at(id, None);
        Some(id)
    }

    fn id_of(&mut self, index: u32) -> Option<AssociationId> {
        let slot = self.slot_mut(index)?;
        Some(id(slot.generation, index))
    }

    fn live_mut(&mut self, id: AssociationId) -> Option<&mut Slot> {
        let generation = u32::try_from(id.0 >> 32).ok()?;
        self.slot_mut(index_of(id))
            .filter(|slot| slot.generation == generation)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(index).ok()?)
    }
}

fn id(generation: u32, index: u32) -> AssociationId {
    AssociationId(u64::from(generation) << 32 | u64::from(index))
}

fn index_of(id: AssociationId) -> u32 {
    u32::try_from(id.0 & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
