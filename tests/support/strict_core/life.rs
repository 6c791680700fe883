//! What happens to a core in the course of time: its instances stop and start, forget and remember; sessions time out;
//! messages come late, twice, or broken. As found by experiment (`measured.md` 5).

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use lightship::platform::thingsboard::{partition::partition, settings::HashFunction};
use uuid::Uuid;

use super::{
    bus::{Action, PARTITIONS},
    state::{State, now_millis},
};

/// How the core is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreOptions {
    /// Instances that share the work by the topics they read; each remembers the RPC of its own devices.
    pub(crate) instances: usize,
    /// Open sessions of one device; the oldest is closed for another one.
    pub(crate) sessions_per_device: usize,
    /// Age of the last reported activity at which a session is closed.
    pub(crate) inactivity: Duration,
}

impl Default for CoreOptions {
    /// As the platform is by default.
    fn default() -> Self {
        Self {
            instances: 1,
            sessions_per_device: 1,
            inactivity: Duration::from_secs(600),
        }
    }
}

/// What an instance finds when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    /// The sessions, with their subscriptions.
    Kept,
    /// No session.
    Lost,
}

/// What the core's memory holds of an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// It is known by its number.
    Numbered,
    /// It was kept as QUEUED, and gets a new number with the next message for its device.
    Queued,
    /// Nothing: who waited is gone, or it is stuck as SENT or DELIVERED for good.
    Gone,
}

/// The part of the state that concerns time.
pub(super) struct Life {
    pub(super) options: CoreOptions,
    /// Instances that do not run.
    down: Vec<bool>,
    /// Every session that was ever opened, and its device.
    pub(super) known_sessions: HashMap<Uuid, Uuid>,
    /// How late answers and notifications leave.
    pub(super) delay: Duration,
    /// How often each notification is sent.
    pub(super) notify_times: usize,
    /// Whether answers are no protobuf.
    pub(super) garbled: bool,
    late: VecDeque<(Instant, Action)>,
}

impl Life {
    pub(super) fn new(options: CoreOptions) -> Self {
        Self {
            options,
            down: vec![false; options.instances],
            known_sessions: HashMap::new(),
            delay: Duration::ZERO,
            notify_times: 1,
            garbled: false,
            late: VecDeque::new(),
        }
    }

    /// Takes what is to be sent, and returns what is due.
    pub(super) fn due(&mut self, now: Instant, actions: Vec<Action>) -> Vec<Action> {
        for mut action in actions {
            let times = match &mut action {
                Action::Answer { value, .. } => {
                    if self.garbled {
                        *value = GARBAGE.to_vec();
                    }
                    1
                }
                Action::Notify { .. } => self.notify_times,
            };
            let at = now + self.delay;
            self.late.extend(std::iter::repeat_n((at, action), times));
        }
        // A shorter delay than before overtakes nobody.
        let count = self.late.iter().take_while(|(at, _)| *at <= now).count();
        self.late.drain(..count).map(|(_, action)| action).collect()
    }
}

impl State {
    pub(super) fn is_down(&self, instance: usize) -> bool {
        self.life.down[instance]
    }

    /// The instance that serves a device.
    pub(super) fn instance_of(&self, device: Uuid) -> usize {
        let number = partition(device, PARTITIONS, HashFunction::Murmur3_128);
        number as usize % self.life.options.instances
    }

    pub(super) fn stop(&mut self, instance: usize) {
        self.life.down[instance] = true;
    }

    /// An instance starts anew: request numbers begin at 0, whoever waited is gone. Persistent RPC that were never sent
    /// are kept; those that were are stuck.
    pub(super) fn start(&mut self, instance: usize, cache: Cache) {
        self.life.down[instance] = false;
        let own: Vec<Uuid> = self
            .devices
            .keys()
            .copied()
            .filter(|device| self.instance_of(*device) == instance)
            .collect();
        for device in &own {
            self.next_requests.remove(device);
        }
        let now = now_millis();
        for rpc in self
            .rpcs
            .values_mut()
            .filter(|rpc| own.contains(&rpc.device))
        {
            let is_queued = rpc.options.persisted
                && rpc.progress.statuses.is_empty()
                && rpc.progress.reply.is_none()
                && rpc.expires > now;
            rpc.memory = if is_queued {
                Memory::Queued
            } else {
                Memory::Gone
            };
        }
        if cache == Cache::Lost {
            self.sessions
                .retain(|_, session| !own.contains(&session.device));
        }
    }

    /// Numbers the RPC of a device that a restarted instance has kept.
    pub(super) fn recall(&mut self, device: Uuid) {
        let queued = |state: &Self, id: &Uuid| {
            let rpc = &state.rpcs[id];
            rpc.device == device && rpc.memory == Memory::Queued
        };
        let ids: Vec<Uuid> = self
            .rpc_order
            .iter()
            .copied()
            .filter(|id| queued(self, id))
            .collect();
        for id in ids {
            let request = self.next_request(device);
            let rpc = self.rpcs.get_mut(&id).unwrap();
            rpc.request = request;
            rpc.memory = Memory::Numbered;
        }
    }

    /// Closes the sessions whose devices were not reported active for too long.
    pub(super) fn time_out(&mut self) -> Vec<Action> {
        let inactivity = self.life.options.inactivity.as_millis();
        let oldest = now_millis() - i64::try_from(inactivity).unwrap();
        let is_over =
            |session: &super::state::Session| session.open && session.last_activity < oldest;
        let over: Vec<Uuid> = self
            .sessions
            .iter()
            .filter(|(_, session)| {
                is_over(session) && !self.is_down(self.instance_of(session.device))
            })
            .map(|(id, _)| *id)
            .collect();
        over.into_iter()
            .map(|id| {
                let session = self.sessions.get_mut(&id).unwrap();
                session.open = false;
                session.subscribed = false;
                super::state::close(id, &session.node, super::Close::SessionTimeout)
            })
            .collect()
    }
}

/// Records that no receiver can read.
pub(super) const GARBAGE: &[u8] = b"\xff\xff\xff\xff garbage";
