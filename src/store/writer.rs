//! What waits to be written, and the thread that writes it.

use std::{
    collections::HashMap,
    mem,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use super::{
    Clock, Done, Full, OpenError, Watch,
    file::{File, Rows},
    settings::StateSettings,
};

/// What the thread and its clients share.
pub(super) struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    taken: Condvar,
    /// `None` while it cannot be opened.
    file: RwLock<Option<File>>,
    folder: PathBuf,
    owner: String,
    cache_bytes: usize,
    pending_bytes: usize,
    pause: Duration,
    clock: Clock,
    watch: Arc<dyn Watch>,
    pub(super) last_alive: Option<i64>,
}

#[derive(Default)]
struct Pending {
    rows: Rows,
    /// Bytes of `rows`, names included.
    bytes: usize,
    /// Who waits for what is in `rows`.
    waiters: Vec<Done>,
    stopping: bool,
    /// The file cannot be written.
    failing: bool,
}

impl Shared {
    pub(super) fn open(
        settings: &StateSettings,
        folder: &Path,
        owner: &str,
        clock: Clock,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, OpenError> {
        let file = File::open(folder, settings.cache_bytes, owner, clock().wall)?;
        Ok(Self {
            pending: Mutex::default(),
            changed: Condvar::new(),
            taken: Condvar::new(),
            last_alive: file.alive().unwrap_or_default(),
            file: RwLock::new(Some(file)),
            folder: folder.to_owned(),
            owner: owner.to_owned(),
            cache_bytes: settings.cache_bytes,
            pending_bytes: settings.pending_bytes,
            pause: Duration::from_millis(settings.commit_interval_ms / 2),
            clock,
            watch,
        })
    }

    /// Hands over every row of the file, and says so when that ends before the last.
    pub(super) fn load(&self, each: impl FnMut(&str, &[u8])) {
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = file.as_ref().map(|file| file.load(each)) {
            tracing::error!(event = "state_damaged", %error, "the state file cannot be read to its end");
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        if let Some(row) = self.lock().rows.get(name) {
            return row.clone();
        }
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        file.as_ref()?.get(name).ok().flatten()
    }

    /// Lines a row up; whoever waits for one is not refused.
    pub(super) fn put(&self, name: &str, row: Vec<u8>, done: Option<Done>) -> Result<(), Full> {
        let mut pending = self.lock();
        let size = name.len() + row.len();
        if done.is_none() && pending.bytes.saturating_add(size) > self.pending_bytes {
            return Err(Full);
        }
        pending.replace(name.to_owned(), Some(row));
        pending.waiters.extend(done);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits while there is no room, unless that would not help.
    pub(super) fn await_room(&self) {
        let full = |pending: &mut Pending| {
            pending.bytes > self.pending_bytes && !pending.failing && !pending.stopping
        };
        drop(
            self.taken
                .wait_while(self.lock(), full)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock().replace(name.to_owned(), None);
        self.changed.notify_one();
    }

    pub(super) fn pending(&self) -> usize {
        self.lock().rows.len()
    }

    pub(super) fn stop(&self) {
        self.lock().stopping = true;
        self.changed.notify_one();
    }

    /// Writes until it is stopped, then what is left.
    pub(super) fn run(&self) {
        let mut failing = false;
        loop {
            let (batch, stopping) = self.next_batch();
            self.taken.notify_all();
            match self.write(&batch.rows) {
                Ok(()) => {
                    if mem::take(&mut failing) {
                        self.lock().failing = false;
                        tracing::warn!(
                            event = "state_written_again",
                            "the state file is written again"
                        );
                    }
                }
                Err(error) => {
                    if !mem::replace(&mut failing, true) {
                        tracing::error!(
                            event = "state_unwritable",
                            %error,
                            "the state file cannot be written: changes are kept in memory and tried again"
                        );
                    }
                    self.watch.failed();
                    self.lock().put_back(batch.rows);
                    self.taken.notify_all();
                    if !stopping {
                        self.reopen();
                    }
                }
            }
            // Also when nothing was written: a service without a disk goes on.
            drop(batch.waiters);
            if stopping {
                return;
            }
            self.pause(if failing { RETRY } else { self.pause });
        }
    }

    /// Waits until there is something to write, or the owner's life is to be noted; whether it is the last time.
    fn next_batch(&self) -> (Pending, bool) {
        let idle = |pending: &mut Pending| {
            pending.rows.is_empty() && pending.waiters.is_empty() && !pending.stopping
        };
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), ALIVE, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut pending = waited.0;
        let (stopping, failing) = (pending.stopping, pending.failing);
        let rest = Pending {
            stopping,
            failing,
            ..Pending::default()
        };
        (mem::replace(&mut *pending, rest), stopping)
    }

    /// Lets changes gather, unless somebody waits.
    fn pause(&self, pause: Duration) {
        let gathers = |pending: &mut Pending| pending.waiters.is_empty() && !pending.stopping;
        drop(
            self.changed
                .wait_timeout_while(self.lock(), pause, gathers)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    fn write(&self, rows: &Rows) -> Result<(), redb::Error> {
        let start = (self.clock)();
        let file = self.file.read().unwrap_or_else(PoisonError::into_inner);
        let file = file.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        file.commit(rows, start.wall)?;
        let took = (self.clock)().mono.saturating_duration_since(start.mono);
        let puts = rows.values().filter(|row| row.is_some()).count();
        self.watch.committed(puts, rows.len() - puts, took);
        Ok(())
    }

    /// After an error of the disk the database wants to be opened anew.
    fn reopen(&self) {
        let mut file = self.file.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: it is locked.
        *file = None;
        let now = (self.clock)().wall;
        match File::open(&self.folder, self.cache_bytes, &self.owner, now) {
            Ok(opened) => *file = Some(opened),
            Err(error) => tracing::debug!(%error, "the state file cannot be opened"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn replace(&mut self, name: String, row: Option<Vec<u8>>) {
        let size = |row: &Option<Vec<u8>>| row.as_ref().map_or(0, Vec::len);
        let (name_size, new) = (name.len(), size(&row));
        self.bytes += new;
        match self.rows.insert(name, row) {
            Some(old) => self.bytes -= size(&old),
            None => self.bytes += name_size,
        }
    }

    /// Takes rows back that could not be written, unless newer ones have come.
    fn put_back(&mut self, rows: Rows) {
        self.failing = true;
        let newer = mem::replace(&mut self.rows, HashMap::with_capacity(rows.len()));
        self.bytes = 0;
        for (name, row) in rows.into_iter().chain(newer) {
            self.replace(name, row);
        }
    }
}

/// How often it is noted at least that the owner lives.
const ALIVE: Duration = Duration::from_secs(30);
/// After how long a failed transaction is tried again.
const RETRY: Duration = Duration::from_secs(2);
