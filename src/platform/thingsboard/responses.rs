//! Answers from the core to the questions that are open.

use std::sync::Arc;

use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use uuid::Uuid;

use super::super::uplink::QuestionError;
use super::{
    consumer::Handler,
    convert::{Answer, ConvertError, answer},
    engine::Engine,
    poison::Poison,
    request::REQUEST_ID,
};

/// Handles the records of the response topic.
pub(super) struct Responses {
    engine: Arc<Engine>,
    poison: Poison,
}

impl Responses {
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            poison: Poison::default(),
        }
    }
}

impl Handler for Responses {
    type Item = (Uuid, Result<Answer, QuestionError>);

    fn read(&mut self, message: &BorrowedMessage<'_>) -> Option<Self::Item> {
        let unreadable = &self.engine.stats.unreadable_answers;
        let id = message
            .headers()
            .and_then(|headers| headers.iter().find(|header| header.key == REQUEST_ID))
            .and_then(|header| Uuid::from_slice(header.value?).ok());
        let Some(id) = id else {
            let error = format_args!("no usable header `{REQUEST_ID}`");
            self.poison.note(unreadable, message, &error);
            return None;
        };
        let answer = answer(message.payload().unwrap_or_default()).map_err(|error| {
            self.poison.note(unreadable, message, &error);
            verdict(&error)
        });
        Some((id, answer))
    }

    fn at_most_once(&self, _: &Self::Item) -> bool {
        false
    }

    fn handle(&mut self, (id, answer): Self::Item) {
        self.engine.take_answer(id, answer);
    }

    fn give_up(&mut self, _: Self::Item) {}
}

/// What the asker makes of an answer that cannot be used. Bytes that are no message say nothing about the device, so
/// it is put off and not refused (hardening A60).
const fn verdict(error: &ConvertError) -> QuestionError {
    match error {
        ConvertError::Protobuf(_) => QuestionError::Unavailable,
        ConvertError::Json(_) | ConvertError::Missing(_) | ConvertError::Transport(_) => {
            QuestionError::Invalid
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a60_garbage_puts_a_device_off_and_does_not_refuse_it() {
        let garbage = answer(b"\xff\xff\xff").unwrap_err();
        assert_eq!(verdict(&garbage), QuestionError::Unavailable);
        // deviceInfo with a name, and no profile: validateCredResponseMsg { deviceInfo { deviceName: "a" } }
        let unusable = answer(b"\x0a\x05\x0a\x03\x2a\x01a").unwrap_err();
        assert_eq!(unusable, ConvertError::Missing("deviceProfile"));
        assert_eq!(verdict(&unusable), QuestionError::Invalid);
    }
}
