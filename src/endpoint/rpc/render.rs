//! Nodes as platform users see them: the text form of `rpc.md` 9.
//!
//! Children are printed in the order in which they stand; [`arrange`] puts them into the order the platform prints,
//! once, when a node was read.

use std::fmt::{self, Display, Formatter, Write};

use crate::{
    coap::{
        ContentFormat,
        link_format::{self, Link, Mode},
    },
    lwm2m::{
        node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
        path::Path,
        value::{ResourceType, Value},
    },
};

use super::java;

/// Puts the children of a node into the order of the platform's hash tables (`rpc.md` 9.4).
///
/// `format` is the format the node was read from: its decoder's own tables decide between ids that share a slot, and
/// those of SenML and JSON decoders have at least 16 slots.
pub fn arrange(node: &mut Node, format: ContentFormat) {
    let slots = match format {
        ContentFormat::SENML_JSON
        | ContentFormat::SENML_CBOR
        | ContentFormat::JSON
        | ContentFormat::OLD_JSON
        | ContentFormat::LWM2M_CBOR => 16,
        _ => 1,
    };
    match node {
        Node::Object(object) => {
            arrange_children(&mut object.instances, slots, |instance| instance.id);
            for instance in &mut object.instances {
                arrange_instance(instance, slots);
            }
        }
        Node::ObjectInstance(instance) => arrange_instance(instance, slots),
        Node::Resource(resource) => arrange_resource(resource, slots),
        Node::ResourceInstance(_) => {}
    }
}

fn arrange_instance(instance: &mut ObjectInstance, slots: usize) {
    arrange_children(&mut instance.resources, slots, |resource| resource.id);
    for resource in &mut instance.resources {
        arrange_resource(resource, slots);
    }
}

fn arrange_resource(resource: &mut Resource, slots: usize) {
    if let ResourceContent::Multiple { instances, .. } = &mut resource.content {
        java::hash_order(instances, slots, |instance| u32::from(instance.id));
    }
}

/// First the decoder's table, then the node's own.
fn arrange_children<T>(children: &mut [T], slots: usize, id: impl Fn(&T) -> u16) {
    for minimum in [slots, 1] {
        java::hash_order(children, minimum, |child| u32::from(id(child)));
    }
}

/// The `value` of a reply: [`Text`], but hexadecimal digits when the node is one resource of type OPAQUE
/// (`rpc.md` 9.3).
pub fn content(node: &Node) -> String {
    if let Node::Resource(resource) = node
        && resource.resource_type() == ResourceType::Opaque
    {
        return opaque(resource, &format_args!("id={}", resource.id));
    }
    Text(node).to_string()
}

/// The `value` of a reply to a composite command: the nodes by path, `null` where the device gave none.
pub fn composite(entries: &[(Path, Option<Node>)]) -> String {
    match entries {
        [(path, Some(Node::Resource(resource)))]
            if resource.resource_type() == ResourceType::Opaque =>
        {
            opaque(resource, &format_args!("key={path}"))
        }
        entries => Text(entries).to_string(),
    }
}

/// Links as log lines show them: values without quotes, separated by comma and blank.
pub fn links(links: &[Link]) -> String {
    let links: Vec<_> = links
        .iter()
        .map(|link| {
            let mut text = format!("<{}>", link.uri);
            for attribute in &link.attributes {
                text.push(';');
                text.push_str(&attribute.name);
                if let Some(value) = &attribute.value {
                    text.push('=');
                    text.push_str(value.as_str());
                }
            }
            text
        })
        .collect();
    links.join(", ")
}

/// Takes the quotes off versions: they are shown bare, however the device wrote them.
pub fn show_bare_versions(links: &mut [Link]) {
    let attributes = links.iter_mut().flat_map(|link| &mut link.attributes);
    for attribute in attributes.filter(|attribute| attribute.name == "ver") {
        let version = attribute
            .value
            .as_ref()
            .map(|value| value.as_str().to_owned());
        attribute.value = version.map(link_format::Value::Token);
    }
}

/// The name of a type, `OBJLNK` for instance.
pub const fn type_name(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::String => "STRING",
        ResourceType::Integer => "INTEGER",
        ResourceType::Float => "FLOAT",
        ResourceType::Boolean => "BOOLEAN",
        ResourceType::Opaque => "OPAQUE",
        ResourceType::Time => "TIME",
        ResourceType::ObjectLink => "OBJLNK",
        ResourceType::UnsignedInteger => "UNSIGNED_INTEGER",
        ResourceType::CoreLink => "CORELINK",
        ResourceType::None => "NONE",
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(nibble.into(), 16));
        }
    }
    digits
}

/// A value in the platform's text form; its `Display` follows the grammar of `rpc.md` 9.1.
#[derive(Debug)]
pub struct Text<'a, T: ?Sized>(pub &'a T);

impl Display for Text<'_, Node> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Object(object) => Text(object).fmt(f),
            Node::ObjectInstance(instance) => Text(instance).fmt(f),
            Node::Resource(resource) => Text(resource).fmt(f),
            Node::ResourceInstance(instance) => Text(instance).fmt(f),
        }
    }
}

impl Display for Text<'_, [(Path, Option<Node>)]> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut entries: Vec<_> = self.0.iter().collect();
        java::hash_order(&mut entries, 16, |(path, _)| java::path_hash(path));
        map(
            f,
            entries.into_iter().map(|(path, node)| {
                (
                    path,
                    node.as_ref()
                        .map_or_else(|| "null".to_owned(), |node| Text(node).to_string()),
                )
            }),
        )
    }
}

impl Display for Text<'_, Object> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LwM2mObject [id={}, instances=", self.0.id)?;
        let instances = &self.0.instances;
        map(f, instances.iter().map(|child| (child.id, Text(child))))?;
        f.write_char(']')
    }
}

impl Display for Text<'_, ObjectInstance> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "LwM2mObjectInstance [id={}, resources=", self.0.id)?;
        let resources = &self.0.resources;
        map(f, resources.iter().map(|child| (child.id, Text(child))))?;
        f.write_char(']')
    }
}

impl Display for Text<'_, Resource> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (id, kind) = (self.0.id, type_name(self.0.resource_type()));
        match &self.0.content {
            ResourceContent::Single(value) => write!(
                f,
                "LwM2mSingleResource [id={id}, value={}, type={kind}]",
                Text(value)
            ),
            ResourceContent::Multiple { instances, .. } => {
                write!(f, "LwM2mMultipleResource [id={id}, values=")?;
                map(f, instances.iter().map(|child| (child.id, Text(child))))?;
                write!(f, ", type={kind}]")
            }
        }
    }
}

impl Display for Text<'_, ResourceInstance> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ResourceInstance { id, value } = self.0;
        let kind = type_name(value.resource_type());
        write!(
            f,
            "LwM2mResourceInstance [id={id}, value={}, type={kind}]",
            Text(value)
        )
    }
}

impl Display for Text<'_, Value> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => f.write_str(text),
            Value::Integer(number) => number.fmt(f),
            Value::Float(number) => f.write_str(&java::double(*number)),
            Value::Boolean(flag) => flag.fmt(f),
            Value::Opaque(bytes) => write!(f, "{}Bytes", bytes.len()),
            Value::Time(millis) => f.write_str(&java::date(*millis)),
            Value::ObjectLink(object, instance) => write!(f, "/{object}/{instance}"),
            Value::UnsignedInteger(number) => number.fmt(f),
            Value::CoreLink(text) => match link_format::parse(text.as_bytes(), Mode::Lenient) {
                Ok(found) => write!(f, "[{}]", links(&found.links)),
                Err(_) => write!(f, "[{text}]"),
            },
        }
    }
}

/// `{key=value, key=value}`
fn map<K: Display, V: Display>(
    f: &mut Formatter<'_>,
    entries: impl Iterator<Item = (K, V)>,
) -> fmt::Result {
    f.write_char('{')?;
    for (index, (key, value)) in entries.enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{key}={value}")?;
    }
    f.write_char('}')
}

/// A resource of type OPAQUE with its bytes; `name` says which one.
fn opaque(resource: &Resource, name: &dyn Display) -> String {
    match &resource.content {
        ResourceContent::Single(value) => {
            let bytes = bytes_of(value);
            let shown = bytes.get(..SINGLE_OPAQUE_BYTES).unwrap_or(bytes);
            format!(
                "LwM2mSingleResource {name} value={} type=OPAQUE",
                hex(shown)
            )
        }
        ResourceContent::Multiple { instances, .. } => {
            let values: Vec<_> = instances
                .iter()
                .map(|instance| {
                    format!(
                        " id={} value={}",
                        instance.id,
                        hex(bytes_of(&instance.value))
                    )
                })
                .collect();
            format!(
                "LwM2mMultipleResource {name} values={{{}}} type=OPAQUE",
                values.join(", ")
            )
        }
    }
}

fn bytes_of(value: &Value) -> &[u8] {
    match value {
        Value::Opaque(bytes) => bytes,
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Time(_)
        | Value::ObjectLink(..)
        | Value::UnsignedInteger(_)
        | Value::CoreLink(_) => &[],
    }
}

/// How much of a single value is shown: 1024 hexadecimal digits.
const SINGLE_OPAQUE_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn opaque_instances(values: &[(u16, &'static [u8])]) -> Node {
        Node::Resource(Resource::multiple(
            0,
            ResourceType::Opaque,
            values
                .iter()
                .map(|(id, bytes)| ResourceInstance {
                    id: *id,
                    value: Value::Opaque(Bytes::from_static(bytes)),
                })
                .collect(),
        ))
    }

    fn integers(id: u16, values: &[(u16, i64)]) -> Resource {
        let instances = values
            .iter()
            .map(|(id, number)| ResourceInstance {
                id: *id,
                value: Value::Integer(*number),
            })
            .collect();
        Resource::multiple(id, ResourceType::Integer, instances)
    }

    #[test]
    fn every_type_has_its_text() {
        for (value, text) in [
            (Value::String(String::new()), ""),
            (Value::Integer(-12), "-12"),
            (Value::Float(25.05), "25.05"),
            (Value::Float(1e7), "1.0E7"),
            (Value::Boolean(true), "true"),
            (Value::Opaque(Bytes::from_static(&[0; 4])), "4Bytes"),
            (
                Value::Time(1_625_157_589_000),
                "Thu Jul 01 16:39:49 UTC 2021",
            ),
            (Value::ObjectLink(3, 0), "/3/0"),
            (Value::ObjectLink(65535, 65535), "/65535/65535"),
            (Value::UnsignedInteger(u64::MAX), "18446744073709551615"),
            (
                Value::CoreLink("</1>;ver=1.1,</3/0>;ct=\"60 110\"".to_owned()),
                "[</1>;ver=1.1, </3/0>;ct=60 110]",
            ),
        ] {
            assert_eq!(Text(&value).to_string(), text);
        }
    }

    #[test]
    fn rpc_007_multiple_resource() {
        let node = Node::Resource(integers(6, &[(0, 0), (1, 1), (2, 7)]));
        assert_eq!(
            content(&node),
            "LwM2mMultipleResource [id=6, values={0=LwM2mResourceInstance [id=0, value=0, type=INTEGER], \
             1=LwM2mResourceInstance [id=1, value=1, type=INTEGER], \
             2=LwM2mResourceInstance [id=2, value=7, type=INTEGER]}, type=INTEGER]"
        );
    }

    #[test]
    fn rpc_016_single_opaque_shows_hexadecimal_digits() {
        let value = Value::Opaque(Bytes::from_static(&[0x00, 0xad]));
        let node = Node::Resource(Resource::single(3, value));
        assert_eq!(
            content(&node),
            "LwM2mSingleResource id=3 value=00ad type=OPAQUE"
        );
        assert_eq!(
            Text(&node).to_string(),
            "LwM2mSingleResource [id=3, value=2Bytes, type=OPAQUE]"
        );
        let long = Value::Opaque(Bytes::from_static(&[0xff; 600]));
        let text = content(&Node::Resource(Resource::single(3, long)));
        assert_eq!(text.matches('f').count(), 1024);
    }

    #[test]
    fn rpc_017_multiple_opaque_has_two_blanks_between_instances() {
        let node = opaque_instances(&[(0, &[0x00, 0xad]), (25, &[0x25, 0xad])]);
        assert_eq!(
            content(&node),
            "LwM2mMultipleResource id=0 values={ id=0 value=00ad,  id=25 value=25ad} type=OPAQUE"
        );
        assert_eq!(
            content(&opaque_instances(&[])),
            "LwM2mMultipleResource id=0 values={} type=OPAQUE"
        );
    }

    #[test]
    fn rpc_018_opaque_resource_instance_shows_its_length() {
        let node = Node::ResourceInstance(ResourceInstance {
            id: 0,
            value: Value::Opaque(Bytes::from_static(&[1])),
        });
        assert_eq!(
            content(&node),
            "LwM2mResourceInstance [id=0, value=1Bytes, type=OPAQUE]"
        );
    }

    #[test]
    fn instances_and_objects_nest() {
        let number = Resource::single(1, Value::Integer(5));
        let instance = ObjectInstance {
            id: 0,
            resources: vec![number],
        };
        let object = Node::Object(Object {
            id: 6,
            instances: vec![instance],
        });
        assert_eq!(
            content(&object),
            "LwM2mObject [id=6, instances={0=LwM2mObjectInstance [id=0, resources={\
             1=LwM2mSingleResource [id=1, value=5, type=INTEGER]}]}]"
        );
    }

    #[test]
    fn ids_of_one_slot_keep_the_order_of_the_decoder() {
        // 5600 and 5616 share a slot of eight and of sixteen, 5608 only one of eight.
        let ids = |format| {
            let resources = [5608, 5616, 5600].map(|id| Resource::single(id, Value::Integer(0)));
            let mut node = Node::ObjectInstance(ObjectInstance {
                id: 0,
                resources: resources.to_vec(),
            });
            arrange(&mut node, format);
            let Node::ObjectInstance(instance) = node else {
                panic!("the node stays an instance");
            };
            instance
                .resources
                .iter()
                .map(|resource| resource.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(ContentFormat::TLV), [5608, 5616, 5600]);
        assert_eq!(ids(ContentFormat::SENML_JSON), [5616, 5600, 5608]);
    }

    #[test]
    fn resource_instances_follow_the_table_of_the_decoder() {
        let ids = |format| {
            let mut node = Node::Resource(integers(0, &[(9, 0), (1, 0)]));
            arrange(&mut node, format);
            content(&node).find("9=") < content(&node).find("1=")
        };
        assert!(ids(ContentFormat::TLV), "9 and 1 share a slot of four");
        assert!(!ids(ContentFormat::SENML_CBOR), "but not of sixteen");
    }

    #[test]
    fn composite_results_are_ordered_and_show_what_is_missing() {
        let number = |id| Some(Node::Resource(Resource::single(id, Value::Integer(88))));
        let entries = [
            (Path::resource(3, 0, 9), number(9)),
            (Path::resource(3, 0, 99), None),
        ];
        assert_eq!(
            composite(&entries),
            "{/3/0/99=null, /3/0/9=LwM2mSingleResource [id=9, value=88, type=INTEGER]}"
        );
        let bytes = opaque_instances(&[(0, &[1, 2, 3, 4]), (1, &[0xca, 0xfe])]);
        assert_eq!(
            composite(&[(Path::resource(19, 0, 0), Some(bytes))]),
            "LwM2mMultipleResource key=/19/0/0 values={ id=0 value=01020304,  id=1 value=cafe} type=OPAQUE"
        );
    }
}
