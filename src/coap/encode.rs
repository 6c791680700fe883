//! Messages to be sent. Packets with options are built by `coap-lite`; those that are a header and a token alone (empty
//! messages, and most answers to devices) are written directly, in one allocation.

use bytes::Bytes;
use coap_lite::{CoapOption, Packet};

use super::{
    blockwise::Block,
    code::Code,
    content_format::ContentFormat,
    message::{HEADER_LENGTH, Message, MessageId, MessageType, Token, VERSION},
    option,
};

/// A request to be sent. String values are at most 255 bytes long; a peer refuses longer ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Code,
    /// Uri-Path segments.
    pub path: Vec<String>,
    /// Uri-Query parameters, `pmin=10` for instance.
    pub query: Vec<String>,
    /// Observe: 0 to register, 1 to deregister.
    pub observe: Option<u32>,
    /// Content-Format of `payload`.
    pub content_format: Option<ContentFormat>,
    /// Accept.
    pub accept: Option<ContentFormat>,
    /// Block1.
    pub block1: Option<Block>,
    /// Block2.
    pub block2: Option<Block>,
    /// Size1 in bytes.
    pub size1: Option<u32>,
    /// Echo, 1 to 40 bytes (RFC 9175 section 2.2.1).
    pub echo: Option<Bytes>,
    /// The payload; empty for none.
    pub payload: Bytes,
}

impl Default for Request {
    /// `GET /`
    fn default() -> Self {
        Self {
            method: Code::GET,
            path: Vec::new(),
            query: Vec::new(),
            observe: None,
            content_format: None,
            accept: None,
            block1: None,
            block2: None,
            size1: None,
            echo: None,
            payload: Bytes::new(),
        }
    }
}

/// A response to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The response code.
    pub code: Code,
    /// Observe: the sequence number of a notification, 24 bits.
    pub observe: Option<u32>,
    /// Content-Format of `payload`.
    pub content_format: Option<ContentFormat>,
    /// Location-Path segments.
    pub location_path: Vec<String>,
    /// Max-Age in seconds.
    pub max_age: Option<u32>,
    /// Block1.
    pub block1: Option<Block>,
    /// Block2.
    pub block2: Option<Block>,
    /// Size1 in bytes.
    pub size1: Option<u32>,
    /// Size2 in bytes.
    pub size2: Option<u32>,
    /// ETag, 1 to 8 bytes.
    pub etag: Option<Bytes>,
    /// Echo, 1 to 40 bytes: the challenge of a 4.01 (RFC 9175 section 2.2.1).
    pub echo: Option<Bytes>,
    /// The payload; empty for none.
    pub payload: Bytes,
}

impl Response {
    /// A response of this code and nothing else.
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            observe: None,
            content_format: None,
            location_path: Vec::new(),
            max_age: None,
            block1: None,
            block2: None,
            size1: None,
            size2: None,
            etag: None,
            echo: None,
            payload: Bytes::new(),
        }
    }

    /// An error response with a text that explains it (RFC 7252 section 5.5.2): short, and no input of the device.
    pub fn with_diagnostic(code: Code, text: impl Into<Bytes>) -> Self {
        Self {
            payload: text.into(),
            ..Self::new(code)
        }
    }

    /// Whether a header and a token are all there is to send.
    fn is_bare(&self) -> bool {
        *self == Self::new(self.code)
    }
}

/// Encodes an empty message: a ping, an ACK without response, a RST.
pub fn empty(message_type: MessageType, message_id: MessageId) -> Bytes {
    Short::encode(message_type, Code::EMPTY, message_id, Token::default())
}

/// Encodes a request.
pub fn request(
    request: &Request,
    message_type: MessageType,
    message_id: MessageId,
    token: Token,
) -> Bytes {
    let mut packet = packet(message_type, request.method, message_id, token);
    add_strings(&mut packet, option::URI_PATH, &request.path);
    add_strings(&mut packet, option::URI_QUERY, &request.query);
    add_uint(&mut packet, option::OBSERVE, request.observe);
    add_format(&mut packet, option::CONTENT_FORMAT, request.content_format);
    add_format(&mut packet, option::ACCEPT, request.accept);
    add_uint(
        &mut packet,
        option::BLOCK1,
        request.block1.map(Block::to_uint),
    );
    add_uint(
        &mut packet,
        option::BLOCK2,
        request.block2.map(Block::to_uint),
    );
    add_uint(&mut packet, option::SIZE1, request.size1);
    if let Some(echo) = &request.echo {
        packet.add_option(option::ECHO.into(), echo.to_vec());
    }
    finish(packet, &request.payload)
}

/// Encodes the response to a request of which nothing is kept: in the acknowledgement of a confirmable one, under the
/// message id of a non-confirmable one. No id of ours can clash with that while nothing else is outstanding towards the peer.
pub fn reply(request: &Message, response: &Response) -> Bytes {
    let message_type = match request.message_type() {
        MessageType::Confirmable => MessageType::Acknowledgement,
        MessageType::NonConfirmable | MessageType::Acknowledgement | MessageType::Reset => {
            MessageType::NonConfirmable
        }
    };
    let (id, token) = (request.message_id(), request.token());
    self::response(response, message_type, id, token)
}

/// Encodes a response.
pub fn response(
    response: &Response,
    message_type: MessageType,
    message_id: MessageId,
    token: Token,
) -> Bytes {
    if response.is_bare() {
        return Short::encode(message_type, response.code, message_id, token);
    }
    let mut packet = packet(message_type, response.code, message_id, token);
    if let Some(etag) = &response.etag {
        packet.add_option(CoapOption::ETag, etag.to_vec());
    }
    add_uint(&mut packet, option::OBSERVE, response.observe);
    add_strings(&mut packet, option::LOCATION_PATH, &response.location_path);
    add_format(&mut packet, option::CONTENT_FORMAT, response.content_format);
    add_uint(&mut packet, option::MAX_AGE, response.max_age);
    add_uint(
        &mut packet,
        option::BLOCK1,
        response.block1.map(Block::to_uint),
    );
    add_uint(
        &mut packet,
        option::BLOCK2,
        response.block2.map(Block::to_uint),
    );
    add_uint(&mut packet, option::SIZE1, response.size1);
    add_uint(&mut packet, option::SIZE2, response.size2);
    if let Some(echo) = &response.echo {
        packet.add_option(option::ECHO.into(), echo.to_vec());
    }
    finish(packet, &response.payload)
}

fn packet(message_type: MessageType, code: Code, message_id: MessageId, token: Token) -> Packet {
    let mut packet = Packet::new();
    packet.header.set_version(VERSION);
    packet.header.set_type(match message_type {
        MessageType::Confirmable => coap_lite::MessageType::Confirmable,
        MessageType::NonConfirmable => coap_lite::MessageType::NonConfirmable,
        MessageType::Acknowledgement => coap_lite::MessageType::Acknowledgement,
        MessageType::Reset => coap_lite::MessageType::Reset,
    });
    packet.header.code = code.0.into();
    packet.header.message_id = message_id.0;
    packet.set_token(token.as_bytes().to_vec());
    packet
}

fn add_strings(packet: &mut Packet, number: u16, values: &[String]) {
    for value in values {
        packet.add_option(number.into(), value.as_bytes().to_vec());
    }
}

/// Adds an integer in its shortest form: no leading zeros, 0 as no byte at all (RFC 7252 section 3.2).
fn add_uint(packet: &mut Packet, number: u16, value: Option<u32>) {
    if let Some(value) = value {
        let bytes = value.to_be_bytes();
        packet.add_option(
            number.into(),
            bytes.into_iter().skip_while(|&byte| byte == 0).collect(),
        );
    }
}

fn add_format(packet: &mut Packet, number: u16, format: Option<ContentFormat>) {
    add_uint(packet, number, format.map(|format| format.0.into()));
}

fn finish(mut packet: Packet, payload: &Bytes) -> Bytes {
    packet.payload = payload.to_vec();
    packet
        .to_bytes_unlimited()
        .expect("encoding fails only above a size limit, and none is set")
        .into()
}

/// A message of at most 12 bytes, kept inside the allocation that counts its owners: an answer is held by the
/// de-duplication ring and by the socket at once.
struct Short {
    bytes: [u8; HEADER_LENGTH + Token::MAX_LENGTH],
    length: usize,
}

impl Short {
    fn encode(message_type: MessageType, code: Code, message_id: MessageId, token: Token) -> Bytes {
        let token = token.as_bytes();
        let first = (VERSION << 6) | (message_type.to_bits() << 4) | token.len() as u8;
        let [id_high, id_low] = message_id.0.to_be_bytes();
        let mut bytes = [0; HEADER_LENGTH + Token::MAX_LENGTH];
        let content = [first, code.0, id_high, id_low]
            .into_iter()
            .chain(token.iter().copied());
        for (target, byte) in bytes.iter_mut().zip(content) {
            *target = byte;
        }
        Bytes::from_owner(Self {
            bytes,
            length: HEADER_LENGTH.saturating_add(token.len()),
        })
    }
}

impl AsRef<[u8]> for Short {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::{
        message::Message,
        test_support::{request_of, response_of, to_hex},
    };
    use proptest::{collection::vec, option::of, prelude::*};

    #[test]
    fn c20_integers_are_written_in_their_shortest_form() {
        let written = |max_age| {
            let response_to = Response {
                max_age: Some(max_age),
                ..Response::new(Code::SERVICE_UNAVAILABLE)
            };
            let datagram = response(
                &response_to,
                MessageType::Acknowledgement,
                MessageId(1),
                Token::default(),
            );
            to_hex(&datagram)
        };
        assert_eq!(written(0), "60 a3 00 01 d0 01");
        assert_eq!(written(60), "60 a3 00 01 d1 01 3c");
        assert_eq!(written(0x0100), "60 a3 00 01 d2 01 01 00");
        assert_eq!(written(u32::MAX), "60 a3 00 01 d4 01 ff ff ff ff");
    }

    #[test]
    fn a_bare_answer_reads_like_one_that_coap_lite_built() {
        for token in [&b""[..], b"\xa1", b"\0\x01\x02\x03\x04\x05\x06\x07"] {
            let token = Token::new(token).unwrap();
            let built = packet(
                MessageType::Acknowledgement,
                Code::CHANGED,
                MessageId(0xfffe),
                token,
            );
            let bare = response(
                &Response::new(Code::CHANGED),
                MessageType::Acknowledgement,
                MessageId(0xfffe),
                token,
            );
            assert_eq!(bare, finish(built, &Bytes::new()));
        }
    }

    fn message_type() -> impl Strategy<Value = MessageType> {
        (0_u8..4).prop_map(MessageType::from_bits)
    }

    fn token() -> impl Strategy<Value = Token> {
        vec(any::<u8>(), 0..=8).prop_map(|bytes| Token::new(&bytes).unwrap())
    }

    fn format() -> impl Strategy<Value = Option<ContentFormat>> {
        of(any::<u16>().prop_map(ContentFormat))
    }

    fn block() -> impl Strategy<Value = Option<Block>> {
        of((0_u32..1 << 24).prop_map(Block::from_uint))
    }

    fn echo() -> impl Strategy<Value = Option<Bytes>> {
        of(vec(any::<u8>(), 1..=40).prop_map(Bytes::from))
    }

    fn payload() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn strings() -> impl Strategy<Value = Vec<String>> {
        // Lengths around those where the option header changes: 12 to 13.
        vec("[a-z/\u{e4}=&]{0,14}", 0..4)
    }

    prop_compose! {
        fn any_request()(
            method in 1_u8..8,
            path in strings(),
            query in strings(),
            observe in of(0_u32..1 << 24),
            content_format in format(),
            accept in format(),
            block1 in block(),
            block2 in block(),
            (size1, echo) in (of(any::<u32>()), echo()),
            payload in payload(),
        ) -> Request {
            Request {
                method: Code(method), path, query, observe, content_format, accept, block1, block2, size1, echo, payload,
            }
        }
    }

    prop_compose! {
        fn any_response()(
            code in prop::sample::select(vec![Code::CREATED, Code::CONTENT, Code::NOT_FOUND, Code::GATEWAY_TIMEOUT]),
            observe in of(0_u32..1 << 24),
            content_format in format(),
            location_path in strings(),
            max_age in of(any::<u32>()),
            block1 in block(),
            block2 in block(),
            (size1, size2, echo) in (of(any::<u32>()), of(any::<u32>()), echo()),
            etag in of(vec(any::<u8>(), 1..=8).prop_map(Bytes::from)),
            payload in payload(),
        ) -> Response {
            Response {
                code, observe, content_format, location_path, max_age, block1, block2, size1, size2, etag, echo,
                payload,
            }
        }
    }

    proptest! {
        #[test]
        fn a_request_reads_as_it_was_written(
            written in any_request(), message_type in message_type(), id in any::<u16>(), token in token(),
        ) {
            let datagram = request(&written, message_type, MessageId(id), token);
            let message = Message::parse(datagram).unwrap();
            prop_assert_eq!(request_of(&message), written);
            prop_assert_eq!(message.refusal(), None);
            prop_assert_eq!(message.message_type(), message_type);
            prop_assert_eq!((message.message_id(), message.token()), (MessageId(id), token));
        }

        #[test]
        fn a_response_reads_as_it_was_written(
            written in any_response(), message_type in message_type(), id in any::<u16>(), token in token(),
        ) {
            let datagram = response(&written, message_type, MessageId(id), token);
            let message = Message::parse(datagram).unwrap();
            prop_assert_eq!(response_of(&message), written);
            prop_assert_eq!(message.refusal(), None);
            prop_assert_eq!(message.message_type(), message_type);
            prop_assert_eq!((message.message_id(), message.token()), (MessageId(id), token));
        }
    }
}
