//! What threads that share and outlive their work need: locks without poison, and panics that end nothing.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tracing::error;

/// Locks `mutex`, also after a panic of another holder: every critical section here leaves its data whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `action`; a panic in it costs this one action, not the thread that serves all devices.
pub(super) fn guarded<T>(action: impl FnOnce() -> T) -> Option<T> {
    let outcome = catch_unwind(AssertUnwindSafe(action));
    if outcome.is_err() {
        error!("a thread of the Kafka side goes on after a panic");
    }
    outcome.ok()
}
