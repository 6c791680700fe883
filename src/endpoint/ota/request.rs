//! Requests of updates to the device: what each step sends, and what its answer means.

use serde::Serialize;

use crate::{
    coap::ContentFormat,
    lwm2m::{
        node::{Object as ObjectNode, ObjectInstance, ResourceInstance},
        path::ObjectVersion,
        value::{ResourceType, Value},
    },
    platform::profile::VersionedPath,
};

use super::{
    super::operation::{
        Outcome, WriteMode,
        format::{for_reading, for_writing},
    },
    *,
};

impl Step {
    /// Whether it leaves no trace in `transportLog`: the platform's own transport makes no such request.
    pub(in crate::endpoint) const fn is_quiet(&self) -> bool {
        matches!(self, Self::Observe(_) | Self::Protocols)
    }

    /// Whether it carries a package, and so yields after every block.
    pub(in crate::endpoint) const fn carries_package(&self) -> bool {
        matches!(self, Self::Write(Way::Push(_)))
    }
}

impl Endpoint {
    /// Lines the request of a step up, and sends it if nothing goes before.
    pub(super) fn request_for_ota(&mut self, now: Now, kind: PackageKind, step: Step) {
        let Some(registration) = &self.registration else {
            return;
        };
        let session = Arc::clone(&registration.session);
        match self.ota_operation(registration, kind, &step) {
            Ok(operation) => {
                self.downlink.push(Command {
                    operation,
                    origin: Origin::Ota { kind, step },
                });
                self.send_commands(now);
            }
            Err(line) => {
                if let Some(line) = line {
                    self.log(now, &session, line);
                }
                self.end_step(now, kind, &step, &StepOutcome::Lost);
            }
        }
    }

    /// Takes the device's answer to a step.
    pub(in crate::endpoint) fn handle_ota_response(
        &mut self,
        now: Now,
        token: Token,
        (kind, step): (PackageKind, &Step),
        (code, observing): (Code, bool),
        outcome: Outcome,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let session = Arc::clone(&registration.session);
        if !step.is_quiet() {
            for line in &outcome.log {
                self.log(now, &session, line.as_str());
            }
        }
        let mut numbers = Vec::new();
        if let Step::Observe(path) = step {
            if observing {
                self.ota.watched.push((token, *path));
            }
            self.show_nodes_to_ota(now, outcome.nodes);
        } else if *step == Step::Protocols {
            numbers = integers(outcome.nodes);
        }
        let outcome = if code.is_error() {
            StepOutcome::Refused(code)
        } else {
            StepOutcome::Done(numbers)
        };
        self.end_step(now, kind, step, &outcome);
    }

    /// A step got no answer.
    pub(in crate::endpoint) fn lose_ota_step(&mut self, now: Now, kind: PackageKind, step: &Step) {
        self.end_step(now, kind, step, &StepOutcome::Lost);
    }

    fn end_step(&mut self, now: Now, kind: PackageKind, step: &Step, outcome: &StepOutcome) {
        self.update_ota(now, kind, |update, terms| {
            update.outcome(now.mono, step, outcome, terms);
        });
    }

    /// Ends an observation that was for updates alone.
    pub(super) fn end_watch(&mut self, token: Token, path: Path) {
        let Some(registration) = &self.registration else {
            return;
        };
        if let Ok(format) = for_reading(&path, &self.context(registration)) {
            let id = versioned(registration, path);
            self.downlink.push(Command {
                operation: Operation::observe(id, path, format),
                origin: Origin::Cancel(token),
            });
        }
    }

    /// The request of a step, or why there is none: a line for the log.
    fn ota_operation(
        &self,
        registration: &Registration,
        kind: PackageKind,
        step: &Step,
    ) -> Result<Operation, Option<String>> {
        let object = object(kind);
        let device = self.context(registration);
        let id = |path| versioned(registration, path);
        let text = |path: Path, text: &str| {
            let value = Value::String(text.to_owned());
            let node = Node::Resource(Resource::single(resource_id(&path), value));
            let (mode, format) = (WriteMode::Replace, ContentFormat::TEXT);
            Operation::write(id(path), path, mode, format, node).map_err(|_| None)
        };
        match step {
            Step::Observe(path) => {
                let format = for_reading(path, &device).map_err(|_| None)?;
                Ok(Operation::observe(id(*path), *path, format))
            }
            Step::Protocols => {
                let path = object.protocols.ok_or(None)?;
                let format = for_reading(&path, &device).map_err(|_| None)?;
                Ok(Operation::read(id(path), path, format))
            }
            Step::Uninstall => {
                let path = object.uninstall.ok_or(None)?;
                Ok(Operation::execute(id(path), path, FOR_UPDATE))
            }
            Step::Reset => match object.cancel {
                Some(path) if version(registration, object.id) >= CANCEL_SINCE => {
                    Ok(Operation::execute(id(path), path, ""))
                }
                _ => text(object.uri, ""),
            },
            Step::Write(Way::Push(path)) => {
                let update = self.ota.all().find(|own| own.kind() == kind);
                let (_, package) = update.and_then(Update::package).ok_or(None)?;
                let value = Value::Opaque(package.bytes().clone());
                let node = Node::Resource(Resource::single(resource_id(path), value));
                let (mode, format) = (WriteMode::Replace, ContentFormat::OPAQUE);
                Operation::write(id(*path), *path, mode, format, node).map_err(|_| None)
            }
            Step::Write(Way::Fetch(uri)) => text(object.uri, uri),
            Step::Execute => Ok(Operation::execute(id(object.update), object.update, "")),
            Step::Describe => self.description(registration, object),
        }
    }

    /// Tells Object 19 of a package (`ota.md` 7.4).
    fn description(
        &self,
        registration: &Registration,
        object: &Object,
    ) -> Result<Operation, Option<String>> {
        let at = object.description;
        let objects = registration.data.objects.objects();
        let Some(registered) = objects.get(&APPLICATION_DATA) else {
            return Err(Some(text::no_object_19(self.name.as_str(), at)));
        };
        let update = self.ota.all().find(|own| own.kind() == object.kind);
        let (info, package) = update.and_then(Update::package).ok_or(None)?;
        let description = Description {
            title: &info.title,
            version: &info.version,
            checksum: package.checksum(),
            data_size: package.bytes().len(),
            file_name: &info.file_name,
        };
        let json = serde_json::to_vec(&description).map_err(|_| None)?;
        let value = ResourceInstance {
            id: 0,
            value: Value::Opaque(json.into()),
        };
        let resource = Resource::multiple(0, ResourceType::Opaque, vec![value]);
        let (device, instance) = (self.context(registration), at.instance_id().ok_or(None)?);
        if registered.instances.contains(&instance) {
            let path = at.child(0).ok_or(None)?;
            let format = for_writing(&path, &device).map_err(|_| None)?;
            let (mode, node) = (WriteMode::Replace, Node::Resource(resource));
            let id = versioned(registration, path);
            return Operation::write(id, path, mode, format, node).map_err(|_| None);
        }
        let path = Path::object(APPLICATION_DATA);
        let format = for_writing(&path, &device).map_err(|_| None)?;
        let instance = ObjectInstance {
            id: instance,
            resources: vec![resource],
        };
        let node = Node::Object(ObjectNode {
            id: APPLICATION_DATA,
            instances: vec![instance],
        });
        let id = versioned(registration, path);
        Operation::create(id, path, format, node).map_err(|_| None)
    }
}

/// What Object 19 is told; the members stand in the order of the platform.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description<'a> {
    title: &'a str,
    version: &'a str,
    checksum: String,
    data_size: usize,
    file_name: &'a str,
}

fn resource_id(path: &Path) -> u16 {
    path.resource_id().unwrap_or_default()
}

fn version(registration: &Registration, object: u16) -> ObjectVersion {
    let version = registration.data.supported_version(object);
    version.unwrap_or(ObjectVersion::V1_0)
}

/// A path as log lines print it.
fn versioned(registration: &Registration, path: Path) -> String {
    let version = version(registration, path.object_id().unwrap_or_default());
    VersionedPath { path, version }.to_string()
}

/// The whole numbers of what was read.
fn integers(nodes: Vec<(Path, Node)>) -> Vec<i64> {
    let resources = nodes
        .into_iter()
        .flat_map(|(path, node)| telemetry::resources(&path, node));
    let values = resources.flat_map(|(_, resource)| match resource.content {
        ResourceContent::Single(value) => vec![value],
        ResourceContent::Multiple { instances, .. } => {
            instances.into_iter().map(|own| own.value).collect()
        }
    });
    let number = |value| {
        if let Value::Integer(number) = value {
            Some(number)
        } else {
            None
        }
    };
    values.filter_map(number).collect()
}

/// Object 19.
const APPLICATION_DATA: u16 = 19;
/// The argument with which software is removed to make room for another version.
const FOR_UPDATE: &str = "1";
/// The version of Object 5 since which a package can be given up by a command.
const CANCEL_SINCE: ObjectVersion = ObjectVersion::new(1, 1);
