//! Conversations of the machine with devices that say exactly what each test states.

use std::net::SocketAddr;

use crate::{
    coap::{MessageId, MessageType, Request, encode},
    lwm2m::{
        format,
        model::{Models, core},
        node::Node,
    },
    platform::key_text::samples,
};

use crate::platform::key_text;

use super::{
    fixture::{NOSEC, PSK, PSK_OVER_NOSEC, RPK, Sample, X509, admission, admission_with},
    *,
};

/// One machine, and what became of it.
struct World {
    now: Now,
    machine: Bootstrap,
    sent: Vec<(PeerId, Message)>,
    uplinks: Vec<Uplink>,
    bound: Vec<PeerId>,
    misrouted: Vec<Bytes>,
    closed: bool,
    next_id: u16,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut BootstrapSessionSettings)) -> Self {
        let mut settings = BootstrapSessionSettings::default();
        change(&mut settings);
        let name = EndpointName::new("dev1");
        Self {
            now: Now {
                mono: start(),
                wall: UnixMillis(1_700_000_000_000),
            },
            machine: Bootstrap::new(name, Arc::new(settings), [7; 32]),
            sent: Vec::new(),
            uplinks: Vec::new(),
            bound: Vec::new(),
            misrouted: Vec::new(),
            closed: false,
            next_id: 1,
        }
    }

    /// A world whose device has been admitted and was sent its Discover.
    fn discovering(sample: Sample, peer: &Peer) -> Self {
        let mut world = Self::new();
        world.ask(peer, &["ep=dev1"]);
        world.admit(Ok(admission(sample)));
        assert_eq!(world.request(), "GET /");
        world
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            assert!(!self.closed, "nothing follows the end: {output:?}");
            match output {
                Output::Transmit { peer, payload } => {
                    self.sent.push((peer, Message::parse(payload).unwrap()));
                }
                Output::Uplink(uplink) => self.uplinks.push(uplink),
                Output::Bind(peer) => self.bound.push(peer),
                Output::Unbind(peer) => self.bound.retain(|own| *own != peer),
                Output::Misrouted { payload, .. } => self.misrouted.push(payload),
                Output::Closed => self.closed = true,
            }
        }
    }

    /// Sends a Bootstrap-Request, and returns its datagram.
    fn ask(&mut self, peer: &Peer, query: &[&str]) -> Bytes {
        let request = Request {
            method: Code::POST,
            path: vec!["bs".to_owned()],
            query: query
                .iter()
                .map(|&parameter| parameter.to_owned())
                .collect(),
            ..Request::default()
        };
        let id = MessageId(self.next_id);
        let token = Token::new(&self.next_id.to_be_bytes()).unwrap();
        self.next_id += 1;
        let datagram = encode::request(&request, MessageType::Confirmable, id, token);
        self.receive(peer, datagram.clone());
        datagram
    }

    fn receive(&mut self, peer: &Peer, datagram: Bytes) {
        self.machine.handle_datagram(self.now, peer, datagram);
        self.drain();
    }

    /// Answers the last question.
    fn admit(&mut self, result: Result<Admission, QuestionError>) {
        let question = self.uplinks.iter().rev().find_map(|uplink| {
            if let Uplink::Question { id, .. } = uplink {
                Some(*id)
            } else {
                None
            }
        });
        let reply = Reply::Answer {
            id: question.unwrap(),
            result: result.map(|admission| Answer::Credentials(Arc::new(admission))),
        };
        self.machine.handle_reply(self.now, reply);
        self.drain();
    }

    /// Answers the last request of the server.
    fn answer(&mut self, code: Code, text: &'static str) {
        let (peer, request) = self
            .sent
            .iter()
            .rfind(|(_, message)| message.code().is_request())
            .unwrap();
        let (peer, id, token) = (*peer, request.message_id(), request.token());
        let block1 = request.block1();
        let code = match block1 {
            Some(block) if block.more => Code::CONTINUE,
            _ => code,
        };
        let response = Response {
            block1,
            content_format: (code == Code::CONTENT).then_some(ContentFormat::LINK),
            payload: Bytes::from_static(text.as_bytes()),
            ..Response::new(code)
        };
        let datagram = encode::response(&response, MessageType::Acknowledgement, id, token);
        self.now = self.now.after(Duration::from_millis(20));
        let identity = self.identity(peer);
        self.receive(&identity, datagram);
    }

    fn identity(&self, id: PeerId) -> Peer {
        self.machine
            .identity_of(id)
            .unwrap_or_else(|| peer(id.remote().port()))
    }

    /// Answers everything well, from Discover to Finish, and returns what was asked for.
    fn complete(&mut self) -> Vec<String> {
        let mut seen = vec![self.request()];
        self.answer(Code::CONTENT, "</>;lwm2m=1.1,</0/0>");
        for _ in 0..100 {
            let request = self.request();
            let end = request == "POST /bs";
            let code = if request.starts_with("DELETE") {
                Code::DELETED
            } else {
                Code::CHANGED
            };
            seen.push(request);
            self.answer(code, "");
            if end {
                return seen;
            }
        }
        panic!("no end: {seen:?}");
    }

    /// Lets time pass.
    fn run(&mut self, duration: Duration) {
        let end = self.now.mono + duration;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.advance_to(at);
            self.machine.handle_timeout(self.now);
            self.drain();
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, moment: Instant) {
        let passed = moment.saturating_duration_since(self.now.mono);
        self.now = self.now.after(passed);
    }

    fn last(&self) -> &Message {
        &self.sent.last().unwrap().1
    }

    /// Code and text of the last message.
    fn reply(&self) -> (Code, &str) {
        let message = self.last();
        (message.code(), message.diagnostic().unwrap_or_default())
    }

    /// The last message, `PUT /0/1`.
    fn request(&self) -> String {
        let message = self.last();
        let method = match message.code() {
            Code::GET => "GET",
            Code::POST => "POST",
            Code::PUT => "PUT",
            Code::DELETE => "DELETE",
            code => panic!("{code} is no request"),
        };
        assert_eq!(message.message_type(), MessageType::Confirmable);
        let path: Vec<_> = message.uri_path().collect();
        format!("{method} /{}", path.join("/"))
    }

    fn log(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last = UnixMillis(0);
        for uplink in &self.uplinks {
            if let Uplink::Telemetry { id, readings, .. } = uplink {
                assert_eq!(*id, None);
                for readings in readings {
                    assert!(readings.ts > last, "lines never share a millisecond");
                    last = readings.ts;
                    let [(key, KeyValue::String(line))] = &readings.values[..] else {
                        panic!("{readings:?}");
                    };
                    assert_eq!(key, "transportLog");
                    lines.push(line.clone());
                }
            }
        }
        lines
    }

    fn reports(&self) -> usize {
        let is_report = |uplink: &&Uplink| matches!(uplink, Uplink::BootstrapReport { .. });
        self.uplinks.iter().filter(is_report).count()
    }

    fn questions(&self) -> Vec<&str> {
        let questions = self.uplinks.iter().filter_map(|uplink| {
            if let Uplink::Question {
                question: Question::Credentials { id },
                ..
            } = uplink
            {
                Some(id.as_str())
            } else {
                None
            }
        });
        questions.collect()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "any instant will do as the base of virtual time"
)]
fn start() -> Instant {
    Instant::now()
}

fn peer(port: u16) -> Peer {
    secured(port, PeerIdentity::Unsecured)
}

fn secured(port: u16, identity: PeerIdentity) -> Peer {
    Peer {
        id: PeerId::Udp {
            remote: SocketAddr::from(([192, 0, 2, 1], port)),
            local: Some([198, 51, 100, 1].into()),
        },
        role: crate::platform::peer::ServerRole::Bootstrap,
        identity,
    }
}

fn psk(port: u16, identity: &str) -> Peer {
    secured(port, PeerIdentity::PreSharedKey(identity.into()))
}

const UNAUTHORIZED: (Code, &str) = (Code::BAD_REQUEST, "Unauthorized");
const NO_CONFIG: (Code, &str) = (Code::BAD_REQUEST, "no bootstrap config");

#[test]
fn b1_m10_m11_a_fresh_device_gets_its_accounts_and_the_core_one_report() {
    let mut world = World::discovering(NOSEC, &peer(1));
    assert_eq!(
        world.complete(),
        ["GET /", "PUT /0/0", "PUT /0/1", "PUT /1/0", "POST /bs"]
    );
    assert_eq!(
        world.log(),
        [
            "info: Bootstrap session started... /198.51.100.1:5687",
            "info: receives success response for:  BootstrapDiscoverRequest  / DiscoverResponse [code=CONTENT(205), content=[</>;lwm2m=1.1, </0/0>]]",
            "info: receives success response for:  BootstrapWriteRequest  /0/0 BootstrapWriteResponse [code=CHANGED(204)]",
            "info: receives success response for:  BootstrapWriteRequest  /0/1 BootstrapWriteResponse [code=CHANGED(204)]",
            "info: receives success response for:  BootstrapWriteRequest  /1/0 BootstrapWriteResponse [code=CHANGED(204)]",
            "info: receives success response for bootstrap finish.",
            "info: Bootstrap session finished.",
        ]
    );
    assert_eq!(world.questions(), ["dev1"]);
    assert_eq!(world.reports(), 1);
    let others = world.uplinks.iter().filter(|uplink| {
        !matches!(
            uplink,
            Uplink::Question { .. } | Uplink::Telemetry { .. } | Uplink::BootstrapReport { .. }
        )
    });
    assert_eq!(others.count(), 0);
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn p32_1_the_2_04_leaves_before_the_first_request_and_the_peer_is_known_before_both() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    assert_eq!((world.sent.len(), world.bound.len()), (0, 0));
    let question = RequestId(0);
    let reply = Reply::Answer {
        id: question,
        result: Ok(Answer::Credentials(Arc::new(admission(NOSEC)))),
    };
    world.machine.handle_reply(world.now, reply);
    assert!(matches!(world.machine.poll_output(), Some(Output::Bind(_))));
    world.drain();
    let codes: Vec<_> = world
        .sent
        .iter()
        .map(|(_, message)| message.code())
        .collect();
    assert_eq!(codes, [Code::CHANGED, Code::GET]);
    assert_eq!(world.sent[0].1.message_type(), MessageType::Acknowledgement);
}

#[test]
fn p32_2_5_6_frames_of_discover_delete_and_finish() {
    let bare = |message: &Message| {
        let frame = message.datagram();
        let token = message.token().as_bytes().len();
        // Without message id and token.
        [&frame[..2], &frame[4 + token..]].concat()
    };
    let mut world = World::discovering(NOSEC, &peer(1));
    assert_eq!(bare(world.last()), b"\x48\x01\xd1\x04\x28");
    world.answer(Code::CONTENT, "</0/1>,</0/0>;ssid=123");
    assert_eq!(world.request(), "DELETE /0/0");
    assert_eq!(bare(world.last()), b"\x48\x04\xb1\x30\x010");
    world.answer(Code::DELETED, "");
    for path in ["PUT /0/0", "PUT /0/1", "PUT /1/0"] {
        assert_eq!(world.request(), path);
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(bare(world.last()), b"\x48\x02\xb2bs");
}

#[test]
fn p32_4_b19_instances_are_written_whole_in_the_format_of_the_device() {
    let models: Models = core::catalog().iter().cloned().collect();
    for (pct, expected) in [
        ("pct=112", ContentFormat::SENML_CBOR),
        ("pct=110", ContentFormat::SENML_JSON),
        ("pct=11543", ContentFormat::JSON),
        ("pct=11542", ContentFormat::TLV),
        ("x=1", ContentFormat::TLV),
    ] {
        let mut world = World::new();
        world.ask(&peer(1), &["ep=dev1", pct]);
        world.admit(Ok(admission(NOSEC)));
        world.complete();
        let writes: Vec<_> = world
            .sent
            .iter()
            .map(|(_, message)| message)
            .filter(|message| message.code() == Code::PUT)
            .collect();
        assert_eq!(writes.len(), 3);
        for message in writes {
            assert_eq!(message.content_format(), Some(expected));
            let path: Vec<_> = message.uri_path().collect();
            let path = path.join("/").parse().unwrap();
            let read = format::decode(expected, &path, &message.payload(), &models).unwrap();
            assert_eq!(read.rejected, []);
            let Node::ObjectInstance(instance) = read.node else {
                panic!("{:?}", read.node);
            };
            let ids: Vec<_> = instance.resources.iter().map(|own| own.id).collect();
            let expected: &[u16] = match path.to_string().as_str() {
                "/0/0" => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12],
                "/0/1" => &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
                _ => &[0, 1, 2, 6, 7],
            };
            assert_eq!(ids, expected);
        }
    }
}

#[test]
fn p32_4_a_server_instance_as_tlv() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.complete();
    let (_, write) = world
        .sent
        .iter()
        .rfind(|(_, sent)| sent.code() == Code::PUT)
        .unwrap();
    // Resources 0 (123), 1 (300), 2 (1), 6 (true), 7 ("U"); OMA LwM2M Core, "TLV".
    let expected = b"\xc1\x00\x7b\xc2\x01\x01\x2c\xc1\x02\x01\xc1\x06\x01\xc1\x07U";
    assert_eq!(&write.payload()[..], expected);
}

#[test]
fn p32_3_nothing_is_read() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let reads = world
        .complete()
        .into_iter()
        .filter(|own| own.starts_with("GET /") && own.len() > 5);
    assert_eq!(reads.count(), 0);
}

#[test]
fn b6_a_device_without_accounts_in_its_profile_gets_the_finish_alone() {
    let empty = Sample {
        profile: r#"{"type":"LWM2M","bootstrap":[]}"#,
        ..NOSEC
    };
    let mut world = World::discovering(empty, &peer(1));
    assert_eq!(world.complete(), ["GET /", "POST /bs"]);
}

#[test]
fn b8_b9_b10_b11_secured_devices_get_their_keys() {
    let spki = Bytes::from(key_text::base64(samples::PUBLIC_KEY).unwrap());
    for (sample, peer, asked) in [
        (PSK, psk(1, "SOME_PSK_ID"), "SOME_PSK_ID"),
        (RPK, secured(1, PeerIdentity::RawPublicKey(spki)), "dev1"),
        (X509, secured(1, certificate("dev1", "dev1")), "dev1"),
    ] {
        let mut world = World::discovering(sample, &peer);
        assert_eq!(world.questions(), [asked]);
        world.complete();
        assert_eq!(world.machine.stats().finished, 1);
        assert_eq!(world.machine.stats().secrets_over_nosec, 0);
    }
}

/// A certificate with this common name that a handshake found to be that of an endpoint.
fn certificate(common_name: &str, endpoint: &str) -> PeerIdentity {
    PeerIdentity::Certificate {
        common_name: common_name.into(),
        endpoint: endpoint.into(),
        credentials_id: endpoint.into(),
    }
}

#[test]
fn b11_a_pinned_certificate_counts_when_the_handshake_has_seen_it_whatever_it_is_called() {
    let credentials = X509
        .credentials
        .replace(r#""cert":"""#, r#""cert":"MIICBzCC""#);
    let pinned = || admission_with(X509.profile, &credentials);
    let mut world = World::new();
    world.ask(&secured(1, certificate("dev1", "dev2")), &["ep=dev1"]);
    world.admit(Ok(pinned()));
    assert_eq!(world.reply(), UNAUTHORIZED);
    let peer = secured(1, certificate("other", "dev1"));
    let mut world = World::new();
    let datagram = world.ask(&peer, &["ep=dev1"]);
    world.admit(Ok(pinned()));
    assert_eq!(world.request(), "GET /");
    let mut world = World::new();
    let message = Message::parse(datagram);
    world
        .machine
        .handle_message(world.now, &peer, message, Some(&Arc::new(pinned())));
    world.drain();
    assert_eq!(world.questions(), [""; 0]);
    assert_eq!(world.request(), "GET /");
}

#[test]
fn b12_a56_who_is_another_device_learns_nothing() {
    let spki = Bytes::from(key_text::base64(samples::PUBLIC_KEY).unwrap());
    for (sample, peer) in [
        // Its own key, another name: the document it proved is not that of `dev1`.
        (
            Sample {
                credentials: r#"{"client":{"securityConfigClientMode":"PSK","endpoint":"dev2","identity":"ID2","key":"00"},"bootstrap":{}}"#,
                ..PSK
            },
            psk(1, "ID2"),
        ),
        // A document found by an id that is not what the peer proved.
        (PSK, psk(1, "ID2")),
        (PSK, peer(1)),
        (PSK, secured(1, PeerIdentity::RawPublicKey(spki))),
        (
            RPK,
            secured(1, PeerIdentity::RawPublicKey(Bytes::from_static(&[1]))),
        ),
        (RPK, peer(1)),
        (X509, secured(1, certificate("dev2", "dev2"))),
        (X509, peer(1)),
        (NOSEC, psk(1, "SOME_PSK_ID")),
    ] {
        let mut world = World::new();
        world.ask(&peer, &["ep=dev1"]);
        world.admit(Ok(admission(sample)));
        assert_eq!(world.reply(), UNAUTHORIZED, "{peer:?}");
        assert_eq!((world.sent.len(), world.log().len()), (1, 0));
        assert!(world.closed);
    }
}

#[test]
fn b13_an_unknown_endpoint_gets_the_answer_of_a_wrong_one() {
    for error in [QuestionError::NotFound, QuestionError::Invalid] {
        let mut world = World::new();
        world.ask(&peer(1), &["ep=dev1"]);
        world.admit(Err(error));
        assert_eq!(world.reply(), UNAUTHORIZED);
        assert_eq!((world.log().len(), world.reports()), (0, 0));
        assert!(world.closed);
        assert_eq!(world.machine.stats().rejected, 1);
    }
}

#[test]
fn a_device_is_told_to_come_back_while_the_core_is_silent() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Err(QuestionError::Unavailable));
    let answer = world.last();
    assert_eq!(
        (answer.code(), answer.max_age()),
        (Code::SERVICE_UNAVAILABLE, Some(10))
    );
}

#[test]
fn b14_profile_and_credentials_of_different_modes_make_no_accounts() {
    let mixed = Sample {
        profile: PSK.profile,
        ..NOSEC
    };
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(mixed)));
    assert_eq!(world.reply(), NO_CONFIG);
    assert_eq!(
        world.log(),
        [
            "info: Bootstrap session started... /198.51.100.1:5687",
            "error: Different values SecurityMode between of client and profile.",
            "error: Bootstrap session failed because of NO_BOOTSTRAP_CONFIG",
        ]
    );
    assert_eq!(world.reports(), 1);
    assert_eq!(world.machine.stats().rejected, 1);
}

#[test]
fn m9_a_bootstrap_server_with_a_short_id_is_no_configuration_and_the_log_says_why() {
    let profile = NOSEC
        .profile
        .replace(r#""shortServerId":null"#, r#""shortServerId":111"#);
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission_with(&profile, NOSEC.credentials)));
    assert_eq!(world.reply(), NO_CONFIG);
    assert!(
        world.log()[1].contains("short ID must be 0"),
        "{:?}",
        world.log()
    );
}

#[test]
fn a56_keys_go_to_a_device_without_security_only_if_the_settings_say_so() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(PSK_OVER_NOSEC)));
    assert_eq!(world.reply(), NO_CONFIG);
    assert!(world.log()[1].contains("allow_secrets_over_nosec"));
    assert_eq!(world.sent.len(), 1);

    let mut world = World::with(|settings| settings.secrets_over_nosec = true);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(PSK_OVER_NOSEC)));
    world.complete();
    assert_eq!(world.machine.stats().secrets_over_nosec, 1);
}

#[test]
fn a56_no_log_line_holds_a_key() {
    let mut world = World::with(|settings| settings.secrets_over_nosec = true);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(PSK_OVER_NOSEC)));
    let waiting = format!("{:?}", world.machine.session);
    world.answer(Code::CONTENT, "</0/0>");
    let writing = format!("{:?}", world.machine.session);
    for _ in 0..3 {
        world.answer(Code::CHANGED, "");
    }
    world.answer(Code::CHANGED, "");
    let said = format!("{:?} {:?} {waiting} {writing}", world.log(), world.machine);
    assert_eq!(world.machine.stats().finished, 1);
    for key in ["secretPSK", "7365637265", "115, 101, 99"] {
        assert!(!said.contains(key), "{key}");
    }
}

#[test]
fn b15_a_device_that_knows_no_discover_is_written_to_beside_its_bootstrap_account() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::METHOD_NOT_ALLOWED, "");
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(world.request());
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(seen, ["PUT /0/1", "PUT /1/0"]);
    assert_eq!(world.request(), "POST /bs");
    assert_eq!(
        world.log()[1],
        "info: BootstrapDiscoverRequest / receives error response DiscoverResponse [code=METHOD_NOT_ALLOWED(405), errormessage=] "
    );
}

#[test]
fn b15_a_discover_that_cannot_be_read_counts_as_none() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "neither link nor list");
    assert_eq!(world.request(), "PUT /0/1");
}

#[test]
fn b16_a_write_that_is_refused_does_not_end_the_sequence() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "</0/0>");
    world.answer(Code::BAD_REQUEST, "no");
    assert_eq!(world.request(), "PUT /0/1");
    world.answer(Code::CHANGED, "");
    world.answer(Code::UNSUPPORTED_CONTENT_FORMAT, "");
    assert_eq!(world.request(), "POST /bs");
    world.answer(Code::CHANGED, "");
    assert_eq!(
        world.log()[2],
        "info: BootstrapWriteRequest /0/0 receives error response BootstrapWriteResponse [code=BAD_REQUEST(400), errormessage=no] "
    );
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn b17_a56_a_device_that_falls_silent_ends_the_session_without_a_finish() {
    let mut world = World::discovering(NOSEC, &peer(1));
    // Silent after the Discover, then in the middle of the Writes.
    for write in [false, true] {
        if write {
            world.ask(&peer(1), &["ep=dev1"]);
            world.admit(Ok(admission(NOSEC)));
            world.answer(Code::CONTENT, "</0/0>");
            world.answer(Code::CHANGED, "");
            assert_eq!(world.request(), "PUT /0/1");
        }
        let asked = world.sent.len();
        world.run(Duration::from_secs(60));
        assert!(world.machine.is_busy(), "retransmissions take longer");
        world.run(Duration::from_secs(60));
        assert!(!world.machine.is_busy());
        let repeated = &world.sent[asked - 1..];
        assert_eq!(
            repeated.len(),
            5,
            "MAX_RETRANSMIT repetitions and nothing else"
        );
        assert!(
            repeated
                .iter()
                .all(|(_, sent)| sent.datagram() == repeated[0].1.datagram())
        );
    }
    let log = world.log();
    assert_eq!(
        log[1..3],
        [
            "error: BootstrapDiscoverRequest / failed because of timeout",
            "error: Bootstrap session failed because of REQUEST_FAILED",
        ]
    );
    assert_eq!(
        log[log.len() - 2..],
        [
            "error: BootstrapWriteRequest /0/1 failed because of timeout",
            "error: Bootstrap session failed because of REQUEST_FAILED",
        ]
    );
    assert_eq!(world.reports(), 2);
    let stats = world.machine.stats();
    assert_eq!((stats.failed, stats.timed_out), (2, 2));
}

#[test]
fn b17_an_acknowledged_request_without_answer_ends_after_120_seconds() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let id = world.last().message_id();
    world.receive(&peer(1), encode::empty(MessageType::Acknowledgement, id));
    world.run(Duration::from_secs(119));
    assert!(world.machine.is_busy());
    world.run(Duration::from_secs(1));
    assert!(!world.machine.is_busy());
}

#[test]
fn a56_a_device_that_comes_back_after_a_failure_is_bootstrapped_from_the_beginning() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "</0/0>");
    world.run(Duration::from_secs(120));
    assert!(!world.machine.is_busy());
    // What was written before is found and written anew.
    world.ask(&peer(2), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    world.answer(Code::CONTENT, "</0/0>,</0/1>;ssid=123");
    assert_eq!(world.request(), "DELETE /0/1");
    world.answer(Code::DELETED, "");
    for _ in 0..3 {
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(world.request(), "POST /bs");
    world.answer(Code::CHANGED, "");
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn a56_a_lost_finish_is_repeated_and_taken_once() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.answer(Code::CONTENT, "</0/0>");
    for _ in 0..3 {
        world.answer(Code::CHANGED, "");
    }
    assert_eq!(world.request(), "POST /bs");
    let finish = world.last().datagram().clone();
    world.run(Duration::from_secs(4));
    assert_eq!(*world.last().datagram(), finish, "with the same message id");
    world.answer(Code::CHANGED, "");
    // The answer to the first one arrives as well.
    world.answer(Code::CHANGED, "");
    let finished = world
        .log()
        .into_iter()
        .filter(|line| line.contains("finished"));
    assert_eq!((finished.count(), world.reports()), (1, 1));
    assert_eq!(world.machine.stats().finished, 1);
}

#[test]
fn b22_a_finish_that_is_refused_or_not_answered_is_finish_failed() {
    for refused in [true, false] {
        let mut world = World::discovering(NOSEC, &peer(1));
        world.answer(Code::CONTENT, "</0/0>");
        for _ in 0..3 {
            world.answer(Code::CHANGED, "");
        }
        if refused {
            world.answer(Code::NOT_ACCEPTABLE, "inconsistent");
        } else {
            world.run(Duration::from_secs(120));
        }
        let expected = if refused {
            "error: error response for request bootstrap finish. Stop the session: BootstrapSession [endpoint=dev1]"
        } else {
            "error: BootstrapFinishRequest /bs failed because of timeout"
        };
        let log = world.log();
        assert_eq!(
            log[log.len() - 2..],
            [
                expected,
                "error: Bootstrap session failed because of FINISH_FAILED"
            ]
        );
    }
}

#[test]
fn b18_a_second_request_takes_the_place_of_the_first_session() {
    for port in [1, 2] {
        let mut world = World::discovering(NOSEC, &peer(1));
        world.answer(Code::CONTENT, "</0/0>");
        world.ask(&peer(port), &["ep=dev1"]);
        assert!(!world.log().iter().any(|line| line.contains("CANCELLED")));
        world.admit(Ok(admission(NOSEC)));
        assert_eq!(world.request(), "GET /");
        world.complete();
        let log = world.log();
        let lines = ["CANCELLED", "finished"]
            .map(|end| log.iter().filter(|line| line.contains(end)).count());
        assert_eq!((lines, world.reports()), ([1, 1], 2));
        // What the first session had open is not repeated.
        let sent = world.sent.len();
        world.run(Duration::from_secs(100));
        assert_eq!(world.sent.len(), sent);
    }
}

#[test]
fn a56_a_session_is_not_disturbed_by_who_is_not_the_device() {
    let mut world = World::discovering(PSK, &psk(1, "SOME_PSK_ID"));
    for port in 2..100 {
        world.ask(&peer(port), &["ep=dev1"]);
        if world.questions().len() > 1 && world.machine.candidate.is_some() {
            world.admit(Ok(admission(PSK)));
        }
    }
    // Six are asked for, the others are told to wait.
    assert_eq!(world.questions().len(), 7);
    assert_eq!(world.reply(), (Code::TOO_MANY_REQUESTS, ""));
    assert_eq!(world.last().max_age(), Some(30));
    // Those without security do not keep out those with it, nor the session that runs.
    let discover = world
        .sent
        .iter()
        .rposition(|(_, sent)| sent.code() == Code::GET)
        .unwrap();
    world.sent.truncate(discover + 1);
    world.answer(Code::CONTENT, "</0/0>");
    assert_eq!(world.request(), "PUT /0/0");
    world.ask(&psk(1, "SOME_PSK_ID"), &["ep=dev1"]);
    world.admit(Ok(admission(PSK)));
    assert_eq!(world.request(), "GET /");
    assert_eq!(world.machine.layers.len(), MAX_PEERS);
}

#[test]
fn a56_a_replayed_request_is_answered_as_the_first_time_and_starts_nothing() {
    let mut world = World::new();
    let datagram = world.ask(&peer(1), &["ep=dev1"]);
    world.receive(&peer(1), datagram.clone());
    world.admit(Ok(admission(NOSEC)));
    let answer = world.sent[0].1.datagram().clone();
    world.complete();
    let before = world.sent.len();
    for _ in 0..1000 {
        world.receive(&peer(1), datagram.clone());
    }
    assert_eq!(world.sent.len(), before + 1000);
    assert!(
        world.sent[before..]
            .iter()
            .all(|(_, sent)| *sent.datagram() == answer)
    );
    assert_eq!((world.questions().len(), world.log().len()), (1, 7));
}

#[test]
fn a56_new_requests_at_a_thousand_a_second_cost_the_core_six_questions_a_minute() {
    let mut world = World::new();
    for _ in 0..60_000 {
        world.ask(&peer(1), &["ep=dev1"]);
        if world.machine.candidate.is_some() {
            world.admit(Ok(admission(NOSEC)));
        }
        world.now = world.now.after(Duration::from_millis(1));
        world.sent.clear();
    }
    let asked = world.questions().len();
    assert!((6..=12).contains(&asked), "{asked}");
}

#[test]
fn what_exceeds_the_rate_of_a_device_is_dropped_unread() {
    let mut world = World::with(|settings| settings.rate = Some(RateLimit::new(1, 2)));
    for _ in 0..5 {
        world.ask(&peer(1), &["ep=dev1"]);
    }
    assert_eq!(world.machine.stats().limited, 3);
}

#[test]
fn a_request_repeated_anew_before_the_answer_is_answered_once() {
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.ask(&peer(1), &["ep=dev1", "pct=112"]);
    // Somebody else must wait.
    let other = world.ask(&peer(2), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    let answers = world
        .sent
        .iter()
        .filter(|(_, sent)| sent.code() == Code::CHANGED);
    assert_eq!(answers.count(), 1);
    assert_eq!(world.questions().len(), 1);
    assert_eq!(world.machine.stats().dropped_requests, 1);
    world.answer(Code::CONTENT, "</0/0>");
    assert_eq!(
        world.last().content_format(),
        Some(ContentFormat::SENML_CBOR)
    );
    // When it asks again, it is heard.
    world.receive(&peer(2), other);
    assert_eq!(world.questions().len(), 2);
}

#[test]
fn requests_that_break_a_rule_are_refused_without_a_question() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let datagram = |code: Code, path: &str| {
        let request = Request {
            method: code,
            path: vec![path.to_owned()],
            ..Request::default()
        };
        encode::request(
            &request,
            MessageType::Confirmable,
            MessageId(900),
            Token::default(),
        )
    };
    for (port, code, path, expected) in [
        (
            2,
            Code::POST,
            "bs",
            (Code::BAD_REQUEST, "endpoint is mandatory"),
        ),
        (3, Code::GET, "bs", (Code::METHOD_NOT_ALLOWED, "")),
        (1, Code::GET, "bspack", (Code::NOT_FOUND, "")),
        (4, Code::POST, "rd", (Code::NOT_FOUND, "")),
    ] {
        world.receive(&peer(port), datagram(code, path));
        assert_eq!(world.reply(), expected);
    }
    assert_eq!(world.questions().len(), 1);
}

#[test]
fn a_request_for_another_endpoint_is_handed_on() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let datagram = world.ask(&peer(1), &["ep=dev2"]);
    assert_eq!(world.misrouted, [datagram]);
    assert_eq!(world.questions().len(), 1);
}

#[test]
fn a_session_ends_after_ten_minutes_however_far_it_is() {
    let entry = |id: u16| {
        format!(r#"{{"securityMode":"NO_SEC","shortServerId":{id},"host":"h{id}","port":1}}"#)
    };
    let profile = format!(
        r#"{{"type":"LWM2M","bootstrap":[{},{},{}]}}"#,
        entry(1),
        entry(2),
        entry(3)
    );
    let mut world = World::new();
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission_with(&profile, NOSEC.credentials)));
    // A device that takes almost two minutes for every answer.
    for step in 0..5 {
        let (id, token) = (world.last().message_id(), world.last().token());
        world.receive(&peer(1), encode::empty(MessageType::Acknowledgement, id));
        world.run(Duration::from_secs(119));
        let response = Response::new(Code::CHANGED);
        let response = encode::response(
            &response,
            MessageType::NonConfirmable,
            MessageId(5000 + step),
            token,
        );
        world.receive(&peer(1), response);
    }
    assert_eq!(world.request(), "PUT /1/1");
    world.run(Duration::from_secs(4));
    assert!(world.machine.is_busy());
    world.run(Duration::from_secs(1));
    assert!(!world.machine.is_busy());
    assert!(world.log().last().unwrap().ends_with("REQUEST_FAILED"));
}

#[test]
fn a_peer_whose_security_context_goes_ends_its_session() {
    let peer = psk(1, "SOME_PSK_ID");
    let mut world = World::discovering(PSK, &peer);
    world.machine.handle_disconnect(world.now, peer.id);
    world.drain();
    assert_eq!(
        world.log()[1],
        "error: Bootstrap session failed because of REQUEST_FAILED"
    );
    assert_eq!((world.bound.len(), world.reports()), (0, 1));
}

#[test]
fn a_finished_session_is_forgotten_after_exchange_lifetime() {
    let mut world = World::discovering(NOSEC, &peer(1));
    world.complete();
    assert_eq!(world.bound.len(), 1);
    world.run(Duration::from_secs(246));
    assert!(!world.closed);
    world.run(Duration::from_secs(2));
    assert!(world.closed);
    assert_eq!((world.bound.len(), world.machine.poll_timeout()), (0, None));
}

#[test]
fn a_server_that_stops_ends_the_session_in_silence() {
    let mut world = World::discovering(NOSEC, &peer(1));
    let sent = world.sent.len();
    world.machine.stop(world.now);
    world.drain();
    assert!(world.closed);
    assert_eq!((world.sent.len(), world.reports()), (sent, 1));
    assert!(world.log()[1].ends_with("CANCELLED"));
}

#[test]
fn log_lines_are_written_only_if_wanted_and_never_too_long() {
    let mut world = World::with(|settings| settings.log_enabled = false);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    world.complete();
    assert_eq!((world.log().len(), world.reports()), (0, 1));
    let mut world = World::with(|settings| settings.log_max_length = 20);
    world.ask(&peer(1), &["ep=dev1"]);
    world.admit(Ok(admission(NOSEC)));
    world.complete();
    assert!(world.log().iter().all(|line| line.len() <= 20));
}

proptest::proptest! {
    /// Whatever comes, in whatever order: no panic, no growth, and no key in a message but a Write to a device admitted.
    #[test]
    fn any_interleaving_keeps_the_machine_sound(inputs in proptest::collection::vec((0_u8..8, 0_u16..6, proptest::prelude::any::<Vec<u8>>()), 0..60)) {
        let mut world = World::new();
        for (kind, port, bytes) in inputs {
            if world.closed {
                break;
            }
            match kind {
                0 => drop(world.ask(&peer(port), &["ep=dev1"])),
                1 => drop(world.ask(&psk(port, "SOME_PSK_ID"), &["ep=dev1"])),
                2 => world.receive(&peer(port), Bytes::from(bytes)),
                3 if world.machine.candidate.is_some() => world.admit(Ok(admission(PSK))),
                4 if world.sent.iter().any(|(_, sent)| sent.code().is_request()) => world.answer(Code::CONTENT, "</0/0>"),
                5 => world.run(Duration::from_secs(u64::from(port) * 20)),
                6 => world.machine.handle_disconnect(world.now, peer(port).id),
                _ => world.machine.handle_timeout(world.now),
            }
            if !world.closed {
                world.drain();
            }
            assert!(world.machine.layers.len() <= MAX_PEERS);
        }
        let key = b"secretPSKsecretP";
        for (to, message) in &world.sent {
            let holds_key = message.datagram().windows(key.len()).any(|window| window == key);
            assert!(!holds_key || message.code() == Code::PUT, "{to}");
        }
    }
}
