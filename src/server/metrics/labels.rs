//! The labels of the metrics: closed enums, never a name or text that a device chooses.

use super::table::{Label, label};

label! {
    /// What a mailbox belongs to.
    pub enum Actor "actor" { Bootstrap "bootstrap", Endpoint "endpoint" }
}
label! {
    /// How a Bootstrap-Request ended: `rejected` at once; its session `ok`, in `timeout` because the device did not answer,
    /// or `failed`.
    pub enum BootstrapResult "result" { Failed "failed", Ok "ok", Rejected "rejected", Timeout "timeout" }
}
label! {
    /// Which way a datagram goes.
    pub enum Direction "direction" { In "in", Out "out" }
}
label! {
    /// What became of a request for an update package: a block was `served`; `denied`: the package is not for this peer;
    /// `missing`: it cannot be had; `limited`: too much is asked for.
    pub enum DownloadResult "result" {
        Denied "denied", Limited "limited", Malformed "malformed", Missing "missing", Served "served",
    }
}
label! {
    /// What was reported of an update.
    pub enum OtaState "state" {
        Downloading "downloading", Downloaded "downloaded", Verified "verified", Updating "updating",
        Updated "updated", Failed "failed",
    }
}
label! {
    /// Why a datagram was dropped unhandled.
    pub enum DropReason "reason" {
        Association "association", KernelBuffer "kernel_buffer", Multicast "multicast", Send "send", Shard "shard",
    }
}
label! {
    /// How a connection began where HTTPS is served: with a handshake that was `ok`, `failed` or did not end in time, or with
    /// `plain` HTTP.
    pub enum HttpsHandshake "result" { Failed "failed", Ok "ok", Plain "plain", Timeout "timeout" }
}
label! {
    /// Limit that refused something.
    pub enum Limit "limit" {
        Bootstraps "bootstraps", Endpoints "endpoints", EndpointFlapping "endpoint_flapping", EndpointMessages "endpoint_messages",
        EndpointRegistrations "endpoint_registrations", Registering "registering", Registrations "registrations", SourceMessages "source_messages",
    }
}
label! {
    /// Why a CoAP message was malformed.
    pub enum Malformed "reason" { Block "block", Format "format", Option "option" }
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
        BadPayload "bad_payload", Delivered "delivered", Incomplete "incomplete", Stale "stale", Unacknowledged "unacknowledged",
        UnknownToken "unknown_token", Unmapped "unmapped",
    }
}
label! {
    /// What is asked of the platform.
    pub enum Request "request" {
        Credentials "credentials", Models "models", Package "package", PackageBytes "package_bytes",
    }
}
label! {
    /// How a question to the platform ended.
    pub enum RequestResult "result" { Invalid "invalid", Limited "limited", NotFound "not_found", Ok "ok", Unavailable "unavailable" }
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
    /// What became of a command of the platform.
    pub enum CommandResult "result" {
        Delivered "delivered", MailboxFull "mailbox_full", NoSession "no_session",
    }
}
label! {
    /// How an RPC ended, each in one way: `ok` and `error` are answers; `overflow` was refused for want of room;
    /// `cancelled` ended with the registration; a `duplicate`, one that `expired` unsent and one `postponed`, which the core
    /// keeps, get no answer.
    pub enum RpcResult "result" {
        Cancelled "cancelled", Duplicate "duplicate", Error "error", Expired "expired", Ok "ok", Overflow "overflow",
        Postponed "postponed", Timeout "timeout",
    }
}
label! {
    /// How a Send ended: `delivered` to the platform, though it may still be `unavailable` then, and be answered 5.03;
    /// `unmapped`: nothing of it is wanted; `refused` for what it holds.
    pub enum SendResult "result" {
        Delivered "delivered", Refused "refused", Unavailable "unavailable", Unmapped "unmapped",
    }
}
label! {
    /// What a Kafka record carries.
    pub enum RecordKind "kind" {
        Activity "activity", Attributes "attributes", Question "question", Rpc "rpc", Session "session",
        SharedAttributes "shared_attributes", Telemetry "telemetry", Usage "usage",
    }
}
label! {
    /// How far a Kafka record came.
    pub enum RecordResult "result" { Sent "sent", Delivered "delivered", Failed "failed" }
}
label! {
    /// Why a Kafka record did not reach its topic.
    pub enum RecordFailure "reason" {
        NotAuthorised "not_authorised", Other "other", QueueFull "queue_full", TimedOut "timed_out",
        TooLarge "too_large", TopicMissing "topic_missing",
    }
}
label! {
    /// Why a notification of the core was not handed on.
    pub enum CoreDrop "reason" {
        MailboxFull "mailbox_full", UnknownSession "unknown_session", Unreadable "unreadable",
    }
}
label! {
    /// How an endpoint is secured.
    pub enum Security "security" { NoSec "nosec", Psk "psk", Rpk "rpk", X509 "x509" }
}
label! {
    /// How a device proves itself in a handshake; `unknown` where it did not come so far.
    pub enum HandshakeMode "mode" { Psk "psk", Rpk "rpk", Unknown "unknown", X509 "x509" }
}
label! {
    /// How a handshake ended. `bad_mac`: the device's Finished was not made with the key, usually a wrong PSK;
    /// `no_credentials`: nobody is known by what it shows; `unavailable`: the platform did not say; `limit`: too many.
    pub enum HandshakeResult "result" {
        BadMac "bad_mac", CertInvalid "cert_invalid", Limit "limit", NoCipher "no_cipher", NoCredentials "no_credentials", Ok "ok",
        Other "other", Refused "refused", Timeout "timeout", Unavailable "unavailable",
    }
}
label! {
    /// Whether records from the device carry a connection id.
    pub enum ConnectionId "cid" { No "no", Yes "yes" }
}
label! {
    /// Why a DTLS record was dropped.
    pub enum RecordDrop "reason" {
        BadMac "bad_mac", Early "early", Foreign "foreign", Malformed "malformed", NoAssociation "no_association", Replay "replay",
        Unheard "unheard", WrongCid "wrong_cid",
    }
}
label! {
    /// What of DTLS a limit held back.
    pub enum DtlsLimit "limit" {
        Alerts "alerts", Associations "associations", CredentialQueries "credential_queries", Handshakes "handshakes",
        HelloVerifyRequests "hello_verify_requests",
    }
}
label! {
    /// What was done to a record of an endpoint.
    pub enum StateOperation "op" { Put "put", Delete "delete" }
}
label! {
    /// State of this process.
    pub enum State "state" { Starting "starting", Restoring "restoring", Ready "ready", Draining "draining" }
}

impl RpcMethod {
    /// The method of this name.
    pub fn named(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|method| Self::VALUES[method.index()] == name)
            .unwrap_or(Self::Other)
    }
}
