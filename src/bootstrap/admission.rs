//! Who may be bootstrapped: a Bootstrap-Request is a candidate until the platform, or the security layer, has spoken on it.

use super::{accounts::accounts, *};

/// A Bootstrap-Request of which the platform is asked. It disturbs nothing until that has spoken.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) peer: Peer,
    pub(super) request: IncomingId,
    pub(super) format: ContentFormat,
    pub(super) question: RequestId,
}

impl Bootstrap {
    /// The platform, or the security layer, has spoken on a Bootstrap-Request.
    pub(super) fn decide(
        &mut self,
        now: Now,
        candidate: Candidate,
        answer: Result<Arc<Admission>, QuestionError>,
    ) {
        let Candidate {
            peer,
            request,
            format,
            ..
        } = candidate;
        let admission = match answer {
            Ok(admission) if admission.client.admit(self.name.as_str(), &peer.identity) => {
                admission
            }
            // Who is unknown and who is not the one it says get the same answer.
            Ok(_) | Err(QuestionError::NotFound | QuestionError::Invalid) => {
                self.stats.rejected += 1;
                let response = Response::with_diagnostic(Code::BAD_REQUEST, "Unauthorized");
                return self.respond(now, peer.id, request, &response);
            }
            Err(QuestionError::Unavailable | QuestionError::Limited) => {
                self.stats.rejected += 1;
                let response = Response {
                    max_age: Some(RETRY_AFTER_S),
                    ..Response::new(Code::SERVICE_UNAVAILABLE)
                };
                return self.respond(now, peer.id, request, &response);
            }
        };
        self.end(now, Err(Cause::Cancelled));
        let mut id = [0; 16];
        self.random.fill(&mut id);
        let platform = Arc::new(SessionInfo {
            id: SessionId(uuid::Builder::from_random_bytes(id).into_uuid()),
            device: Arc::clone(&admission.device),
        });
        let started = text::started(peer.id.local(), self.settings.port);
        self.log(now, &platform, started);
        let accounts = accounts(&admission);
        let secret = accounts
            .as_ref()
            .is_ok_and(|accounts| accounts.iter().any(|account| account.secret));
        let exposed = secret && peer.identity == PeerIdentity::Unsecured;
        let problem = match &accounts {
            Err(error) => Some(text::problem(error)),
            Ok(_) if exposed && !self.settings.secrets_over_nosec => {
                Some(text::problem(SECRETS_OVER_NOSEC))
            }
            Ok(_) => None,
        };
        let (peer_id, deadline) = (peer.id, now.mono + TOTAL_TIMEOUT);
        let accounts = accounts.unwrap_or_default();
        self.session = Some(BootstrapSession::new(
            peer,
            Arc::clone(&platform),
            format,
            accounts,
            deadline,
        ));
        if let Some(problem) = problem {
            self.log(now, &platform, problem);
            let response = Response::with_diagnostic(Code::BAD_REQUEST, "no bootstrap config");
            self.respond(now, peer_id, request, &response);
            return self.end(now, Err(Cause::NoBootstrapConfig));
        }
        self.stats.secrets_over_nosec += u64::from(exposed);
        if let Some(layer) = self.layer(peer_id)
            && !std::mem::replace(&mut layer.bound, true)
        {
            self.bindings.push_back(Output::Bind(peer_id));
        }
        // The answer leaves before the first request of the session.
        self.respond(now, peer_id, request, &Response::new(Code::CHANGED));
        let (operation, path, request) = BootstrapSession::first();
        self.request(now, peer_id, operation, path, &request);
    }
}

/// How long a bootstrap session may take.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(600);
/// When a device may try again while the platform does not answer, seconds.
const RETRY_AFTER_S: u32 = 10;
const SECRETS_OVER_NOSEC: &str =
    "keys are not sent to a device without security (lwm2m.bootstrap.allow_secrets_over_nosec)";
