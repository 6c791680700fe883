//! The one place that reads the system's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::platform::time::{Now, UnixMillis};

/// The present moment, by the operating system's monotonic and wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where time enters the process"
)]
pub fn now() -> Now {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    Now {
        mono: Instant::now(),
        wall: UnixMillis(i64::try_from(wall).unwrap_or(i64::MAX)),
    }
}
