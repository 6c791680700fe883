//! Requests on the registration interface as they come: which operation, and whether it can be read.

use crate::{
    coap::{Code, Message, MessageType, Response, link_format::Mode},
    lwm2m::registration::{ObjectList, RegisterParameters, RegistrationData, RegistrationError},
};

use super::{EndpointName, RegistrationId};

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
    /// Whether the path is that of an update package: it ends with `tbfw` or `tbsw` and an id.
    pub fn is_package(message: &Message) -> bool {
        let (mut before, mut last) = (None, None);
        for segment in message.uri_path() {
            before = last.replace(segment);
        }
        matches!(before, Some("tbfw" | "tbsw"))
    }

    /// Whether a message of a device belongs to what it has done before, though it comes over another security context: no
    /// request on its registration, which says itself what it is about.
    pub fn goes_on(message: &Message) -> bool {
        matches!(Self::of(message), Self::Send | Self::Unknown)
    }

    /// Reads method and path; an id that cannot be one of ours is `None`.
    pub fn of(message: &Message) -> Self {
        let mut path = message.uri_path();
        match (path.next(), path.next(), path.next(), message.code()) {
            (Some("rd"), None, None, Code::POST) => Self::Register,
            (Some("rd"), Some(id), None, Code::POST) => Self::Update(id.parse().ok()),
            (Some("rd"), Some(id), None, Code::DELETE) => Self::Deregister(id.parse().ok()),
            (Some("dp"), None, None, Code::POST) => Self::Send,
            (Some("rd"), _, None, _) | (Some("dp"), None, None, _) => Self::WrongMethod,
            // To fetch one never comes here: that is answered for everybody alike.
            _ if Self::is_package(message) => Self::WrongMethod,
            _ => Self::Unknown,
        }
    }
}

/// Reads a Register. A device may leave its name out where the security layer knows it: `known`.
///
/// # Errors
/// The answer to give: 4.00 for what cannot be read, 4.12 for an enabler version that is not spoken here.
pub(in crate::endpoint) fn read_register(
    message: &Message,
    known: Option<&EndpointName>,
) -> Result<RegistrationData, Box<Response>> {
    if message.message_type() != MessageType::Confirmable {
        return Err(Box::new(Response::with_diagnostic(
            Code::BAD_REQUEST,
            "CON CoAP type expected",
        )));
    }
    let read = || {
        let mut parameters = RegisterParameters::from_query(message.uri_query())?;
        parameters.endpoint = parameters
            .endpoint
            .or_else(|| known.map(|name| name.as_str().to_owned()));
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
        | RegistrationError::QueryTooLong
        | RegistrationError::Repeated
        | RegistrationError::VersionInvalid
        | RegistrationError::VersionMissing => Code::BAD_REQUEST,
    };
    Response::with_diagnostic(code, error.to_string())
}

/// Who a Register of a stranger claims to be, if it is one that can be read. `known` is the name that goes with how it proved
/// itself, where it did.
///
/// # Errors
/// The answer to give to the stranger.
pub fn register_name(
    message: &Message,
    known: Option<&EndpointName>,
) -> Result<EndpointName, Box<Response>> {
    read_register(message, known).map(|data| EndpointName::new(&data.endpoint))
}

/// How strictly object lists are read: malformed ones exist in the field (`protocol.md` 1.11).
pub(super) const LINK_MODE: Mode = Mode::Lenient;
