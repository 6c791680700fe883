//! What the server counts.

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What a [`Server`](super::Server) has counted since its start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Stats {
            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)+ }
            }
        }

        impl std::ops::AddAssign for Stats {
            fn add_assign(&mut self, other: Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)+
            }
        }
    };
}

counters! {
    /// Records that were not well-formed, plain or once decrypted.
    malformed,
    /// Records and datagrams of another kind: heartbeats, DTLS 1.3, CoAP.
    foreign,
    /// Records for which there is no handshake or association, or in an epoch or with a number that cannot be.
    stray,
    /// Records received before, or too old to know.
    replayed,
    /// Records that are not authentic.
    forged,
    /// Records without the connection id that was agreed on, or with one that was not.
    wrong_connection_id,
    /// Records of epoch 1 dropped because there was no key yet and no room to keep them.
    early,
    /// Records that came while an association was deaf.
    unheard,
    /// HelloVerifyRequests sent.
    hello_verify_requests,
    /// HelloVerifyRequests not sent, for there were too many.
    hello_verify_requests_limited,
    /// Cookies that were wrong or too old.
    bad_cookies,
    /// Handshakes begun: a good cookie came and there was room.
    handshakes_started,
    /// Handshakes not begun, for there were too many handshakes or associations.
    handshakes_limited,
    /// Handshakes that led to an association.
    handshakes_completed,
    /// Handshakes that did not.
    handshakes_failed,
    /// Of these: the client's Finished was not made with the key.
    bad_finished,
    /// Of these: there was no credential in time.
    credentials_unavailable,
    /// Flights sent again.
    retransmissions,
    /// Credentials asked for.
    credential_queries,
    /// Credentials not asked for, for there were too many questions.
    credential_queries_limited,
    /// Credentials not asked for, for the answer was known to be no.
    denials_remembered,
    /// Unprotected alerts sent.
    alerts,
    /// Unprotected alerts not sent, for there were too many.
    alerts_limited,
    /// Associations that ended.
    associations_closed,
    /// Of these: silent longest when there were too many.
    associations_evicted,
    /// Peers that changed their address.
    peers_moved,
}

/// Counts one.
pub(super) const fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
