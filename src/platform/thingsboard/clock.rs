//! The clocks of this folder's own threads: deadlines of questions and deliveries, creation times of messages.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::super::time::{Now, UnixMillis};

/// This moment.
#[expect(
    clippy::disallowed_methods,
    reason = "submit comes without a time, and answers and deliveries arrive on threads of this folder"
)]
pub(super) fn now() -> Now {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        mono: Instant::now(),
        wall: UnixMillis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)),
    }
}
