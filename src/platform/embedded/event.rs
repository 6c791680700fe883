//! What happened on the uplink side, as people and the HTTP API see it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::platform::{
    Uplink,
    time::UnixMillis,
    uplink::{KeyValue, RpcBody, RpcStatus},
};

/// One uplink, or one timestamp of a telemetry uplink.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When: the values' own time, else the time of the uplink.
    pub ts: UnixMillis,
    /// Endpoint client name.
    pub endpoint: String,
    /// Device name.
    pub device: String,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The device was active.
    Activity,
    /// Client-scope attributes.
    Attributes(Vec<(String, KeyValue)>),
    /// The session ended.
    Closed,
    /// A session began.
    Opened,
    /// The answer to an RPC.
    RpcReply {
        /// Which RPC.
        rpc: Uuid,
        /// Its body.
        body: RpcBody,
    },
    /// Progress of an RPC.
    RpcStatus {
        /// Which RPC.
        rpc: Uuid,
        /// How far.
        status: RpcStatus,
    },
    /// Time series values of one moment.
    Telemetry(Vec<(String, KeyValue)>),
}

impl Event {
    /// The kind's name, as it stands in the member `kind` of [`Event::json`].
    pub const fn name(&self) -> &'static str {
        match self.kind {
            EventKind::Activity => "activity",
            EventKind::Attributes(_) => "attributes",
            EventKind::Closed => "closed",
            EventKind::Opened => "opened",
            EventKind::RpcReply { .. } => "rpc_reply",
            EventKind::RpcStatus { .. } => "rpc_status",
            EventKind::Telemetry(_) => "telemetry",
        }
    }

    /// One line of JSON: `ts` (ms), `endpoint`, `device`, `kind`, then what the kind has: `values`, or `rpc` with
    /// `status` or `body`.
    pub fn json(&self) -> String {
        let mut line = json!({
            "ts": self.ts.0,
            "endpoint": self.endpoint,
            "device": self.device,
            "kind": self.name(),
        });
        match &self.kind {
            EventKind::Activity | EventKind::Closed | EventKind::Opened => {}
            EventKind::Attributes(values) | EventKind::Telemetry(values) => {
                line["values"] = values
                    .iter()
                    .map(|(key, value)| (key.clone(), json_value(value)))
                    .collect::<Map<_, _>>()
                    .into();
            }
            EventKind::RpcReply { rpc, body } => {
                line["rpc"] = rpc.to_string().into();
                line["body"] = json_text(body.text());
            }
            EventKind::RpcStatus { rpc, status } => {
                line["rpc"] = rpc.to_string().into();
                line["status"] = match status {
                    RpcStatus::Sent => "SENT",
                    RpcStatus::Delivered => "DELIVERED",
                    RpcStatus::Timeout => "TIMEOUT",
                }
                .into();
            }
        }
        line.to_string()
    }

    /// The events of an uplink that came at `now`: one, one per timestamp for telemetry, none for what is a question
    /// or a wish to the core.
    pub(super) fn of(uplink: Uplink, endpoint: &str, now: UnixMillis) -> Vec<Self> {
        let event = |ts, session: &crate::platform::SessionInfo, kind| Self {
            ts,
            endpoint: endpoint.to_owned(),
            device: session.device.name.clone(),
            kind,
        };
        match uplink {
            Uplink::SessionOpened { session } => vec![event(now, &session, EventKind::Opened)],
            Uplink::SessionClosed { session } => vec![event(now, &session, EventKind::Closed)],
            Uplink::Activity {
                session,
                last_activity,
                ..
            }
            | Uplink::BootstrapReport {
                session,
                last_activity,
            } => vec![event(last_activity, &session, EventKind::Activity)],
            Uplink::Telemetry {
                session, readings, ..
            } => readings
                .into_iter()
                .map(|at| event(at.ts, &session, EventKind::Telemetry(at.values)))
                .collect(),
            Uplink::Attributes {
                session,
                values,
                ts,
                ..
            } => vec![event(ts, &session, EventKind::Attributes(values))],
            Uplink::RpcStatus {
                session,
                rpc,
                status,
            } => {
                let rpc = rpc.uuid;
                vec![event(now, &session, EventKind::RpcStatus { rpc, status })]
            }
            Uplink::RpcReply { session, rpc, body } => {
                let rpc = rpc.uuid;
                vec![event(now, &session, EventKind::RpcReply { rpc, body })]
            }
            Uplink::AttributesWanted { .. }
            | Uplink::PendingRpcWanted { .. }
            | Uplink::Question { .. } => Vec::new(),
        }
    }
}

/// A value as JSON.
pub(super) fn json_value(value: &KeyValue) -> Value {
    match value {
        KeyValue::Boolean(value) => (*value).into(),
        KeyValue::Long(value) => (*value).into(),
        KeyValue::Double(value) => (*value).into(),
        KeyValue::String(text) => text.clone().into(),
        KeyValue::Json(text) => json_text(text),
    }
}

/// JSON text as a value; as a string should it not be JSON.
fn json_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
