//! Connections of the HTTP server: how many there may be, and how long a request may take to arrive.
//!
//! Without these bounds whoever reaches the port can hold every file descriptor of the process by sending nothing.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time};

use super::api::problem;

/// How much of the process callers may occupy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the kernel.
    connections: usize,
    /// Time for the head of a request, the wait for the next one on an open connection included.
    head: Duration,
    /// Time for the body of a request.
    body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
        }
    }
}

/// Serves connections until the runtime ends.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits) {
    let router = router.layer(middleware::from_fn_with_state(limits.body, take_body));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let (stream, caller) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_caller(&error) {
                    // No file descriptor is left, most likely.
                    time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let service = router.clone().layer(Extension(ConnectInfo(caller)));
        let builder = builder.clone();
        tokio::spawn(async move {
            let service = TowerToHyperService::new(service);
            // An error is the caller's: it broke the connection or the protocol.
            builder
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
            drop(slot);
        });
    }
}

/// Reads the whole body before its handler runs: within a time, and only so much of it.
async fn take_body(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match time::timeout(limit, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(error)) => problem(StatusCode::PAYLOAD_TOO_LARGE, error),
        Err(_) => problem(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive in time",
        ),
    }
}

/// Whether the caller, not this process, is why a connection could not be accepted.
fn is_of_caller(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Largest request body.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::post;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn start(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(|body: String| async { body }));
        tokio::spawn(serve(listener, router, limits));
        address
    }

    /// What comes back for `sent` before the server closes.
    async fn ask(address: SocketAddr, sent: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    const WHOLE: &[u8] = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";

    #[tokio::test]
    async fn a_request_that_does_not_arrive_is_given_up() {
        let short = Duration::from_millis(50);
        let address = start(Limits {
            head: short,
            body: short,
            ..Limits::default()
        })
        .await;
        for nothing in [&b""[..], b"POST / HT"] {
            assert!(!ask(address, nothing).await.starts_with("HTTP/1.1 2"));
        }
        let slow = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 9\r\n\r\nabc";
        assert!(ask(address, slow).await.starts_with("HTTP/1.1 408 "));
    }

    #[tokio::test]
    async fn who_says_nothing_delays_others_only_so_long() {
        let address = start(Limits {
            connections: 1,
            head: Duration::from_millis(50),
            ..Limits::default()
        })
        .await;
        let silent = TcpStream::connect(address).await.unwrap();
        let answer = ask(address, WHOLE).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nabc"),
            "{answer}"
        );
        drop(silent);
    }
}
