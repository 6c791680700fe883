//! Which session a command for an endpoint goes to.

use std::{collections::HashMap, sync::Arc};

use crate::platform::{DeviceInfo, PlatformId, SessionId, SessionInfo};

/// Which session each registered endpoint has.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_endpoint: HashMap<String, SessionId>,
    by_device: HashMap<PlatformId, (String, SessionId, Arc<DeviceInfo>)>,
}

impl Sessions {
    /// A session begins; the device's former one is over.
    pub(super) fn open(&mut self, endpoint: &str, session: &SessionInfo) {
        self.forget(session.device.device);
        self.by_endpoint.insert(endpoint.to_owned(), session.id);
        let device = Arc::clone(&session.device);
        self.by_device
            .insert(device.device, (endpoint.to_owned(), session.id, device));
    }

    /// Ends a session, unless a newer one has taken its place.
    pub(super) fn close(&mut self, session: &SessionInfo) {
        let device = session.device.device;
        if self
            .by_device
            .get(&device)
            .is_some_and(|(_, id, _)| *id == session.id)
        {
            self.forget(device);
        }
    }

    fn forget(&mut self, device: PlatformId) {
        // The endpoint may be another device's meanwhile.
        if let Some((endpoint, id, _)) = self.by_device.remove(&device)
            && self.by_endpoint.get(&endpoint) == Some(&id)
        {
            self.by_endpoint.remove(&endpoint);
        }
    }

    /// The open sessions and their devices.
    pub(super) fn all(&self) -> impl Iterator<Item = (SessionId, &DeviceInfo)> {
        let open = self.by_device.values();
        open.map(|(_, id, device)| (*id, device.as_ref()))
    }

    /// The session of an endpoint.
    pub(super) fn of_endpoint(&self, endpoint: &str) -> Option<SessionId> {
        self.by_endpoint.get(endpoint).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use crate::platform::DeviceInfo;

    use super::*;

    fn session(id: u128, device: u128) -> SessionInfo {
        SessionInfo {
            id: SessionId(Uuid::from_u128(id)),
            device: Arc::new(DeviceInfo {
                tenant: PlatformId::NULL,
                customer: PlatformId::NULL,
                device: PlatformId(Uuid::from_u128(device)),
                profile: PlatformId::NULL,
                name: String::new(),
                kind: String::new(),
            }),
        }
    }

    #[test]
    fn the_newest_session_of_a_device_counts() {
        let mut sessions = Sessions::default();
        let (old, new) = (session(1, 7), session(2, 7));
        sessions.open("ep", &old);
        sessions.open("ep", &new);
        assert_eq!(sessions.of_endpoint("ep"), Some(new.id));
        sessions.close(&old);
        assert_eq!(sessions.of_endpoint("ep"), Some(new.id));
        sessions.close(&new);
        assert_eq!(sessions.of_endpoint("ep"), None);
    }

    #[test]
    fn nothing_is_kept_of_an_endpoint_that_got_another_name() {
        let mut sessions = Sessions::default();
        sessions.open("before", &session(1, 7));
        sessions.open("after", &session(2, 7));
        assert_eq!(sessions.of_endpoint("before"), None);
        sessions.close(&session(2, 7));
        assert_eq!(sessions.by_endpoint.len() + sessions.by_device.len(), 0);
    }

    #[test]
    fn an_endpoint_that_went_to_another_device_stays_there() {
        let mut sessions = Sessions::default();
        let (first, second) = (session(1, 7), session(2, 8));
        sessions.open("ep", &first);
        sessions.open("ep", &second);
        sessions.close(&first);
        assert_eq!(sessions.of_endpoint("ep"), Some(second.id));
    }
}
