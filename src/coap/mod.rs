//! The Constrained Application Protocol (RFC 7252, 7641, 8132), free of I/O and clocks.

pub mod content_format;
