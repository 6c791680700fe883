//! What the DTLS engines count, published as differences.

use crate::dtls::{
    Alert, CipherSuite, DenyReason, Established, HandshakeFailure, Principal, Stats,
};

use super::{
    ConnectionId, DtlsLimit, HandshakeMode, HandshakeResult, Label, Metrics, RecordDrop, raise,
};

impl Metrics {
    /// Adds what one engine counted between two moments.
    pub(crate) fn add_dtls(&self, before: &Stats, after: &Stats) {
        if before == after {
            return;
        }
        let since = after.since(before);
        let dropped = &self.dtls_records_dropped;
        raise(dropped.of(RecordDrop::BadMac), since.forged);
        raise(dropped.of(RecordDrop::Early), since.early);
        raise(dropped.of(RecordDrop::Foreign), since.foreign);
        raise(dropped.of(RecordDrop::Malformed), since.malformed);
        raise(dropped.of(RecordDrop::NoAssociation), since.stray);
        raise(dropped.of(RecordDrop::Replay), since.replayed);
        raise(dropped.of(RecordDrop::Unheard), since.unheard);
        raise(dropped.of(RecordDrop::WrongCid), since.wrong_connection_id);
        let limited = &self.dtls_limited;
        raise(limited.of(DtlsLimit::Alerts), since.alerts_limited);
        raise(
            limited.of(DtlsLimit::Associations),
            since.associations_evicted,
        );
        raise(
            limited.of(DtlsLimit::CredentialQueries),
            since.credential_queries_limited,
        );
        raise(limited.of(DtlsLimit::Handshakes), since.handshakes_limited);
        raise(
            limited.of(DtlsLimit::HelloVerifyRequests),
            since.hello_verify_requests_limited,
        );
        raise(
            &self.dtls_hello_verify_requests,
            since.hello_verify_requests,
        );
        raise(&self.dtls_retransmissions, since.retransmissions);
        raise(&self.dtls_credential_queries, since.credential_queries);
        raise(&self.dtls_address_changes, since.peers_moved);
    }

    /// Counts a handshake that is complete.
    pub(crate) fn add_handshake(&self, established: &Established) {
        let mode = match established.principal {
            Principal::PreSharedKey(_) => HandshakeMode::Psk,
            Principal::RawPublicKey(_) => HandshakeMode::Rpk,
            Principal::Certificate { .. } => HandshakeMode::X509,
        };
        self.dtls_handshakes.of((mode, HandshakeResult::Ok)).inc();
        self.dtls_suites.of(established.suite).inc();
        self.dtls_associations
            .of(established.has_connection_id.into())
            .inc();
        let duration = established.duration.as_secs_f64();
        self.dtls_handshake_duration.of(mode).observe(duration);
    }

    /// Counts a handshake that failed. How the device would have proved itself is not known.
    pub(crate) fn add_handshake_failure(&self, failure: HandshakeFailure) {
        let result = match failure {
            HandshakeFailure::Timeout => HandshakeResult::Timeout,
            HandshakeFailure::BadFinished => HandshakeResult::BadMac,
            HandshakeFailure::Refused(Alert::HandshakeFailure) => HandshakeResult::NoCipher,
            HandshakeFailure::Denied(
                DenyReason::BadCertificate | DenyReason::CertificateExpired | DenyReason::UnknownCa,
            )
            | HandshakeFailure::Refused(
                Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCa,
            ) => HandshakeResult::CertInvalid,
            HandshakeFailure::Refused(_) => HandshakeResult::Refused,
            HandshakeFailure::Denied(_) | HandshakeFailure::DeniedAgain => {
                HandshakeResult::NoCredentials
            }
            HandshakeFailure::CredentialUnavailable => HandshakeResult::Unavailable,
            HandshakeFailure::TooManyQueries | HandshakeFailure::TooManyAssociations => {
                HandshakeResult::Limit
            }
            HandshakeFailure::Replaced
            | HandshakeFailure::Alert(_)
            | HandshakeFailure::Invalidated => HandshakeResult::Other,
        };
        self.dtls_handshakes
            .of((HandshakeMode::Unknown, result))
            .inc();
    }
}

impl From<bool> for ConnectionId {
    fn from(has_one: bool) -> Self {
        if has_one { Self::Yes } else { Self::No }
    }
}

impl Label for CipherSuite {
    const KEY: &'static str = "suite";
    const VALUES: &'static [&'static str] = &{
        let mut names = [""; Self::ALL.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = Self::ALL[index].name();
            index += 1;
        }
        names
    };

    fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_is_counted_under_its_name() {
        for suite in CipherSuite::ALL {
            assert_eq!(CipherSuite::VALUES[Label::index(suite)], suite.name());
        }
    }
}
