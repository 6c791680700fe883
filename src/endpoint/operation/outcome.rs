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
