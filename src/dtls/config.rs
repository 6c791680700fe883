//! Settings of the server (`dtls.md` sections 3 to 7), with the reference's defaults where it has them.

use std::time::Duration;

use super::random::Secret;

/// What one [`Server`](super::Server) needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The port the server listens on; a cookie is good for one port.
    pub port: u16,
    /// The first byte of our connection ids: the ordinal of this process.
    pub node: u8,
    /// Their second byte: the shard that the server belongs to.
    pub shard: u8,
    /// Length of our connection ids, at most 20; 0: peers may use theirs, we use none; `None`: no connection ids. Below 5
    /// bytes they carry neither node nor shard.
    pub connection_id_length: Option<u8>,
    /// Leaves out the suites with CBC.
    pub recommended_ciphers: bool,
    /// Adds the suites TLS_ECDHE_PSK.
    pub ecdhe_psk: bool,
    /// Adds the PSK suites with GCM.
    pub psk_gcm: bool,
    /// RFC 7627
    pub extended_master_secret: ExtendedMasterSecret,
    /// Takes raw public keys of clients.
    pub raw_public_keys: bool,
    /// Takes certificates of clients.
    pub certificates: bool,
    /// Lets certificates pass that are not valid yet, or no longer. Their path is then not trusted.
    pub skip_validity_check: bool,
    /// Sent with PSK suites, when there is one.
    pub psk_identity_hint: Option<String>,
    /// An unknown identity is treated like a wrong key: no alert tells which identities exist.
    pub hide_unknown_identity: bool,
    /// Bytes of a datagram that we send at most.
    pub mtu: usize,
    /// Bytes of a handshake message that we take at most.
    pub max_handshake_message: usize,
    /// From a flight to its first retransmission; doubled each time, up to 60 s.
    pub retransmission_timeout: Duration,
    /// By how many percent the first of these is longer at random, at most.
    pub retransmission_jitter_percent: u8,
    /// How often a flight is sent again.
    pub max_retransmissions: u32,
    /// From ClientHello to Finished, without the wait for a credential.
    pub handshake_timeout: Duration,
    /// How long a credential is waited for, and how long a question waits to be asked.
    pub credential_timeout: Duration,
    /// Handshakes in progress, in all.
    pub max_handshakes: usize,
    /// Handshakes in progress, from one IP address.
    pub max_handshakes_per_address: u32,
    /// Handshakes in progress, from one network (/24, /48).
    pub max_handshakes_per_network: u32,
    /// Credentials asked for and not answered.
    pub max_credential_queries: usize,
    /// Credentials asked for by one IP address in a second; four times as many at once.
    pub credential_queries_per_second_per_address: u32,
    /// How long a refusal is remembered.
    pub negative_cache_time: Duration,
    /// How many refusals are remembered.
    pub negative_cache_entries: usize,
    /// HelloVerifyRequests to one network (/24, /48) in a second.
    pub hello_verify_requests_per_second: u32,
    /// Unprotected alerts to one IP address in a second.
    pub alerts_per_second_per_address: u32,
    /// Unprotected alerts in a second, in all.
    pub alerts_per_second: u32,
    /// Associations, in all. One more replaces the one that was silent longest, if that was for
    /// [`Self::stale_after`].
    pub max_associations: usize,
    /// See [`Self::max_associations`].
    pub stale_after: Duration,
    /// After so many forged records in a row an association is deaf for [`Self::quiet_time`]; 0: never. Whoever knows an
    /// address or connection id can then silence a device.
    pub quiet_after_forgeries: u32,
    /// See [`Self::quiet_after_forgeries`].
    pub quiet_time: Duration,
    /// Makes cookies of several processes behind one address good for each other.
    pub cookie_secret: Option<CookieSecret>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 5684,
            node: 0,
            shard: 0,
            connection_id_length: Some(8),
            recommended_ciphers: false,
            ecdhe_psk: false,
            psk_gcm: false,
            extended_master_secret: ExtendedMasterSecret::Preferred,
            raw_public_keys: true,
            certificates: true,
            skip_validity_check: false,
            psk_identity_hint: None,
            hide_unknown_identity: false,
            mtu: 1280 - 48,
            max_handshake_message: 8192,
            retransmission_timeout: Duration::from_secs(9),
            retransmission_jitter_percent: 0,
            max_retransmissions: 3,
            handshake_timeout: Duration::from_secs(120),
            credential_timeout: Duration::from_secs(10),
            max_handshakes: 20_000,
            max_handshakes_per_address: 256,
            max_handshakes_per_network: 5_000,
            max_credential_queries: 2_000,
            credential_queries_per_second_per_address: 50,
            negative_cache_time: Duration::from_secs(10),
            negative_cache_entries: 50_000,
            hello_verify_requests_per_second: 2_000,
            alerts_per_second_per_address: 10,
            alerts_per_second: 1_000,
            max_associations: 150_000,
            stale_after: Duration::from_secs(30 * 60),
            quiet_after_forgeries: 0,
            quiet_time: Duration::from_secs(10),
            cookie_secret: None,
        }
    }
}

/// Whether the master secret is bound to the handshake (RFC 7627).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedMasterSecret {
    /// A client that does not offer it is refused.
    Required,
    /// It is used when the client offers it.
    Preferred,
    /// It is not used.
    Off,
}

/// The secret that cookies are made from; wiped when dropped, not shown.
#[derive(Clone, Debug)]
pub struct CookieSecret(pub(super) Secret<32>);

impl CookieSecret {
    /// Takes 32 random bytes.
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(Secret(secret))
    }
}
