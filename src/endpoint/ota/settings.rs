//! Settings of updates.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `ota`: updates of firmware (Object 5) and software (Object 9).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtaSettings {
    /// Whether state and result of an update are observed while it runs if the profile does not observe them.
    /// Default true.
    pub auto_observe: bool,
    /// What the addresses of packages begin with where the profile does not say so, `coap://host:port`; empty: such
    /// devices cannot fetch packages. Default empty.
    pub public_coap_base: String,
    /// The same for devices that registered over DTLS and fetch by `coaps`. Default empty.
    pub public_coaps_base: String,
    /// The path under which software is fetched, `tbfw` as the platform writes it or `tbsw`; both are served.
    /// Default `tbfw`.
    pub sw_path: SoftwarePath,
    /// Packages of more bytes than this are fetched by the device rather than sent, if it can do both; 0 = never.
    /// Default 0.
    pub prefer_pull_above: u64,
    /// How long a package may take on its way, sent or fetched, seconds. Default 21600.
    pub push_max_s: u64,
    /// How long a device may take to say something of a package that it was sent, or is to fetch, seconds. Default 3600.
    pub await_state_s: u64,
    /// How long a device may take to install, seconds. Default 3600.
    pub update_max_s: u64,
    /// Devices to which packages are sent at a time; the others wait in line. 0 = no limit. Default 500.
    pub max_concurrent_pushes: usize,
    /// Whether anybody who knows a package's id may fetch it without transport security; else the address of a device to
    /// which it is assigned is needed. Default: true with a platform core, false in embedded mode.
    pub open_download: Option<bool>,
    /// Peers that may fetch packages at a time; others are answered 5.03. Default 2000.
    pub max_downloads: usize,
    /// Blocks a second that one peer may fetch; it waits for those beyond. Default 64.
    pub download_blocks_per_s: u32,
    /// Memory for packages, bytes; a larger package cannot be given to devices. Default 67108864.
    pub cache_bytes: usize,
    /// Whether a failure also posts its reason as `fw_error` or `sw_error`. Default false.
    pub report_error_key: bool,
}

/// A path under which packages are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", rename_all = "lowercase")]
pub enum SoftwarePath {
    /// As the platform writes it.
    #[default]
    Tbfw,
    /// One of its own.
    Tbsw,
}

impl TryFrom<String> for SoftwarePath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        match text.as_str() {
            "tbfw" => Ok(Self::Tbfw),
            "tbsw" => Ok(Self::Tbsw),
            _ => Err("expected `tbfw` or `tbsw`"),
        }
    }
}

impl OtaSettings {
    pub(super) const fn push_max(&self) -> Duration {
        Duration::from_secs(self.push_max_s)
    }

    pub(super) const fn await_state(&self) -> Duration {
        Duration::from_secs(self.await_state_s)
    }

    pub(super) const fn update_max(&self) -> Duration {
        Duration::from_secs(self.update_max_s)
    }
}

impl Default for OtaSettings {
    fn default() -> Self {
        Self {
            auto_observe: true,
            public_coap_base: String::new(),
            public_coaps_base: String::new(),
            sw_path: SoftwarePath::default(),
            prefer_pull_above: 0,
            push_max_s: 6 * 3600,
            await_state_s: 3600,
            update_max_s: 3600,
            max_concurrent_pushes: 500,
            open_download: None,
            max_downloads: 2000,
            download_blocks_per_s: 64,
            cache_bytes: 64 << 20,
            report_error_key: false,
        }
    }
}
