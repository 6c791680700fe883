//! A LwM2M 1.1 client on the Eclipse Leshan libraries (Java, Californium underneath), steered by lines.
//!
//! The program is `tests/interop/leshan/TestClient.java`; its header lists commands and events.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::Command;
use std::time::Duration;

use super::cache::{self, JAVA, JAVAC, MAVEN, Recipe};
use super::process::Process;

/// A running client. Dropping it ends it without a word to the server.
#[derive(Debug)]
pub(crate) struct Client {
    process: Process,
}

impl Client {
    /// Starts a client that registers at `server` (`coap://127.0.0.1:5685`) at once. `None`: it cannot be had here, as
    /// said on standard error.
    pub(crate) fn start(server: &str, endpoint: &str, options: Options) -> Option<Self> {
        let mut command = program("Leshan client", "leshan-client", &SOURCES)?;
        command
            .arg(format!("server={server}"))
            .arg(format!("endpoint={endpoint}"))
            .arg(format!("lifetime={}", options.lifetime))
            .arg(format!("port={}", options.port))
            .arg(format!("queue_mode={}", options.queue_mode))
            .arg(format!("bootstrap={}", options.bootstrap));
        if let Some(file) = options.model {
            command.arg(format!("model={file}"));
        }
        if let Some(formats) = options.formats {
            command.arg(format!("formats={formats}"));
        }
        if let Some(seconds) = options.update_every {
            command.arg(format!("update_every={seconds}"));
        }
        Some(Self {
            process: Process::spawn("Leshan client", &mut command),
        })
    }

    /// Gives the client a command, such as `set /3303/0/5700 21.5`.
    pub(crate) fn command(&mut self, command: &str) {
        self.process.send_line(command);
    }

    /// Waits for an event that begins with these words, such as `acked /3303/0/5700`; returns the rest of its line.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`].
    pub(crate) fn expect_event(&mut self, words: &str) -> String {
        self.process.expect_words(PATIENCE, words)
    }

    /// Returns the values of every event so far that begins with these words, taken or not, oldest first.
    pub(crate) fn values(&self, words: &str) -> Vec<String> {
        let values = self.process.lines().into_iter();
        values
            .filter_map(|line| Some(line.strip_prefix(words)?.strip_prefix(' ')?.to_owned()))
            .collect()
    }

    /// Returns the client's process, for signals and the end of its life.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// How the client registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Lifetime in seconds.
    pub(crate) lifetime: u32,
    /// Local UDP port; 0 is any free one.
    pub(crate) port: u16,
    /// Seconds between Updates; `None` leaves it to Leshan (4 s for a lifetime of 20 s, 53 s for 300 s).
    pub(crate) update_every: Option<u32>,
    /// Registers with Queue Mode.
    pub(crate) queue_mode: bool,
    /// The server is a bootstrap server, and the client has no other.
    pub(crate) bootstrap: bool,
    /// DDF file of object 33001, which the client has then.
    pub(crate) model: Option<&'static str>,
    /// Content formats by number, separated by commas; `None` is all that Leshan has.
    pub(crate) formats: Option<&'static str>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lifetime: 300,
            port: 0,
            update_every: None,
            queue_mode: false,
            bootstrap: false,
            model: None,
            formats: None,
        }
    }
}

/// How long an event may take: a Java start on a busy machine, or one full retransmission of CoAP.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A Java program on the libraries, from files of source of which the first has `main`; its folder begins with `folder`.
/// `None`: it cannot be had here.
pub(crate) fn program(peer: &str, folder: &str, sources: &[(&str, &str)]) -> Option<Command> {
    let libraries = LIBRARIES.prepare(|folder| cache::fetch_jars(folder, &JARS))?;
    let jars = format!("{}/lib/*", libraries.display());
    let mut hasher = DefaultHasher::new();
    sources.hash(&mut hasher);
    let recipe = Recipe {
        peer,
        folder: &format!("{folder}-{:016x}", hasher.finish()),
        to_run: &[JAVA],
        to_make: &[JAVAC],
        fetches: false,
    };
    let classes = recipe.prepare(|folder| {
        let mut javac = Command::new("javac");
        javac.current_dir(folder).args(["-cp", &jars]);
        for (name, source) in sources {
            fs::write(folder.join(name), source).map_err(|error| format!("{name}: {error}"))?;
            javac.arg(name);
        }
        cache::run(&mut javac)
    })?;
    let (main, _) = sources.first()?;
    let mut command = Command::new("java");
    command
        .args(["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .args(["-cp", &format!("{}:{jars}", classes.display())])
        .arg(main.trim_end_matches(".java"));
    Some(command)
}

const JARS: [&str; 3] = [
    "org.eclipse.leshan:leshan-lwm2m-client:2.0.0-M18",
    "org.eclipse.leshan:leshan-tl-cf-client-coap:2.0.0-M18",
    "org.slf4j:slf4j-simple:2.0.17",
];
const LIBRARIES: Recipe<'static> = Recipe {
    peer: "Leshan libraries",
    folder: "leshan-2.0.0-M18",
    to_run: &[JAVA],
    to_make: &[MAVEN],
    fetches: true,
};
const SOURCES: [(&str, &str); 3] = [
    (
        "TestClient.java",
        include_str!("../../interop/leshan/TestClient.java"),
    ),
    (
        "Objects.java",
        include_str!("../../interop/leshan/Objects.java"),
    ),
    ("Wire.java", include_str!("../../interop/leshan/Wire.java")),
];
