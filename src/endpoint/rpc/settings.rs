//! Settings of platform commands.

use serde::{Deserialize, Serialize};

/// `rpc`: how commands are understood (`rpc.md` 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcSettings {
    /// Whether a path without version means the version the device supports, as in `/3/0/9`; otherwise it means 1.0.
    /// Default true; the reference has no such setting and behaves as if false.
    pub lenient_version: bool,
    /// Whether a command's `contentFormat` decides the format of the request. Default false; the reference has no such
    /// setting and ignores the parameter.
    pub honour_content_format: bool,
    /// Whether replies have the shapes that the platform's reference documentation shows: `DELETE` for a deleted
    /// instance, bare paths in the value of `ObserveReadAll`, objects of `url` and `attributes` in that of
    /// `DiscoverAll`. Default false: the shapes of the released platform.
    pub legacy_shapes: bool,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            lenient_version: true,
            honour_content_format: false,
            legacy_shapes: false,
        }
    }
}
