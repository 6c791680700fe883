//! Answers from the core to the questions that are open.

use std::sync::Arc;

use rdkafka::{
    Message,
    message::{BorrowedMessage, Headers},
};
use tracing::warn;
use uuid::Uuid;

use super::super::uplink::QuestionError;
use super::{
    consumer::Handler,
    convert::{Answer, answer},
    engine::Engine,
    request::REQUEST_ID,
};

/// Handles the records of the response topic.
pub(super) struct Responses(pub(super) Arc<Engine>);

impl Handler for Responses {
    type Item = (Uuid, Result<Answer, QuestionError>);

    fn read(&mut self, message: &BorrowedMessage<'_>) -> Option<Self::Item> {
        let id = message
            .headers()
            .and_then(|headers| headers.iter().find(|header| header.key == REQUEST_ID))
            .and_then(|header| Uuid::from_slice(header.value?).ok());
        let Some(id) = id else {
            self.0.stats.garbage.add();
            return None;
        };
        let answer = answer(message.payload().unwrap_or_default()).map_err(|error| {
            self.0.stats.garbage.add();
            warn!(offset = message.offset(), %error, "an answer of the core cannot be used");
            QuestionError::Invalid
        });
        Some((id, answer))
    }

    fn at_most_once(&self, _: &Self::Item) -> bool {
        false
    }

    fn handle(&mut self, (id, answer): Self::Item) {
        self.0.take_answer(id, answer);
    }

    fn give_up(&mut self, _: Self::Item) {}
}
