//! The device's side of the bootstrap interface (OMA LwM2M Core, "Bootstrap Interface").
//!
//! A device that knows a bootstrap server has its account at `/0/0`. It asks, takes what is written to objects 0 and 1, and
//! says after the Finish where it is to register. Object 0 is nobody's business but the bootstrap server's; object 1 is one
//! of the device's objects, so an Execute of `/1/x/9` makes it ask again.

use std::{fmt::Debug, sync::Arc, time::Instant};

use crate::{
    coap::{Code, ContentFormat, Message, Request, Response, Token},
    lwm2m::{
        format,
        model::{Models, core},
        node::{Node, ObjectInstance},
        path::{ObjectId, ObjectVersion, Path},
        value::Value,
    },
};

use super::{
    SimDevice, SimEvent, SimObjects,
    device::{REQUEST_TIMEOUT, RETRY_AFTER, State},
};

/// What a device knows of its bootstrap server.
#[derive(Debug)]
pub(super) struct Bootstrap<P> {
    pub(super) server: P,
    /// Object 0.
    accounts: SimObjects,
    /// Whether it must be asked before the next Register.
    pub(super) wanted: bool,
}

impl<P: Copy + Eq + Debug> SimDevice<P> {
    /// Gives the device an account of a bootstrap server: its address, and its URI for `/0/0/0`. It must be asked before
    /// the device registers.
    pub fn know_bootstrap_server(&mut self, server: P, uri: &str) {
        let mut accounts = SimObjects::default();
        let catalog = core::catalog();
        if let Some(model) = catalog.exact(SECURITY, VERSION) {
            accounts.add_object(Arc::clone(model));
        }
        if let Some(model) = catalog.exact(SERVER, VERSION) {
            self.objects.add_object(Arc::clone(model));
        }
        let uri = Value::String(uri.to_owned());
        accounts.set(Path::resource(SECURITY, 0, 0), uri);
        accounts.set(Path::resource(SECURITY, 0, 1), Value::Boolean(true));
        self.bootstrap = Some(Bootstrap {
            server,
            accounts,
            wanted: true,
        });
    }

    /// Sends a Bootstrap-Request, if the device knows a bootstrap server. [`SimEvent::Bootstrapped`] says where to register
    /// then.
    pub fn ask_for_bootstrap(&mut self, now: Instant) {
        let Some(bootstrap) = &mut self.bootstrap else {
            return;
        };
        bootstrap.wanted = true;
        let request = Request {
            method: Code::POST,
            path: vec!["bs".to_owned()],
            query: vec![
                format!("ep={}", self.settings.endpoint),
                format!("pct={}", ContentFormat::SENML_CBOR.0),
            ],
            ..Request::default()
        };
        let token = self
            .exchanges
            .request(now, bootstrap.server, &request, REQUEST_TIMEOUT);
        self.state = State::Bootstrapping {
            request: Some(token),
            until: now + REQUEST_TIMEOUT,
        };
    }

    /// Registers at another server than before.
    pub fn register_at(&mut self, now: Instant, server: P) {
        self.server = server;
        self.register(now);
    }

    /// The servers that may speak to the device.
    pub fn servers(&self) -> impl Iterator<Item = P> {
        let bootstrap = self.bootstrap.as_ref().map(|own| own.server);
        std::iter::once(self.server).chain(bootstrap)
    }

    /// Takes the answer to the Bootstrap-Request of this token.
    pub(super) fn handle_bootstrap_answer(&mut self, now: Instant, token: Token, answer: &Message) {
        let State::Bootstrapping { request, .. } = &mut self.state else {
            return;
        };
        if request.take_if(|own| *own == token).is_some() && answer.code() != Code::CHANGED {
            let text = answer.diagnostic().unwrap_or_default().to_owned();
            let code = answer.code();
            self.events.push_back(SimEvent::Refused { code, text });
            self.state = State::Waiting {
                until: now + RETRY_AFTER,
            };
        }
    }

    /// Answers a request of the bootstrap server, which may do while it was asked what no other server may.
    pub(super) fn answer_bootstrap(&mut self, now: Instant, message: &Message) -> Response {
        let is_open = matches!(self.state, State::Bootstrapping { .. });
        let segments: Vec<_> = message.uri_path().collect();
        if !is_open {
            return Response::new(Code::UNAUTHORIZED);
        }
        if (message.code(), segments.as_slice()) == (Code::POST, &["bs"]) {
            return self.finish_bootstrap(now);
        }
        let Ok(path) = segments.join("/").parse::<Path>() else {
            return Response::new(Code::NOT_FOUND);
        };
        match (message.code(), path.segments()) {
            (Code::GET, []) if message.accept() == Some(ContentFormat::LINK) => Response {
                content_format: Some(ContentFormat::LINK),
                payload: self.bootstrap_links().into(),
                ..Response::new(Code::CONTENT)
            },
            (Code::PUT, [SECURITY | SERVER, _]) => self.write_account(&path, message),
            (Code::DELETE, [] | [SECURITY | SERVER] | [SECURITY | SERVER, _]) => {
                self.delete_accounts(&path)
            }
            _ => Response::new(Code::METHOD_NOT_ALLOWED),
        }
    }

    /// The links of a Bootstrap-Discover: every instance, accounts with their short server id and URI.
    fn bootstrap_links(&self) -> String {
        let mut links = vec!["</>;lwm2m=1.1".to_owned()];
        let accounts = self.bootstrap.iter().map(|own| &own.accounts);
        for objects in accounts.chain([&self.objects]) {
            for instance in &objects.instances {
                let mut link = format!("<{instance}>");
                let (id, uri) = match instance.object_id() {
                    Some(SECURITY) => (instance.child(10), instance.child(0)),
                    Some(SERVER) => (instance.child(0), None),
                    _ => (None, None),
                };
                if let Some(Value::Integer(id)) = id.and_then(|path| objects.value(&path)) {
                    link.push_str(&format!(";ssid={id}"));
                }
                if let Some(Value::String(uri)) = uri.and_then(|path| objects.value(&path)) {
                    link.push_str(&format!(";uri=\"{uri}\""));
                }
                links.push(link);
            }
        }
        links.join(",")
    }

    fn write_account(&mut self, path: &Path, message: &Message) -> Response {
        let Some(bootstrap) = &mut self.bootstrap else {
            return Response::new(Code::UNAUTHORIZED);
        };
        let objects = if path.object_id() == Some(SECURITY) {
            &mut bootstrap.accounts
        } else {
            &mut self.objects
        };
        let models: Models = objects.models().cloned().collect();
        let read = message
            .content_format()
            .and_then(|format| format::decode(format, path, &message.payload(), &models).ok());
        let Some(Node::ObjectInstance(instance)) = read
            .filter(|read| read.rejected.is_empty())
            .map(|read| read.node)
        else {
            return Response::new(Code::BAD_REQUEST);
        };
        let instance = ObjectInstance {
            id: path.instance_id().unwrap_or(instance.id),
            ..instance
        };
        objects.replace_instance(path, &instance);
        self.events.push_back(SimEvent::Created(*path));
        Response::new(Code::CHANGED)
    }

    /// Deletes what is below `path`, but for the account of the bootstrap server.
    fn delete_accounts(&mut self, path: &Path) -> Response {
        let Some(bootstrap) = &mut self.bootstrap else {
            return Response::new(Code::UNAUTHORIZED);
        };
        let is_bootstrap = |accounts: &SimObjects, instance: &Path| {
            let flag = instance.child(1);
            flag.and_then(|flag| accounts.value(&flag)) == Some(&Value::Boolean(true))
        };
        if is_bootstrap(&bootstrap.accounts, path) {
            let text = "bootstrap server can not be deleted";
            return Response::with_diagnostic(Code::BAD_REQUEST, text);
        }
        let instances = bootstrap.accounts.instances.clone();
        let security = instances
            .iter()
            .filter(|instance| !is_bootstrap(&bootstrap.accounts, instance));
        let security: Vec<_> = security.copied().collect();
        for instance in security.iter().filter(|own| path.contains(own)) {
            bootstrap.accounts.remove(instance);
        }
        for instance in self.objects.instances.clone() {
            if instance.object_id() == Some(SERVER) && path.contains(&instance) {
                self.objects.remove(&instance);
            }
        }
        self.events.push_back(SimEvent::Deleted(*path));
        Response::new(Code::DELETED)
    }

    /// The Finish: there must be a server to register at, else the configuration is inconsistent.
    fn finish_bootstrap(&mut self, now: Instant) -> Response {
        let server = self.bootstrap.as_ref().and_then(|own| {
            let accounts = own.accounts.instances.iter();
            accounts
                .filter(|account| {
                    let id = account.child(10).and_then(|id| own.accounts.value(&id));
                    id.is_some() && self.has_server(id)
                })
                .find_map(|account| own.accounts.value(&account.child(0)?))
        });
        let Some(Value::String(server)) = server.cloned() else {
            self.state = State::Waiting {
                until: now + RETRY_AFTER,
            };
            return Response::new(Code::NOT_ACCEPTABLE);
        };
        if let Some(bootstrap) = &mut self.bootstrap {
            bootstrap.wanted = false;
        }
        self.state = State::Idle;
        self.events.push_back(SimEvent::Bootstrapped { server });
        Response::new(Code::CHANGED)
    }

    /// Whether a Server instance has this short server id.
    fn has_server(&self, id: Option<&Value>) -> bool {
        let instances = self.objects.instances.iter();
        instances
            .filter(|instance| instance.object_id() == Some(SERVER))
            .any(|instance| instance.child(0).and_then(|own| self.objects.value(&own)) == id)
    }
}

/// Whether this is the Bootstrap-Request Trigger of a Server instance.
pub(super) fn is_trigger(path: &Path) -> bool {
    matches!(path.segments(), [SERVER, _, 9])
}

const SECURITY: ObjectId = 0;
const SERVER: ObjectId = 1;
const VERSION: ObjectVersion = ObjectVersion::new(1, 1);
