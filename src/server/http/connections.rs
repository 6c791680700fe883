//! Connections of the HTTP server: how many there may be, and how long a request may take to arrive and its answer to leave.
//!
//! Without these bounds whoever reaches the port can hold every file descriptor of the process by sending nothing or
//! reading nothing.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};

use super::{
    access::Caller,
    api::problem,
    tls::{self, Greeting, Tls},
    write_timeout::WriteTimeout,
};

/// How much of the process callers may occupy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at a time; more wait in the kernel.
    connections: usize,
    /// Connections of one IP address at a time; more are closed.
    of_address: usize,
    /// Time for the handshake of TLS.
    handshake: Duration,
    /// Time for the head of a request, the wait for the next one on an open connection included.
    head: Duration,
    /// Time for the body of a request.
    body: Duration,
    /// Time in which some of an answer must leave.
    write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            of_address: 64,
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(10),
            body: Duration::from_secs(10),
            write: Duration::from_secs(30),
        }
    }
}

/// Serves connections until the runtime ends, over TLS alone where there is any.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, tls: Option<Tls>) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let callers = Callers::default();
    let served = Arc::new(Served {
        refusal: limits.apply(tls::refusal()),
        router: limits.apply(router),
        limits,
        tls,
    });
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let (stream, caller) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_caller(&error) {
                    // No file descriptor is left, most likely.
                    tracing::warn!(%error, "the HTTP server cannot accept connections");
                    time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let Some(place) = Place::take(&callers, caller.ip(), limits.of_address) else {
            continue;
        };
        let served = Arc::clone(&served);
        tokio::spawn(async move {
            served.serve(stream, caller).await;
            drop((slot, place));
        });
    }
}

/// How many connections each address has, where it has any.
type Callers = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// One of the connections of an address, until it is dropped.
struct Place {
    callers: Callers,
    address: IpAddr,
}

impl Place {
    /// `None`: the address has `most` already.
    fn take(callers: &Callers, address: IpAddr, most: usize) -> Option<Self> {
        let address = address.to_canonical();
        let mut counts = callers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Self {
            callers: Arc::clone(callers),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What every connection needs.
struct Served {
    router: Router,
    /// What callers get who speak plain HTTP where they must not.
    refusal: Router,
    limits: Limits,
    tls: Option<Tls>,
}

impl Served {
    async fn serve(&self, stream: TcpStream, address: SocketAddr) {
        let mut caller = Caller {
            address: address.ip(),
            certified: false,
        };
        let Some(tls) = &self.tls else {
            return self.converse(stream, caller, &self.router).await;
        };
        match tls.greet(stream, address, self.limits.handshake).await {
            Some(Greeting::Tls(stream)) => {
                // One that was not verified would have ended the handshake.
                caller.certified = stream.get_ref().1.peer_certificates().is_some();
                self.converse(stream, caller, &self.router).await;
            }
            Some(Greeting::Plain(stream)) => self.converse(stream, caller, &self.refusal).await,
            None => {}
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        caller: Caller,
        router: &Router,
    ) {
        let service = TowerToHyperService::new(router.clone().layer(Extension(caller)));
        // Probes need one request each; who may ask for nothing else is not to hold a slot.
        let keep_alive = caller.certified || !self.tls.as_ref().is_some_and(|tls| tls.asks);
        let stream = WriteTimeout::new(stream, self.limits.write);
        // An error is the caller's: it broke the connection or the protocol.
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(MAX_HEAD_BYTES)
            .keep_alive(keep_alive)
            .serve_connection(TokioIo::new(stream), service)
            .await
            .ok();
    }
}

impl Limits {
    fn apply(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.body, take_body))
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

/// Largest head of a request: what hyper holds of a connection at a time.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Largest request body.
const MAX_BODY_BYTES: usize = 64 << 10;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::routing::{get, post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpSocket,
    };

    use crate::server::metrics::HttpsHandshake;

    use super::{
        tls::tests::{Pki, ask as ask_over_tls},
        *,
    };

    async fn start(limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(|body: String| async { body }));
        tokio::spawn(serve(listener, router, limits, None));
        address
    }

    /// What comes back for `sent` before the server closes.
    async fn ask(address: SocketAddr, sent: &[u8]) -> String {
        exchange(TcpStream::connect(address).await.unwrap(), sent).await
    }

    async fn exchange(stream: TcpStream, sent: &[u8]) -> String {
        try_exchange(stream, sent).await.unwrap()
    }

    async fn try_exchange(mut stream: TcpStream, sent: &[u8]) -> io::Result<String> {
        stream.write_all(sent).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
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

    /// What connections need that are not over TLS.
    fn served(limits: Limits, router: Router) -> Served {
        Served {
            refusal: Router::new(),
            router,
            limits,
            tls: None,
        }
    }

    const LOCAL: Caller = Caller {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        certified: false,
    };

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let address = start(Limits::default()).await;
        let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
        head.resize(MAX_HEAD_BYTES, b'a');
        let answer = ask(address, &head).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test]
    async fn one_address_has_only_so_many_connections() {
        let address = start(Limits {
            of_address: 2,
            ..Limits::default()
        })
        .await;
        let mut open = Vec::new();
        for _ in 0..2 {
            open.push(TcpStream::connect(address).await.unwrap());
        }
        let mut refused = TcpStream::connect(address).await.unwrap();
        let read = refused.read_u8();
        let read = time::timeout(Duration::from_secs(5), read).await.unwrap();
        assert!(read.is_err(), "it is closed");
        let elsewhere = TcpSocket::new_v4().unwrap();
        elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let elsewhere = elsewhere.connect(address).await.unwrap();
        assert!(exchange(elsewhere, WHOLE).await.ends_with("abc"));
        // One that ends makes room.
        let last = open.pop().unwrap();
        assert!(exchange(last, WHOLE).await.ends_with("abc"));
        let answered = async {
            while !try_exchange(TcpStream::connect(address).await.unwrap(), WHOLE)
                .await
                .is_ok_and(|answer| answer.ends_with("abc"))
            {}
        };
        time::timeout(Duration::from_secs(5), answered)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn who_shows_no_certificate_where_one_is_asked_for_keeps_no_connection() {
        let pki = Pki::new();
        let router = Router::new().route("/", get(async || "abc"));
        for (asks, certified, keeps) in [
            (false, false, true),
            (true, false, false),
            (true, true, true),
        ] {
            let mut tls = pki.tls();
            tls.asks = asks;
            let limits = Limits {
                head: Duration::from_millis(50),
                ..Limits::default()
            };
            let served = Served {
                tls: Some(tls),
                ..served(limits, router.clone())
            };
            let (mut caller, stream) = tokio::io::duplex(4096);
            let request = b"GET / HTTP/1.1\r\n\r\n";
            caller.write_all(request).await.unwrap();
            let known = Caller { certified, ..LOCAL };
            served.converse(stream, known, &served.router).await;
            let mut answer = String::new();
            caller.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(body.starts_with("abc"), "{answer}");
            assert_eq!(!head.contains("connection: close"), keeps, "{answer}");
        }
    }

    #[tokio::test]
    async fn who_does_not_read_its_answers_is_given_up() {
        let short = Limits {
            write: Duration::from_millis(50),
            ..Limits::default()
        };
        let router = Router::new().route("/", get(async || "x".repeat(10_000)));
        let served = served(short, router);
        let (mut caller, stream) = tokio::io::duplex(4096);
        let pipelined = b"GET / HTTP/1.1\r\n\r\n".repeat(10);
        caller.write_all(&pipelined).await.unwrap();
        let conversation = served.converse(stream, LOCAL, &served.router);
        time::timeout(Duration::from_secs(5), conversation)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_long_in_coming_is_not() {
        let short = Limits {
            write: Duration::from_millis(20),
            ..Limits::default()
        };
        let late = async || {
            time::sleep(Duration::from_millis(200)).await;
            "late"
        };
        let served = served(short, Router::new().route("/", get(late)));
        let (mut caller, stream) = tokio::io::duplex(16);
        let asking = async {
            let request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
            caller.write_all(request).await.unwrap();
            let mut answer = String::new();
            caller.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let conversation = served.converse(stream, LOCAL, &served.router);
        let (answer, ()) = tokio::join!(asking, conversation);
        assert!(answer.ends_with("late"), "{answer}");
    }

    #[tokio::test]
    async fn a_handshake_that_stalls_is_closed_and_counted_and_others_come_in() {
        let pki = Pki::new();
        let tls = pki.tls();
        let limits = Limits {
            connections: 1,
            handshake: Duration::from_millis(50),
            ..Limits::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "abc"));
        tokio::spawn(serve(listener, router, limits, Some(tls.clone())));
        // Nothing at all, and the head of a record whose rest does not come.
        for nothing in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
            let mut stalled = TcpStream::connect(address).await.unwrap();
            stalled.write_all(nothing).await.unwrap();
            let (answer, _) = ask_over_tls(address, pki.caller()).await.unwrap();
            assert!(answer.ends_with("abc"), "{answer}");
            // It is closed, in order or not.
            let mut rest = Vec::new();
            stalled.read_to_end(&mut rest).await.ok();
            assert_eq!(rest, b"");
        }
        assert_eq!(tls.counted(HttpsHandshake::Timeout), 2);
        assert_eq!(tls.counted(HttpsHandshake::Ok), 2);
    }
}
