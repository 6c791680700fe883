//! Content-Format numbers (RFC 7252 section 12.3 and the OMA registrations).

use std::fmt;

/// A Content-Format number as it stands in Content-Format and Accept options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentFormat(pub u16);

impl ContentFormat {
    /// `text/plain;charset=utf-8`
    pub const TEXT: Self = Self(0);
    /// `application/link-format`
    pub const LINK: Self = Self(40);
    /// `application/octet-stream`
    pub const OPAQUE: Self = Self(42);
    /// `application/cbor`
    pub const CBOR: Self = Self(60);
    /// `application/senml+json`
    pub const SENML_JSON: Self = Self(110);
    /// `application/senml+cbor`
    pub const SENML_CBOR: Self = Self(112);
    /// `application/senml-etch+json`
    pub const SENML_ETCH_JSON: Self = Self(320);
    /// `application/senml-etch+cbor`
    pub const SENML_ETCH_CBOR: Self = Self(322);
    /// TLV before LwM2M 1.0
    pub const OLD_TLV: Self = Self(1542);
    /// JSON before LwM2M 1.0
    pub const OLD_JSON: Self = Self(1543);
    /// `application/vnd.oma.lwm2m+tlv`
    pub const TLV: Self = Self(11542);
    /// `application/vnd.oma.lwm2m+json`
    pub const JSON: Self = Self(11543);
    /// `application/vnd.oma.lwm2m+cbor`
    pub const LWM2M_CBOR: Self = Self(11544);

    /// The name platform users see, `CBOR` for instance; `None` for an unregistered number.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::TEXT => "TEXT",
            Self::LINK => "LINK",
            Self::OPAQUE => "OPAQUE",
            Self::CBOR => "CBOR",
            Self::SENML_JSON => "SENML_JSON",
            Self::SENML_CBOR => "SENML_CBOR",
            Self::SENML_ETCH_JSON => "SENML_ETCH_JSON",
            Self::SENML_ETCH_CBOR => "SENML_ETCH_CBOR",
            Self::OLD_TLV | Self::TLV => "TLV",
            Self::OLD_JSON | Self::JSON => "JSON",
            Self::LWM2M_CBOR => "LWM2M_CBOR",
            _ => return None,
        })
    }
}

impl fmt::Display for ContentFormat {
    /// `CBOR(60)`; `UNKNOWN(4711)` for an unregistered number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name().unwrap_or("UNKNOWN"), self.0)
    }
}
