//! The validator of OpenAPI documents on PyPI, `openapi-spec-validator`.

use super::cache::{self, PIP, PYTHON, Recipe};

/// Validates a document by the schema of its version; says so on standard error when the validator cannot be had.
///
/// # Panics
/// When the document is not valid.
pub(crate) fn validate(document: &str) {
    let packages = RECIPE.prepare(|folder| cache::fetch_python(folder, &[PACKAGE]));
    let Some(packages) = packages else { return };
    let mut validator = cache::python(&packages);
    validator.args(["-m", "openapi_spec_validator", document]);
    if let Err(report) = cache::run(&mut validator) {
        panic!("{report}");
    }
}

const PACKAGE: &str = "openapi-spec-validator==0.9.0";
const RECIPE: Recipe<'static> = Recipe {
    peer: "openapi-spec-validator",
    folder: "openapi-spec-validator-0.9.0",
    to_run: &[PYTHON],
    to_make: &[PIP],
    fetches: true,
};
