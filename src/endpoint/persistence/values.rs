//! Last values of resources, as they are kept.

use bytes::Bytes;

use crate::{
    lwm2m::{
        node::{Resource, ResourceContent, ResourceInstance},
        path::Path,
        value::{ResourceType, Value},
    },
    platform::time::UnixMillis,
    store::record::{self, value::Of},
};

/// What is kept of a value.
pub(in crate::endpoint) fn record(
    path: &Path,
    resource: &Resource,
    ts: UnixMillis,
) -> record::LastValue {
    let instance = |id: u16, value: &Value| record::Instance {
        id: id.into(),
        value: Some(record::Value {
            of: Some(kept(value)),
        }),
    };
    let (multiple, instances) = match &resource.content {
        ResourceContent::Single(value) => (false, vec![instance(0, value)]),
        ResourceContent::Multiple { instances, .. } => {
            let instances = instances.iter().map(|own| instance(own.id, &own.value));
            (true, instances.collect())
        }
    };
    record::LastValue {
        path: path.to_string(),
        read_at: ts.0,
        multiple,
        r#type: number_of(resource.resource_type()),
        instances,
    }
}

/// The value that was kept; `None` when it is none.
pub(in crate::endpoint) fn restored(
    kept: &record::LastValue,
) -> Option<(Path, Resource, UnixMillis)> {
    let path: Path = kept.path.parse().ok()?;
    let id = path.resource_id().filter(|_| path.depth() == 3)?;
    let instances: Option<Vec<_>> = kept
        .instances
        .iter()
        .map(|own| {
            Some(ResourceInstance {
                id: own.id.try_into().ok()?,
                value: value(own.value.as_ref()?.of.as_ref()?)?,
            })
        })
        .collect();
    let mut instances = instances?;
    let resource = if kept.multiple {
        let kind = type_of(kept.r#type)?;
        let alike = |own: &ResourceInstance| own.value.resource_type() == kind;
        if !instances.iter().all(alike) {
            return None;
        }
        Resource::multiple(id, kind, instances)
    } else {
        Resource::single(id, instances.pop().filter(|_| instances.is_empty())?.value)
    };
    Some((path, resource, UnixMillis(kept.read_at)))
}

fn kept(value: &Value) -> Of {
    match value {
        Value::String(text) => Of::Text(text.clone()),
        Value::Integer(number) => Of::Integer(*number),
        Value::Float(number) => Of::Float(*number),
        Value::Boolean(flag) => Of::Boolean(*flag),
        Value::Opaque(bytes) => Of::Opaque(bytes.clone()),
        Value::Time(millis) => Of::Time(*millis),
        Value::ObjectLink(object, instance) => {
            Of::ObjectLink(u32::from(*object) << 16 | u32::from(*instance))
        }
        Value::UnsignedInteger(number) => Of::UnsignedInteger(*number),
        Value::CoreLink(text) => Of::CoreLink(text.clone()),
    }
}

fn value(kept: &Of) -> Option<Value> {
    Some(match kept {
        Of::Text(text) => Value::String(text.clone()),
        Of::Integer(number) => Value::Integer(*number),
        Of::Float(number) => Value::Float(*number),
        Of::Boolean(flag) => Value::Boolean(*flag),
        Of::Opaque(bytes) => Value::Opaque(Bytes::copy_from_slice(bytes)),
        Of::Time(millis) => Value::Time(*millis),
        Of::ObjectLink(link) => {
            let instance = u16::try_from(link & 0xffff).ok()?;
            Value::ObjectLink(u16::try_from(link >> 16).ok()?, instance)
        }
        Of::UnsignedInteger(number) => Value::UnsignedInteger(*number),
        Of::CoreLink(text) => Value::CoreLink(text.clone()),
    })
}

/// The types in the order of the members of `Value`; 0 is none.
const TYPES: [ResourceType; 10] = [
    ResourceType::None,
    ResourceType::String,
    ResourceType::Integer,
    ResourceType::Float,
    ResourceType::Boolean,
    ResourceType::Opaque,
    ResourceType::Time,
    ResourceType::ObjectLink,
    ResourceType::UnsignedInteger,
    ResourceType::CoreLink,
];

fn number_of(kind: ResourceType) -> u32 {
    let index = TYPES.iter().position(|own| *own == kind);
    index
        .and_then(|index| index.try_into().ok())
        .unwrap_or_default()
}

fn type_of(number: u32) -> Option<ResourceType> {
    TYPES.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_are_restored() {
        let path = Path::resource(19, 1, 7);
        let values = [
            Value::String("Zähler".to_owned()),
            Value::Integer(i64::MIN),
            Value::Float(-0.5),
            Value::Boolean(true),
            Value::Opaque(Bytes::from_static(b"\0\xff")),
            Value::Time(1_700_000_000_000),
            Value::ObjectLink(65_535, 65_534),
            Value::UnsignedInteger(u64::MAX),
            Value::CoreLink("</3/0>".to_owned()),
        ];
        for value in values {
            let instance = |id| ResourceInstance {
                id,
                value: value.clone(),
            };
            let kind = value.resource_type();
            for resource in [
                Resource::single(7, value.clone()),
                Resource::multiple(7, kind, vec![instance(65_535), instance(0)]),
                Resource::multiple(7, kind, Vec::new()),
            ] {
                let kept = record(&path, &resource, UnixMillis(5));
                assert_eq!(restored(&kept), Some((path, resource, UnixMillis(5))));
            }
        }
    }

    #[test]
    fn what_is_no_value_is_left_out() {
        let single = Resource::single(0, Value::Boolean(true));
        let good = record(&Path::resource(3, 0, 0), &single, UnixMillis(0));
        for bad in [
            record::LastValue {
                path: "/3/0".to_owned(),
                ..good.clone()
            },
            record::LastValue {
                instances: Vec::new(),
                ..good.clone()
            },
            record::LastValue {
                instances: [good.instances.clone(), good.instances.clone()].concat(),
                ..good.clone()
            },
            record::LastValue {
                multiple: true,
                r#type: 2,
                ..good.clone()
            },
            record::LastValue {
                multiple: true,
                r#type: 99,
                ..good
            },
        ] {
            assert_eq!(restored(&bad), None, "{bad:?}");
        }
    }
}
