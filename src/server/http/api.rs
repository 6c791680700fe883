//! The API: registered endpoints, commands, shared attributes, events (`/api`).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Request, State, rejection::JsonRejection},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response, Sse,
        sse::{self, KeepAlive},
    },
    routing::{MethodRouter, get, post},
};
use futures_util::{Stream, StreamExt, future::BoxFuture, stream::BoxStream};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{endpoint::EndpointSummary, platform::uplink::RpcBody};

use super::{Services, access::Access, openapi};

/// The registered endpoints.
pub trait Endpoints: Send + Sync {
    /// All of them, by name.
    fn list(&self) -> BoxFuture<'_, Vec<EndpointSummary>>;

    /// One of them.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Option<EndpointSummary>>;
}

/// What only the embedded platform offers: commands and a look at the uplinks.
pub trait Commands: Send + Sync {
    /// Sends a command; `params` is JSON text.
    fn rpc(
        &self,
        endpoint: &str,
        method: &str,
        params: &str,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<RpcBody, CommandError>>;

    /// Sets shared attributes of an endpoint, takes those away that are `null`, and answers with all that are set then.
    fn attributes(
        &self,
        endpoint: &str,
        changes: Map<String, Value>,
    ) -> BoxFuture<'static, Result<Map<String, Value>, CommandError>>;

    /// What happens from here on.
    fn events(&self) -> BoxStream<'static, ServerEvent>;
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It cannot be taken now.
    #[error("the command cannot be taken now")]
    Busy,
    /// The device did not answer.
    #[error("TIMEOUT")]
    Timeout,
    /// The endpoint would have too many attributes.
    #[error("the endpoint would have too many attributes")]
    TooManyAttributes,
    /// No such endpoint is registered.
    #[error("no such endpoint is registered")]
    UnknownEndpoint,
}

/// One event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// Name of the event.
    pub kind: &'static str,
    /// One line of JSON.
    pub data: String,
}

/// What is served below `/api`; [`openapi`] describes it.
pub(super) fn routes() -> [(&'static str, MethodRouter<Arc<Services>>); 6] {
    [
        ("/endpoints", get(list)),
        ("/endpoints/{endpoint}", get(one)),
        (
            "/endpoints/{endpoint}/attributes",
            get(attributes).post(set_attributes),
        ),
        ("/endpoints/{endpoint}/rpc", post(rpc)),
        ("/events", get(events)),
        ("/openapi.json", get(async || Json(openapi::document()))),
    ]
}

pub(super) fn router(access: Access) -> Router<Arc<Services>> {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        });
    router.layer(middleware::from_fn_with_state(Arc::new(access), authorize))
}

async fn authorize(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(denied) => problem(denied.status(), denied),
    }
}

async fn list(State(services): State<Arc<Services>>) -> Json<Vec<EndpointSummary>> {
    Json(services.endpoints.list().await)
}

async fn one(State(services): State<Arc<Services>>, Path(endpoint): Path<String>) -> Response {
    match services.endpoints.get(&endpoint).await {
        Some(summary) => Json(summary).into_response(),
        None => problem(StatusCode::NOT_FOUND, CommandError::UnknownEndpoint),
    }
}

/// Body of a command.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RpcCommand {
    method: String,
    #[serde(default)]
    params: Value,
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u64,
}

const fn default_timeout_ms() -> u64 {
    30_000
}

/// Longest time a caller may wait.
const MAX_TIMEOUT_MS: u64 = 600_000;

async fn rpc(
    State(services): State<Arc<Services>>,
    Path(endpoint): Path<String>,
    command: Result<Json<RpcCommand>, JsonRejection>,
) -> Response {
    let Some(commands) = &services.commands else {
        return no_commands();
    };
    let Json(command) = match command {
        Ok(command) => command,
        Err(error) => return problem(error.status(), error.body_text()),
    };
    let timeout = Duration::from_millis(command.timeout_ms.min(MAX_TIMEOUT_MS));
    let params = command.params.to_string();
    let answer = commands.rpc(&endpoint, &command.method, &params, timeout);
    match answer.await {
        Ok(body) => (
            [(header::CONTENT_TYPE, "application/json")],
            body.text().to_owned(),
        )
            .into_response(),
        Err(error) => problem(error.status(), error),
    }
}

async fn attributes(state: State<Arc<Services>>, endpoint: Path<String>) -> Response {
    set_attributes(state, endpoint, Ok(Json(Map::new()))).await
}

async fn set_attributes(
    State(services): State<Arc<Services>>,
    Path(endpoint): Path<String>,
    changes: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Response {
    let Some(commands) = &services.commands else {
        return no_commands();
    };
    let Json(changes) = match changes {
        Ok(changes) => changes,
        Err(error) => return problem(error.status(), error.body_text()),
    };
    match commands.attributes(&endpoint, changes).await {
        Ok(all) => Json(all).into_response(),
        Err(error) => problem(error.status(), error),
    }
}

impl CommandError {
    const fn status(self) -> StatusCode {
        match self {
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::TooManyAttributes => StatusCode::UNPROCESSABLE_ENTITY,
            Self::UnknownEndpoint => StatusCode::NOT_FOUND,
        }
    }
}

async fn events(State(services): State<Arc<Services>>) -> Response {
    match &services.commands {
        Some(commands) => Sse::new(sse_events(commands.events()))
            .keep_alive(KeepAlive::default())
            .into_response(),
        None => no_commands(),
    }
}

fn sse_events(
    events: BoxStream<'static, ServerEvent>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    events.map(|event| Ok(sse::Event::default().event(event.kind).data(event.data)))
}

fn no_commands() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "only embedded mode takes commands here; with a platform core use its own API",
    )
}

pub(super) fn problem(status: StatusCode, error: impl ToString) -> Response {
    (status, Json(json!({ "error": error.to_string() }))).into_response()
}
