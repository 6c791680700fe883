//! The description of the HTTP API before a validator that nobody here wrote.

use crate::peers::openapi;

#[test]
fn the_description_of_the_http_api_is_valid() {
    openapi::validate(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
}
