//! The body of a reply (`rpc.md` 1.2), and why a command is answered without asking the device.

use serde::Serialize;

use crate::{coap::Code, endpoint::text, platform::uplink::RpcBody};

/// What a command is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// Name of a response code.
    pub result: &'static str,
    /// What the device gave, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What went wrong; never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Reply {
    /// A reply of the code alone.
    pub const fn code(code: Code) -> Self {
        Self {
            result: text::code_name(code),
            value: None,
            error: None,
        }
    }

    /// A reply that explains what went wrong; an empty text is left out.
    pub fn error(code: Code, error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()).filter(|error| !error.is_empty()),
            ..Self::code(code)
        }
    }

    /// A reply with a value.
    pub fn value(code: Code, value: String) -> Self {
        Self {
            value: Some(value),
            ..Self::code(code)
        }
    }

    /// The JSON body, in the member in which it travels.
    pub fn body(&self) -> RpcBody {
        // A struct of texts always has a JSON form.
        let json = serde_json::to_string(self).unwrap_or_default();
        match self.error {
            None => RpcBody::Payload(json),
            Some(_) => RpcBody::Error(json),
        }
    }
}

/// A command that is answered at once, without status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The answer.
    pub reply: Reply,
    /// The line for `transportLog`: only failed validations write one.
    pub log: Option<String>,
}

impl Rejection {
    /// A command that cannot be understood; not logged.
    pub fn thrown(code: Code, error: impl Into<String>) -> Self {
        Self {
            reply: Reply::error(code, error),
            log: None,
        }
    }

    /// A command that cannot be carried out; `class` and `id` name the request that was not made.
    pub fn invalid(class: &str, id: &str, error: &str) -> Self {
        Self {
            reply: Reply::error(Code::BAD_REQUEST, error),
            log: Some(text::validation_failed(class, id, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_compact_and_in_order() {
        let reply = Reply::value(Code::CONTENT, "[\"</3>;ver=\u{e4}\"]".to_owned());
        assert_eq!(
            reply.body(),
            RpcBody::Payload(
                "{\"result\":\"CONTENT\",\"value\":\"[\\\"</3>;ver=\u{e4}\\\"]\"}".to_owned()
            )
        );
    }

    #[test]
    fn an_error_text_decides_the_member() {
        assert_eq!(
            Reply::error(Code::NOT_FOUND, "").body(),
            RpcBody::Payload(r#"{"result":"NOT_FOUND"}"#.to_owned())
        );
        assert_eq!(
            Reply::error(Code::BAD_REQUEST, "no").body(),
            RpcBody::Error(r#"{"result":"BAD_REQUEST","error":"no"}"#.to_owned())
        );
    }
}
