//! What becomes of a datagram from a peer that no endpoint owns.
//!
//! Most are answered at once, small and without state; an actor is made only for a Register that can be read. The
//! answers to strangers are remembered in a bounded cache, so a repetition is answered alike (RFC 7252 section 4.5).

use std::time::Instant;

use bytes::Bytes;

use crate::{
    coap::{
        Code, Message, MessageType, RateLimit, Response, TransmissionParameters, encode,
        stranger::{AnswerCache, Reason, Verdict, judge},
    },
    endpoint::{EndpointName, RegistrationId, Target, register_name},
    platform::peer::PeerId,
};

/// Message layer of the peers that no endpoint owns; one per shard.
#[derive(Debug)]
pub(super) struct Ingress {
    answers: AnswerCache<PeerId>,
    /// Bare RST: a flood of pings or stray notifications gets silence (A26).
    resets: RateLimit,
}

/// What to do with a stranger's datagram.
#[derive(Debug)]
pub(super) enum Decision {
    /// Send this answer.
    Answer(Bytes),
    /// Hand it to the endpoint that gave out this registration id, or refuse it.
    Registered(RegistrationId, Message),
    /// Hand it to the endpoint of this name, which may have to be made.
    Register(EndpointName, Message),
    /// Nothing; the message layer counted it for this reason.
    Drop(Option<Reason>),
}

impl Ingress {
    pub(super) fn new(parameters: &TransmissionParameters) -> Self {
        Self {
            answers: AnswerCache::new(ANSWERS, parameters.exchange_lifetime()),
            resets: RateLimit::new(RESETS_PER_SECOND),
        }
    }

    pub(super) fn decide(&mut self, now: Instant, peer: PeerId, payload: Bytes) -> Decision {
        let parsed = Message::parse(payload);
        let message = match (judge(parsed.as_ref()), parsed) {
            (Verdict::Process, Ok(message)) => message,
            (Verdict::Settled { reason, answer }, _) => {
                return match answer {
                    Some(answer) if self.resets.admit(now) => Decision::Answer(answer),
                    Some(_) | None => Decision::Drop(Some(reason)),
                };
            }
            (Verdict::Process, Err(_)) => return Decision::Drop(Some(Reason::FormatError)),
        };
        if let Some(answer) = self.answers.answer(now, peer, message.message_id()) {
            return Decision::Answer(answer);
        }
        let response = match Target::of(&message) {
            Target::Register => match register_name(&message) {
                Ok(name) => return Decision::Register(name, message),
                Err(response) => *response,
            },
            Target::Update(Some(id)) | Target::Deregister(Some(id)) => {
                return Decision::Registered(id, message);
            }
            Target::Update(None) | Target::Deregister(None) | Target::Unknown => {
                Response::new(Code::NOT_FOUND)
            }
            Target::Send => Response::with_diagnostic(Code::BAD_REQUEST, "no registration found"),
            Target::WrongMethod => Response::new(Code::METHOD_NOT_ALLOWED),
        };
        Decision::Answer(self.answer(now, peer, &message, &response))
    }

    /// Encodes an answer and remembers it for repetitions.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        peer: PeerId,
        message: &Message,
        response: &Response,
    ) -> Bytes {
        // A non-confirmable request is answered alike, under the message id it came with: nothing else is outstanding
        // towards a stranger, so no id of ours can clash.
        let message_type = match message.message_type() {
            MessageType::Confirmable => MessageType::Acknowledgement,
            MessageType::NonConfirmable | MessageType::Acknowledgement | MessageType::Reset => {
                MessageType::NonConfirmable
            }
        };
        let answer = encode::response(
            response,
            message_type,
            message.message_id(),
            message.token(),
        );
        self.answers
            .remember(now, peer, message.message_id(), answer.clone());
        answer
    }
}

/// Answers remembered per shard.
const ANSWERS: usize = 4096;
/// RST and 4.02 to strangers, per shard.
const RESETS_PER_SECOND: u32 = 1000;
