//! The labels of the metrics: closed enums, never a name or text that a device chooses.

use super::table::label;

label! {
    /// What a mailbox belongs to.
    pub enum Actor "actor" { Endpoint "endpoint" }
}
label! {
    /// Which way a datagram goes.
    pub enum Direction "direction" { In "in", Out "out" }
}
label! {
    /// Why a datagram was dropped unhandled.
    pub enum DropReason "reason" {
        Multicast "multicast", QueueFull "queue_full", RateLimit "rate_limit", Send "send", TooLarge "too_large",
        Truncated "truncated",
    }
}
label! {
    /// Kind of a Kafka error.
    pub enum KafkaError "kind" {
        Auth "auth", Fatal "fatal", Other "other", QueueFull "queue_full", TimedOut "timed_out", Transport "transport",
    }
}
label! {
    /// Limit that refused something.
    pub enum Limit "limit" {
        Endpoints "endpoints", EndpointRegistrations "endpoint_registrations", Registering "registering",
        Registrations "registrations",
    }
}
label! {
    /// Version of the LwM2M enabler.
    pub enum LwVersion "version" { V1_0 "1.0", V1_1 "1.1", V1_2 "1.2" }
}
label! {
    /// Why a CoAP message was malformed.
    pub enum Malformed "reason" { Format "format", Option "option" }
}
label! {
    /// What goes to the platform.
    pub enum Message "message" {
        Activity "activity", Attributes "attributes", AttributesWanted "attributes_wanted",
        PendingRpcWanted "pending_rpc_wanted", Question "question", RpcReply "rpc_reply", RpcStatus "rpc_status",
        SessionClosed "session_closed", SessionOpened "session_opened", Telemetry "telemetry",
    }
}
label! {
    /// How a message to the platform ended.
    pub enum MessageResult "result" {
        Accepted "accepted", Durable "durable", Refused "refused", Rejected "rejected", Unavailable "unavailable",
    }
}
label! {
    /// What became of a notification.
    pub enum NotificationResult "result" {
        BadPayload "bad_payload", Delivered "delivered", Stale "stale", Unacknowledged "unacknowledged",
        UnknownToken "unknown_token", Unmapped "unmapped",
    }
}
label! {
    /// LwM2M operation towards a device.
    pub enum Op "op" {
        Read "read", Discover "discover", Write "write", WriteAttributes "write_attributes", Execute "execute",
        Observe "observe", CancelObservation "cancel_observation",
    }
}
label! {
    /// How an operation ended.
    pub enum OpResult "result" {
        Cancelled "cancelled", ClientError "client_error", Ok "ok", ServerError "server_error", Timeout "timeout",
    }
}
label! {
    /// What is asked of the platform.
    pub enum Request "request" { Credentials "credentials", Models "models" }
}
label! {
    /// How a question to the platform ended.
    pub enum RequestResult "result" { Invalid "invalid", NotFound "not_found", Ok "ok", Unavailable "unavailable" }
}
label! {
    /// What happened to a registration.
    pub enum RegistrationEvent "event" {
        Register "register", Update "update", Deregister "deregister", Expire "expire", Rejected "rejected",
        Replaced "replaced",
    }
}
label! {
    /// RPC method, as the platform names it; `other` for what is no method.
    pub enum RpcMethod "method" {
        Read "Read", ReadComposite "ReadComposite", Discover "Discover", DiscoverAll "DiscoverAll", Observe "Observe",
        ObserveComposite "ObserveComposite", ObserveReadAll "ObserveReadAll", ObserveCancel "ObserveCancel",
        ObserveCompositeCancel "ObserveCompositeCancel", ObserveCancelAll "ObserveCancelAll", Execute "Execute",
        WriteComposite "WriteComposite", WriteReplace "WriteReplace", WriteUpdate "WriteUpdate",
        WriteAttributes "WriteAttributes", Delete "Delete", Create "Create", Other "other",
    }
}
label! {
    /// How an RPC ended.
    pub enum RpcResult "result" { Dropped "dropped", Error "error", Ok "ok", Timeout "timeout" }
}
label! {
    /// How an endpoint is secured.
    pub enum Security "security" { NoSec "nosec", Psk "psk", Rpk "rpk", X509 "x509" }
}
label! {
    /// What happened to a platform session.
    pub enum SessionEvent "event" {
        Closed "closed", ClosedByCore "closed_by_core", Opened "opened", Reopened "reopened",
    }
}
label! {
    /// State of this process.
    pub enum State "state" { Starting "starting", Ready "ready", Draining "draining" }
}
label! {
    /// Kind of a Kafka topic.
    pub enum TopicKind "topic_kind" {
        Api "api", Core "core", Notification "notification", Response "response", RuleEngine "rule_engine",
        Usage "usage",
    }
}
label! {
    /// How a Kafka record ended.
    pub enum RecordResult "result" { Acked "acked", Consumed "consumed", Failed "failed" }
}
