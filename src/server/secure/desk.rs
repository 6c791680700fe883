//! The desk that answers the questions of handshakes for credentials, by asking the platform (`security.md` 5.1 to 5.3).
//!
//! | device has | the platform is asked for | and its document must be |
//! |---|---|---|
//! | a pre-shared key | the identity | for PSK, with this identity |
//! | a raw public key | nothing: at Register by endpoint name | |
//! | a certificate with a path to a trusted issuer | the common name, then as below | for X.509, without certificate, for this name |
//! | another certificate | its fingerprint | for X.509, with this very certificate |

use std::{collections::HashMap, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    dtls::{
        AssociationId, CertificateInfo, CertificatePath, CredentialQuery, DenyReason, PreSharedKey,
    },
    platform::{
        Answer, Platform, Question, QuestionError, Reply, ReplyTo, RequestId, Uplink,
        credentials::{Admission, ClientCredentials},
        key_text,
        name::EndpointName,
        peer::{PeerIdentity, PskIdentity},
    },
};

use super::table::Known;

/// See the module's description.
pub(super) struct Desk {
    platform: Arc<dyn Platform>,
    reply_to: ReplyTo,
    next: u64,
    open: HashMap<RequestId, Open>,
}

/// A question that the platform has not answered.
#[derive(Debug)]
struct Open {
    association: AssociationId,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    /// For this identity.
    Identity(Box<str>),
    /// For the common name of this certificate.
    CommonName(Box<CertificateInfo>, Box<str>),
    /// For the fingerprint of this certificate.
    Fingerprint(Box<CertificateInfo>),
}

/// What a handshake is told.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The holder of this key may come in.
    Key(PreSharedKey, Known),
    /// It may come in.
    Accept(Known),
    /// It may not.
    Deny(DenyReason),
    /// That could not be found out.
    Unavailable,
}

/// What comes of an answer: a verdict, or the next question.
enum Step {
    Done(Verdict),
    Ask(Asked),
}

impl Desk {
    /// A desk that asks `platform`, which answers by way of `reply_to`.
    pub(super) fn new(platform: Arc<dyn Platform>, reply_to: ReplyTo) -> Self {
        Self {
            platform,
            reply_to,
            next: 0,
            open: HashMap::new(),
        }
    }

    /// Takes a question of a handshake; the verdict when it needs nobody else.
    pub(super) fn ask(
        &mut self,
        association: AssociationId,
        query: CredentialQuery,
    ) -> Option<Verdict> {
        let asked = match query {
            CredentialQuery::PreSharedKey { identity } => Asked::Identity(identity),
            CredentialQuery::RawPublicKey { spki } => {
                return Some(Verdict::Accept(Known {
                    identity: PeerIdentity::RawPublicKey(spki.into_vec().into()),
                    endpoint: None,
                    admission: None,
                }));
            }
            CredentialQuery::Certificate(certificate) => match &certificate.common_name {
                Some(name) if certificate.path == CertificatePath::Trusted => {
                    let name = name.clone();
                    Asked::CommonName(certificate, name)
                }
                Some(_) | None => Asked::Fingerprint(certificate),
            },
        };
        self.put(association, asked)
    }

    /// Takes an answer of the platform; the verdict on an association, unless there is more to ask.
    pub(super) fn answer(&mut self, reply: Reply) -> Option<(AssociationId, Verdict)> {
        // Nothing else is asked for.
        let Reply::Answer { id, result } = reply else {
            return None;
        };
        let Open { association, asked } = self.open.remove(&id)?;
        let result = match result {
            Ok(Answer::Credentials(admission)) => Ok(admission),
            Ok(Answer::Models(_) | Answer::Package(_) | Answer::PackageBytes(_)) => {
                Err(QuestionError::Invalid)
            }
            Err(error) => Err(error),
        };
        let verdict = match judge(asked, result) {
            Step::Done(verdict) => Some(verdict),
            Step::Ask(asked) => self.put(association, asked),
        };
        Some((association, verdict?))
    }

    /// Asks the platform; the verdict when it does not take the question.
    fn put(&mut self, association: AssociationId, asked: Asked) -> Option<Verdict> {
        let credentials_id = match &asked {
            Asked::Identity(id) | Asked::CommonName(_, id) => id.to_string(),
            Asked::Fingerprint(certificate) => certificate.fingerprint.to_string(),
        };
        let id = RequestId(self.next);
        self.next += 1;
        let question = Question::Credentials { id: credentials_id };
        let submitted = self
            .platform
            .submit(Uplink::Question { id, question }, &self.reply_to);
        if submitted.is_err() {
            return Some(Verdict::Unavailable);
        }
        self.open.insert(id, Open { association, asked });
        None
    }
}

fn judge(asked: Asked, result: Result<Arc<Admission>, QuestionError>) -> Step {
    let admission = match result {
        Ok(admission) => Some(admission),
        Err(QuestionError::Unavailable | QuestionError::Limited) => {
            return Step::Done(Verdict::Unavailable);
        }
        Err(QuestionError::NotFound | QuestionError::Invalid) => None,
    };
    match asked {
        Asked::Identity(identity) => Step::Done(
            admission
                .and_then(|admission| key(&identity, admission))
                .unwrap_or(Verdict::Deny(DenyReason::UnknownIdentity)),
        ),
        Asked::CommonName(certificate, name) => match admission {
            Some(admission) if is_chain_document(&admission.client, &name) => {
                let credentials_id = name.to_string();
                Step::Done(accept(&certificate, credentials_id, admission))
            }
            Some(_) | None => Step::Ask(Asked::Fingerprint(certificate)),
        },
        Asked::Fingerprint(certificate) => Step::Done(match admission {
            Some(admission) if is_pinned_document(&admission.client, &certificate.der) => {
                accept(&certificate, certificate.fingerprint.to_string(), admission)
            }
            Some(_) | None => Verdict::Deny(match certificate.path {
                CertificatePath::Trusted => DenyReason::CertificateUnknown,
                CertificatePath::Untrusted | CertificatePath::NoTrustStore => DenyReason::UnknownCa,
            }),
        }),
    }
}

/// The key of an identity, if the document found is for it.
fn key(identity: &str, admission: Arc<Admission>) -> Option<Verdict> {
    let ClientCredentials::Psk {
        identity: own, key, ..
    } = &admission.client
    else {
        return None;
    };
    if own != identity {
        return None;
    }
    let bytes = key_text::hex(key.trim()).map(Zeroizing::new);
    let key = bytes
        .filter(|bytes| (MIN_KEY..=MAX_KEY).contains(&bytes.len()))
        .and_then(|bytes| {
            let identity = PskIdentity::with_key(identity, &bytes);
            PreSharedKey::new(&bytes).map(|key| (key, identity))
        });
    let Some((key, identity)) = key else {
        tracing::warn!(device = %admission.device.device, "the pre-shared key of a device cannot be used");
        return None;
    };
    let known = Known {
        identity: PeerIdentity::PreSharedKey(identity),
        endpoint: Some(EndpointName::new(admission.client.endpoint())),
        admission: Some(admission),
    };
    Some(Verdict::Key(key, known))
}

fn accept(
    certificate: &CertificateInfo,
    credentials_id: String,
    admission: Arc<Admission>,
) -> Verdict {
    let common_name = certificate.common_name.as_deref().unwrap_or_default();
    let endpoint = admission.client.endpoint();
    Verdict::Accept(Known {
        identity: PeerIdentity::Certificate {
            common_name: common_name.into(),
            endpoint: endpoint.into(),
            credentials_id: credentials_id.into(),
        },
        endpoint: Some(EndpointName::new(endpoint)),
        admission: Some(admission),
    })
}

/// Whether a document admits any trusted certificate of this name.
fn is_chain_document(client: &ClientCredentials, name: &str) -> bool {
    let ClientCredentials::X509 { endpoint, cert } = client else {
        return false;
    };
    endpoint == name
        && cert
            .as_deref()
            .is_none_or(|pinned| pinned.trim().is_empty())
}

/// Whether a document admits this very certificate.
fn is_pinned_document(client: &ClientCredentials, der: &[u8]) -> bool {
    let ClientCredentials::X509 {
        cert: Some(pinned), ..
    } = client
    else {
        return false;
    };
    key_text::base64(pinned).is_some_and(|pinned| pinned == der)
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

/// Bytes of a pre-shared key (`security.md` 2.1).
const MIN_KEY: usize = 16;
const MAX_KEY: usize = 64;
