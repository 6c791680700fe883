//! Flat records (time, path, value), into which every format that names paths is read, and the nodes made of them.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use super::{
    DecodeError, DecodeErrorKind, EncodeError, Sample, SampleTime, Samples, item::Raw,
    modelled_type,
};
use crate::lwm2m::{
    model::Models,
    node::{Node, Object, ObjectInstance, Resource, ResourceContent, ResourceInstance},
    path::{Path, PathError},
    value::Value,
};

/// One value as it stands in a payload.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Where the record starts in the payload, in bytes.
    pub offset: usize,
    pub path: Result<Path, DecodeErrorKind>,
    pub time: Option<SampleTime>,
    pub value: Result<Raw, DecodeErrorKind>,
}

/// Makes the node of `path` at each time.
///
/// # Errors
/// When the payload has nothing for `path`, or nothing that can be read.
pub(super) fn history(
    path: &Path,
    records: Vec<Record>,
    models: &Models,
) -> Result<Samples, DecodeError> {
    if records.is_empty() {
        let node = empty(path, models)?;
        let sample = Sample {
            time: None,
            nodes: vec![(*path, node)],
        };
        return Ok(Samples {
            samples: vec![sample],
            rejected: Vec::new(),
        });
    }
    let samples = composite(std::slice::from_ref(path), records, models);
    match (samples.samples.first(), samples.rejected.first()) {
        (None, Some((_, error))) => Err(*error),
        _ => Ok(samples),
    }
}

/// Makes the nodes of those `paths` for which there are values, at each time.
pub(super) fn composite(paths: &[Path], records: Vec<Record>, models: &Models) -> Samples {
    let place = |path: &Path| paths.iter().position(|asked| asked.contains(path));
    let unnamed = match paths {
        [path] => *path,
        _ => Path::ROOT,
    };
    assemble(unnamed, records, models, place, |leaves, rejected| {
        let mut by_place = grouped(leaves, |leaf| leaf.place);
        by_place.sort_by_key(|(place, _)| *place);
        let nodes = by_place.into_iter().filter_map(|(place, leaves)| {
            let path = paths.get(place)?;
            Some((*path, node(path, leaves, rejected)?))
        });
        nodes.collect()
    })
}

/// Makes a node of every value.
pub(super) fn separate(records: Vec<Record>, models: &Models) -> Samples {
    let place = |_: &Path| Some(0);
    assemble(Path::ROOT, records, models, place, |leaves, rejected| {
        let nodes = grouped(leaves, |leaf| leaf.path)
            .into_iter()
            .filter_map(|(path, leaves)| Some((path, node(&path, leaves, rejected)?)));
        nodes.collect()
    })
}

/// A record whose path and value are good.
struct Leaf {
    offset: usize,
    path: Path,
    /// Which of the paths asked for it belongs to.
    place: usize,
    time: Option<SampleTime>,
    value: Value,
}

impl Leaf {
    const fn rejected(&self, kind: DecodeErrorKind) -> (Path, DecodeError) {
        (self.path, kind.at(self.offset))
    }
}

type Rejected = Vec<(Path, DecodeError)>;

/// Types the values, and makes nodes of those of each time. Records without a good name count for `unnamed`, those without
/// a place were not asked for.
fn assemble(
    unnamed: Path,
    records: Vec<Record>,
    models: &Models,
    place: impl Fn(&Path) -> Option<usize>,
    mut nodes: impl FnMut(Vec<Leaf>, &mut Rejected) -> Vec<(Path, Node)>,
) -> Samples {
    let mut leaves = Vec::new();
    let mut rejected = Vec::new();
    for record in records {
        let Record { offset, time, .. } = record;
        let path = record.path.unwrap_or(unnamed);
        let leaf = record.path.and_then(|path| {
            let place = place(&path).ok_or(DecodeErrorKind::IdConflict)?;
            if path.depth() < 3 {
                return Err(DecodeErrorKind::Structure);
            }
            let value = record.value?.typed(modelled_type(&path, models))?;
            Ok(Leaf {
                offset,
                path,
                place,
                time,
                value,
            })
        });
        match leaf {
            Ok(leaf) => leaves.push(leaf),
            Err(kind) => rejected.push((path, kind.at(offset))),
        }
    }
    let mut samples = Vec::new();
    for (time, leaves) in grouped(leaves, |leaf| leaf.time) {
        let nodes = nodes(leaves, &mut rejected);
        if !nodes.is_empty() {
            samples.push(Sample { time, nodes });
        }
    }
    rejected.sort_by_key(|(_, error)| error.offset);
    Samples { samples, rejected }
}

/// The node of `path` with these values, all of which lie at or below it.
fn node(path: &Path, leaves: Vec<Leaf>, rejected: &mut Rejected) -> Option<Node> {
    match *path.segments() {
        [id] => {
            let instances = grouped(leaves, |leaf| leaf.path.instance_id())
                .into_iter()
                .filter_map(|(id, leaves)| {
                    let resources = resources(leaves, rejected);
                    Some(ObjectInstance { id: id?, resources })
                });
            let instances = instances.collect();
            Some(Node::Object(Object { id, instances }))
        }
        [_, id] => {
            let resources = resources(leaves, rejected);
            Some(Node::ObjectInstance(ObjectInstance { id, resources }))
        }
        [_, _, _] => resources(leaves, rejected).pop().map(Node::Resource),
        [_, _, _, id] => {
            instances(leaves, rejected)
                .pop()
                .map(|ResourceInstance { value, .. }| {
                    Node::ResourceInstance(ResourceInstance { id, value })
                })
        }
        _ => {
            rejected.extend(
                leaves
                    .iter()
                    .map(|leaf| leaf.rejected(DecodeErrorKind::Structure)),
            );
            None
        }
    }
}

/// The resources of one object instance.
fn resources(leaves: Vec<Leaf>, rejected: &mut Rejected) -> Vec<Resource> {
    grouped(leaves, |leaf| leaf.path.resource_id())
        .into_iter()
        .filter_map(|(id, leaves)| resource(id?, leaves, rejected))
        .collect()
}

/// A resource, of which the first value says whether it is single or multiple.
fn resource(id: u16, leaves: Vec<Leaf>, rejected: &mut Rejected) -> Option<Resource> {
    let first = leaves.first()?;
    let depth = first.path.depth();
    let kind = first.value.resource_type();
    let mut same = Vec::new();
    for leaf in leaves {
        if leaf.path.depth() != depth {
            rejected.push(leaf.rejected(DecodeErrorKind::Structure));
        } else {
            same.push(leaf);
        }
    }
    if depth == 4 {
        let instances = instances(same, rejected);
        return Some(Resource::multiple(id, kind, instances));
    }
    let mut same = same.into_iter();
    let value = same.next()?.value;
    rejected.extend(same.map(|leaf| leaf.rejected(DecodeErrorKind::Duplicate)));
    Some(Resource::single(id, value))
}

/// The instances of one resource, which have one type and different ids.
fn instances(leaves: Vec<Leaf>, rejected: &mut Rejected) -> Vec<ResourceInstance> {
    let mut instances: Vec<ResourceInstance> = Vec::new();
    let mut ids = HashSet::new();
    for leaf in leaves {
        let kind = leaf.value.resource_type();
        let id = leaf.path.resource_instance_id().unwrap_or_default();
        if !ids.insert(id) {
            rejected.push(leaf.rejected(DecodeErrorKind::Duplicate));
        } else if instances
            .first()
            .is_some_and(|first| first.value.resource_type() != kind)
        {
            rejected.push(leaf.rejected(DecodeErrorKind::WrongType));
        } else {
            let value = leaf.value;
            instances.push(ResourceInstance { id, value });
        }
    }
    instances
}

/// What `path` holds when there are no values: nothing, if it may hold several.
fn empty(path: &Path, models: &Models) -> Result<Node, DecodeError> {
    match *path.segments() {
        [id] => Ok(Node::Object(Object {
            id,
            instances: Vec::new(),
        })),
        [_, id] => Ok(Node::ObjectInstance(ObjectInstance {
            id,
            resources: Vec::new(),
        })),
        [object, _, id] => models
            .resource(object, id)
            .filter(|model| model.multiple)
            .map(|model| Node::Resource(Resource::multiple(id, model.kind, Vec::new())))
            .ok_or_else(|| DecodeErrorKind::Missing.at(0)),
        [_, _, _, _] => Err(DecodeErrorKind::Missing.at(0)),
        _ => Err(DecodeErrorKind::Structure.at(0)),
    }
}

/// Groups what has the same key, in the order in which the keys come first.
fn grouped<K: Copy + Eq + Hash, T>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    let mut places = HashMap::new();
    for item in items {
        let key = key(&item);
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups
}

/// Reads a name as a path. The segments of `root` may stand in front of it.
pub(super) fn path_of(name: &str, root: &[String]) -> Result<Path, DecodeErrorKind> {
    let below_root = root.iter().try_fold(name, |rest, segment| {
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let rest = rest.strip_prefix(segment.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    });
    below_root
        .unwrap_or(name)
        .parse()
        .map_err(|error| match error {
            PathError::Range => DecodeErrorKind::ValueRange,
            PathError::Depth | PathError::Segment => DecodeErrorKind::Name,
        })
}

/// The path of `node` itself, which is that of the request or, for an object instance to be created, one below it.
pub(super) fn own_path(path: &Path, node: &Node) -> Result<Path, EncodeError> {
    let own = match (path.segments(), node) {
        ([_], Node::ObjectInstance(instance)) => path.child(instance.id),
        ([id], Node::Object(Object { id: own, .. }))
        | ([_, id], Node::ObjectInstance(ObjectInstance { id: own, .. }))
        | ([_, _, id], Node::Resource(Resource { id: own, .. }))
        | ([_, _, _, id], Node::ResourceInstance(ResourceInstance { id: own, .. }))
            if id == own =>
        {
            Some(*path)
        }
        _ => None,
    };
    own.ok_or(EncodeError::PathMismatch)
}

/// The values of `node` with their paths, in order.
pub(super) fn values<'a>(
    path: &Path,
    node: &'a Node,
) -> Result<Vec<(Path, &'a Value)>, EncodeError> {
    let mut values = Vec::new();
    let own = own_path(path, node)?;
    match node {
        Node::Object(object) => {
            for instance in &object.instances {
                let path = below(&own, instance.id)?;
                push_resources(&path, &instance.resources, &mut values)?;
            }
        }
        Node::ObjectInstance(instance) => {
            push_resources(&own, &instance.resources, &mut values)?;
        }
        Node::Resource(resource) => push_resource(&own, resource, &mut values)?,
        Node::ResourceInstance(instance) => values.push((own, &instance.value)),
    }
    Ok(values)
}

fn push_resources<'a>(
    path: &Path,
    resources: &'a [Resource],
    values: &mut Vec<(Path, &'a Value)>,
) -> Result<(), EncodeError> {
    resources
        .iter()
        .try_for_each(|resource| push_resource(&below(path, resource.id)?, resource, values))
}

fn push_resource<'a>(
    path: &Path,
    resource: &'a Resource,
    values: &mut Vec<(Path, &'a Value)>,
) -> Result<(), EncodeError> {
    match &resource.content {
        ResourceContent::Single(value) => values.push((*path, value)),
        ResourceContent::Multiple { instances, .. } => {
            for instance in instances {
                values.push((below(path, instance.id)?, &instance.value));
            }
        }
    }
    Ok(())
}

fn below(path: &Path, id: u16) -> Result<Path, EncodeError> {
    path.child(id).ok_or(EncodeError::PathMismatch)
}

/// How many records a payload may have.
pub(super) const MAX_RECORDS: usize = 10_000;
