//! The client's handshake (RFC 5246 section 7.3, RFC 6347 section 4.2).

use std::time::Instant;

use subtle::ConstantTimeEq as _;

use super::{ClientConfig, ClientCredential, ClientOutput, own_cid};
use crate::dtls::{
    alert::Alert,
    certificate::Certificate,
    channel::Channel,
    cid::Cid,
    codec::Reader,
    credentials::{Credentials, Ephemeral, is_signed},
    extension::{
        CertificateType, ECDSA_SECP256R1_SHA256, Extensions, SECP256R1, UNCOMPRESSED,
        fragment_length,
    },
    flight::{Flight, Retransmission},
    keys::{CLIENT_FINISHED, MasterSecret, Randoms, SERVER_FINISHED, Transcript},
    message::{
        ClientHello, ClientKeyExchange, DTLS_1_2, Fragment, MessageType, ServerHello,
        ServerKeyExchange, certificate_verify, read_certificate, read_certificate_request,
        read_hello_verify_request, whole,
    },
    random::{self, Random, SecretBytes},
    reassembly::{Reassembly, Whole},
    suite::{CipherSuite, KeyExchange},
};

/// A handshake in progress.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) retransmission: Retransmission,
    awaits: Awaits,
    randoms: Randoms,
    transcript: Transcript,
    reassembly: Reassembly,
    flight: Flight,
    expected: u16,
    next: u16,
    suite: CipherSuite,
    extended_master_secret: bool,
    encrypt_then_mac: bool,
    server_certificate: CertificateType,
    /// The server's key, once it has shown it.
    server_spki: Vec<u8>,
    server_point: Vec<u8>,
    is_certificate_requested: bool,
    master_secret: Option<MasterSecret>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaits {
    /// HelloVerifyRequest or ServerHello
    ServerHello,
    Certificate,
    ServerKeyExchange,
    /// CertificateRequest or ServerHelloDone
    ServerHelloDone,
    Finished,
}

/// What a message leads to.
#[derive(Debug)]
pub(super) enum Step {
    Wait,
    Transmit,
    Done {
        suite: CipherSuite,
        extended_master_secret: bool,
    },
}

impl Handshake {
    pub(super) fn new(now: Instant, config: &ClientConfig, random: &mut dyn Random) -> Self {
        let mut handshake = Self {
            retransmission: Retransmission::start(now, config.retransmission_timeout),
            awaits: Awaits::ServerHello,
            randoms: Randoms {
                client: random::array(random),
                server: [0; 32],
            },
            transcript: Transcript::new(),
            reassembly: Reassembly::default(),
            flight: Flight::default(),
            expected: 0,
            next: 0,
            suite: config
                .suites
                .first()
                .copied()
                .unwrap_or(CipherSuite::PskWithAes128Ccm8),
            extended_master_secret: false,
            encrypt_then_mac: false,
            server_certificate: CertificateType::X509,
            server_spki: Vec::new(),
            server_point: Vec::new(),
            is_certificate_requested: false,
            master_secret: None,
        };
        handshake.hello(config, &[]);
        handshake
    }

    /// Makes ClientHello the flight.
    fn hello(&mut self, config: &ClientConfig, cookie: &[u8]) {
        let mut suites: Vec<u8> = config
            .suites
            .iter()
            .flat_map(|suite| suite.code().to_be_bytes())
            .collect();
        suites.extend(crate::dtls::server::RENEGOTIATION_SCSV.to_be_bytes());
        let uses = |key_exchange| {
            config
                .suites
                .iter()
                .any(|suite| suite.key_exchange() == key_exchange)
        };
        let certificates = uses(KeyExchange::EcdheEcdsa);
        let curves = certificates || uses(KeyExchange::EcdhePsk);
        let types: Option<&[u8]> = match &config.credential {
            ClientCredential::RawPublicKey(_) => Some(&[CertificateType::RawPublicKey as u8]),
            ClientCredential::Certificate(_) | ClientCredential::PreSharedKey { .. } => None,
        };
        let body = ClientHello::new(self.randoms.client, cookie, &suites).write(&Extensions {
            max_fragment_length: config.max_fragment_length,
            groups: curves.then_some(&SECP256R1.to_be_bytes()),
            point_formats: curves.then_some(&[UNCOMPRESSED]),
            signature_algorithms: certificates.then_some(&ECDSA_SECP256R1_SHA256.to_be_bytes()),
            client_certificate_types: types,
            server_certificate_types: types,
            encrypt_then_mac: config.encrypt_then_mac,
            extended_master_secret: config.extended_master_secret,
            record_size_limit: config.record_size_limit,
            connection_id: config.connection_id.as_deref(),
            renegotiation_info: None,
        });
        self.flight = Flight::default();
        self.transcript = Transcript::new();
        self.add(MessageType::ClientHello, &body);
    }

    fn add(&mut self, message_type: MessageType, body: &[u8]) {
        self.transcript
            .add(self.flight.add(message_type, self.next, body));
        self.next = self.next.saturating_add(1);
    }

    /// Sends the flight, with fresh record numbers.
    pub(super) fn transmit(
        &self,
        channel: &mut Channel,
        config: &ClientConfig,
        random: &mut dyn Random,
    ) -> Vec<ClientOutput> {
        let mtu = self.retransmission.mtu(config.mtu);
        let datagrams = self.flight.datagrams(channel, mtu, random);
        datagrams
            .into_iter()
            .map(|datagram| ClientOutput::Transmit(datagram.into()))
            .collect()
    }

    /// Takes what a handshake record of this epoch has in it.
    pub(super) fn handle_record(
        &mut self,
        now: Instant,
        epoch: u16,
        content: &[u8],
        channel: &mut Channel,
        config: &ClientConfig,
    ) -> Result<Step, Alert> {
        let mut content = Reader::new(content);
        let mut is_repeated = false;
        while let Ok(fragment) = Fragment::read(&mut content) {
            if (fragment.message_type == MessageType::Finished as u8) != (epoch == 1) {
                continue;
            }
            if fragment.message_seq < self.expected {
                is_repeated = true;
            } else if self
                .reassembly
                .insert(&fragment, self.expected, MAX_MESSAGE)
                .is_err()
            {
                return Ok(Step::Wait);
            }
        }
        while let Some(message) = self.reassembly.take(self.expected) {
            is_repeated = false;
            match self.handle_message(now, &message, channel, config)? {
                Step::Wait => {}
                step @ (Step::Transmit | Step::Done { .. }) => return Ok(step),
            }
        }
        // The server repeats its flight: ours did not arrive.
        let again = is_repeated
            && self.awaits == Awaits::Finished
            && self.retransmission.admits_repetition(now);
        Ok(if again { Step::Transmit } else { Step::Wait })
    }

    fn handle_message(
        &mut self,
        now: Instant,
        message: &Whole,
        channel: &mut Channel,
        config: &ClientConfig,
    ) -> Result<Step, Alert> {
        let bytes = whole(message.message_type, message.message_seq, &message.body);
        let body = &message.body[..];
        self.expected = self
            .expected
            .checked_add(1)
            .ok_or(Alert::UnexpectedMessage)?;
        match (self.awaits, MessageType::from_code(message.message_type)) {
            (Awaits::ServerHello, Some(MessageType::HelloVerifyRequest)) => {
                let cookie = read_hello_verify_request(body)?;
                self.hello(config, cookie);
                self.retransmission = Retransmission::start(now, config.retransmission_timeout);
                Ok(Step::Transmit)
            }
            (Awaits::ServerHello, Some(MessageType::ServerHello)) => {
                self.transcript.add(&bytes);
                self.handle_server_hello(body, channel, config)?;
                Ok(Step::Wait)
            }
            (Awaits::Certificate, Some(MessageType::Certificate)) => {
                self.transcript.add(&bytes);
                let certificates = read_certificate(body, self.server_certificate)?;
                let leaf = *certificates.first().ok_or(Alert::BadCertificate)?;
                self.server_spki = match self.server_certificate {
                    CertificateType::RawPublicKey => leaf.to_vec(),
                    CertificateType::X509 => Certificate::read(leaf)
                        .ok_or(Alert::BadCertificate)?
                        .spki
                        .to_vec(),
                };
                if config
                    .server_spki
                    .as_ref()
                    .is_some_and(|expected| *expected != self.server_spki)
                {
                    return Err(Alert::BadCertificate);
                }
                self.awaits = Awaits::ServerKeyExchange;
                Ok(Step::Wait)
            }
            (
                Awaits::ServerKeyExchange | Awaits::ServerHelloDone,
                Some(MessageType::ServerKeyExchange),
            ) if self.server_point.is_empty() => {
                self.transcript.add(&bytes);
                let message = ServerKeyExchange::read(body, self.suite.key_exchange())?;
                if self.suite.key_exchange() == KeyExchange::EcdheEcdsa {
                    let signed = [
                        &self.randoms.client[..],
                        &self.randoms.server,
                        message.parameters,
                    ]
                    .concat();
                    if !is_signed(&self.server_spki, &signed, message.signature) {
                        return Err(Alert::DecryptError);
                    }
                }
                self.server_point = message.point.to_vec();
                self.awaits = Awaits::ServerHelloDone;
                Ok(Step::Wait)
            }
            (Awaits::ServerHelloDone, Some(MessageType::CertificateRequest)) => {
                self.transcript.add(&bytes);
                read_certificate_request(body)?;
                self.is_certificate_requested = true;
                Ok(Step::Wait)
            }
            (Awaits::ServerHelloDone, Some(MessageType::ServerHelloDone)) => {
                self.transcript.add(&bytes);
                self.answer(now, channel, config)?;
                Ok(Step::Transmit)
            }
            (Awaits::Finished, Some(MessageType::Finished)) => {
                let master_secret = self.master_secret.as_ref().ok_or(Alert::InternalError)?;
                let expected = master_secret.verify_data(SERVER_FINISHED, &self.transcript);
                if !bool::from(expected.as_slice().ct_eq(body)) {
                    return Err(Alert::DecryptError);
                }
                Ok(Step::Done {
                    suite: self.suite,
                    extended_master_secret: self.extended_master_secret,
                })
            }
            _ => Err(Alert::UnexpectedMessage),
        }
    }

    fn handle_server_hello(
        &mut self,
        body: &[u8],
        channel: &mut Channel,
        config: &ClientConfig,
    ) -> Result<(), Alert> {
        let hello = ServerHello::read(body)?;
        if hello.version != DTLS_1_2 {
            return Err(Alert::ProtocolVersion);
        }
        self.suite = CipherSuite::from_code(hello.cipher_suite)
            .filter(|suite| config.suites.contains(suite))
            .ok_or(Alert::IllegalParameter)?;
        self.randoms.server = hello.random;
        let answers = hello.extensions;
        self.extended_master_secret =
            answers.extended_master_secret && config.extended_master_secret;
        self.encrypt_then_mac = answers.encrypt_then_mac && config.encrypt_then_mac;
        if let Some(&[code]) = answers.server_certificate_types {
            self.server_certificate =
                CertificateType::from_code(code).ok_or(Alert::IllegalParameter)?;
        }
        if let Some(id) = answers
            .connection_id
            .filter(|_| config.connection_id.is_some())
        {
            channel.peer_cid = Cid::new(id).ok_or(Alert::IllegalParameter)?;
            channel.own_cid = own_cid(config);
        }
        if let Some(length) = answers.max_fragment_length.and_then(fragment_length) {
            (channel.limit, channel.receive_limit) = (length, length);
        }
        if let Some(limit) = answers.record_size_limit {
            channel.limit = channel.limit.min(limit);
            channel.receive_limit = config.record_size_limit.unwrap_or(channel.receive_limit);
        }
        self.awaits = match self.suite.key_exchange() {
            KeyExchange::EcdheEcdsa => Awaits::Certificate,
            KeyExchange::EcdhePsk => Awaits::ServerKeyExchange,
            KeyExchange::Psk => Awaits::ServerHelloDone,
        };
        Ok(())
    }

    /// Flight 5.
    fn answer(
        &mut self,
        now: Instant,
        channel: &mut Channel,
        config: &ClientConfig,
    ) -> Result<(), Alert> {
        self.flight = Flight::default();
        let certificate: Option<(&Credentials, CertificateType)> = match &config.credential {
            ClientCredential::RawPublicKey(own) => Some((own, CertificateType::RawPublicKey)),
            ClientCredential::Certificate(own) => Some((own, CertificateType::X509)),
            ClientCredential::PreSharedKey { .. } => None,
        };
        let certificate = certificate.filter(|_| self.is_certificate_requested);
        if let Some((own, kind)) = certificate {
            self.add(MessageType::Certificate, &own.certificate(kind));
        }
        let mut point = Vec::new();
        let mut shared = None;
        if !self.server_point.is_empty() {
            let ephemeral = Ephemeral::generate().ok_or(Alert::InternalError)?;
            point.clone_from(&ephemeral.point);
            shared = Some(
                ephemeral
                    .agree(&self.server_point)
                    .ok_or(Alert::IllegalParameter)?,
            );
        }
        let (identity, premaster) = match (&config.credential, shared) {
            (ClientCredential::PreSharedKey { identity, key }, shared) => (
                &identity[..],
                key.premaster(shared.as_ref().map(SecretBytes::as_bytes)),
            ),
            (ClientCredential::RawPublicKey(_) | ClientCredential::Certificate(_), shared) => {
                (&[][..], shared.ok_or(Alert::UnexpectedMessage)?)
            }
        };
        let message = ClientKeyExchange {
            identity,
            point: &point,
        };
        self.add(
            MessageType::ClientKeyExchange,
            &message.write(self.suite.key_exchange()),
        );
        let master_secret = if self.extended_master_secret {
            MasterSecret::extended(premaster.as_bytes(), self.transcript.digest().as_ref())
        } else {
            MasterSecret::plain(premaster.as_bytes(), &self.randoms)
        };
        if let Some((own, _)) = certificate {
            let signature = own
                .sign_digest(&self.transcript.digest())
                .ok_or(Alert::InternalError)?;
            self.add(
                MessageType::CertificateVerify,
                &certificate_verify(&signature),
            );
        }
        let (client, server) =
            master_secret.protections(self.suite, self.encrypt_then_mac, &self.randoms);
        channel.set_keys(client, server);
        let verify_data = master_secret.verify_data(CLIENT_FINISHED, &self.transcript);
        self.transcript
            .add(self.flight.add_finished(self.next, &verify_data));
        self.master_secret = Some(master_secret);
        self.retransmission = Retransmission::start(now, config.retransmission_timeout);
        self.awaits = Awaits::Finished;
        Ok(())
    }
}

const MAX_MESSAGE: usize = 8192;
