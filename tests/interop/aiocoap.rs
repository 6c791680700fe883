//! A LwM2M device on aiocoap before our server: bodies in blocks both ways, composite requests, notifications of both kinds,
//! separate responses.

use serde_json::json;

use crate::cases::Cases;
use crate::commander::{Commander, content, expect_parts, expect_result};
use crate::peers::aiocoap::Client;

const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3303_1.0/0/5700", "/3_1.2/0/1"],
        "attribute": ["/3_1.2/0/0"],
        "telemetry": ["/3303_1.0/0/5700", "/3_1.2/0/1", "/3_1.2/0/9", "/3_1.2/0/15"],
        "keyName": {
            "/3303_1.0/0/5700": "temperature",
            "/3_1.2/0/0": "manufacturer",
            "/3_1.2/0/1": "model",
            "/3_1.2/0/9": "battery",
            "/3_1.2/0/15": "zone"
        },
        "attributeLwm2m": {}
    }
}"#;

#[test]
fn aiocoap_is_served_in_senml_json_and_large_blocks() {
    let commander = Commander::start(PROFILE, &["aio-json"]);
    let options = ["ct=110 112", "links=300"];
    serve("aiocoap SenML JSON", &commander, "aio-json", &options, 110);
}

#[test]
fn aiocoap_is_served_in_senml_cbor_and_small_blocks() {
    let commander = Commander::start(PROFILE, &["aio-cbor"]);
    let options = ["ct=112", "links=300", "block=2"];
    serve("aiocoap SenML CBOR", &commander, "aio-cbor", &options, 112);
}

/// Runs all cases on one device; `format` is that of its Sends.
fn serve(peer: &'static str, commander: &Commander, name: &str, options: &[&str], format: u16) {
    let server = commander.server.coap.to_string();
    let Some(mut client) = Client::start(&server, name, options) else {
        return;
    };
    let digits = |length: usize| -> String { "0123456789".chars().cycle().take(length).collect() };
    let rpc = |method: &str, params| commander.rpc(name, method, params);

    let mut cases = Cases::of(peer);
    cases.case("Register in blocks", || {
        client.expect_event("registered");
        commander.await_endpoint(name, |summary| {
            // The root, object 3, the three instances that are there, and those that are only announced.
            summary["objects"].as_array().map_or(0, Vec::len) == 1 + 1 + 3 + 300
        });
    });
    cases.case("observe and read by profile", || {
        client.expect_event("observed /3303/0/5700");
        client.expect_event("observed /3/0/1");
        commander.expect_value(name, "temperature", &json!(21.5));
        commander.expect_value(name, "manufacturer", &json!("aiocoap"));
        commander.expect_value(name, "battery", &json!(95));
    });
    cases.case("CON notification", || {
        client.command("con");
        client.command("set /3303/0/5700 22.5");
        commander.expect_value(name, "temperature", &json!(22.5));
    });
    cases.case("NON notification", || {
        client.command("non");
        client.command("set /3303/0/5700 23.5");
        commander.expect_value(name, "temperature", &json!(23.5));
    });
    cases.case("CON notification in blocks", || {
        client.command("con");
        client.command("grow /3/0/1 5000");
        commander.expect_value(name, "model", &json!(digits(5000)));
    });
    cases.case("NON notification in blocks", || {
        client.command("non");
        client.command("grow /3/0/1 4000");
        commander.expect_value(name, "model", &json!(digits(4000)));
        client.command("con");
    });
    cases.case("Read in blocks", || {
        client.command("grow /3/0/15 6000");
        client.command("echo");
        client.expect_event("echo");
        let reply = rpc("Read", json!({"id": "/3/0/15"}));
        let value = digits(6000);
        assert_eq!(
            content(&reply),
            format!("LwM2mSingleResource [id=15, value={value}, type=STRING]")
        );
        commander.expect_value(name, "zone", &json!(value));
    });
    cases.case("Read of an instance in blocks", || {
        let reply = rpc("Read", json!({"id": "/3/0"}));
        expect_parts(
            content(&reply),
            &[digits(6000), "LwM2mObjectInstance".to_owned()],
        );
    });
    cases.case("Write in blocks", || {
        let value = digits(3000);
        let params = json!({"id": "/3_1.2/0/15", "value": value});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        assert_eq!(client.expect_event("written /3/0/15"), value);
    });
    cases.case("Write in one message", || {
        let params = json!({"id": "/3_1.2/0/14", "value": "+02:00"});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        assert_eq!(client.expect_event("written /3/0/14"), "+02:00");
    });
    cases.case("Write of bytes", || {
        let params = json!({"id": "/19_1.0/0/0", "value": {"0": "00ff10"}});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        assert_eq!(client.expect_event("written /19/0/0/0"), "00ff10");
    });
    cases.case("separate response", || {
        client.command("delay 0.5");
        let reply = rpc("Read", json!({"id": "/3/0/9"}));
        client.command("delay 0");
        assert_eq!(
            content(&reply),
            "LwM2mSingleResource [id=9, value=95, type=INTEGER]"
        );
    });
    cases.case("separate response in blocks", || {
        client.command("delay 0.2");
        client.command("grow /3/0/15 150");
        let reply = rpc("Read", json!({"id": "/3/0/15"}));
        client.command("delay 0");
        expect_parts(content(&reply), &[digits(150)]);
    });
    cases.case("Read-Composite", || {
        let reply = rpc("ReadComposite", json!({"ids": ["/3/0/9", "/3/0/0"]}));
        expect_parts(
            content(&reply),
            &[
                "/3/0/9=LwM2mSingleResource [id=9, value=95, type=INTEGER]",
                "/3/0/0=LwM2mSingleResource [id=0, value=aiocoap, type=STRING]",
            ],
        );
    });
    cases.case("Read-Composite answered in blocks", || {
        client.command("grow /3/0/15 3500");
        client.command("echo");
        client.expect_event("echo");
        let reply = rpc("ReadComposite", json!({"ids": ["/3/0/9", "/3/0/15"]}));
        expect_parts(content(&reply), &["value=95,", &digits(3500)]);
    });
    cases.case("Read-Composite asked in blocks", || {
        let ids: Vec<_> = (0..120).map(|id| format!("/3303/{id}/5700")).collect();
        let reply = rpc("ReadComposite", json!({"ids": ids}));
        expect_parts(
            content(&reply),
            &["/3303/0/5700=LwM2mSingleResource [id=5700, value=23.5"],
        );
    });
    cases.case("Write-Composite", || {
        let nodes = json!({"nodes": {"/3_1.2/0/14": "+05:00", "/3303_1.0/0/5701": "K"}});
        // The sensor's unit cannot be written by its model; ours leaves that to the device.
        expect_result(&rpc("WriteComposite", nodes), "CHANGED");
        assert_eq!(client.expect_event("written /3/0/14"), "+05:00");
        assert_eq!(client.expect_event("written /3303/0/5701"), "K");
    });
    cases.case("Write-Composite in blocks", || {
        let value = digits(2500);
        let nodes = json!({"nodes": {"/3_1.2/0/14": "+06:00", "/3_1.2/0/15": value}});
        expect_result(&rpc("WriteComposite", nodes), "CHANGED");
        assert_eq!(client.expect_event("written /3/0/14"), "+06:00");
        assert_eq!(client.expect_event("written /3/0/15"), value);
    });
    cases.case("Observe-Composite", || {
        let reply = rpc("ObserveComposite", json!({"ids": ["/3/0/9", "/3/0/15"]}));
        expect_parts(content(&reply), &["value=95,"]);
        client.expect_event("observed /3/0/15,/3/0/9");
        client.command("set /3/0/9 77");
        commander.expect_value(name, "battery", &json!(77));
        client.command("grow /3/0/15 4500");
        commander.expect_value(name, "zone", &json!(digits(4500)));
    });
    cases.case("Discover", || {
        let reply = rpc("Discover", json!({"id": "/3303/0"}));
        assert_eq!(content(&reply), "</3303/0>,</3303/0/5700>,</3303/0/5701>");
    });
    cases.case("Write-Attributes", || {
        let params = json!({"id": "/3303/0/5700", "attributes": {"pmin": 5, "pmax": 60}});
        expect_result(&rpc("WriteAttributes", params), "CHANGED");
        assert_eq!(
            client.expect_event("attributed /3303/0/5700"),
            "pmax=60&pmin=5"
        );
    });
    cases.case("Execute", || {
        let params = json!({"id": "/3/0/4", "value": "0='now'"});
        expect_result(&rpc("Execute", params), "CHANGED");
        assert_eq!(client.expect_event("executed /3/0/4"), "0='now'");
    });
    cases.case("Create and Delete", || {
        let params = json!({"id": "/19_1.0/7", "value": {"0": {"0": "0102"}, "3": "seven"}});
        let reply = rpc("Create", params);
        assert_eq!(reply["result"], "CREATED", "{reply}");
        assert_eq!(client.expect_event("written /19/7/3"), "seven");
        client.expect_event("created /19/7");
        expect_result(&rpc("Delete", json!({"id": "/19/7"})), "DELETED");
        client.expect_event("deleted /19/7");
    });
    cases.case("an error without payload", || {
        expect_result(&rpc("Read", json!({"id": "/3/0/11"})), "NOT_FOUND");
    });
    cases.case("Send", || {
        client.command("set /3/0/9 66");
        client.command(&format!("send {format} /3/0/9 /3/0/0"));
        client.expect_event("sent");
        commander.expect_value(name, "battery", &json!(66));
    });
    cases.case("Send in blocks", || {
        client.command("grow /3/0/15 5500");
        client.command(&format!("send {format} /3/0/9 /3/0/15"));
        client.expect_event("sent");
        commander.expect_value(name, "zone", &json!(digits(5500)));
    });
    cases.case("Update and De-register", || {
        client.command("update");
        client.expect_event("updated");
        client.command("deregister");
        client.expect_event("deregistered");
        assert!(!commander.is_registered(name));
    });
    cases.finish();
}
