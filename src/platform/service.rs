//! What this instance is called.

use serde::{Deserialize, Serialize};

/// `service`: the identity of this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceSettings {
    /// Unique name of this instance, part of its topic names: letters, digits, `.`, `_`, `-`. Default: the host name.
    /// Upstream: `TB_SERVICE_ID`.
    pub id: Option<String>,
    /// Ordinal of this instance, 0 to 255, part of tokens and registration ids. Default: the digits after the last `-`
    /// of the id, else 0.
    pub node_id: Option<u8>,
}

impl ServiceSettings {
    /// The service id, given the host name.
    pub fn id<'a>(&'a self, host_name: &'a str) -> &'a str {
        self.id
            .as_deref()
            .filter(|id| !id.is_empty())
            .unwrap_or(host_name)
    }

    /// The ordinal, given the host name.
    pub fn node_id(&self, host_name: &str) -> u8 {
        let id = self.id(host_name);
        self.node_id.unwrap_or_else(|| {
            id.rsplit_once('-')
                .and_then(|(_, digits)| digits.parse().ok())
                .unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ordinal_ends_the_service_id() {
        let settings = ServiceSettings::default();
        assert_eq!(settings.id("lightship-7"), "lightship-7");
        assert_eq!(settings.node_id("lightship-7"), 7);
        assert_eq!(settings.node_id("laptop"), 0);
        let named = ServiceSettings {
            id: Some("tb-lwm2m-12".to_owned()),
            node_id: None,
        };
        assert_eq!(named.node_id("laptop"), 12);
        let numbered = ServiceSettings {
            node_id: Some(3),
            ..named
        };
        assert_eq!(numbered.node_id("laptop"), 3);
    }
}
