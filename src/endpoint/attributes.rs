//! Shared attributes of the platform, written to the device (`device-lifecycle.md` 5).
//!
//! An attribute that is named like a key of the profile is written to the resource behind that key, unless the device
//! is known to have the value. Of several values of one resource the newest wins. A value counts as written only when
//! the device has taken it; one that it refused is tried again when the attributes are next asked for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::{
    lwm2m::{
        node::{ObjectInstance, Resource, ResourceContent, ResourceInstance},
        version::Lwm2mVersion,
    },
    platform::{package::PackageKind, profile::VersionedPath},
    store::record,
};

use super::{
    operation::{WriteMode, format::for_writing},
    presence::PowerSaving,
    *,
};

/// What became of the shared attributes since the device registered.
#[derive(Debug, Default)]
pub(super) struct SharedAttributes {
    /// When the value was set that the device took, by resource.
    taken: BTreeMap<Path, UnixMillis>,
    /// They are to be asked for.
    wanted: bool,
    /// They were last asked for because the device woke up: no line says which of them it has already.
    quiet: bool,
    /// How often the device took a value.
    changes: u64,
}

/// Values taken of which is kept when they were set; more than any profile has.
const MAX_KEPT: usize = 1000;

impl SharedAttributes {
    /// Nothing is known, and they are to be asked for.
    pub(super) fn wanted() -> Self {
        Self {
            wanted: true,
            ..Self::default()
        }
    }

    /// Whether they are still to be asked for.
    pub(super) const fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// Notes that the device took a value that was set at `ts`.
    pub(super) fn taken(&mut self, path: Path, ts: UnixMillis) {
        self.changes += 1;
        self.taken.insert(path, ts);
    }

    /// Grows whenever the device takes a value.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    /// What is kept of them.
    pub(super) fn record(&self) -> Vec<record::WrittenAttribute> {
        let taken = self.taken.iter().take(MAX_KEPT);
        taken
            .map(|(path, ts)| record::WrittenAttribute {
                path: path.to_string(),
                set_at: ts.0,
            })
            .collect()
    }

    /// What was kept; those that were set meanwhile are to be asked for.
    pub(super) fn restored(record: &[record::WrittenAttribute]) -> Self {
        let taken = record.iter().filter_map(|own| {
            let path = own.path.parse().ok()?;
            Some((path, UnixMillis(own.set_at)))
        });
        Self {
            taken: taken.collect(),
            wanted: true,
            quiet: true,
            changes: 0,
        }
    }
}

/// What comes of a shared attribute.
enum Decision {
    /// It is written.
    Write(Command),
    /// The device has it, as the line says; what waits for the path is older.
    Unchanged(Path, String),
    /// It cannot be written, as the line says.
    Refused(String),
    /// A value as new was written, or is about to be.
    Stale,
}

impl Endpoint {
    /// Asks for the shared attributes if that is due. The profile's work comes before: it tells what the device has.
    pub(super) fn ask_attributes(&mut self) {
        let Some(registration) = &self.registration else {
            return;
        };
        if !self.attributes.wanted
            || !self.resources.are_known()
            || self.downlink.has_profile_work()
        {
            return;
        }
        self.attributes.wanted = false;
        let names = &registration.profile.transport.observe_attr.key_name;
        let names = names.iter().map(|(_, name)| name);
        let keys: BTreeSet<_> = names
            .filter(|name| !name.is_empty() && PackageKind::of_attribute(name).is_none())
            .collect();
        // To ask for nothing is to ask for everything.
        if !keys.is_empty() {
            self.outputs
                .push_back(Output::Uplink(Uplink::AttributesWanted {
                    session: Arc::clone(&registration.session),
                    keys: keys.into_iter().cloned().collect(),
                }));
        }
    }

    /// Asks for the shared attributes anew, because the device slept in a way in which it may have missed some.
    pub(super) fn want_attributes_again(&mut self) {
        match self.power_saving() {
            PowerSaving::Never | PowerSaving::QueueMode(_) => return,
            PowerSaving::Psm(_) | PowerSaving::Edrx { .. } => {}
        }
        self.ota.want_again();
        if !self.attributes.wanted {
            self.attributes.wanted = true;
            self.attributes.quiet = true;
        }
        self.ask_attributes();
    }

    pub(super) fn handle_attributes(
        &mut self,
        now: Now,
        updated: Vec<(String, KeyValue, UnixMillis)>,
        requested: bool,
    ) {
        // Without models nothing can be written; what was set by then is among those that are asked for afterwards.
        if !self.resources.are_known() {
            return;
        }
        let quiet = requested && self.attributes.quiet;
        for (name, value, ts) in updated {
            let Some(registration) = &self.registration else {
                return;
            };
            if PackageKind::of_attribute(&name).is_some() {
                continue;
            }
            let session = Arc::clone(&registration.session);
            match self.decide_attribute(registration, &name, &value, ts) {
                Decision::Write(command) => self.downlink.push(command),
                Decision::Unchanged(path, line) => {
                    self.downlink.forget_attribute(&path);
                    if !quiet {
                        self.log(now, &session, line);
                    }
                }
                Decision::Refused(line) => self.log(now, &session, line),
                Decision::Stale => {}
            }
        }
    }

    fn decide_attribute(
        &self,
        registration: &Registration,
        name: &str,
        value: &KeyValue,
        ts: UnixMillis,
    ) -> Decision {
        let device = self.context(registration);
        let Some(VersionedPath { path, version }) = rpc::path_of_key(name, &device) else {
            return Decision::Refused(text::attribute_not_configured(name));
        };
        let newest = self.downlink.newest_attribute(&path);
        if newest.max(self.attributes.taken.get(&path).copied()) >= Some(ts) {
            return Decision::Stale;
        }
        let id = VersionedPath { path, version }.to_string();
        let json = json(value);
        if json.is_null() {
            return Decision::Refused(text::attribute_bad(&id, &shown(value)));
        }
        let invalid =
            |error: String| Decision::Refused(text::validation_failed("WriteRequest", &id, &error));
        let node = match rpc::value_node(&id, path, &json, &device) {
            Ok(node) => node,
            Err(error) => return invalid(error),
        };
        // While a value is under way nobody knows what the device has.
        let known = match path.resource_instance_id() {
            _ if self.downlink.writes_attribute(&path) => None,
            Some(_) => path.parent().and_then(|parent| self.resources.get(&parent)),
            None => self.resources.get(&path),
        };
        let Some(node) = difference(known, node) else {
            let line = text::attribute_unchanged(&id, &shown(value), json.is_object());
            return Decision::Unchanged(path, line);
        };
        match write(VersionedPath { path, version }, node, &device) {
            Ok(operation) => Decision::Write(Command {
                operation,
                origin: Origin::Attribute { path, ts },
            }),
            Err(error) => invalid(error),
        }
    }
}

/// A Write of `node`. Instances of a multiple resource leave the others as they are.
fn write(at: VersionedPath, node: Node, device: &DeviceContext<'_>) -> Result<Operation, String> {
    let (path, mode, node) = match (node, at.path.parent()) {
        (Node::Resource(resource), Some(parent))
            if matches!(resource.content, ResourceContent::Multiple { .. }) =>
        {
            match (device.registration.version, parent.instance_id()) {
                // Such a request to a resource was an Execute then.
                (Lwm2mVersion::V1_0, Some(id)) => {
                    let resources = vec![resource];
                    let instance = Node::ObjectInstance(ObjectInstance { id, resources });
                    (parent, WriteMode::Update, instance)
                }
                _ => (at.path, WriteMode::Update, Node::Resource(resource)),
            }
        }
        (node, _) => (at.path, WriteMode::Replace, node),
    };
    let format = for_writing(&path, device).map_err(|error| error.to_string())?;
    let id = VersionedPath { path, ..at }.to_string();
    Operation::write(id, path, mode, format, node).map_err(|error| error.to_string())
}

/// What of `node` is not `known` to be on the device; `None` when all of it is.
fn difference(known: Option<&Resource>, node: Node) -> Option<Node> {
    let has = |instance: &ResourceInstance| match known.map(|own| &own.content) {
        Some(ResourceContent::Multiple { instances, .. }) => instances.contains(instance),
        Some(ResourceContent::Single(_)) | None => false,
    };
    match node {
        Node::Resource(mut resource) => {
            let remains = match &mut resource.content {
                ResourceContent::Multiple { instances, .. } => {
                    instances.retain(|instance| !has(instance));
                    !instances.is_empty()
                }
                ResourceContent::Single(_) => known != Some(&resource),
            };
            remains.then_some(Node::Resource(resource))
        }
        Node::ResourceInstance(instance) => {
            (!has(&instance)).then_some(Node::ResourceInstance(instance))
        }
        Node::Object(_) | Node::ObjectInstance(_) => Some(node),
    }
}

/// An attribute as a command would give the value; null when it has none.
fn json(value: &KeyValue) -> Json {
    match value {
        KeyValue::Boolean(flag) => Json::from(*flag),
        KeyValue::Long(number) => Json::from(*number),
        KeyValue::Double(number) => Json::from(*number),
        KeyValue::String(text) => Json::from(text.as_str()),
        KeyValue::Json(text) => serde_json::from_str(text).unwrap_or_default(),
    }
}

/// An attribute as log lines show it.
fn shown(value: &KeyValue) -> String {
    match value {
        KeyValue::Boolean(flag) => flag.to_string(),
        KeyValue::Long(number) => number.to_string(),
        KeyValue::Double(number) => rpc::java::double(*number),
        KeyValue::String(text) | KeyValue::Json(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        coap::Code,
        endpoint::fixture::Fixture,
        lwm2m::{
            path::ObjectVersion,
            value::{ResourceType, Value},
        },
    };

    fn instances(values: &[(u16, i64)]) -> Resource {
        let instances = values.iter().map(|(id, number)| ResourceInstance {
            id: *id,
            value: Value::Integer(*number),
        });
        Resource::multiple(7, ResourceType::Integer, instances.collect())
    }

    /// Method and path of the Write of some instances of `/3_1.2/0/7` on a device of this version.
    fn written(version: &str) -> (Code, String, String) {
        let links = "</>;rt=\"oma.lwm2m\";ct=\"11542\",</3>;ver=1.2,</3/0>";
        let fixture = Fixture::new(&format!("lwm2m={version}"), links, "{}");
        let at = VersionedPath {
            path: Path::resource(3, 0, 7),
            version: ObjectVersion::new(1, 2),
        };
        let node = Node::Resource(instances(&[(1, 5000)]));
        let operation = write(at, node, &fixture.context()).unwrap();
        let request = operation.request(&[]);
        (
            request.method,
            request.path.join("/"),
            operation.id().to_owned(),
        )
    }

    #[test]
    fn instances_are_written_as_an_update_of_what_the_version_can_update() {
        let id = |id: &str| id.to_owned();
        assert_eq!(written("1.1"), (Code::POST, id("3/0/7"), id("/3_1.2/0/7")));
        assert_eq!(written("1.0"), (Code::POST, id("3/0"), id("/3_1.2/0")));
    }

    #[test]
    fn what_differs_remains() {
        let known = instances(&[(0, 3800), (1, 5000)]);
        let whole = |values: &[(u16, i64)]| Node::Resource(instances(values));
        let left = |node| difference(Some(&known), node);
        assert_eq!(left(whole(&[(1, 5000), (0, 3800)])), None);
        assert_eq!(
            left(whole(&[(0, 3800), (1, 1), (2, 2)])),
            Some(whole(&[(1, 1), (2, 2)]))
        );
        assert_eq!(
            difference(None, whole(&[(0, 3800)])),
            Some(whole(&[(0, 3800)]))
        );
        let one = |id, number| {
            Node::ResourceInstance(ResourceInstance {
                id,
                value: Value::Integer(number),
            })
        };
        assert_eq!(left(one(1, 5000)), None);
        assert_eq!(left(one(1, 5001)), Some(one(1, 5001)));
        let link = Resource::single(0, Value::ObjectLink(3, 0));
        assert_eq!(difference(Some(&link), Node::Resource(link.clone())), None);
    }
}
