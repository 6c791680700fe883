//! Why a Register or an Update is refused.

/// The rule a Register or Update breaks. `Display` is the diagnostic text of the answer.
///
/// [`Self::VersionUnsupported`] is answered with 4.12 (Precondition Failed), everything else with 4.00 (Bad Request).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// `b` holds letters that the enabler version does not define, or none.
    #[error("invalid binding mode")]
    BindingInvalid,
    /// `ep` is too long or holds control characters.
    #[error("invalid endpoint name")]
    EndpointInvalid,
    /// Neither `ep` nor the security layer names the endpoint.
    #[error("endpoint is mandatory")]
    EndpointMissing,
    /// `lt` is not a number of seconds from 0 to 2^31.
    #[error("invalid lifetime")]
    LifetimeInvalid,
    /// The payload is not link format.
    #[error("invalid object list")]
    ObjectListInvalid,
    /// The payload names no object.
    #[error("supported object list is mandatory")]
    ObjectListMissing,
    /// `Q` has a value, or stands in a Register of LwM2M 1.0.
    #[error("invalid queue mode parameter")]
    QueueModeInvalid,
    /// The parameters are longer together than 4 KiB.
    #[error("the query is too long")]
    QueryTooLong,
    /// A parameter stands twice.
    #[error("a parameter is repeated")]
    Repeated,
    /// `lwm2m` is not `major.minor`.
    #[error("invalid LwM2M version")]
    VersionInvalid,
    /// `lwm2m` is missing.
    #[error("LwM2M version is mandatory")]
    VersionMissing,
    /// `lwm2m` names a version that is not served.
    #[error("unsupported LwM2M version")]
    VersionUnsupported,
}
