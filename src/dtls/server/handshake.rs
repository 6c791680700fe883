//! One handshake, from the hello with a good cookie to the client's Finished (`dtls.md` sections 4.2 and 4.3).
//!
//! Each message is taken in its turn and only in its turn. The handshake parks when it needs a credential: what comes in
//! the meantime is kept within bounds or dropped, and nothing is sent.

use std::time::Instant;

use aws_lc_rs::digest::Digest;
use rustls_pki_types::UnixTime;
use subtle::ConstantTimeEq as _;

use super::{core::Core, negotiation::Negotiated};
use crate::dtls::{
    alert::Alert,
    certificate::{Certificate, fingerprint, p256_point},
    channel::Channel,
    cid::Cid,
    codec::Reader,
    credentials::{Ephemeral, is_digest_signed},
    event::{CertificateInfo, CredentialQuery, Output, PeerAddress, Principal, PrincipalTag},
    extension::CertificateType,
    flight::{Flight, Retransmission},
    keys::{CLIENT_FINISHED, MasterSecret, PreSharedKey, Randoms, SERVER_FINISHED, Transcript},
    message::{
        ClientHello, ClientKeyExchange, DTLS_1_2, Fragment, MessageType, ServerHello,
        certificate_request, ecdh_parameters, psk_server_key_exchange, read_certificate,
        read_certificate_verify, signed_server_key_exchange, whole,
    },
    random::{self, SecretBytes},
    reassembly::{Reassembly, Whole},
    stats::count,
    suite::{CipherSuite, KeyExchange},
};

/// A handshake in progress.
#[derive(Debug)]
pub(super) struct Handshake {
    /// Where the client is.
    pub(super) peer: PeerAddress,
    /// Where its hello came from.
    pub(super) began_at: PeerAddress,
    /// When.
    pub(super) began: Instant,
    pub(super) channel: Channel,
    pub(super) awaits: Awaits,
    /// Records of epoch 1 that came before the keys; at most [`MAX_HELD`], [`MAX_HELD_BYTES`] together.
    pub(super) held: Vec<Vec<u8>>,
    /// When it has taken too long.
    pub(super) deadline: Instant,
    pub(super) retransmission: Retransmission,
    /// A record or Finished came that was not made with the key.
    pub(super) saw_forgery: bool,
    /// What the owner calls the client, once it accepted it.
    pub(super) tag: Option<PrincipalTag>,
    negotiated: Negotiated,
    randoms: Randoms,
    transcript: Transcript,
    reassembly: Reassembly,
    flight: Flight,
    /// The number of the client's next message, and of ours.
    expected: u16,
    next: u16,
    ephemeral: Option<Ephemeral>,
    /// Of the key exchange: with ECDHE_PSK until the key is known.
    shared_point: Option<SecretBytes>,
    /// Over all messages up to ClientKeyExchange.
    session_hash: Option<Digest>,
    master_secret: Option<MasterSecret>,
    /// The client's certificates as sent, leaf first, or its SubjectPublicKeyInfo.
    certificates: Vec<Vec<u8>>,
    pub(super) query: Option<CredentialQuery>,
}

/// A ClientHello as it came.
#[derive(Debug)]
pub(super) struct ReceivedHello<'a> {
    /// The number of its record.
    pub(super) record: u64,
    pub(super) fragment: Fragment<'a>,
    pub(super) hello: ClientHello<'a>,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Certificate
    Certificate,
    /// ClientKeyExchange
    ClientKeyExchange,
    /// CertificateVerify
    CertificateVerify,
    /// The owner's answer, since this time; when it was asked.
    Credential {
        since: Instant,
        asked: Option<Instant>,
    },
    /// Finished
    Finished,
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More is to come.
    Wait,
    /// [`Handshake::query`] is to be answered.
    Ask,
    /// Both sides are done.
    Done,
}

impl Handshake {
    /// Takes the hello with a good cookie and answers it.
    pub(super) fn new(
        now: Instant,
        peer: PeerAddress,
        received: &ReceivedHello<'_>,
        negotiated: Negotiated,
        own_cid: Cid,
        core: &mut Core,
    ) -> Result<Self, Alert> {
        let ReceivedHello {
            record,
            fragment,
            hello,
        } = received;
        let mut channel = Channel::new(*record);
        channel.peer_cid = negotiated.peer_cid.clone();
        channel.own_cid = own_cid;
        channel.limit = negotiated.send_limit;
        channel.receive_limit = negotiated.receive_limit;
        let randoms = Randoms {
            client: hello.random,
            server: random::array(&mut *core.random),
        };
        let mut transcript = Transcript::new();
        transcript.add(&whole(
            fragment.message_type,
            fragment.message_seq,
            fragment.body,
        ));
        let mut handshake = Self {
            peer,
            began_at: peer,
            began: now,
            channel,
            awaits: Awaits::ClientKeyExchange,
            held: Vec::new(),
            deadline: now
                .checked_add(core.config.handshake_timeout)
                .unwrap_or(now),
            retransmission: core.retransmission(now),
            saw_forgery: false,
            tag: None,
            negotiated,
            randoms,
            transcript,
            reassembly: Reassembly::default(),
            flight: Flight::default(),
            expected: fragment
                .message_seq
                .checked_add(1)
                .ok_or(Alert::IllegalParameter)?,
            next: fragment.message_seq,
            ephemeral: None,
            shared_point: None,
            session_hash: None,
            master_secret: None,
            certificates: Vec::new(),
            query: None,
        };
        handshake.answer_hello(core)?;
        handshake.transmit(core);
        Ok(handshake)
    }

    /// Flight 4.
    fn answer_hello(&mut self, core: &Core) -> Result<(), Alert> {
        let suite = self.negotiated.suite;
        let hello = self
            .negotiated
            .with_extensions(&self.channel.own_cid, |extensions| {
                ServerHello {
                    version: DTLS_1_2,
                    random: self.randoms.server,
                    // An association that can be resumed would get its id here.
                    session_id: &[],
                    cipher_suite: suite.code(),
                    compression_method: 0,
                    extensions,
                }
                .write()
            });
        self.add(MessageType::ServerHello, &hello)?;
        let ephemeral = match suite.key_exchange() {
            KeyExchange::Psk => None,
            KeyExchange::EcdhePsk | KeyExchange::EcdheEcdsa => {
                Some(Ephemeral::generate().ok_or(Alert::InternalError)?)
            }
        };
        let parameters = ephemeral
            .as_ref()
            .map(|ephemeral| ecdh_parameters(&ephemeral.point))
            .unwrap_or_default();
        self.ephemeral = ephemeral;
        match suite.key_exchange() {
            KeyExchange::Psk => {}
            KeyExchange::EcdhePsk => {
                let body = psk_server_key_exchange(&parameters);
                self.add(MessageType::ServerKeyExchange, &body)?;
            }
            KeyExchange::EcdheEcdsa => {
                let credentials = core.credentials.as_ref().ok_or(Alert::InternalError)?;
                let certificate = credentials.certificate(self.negotiated.server_certificate);
                self.add(MessageType::Certificate, &certificate)?;
                let signed = [&self.randoms.client[..], &self.randoms.server, &parameters].concat();
                let signature = credentials.sign(&signed).ok_or(Alert::InternalError)?;
                let body = signed_server_key_exchange(&parameters, &signature);
                self.add(MessageType::ServerKeyExchange, &body)?;
                self.add(MessageType::CertificateRequest, &certificate_request())?;
                self.awaits = Awaits::Certificate;
            }
        }
        self.add(MessageType::ServerHelloDone, &[])
    }

    fn add(&mut self, message_type: MessageType, body: &[u8]) -> Result<(), Alert> {
        self.transcript
            .add(self.flight.add(message_type, self.next, body));
        self.next = self.next.checked_add(1).ok_or(Alert::InternalError)?;
        Ok(())
    }

    /// Takes what a handshake record of this epoch has in it. Finished comes in epoch 1, all else in epoch 0.
    pub(super) fn handle_record(
        &mut self,
        now: Instant,
        epoch: u16,
        content: &[u8],
        core: &mut Core,
    ) -> Result<Step, Alert> {
        let mut content = Reader::new(content);
        if epoch == 1 {
            // What came in clear may be anybody's, and its time is over.
            self.reassembly.keep_only(MessageType::Finished as u8);
        }
        while !content.is_empty() {
            let Ok(fragment) = Fragment::read(&mut content) else {
                count(&mut core.stats.malformed);
                break;
            };
            let is_finished = fragment.message_type == MessageType::Finished as u8;
            if is_finished != (epoch == 1) {
                count(&mut core.stats.malformed);
                continue;
            }
            let is_repeated = fragment.message_seq < self.expected;
            let max = core.config.max_handshake_message;
            if !is_repeated
                && self
                    .reassembly
                    .insert(&fragment, self.expected, max)
                    .is_err()
            {
                count(&mut core.stats.malformed);
            }
        }
        self.advance(now, core)
    }

    /// Takes the messages whose turn it is.
    fn advance(&mut self, now: Instant, core: &mut Core) -> Result<Step, Alert> {
        while !matches!(self.awaits, Awaits::Credential { .. }) {
            let Some(message) = self.reassembly.take(self.expected) else {
                return Ok(Step::Wait);
            };
            match self.handle_message(now, &message, core)? {
                Step::Wait => {}
                step @ (Step::Ask | Step::Done) => return Ok(step),
            }
        }
        Ok(Step::Wait)
    }

    fn handle_message(
        &mut self,
        now: Instant,
        message: &Whole,
        core: &mut Core,
    ) -> Result<Step, Alert> {
        let bytes = whole(message.message_type, message.message_seq, &message.body);
        let step = match (self.awaits, MessageType::from_code(message.message_type)) {
            (Awaits::Certificate, Some(MessageType::Certificate)) => {
                self.handle_certificate(now, &message.body, core)?;
                self.transcript.add(&bytes);
                self.awaits = Awaits::ClientKeyExchange;
                Step::Wait
            }
            (Awaits::ClientKeyExchange, Some(MessageType::ClientKeyExchange)) => {
                self.transcript.add(&bytes);
                self.handle_client_key_exchange(now, &message.body)?
            }
            (Awaits::CertificateVerify, Some(MessageType::CertificateVerify)) => {
                self.handle_certificate_verify(now, &message.body, core)?;
                self.transcript.add(&bytes);
                Step::Ask
            }
            (Awaits::Finished, Some(MessageType::Finished)) => {
                let master_secret = self.master_secret.as_ref().ok_or(Alert::InternalError)?;
                let expected = master_secret.verify_data(CLIENT_FINISHED, &self.transcript);
                if !bool::from(expected.as_slice().ct_eq(&message.body)) {
                    self.saw_forgery = true;
                    return Ok(Step::Wait);
                }
                self.transcript.add(&bytes);
                let verify_data = master_secret.verify_data(SERVER_FINISHED, &self.transcript);
                self.flight = Flight::default();
                self.flight.add_finished(self.next, &verify_data);
                self.retransmission = core.retransmission(now);
                self.transmit(core);
                Step::Done
            }
            _ => return Err(Alert::UnexpectedMessage),
        };
        self.expected = self
            .expected
            .checked_add(1)
            .ok_or(Alert::UnexpectedMessage)?;
        self.retransmission.stop();
        Ok(step)
    }

    fn handle_certificate(&mut self, now: Instant, body: &[u8], core: &Core) -> Result<(), Alert> {
        let kind = self.negotiated.client_certificate;
        let certificates = read_certificate(body, kind)?;
        let leaf = *certificates.first().ok_or(Alert::HandshakeFailure)?;
        match kind {
            CertificateType::RawPublicKey => {
                p256_point(leaf).ok_or(Alert::BadCertificate)?;
            }
            CertificateType::X509 => {
                let leaf = Certificate::read(leaf).ok_or(Alert::BadCertificate)?;
                if p256_point(leaf.spki).is_none() || !leaf.is_for_clients {
                    return Err(Alert::BadCertificate);
                }
                let (from, until) = leaf.validity;
                let wall = i64::try_from(core.wall(now).as_secs()).unwrap_or(i64::MAX);
                if !core.config.skip_validity_check && !(from..=until).contains(&wall) {
                    return Err(Alert::CertificateExpired);
                }
            }
        }
        self.certificates = certificates.into_iter().map(<[u8]>::to_vec).collect();
        self.reassembly.set_kept(body.len());
        Ok(())
    }

    fn handle_client_key_exchange(&mut self, now: Instant, body: &[u8]) -> Result<Step, Alert> {
        let key_exchange = self.negotiated.suite.key_exchange();
        let message = ClientKeyExchange::read(body, key_exchange)?;
        self.session_hash = Some(self.transcript.digest());
        if let Some(ephemeral) = self.ephemeral.take() {
            self.shared_point = Some(
                ephemeral
                    .agree(message.point)
                    .ok_or(Alert::IllegalParameter)?,
            );
        }
        if key_exchange == KeyExchange::EcdheEcdsa {
            let premaster = self.shared_point.take().ok_or(Alert::InternalError)?;
            self.derive(premaster.as_bytes());
            self.awaits = Awaits::CertificateVerify;
            return Ok(Step::Wait);
        }
        let identity = std::str::from_utf8(message.identity)
            .ok()
            .filter(|identity| matches!(identity.len(), 1..=MAX_IDENTITY))
            .ok_or(Alert::UnknownPskIdentity)?;
        self.query = Some(CredentialQuery::PreSharedKey {
            identity: identity.into(),
        });
        self.awaits = Awaits::Credential {
            since: now,
            asked: None,
        };
        Ok(Step::Ask)
    }

    fn handle_certificate_verify(
        &mut self,
        now: Instant,
        body: &[u8],
        core: &Core,
    ) -> Result<(), Alert> {
        let signature = read_certificate_verify(body)?;
        let leaf = self.certificates.first().ok_or(Alert::InternalError)?;
        let (spki, certificate) = match self.negotiated.client_certificate {
            CertificateType::RawPublicKey => (&**leaf, None),
            CertificateType::X509 => {
                let certificate = Certificate::read(leaf).ok_or(Alert::InternalError)?;
                (certificate.spki, Some(certificate))
            }
        };
        if !is_digest_signed(spki, &self.transcript.digest(), signature) {
            return Err(Alert::DecryptError);
        }
        self.query = Some(match certificate {
            None => CredentialQuery::RawPublicKey { spki: spki.into() },
            Some(certificate) => CredentialQuery::Certificate(Box::new(CertificateInfo {
                der: leaf.as_slice().into(),
                common_name: certificate.common_name.map(Into::into),
                fingerprint: fingerprint(leaf),
                path: core.trust.validate(
                    &self.certificates,
                    UnixTime::since_unix_epoch(core.wall(now)),
                ),
            })),
        });
        self.certificates = Vec::new();
        self.reassembly.set_kept(0);
        self.awaits = Awaits::Credential {
            since: now,
            asked: None,
        };
        Ok(())
    }

    /// The owner accepts the client; with PSK suites this is the key.
    pub(super) fn accept(&mut self, now: Instant, key: Option<&PreSharedKey>, tag: PrincipalTag) {
        if let Some(key) = key {
            let shared_point = self.shared_point.take();
            let premaster = key.premaster(shared_point.as_ref().map(SecretBytes::as_bytes));
            self.derive(premaster.as_bytes());
        }
        self.tag = Some(tag);
        if let Some(master_secret) = &self.master_secret {
            let (client, server) = master_secret.protections(
                self.negotiated.suite,
                self.negotiated.encrypt_then_mac,
                &self.randoms,
            );
            self.channel.set_keys(server, client);
        }
        if let Awaits::Credential { since, .. } = self.awaits {
            let waited = now.saturating_duration_since(since);
            self.deadline = self.deadline.checked_add(waited).unwrap_or(self.deadline);
        }
        self.awaits = Awaits::Finished;
    }

    fn derive(&mut self, premaster: &[u8]) {
        self.master_secret = Some(match &self.session_hash {
            Some(hash) if self.negotiated.extended_master_secret => {
                MasterSecret::extended(premaster, hash.as_ref())
            }
            Some(_) | None => MasterSecret::plain(premaster, &self.randoms),
        });
    }

    /// Keeps a record of epoch 1 until there are keys. `false`: there is no room.
    pub(super) fn hold(&mut self, record: Vec<u8>) -> bool {
        let held: usize = self.held.iter().map(Vec::len).sum();
        let fits =
            self.held.len() < MAX_HELD && held.saturating_add(record.len()) <= MAX_HELD_BYTES;
        if fits {
            self.held.push(record);
        }
        fits
    }

    /// Sends the flight, with fresh record numbers.
    pub(super) fn transmit(&mut self, core: &mut Core) {
        let mtu = self.retransmission.mtu(core.config.mtu);
        for datagram in self
            .flight
            .datagrams(&mut self.channel, mtu, &mut *core.random)
        {
            core.outputs.push_back(Output::Transmit {
                peer: self.peer,
                datagram: datagram.into(),
            });
        }
    }

    /// Whether this hello began the handshake, and nothing came after it.
    pub(super) fn is_begun_by(&self, hello: &ClientHello<'_>) -> bool {
        self.randoms.client == hello.random
    }

    /// Whether the flight is being retransmitted.
    pub(super) const fn is_unanswered(&self) -> bool {
        self.retransmission.due.is_some()
    }

    /// When it wants to be woken.
    pub(super) fn wake(&self, core: &Core) -> Option<Instant> {
        match self.awaits {
            Awaits::Credential { since, asked } => asked
                .unwrap_or(since)
                .checked_add(core.config.credential_timeout),
            Awaits::Certificate
            | Awaits::ClientKeyExchange
            | Awaits::CertificateVerify
            | Awaits::Finished => Some(
                self.retransmission
                    .due
                    .map_or(self.deadline, |due| due.min(self.deadline)),
            ),
        }
    }

    pub(super) const fn suite(&self) -> CipherSuite {
        self.negotiated.suite
    }

    pub(super) const fn extended_master_secret(&self) -> bool {
        self.negotiated.extended_master_secret
    }

    /// What remains of it: the record layer, who the client is, and the last flight.
    pub(super) fn finish(
        self,
    ) -> Option<(Channel, Principal, PrincipalTag, Flight, Retransmission)> {
        let principal = match self.query? {
            CredentialQuery::PreSharedKey { identity } => Principal::PreSharedKey(identity),
            CredentialQuery::RawPublicKey { spki } => Principal::RawPublicKey(spki),
            CredentialQuery::Certificate(certificate) => Principal::Certificate {
                common_name: certificate.common_name,
                fingerprint: certificate.fingerprint,
            },
        };
        Some((
            self.channel,
            principal,
            self.tag?,
            self.flight,
            self.retransmission,
        ))
    }
}

/// The longest PSK identity.
const MAX_IDENTITY: usize = 256;
const MAX_HELD: usize = 2;
const MAX_HELD_BYTES: usize = 512;
