//! Settings of the server.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    thread,
    time::Duration,
};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{coap::RateLimit, dtls, endpoint::HELD_RPC_LIMIT};

use super::keys::settings::{CredentialSettings, TrustSettings};

/// `runtime`: threads and socket buffers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeSettings {
    /// Threads that serve devices, each with its own socket per port; 0 = as many as the CPUs this process may use.
    /// Default 0.
    pub workers: usize,
    /// Receive buffer asked of the kernel for each device socket, bytes. Default 4194304.
    pub udp_recv_buffer_bytes: usize,
}

impl RuntimeSettings {
    /// How many worker threads to start, at least one.
    pub fn worker_count(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        thread::available_parallelism().map_or(1, NonZeroUsize::get)
    }
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            workers: 0,
            udp_recv_buffer_bytes: 4 << 20,
        }
    }
}

/// `lwm2m`: the LwM2M and bootstrap servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lwm2mSettings {
    /// The LwM2M server.
    pub server: ServerSettings,
    /// The bootstrap server.
    pub bootstrap: BootstrapSettings,
    /// How long a request to a device may take, milliseconds. Default 120000. Upstream: `LWM2M_TIMEOUT`.
    pub timeout_ms: u64,
    /// How long a device that registered in Queue Mode is awake after its last message, milliseconds. Default 93000.
    pub queue_mode_window_ms: u64,
    /// How long a device in PSM is awake after its last message, milliseconds, unless its profile says so.
    /// Default 10000. Upstream: `LWM2M_PSM_ACTIVITY_TIMER`.
    pub psm_activity_timer_ms: u64,
    /// How long a device in eDRX is awake after its last message, milliseconds, unless its profile says so.
    /// Default 10000. Upstream: `LWM2M_PAGING_TRANSMISSION_WINDOW`.
    pub paging_window_ms: u64,
    /// Issuers whose devices are trusted.
    pub trust: TrustSettings,
    /// How often files of keys and certificates are looked at for changes, seconds; 0 = never. Default 60.
    /// Upstream: `TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_CHECK_INTERVAL_SECONDS`, and `TB_TRANSPORT_SSL_CERTIFICATE_RELOAD_ENABLED`
    /// for never.
    pub credentials_reload_s: u64,
    /// Transport security.
    pub dtls: DtlsSettings,
}

impl Lwm2mSettings {
    /// `credentials_reload_s`; `None`: never.
    pub fn credentials_reload(&self) -> Option<Duration> {
        let seconds = self.credentials_reload_s;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// `timeout_ms`
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

impl Default for Lwm2mSettings {
    fn default() -> Self {
        Self {
            server: ServerSettings::default(),
            bootstrap: BootstrapSettings::default(),
            timeout_ms: 120_000,
            queue_mode_window_ms: 93_000,
            psm_activity_timer_ms: 10_000,
            paging_window_ms: 10_000,
            trust: TrustSettings::default(),
            credentials_reload_s: 60,
            dtls: DtlsSettings::default(),
        }
    }
}

/// `lwm2m.server`: where devices reach the LwM2M server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Short server id: those that devices get are in their profiles, so it has no effect. Default 123. Upstream: `LWM2M_SERVER_ID`.
    pub id: u16,
    /// Address of the plain CoAP port. Default `0.0.0.0`. Upstream: `LWM2M_BIND_ADDRESS`.
    pub bind: IpAddr,
    /// Plain CoAP port; 0 = any free one. Default 5685. Upstream: `LWM2M_BIND_PORT`.
    pub port: u16,
    /// Address of the DTLS port. Default `0.0.0.0`. Upstream: `LWM2M_SECURITY_BIND_ADDRESS`.
    pub secure_bind: IpAddr,
    /// DTLS port; 0 = any free one. Default 5686. Upstream: `LWM2M_SECURITY_BIND_PORT`.
    pub secure_port: u16,
    /// The server's key and certificates.
    pub credentials: CredentialSettings,
}

impl ServerSettings {
    /// Where plain CoAP is served.
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.bind, self.port)
    }

    /// Where DTLS is served.
    pub const fn secure_address(&self) -> SocketAddr {
        SocketAddr::new(self.secure_bind, self.secure_port)
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            id: 123,
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 5685,
            secure_bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secure_port: 5686,
            credentials: CredentialSettings::default(),
        }
    }
}

/// `lwm2m.dtls`: how devices are spoken to on the DTLS ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DtlsSettings {
    /// How long a flight of a handshake waits for its answer before it is sent again, milliseconds; twice as long each time.
    /// Default 9000. Upstream: `LWM2M_DTLS_RETRANSMISSION_TIMEOUT_MS`.
    pub retransmission_ms: u64,
    /// Bytes of the connection ids that devices are given, at most 20; 0: they may use theirs; blank: none. With 1 to 4 they
    /// cannot say which worker is meant, so that one worker serves the DTLS ports. Default 8.
    /// Upstream: `LWM2M_DTLS_CONNECTION_ID_LENGTH`.
    #[serde(deserialize_with = "blank_is_none")]
    pub connection_id_length: Option<u8>,
    /// Whether cipher suites with CBC are left out. Default false. Upstream: `LWM2M_RECOMMENDED_CIPHERS`.
    pub recommended_ciphers: bool,
    /// Whether the suites TLS_ECDHE_PSK are spoken, which have forward secrecy with a pre-shared key. Default false.
    pub ecdhe_psk: bool,
    /// Whether AES-128-GCM is spoken with pre-shared keys. Default false.
    pub psk_gcm: bool,
    /// Whether the extended master secret (RFC 7627) is `required`, `preferred` or `off`. Devices with old firmware do not
    /// know it. Default `preferred`.
    pub extended_master_secret: dtls::ExtendedMasterSecret,
    /// Whether an unknown identity is met as a wrong key is, with silence, so that nobody finds out which there are.
    /// Default false: it gets alert 115.
    pub hide_unknown_identity: bool,
    /// Whether certificates of devices may be out of date. Default false.
    /// Upstream: `TB_LWM2M_SERVER_SECURITY_SKIP_VALIDITY_CHECK_FOR_CLIENT_CERT`.
    pub skip_validity_check: bool,
    /// Associations with devices at a time. Default 150000.
    pub max_associations: usize,
}

impl DtlsSettings {
    /// As the engine wants them, for the process with this ordinal.
    pub fn config(&self, node: u8) -> dtls::Config {
        dtls::Config {
            node,
            connection_id_length: self.connection_id_length,
            recommended_ciphers: self.recommended_ciphers,
            ecdhe_psk: self.ecdhe_psk,
            psk_gcm: self.psk_gcm,
            extended_master_secret: self.extended_master_secret,
            hide_unknown_identity: self.hide_unknown_identity,
            skip_validity_check: self.skip_validity_check,
            retransmission_timeout: Duration::from_millis(self.retransmission_ms),
            max_associations: self.max_associations,
            ..dtls::Config::default()
        }
    }
}

impl Default for DtlsSettings {
    fn default() -> Self {
        Self {
            retransmission_ms: 9000,
            connection_id_length: Some(8),
            recommended_ciphers: false,
            ecdhe_psk: false,
            psk_gcm: false,
            extended_master_secret: dtls::ExtendedMasterSecret::Preferred,
            hide_unknown_identity: false,
            skip_validity_check: false,
            max_associations: 150_000,
        }
    }
}

/// A number, or blank for none.
fn blank_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Length {
        Number(u8),
        Text(String),
    }
    match Length::deserialize(deserializer)? {
        Length::Number(number) => Ok(Some(number)),
        Length::Text(text) if text.trim().is_empty() => Ok(None),
        Length::Text(text) => match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(de::Error::custom(
                "expected a number from 0 to 20, or nothing",
            )),
        },
    }
}

/// `lwm2m.bootstrap`: where devices reach the bootstrap server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapSettings {
    /// Whether to run the bootstrap server. Default true. Upstream: `LWM2M_ENABLED_BS`.
    pub enabled: bool,
    /// Short server id of the bootstrap account: a bootstrap server has none, so it has no effect. Default 111.
    /// Upstream: `LWM2M_SERVER_ID_BS`.
    pub id: u16,
    /// Address of the plain CoAP port. Default `0.0.0.0`. Upstream: `LWM2M_BS_BIND_ADDRESS`.
    pub bind: IpAddr,
    /// Plain CoAP port; 0 = any free one. Default 5687. Upstream: `LWM2M_BS_BIND_PORT`.
    pub port: u16,
    /// Whether a device without security may be given keys for its servers, which anybody on the way can read then.
    /// Default: as upstream true with a platform core, false in embedded mode.
    pub allow_secrets_over_nosec: Option<bool>,
    /// Address of the DTLS port. Default `0.0.0.0`. Upstream: `LWM2M_BS_SECURITY_BIND_ADDRESS`.
    pub secure_bind: IpAddr,
    /// DTLS port; 0 = any free one. Default 5688. Upstream: `LWM2M_BS_SECURITY_BIND_PORT`.
    pub secure_port: u16,
    /// The bootstrap server's key and certificates.
    pub credentials: CredentialSettings,
}

impl BootstrapSettings {
    /// Where plain CoAP is served, if it is.
    pub fn address(&self) -> Option<SocketAddr> {
        self.enabled.then(|| SocketAddr::new(self.bind, self.port))
    }

    /// Where DTLS is served, if it is.
    pub fn secure_address(&self) -> Option<SocketAddr> {
        self.enabled
            .then(|| SocketAddr::new(self.secure_bind, self.secure_port))
    }
}

impl Default for BootstrapSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            id: 111,
            bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 5687,
            allow_secrets_over_nosec: None,
            secure_bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            secure_port: 5688,
            credentials: CredentialSettings::default(),
        }
    }
}

/// `limits`: what one process takes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Registered endpoints; 0 = no limit. Default 0.
    pub max_endpoints: usize,
    /// Commands that wait for devices or are under way to them, in all; what exceeds it is answered with an error. Default
    /// 1000000.
    pub held_rpc: usize,
    /// Registers a second; what exceeds it is answered 5.03 with Max-Age. Default 2000.
    pub registrations_per_s: u32,
    /// Messages a second that one device may send, twice as many at once; what exceeds it is dropped, and a confirmable
    /// message comes again. 0 = no limit. Default 100.
    pub endpoint_messages_per_s: u32,
    /// Registers a minute of one endpoint name for which the platform is asked; what exceeds it is answered 4.29 with
    /// Max-Age. More come from two devices that share a name, or one that fails to keep its registration. 0 = no limit.
    /// Default 6.
    pub endpoint_registers_per_min: u32,
    /// Messages a second that peers without a registration may send from one network (IPv4 /24, IPv6 /48), for each
    /// worker; twice as many at once. What exceeds it is dropped. 0 = no limit. Default 1000.
    pub source_messages_per_s: u32,
}

impl LimitSettings {
    /// `endpoint_messages_per_s` as a limit.
    pub const fn endpoint_rate(&self) -> Option<RateLimit> {
        let rate = self.endpoint_messages_per_s;
        if rate == 0 {
            return None;
        }
        Some(RateLimit::new(rate, rate.saturating_mul(2)))
    }
}

/// `nosec`: devices without transport security.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoSecSettings {
    /// Whether a Register without transport security is answered 4.01 with Echo until the device has given the value back
    /// (RFC 9175), which proves its address. Few LwM2M clients can. Default false.
    pub echo: bool,
}

impl LimitSettings {
    /// The Registers a second that one of so many shards takes.
    pub(super) fn registrations_share(&self, shards: usize) -> u32 {
        let shards = u32::try_from(shards).unwrap_or(u32::MAX);
        self.registrations_per_s.div_ceil(shards.max(1))
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_endpoints: 0,
            held_rpc: HELD_RPC_LIMIT,
            registrations_per_s: 2000,
            endpoint_messages_per_s: 100,
            endpoint_registers_per_min: 6,
            source_messages_per_s: 1000,
        }
    }
}

/// `shutdown`: how long each part of a stop may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownSettings {
    /// Seconds between "not ready" and the first refusal, for load balancers to notice; embedded mode does not wait.
    /// Default 5.
    pub drain_delay_s: u64,
    /// Seconds for open exchanges with devices to finish. Default 10.
    pub inflight_timeout_s: u64,
    /// Seconds for the platform side to take what is pending. Default 15.
    pub flush_timeout_s: u64,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            drain_delay_s: 5,
            inflight_timeout_s: 10,
            flush_timeout_s: 15,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_workers_means_one_per_usable_cpu() {
        assert!(RuntimeSettings::default().worker_count() >= 1);
        let three = RuntimeSettings {
            workers: 3,
            ..RuntimeSettings::default()
        };
        assert_eq!(three.worker_count(), 3);
    }
}
