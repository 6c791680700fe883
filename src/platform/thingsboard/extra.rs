//! Properties that operators add for the Kafka clients, in the words of the Java client.
//!
//! Names that only the Java client has are left out, and some are called otherwise here; a name that neither client has
//! is an error when the client is made.

use rdkafka::ClientConfig;

use super::topics::{PropertiesError, parse_properties};

/// Sets `name:value;..`.
///
/// # Errors
/// [`PropertiesError`] when an entry has no colon.
pub(super) fn apply(config: &mut ClientConfig, text: &str) -> Result<(), PropertiesError> {
    for (name, value) in parse_properties(text)? {
        set(config, &name, value);
    }
    Ok(())
}

/// Sets what `topic:name=value;..` says of a topic: of its full name, or else of the longest beginning of it.
///
/// # Errors
/// [`PropertiesError`] when an entry has no colon or no equals sign.
pub(super) fn apply_of_topic(
    config: &mut ClientConfig,
    text: &str,
    topic: &str,
) -> Result<(), PropertiesError> {
    let entries = of_topics(text)?;
    let longest = entries
        .iter()
        .filter(|entry| topic.starts_with(&entry.topic))
        .map(|entry| entry.topic.len())
        .max();
    for entry in entries {
        if topic.starts_with(&entry.topic) && Some(entry.topic.len()) == longest {
            set(config, &entry.name, entry.value);
        }
    }
    Ok(())
}

/// The names in both texts that have no effect here.
pub fn without_effect(for_all: &str, of_topic: &str) -> Vec<String> {
    let for_all = parse_properties(for_all).unwrap_or_default();
    let of_topic = of_topics(of_topic).unwrap_or_default();
    let names = for_all.into_iter().map(|(name, _)| name);
    names
        .chain(of_topic.into_iter().map(|entry| entry.name))
        .filter(|name| translate(name).is_none())
        .collect()
}

/// Whether a text is of the form `topic:name=value;..`.
///
/// # Errors
/// [`PropertiesError`] when it is not.
pub fn check_of_topics(text: &str) -> Result<(), PropertiesError> {
    of_topics(text).map(|_| ())
}

struct TopicProperty {
    topic: String,
    name: String,
    value: String,
}

fn of_topics(text: &str) -> Result<Vec<TopicProperty>, PropertiesError> {
    parse_properties(text)?
        .into_iter()
        .enumerate()
        .map(|(index, (topic, property))| {
            let (name, value) = property.split_once('=').ok_or(PropertiesError(index + 1))?;
            Ok(TopicProperty {
                topic,
                name: name.trim().to_owned(),
                value: value.trim().to_owned(),
            })
        })
        .collect()
}

fn set(config: &mut ClientConfig, name: &str, value: String) {
    if let Some(name) = translate(name) {
        config.set(name, value);
    }
}

/// What the client here calls a property; `None` when it has no such thing.
fn translate(name: &str) -> Option<&str> {
    if JAVA_ONLY.contains(&name) {
        return None;
    }
    let called = RENAMED.iter().find(|(java, _)| *java == name);
    Some(called.map_or(name, |(_, here)| here))
}

/// Properties of the Java client (3.9) without counterpart.
const JAVA_ONLY: [&str; 22] = [
    "auto.include.jmx.reporter",
    "buffer.memory",
    "client.id",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "interceptor.classes",
    "key.deserializer",
    "key.serializer",
    "max.block.ms",
    "max.poll.records",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "partitioner.class",
    "sasl.jaas.config",
    "security.providers",
    "ssl.keystore.type",
    "ssl.protocol",
    "ssl.truststore.password",
    "ssl.truststore.type",
    "value.deserializer",
];
/// Java's words, and librdkafka's. Two are aliases there as well, but a property set under both names has either value.
const RENAMED: [(&str, &str); 7] = [
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.request.size", "message.max.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("ssl.truststore.location", "ssl.ca.location"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_java_client_are_translated_or_left_out() {
        let text = "max.request.size:5;max.poll.records:7;client.rack:a:b";
        let mut config = ClientConfig::new();
        apply(&mut config, text).unwrap();
        assert_eq!(config.get("message.max.bytes"), Some("5"));
        assert_eq!(config.get("client.rack"), Some("a:b"));
        assert_eq!(config.get("max.poll.records"), None);
        let of_topic = "t:key.deserializer=x;t:linger.ms=5";
        assert_eq!(
            without_effect(text, of_topic),
            ["max.poll.records", "key.deserializer"]
        );
        assert!(apply(&mut config, "a=b").is_err());
        // An alias would leave two values for one property.
        config.set("message.timeout.ms", "120000");
        apply(&mut config, "delivery.timeout.ms:9;sasl.mechanism:PLAIN").unwrap();
        assert_eq!(config.get("message.timeout.ms"), Some("9"));
        assert_eq!(config.get("sasl.mechanisms"), Some("PLAIN"));
        assert_eq!(config.config_map().len(), 4);
    }

    #[test]
    fn a_topic_has_the_properties_of_its_name_or_of_its_longest_beginning() {
        let text = "tb_transport:fetch.min.bytes=1;tb_transport.api:fetch.min.bytes=2;tb_transport.api:fetch.max.wait.ms=9;\
                    tb_transport.notifications.ls-0:fetch.min.bytes=3;tb_core:fetch.min.bytes=4";
        let of = |topic: &str| {
            let mut config = ClientConfig::new();
            apply_of_topic(&mut config, text, topic).unwrap();
            let get = |name| config.get(name).unwrap_or("").to_owned();
            (get("fetch.min.bytes"), get("fetch.wait.max.ms"))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(of("tb_transport.api.responses.ls-0"), pair("2", "9"));
        assert_eq!(of("tb_transport.notifications.ls-0"), pair("3", ""));
        assert_eq!(of("tb_transport.notifications.ls-1"), pair("1", ""));
        assert_eq!(of("other"), pair("", ""));
        assert!(check_of_topics(text).is_ok());
        assert!(check_of_topics("t:fetch.min.bytes").is_err());
    }
}
