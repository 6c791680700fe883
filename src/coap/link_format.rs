//! CoRE Link Format (RFC 6690): lists of links with attributes.
//!
//! Links are generic here; what they mean in LwM2M is read elsewhere. Devices in the field send lists that break the
//! grammar, so there are two ways to read: strictly, and leniently with a count of what was forgiven.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

/// A link: a target and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The URI reference between the angle brackets, as written.
    pub uri: String,
    /// The attributes, in order.
    pub attributes: Vec<Attribute>,
}

impl Link {
    /// The value of the first attribute of this name; the inner `None` is an attribute without value.
    pub fn attribute(&self, name: &str) -> Option<Option<&str>> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
            .map(|attribute| attribute.value.as_ref().map(Value::as_str))
    }

    /// The path segments of the target, percent-decoded, without empty ones: none for `/`, two for `/3/0` and `3/0`.
    pub fn segments(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.uri
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(percent_decoded)
    }
}

impl fmt::Display for Link {
    /// `</3/0>;ver=1.1;ct="60 112"`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.uri)?;
        self.attributes
            .iter()
            .try_for_each(|attribute| write!(f, ";{attribute}"))
    }
}

/// An attribute of a link (`link-param`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value, if it has one.
    pub value: Option<Value>,
}

impl fmt::Display for Attribute {
    /// `ver=1.1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.value {
            None => Ok(()),
            Some(value) => write!(f, "={value}"),
        }
    }
}

/// The value of an attribute, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Bare: `1.1`.
    Token(String),
    /// In quotes, here without them and their escapes: `"60 112"`.
    Quoted(String),
}

impl Value {
    /// The text, however it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Token(text) | Self::Quoted(text) => text,
        }
    }
}

impl fmt::Display for Value {
    /// As the grammar demands: a token that is none (read leniently) is quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) if is_token(token) => f.write_str(token),
            Self::Token(text) | Self::Quoted(text) => {
                f.write_str("\"")?;
                for character in text.chars() {
                    if matches!(character, '"' | '\\') {
                        f.write_str("\\")?;
                    }
                    f.write_char(character)?;
                }
                f.write_str("\"")
            }
        }
    }
}

/// How a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What breaks the grammar but can be understood is accepted: a target without leading slash, blanks around
    /// separators, bare values that hold commas or blanks, stray separators.
    Lenient,
    /// Only the grammar.
    Strict,
}

/// A list that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The links, in order.
    pub links: Vec<Link>,
    /// How many deviations from the grammar were forgiven; 0 in strict mode.
    pub deviations: u32,
}

/// Why a payload is no list of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// Where, in bytes from the start.
    pub offset: usize,
}

/// What is wrong with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// More than [`MAX_LENGTH`] bytes, or more than [`MAX_LINKS`] links.
    #[error("too long")]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// No target where one is due.
    #[error("link expected")]
    LinkExpected,
    /// A target without its closing bracket, or with characters that no URI has.
    #[error("malformed target")]
    Uri,
    /// An attribute whose name is empty or no name.
    #[error("malformed attribute name")]
    AttributeName,
    /// A bare value that is no token.
    #[error("malformed attribute value")]
    AttributeValue,
    /// A quoted value without its closing quote.
    #[error("unclosed quote")]
    UnclosedQuote,
    /// Neither an attribute nor a link follows.
    #[error("separator expected")]
    SeparatorExpected,
}

/// Reads a list of links; an empty payload is an empty list.
///
/// # Errors
/// [`DecodeError`] for a payload that breaks the grammar beyond what `mode` forgives, or is too long.
pub fn parse(payload: &[u8], mode: Mode) -> Result<Links, DecodeError> {
    let error = |kind, offset| Err(DecodeError { kind, offset });
    if payload.len() > MAX_LENGTH {
        return error(DecodeErrorKind::TooLong, MAX_LENGTH);
    }
    let text = match std::str::from_utf8(payload) {
        Ok(text) => text,
        Err(invalid) => return error(DecodeErrorKind::Utf8, invalid.valid_up_to()),
    };
    let mut parser = Parser {
        rest: text,
        mode,
        deviations: 0,
    };
    match parser.links() {
        Ok(links) => Ok(Links {
            links,
            deviations: parser.deviations,
        }),
        Err(kind) => error(kind, text.len().saturating_sub(parser.rest.len())),
    }
}

/// Writes a list of links, separated by commas alone.
pub fn write(links: &[Link]) -> String {
    let mut text = String::new();
    for link in links {
        if !text.is_empty() {
            text.push(',');
        }
        write!(text, "{link}").expect("a string takes everything");
    }
    text
}

/// The longest list that is read, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;
/// The most links that are read.
pub const MAX_LINKS: usize = 10_000;

struct Parser<'a> {
    /// What is still to be read; in case of an error, where it is.
    rest: &'a str,
    mode: Mode,
    deviations: u32,
}

impl<'a> Parser<'a> {
    fn links(&mut self) -> Result<Vec<Link>, DecodeErrorKind> {
        let mut links = Vec::new();
        if self.rest.is_empty() {
            return Ok(links);
        }
        loop {
            self.blanks(DecodeErrorKind::LinkExpected)?;
            if self.rest.is_empty() {
                // A comma, or blanks, and then nothing.
                self.forgive(DecodeErrorKind::LinkExpected)?;
                return Ok(links);
            }
            if links.len() >= MAX_LINKS {
                return Err(DecodeErrorKind::TooLong);
            }
            links.push(self.link()?);
            if self.rest.is_empty() {
                return Ok(links);
            }
            if !self.take(',') {
                return Err(DecodeErrorKind::SeparatorExpected);
            }
        }
    }

    fn link(&mut self) -> Result<Link, DecodeErrorKind> {
        let (uri, rest) = self
            .rest
            .strip_prefix('<')
            .ok_or(DecodeErrorKind::LinkExpected)?
            .split_once('>')
            .ok_or(DecodeErrorKind::Uri)?;
        if uri.contains(|c: char| c.is_control() || matches!(c, '<' | '"')) {
            return Err(DecodeErrorKind::Uri);
        }
        if uri.contains(' ') || !(uri.starts_with('/') || is_absolute(uri)) {
            self.forgive(DecodeErrorKind::Uri)?;
        }
        self.rest = rest;

        let mut attributes = Vec::new();
        self.blanks(DecodeErrorKind::SeparatorExpected)?;
        while self.take(';') {
            self.blanks(DecodeErrorKind::AttributeName)?;
            if self.rest.starts_with([';', ',']) || self.rest.is_empty() {
                self.forgive(DecodeErrorKind::AttributeName)?;
            } else {
                attributes.push(self.attribute()?);
            }
            self.blanks(DecodeErrorKind::SeparatorExpected)?;
        }
        Ok(Link {
            uri: uri.trim().to_owned(),
            attributes,
        })
    }

    fn attribute(&mut self) -> Result<Attribute, DecodeErrorKind> {
        let is_end = |c: char| matches!(c, '=' | ';' | ',') || is_blank(c);
        let (name, rest) = split_before(self.rest, self.rest.find(is_end));
        if name.is_empty()
            || name.contains(|c: char| c.is_control() || matches!(c, '<' | '>' | '"'))
        {
            return Err(DecodeErrorKind::AttributeName);
        }
        if !is_name(name) {
            self.forgive(DecodeErrorKind::AttributeName)?;
        }
        self.rest = rest;
        self.blanks(DecodeErrorKind::SeparatorExpected)?;
        let value = if self.take('=') {
            self.blanks(DecodeErrorKind::AttributeValue)?;
            Some(self.value()?)
        } else {
            None
        };
        Ok(Attribute {
            name: name.to_owned(),
            value,
        })
    }

    fn value(&mut self) -> Result<Value, DecodeErrorKind> {
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let (text, rest) = unquoted(quoted).ok_or(DecodeErrorKind::UnclosedQuote)?;
            self.rest = rest;
            return Ok(Value::Quoted(text));
        }
        let (value, rest) = split_before(self.rest, self.bare_value_end());
        if !is_token(value) {
            self.forgive(DecodeErrorKind::AttributeValue)?;
        }
        self.rest = rest;
        Ok(Value::Token(value.trim_end_matches(is_blank).to_owned()))
    }

    /// Where a bare value ends; `None` for the end of the list. Leniently, a comma ends it only if a link or nothing
    /// follows: `ct=110,112` is one value.
    fn bare_value_end(&self) -> Option<usize> {
        let mut separators = self.rest.match_indices([';', ',']);
        match self.mode {
            Mode::Strict => separators.next(),
            Mode::Lenient => separators.find(|&(at, separator)| {
                let after = self.rest.get(at..).and_then(|rest| rest.strip_prefix(','));
                separator == ";"
                    || after.is_some_and(|after| {
                        let after = after.trim_start_matches(is_blank);
                        after.is_empty() || after.starts_with('<')
                    })
            }),
        }
        .map(|(at, _)| at)
    }

    /// Takes a separator.
    fn take(&mut self, separator: char) -> bool {
        let rest = self.rest.strip_prefix(separator);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Skips blanks, of which the grammar has none.
    fn blanks(&mut self, kind: DecodeErrorKind) -> Result<(), DecodeErrorKind> {
        let rest = self.rest.trim_start_matches(is_blank);
        if rest.len() != self.rest.len() {
            self.forgive(kind)?;
            self.rest = rest;
        }
        Ok(())
    }

    /// Lets a deviation pass, or not.
    fn forgive(&mut self, kind: DecodeErrorKind) -> Result<(), DecodeErrorKind> {
        match self.mode {
            Mode::Strict => Err(kind),
            Mode::Lenient => {
                self.deviations = self.deviations.saturating_add(1);
                Ok(())
            }
        }
    }
}

/// Both parts of `text` around the byte `at`, or all of it.
fn split_before(text: &str, at: Option<usize>) -> (&str, &str) {
    at.and_then(|at| text.split_at_checked(at))
        .unwrap_or((text, ""))
}

/// A quoted value without its escapes, and what follows its closing quote; `None` when there is none.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
}

const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Whether a URI reference starts with a scheme.
fn is_absolute(uri: &str) -> bool {
    uri.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// `parmname`, with the asterisk of `ext-name-star`.
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('*').unwrap_or(name);
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$&+-.^_`|~".contains(c))
}

/// `ptoken`
fn is_token(value: &str) -> bool {
    !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_graphic() && !matches!(c, '"' | ',' | ';' | '\\'))
}

/// A path segment without percent-encoding; as it stands when that is broken or does not give UTF-8.
fn percent_decoded(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let decode = || {
        let mut decoded = Vec::with_capacity(segment.len());
        let mut bytes = segment.bytes();
        while let Some(byte) = bytes.next() {
            decoded.push(if byte == b'%' {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from((high << 4) | low).ok()?
            } else {
                byte
            });
        }
        String::from_utf8(decoded).ok()
    };
    decode().map_or(Cow::Borrowed(segment), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(name: &str, value: &str) -> Attribute {
        Attribute {
            name: name.to_owned(),
            value: Some(Value::Token(value.to_owned())),
        }
    }

    fn quoted(name: &str, value: &str) -> Attribute {
        Attribute {
            name: name.to_owned(),
            value: Some(Value::Quoted(value.to_owned())),
        }
    }

    fn bare(name: &str) -> Attribute {
        Attribute {
            name: name.to_owned(),
            value: None,
        }
    }

    fn link(uri: &str, attributes: Vec<Attribute>) -> Link {
        Link {
            uri: uri.to_owned(),
            attributes,
        }
    }

    fn strict(text: &str) -> Vec<Link> {
        let read = parse(text.as_bytes(), Mode::Strict).unwrap();
        assert_eq!(parse(text.as_bytes(), Mode::Lenient), Ok(read.clone()));
        assert_eq!(read.deviations, 0);
        read.links
    }

    /// What a list that only the lenient mode reads contains, and how many deviations it has.
    fn lenient(text: &str) -> (Vec<Link>, u32) {
        assert!(parse(text.as_bytes(), Mode::Strict).is_err(), "{text}");
        let read = parse(text.as_bytes(), Mode::Lenient).unwrap();
        (read.links, read.deviations)
    }

    fn error(text: &str) -> (DecodeErrorKind, usize) {
        let error = parse(text.as_bytes(), Mode::Lenient).unwrap_err();
        assert!(parse(text.as_bytes(), Mode::Strict).is_err());
        (error.kind, error.offset)
    }

    #[test]
    fn the_rfc_examples_read() {
        // RFC 6690 section 5
        assert_eq!(
            strict(
                "</sensors>;ct=40;title=\"Sensor Index\",</sensors/temp>;rt=\"temperature-c\";if=\"sensor\""
            ),
            [
                link(
                    "/sensors",
                    vec![token("ct", "40"), quoted("title", "Sensor Index")]
                ),
                link(
                    "/sensors/temp",
                    vec![quoted("rt", "temperature-c"), quoted("if", "sensor")]
                ),
            ]
        );
        assert_eq!(
            strict(
                "<http://www.example.com/sensors/t123>;anchor=\"/sensors/temp\";rel=\"describedby\""
            )[0]
            .uri,
            "http://www.example.com/sensors/t123"
        );
        let sizes = strict("</firmware/v2.1>;rt=\"firmware\";sz=262144");
        assert_eq!(sizes[0].attribute("sz"), Some(Some("262144")));
        assert_eq!(sizes[0].attribute("ct"), None);
    }

    #[test]
    fn register_and_discover_payloads_read() {
        assert_eq!(
            strict("</>;rt=\"oma.lwm2m\";ct=\"60 112\",</1/0>,</3/0>"),
            [
                link("/", vec![quoted("rt", "oma.lwm2m"), quoted("ct", "60 112")]),
                link("/1/0", vec![]),
                link("/3/0", vec![]),
            ]
        );
        assert_eq!(
            strict("</1>;ver=1.1,</3>;ver=\"1.2\",</3303/0/5700>;pmin=10;gt=-2.5;obs"),
            [
                link("/1", vec![token("ver", "1.1")]),
                link("/3", vec![quoted("ver", "1.2")]),
                link(
                    "/3303/0/5700",
                    vec![token("pmin", "10"), token("gt", "-2.5"), bare("obs")]
                ),
            ]
        );
    }

    #[test]
    fn p111_a_list_with_blanks_is_read_leniently() {
        // As a Leshan client answers a bootstrap Discover.
        let text = "</>;lwm2m=1.0, </0>;ver=1.2, </0/0>;uri=coap://127.0.0.1:5687, </1>";
        assert_eq!(
            lenient(text),
            (
                vec![
                    link("/", vec![token("lwm2m", "1.0")]),
                    link("/0", vec![token("ver", "1.2")]),
                    link("/0/0", vec![token("uri", "coap://127.0.0.1:5687")]),
                    link("/1", vec![]),
                ],
                3
            )
        );
    }

    #[test]
    fn p111_malformed_lists_of_the_field_are_read_leniently() {
        assert_eq!(
            lenient("<1/0>,</3/0>"),
            (vec![link("1/0", vec![]), link("/3/0", vec![])], 1)
        );
        assert_eq!(
            lenient("</>;ct=110,112;rt=\"oma.lwm2m\",</1/0>"),
            (
                vec![
                    link("/", vec![token("ct", "110,112"), quoted("rt", "oma.lwm2m")]),
                    link("/1/0", vec![]),
                ],
                1
            )
        );
        assert_eq!(
            lenient("</>;ct=60 110 ,</1>").0[0].attributes,
            [token("ct", "60 110")]
        );
        assert_eq!(
            lenient("</1>;;ver=1.1;,").0,
            [link("/1", vec![token("ver", "1.1")])]
        );
        assert_eq!(lenient("</1>;ver=").0, [link("/1", vec![token("ver", "")])]);
        assert_eq!(
            lenient("</1> ; ver = 1.1 ").0,
            [link("/1", vec![token("ver", "1.1")])]
        );
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_its_place() {
        use DecodeErrorKind::*;
        assert_eq!(error("3/0"), (LinkExpected, 0));
        assert_eq!(error("</3/0>,x"), (LinkExpected, 7));
        assert_eq!(error("</3/0"), (Uri, 0));
        assert_eq!(error("</3\n/0>"), (Uri, 0));
        assert_eq!(error("</1><2>"), (SeparatorExpected, 4));
        assert_eq!(error("</1>;=4"), (AttributeName, 5));
        assert_eq!(error("</1>;</2>"), (AttributeName, 5));
        assert_eq!(error("</1>;ver=\"1.1"), (UnclosedQuote, 9));
        assert_eq!(error("</1>;ver=\"1.1\\\""), (UnclosedQuote, 9));
        assert_eq!(error("</1>;ver=\"1.1\"x"), (SeparatorExpected, 14));
        assert_eq!(parse(b"</\xff>", Mode::Lenient).unwrap_err().kind, Utf8);
    }

    #[test]
    fn a43_length_and_number_of_links_are_bounded() {
        let links = |number| "</1>,".repeat(number) + "</1>";
        assert_eq!(strict(&links(MAX_LINKS - 1)).len(), MAX_LINKS);
        assert_eq!(error(&links(MAX_LINKS)).0, DecodeErrorKind::TooLong);
        let of_length = |length: usize| format!("</{}>", "1".repeat(length - 3));
        assert_eq!(strict(&of_length(MAX_LENGTH)).len(), 1);
        assert_eq!(
            error(&of_length(MAX_LENGTH + 1)),
            (DecodeErrorKind::TooLong, MAX_LENGTH)
        );
    }

    #[test]
    fn a43_quotes_and_escapes_are_undone_and_written_again() {
        let text = r#"</1>;title="a \"b\" \\ c, </d>;""#;
        let read = strict(text);
        assert_eq!(read[0].attributes, [quoted("title", r#"a "b" \ c, </d>;"#)]);
        assert_eq!(write(&read), text);
    }

    #[test]
    fn an_empty_payload_is_an_empty_list() {
        assert_eq!(strict(""), []);
    }

    #[test]
    fn p111_segments_are_percent_decoded() {
        let segments =
            |uri| -> Vec<String> { link(uri, vec![]).segments().map(Cow::into_owned).collect() };
        assert_eq!(segments("/"), [""; 0]);
        assert_eq!(segments("/lwm2m/3/0"), ["lwm2m", "3", "0"]);
        assert_eq!(segments("3/0"), ["3", "0"]);
        assert_eq!(segments("/a%2Fb%c3%a4"), ["a/b\u{e4}"]);
        assert_eq!(segments("/%f/%ff/%zz"), ["%f", "%ff", "%zz"]);
    }

    #[test]
    fn a_token_that_is_none_is_written_in_quotes() {
        assert_eq!(
            write(&[link("/", vec![token("ct", "110,112"), token("x", "")])]),
            "</>;ct=\"110,112\";x=\"\""
        );
    }

    prop_compose! {
        fn links()(
            links in prop::collection::vec(
                ("/[!-;=?-~]{0,12}", prop::collection::vec(attribute(), 0..4)),
                0..6,
            )
        ) -> Vec<Link> {
            links
                .into_iter()
                .map(|(uri, attributes)| Link { uri: uri.replace('"', ""), attributes })
                .collect()
        }
    }

    fn attribute() -> impl Strategy<Value = Attribute> {
        let value = prop_oneof![
            "[!#-+\\-./0-:<-\\[\\]-~]{1,8}".prop_map(Value::Token),
            "\\PC{0,12}".prop_map(Value::Quoted),
        ];
        ("[a-z][a-z0-9]{0,5}\\*?", prop::option::of(value))
            .prop_map(|(name, value)| Attribute { name, value })
    }

    proptest! {
        #[test]
        fn reading_what_was_written_gives_the_same(links in links()) {
            let text = write(&links);
            let expected = Links { links, deviations: 0 };
            prop_assert_eq!(parse(text.as_bytes(), Mode::Strict), Ok(expected.clone()));
            prop_assert_eq!(parse(text.as_bytes(), Mode::Lenient), Ok(expected));
        }

        #[test]
        fn a43_any_bytes_are_read_or_refused(
            text in "[<>/;,=\" \\\\a-c0-3\u{e4}\n]{0,40}",
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            for payload in [text.as_bytes(), &bytes] {
                let strict = parse(payload, Mode::Strict);
                let lenient = parse(payload, Mode::Lenient);
                if strict.is_ok() {
                    prop_assert_eq!(&lenient, &strict);
                }
                if let Ok(Links { links, .. }) = lenient {
                    let again = parse(write(&links).as_bytes(), Mode::Lenient);
                    prop_assert_eq!(again.map(|again| again.links.len()), Ok(links.len()));
                }
            }
        }
    }
}
