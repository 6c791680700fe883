//! What platform users see of updates (`ota.md` 6 and 8).

use std::fmt::Display;

use super::code;
use crate::{
    coap::Code,
    platform::{QuestionError, package::PackageKind},
};

/// The word for a kind at the beginning of a line.
const fn label(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Firmware => "Firmware",
        PackageKind::Software => "Software",
    }
}

/// The word for a kind within a line.
const fn noun(kind: PackageKind) -> &'static str {
    match kind {
        PackageKind::Firmware => "firmware",
        PackageKind::Software => "software",
    }
}

/// The device reported a state.
pub fn state(kind: PackageKind, name: impl Display) -> String {
    format!("{} Update State: {name}", label(kind))
}

/// The device reported a result.
pub fn result(kind: PackageKind, name: impl Display) -> String {
    format!("{} Update Result: {name}", label(kind))
}

/// The device runs what it ran before.
pub fn version_unchanged(kind: PackageKind) -> String {
    result(kind, "INITIAL, version unchanged")
}

/// Nothing is known of what the device runs.
pub fn unsupported(kind: PackageKind) -> String {
    format!(
        "Client does not support {} update or profile misconfiguration!",
        noun(kind)
    )
}

/// What is assigned failed before; `name` is the result that the device reported.
pub fn failed_before(kind: PackageKind, name: &str) -> String {
    format!("Previous update {} failed. Result: {name}", noun(kind))
}

/// The platform has no package to give.
pub fn not_fetched(error: QuestionError) -> String {
    let status = match error {
        QuestionError::NotFound => "NOT_FOUND",
        QuestionError::Invalid => "FAILURE",
        QuestionError::Unavailable | QuestionError::Limited => "UNKNOWN",
    };
    format!("Failed to fetch OTA package: {status}")
}

/// The platform does not answer.
pub fn not_processed(kind: PackageKind, reason: impl Display) -> String {
    format!("Failed to process {} update: {reason}", noun(kind))
}

/// The profile has a strategy of an unknown number.
pub fn unsupported_strategy(number: i64) -> String {
    format!("Unsupported strategy: {number}")
}

/// The device refused the package.
pub fn package_rejected(by: Code) -> String {
    format!("Package write rejected: {}", code(by))
}

/// The device refused the address of the package.
pub fn uri_rejected(by: Code) -> String {
    format!("Package URI rejected: {}", code(by))
}

/// The device refused to install the package.
pub fn update_rejected(by: Code) -> String {
    format!("Update command rejected: {}", code(by))
}

/// The device refused to remove what is installed.
pub fn uninstall_rejected(by: Code) -> String {
    format!("Uninstall command rejected: {}", code(by))
}

/// The bytes of the package cannot be had.
pub const NO_DATA: &str = "Package data is not available in the cache";

/// Neither profile nor settings say where packages can be fetched.
pub const NO_ADDRESS: &str = "No package download address configured";

/// The device has no protocol for the address.
pub const NO_PROTOCOL: &str = "No common download protocol";

/// The device began to install and never said how it ended.
pub const NOT_FINISHED: &str = "Update was not finished in time";

/// The description of a package could not be written, because there is no Object 19.
pub fn no_object_19(endpoint: &str, path: impl Display) -> String {
    format!(
        "[{endpoint}], Failed to send Info Ota to objectInstance [{path}]. The client does not have object 19."
    )
}
