//! Alerts (RFC 5246 section 7.2).

use super::codec::{Malformed, Reader};

/// What an alert says; the codes of RFC 5246 section 7.2 and RFC 4279 section 2 that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the standard's")]
#[repr(u8)]
pub enum Alert {
    UnexpectedMessage = 10,
    HandshakeFailure = 40,
    BadCertificate = 42,
    CertificateExpired = 45,
    CertificateUnknown = 46,
    IllegalParameter = 47,
    UnknownCa = 48,
    AccessDenied = 49,
    DecodeError = 50,
    DecryptError = 51,
    ProtocolVersion = 70,
    InternalError = 80,
    UnknownPskIdentity = 115,
}

impl From<Malformed> for Alert {
    fn from(Malformed: Malformed) -> Self {
        Self::DecodeError
    }
}

impl Alert {
    /// The content of the record that says so: level fatal.
    pub(super) const fn fatal(self) -> [u8; 2] {
        [FATAL, self as u8]
    }
}

/// An alert as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    CloseNotify,
    Fatal(u8),
    Warning,
}

/// Reads the content of an alert record.
pub(super) fn read(content: &[u8]) -> Result<Received, Malformed> {
    let mut reader = Reader::new(content);
    let (level, description) = (reader.u8()?, reader.u8()?);
    reader.end()?;
    Ok(match (level, description) {
        (_, CLOSE_NOTIFY_CODE) => Received::CloseNotify,
        (FATAL, code) => Received::Fatal(code),
        _ => Received::Warning,
    })
}

/// The end of an association.
pub(super) const CLOSE_NOTIFY: [u8; 2] = [WARNING, CLOSE_NOTIFY_CODE];
/// The answer to a ClientHello inside an association.
pub(super) const NO_RENEGOTIATION: [u8; 2] = [WARNING, 100];

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY_CODE: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_told_apart() {
        assert_eq!(read(&CLOSE_NOTIFY), Ok(Received::CloseNotify));
        assert_eq!(read(&NO_RENEGOTIATION), Ok(Received::Warning));
        assert_eq!(
            read(&Alert::UnknownPskIdentity.fatal()),
            Ok(Received::Fatal(115))
        );
        assert_eq!(read(&[2]), Err(Malformed));
        assert_eq!(read(&[2, 0, 0]), Err(Malformed));
    }
}
