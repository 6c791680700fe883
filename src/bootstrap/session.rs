//! One run through the requests to a device: Discover, Deletes, Writes, Finish, one at a time.

use std::{collections::VecDeque, fmt, ops::ControlFlow, sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    coap::{Code, ContentFormat, Message, Request, Token},
    lwm2m::{format, path::Path},
    platform::{SessionInfo, name::EndpointName, peer::Peer},
};

use super::{
    accounts::Account,
    plan::{Discovered, Step, plan},
    text::{self, Operation},
};

/// A bootstrap session that the platform admitted.
#[derive(Debug)]
pub(super) struct BootstrapSession {
    pub(super) peer: Peer,
    /// The platform's session for it, which the core is not told to open.
    pub(super) platform: Arc<SessionInfo>,
    /// When it ends however far it is.
    pub(super) deadline: Instant,
    format: ContentFormat,
    /// What the device is to get; empty once that is planned.
    accounts: Vec<Account>,
    steps: VecDeque<Step>,
    under_way: Option<UnderWay>,
}

/// The request that is to be answered.
#[derive(Debug)]
struct UnderWay {
    token: Token,
    operation: Operation,
    path: String,
}

/// Why a bootstrap session ended without success, in the words of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Another one of the same endpoint took its place, or the server stopped.
    Cancelled,
    /// The device refused the Finish, or did not answer it.
    FinishFailed,
    /// Something could not be written in the format of the device.
    InternalServerError,
    /// Profile and credentials make no accounts.
    NoBootstrapConfig,
    /// The device did not answer.
    RequestFailed,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cancelled => "CANCELLED",
            Self::FinishFailed => "FINISH_FAILED",
            Self::InternalServerError => "INTERNAL_SERVER_ERROR",
            Self::NoBootstrapConfig => "NO_BOOTSTRAP_CONFIG",
            Self::RequestFailed => "REQUEST_FAILED",
        })
    }
}

impl BootstrapSession {
    pub(super) const fn new(
        peer: Peer,
        platform: Arc<SessionInfo>,
        format: ContentFormat,
        accounts: Vec<Account>,
        deadline: Instant,
    ) -> Self {
        Self {
            peer,
            platform,
            deadline,
            format,
            accounts,
            steps: VecDeque::new(),
            under_way: None,
        }
    }

    /// The first request.
    pub(super) fn first() -> (Operation, String, Request) {
        let request = Request {
            accept: Some(ContentFormat::LINK),
            ..Request::default()
        };
        (Operation::Discover, "/".to_owned(), request)
    }

    /// The request after those that were answered.
    ///
    /// # Errors
    /// [`Cause::InternalServerError`] when a value has no form in the format of the device.
    pub(super) fn next(&mut self) -> Result<(Operation, String, Request), Cause> {
        let target = |path: &Path| path.segments().iter().map(u16::to_string).collect();
        Ok(match self.steps.pop_front() {
            Some(Step::Delete(path)) => {
                let request = Request {
                    method: Code::DELETE,
                    path: target(&path),
                    ..Request::default()
                };
                (Operation::Delete, path.to_string(), request)
            }
            Some(Step::Write(path, node)) => {
                let payload = format::encode(self.format, &path, &node)
                    .map_err(|_| Cause::InternalServerError)?;
                let request = Request {
                    method: Code::PUT,
                    path: target(&path),
                    content_format: Some(self.format),
                    payload,
                    ..Request::default()
                };
                (Operation::Write, path.to_string(), request)
            }
            None => {
                let request = Request {
                    method: Code::POST,
                    path: vec!["bs".to_owned()],
                    payload: Bytes::new(),
                    ..Request::default()
                };
                (Operation::Finish, "/bs".to_owned(), request)
            }
        })
    }

    /// A request has left.
    pub(super) fn sent(&mut self, token: Token, operation: Operation, path: String) {
        self.under_way = Some(UnderWay {
            token,
            operation,
            path,
        });
    }

    /// Takes the request of this token for answered or failed; `None` when it is another's.
    pub(super) fn take(&mut self, token: Token) -> Option<(Operation, String)> {
        let own = self.under_way.take_if(|own| own.token == token)?;
        Some((own.operation, own.path))
    }

    /// Takes an answer, with lines for the log. Breaks with how the session ended; else [`Self::next`] says what follows.
    pub(super) fn answered(
        &mut self,
        operation: Operation,
        path: &str,
        response: &Message,
        endpoint: &EndpointName,
        mut log: impl FnMut(String),
    ) -> ControlFlow<Result<(), Cause>> {
        let success = response.code().is_success();
        let found = (success && operation == Operation::Discover)
            .then(|| Discovered::read(&response.payload()).ok())
            .flatten();
        log(if success {
            let links = found.as_ref().map(|(_, links)| links.as_slice());
            text::success(operation, path, response.code(), links)
        } else {
            text::error(operation, path, response, endpoint)
        });
        if operation == Operation::Discover {
            let discovered = found.as_ref().map(|(discovered, _)| discovered);
            if let Some((instance, true)) = discovered.and_then(Discovered::bootstrap) {
                log(text::several_bootstrap_accounts(instance));
            }
            self.steps = plan(std::mem::take(&mut self.accounts), discovered).into();
        }
        match (operation, success) {
            (Operation::Finish, true) => ControlFlow::Break(Ok(())),
            (Operation::Finish, false) => ControlFlow::Break(Err(Cause::FinishFailed)),
            (Operation::Discover | Operation::Delete | Operation::Write, _) => {
                ControlFlow::Continue(())
            }
        }
    }
}
