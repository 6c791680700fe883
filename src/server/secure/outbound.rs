//! The way to a peer of one shard: its plain socket, its DTLS engine, or that of the shard that has the association.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{
    dtls::{AssociationId, PeerAddress},
    platform::peer::{Disconnect, Outbound, PeerId},
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
        if link.try_send(command).is_err() {
            self.metrics.udp_dropped.of(DropReason::Shard).inc();
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
        self.ask(
            peer,
            |secure, id| secure.disconnect(id, cause),
            |id| Command::Disconnect(id, cause),
        );
    }
}

/// Commands that may wait for one shard.
const LINK_QUEUE: usize = 1024;
