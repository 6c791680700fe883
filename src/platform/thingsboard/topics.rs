//! Names of topics and groups, and the properties of topics (`platform-wire.md` 1.1, 1.5, 1.6).

use uuid::Uuid;

use super::super::session::PlatformId;
use super::settings::{KafkaSettings, TopicSettings};

/// The names that this instance uses.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
    names: TopicSettings,
    service_id: String,
}

impl Topics {
    /// The names for `service_id`.
    ///
    /// # Errors
    /// [`ServiceIdError`] when a topic cannot be called so.
    pub fn new(settings: &KafkaSettings, service_id: &str) -> Result<Self, ServiceIdError> {
        let prefix = match settings.prefix.trim() {
            "" => String::new(),
            _ => format!("{}.", settings.prefix),
        };
        let topics = Self {
            prefix,
            names: settings.topics.clone(),
            service_id: service_id.to_owned(),
        };
        let legal = |name: &str| {
            name.len() <= MAX_TOPIC_LENGTH
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let usable = !service_id.is_empty()
            && [topics.api_responses(), topics.notifications()]
                .iter()
                .all(|name| legal(name));
        usable.then_some(topics).ok_or(ServiceIdError)
    }

    /// Questions to the core.
    pub fn api_requests(&self) -> String {
        format!("{}{}", self.prefix, self.names.api_requests)
    }

    /// Answers to this instance.
    pub fn api_responses(&self) -> String {
        format!(
            "{}{}.{}",
            self.prefix, self.names.api_responses, self.service_id
        )
    }

    /// Notifications to this instance.
    pub fn notifications(&self) -> String {
        format!(
            "{}{}.{}",
            self.prefix, self.names.notifications, self.service_id
        )
    }

    /// Device-actor messages of one partition.
    pub fn core(&self, partition: u32) -> String {
        format!("{}{}.{partition}", self.prefix, self.names.core)
    }

    /// What tenants used, by partition.
    pub fn usage_stats(&self, partition: u32) -> String {
        format!("{}{}.{partition}", self.prefix, self.names.usage_stats)
    }

    /// Rule-engine messages of one partition of a queue that belongs to `owner`.
    pub fn queue(&self, topic: &str, owner: PlatformId, partition: u32) -> String {
        if owner == PlatformId::NULL {
            format!("{}{topic}.{partition}", self.prefix)
        } else {
            format!("{}{topic}.isolated.{owner}.{partition}", self.prefix)
        }
    }

    /// The group that both consumers commit to.
    pub fn group(&self) -> String {
        format!("{}transport-node-{}", self.prefix, self.service_id)
    }
}

/// A service id, or a prefix, with which topics cannot be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`service.id` and `kafka.prefix` may hold letters, digits, `.`, `_` and `-`, and topic names at most 249 characters"
)]
pub struct ServiceIdError;

/// What a topic is created with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicProperties {
    /// Kafka partitions.
    pub partitions: u16,
    /// Topic configuration, name and value.
    pub config: Vec<(String, String)>,
}

impl TopicProperties {
    /// Reads `name:value;..`; `partitions` is taken out, 1 when absent.
    ///
    /// # Errors
    /// [`PropertiesError`] when an entry has no colon or the partition count is no number.
    pub fn parse(text: &str) -> Result<Self, PropertiesError> {
        let mut properties = Self {
            partitions: 1,
            config: Vec::new(),
        };
        for (index, (name, value)) in parse_properties(text)?.into_iter().enumerate() {
            if name == "partitions" {
                properties.partitions = value
                    .parse()
                    .ok()
                    .filter(|count| *count > 0)
                    .ok_or(PropertiesError(index + 1))?;
            } else {
                properties.config.push((name, value));
            }
        }
        Ok(properties)
    }
}

/// Reads `name:value;..`; the first colon of an entry separates, empty entries are skipped.
///
/// # Errors
/// [`PropertiesError`] when an entry has no colon.
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>, PropertiesError> {
    text.split(';')
        .filter(|entry| !entry.trim().is_empty())
        .enumerate()
        .map(|(index, entry)| {
            let (name, value) = entry.split_once(':').ok_or(PropertiesError(index + 1))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

/// A text that is not `name:value;..`: its first entry that is not, counted from 1. The entry itself is not shown, for
/// it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} of `name:value;name:value` has no such form")]
pub struct PropertiesError(pub(super) usize);

/// A record key: a UUID in its text form, which every service of the platform insists on.
pub fn record_key(id: Uuid) -> String {
    id.as_hyphenated().to_string()
}

/// Kafka's limit.
const MAX_TOPIC_LENGTH: usize = 249;

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(prefix: &str) -> Topics {
        let settings = KafkaSettings {
            prefix: prefix.to_owned(),
            ..KafkaSettings::default()
        };
        Topics::new(&settings, "ls-0").unwrap()
    }

    #[test]
    fn names_follow_prefix_base_owner_and_number() {
        let plain = topics("  ");
        assert_eq!(plain.api_requests(), "tb_transport.api.requests");
        assert_eq!(plain.api_responses(), "tb_transport.api.responses.ls-0");
        assert_eq!(plain.notifications(), "tb_transport.notifications.ls-0");
        assert_eq!(plain.core(8), "tb_core.8");
        assert_eq!(plain.usage_stats(3), "tb_usage_stats.3");
        assert_eq!(plain.group(), "transport-node-ls-0");
        let prefixed = topics("blue");
        assert_eq!(
            prefixed.notifications(),
            "blue.tb_transport.notifications.ls-0"
        );
        assert_eq!(prefixed.group(), "blue.transport-node-ls-0");
        let tenant = PlatformId("a1b2c3d4-e5f6-4789-abcd-ef0123456789".parse().unwrap());
        assert_eq!(
            prefixed.queue("tb_rule_engine.main", tenant, 3),
            "blue.tb_rule_engine.main.isolated.a1b2c3d4-e5f6-4789-abcd-ef0123456789.3"
        );
        assert_eq!(
            prefixed.queue("tb_rule_engine.main", PlatformId::NULL, 3),
            "blue.tb_rule_engine.main.3"
        );
        // The all-zero id is a tenant like any other.
        assert!(
            plain
                .queue("q", PlatformId::default(), 0)
                .contains(".isolated.00000000-")
        );
    }

    #[test]
    fn a_service_id_must_fit_a_topic_name() {
        for id in ["", "a b", "a/b", "ä", &"x".repeat(230)] {
            assert!(
                Topics::new(&KafkaSettings::default(), id).is_err(),
                "{id:?}"
            );
        }
    }

    #[test]
    fn properties_take_the_partition_count_out() {
        assert_eq!(
            TopicProperties::parse("retention.ms:604800000;partitions:10;a.b:c:d;"),
            Ok(TopicProperties {
                partitions: 10,
                config: vec![
                    ("retention.ms".to_owned(), "604800000".to_owned()),
                    ("a.b".to_owned(), "c:d".to_owned())
                ],
            })
        );
        assert_eq!(TopicProperties::parse("").unwrap().partitions, 1);
        assert!(TopicProperties::parse("partitions:0").is_err());
        assert!(TopicProperties::parse("partitions").is_err());
    }
}
