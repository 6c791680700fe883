//! Apache Kafka as a cluster: one node that is the controller alone, and two brokers with a copy of everything each.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::kafka::{self, PROPERTIES};
use super::process::Process;

/// A running cluster on free loopback ports; dropping it ends it and removes its data.
#[derive(Debug)]
pub(crate) struct Cluster {
    jars: PathBuf,
    data: TempDir,
    ports: [u16; 3],
    _controller: Process,
    brokers: [Option<Process>; 2],
}

impl Cluster {
    /// Starts the nodes and waits until both brokers serve. `None`: they cannot be had here, as said on standard error.
    pub(crate) fn start() -> Option<Self> {
        let jars = kafka::jars()?;
        let data = tempfile::tempdir().expect("a scratch folder can be made");
        // All are held until all are known, so that they differ.
        let listeners = [(); 3]
            .map(|()| TcpListener::bind("127.0.0.1:0").expect("loopback has a free TCP port"));
        let ports = listeners.map(|listener| {
            let address = listener.local_addr();
            address.expect("a bound socket has an address").port()
        });
        for node in [0, 1, 2] {
            let folder = folder(data.path(), node);
            fs::create_dir(&folder).expect("the scratch folder can be written");
            let properties = properties(&folder, node, ports);
            fs::write(folder.join(PROPERTIES), properties)
                .expect("the scratch folder can be written");
            kafka::format(&jars, &folder, &[]);
        }
        let start = |node| kafka::launch(&jars, &folder(data.path(), node));
        let cluster = Self {
            _controller: start(0),
            brokers: [Some(start(1)), Some(start(2))],
            jars,
            data,
            ports,
        };
        cluster.wait_until_whole();
        Some(cluster)
    }

    /// Returns the addresses clients are given.
    pub(crate) fn bootstrap_servers(&self) -> String {
        let [_, first, second] = self.ports;
        format!("127.0.0.1:{first},127.0.0.1:{second}")
    }

    /// Creates topics with a replica on each broker.
    pub(crate) fn create_topics(&self, topics: &[(&str, i32)]) {
        kafka::create_topics(&kafka::client(&self.bootstrap_servers()), topics, 2);
    }

    /// Returns the broker (1 or 2) that leads the first partition of a topic.
    pub(crate) fn leader(&self, topic: &str) -> usize {
        let consumer: BaseConsumer = kafka::client(&self.bootstrap_servers())
            .create()
            .expect("the settings are valid");
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_secs(30))
            .expect("a broker answers");
        let topic = metadata.topics().first().expect("the topic is there");
        let partition = topic.partitions().first().expect("it has a partition");
        usize::try_from(partition.leader()).expect("it has a leader")
    }

    /// Stops a broker in order: it hands its partitions over.
    pub(crate) fn stop(&mut self, broker: usize) {
        self.take(broker).terminate(Duration::from_secs(60));
    }

    /// Kills a broker: the controller notices, and elects others.
    pub(crate) fn kill(&mut self, broker: usize) {
        self.take(broker).kill();
    }

    /// Starts a broker again and waits until its copies are as new as the others.
    pub(crate) fn restart(&mut self, broker: usize) {
        let process = kafka::launch(&self.jars, &folder(self.data.path(), broker));
        self.brokers[broker - 1] = Some(process);
        self.wait_until_whole();
    }

    fn take(&mut self, broker: usize) -> Process {
        self.brokers[broker - 1].take().expect("the broker runs")
    }

    fn wait_until_whole(&self) {
        kafka::wait_until_served(&kafka::client(&self.bootstrap_servers()), 2, || false)
            .unwrap_or_else(|reason| panic!("the cluster does not serve: {reason}"));
    }
}

fn folder(data: &Path, node: usize) -> PathBuf {
    data.join(format!("node-{node}"))
}

/// Node 0 is the controller.
fn properties(folder: &Path, node: usize, ports: [u16; 3]) -> String {
    let (role, listener) = match node {
        0 => ("controller", "CONTROLLER"),
        _ => ("broker", "PLAINTEXT"),
    };
    format!(
        "process.roles={role}\n\
         node.id={node}\n\
         listeners={listener}://127.0.0.1:{}\n\
         controller.quorum.voters=0@127.0.0.1:{}\n\
         controller.listener.names=CONTROLLER\n\
         log.dirs={}\n\
         auto.create.topics.enable=false\n\
         offsets.topic.replication.factor=2\n\
         offsets.topic.num.partitions=1\n\
         group.initial.rebalance.delay.ms=0\n\
         log.cleaner.dedupe.buffer.size=4194304\n\
         broker.session.timeout.ms=2000\n\
         broker.heartbeat.interval.ms=500\n\
         replica.lag.time.max.ms=2000\n",
        ports[node],
        ports[0],
        folder.join("data").display()
    )
}
