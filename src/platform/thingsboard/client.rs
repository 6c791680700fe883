//! Properties of the Kafka clients (`operations.md` 10) and their log.

use std::time::Duration;

use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, Producer as _, ProducerContext},
};
use tracing::{debug, warn};

use super::settings::{Acks, AutoOffsetReset, Compression, KafkaSettings};
use super::{extra, security, topics::PropertiesError};

/// The producer's properties.
///
/// # Errors
/// [`PropertiesError`] when `kafka.extra` cannot be read.
pub(super) fn producer(
    settings: &KafkaSettings,
    service_id: &str,
) -> Result<ClientConfig, PropertiesError> {
    let mut config = ClientConfig::new();
    let acks = match settings.acks {
        Acks::All => "all",
        Acks::Leader => "1",
        Acks::None => "0",
    };
    let compression = match settings.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Lz4 => "lz4",
        Compression::Snappy => "snappy",
    };
    let kbytes = (settings.buffer_bytes / 1024).clamp(1, MAX_BUFFER_KBYTES);
    config
        .set("client.id", format!("transport-node-core-{service_id}"))
        .set("acks", acks)
        .set(
            "enable.idempotence",
            (settings.acks == Acks::All).to_string(),
        )
        // The default of the Java client: other services of the platform write the same keys.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", settings.linger_ms.to_string())
        .set(
            "batch.size",
            settings.batch_size_bytes.max(MIN_BATCH).to_string(),
        )
        .set("batch.num.messages", "10000")
        .set("compression.type", compression)
        .set("message.timeout.ms", "120000")
        .set("message.max.bytes", settings.max_message_bytes.to_string())
        .set(
            "request.timeout.ms",
            settings.request_timeout_ms.to_string(),
        )
        // How soon a broker that went away or came back shows while nothing is written.
        .set("statistics.interval.ms", "15000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", kbytes.to_string());
    common(&mut config, settings)?;
    Ok(config)
}

/// The properties of the consumer of `topic`. Offsets are committed by hand.
///
/// # Errors
/// [`PropertiesError`] when `kafka.extra` or `kafka.consumer_extra` cannot be read.
pub(super) fn consumer(
    settings: &KafkaSettings,
    client_id: &str,
    group: &str,
    topic: &str,
    reset: AutoOffsetReset,
) -> Result<ClientConfig, PropertiesError> {
    let mut config = ClientConfig::new();
    let reset = match reset {
        AutoOffsetReset::Earliest => "earliest",
        AutoOffsetReset::Latest => "latest",
    };
    config
        .set("client.id", client_id)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", reset)
        // Without membership this is only how long a commit waits for a coordinator.
        .set("session.timeout.ms", "3000")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.min.bytes", "1")
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", "65536")
        .set("max.partition.fetch.bytes", "16777216")
        .set("fetch.max.bytes", "52428800")
        .set("receive.message.max.bytes", "100000000")
        .set("isolation.level", "read_uncommitted");
    common(&mut config, settings)?;
    extra::apply_of_topic(&mut config, settings.consumer_extra.expose(), topic)?;
    Ok(config)
}

/// The properties of the client that creates topics.
///
/// # Errors
/// [`PropertiesError`] when `kafka.extra` cannot be read.
pub(super) fn admin(
    settings: &KafkaSettings,
    service_id: &str,
) -> Result<ClientConfig, PropertiesError> {
    let mut config = ClientConfig::new();
    config.set("client.id", format!("transport-admin-{service_id}"));
    common(&mut config, settings)?;
    Ok(config)
}

fn common(config: &mut ClientConfig, settings: &KafkaSettings) -> Result<(), PropertiesError> {
    config
        .set("bootstrap.servers", &settings.bootstrap_servers)
        .set("socket.timeout.ms", settings.request_timeout_ms.to_string())
        .set("socket.keepalive.enable", "true")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "5000")
        .set("allow.auto.create.topics", "false")
        .set_log_level(RDKafkaLogLevel::Warning);
    security::apply(config, settings);
    extra::apply(config, settings.extra.expose())
}

/// Smaller batches than this only cost requests.
const MIN_BATCH: u32 = 65_536;
/// librdkafka's limit.
const MAX_BUFFER_KBYTES: u64 = 2_147_483_647;

/// Says in the log why no broker answers. The client that looks after topics keeps that to itself: it is never polled.
pub(super) fn explain(config: &ClientConfig) {
    let client = BaseProducer::from_config_and_context(config, Logged);
    if let Ok(client) = client {
        // Whatever becomes of it, the reason is in the log then.
        drop(client.client().fetch_metadata(None, EXPLAIN_TIMEOUT));
        client.poll(Duration::ZERO);
    }
}

const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Forwards what a client has to say to the log.
#[derive(Debug)]
pub(super) struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Logged {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => warn!(facility, message, "the Kafka client warns"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
            debug!(facility, message, "the Kafka client says");
        }
    }
}

/// Errors of a client recover by themselves, or show in what they prevent.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    debug!(%error, reason, "the Kafka client reports an error");
}

#[cfg(test)]
mod tests {
    use super::super::super::secret::Secret;
    use super::*;

    #[test]
    fn anything_but_all_acks_switches_idempotence_off() {
        for (acks, idempotent) in [(Acks::All, "true"), (Acks::Leader, "false")] {
            let settings = KafkaSettings {
                acks,
                batch_size_bytes: 16_384,
                ..KafkaSettings::default()
            };
            let config = producer(&settings, "ls-0").unwrap();
            assert_eq!(config.get("enable.idempotence"), Some(idempotent));
            assert_eq!(config.get("batch.size"), Some("65536"));
            assert_eq!(config.get("partitioner"), Some("murmur2_random"));
        }
    }

    #[test]
    fn properties_of_a_topic_come_after_all_others() {
        let settings = KafkaSettings {
            extra: Secret::new("fetch.min.bytes:5"),
            consumer_extra: Secret::new("tb_transport.api:fetch.min.bytes=6"),
            ..KafkaSettings::default()
        };
        let of = |topic: &str| {
            let reset = AutoOffsetReset::Latest;
            let config = consumer(&settings, "client", "group", topic, reset).unwrap();
            config.get("fetch.min.bytes").unwrap().to_owned()
        };
        assert_eq!(of("tb_transport.api.responses.ls-0"), "6");
        assert_eq!(of("tb_transport.notifications.ls-0"), "5");
    }

    #[test]
    fn extra_properties_come_last() {
        let settings = KafkaSettings {
            extra: Secret::new("linger.ms:50;client.rack:a:b"),
            ..KafkaSettings::default()
        };
        let config = producer(&settings, "ls-0").unwrap();
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(config.get("client.rack"), Some("a:b"));
        let broken = KafkaSettings {
            extra: Secret::new("linger.ms=50"),
            ..settings
        };
        assert!(producer(&broken, "ls-0").is_err());
    }
}
