//! Devices for the tests of this folder: fixtures F and G of `rpc.md` 13.1, and a device that answers requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::{
    coap::{
        self, Code, ContentFormat, Message, MessageId, MessageType, Token, encode,
        link_format::Mode,
    },
    lwm2m::{
        format,
        model::{Models, ObjectModel, Operations, ResourceModel},
        node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
        path::{ObjectVersion, Path},
        registration::{ObjectList, RegisterParameters, RegistrationData},
        value::{ResourceType, Value},
    },
    platform::{
        RpcRequest,
        peer::{Peer, PeerId, PeerIdentity, ServerRole},
        profile::DeviceProfile,
        time::UnixMillis,
        uplink::{RpcBody, RpcId},
    },
};

use super::{
    context::DeviceContext,
    operation::{Operation, Outcome},
    rpc::{self, Rejection, RpcSettings},
};

/// A registered device with everything the server knows of it, and the device itself.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) registration_id: String,
    pub(super) peer: Peer,
    pub(super) registration: RegistrationData,
    pub(super) profile: DeviceProfile,
    pub(super) models: Models,
    pub(super) core_models: Models,
    pub(super) settings: RpcSettings,
    pub(super) device: Device,
}

impl Fixture {
    /// Registers a device: `query` of Register without `ep`, its links, and `observeAttr` of its profile.
    pub(super) fn new(query: &str, links: &str, observe_attr: &str) -> Self {
        let query = format!("ep=deviceEndpointRpc1&{query}");
        let parameters = RegisterParameters::from_query(query.split('&')).unwrap();
        let objects =
            ObjectList::parse(links.as_bytes(), Mode::Strict, parameters.version).unwrap();
        let registration = RegistrationData::new(parameters, objects).unwrap();
        let mut profile = DeviceProfile::default();
        profile.transport.observe_attr = serde_json::from_str(observe_attr).unwrap();
        let versions = registration.objects.objects().iter();
        let models: Models = versions
            .filter(|(object, _)| **object != 1)
            .filter_map(|(object, registered)| model(*object, registered.version))
            .collect();
        Self {
            registration_id: "NV9l4mMNAf".to_owned(),
            peer: Peer {
                id: PeerId::Udp {
                    remote: "127.0.0.1:35960".parse().unwrap(),
                    local: None,
                },
                role: ServerRole::Lwm2m,
                identity: PeerIdentity::Unsecured,
            },
            device: Device::new(models.clone()),
            registration,
            profile,
            models,
            core_models: model(1, ObjectVersion::new(1, 1)).into_iter().collect(),
            settings: RpcSettings::default(),
        }
    }

    /// Fixture F: LwM2M 1.1, all formats.
    pub(super) fn f() -> Self {
        let mut fixture = Self::new(
            "lwm2m=1.1",
            "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542 11543\",</1>;ver=1.1,</1/0>,</2>;ver=1.0,</3>;ver=1.2,</3/0>,\
             </5>;ver=1.2,</5/0>,</6>;ver=1.0,</6/0>,</9>;ver=1.1,</9/0>,</19>;ver=1.1,</19/0>,</19/1>,\
             </3303>;ver=1.0,</3303/0>,</3303/12>",
            r#"{"keyName":{"/3_1.2/0/9":"batteryLevel","/3_1.2/0/14":"UtfOffset","/19_1.1/0/0":"dataRead",
                "/19_1.1/1/0":"dataWrite","/19_1.1/0/2":"dataCreationTime"}}"#,
        );
        fixture.fill();
        fixture
    }

    /// Fixture G: LwM2M 1.0, every object in version 1.0, no formats announced.
    pub(super) fn g() -> Self {
        let mut fixture = Self::new(
            "lwm2m=1.0",
            "</1/0>,</2>,</3/0>,</5/0>,</6/0>,</9/0>,</19/0>,</19/1>,</3303/0>,</3303/12>",
            r#"{"keyName":{"/3_1.0/0/9":"batteryLevel","/3_1.0/0/15":"timezone","/5_1.0/0/3":"state",
                "/5_1.0/0/5":"updateResult","/5_1.0/0/7":"pkgversion"}}"#,
        );
        fixture.fill();
        fixture
    }

    fn fill(&mut self) {
        for (path, values) in [
            ("/3/0/0", r#""Thingsboard Demo Lwm2mDevice""#),
            ("/3/0/1", r#""Model 500""#),
            ("/3/0/6", r#"{"0":0,"1":1,"2":7}"#),
            ("/3/0/7", r#"{"0":12000,"1":12400,"7":14600}"#),
            ("/3/0/8", r#"{"0":1,"1":2,"2":3}"#),
            ("/3/0/9", "42"),
            ("/3/0/11", r#"{"0":0}"#),
            ("/3/0/14", r#""+02""#),
            ("/3/0/15", r#""Europe/Kyiv""#),
            ("/3/0/20", "0"),
            ("/5/0/0", r#""00""#),
            ("/5/0/3", "0"),
            ("/5/0/5", "0"),
            ("/5/0/6", r#""""#),
            ("/5/0/7", r#""""#),
            ("/5/0/9", "1"),
            ("/6/0/0", "12.5"),
            ("/6/0/4", r#""00ad""#),
            ("/19/0/0", r#"{"0":"00"}"#),
            ("/19/0/1", "0"),
            ("/19/0/2", "1625157589000"),
            ("/19/1/0", r#"{"0":"0102"}"#),
            ("/3303/0/5700", "20.5"),
            ("/3303/12/5700", "25.05"),
        ] {
            self.device
                .set(path, &serde_json::from_str(values).unwrap());
        }
    }

    pub(super) fn context(&self) -> DeviceContext<'_> {
        DeviceContext {
            endpoint: &self.registration.endpoint,
            registration_id: &self.registration_id,
            peer: &self.peer,
            registration: &self.registration,
            profile: &self.profile,
            models: &self.models,
            core_models: &self.core_models,
            settings: &self.settings,
        }
    }

    pub(super) fn parse(&self, method: &str, params: &str) -> Result<Operation, Rejection> {
        let request = RpcRequest {
            id: RpcId {
                request: 1,
                uuid: uuid::Uuid::from_u128(1),
            },
            method: method.to_owned(),
            params: params.to_owned(),
            expires: UnixMillis(0),
            oneway: false,
            persisted: false,
        };
        rpc::parse(&request, &self.context())
    }

    /// Carries an operation out on the device.
    pub(super) fn run(&mut self, operation: &Operation) -> Outcome {
        let response = self.device.answer(&operation.request(&[]));
        operation.outcome(&message(&response), &self.context())
    }

    /// Carries a command out and gives the body of its reply.
    pub(super) fn rpc(&mut self, method: &str, params: &str) -> RpcBody {
        match self.parse(method, params) {
            Ok(operation) => self.run(&operation).reply.body(),
            Err(rejection) => rejection.reply.body(),
        }
    }
}

/// A response as it arrives.
pub(super) fn message(response: &coap::Response) -> Message {
    let token = Token::new(&[0xed, 0x74, 0x58, 0x69, 0x72, 0xf6, 0x5e, 0xc5]).unwrap();
    let acknowledgement = MessageType::Acknowledgement;
    let datagram = encode::response(response, acknowledgement, MessageId(1), token);
    Message::parse(datagram).unwrap()
}

/// A device: resources by path in the order in which they were set.
#[derive(Debug)]
pub(super) struct Device {
    models: Models,
    resources: Vec<(Path, Resource)>,
    attributes: BTreeMap<Path, Vec<String>>,
    pub(super) executed: Vec<(Path, Bytes)>,
}

impl Device {
    const fn new(models: Models) -> Self {
        Self {
            models,
            resources: Vec::new(),
            attributes: BTreeMap::new(),
            executed: Vec::new(),
        }
    }

    /// Sets a resource. JSON as in the golden description of the device: multiple resources are objects, OPAQUE is
    /// hexadecimal, TIME milliseconds.
    pub(super) fn set(&mut self, path: &str, json: &serde_json::Value) {
        let path: Path = path.parse().unwrap();
        let id = path.resource_id().unwrap();
        let kind = self
            .models
            .resource(path.object_id().unwrap(), id)
            .unwrap()
            .kind;
        let resource = if let Some(members) = json.as_object() {
            let instances = members.iter().map(|(id, json)| ResourceInstance {
                id: id.parse().unwrap(),
                value: value(kind, json),
            });
            Resource::multiple(id, kind, instances.collect())
        } else {
            Resource::single(id, value(kind, json))
        };
        self.put(path, resource);
    }

    pub(super) fn answer(&mut self, request: &coap::Request) -> coap::Response {
        let path: Path = request.path.join("/").parse().unwrap();
        match request.method {
            Code::GET if request.accept == Some(ContentFormat::LINK) => self.discover(&path),
            Code::GET => coap::Response {
                observe: request.observe,
                ..self.get(&path, request.accept.unwrap())
            },
            Code::PUT if !request.query.is_empty() => {
                self.attributes.insert(path, request.query.clone());
                coap::Response::new(Code::CHANGED)
            }
            Code::PUT => self.write(&path, request.content_format.unwrap(), &request.payload),
            Code::POST if path == Path::resource(1, 0, 9) => coap::Response::with_diagnostic(
                Code::BAD_REQUEST,
                "probably no bootstrap server configured",
            ),
            Code::POST => {
                self.executed.push((path, request.payload.clone()));
                coap::Response::new(Code::CHANGED)
            }
            other => panic!("no such method: {other}"),
        }
    }

    fn get(&self, path: &Path, accept: ContentFormat) -> coap::Response {
        let model = path
            .resource_id()
            .and_then(|id| self.models.resource(path.object_id()?, id));
        if model.is_some_and(|model| !model.operations.read) {
            return coap::Response::new(Code::METHOD_NOT_ALLOWED);
        }
        let Some(node) = self.node(path) else {
            return coap::Response::new(Code::NOT_FOUND);
        };
        coap::Response {
            content_format: Some(accept),
            payload: format::encode(accept, path, &node).unwrap(),
            ..coap::Response::new(Code::CONTENT)
        }
    }

    fn write(&mut self, path: &Path, format: ContentFormat, payload: &Bytes) -> coap::Response {
        let (object, resource) = (path.object_id().unwrap(), path.resource_id().unwrap());
        if !self
            .models
            .resource(object, resource)
            .unwrap()
            .operations
            .write
        {
            return coap::Response::new(Code::METHOD_NOT_ALLOWED);
        }
        match format::decode(format, path, payload, &self.models)
            .unwrap()
            .node
        {
            Node::Resource(resource) => self.put(*path, resource),
            Node::ResourceInstance(instance) => {
                let parent = path.parent().unwrap();
                let (_, resource) = self
                    .resources
                    .iter_mut()
                    .find(|(path, _)| *path == parent)
                    .unwrap();
                let ResourceContent::Multiple { instances, .. } = &mut resource.content else {
                    panic!("{parent} is not multiple");
                };
                instances.retain(|known| known.id != instance.id);
                instances.push(instance);
            }
            node @ (Node::Object(_) | Node::ObjectInstance(_)) => panic!("written: {node:?}"),
        }
        coap::Response::new(Code::CHANGED)
    }

    fn discover(&self, path: &Path) -> coap::Response {
        let mut links: Vec<Path> = self
            .resources
            .iter()
            .flat_map(|(resource, _)| {
                [
                    Path::object(resource.segments()[0]),
                    resource.parent().unwrap(),
                    *resource,
                ]
            })
            .chain(self.executable())
            .filter(|link| path.contains(link))
            .collect();
        links.sort();
        links.dedup();
        if links.is_empty() {
            return coap::Response::new(Code::NOT_FOUND);
        }
        let links: Vec<_> = links.iter().map(|link| self.link(link)).collect();
        let mut payload = links.join(",");
        if path.depth() == 3
            && let Some(Node::Resource(Resource {
                content: ResourceContent::Multiple { instances, .. },
                ..
            })) = self.node(path)
        {
            for instance in instances {
                payload.push_str(&format!(",<{path}/{}>", instance.id));
            }
        }
        coap::Response {
            content_format: Some(ContentFormat::LINK),
            payload: payload.into(),
            ..coap::Response::new(Code::CONTENT)
        }
    }

    fn link(&self, path: &Path) -> String {
        let mut link = format!("<{path}>");
        if let [object] = path.segments() {
            let version = self.models.object(*object).unwrap().version;
            if version != ObjectVersion::V1_0 {
                link.push_str(&format!(";ver={version}"));
            }
        }
        for attribute in self.attributes.get(path).into_iter().flatten() {
            link.push_str(&format!(";{attribute}"));
        }
        if let Some(Node::Resource(Resource {
            content: ResourceContent::Multiple { instances, .. },
            ..
        })) = self.node(path)
        {
            link.push_str(&format!(";dim={}", instances.len()));
        }
        link
    }

    fn executable(&self) -> impl Iterator<Item = Path> {
        self.resources.iter().flat_map(|(path, _)| {
            let [object, instance, _] = *path.segments() else {
                panic!("{path} is not a resource");
            };
            let model = self.models.object(object).unwrap();
            let executable = model
                .resources
                .values()
                .filter(|resource| resource.operations.execute);
            executable.map(move |resource| Path::resource(object, instance, resource.id))
        })
    }

    fn node(&self, path: &Path) -> Option<Node> {
        let below: Vec<_> = self
            .resources
            .iter()
            .filter(|(resource, _)| path.contains(resource))
            .filter(|(resource, _)| {
                let [object, _, id] = *resource.segments() else {
                    panic!("{resource} is not a resource");
                };
                path.depth() == 3 || self.models.resource(object, id).unwrap().operations.read
            })
            .collect();
        match *path.segments() {
            [object] => {
                let mut instances: Vec<ObjectInstance> = Vec::new();
                for (path, resource) in below {
                    let id = path.instance_id()?;
                    match instances.iter_mut().find(|instance| instance.id == id) {
                        Some(instance) => instance.resources.push(resource.clone()),
                        None => instances.push(ObjectInstance {
                            id,
                            resources: vec![resource.clone()],
                        }),
                    }
                }
                let object = Object {
                    id: object,
                    instances,
                };
                (!object.instances.is_empty()).then_some(Node::Object(object))
            }
            [_, id] => {
                let resources: Vec<_> = below
                    .into_iter()
                    .map(|(_, resource)| resource.clone())
                    .collect();
                (!resources.is_empty())
                    .then_some(Node::ObjectInstance(ObjectInstance { id, resources }))
            }
            [_, _, _] => below
                .first()
                .map(|(_, resource)| Node::Resource(resource.clone())),
            _ => {
                let parent = path.parent()?;
                let (_, resource) = self.resources.iter().find(|(path, _)| *path == parent)?;
                let ResourceContent::Multiple { instances, .. } = &resource.content else {
                    return None;
                };
                let id = path.resource_instance_id()?;
                let instance = instances.iter().find(|instance| instance.id == id)?;
                Some(Node::ResourceInstance(instance.clone()))
            }
        }
    }

    fn put(&mut self, path: Path, resource: Resource) {
        match self.resources.iter_mut().find(|(known, _)| *known == path) {
            Some((_, known)) => *known = resource,
            None => self.resources.push((path, resource)),
        }
    }
}

fn value(kind: ResourceType, json: &serde_json::Value) -> Value {
    match kind {
        ResourceType::String => Value::String(json.as_str().unwrap().to_owned()),
        ResourceType::Integer => Value::Integer(json.as_i64().unwrap()),
        ResourceType::Float => Value::Float(json.as_f64().unwrap()),
        ResourceType::Time => Value::Time(json.as_i64().unwrap()),
        ResourceType::Opaque => {
            let digits: Vec<_> = json
                .as_str()
                .unwrap()
                .chars()
                .map(|digit| digit.to_digit(16).unwrap())
                .collect();
            Value::Opaque(
                digits
                    .chunks(2)
                    .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap())
                    .collect(),
            )
        }
        ResourceType::Boolean
        | ResourceType::ObjectLink
        | ResourceType::UnsignedInteger
        | ResourceType::CoreLink
        | ResourceType::None => panic!("no test value has the type {kind:?}"),
    }
}

/// The resources of the objects that tests use: id, type (`*` for multiple), operations.
fn model(object: u16, version: ObjectVersion) -> Option<Arc<ObjectModel>> {
    let (multiple, resources) = match object {
        1 => (true, "0 Integer R,1 Integer RW,8 None E,9 None E"),
        3 => (
            false,
            "0 String R,1 String R,2 String R,3 String R,4 None E,5 None E,6 Integer* R,7 Integer* R,8 Integer* R,\
             9 Integer R,10 Integer R,11 Integer* R,12 None E,13 Time RW,14 String RW,15 String RW,16 String R,\
             17 String R,18 String R,19 String R,20 Integer R,21 Integer R",
        ),
        5 => (
            false,
            "0 Opaque W,1 String RW,2 None E,3 Integer R,5 Integer R,6 String R,7 String R,8 Integer* R,9 Integer R",
        ),
        6 => (
            false,
            "0 Float R,1 Float R,2 Float R,3 Float R,4 Opaque R,5 Time R",
        ),
        9 => (true, "4 None E,7 Integer R,9 Integer R"),
        19 => (
            true,
            "0 Opaque* RW,1 Integer RW,2 Time RW,3 String RW,4 String RW,5 Integer RW",
        ),
        3303 => (
            true,
            "5700 Float R,5701 String R,5601 Float R,5602 Float R,5603 Float R,5604 Float R,5605 None E",
        ),
        _ => return None,
    };
    let resources = resources.split(',').map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [id, kind, operations] = fields[..] else {
            panic!("not three fields: {line}");
        };
        let id = id.parse().unwrap();
        let kind_of = |name: &str| match name {
            "String" => ResourceType::String,
            "Integer" => ResourceType::Integer,
            "Float" => ResourceType::Float,
            "Opaque" => ResourceType::Opaque,
            "Time" => ResourceType::Time,
            _ => ResourceType::None,
        };
        let resource = ResourceModel {
            id,
            name: String::new(),
            operations: Operations {
                read: operations.contains('R'),
                write: operations.contains('W'),
                execute: operations.contains('E'),
            },
            multiple: kind.ends_with('*'),
            mandatory: false,
            kind: kind_of(kind.trim_end_matches('*')),
            range: String::new(),
            units: String::new(),
        };
        (id, resource)
    });
    Some(Arc::new(ObjectModel {
        id: object,
        version,
        name: String::new(),
        multiple,
        mandatory: false,
        resources: resources.collect(),
    }))
}
