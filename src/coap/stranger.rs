//! Peers without a registration: what the message layer answers them by itself, and a bounded memory of other answers.
//!
//! Nothing here keeps state for a peer until the application answers a request of it, and then a fixed number of answers
//! in all, so datagrams with forged sources cost no memory. No answer is longer than its message (RFC 7252 section 11.3).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    encode::{self, Response},
    message::{Message, MessageId, MessageType, ParseError, Token},
    retransmission::later,
};

/// What becomes of a message from a peer without a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is a request that can be processed: the application decides.
    Process,
    /// The message layer is done with it: `answer`, if any, goes back.
    Settled {
        /// Why.
        reason: Reason,
        /// What goes back.
        answer: Option<Bytes>,
    },
}

/// Why the message layer alone settles a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// An option is unknown, out of bounds or repeated: 4.02, or 5.05 to who takes us for a proxy.
    BadOption,
    /// A non-confirmable message that was answered before: no answer.
    Duplicate,
    /// It is no well-formed message: RST to a confirmable one.
    FormatError,
    /// A ping: RST.
    Ping,
    /// An ACK or RST, and nothing was sent to this peer: no answer.
    Unmatched,
    /// A response or notification, and nobody here asked: RST.
    UnknownToken,
}

/// Judges one datagram, as [`Message::parse`] took it, of a peer without a registration (RFC 7252 sections 4.2, 4.3,
/// 5.4.1; RFC 7641 section 3.6). The same datagram always gets the same answer.
pub fn judge(parsed: Result<&Message, &ParseError>) -> Verdict {
    let settled = |reason, answer| Verdict::Settled { reason, answer };
    let message = match parsed {
        Ok(message) => message,
        Err(error) => return settled(Reason::FormatError, error.reset()),
    };
    let reset = || Some(encode::empty(MessageType::Reset, message.message_id()));
    let confirmable = match message.message_type() {
        MessageType::Acknowledgement | MessageType::Reset => {
            return settled(Reason::Unmatched, None);
        }
        MessageType::Confirmable => true,
        MessageType::NonConfirmable => false,
    };
    if message.code().is_empty() {
        return if confirmable {
            settled(Reason::Ping, reset())
        } else {
            settled(Reason::FormatError, None)
        };
    }
    if message.code().is_response() {
        return settled(Reason::UnknownToken, reset());
    }
    match message.refusal() {
        None => Verdict::Process,
        Some(code) => {
            let answer = confirmable.then(|| {
                encode::response(
                    &Response::new(code),
                    MessageType::Acknowledgement,
                    message.message_id(),
                    message.token(),
                )
            });
            settled(Reason::BadOption, answer)
        }
    }
}

/// The answers given to peers without a registration, for their duplicates (RFC 7252 section 4.5): a fixed number, the
/// least recently used one making room.
///
/// A duplicate has the token of the original, too: a device that has rebooted, and begins with the message id it began with
/// before, is not answered as it was then.
#[derive(Debug)]
pub struct AnswerCache<P> {
    answers: BTreeMap<(P, MessageId, Token), Cached>,
    /// The keys by the time of their last use.
    uses: BTreeMap<u64, (P, MessageId, Token)>,
    capacity: usize,
    lifetime: Duration,
    clock: u64,
}

#[derive(Debug)]
struct Cached {
    answer: Bytes,
    expires: Instant,
    last_use: u64,
}

impl<P: Copy + Ord> AnswerCache<P> {
    /// An empty cache of at most `capacity` answers, each kept for `lifetime` (EXCHANGE_LIFETIME).
    pub const fn new(capacity: usize, lifetime: Duration) -> Self {
        Self {
            answers: BTreeMap::new(),
            uses: BTreeMap::new(),
            capacity,
            lifetime,
            clock: 0,
        }
    }

    /// The answer that this message of this peer got before; `None` if it is new.
    pub fn answer(&mut self, now: Instant, peer: P, id: MessageId, token: Token) -> Option<Bytes> {
        let key = (peer, id, token);
        let cached = self
            .answers
            .get_mut(&key)
            .filter(|cached| cached.expires > now)?;
        self.uses.remove(&cached.last_use);
        self.clock = self.clock.wrapping_add(1);
        cached.last_use = self.clock;
        self.uses.insert(self.clock, key);
        Some(cached.answer.clone())
    }

    /// Remembers the answer to a message.
    pub fn remember(
        &mut self,
        now: Instant,
        peer: P,
        message_id: MessageId,
        token: Token,
        answer: Bytes,
    ) {
        let key = (peer, message_id, token);
        self.clock = self.clock.wrapping_add(1);
        let cached = Cached {
            answer,
            expires: later(now, self.lifetime),
            last_use: self.clock,
        };
        if let Some(replaced) = self.answers.insert(key, cached) {
            self.uses.remove(&replaced.last_use);
        }
        self.uses.insert(self.clock, key);
        while self.answers.len() > self.capacity
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            self.answers.remove(&oldest);
        }
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap::test_support::start;

    fn judged(datagram: &'static [u8]) -> Verdict {
        let parsed = Message::parse(Bytes::from_static(datagram));
        let verdict = judge(parsed.as_ref());
        if let Verdict::Settled {
            answer: Some(answer),
            ..
        } = &verdict
        {
            assert!(answer.len() <= datagram.len(), "no amplification");
        }
        verdict
    }

    fn settled(reason: Reason, answer: &'static [u8]) -> Verdict {
        let answer = (!answer.is_empty()).then(|| Bytes::from_static(answer));
        Verdict::Settled { reason, answer }
    }

    #[test]
    fn c24_a_ping_of_a_stranger_gets_a_pong() {
        assert_eq!(
            judged(b"\x40\0\0\x09"),
            settled(Reason::Ping, b"\x70\0\0\x09")
        );
    }

    #[test]
    fn c06_a_malformed_con_of_a_stranger_gets_rst_and_the_rest_nothing() {
        assert_eq!(
            judged(b"\x40\x01\x12\x34\xff"),
            settled(Reason::FormatError, b"\x70\0\x12\x34")
        );
        for dropped in [
            b"\x50\x01\x12\x34\xff",
            b"\x60\x45\x12\x34\xff",
            b"\x70\x45\x12\x34\xff",
        ] {
            assert_eq!(judged(dropped), settled(Reason::FormatError, b""));
        }
        assert_eq!(judged(b"\x50\0\x12\x34"), settled(Reason::FormatError, b""));
    }

    #[test]
    fn c02_another_version_of_a_stranger_gets_nothing() {
        assert_eq!(
            judged(b"\x80\x01\x12\x34"),
            settled(Reason::FormatError, b"")
        );
    }

    #[test]
    fn c12_an_ack_or_rst_of_a_stranger_gets_nothing() {
        assert_eq!(judged(b"\x60\0\x12\x34"), settled(Reason::Unmatched, b""));
        assert_eq!(
            judged(b"\x61\x45\x12\x34\xaa"),
            settled(Reason::Unmatched, b"")
        );
        assert_eq!(judged(b"\x70\0\x12\x34"), settled(Reason::Unmatched, b""));
    }

    #[test]
    fn o09_a_notification_of_a_stranger_gets_rst_con_and_non() {
        let reset = settled(Reason::UnknownToken, b"\x70\0\x70\x01");
        assert_eq!(judged(b"\x42\x45\x70\x01\x52\x01\x61\x05"), reset);
        assert_eq!(judged(b"\x52\x45\x70\x01\x52\x01\x61\x05"), reset);
    }

    #[test]
    fn c17_a22_a_critical_option_that_is_unknown_gets_4_02() {
        // Option 9 (OSCORE), empty value
        assert_eq!(
            judged(b"\x41\x02\x12\x34\xa1\x90"),
            settled(Reason::BadOption, b"\x61\x82\x12\x34\xa1")
        );
        assert_eq!(
            judged(b"\x51\x02\x12\x34\xa1\x90"),
            settled(Reason::BadOption, b"")
        );
    }

    #[test]
    fn a_request_is_for_the_application() {
        assert_eq!(judged(b"\x40\x02\x12\x34\xb2rd"), Verdict::Process);
        assert_eq!(judged(b"\x50\x01\x12\x34"), Verdict::Process);
    }

    const LIFETIME: Duration = Duration::from_secs(247);

    fn answer(byte: u8) -> Bytes {
        Bytes::from(vec![byte])
    }

    #[test]
    fn an_answer_is_repeated_to_the_peer_that_got_it_for_its_lifetime() {
        let (mut cache, now) = (AnswerCache::new(10, LIFETIME), start());
        cache.remember(now, 1, MessageId(7), Token::default(), answer(1));
        cache.remember(now, 2, MessageId(7), Token::default(), answer(2));
        assert_eq!(
            cache.answer(now, 1, MessageId(7), Token::default()),
            Some(answer(1))
        );
        assert_eq!(
            cache.answer(now, 2, MessageId(7), Token::default()),
            Some(answer(2))
        );
        assert_eq!(cache.answer(now, 1, MessageId(8), Token::default()), None);
        assert_eq!(
            cache.answer(now + LIFETIME, 1, MessageId(7), Token::default()),
            None
        );
        cache.remember(now + LIFETIME, 1, MessageId(7), Token::default(), answer(3));
        assert_eq!(
            cache.answer(now + LIFETIME, 1, MessageId(7), Token::default()),
            Some(answer(3))
        );
        let other = Token::new(&[1]).unwrap();
        assert_eq!(cache.answer(now, 2, MessageId(7), other), None);
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn a02_the_least_recently_used_answer_makes_room() {
        let (mut cache, now) = (AnswerCache::new(2, LIFETIME), start());
        for peer in 1..=2 {
            cache.remember(now, peer, MessageId(0), Token::default(), answer(0));
        }
        assert!(
            cache
                .answer(now, 1, MessageId(0), Token::default())
                .is_some()
        );
        cache.remember(now, 3, MessageId(0), Token::default(), answer(0));
        assert_eq!(cache.answer(now, 2, MessageId(0), Token::default()), None);
        assert!(
            cache
                .answer(now, 1, MessageId(0), Token::default())
                .is_some()
        );
        for peer in 4..1000 {
            cache.remember(now, peer, MessageId(0), Token::default(), answer(0));
        }
        assert_eq!((cache.answers.len(), cache.uses.len()), (2, 2));
    }

    #[test]
    fn a_cache_without_capacity_keeps_nothing() {
        let mut cache = AnswerCache::new(0, LIFETIME);
        cache.remember(start(), 1, MessageId(0), Token::default(), answer(0));
        assert!(cache.is_empty());
    }
}
