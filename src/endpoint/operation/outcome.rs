//! What came of a request: the device's answer read, or why there is none (`rpc.md` 9 and 10).

use crate::{
    coap::{
        Code, ContentFormat, Failure, Message,
        link_format::{self, Mode},
    },
    endpoint::{
        context::DeviceContext,
        rpc::{Reply, render},
        text,
    },
    lwm2m::{
        format::{self, DecodeError, DecodeErrorKind, Decoded},
        node::Node,
        path::Path,
        version::Lwm2mVersion,
    },
};

use super::{Action, Operation};

/// The device's answer, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the answer counts as delivered: it is one that the request allows.
    pub delivered: bool,
    /// What a command is answered with.
    pub reply: Reply,
    /// The values now known to be on the device: read by a Read or Observe, written by a Write.
    pub node: Option<Node>,
    /// Values of the answer that could not be read.
    pub rejected: Vec<(Path, DecodeError)>,
    /// The line for `transportLog`.
    pub log: String,
}

/// A request without answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What a command is answered with; `None` after a timeout, which has a status of its own.
    pub reply: Option<Reply>,
    /// The line for `transportLog`.
    pub log: String,
}

impl Operation {
    /// Reads the device's answer.
    ///
    /// `response` is the final response to [`Operation::request`], reassembled if it came in blocks.
    pub fn outcome(&self, response: &Message, device: &DeviceContext<'_>) -> Outcome {
        let code = response.code();
        if code.is_error() {
            let diagnostic = response.diagnostic().unwrap_or_default();
            let content = format!(", errormessage={diagnostic}");
            return self.answered(code, Reply::error(code, diagnostic), &content);
        }
        let allowed = match self.action {
            Action::Read { .. } | Action::Discover => code == Code::CONTENT,
            // Notifications of LwM2M 1.0 devices may have the code CHANGED, the first one too.
            Action::Observe { .. } => code == Code::CONTENT || code == Code::CHANGED,
            Action::WriteAttributes(_) | Action::WriteReplace { .. } | Action::Execute { .. } => {
                code == Code::CHANGED
            }
        };
        if !allowed {
            let request = self.to_string();
            return self.unusable(text::unexpected_code(device.endpoint, code, &request));
        }
        match &self.action {
            Action::Read { .. } => self.content(response, device, String::new()),
            Action::Observe { accept } => {
                let observation = self.observation(response, *accept, device);
                self.content(response, device, format!(", observation={observation}"))
            }
            Action::Discover => self.links(response, device),
            Action::WriteReplace { node, .. } => Outcome {
                node: Some(node.clone()),
                ..self.done(code)
            },
            Action::WriteAttributes(_) | Action::Execute { .. } => self.done(code),
        }
    }

    /// Reads why no answer came.
    pub fn failed(&self, failure: Failure, device: &DeviceContext<'_>) -> Failed {
        let uri = self.uri(device);
        let (exception, reason) = match failure {
            Failure::Timeout => ("TimeoutException", text::timed_out(&uri)),
            Failure::Reset => ("RequestRejectedException", text::rejected(&uri)),
            Failure::Cancelled => ("RequestCanceledException", text::cancelled(&uri)),
            Failure::Blockwise => ("InvalidResponseException", text::blockwise_failed(&uri)),
        };
        Failed {
            log: self.processing_failed(exception, &reason),
            reply: (failure != Failure::Timeout)
                .then(|| Reply::error(Code::INTERNAL_SERVER_ERROR, reason)),
        }
    }

    /// An answer that carries values; `more` is appended in the log line.
    fn content(&self, response: &Message, device: &DeviceContext<'_>, more: String) -> Outcome {
        let Ok(Decoded { node, rejected }) = decode(response, &self.path, device) else {
            return self.unusable(text::undecodable(&self.to_string(), device.endpoint));
        };
        let code = response.code();
        let reply = Reply::value(code, render::content(&node));
        let content = format!(", content={}{more}", render::Text(&node));
        Outcome {
            node: Some(node),
            rejected,
            ..self.answered(code, reply, &content)
        }
    }

    /// An answer that carries links.
    fn links(&self, response: &Message, device: &DeviceContext<'_>) -> Outcome {
        if response.content_format() != Some(ContentFormat::LINK) {
            let format = response.content_format().map(|format| format.0);
            let request = self.to_string();
            return self.unusable(text::unexpected_content_format(
                device.endpoint,
                format,
                &request,
            ));
        }
        let Ok(mut found) = link_format::parse(&response.payload(), Mode::Lenient) else {
            return self.unusable(text::undecodable(&self.to_string(), device.endpoint));
        };
        let attributes = found.links.iter_mut().flat_map(|link| &mut link.attributes);
        for attribute in attributes.filter(|attribute| attribute.name == "ver") {
            // A version is shown bare, however the device wrote it.
            let version = attribute
                .value
                .as_ref()
                .map(|value| value.as_str().to_owned());
            attribute.value = version.map(link_format::Value::Token);
        }
        let code = response.code();
        let content = format!(", content=[{}]", render::links(&found.links));
        let reply = Reply::value(code, link_format::write(&found.links));
        self.answered(code, reply, &content)
    }

    /// An answer that carries nothing.
    fn done(&self, code: Code) -> Outcome {
        self.answered(code, Reply::code(code), "")
    }

    /// An answer that the request allows; `content` is what the log line says behind the code.
    fn answered(&self, code: Code, reply: Reply, content: &str) -> Outcome {
        let class = self.class_name();
        let name = class.strip_suffix("Request").unwrap_or(class);
        let response = format!("{name}Response [code={}{content}]", text::code(code));
        Outcome {
            delivered: true,
            reply,
            node: None,
            rejected: Vec::new(),
            log: text::answered(class, &self.id, code.is_success(), &response),
        }
    }

    /// An answer that the request does not allow.
    fn unusable(&self, reason: String) -> Outcome {
        Outcome {
            delivered: false,
            log: self.processing_failed("InvalidResponseException", &reason),
            reply: Reply::error(Code::INTERNAL_SERVER_ERROR, reason),
            node: None,
            rejected: Vec::new(),
        }
    }

    fn processing_failed(&self, exception: &str, reason: &str) -> String {
        text::processing_failed(
            &self.to_string(),
            &format!("{EXCEPTIONS}.{exception}: {reason}"),
        )
    }

    /// What the log line of an Observe says of the new observation.
    fn observation(
        &self,
        response: &Message,
        accept: ContentFormat,
        device: &DeviceContext<'_>,
    ) -> String {
        if response.observe().is_none() {
            return "null".to_owned();
        }
        format!(
            "SingleObservation [path={}, id=Ox{}, contentFormat={accept}, registrationId={}, context={{}}]",
            self.path,
            response.token(),
            device.registration_id
        )
    }
}

/// Reads the values of a response or notification for `path`, in the order in which the platform prints them.
///
/// A message without Content-Format is taken for text where `path` names one value, and for TLV on LwM2M 1.0 devices.
///
/// # Errors
/// When nothing of the payload can be read.
pub fn decode(
    message: &Message,
    path: &Path,
    device: &DeviceContext<'_>,
) -> Result<Decoded, DecodeError> {
    let is_single = device
        .resource_model(path)
        .is_some_and(|model| !model.multiple || path.resource_instance_id().is_some());
    let format = match (message.content_format(), device.registration.version) {
        (Some(format), _) => format,
        (None, _) if is_single => ContentFormat::TEXT,
        (None, Lwm2mVersion::V1_0) => ContentFormat::TLV,
        (None, Lwm2mVersion::V1_1 | Lwm2mVersion::V1_2) => {
            return Err(DecodeErrorKind::UnsupportedFormat.at(0));
        }
    };
    let mut decoded = format::decode(format, path, &message.payload(), device.models)?;
    render::arrange(&mut decoded.node, format);
    Ok(decoded)
}

/// The package of the exceptions that log lines name.
const EXCEPTIONS: &str = "org.eclipse.leshan.core.request.exception";

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        coap::Response,
        endpoint::fixture::{Fixture, message},
        platform::{peer::PeerIdentity, uplink::RpcBody},
    };

    const BATTERY: Path = Path::resource(3, 0, 9);

    fn read() -> Operation {
        Operation::read("/3_1.2/0/9", BATTERY, ContentFormat::CBOR)
    }

    fn response(code: Code, format: Option<ContentFormat>, payload: &'static [u8]) -> Message {
        message(&Response {
            content_format: format,
            payload: Bytes::from_static(payload),
            ..Response::new(code)
        })
    }

    #[test]
    fn an_error_is_delivered_with_its_text() {
        let answer = response(Code::BAD_REQUEST, None, b"value MUST NOT be null");
        let outcome = read().outcome(&answer, &Fixture::f().context());
        assert!(outcome.delivered);
        assert_eq!(outcome.node, None);
        assert_eq!(
            outcome.reply,
            Reply::error(Code::BAD_REQUEST, "value MUST NOT be null")
        );
        assert_eq!(
            outcome.log,
            "[error]: ReadRequest [/3_1.2/0/9] failed to process successful. Result: ReadResponse \
             [code=BAD_REQUEST(400), errormessage=value MUST NOT be null]"
        );
    }

    #[test]
    fn an_error_without_text_keeps_its_empty_place_in_the_line() {
        let answer = response(Code::TOO_MANY_REQUESTS, None, b"");
        let outcome = read().outcome(&answer, &Fixture::f().context());
        assert_eq!(
            outcome.reply.body(),
            RpcBody::Payload(r#"{"result":"UNKNOWN"}"#.to_owned())
        );
        assert!(
            outcome
                .log
                .ends_with("ReadResponse [code=UNKNOWN(429), errormessage=]")
        );
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_an_internal_error() {
        let fixture = Fixture::f();
        let discover = Operation::discover("/3_1.2", Path::object(3));
        let links = Some(ContentFormat::LINK);
        for (operation, answer, error) in [
            (
                read(),
                response(Code::CONTENT, Some(ContentFormat::CBOR), b"\xff"),
                "Unable to decode response payload of request [ReadRequest [path=/3/0/9 format=CBOR(60)]] from client \
                 [deviceEndpointRpc1]",
            ),
            (
                read(),
                response(Code::CHANGED, None, b""),
                "Client [deviceEndpointRpc1] returned unexpected response code [2.04] for [ReadRequest [path=/3/0/9 \
                 format=CBOR(60)]]",
            ),
            (
                discover.clone(),
                response(Code::CONTENT, Some(ContentFormat::TEXT), b"</3>"),
                "Client [deviceEndpointRpc1] returned unexpected content format [0] for [DiscoverRequest [/3]]",
            ),
            (
                discover.clone(),
                response(Code::CONTENT, None, b"</3>"),
                "Client [deviceEndpointRpc1] returned unexpected content format [-1] for [DiscoverRequest [/3]]",
            ),
            (
                discover,
                response(Code::CONTENT, links, b"\xff"),
                "Unable to decode response payload of request [DiscoverRequest [/3]] from client [deviceEndpointRpc1]",
            ),
        ] {
            let outcome = operation.outcome(&answer, &fixture.context());
            assert!(!outcome.delivered);
            assert_eq!(
                outcome.reply,
                Reply::error(Code::INTERNAL_SERVER_ERROR, error)
            );
            assert_eq!(
                outcome.log,
                format!(
                    "[error]: Request [{operation}] processing failed. Reason: \
                     org.eclipse.leshan.core.request.exception.InvalidResponseException: {error}"
                )
            );
        }
    }

    #[test]
    fn a_missing_content_format_is_taken_for_text_or_tlv() {
        let fixture = Fixture::f();
        let outcome = read().outcome(&response(Code::CONTENT, None, b"42"), &fixture.context());
        assert_eq!(
            outcome.reply.value.as_deref(),
            Some("LwM2mSingleResource [id=9, value=42, type=INTEGER]")
        );
        let object = Operation::read("/3_1.2", Path::object(3), ContentFormat::TLV);
        let tlv = b"\x08\x00\x03\xc1\x09\x2a";
        let outcome = object.outcome(&response(Code::CONTENT, None, tlv), &fixture.context());
        assert!(!outcome.delivered);
        let fixture = Fixture::g();
        let outcome = object.outcome(&response(Code::CONTENT, None, tlv), &fixture.context());
        assert_eq!(
            outcome.reply.value.as_deref(),
            Some(
                "LwM2mObject [id=3, instances={0=LwM2mObjectInstance [id=0, resources={9=LwM2mSingleResource [id=9, \
                 value=42, type=INTEGER]}]}]"
            )
        );
    }

    #[test]
    fn a_value_that_cannot_be_read_does_not_cost_its_neighbours() {
        // /3/0 with resource 9 = 42 and resource 10, an INTEGER, of three bytes.
        let tlv = b"\xc1\x09\x2a\xc3\x0a\x01\x02\x03";
        let instance = Operation::read("/3_1.2/0", Path::instance(3, 0), ContentFormat::TLV);
        let answer = response(Code::CONTENT, Some(ContentFormat::TLV), tlv);
        let outcome = instance.outcome(&answer, &Fixture::f().context());
        assert!(outcome.delivered);
        let rejected: Vec<_> = outcome.rejected.iter().map(|(path, _)| *path).collect();
        assert_eq!(rejected, [Path::resource(3, 0, 10)]);
        assert!(
            outcome
                .reply
                .value
                .unwrap()
                .contains("{9=LwM2mSingleResource")
        );
    }

    #[test]
    fn an_observe_without_observation_is_still_answered() {
        let observe = Operation::observe("/3_1.2/0/9", BATTERY, ContentFormat::CBOR);
        let answer = response(Code::CHANGED, Some(ContentFormat::CBOR), b"\x18\x2a");
        let outcome = observe.outcome(&answer, &Fixture::f().context());
        assert!(outcome.node.is_some());
        assert!(
            outcome.log.ends_with("type=INTEGER], observation=null]"),
            "{}",
            outcome.log
        );
    }

    #[test]
    fn failures_name_the_uri() {
        let mut fixture = Fixture::f();
        let failed = read().failed(Failure::Cancelled, &fixture.context());
        let error = "Request coap://127.0.0.1:35960/3/0/9 cancelled";
        assert_eq!(
            failed.reply,
            Some(Reply::error(Code::INTERNAL_SERVER_ERROR, error))
        );
        assert_eq!(
            failed.log,
            "[error]: Request [ReadRequest [path=/3/0/9 format=CBOR(60)]] processing failed. Reason: \
             org.eclipse.leshan.core.request.exception.RequestCanceledException: Request \
             coap://127.0.0.1:35960/3/0/9 cancelled"
        );
        fixture.peer.identity = PeerIdentity::PreSharedKey("id".to_owned());
        let failed = read().failed(Failure::Reset, &fixture.context());
        assert_eq!(
            failed.reply.unwrap().error.as_deref(),
            Some("Request coaps://127.0.0.1:35960/3/0/9 rejected")
        );
        assert_eq!(
            read().failed(Failure::Timeout, &fixture.context()).reply,
            None
        );
    }
}
