//! A child process that cannot outlive its test, and everything it has printed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running program: its input, the lines it has printed so far, and the right to end it.
///
/// Dropping it kills the program. A small shell does the same when the test program dies without dropping anything.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
    /// How many lines of the output `expect` has looked at, and those of them nobody has taken.
    seen: usize,
    untaken: Vec<String>,
    watchdog: Child,
}

impl Process {
    /// Starts `command` with its three standard streams held here; `name` is what failures call it.
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let watchdog = Command::new("sh")
            .args([
                "-c",
                "trap '' INT TERM; cat >/dev/null; kill -9 \"$0\"",
                &child.id().to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a POSIX shell watches over the child");
        let output = Arc::new(Output::default());
        let readers = vec![
            Output::collect(&output, child.stdout.take().expect("stdout is piped")),
            Output::collect(&output, child.stderr.take().expect("stderr is piped")),
        ];
        let stdin = child.stdin.take();
        Self {
            name: name.to_owned(),
            child,
            stdin,
            output,
            readers,
            seen: 0,
            untaken: Vec::new(),
            watchdog,
        }
    }

    /// Writes one line to the program's standard input.
    pub(crate) fn send_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is piped");
        // In one piece: some programs act on what they read first, line feed or not.
        if let Err(error) = stdin.write_all(format!("{line}\n").as_bytes()) {
            panic!(
                "{} takes no more input ({error}); it printed:\n{}",
                self.name,
                self.transcript()
            );
        }
    }

    /// Waits for a line that satisfies `predicate` and takes it: the same line is not found again. Lines that were
    /// passed over stay, so events may be expected in another order than they came.
    ///
    /// # Panics
    /// When `timeout` passes or the program ends first; the message holds everything printed.
    pub(crate) fn expect(
        &mut self,
        timeout: Duration,
        mut predicate: impl FnMut(&str) -> bool,
    ) -> String {
        if let Some(found) = self.untaken.iter().position(|line| predicate(line)) {
            return self.untaken.remove(found);
        }
        let deadline = Instant::now() + timeout;
        loop {
            let ended = !self.is_running();
            let lines = self
                .output
                .wait_beyond(self.seen, deadline.min(Instant::now() + POLL));
            if lines.is_empty() && (ended || Instant::now() >= deadline) {
                let why = if ended {
                    "ended before"
                } else {
                    "did not print in time"
                };
                panic!(
                    "{} {why} the expected line; it printed:\n{}",
                    self.name,
                    self.transcript()
                );
            }
            for line in lines {
                self.seen += 1;
                if predicate(&line) {
                    return line;
                }
                self.untaken.push(line);
            }
        }
    }

    /// Waits for a line that begins with these words and takes it; returns the rest of it.
    ///
    /// # Panics
    /// As [`Self::expect`].
    pub(crate) fn expect_words(&mut self, timeout: Duration, words: &str) -> String {
        let rest = |line: &str| {
            let rest = line.strip_prefix(words)?;
            (rest.is_empty() || rest.starts_with(' ')).then(|| rest.trim_start().to_owned())
        };
        let line = self.expect(timeout, |line| rest(line).is_some());
        rest(&line).expect("the line was chosen by it")
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Panics
    /// When the program is still running after `timeout` (it is killed then).
    pub(crate) fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        self.signal("TERM");
        self.wait(timeout)
    }

    /// Sends the signal of this name (`TERM`, `INT`, `STOP`, `CONT`); a program that has ended is left alone.
    pub(crate) fn signal(&mut self, name: &str) {
        if self.is_running() {
            // The shell's own `kill`: the program of that name is missing on small systems.
            let status = Command::new("sh")
                .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()])
                .status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "cannot signal {}",
                self.name
            );
        }
    }

    /// Waits for the program to end by itself.
    ///
    /// # Panics
    /// When it is still running after `timeout` (it is killed then).
    pub(crate) fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self
                .child
                .try_wait()
                .expect("our own child can be waited for")
            {
                return status;
            }
            if Instant::now() >= deadline {
                self.kill();
                panic!(
                    "{} still ran after {timeout:?}; it printed:\n{}",
                    self.name,
                    self.transcript()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Kills the program (SIGKILL) and waits for its end.
    pub(crate) fn kill(&mut self) {
        // A program that has ended already cannot be killed, which is as good.
        self.child.kill().ok();
        self.child.wait().expect("our own child can be waited for");
    }

    /// Tells whether the program has not ended yet.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("our own child can be waited for")
            .is_none()
    }

    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the CPU time that the threads running now have had, to the nanosecond.
    pub(crate) fn cpu_time(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("Linux has /proc");
        let spent = threads.map_while(Result::ok).map(|thread| {
            // One may have ended since.
            let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
            let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
            Duration::from_nanos(nanoseconds.unwrap_or_default())
        });
        spent.sum()
    }

    /// Returns every line printed so far, standard output and standard error in the order of arrival.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.lines.lock().expect("no reader panics").clone()
    }

    /// Returns every line of a program that has ended.
    pub(crate) fn output(&mut self) -> Vec<String> {
        for reader in self.readers.drain(..) {
            reader.join().expect("no reader panics");
        }
        self.lines()
    }

    fn transcript(&self) -> String {
        self.lines().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog goes first: it must never see a pid that belongs to somebody else.
        self.watchdog.kill().ok();
        self.watchdog.wait().ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The lines a program has printed, with a bell for whoever waits for more.
#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Output {
    fn collect(output: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let output = Arc::clone(output);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                output.lines.lock().expect("no reader panics").push(line);
                output.grown.notify_all();
            }
        })
    }

    /// Returns the lines from number `next` on, waiting for one until `deadline`.
    fn wait_beyond(&self, next: usize, deadline: Instant) -> Vec<String> {
        let lines = self.lines.lock().expect("no reader panics");
        let wait = deadline.saturating_duration_since(Instant::now());
        let (lines, _) = self
            .grown
            .wait_timeout_while(lines, wait, |lines| lines.len() <= next)
            .expect("no reader panics");
        lines.get(next..).unwrap_or_default().to_vec()
    }
}

/// How often a state that cannot ring a bell is looked at.
const POLL: Duration = Duration::from_millis(20);
