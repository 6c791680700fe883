//! Content-Format numbers (RFC 7252 section 12.3 and the OMA registrations).

use std::fmt;

/// A Content-Format number as it stands in Content-Format and Accept options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentFormat(pub u16);

impl ContentFormat {
    /// `text/plain;charset=utf-8`
    pub const TEXT: Self = Self(0);
    /// `application/link-format`
    pub const LINK: Self = Self(40);
    /// `application/octet-stream`
    pub const OPAQUE: Self = Self(42);
    /// `application/cbor`
    pub const CBOR: Self = Self(60);
    /// `application/senml+json`
    pub const SENML_JSON: Self = Self(110);
    /// `application/senml+cbor`
    pub const SENML_CBOR: Self = Self(112);
    /// `application/senml-etch+json`
    pub const SENML_ETCH_JSON: Self = Self(320);
    /// `application/senml-etch+cbor`
    pub const SENML_ETCH_CBOR: Self = Self(322);
    /// TLV before LwM2M 1.0
    pub const OLD_TLV: Self = Self(1542);
    /// JSON before LwM2M 1.0
    pub const OLD_JSON: Self = Self(1543);
    /// `application/vnd.oma.lwm2m+tlv`
    pub const TLV: Self = Self(11542);
    /// `application/vnd.oma.lwm2m+json`
    pub const JSON: Self = Self(11543);
    /// `application/vnd.oma.lwm2m+cbor`
    pub const LWM2M_CBOR: Self = Self(11544);

    /// The name platform users see, `CBOR` for instance; `None` for an unregistered number.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::TEXT => "TEXT",
            Self::LINK => "LINK",
            Self::OPAQUE => "OPAQUE",
            Self::CBOR => "CBOR",
            Self::SENML_JSON => "SENML_JSON",
            Self::SENML_CBOR => "SENML_CBOR",
            Self::SENML_ETCH_JSON => "SENML_ETCH_JSON",
            Self::SENML_ETCH_CBOR => "SENML_ETCH_CBOR",
            Self::OLD_TLV | Self::TLV => "TLV",
            Self::OLD_JSON | Self::JSON => "JSON",
            Self::LWM2M_CBOR => "LWM2M_CBOR",
            _ => return None,
        })
    }
}

impl fmt::Display for ContentFormat {
    /// `CBOR(60)`; `UNKNOWN(4711)` for an unregistered number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name().unwrap_or("UNKNOWN"), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::{
        Code, Message, MessageId, MessageType, Request, Response, Token, encode,
        test_support::{hex, to_hex},
    };

    /// Number, value of the option, name: the table of protocol 2.
    const FORMATS: [(u16, &str, &str); 13] = [
        (0, "", "TEXT"),
        (40, " 28", "LINK"),
        (42, " 2a", "OPAQUE"),
        (60, " 3c", "CBOR"),
        (110, " 6e", "SENML_JSON"),
        (112, " 70", "SENML_CBOR"),
        (320, " 01 40", "SENML_ETCH_JSON"),
        (322, " 01 42", "SENML_ETCH_CBOR"),
        (1542, " 06 06", "TLV"),
        (1543, " 06 07", "JSON"),
        (11542, " 2d 16", "TLV"),
        (11543, " 2d 17", "JSON"),
        (11544, " 2d 18", "LWM2M_CBOR"),
    ];

    #[test]
    fn p2_1_to_12_every_format_has_its_number_bytes_and_name() {
        for (number, value, name) in FORMATS {
            let format = ContentFormat(number);
            let length = value.len() / 3;
            let request = Request {
                method: Code::GET,
                accept: Some(format),
                ..Request::default()
            };
            // Accept is option 17: a difference of 13 and 4.
            let asked = format!("40 01 00 01 d{length} 04{value}");
            let kind = MessageType::Confirmable;
            let written = encode::request(&request, kind, MessageId(1), Token::default());
            assert_eq!(to_hex(&written), asked);
            let read = Message::parse(hex(&asked).into()).unwrap();
            assert_eq!(read.accept(), Some(format));
            // Content-Format is option 12.
            let answered = format!("60 45 00 01 c{length}{value}");
            let response = Response {
                content_format: Some(format),
                ..Response::new(Code::CONTENT)
            };
            let kind = MessageType::Acknowledgement;
            let written = encode::response(&response, kind, MessageId(1), Token::default());
            assert_eq!(to_hex(&written), answered);
            let read = Message::parse(hex(&answered).into()).unwrap();
            assert_eq!(read.content_format(), Some(format));
            assert_eq!(format.to_string(), format!("{name}({number})"));
        }
    }
}
