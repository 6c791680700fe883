//! Who may use the API (hardening A73), and what else needs a client certificate.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
    middleware::Next,
    response::Response,
};

use crate::platform::secret::Secret;

use super::{
    PROBES, api,
    settings::{ApiAccess, HttpSettings},
};

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// Where it is.
    pub(super) address: IpAddr,
    /// Whether it has proved to have a certificate by an issuer of `http.tls.client_ca_file`.
    pub(super) certified: bool,
}

impl Caller {
    fn of(request: &Request) -> Option<Self> {
        request.extensions().get().copied()
    }
}

/// Admits callers with a certificate, and everybody to the probes: those of Kubernetes cannot show one.
pub(super) async fn require_certificate(request: Request, next: Next) -> Response {
    let certified = Caller::of(&request).is_some_and(|caller| caller.certified);
    if certified || PROBES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    api::problem(Denied::Certificate.status(), Denied::Certificate)
}

/// The rule by which callers are admitted.
#[derive(Debug)]
pub(super) struct Access {
    api: ApiAccess,
    token: Secret,
}

/// Why a caller is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Denied {
    /// The API is off.
    #[error("the API is off (http.api)")]
    Off,
    /// The caller has no certificate.
    #[error("a client certificate by an issuer of http.tls.client_ca_file is needed")]
    Certificate,
    /// The caller is on another machine.
    #[error("the API is for callers on this machine (http.api)")]
    NotLocal,
    /// The Host header names another machine.
    #[error("the Host header does not name this machine")]
    ForeignHost,
    /// The token is missing or wrong.
    #[error("the header `Authorization: Bearer <http.api_token>` is missing or wrong")]
    Token,
}

impl Denied {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Off => StatusCode::NOT_FOUND,
            Self::Certificate | Self::NotLocal | Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }
}

impl Access {
    /// The rule that the settings state.
    pub(super) fn new(settings: &HttpSettings) -> Self {
        Self {
            api: settings.api.unwrap_or(ApiAccess::Off),
            token: settings.api_token.clone(),
        }
    }

    /// # Errors
    /// Why this caller is refused.
    pub(super) fn check(&self, request: &Request) -> Result<(), Denied> {
        self.check_parts(Caller::of(request), request.headers())
    }

    fn check_parts(&self, caller: Option<Caller>, headers: &HeaderMap) -> Result<(), Denied> {
        match self.api {
            ApiAccess::Off => return Err(Denied::Off),
            ApiAccess::Loopback if !caller.is_some_and(|caller| is_loopback(caller.address)) => {
                return Err(Denied::NotLocal);
            }
            ApiAccess::Loopback | ApiAccess::All => {}
        }
        if self.token.is_empty() {
            // Without a token a web page could reach us under a name of its own that resolves to loopback.
            let certified = caller.is_some_and(|caller| caller.certified);
            return (certified || names_loopback(headers))
                .then_some(())
                .ok_or(Denied::ForeignHost);
        }
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
            .unwrap_or_default();
        self.token.matches(given).then_some(()).ok_or(Denied::Token)
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
    else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const LOCAL: Option<Caller> = at(IpAddr::V4(Ipv4Addr::LOCALHOST));
    const REMOTE: Option<Caller> = at(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

    const fn at(address: IpAddr) -> Option<Caller> {
        Some(Caller {
            address,
            certified: false,
        })
    }

    fn access(api: ApiAccess, token: &str) -> Access {
        Access {
            api,
            token: Secret::new(token),
        }
    }

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a73_loopback_admits_local_callers_alone() {
        let local = headers(&[(header::HOST, "localhost:8083")]);
        let rule = access(ApiAccess::Loopback, "");
        assert_eq!(rule.check_parts(LOCAL, &local), Ok(()));
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        assert_eq!(rule.check_parts(at(mapped), &local), Ok(()));
        assert_eq!(rule.check_parts(REMOTE, &local), Err(Denied::NotLocal));
        assert_eq!(rule.check_parts(None, &local), Err(Denied::NotLocal));
        let off = access(ApiAccess::Off, "t");
        assert_eq!(off.check_parts(LOCAL, &local), Err(Denied::Off));
    }

    #[test]
    fn a73_a_name_that_resolves_to_loopback_is_refused_without_token() {
        let rule = access(ApiAccess::Loopback, "");
        for host in ["localhost", "127.0.0.1:8083", "[::1]:8083", "[::1]"] {
            let headers = headers(&[(header::HOST, host)]);
            assert_eq!(rule.check_parts(LOCAL, &headers), Ok(()), "{host}");
        }
        for host in ["evil.example:8083", "localhost.evil.example", "192.0.2.1"] {
            let headers = headers(&[(header::HOST, host)]);
            assert_eq!(
                rule.check_parts(at(Ipv6Addr::LOCALHOST.into()), &headers),
                Err(Denied::ForeignHost),
                "{host}"
            );
        }
    }

    #[test]
    fn a73_a_certificate_stands_in_for_a_token_that_is_not_set_and_for_no_other() {
        let certified = REMOTE.map(|caller| Caller {
            certified: true,
            ..caller
        });
        let headers = headers(&[(header::HOST, "gw.example")]);
        let rule = access(ApiAccess::All, "");
        assert_eq!(rule.check_parts(certified, &headers), Ok(()));
        assert_eq!(rule.check_parts(REMOTE, &headers), Err(Denied::ForeignHost));
        let rule = access(ApiAccess::All, "secret");
        assert_eq!(rule.check_parts(certified, &headers), Err(Denied::Token));
        let rule = access(ApiAccess::Loopback, "");
        assert_eq!(rule.check_parts(certified, &headers), Err(Denied::NotLocal));
    }

    #[test]
    fn a73_a_token_is_asked_of_everybody() {
        let rule = access(ApiAccess::All, "secret");
        let with = |value| headers(&[(header::HOST, "gw.example"), (header::AUTHORIZATION, value)]);
        assert_eq!(rule.check_parts(REMOTE, &with("Bearer secret")), Ok(()));
        for wrong in ["Bearer Secret", "secret", "Basic secret", "Bearer "] {
            assert_eq!(rule.check_parts(REMOTE, &with(wrong)), Err(Denied::Token));
        }
        let rule = access(ApiAccess::Loopback, "secret");
        assert_eq!(
            rule.check_parts(LOCAL, &HeaderMap::new()),
            Err(Denied::Token)
        );
    }
}
