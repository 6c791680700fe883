//! Warnings of endpoints that the registry does not name.

use std::time::{Duration, Instant};

use serde_json::json;

/// Warns of each endpoint once a minute, of at most [`MAX_WARNINGS`] in all, and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    window: Option<Instant>,
    /// Those warned of in this window.
    warned: Vec<String>,
    suppressed: u64,
}

impl Strangers {
    /// Warns that `id` was refused, with the file content that would admit it.
    pub(super) fn refused(&mut self, now: Instant, id: &str, profile: &str) {
        if self
            .window
            .is_none_or(|start| now.saturating_duration_since(start) >= WINDOW)
        {
            if self.suppressed > 0 {
                tracing::warn!(
                    event = "unknown_endpoints",
                    "{} more requests of unknown endpoints were refused within a minute",
                    self.suppressed
                );
            }
            *self = Self {
                window: Some(now),
                ..Self::default()
            };
        }
        let is_new = !self.warned.iter().any(|warned| warned == id);
        if is_new && self.warned.len() < MAX_WARNINGS {
            self.warned.push(id.to_owned());
            tracing::warn!(
                event = "unknown_endpoint",
                "unknown endpoint refused; a file in devices/ with this content admits it: {}",
                admitting_entry(id, profile)
            );
        } else {
            self.suppressed += 1;
        }
    }
}

/// The device file that admits an endpoint without security.
fn admitting_entry(endpoint: &str, profile: &str) -> String {
    json!({
        "deviceName": endpoint,
        "profile": profile,
        "credentials": {
            "client": { "securityConfigClientMode": "NO_SEC", "endpoint": endpoint },
        },
    })
    .to_string()
}

const WINDOW: Duration = Duration::from_secs(60);
const MAX_WARNINGS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::embedded::device::DeviceEntry;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need some instant")]
    fn warnings_are_bounded_within_a_minute() {
        let start = Instant::now();
        let mut strangers = Strangers::default();
        for id in 0..100 {
            strangers.refused(start, &format!("ep-{id}"), "default");
        }
        assert_eq!((strangers.warned.len(), strangers.suppressed), (10, 90));
        strangers.refused(start + WINDOW, "ep-0", "default");
        strangers.refused(start + WINDOW, "ep-0", "default");
        assert_eq!((strangers.warned.len(), strangers.suppressed), (1, 1));
    }

    #[test]
    fn the_suggested_entry_is_a_valid_one() {
        let text = admitting_entry("ep \"1\"\n", "default");
        assert!(!text.contains('\n'));
        let entry: DeviceEntry = serde_json::from_str(&text).unwrap();
        assert!(entry.problems().is_empty());
        assert_eq!(entry.credentials_id(), "ep \"1\"\n");
        assert_eq!(entry.profile, "default");
    }
}
