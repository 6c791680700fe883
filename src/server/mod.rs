//! Sockets, threads, directory, clock, shutdown, HTTP.
//!
//! A [`Server`] is one shard per core (`shard.rs`, and `bootstrap.rs` for the bootstrap server), each with its own socket on
//! the same port, and a [`Directory`]
//! through which the platform reaches endpoints. How it stops is the caller's list (`cli/serve.rs`); each step is one
//! method here.

mod bootstrap;
pub mod clock;
mod deliver;
pub mod directory;
mod download;
pub mod http;
pub mod ingress;
pub mod keys;
mod listen;
mod metered;
pub mod metrics;
mod outbox;
pub mod records;
mod secure;
pub mod settings;
mod shard;
mod socket;

use std::{fmt, io, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message};
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    bootstrap::BootstrapSessionSettings,
    coap::Random,
    dtls,
    endpoint::{
        EndpointSettings, EndpointSummary,
        actor::{Describe, Stop, Unfinished},
    },
    platform::{Platform, peer::ServerRole, time::Clock},
    store::Store,
};

use bootstrap::{BootstrapDirectory, BootstrapParts, BootstrapShard};
use directory::{Control, Directory};
use download::Downloads;
use http::{Endpoints, Health};
use keys::BothKeys;
use metered::MeteredPlatform;
use metrics::Metrics;
use records::{Kept, Records};
use secure::{Inbox, Links, SecurePort, SecureShard, Transports, Upward};
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
    bootstrap: Arc<BootstrapDirectory>,
    bootstrap_address: Option<SocketAddr>,
    secure_address: Option<SocketAddr>,
    secure_bootstrap_address: Option<SocketAddr>,
}

/// What a server is made of.
pub struct ServerParts {
    /// Where devices reach the LwM2M server.
    pub address: SocketAddr,
    /// Where they reach the bootstrap server, and what its sessions share, if there is one; the shard number and the port
    /// are filled in.
    pub bootstrap: Option<(SocketAddr, BootstrapSessionSettings)>,
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
    /// How devices are served that speak DTLS, if they are.
    pub secure: Option<SecureSettings>,
}

/// How devices are served that speak DTLS.
#[derive(Debug)]
pub struct SecureSettings {
    /// Where they reach the LwM2M server.
    pub address: SocketAddr,
    /// Where they reach the bootstrap server, if there is one.
    pub bootstrap_address: Option<SocketAddr>,
    /// How they are spoken to, on all shards together; shard, port and secret are filled in.
    pub dtls: dtls::Config,
    /// The keys, and those that take their place.
    pub keys: watch::Receiver<BothKeys>,
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
        let buffer = self.runtime.udp_recv_buffer_bytes;
        let (sockets, address) = bind(parts.address, shards, buffer)?;
        let mut secure = None;
        let mut secure_bootstrap = None;
        if let Some(settings) = &parts.secure {
            let port = |role, wanted| {
                let shards = SecurePort::shards(&settings.dtls, shards);
                let (sockets, address) = bind(wanted, shards, buffer)?;
                let keys = settings.keys.clone();
                let (config, metrics) = (&settings.dtls, &parts.metrics);
                let port = SecurePort::new(role, address, sockets, config, keys, seed()?, metrics);
                Ok::<_, StartError>(port)
            };
            secure = Some(port(ServerRole::Lwm2m, settings.address)?);
            if let (Some(address), Some(_)) = (settings.bootstrap_address, &parts.bootstrap) {
                secure_bootstrap = Some(port(ServerRole::Bootstrap, address)?);
            }
        }
        let mut bootstrap_address = None;
        let mut bootstrap_sockets = Vec::new();
        if let Some((wanted, _)) = &parts.bootstrap {
            let (sockets, address) = bind(*wanted, shards, buffer)?;
            (bootstrap_sockets, bootstrap_address) = (sockets, Some(address));
        }
        let bootstrap_directory = Arc::new(BootstrapDirectory::default());
        let platform: Arc<dyn Platform> = Arc::new(MeteredPlatform::new(
            Arc::clone(&parts.platform),
            Arc::clone(&parts.metrics),
            parts.clock,
        ));
        let downloads = Downloads::new(
            Arc::clone(&self.directory),
            Arc::clone(&platform),
            Arc::clone(&parts.metrics),
            parts.clock,
            Arc::clone(&parts.endpoint.ota),
        );
        let (phase, watch) = watch::channel(Phase::Restoring);
        let records = Arc::new(Records::new(parts.store, Arc::clone(&parts.metrics)));
        let secure_address = secure.as_ref().map(SecurePort::address);
        let secure_bootstrap_address = secure_bootstrap.as_ref().map(SecurePort::address);
        let mut arbiters = Vec::new();
        let (mut senders, mut restored) = (Vec::new(), Vec::new());
        for (index, (socket, control)) in sockets.into_iter().zip(self.control).enumerate() {
            let arbiter = Arbiter::new();
            let random_seed = seed()?;
            let shard_number = u8::try_from(index).unwrap_or(u8::MAX);
            let secure_shard = |port: &mut Option<SecurePort>| {
                let Some(port) = port else {
                    return Ok((None, None));
                };
                let (clock, metrics) = (parts.clock, &parts.metrics);
                let shard =
                    port.next_shard(shard_number, seed()?, &platform, clock, metrics, &watch);
                Ok::<_, StartError>((Some(port.links()), shard))
            };
            let secure = secure_shard(&mut secure)?;
            let secure_bootstrap = secure_shard(&mut secure_bootstrap)?;
            let bootstrap = bootstrap_sockets.pop().zip(parts.bootstrap.as_ref());
            let bootstrap = bootstrap.map(|(socket, (_, settings))| {
                let settings = BootstrapSessionSettings {
                    shard: shard_number,
                    port: bootstrap_address.map_or(0, |address| address.port()),
                    ..settings.clone()
                };
                let parts = BootstrapParts {
                    shards,
                    directory: Arc::clone(&bootstrap_directory),
                    platform: Arc::clone(&platform),
                    clock: parts.clock,
                    metrics: Arc::clone(&parts.metrics),
                    phase: watch.clone(),
                    limits: parts.limits.clone(),
                    nosec: parts.nosec.clone(),
                    settings: Arc::new(settings),
                };
                (socket, parts)
            });
            let parts = ShardParts {
                index,
                shards,
                directory: Arc::clone(&self.directory),
                platform: Arc::clone(&platform),
                downloads: Arc::clone(&downloads),
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
                let open = || {
                    let mut random = Random::from_seed(random_seed);
                    if let Some((socket, parts)) = bootstrap {
                        let seed = random.seed();
                        let (transports, inbox) =
                            transports(socket, &parts.metrics, secure_bootstrap)?;
                        let secure = transports.secure.clone();
                        let random = Random::from_seed(seed);
                        let shard = BootstrapShard::new(parts, transports, random);
                        if let Some((secure, inbox)) = secure.zip(inbox) {
                            let upward: Rc<dyn Upward> = Rc::<BootstrapShard>::clone(&shard);
                            secure.start(inbox, upward);
                        }
                        actix::spawn(Rc::clone(&shard).send());
                        actix::spawn(shard.receive());
                    }
                    let (transports, inbox) = transports(socket, &parts.metrics, secure)?;
                    let secure = transports.secure.clone();
                    let shard = Shard::new(parts, transports, random);
                    if let Some((secure, inbox)) = secure.zip(inbox) {
                        let upward: Rc<dyn Upward> = Rc::<Shard>::clone(&shard);
                        secure.start(inbox, upward);
                    }
                    actix::spawn(Shard::control(control));
                    actix::spawn(Rc::clone(&shard).beat());
                    actix::spawn(Rc::clone(&shard).send());
                    actix::spawn(Rc::clone(&shard).restore(kept, done));
                    actix::spawn(shard.receive());
                    Ok(())
                };
                started.send(open()).ok();
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
            bootstrap: bootstrap_directory,
            bootstrap_address,
            secure_address,
            secure_bootstrap_address,
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
    /// Where devices reach the LwM2M server.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where devices reach the bootstrap server, if there is one.
    pub const fn bootstrap_address(&self) -> Option<SocketAddr> {
        self.bootstrap_address
    }

    /// Where devices reach the LwM2M server that speak DTLS, if they can.
    pub const fn secure_address(&self) -> Option<SocketAddr> {
        self.secure_address
    }

    /// Where devices reach the bootstrap server that speak DTLS, if they can.
    pub const fn secure_bootstrap_address(&self) -> Option<SocketAddr> {
        self.secure_bootstrap_address
    }

    /// The endpoints.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory)
    }

    /// Meets Registers and Bootstrap-Requests of strangers with silence from here on: their retransmission reaches whoever is next.
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
        ask_all(self.directory.actors(), Stop).await;
        self.bootstrap.stop().await;
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
        let open = ask_all(self.directory.actors(), Unfinished).await;
        let endpoints = open.into_iter().filter(|open| *open > 0).count();
        endpoints + self.bootstrap.busy().await
    }
}

/// What these actors answer to a message; those that have ended say nothing. All are asked before the first answer is
/// awaited: one round trip each would outlast the limits of a stop.
async fn ask_all<A, M>(actors: Vec<Addr<A>>, message: M) -> Vec<M::Result>
where
    A: Actor<Context = Context<A>> + Handler<M>,
    M: Message<Result: Send> + Copy + Send + 'static,
{
    let asked = actors.iter().map(|actor| actor.send(message));
    let answers = join_all(asked).await;
    answers.into_iter().filter_map(Result::ok).collect()
}

/// The ways to the peers of one shard, and what feeds its DTLS engine, if it has one.
fn transports(
    socket: std::net::UdpSocket,
    metrics: &Arc<Metrics>,
    (links, secure): (Option<Links>, Option<SecureShard>),
) -> io::Result<(Transports, Option<Inbox>)> {
    let plain = Rc::new(UdpTransport::new(socket, Arc::clone(metrics))?);
    let (secure, inbox) = secure.map(SecureShard::open).transpose()?.unzip();
    let transports = Transports {
        plain,
        secure,
        links,
    };
    Ok((transports, inbox))
}

/// 32 bytes of the operating system's randomness.
fn seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed)
        .map_err(|error| StartError::Random(error.to_string()))?;
    Ok(seed)
}

/// Binds one socket per shard; returns where they are, for the case that any port would do.
fn bind(
    address: SocketAddr,
    shards: usize,
    buffer: usize,
) -> Result<(Vec<std::net::UdpSocket>, SocketAddr), StartError> {
    let sockets = socket::bind(address, shards, buffer)
        .map_err(|source| StartError::Bind { address, source })?;
    let address = match sockets.first() {
        Some(socket) => socket.local_addr().map_err(StartError::Socket)?,
        None => address,
    };
    Ok((sockets, address))
}

impl Endpoints for Directory {
    fn list(&self) -> BoxFuture<'_, Vec<EndpointSummary>> {
        Box::pin(async {
            let all = ask_all(self.actors(), Describe).await;
            all.into_iter().flatten().collect()
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
