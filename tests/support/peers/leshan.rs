//! leshan.
