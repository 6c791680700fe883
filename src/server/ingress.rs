//! What becomes of a datagram from a peer that no endpoint owns.
//!
//! Most are answered at once, small and without state; an actor is made only for a Register that can be read, and whose
//! blocks are all there, or for a Bootstrap-Request that can be read. The answers to strangers are remembered in a bounded cache, so a repetition is answered alike (RFC
//! 7252 section 4.5), and are at most three times as long as their request (RFC 7252 section 11.3).

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;

use crate::{
    bootstrap::{self, BootstrapRequest},
    coap::{
        Bodies, Code, Freshness, Message, MessageType, Random, RateLimit, Response, SourceLimits,
        TransmissionParameters,
        blockwise::{Reassembled, Reassembly},
        encode,
        stranger::{AnswerCache, Reason, Verdict, judge},
    },
    endpoint::{EndpointName, RegistrationId, Target, register_name},
    platform::peer::{Peer, PeerId, PeerIdentity, ServerRole},
};

use super::settings::{LimitSettings, NoSecSettings};

pub use super::secure::Caller;

/// Message layer of the peers that no endpoint owns; one per shard.
#[derive(Debug)]
pub struct Ingress {
    role: ServerRole,
    parameters: Arc<TransmissionParameters>,
    answers: AnswerCache<PeerId>,
    registers: Reassembly<PeerId>,
    sources: Option<SourceLimits>,
    /// Proof that a stranger is where it claims to be, if that is asked for.
    freshness: Option<Freshness>,
    /// Bare RST: a flood of pings or stray notifications gets silence (A26).
    resets: RateLimit,
}

/// What to do with a stranger's datagram.
#[derive(Debug)]
pub enum Decision {
    /// Send this answer.
    Answer(Bytes),
    /// Hand it to the endpoint that gave out this registration id, or refuse it.
    Registered(RegistrationId, Message),
    /// Hand it to the endpoint of this name, which may have to be made.
    Register(EndpointName, Message),
    /// Hand it to the bootstrap of the endpoint of this name, which may have to be made.
    Bootstrap(EndpointName, Message),
    /// Nothing; the message layer counted it for this reason.
    Drop(Reason),
    /// Nothing: its network sends too much.
    Limited,
}

impl Ingress {
    /// Knows nobody yet. `random` seeds what only this server can make.
    pub fn new(
        role: ServerRole,
        parameters: Arc<TransmissionParameters>,
        bodies: Bodies,
        limits: &LimitSettings,
        nosec: &NoSecSettings,
        random: &mut Random,
        now: Instant,
    ) -> Self {
        let key = random.seed();
        let per_second = limits.source_messages_per_s;
        Self {
            role,
            answers: AnswerCache::new(ANSWERS, parameters.exchange_lifetime()),
            registers: Reassembly::new(bodies, TRANSFERS),
            sources: (per_second > 0).then(|| SourceLimits::new(per_second, random.next_u64())),
            freshness: nosec.echo.then(|| Freshness::new(key, now)),
            resets: RateLimit::new(RESETS_PER_SECOND, RESETS_PER_SECOND),
            parameters,
        }
    }

    /// Decides on a datagram of `caller`.
    pub fn decide(&mut self, now: Instant, caller: &Caller, payload: Bytes) -> Decision {
        let peer = caller.peer.id;
        if !self.admits(now, peer) {
            return Decision::Limited;
        }
        let parsed = Message::parse(payload);
        let message = match (judge(parsed.as_ref()), parsed) {
            (Verdict::Process, Ok(message)) => message,
            (Verdict::Settled { reason, answer }, _) => {
                return match answer {
                    Some(answer) if self.resets.admit(now) => Decision::Answer(answer),
                    Some(_) | None => Decision::Drop(reason),
                };
            }
            (Verdict::Process, Err(_)) => return Decision::Drop(Reason::FormatError),
        };
        let (id, token) = (message.message_id(), message.token());
        if let Some(answer) = self.answers.answer(now, peer, id, token) {
            return if message.message_type() == MessageType::Confirmable {
                Decision::Answer(answer)
            } else {
                Decision::Drop(Reason::Duplicate)
            };
        }
        let decided = match self.role {
            ServerRole::Lwm2m => self.lwm2m(now, caller, &message),
            ServerRole::Bootstrap => self.bootstrap(now, caller, &message),
        };
        decided.unwrap_or_else(|response| {
            Decision::Answer(self.answer(now, peer, &message, &response))
        })
    }

    /// Whether the network of a stranger is within its limit; the datagram counts if so.
    fn admits(&mut self, now: Instant, peer: PeerId) -> bool {
        let sources = self.sources.as_mut();
        sources.is_none_or(|sources| sources.admit(now, network(peer.remote().ip())))
    }

    /// What keeps a stranger from fetching an update package, if anything does.
    pub fn hinders(&mut self, now: Instant, peer: &Peer, message: &Message) -> Option<Decision> {
        if !self.admits(now, peer.id) {
            return Some(Decision::Limited);
        }
        let response = self.ask_for_proof(now, peer, message).err()?;
        Some(Decision::Answer(encode::reply(message, &response)))
    }

    /// A request to the LwM2M server, or its answer.
    fn lwm2m(
        &mut self,
        now: Instant,
        caller: &Caller,
        message: &Message,
    ) -> Result<Decision, Box<Response>> {
        Err(Box::new(match Target::of(message) {
            Target::Register => return self.register(now, caller, message.clone()),
            Target::Update(Some(id)) | Target::Deregister(Some(id)) => {
                return Ok(Decision::Registered(id, message.clone()));
            }
            // Nothing is known yet of who shows a key or certificate.
            _ if must_register(&caller.peer.identity) => Response::new(Code::UNAUTHORIZED),
            Target::Update(None) | Target::Deregister(None) | Target::Unknown => {
                Response::new(Code::NOT_FOUND)
            }
            Target::Send => Response::with_diagnostic(Code::BAD_REQUEST, "no registration found"),
            Target::WrongMethod => Response::new(Code::METHOD_NOT_ALLOWED),
        }))
    }

    /// A request to the bootstrap server, or its answer.
    fn bootstrap(
        &mut self,
        now: Instant,
        caller: &Caller,
        message: &Message,
    ) -> Result<Decision, Box<Response>> {
        Err(Box::new(match bootstrap::Target::of(message) {
            bootstrap::Target::BootstrapRequest => {
                self.ask_for_proof(now, &caller.peer, message)?;
                let request = BootstrapRequest::read(message, caller.admission.as_deref())?;
                if let Some(own) = &caller.endpoint
                    && *own != request.endpoint
                {
                    return Err(Box::new(Response::with_diagnostic(
                        Code::BAD_REQUEST,
                        "Unauthorized",
                    )));
                }
                return Ok(Decision::Bootstrap(request.endpoint, message.clone()));
            }
            _ if must_register(&caller.peer.identity) => Response::new(Code::UNAUTHORIZED),
            bootstrap::Target::WrongMethod => Response::new(Code::METHOD_NOT_ALLOWED),
            bootstrap::Target::Unknown => Response::new(Code::NOT_FOUND),
        }))
    }

    /// Wants to know that the sender is where it claims to be, if that is asked for.
    fn ask_for_proof(
        &self,
        now: Instant,
        peer: &Peer,
        message: &Message,
    ) -> Result<(), Box<Response>> {
        if let Some(freshness) = &self.freshness
            && peer.identity == PeerIdentity::Unsecured
        {
            let address = bytes_of(peer.id.remote());
            let proof = message.echo();
            if !proof.is_some_and(|echo| freshness.is_proof(now, &address, echo)) {
                let challenge = freshness.challenge(now, &address);
                return Err(Box::new(Response {
                    echo: Some(Bytes::copy_from_slice(&challenge)),
                    ..Response::new(Code::UNAUTHORIZED)
                }));
            }
        }
        Ok(())
    }

    /// A Register that is fresh, whole and legible is for the endpoint of its name.
    fn register(
        &mut self,
        now: Instant,
        caller: &Caller,
        message: Message,
    ) -> Result<Decision, Box<Response>> {
        let Caller { peer, endpoint, .. } = caller;
        self.ask_for_proof(now, peer, &message)?;
        let limit = self.parameters.max_body(&message);
        match self.registers.receive(now, peer.id, message, limit) {
            Reassembled::Whole(message) => {
                let name = register_name(&message, endpoint.as_ref())?;
                // Who proved to be one endpoint is not asked about for another (`rulings` 6.5).
                if endpoint.as_ref().is_some_and(|own| *own != name) {
                    return Err(Box::new(Response::new(Code::FORBIDDEN)));
                }
                Ok(Decision::Register(name, message))
            }
            Reassembled::Answer(response) => Err(Box::new(response)),
        }
    }

    /// Encodes and remembers that there is no room for a newcomer now; when it may try again is drawn from `random`, lest all
    /// come at once.
    pub fn busy(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: &Message,
        random: &mut Random,
    ) -> Bytes {
        let pause = random.uniform(RETRY_AFTER_S);
        let response = Response {
            max_age: Some(u32::try_from(pause).unwrap_or(u32::MAX)),
            ..Response::new(Code::SERVICE_UNAVAILABLE)
        };
        self.answer(now, peer, message, &response)
    }

    /// Encodes an answer and remembers it for repetitions.
    pub fn answer(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: &Message,
        response: &Response,
    ) -> Bytes {
        let mut answer = encode::reply(message, response);
        if answer.len() > message.datagram().len().saturating_mul(AMPLIFICATION) {
            let bare = Response {
                payload: Bytes::new(),
                ..response.clone()
            };
            answer = encode::reply(message, &bare);
        }
        let (id, token) = (message.message_id(), message.token());
        self.answers.remember(now, peer, id, token, answer.clone());
        answer
    }
}

/// Whether all that a stranger may do is to register or to ask for bootstrap: it has proved to hold a key, which says
/// nothing of who it is.
const fn must_register(identity: &PeerIdentity) -> bool {
    matches!(
        identity,
        PeerIdentity::RawPublicKey(_) | PeerIdentity::Certificate { .. }
    )
}

/// The network that a source limit is for: a /24 of IPv4, a /48 of IPv6.
fn network(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
        IpAddr::V6(address) => (address.to_bits() >> 80) as u64 | 1 << 63,
    }
}

/// An address and port as bytes.
fn bytes_of(address: SocketAddr) -> Vec<u8> {
    let mut bytes = match address.ip().to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    bytes.extend(address.port().to_be_bytes());
    bytes
}

/// How many times as long as its request an answer to a stranger may be.
const AMPLIFICATION: usize = 3;
/// When a newcomer may try again for whom there is no room, seconds, spread so that a fleet does not return at once.
const RETRY_AFTER_S: RangeInclusive<u64> = 5..=30;
/// Registers in blocks under way per shard.
const TRANSFERS: usize = 10_000;
/// Answers remembered per shard.
const ANSWERS: usize = 4096;
/// RST and 4.02 to strangers, per shard.
const RESETS_PER_SECOND: u32 = 1000;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::coap::{Block, MessageId, Request, Token};

    fn ingress(limits: &LimitSettings, nosec: &NoSecSettings) -> Ingress {
        ingress_of(ServerRole::Lwm2m, limits, nosec)
    }

    fn ingress_of(role: ServerRole, limits: &LimitSettings, nosec: &NoSecSettings) -> Ingress {
        let coap = Arc::new(TransmissionParameters::default());
        let bodies = coap.bodies();
        let mut random = Random::from_seed([9; 32]);
        Ingress::new(role, coap, bodies, limits, nosec, &mut random, start())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant cannot be made from a number"
    )]
    fn start() -> Instant {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        *START
    }

    fn peer(last: u8) -> PeerId {
        PeerId::Udp {
            remote: SocketAddr::from(([192, 0, 2, last], 5683)),
            local: None,
        }
    }

    fn caller(peer: PeerId) -> Caller {
        Caller::unsecured(peer, ServerRole::Lwm2m)
    }

    fn register(links: impl Into<Bytes>) -> Request {
        Request {
            method: Code::POST,
            path: vec!["rd".to_owned()],
            query: vec!["ep=dev1".to_owned(), "lwm2m=1.1".to_owned()],
            payload: links.into(),
            ..Request::default()
        }
    }

    fn datagram(id: u16, request: &Request) -> Bytes {
        let id = MessageId(id);
        encode::request(request, MessageType::Confirmable, id, Token::default())
    }

    fn answered(decision: Decision) -> Message {
        let Decision::Answer(answer) = decision else {
            panic!("not answered: {decision:?}");
        };
        Message::parse(answer).unwrap()
    }

    const LINKS: Bytes = Bytes::from_static(b"</>;rt=\"oma.lwm2m\",</1/0>,</3/0>");

    #[test]
    fn b08_a_register_in_blocks_is_for_the_endpoint_once_it_is_whole() {
        let mut ingress = ingress(&LimitSettings::default(), &NoSecSettings::default());
        let block = |number: u32, more| {
            let at = number as usize * 16;
            datagram(
                number as u16,
                &Request {
                    block1: Some(Block {
                        number,
                        more,
                        szx: 0,
                    }),
                    ..register(LINKS.slice(at..LINKS.len().min(at + 16)))
                },
            )
        };
        let (first, last) = (block(0, true), block(1, false));
        for _ in 0..2 {
            let answer = answered(ingress.decide(start(), &caller(peer(1)), first.clone()));
            assert_eq!(answer.code(), Code::CONTINUE);
        }
        // The answer to the last block is the endpoint's, who remembers it: a repetition goes there again, and whole.
        for _ in 0..2 {
            let Decision::Register(name, message) =
                ingress.decide(start(), &caller(peer(1)), last.clone())
            else {
                panic!("no Register");
            };
            assert_eq!((name.as_str(), message.payload()), ("dev1", LINKS));
        }
        let stranger = answered(ingress.decide(start(), &caller(peer(2)), last));
        assert_eq!(stranger.code(), Code::REQUEST_ENTITY_INCOMPLETE);
    }

    #[test]
    fn a02_requests_of_strangers_for_anything_but_rd_leave_no_body_behind() {
        let mut ingress = ingress(&LimitSettings::default(), &NoSecSettings::default());
        for (number, path) in [".well-known", "dp", "3"].into_iter().enumerate() {
            let request = Request {
                path: vec![path.to_owned()],
                block1: Some(Block {
                    number: 0,
                    more: true,
                    szx: 0,
                }),
                observe: Some(0),
                ..register(LINKS.slice(..16))
            };
            let datagram = datagram(number as u16, &request);
            let answer = answered(ingress.decide(start(), &caller(peer(1)), datagram.clone()));
            assert!(answer.code().is_error());
            assert!(answer.datagram().len() <= 3 * datagram.len());
        }
        assert_eq!(ingress.registers.len(), 0);
    }

    #[test]
    fn c27_an_answer_to_a_stranger_is_at_most_three_times_its_request() {
        let mut ingress = ingress(&LimitSettings::default(), &NoSecSettings::default());
        // POST /rd without anything: the text would make the answer longer.
        let short = Bytes::from_static(b"\x40\x02\0\x01\xb2rd");
        let answer = answered(ingress.decide(start(), &caller(peer(1)), short));
        assert_eq!(
            (answer.code(), answer.diagnostic()),
            (Code::BAD_REQUEST, None)
        );
        let long = datagram(
            2,
            &Request {
                query: vec!["lwm2m=1.1".to_owned(), "b=U".to_owned()],
                ..register(LINKS)
            },
        );
        let answer = answered(ingress.decide(start(), &caller(peer(1)), long));
        assert!(answer.diagnostic().is_some());
    }

    #[test]
    fn c11_an_answer_is_repeated_to_the_same_request_alone() {
        let mut ingress = ingress(&LimitSettings::default(), &NoSecSettings::default());
        let from = peer(1);
        // GET /3 with token a1; a device that has lost its state begins with the same message id and another token.
        let (first, after) = (&b"\x41\x01\0\x01\xa1\xb13"[..], b"\x41\x01\0\x01\xa2\xb13");
        let mut ask = |request: &'static [u8]| {
            let decision = ingress.decide(start(), &caller(from), Bytes::from_static(request));
            answered(decision).token()
        };
        assert_eq!(ask(first), ask(first));
        assert_eq!(ask(after), Token::new(&[0xa2]).unwrap());
        // A non-confirmable one has one answer at most.
        let once = Bytes::from_static(b"\x51\x01\0\x02\xa1\xb13");
        answered(ingress.decide(start(), &caller(from), once.clone()));
        let again = ingress.decide(start(), &caller(from), once);
        assert!(
            matches!(again, Decision::Drop(Reason::Duplicate)),
            "{again:?}"
        );
    }

    #[test]
    fn c23_texts_of_errors_are_short_and_repeat_nothing_of_the_request() {
        let mut ingress = ingress(&LimitSettings::default(), &NoSecSettings::default());
        let mark = "zzz";
        let wrong = [
            "lt=zzz",
            "lwm2m=zzz",
            "b=zzz",
            "ep=",
            "zzz",
            "lt=1&lt=zzz",
            "Q=zzz",
        ];
        let mut texts = 0;
        for (id, query) in wrong.into_iter().enumerate() {
            let mut request = register(LINKS);
            request.query.extend(query.split('&').map(str::to_owned));
            let decision = ingress.decide(start(), &caller(peer(1)), datagram(id as u16, &request));
            let Decision::Answer(answer) = decision else {
                continue;
            };
            let answer = Message::parse(answer).unwrap();
            assert_eq!(answer.content_format(), None);
            if let Some(text) = answer.diagnostic() {
                texts += 1;
                assert!(text.len() <= 64 && !text.contains(mark), "{query}: {text}");
            }
        }
        let links = register(Bytes::from_static(b"<zzz"));
        let answer = answered(ingress.decide(start(), &caller(peer(1)), datagram(100, &links)));
        assert!(!answer.diagnostic().unwrap().contains(mark));
        assert!(texts >= 4, "{texts}");
    }

    #[test]
    fn a01_a_challenge_comes_before_anything_is_done_for_a_register() {
        let mut ingress = ingress(&LimitSettings::default(), &NoSecSettings { echo: true });
        let first = datagram(1, &register(LINKS));
        let challenge = answered(ingress.decide(start(), &caller(peer(1)), first.clone()));
        assert_eq!(challenge.code(), Code::UNAUTHORIZED);
        assert!(challenge.datagram().len() <= first.len());
        let echo = challenge.echo().map(Bytes::copy_from_slice);
        let proven = |id| {
            datagram(
                id,
                &Request {
                    echo: echo.clone(),
                    ..register(LINKS)
                },
            )
        };
        let elsewhere = answered(ingress.decide(start(), &caller(peer(2)), proven(2)));
        assert_eq!(elsewhere.code(), Code::UNAUTHORIZED);
        assert!(matches!(
            ingress.decide(start(), &caller(peer(1)), proven(3)),
            Decision::Register(..)
        ));
    }

    fn bootstrap_request(id: u16, query: &[&str]) -> Bytes {
        let request = Request {
            method: Code::POST,
            path: vec!["bs".to_owned()],
            query: query
                .iter()
                .map(|&parameter| parameter.to_owned())
                .collect(),
            ..Request::default()
        };
        datagram(id, &request)
    }

    #[test]
    fn p32_1_a_bootstrap_request_is_for_its_endpoint_and_the_rest_is_answered_at_once() {
        let (limits, nosec) = (LimitSettings::default(), NoSecSettings::default());
        let mut ingress = ingress_of(ServerRole::Bootstrap, &limits, &nosec);
        let decision = ingress.decide(
            start(),
            &caller(peer(1)),
            bootstrap_request(1, &["ep=dev1"]),
        );
        let Decision::Bootstrap(name, _) = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(name.as_str(), "dev1");
        let nameless = bootstrap_request(2, &["pct=112"]);
        let answer = answered(ingress.decide(start(), &caller(peer(1)), nameless));
        assert_eq!(answer.code(), Code::BAD_REQUEST);
        let elsewhere =
            answered(ingress.decide(start(), &caller(peer(1)), datagram(3, &register(LINKS))));
        assert_eq!(elsewhere.code(), Code::NOT_FOUND);
    }

    #[test]
    fn p32_7_a_bootstrap_pack_request_is_answered_4_04() {
        let (limits, nosec) = (LimitSettings::default(), NoSecSettings::default());
        let mut ingress = ingress_of(ServerRole::Bootstrap, &limits, &nosec);
        let frame: &[u8] = &[
            0x41, 0x01, 0x00, 0x05, 0xa5, 0xb6, 0x62, 0x73, 0x70, 0x61, 0x63, 0x6b, 0x47, 0x65,
            0x70, 0x3d, 0x64, 0x65, 0x76, 0x31, 0x21, 0x70,
        ];
        let answer = answered(ingress.decide(start(), &caller(peer(1)), Bytes::from_static(frame)));
        assert_eq!(answer.code(), Code::NOT_FOUND);
    }

    #[test]
    fn a56_the_address_is_proven_before_anything_is_done_for_a_bootstrap_request() {
        let (limits, nosec) = (LimitSettings::default(), NoSecSettings { echo: true });
        let mut ingress = ingress_of(ServerRole::Bootstrap, &limits, &nosec);
        let request = bootstrap_request(1, &["ep=dev1"]);
        let challenge = answered(ingress.decide(start(), &caller(peer(1)), request.clone()));
        assert_eq!(challenge.code(), Code::UNAUTHORIZED);
        assert!(challenge.datagram().len() <= request.len());
    }

    #[test]
    fn a56_a_network_that_asks_for_bootstrap_too_often_is_dropped() {
        let limits = LimitSettings {
            source_messages_per_s: 50,
            ..LimitSettings::default()
        };
        let nosec = NoSecSettings::default();
        let mut ingress = ingress_of(ServerRole::Bootstrap, &limits, &nosec);
        let taken = (0..1000).filter(|&id| {
            let request = bootstrap_request(id, &["ep=dev1"]);
            let decision = ingress.decide(start(), &caller(peer(id as u8)), request);
            matches!(decision, Decision::Bootstrap(..))
        });
        assert_eq!(taken.count(), 100);
    }

    #[test]
    fn a01_a_stranger_who_fetches_a_package_proves_its_address_where_that_is_asked_for() {
        let fetch = |echo: Option<Bytes>| {
            let request = Request {
                path: vec!["tbfw".to_owned(), Uuid::from_u128(7).to_string()],
                echo,
                ..Request::default()
            };
            Message::parse(datagram(1, &request)).unwrap()
        };
        let own = caller(peer(1)).peer;
        let mut open = ingress(&LimitSettings::default(), &NoSecSettings::default());
        assert!(open.hinders(start(), &own, &fetch(None)).is_none());
        let mut closed = ingress(&LimitSettings::default(), &NoSecSettings { echo: true });
        let challenge = answered(closed.hinders(start(), &own, &fetch(None)).unwrap());
        assert_eq!(challenge.code(), Code::UNAUTHORIZED);
        let proof = fetch(challenge.echo().map(Bytes::copy_from_slice));
        assert!(closed.hinders(start(), &own, &proof).is_none());
        let elsewhere = caller(peer(2)).peer;
        assert!(closed.hinders(start(), &elsewhere, &proof).is_some());
    }

    #[test]
    fn a01_a_network_that_sends_too_much_does_not_cost_the_others() {
        let limits = LimitSettings {
            source_messages_per_s: 50,
            ..LimitSettings::default()
        };
        let mut ingress = ingress(&limits, &NoSecSettings::default());
        let admitted = (0..10_000_u16)
            .filter(|&id| {
                // Every address of one /24.
                let from = peer(id as u8);
                let decision =
                    ingress.decide(start(), &caller(from), datagram(id, &register(LINKS)));
                !matches!(decision, Decision::Limited)
            })
            .count();
        assert_eq!(admitted, 100);
        let other = PeerId::Udp {
            remote: SocketAddr::from(([198, 51, 100, 1], 5683)),
            local: None,
        };
        let decision = ingress.decide(start(), &caller(other), datagram(1, &register(LINKS)));
        assert!(matches!(decision, Decision::Register(..)));
    }
}
