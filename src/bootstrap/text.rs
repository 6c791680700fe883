//! Lines of `transportLog` about a bootstrap session (`bootstrap.md` 8, `rulings.md` 5.4).
//!
//! They follow the platform's released code, odd grammar and doubled blanks included; where that prints a Java object,
//! what it stands for is named. No line holds a key.

use std::{fmt, net::IpAddr};

use crate::{
    coap::{Code, Failure, Message, link_format::Link},
    platform::name::EndpointName,
};

use super::session::Cause;

/// What is sent to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Discover,
    Delete,
    Write,
    Finish,
}

impl Operation {
    const fn request(self) -> &'static str {
        match self {
            Self::Discover => "BootstrapDiscoverRequest",
            Self::Delete => "BootstrapDeleteRequest",
            Self::Write => "BootstrapWriteRequest",
            Self::Finish => "BootstrapFinishRequest",
        }
    }

    const fn response(self) -> &'static str {
        match self {
            Self::Discover => "DiscoverResponse",
            Self::Delete => "BootstrapDeleteResponse",
            Self::Write => "BootstrapWriteResponse",
            Self::Finish => "BootstrapFinishResponse",
        }
    }
}

/// The device may be bootstrapped; `local` is the address it wrote to.
pub(super) fn started(local: Option<IpAddr>, port: u16) -> String {
    let address = match local {
        Some(IpAddr::V4(ip)) => format!(" /{ip}:{port}"),
        Some(IpAddr::V6(ip)) => format!(" /[{ip}]:{port}"),
        None => String::new(),
    };
    format!("info: Bootstrap session started...{address}")
}

/// What stands in the way of a bootstrap session.
pub(super) fn problem(problem: impl fmt::Display) -> String {
    format!("error: {problem}")
}

/// More than one Security instance may be that of the bootstrap server.
pub(super) fn several_bootstrap_accounts(instance: u16) -> String {
    format!(
        "warn: Several Security instances have no short server id, /0/{instance} is taken for that of the bootstrap server"
    )
}

/// The device did as it was asked; `links` are those of a Discover.
pub(super) fn success(
    operation: Operation,
    path: &str,
    code: Code,
    links: Option<&[Link]>,
) -> String {
    if operation == Operation::Finish {
        return "info: receives success response for bootstrap finish.".to_owned();
    }
    let content = match links {
        Some(links) => {
            let links: Vec<_> = links.iter().map(Link::to_string).collect();
            format!(", content=[{}]", links.join(", "))
        }
        None => String::new(),
    };
    format!(
        "info: receives success response for:  {}  {path} {} [code={}{content}]",
        operation.request(),
        operation.response(),
        number(code),
    )
}

/// The device refused.
pub(super) fn error(
    operation: Operation,
    path: &str,
    response: &Message,
    endpoint: &EndpointName,
) -> String {
    if operation == Operation::Finish {
        return format!(
            "error: error response for request bootstrap finish. Stop the session: BootstrapSession [endpoint={endpoint}]"
        );
    }
    format!(
        "info: {} {path} receives error response {} [code={}, errormessage={}] ",
        operation.request(),
        operation.response(),
        number(response.code()),
        response.diagnostic().unwrap_or_default(),
    )
}

/// The device did not answer.
pub(super) fn no_answer(operation: Operation, path: &str, failure: Failure) -> String {
    let cause = match failure {
        Failure::Timeout => "timeout",
        Failure::Reset => "reset",
        Failure::Cancelled => "cancellation",
        Failure::Blockwise => "block-wise transfer",
    };
    format!(
        "error: {} {path} failed because of {cause}",
        operation.request()
    )
}

/// The end of a bootstrap session.
pub(super) fn ended(result: Result<(), Cause>) -> String {
    match result {
        Ok(()) => "info: Bootstrap session finished.".to_owned(),
        Err(cause) => format!("error: Bootstrap session failed because of {cause}"),
    }
}

/// `CHANGED(204)`
fn number(code: Code) -> String {
    format!("{}({}{:02})", code.name(), code.class(), code.detail())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_names_the_address_the_device_wrote_to() {
        let started = |ip: &str| started(Some(ip.parse().unwrap()), 5687);
        assert_eq!(
            started("127.0.0.1"),
            "info: Bootstrap session started... /127.0.0.1:5687"
        );
        assert_eq!(
            started("2001:db8::1"),
            "info: Bootstrap session started... /[2001:db8::1]:5687"
        );
        assert_eq!(
            super::started(None, 5687),
            "info: Bootstrap session started..."
        );
    }
}
