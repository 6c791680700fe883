//! Records of the core that cannot be read: counted, said with their place, and skipped.

use std::fmt::Display;

use rdkafka::{Message, message::BorrowedMessage};
use tracing::warn;

use super::{clock, seldom::Seldom, stats::Counter};

/// What is said of the unreadable records of one topic.
#[derive(Debug, Default)]
pub(super) struct Poison(Seldom);

impl Poison {
    /// Counts a record that cannot be read, and says so.
    pub(super) fn note(
        &mut self,
        counter: &Counter,
        record: &BorrowedMessage<'_>,
        error: &dyn Display,
    ) {
        counter.add();
        if let Some(left_out) = self.0.due(clock::now().mono) {
            warn!(
                topic = record.topic(),
                partition = record.partition(),
                offset = record.offset(),
                %error,
                left_out,
                "a record of the core cannot be read and is skipped"
            );
        }
    }
}
