//! Uplinks of devices whose profile, tenant or queues are not known yet, in their order (`rulings.md` 3.2).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::super::{session::PlatformId, uplink::Uplink};
use super::receipt::Receipt;

/// An uplink that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) uplink: Uplink,
    pub(super) receipt: Option<Arc<Receipt>>,
}

/// A bounded queue per device.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    devices: BTreeMap<PlatformId, Line>,
    len: usize,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Line {
    uplinks: VecDeque<Waiting>,
    /// Whether somebody is letting this line out; newcomers join it all the same.
    leaving: bool,
}

impl WaitingRoom {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            devices: BTreeMap::new(),
            len: 0,
            capacity,
        }
    }

    /// Whether a device has a line, which its next uplink must join.
    pub(super) fn has_line(&self, device: PlatformId) -> bool {
        self.devices.contains_key(&device)
    }

    /// Appends an uplink.
    ///
    /// # Errors
    /// The uplink, when the room is full.
    pub(super) fn join(&mut self, device: PlatformId, waiting: Waiting) -> Result<(), Waiting> {
        if self.len >= self.capacity {
            return Err(waiting);
        }
        self.len += 1;
        let line = self.devices.entry(device).or_default();
        line.uplinks.push_back(waiting);
        Ok(())
    }

    /// The first uplink of a device.
    pub(super) fn first(&self, device: PlatformId) -> Option<&Uplink> {
        Some(&self.devices.get(&device)?.uplinks.front()?.uplink)
    }

    /// Takes the first uplink of a device out.
    pub(super) fn leave(&mut self, device: PlatformId) -> Option<Waiting> {
        let waiting = self.devices.get_mut(&device)?.uplinks.pop_front()?;
        self.len -= 1;
        Some(waiting)
    }

    /// Begins to let a line out; false when there is none or somebody does so already.
    pub(super) fn open(&mut self, device: PlatformId) -> bool {
        self.devices
            .get_mut(&device)
            .is_some_and(|line| !std::mem::replace(&mut line.leaving, true))
    }

    /// Ends letting a line out; an empty line is gone.
    pub(super) fn close(&mut self, device: PlatformId) {
        if let Some(line) = self.devices.get_mut(&device) {
            line.leaving = false;
            if line.uplinks.is_empty() {
                self.devices.remove(&device);
            }
        }
    }

    /// The devices that have a line.
    pub(super) fn devices(&self) -> Vec<PlatformId> {
        self.devices.keys().copied().collect()
    }

    /// How many uplinks wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::platform::{
        session::{DeviceInfo, SessionId, SessionInfo},
        time::UnixMillis,
    };

    const DEVICE: PlatformId = PlatformId(Uuid::from_u128(1));

    fn uplink(order: i64) -> Waiting {
        Waiting {
            uplink: Uplink::Activity {
                session: Arc::new(SessionInfo {
                    id: SessionId(Uuid::nil()),
                    device: Arc::new(DeviceInfo {
                        tenant: PlatformId::default(),
                        customer: PlatformId::NULL,
                        device: DEVICE,
                        profile: PlatformId::default(),
                        name: String::new(),
                        kind: String::new(),
                    }),
                }),
                last_activity: UnixMillis(order),
                heartbeat: false,
            },
            receipt: None,
        }
    }

    fn order(waiting: Option<Waiting>) -> Option<i64> {
        let Uplink::Activity { last_activity, .. } = waiting?.uplink else {
            panic!("only activity waits here");
        };
        Some(last_activity.0)
    }

    #[test]
    fn uplinks_leave_in_their_order_and_newcomers_join() {
        let mut room = WaitingRoom::new(8);
        assert!(!room.open(DEVICE));
        room.join(DEVICE, uplink(1)).unwrap();
        assert!(room.open(DEVICE));
        assert!(!room.open(DEVICE), "one at a time");
        assert_eq!(order(room.leave(DEVICE)), Some(1));
        // The line is empty, but who lets it out has not finished.
        assert!(room.has_line(DEVICE));
        room.join(DEVICE, uplink(2)).unwrap();
        assert_eq!(order(room.leave(DEVICE)), Some(2));
        assert_eq!(order(room.leave(DEVICE)), None);
        room.close(DEVICE);
        assert!(!room.has_line(DEVICE));
        assert_eq!(room.len(), 0);
    }

    #[test]
    fn the_room_is_bounded() {
        let mut room = WaitingRoom::new(1);
        room.join(DEVICE, uplink(1)).unwrap();
        let stranger = PlatformId(Uuid::from_u128(2));
        assert_eq!(order(room.join(stranger, uplink(2)).err()), Some(2));
        assert!(!room.has_line(stranger));
        room.leave(DEVICE);
        assert!(room.join(stranger, uplink(2)).is_ok());
    }
}
