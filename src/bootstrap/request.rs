//! Bootstrap-Requests as they come: which request it is, and whether it can be read.

use crate::{
    coap::{Code, ContentFormat, Message, MessageType, Response},
    lwm2m::registration::endpoint_name,
    platform::{credentials::Admission, name::EndpointName},
};

/// What a request to the bootstrap server asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `POST /bs`
    BootstrapRequest,
    /// A known path with a method it does not have.
    WrongMethod,
    /// Anything else; `GET /bspack` of LwM2M 1.2 is not served.
    Unknown,
}

impl Target {
    /// Reads method and path.
    pub fn of(message: &Message) -> Self {
        let mut path = message.uri_path();
        match (path.next(), path.next(), message.code()) {
            (Some("bs"), None, Code::POST) => Self::BootstrapRequest,
            (Some("bs"), None, _) => Self::WrongMethod,
            _ => Self::Unknown,
        }
    }
}

/// A Bootstrap-Request (OMA LwM2M Core, "Bootstrap-Request Operation").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapRequest {
    /// Who asks.
    pub endpoint: EndpointName,
    /// In which format it wants to be written to.
    pub format: ContentFormat,
}

impl BootstrapRequest {
    /// Reads one. `admission` is what the security layer found out about the sender, if it did: a device may leave its name
    /// out then.
    ///
    /// # Errors
    /// The answer to give: 4.00 for what cannot be read, 4.15 for a format that is not written here.
    pub fn read(message: &Message, admission: Option<&Admission>) -> Result<Self, Box<Response>> {
        if message.message_type() != MessageType::Confirmable {
            return Err(refuse("CON CoAP type expected"));
        }
        let number = only(message, "pct=")?
            .map(str::parse::<u64>)
            .transpose()
            .map_err(|_| refuse("pct is not a number"))?;
        let stated = only(message, "ep=")?.unwrap_or_default();
        let stated = endpoint_name(stated).map_err(|_| refuse("endpoint is invalid"))?;
        let known = admission.map(|admission| admission.client.endpoint());
        let name = stated.as_deref().or(known);
        let name = name.ok_or_else(|| refuse("endpoint is mandatory"))?;
        let format = match number {
            None => ContentFormat::TLV,
            Some(number) => u16::try_from(number)
                .ok()
                .map(ContentFormat)
                .filter(|wanted| FORMATS.contains(wanted))
                .ok_or_else(|| Box::new(Response::new(Code::UNSUPPORTED_CONTENT_FORMAT)))?,
        };
        Ok(Self {
            endpoint: EndpointName::new(name),
            format,
        })
    }
}

/// The value of a query parameter that may be there once.
fn only<'a>(message: &'a Message, name: &str) -> Result<Option<&'a str>, Box<Response>> {
    let mut values = message
        .uri_query()
        .filter_map(|parameter| parameter.strip_prefix(name));
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(refuse("repeated parameter")),
    }
}

fn refuse(text: &'static str) -> Box<Response> {
    Box::new(Response::with_diagnostic(Code::BAD_REQUEST, text))
}

/// Formats in which whole instances can be written, `pct` of a device.
const FORMATS: [ContentFormat; 4] = [
    ContentFormat::TLV,
    ContentFormat::SENML_JSON,
    ContentFormat::SENML_CBOR,
    ContentFormat::JSON,
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::{
        bootstrap::fixture::{NOSEC, admission},
        coap::{MessageId, Request, Token, encode},
    };

    use super::*;

    fn message(kind: MessageType, query: &[&str]) -> Message {
        let request = Request {
            method: Code::POST,
            path: vec!["bs".to_owned()],
            query: query
                .iter()
                .map(|&parameter| parameter.to_owned())
                .collect(),
            ..Request::default()
        };
        let datagram = encode::request(&request, kind, MessageId(1), Token::default());
        Message::parse(datagram).unwrap()
    }

    fn read(query: &[&str]) -> Result<(String, u16), (Code, String)> {
        match BootstrapRequest::read(&message(MessageType::Confirmable, query), None) {
            Ok(request) => Ok((request.endpoint.to_string(), request.format.0)),
            Err(response) => {
                let text = String::from_utf8_lossy(&response.payload).into_owned();
                Err((response.code, text))
            }
        }
    }

    #[test]
    fn p32_1_frame_of_a_bootstrap_request() {
        let frame: &[u8] = &[
            0x41, 0x02, 0x00, 0x04, 0xa4, 0xb2, 0x62, 0x73, 0x47, 0x65, 0x70, 0x3d, 0x64, 0x65,
            0x76, 0x31, 0x07, 0x70, 0x63, 0x74, 0x3d, 0x31, 0x31, 0x32,
        ];
        let message = Message::parse(Bytes::from_static(frame)).unwrap();
        assert_eq!(Target::of(&message), Target::BootstrapRequest);
        let request = BootstrapRequest::read(&message, None).unwrap();
        assert_eq!(
            (request.endpoint.as_str(), request.format),
            ("dev1", ContentFormat::SENML_CBOR)
        );
    }

    #[test]
    fn p32_1_a_bootstrap_request_that_breaks_a_rule_is_refused_in_this_order() {
        let bad = |text: &str| Err((Code::BAD_REQUEST, text.to_owned()));
        let non = BootstrapRequest::read(&message(MessageType::NonConfirmable, &["pct=x"]), None);
        assert_eq!(&non.unwrap_err().payload[..], b"CON CoAP type expected");
        assert_eq!(read(&["pct=senml"]), bad("pct is not a number"));
        assert_eq!(read(&[]), bad("endpoint is mandatory"));
        assert_eq!(read(&["ep="]), bad("endpoint is mandatory"));
        assert_eq!(read(&["ep=a", "ep=b"]), bad("repeated parameter"));
        let long = format!("ep={}", "x".repeat(252));
        assert_eq!(read(&[&long]), Ok(("x".repeat(252), 11542)));
        assert_eq!(read(&["ep=a\u{7}"]), bad("endpoint is invalid"));
    }

    #[test]
    fn p36_8_the_device_chooses_the_format_and_tlv_is_for_those_that_do_not() {
        assert_eq!(read(&["ep=a"]), Ok(("a".to_owned(), 11542)));
        for format in [11542, 110, 112, 11543] {
            let query = [format!("pct={format}"), "ep=a".to_owned(), "x=1".to_owned()];
            let query: Vec<_> = query.iter().map(String::as_str).collect();
            assert_eq!(read(&query), Ok(("a".to_owned(), format)));
        }
        for format in ["0", "60", "11544", "65536", "18446744073709551615"] {
            let query = format!("pct={format}");
            let refused = read(&["ep=a", &query]).unwrap_err();
            assert_eq!(refused.0, Code::UNSUPPORTED_CONTENT_FORMAT, "{format}");
        }
    }

    #[test]
    fn a_device_that_the_security_layer_knows_may_leave_its_name_out() {
        let known = admission(NOSEC);
        let request = BootstrapRequest::read(&message(MessageType::Confirmable, &[]), Some(&known));
        assert_eq!(request.unwrap().endpoint.as_str(), "dev1");
        let other = message(MessageType::Confirmable, &["ep=other"]);
        let request = BootstrapRequest::read(&other, Some(&known));
        assert_eq!(request.unwrap().endpoint.as_str(), "other");
    }

    #[test]
    fn p32_7_a_bootstrap_pack_request_is_for_nothing_here() {
        let frame: &[u8] = &[
            0x41, 0x01, 0x00, 0x05, 0xa5, 0xb6, 0x62, 0x73, 0x70, 0x61, 0x63, 0x6b, 0x47, 0x65,
            0x70, 0x3d, 0x64, 0x65, 0x76, 0x31, 0x21, 0x70,
        ];
        let message = Message::parse(Bytes::from_static(frame)).unwrap();
        assert_eq!(Target::of(&message), Target::Unknown);
        let get = Bytes::from_static(b"\x40\x01\0\x01\xb2bs");
        let message = Message::parse(get).unwrap();
        assert_eq!(Target::of(&message), Target::WrongMethod);
    }
}
