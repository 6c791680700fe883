//! Received messages (RFC 7252 section 3): checked once, then read in place.
//!
//! [`Message::parse`] walks the datagram once and allocates nothing; every getter borrows from the datagram. Later
//! readers rely on what it established: the header is whole, the options are well-formed up to the payload.

use std::fmt;

use bytes::Bytes;

use super::{blockwise::Block, code::Code, content_format::ContentFormat, encode, option};

/// One received message.
#[derive(Clone)]
pub struct Message {
    raw: Bytes,
    /// Where the payload starts; the length of `raw` when there is none.
    payload_at: usize,
    /// The whole body, when the payload is one block of it.
    body: Option<Bytes>,
}

impl Message {
    /// The most options a message may have.
    pub const MAX_OPTIONS: usize = 64;
    /// The most bytes that all options of a message together may take.
    pub const MAX_OPTIONS_LENGTH: usize = 16 * 1024;

    /// Checks a datagram and takes it as a message.
    ///
    /// A message that passes has version 1, a token of at most 8 bytes, a code whose class is not reserved, at most
    /// [`Self::MAX_OPTIONS`] well-formed options and, after a payload marker, at least one byte of payload; with code
    /// 0.00 it is its header alone. Whether the options are known and valid is not looked at (see [`Self::refusal`]).
    ///
    /// # Errors
    /// [`ParseError`] for everything else (RFC 7252 sections 3, 4.1 and 4.2).
    pub fn parse(datagram: Bytes) -> Result<Self, ParseError> {
        match payload_offset(&datagram) {
            Ok(payload_at) => Ok(Self {
                raw: datagram,
                payload_at,
                body: None,
            }),
            Err((kind, offset)) => {
                // In another version, type and id may stand elsewhere (section 3).
                let header = header(&datagram).filter(|header| header.version == VERSION);
                Err(ParseError {
                    kind,
                    message_type: header.map(|header| header.message_type),
                    message_id: header.map(|header| header.message_id),
                    offset,
                })
            }
        }
    }

    /// The message with the body of which its payload is a block (RFC 7959 section 2).
    pub(super) fn with_body(self, body: Bytes) -> Self {
        Self {
            body: Some(body),
            ..self
        }
    }

    /// Whether its payload was put together from blocks.
    pub const fn is_assembled(&self) -> bool {
        self.body.is_some()
    }

    /// The datagram it came as.
    pub const fn datagram(&self) -> &Bytes {
        &self.raw
    }

    /// The type.
    pub fn message_type(&self) -> MessageType {
        self.header().message_type
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.header().code
    }

    /// The message id.
    pub fn message_id(&self) -> MessageId {
        self.header().message_id
    }

    /// The token.
    pub fn token(&self) -> Token {
        let length = self.header().token_length.into();
        self.raw
            .get(HEADER_LENGTH..)
            .and_then(|rest| rest.get(..length))
            .and_then(Token::new)
            .unwrap_or_default()
    }

    /// All options as they stand, known or not: number and value, in ascending order of the number.
    pub fn options(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut options = self.walk();
        std::iter::from_fn(move || options.next().ok().flatten())
    }

    /// The valid values of a known option, in order; values that break its format are passed over (section 5.4.3).
    pub fn option_values(&self, number: u16) -> impl Iterator<Item = &[u8]> {
        let definition = option::definition(number);
        self.values(number)
            .filter(move |value| definition.is_some_and(|known| known.admits(value)))
    }

    /// The first valid value of a known integer option.
    pub fn option_uint(&self, number: u16) -> Option<u32> {
        self.option_values(number).next().and_then(option::uint)
    }

    /// Observe: 24 bits (RFC 7641 section 2).
    pub fn observe(&self) -> Option<u32> {
        self.option_uint(option::OBSERVE)
    }

    /// Content-Format.
    pub fn content_format(&self) -> Option<ContentFormat> {
        self.format_option(option::CONTENT_FORMAT)
    }

    /// Accept.
    pub fn accept(&self) -> Option<ContentFormat> {
        self.format_option(option::ACCEPT)
    }

    /// Max-Age in seconds; `None` when absent, which means 60 (section 5.10.5).
    pub fn max_age(&self) -> Option<u32> {
        self.option_uint(option::MAX_AGE)
    }

    /// Block1.
    pub fn block1(&self) -> Option<Block> {
        self.option_uint(option::BLOCK1).map(Block::from_uint)
    }

    /// Block2.
    pub fn block2(&self) -> Option<Block> {
        self.option_uint(option::BLOCK2).map(Block::from_uint)
    }

    /// Size1 in bytes.
    pub fn size1(&self) -> Option<u32> {
        self.option_uint(option::SIZE1)
    }

    /// Size2 in bytes.
    pub fn size2(&self) -> Option<u32> {
        self.option_uint(option::SIZE2)
    }

    /// The first ETag, 1 to 8 bytes.
    pub fn etag(&self) -> Option<&[u8]> {
        self.option_values(option::ETAG).next()
    }

    /// Echo, 1 to 40 bytes (RFC 9175 section 2.2.1).
    pub fn echo(&self) -> Option<&[u8]> {
        self.option_values(option::ECHO).next()
    }

    /// The Uri-Path segments.
    pub fn uri_path(&self) -> impl Iterator<Item = &str> {
        self.strings(option::URI_PATH)
    }

    /// The Uri-Query parameters, `ep=dev1` for instance.
    pub fn uri_query(&self) -> impl Iterator<Item = &str> {
        self.strings(option::URI_QUERY)
    }

    /// The Location-Path segments.
    pub fn location_path(&self) -> impl Iterator<Item = &str> {
        self.strings(option::LOCATION_PATH)
    }

    /// The payload, a slice of the datagram or the body that was put together; empty when there is none.
    pub fn payload(&self) -> Bytes {
        match &self.body {
            Some(body) => body.clone(),
            None => self.raw.slice(self.payload_at..),
        }
    }

    /// The text that explains an error response (section 5.5.2): its payload, when it is UTF-8 and not empty.
    pub fn diagnostic(&self) -> Option<&str> {
        let text = std::str::from_utf8(self.raw.get(self.payload_at..)?).ok()?;
        (self.code().is_error() && !text.is_empty()).then_some(text)
    }

    /// Why its options forbid to process the message: the code that answers it if it is a request.
    ///
    /// 4.02 for a critical option that is unknown, has a value out of bounds, or occurs more often than it may
    /// (sections 5.4.1, 5.4.3 and 5.4.5); 5.05 for a request to a proxy (section 5.10.2). Elective options never
    /// forbid it.
    pub fn refusal(&self) -> Option<Code> {
        let mut previous = None;
        for (number, value) in self.options() {
            let repeated = previous.replace(number) == Some(number);
            if !option::is_critical(number) {
                continue;
            }
            if matches!(number, option::PROXY_URI | option::PROXY_SCHEME) {
                return Some(Code::PROXYING_NOT_SUPPORTED);
            }
            if !option::definition(number)
                .is_some_and(|known| known.admits(value) && (known.repeatable || !repeated))
            {
                return Some(Code::BAD_OPTION);
            }
        }
        None
    }

    fn header(&self) -> Header {
        header(&self.raw).unwrap_or(Header::EMPTY)
    }

    fn format_option(&self, number: u16) -> Option<ContentFormat> {
        let value = self.option_uint(number)?;
        u16::try_from(value).ok().map(ContentFormat)
    }

    fn strings(&self, number: u16) -> impl Iterator<Item = &str> {
        let (min, max) = option::definition(number).map_or((1, 0), |known| (known.min, known.max));
        self.values(number)
            .filter(move |value| (min..=max).contains(&value.len()))
            .filter_map(|value| std::str::from_utf8(value).ok())
    }

    /// The values of an option as they stand.
    fn values(&self, number: u16) -> impl Iterator<Item = &[u8]> {
        let mut options = self.walk();
        std::iter::from_fn(move || {
            loop {
                match options.next() {
                    Ok(Some((other, _))) if other < number => {}
                    Ok(Some((other, value))) if other == number => return Some(value),
                    Ok(_) | Err(_) => return None,
                }
            }
        })
    }

    fn walk(&self) -> Options<'_> {
        let length: usize = self.header().token_length.into();
        Options::new(&self.raw, HEADER_LENGTH.saturating_add(length))
    }
}

impl fmt::Debug for Message {
    /// Shows no option and no payload: a log must not hold what a device put there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("message_type", &self.message_type())
            .field("code", &self.code())
            .field("message_id", &self.message_id())
            .field("token", &self.token())
            .field("length", &self.raw.len())
            .finish()
    }
}

/// The type of a message (RFC 7252 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// CON: wants an acknowledgement.
    Confirmable,
    /// NON: wants none.
    NonConfirmable,
    /// ACK
    Acknowledgement,
    /// RST: the message lacked context.
    Reset,
}

impl MessageType {
    /// The two bits of the header.
    pub const fn to_bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }

    /// Reads the low two bits.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }
}

/// Ties ACK and RST to the message they answer, and tells duplicates (RFC 7252 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u16);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Ties a response to its request (RFC 7252 section 5.3.1): 0 to 8 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    length: u8,
    /// Zero from `length` on.
    bytes: [u8; Self::MAX_LENGTH],
}

impl Token {
    /// The longest token in bytes.
    pub const MAX_LENGTH: usize = 8;

    /// A token of these bytes; `None` when there are more than 8.
    pub fn new(token: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes.get_mut(..token.len())?.copy_from_slice(token);
        Some(Self {
            length: u8::try_from(token.len()).ok()?,
            bytes,
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }
}

impl From<[u8; Self::MAX_LENGTH]> for Token {
    fn from(bytes: [u8; Self::MAX_LENGTH]) -> Self {
        Self { length: 8, bytes }
    }
}

impl fmt::Display for Token {
    /// Lower-case hexadecimal digits, `a1b2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

/// Why a datagram is no message, and as much of its header as is needed to reject it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The type; `None` when there is no header of version 1.
    pub message_type: Option<MessageType>,
    /// The message id; `None` when there is no header of version 1.
    pub message_id: Option<MessageId>,
    /// Where it is wrong, in bytes from the start of the datagram.
    pub offset: usize,
}

impl ParseError {
    /// The RST that rejects the message; only a confirmable one gets it, the others are dropped (section 4.2, 4.3).
    pub fn reset(&self) -> Option<Bytes> {
        let id = self.message_id?;
        (self.message_type? == MessageType::Confirmable)
            .then(|| encode::empty(MessageType::Reset, id))
    }
}

/// What is wrong with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Fewer than four bytes.
    #[error("no header")]
    TooShort,
    /// The version is not 1.
    #[error("unknown version")]
    Version,
    /// A token length from 9 to 15.
    #[error("reserved token length")]
    TokenLength,
    /// The message ends inside its token.
    #[error("truncated token")]
    TokenTruncated,
    /// A code of the reserved classes 1, 6 and 7.
    #[error("reserved code class")]
    CodeClass,
    /// Code 0.00, but more than a header.
    #[error("empty message with content")]
    EmptyMessage,
    /// An option delta or length nibble of 15.
    #[error("reserved option header")]
    OptionReserved,
    /// The message ends inside an option.
    #[error("truncated option")]
    OptionTruncated,
    /// An option number above 65535.
    #[error("option number out of range")]
    OptionNumber,
    /// More options than [`Message::MAX_OPTIONS`], or longer ones than [`Message::MAX_OPTIONS_LENGTH`].
    #[error("too many options")]
    TooManyOptions,
    /// A payload marker without payload.
    #[error("payload marker without payload")]
    EmptyPayload,
}

/// The fixed part of a message.
#[derive(Clone, Copy)]
struct Header {
    version: u8,
    message_type: MessageType,
    token_length: u8,
    code: Code,
    message_id: MessageId,
}

impl Header {
    const EMPTY: Self = Self {
        version: VERSION,
        message_type: MessageType::Reset,
        token_length: 0,
        code: Code::EMPTY,
        message_id: MessageId(0),
    };
}

/// Whether a datagram is confirmable or non-confirmable, by its first byte alone: acknowledgements and resets answer what was
/// sent to the peer, and are limited by that.
pub fn expects_work(datagram: &[u8]) -> bool {
    let first = datagram.first().map(|first| first >> 4);
    first.is_some_and(|bits| {
        matches!(
            MessageType::from_bits(bits),
            MessageType::Confirmable | MessageType::NonConfirmable
        )
    })
}

/// Reads the first four bytes.
fn header(datagram: &[u8]) -> Option<Header> {
    let &[first, code, id_high, id_low] = datagram.first_chunk::<HEADER_LENGTH>()?;
    Some(Header {
        version: first >> 6,
        message_type: MessageType::from_bits(first >> 4),
        token_length: first & 0b1111,
        code: Code(code),
        message_id: MessageId(u16::from_be_bytes([id_high, id_low])),
    })
}

/// Checks a whole datagram; where its payload starts, or what is wrong and where.
fn payload_offset(datagram: &[u8]) -> Result<usize, (ParseErrorKind, usize)> {
    let header = header(datagram).ok_or((ParseErrorKind::TooShort, datagram.len()))?;
    if header.version != VERSION {
        return Err((ParseErrorKind::Version, 0));
    }
    let token_length: usize = header.token_length.into();
    if token_length > Token::MAX_LENGTH {
        return Err((ParseErrorKind::TokenLength, 0));
    }
    if header.code.is_empty() && (token_length > 0 || datagram.len() > HEADER_LENGTH) {
        return Err((ParseErrorKind::EmptyMessage, HEADER_LENGTH));
    }
    if !(header.code.is_empty() || header.code.is_request() || header.code.is_response()) {
        return Err((ParseErrorKind::CodeClass, 1));
    }
    let options_at = HEADER_LENGTH.saturating_add(token_length);
    if options_at > datagram.len() {
        return Err((ParseErrorKind::TokenTruncated, datagram.len()));
    }

    let mut options = Options::new(datagram, options_at);
    let mut count: usize = 0;
    loop {
        let at = options.offset();
        if count > Message::MAX_OPTIONS
            || at.saturating_sub(options_at) > Message::MAX_OPTIONS_LENGTH
        {
            return Err((ParseErrorKind::TooManyOptions, at));
        }
        match options.next() {
            Ok(Some(_)) => count = count.saturating_add(1),
            Ok(None) => break,
            Err(kind) => return Err((kind, at)),
        }
    }
    match options.rest {
        [] => Ok(datagram.len()),
        [_marker] => Err((ParseErrorKind::EmptyPayload, options.offset())),
        _ => Ok(options.offset().saturating_add(1)),
    }
}

/// Walks over options (RFC 7252 section 3.1).
struct Options<'a> {
    rest: &'a [u8],
    number: u16,
    /// The length of the whole datagram, to tell where `rest` starts.
    length: usize,
}

impl<'a> Options<'a> {
    fn new(datagram: &'a [u8], at: usize) -> Self {
        Self {
            rest: datagram.get(at..).unwrap_or_default(),
            number: 0,
            length: datagram.len(),
        }
    }

    /// Where the walk stands, in bytes from the start of the datagram.
    const fn offset(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    /// The next option; `None` before the payload marker and at the end, where `rest` then starts.
    fn next(&mut self) -> Result<Option<(u16, &'a [u8])>, ParseErrorKind> {
        let Some((&first, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        if first == PAYLOAD_MARKER {
            return Ok(None);
        }
        let (delta, rest) = extended(first >> 4, rest)?;
        let (length, rest) = extended(first & 0b1111, rest)?;
        let number = u16::try_from(delta.saturating_add(self.number.into()))
            .map_err(|_| ParseErrorKind::OptionNumber)?;
        let (value, rest) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.split_at_checked(length))
            .ok_or(ParseErrorKind::OptionTruncated)?;
        self.rest = rest;
        self.number = number;
        Ok(Some((number, value)))
    }
}

/// The delta or length that a nibble and the bytes after it stand for, and what follows these.
fn extended(nibble: u8, rest: &[u8]) -> Result<(u32, &[u8]), ParseErrorKind> {
    match (nibble, rest) {
        (0..=12, rest) => Ok((nibble.into(), rest)),
        (13, [byte, rest @ ..]) => Ok((u32::from(*byte).saturating_add(13), rest)),
        (14, [high, low, rest @ ..]) => {
            let value = u16::from_be_bytes([*high, *low]);
            Ok((u32::from(value).saturating_add(269), rest))
        }
        (13 | 14, _) => Err(ParseErrorKind::OptionTruncated),
        _ => Err(ParseErrorKind::OptionReserved),
    }
}

/// The only version of the protocol.
pub(super) const VERSION: u8 = 1;
/// The length of the fixed part in bytes.
pub(super) const HEADER_LENGTH: usize = 4;
/// The byte before a payload.
const PAYLOAD_MARKER: u8 = 0xFF;

#[cfg(test)]
mod tests {
    use super::*;
    use coap_lite::Packet;
    use proptest::prelude::*;

    fn parse(datagram: &[u8]) -> Result<Message, ParseError> {
        Message::parse(Bytes::copy_from_slice(datagram))
    }

    #[test]
    fn an_error_says_where_and_names_the_message_to_reject() {
        // Uri-Path "rd", then an option whose extended delta is missing
        let error = parse(b"\x41\x02\x12\x34\xa1\xb2rd\xd0").unwrap_err();
        assert_eq!(
            error,
            ParseError {
                kind: ParseErrorKind::OptionTruncated,
                message_type: Some(MessageType::Confirmable),
                message_id: Some(MessageId(0x1234)),
                offset: 8,
            }
        );
        assert_eq!(error.to_string(), "truncated option at byte 8");
        assert_eq!(error.reset().unwrap(), &b"\x70\0\x12\x34"[..]);
    }

    #[test]
    fn another_version_names_nothing_to_reject() {
        let error = parse(b"\x80\x02\x12\x34").unwrap_err();
        assert_eq!((error.message_type, error.message_id), (None, None));
        assert_eq!(error.reset(), None);
    }

    #[test]
    fn option_values_are_found_among_their_neighbours() {
        // Uri-Path "3", "0", Content-Format 0, Accept 60, Size1 of 300 bytes (too long)
        let mut datagram = b"\x40\x03\0\x01\xb13\x010\x10\x51\x3c\xde\x1e\0\x1f".to_vec();
        datagram.extend([0; 300]);
        let message = parse(&datagram).unwrap();
        assert!(message.uri_path().eq(["3", "0"]));
        assert_eq!(message.uri_query().count(), 0);
        assert_eq!(message.content_format(), Some(ContentFormat::TEXT));
        assert_eq!(message.accept(), Some(ContentFormat::CBOR));
        assert_eq!(message.size1(), None);
        let numbers: Vec<u16> = message.options().map(|(number, _)| number).collect();
        assert_eq!(numbers, [11, 11, 12, 17, 60]);
    }

    #[test]
    fn a58_debug_shows_neither_options_nor_payload() {
        let message = parse(b"\x41\x02\0\x01\xa1\xb6secret\xffsecret").unwrap();
        assert_eq!(
            format!("{message:?}"),
            "Message { message_type: Confirmable, code: 0.02, message_id: MessageId(1), token: Token(a1), length: 19 }"
        );
    }

    #[test]
    fn the_payload_is_a_slice_of_the_datagram() {
        let datagram = Bytes::from_static(b"\x40\x02\0\x01\xff1");
        let message = Message::parse(datagram.clone()).unwrap();
        assert_eq!(message.payload().as_ptr(), datagram.slice(5..).as_ptr());
    }

    /// Fewer rules than ours hold in `coap-lite`, so what is a message here must be one there, and the same.
    fn assert_agrees_with_coap_lite(message: &Message, datagram: &[u8]) {
        let packet = Packet::from_bytes(datagram).unwrap();
        assert_eq!(message.code().0, u8::from(packet.header.code));
        assert_eq!(message.message_id().0, packet.header.message_id);
        assert_eq!(message.token().as_bytes(), packet.get_token());
        assert_eq!(message.payload(), packet.payload);
        let theirs = packet.options().flat_map(|(&number, values)| {
            values.iter().map(move |value| (number, value.as_slice()))
        });
        assert!(message.options().eq(theirs));
    }

    /// Options, well-formed most of the time: a header byte, then whatever.
    fn options() -> impl Strategy<Value = Vec<u8>> {
        let option =
            (0_u8..15, prop::collection::vec(any::<u8>(), 0..15)).prop_map(|(delta, value)| {
                let length = value.len() as u8;
                [vec![(delta << 4) | length], value].concat()
            });
        prop::collection::vec(option, 0..6).prop_map(|options| options.concat())
    }

    proptest! {
        #[test]
        fn a17_any_bytes_are_a_message_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            first in 0x40_u8..0x80,
            options in options(),
        ) {
            let header = [first, 0x02, 0, 1];
            let likely = [&header[..], &bytes[..bytes.len().min(8)], &options, &bytes].concat();
            for datagram in [bytes, [&header[..], &options].concat(), likely] {
                match parse(&datagram) {
                    Ok(message) => {
                        assert_agrees_with_coap_lite(&message, &datagram);
                        message.refusal();
                        message.diagnostic();
                    }
                    Err(error) => prop_assert!(error.offset <= datagram.len()),
                }
            }
        }
    }
}
