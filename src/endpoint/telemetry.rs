//! From the values of a device to client attributes and time series (`device-lifecycle.md` 4.2 and 4.3).
//!
//! A node is taken apart into resources ([`resources`]); those that the profile lists and names become keys and values
//! ([`publish`]).

use crate::{
    lwm2m::{
        node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
        path::Path,
        value::Value,
    },
    platform::{profile::VersionedPath, uplink::KeyValue},
};

use super::{
    context::DeviceContext,
    rpc::{java, render},
};

/// What one message of the device has for the platform; keys are unique in each list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// Client attributes.
    pub attributes: Vec<(String, KeyValue)>,
    /// Time series.
    pub telemetry: Vec<(String, KeyValue)>,
}

/// How a point in time is published (`measured.md` M1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeForm {
    /// Milliseconds since 1970-01-01 UTC, as platforms from 4.3 on have it.
    #[default]
    Milliseconds,
    /// `Nov 14, 2023 22:13 PM`, UTC, as older platforms have it.
    Text,
}

/// Takes the node read or written at `path` apart: every resource with its path.
///
/// A resource instance comes as a multiple resource that holds it alone; the caller merges it into what it knows.
pub fn resources(path: &Path, node: Node) -> Vec<(Path, Resource)> {
    let object = path.object_id().unwrap_or_default();
    let of_instance = |instance: ObjectInstance| {
        let id = instance.id;
        let resources = instance.resources.into_iter();
        resources.map(move |resource| (Path::resource(object, id, resource.id), resource))
    };
    match node {
        Node::Object(Object { instances, .. }) => {
            instances.into_iter().flat_map(of_instance).collect()
        }
        Node::ObjectInstance(instance) => of_instance(instance).collect(),
        Node::Resource(resource) => {
            let instance = path.instance_id().unwrap_or_default();
            vec![(Path::resource(object, instance, resource.id), resource)]
        }
        Node::ResourceInstance(instance) => {
            let (Some(parent), Some(id)) = (path.parent(), path.resource_id()) else {
                return Vec::new();
            };
            let kind = instance.value.resource_type();
            vec![(parent, Resource::multiple(id, kind, vec![instance]))]
        }
    }
}

/// Picks the resources that the profile lists as attribute or telemetry and has a key for.
///
/// `updated` are the resources of one message by path. Those without a model are passed over, as are values that the
/// platform has no form for. The order is that of the platform.
pub fn publish(
    updated: &[(Path, &Resource)],
    device: &DeviceContext<'_>,
    time: TimeForm,
) -> Published {
    let mapping = &device.profile.transport.observe_attr;
    let select = |listed: &[VersionedPath]| {
        let slots = java::table_slots(listed.len(), 16);
        let mut found: Vec<_> = listed
            .iter()
            .filter_map(|path| {
                let (_, resource) = updated.iter().find(|(updated, _)| *updated == path.path)?;
                let version = device
                    .registration
                    .supported_version(path.path.object_id()?)?;
                if version != path.version {
                    return None;
                }
                device.resource_model(&path.path)?;
                let value = key_value(&path.path, resource, time)?;
                Some((path, mapping.key(path)?, value))
            })
            .collect();
        // The platform walks a hash table of all the listed paths.
        found.sort_by_key(|(path, ..)| java::slot(java::string_hash(&path.to_string()), slots));
        let mut values: Vec<(String, KeyValue)> = Vec::with_capacity(found.len());
        for (_, key, value) in found {
            // Two paths of one name: the place of the first, the value of the last.
            match values.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) => *known = value,
                None => values.push((key.to_owned(), value)),
            }
        }
        values
    };
    Published {
        attributes: select(&mapping.attribute),
        telemetry: select(&mapping.telemetry),
    }
}

/// The platform's form of a resource; `None` for a number that is not finite.
fn key_value(path: &Path, resource: &Resource, time: TimeForm) -> Option<KeyValue> {
    match &resource.content {
        ResourceContent::Single(value) => Some(match state_name(path, value) {
            Some(name) => KeyValue::String(name),
            None => single(value, time)?,
        }),
        ResourceContent::Multiple { instances, .. } => Some(KeyValue::Json(json(instances, time))),
    }
}

fn single(value: &Value, time: TimeForm) -> Option<KeyValue> {
    Some(match value {
        Value::String(text) | Value::CoreLink(text) => KeyValue::String(text.clone()),
        Value::Integer(number) => KeyValue::Long(*number),
        Value::Float(number) if number.is_finite() => KeyValue::Double(*number),
        Value::Float(_) => return None,
        Value::Boolean(flag) => KeyValue::Boolean(*flag),
        Value::Opaque(bytes) => KeyValue::String(render::hex(bytes)),
        Value::Time(millis) => match time {
            TimeForm::Milliseconds => KeyValue::Long(*millis),
            TimeForm::Text => KeyValue::String(java::medium_date(*millis)),
        },
        Value::ObjectLink(..) => KeyValue::String(render::Text(value).to_string()),
        Value::UnsignedInteger(number) => match i64::try_from(*number) {
            Ok(number) => KeyValue::Long(number),
            Err(_) => KeyValue::String(number.to_string()),
        },
    })
}

/// `{"0":3800,"1":5000}`, in the order in which the instances stand.
fn json(instances: &[ResourceInstance], time: TimeForm) -> String {
    let members: Vec<_> = instances
        .iter()
        .filter_map(|instance| {
            let value = match single(&instance.value, time)? {
                KeyValue::Boolean(flag) => flag.to_string(),
                KeyValue::Long(number) => number.to_string(),
                KeyValue::Double(number) => java::double(number),
                KeyValue::String(text) => serde_json::Value::String(text).to_string(),
                KeyValue::Json(json) => json,
            };
            Some(format!("\"{}\":{value}", instance.id))
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// The name of a state or result of Firmware Update and Software Management, the number as text if it has none; `None`
/// for every other resource.
fn state_name(path: &Path, value: &Value) -> Option<String> {
    let names = match path.segments() {
        [5, 0, 3] => FIRMWARE_STATES,
        [5, 0, 5] => FIRMWARE_RESULTS,
        [9, 0, 7] => SOFTWARE_STATES,
        [9, 0, 9] => SOFTWARE_RESULTS,
        _ => return None,
    };
    let Value::Integer(code) = value else {
        return None;
    };
    let name = names.iter().find(|(known, _)| known == code);
    Some(name.map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned()))
}

const FIRMWARE_STATES: &[(i64, &str)] = &[
    (0, "Idle"),
    (1, "Downloading"),
    (2, "Downloaded"),
    (3, "Updating"),
];

const FIRMWARE_RESULTS: &[(i64, &str)] = &[
    (0, "Initial value"),
    (1, "Firmware updated successfully"),
    (2, "Not enough flash memory for the new firmware package"),
    (3, "Out of RAM during downloading process"),
    (4, "Connection lost during downloading process"),
    (5, "Integrity check failure for new downloaded package"),
    (6, "Unsupported package type"),
    (7, "Invalid URI"),
    (8, "Firmware update failed"),
    (9, "Unsupported protocol"),
];

const SOFTWARE_STATES: &[(i64, &str)] = &[
    (0, "Initial"),
    (1, "DownloadStarted"),
    (2, "Downloaded"),
    (3, "Delivered"),
    (4, "Installed"),
];

const SOFTWARE_RESULTS: &[(i64, &str)] = &[
    (0, "Initial value"),
    (1, "Downloading"),
    (2, "Software successfully installed"),
    (3, "Successfully Downloaded and package integrity verified"),
    (50, "Not enough storage for the new software package"),
    (51, "Out of memory during downloading process"),
    (52, "Connection lost during downloading process"),
    (53, "Package integrity check failure."),
    (54, "Unsupported package type"),
    (56, "Invalid URI"),
    (57, "Device defined update error"),
    (58, "Software installation failure"),
    (59, "Uninstallation Failure during forUpdate(arg=0)"),
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{endpoint::fixture::Fixture, lwm2m::value::ResourceType};

    /// Fixture F with this profile.
    fn fixture(observe_attr: &str) -> Fixture {
        let mut fixture = Fixture::f();
        fixture.profile.transport.observe_attr = serde_json::from_str(observe_attr).unwrap();
        fixture
    }

    fn multiple(id: u16, values: &[(u16, Value)]) -> Resource {
        let instances = values.iter().map(|(id, value)| ResourceInstance {
            id: *id,
            value: value.clone(),
        });
        Resource::multiple(id, values[0].1.resource_type(), instances.collect())
    }

    /// What a value at a path becomes, published as telemetry.
    fn published(path: Path, resource: &Resource, time: TimeForm) -> Option<KeyValue> {
        key_value(&path, resource, time)
    }

    fn single_at(path: Path, value: Value) -> Option<KeyValue> {
        let id = path.resource_id()?;
        published(path, &Resource::single(id, value), TimeForm::default())
    }

    #[test]
    fn l9_multiple_resource_becomes_json() {
        let numbers = [(0, 0), (1, 1), (2, 7)].map(|(id, number)| (id, Value::Integer(number)));
        assert_eq!(
            published(
                Path::resource(3, 0, 6),
                &multiple(6, &numbers),
                TimeForm::default()
            ),
            Some(KeyValue::Json(r#"{"0":0,"1":1,"2":7}"#.to_owned()))
        );
    }

    #[test]
    fn l10_time_becomes_milliseconds_or_text() {
        let path = Path::resource(3, 0, 13);
        let time = Value::Time(1_625_146_789_000);
        assert_eq!(
            single_at(path, time.clone()),
            Some(KeyValue::Long(1_625_146_789_000))
        );
        assert_eq!(
            published(path, &Resource::single(13, time), TimeForm::Text),
            Some(KeyValue::String("Jul 1, 2021 13:39 PM".to_owned()))
        );
    }

    #[test]
    fn l11_opaque_becomes_hexadecimal_digits() {
        assert_eq!(
            single_at(
                Path::resource(19, 0, 0),
                Value::Opaque(Bytes::from_static(&[0, 0xad]))
            ),
            Some(KeyValue::String("00ad".to_owned()))
        );
    }

    #[test]
    fn l12_states_are_named_and_unknown_ones_keep_their_number() {
        let state =
            |resource, code| single_at(Path::resource(5, 0, resource), Value::Integer(code));
        assert_eq!(state(3, 0), Some(KeyValue::String("Idle".to_owned())));
        assert_eq!(
            state(5, 8),
            Some(KeyValue::String("Firmware update failed".to_owned()))
        );
        assert_eq!(state(5, 99), Some(KeyValue::String("99".to_owned())));
        assert_eq!(state(9, 2), Some(KeyValue::Long(2)));
        assert_eq!(
            single_at(Path::resource(9, 0, 9), Value::Integer(53)),
            Some(KeyValue::String(
                "Package integrity check failure.".to_owned()
            ))
        );
        assert_eq!(
            single_at(Path::resource(9, 1, 7), Value::Integer(1)),
            Some(KeyValue::Long(1))
        );
    }

    #[test]
    fn every_type_has_a_form() {
        let path = Path::resource(3303, 0, 5700);
        for (value, expected) in [
            (Value::Float(21.5), Some(KeyValue::Double(21.5))),
            (Value::Float(f64::NAN), None),
            (Value::Boolean(true), Some(KeyValue::Boolean(true))),
            (
                Value::ObjectLink(3, 0),
                Some(KeyValue::String("/3/0".to_owned())),
            ),
            (Value::UnsignedInteger(7), Some(KeyValue::Long(7))),
            (
                Value::UnsignedInteger(u64::MAX),
                Some(KeyValue::String("18446744073709551615".to_owned())),
            ),
            (
                Value::CoreLink("</3>".to_owned()),
                Some(KeyValue::String("</3>".to_owned())),
            ),
        ] {
            assert_eq!(single_at(path, value), expected);
        }
    }

    #[test]
    fn members_of_json_are_numbers_booleans_and_quoted_text() {
        let members = |values: &[(u16, Value)]| {
            published(
                Path::resource(19, 0, 0),
                &multiple(0, values),
                TimeForm::default(),
            )
        };
        assert_eq!(
            members(&[
                (0, Value::Float(1e7)),
                (1, Value::Float(f64::INFINITY)),
                (2, Value::Float(0.5))
            ]),
            Some(KeyValue::Json(r#"{"0":1.0E7,"2":0.5}"#.to_owned()))
        );
        assert_eq!(
            members(&[
                (0, Value::String("a\"b".to_owned())),
                (3, Value::String(String::new()))
            ]),
            Some(KeyValue::Json(r#"{"0":"a\"b","3":""}"#.to_owned()))
        );
        assert_eq!(
            members(&[(0, Value::Time(5)), (1, Value::Time(6))]),
            Some(KeyValue::Json(r#"{"0":5,"1":6}"#.to_owned()))
        );
    }

    #[test]
    fn a_node_falls_apart_into_its_resources() {
        let number = |id| Resource::single(id, Value::Integer(0));
        let instance = |id| ObjectInstance {
            id,
            resources: vec![number(1), number(5)],
        };
        let object = Node::Object(Object {
            id: 19,
            instances: vec![instance(0), instance(7)],
        });
        let paths: Vec<_> = resources(&Path::object(19), object)
            .into_iter()
            .map(|(path, _)| path.to_string())
            .collect();
        assert_eq!(paths, ["/19/0/1", "/19/0/5", "/19/7/1", "/19/7/5"]);
        assert_eq!(
            resources(&Path::resource(3, 0, 9), Node::Resource(number(9))),
            [(Path::resource(3, 0, 9), number(9))]
        );
        let part = ResourceInstance {
            id: 2,
            value: Value::Integer(7),
        };
        assert_eq!(
            resources(
                &Path::resource_instance(3, 0, 6, 2),
                Node::ResourceInstance(part.clone())
            ),
            [(
                Path::resource(3, 0, 6),
                Resource::multiple(6, ResourceType::Integer, vec![part])
            )]
        );
    }

    #[test]
    fn only_listed_and_named_resources_of_the_right_version_are_published() {
        let fixture = fixture(
            r#"{"attribute":["/3_1.2/0/0"],
                "telemetry":["/3_1.2/0/9","/3_1.2/0/20","/3_1.1/0/10","/19_1.1/0/9"],
                "keyName":{"/3_1.2/0/0":"manufacturer","/3_1.2/0/9":"batteryLevel","/3_1.1/0/10":"memory",
                           "/19_1.1/0/9":"unknown","/3_1.2/0/1":"model"}}"#,
        );
        let resources: Vec<_> = [(3, 0), (3, 1), (3, 9), (3, 10), (3, 20), (19, 9)]
            .map(|(object, id)| {
                (
                    Path::resource(object, 0, id),
                    Resource::single(id, Value::Integer(i64::from(id))),
                )
            })
            .into();
        let updated: Vec<_> = resources
            .iter()
            .map(|(path, resource)| (*path, resource))
            .collect();
        let entry = |key: &str, number| (key.to_owned(), KeyValue::Long(number));
        assert_eq!(
            publish(&updated, &fixture.context(), TimeForm::default()),
            Published {
                attributes: vec![entry("manufacturer", 0)],
                telemetry: vec![entry("batteryLevel", 9)],
            }
        );
    }

    #[test]
    fn keys_stand_in_the_order_of_the_platform() {
        // The profile of a recorded device, and the order in which its platform published a read of /3.
        let fixture = fixture(
            r#"{"attribute":["/3_1.2/0/0","/3_1.2/0/1","/3_1.2/0/2","/3_1.2/0/14","/3_1.2/0/15","/3_1.2/0/3"],
                "keyName":{"/3_1.2/0/0":"manufacturer","/3_1.2/0/1":"model","/3_1.2/0/2":"serial",
                           "/3_1.2/0/3":"fwReported","/3_1.2/0/14":"utcOffset","/3_1.2/0/15":"timezone"}}"#,
        );
        let resources = [0, 1, 2, 3, 14, 15].map(|id| Resource::single(id, Value::Boolean(true)));
        let updated: Vec<_> = resources
            .iter()
            .map(|resource| (Path::resource(3, 0, resource.id), resource))
            .collect();
        let published = publish(&updated, &fixture.context(), TimeForm::default());
        let keys: Vec<_> = published
            .attributes
            .iter()
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(
            keys,
            [
                "timezone",
                "manufacturer",
                "model",
                "serial",
                "fwReported",
                "utcOffset"
            ]
        );
    }

    #[test]
    fn two_paths_of_one_name_give_one_key() {
        let fixture = fixture(
            r#"{"telemetry":["/3_1.2/0/9","/3_1.2/0/20"],
                "keyName":{"/3_1.2/0/9":"battery","/3_1.2/0/20":"battery"}}"#,
        );
        let level = Resource::single(9, Value::Integer(42));
        let status = Resource::single(20, Value::Integer(1));
        let updated = [
            (Path::resource(3, 0, 20), &status),
            (Path::resource(3, 0, 9), &level),
        ];
        let published = publish(&updated, &fixture.context(), TimeForm::default());
        assert_eq!(published.telemetry.len(), 1);
    }
}
