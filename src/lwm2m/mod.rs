//! The OMA data model and its encodings, as pure values (OMA LwM2M Core 1.0 to 1.2).

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod attributes;
pub mod format;
pub mod model;
pub mod node;
pub mod path;
pub mod registration;
pub mod value;
pub mod version;
