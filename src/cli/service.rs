//! The whole service put together: platform side, device side, HTTP side; and how it stops.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use serde_json::{Map, Value};
use tokio::{
    sync::{broadcast, watch},
    task::spawn_blocking,
};

use crate::{
    bootstrap::BootstrapSessionSettings,
    config::{Mode, Settings},
    endpoint::{
        EndpointSettings, FileGeneration, HeldRpc, ota::PushSlots, settings::AwakeWindows,
        telemetry::TimeForm,
    },
    lwm2m::model::core,
    platform::{
        DownlinkSink, Platform,
        embedded::{Embedded, RpcError},
        uplink::RpcBody,
    },
    server::{
        Foundation, MeteredSink, SecureSettings, Server, ServerParts, clock,
        directory::Directory,
        http::{
            CommandError, Commands, Endpoints, Health, HttpServer, Refresh, ServerEvent, Services,
        },
        keys::{KeyFiles, reload},
        metrics::{Metrics, Security, State},
        records,
    },
    store::Store,
};

/// A running service.
pub(crate) struct Service {
    settings: Settings,
    pub(crate) platform: PlatformSide,
    pub(crate) server: Server,
    store: Option<Arc<Store>>,
    pub(crate) http: HttpServer,
    pub(crate) health: Arc<Health>,
}

/// Whichever core stands behind the service.
#[derive(Clone)]
pub(crate) enum PlatformSide {
    /// A folder of files.
    Embedded(Arc<Embedded>),
    /// A platform core over Kafka.
    #[cfg(feature = "kafka")]
    ThingsBoard(Arc<crate::platform::thingsboard::ThingsBoard>),
}

/// What `demo` wants otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartOptions {
    /// Take the next free port when one is taken.
    pub(crate) next_free_port: bool,
}

impl Service {
    /// Starts everything; sockets last. Needs a running actix system.
    pub(crate) async fn start(settings: Settings, options: StartOptions) -> anyhow::Result<Self> {
        let now = clock::now();
        let health = Arc::new(Health::new(now.mono));
        let metrics = Arc::new(Metrics::new(now.wall));
        let foundation = Foundation::new(settings.runtime.clone());
        let directory = foundation.directory();
        let sink = MeteredSink::new(Arc::clone(&directory), Arc::clone(&metrics));
        let service_id = settings.service.id.as_deref().unwrap_or_default();
        // The platform side may wait for its core for minutes; until then whoever asks is told that it starts.
        let late = Arc::new(OnceLock::new());
        let endpoint = endpoint_settings(&settings);
        let generation = &endpoint.file_generation;
        let store = records::open(&settings.state, service_id, &metrics, generation)?;
        let services = Services {
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            refresh: refresh(
                Arc::clone(&directory),
                endpoint.held_rpc.clone(),
                Arc::clone(&late),
                Arc::clone(&health),
                store.clone(),
            ),
            endpoints: Arc::clone(&directory) as Arc<dyn Endpoints>,
            commands: (settings.mode == Mode::Embedded)
                .then(|| Arc::new(EmbeddedCommands(Arc::clone(&late))) as Arc<dyn Commands>),
            clock: clock::now,
        };
        let http = HttpServer::start(
            &settings.http,
            options.next_free_port,
            settings.lwm2m.credentials_reload(),
            services,
        )?;
        let platform = PlatformSide::start(&settings, Arc::new(sink)).await?;
        late.get_or_init(|| platform.clone());
        let mut ports = Ports::new(options);
        let address = ports.find(settings.lwm2m.server.address())?;
        let bootstrap = match settings.lwm2m.bootstrap.address() {
            Some(address) => Some((
                ports.find(address)?,
                bootstrap_settings(&settings, &endpoint),
            )),
            None => None,
        };
        let files = key_files(&settings);
        let key_watch = files.watch();
        let (keys_sender, keys) = watch::channel(files.load()?);
        let workers = settings.runtime.worker_count();
        if workers > 1 && matches!(settings.lwm2m.dtls.connection_id_length, Some(1..=4)) {
            tracing::warn!(
                "one worker serves the DTLS ports: lwm2m.dtls.connection_id_length is below 5"
            );
        }
        let secure = SecureSettings {
            address: ports.find(settings.lwm2m.server.secure_address())?,
            bootstrap_address: settings
                .lwm2m
                .bootstrap
                .secure_address()
                .map(|address| ports.find(address))
                .transpose()?,
            dtls: settings.lwm2m.dtls.config(endpoint.ordinal),
            keys,
        };
        let parts = ServerParts {
            secure: Some(secure),
            address,
            bootstrap,
            platform: platform.seam(),
            clock: clock::now,
            store: store.clone(),
            metrics,
            health: Arc::clone(&health),
            limits: settings.limits.clone(),
            nosec: settings.nosec.clone(),
            endpoint,
        };
        health.set_state(State::Restoring);
        let server = foundation.start(parts).await?;
        tracing::info!(address = %server.address(), "serving LwM2M over CoAP");
        let protocol = match settings.http.tls.cert_file {
            Some(_) => "HTTPS",
            None => "HTTP",
        };
        tracing::info!(address = %http.address(), "serving health, metrics and the API over {protocol}");
        if let Some(address) = server.bootstrap_address() {
            tracing::info!(%address, "serving LwM2M bootstrap over CoAP");
        }
        for (address, text) in [
            (server.secure_address(), "serving LwM2M over DTLS"),
            (
                server.secure_bootstrap_address(),
                "serving LwM2M bootstrap over DTLS",
            ),
        ] {
            if let Some(address) = address {
                tracing::info!(%address, "{text}");
            }
        }
        if let Some(interval) = settings.lwm2m.credentials_reload() {
            let load = move || files.load();
            actix::spawn(reload(key_watch, load, interval, keys_sender));
        }
        health.set_state(State::Ready);
        Ok(Self {
            settings,
            platform,
            server,
            store,
            http,
            health,
        })
    }

    /// The steps of a stop that may take their time: a load balancer notices, exchanges finish.
    pub(crate) async fn wind_down(&self) {
        self.health.set_state(State::Draining);
        if self.settings.mode == Mode::Kafka {
            tokio::time::sleep(Duration::from_secs(self.settings.shutdown.drain_delay_s)).await;
        }
        self.server.refuse_newcomers();
        self.platform.stop_notifications().await;
        let limit = Duration::from_secs(self.settings.shutdown.inflight_timeout_s);
        match self.server.finish_exchanges(limit).await {
            0 => {}
            unfinished => tracing::warn!(
                unfinished,
                "endpoints still had something open after the limit"
            ),
        }
    }

    /// The steps of a stop that lose nothing acknowledged and take little time.
    pub(crate) async fn stop(self) {
        self.health.set_state(State::Draining);
        self.server.stop_reading();
        let flush = Duration::from_secs(self.settings.shutdown.flush_timeout_s);
        if !self.platform.flush(flush).await {
            tracing::warn!("the platform side did not take everything in time");
        }
        self.server.settle().await;
        self.server.stop_endpoints().await;
        if !self.platform.flush(SECOND_FLUSH).await {
            tracing::warn!("not every session could be closed at the platform");
        }
        let Self {
            platform,
            server,
            store,
            http,
            ..
        } = self;
        server.close();
        if let Some(store) = store {
            finished(spawn_blocking(move || store.close()).await);
        }
        platform.stop().await;
        http.stop();
    }
}

impl PlatformSide {
    async fn start(settings: &Settings, sink: Arc<dyn DownlinkSink>) -> anyhow::Result<Self> {
        match settings.mode {
            Mode::Embedded => {
                let cache = settings.ota.cache_bytes;
                let embedded = Embedded::start(settings.embedded.clone(), cache, sink, clock::now)?;
                Ok(Self::Embedded(Arc::new(embedded)))
            }
            #[cfg(feature = "kafka")]
            Mode::Kafka => {
                let settings = thingsboard_settings(settings);
                let servers = settings.kafka.bootstrap_servers.clone();
                let start =
                    move || crate::platform::thingsboard::ThingsBoard::start(&settings, sink);
                let started = spawn_blocking(start).await?;
                let core = started.with_context(|| format!("Kafka at {servers} cannot be used"))?;
                Ok(Self::ThingsBoard(Arc::new(core)))
            }
            #[cfg(not(feature = "kafka"))]
            Mode::Kafka => anyhow::bail!("this program was built without the feature `kafka`"),
        }
    }

    fn seam(&self) -> Arc<dyn Platform> {
        match self {
            Self::Embedded(embedded) => Arc::clone(embedded) as Arc<dyn Platform>,
            #[cfg(feature = "kafka")]
            Self::ThingsBoard(core) => Arc::clone(core) as Arc<dyn Platform>,
        }
    }

    async fn stop_notifications(&self) {
        match self {
            Self::Embedded(_) => {}
            #[cfg(feature = "kafka")]
            Self::ThingsBoard(core) => {
                let core = Arc::clone(core);
                finished(spawn_blocking(move || core.stop_notifications()).await);
            }
        }
    }

    #[cfg_attr(
        not(feature = "kafka"),
        expect(unused_variables, reason = "only a broker makes us wait")
    )]
    async fn flush(&self, limit: Duration) -> bool {
        match self {
            // Its thread takes what was accepted before it ends.
            Self::Embedded(_) => true,
            #[cfg(feature = "kafka")]
            Self::ThingsBoard(core) => {
                let core = Arc::clone(core);
                finished(spawn_blocking(move || core.flush(limit)).await).unwrap_or(false)
            }
        }
    }

    async fn stop(self) {
        match self {
            Self::Embedded(embedded) => finished(spawn_blocking(move || embedded.stop()).await),
            #[cfg(feature = "kafka")]
            Self::ThingsBoard(core) => finished(spawn_blocking(move || core.stop()).await),
        };
    }
}

/// The result of work on a thread that may wait; a panic there is logged.
fn finished<T>(result: Result<T, tokio::task::JoinError>) -> Option<T> {
    result
        .inspect_err(|error| tracing::error!(%error, "work on a thread of its own panicked"))
        .ok()
}

/// The platform side, once it has started.
type Late = Arc<OnceLock<PlatformSide>>;

/// What is found out when somebody asks: how many endpoints and commands there are, and how the Kafka side does.
#[cfg_attr(
    not(feature = "kafka"),
    expect(unused_variables, reason = "only a broker is outside this process")
)]
fn refresh(
    directory: Arc<Directory>,
    held_rpc: HeldRpc,
    platform: Late,
    health: Arc<Health>,
    store: Option<Arc<Store>>,
) -> Refresh {
    Arc::new(move |metrics| {
        let pending = store.as_ref().map_or(0, |store| store.pending());
        let pending = i64::try_from(pending).unwrap_or(i64::MAX);
        metrics.state_pending_writes.set(pending);
        let held = i64::try_from(held_rpc.count()).unwrap_or(i64::MAX);
        metrics.rpc_held.set(held);
        // In the order of the numbers of the modes.
        let modes = [
            Security::Psk,
            Security::Rpk,
            Security::X509,
            Security::NoSec,
        ];
        for (mode, registered) in modes.into_iter().zip(directory.counts().registered_by_mode) {
            let registered = i64::try_from(registered).unwrap_or(i64::MAX);
            metrics.registrations.of(mode).set(registered);
        }
        match platform.get() {
            Some(PlatformSide::Embedded(_)) | None => {}
            #[cfg(feature = "kafka")]
            Some(PlatformSide::ThingsBoard(core)) => {
                let counted = core.health();
                super::kafka_metrics::publish(&counted, metrics);
                super::kafka_metrics::check(&counted, &health);
            }
        }
    })
}

fn endpoint_settings(settings: &Settings) -> EndpointSettings {
    EndpointSettings {
        ordinal: settings.service.node_id.unwrap_or_default(),
        shard: 0,
        coap: Arc::new(settings.coap.clone()),
        bodies: settings.coap.bodies(),
        rate: settings.limits.endpoint_rate(),
        registers: NonZeroU32::new(settings.limits.endpoint_registers_per_min),
        request_timeout: settings.lwm2m.timeout(),
        log_enabled: settings.transport.log_enabled,
        log_max_length: settings.transport.log_max_length,
        held_rpc: HeldRpc::new(settings.limits.held_rpc),
        rpc: settings.rpc,
        ota: Arc::new(settings.ota.clone()),
        push_slots: PushSlots::new(settings.ota.max_concurrent_pushes),
        time_form: time_form(settings),
        awake_windows: AwakeWindows {
            queue_mode: Duration::from_millis(settings.lwm2m.queue_mode_window_ms),
            psm: Duration::from_millis(settings.lwm2m.psm_activity_timer_ms),
            edrx: Duration::from_millis(settings.lwm2m.paging_window_ms),
        },
        // Changes gather in the endpoint for one half of the time, before the file for the other.
        record_delay: settings
            .state
            .folder()
            .map(|_| Duration::from_millis(settings.state.commit_interval_ms / 2)),
        file_generation: FileGeneration::default(),
        core_models: Arc::new(core::catalog().iter().cloned().collect()),
    }
}

/// Where the keys of both servers are.
pub(super) fn key_files(settings: &Settings) -> KeyFiles {
    let mut bootstrap = settings.lwm2m.bootstrap.credentials.clone();
    bootstrap.enabled &= settings.lwm2m.bootstrap.enabled;
    KeyFiles {
        server: settings.lwm2m.server.credentials.clone(),
        bootstrap,
        trust: settings.lwm2m.trust.clone(),
    }
}

fn bootstrap_settings(
    settings: &Settings,
    endpoint: &EndpointSettings,
) -> BootstrapSessionSettings {
    let bootstrap = &settings.lwm2m.bootstrap;
    BootstrapSessionSettings {
        ordinal: endpoint.ordinal,
        shard: endpoint.shard,
        coap: Arc::clone(&endpoint.coap),
        bodies: endpoint.bodies.clone(),
        rate: endpoint.rate,
        port: bootstrap.port,
        secrets_over_nosec: bootstrap
            .allow_secrets_over_nosec
            .unwrap_or(settings.mode == Mode::Kafka),
        log_enabled: endpoint.log_enabled,
        log_max_length: endpoint.log_max_length,
    }
}

/// How points in time are published (`compat.time_as_text`).
#[cfg(feature = "kafka")]
const fn time_form(settings: &Settings) -> TimeForm {
    if settings.compat.time_as_text {
        TimeForm::Text
    } else {
        TimeForm::Milliseconds
    }
}

/// How points in time are published.
#[cfg(not(feature = "kafka"))]
const fn time_form(_: &Settings) -> TimeForm {
    TimeForm::Milliseconds
}

#[cfg(feature = "kafka")]
fn thingsboard_settings(settings: &Settings) -> crate::platform::thingsboard::ThingsBoardSettings {
    use crate::platform::thingsboard::{ThingsBoardSettings, settings::ActivitySettings};
    let millis = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    ThingsBoardSettings {
        service_id: settings.service.id.clone().unwrap_or_default(),
        kafka: settings.kafka.clone(),
        core: settings.core.clone(),
        core_version: settings.compat.core_version,
        activity: ActivitySettings {
            report_ms: millis(settings.transport.activity_report_ms),
            inactivity_ms: millis(settings.transport.session_inactivity_ms),
        },
        usage: settings.usage,
        redis: settings.redis.clone(),
        package_cache_bytes: settings.ota.cache_bytes,
        zookeeper: settings.zookeeper.clone(),
    }
}

/// The ports that a start takes.
#[derive(Debug)]
pub(crate) struct Ports {
    options: StartOptions,
    /// Found, and perhaps not bound yet.
    found: Vec<SocketAddr>,
}

impl Ports {
    pub(crate) const fn new(options: StartOptions) -> Self {
        let found = Vec::new();
        Self { options, found }
    }

    /// The address asked for, or the next free port after it.
    pub(crate) fn find(&mut self, mut address: SocketAddr) -> anyhow::Result<SocketAddr> {
        if !self.options.next_free_port {
            return Ok(address);
        }
        for _ in 0..PORTS_TRIED {
            if !self.found.contains(&address) && std::net::UdpSocket::bind(address).is_ok() {
                self.found.push(address);
                return Ok(address);
            }
            address.set_port(
                address
                    .port()
                    .checked_add(1)
                    .context("no port above 65535")?,
            );
        }
        anyhow::bail!(
            "none of {PORTS_TRIED} ports up to {} is free",
            address.port()
        )
    }
}

/// Commands and events of embedded mode, as the HTTP side wants them.
struct EmbeddedCommands(Late);

impl EmbeddedCommands {
    fn embedded(&self) -> Option<&Arc<Embedded>> {
        match self.0.get()? {
            PlatformSide::Embedded(embedded) => Some(embedded),
            #[cfg(feature = "kafka")]
            PlatformSide::ThingsBoard(_) => None,
        }
    }
}

impl Commands for EmbeddedCommands {
    fn rpc(
        &self,
        endpoint: &str,
        method: &str,
        params: &str,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<RpcBody, CommandError>> {
        let Some(embedded) = self.embedded() else {
            return Box::pin(async { Err(CommandError::Busy) });
        };
        let answer = embedded.rpc(endpoint, method, params, timeout);
        Box::pin(async move { answer.await.map_err(command_error) })
    }

    fn attributes(
        &self,
        endpoint: &str,
        changes: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Map<String, Value>, CommandError>> {
        let Some(embedded) = self.embedded() else {
            return Box::pin(async { Err(CommandError::Busy) });
        };
        let answer = embedded.attributes(endpoint, changes);
        Box::pin(async move { answer.await.map_err(command_error) })
    }

    fn events(&self) -> BoxStream<'static, ServerEvent> {
        let Some(embedded) = self.embedded() else {
            return futures_util::stream::empty().boxed();
        };
        let events = futures_util::stream::unfold(embedded.events(), |mut events| async {
            loop {
                match events.recv().await {
                    Ok(event) => {
                        let server_event = ServerEvent {
                            kind: event.name(),
                            data: event.json(),
                        };
                        return Some((server_event, events));
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        events.boxed()
    }
}

const fn command_error(error: RpcError) -> CommandError {
    match error {
        RpcError::Timeout => CommandError::Timeout,
        RpcError::TooManyAttributes => CommandError::TooManyAttributes,
        RpcError::UnknownEndpoint => CommandError::UnknownEndpoint,
        RpcError::Busy | RpcError::Stopped => CommandError::Busy,
    }
}

/// How many ports `demo` tries.
const PORTS_TRIED: u16 = 100;
/// Time for the messages that close the sessions.
const SECOND_FLUSH: Duration = Duration::from_secs(3);

#[cfg(all(test, feature = "kafka"))]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn health_can_be_asked_while_the_core_is_awaited() {
        // Takes connections and says nothing, as a broker that hangs.
        let broker = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut settings = Settings {
            mode: Mode::Kafka,
            ..Settings::default()
        };
        settings.service.id = Some("ls-0".to_owned());
        settings.kafka.bootstrap_servers = broker.local_addr().unwrap().to_string();
        settings.http.bind = free.local_addr().unwrap();
        drop(free);
        let url = format!("http://{}", settings.http.bind);
        let status = move |path: &str| {
            let agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .build()
                .new_agent();
            loop {
                if let Ok(answer) = agent.get(format!("{url}{path}")).call() {
                    return answer.status().as_u16();
                }
                std::thread::yield_now();
            }
        };
        let (started, statuses) = actix::System::new().block_on(async move {
            let ask = spawn_blocking(move || ["/livez", "/startupz", "/readyz"].map(status));
            futures_util::future::join(Service::start(settings, StartOptions::default()), ask).await
        });
        assert!(started.is_err(), "nobody told the queues");
        assert_eq!(statuses.unwrap(), [200, 503, 503]);
    }
}
