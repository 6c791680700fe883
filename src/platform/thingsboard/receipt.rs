//! Receipts of uplinks: whoever waits is answered once, whatever became of the records, and what the broker has is counted
//! as used.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::super::{
    downlink::{Reply, ReplyTo},
    uplink::{Outcome, UplinkId},
};
use super::{sync::lock, usage::Bill};

/// The receipt of one uplink: collects the outcomes of its records, replies once if somebody waits, and charges what was
/// stored.
///
/// It begins with one part, that of the caller who adds the others: the uplink cannot end before it is complete.
#[derive(Debug)]
pub(super) struct Receipt {
    /// Who waits for the uplink of this id.
    waits: Option<(UplinkId, ReplyTo)>,
    bill: Option<Bill>,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    open_parts: usize,
    outcome: Outcome,
    replied: bool,
}

impl Receipt {
    /// The receipt of an uplink; `None` when nobody waits for it and nothing is charged.
    pub(super) fn new(waits: Option<(UplinkId, ReplyTo)>, bill: Option<Bill>) -> Option<Self> {
        (waits.is_some() || bill.is_some()).then(|| Self {
            waits,
            bill,
            progress: Mutex::new(Progress {
                open_parts: 1,
                outcome: Outcome::Durable,
                replied: false,
            }),
        })
    }

    /// Whether somebody waits.
    pub(super) const fn is_awaited(&self) -> bool {
        self.waits.is_some()
    }

    /// Adds a part whose outcome must be known before the uplink ends.
    pub(super) fn add_part(&self) {
        let mut progress = lock(&self.progress);
        progress.open_parts = progress.open_parts.saturating_add(1);
    }

    /// One part has ended. The worst outcome counts: a record that may yet be stored when the device repeats it comes
    /// before one that never will.
    pub(super) fn end_part(&self, outcome: Outcome) {
        let mut progress = lock(&self.progress);
        progress.outcome = match (progress.outcome, outcome) {
            (Outcome::Unavailable, _) | (_, Outcome::Unavailable) => Outcome::Unavailable,
            (Outcome::Rejected(reason), _) | (_, Outcome::Rejected(reason)) => {
                Outcome::Rejected(reason)
            }
            (Outcome::Durable, Outcome::Durable) => Outcome::Durable,
        };
        progress.open_parts = progress.open_parts.saturating_sub(1);
        let outcome = progress.outcome;
        let ended = progress.open_parts == 0;
        let unanswered = ended && !std::mem::replace(&mut progress.replied, true);
        drop(progress);
        if unanswered {
            self.reply(outcome);
        }
        if ended
            && outcome == Outcome::Durable
            && let Some(bill) = &self.bill
        {
            bill.charge();
        }
    }

    /// Replies that the uplink could not be stored, unless a reply went out before.
    pub(super) fn expire(&self) {
        let replied = std::mem::replace(&mut lock(&self.progress).replied, true);
        if !replied {
            self.reply(Outcome::Unavailable);
        }
    }

    /// Takes the uplink back: no reply will go out.
    pub(super) fn cancel(&self) {
        lock(&self.progress).replied = true;
    }

    fn is_replied(&self) -> bool {
        lock(&self.progress).replied
    }

    fn reply(&self, outcome: Outcome) {
        if let Some((id, reply_to)) = &self.waits {
            reply_to.reply(Reply::Done { id: *id, outcome });
        }
    }
}

/// Receipts in the order of their deadlines, which are all equally far away.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: VecDeque<(Instant, Arc<Receipt>)>,
    closed: bool,
}

impl Deadlines {
    /// Adds a receipt; false when the deadlines are closed and nobody will look at it.
    pub(super) fn add(&mut self, now: Instant, receipt: &Arc<Receipt>) -> bool {
        if !self.closed {
            self.queue.push_back((now + PATIENCE, Arc::clone(receipt)));
        }
        !self.closed
    }

    /// Takes out what is due, and what has been answered and stands before it. The caller ends them by [`expire_all`].
    pub(super) fn due(&mut self, now: Instant) -> Vec<Arc<Receipt>> {
        let is_due = |(deadline, receipt): &&(Instant, Arc<Receipt>)| {
            *deadline <= now || receipt.is_replied()
        };
        let count = self.queue.iter().take_while(is_due).count();
        self.queue
            .drain(..count)
            .map(|(_, receipt)| receipt)
            .collect()
    }

    /// Takes out everything and accepts nothing more.
    pub(super) fn close(&mut self) -> Vec<Arc<Receipt>> {
        self.closed = true;
        self.queue.drain(..).map(|(_, receipt)| receipt).collect()
    }
}

/// Replies for all that have no reply yet.
pub(super) fn expire_all(receipts: Vec<Arc<Receipt>>) {
    receipts.iter().for_each(|receipt| receipt.expire());
}

/// How long a device waits at most for the fate of its uplink (`hardening.md` A59).
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::platform::{downlink::ReplySink, thingsboard::clock, uplink::RejectReason};

    #[derive(Debug)]
    struct Collector(mpsc::Sender<Reply>);

    impl ReplySink for Collector {
        fn reply(&self, reply: Reply) {
            self.0.send(reply).unwrap();
        }
    }

    fn receipt() -> (Arc<Receipt>, mpsc::Receiver<Reply>) {
        let (sender, replies) = mpsc::channel();
        let reply_to: ReplyTo = Arc::new(Collector(sender));
        let receipt = Receipt::new(Some((UplinkId(4), reply_to)), None).unwrap();
        (Arc::new(receipt), replies)
    }

    fn outcomes(replies: &mpsc::Receiver<Reply>) -> Vec<Outcome> {
        replies
            .try_iter()
            .map(|reply| match reply {
                Reply::Done { id, outcome } => {
                    assert_eq!(id, UplinkId(4));
                    outcome
                }
                Reply::Answer { .. } => panic!("not an answer"),
            })
            .collect()
    }

    #[test]
    fn replies_once_with_the_worst_outcome() {
        let too_large = Outcome::Rejected(RejectReason::TooLarge);
        for (parts, expected) in [
            (vec![], Outcome::Durable),
            (vec![Outcome::Durable, Outcome::Durable], Outcome::Durable),
            (vec![Outcome::Durable, too_large], too_large),
            (
                vec![too_large, Outcome::Unavailable, Outcome::Durable],
                Outcome::Unavailable,
            ),
        ] {
            let (receipt, replies) = receipt();
            for part in parts {
                receipt.add_part();
                receipt.end_part(part);
                assert_eq!(outcomes(&replies), []);
            }
            receipt.end_part(Outcome::Durable);
            assert_eq!(outcomes(&replies), [expected]);
        }
    }

    #[test]
    fn a59_a_device_is_answered_after_ten_seconds_and_only_then() {
        let (receipt, replies) = receipt();
        let start = clock::now().mono;
        let mut deadlines = Deadlines::default();
        deadlines.add(start, &receipt);
        expire_all(deadlines.due(start + Duration::from_millis(9_999)));
        assert_eq!(outcomes(&replies), []);
        expire_all(deadlines.due(start + Duration::from_secs(10)));
        assert_eq!(outcomes(&replies), [Outcome::Unavailable]);
        // The record arrives later all the same.
        receipt.end_part(Outcome::Durable);
        assert_eq!(outcomes(&replies), []);
    }

    #[test]
    fn what_was_answered_or_taken_back_does_not_wait_for_its_deadline() {
        let start = clock::now().mono;
        let mut deadlines = Deadlines::default();
        let (answered, _replies) = receipt();
        let (cancelled, replies) = receipt();
        deadlines.add(start, &answered);
        deadlines.add(start, &cancelled);
        answered.end_part(Outcome::Durable);
        cancelled.cancel();
        assert_eq!(deadlines.due(start).len(), 2);
        assert_eq!(deadlines.close().len(), 0);
        assert!(!deadlines.add(start, &cancelled));
        cancelled.end_part(Outcome::Durable);
        assert_eq!(outcomes(&replies), []);
    }
}
