//! Our server in embedded mode, and what one asks of it over HTTP.

use std::fmt::Debug;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Home, PATIENCE, Server, device, get, poll};

/// A running server, with devices that may register.
pub(crate) struct Commander {
    pub(crate) home: Home,
    pub(crate) server: Server,
}

impl Commander {
    /// Starts a server that knows these endpoints by one profile, and the objects of the tests.
    pub(crate) fn start(profile: &str, endpoints: &[&str]) -> Self {
        let home = Home::new();
        home.write("registry/profiles/default.json", profile);
        for (name, ddf) in [
            ("every_type", include_str!("every_type.xml")),
            ("wakaama_test", include_str!("wakaama/test_object.xml")),
        ] {
            home.write(&format!("registry/models/{name}.xml"), ddf);
        }
        for endpoint in endpoints {
            home.write(
                &format!("registry/devices/{endpoint}.json"),
                &device(endpoint),
            );
        }
        let set = ["--set", "rpc.honour_content_format=true"];
        let server = Server::start_with(&home, &set);
        Self { home, server }
    }

    /// The reply to a command; `params` is its JSON.
    pub(crate) fn rpc(&self, endpoint: &str, method: &str, params: Value) -> Value {
        let url = format!("{}/api/endpoints/{endpoint}/rpc", self.server.http);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(RPC_TIMEOUT * 2))
            .build()
            .into();
        let timeout_ms = u64::try_from(RPC_TIMEOUT.as_millis()).expect("seconds");
        let command = json!({"method": method, "params": params, "timeout_ms": timeout_ms});
        let mut answer = agent.post(&url).send_json(command).expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_string().expect("text");
        serde_json::from_str(&body).unwrap_or_else(|_| json!({"status": status, "body": body}))
    }

    /// What a registered endpoint looks like, once it looks as wanted.
    pub(crate) fn await_endpoint(&self, endpoint: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let url = format!("{}/api/endpoints/{endpoint}", self.server.http);
        poll("the endpoint", || {
            let (status, body) = get(&url, None);
            let summary: Value = serde_json::from_str(&body).ok()?;
            (status == 200 && is_it(&summary)).then_some(summary)
        })
    }

    /// Whether an endpoint is registered.
    pub(crate) fn is_registered(&self, endpoint: &str) -> bool {
        get(
            &format!("{}/api/endpoints/{endpoint}", self.server.http),
            None,
        )
        .0 == 200
    }

    /// Waits for a line of JSON in which `endpoint` has this value.
    pub(crate) fn expect_value(&self, endpoint: &str, key: &str, value: &Value) {
        self.home
            .expect_telemetry(|line| line["endpoint"] == endpoint && &line["values"][key] == value);
    }
}

/// Whether an endpoint has announced this object or instance.
pub(crate) fn has_object(summary: &Value, path: &str) -> bool {
    let mut objects = summary["objects"].as_array().into_iter().flatten();
    objects.any(|object| object == path)
}

/// The value of a reply that says CONTENT.
///
/// # Panics
/// When it says something else.
pub(crate) fn content(reply: &Value) -> &str {
    assert_eq!(reply["result"], "CONTENT", "{reply}");
    reply["value"].as_str().expect("a value is a text")
}

/// Fails unless a reply says this.
pub(crate) fn expect_result(reply: &Value, result: &str) {
    assert_eq!(reply["result"], result, "{reply}");
    assert_eq!(reply.get("error"), None, "{reply}");
}

/// Fails unless a text has all these parts.
pub(crate) fn expect_parts<P: AsRef<str> + Debug>(text: &str, parts: &[P]) {
    for part in parts {
        assert!(text.contains(part.as_ref()), "no {part:?} in {text}");
    }
}

/// How long a device may take to answer; the pauses of retransmission of CoAP fit in.
const RPC_TIMEOUT: Duration = Duration::from_secs(15);

const _: () = assert!(RPC_TIMEOUT.as_secs() < PATIENCE.as_secs());
