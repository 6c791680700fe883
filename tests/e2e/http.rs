//! Health, metrics and the API of a running server.

use serde_json::Value;

use crate::server::{Home, Server, get, run};

#[test]
fn health_metrics_and_version_are_served() {
    let home = Home::new();
    let server = Server::start(&home);
    for page in ["/livez", "/startupz", "/readyz"] {
        let (status, body) = server.get(page);
        let body: Value = serde_json::from_str(&body).expect("it is JSON");
        assert_eq!((status, &body["status"]), (200, &"ok".into()), "{page}");
    }
    assert_eq!(server.metric(r#"lightship_state{state="ready"}"#), 1);
    assert_eq!(
        server.metric(r#"lightship_registrations{security="nosec"}"#),
        0
    );
    assert_eq!(server.get("/actuator/prometheus").0, 200);
    assert!(server.get("/version").1.contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(server.get("/").0, 404);
}

#[test]
fn healthcheck_tells_by_its_exit_status_whether_a_server_is_ready() {
    let home = Home::new();
    let mut server = Server::start(&home);
    let url = format!("{}/readyz", server.http);
    let mut healthcheck = home.lightship(&["healthcheck", "--url", &url]);
    let ready = run(&mut healthcheck);
    assert_eq!(
        (ready.status, ready.stdout, ready.stderr),
        (Some(0), String::new(), String::new())
    );
    server.process.terminate(crate::server::PATIENCE);
    let gone = run(&mut healthcheck);
    assert_eq!(gone.status, Some(1));
    assert!(
        gone.stderr.starts_with(&format!("lightship: {url}: ")),
        "{gone:?}"
    );
}

#[test]
fn a73_without_a_token_the_api_is_for_this_machine_alone() {
    let home = Home::with_device("urn:dev:one");
    let server = Server::start(&home);
    assert_eq!(server.get("/api/endpoints"), (200, "[]".to_owned()));
    // A page in a browser here that calls us by a name of its own.
    let port = server.http.rsplit(':').next().expect("there is a port");
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let request = agent.get(format!("{}/api/endpoints", server.http));
    let response = request
        .header("Host", format!("rebound.example:{port}"))
        .call();
    assert_eq!(response.expect("it answers").status().as_u16(), 403);

    let open = ["--set", "http.bind=0.0.0.0:0", "--set", "http.api=all"];
    let refused = run(home.lightship(&["serve"]).args(open));
    assert_eq!(refused.status, Some(2), "{refused:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("http.api_token"), "{said}");
}

#[test]
fn a73_a_token_is_asked_for_where_one_is_set() {
    let home = Home::with_device("urn:dev:one");
    home.write("token", "s3cret\n");
    let settings = [
        "--set",
        "http.api=all",
        "--set",
        "http.api_token_file=token",
    ];
    let server = Server::start_with(&home, &settings);
    let url = format!("{}/api/endpoints", server.http);
    assert_eq!(get(&url, None).0, 401);
    assert_eq!(get(&url, Some("secret")).0, 401);
    assert_eq!(get(&url, Some("s3cret")), (200, "[]".to_owned()));
    // Probes and metrics need none.
    assert_eq!(server.get("/readyz").0, 200);
    assert_eq!(server.get("/metrics").0, 200);

    let arguments = [
        "rpc",
        "--url",
        &server.http,
        "urn:dev:one",
        "Read",
        "/3/0/9",
    ];
    let without = run(&mut home.lightship(&arguments));
    assert_eq!(without.status, Some(1));
    assert!(without.stderr.contains("http.api_token"), "{without:?}");
    let with = run(home
        .lightship(&arguments)
        .env("LIGHTSHIP__HTTP__API_TOKEN", "s3cret"));
    let told = with.stderr.lines().next();
    assert_eq!(
        (with.status, told),
        (Some(1), Some("no such endpoint is registered"))
    );
    let printed = run(home.lightship(&["config", "print"]).args(settings));
    assert!(!printed.stdout.contains("s3cret"), "{}", printed.stdout);
    assert!(
        printed.stdout.contains("http.api_token = \"***\""),
        "{}",
        printed.stdout
    );
}

#[test]
fn the_api_can_be_switched_off() {
    let home = Home::new();
    let server = Server::start_with(&home, &["--set", "http.api=off"]);
    assert_eq!(server.get("/api/endpoints").0, 404);
    assert_eq!(server.get("/readyz").0, 200);
}
