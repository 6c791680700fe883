//! Makes the records of endpoints survive: a file that one thread writes.
//!
//! Whoever changes a record hands it over with [`Store::put`], which waits for nothing; what comes for one endpoint before
//! it is written takes the place of what came earlier. The thread writes all that waits in one transaction, at most once
//! in half of `state.commit_interval_ms`, at once when somebody waits for it. When the file cannot be written, the
//! service goes on: what waits is kept, up to `state.pending_bytes`, and tried again.
//!
//! Invariants: rows of one endpoint are written in the order in which they were handed over; whoever waits for a row is
//! told exactly once, also when it could not be written.

mod file;
pub mod record;
pub mod settings;
mod writer;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use record::Endpoint;
use settings::StateSettings;
use writer::Shared;

pub use file::OpenError;

/// The records of this instance. Dropping it writes what waits.
pub struct Store {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The moment at which the store writes.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For durations.
    pub mono: Instant,
    /// Milliseconds since 1970.
    pub wall: i64,
}

/// Reads the clocks.
pub type Clock = fn() -> Moment;

/// Hears of what the store does, on its thread.
pub trait Watch: Send + Sync {
    /// A transaction is on disk.
    fn committed(&self, puts: usize, deletes: usize, took: Duration);
    /// A transaction failed; what it held is kept.
    fn failed(&self);
    /// An empty file has taken the place of the one before.
    fn replaced(&self);
}

impl Store {
    /// Opens the file of `owner`, this instance's service id, and starts the thread. `None`: the settings keep nothing.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(
        settings: &StateSettings,
        owner: &str,
        clock: Clock,
        watch: Arc<dyn Watch>,
    ) -> Result<Option<Self>, OpenError> {
        let Some(folder) = settings.folder() else {
            return Ok(None);
        };
        let shared = Arc::new(Shared::open(settings, folder, owner, clock, watch)?);
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || own.run())
            .map_err(OpenError::Thread)?;
        Ok(Some(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// When this instance was last known to be alive before this start, ms since 1970; `None`: it never was.
    pub fn last_alive(&self) -> Option<i64> {
        self.shared.last_alive
    }

    /// Hands over every record. Returns how many rows were none.
    pub fn load(&self, mut each: impl FnMut(&str, Endpoint)) -> u64 {
        let mut bad = 0;
        self.shared
            .load(|name, row| match Endpoint::from_row(row) {
                Ok(record) => each(name, record),
                Err(error) => {
                    bad += 1;
                    tracing::warn!(endpoint = name, %error, "the state of an endpoint cannot be read: it must register again");
                }
            });
        bad
    }

    /// The record of an endpoint as it was handed over last.
    pub fn get(&self, name: &str) -> Option<Endpoint> {
        Endpoint::from_row(&self.shared.get(name)?).ok()
    }

    /// Hands over a record.
    ///
    /// # Errors
    /// [`Full`] when too much waits to be written.
    pub fn put(&self, name: &str, record: &Endpoint) -> Result<(), Full> {
        self.shared.put(name, record.to_row(), None)
    }

    /// Hands over a record, however much waits, and has `done` called once it is written or cannot be.
    pub fn put_surely(&self, name: &str, record: &Endpoint, done: impl FnOnce() + Send + 'static) {
        let done = Done(Some(Box::new(done)));
        // Whoever waits is never refused.
        self.shared.put(name, record.to_row(), Some(done)).ok();
    }

    /// Hands over the last record of an endpoint, and waits while too much waits already.
    pub fn put_last(&self, name: &str, record: &Endpoint) {
        self.shared.await_room();
        self.put_surely(name, record, || {});
    }

    /// Removes the record of an endpoint.
    pub fn remove(&self, name: &str) {
        self.shared.remove(name);
    }

    /// Rows that wait to be written.
    pub fn pending(&self) -> usize {
        self.shared.pending()
    }

    /// Writes what waits, ends the thread and closes the file; nothing is kept from here on.
    pub fn close(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            self.shared.stop();
            if thread.join().is_err() {
                tracing::error!(event = "state_panicked", "the state thread had panicked");
            }
            self.shared.close();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Too much waits to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much waits to be written")]
pub struct Full;

/// Whom to tell that a row is written; tells it when it is dropped.
struct Done(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done();
        }
    }
}
