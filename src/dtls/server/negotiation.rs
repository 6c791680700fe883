//! What both hellos agree on (`dtls.md` sections 3.2 and 3.3).

use crate::dtls::{
    alert::Alert,
    cid::Cid,
    codec::numbers,
    config::{Config, ExtendedMasterSecret},
    credentials::Credentials,
    extension::{CertificateType, Extensions, UNCOMPRESSED, fragment_length},
    message::ClientHello,
    record::MAX_PLAINTEXT,
    suite::{Cipher, CipherSuite, KeyExchange},
};

/// What a handshake goes by.
#[derive(Clone, Debug)]
pub(super) struct Negotiated {
    pub(super) suite: CipherSuite,
    pub(super) extended_master_secret: bool,
    pub(super) encrypt_then_mac: bool,
    /// What each side's Certificate message has in it.
    pub(super) client_certificate: CertificateType,
    pub(super) server_certificate: CertificateType,
    /// What the client wants on our records.
    pub(super) peer_cid: Cid,
    /// The longest plaintext that we send, and that we take.
    pub(super) send_limit: u16,
    pub(super) receive_limit: u16,
    answers: Answers,
}

/// Which extensions of the client are answered; the answers follow from the rest.
#[derive(Clone, Debug, Default)]
struct Answers {
    client_certificate_type: bool,
    server_certificate_type: bool,
    connection_id: bool,
    max_fragment_length: Option<u8>,
    record_size_limit: bool,
    point_formats: bool,
    renegotiation: bool,
}

impl Negotiated {
    /// Chooses from what the client offers.
    pub(super) fn choose(
        hello: &ClientHello<'_>,
        config: &Config,
        credentials: Option<&Credentials>,
    ) -> Result<Self, Alert> {
        // The only place that knows of versions. Their numbers count down: a higher one is older.
        if hello.version.first() != Some(&254)
            || hello.version.last().is_none_or(|&minor| minor > 253)
        {
            return Err(Alert::ProtocolVersion);
        }
        if !hello.compression_methods.contains(&0) {
            return Err(Alert::IllegalParameter);
        }
        let offered = hello.extensions()?;
        let renegotiation = offered.renegotiation_info.is_some()
            || numbers(hello.cipher_suites).any(|suite| suite == RENEGOTIATION_SCSV);
        if offered
            .renegotiation_info
            .is_some_and(|info| !info.is_empty())
        {
            return Err(Alert::HandshakeFailure);
        }
        let extended_master_secret = match config.extended_master_secret {
            ExtendedMasterSecret::Required if !offered.extended_master_secret => {
                return Err(Alert::HandshakeFailure);
            }
            ExtendedMasterSecret::Required | ExtendedMasterSecret::Preferred => {
                offered.extended_master_secret
            }
            ExtendedMasterSecret::Off => false,
        };

        let has_credentials = credentials.is_some();
        let server_certificate = certificate_types(offered.server_certificate_types)
            .find(|kind| credentials.is_some_and(|credentials| credentials.has(*kind)));
        let client_certificate = certificate_types(offered.client_certificate_types).next();
        let curve = offered.allows_secp256r1() && offered.allows_uncompressed();
        let certificates = curve && offered.allows_ecdsa_sha256();
        let suite = CipherSuite::ALL.into_iter().find(|suite| {
            let possible = match suite.key_exchange() {
                KeyExchange::Psk => true,
                KeyExchange::EcdhePsk => curve,
                KeyExchange::EcdheEcdsa => {
                    certificates && server_certificate.is_some() && client_certificate.is_some()
                }
            };
            possible
                && suite.is_enabled(config, has_credentials)
                && numbers(hello.cipher_suites).any(|code| code == suite.code())
        });
        let suite = suite.ok_or(Alert::HandshakeFailure)?;
        let shows_certificates = suite.key_exchange() == KeyExchange::EcdheEcdsa;

        let mut answers = Answers {
            client_certificate_type: shows_certificates
                && offered.client_certificate_types.is_some(),
            server_certificate_type: shows_certificates
                && offered.server_certificate_types.is_some(),
            connection_id: offered.connection_id.is_some() && config.connection_id_length.is_some(),
            point_formats: suite.key_exchange() != KeyExchange::Psk
                && offered.point_formats.is_some(),
            renegotiation,
            ..Answers::default()
        };
        let mut send_limit = MAX_PLAINTEXT;
        let mut receive_limit = MAX_PLAINTEXT;
        if let Some(code) = offered.max_fragment_length {
            let length = fragment_length(code).ok_or(Alert::IllegalParameter)?;
            if offered.record_size_limit.is_none() {
                answers.max_fragment_length = Some(code);
                (send_limit, receive_limit) = (length, length);
            }
        }
        if let Some(limit) = offered.record_size_limit {
            if limit < MIN_RECORD_SIZE_LIMIT {
                return Err(Alert::IllegalParameter);
            }
            answers.record_size_limit = true;
            send_limit = limit.min(MAX_PLAINTEXT);
        }
        let peer_cid = match offered.connection_id {
            Some(id) => {
                let cid = Cid::new(id).ok_or(Alert::IllegalParameter)?;
                if answers.connection_id {
                    cid
                } else {
                    Cid::EMPTY
                }
            }
            None => Cid::EMPTY,
        };
        Ok(Self {
            suite,
            extended_master_secret,
            encrypt_then_mac: offered.encrypt_then_mac && suite.cipher() == Cipher::Cbc,
            client_certificate: client_certificate.unwrap_or(CertificateType::X509),
            server_certificate: server_certificate.unwrap_or(CertificateType::X509),
            peer_cid,
            send_limit,
            receive_limit,
            answers,
        })
    }

    /// Whether the client's records are to carry a connection id of ours, if we use any.
    pub(super) const fn wants_own_cid(&self) -> bool {
        self.answers.connection_id
    }

    /// Calls `write` with the extensions of ServerHello.
    pub(super) fn with_extensions<R>(
        &self,
        own_cid: &Cid,
        write: impl FnOnce(Extensions<'_>) -> R,
    ) -> R {
        let client_certificate = [self.client_certificate as u8];
        let server_certificate = [self.server_certificate as u8];
        let answers = &self.answers;
        write(Extensions {
            max_fragment_length: answers.max_fragment_length,
            point_formats: answers.point_formats.then_some(&[UNCOMPRESSED]),
            client_certificate_types: answers
                .client_certificate_type
                .then_some(&client_certificate),
            server_certificate_types: answers
                .server_certificate_type
                .then_some(&server_certificate),
            encrypt_then_mac: self.encrypt_then_mac,
            extended_master_secret: self.extended_master_secret,
            record_size_limit: answers.record_size_limit.then_some(MAX_PLAINTEXT),
            connection_id: answers.connection_id.then_some(own_cid.as_bytes()),
            renegotiation_info: answers.renegotiation.then_some(&[]),
            groups: None,
            signature_algorithms: None,
        })
    }
}

/// The first of the client's types that will do; X.509 when it names none (RFC 7250 section 4.1).
fn certificate_types(offered: Option<&[u8]>) -> impl Iterator<Item = CertificateType> {
    let codes = offered.unwrap_or(&[CertificateType::X509 as u8]).iter();
    codes.filter_map(|&code| CertificateType::from_code(code))
}

/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV
pub(in crate::dtls) const RENEGOTIATION_SCSV: u16 = 0x00ff;
/// RFC 8449 section 4
const MIN_RECORD_SIZE_LIMIT: u16 = 64;

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    fn negotiate(
        suites: &[u16],
        offered: Extensions<'_>,
        config: &Config,
    ) -> Result<Negotiated, Alert> {
        negotiate_with(suites, offered, config, None)
    }

    fn negotiate_with(
        suites: &[u16],
        offered: Extensions<'_>,
        config: &Config,
        credentials: Option<&Credentials>,
    ) -> Result<Negotiated, Alert> {
        let suites: Vec<u8> = suites
            .iter()
            .flat_map(|suite| suite.to_be_bytes())
            .collect();
        let body = ClientHello::new([1; 32], &[], &suites).write(&offered);
        let hello = ClientHello::read(&body)?;
        Negotiated::choose(&hello, config, credentials)
    }

    fn answers(negotiated: &Negotiated) -> Vec<u8> {
        let mut out = Vec::new();
        negotiated.with_extensions(&Cid::new(b"own").expect("short"), |extensions| {
            extensions.write(&mut out, crate::dtls::extension::Hello::Server);
        });
        out
    }

    fn raw_public_key() -> Credentials {
        let key = KeyPair::generate().expect("a key");
        Credentials::new(vec![], key.serialized_der()).expect("a key")
    }

    #[test]
    fn the_server_prefers_its_own_order() {
        let config = Config::default();
        let none = Extensions::default();
        let suite = |suites: &[u16]| {
            negotiate(suites, none, &config).map(|negotiated| negotiated.suite.code())
        };
        assert_eq!(suite(&[0xc0ae, 0x00ae, 0x0a0a, 0xc0a8]), Ok(0xc0a8));
        assert_eq!(suite(&[0xc0a4, 0x00ae]), Ok(0x00ae));
        assert_eq!(
            suite(&[0xc0ae, 0xc037, 0x1301]),
            Err(Alert::HandshakeFailure)
        );
    }

    #[test]
    fn s22_recommended_ciphers_refuse_a_client_with_cbc_only() {
        let config = Config {
            recommended_ciphers: true,
            ..Config::default()
        };
        let suite = |suites: &[u16]| {
            negotiate(suites, Extensions::default(), &config).map(|own| own.suite.code())
        };
        assert_eq!(suite(&[0x00ae, 0xc023]), Err(Alert::HandshakeFailure));
        assert_eq!(suite(&[0x00ae, 0xc0a8]), Ok(0xc0a8));
    }

    #[test]
    fn certificates_need_curve_hash_and_types_in_common() {
        let credentials = raw_public_key();
        let config = Config::default();
        let rpk = Extensions {
            client_certificate_types: Some(&[0, 2]),
            server_certificate_types: Some(&[0, 2]),
            ..Extensions::default()
        };
        let choose = |offered| negotiate_with(&[0xc0ae], offered, &config, Some(&credentials));
        let chosen = choose(rpk).expect("all in common");
        assert_eq!(chosen.client_certificate, CertificateType::X509);
        assert_eq!(chosen.server_certificate, CertificateType::RawPublicKey);
        assert_eq!(
            answers(&chosen),
            b"\x00\x0a\x00\x13\x00\x01\x00\x00\x14\x00\x01\x02"
        );
        for offered in [
            Extensions {
                groups: Some(&[0, 29]),
                ..rpk
            },
            Extensions {
                point_formats: Some(&[1]),
                ..rpk
            },
            Extensions {
                signature_algorithms: Some(&[8, 4]),
                ..rpk
            },
            Extensions {
                client_certificate_types: Some(&[1]),
                ..rpk
            },
            Extensions {
                server_certificate_types: None,
                ..rpk
            },
        ] {
            assert_eq!(choose(offered).map(|_| ()), Err(Alert::HandshakeFailure));
        }
        assert_eq!(
            negotiate(&[0xc0ae], rpk, &config).map(|_| ()),
            Err(Alert::HandshakeFailure)
        );
    }

    #[test]
    fn only_what_was_offered_is_answered() {
        let config = Config::default();
        let chosen = negotiate(&[0xc0a8], Extensions::default(), &config).expect("a suite");
        assert!(answers(&chosen).is_empty());
        let offered = Extensions {
            max_fragment_length: Some(1),
            point_formats: Some(&[0]),
            encrypt_then_mac: true,
            extended_master_secret: true,
            connection_id: Some(&[]),
            renegotiation_info: Some(&[]),
            client_certificate_types: Some(&[2]),
            ..Extensions::default()
        };
        let chosen = negotiate(&[0xc0a8], offered, &config).expect("a suite");
        assert_eq!(
            answers(&chosen),
            b"\x00\x16\x00\x01\x00\x01\x01\x00\x17\x00\x00\x00\x36\x00\x04\x03own\xff\x01\x00\x01\x00"
        );
        assert_eq!((chosen.send_limit, chosen.receive_limit), (512, 512));
        let chosen = negotiate(
            &[0x00ae, 0x00ff],
            Extensions {
                renegotiation_info: None,
                ..offered
            },
            &config,
        );
        let chosen = chosen.expect("a suite");
        assert!(chosen.encrypt_then_mac);
        assert!(answers(&chosen).ends_with(b"\xff\x01\x00\x01\x00"));
    }

    #[test]
    fn limits_and_ids_out_of_range_are_illegal() {
        let config = Config::default();
        let refused = |offered| negotiate(&[0xc0a8], offered, &config).map(|_| ());
        let none = Extensions::default();
        for offered in [
            Extensions {
                max_fragment_length: Some(5),
                ..none
            },
            Extensions {
                record_size_limit: Some(63),
                ..none
            },
            Extensions {
                connection_id: Some(&[0; 33]),
                ..none
            },
        ] {
            assert_eq!(refused(offered), Err(Alert::IllegalParameter));
        }
        assert_eq!(
            refused(Extensions {
                renegotiation_info: Some(&[1]),
                ..none
            }),
            Err(Alert::HandshakeFailure)
        );
        let both = Extensions {
            record_size_limit: Some(64),
            max_fragment_length: Some(1),
            ..none
        };
        let chosen = negotiate(&[0xc0a8], both, &config).expect("a suite");
        assert_eq!((chosen.send_limit, chosen.receive_limit), (64, 16384));
        assert_eq!(answers(&chosen), b"\x00\x06\x00\x1c\x00\x02\x40\x00");
    }

    #[test]
    fn versions_before_1_2_are_refused() {
        let version = |version| {
            let body = ClientHello {
                version,
                ..ClientHello::new([1; 32], &[], &[0xc0, 0xa8])
            };
            Negotiated::choose(&body, &Config::default(), None).map(|_| ())
        };
        assert_eq!(version([254, 253]), Ok(()));
        assert_eq!(version([254, 252]), Ok(()), "1.3 is served as 1.2");
        assert_eq!(version([254, 255]), Err(Alert::ProtocolVersion));
        assert_eq!(version([3, 3]), Err(Alert::ProtocolVersion));
    }

    #[test]
    fn the_extended_master_secret_is_required_preferred_or_off() {
        let with = Extensions {
            extended_master_secret: true,
            ..Extensions::default()
        };
        let used = |mode, offered| {
            let config = Config {
                extended_master_secret: mode,
                ..Config::default()
            };
            negotiate(&[0xc0a8], offered, &config).map(|chosen| chosen.extended_master_secret)
        };
        assert_eq!(used(ExtendedMasterSecret::Required, with), Ok(true));
        assert_eq!(
            used(ExtendedMasterSecret::Required, Extensions::default()),
            Err(Alert::HandshakeFailure)
        );
        assert_eq!(used(ExtendedMasterSecret::Preferred, with), Ok(true));
        assert_eq!(
            used(ExtendedMasterSecret::Preferred, Extensions::default()),
            Ok(false)
        );
        assert_eq!(used(ExtendedMasterSecret::Off, with), Ok(false));
    }
}
