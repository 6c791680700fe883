//! Health, metrics and the API over HTTPS, with certificates made by `keygen` as an operator would make them.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::process::Process;
use crate::server::{Home, PATIENCE, expect_log, get, poll, run};

/// A running server that serves HTTPS, and what its callers know of it.
struct Secured<'a> {
    home: &'a Home,
    process: Process,
    address: SocketAddr,
}

impl<'a> Secured<'a> {
    fn start(home: &'a Home, settings: &[&str]) -> Self {
        let mut command = home.lightship(&["serve"]);
        for setting in TLS.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        let mut process = Process::spawn("lightship", &mut command);
        let record = expect_log(
            &mut process,
            "serving health, metrics and the API over HTTPS",
        );
        let address = record["address"].as_str().expect("the address is logged");
        let address: SocketAddr = address.parse().expect("it is an address");
        let server = Self {
            home,
            process,
            address,
        };
        let agent = server.agent(None);
        poll("readiness", || {
            (server.get(&agent, "/readyz").ok()?.0 == 200).then_some(())
        });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.address.port())
    }

    /// A caller that trusts the authority in `pki`, and shows the certificate of this name, if any.
    fn agent(&self, client: Option<&str>) -> ureq::Agent {
        let read = |name: String| fs::read(self.home.path(&name)).expect("it was made");
        let ca = Certificate::from_pem(&read("pki/ca.pem".to_owned())).expect("it is one");
        let client = client.map(|name| {
            let chain = Certificate::from_pem(&read(format!("{name}.pem"))).expect("it is one");
            let key = PrivateKey::from_pem(&read(format!("{name}.key.pem"))).expect("it is one");
            ClientCert::new_with_certs(&[chain], key)
        });
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .tls_config(
                TlsConfig::builder()
                    .unversioned_rustls_crypto_provider(Arc::new(provider))
                    .root_certs(RootCerts::new_with_certs(&[ca]))
                    .client_cert(client)
                    .build(),
            )
            .build()
            .into()
    }

    /// Status and body of a page.
    fn get(&self, agent: &ureq::Agent, path: &str) -> Result<(u16, String), ureq::Error> {
        let mut response = agent.get(self.url(path)).call()?;
        let body = response.body_mut().read_to_string()?;
        Ok((response.status().as_u16(), body))
    }

    fn status(&self, agent: &ureq::Agent, path: &str) -> u16 {
        self.get(agent, path).expect("the HTTPS side answers").0
    }
}

fn keygen(home: &Home, folder: &str, arguments: &[&str]) {
    let made = run(home.lightship(&["keygen", "--out", folder]).args(arguments));
    assert_eq!(made.status, Some(0), "{made:?}");
}

/// A home with an authority in `pki` that has signed for the server and for `operator`.
fn home() -> Home {
    let home = Home::with_device("urn:dev:one");
    keygen(&home, "pki", &["ca"]);
    keygen(&home, "pki", &["server"]);
    keygen(&home, "pki", &["client", "operator"]);
    home
}

#[test]
fn https_is_served_in_place_of_http_and_the_commands_speak_it() {
    let home = home();
    let server = Secured::start(&home, &[]);
    let agent = server.agent(None);
    assert_eq!(server.status(&agent, "/livez"), 200);
    assert_eq!(
        server.get(&agent, "/api/endpoints").expect("it answers"),
        (200, "[]".to_owned())
    );
    let (status, told) = get(&format!("http://{}/livez", server.address), None);
    assert_eq!(status, 400);
    assert!(told.contains("this port speaks HTTPS"), "{told}");

    let url = server.url("/readyz");
    let arguments = ["healthcheck", "--url", &url];
    let without = run(&mut home.lightship(&arguments));
    assert_eq!(without.status, Some(1));
    assert!(without.stderr.contains("--ca is needed"), "{without:?}");
    let asked = run(home.lightship(&arguments).args(["--ca", "pki/ca.pem"]));
    assert_eq!((asked.status, asked.stderr), (Some(0), String::new()));
    keygen(&home, "others", &["ca", "--name", "Others"]);
    let distrusted = run(home.lightship(&arguments).args(["--ca", "others/ca.pem"]));
    assert_eq!(distrusted.status, Some(1));
    assert!(
        distrusted.stderr.contains("UnknownIssuer"),
        "{distrusted:?}"
    );

    let (status, page) = server.get(&agent, "/metrics").expect("it answers");
    assert_eq!(status, 200);
    let plain = r#"lightship_https_handshakes_total{result="plain"} 1"#;
    assert!(page.contains(plain), "{page}");
}

#[test]
fn a73_all_but_probes_needs_a_client_certificate_where_one_is_asked_for() {
    let home = home();
    let server = Secured::start(&home, &MUTUAL);
    let (stranger, operator) = (server.agent(None), server.agent(Some("pki/operator")));
    for page in ["/livez", "/startupz", "/readyz"] {
        assert_eq!(server.status(&stranger, page), 200, "{page}");
    }
    for page in [
        "/metrics",
        "/actuator/prometheus",
        "/version",
        "/api/endpoints",
        "/api/openapi.json",
    ] {
        let (status, told) = server.get(&stranger, page).expect("it answers");
        assert_eq!(status, 403, "{page}");
        assert!(told.contains("http.tls.client_ca_file"), "{page}: {told}");
        assert_eq!(server.status(&operator, page), 200, "{page}");
    }
    // What looks like a probe is none.
    for page in ["/livez/../metrics", "//livez", "/livez/", "/nothing"] {
        assert_eq!(server.status(&stranger, page), 403, "{page}");
    }

    let url = server.url("");
    let rpc = ["rpc", "--url", &url, "--ca", "pki/ca.pem"];
    let shown = [
        "--cert",
        "pki/operator.pem",
        "--key",
        "pki/operator.key.pem",
    ];
    let command = ["urn:dev:one", "Read", "/3/0/9"];
    let refused = run(home.lightship(&rpc).args(command));
    assert!(
        refused.stderr.contains("a client certificate"),
        "{refused:?}"
    );
    let taken = run(home.lightship(&rpc).args(shown).args(command));
    let told = taken.stderr.lines().next();
    assert_eq!(told, Some("no such endpoint is registered"));
    let mismatch = ["--cert", "pki/operator.pem", "--key", "pki/ca.key.pem"];
    let mismatch = run(home.lightship(&rpc).args(mismatch).args(command));
    assert_eq!(
        mismatch.stderr,
        "--cert: pki/operator.pem: the first certificate is not for the private key\n"
    );
}

#[test]
fn a73_a_certificate_opens_the_api_to_others_and_a_token_is_asked_for_besides() {
    let home = home();
    let open = [MUTUAL[0], "http.bind=0.0.0.0:0", "http.api=all"];
    let server = Secured::start(&home, &open);
    let operator = server.agent(Some("pki/operator"));
    // By a name that is not local, as from another machine.
    let asked = operator.get(server.url("/api/endpoints"));
    let answer = asked.header("Host", "gw.example").call();
    assert_eq!(answer.expect("it answers").status(), 200);
    drop(server);

    let tokened = [MUTUAL[0], "http.api_token=s3cret"];
    let server = Secured::start(&home, &tokened);
    let operator = server.agent(Some("pki/operator"));
    assert_eq!(server.status(&operator, "/api/endpoints"), 401);
    let authorization = |agent: &ureq::Agent| {
        let request = agent.get(server.url("/api/endpoints"));
        let request = request.header("Authorization", "Bearer s3cret");
        request.call().expect("it answers").status().as_u16()
    };
    assert_eq!(authorization(&operator), 200);
    assert_eq!(authorization(&server.agent(None)), 403);
}

#[test]
fn a14_client_certificates_by_others_out_of_date_or_for_servers_end_the_handshake() {
    let home = home();
    keygen(&home, "others", &["ca", "--name", "Others"]);
    keygen(&home, "others", &["client", "stranger"]);
    for (name, usage, until) in [
        ("late", ExtendedKeyUsagePurpose::ClientAuth, 2020),
        ("server", ExtendedKeyUsagePurpose::ServerAuth, 2090),
    ] {
        sign(&home, name, usage, until);
    }
    let server = Secured::start(&home, &MUTUAL);
    for (name, alert) in [
        ("others/stranger", "UnknownCA"),
        ("pki/late", "CertificateExpired"),
        ("pki/server", "UnsupportedCertificate"),
    ] {
        // Not even a probe is answered: who shows a certificate must have a good one.
        for page in ["/readyz", "/metrics"] {
            let refused = server.get(&server.agent(Some(name)), page).unwrap_err();
            let told = refused.to_string();
            assert!(told.contains(alert), "{name}: {told}");
        }
    }
    let operator = server.agent(Some("pki/operator"));
    let (_, page) = server.get(&operator, "/metrics").expect("it answers");
    let failed = r#"lightship_https_handshakes_total{result="failed"} 6"#;
    assert!(page.contains(failed), "{page}");
}

#[test]
fn a70_replaced_keys_serve_the_next_connection_and_unusable_ones_nobody() {
    let home = home();
    let mut server = Secured::start(&home, &["lwm2m.credentials_reload_s=1"]);
    // Trusts the first authority alone, so what it gets later comes over its first connection.
    let old = server.agent(None);
    assert_eq!(server.status(&old, "/readyz"), 200);

    fs::write(home.path("pki/lwm2mserver.pem"), "no certificate").expect("it can be written");
    let record = expect_log(&mut server.process, "cannot be used, so those before stay");
    let told = record["message"].as_str().expect("it is text");
    assert!(
        told.contains("http.tls.cert_file: pki/lwm2mserver.pem"),
        "{told}"
    );
    assert_eq!(server.status(&server.agent(None), "/readyz"), 200);
    assert_eq!(server.status(&old, "/readyz"), 200);

    keygen(&home, "new", &["ca"]);
    keygen(&home, "new", &["server"]);
    for name in ["ca.pem", "lwm2mserver.pem", "lwm2mserver_key.pem"] {
        fs::rename(
            home.path(&format!("new/{name}")),
            home.path(&format!("pki/{name}")),
        )
        .expect("they can be replaced");
    }
    poll("the new certificate", || {
        assert_eq!(server.status(&old, "/readyz"), 200);
        server.get(&server.agent(None), "/readyz").ok()
    });
    assert_eq!(server.status(&old, "/readyz"), 200);
}

#[test]
fn files_that_cannot_be_used_and_plain_text_by_mistake_are_told_at_the_start() {
    let home = home();
    for (settings, told) in [
        (
            &["http.tls.cert_file=absent.pem"][..],
            "http.tls.cert_file: absent.pem: No such file",
        ),
        (
            &["http.tls.key_file=pki/ca.key.pem", TLS[0]],
            "http.tls.cert_file: pki/lwm2mserver.pem: the first certificate is not for the private key",
        ),
        (
            &["http.tls.client_ca_file=pki/ca.pem"],
            "http.tls.cert_file: must be set",
        ),
        (
            &["http.tls.cert_file="],
            "http.tls.cert_file: : No such file",
        ),
    ] {
        let arguments: Vec<_> = settings.iter().flat_map(|s| ["--set", s]).collect();
        let checked = run(home.lightship(&["config", "check"]).args(&arguments));
        assert_eq!(checked.status, Some(2), "{checked:?}");
        assert!(checked.stdout.contains(told), "{checked:?}");
        let served = run(home.lightship(&["serve"]).args(&arguments));
        assert_eq!(served.status, Some(2), "{served:?}");
        let said = format!("{}{}", served.stdout, served.stderr);
        assert!(said.contains(told), "{said}");
        assert!(said.matches("No such file").count() < 2, "{said}");
    }
    let secret = ["--set", "http.tls.key_password=s3cret", "--set", TLS[0]];
    let printed = run(home.lightship(&["config", "print"]).args(secret));
    assert!(
        printed.stdout.contains("http.tls.key_password = \"***\"")
            && !printed.stdout.contains("s3cret"),
        "{}",
        printed.stdout
    );
}

/// Has the authority in `pki` sign a certificate for `name`, valid until the beginning of a year.
fn sign(home: &Home, name: &str, usage: ExtendedKeyUsagePurpose, until: i32) {
    let read = |name: &str| fs::read_to_string(home.path(name)).expect("it was made");
    let key = KeyPair::from_pem(&read("pki/ca.key.pem")).expect("it is one");
    let issuer = Issuer::from_ca_cert_pem(&read("pki/ca.pem"), key).expect("it is one");
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![usage];
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    let certificate = params.signed_by(&key, &issuer).expect("it can be signed");
    home.write(&format!("pki/{name}.pem"), &certificate.pem());
    home.write(&format!("pki/{name}.key.pem"), &key.serialize_pem());
}

const TLS: [&str; 2] = [
    "http.tls.cert_file=pki/lwm2mserver.pem",
    "http.tls.key_file=pki/lwm2mserver_key.pem",
];
const MUTUAL: [&str; 1] = ["http.tls.client_ca_file=pki/ca.pem"];
