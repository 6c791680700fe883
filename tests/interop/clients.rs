//! The clients of the harness itself, before a server that only does what each test says.
//!
//! Above all: a notification counts as acknowledged when, and only when, the server's ACK came. The tests of the
//! delivery promise rest on it.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};

use crate::peers::leshan::{self, Options};
use crate::peers::wakaama;

#[test]
fn leshan_reports_a_notification_acknowledged_only_when_it_was() {
    let mut server = Server::bind();
    let Some(mut client) =
        leshan::Client::start(&server.uri(), "urn:lightship:leshan", Options::default())
    else {
        return;
    };
    server.accept_registration("urn:lightship:leshan");
    client.expect_event("registered");
    let first = server.observe("/3303/0/5700");
    assert_eq!(first.header.get_type(), MessageType::Acknowledgement);
    assert!(
        first.get_observe_value().is_some(),
        "the observation is accepted"
    );
    client.expect_event("observed /3303/0/5700");

    client.command("set /3303/0/5700 30.25");
    let notification = server.receive();
    assert_eq!(notification.header.get_type(), MessageType::Confirmable);
    assert_eq!(client.expect_event("notified /3303/0/5700"), "30.25");
    // Unacknowledged, it comes again; only then it is acknowledged.
    let repeated = server.receive();
    assert_eq!(repeated.header.message_id, notification.header.message_id);
    assert!(
        client.values("acked").is_empty(),
        "nothing was acknowledged so far"
    );
    server.acknowledge(&repeated);
    assert_eq!(client.expect_event("acked /3303/0/5700"), "30.25");
    assert_eq!(client.values("acked /3303/0/5700"), ["30.25"]);
}

#[test]
fn leshan_obeys_and_reports_what_the_server_does() {
    let mut server = Server::bind();
    let options = Options {
        lifetime: 60,
        update_every: Some(1),
        ..Options::default()
    };
    let Some(mut client) = leshan::Client::start(&server.uri(), "urn:lightship:obedient", options)
    else {
        return;
    };
    server.accept_registration("urn:lightship:obedient");
    client.expect_event("registered");

    let mut write = Server::request(RequestType::Put, "/3/0/14");
    write.add_option(CoapOption::ContentFormat, Vec::new());
    write.payload = b"+02:00".to_vec();
    assert_eq!(
        server.exchange(write).header.code,
        MessageClass::Response(ResponseType::Changed)
    );
    assert_eq!(client.expect_event("written /3/0/14"), "+02:00");

    let mut execute = Server::request(RequestType::Post, "/3/0/4");
    execute.payload = b"0='now'".to_vec();
    assert_eq!(
        server.exchange(execute).header.code,
        MessageClass::Response(ResponseType::Changed)
    );
    assert_eq!(client.expect_event("executed /3/0/4"), "0='now'");

    server.answer_next(RequestType::Post, ResponseType::Changed);
    client.expect_event("updated");

    client.command("freeze");
    // Updates go on every second and get lost; none arrives any more once those under way are through.
    while server.try_receive(Duration::from_secs(3)).is_some() {}
    client.command("thaw");
    server.answer_next(RequestType::Post, ResponseType::Changed);
    client.expect_event("updated");

    client.command("deregister");
    server.answer_next(RequestType::Delete, ResponseType::Deleted);
    client.expect_event("deregistered");
}

#[test]
fn wakaama_registers_and_is_read() {
    let mut server = Server::bind();
    let Some(mut client) = wakaama::Client::start(server.port(), "wakaama", 60) else {
        return;
    };
    server.accept_registration("wakaama");
    client.expect("STATE_READY");
    let answer = server.exchange(Server::request(RequestType::Get, "/3/0/0"));
    assert_eq!(
        answer.header.code,
        MessageClass::Response(ResponseType::Content)
    );
    client.command("quit");
    server.answer_next(RequestType::Delete, ResponseType::Deleted);
    client.process().wait(Duration::from_secs(10));
}

/// A CoAP server without behaviour: it receives, and answers as it is told.
struct Server {
    socket: UdpSocket,
    client: Option<SocketAddr>,
    next_message_id: u16,
}

impl Server {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has a free port");
        Self {
            socket,
            client: None,
            next_message_id: 1,
        }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().expect("it is bound").port()
    }

    fn uri(&self) -> String {
        format!("coap://127.0.0.1:{}", self.port())
    }

    fn accept_registration(&mut self, endpoint: &str) {
        let register = self.receive();
        assert_eq!(
            register.header.code,
            MessageClass::Request(RequestType::Post)
        );
        assert_eq!(texts(&register, CoapOption::UriPath), ["rd"]);
        let name = format!("ep={endpoint}");
        assert!(
            texts(&register, CoapOption::UriQuery).contains(&name),
            "{register:?}"
        );
        let mut created = response(&register, ResponseType::Created);
        for segment in ["rd", "1"] {
            created.add_option(CoapOption::LocationPath, segment.into());
        }
        self.send(&created);
    }

    /// Receives until a request of this method comes, and answers it.
    fn answer_next(&mut self, method: RequestType, code: ResponseType) {
        loop {
            let request = self.receive();
            if request.header.code == MessageClass::Request(method) {
                return self.send(&response(&request, code));
            }
        }
    }

    fn observe(&mut self, path: &str) -> Packet {
        let mut request = Self::request(RequestType::Get, path);
        request.set_observe_value(0);
        self.exchange(request)
    }

    fn request(method: RequestType, path: &str) -> Packet {
        let mut request = Packet::new();
        request.header.set_type(MessageType::Confirmable);
        request.header.code = MessageClass::Request(method);
        for segment in path.split('/').skip(1) {
            request.add_option(CoapOption::UriPath, segment.into());
        }
        request
    }

    /// Sends a request and returns its answer; what else arrives meanwhile is dropped.
    fn exchange(&mut self, mut request: Packet) -> Packet {
        request.header.message_id = self.next_message_id;
        request.set_token(self.next_message_id.to_be_bytes().to_vec());
        self.next_message_id += 1;
        self.send(&request);
        loop {
            let packet = self.receive();
            if packet.get_token() == request.get_token() {
                return packet;
            }
        }
    }

    fn acknowledge(&self, message: &Packet) {
        let mut acknowledgement = Packet::new();
        acknowledgement
            .header
            .set_type(MessageType::Acknowledgement);
        acknowledgement.header.code = MessageClass::Empty;
        acknowledgement.header.message_id = message.header.message_id;
        self.send(&acknowledgement);
    }

    fn send(&self, packet: &Packet) {
        let client = self.client.expect("the client spoke first");
        self.socket
            .send_to(
                &packet.to_bytes().expect("our own packet can be encoded"),
                client,
            )
            .expect("it is sent");
    }

    fn receive(&mut self) -> Packet {
        self.try_receive(leshan::PATIENCE)
            .expect("the client sends something")
    }

    fn try_receive(&mut self, timeout: Duration) -> Option<Packet> {
        let mut datagram = [0; 1500];
        self.socket
            .set_read_timeout(Some(timeout))
            .expect("a timeout can be set");
        let (length, client) = self.socket.recv_from(&mut datagram).ok()?;
        self.client = Some(client);
        Some(Packet::from_bytes(&datagram[..length]).expect("clients send CoAP"))
    }
}

/// Makes the piggybacked response to a request.
fn response(request: &Packet, code: ResponseType) -> Packet {
    let mut response = Packet::new();
    response.header.set_type(MessageType::Acknowledgement);
    response.header.code = MessageClass::Response(code);
    response.header.message_id = request.header.message_id;
    response.set_token(request.get_token().to_vec());
    response
}

fn texts(packet: &Packet, option: CoapOption) -> Vec<String> {
    let values = packet.get_option(option).into_iter().flatten();
    values
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect()
}
