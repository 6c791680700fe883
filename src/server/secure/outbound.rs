//! The way to a peer of one shard: its plain socket, its DTLS engine, or that of the shard that has the association.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    dtls::{AssociationId, PeerAddress},
    platform::{
        name::EndpointName,
        peer::{Disconnect, Outbound, PeerId},
    },
    server::{
        metrics::{DropReason, Metrics},
        socket::UdpTransport,
    },
};

use super::Secure;

/// What one shard asks the DTLS engine of another to do.
#[derive(Debug)]
pub(in crate::server) enum Command {
    /// Take a datagram that the kernel gave to the wrong shard.
    Datagram {
        /// Who sent it.
        peer: PeerAddress,
        /// As it came.
        payload: Vec<u8>,
    },
    /// Send on an association.
    Send(AssociationId, Bytes),
    /// End an association.
    Disconnect(AssociationId, Disconnect),
    /// End all for which the platform's answer of this endpoint serves.
    Withdraw(EndpointName),
    /// The device of an association has registered.
    Admitted(AssociationId),
}

/// The ways to the DTLS engines of one server, by shard.
#[derive(Clone, Debug)]
pub(in crate::server) struct Links {
    shards: Arc<[mpsc::Sender<Command>]>,
    metrics: Arc<Metrics>,
}

impl Links {
    /// Ways to so many shards, and their ends.
    pub(in crate::server) fn new(
        shards: usize,
        metrics: Arc<Metrics>,
    ) -> (Self, Vec<mpsc::Receiver<Command>>) {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mpsc::channel(LINK_QUEUE)).unzip();
        let links = Self {
            shards: senders.into(),
            metrics,
        };
        (links, receivers)
    }

    /// Asks a shard; what does not fit in its queue is lost, as a datagram may be. A shard that does not exist is that of
    /// an association from before a restart: there is nobody to ask.
    pub(super) fn send(&self, shard: u8, command: Command) {
        let Some(link) = self.shards.get(usize::from(shard)) else {
            return;
        };
        let has_room = match command {
            // Anybody can cause these, with connection ids that are made up: they leave room for what is our own.
            Command::Datagram { .. } => link.capacity() > OWN_PLACES,
            Command::Send(..)
            | Command::Disconnect(..)
            | Command::Withdraw(_)
            | Command::Admitted(_) => true,
        };
        if !has_room || link.try_send(command).is_err() {
            self.metrics.udp_dropped.of(DropReason::Shard).inc();
        }
    }

    /// Asks every shard.
    fn send_all(&self, command: impl Fn() -> Command) {
        for (shard, _) in (0..=u8::MAX).zip(&*self.shards) {
            self.send(shard, command());
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }
}

/// See the module's description.
#[derive(Debug)]
pub(in crate::server) struct Transports {
    pub(in crate::server) plain: Rc<UdpTransport>,
    /// The engine of this shard, if it has one.
    pub(in crate::server) secure: Option<Rc<Secure>>,
    /// The ways to all, if there are any.
    pub(in crate::server) links: Option<Links>,
}

impl Transports {
    /// The device of a peer has registered, or is being bootstrapped.
    pub(in crate::server) fn admitted(&self, peer: PeerId) {
        self.ask(peer, |secure, id| secure.admitted(id), Command::Admitted);
    }

    fn ask(
        &self,
        peer: PeerId,
        own: impl FnOnce(&Rc<Secure>, AssociationId),
        other: impl FnOnce(AssociationId) -> Command,
    ) {
        let PeerId::Dtls(association) = peer else {
            return;
        };
        let id = AssociationId::from_number(association.number);
        match (&self.secure, &self.links) {
            (Some(secure), _) if secure.shard() == association.shard => own(secure, id),
            (_, Some(links)) => links.send(association.shard, other(id)),
            (_, None) => {}
        }
    }
}

impl Outbound for Transports {
    fn send(&self, peer: PeerId, payload: Bytes) {
        if matches!(peer, PeerId::Udp { .. }) {
            return self.plain.send(peer, payload);
        }
        let copy = payload.clone();
        self.ask(
            peer,
            |secure, id| secure.send(id, &payload),
            |id| Command::Send(id, copy),
        );
    }

    fn disconnect(&self, peer: PeerId, cause: Disconnect) {
        if let (Disconnect::Withdrawn(endpoint), Some(links)) = (&cause, &self.links) {
            links.send_all(|| Command::Withdraw(endpoint.clone()));
        }
        let copy = cause.clone();
        self.ask(
            peer,
            |secure, id| secure.disconnect(id, cause),
            |id| Command::Disconnect(id, copy),
        );
    }
}

/// Commands that may wait for one shard.
const LINK_QUEUE: usize = 1024;
/// Of these places, those that datagrams never take.
const OWN_PLACES: usize = LINK_QUEUE / 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::time::UnixMillis;

    #[test]
    fn datagrams_from_strangers_leave_room_for_our_own_commands() {
        let metrics = Arc::new(Metrics::new(UnixMillis(0)));
        let (links, mut receivers) = Links::new(1, Arc::clone(&metrics));
        let peer = PeerAddress {
            remote: ([192, 0, 2, 1], 5684).into(),
            local: None,
        };
        let datagrams = |count: usize| {
            for _ in 0..count {
                let payload = vec![25];
                links.send(0, Command::Datagram { peer, payload });
            }
        };
        let dropped = || metrics.udp_dropped.of(DropReason::Shard).get();
        let id = AssociationId::from_number(7);
        datagrams(2 * LINK_QUEUE);
        assert_eq!(dropped(), 2 * LINK_QUEUE as u64 - OWN_PLACES as u64);
        let before = dropped();
        for _ in 0..OWN_PLACES / 2 {
            links.send(0, Command::Admitted(id));
            links.send(0, Command::Disconnect(id, Disconnect::Replaced));
        }
        assert_eq!(dropped(), before, "all of ours have a place");
        links.send(0, Command::Send(id, Bytes::new()));
        assert_eq!(dropped(), before + 1, "there is an end to it");
        let commands: Vec<_> = std::iter::from_fn(|| receivers[0].try_recv().ok()).collect();
        assert_eq!(commands.len(), LINK_QUEUE);
        datagrams(1);
        assert!(receivers[0].try_recv().is_ok(), "there is room again");
    }
}
