//! The DTLS port of one server: its sockets, one for each shard, and what the engines behind them share.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc};

use rand::{SeedableRng as _, rngs::ChaCha20Rng};
use tokio::sync::{mpsc, watch};

use crate::{
    dtls::{Config, CookieSecret},
    platform::{Platform, peer::ServerRole, time::Clock},
    server::{Phase, keys::BothKeys, metrics::Metrics, socket::UdpTransport},
};

use super::{Command, Inbox, Links, ROUTED, Secure, SecureParts};

/// See the module's description.
pub(in crate::server) struct SecurePort {
    role: ServerRole,
    address: SocketAddr,
    config: Config,
    keys: watch::Receiver<BothKeys>,
    links: Links,
    /// What the shards take, the last one first.
    waiting: Vec<(std::net::UdpSocket, mpsc::Receiver<Command>)>,
}

/// One shard's part of a port, to be opened on its Arbiter.
pub(in crate::server) struct SecureShard {
    socket: std::net::UdpSocket,
    commands: mpsc::Receiver<Command>,
    parts: SecureParts,
    seed: [u8; 32],
}

impl SecurePort {
    /// How many sockets a port needs: connection ids that are too short do not say to which shard a device has moved.
    pub(in crate::server) fn shards(config: &Config, shards: usize) -> usize {
        match config.connection_id_length {
            Some(1..ROUTED) => 1,
            Some(_) | None => shards.min(usize::from(u8::MAX) + 1),
        }
    }

    /// A port of these sockets. `config` is for all shards together; `secret` is for its cookies.
    pub(in crate::server) fn new(
        role: ServerRole,
        address: SocketAddr,
        mut sockets: Vec<std::net::UdpSocket>,
        config: &Config,
        keys: watch::Receiver<BothKeys>,
        secret: [u8; 32],
        metrics: &Arc<Metrics>,
    ) -> Self {
        let shards = sockets.len().max(1);
        let limit = u32::try_from(shards).unwrap_or(u32::MAX);
        let (links, mut commands) = Links::new(shards, Arc::clone(metrics));
        sockets.reverse();
        commands.reverse();
        Self {
            role,
            address,
            config: Config {
                port: address.port(),
                max_handshakes: config.max_handshakes.div_ceil(shards),
                max_credential_queries: config.max_credential_queries.div_ceil(shards),
                negative_cache_entries: config.negative_cache_entries.div_ceil(shards),
                max_associations: config.max_associations.div_ceil(shards),
                alerts_per_second: config.alerts_per_second.div_ceil(limit),
                cookie_secret: Some(CookieSecret::new(secret)),
                ..config.clone()
            },
            keys,
            links,
            waiting: sockets.into_iter().zip(commands).collect(),
        }
    }

    /// Where it is.
    pub(in crate::server) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The ways to its shards.
    pub(in crate::server) fn links(&self) -> Links {
        self.links.clone()
    }

    /// The part of the next shard, if it has one. `seed` is for its engine alone.
    pub(in crate::server) fn next_shard(
        &mut self,
        shard: u8,
        seed: [u8; 32],
        platform: &Arc<dyn Platform>,
        clock: Clock,
        metrics: &Arc<Metrics>,
        phase: &watch::Receiver<Phase>,
    ) -> Option<SecureShard> {
        let (socket, commands) = self.waiting.pop()?;
        Some(SecureShard {
            socket,
            commands,
            parts: SecureParts {
                role: self.role,
                config: Config {
                    shard,
                    ..self.config.clone()
                },
                keys: self.keys.clone(),
                platform: Arc::clone(platform),
                clock,
                metrics: Arc::clone(metrics),
                phase: phase.clone(),
                links: self.links.clone(),
            },
            seed,
        })
    }
}

impl SecureShard {
    /// Opens it on the current Arbiter.
    pub(in crate::server) fn open(self) -> io::Result<(Rc<Secure>, Inbox)> {
        let transport = UdpTransport::new(self.socket, Arc::clone(&self.parts.metrics))?;
        let random = Box::new(ChaCha20Rng::from_seed(self.seed));
        Ok(Secure::new(self.parts, transport, random, self.commands))
    }
}
