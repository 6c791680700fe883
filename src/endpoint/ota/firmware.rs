//! Firmware: Object 5 (OMA LwM2M Core, appendix "Firmware Update"; `ota.md` 4.1, 6.1, 6.2).

use super::object::{Meaning, Object, Phase};
use crate::{lwm2m::path::Path, platform::package::PackageKind};

/// Object 5.
pub(super) static OBJECT: Object = Object {
    kind: PackageKind::Firmware,
    id: 5,
    package: Path::resource(5, 0, 0),
    uri: Path::resource(5, 0, 1),
    update: Path::resource(5, 0, 2),
    uninstall: None,
    state: Path::resource(5, 0, 3),
    result: Path::resource(5, 0, 5),
    name: Path::resource(5, 0, 6),
    version: Path::resource(5, 0, 7),
    protocols: Some(Path::resource(5, 0, 8)),
    delivery: Some(Path::resource(5, 0, 9)),
    cancel: Some(Path::resource(5, 0, 10)),
    device_version: Path::resource(3, 0, 3),
    description: Path::instance(19, 65533),
    states: &[
        (0, "IDLE", Phase::Idle),
        (1, "DOWNLOADING", Phase::Downloading),
        (2, "DOWNLOADED", Phase::Ready),
        (3, "UPDATING", Phase::Updating),
    ],
    results: &[
        (0, "INITIAL", Meaning::Initial),
        (1, "UPDATE_SUCCESSFULLY", Meaning::Success),
        (2, "NOT_ENOUGH", Meaning::Fatal),
        (3, "OUT_OFF_MEMORY", Meaning::Fatal),
        (4, "CONNECTION_LOST", Meaning::Temporary),
        (5, "INTEGRITY_CHECK_FAILURE", Meaning::Temporary),
        (6, "UNSUPPORTED_TYPE", Meaning::Fatal),
        (7, "INVALID_URI", Meaning::Fatal),
        (8, "UPDATE_FAILED", Meaning::Fatal),
        (9, "UNSUPPORTED_PROTOCOL", Meaning::Fatal),
        (10, "CANCELLED", Meaning::Fatal),
        (11, "DEFERRED", Meaning::Deferred),
    ],
};
