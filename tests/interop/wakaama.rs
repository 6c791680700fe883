//! Wakaama's client before our server: the operations of LwM2M 1.0.

use std::net::SocketAddr;

use serde_json::json;

use crate::cases::Cases;
use crate::commander::{Commander, content, expect_parts, expect_result, has_object};
use crate::peers::wakaama::Client;
use crate::server::{Home, Server, device};

const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3_1.0/0/9"],
        "attribute": ["/3_1.0/0/0"],
        "telemetry": ["/3_1.0/0/9", "/31024_1.0/10/1", "/31024_1.0/10/3"],
        "keyName": {
            "/3_1.0/0/0": "manufacturer",
            "/3_1.0/0/9": "battery",
            "/31024_1.0/10/1": "test",
            "/31024_1.0/10/3": "dec"
        },
        "attributeLwm2m": {}
    }
}"#;

#[test]
fn wakaama_is_served_by_the_operations_of_lwm2m_1_0() {
    let commander = Commander::start(PROFILE, &["waka"]);
    let Some(mut client) = Client::start(commander.server.coap.port(), "waka", 300) else {
        return;
    };
    let rpc = |method: &str, params| commander.rpc("waka", method, params);
    let value = |key: &str, value| commander.expect_value("waka", key, &value);

    let mut cases = Cases::of("Wakaama");
    cases.case("Register, observe and read by profile", || {
        client.expect("STATE_READY");
        commander.await_endpoint("waka", |summary| summary["version"] == "1.0");
        value("manufacturer", json!("Open Mobile Alliance"));
        value("battery", json!(100));
        value("test", json!(20));
        value("dec", json!(-30.0));
    });
    cases.case("notify", || {
        client.command("change /3/0/9 77");
        value("battery", json!(77));
    });
    // It keeps doubles, and sends those in the range of a float as floats.
    cases.case("Read a resource", || {
        let reply = rpc("Read", json!({"id": "/31024/11/3"}));
        assert_eq!(
            content(&reply),
            "LwM2mSingleResource [id=3, value=-28.989999771118164, type=FLOAT]"
        );
    });
    cases.case("Read a multiple resource", || {
        let reply = rpc("Read", json!({"id": "/3/0/7"}));
        let parts = ["LwM2mMultipleResource [id=7", "value=3800", "value=5000"];
        expect_parts(content(&reply), &parts);
    });
    cases.case("Read an instance", || {
        let reply = rpc("Read", json!({"id": "/31024/12"}));
        let parts = [
            "LwM2mObjectInstance [id=12",
            "[id=1, value=22, type=INTEGER]",
            "value=-27.979999542236328",
        ];
        expect_parts(content(&reply), &parts);
    });
    cases.case("Read an object", || {
        let reply = rpc("Read", json!({"id": "/31024"}));
        expect_parts(
            content(&reply),
            &["10=LwM2m", "11=LwM2m", "12=LwM2m", "value=22"],
        );
    });
    cases.case("Read an instance of many resources", || {
        let reply = rpc("Read", json!({"id": "/3/0"}));
        let parts = [
            "Open Mobile Alliance",
            "Lightweight M2M Client",
            "345000123",
            "value=3800",
        ];
        expect_parts(content(&reply), &parts);
    });
    cases.case("Write a resource", || {
        let params = json!({"id": "/31024_1.0/11/1", "value": 99});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        let reply = rpc("Read", json!({"id": "/31024/11/1"}));
        expect_parts(content(&reply), &["value=99"]);
    });
    cases.case("Write a text", || {
        let params = json!({"id": "/3_1.0/0/14", "value": "+05:00"});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        let reply = rpc("Read", json!({"id": "/3/0/14"}));
        expect_parts(content(&reply), &["value=+05:00"]);
    });
    cases.case("Write a fraction", || {
        let params = json!({"id": "/31024_1.0/11/3", "value": 0.1});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        let reply = rpc("Read", json!({"id": "/31024/11/3"}));
        expect_parts(content(&reply), &["value=0.10000000149011612,"]);
    });
    cases.case("Write part of an instance", || {
        let params = json!({"id": "/31024_1.0/12", "value": {"1": 44}});
        expect_result(&rpc("WriteUpdate", params), "CHANGED");
        let reply = rpc("Read", json!({"id": "/31024/12"}));
        expect_parts(content(&reply), &["value=44", "value=-27.979999542236328"]);
    });
    cases.case("Write of a bad value is refused", || {
        let params = json!({"id": "/31024_1.0/11/1", "value": 256});
        expect_result(&rpc("WriteReplace", params), "BAD_REQUEST");
    });
    cases.case("Execute", || {
        expect_result(&rpc("Execute", json!({"id": "/31024/10/2"})), "CHANGED");
        client.expect("Execute on 31024/10/2");
        let params = json!({"id": "/31024/10/2", "value": "0='x'"});
        expect_result(&rpc("Execute", params), "CHANGED");
        client.expect("Parameter (5 bytes)");
    });
    cases.case("Discover", || {
        let reply = rpc("Discover", json!({"id": "/31024/10"}));
        let parts = ["</31024/10/1>", "</31024/10/2>", "</31024/10/3>"];
        expect_parts(content(&reply), &parts);
    });
    cases.case("Write-Attributes are discovered", || {
        let attributes = json!({"pmin": 1, "pmax": 200, "gt": 50.5});
        let params = json!({"id": "/31024/10/1", "attributes": attributes});
        expect_result(&rpc("WriteAttributes", params), "CHANGED");
        let reply = rpc("Discover", json!({"id": "/31024/10/1"}));
        expect_parts(content(&reply), &["pmin=1", "pmax=200", "gt=50.5"]);
    });
    cases.case("Observe an instance", || {
        content(&rpc("Observe", json!({"id": "/31024_1.0/10"})));
        client.command("change /31024/10/1 61");
        value("test", json!(61));
        content(&rpc("ObserveCancel", json!({"id": "/31024_1.0/10"})));
    });
    cases.case("Create and Delete", || {
        let params = json!({"id": "/31024_1.0/30", "value": {"1": 7, "3": 1.5}});
        let reply = rpc("Create", params);
        assert_eq!(reply["result"], "CREATED", "{reply}");
        let reply = rpc("Read", json!({"id": "/31024/30"}));
        expect_parts(content(&reply), &["value=7", "value=1.5"]);
        commander.await_endpoint("waka", |summary| has_object(summary, "/31024/30"));
        expect_result(&rpc("Delete", json!({"id": "/31024/30"})), "DELETED");
        expect_result(&rpc("Read", json!({"id": "/31024/30"})), "NOT_FOUND");
        commander.await_endpoint("waka", |summary| !has_object(summary, "/31024/30"));
    });
    cases.case("Create under an id of the client's choice", || {
        let params = json!({"id": "/31024_1.0", "value": {"1": 8, "3": 2.5}});
        let reply = rpc("Create", params);
        assert_eq!(reply["result"], "CREATED", "{reply}");
        let location = reply["value"].as_str().expect("the client names it");
        let id = location
            .strip_prefix("location=31024/")
            .expect("an instance");
        let path = format!("/31024/{id}");
        commander.await_endpoint("waka", |summary| has_object(summary, &path));
    });
    cases.case("Update and De-register", || {
        let before = commander.await_endpoint("waka", |_| true)["last_update"].clone();
        client.command("update 123");
        commander.await_endpoint("waka", |summary| summary["last_update"] != before);
        client.command("quit");
        client.process().wait(crate::server::PATIENCE);
        assert!(!commander.is_registered("waka"));
    });
    cases.finish();
}

/// A client of LwM2M 1.0 does not say in which format it wants to be written to, and gets TLV.
#[test]
fn b1_wakaama_is_bootstrapped_and_registers_where_it_was_told() {
    let home = Home::new();
    home.write("registry/devices/waka.json", &device("waka-bs"));
    let mut server = Server::start(&home);
    let record = server.expect_log("serving LwM2M bootstrap over CoAP");
    let bootstrap = record["address"].as_str().expect("it is told");
    let bootstrap: SocketAddr = bootstrap.parse().expect("it is an address");
    // The port of the LwM2M server is known only by now.
    let account = format!(
        r#"{{ "bootstrap": [{{"securityMode": "NO_SEC", "shortServerId": 123, "host": "127.0.0.1", "port": {}}}],"#,
        server.coap.port()
    );
    let profile = PROFILE.replacen('{', &account, 1);
    home.write("registry/profiles/default.json", &profile);
    server.expect_log("registry read again");
    let Some(mut client) = Client::start_bootstrapped(bootstrap.port(), "waka-bs") else {
        return;
    };
    client.expect("STATE_READY");
    server.expect_log("endpoint bootstrapped");
    server.expect_log("endpoint registered");
    let ok = r#"lightship_bootstrap_total{result="ok"}"#;
    assert_eq!(server.metric(ok), 1);
}
