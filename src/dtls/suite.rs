//! The cipher suites (RFC 4279, 5289, 5487, 5489, 6655, 7251, 8442). All of them derive keys with SHA-256.

use super::config::Config;

/// A cipher suite that can be negotiated, in the order in which the server prefers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum CipherSuite {
    PskWithAes128Ccm8,
    PskWithAes128CbcSha256,
    EcdheEcdsaWithAes128Ccm8,
    EcdheEcdsaWithAes128CbcSha256,
    EcdhePskWithAes128CbcSha256,
    EcdhePskWithAes128Ccm8Sha256,
    EcdheEcdsaWithAes128GcmSha256,
    PskWithAes128Ccm,
    EcdheEcdsaWithAes128Ccm,
    PskWithAes128GcmSha256,
    EcdhePskWithAes128GcmSha256,
}

impl CipherSuite {
    /// All of them, in the order of preference.
    pub const ALL: [Self; 11] = [
        Self::PskWithAes128Ccm8,
        Self::PskWithAes128CbcSha256,
        Self::EcdheEcdsaWithAes128Ccm8,
        Self::EcdheEcdsaWithAes128CbcSha256,
        Self::EcdhePskWithAes128CbcSha256,
        Self::EcdhePskWithAes128Ccm8Sha256,
        Self::EcdheEcdsaWithAes128GcmSha256,
        Self::PskWithAes128Ccm,
        Self::EcdheEcdsaWithAes128Ccm,
        Self::PskWithAes128GcmSha256,
        Self::EcdhePskWithAes128GcmSha256,
    ];

    /// The suite with this code point.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.code() == code)
    }

    /// The code point in the registry of IANA.
    pub const fn code(self) -> u16 {
        match self {
            Self::PskWithAes128Ccm8 => 0xc0a8,
            Self::PskWithAes128CbcSha256 => 0x00ae,
            Self::EcdheEcdsaWithAes128Ccm8 => 0xc0ae,
            Self::EcdheEcdsaWithAes128CbcSha256 => 0xc023,
            Self::EcdhePskWithAes128CbcSha256 => 0xc037,
            Self::EcdhePskWithAes128Ccm8Sha256 => 0xd003,
            Self::EcdheEcdsaWithAes128GcmSha256 => 0xc02b,
            Self::PskWithAes128Ccm => 0xc0a4,
            Self::EcdheEcdsaWithAes128Ccm => 0xc0ac,
            Self::PskWithAes128GcmSha256 => 0x00a8,
            Self::EcdhePskWithAes128GcmSha256 => 0xd001,
        }
    }

    /// The name in the registry of IANA.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PskWithAes128Ccm8 => "TLS_PSK_WITH_AES_128_CCM_8",
            Self::PskWithAes128CbcSha256 => "TLS_PSK_WITH_AES_128_CBC_SHA256",
            Self::EcdheEcdsaWithAes128Ccm8 => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
            Self::EcdheEcdsaWithAes128CbcSha256 => "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
            Self::EcdhePskWithAes128CbcSha256 => "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256",
            Self::EcdhePskWithAes128Ccm8Sha256 => "TLS_ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
            Self::EcdheEcdsaWithAes128GcmSha256 => "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Self::PskWithAes128Ccm => "TLS_PSK_WITH_AES_128_CCM",
            Self::EcdheEcdsaWithAes128Ccm => "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
            Self::PskWithAes128GcmSha256 => "TLS_PSK_WITH_AES_128_GCM_SHA256",
            Self::EcdhePskWithAes128GcmSha256 => "TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256",
        }
    }

    pub(super) const fn key_exchange(self) -> KeyExchange {
        match self {
            Self::PskWithAes128Ccm8
            | Self::PskWithAes128CbcSha256
            | Self::PskWithAes128Ccm
            | Self::PskWithAes128GcmSha256 => KeyExchange::Psk,
            Self::EcdhePskWithAes128CbcSha256
            | Self::EcdhePskWithAes128Ccm8Sha256
            | Self::EcdhePskWithAes128GcmSha256 => KeyExchange::EcdhePsk,
            Self::EcdheEcdsaWithAes128Ccm8
            | Self::EcdheEcdsaWithAes128CbcSha256
            | Self::EcdheEcdsaWithAes128GcmSha256
            | Self::EcdheEcdsaWithAes128Ccm => KeyExchange::EcdheEcdsa,
        }
    }

    pub(super) const fn cipher(self) -> Cipher {
        match self {
            Self::PskWithAes128Ccm8
            | Self::EcdheEcdsaWithAes128Ccm8
            | Self::EcdhePskWithAes128Ccm8Sha256 => Cipher::Ccm8,
            Self::PskWithAes128Ccm | Self::EcdheEcdsaWithAes128Ccm => Cipher::Ccm,
            Self::PskWithAes128GcmSha256
            | Self::EcdheEcdsaWithAes128GcmSha256
            | Self::EcdhePskWithAes128GcmSha256 => Cipher::Gcm,
            Self::PskWithAes128CbcSha256
            | Self::EcdheEcdsaWithAes128CbcSha256
            | Self::EcdhePskWithAes128CbcSha256 => Cipher::Cbc,
        }
    }

    /// Whether the server speaks it.
    pub(super) fn is_enabled(self, config: &Config, has_credentials: bool) -> bool {
        let by_key_exchange = match self.key_exchange() {
            KeyExchange::Psk => true,
            KeyExchange::EcdhePsk => config.ecdhe_psk,
            KeyExchange::EcdheEcdsa => has_credentials,
        };
        let by_cipher = match (self.cipher(), self.key_exchange()) {
            (Cipher::Cbc, _) => !config.recommended_ciphers,
            (Cipher::Gcm, KeyExchange::Psk | KeyExchange::EcdhePsk) => config.psk_gcm,
            (Cipher::Gcm | Cipher::Ccm | Cipher::Ccm8, _) => true,
        };
        by_key_exchange && by_cipher
    }
}

/// How both sides come to a premaster secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyExchange {
    Psk,
    EcdhePsk,
    EcdheEcdsa,
}

/// How records are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    /// AES-128-CCM with a tag of 8 bytes.
    Ccm8,
    /// AES-128-CCM with a tag of 16 bytes.
    Ccm,
    /// AES-128-GCM.
    Gcm,
    /// AES-128-CBC with HMAC-SHA256, in the order that encrypt_then_mac says.
    Cbc,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enabled(config: &Config, has_credentials: bool) -> Vec<u16> {
        CipherSuite::ALL
            .into_iter()
            .filter(|suite| suite.is_enabled(config, has_credentials))
            .map(CipherSuite::code)
            .collect()
    }

    #[test]
    fn suites_without_and_with_server_credentials() {
        let config = Config::default();
        assert_eq!(enabled(&config, false), [0xc0a8, 0x00ae, 0xc0a4]);
        assert_eq!(
            enabled(&config, true),
            [0xc0a8, 0x00ae, 0xc0ae, 0xc023, 0xc02b, 0xc0a4, 0xc0ac]
        );
    }

    #[test]
    fn recommended_ciphers_are_without_cbc() {
        let config = Config {
            recommended_ciphers: true,
            ecdhe_psk: true,
            psk_gcm: true,
            ..Config::default()
        };
        assert_eq!(
            enabled(&config, true),
            [
                0xc0a8, 0xc0ae, 0xd003, 0xc02b, 0xc0a4, 0xc0ac, 0x00a8, 0xd001
            ]
        );
    }

    #[test]
    fn codes_are_read_back() {
        assert!(
            CipherSuite::ALL
                .iter()
                .all(|&suite| CipherSuite::from_code(suite.code()) == Some(suite))
        );
        assert_eq!(CipherSuite::from_code(0x00ff), None);
    }
}
