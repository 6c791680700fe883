//! Values of resources and their types (OMA LwM2M Core, appendix "Data Types").

use bytes::Bytes;

/// The type a model gives to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// UTF-8 text.
    String,
    /// Signed integer, up to 64 bits.
    Integer,
    /// IEEE 754 number.
    Float,
    /// True or false.
    Boolean,
    /// Bytes.
    Opaque,
    /// A point in time.
    Time,
    /// A link to an object instance.
    ObjectLink,
    /// Unsigned integer, up to 64 bits (since 1.1).
    UnsignedInteger,
    /// CoRE link format text (since 1.1).
    CoreLink,
    /// An executable resource, which has no value.
    None,
}

/// The value of one resource or resource instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// UTF-8 text.
    String(String),
    /// Signed integer.
    Integer(i64),
    /// IEEE 754 number.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Opaque(Bytes),
    /// Milliseconds since 1970-01-01 UTC; the wire carries seconds.
    Time(i64),
    /// Object id and object instance id; 65535:65535 is the null link.
    ObjectLink(u16, u16),
    /// Unsigned integer.
    UnsignedInteger(u64),
    /// CoRE link format text.
    CoreLink(String),
}

impl Value {
    /// The type this value has.
    pub const fn resource_type(&self) -> ResourceType {
        match self {
            Self::String(_) => ResourceType::String,
            Self::Integer(_) => ResourceType::Integer,
            Self::Float(_) => ResourceType::Float,
            Self::Boolean(_) => ResourceType::Boolean,
            Self::Opaque(_) => ResourceType::Opaque,
            Self::Time(_) => ResourceType::Time,
            Self::ObjectLink(..) => ResourceType::ObjectLink,
            Self::UnsignedInteger(_) => ResourceType::UnsignedInteger,
            Self::CoreLink(_) => ResourceType::CoreLink,
        }
    }
}
