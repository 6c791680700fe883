//! Datagrams written by hand, so that a test sees the wire and not this project's own device.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType};

use crate::server::{Home, PATIENCE, Server};

/// A response code as people write it, `4.04` for instance.
pub(crate) struct Code;

impl Code {
    pub(crate) const CREATED: &str = "2.01";
    pub(crate) const CHANGED: &str = "2.04";
    pub(crate) const BAD_REQUEST: &str = "4.00";
    pub(crate) const BAD_OPTION: &str = "4.02";
    pub(crate) const FORBIDDEN: &str = "4.03";
    pub(crate) const NOT_FOUND: &str = "4.04";
    pub(crate) const METHOD_NOT_ALLOWED: &str = "4.05";
    pub(crate) const PRECONDITION_FAILED: &str = "4.12";
}

/// A socket that speaks to one server.
pub(crate) struct Client {
    socket: UdpSocket,
    next_message_id: u16,
}

impl Client {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        socket.connect(server).expect("loopback is reached");
        Self {
            socket,
            next_message_id: 1,
        }
    }

    pub(crate) fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).expect("it is sent");
    }

    /// Sends and returns what comes back.
    pub(crate) fn ask(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        self.send(datagram);
        self.receive(PATIENCE)
    }

    /// What arrives within `patience`.
    pub(crate) fn receive(&self, patience: Duration) -> Option<Vec<u8>> {
        let mut datagram = vec![0; 65_536];
        self.socket
            .set_read_timeout(Some(patience))
            .expect("a timeout can be set");
        let length = self.socket.recv(&mut datagram).ok()?;
        datagram.truncate(length);
        Some(datagram)
    }

    /// Sends a confirmable request and returns the answer to it.
    pub(crate) fn request(&mut self, method: RequestType, path: &str, query: &str) -> Answer {
        let mut request = Packet::new();
        request.header.set_type(MessageType::Confirmable);
        request.header.code = MessageClass::Request(method);
        request.header.message_id = self.next_message_id;
        request.set_token(self.next_message_id.to_be_bytes().to_vec());
        self.next_message_id += 1;
        for segment in path.split('/').skip(1) {
            request.add_option(CoapOption::UriPath, segment.into());
        }
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            request.add_option(CoapOption::UriQuery, parameter.into());
        }
        if path == "/rd" {
            request.add_option(CoapOption::ContentFormat, vec![40]);
            request.payload = b"</3/0>".to_vec();
        }
        self.send(&request.to_bytes().expect("it can be encoded"));
        loop {
            let datagram = self.receive(PATIENCE).expect("there is an answer");
            let answer = Packet::from_bytes(&datagram).expect("it is CoAP");
            // What the server asks of a device that it takes for registered is not answered.
            if answer.get_token() == request.get_token() {
                assert_eq!(answer.header.message_id, request.header.message_id);
                return Answer(answer);
            }
        }
    }

    pub(crate) fn register(&mut self, query: &str) -> Answer {
        self.request(RequestType::Post, "/rd", query)
    }

    /// Updates the registration that `created` answered.
    pub(crate) fn update(&mut self, created: &Answer) -> Answer {
        self.request(RequestType::Post, &created.location(), "")
    }
}

/// The answer to a request.
pub(crate) struct Answer(Packet);

impl Answer {
    pub(crate) fn code(&self) -> String {
        self.0.header.get_code()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.payload.clone()).expect("it is text")
    }

    pub(crate) fn location(&self) -> String {
        let segments = self
            .0
            .get_option(CoapOption::LocationPath)
            .into_iter()
            .flatten();
        segments.fold(String::new(), |path, segment| {
            format!("{path}/{}", String::from_utf8_lossy(segment))
        })
    }
}

#[test]
fn a46_a_register_that_breaks_a_rule_is_answered_by_its_rule() {
    let home = Home::with_device("urn:dev:wire");
    let mut server = Server::start(&home);
    let mut client = Client::connect(server.coap);
    let long = "x".repeat(300);
    for (query, code, text) in [
        (
            "lt=300&lwm2m=1.1&b=U",
            Code::BAD_REQUEST,
            "endpoint is mandatory",
        ),
        (
            "ep=&lt=300&lwm2m=1.1&b=U",
            Code::BAD_REQUEST,
            "endpoint is mandatory",
        ),
        ("ep=urn:dev:wire&lt=-1&lwm2m=1.1&b=U", Code::BAD_REQUEST, ""),
        (
            "ep=urn:dev:wire&lt=9223372036854775808&lwm2m=1.1&b=U",
            Code::BAD_REQUEST,
            "",
        ),
        (
            "ep=urn:dev:wire&lt=300&lwm2m=1.1&b=X",
            Code::BAD_REQUEST,
            "",
        ),
        (
            "ep=urn:dev:wire&lt=300&lwm2m=9.9&b=U",
            Code::PRECONDITION_FAILED,
            "",
        ),
        ("ep=urn:dev:wire&lt=300&lwm2m=x&b=U", Code::BAD_REQUEST, ""),
        (
            &format!("ep={long}&lt=300&lwm2m=1.1&b=U"),
            Code::BAD_OPTION,
            "",
        ),
        ("ep=urn:dev:other&lt=300&lwm2m=1.1&b=U", Code::FORBIDDEN, ""),
    ] {
        let answer = client.register(query);
        assert_eq!(answer.code(), code, "{query}: {}", answer.text());
        assert!(
            answer.text().starts_with(text),
            "{query}: {}",
            answer.text()
        );
    }
    assert_eq!(
        server.metric(r#"lightship_registrations{security="nosec"}"#),
        0
    );
    // A lifetime of 0 is raised below LwM2M 1.2 and means no end from there on: both stay registered.
    for version in ["1.0", "1.1", "1.2"] {
        let created = client.register(&format!("ep=urn:dev:wire&lt=0&lwm2m={version}&b=U"));
        assert_eq!(created.code(), Code::CREATED, "{version}");
        assert_eq!(client.update(&created).code(), Code::CHANGED, "{version}");
    }
    assert!(server.process.is_running());
}

#[test]
fn paths_and_methods_that_there_are_not_are_answered_so() {
    let home = Home::new();
    let server = Server::start(&home);
    let mut client = Client::connect(server.coap);
    for (method, path, code) in [
        (RequestType::Get, "/3/0/9", Code::NOT_FOUND),
        (RequestType::Post, "/rd/0aXXXXXXXX", Code::NOT_FOUND),
        (RequestType::Delete, "/rd/0aXXXXXXXX", Code::NOT_FOUND),
        (RequestType::Get, "/rd", Code::METHOD_NOT_ALLOWED),
        (RequestType::Put, "/rd/0aXXXXXXXX", Code::METHOD_NOT_ALLOWED),
    ] {
        assert_eq!(
            client.request(method, path, "").code(),
            code,
            "{method:?} {path}"
        );
    }
}

#[test]
fn a18_a21_messages_that_are_none_get_a_reset_or_silence() {
    let home = Home::new();
    let server = Server::start(&home);
    let client = Client::connect(server.coap);
    const PING: &[u8] = &[0x40, 0, 0x77, 0x77];
    const PONG: &[u8] = &[0x70, 0, 0x77, 0x77];
    for (what, datagram, confirmable) in [
        (
            "token length 9",
            &[0x49, 0x02, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 9][..],
            true,
        ),
        ("token cut short", &[0x44, 0x02, 0x12, 0x34, 1, 2], true),
        ("option delta 15", &[0x40, 0x02, 0x12, 0x34, 0xf0], true),
        ("option length 15", &[0x40, 0x02, 0x12, 0x34, 0xbf], true),
        (
            "extended delta cut short",
            &[0x40, 0x02, 0x12, 0x34, 0xe1, 0xff],
            true,
        ),
        (
            "marker without payload",
            &[0x40, 0x02, 0x12, 0x34, 0xb2, b'r', b'd', 0xff],
            true,
        ),
        ("reserved class 1", &[0x40, 0x20, 0x12, 0x34], true),
        (
            "option delta 15, NON",
            &[0x50, 0x02, 0x12, 0x34, 0xf0],
            false,
        ),
        ("version 0", &[0x00, 0x02, 0x12, 0x34], false),
        ("version 3", &[0xc0, 0x02, 0x12, 0x34], false),
        ("three bytes", &[0x40, 0x02, 0x12], false),
        ("nothing", &[], false),
        ("ACK of nothing", &[0x60, 0x00, 0x12, 0x34], false),
        ("RST of nothing", &[0x70, 0x00, 0x12, 0x34], false),
    ] {
        if confirmable {
            assert_eq!(
                client.ask(datagram).as_deref(),
                Some(&[0x70, 0, 0x12, 0x34][..]),
                "{what}"
            );
        } else {
            // What is answered to a ping sent after it is the first answer.
            client.send(datagram);
            assert_eq!(client.ask(PING).as_deref(), Some(PONG), "{what}");
        }
    }
}

#[test]
fn a26_a_flood_of_pings_is_answered_up_to_a_rate() {
    let home = Home::new();
    let server = Server::start_with(&home, &["--set", "runtime.workers=1"]);
    let client = Client::connect(server.coap);
    let sent = 20_000_u16;
    for id in 0..sent {
        let [high, low] = id.to_be_bytes();
        client.send(&[0x40, 0, high, low]);
    }
    let name = r#"lightship_udp_datagrams_total{direction="in"}"#;
    let mut before = 0;
    // All have been handled once no more come.
    crate::server::poll("the end of the flood", || {
        let arrived = server.metric(name);
        (std::mem::replace(&mut before, arrived) == arrived).then_some(())
    });
    let answered = server.metric(r#"lightship_udp_datagrams_total{direction="out"}"#);
    assert!(
        answered > 0 && answered < u64::from(sent) / 2,
        "{answered} of {before} answered"
    );
}

#[test]
fn a28_peers_that_are_gone_cost_nobody_else() {
    let home = Home::new();
    let server = Server::start_with(&home, &["--set", "runtime.workers=1"]);
    let client = Client::connect(server.coap);
    for round in 0..20_u8 {
        // Each asks and is gone: its pong finds a closed port, and ICMP says so to the server's socket.
        for id in 0..10_u8 {
            Client::connect(server.coap).send(&[0x40, 0, round, id]);
        }
        let (ping, pong) = ([0x40, 0, 0x80, round], [0x70, 0, 0x80, round]);
        assert_eq!(client.ask(&ping).as_deref(), Some(&pong[..]));
    }
}

#[test]
fn a03_what_was_sent_to_a_group_is_counted_and_not_answered() {
    use std::net::Ipv4Addr;
    let home = Home::new();
    let server = Server::start_with(
        &home,
        &[
            "--set",
            "runtime.workers=1",
            "--set",
            "lwm2m.server.bind=0.0.0.0",
        ],
    );
    let group = Ipv4Addr::new(239, 255, 86, 85);
    // A socket bound to every address gets what is sent to the groups that the host has joined.
    let member = UdpSocket::bind("0.0.0.0:0").expect("there is a free port");
    let sender = socket2::SockRef::from(&member);
    if member
        .join_multicast_v4(&group, &Ipv4Addr::LOCALHOST)
        .and_then(|()| sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST))
        .is_err()
    {
        println!("skipped: this machine has no multicast on loopback");
        return;
    }
    let port = server.coap.port();
    member
        .send_to(&[0x40, 0, 0x12, 0x34], (group, port))
        .expect("loopback takes it");
    crate::server::poll("the datagram to the group", || {
        (server.metric(r#"lightship_udp_dropped_total{reason="multicast"}"#) > 0).then_some(())
    });
    // Nothing came back: the first answer is that to a ping of our own.
    let other: &[u8] = &[0x40, 0, 0x43, 0x21];
    member
        .send_to(other, (Ipv4Addr::LOCALHOST, port))
        .expect("loopback takes it");
    let mut answer = [0; 16];
    member
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    let length = member.recv(&mut answer).expect("a pong");
    assert_eq!(answer[..length], [0x70, 0, 0x43, 0x21]);
}
