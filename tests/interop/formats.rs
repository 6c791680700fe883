//! The Leshan client before our server: every operation, in every content format that can carry it.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::cases::Cases;
use crate::commander::{Commander, content, expect_parts, expect_result, has_object};
use crate::peers::leshan::{Client, Options};

const PROFILE: &str = r#"{
    "type": "LWM2M",
    "observeAttr": {
        "observe": ["/3303_1.0/0/5700", "/33001_1.0/0/8"],
        "attribute": ["/33001_1.0/0/0"],
        "telemetry": ["/3303_1.0/0/5700", "/3303_1.0/1/5700", "/3_1.2/0/9", "/33001_1.0/0/2", "/33001_1.0/0/8"],
        "keyName": {
            "/3303_1.0/0/5700": "temperature",
            "/3303_1.0/1/5700": "outside",
            "/3_1.2/0/9": "battery",
            "/33001_1.0/0/0": "text",
            "/33001_1.0/0/2": "number",
            "/33001_1.0/0/8": "numbers"
        },
        "attributeLwm2m": {}
    }
}"#;
const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/every_type.xml");

/// The resources of the object of every type: name, id, what a Read shows, what is written, and what the client reports
/// of it.
const TYPES: [(&str, u16, &str, &str, &str); 8] = [
    (
        "STRING",
        0,
        "[id=0, value=text, type=STRING]",
        r#""gruß, \"x\"""#,
        "gruß, \"x\"",
    ),
    (
        "INTEGER",
        1,
        "[id=1, value=-42, type=INTEGER]",
        "-9007199254740993",
        "-9007199254740993",
    ),
    (
        "FLOAT",
        2,
        "[id=2, value=2.5, type=FLOAT]",
        "-0.125",
        "-0.125",
    ),
    (
        "BOOLEAN",
        3,
        "[id=3, value=true, type=BOOLEAN]",
        "false",
        "false",
    ),
    (
        "OPAQUE",
        4,
        "id=4 value=0102ff type=OPAQUE",
        r#""00fe""#,
        "00fe",
    ),
    (
        "TIME",
        5,
        "[id=5, value=Tue Nov 14 22:13:20 UTC 2023, type=TIME]",
        "1700000001000",
        "1700000001",
    ),
    (
        "OBJLNK",
        6,
        "[id=6, value=/3303/1, type=OBJLNK]",
        r#""/3/0""#,
        "3:0",
    ),
    (
        "UNSIGNED_INTEGER",
        7,
        "[id=7, value=18446744073709551615, type=UNSIGNED_INTEGER]",
        "9223372036854775808",
        "9223372036854775808",
    ),
];

/// Formats that carry one value, and those that carry several.
const OF_ONE: [&str; 6] = ["TEXT", "CBOR", "TLV", "JSON", "SENML_JSON", "SENML_CBOR"];
const OF_SEVERAL: [&str; 4] = ["TLV", "JSON", "SENML_JSON", "SENML_CBOR"];

#[test]
fn leshan_is_served_in_every_format() {
    let commander = Commander::start(PROFILE, &["every-format"]);
    let options = Options {
        model: Some(MODEL),
        ..Options::default()
    };
    let uri = format!("coap://{}", commander.server.coap);
    let Some(client) = Client::start(&uri, "every-format", options) else {
        return;
    };
    let client = RefCell::new(client);
    let rpc = |method: &str, params: Value| commander.rpc("every-format", method, params);
    let in_format = |method: &str, format: &str, mut params: Value| {
        params["contentFormat"] = json!(format);
        rpc(method, params)
    };
    let event = |words: &str| client.borrow_mut().expect_event(words);
    let command = |line: &str| client.borrow_mut().command(line);
    let value = |key: &str, value: Value| commander.expect_value("every-format", key, &value);

    let mut cases = Cases::of("Leshan");
    cases.case("Register, observe and read by profile", || {
        event("registered");
        for path in ["/3303/0/5700", "/33001/0/8"] {
            event(&format!("observed {path}"));
        }
        value("temperature", json!(21.5));
        value("text", json!("text"));
        value("numbers", json!({"0": 10, "5": 15}));
    });
    for format in OF_ONE {
        for (kind, id, shown, _, _) in TYPES {
            cases.case(&format!("{format} Read {kind}"), || {
                let reply = in_format("Read", format, json!({"id": format!("/33001/0/{id}")}));
                assert_eq!(content(&reply), format!("LwM2mSingleResource {shown}"));
            });
        }
    }
    cases.case("OPAQUE Read OPAQUE", || {
        let reply = in_format("Read", "OPAQUE", json!({"id": "/33001/0/4"}));
        assert_eq!(
            content(&reply),
            format!("LwM2mSingleResource {}", TYPES[4].2)
        );
    });
    for format in OF_SEVERAL {
        for id in ["/33001", "/33001/0"] {
            cases.case(&format!("{format} Read {id}"), || {
                let reply = in_format("Read", format, json!({"id": id}));
                // Bytes within an instance are shown by their number; unsigned integers are cases of their own.
                let shown = TYPES
                    .iter()
                    .filter(|(kind, ..)| !["OPAQUE", "UNSIGNED_INTEGER"].contains(kind));
                let shown: Vec<_> = shown.map(|(_, _, shown, _, _)| shown).collect();
                expect_parts(content(&reply), &shown);
                expect_parts(content(&reply), &["[id=4, value=3Bytes, type=OPAQUE]"]);
                let numbers = "5=LwM2mResourceInstance [id=5, value=15, type=INTEGER]";
                expect_parts(content(&reply), &[numbers]);
            });
        }
        cases.case(&format!("{format} Read a multiple resource"), || {
            let reply = in_format("Read", format, json!({"id": "/33001/0/8"}));
            assert_eq!(
                content(&reply),
                "LwM2mMultipleResource [id=8, values={0=LwM2mResourceInstance [id=0, value=10, type=INTEGER], \
                 5=LwM2mResourceInstance [id=5, value=15, type=INTEGER]}, type=INTEGER]"
            );
        });
        cases.case(&format!("{format} Read a resource instance"), || {
            let reply = in_format("Read", format, json!({"id": "/33001/0/8/5"}));
            expect_parts(content(&reply), &["[id=5, value=15, type=INTEGER]"]);
        });
    }
    for format in OF_ONE {
        for (kind, id, _, written, reported) in TYPES {
            cases.case(&format!("{format} Write {kind}"), || {
                let written: Value = serde_json::from_str(written).expect("JSON");
                let params = json!({"id": format!("/33001_1.0/0/{id}"), "value": written});
                expect_result(&in_format("WriteReplace", format, params), "CHANGED");
                assert_eq!(event(&format!("written /33001/0/{id}")), reported);
            });
        }
    }
    cases.case("OPAQUE Write OPAQUE", || {
        let params = json!({"id": "/33001_1.0/0/4", "value": "beef"});
        expect_result(&in_format("WriteReplace", "OPAQUE", params), "CHANGED");
        assert_eq!(event("written /33001/0/4"), "beef");
    });
    for (number, format) in (1..).zip(OF_SEVERAL) {
        cases.case(&format!("{format} Write a multiple resource"), || {
            let params = json!({"id": "/33001_1.0/0/8", "value": {"1": number, "3": 33}});
            expect_result(&in_format("WriteReplace", format, params), "CHANGED");
            assert_eq!(event("written /33001/0/8"), format!("{{1={number}, 3=33}}"));
            value("numbers", json!({"1": number, "3": 33}));
        });
        cases.case(&format!("{format} Write part of an instance"), || {
            let text = format!("part {number}");
            let params = json!({"id": "/33001_1.0/0", "value": {"0": text, "2": 0.5}});
            expect_result(&in_format("WriteUpdate", format, params), "CHANGED");
            assert_eq!(event("written /33001/0/0"), text);
            value("text", json!(text));
        });
        cases.case(&format!("{format} Create and Delete"), || {
            let path = format!("/33001_1.0/{number}");
            let params = json!({"id": path, "value": {"0": "created", "1": number, "4": "c0ffee", "8": {"0": 1, "2": 2}}});
            let reply = in_format("Create", format, params);
            assert_eq!(reply["result"], "CREATED", "{reply}");
            assert_eq!(event(&format!("written /33001/{number}/0")), "created");
            assert_eq!(event(&format!("written /33001/{number}/4")), "c0ffee");
            event("updated");
            let path = format!("/33001/{number}");
            let has = |summary: &Value| has_object(summary, &path);
            commander.await_endpoint("every-format", has);
            let reply = rpc("Read", json!({"id": path}));
            expect_parts(content(&reply), &["value=created", "value=3Bytes", "{0=LwM2m", "2=LwM2m"]);
            expect_result(&rpc("Delete", json!({"id": path})), "DELETED");
            commander.await_endpoint("every-format", |summary| !has(summary));
        });
    }
    for (number, format) in (30..).zip(OF_ONE) {
        cases.case(&format!("{format} Observe a resource"), || {
            content(&in_format("Observe", format, json!({"id": "/3_1.2/0/9"})));
            event("observed /3/0/9");
            command(&format!("set /3/0/9 {number}"));
            assert_eq!(event("acked /3/0/9"), number.to_string());
            value("battery", json!(number));
            content(&rpc("ObserveCancel", json!({"id": "/3_1.2/0/9"})));
        });
    }
    for (number, format) in (40..).zip(OF_SEVERAL) {
        cases.case(&format!("{format} Observe an instance"), || {
            content(&in_format("Observe", format, json!({"id": "/3303/1"})));
            event("observed /3303/1");
            command(&format!("set /3303/1/5700 {number}.5"));
            assert_eq!(event("acked /3303/1/5700"), format!("{number}.5"));
            value("outside", json!(f64::from(number) + 0.5));
            content(&rpc("ObserveCancel", json!({"id": "/3303/1"})));
        });
    }
    for (number, format) in (50..).zip(["SENML_JSON", "SENML_CBOR"]) {
        cases.case(&format!("{format} Read-Composite"), || {
            let ids = json!({"ids": ["/3/0/0", "/3303/1", "/33001/0/8"]});
            let reply = in_format("ReadComposite", format, ids);
            let parts = [
                "/3/0/0=LwM2mSingleResource [id=0, value=Lightship Labs",
                "/3303/1=LwM2mObjectInstance",
                "/33001/0/8=LwM2mMultipleResource",
            ];
            expect_parts(content(&reply), &parts);
        });
        cases.case(&format!("{format} Write-Composite"), || {
            let text = format!("both {number}");
            let nodes = json!({"/3_1.2/0/14": "+03:00", "/33001_1.0/0/0": text, "/33001_1.0/0/8": {"0": number}});
            let reply = in_format("WriteComposite", format, json!({"nodes": nodes}));
            expect_result(&reply, "CHANGED");
            assert_eq!(event("written /3/0/14"), "+03:00");
            assert_eq!(event("written /33001/0/0"), text);
            event("written /33001/0/8");
        });
        cases.case(&format!("{format} Observe-Composite"), || {
            let ids = json!({"ids": ["/3/0/9", "/3303/1/5700"]});
            let reply = in_format("ObserveComposite", format, ids.clone());
            expect_parts(content(&reply), &["/3/0/9=", "/3303/1/5700="]);
            event("observed /");
            command(&format!("set /3303/1/5700 {number}.25"));
            assert_eq!(event("acked /3303/1/5700"), format!("{number}.25"));
            value("outside", json!(f64::from(number) + 0.25));
            content(&rpc("ObserveCompositeCancel", ids));
        });
    }
    for (number, (format, code)) in (60..).zip([("SENML_JSON", 110), ("SENML_CBOR", 112)]) {
        cases.case(&format!("{format} Send"), || {
            command(&format!("set /3/0/9 {number}"));
            command(&format!("send {code} /3/0/9"));
            event("sent /3/0/9");
            value("battery", json!(number));
        });
        cases.case(&format!("{format} Send an object"), || {
            command(&format!("set /3303/1/5700 {number}.75"));
            command(&format!("send {code} /3303"));
            event("sent /3303");
            value("outside", json!(f64::from(number) + 0.75));
        });
    }
    let digits = |length: usize| -> String { "0123456789".chars().cycle().take(length).collect() };
    cases.case("Write and Read in blocks", || {
        let params = json!({"id": "/33001_1.0/0/0", "value": digits(5000)});
        expect_result(&rpc("WriteReplace", params), "CHANGED");
        assert_eq!(event("written /33001/0/0"), digits(5000));
        let reply = rpc("Read", json!({"id": "/33001/0/0"}));
        expect_parts(content(&reply), &[digits(5000)]);
    });
    cases.case("notify in blocks", || {
        content(&rpc("Observe", json!({"id": "/33001_1.0/0/0"})));
        event("observed /33001/0/0");
        command(&format!("set /33001/0/0 {}", digits(4000)));
        value("text", json!(digits(4000)));
        assert_eq!(event("acked /33001/0/0"), "in blocks");
    });
    cases.case("Create in blocks", || {
        let params = json!({"id": "/33001_1.0/77", "value": {"0": digits(3000), "1": 7}});
        let reply = rpc("Create", params);
        assert_eq!(reply["result"], "CREATED", "{reply}");
        assert_eq!(event("written /33001/77/0"), digits(3000));
    });
    cases.case("Discover", || {
        let reply = rpc("Discover", json!({"id": "/33001/0"}));
        let parts = [
            "</33001/0>",
            "</33001/0/0>",
            "</33001/0/8>;dim=",
            "</33001/0/9>",
        ];
        expect_parts(content(&reply), &parts);
        let reply = rpc("Discover", json!({"id": "/3"}));
        expect_parts(
            content(&reply),
            &["</3>;ver=1.2", "</3/0>", "</3/0/7>;dim=2"],
        );
    });
    cases.case("Write-Attributes are discovered", || {
        let attributes = json!({"pmin": 1, "pmax": 300, "gt": 42.5, "lt": -1.5, "st": 0.5});
        let params = json!({"id": "/3303/1/5700", "attributes": attributes});
        expect_result(&rpc("WriteAttributes", params), "CHANGED");
        let reply = rpc("Discover", json!({"id": "/3303/1/5700"}));
        expect_parts(
            content(&reply),
            &["pmin=1", "pmax=300", "gt=42.5", "lt=-1.5", "st=0.5"],
        );
    });
    cases.case("Execute", || {
        let params = json!({"id": "/33001/0/9", "value": "2='x',3"});
        expect_result(&rpc("Execute", params), "CHANGED");
        assert_eq!(event("executed /33001/0/9"), "2='x',3");
        expect_result(&rpc("Execute", json!({"id": "/33001/0/9"})), "CHANGED");
        assert_eq!(event("executed /33001/0/9"), "");
    });
    cases.case("errors of the device", || {
        let reply = rpc("Read", json!({"id": "/33001/7/0"}));
        assert_eq!(reply["result"], "NOT_FOUND", "{reply}");
        let reply = rpc("Delete", json!({"id": "/3/0"}));
        assert_eq!(reply["result"], "METHOD_NOT_ALLOWED", "{reply}");
    });
    cases.case("Observe-Cancel of all, and De-register", || {
        content(&rpc("ObserveCancelAll", Value::Null));
        command("deregister");
        event("deregistered");
        assert!(!commander.is_registered("every-format"));
    });
    cases.finish();
}

/// A client that announces one format alone is spoken to in that.
#[test]
fn leshan_is_served_in_the_only_format_it_announces() {
    for (name, formats) in [
        ("TLV", "11542"),
        ("JSON", "11543"),
        ("SENML_JSON", "110"),
        ("SENML_CBOR", "112"),
    ] {
        let endpoint = format!("only-{name}");
        let commander = Commander::start(PROFILE, &[&endpoint]);
        let options = Options {
            model: Some(MODEL),
            formats: Some(formats),
            ..Options::default()
        };
        let uri = format!("coap://{}", commander.server.coap);
        let Some(mut client) = Client::start(&uri, &endpoint, options) else {
            return;
        };
        let rpc = |method: &str, params: Value| commander.rpc(&endpoint, method, params);
        let value = |key: &str, value: Value| commander.expect_value(&endpoint, key, &value);
        let mut cases = Cases::of(match name {
            "TLV" => "Leshan with TLV alone",
            "JSON" => "Leshan with JSON alone",
            "SENML_JSON" => "Leshan with SENML_JSON alone",
            _ => "Leshan with SENML_CBOR alone",
        });
        cases.case("Register, observe and read by profile", || {
            client.expect_event("registered");
            value("temperature", json!(21.5));
            value("text", json!("text"));
            value("numbers", json!({"0": 10, "5": 15}));
        });
        cases.case("notify", || {
            client.command("set /3303/0/5700 30.5");
            client.expect_event("acked /3303/0/5700");
            value("temperature", json!(30.5));
        });
        cases.case("Read an instance", || {
            let reply = rpc("Read", json!({"id": "/33001/0"}));
            expect_parts(content(&reply), &[TYPES[0].2, TYPES[5].2, TYPES[6].2]);
        });
        cases.case("Write an instance", || {
            let params = json!({"id": "/33001_1.0/0", "value": {"0": "new", "8": {"1": 2}}});
            expect_result(&rpc("WriteUpdate", params), "CHANGED");
            assert_eq!(client.expect_event("written /33001/0/0"), "new");
        });
        cases.case("Create", || {
            let params = json!({"id": "/33001_1.0/4", "value": {"0": "created"}});
            let reply = rpc("Create", params);
            assert_eq!(reply["result"], "CREATED", "{reply}");
            assert_eq!(client.expect_event("written /33001/4/0"), "created");
        });
        cases.finish();
    }
}
