//! Method and response codes (RFC 7252 section 12.1, RFC 7959, RFC 8132, RFC 8516, RFC 8768).

use std::fmt;

/// The Code field of a message: three bits of class, five of detail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub u8);

impl Code {
    /// 0.00, the code of an empty message
    pub const EMPTY: Self = Self::new(0, 0);

    /// 0.01
    pub const GET: Self = Self::new(0, 1);
    /// 0.02
    pub const POST: Self = Self::new(0, 2);
    /// 0.03
    pub const PUT: Self = Self::new(0, 3);
    /// 0.04
    pub const DELETE: Self = Self::new(0, 4);
    /// 0.05
    pub const FETCH: Self = Self::new(0, 5);
    /// 0.06
    pub const PATCH: Self = Self::new(0, 6);
    /// 0.07
    pub const IPATCH: Self = Self::new(0, 7);

    /// 2.01
    pub const CREATED: Self = Self::new(2, 1);
    /// 2.02
    pub const DELETED: Self = Self::new(2, 2);
    /// 2.03
    pub const VALID: Self = Self::new(2, 3);
    /// 2.04
    pub const CHANGED: Self = Self::new(2, 4);
    /// 2.05
    pub const CONTENT: Self = Self::new(2, 5);
    /// 2.31
    pub const CONTINUE: Self = Self::new(2, 31);

    /// 4.00
    pub const BAD_REQUEST: Self = Self::new(4, 0);
    /// 4.01
    pub const UNAUTHORIZED: Self = Self::new(4, 1);
    /// 4.02
    pub const BAD_OPTION: Self = Self::new(4, 2);
    /// 4.03
    pub const FORBIDDEN: Self = Self::new(4, 3);
    /// 4.04
    pub const NOT_FOUND: Self = Self::new(4, 4);
    /// 4.05
    pub const METHOD_NOT_ALLOWED: Self = Self::new(4, 5);
    /// 4.06
    pub const NOT_ACCEPTABLE: Self = Self::new(4, 6);
    /// 4.08
    pub const REQUEST_ENTITY_INCOMPLETE: Self = Self::new(4, 8);
    /// 4.09
    pub const CONFLICT: Self = Self::new(4, 9);
    /// 4.12
    pub const PRECONDITION_FAILED: Self = Self::new(4, 12);
    /// 4.13
    pub const REQUEST_ENTITY_TOO_LARGE: Self = Self::new(4, 13);
    /// 4.15
    pub const UNSUPPORTED_CONTENT_FORMAT: Self = Self::new(4, 15);
    /// 4.22
    pub const UNPROCESSABLE_ENTITY: Self = Self::new(4, 22);
    /// 4.29
    pub const TOO_MANY_REQUESTS: Self = Self::new(4, 29);

    /// 5.00
    pub const INTERNAL_SERVER_ERROR: Self = Self::new(5, 0);
    /// 5.01
    pub const NOT_IMPLEMENTED: Self = Self::new(5, 1);
    /// 5.02
    pub const BAD_GATEWAY: Self = Self::new(5, 2);
    /// 5.03
    pub const SERVICE_UNAVAILABLE: Self = Self::new(5, 3);
    /// 5.04
    pub const GATEWAY_TIMEOUT: Self = Self::new(5, 4);
    /// 5.05
    pub const PROXYING_NOT_SUPPORTED: Self = Self::new(5, 5);
    /// 5.08
    pub const HOP_LIMIT_REACHED: Self = Self::new(5, 8);

    /// The name platform users see, `CONTENT` for instance; `UNKNOWN` for a code that LwM2M does not use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CREATED => "CREATED",
            Self::DELETED => "DELETED",
            Self::CHANGED => "CHANGED",
            Self::CONTENT => "CONTENT",
            Self::BAD_REQUEST => "BAD_REQUEST",
            Self::UNAUTHORIZED => "UNAUTHORIZED",
            Self::FORBIDDEN => "FORBIDDEN",
            Self::NOT_FOUND => "NOT_FOUND",
            Self::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
            Self::NOT_ACCEPTABLE => "NOT_ACCEPTABLE",
            Self::REQUEST_ENTITY_INCOMPLETE => "REQUEST_ENTITY_INCOMPLETE",
            Self::PRECONDITION_FAILED => "PRECONDITION_FAILED",
            Self::REQUEST_ENTITY_TOO_LARGE => "REQUEST_ENTITY_TOO_LARGE",
            Self::UNSUPPORTED_CONTENT_FORMAT => "UNSUPPORTED_CONTENT_FORMAT",
            Self::INTERNAL_SERVER_ERROR => "INTERNAL_SERVER_ERROR",
            _ => "UNKNOWN",
        }
    }

    /// The code `class.detail`; only the low 3 and 5 bits count.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self((class << 5) | (detail & 0b1_1111))
    }

    /// The class, 0 to 7.
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// The detail, 0 to 31.
    pub const fn detail(self) -> u8 {
        self.0 & 0b1_1111
    }

    /// Whether this is 0.00.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is a method, known or not: class 0 but not 0.00.
    pub const fn is_request(self) -> bool {
        self.class() == 0 && !self.is_empty()
    }

    /// Whether this is a response code, known or not: classes 2 to 5 (section 12.1.2).
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2..=5)
    }

    /// Whether this is a success response, class 2.
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }

    /// Whether this is an error response, class 4 or 5.
    pub const fn is_error(self) -> bool {
        matches!(self.class(), 4 | 5)
    }
}

impl fmt::Display for Code {
    /// `4.04`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_are_those_of_the_registry() {
        for (code, byte, text) in [
            (Code::GET, 0x01, "0.01"),
            (Code::IPATCH, 0x07, "0.07"),
            (Code::CREATED, 0x41, "2.01"),
            (Code::CONTINUE, 0x5F, "2.31"),
            (Code::NOT_FOUND, 0x84, "4.04"),
            (Code::PRECONDITION_FAILED, 0x8C, "4.12"),
            (Code::UNPROCESSABLE_ENTITY, 0x96, "4.22"),
            (Code::TOO_MANY_REQUESTS, 0x9D, "4.29"),
            (Code::HOP_LIMIT_REACHED, 0xA8, "5.08"),
        ] {
            assert_eq!(code.0, byte);
            assert_eq!(code.to_string(), text);
        }
    }

    #[test]
    fn classes_are_told_apart() {
        assert!(Code::EMPTY.is_empty() && !Code::EMPTY.is_request());
        assert!(Code(0x1F).is_request());
        assert!(Code::CONTENT.is_response() && Code::CONTENT.is_success());
        assert!(Code(0x9F).is_response() && Code(0x9F).is_error());
        for reserved in [0x20, 0xC0, 0xE1] {
            assert!(!Code(reserved).is_response() && !Code(reserved).is_request());
        }
    }
}
