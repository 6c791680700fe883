//! What waits to be written, and the thread that writes it.

use std::{
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
    /// After how long a failed transaction is tried again.
    retry: Duration,
    clock: Clock,
    watch: Arc<dyn Watch>,
    pub(super) last_alive: Option<i64>,
}

#[derive(Default)]
struct Pending {
    rows: Rows,
    /// Bytes of `rows`, names included.
    bytes: usize,
    /// What the thread is writing.
    writing: Arc<Rows>,
    /// Who waits for what is in `rows`.
    waiters: Vec<Done>,
    stopping: bool,
    /// The file cannot be written.
    failing: bool,
}

/// What the thread writes at once.
struct Batch {
    rows: Arc<Rows>,
    /// Who waits for some of them.
    waiters: Vec<Done>,
    /// It is the last one.
    stopping: bool,
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
            retry: RETRY,
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
        {
            let pending = self.lock();
            let newest = pending.rows.get(name);
            if let Some(row) = newest.or_else(|| pending.writing.get(name)) {
                return row.clone();
            }
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

    pub(super) fn close(&self) {
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes until it is stopped, then what is left.
    pub(super) fn run(&self) {
        let mut failing = false;
        loop {
            let batch = self.next_batch();
            self.taken.notify_all();
            let written = self.write(&batch.rows);
            drop(batch.rows);
            self.lock().finish(written.is_ok());
            match written {
                Ok(()) => {
                    if mem::take(&mut failing) {
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
                    self.taken.notify_all();
                    if !batch.stopping {
                        self.reopen();
                    }
                }
            }
            // Also when nothing was written: a service without a disk goes on.
            drop(batch.waiters);
            if batch.stopping {
                return;
            }
            self.pause(if failing { self.retry } else { self.pause });
        }
    }

    /// Waits until there is something to write, or the owner's life is to be noted.
    fn next_batch(&self) -> Batch {
        let idle = |pending: &mut Pending| {
            pending.rows.is_empty() && pending.waiters.is_empty() && !pending.stopping
        };
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), ALIVE, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut pending = waited.0;
        pending.bytes = 0;
        pending.writing = Arc::new(mem::take(&mut pending.rows));
        Batch {
            rows: Arc::clone(&pending.writing),
            waiters: mem::take(&mut pending.waiters),
            stopping: pending.stopping,
        }
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
            Ok(opened) => {
                if matches!(opened.alive(), Ok(None)) {
                    self.watch.replaced();
                }
                *file = Some(opened);
            }
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

    /// The thread has written its batch, or failed to: then what has not been replaced meanwhile waits again.
    fn finish(&mut self, written: bool) {
        let rows = Arc::unwrap_or_clone(mem::take(&mut self.writing));
        self.failing = !written;
        if written {
            return;
        }
        let newer = mem::take(&mut self.rows);
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

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc::{Receiver, Sender, channel},
        },
        thread,
        time::Instant,
    };

    use tempfile::TempDir;

    use super::*;
    use crate::store::Moment;

    /// Rows put, rows removed; nothing for a failure. And how often the file was replaced.
    struct Told(Sender<Option<(usize, usize)>>, Arc<AtomicUsize>);

    impl Watch for Told {
        fn committed(&self, puts: usize, deletes: usize, _: Duration) {
            self.0.send(Some((puts, deletes))).ok();
        }

        fn failed(&self) {
            self.0.send(None).ok();
        }

        fn replaced(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the thread lives in real time")]
    fn clock() -> Moment {
        Moment {
            mono: Instant::now(),
            wall: 5,
        }
    }

    struct Fixture {
        shared: Arc<Shared>,
        told: Receiver<Option<(usize, usize)>>,
        replaced: Arc<AtomicUsize>,
        folder: TempDir,
    }

    fn fixture(change: impl FnOnce(&mut Shared)) -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let settings = StateSettings {
            commit_interval_ms: 2,
            pending_bytes: 100,
            ..StateSettings::default()
        };
        let (sender, told) = channel();
        let replaced = Arc::default();
        let watch = Arc::new(Told(sender, Arc::clone(&replaced)));
        let path = folder.path().join("state");
        let mut shared = Shared::open(&settings, &path, "ls-0", clock, watch).unwrap();
        shared.retry = Duration::from_millis(2);
        change(&mut shared);
        Fixture {
            shared: Arc::new(shared),
            told,
            replaced,
            folder,
        }
    }

    impl Fixture {
        fn run(&self) -> thread::JoinHandle<()> {
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || shared.run())
        }

        fn told(&self) -> Option<(usize, usize)> {
            self.told.recv_timeout(Duration::from_secs(10)).unwrap()
        }

        fn put(&self, name: &str, row: &[u8]) -> Result<(), Full> {
            self.shared.put(name, row.to_vec(), None)
        }
    }

    #[test]
    fn what_waits_is_written_together_and_the_newest_of_one_endpoint_counts() {
        let fixture = fixture(|_| {});
        for (name, row) in [("a", "1"), ("b", "1"), ("a", "2")] {
            fixture.put(name, row.as_bytes()).unwrap();
        }
        fixture.shared.remove("b");
        assert_eq!(fixture.shared.get("a").as_deref(), Some(&b"2"[..]));
        assert_eq!(fixture.shared.get("b"), None);
        assert_eq!(fixture.shared.pending(), 2);
        let thread = fixture.run();
        assert_eq!(fixture.told(), Some((1, 1)));
        fixture.put("c", b"3").unwrap();
        fixture.shared.stop();
        thread.join().unwrap();
        assert_eq!(fixture.shared.pending(), 0);
        let mut rows = Vec::new();
        fixture
            .shared
            .load(|name, row| rows.push((name.to_owned(), row.to_vec())));
        let expected = [("a", b"2"), ("c", b"3")];
        let expected = expected.map(|(name, row)| (name.to_owned(), row.to_vec()));
        assert_eq!(rows, expected);
    }

    #[test]
    fn what_exceeds_the_room_is_refused_unless_somebody_waits_for_it() {
        let fixture = fixture(|_| {});
        fixture.put("a", &[0; 60]).unwrap();
        assert_eq!(fixture.put("b", &[0; 60]), Err(Full));
        fixture.put("b", &[0; 30]).unwrap();
        let (sender, written) = channel();
        let done = Done(Some(Box::new(move || sender.send(()).unwrap())));
        fixture.shared.put("c", vec![0; 60], Some(done)).unwrap();
        let thread = fixture.run();
        written.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(fixture.shared.get("c"), Some(vec![0; 60]));
        // Everything is written, so there is room.
        fixture.shared.await_room();
        fixture.put("d", &[0; 90]).unwrap();
        fixture.shared.stop();
        thread.join().unwrap();
    }

    #[test]
    fn a65_a_file_that_cannot_be_written_keeps_nobody_waiting_and_is_tried_again() {
        let fixture = fixture(|shared| {
            // The disk is gone: a file is where the folder should be.
            *shared.file.get_mut().unwrap() = None;
            fs::remove_dir_all(&shared.folder).unwrap();
            fs::write(&shared.folder, "").unwrap();
        });
        let (sender, told) = channel();
        let done = Done(Some(Box::new(move || sender.send(()).unwrap())));
        fixture.shared.put("a", vec![1], Some(done)).unwrap();
        let thread = fixture.run();
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(fixture.told(), None);
        assert_eq!(fixture.shared.get("a"), Some(vec![1]));
        fixture.put("a", &[2]).unwrap();
        // Nobody waits for room that does not come.
        fixture.put("b", &[0; 90]).unwrap();
        fixture
            .shared
            .put("c", vec![0; 90], Some(Done(None)))
            .unwrap();
        fixture.shared.await_room();
        let folder = fixture.folder.path().join("state");
        fs::remove_file(&folder).unwrap();
        while fixture.told().is_none() {}
        fixture.shared.stop();
        thread.join().unwrap();
        assert_eq!(fixture.shared.get("a"), Some(vec![2]));
        assert_eq!(fixture.shared.pending(), 0);
    }

    #[test]
    fn a65_a_file_that_is_opened_again_is_told_when_it_is_another() {
        for (is_removed, replaced) in [(false, 0), (true, 1)] {
            let fixture = fixture(|_| {});
            let thread = fixture.run();
            fixture.put("a", &[1]).unwrap();
            assert_eq!(fixture.told(), Some((1, 0)));
            // As after an error of the disk.
            fixture.shared.close();
            if is_removed {
                fs::remove_dir_all(&fixture.shared.folder).unwrap();
            }
            fixture.put("b", &[2]).unwrap();
            assert_eq!(fixture.told(), None);
            assert_eq!(fixture.told(), Some((1, 0)));
            fixture.shared.stop();
            thread.join().unwrap();
            assert_eq!(fixture.replaced.load(Ordering::Relaxed), replaced);
            assert_eq!(fixture.shared.get("a").is_none(), is_removed);
        }
    }
}
