//! One object definition: it is read, or refused where it is wrong.

use std::collections::BTreeSet;

use lightship::lwm2m::model::ddf;

/// Reads `data` as a file of the registry.
pub(crate) fn run(data: &[u8]) {
    match ddf::parse(data) {
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1);
            let lines = data.iter().filter(|byte| **byte == b'\n').count();
            assert!(usize::try_from(error.line).is_ok_and(|line| line <= lines + 1));
        }
        Ok(objects) => {
            let mut seen = BTreeSet::new();
            for object in &objects {
                assert!(seen.insert((object.id, object.version)));
                assert!(object.resources.iter().all(|(id, model)| *id == model.id));
            }
            assert!(!seen.is_empty());
        }
    }
}
