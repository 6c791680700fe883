//! Transmission parameters (RFC 7252 section 4.8).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    blockwise::{Block, Bodies},
    message::Message,
    random::Random,
};

/// How patiently messages are sent and how long their ids are remembered.
///
/// The lifetimes are settings of their own and not derived from `max_retransmit`: the platform's value of 10
/// retransmissions would make EXCHANGE_LIFETIME almost an hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TransmissionParameters {
    /// ACK_TIMEOUT: the shortest wait for the first acknowledgement, in milliseconds. Default 2000.
    pub ack_timeout_ms: u64,
    /// ACK_RANDOM_FACTOR: the longest first wait as a multiple of `ack_timeout_ms`, at least 1. Default 1.5.
    pub ack_random_factor: f64,
    /// MAX_RETRANSMIT: how often a confirmable message is repeated. Default 4; ThingsBoard uses 10.
    pub max_retransmit: u8,
    /// NSTART: requests that may be outstanding to one device. Default 1. Whoever queues requests keeps it.
    pub nstart: u8,
    /// EXCHANGE_LIFETIME: how long the id of a confirmable message is remembered, in milliseconds. Default 247000.
    pub exchange_lifetime_ms: u64,
    /// NON_LIFETIME: how long the id of a non-confirmable message is remembered, in milliseconds. Default 145000.
    pub non_lifetime_ms: u64,
    /// How long a confirmable request waits for its answer before it is acknowledged without one, in milliseconds;
    /// must be below the device's ACK_TIMEOUT. Default 1500.
    pub separate_response_after_ms: u64,
    /// How many message ids are remembered for one device. Default 32.
    pub dedup_ring: usize,
    /// How many pings of one device are answered per second. Default 10.
    pub pings_per_second: u32,
    /// The largest block that is sent and asked for, in bytes: 16, 32, 64, 128, 256, 512 or 1024; another number means the
    /// next lower one. Default 1024.
    pub preferred_block_size_bytes: u16,
    /// The longest body of a request of a device that is put together from blocks, in bytes. Default 65536.
    pub max_body_bytes: usize,
    /// The longest body of a Send that is put together from blocks, in bytes. Default 1048576.
    pub max_send_body_bytes: usize,
    /// The longest response or notification that is fetched in blocks, in bytes. Default 1048576.
    pub max_response_body_bytes: usize,
    /// Memory for the bodies of all devices that are being put together, in bytes. Default 67108864.
    pub body_budget_bytes: usize,
    /// How long a body waits for its next block, in milliseconds. Default 300000.
    pub body_lifetime_ms: u64,
}

impl TransmissionParameters {
    /// ACK_TIMEOUT
    pub const fn ack_timeout(&self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms)
    }

    /// A first retransmission timeout: ACK_TIMEOUT times a random factor from 1 to ACK_RANDOM_FACTOR (section 4.2).
    pub fn initial_timeout(&self, random: &mut Random) -> Duration {
        let longest = scale(self.ack_timeout_ms, self.ack_random_factor);
        Duration::from_millis(
            random.uniform(self.ack_timeout_ms..=longest.max(self.ack_timeout_ms)),
        )
    }

    /// MAX_TRANSMIT_SPAN: the longest time from the first transmission to the last one.
    pub fn max_transmit_span(&self) -> Duration {
        self.span(self.max_retransmit.into())
    }

    /// MAX_TRANSMIT_WAIT: the longest time from the first transmission to giving up.
    pub fn max_transmit_wait(&self) -> Duration {
        self.span(u32::from(self.max_retransmit).saturating_add(1))
    }

    /// EXCHANGE_LIFETIME
    pub const fn exchange_lifetime(&self) -> Duration {
        Duration::from_millis(self.exchange_lifetime_ms)
    }

    /// NON_LIFETIME
    pub const fn non_lifetime(&self) -> Duration {
        Duration::from_millis(self.non_lifetime_ms)
    }

    /// The time after which a confirmable request is acknowledged without its answer.
    pub const fn separate_response_after(&self) -> Duration {
        Duration::from_millis(self.separate_response_after_ms)
    }

    /// The SZX of `preferred_block_size_bytes`, 0 to 6.
    pub fn preferred_szx(&self) -> u8 {
        let size = usize::from(self.preferred_block_size_bytes);
        (0..=Block::MAX_SZX)
            .rev()
            .find(|&szx| Block::with_szx(szx).size() <= size)
            .unwrap_or(0)
    }

    /// How long the body of a request may be.
    pub fn max_body(&self, request: &Message) -> usize {
        if request.uri_path().eq(["dp"]) {
            self.max_send_body_bytes
        } else {
            self.max_body_bytes
        }
    }

    /// An empty store with these limits for the bodies of many devices.
    pub fn bodies(&self) -> Bodies {
        Bodies::new(
            self.body_budget_bytes,
            Duration::from_millis(self.body_lifetime_ms),
        )
    }

    /// The sum of `timeouts` doubling timeouts, each as long as it can be.
    fn span(&self, timeouts: u32) -> Duration {
        let doublings = 1_u64
            .checked_shl(timeouts)
            .unwrap_or(u64::MAX)
            .saturating_sub(1);
        Duration::from_millis(scale(
            self.ack_timeout_ms.saturating_mul(doublings),
            self.ack_random_factor,
        ))
    }
}

impl Default for TransmissionParameters {
    fn default() -> Self {
        Self {
            ack_timeout_ms: 2000,
            ack_random_factor: 1.5,
            max_retransmit: 4,
            nstart: 1,
            exchange_lifetime_ms: 247_000,
            non_lifetime_ms: 145_000,
            separate_response_after_ms: 1500,
            dedup_ring: 32,
            pings_per_second: 10,
            preferred_block_size_bytes: 1024,
            max_body_bytes: 64 << 10,
            max_send_body_bytes: 1 << 20,
            max_response_body_bytes: 1 << 20,
            body_budget_bytes: 64 << 20,
            body_lifetime_ms: 300_000,
        }
    }
}

/// `milliseconds` times `factor`, saturating; a factor that is no number counts as 0.
fn scale(milliseconds: u64, factor: f64) -> u64 {
    (milliseconds as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_times_are_those_of_the_rfc() {
        let parameters = TransmissionParameters::default();
        assert_eq!(parameters.max_transmit_span(), Duration::from_secs(45));
        assert_eq!(parameters.max_transmit_wait(), Duration::from_secs(93));
    }

    #[test]
    fn the_platform_preset_changes_no_lifetime() {
        let preset = TransmissionParameters {
            max_retransmit: 10,
            ..TransmissionParameters::default()
        };
        assert_eq!(preset.max_transmit_span(), Duration::from_secs(3069));
        assert_eq!(preset.max_transmit_wait(), Duration::from_secs(6141));
        assert_eq!(preset.exchange_lifetime(), Duration::from_secs(247));
    }

    #[test]
    fn c07_first_timeout_lies_between_ack_timeout_and_its_random_factor() {
        let parameters = TransmissionParameters::default();
        let mut random = Random::from_seed([3; 32]);
        let draws: Vec<_> = (0..1000)
            .map(|_| parameters.initial_timeout(&mut random))
            .collect();
        let (least, most) = (draws.iter().min(), draws.iter().max());
        assert!(
            least >= Some(&Duration::from_millis(2000))
                && least < Some(&Duration::from_millis(2100))
        );
        assert!(
            most <= Some(&Duration::from_millis(3000)) && most > Some(&Duration::from_millis(2900))
        );
    }

    #[test]
    fn b16_the_preferred_block_size_is_a_power_of_two_up_to_1024() {
        let szx = |bytes| {
            let parameters = TransmissionParameters {
                preferred_block_size_bytes: bytes,
                ..TransmissionParameters::default()
            };
            parameters.preferred_szx()
        };
        assert_eq!(
            [0, 16, 31, 32, 512, 1023, 1024, 4096].map(szx),
            [0, 0, 0, 1, 5, 5, 6, 6]
        );
        assert_eq!(TransmissionParameters::default().preferred_szx(), 6);
    }

    #[test]
    fn absurd_settings_do_not_overflow() {
        let parameters = TransmissionParameters {
            ack_timeout_ms: u64::MAX,
            ack_random_factor: f64::NAN,
            max_retransmit: 255,
            ..TransmissionParameters::default()
        };
        parameters.initial_timeout(&mut Random::from_seed([0; 32]));
        parameters.max_transmit_wait();
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let read = serde_json::from_str::<TransmissionParameters>;
        assert_eq!(
            read(r#"{"max_retransmit": 10}"#).unwrap().max_retransmit,
            10
        );
        assert!(read(r#"{"max_retransmits": 10}"#).is_err());
    }
}
