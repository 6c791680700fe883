//! Warnings of endpoints that the registry does not name.

use std::time::{Duration, Instant};

use serde_json::json;

/// Writes at most [`MAX_WARNINGS`] a minute and counts the rest.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    window: Option<Instant>,
    warnings: u32,
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
                    "{} more requests of unknown endpoints were refused",
                    self.suppressed
                );
            }
            *self = Self {
                window: Some(now),
                ..Self::default()
            };
        }
        if self.warnings < MAX_WARNINGS {
            self.warnings += 1;
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
const MAX_WARNINGS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::embedded::device::DeviceEntry;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "tests need some instant")]
    fn warnings_are_bounded_within_a_minute() {
        let start = Instant::now();
        let mut strangers = Strangers::default();
        for _ in 0..100 {
            strangers.refused(start, "ep", "default");
        }
        assert_eq!((strangers.warnings, strangers.suppressed), (10, 90));
        strangers.refused(start + WINDOW, "ep", "default");
        assert_eq!((strangers.warnings, strangers.suppressed), (1, 0));
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
