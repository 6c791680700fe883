//! TLS of the HTTP server: 1.3 (RFC 8446) and 1.2 (RFC 5246), its handshakes, and callers who do not speak it.
//!
//! A client certificate is asked for and not insisted on, because probes have none; what needs one says so by itself. One
//! that is shown and cannot be verified ends the handshake. Sessions are not resumed: every connection is held against the
//! issuers and the hour of its own handshake.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{StatusCode, header},
    response::IntoResponse,
};
use rustls::{
    ServerConfig,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    platform::secret::Secret,
    server::{
        keys::{
            KeyError, KeyFault, KeyMaterial, KeySettingError, Watch, client_verifier, provider,
        },
        metrics::{HttpsHandshake, Metrics},
    },
};

use super::{api::problem, settings::HttpTlsSettings};

/// Where the keys of HTTPS are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    cert_file: PathBuf,
    key_file: PathBuf,
    key_password: Secret,
    client_ca_file: Option<PathBuf>,
}

impl HttpTlsSettings {
    /// Where the keys are; `None`: HTTPS is not served.
    pub fn files(&self) -> Option<TlsFiles> {
        let cert_file = self.cert_file.clone()?;
        Some(TlsFiles {
            key_file: self.key_file.clone().unwrap_or_else(|| cert_file.clone()),
            cert_file,
            key_password: self.key_password.clone(),
            client_ca_file: self.client_ca_file.clone(),
        })
    }
}

impl TlsFiles {
    /// Reads them.
    ///
    /// # Errors
    /// The first that cannot be used.
    pub fn load(&self) -> Result<Arc<ServerConfig>, KeySettingError> {
        self.config().map_err(|error| KeySettingError {
            setting: if error.file == self.cert_file {
                "http.tls.cert_file"
            } else if error.file == self.key_file {
                "http.tls.key_file"
            } else {
                "http.tls.client_ca_file"
            },
            error,
        })
    }

    fn config(&self) -> Result<Arc<ServerConfig>, KeyError> {
        let password = self.key_password.expose();
        let key = KeyMaterial::read(&self.cert_file, &self.key_file, password)?.certified()?;
        let verifier = match &self.client_ca_file {
            Some(file) => client_verifier(file)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(|error| KeyError {
                file: self.cert_file.clone(),
                reason: KeyFault::Tls(error),
            })?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    /// A watch on all of them; see [`KeyFiles::watch`](crate::server::keys::KeyFiles::watch).
    pub(super) fn watch(&self) -> Watch {
        let keys = [&self.cert_file, &self.key_file].into_iter();
        Watch::new(keys.chain(&self.client_ca_file).cloned().collect())
    }
}

/// Shakes hands with callers.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    keys: watch::Receiver<Arc<ServerConfig>>,
    /// Whether callers are asked for a certificate.
    pub(super) asks: bool,
    metrics: Arc<Metrics>,
}

/// How a connection began.
pub(super) enum Greeting {
    /// With a handshake.
    Tls(Box<TlsStream<TcpStream>>),
    /// With something else: plain HTTP, most likely.
    Plain(TcpStream),
}

impl Tls {
    /// With the newest of `keys`.
    pub(super) const fn new(
        keys: watch::Receiver<Arc<ServerConfig>>,
        asks: bool,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            keys,
            asks,
            metrics,
        }
    }

    /// Waits for the handshake of a connection, at most for `limit`. `None`: it did not end well, and the caller is gone.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        caller: SocketAddr,
        limit: Duration,
    ) -> Option<Greeting> {
        let count = |result| self.metrics.https_handshakes.of(result).inc();
        let greeting = match timeout(limit, self.shake_hands(stream)).await {
            Ok(Ok(greeting)) => greeting,
            Ok(Err((error, stream))) => {
                count(HttpsHandshake::Failed);
                tracing::debug!(%caller, %error, "a TLS handshake failed");
                let_go(stream).await;
                return None;
            }
            Err(_) => {
                count(HttpsHandshake::Timeout);
                return None;
            }
        };
        count(match greeting {
            Greeting::Tls(_) => HttpsHandshake::Ok,
            Greeting::Plain(_) => HttpsHandshake::Plain,
        });
        Some(greeting)
    }

    async fn shake_hands(&self, stream: TcpStream) -> Result<Greeting, (io::Error, TcpStream)> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first != [HANDSHAKE] => return Ok(Greeting::Plain(stream)),
            Ok(_) => {}
            Err(error) => return Err((error, stream)),
        }
        let acceptor = TlsAcceptor::from(Arc::clone(&self.keys.borrow()));
        let stream = acceptor.accept(stream).into_fallible().await?;
        Ok(Greeting::Tls(Box::new(stream)))
    }
}

/// Ends a connection so that the alert arrives: with something unread the system would reset it.
async fn let_go(mut stream: TcpStream) {
    let end = async {
        stream.shutdown().await?;
        let mut rest = stream.take(UNREAD);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whoever has gone already needs no farewell.
    timeout(FAREWELL, end).await.ok();
}

/// What plain HTTP is answered with.
pub(super) fn refusal() -> Router {
    Router::new().fallback(async || {
        let told = problem(
            StatusCode::BAD_REQUEST,
            "this port speaks HTTPS (http.tls): the address must begin with https://",
        );
        ([(header::CONNECTION, "close")], told).into_response()
    })
}

/// The first byte of a TLS record with a handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// Time for a caller to take notice of an alert.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a caller may still send then, bytes.
const UNREAD: u64 = 64 << 10;

#[cfg(test)]
pub(super) mod tests {
    use std::{fs, path::Path};

    use axum::routing::get;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa,
        KeyPair,
    };
    use rustls::{
        ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SupportedProtocolVersion,
        pki_types::{PrivateKeyDer, ServerName},
        version::{TLS12, TLS13},
    };
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use crate::platform::time::UnixMillis;

    use super::{super::connections, *};

    /// An issuer, and a folder for what it signs.
    pub(in super::super) struct Pki {
        folder: tempfile::TempDir,
        issuer: CertifiedIssuer<'static, KeyPair>,
    }

    impl Pki {
        pub(in super::super) fn new() -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let pki = Self {
                folder: tempfile::tempdir().unwrap(),
                issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
            };
            pki.write("ca.pem", &pki.issuer.pem());
            pki.sign(&KeyPair::generate().unwrap());
            pki
        }

        /// Writes a certificate for a server with this key, and the key.
        fn sign(&self, key: &KeyPair) {
            let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            self.write(
                "server.pem",
                &params.signed_by(key, &self.issuer).unwrap().pem(),
            );
            self.write("server.key.pem", &key.serialize_pem());
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn settings(&self) -> HttpTlsSettings {
            HttpTlsSettings {
                cert_file: Some(self.path("server.pem")),
                key_file: Some(self.path("server.key.pem")),
                ..HttpTlsSettings::default()
            }
        }

        pub(in super::super) fn tls(&self) -> Tls {
            let config = self.settings().files().unwrap().load().unwrap();
            let (_, keys) = watch::channel(config);
            Tls::new(keys, false, Arc::new(Metrics::new(UnixMillis(0))))
        }

        /// A caller that trusts the issuer.
        pub(in super::super) fn caller(&self) -> ClientConfig {
            self.caller_of(rustls::ALL_VERSIONS)
        }

        fn caller_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(versions)
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth()
        }
    }

    impl Tls {
        pub(in super::super) fn counted(&self, result: HttpsHandshake) -> u64 {
            self.metrics.https_handshakes.of(result).get()
        }
    }

    async fn start(tls: Tls) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(async || "hello"));
        let limits = connections::Limits::default();
        tokio::spawn(connections::serve(listener, router, limits, Some(tls)));
        address
    }

    /// What comes back over TLS, and the caller's side of the connection.
    pub(in super::super) async fn ask(
        address: SocketAddr,
        config: ClientConfig,
    ) -> io::Result<(String, ClientConnection)> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok((answer, stream.into_inner().1))
    }

    async fn ask_plainly(address: SocketAddr, sent: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn tls_1_2_and_1_3_are_spoken_and_no_http_2() {
        let pki = Pki::new();
        let tls = pki.tls();
        let address = start(tls.clone()).await;
        for version in [&TLS12, &TLS13] {
            let (answer, spoken) = ask(address, pki.caller_of(&[version])).await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"),
                "{answer}"
            );
            assert_eq!(spoken.protocol_version(), Some(version.version));
        }
        let mut caller = pki.caller();
        caller.alpn_protocols = vec![b"h2".to_vec()];
        assert!(ask(address, caller).await.is_err());
        assert_eq!(tls.counted(HttpsHandshake::Ok), 2);
        assert_eq!(tls.counted(HttpsHandshake::Failed), 1);
    }

    #[tokio::test]
    async fn every_connection_is_held_against_the_keys_of_its_own_time() {
        let pki = Pki::new();
        let address = start(pki.tls()).await;
        for version in [&TLS12, &TLS13] {
            // Clones share what a caller would resume.
            let caller = pki.caller_of(&[version]);
            for _ in 0..2 {
                let (_, spoken) = ask(address, caller.clone()).await.unwrap();
                assert_eq!(spoken.handshake_kind(), Some(HandshakeKind::Full));
            }
        }
    }

    #[tokio::test]
    async fn plain_http_is_told_what_is_spoken_here() {
        let tls = Pki::new().tls();
        let address = start(tls.clone()).await;
        let answer = ask_plainly(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.contains("https://") && !answer.contains("hello"),
            "{answer}"
        );
        assert_eq!(tls.counted(HttpsHandshake::Plain), 1);
        assert_eq!(tls.counted(HttpsHandshake::Ok), 0);
    }

    #[tokio::test]
    async fn a12_a_caller_that_closes_right_after_its_client_hello_is_let_go() {
        let pki = Pki::new();
        let tls = pki.tls();
        let address = start(tls.clone()).await;
        let name = ServerName::try_from("localhost").unwrap();
        let mut caller = ClientConnection::new(Arc::new(pki.caller()), name).unwrap();
        let mut sent = Vec::new();
        caller.write_tls(&mut sent).unwrap();
        // An alert record: warning, close_notify.
        sent.extend([21, 3, 3, 0, 2, 1, 0]);
        ask_plainly(address, &sent).await;
        assert_eq!(tls.counted(HttpsHandshake::Ok), 0);
        assert!(
            ask(address, pki.caller()).await.is_ok(),
            "others are served"
        );
    }

    #[tokio::test]
    async fn an_alert_reaches_a_caller_that_goes_on_sending() {
        let address = start(Pki::new().tls()).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A ClientHello without anything.
        stream
            .write_all(&[22, 3, 3, 0, 4, 1, 0, 0, 0])
            .await
            .unwrap();
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).await.unwrap();
        // An alert record: fatal, decode_error (RFC 8446 section 6).
        assert_eq!(alert, [21, 3, 3, 0, 2, 2, 50]);
        // Where nobody listens the first is answered by a reset, and the second cannot be sent.
        for _ in 0..2 {
            stream.write_all(b"more").await.unwrap();
        }
    }

    #[tokio::test]
    async fn keys_of_rsa_serve_as_well() {
        let pki = Pki::new();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/keys/rsa.key.pem");
        let text = fs::read_to_string(file).unwrap();
        let der = ::pem::parse(&text).unwrap().into_contents();
        let der = PrivateKeyDer::try_from(der).unwrap();
        let key = KeyPair::from_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
        pki.sign(&key);
        pki.write("server.key.pem", &text);
        let address = start(pki.tls()).await;
        assert!(ask(address, pki.caller()).await.is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_its_setting_and_no_key_is_shown() {
        let pki = Pki::new();
        let told = |settings: HttpTlsSettings| {
            let error = settings.files().unwrap().load().unwrap_err();
            error.to_string()
        };
        let absent = Some(Path::new("absent.pem").to_owned());
        for (settings, expected) in [
            (
                HttpTlsSettings {
                    cert_file: absent.clone(),
                    ..pki.settings()
                },
                "http.tls.cert_file: absent.pem: No such file",
            ),
            (
                HttpTlsSettings {
                    key_file: absent.clone(),
                    ..pki.settings()
                },
                "http.tls.key_file: absent.pem: No such file",
            ),
            (
                HttpTlsSettings {
                    client_ca_file: absent,
                    ..pki.settings()
                },
                "http.tls.client_ca_file: absent.pem: No such file",
            ),
            (
                HttpTlsSettings {
                    key_file: None,
                    ..pki.settings()
                },
                "server.pem: there is no private key in it",
            ),
            (
                HttpTlsSettings {
                    cert_file: Some(pki.path("ca.pem")),
                    ..pki.settings()
                },
                "ca.pem: the first certificate is not for the private key",
            ),
            (
                HttpTlsSettings {
                    client_ca_file: Some(pki.path("server.pem")),
                    ..pki.settings()
                },
                "server.pem: none of its certificates may issue others",
            ),
        ] {
            let error = told(settings);
            assert!(error.contains(expected), "{error}");
        }
        let files = HttpTlsSettings {
            key_password: Secret::new("s3cr3t"),
            ..pki.settings()
        };
        let shown = format!("{files:?} {:?} {:?}", files.files(), pki.tls());
        let key = fs::read_to_string(pki.path("server.key.pem")).unwrap();
        let key = key.lines().nth(1).unwrap();
        assert!(!shown.contains("s3cr3t") && !shown.contains(key), "{shown}");
    }
}
