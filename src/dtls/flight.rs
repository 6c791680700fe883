//! Flights of handshake messages and their retransmission (RFC 6347 section 4.2.4): one's own side of a handshake.

use std::time::{Duration, Instant};

use super::{
    channel::Channel,
    message::{Fragment, HEADER, MessageType, whole},
    random::Random,
    record::{CHANGE_CIPHER_SPEC, HANDSHAKE},
};

/// The messages sent together that the peer answers, or the last ones of a handshake.
#[derive(Debug, Default)]
pub(super) struct Flight {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    /// A whole message, header included.
    Message {
        epoch: u16,
        message: Vec<u8>,
    },
    ChangeCipherSpec,
}

impl Flight {
    /// Adds a message of epoch 0; the bytes that belong into the transcript.
    pub(super) fn add(
        &mut self,
        message_type: MessageType,
        message_seq: u16,
        body: &[u8],
    ) -> &[u8] {
        self.add_in_epoch(0, message_type, message_seq, body)
    }

    /// Adds ChangeCipherSpec, and Finished in epoch 1; the bytes of the latter.
    pub(super) fn add_finished(&mut self, message_seq: u16, verify_data: &[u8; 12]) -> &[u8] {
        self.parts.push(Part::ChangeCipherSpec);
        self.add_in_epoch(1, MessageType::Finished, message_seq, verify_data)
    }

    fn add_in_epoch(
        &mut self,
        epoch: u16,
        message_type: MessageType,
        message_seq: u16,
        body: &[u8],
    ) -> &[u8] {
        let message = whole(message_type as u8, message_seq, body);
        self.parts.push(Part::Message { epoch, message });
        match self.parts.last() {
            Some(Part::Message { message, .. }) => message,
            Some(Part::ChangeCipherSpec) | None => &[],
        }
    }

    /// Writes the flight as datagrams of at most `mtu` bytes, with fresh record numbers.
    pub(super) fn datagrams(
        &self,
        channel: &mut Channel,
        mtu: usize,
        random: &mut dyn Random,
    ) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut datagram = Vec::new();
        for part in &self.parts {
            match part {
                Part::ChangeCipherSpec => {
                    if datagram
                        .len()
                        .saturating_add(channel.overhead(0))
                        .saturating_add(1)
                        > mtu
                    {
                        datagrams.push(std::mem::take(&mut datagram));
                    }
                    channel.write_plain(CHANGE_CIPHER_SPEC, &[1], &mut datagram);
                }
                Part::Message { epoch, message } => {
                    let (header, body) = message.split_at_checked(HEADER).unwrap_or_default();
                    let message_type = header.first().copied().unwrap_or_default();
                    let message_seq = header.get(4..6).and_then(|seq| seq.try_into().ok());
                    let message_seq = u16::from_be_bytes(message_seq.unwrap_or_default());
                    let mut offset = 0;
                    loop {
                        let left = body.len().saturating_sub(offset);
                        let overhead = channel.overhead(*epoch).saturating_add(HEADER);
                        let room = mtu.saturating_sub(datagram.len()).saturating_sub(overhead);
                        if room < left.min(WORTH_A_FRAGMENT) && !datagram.is_empty() {
                            datagrams.push(std::mem::take(&mut datagram));
                            continue;
                        }
                        // A fragment has one byte even where none would fit, so that this ends.
                        let length = left
                            .min(room.max(1))
                            .min(channel.max_content().saturating_sub(HEADER));
                        let end = offset.saturating_add(length);
                        let mut content = Vec::with_capacity(length.saturating_add(HEADER));
                        Fragment {
                            message_type,
                            length: body.len(),
                            message_seq,
                            offset,
                            body: body.get(offset..end).unwrap_or_default(),
                        }
                        .write(&mut content);
                        match epoch {
                            0 => channel.write_plain(HANDSHAKE, &content, &mut datagram),
                            _ => _ = channel.seal(HANDSHAKE, &content, random, &mut datagram),
                        }
                        offset = end;
                        if offset >= body.len() {
                            break;
                        }
                    }
                }
            }
        }
        datagrams.push(datagram);
        datagrams
    }
}

/// When a flight is sent again.
#[derive(Clone, Debug)]
pub(super) struct Retransmission {
    /// `None`: the peer is about to answer, or was told often enough.
    pub(super) due: Option<Instant>,
    timeout: Duration,
    sent: u32,
    last_sent: Instant,
}

/// What to do when a flight has not been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    Nothing,
    SendAgain,
    GiveUp,
}

impl Retransmission {
    /// A flight is sent for the first time.
    pub(super) fn start(now: Instant, timeout: Duration) -> Self {
        Self {
            due: now.checked_add(timeout),
            timeout,
            sent: 1,
            last_sent: now,
        }
    }

    /// The peer answers.
    pub(super) const fn stop(&mut self) {
        self.due = None;
    }

    /// Time passed.
    pub(super) fn handle_timeout(&mut self, now: Instant, max_retransmissions: u32) -> Unanswered {
        if self.due.is_none_or(|due| now < due) {
            return Unanswered::Nothing;
        }
        if self.sent > max_retransmissions {
            self.due = None;
            return Unanswered::GiveUp;
        }
        self.timeout = self.timeout.saturating_mul(2).min(MAX_TIMEOUT);
        self.due = now.checked_add(self.timeout);
        self.sent = self.sent.saturating_add(1);
        self.last_sent = now;
        Unanswered::SendAgain
    }

    /// The peer repeats its own flight: whether ours is sent again for that, not more than once a second.
    pub(super) fn admits_repetition(&mut self, now: Instant) -> bool {
        let admitted = now.saturating_duration_since(self.last_sent) >= Duration::from_secs(1);
        if admitted {
            self.last_sent = now;
        }
        admitted
    }

    /// The size of datagrams: halved when the flight was sent in vain twice, as it may be too large for the path.
    pub(super) fn mtu(&self, mtu: usize) -> usize {
        if self.sent > 2 {
            (mtu >> 1).max(MIN_MTU)
        } else {
            mtu
        }
    }
}

/// A fragment is not begun in less than this, unless it is the message's end.
const WORTH_A_FRAGMENT: usize = 64;
/// RFC 6347 section 4.2.4.1
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
const MIN_MTU: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtls::{
        codec::Reader,
        reassembly::Reassembly,
        record::Record,
        test_support::{random, start},
    };

    /// Puts the messages together from the records, and counts them.
    fn read(datagrams: &mut [Vec<u8>]) -> (usize, Vec<Vec<u8>>) {
        let mut reassembly = Reassembly::default();
        let mut records = 0;
        for datagram in datagrams {
            let mut rest = &mut datagram[..];
            while !rest.is_empty() {
                let (record, more) = Record::split_first(rest, 0).expect("well-formed");
                assert_eq!(record.header.sequence, 40 + records as u64);
                records += 1;
                if record.header.content_type == HANDSHAKE {
                    let fragment =
                        Fragment::read(&mut Reader::new(record.fragment)).expect("well-formed");
                    reassembly.insert(&fragment, 0, 8192).expect("in bounds");
                }
                rest = more;
            }
        }
        (
            records,
            (0..)
                .map_while(|seq| reassembly.take(seq))
                .map(|whole| whole.body)
                .collect(),
        )
    }

    #[test]
    fn messages_share_datagrams_and_are_split() {
        let mut flight = Flight::default();
        flight.add(MessageType::ServerHello, 0, &[1; 80]);
        flight.add(MessageType::Certificate, 1, &[2; 1500]);
        flight.add(MessageType::ServerHelloDone, 2, &[]);
        for (mtu, limit, datagrams, records) in
            [(1232, 16384, 2, 4), (300, 16384, 6, 8), (1232, 512, 2, 5)]
        {
            let mut channel = Channel::new(40);
            channel.limit = limit;
            let mut written = flight.datagrams(&mut channel, mtu, &mut random(1));
            assert!(written.iter().all(|datagram| datagram.len() <= mtu));
            assert_eq!(written.len(), datagrams, "{mtu} {limit}");
            let (count, messages) = read(&mut written);
            assert_eq!(count, records, "{mtu} {limit}");
            assert_eq!(messages, [vec![1; 80], vec![2; 1500], vec![]]);
        }
    }

    #[test]
    fn timeouts_double_until_the_last_retransmission() {
        let begin = start();
        let mut retransmission = Retransmission::start(begin, Duration::from_secs(9));
        let mut sent = Vec::new();
        while let Some(due) = retransmission.due {
            assert_eq!(
                retransmission.handle_timeout(due - Duration::from_millis(1), 3),
                Unanswered::Nothing
            );
            let seconds = (due - begin).as_secs();
            sent.push((
                seconds,
                retransmission.handle_timeout(due, 3),
                retransmission.mtu(1232),
            ));
        }
        assert_eq!(
            sent,
            [
                (9, Unanswered::SendAgain, 1232),
                (27, Unanswered::SendAgain, 616),
                (63, Unanswered::SendAgain, 616),
                (123, Unanswered::GiveUp, 616),
            ]
        );
    }

    #[test]
    fn a_repeated_flight_is_answered_once_a_second() {
        let begin = start();
        let mut retransmission = Retransmission::start(begin, Duration::from_secs(9));
        let mut admits = |milliseconds| {
            retransmission.admits_repetition(begin + Duration::from_millis(milliseconds))
        };
        assert!(!admits(999) && admits(1000) && !admits(1999) && admits(2000));
    }
}
