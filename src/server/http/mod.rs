//! Health, metrics and the API over HTTP.
//!
//! It runs on a thread and a single-threaded runtime of its own, so that a stuck worker cannot hide itself.

mod access;
mod api;
mod connections;
mod health;
mod openapi;
mod settings;
mod tls;
mod write_timeout;

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::{
    platform::time::Clock,
    server::{
        keys::{KeySettingError, reload},
        metrics::{self, Metrics},
    },
};

use access::Access;
use connections::Limits;
use health::Probe;
use tls::Tls;

pub use api::{CommandError, Commands, Endpoints, ServerEvent};
pub use health::{Check, Health, Heartbeat};
pub use settings::{ApiAccess, HttpSettings, HttpTlsSettings};
pub use tls::TlsFiles;

/// What the HTTP server shows and drives.
pub struct Services {
    /// Health of this process.
    pub health: Arc<Health>,
    /// Its metrics.
    pub metrics: Arc<Metrics>,
    /// Brings metrics and checks up to date that nobody changes as they happen; called before each answer.
    pub refresh: Refresh,
    /// The registered endpoints.
    pub endpoints: Arc<dyn Endpoints>,
    /// Commands and events; none with a platform core.
    pub commands: Option<Arc<dyn Commands>>,
    /// The clocks.
    pub clock: Clock,
}

/// Brings metrics and checks up to date.
pub type Refresh = Arc<dyn Fn(&Metrics) + Send + Sync>;

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// The running HTTP server; dropping it stops it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    running: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl HttpServer {
    /// Binds and starts serving. When the port is taken and `next_free` is set, the next free one is used. Files of keys
    /// are looked at for changes every `reload_every`.
    ///
    /// # Errors
    /// [`HttpError`]
    pub fn start(
        settings: &HttpSettings,
        next_free: bool,
        reload_every: Option<Duration>,
        services: Services,
    ) -> Result<Self, HttpError> {
        if settings.is_unprotected() {
            return Err(HttpError::Unprotected(settings.bind));
        }
        let mut tls = None;
        let mut reloading = None;
        if let Some(files) = settings.tls.files() {
            let key_watch = files.watch();
            let (fresh, keys) = watch::channel(files.load()?);
            let asks = settings.tls.client_ca_file.is_some();
            tls = Some(Tls::new(keys, asks, Arc::clone(&services.metrics)));
            reloading =
                reload_every.map(|every| reload(key_watch, move || files.load(), every, fresh));
        }
        let bind_error = |source| HttpError::Bind {
            address: settings.bind,
            source,
        };
        let listener = bind(settings.bind, next_free).map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let router = router(settings, services);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(HttpError::Thread)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("http".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    reloading.map(tokio::spawn);
                    tokio::select! {
                        result = serve(listener, router, tls) => {
                            if let Err(error) = result {
                                tracing::error!(event = "http_failed", %error, "the HTTP server ended");
                            }
                        }
                        // What streams have to say goes out first.
                        _ = stopped => tokio::time::sleep(LAST_EVENTS).await,
                    }
                });
            })
            .map_err(HttpError::Thread)?;
        Ok(Self {
            address,
            running: Mutex::new(Some((stop, thread))),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and ends the thread.
    pub fn stop(&self) {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((stop, thread)) = running {
            // Fails only when the thread has ended already.
            stop.send(()).ok();
            if thread.join().is_err() {
                tracing::error!(event = "http_panicked", "the HTTP server had panicked");
            }
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Why the HTTP server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The address cannot be bound.
    #[error("http.bind {address} cannot be bound")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The thread cannot be started.
    #[error("the HTTP server's thread cannot be started")]
    Thread(#[source] io::Error),
    /// Everybody could command devices.
    #[error(
        "http.api = all on {0} needs http.api_token or http.tls.client_ca_file: everybody who reaches this port could \
         command devices"
    )]
    Unprotected(SocketAddr),
    /// A file of keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeySettingError),
}

fn bind(address: SocketAddr, next_free: bool) -> io::Result<TcpListener> {
    let mut candidate = address;
    loop {
        match TcpListener::bind(candidate) {
            Err(error) if next_free && error.kind() == io::ErrorKind::AddrInUse => {
                let next = candidate.port().checked_add(1).ok_or(error)?;
                candidate.set_port(next);
            }
            result => return result,
        }
    }
}

async fn serve(listener: TcpListener, router: Router, tls: Option<Tls>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    connections::serve(listener, router, Limits::default(), tls).await;
    Ok(())
}

fn router(settings: &HttpSettings, services: Services) -> Router {
    let router = routes()
        .into_iter()
        .filter(|(path, _)| settings.metrics || *path != PROMETHEUS)
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        });
    let router = router
        .nest("/api", api::router(Access::new(settings)))
        .with_state(Arc::new(services));
    match settings.tls.client_ca_file {
        Some(_) => router.layer(middleware::from_fn(access::require_certificate)),
        None => router,
    }
}

/// What is served beside the API; [`openapi`] describes it.
fn routes() -> [(&'static str, MethodRouter<Arc<Services>>); 6] {
    [
        (LIVE, get(|s, q| probe(Probe::Live, s, q))),
        (STARTED, get(|s, q| probe(Probe::Started, s, q))),
        (READY, get(|s, q| probe(Probe::Ready, s, q))),
        ("/metrics", get(metrics)),
        (PROMETHEUS, get(metrics)),
        ("/version", get(version)),
    ]
}

#[derive(Debug, Deserialize)]
struct ProbeQuery {
    verbose: Option<u8>,
}

async fn probe(
    probe: Probe,
    State(services): State<Arc<Services>>,
    Query(query): Query<ProbeQuery>,
) -> Response {
    (services.refresh)(&services.metrics);
    let report = services.health.report(probe, (services.clock)().mono);
    let status = if report.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match query.verbose {
        Some(0) => status.into_response(),
        _ => (status, Json(report)).into_response(),
    }
}

async fn metrics(State(services): State<Arc<Services>>) -> Response {
    (services.refresh)(&services.metrics);
    let state = services.health.state();
    for candidate in metrics::State::ALL {
        let gauge = services.metrics.state.of(candidate);
        gauge.set(i64::from(candidate == state));
    }
    match services.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => api::problem(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn version() -> Json<Value> {
    let features: &[&str] = if cfg!(feature = "kafka") {
        &["kafka"]
    } else {
        &[]
    };
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "features": features }))
}

/// Time for the events that a stop itself causes.
const LAST_EVENTS: Duration = Duration::from_millis(50);
const LIVE: &str = "/livez";
const STARTED: &str = "/startupz";
const READY: &str = "/readyz";
/// What everybody may ask.
const PROBES: [&str; 3] = [LIVE, STARTED, READY];
/// Where the Java transport shows its metrics.
const PROMETHEUS: &str = "/actuator/prometheus";
/// Content type of the OpenMetrics text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests need some clock")]
mod tests {
    use std::{io::BufRead, net::Ipv4Addr, time::Instant};

    use futures_util::{
        FutureExt, StreamExt,
        future::BoxFuture,
        stream::{self, BoxStream},
    };

    use serde_json::Map;

    use crate::{
        endpoint::EndpointSummary,
        platform::{
            secret::Secret,
            time::{Now, UnixMillis},
            uplink::RpcBody,
        },
    };

    use super::*;

    #[derive(Debug)]
    struct OneEndpoint;

    impl Endpoints for OneEndpoint {
        fn list(&self) -> BoxFuture<'_, Vec<EndpointSummary>> {
            let one = EndpointSummary {
                endpoint: "urn:dev/1".to_owned(),
                registration: "aaBBBBBBBB".to_owned(),
                address: "192.0.2.7:5683".to_owned(),
                lifetime_s: Some(300),
                version: "1.1".to_owned(),
                binding: "U".to_owned(),
                objects: vec!["/3/0".to_owned()],
                last_update: 1_700_000_000_000,
                ..EndpointSummary::default()
            };
            Box::pin(async { vec![one] })
        }

        fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<EndpointSummary>> {
            Box::pin(async move {
                let all = self.list().await;
                all.into_iter().find(|one| one.endpoint == name)
            })
        }
    }

    impl Commands for OneEndpoint {
        fn rpc(
            &self,
            endpoint: &str,
            method: &str,
            params: &str,
            timeout: Duration,
        ) -> BoxFuture<'static, Result<RpcBody, CommandError>> {
            let result = match (endpoint, method) {
                ("urn:dev/1", "Read") => Ok(RpcBody::Payload(format!(
                    r#"{{"params":{params},"timeout":{}}}"#,
                    timeout.as_millis()
                ))),
                ("urn:dev/1", _) => Err(CommandError::Timeout),
                _ => Err(CommandError::UnknownEndpoint),
            };
            async move { result }.boxed()
        }

        fn attributes(
            &self,
            endpoint: &str,
            changes: Map<String, Value>,
        ) -> BoxFuture<'static, Result<Map<String, Value>, CommandError>> {
            let known = endpoint == "urn:dev/1";
            async move {
                known
                    .then_some(changes)
                    .ok_or(CommandError::UnknownEndpoint)
            }
            .boxed()
        }

        fn events(&self) -> BoxStream<'static, ServerEvent> {
            let event = ServerEvent {
                kind: "telemetry",
                data: "{}".to_owned(),
            };
            stream::iter([event]).boxed()
        }
    }

    fn clock() -> Now {
        Now {
            mono: Instant::now(),
            wall: UnixMillis(0),
        }
    }

    fn start(settings: &HttpSettings, commands: bool) -> (HttpServer, Arc<Health>) {
        let health = Arc::new(Health::new(Instant::now()));
        let services = Services {
            health: health.clone(),
            metrics: Arc::new(Metrics::new(UnixMillis(0))),
            refresh: Arc::new(|metrics| {
                metrics.registrations.of(metrics::Security::NoSec).set(1);
            }),
            endpoints: Arc::new(OneEndpoint),
            commands: commands.then(|| Arc::new(OneEndpoint) as Arc<dyn Commands>),
            clock,
        };
        (
            HttpServer::start(settings, false, None, services).unwrap(),
            health,
        )
    }

    fn loopback() -> HttpSettings {
        HttpSettings {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            api: Some(ApiAccess::Loopback),
            ..HttpSettings::default()
        }
    }

    fn agent() -> ureq::Agent {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .new_agent()
    }

    fn get(server: &HttpServer, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", server.address());
        let mut response = agent().get(url).call().unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), body)
    }

    fn post(server: &HttpServer, path: &str, body: &str) -> (u16, String) {
        let url = format!("http://{}{path}", server.address());
        let mut response = agent()
            .post(url)
            .content_type("application/json")
            .send(body)
            .unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), body)
    }

    #[test]
    fn health_follows_the_state() {
        let (server, health) = start(&loopback(), false);
        assert_eq!(get(&server, "/livez").0, 200);
        assert_eq!(
            get(&server, "/readyz"),
            (
                503,
                r#"{"status":"fail","state":"starting","checks":[]}"#.to_owned()
            )
        );
        health.set_state(metrics::State::Ready);
        assert_eq!(get(&server, "/readyz?verbose=0"), (200, String::new()));
        assert_eq!(get(&server, "/startupz").0, 200);
        assert!(
            get(&server, "/metrics")
                .1
                .contains("lightship_state{state=\"ready\"} 1\n")
        );
        assert_eq!(get(&server, "/actuator/prometheus").0, 200);
        assert!(
            get(&server, "/version")
                .1
                .contains(env!("CARGO_PKG_VERSION"))
        );
    }

    #[test]
    fn the_api_lists_endpoints() {
        let (server, _) = start(&loopback(), true);
        let one = r#"{"endpoint":"urn:dev/1","device":"","registration":"aaBBBBBBBB","address":"192.0.2.7:5683","version":"1.1","binding":"U","lifetime_s":300,"last_update":1700000000000,"last_heard":0,"asleep":false,"objects":["/3/0"],"versions":{},"observed":[],"values":[]}"#;
        assert_eq!(get(&server, "/api/endpoints"), (200, format!("[{one}]")));
        assert_eq!(
            get(&server, "/api/endpoints/urn:dev%2F1"),
            (200, one.to_owned())
        );
        assert_eq!(get(&server, "/api/endpoints/other").0, 404);
    }

    #[test]
    fn the_api_sends_commands() {
        let (server, _) = start(&loopback(), true);
        let path = "/api/endpoints/urn:dev%2F1/rpc";
        assert_eq!(
            post(
                &server,
                path,
                r#"{"method":"Read","params":{"id":"/3/0/9"},"timeout_ms":1500}"#
            ),
            (
                200,
                r#"{"params":{"id":"/3/0/9"},"timeout":1500}"#.to_owned()
            )
        );
        assert_eq!(
            post(&server, path, r#"{"method":"Read"}"#),
            (200, r#"{"params":null,"timeout":30000}"#.to_owned())
        );
        assert_eq!(
            post(&server, path, r#"{"method":"Execute"}"#),
            (504, r#"{"error":"TIMEOUT"}"#.to_owned())
        );
        assert_eq!(
            post(&server, "/api/endpoints/x/rpc", r#"{"method":"Read"}"#).0,
            404
        );
        assert_eq!(post(&server, path, r#"{"methud":"Read"}"#).0, 422);
        assert_eq!(
            post(&server, path, &format!("\"{}\"", "x".repeat(100_000))).0,
            413
        );
    }

    #[test]
    fn the_api_takes_attributes() {
        let (server, _) = start(&loopback(), true);
        let path = "/api/endpoints/urn:dev%2F1/attributes";
        let body = r#"{"timezone":"Europe/Kyiv","old":null}"#;
        assert_eq!(post(&server, path, body), (200, body.to_owned()));
        assert_eq!(get(&server, path), (200, "{}".to_owned()));
        assert_eq!(get(&server, "/api/endpoints/x/attributes").0, 404);
        for (body, status) in [("[]", 422), ("{", 400)] {
            let (said, problem) = post(&server, path, body);
            assert_eq!(said, status);
            let problem: Value = serde_json::from_str(&problem).unwrap();
            assert!(problem["error"].is_string(), "{problem}");
        }
    }

    /// What is described is served and the other way round: methods are those that a path answers an unknown one with.
    #[test]
    fn every_route_is_described_and_every_description_is_served() {
        let (server, _) = start(&loopback(), true);
        let document = openapi::document();
        let described = document["paths"].as_object().unwrap();
        let api = api::routes().map(|(path, _)| format!("/api{path}"));
        let mut served = routes().map(|(path, _)| path.to_owned()).to_vec();
        served.extend(api);
        let mut paths: Vec<_> = described.keys().cloned().collect();
        served.sort_unstable();
        paths.sort_unstable();
        assert_eq!(served, paths);
        for (path, item) in described {
            let methods = item.as_object().unwrap().keys();
            let methods: Vec<_> = methods
                .filter(|name| *name != "parameters")
                .map(|name| name.to_uppercase())
                .collect();
            let url = format!("http://{}{path}", server.address());
            let answer = agent().delete(url).call().unwrap();
            assert_eq!(answer.status().as_u16(), 405, "{path}");
            let allowed = answer.headers()["allow"].to_str().unwrap();
            // Whoever answers GET answers HEAD.
            let mut allowed: Vec<_> = allowed.split(',').filter(|name| *name != "HEAD").collect();
            allowed.sort_unstable();
            assert_eq!(methods, allowed, "{path}");
        }
        assert_eq!(
            get(&server, "/api/openapi.json"),
            (200, document.to_string())
        );
    }

    #[test]
    fn events_are_streamed() {
        let (server, _) = start(&loopback(), true);
        let url = format!("http://{}/api/events", server.address());
        let response = agent().get(url).call().unwrap();
        let lines: Vec<_> = io::BufReader::new(response.into_body().into_reader())
            .lines()
            .take(2)
            .map(Result::unwrap)
            .collect();
        assert_eq!(lines, ["event: telemetry", "data: {}"]);
    }

    #[test]
    fn without_embedded_mode_there_are_no_commands() {
        let (server, _) = start(&loopback(), false);
        assert_eq!(get(&server, "/api/events").0, 404);
        assert_eq!(get(&server, "/api/endpoints").0, 200);
    }

    #[test]
    fn a73_an_open_api_without_token_is_refused_at_start() {
        let mut settings = HttpSettings {
            api: Some(ApiAccess::All),
            bind: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            ..HttpSettings::default()
        };
        let services = || Services {
            health: Arc::new(Health::new(Instant::now())),
            metrics: Arc::new(Metrics::new(UnixMillis(0))),
            refresh: Arc::new(|metrics| {
                metrics.registrations.of(metrics::Security::NoSec).set(1);
            }),
            endpoints: Arc::new(OneEndpoint),
            commands: None,
            clock,
        };
        let refused = HttpServer::start(&settings, false, None, services());
        assert!(matches!(refused, Err(HttpError::Unprotected(_))));
        settings.api_token = Secret::new("t");
        HttpServer::start(&settings, false, None, services()).unwrap();
    }

    #[test]
    fn the_next_free_port_is_taken_when_asked() {
        let (first, _) = start(&loopback(), false);
        let taken = HttpSettings {
            bind: first.address(),
            ..loopback()
        };
        assert_eq!(
            bind(taken.bind, false).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_ne!(
            bind(taken.bind, true).unwrap().local_addr().unwrap(),
            taken.bind
        );
    }
}
