//! Devices with keys and certificates made by `keygen`, as an operator would try them.

use crate::server::{Ended, Home, PATIENCE, Server, run};

/// Makes something with `keygen`; what it prints.
fn keygen(home: &Home, arguments: &[&str]) -> String {
    let Ended { status, stdout, .. } =
        run(home.lightship(&["keygen", "--out", "pki"]).args(arguments));
    assert_eq!(status, Some(0));
    stdout
}

/// Makes a device; its file in the registry has a profile that is there.
fn device(home: &Home, endpoint: &str, arguments: &[&str]) -> serde_json::Value {
    let printed = keygen(home, arguments);
    let mut document: serde_json::Value = serde_json::from_str(&printed).expect("it is JSON");
    document["profile"] = "default".into();
    home.write(
        &format!("registry/devices/{endpoint}.json"),
        &document.to_string(),
    );
    document
}

#[test]
fn devices_with_keys_and_certificates_are_served_on_one_port() {
    let home = Home::new();
    let psk = device(&home, "by-psk", &["psk", "by-psk", "--identity", "id-1"]);
    let key = psk["credentials"]["client"]["key"].as_str().expect("a key");
    let psk = format!("id-1:{key}");
    device(&home, "by-key", &["rpk", "by-key"]);
    keygen(&home, &["ca"]);
    keygen(&home, &["server", "localhost"]);
    device(&home, "by-name", &["device", "by-name"]);
    device(&home, "pinned", &["device", "pinned", "--pinned"]);
    let keys = [
        "--set",
        "lwm2m.server.credentials.enabled=true",
        "--set",
        "lwm2m.server.credentials.cert_file=pki/lwm2mserver.pem",
        "--set",
        "lwm2m.server.credentials.key_file=pki/lwm2mserver_key.pem",
        "--set",
        "lwm2m.trust.enabled=true",
        "--set",
        "lwm2m.trust.cert_file=pki/ca.pem",
    ];
    let server = Server::start_with(&home, &keys);
    let uri = format!("coaps://{}", server.coaps);
    let server_cert = ["--server-cert", "pki/lwm2mserver.pem"];
    let by_key = ["--key", "pki/by-key.key.pem"];
    let by_name = ["--key", "pki/by-name.key.pem", "--cert", "pki/by-name.pem"];
    let pinned = ["--key", "pki/pinned.key.pem", "--cert", "pki/pinned.pem"];
    let mut running = Vec::new();
    for (endpoint, security) in [
        ("by-psk", vec!["--psk", &psk]),
        ("by-key", [&by_key[..], &server_cert].concat()),
        ("by-name", [&by_name[..], &server_cert].concat()),
        ("pinned", pinned.to_vec()),
    ] {
        let mut command = home.lightship(&["device", "--server", &uri, "--endpoint", endpoint]);
        let mut device = crate::process::Process::spawn(endpoint, command.args(security));
        device.expect(PATIENCE, |line| line.starts_with("speaks DTLS with TLS_"));
        device.expect(PATIENCE, |line| line.starts_with("registered;"));
        home.expect_telemetry(|line| {
            line["endpoint"] == endpoint && line["values"]["temperature"] == 21.5
        });
        let answer = server.rpc(&home, &[endpoint, "Read", "/3/0/9"]);
        assert!(answer.stdout.contains("value=95"), "{endpoint}: {answer:?}");
        running.push(device);
    }
    for (mode, registered) in [("nosec", 0), ("psk", 1), ("rpk", 1), ("x509", 2)] {
        let name = format!("lightship_registrations{{security=\"{mode}\"}}");
        assert_eq!(server.metric(&name), registered, "{mode}");
    }
    // A device that says to be another one.
    let mut command = home.lightship(&["device", "--server", &uri, "--endpoint", "by-key"]);
    let mut other = crate::process::Process::spawn("other", command.args(["--psk", &psk]));
    other.expect(PATIENCE, |line| {
        line.starts_with("refused by the server: 4.03")
    });
}

#[test]
fn a_file_of_keys_that_cannot_be_used_is_named_before_anything_is_served() {
    let home = Home::new();
    let settings = [
        "--set",
        "lwm2m.server.credentials.enabled=true",
        "--set",
        "lwm2m.server.credentials.cert_file=absent.pem",
    ];
    let told = "lwm2m.server.credentials: absent.pem: No such file";
    let checked = run(home
        .lightship(&["config", "check", "--config", "lightship.toml"])
        .args(settings));
    assert_eq!(checked.status, Some(2));
    assert!(checked.stdout.contains(told), "{checked:?}");
    let served = run(home.lightship(&["serve"]).args(settings));
    assert_eq!(served.status, Some(2));
    assert!(
        served.stderr.contains(told) || served.stdout.contains(told),
        "{served:?}"
    );
}
