//! ClientHello in epoch 0 (`dtls.md` sections 4.1, 4.5 and 4.7): without a good cookie it is answered and forgotten.

use std::time::Instant;

use super::{
    Server,
    handshake::{Handshake, ReceivedHello},
    limits::{address, network},
    negotiation::Negotiated,
};
use crate::dtls::{
    alert::Alert,
    channel::Channel,
    codec::Reader,
    event::{HandshakeFailure, Output, PeerAddress},
    message::{
        ClientHello, DTLS_1_0, DTLS_1_2, Fragment, MessageType, hello_verify_request, whole,
    },
    record::{ALERT, HANDSHAKE, Header, Record},
    stats::count,
};

impl Server {
    pub(super) fn handle_hello(&mut self, now: Instant, peer: PeerAddress, record: &Record<'_>) {
        let mut reader = Reader::new(record.fragment);
        let fragment = Fragment::read(&mut reader);
        // One in fragments would have to be kept.
        let hello = match &fragment {
            Ok(fragment) if fragment.is_whole() && reader.is_empty() => {
                ClientHello::read(fragment.body)
            }
            Ok(_) | Err(_) => Err(crate::dtls::codec::Malformed),
        };
        let (Ok(fragment), Ok(hello)) = (fragment, hello) else {
            return count(&mut self.core.stats.malformed);
        };
        let sequence = record.header.sequence;
        let wall = self.core.wall(now);
        if !self
            .cookies
            .is_good(wall, peer, self.core.config.port, &hello)
        {
            if !hello.cookie.is_empty() {
                count(&mut self.core.stats.bad_cookies);
            }
            return self.ask_for_cookie(now, peer, sequence, &hello);
        }

        if let Some(&id) = self.handshakes.get(&peer)
            && let Some(handshake) = self.table.handshake(id)
            && handshake.is_begun_by(&hello)
        {
            if handshake.is_unanswered() && handshake.retransmission.admits_repetition(now) {
                count(&mut self.core.stats.retransmissions);
                handshake.transmit(&mut self.core);
            }
            return;
        }
        if !self.has_room(now, peer) {
            return count(&mut self.core.stats.handshakes_limited);
        }
        if let Some(&id) = self.handshakes.get(&peer) {
            self.fail_handshake(now, id, HandshakeFailure::Replaced);
        }
        count(&mut self.core.stats.handshakes_started);
        let core = &self.core;
        let received = ReceivedHello {
            record: sequence,
            fragment,
            hello,
        };
        let begun = Negotiated::choose(&received.hello, &core.config, core.credentials.as_deref())
            .map_err(Some)
            .and_then(|negotiated| {
                let own_cid = self.new_cid(now, negotiated.wants_own_cid()).ok_or(None)?;
                Handshake::new(now, peer, &received, negotiated, own_cid, &mut self.core)
                    .map_err(Some)
            });
        match begun {
            Ok(handshake) => self.begin_handshake(handshake),
            Err(alert) => {
                let mut failure = HandshakeFailure::TooManyAssociations;
                if let Some(alert) = alert {
                    let mut channel = Channel::new(sequence);
                    self.send_plain_alert(now, peer, alert, &mut channel);
                    failure = HandshakeFailure::Refused(alert);
                }
                self.note_failure(peer, failure);
            }
        }
    }

    /// HelloVerifyRequest. Its numbers are those of the hello, so none have to be kept (RFC 6347 section 4.2.1).
    fn ask_for_cookie(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        sequence: u64,
        hello: &ClientHello<'_>,
    ) {
        if !self.hello_limits.admit(now, network(peer.remote.ip())) {
            return count(&mut self.core.stats.hello_verify_requests_limited);
        }
        let cookie = self
            .cookies
            .make(self.core.wall(now), peer, self.core.config.port, hello);
        // Some clients never complete when the version is another than theirs.
        let version = if hello.version == DTLS_1_2 {
            DTLS_1_2
        } else {
            DTLS_1_0
        };
        let body = hello_verify_request(version, cookie.as_ref());
        let message = whole(MessageType::HelloVerifyRequest as u8, 0, &body);
        let mut datagram = Vec::new();
        Header {
            version,
            ..Header::new(HANDSHAKE, 0, sequence)
        }
        .write(message.len(), &mut datagram);
        datagram.extend(message);
        count(&mut self.core.stats.hello_verify_requests);
        self.core.outputs.push_back(Output::Transmit {
            peer,
            datagram: datagram.into(),
        });
    }

    /// Whether one more handshake may begin. One from the same address does not count: it will be replaced.
    fn has_room(&mut self, now: Instant, peer: PeerAddress) -> bool {
        let replaced = usize::from(self.handshakes.contains_key(&peer));
        let config = &self.core.config;
        let handshakes = self.table.handshakes().saturating_sub(replaced);
        let replaced = u32::try_from(replaced).unwrap_or(0);
        let ip = peer.remote.ip();
        handshakes < config.max_handshakes
            && self.by_address.of(&ip).saturating_sub(replaced) < config.max_handshakes_per_address
            && self.by_network.of(&network(ip)).saturating_sub(replaced)
                < config.max_handshakes_per_network
            && (self.table.associations() < config.max_associations || self.has_stale(now))
    }

    /// Sends a fatal alert in clear, within limits.
    pub(super) fn send_plain_alert(
        &mut self,
        now: Instant,
        peer: PeerAddress,
        alert: Alert,
        channel: &mut Channel,
    ) {
        if !self.alert_limits.admit(now, address(peer.remote.ip())) || !self.alert_limit.admit(now)
        {
            return count(&mut self.core.stats.alerts_limited);
        }
        count(&mut self.core.stats.alerts);
        let mut datagram = Vec::new();
        channel.write_plain(ALERT, &alert.fatal(), &mut datagram);
        self.core.outputs.push_back(Output::Transmit {
            peer,
            datagram: datagram.into(),
        });
    }
}
