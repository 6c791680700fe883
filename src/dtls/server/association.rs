//! An association: what is left of a handshake, and what its records lead to (`dtls.md` sections 4.5, 4.6, 5.3 and 6).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::core::Core;
use crate::dtls::{
    alert::{self, CLOSE_NOTIFY, NO_RENEGOTIATION},
    channel::{Channel, Opened},
    codec::Reader,
    event::{AssociationId, CloseReason, Output, PeerAddress, Principal, PrincipalTag, SendError},
    flight::{Flight, Retransmission},
    message::{Fragment, MessageType},
    record::{ALERT, APPLICATION_DATA, HANDSHAKE},
    stats::count,
};

/// Keys, numbers and the peer's name: all that is kept for a device that is silent.
#[derive(Debug)]
pub(super) struct Association {
    pub(super) channel: Channel,
    pub(super) peer: PeerAddress,
    pub(super) principal: Principal,
    pub(super) tag: PrincipalTag,
    /// When the last authentic record came.
    pub(super) last_activity: Instant,
    /// The credential was withdrawn: the next authentic record is answered with close_notify, and that is the end. Until
    /// then, and at most until this time, the keys are kept, so that a device that slept learns of it.
    pub(super) invalid_until: Option<Instant>,
    last_flight: Option<Box<LastFlight>>,
    /// How many bytes may still be sent to the peer's new address, of which only one record came.
    unconfirmed: Option<usize>,
    /// Forged records, in all and since the last authentic one.
    forged: u32,
    forged_in_a_row: u32,
    deaf_until: Option<Instant>,
}

/// ChangeCipherSpec and Finished, until it is sure that they arrived.
#[derive(Debug)]
struct LastFlight {
    flight: Flight,
    retransmission: Retransmission,
    until: Instant,
}

/// What a record leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The association goes on.
    Open,
    /// It is over; the owner knows that already when there is no reason.
    Over(Option<CloseReason>),
}

impl Association {
    pub(super) fn new(
        now: Instant,
        peer: PeerAddress,
        (channel, principal, tag, flight, retransmission): (
            Channel,
            Principal,
            PrincipalTag,
            Flight,
            Retransmission,
        ),
        core: &Core,
    ) -> Self {
        let keep = core.config.retransmission_timeout.saturating_mul(2);
        let last_flight = LastFlight {
            flight,
            retransmission,
            until: now.checked_add(keep).unwrap_or(now),
        };
        Self {
            channel,
            peer,
            principal,
            tag,
            last_activity: now,
            invalid_until: None,
            last_flight: Some(Box::new(last_flight)),
            unconfirmed: None,
            forged: 0,
            forged_in_a_row: 0,
            deaf_until: None,
        }
    }

    /// Takes an authentic record that came from `from` in a datagram of so many bytes.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        id: AssociationId,
        from: PeerAddress,
        datagram_length: usize,
        opened: Opened<'_>,
        core: &mut Core,
    ) -> Outcome {
        self.last_activity = now;
        self.forged_in_a_row = 0;
        let moved = opened.is_newest && from != self.peer && !self.channel.own_cid.is_empty();
        let before = self.peer;
        if moved {
            self.peer = from;
            self.unconfirmed = Some(datagram_length.saturating_mul(3));
        } else if from == self.peer {
            self.unconfirmed = None;
        }
        if self.invalid_until.is_some() {
            self.seal(ALERT, &CLOSE_NOTIFY, core);
            return Outcome::Over(None);
        }
        if moved {
            count(&mut core.stats.peers_moved);
            core.outputs.push_back(Output::PeerMoved {
                association: id,
                from: before,
                to: from,
            });
        }
        match opened.content_type {
            APPLICATION_DATA => {
                self.last_flight = None;
                if !opened.content.is_empty() {
                    let payload = Bytes::copy_from_slice(opened.content);
                    core.outputs.push_back(Output::Data {
                        association: id,
                        peer: from,
                        payload,
                    });
                }
                Outcome::Open
            }
            ALERT => match alert::read(opened.content) {
                Ok(alert::Received::CloseNotify) => {
                    self.seal(ALERT, &CLOSE_NOTIFY, core);
                    Outcome::Over(Some(CloseReason::ByPeer))
                }
                Ok(alert::Received::Fatal(code)) => Outcome::Over(Some(CloseReason::Alert(code))),
                Ok(alert::Received::Warning) => Outcome::Open,
                Err(_) => {
                    count(&mut core.stats.malformed);
                    Outcome::Open
                }
            },
            HANDSHAKE => {
                match Fragment::read(&mut Reader::new(opened.content)) {
                    Ok(fragment) if fragment.message_type == MessageType::Finished as u8 => {
                        self.repeat_last_flight(now, core);
                    }
                    Ok(fragment) if fragment.message_type == MessageType::ClientHello as u8 => {
                        self.seal(ALERT, &NO_RENEGOTIATION, core);
                    }
                    Ok(_) | Err(_) => count(&mut core.stats.malformed),
                }
                Outcome::Open
            }
            _ => {
                count(&mut core.stats.malformed);
                Outcome::Open
            }
        }
    }

    /// Notes a record that is not authentic.
    pub(super) fn handle_forged(&mut self, now: Instant, id: AssociationId, core: &mut Core) {
        self.forged = self.forged.saturating_add(1);
        if self.forged == MAX_FORGED && self.channel.has_short_tag() {
            core.outputs
                .push_back(Output::NeedsHandshake { association: id });
        }
        self.forged_in_a_row = self.forged_in_a_row.saturating_add(1);
        let limit = core.config.quiet_after_forgeries;
        if limit > 0 && self.forged_in_a_row >= limit {
            self.forged_in_a_row = 0;
            self.deaf_until = now.checked_add(core.config.quiet_time);
        }
    }

    /// Whether records are dropped unread.
    pub(super) fn is_deaf(&self, now: Instant) -> bool {
        self.deaf_until.is_some_and(|until| now < until)
    }

    /// Sends application data.
    pub(super) fn send(&mut self, payload: &[u8], core: &mut Core) -> Result<(), SendError> {
        let room = core.config.mtu.saturating_sub(self.channel.overhead(1));
        let max = self.channel.max_content().min(room);
        if payload.len() > max {
            return Err(SendError::TooLarge { max });
        }
        if let Some(left) = &mut self.unconfirmed {
            let size = payload.len().saturating_add(self.channel.overhead(1));
            *left = left.checked_sub(size).ok_or(SendError::Unconfirmed)?;
        }
        if self.seal(APPLICATION_DATA, payload, core) {
            Ok(())
        } else {
            Err(SendError::Closed)
        }
    }

    /// Sends a record. `false`: the numbers are used up.
    pub(super) fn seal(&mut self, content_type: u8, content: &[u8], core: &mut Core) -> bool {
        let mut datagram =
            Vec::with_capacity(content.len().saturating_add(self.channel.overhead(1)));
        let sealed = self
            .channel
            .seal(content_type, content, &mut *core.random, &mut datagram);
        if sealed {
            core.outputs.push_back(Output::Transmit {
                peer: self.peer,
                datagram: datagram.into(),
            });
        }
        sealed
    }

    /// The client repeats its Finished: ours did not arrive.
    fn repeat_last_flight(&mut self, now: Instant, core: &mut Core) {
        let Some(last) = &mut self.last_flight else {
            return;
        };
        if last.retransmission.admits_repetition(now) {
            count(&mut core.stats.retransmissions);
            for datagram in
                last.flight
                    .datagrams(&mut self.channel, core.config.mtu, &mut *core.random)
            {
                core.outputs.push_back(Output::Transmit {
                    peer: self.peer,
                    datagram: datagram.into(),
                });
            }
        }
    }

    /// The credential is withdrawn: the peer is told now, and again when it sends something.
    pub(super) fn invalidate(&mut self, now: Instant, core: &mut Core) {
        self.seal(ALERT, &CLOSE_NOTIFY, core);
        self.last_flight = None;
        self.invalid_until = now.checked_add(KEEP_INVALID);
    }

    #[cfg(test)]
    pub(super) const fn set_forged(&mut self, records: u32) {
        self.forged = records;
    }

    /// When it wants to be woken.
    pub(super) fn wake(&self) -> Option<Instant> {
        let last_flight = self.last_flight.as_ref().map(|last| last.until);
        [last_flight, self.invalid_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Outcome {
        if self.invalid_until.is_some_and(|until| until <= now) {
            return Outcome::Over(None);
        }
        self.last_flight.take_if(|last| last.until <= now);
        Outcome::Open
    }
}

/// Forged records with a tag of 8 bytes after which the keys should be replaced.
const MAX_FORGED: u32 = 1 << 20;
/// How long keys are kept to tell a device that its credential was withdrawn.
const KEEP_INVALID: Duration = Duration::from_secs(24 * 60 * 60);
