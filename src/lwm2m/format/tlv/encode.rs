//! From nodes to entries.

use bytes::Bytes;

use super::{
    entry::{Kind, write_entry},
    value::value_bytes,
};
use crate::lwm2m::{
    format::EncodeError,
    node::{Node, ObjectInstance, Resource, ResourceContent, ResourceInstance},
    path::Path,
};

/// Writes a node. At an object's path an instance is written with its id, at its own path as bare resources.
pub(in crate::lwm2m::format) fn encode(path: &Path, node: &Node) -> Result<Bytes, EncodeError> {
    let mut output = Vec::new();
    match (path.segments(), node) {
        ([id], Node::Object(object)) if object.id == *id => object
            .instances
            .iter()
            .try_for_each(|instance| write_instance(&mut output, instance))?,
        ([_], Node::ObjectInstance(instance)) => write_instance(&mut output, instance)?,
        ([_, id], Node::ObjectInstance(instance)) if instance.id == *id => {
            write_resources(&mut output, &instance.resources)?;
        }
        ([_, _, id], Node::Resource(resource)) if resource.id == *id => {
            write_resource(&mut output, resource)?;
        }
        ([_, _, _, id], Node::ResourceInstance(instance)) if instance.id == *id => {
            write_resource_instance(&mut output, instance)?;
        }
        _ => return Err(EncodeError::PathMismatch),
    }
    Ok(output.into())
}

fn write_instance(output: &mut Vec<u8>, instance: &ObjectInstance) -> Result<(), EncodeError> {
    let mut resources = Vec::new();
    write_resources(&mut resources, &instance.resources)?;
    write_entry(output, Kind::ObjectInstance, instance.id, &resources)
}

fn write_resources(output: &mut Vec<u8>, resources: &[Resource]) -> Result<(), EncodeError> {
    resources
        .iter()
        .try_for_each(|resource| write_resource(output, resource))
}

fn write_resource(output: &mut Vec<u8>, resource: &Resource) -> Result<(), EncodeError> {
    match &resource.content {
        ResourceContent::Single(value) => {
            write_entry(output, Kind::Value, resource.id, &value_bytes(value))
        }
        ResourceContent::Multiple { instances, .. } => {
            let mut values = Vec::new();
            instances
                .iter()
                .try_for_each(|instance| write_resource_instance(&mut values, instance))?;
            write_entry(output, Kind::Multiple, resource.id, &values)
        }
    }
}

fn write_resource_instance(
    output: &mut Vec<u8>,
    instance: &ResourceInstance,
) -> Result<(), EncodeError> {
    write_entry(
        output,
        Kind::ResourceInstance,
        instance.id,
        &value_bytes(&instance.value),
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{battery, instance},
        *,
    };
    use crate::lwm2m::format::tests::hex;

    #[test]
    fn an_instance_is_written_with_its_id_at_the_path_of_its_object() {
        let node = instance(vec![battery()]);
        assert_eq!(encode(&Path::object(3), &node), Ok(hex("03 00 c1 09 64")));
        assert_eq!(encode(&Path::instance(3, 0), &node), Ok(hex("c1 09 64")));
        assert_eq!(
            encode(&Path::instance(3, 1), &node),
            Err(EncodeError::PathMismatch)
        );
    }
}
