//! Apache ZooKeeper: one server, its data in a folder of its own.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zookeeper_client::Client;

use super::cache::{self, JAVA, MAVEN, Recipe};
use super::process::Process;

/// A running (or stopped) server on a free loopback port; dropping it ends it and removes its data.
#[derive(Debug)]
pub(crate) struct ZooKeeper {
    jars: PathBuf,
    data: TempDir,
    port: u16,
    process: Option<Process>,
}

impl ZooKeeper {
    /// Starts a server and waits until it takes connections. `None`: it cannot be had here, as said on standard error.
    pub(crate) fn start() -> Option<Self> {
        let jars = RECIPE
            .prepare(|folder| cache::fetch_jars(folder, &JARS))?
            .join("lib");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free TCP port")
            .port();
        let data = tempfile::tempdir().expect("a scratch folder can be made");
        // Sessions may be as short as two ticks.
        let properties = format!(
            "tickTime=250\n\
             dataDir={}\n\
             clientPort={port}\n\
             clientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n",
            data.path().join("data").display()
        );
        fs::write(data.path().join(PROPERTIES), properties)
            .expect("the scratch folder can be written");
        let mut server = Self {
            jars,
            data,
            port,
            process: None,
        };
        server.launch();
        Some(server)
    }

    /// Returns the address clients are given (`127.0.0.1:port`); it stays the same through restarts.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the children of a folder, which must end with whoever made them: name, version and data of each.
    pub(crate) fn ephemerals(&self, folder: &str) -> Vec<(String, i32, Vec<u8>)> {
        self.look(async |client| {
            let mut nodes = Vec::new();
            for name in client.list_children(folder).await.unwrap_or_default() {
                if let Ok((data, stat)) = client.get_data(&format!("{folder}/{name}")).await {
                    assert_ne!(stat.ephemeral_owner, 0, "{name} outlives its maker");
                    nodes.push((name, stat.version, data));
                }
            }
            nodes
        })
    }

    /// Deletes a node.
    pub(crate) fn delete(&self, path: &str) {
        self.look(async |client| client.delete(path, None).await)
            .expect("it is there");
    }

    /// Looks at the nodes with a session of its own.
    fn look<T>(&self, look: impl AsyncFnOnce(&Client) -> T) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be made")
            .block_on(async {
                let client = Client::connect(&self.address()).await;
                look(&client.expect("the server answers")).await
            })
    }

    /// Ends the server (SIGTERM). Nodes and sessions stay.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.terminate(TIMEOUT);
        }
    }

    /// Starts a stopped server again and waits until it takes connections.
    pub(crate) fn launch(&mut self) {
        let mut command = Command::new("java");
        command
            .args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.data.path().join(PROPERTIES));
        let mut process = Process::spawn("Apache ZooKeeper", &mut command);
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                process.is_running() && Instant::now() < deadline,
                "Apache ZooKeeper does not start; it printed:\n{}",
                process.lines().join("\n")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        self.process = Some(process);
    }

    /// Makes the server deaf (SIGSTOP), or has it go on (SIGCONT): connections stay, nothing is answered.
    pub(crate) fn freeze(&mut self, frozen: bool) {
        let process = self.process.as_mut().expect("the server runs");
        process.signal(if frozen { "STOP" } else { "CONT" });
    }
}

/// The server's metrics need a library that its project does not list among what it needs at run time.
const JARS: [&str; 4] = [
    "org.apache.zookeeper:zookeeper:3.9.3",
    "io.dropwizard.metrics:metrics-core:4.1.12.1",
    "org.xerial.snappy:snappy-java:1.1.10.5",
    "org.slf4j:slf4j-simple:1.7.36",
];
const RECIPE: Recipe<'static> = Recipe {
    peer: "Apache ZooKeeper",
    folder: "zookeeper-3.9.3",
    to_run: &[JAVA],
    to_make: &[MAVEN],
    fetches: true,
};
const PROPERTIES: &str = "zoo.cfg";
const TIMEOUT: Duration = Duration::from_secs(60);
