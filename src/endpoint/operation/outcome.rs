//! What came of a request: the device's answer read, or why there is none (`rpc.md` 9 and 10).

use std::collections::BTreeMap;

use crate::{
    coap::{Code, ContentFormat, Failure, Message, link_format},
    endpoint::{
        context::DeviceContext,
        rpc::{Reply, render},
        text,
    },
    lwm2m::{
        format::{DecodeError, Decoded},
        node::{Node, Object, ObjectInstance, Resource, ResourceContent},
        path::Path,
    },
};

use super::{
    Action, Content, Operation, Paths, WriteMode,
    content::{decode, decode_notification, links},
};

/// The device's answer, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether the answer counts as delivered: it is one that the request allows.
    pub delivered: bool,
    /// What a command is answered with.
    pub reply: Reply,
    /// The values now known to be on the device: read, or written. Resource instances stand for themselves, everything
    /// else is whole.
    pub nodes: Vec<(Path, Node)>,
    /// What is no longer on the device.
    pub removed: Option<Path>,
    /// Values of the answer that could not be read.
    pub rejected: Vec<(Path, DecodeError)>,
    /// The lines for `transportLog`.
    pub log: Vec<String>,
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
            return self.refused(code, response.diagnostic().unwrap_or_default());
        }
        if !self.allows(code) {
            let request = self.to_string();
            return self.unusable(text::unexpected_code(device.endpoint, code, &request));
        }
        match (&self.action, &self.paths) {
            (Action::Read { .. }, Paths::One(path)) => {
                self.content(path, response, device, String::new())
            }
            (Action::Observe { accept }, Paths::One(path)) => {
                let observation = self.observation(path, response, *accept, device);
                self.content(
                    path,
                    response,
                    device,
                    format!(", observation={observation}"),
                )
            }
            (Action::ReadComposite(_), _) => self.composite(response, None, device),
            (Action::ObserveComposite(selection), _) => {
                let observation = self.composite_observation(response, selection.format, device);
                self.composite(response, Some(observation), device)
            }
            (Action::Discover, _) => self.links(response, device),
            (Action::Write { mode, content }, Paths::One(path)) => {
                self.done(code, written(*path, &content.node, *mode))
            }
            (Action::WriteComposite { nodes, .. }, _) => self.done(code, nodes.clone()),
            (Action::Create(content), Paths::One(path)) => self.created(response, path, content),
            (Action::Delete, Paths::One(path)) => {
                let mut outcome = self.done(code, Vec::new());
                outcome.removed = Some(*path);
                if device.settings.legacy_shapes {
                    outcome.reply.result = text::LEGACY_DELETED;
                }
                outcome
            }
            (Action::WriteAttributes(_) | Action::Execute { .. }, _) | (_, Paths::Several(_)) => {
                self.done(code, Vec::new())
            }
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

    /// Whether an answer may have this success code (`protocol.md` 3.3).
    fn allows(&self, code: Code) -> bool {
        match self.action {
            Action::Read { .. } | Action::ReadComposite(_) | Action::Discover => {
                code == Code::CONTENT
            }
            // Notifications of LwM2M 1.0 devices may have the code CHANGED, the first one too.
            Action::Observe { .. } | Action::ObserveComposite(_) => {
                code == Code::CONTENT || code == Code::CHANGED
            }
            Action::WriteAttributes(_)
            | Action::Write { .. }
            | Action::WriteComposite { .. }
            | Action::Execute { .. } => code == Code::CHANGED,
            Action::Create(_) => code == Code::CREATED,
            Action::Delete => code == Code::DELETED,
        }
    }

    /// An error of the device.
    fn refused(&self, code: Code, diagnostic: &str) -> Outcome {
        if matches!(self.action, Action::WriteComposite { .. }) {
            // Whatever the code, and without a status (`rulings.md` 5.1).
            let paths = self.paths.to_string();
            return Outcome {
                delivered: false,
                log: vec![text::validation_failed(
                    self.class_name(),
                    &paths,
                    diagnostic,
                )],
                ..self.answered(code, Reply::error(Code::BAD_REQUEST, diagnostic), "")
            };
        }
        let content = format!(", errormessage={diagnostic}");
        self.answered(code, Reply::error(code, diagnostic), &content)
    }

    /// An answer that carries values of `path`; `more` is appended in the log line.
    fn content(
        &self,
        path: &Path,
        response: &Message,
        device: &DeviceContext<'_>,
        more: String,
    ) -> Outcome {
        let Ok(Decoded { node, rejected }) = decode(response, path, device) else {
            return self.undecodable(device);
        };
        let code = response.code();
        let reply = Reply::value(code, render::content(&node));
        let content = format!(", content={}{more}", render::Text(&node));
        Outcome {
            nodes: vec![(*path, node)],
            rejected,
            ..self.answered(code, reply, &content)
        }
    }

    /// An answer that carries values of several paths, and what the log line says of a new observation of them.
    fn composite(
        &self,
        response: &Message,
        observation: Option<String>,
        device: &DeviceContext<'_>,
    ) -> Outcome {
        let Ok(mut decoded) = decode_notification(response, &self.paths, device) else {
            return self.undecodable(device);
        };
        // Of several times the last one holds, and what states none is the case (`device-lifecycle.md` 4.1).
        let samples = &mut decoded.samples;
        samples.sort_by_key(|sample| (sample.time.is_none(), sample.time));
        let samples = decoded.samples.into_iter();
        let mut found: BTreeMap<_, _> = samples.flat_map(|sample| sample.nodes).collect();
        let paths = self.paths.as_slice().iter();
        let entries: Vec<_> = paths.map(|path| (*path, found.remove(path))).collect();
        let (code, values) = (response.code(), render::Text(entries.as_slice()));
        let content = match observation {
            Some(observation) => format!(",  content={observation}, observation={values}"),
            None => format!(", content={values}"),
        };
        let reply = Reply::value(code, render::composite(&entries));
        let mut outcome = self.answered(code, reply, &content);
        for (path, node) in entries {
            match node {
                Some(node) => outcome.nodes.push((path, node)),
                None => outcome.log.push(text::composite_value_missing(&path)),
            }
        }
        outcome.rejected = decoded.rejected;
        outcome
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
        let Some(links) = links(response) else {
            return self.undecodable(device);
        };
        let code = response.code();
        let content = format!(", content=[{}]", render::links(&links));
        let reply = Reply::value(code, link_format::write(&links));
        self.answered(code, reply, &content)
    }

    /// The answer to a Create.
    fn created(&self, response: &Message, object: &Path, content: &Content) -> Outcome {
        let code = response.code();
        let location: Vec<_> = response.location_path().collect();
        let location = (!location.is_empty()).then(|| location.join("/"));
        let shown = location.as_deref().unwrap_or("null");
        let reply = match &location {
            Some(location) => Reply::value(code, format!("location={location}")),
            None => Reply::code(code),
        };
        let place = |instance: &ObjectInstance, id| {
            let instance = ObjectInstance {
                id,
                resources: instance.resources.clone(),
            };
            Some((object.child(id)?, Node::ObjectInstance(instance)))
        };
        let nodes = match &content.node {
            Node::Object(Object { instances, .. }) => instances
                .iter()
                .filter_map(|instance| place(instance, instance.id))
                .collect(),
            Node::ObjectInstance(instance) => response
                .location_path()
                .last()
                .and_then(|id| place(instance, id.parse().ok()?))
                .into_iter()
                .collect(),
            Node::Resource(_) | Node::ResourceInstance(_) => Vec::new(),
        };
        Outcome {
            nodes,
            ..self.answered(code, reply, &format!(", location={shown}"))
        }
    }

    /// An answer that carries nothing, and what is known from it.
    fn done(&self, code: Code, nodes: Vec<(Path, Node)>) -> Outcome {
        Outcome {
            nodes,
            ..self.answered(code, Reply::code(code), "")
        }
    }

    /// An answer that the request allows; `content` is what the log line says behind the code.
    fn answered(&self, code: Code, reply: Reply, content: &str) -> Outcome {
        let class = self.class_name();
        let name = class.strip_suffix("Request").unwrap_or(class);
        let response = format!("{name}Response [code={}{content}]", text::code(code));
        Outcome {
            delivered: true,
            reply,
            nodes: Vec::new(),
            removed: None,
            rejected: Vec::new(),
            log: vec![text::answered(
                class,
                &self.id,
                code.is_success(),
                &response,
            )],
        }
    }

    /// An answer that cannot be read.
    fn undecodable(&self, device: &DeviceContext<'_>) -> Outcome {
        self.unusable(text::undecodable(&self.to_string(), device.endpoint))
    }

    /// An answer that the request does not allow.
    fn unusable(&self, reason: String) -> Outcome {
        Outcome {
            delivered: false,
            log: vec![self.processing_failed("InvalidResponseException", &reason)],
            reply: Reply::error(Code::INTERNAL_SERVER_ERROR, reason),
            nodes: Vec::new(),
            removed: None,
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
        path: &Path,
        response: &Message,
        accept: ContentFormat,
        device: &DeviceContext<'_>,
    ) -> String {
        if response.observe().is_none() {
            return "null".to_owned();
        }
        format!(
            "SingleObservation [path={path}, id=Ox{}, contentFormat={accept}, registrationId={}, context={{}}]",
            response.token(),
            device.registration_id
        )
    }

    /// What the log line of an Observe-Composite says of the new observation.
    fn composite_observation(
        &self,
        response: &Message,
        format: ContentFormat,
        device: &DeviceContext<'_>,
    ) -> String {
        if response.observe().is_none() {
            return "null".to_owned();
        }
        format!(
            "CompositeObservation [paths={}, id=Ox{}, requestContentFormat={format}, \
             responseContentFormat={format}, registrationId={}, context={{}}]",
            self.paths,
            response.token(),
            device.registration_id
        )
    }
}

/// What a Write leaves on the device, as far as it is known. An update of a multiple resource tells of the instances
/// written alone.
fn written(path: Path, node: &Node, mode: WriteMode) -> Vec<(Path, Node)> {
    let parts = |path: Path, resource: &Resource| match &resource.content {
        ResourceContent::Single(_) => vec![(path, Node::Resource(resource.clone()))],
        ResourceContent::Multiple { instances, .. } => instances
            .iter()
            .filter_map(|instance| {
                let node = Node::ResourceInstance(instance.clone());
                Some((path.child(instance.id)?, node))
            })
            .collect(),
    };
    match (mode, node) {
        (WriteMode::Update, Node::Resource(resource)) => parts(path, resource),
        (WriteMode::Update, Node::ObjectInstance(instance)) => instance
            .resources
            .iter()
            .filter_map(|resource| Some(parts(path.child(resource.id)?, resource)))
            .flatten()
            .collect(),
        (WriteMode::Update, Node::Object(_) | Node::ResourceInstance(_))
        | (WriteMode::Replace, _) => vec![(path, node.clone())],
    }
}

/// The package of the exceptions that log lines name.
const EXCEPTIONS: &str = "org.eclipse.leshan.core.request.exception";
