//! Which session a command for an endpoint goes to.

use std::{collections::HashMap, sync::Arc};

use crate::platform::{DeviceInfo, PlatformId, SessionId, SessionInfo};

/// Which session each registered endpoint has.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_endpoint: HashMap<String, PlatformId>,
    by_device: HashMap<PlatformId, Session>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    endpoint: String,
    device: Arc<DeviceInfo>,
}

impl Sessions {
    /// A session begins; the device's former one is over.
    pub(super) fn open(&mut self, endpoint: &str, session: &SessionInfo) {
        let device = Arc::clone(&session.device);
        self.forget(device.device);
        self.by_endpoint.insert(endpoint.to_owned(), device.device);
        let session = Session {
            id: session.id,
            endpoint: endpoint.to_owned(),
            device: Arc::clone(&device),
        };
        self.by_device.insert(device.device, session);
    }

    /// Ends a session, unless a newer one has taken its place.
    pub(super) fn close(&mut self, session: &SessionInfo) {
        let device = session.device.device;
        if self
            .by_device
            .get(&device)
            .is_some_and(|own| own.id == session.id)
        {
            self.forget(device);
        }
    }

    fn forget(&mut self, device: PlatformId) {
        // The endpoint may be another device's meanwhile.
        if let Some(session) = self.by_device.remove(&device)
            && self.by_endpoint.get(&session.endpoint) == Some(&device)
        {
            self.by_endpoint.remove(&session.endpoint);
        }
    }

    /// The open sessions and their devices.
    pub(super) fn all(&self) -> impl Iterator<Item = (SessionId, &DeviceInfo)> {
        let open = self.by_device.values();
        open.map(|session| (session.id, session.device.as_ref()))
    }

    /// A device that has a session.
    pub(super) fn device(&self, id: PlatformId) -> Option<&DeviceInfo> {
        self.by_device.get(&id).map(|own| own.device.as_ref())
    }

    /// The session of an endpoint, and its device.
    pub(super) fn of_endpoint(&self, endpoint: &str) -> Option<(SessionId, &DeviceInfo)> {
        let session = self.by_device.get(self.by_endpoint.get(endpoint)?)?;
        Some((session.id, session.device.as_ref()))
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

    fn of(sessions: &Sessions, endpoint: &str) -> Option<SessionId> {
        sessions.of_endpoint(endpoint).map(|(id, _)| id)
    }

    #[test]
    fn the_newest_session_of_a_device_counts() {
        let mut sessions = Sessions::default();
        let (old, new) = (session(1, 7), session(2, 7));
        sessions.open("ep", &old);
        sessions.open("ep", &new);
        assert_eq!(of(&sessions, "ep"), Some(new.id));
        sessions.close(&old);
        assert_eq!(of(&sessions, "ep"), Some(new.id));
        sessions.close(&new);
        assert_eq!(of(&sessions, "ep"), None);
    }

    #[test]
    fn a_device_is_known_while_it_has_a_session() {
        let mut sessions = Sessions::default();
        let own = session(1, 7);
        sessions.open("ep", &own);
        assert_eq!(sessions.device(own.device.device), Some(&*own.device));
        sessions.close(&own);
        assert_eq!(sessions.device(own.device.device), None);
    }

    #[test]
    fn nothing_is_kept_of_an_endpoint_that_got_another_name() {
        let mut sessions = Sessions::default();
        sessions.open("before", &session(1, 7));
        sessions.open("after", &session(2, 7));
        assert_eq!(of(&sessions, "before"), None);
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
        assert_eq!(of(&sessions, "ep"), Some(second.id));
    }
}
