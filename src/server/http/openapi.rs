//! The description of everything that is served, in OpenAPI 3.1: `/api/openapi.json`, and `docs/openapi.json`.

use serde_json::{Map, Value, json};

use crate::endpoint::rpc::{MANUAL, Manual};

/// The description. Tests compare its paths with those that are served, and the committed copy with it.
pub(super) fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lightship",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A LwM2M server's registered endpoints; commands, shared attributes and events in embedded \
                            mode; health and metrics. `http.api` says who may use what is below `/api`.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8083" }],
        "paths": paths(),
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`http.api_token`, where one is set.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "By an issuer of `http.tls.client_ca_file`, where one is set.",
                },
            },
            "parameters": {
                "endpoint": {
                    "name": "endpoint",
                    "in": "path",
                    "required": true,
                    "description": "Endpoint client name of the device.",
                    "schema": { "type": "string" },
                    "example": "demo-1",
                },
                "verbose": {
                    "name": "verbose",
                    "in": "query",
                    "description": "0 leaves the body out.",
                    "schema": { "type": "integer", "minimum": 0, "maximum": 255 },
                },
            },
            "schemas": schemas(),
        },
    })
}

fn paths() -> Value {
    json!({
        "/livez": { "get": probe("live", "Does every worker still run?") },
        "/startupz": { "get": probe("startup", "Has the start finished?") },
        "/readyz": { "get": probe("ready", "May new devices be sent here?") },
        "/metrics": { "get": metrics("metrics", "All metrics (docs/metrics.md).") },
        "/actuator/prometheus": {
            "get": metrics("prometheus", "The same, where the Java transport shows them; not with `http.metrics = false`.")
        },
        "/version": { "get": {
            "operationId": "version",
            "summary": "Version and features of the program.",
            "responses": {
                "200": answer("The version.", &reference("Version")),
                "403": answer(NO_CERTIFICATE, &reference("Problem")),
            },
        } },
        "/api/endpoints": { "get": operation("endpoints", "The registered endpoints with their last values.", &json!({
            "200": answer("All of them.", &json!({ "type": "array", "items": reference("Endpoint") })),
        }), &[]) },
        "/api/endpoints/{endpoint}": {
            "parameters": [parameter("endpoint")],
            "get": operation("endpoint", "One registered endpoint.", &json!({
                "200": answer("It is registered.", &reference("Endpoint")),
            }), &[]),
        },
        "/api/endpoints/{endpoint}/attributes": {
            "parameters": [parameter("endpoint")],
            "get": operation("attributes", "The shared attributes of an endpoint that is registered or in a file.", &json!({
                "200": answer("Those that are set.", &reference("Attributes")),
            }), &[503]),
            "post": with_body(operation("setAttributes", "Sets shared attributes. One that is named like a key of the profile \
                is written to its resource, at once or when the device comes.", &json!({
                "200": answer("Those that are set then.", &reference("Attributes")),
            }), &[400, 413, 415, 422, 503]), "Values by key; `null` takes one away.", &reference("AttributeChanges")),
        },
        "/api/endpoints/{endpoint}/rpc": {
            "parameters": [parameter("endpoint")],
            "post": with_body(operation("rpc", "Sends a command to the device and waits for the answer.", &json!({
                "200": answer("The reply, which may be an error of the device or of the command.", &reference("Reply")),
            }), &[400, 413, 415, 422, 503, 504]), "The command.", &reference("Command")),
        },
        "/api/events": { "get": operation("events", "What happens from here on.", &json!({
            "200": {
                "description": "Server-sent events without end. The name of each is the `kind` of its data, which is one \
                                line with an `Event` (see the schemas).",
                "content": { "text/event-stream": {
                    "schema": { "type": "string" },
                    "example": "event: telemetry\ndata: {\"ts\":1795510661241,\"endpoint\":\"demo-1\",\"device\":\"demo-1\",\
                                \"kind\":\"telemetry\",\"values\":{\"temperature\":21.5}}\n\n",
                } },
            },
        }), &[]) },
        "/api/openapi.json": { "get": operation("openapi", "This description.", &json!({
            "200": answer("OpenAPI 3.1.", &json!({ "type": "object" })),
        }), &[]) },
    })
}

fn probe(id: &str, summary: &str) -> Value {
    let report = reference("Health");
    json!({
        "operationId": id,
        "summary": summary,
        "parameters": [parameter("verbose")],
        "responses": {
            "200": answer("Yes.", &report),
            "400": { "description": "`verbose` is no number." },
            "503": answer("No.", &report),
        },
    })
}

fn metrics(id: &str, summary: &str) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "responses": {
            "200": {
                "description": "OpenMetrics text.",
                "content": { "application/openmetrics-text": { "schema": { "type": "string" } } },
            },
            "403": answer(NO_CERTIFICATE, &reference("Problem")),
        },
    })
}

/// An operation of the API, where callers may be refused.
fn operation(id: &str, summary: &str, responses: &Value, errors: &[u16]) -> Value {
    let mut responses = responses.clone();
    for status in [401, 403, 404].iter().chain(errors) {
        responses[status.to_string()] = answer(problem(*status), &reference("Problem"));
    }
    json!({
        "operationId": id,
        "summary": summary,
        "security": [{}, { "token": [] }, { "certificate": [] }, { "certificate": [], "token": [] }],
        "responses": responses,
    })
}

fn with_body(mut operation: Value, description: &str, schema: &Value) -> Value {
    operation["requestBody"] = answer(description, schema);
    operation["requestBody"]["required"] = true.into();
    operation
}

const NO_CERTIFICATE: &str = "A client certificate is needed.";

/// When an error of the API is answered.
const fn problem(status: u16) -> &'static str {
    match status {
        400 => "The body is no JSON.",
        401 => "The token is missing or wrong.",
        403 => {
            "Without a token the API is for callers on this machine; or a client certificate is needed."
        }
        404 => {
            "No such endpoint; or the API is off; or what only embedded mode offers was asked of another mode."
        }
        413 => "The body is too large.",
        415 => "The body is not `application/json`.",
        422 => "The body is JSON of another shape, or the endpoint would have too many attributes.",
        503 => "Too much is waiting.",
        504 => "`TIMEOUT`: the device did not answer in time.",
        _ => "",
    }
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn parameter(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

fn schemas() -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": text });
    let milliseconds =
        json!({ "type": "integer", "format": "int64", "description": "Milliseconds since 1970." });
    let mut schemas = json!({
        "Problem": object(json!({ "error": text }), &["error"]),
        "Health": object(json!({
            "status": { "enum": ["ok", "fail"] },
            "state": { "enum": ["starting", "restoring", "ready", "draining"] },
            "checks": { "type": "array", "items": object(json!({
                "name": text,
                "status": { "enum": ["ok", "fail"] },
                "detail": text,
            }), &["name", "status", "detail"]) },
        }), &["status", "state", "checks"]),
        "Version": object(json!({ "version": text, "features": texts }), &["version", "features"]),
        "Endpoint": object(json!({
            "endpoint": text,
            "device": { "type": "string", "description": "Device name at the platform." },
            "registration": { "type": "string", "description": "Registration id." },
            "address": text,
            "version": { "type": "string", "description": "LwM2M version.", "examples": ["1.1"] },
            "binding": text,
            "lifetime_s": { "type": ["integer", "null"], "description": "Null for ever." },
            "last_update": milliseconds,
            "last_heard": milliseconds,
            "asleep": { "type": "boolean", "description": "Commands wait until the device says something." },
            "objects": { "type": "array", "items": text, "description": "Links as registered." },
            "versions": { "type": "object", "additionalProperties": text, "description": "By object id." },
            "observed": texts,
            "values": { "type": "array", "items": object(json!({
                "path": text,
                "value": text,
                "ts": milliseconds,
            }), &["path", "value", "ts"]) },
        }), &[
            "endpoint", "device", "registration", "address", "version", "binding", "lifetime_s", "last_update",
            "last_heard", "asleep", "objects", "versions", "observed", "values",
        ]),
        "Attributes": {
            "type": "object",
            "additionalProperties": { "type": ["boolean", "number", "string", "array", "object"] },
        },
        "AttributeChanges": { "type": "object", "examples": [{ "timezone": "Europe/Kyiv" }] },
        "Reply": object(json!({
            "result": { "type": "string", "description": "Name of a response code.", "examples": ["CONTENT"] },
            "value": { "type": "string", "description": "What the device gave." },
            "error": { "type": "string", "description": "What went wrong." },
        }), &["result"]),
        "Event": object(json!({
            "ts": milliseconds,
            "endpoint": text,
            "device": text,
            "kind": { "enum": ["opened", "closed", "activity", "telemetry", "attributes", "rpc_status", "rpc_reply"] },
            "values": { "type": "object", "description": "Of `telemetry` and `attributes`." },
            "rpc": { "type": "string", "format": "uuid", "description": "Of `rpc_status` and `rpc_reply`." },
            "status": { "enum": ["SENT", "DELIVERED", "TIMEOUT"], "description": "Of `rpc_status`." },
            "body": { "description": "Of `rpc_reply`." },
        }), &["ts", "endpoint", "device", "kind"]),
        "Command": {
            "oneOf": MANUAL.map(|manual| reference(manual.method)),
            "discriminator": { "propertyName": "method" },
        },
    });
    for manual in MANUAL {
        schemas[manual.method] = command(manual);
    }
    schemas
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

/// One command: the schema is called like the method, which the discriminator relies on.
fn command(
    Manual {
        method,
        does,
        example,
    }: Manual,
) -> Value {
    let params = params(method);
    let example: Value = serde_json::from_str(example).unwrap_or_default();
    let mut properties = json!({ "method": { "const": method } });
    let mut shown = json!({ "method": method });
    let mut required = vec!["method"];
    if let Some(params) = params {
        properties["params"] = params;
        shown["params"] = example;
        required.push("params");
    }
    properties["timeout_ms"] = json!({
        "type": "integer",
        "minimum": 0,
        "default": 30_000,
        "description": "How long the device may take; more than 600,000 counts as that.",
    });
    let mut schema = object(properties, &required);
    schema["additionalProperties"] = false.into();
    schema["description"] = does.into();
    schema["examples"] = json!([shown]);
    schema
}

/// What a command takes; `None` when it takes nothing.
fn params(method: &str) -> Option<Value> {
    let path = json!({ "type": "string", "description": "A path, with the version of its object or without.", "examples": ["/3_1.2/0/9"] });
    let key =
        json!({ "type": "string", "description": "A key name of the profile in place of a path." });
    let one = || {
        Map::from_iter([
            ("id".to_owned(), path.clone()),
            ("key".to_owned(), key.clone()),
        ])
    };
    let one_and = |name: &str, schema: Value| {
        let mut members = one();
        members.insert(name.to_owned(), schema);
        members.into()
    };
    let (properties, either): (Value, &[&str]) = match method {
        "DiscoverAll" | "ObserveReadAll" | "ObserveCancelAll" => return None,
        "ReadComposite" | "ObserveComposite" | "ObserveCompositeCancel" => (
            json!({
                "ids": { "type": "array", "items": path, "minItems": 1 },
                "keys": { "type": "array", "items": key, "minItems": 1 },
            }),
            &["ids", "keys"],
        ),
        "WriteComposite" => (
            json!({ "nodes": {
                "type": "object",
                "minProperties": 1,
                "description": "Values by path or key name.",
            } }),
            &["nodes"],
        ),
        "Execute" => (
            one_and(
                "value",
                json!({ "description": "Arguments, such as `0='a',1`.", "type": ["string", "number", "boolean"] }),
            ),
            &["id", "key"],
        ),
        "WriteReplace" => (
            one_and(
                "value",
                json!({ "description": "The value; of a multiple resource, values by instance id." }),
            ),
            &["id", "key"],
        ),
        "WriteUpdate" => (
            one_and(
                "value",
                json!({ "type": "object", "description": "Values by resource id, or by instance id." }),
            ),
            &["id", "key"],
        ),
        "WriteAttributes" => (
            one_and(
                "attributes",
                json!({
                    "type": "object",
                    "description": "`null` takes one away. LwM2M 1.2 devices also take `edge`, `con` and `hqmax`.",
                    "properties": {
                        "pmin": number("integer"), "pmax": number("integer"),
                        "epmin": number("integer"), "epmax": number("integer"),
                        "gt": number("number"), "lt": number("number"), "st": number("number"),
                    },
                }),
            ),
            &["id", "key"],
        ),
        "Create" => {
            let mut members = one();
            let values = json!({ "type": "object", "description": "Values by resource id." });
            members.insert("value".to_owned(), values.clone());
            members.insert(
                "nodes".to_owned(),
                json!({
                    "type": "object",
                    "additionalProperties": values,
                    "description": "Several instances by id.",
                }),
            );
            (members.into(), &["id", "key"])
        }
        _ => (one().into(), &["id", "key"]),
    };
    let either: Vec<_> = either
        .iter()
        .map(|name| json!({ "required": [name] }))
        .collect();
    Some(json!({ "type": "object", "properties": properties, "anyOf": either }))
}

fn number(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

#[cfg(test)]
mod tests {
    use std::{env, fs};

    use crate::{
        endpoint::{EndpointSummary, stats::ValueSummary},
        server::metrics::{Label, State},
    };

    use super::*;

    #[test]
    fn docs_openapi_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let page = format!("{:#}\n", document());
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, &page).unwrap();
        }
        assert_eq!(
            fs::read_to_string(path).unwrap_or_default(),
            page,
            "docs/openapi.json is stale: run the tests with UPDATE_DOCS=1"
        );
    }

    /// Calls `visit` with every member of every object.
    fn walk(value: &Value, visit: &mut impl FnMut(&str, &Value)) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    visit(name, member);
                    walk(member, visit);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn references_lead_somewhere_and_operations_have_names_of_their_own() {
        let document = document();
        let mut ids = Vec::new();
        walk(&document, &mut |name, member| match name {
            "$ref" => {
                let target = member.as_str().unwrap().strip_prefix('#').unwrap();
                assert!(document.pointer(target).is_some(), "{target}");
            }
            "operationId" => ids.push(member.as_str().unwrap().to_owned()),
            _ => {}
        });
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(count, ids.len(), "an operation's id is its own: {ids:?}");
        assert!(count > 0);
    }

    #[test]
    fn endpoints_and_states_are_described_as_they_are() {
        let members =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        let schemas = schemas();
        let endpoint = EndpointSummary {
            values: vec![ValueSummary::default()],
            ..EndpointSummary::default()
        };
        let endpoint = serde_json::to_value(endpoint).unwrap();
        let described = &schemas["Endpoint"]["properties"];
        assert_eq!(members(described), members(&endpoint));
        assert_eq!(
            members(&described["values"]["items"]["properties"]),
            members(&endpoint["values"][0])
        );
        assert_eq!(
            schemas["Health"]["properties"]["state"]["enum"],
            json!(State::VALUES)
        );
    }

    #[test]
    fn every_example_has_a_member_that_its_command_needs() {
        for manual in MANUAL {
            let schema = command(manual);
            let Some(either) = schema["properties"]["params"]["anyOf"].as_array() else {
                assert_eq!(manual.example, "null", "{}", manual.method);
                continue;
            };
            let example: Value = serde_json::from_str(manual.example).unwrap();
            let properties = &schema["properties"]["params"]["properties"];
            for name in example.as_object().unwrap().keys() {
                assert!(properties[name].is_object(), "{}: {name}", manual.method);
            }
            assert!(
                either
                    .iter()
                    .any(|one| example[one["required"][0].as_str().unwrap()] != Value::Null),
                "{}",
                manual.method
            );
        }
    }
}
