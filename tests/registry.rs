//! Tests over all object definitions of the OMA registry, those of older versions included. The registry is no part of
//! the project; without it they do nothing.
#![expect(clippy::unwrap_used, reason = "a panic here is a failed test")]
#![expect(clippy::print_stdout, reason = "what was loaded, or why not")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path as File,
    sync::Arc,
};

use bytes::Bytes;
use lightship::coap::content_format::ContentFormat;
use lightship::lwm2m::{
    format::{Decoded, decode, encode, supported_for_reading, supported_for_writing},
    model::{
        ModelCatalog, Models, ObjectModel, ResourceModel,
        ddf::{self, DdfRule},
    },
    node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
    path::Path,
    value::{ResourceType, Value},
};

/// The formats that carry one value; all others carry whole objects.
const SINGLE_VALUE: [ContentFormat; 4] = [
    ContentFormat::TEXT,
    ContentFormat::LINK,
    ContentFormat::OPAQUE,
    ContentFormat::CBOR,
];

/// What is read from each file, by its path below the registry.
type Files = BTreeMap<String, Result<Vec<ObjectModel>, DdfRule>>;

fn files() -> Option<Files> {
    let registry = File::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/registry");
    if !registry.is_dir() {
        println!("skipped: no registry at {}", registry.display());
        return None;
    }
    let mut files = Files::new();
    for folder in ["", "version_history/"] {
        for entry in fs::read_dir(registry.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".xml") {
                let path = format!("{folder}{name}");
                let models = ddf::parse(&fs::read(registry.join(&path)).unwrap());
                files.insert(path, models.map_err(|error| error.rule));
            }
        }
    }
    Some(files)
}

fn models() -> Option<ModelCatalog> {
    let models = files()?.into_values().filter_map(Result::ok).flatten();
    Some(models.map(Arc::new).collect())
}

#[test]
fn p41_every_object_file_of_the_registry_is_read() {
    let Some(files) = files() else { return };
    let (mut loaded, mut objects) = (0, BTreeSet::new());
    let mut broken = Vec::new();
    for (file, models) in &files {
        match models {
            Ok(models) => {
                loaded += 1;
                objects.extend(models.iter().map(|model| (model.id, model.version)));
            }
            Err(rule) => broken.push(format!("{file}: {rule}")),
        }
    }
    println!(
        "{loaded} of {} files read, {} versions of objects",
        files.len(),
        objects.len()
    );
    broken.iter().for_each(|line| println!("{line}"));
    // Reusable resources, the index, and the units define no object.
    assert_eq!(
        broken,
        [
            "Common.xml: ObjectType is `MODefinition`",
            "DDF.xml: the root element is LWM2M",
            "LWM2M_senml_units.xml: the root element is LWM2M",
        ]
    );
    assert_eq!((loaded, objects.len()), (751, 424));
}

#[test]
fn p41_files_are_named_after_the_object_and_version_they_define() {
    let Some(files) = files() else { return };
    let mut others = Vec::new();
    for (file, models) in &files {
        for model in models.iter().flatten() {
            let version = model.version.to_string().replace('.', "_");
            let expected = match file.strip_prefix("version_history/") {
                Some(_) => format!("version_history/{}-{version}.xml", model.id),
                None => format!("{}.xml", model.id),
            };
            if *file != expected {
                others.push(format!("{file} defines {} {}", model.id, model.version));
            }
        }
    }
    assert_eq!(others, [""; 0]);
}

#[test]
fn p4_every_object_of_the_registry_survives_every_format() {
    let Some(catalog) = models() else { return };
    let formats: Vec<_> = supported_for_reading()
        .iter()
        .filter(|format| supported_for_writing().contains(format))
        .collect();
    let (mut values, mut payloads) = (0_usize, 0_usize);
    for model in catalog.iter() {
        let models = Models::from_iter([Arc::clone(model)]);
        let nodes = nodes(model);
        for (path, node) in &nodes {
            values += usize::from(is_single(node));
            for &&format in &formats {
                if !carries(format, node) {
                    continue;
                }
                let place = format!("{path} of version {} in {format}", model.version);
                let payload = encode(format, path, node)
                    .unwrap_or_else(|error| panic!("{place}: {error}: {node:?}"));
                let decoded = decode(format, path, &payload, &models)
                    .unwrap_or_else(|error| panic!("{place}: {error}: {payload:?}"));
                assert_eq!(decoded, Decoded::from(node.clone()), "{place}: {payload:?}");
                payloads += 1;
            }
        }
    }
    println!(
        "{} objects with {values} values in {} formats: {payloads} payloads",
        catalog.iter().count(),
        formats.len()
    );
}

/// The object, and everything below it at its own path.
fn nodes(model: &ObjectModel) -> Vec<(Path, Node)> {
    if model
        .resources
        .values()
        .all(|model| resource(model).is_none())
    {
        // Not every format has a form for an instance without values.
        return Vec::new();
    }
    let instances: &[u16] = if model.multiple { &[0, 300] } else { &[0] };
    let object = Object {
        id: model.id,
        instances: instances.iter().map(|id| instance(*id, model)).collect(),
    };
    let mut nodes = Vec::new();
    for instance in &object.instances {
        for resource in &instance.resources {
            if let ResourceContent::Multiple { instances, .. } = &resource.content {
                for value in instances {
                    let path =
                        Path::resource_instance(model.id, instance.id, resource.id, value.id);
                    nodes.push((path, Node::ResourceInstance(value.clone())));
                }
            }
            let path = Path::resource(model.id, instance.id, resource.id);
            nodes.push((path, Node::Resource(resource.clone())));
        }
        let path = Path::instance(model.id, instance.id);
        nodes.push((path, Node::ObjectInstance(instance.clone())));
    }
    nodes.push((Path::object(model.id), Node::Object(object)));
    nodes
}

fn instance(id: u16, model: &ObjectModel) -> ObjectInstance {
    ObjectInstance {
        id,
        resources: model.resources.values().filter_map(resource).collect(),
    }
}

/// The resource with one value, or two where there may be several; nothing if it has no value.
fn resource(model: &ResourceModel) -> Option<Resource> {
    let [first, second] = values(model.kind)?;
    Some(if model.multiple {
        let instances = [(0, first), (1000, second)];
        let instances = instances.map(|(id, value)| ResourceInstance { id, value });
        Resource::multiple(model.id, model.kind, instances.into())
    } else {
        Resource::single(model.id, second)
    })
}

fn values(kind: ResourceType) -> Option<[Value; 2]> {
    Some(match kind {
        ResourceType::String => ["", "a \"b\" <ä€>\n"].map(|text| Value::String(text.into())),
        ResourceType::Integer => [0, -70_000].map(Value::Integer),
        ResourceType::Float => [21.5, -1e-7].map(Value::Float),
        ResourceType::Boolean => [true, false].map(Value::Boolean),
        ResourceType::Opaque => {
            [&[][..], &[0x00, 0xff, 0x7f]].map(|bytes| Value::Opaque(Bytes::from_static(bytes)))
        }
        ResourceType::Time => [0, 1_700_000_000_000].map(Value::Time),
        ResourceType::ObjectLink => {
            [(3, 0), (u16::MAX, u16::MAX)].map(|(object, id)| Value::ObjectLink(object, id))
        }
        ResourceType::UnsignedInteger => [0, 1 << 40].map(Value::UnsignedInteger),
        ResourceType::CoreLink => {
            ["</3/0>", "</3>;ver=1.2,</3/0/9>"].map(|text| Value::CoreLink(text.into()))
        }
        ResourceType::None => return None,
    })
}

/// Whether a format has a form for the node.
fn carries(format: ContentFormat, node: &Node) -> bool {
    if !SINGLE_VALUE.contains(&format) {
        return true;
    }
    let kind = match node {
        Node::Resource(resource) => resource.resource_type(),
        Node::ResourceInstance(instance) => instance.value.resource_type(),
        Node::Object(_) | Node::ObjectInstance(_) => return false,
    };
    is_single(node)
        && match format {
            ContentFormat::OPAQUE => kind == ResourceType::Opaque,
            ContentFormat::LINK => kind == ResourceType::CoreLink,
            _ => true,
        }
}

fn is_single(node: &Node) -> bool {
    match node {
        Node::Resource(resource) => matches!(resource.content, ResourceContent::Single(_)),
        Node::ResourceInstance(_) => true,
        Node::Object(_) | Node::ObjectInstance(_) => false,
    }
}
