//! Software: Object 9 (OMA LwM2M Software Management; `ota.md` 4.2, 6.3, 6.4).

use super::object::{Meaning, Object, Phase, Status};
use crate::{lwm2m::path::Path, platform::package::PackageKind};

/// Object 9.
pub(super) static OBJECT: Object = Object {
    kind: PackageKind::Software,
    id: 9,
    package: Path::resource(9, 0, 2),
    uri: Path::resource(9, 0, 3),
    update: Path::resource(9, 0, 4),
    uninstall: Some(Path::resource(9, 0, 6)),
    state: Path::resource(9, 0, 7),
    result: Path::resource(9, 0, 9),
    name: Path::resource(9, 0, 0),
    version: Path::resource(9, 0, 1),
    protocols: None,
    delivery: None,
    cancel: None,
    device_version: Path::resource(3, 0, 19),
    description: Path::instance(19, 65534),
    states: &[
        (0, "INITIAL", Phase::Idle),
        (1, "DOWNLOAD_STARTED", Phase::Downloading),
        (2, "DOWNLOADED", Phase::Downloading),
        (3, "DELIVERED", Phase::Ready),
        (4, "INSTALLED", Phase::Installed),
    ],
    results: &[
        (0, "INITIAL", Meaning::Initial),
        (1, "DOWNLOADING", Meaning::Progress(Status::Downloading)),
        (2, "SUCCESSFULLY_INSTALLED", Meaning::Success),
        (
            3,
            "SUCCESSFULLY_DOWNLOADED_VERIFIED",
            Meaning::Progress(Status::Verified),
        ),
        (50, "NOT_ENOUGH_STORAGE", Meaning::Temporary),
        (51, "OUT_OFF_MEMORY", Meaning::Temporary),
        (52, "CONNECTION_LOST", Meaning::Temporary),
        (53, "PACKAGE_CHECK_FAILURE", Meaning::Temporary),
        (54, "UNSUPPORTED_PACKAGE_TYPE", Meaning::Fatal),
        (56, "INVALID_URI", Meaning::Temporary),
        (57, "UPDATE_ERROR", Meaning::Temporary),
        (58, "INSTALL_FAILURE", Meaning::Temporary),
        (59, "UN_INSTALL_FAILURE", Meaning::Temporary),
    ],
};
