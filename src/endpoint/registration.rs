//! Register, Update, De-register: the registration interface (OMA LwM2M Core, section "Registration Interface").

use std::{fmt, str::FromStr, sync::Arc, time::Instant};

use crate::{
    coap::{
        Code, Exchanges, IncomingId, Message, MessageType, Random, Response, link_format::Mode,
    },
    lwm2m::registration::{ObjectList, RegisterParameters, RegistrationData, RegistrationError},
    platform::{
        RequestId, SessionInfo,
        peer::{Peer, PeerId},
        profile::DeviceProfile,
        time::{Now, UnixMillis},
    },
};

use super::Key;

/// The endpoint client name (`ep`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// A name, as the device gave it.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for EndpointName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registration id: two characters that name the service instance, eight random ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistrationId([u8; 10]);

impl RegistrationId {
    /// A new id of the instance with this ordinal.
    pub(crate) fn random(ordinal: u8, random: &mut Random) -> Self {
        let letter =
            |number: u64| ALPHABET[usize::try_from(number).unwrap_or_default() % ALPHABET.len()];
        let mut id = [0; 10];
        id[0] = letter(u64::from(ordinal) / ALPHABET.len() as u64);
        id[1] = letter(u64::from(ordinal));
        for byte in &mut id[2..] {
            *byte = letter(random.uniform(0..=ALPHABET.len() as u64 - 1));
        }
        Self(id)
    }

    /// The ten characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made of ASCII letters and digits")
    }
}

impl FromStr for RegistrationId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bytes: [u8; 10] = text.as_bytes().try_into().map_err(|_| ())?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(bytes))
            .ok_or(())
    }
}

impl fmt::Display for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RegistrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A registration in force.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) id: RegistrationId,
    pub(super) data: RegistrationData,
    pub(super) peer: Peer,
    pub(super) session: Arc<SessionInfo>,
    pub(super) profile: Arc<DeviceProfile>,
    pub(super) last_update: UnixMillis,
}

impl Registration {
    /// What leads to the endpoint while this registration is in force.
    pub(super) fn keys(&self) -> [Key; 3] {
        [
            Key::Peer(self.peer.id),
            Key::Registration(self.id),
            Key::Session(Arc::clone(&self.session)),
        ]
    }

    /// When it ends unless the device updates it; `None`: never.
    pub(super) fn deadline(&self, now: Now) -> Option<Instant> {
        self.data
            .lifetime
            .duration()
            .map(|lifetime| now.mono + lifetime)
    }
}

/// A Register whose credentials the platform is asked for. It replaces nothing until they are accepted.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) peer: Peer,
    pub(super) request: IncomingId,
    pub(super) data: RegistrationData,
    pub(super) question: RequestId,
    /// Its own message layer when it comes from another peer than the registration in force.
    pub(super) exchanges: Option<Box<Exchanges<PeerId>>>,
}

/// What a request on the registration interface asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `POST /rd`
    Register,
    /// `POST /rd/<id>`
    Update(Option<RegistrationId>),
    /// `DELETE /rd/<id>`
    Deregister(Option<RegistrationId>),
    /// `POST /dp`
    Send,
    /// A known path with a method it does not have.
    WrongMethod,
    /// Anything else.
    Unknown,
}

impl Target {
    /// Reads method and path; an id that cannot be one of ours is `None`.
    pub fn of(message: &Message) -> Self {
        let mut path = message.uri_path();
        match (path.next(), path.next(), path.next(), message.code()) {
            (Some("rd"), None, None, Code::POST) => Self::Register,
            (Some("rd"), Some(id), None, Code::POST) => Self::Update(id.parse().ok()),
            (Some("rd"), Some(id), None, Code::DELETE) => Self::Deregister(id.parse().ok()),
            (Some("dp"), None, None, Code::POST) => Self::Send,
            (Some("rd"), _, None, _) | (Some("dp"), None, None, _) => Self::WrongMethod,
            _ => Self::Unknown,
        }
    }
}

/// Reads a Register.
///
/// # Errors
/// The answer to give: 4.00 for what cannot be read, 4.12 for an enabler version that is not spoken here.
pub(super) fn read_register(message: &Message) -> Result<RegistrationData, Box<Response>> {
    if message.message_type() != MessageType::Confirmable {
        return Err(Box::new(Response::with_diagnostic(
            Code::BAD_REQUEST,
            "CON CoAP type expected",
        )));
    }
    let read = || {
        let parameters = RegisterParameters::from_query(message.uri_query())?;
        let objects = ObjectList::parse(&message.payload(), LINK_MODE, parameters.version)?;
        RegistrationData::new(parameters, objects)
    };
    read().map_err(|error| Box::new(refusal(&error)))
}

/// The answer to a Register or Update that breaks a rule.
pub(super) fn refusal(error: &RegistrationError) -> Response {
    let code = match error {
        RegistrationError::VersionUnsupported => Code::PRECONDITION_FAILED,
        RegistrationError::BindingInvalid
        | RegistrationError::EndpointInvalid
        | RegistrationError::EndpointMissing
        | RegistrationError::LifetimeInvalid
        | RegistrationError::ObjectListInvalid
        | RegistrationError::ObjectListMissing
        | RegistrationError::QueueModeInvalid
        | RegistrationError::Repeated
        | RegistrationError::VersionInvalid
        | RegistrationError::VersionMissing => Code::BAD_REQUEST,
    };
    Response::with_diagnostic(code, error.to_string())
}

/// Who a Register of a stranger claims to be, if it is one that can be read.
///
/// # Errors
/// The answer to give to the stranger.
pub fn register_name(message: &Message) -> Result<EndpointName, Box<Response>> {
    read_register(message).map(|data| EndpointName::new(&data.endpoint))
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How strictly object lists are read: malformed ones exist in the field (`protocol.md` 1.11).
pub(super) const LINK_MODE: Mode = Mode::Lenient;
