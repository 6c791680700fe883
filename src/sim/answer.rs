//! What a simulated device answers to a server (OMA LwM2M Core, "Device Management and Service Enablement" and
//! "Information Reporting"; the codes are those of `protocol.md` 3.3).

use std::{fmt::Debug, time::Instant};

use crate::{
    coap::{Code, ContentFormat, Message, Response},
    lwm2m::{
        attributes::NotificationAttributes,
        format::{self, DecodeError, DecodeErrorKind, EncodeError, Sample},
        model::Models,
        node::{Node, Object, ObjectInstance, ResourceContent},
        path::Path,
    },
};

use super::{SimDevice, SimEvent, bootstrap::is_trigger, objects::Refusal, observer::Observed};

impl<P: Copy + Eq + Debug> SimDevice<P> {
    pub(super) fn answer(&mut self, now: Instant, peer: P, message: &Message) -> Response {
        let segments: Vec<_> = message.uri_path().collect();
        let Ok(path) = segments.join("/").parse::<Path>() else {
            return Response::new(Code::NOT_FOUND);
        };
        let result = match (message.code(), path.depth()) {
            (Code::FETCH, 0) => self.fetch(peer, message),
            (Code::IPATCH, 0) => self.patch(now, message),
            (Code::GET, _) if message.accept() == Some(ContentFormat::LINK) => self.discover(&path),
            (Code::GET, _) => self.read(peer, message, &path),
            (Code::PUT, _)
                if message.payload().is_empty() && message.uri_query().next().is_some() =>
            {
                self.attribute(message, &path)
            }
            (Code::PUT, 2..) => self.write(now, message, &path, true),
            (Code::POST, 1) => self.create(message, &path),
            (Code::POST, 3) if self.objects.execute(&path).is_ok() => {
                if let (true, Some(bootstrap)) = (is_trigger(&path), &mut self.bootstrap) {
                    bootstrap.wanted = true;
                } else if !self.update_executed(now, &path) {
                    return Response::new(Code::METHOD_NOT_ALLOWED);
                }
                let arguments = String::from_utf8_lossy(&message.payload()).into_owned();
                self.events.push_back(SimEvent::Executed(path, arguments));
                Ok(Response::new(Code::CHANGED))
            }
            (Code::POST, 2..) if message.content_format().is_some() => {
                self.write(now, message, &path, false)
            }
            (Code::POST, _) => self
                .objects
                .execute(&path)
                .map(|()| Response::new(Code::CHANGED)),
            (Code::DELETE, _) => self.delete(now, &path),
            _ => Err(Refusal::NotAllowed),
        };
        result.unwrap_or_else(|refusal| {
            if let Refusal::Exists(instance) = refusal {
                let text = format!("instance {instance} already exists");
                return Response::with_diagnostic(refusal.code(), text);
            }
            Response::new(refusal.code())
        })
    }

    /// The present state of what is observed, as an answer or notification.
    pub(super) fn state_of(
        &self,
        observed: &Observed,
        accept: Option<ContentFormat>,
    ) -> Result<Response, Refusal> {
        let (format, payload) = match observed {
            Observed::One(path) => {
                let node = self.objects.read(path)?;
                let format = accept.unwrap_or_else(|| usual_format(&node));
                (format, format::encode(format, path, &node))
            }
            Observed::Several(paths) => {
                let found = paths.iter();
                let nodes: Vec<_> = found
                    .filter_map(|path| Some((*path, self.objects.read(path).ok()?)))
                    .collect();
                if nodes.is_empty() {
                    return Err(Refusal::NotFound);
                }
                let format = accept.ok_or(Refusal::BadValue)?;
                (
                    format,
                    format::encode_samples(format, &[Sample { time: None, nodes }]),
                )
            }
        };
        Ok(Response {
            content_format: Some(format),
            payload: payload.map_err(not_acceptable)?,
            ..Response::new(Code::CONTENT)
        })
    }

    fn read(&mut self, peer: P, message: &Message, path: &Path) -> Result<Response, Refusal> {
        let observed = Observed::One(*path);
        let response = self.state_of(&observed, message.accept())?;
        let observe = self.observe(
            message.observe(),
            (peer, message.token()),
            observed,
            message.accept(),
        );
        Ok(Response {
            observe,
            ..response
        })
    }

    fn fetch(&mut self, peer: P, message: &Message) -> Result<Response, Refusal> {
        let format = message.content_format().ok_or(Refusal::BadValue)?;
        let paths = format::decode_paths(format, &message.payload(), &[]).map_err(unreadable)?;
        let (observed, accept) = (Observed::Several(paths), message.accept().or(Some(format)));
        let response = self.state_of(&observed, accept)?;
        let observe = self.observe(message.observe(), (peer, message.token()), observed, accept);
        Ok(Response {
            observe,
            ..response
        })
    }

    fn discover(&self, path: &Path) -> Result<Response, Refusal> {
        self.objects.discover(path).map(|links| Response {
            content_format: Some(ContentFormat::LINK),
            payload: links.into(),
            ..Response::new(Code::CONTENT)
        })
    }

    fn attribute(&mut self, message: &Message, path: &Path) -> Result<Response, Refusal> {
        let change = NotificationAttributes::from_query(message.uri_query());
        let change = change.map_err(|_| Refusal::BadValue)?;
        self.objects.write_attributes(path, &change)?;
        let query: Vec<_> = message.uri_query().collect();
        self.events
            .push_back(SimEvent::Attributed(*path, query.join("&")));
        Ok(Response::new(Code::CHANGED))
    }

    fn write(
        &mut self,
        now: Instant,
        message: &Message,
        path: &Path,
        replace: bool,
    ) -> Result<Response, Refusal> {
        let node = self.decode(message, path)?;
        let written = self.objects.write(path, &node, replace)?;
        self.changed(now, &written);
        Ok(Response::new(Code::CHANGED))
    }

    fn patch(&mut self, now: Instant, message: &Message) -> Result<Response, Refusal> {
        let format = message.content_format().ok_or(Refusal::BadValue)?;
        let decoded = format::decode_send(format, &message.payload(), &self.models());
        let decoded = decoded.map_err(unreadable)?;
        if !decoded.rejected.is_empty() {
            return Err(Refusal::BadValue);
        }
        let nodes: Vec<_> = decoded
            .samples
            .into_iter()
            .flat_map(|sample| sample.nodes)
            .collect();
        for (path, node) in &nodes {
            self.objects.check_write(path, node)?;
        }
        let mut written = Vec::new();
        for (path, node) in &nodes {
            written.extend(self.objects.write(path, node, false)?);
        }
        self.changed(now, &written);
        Ok(Response::new(Code::CHANGED))
    }

    fn create(&mut self, message: &Message, path: &Path) -> Result<Response, Refusal> {
        let id = self.objects.creatable(path)?.id;
        let free = self
            .objects
            .free_instance(path)
            .ok_or(Refusal::NotAllowed)?;
        // Bare resources are those of an instance to which the device gives an id.
        let (instances, location_path) = match self.decode(message, path) {
            Ok(Node::Object(Object { instances, .. })) => (instances, Vec::new()),
            Ok(Node::ObjectInstance(instance)) => (vec![instance], Vec::new()),
            Ok(_) => return Err(Refusal::BadValue),
            Err(error) => match self.decode(message, &free) {
                Ok(Node::ObjectInstance(instance)) => {
                    let location = free.segments().iter().map(u16::to_string).collect();
                    (vec![instance], location)
                }
                _ => return Err(error),
            },
        };
        let created = Object { id, instances };
        self.objects.create(&created)?;
        let created = created.instances.iter();
        let paths = created.map(|ObjectInstance { id: own, .. }| Path::instance(id, *own));
        self.events.extend(paths.map(SimEvent::Created));
        self.relist = true;
        Ok(Response {
            location_path,
            ..Response::new(Code::CREATED)
        })
    }

    fn delete(&mut self, now: Instant, path: &Path) -> Result<Response, Refusal> {
        self.objects.delete(path)?;
        self.relist |= path.depth() == 2;
        self.events.push_back(SimEvent::Deleted(*path));
        self.notify(now, path);
        Ok(Response::new(Code::DELETED))
    }

    /// Tells of values that the server wrote.
    fn changed(&mut self, now: Instant, written: &[Path]) {
        for path in written {
            if let Some(value) = self.objects.value(path).cloned() {
                self.events.push_back(SimEvent::Written(*path, value));
            }
            self.notify(now, path);
            self.update_written(now, path);
        }
    }

    fn decode(&self, message: &Message, path: &Path) -> Result<Node, Refusal> {
        let format = message.content_format().ok_or(Refusal::BadValue)?;
        let decoded = format::decode(format, path, &message.payload(), &self.models());
        let decoded = decoded.map_err(unreadable)?;
        if decoded.rejected.is_empty() {
            Ok(decoded.node)
        } else {
            Err(Refusal::BadValue)
        }
    }

    fn models(&self) -> Models {
        self.objects.models().cloned().collect()
    }
}

impl Refusal {
    pub(super) const fn code(self) -> Code {
        match self {
            Self::NotFound => Code::NOT_FOUND,
            Self::NotAllowed => Code::METHOD_NOT_ALLOWED,
            Self::BadValue | Self::Exists(_) => Code::BAD_REQUEST,
            Self::Format(code) => code,
        }
    }
}

/// The format of an answer when none is asked for: text for one value, TLV for more.
fn usual_format(node: &Node) -> ContentFormat {
    match node {
        Node::Resource(resource) if matches!(resource.content, ResourceContent::Single(_)) => {
            ContentFormat::TEXT
        }
        Node::ResourceInstance(_) => ContentFormat::TEXT,
        Node::Resource(_) | Node::Object(_) | Node::ObjectInstance(_) => ContentFormat::TLV,
    }
}

fn unreadable(error: DecodeError) -> Refusal {
    if error.kind == DecodeErrorKind::UnsupportedFormat {
        Refusal::Format(Code::UNSUPPORTED_CONTENT_FORMAT)
    } else {
        Refusal::BadValue
    }
}

fn not_acceptable(_: EncodeError) -> Refusal {
    Refusal::Format(Code::NOT_ACCEPTABLE)
}
