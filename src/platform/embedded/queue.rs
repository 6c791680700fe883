//! The way to the embedded platform's thread: bounded for what can be refused, open for what must not be lost.
//!
//! A session that begins or ends is never refused: what the thread believes of sessions would be wrong until the next
//! Register. Their number is bounded by that of the endpoints, each of which has one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, RecvTimeoutError, Sender, channel},
};
use std::time::Duration;

use crate::platform::{SubmitError, Uplink};

use super::worker::Message;

/// The sending end.
#[derive(Clone, Debug)]
pub(super) struct MessageSender {
    messages: Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

/// The receiving end.
#[derive(Debug)]
pub(super) struct MessageReceiver {
    messages: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
}

/// Both ends of an empty queue.
pub(super) fn queue() -> (MessageSender, MessageReceiver) {
    let (sender, receiver) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (
        MessageSender {
            messages: sender,
            waiting: Arc::clone(&waiting),
        },
        MessageReceiver {
            messages: receiver,
            waiting,
        },
    )
}

impl MessageSender {
    /// Hands a message over.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] when too many wait, [`SubmitError::Stopped`] when the thread has ended.
    pub(super) fn send(&self, message: Message) -> Result<(), SubmitError> {
        if is_bounded(&message) {
            let room = self
                .waiting
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                    (waiting < QUEUE).then_some(waiting + 1)
                });
            if room.is_err() {
                return Err(SubmitError::Busy);
            }
        }
        self.messages
            .send(message)
            .map_err(|_| SubmitError::Stopped)
    }
}

impl MessageReceiver {
    pub(super) fn recv_timeout(&self, limit: Duration) -> Result<Message, RecvTimeoutError> {
        let message = self.messages.recv_timeout(limit)?;
        self.count(&message);
        Ok(message)
    }

    /// What waits now.
    pub(super) fn try_iter(&self) -> impl Iterator<Item = Message> {
        self.messages
            .try_iter()
            .inspect(|message| self.count(message))
    }

    fn count(&self, message: &Message) {
        if is_bounded(message) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

const fn is_bounded(message: &Message) -> bool {
    match message {
        Message::Uplink(uplink, _) => !matches!(
            uplink,
            Uplink::SessionOpened { .. } | Uplink::SessionClosed { .. }
        ),
        Message::Attributes(_) | Message::Rpc(_) => true,
        Message::Stop => false,
    }
}

/// Messages that may wait, beside those that are never refused.
const QUEUE: usize = 8192;

#[cfg(test)]
mod tests {
    use std::sync::Arc as Shared;

    use uuid::Uuid;

    use crate::platform::{
        DeviceInfo, PlatformId, Reply, ReplySink, ReplyTo, SessionId, SessionInfo,
    };

    use super::*;

    #[derive(Debug)]
    struct Nobody;

    impl ReplySink for Nobody {
        fn reply(&self, _: Reply) {}
    }

    #[test]
    fn a_full_queue_refuses_wishes_but_no_session() {
        let (sender, receiver) = queue();
        let session = Shared::new(SessionInfo {
            id: SessionId(Uuid::nil()),
            device: Shared::new(DeviceInfo {
                tenant: PlatformId::NULL,
                customer: PlatformId::NULL,
                device: PlatformId::NULL,
                profile: PlatformId::NULL,
                name: String::new(),
                kind: String::new(),
            }),
        });
        let reply_to: ReplyTo = Shared::new(Nobody);
        let send = |uplink| sender.send(Message::Uplink(uplink, Shared::clone(&reply_to)));
        let wish = || Uplink::PendingRpcWanted {
            session: Shared::clone(&session),
        };
        for _ in 0..QUEUE {
            assert_eq!(send(wish()), Ok(()));
        }
        assert_eq!(send(wish()), Err(SubmitError::Busy));
        let closed = Uplink::SessionClosed {
            session: Shared::clone(&session),
        };
        assert_eq!(send(closed), Ok(()));
        assert_eq!(receiver.try_iter().count(), QUEUE + 1);
        assert_eq!(send(wish()), Ok(()));
        drop(receiver);
        assert_eq!(send(wish()), Err(SubmitError::Stopped));
    }
}
