//! Built-in models: the core objects of OMA LwM2M and the most common IPSO sensors.
//!
//! Facts of the OMA registry, without its descriptions. Ranges and units are hints, in the form of the newest version.

#[rustfmt::skip]
mod ipso;
#[rustfmt::skip]
mod table;

use std::{collections::BTreeMap, sync::Arc};

use table::Rows;

use super::{ModelCatalog, ObjectModel, ResourceModel};
use crate::lwm2m::path::{ObjectId, ObjectVersion};

/// The built-in models in all their versions.
pub fn catalog() -> ModelCatalog {
    objects()
        .flat_map(|object| {
            (object.oldest..=object.newest).map(|minor| Arc::new(object.model(minor)))
        })
        .collect()
}

fn objects() -> impl Iterator<Item = &'static CoreObject> {
    table::OBJECTS.iter().chain(ipso::OBJECTS)
}

/// One object in versions `major`.`oldest` to `major`.`newest`.
struct CoreObject {
    id: ObjectId,
    name: &'static str,
    multiple: bool,
    mandatory: bool,
    major: u8,
    oldest: u8,
    newest: u8,
    tables: &'static [Rows],
}

impl CoreObject {
    fn model(&self, minor: u8) -> ObjectModel {
        let mut resources = BTreeMap::new();
        let rows = self.tables.iter().copied().flatten();
        for &(id, since, operations, multiple, mandatory, kind, name, range, units) in rows {
            // Rows of one resource follow in the order of versions, so the last that applies stays.
            if since <= minor {
                let resource = ResourceModel {
                    id,
                    name: name.to_owned(),
                    operations,
                    multiple,
                    mandatory,
                    kind,
                    range: range.to_owned(),
                    units: units.to_owned(),
                };
                resources.insert(id, resource);
            }
        }
        ObjectModel {
            id: self.id,
            version: ObjectVersion::new(self.major, minor),
            name: self.name.to_owned(),
            multiple: self.multiple,
            mandatory: self.mandatory,
            resources,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::{table::*, *};
    use crate::lwm2m::model::ddf;

    #[test]
    fn p43_every_object_has_its_versions() {
        let catalog = catalog();
        let versions = |id| -> Vec<String> {
            let models = catalog.iter().filter(|model| model.id == id);
            models.map(|model| model.version.to_string()).collect()
        };
        assert_eq!(versions(1), ["1.0", "1.1", "1.2"]);
        assert_eq!(versions(4), ["1.0", "1.1", "1.2", "1.3"]);
        assert_eq!(versions(6), ["1.0"]);
        assert_eq!(versions(10), ["1.0", "1.1"]);
        assert_eq!(versions(19), ["1.0", "1.1"]);
        assert_eq!(versions(21), ["1.0", "1.1", "2.0"]);
        assert_eq!(versions(25), ["1.0", "2.0"]);
        assert_eq!(versions(3303), ["1.0", "1.1"]);
        assert_eq!(versions(3336), ["1.0", "1.1", "2.0"]);
        let ids: BTreeSet<_> = catalog.iter().map(|model| model.id).collect();
        let sensors = (3300..=3350).filter(|id| ![3307, 3309].contains(id));
        let expected = (0..=7)
            .chain([9, 10, 16, 19, 21, 25, 26])
            .chain(3200..=3203)
            .chain(sensors);
        assert_eq!(ids, expected.collect());
        assert_eq!(catalog.iter().count(), 133);
    }

    #[test]
    fn later_versions_add_and_change_resources() {
        let catalog = catalog();
        let server = |minor| catalog.exact(1, ObjectVersion::new(1, minor)).unwrap();
        let delay = |minor| {
            server(minor)
                .resources
                .get(&14)
                .map(|model| model.operations)
        };
        assert_eq!(delay(0), None);
        assert_eq!(delay(1), Some(N));
        assert_eq!(delay(2), Some(RW));
        assert!(server(0).resources[&8].operations.execute);
    }

    /// Every fact is compared; hints, which older files write in other ways, with the newest file alone.
    #[test]
    fn p43_built_in_models_agree_with_the_registry() {
        let registry = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/registry");
        if !registry.is_dir() {
            println!("skipped: no registry at {}", registry.display());
            return;
        }
        for object in objects() {
            let mut newer_seen = false;
            for minor in (object.oldest..=object.newest).rev() {
                let (id, major) = (object.id, object.major);
                let name = format!("version_history/{id}-{major}_{minor}.xml");
                let Ok(xml) = fs::read(registry.join(&name)) else {
                    println!("{name} is not in the registry");
                    continue;
                };
                let text = String::from_utf8_lossy(&xml);
                assert!(text.contains("Redistribution and use"), "{name}");
                let mut model = object.model(minor);
                let mut theirs = ddf::parse(&xml).unwrap().remove(0);
                let hints_count = !std::mem::replace(&mut newer_seen, true);
                for (resource_id, resource) in &mut theirs.resources {
                    let ours = model.resources.get_mut(resource_id);
                    let ours = ours.unwrap_or_else(|| panic!("{name}: resource {resource_id}"));
                    resource.name = resource.name.replace("  ", " ");
                    // The registry has a sentence there.
                    let is_sentence = (id, *resource_id) == (1, 22);
                    if !hints_count || is_sentence {
                        ours.range.clone_from(&resource.range);
                        ours.units.clone_from(&resource.units);
                    }
                }
                assert_eq!(model, theirs, "{name}");
            }
            assert!(newer_seen, "no file of object {}", object.id);
        }
    }
}
