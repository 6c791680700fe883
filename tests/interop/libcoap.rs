//! libcoap's client before our server, and before a device of ours.

use std::fs;
use std::net::SocketAddr;

use serde_json::json;

use crate::cases::Cases;
use crate::commander::{Commander, expect_parts};
use crate::peers::{free_udp_port, libcoap};
use crate::process::Process;
use crate::server::{Home, PATIENCE, PROFILE};

#[test]
fn libcoap_speaks_with_our_server() {
    if !libcoap::is_there() {
        return;
    }
    let endpoints = ["small", "large", "blocks", "lossy", "updates", "leaves"];
    let commander = Commander::start(PROFILE, &endpoints);
    let base = format!("coap://{}", commander.server.coap);
    let uri = |path: &str| format!("{base}{path}");
    let register = |endpoint: &str| uri(&format!("/rd?ep={endpoint}&lt=60&lwm2m=1.1&b=U"));
    let many: String = (0..200).map(|id| format!(",</3303/{id}>")).collect();
    let many = format!("</>;rt=\"oma.lwm2m\";ct=110,</3>;ver=1.2,</3/0>{many}");
    commander.home.write("links.txt", &many);
    let links = commander.home.path("links.txt");
    let links = links.to_str().expect("a temporary folder has a plain name");
    let has_all = |endpoint: &str| {
        commander.await_endpoint(endpoint, |summary| {
            let objects = summary["objects"].as_array().map_or(0, Vec::len);
            objects == 203
        });
    };
    let request = |arguments: &[&str]| libcoap::request(arguments);

    let mut cases = Cases::of("libcoap");
    cases.case("Register in one message", || {
        let uri = register("small");
        let output = request(&["-m", "post", "-t", "40", "-e", "</3/0>", &uri]);
        expect_parts(&output, &["c:2.01", "Location-Path:rd"]);
        assert!(commander.is_registered("small"));
    });
    cases.case("Register in blocks of 1024 bytes", || {
        let uri = register("large");
        let output = request(&["-m", "post", "-t", "40", "-f", links, &uri]);
        expect_parts(&output, &["Block1:0/M/1024", "c:2.01", "Block1:2/_/1024"]);
        has_all("large");
    });
    cases.case("Register in blocks of 16 bytes", || {
        let uri = register("blocks");
        let output = request(&["-m", "post", "-t", "40", "-b", "16", "-f", links, &uri]);
        expect_parts(&output, &["Block1:0/M/16", "c:2.01", "/_/16"]);
        has_all("blocks");
    });
    cases.case("Register in blocks of which one is lost", || {
        let uri = register("lossy");
        let output = request(&["-l", "2", "-m", "post", "-t", "40", "-f", links, &uri]);
        expect_parts(&output, &["c:2.01", "Block1:2/_/1024"]);
        has_all("lossy");
    });
    cases.case("Update in blocks from the same port", || {
        let port = free_udp_port().to_string();
        let uri = register("updates");
        let output = request(&["-p", &port, "-m", "post", "-t", "40", "-e", "</3/0>", &uri]);
        let uri = format!("{base}/rd/{}", registration(&output));
        let output = request(&["-p", &port, "-m", "post", "-t", "40", "-f", links, &uri]);
        expect_parts(&output, &["c:2.04"]);
        has_all("updates");
    });
    cases.case("De-register", || {
        let port = free_udp_port().to_string();
        let uri = register("leaves");
        let output = request(&["-p", &port, "-m", "post", "-t", "40", "-e", "</3/0>", &uri]);
        let uri = format!("{base}/rd/{}", registration(&output));
        let output = request(&["-p", &port, "-m", "delete", &uri]);
        expect_parts(&output, &["c:2.02"]);
        assert!(!commander.is_registered("leaves"));
    });
    cases.case("Update of what is not registered is 4.04", || {
        let output = request(&["-m", "post", &uri("/rd/nobody")]);
        expect_parts(&output, &["c:4.04"]);
    });
    cases.case("Register of an unknown endpoint is 4.03", || {
        let uri = register("stranger");
        let output = request(&["-m", "post", "-t", "40", "-e", "</3/0>", &uri]);
        expect_parts(&output, &["c:4.03"]);
    });
    cases.case("Register in blocks of an unknown endpoint is 4.03", || {
        let uri = register("strange");
        let output = request(&["-m", "post", "-t", "40", "-f", links, &uri]);
        expect_parts(&output, &["c:4.03"]);
    });
    cases.case("Register without endpoint is 4.00", || {
        let uri = uri("/rd?lt=60&lwm2m=1.1&b=U");
        let output = request(&["-m", "post", "-t", "40", "-e", "</3/0>", &uri]);
        expect_parts(&output, &["c:4.00"]);
    });
    cases.case("GET of an unknown path is 4.04", || {
        expect_parts(&request(&["-m", "get", &uri("/nothing/here")]), &["c:4.04"]);
    });
    cases.case("NON GET of an unknown path is NON 4.04", || {
        let output = request(&["-N", "-m", "get", &uri("/nothing/here")]);
        expect_parts(&output, &["t:NON c:4.04"]);
    });
    cases.case("GET of a path for POST is 4.05", || {
        expect_parts(&request(&["-m", "get", &uri("/rd")]), &["c:4.05"]);
    });
    cases.case("an unknown critical option is 4.02", || {
        let output = request(&["-m", "get", "-O", "65001,0x01", &uri("/rd")]);
        expect_parts(&output, &["c:4.02"]);
    });
    cases.case("an unknown elective option is ignored", || {
        let output = request(&["-m", "get", "-O", "65000,0x01", &uri("/nothing")]);
        expect_parts(&output, &["c:4.04"]);
    });
    cases.finish();
}

#[test]
fn libcoap_speaks_with_our_device() {
    if !libcoap::is_there() {
        return;
    }
    let home = Home::with_device("served");
    let mut device = Device::start(&home);
    let address = device.address;
    let uri = |path: &str| format!("coap://{address}{path}");
    let request = |arguments: &[&str]| libcoap::request(arguments);
    let file = |name: &str, content: &[u8]| {
        let path = home.path(name);
        fs::write(&path, content).expect("a file can be written");
        path.to_str().expect("a plain name").to_owned()
    };
    let text: String = (0..300).map(|number| format!("{number:010}")).collect();
    let long = file("long.txt", text.as_bytes());
    let fetched = home.path("fetched");
    let fetched_to = fetched.to_str().expect("a plain name");
    let get_file = |more: &[&str]| {
        let output = request(&[&["-m", "get", "-o", fetched_to][..], more].concat());
        let body = fs::read(&fetched).unwrap_or_default();
        fs::remove_file(&fetched).ok();
        (output, body)
    };

    let mut cases = Cases::of("libcoap device");
    cases.case("GET in text", || {
        let output = request(&["-m", "get", &uri("/3/0/9")]);
        expect_parts(&output, &["c:2.05", "Content-Format:text/plain", "95"]);
    });
    cases.case("NON GET in text", || {
        let output = request(&["-N", "-m", "get", &uri("/3/0/9")]);
        expect_parts(&output, &["t:NON c:2.05", "95"]);
    });
    for (format, number, expected) in [
        ("CBOR", "60", &b"\x18\x5f"[..]),
        ("TLV", "11542", &b"\xc1\x09\x5f"[..]),
        (
            "SenML CBOR",
            "112",
            &b"\x81\xa2\x21\x66/3/0/9\x02\x18\x5f"[..],
        ),
    ] {
        cases.case(&format!("GET in {format}"), || {
            let (output, body) = get_file(&["-A", number, &uri("/3/0/9")]);
            expect_parts(&output, &["c:2.05"]);
            assert_eq!(body, expected);
        });
    }
    cases.case("GET in SenML JSON", || {
        let (_, body) = get_file(&["-A", "110", &uri("/3/0/9")]);
        let pack: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(pack, json!([{"bn": "/3/0/9", "v": 95}]));
    });
    cases.case("GET in an unknown format is 4.06", || {
        let output = request(&["-m", "get", "-A", "47", &uri("/3/0/9")]);
        expect_parts(&output, &["c:4.06"]);
    });
    cases.case("GET of links", || {
        let output = request(&["-m", "get", "-A", "40", &uri("/3303")]);
        expect_parts(
            &output,
            &["c:2.05", "application/link-format", "</3303/0/5700>"],
        );
    });
    cases.case("PUT in one message", || {
        let output = request(&["-m", "put", "-t", "0", "-e", "+02:00", &uri("/3/0/14")]);
        expect_parts(&output, &["c:2.04"]);
        expect_parts(&request(&["-m", "get", &uri("/3/0/14")]), &["+02:00"]);
    });
    cases.case("PUT in an unknown format is 4.15", || {
        let output = request(&["-m", "put", "-t", "47", "-e", "x", &uri("/3/0/14")]);
        expect_parts(&output, &["c:4.15"]);
    });
    for size in ["1024", "64", "16"] {
        cases.case(&format!("PUT and GET in blocks of {size} bytes"), || {
            let put = [
                "-m",
                "put",
                "-t",
                "0",
                "-b",
                size,
                "-f",
                &long,
                &uri("/3/0/15"),
            ];
            let sent = format!("Block1:0/M/{size}");
            expect_parts(&request(&put), &[&sent, "c:2.04"]);
            let (output, body) = get_file(&["-b", size, &uri("/3/0/15")]);
            expect_parts(&output, &[format!("Block2:0/M/{size}")]);
            assert_eq!(String::from_utf8_lossy(&body), text);
        });
    }
    cases.case("GET in blocks without asking for a size", || {
        let (output, body) = get_file(&[&uri("/3/0/15")]);
        expect_parts(&output, &["Block2:0/M/1024"]);
        assert_eq!(String::from_utf8_lossy(&body), text);
    });
    cases.case("GET in blocks of which one request is lost", || {
        let (_, body) = get_file(&["-l", "2", &uri("/3/0/15")]);
        assert_eq!(String::from_utf8_lossy(&body), text);
    });
    cases.case("POST executes", || {
        let output = request(&["-m", "post", &uri("/3303/0/5605")]);
        expect_parts(&output, &["c:2.04"]);
    });
    cases.case("FETCH of two paths in SenML CBOR", || {
        // [{0: "/3/0/9"}, {0: "/3/0/14"}]
        let paths = file("paths.cbor", b"\x82\xa1\x00\x66/3/0/9\xa1\x00\x67/3/0/14");
        let fetch = [
            "-m",
            "fetch",
            "-t",
            "112",
            "-A",
            "110",
            "-f",
            &paths,
            &uri("/"),
        ];
        expect_parts(&request(&fetch), &["c:2.05", "95", "+02:00"]);
    });
    cases.case("iPATCH in SenML JSON", || {
        let values = r#"[{"n":"/3/0/14","vs":"+09:00"}]"#;
        let patch = ["-m", "ipatch", "-t", "110", "-e", values, &uri("/")];
        expect_parts(&request(&patch), &["c:2.04"]);
        expect_parts(&request(&["-m", "get", &uri("/3/0/14")]), &["+09:00"]);
    });
    cases.case("an unknown critical option is 4.02", || {
        let output = request(&["-m", "get", "-O", "65001,0x01", &uri("/3/0/9")]);
        expect_parts(&output, &["c:4.02"]);
    });
    cases.case("observe", || {
        let mut client = libcoap::observe(&uri("/3303/0/5700"), "3", &[]);
        client.expect(PATIENCE, |line| line == "21.5");
        for value in ["22.5", "23.5"] {
            device
                .process
                .send_line(&format!("set /3303/0/5700 {value}"));
            client.expect(PATIENCE, |line| line == value);
            let acknowledged = "the server has acknowledged the new value of /3303/0/5700";
            device.process.expect(PATIENCE, |line| line == acknowledged);
        }
        client.wait(PATIENCE);
        let ended = "the server observes /3303/0/5700 no more";
        device.process.expect(PATIENCE, |line| line == ended);
    });
    cases.case("observe in blocks", || {
        let mut client = libcoap::observe(&uri("/3/0/15"), "3", &["-b", "64"]);
        client.expect(PATIENCE, |line| line.ends_with("00000002980000000299"));
        let longer = "x".repeat(200);
        device.process.send_line(&format!("set /3/0/15 {longer}"));
        client.expect(PATIENCE, |line| line.ends_with(&longer));
        client.wait(PATIENCE);
    });
    cases.finish();
}

/// The id in the `Location-Path` of a dump.
fn registration(output: &str) -> &str {
    let id = output.split("Location-Path:").nth(2);
    id.and_then(|rest| rest.split([',', ' ']).next())
        .unwrap_or_else(|| panic!("no registration in {output}"))
}

/// `lightship device` that answers everybody; its server is nowhere.
struct Device {
    process: Process,
    address: SocketAddr,
}

impl Device {
    fn start(home: &Home) -> Self {
        let nowhere = format!("coap://127.0.0.1:{}", free_udp_port());
        let arguments = [
            "device",
            "--server",
            &nowhere,
            "--endpoint",
            "served",
            "--listen",
            "127.0.0.1:0",
        ];
        let mut process = Process::spawn("device", &mut home.lightship(&arguments));
        let address = process.expect_words(PATIENCE, "served listens on");
        let address = address.parse().expect("an address");
        Self { process, address }
    }
}
