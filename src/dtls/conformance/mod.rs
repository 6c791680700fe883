//! Server and clients over a network that tests control: whole handshakes and associations, in virtual time.

mod abuse;
mod associations;
mod certificates;
mod handshakes;
mod scale;
mod simulation;

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    client::{Client, ClientConfig, ClientCredential, ClientOutput},
    message::{Fragment, MessageType},
    record::{HANDSHAKE, Header},
    *,
};

/// A datagram on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    to_server: bool,
    address: PeerAddress,
    bytes: Vec<u8>,
}

/// A device: its side of an association and where it is.
struct Device {
    client: Client,
    address: PeerAddress,
    outputs: Vec<ClientOutput>,
}

impl Device {
    fn data(&self) -> Vec<Vec<u8>> {
        self.outputs
            .iter()
            .filter_map(|output| match output {
                ClientOutput::Data(data) => Some(data.to_vec()),
                ClientOutput::Transmit(_)
                | ClientOutput::Established { .. }
                | ClientOutput::Closed(_) => None,
            })
            .collect()
    }

    fn end(&self) -> Option<client::ClientEnd> {
        self.outputs.iter().find_map(|output| match output {
            ClientOutput::Closed(end) => Some(*end),
            ClientOutput::Transmit(_)
            | ClientOutput::Established { .. }
            | ClientOutput::Data(_) => None,
        })
    }
}

type Answers = Box<dyn FnMut(&CredentialQuery) -> Option<CredentialAnswer>>;

/// A server, devices, and the network between them, which loses nothing by itself.
struct World {
    now: Instant,
    server: Server,
    devices: Vec<Device>,
    network: VecDeque<Packet>,
    /// All that was ever sent.
    sent: Vec<Packet>,
    /// What the server told, datagrams left out.
    events: Vec<Output>,
    /// What is answered at once; what is not stays open.
    answers: Answers,
    seed: u64,
}

impl World {
    fn new(config: Config) -> Self {
        // Worlds of one seed have the same keys.
        channel::nonces::take();
        let now = test_support::start();
        let random = Box::new(test_support::random(1));
        Self {
            now,
            server: Server::new(Arc::new(config), random, now, WALL),
            devices: Vec::new(),
            network: VecDeque::new(),
            sent: Vec::new(),
            events: Vec::new(),
            answers: Box::new(|query| Some(known(query))),
            seed: 1,
        }
    }

    /// A device begins a handshake; its index.
    fn connect(&mut self, config: ClientConfig) -> usize {
        let index = self.devices.len();
        self.connect_from(address(index), config)
    }

    fn connect_from(&mut self, address: PeerAddress, config: ClientConfig) -> usize {
        self.seed += 1;
        let random = Box::new(test_support::random(self.seed));
        let client = Client::new(self.now, Arc::new(config), random);
        self.devices.push(Device {
            client,
            address,
            outputs: Vec::new(),
        });
        self.drain();
        self.devices.len() - 1
    }

    /// Delivers until nothing is under way.
    fn run(&mut self) {
        self.drain();
        while let Some(packet) = self.network.pop_front() {
            self.deliver(packet);
        }
    }

    fn deliver(&mut self, mut packet: Packet) {
        if packet.to_server {
            self.server
                .handle_datagram(self.now, packet.address, &mut packet.bytes);
        } else {
            for device in self
                .devices
                .iter_mut()
                .filter(|device| device.address == packet.address)
            {
                device
                    .client
                    .handle_datagram(self.now, &mut packet.bytes.clone());
            }
        }
        self.drain();
    }

    /// Delivers the next so many datagrams.
    fn step(&mut self, datagrams: usize) {
        for _ in 0..datagrams {
            let packet = self.next();
            self.deliver(packet);
        }
    }

    /// Takes the next datagram off the network.
    fn next(&mut self) -> Packet {
        self.network.pop_front().expect("a datagram")
    }

    /// Lets time pass, with everything that is due in it.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let clients = self
                .devices
                .iter()
                .filter_map(|device| device.client.poll_timeout());
            let due = self.server.poll_timeout().into_iter().chain(clients).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            for device in &mut self.devices {
                device.client.handle_timeout(self.now);
            }
            self.run();
        }
        self.now = end;
    }

    /// Takes what server and devices put out.
    fn drain(&mut self) {
        let mut packets = Vec::new();
        for device in &mut self.devices {
            while let Some(output) = device.client.poll_output() {
                if let ClientOutput::Transmit(bytes) = output {
                    packets.push(Packet {
                        to_server: true,
                        address: device.address,
                        bytes: bytes.to_vec(),
                    });
                } else {
                    device.outputs.push(output);
                }
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit { peer, datagram } => {
                    packets.push(Packet {
                        to_server: false,
                        address: peer,
                        bytes: datagram.to_vec(),
                    });
                }
                Output::NeedCredential {
                    association,
                    ref query,
                    ..
                } => {
                    let answer = (self.answers)(query);
                    self.events.push(output);
                    if let Some(answer) = answer {
                        self.server.handle_credential(self.now, association, answer);
                    }
                }
                Output::Established(_)
                | Output::Data { .. }
                | Output::PeerMoved { .. }
                | Output::NeedsHandshake { .. }
                | Output::Closed { .. }
                | Output::HandshakeFailed { .. } => self.events.push(output),
            }
        }
        self.sent.extend(packets.iter().cloned());
        self.network.extend(packets);
    }

    /// What there is in the events of one kind.
    fn all<T>(&self, kind: impl Fn(&Output) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(kind).collect()
    }

    fn established(&self) -> Vec<Established> {
        self.all(|output| {
            let Output::Established(established) = output else {
                return None;
            };
            Some((**established).clone())
        })
    }

    /// The associations that were made, in their order.
    fn associations(&self) -> Vec<AssociationId> {
        let established = self.established();
        established.iter().map(|own| own.association).collect()
    }

    /// The last one.
    fn association(&self) -> AssociationId {
        *self.associations().last().expect("an association")
    }

    fn data(&self) -> Vec<(AssociationId, Vec<u8>)> {
        self.all(|output| {
            let Output::Data {
                association,
                payload,
                ..
            } = output
            else {
                return None;
            };
            Some((*association, payload.to_vec()))
        })
    }

    fn closed(&self) -> Vec<(AssociationId, CloseReason)> {
        self.all(|output| {
            let Output::Closed {
                association,
                reason,
            } = output
            else {
                return None;
            };
            Some((*association, *reason))
        })
    }

    fn failures(&self) -> Vec<HandshakeFailure> {
        self.all(|output| {
            let Output::HandshakeFailed { failure, .. } = output else {
                return None;
            };
            Some(*failure)
        })
    }

    /// The questions that were asked, and for which handshakes.
    fn questions(&self) -> Vec<(AssociationId, CredentialQuery)> {
        self.all(|output| {
            let Output::NeedCredential {
                association, query, ..
            } = output
            else {
                return None;
            };
            Some((*association, query.clone()))
        })
    }

    fn queries(&self) -> Vec<CredentialQuery> {
        let questions = self.questions().into_iter();
        questions.map(|(_, query)| query).collect()
    }

    /// Answers a question as [`known`] does; whether anybody waited for it.
    fn answer(&mut self, (association, query): (AssociationId, CredentialQuery)) -> bool {
        let (now, answer) = (self.now, known(&query));
        self.server.handle_credential(now, association, answer)
    }

    /// Data goes both ways between a device and its association.
    fn talk(&mut self, device: usize, association: AssociationId) {
        self.seed += 1;
        let text = self.seed.to_string().into_bytes();
        self.devices[device]
            .client
            .send(&text)
            .expect("there is an association");
        self.run();
        assert_eq!(self.data().last(), Some(&(association, text.clone())));
        self.server
            .send(self.now, association, &text)
            .expect("there is an association");
        self.run();
        assert_eq!(self.devices[device].data().last(), Some(&text));
    }

    /// Nothing is left of any handshake.
    fn assert_no_handshakes(&self) {
        assert_eq!(self.server.handshakes(), 0);
        assert_eq!(self.server.open_queries(), 0);
        assert!(self.server.is_without_traces_of_handshakes());
        // The owner, who keeps something for each that asked, was told once how it ended.
        let mut ended = self.all(|output| match output {
            Output::Established(established) => Some(established.association),
            Output::HandshakeFailed { association, .. } => *association,
            Output::Transmit { .. }
            | Output::NeedCredential { .. }
            | Output::Data { .. }
            | Output::PeerMoved { .. }
            | Output::NeedsHandshake { .. }
            | Output::Closed { .. } => None,
        });
        let all = ended.len();
        ended.sort_unstable();
        ended.dedup();
        assert_eq!(ended.len(), all);
        let mut asked = self.questions().into_iter();
        assert!(asked.all(|(id, _)| ended.binary_search(&id).is_ok()));
    }
}

/// The answer to all that is known: the key of [`psk`], every public key and certificate.
fn known(query: &CredentialQuery) -> CredentialAnswer {
    match query {
        CredentialQuery::PreSharedKey { identity } if **identity == *"device" => {
            CredentialAnswer::PreSharedKey {
                key: key(KEY),
                tag: PrincipalTag(7),
            }
        }
        CredentialQuery::PreSharedKey { .. } => CredentialAnswer::Deny(DenyReason::UnknownIdentity),
        CredentialQuery::RawPublicKey { .. } | CredentialQuery::Certificate(_) => {
            CredentialAnswer::Accept {
                tag: PrincipalTag(8),
            }
        }
    }
}

fn key(key: &[u8]) -> PreSharedKey {
    PreSharedKey::new(key).expect("1 to 64 bytes")
}

/// A device that the server knows.
fn psk() -> ClientConfig {
    psk_with(b"device", KEY)
}

fn psk_with(identity: &[u8], psk: &[u8]) -> ClientConfig {
    ClientConfig::new(
        vec![CipherSuite::PskWithAes128Ccm8],
        ClientCredential::PreSharedKey {
            identity: identity.to_vec(),
            key: key(psk),
        },
    )
}

/// A device without connection id.
fn without_cid() -> ClientConfig {
    ClientConfig {
        connection_id: None,
        ..psk()
    }
}

fn address(index: usize) -> PeerAddress {
    let port = u16::try_from(20_000 + index % 10_000).expect("a port");
    let host = u8::try_from(1 + index / 10_000).expect("few");
    at([192, 0, 2, host], port)
}

fn at(ip: impl Into<IpAddr>, port: u16) -> PeerAddress {
    PeerAddress {
        remote: SocketAddr::new(ip.into(), port),
        local: None,
    }
}

/// A record of epoch 0.
fn plain(address: PeerAddress, content_type: u8, sequence: u64, content: &[u8]) -> Packet {
    let mut bytes = Vec::new();
    Header::new(content_type, 0, sequence).write(content.len(), &mut bytes);
    bytes.extend(content);
    Packet {
        to_server: true,
        address,
        bytes,
    }
}

/// A part of a handshake message.
fn fragment(
    message_type: MessageType,
    message_seq: u16,
    length: usize,
    offset: usize,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    Fragment {
        message_type: message_type as u8,
        length,
        message_seq,
        offset,
        body,
    }
    .write(&mut out);
    out
}

/// A handshake message in a record of its own.
fn message(
    address: PeerAddress,
    message_type: MessageType,
    message_seq: u16,
    body: &[u8],
) -> Packet {
    let content = fragment(message_type, message_seq, body.len(), 0, body);
    plain(address, HANDSHAKE, u64::from(message_seq), &content)
}

const KEY: &[u8] = b"secretPSKsecretP";
/// 2026-11-24
const WALL: Duration = Duration::from_secs(1_795_478_400);
