//! What the bootstrap sessions of one shard share.

use std::sync::Arc;

use crate::{
    coap::{Bodies, Exchanges, Random, RateLimit, TransmissionParameters},
    platform::peer::PeerId,
};

/// What the bootstrap sessions of one shard share.
#[derive(Clone, Debug)]
pub struct BootstrapSessionSettings {
    /// Number of the service instance, in tokens.
    pub ordinal: u8,
    /// Number of the shard, in tokens.
    pub shard: u8,
    /// RFC 7252 section 4.8.
    pub coap: Arc<TransmissionParameters>,
    /// Bodies that are being put together, of all endpoints of the process.
    pub bodies: Bodies,
    /// What one device may send (`limits.endpoint_messages_per_s`); `None` = without limit.
    pub rate: Option<RateLimit>,
    /// The port at which devices reach the server, for the log.
    pub port: u16,
    /// Whether keys may be written to a device without security (`lwm2m.bootstrap.allow_secrets_over_nosec`).
    pub secrets_over_nosec: bool,
    /// Whether `transportLog` lines are written (`transport.log_enabled`).
    pub log_enabled: bool,
    /// Longest `transportLog` line, characters (`transport.log_max_length`).
    pub log_max_length: usize,
}

impl BootstrapSessionSettings {
    /// A message layer for one peer.
    pub(super) fn exchanges(&self, random: &mut Random) -> Exchanges<PeerId> {
        Exchanges::new(
            Arc::clone(&self.coap),
            self.bodies.clone(),
            random.seed(),
            [self.ordinal, self.shard],
        )
    }
}

impl Default for BootstrapSessionSettings {
    /// The first shard of the first instance; keys only to devices with security.
    fn default() -> Self {
        let coap = TransmissionParameters::default();
        Self {
            ordinal: 0,
            shard: 0,
            bodies: coap.bodies(),
            coap: Arc::new(coap),
            rate: None,
            port: 5687,
            secrets_over_nosec: false,
            log_enabled: true,
            log_max_length: 1024,
        }
    }
}
