//! Sockets, threads, directory, clock, shutdown, HTTP.
//!
//! A [`Server`] is one shard per core (`shard.rs`), each with its own socket on the same port, and a [`Directory`]
//! through which the platform reaches endpoints. How it stops is the caller's list (`cli/serve.rs`); each step is one
//! method here.

pub mod clock;
mod deliver;
pub mod directory;
pub mod http;
mod ingress;
mod metered;
pub mod metrics;
mod outbox;
pub mod records;
pub mod settings;
mod shard;
mod socket;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use actix::Arbiter;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    coap::Random,
    endpoint::{
        EndpointSettings, EndpointSummary,
        actor::{Describe, Stop, Unfinished},
    },
    platform::{Platform, time::Clock},
    store::Store,
};

use directory::{Control, Directory};
use http::{Endpoints, Health};
use metered::MeteredPlatform;
use metrics::Metrics;
use records::{Kept, Records};
use settings::{LimitSettings, NoSecSettings, RuntimeSettings};
use shard::{Shard, ShardParts};
use socket::UdpTransport;

pub use metered::MeteredSink;

/// How far a stop has come; each phase includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Endpoints are restored; datagrams wait in the sockets.
    Restoring,
    /// Everything is served.
    Serving,
    /// Registers of strangers are met with silence.
    Refusing,
    /// Device sockets are not read.
    NotReading,
}

/// The endpoints' side of a process before it has sockets: the platform needs the directory, the sockets need the
/// platform.
#[derive(Debug)]
pub struct Foundation {
    directory: Arc<Directory>,
    control: Vec<mpsc::Receiver<Control>>,
    runtime: RuntimeSettings,
    gate: Gate,
}

/// Lets the platform's messages through to a directory, at the latest when it is dropped.
#[derive(Debug)]
struct Gate(Arc<Directory>);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.complete();
    }
}

/// The running device side.
pub struct Server {
    directory: Arc<Directory>,
    arbiters: Vec<Arbiter>,
    phase: watch::Sender<Phase>,
    address: SocketAddr,
}

/// What a server is made of.
pub struct ServerParts {
    /// Where devices reach it.
    pub address: SocketAddr,
    /// Takes uplinks.
    pub platform: Arc<dyn Platform>,
    /// Reads the time.
    pub clock: Clock,
    /// Where endpoints are kept across restarts, if anywhere.
    pub store: Option<Arc<Store>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Hears that the shards are alive.
    pub health: Arc<Health>,
    /// What to refuse.
    pub limits: LimitSettings,
    /// What to ask of devices without transport security.
    pub nosec: NoSecSettings,
    /// What the endpoints share; the shard number is filled in.
    pub endpoint: EndpointSettings,
}

impl Foundation {
    /// A directory for as many shards as there are workers.
    pub fn new(runtime: RuntimeSettings) -> Self {
        let (senders, control) = (0..runtime.worker_count())
            .map(|_| mpsc::channel(CONTROL_QUEUE))
            .unzip();
        let directory = Arc::new(Directory::new(senders));
        Self {
            gate: Gate(Arc::clone(&directory)),
            directory,
            control,
            runtime,
        }
    }

    /// The way from the platform to the endpoints.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Binds the sockets, starts the shards, restores the endpoints that are on record, and serves. Needs a running actix
    /// system.
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(self, parts: ServerParts) -> Result<Server, StartError> {
        let shards = self.control.len();
        let sockets = socket::bind(parts.address, shards, self.runtime.udp_recv_buffer_bytes)
            .map_err(|source| StartError::Bind {
                address: parts.address,
                source,
            })?;
        let address = match sockets.first() {
            Some(socket) => socket.local_addr().map_err(StartError::Socket)?,
            None => parts.address,
        };
        let platform: Arc<dyn Platform> = Arc::new(MeteredPlatform::new(
            Arc::clone(&parts.platform),
            Arc::clone(&parts.metrics),
            parts.clock,
        ));
        let (phase, watch) = watch::channel(Phase::Restoring);
        let records = Arc::new(Records::new(parts.store, Arc::clone(&parts.metrics)));
        let mut arbiters = Vec::new();
        let (mut senders, mut restored) = (Vec::new(), Vec::new());
        for (index, (socket, control)) in sockets.into_iter().zip(self.control).enumerate() {
            let arbiter = Arbiter::new();
            let mut seed = [0; 32];
            rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed)
                .map_err(|error| StartError::Random(error.to_string()))?;
            let shard_number = u8::try_from(index).unwrap_or(u8::MAX);
            let parts = ShardParts {
                index,
                shards,
                directory: Arc::clone(&self.directory),
                platform: Arc::clone(&platform),
                clock: parts.clock,
                metrics: Arc::clone(&parts.metrics),
                phase: watch.clone(),
                records: Arc::clone(&records),
                heartbeat: parts
                    .health
                    .add_worker(format!("shard-{index}"), (parts.clock)().mono),
                limits: parts.limits.clone(),
                nosec: parts.nosec.clone(),
                endpoint_settings: Arc::new(EndpointSettings {
                    shard: shard_number,
                    ..parts.endpoint.clone()
                }),
            };
            let (started, start) = oneshot::channel();
            let (sender, kept) = mpsc::channel(RESTORE_QUEUE);
            let (done, all) = oneshot::channel();
            senders.push(sender);
            restored.push(all);
            arbiter.spawn(async move {
                let transport = match UdpTransport::new(socket, Arc::clone(&parts.metrics)) {
                    Ok(transport) => transport,
                    Err(error) => {
                        started.send(Err(error)).ok();
                        return;
                    }
                };
                let shard = Shard::new(parts, transport, Random::from_seed(seed));
                actix::spawn(Shard::control(control));
                actix::spawn(std::rc::Rc::clone(&shard).beat());
                actix::spawn(std::rc::Rc::clone(&shard).send());
                actix::spawn(std::rc::Rc::clone(&shard).restore(kept, done));
                actix::spawn(shard.receive());
                started.send(Ok(())).ok();
            });
            start
                .await
                .map_err(|_| StartError::Worker)?
                .map_err(StartError::Socket)?;
            arbiters.push(arbiter);
        }
        restore(&records, senders, restored).await?;
        drop(self.gate);
        match records.confirmed(CONFIRMATION).await {
            0 => {}
            unconfirmed => tracing::warn!(
                event = "restored_unconfirmed",
                unconfirmed,
                "the platform has not said what it knows of some restored endpoints; they are served when it has"
            ),
        }
        phase.send_replace(Phase::Serving);
        Ok(Server {
            directory: self.directory,
            arbiters,
            phase,
            address,
        })
    }
}

/// Hands the records to the shards, and waits until each has made endpoints of its own.
async fn restore(
    records: &Arc<Records>,
    senders: Vec<mpsc::Sender<Kept>>,
    restored: Vec<oneshot::Receiver<()>>,
) -> Result<(), StartError> {
    let own = Arc::clone(records);
    let handed_out = tokio::task::spawn_blocking(move || own.hand_out(&senders));
    handed_out.await.map_err(|_| StartError::Worker)?;
    for shard in restored {
        shard.await.map_err(|_| StartError::Worker)?;
    }
    Ok(())
}

impl Server {
    /// Where devices reach it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoints.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Meets Registers of strangers with silence from here on: their retransmission reaches whoever is next.
    pub fn refuse_newcomers(&self) {
        self.phase.send_replace(Phase::Refusing);
    }

    /// Waits until no endpoint has anything open, at most for `limit`. Returns how many still have.
    pub async fn finish_exchanges(&self, limit: Duration) -> usize {
        let finished = async {
            loop {
                let unfinished = self.unfinished().await;
                if unfinished == 0 {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        match tokio::time::timeout(limit, finished).await {
            Ok(()) => 0,
            Err(_) => self.unfinished().await,
        }
    }

    /// Reads no more datagrams; answers still leave.
    pub fn stop_reading(&self) {
        self.phase.send_replace(Phase::NotReading);
    }

    /// Waits until every endpoint has worked off what is in its mailbox.
    pub async fn settle(&self) {
        self.unfinished().await;
    }

    /// Ends every endpoint: its session is closed at the platform, unless the endpoint is kept for the next start. Returns
    /// when all have done so.
    pub async fn stop_endpoints(&self) {
        let stops: Vec<_> = self
            .directory
            .all()
            .into_iter()
            .map(|addr| addr.actor.send(Stop))
            .collect();
        for stop in stops {
            // An error means that the endpoint had ended already.
            stop.await.ok();
        }
    }

    /// Closes the sockets.
    pub fn close(self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        for arbiter in self.arbiters {
            if arbiter.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }

    async fn unfinished(&self) -> usize {
        // All are asked before the first answer is awaited: one round trip each would outlast the limits of a stop.
        let asked: Vec<_> = self
            .directory
            .all()
            .into_iter()
            .map(|addr| addr.actor.send(Unfinished))
            .collect();
        let mut endpoints = 0;
        for answer in asked {
            if answer.await.is_ok_and(|open| open > 0) {
                endpoints += 1;
            }
        }
        endpoints
    }
}

impl Endpoints for Directory {
    fn list(&self) -> BoxFuture<'_, Vec<EndpointSummary>> {
        Box::pin(async {
            let mut all = Vec::new();
            for addr in self.all() {
                all.extend(addr.actor.send(Describe).await.ok().flatten());
            }
            all
        })
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<EndpointSummary>> {
        Box::pin(async move {
            let addr = self.by_name(name)?;
            addr.actor.send(Describe).await.ok().flatten()
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("shards", &self.arbiters.len())
            .finish()
    }
}

impl fmt::Debug for ServerParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerParts")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Why the device side could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port cannot be had.
    #[error("cannot bind {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Random(String),
    /// A socket cannot be used.
    #[error("a socket cannot be used")]
    Socket(#[source] io::Error),
    /// A worker thread ended at its start.
    #[error("a worker thread ended at its start")]
    Worker,
}

/// Control messages that may wait per shard.
const CONTROL_QUEUE: usize = 1024;
/// Records that may wait per shard to become endpoints.
const RESTORE_QUEUE: usize = 256;
/// How long the platform may take to confirm what was restored before devices are served all the same.
const CONFIRMATION: Duration = Duration::from_secs(30);
/// How often it is looked whether exchanges have finished.
const POLL: Duration = Duration::from_millis(50);
