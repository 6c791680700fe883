//! Where peers are kept, how they are made once, and what happens when they cannot be had.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, thread};

/// A tool a peer depends on: the program, and what its absence is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// Program and the argument that makes it print its version and end.
    pub(crate) probe: [&'static str; 2],
    /// Lowest acceptable first version number in its output; 0 accepts any.
    pub(crate) version: u32,
}

/// Java, as new as the peers' class files need it.
pub(crate) const JAVA: Tool = Tool {
    probe: ["java", "--version"],
    version: 17,
};
/// The Java compiler.
pub(crate) const JAVAC: Tool = Tool {
    probe: ["javac", "--version"],
    version: 17,
};
/// Maven, which fetches Java libraries.
pub(crate) const MAVEN: Tool = Tool {
    probe: ["mvn", "--version"],
    version: 0,
};
/// npm, which fetches the package that carries Wakaama's sources.
pub(crate) const NPM: Tool = Tool {
    probe: ["npm", "--version"],
    version: 0,
};
/// The archiver that unpacks an npm package.
pub(crate) const TAR: Tool = Tool {
    probe: ["tar", "--version"],
    version: 0,
};
/// Python, as new as the scripts need it.
pub(crate) const PYTHON: Tool = Tool {
    probe: ["python3", "--version"],
    version: 3,
};
/// pip, which fetches Python packages.
pub(crate) const PIP: Tool = Tool {
    probe: ["pip3", "--version"],
    version: 0,
};
/// libcoap's command-line client. It has no option for its version; any option shows its help.
pub(crate) const COAP_CLIENT: Tool = Tool {
    probe: ["coap-client-notls", "-h"],
    version: 0,
};
/// OpenSSL's command-line client.
pub(crate) const OPENSSL: Tool = Tool {
    probe: ["openssl", "version"],
    version: 3,
};
/// GnuTLS' command-line client.
pub(crate) const GNUTLS: Tool = Tool {
    probe: ["gnutls-cli", "--version"],
    version: 0,
};
/// The tools that make a configure script.
pub(crate) const AUTORECONF: Tool = Tool {
    probe: ["autoreconf", "--version"],
    version: 0,
};
/// Cargo, which fetches the crate that carries Mbed TLS's sources.
pub(crate) const CARGO: Tool = Tool {
    probe: ["cargo", "--version"],
    version: 0,
};
/// The C compiler.
pub(crate) const CC: Tool = Tool {
    probe: ["cc", "--version"],
    version: 0,
};

/// How one peer comes into the cache.
#[derive(Debug)]
pub(crate) struct Recipe<'a> {
    /// What the peer is called in messages.
    pub(crate) peer: &'a str,
    /// Name of its folder; holds the version, so that a new version is a new folder.
    pub(crate) folder: &'a str,
    /// Needed whenever the peer runs.
    pub(crate) to_run: &'a [Tool],
    /// Needed in addition when it is made.
    pub(crate) to_make: &'a [Tool],
    /// Whether making it downloads something.
    pub(crate) fetches: bool,
}

impl Recipe<'_> {
    /// Returns the peer's folder; `make` fills it if it is not there yet. `None` is a skip, already explained on
    /// standard error.
    ///
    /// # Panics
    /// When the peer cannot be had and `LIGHTSHIP_REQUIRE_PEERS=1` demands it.
    pub(crate) fn prepare(
        &self,
        make: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Option<PathBuf> {
        or_skip(self.peer, self.try_prepare(make))
    }

    fn try_prepare(
        &self,
        make: impl FnOnce(&Path) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        check(self.to_run)?;
        let root = root();
        let io = |error: io::Error| format!("{}: {error}", root.display());
        fs::create_dir_all(&root).map_err(io)?;
        // Test programs run side by side; the first one makes the peer, the others wait here.
        let lock = File::create(root.join(format!("{}.lock", self.folder))).map_err(io)?;
        lock.lock().map_err(io)?;
        let folder = root.join(self.folder);
        if folder.is_dir() {
            return Ok(folder);
        }
        if self.fetches && !is_set("LIGHTSHIP_FETCH_PEERS") && !is_set("LIGHTSHIP_REQUIRE_PEERS") {
            return Err("not fetched yet (`make test-platform` does that)".to_owned());
        }
        check(self.to_make)?;
        say(&format!(
            "preparing {} in {} (once)",
            self.peer,
            folder.display()
        ));
        let partial = root.join(format!("{}.partial", self.folder));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(io)?;
        }
        fs::create_dir(&partial).map_err(io)?;
        make(&partial)?;
        fs::rename(&partial, &folder).map_err(io)?;
        Ok(folder)
    }
}

/// Tells whether a peer that nothing but the system's own packages provides is there. `false` is a skip, already explained
/// on standard error.
///
/// # Panics
/// When it is not there and `LIGHTSHIP_REQUIRE_PEERS=1` demands it.
pub(crate) fn is_installed(peer: &str, tool: Tool) -> bool {
    or_skip(peer, check(&[tool])).is_some()
}

fn or_skip<T>(peer: &str, had: Result<T, String>) -> Option<T> {
    match had {
        Ok(it) => Some(it),
        Err(reason) if is_set("LIGHTSHIP_REQUIRE_PEERS") => {
            panic!("{peer} is required: {reason}")
        }
        Err(reason) => {
            let test = thread::current().name().unwrap_or("a test").to_owned();
            say(&format!("{test}: skipped, no {peer}: {reason}"));
            None
        }
    }
}

/// Fetches Java libraries and all they depend on into `folder/lib` with Maven.
///
/// `coordinates` are `group:artifact:version`.
pub(crate) fn fetch_jars(folder: &Path, coordinates: &[&str]) -> Result<(), String> {
    let dependencies: String = coordinates
        .iter()
        .map(|coordinate| {
            let mut part = coordinate.split(':');
            let mut next = || part.next().unwrap_or_default();
            format!(
                "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>",
                next(),
                next(),
                next()
            )
        })
        .collect();
    let project = format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>lightship</groupId><artifactId>peer</artifactId>\
         <version>1</version><packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>\n"
    );
    let pom = folder.join("pom.xml");
    fs::write(&pom, project).map_err(|error| format!("{}: {error}", pom.display()))?;
    run(Command::new("mvn").current_dir(folder).args([
        "--batch-mode",
        "--quiet",
        "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies",
        "-DincludeScope=runtime",
        "-DoutputDirectory=lib",
    ]))
}

/// Fetches Python packages, `name==version`, into a folder with pip.
pub(crate) fn fetch_python(folder: &Path, packages: &[&str]) -> Result<(), String> {
    let mut pip = Command::new("pip3");
    pip.args(["install", "--quiet", "--no-compile", "--target"])
        .arg(folder)
        .args(packages);
    run(&mut pip)
}

/// Python with the packages of a folder.
pub(crate) fn python(packages: &Path) -> Command {
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Runs a command to its end; its output becomes part of the reason when it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Writes a line to standard error, past the capture of the test harness.
pub(crate) fn say(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Returns the cache folder: `$LIGHTSHIP_PEERS_DIR`, else `peers` beside cargo's own scratch folder in `target`.
fn root() -> PathBuf {
    env::var_os("LIGHTSHIP_PEERS_DIR").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers"),
        PathBuf::from,
    )
}

fn check(tools: &[Tool]) -> Result<(), String> {
    for Tool {
        probe: [program, argument],
        version,
    } in tools
    {
        let output = Command::new(program)
            .arg(argument)
            .output()
            .map_err(|_| format!("{program} is not installed"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text
            .split(|character: char| !character.is_ascii_digit())
            .find_map(|number| number.parse::<u32>().ok())
            .unwrap_or(0);
        if found < *version {
            return Err(format!(
                "{program} {version} or newer is needed, found {found}"
            ));
        }
    }
    Ok(())
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| value == "1")
}
